package polis

import (
	"strings"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
)

// maxDescription is in characters.
const maxDescription = 100

var errDescription = invalid("Description should not exceed 100 characters")

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
