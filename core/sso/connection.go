// Package sso keeps connections to identity providers and runs logins through them.
package sso

import (
	"time"

	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/store"
)

// Connection is one identity provider of an organization.
type Connection struct {
	ID             string `json:"id"`
	ProjectID      string `json:"projectId"`
	OrganizationID string `json:"organizationId"`
	Product        string `json:"product"` // the project's slug
	Tenant         string `json:"tenant"`  // the organization's slug

	// The connection as an OAuth client, in the manner of Polis.
	ClientID           string   `json:"clientId"`     // digest of product, tenant and what names the provider
	ClientSecret       string   `json:"clientSecret"` // sealed with the rest, since Polis's API shows it again
	DefaultRedirectURL string   `json:"defaultRedirectUrl,omitempty"`
	RedirectURLs       []string `json:"redirectUrls,omitempty"`
	Polis              bool     `json:"polis,omitempty"` // made over /api/v1/sso: its redirect URLs may end in /*

	Name        string `json:"name,omitempty"`
	Label       string `json:"label,omitempty"`
	Description string `json:"description,omitempty"`
	SortOrder   *int64 `json:"sortOrder,omitempty"` // larger comes first in the chooser
	Deactivated *bool  `json:"deactivated,omitempty"`
	Epoch       int64  `json:"epoch,omitempty"`    // raised to end all access that was given before
	Sessions    bool   `json:"sessions,omitempty"` // as a client of its own, it has people stay signed in; applications always do

	OIDC *OIDC `json:"oidc,omitempty"` // nil: the provider speaks SAML, and the rest is of that

	MetadataURL      string                      `json:"metadataUrl,omitempty"`
	IdentityProvider federation.IdentityProvider `json:"identityProvider"`
	NameIDFormat     string                      `json:"nameIdFormat,omitempty"`
	ForceAuthn       bool                        `json:"forceAuthn,omitempty"`
	SignRequests     Signing                     `json:"signRequests"`
	Binding          federation.Binding          `json:"binding,omitempty"` // "" takes redirect where there is one
	IdPInitiated     bool                        `json:"idpInitiated,omitempty"`
	ACSOverride      string                      `json:"acsUrlOverride,omitempty"`
	EntityIDOverride string                      `json:"entityIdOverride,omitempty"` // Polis: samlAudienceOverride

	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`

	EventSeq int64 `json:"eventSeq,omitempty"` // the number of its last event

	Version int64 `json:"-"`

	organizationOff   bool // as of its organization, where it was read for a login
	organizationEpoch int64
}

// Active reports whether people may sign in through the connection. Of one that was read for a login, the organization
// counts, too.
func (c Connection) Active() bool {
	return !c.organizationOff && (c.Deactivated == nil || !*c.Deactivated)
}

// AccessEpoch is raised when the connection or its organization is deactivated: access that was given at another one has
// ended. It is that of a connection that was read for a login.
func (c Connection) AccessEpoch() int64 { return c.Epoch + c.organizationEpoch }

// raise ends the access that was given before a change that deactivates.
func (c *Connection) raise(before Connection) {
	if c.Epoch = before.Epoch; before.Active() && !c.Active() {
		c.Epoch++
	}
}

// Protocol is what the identity provider speaks: "saml" or "oidc".
func (c Connection) Protocol() string {
	if c.OIDC != nil {
		return "oidc"
	}
	return "saml"
}

// providerKey is what names the identity provider among those of an organization. For Polis's API that is the client id
// that an OpenID provider gave; but two of them may give the same one.
func (c Connection) providerKey() string {
	switch {
	case c.OIDC == nil:
		return c.IdentityProvider.EntityID
	case c.Polis:
		return c.OIDC.ClientID
	}
	return c.OIDC.address() + " " + c.OIDC.ClientID
}

// Title is what a person reads in the chooser. Polis reads the name there (contract §2.3), so it comes first where
// Polis's API made the connection.
func (c Connection) Title() string {
	label, name := c.Label, c.Name
	if c.Polis {
		label, name = name, label
	}
	known := FriendlyProvider(c.Provider())
	if c.OIDC != nil && c.OIDC.Preset != "" {
		known = presets[c.OIDC.Preset].name
	}
	for _, s := range []string{label, name, known} {
		if s != "" {
			return s
		}
	}
	return c.Provider()
}

// Signing says whether requests to the identity provider are signed.
type Signing string

// Ways of signing requests.
const (
	SignAuto   Signing = "auto" // as the provider's metadata asks
	SignAlways Signing = "always"
	SignNever  Signing = "never"
)

// DefaultNameIDFormat is asked for where a connection names no format.
const DefaultNameIDFormat = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"

const (
	connections   = "connections"
	loginRequests = "login_requests"
	replays       = "replays"

	byClient       = "by_client"
	byOrganization = "by_organization"
	byTenant       = "by_tenant"
	byProject      = "by_project"
	byEntity       = "by_entity"
)

// Collections declares what this module keeps in the store of records.
func Collections() store.Schema {
	return store.Schema{{Name: connections, Sealed: true, Keys: record.Keys(connectionDoc), Indexes: []store.Index{
		{Name: byClient, Fields: []string{"client"}, Unique: true},
		{Name: byOrganization, Fields: []string{"organization"}},
		{Name: byTenant, Fields: []string{"product", "tenant"}},
		{Name: byProject, Fields: []string{"project"}},
		{Name: byEntity, Fields: []string{"entity"}},
	}}}
}

// SessionCollections declares what this module keeps in the store of sessions.
func SessionCollections() store.Schema {
	return store.Schema{
		{Name: loginRequests, Expires: true, Sealed: true},
		{Name: replays, Expires: true},
	}
}

func connectionDoc(c Connection) store.Doc {
	return store.Doc{ID: c.ID, Version: c.Version, Keys: map[string]string{
		"client":       c.ClientID,
		"organization": c.OrganizationID,
		"product":      key.Text(c.Product),
		"tenant":       key.Text(c.Tenant),
		"project":      c.ProjectID,
		"entity":       key.Text(c.IdentityProvider.EntityID),
	}}
}
