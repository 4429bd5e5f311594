package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

// startCluster starts a cluster of two nodes with half of the slots each.
func startCluster(t testing.TB, e engines.Engine) (nodes [2]*engines.Server, clients [2]*goredis.Client) {
	t.Helper()
	for i := range nodes {
		_, bus, err := net.SplitHostPort(freeAddr(t))
		must(t, err)
		nodes[i] = start(t, e, "--cluster-enabled", "yes", "--cluster-port", bus)
		clients[i] = client(t, nodes[i].URL)
		must(t, clients[i].ClusterAddSlotsRange(t.Context(), 8192*i, 8192*i+8191).Err())
	}
	host, port, _ := strings.Cut(nodes[1].Addr, ":")
	bus, err := clients[1].ConfigGet(t.Context(), "cluster-port").Result()
	must(t, err)
	must(t, clients[0].Do(t.Context(), "cluster", "meet", host, port, bus["cluster-port"]).Err())
	for _, c := range clients {
		for {
			info, err := c.ClusterInfo(t.Context()).Result()
			must(t, err)
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2") {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nodes, clients
}

// freeAddr is an address at which nobody listens.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// TestCluster runs the whole suite on a cluster: each database is in one slot, wherever that is.
func TestCluster(t *testing.T) {
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) {
			nodes, clients := startCluster(t, e)
			for _, c := range clients {
				allow(t, c, append(slices.Clone(rights), "+cluster|slots")...)
			}
			u := parse(t, nodes[0].URL)
			u.User = userOf("sso", "p@ss:w/rd")
			must(t, open(t, u.String(), things).Commit(t.Context(), store.Insert("things", thing("1"))))
			n := 0
			storetest.Run(t, func(t *testing.T) storetest.Open {
				n++
				u := parse(t, nodes[n%2].Fresh(t)) // either node leads to the other
				return func(ctx context.Context, s store.Schema) (store.Backend, error) {
					return driver(t).Open(ctx, u, s, quiet)
				}
			})
			if _, err := tryOpen(t, strings.Replace(nodes[0].URL, "/0", "/1", 1), things); err == nil || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("another database of a cluster: %v", err)
			}
		})
	}
}

// TestClusterLosesCommit cuts off the answer to a commit: it is not sent again.
func TestClusterLosesCommit(t *testing.T) {
	nodes, clients := startCluster(t, engines.Redis)
	ctx := t.Context()
	var proxies [2]*engines.Proxy
	for i, n := range nodes {
		proxies[i] = engines.NewProxy(t, n.Addr)
		_, port, _ := strings.Cut(proxies[i].Addr, ":")
		must(t, clients[i].ConfigSet(ctx, "cluster-announce-port", port).Err())
	}
	st := open(t, with(t, nodes[0].URL, "prefix", "lost"), things)
	slot, err := clients[0].ClusterKeySlot(ctx, "{lost}").Result()
	must(t, err)
	p := proxies[slot/8192]
	must(t, st.Commit(ctx, store.Insert("things", thing("0"))))
	for i, fate := range []engines.Fate{engines.Cut, engines.CutAnswer} {
		came := p.OnNext(redis.CommitSHA, fate)
		if err := st.Commit(ctx, store.Insert("things", thing(fmt.Sprint(i+1)))); !errors.Is(err, store.ErrUncertain) {
			t.Errorf("commit: %v, want ErrUncertain", err)
		}
		select {
		case <-came:
		default:
			t.Fatal("the commit did not come this way")
		}
	}
	count(t, st, "things", 2)
}

// TestSlotMoves moves the slot of a database to the other node while it is written: what is told as not applied is not, and
// the client follows.
func TestSlotMoves(t *testing.T) {
	nodes, clients := startCluster(t, engines.Redis)
	ctx := t.Context()
	st := open(t, with(t, nodes[0].URL, "prefix", "moving"), things)
	slot, err := clients[0].ClusterKeySlot(ctx, "{moving}").Result()
	must(t, err)
	from := int(slot / 8192)
	var ids [2]string
	for i, c := range clients {
		ids[i], err = c.ClusterMyID(ctx).Result()
		must(t, err)
	}
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			if err := insist(ctx, st, fmt.Sprint(n)); err != nil {
				t.Errorf("commit %d: %v", n, err)
			}
		}
	}()
	for move := range 3 {
		source, target := clients[(from+move)%2], clients[(from+move+1)%2]
		sourceID, targetID := ids[(from+move)%2], ids[(from+move+1)%2]
		must(t, target.Do(ctx, "cluster", "setslot", slot, "importing", sourceID).Err())
		must(t, source.Do(ctx, "cluster", "setslot", slot, "migrating", targetID).Err())
		migrateKeys(t, source, target, int(slot))
		for _, c := range []*goredis.Client{target, source} {
			must(t, c.Do(ctx, "cluster", "setslot", slot, "node", targetID).Err())
		}
		time.Sleep(50 * time.Millisecond)
	}
	close(stop)
	n := <-done
	t.Logf("%d commits", n)
	for i := range n {
		checkWhole(t, st, fmt.Sprint(i), nil)
	}
	checkIndexes(t, st)
}

// migrateKeys moves all keys of a slot.
func migrateKeys(t *testing.T, source, target *goredis.Client, slot int) {
	t.Helper()
	host, port, _ := strings.Cut(target.Options().Addr, ":")
	for {
		keys, err := source.ClusterGetKeysInSlot(t.Context(), slot, 100).Result()
		must(t, err)
		if len(keys) == 0 {
			return
		}
		args := []any{"migrate", host, port, "", 0, 5000, "keys"}
		for _, k := range keys {
			args = append(args, k)
		}
		must(t, source.Do(t.Context(), args...).Err())
	}
}
