package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

var random = func() []named {
	var all []named
	for seed := range uint64(4) {
		all = append(all, named{name: fmt.Sprintf("random_%d", seed+1), run: func(e *env) { randomOperations(e, seed) }})
	}
	return all
}()

// steps of one random case.
const steps = 250

// randomOperations runs commits, reads, steps of the clock and sweeps, all from a seed, on the backend and on the
// model, and compares each answer. The texts are few, so that they meet, and nasty.
func randomOperations(e *env, seed uint64) {
	g := &generator{env: e, Rand: rand.New(rand.NewPCG(seed, 2030)), model: &model{docs: map[string][]store.Doc{}}}
	for step := range steps {
		switch n := g.IntN(20); {
		case n < 10:
			g.write(step)
		case n < 17:
			g.read(step)
		case n < 19:
			e.advance(time.Duration(g.IntN(4000)) * time.Millisecond)
		default:
			want := g.model.sweep(e.Now())
			if got, err := e.Sweep(e.ctx, 1000); got != want || err != nil {
				e.Fatalf("seed %d, step %d: sweep: %d, %v, want %d", seed, step, got, err, want)
			}
		}
	}
	for _, c := range schema {
		for _, index := range append([]store.Index{{}}, c.Indexes...) {
			g.compare(steps, c.Name, store.Range{Index: index.Name}, nil)
		}
	}
}

type generator struct {
	*env
	*rand.Rand
	model *model
}

var texts = []string{"", "a", "A", "ab", "a\x01", "b", "é", "é\x01", "\uffff", "\U00010000", "%", "a b"}

func (g *generator) pick(from []string) string { return from[g.IntN(len(from))] }

func (g *generator) collection() store.Collection { return schema[g.IntN(len(schema))] }

func (g *generator) id() string { return g.pick(texts[1:]) }

// doc is a random document, more often than not at the version that is stored.
func (g *generator) doc(c store.Collection, id string) store.Doc {
	d := store.Doc{ID: id, Version: 1 + int64(g.IntN(3)), Body: fmt.Appendf(nil, "%d", g.IntN(1000)), Keys: keys{}}
	if held := find(g.model.docs[c.Name], id); held != nil && g.IntN(5) > 0 {
		d.Version = held.Version
	}
	for _, f := range c.Fields() {
		if g.IntN(3) > 0 {
			d.Keys[f] = g.pick(texts)
		}
	}
	if c.Expires && g.IntN(3) > 0 {
		d.ExpiresAt = g.Now().Add(time.Duration(g.IntN(9000)-1000) * time.Millisecond)
	}
	return d
}

func (g *generator) write(step int) {
	var ops []store.Op
	for range 1 + g.IntN(4) {
		c := g.collection()
		id := g.id()
		if slices.ContainsFunc(ops, func(op store.Op) bool { return op.Collection == c.Name && op.Doc.ID == id }) {
			continue
		}
		make := []func(string, store.Doc) store.Op{store.Insert, store.Update, store.Delete, store.Check}[g.IntN(4)]
		if g.IntN(2) == 0 { // what is likely to succeed
			make = store.Insert
			if find(g.model.live(g.Now(), c.Name), id) != nil {
				make = store.Update
			}
		}
		ops = append(ops, make(c.Name, g.doc(c, id)))
	}
	outcomes := g.model.outcomes(g.Now(), ops)
	err := g.Commit(g.ctx, ops...)
	if !allowed(err, outcomes) {
		g.Fatalf("step %d: commit %+v: %v, want one of %v", step, ops, err, outcomes)
	}
	if err == nil {
		g.model.apply(g.Now(), ops)
	}
	for _, op := range ops {
		g.get(step, op.Collection, op.Doc.ID)
	}
}

func (g *generator) get(step int, collection, id string) {
	d, err := g.Get(g.ctx, collection, id)
	want := find(g.model.live(g.Now(), collection), id)
	if want == nil && !errors.Is(err, store.ErrNotFound) || want != nil && (err != nil || !same(d, *want)) {
		g.Fatalf("step %d: get %s %q: %v, %v, want %v", step, collection, id, d, err, want)
	}
}

func (g *generator) read(step int) {
	c := g.collection()
	r := store.Range{Desc: g.IntN(2) == 0, Offset: max(0, g.IntN(8)-4), Limit: g.IntN(6)}
	fields := []string(nil)
	if n := g.IntN(len(c.Indexes) + 1); n > 0 {
		r.Index, fields = c.Indexes[n-1].Name, c.Indexes[n-1].Fields
	}
	anchor := store.Doc{ID: g.id(), Keys: keys{}} // most ranges are about a place that there is
	if docs := g.model.docs[c.Name]; len(docs) > 0 && g.IntN(4) > 0 {
		anchor = docs[g.IntN(len(docs))]
	}
	for _, f := range fields[:g.IntN(len(fields)+1)] {
		r.Eq = append(r.Eq, anchor.Keys[f])
	}
	for _, bound := range []*string{&r.Prefix, &r.From, &r.To} {
		if g.IntN(4) == 0 {
			*bound = g.pick(texts)
		}
	}
	if g.IntN(3) > 0 {
		g.compare(step, c.Name, r, nil)
		return
	}
	r.After = g.Cursor(c.Name, r.Index, anchor)
	g.compare(step, c.Name, r, &anchor)
}

// compare holds a range, and its count, against the model.
func (g *generator) compare(step int, collection string, r store.Range, behind *store.Doc) {
	docs, err := g.Range(g.ctx, collection, r)
	want := g.model.page(g.Now(), collection, r, behind)
	if err != nil || !slices.EqualFunc(docs, want, same) {
		g.Fatalf("step %d: range %s %+v: %v, %v, want %v", step, collection, r, docs, err, want)
	}
	r.After, r.Offset, r.Limit = "", 0, 0
	n, err := g.Count(g.ctx, collection, r)
	if err != nil || n != int64(len(g.model.list(g.Now(), collection, r, nil))) {
		g.Fatalf("step %d: count %s %+v: %d, %v", step, collection, r, n, err)
	}
}
