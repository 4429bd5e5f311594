package storetest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/portico-sso/portico/ports/store"
)

var paging = []named{
	{name: "limit", run: limit},
	{name: "cursor_pages", run: cursorPages},
	{name: "offset_pages", run: offsetPages},
	{name: "cursor_with_bounds", run: cursorWithBounds},
	{name: "cursor_survives_writes", run: cursorSurvivesWrites},
	{name: "cursor_refused", run: cursorRefused},
}

// crowd is 100 documents in five ranks of 20, so that pages break among equal keys; and the order they have.
func (e *env) crowd() []string {
	e.Helper()
	var docs []store.Doc
	var order []string
	for i := range 100 {
		rank, id := fmt.Sprint(i/20), fmt.Sprintf("%02d", (i*7)%100)
		docs = append(docs, ranked(id, rank))
		order = append(order, rank+id)
	}
	e.insert(people, docs...)
	slices.Sort(order)
	for i := range order {
		order[i] = order[i][1:]
	}
	return order
}

func limit(e *env) {
	order := e.crowd()
	for _, n := range []int{1, 2, 99, 100, 101, store.MaxPage} {
		e.lists(people, store.Range{Index: "by_rank", Limit: n}, order[:min(n, 100)]...)
	}
}

func cursorPages(e *env) {
	for desc, order := range e.bothWays() {
		for _, size := range []int{1, 7, 20, 33, 100} {
			r := store.Range{Index: "by_rank", Eq: []string{"t"}, Desc: desc, Limit: size}
			var got []string
			for range 100/size + 2 {
				page := e.page(people, r)
				if len(page) == 0 {
					break
				}
				got = append(got, ids(page)...)
				r.After = e.Cursor(people, "by_rank", page[len(page)-1])
			}
			if !slices.Equal(got, order) {
				e.Errorf("pages of %d by cursor, desc %t: %q, want %q", size, desc, got, order)
			}
		}
		for i := 3; i < 100; i += 13 { // and steps from a place
			at := e.page(people, store.Range{Index: "by_rank", Desc: desc, Offset: i, Limit: 1})
			e.lists(people, store.Range{Index: "by_rank", Desc: desc, After: e.Cursor(people, "by_rank", at[0]), Offset: 2, Limit: 1}, order[i+3])
		}
	}
}

func (e *env) bothWays() map[bool][]string {
	order := e.crowd()
	return map[bool][]string{false: order, true: reversed(order)}
}

func offsetPages(e *env) {
	for desc, order := range e.bothWays() {
		for _, size := range []int{1, 7, 20, 33, 100} {
			for offset := 0; offset < 110; offset += size {
				r := store.Range{Index: "by_rank", Eq: []string{"t"}, Desc: desc, Offset: offset, Limit: size}
				e.lists(people, r, order[min(offset, 100):min(offset+size, 100)]...)
			}
		}
	}
}

// cursorWithBounds puts cursors before, inside and behind a range with bounds.
func cursorWithBounds(e *env) {
	e.insert(people, ranked("1", "a"), ranked("2", "b"), ranked("3", "c"), ranked("4", "c"), ranked("5", "d"), ranked("6", "e"))
	for _, c := range []struct{ rank, id, up, down string }{
		{"a", "1", "2345", ""},
		{"b", "2", "345", ""},
		{"c", "3", "45", "2"},
		{"c", "35", "45", "32"},
		{"d", "5", "", "432"},
		{"e", "6", "", "5432"},
	} {
		r := store.Range{Index: "by_rank", Eq: []string{"t"}, From: "b", To: "e", After: e.Cursor(people, "by_rank", ranked(c.id, c.rank))}
		e.lists(people, r, split(c.up)...)
		r.Desc = true
		e.lists(people, r, split(c.down)...)
	}
	r := store.Range{Index: "by_rank", Eq: []string{"t"}, Prefix: "c", After: e.Cursor(people, "by_rank", ranked("3", "c"))}
	e.lists(people, r, "4")
	r = store.Range{Index: "by_rank", Eq: []string{"t", "c"}, After: e.Cursor(people, "by_rank", ranked("3", "c"))}
	e.lists(people, r, "4")
	r.Desc = true
	e.lists(people, r)
}

func cursorSurvivesWrites(e *env) {
	for i := range 9 {
		e.insert(people, ranked(fmt.Sprint(i), fmt.Sprint(i/3)))
	}
	r := store.Range{Index: "by_rank", Eq: []string{"t"}, Limit: 5}
	page := e.page(people, r)
	r.After = e.Cursor(people, "by_rank", page[4]) // at "4"
	e.commit(store.Delete(people, at(page[4], 1)), store.Delete(people, store.Doc{ID: "5", Version: 1}),
		store.Insert(people, ranked("35", "1")), // before the place
		store.Insert(people, ranked("45", "1")), // behind it
		store.Update(people, at(ranked("0", "2"), 1)))
	e.lists(people, r, "45", "0", "6", "7", "8")
	for id := range 9 {
		if d, err := e.Get(e.ctx, people, fmt.Sprint(id)); err == nil {
			e.commit(store.Delete(people, d))
		}
	}
	e.lists(people, r, "45")
	r.Desc = true
	e.lists(people, r, "35")
}

func cursorRefused(e *env) {
	e.insert(people, ranked("1", "a"))
	good := e.Cursor(people, "by_rank", ranked("1", "a"))
	for _, after := range []string{
		"x", "AAAA", good + "A", good[1:], good[:len(good)-1], good + "=", " " + good,
		e.Cursor(people, "by_name", person("1", "t", "a")), e.Cursor(people, "", store.Doc{ID: "1"}),
		e.Cursor(vault, "by_name", store.Doc{ID: "1"}), e.Cursor(people, "no", store.Doc{ID: "1"}), e.Cursor(people, "by_rank", store.Doc{}),
	} {
		if docs, err := e.Range(e.ctx, people, store.Range{Index: "by_rank", After: after}); !errors.Is(err, store.ErrInvalid) {
			e.Errorf("range after %q: %v, %v, want ErrInvalid", after, docs, err)
		}
	}
	if docs, err := e.Range(e.ctx, people, store.Range{Index: "by_rank", Eq: []string{"u"}, After: good}); !errors.Is(err, store.ErrInvalid) {
		e.Errorf("a cursor of another tenant: %v, %v, want ErrInvalid", docs, err)
	}
}
