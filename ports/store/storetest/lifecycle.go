package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

var lifecycle = []named{
	{name: "ping", run: ping},
	{name: "cancelled_context", run: cancelledContext},
	{name: "use_after_close", run: useAfterClose},
	{name: "reopen", run: reopen},
	{name: "schema_grows", run: schemaGrows, older: olderSchema},
}

func ping(e *env) {
	if err := e.Ping(e.ctx); err != nil {
		e.Errorf("ping: %v", err)
	}
}

// calls are all that a store can be asked.
func (e *env) calls(ctx context.Context) map[string]error {
	errs := map[string]error{}
	_, errs["get"] = e.Get(ctx, people, "p1")
	_, errs["get many"] = e.GetMany(ctx, people, []string{"p1", "p2"})
	_, errs["range"] = e.Range(ctx, people, store.Range{Index: "by_name"})
	_, errs["page"] = e.Range(ctx, people, store.Range{Index: "by_name", Offset: 1})
	_, errs["count"] = e.Count(ctx, people, store.Range{})
	errs["insert"] = e.Commit(ctx, store.Insert(people, person("p2", "t", "b")))
	errs["commit"] = e.Commit(ctx, store.Insert(people, person("p3", "t", "c")), store.Update(people, at(person("p1", "t", "z"), 1)))
	_, errs["sweep"] = e.Sweep(ctx, 10)
	errs["ping"] = e.Ping(ctx)
	return errs
}

func cancelledContext(e *env) {
	e.insert(people, person("p1", "t", "a"))
	e.insert(tokens, e.token("t", "h", "o", time.Second))
	e.advance(time.Second)
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	for what, err := range e.calls(ctx) {
		if !errors.Is(err, context.Canceled) {
			e.Errorf("%s with a cancelled context: %v", what, err)
		}
	}
	ctx, cancel = context.WithDeadline(e.ctx, time.Unix(0, 0))
	defer cancel()
	for what, err := range e.calls(ctx) {
		if !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("%s past the deadline: %v", what, err)
		}
	}
	e.lists(people, store.Range{}, "p1")
	e.holds(people, at(person("p1", "t", "a"), 1))
	if n, err := e.Sweep(e.ctx, 10); n != 1 || err != nil {
		e.Errorf("sweep afterwards: %d, %v, want 1", n, err)
	}
}

func useAfterClose(e *env) {
	e.insert(people, person("p1", "t", "a"))
	if err := e.Close(); err != nil {
		e.Fatalf("close: %v", err)
	}
	for what, err := range e.calls(e.ctx) {
		if !errors.Is(err, store.ErrClosed) {
			e.Errorf("%s after close: %v, want ErrClosed", what, err)
		}
	}
	if err := e.Close(); err != nil {
		e.Errorf("close again: %v", err)
	}
	e.reopen()
	e.lists(people, store.Range{}, "p1")
}

func reopen(e *env) {
	ann, code, secret := person("p1", "t", "ann"), e.token("c", "h", "ann", time.Hour), store.Doc{ID: "s", Body: []byte("secret"), Keys: keys{"name": "n"}}
	e.insert(people, ann, person("p2", "t", "bob"))
	e.insert(tokens, code)
	e.insert(vault, secret)
	e.commit(store.Update(people, at(ann, 1)), store.Delete(people, at(person("p2", "", ""), 1)))
	for range 2 {
		if err := e.Close(); err != nil {
			e.Fatalf("close: %v", err)
		}
		e.reopen()
		e.holds(people, at(ann, 2))
		e.missing(people, "p2")
		e.holds(tokens, at(code, 1))
		e.holds(vault, at(secret, 1))
		e.lists(people, store.Range{Index: "by_name", Eq: []string{"t"}}, "p1")
		e.taken(people, "by_name", "after reopening", store.Insert(people, person("p3", "t", "ann")))
		e.refused(store.ErrConflict, "after reopening", store.Update(people, at(ann, 1)))
	}
	e.commit(store.Update(people, at(ann, 2)))
	e.advance(time.Hour)
	e.missing(tokens, "c")
}

// olderSchema is the suite's as an older release might have had it.
var olderSchema = store.Schema{{Name: people, Indexes: schema[0].Indexes[:1]}}

// schemaGrows begins with an older schema. Documents of before are found by id, by the indexes that were, and by a new
// index of fields they have; one of new fields finds those that are written anew.
func schemaGrows(e *env) {
	d := person("p1", "t", "a")
	e.insert(people, d)
	if err := e.Close(); err != nil {
		e.Fatalf("close: %v", err)
	}
	e.schema = schema
	e.reopen()
	e.holds(people, at(d, 1))
	e.lists(people, store.Range{Index: "by_name", Eq: []string{"t"}}, "p1")
	e.lists(people, store.Range{Index: "by_first", Eq: []string{"a"}}, "p1")
	e.taken(people, "by_name", "a document of before", store.Insert(people, person("p2", "t", "a")))
	d.Keys = keys{"tenant": "t", "name": "a", "badge": "7", "team": "t", "rank": "r"}
	e.commit(store.Update(people, at(d, 1)))
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t", "r"}}, "p1")
	e.taken(people, "by_badge", "a new index", store.Insert(people, store.Doc{ID: "p2", Keys: keys{"badge": "7"}}))
	e.insert(tokens, e.token("c", "h", "o", time.Hour))
	e.lists(tokens, store.Range{Index: "by_owner"}, "c")
}
