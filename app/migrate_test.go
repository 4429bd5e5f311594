package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/internal/demo"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
	"github.com/portico-sso/portico/ports/store/seal"
)

// TestKeysOfTheSchema signs a person in and holds what the schema says of each document's keys, by which a migration
// fills new indexes, against the keys that were written.
func TestKeysOfTheSchema(t *testing.T) {
	key := newKey()
	c := Config{DatabaseURL: "sqlite:" + filepath.Join(t.TempDir(), "test.db"), EncryptionKeys: []seal.Key{key}}
	server := httptest.NewUnstartedServer(nil)
	c.PublicURL = "http://" + server.Listener.Addr().String()
	logger := slog.New(slog.DiscardHandler)
	a, err := newDemo(t.Context(), c.withDefaults(), WithLogger(logger))
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = a.Handler
	server.Start()
	if _, err := demo.Check(t.Context(), c.PublicURL); err != nil {
		t.Fatal(err)
	}
	beginDevice(t, a)
	endSession(t, a)
	if _, err := demo.Check(t.Context(), c.PublicURL); err != nil { // another session
		t.Fatal(err)
	}
	server.Close()
	provision(t, a)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	o := newOptions([]Option{WithLogger(logger)})
	all, err := openDatabases(t.Context(), c.withDefaults(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closeAll(all) })
	tellSomething(t, all[0].Store, logger)
	for _, collection := range all[0].Schema() {
		if (collection.Keys == nil) != (len(collection.Indexes) == 0) {
			t.Errorf("%s has %d indexes and keys: %v", collection.Name, len(collection.Indexes), collection.Keys != nil)
		}
		docs, err := all[0].Range(t.Context(), collection.Name, store.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if len(docs) == 0 && collection.Keys != nil {
			t.Errorf("%s is empty after a sign-in: have the test write to it", collection.Name)
		}
		for _, d := range docs {
			if collection.Keys == nil {
				continue
			}
			keys, err := collection.Keys(d)
			maps.DeleteFunc(keys, func(_, v string) bool { return v == "" })
			maps.DeleteFunc(d.Keys, func(_, v string) bool { return v == "" })
			if err != nil || !maps.Equal(keys, d.Keys) {
				t.Errorf("%s %s: the schema says %q, %v; it has %q", collection.Name, d.ID, keys, err, d.Keys)
			}
		}
	}
}

// provision has a directory with a user in a group, and a request in its log.
func provision(t *testing.T, a *App) {
	t.Helper()
	s := a.services
	p, err := s.Projects.BySlug(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Organizations.List(t.Context(), p.ID, 1, "")
	if err != nil || len(found.Items) != 1 {
		t.Fatal(found, err)
	}
	logFor := time.Hour
	d, err := s.Directories.CreateDirectory(t.Context(), found.Items[0].ID, dirsync.DirectoryInput{LogFor: &logFor})
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.Directories.CreateUser(t.Context(), d, scim.Resource{"schemas": []any{scim.UserURN}, "userName": "Ada", "displayName": "Ada L", "externalId": "1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Directories.CreateGroup(t.Context(), d, scim.Resource{"schemas": []any{scim.GroupURN}, "displayName": "Team", "externalId": "2",
		"members": []any{map[string]any{"value": u.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Directories.LogRequests(t.Context(), d, dirsync.Request{Method: "GET"}); err != nil {
		t.Fatal(err)
	}
}

// tellSomething leaves documents behind that a running program works off: an event in the outbox, one that is on its way to
// a webhook, and a job. It gives the organization a domain, too.
func tellSomething(t *testing.T, records *store.Store, logger *slog.Logger) {
	t.Helper()
	ids := id.Source{Now: time.Now, Rand: rand.Reader}
	projects := project.NewService(records, ids)
	organizations := organization.NewService(records, projects, ids)
	jobs := lease.NewService(records, ids, logger)
	told := events.NewService(events.Options{Records: records, IDs: ids, Leases: jobs, Logger: logger,
		Names: func(context.Context, string, string) (string, string, error) { return "", "", nil }})
	p, err := projects.BySlug(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	found, err := organizations.List(t.Context(), p.ID, 1, "")
	if err != nil || len(found.Items) != 1 {
		t.Fatal(found, err)
	}
	o := found.Items[0]
	e := events.Event{Type: events.IdentityUpdated, OrganizationID: o.ID}
	for _, act := range []func() error{
		func() error { _, err := organizations.AddDomain(t.Context(), o.ID, "example.com"); return err },
		func() error {
			_, err := told.CreateEndpoint(t.Context(), events.Scope{ProjectID: p.ID}, events.Input{URL: ptr("https://hooks.example.com/")})
			return err
		},
		func() error { return records.Commit(t.Context(), told.Outbox(p.ID, e)) },
		func() error { return told.Relay(t.Context()) },
		func() error {
			return records.Commit(t.Context(), told.Outbox(p.ID, e), jobs.Ask("nothing", "nobody", nil))
		},
	} {
		if err := act(); err != nil {
			t.Fatal(err)
		}
	}
}

// beginDevice has a device ask for a sign-in, which keeps a document.
func beginDevice(t *testing.T, a *App) {
	t.Helper()
	p, err := a.services.Projects.BySlug(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	tv, _, err := a.services.OAuth.CreateApplication(t.Context(), p.ID, oauth.ApplicationInput{Name: ptr("TV"), Public: ptr(true),
		GrantTypes: &[]oauth.GrantType{oauth.DeviceCode}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.services.OAuth.AuthorizeDevice(t.Context(), url.Values{}, oauth.Credentials{ClientID: tv.ID}); err != nil {
		t.Fatal(err)
	}
}

// endSession ends the only session, of which an application is to be told that cannot be reached.
func endSession(t *testing.T, a *App) {
	t.Helper()
	p, err := a.services.Projects.BySlug(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	organizations, err := a.services.Organizations.List(t.Context(), p.ID, 1, "")
	if err != nil || len(organizations.Items) != 1 {
		t.Fatal(organizations, err)
	}
	sessions, err := a.services.OAuth.ListOrganizationSessions(t.Context(), organizations.Items[0].ID, 2, "")
	if err != nil || len(sessions.Items) != 1 || len(sessions.Items[0].Applications) != 1 {
		t.Fatal(sessions, err)
	}
	in := oauth.ApplicationInput{BackchannelLogoutURI: ptr("https://127.0.0.1:1/logout")}
	if _, err := a.services.OAuth.UpdateApplication(t.Context(), sessions.Items[0].Applications[0], in); err != nil {
		t.Fatal(err)
	}
	if err := a.services.OAuth.RevokeSession(t.Context(), sessions.Items[0].ID); err != nil {
		t.Fatal(err)
	}
}

func TestServeRefusesADatabaseThatIsBehind(t *testing.T) {
	off := false
	c := Config{DatabaseURL: "sqlite:" + filepath.Join(t.TempDir(), "test.db"), AutoMigrate: &off}
	var log bytes.Buffer
	logger := WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
	_, err := New(t.Context(), c, logger)
	if err == nil || !strings.Contains(err.Error(), "portico migrate") || !strings.Contains(err.Error(), "PORTICO_AUTO_MIGRATE=true") {
		t.Fatalf("an empty database: %v", err)
	}
	all, err := openDatabases(t.Context(), c.withDefaults(), newOptions([]Option{logger}))
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	o := all[0].migration(newOptions(nil), func(p store.Progress) { steps = append(steps, p.Step) })
	if err := migrate.Run(t.Context(), o); err != nil || !slices.Equal(steps, []string{"structure"}) {
		t.Fatalf("migrate: %v, %q", err, steps)
	}
	if err := closeAll(all); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), c, logger)
	if err != nil {
		t.Fatalf("after migrating: %v", err)
	}
	w := httptest.NewRecorder()
	a.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	if w.Code != http.StatusOK {
		t.Errorf("readyz: %d %s", w.Code, w.Body)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// slow is a driver whose database answers only at the third call.
func slow(calls *int, inner store.Driver) store.Driver {
	return store.Driver{Schemes: []string{"slow"}, Open: func(ctx context.Context, u *url.URL, s store.Schema, o store.DriverOptions) (store.Backend, error) {
		if *calls++; *calls < 3 {
			return nil, store.ErrUnavailable
		}
		return inner.Open(ctx, u, s, o)
	}}
}

func TestStartWaitsForTheDatabase(t *testing.T) {
	c := Config{DatabaseURL: "slow:", EncryptionKeys: []seal.Key{newKey()}}
	calls := 0
	driver := slow(&calls, memory.Driver)
	logger := WithLogger(slog.New(slog.DiscardHandler))
	a, err := New(t.Context(), c, logger, WithDriver(driver))
	if err != nil || calls != 3 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls = -1000
	_, err = New(t.Context(), c, logger, WithDriver(driver), func(o *options) { o.openFor = 300 * time.Millisecond })
	if err == nil || !strings.Contains(err.Error(), "PORTICO_DATABASE_URL") || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("a database that never answers: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err = New(ctx, c, logger, WithDriver(driver)); err == nil {
		t.Error("a start that was called off")
	}
}

func TestProgress(t *testing.T) {
	for _, bar := range []bool{false, true} {
		var out bytes.Buffer
		p := &progress{out: &out, bar: bar}
		for i := range int64(1000) {
			p.report(store.Progress{Step: "fill", Done: i + 1, Total: 1000})
		}
		p.report(store.Progress{Step: "next"})
		p.end()
		text := out.String()
		if !strings.Contains(text, "1000 of 1000") || !strings.Contains(text, "next") || strings.Contains(text, "\r") != bar || len(text) > 2000 {
			t.Errorf("bar %v: %q", bar, text)
		}
	}
}
