package saml

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/saml/internal/xmltree"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

func TestReadMetadata(t *testing.T) {
	certificate := base64.StdEncoding.EncodeToString(testIdP().Certificate)
	other := base64.StdEncoding.EncodeToString(testECDSAIdP().Certificate)
	key := func(use, value string) string {
		return `<md:KeyDescriptor` + use + `><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + value +
			`</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
	}
	certificates := make([][]byte, maxCertificates+1)
	for i := range certificates {
		certificates[i] = must[[]byte](t)(federationtest.SelfSign(testECDSAIdP().Key, strconv.Itoa(i), testNow, testNow))
	}
	keys := func(n int) (all string) {
		for _, c := range certificates[:n] {
			all += key("", base64.StdEncoding.EncodeToString(c))
		}
		return all
	}
	sso := `<md:SingleSignOnService Binding="` + bindingRedirect + `" Location="https://idp.example.com/sso?a=1&amp;b=2"/>`
	entity := func(id, attributes, content string) string {
		return `<md:EntityDescriptor xmlns:md="` + nsMetadata + `" xmlns:ds="` + nsSignature + `"` + id + `><md:IDPSSODescriptor ` +
			`protocolSupportEnumeration="` + nsProtocol + `"` + attributes + `>` + content + `</md:IDPSSODescriptor></md:EntityDescriptor>`
	}
	const id = ` entityID="https://idp.example.com/metadata"`
	idp := func(content string) string { return entity(id, "", content) }
	sp := `<md:EntityDescriptor xmlns:md="` + nsMetadata + `" entityID="sp"><md:SPSSODescriptor/></md:EntityDescriptor>`
	entities := func(content string) string {
		return `<md:EntitiesDescriptor xmlns:md="` + nsMetadata + `">` + content + `</md:EntitiesDescriptor>`
	}
	want := federation.IdentityProvider{EntityID: "https://idp.example.com/metadata", SSORedirectURL: "https://idp.example.com/sso?a=1&b=2",
		Certificates: [][]byte{testIdP().Certificate}}
	with := func(change func(*federation.IdentityProvider)) federation.IdentityProvider {
		c := want
		change(&c)
		return c
	}
	refused := func(detail string) string { return detail }
	for _, c := range []struct {
		name, doc, detail string
		want              federation.IdentityProvider
	}{
		{"plain", idp(key("", certificate) + sso), "", want},
		{"use signing", idp(key(` use="signing"`, certificate) + sso), "", want},
		{"encryption keys are left out", idp(key(` use="encryption"`, other) + key("", certificate) + sso), "", want},
		{"several keys, each once", idp(key("", certificate) + key(` use="signing"`, other) + key("", certificate) + sso), "",
			with(func(p *federation.IdentityProvider) {
				p.Certificates = [][]byte{testIdP().Certificate, testECDSAIdP().Certificate}
			})},
		{"white space in certificates", idp(key("", "\n\t"+lines(certificate, "\r\n   ")+"\n") + sso), "", want},
		{"PEM lines in certificates", idp(key("", "-----BEGIN CERTIFICATE-----\n"+lines(certificate, "\n")+"\n-----END CERTIFICATE-----") + sso), "", want},
		{"an unreadable certificate beside a good one", idp(key("", "AAAA") + key("", certificate) + sso), "", want},
		{"byte order mark, declaration, comments and instructions", "\uFEFF<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- a --><?b?>" +
			idp("<!-- c -->"+key("", certificate[:8]+"<!-- d -->"+certificate[8:])+sso) + "<!-- e -->", "", want},
		{"both bindings and logout", idp(key("", certificate) + sso +
			`<md:SingleLogoutService Binding="` + bindingRedirect + `" Location="https://idp.example.com/slo"/>` +
			`<md:SingleLogoutService Binding="` + bindingPost + `" Location="https://idp.example.com/slo-post"/>` +
			`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.example.com/soap"/>` +
			`<md:SingleSignOnService Binding="` + bindingPost + `" Location=" http://idp.example.com/post "/>` +
			`<md:SingleSignOnService Binding="` + bindingPost + `" Location="https://idp.example.com/second"/>`), "",
			with(func(p *federation.IdentityProvider) {
				p.SSOPostURL = "http://idp.example.com/post"
				p.SLORedirectURL, p.SLOPostURL = "https://idp.example.com/slo", "https://idp.example.com/slo-post"
			})},
		{"wants signed requests", entity(id, ` WantAuthnRequestsSigned="true"`, key("", certificate)+sso), "",
			with(func(p *federation.IdentityProvider) { p.WantAuthnRequestsSigned = true })},
		{"wants signed requests, as a number", entity(id, ` WantAuthnRequestsSigned="1"`, key("", certificate)+sso), "",
			with(func(p *federation.IdentityProvider) { p.WantAuthnRequestsSigned = true })},
		{"formats", idp(key("", certificate) + `<md:NameIDFormat> ` + federationtest.FormatEmail + ` </md:NameIDFormat><md:NameIDFormat>urn:x</md:NameIDFormat>` + sso), "",
			with(func(p *federation.IdentityProvider) { p.NameIDFormats = []string{federationtest.FormatEmail, "urn:x"} })},
		{"alone among several entities", entities(sp + entities(idp(key("", certificate)+sso))), "", want},
		{"the role for SAML 2.0 among two", strings.Replace(idp(key("", certificate)+sso), `<md:IDPSSODescriptor`,
			`<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol"/><md:IDPSSODescriptor`, 1), "", want},
		{"a logout URL that leads nowhere", idp(key("", certificate) + sso + `<md:SingleLogoutService Binding="` + bindingPost + `" Location="urn:x"/>`), "", want},

		{"no certificate", idp(sso), refused("Could not find X509Certificate in the IdP metadata."), want},
		{"empty certificate", idp(key("", " \n") + sso), refused("Could not find X509Certificate in the IdP metadata."), want},
		{"encryption certificate only", idp(key(` use="encryption"`, certificate) + sso), refused("Could not find X509Certificate in the IdP metadata."), want},
		{"not base64", idp(key("", "*") + sso), refused(detailNotBase64), want},
		{"not a certificate", idp(key("", "AAAA") + sso), refused(detailNoX509), want},
		{"weak key", idp(key("", base64.StdEncoding.EncodeToString(testWeakIdP().Certificate)) + sso), refused(detailKey), want},
		{"huge key", idp(key("", base64.StdEncoding.EncodeToString(hugeKey(t, testIdP().Certificate, 8200))) + sso), refused(detailKey), want},
		{"as many certificates as allowed", idp(keys(maxCertificates) + sso), "",
			with(func(p *federation.IdentityProvider) { p.Certificates = certificates[:maxCertificates] })},
		{"too many certificates", idp(keys(maxCertificates+1) + sso), refused(detailCertificates), want},
		{"service provider", sp, refused("Please provide a metadata with IDPSSODescriptor"), want},
		{"something else", `<a/>`, refused("Please provide a metadata with IDPSSODescriptor"), want},
		{"nobody", entities(""), refused("Please provide a metadata with IDPSSODescriptor"), want},
		{"two identity providers", entities(idp(key("", certificate)+sso) + idp(key("", certificate)+sso)), refused(detailSeveralIDPs), want},
		{"no entity ID", entity("", "", key("", certificate)+sso), refused("Couldn't parse EntityID from SAML metadata"), want},
		{"empty entity ID", entity(` entityID=" "`, "", key("", certificate)+sso), refused("Couldn't parse EntityID from SAML metadata"), want},
		{"no binding", idp(key("", certificate)), refused("Couldn't find SAML bindings for POST/REDIRECT"), want},
		{"SOAP only", idp(key("", certificate) + strings.Replace(sso, bindingRedirect, "urn:x", 1)), refused("Couldn't find SAML bindings for POST/REDIRECT"), want},
		{"SSO at a script", idp(key("", certificate) + `<md:SingleSignOnService Binding="` + bindingPost + `" Location="javascript:alert(1)"/>`),
			refused("SSO URL not valid, allowed ones are localhost/HTTP/HTTPS URLs"), want},
		{"SSO at a relative URL", idp(key("", certificate) + `<md:SingleSignOnService Binding="` + bindingPost + `" Location="/sso"/>`),
			refused("SSO URL not valid, allowed ones are localhost/HTTP/HTTPS URLs"), want},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := New().ReadMetadata([]byte(c.doc))
			if c.detail != "" {
				var e *federation.Error
				if !errors.As(err, &e) || e.Code != federation.CodeMetadata || e.Detail != c.detail {
					t.Errorf("error %v, want %s", err, c.detail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !sameProvider(got, c.want) {
				t.Errorf("metadata %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// hugeKey is a certificate with an RSA key of so many bits in place of its own. Nobody checks who issued it.
func hugeKey(t *testing.T, der []byte, bits int) []byte {
	t.Helper()
	var outer struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	var tbs struct {
		Version                   int `asn1:"explicit,tag:0"`
		Serial                    *big.Int
		Algorithm                 pkix.AlgorithmIdentifier
		Issuer, Validity, Subject asn1.RawValue
		Key                       struct {
			Algorithm pkix.AlgorithmIdentifier
			Bits      asn1.BitString
		}
	}
	read := func(_ []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	read(asn1.Unmarshal(der, &outer))
	read(asn1.Unmarshal(outer.TBS.FullBytes, &tbs))
	modulus := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	modulus.SetBit(modulus, 0, 1)
	tbs.Key.Bits.Bytes = must[[]byte](t)(asn1.Marshal(struct {
		N *big.Int
		E int
	}{modulus, 65537}))
	tbs.Key.Bits.BitLength = 8 * len(tbs.Key.Bits.Bytes)
	outer.TBS = asn1.RawValue{FullBytes: must[[]byte](t)(asn1.Marshal(tbs))}
	return must[[]byte](t)(asn1.Marshal(outer))
}

// TestHugeKeysAreNotTried holds for certificates that were stored before metadata with them was refused.
func TestHugeKeysAreNotTried(t *testing.T) {
	huge := hugeKey(t, testIdP().Certificate, 8200)
	if keys := publicKeys([][]byte{huge, testIdP().Certificate}); len(keys) != 1 {
		t.Errorf("%d keys, want that of the ordinary certificate alone", len(keys))
	}
}

func sameProvider(a, b federation.IdentityProvider) bool {
	certificates := slices.EqualFunc(a.Certificates, b.Certificates, bytes.Equal)
	formats := slices.Equal(a.NameIDFormats, b.NameIDFormats)
	return certificates && formats && a.EntityID == b.EntityID && a.SSORedirectURL == b.SSORedirectURL && a.SSOPostURL == b.SSOPostURL &&
		a.SLORedirectURL == b.SLORedirectURL && a.SLOPostURL == b.SLOPostURL && a.WantAuthnRequestsSigned == b.WantAuthnRequestsSigned
}

func TestReadMetadataRefusesBadXML(t *testing.T) {
	for doc, want := range map[string]federation.Code{
		"":                         federation.CodeMalformed,
		"hello":                    federation.CodeMalformed,
		"<a>":                      federation.CodeMalformed,
		"<!DOCTYPE a><a/>":         federation.CodeForbiddenXML,
		strings.Repeat("<a>", 100): federation.CodeTooLarge,
		"<a>" + strings.Repeat(" ", federation.MaxMetadata): federation.CodeTooLarge,
	} {
		_, err := New().ReadMetadata([]byte(doc))
		if err == nil {
			t.Errorf("%.20q was accepted", doc)
		} else if got := codeOf(t, err); got != want {
			t.Errorf("%.20q was refused with %s, want %s", doc, got, want)
		}
	}
}

func testServiceProvider() federation.ServiceProvider {
	return federation.ServiceProvider{
		EntityID: testAudience, ACS: []string{testACS, "https://old.example/acs?a=1&b=2"}, NameIDFormats: []string{federationtest.FormatEmail},
		SigningCertificates: [][]byte{testSP().certificate, testECDSAIdP().Certificate}, EncryptionCertificate: testSP().certificate,
		RequestsSigned: true, ValidUntil: time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestWriteMetadata(t *testing.T) {
	doc := must[[]byte](t)(New().WriteMetadata(testServiceProvider()))
	root, err := xmltree.Parse(string(doc), xmltree.Options{Limits: metadataLimits})
	if err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	var got []string
	for e := range root.All() {
		line := e.Local
		for _, a := range e.Attrs {
			line += " " + a.Local + "=" + a.Value
		}
		if s, ok := e.Text(); ok && len(s) < 100 {
			line += " " + s
		}
		got = append(got, strings.TrimSpace(line))
	}
	want := []string{
		"EntityDescriptor entityID=" + testAudience + " validUntil=2036-01-02T03:04:05Z",
		"SPSSODescriptor AuthnRequestsSigned=true protocolSupportEnumeration=" + nsProtocol,
		"KeyDescriptor use=signing", "KeyInfo", "X509Data", "X509Certificate",
		"KeyDescriptor use=signing", "KeyInfo", "X509Data", "X509Certificate",
		"KeyDescriptor use=encryption", "KeyInfo", "X509Data", "X509Certificate",
		"EncryptionMethod Algorithm=" + federationtest.AES256GCM, "EncryptionMethod Algorithm=" + federationtest.AES128GCM,
		"EncryptionMethod Algorithm=" + federationtest.AES256CBC, "EncryptionMethod Algorithm=" + federationtest.AES128CBC,
		"EncryptionMethod Algorithm=" + federationtest.RSAOAEPMGF1P,
		"NameIDFormat " + federationtest.FormatEmail,
		"AssertionConsumerService Binding=" + bindingPost + " Location=" + testACS + " index=1 isDefault=true",
		"AssertionConsumerService Binding=" + bindingPost + " Location=https://old.example/acs?a=1&b=2 index=2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("metadata\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, bad := range []federation.ServiceProvider{{EntityID: "x"}, {ACS: []string{"x"}}} {
		if _, err := New().WriteMetadata(bad); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
	if doc := must[[]byte](t)(New().WriteMetadata(federation.ServiceProvider{EntityID: "x", ACS: []string{"y"}})); bytes.Contains(doc, []byte("Key")) ||
		bytes.Contains(doc, []byte("validUntil")) || !bytes.Contains(doc, []byte(`AuthnRequestsSigned="false"`)) {
		t.Errorf("metadata %s", doc)
	}
}
