package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// fenceEvery is how old the last look may be at a write.
const fenceEvery = 5 * time.Second

// Fence makes the fence of one store (store.Options.Fence): it looks every few seconds whether the database is still
// what this release migrates to, and refuses writes with store.ErrUnavailable from when a newer one has announced itself.
func Fence(now func() time.Time, migrations []Migration) func(context.Context, *store.Store) error {
	f := &fence{now: now, migrations: migrations, turn: make(chan struct{}, 1)}
	return f.check
}

type fence struct {
	now        func() time.Time
	migrations []Migration
	looked     atomic.Int64  // Unix nanoseconds of the last look that allowed writing
	turn       chan struct{} // whoever put its one token looks
}

func (f *fence) fresh() bool {
	age := f.now().UnixNano() - f.looked.Load()
	return age >= 0 && age < int64(fenceEvery)
}

func (f *fence) check(ctx context.Context, s *store.Store) error {
	if f.fresh() {
		return nil
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if f.fresh() {
		return nil
	}
	began := f.now()
	st, err := read(ctx, s)
	switch {
	case errors.Is(err, store.ErrNotFound): // who begins writes this first
		return nil
	case err != nil:
		return err
	}
	r := newRunner(Options{Store: s, Migrations: f.migrations})
	if err := r.older(st); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	f.looked.Store(began.UnixNano())
	return nil
}
