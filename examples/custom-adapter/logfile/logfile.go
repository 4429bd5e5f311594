//go:build unix

// Package logfile is a storage engine as small as can be, and the example of docs/adapters.md: an append-only file of lines.
// Behind its header is a line with all documents that there were when the file was begun, and then comes a line for each
// commit, on disk before that is acknowledged. All documents are in memory too, and read from the file at the start.
package logfile

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// A file begins with header. When it has twice the bytes that it began with and slack, it is begun anew.
const header, slack = "portico log 1\n", 1 << 20

// Driver opens log:path (relative to the working directory) and log:///absolute/path.
var Driver = store.Driver{Schemes: []string{"log"}, Open: open}

// Backend implements store.Backend. Its places are the name of a collection, a slash, and an id or the name of an index.
type Backend struct {
	path        string
	schema      store.Schema
	options     store.DriverOptions
	lock, file  *os.File
	begun, size int64 // bytes that the file began with, and that it has

	mu      sync.RWMutex
	docs    changes             // all that there are; each may be replaced and is never changed
	entries map[string][]string // of each index, sorted
	ended   error               // what every call answers, once it is set
}

// changes are documents by place; of those that a commit removes there is nil.
type changes map[string]*store.Doc

func open(_ context.Context, u *url.URL, schema store.Schema, o store.DriverOptions) (store.Backend, error) {
	path, err := url.PathUnescape(cmp.Or(u.Opaque, u.EscapedPath()))
	if err != nil || path == "" || u.Host+u.RawQuery != "" {
		return nil, fmt.Errorf("%w: write log:path or log:///absolute/path", store.ErrInvalid)
	}
	b := &Backend{path: path, schema: schema, options: o, docs: changes{}, entries: map[string][]string{}}
	if err := b.load(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// call runs fn under a lock, unless the backend or the context has ended.
func (b *Backend) call(ctx context.Context, lock sync.Locker, fn func() error) error {
	lock.Lock()
	defer lock.Unlock()
	if err := cmp.Or(b.ended, ctx.Err()); err != nil {
		return err
	}
	return fn()
}

// Ping implements store.Backend.
func (b *Backend) Ping(ctx context.Context) error {
	return b.call(ctx, b.mu.RLocker(), func() error { return nil })
}

// Close implements store.Backend. All is on disk already.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = store.ErrClosed
	_, _ = b.file.Close(), b.lock.Close()
	return nil
}

// Get implements store.Backend.
func (b *Backend) Get(ctx context.Context, now time.Time, collection string, ids []string) (docs []store.Doc, err error) {
	err = b.call(ctx, b.mu.RLocker(), func() error {
		for _, id := range ids {
			if d := b.docs[collection+"/"+id]; live(d, now) {
				docs = append(docs, clone(d))
			}
		}
		return nil
	})
	return docs, err
}

// Range implements store.Backend.
func (b *Backend) Range(ctx context.Context, now time.Time, collection string, r store.Range) (docs []store.Doc, err error) {
	err = b.call(ctx, b.mu.RLocker(), func() error {
		b.scan(now, collection, r, func(d *store.Doc) bool {
			if r.Offset--; r.Offset < 0 {
				docs = append(docs, clone(d))
			}
			return len(docs) < r.Limit
		})
		return nil
	})
	return docs, err
}

// Count implements store.Backend.
func (b *Backend) Count(ctx context.Context, now time.Time, collection string, r store.Range) (n int64, err error) {
	err = b.call(ctx, b.mu.RLocker(), func() error {
		b.scan(now, collection, r, func(*store.Doc) bool { n++; return true })
		return nil
	})
	return n, err
}

// scan hands over the live documents of a range in its order, until do returns false.
func (b *Backend) scan(now time.Time, collection string, r store.Range, do func(*store.Doc) bool) {
	fixed := strings.Join(append(slices.Clone(r.Eq), ""), "\x00")
	low, high := fixed+r.From, fixed+cmp.Or(r.To, "\xff") // which is above all UTF-8
	if r.After != "" {
		c, _ := b.schema.Find(collection)
		x, _ := c.Find(r.Index)
		keys, id, _ := store.ParseCursor(collection, x, r.After) // the Store has tried it
		place := strings.Join(append(keys, id), "\x00")
		if low = place + "\x00"; r.Desc {
			low, high = fixed+r.From, place
		}
	}
	entries := b.entries[collection+"/"+r.Index]
	from, _ := slices.BinarySearch(entries, low)
	to, _ := slices.BinarySearch(entries, high)
	for i := range to - from {
		e := entries[from+i]
		if r.Desc {
			e = entries[to-1-i]
		}
		id := e[strings.LastIndexByte(e, 0)+1:]
		if d := b.docs[collection+"/"+id]; live(d, now) && !do(d) {
			break
		}
	}
}

// entry is where a document stands in an index: its keys there and its id, joined with NUL. No key holds NUL, which is below
// all else, so that entries are in byte order where the keys, one by one, and then the ids are.
func entry(x store.Index, d *store.Doc) string {
	if len(x.Fields) == 0 {
		return d.ID
	}
	key, _ := x.Key(d.Keys)
	return key + "\x00" + d.ID
}

// live reports whether there is a document and its time has not come.
func live(d *store.Doc, now time.Time) bool {
	return d != nil && (d.ExpiresAt.IsZero() || now.Before(d.ExpiresAt))
}

// clone keeps callers from sharing memory with us.
func clone(d *store.Doc) store.Doc {
	c := *d
	c.Body, c.Keys = bytes.Clone(d.Body), maps.Clone(d.Keys)
	return c
}

// Commit implements store.Backend. Guards are judged on the state before it.
func (b *Backend) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	return b.call(ctx, &b.mu, func() error {
		c := changes{}
		for _, op := range ops {
			at := op.Collection + "/" + op.Doc.ID
			held, d := b.docs[at], clone(&op.Doc)
			d.Version++ // an insert comes with 0
			switch {
			case op.Kind == store.OpInsert && live(held, now):
				return &store.TakenError{Collection: op.Collection}
			case op.Kind != store.OpInsert && (!live(held, now) || held.Version != op.Doc.Version):
				return store.ErrConflict
			case op.Kind == store.OpDelete:
				c[at] = nil
			case op.Kind != store.OpCheck:
				c[at] = &d
			}
		}
		return b.write(ctx, now, c)
	})
}

// Sweep implements store.Backend.
func (b *Backend) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	c := changes{}
	err := b.call(ctx, &b.mu, func() error {
		for _, id := range b.entries[collection+"/"] {
			if at := collection + "/" + id; len(c) < limit && !live(b.docs[at], now) {
				c[at] = nil
			}
		}
		return b.write(ctx, now, c)
	})
	if err != nil {
		return 0, err
	}
	return len(c), nil
}

// write makes changes, unless a unique key stands against them: on disk, then in memory.
func (b *Backend) write(ctx context.Context, now time.Time, c changes) error {
	if err := b.unique(now, c); err != nil || len(c) == 0 {
		return err
	}
	if err := b.append(c); err != nil {
		return err
	}
	b.apply(c)
	if b.size > 2*b.begun+slack {
		if err := b.compact(); err != nil {
			b.begun = b.size // try again when it has doubled
			b.options.Logger.WarnContext(ctx, "the file is not begun anew", "path", b.path, "error", err)
		}
	}
	return nil
}

// unique judges the state after changes: a key is not free if a document that stays has it, or another one takes it too.
func (b *Backend) unique(now time.Time, c changes) error {
	taken := map[string]bool{}
	for at, d := range c {
		collection, _, _ := strings.Cut(at, "/")
		declared, _ := b.schema.Find(collection)
		for _, x := range declared.Indexes {
			if d == nil || !x.Unique {
				continue
			}
			key, held := x.Key(d.Keys)
			claim := collection + "/" + x.Name + "/" + key
			b.scan(now, collection, store.Range{Index: x.Name, Eq: strings.Split(key, "\x00")}, func(other *store.Doc) bool {
				_, written := c[collection+"/"+other.ID]
				taken[claim] = taken[claim] || !written
				return !taken[claim]
			})
			if held && taken[claim] {
				return &store.TakenError{Collection: collection, Index: x.Name}
			}
			taken[claim] = true
		}
	}
	return nil
}

// apply makes changes in memory.
func (b *Backend) apply(c changes) {
	added := map[string][]string{}
	for at, d := range c {
		collection, _, _ := strings.Cut(at, "/")
		declared, _ := b.schema.Find(collection)
		for _, x := range slices.Concat([]store.Index{{}}, declared.Indexes) {
			index := collection + "/" + x.Name
			if old := b.docs[at]; old != nil {
				i, _ := slices.BinarySearch(b.entries[index], entry(x, old))
				b.entries[index] = slices.Delete(b.entries[index], i, i+1)
			}
			if d != nil {
				added[index] = append(added[index], entry(x, d))
			}
		}
		if b.docs[at] = d; d == nil {
			delete(b.docs, at)
		}
	}
	for index, entries := range added {
		for _, e := range slices.Sorted(slices.Values(entries)) { // at the start, each goes to the end
			i, _ := slices.BinarySearch(b.entries[index], e)
			b.entries[index] = slices.Insert(b.entries[index], i, e)
		}
	}
}

// load takes the lock, which ends with the process, reads the file that there is, and begins it anew.
func (b *Backend) load() (err error) {
	if b.lock, err = os.OpenFile(b.path+".lock", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(b.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%w: %s is in use by another process: %w", store.ErrUnavailable, b.path, err)
	}
	content, err := os.ReadFile(b.path)
	content, ours := bytes.CutPrefix(content, []byte(header))
	lines := content[:bytes.LastIndexByte(content, '\n')+1] // a last line without its end was never acknowledged
	if (!ours || len(lines) == 0) && !errors.Is(err, os.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%s is no file of this engine, or cut off", b.path))
	}
	all, read := changes{}, 0
	for line := range bytes.Lines(lines) {
		var c changes
		if err := json.Unmarshal(line, &c); err != nil && read > 0 && read+len(line) == len(lines) {
			break // nor was one that lacks a part
		} else if err != nil {
			return fmt.Errorf("%s is damaged behind byte %d: %w", b.path, len(header)+read, err)
		}
		maps.Copy(all, c)
		read += len(line)
	}
	b.apply(all)
	b.options.Logger.Info("the file is read", "path", b.path, "documents", len(b.docs), "dropped_bytes", len(content)-read)
	return b.compact()
}

// append has the changes on disk when it returns without an error.
func (b *Backend) append(c changes) error {
	line, err := json.Marshal(c)
	if err == nil {
		_, err = b.file.WriteAt(append(line, '\n'), b.size)
	}
	if err != nil { // no newline was written, and the next line goes over what was
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err := b.file.Sync(); err != nil { // what is on disk will show when it is read again
		b.ended = fmt.Errorf("%w: %s must be opened anew: %w", store.ErrUnavailable, b.path, err)
		return fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	b.size += int64(len(line)) + 1
	return nil
}

// compact begins the file anew, with a line of all documents.
func (b *Backend) compact() error {
	f, err := os.OpenFile(b.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n := Backend{file: f, size: int64(len(header))}
	_, err = f.WriteString(header)
	if err = cmp.Or(err, n.append(b.docs)); err == nil {
		err = os.Rename(f.Name(), b.path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	_ = b.file.Close()
	b.file, b.begun, b.size = f, n.size, n.size
	folder, err := os.Open(filepath.Dir(b.path))
	if err = errors.Join(err, folder.Sync(), folder.Close()); err != nil { // the old file may be there after a crash
		b.ended = fmt.Errorf("%w: %s must be opened anew: %w", store.ErrUnavailable, b.path, err)
	}
	return err
}
