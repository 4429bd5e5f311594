package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// Get implements store.Backend.
func (b *Backend) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	t, err := b.table(ctx, collection)
	if err != nil {
		return nil, err
	}
	args := append(make([]any, 1, 3+len(ids)), t.bare...)
	for _, id := range ids {
		args = append(args, id)
	}
	return b.documents(ctx, b.scripts.get, now, args)
}

// Range implements store.Backend.
func (b *Backend) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	args, err := b.rangeArgs(ctx, collection, r)
	if err != nil {
		return nil, err
	}
	return b.documents(ctx, b.scripts.list, now, append(args, r.Desc, r.Offset, r.Limit))
}

// Count implements store.Backend.
func (b *Backend) Count(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
	args, err := b.rangeArgs(ctx, collection, r)
	if err != nil {
		return 0, err
	}
	reply, err := b.read(ctx, b.scripts.count, now, args)
	if err != nil {
		return 0, err
	}
	n, ok := reply.(int64)
	if !ok {
		return 0, fmt.Errorf("redis: a count answers %v", reply)
	}
	return n, nil
}

// rangeArgs are what lua/span.lua reads; the first place is for the instant.
func (b *Backend) rangeArgs(ctx context.Context, collection string, r store.Range) ([]any, error) {
	t, err := b.table(ctx, collection)
	if err != nil {
		return nil, err
	}
	x := t.ranged[r.Index]
	if x == nil {
		return nil, fmt.Errorf("%w: collection %s has no index %q", store.ErrInvalid, collection, r.Index)
	}
	low, high, err := t.bounds(r)
	if err != nil {
		return nil, err
	}
	if err := b.readable(ctx, collection, r.Index); err != nil {
		return nil, err
	}
	args := append(make([]any, 1, 1+len(x)+5), x...)
	return append(args, low, high), nil
}

// bounds says a range as ZRANGEBYLEX takes it: a bound begins with [ or (, inside or outside, and - and + are none.
func (t *table) bounds(r store.Range) (low, high string, err error) {
	var eq strings.Builder
	for _, v := range r.Eq {
		eq.WriteString(v)
		eq.WriteByte(0)
	}
	low, high = "-", "+"
	if from := eq.String() + r.From; from != "" {
		low = "[" + from
	}
	switch {
	case r.To != "":
		high = "(" + eq.String() + r.To
	case len(r.Eq) > 0:
		high = "(" + strings.TrimSuffix(eq.String(), "\x00") + "\x01"
	}
	if r.After == "" {
		return low, high, nil
	}
	x, _ := t.Find(r.Index)
	keys, id, err := store.ParseCursor(t.Name, x, r.After)
	if err != nil {
		return "", "", err
	}
	place := "(" + strings.Join(append(keys, id), "\x00")
	if r.Desc {
		return low, place, nil
	}
	return place, high, nil
}

// documents runs a script that answers id, m and b of each.
func (b *Backend) documents(ctx context.Context, s script, now time.Time, args []any) ([]store.Doc, error) {
	reply, err := b.read(ctx, s, now, args)
	if err != nil {
		return nil, err
	}
	found, _ := reply.([]any)
	docs := make([]store.Doc, 0, len(found)/3)
	for ; len(found) >= 3; found = found[3:] {
		d, err := unpack(found[0], found[1], found[2])
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// unpack reads what pack has written.
func unpack(id, m, body any) (store.Doc, error) {
	d := store.Doc{}
	var packed, text string
	var ok1, ok2, ok3 bool
	d.ID, ok1 = id.(string)
	packed, ok2 = m.(string)
	text, ok3 = body.(string)
	head, keys, ok4 := strings.Cut(packed, "\x00")
	version, expires, ok5 := strings.Cut(head, " ")
	n, err1 := strconv.ParseInt(version, 10, 64)
	ms, err2 := strconv.ParseInt(expires, 10, 64)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || err1 != nil || err2 != nil {
		return d, fmt.Errorf("redis: the hash of document %q is not one of ours", d.ID)
	}
	d.Version, d.Body = n, []byte(text)
	if ms != 0 {
		d.ExpiresAt = time.UnixMilli(ms).UTC()
	}
	if keys != "" {
		d.Keys = map[string]string{}
	}
	for keys != "" {
		var field, value string
		field, keys, _ = strings.Cut(keys, "\x00")
		value, keys, _ = strings.Cut(keys, "\x00")
		d.Keys[field] = value
	}
	return d, nil
}
