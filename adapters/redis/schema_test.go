package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// older and newer are a schema before and after two indexes were added to a collection that has documents, and a collection.
var (
	older = store.Schema{{Name: "things", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}}, {Name: "by_kind", Fields: []string{"kind"}}}}}
	newer = store.Schema{
		{Name: "things", Indexes: append([]store.Index{{Name: "once", Fields: []string{"kind", "name"}, Unique: true}, {Name: "by_color", Fields: []string{"color"}}}, older[0].Indexes...)},
		{Name: "codes", Expires: true, Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}},
	}
)

// many writes so many documents, more than a page of filling.
func many(t testing.TB, s *store.Store, n int) {
	t.Helper()
	for i := 0; i < n; {
		var ops []store.Op
		for ; i < n && len(ops) < store.MaxCommitOps; i++ {
			ops = append(ops, store.Insert("things", thing(fmt.Sprintf("%04d", i))))
		}
		must(t, s.Commit(t.Context(), ops...))
	}
}

// checkGrown holds that the new indexes hold n documents of before, whose color is "".
func checkGrown(t testing.TB, s *store.Store, n int) {
	t.Helper()
	for _, r := range []store.Range{{Index: "by_color", Eq: []string{""}}, {Index: "once", Eq: []string{"k"}}, {Index: "by_name"}} {
		if got, err := s.Count(t.Context(), "things", r); err != nil || got != int64(n) {
			t.Errorf("%+v: %d documents, %v, want %d", r, got, err, n)
		}
	}
	docs, err := s.Range(t.Context(), "things", store.Range{Index: "once", Eq: []string{"k", "n0007"}})
	if err != nil || len(docs) != 1 || docs[0].ID != "0007" {
		t.Errorf("by a new index: %v, %v", docs, err)
	}
	twin := thing("another")
	twin.Keys["name"] = "n0007"
	if err := s.Commit(t.Context(), store.Insert("things", twin)); !store.Taken(err, "things", "once") {
		t.Errorf("a key that a document of before holds: %v", err)
	}
}

// TestNewIndexes adds indexes to documents of before. Until they are filled, the newer program neither reads nor writes there;
// the older one goes on, and what it writes is in them, too.
func TestNewIndexes(t *testing.T) { newIndexes(t) }

func newIndexes(t testing.TB) {
	const n = 1234
	u, ctx := engines.Fresh(t, engines.Redis), t.Context()
	before := open(t, u, older)
	many(t, before, n)
	after, err := tryOpen(t, u, newer)
	must(t, err)
	if plan, err := after.Plan(ctx); err != nil || len(plan) != 2 || !strings.Contains(plan[1], "1234 documents of things into its index by_color (color)") {
		t.Errorf("plan: %q, %v", plan, err)
	}
	if _, err := after.Range(ctx, "things", store.Range{Index: "by_color"}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "portico migrate") {
		t.Errorf("a range of an index that is not filled: %v", err)
	}
	if _, err := after.Count(ctx, "things", store.Range{Index: "once"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a count of an index that is not filled: %v", err)
	}
	if err := after.Commit(ctx, store.Insert("things", thing("x"))); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a commit without all indexes: %v", err)
	}
	if got, err := after.Count(ctx, "things", store.Range{Index: "by_name"}); err != nil || got != n {
		t.Errorf("by an index of before: %d, %v", got, err)
	}
	must(t, after.Commit(ctx, store.Insert("codes", store.Doc{ID: "1"}))) // a collection without documents lacks nothing
	must(t, after.Migrate(ctx))
	checkGrown(t, after, n)
	if plan, err := after.Plan(ctx); err != nil || len(plan) != 0 {
		t.Errorf("plan: %q, %v", plan, err)
	}

	// The older program, running and started again, writes, changes and removes.
	must(t, before.Commit(ctx, store.Insert("things", thing("x")), store.Update("things", thing("0001"))))
	checkGrown(t, after, n+1)
	must(t, before.Commit(ctx, store.Delete("things", thing("0002"))))
	again := open(t, u, older)
	changed := thing("0003")
	changed.Keys["name"] = "n"
	must(t, again.Commit(ctx, store.Insert("things", thing("y")), store.Update("things", changed), store.Delete("things", thing("0004"))))
	checkGrown(t, after, n)
	if docs, err := after.Range(ctx, "things", store.Range{Index: "once", Eq: []string{"k", "n"}}); err != nil || len(docs) != 1 || docs[0].ID != "0003" {
		t.Errorf("what the older program changed: %v, %v", docs, err)
	}
	checkGrown(t, open(t, u, newer), n)

	_, err = tryOpen(t, u, store.Schema{{Name: "things", Indexes: []store.Index{{Name: "once", Fields: []string{"name"}}}}})
	if err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "give it another name") {
		t.Errorf("another index of that name: %v", err)
	}
}

// TestForeignCollections has another program of one prefix, with other collections, come and go: nobody is in the other's way.
func TestForeignCollections(t *testing.T) {
	u, ctx := engines.Fresh(t, engines.Redis), t.Context()
	mine := open(t, u, things)
	must(t, mine.Commit(ctx, store.Insert("things", thing("1"))))
	other := open(t, u, store.Schema{{Name: "others", Indexes: older[0].Indexes}})
	for _, id := range []string{"2", "3"} {
		must(t, mine.Commit(ctx, store.Insert("things", thing(id))))
		must(t, other.Commit(ctx, store.Insert("others", thing(id))))
	}
}

// TestNewIndexesTogether has several newer programs migrate at once while an older one writes.
func TestNewIndexesTogether(t *testing.T) {
	const n = 2600
	u := engines.Fresh(t, engines.Redis)
	before := open(t, u, older)
	many(t, before, n)
	stop := make(chan struct{})
	var writing, migrating sync.WaitGroup
	written := 0
	writing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := before.Commit(t.Context(), store.Insert("things", thing(fmt.Sprintf("w%d", i)))); err != nil {
				t.Errorf("the older program commits: %v", err)
				return
			}
			written++
		}
	})
	programs := make([]*store.Store, 4)
	for i := range programs {
		migrating.Go(func() {
			p, err := tryOpen(t, u, newer)
			if err == nil {
				err = p.Migrate(t.Context())
			}
			if err == nil {
				err = p.Commit(t.Context(), store.Insert("things", thing(fmt.Sprintf("p%d", i))))
			}
			if err != nil {
				t.Errorf("a newer program: %v", err)
			}
			programs[i] = p
		})
	}
	migrating.Wait()
	close(stop)
	writing.Wait()
	t.Logf("the older program has written %d", written)
	for _, p := range programs {
		if p != nil {
			checkGrown(t, p, n+written+len(programs))
		}
	}
}

// TestFillingGoesOn cuts a newer program off while it fills its indexes; another ends that.
func TestFillingGoesOn(t *testing.T) {
	const n = 1600
	server, ctx := start(t, engines.Redis), t.Context()
	u := server.Fresh(t)
	before := open(t, u, older)
	many(t, before, n)
	p := engines.NewProxy(t, server.Addr)
	cut, err := tryOpen(t, p.URL(u), newer)
	must(t, err)
	came := p.OnNext("(0499", engines.Cut) // the second page
	if err := cut.Migrate(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("cut off: %v", err)
	}
	<-came
	if _, err := cut.Range(ctx, "things", store.Range{Index: "by_color"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a range of an index that is half filled: %v", err)
	}
	must(t, before.Commit(ctx, store.Insert("things", thing("x")), store.Delete("things", thing("0000")), store.Delete("things", thing("1500"))))
	must(t, cut.Commit(ctx, store.Insert("things", thing("y")))) // it keeps the new indexes
	checkGrown(t, open(t, u, newer), n)
	if _, err := cut.Range(ctx, "things", store.Range{Index: "by_color"}); err != nil {
		t.Errorf("a range of an index that another has filled: %v", err)
	}
	// One that was to be filled when its collection had documents, and has none any more.
	u = server.Fresh(t)
	before = open(t, u, older)
	many(t, before, 600)
	p.Decide(nil)
	cut, err = tryOpen(t, p.URL(u), newer)
	must(t, err)
	came = p.OnNext("(0499", engines.Cut)
	_ = cut.Migrate(ctx)
	<-came
	for i := range 600 {
		must(t, before.Commit(ctx, store.Delete("things", thing(fmt.Sprintf("%04d", i)))))
	}
	after := open(t, u, newer)
	many(t, after, 10)
	checkGrown(t, after, 10)
}

// TestNewUniqueIndex has documents of before with the same keys: both stay, and none may be written so.
func TestNewUniqueIndex(t *testing.T) { newUniqueIndex(t) }

func newUniqueIndex(t testing.TB) {
	u, ctx := engines.Fresh(t, engines.Redis), t.Context()
	before := open(t, u, older)
	many(t, before, 20)
	twin := thing("twin")
	twin.Keys["name"] = "n0007"
	must(t, before.Commit(ctx, store.Insert("things", twin)))
	after := open(t, u, newer)
	if docs, err := after.Range(ctx, "things", store.Range{Index: "once", Eq: []string{"k", "n0007"}}); err != nil || len(docs) != 2 {
		t.Errorf("both: %v, %v", docs, err)
	}
	third := thing("third")
	third.Keys["name"] = "n0003"
	must(t, before.Commit(ctx, store.Insert("things", third))) // the older program does not know that this is taken
	twin.Version = 1
	for _, op := range []store.Op{store.Update("things", twin), store.Update("things", thing("0007"))} {
		if err := after.Commit(ctx, op); !store.Taken(err, "things", "once") {
			t.Errorf("written with the key of another: %v", err)
		}
	}
	twin.Keys["name"] = "else"
	must(t, after.Commit(ctx, store.Update("things", twin)))
	must(t, after.Commit(ctx, store.Update("things", thing("0007"))))
}

// TestIndexTakenAway takes an index out of the schema and puts it back: it is kept meanwhile.
func TestIndexTakenAway(t *testing.T) {
	u, ctx := engines.Fresh(t, engines.Redis), t.Context()
	first := open(t, u, newer)
	many(t, first, 20)
	without := open(t, u, older)
	must(t, without.Commit(ctx, store.Insert("things", thing("x")), store.Delete("things", thing("0001"))))
	checkGrown(t, open(t, u, newer), 20)
}
