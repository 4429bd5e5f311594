package memory

import (
	"context"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// Commit implements store.Backend: under the one lock, every condition first, then every change.
func (b *Backend) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, op := range ops {
		t, err := b.table(op.Collection)
		if err != nil {
			return err
		}
		if err := t.guard(op, now); err != nil {
			return err
		}
	}
	if err := b.unique(ops, now); err != nil {
		return err
	}
	b.apply(ops)
	return nil
}

// guard judges what the operation demands of the document it names.
func (t *table) guard(op store.Op, now time.Time) error {
	held, ok := t.live(op.Doc.ID, now)
	if op.Kind == store.OpInsert {
		if ok {
			return &store.TakenError{Collection: op.Collection}
		}
		return nil
	}
	if !ok || held.Version != op.Doc.Version {
		return store.ErrConflict
	}
	return nil
}

// unique judges the state after the commit: a key that one operation frees, another may take.
func (b *Backend) unique(ops []store.Op, now time.Time) error {
	type name struct{ collection, of, value string }
	changed := make(map[name]bool, len(ops))
	claimed := map[name]bool{}
	for _, op := range ops {
		if op.Kind != store.OpCheck {
			changed[name{op.Collection, "", op.Doc.ID}] = true
		}
	}
	for _, op := range ops {
		if op.Kind != store.OpInsert && op.Kind != store.OpUpdate {
			continue
		}
		t := b.tables[op.Collection]
		for _, x := range t.collection.Indexes {
			key, held := x.Key(op.Doc.Keys)
			if !x.Unique || !held {
				continue
			}
			claim := name{op.Collection, x.Name, key}
			holder, taken := t.holders[x.Name][key]
			if taken {
				_, taken = t.live(holder, now)
			}
			if claimed[claim] || taken && !changed[name{op.Collection, "", holder}] {
				return &store.TakenError{Collection: op.Collection, Index: x.Name}
			}
			claimed[claim] = true
		}
	}
	return nil
}

func (b *Backend) apply(ops []store.Op) {
	for _, op := range ops {
		if op.Kind != store.OpCheck {
			b.tables[op.Collection].remove(op.Doc.ID)
		}
	}
	for _, op := range ops {
		if op.Kind == store.OpInsert || op.Kind == store.OpUpdate {
			t, d := b.tables[op.Collection], clone(op.Doc)
			t.evict(d)
			d.Version++ // an insert comes with 0
			t.put(d)
		}
	}
}

// evict removes the holders of the keys that d takes: unique has judged that they are expired.
func (t *table) evict(d store.Doc) {
	for _, x := range t.collection.Indexes {
		if key, held := x.Key(d.Keys); x.Unique && held {
			if holder, ok := t.holders[x.Name][key]; ok {
				t.remove(holder)
			}
		}
	}
}
