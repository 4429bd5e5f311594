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
	args, err := b.commitArgs(ops)
	if err != nil {
		return err
	}
	answer, err := b.write(ctx, b.scripts.commit, now, args)
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

// commitArgs are what lua/commit.lua reads; the first two places are for the instant and the generation.
func (b *Backend) commitArgs(ops []store.Op) ([]any, error) {
	args := make([]any, 4, 8+16+6*len(ops))
	var names []string
	puts := false
	for i := range ops {
		op := &ops[i]
		puts = puts || op.Kind == store.OpInsert || op.Kind == store.OpUpdate
		if slices.Contains(names, op.Collection) {
			continue
		}
		t := b.tables[op.Collection]
		if t == nil {
			return nil, fmt.Errorf("%w: no collection %q", store.ErrInvalid, op.Collection)
		}
		names = append(names, op.Collection)
		args = append(args, t.whole...)
	}
	args[2], args[3] = puts, len(names)
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
	return args, nil
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
		args := append(append(make([]any, 2, 32), t.whole...), page)
		answer, err := b.write(ctx, b.scripts.sweep, now, args)
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
