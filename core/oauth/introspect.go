package oauth

import (
	"context"
	"net/url"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
)

// Introspection is what a token is (RFC 7662 §2.2). Of one that is not active nothing else is said.
type Introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	ExpiresAt int64  `json:"exp,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  any    `json:"aud,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	Username  string `json:"username,omitempty"`
	AuthTime  int64  `json:"auth_time,omitempty"`

	Confirmation confirmation `json:"cnf,omitzero"`

	OrganizationID string   `json:"organization_id,omitempty"`
	Roles          []string `json:"roles,omitempty"`
	Groups         []string `json:"groups,omitempty"`
}

// Introspect tells a confidential application what a token is: an access token of any application of its project, since
// it may be the protected resource, or a refresh token of its own. Faults: Unauthenticated invalid_client.
func (s *Service) Introspect(ctx context.Context, form url.Values, c Credentials) (Introspection, error) {
	app, err := s.ofOneToken(ctx, form, c)
	if err != nil {
		return Introspection{}, err
	}
	if app.Public {
		return Introspection{}, invalidClient("A public client cannot prove that the token is meant for it")
	}
	text := form.Get("token")
	var g grant
	var i Introspection
	if strings.HasPrefix(text, refreshPrefix) {
		f, number, err := s.findFamily(ctx, text)
		if err != nil || f.Grant.ApplicationID != app.ID || number != f.Number {
			return inactive(err)
		}
		g, i = f.Grant, Introspection{ExpiresAt: f.ExpiresAt.Unix()}
	} else {
		t, err := s.tokens.Get(ctx, id.Hash(text))
		if err != nil || t.Grant.ProjectID != app.ProjectID {
			return inactive(err)
		}
		g, i = t.Grant, Introspection{ExpiresAt: t.ExpiresAt.Unix(), TokenType: "Bearer", Audience: s.audience(t.Grant), Confirmation: t.Confirmation}
		if t.Confirmation.Thumbprint != "" {
			i.TokenType = "DPoP"
		}
	}
	return s.introspected(ctx, g, i)
}

func (s *Service) introspected(ctx context.Context, g grant, i Introspection) (Introspection, error) {
	i.Active, i.Issuer, i.ClientID, i.Scope = true, s.Issuer, g.ClientID, strings.Join(g.Scope, " ")
	if err := s.mayStillSignIn(ctx, g); err != nil {
		return inactive(err)
	}
	if g.IdentityID == "" {
		i.Subject = g.ApplicationID
		return i, nil
	}
	i.Subject, i.Username, i.OrganizationID = g.subject(), g.Profile.Email, g.OrganizationID
	i.Roles, i.Groups = g.Profile.Roles, g.Profile.Groups
	if !g.AuthTime.IsZero() {
		i.AuthTime = g.AuthTime.Unix()
	}
	return i, nil
}

// inactive answers for a token that is unknown, has ended or is none of the client's business.
func inactive(err error) (Introspection, error) {
	if err == nil || fault.Is(err, fault.NotFound) {
		return Introspection{}, nil
	}
	return Introspection{}, err
}

// ofOneToken authenticates the client of a request about one token.
func (s *Service) ofOneToken(ctx context.Context, form url.Values, c Credentials) (Application, error) {
	if err := singleValued(form); err != nil {
		return Application{}, err
	}
	if form.Get("token") == "" {
		return Application{}, invalidRequest("Please specify token")
	}
	return s.authenticate(ctx, c)
}

// Revoke ends a token of the client's own (RFC 7009): a refresh token with its whole family, an access token alone. A token
// that is unknown is passed over. Faults: Unauthenticated invalid_client, Invalid invalid_grant for another client's.
func (s *Service) Revoke(ctx context.Context, form url.Values, c Credentials) error {
	app, err := s.ofOneToken(ctx, form, c)
	if err != nil {
		return err
	}
	text := form.Get("token")
	if strings.HasPrefix(text, refreshPrefix) {
		f, _, err := s.findFamily(ctx, text)
		if err == nil && f.Grant.ApplicationID != app.ID {
			return notItsToken()
		}
		if err == nil {
			err = s.endFamily(ctx, f.ID)
		}
		return ignoring(err, fault.NotFound)
	}
	t, err := s.tokens.Get(ctx, id.Hash(text))
	if err == nil && t.Grant.ApplicationID != app.ID {
		return notItsToken()
	}
	if err == nil {
		err = s.tokens.Remove(ctx, t.ID, nil)
	}
	return ignoring(err, fault.NotFound)
}

func notItsToken() error {
	return oauthError("invalid_grant", "The token was issued to another client")
}

func ignoring(err error, kind fault.Kind) error {
	if fault.Is(err, kind) {
		return nil
	}
	return err
}
