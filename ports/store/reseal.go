package store

import (
	"context"
	"errors"
	"fmt"
)

// Resealed is one page of Reseal.
type Resealed struct {
	After string // the next page's cursor; "" behind the last page
	Read  int    // documents looked at
	Stale int    // of them, sealed with a key that seals no more; each was written anew, unless it changed meanwhile
}

// Reseal writes the documents of one page of a sealed collection, in the order of ids, anew under the key that seals.
// Their versions rise. It may run beside all else; repeat the collection until a whole round finds nothing stale.
func (s *Store) Reseal(ctx context.Context, collection, after string, limit int) (Resealed, error) {
	var page Resealed
	c, err := s.collection(collection)
	if err != nil {
		return page, err
	}
	if !c.Sealed {
		return page, fmt.Errorf("%w: %s is not sealed", ErrInvalid, collection)
	}
	r, _, err := c.resolve(Range{After: after, Limit: limit})
	if err != nil {
		return page, err
	}
	docs, err := s.backend.Range(ctx, s.now(), collection, r)
	if err != nil {
		return page, err
	}
	page.Read = len(docs)
	if page.Read == r.Limit {
		page.After = s.Cursor(collection, "", docs[len(docs)-1])
	}
	var ops []Op
	size := 0
	for i := range docs {
		if !s.options.Sealer.Stale(docs[i].Body) {
			continue
		}
		page.Stale++
		if err := s.open(c, docs[i:i+1]); err != nil {
			return page, err
		}
		n := len(docs[i].Body) + MaxKeyBytes
		if len(ops) == resealOps || size+n > resealBytes {
			if err := s.reseal(ctx, ops); err != nil {
				return page, err
			}
			ops, size = nil, 0
		}
		ops, size = append(ops, Update(collection, docs[i])), size+n
	}
	return page, s.reseal(ctx, ops)
}

// One commit of Reseal, small enough not to hold others up.
const (
	resealOps   = 100
	resealBytes = MaxCommitBytes / 4
)

// reseal commits at once, or one by one where a document changed meanwhile: that one was sealed by whoever changed it.
func (s *Store) reseal(ctx context.Context, ops []Op) error {
	err := s.Commit(ctx, ops...)
	if !errors.Is(err, ErrConflict) || len(ops) == 1 {
		return ignoreConflict(err)
	}
	for _, op := range ops {
		if err := ignoreConflict(s.Commit(ctx, op)); err != nil {
			return err
		}
	}
	return nil
}

func ignoreConflict(err error) error {
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}
