package storefault

import (
	"cmp"
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

// cut is a way to lose a commit, and what may be of it then.
type cut struct {
	what       string
	fate       engines.Fate
	made, left bool // it may be made, or not
	told       bool // it may be acknowledged
}

var cuts = []cut{
	{"the request is cut", engines.Cut, false, true, false},
	{"the answer is cut", engines.CutAnswer, true, false, false},
	{"the request is swallowed", engines.Swallow, false, true, false},
	{"the server reads the end behind the request", engines.HalfClose, true, true, true},
}

// CutCommit loses the request or the answer of a commit: of a change, of updates alone, and of one operation.
func (a Adapter) CutCommit(t *testing.T, e Engine) {
	p, s, direct := a.through(t, e)
	for _, c := range cuts {
		c.told, c.made = c.told || a.Repeats, c.made || a.Repeats
		l := loser{t, c, p, s, direct}
		first, second, ready := "first, "+c.what, "second, "+c.what, "ready, "+c.what
		for _, name := range []string{first, second, ready} {
			if err := direct.Commit(t.Context(), store.Insert(accounts, account(name, 0))); err != nil {
				t.Fatal(err)
			}
		}
		l.ready(ready, 1)
		l.lose(a.Commit, change(first, 1)...)
		l.ready(ready, 2)
		l.lose(a.Commit, store.Update(accounts, account(second, 1)), store.Update(accounts, account(ready, 3)))
		l.ready(ready, l.version(ready))
		single := account("one, "+c.what, 0)
		l.lose(single.ID, store.Insert(accounts, single))
	}
}

// loser loses commits over a proxy in one way, and looks at what became of them directly.
type loser struct {
	*testing.T
	cut
	proxy     *engines.Proxy
	s, direct *store.Store
}

// ready makes a change, so that there is a connection, with all prepared.
func (l loser) ready(name string, version int64) {
	l.Helper()
	if err := makeChange(l.Context(), l.s, name, version, patient, func(error) {}); err != nil {
		l.Fatalf("a change after %s: %v", l.what, err)
	}
}

func (l loser) version(name string) int64 {
	l.Helper()
	d, err := l.direct.Get(l.Context(), accounts, name)
	if err != nil {
		l.Fatal(err)
	}
	return d.Version
}

// lose does it to the next chunk that has the text. What commits several operations fails as nothing but uncertain.
func (l loser) lose(text string, ops ...store.Op) {
	l.Helper()
	came := l.proxy.OnNext(text, l.fate)
	err := l.s.Commit(l.Context(), ops...)
	select {
	case <-came:
	default:
		l.Fatalf("%s: no chunk with %q came to do it to", l.what, text)
	}
	l.proxy.Decide(nil)
	l.proxy.Cut()
	switch made := l.madeOf(ops); {
	case err == nil && l.told && made:
	case errors.Is(err, store.ErrUncertain) && (made && l.made || !made && l.left):
	case errors.Is(err, store.ErrUnavailable) && !made && len(ops) == 1: // the text need not be in what commits
	default:
		l.Errorf("%s, %d operations: %v, and that they are made is %t", l.what, len(ops), err, made)
	}
}

// madeOf says whether operations are made, as they are all or none.
func (l loser) madeOf(ops []store.Op) bool {
	l.Helper()
	n := 0
	for _, op := range ops {
		d, err := l.direct.Get(l.Context(), op.Collection, op.Doc.ID)
		switch {
		case err == nil && d.Version == op.Doc.Version+1:
			n++
		case err != nil && !errors.Is(err, store.ErrNotFound):
			l.Fatal(err)
		}
	}
	if n > 0 && n < len(ops) {
		l.Errorf("%s: %d of %d operations are made", l.what, n, len(ops))
	}
	return n > 0
}

const (
	networkWorkers = 8
	networkChanges = 25 // of each
)

// Network has workers change accounts through a proxy that does something bad to one chunk of many, in either direction,
// and with contexts that end at any moment.
func (a Adapter) Network(t *testing.T, e Engine) {
	p, s, direct := a.through(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for w := range networkWorkers {
		if err := direct.Commit(ctx, store.Insert(accounts, account(worker(w), 0))); err != nil {
			t.Fatal(err)
		}
	}
	odds := cmp.Or(a.Odds, 40)
	p.Decide(func(c engines.Chunk) engines.Fate {
		if rand.IntN(odds) > 0 {
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
