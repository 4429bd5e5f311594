package storetest

import (
	"fmt"
	"strings"

	"github.com/portico-sso/portico/ports/store"
)

var uniqueness = []named{
	{name: "unique_per_tenant", run: uniquePerTenant},
	{name: "unique_bytes", run: uniqueBytes},
	{name: "unique_empty", run: uniqueEmpty},
	{name: "unique_within_commit", run: uniqueWithinCommit},
	{name: "unique_moves", run: uniqueMoves},
	{name: "unique_wide", run: uniqueWide},
}

func uniquePerTenant(e *env) {
	e.insert(people, person("p1", "acme", "ann"))
	e.insert(people, person("p2", "bolt", "ann"))
	e.taken(people, "by_name", "insert", store.Insert(people, person("p3", "acme", "ann")))
	bob := person("p3", "acme", "bob")
	e.insert(people, bob)
	e.taken(people, "by_name", "update", store.Update(people, with(at(bob, 1), keys{"tenant": "acme", "name": "ann"})))
	e.taken(people, "by_name", "update to another tenant", store.Update(people, with(at(bob, 1), keys{"tenant": "bolt", "name": "ann"})))
	e.holds(people, at(bob, 1))
	e.commit(store.Update(people, with(at(bob, 1), keys{"tenant": "bolt", "name": "bob", "badge": "7"})))
	e.insert(people, person("p4", "acme", "bob")) // the key that the update left
	e.taken(people, "by_badge", "the other index", store.Insert(people, store.Doc{ID: "p5", Keys: keys{"badge": "7"}}))
	e.commit(store.Delete(people, store.Doc{ID: "p1", Version: 1}))
	e.insert(people, person("p6", "acme", "ann")) // the key that the delete left
	e.commit(store.Update(people, at(person("p6", "acme", "ann"), 1)))
}

// uniqueBytes holds that keys differ when a byte differs, and only then.
func uniqueBytes(e *env) {
	for i, name := range hostile {
		e.insert(people, person(fmt.Sprintf("p%d", i), "t", name))
	}
	for i, name := range hostile {
		e.taken(people, "by_name", fmt.Sprintf("%q again", name), store.Insert(people, person("x", "t", name)))
		e.lists(people, store.Range{Index: "by_name", Eq: []string{"t", name}}, fmt.Sprintf("p%d", i))
	}
	e.insert(people, person("q1", "ab", "c"), person("q2", "a", "bc"), person("q3", "abc", ""), person("q4", "", "abc"))
	e.taken(people, "by_name", "a key that is empty in part", store.Insert(people, person("x", "abc", "")))
}

// uniqueEmpty holds that a document with no key at all of an index is free of it.
func uniqueEmpty(e *env) {
	e.insert(people, store.Doc{ID: "p1"}, store.Doc{ID: "p2", Keys: keys{"tenant": "", "name": ""}}, store.Doc{ID: "p3", Keys: keys{"rank": "1"}})
	e.lists(people, store.Range{Index: "by_name"}, "p1", "p2", "p3")
	e.lists(people, store.Range{Index: "by_name", Eq: []string{"", ""}}, "p1", "p2", "p3")
	e.commit(store.Update(people, store.Doc{ID: "p1", Version: 1, Keys: keys{"badge": "7"}}))
	e.commit(store.Update(people, store.Doc{ID: "p1", Version: 2}))
	e.insert(people, store.Doc{ID: "p4", Keys: keys{"badge": "7"}})
	e.insert(people, store.Doc{ID: "p5"})
}

func uniqueWithinCommit(e *env) {
	e.taken(people, "by_name", "two inserts", store.Insert(people, person("p1", "acme", "ann")), store.Insert(people, person("p2", "acme", "ann")))
	e.missing(people, "p1", "p2")
	e.insert(people, person("p1", "acme", "a"), person("p2", "acme", "b"))
	same := keys{"tenant": "acme", "name": "c"}
	e.taken(people, "by_name", "two updates", store.Update(people, with(at(person("p1", "", ""), 1), same)),
		store.Update(people, with(at(person("p2", "", ""), 1), same)))
	e.taken(people, "by_name", "an update and an insert", store.Insert(people, person("p3", "acme", "c")),
		store.Update(people, with(at(person("p2", "", ""), 1), same)))
	e.holds(people, at(person("p1", "acme", "a"), 1))
	e.holds(people, at(person("p2", "acme", "b"), 1))
	e.missing(people, "p3")
}

// uniqueMoves frees a key and takes it in one commit, in whatever order.
func uniqueMoves(e *env) {
	named := func(id string, version int64, name string) store.Doc { return at(person(id, "acme", name), version) }
	e.insert(people, named("p1", 0, "a"), named("p2", 0, "b"), named("p3", 0, "c"))

	e.commit(store.Insert(people, named("p4", 0, "a")), store.Delete(people, named("p1", 1, "")))
	e.commit(store.Insert(people, named("p5", 0, "b")), store.Update(people, named("p2", 1, "d")))
	e.lists(people, store.Range{Index: "by_name"}, "p4", "p5", "p3", "p2") // a b c d

	e.commit(store.Update(people, named("p4", 1, "b")), store.Update(people, named("p5", 1, "a")))
	e.lists(people, store.Range{Index: "by_name"}, "p5", "p4", "p3", "p2")

	// A chain and a ring, in the order of ids and against it.
	e.commit(store.Update(people, named("p2", 2, "c")), store.Update(people, named("p3", 1, "b")), store.Update(people, named("p4", 2, "x")))
	e.lists(people, store.Range{Index: "by_name"}, "p5", "p3", "p2", "p4") // a b c x
	e.commit(store.Update(people, named("p5", 2, "x")), store.Update(people, named("p4", 3, "c")),
		store.Update(people, named("p3", 2, "a")), store.Update(people, named("p2", 3, "b")))
	e.lists(people, store.Range{Index: "by_name"}, "p3", "p2", "p4", "p5")

	// A delete frees what an update takes, whichever has the lesser id.
	e.insert(people, named("p6", 0, "six"), named("p7", 0, "seven"), named("p8", 0, "eight"))
	e.commit(store.Update(people, named("p7", 1, "eight")), store.Delete(people, named("p8", 1, "")))
	e.commit(store.Update(people, named("p7", 2, "six")), store.Delete(people, named("p6", 1, "")))
	e.commit(store.Delete(people, named("p7", 3, "")))

	// The holder's guard fails, so the key is not free, and the conflict is what is to be told.
	e.refused(store.ErrConflict, "a stale holder", store.Update(people, named("p2", 4, "x")), store.Update(people, named("p5", 2, "y")))
	e.taken(people, "by_name", "a checked holder", store.Update(people, named("p2", 4, "x")), store.Check(people, named("p5", 3, "")))
	e.lists(people, store.Range{Index: "by_name"}, "p3", "p2", "p4", "p5")
	e.taken(people, "by_name", "after all that", store.Insert(people, named("p9", 0, "x")))
}

// uniqueWide takes keys of four times 512 bytes that differ in the last byte.
func uniqueWide(e *env) {
	long := strings.Repeat("é", store.MaxKeyBytes/2)
	end := long[:store.MaxKeyBytes-2] + "xy"
	e.insert(wide, store.Doc{ID: long, Keys: keys{"a": long, "b": long, "c": long, "d": long}},
		store.Doc{ID: end, Keys: keys{"a": long, "b": long, "c": long, "d": end}})
	e.taken(wide, "by_all", "the first again", store.Insert(wide, store.Doc{ID: "x", Keys: keys{"a": long, "b": long, "c": long, "d": long}}))
	e.lists(wide, store.Range{Index: "by_all", Eq: []string{long, long, long}}, end, long)
	e.lists(wide, store.Range{Index: "by_all", Eq: []string{long, long, long, long}}, long)
	e.lists(wide, store.Range{Index: "by_all", Eq: []string{long, long, long}, Prefix: end}, end)
	first := e.page(wide, store.Range{Index: "by_all", Limit: 1})
	e.lists(wide, store.Range{Index: "by_all", After: e.Cursor(wide, "by_all", first[0])}, long)
	e.lists(wide, store.Range{From: long}, long)
}
