package polis

import (
	"context"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/sso"
)

var (
	errCredentials = invalid("Please provide clientID/clientSecret or tenant/product/clientSecret")
	errNotFound    = invalid("No connection found for this clientID or tenant and product.")
	errSecret      = invalid("clientSecret mismatch")
	errMismatch    = invalid("Tenant/Product config mismatch with IdP metadata")
	errNotSAML     = invalid("This connection is to an OpenID Provider: send oidcDiscoveryUrl, oidcMetadata or isOIDC.")
	errNotOIDC     = invalid("This connection is to a SAML identity provider: send its metadata or isSAML.")
)

// updateSAML changes the connection that a body of PATCH names. Only what the body holds changes.
func (h *handler) updateSAML(ctx context.Context, p params) (sso.Connection, error) {
	c, err := h.authorized(ctx, p)
	if err != nil {
		return c, err
	}
	if c.OIDC != nil {
		return c, errNotSAML
	}
	in, err := readInput(p)
	if err != nil {
		return c, err
	}
	newMetadata := in.metadata != (sso.Metadata{})
	if newMetadata {
		in.connection.IdentityProvider, err = h.SSO.ReadMetadata(ctx, in.metadata)
		if err != nil {
			return c, err
		}
		if h.SSO.Digest(in.tenant+":"+in.product+":"+in.connection.IdentityProvider.EntityID) != c.ClientID {
			return c, errMismatch
		}
	}
	return h.SSO.Update(ctx, c.ID, func(c *sso.Connection) error {
		in.apply(c)
		if newMetadata {
			c.IdentityProvider, c.MetadataURL = in.connection.IdentityProvider, in.metadata.URL
		}
		return nil
	})
}

// authorized finds the connection that a body of PATCH names, once the body is well formed and knows its secret.
func (h *handler) authorized(ctx context.Context, p params) (sso.Connection, error) {
	if !p.filled("clientSecret") || !p.filled("clientID") && (!p.filled("tenant") || !p.filled("product")) {
		return sso.Connection{}, errCredentials
	}
	if utf8.RuneCountInString(p.text("description")) > maxDescription {
		return sso.Connection{}, errDescription
	}
	if _, err := p.sortOrder(); err != nil {
		return sso.Connection{}, err
	}
	urls, _, err := p.redirects()
	if err == nil {
		err = sso.ValidateRedirects(urls, p.text("defaultRedirectUrl"))
	}
	if err != nil {
		return sso.Connection{}, err
	}
	found, err := h.find(ctx, p)
	switch {
	case err != nil:
		return sso.Connection{}, err
	case len(found) == 0:
		return sso.Connection{}, errNotFound
	case !id.Equal(found[0].ClientSecret, p.text("clientSecret")):
		return sso.Connection{}, errSecret
	}
	return found[0], nil
}

// apply sets on c what the body holds.
func (in input) apply(c *sso.Connection) {
	from := in.connection
	for _, text := range []struct {
		given bool
		to    *string
		value string
	}{
		{in.params["name"] != nil, &c.Name, from.Name}, // null leaves these three, "" clears them
		{in.params["label"] != nil, &c.Label, from.Label},
		{in.params["description"] != nil, &c.Description, from.Description},
		{in.has("identifierFormat"), &c.NameIDFormat, from.NameIDFormat}, // null clears these
		{in.has("acsUrlOverride"), &c.ACSOverride, from.ACSOverride},
		{in.has("samlAudienceOverride"), &c.EntityIDOverride, from.EntityIDOverride},
	} {
		if text.given {
			*text.to = text.value
		}
	}
	if from.DefaultRedirectURL != "" {
		c.DefaultRedirectURL = from.DefaultRedirectURL
	}
	if in.redirectsGiven {
		c.RedirectURLs = from.RedirectURLs
	}
	if in.has("sortOrder") {
		c.SortOrder = from.SortOrder
	}
	if in.has("deactivated") {
		deactivated := in.flag("deactivated")
		c.Deactivated = &deactivated
	}
	if in.has("forceAuthn") && c.OIDC == nil {
		c.ForceAuthn = in.flag("forceAuthn")
	}
	if in.has("idpInitiated") && c.OIDC == nil {
		c.IdPInitiated = from.IdPInitiated
	}
}
