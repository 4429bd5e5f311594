package polis_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/oidc"
	"github.com/portico-sso/portico/adapters/outbound"
	"github.com/portico-sso/portico/adapters/ripemd"
	"github.com/portico-sso/portico/adapters/saml"
	"github.com/portico-sso/portico/api/polis"
	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation/federationtest"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

const apiKey = "key-of-the-tests"

// fixture is the API over real services and the memory backend.
type fixture struct {
	t        *testing.T
	handler  http.Handler
	services polis.Services
	backend  *memory.Backend
	logs     *strings.Builder
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	schema := slices.Concat(project.Collections(), organization.Collections(), identity.Collections(), events.Collections(), lease.Collections(), admin.Collections(),
		sso.Collections(), sso.SessionCollections())
	backend := memory.New(schema)
	now := tickingClock()
	keyring, err := seal.NewKeyring([]seal.Key{{ID: "test", Secret: [32]byte{1}}})
	check(t, err)
	records, err := store.New(backend, schema, store.Options{Now: now, Sealer: keyring})
	check(t, err)
	f := &fixture{t: t, backend: backend, logs: &strings.Builder{}}
	logger := slog.New(slog.NewTextHandler(f.logs, nil))
	ids := id.Source{Now: now, Rand: rand.Reader}
	projects := project.NewService(records, ids)
	organizations := organization.NewService(records, projects, ids)
	leases := lease.NewService(records, ids, logger)
	told := events.NewService(events.Options{Records: records, IDs: ids, Leases: leases, Logger: logger})
	identities := identity.NewService(identity.Options{Records: records, IDs: ids, Events: told, Organizations: organizations, Leases: leases,
		Connected: func(context.Context, string) (bool, error) { return true, nil }})
	client := outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	f.services = polis.Services{
		Projects: projects, Organizations: organizations, Admin: admin.NewService(records, ids, []string{"another key", apiKey}), Logger: logger,
		SSO: sso.NewService(sso.Options{
			Records: records, Sessions: records, IDs: ids, Projects: projects, Organizations: organizations,
			Identities: identities, Events: told, SAML: saml.New(),
			OIDC: oidc.New(oidc.Options{Fetch: client, Send: client, Now: now}), Fetch: client,
			Digest: ripemd.Digest, EntityID: "https://portico.example.com", PublicURL: "https://portico.example.com", Logger: logger,
		}),
	}
	f.handler = polis.New(f.services)
	return f
}

// tickingClock never shows one millisecond twice, so that the order of creation is the order of ids.
func tickingClock() func() time.Time {
	var ticks atomic.Int64
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return func() time.Time { return start.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// idp is an identity provider's metadata for an entity ID; all share one key, for making one takes time.
func idp(t *testing.T, entityID string) string {
	t.Helper()
	p := *sharedIdP(t)
	p.EntityID = entityID
	return string(p.Metadata())
}

var shared atomic.Pointer[federationtest.IdP]

func sharedIdP(t *testing.T) *federationtest.IdP {
	t.Helper()
	if shared.Load() == nil {
		p, err := federationtest.NewIdP(federationtest.Options{ECDSA: true, Now: func() time.Time {
			return time.Date(2026, 7, 1, 21, 46, 38, 0, time.UTC)
		}})
		check(t, err)
		shared.Store(p)
	}
	return shared.Load()
}

type object = map[string]any

// connection is a complete body of POST /api/v1/sso, changed by change: a nil value removes a field.
func connection(t *testing.T, change object) object {
	t.Helper()
	body := object{
		"tenant": "boxyhq", "product": "demo", "defaultRedirectUrl": "https://app.example.com/sso/done",
		"redirectUrl": []string{"https://app.example.com/*"}, "rawMetadata": idp(t, "https://saml.example.com/entityid"),
	}
	for name, value := range change {
		if value == nil {
			delete(body, name)
			continue
		}
		body[name] = value
	}
	return body
}

type reply struct {
	status int
	header http.Header
	body   string
}

// call sends a request with the API key. body is an object (sent as JSON), url.Values (a form) or nil.
func (f *fixture) call(method, path string, body any, headers ...string) reply {
	f.t.Helper()
	var content, contentType string
	switch b := body.(type) {
	case nil:
	case url.Values:
		content, contentType = b.Encode(), "application/x-www-form-urlencoded"
	case string:
		content, contentType = b, "application/json"
	default:
		text, err := json.Marshal(b)
		check(f.t, err)
		content, contentType = string(text), "application/json; charset=utf-8"
	}
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(content))
	r.Header.Set("Authorization", "Api-Key "+apiKey)
	r.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// create makes a connection and returns its record.
func (f *fixture) create(change object) object {
	f.t.Helper()
	return f.call(http.MethodPost, "/api/v1/sso", connection(f.t, change)).object(f.t, http.StatusOK)
}

// get reads a list of connections.
func (f *fixture) get(path string) []object {
	f.t.Helper()
	r := f.call(http.MethodGet, path, nil)
	var list []object
	if r.status != http.StatusOK || json.Unmarshal([]byte(r.body), &list) != nil || list == nil {
		f.t.Fatalf("GET %s: %d %s, want a JSON array", path, r.status, r.body)
	}
	return list
}

func (r reply) object(t *testing.T, status int) object {
	t.Helper()
	var o object
	if r.status != status || json.Unmarshal([]byte(r.body), &o) != nil {
		t.Fatalf("got %d %s, want %d and a JSON object", r.status, r.body, status)
	}
	return o
}

// refused checks dialect 1 of §0.4, to the byte.
func (r reply) refused(t *testing.T, status int, message string) {
	t.Helper()
	text, err := json.Marshal(message)
	check(t, err)
	want := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(`{"error":{"message":` + string(text) + `}}` + "\n")
	if r.status != status || r.body != want {
		t.Errorf("got %d %s, want %d %s", r.status, r.body, status, want)
	}
	if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("Content-Type = %q", got)
	}
}

// empty checks a response without body.
func (r reply) empty(t *testing.T, status int) {
	t.Helper()
	if r.status != status || r.body != "" {
		t.Errorf("got %d %q, want %d without body", r.status, r.body, status)
	}
}

func members(o object) []string { return slices.Sorted(maps.Keys(o)) }

func pick(list []object, name string) []any {
	values := []any{}
	for _, o := range list {
		values = append(values, o[name])
	}
	return values
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// serve serves one text and returns its address.
func serve(t *testing.T, text string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
	t.Cleanup(s.Close)
	return s.URL
}
