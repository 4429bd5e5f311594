package federationtest

import (
	"encoding/base64"
	"strings"
	"time"
)

// NameID formats (SAML Core §8.3).
const (
	FormatEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	FormatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	FormatPersistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	FormatTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

// Status codes (SAML Core §3.2.2.2).
const (
	StatusSuccess        = "urn:oasis:names:tc:SAML:2.0:status:Success"
	StatusResponder      = "urn:oasis:names:tc:SAML:2.0:status:Responder"
	StatusRequestDenied  = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
	StatusNoAuthnContext = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
)

// Signed says which elements are signed.
type Signed int

// What can be signed.
const (
	SignAssertion Signed = iota
	SignResponse
	SignBoth
	SignNone
)

// Response says what a SAML response says. The zero value of each field but ACS and Audience does what an ordinary
// identity provider does.
type Response struct {
	ACS          string // Destination and Recipient
	Audience     string // the service provider's entity ID
	InResponseTo string // "" for an IdP-initiated login

	ID, AssertionID string        // fresh by default
	Issuer          string        // the provider's entity ID by default
	Destination     string        // ACS by default
	Recipient       string        // ACS by default
	Audiences       [][]string    // one AudienceRestriction each, instead of Audience
	Now             time.Time     // the provider's clock by default
	Lifetime        time.Duration // five minutes by default

	NameID       string
	NameIDFormat string // FormatEmail by default
	Attributes   []Attribute
	SessionIndex string    // the assertion's ID by default
	SessionEnd   time.Time // SessionNotOnOrAfter, where not zero

	Status, SubStatus, StatusMessage string // success by default; any other status leaves the assertion out

	Sign            Signed
	SignatureMethod string      // URI; SHA-256 with the provider's key by default
	DigestMethod    string      // URI; SHA-256 by default
	Encrypt         *Encryption // nil leaves the assertion plain

	// EditAssertion and EditResponse change the XML before it is signed, and must leave it canonical. EditEncrypted
	// sees the EncryptedAssertion. Edit changes the whole document at the end.
	EditAssertion, EditEncrypted, EditResponse, Edit func(xml string) string
}

// Attribute is one attribute.
type Attribute struct {
	Name, FriendlyName, NameFormat string
	Values                         []string
}

// Response returns the response as the SAMLResponse field of a form has it.
func (p *IdP) Response(r Response) (string, error) {
	doc, err := p.ResponseXML(r)
	return base64.StdEncoding.EncodeToString([]byte(doc)), err
}

// ResponseXML returns the response as XML.
func (p *IdP) ResponseXML(r Response) (string, error) {
	p.defaults(&r)
	body := ""
	if r.Status == StatusSuccess {
		var err error
		if body, err = p.assertion(r); err != nil {
			return "", err
		}
	}
	doc := edit(r.EditResponse, r.envelope(body))
	if r.Sign == SignResponse || r.Sign == SignBoth {
		var err error
		if doc, err = p.signInto(doc, r.ID, r); err != nil {
			return "", err
		}
	}
	return edit(r.Edit, doc), nil
}

func edit(f func(string) string, s string) string {
	if f == nil {
		return s
	}
	return f(s)
}

func (p *IdP) defaults(r *Response) {
	set(&r.ID, newID())
	set(&r.AssertionID, newID())
	set(&r.Issuer, p.EntityID)
	set(&r.Destination, r.ACS)
	set(&r.Recipient, r.ACS)
	set(&r.NameIDFormat, FormatEmail)
	set(&r.SessionIndex, r.AssertionID)
	set(&r.Status, StatusSuccess)
	set(&r.SignatureMethod, defaultSignatureMethod(p.Key))
	set(&r.DigestMethod, digestSHA256)
	if r.Audiences == nil {
		r.Audiences = [][]string{{r.Audience}}
	}
	if r.Now.IsZero() {
		r.Now = p.Now()
	}
	if r.Lifetime == 0 {
		r.Lifetime = 5 * time.Minute
	}
}

func set(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// envelope writes the Response around an assertion (SAML Core §3.2.2).
func (r Response) envelope(body string) string {
	var w writer
	w.raw(`<samlp:Response xmlns:samlp="` + nsProtocol + `"`)
	w.optional("Destination", r.Destination)
	w.attr("ID", r.ID)
	w.optional("InResponseTo", r.InResponseTo)
	w.attr("IssueInstant", instant(r.Now))
	w.attr("Version", "2.0")
	w.raw(`><saml:Issuer xmlns:saml="` + nsAssertion + `">` + textEscaper.Replace(r.Issuer) + `</saml:Issuer>`)
	w.raw(`<samlp:Status><samlp:StatusCode`)
	w.attr("Value", r.Status)
	w.raw(`>`)
	if r.SubStatus != "" {
		w.raw(`<samlp:StatusCode`)
		w.attr("Value", r.SubStatus)
		w.raw(`></samlp:StatusCode>`)
	}
	w.raw(`</samlp:StatusCode>`)
	if r.StatusMessage != "" {
		w.text("samlp:StatusMessage", r.StatusMessage)
	}
	w.raw(`</samlp:Status>` + body + `</samlp:Response>`)
	return w.String()
}

// assertion writes the assertion, signed and encrypted as told.
func (p *IdP) assertion(r Response) (doc string, err error) {
	doc = edit(r.EditAssertion, r.bareAssertion())
	if r.Sign == SignAssertion || r.Sign == SignBoth {
		if doc, err = p.signInto(doc, r.AssertionID, r); err != nil {
			return "", err
		}
	}
	if r.Encrypt != nil {
		if doc, err = r.Encrypt.seal(doc); err != nil {
			return "", err
		}
		doc = edit(r.EditEncrypted, doc)
	}
	return doc, nil
}

// bareAssertion writes the assertion for the Web Browser SSO profile (SAML Profiles §4.1.4.2).
func (r Response) bareAssertion() string {
	var w writer
	end := instant(r.Now.Add(r.Lifetime))
	w.raw(`<saml:Assertion xmlns:saml="` + nsAssertion + `"`)
	w.attr("ID", r.AssertionID)
	w.attr("IssueInstant", instant(r.Now))
	w.attr("Version", "2.0")
	w.raw(`>`)
	w.text("saml:Issuer", r.Issuer)

	w.raw(`<saml:Subject>`)
	if r.NameID != "" {
		w.raw(`<saml:NameID`)
		w.attr("Format", r.NameIDFormat)
		w.raw(`>` + textEscaper.Replace(r.NameID) + `</saml:NameID>`)
	}
	w.raw(`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData`)
	w.optional("InResponseTo", r.InResponseTo)
	w.attr("NotOnOrAfter", end)
	w.optional("Recipient", r.Recipient)
	w.raw(`></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>`)

	w.raw(`<saml:Conditions`)
	w.attr("NotBefore", instant(r.Now))
	w.attr("NotOnOrAfter", end)
	w.raw(`>`)
	for _, audiences := range r.Audiences {
		w.raw(`<saml:AudienceRestriction>`)
		for _, a := range audiences {
			w.text("saml:Audience", a)
		}
		w.raw(`</saml:AudienceRestriction>`)
	}
	w.raw(`</saml:Conditions>`)

	w.raw(`<saml:AuthnStatement`)
	w.attr("AuthnInstant", instant(r.Now))
	w.attr("SessionIndex", r.SessionIndex)
	if !r.SessionEnd.IsZero() {
		w.attr("SessionNotOnOrAfter", instant(r.SessionEnd))
	}
	w.raw(`><saml:AuthnContext>`)
	w.text("saml:AuthnContextClassRef", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport")
	w.raw(`</saml:AuthnContext></saml:AuthnStatement>`)
	r.attributes(&w)
	w.raw(`</saml:Assertion>`)
	return w.String()
}

func (r Response) attributes(w *writer) {
	if len(r.Attributes) == 0 {
		return
	}
	w.raw(`<saml:AttributeStatement>`)
	for _, a := range r.Attributes {
		w.raw(`<saml:Attribute`)
		w.optional("FriendlyName", a.FriendlyName)
		w.attr("Name", a.Name)
		w.optional("NameFormat", a.NameFormat)
		w.raw(`>`)
		for _, v := range a.Values {
			w.text("saml:AttributeValue", v)
		}
		w.raw(`</saml:Attribute>`)
	}
	w.raw(`</saml:AttributeStatement>`)
}

// insert puts s after the first Issuer of the document, the legal place of a signature, or after the first tag.
func insert(doc, s string) string {
	const issuer = "</saml:Issuer>"
	at := strings.Index(doc, issuer) + len(issuer)
	if at < len(issuer) {
		at = strings.IndexByte(doc, '>') + 1
	}
	return doc[:at] + s + doc[at:]
}
