package events

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// scan goes over outbox documents. One that cannot be read, because its key is missing or it is damaged, it leaves where it
// is and passes by: an operator may cure that.
type scan struct {
	store *store.Store
	over  store.Range
	heads bool // of documents their ids and projects are enough
	done  bool
}

// next reads a page of documents, and counts those among them that cannot be read.
func (c *scan) next(ctx context.Context, limit int) (found []*letter, unreadable int, err error) {
	c.over.Limit = limit
	docs, err := c.store.Range(ctx, outbox, c.over)
	if unopened(err) {
		return c.singly(ctx, limit)
	}
	if err != nil {
		return nil, 0, err
	}
	c.done = len(docs) < limit
	for _, d := range docs {
		if l := c.read(d); l != nil {
			found = append(found, l)
		} else {
			unreadable++
		}
	}
	return found, unreadable, nil
}

// singly is next where a document of the page cannot be opened.
func (c *scan) singly(ctx context.Context, limit int) (found []*letter, unreadable int, err error) {
	c.over.Limit = 1
	for range limit {
		docs, err := c.store.Range(ctx, outbox, c.over)
		switch {
		case unopened(err):
			unreadable++
			c.over.Offset++
			continue
		case err != nil:
			return nil, 0, err
		case len(docs) == 0:
			c.done = true
			return found, unreadable, nil
		}
		if l := c.read(docs[0]); l != nil {
			found = append(found, l)
		} else {
			unreadable++
		}
	}
	return found, unreadable, nil
}

// read reads a document and goes past it. nil says that it cannot be read.
func (c *scan) read(d store.Doc) *letter {
	c.over.After, c.over.Offset = c.store.Cursor(outbox, c.over.Index, d), 0
	if c.heads {
		return &letter{ID: d.ID, ProjectID: d.Keys["project"]}
	}
	var l letter
	if json.Unmarshal(d.Body, &l) != nil || l.ID != d.ID || l.ProjectID != d.Keys["project"] {
		return nil
	}
	for _, e := range l.Events {
		if e.ID == "" || e.ProjectID != l.ProjectID {
			return nil
		}
	}
	l.version = d.Version
	return &l
}

// unopened reports whether a sealed body could not be opened.
func unopened(err error) bool {
	var missing *seal.MissingKeyError
	var wrong *seal.OpenError
	return errors.As(err, &missing) || errors.As(err, &wrong) || errors.Is(err, seal.ErrFormat)
}
