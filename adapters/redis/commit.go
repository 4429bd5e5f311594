package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

var kinds = [...]string{store.OpInsert: "insert", store.OpUpdate: "update", store.OpDelete: "delete", store.OpCheck: "check"}

// Commit implements store.Backend.
func (b *Backend) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	var names []string
	for _, op := range ops {
		if b.tables[op.Collection] == nil {
			return fmt.Errorf("%w: no collection %q", store.ErrInvalid, op.Collection)
		}
		if !slices.Contains(names, op.Collection) {
			names = append(names, op.Collection)
		}
	}
	answer, err := b.write(ctx, b.scripts.commit, now, names, func(st *structure) []any { return b.commitArgs(st, names, ops) })
	if err != nil {
		return err
	}
	switch answer[0] {
	case "ok":
		return nil
	case "conflict":
		return store.ErrConflict
	case "taken":
		return &store.TakenError{Collection: fmt.Sprint(answer[1]), Index: fmt.Sprint(answer[2])}
	}
	return fmt.Errorf("%w: redis: a commit answers %v", store.ErrUncertain, answer)
}

// commitArgs are what lua/commit.lua reads.
func (b *Backend) commitArgs(st *structure, names []string, ops []store.Op) []any {
	puts := slices.ContainsFunc(ops, func(op store.Op) bool { return op.Kind == store.OpInsert || op.Kind == store.OpUpdate })
	args := append(make([]any, 2, 8+16*len(names)+6*len(ops)), puts, len(names))
	for _, name := range names {
		args = append(args, st.shapes[name].whole...)
	}
	args = append(args, len(ops))
	for i := range ops {
		op := &ops[i]
		args = append(args, kinds[op.Kind], slices.Index(names, op.Collection)+1, op.Doc.ID, op.Doc.Version)
		if op.Kind == store.OpInsert || op.Kind == store.OpUpdate {
			body := op.Doc.Body
			if body == nil {
				body = []byte{}
			}
			args = append(args, b.tables[op.Collection].pack(op.Doc), body)
		}
	}
	return args
}

// pack is what is stored of a document beside its body, for the scripts' function parse and for unpack: the new version, the
// millisecond of its expiry, then each key that is not empty, behind the name of its field.
func (t *table) pack(d store.Doc) []byte {
	m := make([]byte, 0, 128)
	m = strconv.AppendInt(m, d.Version+1, 10) // an insert comes with 0
	m = append(m, ' ')
	m = append(m, milli(d.ExpiresAt)...)
	m = append(m, 0)
	for _, f := range t.fields {
		if v := d.Keys[f]; v != "" {
			m = append(m, f...)
			m = append(m, 0)
			m = append(m, v...)
			m = append(m, 0)
		}
	}
	return m
}

// sweepPage bounds how long one script keeps Redis from others.
const sweepPage = 500

// Sweep implements store.Backend.
func (b *Backend) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	t, err := b.table(ctx, collection)
	if err != nil || !t.Expires {
		return 0, err
	}
	swept := 0
	for swept < limit {
		page := min(limit-swept, sweepPage)
		answer, err := b.write(ctx, b.scripts.sweep, now, []string{collection}, func(st *structure) []any {
			return append(append(make([]any, 2, 32), st.shapes[collection].whole...), page)
		})
		if err != nil {
			return swept, err
		}
		n, _ := answer[1].(int64)
		if swept += int(n); int(n) < page {
			break
		}
	}
	return swept, nil
}
