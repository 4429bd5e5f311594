package record

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/store"
)

type thing struct {
	ID   string `json:"id"`
	Name string `json:"name"`

	version int64
}

const things = "things"

func newRepo(t *testing.T) Repo[thing] {
	t.Helper()
	schema := store.Schema{{Name: things}}
	s, err := store.New(memory.New(schema), schema, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	r := Repo[thing]{Store: s, Collection: things, Noun: "thing",
		Head:       func(v thing) store.Doc { return store.Doc{ID: v.ID, Version: v.version} },
		SetVersion: func(v *thing, version int64) { v.version = version }}
	if err := s.Commit(t.Context(), r.Insert(thing{ID: "a", Name: "first"})); err != nil {
		t.Fatal(err)
	}
	return r
}

// meanwhile is what somebody else does to the value, once.
func meanwhile(ctx context.Context, r Repo[thing], done *bool) error {
	if *done {
		return nil
	}
	*done = true
	_, err := r.Change(ctx, "a", func(v *thing) error { v.Name += " other"; return nil })
	return err
}

func TestChangeRunsAnewOnWhatIsThere(t *testing.T) {
	r := newRepo(t)
	disturbed := false
	got, err := r.Change(t.Context(), "a", func(v *thing) error {
		v.Name += " mine"
		return meanwhile(t.Context(), r, &disturbed)
	})
	if err != nil || got != (thing{"a", "first other mine", 3}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if kept, err := r.Get(t.Context(), "a"); err != nil || kept != got {
		t.Errorf("kept %+v, %v; want what was returned", kept, err)
	}
	if err := r.Store.Commit(t.Context(), r.Check(got)); err != nil {
		t.Errorf("the version that was returned: %v", err)
	}
}

func TestChangeThatIsRefusedWritesNothing(t *testing.T) {
	r := newRepo(t)
	refused := errors.New("refused")
	if _, err := r.Change(t.Context(), "a", func(v *thing) error { v.Name = "x"; return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if kept, err := r.Get(t.Context(), "a"); err != nil || kept != (thing{"a", "first", 1}) {
		t.Errorf("kept %+v, %v", kept, err)
	}
	if _, err := r.Change(t.Context(), "none", func(*thing) error { return nil }); !fault.Is(err, fault.NotFound) {
		t.Errorf("a missing one: %v", err)
	}
}

func TestRemove(t *testing.T) {
	r := newRepo(t)
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		empty bool
		err   error
		want  func(error) bool
	}{
		"not empty":           {false, nil, func(err error) bool { return fault.Is(err, fault.Conflict) && fault.From(err).Code == "not_empty" }},
		"nobody knows":        {false, failed, func(err error) bool { return errors.Is(err, failed) }},
		"empty, nobody knows": {true, failed, func(err error) bool { return errors.Is(err, failed) }},
	} {
		if err := r.RemoveEmpty(t.Context(), "a", func() (bool, error) { return c.empty, c.err }, "It holds something."); !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Get(t.Context(), "a"); err != nil {
			t.Fatalf("%s: it is gone: %v", name, err)
		}
	}
	disturbed, asked := false, 0
	err := r.RemoveEmpty(t.Context(), "a", func() (bool, error) {
		asked++
		return true, meanwhile(t.Context(), r, &disturbed)
	}, "")
	if err != nil || asked != 2 {
		t.Errorf("changed meanwhile: %v after %d looks, want a second one", err, asked)
	}
	if _, err := r.Get(t.Context(), "a"); !fault.Is(err, fault.NotFound) {
		t.Errorf("it is still there: %v", err)
	}
	if err := r.Remove(t.Context(), "a", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("a second time: %v", err)
	}
}

// late is a backend whose first commit is answered by store.ErrUncertain and comes behind the look for it; the next answer
// after that is lost as well.
type late struct {
	store.Backend
	waits func() error // the commit
	reads int
}

func (l *late) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if l.reads == 0 {
		return l.Backend.Commit(ctx, now, ops)
	}
	if l.waits == nil {
		l.waits = func() error { return l.Backend.Commit(ctx, now, ops) }
		return store.ErrUncertain
	}
	return l.away()
}

func (l *late) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	if l.reads++; l.reads == 3 {
		return nil, l.away()
	}
	return l.Backend.Get(ctx, now, collection, ids)
}

func (l *late) away() error {
	if err := l.waits(); err != nil {
		return err
	}
	l.waits = func() error { return nil }
	return store.ErrUnavailable
}

// What a plan has set is of the commit that was made, also where its answer was lost and planning anew would have failed.
func TestPlanGivesWhatWasMade(t *testing.T) {
	schema := store.Schema{{Name: things}}
	s, err := store.New(&late{Backend: memory.New(schema)}, schema, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	r := newRepo(t)
	r.Store = s
	if err := s.Commit(t.Context(), r.Insert(thing{ID: "a", Name: "first"})); err != nil {
		t.Fatal(err)
	}
	var set thing
	err = Plan(t.Context(), s, func() (ops []store.Op, err error) {
		if set, err = r.Get(t.Context(), "a"); err != nil {
			return nil, err
		}
		set.Name += " mine"
		return []store.Op{r.Update(set)}, nil
	}, func(error) bool { return false })
	if err != nil || set.Name != "first mine" || set.version != 1 {
		t.Errorf("set %+v, %v", set, err)
	}
	if kept, err := r.Get(t.Context(), "a"); err != nil || kept.Name != set.Name || kept.version != 2 {
		t.Errorf("kept %+v, %v", kept, err)
	}
}
