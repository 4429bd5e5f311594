package polis

import (
	"crypto/sha1" // Polis names certificates by it; nothing is verified with it
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/portico-sso/portico/core/sso"
)

// record is a connection as Polis shows it (§1.1). Members that Polis leaves undefined are absent.
type record struct {
	DefaultRedirectURL   string        `json:"defaultRedirectUrl"`
	RedirectURL          []string      `json:"redirectUrl"`
	Tenant               string        `json:"tenant"`
	Product              string        `json:"product"`
	Name                 string        `json:"name,omitempty"`
	Label                string        `json:"label,omitempty"`
	Description          string        `json:"description,omitempty"`
	ClientID             string        `json:"clientID"`
	ClientSecret         string        `json:"clientSecret"`
	ForceAuthn           *bool         `json:"forceAuthn,omitempty"` // of SAML, where it is always there
	IdentifierFormat     string        `json:"identifierFormat,omitempty"`
	MetadataURL          string        `json:"metadataUrl,omitempty"`
	SortOrder            *int64        `json:"sortOrder"` // null where there is none
	ACSURLOverride       string        `json:"acsUrlOverride,omitempty"`
	SAMLAudienceOverride string        `json:"samlAudienceOverride,omitempty"`
	IdPInitiated         bool          `json:"idpInitiated,omitempty"` // Portico's own
	IdPMetadata          *idpMetadata  `json:"idpMetadata,omitempty"`  // of SAML
	OIDCProvider         *oidcProvider `json:"oidcProvider,omitempty"` // of OpenID Connect
	Deactivated          *bool         `json:"deactivated,omitempty"`
}

type oidcProvider struct {
	ClientID             string          `json:"clientId"`
	ClientSecret         string          `json:"clientSecret"`
	DiscoveryURL         string          `json:"discoveryUrl,omitempty"`
	Metadata             json.RawMessage `json:"metadata,omitempty"`
	Provider             string          `json:"provider"`
	FriendlyProviderName any             `json:"friendlyProviderName,omitempty"` // as below
}

type idpMetadata struct {
	SSO                  bindings `json:"sso"`
	SLO                  bindings `json:"slo"`
	EntityID             string   `json:"entityID"`
	PublicKey            string   `json:"publicKey"`
	Thumbprint           string   `json:"thumbprint"`
	ValidTo              string   `json:"validTo"`
	LoginType            string   `json:"loginType"`
	Provider             string   `json:"provider"`
	FriendlyProviderName any      `json:"friendlyProviderName,omitempty"` // a nil *string is null, nothing is absent
}

type bindings struct {
	PostURL     string `json:"postUrl,omitempty"`
	RedirectURL string `json:"redirectUrl,omitempty"`
}

// recordOf is the record that POST answers with.
func recordOf(c sso.Connection) record {
	r := record{
		DefaultRedirectURL: c.DefaultRedirectURL, RedirectURL: append([]string{}, c.RedirectURLs...),
		Tenant: c.Tenant, Product: c.Product, Name: c.Name, Label: c.Label, Description: c.Description,
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, SortOrder: c.SortOrder, ACSURLOverride: c.ACSOverride,
		SAMLAudienceOverride: c.EntityIDOverride, Deactivated: c.Deactivated,
	}
	if o := c.OIDC; o != nil {
		r.OIDCProvider = &oidcProvider{ClientID: o.ClientID, ClientSecret: o.ClientSecret, DiscoveryURL: o.DiscoveryURL,
			Metadata: o.Metadata, Provider: c.Provider()}
		return r
	}
	idp := c.IdentityProvider
	r.ForceAuthn, r.IdentifierFormat, r.MetadataURL, r.IdPInitiated = &c.ForceAuthn, c.NameIDFormat, c.MetadataURL, c.IdPInitiated
	r.IdPMetadata = &idpMetadata{
		SSO: bindings{idp.SSOPostURL, idp.SSORedirectURL}, SLO: bindings{idp.SLOPostURL, idp.SLORedirectURL},
		EntityID: idp.EntityID, LoginType: "idp", Provider: c.Provider(),
	}
	r.IdPMetadata.PublicKey, r.IdPMetadata.Thumbprint, r.IdPMetadata.ValidTo = certificates(idp.Certificates)
	return r
}

// listed is the record that GET answers with.
func listed(c sso.Connection) record {
	r := recordOf(c)
	deactivated := !c.Active()
	r.Deactivated = &deactivated
	var friendly *string
	if name := sso.FriendlyProvider(c.Provider()); name != "" {
		friendly = &name
	}
	if r.OIDCProvider != nil {
		r.OIDCProvider.FriendlyProviderName = friendly
	} else {
		r.IdPMetadata.FriendlyProviderName = friendly
	}
	return r
}

func listedAll(connections []sso.Connection) []record {
	records := make([]record, 0, len(connections))
	for _, c := range connections {
		records = append(records, listed(c))
	}
	return records
}

// certificates describes signing certificates, several of them joined by commas: base64, SHA-1 of the DER, and the end
// of validity as OpenSSL prints it.
func certificates(list [][]byte) (publicKey, thumbprint, validTo string) {
	var keys, prints, ends []string
	for _, der := range list {
		sum := sha1.Sum(der)
		keys = append(keys, base64.StdEncoding.EncodeToString(der))
		prints = append(prints, hex.EncodeToString(sum[:]))
		if parsed, err := x509.ParseCertificate(der); err == nil {
			ends = append(ends, parsed.NotAfter.UTC().Format("Jan _2 15:04:05 2006 GMT"))
		}
	}
	return strings.Join(keys, ","), strings.Join(prints, ","), strings.Join(ends, ",")
}
