package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// upstream is npm's oidc-provider: an OpenID provider that others wrote.
type upstream struct {
	t      *testing.T
	issuer string
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	node := needProgram(t, "node")
	folder := npmInstall(t, "upstream")
	var keys jose.JSONWebKeySet
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		k, err := federationtest.NewSigningKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		jwk := jose.JSONWebKey{Key: k.Key, KeyID: alg, Use: "sig"}
		if alg != "RS256" { // which serves PS256, too
			jwk.Algorithm = alg
		}
		keys.Keys = append(keys.Keys, jwk)
	}
	set, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), node, "server.mjs")
	server.Dir = folder
	server.Env = append(server.Environ(), "UPSTREAM_KEYS="+string(set))
	said := &syncBuffer{}
	server.Stderr = said
	stdin, err := server.StdinPipe() // with which it ends, should this process be killed
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("the provider said: %s", said)
		}
	})
	issuer, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return &upstream{t, strings.TrimSpace(issuer)}
}

// registration is a client of the provider, as it answers one.
type registration map[string]any

func (u *upstream) send(method, address, token string, body map[string]any) registration {
	u.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		u.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(u.t.Context(), method, address, bytes.NewReader(text))
	if err != nil {
		u.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		u.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	var client registration
	if err != nil || response.StatusCode > 299 || json.Unmarshal(answer, &client) != nil {
		u.t.Fatalf("%s %s: %s %s", method, address, response.Status, answer)
	}
	return client
}

// register makes a client.
func (u *upstream) register(metadata map[string]any) registration {
	u.t.Helper()
	body := map[string]any{"redirect_uris": []string{"https://later.example/callback"}}
	for name, value := range metadata {
		body[name] = value
	}
	return u.send(http.MethodPost, u.issuer+"/reg", "", body)
}

// returnTo registers the callback that is known once there is a connection.
func (u *upstream) returnTo(client registration, callback string) {
	u.t.Helper()
	body := map[string]any{}
	for name, value := range client {
		switch name {
		case "registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at":
		default:
			body[name] = value
		}
	}
	body["redirect_uris"] = []string{callback}
	token, _ := client["registration_access_token"].(string)
	address, _ := client["registration_client_uri"].(string)
	u.send(http.MethodPut, address, token, body)
}

var action = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)

// signIn is a browser with its own cookies: it goes to the provider's pages, signs in, consents, and returns the address to
// which it would go back.
func (u *upstream) signIn(location, login string) string {
	u.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		u.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), u.issuer+"/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	response, err := browser.Get(location)
	for range 3 { // the page to sign in, and the one to consent
		if err != nil {
			u.t.Fatal(err)
		}
		page, err2 := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if back := response.Header.Get("Location"); back != "" {
			return back
		}
		form := action.FindSubmatch(page)
		if err2 != nil || form == nil {
			u.t.Fatalf("%s: %s", response.Status, page)
		}
		fields := url.Values{"prompt": {"consent"}}
		if bytes.Contains(page, []byte(`name="login"`)) {
			fields = url.Values{"prompt": {"login"}, "login": {login}, "password": {"any"}}
		}
		response, err = browser.PostForm(html.UnescapeString(string(form[1])), fields)
	}
	u.t.Fatal("the provider does not end asking")
	return ""
}

// An OpenID provider that others wrote, in every way of authenticating and signing that both sides know.
func TestThirdPartyUpstream(t *testing.T) {
	u := startUpstream(t)
	f := newFederation(t)
	var keys any // as they are published; the provider fetches nothing from loopback
	if err := json.Unmarshal(f.get("/oauth/client-jwks").body, &keys); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		client map[string]any // metadata of the registration (RFC 7591)
		ours   map[string]any // settings of the connection
	}{
		{"defaults", nil, nil},
		{"client_secret_post, PS256", map[string]any{"token_endpoint_auth_method": "client_secret_post", "id_token_signed_response_alg": "PS256"}, map[string]any{"clientAuth": "CLIENT_SECRET_POST"}},
		{"private_key_jwt, ES256", map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": keys, "id_token_signed_response_alg": "ES256"},
			map[string]any{"clientAuth": "PRIVATE_KEY_JWT"}},
		{"a public client, EdDSA", map[string]any{"token_endpoint_auth_method": "none", "id_token_signed_response_alg": "EdDSA"}, map[string]any{"clientAuth": "NONE"}},
		{"HS256", map[string]any{"id_token_signed_response_alg": "HS256"}, map[string]any{"hmac": true}},
		{"signed userinfo", map[string]any{"userinfo_signed_response_alg": "ES256"}, nil},
		{"forced PKCE", nil, map[string]any{"pkce": "FORCE"}},
		{"no PKCE", nil, map[string]any{"pkce": "NEVER"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := u.register(c.client)
			in := map[string]any{"discoveryUrl": u.issuer, "clientId": client["client_id"]}
			if secret, ok := client["client_secret"].(string); ok {
				in["clientSecret"] = secret
			}
			for name, value := range c.ours {
				in[name] = value
			}
			made := f.mutate("createConnection", "CreateConnectionInput", "connection {id oidc {callbackUrl}}",
				map[string]any{"organizationId": f.organizationID, "oidc": in})["connection"].(map[string]any)
			u.returnTo(client, made["oidc"].(map[string]any)["callbackUrl"].(string))
			begin := f.authorize(f.asks(connection{id: made["id"].(string)}, url.Values{"max_age": {"600"}, "scope": {"openid"}}))
			back := u.signIn(begin.Header.Get("Location"), "alice")
			if !strings.Contains(back, "iss="+url.QueryEscape(u.issuer)) {
				t.Errorf("the provider does not name itself: %s", back)
			}
			a := f.get(back)
			code := a.location().Query().Get("code")
			if code == "" {
				t.Fatalf("%s to %s\n%s", a.Status, a.Header.Get("Location"), f.logs)
			}
			claims := f.person(code)
			raw, _ := claims["raw"].(map[string]any)
			if claims["email"] != "alice@acme.example" || claims["given_name"] != "Alice" || claims["family_name"] != "Archer" || claims["auth_time"] == nil ||
				!reflect.DeepEqual(claims["groups"], []any{"eng", "ops"}) || raw["sub"] != "alice" {
				t.Errorf("%v", claims)
			}
			f.get(back).onErrorPage(t, 403, "Unable to validate state from the original request.")
		})
	}
	t.Run("an error of the provider", func(t *testing.T) {
		client := u.register(nil)
		made := f.mutate("createConnection", "CreateConnectionInput", "connection {id oidc {callbackUrl}}", map[string]any{"organizationId": f.organizationID,
			"oidc": map[string]any{"discoveryUrl": u.issuer, "clientId": client["client_id"], "clientSecret": client["client_secret"]}})["connection"].(map[string]any)
		u.returnTo(client, made["oidc"].(map[string]any)["callbackUrl"].(string))
		begin := f.authorize(f.asks(connection{id: made["id"].(string)}, url.Values{"prompt": {"login"}}))
		location := begin.location()
		q := location.Query()
		q.Set("prompt", "none") // nobody is signed in
		location.RawQuery = q.Encode()
		f.failed("login_required", f.get(u.signIn(location.String(), "alice")), "login_required")
	})
}
