package store

import (
	"context"
	"time"
)

// Options configure a Store.
type Options struct {
	Now    func() time.Time // required: the clock by which expiry is judged
	Sealer Sealer           // required when a collection is Sealed
}

// Sealer encrypts bodies at rest. aad binds the ciphertext to the document's address.
type Sealer interface {
	Seal(aad, plain []byte) ([]byte, error)
	Open(aad, sealed []byte) ([]byte, error)
}

// Store is what core modules use: a Backend behind checks of names, limits and shapes, the clock, and sealing.
type Store struct {
	backend Backend
	schema  Schema
	options Options
}

// New puts a Store before a backend that was opened with the same schema.
func New(b Backend, s Schema, o Options) (*Store, error) { panic("to be written") }

// Get returns one live document or ErrNotFound.
func (s *Store) Get(ctx context.Context, collection, id string) (Doc, error) { panic("to be written") }

// GetMany returns the live documents with these ids, in the order asked; missing ones are left out.
func (s *Store) GetMany(ctx context.Context, collection string, ids []string) ([]Doc, error) {
	panic("to be written")
}

// Range returns the live documents of a range in the order of its index.
func (s *Store) Range(ctx context.Context, collection string, r Range) ([]Doc, error) {
	panic("to be written")
}

// Count counts the live documents of a range.
func (s *Store) Count(ctx context.Context, collection string, r Range) (int64, error) {
	panic("to be written")
}

// Commit applies all operations or none.
func (s *Store) Commit(ctx context.Context, ops ...Op) error { panic("to be written") }

// Sweep removes expired documents of every collection that expires, up to limit each, and says how many.
func (s *Store) Sweep(ctx context.Context, limit int) (int, error) { panic("to be written") }

// Ping asks the engine whether it answers.
func (s *Store) Ping(ctx context.Context) error { panic("to be written") }

// Close releases the engine.
func (s *Store) Close() error { panic("to be written") }

// Cursor is the opaque place of d in the named index, for Range.After.
func (s *Store) Cursor(collection, index string, d Doc) string { panic("to be written") }

// CommitBoth commits to two stores what would be one commit if they were one: when records and sessions are the
// same Store, in a single Commit; else the records first, which must then be repeatable.
func CommitBoth(ctx context.Context, records *Store, r []Op, sessions *Store, s []Op) error {
	panic("to be written")
}

// Retry reruns fn while it answers ErrConflict, a bounded number of times with jitter.
func Retry(ctx context.Context, fn func() error) error { panic("to be written") }
