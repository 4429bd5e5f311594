package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/federation"
)

const (
	wellKnown = "/.well-known/openid-configuration"
	maxURL    = 2048 // bytes
)

// Discover implements federation.OIDC.
func (p *RelyingParty) Discover(ctx context.Context, address string) (federation.OpenIDProvider, error) {
	u, err := discoveryURL(address)
	if err != nil {
		return federation.OpenIDProvider{}, err
	}
	provider, _, err := p.providers.get(ctx, u.String(), 0, func(ctx context.Context) (federation.OpenIDProvider, error) {
		doc, err := p.Fetch.Fetch(ctx, u.String(), federation.MaxOpenIDMetadata)
		if err != nil {
			return federation.OpenIDProvider{}, failed("discovery document", err)
		}
		provider, err := p.ReadProvider(doc.Body)
		if err == nil && !mayIssue(u, provider.Issuer) {
			err = refuse(federation.OIDCMetadata, "The discovery document is of another issuer than its address: "+provider.Issuer)
		}
		return provider, err
	})
	return provider, typed("discovery document", err)
}

// typed gives an error of the cache its type: the one who waits may have gone before there was an answer.
func typed(what string, err error) error {
	var refused *federation.OIDCError
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return failed(what, err)
}

// discoveryURL is where the metadata is: the address itself, or below it where it is an issuer (Discovery §4.1).
func discoveryURL(address string) (*url.URL, error) {
	if !isEndpoint(address) {
		return nil, refuse(federation.OIDCMetadata, "The discovery URL is not valid: give an https URL, or one of localhost.")
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, refuse(federation.OIDCMetadata, "The discovery URL is not valid.")
	case strings.HasSuffix(u.Path, wellKnown):
	case strings.Contains(u.Path, "/.well-known/"):
		return nil, refuse(federation.OIDCMetadata, "The discovery URL must end in "+wellKnown+".")
	default:
		u.Path = strings.TrimSuffix(u.Path, "/") + wellKnown
		if u.RawPath != "" {
			u.RawPath = strings.TrimSuffix(u.RawPath, "/") + wellKnown
		}
	}
	return u, nil
}

// mayIssue reports whether a discovery document may name this issuer: the one of which its address is made (Discovery
// §4.3), with or without a slash at its end, which the address cannot tell.
func mayIssue(u *url.URL, issuer string) bool {
	if isMicrosoft(u.Hostname()) {
		return mayIssueMicrosoft(u, issuer)
	}
	base := *u
	base.Path, base.RawPath = strings.TrimSuffix(u.Path, wellKnown), strings.TrimSuffix(u.RawPath, wellKnown)
	base.RawQuery = "" // Microsoft's and others' documents have parameters, issuers have none
	return strings.TrimSuffix(issuer, "/") == strings.TrimSuffix(base.String(), "/")
}

var microsoftHosts = []string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}

// External tenants have hosts of their own below these.
const (
	b2cHosts  = ".b2clogin.com"
	ciamHosts = ".ciamlogin.com"
)

func isMicrosoft(host string) bool {
	return slices.Contains(microsoftHosts, host) || strings.HasSuffix(host, b2cHosts) || strings.HasSuffix(host, ciamHosts)
}

var (
	guid            = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	microsoftIssuer = regexp.MustCompile(`^/(tfp/)?([^/]+)(/[^/]+)?/v2\.0/?$`)
)

// mayIssueMicrosoft is mayIssue at Microsoft Entra ID: the address may hold the name of a tenant where the issuer has its
// id, and the addresses for several tenants have issuers with a placeholder.
func mayIssueMicrosoft(u *url.URL, issuer string) bool {
	named, err := url.Parse(issuer)
	if err != nil || named.Scheme != "https" {
		return false
	}
	sameHost := named.Host == u.Host || strings.HasSuffix(u.Host, ciamHosts) && strings.HasSuffix(named.Host, ciamHosts)
	parts := microsoftIssuer.FindStringSubmatch(named.Path)
	if !sameHost || parts == nil {
		return false
	}
	tenant := parts[2]
	if tenant == federation.TenantPlaceholder {
		return slices.Contains(microsoftHosts, u.Host)
	}
	asked := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if asked[0] == "tfp" && len(asked) > 1 {
		asked = asked[1:]
	}
	return guid.MatchString(tenant) && (!guid.MatchString(asked[0]) || strings.EqualFold(asked[0], tenant))
}

// ReadProvider implements federation.OIDC.
func (p *RelyingParty) ReadProvider(doc []byte) (federation.OpenIDProvider, error) {
	var found federation.OpenIDProvider
	members, err := readObject(doc)
	if err != nil || len(doc) > federation.MaxOpenIDMetadata {
		return found, refuse(federation.OIDCMetadata, "The metadata of the OpenID provider is not a JSON object.")
	}
	for _, endpoint := range []struct {
		name     string
		to       *string
		required bool
	}{
		{"issuer", &found.Issuer, true}, {"authorization_endpoint", &found.AuthorizationEndpoint, true},
		{"token_endpoint", &found.TokenEndpoint, true}, {"jwks_uri", &found.JWKSURI, true},
		{"userinfo_endpoint", &found.UserinfoEndpoint, false},
	} {
		*endpoint.to, _ = members.text(endpoint.name)
		if *endpoint.to == "" && !endpoint.required {
			continue
		}
		if *endpoint.to == "" {
			return found, refuse(federation.OIDCMetadata, "The metadata of the OpenID provider lacks "+endpoint.name+".")
		}
		if !isEndpoint(*endpoint.to) {
			return found, refuse(federation.OIDCMetadata, "In the metadata of the OpenID provider "+endpoint.name+" is no https URL.")
		}
	}
	if !validIssuer(found.Issuer) {
		return found, refuse(federation.OIDCMetadata, "In the metadata of the OpenID provider the issuer cannot be one.")
	}
	methods, _ := members.texts("code_challenge_methods_supported")
	found.PKCE = slices.Contains(methods, "S256")
	if said, ok := members.texts("token_endpoint_auth_methods_supported"); ok {
		found.AuthMethods = []string{}
		for _, known := range []federation.AuthMethod{federation.AuthSecretBasic, federation.AuthSecretPost, federation.AuthPrivateKeyJWT, federation.AuthNone} {
			if slices.Contains(said, string(known)) {
				found.AuthMethods = append(found.AuthMethods, string(known))
			}
		}
	}
	found.NamesIssuer = members["authorization_response_iss_parameter_supported"] == true
	return found, nil
}

// validIssuer: no query and no fragment (Core §2, iss), and a placeholder at Microsoft alone.
func validIssuer(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || strings.ContainsAny(issuer, "?#") {
		return false
	}
	return !strings.ContainsAny(issuer, "{}") ||
		slices.Contains(microsoftHosts, u.Host) && u.Path == "/"+federation.TenantPlaceholder+"/v2.0"
}

// isEndpoint: https, or http to this very machine, where nobody can read along.
func isEndpoint(text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || u.Host == "" || u.Hostname() == "" || u.User != nil || strings.ContainsRune(text, '#') {
		return false
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return u.Scheme == "https" || u.Scheme == "http"
	}
	return u.Scheme == "https"
}

// object is a JSON object as encoding/json reads one.
type object map[string]any

func readObject(doc []byte) (object, error) {
	var o object
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("oidc: null instead of an object")
	}
	return o, nil
}

func (o object) text(name string) (string, bool) {
	s, ok := o[name].(string)
	return s, ok
}

// texts reads a list of texts.
func (o object) texts(name string) ([]string, bool) {
	items, ok := o[name].([]any)
	if !ok {
		return nil, false
	}
	texts := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, false
		}
		texts = append(texts, s)
	}
	return texts, true
}

// maxInstant is the last second that has four digits for its year, which JSON needs.
const maxInstant = 253402300799

// instant reads a NumericDate (RFC 7519 §2); present says that there is one.
func (o object) instant(name string) (t time.Time, present bool, err error) {
	v, present := o[name]
	if !present {
		return t, false, nil
	}
	seconds, ok := v.(float64)
	if !ok || seconds < 0 || seconds > maxInstant {
		return t, true, refuse(federation.OIDCMalformed, name+" is no time")
	}
	return time.Unix(int64(seconds), 0).UTC(), true, nil
}
