package saml

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// fuzzIdP has the same key in every process, since the fuzzer runs several.
var fuzzIdP = sync.OnceValue(func() *federationtest.IdP {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{0x42}, 32))
	if err != nil {
		panic(err)
	}
	p, err := federationtest.NewIdP(federationtest.Options{Key: key, Now: func() time.Time { return testNow }})
	if err != nil {
		panic(err)
	}
	return p
})

// FuzzReadResponse holds that whatever comes is refused with a typed error or says what the provider signed.
func FuzzReadResponse(f *testing.F) {
	for by := federationtest.SignAssertion; by <= federationtest.SignNone; by++ {
		r := ordinary()
		r.ID, r.AssertionID, r.Sign = "_r", "_a", by
		doc := must[string](f)(fuzzIdP().ResponseXML(r))
		f.Add(doc)
		f.Add(strings.Replace(doc, "ada@", "<!-- -->ada@", 1))
		f.Add("<!DOCTYPE a>" + doc)
		r.Encrypt = &federationtest.Encryption{Certificate: testSP().certificate}
		f.Add(must[string](f)(fuzzIdP().ResponseXML(r)))
		r.Status = federationtest.StatusResponder
		f.Add(must[string](f)(fuzzIdP().ResponseXML(r)))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, doc string) {
		e := expected(fuzzIdP())
		if _, err := New().ReadResponse(doc); err != nil {
			codeOf(t, err)
		}
		a, err := verify(encode(doc), e)
		if err != nil {
			codeOf(t, err)
			return
		}
		checkOrdinary(t, a)
		if a.ID != "_a" || a.Issuer != e.Issuer || !a.ExpiresAt.After(e.Now) {
			t.Errorf("accepted %+v", a)
		}
	})
}

func FuzzReadMetadata(f *testing.F) {
	f.Add(fuzzIdP().Metadata())
	f.Add(must[[]byte](f)(New().WriteMetadata(testServiceProvider())))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := New().ReadMetadata(doc)
		if err != nil {
			codeOf(t, err)
			return
		}
		if p.EntityID == "" || p.SSOPostURL+p.SSORedirectURL == "" || len(p.Certificates) == 0 {
			t.Errorf("accepted %+v", p)
		}
	})
}
