package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/portico-sso/portico/app"
)

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed makes a JWT with go-jose, by ES256.
func signed(t *testing.T, key crypto.Signer, o *jose.SignerOptions, claims map[string]any) string {
	t.Helper()
	return signedBy(t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, o, claims)
}

// signedBy makes a JWT with go-jose.
func signedBy(t *testing.T, key jose.SigningKey, o *jose.SignerOptions, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(key, o)
	if err != nil {
		t.Fatalf("%s: %v", key.Algorithm, err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func keySet(t *testing.T, keys ...*ecdsa.PrivateKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), Use: "sig"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func TestPrivateKeyJWT(t *testing.T) {
	l := newLand(t)
	key, other := ecKey(t), ecKey(t)
	c := l.newApplication(testProduct, map[string]any{"authMethod": "PRIVATE_KEY_JWT", "jwks": keySet(t, key), "grantTypes": []string{"AUTHORIZATION_CODE", "CLIENT_CREDENTIALS", "REFRESH_TOKEN"}})
	if c.secret != "" {
		t.Error("an application that presents itself by a key has a secret")
	}
	claims := func(change map[string]any) map[string]any {
		all := map[string]any{"iss": c.id, "sub": c.id, "aud": l.URL, "jti": uuid.NewString(),
			"exp": l.clock.now().Add(time.Minute).Unix(), "iat": l.clock.now().Unix()}
		for name, v := range change {
			if all[name] = v; v == nil {
				delete(all, name)
			}
		}
		return all
	}
	form := func(assertion string, change url.Values) url.Values {
		return with(url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion}, "client_assertion_type": {jwtBearer}}, change)
	}
	for what, aud := range map[string]any{"the issuer": l.URL, "the token endpoint": l.URL + "/api/oauth/token", "a list": []string{"https://x", l.URL}} {
		if a := l.tokenEndpoint(form(signed(t, key, nil, claims(map[string]any{"aud": aud})), nil)); a.StatusCode != http.StatusOK {
			t.Errorf("for %s: %s %s", what, a.Status, a.body)
		}
	}
	good := claims(nil)
	granted(t, l.tokenEndpoint(form(signed(t, key, nil, good), nil)))
	b64 := base64.RawURLEncoding.EncodeToString
	payload, _ := json.Marshal(claims(nil))
	for what, refused := range map[string]url.Values{
		"the same again":                       form(signed(t, key, nil, good), nil),
		"another key":                          form(signed(t, other, nil, claims(nil)), nil),
		"another issuer":                       form(signed(t, key, nil, claims(map[string]any{"iss": l.web.id})), nil),
		"another subject":                      form(signed(t, key, nil, claims(map[string]any{"sub": l.web.id})), url.Values{"client_id": {c.id}}),
		"another server":                       form(signed(t, key, nil, claims(map[string]any{"aud": "https://other.example"})), nil),
		"no audience":                          form(signed(t, key, nil, claims(map[string]any{"aud": nil})), nil),
		"an end that has been":                 form(signed(t, key, nil, claims(map[string]any{"exp": l.clock.now().Add(-time.Second).Unix()})), nil),
		"an end next week":                     form(signed(t, key, nil, claims(map[string]any{"exp": l.clock.now().Add(time.Hour).Unix()})), nil),
		"no end":                               form(signed(t, key, nil, claims(map[string]any{"exp": nil})), nil),
		"a start to come":                      form(signed(t, key, nil, claims(map[string]any{"nbf": l.clock.now().Add(5 * time.Minute).Unix()})), nil),
		"no jti":                               form(signed(t, key, nil, claims(map[string]any{"jti": nil})), nil),
		"a jti of 300 bytes":                   form(signed(t, key, nil, claims(map[string]any{"jti": strings.Repeat("j", 300)})), nil),
		"alg none":                             form(b64([]byte(`{"alg":"none"}`))+"."+b64(payload)+".", nil),
		"words":                                form("a.b.c", nil),
		"another type":                         form(signed(t, key, nil, claims(nil)), url.Values{"client_assertion_type": {"saml"}}),
		"no type":                              form(signed(t, key, nil, claims(nil)), url.Values{"client_assertion_type": nil}),
		"one that is another kind of token":    form(signed(t, key, (&jose.SignerOptions{}).WithType("oauth-authz-req+jwt"), claims(nil)), nil),
		"another client beside it":             form(signed(t, key, nil, claims(nil)), url.Values{"client_id": {l.web.id}}),
		"nothing but the id":                   {"grant_type": {"client_credentials"}, "client_id": {c.id}},
		"a secret alone":                       {"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {"x"}},
		"one for an application with a secret": form(signed(t, key, nil, claims(map[string]any{"iss": l.web.id, "sub": l.web.id})), nil),
	} {
		t.Run(what, func(t *testing.T) { tokenRefused(t, l.tokenEndpoint(refused), 401, "invalid_client") })
	}
	tokenRefused(t, l.tokenEndpoint(form(signed(t, key, nil, claims(nil)), url.Values{"client_secret": {"x"}})), 400, "invalid_request")
	t.Run("a code", func(t *testing.T) {
		code := l.code(l.idp, c.asks(nil))
		granted(t, l.tokenEndpoint(form(signed(t, key, nil, claims(nil)), url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}})))
	})
	t.Run("keys that change", func(t *testing.T) {
		l.mutate("updateApplication", "UpdateApplicationInput", "application {id}", map[string]any{"id": c.id, "jwks": keySet(t, other)})
		l.clock.advance(2 * time.Second)
		granted(t, l.tokenEndpoint(form(signed(t, other, nil, claims(nil)), nil)))
		tokenRefused(t, l.tokenEndpoint(form(signed(t, key, nil, claims(nil)), nil)), 401, "invalid_client")
	})
}

// prover sends requests with DPoP proofs.
type prover struct {
	l     *land
	key   *ecdsa.PrivateKey
	nonce string
}

func (p *prover) proof(t *testing.T, method, path string, change map[string]any) string {
	t.Helper()
	claims := map[string]any{"jti": uuid.NewString(), "htm": method, "htu": p.l.URL + path, "iat": p.l.clock.now().Unix()}
	if p.nonce != "" {
		claims["nonce"] = p.nonce
	}
	typ := "dpop+jwt"
	for name, v := range change {
		switch {
		case name == "typ":
			typ, _ = v.(string)
		case v == nil:
			delete(claims, name)
		default:
			claims[name] = v
		}
	}
	return signed(t, p.key, (&jose.SignerOptions{EmbedJWK: true}).WithType(jose.ContentType(typ)), claims)
}

func ath(token string) map[string]any {
	sum := sha256.Sum256([]byte(token))
	return map[string]any{"ath": base64.RawURLEncoding.EncodeToString(sum[:])}
}

// token posts to the token endpoint with a proof, and again with the nonce that it is asked for.
func (p *prover) token(t *testing.T, form url.Values) answer {
	t.Helper()
	a := p.l.post("/api/oauth/token", form, "DPoP", p.proof(t, http.MethodPost, "/api/oauth/token", nil))
	if nonce := a.Header.Get("DPoP-Nonce"); nonce != p.nonce {
		p.nonce = nonce
		a = p.l.post("/api/oauth/token", form, "DPoP", p.proof(t, http.MethodPost, "/api/oauth/token", nil))
	}
	return a
}

func (p *prover) codeForm(t *testing.T, c client, change url.Values) url.Values {
	t.Helper()
	q := c.asks(with(url.Values{"scope": {"openid offline_access"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}}, change))
	return with(with(c.credentials(), url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code_verifier": {verifier}}),
		url.Values{"code": {p.l.code(p.l.idp, q)}})
}

func TestDPoP(t *testing.T) {
	l := newLand(t)
	p := &prover{l: l, key: ecKey(t)}
	form := p.codeForm(t, l.spa, nil)
	tokenRefused(t, l.post("/api/oauth/token", form, "DPoP", p.proof(t, http.MethodPost, "/api/oauth/token", nil)), 400, "use_dpop_nonce")
	got := granted(t, p.token(t, form)) // the code is as good as before
	if got.Type != "DPoP" {
		t.Errorf("%+v", got)
	}
	userinfo := func(scheme, token, proof string) answer {
		return l.get("/api/oauth/userinfo", "Authorization", scheme+" "+token, "DPoP", proof)
	}
	if a := userinfo("DPoP", got.Access, p.proof(t, "GET", "/api/oauth/userinfo", ath(got.Access))); a.StatusCode != http.StatusOK {
		t.Fatalf("userinfo: %s %s", a.Status, a.body)
	}
	thief := &prover{l: l, key: ecKey(t), nonce: p.nonce}
	for what, c := range map[string]struct {
		answer answer
		code   string
	}{
		"as bearer token with proof": {userinfo("Bearer", got.Access, p.proof(t, "GET", "/api/oauth/userinfo", ath(got.Access))), "invalid_token"},
		"without a proof":            {l.get("/api/oauth/userinfo", "Authorization", "DPoP "+got.Access), "invalid_dpop_proof"},
		"without ath":                {userinfo("DPoP", got.Access, p.proof(t, "GET", "/api/oauth/userinfo", nil)), "invalid_dpop_proof"},
		"for another endpoint":       {userinfo("DPoP", got.Access, p.proof(t, "GET", "/api/oauth/token", ath(got.Access))), "invalid_dpop_proof"},
	} {
		t.Run(what, func(t *testing.T) {
			if c.answer.StatusCode != 401 || !strings.Contains(c.answer.Header.Get("WWW-Authenticate"), c.code) {
				t.Errorf("%s, %q, want %s", c.answer.Status, c.answer.Header.Get("WWW-Authenticate"), c.code)
			}
		})
	}

	bearer := l.stays(l.spa, nil)
	if a := userinfo("DPoP", bearer.Access, p.proof(t, "GET", "/api/oauth/userinfo", ath(bearer.Access))); a.StatusCode != 401 {
		t.Errorf("a bearer token as DPoP token: %s", a.Status)
	}

	t.Run("refreshing", func(t *testing.T) {
		tokenRefused(t, thief.token(t, refreshForm(l.spa, got.Refresh, nil)), 400, "invalid_grant")
		tokenRefused(t, l.tokenEndpoint(refreshForm(l.spa, got.Refresh, nil)), 400, "invalid_grant")
		if next := granted(t, p.token(t, refreshForm(l.spa, got.Refresh, nil))); next.Type != "DPoP" {
			t.Errorf("%+v", next)
		}
	})
	t.Run("a code for one key", func(t *testing.T) {
		sum, err := (&jose.JSONWebKey{Key: p.key.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		bound := p.codeForm(t, l.spa, url.Values{"dpop_jkt": {base64.RawURLEncoding.EncodeToString(sum)}})
		tokenRefused(t, thief.token(t, bound), 400, "invalid_dpop_proof")
		tokenRefused(t, l.tokenEndpoint(bound), 400, "invalid_dpop_proof")
		granted(t, p.token(t, bound))
	})
	t.Run("introspection", func(t *testing.T) {
		fresh := granted(t, p.token(t, p.codeForm(t, l.spa, nil)))
		fields := l.post("/api/oauth/introspect", with(l.web.credentials(), url.Values{"token": {fresh.Access}})).json(t)
		if cnf, _ := fields["cnf"].(map[string]any); fields["token_type"] != "DPoP" || cnf["jkt"] == "" {
			t.Errorf("%v", fields)
		}
	})
	t.Run("an application that must", func(t *testing.T) {
		must := l.newApplication(testProduct, map[string]any{"requireDpop": true})
		form := p.codeForm(t, must, nil)
		tokenRefused(t, l.tokenEndpoint(form), 400, "invalid_dpop_proof")
		granted(t, p.token(t, form))
	})
}

func TestDPoPProofsAreRefused(t *testing.T) {
	l := newLand(t)
	robot := l.newApplication(testProduct, map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}})
	form := with(robot.credentials(), url.Values{"grant_type": {"client_credentials"}})
	p := &prover{l: l, key: ecKey(t)}
	granted(t, p.token(t, form))
	now := l.clock.now()
	const path = "/api/oauth/token"
	for what, change := range map[string]map[string]any{
		"another type":          {"typ": "jwt"},
		"no jti":                {"jti": nil},
		"a jti of 300 bytes":    {"jti": strings.Repeat("j", 300)},
		"another method":        {"htm": "GET"},
		"no method":             {"htm": nil},
		"another endpoint":      {"htu": l.URL + "/api/oauth/revoke"},
		"another server":        {"htu": "https://evil.example" + path},
		"no endpoint":           {"htu": nil},
		"an old one":            {"iat": now.Add(-6 * time.Minute).Unix()},
		"one of the future":     {"iat": now.Add(2 * time.Minute).Unix()},
		"no time":               {"iat": nil},
		"a method that is none": {"htm": 1},
	} {
		t.Run(what, func(t *testing.T) {
			tokenRefused(t, l.post(path, form, "DPoP", p.proof(t, "POST", path, change)), 400, "invalid_dpop_proof")
		})
	}
	for what, nonce := range map[string]any{"no nonce": nil, "a guessed nonce": "AAAAAAAAAAAAAAAAAAAAAA"} {
		tokenRefused(t, l.post(path, form, "DPoP", p.proof(t, "POST", path, map[string]any{"nonce": nonce})), 400, "use_dpop_nonce")
		_ = what
	}
	once := p.proof(t, "POST", path, nil)
	granted(t, l.post(path, form, "DPoP", once))
	tokenRefused(t, l.post(path, form, "DPoP", once), 400, "invalid_dpop_proof")
	secret, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))}, (&jose.SignerOptions{}).WithType("dpop+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	mac, err := secret.Sign([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := mac.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for what, proof := range map[string]string{"words": "x", "empty": "", "shared key": shared,
		"no key in it": signed(t, p.key, (&jose.SignerOptions{}).WithType("dpop+jwt"), map[string]any{})} {
		t.Run(what, func(t *testing.T) { tokenRefused(t, l.post(path, form, "DPoP", proof), 400, "invalid_dpop_proof") })
	}
	r := l.request(http.MethodPost, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	r.Header["Dpop"] = []string{p.proof(t, "POST", path, nil), p.proof(t, "POST", path, nil)}
	tokenRefused(t, l.do(r), 400, "invalid_dpop_proof")
	if a := l.post(path, form, "DPoP", p.proof(t, "POST", path, map[string]any{"htu": strings.ToUpper(l.URL[:7]) + l.URL[7:] + path + "?x=1#y"})); a.StatusCode != http.StatusOK {
		t.Errorf("an endpoint with query and fragment, in another case: %s %s", a.Status, a.body)
	}
	l.clock.advance(7 * time.Minute)
	tokenRefused(t, l.post(path, form, "DPoP", p.proof(t, "POST", path, nil)), 400, "use_dpop_nonce")
}

func TestClientCertificates(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.CertificateHeader, c.TrustedProxies = "Client-Cert", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	l := &land{program: p, clock: &clock{}, idp: newIdP(t, "https://idp.example/acme")}
	l.connect(l.idp, nil)
	key, other := ecKey(t), ecKey(t)
	certificate := func(k *ecdsa.PrivateKey, name string) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Acme"}},
			DNSNames: []string{name + ".example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	mine := certificate(key, "robot")
	header := func(der []byte) string { return ":" + base64.StdEncoding.EncodeToString(der) + ":" }
	settings := map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}}
	apply := func(change map[string]any) client {
		all := map[string]any{}
		for _, m := range []map[string]any{settings, change} {
			for k, v := range m {
				all[k] = v
			}
		}
		return l.newApplication(testProduct, all)
	}
	byName := apply(map[string]any{"authMethod": "TLS_CLIENT", "tlsSubject": "CN=robot,O=Acme"})
	byHost := apply(map[string]any{"authMethod": "TLS_CLIENT", "tlsSubject": "robot.example"})
	byKey := apply(map[string]any{"authMethod": "SELF_SIGNED_TLS", "jwks": keySet(t, key)})
	ask := func(c client, header ...string) answer {
		return l.post("/api/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}}, header...)
	}
	pemText := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: mine})))
	for what, text := range map[string]string{"RFC 9440": header(mine), "PEM": pemText, "base64": base64.StdEncoding.EncodeToString(mine),
		"Envoy": `Hash=abc;Cert="` + pemText + `";Subject=""`} {
		for _, c := range []client{byName, byHost, byKey} {
			if a := ask(c, "Client-Cert", text); a.StatusCode != http.StatusOK {
				t.Errorf("%s: %s %s", what, a.Status, a.body)
			}
		}
	}
	for what, a := range map[string]answer{
		"none":                  ask(byName),
		"another subject":       ask(byName, "Client-Cert", header(certificate(key, "other"))),
		"another host":          ask(byHost, "Client-Cert", header(certificate(key, "other"))),
		"another key":           ask(byKey, "Client-Cert", header(certificate(other, "robot"))),
		"words":                 ask(byKey, "Client-Cert", "hello"),
		"another header":        ask(byKey, "X-Client-Cert", header(mine)),
		"by secret":             l.post("/api/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {byKey.id}, "client_secret": {"x"}}, "Client-Cert", header(mine)),
		"a secret's by its key": ask(apply(nil), "Client-Cert", header(mine)),
	} {
		t.Run(what, func(t *testing.T) { tokenRefused(t, a, 401, "invalid_client") })
	}
	bound := granted(t, ask(byKey, "Client-Cert", header(mine)))
	fields := l.post("/api/oauth/introspect", url.Values{"client_id": {byKey.id}, "token": {bound.Access}}, "Client-Cert", header(mine)).json(t)
	sum := sha256.Sum256(mine)
	if cnf, _ := fields["cnf"].(map[string]any); cnf["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("%v", fields)
	}

	direct := start(t, func(c *app.Config) { c.CertificateHeader = "Client-Cert" }) // no proxy is trusted
	far := &land{program: direct, idp: newIdP(t, "https://idp.example/far")}
	far.connect(far.idp, nil)
	all := map[string]any{"authMethod": "SELF_SIGNED_TLS", "jwks": keySet(t, key)}
	for k, v := range settings {
		all[k] = v
	}
	c := far.newApplication(testProduct, all)
	a := far.post("/api/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}}, "Client-Cert", header(mine))
	tokenRefused(t, a, 401, "invalid_client")
}
