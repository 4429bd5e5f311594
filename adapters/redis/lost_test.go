package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// commitText is in each commit that goes over the wire, and in nothing else.
const commitText = "insert"

// TestLostCommit loses the connection at each moment of a commit: what may be applied is uncertain, what surely is not is an
// outage, and each is made whole or not at all, once.
func TestLostCommit(t *testing.T) {
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) {
			server := start(t, e)
			for _, c := range []struct {
				name string
				fate engines.Fate
				made bool
			}{
				{"before it arrives", engines.Cut, false},
				{"before the answer", engines.CutAnswer, true},
				{"and nothing is heard", engines.Swallow, false},
				{"half-closed behind it", engines.HalfClose, true},
			} {
				t.Run(c.name, func(t *testing.T) {
					p := engines.NewProxy(t, server.Addr)
					st, ctx := open(t, with(t, p.URL(server.Fresh(t)), "read_timeout", "300ms"), things), t.Context()
					came := p.OnNext(commitText, c.fate)
					err := st.Commit(ctx, store.Insert("things", thing("1")), store.Insert("codes", store.Doc{ID: "1"}))
					<-came
					// A server that reads the end of the stream behind a commit may run it and answer, or not.
					if halfClosed := c.fate == engines.HalfClose; !errors.Is(err, store.ErrUncertain) && (err != nil || !halfClosed) {
						t.Errorf("commit: %v, want ErrUncertain", err)
					}
					n, err := st.Count(ctx, "things", store.Range{})
					m, err2 := st.Count(ctx, "codes", store.Range{})
					if err != nil || err2 != nil || n != m {
						t.Fatalf("afterwards: %d and %d documents, %v, %v", n, m, err, err2)
					}
					if c.fate != engines.HalfClose && (n == 1) != c.made {
						t.Errorf("%d documents, made %t", n, c.made)
					}
					must(t, st.Commit(ctx, store.Insert("things", thing("2"))))
				})
			}
			t.Run("before it is sent", func(t *testing.T) {
				p := engines.NewProxy(t, server.Addr)
				st, ctx := open(t, p.URL(server.Fresh(t)), things), t.Context()
				p.Refuse(true)
				p.Cut()
				waitClosed(t, p)
				if err := st.Commit(ctx, store.Insert("things", thing("1"))); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain) {
					t.Errorf("commit: %v, want ErrUnavailable", err)
				}
				if _, err := st.Get(ctx, "things", "1"); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("get: %v, want ErrUnavailable", err)
				}
				p.Refuse(false)
				must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
			})
			t.Run("in the midst of sending", func(t *testing.T) {
				p := engines.NewProxy(t, server.Addr)
				st, ctx := open(t, with(t, p.URL(server.Fresh(t)), "write_timeout", "500ms", "read_timeout", "500ms"), things), t.Context()
				came := p.OnNext(commitText, engines.Swallow)
				d := thing("1")
				d.Body = bytes.Repeat([]byte("x"), store.MaxCommitBytes-100)
				err := st.Commit(ctx, store.Insert("things", d))
				<-came
				if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUncertain) { // as much as the system buffers
					t.Errorf("commit: %v", err)
				}
				count(t, st, "things", 0)
			})
		})
	}
}

func waitClosed(t testing.TB, p *engines.Proxy) {
	t.Helper()
	for p.Connections() > 0 {
		if t.Context().Err() != nil {
			t.Fatal("connections stay open")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestLostRead loses the connection of a read, which is made again.
func TestLostRead(t *testing.T) {
	server := start(t, engines.Redis)
	p := engines.NewProxy(t, server.Addr)
	u := with(t, p.URL(server.Fresh(t)), "read_timeout", "300ms")
	st, ctx := open(t, u, things), t.Context()
	must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
	for _, fate := range []engines.Fate{engines.Cut, engines.CutAnswer} {
		came := p.OnNext("evalsha", fate)
		if _, err := st.Get(ctx, "things", "1"); err != nil {
			t.Errorf("get: %v", err)
		}
		<-came
	}
	// A server that does not answer is not waited for twice.
	came := p.OnNext("evalsha", engines.Swallow)
	if _, err := st.Get(ctx, "things", "1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
	<-came
	count(t, st, "things", 1)
}

// TestDeadlines holds that a call ends with its context though the server is silent.
func TestDeadlines(t *testing.T) {
	server := start(t, engines.Redis)
	st := open(t, with(t, server.URL, "read_timeout", "1m", "pool_timeout", "1m", "pool_size", "1"), things)
	must(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := st.Commit(ctx, store.Insert("things", thing("1"))); !errors.Is(err, store.ErrUncertain) {
		t.Errorf("commit to a silent server: %v, want ErrUncertain", err)
	}
	if _, err := st.Get(ctx, "things", "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get past the deadline: %v", err)
	}
	// Another call has the only connection: nothing is sent.
	var busy sync.WaitGroup
	first, done := context.WithTimeout(t.Context(), time.Second)
	defer done()
	busy.Go(func() { _, _ = st.Get(first, "things", "1") })
	time.Sleep(100 * time.Millisecond)
	second, done2 := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer done2()
	if err := st.Commit(second, store.Insert("things", thing("2"))); errors.Is(err, store.ErrUncertain) || err == nil {
		t.Errorf("commit that waits for a connection: %v, want the deadline", err)
	}
	busy.Wait()
	must(t, server.Resume())
	if _, err := st.Get(t.Context(), "things", "2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

// TestKilled kills the server with SIGKILL again and again during 2,000 commits of three documents each: what is acknowledged
// is there, what is told as surely not applied is not, and what is uncertain is there whole or not at all.
func TestKilled(t *testing.T) {
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) {
			server := engines.Start(t, e, engines.Options{}) // appendfsync always
			st := open(t, server.URL, things)
			const writers, each = 8, 250
			var done atomic.Int64
			outcomes := make([]map[string]error, writers)
			var all sync.WaitGroup
			for w := range writers {
				outcomes[w] = map[string]error{}
				all.Go(func() {
					for i := range each {
						id := fmt.Sprintf("%d-%03d", w, i)
						outcomes[w][id] = insist(t.Context(), st, id)
						done.Add(1)
					}
				})
			}
			for kills := int64(1); kills <= 5; kills++ {
				for done.Load() < kills*writers*each/6 && t.Context().Err() == nil {
					time.Sleep(time.Millisecond)
				}
				must(t, server.Kill())
				must(t, server.Restart())
			}
			all.Wait()
			uncertain := 0
			for _, o := range outcomes {
				for id, outcome := range o {
					if outcome != nil {
						uncertain++
					}
					checkWhole(t, st, id, outcome)
				}
			}
			t.Logf("%d commits, of which %d uncertain", done.Load(), uncertain)
			checkIndexes(t, st)
		})
	}
}

// insist commits three documents, again while the outcome is that nothing was applied.
func insist(ctx context.Context, st *store.Store, id string) error {
	for {
		err := st.Commit(ctx, store.Insert("things", thing(id)), store.Insert("codes", store.Doc{ID: id}), store.Insert("things", thing(id+"b")))
		if !errors.Is(err, store.ErrUnavailable) {
			return err // were it applied after all, the next try would find its ids taken
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func checkWhole(t *testing.T, st *store.Store, id string, outcome error) {
	t.Helper()
	docs, err := st.GetMany(t.Context(), "things", []string{id, id + "b"})
	codes, err2 := st.GetMany(t.Context(), "codes", []string{id})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	switch n := len(docs) + len(codes); {
	case outcome != nil && !errors.Is(outcome, store.ErrUncertain):
		t.Errorf("commit %s: %v", id, outcome)
	case n != 0 && n != 3:
		t.Errorf("commit %s is half there: %d of 3", id, n)
	case outcome == nil && n == 0:
		t.Errorf("commit %s was acknowledged and is missing", id)
	}
}

// checkIndexes holds that each index has as many entries as there are documents.
func checkIndexes(t *testing.T, st *store.Store) {
	t.Helper()
	n, err := st.Count(t.Context(), "things", store.Range{})
	for _, index := range []string{"by_name", "by_kind"} {
		if m, err2 := st.Count(t.Context(), "things", store.Range{Index: index}); err != nil || err2 != nil || m != n {
			t.Errorf("%d documents and %d entries of %s, %v, %v", n, m, index, err, err2)
		}
	}
}

// TestRestarted restarts the server under readers and writers: no wrong answer, and work goes on without another start.
func TestRestarted(t *testing.T) {
	server := engines.Start(t, engines.Redis, engines.Options{})
	st, ctx := open(t, server.URL, things), t.Context()
	must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
	stop := make(chan struct{})
	var all sync.WaitGroup
	var outages atomic.Int64
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				docs, err := st.Range(ctx, "things", store.Range{Index: "by_name", Eq: []string{"n1"}})
				switch {
				case errors.Is(err, store.ErrUnavailable):
					outages.Add(1)
					time.Sleep(time.Millisecond)
				case err != nil || len(docs) != 1:
					t.Errorf("range: %v, %v", docs, err)
					return
				}
			}
		})
	}
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		must(t, server.Restart())
		for err := st.Ping(ctx); err != nil; err = st.Ping(ctx) {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("ping: %v", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	close(stop)
	all.Wait()
	must(t, st.Commit(ctx, store.Update("things", thing("1"))))
	t.Logf("%d reads met an outage", outages.Load())
}

// TestFailover turns a primary into a replica of its replica, as an administrator or Sentinel does, while connections to it
// are open: it must answer nothing that is old, and be used no longer once the address leads to the new primary.
func TestFailover(t *testing.T) { failover(t) }

func failover(t testing.TB) {
	a, b := start(t, engines.Redis, "--repl-diskless-sync-delay", "0"), start(t, engines.Redis)
	ca, cb, ctx := client(t, a.URL), client(t, b.URL), t.Context()
	host, port, _ := strings.Cut(a.Addr, ":")
	must(t, cb.ReplicaOf(ctx, host, port).Err())
	p := engines.NewProxy(t, a.Addr)
	st := open(t, p.URL(a.URL), things)
	for i := range 10 {
		must(t, st.Commit(ctx, store.Insert("things", thing(fmt.Sprint(i)))))
	}
	waitReplica(t, ca)
	must(t, cb.ReplicaOf(ctx, "no", "one").Err())
	host, port, _ = strings.Cut(b.Addr, ":")
	must(t, ca.ReplicaOf(ctx, host, port).Err())

	next := open(t, b.URL, things)
	must(t, next.Commit(ctx, store.Update("things", thing("1"))))
	for range 50 { // whichever connection of the pool is taken
		if d, err := st.Get(ctx, "things", "1"); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("the former primary answers version %d, %v", d.Version, err)
		}
		if err := st.Commit(ctx, store.Insert("things", thing("x"))); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain) {
			t.Fatalf("the former primary: commit: %v", err)
		}
	}
	waitClosed(t, p) // so that the next call looks the address up anew
	must(t, ca.ReplicaOf(ctx, "no", "one").Err())
	if _, err := st.Get(ctx, "things", "2"); err != nil {
		t.Errorf("when it is the primary again: %v", err)
	}
}

// waitReplica waits until a replica has all that its primary wrote.
func waitReplica(t testing.TB, primary *goredis.Client) {
	t.Helper()
	if n, err := primary.Wait(t.Context(), 1, 20*time.Second).Result(); n != 1 || err != nil {
		t.Fatalf("%d replicas, %v", n, err)
	}
}
