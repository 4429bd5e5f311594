package storetest

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// model is the port's rules in their plainest form: a list of documents, searched whole. The random case holds the
// backend against it.
type model struct {
	docs map[string][]store.Doc // by collection, in no order
}

func (m *model) live(now time.Time, collection string) []store.Doc {
	var live []store.Doc
	for _, d := range m.docs[collection] {
		if d.ExpiresAt.IsZero() || d.ExpiresAt.After(now) {
			live = append(live, d)
		}
	}
	return live
}

func find(docs []store.Doc, id string) *store.Doc {
	i := slices.IndexFunc(docs, func(d store.Doc) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return &docs[i]
}

// outcomes are the errors of which a commit must answer one; none means that it must succeed.
func (m *model) outcomes(now time.Time, ops []store.Op) []error {
	var all []error
	after := map[string][]store.Doc{} // live documents that the commit leaves alone, then those that it writes
	for collection := range m.docs {
		after[collection] = m.live(now, collection)
	}
	for _, op := range ops {
		held := find(m.live(now, op.Collection), op.Doc.ID)
		switch {
		case op.Kind == store.OpInsert && held != nil:
			all = append(all, &store.TakenError{Collection: op.Collection})
		case op.Kind == store.OpInsert || op.Kind == store.OpCheck && held != nil && held.Version == op.Doc.Version:
		case held == nil || held.Version != op.Doc.Version:
			all = append(all, store.ErrConflict)
		default:
			after[op.Collection] = slices.DeleteFunc(after[op.Collection], func(d store.Doc) bool { return d.ID == op.Doc.ID })
		}
	}
	for _, op := range ops {
		if op.Kind != store.OpInsert && op.Kind != store.OpUpdate {
			continue
		}
		c, _ := schema.Find(op.Collection)
		for _, x := range c.Indexes {
			if x.Unique && slices.ContainsFunc(after[c.Name], func(d store.Doc) bool { return clash(x, d, op.Doc) }) {
				all = append(all, &store.TakenError{Collection: c.Name, Index: x.Name})
			}
		}
		after[c.Name] = append(after[c.Name], op.Doc)
	}
	return all
}

func clash(x store.Index, a, b store.Doc) bool {
	held := false
	for _, f := range x.Fields {
		if a.Keys[f] != b.Keys[f] {
			return false
		}
		held = held || a.Keys[f] != ""
	}
	return held
}

// apply makes a commit that has no outcome but success.
func (m *model) apply(now time.Time, ops []store.Op) {
	for _, op := range ops {
		if op.Kind == store.OpCheck {
			continue
		}
		docs := slices.DeleteFunc(m.docs[op.Collection], func(d store.Doc) bool { return d.ID == op.Doc.ID })
		if op.Kind != store.OpDelete {
			c, _ := schema.Find(op.Collection)
			for _, x := range c.Indexes { // expired holders of what the document takes
				docs = slices.DeleteFunc(docs, func(d store.Doc) bool {
					return x.Unique && clash(x, d, op.Doc) && !d.ExpiresAt.IsZero() && !d.ExpiresAt.After(now)
				})
			}
			d := op.Doc
			if d.Version++; op.Kind == store.OpInsert {
				d.Version = 1
			}
			docs = append(docs, d)
		}
		m.docs[op.Collection] = docs
	}
}

// sweep is how many documents have expired.
func (m *model) sweep(now time.Time) int {
	n := 0
	for collection := range m.docs {
		live := m.live(now, collection)
		n += len(m.docs[collection]) - len(live)
		m.docs[collection] = live
	}
	return n
}

// place is where a document stands in an index: its keys, then its id.
func place(x store.Index, d store.Doc) []string {
	p := make([]string, 0, len(x.Fields)+1)
	for _, f := range x.Fields {
		p = append(p, d.Keys[f])
	}
	return append(p, d.ID)
}

// list is the range without its page, behind the document whose place is the cursor's.
func (m *model) list(now time.Time, collection string, r store.Range, behind *store.Doc) []store.Doc {
	c, _ := schema.Find(collection)
	x, _ := c.Find(r.Index)
	direction := 1
	if r.Desc {
		direction = -1
	}
	docs := slices.DeleteFunc(m.live(now, collection), func(d store.Doc) bool {
		p := place(x, d)
		next := p[len(r.Eq)]
		return !slices.Equal(p[:len(r.Eq)], r.Eq) || !strings.HasPrefix(next, r.Prefix) || next < r.From || r.To != "" && next >= r.To ||
			behind != nil && slices.Compare(p, place(x, *behind))*direction <= 0
	})
	slices.SortFunc(docs, func(a, b store.Doc) int { return direction * slices.Compare(place(x, a), place(x, b)) })
	return docs
}

func (m *model) page(now time.Time, collection string, r store.Range, behind *store.Doc) []store.Doc {
	docs := m.list(now, collection, r, behind)
	docs = docs[min(r.Offset, len(docs)):]
	return docs[:min(cmp.Or(r.Limit, store.MaxPage), len(docs))]
}

// allowed says whether err is one of the outcomes.
func allowed(err error, outcomes []error) bool {
	if len(outcomes) == 0 {
		return err == nil
	}
	return slices.ContainsFunc(outcomes, func(want error) bool {
		var taken *store.TakenError
		if errors.As(want, &taken) {
			return store.Taken(err, taken.Collection, taken.Index)
		}
		return errors.Is(err, want)
	})
}
