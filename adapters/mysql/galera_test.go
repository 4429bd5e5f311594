package mysql_test

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/storefault"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

// spread is a backend over several nodes that sends each call to the next one.
type spread struct {
	nodes []store.Backend
	calls atomic.Uint64
}

func (s *spread) next() store.Backend { return s.nodes[s.calls.Add(1)%uint64(len(s.nodes))] }

func (s *spread) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	return s.next().Get(ctx, now, collection, ids)
}

func (s *spread) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	return s.next().Range(ctx, now, collection, r)
}

func (s *spread) Count(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
	return s.next().Count(ctx, now, collection, r)
}

func (s *spread) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	return s.next().Commit(ctx, now, ops)
}

func (s *spread) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	return s.next().Sweep(ctx, now, collection, limit)
}

func (s *spread) Ping(ctx context.Context) error { return s.next().Ping(ctx) }

func (s *spread) Plan(ctx context.Context) ([]string, error) {
	return s.next().(store.Structured).Plan(ctx)
}

func (s *spread) Migrate(ctx context.Context) error {
	return s.next().(store.Structured).Migrate(ctx)
}

func (s *spread) Close() error {
	var failed error
	for _, n := range s.nodes {
		failed = errors.Join(failed, n.Close())
	}
	return failed
}

// openSpread opens a database on all nodes. Those to which its making has not come yet refuse it at first.
func openSpread(ctx context.Context, t testing.TB, urls []string, s store.Schema) (*spread, error) {
	t.Helper()
	all := &spread{}
	for _, u := range urls {
		b, err := open(ctx, t, u, s)
		for try := 0; err != nil && try < 1200; try++ {
			time.Sleep(50 * time.Millisecond)
			b, err = open(ctx, t, u, s)
		}
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all.nodes = append(all.nodes, b)
	}
	return all, nil
}

// urls are those of one fresh database on each node.
func urls(t testing.TB, cluster []*engines.Server) []string {
	t.Helper()
	fresh, err := url.Parse(cluster[0].Fresh(t))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, node := range cluster {
		u := *fresh
		u.Host = node.Addr
		all = append(all, u.String())
	}
	return all
}

// TestGalera runs the whole suite on a cluster of three, each call on the next node: what one acknowledged all know, and
// of two commits that meet, on whatever nodes, one wins. Then instances on different nodes migrate at once, and use one
// document once, and at last one node is left.
func TestGalera(t *testing.T) {
	cluster := engines.StartGalera(t, 3, engines.Options{Fast: true})
	t.Run("conformance", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Open {
			all := urls(t, cluster)
			return func(ctx context.Context, s store.Schema) (store.Backend, error) { return openSpread(ctx, t, all, s) }
		})
	})
	t.Run("migrate", func(t *testing.T) {
		for range 20 { // three of which meet a statement that another instance has interrupted
			all := urls(t, cluster)
			migrateTogether(t, append(all, all...))
		}
	})
	t.Run("two_instances", func(t *testing.T) {
		g := &galera{T: t, nodes: cluster}
		a, e := g.faults(true)
		a.TwoInstances(t, e)
	})
	t.Run("alone", func(t *testing.T) { alone(t, cluster) })
}

// galera is a cluster as storefault takes it: Kill and Stop end one node after the other.
type galera struct {
	*testing.T
	nodes []*engines.Server
	next  int
}

func (g *galera) Fresh(t testing.TB) string { return g.nodes[0].Fresh(t) }

// Kill kills a node and returns when the others take commits again.
func (g *galera) Kill() error {
	if err := g.nodes[g.next].Kill(); err != nil {
		return err
	}
	began := time.Now()
	defer func() {
		g.Logf("without node %d the others take commits after %s", g.next+1, time.Since(began).Round(time.Millisecond))
	}()
	return g.takesCommits((g.next + 1) % len(g.nodes))
}

func (g *galera) takesCommits(node int) error {
	db := connect(g, g.nodes[node].URL)
	for {
		_, err := db.ExecContext(g.Context(), "CREATE TABLE IF NOT EXISTS probe (n INT PRIMARY KEY)")
		if err == nil {
			_, err = db.ExecContext(g.Context(), "REPLACE INTO probe VALUES (1)")
		}
		if err == nil || g.Context().Err() != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (g *galera) Stop() error { return g.nodes[g.next].Stop() }

// Restart has the node join again.
func (g *galera) Restart() error {
	defer func() { g.next = (g.next + 1) % len(g.nodes) }()
	return g.nodes[g.next].Restart()
}

// faults are the fault suite's on the cluster. Each backend is spread over the nodes, or on the next one alone.
func (g *galera) faults(alone bool) (storefault.Adapter, storefault.Engine) {
	opened := 0
	a := storefault.Adapter{Driver: store.Driver{Open: func(ctx context.Context, u *url.URL, s store.Schema, _ store.DriverOptions) (store.Backend, error) {
		var all []string
		for _, node := range g.nodes {
			at := *u
			at.Host = node.Addr
			all = append(all, at.String())
		}
		if opened++; alone {
			all = all[opened%len(all) : opened%len(all)+1]
		}
		return openSpread(ctx, g, all, s)
	}}}
	return a, storefault.Engine{Name: "galera", Fresh: g.Fresh, Start: func(testing.TB) storefault.Server { return g }}
}

// TestGaleraLosesNode kills one node after the other under load: nothing that was acknowledged is lost, and the others go on.
func TestGaleraLosesNode(t *testing.T) {
	g := &galera{T: t, nodes: engines.StartGalera(t, 3, engines.Options{})}
	a, e := g.faults(false)
	a.Kill(t, e)
}

// alone kills all nodes but one, which then is no cluster: it answers nothing, and neither does a ping.
func alone(t *testing.T, cluster []*engines.Server) {
	t.Helper()
	s := openStore(t, cluster[0].Fresh(t), things)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping in the cluster: %v", err)
	}
	for _, node := range cluster[1:] {
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable); err = s.Ping(t.Context()) {
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("ping alone: %v, want ErrUnavailable", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := s.Get(t.Context(), "things", "1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get alone: %v", err)
	}
	for what, ops := range map[string][]store.Op{
		"one":     {store.Insert("things", thing("1", ""))},
		"several": {store.Insert("things", thing("2", "")), store.Insert("things", thing("3", ""))},
	} {
		if err := s.Commit(t.Context(), ops...); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a commit of %s alone: %v", what, err)
		}
	}
}
