package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portico-sso/portico/ports/store"
)

var ranges = []named{
	{name: "byte_order", run: byteOrder},
	{name: "range_bounds", run: rangeBounds},
	{name: "range_of_ids", run: rangeOfIDs},
	{name: "prefix", run: prefix},
	{name: "prefix_hostile", run: prefixHostile},
	{name: "descending", run: descending},
	{name: "four_fields", run: fourFields},
	{name: "index_follows_update", run: indexFollowsUpdate},
	{name: "count", run: count},
}

// byteOrder holds that keys are ordered by their bytes, and equal ones by the bytes of their ids.
func byteOrder(e *env) {
	sorted := slices.Sorted(slices.Values(hostile))
	var docs []store.Doc
	want := []string{}
	for i, k := range sorted {
		id := fmt.Sprintf("%03d", len(sorted)-i) // another order than that of the keys
		docs = append(docs, ranked(id+"B", k), ranked(id+"a", k))
		want = append(want, id+"B", id+"a")
	}
	slices.Reverse(docs)
	e.insert(people, docs...)
	e.lists(people, store.Range{Index: "by_rank"}, want...)
	for i := 0; i < len(sorted); i += 7 {
		e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t", sorted[i]}}, want[2*i:2*i+2]...)
		e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, From: sorted[i]}, want[2*i:]...)
		e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, To: sorted[i]}, want[:2*i]...)
	}
}

func rangeBounds(e *env) {
	e.insert(people, ranked("1", ""), ranked("2", "a"), ranked("3", "b"), ranked("4", "b"), ranked("5", "ba"), ranked("6", "c"))
	other := ranked("7", "b")
	other.Keys["team"] = "u"
	e.insert(people, other)
	for _, c := range []struct {
		r    store.Range
		want string
	}{
		{store.Range{}, "1234567"},
		{store.Range{Eq: []string{"t"}}, "123456"},
		{store.Range{Eq: []string{"u"}}, "7"},
		{store.Range{Eq: []string{""}}, ""},
		{store.Range{Eq: []string{"t", ""}}, "1"},
		{store.Range{Eq: []string{"t", "b"}}, "34"},
		{store.Range{Eq: []string{"t", "bb"}}, ""},
		{store.Range{Eq: []string{"t"}, From: "b"}, "3456"},
		{store.Range{Eq: []string{"t"}, From: "bb"}, "6"},
		{store.Range{Eq: []string{"t"}, From: "d"}, ""},
		{store.Range{Eq: []string{"t"}, To: "b"}, "12"},
		{store.Range{Eq: []string{"t"}, To: "ba"}, "1234"},
		{store.Range{Eq: []string{"t"}, From: "a", To: "c"}, "2345"},
		{store.Range{Eq: []string{"t"}, From: "b", To: "b"}, ""},
		{store.Range{Eq: []string{"t"}, From: "c", To: "a"}, ""},
		{store.Range{Eq: []string{"t"}, Prefix: "b", From: "ba"}, "5"},
		{store.Range{Eq: []string{"t"}, Prefix: "b", To: "ba"}, "34"},
		{store.Range{Eq: []string{"t"}, Prefix: "b", From: "c"}, ""},
		{store.Range{Eq: []string{"t"}, Prefix: "b", To: "zz"}, "345"},
		{store.Range{Eq: []string{"t", "b"}, From: "4"}, "4"}, // behind the last field comes the id
		{store.Range{Eq: []string{"t", "b"}, To: "4"}, "3"},
		{store.Range{From: "u"}, "7"},
		{store.Range{To: "u"}, "123456"},
	} {
		c.r.Index = "by_rank"
		e.lists(people, c.r, split(c.want)...)
		c.r.Desc = true
		e.lists(people, c.r, reversed(split(c.want))...)
	}
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "")
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

func rangeOfIDs(e *env) {
	for _, id := range []string{"b2", "a", "b1", "c", "B"} {
		e.insert(tokens, store.Doc{ID: id})
	}
	e.lists(tokens, store.Range{}, "B", "a", "b1", "b2", "c")
	e.lists(tokens, store.Range{From: "b", To: "c"}, "b1", "b2")
	e.lists(tokens, store.Range{Prefix: "b", Desc: true}, "b2", "b1")
	e.lists(tokens, store.Range{Prefix: "b", Offset: 1}, "b2")
	e.lists(tokens, store.Range{After: e.Cursor(tokens, "", store.Doc{ID: "b1"}), Limit: 1}, "b2")
	e.lists(tokens, store.Range{After: e.Cursor(tokens, "", store.Doc{ID: "b1"}), Desc: true}, "a", "B")
}

func prefix(e *env) {
	e.insert(people, ranked("1", "a"), ranked("2", "ab"), ranked("3", "ab"), ranked("4", "abc"), ranked("5", "ac"), ranked("6", "AB"), ranked("7", "b"))
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Prefix: "a"}, "1", "2", "3", "4", "5")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Prefix: "ab"}, "2", "3", "4")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Prefix: "ab", Desc: true, Limit: 2}, "4", "3")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Prefix: "ab", Offset: 2}, "4")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Prefix: "abcd"})
	e.lists(people, store.Range{Index: "by_rank", Prefix: "t"}, "6", "1", "2", "3", "4", "5", "7")
	e.lists(people, store.Range{Index: "by_rank", Prefix: "T"})
}

// prefixHostile asks for each hostile text and each beginning of one.
func prefixHostile(e *env) {
	var docs []store.Doc
	for i, k := range hostile {
		docs = append(docs, ranked(fmt.Sprintf("%03d", i), k))
	}
	e.insert(people, docs...)
	asked := map[string]bool{}
	for _, k := range hostile {
		for end := range k {
			if end > 0 && end < 4 {
				asked[k[:end]] = true
			}
		}
		asked[k] = true
	}
	slices.SortFunc(docs, func(a, b store.Doc) int {
		return strings.Compare(a.Keys["rank"]+"\x00"+a.ID, b.Keys["rank"]+"\x00"+b.ID)
	})
	for p := range asked {
		var want []string
		for _, d := range docs {
			if strings.HasPrefix(d.Keys["rank"], p) {
				want = append(want, d.ID)
			}
		}
		e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Prefix: p}, want...)
	}
}

func descending(e *env) {
	e.insert(people, ranked("1", "b"), ranked("2", "a"), ranked("3", "b"), ranked("4", "c"))
	e.lists(people, store.Range{Index: "by_rank", Desc: true}, "4", "3", "1", "2") // equal keys by id, descending too
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Desc: true, Limit: 2}, "4", "3")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Desc: true, Offset: 2}, "1", "2")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}, Desc: true, To: "c"}, "3", "1", "2")
	e.lists(people, store.Range{Desc: true}, "4", "3", "2", "1")
}

func fourFields(e *env) {
	var docs []store.Doc
	want := map[string][]string{}
	for i := range 81 {
		k := [4]string{"xyz"[i/27 : i/27+1], "xyz"[i/9%3 : i/9%3+1], "xyz"[i/3%3 : i/3%3+1], "xyz"[i%3 : i%3+1]}
		id := fmt.Sprintf("%02d", i)
		docs = append(docs, store.Doc{ID: id, Keys: keys{"a": k[0], "b": k[1], "c": k[2], "d": k[3]}})
		for n := range 5 {
			want[strings.Join(k[:n], "")] = append(want[strings.Join(k[:n], "")], id)
		}
	}
	slices.Reverse(docs)
	e.insert(wide, docs...)
	for eq, list := range want {
		r := store.Range{Index: "by_all", Eq: split(eq)}
		e.lists(wide, r, list...)
		if len(list) > 2 { // a cursor and a bound behind each number of fixed fields
			r.After = e.Cursor(wide, "by_all", e.page(wide, r)[1])
			e.lists(wide, r, list[2:]...)
			r.Desc = true
			e.lists(wide, r, list[0])
			r.After, r.From = "", "y"
			e.lists(wide, r, reversed(list[len(list)/3:])...)
		}
	}
}

func indexFollowsUpdate(e *env) {
	d := with(person("1", "", ""), keys{"tenant": "t", "name": "a", "team": "t", "rank": "1", "badge": "7"})
	e.insert(people, d, ranked("2", "2"), ranked("3", "3"))
	d = with(at(d, 1), keys{"tenant": "t", "name": "b", "team": "t", "rank": "25"})
	e.commit(store.Update(people, d))
	e.holds(people, at(d, 2))
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}}, "2", "1", "3")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t", "1"}})
	e.lists(people, store.Range{Index: "by_name", Eq: []string{"t", "a"}})
	e.lists(people, store.Range{Index: "by_name", Eq: []string{"t", "b"}}, "1")
	e.lists(people, store.Range{Index: "by_badge", Eq: []string{"7"}}) // a key that is left out is gone
	e.lists(people, store.Range{Index: "by_badge", Eq: []string{""}}, "1", "2", "3")
	e.commit(store.Update(people, with(at(d, 2), keys{"team": "u"})))
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"t"}}, "2", "3")
	e.lists(people, store.Range{Index: "by_rank", Eq: []string{"u", ""}}, "1")
	e.commit(store.Delete(people, at(d, 3)))
	e.lists(people, store.Range{Index: "by_rank"}, "2", "3")
	e.lists(people, store.Range{Index: "by_name"}, "2", "3")
}

func count(e *env) {
	e.counts(people, store.Range{}, 0)
	var docs []store.Doc
	for i := range 1500 { // more than a page
		docs = append(docs, ranked(fmt.Sprintf("%04d", i), fmt.Sprint(i%3)))
	}
	e.insert(people, docs...)
	e.counts(people, store.Range{}, 1500)
	e.counts(people, store.Range{Desc: true}, 1500)
	e.counts(people, store.Range{Index: "by_rank", Eq: []string{"t"}}, 1500)
	e.counts(people, store.Range{Index: "by_rank", Eq: []string{"t", "1"}}, 500)
	e.counts(people, store.Range{Index: "by_rank", Eq: []string{"t"}, From: "1"}, 1000)
	e.commit(store.Delete(people, at(docs[1], 1)), store.Update(people, at(ranked("0004", "9"), 1)))
	e.counts(people, store.Range{}, 1499)
	e.counts(people, store.Range{Index: "by_rank", Eq: []string{"t", "1"}}, 498)
	if n := len(e.page(people, store.Range{Index: "by_rank"})); n != store.MaxPage {
		e.Errorf("a range without a limit answers %d documents, want %d", n, store.MaxPage)
	}
}
