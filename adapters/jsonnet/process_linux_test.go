package jsonnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/mapping"
)

// TestMain is, where it is asked to, a program that evaluates endlessly, for TestWorkerEndsWithItsParent.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_PARENT") == "" {
		m.Run()
		return
	}
	p := New(Options{Timeout: time.Hour})
	w, err := p.start(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println(w.cmd.Process.Pid)
	if err := writeFrame(w.in, question{Snippet: endless}); err != nil {
		panic(err)
	}
	select {}
}

func idleWorker(t *testing.T, p *Pool) *process {
	t.Helper()
	mustEvaluate(t, p, "1", nil)
	return p.idle[0]
}

func proc(t *testing.T, w *process, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", w.cmd.Process.Pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWorkerHasNothing looks at the process from outside.
func TestWorkerHasNothing(t *testing.T) {
	t.Setenv("A_SECRET", "planted")
	open, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	w := idleWorker(t, newPool(t, patient))
	for _, v := range strings.Split(strings.Trim(proc(t, w, "environ"), "\x00"), "\x00") {
		if name, _, _ := strings.Cut(v, "="); name != workerVariable && name != "GOTRACEBACK" && name != "GOMAXPROCS" {
			t.Errorf("the environment has %s", v)
		}
	}
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", w.cmd.Process.Pid)); dir != "/" {
		t.Errorf("it is in %s, %v", dir, err)
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", w.cmd.Process.Pid))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if target, _ := os.Readlink(f); !strings.HasPrefix(target, "pipe:") && !ofTheRuntime(target) {
			t.Errorf("it has %s open", target)
		}
	}
	limits := proc(t, w, "limits")
	for _, want := range []string{"Max cpu time 60 60", "Max file size 0 0", "Max core file size 0 0", "Max open files 0 0"} {
		if !strings.Contains(strings.Join(strings.Fields(limits), " "), want) {
			t.Errorf("%q is not among its limits:\n%s", want, limits)
		}
	}
	if space := strings.Fields(limits[strings.Index(limits, "Max address space"):])[3]; space == "unlimited" {
		t.Error("its address space is not limited")
	}
}

// TestTheKernelHoldsMemory has the watch over the memory look away: one allocation is beyond the limit at once.
func TestTheKernelHoldsMemory(t *testing.T) {
	if os.Getenv("TEST_ALLOCATE") != "" {
		if err := limit(); err != nil {
			t.Fatal(err)
		}
		hold = make([]byte, 2*growth)
		return
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestTheKernelHoldsMemory$")
	c.Env = []string{"TEST_ALLOCATE=1"}
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "memory") && !strings.Contains(string(out), "address space") {
		t.Errorf("%v: %.300s", err, out)
	}
}

var hold []byte

// TestMemoryIsWatched has memory grow bit by bit: the worker says so itself, and ends in order, without the kernel.
func TestMemoryIsWatched(t *testing.T) {
	w := idleWorker(t, newPool(t, patient))
	_, err := w.ask(t.Context(), question{Snippet: "std.length([i + 1 for i in std.range(1, 10000000)])"}, time.Minute)
	wantCode(t, err, mapping.Memory)
	<-w.ended
	if said := w.stderr.String(); w.cmd.ProcessState.ExitCode() != 0 || said != "" {
		t.Errorf("it ended with %s and %q", w.cmd.ProcessState, said)
	}
}

func TestWorkerEndsWithItsParent(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = []string{"TEST_PARENT=1"}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for end := time.Now().Add(30 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the worker outlives the one who started it")
		}
	}
}

// alive reports whether a process runs; one that has ended and that nobody waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestNotAWorker starts programs that are none: they are told nothing, and the error says so.
func TestNotAWorker(t *testing.T) {
	told := filepath.Join(t.TempDir(), "told")
	script := filepath.Join(t.TempDir(), "program")
	for name, text := range map[string]string{
		"one that ends":              "exit 0",
		"one that fails":             "echo memory >&2; exit 3",
		"one that says something":    "echo 'Hello from a program'; exec cat > " + told,
		"one that says what is like": `printf '\000\000\000\002{}'; exec cat > ` + told,
	} {
		if err := os.WriteFile(script, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		p := newPool(t, Options{program: script, Wait: time.Minute})
		_, err := p.Evaluate(t.Context(), "t", "'of a tenant'", nil)
		if e := wantCode(t, err, mapping.Unavailable); !strings.Contains(e.Message, "cannot be started") {
			t.Errorf("%s: %s", name, e.Message)
		}
		if len(p.alive) != 0 {
			t.Errorf("%s: it is left", name)
		}
		if b, err := os.ReadFile(told); len(b) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it is told %q, %v", name, b, err)
		}
	}
	p := newPool(t, Options{program: filepath.Join(t.TempDir(), "missing")})
	_, err := p.Evaluate(t.Context(), "t", "1", nil)
	if e := wantCode(t, err, mapping.Unavailable); !strings.Contains(e.Message, "missing") {
		t.Errorf("a program that is not there: %s", e.Message)
	}
}
