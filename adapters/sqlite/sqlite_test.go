package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var quiet = store.DriverOptions{Logger: slog.New(slog.DiscardHandler)}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		u := &url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "data?#%.db")}
		return func(ctx context.Context, s store.Schema) (store.Backend, error) {
			return sqlite.Driver.Open(ctx, u, s, quiet)
		}
	})
}

var things = store.Schema{{Name: "things", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}}}

func openFile(t *testing.T, path string, s store.Schema) *store.Store {
	t.Helper()
	b, err := sqlite.Driver.Open(t.Context(), &url.URL{Scheme: "sqlite", Path: path}, s, quiet)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(b, s, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestTwoInstances has two instances, as two processes would, write one file with 16 writers each: no commit fails
// but by a conflict, and each instance sees at once what the other has acknowledged.
func TestTwoInstances(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "shared.db"), t.Context()
	both := []*store.Store{openFile(t, path, things), openFile(t, path, things)}
	if err := both[0].Commit(ctx, store.Insert("things", store.Doc{ID: "counter"})); err != nil {
		t.Fatal(err)
	}
	const writers, each = 16, 5
	var all sync.WaitGroup
	for i := range 2 * writers {
		mine, other := both[i%2], both[1-i%2]
		all.Go(func() {
			for n := range each {
				id := fmt.Sprintf("%d-%d", i, n)
				if err := mine.Commit(ctx, store.Insert("things", store.Doc{ID: id, Keys: map[string]string{"name": id}})); err != nil {
					t.Errorf("insert: %v", err)
				}
				if _, err := other.Get(ctx, "things", id); err != nil {
					t.Errorf("get from the other instance: %v", err)
				}
				if err := other.Commit(ctx, store.Insert("things", store.Doc{ID: id + "x", Keys: map[string]string{"name": id}})); !store.Taken(err, "things", "by_name") {
					t.Errorf("the same name from the other instance: %v", err)
				}
				err := store.ErrConflict
				for errors.Is(err, store.ErrConflict) {
					var d store.Doc
					if d, err = mine.Get(ctx, "things", "counter"); err == nil {
						err = mine.Commit(ctx, store.Update("things", d))
					}
				}
				if err != nil {
					t.Errorf("increment: %v", err)
				}
			}
		})
	}
	all.Wait()
	for _, s := range both {
		if d, err := s.Get(ctx, "things", "counter"); err != nil || d.Version != 2*writers*each+1 {
			t.Errorf("the counter is at version %d, %v", d.Version, err)
		}
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private.db")
	s := openFile(t, path, things)
	if err := s.Commit(t.Context(), store.Insert("things", store.Doc{ID: "1"})); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 { // the write-ahead log is there while the store is open
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, f := range files {
		if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want 0600", f, i.Mode(), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ = filepath.Glob(path + "*"); len(files) != 1 {
		t.Errorf("after close there are %v, want one file", files)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		path string
		want error
	}{
		"a folder that is not there": {filepath.Join(dir, "no", "x.db"), store.ErrUnavailable},
		"a folder":                   {dir, store.ErrUnavailable},
		"another kind of file":       {text, nil},
	} {
		b, err := sqlite.Driver.Open(t.Context(), &url.URL{Scheme: "sqlite", Path: c.path}, things, quiet)
		if err == nil {
			_ = b.Close()
			t.Errorf("%s: opened", what)
		} else if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := sqlite.Driver.Open(t.Context(), &url.URL{Scheme: "sqlite", Path: filepath.Join(dir, "y.db")}, store.Schema{{}}, quiet); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a bad schema: %v", err)
	}
}
