// Package record keeps Go values of one type as documents of one collection.
package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/store"
)

// Repo reads and writes values of T. Head gives the document of a value without its body: id, version, keys and
// expiry, so that an index can never disagree with what it indexes. SetVersion tells a value its document's version.
type Repo[T any] struct {
	Store      *store.Store
	Collection string
	Noun       string // for messages: "connection"
	Head       func(T) store.Doc
	SetVersion func(*T, int64)
}

// Keys tells the keys of a document from what Head says of its value: store.Collection.Keys.
func Keys[T any](head func(T) store.Doc) func(store.Doc) (map[string]string, error) {
	return func(d store.Doc) (map[string]string, error) {
		var v T
		if err := json.Unmarshal(d.Body, &v); err != nil {
			return nil, fmt.Errorf("record: read %s: %w", d.ID, err)
		}
		return head(v).Keys, nil
	}
}

// Page is one page of a listing. Cursors[i] is the place of Items[i].
type Page[T any] struct {
	Items   []T
	Cursors []string
	More    bool // there is at least one more behind
}

// Get reads one value; a missing one is a NotFound fault.
func (r Repo[T]) Get(ctx context.Context, id string) (T, error) {
	var none T
	if id == "" || len(id) > store.MaxKeyBytes {
		return none, r.notFound()
	}
	d, err := r.Store.Get(ctx, r.Collection, id)
	if errors.Is(err, store.ErrInvalid) { // no id of ours looks like that
		return none, r.notFound()
	}
	if err != nil {
		return none, r.Fault(err)
	}
	return r.decode(d)
}

// GetMany reads the values that are there of at most store.MaxPage, in the order asked. No id may be empty or too long.
func (r Repo[T]) GetMany(ctx context.Context, ids []string) ([]T, error) {
	docs, err := r.Store.GetMany(ctx, r.Collection, ids)
	if err != nil {
		return nil, r.Fault(err)
	}
	return r.decodeAll(docs)
}

// First reads the first value of a range; an empty range is a NotFound fault.
func (r Repo[T]) First(ctx context.Context, q store.Range) (T, error) {
	q.Limit = 1
	var none T
	items, err := r.Range(ctx, q)
	if err != nil {
		return none, err
	}
	if len(items) == 0 {
		return none, r.notFound()
	}
	return items[0], nil
}

// Range reads the values of a range.
func (r Repo[T]) Range(ctx context.Context, q store.Range) ([]T, error) {
	docs, err := r.Store.Range(ctx, r.Collection, q)
	if err != nil {
		return nil, r.Fault(err)
	}
	return r.decodeAll(docs)
}

func (r Repo[T]) decodeAll(docs []store.Doc) ([]T, error) {
	items := make([]T, 0, len(docs))
	for _, d := range docs {
		v, err := r.decode(d)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return items, nil
}

// List reads one page of at most q.Limit values, each with its cursor.
func (r Repo[T]) List(ctx context.Context, q store.Range) (Page[T], error) {
	limit := q.Limit
	if limit <= 0 || limit >= store.MaxPage {
		limit = store.MaxPage - 1
	}
	q.Limit = limit + 1
	docs, err := r.Store.Range(ctx, r.Collection, q)
	if err != nil {
		if errors.Is(err, store.ErrInvalid) && q.After != "" {
			return Page[T]{}, fault.At("after", "invalid_cursor", "This cursor is not one of this listing.")
		}
		return Page[T]{}, r.Fault(err)
	}
	page := Page[T]{More: len(docs) > limit}
	for _, d := range docs[:min(limit, len(docs))] {
		v, err := r.decode(d)
		if err != nil {
			return Page[T]{}, err
		}
		page.Items = append(page.Items, v)
		page.Cursors = append(page.Cursors, r.Store.Cursor(r.Collection, q.Index, d))
	}
	return page, nil
}

// Count counts the values of a range.
func (r Repo[T]) Count(ctx context.Context, q store.Range) (int64, error) {
	n, err := r.Store.Count(ctx, r.Collection, q)
	return n, r.Fault(err)
}

// Insert, Update, Delete and Check make the operations of a commit.
func (r Repo[T]) Insert(v T) store.Op { return store.Insert(r.Collection, r.doc(v)) }

// Update replaces the value at the version it was read at.
func (r Repo[T]) Update(v T) store.Op { return store.Update(r.Collection, r.doc(v)) }

// Delete removes the value at the version it was read at.
func (r Repo[T]) Delete(v T) store.Op { return store.Delete(r.Collection, r.Head(v)) }

// Check guards a commit with the value being unchanged.
func (r Repo[T]) Check(v T) store.Op { return store.Check(r.Collection, r.Head(v)) }

// Once is store.Once for a commit that is known by op: an operation of it, which fn may set anew.
func (r Repo[T]) Once(ctx context.Context, op *store.Op, fn func() error) error {
	return store.Once(ctx, func(ctx context.Context) (bool, error) { return r.Store.Made(ctx, *op) }, fn)
}

// Plan commits what plan makes of what is there, once: plan runs anew on what is there when another commit was faster, which
// raced may say of further errors, and is known by its first operation; no operations are nothing to do. A commit whose answer
// was lost is sent again as it was, and nothing of it is made twice: what plan has set belongs to the commit that was made.
func Plan(ctx context.Context, s *store.Store, plan func() ([]store.Op, error), raced func(error) bool) error {
	var known store.Op
	var lost []store.Op // perhaps on its way still: it meets what it guards, or what it inserted
	return store.Once(ctx, func(ctx context.Context) (bool, error) { return s.Made(ctx, known) }, func() error {
		ops := lost
		if ops == nil {
			var err error
			if ops, err = plan(); err != nil || len(ops) == 0 {
				return err
			}
			known = ops[0]
		}
		err := s.Commit(ctx, ops...)
		switch {
		case errors.Is(err, store.ErrUncertain):
			lost = ops
		case !errors.Is(err, store.ErrUnavailable): // nothing of it can come any more
			lost = nil
		}
		if raced(err) {
			return store.ErrConflict
		}
		return err
	})
}

// Change writes a value back as change alters it; change runs anew on what is there when another commit was faster.
func (r Repo[T]) Change(ctx context.Context, id string, change func(*T) error) (T, error) {
	return r.ChangeWith(ctx, id, func(v *T) ([]store.Op, error) { return nil, change(v) })
}

// ChangeWith is Change that commits operations of change's together with the value.
func (r Repo[T]) ChangeWith(ctx context.Context, id string, change func(*T) ([]store.Op, error)) (T, error) {
	var v T
	err := Plan(ctx, r.Store, func() ([]store.Op, error) {
		now, err := r.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		others, err := change(&now)
		if err != nil {
			return nil, err
		}
		v = now
		return append([]store.Op{r.Update(now)}, others...), nil
	}, func(error) bool { return false })
	r.SetVersion(&v, r.Head(v).Version+1)
	return v, r.Fault(err)
}

// Remove deletes a value to which ready, where it is given, does not object.
func (r Repo[T]) Remove(ctx context.Context, id string, ready func() error) error {
	return r.RemoveWith(ctx, id, func(T) ([]store.Op, error) {
		if ready == nil {
			return nil, nil
		}
		return nil, ready()
	})
}

// RemoveWith is Remove that commits operations of ready's together with the deletion.
func (r Repo[T]) RemoveWith(ctx context.Context, id string, ready func(T) ([]store.Op, error)) error {
	return r.Fault(Plan(ctx, r.Store, func() ([]store.Op, error) {
		v, err := r.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		others, err := ready(v)
		return append([]store.Op{r.Delete(v)}, others...), err
	}, func(error) bool { return false }))
}

// RemoveEmpty is Remove of a value that empty finds to hold nothing any more; notEmpty is said of one that does. Whoever
// adds a child meanwhile checks the value's document, so one of the two commits fails. Faults: NotFound, Conflict not_empty.
func (r Repo[T]) RemoveEmpty(ctx context.Context, id string, empty func() (bool, error), notEmpty string) error {
	return r.Remove(ctx, id, func() error {
		if ok, err := empty(); err != nil || ok {
			return err
		}
		return fault.New(fault.Conflict, "not_empty", notEmpty)
	})
}

// Fault maps an outcome of the store; nil stays nil. A TakenError passes through for the caller to name the field.
func (r Repo[T]) Fault(err error) error {
	var taken *store.TakenError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &taken):
		return err
	case errors.Is(err, store.ErrNotFound):
		return r.notFound()
	case errors.Is(err, store.ErrConflict):
		return fault.Wrap(err, fault.Conflict, "conflict", "The "+r.Noun+" changed meanwhile. Read it again and retry.")
	}
	return StoreFault(err)
}

// StoreFault maps the outcomes that have nothing to do with one type.
func StoreFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrConflict):
		return fault.Wrap(err, fault.Conflict, "conflict", "Something changed meanwhile. Retry.")
	case errors.Is(err, store.ErrUncertain):
		return fault.Wrap(err, fault.Unavailable, "uncertain", "The database's answer was lost: this may have been done. Look before you try again.")
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return fault.Wrap(err, fault.Unavailable, "unavailable", "The database does not answer. Try again in a moment.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "unavailable", "The request was ended before it was answered.")
	}
	return err
}

func (r Repo[T]) notFound() error {
	return fault.New(fault.NotFound, "not_found", "No such "+r.Noun+".")
}

func (r Repo[T]) doc(v T) store.Doc {
	d := r.Head(v)
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("record: %s cannot be written as JSON: %v", r.Noun, err)) // a type we declared ourselves
	}
	d.Body = body
	return d
}

func (r Repo[T]) decode(d store.Doc) (T, error) {
	var v T
	if err := json.Unmarshal(d.Body, &v); err != nil {
		return v, fmt.Errorf("record: read %s %s: %w", r.Noun, d.ID, err)
	}
	r.SetVersion(&v, d.Version)
	return v, nil
}
