package saml

import (
	"crypto"
	"crypto/x509"
	"slices"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
)

// response is a SAML response that was parsed.
type response struct {
	root       *xmltree.Element
	unverified federation.Unverified
	opened     *opened // what the encrypted assertion held, once it was looked at
}

// ReadResponse implements federation.SAML.
func (*Provider) ReadResponse(encoded string) (federation.Response, error) {
	// Base64 makes 4 bytes of 3; as much again is room for line breaks.
	if len(encoded) > federation.MaxResponse*8/3 {
		return nil, refuse(federation.CodeTooLarge, "the response is too long")
	}
	doc, err := decodeBase64(encoded)
	if err != nil {
		return nil, refuse(federation.CodeMalformed, "the response is not base64")
	}
	root, err := xmltree.Parse(string(doc), xmltree.Options{Limits: responseLimits, Strict: true})
	if err != nil {
		return nil, xmlError(err)
	}
	r := &response{root: root}
	if err := r.read(); err != nil {
		return nil, err
	}
	return r, nil
}

// read checks the outer structure and fills Unverified (SAML Core §3.2.2).
func (r *response) read() error {
	if !r.root.Is(nsProtocol, "Response") {
		return refuse(federation.CodeMalformed, "not a SAML response")
	}
	if v, _ := r.root.Attr("Version"); v != "2.0" {
		return refuse(federation.CodeMalformed, "a version other than SAML 2.0")
	}
	if !r.root.Blank() {
		return refuse(federation.CodeMalformed, "text inside Response")
	}
	r.unverified.ID, _ = r.root.Attr("ID")
	if !xmltree.IsNCName(r.unverified.ID) {
		return refuse(federation.CodeMalformed, "a Response without a valid ID")
	}
	r.unverified.InResponseTo, _ = r.root.Attr("InResponseTo")
	r.unverified.Destination, _ = r.root.Attr("Destination")
	var err error
	if r.unverified.Issuer, err = r.issuer(); err != nil {
		return err
	}
	r.unverified.Status, err = readStatus(r.root)
	return err
}

// belongs reports whether an element may stand directly in a Response.
func belongs(e *xmltree.Element) bool {
	switch e.Space {
	case nsProtocol:
		return e.Local == "Status" || e.Local == "Extensions"
	case nsAssertion:
		return e.Local == "Issuer" || e.Local == "Assertion" || e.Local == "EncryptedAssertion"
	case nsSignature:
		return e.Local == "Signature"
	}
	return false
}

// issuer is the one that the Response names, else the one of its only plain assertion.
func (r *response) issuer() (string, error) {
	if name, err := readIssuer(r.root); name != "" || err != nil {
		return name, err
	}
	assertion, err := only(r.root, nsAssertion, "Assertion")
	if assertion == nil || err != nil {
		return "", nil // Verify says what is wrong with the assertions
	}
	return readIssuer(assertion)
}

func readIssuer(e *xmltree.Element) (string, error) {
	issuer, err := only(e, nsAssertion, "Issuer")
	if issuer == nil || err != nil {
		return "", err
	}
	if format, present := issuer.Attr("Format"); present && format != formatEntity {
		return "", refuse(federation.CodeIssuer, "an Issuer that is not an entity identifier")
	}
	return text(issuer)
}

func readStatus(root *xmltree.Element) (s federation.Status, err error) {
	status, err := only(root, nsProtocol, "Status")
	if err != nil {
		return s, err
	}
	if status == nil {
		return s, refuse(federation.CodeMalformed, "a Response without Status")
	}
	code, err := only(status, nsProtocol, "StatusCode")
	if err != nil {
		return s, err
	}
	if code == nil {
		return s, refuse(federation.CodeMalformed, "a Status without StatusCode")
	}
	s.Code, _ = code.Attr("Value")
	sub, err := only(code, nsProtocol, "StatusCode")
	if err != nil {
		return s, err
	}
	if sub != nil {
		s.SubCode, _ = sub.Attr("Value")
	}
	message, err := only(status, nsProtocol, "StatusMessage")
	if message == nil || err != nil {
		return s, err
	}
	s.Message, err = text(message)
	return s, err
}

// Unverified implements federation.Response.
func (r *response) Unverified() federation.Unverified { return r.unverified }

// Verify implements federation.Response.
//
// What the Response says of itself is checked first and can only refuse. Then every signature that is present must
// verify, and only the element that a signature covers is read.
func (r *response) Verify(e federation.Expect) (federation.Assertion, error) {
	var none federation.Assertion
	if r.unverified.Status.Code != federation.StatusSuccess {
		return none, &federation.Error{
			Code: federation.CodeStatus, Detail: "the identity provider refused the login", Status: r.unverified.Status,
		}
	}
	if err := r.checkEnvelope(e); err != nil {
		return none, err
	}
	plain, encrypted, err := r.findAssertion()
	if err != nil {
		return none, err
	}
	sig, err := readSignature(r.root)
	if err != nil {
		return none, err
	}
	keys := publicKeys(e.Certificates)
	if sig != nil {
		if err := sig.verify(keys); err != nil {
			return none, err
		}
	}
	if encrypted != nil {
		return r.openAssertion(encrypted, keys, sig != nil, e)
	}
	if _, err := verifyAssertion(plain, keys, sig != nil); err != nil {
		return none, err
	}
	return readAssertion(plain, e)
}

// checkEnvelope compares what the Response says of itself with what is expected.
func (r *response) checkEnvelope(e federation.Expect) error {
	if name, err := readIssuer(r.root); err != nil || name != "" && name != e.Issuer {
		return refuse(federation.CodeIssuer, "the Response is of another issuer")
	}
	if _, present := r.root.Attr("Destination"); present && !slices.Contains(e.ACS, r.unverified.Destination) {
		return refuse(federation.CodeDestination, "the Response is addressed to another URL")
	}
	if _, present := r.root.Attr("InResponseTo"); present && (e.RequestID == "" || r.unverified.InResponseTo != e.RequestID) {
		return refuse(federation.CodeInResponseTo, "the Response answers another request")
	}
	_, err := instantAttr(r.root, "IssueInstant")
	return err
}

// findAssertion returns the one assertion of the Response, plain or encrypted. Everything of which a second one could
// be made is refused wherever it stands: that is what signature wrapping needs.
func (r *response) findAssertion() (plain, encrypted *xmltree.Element, err error) {
	count := 0
	for e := range r.root.All() {
		switch {
		case e.Space == nsAssertion && (e.Local == "Assertion" || e.Local == "EncryptedAssertion"):
			if count++; e.Parent != r.root {
				return nil, nil, refuse(federation.CodeWrapping, "an assertion that is not directly in the Response")
			}
			if e.Local == "Assertion" {
				plain = e
			} else {
				encrypted = e
			}
		case e.Is(nsProtocol, "Response") && e != r.root:
			return nil, nil, refuse(federation.CodeWrapping, "a Response inside the Response")
		case e.Is(nsSignature, "Signature") && e.Parent != r.root &&
			!(e.Parent.Is(nsAssertion, "Assertion") && e.Parent.Parent == r.root):
			return nil, nil, refuse(federation.CodeWrapping, "a Signature elsewhere than in the Response or its assertion")
		case e.Parent == r.root && !belongs(e):
			return nil, nil, refuse(federation.CodeMalformed, "an element in Response that does not belong there")
		}
	}
	if count != 1 {
		return nil, nil, refuse(federation.CodeAssertion, "not exactly one assertion")
	}
	return plain, encrypted, nil
}

// verifyAssertion verifies the signature of an assertion and reports whether there is one. It may have none where that of
// the Response covers it.
func verifyAssertion(assertion *xmltree.Element, keys []crypto.PublicKey, covered bool) (signed bool, err error) {
	sig, err := readSignature(assertion)
	switch {
	case err != nil:
		return false, err
	case sig != nil:
		return true, sig.verify(keys)
	case !covered:
		return false, refuse(federation.CodeUnsigned, "neither the Response nor the assertion is signed")
	}
	return false, nil
}

// publicKeys reads the keys of the configured certificates. A certificate is only a container here: an expired one
// serves as well (SAML Metadata Interoperability Profile §2.6.1), and one that cannot be read, or whose
// key is weak or huge, serves for nothing.
func publicKeys(certificates [][]byte) []crypto.PublicKey {
	keys := make([]crypto.PublicKey, 0, len(certificates))
	for _, der := range certificates {
		if c, err := x509.ParseCertificate(der); err == nil && usableKey(c.PublicKey) {
			keys = append(keys, c.PublicKey)
		}
	}
	return keys
}
