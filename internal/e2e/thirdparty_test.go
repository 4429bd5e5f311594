package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// site is an organization whose people sign in at one kind of identity provider, and a browser of one of them.
type site struct {
	*program
	tenant  string
	record  map[string]any      // its connection
	subject string              // alice, as her provider names her
	idp     *federationtest.IdP // a SAML identity provider, or
	op      *upstream           // an OpenID provider
}

// Where the applications are to which browsers return.
const (
	nextAuthCallback = "http://app.example/api/auth/callback/boxyhq-saml"
	leftTo           = "http://app.example/left"
	resource         = "https://api.example/orders"
)

var polisRedirects = []string{callback, nextAuthCallback}

// TestThirdPartyClients has clients that others wrote, unmodified, sign a person in and out: each at an organization with a
// SAML identity provider, and at one with an OpenID provider that others wrote, too. All meet one Portico.
func TestThirdPartyClients(t *testing.T) {
	p := startOIDC(t)
	t.Run("SAML", func(t *testing.T) {
		p := p.tab(t)
		idp := newIdP(t, "https://idp.example/acme")
		eachClient(t, site{program: p, tenant: testTenant, record: p.connect(idp, map[string]any{"redirectUrl": polisRedirects}), subject: alice.ID, idp: idp})
	})
	t.Run("OpenID Connect", func(t *testing.T) {
		p, op := p.tab(t), startUpstream(t)
		eachClient(t, site{program: p, tenant: "globex.example", record: p.connectUpstream(op, "globex.example"), subject: "alice", op: op})
	})
}

// A refusal of the token endpoint is one that a library understands.
func TestThirdPartyClientIsRefused(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	c := p.newApplication(testProduct, nil)
	config := oauth2.Config{ClientID: c.id, ClientSecret: "wrong", RedirectURL: callback}
	config.Endpoint = oauth2.Endpoint{TokenURL: p.URL + "/api/oauth/token", AuthStyle: oauth2.AuthStyleInHeader}
	_, err := config.Exchange(t.Context(), p.code(idp, c.asks(nil)))
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response.StatusCode != http.StatusUnauthorized || refused.ErrorCode != "invalid_client" || refused.ErrorDescription == "" {
		t.Errorf("%v", err)
	}
}

// connectUpstream makes a connection over /api/v1/sso and returns its record.
func (p *program) connectUpstream(op *upstream, tenant string) map[string]any {
	p.t.Helper()
	client := op.register(map[string]any{"token_endpoint_auth_method": "client_secret_post", "redirect_uris": []string{p.URL + "/api/oauth/oidc"}})
	a := p.admin(http.MethodPost, "/api/v1/sso", map[string]any{"tenant": tenant, "product": testProduct,
		"defaultRedirectUrl": callback, "redirectUrl": polisRedirects, "oidcDiscoveryUrl": op.issuer + "/.well-known/openid-configuration",
		"oidcClientId": client["client_id"], "oidcClientSecret": client["client_secret"]})
	if a.StatusCode != http.StatusOK {
		p.t.Fatalf("connect: %s %s", a.Status, a.body)
	}
	return a.json(p.t)
}

// tab is a browser of its own, that keeps cookies.
func (p *program) tab(t *testing.T) *program {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	q := *p
	q.t, q.http = t, &http.Client{Timeout: 20 * time.Second, Jar: jar, CheckRedirect: p.http.CheckRedirect, Transport: p.http.Transport}
	return &q
}

// browse takes the browser on from an address, signs alice in where her identity provider asks who she is, approves of a
// device that asks for it, and says to which address of the application it comes in the end.
func (s *site) browse(to string) string {
	s.t.Helper()
	for range 12 {
		at, err := url.Parse(to)
		if err != nil {
			s.t.Fatal(err)
		}
		var a answer
		switch {
		case s.op != nil && strings.HasPrefix(to, s.op.issuer+"/"):
			op := upstream{s.t, s.op.issuer}
			to = op.signIn(to, "alice")
			continue
		case to == s.URL+"/device?done=":
			return to
		case strings.HasPrefix(to, s.URL+"/device?"):
			page := s.get(to)
			a = s.post("/device", url.Values{"user_code": {field(s.t, page.body, "user_code")}, "connection": {field(s.t, page.body, "connection")}, "action": {"approve"}})
		case at.Host == "idp.example":
			request, err := federationtest.ParseRedirect(to, nil)
			if err != nil {
				s.t.Fatal(err)
			}
			at, _ = url.Parse(s.URL)
			a = s.post("/api/oauth/saml", url.Values{"SAMLResponse": {s.respond(s.idp, request, nil)}, "RelayState": {request.RelayState}})
		case strings.HasPrefix(to, s.URL+"/"):
			a = s.get(to)
		default:
			return to
		}
		if a.Header.Get("Location") == "" {
			s.t.Fatalf("the browser stays at %s: %s %s", to, a.Status, a.body)
		}
		to = at.ResolveReference(a.location()).String()
	}
	s.t.Fatalf("the browser is sent about, at last to %s", to)
	return ""
}

// signedIn reports whether the browser has a session at Portico.
func (s *site) signedIn() bool {
	at, _ := url.Parse(s.URL)
	return slices.ContainsFunc(s.http.Jar.Cookies(at), func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, "portico_session_") })
}

// organization is what an application adds to its requests; clients of the Polis kind name a tenant themselves.
func (s *site) organization(c client) string {
	if uuid.Validate(c.id) != nil {
		return ""
	}
	return s.tenant
}

// outcome is what a client says it got.
type outcome struct {
	Claims   map[string]any `json:"claims"` // of the id token; nil for a client that asks for none
	Userinfo map[string]any `json:"userinfo"`

	Type            string `json:"type"`            // of the access token
	Refreshed       bool   `json:"refreshed"`       // the refresh token gave another one
	Active          *bool  `json:"active"`          // what introspection says; nil was not asked
	AfterRevocation string `json:"afterRevocation"` // the error that a revoked refresh token gives
	AtResource      string `json:"atResource"`      // sub of the access token, as a resource read it
	LeftTo          string `json:"leftTo"`          // where the browser was at the end
	SignedIn        bool   `json:"signedIn"`        // whether it has a session at Portico then
}

// thirdParty is a client that others wrote.
type thirdParty struct {
	client func(*site) client
	signIn func(*site, client) outcome
	want   outcome // without the person
}

func application(settings map[string]any) func(*site) client {
	return func(s *site) client {
		all := map[string]any{"postLogoutRedirectUris": []string{leftTo}}
		for name, value := range settings {
			all[name] = value
		}
		return s.newApplication(testProduct, all)
	}
}

func tenantAndProduct(s *site) client {
	return client{"tenant=" + s.tenant + "&product=" + testProduct, sharedKey}
}

func ofConnection(s *site) client {
	return client{s.record["clientID"].(string), s.record["clientSecret"].(string)}
}

// registered is an application that registers itself.
func registered(s *site) client {
	s.t.Helper()
	token := s.mutate("createInitialAccessToken", "CreateInitialAccessTokenInput", "token",
		map[string]any{"projectId": s.projectID(testProduct), "expiresInSeconds": 60})["token"].(string)
	cmd := exec.CommandContext(s.t.Context(), needProgram(s.t, "node"), "register.mjs")
	cmd.Dir = npmInstall(s.t, "clients")
	cmd.Env = append(os.Environ(), "ISSUER="+s.URL, "INITIAL_TOKEN="+token, "REDIRECT_URI="+callback, "LOGOUT_URI="+leftTo)
	out, err := cmd.Output()
	var c struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err != nil || json.Unmarshal(out, &c) != nil {
		s.t.Fatalf("registration: %v: %s", err, out)
	}
	return client{c.ID, c.Secret}
}

func dummy(*site) client { return client{"dummy", sharedKey} }

func eachClient(t *testing.T, s site) {
	key := ecKey(t)
	private, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "the-key", Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "the-key", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	withKey := func(more map[string]any) map[string]any {
		settings := map[string]any{"authMethod": "PRIVATE_KEY_JWT", "jwks": string(public)}
		for name, value := range more {
			settings[name] = value
		}
		return settings
	}
	refreshed := outcome{Type: "bearer", Refreshed: true, SignedIn: true}
	signedOut := outcome{Type: "bearer", Refreshed: true, Active: new(true), AfterRevocation: "invalid_grant", LeftTo: leftTo + "?state=bye"}
	openIDClient := func(settings map[string]any, env ...string) thirdParty {
		want := signedOut
		if settings["public"] == true {
			want.Active = nil
		}
		if settings["requireDpop"] == true {
			want.Type = "dpop"
		}
		return thirdParty{application(settings), node("openid-client.mjs", env...), want}
	}
	for name, c := range map[string]thirdParty{
		"go-oidc":                           {application(nil), goOIDC(oauth2.AuthStyleAutoDetect, false, "RS256"), refreshed},
		"go-oidc, secret in the body":       {application(nil), goOIDC(oauth2.AuthStyleInParams, true, "RS256"), refreshed},
		"go-oidc, ES256 and PKCE":           {application(map[string]any{"idTokenAlg": "ES256"}), goOIDC(oauth2.AuthStyleInHeader, true, "ES256"), refreshed},
		"go-oidc, public":                   {application(map[string]any{"public": true}), goOIDC(oauth2.AuthStyleInParams, true, "RS256"), refreshed},
		"go-oidc, public by Basic":          {application(map[string]any{"public": true}), goOIDC(oauth2.AuthStyleInHeader, true, "RS256"), refreshed},
		"go-oidc, tenant and product":       {tenantAndProduct, goOIDC(oauth2.AuthStyleAutoDetect, false, "RS256"), outcome{Type: "bearer"}},
		"go-oidc, tenant and product, body": {tenantAndProduct, goOIDC(oauth2.AuthStyleInParams, true, "RS256"), outcome{Type: "bearer"}},
		"go-oidc, connection":               {ofConnection, goOIDC(oauth2.AuthStyleAutoDetect, false, "RS256"), outcome{Type: "bearer"}},
		"openid-client":                     openIDClient(nil),
		"openid-client, public":             openIDClient(map[string]any{"public": true}),
		"openid-client, ES256":              openIDClient(map[string]any{"idTokenAlg": "ES256"}),
		"openid-client, EdDSA, JWT":         openIDClient(map[string]any{"idTokenAlg": "EdDSA", "tokenFormat": "JWT"}),
		"openid-client, pushed":             openIDClient(map[string]any{"requirePushedRequests": true}, "FEATURES=par"),
		"openid-client, public with DPoP":   openIDClient(map[string]any{"public": true, "requireDpop": true}, "FEATURES=dpop"),
		"openid-client, pushed with DPoP":   openIDClient(map[string]any{"requireDpop": true}, "FEATURES=par,dpop"),
		"openid-client, by a key, signed":   openIDClient(withKey(nil), "FEATURES=jar", "KEY="+string(private)),
		"openid-client, everything at once": openIDClient(withKey(map[string]any{"requirePushedRequests": true, "requireDpop": true, "idTokenAlg": "PS256"}), "FEATURES=jar,par,dpop", "KEY="+string(private)),
		"oauth4webapi":                      {application(nil), node("oauth4webapi.mjs"), refreshed},
		"oauth4webapi, public":              {application(map[string]any{"public": true}), node("oauth4webapi.mjs"), refreshed},
		"oauth4webapi, PS256":               {application(map[string]any{"idTokenAlg": "PS256"}), node("oauth4webapi.mjs"), refreshed},
		"oauth4webapi, a resource":          {application(map[string]any{"tokenFormat": "JWT", "resources": []string{resource}}), node("oauth4webapi.mjs", "RESOURCE="+resource), outcome{Type: "bearer", Refreshed: true, AtResource: "the person", SignedIn: true}},
		"next-auth, BoxyHQ SAML provider":   {dummy, nextAuth, outcome{LeftTo: "http://app.example/"}},
		"next-auth, tenant and product":     {tenantAndProduct, nextAuth, outcome{LeftTo: "http://app.example/"}},
		"next-auth, connection":             {ofConnection, nextAuth, outcome{LeftTo: "http://app.example/"}},
		"Authlib":                           {application(nil), authlib, outcome{Type: "bearer", Refreshed: true, Active: new(true), AfterRevocation: "invalid_grant", SignedIn: true}},
		"Authlib, public":                   {application(map[string]any{"public": true, "idTokenAlg": "ES256"}), authlib, outcome{Type: "bearer", Refreshed: true, AfterRevocation: "invalid_grant", SignedIn: true}},
		"openid-client, registers itself":   {registered, node("openid-client.mjs"), signedOut},
		"oauth4webapi, a device":            {application(map[string]any{"public": true, "redirectUris": []string{}, "grantTypes": []string{"DEVICE_CODE", "REFRESH_TOKEN"}}), node("device.mjs"), outcome{Type: "bearer", Refreshed: true}},
		"mod_auth_openidc":                  {application(map[string]any{"redirectUris": []string{"http://127.0.0.1/oidc"}}), modAuth, outcome{Refreshed: true, LeftTo: leftTo}},
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			s.program = s.tab(t)
			client := c.client(&s)
			got := c.signIn(&s, client)
			s.check(client, got, c.want)
		})
	}
}

// check compares what a client got with what it is to have got, and with who alice is. Applications know her by the id of her
// identity.
func (s *site) check(c client, got, want outcome) {
	s.t.Helper()
	sub, _ := got.Userinfo["sub"].(string)
	ours := s.organization(c) != ""
	if ours && uuid.Validate(sub) != nil || !ours && sub != s.subject {
		s.t.Errorf("the person is %q", sub)
	}
	got.SignedIn = s.signedIn()
	name, ok := got.Userinfo["name"]
	if !ok { // Polis has none
		name = fmt.Sprint(got.Userinfo["firstName"], " ", got.Userinfo["lastName"])
	}
	if got.Userinfo["email"] != alice.Email || name != alice.FirstName+" "+alice.LastName {
		s.t.Errorf("userinfo: %v", got.Userinfo)
	}
	if claims := got.Claims; claims != nil && (claims["sub"] != sub || claims["aud"] != c.id || claims["iss"] != s.URL || claims["email"] != alice.Email) {
		s.t.Errorf("claims: %v", claims)
	}
	if got.AtResource != "" && got.AtResource == sub {
		got.AtResource = "the person"
	}
	got.Claims, got.Userinfo = nil, nil
	said, _ := json.Marshal(got)
	if wanted, _ := json.Marshal(want); string(said) != string(wanted) {
		s.t.Errorf("got %s, want %s", said, wanted)
	}
}

// goOIDC is golang.org/x/oauth2 with go-oidc. It finds the endpoints by discovery, and verifies the id token with the
// published keys.
func goOIDC(style oauth2.AuthStyle, pkce bool, alg string) func(*site, client) outcome {
	return func(s *site, c client) outcome {
		s.t.Helper()
		ctx := s.t.Context()
		provider, err := oidc.NewProvider(ctx, s.URL)
		if err != nil {
			s.t.Fatal(err)
		}
		endpoint := provider.Endpoint()
		endpoint.AuthStyle = style
		config := oauth2.Config{ClientID: c.id, ClientSecret: c.secret, Endpoint: endpoint, RedirectURL: callback,
			Scopes: []string{oidc.ScopeOpenID, "email", "profile", oidc.ScopeOfflineAccess}}
		asks := []oauth2.AuthCodeOption{oidc.Nonce("the-nonce")}
		if organization := s.organization(c); organization != "" {
			asks = append(asks, oauth2.SetAuthURLParam("organization", organization))
		}
		var proof []oauth2.AuthCodeOption
		if pkce {
			secret := oauth2.GenerateVerifier()
			asks, proof = append(asks, oauth2.S256ChallengeOption(secret)), []oauth2.AuthCodeOption{oauth2.VerifierOption(secret)}
		}
		back, err := url.Parse(s.browse(config.AuthCodeURL("the-state", asks...)))
		if err != nil || back.Query().Get("state") != "the-state" {
			s.t.Fatalf("%v, %v", back, err)
		}
		token, err := config.Exchange(ctx, back.Query().Get("code"), proof...)
		if err != nil {
			s.t.Fatal(err)
		}
		raw, _ := token.Extra("id_token").(string)
		verify := func(c *oidc.Config) (*oidc.IDToken, error) { return provider.Verifier(c).Verify(ctx, raw) }
		idToken, err := verify(&oidc.Config{ClientID: c.id, SupportedSigningAlgs: []string{alg}})
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := verify(&oidc.Config{ClientID: "another", SupportedSigningAlgs: []string{alg}}); err == nil {
			s.t.Error("the id token is for everyone")
		}
		got := outcome{Type: strings.ToLower(token.Type())}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err = errors.Join(err, idToken.Claims(&got.Claims)); err == nil {
			err = info.Claims(&got.Userinfo)
		}
		if groups, _ := got.Claims["groups"].([]any); err != nil || idToken.Nonce != "the-nonce" || token.Expiry.IsZero() || len(groups) != 2 {
			s.t.Errorf("%v, %v, expiry %v", got.Claims, err, token.Expiry)
		}
		if token.RefreshToken != "" {
			next, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil {
				s.t.Fatal(err)
			}
			got.Refreshed = next.RefreshToken != token.RefreshToken && next.AccessToken != token.AccessToken
		}
		return got
	}
}

// node runs a client of npm.
func node(script string, env ...string) func(*site, client) outcome {
	return func(s *site, c client) outcome {
		s.t.Helper()
		cmd := exec.CommandContext(s.t.Context(), needProgram(s.t, "node"), script)
		cmd.Dir, cmd.Env = npmInstall(s.t, "clients"), env
		return s.drive(cmd, c)
	}
}

// nextAuth is a site that lets people sign in with the BoxyHQ SAML provider of next-auth.
func nextAuth(s *site, c client) outcome {
	s.t.Helper()
	if c.id == "dummy" {
		return node("next-auth.mjs", "TENANT="+s.tenant, "PRODUCT="+testProduct)(s, c)
	}
	return node("next-auth.mjs")(s, c)
}

// authlib is Authlib for Python, as Debian has it.
func authlib(s *site, c client) outcome {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), needPython(s.t, "authlib", "requests"), "clients/authlib_client.py")
	return s.drive(cmd, c)
}

// needPython finds Debian's Python with packages that a test needs.
func needPython(t *testing.T, packages ...string) string {
	t.Helper()
	python := needProgram(t, "/usr/bin/python3")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import "+strings.Join(packages, ",")).CombinedOutput(); err != nil {
		missing(t, "%s: %s", python, out)
	}
	return python
}

// drive runs a client that prints addresses to visit, each on a line, reads on a line where the browser ended, and in the end
// prints its outcome.
func (s *site) drive(cmd *exec.Cmd, c client) outcome {
	s.t.Helper()
	said := &syncBuffer{}
	cmd.Stderr = said
	cmd.Env = append(append(os.Environ(), cmd.Env...), "ISSUER="+s.URL, "CLIENT_ID="+c.id, "CLIENT_SECRET="+c.secret,
		"REDIRECT_URI="+callback, "LOGOUT_URI="+leftTo, "ORGANIZATION="+s.organization(c))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	var last string
	for lines.Scan() {
		if last = lines.Text(); strings.HasPrefix(last, "http") {
			if _, err := io.WriteString(stdin, s.browse(last)+"\n"); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	var got outcome
	if err := cmd.Wait(); err != nil || json.Unmarshal([]byte(last), &got) != nil {
		s.t.Fatalf("the client ended with %q: %v: %s", last, err, said)
	}
	return got
}
