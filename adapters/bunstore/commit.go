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
// Its statements lock rows in an order that is the same for all commits, so that two of them wait for each other in one
// direction only: first what meets documents that are there, by collection and id, then inserts. Updates and deletes
// free keys that inserts take. What that order cannot free, an expired holder's key or one that a later operation gives
// up, is freed first in a second try, since it is rare.
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
		return cmp.Or(cmp.Compare(phase(a), phase(c)), cmp.Compare(a.Collection, c.Collection), cmp.Compare(a.Doc.ID, c.Doc.ID))
	})
	c := commit{Backend: b, now: now, ops: ops}
	_, err := b.run(ctx, c.steps())
	var taken *store.TakenError
	if errors.As(err, &taken) && c.mayFree(taken.Collection) {
		_, err = b.run(ctx, c.stepsThatFree())
	}
	return err
}

func phase(op store.Op) int {
	if op.Kind == store.OpInsert {
		return 1
	}
	return 0
}

// commit is one Commit under way.
type commit struct {
	*Backend
	now time.Time
	ops []store.Op
}

// mayFree says whether a key of the collection may be taken by a document that need not hold it.
func (c *commit) mayFree(collection string) bool {
	updates, deletes := 0, 0
	for _, op := range c.ops {
		switch {
		case op.Collection != collection:
		case op.Kind == store.OpUpdate:
			updates++
		case op.Kind == store.OpDelete:
			deletes++
		}
	}
	return updates > 1 || updates > 0 && deletes > 0 || c.tables[collection].Expires
}

func (c *commit) steps() []Step {
	steps := make([]Step, 0, len(c.ops))
	for _, op := range c.ops {
		steps = append(steps, c.step(op))
	}
	return steps
}

// stepsThatFree frees all keys that the operations give up or that expired documents hold before any is taken.
func (c *commit) stepsThatFree() []Step {
	var frees, takes []Step
	for _, op := range c.ops {
		switch op.Kind {
		case store.OpInsert, store.OpUpdate:
			frees = append(frees, c.freeing(op)...)
			takes = append(takes, c.step(op))
		default:
			frees = append(frees, c.step(op))
		}
	}
	return append(frees, takes...)
}

func (c *commit) step(op store.Op) Step {
	t := c.tables[op.Collection]
	s := Step{table: t, statement: t.writes[op.Kind], Must: op.Kind != store.OpInsert}
	args := make([]any, 0, t.most)
	switch op.Kind {
	case store.OpInsert:
		s.Args = t.values(append(args, op.Doc.ID, int64(1)), op.Doc)
	case store.OpUpdate:
		s.Args = t.guard(t.values(args, op.Doc), op.Doc, c.now)
	default:
		s.reads = op.Kind == store.OpCheck && c.dialect.Embedded
		s.Args = t.guard(args, op.Doc, c.now)
	}
	return s
}

// freeing takes away what the operation's document may have: the place and keys of expired documents, and its own
// former keys.
func (c *commit) freeing(op store.Op) []Step {
	var steps []Step
	t := c.tables[op.Collection]
	if t.Expires {
		now := c.now.UnixMilli()
		steps = append(steps, Step{table: t, statement: t.evictID, Args: []any{op.Doc.ID, now}})
		for i, x := range t.unique {
			if key := uniqueValue(x, op.Doc); key != nil {
				steps = append(steps, Step{table: t, statement: t.evictKey[i], Args: []any{key, now}})
			}
		}
	}
	if op.Kind == store.OpUpdate && t.release != nil {
		steps = append(steps, Step{table: t, statement: t.release, Args: t.guard(nil, op.Doc, c.now), Must: true})
	}
	return steps
}

// Sweep implements store.Backend.
func (b *Backend) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	t, err := b.table(ctx, collection)
	if err != nil || !t.Expires {
		return 0, err
	}
	n, err := b.run(ctx, []Step{{table: t, statement: t.sweep, Args: t.sweepArgs(now, limit)}})
	return int(n), err
}
