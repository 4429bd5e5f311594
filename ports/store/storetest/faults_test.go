package storetest_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/ports/store"
)

// fault is a mistake that an adapter could make, and the case that catches it.
type fault struct {
	name, caught string
	plant        func(store.Backend, store.Schema) store.Backend
}

// faulty is a backend some of whose methods are replaced.
type faulty struct {
	store.Backend
	get    func(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error)
	list   func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error)
	count  func(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error)
	commit func(ctx context.Context, now time.Time, ops []store.Op) error
	sweep  func(ctx context.Context, now time.Time, collection string, limit int) (int, error)
	ping   func(ctx context.Context) error
	close  func() error
}

func (f *faulty) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	if f.get != nil {
		return f.get(ctx, now, collection, ids)
	}
	return f.Backend.Get(ctx, now, collection, ids)
}

func (f *faulty) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	if f.list != nil {
		return f.list(ctx, now, collection, r)
	}
	return f.Backend.Range(ctx, now, collection, r)
}

func (f *faulty) Count(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
	if f.count != nil {
		return f.count(ctx, now, collection, r)
	}
	return f.Backend.Count(ctx, now, collection, r)
}

func (f *faulty) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if f.commit != nil {
		return f.commit(ctx, now, slices.Clone(ops))
	}
	return f.Backend.Commit(ctx, now, ops)
}

func (f *faulty) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	if f.sweep != nil {
		return f.sweep(ctx, now, collection, limit)
	}
	return f.Backend.Sweep(ctx, now, collection, limit)
}

func (f *faulty) Ping(ctx context.Context) error {
	if f.ping != nil {
		return f.ping(ctx)
	}
	return f.Backend.Ping(ctx)
}

func (f *faulty) Close() error {
	if f.close != nil {
		return f.close()
	}
	return f.Backend.Close()
}

// plant replaces methods of a backend.
func plant(replace func(*faulty)) func(store.Backend, store.Schema) store.Backend {
	return func(b store.Backend, _ store.Schema) store.Backend {
		f := &faulty{Backend: b}
		replace(f)
		return f
	}
}

// commits changes the operations on their way to the backend.
func commits(change func(b store.Backend, now time.Time, ops []store.Op) []store.Op) func(store.Backend, store.Schema) store.Backend {
	return plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			return f.Backend.Commit(ctx, now, change(f.Backend, now, ops))
		}
	})
}

// lists changes ranges on their way to the backend, for counts too.
func lists(change func(*store.Range)) func(store.Backend, store.Schema) store.Backend {
	return plant(func(f *faulty) {
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			change(&r)
			return f.Backend.Range(ctx, now, collection, r)
		}
		f.count = func(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
			change(&r)
			r.After, r.Offset = "", 0
			return f.Backend.Count(ctx, now, collection, r)
		}
	})
}

// answers changes the documents on their way from the backend.
func answers(change func(docs []store.Doc) []store.Doc) func(store.Backend, store.Schema) store.Backend {
	return plant(func(f *faulty) {
		f.get = func(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
			docs, err := f.Backend.Get(ctx, now, collection, ids)
			return change(docs), err
		}
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			docs, err := f.Backend.Range(ctx, now, collection, r)
			return change(docs), err
		}
	})
}

// keysChanged stores and asks for keys through change, as a collation or a column's type does.
func keysChanged(change func(string) string) func(store.Backend, store.Schema) store.Backend {
	return plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for i := range ops {
				ops[i].Doc.Keys = maps.Clone(ops[i].Doc.Keys)
				for field, k := range ops[i].Doc.Keys {
					ops[i].Doc.Keys[field] = change(k)
				}
			}
			return f.Backend.Commit(ctx, now, ops)
		}
		bounds := func(r *store.Range) {
			r.From, r.To, r.Eq = change(r.From), change(r.To), slices.Clone(r.Eq)
			for i := range r.Eq {
				r.Eq[i] = change(r.Eq[i])
			}
		}
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			bounds(&r)
			return f.Backend.Range(ctx, now, collection, r)
		}
		f.count = func(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
			bounds(&r)
			return f.Backend.Count(ctx, now, collection, r)
		}
	})
}

// ordered sorts what a range answers in another order of keys.
func ordered(compare func(a, b store.Doc) int) func(store.Backend, store.Schema) store.Backend {
	return plant(func(f *faulty) {
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			docs, err := f.Backend.Range(ctx, now, collection, r)
			slices.SortStableFunc(docs, func(a, b store.Doc) int {
				if r.Desc {
					return compare(b, a)
				}
				return compare(a, b)
			})
			return docs, err
		}
	})
}

// schemaChanged gives the backend another schema.
func schemaChanged(change func(*store.Collection)) func(store.Backend, store.Schema) store.Backend {
	return func(_ store.Backend, s store.Schema) store.Backend {
		s = slices.Clone(s)
		for i := range s {
			s[i].Indexes = slices.Clone(s[i].Indexes)
			change(&s[i])
		}
		return memory.New(s)
	}
}

func notUnique(c *store.Collection) {
	for i := range c.Indexes {
		c.Indexes[i].Unique = false
	}
}

func stored(b store.Backend, collection, id string) *store.Doc {
	docs, err := b.Get(context.Background(), time.Time{}, collection, []string{id}) // before all expiry: as stored
	if err != nil || len(docs) == 0 {
		return nil
	}
	return &docs[0]
}

// standing makes the guards of some kinds hold whatever the version.
func standing(kinds ...store.OpKind) func(store.Backend, time.Time, []store.Op) []store.Op {
	return func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if held := stored(b, op.Collection, op.Doc.ID); held != nil && slices.Contains(kinds, op.Kind) {
				ops[i].Doc.Version = held.Version
			}
		}
		return ops
	}
}

// judged judges an operation's guard on its own, before and outside the commit that is then made of the others.
func judged(f *faulty, kind store.OpKind) {
	f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
		for _, op := range ops {
			if op.Kind != kind {
				continue
			}
			if held := stored(f.Backend, op.Collection, op.Doc.ID); held == nil || held.Version != op.Doc.Version {
				return store.ErrConflict
			}
		}
		time.Sleep(time.Millisecond) // for others to come in between
		if kind == store.OpCheck {
			ops = slices.DeleteFunc(ops, func(op store.Op) bool { return op.Kind == kind })
		} else {
			ops = standing(kind)(f.Backend, now, ops)
		}
		return f.Backend.Commit(ctx, now, ops)
	}
}

func utf16Order(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

var ageless = time.Time{}

var faults = []fault{
	// Guards
	{"updates are not guarded by the version", "guards", commits(standing(store.OpUpdate))},
	{"deletes are not guarded by the version", "guards", commits(standing(store.OpDelete))},
	{"checks are not judged", "check", commits(func(_ store.Backend, _ time.Time, ops []store.Op) []store.Op {
		return slices.DeleteFunc(ops, func(op store.Op) bool { return op.Kind == store.OpCheck })
	})},
	{"an update inserts what is missing", "guards", commits(func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if op.Kind == store.OpUpdate && stored(b, op.Collection, op.Doc.ID) == nil {
				ops[i].Kind, ops[i].Doc.Version = store.OpInsert, 0
			}
		}
		return ops
	})},
	{"an insert replaces what is there", "guards", commits(func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if held := stored(b, op.Collection, op.Doc.ID); held != nil && op.Kind == store.OpInsert {
				ops[i].Kind, ops[i].Doc.Version = store.OpUpdate, held.Version
			}
		}
		return ops
	})},
	{"a check writes", "check", commits(func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if held := stored(b, op.Collection, op.Doc.ID); held != nil && op.Kind == store.OpCheck {
				version := op.Doc.Version
				ops[i].Kind, ops[i].Doc = store.OpUpdate, *held
				ops[i].Doc.Version = version
			}
		}
		return ops
	})},
	{"update guards are judged before the transaction", "increments", plant(func(f *faulty) { judged(f, store.OpUpdate) })},
	{"update guards are judged before the transaction: single use", "one_winner_single_use", plant(func(f *faulty) { judged(f, store.OpUpdate) })},
	{"checks are judged before the transaction", "write_skew", plant(func(f *faulty) { judged(f, store.OpCheck) })},

	// All or nothing
	{"each operation is a commit of its own", "all_or_nothing", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				if err := f.Backend.Commit(ctx, now, []store.Op{op}); err != nil {
					return err
				}
			}
			return nil
		}
	})},
	{"each collection is a commit of its own", "all_or_nothing", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			by := map[string][]store.Op{}
			for _, op := range ops {
				by[op.Collection] = append(by[op.Collection], op)
			}
			for _, collection := range slices.Sorted(maps.Keys(by)) {
				if err := f.Backend.Commit(ctx, now, by[collection]); err != nil {
					return err
				}
			}
			return nil
		}
	})},
	{"a range sees a commit half made", "whole_commits", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				if err := f.Backend.Commit(ctx, now, []store.Op{op}); err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // for others to come in between
			}
			return nil
		}
	})},
	{"the last of 500 operations is dropped", "large_commits", commits(func(_ store.Backend, _ time.Time, ops []store.Op) []store.Op {
		return ops[:min(len(ops), store.MaxCommitOps-1)]
	})},
	{"an acknowledged commit is seen later", "parallel_commits", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			if len(ops) == 1 {
				return f.Backend.Commit(ctx, now, ops)
			}
			go func() {
				time.Sleep(2 * time.Millisecond)
				_ = f.Backend.Commit(context.WithoutCancel(ctx), now, ops)
			}()
			return nil
		}
	})},

	// Unique keys
	{"nothing is unique", "unique_per_tenant", schemaChanged(notUnique)},
	{"unique by the last field alone", "unique_per_tenant", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				all, err := f.Backend.Range(ctx, now, op.Collection, store.Range{Limit: store.MaxPage})
				if err != nil {
					return err
				}
				for _, d := range all {
					if name := op.Doc.Keys["name"]; name != "" && d.ID != op.Doc.ID && d.Keys["name"] == name {
						return &store.TakenError{Collection: op.Collection, Index: "by_name"}
					}
				}
			}
			return f.Backend.Commit(ctx, now, ops)
		}
	})},
	{"an error that does not name the index", "unique_per_tenant", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			err := f.Backend.Commit(ctx, now, ops)
			var taken *store.TakenError
			if errors.As(err, &taken) {
				taken.Index = ""
			}
			return err
		}
	})},
	{"a taken key is told as a conflict", "unique_per_tenant", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			err := f.Backend.Commit(ctx, now, ops)
			if taken := new(store.TakenError); errors.As(err, &taken) {
				return store.ErrConflict
			}
			return err
		}
	})},
	{"empty keys are held to uniqueness", "unique_empty", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				if op.Kind == store.OpInsert && op.Doc.Keys["badge"] == "" && op.Doc.Keys["name"] == "" {
					if n, _ := f.Backend.Count(ctx, now, op.Collection, store.Range{}); n > 0 {
						return &store.TakenError{Collection: op.Collection, Index: "by_badge"}
					}
				}
			}
			return f.Backend.Commit(ctx, now, ops)
		}
	})},
	{"joined keys meet that differ in their parts", "unique_bytes", plant(func(f *faulty) {
		held := map[string]string{}
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				joined := op.Doc.Keys["tenant"] + op.Doc.Keys["name"]
				if id := held[joined]; id != "" && id != op.Doc.ID {
					return &store.TakenError{Collection: op.Collection, Index: "by_name"}
				}
				held[joined] = op.Doc.ID
			}
			return f.Backend.Commit(ctx, now, ops)
		}
	})},
	{"unique keys are judged one operation at a time", "unique_moves", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				docs, _ := f.Backend.Range(ctx, now, op.Collection, store.Range{Index: "by_name", Limit: 1,
					Eq: []string{op.Doc.Keys["tenant"], op.Doc.Keys["name"]}})
				if len(docs) == 1 && docs[0].ID != op.Doc.ID && op.Doc.Keys["name"] != "" {
					return &store.TakenError{Collection: op.Collection, Index: "by_name"}
				}
			}
			return f.Backend.Commit(ctx, now, ops)
		}
	})},
	{"two documents of one commit take the same key", "unique_within_commit", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			err := f.Backend.Commit(ctx, now, ops)
			if taken := new(store.TakenError); errors.As(err, &taken) && len(ops) == 2 {
				ops[1].Doc.Keys = nil
				return f.Backend.Commit(ctx, now, ops)
			}
			return err
		}
	})},
	{"unique keys are judged before the transaction", "one_winner_unique", func(b store.Backend, s store.Schema) store.Backend {
		f := &faulty{Backend: schemaChanged(notUnique)(b, s)}
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				r := store.Range{Index: "by_name", Eq: []string{"t", "name"}}
				if n, err := f.Backend.Count(ctx, now, op.Collection, r); err == nil && n > 0 {
					return &store.TakenError{Collection: op.Collection, Index: "by_name"}
				}
			}
			time.Sleep(time.Millisecond) // for others to come in between
			return f.Backend.Commit(ctx, now, ops)
		}
		return f
	}},
	{"ids are judged before the transaction", "one_winner_id", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			if stored(f.Backend, ops[0].Collection, ops[0].Doc.ID) != nil {
				return &store.TakenError{Collection: ops[0].Collection}
			}
			time.Sleep(time.Millisecond) // for others to come in between
			if held := stored(f.Backend, ops[0].Collection, ops[0].Doc.ID); held != nil {
				ops[0].Kind, ops[0].Doc.Version = store.OpUpdate, held.Version
			}
			return f.Backend.Commit(ctx, now, ops)
		}
	})},

	// Keys
	{"keys are blind to case", "unique_bytes", keysChanged(strings.ToLower)},
	{"keys are padded with spaces", "unique_bytes", keysChanged(func(k string) string { return strings.TrimRight(k, " ") })},
	{"keys are cut at 255 bytes", "unique_wide", keysChanged(func(k string) string { return k[:min(len(k), 255)] })},
	{"keys lose what no one sees", "unique_bytes", keysChanged(strings.NewReplacer("\u200b", "", "\u00ad", "", "\ufeff", "").Replace)},
	{"keys are ordered without case", "byte_order", ordered(func(a, b store.Doc) int {
		return strings.Compare(strings.ToLower(a.Keys["rank"]), strings.ToLower(b.Keys["rank"]))
	})},
	{"keys are ordered in UTF-16", "byte_order", ordered(func(a, b store.Doc) int { return utf16Order(a.Keys["rank"], b.Keys["rank"]) })},
	{"ids are ordered in UTF-16", "hostile_ids", ordered(func(a, b store.Doc) int { return utf16Order(a.ID, b.ID) })},
	{"equal keys are in no order", "byte_order", ordered(func(a, b store.Doc) int {
		return cmp.Or(strings.Compare(a.Keys["rank"], b.Keys["rank"]), -strings.Compare(a.ID, b.ID))
	})},
	{"equal keys are ascending in a descending range", "descending", plant(func(f *faulty) {
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			docs, err := f.Backend.Range(ctx, now, collection, r)
			slices.SortStableFunc(docs, func(a, b store.Doc) int {
				if a.Keys["rank"] == b.Keys["rank"] && r.Desc {
					return strings.Compare(a.ID, b.ID)
				}
				return 0
			})
			return docs, err
		}
	})},

	// Ranges
	{"the index does not follow an update", "index_follows_update", commits(func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if held := stored(b, op.Collection, op.Doc.ID); held != nil && op.Kind == store.OpUpdate {
				ops[i].Doc.Keys = held.Keys
			}
		}
		return ops
	})},
	{"a key that is left out of an update stays", "index_follows_update", commits(func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if held := stored(b, op.Collection, op.Doc.ID); held != nil && op.Kind == store.OpUpdate {
				keys := maps.Clone(held.Keys)
				maps.Copy(keys, op.Doc.Keys)
				ops[i].Doc.Keys = keys
			}
		}
		return ops
	})},
	{"an entry is left behind after an update", "index_follows_update", plant(func(f *faulty) {
		before := map[string]store.Doc{}
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				if held := stored(f.Backend, op.Collection, op.Doc.ID); held != nil {
					before[op.Doc.ID] = *held
				}
			}
			return f.Backend.Commit(ctx, now, ops)
		}
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			docs, err := f.Backend.Range(ctx, now, collection, r)
			for _, d := range before {
				if len(r.Eq) == 2 && r.Index == "by_rank" && d.Keys["team"] == r.Eq[0] && d.Keys["rank"] == r.Eq[1] {
					docs = append(docs, d)
				}
			}
			return docs, err
		}
	})},
	{"a document without keys is not in the index", "unique_empty", answers(func(docs []store.Doc) []store.Doc {
		return slices.DeleteFunc(docs, func(d store.Doc) bool { return len(d.Keys) == 0 })
	})},
	{"From is not in the range", "range_bounds", lists(func(r *store.Range) {
		if r.From != "" {
			r.From += "\x01"
		}
	})},
	{"To is in the range", "range_bounds", lists(func(r *store.Range) {
		if r.To != "" {
			r.To += "\x01"
		}
	})},
	{"From is ignored", "prefix", lists(func(r *store.Range) { r.From = "" })},
	{"To is ignored", "prefix", lists(func(r *store.Range) { r.To = "" })},
	{"the last value of Eq is ignored", "four_fields", lists(func(r *store.Range) {
		if len(r.Eq) > 1 && r.After == "" {
			r.Eq = r.Eq[:len(r.Eq)-1]
		}
	})},
	{"bounds behind the last field are ignored", "range_bounds", lists(func(r *store.Range) {
		if len(r.Eq) == 2 {
			r.From, r.To = "", ""
		}
	})},
	{"Desc is ignored", "descending", lists(func(r *store.Range) { r.Desc = false })},
	{"Limit is ignored", "limit", lists(func(r *store.Range) { r.Limit = math.MaxInt })},
	{"Limit is one too many", "limit", lists(func(r *store.Range) { r.Limit++ })},
	{"Offset is ignored", "offset_pages", lists(func(r *store.Range) { r.Offset = 0 })},
	{"Offset is ignored behind a cursor", "cursor_pages", lists(func(r *store.Range) {
		if r.After != "" {
			r.Offset = 0
		}
	})},
	{"the cursor is ignored", "cursor_pages", lists(func(r *store.Range) { r.After = "" })},
	{"the cursor is taken for an offset", "cursor_survives_writes", plant(func(f *faulty) {
		places := map[string]int{}
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			if r.After != "" {
				if _, known := places[r.After]; !known {
					places[r.After] = 5
				}
				r.Offset, r.After = places[r.After], ""
			}
			return f.Backend.Range(ctx, now, collection, r)
		}
	})},
	{"the cursor's document must be there", "cursor_survives_writes", plant(func(f *faulty) {
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			if r.After != "" {
				x := store.Index{Name: r.Index, Fields: []string{"team", "rank"}}
				if _, id, err := store.ParseCursor(collection, x, r.After); err != nil || stored(f.Backend, collection, id) == nil {
					return nil, err
				}
			}
			return f.Backend.Range(ctx, now, collection, r)
		}
	})},
	{"the cursor skips all equal keys", "cursor_pages", plant(func(f *faulty) {
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			docs, err := f.Backend.Range(ctx, now, collection, r)
			if r.After != "" {
				keys, _, _ := store.ParseCursor(collection, store.Index{Name: r.Index, Fields: []string{"team", "rank"}}, r.After)
				docs = slices.DeleteFunc(docs, func(d store.Doc) bool { return d.Keys["rank"] == keys[1] })
			}
			return docs, err
		}
	})},
	{"a count ignores the range", "count", plant(func(f *faulty) {
		f.count = func(ctx context.Context, now time.Time, collection string, _ store.Range) (int64, error) {
			return f.Backend.Count(ctx, now, collection, store.Range{})
		}
	})},
	{"a count stops at a page", "count", plant(func(f *faulty) {
		f.count = func(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
			n, err := f.Backend.Count(ctx, now, collection, r)
			return min(n, store.MaxPage), err
		}
	})},

	// Expiry
	{"no expiry on Get", "expiry_on_read", plant(func(f *faulty) {
		f.get = func(ctx context.Context, _ time.Time, collection string, ids []string) ([]store.Doc, error) {
			return f.Backend.Get(ctx, ageless, collection, ids)
		}
	})},
	{"no expiry on Range", "expiry_on_read", plant(func(f *faulty) {
		f.list = func(ctx context.Context, _ time.Time, collection string, r store.Range) ([]store.Doc, error) {
			return f.Backend.Range(ctx, ageless, collection, r)
		}
	})},
	{"expired documents are counted", "expiry_on_read", plant(func(f *faulty) {
		f.count = func(ctx context.Context, _ time.Time, collection string, r store.Range) (int64, error) {
			return f.Backend.Count(ctx, ageless, collection, r)
		}
	})},
	{"expired documents take places of a page", "expiry_and_pages", plant(func(f *faulty) {
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			docs, err := f.Backend.Range(ctx, ageless, collection, r)
			return slices.DeleteFunc(docs, func(d store.Doc) bool { return !d.ExpiresAt.IsZero() && !d.ExpiresAt.After(now) }), err
		}
	})},
	{"a document lives at its last instant", "expiry_to_the_millisecond", plant(func(f *faulty) {
		f.get = func(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
			return f.Backend.Get(ctx, now.Add(-time.Millisecond), collection, ids)
		}
	})},
	{"expiry is stored in seconds", "expiry_to_the_millisecond", commits(func(_ store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i := range ops {
			ops[i].Doc.ExpiresAt = ops[i].Doc.ExpiresAt.Truncate(time.Second)
		}
		return ops
	})},
	{"expiry is judged by the engine's clock", "expiry_on_read", plant(func(f *faulty) {
		started := time.Now()
		f.get = func(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
			return f.Backend.Get(ctx, time.Date(2030, 5, 17, 12, 0, 0, 0, time.UTC).Add(time.Since(started)), collection, ids)
		}
	})},
	{"guards hold on an expired document", "expiry_guards", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, _ time.Time, ops []store.Op) error {
			return f.Backend.Commit(ctx, ageless, ops)
		}
	})},
	{"an expired document holds its id until it is swept", "expired_id_replaced", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, _ time.Time, ops []store.Op) error {
			return f.Backend.Commit(ctx, ageless, ops)
		}
	})},
	{"an expired document holds its unique key until it is swept", "expired_key_taken", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				docs, _ := f.Backend.Range(ctx, ageless, op.Collection, store.Range{Index: "by_hash", Eq: []string{op.Doc.Keys["hash"]}, Limit: 1})
				if len(docs) == 1 && docs[0].ID != op.Doc.ID && op.Doc.Keys["hash"] != "" {
					return &store.TakenError{Collection: op.Collection, Index: "by_hash"}
				}
			}
			return f.Backend.Commit(ctx, now, ops)
		}
	})},
	{"documents that have expired are not written", "expired_at_birth", commits(func(_ store.Backend, now time.Time, ops []store.Op) []store.Op {
		return slices.DeleteFunc(ops, func(op store.Op) bool { return !op.Doc.ExpiresAt.IsZero() && !op.Doc.ExpiresAt.After(now) })
	})},
	{"an update keeps the old expiry", "expiry_moved", commits(func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if held := stored(b, op.Collection, op.Doc.ID); held != nil && op.Kind == store.OpUpdate {
				ops[i].Doc.ExpiresAt = held.ExpiresAt
			}
		}
		return ops
	})},
	{"an update that clears the expiry keeps it", "expiry_moved", commits(func(b store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i, op := range ops {
			if held := stored(b, op.Collection, op.Doc.ID); held != nil && op.Kind == store.OpUpdate && op.Doc.ExpiresAt.IsZero() {
				ops[i].Doc.ExpiresAt = held.ExpiresAt
			}
		}
		return ops
	})},
	{"a sweep removes nothing", "sweep", plant(func(f *faulty) {
		f.sweep = func(context.Context, time.Time, string, int) (int, error) { return 0, nil }
	})},
	{"a sweep only says that it removes", "sweep", plant(func(f *faulty) {
		left := 20
		f.sweep = func(_ context.Context, now time.Time, _ string, limit int) (int, error) {
			if now.Second() == 0 && now.Minute() == 0 {
				return 0, nil
			}
			n := min(left, limit)
			left -= n
			return n, nil
		}
	})},
	{"a sweep ignores its limit", "sweep", plant(func(f *faulty) {
		f.sweep = func(ctx context.Context, now time.Time, collection string, _ int) (int, error) {
			return f.Backend.Sweep(ctx, now, collection, math.MaxInt)
		}
	})},
	{"a sweep removes live documents", "sweep", plant(func(f *faulty) {
		f.sweep = func(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
			return f.Backend.Sweep(ctx, now.Add(2*time.Hour), collection, limit)
		}
	})},

	// Documents
	{"the version does not rise", "crud", answers(func(docs []store.Doc) []store.Doc {
		for i := range docs {
			docs[i].Version = 1
		}
		return docs
	})},
	{"an insert keeps the version it comes with", "crud", plant(func(f *faulty) {
		given := map[string]int64{}
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			for _, op := range ops {
				given[op.Doc.ID] = op.Doc.Version
			}
			return f.Backend.Commit(ctx, now, ops)
		}
		f.get = func(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
			docs, err := f.Backend.Get(ctx, now, collection, ids)
			for i := range docs {
				docs[i].Version = given[docs[i].ID]
			}
			return docs, err
		}
	})},
	{"keys are not given back", "crud", answers(func(docs []store.Doc) []store.Doc {
		for i := range docs {
			docs[i].Keys = nil
		}
		return docs
	})},
	{"bodies are stored as text", "bodies", commits(func(_ store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i := range ops {
			ops[i].Doc.Body = []byte(strings.ToValidUTF8(string(ops[i].Doc.Body), "\ufffd"))
		}
		return ops
	})},
	{"bodies are stored up to 64 KiB", "bodies", commits(func(_ store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i := range ops {
			ops[i].Doc.Body = ops[i].Doc.Body[:min(len(ops[i].Doc.Body), 1<<16-1)]
		}
		return ops
	})},
	{"documents share memory with callers", "no_shared_memory", plant(func(f *faulty) {
		shared := map[string]store.Doc{}
		f.get = func(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
			if d, ok := shared[ids[0]]; ok {
				return []store.Doc{d}, nil
			}
			docs, err := f.Backend.Get(ctx, now, collection, ids)
			for _, d := range docs {
				shared[d.ID] = d
			}
			return docs, err
		}
	})},
	{"one of many is left out", "get_many", plant(func(f *faulty) {
		f.get = func(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
			docs, err := f.Backend.Get(ctx, now, collection, ids)
			if len(docs) > 600 {
				docs = docs[:600]
			}
			return docs, err
		}
	})},
	{"ids are blind to case", "hostile_ids", commits(func(_ store.Backend, _ time.Time, ops []store.Op) []store.Op {
		for i := range ops {
			if op := &ops[i]; op.Kind == store.OpInsert && len(op.Doc.ID) == 1 {
				op.Doc.ID = strings.ToLower(op.Doc.ID)
			}
		}
		return ops
	})},

	// Life
	{"the context is ignored", "cancelled_context", plant(func(f *faulty) {
		f.commit = func(ctx context.Context, now time.Time, ops []store.Op) error {
			return f.Backend.Commit(context.WithoutCancel(ctx), now, ops)
		}
	})},
	{"the context is ignored by reads", "cancelled_context", plant(func(f *faulty) {
		f.list = func(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
			return f.Backend.Range(context.WithoutCancel(ctx), now, collection, r)
		}
	})},
	{"a closed backend answers", "use_after_close", plant(func(f *faulty) { f.close = func() error { return nil } })},
	{"closing again fails", "use_after_close", plant(func(f *faulty) {
		var once sync.Once
		f.close = func() error {
			err := store.ErrClosed
			once.Do(func() { err = f.Backend.Close() })
			return err
		}
	})},
	{"ping fails", "ping", plant(func(f *faulty) { f.ping = func(context.Context) error { return store.ErrUnavailable } })},
	{"nothing is kept", "reopen", schemaChanged(func(*store.Collection) {})},
	{"documents are lost when the schema grows", "schema_grows", schemaChanged(func(*store.Collection) {})},
	{"From alone is ignored in a descending range", "random_1", lists(func(r *store.Range) {
		if r.Desc && r.To == "" {
			r.From = ""
		}
	})},
}
