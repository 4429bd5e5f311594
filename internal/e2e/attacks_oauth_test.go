package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// scene is what the attacks are made in: a land, clients of every kind, and an OpenID provider beside those of SAML.
type scene struct {
	*land
	key, strangers       *ecdsa.PrivateKey
	keyed                client // presents itself by key, and signs requests with it
	pushing, api, robot  client // must push its requests; has resources and JWTs; has its own credentials alone
	tv                   client // on a device
	op                   *federationtest.OpenIDProvider
	upstream, elsewhere  connection // to it, and to another one
	fed                  *federation
	organization, victim string // ids of acme.example, of alice there
	connection           string // and of the connection over which she signs in
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{key: ecKey(t), strangers: ecKey(t)}
	s.land = newLandWith(t, func(c *app.Config) { c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	s.keyed = s.newApplication(testProduct, map[string]any{"authMethod": "PRIVATE_KEY_JWT", "jwks": keySet(t, s.key),
		"grantTypes": []string{"AUTHORIZATION_CODE", "CLIENT_CREDENTIALS"}})
	s.pushing = s.newApplication(testProduct, map[string]any{"requirePushedRequests": true})
	s.api = s.newApplication(testProduct, map[string]any{"tokenFormat": "JWT", "resources": []string{"https://api.example", "https://bank.example"}})
	s.robot = s.newApplication(testProduct, map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}})
	s.tv = s.newApplication(testProduct, map[string]any{"public": true, "grantTypes": []string{"DEVICE_CODE", "REFRESH_TOKEN"}, "redirectUris": []string{}})
	info := s.userinfo(s.signsIn(s.web, nil).Access).json(t)
	s.organization, _ = info["organization_id"].(string)
	s.victim, _ = info["sub"].(string)
	s.connection, _ = info["connection_id"].(string)

	s.fed = &federation{program: s.program, web: s.web, organizationID: s.fedOrganization()}
	s.op = s.openID(t, "ours")
	s.upstream, s.elsewhere = s.fed.join(s.op, nil), s.fed.join(s.openID(t, "theirs"), nil)
	return s
}

func (s *scene) fedOrganization() string {
	return (&federation{program: s.program}).organization(s.projectID(testProduct), "upstream.example")
}

func (s *scene) openID(t *testing.T, clientID string) *federationtest.OpenIDProvider {
	t.Helper()
	op, stop, err := federationtest.ServeOpenID(s.clock.now, federationtest.Script{ClientID: clientID, ClientSecret: "a-secret-of-more-than-thirty-two-bytes",
		Auth: "client_secret_post", NameIss: true, User: map[string]any{"sub": "alice-1", "email": "alice@acme.example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return op
}

// asksUpstream is a request of the application that goes to the OpenID provider.
func (s *scene) asksUpstream() url.Values {
	return s.web.asks(url.Values{"organization": nil, "connection": {s.upstream.id}})
}

// scripted is a login at the OpenID provider that answers otherwise than it should.
func scripted(change func(*federationtest.Script)) func(*testing.T, *scene) answer {
	return func(_ *testing.T, s *scene) answer {
		before := s.op.Script()
		defer s.op.Change(func(now *federationtest.Script) { *now = before })
		s.op.Change(change)
		return s.fed.signInOIDC(s.op, s.asksUpstream())
	}
}

// callback is a login at the OpenID provider whose answer arrives as changed.
func called(change func(*scene, url.Values)) func(*testing.T, *scene) answer {
	return func(_ *testing.T, s *scene) answer {
		asked := s.fed.beginOIDC(s.op, s.asksUpstream())
		q := url.Values{"code": {s.op.Code(asked)}, "state": {asked.State}, "iss": {s.op.Issuer()}}
		change(s, q)
		return s.get(asked.RedirectURI + "?" + q.Encode())
	}
}

// asking is an authorization request of the confidential application as changed, in a browser that has no session.
func asking(change url.Values) func(*testing.T, *scene) answer {
	return func(_ *testing.T, s *scene) answer { return s.authorize(s.web.asks(change)) }
}

// redeeming is a code of the confidential application that is redeemed as changed.
func redeeming(ask url.Values, change func(*scene) url.Values) func(*testing.T, *scene) answer {
	return func(_ *testing.T, s *scene) answer {
		return s.redeem(s.code(s.idp, s.web.asks(ask)), with(s.web.credentials(), change(s)))
	}
}

func values(v url.Values) func(*scene) url.Values { return func(*scene) url.Values { return v } }

// claims are those of a request object or a client assertion of the application with a key, as changed.
func (s *scene) claims(change map[string]any) map[string]any {
	all := map[string]any{"iss": s.keyed.id, "sub": s.keyed.id, "aud": s.URL, "jti": uuid.NewString(), "exp": s.clock.now().Add(time.Minute).Unix()}
	maps.Copy(all, change)
	return all
}

func (s *scene) object(change map[string]any) map[string]any {
	all := s.claims(nil)
	delete(all, "sub")
	for name, list := range s.keyed.asks(nil) {
		all[name] = list[0]
	}
	maps.Copy(all, change)
	return all
}

func unsigned(t *testing.T, alg string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"`+alg+`","typ":"JWT"}`)) + "." + b64(payload) + "."
}

// confused is signed by HMAC with what everybody knows: a public key.
func confused(t *testing.T, public []byte, o *jose.SignerOptions, claims map[string]any) string {
	t.Helper()
	return signedBy(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, o, claims)
}

// asserting asks for a token with a client assertion.
func asserting(assertion func(*testing.T, *scene) string, change url.Values) func(*testing.T, *scene) answer {
	return func(t *testing.T, s *scene) answer {
		return s.tokenEndpoint(with(url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion(t, s)}, "client_assertion_type": {jwtBearer}}, change))
	}
}

// objecting sends a request object.
func objecting(object func(*testing.T, *scene) string) func(*testing.T, *scene) answer {
	return func(t *testing.T, s *scene) answer {
		return s.authorize(url.Values{"client_id": {s.keyed.id}, "request": {object(t, s)}})
	}
}

// bound is a prover with a token that is bound to its key.
func (s *scene) bound(t *testing.T) (*prover, tokens) {
	t.Helper()
	p := &prover{l: s.land, key: ecKey(t)}
	return p, granted(t, p.token(t, p.codeForm(t, s.spa, nil)))
}

// proving uses a bound token at userinfo with the proof that a thief has.
func proving(proof func(t *testing.T, s *scene, p *prover, token string) string) func(*testing.T, *scene) answer {
	return func(t *testing.T, s *scene) answer {
		p, got := s.bound(t)
		return s.get("/api/oauth/userinfo", "Authorization", "DPoP "+got.Access, "DPoP", proof(t, s, p, got.Access))
	}
}

// hinting asks a browser with a session for nothing but that it goes on, with an id token that is none.
func hinting(forge func(t *testing.T, s *scene, idToken string) string) func(*testing.T, *scene) answer {
	return func(t *testing.T, s *scene) answer {
		tab := s.tab()
		got := tab.signsIn(s.web, nil)
		tab.silently(s.second, url.Values{"prompt": {"none"}, "id_token_hint": {got.ID}}) // the true one is good
		return tab.authorize(s.second.asks(url.Values{"prompt": {"none"}, "id_token_hint": {forge(t, s, got.ID)}}))
	}
}

// leaving asks a browser with a session to sign out, and follows to the page of this site where there is one.
func leaving(q func(s *scene, own tokens) url.Values) func(*testing.T, *scene) answer {
	return func(_ *testing.T, s *scene) answer {
		tab := s.tab()
		own := tab.signsIn(s.web, nil)
		return tab.leaves(q(s, own))
	}
}

func (l *land) leaves(q url.Values) answer {
	l.t.Helper()
	a := l.get("/api/oauth/logout?" + q.Encode())
	if a.location().Path == "/api/oauth/logout/confirm" {
		return l.get(a.Header.Get("Location"))
	}
	return a
}

// elsewhereSigned has alice sign in in her own browser at a login that somebody else began.
func (s *scene) elsewhereSigned(request federationtest.Request) answer {
	alices := s.tab()
	return alices.acs(s.respond(s.idp, request, nil), request.RelayState)
}

// A refusal says how an attack is answered.
type refusal func(*testing.T, answer)

func onPage(status int) refusal {
	return func(t *testing.T, a answer) { t.Helper(); refusedPage(t, a, status) }
}

func toApplication(code string) refusal {
	return func(t *testing.T, a answer) { t.Helper(); refusedBack(t, a, code) }
}

func asJSON(status int, code string) refusal {
	return func(t *testing.T, a answer) { t.Helper(); tokenRefused(t, a, status, code) }
}

func asBearer(code string) refusal {
	return func(t *testing.T, a answer) { t.Helper(); refusedBearer(t, a, code) }
}

func asDPoP(code string) refusal {
	return func(t *testing.T, a answer) {
		t.Helper()
		if challenge := a.Header.Get("WWW-Authenticate"); a.StatusCode != http.StatusUnauthorized ||
			!strings.HasPrefix(challenge, "DPoP ") || !strings.Contains(challenge, `error="`+code+`"`) || a.json(t)["sub"] != nil {
			t.Errorf("%s, %q, want %s", a.Status, challenge, code)
		}
	}
}

// toProvider: nothing is believed of the browser, and the person signs in.
func toProvider(t *testing.T, a answer) { t.Helper(); a.atProvider(t) }

// inactive: the token is none of whoever asks (RFC 7662 §2.2).
func inactive(t *testing.T, a answer) {
	t.Helper()
	if body := a.json(t); a.StatusCode != http.StatusOK || len(body) != 1 || body["active"] != false {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

// askedFirst: the person is asked whether they want it.
func askedFirst(t *testing.T, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusOK || formOf(t, a).Get("token") == "" {
		t.Errorf("%s to %s", a.Status, a.Header.Get("Location"))
	}
}

func (a answer) created(t *testing.T) {
	t.Helper()
	if a.StatusCode != http.StatusCreated {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

func forbidden(t *testing.T, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusForbidden {
		t.Errorf("%s", a.Status)
	}
}

// attack is one that has to be refused as its standard says.
type attack struct {
	name, of string // of is where the standard refuses it
	try      func(*testing.T, *scene) answer
	refused  refusal
}

// fewestAttacks are the fewest that this table may hold.
const fewestAttacks = 40

func TestAttacks(t *testing.T) {
	var attacks []attack
	for _, list := range [][]attack{onRedirects, onCodes, onRefreshTokens, onProofs, onSignedTokens, onTokens, onUpstream, onLogout, onBrowsers, onPeople, onParameters} {
		attacks = append(attacks, list...)
	}
	if len(attacks) < fewestAttacks {
		t.Fatalf("%d attacks, want %d", len(attacks), fewestAttacks)
	}
	t.Logf("%d attacks", len(attacks))
	s := newScene(t)
	named := map[string]bool{}
	for _, a := range attacks {
		if named[a.name] || !strings.Contains(a.of, "§") {
			t.Errorf("%q is there twice, or of nothing", a.name)
		}
		named[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			a.refused(t, a.try(t, s))
			if t.Failed() {
				t.Logf("not refused as %s says", a.of)
			}
		})
	}
}

// Redirect URIs (RFC 9700 §4.1): what is not registered to the letter is never sent anything.
var onRedirects = []attack{
	{"redirect URI of another host", "RFC 9700 §4.1.3", asking(url.Values{"redirect_uri": {"http://evil.example/callback"}}), onPage(403)},
	{"redirect URI that goes on", "RFC 9700 §4.1.3", asking(url.Values{"redirect_uri": {callback + "/../evil"}}), onPage(403)},
	{"redirect URI with the host as user", "RFC 9700 §4.1.3", asking(url.Values{"redirect_uri": {"https://app.example@evil.example/callback"}}), onPage(403)},
	{"redirect URI with a backslash", "RFC 9700 §4.1.3", asking(url.Values{"redirect_uri": {`http://evil.example\@app.example/callback`}}), onPage(403)},
	{"redirect URI of a host that begins alike", "RFC 9700 §4.1.3", asking(url.Values{"redirect_uri": {"https://app.example.evil.example/callback"}}), onPage(403)},
	{"redirect URI that a browser would run", "RFC 9700 §4.1.3", asking(url.Values{"redirect_uri": {"javascript:alert(1)//app.example/callback"}}), onPage(403)},
	{"redirect URI with a fragment", "RFC 6749 §3.1.2", asking(url.Values{"redirect_uri": {callback + "#"}}), onPage(403)},
	{"two redirect URIs", "RFC 6749 §3.1", asking(url.Values{"redirect_uri": {callback, "http://evil.example/"}}), onPage(400)},
	{"redirect URI below a wildcard that brings a code of its own", "RFC 9700 §4.5", func(_ *testing.T, s *scene) answer {
		s.connect(newIdP(s.t, "https://idp.example/wild"), map[string]any{"tenant": "wild", "redirectUrl": []string{"https://app.example/cb/*"}})
		asks := func(uri string) answer {
			return s.authorize(polisClient(url.Values{"client_id": {"tenant=wild&product=" + testProduct}, "redirect_uri": {uri}}))
		}
		asks("https://app.example/cb/x?next=y").atProvider(s.t)
		return asks("https://app.example/cb/x?code=stolen")
	}, onPage(403)},
	{"redirect URI of an error, not registered", "RFC 6749 §4.1.2.1", asking(url.Values{"redirect_uri": {"http://evil.example/"}, "response_type": {"token"}}), onPage(403)},
	{"redirect URI that is pushed", "RFC 9126 §2.3", func(_ *testing.T, s *scene) answer {
		return s.post("/api/oauth/par", with(s.web.asks(url.Values{"redirect_uri": {"http://evil.example/"}}), s.web.credentials()))
	}, asJSON(400, "invalid_request")},
	{"redirect URI in a signed request", "RFC 9101 §6.3", objecting(func(t *testing.T, s *scene) string {
		return signed(t, s.key, nil, s.object(map[string]any{"redirect_uri": "http://evil.example/"}))
	}), onPage(403)},
	{"redirect URI that was changed before redemption", "RFC 6749 §4.1.3", redeeming(nil, values(url.Values{"redirect_uri": {callback + "/"}})), asJSON(400, "invalid_grant")},
}

// Codes: they are for one client, one browser and one use.
var onCodes = []attack{
	{"code that was used", "RFC 6749 §4.1.2", func(t *testing.T, s *scene) answer {
		code := s.code(s.idp, s.web.asks(nil))
		got := granted(t, s.redeem(code, s.web.credentials()))
		a := s.redeem(code, s.web.credentials())
		refusedBearer(t, s.userinfo(got.Access), "invalid_token")
		return a
	}, asJSON(400, "invalid_grant")},
	{"code of another application", "RFC 6749 §4.1.3", redeeming(nil, func(s *scene) url.Values { return s.second.credentials() }), asJSON(400, "invalid_grant")},
	{"code of another project's application", "RFC 6749 §4.1.3", redeeming(nil, func(s *scene) url.Values { return s.alien.credentials() }), asJSON(400, "invalid_grant")},
	{"code of an application redeemed as its tenant", "RFC 6749 §4.1.3", redeeming(nil, values(url.Values{"client_id": {encodedClient}, "client_secret": {sharedKey}})), asJSON(400, "invalid_grant")},
	{"code with the id of its client alone", "RFC 6749 §3.2.1", redeeming(nil, values(url.Values{"client_secret": nil})), asJSON(401, "invalid_client")},
	{"code that is too old", "RFC 6749 §4.1.2", func(_ *testing.T, s *scene) answer {
		code := s.code(s.idp, s.web.asks(nil))
		s.clock.advance(6 * time.Minute)
		return s.redeem(code, s.web.credentials())
	}, asJSON(400, "invalid_grant")},
	{"code of a public application without verifier", "RFC 7636 §4.6", func(_ *testing.T, s *scene) answer {
		return s.redeem(s.code(s.idp, s.spa.asks(pkce)), s.spa.credentials())
	}, asJSON(400, "invalid_grant")},
	{"code injected into another's flow, with its verifier", "RFC 9700 §4.5", redeeming(pkce, values(url.Values{"code_verifier": {strings.Repeat("v", 43)}})), asJSON(400, "invalid_grant")},
	{"PKCE downgrade: the challenge is taken away", "RFC 9700 §4.8.2", redeeming(nil, values(url.Values{"code_verifier": {verifier}})), asJSON(400, "invalid_grant")},
	{"PKCE downgrade: a secret in place of the verifier", "RFC 7636 §4.6", redeeming(pkce, values(nil)), asJSON(400, "invalid_grant")},
	{"PKCE downgrade: plain", "RFC 9700 §2.1.1", asking(url.Values{"code_challenge": {challenge()}, "code_challenge_method": {"plain"}}), toApplication("invalid_request")},
	{"PKCE downgrade: no method is plain", "RFC 7636 §4.3", asking(url.Values{"code_challenge": {challenge()}}), toApplication("invalid_request")},
	{"PKCE downgrade: none for a public application", "RFC 7636 §4.4.1", func(_ *testing.T, s *scene) answer { return s.authorize(s.spa.asks(nil)) }, toApplication("invalid_request")},
	{"token in the front channel", "RFC 9700 §2.1.2", asking(url.Values{"response_type": {"token"}}), toApplication("unsupported_response_type")},
	{"password of a person", "RFC 9700 §2.4", func(_ *testing.T, s *scene) answer {
		return s.tokenEndpoint(with(s.web.credentials(), url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"x"}}))
	}, asJSON(400, "unsupported_grant_type")},
	{"code for resources that were not asked for", "RFC 8707 §2.2", func(_ *testing.T, s *scene) answer {
		return s.redeem(s.code(s.idp, s.api.asks(url.Values{"resource": {"https://api.example"}})), with(s.api.credentials(), url.Values{"resource": {"https://bank.example"}}))
	}, asJSON(400, "invalid_target")},
	{"device code of another application", "RFC 8628 §3.4", func(t *testing.T, s *scene) answer {
		codes := s.device(s.tv, nil)
		s.approve(codes.user)
		other := s.newApplication(testProduct, map[string]any{"public": true, "grantTypes": []string{"DEVICE_CODE"}, "redirectUris": []string{}})
		a := s.poll(other, codes.device)
		granted(t, s.poll(s.tv, codes.device))
		return a
	}, asJSON(400, "invalid_grant")},
	{"device code that is asked for too often", "RFC 8628 §3.5", func(t *testing.T, s *scene) answer {
		codes := s.device(s.tv, nil)
		tokenRefused(t, s.poll(s.tv, codes.device), 400, "authorization_pending")
		return s.tokenEndpoint(with(s.tv.credentials(), url.Values{"grant_type": {deviceGrant}, "device_code": {codes.device}}))
	}, asJSON(400, "slow_down")},
}

// Refresh tokens (RFC 9700 §4.14).
var onRefreshTokens = []attack{
	{"refresh token that was used", "RFC 9700 §4.14.2", func(t *testing.T, s *scene) answer {
		first := s.stays(s.spa, nil)
		second := granted(t, s.tokenEndpoint(refreshForm(s.spa, first.Refresh, nil)))
		third := granted(t, s.tokenEndpoint(refreshForm(s.spa, second.Refresh, nil)))
		a := s.tokenEndpoint(refreshForm(s.spa, first.Refresh, nil))
		tokenRefused(t, s.tokenEndpoint(refreshForm(s.spa, third.Refresh, nil)), 400, "invalid_grant")
		refusedBearer(t, s.userinfo(third.Access), "invalid_token")
		return a
	}, asJSON(400, "invalid_grant")},
	{"refresh token of another application", "RFC 6749 §6", func(_ *testing.T, s *scene) answer {
		return s.tokenEndpoint(refreshForm(s.second, s.stays(s.web, nil).Refresh, nil))
	}, asJSON(400, "invalid_grant")},
	{"refresh token of another project", "RFC 6749 §6", func(_ *testing.T, s *scene) answer {
		return s.tokenEndpoint(refreshForm(s.alien, s.stays(s.web, nil).Refresh, nil))
	}, asJSON(400, "invalid_grant")},
	{"refresh token without the secret", "RFC 6749 §6", func(_ *testing.T, s *scene) answer {
		return s.tokenEndpoint(refreshForm(s.web, s.stays(s.web, nil).Refresh, url.Values{"client_secret": nil}))
	}, asJSON(401, "invalid_client")},
	{"refresh token for more scope", "RFC 6749 §6", func(_ *testing.T, s *scene) answer {
		return s.tokenEndpoint(refreshForm(s.web, s.stays(s.web, nil).Refresh, url.Values{"scope": {"openid email"}}))
	}, asJSON(400, "invalid_scope")},
	{"refresh token for another resource", "RFC 8707 §2.2", func(_ *testing.T, s *scene) answer {
		got := s.stays(s.api, url.Values{"resource": {"https://api.example"}})
		return s.tokenEndpoint(refreshForm(s.api, got.Refresh, url.Values{"resource": {"https://bank.example"}}))
	}, asJSON(400, "invalid_target")},
	{"refresh token without the key that it is bound to", "RFC 9449 §5", func(t *testing.T, s *scene) answer {
		_, got := s.bound(t)
		return s.tokenEndpoint(refreshForm(s.spa, got.Refresh, nil))
	}, asJSON(400, "invalid_grant")},
	{"refresh token with a thief's key", "RFC 9449 §5", func(t *testing.T, s *scene) answer {
		_, got := s.bound(t)
		return (&prover{l: s.land, key: s.strangers}).token(t, refreshForm(s.spa, got.Refresh, nil))
	}, asJSON(400, "invalid_grant")},
	{"refresh token that was made up of another", "RFC 6749 §10.4", func(_ *testing.T, s *scene) answer {
		good := s.stays(s.web, nil).Refresh
		return s.tokenEndpoint(refreshForm(s.web, good[:30]+"B"+good[31:], nil))
	}, asJSON(400, "invalid_grant")},
}

// DPoP (RFC 9449).
var onProofs = []attack{
	{"proof that was used", "RFC 9449 §11.1", proving(func(t *testing.T, s *scene, p *prover, token string) string {
		proof := p.proof(t, "GET", "/api/oauth/userinfo", ath(token))
		if a := s.get("/api/oauth/userinfo", "Authorization", "DPoP "+token, "DPoP", proof); a.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", a.Status, a.body)
		}
		return proof
	}), asDPoP("invalid_dpop_proof")},
	{"proof by a thief's key", "RFC 9449 §7.1", proving(func(t *testing.T, s *scene, p *prover, token string) string {
		return (&prover{l: s.land, key: s.strangers, nonce: p.nonce}).proof(t, "GET", "/api/oauth/userinfo", ath(token))
	}), asDPoP("invalid_dpop_proof")},
	{"proof of another token", "RFC 9449 §4.3", proving(func(t *testing.T, _ *scene, p *prover, _ string) string {
		return p.proof(t, "GET", "/api/oauth/userinfo", ath("another"))
	}), asDPoP("invalid_dpop_proof")},
	{"proof of another method", "RFC 9449 §4.3", proving(func(t *testing.T, _ *scene, p *prover, token string) string {
		return p.proof(t, "POST", "/api/oauth/userinfo", ath(token))
	}), asDPoP("invalid_dpop_proof")},
	{"proof for another server", "RFC 9449 §4.3", proving(func(t *testing.T, _ *scene, p *prover, token string) string {
		return p.proof(t, "GET", "", map[string]any{"ath": ath(token)["ath"], "htu": "https://evil.example/api/oauth/userinfo"})
	}), asDPoP("invalid_dpop_proof")},
	{"proof that was made long before", "RFC 9449 §8", proving(func(t *testing.T, s *scene, p *prover, token string) string {
		s.clock.advance(8 * time.Minute)
		return p.proof(t, "GET", "/api/oauth/userinfo", ath(token))
	}), asDPoP("use_dpop_nonce")},
	{"proof by HMAC", "RFC 9449 §4.3", proving(func(t *testing.T, s *scene, p *prover, token string) string {
		return confused(t, []byte(keySet(t, p.key)), (&jose.SignerOptions{}).WithType("dpop+jwt"),
			map[string]any{"jti": uuid.NewString(), "htm": "GET", "htu": s.URL + "/api/oauth/userinfo", "iat": s.clock.now().Unix(), "nonce": p.nonce, "ath": ath(token)["ath"]})
	}), asDPoP("invalid_dpop_proof")},
	{"proof without signature", "RFC 9449 §4.3", proving(func(t *testing.T, s *scene, p *prover, token string) string {
		return unsigned(t, "none", map[string]any{"jti": uuid.NewString(), "htm": "GET", "htu": s.URL + "/api/oauth/userinfo", "iat": s.clock.now().Unix(), "nonce": p.nonce, "ath": ath(token)["ath"]})
	}), asDPoP("invalid_dpop_proof")},
	{"bound token as bearer token", "RFC 9449 §7.2", func(t *testing.T, s *scene) answer {
		_, got := s.bound(t)
		return s.userinfo(got.Access)
	}, asBearer("invalid_token")},
	{"bearer token as bound token", "RFC 9449 §7.1", func(t *testing.T, s *scene) answer {
		p, _ := s.bound(t)
		token := s.signsIn(s.web, nil).Access
		return s.get("/api/oauth/userinfo", "Authorization", "DPoP "+token, "DPoP", p.proof(t, "GET", "/api/oauth/userinfo", ath(token)))
	}, asDPoP("invalid_token")},
	{"code for one key, redeemed with another", "RFC 9449 §10", func(t *testing.T, s *scene) answer {
		p := &prover{l: s.land, key: s.strangers}
		return p.token(t, p.codeForm(t, s.spa, url.Values{"dpop_jkt": {thumbprint(t, s.key)}}))
	}, asJSON(400, "invalid_dpop_proof")},
	{"pushed request for one key, proven by another", "RFC 9449 §10.1", func(t *testing.T, s *scene) answer {
		p, _ := s.bound(t)
		form := with(s.web.asks(url.Values{"dpop_jkt": {thumbprint(t, s.key)}}), s.web.credentials())
		return s.post("/api/oauth/par", form, "DPoP", p.proof(t, "POST", "/api/oauth/par", nil))
	}, asJSON(400, "invalid_dpop_proof")},
	{"proof that was used at another instance", "RFC 9449 §11.1", func(t *testing.T, _ *scene) answer {
		file := "sqlite:" + filepath.Join(t.TempDir(), "portico.db")
		one := start(t, func(c *app.Config) { c.DatabaseURL = file })
		other := start(t, func(c *app.Config) { c.DatabaseURL, c.PublicURL = file, one.URL })
		l := &land{program: one, clock: &clock{}, idp: newIdP(t, "https://idp.example/instances")}
		one.connect(l.idp, nil)
		robot := one.newApplication(testProduct, map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}})
		form := with(robot.credentials(), url.Values{"grant_type": {"client_credentials"}})
		p := &prover{l: l, key: ecKey(t)}
		granted(t, p.token(t, form))
		proof := p.proof(t, "POST", "/api/oauth/token", nil)
		granted(t, other.post("/api/oauth/token", form, "DPoP", proof))
		return one.post("/api/oauth/token", form, "DPoP", proof)
	}, asJSON(400, "invalid_dpop_proof")},
}

func thumbprint(t *testing.T, k *ecdsa.PrivateKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: k.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// Client assertions, request objects and id token hints.
var onSignedTokens = []attack{
	{"assertion without signature", "RFC 8725 §3.1", asserting(func(t *testing.T, s *scene) string { return unsigned(t, "none", s.claims(nil)) }, nil), asJSON(401, "invalid_client")},
	{"assertion signed with the public key as a secret", "RFC 8725 §2.1", asserting(func(t *testing.T, s *scene) string {
		return confused(t, []byte(keySet(t, s.key)), nil, s.claims(nil))
	}, nil), asJSON(401, "invalid_client")},
	{"assertion by a key that it brings itself", "RFC 8725 §3.10", asserting(func(t *testing.T, s *scene) string {
		return signed(t, s.strangers, &jose.SignerOptions{EmbedJWK: true}, s.claims(nil))
	}, nil), asJSON(401, "invalid_client")},
	{"assertion that was used", "RFC 7523 §3", asserting(func(t *testing.T, s *scene) string {
		assertion := signed(t, s.key, nil, s.claims(nil))
		granted(t, asserting(func(*testing.T, *scene) string { return assertion }, nil)(t, s))
		return assertion
	}, nil), asJSON(401, "invalid_client")},
	{"assertion for another server", "RFC 7523 §3", asserting(func(t *testing.T, s *scene) string {
		return signed(t, s.key, nil, s.claims(map[string]any{"aud": "https://evil.example"}))
	}, nil), asJSON(401, "invalid_client")},
	{"assertion in another client's name", "RFC 7523 §3", asserting(func(t *testing.T, s *scene) string {
		return signed(t, s.key, nil, s.claims(map[string]any{"iss": s.robot.id, "sub": s.robot.id}))
	}, nil), asJSON(401, "invalid_client")},
	{"assertion beside another client's id", "RFC 7521 §4.2", func(t *testing.T, s *scene) answer {
		return asserting(func(t *testing.T, s *scene) string { return signed(t, s.key, nil, s.claims(nil)) }, url.Values{"client_id": {s.robot.id}})(t, s)
	}, asJSON(401, "invalid_client")},
	{"assertion beside a secret", "RFC 6749 §2.3", asserting(func(t *testing.T, s *scene) string { return signed(t, s.key, nil, s.claims(nil)) }, url.Values{"client_secret": {"x"}}), asJSON(400, "invalid_request")},
	{"request object as assertion", "RFC 9101 §10.8", asserting(func(t *testing.T, s *scene) string {
		return signed(t, s.key, (&jose.SignerOptions{}).WithType("oauth-authz-req+jwt"), s.claims(nil))
	}, nil), asJSON(401, "invalid_client")},
	{"secret in the header and in the body", "RFC 6749 §2.3", func(_ *testing.T, s *scene) answer {
		return s.post("/api/oauth/token", with(s.robot.credentials(), url.Values{"grant_type": {"client_credentials"}}), "Authorization", basic(s.robot.id, s.robot.secret))
	}, asJSON(400, "invalid_request")},
	{"one client in the header and another in the body", "RFC 6749 §2.3", func(_ *testing.T, s *scene) answer {
		return s.post("/api/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {s.web.id}}, "Authorization", basic(s.robot.id, s.robot.secret))
	}, asJSON(400, "invalid_request")},
	{"request object without signature", "RFC 9101 §6.2", objecting(func(t *testing.T, s *scene) string { return unsigned(t, "none", s.object(nil)) }), onPage(400)},
	{"request object signed with the public key as a secret", "RFC 8725 §2.1", objecting(func(t *testing.T, s *scene) string {
		return confused(t, []byte(keySet(t, s.key)), nil, s.object(nil))
	}), onPage(400)},
	{"request object by somebody else", "RFC 9101 §6.2", objecting(func(t *testing.T, s *scene) string { return signed(t, s.strangers, nil, s.object(nil)) }), onPage(400)},
	{"request object of another client", "RFC 9101 §5", objecting(func(t *testing.T, s *scene) string {
		return signed(t, s.key, nil, s.object(map[string]any{"client_id": s.web.id}))
	}), onPage(400)},
	{"request object for another server", "RFC 9101 §4", objecting(func(t *testing.T, s *scene) string {
		return signed(t, s.key, nil, s.object(map[string]any{"aud": "https://evil.example"}))
	}), onPage(400)},
	{"assertion as request object", "RFC 9101 §10.8", objecting(func(t *testing.T, s *scene) string {
		return signed(t, s.key, (&jose.SignerOptions{}).WithType("client-authentication+jwt"), s.object(nil))
	}), onPage(400)},
	{"request object that is to be fetched", "RFC 9101 §10.4", func(_ *testing.T, s *scene) answer {
		return s.authorize(s.web.asks(url.Values{"request_uri": {"http://169.254.169.254/latest/meta-data"}}))
	}, onPage(400)},
	{"pushed request of another client", "RFC 9126 §2.2", func(_ *testing.T, s *scene) answer {
		return s.authorize(url.Values{"client_id": {s.second.id}, "request_uri": {s.push(s.web, s.web.asks(nil))}})
	}, onPage(400)},
	{"pushed request that was used", "RFC 9126 §7.3", func(_ *testing.T, s *scene) answer {
		q := url.Values{"client_id": {s.web.id}, "request_uri": {s.push(s.web, s.web.asks(nil))}}
		s.begin(q)
		return s.authorize(q)
	}, onPage(400)},
	{"plain request of a client that pushes", "RFC 9126 §5", func(_ *testing.T, s *scene) answer { return s.authorize(s.pushing.asks(nil)) }, onPage(400)},
	{"id token hint without signature", "RFC 8725 §3.1", hinting(func(t *testing.T, s *scene, idToken string) string {
		return unsigned(t, "none", claimsOf(t, idToken))
	}), toApplication("login_required")},
	{"id token hint signed with the published keys as a secret", "RFC 8725 §2.1", hinting(func(t *testing.T, s *scene, idToken string) string {
		return confused(t, s.get("/oauth/jwks").body, (&jose.SignerOptions{}).WithType("JWT"), claimsOf(t, idToken))
	}), toApplication("login_required")},
	{"access token as id token hint", "RFC 9068 §5", hinting(func(_ *testing.T, s *scene, _ string) string { return s.signsIn(s.api, nil).Access }), toApplication("login_required")},
}

// Tokens where they do not belong.
var onTokens = []attack{
	{"id token as access token", "RFC 9068 §4", func(_ *testing.T, s *scene) answer { return s.userinfo(s.signsIn(s.web, nil).ID) }, asBearer("invalid_token")},
	{"refresh token as access token", "RFC 6749 §1.5", func(_ *testing.T, s *scene) answer { return s.userinfo(s.stays(s.web, nil).Refresh) }, asBearer("invalid_token")},
	{"access token for another resource", "RFC 8707 §2", func(_ *testing.T, s *scene) answer {
		return s.userinfo(s.signsIn(s.api, url.Values{"resource": {"https://api.example"}}).Access)
	}, asBearer("invalid_token")},
	{"access token of nobody", "RFC 6750 §3.1", func(t *testing.T, s *scene) answer {
		return s.userinfo(granted(t, s.tokenEndpoint(with(s.robot.credentials(), url.Values{"grant_type": {"client_credentials"}}))).Access)
	}, asBearer("invalid_token")},
	{"access token in the address", "RFC 9700 §4.3.2", func(_ *testing.T, s *scene) answer {
		return s.get("/api/oauth/userinfo?access_token=" + s.signsIn(s.web, nil).Access)
	}, asBearer("")},
	{"JWT access token with another signature", "RFC 9068 §4", func(_ *testing.T, s *scene) answer {
		token := s.signsIn(s.api, nil).Access
		return s.userinfo(token[:strings.LastIndex(token, ".")+1] + "AAAA")
	}, asBearer("invalid_token")},
	{"access token that was revoked", "RFC 7009 §2", func(_ *testing.T, s *scene) answer {
		token := s.signsIn(s.api, nil).Access
		s.post("/api/oauth/revoke", with(s.api.credentials(), url.Values{"token": {token}}))
		return s.userinfo(token)
	}, asBearer("invalid_token")},
	{"introspection of another project's token", "RFC 7662 §4", func(_ *testing.T, s *scene) answer {
		return s.post("/api/oauth/introspect", with(s.alien.credentials(), url.Values{"token": {s.signsIn(s.web, nil).Access}}))
	}, inactive},
	{"introspection of another application's refresh token", "RFC 7662 §4", func(_ *testing.T, s *scene) answer {
		return s.post("/api/oauth/introspect", with(s.second.credentials(), url.Values{"token": {s.stays(s.web, nil).Refresh}}))
	}, inactive},
	{"introspection by a public application", "RFC 7662 §2.1", func(_ *testing.T, s *scene) answer {
		return s.post("/api/oauth/introspect", with(s.spa.credentials(), url.Values{"token": {s.signsIn(s.web, nil).Access}}))
	}, asJSON(401, "invalid_client")},
	{"revocation of another application's access token", "RFC 7009 §2.1", func(t *testing.T, s *scene) answer {
		token := s.signsIn(s.web, nil).Access
		a := s.post("/api/oauth/revoke", with(s.second.credentials(), url.Values{"token": {token}}))
		if !s.active(s.web, token) {
			t.Error("it is revoked")
		}
		return a
	}, asJSON(400, "invalid_grant")},
	{"revocation of another application's refresh token", "RFC 7009 §2.1", func(t *testing.T, s *scene) answer {
		token := s.stays(s.web, nil).Refresh
		a := s.post("/api/oauth/revoke", with(s.second.credentials(), url.Values{"token": {token}}))
		if !s.active(s.web, token) {
			t.Error("it is revoked")
		}
		return a
	}, asJSON(400, "invalid_grant")},
	{"registration with an access token", "RFC 7591 §3", func(_ *testing.T, s *scene) answer {
		return s.register(s.signsIn(s.web, nil).Access, map[string]any{"redirect_uris": []string{callback}})
	}, func(t *testing.T, a answer) {
		if a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.Header.Get("WWW-Authenticate"), `Bearer realm="portico", error="invalid_token"`) {
			t.Errorf("%s %v", a.Status, a.Header)
		}
	}},
	{"registration of a redirect URI that a browser would run", "RFC 7591 §5", func(_ *testing.T, s *scene) answer {
		return s.register(s.initial(testProduct, 60), map[string]any{"redirect_uris": []string{"javascript:alert(1)"}})
	}, asJSON(400, "invalid_redirect_uri")},
	{"registration of a redirect URI that others can read", "RFC 9700 §2.6", func(_ *testing.T, s *scene) answer {
		s.register(s.initial(testProduct, 60), map[string]any{"redirect_uris": []string{"http://localhost:3000/cb", "http://127.0.0.1/cb", "http://[::1]/cb"}}).created(s.t)
		return s.register(s.initial(testProduct, 60), map[string]any{"redirect_uris": []string{"http://app.example/cb"}})
	}, asJSON(400, "invalid_redirect_uri")},
	{"sign-in to an organization of another project", "RFC 6749 §10.2", func(_ *testing.T, s *scene) answer {
		return s.authorize(s.alien.asks(url.Values{"organization": {s.organization}}))
	}, toApplication("invalid_request")},
	{"sign-in over a connection of another project", "RFC 6749 §10.2", func(_ *testing.T, s *scene) answer {
		return s.authorize(s.alien.asks(url.Values{"organization": nil, "connection": {s.upstream.id}}))
	}, toApplication("invalid_request")},
}

// An identity provider, or somebody between, that lies.
var onUpstream = []attack{
	{"upstream id token without signature", "OpenID Connect Core §3.1.3.7", scripted(func(s *federationtest.Script) {
		s.Keys, s.Key = []federationtest.JWK{s.Key.JWK()}, federationtest.SigningKey{Alg: "none"}
	}), toApplication("server_error")},
	{"upstream id token by HMAC with the client secret, where nobody said so", "RFC 8725 §2.1", scripted(func(s *federationtest.Script) {
		s.Keys, s.Key = []federationtest.JWK{s.Key.JWK()}, federationtest.SigningKey{Alg: "HS256", MAC: []byte(s.ClientSecret)}
	}), toApplication("server_error")},
	{"upstream id token by a key that nobody published", "OpenID Connect Core §10.1", scripted(func(s *federationtest.Script) {
		s.Keys = []federationtest.JWK{s.Key.JWK()}
		s.Key, _ = federationtest.NewSigningKey("ES256")
	}), toApplication("server_error")},
	{"upstream id token for another client", "OpenID Connect Core §3.1.3.7", scripted(idTokenClaim("aud", "another")), toApplication("server_error")},
	{"upstream id token that another client asked for", "OpenID Connect Core §3.1.3.7", scripted(idTokenClaim("azp", "another")), toApplication("server_error")},
	{"upstream id token of another issuer", "OpenID Connect Core §3.1.3.7", scripted(idTokenClaim("iss", "https://evil.example")), toApplication("server_error")},
	{"upstream id token that has expired", "OpenID Connect Core §3.1.3.7", scripted(idTokenClaim("exp", time.Now().Add(-time.Hour).Unix())), toApplication("server_error")},
	{"upstream id token of the future", "OpenID Connect Core §3.1.3.7", scripted(idTokenClaim("iat", time.Now().Add(24*time.Hour).Unix())), toApplication("server_error")},
	{"upstream id token with the nonce of another login", "RFC 9700 §4.5.3", scripted(idTokenClaim("nonce", "another")), toApplication("server_error")},
	{"upstream id token with another access token", "OpenID Connect Core §3.1.3.8", scripted(idTokenClaim("at_hash", "another")), toApplication("server_error")},
	{"upstream id token of nobody", "OpenID Connect Core §2", scripted(idTokenClaim("sub", "")), toApplication("server_error")},
	{"upstream userinfo of somebody else", "OpenID Connect Core §5.3.2", scripted(func(s *federationtest.Script) { s.Userinfo = map[string]any{"sub": "mallory"} }), toApplication("server_error")},
	{"upstream userinfo that is signed by nobody", "RFC 8725 §3.1", scripted(func(s *federationtest.Script) {
		s.SignUserinfo = func(h, _ map[string]any) { h["alg"] = "none" }
	}), toApplication("server_error")},
	{"upstream token endpoint that sends the code elsewhere", "RFC 9700 §4.12", scripted(func(s *federationtest.Script) {
		s.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
			}
			return r.URL.Path == "/token"
		}
	}), toApplication("server_error")},
	{"mix-up: the answer of another issuer", "RFC 9207 §2.4", called(func(s *scene, q url.Values) { q.Set("iss", "https://evil.example") }), toApplication("server_error")},
	{"mix-up: an answer that does not say of whom", "RFC 9207 §2.4", called(func(s *scene, q url.Values) { q.Del("iss") }), toApplication("server_error")},
	{"mix-up: the answer at another provider's callback", "RFC 9700 §4.4.2.2", func(_ *testing.T, s *scene) answer {
		asked := s.fed.beginOIDC(s.op, s.asksUpstream())
		moved := asked
		moved.RedirectURI = s.elsewhere.callback
		return s.get(s.op.Callback(moved, s.op.Code(asked)))
	}, onPage(403)},
	{"upstream state that was used", "RFC 9700 §4.7.1", func(t *testing.T, s *scene) answer {
		asked := s.fed.beginOIDC(s.op, s.asksUpstream())
		if s.get(s.op.Callback(asked, s.op.Code(asked))).location().Query().Get("code") == "" {
			t.Fatal("no code")
		}
		return s.get(s.op.Callback(asked, s.op.Code(asked)))
	}, onPage(403)},
	{"upstream state that was made up", "RFC 9700 §4.7.1", called(func(_ *scene, q url.Values) { q.Set("state", "boxyhq_jackson_00000000000000000000000000000000") }), onPage(403)},
	{"upstream code twice", "RFC 6749 §3.1", called(func(_ *scene, q url.Values) { q.Add("code", "another") }), onPage(400)},
	{"SAML response that was used", "RFC 9700 §4.7.1", func(t *testing.T, s *scene) answer {
		request := s.begin(s.web.asks(nil))
		response := s.respond(s.idp, request, nil)
		if s.acs(response, request.RelayState).location().Query().Get("code") == "" {
			t.Fatal("no code")
		}
		return s.acs(response, request.RelayState)
	}, onPage(403)},
	{"SAML response to another login", "RFC 9700 §4.7.1", func(_ *testing.T, s *scene) answer {
		one, other := s.begin(s.web.asks(nil)), s.begin(s.web.asks(nil))
		return s.acs(s.respond(s.idp, one, nil), other.RelayState)
	}, toApplication("access_denied")},
}

// Signing out.
var onLogout = []attack{
	{"open redirect at logout", "OpenID Connect RP-Initiated Logout §3", leaving(func(s *scene, own tokens) url.Values {
		return url.Values{"id_token_hint": {own.ID}, "post_logout_redirect_uri": {"https://evil.example/"}}
	}), onPage(403)},
	{"open redirect at logout, to the callback", "OpenID Connect RP-Initiated Logout §3.1", leaving(func(s *scene, own tokens) url.Values {
		return url.Values{"id_token_hint": {own.ID}, "post_logout_redirect_uri": {callback}}
	}), onPage(403)},
	{"open redirect at logout, of no client", "OpenID Connect RP-Initiated Logout §3", leaving(func(*scene, tokens) url.Values {
		return url.Values{"post_logout_redirect_uri": {"https://evil.example/"}}
	}), onPage(403)},
	{"logout with a hint of another project's client", "OpenID Connect RP-Initiated Logout §4", leaving(func(s *scene, _ tokens) url.Values {
		foreign := granted(s.t, s.redeem(s.code(s.foreignIdP, s.alien.asks(nil)), s.alien.credentials()))
		return url.Values{"id_token_hint": {foreign.ID}, "client_id": {s.web.id}}
	}), onPage(400)},
	{"logout that nobody wanted", "OpenID Connect RP-Initiated Logout §6", leaving(func(*scene, tokens) url.Values { return nil }), askedFirst},
	{"logout of somebody else", "OpenID Connect RP-Initiated Logout §4", leaving(func(s *scene, _ tokens) url.Values {
		other := s.tab()
		other.idp = s.otherIdP
		return url.Values{"id_token_hint": {other.signsIn(s.web, url.Values{"organization": {"globex.example"}}).ID}}
	}), askedFirst},
	{"logout with an id token whose sub an identity provider chose", "OpenID Connect RP-Initiated Logout §4", leaving(func(s *scene, own tokens) url.Values {
		request := s.begin(polisClient(url.Values{"client_id": {"tenant=globex.example&product=" + testProduct}, "scope": {"openid"}}))
		back := s.acs(s.respond(s.otherIdP, request, asSubject(s.victim)), request.RelayState)
		got := granted(s.t, s.redeem(back.location().Query().Get("code"), url.Values{"client_id": {"tenant=globex.example&product=" + testProduct}}))
		if claimsOf(s.t, got.ID)["sub"] != s.victim || claimsOf(s.t, own.ID)["sub"] != s.victim {
			s.t.Fatal("it is not the victim's sub")
		}
		return url.Values{"id_token_hint": {got.ID}}
	}), askedFirst},
	{"logout confirmed by another site", "OpenID Connect RP-Initiated Logout §6", func(t *testing.T, s *scene) answer {
		tab := s.tab()
		tab.signsIn(s.web, nil)
		form := formOf(t, tab.leaves(nil))
		a := tab.post("/api/oauth/logout/confirm", form, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		tab.silently(s.second, nil)
		return a
	}, forbidden},
	{"logout confirmed with another browser's token", "OpenID Connect RP-Initiated Logout §6", func(t *testing.T, s *scene) answer {
		tab, mallory := s.tab(), s.tab()
		tab.signsIn(s.web, nil)
		mallory.signsIn(s.web, nil)
		return tab.post("/api/oauth/logout/confirm", formOf(t, mallory.leaves(nil)))
	}, onPage(403)},
}

// asSubject has an identity provider name the person so.
func asSubject(subject string) func(*federationtest.Response) {
	return func(r *federationtest.Response) {
		r.NameID = subject
		for i := range r.Attributes {
			if strings.Contains(r.Attributes[i].Name, "nameidentifier") || r.Attributes[i].Name == "id" {
				r.Attributes[i].Values = []string{subject}
			}
		}
	}
}

var authnInstant = regexp.MustCompile(`AuthnInstant="[^"]*"`)

// Browsers: whose session is it?
var onBrowsers = []attack{
	{"session fixation: the victim signs in with a planted session", "RFC 9700 §4.7", func(t *testing.T, s *scene) answer {
		mallory, victim := s.tab(), s.tab()
		mallory.signsIn(s.web, nil)
		victim.keep(s.sessionName(testProduct), mallory.session())
		victim.signsIn(s.web, url.Values{"prompt": {"login"}})
		return mallory.authorize(s.second.asks(nil))
	}, toProvider},
	{"session fixation: the victim finishes what another browser began", "RFC 9700 §4.7", func(t *testing.T, s *scene) answer {
		mallory, victim := s.tab(), s.tab()
		victim.get(mallory.finished(s.web, nil))
		if victim.session() != "" {
			t.Error("the victim has the attacker's session")
		}
		return victim.authorize(s.second.asks(nil))
	}, toProvider},
	{"session of another project", "OpenID Connect Core §3.1.2.3", func(_ *testing.T, s *scene) answer {
		tab := s.tab()
		tab.signsIn(s.web, nil)
		tab.keep(s.sessionName("hr"), tab.session())
		return tab.authorize(s.alien.asks(nil))
	}, toProvider},
	{"session of another organization", "OpenID Connect Core §3.1.2.3", func(_ *testing.T, s *scene) answer {
		tab := s.tab()
		tab.signsIn(s.web, nil)
		return tab.authorize(s.second.asks(url.Values{"organization": {"globex.example"}}))
	}, toProvider},
	{"session of another organization, asked silently", "OpenID Connect Core §3.1.2.6", func(_ *testing.T, s *scene) answer {
		tab := s.tab()
		tab.signsIn(s.web, nil)
		return tab.authorize(s.second.asks(url.Values{"organization": {"globex.example"}, "prompt": {"none"}}))
	}, toApplication("login_required")},
	{"session with a guessed secret", "RFC 6749 §10.10", func(_ *testing.T, s *scene) answer {
		tab, thief := s.tab(), s.tab()
		tab.signsIn(s.web, nil)
		thief.keep(s.sessionName(testProduct), tab.session()[:len(tab.session())-4]+"AAAA")
		return thief.authorize(s.second.asks(nil))
	}, toProvider},
	{"session where a new sign-in is asked for", "OpenID Connect Core §3.1.2.1", func(_ *testing.T, s *scene) answer {
		tab := s.tab()
		tab.signsIn(s.web, nil)
		return tab.authorize(s.second.asks(url.Values{"max_age": {"0"}}))
	}, toProvider},
	{"sign-in of long ago where a new one is asked for", "OpenID Connect Core §3.1.2.1", func(_ *testing.T, s *scene) answer {
		request := s.authorize(s.web.asks(url.Values{"max_age": {"60"}})).atProvider(s.t)
		return s.acs(s.respond(s.idp, request, func(r *federationtest.Response) {
			r.EditAssertion = func(xml string) string {
				return authnInstant.ReplaceAllString(xml, `AuthnInstant="`+s.clock.now().Add(-time.Hour).UTC().Format(time.RFC3339)+`"`)
			}
		}), request.RelayState)
	}, toApplication("login_required")},
	{"sign-in of somebody else than was asked for", "OpenID Connect Core §3.1.2.2", func(_ *testing.T, s *scene) answer {
		own := s.signsIn(s.web, nil)
		request := s.authorize(s.web.asks(url.Values{"id_token_hint": {own.ID}})).atProvider(s.t)
		return s.acs(s.respond(s.idp, request, asSubject("bob-1")), request.RelayState)
	}, toApplication("login_required")},
}

// Pages on which a person agrees to something.
var onPeople = []attack{
	{"device approved by another site", "RFC 8628 §5.4", func(_ *testing.T, s *scene) answer {
		codes := s.device(s.tv, nil)
		return s.tab().post("/device", url.Values{"user_code": {codes.user}, "action": {"approve"}, "connection": {s.connection}},
			"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	}, forbidden},
	{"device whose code the attacker confirms and the victim signs in for", "RFC 8628 §5.4", func(t *testing.T, s *scene) answer {
		codes := s.device(s.tv, nil)
		a := s.elsewhereSigned(s.tab().confirm(codes.user))
		tokenRefused(t, s.poll(s.tv, codes.device), 400, "authorization_pending")
		return a
	}, onPage(403)},
	{"device that is approved by its address alone", "RFC 8628 §3.3.1", func(_ *testing.T, s *scene) answer {
		codes := s.device(s.tv, nil)
		tab := s.tab()
		tab.signsIn(s.web, nil)
		tab.get("/device?" + url.Values{"user_code": {codes.user}, "action": {"approve"}, "connection": {s.connection}}.Encode())
		return s.poll(s.tv, codes.device)
	}, asJSON(400, "authorization_pending")},
	{"device over another project's connection", "RFC 8628 §5.4", func(_ *testing.T, s *scene) answer {
		codes := s.device(s.tv, nil)
		foreign := granted(s.t, s.redeem(s.code(s.foreignIdP, s.alien.asks(nil)), s.alien.credentials()))
		return s.tab().post("/device", url.Values{"user_code": {codes.user}, "action": {"approve"}, "connection": {claimsOf(s.t, foreign.ID)["connection_id"].(string)}})
	}, forbidden},
	{"user codes that are guessed", "RFC 8628 §5.1", func(_ *testing.T, s *scene) answer {
		for range 30 {
			s.get("/device?user_code=BBBB-BBBB")
		}
		return s.get("/device?user_code=BBBB-BBBB")
	}, func(t *testing.T, a answer) {
		if a.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s", a.Status)
		}
	}},
}

// Parameters that two readers would read differently.
var onParameters = []attack{
	{"two clients", "RFC 6749 §3.1", func(_ *testing.T, s *scene) answer {
		return s.authorize(s.web.asks(url.Values{"client_id": {s.web.id, s.alien.id}}))
	}, onPage(400)},
	{"two states", "RFC 6749 §3.1", asking(url.Values{"state": {"a", "b"}}), toApplication("invalid_request")},
	{"two challenges", "RFC 6749 §3.1", asking(url.Values{"code_challenge": {challenge(), strings.Repeat("A", 43)}, "code_challenge_method": {"S256"}}), toApplication("invalid_request")},
	{"no state and no PKCE", "RFC 9700 §4.7.1", asking(url.Values{"state": nil}), toApplication("invalid_request")},
	{"no response type", "RFC 6749 §3.1.1", asking(url.Values{"response_type": nil}), toApplication("invalid_request")},
	{"two codes", "RFC 6749 §3.2", redeeming(nil, values(url.Values{"code": {"a", "b"}})), asJSON(400, "invalid_request")},
	{"two grant types", "RFC 6749 §3.2", redeeming(nil, values(url.Values{"grant_type": {"authorization_code", "client_credentials"}})), asJSON(400, "invalid_request")},
	{"a redemption in the address", "RFC 6749 §3.2", func(_ *testing.T, s *scene) answer {
		q := with(s.web.credentials(), url.Values{"grant_type": {"authorization_code"}, "code": {s.code(s.idp, s.web.asks(nil))}, "redirect_uri": {callback}})
		return s.post("/api/oauth/token?"+q.Encode(), nil)
	}, asJSON(400, "invalid_request")},
	{"parameters behind a semicolon", "RFC 6749 §3.1", func(_ *testing.T, s *scene) answer {
		return s.get("/api/oauth/authorize?" + s.web.asks(nil).Encode() + ";redirect_uri=http://evil.example/")
	}, onPage(400)},
	{"what stands beside a pushed request", "RFC 9126 §4", func(_ *testing.T, s *scene) answer {
		a := s.authorize(url.Values{"client_id": {s.web.id}, "request_uri": {s.push(s.web, s.web.asks(url.Values{"prompt": {"none"}}))},
			"redirect_uri": {"http://evil.example/"}, "prompt": {"login"}})
		return a
	}, toApplication("login_required")},
	{"a prompt that contradicts itself", "OpenID Connect Core §3.1.2.1", asking(url.Values{"prompt": {"none login"}}), toApplication("invalid_request")},
}
