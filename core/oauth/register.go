package oauth

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// initialToken lets whoever has it register applications of a project (RFC 7591 §1.2). Its id is the hash of the token.
type initialToken struct {
	ID        string    `json:"id"`
	ProjectID string    `json:"projectId"`
	ExpiresAt time.Time `json:"expiresAt"`

	version int64
}

const (
	initialTokens    = "initial_access_tokens"
	initialPrefix    = "ia_"
	maxInitial       = 365 * 24 * time.Hour
	maxRegistration  = 64 << 10 // bytes
	secretNeverEnds  = 0
	registrationName = "Registered application"
)

// CreateInitialAccessToken makes a token by which applications of a project register themselves. It is returned once.
// Faults: NotFound of the project, Invalid at expiresInSeconds.
func (s *Service) CreateInitialAccessToken(ctx context.Context, projectID string, lives time.Duration) (string, time.Time, error) {
	if lives <= 0 || lives > maxInitial {
		return "", time.Time{}, fault.At("expiresInSeconds", "invalid", "The token lives for at least a second and at most a year.")
	}
	secret := s.IDs.Secret(initialPrefix)
	t := initialToken{ID: id.Hash(secret), ProjectID: projectID, ExpiresAt: s.now().Add(lives)}
	insert := s.initial.Insert(t)
	err := s.initial.Once(ctx, &insert, func() error {
		p, err := s.Projects.Get(ctx, projectID)
		if err != nil {
			return err
		}
		return s.Records.Commit(ctx, s.Projects.Check(p), insert)
	})
	return secret, t.ExpiresAt, s.initial.Fault(err)
}

// Registration is a client's metadata (RFC 7591 §2), as it is sent and, completed, answered.
type Registration struct {
	RedirectURIs  []string        `json:"redirect_uris,omitempty"`
	AuthMethod    string          `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes    []GrantType     `json:"grant_types,omitempty"`
	ResponseTypes []string        `json:"response_types,omitempty"`
	Name          string          `json:"client_name,omitempty"`
	Scope         string          `json:"scope,omitempty"`
	JWKS          json.RawMessage `json:"jwks,omitempty"`
	JWKSURI       string          `json:"jwks_uri,omitempty"`
	IDTokenAlg    Alg             `json:"id_token_signed_response_alg,omitempty"`
	TLSSubject    string          `json:"tls_client_auth_subject_dn,omitempty"`
	RequireDPoP   bool            `json:"dpop_bound_access_tokens,omitempty"`

	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty"`

	ClientID        string `json:"client_id,omitempty"`
	ClientSecret    string `json:"client_secret,omitempty"`
	IssuedAt        int64  `json:"client_id_issued_at,omitempty"`
	SecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"` // 0: never
}

// Register makes an application from metadata that a client sends with an initial access token (RFC 7591 §3). What of
// it is not known is passed over (§2). Faults: Unauthenticated invalid_token; Invalid invalid_redirect_uri and
// invalid_client_metadata.
func (s *Service) Register(ctx context.Context, authorization string, body []byte) (Registration, error) {
	scheme, secret := presentedToken(authorization)
	t, err := s.initial.Get(ctx, id.Hash(secret))
	if fault.Is(err, fault.NotFound) || !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(secret, initialPrefix) {
		return Registration{}, invalidToken()
	}
	if err != nil {
		return Registration{}, err
	}
	var r Registration
	if len(body) > maxRegistration || json.Unmarshal(body, &r) != nil {
		return Registration{}, invalidMetadata("The metadata is not a JSON object of at most 64 KiB as RFC 7591 §2 has it")
	}
	in, err := r.input()
	if err != nil {
		return Registration{}, err
	}
	a, clientSecret, err := s.CreateApplication(ctx, t.ProjectID, in)
	if f := fault.From(err); err != nil && f.Kind == fault.Invalid {
		if f.Field == "redirectUris" {
			return Registration{}, fault.Wrap(err, fault.Invalid, "invalid_redirect_uri", f.Message)
		}
		return Registration{}, fault.Wrap(err, fault.Invalid, "invalid_client_metadata", f.Message)
	}
	if err != nil {
		return Registration{}, err
	}
	return r.answered(a, clientSecret), nil
}

// authMethods are how RFC 7591 §2 and RFC 8705 §2 name what an application is.
var authMethods = map[string]AuthMethod{"": "", "client_secret_basic": "", "client_secret_post": "", "none": "",
	string(PrivateKeyJWT): PrivateKeyJWT, string(TLSClient): TLSClient, string(SelfSignedTLS): SelfSignedTLS}

func (r Registration) input() (ApplicationInput, error) {
	method, ok := authMethods[r.AuthMethod]
	if !ok {
		return ApplicationInput{}, invalidMetadata("There is no such token_endpoint_auth_method")
	}
	if slices.ContainsFunc(r.ResponseTypes, func(t string) bool { return t != "code" }) {
		return ApplicationInput{}, invalidMetadata("The one response type is code")
	}
	name, public := r.Name, r.AuthMethod == "none"
	if name == "" {
		name = registrationName
	}
	grants := r.GrantTypes
	if grants == nil {
		grants = []GrantType{AuthorizationCode} // RFC 7591 §2
	}
	jwks := string(r.JWKS)
	in := ApplicationInput{Name: &name, Public: &public, RedirectURIs: &r.RedirectURIs, GrantTypes: &grants, AuthMethod: &method,
		JWKS: &jwks, JWKSURI: &r.JWKSURI, TLSSubject: &r.TLSSubject, RequireDPoP: &r.RequireDPoP,
		PostLogoutRedirectURIs: &r.PostLogoutRedirectURIs, BackchannelLogoutURI: &r.BackchannelLogoutURI}
	if r.IDTokenAlg != "" {
		in.IDTokenAlg = &r.IDTokenAlg
	}
	return in, nil
}

// answered is what the client is told that it is (RFC 7591 §3.2.1). Of scopes it gets those of OpenID Connect; more are an
// administrator's to give.
func (r Registration) answered(a Application, clientSecret string) Registration {
	never := int64(secretNeverEnds)
	r.ClientID, r.IssuedAt, r.Name, r.IDTokenAlg, r.GrantTypes = a.ID, a.CreatedAt.Unix(), a.Name, a.IDTokenAlg, a.GrantTypes
	r.ResponseTypes, r.Scope = []string{"code"}, strings.Join(a.grantedScope(openIDScopes), " ")
	if r.AuthMethod == "" {
		r.AuthMethod = "client_secret_basic"
	}
	r.ClientSecret, r.SecretExpiresAt = clientSecret, nil
	if clientSecret != "" {
		r.SecretExpiresAt = &never
	}
	return r
}

func invalidMetadata(message string) error { return oauthError("invalid_client_metadata", message) }

func (s *Service) newInitialTokens() record.Repo[initialToken] {
	return record.Repo[initialToken]{
		Store: s.Records, Collection: initialTokens, Noun: "initial access token",
		Head:       func(t initialToken) store.Doc { return store.Doc{ID: t.ID, Version: t.version, ExpiresAt: t.ExpiresAt} },
		SetVersion: func(t *initialToken, v int64) { t.version = v },
	}
}
