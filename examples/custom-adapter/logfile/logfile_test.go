//go:build unix

package logfile_test

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

	"github.com/portico-sso/portico/examples/custom-adapter/logfile"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
	"github.com/portico-sso/portico/ports/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		u := &url.URL{Scheme: "log", Path: filepath.Join(t.TempDir(), "test.log")}
		return func(ctx context.Context, s store.Schema) (store.Backend, error) {
			return logfile.Driver.Open(ctx, u, s, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
		}
	})
}

var schema = store.Schema{
	{Name: "accounts", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}},
	{Name: "entries", Indexes: []store.Index{{Name: "by_number", Fields: []string{"number"}, Unique: true}}},
}

// open opens a file through a Store.
func open(path string, s store.Schema) (*store.Store, error) {
	b, err := logfile.Driver.Open(context.Background(), &url.URL{Scheme: "log", Path: path}, s, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return store.New(b, s, store.Options{Now: time.Now})
}

func mustOpen(t *testing.T, path string, s store.Schema) *store.Store {
	t.Helper()
	st, err := open(path, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// keep is how many entries there are, the last ones.
const keep = 20

// change is commit n of a file, from 1 on: it counts in an account, enters that, and removes what was entered long before.
func change(n int64) []store.Op {
	account := store.Doc{ID: "a", Version: n - 1, Body: fmt.Append(nil, n), Keys: map[string]string{"name": fmt.Sprint("name ", n)}}
	ops := []store.Op{store.Insert("entries", entry(n)), store.Update("accounts", account)}
	if n == 1 {
		ops[1] = store.Insert("accounts", account)
	}
	if n > keep {
		ops = append(ops, store.Delete("entries", store.Doc{ID: entry(n - keep).ID, Version: 1}))
	}
	return ops
}

func entry(n int64) store.Doc {
	number := fmt.Sprintf("%06d", n)
	return store.Doc{ID: "e" + number, Body: bytes.Repeat([]byte(number), int(min(n, 600))), Keys: map[string]string{"number": number}}
}

// made is how many changes are there, and fails the test where one is there in part.
func made(t *testing.T, s *store.Store) int64 {
	t.Helper()
	ctx := t.Context()
	a, err := s.Get(ctx, "accounts", "a")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	entries, err := s.Range(ctx, "entries", store.Range{Index: "by_number"})
	if err != nil {
		t.Fatal(err)
	}
	n := a.Version
	if len(entries) != int(min(n, keep)) || n > 0 && string(a.Body) != fmt.Sprint(n) {
		t.Fatalf("%d changes, the account says %s, and there are %d entries", n, a.Body, len(entries))
	}
	for i, e := range entries {
		if want := entry(n - int64(len(entries)-1-i)); e.ID != want.ID || !bytes.Equal(e.Body, want.Body) {
			t.Fatalf("%d changes, and entry %d of %d is %s", n, i, len(entries), e.ID)
		}
	}
	if names, err := s.Range(ctx, "accounts", store.Range{Index: "by_name", Eq: []string{fmt.Sprint("name ", n)}}); n > 0 && (len(names) != 1 || err != nil) {
		t.Fatalf("the account is not in its index: %v, %v", names, err)
	}
	return n
}

// written is a file with so many changes, each in a line of its own.
func written(t *testing.T, changes int64) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.log")
	s := mustOpen(t, path, schema)
	for n := range changes {
		if err := s.Commit(t.Context(), change(n+1)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := int64(bytes.Count(content, []byte("\n"))); lines != changes+2 {
		t.Fatalf("%d lines after %d commits, want the header, what there was, and one for each commit", lines, changes)
	}
	return path, content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTorn cuts the last line at each byte, and takes each part of it away, as a crash of the system may: the commits before
// it are there, and others go on.
func TestTorn(t *testing.T) {
	path, content := written(t, 3)
	last := bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
	holds := func(what string, content []byte, want int64) {
		t.Helper()
		write(t, path, content)
		s := mustOpen(t, path, schema)
		defer s.Close()
		if n := made(t, s); n != want {
			t.Errorf("%s: %d changes, want %d", what, n, want)
		}
		if err := s.Commit(t.Context(), change(want+1)...); err != nil {
			t.Errorf("%s: the commit after: %v", what, err)
		}
		s.Close()
		s = mustOpen(t, path, schema)
		defer s.Close()
		if n := made(t, s); n != want+1 {
			t.Errorf("%s: %d changes after another one, want %d", what, n, want+1)
		}
	}
	holds("whole", content, 3)
	for cut := last; cut < len(content); cut++ {
		holds(fmt.Sprintf("cut at byte %d of %d", cut, len(content)), content[:cut], 2)
	}
	for at := last; at < len(content)-1; at += 16 {
		hole := bytes.Clone(content)
		clear(hole[at:min(at+16, len(hole)-1)])
		holds(fmt.Sprintf("a hole at byte %d of %d", at, len(content)), hole, 2)
	}
	holds("the rest of another", append(bytes.Clone(content), content[last+10:len(content)-1]...), 3)
}

// TestRefused opens what is damaged in the midst, and what something else made: it is refused and left as it is.
func TestRefused(t *testing.T) {
	path, content := written(t, 3)
	first := bytes.IndexByte(content, '\n') + 1
	second := first + bytes.IndexByte(content[first:], '\n') + 1
	damaged := bytes.Clone(content)
	damaged[second+5] = 0
	for what, c := range map[string]struct {
		content []byte
		want    string
	}{
		"damage":              {damaged, fmt.Sprintf("damaged behind byte %d", second)},
		"nothing":             {nil, "no file of this engine"},
		"the header alone":    {content[:first], "cut off"},
		"half the first line": {content[:second-1], "cut off"},
		"a broken first line": {append(bytes.Clone(content[:second-3]), "\n"...), "damaged"},
		"another format":      {bytes.Replace(content, []byte("log 1"), []byte("log 2"), 1), "no file of this engine"},
		"JSON":                {[]byte("{}\n"), "no file of this engine"},
		"text":                {[]byte("hello"), "no file of this engine"},
	} {
		write(t, path, c.content)
		s, err := open(path, schema)
		if err == nil {
			s.Close()
			t.Errorf("%s is opened", what)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, c.content) {
			t.Errorf("%s: the file was changed, %v", what, err)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Chdir(t.TempDir())
	for text, file := range map[string]string{
		"log:a.log":                              "a.log",
		"log:b%20c%3F.log":                       "b c?.log",
		"log://" + absolute(t, "d%25.log"):       "d%.log",
		"log:":                                   "",
		"log://host/e.log":                       "",
		"log:f.log?mode=fast":                    "",
		"log:%zz":                                "",
		"log:missing/g.log":                      "",
		"log:" + absolute(t, "h.log") + "/i.log": "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			continue // whoever parses it refuses it
		}
		b, err := logfile.Driver.Open(t.Context(), u, schema, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
		if (err == nil) != (file != "") {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil {
			continue
		}
		b.Close()
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want a file of its owner alone", text, info, err)
		}
	}
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return folder + "/" + name
}

// TestOneProcess holds that a file is open once, and free again after that.
func TestOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.log")
	s := mustOpen(t, path, schema)
	for range 2 {
		if _, err := open(path, schema); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "another process") {
			t.Fatalf("a second time: %v, want ErrUnavailable", err)
		}
		if err := s.Commit(t.Context(), change(made(t, s)+1)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := made(t, mustOpen(t, path, schema)); n != 2 {
		t.Errorf("%d changes, want 2", n)
	}
}

// TestCompaction holds that the file of few documents that change often stays small, while it is open.
func TestCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.log")
	s := mustOpen(t, path, schema)
	largest, smaller := int64(0), 0
	for n := range int64(1500) { // up to 5 KiB each
		if err := s.Commit(t.Context(), change(n+1)...); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if largest = max(largest, info.Size()); info.Size() < 200<<10 && n > 100 {
			smaller++
		}
	}
	if largest > 2<<20 || smaller == 0 {
		t.Errorf("the file had %d bytes, and %d times it had few", largest, smaller)
	}
	if n := made(t, s); n != 1500 {
		t.Errorf("%d changes", n)
	}
	s.Close()
	write(t, path+".new", make([]byte, 4<<20)) // as a crash may leave it
	if n := made(t, mustOpen(t, path, schema)); n != 1500 {
		t.Errorf("%d changes when it is opened again", n)
	}
	content, err := os.ReadFile(path)
	if err != nil || bytes.Count(content, []byte("\n")) != 2 || bytes.Contains(content, []byte("null")) || content[len(content)-1] != '\n' {
		t.Errorf("%d bytes of it are not just the documents that are there, %v", len(content), err)
	}
}

// TestOtherCollections holds that what a schema lacks is kept: portico copy --sessions without opens a part.
func TestOtherCollections(t *testing.T) {
	path, _ := written(t, 2)
	s := mustOpen(t, path, schema[:1])
	if err := s.Commit(t.Context(), store.Insert("accounts", store.Doc{ID: "b"})); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = mustOpen(t, path, schema)
	if n := made(t, s); n != 2 {
		t.Errorf("%d changes", n)
	}
}

// TestMigrates fills a new index over documents of an older release, which may not write any more.
func TestMigrates(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "test.log"), t.Context()
	release := func(indexes ...store.Index) *store.Store {
		t.Helper()
		people := store.Collection{Name: "people", Indexes: indexes, Keys: func(d store.Doc) (map[string]string, error) {
			return map[string]string{"name": d.ID, "initial": d.ID[:1]}, nil
		}}
		collections := store.Schema{people, migrate.Collection()}
		b, err := logfile.Driver.Open(ctx, &url.URL{Scheme: "log", Path: path}, collections, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		s, err := store.New(b, collections, store.Options{Now: time.Now, Fence: migrate.Fence(time.Now, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	name := store.Index{Name: "by_name", Fields: []string{"name"}, Unique: true}
	initial := store.Index{Name: "by_initial", Fields: []string{"initial"}}
	older := release(name)
	if err := migrate.Run(ctx, migrate.Options{Store: older, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	for n := range 250 {
		id := fmt.Sprintf("%c%d", 'a'+n%5, n)
		if err := older.Commit(ctx, store.Insert("people", store.Doc{ID: id, Keys: map[string]string{"name": id}})); err != nil {
			t.Fatal(err)
		}
	}
	older.Close()

	newer := release(name, initial)
	r := store.Range{Index: "by_initial", Eq: []string{"c"}}
	if n, err := newer.Count(ctx, "people", r); n != 0 || err != nil {
		t.Fatalf("%d documents have keys that nobody gave them, %v", n, err)
	}
	if err := migrate.Run(ctx, migrate.Options{Store: newer, Now: time.Now, Settle: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	if n, err := newer.Count(ctx, "people", r); n != 50 || err != nil {
		t.Errorf("the new index has %d documents, %v, want 50", n, err)
	}
	newer.Close()

	older = release(name)
	if err := older.Commit(ctx, store.Insert("people", store.Doc{ID: "x"})); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, migrate.ErrNewer) {
		t.Errorf("a commit of the older release: %v, want ErrUnavailable", err)
	}
	if n, err := older.Count(ctx, "people", store.Range{Index: "by_name"}); n != 250 || err != nil {
		t.Errorf("the older release counts %d documents, %v", n, err)
	}
}

// TestFormat opens a file as the first release wrote it.
func TestFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.log")
	write(t, path, []byte(`portico log 1
{"accounts/a":{"ID":"a","Version":7,"Body":"aGVsbG8=","Keys":{"name":"\u003cann\u003e"},"ExpiresAt":"0001-01-01T00:00:00Z"}}
{"accounts/a":null,"accounts/b":{"ID":"b","Version":1,"Body":"","Keys":null,"ExpiresAt":"2999-01-01T00:00:00.25Z"}}
{"accounts/c":{"ID":"c","Version":2,"Body":"aGVsbG8=","Keys":{"name":"<ann>"},"ExpiresAt":"0001-01-01T00:00:00Z"}}
`))
	s := mustOpen(t, path, schema)
	docs, err := s.Range(t.Context(), "accounts", store.Range{Index: "by_name"})
	if err != nil || len(docs) != 2 {
		t.Fatalf("%v, %v", docs, err)
	}
	b, c := docs[0], docs[1]
	if b.ID != "b" || b.Version != 1 || len(b.Body) > 0 || !b.ExpiresAt.Equal(time.Date(2999, 1, 1, 0, 0, 0, 250e6, time.UTC)) {
		t.Errorf("b is %+v", b)
	}
	if c.ID != "c" || c.Version != 2 || string(c.Body) != "hello" || c.Keys["name"] != "<ann>" || !c.ExpiresAt.IsZero() {
		t.Errorf("c is %+v", c)
	}
}
