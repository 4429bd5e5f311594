package oidc

import (
	"context"
	"mime"
	"net/http"
	"unicode/utf8"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/outbound"
)

// userinfo asks who an access token stands for (Core §5.3): a JSON object, or a JWT that is verified as the id token is.
func (p *RelyingParty) userinfo(ctx context.Context, r federation.Redemption, access, subject string) (object, error) {
	a, err := p.Send.Send(ctx, outbound.Request{Method: http.MethodGet, URL: r.Provider.UserinfoEndpoint, MaxBytes: maxUserinfo,
		Header: map[string]string{"Accept": "application/json, application/jwt", "Authorization": "Bearer " + access}})
	if err != nil {
		return nil, failed("userinfo endpoint", err)
	}
	switch {
	case outage(a.Status):
		return nil, failed("userinfo endpoint", &outbound.StatusError{Code: a.Status})
	case a.Status != http.StatusOK:
		return nil, refuse(federation.OIDCUserinfo, "the userinfo endpoint refused the access token")
	}
	c, err := p.readUserinfo(ctx, r, a)
	if err != nil {
		return nil, err
	}
	if sub, _ := c.text("sub"); sub != subject { // Core §5.3.2: else the access token could be somebody else's
		return nil, refuse(federation.OIDCSubject, "userinfo is about another person than the id token")
	}
	return c, nil
}

func (p *RelyingParty) readUserinfo(ctx context.Context, r federation.Redemption, a outbound.Answer) (object, error) {
	if kind, _, _ := mime.ParseMediaType(a.ContentType); kind != "application/jwt" {
		c, err := readObject(a.Body)
		if err != nil || !utf8.Valid(a.Body) {
			return nil, refuse(federation.OIDCMalformed, "userinfo is no JSON object")
		}
		return c, nil
	}
	token, err := p.verify(ctx, r, string(a.Body))
	if err != nil {
		return nil, err
	}
	if _, given := token.claims["iss"]; given {
		if err := checkIssuer(r.Provider.Issuer, token); err != nil {
			return nil, err
		}
	}
	if _, given := token.claims["aud"]; given {
		if err := checkAudience(r.Client.ID, token.claims); err != nil {
			return nil, err
		}
	}
	expires, given, err := token.claims.instant("exp")
	if err == nil && given && !p.Now().Before(expires.Add(r.Skew)) {
		err = refuse(federation.OIDCExpired, "userinfo has expired")
	}
	return token.claims, err
}
