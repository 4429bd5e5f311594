package bunstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// Commit implements store.Backend.
//
// The statements run in an order that frees keys before they are taken and that is the same for all commits, so
// that two of them wait for each other in one direction only. What that order cannot free, an expired holder's key
// or one that a later update gives up, is freed in a second try, since it is rare.
func (b *Backend) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	for _, op := range ops {
		if b.tables[op.Collection] == nil {
			return fmt.Errorf("%w: no collection %q", store.ErrInvalid, op.Collection)
		}
	}
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, c store.Op) int {
		return cmp.Or(cmp.Compare(phase[a.Kind], phase[c.Kind]), cmp.Compare(a.Collection, c.Collection), cmp.Compare(a.Doc.ID, c.Doc.ID))
	})
	c := commit{Backend: b, ctx: ctx, now: now, ops: ops}
	err := c.try()
	var taken *store.TakenError
	if errors.As(err, &taken) && c.mayFree(taken.Collection) {
		c.free = true
		err = c.try()
	}
	return err
}

var phase = [...]int{store.OpDelete: 1, store.OpCheck: 2, store.OpUpdate: 3, store.OpInsert: 4}

// commit is one Commit under way.
type commit struct {
	*Backend
	ctx  context.Context
	now  time.Time
	ops  []store.Op
	free bool // first free what a later statement takes
	tx   transaction
}

// mayFree says whether a key of the collection may be taken by a document that need not hold it.
func (c *commit) mayFree(collection string) bool {
	updates := 0
	for _, op := range c.ops {
		if op.Kind == store.OpUpdate && op.Collection == collection {
			updates++
		}
	}
	return updates > 1 || c.tables[collection].Expires
}

func (c *commit) try() error {
	if err := c.prepare(); err != nil {
		return c.outcome(c.ctx, err)
	}
	return c.transact(c.ctx, func(tx transaction) error {
		c.tx = tx
		return c.all()
	})
}

// transact runs fn in a transaction, which ends whatever fn does: a panic must not keep the writer.
func (b *Backend) transact(ctx context.Context, fn func(transaction) error) error {
	tx, err := b.writer.begin(ctx)
	if err != nil {
		return b.outcome(ctx, err)
	}
	done := false
	defer func() {
		if !done {
			tx.rollback()
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	done = true
	if err := tx.commit(); err != nil {
		return b.uncommitted(ctx, err)
	}
	return nil
}

func (c *commit) prepare() error {
	for _, op := range c.ops {
		t := c.tables[op.Collection]
		if err := c.writer.prepare(c.ctx, t.writes[op.Kind]); err != nil {
			return err
		}
		if !c.free {
			continue
		}
		for _, s := range t.frees() {
			if err := c.writer.prepare(c.ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *commit) all() error {
	if c.free {
		for _, op := range c.ops {
			if err := c.freeFor(c.tables[op.Collection], op); err != nil {
				return err
			}
		}
	}
	for _, op := range c.ops {
		if err := c.one(c.tables[op.Collection], op); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) one(t *table, op store.Op) error {
	args, s := make([]any, 0, t.most), t.writes[op.Kind]
	switch op.Kind {
	case store.OpInsert:
		_, err := c.exec(t, s, t.values(append(args, op.Doc.ID, int64(1)), op.Doc))
		return err
	case store.OpUpdate:
		return c.guarded(t, s, t.guard(t.values(args, op.Doc), op.Doc, c.now))
	case store.OpCheck:
		if c.dialect.Embedded {
			return c.found(t, s, t.guard(args, op.Doc, c.now))
		}
	}
	return c.guarded(t, s, t.guard(args, op.Doc, c.now))
}

// freeFor takes away what the operation's document may have: the place and keys of expired documents, and its own
// former keys.
func (c *commit) freeFor(t *table, op store.Op) error {
	if op.Kind != store.OpInsert && op.Kind != store.OpUpdate {
		return nil
	}
	if t.Expires {
		now := c.now.UnixMilli()
		if _, err := c.exec(t, t.evictID, []any{op.Doc.ID, now}); err != nil {
			return err
		}
		for i, x := range t.unique {
			if key := uniqueValue(x, op.Doc); key != nil {
				if _, err := c.exec(t, t.evictKey[i], []any{key, now}); err != nil {
					return err
				}
			}
		}
	}
	if op.Kind == store.OpUpdate && t.release != nil {
		return c.guarded(t, t.release, t.guard(nil, op.Doc, c.now))
	}
	return nil
}

// guarded runs a statement that must meet its document.
func (c *commit) guarded(t *table, s *statement, args []any) error {
	n, err := c.exec(t, s, args)
	if err == nil && n == 0 {
		return store.ErrConflict
	}
	return err
}

func (c *commit) found(t *table, s *statement, args []any) error {
	ok, err := c.tx.found(s, args)
	if err != nil {
		return c.failed(t, err)
	}
	if !ok {
		return store.ErrConflict
	}
	return nil
}

func (c *commit) exec(t *table, s *statement, args []any) (int64, error) {
	n, err := c.tx.exec(s, args)
	if err != nil {
		return 0, c.failed(t, err)
	}
	return n, nil
}

func (c *commit) failed(t *table, err error) error {
	if f := c.dialect.Explain(err); f.Kind == Unique {
		return &store.TakenError{Collection: t.Name, Index: failedIndex(t.Collection, f.Name)}
	}
	return c.outcome(c.ctx, err)
}

// uncommitted says what a failure to commit means: unless the engine says otherwise, nobody knows.
func (b *Backend) uncommitted(ctx context.Context, err error) error {
	switch kind := b.dialect.Explain(err).Kind; {
	case kind == Conflict:
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case kind == Unavailable:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()): // database/sql judged it before it sent the COMMIT
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUncertain, err)
}

// Sweep implements store.Backend.
func (b *Backend) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	t, err := b.table(ctx, collection)
	if err != nil || !t.Expires {
		return 0, err
	}
	if err := b.writer.prepare(ctx, t.sweep); err != nil {
		return 0, b.outcome(ctx, err)
	}
	var n int64
	err = b.transact(ctx, func(tx transaction) (err error) {
		ms := now.UnixMilli()
		if n, err = tx.exec(t.sweep, []any{ms, ms, limit}); err != nil {
			return b.outcome(ctx, err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}
