package oidc_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/oidc"
	"github.com/portico-sso/portico/adapters/outbound"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// claim changes one claim of the id token; nil leaves it out.
func claim(name string, value any) func(*federationtest.Script) {
	return func(s *federationtest.Script) {
		s.IDToken = func(_, c map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
}

// person changes one claim of the id token and of userinfo.
func person(name string, value any) func(*federationtest.Script) {
	return func(s *federationtest.Script) { s.User[name] = value }
}

func header(name string, value any) func(*federationtest.Script) {
	return func(s *federationtest.Script) { s.IDToken = func(h, _ map[string]any) { h[name] = value } }
}

// answer changes the answer of the token endpoint.
func answer(name string, value any) func(*federationtest.Script) {
	return func(s *federationtest.Script) {
		s.Token = func(a map[string]any) {
			if a[name] = value; value == nil {
				delete(a, name)
			}
		}
	}
}

// Every lie that a provider, or somebody in its place, could tell.
func TestRedeemRefuses(t *testing.T) {
	rs, es := keyOf(t, "RS256"), keyOf(t, "ES256")
	stranger := federationtest.SigningKey{ID: es.ID, Alg: "ES256", Key: another(t)}
	public := publicPEM(t, rs)
	weak := federationtest.SigningKey{ID: "weak", Alg: "RS256", Key: rsaKey(t, 1024)}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Unix()
	for _, c := range []struct {
		name   string
		want   federation.OIDCCode
		change func(*federationtest.Script)
	}{
		{"alg none", federation.OIDCAlgorithm, func(s *federationtest.Script) { s.Keys, s.Key = published(s), federationtest.SigningKey{Alg: "none"} }},
		{"alg none under another case", federation.OIDCAlgorithm, func(s *federationtest.Script) {
			s.Keys, s.Key = published(s), federationtest.SigningKey{Alg: "none"}
			s.IDToken = func(h, _ map[string]any) { h["alg"] = "nOnE" }
		}},
		{"alg of a signature that was cut off", federation.OIDCSignature, func(s *federationtest.Script) {
			s.Token = func(a map[string]any) {
				text := a["id_token"].(string)
				a["id_token"] = text[:strings.LastIndex(text, ".")+1]
			}
		}},
		{"HMAC with the client's secret, where nobody said HMAC", federation.OIDCAlgorithm, func(s *federationtest.Script) {
			s.Keys, s.Key = published(s), federationtest.SigningKey{Alg: "HS256", MAC: []byte(s.ClientSecret)}
		}},
		{"key confusion: HMAC with the published key as PEM", federation.OIDCAlgorithm, func(s *federationtest.Script) {
			s.Keys, s.Key = []federationtest.JWK{rs.JWK()}, federationtest.SigningKey{ID: rs.ID, Alg: "HS256", MAC: public}
		}},
		{"key confusion: HMAC with a published symmetric key", federation.OIDCAlgorithm, func(s *federationtest.Script) {
			s.Keys = []federationtest.JWK{{"kty": "oct", "kid": "m", "k": base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))}}
			s.Key = federationtest.SigningKey{ID: "m", Alg: "HS256", MAC: []byte("0123456789abcdef0123456789abcdef")}
		}},
		{"key confusion: PS256 with a key that is for RS256", federation.OIDCKey, func(s *federationtest.Script) {
			s.Keys, s.Key = []federationtest.JWK{rs.JWK()}, federationtest.SigningKey{ID: rs.ID, Alg: "PS256", Key: rs.Key}
		}},
		{"key confusion: a header of another algorithm than the signature", federation.OIDCKey, header("alg", "RS256")},
		{"key confusion: ES384 with a P-256 key", federation.OIDCKey, func(s *federationtest.Script) {
			jwk := es.JWK()
			delete(jwk, "alg")
			s.Keys, s.Key = []federationtest.JWK{jwk}, federationtest.SigningKey{ID: es.ID, Alg: "ES384", Key: es.Key}
		}},
		{"an unknown algorithm", federation.OIDCAlgorithm, header("alg", "ES256K")},
		{"a key that is not published", federation.OIDCKey, header("kid", "unknown")},
		{"a stranger's key under the published id", federation.OIDCSignature, func(s *federationtest.Script) { s.Keys, s.Key = published(s), stranger }},
		{"a stranger's key without an id", federation.OIDCSignature, func(s *federationtest.Script) {
			s.Keys, s.Key = published(s), federationtest.SigningKey{Alg: "ES256", Key: stranger.Key}
		}},
		{"a stranger's key in the header", federation.OIDCSignature, func(s *federationtest.Script) {
			s.Keys, s.Key = published(s), stranger
			s.IDToken = func(h, _ map[string]any) { h["jwk"] = stranger.JWK() }
		}},
		{"an address of keys in the header", federation.OIDCSignature, func(s *federationtest.Script) {
			s.Keys, s.Key = published(s), stranger
			s.IDToken = func(h, _ map[string]any) {
				h["jku"], h["x5u"] = "https://evil.example/jwks", "https://evil.example/x5u"
			}
		}},
		{"a key for encryption", federation.OIDCKey, jwkMember("use", "enc")},
		{"a key that may not verify", federation.OIDCKey, jwkMember("key_ops", []string{"encrypt"})},
		{"a private key, published", federation.OIDCKey, jwkMember("d", "AQAB")},
		{"a key of another algorithm", federation.OIDCKey, jwkMember("alg", "ES512")},
		{"an RSA key of 1024 bits", federation.OIDCKey, func(s *federationtest.Script) { s.Keys, s.Key = []federationtest.JWK{weak.JWK()}, weak }},
		{"an RSA key with exponent 1", federation.OIDCKey, func(s *federationtest.Script) {
			s.Key = rs
			jwk := rs.JWK()
			jwk["e"] = "AQ"
			s.Keys = []federationtest.JWK{jwk}
		}},
		{"a point that is not on the curve", federation.OIDCKey, jwkMember("x", base64.RawURLEncoding.EncodeToString(make([]byte, 32)))},
		{"an access token in place of the id token", federation.OIDCMalformed, header("typ", "at+jwt")},
		{"a logout token in place of the id token", federation.OIDCMalformed, header("typ", "logout+jwt")},
		{"a header that says what is critical", federation.OIDCMalformed, header("crit", []string{"exp"})},
		{"an unencoded payload", federation.OIDCMalformed, func(s *federationtest.Script) {
			s.IDToken = func(h, _ map[string]any) { h["crit"], h["b64"] = []string{"b64"}, false }
		}},

		{"another issuer", federation.OIDCIssuer, claim("iss", "https://evil.example")},
		{"the issuer with a slash", federation.OIDCIssuer, claim("iss", issuer+"/")},
		{"the issuer of Google without its scheme, of another provider", federation.OIDCIssuer, claim("iss", "op.example")},
		{"no issuer", federation.OIDCIssuer, claim("iss", nil)},
		{"a list of issuers", federation.OIDCIssuer, claim("iss", []string{issuer})},
		{"another audience", federation.OIDCAudience, claim("aud", "another")},
		{"no audience", federation.OIDCAudience, claim("aud", nil)},
		{"an empty list of audiences", federation.OIDCAudience, claim("aud", []string{})},
		{"an audience that is no text", federation.OIDCAudience, claim("aud", []any{"portico", 1})},
		{"an audience in another case", federation.OIDCAudience, claim("aud", "Portico")},
		{"several audiences without azp", federation.OIDCAuthorizedParty, claim("aud", []string{"portico", "another"})},
		{"another azp", federation.OIDCAuthorizedParty, claim("azp", "another")},
		{"azp that is no text", federation.OIDCAuthorizedParty, claim("azp", []string{"portico"})},
		{"expired", federation.OIDCExpired, claim("exp", now-180)},
		{"no expiry", federation.OIDCMalformed, claim("exp", nil)},
		{"an expiry that is a text", federation.OIDCMalformed, claim("exp", "99999999999")},
		{"an expiry beyond all years", federation.OIDCMalformed, claim("exp", 1e300)},
		{"a time before 1970", federation.OIDCMalformed, claim("nbf", -1)},
		{"issued in the future", federation.OIDCNotYetValid, claim("iat", now+181)},
		{"no time of issue", federation.OIDCMalformed, claim("iat", nil)},
		{"not valid yet", federation.OIDCNotYetValid, claim("nbf", now+181)},
		{"another nonce", federation.OIDCNonce, claim("nonce", "the nonce of another login")},
		{"no nonce", federation.OIDCNonce, claim("nonce", nil)},
		{"a nonce that is a list", federation.OIDCNonce, claim("nonce", []string{"the-nonce-of-this-login"})},
		{"at_hash of another token", federation.OIDCTokenHash, claim("at_hash", federationtest.HalfHash("ES256", "another"))},
		{"at_hash that is no text", federation.OIDCTokenHash, claim("at_hash", 1)},
		{"at_hash that is empty", federation.OIDCTokenHash, claim("at_hash", "")},
		{"c_hash of another code", federation.OIDCTokenHash, claim("c_hash", federationtest.HalfHash("ES256", "another"))},
		{"the access token was exchanged", federation.OIDCTokenHash, func(s *federationtest.Script) {
			s.AtHash = true
			s.Token = func(a map[string]any) { a["access_token"] = "another" }
		}},
		{"no subject", federation.OIDCSubject, claim("sub", nil)},
		{"an empty subject", federation.OIDCSubject, claim("sub", "")},
		{"a subject that is a number", federation.OIDCSubject, claim("sub", 7)},
		{"a subject with a control character", federation.OIDCSubject, person("sub", "a\x00b")},
		{"a subject without end", federation.OIDCSubject, person("sub", strings.Repeat("s", 1025))},
		{"a subject that JSON cannot hold", federation.OIDCSubject, person("sub", "a\ufffd")},
		{"auth_time that is no time", federation.OIDCMalformed, claim("auth_time", "yesterday")},

		{"userinfo of another subject", federation.OIDCSubject, func(s *federationtest.Script) { s.Userinfo = map[string]any{"sub": "mallory"} }},
		{"userinfo without subject", federation.OIDCSubject, func(s *federationtest.Script) { s.Userinfo = map[string]any{"email": "alice@acme.example"} }},
		{"userinfo that is a list", federation.OIDCMalformed, at("/userinfo", 200, "application/json", `[{"sub":"alice-1"}]`)},
		{"userinfo that is no UTF-8", federation.OIDCMalformed, at("/userinfo", 200, "application/json", "{\"sub\":\"alice-1\",\"x\":\"\xff\"}")},
		{"userinfo that is refused", federation.OIDCUserinfo, at("/userinfo", 403, "text/html", "no")},
		{"userinfo that is elsewhere", federation.OIDCUserinfo, redirect("/userinfo", "https://evil.example/")},
		{"userinfo with alg none", federation.OIDCAlgorithm, signedUserinfo(func(h, _ map[string]any) { h["alg"] = "none" })},
		{"userinfo signed by an unknown key", federation.OIDCKey, signedUserinfo(func(h, _ map[string]any) { h["kid"] = "x" })},
		{"userinfo that somebody altered", federation.OIDCSignature, at("/userinfo", 200, "application/jwt", forged(t, es))},
		{"signed userinfo of another issuer", federation.OIDCIssuer, signedUserinfo(func(_, c map[string]any) { c["iss"] = "https://evil.example" })},
		{"signed userinfo for another client", federation.OIDCAudience, signedUserinfo(func(_, c map[string]any) { c["aud"] = "another" })},
		{"signed userinfo of another subject", federation.OIDCSubject, signedUserinfo(func(_, c map[string]any) { c["sub"] = "mallory" })},
		{"signed userinfo that has expired", federation.OIDCExpired, signedUserinfo(func(_, c map[string]any) { c["exp"] = now - 180 })},
		{"encrypted userinfo", federation.OIDCMalformed, at("/userinfo", 200, "application/jwt; charset=utf-8", "a.b.c.d.e")},

		{"no id token", federation.OIDCMalformed, answer("id_token", nil)},
		{"no access token", federation.OIDCMalformed, answer("access_token", nil)},
		{"a token bound to somebody's key", federation.OIDCMalformed, answer("token_type", "DPoP")},
		{"an id token of two parts", federation.OIDCMalformed, answer("id_token", "a.b")},
		{"an id token in JSON form", federation.OIDCMalformed, answer("id_token", `{"payload":"e30","protected":"e30","signature":""}`)},
		{"an encrypted id token", federation.OIDCMalformed, answer("id_token", "a.b.c.d.e")},
		{"an id token that holds a list", federation.OIDCMalformed, payload(t, es, `["sub"]`)},
		{"an id token that holds null", federation.OIDCMalformed, payload(t, es, `null`)},
		{"an id token that is no UTF-8", federation.OIDCMalformed, payload(t, es, "{\"sub\":\"\xff\"}")},
		{"an id token so deep that reading it is work", federation.OIDCMalformed, payload(t, es, strings.Repeat("[", 100000))},
		{"an error of the provider", federation.OIDCProvider, at("/token", 400, "application/json", `{"error":"invalid_grant"}`)},
		{"an error of the provider, with status 200", federation.OIDCProvider, at("/token", 200, "application/json", `{"error":"bad_verification_code"}`)},
		{"a page in place of tokens", federation.OIDCMalformed, at("/token", 200, "text/html", "<html>")},
		{"a refusal without reason", federation.OIDCMalformed, at("/token", 403, "text/html", "<html>")},
		{"tokens that are elsewhere", federation.OIDCMalformed, redirect("/token", "https://evil.example/")},
		{"an outage of the token endpoint", federation.OIDCUnreachable, at("/token", 503, "application/json", `{"error":"server_error"}`)},
		{"too many requests", federation.OIDCUnreachable, at("/token", 429, "text/plain", "")},
		{"an outage of userinfo", federation.OIDCUnreachable, at("/userinfo", 502, "text/html", "")},
		{"an outage of the keys", federation.OIDCUnreachable, at("/jwks", 500, "text/html", "")},
		{"keys that are not there", federation.OIDCKey, at("/jwks", 404, "text/html", "")},
		{"keys that are no JSON", federation.OIDCKey, at("/jwks", 200, "application/json", "{")},
		{"keys that are no list", federation.OIDCKey, at("/jwks", 200, "application/json", `{"keys":{}}`)},
		{"no list of keys", federation.OIDCKey, at("/jwks", 200, "application/json", `{}`)},
		{"a hundred and one keys", federation.OIDCTooLarge, func(s *federationtest.Script) { s.Keys = make([]federationtest.JWK, 101) }},
		{"keys without end", federation.OIDCTooLarge, at("/jwks", 200, "application/json", `{"keys":[{"n":"`+strings.Repeat("A", 256<<10)+`"}]}`)},
		{"tokens without end", federation.OIDCTooLarge, answer("x", strings.Repeat("A", 512<<10))},
		{"userinfo without end", federation.OIDCTooLarge, func(s *federationtest.Script) {
			s.User["x"] = strings.Repeat("A", 600<<10)
			s.Token = shortToken(t, es)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := federationtest.Script{ClientID: "portico", ClientSecret: "a-secret-of-more-than-thirty-two-bytes", Key: es, User: map[string]any{"sub": "alice-1"}}
			c.change(&s)
			claims, err := newParty(t, s).redeem()
			refused(t, c.name, c.want, claims, err)
		})
	}
}

func published(s *federationtest.Script) []federationtest.JWK {
	return []federationtest.JWK{s.Key.JWK()}
}

func jwkMember(name string, value any) func(*federationtest.Script) {
	return func(s *federationtest.Script) {
		jwk := s.Key.JWK()
		jwk[name] = value
		s.Keys = []federationtest.JWK{jwk}
	}
}

func at(path string, status int, contentType, body string) func(*federationtest.Script) {
	return func(s *federationtest.Script) {
		s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
}

func redirect(path, to string) func(*federationtest.Script) {
	return func(s *federationtest.Script) {
		s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				http.Redirect(w, r, to, http.StatusFound)
			}
			return r.URL.Path == path
		}
	}
}

func signedUserinfo(edit func(header, claims map[string]any)) func(*federationtest.Script) {
	return func(s *federationtest.Script) { s.SignUserinfo = edit }
}

// payload signs any payload as id token.
func payload(t *testing.T, k federationtest.SigningKey, text string) func(*federationtest.Script) {
	t.Helper()
	token, err := k.Sign(map[string]any{"alg": k.Alg, "kid": k.ID}, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return answer("id_token", token)
}

// shortToken keeps the id token small where userinfo is not.
func shortToken(t *testing.T, k federationtest.SigningKey) func(map[string]any) {
	t.Helper()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Unix()
	token, err := k.Sign(map[string]any{"alg": k.Alg, "kid": k.ID}, fmt.Appendf(nil,
		`{"iss":%q,"aud":"portico","sub":"alice-1","iat":%d,"exp":%d,"nonce":"the-nonce-of-this-login"}`, issuer, now, now+300))
	if err != nil {
		t.Fatal(err)
	}
	return func(a map[string]any) { a["id_token"] = token }
}

// forged is a JWT whose claims were altered after it was signed.
func forged(t *testing.T, k federationtest.SigningKey) string {
	t.Helper()
	token, err := k.Sign(map[string]any{"alg": k.Alg, "kid": k.ID}, []byte(`{"sub":"alice-1","role":"user"}`))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"alice-1","role":"admin"}`))
	return strings.Join(parts, ".")
}

func publicPEM(t *testing.T, k federationtest.SigningKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// What the provider refuses is passed on in its words, as far as they can be shown.
func TestRedeemTellsTheProvidersError(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	p.op.Change(at("/token", 400, "application/json", `{"error":"invalid_grant","error_description":"Too late.\u0000"}`))
	_, err := p.redeem()
	var e *federation.OIDCError
	if !errors.As(err, &e) || e.Answer != (federation.OAuthError{Code: "invalid_grant", Description: "Too late."}) {
		t.Errorf("%v", err)
	}
}

// The provider itself refuses a code of somebody else's login: the verifier and the redirect URI are not its own.
func TestCodeInjection(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	victim, attacker := p.redemption(), p.redemption()
	stolen := attacker
	stolen.Code, stolen.Verifier = victim.Code, strings.Replace(attacker.Verifier, "a", "b", 1)
	c, err := p.Redeem(t.Context(), stolen)
	refused(t, "a code with another verifier", federation.OIDCProvider, c, err)

	// A provider without PKCE redeems it: then the nonce tells.
	q := federationtest.Authorization{ClientID: "portico", RedirectURI: callback, Nonce: "the nonce of the victim's login"}
	attacker.Code, attacker.Verifier = p.op.Code(q), ""
	c, err = p.Redeem(t.Context(), attacker)
	refused(t, "a code of a login with another nonce", federation.OIDCNonce, c, err)
}

// A provider that does not answer takes a bounded number of logins with it, and none of another's.
func TestOneProviderCannotTakeAllLogins(t *testing.T) {
	p := newParty(t, federationtest.Script{})
	other, err := federationtest.NewOpenID("https://other.example", p.clock.Now, federationtest.Script{})
	if err != nil {
		t.Fatal(err)
	}
	p.net.hosts["other.example"] = other
	release, entered := make(chan struct{}), atomic.Int32{}
	p.op.Change(func(s *federationtest.Script) {
		s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				entered.Add(1)
				<-release
			}
			return false
		}
	})
	r := p.redemption()
	var hung sync.WaitGroup
	for range 128 {
		hung.Go(func() { _, _ = p.Redeem(t.Context(), r) })
	}
	for entered.Load() < 128 {
		time.Sleep(time.Millisecond)
	}
	c, err := p.Redeem(t.Context(), r)
	refused(t, "one login too many", federation.OIDCBusy, c, err)
	q := *p
	q.op = other
	q.accepted("another provider's login")
	close(release)
	hung.Wait()
	p.accepted("a login afterwards")
}

// Addresses inside, slow answers and endless ones, over the client that the program uses.
func TestOverTheGuardedClient(t *testing.T) {
	inside := httptest.NewServer(http.NotFoundHandler())
	defer inside.Close()
	local := netip.MustParsePrefix("127.0.0.1/32")
	for _, c := range []struct {
		name   string
		allow  []netip.Prefix
		want   federation.OIDCCode
		change func(*federationtest.Script)
	}{
		{"discovery at a private address", nil, federation.OIDCForbidden, func(*federationtest.Script) {}},
		{"discovery that redirects inside", []netip.Prefix{local}, federation.OIDCForbidden, redirect("/.well-known/openid-configuration", "http://127.0.0.2:1/")},
		{"discovery that redirects to a cloud's metadata", []netip.Prefix{local}, federation.OIDCForbidden, redirect("/.well-known/openid-configuration", "http://169.254.169.254/latest/")},
		{"keys that redirect inside", []netip.Prefix{local}, federation.OIDCForbidden, redirect("/jwks", "http://127.0.0.2:1/")},
		{"a token endpoint inside", []netip.Prefix{local}, federation.OIDCForbidden, endpoint("token_endpoint", "https://127.0.0.2:1/token")},
		{"a token endpoint in a private network", []netip.Prefix{local}, federation.OIDCForbidden, endpoint("token_endpoint", "https://10.0.0.1/token")},
		{"keys in a private network", []netip.Prefix{local}, federation.OIDCForbidden, endpoint("jwks_uri", "https://192.168.0.1/jwks")},
		{"userinfo at a link-local address", []netip.Prefix{local}, federation.OIDCForbidden, endpoint("userinfo_endpoint", "https://169.254.169.254/")},
		{"a token endpoint that says nothing", []netip.Prefix{local}, federation.OIDCUnreachable, slow("/token", "")},
		{"a token endpoint that trickles", []netip.Prefix{local}, federation.OIDCUnreachable, slow("/token", "{")},
		{"keys that trickle", []netip.Prefix{local}, federation.OIDCUnreachable, slow("/jwks", "{")},
		{"an endless discovery document", []netip.Prefix{local}, federation.OIDCTooLarge, endless("/.well-known/openid-configuration")},
		{"endless keys", []netip.Prefix{local}, federation.OIDCTooLarge, endless("/jwks")},
		{"endless tokens", []netip.Prefix{local}, federation.OIDCTooLarge, endless("/token")},
		{"endless userinfo", []netip.Prefix{local}, federation.OIDCTooLarge, endless("/userinfo")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := federationtest.Script{Key: keyOf(t, "ES256")}
			c.change(&s)
			op, stop, err := federationtest.ServeOpenID(time.Now, s)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			client := outbound.New(outbound.Options{AllowPrivate: c.allow, Timeout: time.Second})
			rp := oidc.New(oidc.Options{Fetch: client, Send: client, Now: time.Now})
			provider, err := rp.Discover(t.Context(), op.Issuer())
			if err != nil {
				refused(t, c.name, c.want, federation.Claims{}, err)
				return
			}
			q := federationtest.Authorization{ClientID: "portico", RedirectURI: callback, Nonce: "n"}
			claims, err := rp.Redeem(t.Context(), federation.Redemption{Provider: provider, Code: op.Code(q), RedirectURI: callback, Nonce: "n", Skew: skew,
				Client: federation.OpenIDClient{ID: "portico", Secret: op.Script().ClientSecret, Auth: federation.AuthSecretBasic}})
			refused(t, c.name, c.want, claims, err)
		})
	}
}

func endpoint(name, address string) func(*federationtest.Script) {
	return func(s *federationtest.Script) { s.Discovery = func(doc map[string]any) { doc[name] = address } }
}

func slow(path, begin string) func(*federationtest.Script) {
	return func(s *federationtest.Script) {
		s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body) // then the server notices who leaves
			_, _ = w.Write([]byte(begin))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
			return true
		}
	}
}

func endless(path string) func(*federationtest.Script) {
	return func(s *federationtest.Script) {
		s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			piece := []byte(strings.Repeat(" ", 64<<10))
			for r.Context().Err() == nil {
				if _, err := w.Write(piece); err != nil {
					break
				}
			}
			return true
		}
	}
}
