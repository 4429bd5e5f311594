package polis

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
)

// oidcInput is what a body says of an OpenID provider. Fields that are absent are zero.
type oidcInput struct {
	clientID, clientSecret, discoveryURL string
	metadata                             map[string]any
}

// readOIDC reads the fields of an OpenID provider. With a discovery URL metadata is not looked at.
func readOIDC(p params) (oidcInput, error) {
	var in oidcInput
	if err := p.texts(map[string]*string{"oidcClientId": &in.clientID, "oidcClientSecret": &in.clientSecret,
		"oidcDiscoveryUrl": &in.discoveryURL}); err != nil || in.discoveryURL != "" {
		return in, err
	}
	v := p["oidcMetadata"]
	if v == nil || v == "" {
		return in, nil
	}
	metadata, isObject := v.(map[string]any)
	if text, isText := v.(string); isText {
		isObject = json.Unmarshal([]byte(text), &metadata) == nil && metadata != nil
	}
	if !isObject {
		return in, invalid("Could not parse OIDC Provider metadata, expected a valid JSON string")
	}
	in.metadata = metadata
	return in, nil
}

// check is step 1 of creating a connection to an OpenID provider.
func (in oidcInput) check() error {
	switch {
	case in.clientID == "":
		return invalid("Please provide the clientId from OpenID Provider")
	case in.clientSecret == "":
		return invalid("Please provide the clientSecret from OpenID Provider")
	case in.discoveryURL != "":
		return nil
	case in.metadata == nil:
		return invalid("Please provide the discoveryUrl or issuer metadata for the OpenID Provider")
	}
	return checkMetadata(in.metadata)
}

func checkMetadata(metadata map[string]any) error {
	for _, name := range []string{"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} {
		if params(metadata).text(name) == "" {
			return invalid(`"` + name + `" missing in the metadata for the OpenID Provider`)
		}
	}
	return nil
}

// createOIDC makes a connection to an OpenID provider, or replaces the one of the same client. As with Polis,
// client_secret_post authenticates us there, PKCE is always used, and nothing is fetched before the first login.
func (h *handler) createOIDC(ctx context.Context, p params) (answer, error) {
	provider, err := readOIDC(p)
	if err != nil {
		return answer{}, err
	}
	in, err := readInput(p)
	if err != nil {
		return answer{}, err
	}
	if err := in.check(func(input) error { return provider.check() }); err != nil {
		return answer{}, err
	}
	in.connection.OIDC = &sso.OIDC{DiscoveryURL: provider.discoveryURL, ClientID: provider.clientID, ClientSecret: provider.clientSecret,
		AuthMethod: federation.AuthSecretPost, PKCE: sso.PKCEForce}
	if provider.metadata != nil {
		if in.connection.OIDC.Metadata, err = h.metadata(ctx, provider.metadata); err != nil {
			return answer{}, err
		}
	}
	return h.put(ctx, in)
}

// metadata writes a provider's metadata as it is kept, and refuses what no login could use.
func (h *handler) metadata(ctx context.Context, members map[string]any) (json.RawMessage, error) {
	if err := checkMetadata(members); err != nil {
		return nil, err
	}
	text, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	_, err = h.SSO.OpenIDProvider(ctx, sso.OIDC{Metadata: text})
	return text, err
}

var errOIDCMismatch = invalid("Tenant/Product config mismatch with OIDC Provider metadata")

// updateOIDC changes the connection that a body of PATCH names. New metadata goes over what is there, and a discovery URL
// takes the place of both; the client id stays what it is.
func (h *handler) updateOIDC(ctx context.Context, p params) (sso.Connection, error) {
	c, err := h.authorized(ctx, p)
	if err != nil {
		return c, err
	}
	if c.OIDC == nil {
		return c, errNotOIDC
	}
	provider, err := readOIDC(p)
	if err != nil {
		return c, err
	}
	in, err := readInput(p)
	if err != nil {
		return c, err
	}
	if provider.clientID != "" && (provider.clientID != c.OIDC.ClientID || in.tenant != c.Tenant || in.product != c.Product) {
		return c, errOIDCMismatch
	}
	return h.SSO.Update(ctx, c.ID, func(c *sso.Connection) error {
		in.apply(c)
		return h.applyOIDC(ctx, provider, c.OIDC)
	})
}

// applyOIDC sets on o what the body holds.
func (h *handler) applyOIDC(ctx context.Context, in oidcInput, o *sso.OIDC) (err error) {
	if in.clientSecret != "" {
		o.ClientSecret = in.clientSecret
	}
	switch {
	case in.discoveryURL != "":
		o.DiscoveryURL, o.Metadata = in.discoveryURL, nil
	case in.metadata != nil:
		members := map[string]any{}
		if err := json.Unmarshal(o.Metadata, &members); err != nil && o.Metadata != nil {
			return err
		}
		maps.Copy(members, in.metadata)
		o.DiscoveryURL = ""
		o.Metadata, err = h.metadata(ctx, members)
	}
	return err
}
