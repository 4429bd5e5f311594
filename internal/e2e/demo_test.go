package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium finds the browser. Without one the test is left out, unless everything is required.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
		t.Fatal("no chromium is installed, and PORTICO_TEST_REQUIRE=1")
	}
	t.Skip("no chromium is installed")
	return ""
}

// browser is a tab, and what went wrong in it: exceptions, errors on the console, and what a policy stopped.
type browser struct {
	t     *testing.T
	tab   context.Context
	mu    sync.Mutex
	wrong []string
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1200, 900),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
	})
	allocator, closeBrowser := chromedp.NewExecAllocator(context.Background(), options...) // t's context ends before the cleanup
	tab, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() { _ = chromedp.Cancel(tab); closeBrowser() })
	b := &browser{t: t, tab: tab}
	err := chromedp.Listen(tab, b.listen) // opens the browser
	if err == nil {
		_, err = chromedp.Call(tab, cdplog.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(tab, runtime.Enable, cdp.Empty{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			b.wrong = append(b.wrong, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			b.wrong = append(b.wrong, string(e.Type)+" on the console")
		}
	}
}

// do runs a step of the person at the browser.
func (b *browser) do(step string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.tab, 30*time.Second)
	defer stop()
	if err := chromedp.Do(ctx, actions...); err != nil {
		at, _ := chromedp.Run(b.tab, chromedp.Location())
		text, _ := chromedp.Run(b.tab, chromedp.OuterHTML("body"))
		b.t.Fatalf("%s: %v\nat %s: %s", step, err, at, text)
	}
}

// sees waits for an element and gives its text. The page is kept as a picture where go test -artifacts asks for it.
func (b *browser) sees(picture, selector string) string {
	b.t.Helper()
	b.do("see "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
	text, err := chromedp.Run(b.tab, chromedp.Text(chromedp.CSS(selector)))
	image, noImage := chromedp.Run(b.tab, chromedp.CaptureScreenshot())
	if err := errors.Join(err, noImage, os.WriteFile(filepath.Join(b.t.ArtifactDir(), picture+".png"), image, 0o600)); err != nil {
		b.t.Fatal(err)
	}
	return text
}

// complained reports whether something went wrong, and forgets it.
func (b *browser) complained() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	complained := len(b.wrong) > 0
	b.wrong = nil
	return complained
}

// clean checks that nothing went wrong since the last time.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wrong := range b.wrong {
		b.t.Errorf("the browser complains: %s", wrong)
	}
	b.wrong = nil
}

const submitButton = chromedp.CSS(`form button`)

func TestDemoInABrowser(t *testing.T) {
	b := openBrowser(t) // first: it may skip
	demo := launch(t, t.TempDir(), nil, "demo")
	address := demo.find(&demo.stdout, `(http://localhost:\d+/demo)`)
	key := demo.find(&demo.stdout, `admin key (pk_\S+)`)
	p := &program{t: t, URL: strings.TrimSuffix(address, "/demo"), logs: &demo.stderr, http: &http.Client{Timeout: 20 * time.Second}}

	t.Run("sign in", func(t *testing.T) {
		b.t = t
		b.do("open the demo", chromedp.Navigate(address))
		b.signedIn(t, "alice@acme.example")
		b.do("sign in as somebody else", chromedp.Click(chromedp.CSS(`main a.button`)))
		if text := b.sees("identity-provider", "body"); !strings.Contains(text, "Test identity provider") {
			t.Fatalf("no identity provider: %s", text)
		}
		b.clean()
		b.do("sign in", chromedp.WaitVisible(submitButton),
			chromedp.SetValue(chromedp.CSS(`[name=email]`), "bob@acme.example"), chromedp.Click(submitButton))
		b.signedIn(t, "bob@acme.example")
	})

	t.Run("sign in with a request that a form posts", func(t *testing.T) {
		b.t = t
		p := *p
		p.t = t
		p.graphqlAs(key, `mutation($in: UpdateConnectionInput!) {updateConnection(input: $in) {errors {message}}}`,
			map[string]any{"in": map[string]any{"id": p.onlyConnection(key), "binding": "POST", "signRequests": "ALWAYS"}})
		b.signOut(p.URL)
		b.do("open the demo", chromedp.Navigate(address))
		b.signedIn(t, "alice@acme.example")
	})

	t.Run("choose among identity providers", func(t *testing.T) {
		b.t = t
		p := *p
		p.t = t
		second := newIdP(t, "https://idp.example/second")
		body, err := json.Marshal(map[string]any{"tenant": "acme", "product": "demo", "label": "Head office", "redirectUrl": []string{callback},
			"defaultRedirectUrl": callback, "encodedRawMetadata": base64.StdEncoding.EncodeToString(second.Metadata())})
		if err != nil {
			t.Fatal(err)
		}
		if a := p.do(p.request(http.MethodPost, "/api/v1/sso", strings.NewReader(string(body)), "Content-Type", "application/json", "Authorization", "Api-Key "+key)); a.StatusCode != http.StatusOK {
			t.Fatalf("connect: %s %s", a.Status, a.body)
		}
		b.signOut(p.URL)
		b.do("open the demo", chromedp.Navigate(address))
		if text := b.sees("chooser", "main"); !strings.Contains(text, "Head office") || !strings.Contains(text, "Test identity provider") {
			t.Errorf("choices: %s", text)
		}
		b.clean()
		b.do("choose the first", chromedp.Click(`//a[contains(., "Test identity provider")]`))
		b.signedIn(t, "alice@acme.example")
	})

	t.Run("other pages", func(t *testing.T) {
		b.t = t
		for name, c := range map[string]struct{ path, want string }{
			"error":     {"/api/oauth/authorize?" + url.Values{"client_id": {"unknown"}, "redirect_uri": {callback}}.Encode(), "Request id"},
			"home":      {"/", "Portico is running"},
			"settings":  {"/.well-known/saml-configuration", "ACS URL"},
			"demo-fail": {"/demo/callback?code=x&state=y", "could not be signed in"},
		} {
			b.do("open "+c.path, chromedp.Navigate(p.URL+c.path))
			if text := b.sees(name, "main"); !strings.Contains(text, c.want) {
				t.Errorf("%s: %s", c.path, text)
			}
			if name == "demo-fail" && !b.complained() { // of its status, which is that of an error
				t.Error("the browser's complaints are not heard")
			}
			b.clean()
		}
	})

	t.Run("ask the admin API", func(t *testing.T) {
		b.t = t
		b.do("open the explorer and connect", chromedp.Navigate(p.URL+"/graphql"), chromedp.WaitVisible(chromedp.CSS("#key")),
			chromedp.SendKeys(chromedp.CSS("#key"), key), chromedp.Click(chromedp.CSS(`#key-form button[type=submit]`)),
			chromedp.WaitEnabled(chromedp.CSS("#filter")))
		b.do("run a query", chromedp.SetValue("#query", "{projects(first: 5) {nodes {slug name}}}"), chromedp.Click(chromedp.CSS("#run")),
			chromedp.Poll[chromedp.Void](`document.querySelector("#result").textContent.includes("Demo")`))
		if text := b.sees("explorer", "#result"); !strings.Contains(text, `"slug": "demo"`) {
			t.Errorf("answer: %s", text)
		}
		b.clean()
	})
	demo.stop()
}

// signOut signs the person out of Portico, which asks whether they want that.
func (b *browser) signOut(address string) {
	b.t.Helper()
	b.do("sign out", chromedp.Navigate(address+"/api/oauth/logout"), chromedp.WaitVisible(submitButton))
	if text := b.sees("sign-out", "main"); !strings.Contains(text, "Do you want to sign out?") {
		b.t.Errorf("signing out: %s", text)
	}
	b.do("confirm", chromedp.Click(submitButton), chromedp.WaitVisible(`//h1[contains(., "You are signed out")]`))
	b.clean()
}

// signedIn checks that the sample application shows who came.
func (b *browser) signedIn(t *testing.T, email string) {
	t.Helper()
	b.do("come back to the application", chromedp.WaitVisible(chromedp.CSS(`#id-token`)))
	if text := b.sees("signed-in", "h1"); !strings.Contains(text, email) {
		t.Errorf("signed in as: %s", text)
	}
	for _, id := range []string{"#profile", "#id-token"} {
		var shown map[string]any
		if err := json.Unmarshal([]byte(b.sees("signed-in", id)), &shown); err != nil || shown["email"] != email || shown["sub"] == nil {
			t.Errorf("%s: %v, %v", id, shown, err)
		}
	}
	b.clean()
}

// graphqlAs is graphql with another key.
func (p *program) graphqlAs(key, query string, variables map[string]any) map[string]any {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		p.t.Fatal(err)
	}
	a := p.do(p.request(http.MethodPost, "/graphql", strings.NewReader(string(text)), "Content-Type", "application/json", "Authorization", "Bearer "+key))
	v := a.json(p.t)
	if v["errors"] != nil {
		p.t.Fatalf("graphql: %s", a.body)
	}
	data, _ := v["data"].(map[string]any)
	return data
}

// onlyConnection is the id of the demo's connection.
func (p *program) onlyConnection(key string) any {
	p.t.Helper()
	v := any(p.graphqlAs(key, `{projects(first: 5) {nodes {slug organizations(first: 2) {nodes {connections(first: 2) {nodes {id}}}}}}}`, nil))
	for _, name := range []string{"projects", "organizations", "connections"} {
		v = v.(map[string]any)[name].(map[string]any)["nodes"].([]any)[0]
	}
	return v.(map[string]any)["id"]
}
