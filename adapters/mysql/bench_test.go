package mysql

import (
	"fmt"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// on runs a benchmark over one connection to each server, with the documents of fill. `make bench-store` compares sizes and
// engines; these show what the adapter itself allocates.
func on(b *testing.B, run func(b *testing.B, o *one)) {
	b.Helper()
	for _, e := range []engines.Engine{engines.MariaDB, engines.MySQL} {
		b.Run(string(e), func(b *testing.B) {
			o := newOne(b, engines.Fresh(b, e), planned)
			o.fill()
			b.ReportAllocs()
			run(b, o)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	on(b, func(b *testing.B, o *one) {
		b.Helper()
		for i := 0; b.Loop(); i++ {
			if _, err := o.Get(b.Context(), "users", userID(i%many)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRangeUnique(b *testing.B) {
	on(b, func(b *testing.B, o *one) {
		b.Helper()
		for i := 0; b.Loop(); i++ {
			k := userKeys(i % many)
			docs, err := o.Range(b.Context(), "users", store.Range{Index: "by_email", Eq: []string{k["tenant"], k["email"]}, Limit: 1})
			if err != nil || len(docs) != 1 {
				b.Fatal(len(docs), err)
			}
		}
	})
}

func BenchmarkRangePage(b *testing.B) {
	on(b, func(b *testing.B, o *one) {
		b.Helper()
		middle := many/4*2 + 1
		for name, r := range map[string]store.Range{
			"first":  {},
			"offset": {Offset: many / 4},
			"cursor": {After: o.Cursor("users", "by_email", store.Doc{ID: userID(middle), Keys: userKeys(middle)})},
		} {
			r.Index, r.Eq, r.Limit = "by_email", []string{"t1"}, 50
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					docs, err := o.Range(b.Context(), "users", r)
					if err != nil || len(docs) != 50 {
						b.Fatal(len(docs), err)
					}
				}
			})
		}
	})
}

func BenchmarkCommitInsert(b *testing.B) {
	on(b, func(b *testing.B, o *one) {
		b.Helper()
		for i := 0; b.Loop(); i++ {
			o.commit(store.Insert("users", store.Doc{ID: fmt.Sprint("n", i), Keys: map[string]string{"tenant": "n", "email": fmt.Sprint(i)}}))
		}
	})
}

func BenchmarkCommitMixed(b *testing.B) {
	on(b, func(b *testing.B, o *one) {
		b.Helper()
		code := func(i int) store.Doc {
			return store.Doc{ID: fmt.Sprint("n", i), Version: 1, ExpiresAt: o.now.Add(time.Hour), Keys: map[string]string{"hash": fmt.Sprint("n", i)}}
		}
		o.commit(store.Insert("order", code(0)))
		user := store.Doc{ID: userID(7), Version: 1, Keys: userKeys(7)}
		for i := 1; b.Loop(); i++ {
			o.commit(store.Update("users", user), store.Delete("order", code(i-1)), store.Insert("order", code(i)))
			user.Version++
		}
	})
}
