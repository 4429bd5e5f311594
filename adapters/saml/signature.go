package saml

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // registers what the algorithms below name
	_ "crypto/sha512"
	"encoding/base64"
	"math/big"
	"strings"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
)

const (
	algEnveloped = nsSignature + "enveloped-signature"
	algExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	algRSASHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	algECSHA256  = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	algSHA256    = nsXMLEnc + "sha256"
)

// The smallest keys whose signatures are believed: NIST SP 800-131A disallows less of RSA, and XML Signature §6.4.3 asks
// for no smaller curve. And the largest: anybody can post a response for a connection to verify, at a cost that grows
// with the square of the key, which is whatever the customer's metadata holds (2 ms at 8192 bits, 30 s at a million).
const (
	minRSABits   = 2048
	maxRSABits   = 8192
	minECDSABits = 256
)

// maxPrefixes bounds a PrefixList, whose cost is paid for each namespace declaration before any signature is checked.
const maxPrefixes = 32

// canonicalizations is the allow-list; the value says whether it is exclusive.
var canonicalizations = map[string]bool{
	"http://www.w3.org/TR/2001/REC-xml-c14n-20010315":              false,
	"http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments": false,
	"http://www.w3.org/2006/12/xml-c14n11":                         false,
	"http://www.w3.org/2006/12/xml-c14n11#WithComments":            false,
	algExclusive:                  true,
	algExclusive + "WithComments": true,
}

// digests is the allow-list of digest methods: no MD5, no SHA-1.
var digests = map[string]crypto.Hash{
	algSHA256: crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	nsXMLEnc + "sha512":                             crypto.SHA512,
}

// family is a kind of public-key signature.
type family int

const (
	familyRSA family = iota
	familyRSAPSS
	familyECDSA
)

type signatureMethod struct {
	family family
	hash   crypto.Hash
}

// signatureMethods is the allow-list of signature methods (RFC 6931 §2.3): no SHA-1, no HMAC, no DSA.
var signatureMethods = map[string]signatureMethod{
	algRSASHA256: {familyRSA, crypto.SHA256},
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384": {familyRSA, crypto.SHA384},
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512": {familyRSA, crypto.SHA512},
	algECSHA256: {familyECDSA, crypto.SHA256},
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384":    {familyECDSA, crypto.SHA384},
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512":    {familyECDSA, crypto.SHA512},
	"http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1": {familyRSAPSS, crypto.SHA256},
	"http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1": {familyRSAPSS, crypto.SHA384},
	"http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1": {familyRSAPSS, crypto.SHA512},
}

// signature is an enveloped signature, read and not yet verified.
type signature struct {
	element    *xmltree.Element // the ds:Signature
	signed     *xmltree.Element // its parent, which it covers
	signedInfo *xmltree.Element
	infoForm   xmltree.Canonicalization // of SignedInfo
	method     signatureMethod
	value      []byte

	form   xmltree.Canonicalization // of the signed element
	hash   crypto.Hash
	digest []byte
}

// readSignature reads the signature of e, nil where e has none. Its one legal place is right after the Issuer, or first
// where there is none (SAML Core §2.3.3, §3.2.2), and it must sign e and nothing else (§5.4).
func readSignature(e *xmltree.Element) (*signature, error) {
	var found, before, issuer, previous *xmltree.Element
	for c := range e.Elements() {
		switch {
		case c.Is(nsAssertion, "Issuer"):
			issuer = c
		case c.Is(nsSignature, "Signature"):
			if found != nil {
				return nil, refuse(federation.CodeWrapping, "more than one Signature in "+e.Local)
			}
			found, before = c, previous
		}
		previous = c
	}
	if found == nil {
		return nil, nil
	}
	if before != issuer {
		return nil, refuse(federation.CodeWrapping, "a Signature that does not follow the Issuer of "+e.Local)
	}
	s := &signature{element: found, signed: e}
	return s, s.read()
}

func (s *signature) read() error {
	parts, err := sequence(s.element, "SignedInfo", "SignatureValue", "KeyInfo?")
	if err != nil {
		return err
	}
	s.signedInfo = parts[0]
	if s.value, err = base64Text(parts[1]); err != nil {
		return err
	}
	if parts, err = sequence(s.signedInfo, "CanonicalizationMethod", "SignatureMethod", "Reference"); err != nil {
		return err
	}
	if s.infoForm, err = readCanonicalization(parts[0]); err != nil {
		return err
	}
	var known bool
	// HMACOutputLength and RSAPSSParams are parameters of methods that are not allowed.
	if s.method, known = signatureMethods[algorithm(parts[1])]; !known || !emptyElement(parts[1]) {
		return refuse(federation.CodeAlgorithm, "a signature method that is not allowed")
	}
	return s.readReference(parts[2])
}

// readReference reads the one reference, which must be to the ID of the element that holds the signature.
func (s *signature) readReference(ref *xmltree.Element) error {
	uri, _ := ref.Attr("URI")
	id, _ := s.signed.Attr("ID")
	if !xmltree.IsNCName(id) || uri != "#"+id {
		return refuse(federation.CodeWrapping, "a Reference that is not to the ID of the element that holds it")
	}
	parts, err := sequence(ref, "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return err
	}
	if s.form, err = readTransforms(parts[0]); err != nil {
		return err
	}
	var known bool
	if s.hash, known = digests[algorithm(parts[1])]; !known || !emptyElement(parts[1]) {
		return refuse(federation.CodeAlgorithm, "a digest method that is not allowed")
	}
	s.digest, err = base64Text(parts[2])
	return err
}

// readTransforms allows the enveloped-signature transform and then at most one canonicalization (SAML Core §5.4.4).
// Without one, the default of XML Signature §4.4.3.2 holds: inclusive Canonical XML 1.0.
func readTransforms(e *xmltree.Element) (form xmltree.Canonicalization, err error) {
	n := 0
	for c := range e.Elements() {
		switch {
		case !c.Is(nsSignature, "Transform") || n > 1:
			return form, refuse(federation.CodeAlgorithm, "transforms other than enveloped-signature and one canonicalization")
		case n == 0 && (algorithm(c) != algEnveloped || !emptyElement(c)):
			return form, refuse(federation.CodeAlgorithm, "a first transform other than enveloped-signature")
		case n == 1:
			if form, err = readCanonicalization(c); err != nil {
				return form, err
			}
		}
		n++
	}
	if n == 0 {
		return form, refuse(federation.CodeAlgorithm, "no enveloped-signature transform")
	}
	return form, nil
}

// readCanonicalization reads a CanonicalizationMethod, or a Transform that is one.
func readCanonicalization(e *xmltree.Element) (form xmltree.Canonicalization, err error) {
	exclusive, known := canonicalizations[algorithm(e)]
	if !known || !e.Blank() {
		return form, refuse(federation.CodeAlgorithm, "a canonicalization or transform that is not allowed")
	}
	form.Exclusive = exclusive
	parameters := 0
	for c := range e.Elements() {
		list, present := c.Attr("PrefixList")
		if parameters++; parameters > 1 || !exclusive || !present || !c.Is(algExclusive, "InclusiveNamespaces") || !emptyElement(c) {
			return form, refuse(federation.CodeAlgorithm, "a parameter that the canonicalization does not have")
		}
		if form.Prefixes = strings.Fields(list); len(form.Prefixes) > maxPrefixes {
			return form, refuse(federation.CodeTooLarge, "too many prefixes in a PrefixList")
		}
		for i, p := range form.Prefixes {
			if p == "#default" {
				form.Prefixes[i] = ""
			}
		}
	}
	return form, nil
}

// verify checks the signature with each key in turn, and then the digest of the element that it covers.
func (s *signature) verify(keys []crypto.PublicKey) error {
	buf := s.infoForm.Append(make([]byte, 0, 1024), s.signedInfo, nil)
	if !s.verifyValue(sum(s.method.hash, buf), keys) {
		return refuse(federation.CodeSignature,
			"the signature of the "+s.signed.Local+" was not made with a configured certificate")
	}
	buf = s.form.Append(buf[:0], s.signed, s.element)
	if !bytes.Equal(sum(s.hash, buf), s.digest) {
		return refuse(federation.CodeSignature, "the "+s.signed.Local+" is not what its signature covers")
	}
	return nil
}

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// usableKey reports whether signatures made with a key are believed.
func usableKey(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		return key.Params().BitSize >= minECDSABits
	}
	return false
}

func (s *signature) verifyValue(digest []byte, keys []crypto.PublicKey) bool {
	for _, key := range keys {
		switch key := key.(type) {
		case *rsa.PublicKey:
			if s.verifyRSA(key, digest) {
				return true
			}
		case *ecdsa.PublicKey:
			if s.method.family == familyECDSA && verifyECDSA(key, digest, s.value) {
				return true
			}
		}
	}
	return false
}

func (s *signature) verifyRSA(key *rsa.PublicKey, digest []byte) bool {
	switch s.method.family {
	case familyRSA:
		return rsa.VerifyPKCS1v15(key, s.method.hash, digest, s.value) == nil
	case familyRSAPSS:
		// RFC 6931 §2.3.9: MGF1 with the same hash, and a salt as long as the hash.
		return rsa.VerifyPSS(key, s.method.hash, digest, s.value, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

// verifyECDSA reads the value as r and s, each as long as the order of the curve (XML Signature §6.4.3).
func verifyECDSA(key *ecdsa.PublicKey, digest, value []byte) bool {
	size := (key.Params().N.BitLen() + 7) / 8
	if len(value) != 2*size {
		return false
	}
	return ecdsa.Verify(key, digest, new(big.Int).SetBytes(value[:size]), new(big.Int).SetBytes(value[size:]))
}

// sequence returns the children of e, which must be the named elements of XML Signature in that order. A name with a
// question mark may be missing, and is then nil.
func sequence(e *xmltree.Element, names ...string) ([]*xmltree.Element, error) {
	parts := make([]*xmltree.Element, len(names))
	i := 0
	for c := range e.Elements() {
		for i < len(names) && strings.HasSuffix(names[i], "?") && !c.Is(nsSignature, names[i][:len(names[i])-1]) {
			i++
		}
		if i == len(names) || !c.Is(nsSignature, strings.TrimSuffix(names[i], "?")) {
			return nil, refuse(federation.CodeWrapping, "an element that is not allowed at its place in "+e.Local)
		}
		parts[i] = c
		i++
	}
	for ; i < len(names); i++ {
		if !strings.HasSuffix(names[i], "?") {
			return nil, refuse(federation.CodeMalformed, "no "+names[i]+" in "+e.Local)
		}
	}
	if !e.Blank() {
		return nil, refuse(federation.CodeMalformed, "text inside "+e.Local)
	}
	return parts, nil
}

func algorithm(e *xmltree.Element) string {
	a, _ := e.Attr("Algorithm")
	return a
}

func emptyElement(e *xmltree.Element) bool {
	s, ok := e.Text()
	return ok && xmltree.Trim(s) == ""
}

// base64Text decodes the content of an element. White space may stand anywhere in it.
func base64Text(e *xmltree.Element) ([]byte, error) {
	s, ok := e.Text()
	if ok {
		if b, err := decodeBase64(s); err == nil && len(b) > 0 {
			return b, nil
		}
	}
	return nil, refuse(federation.CodeMalformed, "no base64 in "+e.Local)
}

func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, " \t\r\n") {
		s = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, s)
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}
