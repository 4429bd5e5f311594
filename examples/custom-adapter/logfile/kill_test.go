//go:build unix

package logfile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/portico-sso/portico/ports/store"
)

// These make the test's own program a child: one that commits change after change to a file, and prints the number of each
// when it is acknowledged. The second limits the bytes that a file may have, as a full disk does.
const (
	childFile  = "LOGFILE_TEST_FILE"
	childLimit = "LOGFILE_TEST_LIMIT"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		if err := commitOn(path, os.Getenv(childLimit)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func commitOn(path, limit string) error {
	s, err := open(path, schema)
	if err != nil {
		return err
	}
	a, err := s.Get(context.Background(), "accounts", "a")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if limit != "" {
		return full(s, a.Version+1, limit)
	}
	for n := a.Version + 1; ; n++ {
		if err := s.Commit(context.Background(), change(n)...); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// full commits until no more bytes may be written, twice, and then with more room.
func full(s *store.Store, n int64, limit string) error {
	bytes, err := strconv.ParseUint(limit, 10, 64)
	if err != nil {
		return err
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: before.Max}); err != nil {
		return err
	}
	for ; ; n++ {
		if err = s.Commit(context.Background(), change(n)...); err != nil {
			break
		}
	}
	again := s.Commit(context.Background(), change(n)...)
	if small := s.Commit(context.Background(), store.Insert("accounts", store.Doc{ID: "small", Keys: map[string]string{"name": "small"}})); small != nil {
		return fmt.Errorf("a commit for which there is room: %w", small)
	}
	_, missing := s.Get(context.Background(), "entries", entry(n).ID)
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, syscall.EFBIG) || !errors.Is(again, store.ErrUnavailable) || !errors.Is(missing, store.ErrNotFound) {
		return fmt.Errorf("without room: %w, %w, and then %w", err, again, missing)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := s.Commit(context.Background(), change(n)...); err != nil {
		return err
	}
	fmt.Println(n)
	return nil
}

// child runs the program on a file and hands over what it acknowledges.
func child(t *testing.T, path string, env ...string) (c *exec.Cmd, acknowledged *bufio.Scanner) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c = exec.CommandContext(t.Context(), program)
	c.Env = append(append(os.Environ(), childFile+"="+path), env...)
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out)
}

// TestKilled kills the process with SIGKILL again and again during 2,000 commits: none acknowledged is missing, none is there
// in part, and the next process takes the file at once. The file is begun anew some times meanwhile.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.log")
	last, kills := int64(0), 0
	for ; last < 2000; kills++ {
		c, acknowledged := child(t, path)
		told := last
		until := last + 1 + rand.Int64N(200)
		for acknowledged.Scan() {
			n, err := strconv.ParseInt(acknowledged.Text(), 10, 64)
			if err != nil || n != told+1 {
				t.Fatalf("after %d comes %q", told, acknowledged.Text())
			}
			if told = n; n == until {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); told < until {
			t.Fatalf("the process ended at %d, before it was killed: %v", told, err)
		}
		s, err := open(path, schema)
		if err != nil {
			t.Fatal(err)
		}
		last = made(t, s)
		if last != told && last != told+1 {
			t.Fatalf("%d changes were acknowledged, and %d are there", told, last)
		}
		s.Close()
	}
	t.Logf("%d changes, %d kills", last, kills)
}

// TestFullDisk holds that a commit for which there is no room is told so and leaves nothing, and that work goes on.
func TestFullDisk(t *testing.T) {
	path, _ := written(t, 3)
	c, acknowledged := child(t, path, childLimit+"="+strconv.Itoa(100<<10))
	var told []string
	for acknowledged.Scan() {
		told = append(told, acknowledged.Text())
	}
	if err := c.Wait(); err != nil || len(told) != 1 {
		t.Fatalf("%v, and it told %q", err, told)
	}
	s := mustOpen(t, path, schema)
	if n := made(t, s); fmt.Sprint(n) != strings.Join(told, "") {
		t.Errorf("%d changes, and %s were made", n, told)
	}
	if _, err := s.Get(t.Context(), "accounts", "small"); err != nil {
		t.Error(err)
	}
}
