package saml

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

const (
	inclusive10 = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	inclusive11 = "http://www.w3.org/2006/12/xml-c14n11"
)

// signing says how a test signs a document of any form. The zero value is what everyone does.
type signing struct {
	key          crypto.Signer
	id           string // of the element to sign
	uri          string // of the Reference, "#"+id by default
	infoForm     string // canonicalization of SignedInfo, exclusive by default
	form         string // canonicalization of the element, exclusive by default
	prefixes     string // PrefixList of form
	method       string // RSA-SHA256 by default
	digestMethod string // SHA-256 by default

	// Whole elements in place of the ones above.
	transforms, signatureMethod, canonicalization string
	references                                    string // more of them
	extra                                         string // after KeyInfo
	keyInfo                                       string

	asn1 bool // leaves an ECDSA signature in ASN.1
}

// template is the signature without its values.
func (s signing) template() string {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	form := or(s.form, algExclusive)
	parameter := ""
	if s.prefixes != "" {
		parameter = `<ec:InclusiveNamespaces xmlns:ec="` + algExclusive + `" PrefixList="` + s.prefixes + `"/>`
	}
	transforms := or(s.transforms, `<ds:Transforms><ds:Transform Algorithm="`+algEnveloped+`"/>`+
		`<ds:Transform Algorithm="`+form+`">`+parameter+`</ds:Transform></ds:Transforms>`)
	return `<ds:Signature xmlns:ds="` + nsSignature + `">
  <ds:SignedInfo>
    ` + or(s.canonicalization, `<ds:CanonicalizationMethod Algorithm="`+or(s.infoForm, algExclusive)+`"/>`) + `
    ` + or(s.signatureMethod, `<ds:SignatureMethod Algorithm="`+or(s.method, federationtest.RSASHA256)+`"/>`) + `
    <ds:Reference URI="` + or(s.uri, "#"+s.id) + `">` + transforms + `<ds:DigestMethod Algorithm="` + or(s.digestMethod, algSHA256) + `"/><ds:DigestValue></ds:DigestValue></ds:Reference>` + s.references + `
  </ds:SignedInfo>
  <ds:SignatureValue></ds:SignatureValue>` + s.keyInfo + s.extra + `
</ds:Signature>`
}

// into signs the element of the document with that ID, whatever form the document is in. Its own canonicalization
// makes the digest: that this is right is for the comparisons with other implementations to show.
func (s signing) into(t testing.TB, doc string) string {
	t.Helper()
	if s.key == nil {
		s.key = testIdP().Key
	}
	doc = placeSignature(t, doc, s.id, s.template())
	hash := crypto.SHA256
	if h, known := digests[s.digestMethod]; known {
		hash = h
	}
	signed, signature := findSigned(t, doc, s.id)
	form := s.canonicalForm(s.form)
	if s.prefixes != "" {
		form.Prefixes = strings.Fields(strings.ReplaceAll(s.prefixes, "#default", ""))
		if strings.Contains(s.prefixes, "#default") {
			form.Prefixes = append(form.Prefixes, "")
		}
	}
	doc = fill(doc, s.id, "ds:DigestValue", sum(hash, form.Append(nil, signed, signature)))

	_, signature = findSigned(t, doc, s.id)
	info, err := only(signature, nsSignature, "SignedInfo")
	if err != nil {
		t.Fatal(err)
	}
	octets := s.canonicalForm(s.infoForm).Append(nil, info, nil)
	return fill(doc, s.id, "ds:SignatureValue", s.sign(t, octets))
}

func (s signing) canonicalForm(algorithm string) xmltree.Canonicalization {
	return xmltree.Canonicalization{Exclusive: algorithm == "" || strings.HasPrefix(algorithm, algExclusive)}
}

func (s signing) sign(t testing.TB, octets []byte) []byte {
	t.Helper()
	m := signatureMethods[s.method]
	if s.method == "" {
		m = signatureMethods[algRSASHA256]
	}
	if m.hash == 0 { // not allowed: any value will do
		m.hash = crypto.SHA256
	}
	if m.family == familyECDSA && !s.asn1 {
		return must[[]byte](t)(sign(s.key, octets))
	}
	var opts crypto.SignerOpts = m.hash
	if m.family == familyRSAPSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.hash}
	}
	return must[[]byte](t)(s.key.Sign(rand.Reader, sum(m.hash, octets), opts))
}

// placeSignature puts a signature after the Issuer of the element with that ID.
func placeSignature(t testing.TB, doc, id, signature string) string {
	t.Helper()
	at := strings.Index(doc, `ID="`+id+`"`)
	if at < 0 {
		t.Fatalf("no element with ID %s in %s", id, doc)
	}
	issuer := issuerElement.FindStringIndex(doc[at:])
	if issuer == nil {
		t.Fatalf("no Issuer after ID %s in %s", id, doc)
	}
	at += issuer[1]
	return doc[:at] + signature + doc[at:]
}

var issuerElement = regexp.MustCompile(`<(\w+:)?Issuer[^>]*>[^<]*</(\w+:)?Issuer>`)

// fill gives the first empty element of that name after the ID its content.
func fill(doc, id, name string, value []byte) string {
	at := strings.Index(doc, `ID="`+id+`"`)
	return doc[:at] + strings.Replace(doc[at:], "<"+name+"></"+name+">",
		"<"+name+">"+base64.StdEncoding.EncodeToString(value)+"</"+name+">", 1)
}

func findSigned(t testing.TB, doc, id string) (signed, signature *xmltree.Element) {
	t.Helper()
	root := parseResponse(t, doc)
	for e := range root.All() {
		if v, _ := e.Attr("ID"); v == id {
			signed = e
		}
	}
	for c := range signed.Elements() {
		if c.Is(nsSignature, "Signature") {
			signature = c
		}
	}
	return signed, signature
}

func parseResponse(t testing.TB, doc string) *xmltree.Element {
	t.Helper()
	root, err := xmltree.Parse(doc, xmltree.Options{Limits: responseLimits, Strict: true})
	if err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	return root
}

func encode(doc string) string { return base64.StdEncoding.EncodeToString([]byte(doc)) }

// unsigned returns an ordinary response without signatures, whose IDs are _r and _a, after edits given as pairs of old
// and new text, each of which must be there.
func unsigned(t testing.TB, edits ...string) string {
	t.Helper()
	r := ordinary()
	r.ID, r.AssertionID, r.Sign = "_r", "_a", federationtest.SignNone
	return replace(t, must[string](t)(testIdP().ResponseXML(r)), edits...)
}

func replace(t testing.TB, doc string, edits ...string) string {
	t.Helper()
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(doc, edits[i]) {
			t.Fatalf("%q is not in %s", edits[i], doc)
		}
		doc = strings.Replace(doc, edits[i], edits[i+1], 1)
	}
	return doc
}

// cut returns the first element of that name in the document, and the document without it.
func cut(t testing.TB, doc, name string) (element, rest string) {
	t.Helper()
	start := strings.Index(doc, "<"+name+" ")
	end := strings.Index(doc, "</"+name+">")
	if start < 0 || end < start {
		t.Fatalf("no %s in %s", name, doc)
	}
	end += len("</" + name + ">")
	return doc[start:end], doc[:start] + doc[end:]
}

// minutes writes the time that many minutes after testNow.
func minutes(n int) string { return formatInstant(testNow.Add(time.Duration(n) * time.Minute)) }
