package storefault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// through is a store over a proxy to a server, and one that goes there directly.
func (a Adapter) through(t *testing.T, e Engine) (p *engines.Proxy, s, direct *store.Store) {
	t.Helper()
	text := e.Fresh(t)
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p = engines.NewProxy(t, u.Host)
	return p, a.open(t, a.hasty(t, p.URL(text))), a.open(t, text)
}

// cutCommit loses the request or the answer of a commit, of several operations and of one.
func (a Adapter) cutCommit(t *testing.T, e Engine) {
	p, s, direct := a.through(t, e)
	for _, c := range []struct {
		what string
		fate engines.Fate
		made map[bool]bool // what may be
		told bool          // it may be acknowledged
	}{
		{"the request is cut", engines.Cut, map[bool]bool{false: true}, false},
		{"the answer is cut", engines.CutAnswer, map[bool]bool{true: true}, false},
		{"the request is swallowed", engines.Swallow, map[bool]bool{false: true}, false},
		{"the server reads the end behind the request", engines.HalfClose, map[bool]bool{false: true, true: true}, true},
	} {
		several := "several, " + c.what
		if err := direct.Commit(t.Context(), store.Insert(accounts, account(several, 0))); err != nil {
			t.Fatal(err)
		}
		if err := makeChange(t.Context(), s, several, 1, patient, func(error) {}); err != nil { // all is prepared now
			t.Fatal(err)
		}
		came := p.OnNext(a.Commit, c.fate)
		err := s.Commit(t.Context(), change(several, 2)...)
		arrived(t, came, c.what)
		p.Decide(nil)
		p.Cut()
		if !errors.Is(err, store.ErrUncertain) && (err != nil || !c.told) {
			t.Errorf("several operations, %s: %v, want ErrUncertain", c.what, err)
		}
		if version := sum(t.Context(), t, direct, several); !c.made[version == 3] || err == nil && version != 3 {
			t.Errorf("several operations, %s: %v, and the account is at version %d", c.what, err, version)
		}
		if err := makeChange(t.Context(), s, several, 3, patient, func(error) {}); err != nil && !lostRace(err) {
			t.Errorf("the change after %s: %v", c.what, err)
		}

		single := account("one, "+c.what, 0)
		came = p.OnNext(single.ID, c.fate)
		err = s.Commit(t.Context(), store.Insert(accounts, single))
		arrived(t, came, c.what)
		p.Decide(nil)
		p.Cut()
		if !failure(err) && (err != nil || !c.told) {
			t.Errorf("one operation, %s: %v", c.what, err)
		}
		_, missing := direct.Get(t.Context(), accounts, single.ID)
		if is := missing == nil; errors.Is(err, store.ErrUnavailable) && is || err == nil && !is || errors.Is(err, store.ErrUncertain) && !c.made[is] {
			t.Errorf("one operation, %s: %v, and reading back: %v", c.what, err, missing)
		}
	}
}

func arrived(t *testing.T, came <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-came:
	default:
		t.Fatalf("%s: no chunk came to do it to", what)
	}
}

const (
	networkWorkers = 8
	networkChanges = 25 // of each
)

// network has workers change accounts through a proxy that does something bad to one chunk of many, in either direction,
// and with contexts that end at any moment.
func (a Adapter) network(t *testing.T, e Engine) {
	p, s, direct := a.through(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for w := range networkWorkers {
		if err := direct.Commit(ctx, store.Insert(accounts, account(worker(w), 0))); err != nil {
			t.Fatal(err)
		}
	}
	p.Decide(func(c engines.Chunk) engines.Fate {
		if rand.IntN(40) > 0 {
			return engines.Pass
		}
		return [...]engines.Fate{engines.Cut, engines.CutAnswer, engines.HalfClose, engines.Swallow}[rand.IntN(4)]
	})
	hurried := func(ctx context.Context) (context.Context, context.CancelFunc) {
		if rand.IntN(3) > 0 {
			return ctx, func() {}
		}
		return context.WithTimeout(ctx, time.Duration(rand.IntN(5000))*time.Microsecond)
	}
	failed := func(error) {
		if rand.IntN(4) == 0 { // what was swallowed would stay open, with its locks
			p.Cut()
		}
	}
	var all sync.WaitGroup
	for w := range networkWorkers {
		all.Go(func() {
			for n := range int64(networkChanges) {
				err := makeChange(ctx, s, worker(w), n+1, hurried, failed)
				if err == nil {
					err = read(ctx, s, worker(w), n+2)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	p.Decide(nil)
	p.Cut()
	for w := range networkWorkers {
		if version := sum(t.Context(), t, direct, worker(w)); version != networkChanges+1 && !t.Failed() {
			t.Errorf("%s is at version %d after %d changes", worker(w), version, networkChanges)
		}
	}
}

func worker(w int) string { return fmt.Sprintf("worker %d", w) }
