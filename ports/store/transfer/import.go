package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/portico-sso/portico/ports/store"
)

// Target is where documents go. What is there already must be the same: so whatever ended early is repeated.
type Target struct {
	Stores []*store.Store // migrated to this release

	batch   []store.Op
	size    int
	pending *store.Store // of the batch
}

// Bounds of one commit.
const (
	batchOps   = 200
	batchBytes = store.MaxCommitBytes / 4
)

// Import reads an export into the target and compares what is then there with what the export says. Errors name the line.
func Import(ctx context.Context, r io.Reader, migration int, to Target, report func(store.Progress)) (map[string]Content, error) {
	lines := bufio.NewReaderSize(r, 256<<10)
	text, err := readLine(lines)
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	if _, err := readHeader(text, migration); err != nil {
		return nil, err
	}
	for n := int64(2); ; n++ {
		text, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("line %d: the export ends early: it is not whole", n)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		l, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if l.End != nil {
			return to.finish(ctx, l.End)
		}
		if err := to.put(ctx, l); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if report != nil && n%batchOps == 0 {
			report(store.Progress{Step: "importing " + l.Collection, Done: n})
		}
	}
}

// readLine gives a line without its newline.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case len(text) > maxLine:
			return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(text) > 0:
			return nil, io.EOF // a line without its end is none
		case err != nil:
			return nil, err
		default:
			return text[:len(text)-1], nil
		}
	}
}

// Copy moves the documents of a source to the target and compares both.
func Copy(ctx context.Context, from Source, to Target) (map[string]Content, error) {
	seen := contents{}
	err := from.each(ctx, place{}, func(l line) error {
		if err := seen.of(l.Collection).add(l); err != nil {
			return err
		}
		return to.put(ctx, l)
	})
	if err != nil {
		return nil, err
	}
	return to.finish(ctx, seen.Contents())
}

// put adds a document to the batch.
func (t *Target) put(ctx context.Context, l line) error {
	st, c, err := t.find(l.Collection)
	if err != nil {
		return err
	}
	d := l.doc()
	if c.Keys != nil { // of this release, whatever the other one's were
		if d.Keys, err = c.Keys(d); err != nil {
			return fmt.Errorf("%s %s: %w", c.Name, d.ID, err)
		}
	}
	size := len(d.Body) + store.MaxKeyBytes*(1+len(d.Keys))
	if st != t.pending || len(t.batch) == batchOps || t.size+size > batchBytes {
		if err := t.flush(ctx); err != nil {
			return err
		}
	}
	t.pending, t.size = st, t.size+size
	t.batch = append(t.batch, store.Insert(c.Name, d))
	return nil
}

func (t *Target) find(collection string) (*store.Store, store.Collection, error) {
	for _, st := range t.Stores {
		if c, ok := st.Schema().Find(collection); ok {
			return st, c, nil
		}
	}
	return nil, store.Collection{}, fmt.Errorf("this release knows no collection %q", collection)
}

// flush commits the batch, less what is there already.
func (t *Target) flush(ctx context.Context) error {
	batch := t.batch
	t.batch, t.size = nil, 0
	for len(batch) > 0 {
		err := t.pending.Commit(ctx, batch...)
		var taken *store.TakenError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &taken), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUncertain):
		default:
			return err
		}
		left, err := t.missing(ctx, batch, err)
		if err != nil {
			return err
		}
		batch = left
	}
	return nil
}

// missing is what of the batch is not there, and an error where that will not do.
func (t *Target) missing(ctx context.Context, batch []store.Op, failed error) ([]store.Op, error) {
	var left []store.Op
	for _, op := range batch {
		have, err := t.pending.Get(ctx, op.Collection, op.Doc.ID)
		if errors.Is(err, store.ErrNotFound) {
			left = append(left, op)
			continue
		}
		if err != nil {
			return nil, err
		}
		same, err := sameDoc(op.Collection, have, op.Doc)
		if err != nil {
			return nil, err
		}
		if !same {
			return nil, fmt.Errorf("%s %s is there already and differs: import into an empty database", op.Collection, op.Doc.ID)
		}
	}
	var taken *store.TakenError
	if len(left) == len(batch) && errors.As(failed, &taken) {
		return nil, fmt.Errorf("another document of the database has the keys of one of these: %w: import into an empty database", failed)
	}
	return left, nil
}

func sameDoc(collection string, a, b store.Doc) (bool, error) {
	x, err := encode(lineOf(collection, a))
	if err != nil {
		return false, err
	}
	y, err := encode(lineOf(collection, b))
	return bytes.Equal(x, y), err
}

// finish commits what is left and holds the target against what it should have.
func (t *Target) finish(ctx context.Context, want map[string]Content) (map[string]Content, error) {
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	have, err := Source{Stores: t.Stores}.Contents(ctx)
	if err != nil {
		return nil, err
	}
	return have, t.compare(want, have)
}

// compare names the collections that differ. Of one whose documents expire, some may have done so meanwhile.
func (t *Target) compare(want, have map[string]Content) error {
	var differ []error
	for _, name := range slices.Sorted(maps.Keys(have)) {
		w, h := want[name], have[name]
		_, c, err := t.find(name)
		if err != nil {
			return err
		}
		if w == h || w.Count == 0 && h.Count == 0 || c.Expires && h.Count < w.Count {
			continue
		}
		differ = append(differ, fmt.Errorf("%s has %d documents with digest %s, and should have %d with %s",
			name, h.Count, h.Digest, w.Count, w.Digest))
	}
	return errors.Join(differ...)
}
