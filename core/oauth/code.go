package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/ports/store"
)

// redeem uses up a code. Whoever fails to redeem it has burnt it: a stolen code can be tried once. Who loses a race for
// it finds it used, like anybody who comes later.
func (s *Service) redeem(ctx context.Context, form url.Values, c Credentials) (TokenResponse, error) {
	r := redemption{codeID: id.Hash(form.Get("code")), issuing: s.newIssuing()}
	made := func(ctx context.Context) (bool, error) {
		used, err := s.codes.Get(ctx, r.codeID)
		return r.bought(used), err
	}
	if err := s.once(ctx, made, func() error { return s.tryRedeem(ctx, &r, form, c) }); err != nil {
		return TokenResponse{}, err
	}
	return r.response, nil
}

// redemption is one use of a code, by which it knows itself again.
type redemption struct {
	issuing
	codeID  string
	family  *family // where the application may come back without the person
	refused error   // why it burns the code instead
	proven  bool    // that issuing.confirm may be bound to

	authenticated bool // by what may be presented once
}

// bought reports whether it was this use that used the code.
func (r *redemption) bought(used code) bool { return used.TokenID != "" && used.TokenID == r.token.ID }

func (s *Service) tryRedeem(ctx context.Context, r *redemption, form url.Values, c Credentials) error {
	found, err := s.codes.Get(ctx, r.codeID)
	switch {
	case fault.Is(err, fault.NotFound):
		return invalidCode()
	case err != nil:
		return err
	case r.bought(found): // by a commit whose answer was lost
		return nil
	case found.Grant == nil && found.TokenID == "" && r.refused != nil:
		return r.refused
	case found.Grant == nil:
		return s.replayed(ctx, found)
	}
	if refused := s.mayRedeem(ctx, r, found, form, c); refused != nil {
		if f := fault.From(refused); f.Kind == fault.Internal || f.Kind == fault.Unavailable {
			return refused
		}
		burnt := found
		burnt.Grant, r.refused = nil, refused
		if err := s.commit(ctx, s.codes.Update(burnt)); err != nil {
			return err
		}
		return refused
	}
	return s.useCode(ctx, r, found, form, c)
}

// replayed answers the second use of a code: what the first bought ends (RFC 6749 §4.1.2).
func (s *Service) replayed(ctx context.Context, used code) error {
	if used.TokenID == "" {
		return invalidCode()
	}
	s.Logger.WarnContext(ctx, "authorization code used twice")
	if used.FamilyID != "" {
		if err := s.endFamily(ctx, used.FamilyID); err != nil {
			return err
		}
		return invalidCode()
	}
	if err := s.tokens.Remove(ctx, used.TokenID, nil); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return invalidCode()
}

// useCode gives the tokens for a code and marks it as used, in one commit.
func (s *Service) useCode(ctx context.Context, r *redemption, c code, form url.Values, creds Credentials) error {
	g := *c.Grant
	app, err := s.applicationOf(ctx, g)
	if err != nil {
		return err
	}
	if r.confirm, err = r.confirmed(ctx, s, app, c, creds); err != nil {
		return err
	}
	asked, err := g.narrowedTo(form["resource"])
	if err != nil {
		return err
	}
	if err := s.issue(ctx, &r.issuing, asked, app); err != nil {
		return err
	}
	if g.ApplicationID != "" {
		r.response.Scope = strings.Join(g.Scope, " ")
	}
	used := code{ID: c.ID, TokenID: r.token.ID, ExpiresAt: r.token.ExpiresAt, version: c.version}
	ops := []store.Op{s.codes.Update(used)}
	if family := s.familyOf(r, app, g); family != nil {
		used.FamilyID, used.ExpiresAt = family.ID, family.ExpiresAt
		ops = []store.Op{s.codes.Update(used), s.families.Insert(*family)}
	}
	return s.commit(ctx, append(ops, s.tokens.Insert(r.token))...)
}

// familyOf makes, once, the family of a grant that may be refreshed, and nil of any other.
func (s *Service) familyOf(r *redemption, app Application, g grant) *family {
	if g.ApplicationID == "" || !app.May(RefreshToken) || !slices.Contains(g.Scope, offlineAccess) {
		return nil
	}
	if r.family == nil {
		f := s.newFamily(g, app.familyConfirmation(r.confirm))
		r.token.FamilyID = f.ID
		f.buy(r.token, s.now())
		r.family = &f
	}
	r.response.RefreshToken = r.family.refreshToken(r.family.Number)
	return r.family
}

// confirmed says to which key the tokens are bound. The proof is looked at once: it is good for one use.
func (r *redemption) confirmed(ctx context.Context, s *Service, app Application, c code, creds Credentials) (confirmation, error) {
	if r.proven || c.Grant.ApplicationID == "" {
		return r.confirm, nil
	}
	cnf, err := s.confirm(ctx, app, creds)
	if err == nil && c.ProofKey != "" && c.ProofKey != cnf.Thumbprint {
		err = invalidProof("The code is for another key than the DPoP proof's")
	}
	r.proven = err == nil
	return cnf, err
}

// applicationOf is the application of a grant, and the zero one for a Polis-style client's.
func (s *Service) applicationOf(ctx context.Context, g grant) (Application, error) {
	if g.ApplicationID == "" {
		return Application{IDTokenAlg: keypair.RS256}, nil
	}
	app, err := s.cachedApplication(ctx, g.ApplicationID)
	if fault.Is(err, fault.NotFound) {
		err = invalidClient("Unknown client")
	}
	return app, err
}

// mayRedeem checks that this client may redeem the code here and proves to be the one it was issued to.
func (s *Service) mayRedeem(ctx context.Context, r *redemption, c code, form url.Values, creds Credentials) error {
	verifier, redirectURI := form.Get("code_verifier"), form.Get("redirect_uri")
	idpInitiated := c.Grant.Requested.IsIdPFlow
	switch {
	case c.Grant.ApplicationID != "" && form.Get("grant_type") == "": // Polis lets it be left out
		return invalidRequest("Please specify grant_type")
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
	if !r.authenticated {
		if err := authenticate(ctx, *c.Grant, creds, c.Challenge != ""); err != nil {
			return err
		}
		r.authenticated = true
	}
	return s.stillGood(ctx, *c.Grant)
}

// stillGood refuses a grant whose person, connection or session gives no access any more.
func (s *Service) stillGood(ctx context.Context, g grant) error {
	err := s.mayStillSignIn(ctx, g)
	if fault.Is(err, fault.NotFound) {
		return oauthError("invalid_grant", fault.From(err).Message)
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

func invalidCode() error { return oauthError("invalid_grant", "Invalid code") }
