package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// acceptance is a response that an identity provider in good standing may send.
type acceptance struct {
	name   string
	make   func(t *testing.T) string
	expect func(*federation.Expect)               // nil where everything is as expected
	check  func(*testing.T, federation.Assertion) // nil where the assertion is the ordinary one
}

func TestAcceptances(t *testing.T) {
	seen := map[string]bool{}
	for _, group := range []struct {
		name  string
		cases []acceptance
	}{
		{"signature", signatureAcceptances()}, {"form", formAcceptances()}, {"content", contentAcceptances()},
		{"encryption", encryptionAcceptances()},
	} {
		for _, c := range group.cases {
			name := group.name + "/" + c.name
			if seen[name] {
				t.Errorf("two cases are named %q", name)
			}
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				e := expected(testIdP())
				if c.expect != nil {
					c.expect(&e)
				}
				a := accept(t, c.make(t), e)
				if c.check == nil {
					c.check = checkOrdinary
				}
				c.check(t, a)
			})
		}
	}
}

// checkOrdinary holds that the assertion says what ordinary does.
func checkOrdinary(t *testing.T, a federation.Assertion) {
	t.Helper()
	if a.NameID.Value != "ada@example.com" || len(a.Attributes) != 2 || a.Attributes[0].Values[0] != "ada@example.com" ||
		strings.Join(a.Attributes[1].Values, "|") != "staff|admins & owners" {
		t.Errorf("assertion %+v", a)
	}
}

func signatureAcceptances() []acceptance {
	by := func(s federationtest.Signed) func(*testing.T) string {
		return signed(func(r *federationtest.Response) { r.Sign = s })
	}
	method := func(signature, digest string) func(*testing.T) string {
		return signed(func(r *federationtest.Response) { r.SignatureMethod, r.DigestMethod = signature, digest })
	}
	ec := func(curve elliptic.Curve, method string) acceptance {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		idp, err := federationtest.NewIdP(federationtest.Options{Key: key, Now: func() time.Time { return testNow }})
		if err != nil {
			panic(err)
		}
		return acceptance{"ECDSA on " + curve.Params().Name + " " + method[len(method)-6:], func(t *testing.T) string {
			r := ordinary()
			r.SignatureMethod = method
			return must[string](t)(idp.Response(r))
		}, func(e *federation.Expect) { e.Certificates = [][]byte{idp.Certificate} }, nil}
	}
	return []acceptance{
		{"of the assertion", by(federationtest.SignAssertion), nil, nil},
		{"of the Response", by(federationtest.SignResponse), nil, nil},
		{"of both", by(federationtest.SignBoth), nil, nil},
		{"SHA-384", method(federationtest.RSASHA384, federationtest.DigestSHA384), nil, nil},
		{"SHA-512", method(federationtest.RSASHA512, federationtest.DigestSHA512), nil, nil},
		{"RSA-PSS", method(federationtest.RSAPSS256, ""), nil, nil},
		ec(elliptic.P256(), federationtest.ECDSASHA256), ec(elliptic.P384(), federationtest.ECDSASHA384),
		ec(elliptic.P521(), federationtest.ECDSASHA512), ec(elliptic.P256(), federationtest.ECDSASHA512),
		{"by the second of several certificates", by(federationtest.SignBoth), func(e *federation.Expect) {
			e.Certificates = [][]byte{testOtherIdP().Certificate, testIdP().Certificate, testECDSAIdP().Certificate}
		}, nil},
		{"by an expired certificate", by(federationtest.SignAssertion), func(e *federation.Expect) {
			der, err := federationtest.SelfSign(testIdP().Key, "old", testNow.AddDate(-10, 0, 0), testNow.AddDate(-9, 0, 0))
			if err != nil {
				panic(err)
			}
			e.Certificates = [][]byte{der}
		}, nil},
		{"without KeyInfo", crafted(signing{}), nil, nil},
		{"with a foreign certificate in KeyInfo", crafted(signing{keyInfo: `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` +
			base64.StdEncoding.EncodeToString(testOtherIdP().Certificate) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`}), nil, nil},
		{"over inclusive canonical XML 1.0", crafted(signing{form: inclusive10, infoForm: inclusive10}), nil, nil},
		{"over inclusive canonical XML 1.0 with comments", crafted(signing{form: inclusive10 + "#WithComments"}), nil, nil},
		{"over inclusive canonical XML 1.1", crafted(signing{form: inclusive11, infoForm: inclusive11}), nil, nil},
		{"over exclusive canonical XML with comments", crafted(signing{form: algExclusive + "WithComments"}), nil, nil},
		{"over inclusive canonical XML by default", crafted(signing{form: inclusive10,
			transforms: `<ds:Transforms><ds:Transform Algorithm="` + algEnveloped + `"/></ds:Transforms>`}), nil, nil},
		{"with inclusive prefixes", crafted(signing{prefixes: "xs xsi #default"}, `<samlp:Response `,
			`<samlp:Response xmlns="urn:d" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" `,
			`<saml:AttributeValue>staff`, `<saml:AttributeValue xsi:type="xs:string">staff`), nil, nil},
		{"with xsi:type", crafted(signing{}, `<saml:AttributeValue>staff`, `<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" `+
			`xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">staff`), nil, nil},
	}
}

func formAcceptances() []acceptance {
	// The same document in the clothes of other products.
	dress := func(pairs ...string) func(*testing.T) string {
		return func(t *testing.T) string {
			return encode(signing{id: "_a"}.into(t, strings.NewReplacer(pairs...).Replace(unsigned(t))))
		}
	}
	return []acceptance{
		{"prefixes saml2p and saml2", dress("samlp:", "saml2p:", ":samlp=", ":saml2p=", "saml:", "saml2:", ":saml=", ":saml2="), nil, nil},
		{"default namespace in the assertion", dress("<saml:", "<", "</saml:", "</", "xmlns:saml=", "xmlns="), nil, nil},
		{"CDATA", dress("ada@example.com<", "<![CDATA[ada@]]>example<![CDATA[.com]]><", "admins &amp; owners", "<![CDATA[admins & owners]]>"), nil, nil},
		{"character references", dress("ada@", "&#97;d&#x61;&#64;"), nil, nil},
		{"pretty printed", dress("><", ">\r\n  <", "ada@example.com", "\n ada@example.com\n ", "staff", " staff\t", testAudience, "\n"+testAudience+"\n"), nil, nil},
		{"single quotes and odd spacing", dress(`ID="_a"`, `ID="_a"`, `" `, "'\n\t", `="`, ` = '`, `">`, `' >`), nil, nil},
		{"byte order mark and declaration", func(t *testing.T) string {
			return encode("\uFEFF<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n" + signing{id: "_a"}.into(t, unsigned(t)) + "\n")
		}, nil, nil},
		{"base64 in lines", func(t *testing.T) string {
			return lines(signed(func(*federationtest.Response) {})(t), "\r\n")
		}, nil, nil},
		{"base64 in indented lines", func(t *testing.T) string {
			return "\n\t " + lines(signed(func(*federationtest.Response) {})(t), "\n\t ") + " "
		}, nil, nil},
		{"signature values in lines", func(t *testing.T) string {
			doc := signing{id: "_a"}.into(t, unsigned(t))
			head, rest, _ := strings.Cut(doc, "<ds:SignatureValue>")
			value, tail, _ := strings.Cut(rest, "<")
			return encode(head + "<ds:SignatureValue>\n" + lines(value, "&#13;\n") + "\n<" + tail)
		}, nil, nil},
		{"nearly as large as allowed", signed(func(r *federationtest.Response) {
			for range 3000 {
				r.Attributes[1].Values = append(r.Attributes[1].Values, "a group of some name")
			}
		}), nil, func(t *testing.T, a federation.Assertion) {
			if n := len(a.Attributes[1].Values); n != 3002 {
				t.Errorf("%d values", n)
			}
		}},
	}
}

// expires holds when the assertion can no longer be valid, the tolerance of a minute included.
func expires(after time.Duration) func(*testing.T, federation.Assertion) {
	return func(t *testing.T, a federation.Assertion) {
		t.Helper()
		if want := testNow.Add(after); !a.ExpiresAt.Equal(want) {
			t.Errorf("expires at %v, want %v", a.ExpiresAt, want)
		}
	}
}

// confirmation is a bearer confirmation that ends in so many minutes.
func confirmation(end int) string {
	return `<saml:SubjectConfirmation Method="` + methodBearer + `"><saml:SubjectConfirmationData InResponseTo="` + testRequestID +
		`" NotOnOrAfter="` + minutes(end) + `" Recipient="` + testACS + `"></saml:SubjectConfirmationData></saml:SubjectConfirmation>`
}

func lines(s, end string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + end)
		s = s[76:]
	}
	return b.String() + s
}

func contentAcceptances() []acceptance {
	all := []acceptance{
		{"initiated by the identity provider", signed(func(r *federationtest.Response) { r.InResponseTo = "" }),
			func(e *federation.Expect) { e.RequestID = "" }, nil},
		{"at the second of several URLs", signed(func(*federationtest.Response) {}),
			func(e *federation.Expect) { e.ACS = []string{"https://old.example/acs", testACS} }, nil},
		{"without Destination, Issuer and InResponseTo of the Response", edited(federationtest.SignAssertion,
			` Destination="`+testACS+`"`, ``, ` InResponseTo="`+testRequestID+`"`, ``,
			`<saml:Issuer xmlns:saml="`+nsAssertion+`">https://idp.example.com/metadata</saml:Issuer><samlp:`, `<samlp:`), nil, nil},
		{"Extensions and Consent", edited(federationtest.SignAssertion, `<samlp:Status>`,
			`<samlp:Extensions><x:y xmlns:x="urn:x">z</x:y></samlp:Extensions><samlp:Status>`, ` ID="_r"`, ` Consent="urn:x" ID="_r"`), nil, nil},
		{"nested status", edited(federationtest.SignAssertion, `</samlp:StatusCode>`, `<samlp:StatusCode Value="urn:x"/></samlp:StatusCode>`), nil, nil},
		{"several audiences", signed(func(r *federationtest.Response) {
			r.Audiences = [][]string{{"https://other.example", testAudience}, {testAudience}}
		}), nil, nil},
		{"OneTimeUse and ProxyRestriction", asserted(`</saml:Conditions>`,
			`<saml:OneTimeUse></saml:OneTimeUse><saml:ProxyRestriction Count="0"></saml:ProxyRestriction></saml:Conditions>`), nil, nil},
		{"Advice without an assertion", asserted(`</saml:Conditions>`, `</saml:Conditions><saml:Advice></saml:Advice>`), nil, nil},
		{"Conditions without times", asserted(` NotBefore="2026-03-04T05:06:07.000Z" NotOnOrAfter="2026-03-04T05:11:07.000Z"`, ``), nil, nil},
		{"a confirmation of another kind first", asserted(`<saml:SubjectConfirmation `,
			`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"></saml:SubjectConfirmation><saml:SubjectConfirmation `), nil, nil},
		{"a confirmation for another recipient first", asserted(`<saml:SubjectConfirmation `,
			`<saml:SubjectConfirmation Method="`+methodBearer+`"><saml:SubjectConfirmationData InResponseTo="`+testRequestID+
				`" NotOnOrAfter="`+minutes(5)+`" Recipient="https://other.example"></saml:SubjectConfirmationData></saml:SubjectConfirmation>`+
				`<saml:SubjectConfirmation `), nil, nil},
		{"times with an offset", asserted(` NotOnOrAfter="2026-03-04T05:11:07.000Z"`, ` NotOnOrAfter="2026-03-04T06:11:07.1234567+01:00"`), nil, nil},
		{"times without a zone", asserted(` NotOnOrAfter="2026-03-04T05:11:07.000Z"`, ` NotOnOrAfter="2026-03-04T05:11:07"`), nil, nil},
		{"a clock that is behind", signed(func(*federationtest.Response) {}), func(e *federation.Expect) { e.Now = e.Now.Add(-time.Minute) }, nil},
		{"a clock that is ahead", signed(func(*federationtest.Response) {}),
			func(e *federation.Expect) { e.Now = e.Now.Add(6*time.Minute - time.Nanosecond) }, nil},
		{"session that ends first", signed(func(r *federationtest.Response) { r.SessionEnd = testNow.Add(time.Minute) }), nil,
			expires(2 * time.Minute)},
		{"session of a day", signed(func(r *federationtest.Response) { r.SessionEnd = testNow.Add(24 * time.Hour) }), nil,
			expires(6 * time.Minute)},
		{"conditions that end first", asserted(`Z"><saml:AudienceRestriction`, `Z" x=""><saml:AudienceRestriction`,
			`<saml:Conditions NotBefore="2026-03-04T05:06:07.000Z" NotOnOrAfter="2026-03-04T05:11:07.000Z" x=""`,
			`<saml:Conditions NotOnOrAfter="`+minutes(3)+`"`), nil, expires(4 * time.Minute)},
		{"the last of two confirmations counts", asserted(`<saml:SubjectConfirmation `, confirmation(9)+confirmation(2)+`<saml:SubjectConfirmation `,
			` NotOnOrAfter="2026-03-04T05:11:07.000Z"><saml:Aud`, `><saml:Aud`), nil, expires(10 * time.Minute)},
		{"an end that is never", asserted(` NotOnOrAfter="2026-03-04T05:11:07.000Z"><saml:Aud`, ` NotOnOrAfter="9999-12-31T23:59:59.9999999Z"><saml:Aud`,
			` NotOnOrAfter="2026-03-04T05:11:07.000Z" Rec`, ` NotOnOrAfter="9999-12-31T23:59:59.9999999Z" Rec`), nil,
			func(t *testing.T, a federation.Assertion) {
				if a.ExpiresAt.Year() != 9999 {
					t.Errorf("expires at %s", a.ExpiresAt)
				}
			}},
		{"no NameID", signed(func(r *federationtest.Response) { r.NameID = "" }), nil, func(t *testing.T, a federation.Assertion) {
			if a.NameID != (federation.NameID{}) {
				t.Errorf("NameID %+v", a.NameID)
			}
		}},
		{"qualified NameID", asserted(`<saml:NameID `, `<saml:NameID NameQualifier="n" SPNameQualifier="s" `,
			` Format="`+federationtest.FormatEmail+`"`, ``), nil, func(t *testing.T, a federation.Assertion) {
			if want := (federation.NameID{Value: "ada@example.com", NameQualifier: "n", SPNameQualifier: "s"}); a.NameID != want {
				t.Errorf("NameID %+v, want %+v", a.NameID, want)
			}
		}},
		{"no attributes", signed(func(r *federationtest.Response) { r.Attributes = nil }), nil, func(t *testing.T, a federation.Assertion) {
			if a.Attributes != nil {
				t.Errorf("attributes %+v", a.Attributes)
			}
		}},
		{"two attribute statements and an authorization decision", asserted(`</saml:Attribute>`,
			`</saml:Attribute></saml:AttributeStatement><saml:AuthzDecisionStatement></saml:AuthzDecisionStatement><saml:AttributeStatement>`), nil, nil},
		{"markup in a value", asserted(`>staff<`, `><saml:NameID>st</saml:NameID>a<b>ff</b><`), nil, nil},
		{"values empty and missing", signed(func(r *federationtest.Response) {
			r.Attributes = []federationtest.Attribute{{Name: "a", Values: []string{"", " "}}, {Name: "b"}, {Name: "a", Values: []string{"c"}}}
		}), nil, func(t *testing.T, a federation.Assertion) {
			if len(a.Attributes) != 3 || len(a.Attributes[0].Values) != 2 || a.Attributes[0].Values[1] != "" || a.Attributes[1].Values != nil {
				t.Errorf("attributes %+v", a.Attributes)
			}
		}},
	}
	for _, format := range []string{
		federationtest.FormatEmail, federationtest.FormatUnspecified, federationtest.FormatPersistent, federationtest.FormatTransient,
		"urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName", "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName",
		"urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos", "urn:oasis:names:tc:SAML:2.0:nameid-format:entity", "urn:example:own",
	} {
		all = append(all, acceptance{"NameID format " + format, signed(func(r *federationtest.Response) { r.NameIDFormat = format }), nil,
			func(t *testing.T, a federation.Assertion) {
				checkOrdinary(t, a)
				if a.NameID.Format != format {
					t.Errorf("format %q", a.NameID.Format)
				}
			}})
	}
	return all
}

func encryptionAcceptances() (all []acceptance) {
	check := func(t *testing.T, a federation.Assertion) {
		checkOrdinary(t, a)
		if !a.Encrypted {
			t.Error("not reported as encrypted")
		}
	}
	add := func(name string, by federationtest.Signed, e federationtest.Encryption) {
		all = append(all, acceptance{name, signed(func(r *federationtest.Response) {
			e.Certificate = testSP().certificate
			r.Sign, r.Encrypt = by, &e
		}), nil, check})
	}
	for _, data := range []string{federationtest.AES128CBC, federationtest.AES192CBC, federationtest.AES256CBC,
		federationtest.AES128GCM, federationtest.AES192GCM, federationtest.AES256GCM} {
		add(data[strings.Index(data, "#")+1:], federationtest.SignAssertion, federationtest.Encryption{Data: data})
	}
	add("in a signed Response", federationtest.SignResponse, federationtest.Encryption{})
	add("signed twice", federationtest.SignBoth, federationtest.Encryption{})
	add("key beside the data", federationtest.SignAssertion, federationtest.Encryption{KeyBeside: true})
	add("OAEP with digest SHA-256 and MGF1 with SHA-1", federationtest.SignAssertion, federationtest.Encryption{Digest: federationtest.DigestSHA256})
	add("OAEP of XML Encryption 1.1", federationtest.SignBoth, federationtest.Encryption{KeyTransport: federationtest.RSAOAEP})
	add("OAEP with SHA-256", federationtest.SignBoth, federationtest.Encryption{KeyTransport: federationtest.RSAOAEP,
		Digest: federationtest.DigestSHA256, MGF: federationtest.MGF1SHA256})
	add("OAEP with SHA-512", federationtest.SignBoth, federationtest.Encryption{KeyTransport: federationtest.RSAOAEP,
		Digest: federationtest.DigestSHA512, MGF: federationtest.MGF1SHA512, KeyBeside: true})
	encrypted := signed(func(r *federationtest.Response) {
		r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
	})
	return append(all, acceptance{"for the second of our keys", encrypted, func(e *federation.Expect) {
		e.Decryption = []crypto.Decrypter{testOtherIdP().Key.(crypto.Decrypter), testSP().key}
	}, check}, acceptance{"with namespaces of the Response", signed(func(r *federationtest.Response) {
		// The plaintext has no declaration of its own, so that its signature covers the one of its surroundings.
		r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
		r.Sign = federationtest.SignResponse
		r.EditAssertion = func(doc string) string { return strings.Replace(doc, ` xmlns:saml="`+nsAssertion+`"`, ``, 1) }
	}), nil, check}, acceptance{"to two recipients", signed(func(r *federationtest.Response) {
		r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
		r.EditEncrypted = func(doc string) string {
			start := strings.Index(doc, "<xenc:EncryptedKey ")
			end := strings.Index(doc, "</xenc:EncryptedKey>") + len("</xenc:EncryptedKey>")
			other := strings.Replace(strings.Replace(doc[start:end], ` Id="`, ` Id="x`, 1), "<xenc:CipherValue>", "<xenc:CipherValue>AAAA", 1)
			return doc[:start] + other + doc[start:]
		}
	}), nil, check})
}

func TestUnverified(t *testing.T) {
	r := ordinary()
	r.ID = "_r"
	read := func(encoded string) federation.Unverified {
		t.Helper()
		return must[federation.Response](t)(New().ReadResponse(encoded)).Unverified()
	}
	want := federation.Unverified{ID: "_r", Issuer: testIdP().EntityID, InResponseTo: testRequestID, Destination: testACS,
		Status: federation.Status{Code: federation.StatusSuccess}}
	if got := read(must[string](t)(testIdP().Response(r))); got != want {
		t.Errorf("unverified %+v, want %+v", got, want)
	}
	r.Edit = func(doc string) string { // the Response names no issuer
		return replace(t, doc, `<saml:Issuer xmlns:saml="`+nsAssertion+`">`+testIdP().EntityID+`</saml:Issuer><samlp:`, `<samlp:`)
	}
	if got := read(must[string](t)(testIdP().Response(r))); got.Issuer != testIdP().EntityID {
		t.Errorf("issuer %q, want that of the assertion", got.Issuer)
	}
	r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
	if got := read(must[string](t)(testIdP().Response(r))); got.Issuer != "" {
		t.Errorf("issuer %q of an encrypted assertion", got.Issuer)
	}
}
