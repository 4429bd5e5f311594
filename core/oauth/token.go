package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Credentials are what a client presents of itself at the token endpoint (RFC 6749 §2.3.1).
type Credentials struct {
	ClientID, Secret string
	// AsSent are the same two before form-decoding, from a client that does not encode what it puts into Basic.
	AsSent *Credentials
}

// TokenResponse is a successful answer of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
type TokenResponse struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	IDToken     string `json:"id_token,omitempty"`
	Scope       string `json:"scope,omitempty"`
}

// Token answers a token request. Faults have a code of RFC 6749 §5.2: Invalid, or Unauthenticated for
// invalid_client; Unavailable.
func (s *Service) Token(ctx context.Context, form url.Values, c Credentials) (TokenResponse, error) {
	if err := singleValued(form); err != nil {
		return TokenResponse{}, err
	}
	switch form.Get("grant_type") {
	case "", "authorization_code": // Polis lets it be left out
	default:
		return TokenResponse{}, oauthError("unsupported_grant_type", "Unsupported grant_type")
	}
	if form.Get("code") == "" {
		return TokenResponse{}, invalidRequest("Please specify code")
	}
	return s.redeem(ctx, form, c)
}

// redeem uses up a code. Whoever fails to redeem it has burnt it: a stolen code can be tried once. Who loses a race for
// it finds it used, like anybody who comes later.
func (s *Service) redeem(ctx context.Context, form url.Values, c Credentials) (TokenResponse, error) {
	r := redemption{codeID: id.Hash(form.Get("code")), secret: s.IDs.Secret(tokenPrefix)}
	r.tokenID = id.Hash(r.secret)
	bought := func(ctx context.Context) (bool, error) {
		used, err := s.codes.Get(ctx, r.codeID)
		return used.TokenID == r.tokenID, err
	}
	err := store.Once(ctx, bought, func() error { return s.tryRedeem(ctx, &r, form, c) })
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUncertain) {
		err = record.StoreFault(err)
	}
	if err != nil {
		return TokenResponse{}, err
	}
	return r.response, nil
}

// redemption is one use of a code, by which it knows itself again.
type redemption struct {
	codeID, tokenID string
	secret          string // the token
	response        TokenResponse
	refused         error // why it burns the code instead
}

func (s *Service) tryRedeem(ctx context.Context, r *redemption, form url.Values, c Credentials) error {
	found, err := s.codes.Get(ctx, r.codeID)
	switch {
	case fault.Is(err, fault.NotFound):
		return invalidCode()
	case err != nil:
		return err
	case found.TokenID == r.tokenID: // by a commit whose answer was lost
		return nil
	case found.Grant == nil && found.TokenID == "" && r.refused != nil:
		return r.refused
	case found.Grant == nil:
		return s.replayed(ctx, found)
	}
	if refused := s.mayRedeem(ctx, found, form, c); refused != nil {
		if f := fault.From(refused); f.Kind == fault.Internal || f.Kind == fault.Unavailable {
			return refused
		}
		burnt := found
		burnt.Grant, r.refused = nil, refused
		if err := s.commitCode(ctx, s.codes.Update(burnt)); err != nil {
			return err
		}
		return refused
	}
	return s.issueToken(ctx, r, found)
}

// replayed answers the second use of a code: what the first bought ends (RFC 6749 §4.1.2).
func (s *Service) replayed(ctx context.Context, used code) error {
	if used.TokenID != "" {
		s.Logger.WarnContext(ctx, "authorization code used twice")
		if err := s.tokens.Remove(ctx, used.TokenID, nil); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return invalidCode()
}

func (s *Service) issueToken(ctx context.Context, r *redemption, c code) error {
	g, now := *c.Grant, s.now()
	t := accessToken{ID: r.tokenID, Grant: g, ExpiresAt: now.Add(g.tokenTTL())}
	used := code{ID: c.ID, TokenID: t.ID, ExpiresAt: t.ExpiresAt, version: c.version}
	r.response = TokenResponse{AccessToken: r.secret, TokenType: "bearer", ExpiresIn: int64(g.tokenTTL().Seconds())}
	if g.openID() {
		var err error
		if r.response.IDToken, err = s.idToken(ctx, g, now); err != nil {
			return err
		}
	}
	return s.commitCode(ctx, s.codes.Update(used), s.tokens.Insert(t))
}

// commitCode answers store.ErrConflict as it is: the code changed, look again.
func (s *Service) commitCode(ctx context.Context, ops ...store.Op) error {
	err := s.Sessions.Commit(ctx, ops...)
	if errors.Is(err, store.ErrConflict) {
		return err
	}
	return record.StoreFault(err)
}

// mayRedeem checks that this client may redeem the code here and proves to be the one it was issued to.
func (s *Service) mayRedeem(ctx context.Context, c code, form url.Values, creds Credentials) error {
	verifier, redirectURI := form.Get("code_verifier"), form.Get("redirect_uri")
	idpInitiated := c.Grant.Requested.IsIdPFlow
	switch {
	case redirectURI == "" && !idpInitiated:
		return oauthError("invalid_grant", "Invalid request: redirect_uri missing")
	case redirectURI != "" && redirectURI != c.RedirectURI:
		return oauthError("invalid_grant", "Invalid request: redirect_uri mismatch")
	case c.Challenge == "" && verifier != "":
		return oauthError("invalid_grant", "code_verifier without code_challenge") // RFC 9700 §4.8.2
	case c.Challenge != "" && !verified(c.Challenge, verifier):
		return oauthError("invalid_grant", "Invalid code_verifier")
	}
	authenticate := s.authenticatePolis
	if c.Grant.ApplicationID != "" {
		authenticate = s.authenticateApplication
	}
	if err := authenticate(ctx, *c.Grant, creds, c.Challenge != ""); err != nil {
		return err
	}
	err := s.mayStillSignIn(ctx, *c.Grant)
	if fault.Is(err, fault.NotFound) {
		return oauthError("invalid_grant", "The account is deactivated")
	}
	if err != nil {
		return err
	}
	connection, err := s.SSO.CachedByID(ctx, c.Grant.ConnectionID)
	if fault.Is(err, fault.NotFound) || err == nil && !connection.Active() {
		return oauthError("invalid_grant", "The connection is deactivated")
	}
	return err
}

// verified is PKCE's S256 (RFC 7636 §4.6).
func verified(challenge, verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return id.Equal(challenge, base64.RawURLEncoding.EncodeToString(sum[:]))
}

func (s *Service) authenticateApplication(ctx context.Context, g grant, creds Credentials, _ bool) error {
	app, err := s.cachedApplication(ctx, g.ApplicationID)
	if fault.Is(err, fault.NotFound) {
		return invalidClient("Unknown client")
	}
	if err != nil {
		return err
	}
	switch {
	case creds.ClientID == "":
		return invalidClient("Please specify client_id")
	case creds.ClientID != app.ID:
		return oauthError("invalid_grant", "The code was issued to another client")
	case app.Public && creds.Secret != "":
		return invalidClient("A public client has no client_secret")
	case app.Public:
		return nil // PKCE was required of it and is proven
	}
	if !creds.matches(func(c Credentials) bool { return c.Secret != "" && id.Equal(id.Hash(c.Secret), app.SecretHash) }) {
		return invalidClient("Invalid client_secret")
	}
	return nil
}

// authenticatePolis follows the Polis contract §2.6. PKCE alone is proof; the client_id, where there is one, must
// still be a name of the connection or the one that was sent at authorize.
func (s *Service) authenticatePolis(ctx context.Context, g grant, creds Credentials, pkce bool) error {
	connection, err := s.SSO.CachedByID(ctx, g.ConnectionID)
	if fault.Is(err, fault.NotFound) {
		return invalidClient("Unknown client")
	}
	if err != nil {
		return err
	}
	encoded := func(c Credentials) bool {
		tenant, product, ok := decodeTenant(c.ClientID)
		return ok && tenant == connection.Tenant && product == connection.Product
	}
	shared := func(c Credentials) bool { return encoded(c) || c.ClientID == "dummy" }
	named := func(c Credentials) bool {
		return shared(c) || c.ClientID == connection.ClientID || c.ClientID == g.ClientID
	}
	if pkce {
		if creds.ClientID != "" && !creds.matches(named) {
			return invalidClient("Invalid client_id")
		}
		return nil
	}
	if creds.ClientID == "" || creds.Secret == "" {
		return invalidClient("Please specify client_secret or code_verifier")
	}
	if !creds.matches(named) {
		return invalidClient("Invalid client_id")
	}
	proven := creds.matches(func(c Credentials) bool {
		return named(c) && id.Equal(c.Secret, connection.ClientSecret) ||
			shared(c) && id.Equal(c.Secret, s.ClientSecretVerifier)
	})
	if !proven {
		return invalidClient("Invalid client_secret")
	}
	return nil
}

// matches tries the credentials decoded and, where that differs, as sent.
func (c Credentials) matches(test func(Credentials) bool) bool {
	return test(c) || c.AsSent != nil && test(*c.AsSent)
}

func invalidCode() error { return oauthError("invalid_grant", "Invalid code") }

func invalidClient(message string) error {
	return fault.New(fault.Unauthenticated, "invalid_client", message)
}

func bearer(authorization string) string {
	_, token, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	return strings.TrimSpace(token)
}
