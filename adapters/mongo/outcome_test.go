package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/mongo"
	"github.com/portico-sso/portico/internal/mongofake"
	"github.com/portico-sso/portico/ports/store"
)

var things = store.Schema{{Name: "things", Expires: true, Indexes: []store.Index{
	{Name: "by_name", Fields: []string{"name"}, Unique: true}, {Name: "by_kind", Fields: []string{"kind"}}}}}

func openStore(t testing.TB, address string, s store.Schema) *store.Store {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b, err := mongo.Driver.Open(t.Context(), u, s, quiet)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(b, s, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

func thing(id string, version int64) store.Doc {
	return store.Doc{ID: id, Version: version, Body: []byte("{}"), Keys: map[string]string{"name": id, "kind": "k"}}
}

// Ways in which a call can fail. The driver waits half a second before it repeats what the network lost, until it has
// heard of the server again.
const (
	always   = 1 << 20
	patience = "?timeoutMS=30000&serverSelectionTimeoutMS=30000" // more than a busy machine needs
	hasty    = "?timeoutMS=1500&serverSelectionTimeoutMS=1200"
)

var errOther = errors.New("an error without an outcome")

// TestOutcomes holds what commits answer when the server, or the way to it, fails: nothing but the truth.
func TestOutcomes(t *testing.T) {
	one := []store.Op{store.Update("things", thing("a", 1))}
	two := []store.Op{store.Update("things", thing("a", 1)), store.Insert("things", thing("new", 0))}
	const commit, update = "commitTransaction", "update"
	for _, c := range []struct {
		name   string
		ops    []store.Op
		url    string
		faults []mongofake.Fault
		want   error
		made   bool
	}{
		// Several operations: until the commit is sent, nothing can have been applied.
		{"no fault", two, patience, nil, nil, true},
		{"cut before a statement", two, patience, []mongofake.Fault{{Commands: []string{update}, Before: true}}, store.ErrUnavailable, false},
		{"cut after a statement", two, patience, []mongofake.Fault{{Commands: []string{update}, After: true}}, store.ErrUnavailable, false},
		{"a statement meets no primary", two, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 10107, Times: always}}, store.ErrUnavailable, false},
		{"a statement is interrupted by a stepdown", two, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 11602, Times: always}}, store.ErrUnavailable, false},
		{"a statement takes too long", two, hasty, []mongofake.Fault{{Commands: []string{update}, Delay: 2 * time.Second}}, store.ErrUnavailable, false},
		{"a statement meets a write", two, patience, []mongofake.Fault{{Commands: []string{update}, Code: 112, Times: 3}}, nil, true},
		{"a statement meets a lock", two, patience, []mongofake.Fault{{Commands: []string{"insert"}, Code: 24, Times: 2}}, nil, true},
		{"a statement meets a new index", two, patience, []mongofake.Fault{{Commands: []string{update}, Code: 246}}, nil, true},
		{"a statement meets writes without end", two, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 112, Times: always}}, store.ErrUnavailable, false},
		{"a statement is not allowed", two, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 13}}, errOther, false},
		{"cut before the commit", two, patience, []mongofake.Fault{{Commands: []string{commit}, Before: true}}, nil, true},
		{"cut after the commit", two, patience, []mongofake.Fault{{Commands: []string{commit}, After: true}}, nil, true},
		{"cut before the commit, always", two, hasty, []mongofake.Fault{{Commands: []string{commit}, Before: true, Times: always}}, store.ErrUncertain, false},
		{"cut after the commit, always", two, hasty, []mongofake.Fault{{Commands: []string{commit}, After: true, Times: always}}, store.ErrUncertain, true},
		{"the commit meets no primary once", two, patience, []mongofake.Fault{{Commands: []string{commit}, Code: 10107}}, nil, true},
		{"the commit meets no primary", two, hasty, []mongofake.Fault{{Commands: []string{commit}, Code: 10107, Times: always}}, store.ErrUnavailable, false},
		{"the commit is interrupted, surely before it wrote", two, hasty, []mongofake.Fault{{Commands: []string{commit}, Code: 11602, Times: always}}, store.ErrUnavailable, false},
		{"the commit is interrupted", two, hasty, []mongofake.Fault{{Commands: []string{commit}, Code: 11602, Times: always, Labels: []string{"RetryableWriteError"}}}, store.ErrUncertain, false},
		{"the answer is lost, then there is no primary", two, hasty, []mongofake.Fault{{Commands: []string{commit}, After: true}, {Commands: []string{commit}, Code: 10107, Times: always}}, store.ErrUncertain, true},
		{"the transaction is gone", two, patience, []mongofake.Fault{{Commands: []string{commit}, Code: 251}}, nil, true},
		{"the commit meets a write", two, patience, []mongofake.Fault{{Commands: []string{commit}, Code: 112}}, nil, true},
		{"the commit is not replicated in time", two, hasty, []mongofake.Fault{{Commands: []string{commit}, WriteConcern: 64, Times: always}}, store.ErrUncertain, true},
		{"there are too few members", two, hasty, []mongofake.Fault{{Commands: []string{commit}, WriteConcern: 100, Times: always}}, store.ErrUncertain, true},
		{"the commit takes too long", two, hasty, []mongofake.Fault{{Commands: []string{commit}, Delay: 2 * time.Second, Times: always}}, store.ErrUncertain, false},
		{"the commit takes too long once", two, patience, []mongofake.Fault{{Commands: []string{commit}, Delay: 1100 * time.Millisecond}}, nil, true},

		// One operation: the driver repeats it, and the server knows it again.
		{"one: no fault", one, patience, nil, nil, true},
		{"one: cut before", one, patience, []mongofake.Fault{{Commands: []string{update}, Before: true}}, nil, true},
		{"one: cut after", one, patience, []mongofake.Fault{{Commands: []string{update}, After: true}}, nil, true},
		{"one: cut before, always", one, hasty, []mongofake.Fault{{Commands: []string{update}, Before: true, Times: always}}, store.ErrUncertain, false},
		{"one: cut after, always", one, hasty, []mongofake.Fault{{Commands: []string{update}, After: true, Times: always}}, store.ErrUncertain, true},
		{"one: no primary once", one, patience, []mongofake.Fault{{Commands: []string{update}, Code: 10107}}, nil, true},
		{"one: no primary", one, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 10107, Times: always}}, store.ErrUnavailable, false},
		{"one: shut down, surely before it wrote", one, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 11600, Times: always}}, store.ErrUnavailable, false},
		{"one: shut down", one, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 11600, Times: always, Labels: []string{"RetryableWriteError"}}}, store.ErrUncertain, false},
		{"one: the answer is lost, then there is no primary", one, hasty, []mongofake.Fault{{Commands: []string{update}, After: true}, {Commands: []string{update}, Code: 10107, Times: always}}, store.ErrUncertain, true},
		{"one: written by a primary that steps down, then there is none", one, hasty, []mongofake.Fault{{Commands: []string{update}, WriteConcern: 91}, {Commands: []string{update}, Code: 10107, Times: always}}, store.ErrUncertain, true},
		{"one: written by a primary that steps down", one, patience, []mongofake.Fault{{Commands: []string{update}, WriteConcern: 91}}, nil, true},
		{"one: not replicated in time", one, hasty, []mongofake.Fault{{Commands: []string{update}, WriteConcern: 64}}, store.ErrUncertain, true},
		{"one: out of time", one, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 50}}, store.ErrUncertain, false},
		{"one: too slow", one, hasty, []mongofake.Fault{{Commands: []string{update}, Delay: 2 * time.Second}}, store.ErrUncertain, false},
		{"one: not allowed", one, hasty, []mongofake.Fault{{Commands: []string{update}, Code: 13}}, errOther, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := fake(t, mongofake.Options{Lifetime: 10 * time.Minute})
			s := openStore(t, server.URL("test")+c.url, things)
			if err := s.Commit(t.Context(), store.Insert("things", thing("a", 0))); err != nil {
				t.Fatal(err)
			}
			for _, f := range c.faults {
				server.Fail(f)
			}
			if err := s.Commit(t.Context(), c.ops...); !outcome(err, c.want) {
				t.Errorf("commit: %v, want %v", err, c.want)
			}
			server.Heal()
			direct := openStore(t, server.URL("test")+patience, things)
			d, err := direct.Get(t.Context(), "things", "a")
			if (d.Version == 2) != c.made || err != nil {
				t.Errorf("the document is at version %d, %v, and that the commit was made is %t", d.Version, err, c.made)
			}
			// What the commit left open is ended: others do not wait for it.
			if err := direct.Commit(t.Context(), store.Update("things", d), store.Insert("things", thing("after", 0))); err != nil {
				t.Errorf("a commit after: %v", err)
			}
		})
	}
}

// outcome says whether an error is this one of the port's outcomes and no other.
func outcome(err, want error) bool {
	all := []error{store.ErrConflict, store.ErrUnavailable, store.ErrUncertain, store.ErrNotFound, store.ErrClosed, store.ErrInvalid, context.DeadlineExceeded}
	for _, o := range all[:6] {
		if errors.Is(err, o) != (o == want) { //nolint:errorlint // one of the list
			return false
		}
	}
	return (err == nil) == (want == nil)
}

// TestReadOutcomes holds what reads answer when the server fails.
func TestReadOutcomes(t *testing.T) {
	reads := []string{"find", "aggregate", "ping", "listCollections", "listIndexes"}
	for _, c := range []struct {
		name  string
		url   string
		fault mongofake.Fault
		want  error
	}{
		{"no fault", patience, mongofake.Fault{}, nil},
		{"cut once", patience, mongofake.Fault{Before: true}, nil},
		{"cut after once", patience, mongofake.Fault{After: true}, nil},
		{"cut", hasty, mongofake.Fault{Before: true, Times: always}, store.ErrUnavailable},
		{"no primary", hasty, mongofake.Fault{Code: 13435, Times: always}, store.ErrUnavailable},
		{"interrupted", hasty, mongofake.Fault{Code: 11602, Times: always}, store.ErrUnavailable},
		{"slow", hasty, mongofake.Fault{Delay: 2 * time.Second, Times: always}, store.ErrUnavailable},
		{"not allowed", hasty, mongofake.Fault{Code: 13, Times: always}, errOther},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := fake(t, mongofake.Options{})
			s, ctx := openStore(t, server.URL("test")+c.url, things), t.Context()
			if err := s.Commit(ctx, store.Insert("things", thing("a", 0)), store.Insert("things", thing("b", 0))); err != nil {
				t.Fatal(err)
			}
			c.fault.Commands = reads
			for what, call := range map[string]func() error{
				"get":    func() error { _, err := s.Get(ctx, "things", "a"); return err },
				"range":  func() error { _, err := s.Range(ctx, "things", store.Range{Index: "by_kind"}); return err },
				"offset": func() error { _, err := s.Range(ctx, "things", store.Range{Index: "by_kind", Offset: 1}); return err },
				"count":  func() error { _, err := s.Count(ctx, "things", store.Range{}); return err },
				"plan":   func() error { _, err := s.Plan(ctx); return err },
				"ping":   func() error { return s.Ping(ctx) },
			} {
				server.Heal()
				server.Fail(c.fault)
				if what == "ping" && c.want == nil && c.name != "no fault" {
					continue // a ping is not repeated
				}
				if err := call(); !outcome(err, c.want) {
					t.Errorf("%s: %v, want %v", what, err, c.want)
				}
			}
		})
	}
}

// TestSnapshotsAreAskedForAgain has the server not have a snapshot, as where an index was just made.
func TestSnapshotsAreAskedForAgain(t *testing.T) {
	server := fake(t, mongofake.Options{})
	s, ctx := openStore(t, server.URL("test")+patience, things), t.Context()
	for code, times := range map[int32]int{246: 3, 239: 3} {
		for _, r := range []store.Range{{Index: "by_kind"}, {Index: "by_kind", Offset: 1}} {
			server.Fail(mongofake.Fault{Commands: []string{"find"}, Code: code, Times: times})
			if _, err := s.Range(ctx, "things", r); err != nil {
				t.Errorf("code %d: %v", code, err)
			}
		}
		server.Fail(mongofake.Fault{Commands: []string{"aggregate"}, Code: code, Times: times})
		if _, err := s.Count(ctx, "things", store.Range{}); err != nil {
			t.Errorf("code %d: %v", code, err)
		}
	}
	s = openStore(t, server.URL("test")+hasty, things)
	server.Fail(mongofake.Fault{Commands: []string{"find"}, Code: 246, Times: always})
	if _, err := s.Range(ctx, "things", store.Range{}); !outcome(err, store.ErrUnavailable) {
		t.Errorf("without end: %v", err)
	}
}

// TestShortContexts holds that a call answers its context's error where it has less time than the server needs, and that a
// commit on its way is not given up.
func TestShortContexts(t *testing.T) {
	server := fake(t, mongofake.Options{})
	s := openStore(t, server.URL("test")+patience, things)
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	slow := mongofake.Fault{Commands: []string{"find", "aggregate", "insert", "update", "commitTransaction"}, Delay: 200 * time.Millisecond, Times: always}
	if err := s.Commit(t.Context(), store.Insert("things", thing("a", 0))); err != nil {
		t.Fatal(err)
	}
	server.Fail(slow)
	_, err := s.Get(short(), "things", "a")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if err := s.Commit(short(), store.Update("things", thing("a", 1)), store.Insert("things", thing("b", 0))); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUncertain) {
		t.Errorf("a commit that is slow before its end: %v", err)
	}
	server.Heal()
	server.Fail(mongofake.Fault{Commands: []string{"update", "commitTransaction"}, Delay: 200 * time.Millisecond, Times: always})
	if err := s.Commit(short(), store.Update("things", thing("a", 1))); err != nil {
		t.Errorf("one operation on its way: %v", err)
	}
	server.Heal()
	server.Fail(mongofake.Fault{Commands: []string{"commitTransaction"}, Delay: 200 * time.Millisecond, Times: always})
	if err := s.Commit(short(), store.Update("things", thing("a", 2)), store.Insert("things", thing("b", 0))); err != nil {
		t.Errorf("a commit on its way: %v", err)
	}
}

// TestPrimaryLost has the primary step down under a store, and the server stop and start.
func TestPrimaryLost(t *testing.T) {
	server := fake(t, mongofake.Options{})
	s, ctx := openStore(t, server.URL("test")+"?timeoutMS=1500&serverSelectionTimeoutMS=300", things), t.Context()
	n := 0
	works := func(when string) {
		t.Helper()
		n++
		for end := time.Now().Add(20 * time.Second); ; {
			err := s.Commit(ctx, store.Insert("things", thing(fmt.Sprint(n), 0)), store.Insert("things", thing(fmt.Sprint(n, "b"), 0)))
			if err == nil {
				break
			}
			if !errors.Is(err, store.ErrUnavailable) || time.Now().After(end) {
				t.Fatalf("%s: %v", when, err)
			}
		}
		if err := s.Ping(ctx); err != nil {
			t.Errorf("%s: ping: %v", when, err)
		}
	}
	lost := func(when string) {
		t.Helper()
		_, err := s.Get(ctx, "things", "1")
		for what, err := range map[string]error{"get": err, "ping": s.Ping(ctx),
			"one":     s.Commit(ctx, store.Insert("things", thing("lost", 0))),
			"several": s.Commit(ctx, store.Insert("things", thing("lost", 0)), store.Insert("things", thing("lost2", 0)))} {
			if !outcome(err, store.ErrUnavailable) {
				t.Errorf("%s: %s: %v, want ErrUnavailable", when, what, err)
			}
		}
	}
	works("at first")
	server.StepDown()
	lost("stepped down")
	server.StepUp()
	works("stepped up")
	server.Stop()
	lost("stopped")
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	works("started")
	if docs, err := s.GetMany(ctx, "things", []string{"1", "lost", "2", "lost2", "3b"}); len(docs) != 3 || err != nil {
		t.Errorf("%d documents, %v, want those that were acknowledged", len(docs), err)
	}
}

// TestLargeDocuments reads pages that take several messages, at one instant.
func TestLargeDocuments(t *testing.T) {
	s, ctx := openStore(t, fake(t, mongofake.Options{}).URL("test"), things), t.Context()
	var ids []string
	for i := range 6 {
		d := thing(fmt.Sprint(i), 0)
		d.Body = []byte(strings.Repeat("x", store.MaxCommitBytes-100))
		ids = append(ids, d.ID)
		if err := s.Commit(ctx, store.Insert("things", d)); err != nil {
			t.Fatal(err)
		}
	}
	for what, read := range map[string]func() ([]store.Doc, error){
		"range":  func() ([]store.Doc, error) { return s.Range(ctx, "things", store.Range{Index: "by_name"}) },
		"offset": func() ([]store.Doc, error) { return s.Range(ctx, "things", store.Range{Index: "by_name", Offset: 1}) },
		"get":    func() ([]store.Doc, error) { return s.GetMany(ctx, "things", ids) },
	} {
		docs, err := read()
		if want := map[string]int{"range": 6, "offset": 5, "get": 6}[what]; len(docs) != want || err != nil {
			t.Errorf("%s: %d documents, %v, want %d", what, len(docs), err, want)
		}
	}
}
