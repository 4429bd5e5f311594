package e2e

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
	"github.com/portico-sso/portico/ports/store/seal"
)

// federation is a program with an application whose people sign in at OpenID providers, over connections of GraphQL.
type federation struct {
	*program
	web            client
	organizationID string
}

func newFederation(t *testing.T, options ...app.Option) *federation {
	t.Helper()
	f := &federation{program: startOIDC(t, options...)}
	project := f.mutate("createProject", "CreateProjectInput", "project {id}", map[string]any{"slug": testProduct})
	id, _ := project["project"].(map[string]any)["id"].(string)
	f.organizationID = f.organization(id, testTenant)
	f.web = f.newApplication(testProduct, nil)
	return f
}

func (f *federation) organization(projectID, slug string) string {
	f.t.Helper()
	made := f.mutate("createOrganization", "CreateOrganizationInput", "organization {id}", map[string]any{"projectId": projectID, "slug": slug})
	return made["organization"].(map[string]any)["id"].(string)
}

// connection is a connection to an OpenID provider.
type connection struct{ id, clientID, callback string }

// join makes a connection of the organization to a provider.
func (f *federation) join(op *federationtest.OpenIDProvider, change map[string]any) connection {
	f.t.Helper()
	in := map[string]any{"discoveryUrl": op.Issuer(), "clientId": op.Script().ClientID, "clientSecret": op.Script().ClientSecret, "clientAuth": "CLIENT_SECRET_POST"}
	for name, value := range change {
		if in[name] = value; value == nil {
			delete(in, name)
		}
	}
	made := f.mutate("createConnection", "CreateConnectionInput", "connection {id clientId oidc {callbackUrl}}",
		map[string]any{"organizationId": f.organizationID, "oidc": in})["connection"].(map[string]any)
	return connection{made["id"].(string), made["clientId"].(string), made["oidc"].(map[string]any)["callbackUrl"].(string)}
}

// asks is the application's authorization request at a connection.
func (f *federation) asks(c connection, change url.Values) url.Values {
	return with(f.web.asks(url.Values{"connection": {c.id}}), change)
}

// failed checks that an answer tells the application of an error, and that alone.
func (f *federation) failed(what string, a answer, code string) {
	f.t.Helper()
	to := a.location()
	q := to.Query()
	to.RawQuery = ""
	if a.StatusCode != http.StatusFound || to.String() != callback || q.Get("error") != code || q.Get("error_description") == "" || q.Get("state") != "the-state" || q.Has("code") {
		f.t.Errorf("%s: %s to %s, want %s", what, a.Status, a.Header.Get("Location"), code)
	}
}

// person redeems a code of the application and gives the claims of its id token.
func (f *federation) person(code string) map[string]any {
	f.t.Helper()
	a := f.redeem(code, f.web.credentials())
	if a.StatusCode != http.StatusOK {
		f.t.Fatalf("token: %s %s", a.Status, a.body)
	}
	return claimsOf(f.t, a.json(f.t)["id_token"])
}

func TestOIDCLogin(t *testing.T) {
	f := newFederation(t)
	op := openID(t, federationtest.Script{AuthTime: time.Now().Add(-time.Minute)})
	c := f.join(op, nil)
	asked := f.beginOIDC(op, f.asks(c, nil))
	if want := f.URL + "/self-service/methods/oidc/organization/" + f.organizationID + "/callback/" + c.id; asked.RedirectURI != want || c.callback != want {
		t.Errorf("the callback is %s and shown as %s, want %s", asked.RedirectURI, c.callback, want)
	}
	if asked.Scope != "openid email profile" {
		t.Errorf("scope %q: an application's own is not the provider's", asked.Scope)
	}
	first := f.person(f.codeOIDC(op, f.asks(c, nil)))
	again := f.person(f.codeOIDC(op, f.asks(c, nil)))
	if len(first["sub"].(string)) != 36 || again["sub"] != first["sub"] || first["email"] != "alice@acme.example" || first["given_name"] != "Alice" || first["auth_time"] == nil {
		t.Errorf("%v, %v", first, again)
	}
	second := f.join(openID(t, federationtest.Script{}), nil)
	other := openID(t, federationtest.Script{ClientID: "other"})
	third := f.join(other, nil)
	if id := f.person(f.codeOIDC(other, f.asks(third, nil)))["sub"]; id == first["sub"] {
		t.Error("the same subject at another provider is the same person")
	}
	if second.id == third.id || second.clientID == third.clientID {
		t.Errorf("%+v, %+v", second, third)
	}
	op.Change(func(s *federationtest.Script) {
		s.User = map[string]any{"sub": "alice-1", "email": "moved@acme.example"}
	})
	if moved := f.person(f.codeOIDC(op, f.asks(c, nil))); moved["sub"] != first["sub"] || moved["email"] != "moved@acme.example" {
		t.Errorf("%v", moved)
	}
}

// What an application asks for reaches the provider, and the answer has to keep to it.
func TestOIDCAsksOfTheProvider(t *testing.T) {
	f := newFederation(t)
	op := openID(t, federationtest.Script{})
	c := f.join(op, map[string]any{"scopes": []string{"profile", "groups"}, "parameters": []map[string]string{{"name": "hd", "value": "acme.example"}, {"name": "prompt", "value": "select_account"}}})
	asked := f.beginOIDC(op, f.asks(c, url.Values{"login_hint": {"a@b.example"}, "acr_values": {"x y"}, "max_age": {"60"}, "scope": {"openid offline_access"}})).Params
	for name, want := range map[string]string{"login_hint": "a@b.example", "acr_values": "x y", "max_age": "60", "hd": "acme.example", "prompt": "select_account", "scope": "profile groups openid"} {
		if asked.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, asked.Get(name), want)
		}
	}
	if got := f.beginOIDC(op, f.asks(c, url.Values{"prompt": {"login"}})).Params.Get("prompt"); got != "login" {
		t.Errorf("prompt %q", got)
	}
	f.failed("no auth_time", f.signInOIDC(op, f.asks(c, url.Values{"max_age": {"60"}})), "server_error")
	op.Change(func(s *federationtest.Script) { s.AuthTime = time.Now().Add(-10 * time.Minute) })
	f.failed("auth_time long ago", f.signInOIDC(op, f.asks(c, url.Values{"max_age": {"60"}})), "server_error")
	f.codeOIDC(op, f.asks(c, nil))
	op.Change(func(s *federationtest.Script) { s.AuthTime = time.Now() })
	f.codeOIDC(op, f.asks(c, url.Values{"max_age": {"60"}}))
	for name, value := range map[string]string{"max_age": "-1", "prompt": "a\nb", "acr_values": strings.Repeat("a", 1025)} {
		f.failed(name, f.authorize(f.asks(c, url.Values{name: {value}})), "invalid_request")
	}
	for _, value := range []string{"x", "1.5", "99999999999999999999"} {
		f.failed("max_age "+value, f.authorize(f.asks(c, url.Values{"max_age": {value}})), "invalid_request")
	}
}

func TestOIDCClientAuthentication(t *testing.T) {
	f := newFederation(t)
	for _, auth := range []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"} {
		op := openID(t, federationtest.Script{Auth: auth, ClientID: "by " + auth, ClientKey: f.clientKey()})
		c := f.join(op, map[string]any{"clientAuth": strings.ToUpper(auth)})
		f.codeOIDC(op, f.asks(c, nil))
		if auth == "private_key_jwt" {
			if last := op.TokenRequests()[0]; last.Assertion["aud"] != op.Issuer() {
				t.Errorf("%+v", last)
			}
		}
	}
	for announced, secret := range map[string]string{"client_secret_basic": "s", "client_secret_post": "s", "none": ""} { // AUTO
		op := openID(t, federationtest.Script{Auth: announced, ClientID: "auto " + announced, ClientSecret: "s"})
		f.codeOIDC(op, f.asks(f.join(op, map[string]any{"clientAuth": nil, "clientSecret": secret}), nil))
	}
}

// clientKey is our published key, of which a provider knows the address alone.
func (f *federation) clientKey() *rsa.PublicKey {
	f.t.Helper()
	var set struct {
		Keys []struct{ Kty, Use, Alg, Kid, N, E string }
	}
	a := f.get("/oauth/client-jwks")
	if err := json.Unmarshal(a.body, &set); err != nil || len(set.Keys) != 1 || set.Keys[0].Kty != "RSA" || set.Keys[0].Alg != "RS256" || set.Keys[0].Kid == "" {
		f.t.Fatalf("%s %s", a.Status, a.body)
	}
	n, err1 := base64.RawURLEncoding.DecodeString(set.Keys[0].N)
	e, err2 := base64.RawURLEncoding.DecodeString(set.Keys[0].E)
	if err1 != nil || err2 != nil || strings.Contains(string(a.body), `"d"`) {
		f.t.Fatalf("%s", a.body)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
}

func TestOIDCPKCEModes(t *testing.T) {
	f := newFederation(t)
	silent := func(doc map[string]any) { delete(doc, "code_challenge_methods_supported") }
	for _, mode := range []struct {
		pkce      string
		discovery func(map[string]any)
		used      bool
	}{{"AUTO", nil, true}, {"AUTO", silent, false}, {"FORCE", silent, true}, {"NEVER", nil, false}} {
		op := openID(t, federationtest.Script{Discovery: mode.discovery})
		c := f.join(op, map[string]any{"pkce": mode.pkce})
		asked := f.beginOIDC(op, f.asks(c, nil))
		if (asked.Challenge != "") != mode.used || (mode.pkce == "FORCE") != (asked.RedirectURI == f.URL+"/self-service/methods/oidc/callback") || asked.RedirectURI != c.callback {
			t.Errorf("%s: %+v", mode.pkce, asked)
		}
		f.codeOIDC(op, f.asks(c, nil))
	}
}

// Every one of these answers is refused. Where the login is known to be the application's it is told, and it gets no code;
// where the answer may be another login's, nobody is told but the person.
func TestOIDCAttacks(t *testing.T) {
	f := newFederation(t)
	op := openID(t, federationtest.Script{ClientSecret: "a-secret-of-more-than-thirty-two-bytes"})
	c := f.join(op, nil)
	own, shared := f.join(openID(t, federationtest.Script{}), nil), f.join(openID(t, federationtest.Script{}), map[string]any{"pkce": "FORCE"})
	polis := f.connectOIDC(openID(t, federationtest.Script{ClientID: "polis"}), nil)
	idp := newIdP(t, "https://idp.example/one")
	f.connect(idp, map[string]any{"tenant": "saml"})
	const refusedState = "Unable to validate state from the original request."

	t.Run("state of another connection, callback of another connection", func(t *testing.T) {
		asked := f.beginOIDC(op, f.asks(c, nil))
		for _, elsewhere := range []string{own.callback, shared.callback, f.URL + "/api/oauth/oidc",
			strings.Replace(c.callback, f.organizationID, "0190a8a0-0000-7000-8000-000000000000", 1), c.callback + "/"} {
			moved := asked
			moved.RedirectURI = elsewhere
			a := f.get(op.Callback(moved, op.Code(asked)))
			if a.StatusCode == http.StatusNotFound {
				continue
			}
			a.onErrorPage(t, 403, generic)
		}
		if a := f.get(op.Callback(asked, op.Code(asked))); a.location().Query().Get("code") == "" {
			t.Errorf("the login itself: %s", a.Header.Get("Location"))
		}
	})
	t.Run("an answer to a connection of Polis at a connection's own callback", func(t *testing.T) {
		a := f.authorize(url.Values{"client_id": {polis["clientID"].(string)}, "redirect_uri": {callback}, "state": {"s"}})
		q := url.Values{"code": {"c"}, "state": {a.location().Query().Get("state")}}
		f.get(strings.TrimPrefix(c.callback, f.URL)+"?"+q.Encode()).onErrorPage(t, 403, generic)
	})
	t.Run("a state without login", func(t *testing.T) {
		f.get(strings.TrimPrefix(c.callback, f.URL)+"?code=c&state=boxyhq_jackson_00000000000000000000000000000000").onErrorPage(t, 403, refusedState)
	})
	t.Run("a SAML response in place of a code, and a code in place of a SAML response", func(t *testing.T) {
		asked := f.beginOIDC(op, f.asks(c, nil))
		request := f.begin(polisClient(url.Values{"client_id": {"tenant=saml&product=" + testProduct}}))
		f.acs(f.respond(idp, request, nil), asked.State).onErrorPage(t, 403, "Unable to validate state from the origin request.")
		f.get(strings.TrimPrefix(c.callback, f.URL)+"?"+url.Values{"code": {"c"}, "state": {request.RelayState}}.Encode()).onErrorPage(t, 403, refusedState)
	})
	t.Run("parameter pollution", func(t *testing.T) {
		asked := f.beginOIDC(op, f.asks(c, nil))
		for _, name := range []string{"state", "code", "iss", "error"} {
			f.get(op.Callback(asked, op.Code(asked))+"&"+name+"=a&"+name+"=b").onErrorPage(t, 400, "The parameter "+name+" is given more than once.")
		}
		f.get(op.Callback(asked, "c")+"&%zz").onErrorPage(t, 400, "The query of the request cannot be read.")
	})
	t.Run("code injection: a code of somebody else's login", func(t *testing.T) {
		victim, attacker := f.beginOIDC(op, f.asks(c, nil)), f.beginOIDC(op, f.asks(c, nil))
		f.failed("with PKCE", f.get(op.Callback(attacker, op.Code(victim))), "invalid_grant")
		plain := openID(t, federationtest.Script{Discovery: func(doc map[string]any) { delete(doc, "code_challenge_methods_supported") }})
		without := f.join(plain, nil)
		victim, attacker = f.beginOIDC(plain, f.asks(without, nil)), f.beginOIDC(plain, f.asks(without, nil))
		f.failed("by nonce alone", f.get(plain.Callback(attacker, plain.Code(victim))), "server_error")
	})
	t.Run("the provider of a connection is exchanged while somebody signs in", func(t *testing.T) {
		first, evil := openID(t, federationtest.Script{ClientID: "exchanged"}), openID(t, federationtest.Script{ClientID: "exchanged"})
		record := f.connectOIDC(first, map[string]any{"tenant": "exchanged"})
		asked := f.beginOIDC(first, url.Values{"client_id": {record["clientID"].(string)}, "redirect_uri": {callback}, "state": {"the-state"}})
		f.admin(http.MethodPatch, "/api/v1/sso", map[string]any{"clientID": record["clientID"], "clientSecret": record["clientSecret"], "oidcDiscoveryUrl": evil.Issuer()}).empty(t, 204)
		f.failed("the code is not for the new one", f.get(first.Callback(asked, first.Code(asked))), "server_error")
		if evil.Served("/token") != 0 {
			t.Error("the code went to the new provider")
		}
	})
	t.Run("whoever the provider does not name as one of the organization", func(t *testing.T) {
		picky := openID(t, federationtest.Script{})
		c := f.join(picky, map[string]any{"requiredClaims": []map[string]any{{"name": "hd", "values": []string{"acme.example", "b.example"}}}})
		for value, allowed := range map[any]bool{nil: false, "evil.example": false, "acme.example": true, true: false} {
			picky.Change(func(s *federationtest.Script) { s.User = map[string]any{"sub": "bob", "hd": value} })
			a := f.signInOIDC(picky, f.asks(c, nil))
			if allowed != (a.location().Query().Get("code") != "") {
				t.Errorf("%v: %s", value, a.Header.Get("Location"))
			}
			if !allowed {
				f.failed("hd", a, "access_denied")
			}
		}
	})
	t.Run("a provider inside", func(t *testing.T) {
		guarded := start(t, nil)
		inside := openID(t, federationtest.Script{})
		guarded.connectOIDC(inside, nil)
		guarded.authorize(polisClient(nil)).atApplication(t, url.Values{"error": {"server_error"}, "state": {"the-state"},
			"error_description": {"The identity provider has an address that is not allowed."}})
		if inside.Served("/.well-known/openid-configuration") != 0 {
			t.Error("it was reached")
		}
	})
	t.Run("what was said stays out of the log", func(t *testing.T) {
		asked := f.beginOIDC(op, f.asks(c, nil))
		code := op.Code(asked)
		f.get(op.Callback(asked, code))
		requests := op.TokenRequests()
		last := requests[len(requests)-1].Form
		for what, secret := range map[string]string{"code": code, "verifier": last.Get("code_verifier"), "client secret": op.Script().ClientSecret, "state": asked.State,
			"nonce": asked.Nonce, "e-mail address": "alice@acme.example"} {
			if secret == "" || strings.Contains(f.logs.String(), secret) {
				t.Errorf("the log holds the %s %q", what, secret)
			}
		}
	})
}

func idTokenClaim(name string, value any) func(*federationtest.Script) {
	return func(s *federationtest.Script) { s.IDToken = func(_, c map[string]any) { c[name] = value } }
}

// Mix-up (RFC 9700 §4.4): an answer names its issuer, where its provider announces that, and it is that of the provider
// that was asked; it must not name another one in any case (RFC 9207 §2.4).
func TestOIDCMixUp(t *testing.T) {
	f := newFederation(t)
	for _, pkce := range []string{"AUTO", "FORCE"} {
		for _, c := range []struct {
			name      string
			announces bool
			iss       string // "-" is the provider's own, "" none
			accepted  bool
		}{
			{"announced and right", true, "-", true}, {"announced and wrong", true, "https://honest.example", false}, {"announced and missing", true, "", false},
			{"not announced and missing", false, "", true}, {"not announced and right", false, "-", true}, {"not announced and wrong", false, "https://honest.example", false},
		} {
			op := openID(t, federationtest.Script{NameIss: c.announces})
			joined := f.join(op, map[string]any{"pkce": pkce})
			for _, refusal := range []bool{false, true} {
				asked := f.beginOIDC(op, f.asks(joined, nil))
				q := url.Values{"state": {asked.State}, "code": {op.Code(asked)}}
				if refusal {
					q = url.Values{"state": {asked.State}, "error": {"access_denied"}}
				}
				switch c.iss {
				case "":
				case "-":
					q.Set("iss", op.Issuer())
				default:
					q.Set("iss", c.iss)
				}
				a := f.get(asked.RedirectURI + "?" + q.Encode())
				switch {
				case !c.accepted:
					f.failed(c.name, a, "server_error")
				case refusal:
					f.failed(c.name, a, "access_denied")
				case a.location().Query().Get("code") == "":
					t.Errorf("%s: %s", c.name, a.Header.Get("Location"))
				}
			}
			if !c.accepted && op.Served("/token") != 0 {
				t.Errorf("%s: the code was sent on", c.name)
			}
		}
	}
}

// HMAC for a connection that says so, and then nothing else.
func TestOIDCHMAC(t *testing.T) {
	f := newFederation(t)
	const secret = "a-client-secret-of-thirty-two-bytes-and-more"
	op := openID(t, federationtest.Script{ClientSecret: secret, Key: federationtest.SigningKey{Alg: "HS256", MAC: []byte(secret)}, Keys: []federationtest.JWK{}})
	c := f.join(op, map[string]any{"hmac": true})
	f.codeOIDC(op, f.asks(c, nil))
	op.Change(func(s *federationtest.Script) { s.Key, _ = federationtest.NewSigningKey("ES256"); s.Keys = nil })
	f.failed("a published key", f.signInOIDC(op, f.asks(c, nil)), "server_error")
}

// An outage of a provider fails its own logins, clearly, and nobody else's; what was read before serves on.
func TestOIDCOutage(t *testing.T) {
	moved := &clock{}
	f := newFederation(t, app.WithClock(moved.now))
	op, other := openID(t, federationtest.Script{}), openID(t, federationtest.Script{ClientID: "other"})
	for _, p := range []*federationtest.OpenIDProvider{op, other} {
		p.Change(func(s *federationtest.Script) { s.IDToken = onClock(moved) })
	}
	c, second := f.join(op, nil), f.join(other, nil)
	f.codeOIDC(op, f.asks(c, nil))
	down := func(paths ...string) {
		op.Change(func(s *federationtest.Script) {
			s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
				for _, path := range paths {
					if r.URL.Path == path {
						w.WriteHeader(http.StatusServiceUnavailable)
						return true
					}
				}
				return false
			}
		})
	}
	down("/jwks", "/.well-known/openid-configuration")
	moved.advance(time.Hour)
	f.codeOIDC(op, f.asks(c, nil)) // stale keys and metadata
	for _, path := range []string{"/token", "/userinfo"} {
		down(path)
		f.failed("an outage of "+path, f.signInOIDC(op, f.asks(c, nil)), "temporarily_unavailable")
		f.codeOIDC(other, f.asks(second, nil))
	}
	down()
	rotated, err := federationtest.NewSigningKey("RS256")
	if err != nil {
		t.Fatal(err)
	}
	moved.advance(time.Minute)
	asked := f.beginOIDC(op, f.asks(c, nil)) // and while the person is there, the key changes
	op.Change(func(s *federationtest.Script) { s.Key = rotated })
	if a := f.get(op.Callback(asked, op.Code(asked))); a.location().Query().Get("code") == "" {
		t.Errorf("a new key: %s", a.Header.Get("Location"))
	}
	f.codeOIDC(op, f.asks(c, nil))
}

// onClock dates id tokens by a clock.
func onClock(c *clock) func(_, claims map[string]any) {
	return func(_, claims map[string]any) {
		claims["iat"], claims["exp"] = c.now().Unix(), c.now().Add(5*time.Minute).Unix()
	}
}

// A login at a provider lives five minutes, as one over SAML does.
func TestOIDCLoginExpires(t *testing.T) {
	moved := &clock{}
	f := newFederation(t, app.WithClock(moved.now))
	op := openID(t, federationtest.Script{IDToken: onClock(moved)})
	c := f.join(op, nil)
	asked := f.beginOIDC(op, f.asks(c, nil))
	moved.advance(5*time.Minute + time.Second)
	f.get(op.Callback(asked, op.Code(asked))).onErrorPage(t, 403, "Unable to validate state from the original request.")
	f.codeOIDC(op, f.asks(c, nil))
}

// Below a path of the public URL, callbacks are, too.
func TestOIDCBelowAPath(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.PublicURL += "/sso"
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}, app.WithHandler(func(h http.Handler) http.Handler { return http.StripPrefix("/sso", h) }))
	p.URL += "/sso"
	op := openID(t, federationtest.Script{})
	p.connectOIDC(op, nil)
	if asked := p.beginOIDC(op, polisClient(nil)); asked.RedirectURI != p.URL+"/api/oauth/oidc" {
		t.Errorf("%+v", asked)
	}
	p.codeOIDC(op, polisClient(nil))
	if page := string(p.get("/.well-known/oidc-configuration").body); !strings.Contains(page, `href="/sso/oauth/client-jwks"`) || strings.Contains(page, "does not take") {
		t.Errorf("%s", page)
	}
}

// Commits whose answers are lost, or that come late, neither lose a login nor take an answer twice.
func TestOIDCLostCommits(t *testing.T) {
	for _, l := range []loss{lostAnswer, lostRequest, lateRequest} {
		t.Run(string(l), func(t *testing.T) {
			var opened []*lossy
			p := start(t, func(c *app.Config) {
				c.DatabaseURL, c.SessionURL = "lossy:records", "lossy:sessions"
				c.EncryptionKeys = []seal.Key{{ID: "k1"}}
				c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}, lossyDriver(l, &opened))
			op := openID(t, federationtest.Script{})
			p.connectOIDC(op, nil)
			for range 2 {
				asked := p.beginOIDC(op, polisClient(nil))
				address := op.Callback(asked, op.Code(asked))
				code := p.get(address).location().Query().Get("code")
				if a := p.redeem(code, nil); a.StatusCode != http.StatusOK {
					t.Errorf("token: %s %s", a.Status, a.body)
				}
				p.get(address).onErrorPage(t, 403, "Unable to validate state from the original request.")
			}
			people := 0
			for _, b := range opened {
				people += len(b.versions(t)["identities"])
			}
			if n := op.Served("/token"); n != 2 || people != 1 {
				t.Errorf("%d codes were exchanged for 2 logins of %d people", n, people)
			}
		})
	}
}

// A person who signs in again with nothing new leaves their identity as it is: no login writes what it need not.
func TestOIDCLoginsLeaveTheIdentityAlone(t *testing.T) {
	var opened []*lossy
	p := start(t, func(c *app.Config) {
		c.DatabaseURL, c.EncryptionKeys = "lossy:all", []seal.Key{{ID: "k1"}}
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}, lossyDriver(noLoss, &opened))
	op := openID(t, federationtest.Script{AtHash: true})
	p.connectOIDC(op, nil)
	for n := range 3 {
		op.Change(func(s *federationtest.Script) { s.AuthTime = time.Unix(int64(1_700_000_000+n), 0) })
		p.codeOIDC(op, polisClient(nil))
	}
	if versions := opened[0].versions(t)["identities"]; len(versions) != 1 || versions[0] != 1 {
		t.Errorf("the identity has the versions %v", versions)
	}
	if left := opened[0].versions(t)["login_requests"]; len(left) != 0 {
		t.Errorf("%d login requests are left", len(left))
	}
}
