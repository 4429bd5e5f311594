package lease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/internal/engines/enginetest"
	"github.com/portico-sso/portico/ports/store"
)

const things = "things" // what holders and jobs write

// bench is one database with a clock that tests move.
type bench struct {
	store *store.Store
	clock atomic.Int64
	fail  atomic.Pointer[func(ops []store.Op) (before, after error)] // of a commit
}

func (b *bench) now() time.Time { return time.UnixMilli(b.clock.Load()) }

func (b *bench) move(d time.Duration) { b.clock.Add(d.Milliseconds()) }

func (b *bench) service() *Service {
	return NewService(b.store, id.Source{Now: b.now, Rand: rand.Reader}, slog.New(slog.DiscardHandler))
}

// faulty fails commits as the bench says.
type faulty struct {
	store.Backend
	bench *bench
}

func (f faulty) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	fail := f.bench.fail.Load()
	if fail == nil {
		return f.Backend.Commit(ctx, now, ops)
	}
	before, after := (*fail)(ops)
	if before != nil {
		return before
	}
	if err := f.Backend.Commit(ctx, now, ops); err != nil {
		return err
	}
	return after
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{}
	b.clock.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	schema := append(Collections(), store.Collection{Name: things})
	var err error
	if b.store, err = store.New(faulty{enginetest.Open(t, schema), b}, schema, store.Options{Now: b.now}); err != nil {
		t.Fatal(err)
	}
	return b
}

func thing(name string) store.Op {
	return store.Insert(things, store.Doc{ID: name, Body: []byte("{}")})
}

func (b *bench) things(t *testing.T) int64 {
	t.Helper()
	n, err := b.store.Count(t.Context(), things, store.Range{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOneHolds(t *testing.T) {
	b := newBench(t)
	one, two := b.service(), b.service()
	first, err := one.Acquire(t.Context(), "work", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Acquire(t.Context(), "work", time.Minute); !errors.Is(err, ErrHeld) {
		t.Fatalf("a second holder: %v", err)
	}
	if _, err := two.Acquire(t.Context(), "other", time.Minute); err != nil {
		t.Fatalf("another lease: %v", err)
	}
	b.move(40 * time.Second)
	if err := first.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.move(40 * time.Second)
	if _, err := two.Acquire(t.Context(), "work", time.Minute); !errors.Is(err, ErrHeld) {
		t.Fatalf("a renewed lease is taken: %v", err)
	}
	if left := first.Remaining(); left != 20*time.Second {
		t.Errorf("%s remain", left)
	}
	if err := first.Commit(t.Context(), thing("a")); err != nil {
		t.Errorf("the holder's commit: %v", err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Acquire(t.Context(), "work", time.Minute); err != nil {
		t.Errorf("a released lease: %v", err)
	}
}

// A holder that slept through its time, while another came and went, writes nothing.
func TestFencing(t *testing.T) {
	b := newBench(t)
	slow, err := b.service().Acquire(t.Context(), "work", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	b.move(time.Hour)
	next, err := b.service().Acquire(t.Context(), "work", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := slow.Commit(t.Context(), thing("a")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Commit: %v", err)
	}
	if err := b.store.Commit(t.Context(), thing("a"), slow.Check()); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Check: %v", err)
	}
	if err := slow.Renew(t.Context()); !errors.Is(err, ErrHeld) {
		t.Errorf("Renew: %v", err)
	}
	if err := slow.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
	if n := b.things(t); n != 0 {
		t.Errorf("%d documents", n)
	}
}

func TestManyAcquire(t *testing.T) {
	b := newBench(t)
	var all sync.WaitGroup
	var won atomic.Int64
	for range 16 {
		all.Go(func() {
			if _, err := b.service().Acquire(t.Context(), "work", time.Minute); err == nil {
				won.Add(1)
			} else if !errors.Is(err, ErrHeld) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d hold it", won.Load())
	}
}

// The answer to a commit that took a lease is lost: it is ours all the same.
func TestUncertainAcquire(t *testing.T) {
	b := newBench(t)
	failed := false
	fail := func([]store.Op) (before, after error) {
		if failed {
			return nil, nil
		}
		failed = true
		return nil, store.ErrUncertain
	}
	b.fail.Store(&fail)
	h, err := b.service().Acquire(t.Context(), "work", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	failed = false
	if err := h.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.fail.Store(nil)
	if err := h.Commit(t.Context(), thing("a")); err != nil {
		t.Error(err)
	}
}

func TestKeeper(t *testing.T) {
	b := newBench(t)
	one, two := b.service().Keeper(time.Minute), b.service().Keeper(time.Minute)
	first, err := one.Keep(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	b.move(40 * time.Second)
	again, err := one.Keep(t.Context(), "work")
	if err != nil || again != first || again.Remaining() != time.Minute {
		t.Errorf("kept %t, %s remain, %v", again == first, again.Remaining(), err)
	}
	if _, err := two.Keep(t.Context(), "work"); !errors.Is(err, ErrHeld) {
		t.Errorf("another keeps it too: %v", err)
	}
	one.Close(t.Context())
	if _, err := two.Keep(t.Context(), "work"); err != nil {
		t.Errorf("behind Close: %v", err)
	}
	b.move(time.Hour)
	if h, err := two.Keep(t.Context(), "work"); err != nil || h.Remaining() != time.Minute {
		t.Errorf("one that ran out: %v", err)
	}
}

// pages is work of so many pages, each of which inserts a document.
func pages(n int, done func(page int)) Work {
	return func(_ context.Context, j Job) (Page, error) {
		page := 0
		if j.Progress != nil {
			if err := json.Unmarshal(j.Progress, &page); err != nil {
				return Page{}, err
			}
		}
		return Page{Ops: []store.Op{thing(fmt.Sprintf("%s/%d", j.Name, page))}, Progress: page + 1, Done: page+1 == n,
			Then: func() { done(page) }}, nil
	}
}

func (b *bench) waiting(t *testing.T) int64 {
	t.Helper()
	n, err := b.store.Count(t.Context(), jobs, store.Range{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ask(t *testing.T, s *Service, name string) {
	t.Helper()
	if err := s.store.Commit(t.Context(), s.Ask("paint", name, map[string]string{"colour": "red"})); err != nil {
		t.Fatal(err)
	}
}

func TestJobsCoalesceAndTakeTurns(t *testing.T) {
	b := newBench(t)
	s := b.service()
	var did atomic.Int64
	s.Do("paint", pages(3*jobTurn, func(int) { did.Add(1) }))
	for range 5 {
		ask(t, s, "wall")
	}
	ask(t, s, "door")
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if did.Load() != 2*3*jobTurn || b.things(t) != 2*3*jobTurn {
		t.Errorf("%d pages, %d documents", did.Load(), b.things(t))
	}
	if n := b.waiting(t); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
}

// What is asked for while a job runs is done again behind it.
func TestAskedMeanwhile(t *testing.T) {
	b := newBench(t)
	s := b.service()
	asked, rounds := false, 0
	s.Do("paint", func(context.Context, Job) (Page, error) {
		if !asked {
			asked = true
			ask(t, s, "wall")
		}
		return Page{Done: true, Then: func() { rounds++ }}, nil
	})
	ask(t, s, "wall")
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rounds != 2 {
		t.Errorf("done %d times", rounds)
	}
}

// Commits fail at random in every way, and instances work at once: each page is done once.
func TestEachPageOnce(t *testing.T) {
	b := newBench(t)
	var n atomic.Int64
	fail := func([]store.Op) (before, after error) {
		switch n.Add(1) % 7 {
		case 2:
			return store.ErrUnavailable, nil
		case 4:
			return store.ErrUncertain, nil
		case 6:
			return nil, store.ErrUncertain
		}
		return nil, nil
	}
	asker := b.service()
	for i := range 10 {
		ask(t, asker, fmt.Sprint("wall ", i))
	}
	b.fail.Store(&fail)
	for round := 0; b.waiting(t) > 0; round++ {
		if round == 100 {
			t.Fatalf("%d jobs are left", b.waiting(t))
		}
		var all sync.WaitGroup
		for range 2 {
			s := b.service()
			s.Do("paint", pages(30, func(int) {}))
			all.Go(func() { _ = s.Run(t.Context()) })
		}
		all.Wait()
		b.move(2 * time.Hour) // past every pause
	}
	if got := b.things(t); got != 300 { // a page done twice would fail on its document for ever
		t.Errorf("%d documents", got)
	}
}

// An instance that dies in the middle of a job leaves it to another, which begins where it stopped.
func TestResume(t *testing.T) {
	b := newBench(t)
	dead, alive := b.service(), b.service()
	ctx, die := context.WithCancel(t.Context())
	dead.Do("paint", pages(10, func(page int) {
		if page == 4 {
			die()
			fail := func([]store.Op) (before, after error) { return store.ErrUnavailable, nil }
			b.fail.Store(&fail)
		}
	}))
	ask(t, dead, "wall")
	_ = dead.Run(ctx)
	b.fail.Store(nil)
	var did []int
	alive.Do("paint", pages(10, func(page int) { did = append(did, page) }))
	if err := alive.Run(t.Context()); err != nil || len(did) != 0 {
		t.Fatalf("a job that may still be run: %v, %v", did, err)
	}
	b.move(jobHold)
	if err := alive.Run(t.Context()); err != nil || len(did) != 5 || did[0] != 5 {
		t.Errorf("resumed with %v, %v", did, err)
	}
}

func TestFailuresWaitLonger(t *testing.T) {
	b := newBench(t)
	s := b.service()
	tries := 0
	s.Do("paint", func(context.Context, Job) (Page, error) { tries++; return Page{}, errors.New("no paint") })
	ask(t, s, "wall")
	for i, pause := range jobAgain {
		if err := s.Run(t.Context()); err != nil || tries != i+1 {
			t.Fatalf("%d tries, want %d, %v", tries, i+1, err)
		}
		b.move(pause - time.Millisecond)
		if err := s.Run(t.Context()); err != nil || tries != i+1 {
			t.Fatalf("too early: %d tries, want %d, %v", tries, i+1, err)
		}
		b.move(time.Millisecond)
	}
	s.Do("paint", pages(1, func(int) {}))
	if err := s.Run(t.Context()); err != nil || b.waiting(t) != 0 {
		t.Errorf("%d jobs are left, %v", b.waiting(t), err)
	}
}

func TestUnknownKindIsLeftAlone(t *testing.T) {
	b := newBench(t)
	s := b.service()
	ask(t, s, "wall")
	if err := s.Run(t.Context()); err != nil || b.waiting(t) != 1 {
		t.Errorf("%d jobs are left, %v", b.waiting(t), err)
	}
}

// What waits is not begun before its time, and then with what was asked for meanwhile.
func TestAskLater(t *testing.T) {
	b := newBench(t)
	s := b.service()
	rounds := 0
	s.Do("paint", pages(1, func(int) { rounds++ }))
	for range 3 {
		if err := b.store.Commit(t.Context(), s.AskLater(2*time.Second, "paint", "wall", nil)); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.move(900 * time.Millisecond)
	}
	if rounds != 0 || b.waiting(t) != 3 {
		t.Errorf("done %d times before it is due, %d wait", rounds, b.waiting(t))
	}
	if b.move(200 * time.Millisecond); s.Run(t.Context()) != nil || rounds != 1 || b.waiting(t) != 0 {
		t.Errorf("done %d times, %d wait", rounds, b.waiting(t))
	}
}

// A page that has to wait for others leaves the instance to other work, and is done behind its time.
func TestPagesThatWait(t *testing.T) {
	b := newBench(t)
	s := b.service()
	var did []string
	s.Do("paint", func(_ context.Context, j Job) (Page, error) {
		did = append(did, j.Name+string(j.Progress))
		return Page{Progress: 1, Later: time.Minute, Done: j.Progress != nil}, nil
	})
	run := func(want string) {
		t.Helper()
		if err := s.Run(t.Context()); err != nil || fmt.Sprint(did) != want {
			t.Errorf("did %v, want %s, %v", did, want, err)
		}
	}
	ask(t, s, "wall")
	run("[wall]")
	b.move(time.Minute - time.Millisecond)
	run("[wall]")
	b.move(time.Millisecond)
	run("[wall wall1]")
	if n := b.waiting(t); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
}
