package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/portico-sso/portico/app"
)

// announced is a program with everything switched on, and what it announces.
type announced struct {
	*land
	metadata map[string]any
	signers  map[string]jose.SigningKey // by algorithm
}

func newAnnounced(t *testing.T) *announced {
	t.Helper()
	l := newLandWith(t, func(c *app.Config) {
		loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.CertificateHeader, c.TrustedProxies, c.AllowPrivateNetworks = "Client-Cert", loopback, loopback
	})
	a := &announced{land: l, metadata: l.get("/.well-known/openid-configuration").json(t), signers: map[string]jose.SigningKey{}}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512} {
		a.signers[string(alg)] = jose.SigningKey{Algorithm: alg, Key: rsaKey}
	}
	for alg, curve := range map[jose.SignatureAlgorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a.signers[string(alg)] = jose.SigningKey{Algorithm: alg, Key: k}
	}
	a.signers["EdDSA"] = jose.SigningKey{Algorithm: jose.EdDSA, Key: edKey}
	return a
}

// sign makes a JWT by one of the algorithms.
func (a *announced) sign(t *testing.T, alg string, o *jose.SignerOptions, claims map[string]any) string {
	t.Helper()
	return signedBy(t, a.signers[alg], o, claims)
}

// keyed is an application whose key is for one algorithm.
func (a *announced) keyed(t *testing.T, alg string, change map[string]any) client {
	t.Helper()
	public := a.signers[alg].Key.(crypto.Signer).Public()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, Algorithm: alg, Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]any{"jwks": string(set)}
	maps.Copy(in, change)
	return a.newApplication(testProduct, in)
}

func (a *announced) assertion(t *testing.T, alg string, c client) url.Values {
	t.Helper()
	text := a.sign(t, alg, nil, map[string]any{"iss": c.id, "sub": c.id, "aud": a.metadata["issuer"], "jti": uuid.NewString(), "exp": a.clock.now().Add(time.Minute).Unix()})
	return url.Values{"client_assertion": {text}, "client_assertion_type": {jwtBearer}}
}

// each runs a check for every value that a member announces.
func (a *announced) each(member string, check func(t *testing.T, value string)) func(*testing.T) {
	return func(t *testing.T) {
		list, _ := a.metadata[member].([]any)
		if len(list) == 0 {
			t.Fatal("nothing is announced")
		}
		for _, v := range list {
			value, _ := v.(string)
			t.Run(value, func(t *testing.T) { check(t, value) })
		}
	}
}

// path is that of an endpoint, below the issuer.
func (a *announced) path(member string) string {
	address, _ := a.metadata[member].(string)
	return strings.TrimPrefix(address, a.URL)
}

// authenticates has a client present itself in an announced way at an endpoint that takes a form.
func (a *announced) authenticates(t *testing.T, endpoint, method string, form url.Values) answer {
	t.Helper()
	robot := func(change map[string]any) map[string]any {
		in := map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}}
		maps.Copy(in, change)
		return in
	}
	key := a.signers["ES256"].Key.(*ecdsa.PrivateKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "robot"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := []string{"Client-Cert", ":" + base64.StdEncoding.EncodeToString(der) + ":"}
	switch method {
	case "client_secret_basic":
		c := a.newApplication(testProduct, robot(nil))
		return a.post(endpoint, form, "Authorization", basic(c.id, c.secret))
	case "client_secret_post":
		return a.post(endpoint, with(form, a.newApplication(testProduct, robot(nil)).credentials()))
	case "private_key_jwt":
		c := a.keyed(t, "ES256", robot(map[string]any{"authMethod": "PRIVATE_KEY_JWT"}))
		return a.post(endpoint, with(form, a.assertion(t, "ES256", c)))
	case "tls_client_auth":
		return a.post(endpoint, with(form, url.Values{"client_id": {a.newApplication(testProduct, robot(map[string]any{"authMethod": "TLS_CLIENT", "tlsSubject": "CN=robot"})).id}}), certificate...)
	case "self_signed_tls_client_auth":
		c := a.keyed(t, "ES256", robot(map[string]any{"authMethod": "SELF_SIGNED_TLS"}))
		return a.post(endpoint, with(form, url.Values{"client_id": {c.id}}), certificate...)
	case "none":
		return a.post(endpoint, with(form, a.spa.credentials()))
	}
	t.Fatalf("nobody knows how to present itself by %q", method)
	return answer{}
}

func worked(t *testing.T, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

// assertionAlg presents a client by an assertion of an algorithm.
func (a *announced) assertionAlg(endpoint string, form url.Values) func(*testing.T, string) {
	return func(t *testing.T, alg string) {
		c := a.keyed(t, alg, map[string]any{"authMethod": "PRIVATE_KEY_JWT", "grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}})
		worked(t, a.post(endpoint, with(form, a.assertion(t, alg, c))))
	}
}

// TestDiscoveryAnnouncesWhatWorks uses every value that is announced. A member without a check here may not be announced.
func TestDiscoveryAnnouncesWhatWorks(t *testing.T) {
	a := newAnnounced(t)
	everything := a.web.asks(url.Values{"scope": {"openid profile email offline_access"}})
	is := func(want any) func(*testing.T, string) {
		return func(t *testing.T, member string) {
			if got := a.metadata[member]; got != want {
				t.Errorf("%v, want %v", got, want)
			}
		}
	}
	list := func(check func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, member string) { a.each(member, check)(t) }
	}
	token, none := url.Values{"grant_type": {"client_credentials"}}, url.Values{"token": {"at_none"}}
	byMethod := func(endpoint string, form url.Values) func(*testing.T, string) {
		return list(func(t *testing.T, method string) {
			if method == "none" && endpoint == a.path("token_endpoint") { // a public client has no credentials, but a code
				code := a.code(a.idp, a.spa.asks(pkce))
				worked(t, a.redeem(code, with(a.spa.credentials(), url.Values{"code_verifier": {verifier}})))
				return
			}
			worked(t, a.authenticates(t, endpoint, method, form))
		})
	}
	signIn := granted(t, a.redeem(a.code(a.idp, everything), a.web.credentials()))
	checks := map[string]func(t *testing.T, member string){
		"issuer": func(t *testing.T, _ string) {
			if claims := claimsOf(t, signIn.ID); claims["iss"] != a.metadata["issuer"] || a.metadata["issuer"] != a.URL {
				t.Errorf("%v, %v", claims["iss"], a.metadata["issuer"])
			}
		},
		"authorization_endpoint": func(t *testing.T, m string) { a.get(a.path(m) + "?" + everything.Encode()).atProvider(t) },
		"token_endpoint": func(t *testing.T, m string) {
			granted(t, a.post(a.path(m), refreshForm(a.web, a.stays(a.web, nil).Refresh, nil)))
		},
		"userinfo_endpoint":      func(t *testing.T, m string) { worked(t, a.get(a.path(m), "Authorization", "Bearer "+signIn.Access)) },
		"jwks_uri":               func(t *testing.T, m string) { worked(t, a.get(a.path(m))) },
		"introspection_endpoint": func(t *testing.T, m string) { worked(t, a.post(a.path(m), with(none, a.web.credentials()))) },
		"revocation_endpoint":    func(t *testing.T, m string) { worked(t, a.post(a.path(m), with(none, a.web.credentials()))) },
		"registration_endpoint": func(t *testing.T, m string) {
			text := `{"redirect_uris":["` + callback + `"]}`
			r := a.request(http.MethodPost, a.path(m), strings.NewReader(text), "Content-Type", "application/json", "Authorization", "Bearer "+a.initial(testProduct, 60))
			if got := a.do(r); got.StatusCode != http.StatusCreated {
				t.Errorf("%s %s", got.Status, got.body)
			}
		},
		"device_authorization_endpoint": func(t *testing.T, m string) {
			c := a.newApplication(testProduct, map[string]any{"grantTypes": []string{"DEVICE_CODE"}, "redirectUris": []string{}})
			worked(t, a.post(a.path(m), with(c.credentials(), url.Values{"organization": {testTenant}})))
		},
		"pushed_authorization_request_endpoint": func(t *testing.T, m string) {
			if got := a.post(a.path(m), with(everything, a.web.credentials())); got.StatusCode != http.StatusCreated {
				t.Errorf("%s %s", got.Status, got.body)
			}
		},
		"end_session_endpoint": func(t *testing.T, m string) {
			if got := a.get(a.path(m)); got.StatusCode != http.StatusSeeOther || got.location().Path != "/api/oauth/logout/confirm" {
				t.Errorf("%s to %s", got.Status, got.Header.Get("Location"))
			}
		},
		"response_types_supported": list(func(t *testing.T, value string) {
			a.code(a.idp, with(everything, url.Values{"response_type": {value}}))
		}),
		"response_modes_supported": list(func(t *testing.T, mode string) {
			request := a.begin(with(everything, url.Values{"response_mode": {mode}}))
			got := a.acs(a.respond(a.idp, request, nil), request.RelayState)
			code := got.location().Query().Get("code")
			if mode == "form_post" {
				code = field(t, got.body, "code")
			}
			granted(t, a.redeem(code, a.web.credentials()))
		}),
		"subject_types_supported": list(func(t *testing.T, value string) {
			other := claimsOf(t, a.signsIn(a.second, nil).ID)
			if same := other["sub"] == claimsOf(t, signIn.ID)["sub"]; same != (value == "public") {
				t.Errorf("another application is told of %v", other["sub"])
			}
		}),
		"id_token_signing_alg_values_supported": list(func(t *testing.T, alg string) {
			c := a.newApplication(testProduct, map[string]any{"idTokenAlg": alg})
			header, err := base64.RawURLEncoding.DecodeString(strings.Split(a.signsIn(c, nil).ID, ".")[0])
			if err != nil || !strings.Contains(string(header), `"alg":"`+alg+`"`) {
				t.Errorf("%s: %v", header, err)
			}
		}),
		"grant_types_supported": list(func(t *testing.T, grant string) {
			switch grant {
			case "authorization_code":
				granted(t, a.redeem(a.code(a.idp, everything), a.web.credentials()))
			case "refresh_token":
				granted(t, a.tokenEndpoint(refreshForm(a.web, signIn.Refresh, nil)))
			case "client_credentials":
				worked(t, a.authenticates(t, "/api/oauth/token", "client_secret_post", token))
			case deviceGrant:
				c := a.newApplication(testProduct, map[string]any{"public": true, "grantTypes": []string{"DEVICE_CODE"}, "redirectUris": []string{}})
				codes := a.device(c, nil)
				a.approve(codes.user)
				granted(t, a.poll(c, codes.device))
			default:
				t.Error("nobody uses it")
			}
		}),
		"code_challenge_methods_supported": list(func(t *testing.T, method string) {
			code := a.code(a.idp, with(everything, url.Values{"code_challenge": {challenge()}, "code_challenge_method": {method}}))
			worked(t, a.redeem(code, with(a.web.credentials(), url.Values{"code_verifier": {verifier}})))
		}),
		"token_endpoint_auth_methods_supported":                    byMethod(a.path("token_endpoint"), token),
		"introspection_endpoint_auth_methods_supported":            byMethod(a.path("introspection_endpoint"), none),
		"revocation_endpoint_auth_methods_supported":               byMethod(a.path("revocation_endpoint"), none),
		"token_endpoint_auth_signing_alg_values_supported":         list(a.assertionAlg(a.path("token_endpoint"), token)),
		"introspection_endpoint_auth_signing_alg_values_supported": list(a.assertionAlg(a.path("introspection_endpoint"), none)),
		"revocation_endpoint_auth_signing_alg_values_supported":    list(a.assertionAlg(a.path("revocation_endpoint"), none)),
		"request_object_signing_alg_values_supported": list(func(t *testing.T, alg string) {
			c := a.keyed(t, alg, nil)
			claims := map[string]any{"iss": c.id, "aud": a.URL, "exp": a.clock.now().Add(time.Minute).Unix()}
			for name, v := range c.asks(nil) {
				claims[name] = v[0]
			}
			a.begin(url.Values{"client_id": {c.id}, "request": {a.sign(t, alg, nil, claims)}})
		}),
		"dpop_signing_alg_values_supported": list(func(t *testing.T, alg string) {
			claims := map[string]any{"htm": "POST", "htu": a.URL + "/api/oauth/token", "iat": a.clock.now().Unix()}
			prove := func(nonce string) answer {
				claims["jti"], claims["nonce"] = uuid.NewString(), nonce
				proof := a.sign(t, alg, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"), claims)
				return a.post("/api/oauth/token", refreshForm(a.web, a.stays(a.web, nil).Refresh, nil), "DPoP", proof)
			}
			if got := granted(t, prove(prove("").Header.Get("DPoP-Nonce"))); got.Type != "DPoP" {
				t.Errorf("%+v", got)
			}
		}),
		"scopes_supported": list(func(t *testing.T, scope string) {
			if !slices.Contains(strings.Fields(signIn.Scope), scope) {
				t.Errorf("granted was %q", signIn.Scope)
			}
		}),
		"claims_supported": list(func(t *testing.T, claim string) {
			got := claimsOf(t, granted(t, a.redeem(a.code(a.idp, with(everything, url.Values{"nonce": {"n"}})), a.web.credentials())).ID)
			if claim == "sid" { // where there is a session
				got = claimsOf(t, a.tab().signsIn(a.web, nil).ID)
			}
			if claim == "idHash" { // of the clients that know it from Polis
				got = a.userinfo(granted(t, a.redeem(a.code(a.idp, polisClient(nil)), nil)).Access).json(t)
			}
			if got[claim] == nil {
				t.Errorf("%v", got)
			}
		}),
		"backchannel_logout_supported": func(t *testing.T, m string) {
			is(true)(t, m)
			address, heard := listener(t)
			c := a.newApplication(testProduct, map[string]any{"backchannelLogoutUri": address})
			tab := a.tab()
			tab.signsIn(c, nil)
			tab.signOut(t)
			if claims := claimsOf(t, hears(t, heard)); claims["sid"] == nil { // backchannel_logout_session_supported
				t.Errorf("%v", claims)
			}
		},
		"backchannel_logout_session_supported": is(true),
		"claims_parameter_supported": func(t *testing.T, m string) {
			is(true)(t, m)
			request := a.begin(with(everything, url.Values{"claims": {`{"id_token":{"acr":{"essential":true,"value":"urn:x"}}}`}}))
			refusedBack(t, a.acs(a.respond(a.idp, request, nil), request.RelayState), "unmet_authentication_requirements")
		},
		"request_parameter_supported": is(true), // see request_object_signing_alg_values_supported
		"request_uri_parameter_supported": func(t *testing.T, m string) {
			is(false)(t, m)
			refusedPage(t, a.authorize(with(everything, url.Values{"request_uri": {"https://app.example/request"}})), http.StatusBadRequest)
		},
		"authorization_response_iss_parameter_supported": func(t *testing.T, m string) {
			is(true)(t, m)
			request := a.begin(everything)
			if got := a.acs(a.respond(a.idp, request, nil), request.RelayState).location().Query().Get("iss"); got != a.URL {
				t.Errorf("iss %q", got)
			}
			if got := a.authorize(with(everything, url.Values{"prompt": {"none"}})).location().Query(); got.Get("iss") != a.URL || got.Get("error") == "" {
				t.Errorf("%v", got)
			}
		},
		"tls_client_certificate_bound_access_tokens": func(t *testing.T, m string) {
			is(true)(t, m)
			got := granted(t, a.authenticates(t, "/api/oauth/token", "self_signed_tls_client_auth", token))
			fields := a.post("/api/oauth/introspect", with(a.web.credentials(), url.Values{"token": {got.Access}})).json(t)
			if cnf, _ := fields["cnf"].(map[string]any); cnf["x5t#S256"] == nil {
				t.Errorf("%v", fields)
			}
		},
	}
	for member := range a.metadata {
		check, ok := checks[member]
		if !ok {
			t.Errorf("%s is announced, and nobody has tried it", member)
			continue
		}
		t.Run(member, func(t *testing.T) { check(t, member) })
		delete(checks, member)
	}
	for member := range checks {
		t.Errorf("%s is not announced", member)
	}
}

func TestDiscoveryIsWhereItIsLookedFor(t *testing.T) {
	p := start(t, nil)
	want := p.get("/.well-known/openid-configuration")
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/api/well-known/openid-configuration"} {
		if a := p.get(path); a.StatusCode != http.StatusOK || string(a.body) != string(want.body) || a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %s %v", path, a.Status, a.Header)
		}
	}
	for _, of := range []string{"token", "introspection", "revocation"} { // without a proxy that forwards certificates
		if methods, _ := want.json(t)[of+"_endpoint_auth_methods_supported"].([]any); len(methods) == 0 || slices.ContainsFunc(methods, func(m any) bool { return strings.Contains(m.(string), "tls") }) {
			t.Errorf("%s: %v", of, methods)
		}
	}
	below := start(t, func(c *app.Config) { c.PublicURL += "/sso" })
	if a := below.get("/.well-known/oauth-authorization-server/sso"); a.json(t)["issuer"] != below.URL+"/sso" { // RFC 8414 §3.1
		t.Errorf("%s %s", a.Status, a.body)
	}
}
