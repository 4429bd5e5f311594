package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

// TestIDTokenAlgorithms has go-oidc verify an id token of each algorithm by the published keys.
func TestIDTokenAlgorithms(t *testing.T) {
	l := newLand(t)
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		c := l.newApplication(testProduct, map[string]any{"idTokenAlg": alg})
		got := granted(t, l.redeem(l.code(l.idp, c.asks(nil)), c.credentials()))
		ctx := oidc.ClientContext(t.Context(), l.http)
		provider, err := oidc.NewProvider(ctx, l.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.Verifier(&oidc.Config{ClientID: c.id, SupportedSigningAlgs: []string{alg}, Now: l.clock.now}).Verify(ctx, got.ID); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// TestRotateSigningKeysWhileServing rotates them from the command line beside a server.
func TestRotateSigningKeysWhileServing(t *testing.T) {
	dir := t.TempDir()
	env := []string{"PORTICO_ADMIN_KEYS=" + adminKey, "PORTICO_CLIENT_SECRET_VERIFIER=" + sharedKey}
	before := launch(t, dir, env, "serve")
	p := before.serving()
	keys := p.get("/oauth/jwks")
	if n := strings.Count(string(keys.body), `"kid"`); keys.StatusCode != http.StatusOK || n != 4 {
		t.Fatalf("%d keys: %s", n, keys.body)
	}
	rotate := launch(t, dir, env, "keys", "rotate", "signing")
	if rotate.wait() != 0 || strings.Count(rotate.stdout.String(), "\n") != 5 {
		t.Fatalf("%s%s", rotate.stdout.String(), rotate.stderr.String())
	}
	before.stop()
	after := launch(t, dir, env, "serve") // which reads them at once
	p = after.serving()
	p.http.CheckRedirect = stay
	next := string(p.get("/oauth/jwks").body)
	if n := strings.Count(next, `"kid"`); n != 8 {
		t.Errorf("%d keys: %s", n, next)
	}
	for _, line := range strings.Split(strings.TrimSpace(rotate.stdout.String()), "\n")[:4] {
		if _, kid, _ := strings.Cut(line, " "); !strings.Contains(next, kid) {
			t.Errorf("%s is not published", line)
		}
	}
	p.connect(newIdP(t, "https://idp.example/keys"), nil)
	idp := newIdP(t, "https://idp.example/keys2")
	p.connect(idp, map[string]any{"tenant": "second.example"})
	q := polisClient(url.Values{"scope": {"openid"}, "client_id": {"tenant=second.example&product=" + testProduct}})
	code := p.code(idp, q)
	got := granted(t, p.redeem(code, url.Values{"client_id": q["client_id"]}))
	verifier := oidc.NewVerifier("http://localhost:0", oidc.NewRemoteKeySet(oidc.ClientContext(t.Context(), p.http), p.URL+"/oauth/jwks"),
		&oidc.Config{SkipClientIDCheck: true})
	if _, err := verifier.Verify(oidc.ClientContext(t.Context(), p.http), got.ID); err != nil {
		t.Errorf("an id token beside keys to come: %v", err)
	}
	after.stop()
}
