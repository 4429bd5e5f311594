package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var (
	quiet = store.DriverOptions{Logger: slog.New(slog.DiscardHandler)}
	both  = []engines.Engine{engines.Redis, engines.Valkey}
)

func TestConformance(t *testing.T) {
	for _, e := range both {
		t.Run(string(e), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Open {
				u := parse(t, engines.Fresh(t, e))
				return func(ctx context.Context, s store.Schema) (store.Backend, error) {
					return redis.Driver.Open(ctx, u, s, quiet)
				}
			})
		})
	}
}

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// with is a URL with further parameters, name and value in turn.
func with(t testing.TB, text string, parameters ...string) string {
	t.Helper()
	u := parse(t, text)
	q := u.Query()
	for i := 0; i < len(parameters); i += 2 {
		q.Set(parameters[i], parameters[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func tryOpen(t testing.TB, text string, s store.Schema) (*store.Store, error) {
	t.Helper()
	b, err := driver(t).Open(t.Context(), parse(t, text), s, quiet)
	if err != nil {
		return nil, err
	}
	st, err := store.New(b, s, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st, nil
}

func open(t testing.TB, text string, s store.Schema) *store.Store {
	t.Helper()
	st, err := tryOpen(t, text, s)
	if err != nil {
		t.Fatal(err)
	}
	must(t, st.Migrate(t.Context()))
	return st
}

// client is a plain client of the server of a URL.
func client(t testing.TB, text string) *goredis.Client {
	t.Helper()
	u := parse(t, text)
	u.RawQuery = ""
	o, err := goredis.ParseURL(u.String())
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// start runs a server of the test's own that keeps nothing on disk.
func start(t testing.TB, e engines.Engine, args ...string) *engines.Server {
	t.Helper()
	return engines.Start(t, e, engines.Options{Fast: true, Args: args})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var things = store.Schema{
	{Name: "things", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}, {Name: "by_kind", Fields: []string{"kind"}}}},
	{Name: "codes", Expires: true, Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}},
}

func thing(id string) store.Doc {
	return store.Doc{ID: id, Version: 1, Body: []byte("{}"), Keys: map[string]string{"name": "n" + id, "kind": "k"}}
}

func count(t testing.TB, s *store.Store, collection string, want int64) {
	t.Helper()
	if n, err := s.Count(t.Context(), collection, store.Range{}); n != want || err != nil {
		t.Errorf("%s: %d documents, %v, want %d", collection, n, err, want)
	}
}

// TestPrefixes holds that databases of one server are apart, whatever ids and prefixes look like.
func TestPrefixes(t *testing.T) {
	base, ctx := engines.Fresh(t, engines.Redis), t.Context()
	prefix := parse(t, base).Query().Get("prefix")
	a, ab := open(t, base, things), open(t, with(t, base, "prefix", prefix+"-b"), things)
	ids := []string{"1", ":", "}", "{", "}:d:things:1", "i:things:", "*", "[1]", "?", "schema", "{" + prefix + "-b}:d:things:1", " ", "\n", "\r\n$1\r\n"}
	for _, id := range ids {
		must(t, a.Commit(ctx, store.Insert("things", thing(id)), store.Insert("codes", store.Doc{ID: id})))
	}
	count(t, a, "things", int64(len(ids)))
	count(t, ab, "things", 0)
	for _, id := range ids {
		if d, err := a.Get(ctx, "things", id); err != nil || d.Keys["name"] != "n"+id {
			t.Errorf("get %q: %v, %v", id, d, err)
		}
		if _, err := ab.Get(ctx, "things", id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q of another prefix: %v", id, err)
		}
		must(t, ab.Commit(ctx, store.Insert("things", thing(id))))
		must(t, a.Commit(ctx, store.Delete("things", thing(id))))
	}
	count(t, a, "things", 0)
	count(t, a, "codes", int64(len(ids)))
	count(t, ab, "things", int64(len(ids)))
	// What is deleted leaves nothing behind.
	for _, id := range ids {
		must(t, a.Commit(ctx, store.Delete("codes", store.Doc{ID: id, Version: 1})))
	}
	keys, err := client(t, base).Keys(ctx, "{"+prefix+"}*").Result()
	if err != nil || len(keys) != 1 || keys[0] != "{"+prefix+"}:schema" {
		t.Errorf("keys of an empty database: %q, %v", keys, err)
	}
}

// TestLargeNumbers holds that versions are compared exactly: scripts know no integers beyond 2^53.
func TestLargeNumbers(t *testing.T) { largeNumbers(t) }

func largeNumbers(t testing.TB) {
	u, ctx := engines.Fresh(t, engines.Redis), t.Context()
	s, c := open(t, u, things), client(t, u)
	must(t, s.Commit(ctx, store.Insert("things", thing("1"))))
	key := "{" + parse(t, u).Query().Get("prefix") + "}:d:things:1"
	m, err := c.HGet(ctx, key, "m").Result()
	must(t, err)
	const large = 1<<53 + 1
	must(t, c.HSet(ctx, key, "m", strings.Replace(m, "1 ", fmt.Sprint(large)+" ", 1)).Err())
	d, err := s.Get(ctx, "things", "1")
	if err != nil || d.Version != large {
		t.Fatalf("get: %v, %v", d, err)
	}
	for _, version := range []int64{large - 1, large + 1} {
		d.Version = version
		for _, op := range []store.Op{store.Update("things", d), store.Check("things", d), store.Delete("things", d)} {
			if err := s.Commit(ctx, op); !errors.Is(err, store.ErrConflict) {
				t.Errorf("version %d for %d: %v", version, int64(large), err)
			}
		}
	}
	d.Version = large
	must(t, s.Commit(ctx, store.Update("things", d)))
	if d, err = s.Get(ctx, "things", "1"); err != nil || d.Version != large+1 {
		t.Errorf("after an update: %d, %v, want %d", d.Version, err, int64(large+1))
	}
}

// TestExpiredCrowd counts and pages where much has expired that is not swept, and where little has, in parts of an index where
// it is more and less than what lives.
func TestExpiredCrowd(t *testing.T) { expiredCrowd(t) }

func expiredCrowd(t testing.TB) {
	for _, few := range []bool{false, true} {
		s := open(t, engines.Fresh(t, engines.Redis), store.Schema{{Name: "codes", Expires: true, Indexes: []store.Index{{Name: "by_owner", Fields: []string{"owner", "at"}}}}})
		live := map[string][]string{}
		var ops []store.Op
		for i := range 450 {
			owner := []string{"ann", "bob", "cid"}[i%3]
			d := store.Doc{ID: fmt.Sprintf("%03d", i), Keys: map[string]string{"owner": owner, "at": fmt.Sprintf("%03d", i*7%450)}, ExpiresAt: time.Now().Add(time.Hour)}
			// Few are some of all, together at places; many are most of bob's and all of cid's.
			if few && i*7%450%40 < 3 || !few && (owner == "ann" && i%30 == 0 || owner == "bob" && i%10 > 0 || owner == "cid") {
				d.ExpiresAt = time.Now().Add(-time.Duration(i*i%97+1) * time.Minute) // in another order than in the index
			} else {
				live[owner] = append(live[owner], d.Keys["at"]+d.ID)
			}
			ops = append(ops, store.Insert("codes", d))
		}
		must(t, s.Commit(t.Context(), ops...))
		var all []string
		for _, owner := range []string{"ann", "bob", "cid"} {
			all = append(all, sorted(live[owner])...)
			checkPages(t, s, store.Range{Index: "by_owner", Eq: []string{owner}}, sorted(live[owner]))
		}
		checkPages(t, s, store.Range{Index: "by_owner"}, all)
		checkPages(t, s, store.Range{Index: "by_owner", Eq: []string{"ann"}, From: "200", To: "400"}, between(sorted(live["ann"]), "200", "400"))
	}
}

// TestSameTexts takes one text for keys of several indexes and collections in one commit: they are different keys.
func TestSameTexts(t *testing.T) { sameTexts(t) }

func sameTexts(t testing.TB) {
	s := open(t, engines.Fresh(t, engines.Redis), store.Schema{
		{Name: "a", Indexes: []store.Index{{Name: "by_x", Fields: []string{"x"}, Unique: true}, {Name: "by_y", Fields: []string{"y"}, Unique: true}}},
		{Name: "b", Indexes: []store.Index{{Name: "by_x", Fields: []string{"x"}, Unique: true}}},
	})
	same := map[string]string{"x": "same", "y": "same"}
	must(t, s.Commit(t.Context(), store.Insert("a", store.Doc{ID: "same", Keys: same}), store.Insert("b", store.Doc{ID: "same", Keys: map[string]string{"x": "same"}})))
}

// TestLargeSweep sweeps more than one script does.
func TestLargeSweep(t *testing.T) {
	s := open(t, engines.Fresh(t, engines.Redis), things)
	for i := range 3 {
		var ops []store.Op
		for j := range 500 {
			ops = append(ops, store.Insert("codes", store.Doc{ID: fmt.Sprint(i, j), ExpiresAt: time.Now().Add(-time.Minute)}))
		}
		must(t, s.Commit(t.Context(), ops...))
	}
	for _, want := range []int{1100, 400, 0} {
		if n, err := s.Sweep(t.Context(), 1100); n != want || err != nil {
			t.Errorf("sweep of at most 1100: %d, %v, want %d", n, err, want)
		}
	}
}

// TestTakenOver holds that who takes an expired document's key removes it: another's clock may be behind.
func TestTakenOver(t *testing.T) { takenOver(t) }

func takenOver(t testing.TB) {
	b, err := driver(t).Open(t.Context(), parse(t, engines.Fresh(t, engines.Redis)), things, quiet)
	must(t, err)
	defer b.Close()
	now := time.Now().Truncate(time.Millisecond)
	first := store.Doc{ID: "1", Keys: map[string]string{"name": "n"}, ExpiresAt: now.Add(time.Minute)}
	second := store.Doc{ID: "2", Keys: map[string]string{"name": "n"}, ExpiresAt: now.Add(time.Hour)}
	must(t, b.Commit(t.Context(), now, []store.Op{store.Insert("codes", first)}))
	must(t, b.Commit(t.Context(), now.Add(time.Minute), []store.Op{store.Insert("codes", second)}))
	docs, err := b.Range(t.Context(), now, "codes", store.Range{Index: "by_name", Eq: []string{"n"}, Limit: 10})
	if err != nil || len(docs) != 1 || docs[0].ID != "2" {
		t.Errorf("who holds the key: %v, %v", docs, err)
	}
}

func userOf(name, password string) *url.Userinfo { return url.UserPassword(name, password) }
