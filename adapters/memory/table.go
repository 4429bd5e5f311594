package memory

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// table is one collection. An index holds an entry for each document: its keys of that index and its id, joined
// with NUL, so that the entries' byte order is the order of the index.
type table struct {
	collection store.Collection
	docs       map[string]store.Doc
	indexes    map[string]*ordered          // by index name; "" is the order of ids
	holders    map[string]map[string]string // by unique index and key: the id of the document that holds it
}

func newTable(c store.Collection) *table {
	t := &table{
		collection: c,
		docs:       map[string]store.Doc{},
		indexes:    map[string]*ordered{"": {}},
		holders:    map[string]map[string]string{},
	}
	for _, x := range c.Indexes {
		t.indexes[x.Name] = &ordered{}
		if x.Unique {
			t.holders[x.Name] = map[string]string{}
		}
	}
	return t
}

func (t *table) live(id string, now time.Time) (store.Doc, bool) {
	d, ok := t.docs[id]
	return d, ok && !expired(d, now)
}

func expired(d store.Doc, now time.Time) bool {
	return !d.ExpiresAt.IsZero() && !now.Before(d.ExpiresAt)
}

func (t *table) put(d store.Doc) {
	t.docs[d.ID] = d
	t.indexes[""].add(d.ID)
	for _, x := range t.collection.Indexes {
		key, held := x.Key(d.Keys)
		t.indexes[x.Name].add(key + "\x00" + d.ID)
		if x.Unique && held {
			t.holders[x.Name][key] = d.ID
		}
	}
}

func (t *table) remove(id string) {
	d, ok := t.docs[id]
	if !ok {
		return
	}
	delete(t.docs, id)
	t.indexes[""].remove(id)
	for _, x := range t.collection.Indexes {
		key, held := x.Key(d.Keys)
		t.indexes[x.Name].remove(key + "\x00" + id)
		if x.Unique && held && t.holders[x.Name][key] == id {
			delete(t.holders[x.Name], key)
		}
	}
}

// scan yields the index entries of a range in its order.
func (t *table) scan(r store.Range) (iter.Seq[string], error) {
	low, high, err := t.bounds(r)
	if err != nil {
		return nil, err
	}
	index := t.indexes[r.Index]
	if index == nil {
		return nil, fmt.Errorf("%w: collection %s has no index %q", store.ErrInvalid, t.collection.Name, r.Index)
	}
	entries, inside := index.from(low), func(e string) bool { return high == "" || e < high }
	if r.Desc {
		entries, inside = index.below(high), func(e string) bool { return e >= low }
	}
	return func(yield func(string) bool) {
		for e := range entries {
			if !inside(e) || !yield(e) {
				return
			}
		}
	}, nil
}

// bounds says a range as the entries from low to under high; no high is "".
func (t *table) bounds(r store.Range) (low, high string, err error) {
	var eq strings.Builder
	for _, v := range r.Eq {
		eq.WriteString(v)
		eq.WriteByte(0)
	}
	low = eq.String() + r.From
	switch {
	case r.To != "":
		high = eq.String() + r.To
	case len(r.Eq) > 0:
		high = strings.TrimSuffix(eq.String(), "\x00") + "\x01"
	}
	if r.After == "" {
		return low, high, nil
	}
	x, _ := t.collection.Find(r.Index)
	keys, id, err := store.ParseCursor(t.collection.Name, x, r.After)
	if err != nil {
		return "", "", err
	}
	place := strings.Join(append(keys, id), "\x00")
	if r.Desc {
		if high == "" || place < high {
			high = place
		}
		return low, high, nil
	}
	return max(low, place+"\x00"), high, nil
}

func entryID(entry string) string { return entry[strings.LastIndexByte(entry, 0)+1:] }

// clone keeps callers and the maps from sharing memory.
func clone(d store.Doc) store.Doc {
	d.Body = bytes.Clone(d.Body)
	d.Keys = maps.Clone(d.Keys)
	return d
}
