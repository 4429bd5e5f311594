package saml

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// refusal is a response that must be refused, and how.
type refusal struct {
	name   string
	code   federation.Code
	make   func(t *testing.T) string // the SAMLResponse field
	expect func(*federation.Expect)  // nil where everything is as expected
}

func TestRefusals(t *testing.T) {
	seen := map[string]bool{}
	total := 0
	for _, group := range []struct {
		name  string
		cases []refusal
	}{
		{"document", documentRefusals()}, {"status", statusRefusals()}, {"signature", signatureRefusals()},
		{"algorithm", algorithmRefusals()}, {"wrapping", wrappingRefusals()}, {"assertion", assertionRefusals()},
		{"address", addressRefusals()}, {"time", timeRefusals()}, {"encryption", encryptionRefusals()},
	} {
		for _, c := range group.cases {
			name := group.name + "/" + c.name
			if total++; seen[name] {
				t.Errorf("two cases are named %q", name)
			}
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				e := expected(testIdP())
				if c.expect != nil {
					c.expect(&e)
				}
				a, err := verify(c.make(t), e)
				if err == nil {
					t.Fatalf("accepted: %+v", a)
				}
				if got := codeOf(t, err); got != c.code {
					t.Errorf("refused with %s (%v), want %s", got, err, c.code)
				}
				if strings.Contains(err.Error(), "ada@") {
					t.Errorf("the refusal quotes the assertion: %v", err)
				}
			})
		}
	}
	if total < 45 {
		t.Errorf("only %d cases", total)
	}
}

// fixed is a response that is always the same text.
func fixed(s string) func(*testing.T) string { return func(*testing.T) string { return s } }

// signed is an ordinary response with changes.
func signed(change func(*federationtest.Response)) func(*testing.T) string {
	return func(t *testing.T) string {
		r := ordinary()
		r.ID, r.AssertionID = "_r", "_a"
		change(&r)
		return must[string](t)(testIdP().Response(r))
	}
}

// edited is an ordinary response that was changed after it was signed.
func edited(by federationtest.Signed, edits ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		return signed(func(r *federationtest.Response) {
			r.Sign = by
			r.Edit = func(doc string) string { return replace(t, doc, edits...) }
		})(t)
	}
}

// asserted is an ordinary response whose assertion was changed before it was signed.
func asserted(edits ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		return signed(func(r *federationtest.Response) {
			r.EditAssertion = func(doc string) string { return replace(t, doc, edits...) }
		})(t)
	}
}

// crafted is an ordinary response, edited, and its assertion then signed in some special way.
func crafted(s signing, edits ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		if s.id == "" {
			s.id = "_a"
		}
		return encode(s.into(t, unsigned(t, edits...)))
	}
}

func documentRefusals() []refusal {
	wrap := func(change func(doc string) string) func(*testing.T) string {
		return signed(func(r *federationtest.Response) { r.Edit = change })
	}
	before := func(s string) func(*testing.T) string { return wrap(func(doc string) string { return s + doc }) }
	return []refusal{
		{"empty", federation.CodeMalformed, fixed(""), nil},
		{"not base64", federation.CodeMalformed, fixed("<samlp:Response/>"), nil},
		{"base64 with rubbish in it", federation.CodeMalformed, fixed("PGE*Lz4="), nil},
		{"base64 without padding", federation.CodeMalformed, fixed("PGEvPg"), nil},
		{"base64 with stray bits", federation.CodeMalformed, func(t *testing.T) string {
			doc := must[string](t)(testIdP().ResponseXML(ordinary()))
			encoded := encode(doc + strings.Repeat("\n", 3-(len(doc)+2)%3)) // one byte more than a multiple of three
			return strings.TrimSuffix(encoded, "Cg==") + "Ch=="
		}, nil},
		{"not XML", federation.CodeMalformed, fixed(encode("hello")), nil},
		{"1 MiB of junk", federation.CodeTooLarge, fixed(strings.Repeat("junk", 1<<18)), nil},
		{"1 MiB of white space", federation.CodeTooLarge, fixed(strings.Repeat(" ", 1<<20)), nil},
		{"more bytes than allowed", federation.CodeTooLarge,
			wrap(func(doc string) string { return doc + strings.Repeat("\n", federation.MaxResponse) }), nil},
		{"more elements than allowed", federation.CodeTooLarge,
			wrap(func(doc string) string { return "<a>" + strings.Repeat("<b/>", 1<<14) + doc + "</a>" }), nil},
		{"deeper than allowed", federation.CodeTooLarge,
			wrap(func(doc string) string { return strings.Repeat("<a>", 5000) + doc + strings.Repeat("</a>", 5000) }), nil},
		{"more attributes than allowed", federation.CodeTooLarge,
			wrap(func(doc string) string { return "<a" + manyAttributes(100) + ">" + doc + "</a>" }), nil},
		{"more namespaces than allowed", federation.CodeTooLarge,
			wrap(func(doc string) string {
				return "<a" + manyNamespaces(60) + "><b" + manyNamespaces(60) + ">" + doc + "</b></a>"
			}), nil},
		{"of the redirect binding", federation.CodeMalformed, func(t *testing.T) string {
			return base64.StdEncoding.EncodeToString(deflate([]byte(must[string](t)(testIdP().ResponseXML(ordinary())))))
		}, nil},
		{"a deflate bomb", federation.CodeMalformed, func(*testing.T) string {
			return base64.StdEncoding.EncodeToString(deflate(bytes.Repeat([]byte("<a>"), 1<<20)))
		}, nil},
		{"document type", federation.CodeForbiddenXML, before(`<!DOCTYPE a>`), nil},
		{"external entity", federation.CodeForbiddenXML, before(`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>`), nil},
		{"entity bomb", federation.CodeForbiddenXML,
			before(`<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;">]>`), nil},
		{"entity without declaration", federation.CodeMalformed, edited(federationtest.SignAssertion, "ada@", "&ada;@"), nil},
		{"comment in the NameID", federation.CodeForbiddenXML,
			edited(federationtest.SignAssertion, "ada@example.com", "ada@example.com<!---->.evil.example"), nil},
		{"processing instruction in the NameID", federation.CodeForbiddenXML,
			edited(federationtest.SignAssertion, "ada@example.com", "ada@example.com<?x?>.evil.example"), nil},
		{"comment outside the assertion", federation.CodeForbiddenXML, edited(federationtest.SignAssertion, "<samlp:Status>", "<!-- --><samlp:Status>"), nil},
		{"processing instruction before the root", federation.CodeForbiddenXML, before(`<?xml-stylesheet href="x"?>`), nil},
		{"duplicate attribute", federation.CodeForbiddenXML, edited(federationtest.SignAssertion, `ID="_a"`, `ID="_a" ID="_a"`), nil},
		{"duplicate ID", federation.CodeForbiddenXML, edited(federationtest.SignAssertion, `ID="_r"`, `ID="_a"`), nil},
		{"duplicate ID in another attribute", federation.CodeForbiddenXML,
			edited(federationtest.SignAssertion, `<samlp:Status>`, `<samlp:Status Id="_a">`), nil},
		{"xml:id", federation.CodeForbiddenXML, edited(federationtest.SignAssertion, `<samlp:Status>`, `<samlp:Status xml:id="_x">`), nil},
		{"undeclared prefix", federation.CodeMalformed, edited(federationtest.SignAssertion, `<samlp:Status>`, `<samlp:Status a:b="">`), nil},
		{"prefix xml bound again", federation.CodeMalformed, edited(federationtest.SignAssertion, `<samlp:Status>`, `<samlp:Status xmlns:xml="urn:x">`), nil},
		{"UTF-16", federation.CodeMalformed, func(t *testing.T) string {
			b := []byte{0xFF, 0xFE}
			for _, u := range utf16.Encode([]rune(must[string](t)(testIdP().ResponseXML(ordinary())))) {
				b = binary.LittleEndian.AppendUint16(b, u)
			}
			return base64.StdEncoding.EncodeToString(b)
		}, nil},
		{"two roots", federation.CodeMalformed, wrap(func(doc string) string { return doc + doc }), nil},
		{"cut short", federation.CodeMalformed, wrap(func(doc string) string { return doc[:len(doc)/2] }), nil},
		{"an assertion alone", federation.CodeMalformed, func(t *testing.T) string {
			assertion, _ := cut(t, must[string](t)(testIdP().ResponseXML(ordinary())), "saml:Assertion")
			return encode(assertion)
		}, nil},
		{"a request", federation.CodeMalformed, fixed(encode(`<samlp:AuthnRequest xmlns:samlp="` + nsProtocol + `" ID="_1" Version="2.0"/>`)), nil},
		{"a Response of another namespace", federation.CodeMalformed,
			edited(federationtest.SignAssertion, nsProtocol, "urn:oasis:names:tc:SAML:1.0:protocol"), nil},
		{"SAML 1.1", federation.CodeMalformed, edited(federationtest.SignAssertion, `Version="2.0"`, `Version="1.1"`), nil},
		{"no ID", federation.CodeMalformed, edited(federationtest.SignAssertion, ` ID="_r"`, ``), nil},
		{"text in the Response", federation.CodeMalformed, edited(federationtest.SignAssertion, `<samlp:Status>`, `x<samlp:Status>`), nil},
		{"an element that does not belong there", federation.CodeMalformed,
			edited(federationtest.SignAssertion, `<samlp:Status>`, `<x:y xmlns:x="urn:x"/><samlp:Status>`), nil},
		{"two Issuers", federation.CodeMalformed, edited(federationtest.SignAssertion, `<samlp:Status>`,
			`<saml:Issuer xmlns:saml="`+nsAssertion+`">x</saml:Issuer><samlp:Status>`), nil},
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + strings.Repeat("a", i) + `=""`)
	}
	return b.String()
}

func manyNamespaces(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" xmlns:a" + strings.Repeat("a", i) + `="urn:a"`)
	}
	return b.String()
}

func statusRefusals() []refusal {
	denied := func(r *federationtest.Response) {
		r.Status, r.SubStatus = federationtest.StatusResponder, federationtest.StatusRequestDenied
	}
	return []refusal{
		{"refused, unsigned", federation.CodeStatus, signed(denied), nil},
		{"refused, signed", federation.CodeStatus, signed(func(r *federationtest.Response) { denied(r); r.Sign = federationtest.SignResponse }), nil},
		{"refused, of another issuer", federation.CodeStatus, signed(denied), func(e *federation.Expect) { e.Issuer = "x" }},
		{"refused with an assertion", federation.CodeStatus,
			edited(federationtest.SignAssertion, federationtest.StatusSuccess, federationtest.StatusResponder), nil},
		{"none", federation.CodeMalformed, edited(federationtest.SignAssertion, `<samlp:Status>`, `<samlp:Extensions>`, `</samlp:Status>`, `</samlp:Extensions>`), nil},
		{"two", federation.CodeMalformed, edited(federationtest.SignAssertion, `<samlp:Status>`, `<samlp:Status></samlp:Status><samlp:Status>`), nil},
		{"no code", federation.CodeMalformed, edited(federationtest.SignAssertion, `samlp:StatusCode`, `samlp:Statuscode`, `/samlp:StatusCode`, `/samlp:Statuscode`), nil},
		{"empty code", federation.CodeStatus, edited(federationtest.SignAssertion, federationtest.StatusSuccess, ""), nil},
		{"success of an alien namespace", federation.CodeMalformed, edited(federationtest.SignAssertion, `<samlp:Status>`, `<samlp:Status xmlns:samlp="urn:x">`), nil},
	}
}

func TestStatusIsReported(t *testing.T) {
	r := ordinary()
	r.Status, r.SubStatus, r.StatusMessage = federationtest.StatusResponder, federationtest.StatusNoAuthnContext, "no such context"
	r.InResponseTo = ""
	_, err := verify(must[string](t)(testIdP().Response(r)), expected(testIdP()))
	var e *federation.Error
	if !errors.As(err, &e) || e.Code != federation.CodeStatus {
		t.Fatalf("error %v", err)
	}
	if want := (federation.Status{Code: r.Status, SubCode: r.SubStatus, Message: r.StatusMessage}); e.Status != want {
		t.Errorf("status %+v, want %+v", e.Status, want)
	}
}

func signatureRefusals() []refusal {
	other := func(e *federation.Expect) { e.Certificates = [][]byte{testOtherIdP().Certificate} }
	return []refusal{
		{"none", federation.CodeUnsigned, signed(func(r *federationtest.Response) { r.Sign = federationtest.SignNone }), nil},
		{"cut out", federation.CodeUnsigned, func(t *testing.T) string {
			_, rest := cut(t, must[string](t)(testIdP().ResponseXML(ordinary())), "ds:Signature")
			return encode(rest)
		}, nil},
		{"another key, whose certificate is in KeyInfo", federation.CodeSignature, signed(func(*federationtest.Response) {}), other},
		{"another key over the Response", federation.CodeSignature,
			signed(func(r *federationtest.Response) { r.Sign = federationtest.SignResponse }), other},
		{"no certificate configured", federation.CodeSignature, signed(func(*federationtest.Response) {}),
			func(e *federation.Expect) { e.Certificates = nil }},
		{"a certificate that cannot be read", federation.CodeSignature, signed(func(*federationtest.Response) {}),
			func(e *federation.Expect) { e.Certificates = [][]byte{nil, {1, 2, 3}} }},
		{"NameID changed", federation.CodeSignature, edited(federationtest.SignAssertion, "ada@example.com", "bob@example.com"), nil},
		{"attribute changed in a signed Response", federation.CodeSignature, edited(federationtest.SignResponse, "staff", "board"), nil},
		{"audience changed", federation.CodeSignature, edited(federationtest.SignBoth, testAudience, testAudience+"x"), nil},
		{"white space added", federation.CodeSignature, edited(federationtest.SignAssertion, "</saml:Subject>", "</saml:Subject> "), nil},
		{"attribute prefix changed", federation.CodeSignature,
			edited(federationtest.SignAssertion, `<saml:Subject>`, `<saml:Subject xml:lang="en">`), nil},
		{"element added", federation.CodeSignature, edited(federationtest.SignAssertion, `</saml:Attribute>`,
			`</saml:Attribute><saml:Attribute Name="roles"><saml:AttributeValue>root</saml:AttributeValue></saml:Attribute>`), nil},
		{"Destination changed in a signed Response", federation.CodeSignature,
			edited(federationtest.SignResponse, `Destination="`+testACS+`"`, `Destination="https://second.example/acs"`),
			func(e *federation.Expect) { e.ACS = append(e.ACS, "https://second.example/acs") }},
		{"digest changed", federation.CodeSignature, edited(federationtest.SignAssertion, "<ds:DigestValue>", "<ds:DigestValue>AAAA"), nil},
		{"digest and assertion changed", federation.CodeSignature, func(t *testing.T) string {
			doc := signing{id: "_a"}.into(t, unsigned(t, "ada@example.com", "bob@example.com"))
			honest := signing{id: "_a"}.into(t, unsigned(t))
			value := func(s string) string { return strings.Split(strings.Split(s, "<ds:SignatureValue>")[1], "<")[0] }
			return encode(strings.Replace(doc, value(doc), value(honest), 1))
		}, nil},
		{"value changed", federation.CodeSignature, edited(federationtest.SignAssertion, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA"), nil},
		{"value empty", federation.CodeMalformed, func(t *testing.T) string {
			doc := must[string](t)(testIdP().ResponseXML(ordinary()))
			start := strings.Index(doc, "<ds:SignatureValue>") + len("<ds:SignatureValue>")
			return encode(doc[:start] + doc[strings.Index(doc, "</ds:SignatureValue>"):])
		}, nil},
		{"value not base64", federation.CodeMalformed, edited(federationtest.SignAssertion, "<ds:SignatureValue>", "<ds:SignatureValue>*"), nil},
		{"that of the Response good, that of the assertion bad", federation.CodeSignature, func(t *testing.T) string {
			doc := signing{id: "_a", key: testOtherIdP().Key}.into(t, unsigned(t))
			return encode(signing{id: "_r"}.into(t, doc))
		}, nil},
		{"that of the assertion good, that of the Response bad", federation.CodeSignature, func(t *testing.T) string {
			doc := signing{id: "_a"}.into(t, unsigned(t))
			return encode(signing{id: "_r", key: testOtherIdP().Key}.into(t, doc))
		}, nil},
		{"an ECDSA method under an RSA certificate", federation.CodeSignature,
			crafted(signing{key: testECDSAIdP().Key, method: federationtest.ECDSASHA256}), nil},
		{"an RSA method under an ECDSA certificate", federation.CodeSignature, crafted(signing{}),
			func(e *federation.Expect) { e.Certificates = [][]byte{testECDSAIdP().Certificate} }},
		{"PKCS #1 under the name of PSS", federation.CodeSignature,
			crafted(signing{signatureMethod: `<ds:SignatureMethod Algorithm="` + federationtest.RSAPSS256 + `"/>`}), nil},
		{"ECDSA in ASN.1", federation.CodeSignature, func(t *testing.T) string {
			return encode(signing{id: "_a", key: testECDSAIdP().Key, method: federationtest.ECDSASHA256, asn1: true}.into(t, unsigned(t)))
		}, func(e *federation.Expect) { e.Certificates = [][]byte{testECDSAIdP().Certificate} }},
		{"an ECDSA value under the name of RSA", federation.CodeSignature, crafted(signing{key: testECDSAIdP().Key,
			method: federationtest.ECDSASHA256, signatureMethod: `<ds:SignatureMethod Algorithm="` + algRSASHA256 + `"/>`}),
			func(e *federation.Expect) { e.Certificates = [][]byte{testECDSAIdP().Certificate} }},
		{"an RSA value under the name of ECDSA", federation.CodeSignature,
			crafted(signing{signatureMethod: `<ds:SignatureMethod Algorithm="` + algECSHA256 + `"/>`}), nil},
		{"a curve of 224 bits", federation.CodeSignature, crafted(signing{key: testSmallCurve().key, method: federationtest.ECDSASHA256}),
			func(e *federation.Expect) { e.Certificates = [][]byte{testSmallCurve().certificate} }},
		{"a key of 1024 bits", federation.CodeSignature, crafted(signing{key: testWeakIdP().Key}),
			func(e *federation.Expect) { e.Certificates = [][]byte{testWeakIdP().Certificate} }},
	}
}

func algorithmRefusals() []refusal {
	transforms := func(algorithms ...string) signing {
		s := `<ds:Transforms>`
		for _, a := range algorithms {
			s += `<ds:Transform Algorithm="` + a + `"/>`
		}
		return signing{transforms: s + `</ds:Transforms>`}
	}
	return []refusal{
		{"RSA with SHA-1", federation.CodeAlgorithm, signed(func(r *federationtest.Response) { r.SignatureMethod = federationtest.RSASHA1 }), nil},
		{"digest SHA-1", federation.CodeAlgorithm, signed(func(r *federationtest.Response) { r.DigestMethod = federationtest.DigestSHA1 }), nil},
		{"digest SHA-1 over the Response", federation.CodeAlgorithm,
			signed(func(r *federationtest.Response) {
				r.DigestMethod, r.Sign = federationtest.DigestSHA1, federationtest.SignResponse
			}), nil},
		{"digest MD5", federation.CodeAlgorithm, crafted(signing{digestMethod: "http://www.w3.org/2001/04/xmldsig-more#md5"}), nil},
		{"RSA with MD5", federation.CodeAlgorithm, crafted(signing{method: "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"}), nil},
		{"DSA", federation.CodeAlgorithm, crafted(signing{method: nsSignature + "dsa-sha1"}), nil},
		{"none", federation.CodeAlgorithm, crafted(signing{signatureMethod: `<ds:SignatureMethod/>`}), nil},
		{"HMAC with the certificate as its key", federation.CodeAlgorithm,
			crafted(signing{key: hmacSigner{testIdP().Key}, method: "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"}), nil},
		{"HMAC cut to no bits", federation.CodeAlgorithm, crafted(signing{signatureMethod: `<ds:SignatureMethod Algorithm="` +
			`http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"><ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>`}), nil},
		{"parameters of the signature method", federation.CodeAlgorithm, crafted(signing{signatureMethod: `<ds:SignatureMethod Algorithm="` +
			algRSASHA256 + `"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>`}), nil},
		{"XSLT", federation.CodeAlgorithm, crafted(transforms(algEnveloped, "http://www.w3.org/TR/1999/REC-xslt-19991116")), nil},
		{"XPath", federation.CodeAlgorithm, crafted(transforms(algEnveloped, "http://www.w3.org/TR/1999/REC-xpath-19991116")), nil},
		{"XPath filter", federation.CodeAlgorithm, crafted(transforms(algEnveloped, "http://www.w3.org/2002/06/xmldsig-filter2")), nil},
		{"base64 transform", federation.CodeAlgorithm, crafted(transforms(algEnveloped, nsSignature+"base64")), nil},
		{"no enveloped-signature transform", federation.CodeAlgorithm, crafted(transforms(algExclusive)), nil},
		{"two of them", federation.CodeAlgorithm, crafted(transforms(algEnveloped, algEnveloped)), nil},
		{"two canonicalizations", federation.CodeAlgorithm, crafted(transforms(algEnveloped, algExclusive, inclusive10)), nil},
		{"canonicalization first", federation.CodeAlgorithm, crafted(transforms(algExclusive, algEnveloped)), nil},
		{"no transforms", federation.CodeAlgorithm, crafted(transforms()), nil},
		{"something else among the transforms", federation.CodeAlgorithm, crafted(signing{transforms: `<ds:Transforms>` +
			`<ds:Transform Algorithm="` + algEnveloped + `"/><ds:XPath>1</ds:XPath></ds:Transforms>`}), nil},
		{"parameters of enveloped-signature", federation.CodeAlgorithm, crafted(signing{transforms: `<ds:Transforms>` +
			`<ds:Transform Algorithm="` + algEnveloped + `"><ds:XPath>1</ds:XPath></ds:Transform></ds:Transforms>`}), nil},
		{"prefix list of an inclusive form", federation.CodeAlgorithm, crafted(signing{form: inclusive10, prefixes: "saml"}), nil},
		{"two prefix lists", federation.CodeAlgorithm, crafted(signing{canonicalization: `<ds:CanonicalizationMethod Algorithm="` +
			algExclusive + `">` + strings.Repeat(`<a:InclusiveNamespaces xmlns:a="`+algExclusive+`" PrefixList="x"/>`, 2) +
			`</ds:CanonicalizationMethod>`}), nil},
		{"a long prefix list", federation.CodeTooLarge, crafted(signing{prefixes: strings.Repeat("a ", 100)}), nil},
		{"something inside the prefix list", federation.CodeAlgorithm, crafted(signing{canonicalization: `<ds:CanonicalizationMethod Algorithm="` +
			algExclusive + `"><a:InclusiveNamespaces xmlns:a="` + algExclusive + `" PrefixList="x"><b/></a:InclusiveNamespaces></ds:CanonicalizationMethod>`}), nil},
		{"something inside the digest method", federation.CodeAlgorithm,
			edited(federationtest.SignAssertion, `</ds:DigestMethod>`, `<b/></ds:DigestMethod>`), nil},
		{"unknown canonicalization", federation.CodeAlgorithm, crafted(signing{canonicalization: `<ds:CanonicalizationMethod Algorithm="` +
			`http://www.w3.org/TR/1999/WD-xml-c14n-19991115"/>`}), nil},
	}
}

func wrappingRefusals() []refusal {
	refer := func(uri string) func(*testing.T) string { return crafted(signing{uri: uri}) }
	return []refusal{
		// The eight forms of Somorovsky et al., "On Breaking SAML: Be Whoever You Want to Be" (2012), as tools number them:
		// in 1 and 2 the Response is signed, in 3 to 8 the assertion.
		{"XSW1", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, bare := cut(t, doc, "ds:Signature")
			return placeSignature(t, evil(bare), "_evil_r", replace(t, signature, "</ds:Signature>", bare+"</ds:Signature>"))
		}, federationtest.SignResponse), nil},
		{"XSW2", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, bare := cut(t, doc, "ds:Signature")
			return placeSignature(t, evil(bare), "_evil_r", bare+signature)
		}, federationtest.SignResponse), nil},
		{"XSW3", federation.CodeAssertion, wrap(func(t *testing.T, doc string) string {
			assertion, _ := cut(t, doc, "saml:Assertion")
			_, bare := cut(t, assertion, "ds:Signature")
			return replace(t, doc, "<saml:Assertion ", evil(bare)+"<saml:Assertion ")
		}, federationtest.SignAssertion), nil},
		{"XSW4", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			assertion, rest := cut(t, doc, "saml:Assertion")
			_, bare := cut(t, assertion, "ds:Signature")
			return replace(t, rest, "</samlp:Response>",
				replace(t, evil(bare), "</saml:Assertion>", assertion+"</saml:Assertion>")+"</samlp:Response>")
		}, federationtest.SignAssertion), nil},
		{"XSW5", federation.CodeAssertion, wrap(func(t *testing.T, doc string) string {
			assertion, rest := cut(t, doc, "saml:Assertion")
			_, bare := cut(t, assertion, "ds:Signature")
			return replace(t, rest, "</samlp:Response>", evil(assertion)+bare+"</samlp:Response>")
		}, federationtest.SignAssertion), nil},
		{"XSW6", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			assertion, rest := cut(t, doc, "saml:Assertion")
			_, bare := cut(t, assertion, "ds:Signature")
			return replace(t, rest, "</samlp:Response>",
				replace(t, evil(assertion), "</ds:Signature>", bare+"</ds:Signature>")+"</samlp:Response>")
		}, federationtest.SignAssertion), nil},
		{"XSW7", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			assertion, _ := cut(t, doc, "saml:Assertion")
			_, bare := cut(t, assertion, "ds:Signature")
			return replace(t, doc, "<samlp:Status>", "<samlp:Extensions>"+evil(bare)+"</samlp:Extensions><samlp:Status>")
		}, federationtest.SignAssertion), nil},
		{"XSW8", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			assertion, rest := cut(t, doc, "saml:Assertion")
			_, bare := cut(t, assertion, "ds:Signature")
			return replace(t, rest, "</samlp:Response>",
				replace(t, evil(assertion), "</ds:Signature>", "<ds:Object>"+bare+"</ds:Object></ds:Signature>")+"</samlp:Response>")
		}, federationtest.SignAssertion), nil},

		{"the signed assertion moved to Extensions", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			assertion, rest := cut(t, doc, "saml:Assertion")
			return replace(t, rest, "<samlp:Status>", "<samlp:Extensions>"+assertion+"</samlp:Extensions><samlp:Status>")
		}, federationtest.SignAssertion), nil},
		{"the signed assertion in the Advice of another", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			assertion, rest := cut(t, doc, "saml:Assertion")
			_, bare := cut(t, assertion, "ds:Signature")
			return replace(t, rest, "</samlp:Response>", replace(t, evil(bare), "</saml:Conditions>",
				"</saml:Conditions><saml:Advice>"+assertion+"</saml:Advice>")+"</samlp:Response>")
		}, federationtest.SignAssertion), nil},
		{"the signature of the assertion used for the Response", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, rest := cut(t, doc, "ds:Signature")
			return placeSignature(t, rest, "_r", signature)
		}, federationtest.SignAssertion), nil},
		{"signature before the Issuer", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, rest := cut(t, doc, "ds:Signature")
			return replace(t, rest, `<saml:Issuer>`, signature+`<saml:Issuer>`)
		}, federationtest.SignAssertion), nil},
		{"signature after the Subject", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, rest := cut(t, doc, "ds:Signature")
			return replace(t, rest, `</saml:Subject>`, `</saml:Subject>`+signature)
		}, federationtest.SignAssertion), nil},
		{"signature inside the Subject", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, rest := cut(t, doc, "ds:Signature")
			return replace(t, rest, `</saml:Subject>`, signature+`</saml:Subject>`)
		}, federationtest.SignAssertion), nil},
		{"signature in an attribute value", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, _ := cut(t, doc, "ds:Signature")
			return replace(t, doc, "staff", signature)
		}, federationtest.SignAssertion), nil},
		{"two signatures", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			signature, _ := cut(t, doc, "ds:Signature")
			return replace(t, doc, "</ds:Signature>", "</ds:Signature>"+signature)
		}, federationtest.SignAssertion), nil},
		{"an Object in the signature", federation.CodeWrapping, crafted(signing{extra: `<ds:Object>x</ds:Object>`}), nil},
		{"two SignedInfo", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			info, _ := cut(t, replace(t, doc, "<ds:SignedInfo>", "<ds:SignedInfo >"), "ds:SignedInfo")
			return replace(t, doc, "<ds:SignedInfo>", info+"<ds:SignedInfo>")
		}, federationtest.SignAssertion), nil},
		{"two references", federation.CodeWrapping, crafted(signing{references: `<ds:Reference URI="#_r"><ds:DigestMethod Algorithm="` +
			algSHA256 + `"/><ds:DigestValue>AAAA</ds:DigestValue></ds:Reference>`}), nil},
		{"no reference", federation.CodeMalformed, wrap(func(t *testing.T, doc string) string {
			_, rest := cut(t, doc, "ds:Reference")
			return rest
		}, federationtest.SignAssertion), nil},
		{"reference to the whole document", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			return replace(t, doc, `URI="#_a"`, `URI=""`)
		}, federationtest.SignAssertion), nil},
		{"reference without URI", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			return replace(t, doc, ` URI="#_a"`, ``)
		}, federationtest.SignAssertion), nil},
		{"reference to another element", federation.CodeWrapping, refer("#_r"), nil},
		{"reference to nothing", federation.CodeWrapping, refer("#_none"), nil},
		{"reference by XPointer", federation.CodeWrapping, refer("#xpointer(id('_a'))"), nil},
		{"reference to a URL", federation.CodeWrapping, refer("https://evil.example/#_a"), nil},
		{"reference to a file", federation.CodeWrapping, refer("file:///etc/passwd"), nil},
		{"a Response inside the Response", federation.CodeWrapping, wrap(func(t *testing.T, doc string) string {
			return replace(t, doc, "<samlp:Status>", `<samlp:Extensions><samlp:Response></samlp:Response></samlp:Extensions><samlp:Status>`)
		}, federationtest.SignAssertion), nil},
	}
}

// wrap is a signed response that an attacker has rearranged.
func wrap(change func(*testing.T, string) string, by federationtest.Signed) func(*testing.T) string {
	return func(t *testing.T) string {
		return signed(func(r *federationtest.Response) {
			r.Sign = by
			r.Edit = func(doc string) string { return change(t, doc) }
		})(t)
	}
}

// evil is a copy with other IDs and another person.
func evil(doc string) string {
	return strings.NewReplacer(`ID="_r"`, `ID="_evil_r"`, `ID="_a"`, `ID="_evil_a"`, "ada@", "root@").Replace(doc)
}

func assertionRefusals() []refusal {
	return []refusal{
		{"none", federation.CodeAssertion, wrap(func(t *testing.T, doc string) string {
			_, rest := cut(t, doc, "saml:Assertion")
			return rest
		}, federationtest.SignAssertion), nil},
		{"none in a signed Response", federation.CodeAssertion, func(t *testing.T) string {
			_, rest := cut(t, unsigned(t), "saml:Assertion")
			return encode(signing{id: "_r"}.into(t, rest))
		}, nil},
		{"two, both signed", federation.CodeAssertion, wrap(func(t *testing.T, doc string) string {
			r := ordinary()
			r.AssertionID = "_b"
			second, _ := cut(t, must[string](t)(testIdP().ResponseXML(r)), "saml:Assertion")
			return replace(t, doc, "</samlp:Response>", second+"</samlp:Response>")
		}, federationtest.SignAssertion), nil},
		{"two in a signed Response", federation.CodeAssertion, func(t *testing.T) string {
			doc := unsigned(t)
			assertion, _ := cut(t, doc, "saml:Assertion")
			return encode(signing{id: "_r"}.into(t, replace(t, doc, "</samlp:Response>", evil(assertion)+"</samlp:Response>")))
		}, nil},
		{"plain and encrypted", federation.CodeAssertion, wrap(func(t *testing.T, doc string) string {
			r := ordinary()
			r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
			second, _ := cut(t, must[string](t)(testIdP().ResponseXML(r)), "saml:EncryptedAssertion")
			return replace(t, doc, "</samlp:Response>", second+"</samlp:Response>")
		}, federationtest.SignAssertion), nil},
		{"SAML 1.1", federation.CodeMalformed, asserted(`Version="2.0"`, `Version="1.1"`), nil},
		{"no IssueInstant", federation.CodeMalformed, asserted(` IssueInstant="2026-03-04T05:06:07.000Z"`, ``), nil},
		{"text in it", federation.CodeMalformed, asserted(`<saml:Subject>`, `x<saml:Subject>`), nil},
		{"no Subject", federation.CodeAssertion, asserted(`<saml:Subject>`, `<saml:subject>`, `</saml:Subject>`, `</saml:subject>`), nil},
		{"two Subjects", federation.CodeMalformed, asserted(`<saml:Subject>`, `<saml:Subject></saml:Subject><saml:Subject>`), nil},
		{"two NameIDs", federation.CodeMalformed, asserted(`</saml:NameID>`, `</saml:NameID><saml:NameID>root</saml:NameID>`), nil},
		{"an element in the NameID", federation.CodeMalformed, asserted(`ada@example.com</saml:NameID>`, `ada@example.com<b></b>.evil</saml:NameID>`), nil},
		{"encrypted NameID", federation.CodeAssertion, asserted(`</saml:NameID>`, `</saml:NameID><saml:EncryptedID></saml:EncryptedID>`), nil},
		{"BaseID", federation.CodeAssertion, asserted(`</saml:NameID>`, `</saml:NameID><saml:BaseID></saml:BaseID>`), nil},
		{"encrypted attribute", federation.CodeAssertion, asserted(`<saml:AttributeStatement>`, `<saml:AttributeStatement><saml:EncryptedAttribute></saml:EncryptedAttribute>`), nil},
		{"no bearer confirmation", federation.CodeAssertion, asserted(`cm:bearer`, `cm:sender-vouches`), nil},
		{"no confirmation data", federation.CodeAssertion, asserted(`saml:SubjectConfirmationData`, `saml:Data`, `/saml:SubjectConfirmationData`, `/saml:Data`), nil},
		{"no Conditions", federation.CodeAssertion, asserted(`<saml:Conditions`, `<saml:conditions`, `</saml:Conditions`, `</saml:conditions`), nil},
		{"two Conditions", federation.CodeMalformed, asserted(`<saml:Conditions`, `<saml:Conditions></saml:Conditions><saml:Conditions`), nil},
		{"a condition of another namespace", federation.CodeAssertion, asserted(`</saml:Conditions>`, `<x:y xmlns:x="urn:x"></x:y></saml:Conditions>`), nil},
		{"a condition by type", federation.CodeAssertion, asserted(`</saml:Conditions>`, `<saml:Condition></saml:Condition></saml:Conditions>`), nil},
		{"no AuthnStatement", federation.CodeAssertion, asserted(`<saml:AuthnStatement`, `<saml:authnStatement`, `</saml:AuthnStatement`, `</saml:authnStatement`), nil},
	}
}

func addressRefusals() []refusal {
	const recipient = ` Recipient="` + testACS + `"`
	const inResponseTo = ` InResponseTo="` + testRequestID + `"`
	initiated := func(e *federation.Expect) { e.RequestID = "" }
	return []refusal{
		{"issuer of the Response", federation.CodeIssuer, edited(federationtest.SignAssertion, `/metadata</saml:Issuer><samlp:`, `/other</saml:Issuer><samlp:`), nil},
		{"issuer of the assertion", federation.CodeIssuer, asserted(`/metadata</saml:Issuer>`, `/other</saml:Issuer>`), nil},
		{"issuer of both", federation.CodeIssuer, signed(func(r *federationtest.Response) { r.Issuer = "https://other.example" }), nil},
		{"issuer that is not an entity", federation.CodeIssuer, asserted(`<saml:Issuer>`, `<saml:Issuer Format="`+federationtest.FormatPersistent+`">`), nil},
		{"no issuer of the assertion", federation.CodeIssuer, asserted(`<saml:Issuer>https://idp.example.com/metadata</saml:Issuer>`, ``), nil},
		{"empty issuer where none is expected", federation.CodeIssuer,
			crafted(signing{}, `https://idp.example.com/metadata`, ``, `https://idp.example.com/metadata`, ``),
			func(e *federation.Expect) { e.Issuer = "" }},
		{"audience", federation.CodeAudience, signed(func(r *federationtest.Response) { r.Audience = "https://other.example" }), nil},
		{"longer audience", federation.CodeAudience, signed(func(r *federationtest.Response) { r.Audience = testAudience + "/evil" }), nil},
		{"no audience", federation.CodeAudience, signed(func(r *federationtest.Response) { r.Audiences = [][]string{} }), nil},
		{"empty restriction", federation.CodeAudience, signed(func(r *federationtest.Response) { r.Audiences = [][]string{{}} }), nil},
		{"one restriction of two", federation.CodeAudience, signed(func(r *federationtest.Response) {
			r.Audiences = [][]string{{testAudience}, {"https://other.example"}}
		}), nil},
		{"empty audience where none is expected", federation.CodeAudience, signed(func(r *federationtest.Response) { r.Audiences = [][]string{{""}} }),
			func(e *federation.Expect) { e.Audience = "" }},
		{"recipient", federation.CodeRecipient, signed(func(r *federationtest.Response) { r.Recipient = "https://other.example/acs" }), nil},
		{"recipient of other case", federation.CodeRecipient, signed(func(r *federationtest.Response) { r.Recipient = strings.ToUpper(testACS) }), nil},
		{"no recipient", federation.CodeRecipient, asserted(recipient, ``), nil},
		{"destination", federation.CodeDestination, signed(func(r *federationtest.Response) { r.Destination = "https://other.example/acs" }), nil},
		{"destination, signed", federation.CodeDestination, signed(func(r *federationtest.Response) {
			r.Destination, r.Sign = "https://other.example/acs", federationtest.SignResponse
		}), nil},
		{"empty destination", federation.CodeDestination, edited(federationtest.SignAssertion, `Destination="`+testACS+`"`, `Destination=""`), nil},
		{"request", federation.CodeInResponseTo, signed(func(r *federationtest.Response) { r.InResponseTo = "_other" }), nil},
		{"request of the Response", federation.CodeInResponseTo, edited(federationtest.SignAssertion, inResponseTo, ` InResponseTo="_other"`), nil},
		{"request of the assertion", federation.CodeInResponseTo, asserted(inResponseTo, ` InResponseTo="_other"`), nil},
		{"no request", federation.CodeInResponseTo, signed(func(r *federationtest.Response) { r.InResponseTo = "" }), nil},
		{"no request of the assertion", federation.CodeInResponseTo, asserted(inResponseTo, ``), nil},
		{"a request where none was made", federation.CodeInResponseTo, signed(func(*federationtest.Response) {}), initiated},
		{"a request of the assertion where none was made", federation.CodeInResponseTo, edited(federationtest.SignAssertion, inResponseTo, ``), initiated},
		{"an empty request where none was made", federation.CodeInResponseTo, signed(func(r *federationtest.Response) {
			r.InResponseTo = ""
			r.Edit = func(doc string) string { return strings.Replace(doc, ` ID="_r"`, ` ID="_r" InResponseTo=""`, 1) }
		}), initiated},
		{"an empty request of the assertion where none was made", federation.CodeInResponseTo, signed(func(r *federationtest.Response) {
			r.InResponseTo = ""
			r.EditAssertion = func(doc string) string {
				return strings.Replace(doc, `ConfirmationData`, `ConfirmationData InResponseTo=""`, 1)
			}
		}), initiated},
	}
}

func timeRefusals() []refusal {
	const end = ` NotOnOrAfter="2026-03-04T05:11:07.000Z"`
	at := func(minutes int) func(*federation.Expect) {
		return func(e *federation.Expect) { e.Now = e.Now.Add(time.Duration(minutes) * time.Minute) }
	}
	ordinary := signed(func(*federationtest.Response) {})
	return []refusal{
		{"expired", federation.CodeExpired, ordinary, at(60)},
		{"expired, to the second", federation.CodeExpired, ordinary, at(6)},
		{"not yet valid", federation.CodeNotYetValid, ordinary, at(-60)},
		{"confirmation expired", federation.CodeExpired, asserted(end, ` NotOnOrAfter="`+minutes(-2)+`"`), nil},
		{"confirmation not yet valid", federation.CodeNotYetValid, asserted(end, ` NotBefore="`+minutes(2)+`"`+end), nil},
		{"confirmation without end", federation.CodeAssertion, asserted(end, ``), nil},
		{"conditions expired", federation.CodeExpired, asserted(`07.000Z"><saml:Aud`, `07.000Z" x=""><saml:Aud`, `NotBefore="2026-03-04T05:06:07.000Z"`+end,
			`NotOnOrAfter="`+minutes(-1)+`"`), nil},
		{"conditions not yet valid", federation.CodeNotYetValid, asserted(`NotBefore="2026-03-04T05:06:07.000Z"`, `NotBefore="`+minutes(2)+`"`), nil},
		{"session over", federation.CodeExpired, signed(func(r *federationtest.Response) { r.SessionEnd = testNow.Add(-60e9) }), nil},
		{"unreadable end", federation.CodeMalformed, asserted(end, ` NotOnOrAfter="tomorrow"`), nil},
		{"empty end", federation.CodeMalformed, asserted(end, ` NotOnOrAfter=""`), nil},
		{"impossible day", federation.CodeMalformed, asserted(end, ` NotOnOrAfter="2026-02-30T00:00:00Z"`), nil},
		{"unreadable IssueInstant of the Response", federation.CodeMalformed,
			edited(federationtest.SignAssertion, `IssueInstant="2026`, `IssueInstant="x2026`), nil},
		{"AuthnInstant after the year 9999", federation.CodeMalformed,
			asserted(`AuthnInstant="2026-03-04T05:06:07.000Z"`, `AuthnInstant="9999-12-31T23:59:59-14:00"`), nil},
		{"AuthnInstant before the year 1", federation.CodeMalformed,
			asserted(`AuthnInstant="2026-03-04T05:06:07.000Z"`, `AuthnInstant="0000-06-01T00:00:00Z"`), nil},
		{"unreadable AuthnInstant", federation.CodeMalformed, asserted(`AuthnInstant="2026`, `AuthnInstant="x2026`), nil},
	}
}

func encryptionRefusals() []refusal {
	encrypted := func(change func(*federationtest.Response)) func(*testing.T) string {
		return signed(func(r *federationtest.Response) {
			r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
			change(r)
		})
	}
	with := func(e federationtest.Encryption) func(*testing.T) string {
		return encrypted(func(r *federationtest.Response) {
			e.Certificate = testSP().certificate
			r.Encrypt = &e
		})
	}
	envelope := func(edits ...string) func(*testing.T) string {
		return func(t *testing.T) string {
			return encrypted(func(r *federationtest.Response) {
				r.Sign = federationtest.SignResponse
				r.EditEncrypted = func(doc string) string { return replace(t, doc, edits...) }
			})(t)
		}
	}
	inside := func(by federationtest.Signed, change func(string) string) func(*testing.T) string {
		return encrypted(func(r *federationtest.Response) { r.Sign, r.EditAssertion = by, change })
	}
	return []refusal{
		{"unsigned in an unsigned Response", federation.CodeDecryption,
			encrypted(func(r *federationtest.Response) { r.Sign = federationtest.SignNone }), nil},
		{"signed by another in an unsigned Response", federation.CodeDecryption, encrypted(func(*federationtest.Response) {}),
			func(e *federation.Expect) { e.Certificates = [][]byte{testOtherIdP().Certificate} }},
		{"ciphertext changed", federation.CodeDecryption, with(federationtest.Encryption{Data: federationtest.AES256CBC}),
			func(e *federation.Expect) { e.Decryption = []crypto.Decrypter{newSP().key} }},
		{"no key", federation.CodeDecryption, encrypted(func(r *federationtest.Response) { r.Sign = federationtest.SignResponse }),
			func(e *federation.Expect) { e.Decryption = nil }},
		{"ciphertext changed in a signed Response", federation.CodeSignature, encrypted(func(r *federationtest.Response) {
			r.Sign = federationtest.SignResponse
			r.Edit = func(doc string) string {
				return strings.Replace(doc, "<xenc:CipherValue>", "<xenc:CipherValue>AAAA", 1)
			}
		}), nil},
		{"RSA with PKCS #1 v1.5", federation.CodeAlgorithm, with(federationtest.Encryption{KeyTransport: federationtest.RSA15}), nil},
		{"unknown cipher", federation.CodeAlgorithm, envelope("aes256-gcm", "tripledes-cbc"), nil},
		{"a cipher of another key size", federation.CodeDecryption, envelope("aes256-gcm", "aes128-gcm"), nil},
		{"unknown digest of OAEP", federation.CodeAlgorithm, envelope(`rsa-oaep-mgf1p">`, `rsa-oaep-mgf1p"><ds:DigestMethod Algorithm="urn:x"></ds:DigestMethod>`), nil},
		{"mask generation function where there is none", federation.CodeAlgorithm, with(federationtest.Encryption{MGF: federationtest.MGF1SHA256}), nil},
		{"of content", federation.CodeMalformed, envelope(`#Element"`, `#Content"`), nil},
		{"by reference", federation.CodeMalformed, envelope(`<xenc:CipherValue>`, `<xenc:CipherReference>`, `</xenc:CipherValue>`, `</xenc:CipherReference>`), nil},
		{"without EncryptedData", federation.CodeMalformed, envelope(`<xenc:EncryptedData`, `<xenc:Data`, `</xenc:EncryptedData`, `</xenc:Data`), nil},
		{"without EncryptedKey", federation.CodeMalformed, envelope(`<xenc:EncryptedKey`, `<xenc:Key`, `</xenc:EncryptedKey`, `</xenc:Key`), nil},
		{"of a key that is elsewhere", federation.CodeMalformed, func(t *testing.T) string {
			return encrypted(func(r *federationtest.Response) {
				r.Encrypt.KeyBeside, r.Sign = true, federationtest.SignResponse
				r.EditEncrypted = func(doc string) string { return replace(t, doc, `URI="#`, `URI="https://evil.example/#`) }
			})(t)
		}, nil},
		{"with many keys", federation.CodeTooLarge, func(t *testing.T) string {
			return encrypted(func(r *federationtest.Response) {
				r.EditEncrypted = func(doc string) string {
					key, _ := cut(t, doc, "xenc:EncryptedKey")
					for _, id := range []string{"k1", "k2", "k3", "k4"} {
						doc = replace(t, doc, "</ds:KeyInfo>", replace(t, key, ` Id="`, ` Id="`+id)+"</ds:KeyInfo>")
					}
					return doc
				}
			})(t)
		}, nil},
		{"two", federation.CodeAssertion, func(t *testing.T) string {
			return encrypted(func(r *federationtest.Response) {
				r.Edit = func(doc string) string {
					second, _ := cut(t, doc, "saml:EncryptedAssertion")
					return replace(t, doc, "</samlp:Response>", replace(t, second, ` Id="`, ` Id="x`)+"</samlp:Response>")
				}
			})(t)
		}, nil},
		{"of junk", federation.CodeDecryption, inside(federationtest.SignResponse, func(string) string { return "junk" }), nil},
		{"of a comment", federation.CodeDecryption,
			inside(federationtest.SignResponse, func(s string) string { return strings.Replace(s, "ada@", "<!-- -->ada@", 1) }), nil},
		{"of a document type", federation.CodeDecryption,
			inside(federationtest.SignResponse, func(s string) string { return "<!DOCTYPE a>" + s }), nil},
		{"of an ID of the Response", federation.CodeDecryption,
			inside(federationtest.SignResponse, func(s string) string { return strings.Replace(s, `ID="_a"`, `ID="_r"`, 1) }), nil},
		{"of something else", federation.CodeDecryption,
			inside(federationtest.SignResponse, func(string) string { return `<saml:Evidence xmlns:saml="` + nsAssertion + `"/>` }), nil},
		{"of two assertions", federation.CodeDecryption,
			inside(federationtest.SignResponse, func(s string) string { return s + s }), nil},
		{"of an assertion in an assertion", federation.CodeDecryption, inside(federationtest.SignResponse, func(s string) string {
			return strings.Replace(s, "</saml:Subject>", "</saml:Subject><saml:Advice>"+evil(s)+"</saml:Advice>", 1)
		}), nil},
		{"of an assertion whose signature does not verify", federation.CodeDecryption, func(t *testing.T) string {
			return encrypted(func(r *federationtest.Response) {
				r.Sign = federationtest.SignResponse
				r.EditAssertion = func(string) string {
					assertion, _ := cut(t, signing{id: "_a", key: testOtherIdP().Key}.into(t, unsigned(t)), "saml:Assertion")
					return assertion
				}
			})(t)
		}, nil},
		{"nested", federation.CodeWrapping, func(t *testing.T) string {
			return encrypted(func(r *federationtest.Response) {
				r.Edit = func(doc string) string {
					encrypted, rest := cut(t, doc, "saml:EncryptedAssertion")
					return replace(t, rest, "<samlp:Status>", "<samlp:Extensions>"+encrypted+"</samlp:Extensions><samlp:Status>")
				}
			})(t)
		}, nil},
	}
}

// TestDecryptionTellsNothing alters an encrypted assertion of an unsigned Response in every way that could make
// decryption an oracle and holds that the refusal is word for word the same.
func TestDecryptionTellsNothing(t *testing.T) {
	build := func(method string, by federationtest.Signed, change func(string) string) string {
		r := ordinary()
		r.Sign, r.EditAssertion = by, change
		r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate, Data: method}
		return must[string](t)(testIdP().Response(r))
	}
	same := func(s string) string { return s }
	damage := func(encoded string, nth, at int) string {
		doc := string(must[[]byte](t)(base64.StdEncoding.DecodeString(encoded)))
		parts := strings.SplitAfter(doc, "<xenc:CipherValue>") // 1 is the key, 2 the data
		value, rest, _ := strings.Cut(parts[nth], "<")
		raw := must[[]byte](t)(base64.StdEncoding.DecodeString(value))
		raw[(len(raw)+at)%len(raw)] ^= 0x55
		parts[nth] = base64.StdEncoding.EncodeToString(raw) + "<" + rest
		return encode(strings.Join(parts, ""))
	}
	cbc := build(federationtest.AES256CBC, federationtest.SignAssertion, same)
	gcm := build(federationtest.AES256GCM, federationtest.SignAssertion, same)
	accept(t, cbc, expected(testIdP()))
	accept(t, gcm, expected(testIdP()))
	var first string
	for name, encoded := range map[string]string{
		"wrapped key":      damage(cbc, 1, 10),
		"IV":               damage(cbc, 2, 0),
		"first block":      damage(cbc, 2, 16),
		"middle":           damage(cbc, 2, 200),
		"padding":          damage(cbc, 2, -17),
		"last block":       damage(cbc, 2, -1),
		"tag":              damage(gcm, 2, -1),
		"nonce":            damage(gcm, 2, 0),
		"GCM read as CBC":  encode(strings.Replace(string(must[[]byte](t)(base64.StdEncoding.DecodeString(gcm))), federationtest.AES256GCM, federationtest.AES256CBC, 1)),
		"unsigned":         build(federationtest.AES256CBC, federationtest.SignNone, same),
		"not XML":          build(federationtest.AES256CBC, federationtest.SignNone, func(string) string { return "hello, world" }),
		"not an assertion": build(federationtest.AES256CBC, federationtest.SignNone, func(string) string { return "<a/>" }),
		"foreign signature": build(federationtest.AES256CBC, federationtest.SignNone, func(string) string {
			assertion, _ := cut(t, signing{id: "_a", key: testOtherIdP().Key}.into(t, unsigned(t)), "saml:Assertion")
			return assertion
		}),
	} {
		_, err := verify(encoded, expected(testIdP()))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if first == "" {
			first = err.Error()
		}
		if err.Error() != first || codeOf(t, err) != federation.CodeDecryption {
			t.Errorf("%s: refused with %q, others with %q", name, err, first)
		}
	}
}

// TestDecryptionTellsOtherProvidersNothing puts what one provider encrypted for us, altered or not, into a Response that
// another one signs. Its refusals must not depend on what the ciphertext decrypts to.
func TestDecryptionTellsOtherProvidersNothing(t *testing.T) {
	mallory := testOtherIdP()
	sealed := func(by federationtest.Signed) string {
		r := ordinary()
		r.Sign, r.Encrypt = by, &federationtest.Encryption{Certificate: testSP().certificate, Data: federationtest.AES256CBC}
		encrypted, _ := cut(t, must[string](t)(testIdP().ResponseXML(r)), "saml:EncryptedAssertion")
		return encrypted
	}
	damage := func(encrypted string, at int) string {
		head, value, _ := strings.Cut(encrypted[strings.LastIndex(encrypted, "<xenc:CipherValue>"):], ">")
		value, rest, _ := strings.Cut(value, "<")
		raw := must[[]byte](t)(base64.StdEncoding.DecodeString(value))
		raw[(len(raw)+at)%len(raw)] ^= 0x55
		return encrypted[:strings.LastIndex(encrypted, "<xenc:CipherValue>")] + head + ">" + base64.StdEncoding.EncodeToString(raw) + "<" + rest
	}
	steal := func(encrypted string, e federation.Expect) error {
		r := ordinary()
		r.Sign, r.Encrypt = federationtest.SignResponse, &federationtest.Encryption{Certificate: testSP().certificate}
		r.EditEncrypted = func(string) string { return encrypted }
		_, err := verify(must[string](t)(mallory.Response(r)), e)
		return err
	}
	for _, by := range []federationtest.Signed{federationtest.SignAssertion, federationtest.SignNone} {
		whole := sealed(by)
		for name, encrypted := range map[string]string{
			"whole": whole, "first block": damage(whole, 16), "middle": damage(whole, 300), "padding": damage(whole, -17), "last block": damage(whole, -1),
		} {
			e := expected(mallory) // who claims the entity ID of the other, as anybody can
			if by == federationtest.SignNone {
				e.Audience = "https://other.example.com/sp" // so that the whole one is not mallory's own login
			}
			err := steal(encrypted, e)
			if err == nil {
				t.Errorf("%s, signed %d: accepted", name, by)
			} else if code := codeOf(t, err); code != federation.CodeDecryption {
				t.Errorf("%s, signed %d: refused with %s (%v)", name, by, code, err)
			}
		}
	}
}

// countingKey counts what it is asked to decrypt.
type countingKey struct {
	*rsa.PrivateKey
	asked int
}

func (k *countingKey) Decrypt(r io.Reader, message []byte, o crypto.DecrypterOpts) ([]byte, error) {
	k.asked++
	return k.PrivateKey.Decrypt(r, message, o)
}

// TestDecryptsOnce holds for a response that is tried with several connections: their keys to decrypt with are the same.
func TestDecryptsOnce(t *testing.T) {
	answer := ordinary()
	answer.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
	r := must[federation.Response](t)(New().ReadResponse(must[string](t)(testIdP().Response(answer))))
	key := &countingKey{PrivateKey: testSP().key}
	ours, theirs := expected(testIdP()), expected(testOtherIdP())
	ours.Decryption = []crypto.Decrypter{key}
	theirs.Decryption = ours.Decryption
	for range 10 {
		if _, err := r.Verify(theirs); err == nil {
			t.Fatal("accepted for a connection of another provider")
		}
	}
	if _, err := r.Verify(ours); err != nil || key.asked != 1 {
		t.Errorf("%v after %d decryptions, want one", err, key.asked)
	}
	ours.Decryption = []crypto.Decrypter{newSP().key}
	if _, err := r.Verify(ours); err == nil {
		t.Error("what another key decrypted was accepted")
	}
}

// TestPadding holds that CBC padding is from one octet to a block, whatever is in it (XML Encryption §5.2.1).
func TestPadding(t *testing.T) {
	block := must[cipher.Block](t)(aes.NewCipher(make([]byte, 16)))
	for last, length := range map[byte]int{1: 31, 2: 30, 16: 16, 0: -1, 17: -1, 32: -1, 255: -1} {
		data := make([]byte, 3*aes.BlockSize)
		data[len(data)-1] = last
		cipher.NewCBCEncrypter(block, data[:aes.BlockSize]).CryptBlocks(data[aes.BlockSize:], data[aes.BlockSize:])
		if plain, err := openCBC(block, data); (err != nil) != (length < 0) || err == nil && len(plain) != length {
			t.Errorf("padding of %d: %d octets, %v", last, len(plain), err)
		}
	}
	for _, n := range []int{0, 15, 16, 31, 33} {
		if _, err := openCBC(block, make([]byte, n)); err == nil {
			t.Errorf("%d octets were decrypted", n)
		}
	}
}

// TestEveryFlippedByte changes each byte of a signed response in turn. What is still accepted says the same.
func TestEveryFlippedByte(t *testing.T) {
	doc := signing{id: "_r"}.into(t, signing{id: "_a"}.into(t, unsigned(t))) // without KeyInfo, which nothing covers
	e := expected(testIdP())
	want := accept(t, encode(doc), e)
	accepted := 0
	for i := range len(doc) {
		changed := []byte(doc)
		changed[i] ^= 1 << (i % 7)
		got, err := verify(base64.StdEncoding.EncodeToString(changed), e)
		if err != nil {
			codeOf(t, err)
			continue
		}
		accepted++
		if !sameAssertion(got, want) {
			t.Fatalf("byte %d of …%s… changed to %q is accepted as %+v", i, doc[max(0, i-20):min(len(doc), i+20)], changed[i], got)
		}
	}
	if accepted > 0 {
		t.Errorf("%d changes of %d were accepted", accepted, len(doc))
	}
}

func sameAssertion(a, b federation.Assertion) bool {
	if a.ID != b.ID || a.Issuer != b.Issuer || a.NameID != b.NameID || a.SessionIndex != b.SessionIndex || a.ExpiresAt != b.ExpiresAt ||
		a.AuthnInstant != b.AuthnInstant || a.AuthnContext != b.AuthnContext || len(a.Attributes) != len(b.Attributes) {
		return false
	}
	for i, x := range a.Attributes {
		y := b.Attributes[i]
		if x.Name != y.Name || x.FriendlyName != y.FriendlyName || x.NameFormat != y.NameFormat ||
			strings.Join(x.Values, "\x00") != strings.Join(y.Values, "\x00") {
			return false
		}
	}
	return true
}

// hmacSigner is what an attacker has who knows the certificate: an HMAC with it.
type hmacSigner struct{ crypto.Signer }

func (hmacSigner) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	m := hmac.New(sha256.New, testIdP().Certificate)
	m.Write(digest)
	return m.Sum(nil), nil
}

// testSmallCurve is a key on a curve that is too small to be believed.
var testSmallCurve = sync.OnceValue(func() keyPairSigner {
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := federationtest.SelfSign(key, "small", testNow, testNow.Add(time.Hour))
	if err != nil {
		panic(err)
	}
	return keyPairSigner{key, der}
})

// testWeakIdP has a key that is too short to be believed.
var testWeakIdP = sync.OnceValue(func() *federationtest.IdP {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	p, err := federationtest.NewIdP(federationtest.Options{Key: key, Now: func() time.Time { return testNow }})
	if err != nil {
		panic(err)
	}
	return p
})
