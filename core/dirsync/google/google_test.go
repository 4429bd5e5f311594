package google_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/internal/googlefake"
	"github.com/portico-sso/portico/ports/directory"
	"github.com/portico-sso/portico/ports/store"
)

func (b *bench) want(users, teams string) {
	b.t.Helper()
	if got := b.names(); got != users {
		b.t.Errorf("users %q, want %q", got, users)
	}
	if got := b.teams(); got != teams {
		b.t.Errorf("groups %q, want %q", got, teams)
	}
}

const (
	allUsers = "ada bob eve"
	allTeams = "All:North,ada North:bob"
)

func TestSync(t *testing.T) {
	b := newBench(t)
	b.connect()
	r := b.sync()
	b.want(allUsers, allTeams)
	if r.Users != 3 || r.Groups != 2 || r.Deleted != 0 || r.Refused != 0 {
		t.Errorf("result %+v", r)
	}
	if st := b.state(); st.Error != "" || !st.BeganAt.Equal(b.now) || !st.EndedAt.Equal(b.now) || !st.Next.Equal(b.now.Add(30*time.Minute)) || st.Result != r {
		t.Errorf("state %+v", st)
	}
	if g := b.directory().Google; g.Customer != googlefake.Customer || g.Domain != "acme.example" || g.ConnectedBy != "root@acme.example" || !g.ConnectedAt.Equal(b.now) {
		t.Errorf("connected: %+v", g)
	}
	for _, o := range b.list(b.dirs.Users) {
		if o.Resource["userName"] != "ada@acme.example" {
			continue
		}
		got, err := json.Marshal(o.Resource)
		for _, want := range []string{
			`"active":true,"emails":[{"primary":true,"type":"work","value":"ada@acme.example"},{"type":"home","value":"home.ada@acme.example"}],"externalId":"u1"`,
			`"name":{"familyName":"Lovelace","formatted":"Ada Lovelace","givenName":"Ada"}`, `"urn:portico:params:scim:schemas:extension:google:2.0:User":{"orgUnitPath":"/Sales"}`,
		} {
			if err != nil || !strings.Contains(string(got), want) {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		}
	}
}

func TestAnEqualSyncWritesNothing(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.sync()
	before := append(b.list(b.dirs.Users), b.list(b.dirs.Groups)...)
	b.now = b.now.Add(time.Minute)
	r := b.sync()
	if r.Written != 0 {
		t.Errorf("%+v", r)
	}
	for i, o := range append(b.list(b.dirs.Users), b.list(b.dirs.Groups)...) {
		if o.Version != before[i].Version || !o.Modified.Equal(before[i].Modified) {
			t.Errorf("%v is written, was %v", o, before[i])
		}
	}
}

func TestChangesAreFollowed(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.sync()
	b.w.Do(func() {
		b.w.Users[0]["suspended"] = true
		b.w.Users[1]["primaryEmail"] = "robert@acme.example"
		b.w.Users = append(b.w.Users[:2], googlefake.Person("u4", "new@acme.example", "New", "Noether", "/"))
		b.w.Groups = []googlefake.Group{googlefake.Team("g2", "north@acme.example", "Far North"), googlefake.Team("g3", "south@acme.example", "")}
		b.w.Members["g2"] = []googlefake.Member{googlefake.In("u4", "", "USER"), googlefake.In("g3", "", "GROUP")}
	})
	r := b.sync()
	b.want("(ada) new robert", "Far North:new,south@acme.example south@acme.example:")
	if r.Deleted != 2 {
		t.Errorf("%+v, want eve and All deleted", r)
	}
}

// TestPages reads everything in pages of one.
func TestPages(t *testing.T) {
	b := newBench(t)
	b.w.Page = 1
	b.connect()
	b.sync()
	b.want(allUsers, allTeams)
	if got := strings.Join(b.w.Requests(), "\n"); strings.Count(got, "pageToken=from-") != 6 { // 2 of users, 1 of groups, 3 of g1's members
		t.Errorf("asked for\n%s", got)
	}
}

// TestHalfAListingDeletesNobody fails each request of a sync in turn, after which the workspace has lost somebody.
func TestHalfAListingDeletesNobody(t *testing.T) {
	for _, failure := range []struct {
		status int
		reason string
	}{{500, "backendError"}, {403, "forbidden"}, {404, "notFound"}, {200, "not of the form"}, {400, "invalid"}} {
		b := newBench(t)
		b.w.Page = 1
		b.connect()
		b.sync()
		b.w.Requests()
		b.w.Do(func() {
			b.w.Users, b.w.Groups = b.w.Users[:2], b.w.Groups[:1]
			b.w.Members["g1"] = b.w.Members["g1"][:1]
		})
		for i := 0; ; i++ {
			n, failed := 0, false
			b.w.Do(func() {
				b.w.Fail = func(path string, q url.Values) (int, string) {
					if n++; n > i {
						failed = true
						return failure.status, failure.reason
					}
					return 0, ""
				}
			})
			before := len(b.list(b.dirs.Users)) + len(b.list(b.dirs.Groups))
			_, err := b.s.Sync(t.Context(), b.d.ID)
			if !failed {
				if err != nil || i < 4 {
					t.Errorf("%d requests, %v", i, err)
				}
				break
			}
			if failure.status == 404 && err == nil { // of a group that is deleted meanwhile: its listing is whole
				continue
			}
			if err == nil || len(b.list(b.dirs.Users))+len(b.list(b.dirs.Groups)) != before {
				t.Errorf("%d from request %d on: %v, %s; %s", failure.status, i, err, b.names(), b.teams())
			}
			if st := b.state(); st.Error == "" || st.Failures == 0 {
				t.Errorf("%d from request %d on: state %+v", failure.status, i, st)
			}
		}
	}
}

func TestNobodyListedDeletesNobody(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.sync()
	b.w.Do(func() { b.w.Users = nil })
	if _, err := b.s.Sync(t.Context(), b.d.ID); err == nil || b.names() != allUsers {
		t.Errorf("%v: %s", err, b.names())
	}
}

func (b *bench) choose(groups, units []string) {
	b.t.Helper()
	if _, err := b.s.Choose(b.t.Context(), b.d.ID, &groups, &units); err != nil {
		b.t.Fatal(err)
	}
}

func TestOrganizationalUnits(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.sync()
	b.choose(nil, []string{"/Sales"})
	b.sync()
	b.want("ada bob", allTeams)
	b.choose(nil, []string{"/Sales/North", "/Engineering's"})
	b.sync()
	b.want("bob eve", "All:North North:bob")
}

func TestChosenGroups(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.choose([]string{"north@acme.example"}, nil)
	b.sync()
	b.want("bob", "North:bob")
	b.choose([]string{"all@acme.example"}, nil)
	b.sync()
	b.want("ada bob", allTeams) // the group inside is read with it
	b.choose([]string{"all@acme.example"}, []string{"/Sales/North"})
	b.sync()
	b.want("bob", "All:North North:bob")

	b.choose([]string{"all@acme.example", "gone@acme.example"}, nil)
	if _, err := b.s.Sync(t.Context(), b.d.ID); !errors.Is(err, directory.ErrNotFound) || b.names() != "bob" {
		t.Errorf("a chosen group that is not there: %v, %s", err, b.names())
	}
}

func TestBackOff(t *testing.T) {
	b := newBench(t)
	b.connect()
	n := 0
	b.w.Do(func() {
		b.w.Fail = func(path string, _ url.Values) (int, string) {
			if n++; path == "users" && n < 6 {
				return []int{429, 503, 403}[n%3], "rateLimitExceeded"
			}
			return 0, ""
		}
	})
	b.sync()
	b.want(allUsers, allTeams)
	if len(b.pauses) == 0 {
		t.Fatal("no pause")
	}
	for i := 1; i < len(b.pauses); i++ {
		if b.pauses[i] < b.pauses[i-1] {
			t.Errorf("pauses %v do not grow", b.pauses)
		}
	}
	b.w.Do(func() { b.w.Fail = func(string, url.Values) (int, string) { return 429, "rateLimitExceeded" } })
	b.pauses = nil
	if _, err := b.s.Sync(t.Context(), b.d.ID); !errors.Is(err, directory.ErrBusy) || len(b.pauses) != 5 {
		t.Errorf("%v after %v", err, b.pauses)
	}
	first := b.state().Next.Sub(b.now)
	for range 12 {
		_, _ = b.s.Sync(t.Context(), b.d.ID)
	}
	if last := b.state().Next.Sub(b.now); first != time.Minute || last != 6*time.Hour {
		t.Errorf("tried again after %s, and at last after %s", first, last)
	}
}

func TestTokens(t *testing.T) {
	b := newBench(t)
	b.connect()
	before := *b.directory().Google
	if !strings.HasPrefix(before.RefreshToken, "1//0refresh-") || before.AccessToken == "" {
		t.Fatalf("tokens %+v", before)
	}
	b.w.Expire() // before its time
	b.sync()
	after := *b.directory().Google
	if after.AccessToken == before.AccessToken || after.RefreshToken != before.RefreshToken {
		t.Errorf("before %+v, after %+v", before, after)
	}
	b.now = b.now.Add(2 * time.Hour)
	b.w.Requests()
	b.sync()
	if again := *b.directory().Google; again.AccessToken == after.AccessToken {
		t.Error("an access token whose time is over is used")
	}
	b.w.Revoke()
	if _, err := b.s.Sync(t.Context(), b.d.ID); !errors.Is(err, directory.ErrRevoked) {
		t.Errorf("after the administrator took it back: %v", err)
	}
	if st := b.state(); !strings.Contains(st.Error, "Connect the directory again") || strings.Contains(fmt.Sprint(st), "ya29") {
		t.Errorf("state %+v", st)
	}
	b.want(allUsers, allTeams)
	b.connect()
	b.sync()
	if st := b.state(); st.Error != "" {
		t.Errorf("connected again: %+v", st)
	}
}

func TestWhoCannotBeTakenIsTold(t *testing.T) {
	b := newBench(t)
	b.w.Users = append(b.w.Users, googlefake.Person("u5", "ada@acme.example", "Other", "Ada", "/"))
	b.connect()
	if r := b.sync(); r.Refused != 1 || r.Users != 4 {
		t.Errorf("%+v", r)
	}
	b.want(allUsers, allTeams)
}

func TestOneInstanceSyncs(t *testing.T) {
	b := newBench(t)
	b.connect()
	held, err := b.leases.Acquire(t.Context(), "google/"+b.d.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Sync(t.Context(), b.d.ID); !errors.Is(err, lease.ErrHeld) || b.names() != "" {
		t.Errorf("%v, %s", err, b.names())
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.sync()
}

func TestSchedule(t *testing.T) {
	b := newBench(t)
	due := func() int {
		t.Helper()
		if err := b.s.SyncDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(b.w.Requests())
	}
	if due() != 0 {
		t.Error("a directory that is not connected is read")
	}
	b.connect()
	select {
	case <-b.s.Waiting():
	default:
		t.Error("nobody is woken")
	}
	if due() == 0 || b.names() != allUsers {
		t.Error("it is not read at once")
	}
	b.now = b.now.Add(29 * time.Minute)
	if due() != 0 {
		t.Error("it is read before its time")
	}
	b.now = b.now.Add(2 * time.Minute)
	if due() == 0 {
		t.Error("it is not read in time")
	}
	b.s.SyncSoon()
	if len(b.s.Waiting()) != 1 || due() == 0 || due() != 0 {
		t.Error("it is not read once where that is asked for")
	}
	b.now = b.now.Add(time.Hour)
	active := false
	b.update(dirsync.DirectoryInput{Active: &active})
	if due() != 0 {
		t.Error("a directory that is not active is read")
	}
}

func TestConnecting(t *testing.T) {
	b := newBench(t)
	link := b.link(b.d.ID, "", 0)
	q, cookie := b.begin(link, "")
	if code := b.finish(q, ""); code != "another_browser" {
		t.Errorf("without the cookie: %q", code)
	}
	late, other := b.begin(link, "")
	if code := b.finish(q, other); code != "another_browser" || other == cookie {
		t.Errorf("from another browser: %q", code)
	}
	if b.directory().Google.Connected() {
		t.Error("it is connected")
	}
	if code := b.finish(q, cookie); code != "" {
		t.Errorf("from the right browser: %q", code)
	}
	if code := b.finish(q, cookie); code != "invalid_state" {
		t.Errorf("again: %q", code)
	}
	before := *b.directory().Google
	if code := b.finish(late, other); code != "invalid_link" || b.directory().Google.RefreshToken != before.RefreshToken {
		t.Errorf("a second one by the same link: %q", code)
	}
	if _, _, err := b.s.Authorize(t.Context(), link, "", ""); fault.Code(err) != "invalid_link" {
		t.Errorf("a link that was used: %v", err)
	}
	for _, state := range []string{"", "guess", strings.Repeat("0", 64), `{"directoryId":"` + b.d.ID + `"}`} {
		if code := b.finish(url.Values{"state": {state}, "code": {"x"}}, cookie); code != "invalid_state" {
			t.Errorf("state %q: %q", state, code)
		}
	}
	link = b.link(b.d.ID, "", 0)
	q, same := b.begin(link, cookie)
	if same != cookie {
		t.Error("a second link in one browser forgets the first")
	}
	if code := b.finish(url.Values{"state": q["state"], "error": {"access_denied"}}, cookie); code != "access_denied" {
		t.Errorf("refused at Google: %q", code)
	}
	q, _ = b.begin(link, cookie)
	q.Set("code", "guess")
	if code := b.finish(q, cookie); code != "access_denied" {
		t.Errorf("a wrong code: %q", code)
	}
	q, _ = b.begin(link, cookie)
	b.now = b.now.Add(16 * time.Minute)
	if code := b.finish(q, cookie); code != "invalid_state" {
		t.Errorf("too late: %q", code)
	}
}

// TestLinks has everybody refused who has no link that Portico made for this directory, this time.
func TestLinks(t *testing.T) {
	b := newBench(t)
	kind := dirsync.GoogleAPI
	other, err := b.dirs.CreateDirectory(t.Context(), b.d.OrganizationID, dirsync.DirectoryInput{Type: &kind})
	if err != nil {
		t.Fatal(err)
	}
	link := b.link(b.d.ID, "", time.Hour)
	body, signature, _ := strings.Cut(link, ".")
	_, otherSignature, _ := strings.Cut(b.link(other.ID, "", time.Hour), ".")
	elsewhere := b.o
	elsewhere.Secret = []byte("of another installation")
	foreign, _, err := google.New(elsewhere).Link(b.directory(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	foreign = foreign[strings.Index(foreign, "link=")+5:]
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"d":"` + other.ID + `","n":0,"u":99999999999}`))
	for what, c := range map[string]struct{ link, directory string }{
		"none": {"", b.d.ID}, "the id": {b.d.ID, b.d.ID}, "no signature": {body, ""}, "an empty signature": {body + ".", ""}, "another's signature": {body + "." + otherSignature, ""},
		"a forged directory": {forged + "." + signature, other.ID}, "of another installation": {foreign, ""}, "for another directory": {link, other.ID},
		"a signature of nothing": {"." + signature, ""},
	} {
		if _, _, err := b.s.Authorize(t.Context(), c.link, c.directory, ""); fault.Code(err) != "invalid_link" || !fault.Is(err, fault.Forbidden) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := b.s.Authorize(t.Context(), link, b.d.ID, ""); err != nil {
		t.Errorf("the link: %v", err)
	}
	b.now = b.now.Add(time.Hour)
	if _, _, err := b.s.Authorize(t.Context(), link, "", ""); fault.Code(err) != "invalid_link" {
		t.Errorf("a link that is over: %v", err)
	}
	for field, make := range map[string]func() error{
		"expiresInSeconds": func() error { _, _, err := b.s.Link(b.d, "", 31*24*time.Hour); return err },
		"domain":           func() error { _, _, err := b.s.Link(b.d, "acme.example/x", 0); return err },
	} {
		if err := make(); !fault.Is(err, fault.Invalid) || fault.From(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestDomainOfLink has a link fall into the hands of somebody with a workspace of his own.
func TestDomainOfLink(t *testing.T) {
	b := newBench(t)
	link := b.link(b.d.ID, " ACME.example", 0)
	for _, domain := range []string{"evil.example", "", "acme.example.evil.example"} {
		b.w.Do(func() { b.w.Domain = domain })
		if code := b.finish(b.begin(link, "")); code != "another_domain" || b.directory().Google.Connected() {
			t.Errorf("%q: %q", domain, code)
		}
	}
	b.w.Do(func() { b.w.Domain = "Acme.Example" })
	if code := b.finish(b.begin(link, "")); code != "" {
		t.Errorf("the right one: %q", code)
	}
}

// TestAnotherWorkspace has somebody connect a workspace of his own to a directory that has one: its people stay, until the
// operator has the first one forgotten.
func TestAnotherWorkspace(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.sync()
	before := *b.directory().Google
	b.w.Do(func() {
		b.w.Users = []googlefake.User{googlefake.Person("e1", "mallory@evil.example", "Mallory", "M", "/")}
		b.w.Users[0]["customerId"], b.w.Domain = "C0evil", "evil.example"
	})
	refused := func(when string) {
		t.Helper()
		if code := b.finish(b.begin(b.link(b.d.ID, "", 0), "")); code != "another_workspace" {
			t.Errorf("%s: %q", when, code)
		}
	}
	refused("while it is connected")
	if b.directory().Google.RefreshToken != before.RefreshToken {
		t.Error("it is connected")
	}
	if _, err := b.s.Sync(t.Context(), b.d.ID); err == nil || !strings.Contains(b.state().Error, "another Google Workspace") {
		t.Errorf("tokens that show another workspace: %v, %+v", err, b.state())
	}
	b.want(allUsers, allTeams)
	if _, err := b.s.Disconnect(t.Context(), b.d.ID, false); err != nil {
		t.Fatal(err)
	}
	refused("once it is disconnected")
	if _, err := b.s.Disconnect(t.Context(), b.d.ID, true); err != nil {
		t.Fatal(err)
	}
	b.w.Do(func() { b.w.Groups = nil })
	b.connect()
	b.sync()
	b.want("mallory", "")
}

// TestTokensOfAnOperator has tokens come by an API: whose workspace they show is remembered with the first sync.
func TestTokensOfAnOperator(t *testing.T) {
	b := newBench(t)
	b.connect()
	link, refresh := b.link(b.d.ID, "", 0), b.directory().Google.RefreshToken
	kind := dirsync.GoogleAPI
	var err error
	if b.d, err = b.dirs.CreateDirectory(t.Context(), b.d.OrganizationID, dirsync.DirectoryInput{Type: &kind, Google: &dirsync.GoogleTokens{Refresh: &refresh}}); err != nil {
		t.Fatal(err)
	}
	b.sync()
	b.want(allUsers, allTeams)
	if got := b.directory().Google; got.Customer != googlefake.Customer || got.ConnectedBy != "" || got.AccessToken == "" {
		t.Errorf("%+v", got)
	}
	if _, _, err := b.s.Authorize(t.Context(), link, b.d.ID, ""); fault.Code(err) != "invalid_link" {
		t.Errorf("a link of the other directory: %v", err)
	}
}

func TestDisconnect(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.sync()
	refresh := b.directory().Google.RefreshToken
	link := b.link(b.d.ID, "", 0)
	d, err := b.s.Disconnect(t.Context(), b.d.ID, false)
	if err != nil || d.Google.Connected() || d.Google.AccessToken != "" || d.Google.ConnectedBy != "" {
		t.Errorf("%+v, %v", d.Google, err)
	}
	if got := b.w.Revoked(); len(got) != 1 || got[0] != refresh {
		t.Errorf("given back: %v", got)
	}
	if _, _, err := b.s.Authorize(t.Context(), link, "", ""); fault.Code(err) != "invalid_link" {
		t.Errorf("a link from before: %v", err)
	}
	if _, err := b.s.SyncNow(t.Context(), b.d.ID); fault.Code(err) != "not_connected" {
		t.Errorf("it is to be read: %v", err)
	}
	b.want(allUsers, allTeams)
	b.connect()
	b.sync()
	b.want(allUsers, allTeams)
	off := false
	b.update(dirsync.DirectoryInput{Active: &off})
	if d, err := b.s.Disconnect(t.Context(), b.d.ID, false); err != nil || d.Google.Connected() {
		t.Errorf("one that is not active: %v", err)
	}
}

// TestOneOfTwoGivesNothingBack has two directories read one workspace: with the grant of one Google would end that of the other.
func TestOneOfTwoGivesNothingBack(t *testing.T) {
	b := newBench(t)
	b.connect()
	first, kind := b.d, dirsync.GoogleAPI
	second, err := b.dirs.CreateDirectory(t.Context(), b.d.OrganizationID, dirsync.DirectoryInput{Type: &kind})
	if err != nil {
		t.Fatal(err)
	}
	b.d = second
	b.connect()
	if _, err := b.s.Disconnect(t.Context(), first.ID, false); err != nil || len(b.w.Revoked()) != 0 {
		t.Errorf("given back %v, %v", b.w.Revoked(), err)
	}
	b.sync()
	if _, err := b.s.Disconnect(t.Context(), second.ID, false); err != nil || len(b.w.Revoked()) != 1 {
		t.Errorf("given back %v, %v", b.w.Revoked(), err)
	}
}

func TestDeletedDirectory(t *testing.T) {
	b := newBench(t)
	b.connect()
	b.sync()
	refresh := b.directory().Google.RefreshToken
	if err := b.dirs.DeleteDirectory(t.Context(), b.d.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.leases.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.w.Revoked(); len(got) != 1 || got[0] != refresh {
		t.Errorf("given back: %v", got)
	}
	for _, collection := range []string{"google_syncs", "directories", "identities", "scim_users", "scim_groups"} {
		if n, err := b.store.Count(t.Context(), collection, store.Range{}); err != nil || n != 0 {
			t.Errorf("%d are left of %s, %v", n, collection, err)
		}
	}
}

// TestLostLease has something happen before each request of a sync in turn, for which it must write nothing any more: another
// instance takes the lease over, or the directory is deactivated, disconnected or deleted.
func TestLostLease(t *testing.T) {
	for what, lose := range map[string]func(b *bench) error{
		"stolen": func(b *bench) error {
			b.now = b.now.Add(10 * time.Minute) // this instance was asleep
			_, err := b.leases.Acquire(t.Context(), "google/"+b.d.ID, time.Hour)
			return err
		},
		"deactivated": func(b *bench) error {
			off := false
			_, err := b.dirs.UpdateDirectory(t.Context(), b.d.ID, dirsync.DirectoryInput{Active: &off})
			return err
		},
		"disconnected": func(b *bench) error { _, err := b.s.Disconnect(t.Context(), b.d.ID, false); return err },
		"deleted": func(b *bench) error {
			if err := b.dirs.DeleteDirectory(t.Context(), b.d.ID); err != nil {
				return err
			}
			return b.leases.Run(t.Context())
		},
	} {
		for _, synced := range []bool{false, true} { // before; then there is nothing to write but how the sync ended
			t.Run(fmt.Sprint(what, " ", synced), func(t *testing.T) { loseLease(t, synced, lose) })
		}
	}
}

func loseLease(t *testing.T, synced bool, lose func(b *bench) error) {
	for i := 1; ; i += 3 {
		b := newBench(t)
		b.w.Page = 1
		b.connect()
		if synced {
			b.sync()
		}
		n, before := 0, ""
		b.w.OnRequest = func(string) {
			if n++; n == i {
				if err := lose(b); err != nil {
					t.Error(err)
				}
				before = b.everything()
			}
		}
		_, err := b.s.Sync(t.Context(), b.d.ID)
		if n < i {
			if err != nil || i < 8 {
				t.Errorf("%d requests, %v", n, err)
			}
			return
		}
		if !errors.Is(err, lease.ErrHeld) || b.everything() != before {
			t.Errorf("before request %d: %v; written:\n%s\nwas\n%s", i, err, b.everything(), before)
		}
	}
}

// everything is what the database holds of people, groups and the sync, with versions.
func (b *bench) everything() string {
	b.t.Helper()
	var all []string
	for _, collection := range []string{"google_syncs", "directories", "identities", "scim_users", "scim_groups", "scim_members", "outbox"} {
		docs, err := b.store.Range(b.t.Context(), collection, store.Range{})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, d := range docs {
			all = append(all, fmt.Sprintf("%s %s %d", collection, d.ID, d.Version))
		}
	}
	return strings.Join(all, "\n")
}

// TestTwoInstances has a second instance sync while the first one hangs for longer than it holds the lease. When that goes on with
// what it read before, it writes nothing.
func TestTwoInstances(t *testing.T) {
	b := newBench(t)
	b.connect()
	second := google.New(b.o)
	hung := false
	b.w.OnRequest = func(path string) {
		if hung || path != "users" {
			return
		}
		hung = true // the groups were read: nobody is in them any more when the second one looks
		b.now = b.now.Add(10 * time.Minute)
		b.w.Do(func() { b.w.Members["g1"], b.w.Members["g2"] = nil, nil })
		if _, err := second.Sync(t.Context(), b.d.ID); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.s.Sync(t.Context(), b.d.ID); !errors.Is(err, lease.ErrHeld) {
		t.Errorf("the first one: %v", err)
	}
	b.want(allUsers, "All: North:")
	if st := b.state(); st.Error != "" || st.Failures != 0 {
		t.Errorf("the first one wrote %+v", st)
	}
}

func TestChoices(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		groups, units []string
		field         string
	}{
		{[]string{""}, nil, "groups"}, {[]string{"a\nb"}, nil, "groups"}, {make([]string, 101), nil, "groups"}, {[]string{strings.Repeat("x", 513)}, nil, "groups"},
		{nil, []string{"Sales"}, "orgUnits"}, {nil, []string{""}, "orgUnits"}, {nil, []string{"/\xff"}, "orgUnits"},
	} {
		if _, err := b.s.Choose(t.Context(), b.d.ID, &c.groups, &c.units); !fault.Is(err, fault.Invalid) || fault.From(err).Field != c.field {
			t.Errorf("%q: %v", c, err)
		}
	}
	b.connect()
	b.choose([]string{"north@acme.example"}, nil)
	// The choice is made while a sync refreshes its token: neither undoes the other.
	b.w.Expire()
	b.w.OnRequest = func(path string) {
		b.w.OnRequest = nil
		b.choose([]string{"all@acme.example"}, []string{"/Sales"})
	}
	b.sync()
	if g := b.directory().Google; len(g.Groups) != 1 || g.Groups[0] != "all@acme.example" || len(g.OrgUnits) != 1 {
		t.Errorf("%+v", g)
	}
	if err := b.s.SyncDue(t.Context()); err != nil { // at once: it was chosen meanwhile
		t.Fatal(err)
	}
	b.want("ada bob", allTeams)
	d, err := b.s.Choose(t.Context(), b.d.ID, nil, &[]string{})
	if err != nil || len(d.Google.Groups) != 1 || len(d.Google.OrgUnits) != 0 {
		t.Errorf("what is not given stays: %+v, %v", d.Google, err)
	}
}

// resource is a user's, by name.
func (b *bench) resource(name string) map[string]any {
	b.t.Helper()
	for _, o := range b.list(b.dirs.Users) {
		if o.Resource["userName"] == name+"@acme.example" {
			o.Resource["id"] = o.ID
			return o.Resource
		}
	}
	b.t.Fatalf("%s is not there", name)
	return nil
}

// manager is the name of a user's manager here.
func (b *bench) manager(name string) string {
	b.t.Helper()
	extension, _ := b.resource(name)[scim.EnterpriseURN].(map[string]any)
	manager, _ := extension["manager"].(map[string]any)
	for _, o := range b.list(b.dirs.Users) {
		if o.ID == manager["value"] {
			found, _, _ := strings.Cut(o.Resource["userName"].(string), "@")
			return found
		}
	}
	return fmt.Sprint(manager["value"])
}

func relation(kind, address string) []any {
	return []any{map[string]any{"type": "assistant", "value": "x@acme.example"}, map[string]any{"type": kind, "value": address}}
}

func TestManagers(t *testing.T) {
	b := newBench(t)
	b.w.Users[0]["relations"] = relation("manager", "Eve@acme.example") // on a later page
	b.w.Users[1]["relations"] = relation("manager", "ada.l@acme.example")
	b.w.Users[0]["aliases"] = []any{"ada.l@acme.example"}
	b.w.Users[2]["relations"] = relation("manager", "nobody@acme.example")
	b.w.Page = 1
	b.connect()
	managers := func(want string) {
		t.Helper()
		if got := b.manager("ada") + " " + b.manager("bob") + " " + b.manager("eve"); got != want {
			t.Errorf("managers %s, want %s", got, want)
		}
	}
	equal := func() {
		t.Helper()
		before := b.list(b.dirs.Users)
		if r := b.sync(); r.Written != 0 {
			t.Errorf("an equal sync: %+v", r)
		}
		for i, o := range b.list(b.dirs.Users) {
			if o.Version != before[i].Version {
				t.Errorf("%v is written", o.Resource)
			}
		}
	}
	b.sync()
	managers("eve ada <nil>")
	equal()
	b.w.Do(func() {
		b.w.Users[0]["relations"] = relation("manager", "bob@acme.example")
		b.w.Users[1]["relations"] = relation("dotted_line_manager", "eve@acme.example")
		b.w.Users[2]["relations"] = relation("manager", "ada@acme.example")
	})
	b.sync()
	managers("bob <nil> ada")
	equal()
	// An address goes over to somebody new, and a manager leaves.
	b.w.Do(func() {
		b.w.Users[0]["primaryEmail"], b.w.Users[0]["aliases"] = "ada.king@acme.example", nil
		b.w.Users[1] = googlefake.Person("u9", "ada@acme.example", "Other", "Ada", "/")
	})
	b.sync()
	eve, _ := b.resource("eve")[scim.EnterpriseURN].(map[string]any)
	if got := eve["manager"].(map[string]any)["value"]; got != b.resource("ada")["id"] || b.manager("ada.king") != "<nil>" {
		t.Errorf("eve's manager is %v, ada.king's %s", got, b.manager("ada.king"))
	}
	equal()
}

// TestAttributes reads a user with everything in the form of the API's reference.
func TestAttributes(t *testing.T) {
	b := newBench(t)
	list := func(m ...map[string]any) []any {
		var out []any
		for _, v := range m {
			out = append(out, v)
		}
		return out
	}
	type o = map[string]any
	everything := o{
		"name":     o{"givenName": "Ada", "familyName": "Lovelace", "fullName": "Ada Lovelace", "displayName": "Countess"},
		"archived": true,
		"aliases":  []any{"al@acme.example", "home.ada@acme.example"}, "nonEditableAliases": []any{"ada@acme.example.test-google-a.com"},
		"externalIds":   list(o{"value": "x", "type": "account"}, o{"value": "4711", "type": "organization"}),
		"organizations": list(o{"title": "wrong"}, o{"name": "Acme", "title": "Analyst", "department": "Engines", "costCenter": "c7", "description": "Employee", "primary": true}),
		"phones": list(o{"value": "+1", "type": "work", "primary": true}, o{"value": "+2", "type": "work_fax"}, o{"value": "+3", "type": "work_mobile"},
			o{"value": "+4", "type": "custom", "customType": "yacht"}),
		"addresses": list(o{"type": "home", "formatted": "12 St James's Square, London"}, o{"type": "work", "streetAddress": "1 Row", "extendedAddress": "Flat 2", "locality": "London",
			"region": "LDN", "postalCode": "SW1", "country": "United Kingdom", "countryCode": "gb", "primary": true}, o{"type": "other"}),
		"ims":       list(o{"im": "ada", "protocol": "jabber", "type": "work", "primary": true}),
		"languages": list(o{"languageCode": "fr", "preference": "not_preferred"}, o{"languageCode": "en-GB", "preference": "preferred"}),
		"websites":  list(o{"value": "ftp://x", "type": "blog"}, o{"value": "https://ada.example/", "type": "profile"}),
		"locations": list(o{"type": "desk", "area": "desk", "buildingId": "B1", "floorName": "3", "floorSection": "A", "deskCode": "12"}),
	}
	maps.Copy(b.w.Users[0], everything)
	b.w.Users[1]["websites"] = list(o{"value": "ask me", "type": "profile"})
	b.connect()
	if r := b.sync(); r.Refused != 0 {
		t.Errorf("%+v", r)
	}
	if odd := b.resource("bob")["profileUrl"]; odd != nil {
		t.Errorf("an address of the web: %v", odd)
	}
	got := b.resource("ada")
	for _, name := range []string{"id", "meta", "schemas", "groups"} {
		delete(got, name)
	}
	text, err := json.Marshal(got)
	want := `{"active":false,"addresses":[{"formatted":"12 St James's Square, London","type":"home"},` +
		`{"country":"GB","locality":"London","postalCode":"SW1","primary":true,"region":"LDN","streetAddress":"1 Row\nFlat 2","type":"work"}],` +
		`"displayName":"Countess","emails":[{"primary":true,"type":"work","value":"ada@acme.example"},{"type":"home","value":"home.ada@acme.example"},{"value":"al@acme.example"}],` +
		`"externalId":"u1","ims":[{"primary":true,"type":"xmpp","value":"ada"}],"name":{"familyName":"Lovelace","formatted":"Ada Lovelace","givenName":"Ada"},` +
		`"phoneNumbers":[{"primary":true,"type":"work","value":"+1"},{"type":"fax","value":"+2"},{"type":"mobile","value":"+3"},{"type":"yacht","value":"+4"}],` +
		`"preferredLanguage":"en-GB","profileUrl":"https://ada.example/","title":"Analyst",` +
		`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"c7","department":"Engines","employeeNumber":"4711","organization":"Acme"},` +
		`"urn:portico:params:scim:schemas:extension:google:2.0:User":{"archived":true,"buildingId":"B1","deskCode":"12","floorName":"3","floorSection":"A","orgUnitPath":"/Sales"},` +
		`"userName":"ada@acme.example","userType":"Employee"}`
	if err != nil || string(text) != want {
		t.Errorf("%v\n got %s\nwant %s", err, text, want)
	}
	if r := b.sync(); r.Written != 0 {
		t.Errorf("an equal sync: %+v", r)
	}
}

func TestWhatCannotBeConnected(t *testing.T) {
	b := newBench(t)
	kind := dirsync.Okta
	other, err := b.dirs.CreateDirectory(t.Context(), b.d.OrganizationID, dirsync.DirectoryInput{Type: &kind})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.s.Link(other, "", 0); fault.Code(err) != "not_google" {
		t.Errorf("a link of another type: %v", err)
	}
	link, off := b.link(b.d.ID, "", 0), false
	q, cookie := b.begin(link, "")
	b.update(dirsync.DirectoryInput{Active: &off})
	if _, _, err := b.s.Authorize(t.Context(), link, "", ""); fault.Code(err) != "not_found" {
		t.Errorf("a directory that is not active: %v", err)
	}
	if code := b.finish(q, cookie); code != "not_found" {
		t.Errorf("one that was deactivated meanwhile: %q", code)
	}
	on := true
	b.update(dirsync.DirectoryInput{Active: &on})
	b.w.Do(func() {
		b.w.Fail = func(path string, _ url.Values) (int, string) {
			if path == "users" {
				return http.StatusForbidden, "forbidden"
			}
			return 0, ""
		}
	})
	if code := b.finish(b.begin(b.link(b.d.ID, "", 0), "")); code != "not_administrator" {
		t.Errorf("somebody who is no administrator: %q", code)
	}
}
