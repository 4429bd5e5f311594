package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/portico-sso/portico/app"
)

func TestLogoutByAnApplication(t *testing.T) {
	l := newLand(t)
	const bye = "https://app.example/bye?x=1"
	c := l.newApplication(testProduct, map[string]any{"postLogoutRedirectUris": []string{bye}})
	leaves := func(tab *land, q url.Values) answer {
		return tab.leaves(with(url.Values{"post_logout_redirect_uri": {bye}, "state": {"a b"}}, q))
	}
	signedOut := func(tab *land, a answer) {
		t.Helper()
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != bye+"&state=a+b" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s to %s", a.Status, a.Header.Get("Location"))
		}
		if tab.session() != "" {
			t.Error("the browser keeps its session")
		}
		tab.authorize(l.second.asks(nil)).atProvider(t)
	}
	t.Run("with an id token of theirs", func(t *testing.T) {
		tab := l.tab()
		own := tab.signsIn(c, nil)
		signedOut(tab, leaves(tab, url.Values{"id_token_hint": {own.ID}, "client_id": {c.id}}))
	})
	t.Run("with one that has expired", func(t *testing.T) {
		tab := l.tab()
		own := tab.signsIn(c, nil)
		l.clock.advance(90 * time.Minute)
		signedOut(tab, leaves(tab, url.Values{"id_token_hint": {own.ID}}))
	})
	t.Run("without one, once the person has agreed", func(t *testing.T) {
		tab := l.tab()
		tab.signsIn(c, nil)
		page := leaves(tab, url.Values{"client_id": {c.id}})
		form := formOf(t, page)
		tab.silently(l.second, nil) // not yet
		signedOut(tab, tab.post("/api/oauth/logout/confirm", form))
	})
	t.Run("posted from its own site", func(t *testing.T) {
		tab := l.tab()
		own := tab.signsIn(c, nil)
		a := tab.post("/api/oauth/logout", url.Values{"id_token_hint": {own.ID}, "post_logout_redirect_uri": {bye}, "state": {"a b"}},
			"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site")
		signedOut(tab, tab.get(a.Header.Get("Location")))
	})
	t.Run("of nobody", func(t *testing.T) {
		tab := l.tab()
		if a := leaves(tab, url.Values{"client_id": {c.id}}); a.Header.Get("Location") != bye+"&state=a+b" {
			t.Errorf("%s to %s", a.Status, a.Header.Get("Location"))
		}
	})
}

// listener is an application's back-channel logout endpoint.
func listener(t *testing.T) (address string, heard <-chan string) {
	t.Helper()
	tokens := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { tokens <- r.PostFormValue("logout_token") }))
	t.Cleanup(server.Close)
	return server.URL, tokens
}

func hears(t *testing.T, heard <-chan string) string {
	t.Helper()
	select {
	case token := <-heard:
		return token
	case <-time.After(20 * time.Second):
		t.Fatal("the application was not told")
		return ""
	}
}

func TestBackchannelLogout(t *testing.T) {
	l := newLandWith(t, func(c *app.Config) { c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	application := func(alg string) (client, <-chan string) {
		address, heard := listener(t)
		return l.newApplication(testProduct, map[string]any{"backchannelLogoutUri": address + "/logout", "idTokenAlg": alg}), heard
	}
	first, heardFirst := application("RS256")
	second, heardSecond := application("ES256")
	bystander, heardNothing := application("RS256")
	check := func(t *testing.T, token string, c client, alg string, signedIn map[string]any) {
		t.Helper()
		ctx := oidc.ClientContext(t.Context(), l.http)
		v := oidc.NewVerifier(l.URL, oidc.NewRemoteKeySet(ctx, l.URL+"/oauth/jwks"), &oidc.Config{ClientID: c.id, SupportedSigningAlgs: []string{alg}, Now: l.clock.now})
		if _, err := v.Verify(ctx, token); err != nil {
			t.Fatal(err)
		}
		header, err := base64.RawURLEncoding.DecodeString(token[:strings.Index(token, ".")])
		if err != nil || !strings.Contains(string(header), `"typ":"logout+jwt"`) {
			t.Errorf("header %s, %v", header, err)
		}
		var claims struct {
			Subject   string                    `json:"sub"`
			SessionID string                    `json:"sid"`
			ID        string                    `json:"jti"`
			Nonce     *string                   `json:"nonce"`
			Issued    int64                     `json:"iat"`
			Expires   int64                     `json:"exp"`
			Events    map[string]map[string]any `json:"events"`
		}
		if err := json.Unmarshal(payloadOf(t, token), &claims); err != nil {
			t.Fatal(err)
		}
		event, ok := claims.Events["http://schemas.openid.net/event/backchannel-logout"]
		if !ok || len(event) != 0 || len(claims.Events) != 1 || claims.Nonce != nil || claims.ID == "" || claims.Expires-claims.Issued != 120 ||
			claims.Subject != signedIn["sub"] || claims.SessionID != signedIn["sid"] {
			t.Errorf("%+v of %v", claims, signedIn)
		}
		refusedBearer(t, l.userinfo(token), "invalid_token")
	}
	for name, end := range map[string]func(tab *land, claims map[string]any){
		"the person signs out": func(tab *land, _ map[string]any) { tab.signOut(t) },
		"the session is revoked": func(_ *land, c map[string]any) {
			l.mutate("revokeSession", "RevokeSessionInput", "deletedId", map[string]any{"id": c["sid"]})
		},
		"the person is deactivated": func(_ *land, c map[string]any) {
			for _, active := range []bool{false, true} {
				l.mutate("updateIdentity", "UpdateIdentityInput", "identity {active}", map[string]any{"id": c["sub"], "active": active})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tab := l.tab()
			claims := claimsOf(t, tab.signsIn(first, nil).ID)
			tab.silently(second, nil)
			end(tab, claims)
			check(t, hears(t, heardFirst), first, "RS256", claims)
			check(t, hears(t, heardSecond), second, "ES256", claims)
		})
	}
	if bystander.id == "" || len(heardNothing) != 0 || len(heardFirst) != 0 || len(heardSecond) != 0 {
		t.Error("somebody was told who need not be, or twice")
	}
}
