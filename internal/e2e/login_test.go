package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

func TestPolisLogin(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	token := p.redeem(p.code(idp, polisClient(url.Values{"scope": {"openid"}, "nonce": {"n-1"}})), nil)
	if token.StatusCode != http.StatusOK {
		t.Fatalf("token: %s %s", token.Status, token.body)
	}
	body := token.json(t)
	if body["token_type"] != "bearer" || body["expires_in"] != 300.0 {
		t.Errorf("token: %s", token.body)
	}
	info := p.userinfo(body["access_token"].(string)).json(t)
	for name, want := range map[string]any{"id": "alice-1", "sub": "alice-1", "email": "alice@acme.example", "firstName": "Alice", "lastName": "Archer"} {
		if info[name] != want {
			t.Errorf("userinfo %s: got %v, want %v", name, info[name], want)
		}
	}
	requested, _ := info["requested"].(map[string]any)
	for name, want := range map[string]any{"tenant": testTenant, "product": testProduct, "state": "the-state", "protocol": "saml",
		"login_type": "sp-initiated", "providerName": "idp.example", "redirect_uri": callback, "oidc": true, "nonce": "n-1"} {
		if requested[name] != want {
			t.Errorf("requested %s: got %v, want %v", name, requested[name], want)
		}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(body["id_token"].(string), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims["iss"] != p.URL || claims["nonce"] != "n-1" || claims["sub"] != "alice-1" {
		t.Errorf("id token: %s", payload)
	}
}

func TestApplicationSubjectIsTheIdentity(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	var subjects []any
	for range 2 {
		body := p.redeem(p.code(idp, p.application(t, nil)), url.Values{"client_id": {p.clientID(t)}, "client_secret": {p.secret(t)}}).json(t)
		info := p.userinfo(body["access_token"].(string)).json(t)
		subjects = append(subjects, info["sub"])
		if info["given_name"] != "Alice" {
			t.Errorf("userinfo: %v", info)
		}
	}
	if subjects[0] != subjects[1] || subjects[0] == "alice-1" || len(subjects[0].(string)) != 36 {
		t.Errorf("subjects: %v", subjects)
	}
}

// The one application of a test, made when first asked for.
var (
	applicationsMu sync.Mutex
	applications   = map[*program][2]string{}
)

func (p *program) applicationOf(t *testing.T) [2]string {
	t.Helper()
	applicationsMu.Lock()
	defer applicationsMu.Unlock()
	if known, ok := applications[p]; ok {
		return known
	}
	data := p.graphql(`{projects(first: 1) {edges {node {id}}}}`, nil)
	projectID := data["projects"].(map[string]any)["edges"].([]any)[0].(map[string]any)["node"].(map[string]any)["id"]
	data = p.graphql(`mutation($in: CreateApplicationInput!) {createApplication(input: $in) {application {id} secret errors {message}}}`,
		map[string]any{"in": map[string]any{"projectId": projectID, "name": "App", "redirectUris": []string{callback}}})
	created := data["createApplication"].(map[string]any)
	known := [2]string{created["application"].(map[string]any)["id"].(string), created["secret"].(string)}
	applications[p] = known
	return known
}

func (p *program) clientID(t *testing.T) string { return p.applicationOf(t)[0] }
func (p *program) secret(t *testing.T) string   { return p.applicationOf(t)[1] }

func (p *program) application(t *testing.T, change url.Values) url.Values {
	t.Helper()
	q := polisClient(url.Values{"client_id": {p.clientID(t)}, "organization": {testTenant}, "scope": {"openid"}})
	for name, values := range change {
		q[name] = values
	}
	return q
}

func TestOneResponseYieldsOneCode(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, map[string]any{"idpInitiated": true})
	for name, relay := range map[string]bool{"asked for": true, "idp-initiated": false} {
		t.Run(name, func(t *testing.T) {
			request := federationtest.Request{ACS: p.URL + "/api/oauth/saml", Issuer: p.URL + "/.well-known/sp-metadata"}
			if relay {
				request = p.begin(polisClient(nil))
			}
			response := p.respond(idp, request, nil)
			if got := parallel(50, func() bool { return p.acs(response, request.RelayState).location().Query().Get("code") != "" }); got != 1 {
				t.Errorf("%d codes of 50 posts", got)
			}
		})
	}
}

func TestOneCodeYieldsOneToken(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	code := p.code(idp, polisClient(nil))
	var token atomic.Value
	got := parallel(50, func() bool {
		a := p.redeem(code, nil)
		if a.StatusCode == http.StatusOK {
			token.Store(a.json(t)["access_token"])
			return true
		}
		if a.StatusCode != http.StatusBadRequest || a.json(t)["error"] != "invalid_grant" {
			t.Errorf("loser: %s %s", a.Status, a.body)
		}
		return false
	})
	if got != 1 {
		t.Fatalf("%d tokens of 50 redemptions", got)
	}
	// The losers replayed the code, so what the winner bought has ended.
	if a := p.userinfo(token.Load().(string)); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo after a replay: %s", a.Status)
	}
}

func parallel(n int, f func() bool) int {
	var won atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if f() {
				won.Add(1)
			}
		})
	}
	all.Wait()
	return int(won.Load())
}

func TestConcurrentLoginsOnSQLiteNeverFail(t *testing.T) {
	p := start(t, func(c *app.Config) { c.DatabaseURL = "sqlite:" + t.TempDir() + "/portico.db" })
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	got := parallel(16, func() bool {
		for range 3 {
			if p.redeem(p.code(idp, polisClient(nil)), nil).StatusCode != http.StatusOK {
				return false
			}
		}
		return true
	})
	if got != 16 {
		t.Errorf("%d of 16 finished", got)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	record := p.connect(idp, nil)
	code := p.code(idp, polisClient(url.Values{"state": {"planted-state"}, "login_hint": {"planted@acme.example"}}))
	token := p.redeem(code, nil).json(t)["access_token"].(string)
	p.userinfo(token)
	p.redeem(code, url.Values{"client_secret": {"planted-wrong-secret"}})
	p.userinfo("planted-wrong-token")
	request := p.begin(polisClient(nil))
	p.acs(p.respond(idp, request, func(r *federationtest.Response) { r.Audience = "https://elsewhere.example" }), request.RelayState)
	logs := p.logs.String()
	if !strings.Contains(logs, "path=/api/oauth/token") {
		t.Fatal("nothing was logged")
	}
	for _, secret := range []string{code, token, adminKey, sharedKey, record["clientSecret"].(string), "planted",
		"alice@acme.example", request.RelayState, "alice-1"} {
		if strings.Contains(logs, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// Whoever copies the database finds nothing in it that signs in, and nobody's email address.
func TestTheDatabaseFileShowsNoSecret(t *testing.T) {
	dir := t.TempDir()
	p := start(t, func(c *app.Config) { c.DatabaseURL = "sqlite:" + filepath.Join(dir, "portico.db") })
	idp := newIdP(t, "https://idp.example/one")
	record := p.connect(idp, nil)
	made := p.graphql(`mutation($id: ID!) {createApplication(input: {projectId: $id, name: "Web", redirectUris: ["https://app.example/"]}) {secret}}`,
		map[string]any{"id": p.graphql(`{projects(first: 1) {nodes {id}}}`, nil)["projects"].(map[string]any)["nodes"].([]any)[0].(map[string]any)["id"]})
	unused := p.code(idp, polisClient(nil))
	token := p.redeem(p.code(idp, polisClient(url.Values{"scope": {"openid"}})), nil).json(t)
	var found []byte
	files, err := filepath.Glob(filepath.Join(dir, "portico.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".key") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, content...)
	}
	if !bytes.Contains(found, []byte(record["clientID"].(string))) {
		t.Fatalf("the connection is not in %v", files)
	}
	for what, secret := range map[string]any{"client secret": record["clientSecret"], "application's secret": made["createApplication"].(map[string]any)["secret"],
		"code": unused, "access token": token["access_token"], "id token": token["id_token"], "email": alice.Email, "person's id": alice.ID,
		"admin key": adminKey, "shared secret": sharedKey, "private key": "PRIVATE KEY"} {
		if text, _ := secret.(string); text == "" || bytes.Contains(found, []byte(text)) {
			t.Errorf("the %s %q is readable", what, text)
		}
	}
}

func TestPKCEAloneIsProof(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	pkce := url.Values{"client_id": {"dummy"}, "tenant": {testTenant}, "product": {testProduct},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"}}
	// What NextAuth's BoxyHQ provider sends: a client id and secret that mean nothing, and a verifier.
	dummy := url.Values{"client_id": {"dummy"}, "client_secret": {"dummy"}, "code_verifier": {verifier}}
	if a := p.redeem(p.code(idp, polisClient(pkce)), dummy); a.StatusCode != http.StatusOK {
		t.Errorf("right verifier: %s %s", a.Status, a.body)
	}
	code := p.code(idp, polisClient(pkce))
	dummy["code_verifier"] = []string{verifier + "x"}
	if a := p.redeem(code, dummy); a.StatusCode != http.StatusBadRequest || a.json(t)["error"] != "invalid_grant" {
		t.Errorf("wrong verifier: %s %s", a.Status, a.body)
	}
	dummy["code_verifier"] = []string{verifier}
	if a := p.redeem(code, dummy); a.StatusCode != http.StatusBadRequest {
		t.Errorf("the wrong verifier did not burn the code: %s", a.Status)
	}
}
