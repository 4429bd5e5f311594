// Package federation is what core needs of the protocols that identity providers speak: the service-provider side
// of SAML 2.0 here, the relying-party side of OpenID Connect beside it.
package federation

import (
	"crypto"
	"fmt"
	"time"
)

// SAML is the service-provider side of SAML 2.0 (Web Browser SSO profile). It holds no state and does no I/O.
type SAML interface {
	// ReadMetadata reads an identity provider's metadata: one EntityDescriptor with an IDPSSODescriptor, bare or
	// the only one of its kind in an EntitiesDescriptor. Errors: *Error; with CodeMetadata, Detail is a sentence for
	// whoever sent the metadata.
	ReadMetadata(xml []byte) (IdentityProvider, error)

	// WriteMetadata writes the service provider's own metadata.
	WriteMetadata(m ServiceProvider) ([]byte, error)

	// WriteRequest writes an AuthnRequest and says how the browser is to carry it.
	WriteRequest(r AuthnRequest) (Outgoing, error)

	// ReadResponse reads the SAMLResponse field of an HTTP-POST form: base64 of at most MaxResponse bytes of XML.
	// Nothing of it is trusted yet. Errors: *Error.
	ReadResponse(encoded string) (Response, error)
}

// MaxResponse is the largest SAML response that is read, in bytes of XML. MaxMetadata is the same for metadata. The
// number and depth of elements have limits, too: docs/saml.md.
const (
	MaxResponse = 256 << 10
	MaxMetadata = 1 << 20
)

// Response is a SAML response that was read and not yet believed. It may be verified for several connections, one after
// the other.
type Response interface {
	// Unverified is what the response says of itself, for finding the login it may belong to and for refusing it.
	Unverified() Unverified
	// Verify checks the response against what is expected and returns the one assertion that a signature covers.
	// A status other than success is CodeStatus, whether anything is signed or not. What a Response without signature
	// says of itself can only refuse. Replay is not its business: see Assertion.ExpiresAt. Errors: *Error.
	Verify(e Expect) (Assertion, error)
}

// Unverified is read from a response before any signature is checked: it may refuse, never admit.
type Unverified struct {
	ID           string
	Issuer       string // of the Response, else of its only plain assertion; "" where neither names one
	InResponseTo string
	Destination  string
	Status       Status
}

// Status is the outcome the identity provider reports (SAML Core §3.2.2).
type Status struct {
	Code    string // top-level status code URI
	SubCode string // second-level status code URI, or ""
	Message string
}

// StatusSuccess is the top-level status code of a login that succeeded.
const StatusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"

// Expect is what a response must fulfil.
type Expect struct {
	Issuer       string             // the identity provider's entity ID
	Certificates [][]byte           // its signing certificates, DER; each is tried in turn
	Audience     string             // the service provider's entity ID
	ACS          []string           // the URLs at which the response may be addressed to us (Recipient, Destination)
	RequestID    string             // InResponseTo must equal it; "" for an IdP-initiated login: none may be named
	Now          time.Time          //
	Skew         time.Duration      // tolerated difference of clocks
	Decryption   []crypto.Decrypter // RSA keys for encrypted assertions, each tried in turn
}

// Assertion is the content of the one verified assertion.
type Assertion struct {
	ID           string
	Issuer       string
	NameID       NameID // zero where the subject has none
	Attributes   []Attribute
	SessionIndex string
	AuthnInstant time.Time // zero when not stated
	AuthnContext string    // class reference, or ""
	ExpiresAt    time.Time // no replay can be valid from this instant on, skew included
	Encrypted    bool
}

// NameID names the subject (SAML Core §2.2.3).
type NameID struct{ Value, Format, NameQualifier, SPNameQualifier string }

// Attribute is one attribute of the attribute statements, values in order, white space trimmed.
type Attribute struct {
	Name, FriendlyName, NameFormat string
	Values                         []string
}

// IdentityProvider is what a provider's metadata says.
type IdentityProvider struct {
	EntityID                string
	SSORedirectURL          string // HTTP-Redirect binding, or ""
	SSOPostURL              string // HTTP-POST binding, or ""
	SLORedirectURL          string
	SLOPostURL              string
	Certificates            [][]byte // signing certificates, DER, in order, without duplicates
	WantAuthnRequestsSigned bool
	NameIDFormats           []string
}

// Binding is how a message travels through the browser.
type Binding string

// The bindings of the Web Browser SSO profile.
const (
	BindingRedirect Binding = "redirect"
	BindingPost     Binding = "post"
)

// AuthnRequest is what a request to an identity provider says.
type AuthnRequest struct {
	ID           string // an xs:ID: begins with a letter or _
	Issuer       string // the service provider's entity ID
	Destination  string
	ACS          string
	NameIDFormat string
	ForceAuthn   bool
	IssueInstant time.Time
	Binding      Binding
	RelayState   string
	Signer       crypto.Signer // RSA or ECDSA; nil sends the request unsigned
	Certificate  []byte        // DER, of the Signer; put into the KeyInfo of a signed POST
}

// Outgoing is a message ready for the browser: a URL to redirect to, or a form to post.
type Outgoing struct {
	URL  string      // to redirect to, or the form's action
	Form []FormField // nil for a redirect
}

// FormField is one hidden field of a form.
type FormField struct{ Name, Value string }

// ServiceProvider is what our own metadata says.
type ServiceProvider struct {
	EntityID              string
	ACS                   []string // the first is the default
	NameIDFormats         []string
	SigningCertificates   [][]byte // DER, one per active key
	EncryptionCertificate []byte   // DER, nil announces none
	RequestsSigned        bool
	ValidUntil            time.Time // zero: not stated
}

// Code names why a message was refused. The set is closed: see the constants.
type Code string

// Why a message is refused.
const (
	CodeMalformed    Code = "malformed"     // not base64, not XML, not the expected structure
	CodeTooLarge     Code = "too_large"     // over a stated limit: bytes, elements, depth
	CodeForbiddenXML Code = "forbidden_xml" // DOCTYPE, processing instruction, comment, duplicate attribute or ID
	CodeStatus       Code = "status"        // the identity provider refused: Error.Status says how
	CodeUnsigned     Code = "unsigned"      // no signature covers the assertion; CodeDecryption where it is encrypted
	CodeSignature    Code = "signature"     // a signature does not verify with the configured certificates
	CodeAlgorithm    Code = "algorithm"     // an algorithm or transform outside the allow-list
	CodeWrapping     Code = "wrapping"      // signature, reference and element are not in their one legal place
	CodeDecryption   Code = "decryption"    // the encrypted assertion cannot be used; which refusals end as this one: docs/saml.md
	CodeAssertion    Code = "assertion"     // not exactly one assertion, or one without subject or conditions
	CodeIssuer       Code = "issuer"
	CodeAudience     Code = "audience"
	CodeRecipient    Code = "recipient"
	CodeDestination  Code = "destination"
	CodeInResponseTo Code = "in_response_to"
	CodeExpired      Code = "expired"
	CodeNotYetValid  Code = "not_yet_valid"
	CodeMetadata     Code = "metadata" // metadata that lacks what a connection needs
)

// Error is a refusal. Detail is for the operator: it never holds attribute values, keys or assertion text.
type Error struct {
	Code   Code
	Detail string
	Status Status // set with CodeStatus
}

func (e *Error) Error() string { return fmt.Sprintf("saml: %s: %s", e.Code, e.Detail) }
