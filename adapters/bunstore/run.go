package bunstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/portico-sso/portico/ports/store"
)

// Step is one statement of a commit.
type Step struct {
	Args []any
	Must bool // it must meet a row, else the commit is a conflict

	table     *table
	statement *statement
	reads     bool // it asks for that row instead of changing it
}

// Text is the statement's.
func (s Step) Text() string { return s.statement.text }

// run runs steps in one transaction and says how many rows they changed.
func (b *Backend) run(ctx context.Context, steps []Step) (int64, error) {
	run := b.dialect.Run
	if run == nil {
		run = b.oneByOne
	}
	rows, at, err := run(ctx, b.write.DB, steps)
	switch {
	case err == nil:
		return rows, nil
	case errors.Is(err, store.ErrConflict):
		return 0, err
	case at == len(steps):
		return 0, b.uncommitted(err)
	case at >= 0:
		if f := b.dialect.Explain(err); f.Kind == Unique {
			t := steps[at].table
			return 0, &store.TakenError{Collection: t.Name, Index: failedIndex(t.Collection, f.Name)}
		}
	}
	return 0, b.outcome(ctx, err)
}

// oneByOne is Dialect.Run for any engine.
func (b *Backend) oneByOne(ctx context.Context, _ *sql.DB, steps []Step) (rows int64, at int, err error) {
	for _, s := range steps {
		if err := b.writer.prepare(ctx, s.statement); err != nil {
			return 0, -1, err
		}
	}
	at = -1
	err = b.transact(ctx, func(tx transaction) error {
		for at = range steps {
			n, err := tx.exec(steps[at])
			if err != nil {
				return err
			}
			if n == 0 && steps[at].Must {
				return store.ErrConflict
			}
			rows += n
		}
		if err := tx.settle(); err != nil {
			return err
		}
		at = len(steps)
		return nil
	})
	return rows, at, err
}

// transact runs fn in a transaction, which ends whatever fn does: a panic must not keep the writer.
func (b *Backend) transact(ctx context.Context, fn func(transaction) error) error {
	tx, err := b.writer.begin(ctx)
	if err != nil {
		return err
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
	return tx.commit()
}

// uncommitted says what a failure to commit means: unless the engine says otherwise, nobody knows.
func (b *Backend) uncommitted(err error) error {
	switch b.dialect.Explain(err).Kind {
	case Conflict:
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case Unavailable:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUncertain, err)
}
