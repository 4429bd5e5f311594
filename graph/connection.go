package graph

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
)

type connectionNode struct {
	r *resolver
	c sso.Connection
}

func (n *connectionNode) ID() graphql.ID      { return graphql.ID(n.c.ID) }
func (n *connectionNode) ClientID() string    { return n.c.ClientID }
func (n *connectionNode) Name() string        { return n.c.Name }
func (n *connectionNode) Label() string       { return n.c.Label }
func (n *connectionNode) Description() string { return n.c.Description }
func (n *connectionNode) Title() string       { return n.c.Title() }
func (n *connectionNode) Active() bool        { return n.c.Active() }
func (n *connectionNode) Provider() string    { return n.c.Provider() }
func (n *connectionNode) Protocol() string    { return strings.ToUpper(n.c.Protocol()) }
func (n *connectionNode) EntityID() *string   { return ofSAML(n, n.c.IdentityProvider.EntityID) }
func (n *connectionNode) WantsSignedRequests() *bool {
	return ofSAML(n, n.c.IdentityProvider.WantAuthnRequestsSigned)
}
func (n *connectionNode) MetadataURL() *string  { return optional(n.c.MetadataURL) }
func (n *connectionNode) NameIDFormat() *string { return optional(n.c.NameIDFormat) }
func (n *connectionNode) Sessions() bool        { return n.c.Sessions }
func (n *connectionNode) ForceAuthn() bool      { return n.c.ForceAuthn }
func (n *connectionNode) SignRequests() *string {
	return ofSAML(n, strings.ToUpper(string(n.c.SignRequests)))
}
func (n *connectionNode) IDPInitiated() *bool         { return ofSAML(n, n.c.IdPInitiated) }
func (n *connectionNode) ACSURLOverride() *string     { return optional(n.c.ACSOverride) }
func (n *connectionNode) EntityIDOverride() *string   { return optional(n.c.EntityIDOverride) }
func (n *connectionNode) RedirectURLs() []string      { return list(n.c.RedirectURLs) }
func (n *connectionNode) DefaultRedirectURL() *string { return optional(n.c.DefaultRedirectURL) }
func (n *connectionNode) SPEntityID() *string         { return ofSAML(n, n.r.SSO.Audience(n.c)) }
func (n *connectionNode) ACSURL() *string             { return ofSAML(n, n.r.SSO.ACS(n.c)[0]) }
func (n *connectionNode) CreatedAt() graphql.Time     { return graphql.Time{Time: n.c.CreatedAt} }
func (n *connectionNode) UpdatedAt() graphql.Time     { return graphql.Time{Time: n.c.UpdatedAt} }

func (n *connectionNode) SPMetadataURL() *string {
	return ofSAML(n, n.r.PublicURL+"/.well-known/sp-metadata?connection="+url.QueryEscape(n.c.ID))
}

// ofSAML is null for connections to OpenID providers.
func ofSAML[T any](n *connectionNode, value T) *T {
	if n.c.OIDC != nil {
		return nil
	}
	return &value
}

// SortOrder fails alone where a number beyond GraphQL's 32 bits was given over another API.
func (n *connectionNode) SortOrder() (*int32, error) {
	if n.c.SortOrder == nil {
		return nil, nil
	}
	if *n.c.SortOrder < math.MinInt32 || *n.c.SortOrder > math.MaxInt32 {
		return nil, fault.New(fault.Invalid, "out_of_range", "The sort order does not fit 32 bits.")
	}
	order := int32(*n.c.SortOrder)
	return &order, nil
}

const automatic = "AUTO"

func (n *connectionNode) Binding() *string {
	if n.c.Binding == "" {
		return ofSAML(n, automatic)
	}
	return ofSAML(n, strings.ToUpper(string(n.c.Binding)))
}

type ssoURLs struct{ Redirect, Post *string }

func (n *connectionNode) SSOURLs() *ssoURLs {
	idp := n.c.IdentityProvider
	return ofSAML(n, ssoURLs{Redirect: optional(idp.SSORedirectURL), Post: optional(idp.SSOPostURL)})
}

type certificate struct {
	Subject             string
	NotBefore, NotAfter graphql.Time
	Expired             bool
	Fingerprint         string
}

func (n *connectionNode) Certificates() ([]certificate, error) {
	now := n.r.SSO.IDs.Now()
	out := make([]certificate, 0, len(n.c.IdentityProvider.Certificates))
	for _, der := range n.c.IdentityProvider.Certificates {
		c, err := readCertificate(der, now)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func readCertificate(der []byte, now time.Time) (certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return certificate{}, err
	}
	sum := sha256.Sum256(der)
	return certificate{Subject: c.Subject.String(), NotBefore: graphql.Time{Time: c.NotBefore.UTC()},
		NotAfter: graphql.Time{Time: c.NotAfter.UTC()}, Expired: now.After(c.NotAfter), Fingerprint: hex.EncodeToString(sum[:])}, nil
}

func (n *connectionNode) Organization(ctx context.Context) (*organizationNode, error) {
	return n.r.loadOrganization(ctx, n.c.OrganizationID)
}

func (n *connectionNode) Project(ctx context.Context) (*projectNode, error) {
	return n.r.loadProject(ctx, n.c.ProjectID)
}

func (r *resolver) Connection(ctx context.Context, args onlyID) (*connectionNode, error) {
	c, err := r.SSO.Get(ctx, string(args.ID))
	return orNull(&connectionNode{r, c}, err)
}

// metadataInput is an identity provider's metadata in one of three forms.
type metadataInput struct{ MetadataXML, MetadataBase64, MetadataURL *string }

// given names the form that was given, or "".
func (in metadataInput) given() (string, error) {
	var name string
	for _, form := range []struct {
		name  string
		value *string
	}{{"metadataXml", in.MetadataXML}, {"metadataBase64", in.MetadataBase64}, {"metadataUrl", in.MetadataURL}} {
		if form.value == nil {
			continue
		}
		if name != "" {
			return "", fault.At(form.name, "ambiguous", "Give the metadata in one form: metadataXml, metadataBase64 or metadataUrl.")
		}
		name = form.name
	}
	return name, nil
}

// readMetadata reads the metadata in whichever form was given into c.
func (r *resolver) readMetadata(ctx context.Context, in metadataInput, c *sso.Connection) error {
	m := sso.Metadata{XML: text(in.MetadataXML), Encoded: text(in.MetadataBase64), URL: text(in.MetadataURL)}
	idp, err := r.SSO.ReadMetadata(ctx, m)
	c.IdentityProvider, c.MetadataURL = idp, m.URL
	return err
}

// atForm names the input field that core calls metadata.
func atForm(err error, form string) error {
	f := fault.From(err)
	if err == nil || f.Field != "metadata" {
		return err
	}
	if form == "" {
		form = "metadataXml"
	}
	at := *f
	at.Field = form
	return &at
}

// connectionSettings is what can be chosen about a connection beside its metadata.
type connectionSettings struct {
	Name, Label, Description         *string
	SortOrder                        *int32
	Active                           *bool
	NameIDFormat                     *string
	ForceAuthn, Sessions             *bool
	SignRequests, Binding            *string
	IDPInitiated                     *bool
	ACSURLOverride, EntityIDOverride *string
	RedirectURLs                     *[]string
	DefaultRedirectURL               *string
}

// apply changes what was given.
func (in connectionSettings) apply(c *sso.Connection) {
	set(&c.Name, in.Name)
	set(&c.Label, in.Label)
	set(&c.Description, in.Description)
	set(&c.NameIDFormat, in.NameIDFormat)
	set(&c.ForceAuthn, in.ForceAuthn)
	set(&c.Sessions, in.Sessions)
	set(&c.IdPInitiated, in.IDPInitiated)
	set(&c.ACSOverride, in.ACSURLOverride)
	set(&c.EntityIDOverride, in.EntityIDOverride)
	set(&c.RedirectURLs, in.RedirectURLs)
	set(&c.DefaultRedirectURL, in.DefaultRedirectURL)
	if in.SortOrder != nil {
		order := int64(*in.SortOrder)
		c.SortOrder = &order
	}
	if in.Active != nil {
		deactivated := !*in.Active
		c.Deactivated = &deactivated
	}
	if in.SignRequests != nil {
		c.SignRequests = sso.Signing(strings.ToLower(*in.SignRequests))
	}
	if in.Binding != nil {
		c.Binding = federation.Binding(strings.ToLower(*in.Binding))
		if *in.Binding == automatic {
			c.Binding = ""
		}
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// connectionPayload serves the mutations that show a secret and those that do not.
type connectionPayload struct {
	Connection   *connectionNode
	ClientSecret *string
	Errors       []userError
}

func (r *resolver) connectionPayload(subject string, c sso.Connection, err error) (*connectionPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &connectionPayload{Errors: list}, err
	}
	return &connectionPayload{Connection: &connectionNode{r, c}, ClientSecret: optional(c.ClientSecret), Errors: list}, nil
}

func (r *resolver) CreateConnection(ctx context.Context, args struct {
	Input struct {
		OrganizationID graphql.ID
		OIDC           *createOIDCInput
		metadataInput
		connectionSettings
	}
}) (*connectionPayload, error) {
	forget(ctx)
	in := args.Input
	var c sso.Connection
	form, err := in.given()
	switch {
	case err != nil:
	case in.OIDC == nil:
		err = r.readMetadata(ctx, in.metadataInput, &c)
	case form != "":
		err = fault.At(form, "ambiguous", "Give a SAML identity provider's metadata, or oidc for an OpenID provider.")
	default:
		c.OIDC, err = in.OIDC.settings()
	}
	in.apply(&c)
	if err == nil && c.OIDC != nil {
		err = r.SSO.CheckOIDC(ctx, c)
	}
	if err == nil {
		c, err = r.SSO.Put(ctx, string(in.OrganizationID), c, false)
	}
	return r.connectionPayload("organizationId", c, atForm(err, form))
}

func (r *resolver) UpdateConnection(ctx context.Context, args struct {
	Input struct {
		ID   graphql.ID
		OIDC *oidcSettings
		metadataInput
		connectionSettings
	}
}) (*connectionPayload, error) {
	forget(ctx)
	in := args.Input
	var read, c sso.Connection
	form, err := in.given()
	if err == nil && form != "" {
		err = r.readMetadata(ctx, in.metadataInput, &read)
	}
	if err == nil {
		err = r.checkOIDC(ctx, string(in.ID), in.OIDC)
	}
	if err == nil {
		c, err = r.SSO.Update(ctx, string(in.ID), func(c *sso.Connection) error {
			in.apply(c)
			switch {
			case in.OIDC != nil && c.OIDC == nil:
				return fault.At("oidc", "immutable", "This is a connection to a SAML identity provider. Make a new one for an OpenID provider.")
			case in.OIDC != nil:
				return in.OIDC.apply(c.OIDC)
			case form != "" && c.OIDC != nil:
				return fault.At(form, "immutable", "This is a connection to an OpenID provider. Make a new one for a SAML identity provider.")
			case form != "":
				c.IdentityProvider, c.MetadataURL = read.IdentityProvider, read.MetadataURL
			}
			return nil
		})
	}
	return r.connectionPayload("id", c, atForm(err, form))
}

func (r *resolver) RefreshConnectionMetadata(ctx context.Context, args struct{ Input onlyID }) (*connectionPayload, error) {
	forget(ctx)
	c, err := r.refresh(ctx, string(args.Input.ID))
	return r.connectionPayload("id", c, atForm(err, "id"))
}

func (r *resolver) refresh(ctx context.Context, id string) (sso.Connection, error) {
	c, err := r.SSO.Get(ctx, id)
	if err != nil {
		return c, err
	}
	if c.OIDC != nil {
		return c, fault.At("id", "no_metadata_url", "What an OpenID provider publishes is read anew by itself.")
	}
	if c.MetadataURL == "" {
		return c, fault.At("id", "no_metadata_url", "The connection's metadata was given as text. Update it with metadataUrl first.")
	}
	idp, err := r.SSO.ReadMetadata(ctx, sso.Metadata{URL: c.MetadataURL})
	if err != nil {
		return c, err
	}
	return r.SSO.Update(ctx, id, func(c *sso.Connection) error {
		c.IdentityProvider = idp
		return nil
	})
}

func (r *resolver) DeleteConnection(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.SSO.Delete(ctx, string(args.Input.ID)))
}
