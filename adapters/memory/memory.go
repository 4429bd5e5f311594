// Package memory keeps documents in maps under a mutex. It is for tests: what it holds ends with the process.
package memory

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// Driver opens an empty backend for each memory: URL.
var Driver = store.Driver{
	Schemes: []string{"memory"},
	Open: func(_ context.Context, _ *url.URL, s store.Schema, _ store.DriverOptions) (store.Backend, error) {
		if err := s.Validate(); err != nil {
			return nil, err
		}
		return New(s), nil
	},
}

// Backend implements store.Backend.
type Backend struct {
	closed atomic.Bool
	mu     sync.RWMutex
	tables map[string]*table
}

// New makes an empty backend for a valid schema.
func New(s store.Schema) *Backend {
	b := &Backend{tables: map[string]*table{}}
	for _, c := range s {
		b.tables[c.Name] = newTable(c)
	}
	return b
}

// Reopen makes a backend with the documents that a closed one had, as a restarted program has them; the schema may
// have grown.
func (b *Backend) Reopen(s store.Schema) *Backend {
	n := New(s)
	for name, t := range n.tables {
		if old := b.tables[name]; old != nil {
			for _, d := range old.docs {
				t.put(d)
			}
		}
	}
	return n
}

func (b *Backend) usable(ctx context.Context) error {
	if b.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

func (b *Backend) table(name string) (*table, error) {
	t, ok := b.tables[name]
	if !ok {
		return nil, fmt.Errorf("%w: no collection %q", store.ErrInvalid, name)
	}
	return t, nil
}

// read runs fn on a collection that nobody changes meanwhile.
func (b *Backend) read(ctx context.Context, collection string, fn func(*table) error) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	t, err := b.table(collection)
	if err != nil {
		return err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return fn(t)
}

// Get implements store.Backend.
func (b *Backend) Get(ctx context.Context, now time.Time, collection string, ids []string) (docs []store.Doc, err error) {
	err = b.read(ctx, collection, func(t *table) error {
		docs = make([]store.Doc, 0, len(ids))
		for _, id := range ids {
			if d, ok := t.live(id, now); ok {
				docs = append(docs, clone(d))
			}
		}
		return nil
	})
	return docs, err
}

// Range implements store.Backend.
func (b *Backend) Range(ctx context.Context, now time.Time, collection string, r store.Range) (docs []store.Doc, err error) {
	err = b.read(ctx, collection, func(t *table) error {
		entries, err := t.scan(r)
		if err != nil {
			return err
		}
		skip := r.Offset
		for e := range entries {
			d, ok := t.live(entryID(e), now)
			switch {
			case !ok:
				continue
			case skip > 0:
				skip--
				continue
			}
			if docs = append(docs, clone(d)); len(docs) == r.Limit {
				break
			}
		}
		return nil
	})
	return docs, err
}

// Count implements store.Backend.
func (b *Backend) Count(ctx context.Context, now time.Time, collection string, r store.Range) (n int64, err error) {
	err = b.read(ctx, collection, func(t *table) error {
		entries, err := t.scan(r)
		if err != nil {
			return err
		}
		for e := range entries {
			if _, ok := t.live(entryID(e), now); ok {
				n++
			}
		}
		return nil
	})
	return n, err
}

// Sweep implements store.Backend.
func (b *Backend) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	if err := b.usable(ctx); err != nil {
		return 0, err
	}
	t, err := b.table(collection)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for id, d := range t.docs {
		if n == limit {
			break
		}
		if expired(d, now) {
			t.remove(id)
			n++
		}
	}
	return n, nil
}

// Ping implements store.Backend.
func (b *Backend) Ping(ctx context.Context) error { return b.usable(ctx) }

// Close implements store.Backend.
func (b *Backend) Close() error {
	b.closed.Store(true)
	return nil
}
