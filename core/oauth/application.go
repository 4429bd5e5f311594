// Package oauth is the OAuth 2.0 authorization server and OpenID provider in front of the identity providers.
package oauth

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/jose"
	"github.com/portico-sso/portico/ports/store"
)

// Application is an OAuth client of a project. Its id is its client_id.
type Application struct {
	ID           string    `json:"id"`
	ProjectID    string    `json:"projectId"`
	Name         string    `json:"name"`
	Public       bool      `json:"public,omitempty"` // holds no secret and must use PKCE (RFC 6749 §2.1)
	SecretHash   string    `json:"secretHash,omitempty"`
	OldSecret    oldSecret `json:"oldSecret,omitzero"` // works beside the new one for a while
	RedirectURIs []string  `json:"redirectUris"`
	IDTokenAlg   Alg       `json:"idTokenAlg"`
	CreatedAt    time.Time `json:"createdAt"`
	UpdatedAt    time.Time `json:"updatedAt"`

	GrantTypes  []GrantType `json:"grantTypes,omitempty"`  // nil is DefaultGrantTypes
	Scopes      []string    `json:"scopes,omitempty"`      // of its own, beside those of OpenID Connect
	Resources   []string    `json:"resources,omitempty"`   // protected resources that its tokens may be for (RFC 8707)
	TokenFormat TokenFormat `json:"tokenFormat,omitempty"` // "" is Opaque

	AuthMethod  AuthMethod `json:"authMethod,omitempty"`  // "" is the secret, or nothing for a public one
	JWKS        string     `json:"jwks,omitempty"`        // its public keys (RFC 7517 §5), or
	JWKSURI     string     `json:"jwksUri,omitempty"`     // where they are
	TLSSubject  string     `json:"tlsSubject,omitempty"`  // of its certificate: the distinguished name (RFC 4514) or a DNS name
	RequireDPoP bool       `json:"requireDpop,omitempty"` // its tokens are bound to a key (RFC 9449 §5.2)

	RequirePushed bool `json:"requirePushed,omitempty"` // its authorization requests are pushed first (RFC 9126 §6)

	PostLogoutRedirectURIs []string `json:"postLogoutRedirectUris,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannelLogoutUri,omitempty"` // where it is told that a session has ended

	Version int64 `json:"-"`
}

// oldSecret is a secret that was rotated out.
type oldSecret struct {
	Hash      string    `json:"hash"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// GrantType is a way to tokens (RFC 6749 §1.3).
type GrantType string

// The grant types.
const (
	AuthorizationCode GrantType = "authorization_code"
	RefreshToken      GrantType = "refresh_token"
	ClientCredentials GrantType = "client_credentials"
)

// DefaultGrantTypes are those of an application that names none.
var DefaultGrantTypes = []GrantType{AuthorizationCode, RefreshToken}

// May reports whether the application is allowed a grant type.
func (a Application) May(g GrantType) bool {
	if a.GrantTypes == nil {
		return slices.Contains(DefaultGrantTypes, g)
	}
	return slices.Contains(a.GrantTypes, g)
}

// TokenFormat says what an application's access tokens are.
type TokenFormat string

// The formats of access tokens.
const (
	Opaque TokenFormat = "opaque" // a name for what we keep
	JWT    TokenFormat = "jwt"    // RFC 9068: resource servers read it themselves; lives jwtTTL
)

// Alg is the JWS algorithm of id tokens and of JWT access tokens (RFC 7518 §3.1).
type Alg = keypair.Alg

const (
	applications  = "applications"
	maxRedirects  = 100
	secretPrefix  = "cs_"
	codePrefix    = "ac_"
	tokenPrefix   = "at_"
	noApplication = "No such application."
)

// ApplicationInput is what a caller may choose. In an update a nil field stays as it is.
type ApplicationInput struct {
	Name         *string
	Public       *bool // only at creation
	RedirectURIs *[]string
	IDTokenAlg   *Alg
	GrantTypes   *[]GrantType
	Scopes       *[]string
	Resources    *[]string
	TokenFormat  *TokenFormat
	AuthMethod   *AuthMethod
	JWKS         *string
	JWKSURI      *string
	TLSSubject   *string
	RequireDPoP  *bool

	RequirePushed *bool

	PostLogoutRedirectURIs *[]string
	BackchannelLogoutURI   *string
}

// CreateApplication makes an application. The secret of a confidential one is returned here and never again.
// Faults: NotFound of the project, Invalid.
func (s *Service) CreateApplication(ctx context.Context, projectID string, in ApplicationInput) (Application, string, error) {
	now := s.now()
	a := Application{ID: s.IDs.UUID(), ProjectID: projectID, IDTokenAlg: keypair.RS256, CreatedAt: now, UpdatedAt: now,
		Public: in.Public != nil && *in.Public}
	if err := a.apply(in, s.JOSE); err != nil {
		return Application{}, "", err
	}
	var secret string
	if !a.Public && a.AuthMethod == "" {
		secret = s.IDs.Secret(secretPrefix)
		a.SecretHash = id.Hash(secret)
	}
	insert := s.applications.Insert(a)
	err := s.applications.Once(ctx, &insert, func() error {
		p, err := s.Projects.Get(ctx, projectID)
		if err != nil {
			return err
		}
		return s.Records.Commit(ctx, s.Projects.Check(p), insert)
	})
	a.Version = 1
	return a, secret, s.applications.Fault(err)
}

// Application reads an application.
func (s *Service) Application(ctx context.Context, applicationID string) (Application, error) {
	return s.applications.Get(ctx, applicationID)
}

// ListApplications reads one page of a project's applications, newest first.
func (s *Service) ListApplications(ctx context.Context, projectID string, limit int, after string) (record.Page[Application], error) {
	return s.applications.List(ctx, store.Range{Index: "by_project", Eq: []string{projectID}, Desc: true, Limit: limit, After: after})
}

// CountApplications counts a project's applications.
func (s *Service) CountApplications(ctx context.Context, projectID string) (int64, error) {
	return s.applications.Count(ctx, store.Range{Index: "by_project", Eq: []string{projectID}})
}

// UpdateApplication changes an application. Faults: NotFound, Invalid.
func (s *Service) UpdateApplication(ctx context.Context, applicationID string, in ApplicationInput) (Application, error) {
	return s.changeApplication(ctx, applicationID, func(a *Application) error {
		if in.Public != nil && *in.Public != a.Public {
			return fault.At("public", "immutable", "Make a new application to change its type.")
		}
		return a.apply(in, s.JOSE)
	})
}

// maxOverlap is how long the old secret may work beside the new one.
const maxOverlap = 30 * 24 * time.Hour

// RotateSecret gives a confidential application a new secret, which is returned once; the old one works for the overlap,
// or ends at once. Faults: NotFound, Invalid for a public application or a long overlap.
func (s *Service) RotateSecret(ctx context.Context, applicationID string, overlap time.Duration) (Application, string, error) {
	if overlap < 0 || overlap > maxOverlap {
		return Application{}, "", fault.At("overlapSeconds", "invalid", "The old secret may work for at most 30 days more.")
	}
	secret := s.IDs.Secret(secretPrefix)
	a, err := s.changeApplication(ctx, applicationID, func(a *Application) error {
		switch {
		case a.Public:
			return fault.At("id", "public_client", "A public application has no secret.")
		case a.AuthMethod != "":
			return fault.At("id", "no_secret", "The application presents itself in another way than by a secret.")
		}
		a.OldSecret = oldSecret{}
		if overlap > 0 {
			a.OldSecret = oldSecret{a.SecretHash, s.now().Add(overlap)}
		}
		a.SecretHash = id.Hash(secret)
		return nil
	})
	return a, secret, err
}

func (s *Service) changeApplication(ctx context.Context, applicationID string, change func(*Application) error) (Application, error) {
	defer s.cached.Clear()
	return s.applications.Change(ctx, applicationID, func(a *Application) error {
		a.UpdatedAt = s.now()
		return change(a)
	})
}

// DeleteApplication removes an application. Faults: NotFound.
func (s *Service) DeleteApplication(ctx context.Context, applicationID string) error {
	defer s.cached.Clear()
	return s.applications.Remove(ctx, applicationID, nil)
}

// DeleteProject removes a project without organizations and applications. Faults: NotFound, Conflict not_empty.
func (s *Service) DeleteProject(ctx context.Context, projectID string) error {
	return s.Projects.Delete(ctx, projectID, func() (bool, error) {
		organizations, err := s.Organizations.Count(ctx, projectID)
		if err != nil {
			return false, err
		}
		clients, err := s.CountApplications(ctx, projectID)
		return organizations == 0 && clients == 0, err
	})
}

func (a *Application) apply(in ApplicationInput, keys jose.JOSE) error {
	if in.Name != nil {
		a.Name = strings.TrimSpace(*in.Name)
	}
	if err := project.ValidName("name", a.Name); err != nil {
		return err
	}
	if in.RedirectURIs != nil {
		a.RedirectURIs = *in.RedirectURIs
		if err := overTLS(a.RedirectURIs); err != nil {
			return err
		}
	}
	if err := a.applyGrants(in); err != nil {
		return err
	}
	if err := a.applyAuth(in, keys); err != nil {
		return err
	}
	if err := validRedirectURIs(a.RedirectURIs, a.May(AuthorizationCode)); err != nil {
		return err
	}
	if err := a.applyLogout(in); err != nil {
		return err
	}
	if in.IDTokenAlg != nil {
		a.IDTokenAlg = *in.IDTokenAlg
	}
	if !slices.Contains(keypair.Algs, a.IDTokenAlg) {
		return fault.At("idTokenAlg", "invalid", "Id tokens are signed with RS256, PS256, ES256 or EdDSA.")
	}
	return nil
}

// applyGrants takes over what the application may ask for.
func (a *Application) applyGrants(in ApplicationInput) error {
	if in.GrantTypes != nil {
		a.GrantTypes = *in.GrantTypes
	}
	if in.Scopes != nil {
		a.Scopes = *in.Scopes
	}
	if in.Resources != nil {
		a.Resources = *in.Resources
	}
	if in.TokenFormat != nil {
		a.TokenFormat = *in.TokenFormat
	}
	if in.RequirePushed != nil {
		a.RequirePushed = *in.RequirePushed
	}
	for _, g := range a.GrantTypes {
		if g != AuthorizationCode && g != RefreshToken && g != ClientCredentials && g != DeviceCode {
			return fault.At("grantTypes", "invalid", "There is no grant type "+printable(string(g))+".")
		}
	}
	switch {
	case a.GrantTypes != nil && len(a.GrantTypes) == 0:
		return fault.At("grantTypes", "required", "Give at least one grant type.")
	case a.Public && a.May(ClientCredentials):
		return fault.At("grantTypes", "public_client", "A public application has no credentials to present.")
	case a.TokenFormat != "" && a.TokenFormat != Opaque && a.TokenFormat != JWT:
		return fault.At("tokenFormat", "invalid", "Access tokens are opaque or jwt.")
	case len(a.Scopes) > maxScopes || len(a.Resources) > maxScopes:
		return fault.At("scopes", "too_many", "An application has at most 100 scopes and 100 resources.")
	}
	for _, scope := range a.Scopes {
		if !validScope(scope) || slices.Contains(openIDScopes, scope) {
			return fault.At("scopes", "invalid", "A scope is a word of printable ASCII without quotes and backslashes, and not one of OpenID Connect: "+printable(scope))
		}
	}
	for _, r := range a.Resources {
		if !validResource(r) {
			return fault.At("resources", "invalid", "A resource is an absolute URI without fragment: "+r)
		}
	}
	return nil
}

const maxScopes = 100

// applyLogout takes over where people go, and what is called, when they sign out.
func (a *Application) applyLogout(in ApplicationInput) error {
	if in.PostLogoutRedirectURIs != nil {
		a.PostLogoutRedirectURIs = *in.PostLogoutRedirectURIs
	}
	if in.BackchannelLogoutURI != nil {
		a.BackchannelLogoutURI = *in.BackchannelLogoutURI
	}
	if err := validURIs("postLogoutRedirectUris", "post-logout redirect URI", a.PostLogoutRedirectURIs); err != nil || a.BackchannelLogoutURI == "" {
		return err
	}
	u, err := url.Parse(a.BackchannelLogoutURI)
	if err != nil || !wellFormed(a.BackchannelLogoutURI, u) || u.Scheme != "https" && u.Scheme != "http" {
		return fault.At("backchannelLogoutUri", "invalid", "The back-channel logout URI is an absolute http or https URL without fragment or user.")
	}
	return nil
}

func validRedirectURIs(uris []string, required bool) error {
	if len(uris) == 0 && required {
		return fault.At("redirectUris", "required", "Give at least one redirect URI.")
	}
	return validURIs("redirectUris", "redirect URI", uris)
}

// overTLS refuses redirect URIs of plain http, over which anybody on the way reads the code, but on this very machine
// (RFC 9700 §2.6).
func overTLS(uris []string) error {
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" {
			continue
		}
		if address, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !address.IsLoopback()) {
			return fault.At("redirectUris", "insecure", "A redirect URI of plain http is for localhost alone, as anybody on the way could read it: use https: "+text)
		}
	}
	return nil
}

// validURIs: at most maxRedirects, to which a browser can be sent and which say exactly where.
func validURIs(field, noun string, uris []string) error {
	if len(uris) > maxRedirects {
		return fault.At(field, "too_many", "An application has at most 100 of them: "+noun+".")
	}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil || !wellFormed(text, u) || strings.Contains(text, "*") {
			return fault.At(field, "invalid", "A "+noun+" is an absolute URL without fragment, user or wildcard: "+text)
		}
	}
	return nil
}
