package sso

import (
	"net/url"
	"strings"
)

// Provider is the host name by which a person may know the identity provider: that of the entity ID or the issuer where
// it is a URL, else that of the sign-in address, else "Unknown".
func (c Connection) Provider() string {
	idp := c.IdentityProvider
	addresses := []string{idp.EntityID, idp.SSORedirectURL, idp.SSOPostURL}
	if c.OIDC != nil {
		addresses = []string{c.OIDC.address()}
	}
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			return strings.TrimPrefix(u.Hostname(), "www.")
		}
	}
	return "Unknown"
}

var friendlyProviders = []struct{ host, name string }{
	{"okta.com", "Okta"},
	{"sts.windows.net", "Entra ID"},
	{"mocksaml.com", "MockSAML"},
	{"onelogin.com", "OneLogin"},
	{"keycloak.com", "Keycloak"},
	{"jumpcloud.com", "JumpCloud"},
	{"google.com", "Google"},
	{"auth0.com", "Auth0"},
	{"pingone.com", "PingOne"},
}

// FriendlyProvider is the product name behind a provider's host name, or "" where it is not a known one.
func FriendlyProvider(provider string) string {
	for _, p := range friendlyProviders {
		if strings.Contains(provider, p.host) {
			return p.name
		}
	}
	return ""
}
