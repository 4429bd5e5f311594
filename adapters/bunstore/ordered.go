package bunstore

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/portico-sso/portico/ports/store"
)

// How a range is said to an engine whose dialect is Ordered: the index's first columns are fixed, and the one behind them,
// which is ordered by, is bounded by a comparison at each end.

// fixed counts the columns that are said to be equal, of so many in the index, the id included. The last that Eq names is
// not among them unless From or To bound a key behind it: it is what orders (see Dialect.Ordered). A comparison of rows alone
// would do for all of them, but where it ends is known by its first column only: PostgreSQL goes on to the end of what has that.
func (sh shape) fixed(columns int) int {
	if eq := int(sh.eq); (sh.from || sh.to) && eq < columns-1 {
		return eq
	}
	return max(0, int(sh.eq)-1)
}

// end is where a range begins or ends: so many of the index's columns behind the fixed ones compare so with its values; none
// is open.
type end struct {
	columns int
	than    string
}

// ends are those of a range of an index of so many columns.
func (sh shape) ends(columns int) (lower, upper end) {
	rest, equal := columns-sh.fixed(columns), int(sh.eq)-sh.fixed(columns)
	if equal > 0 {
		lower, upper = end{equal, " >= "}, end{equal, " <= "}
	}
	if sh.from {
		lower = end{equal + 1, " >= "}
	}
	if sh.to {
		upper = end{equal + 1, " < "}
	}
	switch {
	case sh.after && sh.desc:
		upper = end{rest, " < "}
	case sh.after:
		lower = end{rest, " > "}
	}
	return lower, upper
}

func (t *table) whereOrdered(s *text, sh shape, columns []string) *text {
	before := " WHERE "
	lower, upper := sh.ends(len(columns))
	fixed, rest := columns[:sh.fixed(len(columns))], columns[sh.fixed(len(columns)):]
	for _, c := range fixed {
		s.add(before, bun.Name(c), " = ").bind(1)
		before = " AND "
	}
	for _, e := range [...]end{lower, upper} {
		switch e.columns {
		case 0:
			continue
		case 1:
			s.add(before, bun.Name(rest[0]), e.than).bind(1)
		default:
			s.add(before, "(", rest[:e.columns], ")", e.than, "(").bind(e.columns).add(")")
		}
		before = " AND "
	}
	return t.alive(s, before)
}

// boundsOrdered are the values of whereOrdered, with room for more.
func (t *table) boundsOrdered(r store.Range, now time.Time, more int) ([]any, error) {
	args := make([]any, 0, 2*(store.MaxIndexFields+1)+1+more)
	x, _ := t.Find(r.Index)
	var place []string // of the cursor
	if r.After != "" {
		keys, id, err := store.ParseCursor(t.Name, x, r.After)
		if err != nil {
			return nil, err
		}
		place = append(keys, id)
	}
	sh := shapeOf(r, false)
	fixed := sh.fixed(len(x.Fields) + 1)
	for _, v := range r.Eq[:fixed] {
		args = append(args, v)
	}
	lower, upper := sh.ends(len(x.Fields) + 1)
	for i, e := range [...]end{lower, upper} {
		values := place
		if !sh.after || (i == 1) != sh.desc {
			values = append(r.Eq[:len(r.Eq):len(r.Eq)], [...]string{r.From, r.To}[i])
		}
		if e.columns == 0 {
			continue
		}
		for _, v := range values[fixed : fixed+e.columns] {
			args = append(args, v)
		}
	}
	if t.Expires {
		args = append(args, now.UnixMilli())
	}
	return args, nil
}
