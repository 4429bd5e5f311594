package graph_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/argon2"
	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/oidc"
	"github.com/portico-sso/portico/adapters/saml"
	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/graph"
	"github.com/portico-sso/portico/internal/googlefake"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

const (
	adminKey  = "pk_test-admin-key"
	publicURL = "https://sso.example.com"
)

// world is the API over real services and the memory backend.
type world struct {
	t       *testing.T
	handler http.Handler
	backend *counted
	fetch   *fetcher
	sso     *sso.Service
	dirsync *dirsync.Service
	google  *google.Service
	log     *bytes.Buffer
	now     time.Time

	events   *events.Service
	receiver *receiver

	workspace *googlefake.Workspace
}

// counted is a database of which it is known how often it was read.
type counted struct {
	store.Backend
	reads atomic.Int64
}

func (c *counted) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	c.reads.Add(1)
	return c.Backend.Get(ctx, now, collection, ids)
}

func (c *counted) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	c.reads.Add(1)
	return c.Backend.Range(ctx, now, collection, r)
}

// fetcher serves documents by address.
type fetcher struct{ documents map[string]string }

func (f *fetcher) Fetch(_ context.Context, address string, _ int64) (outbound.Document, error) {
	text, ok := f.documents[address]
	if !ok {
		return outbound.Document{}, outbound.ErrUnreachable
	}
	return outbound.Document{Body: []byte(text)}, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	schema := slices.Concat(project.Collections(), organization.Collections(), identity.Collections(), events.Collections(), lease.Collections(), dirsync.Collections(), sso.Collections(),
		google.Collections(), google.SessionCollections(), sso.SessionCollections(), oauth.Collections(), oauth.SessionCollections(), admin.Collections())
	w := &world{t: t, backend: &counted{Backend: memory.New(schema)}, fetch: &fetcher{documents: map[string]string{}}, log: &bytes.Buffer{},
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	ring, err := seal.NewKeyring([]seal.Key{{ID: "k1", Secret: [32]byte{1}}})
	must(t, err)
	var ticks atomic.Int64 // each reading is later than the one before, so ids have an order
	clock := func() time.Time { return w.now.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
	records, err := store.New(w.backend, schema, store.Options{Now: clock, Sealer: ring})
	must(t, err)
	ids := id.Source{Now: clock, Rand: rand.Reader}
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	digest := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:20]) }

	projects := project.NewService(records, ids)
	organizations := organization.NewService(records, projects, ids)
	w.receiver = &receiver{status: 200}
	leases := lease.NewService(records, ids, logger)
	told := events.NewService(events.Options{Records: records, IDs: ids, Leases: leases, Send: w.receiver, Logger: logger,
		Names: func(context.Context, string, string) (string, string, error) { return "product", "tenant", nil },
		URL:   "https://all.example.com", Secret: "hush"})
	w.events = told
	var logins *oauth.Service
	identities := identity.NewService(identity.Options{Records: records, IDs: ids, Events: told, Organizations: organizations, Leases: leases,
		EndSessions: func(ctx context.Context, identityID string) error { return logins.RevokeSessions(ctx, identityID) },
		Passwords:   argon2.New(), Connected: func(context.Context, string) (bool, error) { return true, nil }})
	connections := sso.NewService(sso.Options{Records: records, Sessions: records, IDs: ids, Projects: projects,
		Organizations: organizations, Identities: identities, Events: told, SAML: saml.New(), OIDC: oidc.New(oidc.Options{Fetch: w.fetch, Now: clock}), Fetch: w.fetch, Digest: digest,
		EntityID: "https://saml.example.com", PublicURL: publicURL, Logger: logger})
	w.sso = connections
	logins = oauth.NewService(oauth.Options{Records: records, Sessions: records, IDs: ids, Projects: projects,
		Organizations: organizations, Identities: identities, SSO: connections, Digest: digest, Issuer: publicURL, Logger: logger})
	w.dirsync = dirsync.NewService(dirsync.Options{Records: records, IDs: ids, Organizations: organizations, Identities: identities,
		Events: told, Leases: leases})
	w.google = google.New(w.googleOptions(google.Options{Records: records, Sessions: records, IDs: ids, Projects: projects, Directories: w.dirsync, Leases: leases, Logger: logger}))
	w.handler, err = graph.New(graph.Services{Events: told, Projects: projects, Organizations: organizations, SSO: connections,
		OAuth: logins, Directories: w.dirsync, Google: w.google,
		Admin: admin.NewService(records, ids, []string{adminKey}), Logger: logger, PublicURL: publicURL})
	must(t, err)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

// answer is a GraphQL response.
type answer struct {
	Status int
	Header http.Header
	Data   object
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct{ Code, RequestID string }
	}
}

// send posts a document with the admin key.
func (w *world) send(query string, variables object) answer {
	w.t.Helper()
	body, err := json.Marshal(object{"query": query, "variables": variables})
	must(w.t, err)
	r := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	return w.serve(r)
}

// serve answers a request that must be answered with JSON.
func (w *world) serve(r *http.Request) answer {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	recorder.Header().Set("X-Request-Id", "request-1")
	w.handler.ServeHTTP(recorder, r)
	a := answer{Status: recorder.Code, Header: recorder.Header()}
	if err := json.Unmarshal(recorder.Body.Bytes(), &a); err != nil {
		w.t.Fatalf("the answer is not JSON: %v: %s", err, recorder.Body)
	}
	return a
}

// run is send where nothing may go wrong at the top level.
func (w *world) run(query string, variables object) object {
	w.t.Helper()
	a := w.send(query, variables)
	if a.Status != http.StatusOK || len(a.Errors) > 0 {
		w.t.Fatalf("status %d, errors %+v", a.Status, a.Errors)
	}
	return a.Data
}

// mutate runs a mutation of one input and gives its payload, in which nothing may have gone wrong.
func (w *world) mutate(field, inputType, selection string, input object) object {
	w.t.Helper()
	payload, wrong := w.try(field, inputType, selection, input)
	if wrong != nil {
		w.t.Fatalf("%s: %v", field, wrong)
	}
	return payload
}

// try runs a mutation of one input and gives its payload and its one user error, or nil.
func (w *world) try(field, inputType, selection string, input object) (payload, wrong object) {
	w.t.Helper()
	data := w.run("mutation($in: "+inputType+"!) { it: "+field+"(input: $in) { "+selection+" errors { message code path } } }",
		object{"in": input})
	payload = data["it"].(object)
	if list := payload["errors"].([]any); len(list) > 0 {
		return payload, list[0].(object)
	}
	return payload, nil
}

func (w *world) project(slug string) string {
	w.t.Helper()
	p := w.mutate("createProject", "CreateProjectInput", "project { id }", object{"slug": slug})
	return p["project"].(object)["id"].(string)
}

func (w *world) organization(projectID, slug string) string {
	w.t.Helper()
	p := w.mutate("createOrganization", "CreateOrganizationInput", "organization { id }", object{"projectId": projectID, "slug": slug})
	return p["organization"].(object)["id"].(string)
}

func (w *world) application(projectID, name string) string {
	w.t.Helper()
	p := w.mutate("createApplication", "CreateApplicationInput", "application { id }",
		object{"projectId": projectID, "name": name, "redirectUris": []string{"https://app.example.com/cb"}})
	return p["application"].(object)["id"].(string)
}

// at walks into a JSON value by names and numbers.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o, ok := v.(object)
			if !ok {
				t.Fatalf("no object to take %q of: %v", step, v)
			}
			v = o[step]
		case int:
			l, ok := v.([]any)
			if !ok || step >= len(l) {
				t.Fatalf("no item %d in %v", step, v)
			}
			v = l[step]
		}
	}
	return v
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	must(t, err)
	e, err := json.Marshal(want)
	must(t, err)
	if !bytes.Equal(g, e) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, e)
	}
}

func TestProjects(t *testing.T) {
	w := newWorld(t)
	id := w.project("shop")
	equal(t, "by id", w.run(`query($id: ID) { project(id: $id) { slug name createdAt } }`, object{"id": id}),
		object{"project": object{"slug": "shop", "name": "shop", "createdAt": at(t, w.run(`{ project(slug: "shop") { createdAt } }`, nil), "project", "createdAt")}})
	equal(t, "by slug", w.run(`{ project(slug: "shop") { id } }`, nil), object{"project": object{"id": id}})
	equal(t, "missing", w.run(`{ a: project(slug: "nope") { id } b: project(id: "nope") { id } c: project(id: "\u0000") { id } }`, nil),
		object{"a": nil, "b": nil, "c": nil})

	p := w.mutate("updateProject", "UpdateProjectInput", "project { id slug name }", object{"id": id, "name": " The shop "})
	equal(t, "updated", p["project"], object{"id": id, "slug": "shop", "name": "The shop"})
	p = w.mutate("updateProject", "UpdateProjectInput", "project { name }", object{"id": id, "name": nil})
	equal(t, "null stays", p["project"], object{"name": "The shop"})

	p = w.mutate("deleteProject", "DeleteProjectInput", "deletedId", object{"id": id})
	equal(t, "deleted", p["deletedId"], id)
	equal(t, "gone", w.run(`{ project(slug: "shop") { id } }`, nil), object{"project": nil})

	a := w.send(`{ project { id } }`, nil)
	if len(a.Errors) != 1 || a.Errors[0].Extensions.Code != "required" {
		t.Errorf("neither id nor slug: %+v", a.Errors)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	var want []string
	for _, slug := range []string{"a", "b", "c", "d", "e"} {
		w.organization(projectID, slug)
		want = append([]string{slug}, want...)
	}
	w.organization(w.project("other"), "not-ours")

	const query = `query($first: Int, $after: String) { project(slug: "shop") { organizations(first: $first, after: $after) {
		edges { cursor node { slug } } nodes { slug } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`
	var got []string
	var after any
	for n := 0; n < 10; n++ {
		data := at(t, w.run(query, object{"first": 2, "after": after}), "project", "organizations")
		equal(t, "total", at(t, data, "totalCount"), 5)
		equal(t, "previous", at(t, data, "pageInfo", "hasPreviousPage"), after != nil)
		edges := at(t, data, "edges").([]any)
		for i, e := range edges {
			got = append(got, at(t, e, "node", "slug").(string))
			equal(t, "node", at(t, data, "nodes", i, "slug"), at(t, e, "node", "slug"))
		}
		equal(t, "start", at(t, data, "pageInfo", "startCursor"), at(t, edges[0], "cursor"))
		after = at(t, data, "pageInfo", "endCursor")
		equal(t, "end", after, at(t, edges[len(edges)-1], "cursor"))
		if at(t, data, "pageInfo", "hasNextPage") == false {
			break
		}
	}
	equal(t, "newest first, each once", got, want)

	for name, variables := range map[string]object{
		"zero": {"first": 0}, "negative": {"first": -1}, "too many": {"first": 101}, "junk cursor": {"after": "junk"},
		"another listing's cursor": {"after": at(t, w.run(`{ projects(first: 1) { edges { cursor } } }`, nil), "projects", "edges", 0, "cursor")},
	} {
		a := w.send(query, variables)
		if len(a.Errors) != 1 || !slices.Contains([]string{"invalid", "invalid_cursor"}, a.Errors[0].Extensions.Code) {
			t.Errorf("%s: %+v", name, a.Errors)
		}
	}
	equal(t, "empty page", w.run(`{ project(slug: "other") { applications { nodes { id } totalCount pageInfo { hasNextPage startCursor endCursor } } } }`, nil),
		object{"project": object{"applications": object{"nodes": []any{}, "totalCount": 0,
			"pageInfo": object{"hasNextPage": false, "startCursor": nil, "endCursor": nil}}}})
}

func TestOrganizations(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	id := w.organization(projectID, "acme")
	equal(t, "read", w.run(`query($id: ID!) { organization(id: $id) { slug label project { id organization(slug: "acme") { id } } } }`, object{"id": id}),
		object{"organization": object{"slug": "acme", "label": "acme", "project": object{"id": projectID, "organization": object{"id": id}}}})
	p := w.mutate("updateOrganization", "UpdateOrganizationInput", "organization { label }", object{"id": id, "label": "Acme Inc."})
	equal(t, "updated", p["organization"], object{"label": "Acme Inc."})

	_, wrong := w.try("deleteProject", "DeleteProjectInput", "deletedId", object{"id": projectID})
	equal(t, "project not empty", []any{wrong["code"], wrong["path"]}, []any{"not_empty", nil})

	p = w.mutate("deleteOrganization", "DeleteOrganizationInput", "deletedId", object{"id": id})
	equal(t, "deleted", p["deletedId"], id)
	w.mutate("deleteProject", "DeleteProjectInput", "deletedId", object{"id": projectID})
}

func TestApplications(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	const fields = "application { id name public redirectUris idTokenAlg project { slug } } secret"
	p := w.mutate("createApplication", "CreateApplicationInput", fields, object{"projectId": projectID, "name": "Web",
		"redirectUris": []string{"https://app.example.com/cb"}, "idTokenAlg": "ES256"})
	id := at(t, p, "application", "id")
	equal(t, "created", p["application"], object{"id": id, "name": "Web", "public": false, "idTokenAlg": "ES256",
		"redirectUris": []string{"https://app.example.com/cb"}, "project": object{"slug": "shop"}})
	secret, _ := p["secret"].(string)
	if !strings.HasPrefix(secret, "cs_") {
		t.Errorf("secret %q", secret)
	}

	p = w.mutate("rotateApplicationSecret", "RotateApplicationSecretInput", "application { id } secret", object{"id": id})
	if next, _ := p["secret"].(string); !strings.HasPrefix(next, "cs_") || next == secret {
		t.Errorf("rotated secret %q", next)
	}
	p = w.mutate("updateApplication", "UpdateApplicationInput", "application { name redirectUris idTokenAlg }",
		object{"id": id, "redirectUris": []string{"https://a.example.com/", "https://b.example.com/"}})
	equal(t, "partial update", p["application"], object{"name": "Web", "idTokenAlg": "ES256",
		"redirectUris": []string{"https://a.example.com/", "https://b.example.com/"}})

	p = w.mutate("createApplication", "CreateApplicationInput", fields, object{"projectId": projectID, "name": "Phone",
		"public": true, "redirectUris": []string{"com.example.app:/cb"}})
	equal(t, "public", []any{p["secret"], at(t, p, "application", "public"), at(t, p, "application", "idTokenAlg")}, []any{nil, true, "RS256"})
	_, wrong := w.try("rotateApplicationSecret", "RotateApplicationSecretInput", "secret", object{"id": at(t, p, "application", "id")})
	equal(t, "public has no secret", []any{wrong["code"], wrong["path"]}, []any{"public_client", []string{"input", "id"}})

	equal(t, "listed", w.run(`{ project(slug: "shop") { applications { nodes { name } totalCount } } }`, nil),
		object{"project": object{"applications": object{"nodes": []object{{"name": "Phone"}, {"name": "Web"}}, "totalCount": 2}}})
	w.mutate("deleteApplication", "DeleteApplicationInput", "deletedId", object{"id": id})
	equal(t, "gone", w.run(`query($id: ID!) { application(id: $id) { name } }`, object{"id": id}), object{"application": nil})
}

// TestTimes reads when each thing was made and last changed.
func TestTimes(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	organizationID := w.organization(projectID, "acme")
	p := w.mutate("createConnection", "CreateConnectionInput", "connection { id }", object{"organizationId": organizationID,
		"metadataXml": metadata("urn:idp", certificate(t, "c", w.now.AddDate(1, 0, 0)))})
	for kind, id := range map[string]any{"project": projectID, "organization": organizationID, "application": w.application(projectID, "Web"),
		"connection": at(t, p, "connection", "id")} {
		query := "query($id: ID!) { it: " + kind + "(id: $id) { createdAt updatedAt } }"
		before := at(t, w.run(query, object{"id": id}), "it").(object)
		if made := before["createdAt"].(string); !strings.HasPrefix(made, "2026-03-01T12:00:") || !strings.HasSuffix(made, "Z") {
			t.Errorf("%s made at %v", kind, made)
		}
		title := strings.ToUpper(kind[:1]) + kind[1:]
		w.mutate("update"+title, "Update"+title+"Input", kind+" { id }", object{"id": id})
		after := at(t, w.run(query, object{"id": id}), "it").(object)
		if after["createdAt"] != before["createdAt"] || after["updatedAt"].(string) <= before["updatedAt"].(string) {
			t.Errorf("%s: %v, then %v", kind, before, after)
		}
	}
}
