package google_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	adapter "github.com/portico-sso/portico/adapters/google"
	"github.com/portico-sso/portico/adapters/outbound"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/internal/engines/enginetest"
	"github.com/portico-sso/portico/internal/googlefake"
	"github.com/portico-sso/portico/ports/store"
)

// bench is a workspace of Google, a directory, and the service between them, on a clock that tests move.
type bench struct {
	t      *testing.T
	w      *googlefake.Workspace
	o      google.Options
	s      *google.Service
	store  *store.Store
	dirs   *dirsync.Service
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
	schema := slices.Concat(google.Collections(), google.SessionCollections(), lease.Collections(), project.Collections(), organization.Collections(),
		identity.Collections(), events.Collections(), dirsync.Collections())
	for i := range schema {
		schema[i].Sealed = false // no keys here; the store's own tests hold the sealing
	}
	records, err := store.New(enginetest.Open(t, schema), schema, store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	ids := id.Source{Now: clock, Rand: rand.Reader}
	logger := slog.New(slog.DiscardHandler)
	projects := project.NewService(records, ids)
	organizations := organization.NewService(records, projects, ids)
	p, err := projects.Ensure(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	o, err := organizations.Ensure(t.Context(), p.ID, "acme")
	if err != nil {
		t.Fatal(err)
	}
	b.leases = lease.NewService(records, ids, logger)
	told := events.NewService(events.Options{Records: records, IDs: ids, Leases: b.leases, Logger: logger})
	b.dirs = dirsync.NewService(dirsync.Options{
		Records: records, IDs: ids, Organizations: organizations, Events: told, Leases: b.leases,
		Identities: identity.NewService(identity.Options{Records: records, IDs: ids, Events: told, Organizations: organizations, Leases: b.leases,
			EndSessions: func(context.Context, string) error { return nil }}),
	})
	kind := dirsync.GoogleAPI
	if b.d, err = b.dirs.CreateDirectory(t.Context(), o.ID, dirsync.DirectoryInput{Type: &kind}); err != nil {
		t.Fatal(err)
	}
	send := outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: 30 * time.Second})
	b.o = google.Options{
		Records: records, Sessions: records, IDs: ids, Projects: projects, Directories: b.dirs, Leases: b.leases, Secret: []byte("secret of the installation"), PublicURL: publicURL, Logger: logger,
		Source: adapter.New(adapter.Options{ClientID: googlefake.ClientID, ClientSecret: googlefake.ClientSecret, Send: send,
			AuthURL: b.w.URL + "/auth", TokenURL: b.w.URL + "/token", RevokeURL: b.w.URL + "/revoke", APIURL: b.w.URL}),
		Wait: func(_ context.Context, d time.Duration) error { b.pauses = append(b.pauses, d); return nil },
	}
	b.s, b.store = google.New(b.o), records
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

// link makes a link of a directory, and gives what it holds.
func (b *bench) link(directoryID, domain string, in time.Duration) string {
	b.t.Helper()
	d, err := b.dirs.Directory(b.t.Context(), directoryID)
	if err != nil {
		b.t.Fatal(err)
	}
	address, _, err := b.s.Link(d, domain, in)
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, publicURL+google.PathAuthorize+"?link=") {
		b.t.Fatalf("link %s, %v", address, err)
	}
	return u.Query().Get("link")
}

// begin opens a link in a browser and consents: what comes back, and the browser's cookie.
func (b *bench) begin(link, browser string) (url.Values, string) {
	b.t.Helper()
	address, cookie, err := b.s.Authorize(b.t.Context(), link, "", browser)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.consent(address), cookie
}

func (b *bench) finish(q url.Values, cookie string) string {
	return fault.Code(b.s.Finish(context.Background(), q.Get("state"), q.Get("code"), q.Get("error"), cookie))
}

func (b *bench) connect() {
	b.t.Helper()
	if code := b.finish(b.begin(b.link(b.d.ID, "", 0), "")); code != "" {
		b.t.Fatal(code)
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

func (b *bench) directory() dirsync.Directory {
	b.t.Helper()
	d, err := b.dirs.Directory(b.t.Context(), b.d.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bench) update(in dirsync.DirectoryInput) {
	b.t.Helper()
	if _, err := b.dirs.UpdateDirectory(b.t.Context(), b.d.ID, in); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) list(list func(context.Context, dirsync.Directory, dirsync.Query) (dirsync.Page, error)) []dirsync.Object {
	b.t.Helper()
	page, err := list(b.t.Context(), b.d, dirsync.Query{Count: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Items
}

// names are the user names that are there, those of inactive users in brackets.
func (b *bench) names() string {
	b.t.Helper()
	var all []string
	for _, o := range b.list(b.dirs.Users) {
		name, _, _ := strings.Cut(o.Resource["userName"].(string), "@")
		if o.Resource["active"] != true {
			name = "(" + name + ")"
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// teams are the groups that are there with the names of their members.
func (b *bench) teams() string {
	b.t.Helper()
	label := map[string]string{}
	for _, o := range b.list(b.dirs.Users) {
		label[o.ID], _, _ = strings.Cut(o.Resource["userName"].(string), "@")
	}
	groups := b.list(b.dirs.Groups)
	for _, o := range groups {
		label[o.ID] = o.Resource["displayName"].(string)
	}
	var all []string
	for _, o := range groups {
		page, err := b.dirs.Members(b.t.Context(), b.d, o.ID, 100, "")
		if err != nil {
			b.t.Fatal(err)
		}
		var in []string
		for _, m := range page.Items {
			in = append(in, label[m.Value])
		}
		slices.Sort(in)
		all = append(all, label[o.ID]+":"+strings.Join(in, ","))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
