package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

var documents = []named{
	{name: "crud", run: crud},
	{name: "guards", run: guards},
	{name: "check", run: check},
	{name: "get_many", run: getMany},
	{name: "all_or_nothing", run: allOrNothing},
	{name: "no_shared_memory", run: noSharedMemory},
	{name: "hostile_ids", run: hostileIDs},
	{name: "bodies", run: bodies},
	{name: "large_commits", run: largeCommits},
	{name: "sealed", run: sealed},
	{name: "resealed", run: resealed},
}

func crud(e *env) {
	ann := person("p1", "acme", "ann")
	e.missing(people, "p1")
	e.insert(people, ann)
	e.holds(people, at(ann, 1))

	bob := with(at(ann, 1), keys{"tenant": "acme", "name": "bob", "badge": "7"})
	bob.Body = []byte(`{"name":"bob"}`)
	e.commit(store.Update(people, bob))
	e.holds(people, at(bob, 2))
	e.commit(store.Update(people, at(bob, 2)))
	e.holds(people, at(bob, 3))

	e.commit(store.Delete(people, at(bob, 3)))
	e.missing(people, "p1")
	e.insert(people, at(ann, 9)) // the version of an insert is ignored
	e.holds(people, at(ann, 1))
	e.missing(vault, "p1") // collections do not share ids
	e.commit()
}

func guards(e *env) {
	d := person("p1", "acme", "ann")
	e.insert(people, d)
	e.taken(people, "", "insert of a taken id", store.Insert(people, person("p1", "acme", "other")))
	e.commit(store.Update(people, at(d, 1)))
	for _, version := range []int64{1, 3} {
		e.refused(store.ErrConflict, "update at another version", store.Update(people, at(d, version)))
		e.refused(store.ErrConflict, "delete at another version", store.Delete(people, at(d, version)))
		e.refused(store.ErrConflict, "check at another version", store.Check(people, at(d, version)))
	}
	gone := at(person("p2", "acme", "bob"), 1)
	e.refused(store.ErrConflict, "update of nothing", store.Update(people, gone))
	e.refused(store.ErrConflict, "delete of nothing", store.Delete(people, gone))
	e.refused(store.ErrConflict, "check of nothing", store.Check(people, gone))
	e.holds(people, at(d, 2))
	e.lists(people, store.Range{}, "p1")
}

func check(e *env) {
	ann, bob := person("p1", "acme", "ann"), person("p2", "acme", "bob")
	e.insert(people, ann, bob)
	e.commit(store.Check(people, at(ann, 1)), store.Update(people, at(bob, 1)))
	e.commit(store.Check(people, at(ann, 1)))
	e.holds(people, at(ann, 1)) // a check changes nothing
	e.holds(people, at(bob, 2))
	e.refused(store.ErrConflict, "a check that fails beside an update that would not",
		store.Update(people, at(bob, 2)), store.Check(people, at(ann, 2)))
	e.holds(people, at(bob, 2))
	e.commit(store.Update(people, at(ann, 1)), store.Check(people, at(bob, 2)))
}

func getMany(e *env) {
	var all []store.Doc
	var asked []string
	for i := range store.MaxPage {
		id := fmt.Sprintf("id-%04d", (i*7919)%10_007)
		asked = append(asked, id)
		if i%3 > 0 {
			all = append(all, ranked(id, "r"))
		}
	}
	e.insert(people, all...)
	for _, n := range []int{1, 2, 3, 5, 100, store.MaxPage} {
		var want []string
		for i, id := range asked[:n] {
			if i%3 > 0 {
				want = append(want, id)
			}
		}
		docs, err := e.GetMany(e.ctx, people, asked[:n])
		if err != nil {
			e.Fatalf("get %d: %v", n, err)
		}
		if !slices.Equal(ids(docs), want) {
			e.Errorf("get %d: %d documents, or another order than asked, want %d", n, len(docs), len(want))
		}
	}
	docs, err := e.GetMany(e.ctx, people, []string{asked[2], "no", asked[1], asked[2]})
	if err != nil || !slices.Equal(ids(docs), []string{asked[2], asked[1], asked[2]}) {
		e.Errorf("get with repetitions: %q, %v", ids(docs), err)
	}
	if docs, err := e.GetMany(e.ctx, people, nil); err != nil || len(docs) != 0 {
		e.Errorf("get of nothing: %v, %v", docs, err)
	}
}

// allOrNothing puts an operation that fails in each place of a commit that otherwise would not.
func allOrNothing(e *env) {
	held := person("held", "acme", "held")
	changed := person("changed", "acme", "changed")
	secret := store.Doc{ID: "s", Body: []byte("1"), Keys: keys{"name": "s"}}
	e.insert(people, held, changed, person("gone", "acme", "gone"))
	e.insert(vault, secret)
	good := []store.Op{
		store.Insert(people, person("new", "acme", "new")),
		store.Update(people, with(at(changed, 1), keys{"tenant": "acme", "name": "renamed", "team": "acme", "rank": "9"})),
		store.Delete(people, store.Doc{ID: "gone", Version: 1}),
		store.Update(vault, store.Doc{ID: "s", Version: 1, Body: []byte("2"), Keys: keys{"name": "z"}}),
		store.Insert(wide, store.Doc{ID: "w", Body: []byte("{}"), Keys: keys{"a": "a"}}),
	}
	bad := map[string]store.Op{
		"conflict of an update": store.Update(people, at(held, 2)),
		"conflict of a delete":  store.Delete(people, at(held, 2)),
		"conflict of a check":   store.Check(people, at(held, 2)),
		"conflict elsewhere":    store.Update(wide, store.Doc{ID: "none", Version: 1}),
		"taken id":              store.Insert(people, person("held", "acme", "x")),
		"taken name":            store.Insert(people, person("x", "acme", "held")),
		"name taken by update":  store.Update(people, with(at(held, 1), keys{"tenant": "acme", "name": "new"})),
	}
	for what, op := range bad {
		for place := range len(good) + 1 {
			ops := slices.Insert(slices.Clone(good), place, op)
			err := e.Commit(e.ctx, ops...)
			var taken *store.TakenError
			if !errors.Is(err, store.ErrConflict) && !errors.As(err, &taken) {
				e.Errorf("%s at %d: %v", what, place, err)
			}
			e.holds(people, at(held, 1))
			e.holds(people, at(changed, 1))
			e.holds(vault, at(secret, 1))
			e.missing(people, "new", "x")
			e.lists(people, store.Range{Index: "by_name"}, "changed", "gone", "held")
			e.lists(people, store.Range{Index: "by_rank", Eq: []string{"acme"}, From: "1"})
			e.lists(vault, store.Range{Index: "by_name"}, "s")
			e.lists(wide, store.Range{})
		}
	}
	e.commit(good...)
	e.lists(people, store.Range{Index: "by_name"}, "held", "new", "changed")
}

func noSharedMemory(e *env) {
	given := person("p1", "acme", "ann")
	given.Body = []byte("body")
	e.insert(people, given)
	given.Body[0], given.Keys["name"] = 'X', "x"
	for range 2 {
		got, err := e.Get(e.ctx, people, "p1")
		if err != nil || string(got.Body) != "body" || got.Keys["name"] != "ann" {
			e.Fatalf("get: %v, %v: shares memory with a caller", got, err)
		}
		got.Body[0], got.Keys["name"] = 'Y', "y"
		for _, d := range e.page(people, store.Range{Index: "by_name"}) {
			if string(d.Body) != "body" || d.Keys["name"] != "ann" {
				e.Errorf("range: %v: shares memory with a caller", d)
			}
			d.Body[0], d.Keys["name"] = 'Z', "z"
		}
	}
}

// hostile are texts that engines like to order, fold or cut in their own way.
var hostile = []string{
	"a", "A", "b", "B", "aa", "ab", "a ", " a", "a  ", "a\t", "a\n", "\x01", "\x7f", "0", "9", "10", "00", "-1", "+1", "1e1", "0x10",
	"é", "e\u0301", "É", "E", "e", "ß", "ss", "SS", "ẞ", "ı", "i", "I", "İ", "ç", "z", "Z", "ä", "ae", "Æ", "ø", "ö",
	"ﬀ", "ff", "Å", "\u212B", "K", "\u212A", "\u200b", "\u00ad", "\ufeff", "a\u200bb", "\u00a0", "\u2028",
	"\ud7ff", "\ue000", "\uffff", "\ufffd", "\U00010000", "\U0001f600", "\U0010ffff", "中", "文", "かな", "カナ",
	"%", "_", "a%", "a_", "a*", "?", "[a]", "'", "''", "\"", "`", "\\", "\\0", "\\x00", ";", "--", "/*", "$1", "?1", ":a", "@a", "{}", "[]",
	"null", "NULL", "nil", "true", "a|b", "a/b", "a:b", "a,b", "a\x01b", "a\x1fb", "\x1e", "~", "}", "{", "|", "\u200e", "\u202e",
	strings.Repeat("k", store.MaxKeyBytes), strings.Repeat("k", store.MaxKeyBytes-1), strings.Repeat("k", store.MaxKeyBytes-1) + "l",
	strings.Repeat("é", store.MaxKeyBytes/2), strings.Repeat("é", store.MaxKeyBytes/2-1) + "èa"[:2],
}

func hostileIDs(e *env) {
	var docs []store.Doc
	for i, id := range hostile {
		docs = append(docs, store.Doc{ID: id, Body: fmt.Appendf(nil, "%d", i)})
	}
	e.insert(people, docs...)
	for _, d := range docs {
		e.holds(people, at(d, 1))
	}
	sorted := slices.Sorted(slices.Values(hostile))
	e.lists(people, store.Range{}, sorted...)
	slices.Reverse(sorted)
	e.lists(people, store.Range{Desc: true}, sorted...)
	for _, d := range docs {
		e.commit(store.Delete(people, at(d, 1)))
	}
	e.lists(people, store.Range{})
}

func bodies(e *env) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, body := range [][]byte{nil, {}, {0}, every, []byte(" {\"b\":1, \"a\":1.0} \n"), []byte("\xff\xfe"), bytes.Repeat(every, 8<<10)} {
		for _, collection := range []string{people, tokens, vault} {
			d := store.Doc{ID: fmt.Sprint(i), Body: body}
			e.insert(collection, d)
			e.holds(collection, at(d, 1))
		}
	}
}

// largeCommits meets the port's bounds: 500 operations, 4 MiB.
func largeCommits(e *env) {
	var inserts, updates, deletes []store.Op
	for i := range store.MaxCommitOps {
		d := person(fmt.Sprintf("p%03d", i), "acme", fmt.Sprintf("name %03d", i))
		inserts = append(inserts, store.Insert(people, d))
		d.Keys = keys{"tenant": "acme", "name": fmt.Sprintf("name %03d", (i+1)%store.MaxCommitOps)} // each takes its neighbour's
		updates = append(updates, store.Update(people, at(d, 1)))
		deletes = append(deletes, store.Delete(people, at(d, 2)))
	}
	e.commit(inserts...)
	e.counts(people, store.Range{}, store.MaxCommitOps)
	e.commit(updates...)
	e.lists(people, store.Range{Index: "by_name", Eq: []string{"acme", "name 000"}}, "p499")
	e.commit(deletes...)
	e.counts(people, store.Range{}, 0)

	big := store.Doc{ID: "big", Body: bytes.Repeat([]byte("x"), store.MaxCommitBytes-len("big"))}
	e.insert(people, big)
	e.holds(people, at(big, 1))
	e.lists(people, store.Range{}, "big")
}

func sealed(e *env) {
	d := store.Doc{ID: "s1", Body: []byte(`{"secret":"open sesame"}`), Keys: keys{"name": "n"}}
	e.insert(vault, d)
	e.holds(vault, at(d, 1))
	e.commit(store.Update(vault, at(d, 1)))
	e.lists(vault, store.Range{Index: "by_name", Eq: []string{"n"}}, "s1")
	raw, err := e.backend.Get(e.ctx, e.Now(), vault, []string{"s1"})
	if err != nil || len(raw) != 1 {
		e.Fatalf("get from the backend: %v, %v", raw, err)
	}
	if bytes.Contains(raw[0].Body, []byte("sesame")) {
		e.Errorf("the backend has the body in the clear")
	}
}

// resealed rotates the key: bodies are sealed anew page by page, beside a writer.
func resealed(e *env) {
	const n = 25
	for i := range n {
		e.insert(vault, store.Doc{ID: fmt.Sprintf("s%02d", i), Body: []byte("open sesame"), Keys: keys{"name": "n"}})
	}
	rotated, err := seal.NewKeyring([]seal.Key{{ID: "next", Secret: [32]byte{9}}, testKey})
	if err != nil {
		e.Fatalf("keyring: %v", err)
	}
	if e.Store, err = store.New(e.backend, e.schema, store.Options{Now: e.Now, Sealer: rotated}); err != nil {
		e.Fatalf("store: %v", err)
	}
	e.commit(store.Update(vault, store.Doc{ID: "s03", Version: 1, Body: []byte("changed"), Keys: keys{"name": "n"}}))
	for round, want := range []int{n - 1, 0} {
		read, stale := 0, 0
		for after := ""; ; {
			page, err := e.Reseal(e.ctx, vault, after, 10)
			if err != nil {
				e.Fatalf("reseal: %v", err)
			}
			read, stale = read+page.Read, stale+page.Stale
			if after = page.After; after == "" {
				break
			}
		}
		if read != n || stale != want {
			e.Errorf("round %d: %d read and %d sealed anew, want %d and %d", round, read, stale, n, want)
		}
	}
	e.holds(vault, at(store.Doc{ID: "s07", Body: []byte("open sesame"), Keys: keys{"name": "n"}}, 2))
	e.holds(vault, at(store.Doc{ID: "s03", Body: []byte("changed"), Keys: keys{"name": "n"}}, 2))
	e.counts(vault, store.Range{Index: "by_name", Eq: []string{"n"}}, n)
}
