package mongofake

import (
	"bytes"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// collection is what a namespace holds.
type collection struct {
	namespace string // database.name
	database  string
	name      string
	options   bson.D // as create was given them
	foreign   bool   // made with a collation that the fake has no order for
	records   []*record
	indexes   []*index
	visible   uint64 // snapshots from before this commit do not know its indexes
}

// record is one document in all its versions, the newest last. At most that one is not committed.
type record struct{ versions []version }

type version struct {
	document bson.Raw // nil: deleted
	at       uint64   // its commit
	by       *transaction
}

// view is what a reader sees: what was committed up to an instant, and what its own transaction wrote.
type view struct {
	at uint64
	by *transaction
}

var latest = view{at: math.MaxUint64}

func (r *record) seen(v view) bson.Raw {
	for i := len(r.versions) - 1; i >= 0; i-- {
		if w := r.versions[i]; w.by != nil && w.by == v.by || w.by == nil && w.at <= v.at {
			return w.document
		}
	}
	return nil
}

// transaction is one in progress.
type transaction struct {
	snapshot uint64
	wrote    []*record
	ends     *time.Timer
}

func (t *transaction) view() view {
	if t == nil {
		return latest
	}
	return view{at: t.snapshot, by: t}
}

// index is one index. Its entries are the records that have, or once had, a key.
type index struct {
	name    string
	paths   []string
	unique  bool
	partial filter
	spec    bson.D
	entries map[string][]*record
}

// key is the text of a document's key; not where the index leaves it out.
func (x *index) key(d bson.Raw) (string, bool) {
	if d == nil || !x.partial.matches(d) {
		return "", false
	}
	var b []byte
	for _, p := range x.paths {
		b = appendKey(b, lookup(d, p))
	}
	return string(b), true
}

func (x *index) add(r *record, d bson.Raw) {
	key, ok := x.key(d)
	if !ok {
		return
	}
	for _, there := range x.entries[key] {
		if there == r {
			return
		}
	}
	x.entries[key] = append(x.entries[key], r)
}

func (c *collection) index(name string) *index {
	for _, x := range c.indexes {
		if x.name == name {
			return x
		}
	}
	return nil
}

var errConflict = fail(writeConflict, "Caused by :: Write conflict during plan execution and yielding is disabled. :: Please retry your operation or multi-document transaction.")

// put writes a version of a record, by a transaction or, where t is nil, for good. It is a conflict to meet a write of
// another transaction, under way or newer than one's own snapshot.
func (s *Server) put(c *collection, r *record, d bson.Raw, t *transaction) *Error {
	if len(r.versions) > 0 {
		top := r.versions[len(r.versions)-1]
		if top.by != nil && top.by != t || t != nil && top.by == nil && top.at > t.snapshot {
			return errConflict
		}
	}
	for _, x := range c.indexes {
		if err := x.free(c, r, d, t); err != nil {
			return err
		}
	}
	for _, x := range c.indexes {
		x.add(r, d)
	}
	switch top := len(r.versions) - 1; {
	case t == nil:
		s.clock++
		r.versions = append(r.versions, version{document: d, at: s.clock})
	case top >= 0 && r.versions[top].by == t:
		r.versions[top].document = d
	default:
		r.versions = append(r.versions, version{document: d, by: t})
		t.wrote = append(t.wrote, r)
	}
	return nil
}

// free says whether a unique index lets the record have the document's key. A key that another record has in what the
// writer sees is a duplicate. One that another transaction has written, or has committed since the writer's snapshot, is
// a conflict, even if it is gone again.
func (x *index) free(c *collection, r *record, d bson.Raw, t *transaction) *Error {
	key, ok := x.key(d)
	if !ok || !x.unique {
		return nil
	}
	conflict := false
	for _, other := range x.entries[key] {
		if other == r {
			continue
		}
		if held, _ := x.key(other.seen(t.view())); held == key {
			return x.duplicate(c, d)
		}
		for _, v := range other.versions {
			theirs := v.by != nil && v.by != t || v.by == nil && t != nil && v.at > t.snapshot
			if held, _ := x.key(v.document); theirs && held == key {
				conflict = true
			}
		}
	}
	if conflict {
		return errConflict
	}
	return nil
}

func (x *index) duplicate(c *collection, d bson.Raw) *Error {
	var pattern, value bson.D
	for _, p := range x.paths {
		v := lookup(d, p)
		if v.Type == 0 {
			v = bson.RawValue{Type: bson.TypeNull}
		}
		pattern, value = append(pattern, bson.E{Key: p, Value: int32(1)}), append(value, bson.E{Key: p, Value: v})
	}
	text, _ := bson.MarshalExtJSON(value, false, false)
	e := fail(duplicateKey, "E11000 duplicate key error collection: %s index: %s dup key: %s", c.namespace, x.name, text)
	e.more = bson.D{{Key: "keyPattern", Value: pattern}, {Key: "keyValue", Value: value}}
	return e
}

// commit makes what a transaction wrote visible at one instant.
func (s *Server) commit(t *transaction) {
	t.ends.Stop()
	s.clock++
	for _, r := range t.wrote {
		top := &r.versions[len(r.versions)-1]
		top.by, top.at = nil, s.clock
	}
	s.changed.Broadcast()
}

func (s *Server) rollback(t *transaction) {
	t.ends.Stop()
	for _, r := range t.wrote {
		r.versions = r.versions[:len(r.versions)-1]
	}
	s.changed.Broadcast()
}

// candidates are the records among which those are that a filter meets.
func (c *collection) candidates(f filter) []*record {
	ids := c.index("_id_")
	for _, cond := range f {
		if cond.path != "_id" {
			continue
		}
		values := cond.values
		switch {
		case cond.equals():
			values = []bson.RawValue{cond.value}
		case cond.operator != "$in":
			continue
		}
		var found []*record
		for _, v := range values {
			found = append(found, ids.entries[string(appendKey(nil, v))]...)
		}
		return found
	}
	return c.records
}

// instant is a commit as clients see it.
func instant(at uint64) bson.Timestamp { return bson.Timestamp{T: uint32(at>>32) + 1, I: uint32(at)} }

func commitOf(t bson.Timestamp) uint64 { return uint64(t.T-1)<<32 | uint64(t.I) }

func same(a, b bson.Raw) bool { return bytes.Equal(a, b) }
