package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

const (
	collection = "structure"
	stateID    = "state"
)

// Collection is what each store's schema must have for its database to be migrated.
func Collection() store.Collection { return store.Collection{Name: collection} }

// state is how far a database is. What is announced holds for whoever writes; what is not done yet is behind it.
type state struct {
	Indexes     map[string][]string `json:"indexes"` // announced: by collection, each index as text says it
	Number      int                 `json:"number"`  // announced: of the last migration
	AnnouncedAt time.Time           `json:"announced_at,omitzero"`
	Filling     []filling           `json:"filling,omitempty"`
	Migrated    int                 `json:"migrated"`        // number of the last migration that is done
	Place       string              `json:"place,omitempty"` // of the one after it

	version int64
}

// filling is the way through a collection whose documents get new keys.
type filling struct {
	Collection string `json:"collection"`
	After      string `json:"after,omitempty"`   // cursor in the order of ids
	Rewrite    bool   `json:"rewrite,omitempty"` // a new unique index holds those written anew
	Done       int64  `json:"done"`
	Total      int64  `json:"total"`
}

func (s state) doc() store.Doc {
	body, err := json.Marshal(s)
	if err != nil {
		panic(err) // of types that can be written
	}
	return store.Doc{ID: stateID, Version: s.version, Body: body}
}

func (s state) insert() store.Op { return store.Insert(collection, s.doc()) }
func (s state) update() store.Op { return store.Update(collection, s.doc()) }

func read(ctx context.Context, st *store.Store) (state, error) {
	var s state
	d, err := st.Get(ctx, collection, stateID)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(d.Body, &s); err != nil {
		return s, fmt.Errorf("read how far the database is: %w", err)
	}
	s.version = d.Version
	return s, nil
}

func (r runner) read(ctx context.Context) (state, error) { return read(ctx, r.Store) }

func (r runner) last() int { return last(r.migrations) }

func last(sorted []Migration) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)-1].Number
}

// text says an index: two that say the same are the same.
func text(x store.Index) string {
	t := x.Name + "(" + strings.Join(x.Fields, ",") + ")"
	if x.Unique {
		t += " unique"
	}
	return t
}

// declared says the indexes of a schema, by collection.
func declared(s store.Schema) map[string][]string {
	all := make(map[string][]string, len(s))
	for _, c := range s {
		indexes := make([]string, 0, len(c.Indexes))
		for _, x := range c.Indexes {
			indexes = append(indexes, text(x))
		}
		slices.Sort(indexes)
		all[c.Name] = indexes
	}
	return all
}

// older refuses with ErrNewer when the database is announced to be what this release does not know.
func (r runner) older(st state) error {
	if st.Number > r.last() {
		return fmt.Errorf("%w (it has migration %d, this one %d)", ErrNewer, st.Number, r.last())
	}
	if st.Number < r.last() {
		return nil // an index that we lack is one that we took away
	}
	mine := declared(r.schema)
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		for _, x := range st.Indexes[name] {
			if !slices.Contains(mine[name], x) {
				return fmt.Errorf("%w (it has the index %s of %s)", ErrNewer, x, name)
			}
		}
	}
	return nil
}

// unfilled are the collections with indexes that are not announced.
func (r runner) unfilled(st state) []filling {
	var work []filling
	for _, c := range r.schema {
		w := filling{Collection: c.Name}
		missing := false
		for _, x := range c.Indexes {
			if !slices.Contains(st.Indexes[c.Name], text(x)) {
				missing = true
				w.Rewrite = w.Rewrite || x.Unique
			}
		}
		if missing {
			work = append(work, w)
		}
	}
	return work
}

func sameKeys(a, b map[string]string) bool {
	for f, v := range a {
		if b[f] != v {
			return false
		}
	}
	for f, v := range b {
		if a[f] != v {
			return false
		}
	}
	return true
}
