// Package e2e drives the whole program over HTTP, as browsers, applications and identity providers do.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

const (
	adminKey    = "an-admin-key-for-the-end-to-end-tests"
	sharedKey   = "shared-secret-of-tenant-and-product-clients"
	callback    = "https://app.example/callback"
	testTenant  = "acme.example"
	testProduct = "crm"
)

// program is a running Portico and what a test needs to talk to it.
type program struct {
	t    *testing.T
	URL  string
	http *http.Client // follows no redirects
	logs *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs the program on a memory database unless change says otherwise.
func start(t *testing.T, change func(*app.Config), options ...app.Option) *program {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, URL: "http://" + listener.Addr().String(), logs: &syncBuffer{}, http: &http.Client{
		Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	c := app.Config{PublicURL: p.URL, DatabaseURL: "memory:", AdminKeys: []string{adminKey}, ClientSecretVerifier: sharedKey}
	if change != nil {
		change(&c)
	}
	logger := slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := app.New(t.Context(), c, append(options, app.WithLogger(logger))...)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: a.Handler, ReadHeaderTimeout: time.Minute}}
	server.Start()
	t.Cleanup(func() {
		server.Close()
		if err := a.Close(context.WithoutCancel(t.Context())); err != nil { // by now the test's context has ended
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) location() *url.URL {
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		return &url.URL{}
	}
	return u
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%s: %v in %s", a.Status, err, a.body)
	}
	return v
}

func (p *program) do(r *http.Request) answer {
	p.t.Helper()
	response, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	a := answer{response, body}
	if p.http.Jar == nil {
		return p.goesOn(a)
	}
	return a
}

func (p *program) request(method, path string, body io.Reader, header ...string) *http.Request {
	p.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = p.URL + path
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (p *program) get(path string, header ...string) answer {
	p.t.Helper()
	return p.do(p.request(http.MethodGet, path, nil, header...))
}

func (p *program) post(path string, form url.Values, header ...string) answer {
	p.t.Helper()
	header = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)
	return p.do(p.request(http.MethodPost, path, strings.NewReader(form.Encode()), header...))
}

func (p *program) admin(method, path string, body any) answer {
	p.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(p.request(method, path, bytes.NewReader(text), "Content-Type", "application/json", "Authorization", "Api-Key "+adminKey))
}

// graphql runs an operation and decodes its data; errors of the protocol end the test.
func (p *program) graphql(query string, variables map[string]any) map[string]any {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		p.t.Fatal(err)
	}
	a := p.do(p.request(http.MethodPost, "/graphql", bytes.NewReader(text), "Content-Type", "application/json", "Authorization", "Bearer "+adminKey))
	v := a.json(p.t)
	if v["errors"] != nil {
		p.t.Fatalf("graphql: %s", a.body)
	}
	data, _ := v["data"].(map[string]any)
	return data
}

var (
	sharedIdP     *federationtest.IdP
	sharedIdPOnce sync.Once
)

// newIdP is an identity provider with its own entity ID and the one RSA key of all tests.
func newIdP(t *testing.T, entityID string) *federationtest.IdP {
	t.Helper()
	var err error
	sharedIdPOnce.Do(func() { sharedIdP, err = federationtest.NewIdP(federationtest.Options{Now: time.Now}) })
	if err != nil {
		t.Fatal(err)
	}
	idp, err := federationtest.NewIdP(federationtest.Options{Now: time.Now, EntityID: entityID,
		SSOURL: "https://idp.example/sso", Key: sharedIdP.Key})
	if err != nil {
		t.Fatal(err)
	}
	return idp
}

// connect makes a connection over /api/v1/sso and returns its record.
func (p *program) connect(idp *federationtest.IdP, change map[string]any) map[string]any {
	p.t.Helper()
	body := map[string]any{
		"tenant": testTenant, "product": testProduct, "defaultRedirectUrl": callback, "redirectUrl": []string{callback},
		"encodedRawMetadata": base64.StdEncoding.EncodeToString(idp.Metadata()),
	}
	for name, value := range change {
		body[name] = value
	}
	a := p.admin(http.MethodPost, "/api/v1/sso", body)
	if a.StatusCode != http.StatusOK {
		p.t.Fatalf("connect: %s %s", a.Status, a.body)
	}
	return a.json(p.t)
}

// polisClient is the authorization request of a tenant-and-product client.
func polisClient(change url.Values) url.Values {
	q := url.Values{"client_id": {"tenant=" + testTenant + "&product=" + testProduct}, "redirect_uri": {callback},
		"state": {"the-state"}, "response_type": {"code"}}
	for name, values := range change {
		if len(values) == 0 {
			q.Del(name)
		} else {
			q[name] = values
		}
	}
	return q
}

// begin sends an authorization request and reads what the identity provider gets.
func (p *program) begin(q url.Values) federationtest.Request {
	p.t.Helper()
	a := p.get("/api/oauth/authorize?" + q.Encode())
	if a.StatusCode != http.StatusFound || a.location().Host != "idp.example" {
		p.t.Fatalf("authorize: %s to %s", a.Status, a.Header.Get("Location"))
	}
	request, err := federationtest.ParseRedirect(a.Header.Get("Location"), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return request
}

var alice = federationtest.User{ID: "alice-1", Email: "alice@acme.example", FirstName: "Alice", LastName: "Archer",
	Roles: []string{"admin"}, Groups: []string{"eng", "ops"}}

// respond signs alice in, as changed, and returns the SAMLResponse field.
func (p *program) respond(idp *federationtest.IdP, q federationtest.Request, change func(*federationtest.Response)) string {
	p.t.Helper()
	r := idp.Answer(q, alice)
	if change != nil {
		change(&r)
	}
	response, err := idp.Response(r)
	if err != nil {
		p.t.Fatal(err)
	}
	return response
}

func (p *program) acs(response, relayState string) answer {
	p.t.Helper()
	form := url.Values{"SAMLResponse": {response}}
	if relayState != "" {
		form.Set("RelayState", relayState)
	}
	return p.goesOn(p.post("/api/oauth/saml", form))
}

// goesOn follows a finished login over the request of Portico's own site. do does, where the browser keeps no cookies: there
// nothing is to be seen on the way.
func (p *program) goesOn(a answer) answer {
	p.t.Helper()
	if a.location().Path == "/api/oauth/continue" {
		return p.get(a.Header.Get("Location"))
	}
	return a
}

// code runs a login up to the code.
func (p *program) code(idp *federationtest.IdP, q url.Values) string {
	p.t.Helper()
	request := p.begin(q)
	a := p.acs(p.respond(idp, request, nil), request.RelayState)
	code := a.location().Query().Get("code")
	if code == "" {
		p.t.Fatalf("no code: %s to %s", a.Status, a.Header.Get("Location"))
	}
	return code
}

// redeem posts to the token endpoint what a tenant-and-product client posts.
func (p *program) redeem(code string, change url.Values) answer {
	p.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback},
		"client_id": {"tenant=" + testTenant + "&product=" + testProduct}, "client_secret": {sharedKey}}
	for name, values := range change {
		if len(values) == 0 {
			form.Del(name)
		} else {
			form[name] = values
		}
	}
	return p.post("/api/oauth/token", form)
}

func (p *program) userinfo(token string) answer {
	p.t.Helper()
	return p.get("/api/oauth/userinfo", "Authorization", "Bearer "+token)
}

const verifier = "a-code-verifier-of-sufficient-length-for-rfc7636"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
