// Package oidc is the relying-party side of OpenID Connect, for the authorization code flow alone: discovery, keys, the
// token request, the id token and userinfo. Signatures and keys are go-jose's; what surrounds them is our own, because it
// asks servers that tenants choose, for people who wait: docs/decisions/0004 says more.
//
// References are to OpenID Connect Core 1.0 and Discovery 1.0 (with errata set 2), and to RFCs.
package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/outbound"
)

// Options are what a RelyingParty is made of. All are required.
type Options struct {
	Fetch outbound.Fetcher // reads what providers publish
	Send  outbound.Sender  // asks their token and userinfo endpoints
	Now   func() time.Time
}

const (
	fetchTimeout  = 5 * time.Second  // of one document that a provider publishes
	redeemTimeout = 10 * time.Second // of everything that a login asks of its provider
	maxWaiting    = 128              // logins that wait for one provider's host at a time
	maxKeySet     = 256 << 10        // bytes
	maxTokens     = 512 << 10        // bytes of a token response
	maxUserinfo   = 512 << 10        // bytes
)

// RelyingParty implements federation.OIDC.
type RelyingParty struct {
	Options
	providers *cache[federation.OpenIDProvider]
	keys      *cache[keySet]

	mu      sync.Mutex
	waiting map[string]int // logins under way, by host of the token endpoint
}

var _ federation.OIDC = (*RelyingParty)(nil)

// New makes a relying party that remembers nothing yet.
func New(o Options) *RelyingParty {
	return &RelyingParty{Options: o, providers: newCache[federation.OpenIDProvider](o.Now), keys: newCache[keySet](o.Now),
		waiting: map[string]int{}}
}

func refuse(code federation.OIDCCode, detail string) *federation.OIDCError {
	return &federation.OIDCError{Code: code, Detail: detail}
}

// failed gives an error of the outbound port its code. what names the endpoint.
func failed(what string, err error) *federation.OIDCError {
	e := &federation.OIDCError{Code: federation.OIDCUnreachable, Detail: "the " + what + " does not answer", Err: err}
	var status *outbound.StatusError
	switch {
	case errors.Is(err, outbound.ErrForbidden):
		e.Code, e.Detail = federation.OIDCForbidden, "the "+what+" has an address that is not allowed"
	case errors.Is(err, outbound.ErrTooLarge):
		e.Code, e.Detail = federation.OIDCTooLarge, "the "+what+" answers too much"
	case errors.As(err, &status) && !outage(status.Code):
		e.Code, e.Detail = federation.OIDCMetadata, "the "+what+" is not there"
	}
	return e
}

// outage reports whether a status says that a server cannot answer now.
func outage(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

// enter counts a login in at its provider's host, and leave counts it out: a provider that does not answer must not take
// the connections of all others.
func (p *RelyingParty) enter(endpoint string) (leave func(), err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, refuse(federation.OIDCMetadata, "the token endpoint is no URL")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[u.Host] >= maxWaiting {
		return nil, refuse(federation.OIDCBusy, "too many logins wait for the provider")
	}
	p.waiting[u.Host]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting[u.Host]--; p.waiting[u.Host] == 0 {
			delete(p.waiting, u.Host)
		}
	}, nil
}

// Redeem implements federation.OIDC.
func (p *RelyingParty) Redeem(ctx context.Context, r federation.Redemption) (federation.Claims, error) {
	var none federation.Claims
	leave, err := p.enter(r.Provider.TokenEndpoint)
	if err != nil {
		return none, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, redeemTimeout)
	defer cancel()
	t, err := p.exchange(ctx, r)
	if err != nil {
		return none, err
	}
	idToken, err := p.verifyIDToken(ctx, r, t)
	if err != nil {
		return none, err
	}
	c := federation.Claims{IDToken: idToken}
	c.Issuer, _ = idToken.text("iss")
	c.Subject, _ = idToken.text("sub")
	c.AuthTime, _, _ = idToken.instant("auth_time") // was read before
	if r.Provider.UserinfoEndpoint == "" {
		return c, nil
	}
	if c.Userinfo, err = p.userinfo(ctx, r, t.access, c.Subject); err != nil {
		return none, err
	}
	return c, nil
}
