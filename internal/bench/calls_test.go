package bench

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// TestLoginStoreCalls holds what a sign-in asks of the store: 10 calls at most, of which 3 are commits, where
// configuration is cached. It is believed for cache.TTL, so a person who comes alone, and takes longer than that at the
// identity provider, costs more than one in a crowd.
func TestLoginStoreCalls(t *testing.T) {
	for name, c := range map[string]struct {
		client              func(*program) client
		first, alone, crowd int64
	}{
		"application": {func(p *program) client { return p.application(true) }, 19, 17, 10},
		"polis":       {func(p *program) client { return p.polis(true) }, 16, 14, 10},
	} {
		p := startProgram(t, "NEVER")
		p.stopClock()
		client := c.client(p)
		expect := func(what string, pause time.Duration, want int64) {
			t.Helper()
			if calls, commits := p.cost(t, client, pause); calls != want || commits != 3 {
				t.Errorf("%s, %s: %d store calls, %d of them commits; want %d and 3", name, what, calls, commits, want)
			}
		}
		expect("first login", cache.TTL, c.first)
		expect("alone", cache.TTL, c.alone)
		p.signIn(t, client, person(0)) // fills the caches
		expect("in a crowd", 0, c.crowd)
	}
}

// cost counts the store calls of a login that waits before it begins and before its answer.
func (p *program) cost(t *testing.T, c client, pause time.Duration) (calls, commits int64) {
	t.Helper()
	reads, commits := p.reads.Load(), p.commits.Load()
	l := &login{program: p, client: c, person: person(0)}
	p.skip(pause)
	l.begin(t)
	l.answer(t)
	p.skip(pause)
	l.finish(t)
	commits = p.commits.Load() - commits
	return p.reads.Load() - reads + commits, commits
}

// TestUnaskedResponsesStoreCalls holds what somebody who posts responses to no request of ours asks of the store: nothing,
// once the provider's connections are known.
func TestUnaskedResponsesStoreCalls(t *testing.T) {
	p := startProgram(t, "NEVER")
	p.stopClock()
	response, err := p.idp.Response(federationtest.Response{ACS: publicURL + "/api/oauth/saml", Audience: "us", NameID: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{1, 0, 0} {
		before := p.reads.Load() + p.commits.Load()
		w := httptest.NewRecorder()
		p.ServeHTTP(w, post(t, "/api/oauth/saml", url.Values{"SAMLResponse": {response}}.Encode()))
		if to := w.Header().Get("Location"); to != "/error" {
			t.Fatalf("%d to %s", w.Code, to)
		}
		if got := p.reads.Load() + p.commits.Load() - before; got != want {
			t.Errorf("response %d: %d store calls, want %d", i+1, got, want)
		}
	}
}

func TestConcurrentLoginsNeverFail(t *testing.T) {
	signInTogether(t, startProgram(t, "NEVER"), 48)
}
