//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/ports/store"
)

var benchSchema = store.Schema{
	{Name: "users", Indexes: []store.Index{
		{Name: "by_email", Fields: []string{"tenant", "email"}, Unique: true},
		{Name: "by_created", Fields: []string{"tenant", "created"}},
	}},
	{Name: "codes", Expires: true, Indexes: []store.Index{{Name: "by_grant", Fields: []string{"grant"}}}},
}

func benchStore(b *testing.B) *store.Store {
	b.Helper()
	u := &url.URL{Scheme: "sqlite", Path: filepath.Join(b.TempDir(), "bench.db")}
	backend, err := sqlite.Driver.Open(context.Background(), u, benchSchema, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.New(backend, benchSchema, store.Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(context.Background()); err != nil {
		b.Fatal(err)
	}
	return s
}

var benchBody = bytes.Repeat([]byte("x"), 1000)

func user(i int) store.Doc {
	return store.Doc{ID: fmt.Sprintf("user-%08d", i), Version: 1, Body: benchBody, Keys: map[string]string{
		"tenant": "acme", "email": fmt.Sprintf("user%08d@example.com", i), "created": fmt.Sprintf("%016d", i),
	}}
}

func code(i int) store.Doc {
	return store.Doc{ID: fmt.Sprintf("code-%08d", i), Version: 1, Body: benchBody, ExpiresAt: time.Now().Add(time.Hour),
		Keys: map[string]string{"grant": fmt.Sprintf("grant-%08d", i)}}
}

func fill(b *testing.B, s *store.Store, n int) {
	b.Helper()
	for i := 0; i < n; {
		var ops []store.Op
		for ; i < n && len(ops) < 500; i++ {
			ops = append(ops, store.Insert("users", user(i)))
		}
		commit(b, s, ops...)
	}
}

func commit(b *testing.B, s *store.Store, ops ...store.Op) {
	if err := s.Commit(context.Background(), ops...); err != nil {
		b.Fatal(err)
	}
}

// cpu reports the processor time of each operation, of user and kernel, beside the time it took: a commit waits
// for the disk.
func cpu(b *testing.B) func() {
	b.Helper()
	b.ReportAllocs()
	used := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

func BenchmarkGet(b *testing.B) {
	s := benchStore(b)
	fill(b, s, 10_000)
	// A request's context can be cancelled, which must not make a call dearer.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Get(ctx, "users", fmt.Sprintf("user-%08d", i%10_000)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRangeUnique(b *testing.B) {
	s := benchStore(b)
	fill(b, s, 10_000)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		docs, err := s.Range(ctx, "users", store.Range{Index: "by_email", Eq: []string{"acme", fmt.Sprintf("user%08d@example.com", i%10_000)}, Limit: 1})
		if err != nil || len(docs) != 1 {
			b.Fatal(len(docs), err)
		}
	}
}

func BenchmarkRangePage(b *testing.B) {
	s := benchStore(b)
	fill(b, s, 10_000)
	for name, r := range map[string]store.Range{
		"first":  {},
		"offset": {Offset: 5_000},
		"cursor": {After: s.Cursor("users", "by_created", user(5_000))},
	} {
		r.Index, r.Eq, r.Limit = "by_created", []string{"acme"}, 50
		b.Run(name, func(b *testing.B) {
			defer cpu(b)()
			for b.Loop() {
				docs, err := s.Range(context.Background(), "users", r)
				if err != nil || len(docs) != 50 {
					b.Fatal(len(docs), err)
				}
			}
		})
	}
}

func BenchmarkCommitInsert(b *testing.B) {
	s := benchStore(b)
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		commit(b, s, store.Insert("users", user(i)))
	}
}

func BenchmarkCommitMixed(b *testing.B) {
	s := benchStore(b)
	fill(b, s, 1)
	commit(b, s, store.Insert("codes", code(0)))
	u := user(0)
	defer cpu(b)()
	for i := 1; b.Loop(); i++ {
		c := code(i - 1)
		commit(b, s, store.Update("users", u), store.Delete("codes", c), store.Insert("codes", code(i)))
		u.Version++
	}
}

// BenchmarkOpen opens and closes an existing database of 40 collections and reads one document.
func BenchmarkOpen(b *testing.B) {
	var schema store.Schema
	for i := range 40 {
		schema = append(schema, store.Collection{Name: fmt.Sprintf("collection_%d", i), Expires: i%2 == 0, Indexes: []store.Index{
			{Name: "by_name", Fields: []string{"tenant", "name"}, Unique: true}, {Name: "by_time", Fields: []string{"tenant", "time"}},
		}})
	}
	u := &url.URL{Scheme: "sqlite", Path: filepath.Join(b.TempDir(), "bench.db")}
	visit := func() {
		backend, err := sqlite.Driver.Open(context.Background(), u, schema, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		if err := backend.(store.Structured).Migrate(context.Background()); err != nil {
			b.Fatal(err)
		}
		if _, err := backend.Get(context.Background(), time.Now(), "collection_7", []string{"1"}); err != nil {
			b.Fatal(err)
		}
		if err := backend.Close(); err != nil {
			b.Fatal(err)
		}
	}
	visit()
	defer cpu(b)()
	for b.Loop() {
		visit()
	}
}
