package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// startOIDC runs the program with providers on loopback allowed.
func startOIDC(t *testing.T, options ...app.Option) *program {
	t.Helper()
	return start(t, func(c *app.Config) {
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}, options...)
}

// openID starts an OpenID provider that knows alice, in the way of authentication that Polis uses.
func openID(t *testing.T, s federationtest.Script) *federationtest.OpenIDProvider {
	t.Helper()
	if s.User == nil {
		s.User = map[string]any{"sub": "alice-1", "email": "alice@acme.example", "given_name": "Alice", "family_name": "Archer",
			"roles": []string{"admin"}, "groups": []string{"eng", "ops"}}
	}
	if s.Auth == "" {
		s.Auth = "client_secret_post"
	}
	op, stop, err := federationtest.ServeOpenID(time.Now, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return op
}

// connectOIDC makes a connection over /api/v1/sso and returns its record.
func (p *program) connectOIDC(op *federationtest.OpenIDProvider, change map[string]any) map[string]any {
	p.t.Helper()
	body := map[string]any{
		"tenant": testTenant, "product": testProduct, "defaultRedirectUrl": callback, "redirectUrl": []string{callback},
		"oidcDiscoveryUrl": op.Issuer() + "/.well-known/openid-configuration", "oidcClientId": op.Script().ClientID, "oidcClientSecret": op.Script().ClientSecret,
	}
	for name, value := range change {
		if body[name] = value; value == nil {
			delete(body, name)
		}
	}
	a := p.admin(http.MethodPost, "/api/v1/sso", body)
	if a.StatusCode != http.StatusOK {
		p.t.Fatalf("connect: %s %s", a.Status, a.body)
	}
	return a.json(p.t)
}

// beginOIDC sends an authorization request and reads what the provider gets.
func (p *program) beginOIDC(op *federationtest.OpenIDProvider, q url.Values) federationtest.Authorization {
	p.t.Helper()
	a := p.get("/api/oauth/authorize?" + q.Encode())
	asked, err := op.ParseAuthorization(a.Header.Get("Location"))
	if a.StatusCode != http.StatusFound || err != nil {
		p.t.Fatalf("authorize: %s to %s: %v", a.Status, a.Header.Get("Location"), err)
	}
	return asked
}

// signInOIDC runs a login up to the answer that goes to the application.
func (p *program) signInOIDC(op *federationtest.OpenIDProvider, q url.Values) answer {
	p.t.Helper()
	asked := p.beginOIDC(op, q)
	return p.get(op.Callback(asked, op.Code(asked)))
}

// codeOIDC runs a login up to the code.
func (p *program) codeOIDC(op *federationtest.OpenIDProvider, q url.Values) string {
	p.t.Helper()
	a := p.signInOIDC(op, q)
	code := a.location().Query().Get("code")
	if code == "" {
		p.t.Fatalf("no code: %s to %s\n%s", a.Status, a.Header.Get("Location"), p.logs)
	}
	return code
}

func TestContractOIDCRequest(t *testing.T) {
	p := startOIDC(t)
	op := openID(t, federationtest.Script{})
	record := p.connectOIDC(op, nil)
	clientID, _ := record["clientID"].(string)
	asked := p.beginOIDC(op, polisClient(nil))
	t.Run("§2.2 302 to the provider's authorization endpoint with client_id, response_type, redirect_uri", func(t *testing.T) {
		if asked.ClientID != op.Script().ClientID || asked.RedirectURI != p.URL+"/api/oauth/oidc" || asked.Params.Get("response_type") != "code" {
			t.Errorf("%+v", asked)
		}
	})
	t.Run("§2.2 scope is openid email profile", func(t *testing.T) {
		if asked.Scope != "openid email profile" {
			t.Errorf("%q", asked.Scope)
		}
	})
	for given, want := range map[string]string{
		"profile api": "profile api openid email", "openid": "openid email profile", "a a": "a openid email profile",
		"openid tenant=acme.example&product=crm": "openid email profile",
	} {
		t.Run("§2.2 scope: requested first, without duplicates: "+given, func(t *testing.T) {
			if got := p.beginOIDC(op, polisClient(url.Values{"scope": {given}})).Scope; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	t.Run("§2.2 PKCE S256 always", func(t *testing.T) {
		op.Change(func(s *federationtest.Script) {
			s.Discovery = func(doc map[string]any) { delete(doc, "code_challenge_methods_supported") }
		})
		defer op.Change(func(s *federationtest.Script) { s.Discovery = nil })
		other := p.connectOIDC(openID(t, federationtest.Script{Discovery: func(doc map[string]any) { delete(doc, "code_challenge_methods_supported") }, ClientID: "no-pkce"}), map[string]any{"tenant": "no-pkce"})
		a := p.authorize(url.Values{"client_id": {other["clientID"].(string)}, "redirect_uri": {callback}, "state": {"s"}})
		if q := a.location().Query(); len(asked.Challenge) != 43 || len(q.Get("code_challenge")) != 43 || q.Get("code_challenge_method") != "S256" {
			t.Errorf("%+v, %v", asked, q)
		}
	})
	t.Run("§2.2 state is the RelayState: a prefix and 16 bytes in hexadecimal", func(t *testing.T) {
		if !regexp.MustCompile(`^boxyhq_jackson_[0-9a-f]{32}$`).MatchString(asked.State) {
			t.Errorf("%q", asked.State)
		}
	})
	t.Run("§2.2 state, nonce and challenge are new for each login", func(t *testing.T) {
		again := p.beginOIDC(op, polisClient(nil))
		if again.State == asked.State || again.Nonce == asked.Nonce || again.Challenge == asked.Challenge || len(again.Nonce) < 43 {
			t.Errorf("%+v, %+v", asked, again)
		}
	})
	t.Run("§2.2 login_hint if given", func(t *testing.T) {
		with := p.beginOIDC(op, polisClient(url.Values{"login_hint": {"a+b@acme.example"}}))
		if with.Params.Get("login_hint") != "a+b@acme.example" || asked.Params.Has("login_hint") {
			t.Errorf("%v, %v", with.Params, asked.Params)
		}
	})
	t.Run("§2.2, of the parameters that Polis forwards where it is configured: prompt, max_age and acr_values always", func(t *testing.T) {
		with := p.beginOIDC(op, polisClient(url.Values{"prompt": {"consent"}, "max_age": {"60"}, "acr_values": {"a b"}, "provider": {"x"}, "response_mode": {"fragment"}})).Params
		if with.Get("prompt") != "consent" || with.Get("max_age") != "60" || with.Get("acr_values") != "a b" || with.Has("provider") || with.Has("response_mode") {
			t.Errorf("%v", with)
		}
	})
	t.Run("§2.1 forceAuthn asks for a new sign-in", func(t *testing.T) {
		if got := p.beginOIDC(op, polisClient(url.Values{"forceAuthn": {"true"}})).Params; got.Get("prompt") != "login" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§2.2, not as Polis (§11.3 33): discovery is remembered", func(t *testing.T) {
		if n := op.Served("/.well-known/openid-configuration"); n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
	t.Run("§2.2 http issuers only for localhost", func(t *testing.T) {
		p.admin(http.MethodPost, "/api/v1/sso", map[string]any{"tenant": "t", "product": "p", "defaultRedirectUrl": callback, "redirectUrl": callback,
			"oidcDiscoveryUrl": "http://op.example/", "oidcClientId": "c", "oidcClientSecret": "s"}).refused(t, 400, "The discovery URL is not valid: give an https URL, or one of localhost.")
	})
	t.Run("§2.2 client authentication is client_secret_post", func(t *testing.T) {
		p.codeOIDC(op, polisClient(nil))
		last := op.TokenRequests()[len(op.TokenRequests())-1]
		if last.Form.Get("client_secret") != op.Script().ClientSecret || last.Form.Get("client_id") != op.Script().ClientID || last.Authorization != "" {
			t.Errorf("%+v", last)
		}
	})
	dead := openID(t, federationtest.Script{ClientID: "dead"})
	p.connectOIDC(dead, map[string]any{"tenant": "dead"})
	dead.Change(func(s *federationtest.Script) {
		s.Intercept = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusNotFound); return true }
	})
	t.Run("§2.1 redirected: server_error where discovery fails", func(t *testing.T) {
		p.authorize(polisClient(url.Values{"client_id": {"tenant=dead&product=" + testProduct}})).atApplication(t, url.Values{"error": {"server_error"},
			"error_description": {"The identity provider's discovery document cannot be used."}, "state": {"the-state"}})
	})
	t.Run("§2.1, not as Polis: temporarily_unavailable where the provider does not answer", func(t *testing.T) {
		gone := openID(t, federationtest.Script{ClientID: "gone"})
		p.connectOIDC(gone, map[string]any{"tenant": "gone"})
		gone.Change(func(s *federationtest.Script) {
			s.Intercept = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
		})
		p.authorize(polisClient(url.Values{"client_id": {"tenant=gone&product=" + testProduct}})).atApplication(t, url.Values{"error": {"temporarily_unavailable"},
			"error_description": {"The identity provider does not answer. Try again in a moment."}, "state": {"the-state"}})
	})
	t.Run("§2.3 the chooser lists both kinds", func(t *testing.T) {
		saml := p.connect(newIdP(t, "https://idp.example/one"), map[string]any{"name": "By SAML"})
		p.admin(http.MethodPatch, "/api/v1/sso", map[string]any{"clientID": clientID, "clientSecret": record["clientSecret"], "isOIDC": true, "name": "By OIDC", "sortOrder": 5}).empty(t, 204)
		a := p.authorize(polisClient(nil))
		page := string(p.get(a.Header.Get("Location")).body)
		first, second := strings.Index(page, "By OIDC"), strings.Index(page, "By SAML")
		if a.location().Path != "/idp/select" || first < 0 || second < first {
			t.Errorf("%s: %s", a.Header.Get("Location"), page)
		}
		p.beginOIDC(op, polisClient(url.Values{"idp_hint": {clientID}}))
		p.authorize(polisClient(url.Values{"idp_hint": {saml["clientID"].(string)}})).atProvider(t)
	})
}

func TestContractOIDCCallback(t *testing.T) {
	p := startOIDC(t)
	op := openID(t, federationtest.Script{})
	record := p.connectOIDC(op, nil)
	at := func(q url.Values) answer { return p.get("/api/oauth/oidc?" + q.Encode()) }
	back := func(change url.Values) url.Values { // what every redirect to the application holds
		change.Set("state", "the-state")
		return change
	}
	t.Run("§2.5 GET alone", func(t *testing.T) {
		asked := p.beginOIDC(op, polisClient(nil))
		query := "?" + url.Values{"code": {op.Code(asked)}, "state": {asked.State}}.Encode()
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodHead} {
			p.do(p.request(method, "/api/oauth/oidc"+query, nil)).onErrorPage(t, 405, "Method "+method+" not allowed.")
		}
		if a := p.get("/api/oauth/oidc" + query); a.location().Query().Get("code") == "" {
			t.Errorf("%s: the login is used up", a.Header.Get("Location"))
		}
	})
	t.Run("§2.5 no state", func(t *testing.T) {
		at(url.Values{"code": {"c"}}).onErrorPage(t, 403, "State from original request is missing.")
	})
	t.Run("§2.5 unknown state", func(t *testing.T) {
		for _, state := range []string{"x", "boxyhq_jackson_0123456789abcdef0123456789abcdef"} {
			at(url.Values{"code": {"c"}, "state": {state}}).onErrorPage(t, 403, "Unable to validate state from the original request.")
		}
	})
	t.Run("§2.5 connection gone", func(t *testing.T) {
		other := p.connectOIDC(op, map[string]any{"tenant": "gone"})
		asked := p.beginOIDC(op, polisClient(url.Values{"client_id": {other["clientID"].(string)}}))
		p.admin(http.MethodDelete, "/api/v1/sso?clientID="+other["clientID"].(string)+"&clientSecret="+other["clientSecret"].(string), nil).empty(t, 204)
		p.get(op.Callback(asked, op.Code(asked))).onErrorPage(t, 403, generic)
	})
	t.Run("§2.5 connection deactivated", func(t *testing.T) {
		other := p.connectOIDC(op, map[string]any{"tenant": "off"})
		asked := p.beginOIDC(op, polisClient(url.Values{"client_id": {other["clientID"].(string)}}))
		p.admin(http.MethodPatch, "/api/v1/sso", map[string]any{"clientID": other["clientID"], "clientSecret": other["clientSecret"], "isOIDC": true, "deactivated": true}).empty(t, 204)
		p.get(op.Callback(asked, op.Code(asked))).onErrorPage(t, 403, generic)
	})
	t.Run("§2.5 redirect_uri no longer allowed", func(t *testing.T) {
		other := p.connectOIDC(op, map[string]any{"tenant": "moved"})
		asked := p.beginOIDC(op, polisClient(url.Values{"client_id": {other["clientID"].(string)}}))
		p.admin(http.MethodPatch, "/api/v1/sso", map[string]any{"clientID": other["clientID"], "clientSecret": other["clientSecret"], "isOIDC": true, "redirectUrl": "https://else.example/"}).empty(t, 204)
		p.get(op.Callback(asked, op.Code(asked))).onErrorPage(t, 403, "Redirect URL is not allowed.")
	})
	for _, c := range []struct {
		name  string
		given url.Values
		want  url.Values
	}{
		{"with its code and description", url.Values{"error": {"access_denied"}, "error_description": {"Not today."}}, url.Values{"error": {"access_denied"}, "error_description": {"Not today."}}},
		{"without description", url.Values{"error": {"login_required"}}, url.Values{"error": {"login_required"}, "error_description": {"Authorization failed at the OIDC provider"}}},
		{"of a code that is none", url.Values{"error": {"<script>"}}, url.Values{"error": {"server_error"}, "error_description": {"Authorization failed at the OIDC provider"}}},
		{"beside a code", url.Values{"error": {"access_denied"}, "code": {"c"}}, url.Values{"error": {"access_denied"}, "error_description": {"Authorization failed at the OIDC provider"}}},
	} {
		t.Run("§2.5 the provider's error "+c.name+" goes to the client", func(t *testing.T) {
			q := url.Values{"state": {p.beginOIDC(op, polisClient(nil)).State}}
			for name, values := range c.given {
				q[name] = values
			}
			before := op.Served("/token")
			at(q).atApplication(t, back(c.want))
			if op.Served("/token") != before {
				t.Error("a code was exchanged")
			}
		})
	}
	t.Run("§2.5 the token endpoint's error goes to the client", func(t *testing.T) {
		asked := p.beginOIDC(op, polisClient(nil))
		p.get(op.Callback(asked, "unknown")).atApplication(t, back(url.Values{"error": {"invalid_grant"}, "error_description": {"This code cannot be redeemed so."}}))
	})
	t.Run("§2.5 neither code nor error", func(t *testing.T) {
		at(url.Values{"state": {p.beginOIDC(op, polisClient(nil)).State}}).atApplication(t, back(url.Values{"error": {"server_error"}, "error_description": {"The identity provider's answer could not be read."}}))
	})
	for name, c := range map[string]struct {
		change  func(*federationtest.Script)
		message string
	}{
		"nonce is checked":          {func(s *federationtest.Script) { s.IDToken = func(_, c map[string]any) { c["nonce"] = "x" } }, "The id token belongs to another sign-in. Start again from the application."},
		"an id token is required":   {func(s *federationtest.Script) { s.Token = func(a map[string]any) { delete(a, "id_token") } }, "The identity provider's answer could not be read."},
		"userinfo's subject is too": {func(s *federationtest.Script) { s.Userinfo = map[string]any{"sub": "mallory"} }, "The identity provider did not say clearly who signed in."},
		"userinfo is always called": {func(s *federationtest.Script) {
			s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/userinfo" {
					w.WriteHeader(http.StatusForbidden)
				}
				return r.URL.Path == "/userinfo"
			}
		}, "The identity provider's userinfo endpoint refused its own token."},
	} {
		t.Run("§2.5 "+name, func(t *testing.T) {
			before := op.Script()
			defer op.Change(func(s *federationtest.Script) { *s = before })
			op.Change(c.change)
			p.signInOIDC(op, polisClient(nil)).atApplication(t, back(url.Values{"error": {"server_error"}, "error_description": {c.message}}))
		})
	}
	t.Run("§2.5 PKCE: the code is exchanged with this login's verifier", func(t *testing.T) {
		one, two := p.beginOIDC(op, polisClient(nil)), p.beginOIDC(op, polisClient(nil))
		p.get(op.Callback(two, op.Code(one))).atApplication(t, back(url.Values{"error": {"invalid_grant"}, "error_description": {"This code cannot be redeemed so."}}))
	})
	t.Run("§2.5, not as Polis: an answer uses the login up, whatever comes of it", func(t *testing.T) {
		asked := p.beginOIDC(op, polisClient(nil))
		at(url.Values{"error": {"access_denied"}, "state": {asked.State}})
		p.get(op.Callback(asked, op.Code(asked))).onErrorPage(t, 403, "Unable to validate state from the original request.")
	})
	t.Run("§2.4 9: success is code and state, and no session is left", func(t *testing.T) {
		asked := p.beginOIDC(op, polisClient(nil))
		address := op.Callback(asked, op.Code(asked))
		a := p.get(address)
		to := a.location().Query()
		if a.StatusCode != 302 || len(to) != 2 || to.Get("code") == "" || to.Get("state") != "the-state" {
			t.Errorf("%s %s", a.Status, a.Header.Get("Location"))
		}
		p.get(address).onErrorPage(t, 403, "Unable to validate state from the original request.")
	})
	t.Run("§2.4 9: without state in the request there is none in the answer", func(t *testing.T) {
		web := p.newApplication(testProduct, nil)
		q := url.Values{"client_id": {web.id}, "response_type": {"code"}, "redirect_uri": {callback}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}, "connection": {record["clientID"].(string)}}
		if to := p.signInOIDC(op, q).location().Query(); len(to) != 2 || to.Get("code") == "" || to.Get("iss") != p.URL {
			t.Errorf("%v", to)
		}
	})
}

func TestContractOIDCProfile(t *testing.T) {
	p := startOIDC(t)
	op := openID(t, federationtest.Script{})
	record := p.connectOIDC(op, nil)
	profile := func(t *testing.T, q url.Values) map[string]any {
		t.Helper()
		tokens := p.redeem(p.codeOIDC(op, polisClient(q)), nil).json(t)
		token, _ := tokens["access_token"].(string)
		return p.userinfo(token).json(t)
	}
	t.Run("§2.5 id, email, firstName, lastName, roles, groups", func(t *testing.T) {
		got := profile(t, nil)
		for name, want := range map[string]any{"id": "alice-1", "email": "alice@acme.example", "firstName": "Alice", "lastName": "Archer",
			"roles": []any{"admin"}, "groups": []any{"eng", "ops"}} {
			if !reflect.DeepEqual(got[name], want) {
				t.Errorf("%s: %v, want %v", name, got[name], want)
			}
		}
		if got["idHash"] != nil { // §2.7: it exists for SAML alone
			t.Errorf("idHash %v", got["idHash"])
		}
	})
	t.Run("§2.5 from the id token when strings, else from userinfo", func(t *testing.T) {
		op.Change(func(s *federationtest.Script) {
			s.User = map[string]any{"sub": "alice-1", "email": "token@acme.example", "given_name": 7, "roles": []string{"of the token"}}
			s.Userinfo = map[string]any{"sub": "alice-1", "email": "info@acme.example", "given_name": "Info", "family_name": "Archer",
				"roles": []string{"of userinfo"}, "groups": "one", "picture": "https://p.example"}
		})
		got := profile(t, nil)
		for name, want := range map[string]any{"email": "token@acme.example", "firstName": "Info", "lastName": "Archer",
			"roles": []any{"of the token"}, "groups": []any{"one"}} {
			if !reflect.DeepEqual(got[name], want) {
				t.Errorf("%s: %v, want %v", name, got[name], want)
			}
		}
	})
	t.Run("§2.5 raw is the id token's claims overlaid by userinfo", func(t *testing.T) {
		raw, _ := profile(t, nil)["raw"].(map[string]any)
		for name, want := range map[string]any{"iss": op.Issuer(), "aud": op.Script().ClientID, "email": "info@acme.example", "given_name": "Info", "picture": "https://p.example",
			"roles": []any{"of userinfo"}} {
			if !reflect.DeepEqual(raw[name], want) {
				t.Errorf("%s: %v, want %v", name, raw[name], want)
			}
		}
		if raw["exp"] == nil || raw["nonce"] == nil {
			t.Errorf("%v", raw)
		}
	})
	t.Run("§2.7 requested.protocol is oidc", func(t *testing.T) {
		requested, _ := profile(t, url.Values{"scope": {"openid"}, "nonce": {"n"}})["requested"].(map[string]any)
		for name, want := range map[string]any{"protocol": "oidc", "login_type": "sp-initiated", "providerName": "127.0.0.1", "tenant": testTenant, "product": testProduct,
			"oidc": true, "nonce": "n", "client_id": encodedClient} {
			if !reflect.DeepEqual(requested[name], want) {
				t.Errorf("%s: %v, want %v", name, requested[name], want)
			}
		}
	})
	t.Run("§2.6 the id token has the claims of the profile", func(t *testing.T) {
		tokens := p.redeem(p.codeOIDC(op, polisClient(url.Values{"scope": {"openid"}})), nil).json(t)
		claims := claimsOf(t, tokens["id_token"])
		if claims["sub"] != "alice-1" || claims["id"] != "alice-1" || claims["email"] != "token@acme.example" || claims["iss"] != p.URL {
			t.Errorf("%v", claims)
		}
	})
	t.Run("§2.5 metadata in place of discovery", func(t *testing.T) {
		fields := map[string]any{}
		for name, path := range map[string]string{"issuer": "", "authorization_endpoint": "/authorize", "token_endpoint": "/token", "userinfo_endpoint": "/userinfo", "jwks_uri": "/jwks"} {
			fields[name] = op.Issuer() + path
		}
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		before := op.Served("/.well-known/openid-configuration")
		p.connectOIDC(op, map[string]any{"tenant": "explicit", "oidcDiscoveryUrl": nil, "oidcMetadata": string(text)})
		p.codeOIDC(op, polisClient(url.Values{"client_id": {"tenant=explicit&product=" + testProduct}}))
		if op.Served("/.well-known/openid-configuration") != before {
			t.Error("the discovery document was read")
		}
	})
	t.Run("§1.1 PATCH of the secret and the discovery URL is for the next login", func(t *testing.T) {
		next := openID(t, federationtest.Script{ClientID: op.Script().ClientID, ClientSecret: "another secret at another provider"})
		p.admin(http.MethodPatch, "/api/v1/sso", map[string]any{"clientID": record["clientID"], "clientSecret": record["clientSecret"],
			"oidcDiscoveryUrl": next.Issuer(), "oidcClientSecret": "another secret at another provider"}).empty(t, 204)
		p.codeOIDC(next, polisClient(nil))
	})
}

// One response is taken once, also where several instances of a browser post it at the same time.
func TestOIDCAnswersAreTakenOnce(t *testing.T) {
	p := startOIDC(t)
	op := openID(t, federationtest.Script{})
	p.connectOIDC(op, nil)
	asked := p.beginOIDC(op, polisClient(nil))
	codes := make([]string, 8)
	for i := range codes {
		codes[i] = op.Code(asked)
	}
	var all sync.WaitGroup
	outcomes := make([]string, len(codes))
	for i, code := range codes {
		all.Go(func() {
			r := p.request(http.MethodGet, op.Callback(asked, code), nil)
			response, err := p.http.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
			outcomes[i] = response.Header.Get("Location")
		})
	}
	all.Wait()
	slices.Sort(outcomes)
	taken := 0
	for _, to := range outcomes {
		if strings.HasPrefix(to, callback+"?code=") {
			taken++
		} else if to != "/error" {
			t.Errorf("an answer went to %q", to)
		}
	}
	if taken != 1 || op.Served("/token") != 1 {
		t.Errorf("%d answers were taken, %d codes were exchanged: %q", taken, op.Served("/token"), outcomes)
	}
}

// claimsOf reads a JWT without verifying it.
func claimsOf(t *testing.T, token any) map[string]any {
	t.Helper()
	text, _ := token.(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %v", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatalf("no JWT: %s", payload)
	}
	return claims
}
