package e2e

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// TestSessionsOnRedis runs the advertised set-up, as its documentation says: records on SQLite, logins, codes and tokens on
// Redis, here on two instances of the program.
func TestSessionsOnRedis(t *testing.T) {
	for _, e := range []engines.Engine{engines.Redis, engines.Valkey} {
		t.Run(string(e), func(t *testing.T) {
			redis := engines.Start(t, e, engines.Options{}) // appendfsync always
			dir := t.TempDir()
			env := []string{"PORTICO_ADMIN_KEYS=" + adminKey, "PORTICO_CLIENT_SECRET_VERIFIER=" + sharedKey, "PORTICO_SESSION_URL=" + redis.URL,
				"PORTICO_PUBLIC_URL=http://sso.example"}
			refused := launch(t, dir, env, "serve")
			if code := refused.wait(); code == 0 || !strings.Contains(refused.stderr.String(), "portico migrate") {
				t.Fatalf("before migrating: exit code %d: %s", code, refused.stderr.String())
			}
			if migrated := launch(t, dir, env, "migrate"); migrated.wait() != 0 {
				t.Fatalf("migrate: %s", migrated.stderr.String())
			}
			one, two := launch(t, dir, env, "serve"), launch(t, dir, env, "serve")
			a, b := one.serving(), two.serving()
			a.http.CheckRedirect, b.http.CheckRedirect = stay, stay
			idp := newIdP(t, "https://idp.example/redis-"+string(e))
			a.connect(idp, nil)

			t.Run("a login goes from one instance to the other", func(t *testing.T) { loginAcross(t, a, b, idp) })
			t.Run("one code, one winner", func(t *testing.T) {
				code := a.code(idp, polisClient(nil))
				if won := race(40, func(i int) bool { return []*program{a, b}[i%2].redeem(code, nil).StatusCode == http.StatusOK }); won != 1 {
					t.Errorf("%d of 40 redeemed one code", won)
				}
			})
			t.Run("Redis is lost and comes back", func(t *testing.T) { outage(t, a, b, idp, redis) })
			one.stop()
			two.stop()
			for _, p := range []*process{one, two} {
				if log := p.stderr.String(); strings.Contains(log, "panic") || strings.Contains(log, "code=internal") {
					t.Errorf("logged: %s", log)
				}
			}
		})
	}
}

func loginAcross(t *testing.T, a, b *program, idp *federationtest.IdP) {
	request := a.begin(polisClient(nil))
	code := b.acs(b.respond(idp, request, nil), request.RelayState).location().Query().Get("code")
	token := a.redeem(code, nil)
	access, _ := token.json(t)["access_token"].(string)
	if info := b.userinfo(access); token.StatusCode != http.StatusOK || info.StatusCode != http.StatusOK || info.json(t)["email"] != alice.Email {
		t.Errorf("token: %s %s, userinfo: %s %s", token.Status, token.body, info.Status, info.body)
	}
	if again := b.redeem(code, nil); again.StatusCode == http.StatusOK {
		t.Errorf("a code is redeemed twice: %s", again.body)
	}
	if info := a.userinfo(access); info.StatusCode == http.StatusOK { // RFC 6749 §4.1.2
		t.Errorf("the token of a code that was replayed: %s", info.Status)
	}
}

// race runs calls at once and counts those that won.
func race(n int, call func(i int) bool) int64 {
	var won atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if call(i) {
				won.Add(1)
			}
		})
	}
	all.Wait()
	return won.Load()
}

// outage kills Redis in the middle of a login: what was acknowledged is there afterwards, and meanwhile there are 503s alone.
func outage(t *testing.T, a, b *program, idp *federationtest.IdP, redis *engines.Server) {
	request := a.begin(polisClient(nil))
	code := a.code(idp, polisClient(nil))
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]answer{
		"authorize": a.get("/api/oauth/authorize?" + polisClient(nil).Encode()),
		"acs":       b.acs(b.respond(idp, request, nil), request.RelayState),
		"token":     b.redeem(code, nil),
		"userinfo":  a.userinfo("at_" + strings.Repeat("a", 43)),
		"readyz":    a.get("/readyz"),
	} {
		// An error of the authorization endpoint may go to the client by a redirection (RFC 6749 §4.1.2.1).
		redirected := got.StatusCode == http.StatusFound && got.location().Query().Get("error") == "temporarily_unavailable"
		if got.StatusCode != http.StatusServiceUnavailable && !redirected {
			t.Errorf("%s without Redis: %s %s %s", what, got.Status, got.Header.Get("Location"), got.body)
		}
		if !redirected && what != "readyz" && got.Header.Get("Retry-After") == "" {
			t.Errorf("%s without Redis: no Retry-After", what)
		}
	}
	if healthy := a.get("/healthz"); healthy.StatusCode != http.StatusOK {
		t.Errorf("healthz without Redis: %s", healthy.Status)
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*program{a, b} {
		for until := time.Now().Add(time.Minute); p.get("/readyz").StatusCode != http.StatusOK; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("Redis is back, and an instance does not find it")
			}
		}
	}
	if token := b.redeem(code, nil); token.StatusCode != http.StatusOK {
		t.Errorf("a code of before: %s %s", token.Status, token.body)
	}
	if done := b.acs(b.respond(idp, request, nil), request.RelayState); done.location().Query().Get("code") == "" {
		t.Errorf("a login of before: %s %s", done.Status, done.body)
	}
}
