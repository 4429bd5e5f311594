package saml

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// xmlsec is Debian's xmlsec1 with a folder of files: another implementation, in C, over libxml2 and OpenSSL.
type xmlsec struct {
	t       *testing.T
	program string
	version string
	dir     string
}

func newXMLSec(t *testing.T) xmlsec {
	t.Helper()
	program, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
			t.Fatal("xmlsec1 is not installed")
		}
		t.Skip("xmlsec1 is not installed")
	}
	version := must[[]byte](t)(exec.Command(program, "--version").Output())
	return xmlsec{t, program, string(version), t.TempDir()}
}

// file writes a file and returns its path.
func (x xmlsec) file(name string, content []byte) string {
	x.t.Helper()
	path := filepath.Join(x.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		x.t.Fatal(err)
	}
	return path
}

func (x xmlsec) key(name string, key any) string {
	x.t.Helper()
	der := must[[]byte](x.t)(x509.MarshalPKCS8PrivateKey(key))
	return x.file(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (x xmlsec) certificate(name string, der []byte) string {
	x.t.Helper()
	return x.file(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (x xmlsec) run(args ...string) string {
	x.t.Helper()
	var stdout, stderr bytes.Buffer
	if !strings.Contains(x.version, " 1.2.") { // 1.3 no longer takes any key that fits without being told so
		args = append([]string{args[0], "--lax-key-search"}, args[1:]...)
	}
	cmd := exec.Command(x.program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		x.t.Fatalf("xmlsec1 %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// idAttrs tells xmlsec1 which attributes are IDs: without a DTD it knows none.
var idAttrs = []string{
	"--id-attr:ID", nsAssertion + ":Assertion", "--id-attr:ID", nsProtocol + ":Response", "--id-attr:ID", nsProtocol + ":AuthnRequest",
}

// sign has xmlsec1 fill in the signature of the element with that ID.
func (x xmlsec) sign(doc, id, key string) string {
	x.t.Helper()
	file := x.file("template.xml", []byte(doc))
	args := append([]string{"--sign", "--privkey-pem", key, "--node-xpath",
		`//*[@ID="` + id + `"]/*[local-name()="Signature"]`}, idAttrs...)
	return x.run(append(args, file)...)
}

// TestXMLSec1Signatures has another implementation sign responses in every allowed way.
func TestXMLSec1Signatures(t *testing.T) {
	x := newXMLSec(t)
	ecKey := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	ecCertificate := must[[]byte](t)(federationtest.SelfSign(ecKey, "ec", testNow, testNow.Add(time.Hour)))
	rsaFile, ecFile := x.key("rsa.pem", testIdP().Key), x.key("ec.pem", ecKey)

	// What products add to their documents, and a canonicalization could get wrong.
	busy := []string{
		`<samlp:Response `, `<samlp:Response xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:z="urn:z" xmlns="urn:default" xml:lang="en" `,
		`<saml:AttributeValue>staff`, `<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string" z:b="2" a='1'>staff`,
		`admins &amp; owners`, `<![CDATA[admins & owners]]>`, `</saml:Conditions>`, "</saml:Conditions>\r\n\t<saml:Advice z:x='&#10;\"&lt;'/>",
	}
	for _, c := range []struct {
		name    string
		signing signing
		key     string
		issuer  []byte // certificate
	}{
		{"plain", signing{}, rsaFile, nil},
		{"SHA-384", signing{method: federationtest.RSASHA384, digestMethod: federationtest.DigestSHA384}, rsaFile, nil},
		{"SHA-512", signing{method: federationtest.RSASHA512, digestMethod: federationtest.DigestSHA512}, rsaFile, nil},
		{"ECDSA", signing{method: federationtest.ECDSASHA256}, ecFile, ecCertificate},
		{"ECDSA with SHA-512", signing{method: federationtest.ECDSASHA512}, ecFile, ecCertificate},
		{"inclusive prefixes", signing{prefixes: "xs #default xsi"}, rsaFile, nil},
		{"exclusive with comments", signing{form: algExclusive + "WithComments", infoForm: algExclusive + "WithComments"}, rsaFile, nil},
		{"inclusive 1.0", signing{form: inclusive10, infoForm: inclusive10}, rsaFile, nil},
		{"inclusive 1.1", signing{form: inclusive11, infoForm: inclusive11 + "#WithComments"}, rsaFile, nil},
		{"default transform", signing{transforms: `<ds:Transforms><ds:Transform Algorithm="` + algEnveloped + `"/></ds:Transforms>`}, rsaFile, nil},
	} {
		for _, ids := range [][]string{{"_a"}, {"_r"}, {"_a", "_r"}} {
			t.Run(c.name+" of "+strings.Join(ids, " and "), func(t *testing.T) {
				x := x
				x.t = t
				doc := unsigned(t, busy...)
				for _, id := range ids {
					c.signing.id = id
					doc = x.sign(placeSignature(t, doc, id, c.signing.template()), id, c.key)
				}
				e := expected(testIdP())
				if c.issuer != nil {
					e.Certificates = [][]byte{c.issuer}
				}
				checkOrdinary(t, accept(t, encode(doc), e))
				// The same text with one change is refused: what was accepted above was covered.
				if _, err := verify(encode(replace(t, doc, "staff", "stuff")), e); err == nil {
					t.Error("a changed response was accepted")
				}
			})
		}
	}
}

// TestXMLSec1Verifies holds that another implementation believes what federationtest signs, in the same places.
func TestXMLSec1Verifies(t *testing.T) {
	x := newXMLSec(t)
	certificate := x.certificate("idp.pem", testIdP().Certificate)
	r := ordinary()
	r.ID, r.AssertionID, r.Sign = "_r", "_a", federationtest.SignBoth
	file := x.file("response.xml", []byte(must[string](t)(testIdP().ResponseXML(r))))
	for _, id := range []string{"_a", "_r"} {
		x.run(append(append([]string{"--verify", "--pubkey-cert-pem", certificate, "--node-xpath",
			`//*[@ID="` + id + `"]/*[local-name()="Signature"]`}, idAttrs...), file)...)
	}
}

// TestXMLSec1Encryption has another implementation encrypt the assertion.
func TestXMLSec1Encryption(t *testing.T) {
	x := newXMLSec(t)
	certificate := x.certificate("sp.pem", testSP().certificate)
	for _, c := range []struct{ name, data, session string }{
		{"AES-128-CBC", federationtest.AES128CBC, "aes-128"}, {"AES-256-CBC", federationtest.AES256CBC, "aes-256"},
		{"AES-128-GCM", federationtest.AES128GCM, "aes-128"}, {"AES-256-GCM", federationtest.AES256GCM, "aes-256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := x
			x.t = t
			template := x.file("encrypt.xml", []byte(`<xenc:EncryptedData xmlns:xenc="`+nsXMLEnc+`" Type="`+typeElement+`">
  <xenc:EncryptionMethod Algorithm="`+c.data+`"/>
  <ds:KeyInfo xmlns:ds="`+nsSignature+`"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="`+algOAEPMGF1P+`">
    <ds:DigestMethod Algorithm="`+nsSignature+`sha1"/></xenc:EncryptionMethod><ds:KeyInfo><ds:KeyName/></ds:KeyInfo>
    <xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>
  <xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>`))
			doc := signing{id: "_a"}.into(t, unsigned(t))
			doc = replace(t, doc, "<saml:Assertion ", `<saml:EncryptedAssertion xmlns:saml="`+nsAssertion+`"><saml:Assertion `,
				"</saml:Assertion>", "</saml:Assertion></saml:EncryptedAssertion>")
			out := x.run("--encrypt", "--pubkey-cert-pem", certificate, "--session-key", c.session, "--node-xpath",
				`//*[local-name()="Assertion"]`, "--xml-data", x.file("plain.xml", []byte(doc)), template)
			a := accept(t, encode(out), expected(testIdP()))
			checkOrdinary(t, a)
			if !a.Encrypted {
				t.Error("not reported as encrypted")
			}
		})
	}
}

// TestXMLSec1VerifiesRequests holds that another implementation believes our requests of the HTTP-POST binding.
func TestXMLSec1VerifiesRequests(t *testing.T) {
	x := newXMLSec(t)
	for name, signer := range testSigners() {
		out := must[federation.Outgoing](t)(New().WriteRequest(testRequest(federation.BindingPost, signer)))
		file := x.file(name+".xml", must[[]byte](t)(base64.StdEncoding.DecodeString(out.Form[0].Value)))
		x.run(append(append([]string{"--verify", "--pubkey-cert-pem", x.certificate(name+".pem", signer.certificate)}, idAttrs...), file)...)
	}
}

// TestGoxmldsigVerifiesRequests does the same with the library that other Go programs use. It takes ECDSA signatures in
// ASN.1 only, which is not what XML Signature says.
func TestGoxmldsigVerifiesRequests(t *testing.T) {
	for name, signer := range testSigners() {
		if name == "ECDSA" {
			continue
		}
		out := must[federation.Outgoing](t)(New().WriteRequest(testRequest(federation.BindingPost, signer)))
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(must[[]byte](t)(base64.StdEncoding.DecodeString(out.Form[0].Value))); err != nil {
			t.Fatal(err)
		}
		root := must[*x509.Certificate](t)(x509.ParseCertificate(signer.certificate))
		v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{root}})
		v.IdAttribute = "ID"
		v.Clock = dsig.NewFakeClockAt(testNow)
		if _, err := v.Validate(doc.Root()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGoxmldsigSignatures has that library sign. It leaves the prefix list out of its signatures, and knows the
// namespaces of the surroundings of an element only in the exclusive form.
func TestGoxmldsigSignatures(t *testing.T) {
	for _, c := range []struct {
		path string
		form dsig.Canonicalizer
	}{
		{"//saml:Assertion", dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")},
		{"/samlp:Response", dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")},
		{"/samlp:Response", dsig.MakeC14N10RecCanonicalizer()},
		{"/samlp:Response", dsig.MakeC14N11Canonicalizer()},
	} {
		signer := must[*dsig.SigningContext](t)(dsig.NewSigningContext(testIdP().Key, [][]byte{testIdP().Certificate}))
		signer.IdAttribute, signer.Canonicalizer = "ID", c.form
		doc := etree.NewDocument()
		if err := doc.ReadFromString(unsigned(t)); err != nil {
			t.Fatal(err)
		}
		element := doc.FindElement(c.path)
		element.InsertChildAt(1, must[*etree.Element](t)(signer.ConstructSignature(element, true)))
		checkOrdinary(t, accept(t, encode(must[string](t)(doc.WriteToString())), expected(testIdP())))
	}
}

// TestCrewjamIdentityProvider signs in at the identity provider of crewjam/saml, plain and encrypted.
func TestCrewjamIdentityProvider(t *testing.T) {
	saved := crewjam.TimeNow
	crewjam.TimeNow = func() time.Time { return testNow }
	t.Cleanup(func() { crewjam.TimeNow = saved })
	certificate := must[*x509.Certificate](t)(x509.ParseCertificate(testIdP().Certificate))
	idp := crewjam.IdentityProvider{
		Key: testIdP().Key.(crypto.PrivateKey), Certificate: certificate, SignatureMethod: dsig.RSASHA256SignatureMethod,
		MetadataURL: url.URL{Scheme: "https", Host: "idp.example.com", Path: "/metadata"},
		SSOURL:      url.URL{Scheme: "https", Host: "idp.example.com", Path: "/sso"},
	}
	metadata := must[[]byte](t)(xml.Marshal(idp.Metadata()))
	connection := must[federation.IdentityProvider](t)(New().ReadMetadata(metadata))
	if connection.EntityID != testIdP().EntityID || connection.SSORedirectURL != "https://idp.example.com/sso" ||
		len(connection.Certificates) != 1 || !bytes.Equal(connection.Certificates[0], testIdP().Certificate) {
		t.Fatalf("metadata read as %+v", connection)
	}
	for _, encrypted := range []bool{false, true} {
		sp := testServiceProvider()
		if !encrypted {
			sp.EncryptionCertificate = nil
		}
		var entity crewjam.EntityDescriptor
		if err := xml.Unmarshal(must[[]byte](t)(New().WriteMetadata(sp)), &entity); err != nil {
			t.Fatal(err)
		}
		idp.ServiceProviderProvider = oneProvider{&entity}
		out := must[federation.Outgoing](t)(New().WriteRequest(testRequest(federation.BindingRedirect, testSigners()["RSA"])))
		request := must[*http.Request](t)(http.NewRequest(http.MethodGet, out.URL, http.NoBody))
		r := must[*crewjam.IdpAuthnRequest](t)(crewjam.NewIdpAuthnRequest(&idp, request))
		if err := r.Validate(); err != nil {
			t.Fatalf("crewjam/saml refuses the request: %v", err)
		}
		session := &crewjam.Session{ID: "s", CreateTime: testNow, ExpireTime: testNow.Add(time.Hour), Index: "i",
			NameID: "ada@example.com", NameIDFormat: federationtest.FormatEmail, UserEmail: "ada@example.com", Groups: []string{"staff", "admins"}}
		if err := (crewjam.DefaultAssertionMaker{}).MakeAssertion(r, session); err != nil {
			t.Fatal(err)
		}
		form := must[crewjam.IdpAuthnRequestForm](t)(r.PostBinding())
		e := expected(testIdP())
		e.RequestID = testRequest(federation.BindingRedirect, keyPairSigner{}).ID
		a := accept(t, form.SAMLResponse, e)
		if a.NameID.Value != "ada@example.com" || a.Encrypted != encrypted || len(a.Attributes) == 0 {
			t.Errorf("assertion %+v", a)
		}
	}
}

type oneProvider struct{ entity *crewjam.EntityDescriptor }

func (p oneProvider) GetServiceProvider(*http.Request, string) (*crewjam.EntityDescriptor, error) {
	return p.entity, nil
}
