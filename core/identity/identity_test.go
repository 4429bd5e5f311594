package identity_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/argon2"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/internal/engines/enginetest"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

type world struct {
	records       *store.Store
	organizations *organization.Service
	events        *events.Service
	leases        *lease.Service
	people        *identity.Service
	ended         []string // whose sessions were ended
	org           organization.Organization
	ticks         atomic.Int64 // of the clock, in milliseconds
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	schema := slices.Concat(project.Collections(), organization.Collections(), identity.Collections(), events.Collections(), lease.Collections())
	w := &world{}
	clock := func() time.Time {
		return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(w.ticks.Add(1)) * time.Millisecond)
	}
	ring, err := seal.NewKeyring([]seal.Key{{ID: "k1", Secret: [32]byte{1}}})
	must(t, err)
	w.records, err = store.New(enginetest.Open(t, schema), schema, store.Options{Now: clock, Sealer: ring})
	must(t, err)
	ids, logger := id.Source{Now: clock, Rand: rand.Reader}, slog.New(slog.DiscardHandler)
	projects := project.NewService(w.records, ids)
	w.organizations = organization.NewService(w.records, projects, ids)
	w.leases = lease.NewService(w.records, ids, logger)
	w.events = events.NewService(events.Options{Records: w.records, IDs: ids, Leases: w.leases, Logger: logger,
		Names: func(context.Context, string, string) (string, string, error) { return "p", "t", nil }})
	w.people = identity.NewService(identity.Options{Records: w.records, IDs: ids, Events: w.events, Organizations: w.organizations, Leases: w.leases,
		EndSessions: func(_ context.Context, identityID string) error { w.ended = append(w.ended, identityID); return nil },
		Passwords:   argon2.New(), Connected: func(context.Context, string) (bool, error) { return false, nil }})
	p, err := projects.Create(t.Context(), project.Input{})
	must(t, err)
	w.org, err = w.organizations.Create(t.Context(), p.ID, organization.Input{})
	must(t, err)
	return w
}

func ptr[T any](v T) *T { return &v }

func refused(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if !fault.Is(err, kind) || fault.Code(err) != code {
		t.Errorf("answered %v, want kind %d, code %s", err, kind, code)
	}
}

func (w *world) login(t *testing.T, connection, subject, address string) (identity.Identity, error) {
	t.Helper()
	i, ops, err := w.people.SignIn(t.Context(), identity.Login{ProjectID: w.org.ProjectID, OrganizationID: w.org.ID, ConnectionID: connection,
		Subject: subject, Address: address, Traits: json.RawMessage(`{"email":"` + address + `"}`)})
	if err == nil {
		err = w.records.Commit(t.Context(), ops...)
	}
	return i, err
}

func TestAdministratorsPeople(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	i, err := w.people.Create(ctx, w.org.ID, identity.Input{Traits: json.RawMessage(`{"email":"Ada@example.com"}`), UserName: ptr("ada"), Password: ptr("correct horse"),
		MetadataAdmin: json.RawMessage(`{"note":1}`)})
	must(t, err)
	for _, q := range []identity.Search{{Address: "ada@EXAMPLE.com"}, {UserName: "ADA"}} {
		if found, err := w.people.Search(ctx, w.org.ID, q); err != nil || len(found) != 1 || found[0].ID != i.ID {
			t.Errorf("%+v finds %+v, %v", q, found, err)
		}
	}
	for _, q := range []identity.Search{{Address: "ada"}, {UserName: "ada@example.com"}, {ExternalID: "ada"}, {}} {
		if found, err := w.people.Search(ctx, w.org.ID, q); err != nil || len(found) != 0 {
			t.Errorf("%+v finds %+v, %v", q, found, err)
		}
	}
	if signed, err := w.people.CheckPassword(ctx, w.org.ID, "ada@example.com", "correct horse"); err != nil || signed.ID != i.ID {
		t.Errorf("by password: %+v, %v", signed, err)
	}
	for _, in := range []identity.Input{{UserName: ptr("Ada")}, {Traits: json.RawMessage(`{"email":"ada@example.com"}`)}} {
		_, err := w.people.Create(ctx, w.org.ID, in)
		refused(t, err, fault.Taken, identity.Uniqueness)
	}
	for _, in := range []identity.Input{{Traits: json.RawMessage(`[]`)}, {Traits: json.RawMessage(`null`)}, {MetadataPublic: json.RawMessage(`{`)}} {
		_, err := w.people.Create(ctx, w.org.ID, in)
		refused(t, err, fault.Invalid, "invalid")
	}
	changed, err := w.people.Update(ctx, i.ID, identity.Input{Traits: json.RawMessage(`{"email":"new@example.com"}`), Active: ptr(false), Password: ptr("")})
	if err != nil || changed.Active || changed.Epoch != i.Epoch+1 || changed.Version != 2 {
		t.Errorf("changed to %+v, %v", changed, err)
	}
	if found, err := w.people.Search(ctx, w.org.ID, identity.Search{Address: "ada@example.com"}); err != nil || len(found) != 0 {
		t.Errorf("the old address finds %+v, %v", found, err)
	}
	_, err = w.people.CheckPassword(ctx, w.org.ID, "ada", "correct horse")
	refused(t, err, fault.Unauthenticated, "wrong_password")
	must(t, w.people.Delete(ctx, i.ID))
	refused(t, w.people.Delete(ctx, i.ID), fault.NotFound, "not_found")
	must(t, w.events.Relay(ctx))
	feed, err := w.events.Read(ctx, events.Query{Scope: events.Scope{ProjectID: w.org.ProjectID}})
	must(t, err)
	var types []string
	for n, e := range feed.Events {
		if types = append(types, e.Type); e.Seq != int64(n+1) || e.Polis != "" || e.ResourceID != i.ID {
			t.Errorf("event %+v", e)
		}
	}
	if want := []string{events.IdentityCreated, events.IdentityUpdated, events.IdentityDeleted}; !slices.Equal(types, want) {
		t.Errorf("events %v, want %v", types, want)
	}
	w.ticks.Add(2 * time.Hour.Milliseconds()) // names that nobody goes by are kept for a while
	for _, collection := range []string{"identities", "identity_names", "identity_passwords", "identity_links"} {
		if n, err := w.records.Count(ctx, collection, store.Range{}); err != nil || n != 0 {
			t.Errorf("%d documents are left of %s, %v", n, collection, err)
		}
	}
}

func TestSignIn(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	i, err := w.login(t, "c1", "s", "ada@example.com")
	must(t, err)
	again, err := w.login(t, "c1", "s", "ada@example.com")
	if err != nil || again.ID != i.ID || again.Version != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	other, err := w.login(t, "c2", "s", "ada@example.com")
	if err != nil || other.ID == i.ID {
		t.Errorf("another connection's person: %+v, %v", other, err)
	}
	if moved, err := w.login(t, "c1", "s", "lovelace@example.com"); err != nil || moved.EventSeq != 2 {
		t.Errorf("a new address: %+v, %v", moved, err)
	}
	if found, err := w.people.Search(ctx, w.org.ID, identity.Search{Address: "ada@example.com"}); err != nil || len(found) != 1 || found[0].ID != other.ID {
		t.Errorf("the old address finds %+v, %v", found, err)
	}
	_, err = w.people.SetActive(ctx, other.ID, false)
	must(t, err)
	for _, c := range [][3]string{{"c2", "s", "ada@example.com"}, {"c3", "new", "ada@example.com"}, {"c3", "S", ""}} { // nor through another connection
		_, err := w.login(t, c[0], c[1], c[2])
		refused(t, err, fault.Forbidden, "identity_inactive")
	}
	must(t, w.people.DeleteAll(ctx, w.org.ID))
	if n, err := w.people.Count(ctx, w.org.ID); err != nil || n != 0 {
		t.Errorf("%d people are left, %v", n, err)
	}
}

// TestAdministratorsPersonSignsIn holds that one whom an administrator made is known by an address in a verified domain alone.
func TestAdministratorsPersonSignsIn(t *testing.T) {
	for _, verified := range []bool{false, true} {
		w, ctx := newWorld(t), t.Context()
		made, err := w.people.Create(ctx, w.org.ID, identity.Input{Traits: json.RawMessage(`{"email":"ada@example.com"}`)})
		must(t, err)
		d, err := w.organizations.AddDomain(ctx, w.org.ID, "example.com")
		must(t, err)
		_, err = w.organizations.VerifyDomain(ctx, d.ID, verified)
		must(t, err)
		i, err := w.login(t, "c", "s", "ada@example.com")
		if err != nil || (i.ID == made.ID) != verified {
			t.Errorf("verified %t: %+v, %v", verified, i, err)
		}
	}
}

// TestSessionsEndOfWhoIsShutOut asks for it in the commit that shuts out, in whichever way.
func TestSessionsEndOfWhoIsShutOut(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	ended := func(what string, want ...string) {
		t.Helper()
		must(t, w.leases.Run(ctx))
		if !slices.Equal(w.ended, want) {
			t.Errorf("%s: the sessions of %v are ended, want %v", what, w.ended, want)
		}
		w.ended = nil
	}
	i, err := w.people.Create(ctx, w.org.ID, identity.Input{})
	must(t, err)
	for _, c := range []struct {
		in   identity.Input
		want []string
	}{{identity.Input{UserName: ptr("ada")}, nil}, {identity.Input{Active: ptr(false)}, []string{i.ID}}, {identity.Input{Active: ptr(false)}, nil}, {identity.Input{Active: ptr(true)}, nil}} {
		_, err := w.people.Update(ctx, i.ID, c.in)
		must(t, err)
		ended("updated", c.want...)
	}
	must(t, w.people.Delete(ctx, i.ID))
	ended("deleted", i.ID)

	known, err := w.login(t, "c1", "s", "ada@example.com")
	must(t, err)
	provision := identity.Provision{ID: "new", Now: known.CreatedAt, ProjectID: w.org.ProjectID, OrganizationID: w.org.ID, DirectoryID: "d", ConnectionID: "c1", ExternalID: "s"}
	taken, ops, _, err := w.people.Provision(ctx, provision)
	must(t, err)
	must(t, w.records.Commit(ctx, ops...))
	if taken.ID != known.ID || taken.Active {
		t.Errorf("provisioned as %+v, and was %s", taken, known.ID)
	}
	ended("provisioned as inactive", known.ID)
	for _, c := range []struct {
		active bool
		want   []string
	}{{true, nil}, {false, []string{known.ID}}} {
		provision.Active = c.active
		i, err := w.people.Get(ctx, known.ID)
		must(t, err)
		_, ops, _, err := w.people.Reprovision(ctx, i, provision)
		must(t, err)
		must(t, w.records.Commit(ctx, ops...))
		ended("provisioned again", c.want...)
	}
	must(t, w.people.DeleteAll(ctx, w.org.ID))
	ended("removed with all", known.ID)
}
