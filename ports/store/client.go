package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options configure a Store.
type Options struct {
	Now    func() time.Time // required: the clock by which expiry is judged
	Sealer Sealer           // required when a collection is Sealed
	// Fence, where it is set, is asked before each Commit and Ping and refuses with its error: a process whose schema
	// is no longer the database's may not write. It may use the Store to read.
	Fence func(context.Context, *Store) error
}

// Sealer encrypts bodies at rest. aad binds the ciphertext to the document's address. Neither method may change
// or keep its arguments.
type Sealer interface {
	Seal(aad, plain []byte) ([]byte, error)
	Open(aad, sealed []byte) ([]byte, error)
	Stale(sealed []byte) bool // it was sealed with a key that seals no more
}

// Store is what core modules use: a Backend behind checks of names, limits and shapes, the clock, and sealing.
// It may be used concurrently.
type Store struct {
	backend     Backend
	schema      Schema
	collections map[string]*collection
	expiring    []string
	options     Options
}

// collection is a declared collection made quick to look things up in.
type collection struct {
	Collection
	indexes map[string]Index
	fields  map[string]bool
}

func (c *collection) index(name string) (Index, bool) {
	x, ok := c.indexes[name]
	return x, ok
}

// New puts a Store before a backend that was opened with the same schema.
func New(b Backend, s Schema, o Options) (*Store, error) {
	if b == nil || o.Now == nil {
		return nil, fmt.Errorf("%w: a store needs a backend and a clock", ErrInvalid)
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	st := &Store{backend: b, schema: s, collections: make(map[string]*collection, len(s)), options: o}
	for _, c := range s {
		if c.Sealed && o.Sealer == nil {
			return nil, fmt.Errorf("%w: collection %s is sealed and there is no sealer", ErrInvalid, c.Name)
		}
		if c.Expires {
			st.expiring = append(st.expiring, c.Name)
		}
		st.collections[c.Name] = newCollection(c)
	}
	return st, nil
}

func newCollection(c Collection) *collection {
	n := &collection{Collection: c, indexes: map[string]Index{"": {}}, fields: map[string]bool{}}
	for _, x := range c.Indexes {
		n.indexes[x.Name] = x
	}
	for _, f := range c.Fields() {
		n.fields[f] = true
	}
	return n
}

func (s *Store) collection(name string) (*collection, error) {
	c, ok := s.collections[name]
	if !ok {
		return nil, fmt.Errorf("%w: no collection %q", ErrInvalid, name)
	}
	return c, nil
}

func (s *Store) now() time.Time { return s.options.Now().UTC().Truncate(time.Millisecond) }

// Get returns one live document or ErrNotFound.
func (s *Store) Get(ctx context.Context, collection, id string) (Doc, error) {
	c, err := s.collection(collection)
	if err != nil {
		return Doc{}, err
	}
	if err := checkID(id); err != nil {
		return Doc{}, err
	}
	docs, err := s.backend.Get(ctx, s.now(), collection, []string{id})
	if err != nil {
		return Doc{}, err
	}
	if len(docs) == 0 {
		return Doc{}, ErrNotFound
	}
	if err := s.open(c, docs[:1]); err != nil {
		return Doc{}, err
	}
	return docs[0], nil
}

// GetMany returns the live documents with these ids, in the order asked, at most MaxPage; missing ones are left
// out. An id that is asked twice is answered twice.
func (s *Store) GetMany(ctx context.Context, collection string, ids []string) ([]Doc, error) {
	c, err := s.collection(collection)
	if err != nil {
		return nil, err
	}
	if len(ids) > MaxPage {
		return nil, fmt.Errorf("%w: %d ids at once, more than %d", ErrInvalid, len(ids), MaxPage)
	}
	place := make(map[string]int, len(ids))
	distinct := make([]string, 0, len(ids))
	for _, id := range ids {
		if err := checkID(id); err != nil {
			return nil, err
		}
		if _, again := place[id]; !again {
			place[id] = -1
			distinct = append(distinct, id)
		}
	}
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	docs, err := s.backend.Get(ctx, s.now(), collection, distinct)
	if err != nil {
		return nil, err
	}
	if err := s.open(c, docs); err != nil {
		return nil, err
	}
	for i, d := range docs {
		place[d.ID] = i
	}
	ordered := make([]Doc, 0, len(docs))
	for _, id := range ids {
		if i := place[id]; i >= 0 {
			ordered = append(ordered, docs[i])
		}
	}
	return ordered, nil
}

// Range returns the live documents of a range in the order of its index.
func (s *Store) Range(ctx context.Context, collection string, r Range) ([]Doc, error) {
	c, err := s.collection(collection)
	if err != nil {
		return nil, err
	}
	r, empty, err := c.resolve(r)
	if err != nil {
		return nil, err
	}
	if empty {
		return nil, ctx.Err()
	}
	docs, err := s.backend.Range(ctx, s.now(), collection, r)
	if err != nil {
		return nil, err
	}
	return docs, s.open(c, docs)
}

// Count counts the live documents of a range, whose After, Offset and Limit must not be set.
func (s *Store) Count(ctx context.Context, collection string, r Range) (int64, error) {
	c, err := s.collection(collection)
	if err != nil {
		return 0, err
	}
	if r.After != "" || r.Offset != 0 || r.Limit != 0 {
		return 0, fmt.Errorf("%w: a count of a page", ErrInvalid)
	}
	r, empty, err := c.resolve(r)
	if err != nil {
		return 0, err
	}
	if empty {
		return 0, ctx.Err()
	}
	r.Desc, r.Limit = false, 0
	return s.backend.Count(ctx, s.now(), collection, r)
}

// open unseals bodies where they are.
func (s *Store) open(c *collection, docs []Doc) error {
	if !c.Sealed {
		return nil
	}
	for i := range docs {
		body, err := s.options.Sealer.Open(address(c.Name, docs[i].ID), docs[i].Body)
		if err != nil {
			return fmt.Errorf("store: opening a body of %s: %w", c.Name, err)
		}
		docs[i].Body = body
	}
	return nil
}

// Sweep removes expired documents of every collection that expires, up to limit each, and says how many.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) {
	if limit < 1 {
		return 0, fmt.Errorf("%w: a sweep of %d documents", ErrInvalid, limit)
	}
	now, total := s.now(), 0
	var failed error
	for _, name := range s.expiring {
		n, err := s.backend.Sweep(ctx, now, name, limit)
		total += n
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return total, failed
}

// Ping asks the engine whether it answers, and the fence whether this process may write.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.backend.Ping(ctx); err != nil {
		return err
	}
	return s.fenced(ctx)
}

func (s *Store) fenced(ctx context.Context) error {
	if s.options.Fence == nil {
		return nil
	}
	return s.options.Fence(ctx, s)
}

// Plan lists the steps that bring the engine's structure up to the schema (see Structured).
func (s *Store) Plan(ctx context.Context) ([]string, error) {
	if b, ok := s.backend.(Structured); ok {
		return b.Plan(ctx)
	}
	return nil, nil
}

// Migrate brings the engine's structure up to the schema (see Structured). It does not touch documents.
func (s *Store) Migrate(ctx context.Context) error {
	if b, ok := s.backend.(Structured); ok {
		return b.Migrate(ctx)
	}
	return nil
}

// Schema is what the store was made with.
func (s *Store) Schema() Schema { return s.schema }

// Close releases the engine.
func (s *Store) Close() error { return s.backend.Close() }

// Cursor is the opaque place of d in the named index, for Range.After. Of names that are not in the schema it
// makes a text that Range refuses.
func (s *Store) Cursor(collection, index string, d Doc) string {
	c := s.collections[collection]
	if c == nil {
		return "!"
	}
	x, ok := c.index(index)
	if !ok {
		return "!"
	}
	return formatCursor(collection, x, d)
}
