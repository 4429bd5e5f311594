package oidc

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/outbound"
)

// FuzzReadKeySet reads any key set: a refusal has its type, and no key of it makes verifying a signature panic.
func FuzzReadKeySet(f *testing.F) {
	for _, seed := range []string{`{"keys":[]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a","use":"sig"},{"kty":"oct","k":"AA"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","key_ops":["verify"],"alg":"EdDSA"}]}`} {
		f.Add([]byte(seed))
	}
	const token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, err := readKeySet(doc)
		var refused *federation.OIDCError
		if err != nil && !errors.As(err, &refused) {
			t.Errorf("%v", err)
		}
		for _, k := range keys {
			if !usable(k.public) {
				t.Errorf("%T is kept", k.public)
			}
			for _, alg := range append(algorithms, "none", "HS256") {
				if k.fits(k.id, string(alg)) && (alg == "none" || alg == "HS256") {
					t.Errorf("%T fits %s", k.public, alg)
				}
			}
			if _, err := jws.Verify(k.public); err == nil {
				t.Error("a signature of nothing verifies")
			}
		}
	})
}

// FuzzReadProvider reads any metadata: what is taken has endpoints that may be asked.
func FuzzReadProvider(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://a.example","authorization_endpoint":"https://a.example/a","token_endpoint":"https://a.example/t","jwks_uri":"https://a.example/j"}`))
	f.Add([]byte(`{"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0","authorization_endpoint":"http://localhost/a?b","token_endpoint":"http://[::1]/t","jwks_uri":"https://x/"}`))
	rp := New(Options{Now: time.Now})
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := rp.ReadProvider(doc)
		var refused *federation.OIDCError
		if err != nil {
			if !errors.As(err, &refused) || refused.Code != federation.OIDCMetadata {
				t.Errorf("%v", err)
			}
			return
		}
		for _, address := range []string{p.Issuer, p.AuthorizationEndpoint, p.TokenEndpoint, p.JWKSURI} {
			if u, err := url.Parse(address); err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
				t.Errorf("%q", address)
			}
		}
		if u, err := url.Parse(rp.AuthorizationURL(federation.AuthorizationRequest{Provider: p, State: "s"})); err != nil || u.Query()["state"] == nil {
			t.Errorf("%s, %v", u, err)
		}
	})
}

// FuzzReadTokens reads any answer of a token endpoint: tokens, or an error that can be shown.
func FuzzReadTokens(f *testing.F) {
	f.Add(200, []byte(`{"access_token":"a","token_type":"Bearer","id_token":"i"}`))
	f.Add(201, []byte(`{"access_token":"a","token_type":"Bearer","id_token":"i"}`))
	f.Add(400, []byte(`{"error":"invalid_grant","error_description":"x"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got, err := readTokens(outbound.Answer{Status: status, Body: body})
		var refused *federation.OIDCError
		if err == nil && (got.access == "" || got.id == "" || status != 200) || err != nil && (!errors.As(err, &refused) || got != tokens{}) {
			t.Errorf("%d %s: %+v, %v", status, body, got, err)
		}
	})
}
