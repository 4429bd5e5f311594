package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// The suite's collections.
const (
	people = "people" // plain documents with unique names in a tenant
	tokens = "tokens" // documents that expire
	vault  = "vault"  // sealed documents
	wide   = "wide"   // an index of four fields
)

var schema = store.Schema{
	{Name: people, Indexes: []store.Index{
		{Name: "by_name", Fields: []string{"tenant", "name"}, Unique: true},
		{Name: "by_badge", Fields: []string{"badge"}, Unique: true},
		{Name: "by_rank", Fields: []string{"team", "rank"}},
		{Name: "by_first", Fields: []string{"name"}}, // of a field that an older schema's documents have as well
	}},
	{Name: tokens, Expires: true, Indexes: []store.Index{
		{Name: "by_hash", Fields: []string{"hash"}, Unique: true},
		{Name: "by_owner", Fields: []string{"owner"}},
	}},
	{Name: vault, Sealed: true, Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}}}},
	{Name: wide, Indexes: []store.Index{{Name: "by_all", Fields: []string{"a", "b", "c", "d"}, Unique: true}}},
}

var testKey = seal.Key{ID: "test", Secret: [32]byte{1, 2, 3}}

// clock is the suite's time, which stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// env is what a case has: an empty store and helpers that fail the test.
type env struct {
	T
	*store.Store
	*clock
	ctx     context.Context
	open    Open
	schema  store.Schema
	backend store.Backend
}

func start(t T, open Open, older store.Schema) *env {
	t.Helper()
	e := &env{T: t, ctx: t.Context(), open: open, clock: &clock{now: time.Date(2030, 5, 17, 12, 0, 0, 0, time.UTC)}}
	if e.schema = older; older == nil {
		e.schema = schema
	}
	e.reopen()
	e.Cleanup(func() { _ = e.Store.Close() })
	return e
}

// reopen opens the backend, again after Close.
func (e *env) reopen() {
	e.Helper()
	b, err := e.open(e.ctx, e.schema)
	if err != nil {
		e.Fatalf("open: %v", err)
	}
	ring, err := seal.NewKeyring([]seal.Key{testKey})
	if err != nil {
		e.Fatalf("keyring: %v", err)
	}
	e.backend = b
	if e.Store, err = store.New(b, e.schema, store.Options{Now: e.Now, Sealer: ring}); err != nil {
		e.Fatalf("store: %v", err)
	}
	for range 2 { // again does nothing
		if err := e.Migrate(e.ctx); err != nil {
			e.Fatalf("migrate: %v", err)
		}
	}
	if plan, err := e.Plan(e.ctx); len(plan) > 0 || err != nil {
		e.Fatalf("plan after migrating: %q, %v", plan, err)
	}
}

type keys = map[string]string

func person(id, tenant, name string) store.Doc {
	return store.Doc{ID: id, Body: []byte(`{"id":"` + id + `"}`), Keys: keys{"tenant": tenant, "name": name}}
}

func ranked(id, rank string) store.Doc {
	return store.Doc{ID: id, Body: []byte("{}"), Keys: keys{"team": "t", "rank": rank}}
}

func (e *env) token(id, hash, owner string, lives time.Duration) store.Doc {
	return store.Doc{ID: id, Body: []byte("{}"), Keys: keys{"hash": hash, "owner": owner}, ExpiresAt: e.Now().Add(lives)}
}

// at is d as it is stored at a version.
func at(d store.Doc, version int64) store.Doc {
	d.Version = version
	return d
}

func with(d store.Doc, k keys) store.Doc {
	d.Keys = k
	return d
}

func (e *env) commit(ops ...store.Op) {
	e.Helper()
	if err := e.Commit(e.ctx, ops...); err != nil {
		e.Fatalf("commit: %v", err)
	}
}

func (e *env) insert(collection string, docs ...store.Doc) {
	e.Helper()
	for chunk := range slices.Chunk(docs, store.MaxCommitOps) {
		ops := make([]store.Op, 0, len(chunk))
		for _, d := range chunk {
			ops = append(ops, store.Insert(collection, d))
		}
		e.commit(ops...)
	}
}

// refused runs a commit that must answer want.
func (e *env) refused(want error, what string, ops ...store.Op) {
	e.Helper()
	if err := e.Commit(e.ctx, ops...); !errors.Is(err, want) {
		e.Errorf("%s: commit answers %v, want %v", what, err, want)
	}
}

// taken runs a commit that must answer that the index is taken.
func (e *env) taken(collection, index, what string, ops ...store.Op) {
	e.Helper()
	if err := e.Commit(e.ctx, ops...); !store.Taken(err, collection, index) {
		e.Errorf("%s: commit answers %v, want that %q of %s is taken", what, err, index, collection)
	}
}

// holds says that the document is stored so.
func (e *env) holds(collection string, want store.Doc) {
	e.Helper()
	got, err := e.Get(e.ctx, collection, want.ID)
	if err != nil {
		e.Errorf("get %s %q: %v", collection, want.ID, err)
		return
	}
	if !same(got, want) {
		e.Errorf("get %s %.60q: %s, want %s", collection, want.ID, show(got), show(want))
	}
}

func (e *env) missing(collection string, ids ...string) {
	e.Helper()
	for _, id := range ids {
		if d, err := e.Get(e.ctx, collection, id); !errors.Is(err, store.ErrNotFound) {
			e.Errorf("get %s %q: %v, %v, want ErrNotFound", collection, id, d, err)
		}
	}
}

func (e *env) page(collection string, r store.Range) []store.Doc {
	e.Helper()
	docs, err := e.Range(e.ctx, collection, r)
	if err != nil {
		e.Fatalf("range %s %+v: %v", collection, r, err)
	}
	return docs
}

// lists says that a range answers these ids, and, where it is not a page, counts so many.
func (e *env) lists(collection string, r store.Range, want ...string) {
	e.Helper()
	if got := ids(e.page(collection, r)); !slices.Equal(got, want) {
		e.Errorf("range %s %+v: %q, want %q", collection, r, got, want)
	}
	if r.After == "" && r.Offset == 0 && r.Limit == 0 {
		e.counts(collection, r, len(want))
	}
}

func (e *env) counts(collection string, r store.Range, want int) {
	e.Helper()
	n, err := e.Count(e.ctx, collection, r)
	if err != nil {
		e.Fatalf("count %s %+v: %v", collection, r, err)
	}
	if n != int64(want) {
		e.Errorf("count %s %+v: %d, want %d", collection, r, n, want)
	}
}

func ids(docs []store.Doc) []string {
	all := make([]string, 0, len(docs))
	for _, d := range docs {
		all = append(all, d.ID)
	}
	return all
}

// same compares documents; a key that is "" is as good as absent.
func same(a, b store.Doc) bool {
	return a.ID == b.ID && a.Version == b.Version && bytes.Equal(a.Body, b.Body) && a.ExpiresAt.Equal(b.ExpiresAt) &&
		sameKeys(a.Keys, b.Keys) && sameKeys(b.Keys, a.Keys)
}

// show is a document with no more of its body than one reads.
func show(d store.Doc) string {
	return fmt.Sprintf("{version %d, %d bytes %.60q, keys %q, expires %s}", d.Version, len(d.Body), d.Body, d.Keys, d.ExpiresAt)
}

func sameKeys(a, b keys) bool {
	for field, v := range a {
		if b[field] != v {
			return false
		}
	}
	return true
}

// together runs n calls at once and answers their errors.
func together(n int, call func(i int) error) []error {
	errs := make([]error, n)
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-gate
			errs[i] = call(i)
		})
	}
	close(gate)
	all.Wait()
	return errs
}
