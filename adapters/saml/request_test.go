package saml

import (
	"crypto"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// keyPairSigner signs requests in tests.
type keyPairSigner struct {
	key         crypto.Signer
	certificate []byte
}

func testSigners() map[string]keyPairSigner {
	return map[string]keyPairSigner{
		"RSA":   {testSP().key, testSP().certificate},
		"ECDSA": {testECDSAIdP().Key, testECDSAIdP().Certificate},
	}
}

func testRequest(b federation.Binding, s keyPairSigner) federation.AuthnRequest {
	return federation.AuthnRequest{
		ID: "_0123456789abcdef0123", Issuer: testAudience, Destination: "https://idp.example.com/sso", ACS: testACS,
		NameIDFormat: federationtest.FormatEmail, IssueInstant: testNow, Binding: b, RelayState: "state +&=é",
		Signer: s.key, Certificate: s.certificate,
	}
}

func TestRequestsAreReadAndVerified(t *testing.T) {
	for name, s := range testSigners() {
		for _, b := range []federation.Binding{federation.BindingRedirect, federation.BindingPost} {
			r := testRequest(b, s)
			r.ForceAuthn = true
			out := must[federation.Outgoing](t)(New().WriteRequest(r))
			got := must[federationtest.Request](t)(federationtest.ParseRequest(carry(t, out), s.certificate))
			want := federationtest.Request{ID: r.ID, Issuer: r.Issuer, ACS: r.ACS, Destination: r.Destination,
				NameIDFormat: r.NameIDFormat, ForceAuthn: true, RelayState: r.RelayState, Post: b == federation.BindingPost, Signed: true}
			if got != want {
				t.Errorf("%s over %s: %+v, want %+v", name, b, got, want)
			}
			if _, err := federationtest.ParseRequest(carry(t, out), testIdP().Certificate); err == nil {
				t.Errorf("%s over %s verifies with another key", name, b)
			}
		}
	}
}

// carry is the request that the browser makes of it.
func carry(t *testing.T, out federation.Outgoing) *http.Request {
	t.Helper()
	if out.Form == nil {
		return must[*http.Request](t)(http.NewRequest(http.MethodGet, out.URL, http.NoBody))
	}
	form := url.Values{}
	for _, f := range out.Form {
		form.Set(f.Name, f.Value)
	}
	r := must[*http.Request](t)(http.NewRequest(http.MethodPost, out.URL, strings.NewReader(form.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestRequestUnsigned(t *testing.T) {
	for _, b := range []federation.Binding{federation.BindingRedirect, federation.BindingPost} {
		r := testRequest(b, keyPairSigner{})
		r.RelayState, r.NameIDFormat = "", ""
		out := must[federation.Outgoing](t)(New().WriteRequest(r))
		got := must[federationtest.Request](t)(federationtest.ParseRequest(carry(t, out), nil))
		if got.Signed || got.RelayState != "" || got.NameIDFormat != "" || strings.Contains(out.URL, "RelayState") || len(out.Form) > 1 {
			t.Errorf("over %s: %+v in %+v", b, got, out)
		}
		if _, err := federationtest.ParseRequest(carry(t, out), testSP().certificate); err == nil {
			t.Errorf("an unsigned request over %s verifies", b)
		}
	}
}

// TestRedirectQuery holds the order that signatures of this binding need, and what the provider's URL already has.
func TestRedirectQuery(t *testing.T) {
	r := testRequest(federation.BindingRedirect, testSigners()["RSA"])
	r.Destination = "https://idp.example.com/sso?app=7&x=%2F+y#part"
	out := must[federation.Outgoing](t)(New().WriteRequest(r))
	rest, found := strings.CutPrefix(out.URL, "https://idp.example.com/sso?app=7&x=%2F+y&SAMLRequest=")
	if !found || strings.Contains(out.URL, "#") || strings.Contains(rest, "+") {
		t.Errorf("URL %s", out.URL)
	}
	var names []string
	for part := range strings.SplitSeq(rest, "&") {
		name, _, _ := strings.Cut(part, "=")
		names = append(names, name)
	}
	if got := strings.Join(names[1:], " "); got != "RelayState SigAlg Signature" {
		t.Errorf("parameters %s", got)
	}
}

func TestRequestRefuses(t *testing.T) {
	for name, change := range map[string]func(*federation.AuthnRequest){
		"no ID":          func(r *federation.AuthnRequest) { r.ID = "" },
		"bad ID":         func(r *federation.AuthnRequest) { r.ID = "1\"" },
		"no destination": func(r *federation.AuthnRequest) { r.Destination = "" },
		"script":         func(r *federation.AuthnRequest) { r.Destination = "javascript:alert(1)//" },
		"no host":        func(r *federation.AuthnRequest) { r.Destination = "https:///sso" },
		"binding":        func(r *federation.AuthnRequest) { r.Binding = "artifact" },
	} {
		r := testRequest(federation.BindingPost, testSigners()["RSA"])
		if change(&r); r.ID == "_" {
			t.Fatal(name)
		}
		if _, err := New().WriteRequest(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestRequestEscapes puts markup into every field.
func TestRequestEscapes(t *testing.T) {
	const rough = "https://x.example/\"'<>&\r\n\t"
	r := testRequest(federation.BindingPost, testSigners()["RSA"])
	r.Issuer, r.ACS, r.NameIDFormat = rough, rough, rough
	out := must[federation.Outgoing](t)(New().WriteRequest(r))
	got := must[federationtest.Request](t)(federationtest.ParseRequest(carry(t, out), testSP().certificate))
	if got.Issuer != rough || got.ACS != rough || got.NameIDFormat != rough {
		t.Errorf("read as %+v", got)
	}
}
