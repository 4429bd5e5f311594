// Package saml is the service-provider side of SAML 2.0 Web Browser SSO: it reads and verifies responses, and writes
// requests and metadata. It is written for this one profile and refuses everything else; docs/decisions/0003 says why
// the XML and signature code is our own.
//
// References are to SAML Core, Bindings, Profiles and Metadata 2.0 (OASIS, March 2005), XML Signature Syntax and
// Processing 1.1 and XML Encryption Syntax and Processing 1.1 (W3C, April 2013).
package saml

import (
	"errors"
	"time"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
)

// XML namespaces.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
	nsXMLEnc    = "http://www.w3.org/2001/04/xmlenc#"
	nsXMLEnc11  = "http://www.w3.org/2009/xmlenc11#"
)

const (
	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	formatEntity    = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	methodBearer    = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	typeElement     = nsXMLEnc + "Element"
)

// responseLimits bound a response. The largest real ones hold a few hundred group names; 8192 elements are room for
// about as many.
var responseLimits = xmltree.Limits{
	Bytes:      federation.MaxResponse,
	Elements:   8192,
	Depth:      48,
	Attributes: 64,
	Namespaces: 64,
}

// metadataLimits bound metadata, which holds certificates, logos and the roles of other protocols beside ours.
var metadataLimits = xmltree.Limits{
	Bytes:      federation.MaxMetadata,
	Elements:   32768,
	Depth:      64,
	Attributes: 128,
	Namespaces: 128,
}

// Provider implements federation.SAML. It holds no state, so one serves all connections.
type Provider struct{}

var _ federation.SAML = (*Provider)(nil)

// New returns the provider.
func New() *Provider { return &Provider{} }

func refuse(code federation.Code, detail string) *federation.Error {
	return &federation.Error{Code: code, Detail: detail}
}

// xmlError gives a refusal of the parser its code.
func xmlError(err error) *federation.Error {
	var e *xmltree.Error
	if !errors.As(err, &e) {
		return refuse(federation.CodeMalformed, err.Error())
	}
	code := federation.CodeMalformed
	switch e.Kind {
	case xmltree.TooLarge:
		code = federation.CodeTooLarge
	case xmltree.Forbidden:
		code = federation.CodeForbiddenXML
	}
	return refuse(code, e.Error())
}

// only returns the one child of that name, or nil where there is none.
func only(e *xmltree.Element, space, local string) (*xmltree.Element, error) {
	var found *xmltree.Element
	for c := range e.Elements() {
		if !c.Is(space, local) {
			continue
		}
		if found != nil {
			return nil, refuse(federation.CodeMalformed, "more than one "+local+" in "+e.Local)
		}
		found = c
	}
	return found, nil
}

// text returns the trimmed text of an element that may hold nothing but text.
func text(e *xmltree.Element) (string, error) {
	s, ok := e.Text()
	if !ok {
		return "", refuse(federation.CodeMalformed, "an element inside "+e.Local)
	}
	return xmltree.Trim(s), nil
}

// instant reads an xs:dateTime. SAML times are in UTC (SAML Core §1.3.3), so one without a zone is too. A zone can take
// the last hours of the year 9999 past it, where JSON has no times any more.
func instant(s string) (time.Time, error) {
	s = xmltree.Trim(s)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, refuse(federation.CodeMalformed, "a time that is not an xs:dateTime")
}

// instantAttr reads an optional attribute that holds a time; the zero time says that it is absent.
func instantAttr(e *xmltree.Element, local string) (time.Time, error) {
	s, present := e.Attr(local)
	if !present {
		return time.Time{}, nil
	}
	return instant(s)
}
