package bunstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/portico-sso/portico/ports/store"
)

// Querier is a *sql.DB, *sql.Conn or *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Structure is what a database has: by table, the names of its columns and indexes.
type Structure map[string]Table

// Table is one table's columns and indexes.
type Table struct{ Columns, Indexes map[string]bool }

// never is the expires_at of a document that does not expire.
const never = 1<<63 - 1

// Names of columns and indexes. A "$" is in no name of a schema, so no two of these ever meet.
func keyColumn(field string) string               { return "k_" + field }
func uniqueColumn(index string) string            { return "u_" + index }
func orderIndex(collection, index string) string  { return collection + "$" + index }
func uniqueIndex(collection, index string) string { return collection + "$" + index + "$u" }
func expiryIndex(collection string) string        { return collection + "$$expires" }

// failedIndex is the index that the engine names by its column or by its own name, with or without the table's.
// The id has no index: its primary key is named in ways that differ.
func failedIndex(c store.Collection, name string) string {
	for _, x := range c.Indexes {
		if strings.HasSuffix(name, uniqueIndex(c.Name, x.Name)) || name[strings.LastIndexByte(name, '.')+1:] == uniqueColumn(x.Name) {
			return x.Name
		}
	}
	return ""
}

// plan lists the statements that bring a database up to the schema. It only adds.
func plan(gen schema.QueryGen, d Dialect, have Structure, s store.Schema) []string {
	p := planner{Dialect: d, gen: gen}
	for _, c := range s {
		p.collection(have[c.Name], c)
	}
	return p.statements
}

type planner struct {
	Dialect
	gen        schema.QueryGen
	statements []string
}

func (p *planner) add(format string, args ...any) {
	p.statements = append(p.statements, p.gen.FormatQuery(format, args...))
}

type column struct{ name, definition string }

func (p *planner) columns(c store.Collection) []column {
	cols := []column{
		{"id", p.Types.Key + " NOT NULL PRIMARY KEY"},
		{"version", p.Types.Number + " NOT NULL"},
		{"body", p.Types.Body + " NOT NULL"},
	}
	if c.Expires {
		cols = append(cols, column{"expires_at", fmt.Sprintf("%s NOT NULL DEFAULT %d", p.Types.Number, int64(never))})
	}
	if !p.Embedded {
		cols = append(cols, column{"touched", p.Types.Number + " NOT NULL DEFAULT 0"})
	}
	for _, f := range c.Fields() {
		cols = append(cols, column{keyColumn(f), p.Types.Key + " NOT NULL DEFAULT ''"})
	}
	for _, x := range c.Indexes {
		if x.Unique {
			cols = append(cols, column{uniqueColumn(x.Name), p.Types.Unique})
		}
	}
	return cols
}

func (p *planner) collection(have Table, c store.Collection) {
	cols := p.columns(c)
	if len(have.Columns) == 0 {
		var b strings.Builder
		for i, col := range cols {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(p.gen.FormatQuery("? ?", bun.Name(col.name), bun.Safe(col.definition)))
		}
		p.add("CREATE TABLE IF NOT EXISTS ? (?)", bun.Name(c.Name), bun.Safe(b.String()))
	} else {
		for _, col := range cols {
			if !have.Columns[col.name] {
				p.add("ALTER TABLE ? ADD COLUMN ? ?", bun.Name(c.Name), bun.Name(col.name), bun.Safe(col.definition))
			}
		}
	}
	for _, x := range c.Indexes {
		fields := make([]string, 0, len(x.Fields)+2)
		for _, f := range x.Fields {
			fields = append(fields, keyColumn(f))
		}
		fields = append(fields, "id")
		if c.Expires { // so that counting and skipping read the index alone
			fields = append(fields, "expires_at")
		}
		p.index(have, c.Name, orderIndex(c.Name, x.Name), false, fields...)
		if x.Unique {
			p.index(have, c.Name, uniqueIndex(c.Name, x.Name), true, uniqueColumn(x.Name))
		}
	}
	if c.Expires {
		p.index(have, c.Name, expiryIndex(c.Name), false, "expires_at")
	}
}

func (p *planner) index(have Table, table, name string, unique bool, columns ...string) {
	if have.Indexes[name] {
		return
	}
	kind := "INDEX"
	if unique {
		kind = "UNIQUE INDEX"
	}
	p.add("CREATE ? ? ON ? (?)", bun.Safe(kind), bun.Name(name), bun.Name(table), bun.Safe(p.names(columns)))
}

func (p *planner) names(columns []string) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.gen.FormatQuery("?", bun.Name(c)))
	}
	return b.String()
}

// Plan implements store.Structured.
func (b *Backend) Plan(ctx context.Context) ([]string, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	steps, err := b.plan(ctx, b.read)
	if err != nil {
		return nil, b.outcome(ctx, err)
	}
	return steps, nil
}

func (b *Backend) plan(ctx context.Context, q Querier) ([]string, error) {
	have, err := b.dialect.Inspect(ctx, q)
	if err != nil {
		return nil, err
	}
	return plan(b.read.QueryGen(), b.dialect, have, b.schema), nil
}

// Migrate implements store.Structured, in one transaction. A database that is up to the schema costs one look.
func (b *Backend) Migrate(ctx context.Context) error {
	if steps, err := b.Plan(ctx); len(steps) == 0 || err != nil {
		return err
	}
	err := b.writer.alone(ctx, func(conn *sql.Conn) error { return b.migrate(ctx, conn) })
	if err != nil {
		return b.outcome(ctx, err)
	}
	return nil
}

func (b *Backend) migrate(ctx context.Context, conn *sql.Conn) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if b.dialect.Lock != nil {
		unlock, err := b.dialect.Lock(ctx, tx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	steps, err := b.plan(ctx, tx) // anew: another instance may have been here meanwhile
	if err != nil {
		return err
	}
	for _, statement := range steps {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return tx.Commit()
}

// Add notes a column or an index of a table.
func (s Structure) Add(table, name string, index bool) {
	t, ok := s[table]
	if !ok {
		t = Table{Columns: map[string]bool{}, Indexes: map[string]bool{}}
		s[table] = t
	}
	if index {
		t.Indexes[name] = true
	} else {
		t.Columns[name] = true
	}
}
