package graph

import (
	"context"
	"strings"
	"time"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/oauth"
)

type applicationNode struct {
	r *resolver
	a oauth.Application
}

func (n *applicationNode) ID() graphql.ID          { return graphql.ID(n.a.ID) }
func (n *applicationNode) Name() string            { return n.a.Name }
func (n *applicationNode) Public() bool            { return n.a.Public }
func (n *applicationNode) RedirectURIs() []string  { return list(n.a.RedirectURIs) }
func (n *applicationNode) IDTokenAlg() string      { return string(n.a.IDTokenAlg) }
func (n *applicationNode) Scopes() []string        { return list(n.a.Scopes) }
func (n *applicationNode) Resources() []string     { return list(n.a.Resources) }
func (n *applicationNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.a.CreatedAt} }
func (n *applicationNode) UpdatedAt() graphql.Time { return graphql.Time{Time: n.a.UpdatedAt} }

func (n *applicationNode) GrantTypes() []string {
	types := n.a.GrantTypes
	if types == nil {
		types = oauth.DefaultGrantTypes
	}
	names := make([]string, len(types))
	for i, g := range types {
		if names[i] = strings.ToUpper(string(g)); g == oauth.DeviceCode {
			names[i] = deviceCode
		}
	}
	return names
}

// deviceCode is the schema's name of a grant type that is a URN.
const deviceCode = "DEVICE_CODE"

// authMethods are the schema's names.
var authMethods = map[string]oauth.AuthMethod{"CLIENT_SECRET": "", "PRIVATE_KEY_JWT": oauth.PrivateKeyJWT,
	"TLS_CLIENT": oauth.TLSClient, "SELF_SIGNED_TLS": oauth.SelfSignedTLS}

func (n *applicationNode) AuthMethod() string {
	for name, method := range authMethods {
		if method == n.a.AuthMethod {
			return name
		}
	}
	return ""
}

func (n *applicationNode) JWKS() *string       { return optional(n.a.JWKS) }
func (n *applicationNode) JWKSURI() *string    { return optional(n.a.JWKSURI) }
func (n *applicationNode) TLSSubject() *string { return optional(n.a.TLSSubject) }
func (n *applicationNode) RequireDPoP() bool   { return n.a.RequireDPoP }

func (n *applicationNode) PostLogoutRedirectURIs() []string { return list(n.a.PostLogoutRedirectURIs) }
func (n *applicationNode) BackchannelLogoutURI() *string    { return optional(n.a.BackchannelLogoutURI) }

func (n *applicationNode) RequirePushedRequests() bool { return n.a.RequirePushed }

func (n *applicationNode) TokenFormat() string {
	if n.a.TokenFormat == "" {
		return strings.ToUpper(string(oauth.Opaque))
	}
	return strings.ToUpper(string(n.a.TokenFormat))
}

func (n *applicationNode) Project(ctx context.Context) (*projectNode, error) {
	return n.r.loadProject(ctx, n.a.ProjectID)
}

func (r *resolver) Application(ctx context.Context, args onlyID) (*applicationNode, error) {
	a, err := r.OAuth.Application(ctx, string(args.ID))
	return orNull(&applicationNode{r, a}, err)
}

// applicationPayload serves the mutations that show a secret and those that do not.
type applicationPayload struct {
	Application *applicationNode
	Secret      *string
	Errors      []userError
}

func (r *resolver) applicationPayload(subject string, a oauth.Application, secret string, err error) (*applicationPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &applicationPayload{Errors: list}, err
	}
	return &applicationPayload{Application: &applicationNode{r, a}, Secret: optional(secret), Errors: list}, nil
}

func (r *resolver) CreateApplication(ctx context.Context, args struct {
	Input struct {
		ProjectID    graphql.ID
		Name         string
		Public       *bool
		RedirectURIs []string
		applicationSettings
	}
}) (*applicationPayload, error) {
	forget(ctx)
	in := args.Input
	settings := in.input()
	settings.Name, settings.Public, settings.RedirectURIs = &in.Name, in.Public, &in.RedirectURIs
	a, secret, err := r.OAuth.CreateApplication(ctx, string(in.ProjectID), settings)
	return r.applicationPayload("projectId", a, secret, err)
}

func (r *resolver) UpdateApplication(ctx context.Context, args struct {
	Input struct {
		ID           graphql.ID
		Name         *string
		RedirectURIs *[]string
		applicationSettings
	}
}) (*applicationPayload, error) {
	forget(ctx)
	in := args.Input
	settings := in.input()
	settings.Name, settings.RedirectURIs = in.Name, in.RedirectURIs
	a, err := r.OAuth.UpdateApplication(ctx, string(in.ID), settings)
	return r.applicationPayload("id", a, "", err)
}

func (r *resolver) RotateApplicationSecret(ctx context.Context, args struct {
	Input struct {
		ID             graphql.ID
		OverlapSeconds *int32
	}
}) (*applicationPayload, error) {
	forget(ctx)
	var overlap time.Duration
	if seconds := args.Input.OverlapSeconds; seconds != nil {
		overlap = time.Duration(*seconds) * time.Second
	}
	a, secret, err := r.OAuth.RotateSecret(ctx, string(args.Input.ID), overlap)
	return r.applicationPayload("id", a, secret, err)
}

func (r *resolver) DeleteApplication(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.OAuth.DeleteApplication(ctx, string(args.Input.ID)))
}

type initialTokenPayload struct {
	Token     *string
	ExpiresAt *graphql.Time
	Errors    []userError
}

func (r *resolver) CreateInitialAccessToken(ctx context.Context, args struct {
	Input struct {
		ProjectID        graphql.ID
		ExpiresInSeconds int32
	}
}) (*initialTokenPayload, error) {
	in := args.Input
	token, expires, err := r.OAuth.CreateInitialAccessToken(ctx, string(in.ProjectID), time.Duration(in.ExpiresInSeconds)*time.Second)
	list, err := userErrors(err, "projectId")
	if err != nil || len(list) > 0 {
		return &initialTokenPayload{Errors: list}, err
	}
	return &initialTokenPayload{Token: &token, ExpiresAt: &graphql.Time{Time: expires}, Errors: list}, nil
}

// applicationSettings are what creating and updating an application have in common.
type applicationSettings struct {
	IDTokenAlg  *string
	GrantTypes  *[]string
	Scopes      *[]string
	Resources   *[]string
	TokenFormat *string
	AuthMethod  *string
	JWKS        *string
	JWKSURI     *string
	TLSSubject  *string
	RequireDPoP *bool

	RequirePushedRequests *bool

	PostLogoutRedirectURIs *[]string
	BackchannelLogoutURI   *string
}

func (s applicationSettings) input() oauth.ApplicationInput {
	in := oauth.ApplicationInput{IDTokenAlg: (*oauth.Alg)(s.IDTokenAlg), Scopes: s.Scopes, Resources: s.Resources,
		JWKS: s.JWKS, JWKSURI: s.JWKSURI, TLSSubject: s.TLSSubject, RequireDPoP: s.RequireDPoP, RequirePushed: s.RequirePushedRequests,
		PostLogoutRedirectURIs: s.PostLogoutRedirectURIs, BackchannelLogoutURI: s.BackchannelLogoutURI}
	if s.AuthMethod != nil {
		method := authMethods[*s.AuthMethod]
		in.AuthMethod = &method
	}
	if s.GrantTypes != nil {
		types := make([]oauth.GrantType, len(*s.GrantTypes))
		for i, name := range *s.GrantTypes {
			if types[i] = oauth.GrantType(strings.ToLower(name)); name == deviceCode {
				types[i] = oauth.DeviceCode
			}
		}
		in.GrantTypes = &types
	}
	if s.TokenFormat != nil {
		format := oauth.TokenFormat(strings.ToLower(*s.TokenFormat))
		in.TokenFormat = &format
	}
	return in
}
