package storefault

import (
	"fmt"
	"sync"
	"testing"

	"github.com/portico-sso/portico/ports/store"
)

const workers = 200

// TwoInstances has 200 workers over two backends on one database use one document once, and take one name.
func (a Adapter) TwoInstances(t *testing.T, e Engine) {
	u := e.Fresh(t)
	both := []*store.Store{a.open(t, u), a.open(t, u)}
	ctx := t.Context()
	for round := range 3 {
		name := fmt.Sprintf("code %d", round)
		if err := both[0].Commit(ctx, store.Insert(accounts, account(name, 0))); err != nil {
			t.Fatal(err)
		}
		one(t, func(i int) error {
			d := entry(name, int64(i))
			return both[i%2].Commit(ctx, store.Update(accounts, account(name, 1)), store.Insert(entries, d))
		})
		for i, s := range both {
			d, err := s.Get(ctx, accounts, name)
			n, err2 := s.Count(ctx, entries, store.Range{Index: "by_account", Eq: []string{name}})
			if d.Version != 2 || n != 1 || err != nil || err2 != nil {
				t.Errorf("instance %d: version %d, %v, and %d entries, %v", i, d.Version, err, n, err2)
			}
		}
		one(t, func(i int) error {
			d := account("a name", 0)
			d.ID = fmt.Sprintf("%d of round %d", i, round)
			d.Keys["name"] += name
			return both[i%2].Commit(ctx, store.Insert(accounts, d), store.Insert(entries, entry(d.ID, 1)))
		})
		if n, err := both[1].Count(ctx, entries, store.Range{}); n != int64(2*round+2) || err != nil {
			t.Errorf("%d entries, %v, want one for each winner", n, err)
		}
	}
}

// one has workers call at once: one succeeds, and all others learn that they lost.
func one(t *testing.T, call func(i int) error) {
	t.Helper()
	errs := make([]error, workers)
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			<-gate
			errs[i] = call(i)
		})
	}
	close(gate)
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !lostRace(err):
			t.Errorf("a loser is told %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d won, want 1", won, workers)
	}
}
