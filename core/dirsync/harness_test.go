package dirsync_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/ports/mapping"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// world is real services over the memory engine, which counts calls and loses answers.
type world struct {
	t             testing.TB
	ctx           context.Context
	backend       *lossy
	records       *store.Store
	organizations *organization.Service
	identities    *identity.Service
	events        *events.Service
	jobs          *lease.Service
	directories   *dirsync.Service
	org           organization.Organization
	d             dirsync.Directory
	connected     bool
	ended         sync.Map // ids of people whose sessions were ended
	mapper        mapper
	now           atomic.Int64
}

// lossy is a backend that counts calls, and of some commits loses the answer.
type lossy struct {
	store.Backend
	reads, commits atomic.Int64
	lose           atomic.Int64 // of every so many commits one is lost: alternately before and after it is made
	lost           atomic.Int64
	before         atomic.Pointer[func()] // is called once, between what a request read and its commit
}

func (l *lossy) Get(ctx context.Context, now time.Time, c string, ids []string) ([]store.Doc, error) {
	l.reads.Add(1)
	return l.Backend.Get(ctx, now, c, ids)
}

func (l *lossy) Range(ctx context.Context, now time.Time, c string, r store.Range) ([]store.Doc, error) {
	l.reads.Add(1)
	return l.Backend.Range(ctx, now, c, r)
}

func (l *lossy) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if fn := l.before.Swap(nil); fn != nil {
		(*fn)()
	}
	n := l.commits.Add(1)
	if every := l.lose.Load(); every > 0 && n%every == 0 {
		if l.lost.Add(1)%2 == 0 {
			return store.ErrUncertain
		}
		if err := l.Backend.Commit(ctx, now, ops); err != nil {
			return err
		}
		return store.ErrUncertain
	}
	return l.Backend.Commit(ctx, now, ops)
}

type mapper func(snippet string, vars map[string]json.RawMessage) (json.RawMessage, error)

func (m mapper) Evaluate(_ context.Context, _, snippet string, vars map[string]json.RawMessage) (json.RawMessage, error) {
	return m(snippet, vars)
}

func (m mapper) Check(_ context.Context, _, snippet string) error {
	if snippet == "bad" {
		return &mapping.Error{Code: mapping.Syntax, Line: 2, Column: 3, Message: "no"}
	}
	return nil
}

func schema() store.Schema {
	return slices.Concat(project.Collections(), organization.Collections(), identity.Collections(), events.Collections(),
		lease.Collections(), dirsync.Collections())
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldOver(t, memory.New(schema()))
}

// hasher makes hashes that cost nothing.
type hasher struct{}

func (hasher) Hash(_ context.Context, text string) (string, error) { return "hash of " + text, nil }
func (hasher) Verify(_ context.Context, hash, text string) (bool, error) {
	return hash == "hash of "+text, nil
}

func worldOver(t testing.TB, b store.Backend) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), backend: &lossy{Backend: b}}
	w.now.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	clock := func() time.Time { return time.Unix(0, w.now.Add(int64(time.Millisecond))).UTC() }
	ring, err := seal.NewKeyring([]seal.Key{{ID: "k1", Secret: [32]byte{1}}})
	must(t, err)
	w.records, err = store.New(w.backend, schema(), store.Options{Now: clock, Sealer: ring})
	must(t, err)
	ids, logger := id.Source{Now: clock, Rand: rand.Reader}, slog.New(slog.DiscardHandler)
	projects := project.NewService(w.records, ids)
	w.organizations = organization.NewService(w.records, projects, ids)
	w.jobs = lease.NewService(w.records, ids, logger)
	w.events = events.NewService(events.Options{Records: w.records, IDs: ids, Leases: w.jobs, Logger: logger,
		Names: func(context.Context, string, string) (string, string, error) { return "product", "tenant", nil }})
	w.identities = identity.NewService(identity.Options{Records: w.records, IDs: ids, Events: w.events, Organizations: w.organizations, Leases: w.jobs,
		EndSessions: func(_ context.Context, identityID string) error { w.ended.Store(identityID, true); return nil },
		Passwords:   hasher{}, Connected: func(context.Context, string) (bool, error) { return w.connected, nil }})
	w.directories = dirsync.NewService(dirsync.Options{Records: w.records, IDs: ids, Organizations: w.organizations, Identities: w.identities,
		Events: w.events, Leases: w.jobs,
		Mapper: mapper(func(s string, v map[string]json.RawMessage) (json.RawMessage, error) { return w.mapper(s, v) })})
	p, err := projects.Create(w.ctx, project.Input{})
	must(t, err)
	w.org, err = w.organizations.Create(w.ctx, p.ID, organization.Input{})
	must(t, err)
	w.d = w.directory(w.org, dirsync.DirectoryInput{})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) directory(o organization.Organization, in dirsync.DirectoryInput) dirsync.Directory {
	w.t.Helper()
	d, err := w.directories.CreateDirectory(w.ctx, o.ID, in)
	must(w.t, err)
	return d
}

// user reads what a client sends.
func (w *world) read(t *scim.ResourceType, body string) scim.Resource {
	w.t.Helper()
	r, err := t.Read([]byte(body))
	must(w.t, err)
	return r
}

func (w *world) create(name string) dirsync.Changed {
	w.t.Helper()
	c, err := w.directories.CreateUser(w.ctx, w.d, w.read(scim.User, fmt.Sprintf(
		`{"schemas":["%s"],"userName":"%s","externalId":"ext-%s","active":true,"name":{"givenName":"G","familyName":"F"},"emails":[{"value":"%s@example.com","primary":true}]}`,
		scim.UserURN, name, name, name)))
	must(w.t, err)
	return c
}

func (w *world) group(name string, members ...string) dirsync.Changed {
	w.t.Helper()
	c, err := w.directories.CreateGroup(w.ctx, w.d, w.groupBody(name, members...))
	must(w.t, err)
	return c
}

func (w *world) groupBody(name string, members ...string) scim.Resource {
	r := scim.Resource{"schemas": []any{scim.GroupURN}, "displayName": name}
	var list []any
	for _, m := range members {
		list = append(list, map[string]any{"value": m})
	}
	if list != nil {
		r["members"] = list
	}
	return r
}

func (w *world) ops(body string) []scim.Operation {
	w.t.Helper()
	ops, err := scim.ReadPatch([]byte(`{"schemas":["` + scim.PatchURN + `"],"Operations":` + body + `}`))
	must(w.t, err)
	return ops
}

func (w *world) patch(userID, body string) dirsync.Changed {
	w.t.Helper()
	c, err := w.directories.PatchUser(w.ctx, w.d, userID, w.ops(body), nil)
	must(w.t, err)
	return c
}

func (w *world) patchGroup(groupID, body string) dirsync.Changed {
	w.t.Helper()
	c, err := w.directories.PatchGroup(w.ctx, w.d, groupID, w.ops(body), nil)
	must(w.t, err)
	return c
}

func (w *world) members(groupID string) []string {
	w.t.Helper()
	var all []string
	for after := ""; ; {
		page, err := w.directories.Members(w.ctx, w.d, groupID, 7, after)
		must(w.t, err)
		for _, m := range page.Items {
			all = append(all, m.Value)
		}
		if after = page.Next; after == "" {
			slices.Sort(all)
			return all
		}
	}
}

// told works the jobs off and reads the log: each event of a resource in order, without gaps.
func (w *world) told() []events.Event {
	w.t.Helper()
	w.now.Add(int64(3 * time.Second)) // what waits for more of its kind has waited
	must(w.t, w.jobs.Run(w.ctx))
	must(w.t, w.events.Relay(w.ctx))
	var all []events.Event
	for after := int64(0); ; {
		page, err := w.events.Read(w.ctx, events.Query{Scope: events.Scope{ProjectID: w.org.ProjectID}, After: after, Limit: 500})
		must(w.t, err)
		if len(page.Events) == 0 {
			break
		}
		all = append(all, page.Events...)
		after = page.Events[len(page.Events)-1].Position
	}
	next := map[string]int64{}
	for _, e := range all {
		if next[e.ResourceID]++; e.Seq != next[e.ResourceID] {
			w.t.Errorf("event %s of %s has number %d, want %d", e.Type, e.ResourceID, e.Seq, next[e.ResourceID])
		}
	}
	return all
}

// about are the types of the events of a resource.
func about(all []events.Event, resourceID string) (types []string) {
	for _, e := range all {
		if e.ResourceID == resourceID {
			types = append(types, e.Type+" "+e.Polis)
		}
	}
	return types
}

func (w *world) refused(err error, kind fault.Kind, code string) {
	w.t.Helper()
	if !fault.Is(err, kind) || fault.Code(err) != code {
		w.t.Errorf("answered %v, want kind %d, code %s", err, kind, code)
	}
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
