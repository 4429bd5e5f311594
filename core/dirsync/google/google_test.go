package google_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/internal/googlefake"
	"github.com/portico-sso/portico/ports/directory"
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
	if st := b.state(); st.Error != "" || st.Customer != googlefake.Customer || !st.Next.Equal(b.now.Add(30*time.Minute)) || st.Result != r {
		t.Errorf("state %+v", st)
	}
	for _, o := range b.list(b.dirs.Users) {
		if o.Resource["userName"] != "ada@acme.example" {
			continue
		}
		got, err := json.Marshal(o.Resource)
		for _, want := range []string{
			`"active":true,"emails":[{"primary":true,"type":"work","value":"ada@acme.example"},{"type":"home","value":"home.ada@acme.example"}],"externalId":"u1"`,
			`"name":{"familyName":"Lovelace","givenName":"Ada"}`, `"urn:portico:params:scim:schemas:extension:google:2.0:User":{"orgUnitPath":"/Sales"}`,
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
	g := *b.directory().Google
	g.Groups, g.OrgUnits = groups, units
	b.update(dirsync.DirectoryInput{Google: &g})
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
	begin := func(browser string) (url.Values, string) {
		t.Helper()
		address, cookie, err := b.s.Authorize(t.Context(), b.d.ID, browser)
		if err != nil {
			t.Fatal(err)
		}
		return b.consent(address), cookie
	}
	finish := func(q url.Values, cookie string) string {
		return fault.Code(b.s.Finish(context.Background(), q.Get("state"), q.Get("code"), q.Get("error"), cookie))
	}
	q, cookie := begin("")
	if code := finish(q, ""); code != "another_browser" {
		t.Errorf("without the cookie: %q", code)
	}
	_, other := begin("")
	if code := finish(q, other); code != "another_browser" || other == cookie {
		t.Errorf("from another browser: %q", code)
	}
	if b.directory().Google != nil {
		t.Error("it is connected")
	}
	if code := finish(q, cookie); code != "" {
		t.Errorf("from the right browser: %q", code)
	}
	if code := finish(q, cookie); code != "invalid_state" {
		t.Errorf("again: %q", code)
	}
	for _, state := range []string{"", "guess", strings.Repeat("0", 64), `{"directoryId":"` + b.d.ID + `"}`} {
		if code := finish(url.Values{"state": {state}, "code": {"x"}}, cookie); code != "invalid_state" {
			t.Errorf("state %q: %q", state, code)
		}
	}
	q, same := begin(cookie)
	if same != cookie {
		t.Error("a second link in one browser forgets the first")
	}
	if code := finish(url.Values{"state": q["state"], "error": {"access_denied"}}, cookie); code != "access_denied" {
		t.Errorf("refused at Google: %q", code)
	}
	q, _ = begin(cookie)
	q.Set("code", "guess")
	if code := finish(q, cookie); code != "access_denied" {
		t.Errorf("a wrong code: %q", code)
	}
	q, _ = begin(cookie)
	b.now = b.now.Add(16 * time.Minute)
	if code := finish(q, cookie); code != "invalid_state" {
		t.Errorf("too late: %q", code)
	}
}

// TestAnotherWorkspace has somebody connect a workspace of his own to a directory that has one: its people stay.
func TestAnotherWorkspace(t *testing.T) {
	b := newBench(t)
	b.connect()
	before := *b.directory().Google
	b.w.Do(func() {
		for _, u := range b.w.Users {
			u["customerId"] = "C0evil"
		}
	})
	address, cookie, err := b.s.Authorize(t.Context(), b.d.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	q := b.consent(address)
	if code := fault.Code(b.s.Finish(t.Context(), q.Get("state"), q.Get("code"), "", cookie)); code != "another_workspace" {
		t.Errorf("got %q", code)
	}
	if b.directory().Google.RefreshToken != before.RefreshToken {
		t.Error("it is connected")
	}
}

func TestWhatCannotBeConnected(t *testing.T) {
	b := newBench(t)
	kind := dirsync.Okta
	other, err := b.dirs.CreateDirectory(t.Context(), b.d.OrganizationID, dirsync.DirectoryInput{Type: &kind})
	if err != nil {
		t.Fatal(err)
	}
	for directoryID, code := range map[string]string{other.ID: "not_google", "unknown": "not_found", "": "not_found"} {
		if _, _, err := b.s.Authorize(t.Context(), directoryID, ""); fault.Code(err) != code {
			t.Errorf("%q: %v, want %s", directoryID, err, code)
		}
	}
	address, cookie, err := b.s.Authorize(t.Context(), b.d.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	b.w.Do(func() {
		b.w.Fail = func(path string, _ url.Values) (int, string) {
			if path == "users" {
				return http.StatusForbidden, "forbidden"
			}
			return 0, ""
		}
	})
	q := b.consent(address)
	if code := fault.Code(b.s.Finish(t.Context(), q.Get("state"), q.Get("code"), "", cookie)); code != "not_administrator" {
		t.Errorf("somebody who is no administrator: %q", code)
	}
}
