package bunstore

import (
	"context"
	"database/sql"
	"strings"
	"sync/atomic"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// statement is a text that is prepared on a pool at its first use, or by the driver (see Dialect.Direct).
type statement struct {
	text     string
	direct   bool
	prepared atomic.Pointer[sql.Stmt]
}

func (s *statement) query(ctx context.Context, db *sql.DB, args []any) (*sql.Rows, error) {
	if err := s.prepare(ctx, db); err != nil {
		return nil, err
	}
	if s.direct {
		return db.QueryContext(ctx, s.text, args...)
	}
	return s.prepared.Load().QueryContext(ctx, args...)
}

func (s *statement) prepare(ctx context.Context, db *sql.DB) error {
	if s.direct || s.prepared.Load() != nil {
		return nil
	}
	p, err := db.PrepareContext(ctx, s.text)
	if err != nil {
		return err
	}
	if !s.prepared.CompareAndSwap(nil, p) { // another call was faster
		_ = p.Close()
	}
	return nil
}

// text builds one statement and numbers its bound values.
type text struct {
	strings.Builder
	gen         schema.QueryGen
	placeholder func(int) string
	limit       func(int) string
	direct      bool
	bound       int
}

func (b *Backend) text() *text {
	t := &text{gen: b.read.QueryGen(), placeholder: b.dialect.Placeholder, limit: b.dialect.Limit, direct: b.dialect.Direct}
	if t.limit == nil {
		t.limit = t.placeholder
	}
	return t
}

// add writes words and quoted names: those that are a name, not a string.
func (t *text) add(parts ...any) *text {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			t.WriteString(p)
		case bun.Name:
			t.WriteString(t.gen.FormatQuery("?", p))
		case []string:
			for i, n := range p {
				t.separate(i)
				t.add(bun.Name(n))
			}
		}
	}
	return t
}

// bind writes n placeholders.
func (t *text) bind(n int) *text {
	for i := range n {
		t.separate(i)
		t.bound++
		t.WriteString(t.placeholder(t.bound))
	}
	return t
}

// bindLimit writes the placeholder of a LIMIT or OFFSET.
func (t *text) bindLimit() *text {
	t.bound++
	t.WriteString(t.limit(t.bound))
	return t
}

func (t *text) separate(i int) {
	if i > 0 {
		t.WriteString(", ")
	}
}

func (t *text) statement() *statement { return &statement{text: t.String(), direct: t.direct} }
