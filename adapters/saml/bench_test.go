package saml

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// benchmarkResponse is a signed response of 6 KiB, with the attributes that it takes to get there.
func benchmarkResponse(tb testing.TB, signed federationtest.Signed) []byte {
	r := ordinary()
	r.Sign = signed
	for i := 0; ; i++ {
		doc := must[string](tb)(testIdP().ResponseXML(r))
		if len(doc) >= 6<<10 {
			return []byte(doc)
		}
		r.Attributes = append(r.Attributes, federationtest.Attribute{
			Name: fmt.Sprintf("http://schemas.example.com/claims/attribute%d", i), Values: []string{"a value of ordinary length", "and another"},
		})
	}
}

func crewjamProvider(tb testing.TB) *crewjam.ServiceProvider {
	certificate := must[*x509.Certificate](tb)(x509.ParseCertificate(testIdP().Certificate))
	saved := crewjam.TimeNow
	crewjam.TimeNow = func() time.Time { return testNow }
	tb.Cleanup(func() { crewjam.TimeNow = saved })
	return &crewjam.ServiceProvider{
		EntityID: testAudience,
		AcsURL:   *must[*url.URL](tb)(url.Parse(testACS)),
		IDPMetadata: &crewjam.EntityDescriptor{
			EntityID: testIdP().EntityID,
			IDPSSODescriptors: []crewjam.IDPSSODescriptor{{SSODescriptor: crewjam.SSODescriptor{RoleDescriptor: crewjam.RoleDescriptor{
				KeyDescriptors: []crewjam.KeyDescriptor{{Use: "signing", KeyInfo: crewjam.KeyInfo{X509Data: crewjam.X509Data{
					X509Certificates: []crewjam.X509Certificate{{Data: base64.StdEncoding.EncodeToString(certificate.Raw)}},
				}}}},
			}}}},
		},
	}
}

// BenchmarkVerify reads and verifies a response, base64 and all.
func BenchmarkVerify(b *testing.B) {
	encoded := base64.StdEncoding.EncodeToString(benchmarkResponse(b, federationtest.SignAssertion))
	e := expected(testIdP())
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verify(encoded, e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyRatio does the same beside crewjam/saml on the same bytes, in turns, and reports the ratio of the
// median times, which no other process on the machine disturbs. Both parse the certificate anew each time.
func BenchmarkVerifyRatio(b *testing.B) {
	b.Run("assertion-signed", func(b *testing.B) { verifyBeside(b, federationtest.SignAssertion) })
	b.Run("response-signed", func(b *testing.B) { verifyBeside(b, federationtest.SignResponse) })
	b.Run("both-signed", func(b *testing.B) { verifyBeside(b, federationtest.SignBoth) })
}

func verifyBeside(b *testing.B, signed federationtest.Signed) {
	doc := benchmarkResponse(b, signed)
	encoded := base64.StdEncoding.EncodeToString(doc)
	e := expected(testIdP())
	sp := crewjamProvider(b)
	acs := sp.AcsURL
	var ours, theirs []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := verify(encoded, e); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := sp.ParseXMLResponse(doc, []string{testRequestID}, acs); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, middle.Sub(start))
		theirs = append(theirs, time.Since(middle))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	our, their := float64(ours[len(ours)/2]), float64(theirs[len(theirs)/2])
	b.ReportMetric(our/their, "ratio")
	b.ReportMetric(0.35, "ratio-limit")
	b.ReportMetric(our, "ours-ns/op")
	b.ReportMetric(their, "crewjam-ns/op")
}

func BenchmarkVerifyEncrypted(b *testing.B) {
	r := ordinary()
	r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
	encoded := must[string](b)(testIdP().Response(r))
	e := expected(testIdP())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verify(encoded, e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyLargest verifies a response of many elements near the limits.
func BenchmarkVerifyLargest(b *testing.B) {
	r := ordinary()
	for range 5000 {
		r.Attributes[1].Values = append(r.Attributes[1].Values, "x")
	}
	encoded := must[string](b)(testIdP().Response(r))
	e := expected(testIdP())
	b.SetBytes(int64(len(encoded)))
	for b.Loop() {
		if _, err := verify(encoded, e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuseHostile refuses what is meant to be expensive: as many namespaces in scope, attributes and elements as
// the limits let through, under a signature that does not verify.
func BenchmarkRefuseHostile(b *testing.B) {
	var inner strings.Builder
	for i := 0; inner.Len() < 200<<10; i++ {
		fmt.Fprintf(&inner, `<a%d:x xmlns:z="urn:%d" a1:b="" a2:b="" a3:b="" z:b=""/>`, i%50, i)
	}
	open := "<saml:AttributeValue"
	for i := range 50 {
		open += fmt.Sprintf(` xmlns:a%d="urn:a%d"`, i, i)
	}
	doc := strings.Replace(string(benchmarkResponse(b, federationtest.SignAssertion)), "<saml:AttributeValue>", open+">"+inner.String(), 1)
	encoded := base64.StdEncoding.EncodeToString([]byte(doc))
	e := expected(testIdP())
	b.SetBytes(int64(len(encoded)))
	for b.Loop() {
		if _, err := verify(encoded, e); codeOf(b, err) != federation.CodeSignature {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteRequest(b *testing.B) {
	for _, name := range []string{"unsigned", "signed"} {
		b.Run(name, func(b *testing.B) {
			var s keyPairSigner
			if name == "signed" {
				s = testSigners()["RSA"]
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := New().WriteRequest(testRequest(federation.BindingRedirect, s)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
