//go:build unix

package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

var things = store.Schema{{Name: "things", Expires: true}}

func start(t *testing.T, path string, logs *bytes.Buffer) *Backend {
	t.Helper()
	b, err := Driver.Open(t.Context(), &url.URL{Scheme: "log", Path: path}, things, store.DriverOptions{Logger: slog.New(slog.NewTextHandler(logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b.(*Backend)
}

func (b *Backend) insert(ctx context.Context, id string) error {
	return b.Commit(ctx, time.Now(), []store.Op{store.Insert("things", store.Doc{ID: id})})
}

func (b *Backend) ids(t *testing.T) string {
	t.Helper()
	docs, err := b.Range(t.Context(), time.Now(), "things", store.Range{Limit: store.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range docs {
		all = append(all, d.ID)
	}
	return strings.Join(all, " ")
}

// special replaces the file by one of the system's for which writing or syncing fails.
func (b *Backend) special(t *testing.T, path string) (back func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	own := b.file
	b.file = f
	return func() { b.file = own }
}

func TestWriteFails(t *testing.T) {
	b, ctx := start(t, filepath.Join(t.TempDir(), "test.log"), &bytes.Buffer{}), t.Context()
	back := b.special(t, "/dev/full")
	if err := b.insert(ctx, "1"); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if got := b.ids(t); got != "" {
		t.Errorf("%q is there", got)
	}
	back()
	if err := b.insert(ctx, "1"); err != nil {
		t.Error(err)
	}
}

// TestSyncFails holds that a commit of which nobody knows whether it is on disk is told so, and that nobody is told anything
// else before the file is read again.
func TestSyncFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.log")
	b, ctx := start(t, path, &bytes.Buffer{}), t.Context()
	if err := b.insert(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	back := b.special(t, "/dev/null") // which takes what is written, and cannot be synced
	if err := b.insert(ctx, "2"); !errors.Is(err, store.ErrUncertain) || errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("%v, want ErrUncertain", err)
	}
	back()
	_, get := b.Get(ctx, time.Now(), "things", []string{"2"})
	_, sweep := b.Sweep(ctx, time.Now(), "things", 1)
	for what, err := range map[string]error{"get": get, "sweep": sweep, "ping": b.Ping(ctx), "commit": b.insert(ctx, "2")} {
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s afterwards: %v, want ErrUnavailable", what, err)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if got := start(t, path, &bytes.Buffer{}).ids(t); got != "1" {
		t.Errorf("opened again: %q", got)
	}
}

// TestCompactFails holds that commits go on where the file cannot be begun anew, and that the operator is told.
func TestCompactFails(t *testing.T) {
	path, logs := filepath.Join(t.TempDir(), "test.log"), &bytes.Buffer{}
	b, ctx := start(t, path, logs), t.Context()
	if err := os.Mkdir(path+".new", 0o700); err != nil { // in the way of the new file
		t.Fatal(err)
	}
	big := store.Doc{ID: "big", Body: make([]byte, slack/2)}
	if err := b.Commit(ctx, time.Now(), []store.Op{store.Insert("things", big)}); err != nil {
		t.Fatal(err)
	}
	for big.Version = 1; big.Version < 10; big.Version++ {
		if err := b.Commit(ctx, time.Now(), []store.Op{store.Update("things", big)}); err != nil {
			t.Fatal(err)
		}
	}
	if told := strings.Count(logs.String(), "level=WARN"); told < 1 || told > 4 || !strings.Contains(logs.String(), path+".new") {
		t.Errorf("told %d times:\n%s", told, logs)
	}
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	for again := big.Version + 10; b.size > 2*slack; big.Version++ {
		if big.Version == again {
			t.Fatal("nor is it begun anew once it can be")
		}
		if err := b.Commit(ctx, time.Now(), []store.Op{store.Update("things", big)}); err != nil {
			t.Fatal(err)
		}
	}
	_ = b.Close()
	docs, err := start(t, path, logs).Get(ctx, time.Now(), "things", []string{"big"})
	if err != nil || len(docs) != 1 || docs[0].Version != big.Version || len(docs[0].Body) != slack/2 {
		t.Errorf("opened again: %d documents, %v", len(docs), err)
	}
}

// TestSize holds what the example says of itself: under 300 lines, comments and blank ones aside.
func TestSize(t *testing.T) {
	content, err := os.ReadFile("logfile.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			n++
		}
	}
	if n >= 300 || n < 100 {
		t.Errorf("%d lines", n)
	}
	if others, err := filepath.Glob("*.go"); err != nil || len(others) != 4 {
		t.Errorf("%v: %s", err, fmt.Sprint(others))
	}
}
