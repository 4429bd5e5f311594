package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

var expiry = []named{
	{name: "expiry_on_read", run: expiryOnRead},
	{name: "expiry_to_the_millisecond", run: expiryToTheMillisecond},
	{name: "expiry_and_pages", run: expiryAndPages},
	{name: "expiry_guards", run: expiryGuards},
	{name: "expired_id_replaced", run: expiredIDReplaced},
	{name: "expired_key_taken", run: expiredKeyTaken},
	{name: "expired_at_birth", run: expiredAtBirth},
	{name: "expiry_moved", run: expiryMoved},
	{name: "sweep", run: sweep},
}

func expiryOnRead(e *env) {
	short, long, ever := e.token("1", "h1", "ann", time.Minute), e.token("2", "h2", "ann", time.Hour), e.token("3", "h3", "ann", 0)
	ever.ExpiresAt = time.Time{}
	e.insert(tokens, short, long, ever)
	e.holds(tokens, at(short, 1))
	e.lists(tokens, store.Range{Index: "by_owner", Eq: []string{"ann"}}, "1", "2", "3")
	e.advance(time.Minute)
	e.missing(tokens, "1")
	e.holds(tokens, at(long, 1))
	if docs, err := e.GetMany(e.ctx, tokens, []string{"1", "2"}); err != nil || !slices.Equal(ids(docs), []string{"2"}) {
		e.Errorf("get of an expired and a live document: %q, %v", ids(docs), err)
	}
	e.lists(tokens, store.Range{Index: "by_owner", Eq: []string{"ann"}}, "2", "3")
	e.lists(tokens, store.Range{Index: "by_hash", Eq: []string{"h1"}})
	e.lists(tokens, store.Range{}, "2", "3")
	e.advance(100 * 365 * 24 * time.Hour)
	e.lists(tokens, store.Range{}, "3")
	e.holds(tokens, at(ever, 1))
}

func expiryToTheMillisecond(e *env) {
	d := e.token("1", "h", "ann", 1500*time.Millisecond+999*time.Microsecond)
	e.insert(tokens, d)
	d.ExpiresAt = d.ExpiresAt.Truncate(time.Millisecond)
	e.holds(tokens, at(d, 1))
	e.advance(1499 * time.Millisecond)
	e.holds(tokens, at(d, 1))
	e.advance(999 * time.Microsecond)
	e.holds(tokens, at(d, 1))
	e.advance(time.Microsecond)
	e.missing(tokens, "1")
}

// expiryAndPages holds that expired documents take no place in pages.
func expiryAndPages(e *env) {
	var docs []store.Doc
	for i := range 30 {
		d := e.token(fmt.Sprintf("%02d", i), fmt.Sprint(i), "ann", time.Hour)
		if i%3 > 0 {
			d.ExpiresAt = e.Now().Add(time.Minute)
		}
		docs = append(docs, d)
	}
	e.insert(tokens, docs...)
	e.advance(time.Minute)
	r := store.Range{Index: "by_owner", Eq: []string{"ann"}, Limit: 3}
	e.lists(tokens, r, "00", "03", "06")
	r.Offset = 4
	e.lists(tokens, r, "12", "15", "18")
	r.Offset, r.After = 0, e.Cursor(tokens, "by_owner", docs[13]) // at an expired one
	e.lists(tokens, r, "15", "18", "21")
	r.Desc = true
	e.lists(tokens, r, "12", "09", "06")
}

func expiryGuards(e *env) {
	d := at(e.token("1", "h", "ann", time.Minute), 1)
	e.insert(tokens, d, e.token("2", "h2", "ann", time.Hour))
	e.commit(store.Check(tokens, d))
	e.advance(time.Minute)
	e.refused(store.ErrConflict, "update of an expired document", store.Update(tokens, d))
	e.refused(store.ErrConflict, "delete of an expired document", store.Delete(tokens, d))
	e.refused(store.ErrConflict, "check of an expired document", store.Check(tokens, d))
	d.ExpiresAt = e.Now().Add(time.Hour)
	e.refused(store.ErrConflict, "revival of an expired document", store.Update(tokens, d))
	e.missing(tokens, "1")
	e.commit(store.Check(tokens, store.Doc{ID: "2", Version: 1}))
}

func expiredIDReplaced(e *env) {
	e.insert(tokens, e.token("1", "old", "ann", time.Minute))
	e.commit(store.Update(tokens, at(e.token("1", "old", "ann", time.Minute), 1)))
	e.taken(tokens, "", "insert over a live document", store.Insert(tokens, e.token("1", "new", "bob", time.Hour)))
	e.advance(time.Minute)
	d := e.token("1", "new", "bob", time.Hour)
	e.insert(tokens, d)
	e.holds(tokens, at(d, 1))
	e.lists(tokens, store.Range{Index: "by_owner"}, "1")
	e.lists(tokens, store.Range{Index: "by_owner", Eq: []string{"ann"}}) // nothing of the old one is left
	e.lists(tokens, store.Range{Index: "by_hash", Eq: []string{"old"}})
	e.insert(tokens, e.token("2", "old", "ann", time.Minute))
	if n, err := e.Sweep(e.ctx, 100); n != 0 || err != nil {
		e.Errorf("sweep: %d, %v, want nothing to sweep", n, err)
	}
	e.holds(tokens, at(d, 1))
}

func expiredKeyTaken(e *env) {
	e.insert(tokens, e.token("1", "h1", "ann", time.Minute), e.token("2", "h2", "ann", time.Minute), e.token("3", "h3", "ann", time.Hour))
	e.taken(tokens, "by_hash", "a live holder's key", store.Insert(tokens, e.token("4", "h1", "bob", time.Hour)))
	e.advance(time.Minute)
	e.insert(tokens, e.token("4", "h1", "bob", time.Hour))
	e.lists(tokens, store.Range{Index: "by_hash"}, "4", "3")
	e.commit(store.Update(tokens, at(e.token("3", "h2", "bob", time.Hour), 1)))
	e.lists(tokens, store.Range{Index: "by_hash"}, "4", "3")
	e.taken(tokens, "by_hash", "the new holder's key", store.Insert(tokens, e.token("5", "h2", "bob", time.Hour)))
	e.missing(tokens, "1", "2")
	if _, err := e.Sweep(e.ctx, 100); err != nil {
		e.Errorf("sweep: %v", err)
	}
	e.lists(tokens, store.Range{Index: "by_hash"}, "4", "3")
	// A commit that fails leaves an expired holder's key as free as it was.
	e.insert(tokens, e.token("6", "h6", "ann", time.Minute))
	e.advance(time.Minute)
	e.refused(store.ErrConflict, "a conflict beside an expired holder", store.Insert(tokens, e.token("7", "h6", "bob", time.Hour)),
		store.Delete(tokens, store.Doc{ID: "3", Version: 1}))
	e.missing(tokens, "6", "7")
	e.insert(tokens, e.token("7", "h6", "bob", time.Hour))
}

// expiredAtBirth writes documents that have expired: invisible, and held to the rules of keys all the same.
func expiredAtBirth(e *env) {
	e.insert(tokens, e.token("1", "h1", "ann", time.Hour))
	e.insert(tokens, e.token("2", "h2", "ann", -time.Hour))
	e.missing(tokens, "2")
	e.lists(tokens, store.Range{Index: "by_owner"}, "1")
	e.taken(tokens, "by_hash", "a live holder's key", store.Insert(tokens, e.token("3", "h1", "ann", -time.Hour)))
	e.insert(tokens, e.token("2", "h2", "bob", time.Hour))
	gone := at(e.token("1", "h1", "ann", 0), 1)
	e.commit(store.Update(tokens, gone)) // ended now
	e.missing(tokens, "1")
	e.lists(tokens, store.Range{Index: "by_hash"}, "2")
}

func expiryMoved(e *env) {
	d := e.token("1", "h", "ann", time.Minute)
	e.insert(tokens, d)
	d = at(d, 1)
	d.ExpiresAt = e.Now().Add(time.Hour)
	e.commit(store.Update(tokens, d))
	e.advance(time.Minute)
	e.holds(tokens, at(d, 2))
	d.Version, d.ExpiresAt = 2, time.Time{}
	e.commit(store.Update(tokens, d))
	e.advance(time.Hour)
	if n, err := e.Sweep(e.ctx, 100); n != 0 || err != nil {
		e.Errorf("sweep: %d, %v, want nothing to sweep", n, err)
	}
	e.holds(tokens, at(d, 3))
	d.Version, d.ExpiresAt = 3, e.Now().Add(time.Second)
	e.commit(store.Update(tokens, d))
	e.lists(tokens, store.Range{Index: "by_hash", Eq: []string{"h"}}, "1")
	e.advance(time.Second)
	e.lists(tokens, store.Range{Index: "by_hash", Eq: []string{"h"}})
}

func sweep(e *env) {
	for i := range 25 {
		lives := time.Minute
		if i >= 20 {
			lives = time.Hour
		}
		e.insert(tokens, e.token(fmt.Sprintf("%02d", i), fmt.Sprint(i), "ann", lives))
	}
	e.insert(people, person("p", "t", "n"))
	if n, err := e.Sweep(e.ctx, 100); n != 0 || err != nil {
		e.Errorf("sweep of live documents: %d, %v", n, err)
	}
	e.advance(time.Minute)
	for _, want := range []int{8, 8, 4, 0} {
		if n, err := e.Sweep(e.ctx, 8); n != want || err != nil {
			e.Errorf("sweep of at most 8: %d, %v, want %d", n, err, want)
		}
		e.counts(tokens, store.Range{}, 5)
	}
	e.holds(people, at(person("p", "t", "n"), 1))
	e.insert(tokens, e.token("00", "0", "ann", time.Minute))
	e.lists(tokens, store.Range{Index: "by_owner"}, "00", "20", "21", "22", "23", "24")
	if _, err := e.Sweep(e.ctx, 0); !errors.Is(err, store.ErrInvalid) {
		e.Errorf("sweep of none: %v, want ErrInvalid", err)
	}
	// Swept is gone from the engine, not only from sight: seen with a clock put back.
	e.advance(-time.Minute)
	e.missing(tokens, "01", "19")
	e.counts(tokens, store.Range{}, 6)
}
