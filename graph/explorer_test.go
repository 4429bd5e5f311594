package graph_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// TestExplorer reads the page and everything it names, as a browser would.
func TestExplorer(t *testing.T) {
	w := newWorld(t)
	get := func(method, path string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		return recorder.Result()
	}
	page := get(http.MethodGet, "/graphql")
	html, err := io.ReadAll(page.Body)
	must(t, err)
	if page.StatusCode != 200 || page.Header.Get("Content-Security-Policy") != policy || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("page: %d %v", page.StatusCode, page.Header)
	}
	for _, forbidden := range []string{"http://", "https://", "<style", "style=", " onclick", "<script>", "javascript:"} {
		if strings.Contains(string(html), forbidden) {
			t.Errorf("the page holds %q, which its policy or working offline forbids", forbidden)
		}
	}
	for path, kind := range map[string]string{"/graphql/assets/explorer.js": "text/javascript", "/graphql/assets/explorer.css": "text/css"} {
		if !strings.Contains(string(html), `"`+strings.TrimPrefix(path, "/")+`"`) { // relative, so that it works below any path
			t.Errorf("the page does not name %s", path)
		}
		asset := get(http.MethodGet, path)
		if asset.StatusCode != 200 || !strings.HasPrefix(asset.Header.Get("Content-Type"), kind) || asset.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, asset.StatusCode, asset.Header)
		}
	}
	if head := get(http.MethodHead, "/graphql"); head.StatusCode != 200 {
		t.Errorf("HEAD: %d", head.StatusCode)
	}
	for _, path := range []string{"/graphql/", "/graphql/x", "/graphql/assets/", "/graphql/assets/x", "/graphql/assets/../explorer.go", "/graphqlx"} {
		if missing := get(http.MethodGet, path); missing.StatusCode != 404 {
			t.Errorf("%s: %d", path, missing.StatusCode)
		}
	}
	if posted := get(http.MethodPost, "/graphql/assets/explorer.js"); posted.StatusCode != 405 {
		t.Errorf("POST of an asset: %d", posted.StatusCode)
	}
}

// operations finds what is written as GraphQL in a text: between back quotes, or fenced.
var operations = regexp.MustCompile("(?s)`(?:``graphql\n)?((?:query|mutation)\\s.*?|\\{.*?)`")

// TestExamples sends every example of the explorer and of the documentation: the schema has what they name.
func TestExamples(t *testing.T) {
	w := newWorld(t)
	for path, least := range map[string]int{"explorer/explorer.js": 7, "../docs/graphql.md": 5, "../docs/scim.md": 2, "../docs/events.md": 2, "../docs/mapping.md": 1} {
		text, err := os.ReadFile(path)
		must(t, err)
		found := 0
		for _, m := range operations.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "\n") {
				continue
			}
			found++
			for _, e := range w.send(m[1], nil).Errors {
				if e.Extensions.Code != "invalid_variable" { // their variables stand elsewhere
					t.Errorf("%s: %s: %s: %s", path, e.Extensions.Code, e.Message, m[1])
				}
			}
		}
		if found < least {
			t.Errorf("%s: only %d examples were found", path, found)
		}
	}
}

// TestExplorerInBrowser opens the page in a browser: its script runs under its policy and fills in the examples.
func TestExplorerInBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
			t.Fatal("chromium is missing")
		}
		t.Skip("chromium is missing")
	}
	w := newWorld(t)
	server := httptest.NewServer(http.StripPrefix("/portico", w.handler)) // below a path, as behind some proxies
	defer server.Close()
	profile, err := os.MkdirTemp("", "portico-chromium-") // not t.TempDir: the browser may still write when it has ended
	must(t, err)
	defer func() { _ = os.RemoveAll(profile) }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	browser := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+profile,
		"--dump-dom", server.URL+"/portico/graphql")
	dom, err := browser.Output()
	must(t, err)
	for _, want := range []string{`<option value="0">`, `id="query"`, "Connect with an admin key"} {
		if !strings.Contains(string(dom), want) {
			t.Errorf("the page lacks %s: %s", want, dom)
		}
	}
}
