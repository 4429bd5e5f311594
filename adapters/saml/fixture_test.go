package saml

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// What the service provider of the tests is, and when it is asked.
const (
	testACS       = "https://sso.example.com/api/oauth/saml"
	testAudience  = "https://saml.example.com/sp"
	testRequestID = "_0123456789abcdef0123"
)

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// Keys are made once: an RSA key takes a tenth of a second.
var (
	testIdP      = sync.OnceValue(func() *federationtest.IdP { return newIdP(false) })
	testECDSAIdP = sync.OnceValue(func() *federationtest.IdP { return newIdP(true) })
	testOtherIdP = sync.OnceValue(func() *federationtest.IdP { return newIdP(false) })
	testSP       = sync.OnceValue(newSP)
)

func newIdP(ec bool) *federationtest.IdP {
	p, err := federationtest.NewIdP(federationtest.Options{ECDSA: ec, Now: func() time.Time { return testNow }})
	if err != nil {
		panic(err)
	}
	return p
}

// keyPair is the service provider's own.
type keyPair struct {
	key         *rsa.PrivateKey
	certificate []byte
}

func newSP() keyPair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := federationtest.SelfSign(key, "sp", testNow.Add(-time.Hour), testNow.Add(time.Hour))
	if err != nil {
		panic(err)
	}
	return keyPair{key, der}
}

// ordinary is a response that is accepted.
func ordinary() federationtest.Response {
	return federationtest.Response{
		ACS: testACS, Audience: testAudience, InResponseTo: testRequestID, NameID: "ada@example.com",
		Attributes: []federationtest.Attribute{
			{Name: "email", Values: []string{"ada@example.com"}},
			{Name: "groups", FriendlyName: "Groups", Values: []string{"staff", "admins & owners"}},
		},
	}
}

func expected(idp *federationtest.IdP) federation.Expect {
	return federation.Expect{
		Issuer: idp.EntityID, Certificates: [][]byte{idp.Certificate}, Audience: testAudience, ACS: []string{testACS},
		RequestID: testRequestID, Now: testNow, Skew: time.Minute, Decryption: []crypto.Decrypter{testSP().key},
	}
}

func accept(t testing.TB, encoded string, e federation.Expect) federation.Assertion {
	t.Helper()
	a, err := verify(encoded, e)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return a
}

func verify(encoded string, e federation.Expect) (federation.Assertion, error) {
	r, err := New().ReadResponse(encoded)
	if err != nil {
		return federation.Assertion{}, err
	}
	return r.Verify(e)
}

func codeOf(t testing.TB, err error) federation.Code {
	t.Helper()
	var e *federation.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is no *federation.Error", err, err)
	}
	return e.Code
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
