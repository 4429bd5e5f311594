package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/ports/store"
)

// TestOnce tells fn and made what to answer, call by call, and holds how often each is called and what comes out.
func TestOnce(t *testing.T) {
	taken := &store.TakenError{Collection: "plain"}
	away := fmt.Errorf("wrapped: %w", store.ErrUnavailable)
	for name, c := range map[string]struct {
		fn    []error // the last one again and again
		made  []any   // a bool or an error; likewise
		want  error
		calls int
		looks int
	}{
		"done":                                   {[]error{nil}, nil, nil, 1, 0},
		"not lost: a conflict":                   {[]error{store.ErrConflict, nil}, nil, nil, 2, 0},
		"not lost: refused":                      {[]error{taken}, nil, taken, 1, 0},
		"not lost: away":                         {[]error{away}, nil, store.ErrUnavailable, 1, 0},
		"lost, and made":                         {[]error{store.ErrUncertain}, []any{true}, nil, 1, 1},
		"lost, and not made":                     {[]error{store.ErrUncertain, nil}, []any{false}, nil, 2, 1},
		"lost, and made behind the look":         {[]error{store.ErrUncertain, taken}, []any{false, true}, nil, 2, 2},
		"lost, and taken by another":             {[]error{store.ErrUncertain, taken}, []any{false}, taken, 2, 2},
		"lost, away for a while, and made":       {[]error{store.ErrUncertain}, []any{away, away, away, true}, nil, 1, 4},
		"lost, away for a while, and not made":   {[]error{store.ErrUncertain, away, nil}, []any{away, false, away, false}, nil, 3, 4},
		"lost, and away for good":                {[]error{store.ErrUncertain}, []any{away}, store.ErrUncertain, 1, 10},
		"lost, and another took its place":       {[]error{store.ErrUncertain}, []any{store.ErrConflict}, store.ErrConflict, 1, 1},
		"lost, and nobody can tell":              {[]error{store.ErrUncertain}, []any{store.ErrUncertain}, store.ErrUncertain, 1, 1},
		"lost, and no end of it":                 {[]error{store.ErrUncertain}, []any{false}, store.ErrUncertain, 20, 20},
		"lost after a conflict, then a conflict": {[]error{store.ErrConflict, store.ErrUncertain, store.ErrConflict, nil}, []any{false}, nil, 4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, looks, began := 0, 0, time.Now()
				err := store.Once(t.Context(), func(context.Context) (bool, error) {
					looks++
					switch answer := c.made[min(looks, len(c.made))-1].(type) {
					case bool:
						return answer, nil
					default:
						return false, answer.(error)
					}
				}, func() error {
					calls++
					return c.fn[min(calls, len(c.fn))-1]
				})
				if !errors.Is(err, c.want) || err != nil && c.want == nil || calls != c.calls || looks != c.looks {
					t.Errorf("%v after %d calls and %d looks, want %v after %d and %d", err, calls, looks, c.want, c.calls, c.looks)
				}
				if took := time.Since(began); took > 7*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// TestOnceEnds holds that looking ends with the context, and where the engine does not even refuse.
func TestOnceEnds(t *testing.T) {
	for name, ends := range map[string]time.Duration{"the context ends": time.Second, "the engine is silent": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), ends)
				defer cancel()
				began := time.Now()
				err := store.Once(ctx, func(ctx context.Context) (bool, error) {
					<-ctx.Done()
					return false, ctx.Err()
				}, func() error { return store.ErrUncertain })
				if took := time.Since(began); !errors.Is(err, store.ErrUncertain) || took != min(ends, 5*time.Second) {
					t.Errorf("%v after %s", err, took)
				}
			})
		})
	}
}

func TestMade(t *testing.T) {
	s := open(t, memory.New(schema))
	ctx := t.Context()
	commit := func(op store.Op) {
		t.Helper()
		if err := s.Commit(ctx, op); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when string, op store.Op, want bool, wantErr error) {
		t.Helper()
		if made, err := s.Made(ctx, op); made != want || !errors.Is(err, wantErr) || err != nil && wantErr == nil {
			t.Errorf("%s: %t, %v, want %t, %v", when, made, err, want, wantErr)
		}
	}
	insert := store.Insert("plain", store.Doc{ID: "1", Body: []byte("a")})
	expect("before the insert", insert, false, nil)
	commit(insert)
	expect("the insert", insert, true, nil)
	update := store.Update("plain", store.Doc{ID: "1", Version: 1, Body: []byte("b")})
	other := store.Update("plain", store.Doc{ID: "1", Version: 1, Body: []byte("c")})
	expect("before the update", update, false, nil)
	commit(update)
	expect("the update", update, true, nil)
	expect("another's update", other, false, store.ErrConflict)
	commit(store.Update("plain", store.Doc{ID: "1", Version: 2, Body: []byte("b")}))
	expect("an update behind it", update, false, store.ErrUncertain)
	expect("the insert, much later", insert, true, nil)
	remove := store.Delete("plain", store.Doc{ID: "1", Version: 3})
	expect("before the delete", remove, false, nil)
	commit(remove)
	expect("the delete", remove, true, nil)
	expect("an update of what is gone", update, false, nil)
	if _, err := s.Made(ctx, store.Insert("none", store.Doc{ID: "1"})); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no such collection: %v", err)
	}
}
