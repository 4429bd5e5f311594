package databases

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/internal/engines"
)

// TestStartBeforeTheDatabase starts an instance while its database does not answer: it says so, tries again after longer
// and longer pauses, and serves when the database does.
func TestStartBeforeTheDatabase(t *testing.T) {
	eachServer(t, func(t *testing.T, s setup) {
		records, sessions := s.fresh(t)
		p := engines.NewProxy(t, address(t, records))
		p.Refuse(true)
		i := begin(t, settings(p.URL(records), sessions))
		for until := time.Now().Add(patience); strings.Count(i.log(), "trying again") < 4; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("it does not try again:\n%s", i.log())
			}
		}
		for _, text := range []string{"the database does not answer; trying again", "variable=PORTICO_DATABASE_URL", "pause=250ms", "pause=500ms", "pause=1s", "pause=2s"} {
			if !strings.Contains(i.log(), text) {
				t.Errorf("no %q in:\n%s", text, i.log())
			}
		}
		p.Refuse(false)
		i.serving()
		i.ready(t)
	})
}

// TestStartWithoutTheDatabase starts where nobody listens: after a minute an instance gives up and says what to look at.
func TestStartWithoutTheDatabase(t *testing.T) {
	if !long {
		t.Skip("it takes a minute; PORTICO_TEST_LONG=1 runs it")
	}
	for _, scheme := range []string{"postgres", "mysql", "redis", "mongodb"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			p := launch(t, t.TempDir(), settings(scheme+"://portico:planted-secret@127.0.0.1:1/1", ""), "serve")
			code, said := p.wait(t), p.stderr.String()
			if code != 1 || !strings.Contains(said, "the database of PORTICO_DATABASE_URL cannot be opened: it did not answer for 1m0s; is it running, and is the address right?") ||
				strings.Count(said, "trying again") < 5 || strings.Contains(said, "planted-secret") {
				t.Errorf("exit code %d after %s: %s", code, time.Since(began), said)
			}
			t.Logf("gave up after %s and %d tries", time.Since(began).Round(time.Second), 1+strings.Count(said, "trying again"))
		})
	}
}

func address(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestStartWithAWrongURL starts with what no waiting helps: the reason and the cure are told at once.
func TestStartWithAWrongURL(t *testing.T) {
	change := func(t *testing.T, text string, change func(*url.URL)) string {
		t.Helper()
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		return u.String()
	}
	const secret = "planted-secret"
	wrong := map[string]struct {
		change func(*url.URL)
		sql    string // what SQL servers are told to say
		redis  string // and Redis
	}{
		"password": {func(u *url.URL) { u.User = url.UserPassword("portico", secret) }, "user and password", "password"},
		"user":     {func(u *url.URL) { u.User = url.UserPassword("somebody", secret) }, "user and password", "password"},
		"database": {func(u *url.URL) { u.Path = "/9999" }, "there is no database 9999", "DB index is out of range"},
	}
	for _, e := range []engines.Engine{engines.Postgres, engines.Postgres18, engines.MariaDB, engines.MySQL, engines.Redis, engines.Valkey} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			fresh := engines.Fresh(t, e)
			if e == engines.Redis || e == engines.Valkey { // the shared one wants no password
				s := engines.Start(t, e, engines.Options{})
				c := redis.NewClient(&redis.Options{Addr: s.Addr})
				defer func() { _ = c.Close() }()
				if err := c.ConfigSet(t.Context(), "requirepass", "right").Err(); err != nil {
					t.Fatal(err)
				}
				fresh = change(t, s.URL, func(u *url.URL) { u.User = url.UserPassword("default", "right") })
			}
			for name, c := range wrong {
				for _, variable := range []string{"PORTICO_DATABASE_URL", "PORTICO_SESSION_URL"} {
					env := settings(fresh, "")
					p := launch(t, t.TempDir(), append(env, variable+"="+change(t, fresh, c.change)), "serve")
					code, said := p.wait(t), p.stderr.String()
					want := c.sql
					if e == engines.Redis || e == engines.Valkey {
						want = c.redis
					}
					if code != 1 || !strings.Contains(said, variable) || !strings.Contains(said, want) || strings.Contains(said, "trying again") || strings.Contains(said, secret) {
						t.Errorf("a wrong %s in %s, want %q: exit code %d: %s", name, variable, want, code, said)
					}
				}
			}
		})
	}
}

// TestStartOnAnEvictingRedis refuses a server that would throw documents away, with the cure.
func TestStartOnAnEvictingRedis(t *testing.T) {
	for _, e := range []engines.Engine{engines.Redis, engines.Valkey} {
		s := engines.Start(t, e, engines.Options{Args: []string{"--maxmemory-policy", "allkeys-lru"}})
		p := launch(t, t.TempDir(), settings(s.URL, ""), "serve")
		if code := p.wait(t); code != 1 || !strings.Contains(p.stderr.String(), "CONFIG SET maxmemory-policy noeviction") {
			t.Errorf("%s: exit code %d: %s", e, code, p.stderr.String())
		}
	}
}
