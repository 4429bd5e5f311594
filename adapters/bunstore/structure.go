package bunstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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

type index struct {
	name    string
	unique  bool
	columns []string
}

func (x index) kind() bun.Safe {
	if x.unique {
		return "UNIQUE INDEX"
	}
	return "INDEX"
}

func indexes(c store.Collection) []index {
	var all []index
	for _, x := range c.Indexes {
		columns := make([]string, 0, len(x.Fields)+2)
		for _, f := range x.Fields {
			columns = append(columns, keyColumn(f))
		}
		columns = append(columns, "id")
		if c.Expires { // so that counting and skipping read the index alone
			columns = append(columns, "expires_at")
		}
		all = append(all, index{orderIndex(c.Name, x.Name), false, columns})
		if x.Unique {
			all = append(all, index{uniqueIndex(c.Name, x.Name), true, []string{uniqueColumn(x.Name)}})
		}
	}
	if c.Expires {
		all = append(all, index{expiryIndex(c.Name), false, []string{"expires_at"}})
	}
	return all
}

// collection adds what the table lacks.
func (p *planner) collection(have Table, c store.Collection) {
	var columns []string
	for _, col := range p.columns(c) {
		if !have.Columns[col.name] {
			columns = append(columns, p.gen.FormatQuery("? ?", bun.Name(col.name), bun.Safe(col.definition)))
		}
	}
	lacking := slices.DeleteFunc(indexes(c), func(x index) bool { return have.Indexes[x.name] })
	table := bun.Name(c.Name)
	if p.TableWise {
		p.tableWise(table, len(have.Columns) == 0, columns, lacking)
		return
	}
	if len(have.Columns) == 0 {
		p.add("CREATE TABLE IF NOT EXISTS ? (?)", table, bun.Safe(strings.Join(columns, ", ")))
		columns = nil
	}
	for _, col := range columns {
		p.add("ALTER TABLE ? ADD COLUMN ?", table, bun.Safe(col))
	}
	for _, x := range lacking {
		p.add("CREATE ? ? ON ? (?)", x.kind(), bun.Name(x.name), table, bun.Safe(p.names(x.columns)))
	}
}

// tableWise makes a table with its indexes, or alters it, in one statement.
func (p *planner) tableWise(table bun.Name, fresh bool, columns []string, lacking []index) {
	parts := columns
	if !fresh {
		parts = nil
		for _, c := range columns {
			parts = append(parts, "ADD COLUMN "+c)
		}
	}
	for _, x := range lacking {
		part := p.gen.FormatQuery("? ? (?)", x.kind(), bun.Name(x.name), bun.Safe(p.names(x.columns)))
		if !fresh {
			part = "ADD " + part
		}
		parts = append(parts, part)
	}
	all := bun.Safe(strings.Join(parts, ", "))
	switch {
	case fresh:
		p.add("CREATE TABLE IF NOT EXISTS ? (?)?", table, all, bun.Safe(p.Types.Table))
	case len(parts) > 0:
		p.add("ALTER TABLE ? ?", table, all)
	}
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

// Plan implements store.Structured. On a cluster the look is in the way of another instance that migrates, and may have to
// be taken again.
func (b *Backend) Plan(ctx context.Context) (steps []string, err error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	err = store.Retry(ctx, func() error {
		run, cancel := b.running(ctx)
		defer cancel()
		if steps, err = b.plan(run, b.read); err != nil {
			return b.outcome(ctx, err)
		}
		return nil
	})
	return steps, err
}

func (b *Backend) plan(ctx context.Context, q Querier) ([]string, error) {
	have, err := b.dialect.Inspect(ctx, q)
	if err != nil {
		return nil, err
	}
	return plan(b.read.QueryGen(), b.dialect, have, b.schema), nil
}

// Migrate implements store.Structured, in one transaction unless the dialect is TableWise. A database that is up to the
// schema costs one look. Commits of other instances may stand in a circle with it, so it tries again.
func (b *Backend) Migrate(ctx context.Context) error {
	if steps, err := b.Plan(ctx); len(steps) == 0 || err != nil {
		return err
	}
	return store.Retry(ctx, func() error {
		err := b.writer.alone(ctx, func(conn *sql.Conn) error {
			if b.dialect.TableWise {
				return b.migrateTableWise(ctx, conn)
			}
			return b.migrate(ctx, conn)
		})
		if err != nil {
			return b.outcome(ctx, err)
		}
		return nil
	})
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

// migrateTableWise runs the statements one by one. Where another instance was faster with one, or had it interrupted, it
// looks anew at what is lacking still: each look but the first follows something that another made, so there are few.
func (b *Backend) migrateTableWise(ctx context.Context, conn *sql.Conn) error {
	for range 100 {
		steps, err := b.plan(ctx, conn)
		if len(steps) == 0 || err != nil {
			return err
		}
		for _, statement := range steps {
			if _, err := conn.ExecContext(ctx, statement); err != nil && !b.dialect.Explain(err).another() {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
	}
	return errors.New("bunstore: what is lacking is told to exist, or interrupted each time")
}

// another says of a statement of the structure that another instance may have been faster, or interrupted it. A connection
// that was lost shows at the next look.
func (f Failure) another() bool { return f.Kind == Exists || f.Kind == Conflict || f.Kind == Lost }

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
