package sso

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/federation"
)

// OIDC is what a connection to an OpenID provider has in place of SAML metadata.
type OIDC struct {
	Preset       Preset          `json:"preset,omitempty"`
	DiscoveryURL string          `json:"discoveryUrl,omitempty"` // or an issuer, below which the document is
	Metadata     json.RawMessage `json:"metadata,omitempty"`     // in place of DiscoveryURL: a JSON object as discovery has it
	ClientID     string          `json:"clientId"`
	ClientSecret string          `json:"clientSecret,omitempty"`

	AuthMethod        federation.AuthMethod `json:"authMethod,omitempty"` // "" takes what the provider announces
	AssertionAudience AssertionAudience     `json:"assertionAudience,omitempty"`
	PKCE              PKCE                  `json:"pkce,omitempty"`
	HMAC              bool                  `json:"hmac,omitempty"`           // tokens are signed with the client secret
	Scopes            []string              `json:"scopes,omitempty"`         // nil is DefaultScopes
	Params            []federation.Param    `json:"params,omitempty"`         // further ones of authorization requests
	RequiredClaims    []RequiredClaim       `json:"requiredClaims,omitempty"` // without which nobody signs in
}

// RequiredClaim is a claim that must have, or be a list that holds, one of some values.
type RequiredClaim struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// PKCE says whether logins prove themselves by a code verifier (RFC 7636, S256).
type PKCE string

// Uses of PKCE.
const (
	PKCEAuto  PKCE = "auto"  // where the provider announces S256
	PKCEForce PKCE = "force" // always; such connections share one callback
	PKCENever PKCE = "never"
)

// AssertionAudience says for whom a client assertion is (private_key_jwt).
type AssertionAudience string

// Audiences of client assertions. Newer specifications want the issuer, some providers their token endpoint.
const (
	AudienceIssuer        AssertionAudience = "issuer"
	AudienceTokenEndpoint AssertionAudience = "token_endpoint"
)

// DefaultScopes are asked for where a connection names none.
var DefaultScopes = []string{"openid", "email", "profile"}

// The addresses to which OpenID providers send people back. Connections of Polis's API share the first, those with forced
// PKCE the second; any other has one of its own, so that an answer of one provider can never pass for another's.
const (
	OIDCCallbackPath       = "/api/oauth/oidc"
	OIDCSharedCallbackPath = "/self-service/methods/oidc/callback"
)

// OIDCOwnCallbackPath is the path of a connection's own callback.
func OIDCOwnCallbackPath(organizationID, connectionID string) string {
	return "/self-service/methods/oidc/organization/" + organizationID + "/callback/" + connectionID
}

// ClientKeysPath is where the keys of ClientKeys are published.
const ClientKeysPath = "/oauth/client-jwks"

// ClientKey is an RSA key with which we authenticate at OpenID providers, as RFC 7517 writes it.
type ClientKey struct {
	KeyType string   `json:"kty"`
	Use     string   `json:"use"`
	KeyID   string   `json:"kid"`
	Alg     string   `json:"alg"`
	N       string   `json:"n"`
	E       string   `json:"e"`
	Chain   []string `json:"x5c"` // base64 of DER
}

// ClientKeys are the keys that OpenID providers verify client assertions with (private_key_jwt): our SAML key, by which
// identity providers know us.
func (s *Service) ClientKeys() []ClientKey {
	public, ok := s.Key.Signer.Public().(*rsa.PublicKey)
	if !ok {
		return []ClientKey{}
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return []ClientKey{{KeyType: "RSA", Use: "sig", KeyID: s.Key.KeyID, Alg: "RS256", N: b64(public.N.Bytes()),
		E: b64(big.NewInt(int64(public.E)).Bytes()), Chain: []string{base64.StdEncoding.EncodeToString(s.Key.Certificate)}}}
}

// Callback is the redirect URI that is registered at the connection's OpenID provider.
func (s *Service) Callback(c Connection) string {
	switch {
	case c.Polis:
		return s.PublicURL + OIDCCallbackPath
	case c.OIDC != nil && c.OIDC.PKCE == PKCEForce:
		return s.PublicURL + OIDCSharedCallbackPath
	}
	return s.PublicURL + OIDCOwnCallbackPath(c.OrganizationID, c.ID)
}

// OpenIDProvider reads the metadata of a connection's provider: what was given, or what it publishes. Faults: Unavailable
// where it does not answer, Invalid at oidc.metadata or oidc.discoveryUrl.
func (s *Service) OpenIDProvider(ctx context.Context, o OIDC) (federation.OpenIDProvider, error) {
	if len(o.Metadata) > 0 {
		p, err := s.OIDC.ReadProvider(o.Metadata)
		return p, metadataFault(err, "oidc.metadata")
	}
	p, err := s.OIDC.Discover(ctx, o.DiscoveryURL)
	return p, metadataFault(err, "oidc.discoveryUrl")
}

func metadataFault(err error, field string) error {
	var refused *federation.OIDCError
	if !errors.As(err, &refused) {
		return err
	}
	f := fault.From(oidcRefusal(err))
	switch refused.Code {
	case federation.OIDCUnreachable, federation.OIDCBusy:
		return f
	case federation.OIDCMetadata:
		f.Message = sentence(refused.Detail)
	case federation.OIDCForbidden:
		f.Message = "The discovery URL is not valid, private addresses are not allowed."
	}
	f.Kind, f.Field = fault.Invalid, field
	return f
}

// sentence gives a detail the form of one.
func sentence(detail string) string {
	if detail == "" || strings.HasSuffix(detail, ".") {
		return detail
	}
	return strings.ToUpper(detail[:1]) + detail[1:] + "."
}

// CheckOIDC refuses a connection that could not work, or that would let anybody in; it asks the provider for what that
// takes. Faults: Invalid, Unavailable.
func (s *Service) CheckOIDC(ctx context.Context, c Connection) error {
	if err := Validate(c); err != nil {
		return err
	}
	p, err := s.OpenIDProvider(ctx, *c.OIDC)
	if fault.Is(err, fault.Unavailable) {
		err = &fault.Error{Kind: fault.Invalid, Code: "oidc_unreachable", Field: "oidc.discoveryUrl", Err: err,
			Message: "The identity provider does not answer at its discovery URL."}
	}
	if err != nil {
		return err
	}
	named := slices.ContainsFunc(c.OIDC.RequiredClaims, func(r RequiredClaim) bool { return r.Name == "tid" })
	if strings.Contains(p.Issuer, federation.TenantPlaceholder) && !named && !c.Polis {
		return fault.At("oidc.requiredClaims", "required",
			"People of every tenant could sign in here. Name the tenants that may: require the claim tid to be one of their ids.")
	}
	return nil
}

// address is what names the provider: its discovery URL without what all of those end in, or the issuer of its metadata.
func (o OIDC) address() string {
	if o.DiscoveryURL != "" {
		base, _, _ := strings.Cut(o.DiscoveryURL, "/.well-known/")
		return strings.TrimSuffix(base, "/")
	}
	var metadata struct {
		Issuer string `json:"issuer"`
	}
	_ = json.Unmarshal(o.Metadata, &metadata) // was checked when the connection was made
	return strings.TrimSuffix(metadata.Issuer, "/")
}

// Limits of what an administrator may ask for.
const (
	maxClientID    = 1024 // bytes
	maxSecret      = 4096
	maxScopes      = 50
	maxParams      = 20
	maxParamBytes  = 1024
	maxClaims      = 10
	maxClaimValues = 200
	minMACSecret   = 32 // bytes (RFC 7518 §3.2)
)

// reserved are the parameters of authorization requests that are ours.
var reserved = []string{"client_id", "client_secret", "client_assertion", "client_assertion_type", "code_challenge", "code_challenge_method",
	"nonce", "redirect_uri", "request", "request_uri", "response_mode", "response_type", "scope", "state"}

// validOIDC fills in defaults and refuses settings that could not work, or that are of SAML alone.
func validOIDC(c *Connection) error {
	for field, given := range map[string]bool{"nameIdFormat": c.NameIDFormat != "", "binding": c.Binding != "", "idpInitiated": c.IdPInitiated,
		"acsUrlOverride": c.ACSOverride != "", "entityIdOverride": c.EntityIDOverride != "", "signRequests": c.SignRequests != SignAuto} {
		if given && !c.Polis { // which passes over what it does not need
			return fault.At(field, "invalid", "This is a setting of SAML alone.")
		}
	}
	o := c.OIDC
	if o.PKCE == "" {
		o.PKCE = PKCEAuto
	}
	if o.AssertionAudience == "" {
		o.AssertionAudience = AudienceIssuer
	}
	switch {
	case o.Preset != "" && presets[o.Preset].name == "":
		return fault.At("oidc.preset", "invalid", "There is no such preset.")
	case (o.DiscoveryURL == "") == (len(o.Metadata) == 0):
		return fault.At("oidc.discoveryUrl", "required", "Give the OpenID provider's discovery URL, or its metadata.")
	case o.DiscoveryURL != "" && !providerURL(o.DiscoveryURL):
		return fault.At("oidc.discoveryUrl", "invalid", "The discovery URL is not valid: give an https URL, or one of localhost.")
	case len(o.Metadata) > federation.MaxOpenIDMetadata:
		return fault.At("oidc.metadata", "too_long", "The metadata is too long.")
	case o.ClientID == "" || len(o.ClientID) > maxClientID:
		return fault.At("oidc.clientId", "required", "Give the client id that the OpenID provider has for this service.")
	case len(o.ClientSecret) > maxSecret:
		return fault.At("oidc.clientSecret", "too_long", "The client secret is too long.")
	case o.PKCE != PKCEAuto && o.PKCE != PKCEForce && o.PKCE != PKCENever:
		return fault.At("oidc.pkce", "invalid", "PKCE is auto, force or never.")
	case o.AssertionAudience != AudienceIssuer && o.AssertionAudience != AudienceTokenEndpoint:
		return fault.At("oidc.assertionAudience", "invalid", "The audience of client assertions is issuer or token_endpoint.")
	case o.HMAC && len(o.ClientSecret) < minMACSecret:
		return fault.At("oidc.hmac", "weak_secret", "Tokens signed with the client secret need one of at least 32 bytes.")
	}
	if err := validAuthMethod(o); err != nil {
		return err
	}
	if err := validScopes(o.Scopes); err != nil {
		return err
	}
	if err := validParams(o.Params); err != nil {
		return err
	}
	return validClaims(o.RequiredClaims)
}

func validAuthMethod(o *OIDC) error {
	switch o.AuthMethod {
	case "", federation.AuthPrivateKeyJWT:
	case federation.AuthSecretBasic, federation.AuthSecretPost:
		if o.ClientSecret == "" {
			return fault.At("oidc.clientSecret", "required", "This way of client authentication needs a client secret.")
		}
	case federation.AuthNone:
		if o.PKCE == PKCENever {
			return fault.At("oidc.pkce", "invalid", "A client that does not authenticate needs PKCE.")
		}
	default:
		return fault.At("oidc.authMethod", "invalid", "Client authentication is client_secret_basic, client_secret_post, private_key_jwt or none.")
	}
	return nil
}

func validScopes(scopes []string) error {
	odd := func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' } // RFC 6749 §3.3
	for _, scope := range scopes {
		if scope == "" || len(scopes) > maxScopes || len(scope) > maxParamBytes || strings.ContainsFunc(scope, odd) {
			return fault.At("oidc.scopes", "invalid", "Scopes are at most 50 words.")
		}
	}
	return nil
}

func validParams(params []federation.Param) error {
	if len(params) > maxParams {
		return fault.At("oidc.parameters", "too_many", "A connection has at most 20 further parameters.")
	}
	seen := map[string]bool{}
	for _, p := range params {
		switch {
		case p.Name == "" || len(p.Name)+len(p.Value) > maxParamBytes:
			return fault.At("oidc.parameters", "invalid", "A parameter has a name, and no more than 1024 bytes.")
		case slices.Contains(reserved, p.Name):
			return fault.At("oidc.parameters", "reserved", "The parameter "+p.Name+" is set by this service.")
		case seen[p.Name]:
			return fault.At("oidc.parameters", "taken", "The parameter "+p.Name+" is given twice.")
		}
		seen[p.Name] = true
	}
	return nil
}

func validClaims(required []RequiredClaim) error {
	seen := map[string]bool{}
	for _, r := range required {
		if r.Name == "" || len(r.Values) == 0 || len(r.Values) > maxClaimValues || len(required) > maxClaims || seen[r.Name] {
			return fault.At("oidc.requiredClaims", "invalid", "Required claims are at most 10 different names, each with 1 to 200 values.")
		}
		seen[r.Name] = true
	}
	return nil
}

// providerURL: https, or http to this very machine.
func providerURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && u.User == nil && !strings.ContainsRune(text, '#') &&
		(u.Scheme == "https" || u.Scheme == "http" && localhost(u.Hostname()))
}

// scopes are what an authorization request asks for. Polis's clients say it themselves (contract §2.2).
func (o OIDC) scopes(asked []string) []string {
	own := o.Scopes
	if own == nil {
		own = DefaultScopes
	}
	var scopes []string
	for _, scope := range slices.Concat(asked, own, []string{"openid"}) {
		if !slices.Contains(scopes, scope) && !strings.ContainsAny(scope, "=&") { // those name a tenant (§2.1)
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// pkce reports whether a login through the provider proves itself.
func (o OIDC) pkce(p federation.OpenIDProvider) bool {
	return o.PKCE == PKCEForce || o.PKCE == PKCEAuto && p.PKCE || o.authMethod(p) == federation.AuthNone
}

// authMethod is how we authenticate at the provider: as the connection says, else in the way that is registered for a
// client of which nothing was said (OpenID Connect Discovery §3), as long as the provider does not know another one alone.
func (o OIDC) authMethod(p federation.OpenIDProvider) federation.AuthMethod {
	known := func(m federation.AuthMethod) bool { return slices.Contains(p.AuthMethods, string(m)) }
	switch {
	case o.AuthMethod != "":
		return o.AuthMethod
	case o.ClientSecret == "":
		return federation.AuthNone
	case p.AuthMethods != nil && !known(federation.AuthSecretBasic) && known(federation.AuthSecretPost):
		return federation.AuthSecretPost
	}
	return federation.AuthSecretBasic
}

// meets reports whether the claims of a login are as required: those of the id token, else those of userinfo.
func (r RequiredClaim) meets(c federation.Claims) bool {
	v, ok := c.IDToken[r.Name]
	if !ok {
		v = c.Userinfo[r.Name]
	}
	return slices.ContainsFunc(values(v), func(s string) bool { return slices.Contains(r.Values, s) })
}

// values are the texts of a claim: its own, or those of its list.
func values(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{strconv.FormatBool(v)}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case []any:
		all := []string{}
		for _, item := range v {
			if s, ok := item.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}
