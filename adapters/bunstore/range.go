package bunstore

import (
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/portico-sso/portico/ports/store"
)

// shape is what decides the text of a range's statement.
type shape struct {
	index                              string
	eq                                 uint8
	from, to, after, desc, skip, count bool
}

func shapeOf(r store.Range, count bool) shape {
	return shape{
		index: r.Index, eq: uint8(len(r.Eq)),
		from: r.From != "", to: r.To != "", after: r.After != "",
		desc: r.Desc, skip: r.Offset > 0, count: count,
	}
}

// ranged is the statement of a shape.
func (t *table) ranged(sh shape) *statement {
	if s, ok := t.ranges.Load(sh); ok {
		return s.(*statement)
	}
	s, _ := t.ranges.LoadOrStore(sh, t.rangeText(sh).statement())
	return s.(*statement)
}

func (t *table) rangeText(sh shape) *text {
	s, name := t.backend.text(), bun.Name(t.Name)
	switch {
	case sh.count && t.backend.dialect.Ordered && (sh.eq > 0 || sh.from || sh.to):
		t.order(t.where(t.from(s.add("SELECT COUNT(*) FROM (SELECT 1"), sh), sh), sh, name)
		return s.add(") AS ", bun.Name("page"))
	case sh.count:
		return t.where(t.from(s.add("SELECT COUNT(*)"), sh), sh)
	case !sh.skip:
		t.order(t.where(t.from(s.add("SELECT ", t.columns), sh), sh), sh, name)
		return s.add(" LIMIT ").bindLimit()
	}
	// Rows that are skipped are skipped in the index alone; those of the page are fetched then, in its order. CROSS JOIN
	// is how SQLite is told that the page comes first; to others it is any join.
	page, id := bun.Name("page"), bun.Name("id")
	s.add("SELECT ")
	for i, c := range t.columns {
		s.separate(i)
		s.add(name, ".", bun.Name(c))
	}
	t.order(t.where(t.from(s.add(" FROM (SELECT ", t.orderedBy(sh)), sh), sh), sh, name)
	s.add(" LIMIT ").bindLimit().add(" OFFSET ").bindLimit().add(") AS ", page, " CROSS JOIN ", name, " WHERE ", name, ".", id, " = ", page, ".", id)
	t.order(s, sh, page)
	return s
}

// from names the table and, where the engine is to be steered, the index. Counting a whole collection is left to the
// engine: any index will do, and the order of ids is the one with the bodies in it.
func (t *table) from(s *text, sh shape) *text {
	s.add(" FROM ", bun.Name(t.Name))
	switch {
	case !t.backend.dialect.Steered:
	case sh.index != "":
		s.add(" FORCE INDEX (", bun.Name(orderIndex(t.Name, sh.index)), ")")
	case !sh.count:
		s.add(" FORCE INDEX (", bun.Name("PRIMARY"), ")")
	}
	return s
}

// indexed are the columns of the index.
func (t *table) indexed(sh shape) []string {
	x, _ := t.Find(sh.index)
	columns := make([]string, 0, len(x.Fields)+1)
	for _, f := range x.Fields {
		columns = append(columns, keyColumn(f))
	}
	return append(columns, "id")
}

// orderedBy are the columns to order by: those behind what is fixed (see Dialect.Ordered).
func (t *table) orderedBy(sh shape) []string {
	columns := t.indexed(sh)
	if t.backend.dialect.Ordered {
		return columns[sh.fixed(len(columns)):]
	}
	return columns[sh.eq:]
}

func (t *table) where(s *text, sh shape) *text {
	columns := t.indexed(sh)
	if t.backend.dialect.Ordered {
		return t.whereOrdered(s, sh, columns)
	}
	fixed, rest := columns[:sh.eq], columns[sh.eq:]
	before := " WHERE "
	for _, c := range fixed {
		s.add(before, bun.Name(c), " = ").bind(1)
		before = " AND "
	}
	if sh.from {
		s.add(before, bun.Name(rest[0]), " >= ").bind(1)
		before = " AND "
	}
	if sh.to {
		s.add(before, bun.Name(rest[0]), " < ").bind(1)
		before = " AND "
	}
	if sh.after {
		than := " > "
		if sh.desc {
			than = " < "
		}
		switch {
		case len(rest) == 1:
			s.add(before, bun.Name(rest[0]), than).bind(1)
		case t.backend.dialect.Steered:
			beyond(s.add(before), rest, than)
		default:
			s.add(before, "(", rest, ")", than, "(").bind(len(rest)).add(")")
		}
		before = " AND "
	}
	return t.alive(s, before)
}

// beyond spells the comparison of rows out: (a > x OR a = x AND (b > y OR b = y AND c > z)). The bound values are
// each but the last twice. In this form MySQL and MariaDB seek to the place; of a >= x AND (a > x OR b > y) they read whatever
// has the same a on the way.
func beyond(s *text, columns []string, than string) {
	last := len(columns) - 1
	for i, c := range columns[:last] {
		s.add("(", bun.Name(c), than).bind(1).add(" OR ", bun.Name(c), " = ").bind(1).add(" AND ")
		if i+1 == last {
			s.add(bun.Name(columns[last]), than).bind(1)
		}
	}
	s.add(strings.Repeat(")", last))
}

func (t *table) order(s *text, sh shape, name bun.Name) {
	s.add(" ORDER BY ")
	for i, c := range t.orderedBy(sh) {
		s.separate(i)
		s.add(name, ".", bun.Name(c))
		if sh.desc {
			s.add(" DESC")
		}
	}
}

// bounds are the values of where, with room for more.
func (t *table) bounds(r store.Range, now time.Time, more int) ([]any, error) {
	if t.backend.dialect.Ordered {
		return t.boundsOrdered(r, now, more)
	}
	args := make([]any, 0, len(r.Eq)+2+2*store.MaxIndexFields+1+1+more)
	for _, v := range r.Eq {
		args = append(args, v)
	}
	if r.From != "" {
		args = append(args, r.From)
	}
	if r.To != "" {
		args = append(args, r.To)
	}
	if r.After != "" {
		x, _ := t.Find(r.Index)
		keys, id, err := store.ParseCursor(t.Name, x, r.After)
		if err != nil {
			return nil, err
		}
		for _, k := range keys[len(r.Eq):] {
			args = append(args, k)
			if t.backend.dialect.Steered {
				args = append(args, k)
			}
		}
		args = append(args, id)
	}
	if t.Expires {
		args = append(args, now.UnixMilli())
	}
	return args, nil
}
