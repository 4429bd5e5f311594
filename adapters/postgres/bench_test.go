package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

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

const benchUsers = 10_000

var benchBody = bytes.Repeat([]byte("x"), 1000)

func benchUser(i int) store.Doc {
	return store.Doc{ID: fmt.Sprintf("user-%08d", i), Version: 1, Body: benchBody, Keys: map[string]string{
		"tenant": "acme", "email": fmt.Sprintf("user%08d@example.com", i), "created": fmt.Sprintf("%016d", i),
	}}
}

func benchCode(i int) store.Doc {
	return store.Doc{ID: fmt.Sprintf("code-%08d", i), Version: 1, Body: benchBody, ExpiresAt: time.Now().Add(time.Hour),
		Keys: map[string]string{"grant": fmt.Sprintf("grant-%08d", i)}}
}

// benchStore has so many users and has been looked at by the server's housekeeping.
func benchStore(b *testing.B, users int) *store.Store {
	b.Helper()
	u := engines.Fresh(b, engines.Postgres)
	s := opened(b, u, benchSchema)
	for i := 0; i < users; {
		var ops []store.Op
		for ; i < users && len(ops) < store.MaxCommitOps; i++ {
			ops = append(ops, store.Insert("users", benchUser(i)))
		}
		benchCommit(b, s, ops...)
	}
	execute(b, u, "VACUUM ANALYZE")
	b.ReportAllocs()
	return s
}

func benchCommit(b *testing.B, s *store.Store, ops ...store.Op) {
	b.Helper()
	if err := s.Commit(context.Background(), ops...); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkGet(b *testing.B) {
	s := benchStore(b, benchUsers)
	ctx, cancel := context.WithCancel(context.Background()) // as a request's
	defer cancel()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Get(ctx, "users", fmt.Sprintf("user-%08d", i%benchUsers)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRangeUnique(b *testing.B) {
	s := benchStore(b, benchUsers)
	for i := 0; b.Loop(); i++ {
		docs, err := s.Range(context.Background(), "users", store.Range{Index: "by_email", Eq: []string{"acme", fmt.Sprintf("user%08d@example.com", i%benchUsers)}, Limit: 1})
		if err != nil || len(docs) != 1 {
			b.Fatal(len(docs), err)
		}
	}
}

func BenchmarkRangePage(b *testing.B) {
	s := benchStore(b, benchUsers)
	for name, r := range map[string]store.Range{
		"first":  {},
		"offset": {Offset: benchUsers / 2},
		"cursor": {After: s.Cursor("users", "by_created", benchUser(benchUsers/2))},
	} {
		r.Index, r.Eq, r.Limit = "by_created", []string{"acme"}, 50
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				docs, err := s.Range(context.Background(), "users", r)
				if err != nil || len(docs) != 50 {
					b.Fatal(len(docs), err)
				}
			}
		})
	}
}

func BenchmarkCount(b *testing.B) {
	s := benchStore(b, benchUsers)
	for b.Loop() {
		n, err := s.Count(context.Background(), "users", store.Range{Index: "by_created", Eq: []string{"acme"}})
		if err != nil || n != benchUsers {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkCommitInsert(b *testing.B) {
	s := benchStore(b, 0)
	for i := 0; b.Loop(); i++ {
		benchCommit(b, s, store.Insert("users", benchUser(i)))
	}
}

func BenchmarkCommitMixed(b *testing.B) {
	s := benchStore(b, 1)
	benchCommit(b, s, store.Insert("codes", benchCode(0)))
	u := benchUser(0)
	for i := 1; b.Loop(); i++ {
		benchCommit(b, s, store.Update("users", u), store.Delete("codes", benchCode(i-1)), store.Insert("codes", benchCode(i)))
		u.Version++
	}
}

// BenchmarkCommitLargest inserts as many documents as a commit may have.
func BenchmarkCommitLargest(b *testing.B) {
	s := benchStore(b, 0)
	for i := 0; b.Loop(); {
		var ops []store.Op
		for range store.MaxCommitOps {
			ops = append(ops, store.Insert("users", benchUser(i)))
			i++
		}
		benchCommit(b, s, ops...)
	}
}

// BenchmarkCommitTogether has many commit at once, as requests do.
func BenchmarkCommitTogether(b *testing.B) {
	s := benchStore(b, 0)
	next := make(chan int, 1)
	next <- 0
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			i := <-next
			next <- i + 1
			benchCommit(b, s, store.Insert("users", benchUser(i)), store.Insert("codes", benchCode(i)))
		}
	})
}
