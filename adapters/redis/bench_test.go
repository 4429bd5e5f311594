//go:build unix

package redis_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

var benchSchema = store.Schema{
	{Name: "users", Indexes: []store.Index{
		{Name: "by_email", Fields: []string{"tenant", "email"}, Unique: true},
		{Name: "by_created", Fields: []string{"tenant", "created"}},
	}},
	{Name: "codes", Expires: true, Indexes: []store.Index{{Name: "by_grant", Fields: []string{"grant"}}}},
}

func benchStore(b *testing.B) (*store.Store, *url.URL) {
	b.Helper()
	u, err := url.Parse(engines.Fresh(b, engines.Redis))
	if err != nil {
		b.Fatal(err)
	}
	backend, err := redis.Driver.Open(context.Background(), u, benchSchema, quiet)
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.New(backend, benchSchema, store.Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s, u
}

var benchBody = bytes.Repeat([]byte("x"), 1000)

func user(i int) store.Doc {
	return store.Doc{ID: fmt.Sprintf("user-%08d", i), Version: 1, Body: benchBody, Keys: map[string]string{
		"tenant": "acme", "email": fmt.Sprintf("user%08d@example.com", i), "created": fmt.Sprintf("%016d", i),
	}}
}

// code expires in an hour, or has expired.
func code(i int, lives time.Duration) store.Doc {
	return store.Doc{ID: fmt.Sprintf("code-%08d", i), Version: 1, Body: benchBody, ExpiresAt: time.Now().Add(lives),
		Keys: map[string]string{"grant": fmt.Sprintf("grant-%08d", i)}}
}

func fill(b *testing.B, s *store.Store, collection string, n int, doc func(int) store.Doc) {
	b.Helper()
	for i := 0; i < n; {
		var ops []store.Op
		for ; i < n && len(ops) < 500; i++ {
			ops = append(ops, store.Insert(collection, doc(i)))
		}
		commit(b, s, ops...)
	}
}

func commit(b *testing.B, s *store.Store, ops ...store.Op) {
	b.Helper()
	if err := s.Commit(context.Background(), ops...); err != nil {
		b.Fatal(err)
	}
}

// cpu reports the processor time of each operation in this process, beside the time it took.
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

var sizes = []int{1_000, 100_000}

func BenchmarkRead(b *testing.B) {
	for _, n := range sizes {
		s, _ := benchStore(b)
		fill(b, s, "users", n, user)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		b.Run(fmt.Sprintf("get/%d", n), func(b *testing.B) {
			defer cpu(b)()
			for i := 0; b.Loop(); i++ {
				if _, err := s.Get(ctx, "users", user(i%n).ID); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("unique/%d", n), func(b *testing.B) {
			defer cpu(b)()
			for i := 0; b.Loop(); i++ {
				docs, err := s.Range(ctx, "users", store.Range{Index: "by_email", Eq: []string{"acme", user(i % n).Keys["email"]}, Limit: 1})
				if err != nil || len(docs) != 1 {
					b.Fatal(len(docs), err)
				}
			}
		})
		for _, p := range []struct {
			name string
			r    store.Range
		}{
			{"first_page", store.Range{}},
			{"offset_page", store.Range{Offset: n / 2}},
			{"cursor_page", store.Range{After: s.Cursor("users", "by_created", user(n/2))}},
		} {
			p.r.Index, p.r.Eq, p.r.Limit = "by_created", []string{"acme"}, 50
			b.Run(fmt.Sprintf("%s/%d", p.name, n), func(b *testing.B) {
				defer cpu(b)()
				for b.Loop() {
					docs, err := s.Range(ctx, "users", p.r)
					if err != nil || len(docs) != 50 {
						b.Fatal(len(docs), err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("count/%d", n), func(b *testing.B) {
			defer cpu(b)()
			for b.Loop() {
				if got, err := s.Count(ctx, "users", store.Range{Index: "by_created", Eq: []string{"acme"}}); err != nil || got != int64(n) {
					b.Fatal(got, err)
				}
			}
		})
	}
}

// BenchmarkExpired counts and pages where documents expire and a thousand have expired that are not swept.
func BenchmarkExpired(b *testing.B) {
	const n, expired = 100_000, 1_000
	s, _ := benchStore(b)
	fill(b, s, "codes", n, func(i int) store.Doc {
		if i%(n/expired) == 0 {
			return code(i, -time.Hour)
		}
		return code(i, time.Hour)
	})
	b.Run("count", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			if got, err := s.Count(context.Background(), "codes", store.Range{Index: "by_grant"}); err != nil || got != n-expired {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("offset_page", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			docs, err := s.Range(context.Background(), "codes", store.Range{Index: "by_grant", Offset: n / 2, Limit: 50})
			if err != nil || len(docs) != 50 {
				b.Fatal(len(docs), err)
			}
		}
	})
}

func BenchmarkCommitInsert(b *testing.B) {
	s, _ := benchStore(b)
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		commit(b, s, store.Insert("users", user(i)))
	}
}

func BenchmarkCommitMixed(b *testing.B) {
	s, _ := benchStore(b)
	fill(b, s, "users", 1, user)
	commit(b, s, store.Insert("codes", code(0, time.Hour)))
	u := user(0)
	defer cpu(b)()
	for i := 1; b.Loop(); i++ {
		c := code(i-1, time.Hour)
		commit(b, s, store.Update("users", u), store.Delete("codes", c), store.Insert("codes", code(i, time.Hour)))
		u.Version++
	}
}

// BenchmarkCommitFull inserts 500 documents at once, which keeps the server from others for so long.
func BenchmarkCommitFull(b *testing.B) {
	s, _ := benchStore(b)
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		ops := make([]store.Op, store.MaxCommitOps)
		for j := range ops {
			ops[j] = store.Insert("users", user(i*len(ops)+j))
		}
		commit(b, s, ops...)
	}
}

// BenchmarkMemory reports what the server needs for a document beyond its body, id and keys.
func BenchmarkMemory(b *testing.B) {
	const n = 20_000
	s, u := benchStore(b)
	o, err := goredis.ParseURL((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, User: u.User}).String())
	if err != nil {
		b.Fatal(err)
	}
	c := goredis.NewClient(o)
	defer c.Close()
	used := func() int64 {
		v, err := c.InfoMap(context.Background(), "memory").Result()
		if err != nil {
			b.Fatal(err)
		}
		var bytes int64
		if _, err := fmt.Sscan(v["Memory"]["used_memory_dataset"], &bytes); err != nil {
			b.Fatal(err)
		}
		return bytes
	}
	for b.Loop() {
		before := used()
		fill(b, s, "users", n, user)
		d := user(0)
		own := len(d.ID) + len(d.Body)
		for _, k := range d.Keys {
			own += len(k)
		}
		b.ReportMetric(float64(used()-before)/n-float64(own), "overhead-B/doc")
		b.ReportMetric(float64(own), "own-B/doc")
		var ops []store.Op
		for i := range n {
			if ops = append(ops, store.Delete("users", user(i))); len(ops) == store.MaxCommitOps {
				commit(b, s, ops...)
				ops = ops[:0]
			}
		}
	}
}

// BenchmarkOpen opens and closes a database of 40 collections.
func BenchmarkOpen(b *testing.B) {
	var schema store.Schema
	for i := range 40 {
		schema = append(schema, store.Collection{Name: fmt.Sprintf("collection_%d", i), Expires: i%2 == 0, Indexes: []store.Index{
			{Name: "by_name", Fields: []string{"tenant", "name"}, Unique: true}, {Name: "by_time", Fields: []string{"tenant", "time"}},
		}})
	}
	u, err := url.Parse(engines.Fresh(b, engines.Redis))
	if err != nil {
		b.Fatal(err)
	}
	defer cpu(b)()
	for b.Loop() {
		backend, err := redis.Driver.Open(context.Background(), u, schema, quiet)
		if err != nil {
			b.Fatal(err)
		}
		if err := backend.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
