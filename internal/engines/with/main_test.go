//go:build unix

package main

import (
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
)

// The test program is also the program under test.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_WITH") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the program with Redis alone to start.
type program struct{ *exec.Cmd }

// script is a command that shows its server and then does as told.
func script(then string) []string {
	return []string{"--", "sh", "-c", `echo "named $TEST_REDIS_URL"; ` + then}
}

func newProgram(t *testing.T, args ...string) *program {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	p := &program{exec.Command(os.Args[0], args...)}
	p.Env = append(os.Environ(), "TEST_AS_WITH=1", "DOCKER_HOST=tcp://127.0.0.1:1", engines.Redis.Variable()+"=")
	for _, e := range engines.All {
		if e != engines.Redis {
			p.Env = append(p.Env, e.Variable()+"=given")
		}
	}
	output, err := os.Create(t.TempDir() + "/out") // a file: a pipe would be waited for
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { output.Close() })
	p.Stdout, p.Stderr = output, output
	return p
}

func (p *program) output() string {
	text, _ := os.ReadFile(p.Stdout.(*os.File).Name())
	return string(text)
}

// printed is the rest of a line of the output, once it is there.
func (p *program) printed(t *testing.T, begin string) (rest string) {
	t.Helper()
	eventually(t, "a line "+begin, func() bool {
		_, after, found := strings.Cut(p.output(), begin)
		line, _, whole := strings.Cut(after, "\n")
		rest = line
		return found && whole
	})
	return rest
}

// server is the address of the server that the command was given.
func (p *program) server(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(p.printed(t, "named "))
	if err != nil || u.Host == "" {
		t.Fatalf("no server: %v\n%s", err, p.output())
	}
	return u.Host
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

func TestCommandHasServersAndItsStatusIsOurs(t *testing.T) {
	p := newProgram(t, script(`echo "given $TEST_MYSQL_URL"; exit 3`)...)
	err := p.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("%v\n%s", err, p.output())
	}
	if !strings.Contains(p.output(), "given given\n") {
		t.Errorf("a variable that is set did not stay:\n%s", p.output())
	}
	if addr := p.server(t); answers(addr) {
		t.Errorf("%s still runs", addr)
	}
}

// However the program ends, its server does, and on all but SIGKILL what the command started.
func TestNothingStays(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"terminated": syscall.SIGTERM, "interrupted": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			p := newProgram(t, script(`sh -c 'trap "" TERM; echo "child $$"; exec sleep 60' & wait`)...)
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			addr := p.server(t)
			if !answers(addr) {
				t.Fatalf("%s does not run", addr)
			}
			child, err := strconv.Atoi(p.printed(t, "child "))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { syscall.Kill(child, syscall.SIGKILL) })
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := p.Wait(); err == nil {
				t.Error("it ends as if nothing had happened")
			}
			eventually(t, "the server's end", func() bool { return !answers(addr) })
			if signal != syscall.SIGKILL {
				eventually(t, "the end of the command's child", func() bool { return syscall.Kill(child, 0) != nil })
			}
		})
	}
}

func TestEndsWithItsParent(t *testing.T) {
	inner := newProgram(t, script("sleep 60")...)
	outer := exec.Command("sh", append([]string{"-c", `"$0" "$@" & wait`}, inner.Args...)...)
	outer.Env, outer.Stdout, outer.Stderr = inner.Env, inner.Stdout, inner.Stderr
	if err := outer.Start(); err != nil {
		t.Fatal(err)
	}
	addr := inner.server(t)
	if err := outer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	outer.Wait()
	eventually(t, "the server's end", func() bool { return !answers(addr) })
}

func TestFailureMeanwhileIsAll(t *testing.T) {
	p := newProgram(t, append([]string{"-while", "echo building; exit 4"}, script("echo ran")...)...)
	var exit *exec.ExitError
	if err := p.Run(); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("%v", err)
	}
	if out := p.output(); !strings.Contains(out, "building") || strings.Contains(out, "ran") {
		t.Errorf("%s", out)
	}
}
