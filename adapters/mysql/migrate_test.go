package mysql_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// generation is a schema that grows by collections, indexes and fields.
func generation(n int) store.Schema {
	var s store.Schema
	for i := range 3 * n {
		c := store.Collection{Name: fmt.Sprintf("c%d", i), Expires: i%2 == 0}
		for k := range n {
			c.Indexes = append(c.Indexes, store.Index{Name: fmt.Sprintf("by_%d", k), Fields: []string{"tenant", fmt.Sprintf("f%d", k)}, Unique: k%2 == 0})
		}
		s = append(s, c)
	}
	return s
}

// migrateTogether has instances bring databases up to a schema at the same time, some of them to an older one.
func migrateTogether(t *testing.T, urls []string) {
	t.Helper()
	for n := 1; n <= 3; n++ {
		var all sync.WaitGroup
		for i, u := range urls {
			all.Go(func() {
				b, err := openSpread(t.Context(), t, []string{u}, generation(max(1, n-i%2)))
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = b.Close() }()
				if err := b.Migrate(t.Context()); err != nil {
					t.Errorf("generation %d, instance %d: %v", n, i, err)
				}
				if plan, err := b.Plan(t.Context()); len(plan) > 0 || err != nil {
					t.Errorf("generation %d, instance %d: afterwards %q is lacking, %v", n, i, plan, err)
				}
			})
		}
		all.Wait()
	}
}

func TestMigrateTogether(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			u := engines.Fresh(t, e)
			migrateTogether(t, []string{u, u, u, u})
		})
	}
}

// TestMigrateWhileOthersWrite grows a schema under instances of the older one, which go on writing.
func TestMigrateWhileOthersWrite(t *testing.T) {
	commit := func(s *store.Store, ops ...store.Op) error {
		return store.Retry(t.Context(), func() error { return s.Commit(t.Context(), ops...) })
	}
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			u := engines.Fresh(t, e)
			older := openStore(t, u, generation(1))
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for w := range 4 {
				all.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						id := fmt.Sprintf("%d-%d", w, i)
						d := store.Doc{ID: id, Version: 1, Keys: map[string]string{"tenant": "t", "f0": id}}
						if err := commit(older, store.Insert("c0", d), store.Insert("c1", d)); err != nil {
							t.Errorf("insert: %v", err)
							return
						}
						if err := commit(older, store.Update("c0", d), store.Delete("c1", d)); err != nil {
							t.Errorf("update: %v", err)
							return
						}
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			newer := openStore(t, u, generation(3))
			stop()
			all.Wait()
			a, err := older.Count(t.Context(), "c0", store.Range{Index: "by_0"})
			b, err2 := newer.Count(t.Context(), "c0", store.Range{Index: "by_2"})
			if a != b || a == 0 || err != nil || err2 != nil {
				t.Errorf("%d documents in the old index, %d in a new one, %v, %v", a, b, err, err2)
			}
		})
	}
}

// TestPlanIsForPlanetScale holds what its deploy requests take: one statement for a table, without foreign keys.
func TestPlanIsForPlanetScale(t *testing.T) {
	u := engines.Fresh(t, engines.MySQL)
	for n, verb := range []string{"CREATE TABLE IF NOT EXISTS ", "ALTER TABLE "} {
		b, err := open(t.Context(), t, u, generation(n + 1)[:3])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		steps, err := b.(store.Structured).Plan(t.Context())
		if err != nil || len(steps) != 3 {
			t.Fatalf("%d statements for 3 tables, %v", len(steps), err)
		}
		db := connect(t, u)
		for i, statement := range steps {
			if !strings.HasPrefix(statement, fmt.Sprintf("%s`c%d` ", verb, i)) || strings.Contains(statement, "FOREIGN") {
				t.Errorf("statement %d is %s", i, statement)
			}
			if _, err := db.ExecContext(t.Context(), statement); err != nil { // as an operator runs what is printed
				t.Errorf("%s: %v", statement, err)
			}
		}
		if steps, err = b.(store.Structured).Plan(t.Context()); len(steps) > 0 || err != nil {
			t.Errorf("afterwards %q is lacking, %v", steps, err)
		}
	}
}
