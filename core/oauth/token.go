package oauth

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// TokenResponse is a successful answer of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"` // where it is not what was asked for
}

// Token answers a token request. Faults have a code of RFC 6749 §5.2: Invalid, or Unauthenticated for
// invalid_client; Unavailable.
func (s *Service) Token(ctx context.Context, form url.Values, c Credentials) (TokenResponse, error) {
	if err := singleValued(form, "resource"); err != nil {
		return TokenResponse{}, err
	}
	switch GrantType(form.Get("grant_type")) {
	case "", AuthorizationCode: // Polis lets it be left out
		if form.Get("code") == "" {
			return TokenResponse{}, invalidRequest("Please specify code")
		}
		return s.redeem(ctx, form, c)
	case RefreshToken:
		return s.refresh(ctx, form, c)
	case ClientCredentials:
		return s.clientCredentials(ctx, form, c)
	case DeviceCode:
		return s.deviceToken(ctx, form, c)
	}
	return TokenResponse{}, oauthError("unsupported_grant_type", "Unsupported grant_type")
}

// issuing is a token response in the making. Its secret is chosen once, so that a commit whose answer was lost is known
// again.
type issuing struct {
	secret   string // the access token
	confirm  confirmation
	token    accessToken
	response TokenResponse
}

func (s *Service) newIssuing() issuing { return issuing{secret: s.IDs.Secret(tokenPrefix)} }

// Lifetimes of access tokens. Those of Polis-style clients are the ones Polis has.
const (
	polisTokenTTL = 5 * time.Minute
	appTokenTTL   = time.Hour
	jwtTTL        = 5 * time.Minute // nobody asks us whether one still holds
)

// issue makes the access token of a grant, and an id token where the scope has openid. It makes them once.
func (s *Service) issue(ctx context.Context, i *issuing, g grant, app Application) error {
	if i.token.ID != "" {
		return nil
	}
	now := s.now()
	t := accessToken{Grant: g, ExpiresAt: now.Add(g.tokenTTL(app)), Confirmation: i.confirm}
	if app.TokenFormat == JWT {
		var err error
		if i.secret, err = s.jwtAccessToken(ctx, t, app, now, i.secret); err != nil {
			return err
		}
	}
	t.ID = id.Hash(i.secret)
	i.response = TokenResponse{AccessToken: i.secret, TokenType: "bearer", ExpiresIn: int64(t.ExpiresAt.Sub(now).Seconds())}
	if i.confirm.Thumbprint != "" {
		i.response.TokenType = "DPoP"
	}
	if g.openID() && g.IdentityID != "" {
		var err error
		if i.response.IDToken, err = s.idToken(ctx, g, app, now); err != nil {
			return err
		}
	}
	i.token = t
	return nil
}

// tokenTTL is how long an access token lives.
func (g grant) tokenTTL(app Application) time.Duration {
	switch {
	case g.ApplicationID == "":
		return polisTokenTTL
	case app.TokenFormat == JWT:
		return jwtTTL
	}
	return appTokenTTL
}

// jwtAccessToken is an access token that resource servers read themselves (RFC 9068 §2). We keep it like any other, by its
// hash, so that it is known at our own endpoints and can be ended there.
func (s *Service) jwtAccessToken(ctx context.Context, t accessToken, app Application, now time.Time, secret string) (string, error) {
	g := t.Grant
	claims := map[string]any{
		"iss": s.Issuer, "sub": g.subject(), "aud": s.audience(g), "client_id": g.ClientID, "jti": id.Hash(secret),
		"iat": now.Unix(), "exp": t.ExpiresAt.Unix(),
	}
	if g.IdentityID == "" {
		claims["sub"] = g.ApplicationID // RFC 9068 §2.2: nobody but the client is involved
	}
	if (t.Confirmation != confirmation{}) {
		claims["cnf"] = t.Confirmation
	}
	if len(g.Scope) > 0 {
		claims["scope"] = strings.Join(g.Scope, " ")
	}
	if !g.AuthTime.IsZero() {
		claims["auth_time"] = g.AuthTime.Unix()
	}
	if g.OrganizationID != "" {
		claims["organization_id"] = g.OrganizationID
	}
	if len(g.Profile.Roles) > 0 {
		claims["roles"] = g.Profile.Roles
	}
	if len(g.Profile.Groups) > 0 {
		claims["groups"] = g.Profile.Groups
	}
	return s.sign(ctx, app.IDTokenAlg, "at+jwt", claims)
}

// audience is for whom an access token is: the resources that were asked for, else this server's own endpoints.
func (s *Service) audience(g grant) any {
	switch len(g.Resources) {
	case 0:
		return s.Issuer
	case 1:
		return g.Resources[0]
	}
	return g.Resources
}

// once is store.Once for what the token endpoint issues, answered as a fault.
func (s *Service) once(ctx context.Context, made func(context.Context) (bool, error), fn func() error) error {
	err := store.Once(ctx, made, fn)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUncertain) {
		return record.StoreFault(err)
	}
	return err
}

// commit answers store.ErrConflict as it is: something changed, look again.
func (s *Service) commit(ctx context.Context, ops ...store.Op) error {
	err := s.Sessions.Commit(ctx, ops...)
	if errors.Is(err, store.ErrConflict) {
		return err
	}
	return record.StoreFault(err)
}

// kept reports whether an access token was kept: by a commit whose answer was lost.
func (s *Service) kept(ctx context.Context, i *issuing) (bool, error) {
	_, err := s.tokens.Get(ctx, i.token.ID)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// presentedToken reads an Authorization header. Polis takes any scheme.
func presentedToken(authorization string) (scheme, token string) {
	scheme, token, _ = strings.Cut(strings.TrimSpace(authorization), " ")
	return scheme, strings.TrimSpace(token)
}
