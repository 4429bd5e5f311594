package storefault

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

const loaders = 16

// Load is workers that change accounts and read them back, each its own, through all failures, over one store.
type Load struct {
	*testing.T
	store  *store.Store
	made   [loaders]atomic.Int64 // changes, by worker
	total  atomic.Int64
	failed atomic.Int64 // calls
	stop   atomic.Bool
}

// Load puts a fresh database under load while disturb does something to its servers, and holds in the end that all that
// was acknowledged is there, whole.
func (a Adapter) Load(t *testing.T, url string, disturb func(*Load)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := &Load{T: t, store: a.open(t, url)}
	for w := range loaders {
		if err := l.store.Commit(ctx, store.Insert(accounts, account(worker(w), 0))); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for w := range loaders {
		all.Go(func() { l.work(ctx, w) })
	}
	func() {
		defer func() { // also where disturb ends the test
			l.stop.Store(true)
			if t.Failed() {
				cancel() // there may be no server for those who try again
			}
			all.Wait()
		}()
		disturb(l)
	}()
	for w := range loaders {
		if version := sum(ctx, t, l.store, worker(w)); version != l.made[w].Load()+1 && !t.Failed() {
			t.Errorf("%s is at version %d after %d acknowledged changes", worker(w), version, l.made[w].Load())
		}
	}
	t.Logf("%d changes, %d failures", l.total.Load(), l.failed.Load())
}

func (l *Load) work(ctx context.Context, w int) {
	for n := int64(1); !l.stop.Load(); n++ {
		err := makeChange(ctx, l.store, worker(w), n, patient, func(error) { l.failed.Add(1) })
		if err == nil {
			l.made[w].Store(n)
			l.total.Add(1)
			err = read(ctx, l.store, worker(w), n+1)
		}
		if err != nil {
			l.Error(err)
			return
		}
	}
}

// await waits until a condition holds. Where a worker fails it ends the test.
func (l *Load) await(what string, condition func() bool) {
	l.Helper()
	for !condition() {
		if l.Failed() {
			l.Fatalf("while waiting for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// Made is how many changes are made.
func (l *Load) Made() int64 { return l.total.Load() }

// Changes waits until so many changes more are made.
func (l *Load) Changes(n int64) {
	l.Helper()
	n += l.total.Load()
	l.await("changes", func() bool { return l.total.Load() >= n })
}

// Failures waits until so many calls more have failed.
func (l *Load) Failures(n int64) {
	l.Helper()
	n += l.failed.Load()
	l.await("failures", func() bool { return l.failed.Load() >= n })
}

// Everyone waits until every worker has made a change that began now.
func (l *Load) Everyone() {
	l.Helper()
	for w := range loaders {
		n := l.made[w].Load() + 2
		l.await("the changes of "+worker(w), func() bool { return l.made[w].Load() >= n })
	}
}

// Restart stops and starts the server under load. All workers go on then.
func (a Adapter) Restart(t *testing.T, e Engine) {
	server := e.Start(t)
	a.Load(t, server.Fresh(t), func(l *Load) {
		for range 2 {
			l.Changes(100)
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			l.Failures(loaders)
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
			l.Everyone()
		}
	})
}

const killedCommits = 2000

// Kill kills the server again and again until so many commits are made.
func (a Adapter) Kill(t *testing.T, e Engine) {
	server := e.Start(t)
	a.Load(t, server.Fresh(t), func(l *Load) {
		for l.Made() < killedCommits {
			l.Changes(min(100+rand.Int64N(500), killedCommits-l.Made()))
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		l.Everyone()
	})
}
