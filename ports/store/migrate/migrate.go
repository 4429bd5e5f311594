// Package migrate brings a database from what an older release left to what this one needs: the engine's structure,
// the keys that new indexes ask of old documents, and numbered changes of the documents themselves. It keeps older
// releases from writing to what they do not know.
//
// How far a database is stands in one document of it. Every page of work is one commit with that document at its
// version, so the work goes on where it ended, and of several instances that migrate at once each page is done by one.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// Settle is how long a migration waits after announcing itself, until every Fence has noticed and the last commit of
// an older release has ended.
const Settle = 2 * fenceEvery

// pageDocs and pageBytes bound one page of documents that are written anew, well within a commit's limits.
const (
	pageDocs  = 100
	pageBytes = 1 << 20
)

// ErrNewer says that the database was migrated by a newer release, or by one with other indexes.
var ErrNewer = errors.New("the database is that of a newer release: start that one, or a newer")

// Migration is one numbered change of documents that a release makes once.
type Migration struct {
	Number     int    // greater than those of earlier releases, also where a release takes an index away
	Name       string // what it does, for the operator
	Collection string // what it is about; it runs in the store that has it
	// Run does the work in pages. It begins behind the place where an earlier run ended (at first ""), and hands each
	// page to commit together with its place; what commit answers it returns. It may be begun again at any page.
	Run func(ctx context.Context, s *store.Store, place string, commit Commit) error
}

// Commit commits a page of a Migration and notes its place.
type Commit func(place string, ops ...store.Op) error

// Options are what a migration needs.
type Options struct {
	Store      *store.Store // its schema has Collection() in it
	Migrations []Migration
	Now        func() time.Time
	Settle     time.Duration        // by default Settle
	Report     func(store.Progress) // may be nil
}

// runner is one run over one store.
type runner struct {
	Options
	schema     store.Schema
	migrations []Migration // those of the store, by number
}

func newRunner(o Options) runner {
	r := runner{Options: o}
	if r.Settle == 0 {
		r.Settle = Settle
	}
	if r.Report == nil {
		r.Report = func(store.Progress) {}
	}
	for _, c := range o.Store.Schema() {
		if c.Name != collection {
			r.schema = append(r.schema, c)
		}
	}
	for _, m := range o.Migrations {
		if _, ok := r.schema.Find(m.Collection); ok {
			r.migrations = append(r.migrations, m)
		}
	}
	slices.SortFunc(r.migrations, func(a, b Migration) int { return a.Number - b.Number })
	return r
}

// Steps are what Run would do.
type Steps struct {
	Structure []string // the engine's (store.Structured); where there are any, more may show behind them
	Documents []string // in an operator's words
}

// None reports whether there is nothing to do.
func (s Steps) None() bool { return len(s.Structure)+len(s.Documents) == 0 }

// Behind tells what Run would do. Errors: ErrNewer, the store's.
func Behind(ctx context.Context, o Options) (Steps, error) {
	r := newRunner(o)
	var steps Steps
	var err error
	if steps.Structure, err = r.Store.Plan(ctx); len(steps.Structure) > 0 || err != nil { // there may be no table to read
		return steps, err
	}
	st, err := r.read(ctx)
	if errors.Is(err, store.ErrNotFound) {
		steps.Documents = []string{"note that the database is one of this release"}
		return steps, nil
	}
	if err != nil {
		return steps, err
	}
	if err := r.older(st); err != nil {
		return steps, err
	}
	for _, w := range append(st.Filling, r.unfilled(st)...) {
		steps.Documents = append(steps.Documents, "fill the indexes of "+w.Collection)
	}
	for _, m := range r.migrations {
		if m.Number > st.Migrated {
			steps.Documents = append(steps.Documents, fmt.Sprintf("migration %d: %s", m.Number, m.Name))
		}
	}
	return steps, nil
}

// Run does all that is to be done, and returns when it is. Errors: ErrNewer, the store's; running it again goes on.
func Run(ctx context.Context, o Options) error {
	r := newRunner(o)
	steps, err := r.Store.Plan(ctx)
	if err != nil {
		return err
	}
	if len(steps) > 0 {
		r.Report(store.Progress{Step: "structure"})
		if err := r.Store.Migrate(ctx); err != nil {
			return err
		}
	}
	for {
		done, err := r.step(ctx)
		switch {
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUncertain): // what is there says what was done
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		case done || err != nil:
			return err
		}
	}
}

// step does the next thing that is to be done, and says whether there was none.
func (r runner) step(ctx context.Context) (done bool, err error) {
	st, err := r.read(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return false, r.begin(ctx)
	}
	if err != nil {
		return false, err
	}
	if err := r.older(st); err != nil {
		return false, err
	}
	work := r.unfilled(st)
	if len(work) > 0 || st.Number < r.last() {
		return false, r.announce(ctx, st, work)
	}
	if len(st.Filling) == 0 && st.Migrated >= r.last() {
		return true, nil
	}
	if wait := st.AnnouncedAt.Add(r.Settle).Sub(r.Now()); wait > 0 {
		r.Report(store.Progress{Step: "waiting until instances of an older release have noticed and stopped writing"})
		if err := pause(ctx, min(wait, r.Settle)); err != nil {
			return false, err
		}
	}
	if len(st.Filling) > 0 {
		return false, r.fill(ctx, st)
	}
	return false, r.migrate(ctx, st)
}

// begin notes what a database without a note is: an empty one needs nothing; of any other nothing is known.
func (r runner) begin(ctx context.Context) error {
	st := state{Indexes: map[string][]string{}}
	empty := true
	for _, c := range r.schema {
		docs, err := r.Store.Range(ctx, c.Name, store.Range{Limit: 1})
		if err != nil {
			return err
		}
		empty = empty && len(docs) == 0
	}
	if empty {
		st.Indexes, st.Number, st.Migrated = declared(r.schema), r.last(), r.last()
	}
	err := r.Store.Commit(ctx, st.insert())
	if store.Taken(err, collection, "") {
		return store.ErrConflict
	}
	return err
}

// announce tells the instances of older releases to stop writing, and notes the work.
func (r runner) announce(ctx context.Context, st state, work []filling) error {
	for _, w := range work {
		if _, known := st.Indexes[w.Collection]; !known { // then no older release writes to it
			docs, err := r.Store.Range(ctx, w.Collection, store.Range{Limit: 1})
			if err != nil {
				return err
			}
			if len(docs) == 0 {
				continue
			}
		}
		st.Filling = slices.DeleteFunc(st.Filling, func(f filling) bool { return f.Collection == w.Collection })
		st.Filling = append(st.Filling, w)
	}
	for name, indexes := range declared(r.schema) {
		st.Indexes[name] = indexes
	}
	st.Number, st.AnnouncedAt = max(st.Number, r.last()), r.Now().UTC()
	return r.Store.Commit(ctx, st.update())
}

// fill writes the next page of documents whose keys are not those that the schema asks for.
func (r runner) fill(ctx context.Context, st state) error {
	w := &st.Filling[0]
	c, _ := r.schema.Find(w.Collection)
	if w.Total == 0 {
		var err error
		if w.Total, err = r.Store.Count(ctx, c.Name, store.Range{}); err != nil {
			return err
		}
	}
	docs, err := r.Store.Range(ctx, c.Name, store.Range{After: w.After, Limit: pageDocs})
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		st.Filling = st.Filling[1:]
		return r.Store.Commit(ctx, st.update())
	}
	if c.Keys == nil {
		return fmt.Errorf("collection %s has a new index and nothing that tells its documents' keys", w.Collection)
	}
	return r.fillPage(ctx, st, c, docs)
}

func (r runner) fillPage(ctx context.Context, st state, c store.Collection, docs []store.Doc) error {
	w := &st.Filling[0]
	var ops []store.Op
	size := 0
	for i, d := range docs {
		size += len(d.Body)
		if i > 0 && size > pageBytes {
			break
		}
		w.After = r.Store.Cursor(c.Name, "", d)
		w.Done++
		keys, err := c.Keys(d)
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.Name, d.ID, err)
		}
		if w.Rewrite || !sameKeys(d.Keys, keys) {
			d.Keys = keys
			ops = append(ops, store.Update(c.Name, d))
		}
	}
	r.Report(store.Progress{Step: "filling the indexes of " + c.Name, Done: w.Done, Total: w.Total})
	err := r.Store.Commit(ctx, append(ops, st.update())...)
	var taken *store.TakenError
	if errors.As(err, &taken) {
		return r.culprit(ctx, ops, err)
	}
	return err
}

// culprit names the first document whose keys another holds.
func (r runner) culprit(ctx context.Context, ops []store.Op, err error) error {
	for _, op := range ops {
		if one := r.Store.Commit(ctx, op); one != nil {
			return fmt.Errorf("%s %s: %w: change one of the two, then migrate again", op.Collection, op.Doc.ID, one)
		}
	}
	return err // two of the page, of which the first is now written: the next run names them
}

// migrate goes on with the first migration that is not done.
func (r runner) migrate(ctx context.Context, st state) error {
	i := slices.IndexFunc(r.migrations, func(m Migration) bool { return m.Number > st.Migrated })
	m := r.migrations[i]
	step := store.Progress{Step: fmt.Sprintf("migration %d: %s", m.Number, m.Name)}
	r.Report(step)
	current := st
	err := m.Run(ctx, r.Store, st.Place, func(place string, ops ...store.Op) error {
		next := current
		next.Place = place
		if err := r.Store.Commit(ctx, append(slices.Clone(ops), next.update())...); err != nil {
			return err
		}
		next.version++
		current = next
		step.Done += int64(len(ops))
		r.Report(step)
		return nil
	})
	if err != nil {
		return err
	}
	current.Migrated, current.Place = m.Number, ""
	return r.Store.Commit(ctx, current.update())
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
