package oidc_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/oidc"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
	"github.com/portico-sso/portico/ports/outbound"
)

// wire is the network: servers by host, without sockets. One that is not there does not answer.
type wire struct {
	mu    sync.Mutex
	hosts map[string]http.Handler
}

func (n *wire) Fetch(ctx context.Context, address string, maxBytes int64) (outbound.Document, error) {
	a, err := n.Send(ctx, outbound.Request{Method: http.MethodGet, URL: address, MaxBytes: maxBytes})
	if err == nil && a.Status != http.StatusOK {
		err = &outbound.StatusError{Code: a.Status}
	}
	return outbound.Document{Body: a.Body, ContentType: a.ContentType}, err
}

func (n *wire) Send(ctx context.Context, q outbound.Request) (outbound.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return outbound.Answer{}, outbound.ErrForbidden
	}
	for name, value := range q.Header {
		r.Header.Set(name, value)
	}
	r.RequestURI = r.URL.RequestURI()
	n.mu.Lock()
	h := n.hosts[r.URL.Host]
	n.mu.Unlock()
	if h == nil {
		return outbound.Answer{}, outbound.ErrUnreachable
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if ctx.Err() != nil {
		return outbound.Answer{}, outbound.ErrUnreachable
	}
	if int64(w.Body.Len()) > q.MaxBytes {
		return outbound.Answer{}, outbound.ErrTooLarge
	}
	return outbound.Answer{Status: w.Code, ContentType: w.Header().Get("Content-Type"), Body: w.Body.Bytes()}, nil
}

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const (
	issuer   = "https://op.example"
	callback = "https://portico.example/callback"
	skew     = 3 * time.Minute
)

// party is a relying party, one provider, and what is between them.
type party struct {
	*oidc.RelyingParty
	t     testing.TB
	op    *federationtest.OpenIDProvider
	net   *wire
	clock *clock
}

func newParty(t testing.TB, s federationtest.Script) *party {
	t.Helper()
	return newPartyAt(t, issuer, s)
}

func newPartyAt(t testing.TB, issuer string, s federationtest.Script) *party {
	t.Helper()
	if s.Key.Alg == "" {
		s.Key = keyOf(t, "ES256")
	}
	p := &party{t: t, clock: &clock{now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}}
	var err error
	if p.op, err = federationtest.NewOpenID(issuer, p.clock.Now, s); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	p.net = &wire{hosts: map[string]http.Handler{u.Host: http.StripPrefix(u.Path, p.op)}}
	p.RelyingParty = oidc.New(oidc.Options{Fetch: p.net, Send: p.net, Now: p.clock.Now})
	return p
}

var (
	keysMu sync.Mutex
	keys   = map[string]federationtest.SigningKey{}
)

// keyOf is the one key of all tests for an algorithm.
func keyOf(t testing.TB, alg string) federationtest.SigningKey {
	t.Helper()
	keysMu.Lock()
	defer keysMu.Unlock()
	if k, ok := keys[alg]; ok {
		return k
	}
	k, err := federationtest.NewSigningKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	keys[alg] = k
	return k
}

func another(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (p *party) discover() federation.OpenIDProvider {
	p.t.Helper()
	provider, err := p.Discover(p.t.Context(), p.op.Issuer())
	if err != nil {
		p.t.Fatal(err)
	}
	return provider
}

// redemption is that of a login of the script's user, all in order.
func (p *party) redemption() federation.Redemption {
	p.t.Helper()
	s, provider := p.op.Script(), p.discover()
	q := federation.AuthorizationRequest{Provider: provider, ClientID: s.ClientID, RedirectURI: callback, Scopes: []string{"openid"},
		State: "the-state", Nonce: "the-nonce-of-this-login", Verifier: "a-verifier-of-this-login-that-is-long-enough-for-it"}
	a, err := p.op.ParseAuthorization(p.AuthorizationURL(q))
	if err != nil {
		p.t.Fatal(err)
	}
	return federation.Redemption{Provider: provider, Code: p.op.Code(a), RedirectURI: callback, Verifier: q.Verifier, Nonce: q.Nonce, Skew: skew,
		Client: federation.OpenIDClient{ID: s.ClientID, Secret: s.ClientSecret, Auth: federation.AuthMethod(s.Auth)}}
}

func (p *party) redeem() (federation.Claims, error) {
	p.t.Helper()
	return p.Redeem(p.t.Context(), p.redemption())
}

// accepted redeems, and wants the script's user.
func (p *party) accepted(what string) federation.Claims {
	p.t.Helper()
	c, err := p.redeem()
	if err != nil || c.Subject != p.op.Script().User["sub"] {
		p.t.Errorf("%s: %+v, %v", what, c, err)
	}
	return c
}

// refused wants an error of that code, and no claims beside it.
func refused(t *testing.T, what string, want federation.OIDCCode, c federation.Claims, err error) {
	t.Helper()
	var e *federation.OIDCError
	if !errors.As(err, &e) || e.Code != want || c.Subject != "" || c.IDToken != nil || c.Userinfo != nil {
		t.Errorf("%s: got %+v, %v, want a refusal %s", what, c, err, want)
	}
}
