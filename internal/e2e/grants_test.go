package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// tokens are what the token endpoint answers.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Type    string `json:"token_type"`
	Scope   string `json:"scope"`
	Expires int64  `json:"expires_in"`
}

func (p *program) tokenEndpoint(form url.Values) answer { return p.post("/api/oauth/token", form) }

func granted(t *testing.T, a answer) tokens {
	t.Helper()
	var got tokens
	if err := json.Unmarshal(a.body, &got); err != nil || a.StatusCode != http.StatusOK || got.Access == "" {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	return got
}

// stays signs a person in at an application that may come back without them.
func (l *land) stays(c client, change url.Values) tokens {
	l.t.Helper()
	q := c.asks(with(url.Values{"scope": {"openid offline_access"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}}, change))
	return granted(l.t, l.redeem(l.code(l.idp, q), with(c.credentials(), url.Values{"code_verifier": {verifier}})))
}

func refreshForm(c client, token string, change url.Values) url.Values {
	return with(with(c.credentials(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}), change)
}

// active asks the introspection endpoint as an application.
func (l *land) active(c client, token string) bool {
	l.t.Helper()
	a := l.post("/api/oauth/introspect", with(c.credentials(), url.Values{"token": {token}}))
	if a.StatusCode != http.StatusOK {
		l.t.Fatalf("introspect: %s %s", a.Status, a.body)
	}
	active, _ := a.json(l.t)["active"].(bool)
	return active
}

func TestRefreshTokens(t *testing.T) {
	l := newLand(t)
	for name, c := range map[string]client{"confidential": l.web, "public": l.spa} {
		t.Run(name, func(t *testing.T) {
			first := l.stays(c, nil)
			if first.Refresh == "" || !strings.HasPrefix(first.Refresh, "rt_") || first.Scope != "openid offline_access" {
				t.Fatalf("%+v", first)
			}
			second := granted(t, l.tokenEndpoint(refreshForm(c, first.Refresh, nil)))
			if second.Refresh == first.Refresh || second.Access == first.Access || second.ID == "" {
				t.Errorf("nothing new: %+v", second)
			}
			for _, token := range []string{first.Access, second.Access} {
				if a := l.userinfo(token); a.StatusCode != http.StatusOK {
					t.Errorf("userinfo: %s", a.Status)
				}
			}

			again := granted(t, l.tokenEndpoint(refreshForm(c, first.Refresh, nil))) // the answer was lost
			if again.Refresh != second.Refresh {
				t.Error("the same question within the grace window has another answer")
			}
			l.clock.advance(2 * time.Minute)
			third := granted(t, l.tokenEndpoint(refreshForm(c, second.Refresh, nil)))

			// Whoever uses one that is past its grace, or two behind, stole it or was stolen from.
			tokenRefused(t, l.tokenEndpoint(refreshForm(c, first.Refresh, nil)), 400, "invalid_grant")
			tokenRefused(t, l.tokenEndpoint(refreshForm(c, third.Refresh, nil)), 400, "invalid_grant")
			for _, token := range []string{first.Access, second.Access, third.Access, again.Access} {
				refusedBearer(t, l.userinfo(token), "invalid_token")
			}
		})
	}
}

func TestRefreshTokensAreRefused(t *testing.T) {
	l := newLand(t)
	noRefresh := l.newApplication(testProduct, map[string]any{"grantTypes": []string{"AUTHORIZATION_CODE"}})
	good := l.stays(l.web, nil)
	for name, c := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"none":                          {refreshForm(l.web, "", nil), 400, "invalid_grant"},
		"an access token":               {refreshForm(l.web, good.Access, nil), 400, "invalid_grant"},
		"a short one":                   {refreshForm(l.web, good.Refresh[:40], nil), 400, "invalid_grant"},
		"one with another end":          {refreshForm(l.web, good.Refresh[:len(good.Refresh)-4]+"AAAA", nil), 400, "invalid_grant"},
		"one with another number":       {refreshForm(l.web, good.Refresh[:30]+"B"+good.Refresh[31:], nil), 400, "invalid_grant"},
		"another application's":         {refreshForm(l.second, good.Refresh, nil), 400, "invalid_grant"},
		"another project's application": {refreshForm(l.alien, good.Refresh, nil), 400, "invalid_grant"},
		"a public application":          {refreshForm(l.spa, good.Refresh, nil), 400, "invalid_grant"},
		"without the secret":            {refreshForm(l.web, good.Refresh, url.Values{"client_secret": nil}), 401, "invalid_client"},
		"with a wrong secret":           {refreshForm(l.web, good.Refresh, url.Values{"client_secret": {"x"}}), 401, "invalid_client"},
		"nobody":                        {refreshForm(client{}, good.Refresh, url.Values{"client_id": nil}), 401, "invalid_client"},
		"a tenant and product":          {refreshForm(client{"tenant=" + testTenant + "&product=" + testProduct, sharedKey}, good.Refresh, nil), 401, "invalid_client"},
		"more scope":                    {refreshForm(l.web, good.Refresh, url.Values{"scope": {"openid email"}}), 400, "invalid_scope"},
		"two of them":                   {refreshForm(l.web, good.Refresh, url.Values{"refresh_token": {good.Refresh, good.Refresh}}), 400, "invalid_request"},
		"one that may not refresh":      {refreshForm(noRefresh, good.Refresh, nil), 400, "unauthorized_client"},
		"a resource it has not":         {refreshForm(l.web, good.Refresh, url.Values{"resource": {"https://api.example"}}), 400, "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) { tokenRefused(t, l.tokenEndpoint(c.form), c.status, c.code) })
	}
	if granted(t, l.tokenEndpoint(refreshForm(l.web, good.Refresh, url.Values{"scope": {"openid"}}))).Scope != "openid" {
		t.Error("a narrower scope is not granted")
	}
	if got := l.stays(noRefresh, nil); got.Refresh != "" {
		t.Error("an application that may not refresh has a refresh token")
	}
	if got := granted(t, l.redeem(l.code(l.idp, polisClient(url.Values{"scope": {"openid offline_access"}})), nil)); got.Refresh != "" {
		t.Error("a Polis-style client has a refresh token")
	}
}

func TestRefreshTokensEnd(t *testing.T) {
	l := newLand(t)
	t.Run("unused", func(t *testing.T) {
		got := l.stays(l.web, nil)
		l.clock.advance(30*24*time.Hour + time.Minute)
		tokenRefused(t, l.tokenEndpoint(refreshForm(l.web, got.Refresh, nil)), 400, "invalid_grant")
	})
	t.Run("however used", func(t *testing.T) {
		got := l.stays(l.web, nil)
		for range 4 {
			l.clock.advance(20 * 24 * time.Hour)
			got = granted(t, l.tokenEndpoint(refreshForm(l.web, got.Refresh, nil)))
		}
		l.clock.advance(11 * 24 * time.Hour)
		tokenRefused(t, l.tokenEndpoint(refreshForm(l.web, got.Refresh, nil)), 400, "invalid_grant")
	})
	t.Run("revoked", func(t *testing.T) {
		got := l.stays(l.web, nil)
		more := granted(t, l.tokenEndpoint(refreshForm(l.web, got.Refresh, nil)))
		if a := l.post("/api/oauth/revoke", with(l.web.credentials(), url.Values{"token": {more.Refresh}})); a.StatusCode != http.StatusOK {
			t.Errorf("revoke: %s %s", a.Status, a.body)
		}
		tokenRefused(t, l.tokenEndpoint(refreshForm(l.web, more.Refresh, nil)), 400, "invalid_grant")
		refusedBearer(t, l.userinfo(got.Access), "invalid_token")
		refusedBearer(t, l.userinfo(more.Access), "invalid_token")
	})
	t.Run("the code comes again", func(t *testing.T) {
		code := l.code(l.idp, l.web.asks(url.Values{"scope": {"openid offline_access"}}))
		got := granted(t, l.redeem(code, l.web.credentials()))
		more := granted(t, l.tokenEndpoint(refreshForm(l.web, got.Refresh, nil)))
		tokenRefused(t, l.redeem(code, l.web.credentials()), 400, "invalid_grant")
		tokenRefused(t, l.tokenEndpoint(refreshForm(l.web, more.Refresh, nil)), 400, "invalid_grant")
		refusedBearer(t, l.userinfo(more.Access), "invalid_token")
	})
}

// TestRefreshInParallel: of fifty at once none is a theft, and one refresh token is good afterwards.
func TestRefreshInParallel(t *testing.T) {
	l := newLand(t)
	got := l.stays(l.web, nil)
	if n := parallel(50, func() bool { return l.tokenEndpoint(refreshForm(l.web, got.Refresh, nil)).StatusCode == http.StatusOK }); n != 50 {
		t.Errorf("%d of 50 were answered", n)
	}
	next := granted(t, l.tokenEndpoint(refreshForm(l.web, got.Refresh, nil)))
	granted(t, l.tokenEndpoint(refreshForm(l.web, next.Refresh, nil)))
}

func TestIntrospection(t *testing.T) {
	l := newLand(t)
	got := l.stays(l.spa, nil)
	a := l.post("/api/oauth/introspect", with(l.web.credentials(), url.Values{"token": {got.Access}}))
	fields := a.json(t)
	if fields["active"] != true || fields["client_id"] != l.spa.id || fields["iss"] != l.URL || fields["scope"] != "openid offline_access" || fields["sub"] == "" || fields["exp"] == nil || fields["username"] == "" {
		t.Errorf("%s", a.body)
	}
	for name, c := range map[string]struct {
		as     client
		token  string
		active bool
	}{
		"an access token of the project":         {l.second, got.Access, true},
		"an application of another project":      {l.alien, got.Access, false},
		"another application's refresh token":    {l.web, got.Refresh, false},
		"an unknown token":                       {l.web, "at_x", false},
		"a token with a NUL":                     {l.web, "a\x00b", false},
		"a refresh token that cannot be decoded": {l.web, "rt_!", false},
	} {
		if l.active(c.as, c.token) != c.active {
			t.Errorf("%s: active is not %v", name, c.active)
		}
	}
	own := l.stays(l.web, nil)
	if !l.active(l.web, own.Refresh) {
		t.Error("the application's own refresh token is not active")
	}
	for name, c := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"a public application": {with(l.spa.credentials(), url.Values{"token": {got.Access}}), 401, "invalid_client"},
		"a wrong secret":       {with(l.web.credentials(), url.Values{"token": {got.Access}, "client_secret": {"x"}}), 401, "invalid_client"},
		"nobody":               {url.Values{"token": {got.Access}}, 401, "invalid_client"},
		"no token":             {l.web.credentials(), 400, "invalid_request"},
	} {
		for _, path := range []string{"/api/oauth/introspect", "/api/oauth/revoke"} {
			if name == "a public application" && path == "/api/oauth/revoke" {
				continue // it may
			}
			t.Run(name+path, func(t *testing.T) { tokenRefused(t, l.post(path, c.form), c.status, c.code) })
		}
	}
	if a := l.post("/api/oauth/revoke", with(l.spa.credentials(), url.Values{"token": {got.Access}})); a.StatusCode != http.StatusOK {
		t.Errorf("revoke: %s", a.Status)
	}
	if l.active(l.web, got.Access) || !l.activeFamily(got.Refresh) {
		t.Error("revoking an access token ends that and nothing else")
	}
	l.clock.advance(2 * time.Hour)
	if l.active(l.web, own.Access) {
		t.Error("an expired token is active")
	}
}

func (l *land) activeFamily(refresh string) bool {
	return l.tokenEndpoint(refreshForm(l.spa, refresh, nil)).StatusCode == http.StatusOK
}

func TestClientCredentials(t *testing.T) {
	l := newLand(t)
	robot := l.newApplication(testProduct, map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{},
		"scopes": []string{"read", "write"}, "resources": []string{"https://api.example", "https://other.example"}})
	ask := func(c client, change url.Values) answer {
		return l.tokenEndpoint(with(with(c.credentials(), url.Values{"grant_type": {"client_credentials"}}), change))
	}
	got := granted(t, ask(robot, nil))
	if got.Scope != "read write" || got.Refresh != "" || got.ID != "" {
		t.Errorf("%+v", got)
	}
	if narrow := granted(t, ask(robot, url.Values{"scope": {"read"}})); narrow.Scope != "read" {
		t.Errorf("%+v", narrow)
	}
	fields := l.post("/api/oauth/introspect", with(l.web.credentials(), url.Values{"token": {got.Access}})).json(t)
	if fields["active"] != true || fields["sub"] != robot.id || fields["client_id"] != robot.id {
		t.Errorf("%v", fields)
	}
	refusedBearer(t, l.userinfo(got.Access), "invalid_token") // it is nobody
	for name, c := range map[string]struct {
		answer answer
		status int
		code   string
	}{
		"an application that may not": {ask(l.web, nil), 400, "unauthorized_client"},
		"a public application":        {ask(l.spa, nil), 400, "unauthorized_client"},
		"a wrong secret":              {ask(robot, url.Values{"client_secret": {"x"}}), 401, "invalid_client"},
		"a scope it has not":          {ask(robot, url.Values{"scope": {"admin"}}), 400, "invalid_scope"},
		"a scope of people":           {ask(robot, url.Values{"scope": {"openid"}}), 400, "invalid_scope"},
		"a resource it has not":       {ask(robot, url.Values{"resource": {"https://bank.example"}}), 400, "invalid_target"},
		"codes":                       {l.post("/api/oauth/token", with(robot.credentials(), url.Values{"code": {"x"}})), 400, "invalid_grant"},
		"a tenant and product":        {ask(client{"tenant=" + testTenant + "&product=" + testProduct, sharedKey}, nil), 401, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) { tokenRefused(t, c.answer, c.status, c.code) })
	}
	if a := l.authorize(robot.asks(nil)); a.StatusCode == http.StatusFound && strings.Contains(a.Header.Get("Location"), "idp.example") {
		t.Error("an application without the code grant sends people to their identity provider")
	}
}

// TestJWTAccessTokens reads them with go-oidc's verifier, as a resource server would.
func TestJWTAccessTokens(t *testing.T) {
	l := newLand(t)
	api := l.newApplication(testProduct, map[string]any{"tokenFormat": "JWT", "idTokenAlg": "ES256",
		"resources": []string{"https://api.example", "urn:other"}})
	q := api.asks(url.Values{"scope": {"openid offline_access"}, "resource": {"https://api.example", "urn:other"}})
	got := granted(t, l.redeem(l.code(l.idp, q), with(api.credentials(), url.Values{"resource": {"https://api.example"}})))
	claims := l.verified(t, got.Access, "https://api.example")
	if claims["client_id"] != api.id || claims["scope"] != "openid offline_access" || claims["organization_id"] == nil || claims["jti"] == nil || got.Expires != 300 {
		t.Errorf("%v, %+v", claims, got)
	}
	refusedBearer(t, l.userinfo(got.Access), "invalid_token") // it is for another resource
	own := granted(t, l.redeem(l.code(l.idp, api.asks(url.Values{"resource": {"https://api.example", l.URL}})), api.credentials()))
	if a := l.userinfo(own.Access); a.StatusCode != http.StatusOK || a.json(t)["sub"] != claims["sub"] {
		t.Errorf("userinfo: %s %s", a.Status, a.body)
	}
	both := granted(t, l.tokenEndpoint(refreshForm(api, got.Refresh, nil)))
	if claims := l.verified(t, both.Access, "urn:other"); len(claims["aud"].([]any)) != 2 {
		t.Errorf("%v", claims["aud"])
	}
	if l.post("/api/oauth/revoke", with(api.credentials(), url.Values{"token": {both.Access}})); l.active(api, both.Access) {
		t.Error("a revoked JWT is active")
	}
	if got := l.authorize(api.asks(url.Values{"resource": {"https://bank.example"}})).location().Query().Get("error"); got != "invalid_target" {
		t.Errorf("another resource: %q", got)
	}
}

func (l *land) verified(t *testing.T, token, audience string) map[string]any {
	t.Helper()
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), l.http), l.URL+"/oauth/jwks")
	v := oidc.NewVerifier(l.URL, keys, &oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{"ES256"}, Now: l.clock.now})
	parsed, err := v.Verify(oidc.ClientContext(t.Context(), l.http), token)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := parsed.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestSecretRotationOverlaps(t *testing.T) {
	l := newLand(t)
	rotate := func(overlap int) client {
		got := l.mutate("rotateApplicationSecret", "RotateApplicationSecretInput", "secret", map[string]any{"id": l.web.id, "overlapSeconds": overlap})
		return client{l.web.id, got["secret"].(string)}
	}
	works := func(c client) bool {
		return l.post("/api/oauth/introspect", with(c.credentials(), url.Values{"token": {"x"}})).StatusCode == http.StatusOK
	}
	next := rotate(3600)
	l.clock.advance(2 * time.Second)
	if !works(l.web) || !works(next) {
		t.Error("one of the two secrets does not work")
	}
	l.clock.advance(time.Hour)
	if works(l.web) || !works(next) {
		t.Error("the old secret works for longer than it should")
	}
	last := rotate(0)
	l.clock.advance(2 * time.Second)
	if works(next) || !works(last) {
		t.Error("without an overlap the old secret works on")
	}
}
