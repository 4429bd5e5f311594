package polis

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
)

// maxDescription is in characters.
const maxDescription = 100

var (
	errDescription = invalid("Description should not exceed 100 characters")
	errOIDC        = fault.New(fault.Invalid, "not_available", "OpenID Connect connections are not available yet. Use SAML metadata.")
)

// input is a body of POST.
type input struct {
	params
	tenant, product string
	redirectsGiven  bool
	redirectsErr    error
	sortOrderErr    error
	metadata        sso.Metadata
	connection      sso.Connection
}

func readInput(p params) (input, error) {
	in := input{params: p, connection: sso.Connection{Polis: true, SignRequests: sso.SignAlways}}
	c := &in.connection
	err := p.texts(map[string]*string{
		"tenant": &in.tenant, "product": &in.product, "defaultRedirectUrl": &c.DefaultRedirectURL,
		"name": &c.Name, "label": &c.Label, "description": &c.Description, "identifierFormat": &c.NameIDFormat,
		"acsUrlOverride": &c.ACSOverride, "samlAudienceOverride": &c.EntityIDOverride,
		"rawMetadata": &in.metadata.XML, "encodedRawMetadata": &in.metadata.Encoded, "metadataUrl": &in.metadata.URL,
	})
	c.RedirectURLs, in.redirectsGiven, in.redirectsErr = p.redirects()
	c.SortOrder, in.sortOrderErr = p.sortOrder()
	c.MetadataURL = in.metadata.URL
	c.ForceAuthn = p.on("forceAuthn")
	c.IdPInitiated = p.on("idpInitiated")
	return in, err
}

// check refuses what is missing or wrong, in the contract's order (§1.1, POST 1 to 9). protocol is its first step.
func (in input) check(protocol func(input) error) error {
	c := in.connection
	if err := protocol(in); err != nil {
		return err
	}
	switch {
	case c.DefaultRedirectURL == "":
		return invalid("Please provide a defaultRedirectUrl")
	case !in.redirectsGiven:
		return invalid("Please provide redirectUrl")
	case in.tenant == "":
		return invalid("Please provide tenant")
	case in.product == "":
		return invalid("Please provide product")
	case utf8.RuneCountInString(c.Description) > maxDescription:
		return errDescription
	case in.redirectsErr != nil:
		return in.redirectsErr
	}
	if err := sso.ValidateRedirects(c.RedirectURLs, c.DefaultRedirectURL); err != nil {
		return err
	}
	if err := validSlug("tenant", in.tenant); err != nil {
		return err
	}
	if err := validSlug("product", in.product); err != nil {
		return err
	}
	return in.sortOrderErr
}

// samlParams is step 1 for SAML.
func samlParams(in input) error {
	if in.metadata == (sso.Metadata{}) {
		return invalid("Please provide rawMetadata or encodedRawMetadata or metadataUrl")
	}
	return nil
}

// oidcParams is step 1 for OpenID Connect.
func oidcParams(in input) error {
	var clientID, clientSecret, discoveryURL string
	if err := in.texts(map[string]*string{"oidcClientId": &clientID, "oidcClientSecret": &clientSecret,
		"oidcDiscoveryUrl": &discoveryURL}); err != nil {
		return err
	}
	switch {
	case clientID == "":
		return invalid("Please provide the clientId from OpenID Provider")
	case clientSecret == "":
		return invalid("Please provide the clientSecret from OpenID Provider")
	case discoveryURL != "":
		return nil
	}
	return oidcMetadata(in.params["oidcMetadata"])
}

func oidcMetadata(v any) error {
	if v == nil || v == "" {
		return invalid("Please provide the discoveryUrl or issuer metadata for the OpenID Provider")
	}
	metadata, isObject := v.(map[string]any)
	if text, isText := v.(string); isText {
		isObject = json.Unmarshal([]byte(text), &metadata) == nil
	}
	if !isObject {
		return invalid("Could not parse OIDC Provider metadata, expected a valid JSON string")
	}
	for _, name := range []string{"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} {
		if params(metadata).text(name) == "" {
			return invalid(`"` + name + `" missing in the metadata for the OpenID Provider`)
		}
	}
	return nil
}

// refuseOIDC checks a body for an OpenID Connect connection and then says that there are none yet.
func refuseOIDC(p params) error {
	in, err := readInput(p)
	if err != nil {
		return err
	}
	if err := in.check(oidcParams); err != nil {
		return err
	}
	return errOIDC
}

// validSlug refuses what core refuses in a slug, in the words of this API.
func validSlug(name, slug string) error {
	switch err := project.ValidSlug(slug); {
	case err == nil:
		return nil
	case fault.Code(err) == "required": // nothing but white space
		return invalid("Please provide " + name)
	case fault.Code(err) == "too_long":
		return invalid(name + " has at most 256 bytes")
	case strings.ContainsRune(slug, ':'):
		return invalid(name + " cannot contain the character :")
	}
	return invalid(name + " cannot contain control characters")
}
