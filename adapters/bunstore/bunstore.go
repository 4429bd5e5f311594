// Package bunstore is the storage port's backend over SQL, for any engine that bun and database/sql reach. An
// adapter gives it pools and a Dialect.
//
// A collection is a table: id, version, body, expires_at where it expires (Unix milliseconds), k_<field> for each
// field of its indexes, u_<index> for each unique index: the joined keys, or their hash where they are long, NULL when
// they are all empty. Each index is a btree over (k_…, id), each unique one also a unique index over u_<index>.
//
// bun quotes names and formats the texts of statements, once each. They run through database/sql as prepared
// statements with bound values: bun's own queries would be formatted, and parsed by the engine, at each call.
package bunstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/uptrace/bun"

	"github.com/portico-sso/portico/ports/store"
)

// Config is what an adapter gives.
type Config struct {
	Write   *bun.DB // runs commits
	Read    *bun.DB // runs reads; may be the same unless the engine is embedded
	Dialect Dialect
	Schema  store.Schema
}

// Backend implements store.Backend.
type Backend struct {
	read    *bun.DB
	write   *bun.DB
	writer  writer
	dialect Dialect
	schema  store.Schema
	tables  map[string]*table
	closed  atomic.Bool
}

// New makes a backend over a database whose structure Migrate brings up to the schema. It owns the pools.
func New(c Config) *Backend {
	b := &Backend{read: c.Read, write: c.Write, dialect: c.Dialect, schema: c.Schema, tables: make(map[string]*table, len(c.Schema))}
	if c.Dialect.Embedded {
		b.writer = newSerial(c.Write.DB)
	} else {
		b.writer = pool{c.Write.DB, c.Dialect.Patience}
	}
	for _, col := range c.Schema {
		b.tables[col.Name] = newTable(b, col)
	}
	return b
}

// Ping implements store.Backend.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	run, cancel := b.running(ctx)
	defer cancel()
	if err := b.read.PingContext(run); err != nil {
		return b.outcome(ctx, err)
	}
	return nil
}

// Close implements store.Backend.
func (b *Backend) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return errors.Join(b.read.Close(), b.writer.close())
}

func (b *Backend) usable(ctx context.Context) error {
	if b.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

func (b *Backend) table(ctx context.Context, name string) (*table, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	t := b.tables[name]
	if t == nil {
		return nil, fmt.Errorf("%w: no collection %q", store.ErrInvalid, name)
	}
	return t, nil
}

// running is the context under which a statement runs (see Dialect.Embedded and Patience).
func (b *Backend) running(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.dialect.Embedded {
		return context.WithoutCancel(ctx), func() {}
	}
	return limited(ctx, b.dialect.Patience)
}

// outcome says an engine's error in the port's terms, where nothing was being committed.
func (b *Backend) outcome(ctx context.Context, err error) error {
	switch {
	case b.closed.Load():
		return fmt.Errorf("%w: %w", store.ErrClosed, err)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded): // of Dialect.Patience
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	switch b.dialect.Explain(err).Kind {
	case Conflict:
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case Unavailable, Lost:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}
