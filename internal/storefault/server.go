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

// load is workers that change accounts and read them back, each its own, through all failures.
type load struct {
	*testing.T
	*store.Store
	made   [loaders]atomic.Int64 // changes, by worker
	total  atomic.Int64
	failed atomic.Int64 // calls
	stop   atomic.Bool
	done   chan struct{}
}

func (a Adapter) start(t *testing.T, s Server) *load {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	l := &load{T: t, Store: a.open(t, s.Fresh(t)), done: make(chan struct{})}
	for w := range loaders {
		if err := l.Commit(ctx, store.Insert(accounts, account(worker(w), 0))); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for w := range loaders {
		all.Go(func() { l.work(ctx, w) })
	}
	go func() {
		all.Wait()
		close(l.done)
	}()
	t.Cleanup(func() {
		cancel()
		<-l.done
	})
	return l
}

func (l *load) work(ctx context.Context, w int) {
	for n := int64(1); !l.stop.Load(); n++ {
		err := makeChange(ctx, l.Store, worker(w), n, patient, func(error) { l.failed.Add(1) })
		if err == nil {
			l.made[w].Store(n)
			l.total.Add(1)
			err = read(ctx, l.Store, worker(w), n+1)
		}
		if err != nil {
			l.Error(err)
			return
		}
	}
}

// reaches waits until a condition holds, and says whether it does: all workers may have ended before.
func (l *load) reaches(condition func() bool) bool {
	for !condition() {
		select {
		case <-l.done:
			return condition()
		case <-time.After(time.Millisecond):
		}
	}
	return true
}

// finish ends the load and holds that all that was acknowledged is there, whole.
func (l *load) finish() {
	l.Helper()
	l.stop.Store(true)
	<-l.done
	for w := range loaders {
		if version := sum(l.Context(), l.T, l.Store, worker(w)); version != l.made[w].Load()+1 && !l.Failed() {
			l.Errorf("%s is at version %d after %d acknowledged changes", worker(w), version, l.made[w].Load())
		}
	}
	l.Logf("%d changes, %d failures", l.total.Load(), l.failed.Load())
}

// restart stops and starts the server under load. All workers go on then, over the same store.
func (a Adapter) restart(t *testing.T, e Engine) {
	server := e.Start(t)
	l := a.start(t, server)
	for round := range 2 {
		at := l.total.Load()
		going := l.reaches(func() bool { return l.total.Load() > at+100 })
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		at = l.failed.Load()
		going = going && l.reaches(func() bool { return l.failed.Load() > at+loaders })
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		for w := range loaders {
			at := l.made[w].Load()
			going = going && l.reaches(func() bool { return l.made[w].Load() > at+1 })
		}
		if !going {
			t.Fatalf("round %d: the workers do not go on", round)
		}
	}
	l.finish()
}

const killedCommits = 2000

// kill kills the server again and again until so many commits are made.
func (a Adapter) kill(t *testing.T, e Engine) {
	server := e.Start(t)
	l := a.start(t, server)
	kills := 0
	for l.total.Load() < killedCommits {
		at := min(l.total.Load()+100+rand.Int64N(500), killedCommits)
		if !l.reaches(func() bool { return l.total.Load() >= at }) {
			break
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		kills++
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	l.finish()
	t.Logf("%d kills", kills)
}
