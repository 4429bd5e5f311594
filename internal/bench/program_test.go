// Package bench measures the whole program: what a sign-in costs, and how it starts and idles.
package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
	"github.com/portico-sso/portico/ports/store/seal"
)

const (
	publicURL = "https://sso.example.com"
	callback  = "https://app.example.com/callback"
	adminKey  = "an-admin-key-for-the-benchmarks-of-portico"
	verifier  = "a-code-verifier-of-sufficient-length-for-rfc7636"
)

// calls counts what reaches a store's backend, and the time that commits take in all, in nanoseconds.
type calls struct{ reads, commits, inCommit atomic.Int64 }

// counted is a SQLite database at which calls are counted.
type counted struct {
	store.Backend
	*calls
}

// asked marks the calls that requests make: what the program does by itself meanwhile is not counted.
type asked struct{}

func ofRequest(ctx context.Context) bool { return ctx.Value(asked{}) != nil }

func (c counted) read(ctx context.Context) {
	if ofRequest(ctx) {
		c.reads.Add(1)
	}
}

// Get does not count the look that the fence of migrations takes at the first commit of every five seconds.
func (c counted) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	if collection != migrate.Collection().Name {
		c.read(ctx)
	}
	return c.Backend.Get(ctx, now, collection, ids)
}

func (c counted) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	c.read(ctx)
	return c.Backend.Range(ctx, now, collection, r)
}

func (c counted) Count(ctx context.Context, now time.Time, collection string, r store.Range) (int64, error) {
	c.read(ctx)
	return c.Backend.Count(ctx, now, collection, r)
}

func (c counted) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if ofRequest(ctx) {
		c.commits.Add(1)
		start := time.Now()
		defer func() { c.inCommit.Add(int64(time.Since(start))) }()
	}
	return c.Backend.Commit(ctx, now, ops)
}

// countedDriver opens counted:///path and makes its tables.
func countedDriver(c *calls) store.Driver {
	return store.Driver{Schemes: []string{"counted"},
		Open: func(ctx context.Context, u *url.URL, s store.Schema, o store.DriverOptions) (store.Backend, error) {
			u = &url.URL{Scheme: "sqlite", Path: u.Path}
			b, err := sqlite.Driver.Open(ctx, u, s, o)
			if err == nil {
				err = b.(store.Structured).Migrate(ctx)
			}
			return counted{b, c}, err
		}}
}

// program is Portico as a handler, with one connection and one application.
type program struct {
	http.Handler
	calls
	idp                  *federationtest.IdP
	clientID, secret     string
	polisSecret, polisID string
	stopped              atomic.Int64 // the time at which the clock stands, in Unix nanoseconds; 0 where it runs
}

func (p *program) now() time.Time {
	if at := p.stopped.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Now()
}

func (p *program) stopClock() { p.stopped.Store(time.Now().UnixNano()) }

// skip moves a clock that stands.
func (p *program) skip(d time.Duration) {
	if d > 0 {
		p.stopped.Add(int64(d))
	}
}

// startProgram runs Portico in process on a SQLite file, with logs that are formatted and written to nowhere. signRequests is
// ALWAYS or NEVER.
func startProgram(tb testing.TB, signRequests string) *program {
	tb.Helper()
	p := &program{}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	c := app.Config{RateLimit: new(int), // any number comes from this address
		PublicURL: publicURL, DatabaseURL: "counted://" + filepath.ToSlash(filepath.Join(tb.TempDir(), "portico.db")),
		AdminKeys: []string{adminKey}, EncryptionKeys: []seal.Key{{ID: "k1", Secret: sha256.Sum256([]byte("bench"))}},
	}
	a, err := app.New(tb.Context(), c, app.WithDriver(countedDriver(&p.calls)), app.WithClock(p.now),
		app.WithLogger(slog.New(slog.NewTextHandler(null, nil))))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		_ = null.Close()
	})
	p.Handler = a.Handler
	p.configure(tb, signRequests)
	return p
}

// configure makes the identity provider, its connection over the Polis API, and the application over GraphQL.
func (p *program) configure(tb testing.TB, signRequests string) {
	tb.Helper()
	var err error
	p.idp, err = federationtest.NewIdP(federationtest.Options{Now: p.now, Key: idpKey()})
	if err != nil {
		tb.Fatal(err)
	}
	var connection struct{ ClientID, ClientSecret string }
	p.admin(tb, "/api/v1/sso", map[string]any{"tenant": "acme.example", "product": "crm", "defaultRedirectUrl": callback,
		"redirectUrl": []string{callback}, "encodedRawMetadata": base64.StdEncoding.EncodeToString(p.idp.Metadata())}, &connection)
	p.polisID, p.polisSecret = connection.ClientID, connection.ClientSecret
	var found struct {
		Projects struct {
			Nodes []struct {
				ID            string
				Organizations struct {
					Nodes []struct {
						Connections struct{ Nodes []struct{ ID string } }
					}
				}
			}
		}
	}
	p.graphql(tb, `{projects(first: 1) {nodes {id organizations(first: 1) {nodes {connections(first: 1) {nodes {id}}}}}}}`, nil, &found)
	project := found.Projects.Nodes[0]
	p.graphql(tb, `mutation($in: UpdateConnectionInput!) {updateConnection(input: $in) {errors {message}}}`,
		map[string]any{"id": project.Organizations.Nodes[0].Connections.Nodes[0].ID, "signRequests": signRequests}, nil)
	var made struct {
		CreateApplication struct {
			Application struct{ ID string }
			Secret      string
		}
	}
	p.graphql(tb, `mutation($in: CreateApplicationInput!) {createApplication(input: $in) {application {id} secret}}`,
		map[string]any{"projectId": project.ID, "name": "CRM", "redirectUris": []string{callback}}, &made)
	p.clientID, p.secret = made.CreateApplication.Application.ID, made.CreateApplication.Secret
}

func (p *program) graphql(tb testing.TB, query string, input map[string]any, data any) {
	tb.Helper()
	var answer struct {
		Data   json.RawMessage
		Errors []any
	}
	p.admin(tb, "/graphql", map[string]any{"query": query, "variables": map[string]any{"in": input}}, &answer)
	if len(answer.Errors) > 0 {
		tb.Fatal(answer.Errors...)
	}
	if data == nil {
		return
	}
	if err := json.Unmarshal(answer.Data, data); err != nil {
		tb.Fatal(err)
	}
}

func (p *program) admin(tb testing.TB, path string, body, into any) {
	tb.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		tb.Fatal(err)
	}
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+adminKey)
	if strings.HasPrefix(path, "/api/") {
		r.Header.Set("Authorization", "Api-Key "+adminKey)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		tb.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		tb.Fatal(err)
	}
}

// idpKey is one RSA key for all identity providers, for making one takes long.
var idpKey = sync.OnceValue(func() crypto.Signer {
	idp, err := federationtest.NewIdP(federationtest.Options{Now: time.Now})
	if err != nil {
		panic(err)
	}
	return idp.Key
})

// client is how an application signs people in.
type client struct {
	query url.Values // of the authorization request
	form  url.Values // of the token request, without the code
}

// application is a confidential client of Portico's own kind, with PKCE and, where asked, id tokens.
func (p *program) application(openID bool) client {
	sum := sha256.Sum256([]byte(verifier))
	c := client{
		query: url.Values{"response_type": {"code"}, "client_id": {p.clientID}, "redirect_uri": {callback}, "state": {"the-state"},
			"organization": {"acme.example"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}},
		form: url.Values{"grant_type": {"authorization_code"}, "client_id": {p.clientID}, "client_secret": {p.secret},
			"redirect_uri": {callback}, "code_verifier": {verifier}},
	}
	return c.openID(openID)
}

// polis is a client that names tenant and product, as those of Ory Polis do.
func (p *program) polis(openID bool) client {
	id := "tenant=acme.example&product=crm"
	c := client{
		query: url.Values{"response_type": {"code"}, "client_id": {id}, "redirect_uri": {callback}, "state": {"the-state"}},
		form: url.Values{"grant_type": {"authorization_code"}, "client_id": {p.polisID}, "client_secret": {p.polisSecret},
			"redirect_uri": {callback}},
	}
	return c.openID(openID)
}

func (c client) openID(on bool) client {
	if on {
		c.query.Set("scope", "openid")
		c.query.Set("nonce", "the-nonce")
	}
	return c
}

func person(i int) federationtest.User {
	return federationtest.User{ID: fmt.Sprintf("user-%d", i), Email: fmt.Sprintf("user%d@acme.example", i),
		FirstName: "Alice", LastName: "Archer", Roles: []string{"admin"}, Groups: []string{"Engineering", "On-call"}}
}

// login is one sign-in under way. Its steps are the program's work alone; answer is the identity provider's.
type login struct {
	*program
	client
	person federationtest.User

	location *url.URL // at the identity provider
	form     string   // with its response
}

// begin sends the browser to the identity provider.
func (l *login) begin(tb testing.TB) {
	l.location = l.redirected(tb, get(tb, "/api/oauth/authorize?"+l.query.Encode()))
}

// answer makes the identity provider's response.
func (l *login) answer(tb testing.TB) {
	q, err := federationtest.ParseRedirect(l.location.String(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := l.idp.Response(l.idp.Answer(q, l.person))
	if err != nil {
		tb.Fatal(err)
	}
	l.form = url.Values{"SAMLResponse": {response}, "RelayState": {q.RelayState}}.Encode()
}

// finish posts the response, redeems the code and asks who signed in.
func (l *login) finish(tb testing.TB) {
	w := l.serve(post(tb, "/api/oauth/token", l.redemption(l.receiveCode(tb))))
	var token struct {
		AccessToken string `json:"access_token"`
		IDToken     string `json:"id_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &token); err != nil || token.AccessToken == "" {
		tb.Fatalf("no token: %d %s", w.Code, w.Body)
	}
	if (token.IDToken != "") != l.query.Has("nonce") {
		tb.Fatalf("id token %q", token.IDToken)
	}
	r := get(tb, "/api/oauth/userinfo")
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	if w = l.serve(r); w.Code != http.StatusOK || !bytes.Contains(w.Body.Bytes(), []byte(l.person.Email)) {
		tb.Fatalf("no profile: %d %s", w.Code, w.Body)
	}
}

// receiveCode posts the response and follows the browser as far as the application's code.
func (l *login) receiveCode(tb testing.TB) string {
	to := l.redirected(tb, post(tb, "/api/oauth/saml", l.form))
	if to.Path == "/api/oauth/continue" { // an application's: the browser goes on there, and has no cookies
		to = l.redirected(tb, get(tb, to.RequestURI()))
	}
	code := to.Query().Get("code")
	if code == "" {
		tb.Fatal("no code")
	}
	return code
}

// redemption is the token request for a code.
func (l *login) redemption(code string) string {
	form := url.Values{"code": {code}}
	for name, values := range l.client.form {
		form[name] = values
	}
	return form.Encode()
}

// signIn is one whole login.
func (p *program) signIn(tb testing.TB, c client, who federationtest.User) {
	l := &login{program: p, client: c, person: who}
	l.begin(tb)
	l.answer(tb)
	l.finish(tb)
}

func (l *login) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w
}

func (l *login) redirected(tb testing.TB, r *http.Request) *url.URL {
	w := l.serve(r)
	to, err := url.Parse(w.Header().Get("Location"))
	if w.Code != http.StatusFound || err != nil {
		tb.Fatalf("%s: %d to %q", r.URL.Path, w.Code, w.Header().Get("Location"))
	}
	return to
}

func get(tb testing.TB, target string) *http.Request {
	return httptest.NewRequestWithContext(context.WithValue(tb.Context(), asked{}, true), http.MethodGet, target, nil)
}

func post(tb testing.TB, target, form string) *http.Request {
	r := httptest.NewRequestWithContext(context.WithValue(tb.Context(), asked{}, true), http.MethodPost, target, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// signInTogether signs n times in, 16 at a time, each of 16 persons in turn.
func signInTogether(tb testing.TB, p *program, n int) {
	var next atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for next.Add(1) <= int64(n) && !tb.Failed() {
				p.signIn(tb, p.application(true), person(i))
			}
		})
	}
	all.Wait()
}
