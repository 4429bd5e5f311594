package google_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	adapter "github.com/portico-sso/portico/adapters/google"
	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/outbound"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/internal/googlefake"
	"github.com/portico-sso/portico/ports/store"
)

// bench is a workspace of Google, a directory, and the service between them, on a clock that tests move.
type bench struct {
	t      *testing.T
	w      *googlefake.Workspace
	s      *google.Service
	dirs   *people
	leases *lease.Service
	d      dirsync.Directory
	now    time.Time
	pauses []time.Duration
}

const publicURL = "https://sso.example.com"

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, w: googlefake.New(t), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return b.now }
	schema := slices.Concat(google.Collections(), google.SessionCollections(), lease.Collections(), project.Collections())
	for i := range schema {
		schema[i].Sealed = false // no keys here; store's own tests hold the sealing
	}
	records, err := store.New(memory.New(schema), schema, store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	ids := id.Source{Now: clock, Rand: rand.Reader}
	logger := slog.New(slog.DiscardHandler)
	projects := project.NewService(records, ids)
	p, err := projects.Ensure(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	b.d = dirsync.Directory{ID: ids.UUID(), ProjectID: p.ID, OrganizationID: ids.UUID(), Type: dirsync.GoogleAPI}
	b.dirs = &people{directories: map[string]dirsync.Directory{b.d.ID: b.d}, users: map[string]dirsync.Object{}, groups: map[string]dirsync.Object{}}
	b.leases = lease.NewService(records, ids, logger)
	send := outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: 30 * time.Second})
	b.s = google.New(google.Options{
		Records: records, Sessions: records, IDs: ids, Projects: projects, Directories: b.dirs, Leases: b.leases, PublicURL: publicURL, Logger: logger,
		Source: adapter.New(adapter.Options{ClientID: googlefake.ClientID, ClientSecret: googlefake.ClientSecret, Send: send,
			AuthURL: b.w.URL + "/auth", TokenURL: b.w.URL + "/token", APIURL: b.w.URL}),
		Wait: func(_ context.Context, d time.Duration) error { b.pauses = append(b.pauses, d); return nil },
	})
	b.w.Users = []googlefake.User{
		googlefake.Person("u1", "ada@acme.example", "Ada", "Lovelace", "/Sales"),
		googlefake.Person("u2", "bob@acme.example", "Bob", "Boole", "/Sales/North"),
		googlefake.Person("u3", "eve@acme.example", "Eve", "Euler", "/Engineering's"),
	}
	b.w.Groups = []googlefake.Group{googlefake.Team("g1", "all@acme.example", "All"), googlefake.Team("g2", "north@acme.example", "North")}
	b.w.Members["g1"] = []googlefake.Member{googlefake.In("u1", "ada@acme.example", "USER"), googlefake.In("g2", "north@acme.example", "GROUP"),
		googlefake.In("C01abc234", "", "CUSTOMER"), googlefake.In("x9", "guest@other.example", "USER")}
	b.w.Members["g2"] = []googlefake.Member{googlefake.In("u2", "bob@acme.example", "USER")}
	return b
}

// consent is the administrator's browser at Google: it brings back the query of the callback.
func (b *bench) consent(address string) url.Values {
	b.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(address)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	back, err := response.Location()
	if err != nil || !strings.HasPrefix(back.String(), publicURL+google.PathCallback+"?") {
		b.t.Fatalf("%s: %d, %v", address, response.StatusCode, back)
	}
	return back.Query()
}

func (b *bench) connect() {
	b.t.Helper()
	address, cookie, err := b.s.Authorize(b.t.Context(), b.d.ID, "")
	if err != nil {
		b.t.Fatal(err)
	}
	q := b.consent(address)
	if err := b.s.Finish(b.t.Context(), q.Get("state"), q.Get("code"), "", cookie); err != nil {
		b.t.Fatal(err)
	}
	b.w.Requests()
}

func (b *bench) sync() google.Result {
	b.t.Helper()
	r, err := b.s.Sync(b.t.Context(), b.d.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) state() google.State {
	b.t.Helper()
	st, err := b.s.State(b.t.Context(), b.d.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

// people keeps what the sync writes. It has of core/dirsync what the sync relies on: unique names, equal writes that do nothing,
// members that exist.
type people struct {
	mu            sync.Mutex
	serial        int
	directories   map[string]dirsync.Directory
	users, groups map[string]dirsync.Object
	writes        int
}

var _ google.Directories = (*people)(nil)

func (p *people) Directory(_ context.Context, directoryID string) (dirsync.Directory, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.directories[directoryID]
	if !ok {
		return d, fault.New(fault.NotFound, "not_found", "No such directory.")
	}
	return d, nil
}

func (p *people) UpdateDirectory(_ context.Context, directoryID string, in dirsync.DirectoryInput) (dirsync.Directory, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.directories[directoryID]
	if in.Google != nil {
		g := *in.Google
		d.Google = &g
	}
	p.directories[directoryID] = d
	return d, nil
}

func (p *people) PageProjectDirectories(_ context.Context, projectID string, offset, limit int) (all []dirsync.Directory, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.directories {
		if d.ProjectID == projectID {
			all = append(all, d)
		}
	}
	return all[min(offset, len(all)):min(offset+limit, len(all))], nil
}

func (p *people) list(from map[string]dirsync.Object, q dirsync.Query) (dirsync.Page, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []dirsync.Object
	for _, o := range from {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b dirsync.Object) int { return strings.Compare(a.ID, b.ID) })
	start, _ := strconv.Atoi(*q.Cursor)
	end := min(start+min(q.Count, 2), len(all)) // pages of two, so that there are several
	page := dirsync.Page{Items: all[start:end]}
	if end < len(all) {
		page.Next = strconv.Itoa(end)
	}
	return page, nil
}

func (p *people) put(in map[string]dirsync.Object, name, objectID string, r scim.Resource) (dirsync.Changed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, exists := in[objectID]
	if objectID != "" && !exists {
		return dirsync.Changed{}, fault.New(fault.NotFound, "not_found", "No such thing.")
	}
	for _, o := range in {
		if o.ID != objectID && o.Resource[name] == r[name] {
			return dirsync.Changed{}, fault.New(fault.Taken, "uniqueness", "It is there.")
		}
	}
	members, _ := r["members"].([]any)
	for _, m := range members {
		value, _ := m.(map[string]any)["value"].(string)
		_, user := p.users[value]
		_, group := p.groups[value]
		if !user && !group {
			return dirsync.Changed{}, fault.At("members", "invalid", "No such member.")
		}
	}
	if exists && scim.Equal(old.Resource, r) {
		return dirsync.Changed{Object: old}, nil
	}
	if !exists {
		p.serial++
		objectID = "local-" + strconv.Itoa(p.serial)
	}
	o := dirsync.Object{ID: objectID, Version: old.Version + 1, Resource: r}
	in[objectID] = o
	p.writes++
	return dirsync.Changed{Object: o, Done: true}, nil
}

func (p *people) remove(in map[string]dirsync.Object, objectID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(in, objectID)
	p.writes++
	return nil
}

func (p *people) Users(_ context.Context, _ dirsync.Directory, q dirsync.Query) (dirsync.Page, error) {
	return p.list(p.users, q)
}

func (p *people) CreateUser(_ context.Context, _ dirsync.Directory, r scim.Resource) (dirsync.Changed, error) {
	return p.put(p.users, "userName", "", r)
}

func (p *people) ReplaceUser(_ context.Context, _ dirsync.Directory, userID string, r scim.Resource, _ dirsync.Match) (dirsync.Changed, error) {
	return p.put(p.users, "userName", userID, r)
}

func (p *people) DeleteUser(_ context.Context, _ dirsync.Directory, userID string, _ dirsync.Match) error {
	return p.remove(p.users, userID)
}

func (p *people) Groups(_ context.Context, _ dirsync.Directory, q dirsync.Query) (dirsync.Page, error) {
	return p.list(p.groups, q)
}

func (p *people) CreateGroup(_ context.Context, _ dirsync.Directory, r scim.Resource) (dirsync.Changed, error) {
	return p.put(p.groups, "displayName", "", r)
}

func (p *people) ReplaceGroup(_ context.Context, _ dirsync.Directory, groupID string, r scim.Resource, _ dirsync.Match) (dirsync.Changed, error) {
	return p.put(p.groups, "displayName", groupID, r)
}

func (p *people) DeleteGroup(_ context.Context, _ dirsync.Directory, groupID string, _ dirsync.Match) error {
	return p.remove(p.groups, groupID)
}

// names are the user names that are there, those of inactive users in brackets.
func (p *people) names() string {
	var all []string
	for _, o := range p.users {
		name, _ := o.Resource["userName"].(string)
		if o.Resource["active"] != true {
			name = "(" + name + ")"
		}
		all = append(all, strings.TrimSuffix(strings.Replace(name, "@acme.example", "", 1), ""))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// teams are the groups that are there with the names of their members.
func (p *people) teams() string {
	label := func(value string) string {
		if o, ok := p.users[value]; ok {
			name, _, _ := strings.Cut(o.Resource["userName"].(string), "@")
			return name
		}
		return p.groups[value].Resource["displayName"].(string)
	}
	var all []string
	for _, o := range p.groups {
		var in []string
		members, _ := o.Resource["members"].([]any)
		for _, m := range members {
			in = append(in, label(m.(map[string]any)["value"].(string)))
		}
		slices.Sort(in)
		all = append(all, o.Resource["displayName"].(string)+":"+strings.Join(in, ","))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
