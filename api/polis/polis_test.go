package polis_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/ports/federation"
)

func TestAPIKeyGate(t *testing.T) {
	f := newFixture(t)
	const path = "/api/v1/sso/exists?clientID=none"
	for _, c := range []struct{ name, path, authorization string }{
		{"§0.3 no Authorization", path, ""},
		{"§0.3 a key without a scheme word", path, apiKey},
		{"§0.3 a wrong key", path, "Bearer wrong"},
		{"§0.3 an empty key", path, "Bearer "},
		{"§0.3 split on a single space: two make the second word empty", path, "Bearer  " + apiKey},
		{"§0.3 the key as a prefix", path, "Bearer " + apiKey + "x"},
		{"§0.3 unknown path below /api/v1", "/api/v1/no/such", ""},
		{"§0.3 /api/v1 itself", "/api/v1", ""},
		{"§0.3 /api/internals", "/api/internals/product", ""},
		{"§0.3 /api/admin needs a session, a key does not help", "/api/admin/connections", "Bearer " + apiKey},
		{"§0.3 everything else below /api/ is refused, with a key too", "/api/elsewhere", "Bearer " + apiKey},
		{"§0.3 a path that only begins like an open one", "/api/oauthx", "Bearer " + apiKey},
		{"§0.3 a path that only begins like /api/v1", "/api/v10/sso", "Bearer " + apiKey},
		{"§0.8 /api/import-hack", "/api/import-hack", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := f.call(http.MethodGet, c.path, nil, "Authorization", c.authorization)
			r.refused(t, http.StatusUnauthorized, "Unauthorized")
			if !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("headers %v", r.header)
			}
		})
	}
	for _, scheme := range []string{"Api-Key", "Bearer", "Basic", "anything"} {
		t.Run("§0.3 the scheme word is not checked: "+scheme, func(t *testing.T) {
			f.call(http.MethodGet, path, nil, "Authorization", scheme+" "+apiKey).object(t, http.StatusNotFound)
		})
	}
	t.Run("§0.3 every key of the list is taken", func(t *testing.T) {
		f := newFixture(t)
		if err := f.services.Admin.Authenticate("another key"); err != nil {
			t.Error(err)
		}
	})
	t.Run("§0.3 with a key an unknown path is not found", func(t *testing.T) {
		f.call(http.MethodGet, "/api/v1/no/such", nil).refused(t, http.StatusNotFound, "Not found.")
	})
	for _, open := range []string{"/api/auth/x", "/api/federated-saml/x", "/api/identity-federation/x", "/api/logout", "/api/oauth/x",
		"/api/scim/v2.0/x", "/api/scim/oauth/x", "/api/well-known/x", "/api/setup/x", "/api/branding"} {
		t.Run("§0.3 open: "+open, func(t *testing.T) {
			f.call(http.MethodGet, open, nil, "Authorization", "").refused(t, http.StatusNotFound, "Not found.")
		})
	}
	t.Run("§0.3 refused before the body is read", func(t *testing.T) {
		f.call(http.MethodPost, "/api/v1/sso", "{", "Authorization", "Bearer wrong").refused(t, http.StatusUnauthorized, "Unauthorized")
	})
}

func TestAliases(t *testing.T) {
	f := newFixture(t)
	made := f.call(http.MethodPost, "/api/v1/connections", connection(t, nil)).object(t, http.StatusOK)
	clientID, _ := made["clientID"].(string)
	t.Run("§0.2 GET /api/v1/connections", func(t *testing.T) {
		if got := f.get("/api/v1/connections?clientID=" + clientID); len(got) != 1 {
			t.Errorf("%d connections, want 1", len(got))
		}
	})
	t.Run("§0.2 GET /api/v1/connections/exists", func(t *testing.T) {
		f.call(http.MethodGet, "/api/v1/connections/exists?clientID="+clientID, nil).empty(t, http.StatusNoContent)
	})
	t.Run("§0.2 GET /api/v1/connections/product", func(t *testing.T) {
		if got := f.get("/api/v1/connections/product?product=demo"); len(got) != 1 {
			t.Errorf("%d connections, want 1", len(got))
		}
	})
	t.Run("§0.2 the alias is a whole word", func(t *testing.T) {
		f.call(http.MethodGet, "/api/v1/connectionsx?clientID=x", nil).refused(t, http.StatusNotFound, "Not found.")
	})
}

func TestMethods(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ path, method, allow string }{
		{"/api/v1/sso", http.MethodPut, "GET, POST, PATCH, DELETE"},
		{"/api/v1/sso", http.MethodOptions, "GET, POST, PATCH, DELETE"},
		{"/api/v1/connections", http.MethodPut, "GET, POST, PATCH, DELETE"},
		{"/api/v1/sso/exists", http.MethodPost, "GET"},
		{"/api/v1/sso/product", http.MethodDelete, "GET"},
	} {
		t.Run("§0.4 dialect 1, 405 "+c.method+" "+c.path, func(t *testing.T) {
			r := f.call(c.method, c.path, nil)
			r.refused(t, http.StatusMethodNotAllowed, "Method "+c.method+" not allowed.")
			if got := r.header.Get("Allow"); got != c.allow {
				t.Errorf("Allow = %q, want %q", got, c.allow)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		message                 string
	}{
		{"§0.1 malformed JSON", "application/json", `{"tenant":`, 400, "Invalid JSON"},
		{"§0.1 two JSON values", "application/json", `{} {}`, 400, "Invalid JSON"},
		{"§0.1 JSON that is no object has no fields", "application/json", `["rawMetadata"]`, 400, "Missing SSO connection params"},
		{"§0.1 JSON null", "application/json", `null`, 400, "Missing SSO connection params"},
		{"§0.1 empty JSON body", "application/json", ``, 400, "Missing SSO connection params"},
		{"§0.1 another content type is a raw text without fields", "text/plain", `{"isSAML":true}`, 400, "Missing SSO connection params"},
		{"§0.1 no content type", "", `{"isSAML":true}`, 400, "Missing SSO connection params"},
		{"§0.1 malformed form", "application/x-www-form-urlencoded", `a=%zz`, 400, "Invalid form"},
		{"§0.1 body over 1 MB", "application/json", `{"isSAML":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "Body exceeded 1mb limit"},
		{"§0.1 body of exactly 1 MB is read", "application/json", `{"none":"` + strings.Repeat("x", 1<<20-11) + `"}`, 400, "Missing SSO connection params"},
		{"a text field that is no text", "application/json", `{"isSAML":true,"tenant":7}`, 400, "The field `tenant` must be a single text."},
		{"deep JSON", "application/json", strings.Repeat(`{"a":`, 20000), 400, "Invalid JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.call(http.MethodPost, "/api/v1/sso", c.body, "Content-Type", c.contentType).refused(t, c.status, c.message)
		})
	}
	t.Run("a query that cannot be read", func(t *testing.T) {
		f.call(http.MethodGet, "/api/v1/sso?clientID=%zz", nil).refused(t, 400, "The query cannot be read.")
	})
}

func TestInternalsAreNotShown(t *testing.T) {
	t.Run("an engine that does not answer is 503", func(t *testing.T) {
		f := newFixture(t)
		check(t, f.backend.Close())
		r := f.call(http.MethodGet, "/api/v1/sso?clientID=x", nil)
		r.refused(t, http.StatusServiceUnavailable, "The database does not answer. Try again in a moment.")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		if !strings.Contains(f.logs.String(), "status=503") {
			t.Errorf("not logged: %s", f.logs)
		}
	})
	for _, withRequestID := range []bool{false, true} {
		t.Run(fmt.Sprintf("an error that nobody classified, request id %t", withRequestID), func(t *testing.T) {
			f := newFixture(t)
			f.services.SSO.SAML = brokenSAML{f.services.SSO.SAML}
			if withRequestID {
				f.handler = middleware.WithRequestID(f.handler)
			}
			r := f.call(http.MethodPost, "/api/v1/sso", connection(t, nil))
			want := "Something went wrong on our side."
			if withRequestID {
				want += " Request id: " + r.header.Get("X-Request-Id")
			}
			r.refused(t, http.StatusInternalServerError, want)
			if !strings.Contains(f.logs.String(), "detail of the cause") {
				t.Errorf("the log does not hold the cause: %s", f.logs)
			}
			if strings.Contains(f.logs.String(), apiKey) {
				t.Error("the log holds the API key")
			}
		})
	}
}

// brokenSAML fails with an error that no layer knows.
type brokenSAML struct{ federation.SAML }

func (brokenSAML) ReadMetadata([]byte) (federation.IdentityProvider, error) {
	return federation.IdentityProvider{}, errors.New("detail of the cause")
}
