package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/storefault"
	"github.com/portico-sso/portico/ports/store"
)

// TestFaults kills, cuts and restarts on servers that keep what they acknowledge.
func TestFaults(t *testing.T) {
	storefault.Run(t, storefault.Adapter{
		Driver:  redis.Driver,
		Engines: []storefault.Engine{storefault.On(engines.Redis), storefault.On(engines.Valkey)},
		Commit:  redis.CommitSHA,
		Hasty:   "read_timeout=1s",
	})
}

// TestUnsent commits where no connection can be had: that nothing is applied is certain.
func TestUnsent(t *testing.T) {
	server := start(t, engines.Redis)
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
}

// TestHalfSent cuts a large commit off in its midst.
func TestHalfSent(t *testing.T) {
	server := start(t, engines.Redis)
	p := engines.NewProxy(t, server.Addr)
	u, ctx := with(t, server.Fresh(t), "write_timeout", "500ms", "read_timeout", "500ms"), t.Context()
	st, direct := open(t, p.URL(u), things), open(t, u, things)
	d := thing("1")
	d.Body = bytes.Repeat([]byte("x"), store.MaxCommitBytes-100)
	for _, fate := range []engines.Fate{engines.Cut, engines.Swallow} {
		came := p.OnNext(redis.CommitSHA, fate)
		err := st.Commit(ctx, store.Insert("things", d))
		<-came
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUncertain) { // as much as the system buffers
			t.Errorf("commit: %v", err)
		}
		count(t, direct, "things", 0)
	}
	must(t, st.Commit(ctx, store.Insert("things", d)))
	count(t, direct, "things", 1)
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
