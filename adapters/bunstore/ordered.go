package bunstore

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/portico-sso/portico/ports/store"
)

// How a range is said to an engine whose dialect is Ordered: at each end one comparison of the index's first columns.

// end is where a range begins or ends: so many of the index's columns compare so with its values; none is open.
type end struct {
	columns int
	than    string
}

// ends are those of a range of an index of so many columns, the id included.
func (sh shape) ends(columns int) (lower, upper end) {
	if eq := int(sh.eq); eq > 0 {
		lower, upper = end{eq, " >= "}, end{eq, " <= "}
	}
	if sh.from {
		lower = end{int(sh.eq) + 1, " >= "}
	}
	if sh.to {
		upper = end{int(sh.eq) + 1, " < "}
	}
	switch {
	case sh.after && sh.desc:
		upper = end{columns, " < "}
	case sh.after:
		lower = end{columns, " > "}
	}
	return lower, upper
}

func (t *table) whereOrdered(s *text, sh shape, columns []string) *text {
	before := " WHERE "
	lower, upper := sh.ends(len(columns))
	for _, e := range [...]end{lower, upper} {
		switch {
		case e.columns == 0:
			continue
		case e.columns == 1:
			s.add(before, bun.Name(columns[0]), e.than).bind(1)
		default:
			s.add(before, "(", columns[:e.columns], ")", e.than, "(").bind(e.columns).add(")")
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
	lower, upper := sh.ends(len(x.Fields) + 1)
	for i, e := range [...]end{lower, upper} {
		values := place
		if !sh.after || (i == 1) != sh.desc {
			values = append(r.Eq[:len(r.Eq):len(r.Eq)], [...]string{r.From, r.To}[i])
		}
		for _, v := range values[:e.columns] {
			args = append(args, v)
		}
	}
	if t.Expires {
		args = append(args, now.UnixMilli())
	}
	return args, nil
}
