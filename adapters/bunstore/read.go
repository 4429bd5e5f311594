package bunstore

import (
	"context"
	"database/sql"
	"math/bits"
	"time"

	"github.com/uptrace/bun"

	"github.com/portico-sso/portico/ports/store"
)

// Get implements store.Backend.
func (b *Backend) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	t, err := b.table(ctx, collection)
	if err != nil {
		return nil, err
	}
	s, n := t.get(len(ids))
	args := make([]any, 0, n+1)
	for i := range n {
		args = append(args, ids[min(i, len(ids)-1)]) // the last fills up
	}
	if t.Expires {
		args = append(args, now.UnixMilli())
	}
	return t.query(ctx, s, args, len(ids))
}

// get is the statement for n ids, which takes as many as the next power of two, so that there are few statements.
func (t *table) get(n int) (*statement, int) {
	power := bits.Len(uint(n - 1))
	n = 1 << power
	cache := &t.gets[power]
	cache.once.Do(func() {
		s := t.backend.text().add("SELECT ", t.columns, " FROM ", bun.Name(t.Name), " WHERE ", bun.Name("id"))
		if n == 1 {
			s.add(" = ").bind(1)
		} else {
			s.add(" IN (").bind(n).add(")")
		}
		if t.alive(s, " AND "); n > 1 && t.backend.dialect.Ordered {
			s.add(" ORDER BY ", bun.Name("id"))
		}
		cache.statement = s.statement()
	})
	return cache.statement, n
}

// alive adds the condition that a document has not expired.
func (t *table) alive(s *text, before string) *text {
	if t.Expires {
		s.add(before, bun.Name("expires_at"), " > ").bind(1)
	}
	return s
}

// Range implements store.Backend.
func (b *Backend) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	t, err := b.table(ctx, collection)
	if err != nil {
		return nil, err
	}
	s := t.ranged(shapeOf(r, false))
	args, err := t.bounds(r, now, 2)
	if err != nil {
		return nil, err
	}
	args = append(args, r.Limit)
	if r.Offset > 0 {
		args = append(args, r.Offset)
	}
	return t.query(ctx, s, args, min(r.Limit, 16))
}

// Count implements store.Backend.
func (b *Backend) Count(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
	t, err := b.table(ctx, collection)
	if err != nil {
		return 0, err
	}
	args, err := t.bounds(r, now, 0)
	if err != nil {
		return 0, err
	}
	run, cancel := b.running(ctx)
	defer cancel()
	rows, err := t.ranged(shapeOf(r, true)).query(run, b.read.DB, args)
	if err != nil {
		return 0, b.outcome(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	var n int64
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, b.outcome(ctx, err)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, b.outcome(ctx, err)
	}
	return n, nil
}

// query runs a statement that answers documents, about so many.
func (t *table) query(ctx context.Context, s *statement, args []any, about int) ([]store.Doc, error) {
	run, cancel := t.backend.running(ctx)
	defer cancel()
	rows, err := s.query(run, t.backend.read.DB, args)
	if err != nil {
		return nil, t.backend.outcome(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	docs, err := t.scan(rows, make([]store.Doc, 0, about))
	if err != nil {
		return nil, t.backend.outcome(ctx, err)
	}
	return docs, nil
}

func (t *table) scan(rows *sql.Rows, docs []store.Doc) ([]store.Doc, error) {
	var d store.Doc
	expires := int64(never)
	keys := make([]string, len(t.fields))
	into := make([]any, 0, len(t.columns))
	into = append(into, &d.ID, &d.Version, &d.Body)
	if t.Expires {
		into = append(into, &expires)
	}
	for i := range keys {
		into = append(into, &keys[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		d.Keys, d.ExpiresAt = nil, time.Time{}
		if len(keys) > 0 {
			d.Keys = make(map[string]string, len(keys))
		}
		for i, k := range keys {
			if k != "" {
				d.Keys[t.fields[i]] = k
			}
		}
		if expires != never {
			d.ExpiresAt = time.UnixMilli(expires).UTC()
		}
		docs = append(docs, d)
	}
	return docs, rows.Err()
}
