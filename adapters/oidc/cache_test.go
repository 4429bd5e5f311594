package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

const discoveryPath = "/.well-known/openid-configuration"

// rotate gives the provider a new key; the old one is published no more.
func (p *party) rotate() {
	p.t.Helper()
	k, err := federationtest.NewSigningKey("ES256")
	if err != nil {
		p.t.Fatal(err)
	}
	p.op.Change(func(s *federationtest.Script) { s.Key = k })
}

func TestKeysAreRememberedAndRenewed(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	for range 3 {
		p.accepted("a login")
	}
	served := func(want int, when string) {
		t.Helper()
		if n := p.op.Served("/jwks"); n != want {
			t.Errorf("%s: the keys were read %d times, want %d", when, n, want)
		}
	}
	served(1, "three logins")
	p.rotate() // moments after the keys were read
	p.accepted("a login after the key changed")
	served(2, "an unknown key")
	p.clock.move(5 * time.Second)
	p.rotate()
	p.accepted("a login after the key changed again")
	served(3, "another unknown key")
	p.clock.move(10 * time.Minute)
	p.accepted("a login ten minutes later")
	served(4, "keys that are not fresh any more")
}

// Rotation while a login is under way: the id token is signed with a key that was published after the keys were read.
func TestRotationMidFlight(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	p.accepted("a login")
	r := p.redemption() // the person is at the provider
	p.rotate()
	if _, err := p.Redeem(t.Context(), r); err != nil {
		t.Error(err)
	}
	old := p.op.Script().Key
	p.clock.move(time.Minute)
	p.op.Change(func(s *federationtest.Script) { // published next to the old one, under no id
		k := keyOf(t, "RS256")
		jwk := k.JWK()
		delete(jwk, "kid")
		s.Keys, s.Key = []federationtest.JWK{old.JWK(), jwk}, federationtest.SigningKey{Alg: "RS256", Key: k.Key}
	})
	p.accepted("a key without id")
	p.clock.move(time.Minute)
	stranger := federationtest.SigningKey{ID: old.ID, Alg: "ES256", Key: another(t)}
	p.op.Change(func(s *federationtest.Script) { s.Keys, s.Key = nil, stranger }) // another key under the same id
	p.accepted("a key under a used id")
	p.op.Change(func(s *federationtest.Script) { s.Key = old; s.Keys = []federationtest.JWK{stranger.JWK()} })
	p.clock.move(time.Minute)
	c, err := p.redeem()
	refused(t, "a key that was withdrawn", federation.OIDCSignature, c, err)
}

// Tokens with unknown keys make us ask the provider once in five seconds, not once for each.
func TestUnknownKeysDoNotFloodTheProvider(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	p.accepted("a login")
	p.op.Change(header("kid", "unknown"))
	for range 20 {
		c, err := p.redeem()
		refused(t, "an unknown key", federation.OIDCKey, c, err)
	}
	if n := p.op.Served("/jwks"); n != 2 {
		t.Errorf("the keys were read %d times, want 2", n)
	}
	p.clock.move(5 * time.Second)
	c, err := p.redeem()
	refused(t, "an unknown key", federation.OIDCKey, c, err)
	if n := p.op.Served("/jwks"); n != 3 {
		t.Errorf("the keys were read %d times, want 3", n)
	}
}

func TestStaleIfError(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	p.accepted("a login")
	broken := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/jwks" || r.URL.Path == discoveryPath {
			http.Error(w, "maintenance", http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	p.op.Change(func(s *federationtest.Script) { s.Intercept = broken })
	for _, later := range []time.Duration{11 * time.Minute, time.Hour, 22 * time.Hour} {
		p.clock.move(later)
		p.accepted(fmt.Sprint("what is published cannot be read since ", later))
	}
	before := p.op.Served("/jwks")
	for range 10 {
		p.accepted("a login during the outage")
	}
	if n := p.op.Served("/jwks"); n != before {
		t.Errorf("the keys were asked for %d times within five seconds of a failure", n-before)
	}
	p.clock.move(time.Hour)
	_, err := p.Discover(t.Context(), issuer)
	refused(t, "a day old", federation.OIDCUnreachable, federation.Claims{}, err)
	p.op.Change(func(s *federationtest.Script) { s.Intercept = nil })
	_, err = p.Discover(t.Context(), issuer)
	refused(t, "at once after a failure", federation.OIDCUnreachable, federation.Claims{}, err)
	p.clock.move(5 * time.Second)
	p.accepted("the provider is back")
}

// The keys' outage: logins go on with the known keys, and one with a new key fails until the keys can be read.
func TestKeysOutage(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	p.accepted("a login")
	p.op.Change(at("/jwks", 503, "text/plain", ""))
	p.accepted("known keys")
	p.rotate()
	c, err := p.redeem()
	refused(t, "a new key", federation.OIDCKey, c, err)
	p.op.Change(func(s *federationtest.Script) { s.Intercept = nil })
	p.clock.move(5 * time.Second)
	p.accepted("afterwards")
}

func TestSingleFlight(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	release, arrived := make(chan struct{}), atomic.Int32{}
	p.op.Change(func(s *federationtest.Script) {
		s.Intercept = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == discoveryPath {
				arrived.Add(1)
				<-release
			}
			return false
		}
	})
	var all sync.WaitGroup
	var failed atomic.Int32
	impatient, leave := context.WithCancel(t.Context())
	all.Go(func() { // whoever asks first may leave: the others still get their answer
		if _, err := p.Discover(impatient, issuer); err != nil {
			failed.Add(1)
		}
	})
	for arrived.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	for range 20 {
		all.Go(func() {
			if _, err := p.Discover(t.Context(), issuer); err != nil {
				failed.Add(1)
			}
		})
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Discover(gone, issuer)
	refused(t, "somebody who does not wait", federation.OIDCUnreachable, federation.Claims{}, err)
	close(release)
	all.Wait()
	if n := arrived.Load(); n != 1 || failed.Load() != 0 {
		t.Errorf("%d requests for one document, %d of 21 failed", n, failed.Load())
	}
}

// While one reads a document anew, the others go on with what is known.
func TestOthersDoNotWaitForARefresh(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	p.discover()
	p.clock.move(time.Hour)
	release, arrived := make(chan struct{}), make(chan struct{})
	p.op.Change(func(s *federationtest.Script) {
		s.Intercept = func(_ http.ResponseWriter, r *http.Request) bool {
			close(arrived)
			<-release
			return false
		}
	})
	var one sync.WaitGroup
	one.Go(func() { _, _ = p.Discover(t.Context(), issuer) })
	<-arrived
	p.discover()
	close(release)
	one.Wait()
}

// The cache is bounded: the provider that was asked for longest ago makes room.
func TestCacheIsBounded(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	p.net.hosts["op.example"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := issuer + r.URL.Path[:len(r.URL.Path)-len(discoveryPath)]
		op, err := federationtest.NewOpenID(at, p.clock.Now, federationtest.Script{Key: keyOf(t, "ES256")})
		if err != nil {
			t.Error(err)
			return
		}
		asked.Add(1)
		r.URL.Path = discoveryPath
		op.ServeHTTP(w, r)
	})
	asked.Store(0)
	look := func(n int) {
		t.Helper()
		p.clock.move(time.Millisecond)
		if _, err := p.Discover(t.Context(), fmt.Sprint(issuer, "/", n)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 1024 {
		look(n)
	}
	look(0)
	look(1024) // takes the place of 1
	look(0)
	if n := asked.Load(); n != 1025 {
		t.Errorf("%d documents were read, want 1025", n)
	}
	look(1)
	if n := asked.Load(); n != 1026 {
		t.Errorf("%d documents were read, want 1026: the oldest one is still there", n)
	}
}

var asked atomic.Int32
