package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
)

type person struct{ Name, Mail string }

func keys(d store.Doc) (map[string]string, error) {
	var p person
	err := json.Unmarshal(d.Body, &p)
	return map[string]string{"name": p.Name, "mail": strings.ToLower(p.Mail)}, err
}

func oldKeys(d store.Doc) (map[string]string, error) {
	all, err := keys(d)
	delete(all, "mail")
	return all, err
}

var (
	byName = store.Index{Name: "by_name", Fields: []string{"name"}}
	byMail = store.Index{Name: "by_mail", Fields: []string{"mail"}, Unique: true}

	older = store.Schema{{Name: "people", Indexes: []store.Index{byName}, Keys: oldKeys}, migrate.Collection()}
	newer = store.Schema{{Name: "people", Indexes: []store.Index{byName, byMail}, Keys: keys},
		{Name: "places", Indexes: []store.Index{byName}}, migrate.Collection()}
)

// database opens one database again and again, as releases of a program do.
type database func(s store.Schema, m []migrate.Migration) *store.Store

func wrap(t *testing.T, b store.Backend, s store.Schema, m []migrate.Migration) *store.Store {
	t.Helper()
	st, err := store.New(b, s, store.Options{Now: time.Now, Fence: migrate.Fence(time.Now, m)})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// each runs a test over a database without structure and over one with.
func each(t *testing.T, test func(t *testing.T, open database)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		var b *memory.Backend
		test(t, func(s store.Schema, m []migrate.Migration) *store.Store {
			if b == nil {
				b = memory.New(s)
			} else {
				b = b.Reopen(s)
			}
			return wrap(t, b, s, m)
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		u := &url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "test.db")}
		test(t, func(s store.Schema, m []migrate.Migration) *store.Store {
			b, err := sqlite.Driver.Open(t.Context(), u, s, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			return wrap(t, b, s, m)
		})
	})
}

func options(s *store.Store, m ...migrate.Migration) migrate.Options {
	return migrate.Options{Store: s, Migrations: m, Now: time.Now, Settle: time.Nanosecond}
}

func run(t *testing.T, o migrate.Options) {
	t.Helper()
	if err := migrate.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if left := behind(t, o); !left.None() {
		t.Fatalf("left to do: %+v", left)
	}
}

func behind(t *testing.T, o migrate.Options) migrate.Steps {
	t.Helper()
	left, err := migrate.Behind(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func fill(t *testing.T, s *store.Store, n int) {
	t.Helper()
	for i := range n {
		body, err := json.Marshal(person{Name: fmt.Sprintf("n%03d", i), Mail: fmt.Sprintf("Mail-%03d@example.com", i)})
		if err != nil {
			t.Fatal(err)
		}
		d := store.Doc{ID: fmt.Sprintf("p%03d", i), Body: body, Keys: map[string]string{"name": fmt.Sprintf("n%03d", i)}}
		if err := s.Commit(t.Context(), store.Insert("people", d)); err != nil {
			t.Fatal(err)
		}
	}
}

// filled checks that the new index has all of the documents, each once, and holds them to being unique.
func filled(t *testing.T, s *store.Store, n int) {
	t.Helper()
	docs, err := s.Range(t.Context(), "people", store.Range{Index: "by_mail", Prefix: "mail-"})
	if err != nil || len(docs) != n {
		t.Fatalf("%d of %d documents are in the new index: %v", len(docs), n, err)
	}
	for i, d := range docs {
		if want := fmt.Sprintf("mail-%03d@example.com", i); d.Keys["mail"] != want || !strings.Contains(string(d.Body), "Mail-") {
			t.Fatalf("document %d: %q %s", i, d.Keys["mail"], d.Body)
		}
	}
	again := store.Doc{ID: "again", Keys: map[string]string{"mail": "mail-007@example.com"}}
	if err := s.Commit(t.Context(), store.Insert("people", again)); !store.Taken(err, "people", "by_mail") {
		t.Errorf("a second document with a mail: %v", err)
	}
}

func TestNewIndex(t *testing.T) {
	each(t, func(t *testing.T, open database) {
		first := open(older, nil)
		run(t, options(first))
		fill(t, first, 250)

		second := open(newer, nil)
		o := options(second)
		if behind(t, o).None() {
			t.Fatal("nothing to do for a new index")
		}
		var steps []store.Progress
		o.Report = func(p store.Progress) { steps = append(steps, p) }
		run(t, o)
		filled(t, second, 250)
		if last := steps[len(steps)-1]; last.Done != 250 || last.Total != 250 {
			t.Errorf("progress ends at %+v", last)
		}
		before := len(steps)
		run(t, o)
		if len(steps) != before {
			t.Errorf("again: %+v", steps[before:])
		}
	})
}

// TestResume ends a migration after each page and goes on; two that run at once share the work.
func TestResume(t *testing.T) {
	each(t, func(t *testing.T, open database) {
		first := open(older, nil)
		run(t, options(first))
		fill(t, first, 450)
		second := open(newer, nil)
		var read atomic.Int64
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for {
					ctx, stop := context.WithCancel(t.Context())
					o := options(second)
					o.Report = func(p store.Progress) {
						if p.Done > read.Load() {
							read.Store(p.Done)
							go stop() // as a signal comes: while the page is being committed
						}
					}
					err := migrate.Run(ctx, o)
					stop()
					if err == nil {
						return
					}
					if !errors.Is(err, context.Canceled) {
						t.Errorf("migrate: %v", err)
						return
					}
				}
			})
		}
		all.Wait()
		filled(t, second, 450)
		docs, err := second.GetMany(t.Context(), "people", []string{"p000", "p449"})
		if err != nil || docs[0].Version != 2 || docs[1].Version != 2 {
			t.Errorf("a document was written more than once: %+v, %v", docs, err)
		}
	})
}

func TestOlderReleaseMayNotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	open := func(s store.Schema) *store.Store {
		b, err := sqlite.Driver.Open(t.Context(), &url.URL{Scheme: "sqlite", Path: path}, s, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		st, err := store.New(b, s, store.Options{Now: clock, Fence: migrate.Fence(clock, nil)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		return st
	}
	first := open(older)
	run(t, options(first))
	fill(t, first, 3)
	run(t, options(open(newer)))

	write := func() error { return first.Commit(t.Context(), store.Insert("people", store.Doc{ID: "late"})) }
	mu.Lock()
	now = now.Add(migrate.Settle / 2)
	mu.Unlock()
	if err := write(); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, migrate.ErrNewer) {
		t.Errorf("a write of an older release: %v", err)
	}
	if err := first.Ping(t.Context()); !errors.Is(err, migrate.ErrNewer) {
		t.Errorf("ping of an older release: %v", err)
	}
	if docs, err := first.Range(t.Context(), "people", store.Range{}); len(docs) != 3 || err != nil {
		t.Errorf("an older release reads %d documents, %v", len(docs), err)
	}
	for what, err := range map[string]error{
		"run":    migrate.Run(t.Context(), options(first)),
		"behind": func() error { _, err := migrate.Behind(t.Context(), options(first)); return err }(),
	} {
		if !errors.Is(err, migrate.ErrNewer) {
			t.Errorf("%s of an older release: %v", what, err)
		}
	}
}

func TestTakenKeysAreNamed(t *testing.T) {
	each(t, func(t *testing.T, open database) {
		first := open(older, nil)
		run(t, options(first))
		for _, id := range []string{"a", "b", "c"} {
			mail := map[string]string{"a": "x", "b": "y", "c": "X"}[id]
			if err := first.Commit(t.Context(), store.Insert("people", store.Doc{ID: id, Body: []byte(`{"Mail":"` + mail + `"}`)})); err != nil {
				t.Fatal(err)
			}
		}
		second := open(newer, nil)
		err := migrate.Run(t.Context(), options(second))
		if err == nil || !strings.Contains(err.Error(), "people c") || !strings.Contains(err.Error(), "by_mail") {
			t.Fatalf("two documents with one mail: %v", err)
		}
		d, err := second.Get(t.Context(), "people", "c")
		if err != nil {
			t.Fatal(err)
		}
		d.Body = []byte(`{"Mail":"z"}`)
		if err := second.Commit(t.Context(), store.Update("people", d)); err != nil {
			t.Fatal(err)
		}
		run(t, options(second))
	})
}

// shout is a migration in pages of two that writes names in capitals, and ends with an error after so many pages.
func shout(number int, pages *int) migrate.Migration {
	return migrate.Migration{Number: number, Name: "write names in capitals", Collection: "people",
		Run: func(ctx context.Context, s *store.Store, place string, commit migrate.Commit) error {
			for {
				docs, err := s.Range(ctx, "people", store.Range{After: place, Limit: 2})
				if err != nil || len(docs) == 0 {
					return err
				}
				if *pages--; *pages < 0 {
					return errors.New("power cut")
				}
				var ops []store.Op
				for _, d := range docs {
					d.Body = append([]byte(nil), strings.ToUpper(string(d.Body))+"!"...)
					ops = append(ops, store.Update("people", d))
				}
				place = s.Cursor("people", "", docs[len(docs)-1])
				if err := commit(place, ops...); err != nil {
					return err
				}
			}
		}}
}

func TestMigrations(t *testing.T) {
	each(t, func(t *testing.T, open database) {
		first := open(older, nil)
		run(t, options(first))
		fill(t, first, 7)
		pages := 1
		other := migrate.Migration{Number: 9, Collection: "elsewhere", Run: nil}
		m := []migrate.Migration{other, shout(2, &pages)}
		second := open(older, m)
		if got := behind(t, options(second, m...)); !slices.Equal(got.Documents, []string{"migration 2: write names in capitals"}) {
			t.Errorf("behind: %+v", got)
		}
		for i := range 3 {
			if err := migrate.Run(t.Context(), options(second, m...)); err == nil || !strings.Contains(err.Error(), "power cut") {
				t.Fatalf("run %d: %v", i, err)
			}
			pages = 1
		}
		pages = 100
		run(t, options(second, m...))
		run(t, options(second, m...))
		docs, err := second.Range(t.Context(), "people", store.Range{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if d.Version != 2 || strings.Count(string(d.Body), "!") != 1 {
				t.Errorf("%s was migrated to version %d: %s", d.ID, d.Version, d.Body)
			}
		}
		if err := migrate.Run(t.Context(), options(open(older, nil))); !errors.Is(err, migrate.ErrNewer) {
			t.Errorf("an older release runs: %v", err)
		}
		fresh := wrap(t, memory.New(older), older, m)
		run(t, options(fresh, m...)) // nothing to do for documents that are not there
	})
}

// TestOfUnknownAge begins over documents without a note of what they are.
func TestOfUnknownAge(t *testing.T) {
	each(t, func(t *testing.T, open database) {
		first := open(older, nil)
		if err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		fill(t, first, 30)
		second := open(newer, nil)
		run(t, options(second))
		filled(t, second, 30)
	})
}
