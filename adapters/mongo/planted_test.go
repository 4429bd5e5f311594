package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/portico-sso/portico/internal/mongofake"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

// planted are mistakes that the adapter could make, each made of its commands on their way, and the case of the conformance
// suite, or the test of own, that catches it.
var planted = []struct {
	name, caught string
	rewrite      func(bson.D) bson.D
}{
	// Guards
	{"updates are not guarded by the version", "guards", statements("updates", func(st bson.D) bson.D {
		return inside(st, "q", without("v"), replacement)
	})},
	{"deletes are not guarded by the version", "guards", statements("deletes", func(st bson.D) bson.D { return inside(st, "q", without("v")) })},
	{"checks are not guarded by the version", "check", statements("updates", func(st bson.D) bson.D {
		return inside(st, "q", without("v"), operator("$inc"))
	})},
	{"a check writes nothing", "write_skew", statements("updates", func(st bson.D) bson.D { return idle(st, "$inc") })},
	{"a check does nothing", "write_skew", statements("updates", func(st bson.D) bson.D {
		if operator("$inc")(st) { // met, whatever there is, is one document
			return bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: at(at(st, "q").(bson.D), "_id")}}}, {Key: "u", Value: bson.D{{Key: "$unset", Value: bson.D{{Key: "none", Value: ""}}}}}}
		}
		return st
	})},
	{"guards hold on an expired document", "expiry_guards", func(c bson.D) bson.D {
		for _, field := range []string{"updates", "deletes"} {
			c = statements(field, func(st bson.D) bson.D { return inside(st, "q", without("e"), versioned) })(c)
		}
		return c
	}},
	{"a version does not rise", "crud", statements("updates", func(st bson.D) bson.D {
		if replacement(st) {
			return inside(st, "u", func(u bson.D) bson.D {
				return append(without("v")(u), bson.E{Key: "v", Value: at(at(st, "q").(bson.D), "v")})
			})
		}
		return st
	})},

	// All or nothing
	{"there is no transaction", "all_or_nothing", func(c bson.D) bson.D {
		if at(c, "autocommit") == nil {
			return c
		}
		if c[0].Key == "commitTransaction" || c[0].Key == "abortTransaction" {
			return bson.D{{Key: "ping", Value: 1}, {Key: "$db", Value: "admin"}}
		}
		return without("lsid", "txnNumber", "autocommit", "startTransaction", "readConcern")(c)
	}},
	{"a failed transaction is committed", "all_or_nothing", func(c bson.D) bson.D {
		if c[0].Key == "abortTransaction" {
			c[0].Key = "commitTransaction"
		}
		return c
	}},
	{"a failed transaction stays open", "leaves nothing open", func(c bson.D) bson.D {
		if c[0].Key == "abortTransaction" || c[0].Key == "killSessions" {
			return bson.D{{Key: "ping", Value: 1}, {Key: "$db", Value: "admin"}}
		}
		return c
	}},
	{"a repeated write is not known again", "repeats one write", func(c bson.D) bson.D {
		if at(c, "autocommit") == nil {
			return without("txnNumber")(c)
		}
		return c
	}},

	// Unique keys
	{"nothing is unique", "unique_per_tenant", documents(without("u"))},
	{"empty keys are held to uniqueness", "unique_empty", documents(func(d bson.D) bson.D {
		if at(d, "u") == nil && at(at(d, "k").(bson.D), "badge") != nil {
			return append(d, bson.E{Key: "u", Value: bson.D{{Key: "by_badge", Value: ""}}})
		}
		return d
	})},
	{"joined keys meet that differ in their parts", "unique_bytes", documents(func(d bson.D) bson.D {
		return inside(d, "u", func(u bson.D) bson.D {
			for i := range u {
				u[i].Value = strings.ReplaceAll(u[i].Value.(string), "\x00", "")
			}
			return u
		})
	})},
	{"former keys are not given up first", "unique_moves", statements("updates", func(st bson.D) bson.D { return idle(st, "$unset") })},
	{"an expired holder keeps its key", "expired_key_taken", evicting(func(q bson.D) bson.D {
		if strings.HasPrefix(q[0].Key, "u.") {
			return bson.D{{Key: "_id", Value: "none"}}
		}
		return q
	})},
	{"an expired document keeps its id", "expired_id_replaced", evicting(func(q bson.D) bson.D {
		if q[0].Key == "_id" {
			return bson.D{{Key: "_id", Value: "none"}}
		}
		return q
	})},
	{"a live holder loses its key", "expired_key_taken", evicting(without("e"))},

	// Ranges
	{"equal keys are in no order", "byte_order", finds(func(c bson.D) bson.D {
		return inside(c, "sort", func(sort bson.D) bson.D {
			if len(sort) > 1 {
				sort[len(sort)-1].Value = -1
			}
			return sort
		})
	})},
	{"a range is always ascending", "descending", finds(without("sort"))},
	{"a range has no beginning", "range_bounds", filters(bound("$gte"))},
	{"a range has no end", "range_bounds", filters(bound("$lt"))},
	{"the end is in the range", "range_bounds", filters(func(f bson.D) bson.D { return renamed(f, "$lt", "$lte") })},
	{"the beginning is not in the range", "range_bounds", filters(func(f bson.D) bson.D { return renamed(f, "$gte", "$gt") })},
	{"a place is ignored", "cursor_pages", finds(without("min", "max"))},
	{"a place is in the range behind it", "cursor_pages", finds(func(c bson.D) bson.D {
		return inside(c, "min", func(m bson.D) bson.D {
			for i := range m {
				if s, ok := m[i].Value.(string); ok {
					m[i].Value = strings.TrimSuffix(s, "\x00")
				}
			}
			return m
		})
	})},
	{"a range behind a place has no end", "cursor_with_bounds", finds(without("max"))},
	{"an offset is ignored", "offset_pages", finds(without("skip"))},
	{"a limit is ignored", "limit", finds(without("limit"))},
	{"a page is not of one instant", "whole_commits", finds(without("readConcern"))},
	{"a page with an offset is not of one instant", "whole pages with an offset", func(c bson.D) bson.D {
		return inside(c, "readConcern", without("atClusterTime"))
	}},
	{"a count ignores the range", "count", func(c bson.D) bson.D {
		if c[0].Key == "aggregate" {
			stages := at(c, "pipeline").(bson.A)
			stages[0] = bson.D{{Key: "$match", Value: bson.D{}}}
		}
		return c
	}},

	// Expiry
	{"expired documents are listed", "expiry_on_read", finds(func(c bson.D) bson.D { return inside(c, "filter", without("e")) })},
	{"expired documents are counted", "expiry_on_read", func(c bson.D) bson.D {
		if c[0].Key == "aggregate" {
			stages := at(c, "pipeline").(bson.A)
			stages[0] = inside(stages[0].(bson.D), "$match", without("e"))
		}
		return c
	}},
	{"a document lives at its last instant", "expiry_to_the_millisecond", documents(func(d bson.D) bson.D {
		if e, ok := at(d, "e").(int64); ok && e < 1<<62 {
			return append(without("e")(d), bson.E{Key: "e", Value: e + 1})
		}
		return d
	})},
	{"a sweep removes live documents", "sweep", func(c bson.D) bson.D {
		c = finds(func(c bson.D) bson.D {
			if at(c, "hint") == "expiry" {
				return inside(c, "filter", without("e"))
			}
			return c
		})(c)
		return statements("deletes", func(st bson.D) bson.D {
			if n, _ := at(st, "limit").(int32); n == 0 {
				return inside(st, "q", without("e"))
			}
			return st
		})(c)
	}},
	{"a sweep ignores its limit", "sweep", finds(func(c bson.D) bson.D {
		if at(c, "hint") == "expiry" {
			return without("limit")(c)
		}
		return c
	})},
}

// at is the value of a field; nil without it.
func at(d bson.D, name string) any {
	for _, e := range d {
		if e.Key == name {
			return e.Value
		}
	}
	return nil
}

func without(names ...string) func(bson.D) bson.D {
	return func(d bson.D) bson.D {
		return slices.DeleteFunc(slices.Clone(d), func(e bson.E) bool { return slices.Contains(names, e.Key) })
	}
}

// inside changes a field's document, where conditions hold of the document that it is in.
func inside(d bson.D, name string, change func(bson.D) bson.D, where ...func(bson.D) bool) bson.D {
	for _, holds := range where {
		if !holds(d) {
			return d
		}
	}
	d = slices.Clone(d)
	for i, e := range d {
		if v, ok := e.Value.(bson.D); ok && e.Key == name {
			d[i].Value = change(v)
		}
	}
	return d
}

// statements changes those of a write command.
func statements(field string, change func(bson.D) bson.D) func(bson.D) bson.D {
	return func(c bson.D) bson.D {
		if list, ok := at(c, field).(bson.A); ok {
			for i := range list {
				list[i] = change(list[i].(bson.D))
			}
		}
		return c
	}
}

// documents changes those that are written.
func documents(change func(bson.D) bson.D) func(bson.D) bson.D {
	return func(c bson.D) bson.D {
		c = statements("documents", change)(c)
		return statements("updates", func(st bson.D) bson.D { return inside(st, "u", change, replacement) })(c)
	}
}

// evicting changes the conditions of deletes that remove expired documents in a commit.
func evicting(change func(bson.D) bson.D) func(bson.D) bson.D {
	return statements("deletes", func(st bson.D) bson.D {
		if n, _ := at(st, "limit").(int32); n == 1 && !versioned(st) {
			return inside(without("hint")(st), "q", change)
		}
		return st
	})
}

func finds(change func(bson.D) bson.D) func(bson.D) bson.D {
	return func(c bson.D) bson.D {
		if c[0].Key == "find" && at(c, "hint") != nil {
			return change(c)
		}
		return c
	}
}

func filters(change func(bson.D) bson.D) func(bson.D) bson.D {
	return finds(func(c bson.D) bson.D { return inside(c, "filter", change) })
}

// bound takes one bound of keys away.
func bound(operator string) func(bson.D) bson.D {
	return func(f bson.D) bson.D {
		for _, e := range f {
			if v, ok := e.Value.(bson.D); ok && e.Key != "e" {
				if f = inside(f, e.Key, without(operator)); len(v) == 1 && v[0].Key == operator {
					f = without(e.Key)(f)
				}
			}
		}
		return f
	}
}

func renamed(f bson.D, from, to string) bson.D {
	for _, e := range f {
		if e.Key != "e" {
			f = inside(f, e.Key, func(v bson.D) bson.D {
				v = slices.Clone(v)
				for i := range v {
					if v[i].Key == from {
						v[i].Key = to
					}
				}
				return v
			})
		}
	}
	return f
}

// What a statement is.
func replacement(st bson.D) bool { u, ok := at(st, "u").(bson.D); return ok && at(u, "b") != nil }
func versioned(st bson.D) bool   { q, ok := at(st, "q").(bson.D); return ok && at(q, "v") != nil }

func operator(name string) func(bson.D) bool {
	return func(st bson.D) bool { u, ok := at(st, "u").(bson.D); return ok && at(u, name) != nil }
}

// idle has an update meet its document and leave it as it is.
func idle(st bson.D, name string) bson.D {
	if operator(name)(st) {
		return inside(st, "u", func(bson.D) bson.D {
			return bson.D{{Key: "$set", Value: bson.D{{Key: "v", Value: at(at(st, "q").(bson.D), "v")}}}}
		})
	}
	return st
}

// own are tests of what the conformance suite has no case for.
var own = map[string]func(t storetest.T, s, other *store.Store, server *mongofake.Server){
	"leaves nothing open": func(t storetest.T, s, other *store.Store, _ *mongofake.Server) {
		ctx := t.Context()
		must(t, s.Commit(ctx, store.Insert("things", thing("a", 0))))
		if err := s.Commit(ctx, store.Update("things", thing("a", 1)), store.Check("things", thing("none", 1))); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a commit that fails: %v", err)
		}
		if err := other.Commit(ctx, store.Check("things", thing("a", 1)), store.Insert("things", thing("b", 0))); err != nil {
			t.Errorf("the next one, of another instance: %v", err)
		}
	},
	"repeats one write": func(t storetest.T, s, _ *store.Store, server *mongofake.Server) {
		ctx := t.Context()
		for i, op := range []store.Op{store.Insert("things", thing("a", 0)), store.Check("things", thing("a", 1)), store.Update("things", thing("a", 1)), store.Delete("things", thing("a", 2))} {
			server.Fail(mongofake.Fault{Commands: []string{"insert", "update", "delete"}, After: true})
			if err := s.Commit(ctx, op); err != nil {
				t.Errorf("operation %d, whose answer is lost: %v", i, err)
			}
		}
	},
	"whole pages with an offset": func(t storetest.T, s, _ *store.Store, _ *mongofake.Server) {
		ctx := t.Context()
		of := func(id string, version int64, kind string) store.Doc { // two take turns in being of the kind
			d := thing(id, version)
			d.Keys["kind"] = kind
			return d
		}
		must(t, s.Commit(ctx, store.Insert("things", of("0", 0, "k")), store.Insert("things", of("a", 0, "k")), store.Insert("things", of("b", 0, "x"))))
		var ended atomic.Bool
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for !ended.Load() {
					docs, err := s.Range(ctx, "things", store.Range{Index: "by_kind", Eq: []string{"k"}, Offset: 1})
					if err != nil || len(docs) != 1 || docs[0].Keys["kind"] != "k" {
						t.Errorf("a page is of two instants: %v, %v", docs, err)
						return
					}
				}
			})
		}
		kinds := []string{"x", "k"}
		for v := range int64(300) {
			must(t, s.Commit(ctx, store.Update("things", of("a", v+1, kinds[v%2])), store.Update("things", of("b", v+1, kinds[1-v%2]))))
		}
		ended.Store(true)
		readers.Wait()
	},
}

func must(t storetest.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%v", err)
	}
}

func TestOwn(t *testing.T) {
	for name, test := range own {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := fake(t, mongofake.Options{})
			u := server.URL("test") + patience
			test(t, openStore(t, u, things), openStore(t, u, things), server)
		})
	}
}

// TestPlantedFaults plants each fault on the way to the server and demands that the case or test named with it fails. That
// all of them pass without a fault is what the other tests show.
func TestPlantedFaults(t *testing.T) {
	cases := map[string]storetest.Case{}
	for _, c := range storetest.Cases() {
		cases[c.Name] = c
	}
	for _, f := range planted {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var rewriting atomic.Bool
			server := fake(t, mongofake.Options{Lifetime: time.Minute, Rewrite: func(c bson.D) bson.D {
				if rewriting.Load() {
					return f.rewrite(c)
				}
				return c
			}})
			var failures []string
			if test, ok := own[f.caught]; ok {
				s, other := openStore(t, server.URL("test")+hasty, things), openStore(t, server.URL("test")+hasty, things)
				rewriting.Store(true)
				failures = record(t, func(r *recorder) { test(r, s, other, server) })
			} else if c, ok := cases[f.caught]; ok {
				rewriting.Store(true)
				failures = record(t, func(r *recorder) { c.Run(r, opener(t, server.URL("test")+hasty)) })
			} else {
				t.Fatalf("there is no test %q", f.caught)
			}
			if len(failures) == 0 {
				t.Fatalf("%s does not notice", f.caught)
			}
			t.Logf("%s: %.300s", f.caught, failures[0])
		})
	}
}

// recorder is a storetest.T that notes failures instead of failing.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func record(t *testing.T, run func(*recorder)) []string {
	r := &recorder{ctx: t.Context()}
	var done sync.WaitGroup
	done.Go(func() { run(r) })
	done.Wait()
	for _, f := range r.cleanups {
		f()
	}
	return r.failures
}
