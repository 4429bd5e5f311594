package redis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// refused opens and wants an error that is no outage, with each text in it.
func refused(t *testing.T, what, u string, want ...string) {
	t.Helper()
	_, err := tryOpen(t, u, things)
	if err == nil {
		t.Errorf("%s: opened", what)
		return
	}
	if errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%s: %v: waiting does not help", what, err)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, without %q", what, err, text)
		}
	}
}

// opened opens and answers what was logged.
func opened(t *testing.T, u string) string {
	t.Helper()
	var log bytes.Buffer
	b, err := redis.Driver.Open(t.Context(), parse(t, u), things, store.DriverOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	must(t, b.Close())
	return log.String()
}

func TestEvictionIsRefused(t *testing.T) {
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) {
			s := start(t, e)
			c := client(t, s.URL)
			for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
				must(t, c.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
				refused(t, policy, s.URL, "maxmemory-policy "+policy, "CONFIG SET maxmemory-policy noeviction")
			}
			must(t, c.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
			opened(t, s.URL)
		})
	}
}

func TestReplicaIsRefused(t *testing.T) {
	s := start(t, engines.Redis)
	must(t, client(t, s.URL).ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	refused(t, "a replica", s.URL, "replica", "primary's address")
}

func TestLossIsWarnedOf(t *testing.T) {
	for _, e := range both {
		s := engines.Start(t, e, engines.Options{})
		if log := opened(t, s.URL); log != "" {
			t.Errorf("%s that loses nothing: %s", e, log)
		}
		c := client(t, s.URL)
		must(t, c.ConfigSet(t.Context(), "appendfsync", "everysec").Err())
		if log := opened(t, s.URL); !strings.Contains(log, "WARN") || !strings.Contains(log, "appendfsync=everysec") {
			t.Errorf("appendfsync everysec: %s", log)
		}
		// Services forbid CONFIG.
		must(t, c.ACLSetUser(t.Context(), "portico", "on", ">secret", "~{portico}:*", "+@all", "-config").Err())
		u := parse(t, s.URL)
		u.User = userOf("portico", "secret")
		if log := opened(t, u.String()); !strings.Contains(log, "WARN") || !strings.Contains(log, "appendfsync cannot be read") {
			t.Errorf("without CONFIG: %s", log)
		}
		must(t, c.ConfigSet(t.Context(), "appendonly", "no").Err())
		if log := opened(t, s.URL); !strings.Contains(log, "WARN") || !strings.Contains(log, "no append-only file") {
			t.Errorf("without an append-only file: %s", log)
		}
	}
}

// rights are the commands that docs/redis.md lists for a user of Portico's.
var rights = []string{
	"+eval", "+evalsha", "+info", "+hset", "+hget", "+hmget", "+hdel", "+hgetall", "+del",
	"+zadd", "+zrem", "+zcard", "+zcount", "+zlexcount", "+zrange", "+zrangebylex", "+zrangebyscore", "+zrank",
}

// allow gives the user sso these rights, and no others.
func allow(t testing.TB, c *goredis.Client, rules ...string) {
	t.Helper()
	must(t, c.ACLSetUser(t.Context(), "sso", append([]string{"reset", "on", ">p@ss:w/rd", "~{portico}:*"}, rules...)...).Err())
}

// TestUser opens as a user with no right but those that are documented, and then without any one of them.
func TestUser(t *testing.T) {
	if page, err := os.ReadFile("../../docs/redis.md"); err != nil || !strings.Contains(string(page), " "+strings.Join(rights, " ")+"\n") {
		t.Errorf("docs/redis.md lists other rights: %v", err)
	}
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) { leastRights(t, e) })
	}
}

func leastRights(t *testing.T, e engines.Engine) {
	s := start(t, e)
	c, ctx := client(t, s.URL), t.Context()
	u := parse(t, s.URL)
	u.User = userOf("sso", "p@ss:w/rd")
	allow(t, c, rights...)
	st := open(t, u.String(), things)
	must(t, st.Commit(ctx, store.Insert("things", thing("1")), store.Insert("codes", store.Doc{ID: "1", ExpiresAt: time.Now().Add(-time.Hour)})))
	if n, err := st.Sweep(ctx, 10); n != 1 || err != nil {
		t.Errorf("sweep: %d, %v", n, err)
	}
	for i, right := range rights {
		allow(t, c, slices.Delete(slices.Clone(rights), i, i+1)...)
		must(t, c.ScriptFlush(ctx).Err()) // or EVAL is not needed
		refused(t, "without "+right, u.String(), "lacks a right", "docs/redis.md")
	}
	must(t, c.ACLSetUser(ctx, "sso", append([]string{"reset", "on", ">p@ss:w/rd", "~{other}:*"}, rights...)...).Err())
	refused(t, "other keys", u.String(), "NOPERM")

	other := strings.Replace(u.String(), "/0", "/1", 1)
	allow(t, c, rights...)
	refused(t, "another database without +select", other, "lacks a right", "docs/redis.md")
	allow(t, c, append(slices.Clone(rights), "+select")...)
	opened(t, other)

	u.User = userOf("sso", "wrong")
	refused(t, "a wrong password", u.String(), "WRONGPASS", "correct those of the URL")
	must(t, c.ConfigSet(ctx, "requirepass", "top").Err())
	refused(t, "no password", s.URL, "NOAUTH", "write it into the URL")
	u.User = userOf("", "top")
	opened(t, u.String())
}

// TestLostRight takes rights away while a program serves: nothing is half written.
func TestLostRight(t *testing.T) {
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) { lostRight(t, e) })
	}
}

func lostRight(t testing.TB, e engines.Engine) {
	s := start(t, e)
	c, ctx := client(t, s.URL), t.Context()
	u := parse(t, s.URL)
	u.User = userOf("sso", "p@ss:w/rd")
	allow(t, c, rights...)
	st := open(t, u.String(), things)
	must(t, st.Commit(ctx, store.Insert("things", thing("1")), store.Insert("things", thing("3"))))
	changed := thing("1")
	changed.Keys = map[string]string{"kind": "other"}
	ops := []store.Op{store.Insert("things", thing("2")), store.Update("things", changed), store.Delete("things", thing("3"))}
	for i, right := range rights {
		if !slices.Contains([]string{"+hset", "+zadd", "+zrem", "+del"}, right) {
			continue
		}
		allow(t, c, slices.Delete(slices.Clone(rights), i, i+1)...)
		if err := st.Commit(ctx, ops...); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a commit without %s: %v", right, err)
		}
		allow(t, c, rights...)
		if _, err := st.Get(ctx, "things", "2"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("without %s a document is half written: %v", right, err)
		}
		if docs, err := st.Range(ctx, "things", store.Range{Index: "by_kind", Eq: []string{"k"}}); err != nil || len(docs) != 2 || docs[0].Version != 1 {
			t.Errorf("without %s a commit is half made: %v, %v", right, docs, err)
		}
	}
	must(t, st.Commit(ctx, ops...))
}

// TestDown opens a server that is not there, which may come.
func TestDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	must(t, l.Close())
	if _, err := tryOpen(t, "redis://"+addr, things); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), addr) {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestRefusedWrites puts a server into states in which it takes no writes, or none but removals: each is told as an outage,
// nothing is half written, and all is well again when it ends.
func TestRefusedWrites(t *testing.T) {
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) { refusedWrites(t, e) })
	}
}

func refusedWrites(t testing.TB, e engines.Engine) {
	s := start(t, e, "--enable-protected-configs", "yes")
	c, ctx := client(t, s.URL), t.Context()
	st := open(t, s.URL, things)
	must(t, st.Commit(ctx, store.Insert("things", thing("1")), store.Insert("codes", store.Doc{ID: "1", ExpiresAt: time.Now().Add(-time.Hour)})))
	for _, state := range []struct {
		name, code    string
		begin, end    func() error
		reads, sweeps bool
	}{
		{
			"out of memory", "OOM",
			func() error { return c.ConfigSet(ctx, "maxmemory", "1").Err() },
			func() error { return c.ConfigSet(ctx, "maxmemory", "0").Err() }, true, true,
		},
		{
			"too few replicas", "NOREPLICAS",
			func() error { return c.ConfigSet(ctx, "min-replicas-to-write", "1").Err() },
			func() error { return c.ConfigSet(ctx, "min-replicas-to-write", "0").Err() }, false, false,
		},
		{
			"made a replica", "READONLY",
			func() error { return c.ReplicaOf(ctx, "127.0.0.1", "1").Err() },
			func() error { return c.ReplicaOf(ctx, "no", "one").Err() }, false, false,
		},
		{
			"cannot save", "MISCONF",
			func() error { return failToSave(ctx, c) },
			func() error { return c.ConfigSet(ctx, "stop-writes-on-bgsave-error", "no").Err() }, false, false,
		},
	} {
		must(t, state.begin())
		err := st.Commit(ctx, store.Update("things", thing("1")), store.Insert("things", thing("2")))
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain) || !strings.Contains(err.Error(), state.code) {
			t.Errorf("%s: commit: %v, want ErrUnavailable with %s", state.name, err, state.code)
		}
		_, err = st.Range(ctx, "things", store.Range{Index: "by_kind"})
		if state.reads && err != nil || !state.reads && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: range: %v", state.name, err)
		}
		if ping := st.Ping(ctx); (ping == nil) != (err == nil) {
			t.Errorf("%s: ping says %v and a range %v", state.name, ping, err)
		}
		if n, err := st.Sweep(ctx, 10); state.sweeps && (n != 1 || err != nil) || !state.sweeps && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: sweep: %d, %v", state.name, n, err)
		}
		must(t, state.end())
		count(t, st, "things", 1)
		d, err := st.Get(ctx, "things", "1")
		if err != nil {
			t.Fatalf("%s: afterwards: %v", state.name, err)
		}
		if err := st.Commit(ctx, store.Check("things", d)); err != nil || d.Version != 1 {
			t.Errorf("%s: afterwards: version %d, %v", state.name, d.Version, err)
		}
	}
	must(t, st.Commit(ctx, store.Update("things", thing("1")), store.Insert("things", thing("2"))))
}

// failToSave has the server try a snapshot where it cannot be written, after which it refuses writes.
func failToSave(ctx context.Context, c *goredis.Client) error {
	for _, set := range [][2]string{{"save", "3600 1"}, {"stop-writes-on-bgsave-error", "yes"}} {
		if err := c.ConfigSet(ctx, set[0], set[1]).Err(); err != nil {
			return err
		}
	}
	dir, err := c.ConfigGet(ctx, "dir").Result()
	if err != nil {
		return err
	}
	if err := c.ConfigSet(ctx, "dir", "/proc").Err(); err != nil {
		return err
	}
	if err := c.BgSave(ctx).Err(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		info, err := c.InfoMap(ctx, "persistence").Result()
		if err != nil {
			return err
		}
		if info["Persistence"]["rdb_bgsave_in_progress"] == "0" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.Join(ctx.Err(), c.ConfigSet(ctx, "dir", dir["dir"]).Err())
}

// TestStartWhenFull starts a program on a server whose memory is full: what it sweeps and removes makes room.
func TestStartWhenFull(t *testing.T) {
	s, ctx := start(t, engines.Redis), t.Context()
	c, st := client(t, s.URL), open(t, s.URL, things)
	must(t, st.Commit(ctx, store.Insert("things", thing("1")), store.Insert("codes", store.Doc{ID: "1", ExpiresAt: time.Now().Add(-time.Hour)})))
	must(t, c.ConfigSet(ctx, "maxmemory", "1").Err())
	if log := opened(t, s.URL); !strings.Contains(log, "WARN") || !strings.Contains(log, "full") {
		t.Errorf("the log says: %s", log)
	}
	st = open(t, s.URL, things)
	if n, err := st.Sweep(ctx, 10); n != 1 || err != nil {
		t.Errorf("sweep: %d, %v", n, err)
	}
	must(t, st.Commit(ctx, store.Delete("things", thing("1"))))
}

// TestBusy has another's script hold the server.
func TestBusy(t *testing.T) {
	s := start(t, engines.Redis, "--lua-time-limit", "10")
	c, ctx := client(t, s.URL), t.Context()
	st := open(t, s.URL, things)
	held := make(chan error, 1)
	go func() { held <- c.Eval(context.WithoutCancel(ctx), "while true do end", nil).Err() }()
	killer := client(t, s.URL)
	for killer.Ping(ctx).Err() == nil { // until it says BUSY
		time.Sleep(5 * time.Millisecond)
	}
	if err := st.Commit(ctx, store.Insert("things", thing("1"))); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "BUSY") {
		t.Errorf("commit: %v", err)
	}
	must(t, killer.ScriptKill(ctx).Err())
	<-held
	count(t, st, "things", 0)
	must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
}

// TestForgottenScripts has the server forget the scripts, as a restart and a failover do.
func TestForgottenScripts(t *testing.T) {
	u, ctx := engines.Fresh(t, engines.Redis), t.Context()
	st, c := open(t, u, things), client(t, u)
	must(t, c.ScriptFlush(ctx).Err())
	must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
	must(t, c.ScriptFlush(ctx).Err())
	count(t, st, "things", 1)
}

// TestEmptied has all data vanish under a program, as on a server that keeps nothing over a restart: it goes on.
func TestEmptied(t *testing.T) {
	s, ctx := start(t, engines.Redis), t.Context()
	st := open(t, s.URL, things)
	must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
	must(t, s.Restart())
	count(t, st, "things", 0)
	must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
	count(t, st, "things", 1)
}

// TestForeignKeys finds keys of another kind where ours belong: an error, and nothing is half written.
func TestForeignKeys(t *testing.T) { foreignKeys(t) }

func foreignKeys(t testing.TB) {
	u, ctx := engines.Fresh(t, engines.Redis), t.Context()
	st, c := open(t, u, things), client(t, u)
	root := "{" + parse(t, u).Query().Get("prefix") + "}:"
	must(t, st.Commit(ctx, store.Insert("things", thing("1"))))
	for _, key := range []string{"d:things:2", "d:codes:2", "i:things:by_kind", "i:codes:", "e:codes"} {
		dump, _ := c.Dump(ctx, root+key).Result()
		must(t, c.Del(ctx, root+key).Err())
		must(t, c.Set(ctx, root+key, "foreign", 0).Err())
		err := st.Commit(ctx, store.Insert("things", thing("2")), store.Insert("codes", store.Doc{ID: "2", ExpiresAt: time.Now().Add(time.Hour)}))
		if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || errors.Is(err, store.ErrUncertain) {
			t.Errorf("%s: %v", key, err)
		}
		must(t, c.Del(ctx, root+key).Err())
		if dump != "" {
			must(t, c.Restore(ctx, root+key, 0, dump).Err())
		}
		count(t, st, "things", 1)
		count(t, st, "codes", 0)
		if docs, err := st.Range(ctx, "things", store.Range{Index: "by_name"}); err != nil || len(docs) != 1 {
			t.Errorf("%s: by name there are %v, %v", key, docs, err)
		}
	}
	must(t, st.Commit(ctx, store.Insert("things", thing("2"))))
}
