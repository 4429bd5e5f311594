package e2e

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// The tests of this file and of contract_login_test.go walk the contract with clients of Ory Polis, one subtest for
// each line, named by it. Where Portico departs from Polis on purpose, the subtest says "not as Polis" and why; the
// numbers behind §11 are those of the contract's list of faults.

// problem is what the error cookie holds (§0.5).
type problem struct {
	Message    string
	StatusCode int
}

// onErrorPage checks that an answer sends the browser to the error page and reads what it will say.
func (a answer) onErrorPage(t *testing.T, status int, message string) {
	t.Helper()
	if a.StatusCode != http.StatusFound || a.location().Path != "/error" || a.location().RawQuery != "" {
		t.Fatalf("%s to %q, want the error page: %s", a.Status, a.Header.Get("Location"), a.body)
	}
	for _, cookie := range a.Cookies() {
		if cookie.Name != "polis_error" || cookie.Path != "/error" {
			continue
		}
		text, err := url.PathUnescape(cookie.Value) // as decodeURIComponent: + is no space
		var got problem
		if err != nil || json.Unmarshal([]byte(text), &got) != nil {
			t.Fatalf("cookie %q: %v", cookie.Value, err)
		}
		if got.StatusCode != status || got.Message != message {
			t.Errorf("error page of %d %q, want %d %q", got.StatusCode, got.Message, status, message)
		}
		return
	}
	t.Fatalf("no cookie polis_error at /error: %v", a.Header["Set-Cookie"])
}

// refused checks dialect 1 of §0.4.
func (a answer) refused(t *testing.T, status int, message string) {
	t.Helper()
	var got map[string]map[string]string
	err := json.Unmarshal(a.body, &got)
	want := map[string]map[string]string{"error": {"message": message}}
	if err != nil || a.StatusCode != status || !reflect.DeepEqual(got, want) {
		t.Errorf("%s %s, want %d %v", a.Status, a.body, status, want)
	}
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
		t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
	}
}

// empty checks an answer without body.
func (a answer) empty(t *testing.T, status int) {
	t.Helper()
	if a.StatusCode != status || len(a.body) != 0 {
		t.Errorf("%s %q, want %d and no body", a.Status, a.body, status)
	}
}

// list reads a bare JSON array of records.
func (p *program) list(path string) []map[string]any {
	p.t.Helper()
	a := p.admin(http.MethodGet, path, nil)
	var list []map[string]any
	if a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &list) != nil || list == nil {
		p.t.Fatalf("GET %s: %s %s", path, a.Status, a.body)
	}
	return list
}

func names(list []map[string]any) []string {
	found := []string{}
	for _, record := range list {
		name, _ := record["name"].(string)
		found = append(found, name)
	}
	return found
}

func TestContractGlobal(t *testing.T) {
	const secondKey = "another-admin-key-of-the-comma-list"
	p := start(t, func(c *app.Config) { c.AdminKeys = append(c.AdminKeys, secondKey) })
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)

	t.Run("§0.1 default port 5225 and public URL", func(t *testing.T) {
		c, _, err := app.LoadConfig(nil)
		if err != nil || c.Listen != ":5225" || c.PublicURL != "http://localhost:5225" {
			t.Errorf("%q %q %v", c.Listen, c.PublicURL, err)
		}
	})
	t.Run("§0.1 the public URL has the port that is listened on", func(t *testing.T) {
		if c, _, err := app.LoadConfig([]string{"PORTICO_LISTEN=127.0.0.1:6000"}); err != nil || c.PublicURL != "http://localhost:6000" {
			t.Errorf("%q %v", c.PublicURL, err)
		}
	})
	t.Run("§0.1 the pages are in English", func(t *testing.T) {
		if a := p.get("/error", "Accept-Language", "de"); !bytes.Contains(a.body, []byte(`<html lang="en">`)) {
			t.Errorf("%s", a.body)
		}
	})
	for _, path := range []string{"/", "/error", "/api/health", "/api/v1/sso", "/oauth/jwks", "/no/such/page"} {
		t.Run("§0.1 headers of every response: "+path, func(t *testing.T) {
			h := p.get(path).Header
			for name, want := range map[string]string{"Strict-Transport-Security": "max-age=31536000; includeSubDomains;",
				"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "nosniff"} {
				if h.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, h.Get(name), want)
				}
			}
		})
	}
	send := func(contentType, body string) answer {
		return p.do(p.request(http.MethodPost, "/api/v1/sso", strings.NewReader(body), "Content-Type", contentType, "Authorization", "Bearer "+adminKey))
	}
	t.Run("§0.1 JSON bodies", func(t *testing.T) {
		send("application/json", `{"isSAML":true}`).refused(t, 400, "Please provide rawMetadata or encodedRawMetadata or metadataUrl")
	})
	t.Run("§0.1 form bodies", func(t *testing.T) {
		send("application/x-www-form-urlencoded", `isSAML=1`).refused(t, 400, "Please provide rawMetadata or encodedRawMetadata or metadataUrl")
	})
	t.Run("§0.1 other content types have no fields", func(t *testing.T) {
		send("text/plain", `{"isSAML":true}`).refused(t, 400, "Missing SSO connection params")
	})
	t.Run("§0.1 body limit of 1 MB", func(t *testing.T) {
		send("application/json", `{"isSAML":"`+strings.Repeat("x", 1<<20)+`"}`).refused(t, 413, "Body exceeded 1mb limit")
	})

	for public, served := range map[string]string{
		"/.well-known/saml.cer": "/api/well-known/saml.cer", "/.well-known/openid-configuration": "/api/well-known/openid-configuration",
		"/.well-known/sp-metadata": "/api/well-known/sp-metadata", "/oauth/jwks": "/api/oauth/jwks",
	} {
		t.Run("§0.2 "+public+" and "+served, func(t *testing.T) {
			a, b := p.get(public), p.get(served)
			validUntil := regexp.MustCompile(`validUntil="[^"]*"`)
			if a.StatusCode != http.StatusOK || b.StatusCode != http.StatusOK ||
				!bytes.Equal(validUntil.ReplaceAll(a.body, nil), validUntil.ReplaceAll(b.body, nil)) {
				t.Errorf("%s %s\n%s %s", a.Status, a.body, b.Status, b.body)
			}
		})
	}
	for _, page := range []string{"", "/saml-configuration", "/oidc-configuration"} {
		t.Run("§0.2 /.well-known"+page+" is a page, served from /well-known"+page, func(t *testing.T) {
			a, b := p.get("/.well-known"+page), p.get("/well-known"+page)
			if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || !bytes.Equal(a.body, b.body) {
				t.Errorf("%s %v %s", a.Status, a.Header, b.Status)
			}
		})
	}
	t.Run("§0.2 /api/v1/connections is /api/v1/sso", func(t *testing.T) {
		for _, rest := range []string{"?", "/exists?", "/product?"} {
			query := "tenant=" + testTenant + "&product=" + testProduct
			a, b := p.admin(http.MethodGet, "/api/v1/connections"+rest+query, nil), p.admin(http.MethodGet, "/api/v1/sso"+rest+query, nil)
			if a.StatusCode != b.StatusCode || a.StatusCode >= 400 || !bytes.Equal(a.body, b.body) {
				t.Errorf("%s: %s %s, %s %s", rest, a.Status, a.body, b.Status, b.body)
			}
		}
	})
	t.Run("§0.2 /saml/api/oauth/saml is /api/oauth/saml, as Ory Network has it", func(t *testing.T) {
		p.get("/saml/api/oauth/saml").onErrorPage(t, 405, "Method GET not allowed.")
	})
	t.Run("§0.2 there is no /oauth/token and no /oauth/userinfo", func(t *testing.T) {
		for _, path := range []string{"/oauth/token", "/oauth/userinfo"} {
			if a := p.get(path); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s", path, a.Status)
			}
		}
	})

	for _, c := range []struct{ name, path, authorization string }{
		{"no key", "/api/v1/sso?clientID=x", ""},
		{"a wrong key", "/api/v1/sso?clientID=x", "Bearer wrong"},
		{"a key without a scheme word", "/api/v1/sso?clientID=x", adminKey},
		{"a key behind two spaces is the third word", "/api/v1/sso?clientID=x", "Bearer  " + adminKey},
		{"/api/v1 is refused whatever is below", "/api/v1/dsync", ""},
		{"/api/internals takes a key", "/api/internals/product", ""},
		{"/api/admin takes no key but a session", "/api/admin/connections", "Bearer " + adminKey},
		{"everything else below /api/ is refused", "/api/import-hack", "Bearer " + adminKey},
	} {
		t.Run("§0.3 "+c.name, func(t *testing.T) {
			p.get(c.path, "Authorization", c.authorization).refused(t, http.StatusUnauthorized, "Unauthorized")
		})
	}
	for _, scheme := range []string{"Api-Key", "Bearer", "Basic"} {
		t.Run("§0.3 the scheme word is not checked: "+scheme, func(t *testing.T) {
			if a := p.get("/api/v1/sso?clientID=x", "Authorization", scheme+" "+adminKey); a.StatusCode != http.StatusOK {
				t.Errorf("%s %s", a.Status, a.body)
			}
		})
	}
	t.Run("§0.3 every key of the list is taken", func(t *testing.T) {
		if a := p.get("/api/v1/sso?clientID=x", "Authorization", "Api-Key "+secondKey); a.StatusCode != http.StatusOK {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	for _, path := range []string{"/api/health", "/api/hello", "/api/error", "/api/oauth/authorize", "/api/oauth/jwks", "/api/well-known/sp-metadata",
		"/api/auth/x", "/api/federated-saml/x", "/api/identity-federation/x", "/api/logout/x", "/api/scim/oauth/x", "/api/setup/x", "/api/branding"} {
		t.Run("§0.3 open: "+path, func(t *testing.T) {
			if a := p.get(path); a.StatusCode == http.StatusUnauthorized {
				t.Errorf("%s %s", a.Status, a.body)
			}
		})
	}

	t.Run("§0.3 open: /api/scim/v2.0/x, where SCIM asks for a directory's secret", func(t *testing.T) {
		if a := p.get("/api/scim/v2.0/x"); !strings.HasPrefix(a.Header.Get("Content-Type"), "application/scim+json") {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})

	t.Run("§0.4 dialect 1: 405 with the list of verbs", func(t *testing.T) {
		a := p.admin(http.MethodPut, "/api/v1/sso", nil)
		a.refused(t, http.StatusMethodNotAllowed, "Method PUT not allowed.")
		if got := a.Header.Get("Allow"); got != "GET, POST, PATCH, DELETE" {
			t.Errorf("Allow %q", got)
		}
	})
	t.Run("§0.4 dialect 3: /api/v1/saml/config answers plain text", func(t *testing.T) {
		a := p.admin(http.MethodGet, "/api/v1/saml/config", nil)
		if a.StatusCode != 400 || string(a.body) != noSelector || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s %v %s", a.Status, a.Header, a.body)
		}
	})
	t.Run("§0.4 dialect 3, not as Polis (§11.2 19): /api/oauth/token answers RFC 6749 JSON", func(t *testing.T) {
		a := p.post("/api/oauth/token", url.Values{"grant_type": {"authorization_code"}})
		if body := a.json(t); a.StatusCode != 400 || body["error"] != "invalid_request" || body["error_description"] != "Please specify code" {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	t.Run("§0.4 userinfo errors have a message", func(t *testing.T) {
		if a := p.get("/api/oauth/userinfo"); a.StatusCode != 401 || a.json(t)["message"] != "Unauthorized" {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	for _, path := range []string{"/oauth/jwks", "/.well-known/openid-configuration", "/.well-known/sp-metadata", "/.well-known/saml.cer"} {
		t.Run("§0.4 4, not as Polis: another verb is 405, no 500: "+path, func(t *testing.T) {
			a := p.post(path, nil)
			if allow := a.Header.Values("Allow"); a.StatusCode != http.StatusMethodNotAllowed || !slices.Contains(allow, "GET") || len(a.body) != 0 {
				t.Errorf("%s %v %s", a.Status, allow, a.body)
			}
		})
	}
	t.Run("§0.4 GENERIC hides the reason", func(t *testing.T) {
		p.get("/api/oauth/authorize?redirect_uri="+url.QueryEscape(callback)+"&client_id=unknown").onErrorPage(t, 403, generic)
		if !strings.Contains(p.logs.String(), "connection_not_found") {
			t.Error("the log does not name the reason")
		}
	})

	t.Run("§0.5 an error is a cookie and a redirect to the error page", func(t *testing.T) {
		a := p.get("/api/oauth/authorize")
		a.onErrorPage(t, 400, "Please specify a redirect URL.")
		cookie := a.Header.Get("Set-Cookie")
		page := p.get("/error", "Cookie", cookie)
		for _, want := range []string{"400", "Client error", "SSO error: Please specify a redirect URL.", a.Header.Get("X-Request-Id")} {
			if !strings.Contains(string(page.body), want) {
				t.Errorf("the page does not say %q: %s", want, page.body)
			}
		}
		if page.StatusCode != 200 || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s %v", page.Status, page.Header)
		}
		asJSON := p.get("/api/error", "Cookie", cookie)
		want := map[string]any{"statusCode": 400.0, "message": "Please specify a redirect URL.", "statusText": "client_error"}
		if got := asJSON.json(t); asJSON.StatusCode != 400 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s %v, want %v", asJSON.Status, got, want)
		}
	})
	t.Run("§0.5 the error page of a server error", func(t *testing.T) {
		cookie := "polis_error=" + url.PathEscape(`{"message":"<b>","statusCode":503}`)
		if a := p.get("/error", "Cookie", cookie); a.StatusCode != 200 || !strings.Contains(string(a.body), "Server error") || strings.Contains(string(a.body), "<b>") {
			t.Errorf("%s %s", a.Status, a.body)
		}
		if a := p.get("/api/error", "Cookie", cookie); a.StatusCode != 503 || a.json(t)["statusText"] != "server_error" {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	t.Run("§0.5 without a usable cookie", func(t *testing.T) {
		for _, cookie := range []string{"", "polis_error=%zz", "polis_error=1"} {
			if a := p.get("/error", "Cookie", cookie); a.StatusCode != 200 || strings.Contains(string(a.body), "SSO error") {
				t.Errorf("%s %s", a.Status, a.body)
			}
			a := p.get("/api/error", "Cookie", cookie)
			if body := a.json(t); a.StatusCode != 400 || body["statusCode"] != nil {
				t.Errorf("%s %s", a.Status, a.body)
			}
		}
	})
	t.Run("§0.5 /api/error takes GET alone", func(t *testing.T) {
		if a := p.post("/api/error", nil); a.StatusCode != 503 || len(a.json(t)) != 0 {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})

	t.Run("§0.8 GET /api/health", func(t *testing.T) {
		if a := p.get("/api/health"); a.StatusCode != 200 || a.json(t)["version"] == "" {
			t.Errorf("%s %s", a.Status, a.body)
		}
		if a := p.post("/api/health", nil); a.StatusCode != 503 || len(a.json(t)) != 0 {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		t.Run("§0.8 /api/hello for every method: "+method, func(t *testing.T) {
			if a := p.do(p.request(method, "/api/hello", nil)); a.StatusCode != 200 || a.json(t)["name"] != "Jules Winnfield" {
				t.Errorf("%s %s", a.Status, a.body)
			}
		})
	}
}

func TestContractBasePath(t *testing.T) {
	p := start(t, func(c *app.Config) { c.PublicURL += "/sso" }, app.WithHandler(func(h http.Handler) http.Handler { return http.StripPrefix("/sso", h) }))
	p.URL += "/sso"
	failed := p.get("/api/oauth/authorize")
	t.Run("§0.5 the error page is below the path of the public URL", func(t *testing.T) {
		cookie, err := http.ParseSetCookie(failed.Header.Get("Set-Cookie"))
		if err != nil || failed.Header.Get("Location") != "/sso/error" || cookie.Name != "polis_error" || cookie.Path != "/sso/error" {
			t.Errorf("to %q with %v, %v", failed.Header.Get("Location"), cookie, err)
		}
		page := p.get("/error", "Cookie", failed.Header.Get("Set-Cookie"))
		if !bytes.Contains(page.body, []byte("Please specify a redirect URL.")) || !bytes.Contains(page.body, []byte(`href="/sso/assets/portico.css"`)) {
			t.Errorf("%s", page.body)
		}
		if a := p.get("/assets/portico.css"); a.StatusCode != http.StatusOK {
			t.Error(a.Status)
		}
	})
	t.Run("§2.1 and §2.3: so are the chooser and its buttons", func(t *testing.T) {
		first := p.connect(newIdP(t, "https://idp.example/one"), nil)
		p.connect(newIdP(t, "https://idp.example/two"), nil)
		chooser := p.get("/api/oauth/authorize?" + polisClient(nil).Encode()).location()
		if chooser.Path != "/sso/idp/select" {
			t.Fatal(chooser)
		}
		page := p.get(chooser.String())
		if button := regexp.MustCompile(`class="button" href="(/sso/idp/select\?[^"]*idp_hint=[^"]*)"`).FindSubmatch(page.body); button == nil {
			t.Errorf("%s", page.body)
		}
		chosen := p.get(chooser.String() + "&idp_hint=" + first["clientID"].(string))
		if chosen.location().Path != "/sso/api/oauth/authorize" {
			t.Error(chosen.Header.Get("Location"))
		}
	})
}

const (
	generic    = "Something wrong happened. Please contact your administrator."
	noSelector = "Please provide `clientID` or `tenant` and `product`."
	noMetadata = "Please provide rawMetadata or encodedRawMetadata or metadataUrl"
	noClientID = "Please provide the clientId from OpenID Provider"
)

// sample is a complete body of POST /api/v1/sso, changed by change: nil removes a field.
func sample(t *testing.T, entityID string, change map[string]any) map[string]any {
	t.Helper()
	body := map[string]any{"tenant": "api-boxyhq", "product": "api-saml-jackson", "defaultRedirectUrl": callback,
		"redirectUrl": []string{callback}, "rawMetadata": string(newIdP(t, entityID).Metadata())}
	for name, value := range change {
		body[name] = value
		if value == nil {
			delete(body, name)
		}
	}
	return body
}

const sampleEntity = "https://saml.example.com/entityid"

func TestContractPostConnectionRefuses(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20+1))
	}))
	defer upstream.Close()
	urls := make([]string, 101)
	for i := range urls {
		urls[i] = fmt.Sprintf("https://app.example/%d", i)
	}
	metadata := string(newIdP(t, sampleEntity).Metadata())
	oidc := func(change map[string]any) map[string]any {
		fields := map[string]any{"rawMetadata": nil, "isOIDC": true, "oidcClientId": "id", "oidcClientSecret": "secret"}
		for name, value := range change {
			fields[name] = value
		}
		return fields
	}
	for _, c := range []struct {
		name    string
		change  map[string]any
		status  int
		message string
	}{
		{"§1.1 strategy: neither", map[string]any{"rawMetadata": nil}, 400, "Missing SSO connection params"},
		{"§1.1 strategy: the key decides, its value is irrelevant", map[string]any{"rawMetadata": nil, "isSAML": false}, 400, noMetadata},
		{"§1.1 strategy: both on POST, SAML wins", map[string]any{"rawMetadata": "", "isOIDC": true}, 400, noMetadata},
		{"§1.1 POST 1: SAML", map[string]any{"rawMetadata": nil, "metadataUrl": ""}, 400, noMetadata},
		{"§1.1 POST 1: OIDC clientId", map[string]any{"rawMetadata": nil, "isOIDC": true}, 400, noClientID},
		{"§1.1 POST 1: OIDC clientSecret", oidc(map[string]any{"oidcClientSecret": ""}), 400, "Please provide the clientSecret from OpenID Provider"},
		{"§1.1 POST 1: OIDC discoveryUrl or metadata", oidc(nil), 400, "Please provide the discoveryUrl or issuer metadata for the OpenID Provider"},
		{"§1.1 POST 1: OIDC issuer", oidc(map[string]any{"oidcMetadata": map[string]any{}}), 400, `"issuer" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC authorization_endpoint", oidc(map[string]any{"oidcMetadata": `{"issuer":"i"}`}), 400, `"authorization_endpoint" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC token_endpoint", oidc(map[string]any{"oidcMetadata": `{"issuer":"i","authorization_endpoint":"a"}`}), 400, `"token_endpoint" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC userinfo_endpoint", oidc(map[string]any{"oidcMetadata": `{"issuer":"i","authorization_endpoint":"a","token_endpoint":"t"}`}), 400, `"userinfo_endpoint" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC jwks_uri", oidc(map[string]any{"oidcMetadata": `{"issuer":"i","authorization_endpoint":"a","token_endpoint":"t","userinfo_endpoint":"u"}`}), 400, `"jwks_uri" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC metadata that is no JSON", oidc(map[string]any{"oidcMetadata": "x"}), 400, "Could not parse OIDC Provider metadata, expected a valid JSON string"},
		{"§1.1 POST, not as Polis: a discovery URL that no login could use", oidc(map[string]any{"oidcDiscoveryUrl": "http://op.example"}), 400, "The discovery URL is not valid: give an https URL, or one of localhost."},
		{"§1.1 POST 2", map[string]any{"defaultRedirectUrl": nil, "redirectUrl": nil}, 400, "Please provide a defaultRedirectUrl"},
		{"§1.1 POST 3", map[string]any{"redirectUrl": nil, "tenant": nil}, 400, "Please provide redirectUrl"},
		{"§1.1 POST 4", map[string]any{"tenant": nil, "product": nil}, 400, "Please provide tenant"},
		{"§1.1 POST 5", map[string]any{"product": nil, "description": strings.Repeat("x", 101)}, 400, "Please provide product"},
		{"§1.1 POST 6", map[string]any{"description": strings.Repeat("x", 101), "redirectUrl": urls}, 400, "Description should not exceed 100 characters"},
		{"§1.1 POST 7: more than 100", map[string]any{"redirectUrl": urls, "tenant": "a:b"}, 400, "Exceeded maximum number of allowed redirect urls"},
		{"§1.1 POST 7: redirectUrl", map[string]any{"redirectUrl": "x y", "defaultRedirectUrl": "x y"}, 400, "redirectUrl is invalid"},
		{"§1.1 POST 7: defaultRedirectUrl", map[string]any{"defaultRedirectUrl": "x y", "tenant": "a:b"}, 400, "defaultRedirectUrl is invalid"},
		{"§1.1 POST 8: tenant", map[string]any{"tenant": "a:b", "product": "a:b"}, 400, "tenant cannot contain the character :"},
		{"§1.1 POST 8: product", map[string]any{"product": "a:b", "sortOrder": "x"}, 400, "product cannot contain the character :"},
		{"§1.1 POST 9: no number", map[string]any{"sortOrder": "x", "metadataUrl": "http://x.example"}, 400, "The field `sortOrder` must be a number."},
		{"§1.1 POST 9: negative", map[string]any{"sortOrder": -1}, 400, "The field `sortOrder` must be a number greater than or equal to 0."},
		{"§1.1 POST 10: metadata URL neither HTTPS nor localhost", map[string]any{"metadataUrl": "http://x.example"}, 400, "Metadata URL not valid, allowed ones are localhost/HTTPS URLs"},
		{"§1.1 POST 10: metadata URL private IP", map[string]any{"metadataUrl": "https://10.1.2.3/"}, 400, "Metadata URL not valid, private IPs are not allowed"},
		{"§1.1 POST 10: metadata URL unique-local IPv6", map[string]any{"metadataUrl": "https://[fd12::1]/"}, 400, "Metadata URL not valid, private IPs are not allowed"},
		{"§1.1 POST 10: fetch fails with the upstream status", map[string]any{"metadataUrl": upstream.URL + "/404"}, 404, "Couldn't fetch XML data"},
		{"§1.1 POST 10: fetch over 1 MB, 400", map[string]any{"metadataUrl": upstream.URL + "/200"}, 400, "Couldn't fetch XML data"},
		{"§1.1 POST 10, not as Polis: the upstream 500 is 400", map[string]any{"metadataUrl": upstream.URL + "/500"}, 400, "Couldn't fetch XML data"},
		{"§1.1 POST 11, not as Polis (§11.4 37): no certificate is 400", map[string]any{"rawMetadata": regexp.MustCompile(`<md:KeyDescriptor.*</md:KeyDescriptor>`).ReplaceAllString(metadata, "")}, 400, "Could not find X509Certificate in the IdP metadata."},
		{"§1.1 POST 11: no IDPSSODescriptor", map[string]any{"rawMetadata": strings.ReplaceAll(metadata, "IDPSSODescriptor", "SPSSODescriptor")}, 400, "Please provide a metadata with IDPSSODescriptor"},
		{"§1.1 POST 11: no entityID", map[string]any{"rawMetadata": strings.ReplaceAll(metadata, sampleEntity, "")}, 400, "Couldn't parse EntityID from SAML metadata"},
		{"§1.1 POST 11: no binding", map[string]any{"rawMetadata": strings.ReplaceAll(metadata, "SingleSignOnService", "SingleLogoutService")}, 400, "Couldn't find SAML bindings for POST/REDIRECT"},
		{"§1.1 POST 11: SSO URL", map[string]any{"rawMetadata": strings.ReplaceAll(metadata, "https://idp.example/sso", "ldap://idp.example")}, 400, "SSO URL not valid, allowed ones are localhost/HTTP/HTTPS URLs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.admin(http.MethodPost, "/api/v1/sso", sample(t, sampleEntity, c.change)).refused(t, c.status, c.message)
		})
	}
	for field, message := range map[string]string{"rawMetadata": noMetadata, "encodedRawMetadata": noMetadata, "metadataUrl": noMetadata, "isSAML": noMetadata,
		"oidcDiscoveryUrl": noClientID, "oidcMetadata": noClientID, "isOIDC": noClientID} {
		t.Run("§1.1 strategy: the key "+field, func(t *testing.T) {
			p.admin(http.MethodPost, "/api/v1/sso", sample(t, sampleEntity, map[string]any{"rawMetadata": nil, "oidcClientId": ""})).refused(t, 400, "Missing SSO connection params")
			body := sample(t, sampleEntity, map[string]any{"rawMetadata": nil})
			body[field] = ""
			p.admin(http.MethodPost, "/api/v1/sso", body).refused(t, 400, message)
		})
	}
	t.Run("§1.1 POST 11, not as Polis (§11.4 37): XML that cannot be read is 400", func(t *testing.T) {
		for _, xml := range []string{"junk", metadata[:len(metadata)/2], "<!DOCTYPE x>" + metadata} {
			if a := p.admin(http.MethodPost, "/api/v1/sso", sample(t, sampleEntity, map[string]any{"rawMetadata": xml})); a.StatusCode != 400 {
				t.Errorf("%s %s", a.Status, a.body)
			}
		}
	})
}

func TestContractPostConnection(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	create := func(t *testing.T, body map[string]any) map[string]any {
		t.Helper()
		a := p.admin(http.MethodPost, "/api/v1/sso", body)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", a.Status, a.body)
		}
		return a.json(t)
	}
	first := create(t, sample(t, sampleEntity, nil))
	clientID, secret := first["clientID"], first["clientSecret"].(string)
	t.Run("§1.1 POST answers 200 and the bare record", func(t *testing.T) {
		keys := []string{}
		for name := range first {
			keys = append(keys, name)
		}
		slices.Sort(keys)
		want := []string{"clientID", "clientSecret", "defaultRedirectUrl", "forceAuthn", "idpMetadata", "product", "redirectUrl", "sortOrder", "tenant"}
		if !slices.Equal(keys, want) || first["sortOrder"] != nil {
			t.Errorf("%v, want %v and no sortOrder", keys, want)
		}
	})
	t.Run("§1.1 vector of clientID", func(t *testing.T) {
		if clientID != "8d5862f4017db0485b6c079ad3b1ef5003d443e2" {
			t.Errorf("clientID %v", clientID)
		}
	})
	t.Run("§1.1 clientSecret is 48 hexadecimal characters", func(t *testing.T) {
		if b, err := hex.DecodeString(secret); err != nil || len(b) != 24 {
			t.Errorf("%q", secret)
		}
	})
	t.Run("§1.1 idpMetadata", func(t *testing.T) {
		certificate := newIdP(t, sampleEntity).Certificate
		recorded, _ := first["idpMetadata"].(map[string]any)
		der, err := base64.StdEncoding.DecodeString(recorded["publicKey"].(string))
		sum := sha1.Sum(der)
		delete(recorded, "publicKey")
		_, dateErr := time.Parse("Jan _2 15:04:05 2006 GMT", recorded["validTo"].(string))
		delete(recorded, "validTo")
		want := map[string]any{"sso": map[string]any{"postUrl": "https://idp.example/sso", "redirectUrl": "https://idp.example/sso"},
			"slo": map[string]any{}, "entityID": sampleEntity, "thumbprint": hex.EncodeToString(sum[:]), "loginType": "idp", "provider": "saml.example.com"}
		if err != nil || dateErr != nil || len(der) != len(certificate) || !reflect.DeepEqual(recorded, want) {
			t.Errorf("%v, want %v", recorded, want)
		}
	})
	t.Run("§1.1 several signing certificates are joined by commas", func(t *testing.T) {
		second, err := federationtest.NewIdP(federationtest.Options{Now: time.Now, EntityID: "urn:else"})
		if err != nil {
			t.Fatal(err)
		}
		certificates := regexp.MustCompile(`<md:KeyDescriptor.*</md:KeyDescriptor>`)
		both := certificates.ReplaceAllStringFunc(string(newIdP(t, "urn:both").Metadata()), func(one string) string {
			return one + string(certificates.Find(second.Metadata()))
		})
		recorded := create(t, sample(t, "urn:both", map[string]any{"rawMetadata": both}))["idpMetadata"].(map[string]any)
		sum := sha1.Sum(second.Certificate)
		for name, want := range map[string]string{"publicKey": base64.StdEncoding.EncodeToString(second.Certificate), "thumbprint": hex.EncodeToString(sum[:]), "validTo": " GMT"} {
			if list := strings.Split(recorded[name].(string), ","); len(list) != 2 || !strings.HasSuffix(list[1], want) {
				t.Errorf("%s: %v", name, list)
			}
		}
	})
	for entityID, want := range map[string]string{"https://www.acme.example/saml": "acme.example", "urn:acme": "idp.example"} {
		t.Run("§1.1 provider of "+entityID, func(t *testing.T) {
			if got := create(t, sample(t, entityID, nil))["idpMetadata"].(map[string]any)["provider"]; got != want {
				t.Errorf("%v, want %s", got, want)
			}
		})
	}
	t.Run("§1.1 POST 9: an empty sortOrder is none", func(t *testing.T) {
		for _, none := range []any{"", nil} {
			body := sample(t, sampleEntity, nil)
			body["sortOrder"] = none
			if got := create(t, body)["sortOrder"]; got != nil {
				t.Errorf("%v", got)
			}
		}
	})
	for _, c := range []struct {
		name  string
		value any
		want  []any
	}{
		{"list", []string{"https://a.example/", "https://b.example/"}, []any{"https://a.example/", "https://b.example/"}},
		{"single text", "https://a.example/*", []any{"https://a.example/*"}},
		{"text that holds a JSON list", `["https://*.example.com","myapp://cb"]`, []any{"https://*.example.com", "myapp://cb"}},
	} {
		t.Run("§1.1 redirectUrl: "+c.name, func(t *testing.T) {
			if got := create(t, sample(t, sampleEntity, map[string]any{"redirectUrl": c.value}))["redirectUrl"]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	t.Run("§1.1 redirectUrl: repeated form key, §0.1 becomes a list", func(t *testing.T) {
		form := url.Values{"tenant": {"form"}, "product": {"p"}, "defaultRedirectUrl": {callback}, "redirectUrl": {"https://a.example/", "https://b.example/"},
			"encodedRawMetadata": {base64.StdEncoding.EncodeToString(newIdP(t, sampleEntity).Metadata())}}
		a := p.post("/api/v1/sso", form, "Authorization", "Api-Key "+adminKey)
		if got := a.json(t)["redirectUrl"]; !reflect.DeepEqual(got, []any{"https://a.example/", "https://b.example/"}) {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	t.Run("§1.1 all optional members", func(t *testing.T) {
		given := map[string]any{"name": "N", "label": "L", "description": "D", "sortOrder": 7.0, "forceAuthn": true, "identifierFormat": "urn:f",
			"acsUrlOverride": "https://acs.example/", "samlAudienceOverride": "urn:a"}
		body := sample(t, sampleEntity, given)
		body["tenant"] = "optional"
		body["unknown"] = true
		made := create(t, body)
		for name, want := range given {
			if made[name] != want {
				t.Errorf("%s: %v, want %v", name, made[name], want)
			}
		}
		if made["deactivated"] != nil || made["unknown"] != nil {
			t.Errorf("%v", made)
		}
	})
	t.Run("§1.1 encodedRawMetadata wins over rawMetadata, metadataUrl over both", func(t *testing.T) {
		encoded := base64.StdEncoding.EncodeToString(newIdP(t, "urn:encoded").Metadata())
		entity := func(change map[string]any) any {
			return create(t, sample(t, "urn:raw", change))["idpMetadata"].(map[string]any)["entityID"]
		}
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(newIdP(t, "urn:url").Metadata()) }))
		defer upstream.Close()
		if got := entity(map[string]any{"encodedRawMetadata": encoded}); got != "urn:encoded" {
			t.Errorf("%v", got)
		}
		if got := entity(map[string]any{"encodedRawMetadata": encoded, "metadataUrl": upstream.URL}); got != "urn:url" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 the same triple again replaces the record and keeps clientSecret", func(t *testing.T) {
		create(t, sample(t, sampleEntity, map[string]any{"name": "once", "description": "D"}))
		again := create(t, sample(t, sampleEntity, map[string]any{"name": "twice"}))
		if again["clientID"] != clientID || again["clientSecret"] != secret || again["name"] != "twice" || again["description"] != nil {
			t.Errorf("%v", again)
		}
		if got := p.list("/api/v1/sso?clientID=" + clientID.(string)); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 POST 12, not as Polis (§11.4 40): tenants may share an entity id", func(t *testing.T) {
		other := create(t, sample(t, sampleEntity, map[string]any{"tenant": "other"}))
		if other["clientID"] == clientID || other["clientSecret"] == secret {
			t.Errorf("%v", other)
		}
	})
}

func TestContractGetConnections(t *testing.T) {
	p := start(t, nil)
	make := func(name, tenant, product, entityID string, sortOrder any) map[string]any {
		time.Sleep(2 * time.Millisecond) // ids are in the order of creation to the millisecond
		return p.admin(http.MethodPost, "/api/v1/sso", sample(t, entityID, map[string]any{"name": name, "tenant": tenant, "product": product, "sortOrder": sortOrder})).json(t)
	}
	first := make("first", "a", "p", "https://one.okta.com/x", nil)
	make("second", "a", "p", "urn:two", 9)
	make("third", "a", "p", "urn:three", 5)
	make("other", "b", "p", "https://one.okta.com/x", nil)
	clientID, _ := first["clientID"].(string)
	for _, c := range []struct {
		name, query string
		want        []string
	}{
		{"by entityId, newest first", "entityId=https%3A%2F%2Fone.okta.com%2Fx", []string{"other", "first"}},
		{"by clientID", "clientID=" + clientID, []string{"first"}},
		{"entityId comes first", "entityId=urn:two&clientID=" + clientID, []string{"second"}},
		{"clientID comes before tenant and product", "clientID=" + clientID + "&tenant=b&product=p", []string{"first"}},
		{"repeated tenant, duplicates removed", "tenant=b&tenant=a&tenant=b&product=p", []string{"other", "third", "second", "first"}},
		{"tenant and product, newest first", "tenant=a&product=p", []string{"third", "second", "first"}},
		{"strategy=saml", "tenant=b&product=p&strategy=saml", []string{"other"}},
		{"strategy=oidc", "tenant=b&product=p&strategy=oidc", []string{}},
		{"another strategy", "tenant=b&product=p&strategy=x", []string{}},
		{"sort=true by sortOrder descending", "tenant=a&product=p&sort=true", []string{"second", "third", "first"}},
		{"unknown", "clientID=none", []string{}},
	} {
		t.Run("§1.1 GET "+c.name, func(t *testing.T) {
			if got := names(p.list("/api/v1/sso?" + c.query)); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
		t.Run("§1.1 GET exists "+c.name, func(t *testing.T) {
			for _, path := range []string{"/api/v1/sso/exists?", "/api/v1/saml/config/exists?"} {
				a := p.admin(http.MethodGet, path+c.query, nil)
				if len(c.want) > 0 {
					a.empty(t, http.StatusNoContent)
				} else if a.StatusCode != http.StatusNotFound || len(a.json(t)) != 0 {
					t.Errorf("%s %s", a.Status, a.body)
				}
			}
		})
	}
	t.Run("§1.1 GET without selector", func(t *testing.T) {
		p.admin(http.MethodGet, "/api/v1/sso?tenant=a", nil).refused(t, 400, noSelector)
		p.admin(http.MethodGet, "/api/v1/sso/exists", nil).refused(t, 400, noSelector)
	})
	t.Run("§1.1 GET elements have deactivated and friendlyProviderName", func(t *testing.T) {
		list := p.list("/api/v1/sso?tenant=a&product=p")
		newest, oldest := list[0]["idpMetadata"].(map[string]any), list[2]["idpMetadata"].(map[string]any)
		friendly, present := newest["friendlyProviderName"]
		if !present || friendly != nil || oldest["friendlyProviderName"] != "Okta" || list[0]["deactivated"] != false {
			t.Errorf("%v", list)
		}
	})
	for host, want := range map[string]any{"acme.okta.com": "Okta", "sts.windows.net": "Entra ID", "mocksaml.com": "MockSAML", "app.onelogin.com": "OneLogin",
		"x.keycloak.com": "Keycloak", "sso.jumpcloud.com": "JumpCloud", "accounts.google.com": "Google", "acme.auth0.com": "Auth0", "auth.pingone.com": "PingOne", "idp.example": nil} {
		t.Run("§1.1 friendlyProviderName of "+host, func(t *testing.T) {
			make(host, "friendly", "f", "https://"+host+"/saml", nil)
			list := p.list("/api/v1/sso?tenant=friendly&product=f")
			if got := list[0]["idpMetadata"].(map[string]any)["friendlyProviderName"]; got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
	t.Run("§0.6 a page has 50 elements at most, and by default", func(t *testing.T) {
		for i := range 51 {
			make(fmt.Sprint(i), "many", "m", fmt.Sprintf("urn:many:%d", i), nil)
		}
		for query, want := range map[string]int{"": 50, "&pageLimit=0": 50, "&pageLimit=1000": 50, "&pageLimit=51": 50, "&pageLimit=49": 49, "&pageOffset=50": 1} {
			if got := p.list("/api/v1/sso/product?product=m" + query); len(got) != want {
				t.Errorf("%q: %d, want %d", query, len(got), want)
			}
		}
		if got := p.list("/api/v1/sso?tenant=many&product=m"); len(got) != 51 {
			t.Errorf("§1.1 GET, not as Polis (§11.3 27): %d of a tenant's 51 connections", len(got))
		}
	})
	t.Run("§1.1 GET product: a bare array, paged as §0.6 says", func(t *testing.T) {
		for query, want := range map[string][]string{
			"":                         {"other", "third", "second", "first"},
			"&pageOffset=1&limit=2":    {"third", "second"},
			"&offset=3":                {"first"},
			"&pageLimit=1&limit=3":     {"other"},
			"&limit=x&offset=x":        {"other", "third", "second", "first"},
			"&limit=0":                 {"other", "third", "second", "first"},
			"&limit=1000&pageToken=no": {"other", "third", "second", "first"},
		} {
			if got := names(p.list("/api/v1/sso/product?product=p" + query)); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", query, got, want)
			}
		}
	})
	t.Run("§1.1 GET product: missing", func(t *testing.T) {
		p.admin(http.MethodGet, "/api/v1/sso/product", nil).refused(t, 400, "Please provide a `product`.")
	})
}

func TestContractChangeConnections(t *testing.T) {
	p := start(t, func(c *app.Config) {
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	made := p.admin(http.MethodPost, "/api/v1/sso", sample(t, sampleEntity, map[string]any{"name": "N", "label": "L", "description": "D"})).json(t)
	clientID, secret := made["clientID"].(string), made["clientSecret"].(string)
	read := func() map[string]any { return p.list("/api/v1/sso?clientID=" + clientID)[0] }
	patch := func(change map[string]any, header ...string) answer {
		body := map[string]any{"clientID": clientID, "clientSecret": secret, "isSAML": true}
		for name, value := range change {
			body[name] = value
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		header = append(header, "Content-Type", "application/json", "Authorization", "Api-Key "+adminKey)
		return p.do(p.request(http.MethodPatch, "/api/v1/sso", bytes.NewReader(text), header...))
	}
	const mismatch = "Tenant/Product config mismatch with IdP metadata"
	for _, c := range []struct {
		name    string
		body    map[string]any
		message string
	}{
		{"§1.1 PATCH strategy: neither", map[string]any{"clientID": clientID, "clientSecret": secret}, "Missing SSO connection params"},
		{"§1.1 PATCH without the secret", map[string]any{"clientID": clientID, "isSAML": 1}, "Please provide clientID/clientSecret or tenant/product/clientSecret"},
		{"§1.1 PATCH wrong secret", map[string]any{"clientID": clientID, "clientSecret": "x", "isSAML": 1}, "clientSecret mismatch"},
		{"§1.1 PATCH, not as Polis (§11.4 37): not found is 400", map[string]any{"clientID": "x", "clientSecret": "x", "isSAML": 1}, "No connection found for this clientID or tenant and product."},
		{"§1.1 PATCH metadata of another provider", map[string]any{"clientID": clientID, "clientSecret": secret, "tenant": "api-boxyhq",
			"product": "api-saml-jackson", "rawMetadata": string(newIdP(t, "urn:x").Metadata())}, mismatch},
		{"§1.1 PATCH metadata without tenant and product in the body", map[string]any{"clientID": clientID, "clientSecret": secret,
			"rawMetadata": string(newIdP(t, sampleEntity).Metadata())}, mismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.admin(http.MethodPatch, "/api/v1/sso", c.body).refused(t, 400, c.message)
		})
	}
	for _, c := range []struct {
		name  string
		field string
		value any
		want  any
	}{
		{"name", "name", "M", "M"},
		{"label", "label", "K", "K"},
		{"description", "description", "E", "E"},
		{"description, cleared by an empty text", "description", "", nil},
		{"defaultRedirectUrl", "defaultRedirectUrl", "https://n.example/", "https://n.example/"},
		{"redirectUrl", "redirectUrl", "https://n.example/", []any{"https://n.example/"}},
		{"redirectUrl, kept where it is empty", "redirectUrl", "", []any{"https://n.example/"}},
		{"sortOrder", "sortOrder", "4", 4.0},
		{"deactivated, §0.7 anything is true", "deactivated", "yes", true},
		{"deactivated, §0.7 \"false\" is false", "deactivated", "false", false},
		{"forceAuthn, §0.7 anything is true", "forceAuthn", 1, true},
		{"forceAuthn, §0.7 false", "forceAuthn", false, false},
		{"identifierFormat", "identifierFormat", "urn:g", "urn:g"},
		{"acsUrlOverride", "acsUrlOverride", "https://acs.example/", "https://acs.example/"},
		{"samlAudienceOverride", "samlAudienceOverride", "urn:b", "urn:b"},
	} {
		t.Run("§1.1 PATCH "+c.name, func(t *testing.T) {
			patch(map[string]any{c.field: c.value}).empty(t, http.StatusNoContent)
			if got := read(); !reflect.DeepEqual(got[c.field], c.want) || got["clientSecret"] != secret {
				t.Errorf("%v, want %v", got[c.field], c.want)
			}
		})
	}
	t.Run("§1.1 PATCH with x-polis-return-connection: true", func(t *testing.T) {
		if a := patch(map[string]any{"name": "R"}, "x-polis-return-connection", "true"); a.StatusCode != 200 || a.json(t)["name"] != "R" {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	t.Run("§1.1 PATCH new metadata", func(t *testing.T) {
		moved := strings.ReplaceAll(string(newIdP(t, sampleEntity).Metadata()), "https://idp.example/sso", "https://moved.example/sso")
		patch(map[string]any{"tenant": "api-boxyhq", "product": "api-saml-jackson", "rawMetadata": moved}).empty(t, http.StatusNoContent)
		if got := read()["idpMetadata"].(map[string]any)["sso"].(map[string]any)["postUrl"]; got != "https://moved.example/sso" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 PATCH metadata by each of the three keys; without metadataUrl the stored one is cleared", func(t *testing.T) {
		path := atomic.Int64{}
		metadata := func(path any) []byte {
			return bytes.ReplaceAll(newIdP(t, sampleEntity).Metadata(), []byte("https://idp.example/sso"), fmt.Appendf(nil, "https://idp.example/%v", path))
		}
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(metadata(path.Load())) }))
		defer upstream.Close()
		for i, c := range []struct {
			field string
			value any
			url   any // the stored metadataUrl
		}{
			{"metadataUrl", upstream.URL, upstream.URL},
			{"encodedRawMetadata", base64.StdEncoding.EncodeToString(metadata(1)), nil},
			{"metadataUrl", upstream.URL, upstream.URL},
			{"rawMetadata", string(metadata(3)), nil},
		} {
			path.Store(int64(i))
			patch(map[string]any{"tenant": "api-boxyhq", "product": "api-saml-jackson", c.field: c.value}).empty(t, http.StatusNoContent)
			got := read()
			at := got["idpMetadata"].(map[string]any)["sso"].(map[string]any)["postUrl"]
			if at != fmt.Sprintf("https://idp.example/%d", i) || got["metadataUrl"] != c.url {
				t.Errorf("%d: %v, %v", i, at, got["metadataUrl"])
			}
		}
	})
	t.Run("§1.1 PATCH by tenant, product and clientSecret", func(t *testing.T) {
		body := map[string]any{"tenant": "api-boxyhq", "product": "api-saml-jackson", "clientSecret": secret, "isSAML": 1, "name": "T"}
		p.admin(http.MethodPatch, "/api/v1/sso", body).empty(t, http.StatusNoContent)
		if got := read()["name"]; got != "T" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 PATCH looks up by GET's rules and takes the first result", func(t *testing.T) {
		time.Sleep(2 * time.Millisecond) // ids are in the order of creation to the millisecond
		newer := p.admin(http.MethodPost, "/api/v1/sso", sample(t, "urn:newer", nil)).json(t)
		body := map[string]any{"tenant": "api-boxyhq", "product": "api-saml-jackson", "clientSecret": secret, "isSAML": 1, "name": "older"}
		p.admin(http.MethodPatch, "/api/v1/sso", body).refused(t, 400, "clientSecret mismatch")
		p.admin(http.MethodDelete, fmt.Sprintf("/api/v1/sso?clientID=%s&clientSecret=%s", newer["clientID"], newer["clientSecret"]), nil).empty(t, http.StatusNoContent)
	})

	t.Run("§1.1 legacy GET", func(t *testing.T) {
		if got := p.admin(http.MethodGet, "/api/v1/saml/config?clientID="+clientID, nil).json(t); got["clientID"] != clientID {
			t.Errorf("%v", got)
		}
		if a := p.admin(http.MethodGet, "/api/v1/saml/config?tenant=x&product=x", nil); a.StatusCode != 200 || len(a.json(t)) != 0 {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
	t.Run("§1.1 legacy PATCH needs no strategy", func(t *testing.T) {
		p.admin(http.MethodPatch, "/api/v1/saml/config", map[string]any{"clientID": clientID, "clientSecret": secret, "name": "legacy"}).empty(t, http.StatusNoContent)
		if got := read()["name"]; got != "legacy" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 legacy errors are plain text", func(t *testing.T) {
		for _, a := range []answer{
			p.admin(http.MethodPost, "/api/v1/saml/config", map[string]any{"tenant": "x"}),
			p.admin(http.MethodPatch, "/api/v1/saml/config", map[string]any{"clientID": clientID, "clientSecret": "x"}),
			p.admin(http.MethodDelete, "/api/v1/saml/config?tenant=x", nil),
			p.admin(http.MethodGet, "/api/v1/saml/config/exists", nil),
		} {
			if a.StatusCode != 400 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") || len(a.body) == 0 || a.body[0] == '{' {
				t.Errorf("%s %s: %s %q", a.Request.Method, a.Request.URL.Path, a.Status, a.body)
			}
		}
	})
	t.Run("§1.1 legacy POST and DELETE", func(t *testing.T) {
		a := p.admin(http.MethodPost, "/api/v1/saml/config", sample(t, "urn:legacy", map[string]any{"tenant": "legacy"}))
		if a.StatusCode != 200 || a.json(t)["tenant"] != "legacy" {
			t.Fatalf("%s %s", a.Status, a.body)
		}
		p.admin(http.MethodDelete, "/api/v1/saml/config?tenant=legacy&product=api-saml-jackson&strategy=oidc", nil).empty(t, http.StatusNoContent)
		if got := p.list("/api/v1/sso?tenant=legacy&product=api-saml-jackson"); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})

	for _, c := range []struct {
		name, query string
		left        int
	}{
		{"unknown id", "clientID=x&clientSecret=x", 1},
		{"strategy of another protocol", "tenant=api-boxyhq&product=api-saml-jackson&strategy=oidc", 1},
		{"no connection of that tenant", "tenant=none&product=api-saml-jackson", 1},
		{"by clientID and clientSecret", "clientID=" + clientID + "&clientSecret=" + secret, 0},
	} {
		t.Run("§1.1 DELETE "+c.name, func(t *testing.T) {
			p.admin(http.MethodDelete, "/api/v1/sso?clientID="+clientID, nil).refused(t, 400, "Please provide `clientID` and `clientSecret` or `tenant` and `product`.")
			p.admin(http.MethodDelete, "/api/v1/sso?"+c.query, nil).empty(t, http.StatusNoContent)
			if got := p.list("/api/v1/sso?clientID=" + clientID); len(got) != c.left {
				t.Errorf("%d connections are left, want %d", len(got), c.left)
			}
		})
	}
	t.Run("§1.1 DELETE takes query parameters only", func(t *testing.T) {
		body := map[string]any{"tenant": "api-boxyhq", "product": "api-saml-jackson"}
		p.admin(http.MethodDelete, "/api/v1/sso", body).refused(t, 400, "Please provide `clientID` and `clientSecret` or `tenant` and `product`.")
	})
	t.Run("§1.1 DELETE by tenant and product deletes all; wrong secret", func(t *testing.T) {
		again := p.admin(http.MethodPost, "/api/v1/sso", sample(t, sampleEntity, nil)).json(t)
		p.admin(http.MethodPost, "/api/v1/sso", sample(t, "urn:second", nil))
		p.admin(http.MethodDelete, "/api/v1/sso?clientSecret=wrong&clientID="+again["clientID"].(string), nil).refused(t, 400, "clientSecret mismatch")
		p.admin(http.MethodDelete, "/api/v1/sso?tenant=api-boxyhq&product=api-saml-jackson", nil).empty(t, http.StatusNoContent)
		if got := p.list("/api/v1/sso?tenant=api-boxyhq&product=api-saml-jackson"); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}
