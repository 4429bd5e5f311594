package sso

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
)

// Metadata is an identity provider's metadata in one of three forms; where several are given, URL wins over
// Encoded, and Encoded over XML.
type Metadata struct {
	XML     string
	Encoded string // base64 of the XML
	URL     string // fetched now
}

// ReadMetadata fetches, decodes and reads metadata. Faults: Invalid at metadata or metadataUrl; a StatusError of the
// fetch stays within reach of errors.As.
func (s *Service) ReadMetadata(ctx context.Context, m Metadata) (federation.IdentityProvider, error) {
	text, err := s.metadataText(ctx, m)
	if err != nil {
		return federation.IdentityProvider{}, err
	}
	idp, err := s.SAML.ReadMetadata(text)
	var refused *federation.Error
	if errors.As(err, &refused) {
		return idp, &fault.Error{Kind: fault.Invalid, Code: "metadata_" + string(refused.Code), Message: refused.Detail,
			Field: "metadata", Err: err}
	}
	s.warnOfExpired(ctx, idp)
	return idp, err
}

// warnOfExpired tells the log which of a provider's certificates are over. Metadata says which key is trusted, not for
// how long (SAML V2.0 Metadata Interoperability Profile §2.6.1), so they are taken all the same.
func (s *Service) warnOfExpired(ctx context.Context, idp federation.IdentityProvider) {
	for _, der := range idp.Certificates {
		if c, err := x509.ParseCertificate(der); err == nil && s.now().After(c.NotAfter) {
			s.Logger.WarnContext(ctx, "certificate of an identity provider has expired", "entity_id", idp.EntityID, "not_after", c.NotAfter)
		}
	}
}

func (s *Service) metadataText(ctx context.Context, m Metadata) ([]byte, error) {
	switch {
	case m.URL != "":
		return s.fetchMetadata(ctx, m.URL)
	case m.Encoded != "":
		text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(m.Encoded), ""))
		if err != nil {
			return nil, fault.At("metadata", "metadata_malformed", "The encoded metadata is not base64.")
		}
		return text, nil
	case m.XML != "":
		return []byte(m.XML), nil
	}
	return nil, fault.At("metadata", "required", "Give the identity provider's metadata: as XML, as base64 or as a URL.")
}

func (s *Service) fetchMetadata(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || !localhost(u.Hostname()))) {
		return nil, fault.At("metadataUrl", "metadata_url", "Metadata URL not valid, allowed ones are localhost/HTTPS URLs")
	}
	doc, err := s.Fetch.Fetch(ctx, address, federation.MaxMetadata)
	switch {
	case errors.Is(err, outbound.ErrForbidden):
		return nil, &fault.Error{Kind: fault.Invalid, Code: "metadata_url", Field: "metadataUrl", Err: err,
			Message: "Metadata URL not valid, private IPs are not allowed"}
	case err != nil:
		return nil, &fault.Error{Kind: fault.Invalid, Code: "metadata_fetch", Field: "metadataUrl", Err: err,
			Message: "Couldn't fetch XML data"}
	}
	return doc.Body, nil
}

func localhost(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// Put makes a connection of an organization from c's settings, or replaces the one to the same identity provider,
// which keeps its id, client secret and time of creation. replace false refuses that: Taken at metadata or oidc.clientId.
// Faults: NotFound of the organization, Invalid, Taken.
func (s *Service) Put(ctx context.Context, organizationID string, c Connection, replace bool) (Connection, error) {
	if err := validConnection(&c); err != nil {
		return Connection{}, err
	}
	c.ID, c.ClientSecret = s.IDs.UUID(), s.IDs.Hex(24)
	p := put{given: c, replace: replace}
	err := s.repo.Once(ctx, &p.op, func() error { return s.put(ctx, organizationID, &p) })
	s.cached.Clear()
	s.Events.Wake(p.sent.ProjectID)
	if store.Taken(err, connections, byClient) {
		return Connection{}, &fault.Error{Kind: fault.Taken, Code: "taken", Field: c.providerField(), Err: err,
			Message: "The organization already has a connection to this identity provider."}
	}
	p.sent.Version++
	return p.sent, s.repo.Fault(err)
}

// put is a Put under way.
type put struct {
	given   Connection // with the id and secret of a new one
	replace bool
	sent    Connection // what the last commit has, and its operation
	op      store.Op
	lost    bool // that commit's answer
}

func (s *Service) put(ctx context.Context, organizationID string, p *put) error {
	o, project, err := s.place(ctx, organizationID)
	if err != nil {
		return err
	}
	c := p.given
	c.OrganizationID, c.Tenant, c.ProjectID, c.Product = o.ID, o.Slug, project.ID, project.Slug
	c.ClientID = s.Digest(o.Slug + ":" + project.Slug + ":" + c.providerKey())
	c.UpdatedAt = s.now()
	c.CreatedAt = c.UpdatedAt
	guard := []store.Op{s.Organizations.Check(o)}
	was := Connection{}
	switch old, err := s.ByClientID(ctx, c.ClientID); {
	case err == nil && p.lost && (old.ID != p.sent.ID || old.Version != p.sent.Version): // it came late, or others came before
		p.lost = false
		return store.ErrConflict
	case err == nil && p.replace:
		c.ID, c.ClientSecret, c.CreatedAt, c.Version = old.ID, old.ClientSecret, old.CreatedAt, old.Version
		c.raise(old)
		c.EventSeq, was, guard = old.EventSeq, old, nil
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	}
	guard = append(guard, s.putEvent(was, &c)...)
	p.sent, p.op = c, s.repo.Insert(c)
	if c.Version > 0 {
		p.op = s.repo.Update(c)
	}
	err = s.Records.Commit(ctx, append(guard, p.op)...)
	p.lost = errors.Is(err, store.ErrUncertain)
	if p.replace && store.Taken(err, connections, byClient) {
		return store.ErrConflict // somebody else made it meanwhile: replace that one
	}
	return err
}

func (s *Service) place(ctx context.Context, organizationID string) (organization.Organization, project.Project, error) {
	o, err := s.Organizations.Get(ctx, organizationID)
	if err != nil {
		return o, project.Project{}, err
	}
	p, err := s.Projects.Get(ctx, o.ProjectID)
	return o, p, err
}

// Update changes a connection by change, which may be called again when another change was faster. What names the identity
// provider, and with it the client id, cannot change. Faults: NotFound, Invalid.
func (s *Service) Update(ctx context.Context, connectionID string, change func(*Connection) error) (Connection, error) {
	defer s.cached.Clear()
	c, err := s.repo.ChangeWith(ctx, connectionID, func(c *Connection) ([]store.Op, error) {
		before, protocol, provider := *c, c.Protocol(), c.providerKey()
		if err := change(c); err != nil {
			return nil, err
		}
		c.raise(before)
		if c.Protocol() != protocol || c.providerKey() != provider {
			return nil, fault.At(c.providerField(), "immutable", "This is the metadata of another identity provider. Make a new connection for it.")
		}
		c.UpdatedAt = s.now()
		if err := validConnection(c); err != nil {
			return nil, err
		}
		return s.activityEvent(before, c), nil
	})
	s.Events.Wake(c.ProjectID)
	return c, err
}

// Delete removes a connection. Faults: NotFound.
func (s *Service) Delete(ctx context.Context, connectionID string) error {
	defer s.cached.Clear()
	err := s.repo.RemoveWith(ctx, connectionID, func(c Connection) ([]store.Op, error) {
		return []store.Op{s.tell(&c, events.ConnectionDeleted, events.PolisSSODeleted)}, nil
	})
	s.Events.Wake("")
	return err
}

// Validate refuses the settings that Put and Update refuse. Faults: Invalid.
func Validate(c Connection) error { return validConnection(&c) }

// validConnection fills in defaults and refuses settings that could not work. Redirect URLs are validated here only
// for their number and form; what they admit is decided at each login.
func validConnection(c *Connection) error {
	if c.SignRequests == "" {
		c.SignRequests = SignAuto
	}
	switch c.SignRequests {
	case SignAuto, SignAlways, SignNever:
	default:
		return fault.At("signRequests", "invalid", "Requests are signed auto, always or never.")
	}
	if c.OIDC != nil {
		if err := validOIDC(c); err != nil {
			return err
		}
	}
	idp := c.IdentityProvider
	switch c.Binding {
	case "":
	case federation.BindingRedirect:
		if idp.SSORedirectURL == "" {
			return fault.At("binding", "invalid", "The identity provider's metadata has no HTTP-Redirect binding.")
		}
	case federation.BindingPost:
		if idp.SSOPostURL == "" {
			return fault.At("binding", "invalid", "The identity provider's metadata has no HTTP-POST binding.")
		}
	default:
		return fault.At("binding", "invalid", "The binding is redirect or post.")
	}
	for _, text := range []struct {
		field, value string
		bytes        int
	}{
		{"name", c.Name, 512}, {"label", c.Label, 512}, {"description", c.Description, 400},
		{"nameIdFormat", c.NameIDFormat, 512}, {"entityIdOverride", c.EntityIDOverride, maxEntityID},
	} {
		if len(text.value) > text.bytes {
			return fault.At(text.field, "too_long", "This text is too long.")
		}
	}
	if c.ACSOverride != "" && !absoluteURL(c.ACSOverride) {
		return fault.At("acsUrlOverride", "invalid", "The ACS address must be an absolute http or https URL.")
	}
	return ValidateRedirects(c.RedirectURLs, c.DefaultRedirectURL)
}

// providerField is the input field that says which identity provider it is.
func (c Connection) providerField() string {
	switch {
	case c.OIDC == nil:
		return "metadata"
	case c.OIDC.DiscoveryURL != "":
		return "oidc.discoveryUrl"
	}
	return "oidc.metadata"
}

const maxRedirects = 100

// ValidateRedirects refuses more redirect URLs than a connection may have, and those that could not be one. An entry
// may be https://host/*, https://*.example.com or have a scheme of its own. Faults: Invalid.
func ValidateRedirects(urls []string, defaultURL string) error {
	if len(urls) > maxRedirects {
		return fault.At("redirectUrls", "too_many", "Exceeded maximum number of allowed redirect urls")
	}
	for _, u := range urls {
		if !redirectTarget(u) {
			return fault.At("redirectUrls", "invalid", "redirectUrl is invalid")
		}
	}
	if defaultURL != "" && !redirectTarget(defaultURL) {
		return fault.At("defaultRedirectUrl", "invalid", "defaultRedirectUrl is invalid")
	}
	return nil
}

// redirectTarget reports whether a URL may be registered: absolute, without fragment, and never one that a browser
// would run. Apps may use a scheme of their own (RFC 8252 §7.1).
func redirectTarget(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Fragment != "" || (u.Host == "" && u.Path == "" && u.Opaque == "") {
		return false
	}
	switch strings.ToLower(u.Scheme) {
	case "javascript", "data", "vbscript", "file", "blob", "about", "filesystem":
		return false
	case "http", "https":
		return u.Host != "" && u.User == nil
	}
	return true
}

func absoluteURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Fragment == ""
}
