package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// initial makes an initial access token of a project.
func (l *land) initial(project string, lives int) string {
	l.t.Helper()
	made := l.mutate("createInitialAccessToken", "CreateInitialAccessTokenInput", "token", map[string]any{"projectId": l.projectID(project), "expiresInSeconds": lives})
	return made["token"].(string)
}

func (l *land) register(token string, metadata map[string]any) answer {
	l.t.Helper()
	text, err := json.Marshal(metadata)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.do(l.request(http.MethodPost, "/api/oauth/register", strings.NewReader(string(text)), "Content-Type", "application/json", "Authorization", "Bearer "+token))
}

func TestDynamicRegistration(t *testing.T) {
	l := newLand(t)
	token := l.initial(testProduct, 3600)
	t.Run("a confidential client", func(t *testing.T) {
		a := l.register(token, map[string]any{"redirect_uris": []string{callback}, "client_name": "New", "grant_types": []string{"authorization_code", "refresh_token"},
			"id_token_signed_response_alg": "ES256", "software_id": "is passed over"})
		got := a.json(t)
		if a.StatusCode != http.StatusCreated || got["client_name"] != "New" || got["client_secret_expires_at"] != 0.0 || got["token_endpoint_auth_method"] != "client_secret_basic" {
			t.Fatalf("%s %s", a.Status, a.body)
		}
		c := client{got["client_id"].(string), got["client_secret"].(string)}
		granted(t, l.redeem(l.code(l.idp, c.asks(nil)), c.credentials()))
	})
	t.Run("a public client", func(t *testing.T) {
		got := l.register(token, map[string]any{"redirect_uris": []string{"http://127.0.0.1/cb"}, "token_endpoint_auth_method": "none"}).json(t)
		if got["client_id"] == nil || got["client_secret"] != nil || got["client_secret_expires_at"] != nil {
			t.Errorf("%v", got)
		}
	})
	t.Run("a client with a key", func(t *testing.T) {
		got := l.register(token, map[string]any{"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "private_key_jwt",
			"jwks": json.RawMessage(keySet(t, ecKey(t)))}).json(t)
		if got["client_id"] == nil || got["client_secret"] != nil {
			t.Errorf("%v", got)
		}
	})
	for what, c := range map[string]struct {
		metadata map[string]any
		code     string
	}{
		"no redirect URI":       {map[string]any{}, "invalid_redirect_uri"},
		"a wildcard":            {map[string]any{"redirect_uris": []string{"https://a.example/*"}}, "invalid_redirect_uri"},
		"javascript":            {map[string]any{"redirect_uris": []string{"javascript:alert(1)"}}, "invalid_redirect_uri"},
		"another method":        {map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata"},
		"an implicit grant":     {map[string]any{"redirect_uris": []string{callback}, "grant_types": []string{"implicit"}}, "invalid_client_metadata"},
		"an implicit response":  {map[string]any{"redirect_uris": []string{callback}, "response_types": []string{"token"}}, "invalid_client_metadata"},
		"a public robot":        {map[string]any{"token_endpoint_auth_method": "none", "grant_types": []string{"client_credentials"}}, "invalid_client_metadata"},
		"alg none":              {map[string]any{"redirect_uris": []string{callback}, "id_token_signed_response_alg": "none"}, "invalid_client_metadata"},
		"no key":                {map[string]any{"redirect_uris": []string{callback}, "token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"},
		"keys that are none":    {map[string]any{"redirect_uris": []string{callback}, "jwks": map[string]any{"keys": []any{}}}, "invalid_client_metadata"},
		"a list as a name":      {map[string]any{"redirect_uris": []string{callback}, "client_name": []string{"x"}}, "invalid_client_metadata"},
		"a name of 10000 bytes": {map[string]any{"redirect_uris": []string{callback}, "client_name": strings.Repeat("x", 10000)}, "invalid_client_metadata"},
	} {
		t.Run(what, func(t *testing.T) { tokenRefused(t, l.register(token, c.metadata), 400, c.code) })
	}
	for what, wrong := range map[string]string{"no token": "", "an unknown one": "ia_unknown", "an admin key": adminKey, "the token of an application": l.web.secret} {
		t.Run(what, func(t *testing.T) {
			if a := l.register(wrong, map[string]any{"redirect_uris": []string{callback}}); a.StatusCode != 401 || !strings.Contains(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s %s", a.Status, a.body)
			}
		})
	}
	if a := l.do(l.request(http.MethodPost, "/api/oauth/register", strings.NewReader(strings.Repeat("x", 100_000)), "Authorization", "Bearer "+token)); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("100 kB: %s", a.Status)
	}
	other := l.register(l.initial("hr", 60), map[string]any{"redirect_uris": []string{callback}}).json(t)
	if a := l.authorize(client{id: other["client_id"].(string)}.asks(url.Values{"organization": {"globex.example"}})); a.location().Query().Get("error") == "" {
		t.Error("an application of one project signs in people of another")
	}
	l.clock.advance(2 * time.Hour)
	if a := l.register(token, map[string]any{"redirect_uris": []string{callback}}); a.StatusCode != 401 {
		t.Errorf("an expired token: %s", a.Status)
	}
}
