package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// The test double is worth something where clients that others wrote believe it.
func TestTheDoubleIsAProvider(t *testing.T) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES512", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			p, stop, err := federationtest.ServeOpenID(time.Now, federationtest.Script{Key: keyOf(t, alg), AtHash: true})
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			ctx := gooidc.ClientContext(t.Context(), &http.Client{Timeout: 20 * time.Second})
			provider, err := gooidc.NewProvider(ctx, p.Issuer())
			if err != nil {
				t.Fatal(err)
			}
			s := p.Script()
			config := oauth2.Config{ClientID: s.ClientID, ClientSecret: s.ClientSecret, Endpoint: provider.Endpoint(), RedirectURL: callback}
			verifier := oauth2.GenerateVerifier()
			a, err := p.ParseAuthorization(config.AuthCodeURL("state", gooidc.Nonce("n"), oauth2.S256ChallengeOption(verifier)))
			if err != nil {
				t.Fatal(err)
			}
			token, err := config.Exchange(ctx, p.Code(a), oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := token.Extra("id_token").(string)
			idToken, err := provider.Verifier(&gooidc.Config{ClientID: s.ClientID}).Verify(ctx, raw)
			if err != nil || idToken.Nonce != "n" || idToken.VerifyAccessToken(token.AccessToken) != nil {
				t.Fatalf("%+v, %v", idToken, err)
			}
			if info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token)); err != nil || info.Subject != idToken.Subject {
				t.Errorf("%+v, %v", info, err)
			}
		})
	}
}

func TestRedeemAlgorithms(t *testing.T) {
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		p := newParty(t, federationtest.Script{Key: keyOf(t, alg), AtHash: true})
		p.accepted(alg)
		p.op.Change(func(s *federationtest.Script) { s.SignUserinfo = func(map[string]any, map[string]any) {} })
		p.accepted(alg + ", userinfo signed")
	}
}

// HMAC is for a connection that says so, with a secret as long as the hash.
func TestRedeemHMAC(t *testing.T) {
	secret := strings.Repeat("0123456789abcdef", 4)
	for alg, length := range map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} {
		k := federationtest.SigningKey{Alg: alg, MAC: []byte(secret[:length])}
		p := newParty(t, federationtest.Script{Key: k, Keys: []federationtest.JWK{}, ClientSecret: secret[:length], AtHash: true})
		r := p.redemption()
		r.HMAC = true
		if c, err := p.Redeem(t.Context(), r); err != nil || c.Subject != "alice-1" {
			t.Errorf("%s: %+v, %v", alg, c, err)
		}
		c, err := p.redeem()
		refused(t, alg+" where the connection does not say so", federation.OIDCAlgorithm, c, err)
		p.op.Change(func(s *federationtest.Script) {
			s.ClientSecret = secret[:length-1]
			s.Key.MAC = []byte(s.ClientSecret)
		})
		r = p.redemption()
		r.HMAC = true
		c, err = p.Redeem(t.Context(), r)
		refused(t, alg+" with a short secret", federation.OIDCAlgorithm, c, err)
	}
}

func TestRedeemClientAuthentication(t *testing.T) {
	key := rsaKey(t, 2048)
	certificate, err := federationtest.SelfSign(key, "Portico", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	const odd = "a:b c%/+&=ü" // must survive Basic and a form
	for _, auth := range []federation.AuthMethod{federation.AuthSecretBasic, federation.AuthSecretPost, federation.AuthPrivateKeyJWT, federation.AuthNone} {
		p := newParty(t, federationtest.Script{ClientID: odd, ClientSecret: odd + odd, Auth: string(auth), ClientKey: &key.PublicKey})
		for _, atEndpoint := range []bool{false, true} {
			r := p.redemption()
			r.Client.Signer, r.Client.KeyID, r.Client.Certificate, r.Client.AudienceTokenEndpoint = key, "the-key", certificate, atEndpoint
			if c, err := p.Redeem(t.Context(), r); err != nil || c.Subject != "alice-1" {
				t.Errorf("%s: %+v, %v", auth, c, err)
			}
			requests := p.op.TokenRequests()
			last := requests[len(requests)-1]
			if secrets := []string{last.Form.Get("client_secret"), last.Authorization}; auth != federation.AuthSecretBasic && secrets[1] != "" ||
				auth != federation.AuthSecretPost && secrets[0] != "" {
				t.Errorf("%s: the request says %q", auth, secrets)
			}
			if auth != federation.AuthPrivateKeyJWT {
				continue
			}
			want := map[bool]string{false: issuer, true: issuer + "/token"}[atEndpoint]
			if last.Assertion["aud"] != want {
				t.Errorf("the assertion is for %v, want %s", last.Assertion["aud"], want)
			}
			header, _, _ := strings.Cut(last.Form.Get("client_assertion"), ".")
			text, err := base64.RawURLEncoding.DecodeString(header)
			sum := sha256.Sum256(certificate)
			for _, want := range []string{`"alg":"RS256"`, `"kid":"the-key"`, `"x5t#S256":"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`, `"x5t":"`} {
				if err != nil || !strings.Contains(string(text), want) {
					t.Errorf("the header of the assertion is %s, without %s", text, want)
				}
			}
		}
	}
	assertions := map[any]bool{}
	p := newParty(t, federationtest.Script{Auth: "private_key_jwt", ClientKey: &key.PublicKey})
	for range 3 {
		r := p.redemption()
		r.Client.Signer = key
		if _, err := p.Redeem(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range p.op.TokenRequests() {
		assertions[q.Assertion["jti"]] = true
	}
	if len(assertions) != 3 {
		t.Errorf("three assertions have the ids %v", assertions)
	}
}

func TestRedeemReturnsWhatWasSaid(t *testing.T) {
	proven := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	p := newParty(t, federationtest.Script{
		User:     map[string]any{"sub": "s", "email": "a@b.example", "groups": []string{"x"}, "deep": map[string]any{"n": 1.5}},
		Userinfo: map[string]any{"sub": "s", "email": "c@d.example"}, AuthTime: proven, AtHash: true,
	})
	c := p.accepted("claims")
	if c.Issuer != issuer || !c.AuthTime.Equal(proven) || c.IDToken["email"] != "a@b.example" || c.Userinfo["email"] != "c@d.example" ||
		!reflect.DeepEqual(c.IDToken["deep"], map[string]any{"n": 1.5}) || !reflect.DeepEqual(c.IDToken["groups"], []any{"x"}) {
		t.Errorf("%+v", c)
	}
	age := int64(0)
	r := p.redemption()
	r.MaxAge = &age
	c, err := p.Redeem(t.Context(), r)
	refused(t, "max_age=0 six minutes later", federation.OIDCAuthTime, c, err)
	age = 190 // seconds, and three minutes of tolerance
	r = p.redemption()
	r.MaxAge = &age
	if _, err := p.Redeem(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestRedeemWithoutUserinfo(t *testing.T) {
	p := newParty(t, federationtest.Script{Discovery: func(doc map[string]any) { delete(doc, "userinfo_endpoint") }})
	if c := p.accepted("no userinfo endpoint"); c.Userinfo != nil || p.op.Served("/userinfo") != 0 {
		t.Errorf("%+v", c)
	}
}

// Forms that the specifications allow, and that some provider has.
func TestRedeemForms(t *testing.T) {
	for name, change := range map[string]func(*federationtest.Script){
		"no typ":             func(s *federationtest.Script) { s.IDToken = func(h, _ map[string]any) { delete(h, "typ") } },
		"typ in lower case":  func(s *federationtest.Script) { s.IDToken = func(h, _ map[string]any) { h["typ"] = "jwt" } },
		"no kid, one key":    func(s *federationtest.Script) { s.IDToken = func(h, _ map[string]any) { delete(h, "kid") } },
		"a list of audience": func(s *federationtest.Script) { s.User["aud"] = []string{"portico"} },
		"two audiences, azp": func(s *federationtest.Script) { s.User["aud"], s.User["azp"] = []string{"portico", "api"}, "portico" },
		"azp":                func(s *federationtest.Script) { s.User["azp"] = "portico" },
		"fractions of times": func(s *federationtest.Script) { s.User["exp"] = 1772600000.5 + 100000 },
		"token type in lower case": func(s *federationtest.Script) {
			s.Token = func(answer map[string]any) { answer["token_type"] = "bearer" }
		},
		"keys of other kinds and uses beside": func(s *federationtest.Script) {
			s.Keys = []federationtest.JWK{{"kty": "OKP", "crv": "X25519", "x": "AA"}, {"kty": "AKP", "alg": "ML-DSA-44"}, {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
				{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}, {}, {"kty": 1}, s.Key.JWK()}
		},
		"a key without use, alg and kid": func(s *federationtest.Script) {
			jwk := s.Key.JWK()
			delete(jwk, "use")
			delete(jwk, "alg")
			delete(jwk, "kid")
			s.Keys = []federationtest.JWK{jwk}
			s.IDToken = func(h, _ map[string]any) { delete(h, "kid") }
		},
		"a key with a certificate that cannot be read": func(s *federationtest.Script) {
			jwk := s.Key.JWK()
			jwk["x5c"], jwk["key_ops"] = []string{"AAAA"}, []string{"verify"}
			s.Keys = []federationtest.JWK{jwk}
		},
		"a clock that is three minutes ahead": func(s *federationtest.Script) {
			s.IDToken = func(_, c map[string]any) {
				c["iat"], c["nbf"] = c["iat"].(int64)+180, c["iat"].(int64)+180
			}
		},
		"a clock that is three minutes behind": func(s *federationtest.Script) {
			s.IDToken = func(_, c map[string]any) { c["exp"] = c["iat"].(int64) - 179 }
		},
		"a long subject": func(s *federationtest.Script) { s.User["sub"] = strings.Repeat("s", 1024) },
	} {
		s := federationtest.Script{ClientID: "portico", Key: keyOf(t, "ES256"), User: map[string]any{"sub": "alice-1"}}
		change(&s)
		newParty(t, s).accepted(name)
	}
}

func TestAuthorizationURL(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	r := federation.AuthorizationRequest{
		Provider: federation.OpenIDProvider{AuthorizationEndpoint: issuer + "/authorize?p=policy"}, ClientID: "the client", RedirectURI: callback,
		Scopes: []string{"openid", "email"}, State: "s", Nonce: "n", Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		Params: []federation.Param{{Name: "login_hint", Value: "a+b@c d"}, {Name: "state", Value: "mine"}, {Name: "client_id", Value: "mine"}},
	}
	text := p.AuthorizationURL(r)
	u, err := url.Parse(text)
	if err != nil || strings.Contains(u.RawQuery, "+") {
		t.Fatalf("%s, %v", text, err)
	}
	want := url.Values{"p": {"policy"}, "client_id": {"the client"}, "redirect_uri": {callback}, "scope": {"openid email"}, "state": {"s"}, "nonce": {"n"},
		"response_type": {"code"}, "login_hint": {"a+b@c d"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, // RFC 7636, appendix B
		"code_challenge_method": {"S256"}}
	if !reflect.DeepEqual(u.Query(), want) {
		t.Errorf("got %v, want %v", u.Query(), want)
	}
	r.Verifier = ""
	if u, err = url.Parse(p.AuthorizationURL(r)); err != nil || u.Query().Has("code_challenge") || u.Query().Has("code_challenge_method") {
		t.Errorf("%s, %v", u, err)
	}
}
