package e2e

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// loss is what becomes of commits on their way to a database and back.
type loss string

const (
	noLoss      loss = "none"
	lostAnswer  loss = "made, and the answer lost"
	lostRequest loss = "lost, and nobody knows"
	lateRequest loss = "made behind the next read, and nobody knows"
	refused     loss = "refused, as none is made"
)

// lossy is a backend to which every commit is treated so; but whoever tries again, as none was made, succeeds.
type lossy struct {
	store.Backend
	schema store.Schema
	loss   loss

	mu    sync.Mutex
	spare bool // the next commit is let through
	late  func()
}

func (l *lossy) set(loss loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loss = loss
}

func (l *lossy) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loss == noLoss || l.spare {
		l.spare = false
		return l.Backend.Commit(ctx, now, ops)
	}
	l.spare = l.loss != lostAnswer
	switch l.loss {
	case lostAnswer:
		if err := l.Backend.Commit(ctx, now, ops); err != nil {
			return err
		}
	case lateRequest:
		ops = slices.Clone(ops)
		for i, op := range ops {
			ops[i].Doc.Body, ops[i].Doc.Keys = slices.Clone(op.Doc.Body), maps.Clone(op.Doc.Keys)
		}
		l.late = func() { _ = l.Backend.Commit(context.WithoutCancel(ctx), now, ops) }
	case refused:
		return store.ErrUnavailable
	}
	return store.ErrUncertain
}

// arrive lets a late commit come.
func (l *lossy) arrive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late != nil {
		l.late()
		l.late = nil
	}
}

func (l *lossy) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	defer l.arrive()
	return l.Backend.Get(ctx, now, collection, ids)
}

func (l *lossy) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	defer l.arrive()
	return l.Backend.Range(ctx, now, collection, r)
}

// behind is what the relay of events and the jobs write when they come to it; core/events has tests of what they lose.
var behind = []string{"outbox", "event_log", "event_positions", "leases"}

// versions are those of all documents of each collection, in order.
func (l *lossy) versions(t *testing.T) map[string][]int64 {
	t.Helper()
	all := map[string][]int64{}
	for _, c := range l.schema {
		if slices.Contains(behind, c.Name) {
			continue
		}
		docs, err := l.Backend.Range(t.Context(), time.Now(), c.Name, store.Range{Limit: store.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			all[c.Name] = append(all[c.Name], d.Version)
		}
		slices.Sort(all[c.Name])
	}
	return all
}

// lossyDriver opens databases of the scheme lossy and notes them.
func lossyDriver(l loss, opened *[]*lossy) app.Option {
	return app.WithDriver(store.Driver{Schemes: []string{"lossy"}, Open: func(_ context.Context, _ *url.URL, s store.Schema, _ store.DriverOptions) (store.Backend, error) {
		b := &lossy{Backend: memory.New(s), schema: s, loss: l}
		*opened = append(*opened, b)
		return b, nil
	}})
}

// patient sends a request again that is told to come later, as Retry-After and RFC 6749 §4.1.2.1 have it.
type patient struct {
	clock *clock
	waits atomic.Int64
}

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		a, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		later := a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "" ||
			strings.Contains(a.Header.Get("Location"), "error=temporarily_unavailable")
		if !later || p.waits.Add(1) > 1000 {
			return a, nil
		}
		p.clock.advance(6 * time.Second) // as devices have to (RFC 8628 §3.5)
		_, _ = io.Copy(io.Discard, a.Body)
		_ = a.Body.Close()
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// TestLostCommits does everything that changes something while each commit, on its way or back, gets lost: what is there in
// the end is what is there without a loss, to the version.
func TestLostCommits(t *testing.T) {
	for _, urls := range [][2]string{{"lossy:all", ""}, {"lossy:records", "lossy:sessions"}} {
		want := doEverything(t, noLoss, urls)
		for _, l := range []loss{lostAnswer, lostRequest, lateRequest, refused} {
			t.Run(string(l)+urls[1], func(t *testing.T) {
				got := doEverything(t, l, urls)
				for i, when := range []string{"when everything is made", "when everything is deleted"} {
					for name := range want[i] {
						if !slices.Equal(got[i][name], want[i][name]) {
							t.Errorf("%s, %s has versions %v, want %v", when, name, got[i][name], want[i][name])
						}
					}
				}
			})
		}
	}
}

// doEverything makes, changes, uses and deletes what there is, and gives the versions of everything before and after
// the deletions.
func doEverything(t *testing.T, l loss, urls [2]string) (versions [2]map[string][]int64) {
	t.Helper()
	var opened []*lossy
	loss := l
	if l == refused { // then it would not start
		loss = noLoss
	}
	clock := &clock{}
	p := start(t, func(c *app.Config) {
		c.DatabaseURL, c.SessionURL = urls[0], urls[1]
		c.EncryptionKeys = []seal.Key{{ID: "k1"}}
	}, lossyDriver(loss, &opened), app.WithClock(clock.now))
	for _, b := range opened {
		b.set(l)
	}
	waits := &patient{clock: clock}
	p.http.Transport = waits
	look := func(i int) {
		versions[i] = map[string][]int64{}
		for _, b := range opened {
			for name, list := range b.versions(t) {
				versions[i][name] = append(versions[i][name], list...)
			}
		}
	}

	idp, other := newIdP(t, "https://idp.example/one"), newIdP(t, "https://idp.example/other")
	idp.Now, other.Now = clock.now, clock.now
	made := p.makeEverything(idp)
	p.connect(other, nil)
	record := p.connect(other, map[string]any{"name": "replaced", "idpInitiated": true})
	if a := p.admin(http.MethodPatch, "/api/v1/sso", map[string]any{"clientID": record["clientID"], "clientSecret": record["clientSecret"],
		"tenant": testTenant, "product": testProduct, "isSAML": true, "label": "changed"}); a.StatusCode != http.StatusNoContent {
		t.Errorf("patch: %s %s", a.Status, a.body)
	}
	p.useEverything(idp, other, made)
	(&land{program: p, clock: clock, idp: other}).grantEverything()
	look(0)
	for _, name := range []string{"Connection", "Application", "Organization", "Project"} {
		p.mutate("delete"+name, "Delete"+name+"Input", "deletedId", map[string]any{"id": made[name]})
	}
	if a := p.admin(http.MethodDelete, "/api/v1/sso?tenant="+testTenant+"&product="+testProduct, nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %s %s", a.Status, a.body)
	}
	look(1)
	if n := waits.waits.Load(); (n > 0) != (l == refused) {
		t.Errorf("%d requests were sent again", n)
	}
	return versions
}

// makeEverything makes and changes one of each over GraphQL, and gives their ids, and the application's secret.
func (p *program) makeEverything(idp *federationtest.IdP) map[string]string {
	p.t.Helper()
	ids := map[string]string{}
	create := func(name string, in map[string]any) map[string]any {
		p.t.Helper()
		field := strings.ToLower(name)
		payload := p.mutate("create"+name, "Create"+name+"Input", field+" {id}", in)
		ids[name] = payload[field].(map[string]any)["id"].(string)
		return payload
	}
	change := func(name string, in map[string]any) {
		p.t.Helper()
		in["id"] = ids[name]
		p.mutate("update"+name, "Update"+name+"Input", strings.ToLower(name)+" {id}", in)
	}
	create("Project", map[string]any{"slug": "shop"})
	create("Organization", map[string]any{"projectId": ids["Project"], "slug": "acme"})
	create("Connection", map[string]any{"organizationId": ids["Organization"], "metadataXml": string(idp.Metadata())})
	create("Application", map[string]any{"projectId": ids["Project"], "name": "App", "redirectUris": []string{callback}})
	change("Project", map[string]any{"name": "Shop"})
	change("Organization", map[string]any{"label": "Acme"})
	change("Connection", map[string]any{"label": "Acme's"})
	change("Application", map[string]any{"name": "Web"})
	rotated := p.mutate("rotateApplicationSecret", "RotateApplicationSecretInput", "secret", map[string]any{"id": ids["Application"]})
	ids["secret"], _ = rotated["secret"].(string)
	return ids
}

// useEverything signs people in, in all ways, and misuses what they get.
func (p *program) useEverything(idp, other *federationtest.IdP, made map[string]string) {
	p.t.Helper()
	web := client{made["Application"], made["secret"]}
	asks := web.asks(url.Values{"organization": {"acme"}})
	var subjects []any
	for _, name := range []string{"Alice", "Alicia"} { // the second time she has another name
		request := p.begin(asks)
		response := p.respond(idp, request, func(r *federationtest.Response) {
			for i := range r.Attributes {
				for j := range r.Attributes[i].Values {
					r.Attributes[i].Values[j] = strings.Replace(r.Attributes[i].Values[j], "Alice", name, 1)
				}
			}
		})
		code := p.acs(response, request.RelayState).location().Query().Get("code")
		token := p.redeem(code, web.credentials())
		if token.StatusCode != http.StatusOK {
			p.t.Fatalf("token: %s %s", token.Status, token.body)
		}
		info := p.userinfo(token.json(p.t)["access_token"].(string)).json(p.t)
		if info["given_name"] != name {
			p.t.Errorf("userinfo: %v", info)
		}
		subjects = append(subjects, info["sub"])
		if a := p.acs(response, request.RelayState); a.location().Query().Has("code") {
			p.t.Error("a response is good twice")
		}
		if name == "Alice" {
			continue
		}
		tokenRefused(p.t, p.redeem(code, web.credentials()), http.StatusBadRequest, "invalid_grant")
		if a := p.userinfo(token.json(p.t)["access_token"].(string)); a.StatusCode != http.StatusUnauthorized {
			p.t.Errorf("userinfo after a replay: %s", a.Status)
		}
	}
	if subjects[0] != subjects[1] {
		p.t.Errorf("one person is %v", subjects)
	}
	burnt := p.code(other, polisClient(nil))
	tokenRefused(p.t, p.redeem(burnt, url.Values{"client_secret": {"wrong"}}), http.StatusUnauthorized, "invalid_client")
	tokenRefused(p.t, p.redeem(burnt, nil), http.StatusBadRequest, "invalid_grant")
	signsIn(p.t, p.acs(p.respond(other, p.unasked(), nil), ""))
}

// grantEverything has applications use every grant, and registers one.
func (l *land) grantEverything() {
	t := l.t
	t.Helper()
	web := l.newApplication(testProduct, map[string]any{"grantTypes": []string{"AUTHORIZATION_CODE", "REFRESH_TOKEN", "CLIENT_CREDENTIALS"}})
	first := l.stays(web, nil)
	second := granted(t, l.tokenEndpoint(refreshForm(web, first.Refresh, nil)))
	if again := granted(t, l.tokenEndpoint(refreshForm(web, first.Refresh, nil))); again.Refresh != second.Refresh {
		t.Error("the same question has another answer")
	}
	third := granted(t, l.tokenEndpoint(refreshForm(web, second.Refresh, nil)))
	if a := l.post("/api/oauth/revoke", with(web.credentials(), url.Values{"token": {third.Refresh}})); a.StatusCode != http.StatusOK {
		t.Errorf("revoke: %s", a.Status)
	}
	for _, token := range []string{first.Access, second.Access, third.Access} {
		refusedBearer(t, l.userinfo(token), "invalid_token")
	}
	stolen := l.stays(web, nil)
	granted(t, l.tokenEndpoint(refreshForm(web, stolen.Refresh, nil)))
	l.clock.advance(2 * time.Minute)
	tokenRefused(t, l.tokenEndpoint(refreshForm(web, stolen.Refresh, nil)), http.StatusBadRequest, "invalid_grant")
	refusedBearer(t, l.userinfo(stolen.Access), "invalid_token")
	granted(t, l.tokenEndpoint(with(web.credentials(), url.Values{"grant_type": {"client_credentials"}})))

	pushed := url.Values{"client_id": {web.id}, "request_uri": {l.push(web, web.asks(nil))}}
	granted(t, l.redeem(l.code(l.idp, pushed), web.credentials()))
	refusedPage(t, l.authorize(pushed), http.StatusBadRequest)

	tv := l.newApplication(testProduct, map[string]any{"public": true, "redirectUris": []string{}, "grantTypes": []string{"DEVICE_CODE", "REFRESH_TOKEN"}})
	codes := l.device(tv, nil)
	tokenRefused(t, l.poll(tv, codes.device), http.StatusBadRequest, "authorization_pending")
	l.approve(codes.user)
	granted(t, l.poll(tv, codes.device))
	tokenRefused(t, l.poll(tv, codes.device), http.StatusBadRequest, "invalid_grant")
	denied := l.device(tv, nil)
	l.post("/device", url.Values{"user_code": {denied.user}, "action": {"deny"}})
	tokenRefused(t, l.poll(tv, denied.device), http.StatusBadRequest, "access_denied")

	if a := l.register(l.initial(testProduct, 3600), map[string]any{"redirect_uris": []string{callback}}); a.StatusCode != http.StatusCreated {
		t.Errorf("register: %s %s", a.Status, a.body)
	}
}

// TestLostFirstKey loses each commit of a first start: the admin key that is shown is the one that is kept.
func TestLostFirstKey(t *testing.T) {
	for _, l := range []loss{lostAnswer, lostRequest, lateRequest} {
		var opened []*lossy
		c := app.Config{PublicURL: "http://localhost", DatabaseURL: "lossy:", EncryptionKeys: []seal.Key{{ID: "k1"}}}
		a, err := app.New(t.Context(), c, lossyDriver(l, &opened), app.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader([]byte(`{"query":"{projects {totalCount}}"}`)))
		r.Header.Set("Authorization", "Bearer "+a.FirstAdminKey)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		a.Handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK || a.FirstAdminKey == "" {
			t.Errorf("%s: the key %q: %d %s", l, a.FirstAdminKey, w.Code, w.Body)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
