package dirsync_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/ports/mapping"
	"github.com/portico-sso/portico/ports/store"
)

const deactivate = `[{"op":"replace","path":"active","value":false}]`

func TestUserLifecycle(t *testing.T) {
	w := newWorld(t)
	u := w.create("ada")
	i, err := w.identities.Get(w.ctx, u.ID)
	if err != nil || !i.Active || i.DirectoryID != w.d.ID || !strings.Contains(string(i.Traits), `"email":"ada@example.com","firstName":"G"`) {
		t.Fatalf("identity %+v, %v", i, err)
	}
	if c := w.patch(u.ID, `[{"op":"replace","path":"active","value":true}]`); c.Done || c.Version != 1 {
		t.Errorf("what is already: %+v", c)
	}
	if c := w.patch(u.ID, deactivate); !c.Done || c.Version != 2 {
		t.Errorf("deactivated: %+v", c)
	}
	off, err := w.identities.Get(w.ctx, u.ID)
	if err != nil || off.Active || off.Epoch != i.Epoch+1 {
		t.Errorf("deactivated: %+v, %v", off, err)
	}
	_, err = w.directories.PatchUser(w.ctx, w.d, u.ID, w.ops(deactivate), dirsync.Match{1})
	w.refused(err, fault.Conflict, "version_mismatch")

	again := w.create("ada") // Okta: POST of a known user who is inactive
	if !again.Adopted || again.ID != u.ID || again.Version != 3 {
		t.Errorf("taken up again: %+v", again)
	}
	r := w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"ADA","active":true}`)
	_, err = w.directories.CreateUser(w.ctx, w.d, r)
	w.refused(err, fault.Taken, identity.Uniqueness)
	must(t, w.directories.DeleteUser(w.ctx, w.d, u.ID, nil))
	_, err = w.directories.User(w.ctx, w.d, u.ID, false)
	w.refused(err, fault.NotFound, "not_found")
	_, err = w.identities.Get(w.ctx, u.ID)
	w.refused(err, fault.NotFound, "not_found")
	same(t, "events", about(w.told(), u.ID), []string{"IdentityCreated user.created", "IdentityUpdated user.updated",
		"IdentityUpdated user.updated", "IdentityDeleted user.deleted"})
	if _, ended := w.ended.Load(u.ID); !ended {
		t.Error("the sessions go on")
	}
	if anew := w.create("ada"); anew.ID == u.ID || anew.Adopted {
		t.Errorf("behind the end: %+v", anew)
	}
}

func TestKnownExternalID(t *testing.T) {
	w := newWorld(t)
	u := w.create("ada")
	w.patch(u.ID, deactivate)
	renamed := w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"lovelace","externalId":"ext-ada","active":true}`)
	if c, err := w.directories.CreateUser(w.ctx, w.d, renamed); err != nil || c.ID != u.ID || !c.Adopted {
		t.Fatalf("known externalId: %+v, %v", c, err)
	}
	beside := w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"other","externalId":"ext-ada","active":true}`)
	if c, err := w.directories.CreateUser(w.ctx, w.d, beside); err != nil || c.ID == u.ID || c.Adopted {
		t.Errorf("externalId of one who is active: %+v, %v", c, err)
	}
}

func TestTenants(t *testing.T) {
	w := newWorld(t)
	other := w.directory(w.org, dirsync.DirectoryInput{})
	u, g := w.create("ada"), w.group("team")
	_, err := w.directories.User(w.ctx, other, u.ID, false)
	w.refused(err, fault.NotFound, "not_found")
	w.refused(w.directories.DeleteUser(w.ctx, other, u.ID, nil), fault.NotFound, "not_found")
	_, err = w.directories.Group(w.ctx, other, g.ID)
	w.refused(err, fault.NotFound, "not_found")
	_, err = w.directories.CreateGroup(w.ctx, other, w.groupBody("x", u.ID))
	w.refused(err, fault.Invalid, "invalid_member")
	page, err := w.directories.Users(w.ctx, other, dirsync.Query{Count: 10})
	if err != nil || page.Total != 0 {
		t.Errorf("another directory lists %+v, %v", page, err)
	}
	_, err = w.directories.CreateUser(w.ctx, other, w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"x","emails":[{"value":"ADA@example.com"}]}`))
	w.refused(err, fault.Taken, identity.Uniqueness)
}

func login(w *world, connection, subject, address string) (identity.Identity, error) {
	i, ops, err := w.identities.SignIn(w.ctx, identity.Login{ProjectID: w.org.ProjectID, OrganizationID: w.org.ID, ConnectionID: connection,
		Subject: subject, Address: address, Traits: json.RawMessage(`{"id":"` + subject + `"}`)})
	if err == nil {
		err = w.records.Commit(w.ctx, ops...)
	}
	return i, err
}

func TestSignInOfTheProvisioned(t *testing.T) {
	w := newWorld(t)
	u := w.create("ada")
	for _, c := range []struct{ connection, subject, address string }{
		{"c1", "ext-ada", ""}, {"c2", "ADA", ""}, {"c3", "opaque", "Ada@Example.com"}, {"c3", "opaque", ""},
	} {
		if i, err := login(w, c.connection, c.subject, c.address); err != nil || i.ID != u.ID {
			t.Errorf("%v: %s, %v", c, i.ID, err)
		}
	}
	i, err := w.identities.Get(w.ctx, u.ID)
	if err != nil || !strings.Contains(string(i.Traits), "ada@example.com") || !strings.Contains(string(i.Seen()), "opaque") {
		t.Errorf("a login overwrote what the directory says: %s, %s, %v", i.Traits, i.Seen(), err)
	}
	anybody, _, err := w.identities.SignIn(w.ctx, identity.Login{ProjectID: w.org.ProjectID, OrganizationID: w.org.ID, ConnectionID: "c4", Subject: "ext-ada", Foreign: true, Traits: json.RawMessage(`{}`)})
	if err != nil || anybody.ID == u.ID {
		t.Errorf("somebody of a provider of many tenants: %+v, %v", anybody, err)
	}
	if stranger, err := login(w, "c5", "unknown", "ada@elsewhere.example"); err != nil || stranger.ID == u.ID {
		t.Errorf("a stranger: %+v, %v", stranger, err)
	}
	w.patch(u.ID, deactivate)
	for _, subject := range []string{"ext-ada", "new"} {
		_, err := login(w, "c6", subject, "ada@example.com")
		w.refused(err, fault.Forbidden, "identity_inactive")
	}
	_, err = login(w, "c1", "ext-ada", "")
	w.refused(err, fault.Forbidden, "identity_inactive")
}

func TestAmbiguousSignIn(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		_, err := w.directories.CreateUser(w.ctx, w.d, w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"`+name+`","active":true,"emails":[{"value":"both@example.com"}]}`))
		must(t, err)
	}
	_, err := login(w, "c", "s", "both@example.com")
	w.refused(err, fault.Forbidden, "identity_ambiguous")
}

// TestSafeLinks holds issue 6, point 5: who signed in before is the same identity where the link is safe, and else 409.
func TestSafeLinks(t *testing.T) {
	for _, c := range []struct {
		name      string
		connected bool // the directory names the connection
		verified  bool
		subject   string
		address   string
		same      bool
		refused   bool
	}{
		{"the connection's subject", true, false, "ext-ada", "", true, false},
		{"the same subject of another connection", false, false, "ext-ada", "", false, true},
		{"the userName as subject of another connection", false, true, "ADA", "", false, true},
		{"an address in a verified domain", false, true, "s", "ada@example.com", true, false},
		{"an address in a domain that is not verified", false, false, "s", "ada@example.com", false, true},
		{"an address that is not believed", false, true, "s", "", false, false},
		{"both", true, true, "ext-ada", "ada@example.com", true, false},
		{"the subject, and the address in any domain", true, false, "ext-ada", "ada@example.com", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			before, err := login(w, "c", c.subject, c.address)
			must(t, err)
			if c.connected {
				connection := "c"
				w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{ConnectionID: &connection})
				must(t, err)
			}
			domain, err := w.organizations.AddDomain(w.ctx, w.org.ID, "Example.com")
			must(t, err)
			_, err = w.organizations.VerifyDomain(w.ctx, domain.ID, c.verified)
			must(t, err)
			r := w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"ada","externalId":"ext-ada","active":true,"emails":[{"value":"ada@example.com"}]}`)
			u, err := w.directories.CreateUser(w.ctx, w.d, r)
			if c.refused {
				w.refused(err, fault.Taken, identity.Uniqueness)
				return
			}
			if err != nil || (u.ID == before.ID) != c.same || u.Adopted != c.same {
				t.Fatalf("%s became %+v, %v", before.ID, u, err)
			}
			w.told()
		})
	}
}

func TestTwoCandidates(t *testing.T) {
	w := newWorld(t)
	domain, err := w.organizations.AddDomain(w.ctx, w.org.ID, "example.com")
	must(t, err)
	_, err = w.organizations.VerifyDomain(w.ctx, domain.ID, true)
	must(t, err)
	for _, connection := range []string{"c1", "c2"} {
		_, err := login(w, connection, "s", "ada@example.com")
		must(t, err)
	}
	_, err = w.directories.CreateUser(w.ctx, w.d, w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"ada@example.com"}`))
	w.refused(err, fault.Taken, identity.Uniqueness)
}

func TestVerifiedDomainIsOneOrganizations(t *testing.T) {
	w := newWorld(t)
	o, err := w.organizations.Create(w.ctx, w.org.ProjectID, organization.Input{})
	must(t, err)
	a, err := w.organizations.AddDomain(w.ctx, w.org.ID, "example.com")
	must(t, err)
	b, err := w.organizations.AddDomain(w.ctx, o.ID, "example.com")
	must(t, err)
	_, err = w.organizations.VerifyDomain(w.ctx, a.ID, true)
	must(t, err)
	_, err = w.organizations.VerifyDomain(w.ctx, b.ID, true)
	w.refused(err, fault.Taken, "taken")
	_, err = w.organizations.AddDomain(w.ctx, o.ID, "not a domain")
	w.refused(err, fault.Invalid, "invalid")
}

func TestPasswords(t *testing.T) {
	w := newWorld(t)
	r := w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"ada","active":true,"password":"correct horse"}`)
	u, err := w.directories.CreateUser(w.ctx, w.d, r)
	must(t, err)
	if _, shown := u.Resource["password"]; shown {
		t.Error("the password is shown")
	}
	if i, err := w.identities.CheckPassword(w.ctx, w.org.ID, "ADA", "correct horse"); err != nil || i.ID != u.ID {
		t.Errorf("the right password: %+v, %v", i, err)
	}
	for _, c := range [][2]string{{"ada", "wrong"}, {"eve", "correct horse"}, {"ada", ""}} {
		_, err := w.identities.CheckPassword(w.ctx, w.org.ID, c[0], c[1])
		w.refused(err, fault.Unauthenticated, "wrong_password")
	}
	w.connected = true
	_, err = w.identities.CheckPassword(w.ctx, w.org.ID, "ada", "correct horse")
	w.refused(err, fault.Forbidden, "passwords_off")
	_, err = w.organizations.ChangeSettings(w.ctx, w.org.ID, func(s *organization.Settings) { s.PasswordsBesideSSO = true })
	must(t, err)
	_, err = w.identities.CheckPassword(w.ctx, w.org.ID, "ada", "correct horse")
	must(t, err)
	w.patch(u.ID, `[{"op":"replace","path":"password","value":"another one"}]`)
	_, err = w.identities.CheckPassword(w.ctx, w.org.ID, "ada", "correct horse")
	w.refused(err, fault.Unauthenticated, "wrong_password")
	w.patch(u.ID, `[{"op":"replace","path":"title","value":"Countess"}]`) // which leaves it
	_, err = w.identities.CheckPassword(w.ctx, w.org.ID, "ada", "another one")
	must(t, err)
	w.patch(u.ID, deactivate)
	_, err = w.identities.CheckPassword(w.ctx, w.org.ID, "ada", "another one")
	w.refused(err, fault.Forbidden, "identity_inactive")
	for _, c := range []struct {
		patch string
		done  bool
	}{{`{"op":"replace","path":"active","value":true}`, true}, {`{"op":"remove","path":"password"}`, true}, {`{"op":"remove","path":"password"}`, false}} {
		if changed := w.patch(u.ID, "["+c.patch+"]"); changed.Done != c.done {
			t.Errorf("%s: done is %t", c.patch, changed.Done)
		}
	}
	_, err = w.identities.CheckPassword(w.ctx, w.org.ID, "ada", "another one")
	w.refused(err, fault.Unauthenticated, "wrong_password")
	must(t, w.directories.DeleteUser(w.ctx, w.d, u.ID, nil))
}

func TestMapping(t *testing.T) {
	w := newWorld(t)
	snippet := "x"
	var err error
	w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Mapping: &snippet})
	must(t, err)
	w.mapper = func(_ string, vars map[string]json.RawMessage) (json.RawMessage, error) {
		var in struct{ UserName string }
		must(t, json.Unmarshal(vars["scim"], &in))
		switch in.UserName {
		case "fails":
			return nil, &mapping.Error{Code: mapping.Runtime, Line: 4, Column: 2, Message: "oh"}
		case "busy":
			return nil, &mapping.Error{Code: mapping.Unavailable}
		case "odd":
			return json.RawMessage(`{"identity":{"traits":[]}}`), nil
		}
		return json.RawMessage(`{"identity":{"traits":{"name":"` + in.UserName + `"},"metadata_public":{"a":1},"active":false}}`), nil
	}
	i, err := w.identities.Get(w.ctx, w.create("ada").ID)
	if err != nil || string(i.Traits) != `{"name":"ada"}` || string(i.MetadataPublic) != `{"a":1}` || i.Active {
		t.Errorf("mapped to %+v, %v", i, err)
	}
	for name, want := range map[string]fault.Kind{"fails": fault.Invalid, "odd": fault.Invalid, "busy": fault.Unavailable} {
		_, err := w.directories.CreateUser(w.ctx, w.d, w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"`+name+`"}`))
		if !fault.Is(err, want) || name == "fails" && !strings.Contains(err.Error(), "4:2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := "bad"
	_, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Mapping: &bad})
	w.refused(err, fault.Invalid, "mapping_syntax")
}

// TestMappingSeesWhoItIs has a mapping use the id of a person who signed in before.
func TestMappingSeesWhoItIs(t *testing.T) {
	w := newWorld(t)
	snippet, connection := "x", "c"
	var err error
	w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Mapping: &snippet, ConnectionID: &connection})
	must(t, err)
	w.mapper = func(_ string, vars map[string]json.RawMessage) (json.RawMessage, error) {
		if strings.Contains(string(vars["scim"]), "password") || strings.Contains(string(vars["scim"]), "hunter2") {
			t.Errorf("the mapping sees the password: %s", vars["scim"])
		}
		var in struct{ ID string }
		must(t, json.Unmarshal(vars["scim"], &in))
		return json.RawMessage(`{"identity":{"traits":{"id":"` + in.ID + `"}}}`), nil
	}
	before, err := login(w, "c", "ext-ada", "")
	must(t, err)
	for _, name := range []string{"ada", "new"} {
		c, err := w.directories.CreateUser(w.ctx, w.d, w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"`+name+`","externalId":"ext-`+name+`","active":true,"password":"hunter2"}`))
		must(t, err)
		i, err := w.identities.Get(w.ctx, c.ID)
		if err != nil || string(i.Traits) != `{"id":"`+c.ID+`"}` || c.Adopted != (name == "ada") || c.Adopted != (c.ID == before.ID) {
			t.Errorf("%s: %+v of %+v, %v", name, i, c, err)
		}
		for _, e := range w.told() {
			if e.ResourceID == c.ID && e.Polis == events.PolisUserCreated && !strings.Contains(string(e.Data), c.ID) {
				t.Errorf("%s is told as %s", name, e.Data)
			}
		}
	}
}

func TestAuthenticate(t *testing.T) {
	w := newWorld(t)
	first := w.d.Secrets[0].Value
	may := func(ref dirsync.Ref, secret string) bool {
		t.Helper()
		w.now.Add(int64(2 * time.Second)) // behind the cache
		d, err := w.directories.Authenticate(w.ctx, ref, secret)
		if err != nil {
			w.refused(err, fault.Unauthenticated, "invalid_token")
		} else if d.ID != w.d.ID {
			t.Errorf("let in to %s", d.ID)
		}
		return err == nil
	}
	byID, byClient := dirsync.Ref{ID: w.d.ID}, dirsync.Ref{ProjectID: w.d.ProjectID, ClientID: w.d.ClientID}
	other := w.directory(w.org, dirsync.DirectoryInput{})
	if !may(byID, first) || !may(byClient, first) {
		t.Error("the right secret is refused")
	}
	for _, c := range []struct {
		ref    dirsync.Ref
		secret string
	}{{byID, ""}, {byID, first + "x"}, {byID, other.Secrets[0].Value}, {dirsync.Ref{ID: "nobody"}, first}, {dirsync.Ref{}, first},
		{dirsync.Ref{ProjectID: "p", ClientID: w.d.ClientID}, first}, {byID, "a directory that does not exist"}} {
		if may(c.ref, c.secret) {
			t.Errorf("%+v lets %q in", c.ref, c.secret)
		}
	}
	d, second, err := w.directories.RotateSecret(w.ctx, w.d.ID, time.Hour)
	must(t, err)
	if !may(byID, first) || !may(byID, second.Value) || len(d.Secrets) != 2 {
		t.Error("two secrets are not live at once")
	}
	_, _, err = w.directories.AddSecret(w.ctx, w.d.ID, "", time.Time{})
	w.refused(err, fault.Conflict, "too_many_secrets")
	w.now.Add(int64(2 * time.Hour))
	if may(byID, first) || !may(byID, second.Value) {
		t.Error("the old secret did not end, or the new one did")
	}
	_, third, err := w.directories.AddSecret(w.ctx, w.d.ID, "chosen-by-somebody", time.Time{})
	must(t, err)
	_, err = w.directories.RemoveSecret(w.ctx, w.d.ID, second.ID)
	must(t, err)
	if may(byID, second.Value) || !may(byID, third.Value) {
		t.Error("a removed secret is taken, or the other is not")
	}
	off, on := false, true
	_, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Active: &off})
	must(t, err)
	if may(byID, third.Value) {
		t.Error("an inactive directory lets requests in")
	}
	_, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Active: &on})
	must(t, err)
	_, err = w.organizations.ChangeSettings(w.ctx, w.org.ID, func(s *organization.Settings) { s.SCIMOff = true })
	must(t, err)
	w.now.Add(int64(2 * time.Second))
	_, err = w.directories.Authenticate(w.ctx, byID, third.Value)
	w.refused(err, fault.Forbidden, "scim_disabled")
	same(t, "events", about(w.told(), w.d.ID), []string{"DirectoryCreated dsync.created", "DirectoryDeactivated dsync.deactivated", "DirectoryActivated dsync.activated"})
}

func TestDirectories(t *testing.T) {
	w := newWorld(t)
	name := "acme-okta"
	d := w.directory(w.org, dirsync.DirectoryInput{ClientID: &name})
	_, err := w.directories.CreateDirectory(w.ctx, w.org.ID, dirsync.DirectoryInput{ClientID: &name})
	w.refused(err, fault.Taken, "taken")
	for _, bad := range []string{"", "a b", "a/b", "..", strings.Repeat("x", 101)} {
		_, err := w.directories.CreateDirectory(w.ctx, w.org.ID, dirsync.DirectoryInput{ClientID: &bad})
		w.refused(err, fault.Invalid, "invalid")
	}
	must(t, w.directories.DeleteDirectory(w.ctx, d.ID))
	w.directory(w.org, dirsync.DirectoryInput{ClientID: &name}) // it is free again
}

func TestDeleteDirectory(t *testing.T) {
	w := newWorld(t)
	var people []string
	for n := range 45 {
		people = append(people, w.create(fmt.Sprint("u", n)).ID)
	}
	g := w.group("team", people...)
	w.group("around", g.ID)
	secret := w.d.Secrets[0].Value
	must(t, w.directories.DeleteDirectory(w.ctx, w.d.ID))
	_, err := w.directories.Authenticate(w.ctx, dirsync.Ref{ID: w.d.ID}, secret)
	w.refused(err, fault.Unauthenticated, "invalid_token")
	all := w.told()
	for _, personID := range people {
		list := about(all, personID)
		if list[len(list)-1] != "IdentityDeleted user.deleted" {
			t.Errorf("%s: %v", personID, list)
		}
	}
	same(t, "events of the group", about(all, g.ID), []string{"GroupCreated group.created", "GroupDeleted group.deleted"})
	w.now.Add(int64(2 * time.Hour)) // names that nobody goes by are kept for a while
	for _, collection := range []string{"scim_users", "scim_groups", "scim_members", "identities", "identity_names", "directories"} {
		docs, err := w.records.Range(w.ctx, collection, storeRange)
		if err != nil || len(docs) > 0 {
			t.Errorf("%d documents are left of %s, %v", len(docs), collection, err)
		}
	}
}

// TestOrganizationGoesFirst has the people of an organization removed before the job that empties its directory.
func TestOrganizationGoesFirst(t *testing.T) {
	w := newWorld(t)
	w.group("team", w.create("ada").ID)
	must(t, w.directories.DeleteDirectory(w.ctx, w.d.ID))
	must(t, w.identities.DeleteAll(w.ctx, w.org.ID))
	w.told()
	for _, collection := range []string{"scim_users", "scim_groups", "scim_members", "directories"} {
		if n, err := w.records.Count(w.ctx, collection, storeRange); err != nil || n != 0 {
			t.Errorf("%d documents are left of %s, %v", n, collection, err)
		}
	}
}

// TestDirectoryLooksTwice has a request that was let in just before write between the looks of the job.
func TestDirectoryLooksTwice(t *testing.T) {
	w := newWorld(t)
	must(t, w.directories.DeleteDirectory(w.ctx, w.d.ID))
	meanwhile := func() {
		again := func() { w.create("late") } // behind the commit that begins the job, in the one that ends its first look
		w.backend.before.Store(&again)
	}
	w.backend.before.Store(&meanwhile)
	w.told()
	if n, err := w.records.Count(w.ctx, "identities", storeRange); err != nil || n != 0 {
		t.Errorf("%d people are left, %v", n, err)
	}
	if w.backend.before.Load() != nil {
		t.Error("nothing was written between the looks")
	}
}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	a, b := w.create("a").ID, w.create("b").ID
	g := w.group("Team", a)
	_, err := w.directories.CreateGroup(w.ctx, w.d, w.groupBody("TEAM"))
	w.refused(err, fault.Taken, identity.Uniqueness)
	if c := w.patchGroup(g.ID, `[{"op":"add","path":"members","value":[{"value":"`+a+`"}]}]`); c.Done || c.Version != 1 {
		t.Errorf("a member again: %+v", c)
	}
	if c := w.patchGroup(g.ID, `[{"op":"Add","path":"members","value":[{"value":"`+b+`"}]}]`); !c.Done || c.Version != 2 {
		t.Errorf("a new member: %+v", c)
	}
	u, err := w.directories.User(w.ctx, w.d, b, false)
	must(t, err)
	same(t, "groups of b", u.Resource["groups"], []any{map[string]any{"value": g.ID, "display": "Team", "type": "direct"}})
	if u.Version != 1 {
		t.Errorf("a membership raised the user's version to %d", u.Version)
	}
	if c := w.patchGroup(g.ID, `[{"op":"remove","path":"members[value eq \"`+a+`\"]"}]`); !c.Done {
		t.Errorf("removal by filter: %+v", c)
	}
	same(t, "members", w.members(g.ID), []string{b})
	if c := w.patchGroup(g.ID, `[{"op":"remove","path":"members[value eq \"`+a+`\"]"}]`); c.Done {
		t.Errorf("removal of nobody: %+v", c)
	}
	if _, err := w.directories.ReplaceGroup(w.ctx, w.d, g.ID, w.groupBody("New", a), dirsync.Match{99}); !fault.Is(err, fault.Conflict) {
		t.Errorf("another version: %v", err)
	}
	c, err := w.directories.ReplaceGroup(w.ctx, w.d, g.ID, w.groupBody("New", a), nil)
	if err != nil || !c.Done || c.Resource["displayName"] != "New" {
		t.Errorf("replaced: %+v, %v", c, err)
	}
	same(t, "members", w.members(g.ID), []string{a})
	if c := w.patchGroup(g.ID, `[{"op":"remove","path":"members[type eq \"User\"]"}]`); !c.Done {
		t.Errorf("removal by type: %+v", c)
	}
	same(t, "members", w.members(g.ID), []string{})
	_, err = w.directories.PatchGroup(w.ctx, w.d, g.ID, w.ops(`[{"op":"add","path":"members","value":[{"value":"nobody"}]}]`), nil)
	w.refused(err, fault.Invalid, "invalid_member")
	must(t, w.directories.DeleteGroup(w.ctx, w.d, g.ID, nil))
	all := w.told()
	same(t, "events of the group", about(all, g.ID), []string{"GroupCreated group.created", "GroupUpdated group.updated", "GroupUpdated group.updated",
		"GroupUpdated group.updated", "GroupUpdated group.updated", "GroupDeleted group.deleted"})
	if list := about(all, a); !slices.Contains(list, " group.user_added") || !slices.Contains(list, "IdentityUpdated group.user_removed") {
		t.Errorf("events of a: %v", list)
	}
}

func TestExternalIDOfGroups(t *testing.T) {
	w := newWorld(t)
	r := w.groupBody("a")
	r["externalId"] = "x"
	_, err := w.directories.CreateGroup(w.ctx, w.d, r)
	must(t, err)
	other := w.directory(w.org, dirsync.DirectoryInput{})
	_, err = w.directories.CreateGroup(w.ctx, other, r)
	w.refused(err, fault.Taken, identity.Uniqueness)
}

func TestNesting(t *testing.T) {
	w := newWorld(t)
	u := w.create("u").ID
	inner := w.group("inner", u)
	middle := w.group("middle", inner.ID)
	outer := w.group("outer", middle.ID)
	for _, id := range []string{outer.ID, middle.ID, inner.ID} {
		_, err := w.directories.PatchGroup(w.ctx, w.d, inner.ID, w.ops(`[{"op":"add","path":"members","value":[{"value":"`+id+`"}]}]`), nil)
		w.refused(err, fault.Invalid, "cycle")
	}
	around, err := w.directories.GroupsOf(w.ctx, w.d, u, true)
	must(t, err)
	direct, err := w.directories.GroupsOf(w.ctx, w.d, u, false)
	must(t, err)
	if len(around) != 3 || len(direct) != 1 {
		t.Errorf("in %d groups, %d directly", len(around), len(direct))
	}
	var inside []string
	must(t, w.directories.EffectiveMembers(w.ctx, w.d, outer.ID, func(list []dirsync.Member) error {
		for _, m := range list {
			inside = append(inside, m.Value)
		}
		return nil
	}))
	same(t, "effective members", inside, []string{u})
	must(t, w.directories.DeleteGroup(w.ctx, w.d, middle.ID, nil))
	same(t, "members of outer", w.members(outer.ID), []string{})
}

// TestCycleByTwo has two requests, each of which alone is fine, close a cycle together, through a group that neither of them
// writes: the one that comes second must be refused.
func TestCycleByTwo(t *testing.T) {
	for _, warm := range []bool{false, true} { // without and with the guard's document
		w := newWorld(t)
		if warm {
			w.patchGroup(w.group("x").ID, `[{"op":"add","path":"members","value":[{"value":"`+w.group("y").ID+`"}]}]`)
		}
		inner, outer := w.group("inner"), w.group("outer")
		middle := w.group("middle", inner.ID)
		add := func(to, member string) error {
			_, err := w.directories.PatchGroup(w.ctx, w.d, to, w.ops(`[{"op":"add","path":"members","value":[{"value":"`+member+`"}]}]`), nil)
			return err
		}
		meanwhile := func() { must(t, add(inner.ID, outer.ID)) }
		w.backend.before.Store(&meanwhile)
		w.refused(add(outer.ID, middle.ID), fault.Invalid, "cycle")
	}
}

// TestDeletedMeanwhile has a user deleted while a request adds them to a group: no membership is left of them.
func TestDeletedMeanwhile(t *testing.T) {
	w := newWorld(t)
	u, g := w.create("ada"), w.group("team")
	meanwhile := func() { must(t, w.directories.DeleteUser(w.ctx, w.d, u.ID, nil)) }
	w.backend.before.Store(&meanwhile)
	_, err := w.directories.PatchGroup(w.ctx, w.d, g.ID, w.ops(`[{"op":"add","path":"members","value":[{"value":"`+u.ID+`"}]}]`), nil)
	w.refused(err, fault.Invalid, "invalid_member")
	same(t, "members", w.members(g.ID), []string{})
}

// TestNameGoesAndComesMeanwhile has a name given up, and taken by somebody else, while a request is about to take it, too: the
// three are three, and each is found.
func TestNameGoesAndComesMeanwhile(t *testing.T) {
	w := newWorld(t)
	other := w.directory(w.org, dirsync.DirectoryInput{})
	body := w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"ada"}`)
	first, err := w.directories.CreateUser(w.ctx, w.d, body)
	must(t, err)
	var second dirsync.Changed
	meanwhile := func() {
		must(t, w.directories.DeleteUser(w.ctx, w.d, first.ID, nil))
		second, err = w.directories.CreateUser(w.ctx, w.d, body)
		must(t, err)
	}
	w.backend.before.Store(&meanwhile)
	third, err := w.directories.CreateUser(w.ctx, other, body)
	must(t, err)
	for _, d := range []struct{ directory, person string }{{w.d.ID, second.ID}, {other.ID, third.ID}} {
		found, err := w.identities.Named(w.ctx, w.org.ID, d.directory, "Ada")
		if err != nil || !slices.Equal(found, []string{d.person}) {
			t.Errorf("%v, %v, want %s", found, err, d.person)
		}
	}
}

// TestNestedMeanwhile has a group join another one while a request deletes it: no membership is left of it.
func TestNestedMeanwhile(t *testing.T) {
	for _, warm := range []bool{false, true} { // without and with the guard's document
		w := newWorld(t)
		if warm {
			w.group("x", w.group("y").ID)
		}
		outer := w.group("outer")
		for how, join := range map[string]func(id string){
			"patched": func(id string) {
				w.patchGroup(outer.ID, `[{"op":"add","path":"members","value":[{"value":"`+id+`"}]}]`)
			},
			"created": func(id string) { w.group("around", id) },
		} {
			inner := w.group("inner").ID
			meanwhile := func() { join(inner) }
			w.backend.before.Store(&meanwhile)
			must(t, w.directories.DeleteGroup(w.ctx, w.d, inner, nil))
			around, err := w.records.Count(w.ctx, "scim_members", store.Range{Index: "by_member", Eq: []string{inner}})
			if err != nil || around != 0 {
				t.Errorf("%s, with a guard %t: %d memberships are left, %v", how, warm, around, err)
			}
		}
	}
}

// TestRemovedByKind has a PATCH add members of whom it does not say what they are, and remove all of one kind.
func TestRemovedByKind(t *testing.T) {
	w := newWorld(t)
	user, inner, g := w.create("ada").ID, w.group("inner").ID, w.group("team")
	w.patchGroup(g.ID, `[{"op":"add","path":"members","value":[{"value":"`+user+`"},{"value":"`+inner+`"}]},{"op":"remove","path":"members[type eq \"User\"]"}]`)
	same(t, "members", w.members(g.ID), []string{inner})
}

// TestProvisionedMeanwhile has a person sign in for the first time while they are provisioned: they are one identity.
func TestProvisionedMeanwhile(t *testing.T) {
	for _, c := range []struct{ subject, address string }{{"s", "ada@example.com"}, {"ext-ada", ""}, {"Ada", ""}} {
		w := newWorld(t)
		var created dirsync.Changed
		meanwhile := func() { created = w.create("ada") }
		w.backend.before.Store(&meanwhile)
		in := identity.Login{ProjectID: w.org.ProjectID, OrganizationID: w.org.ID, ConnectionID: "c", Subject: c.subject, Address: c.address, Traits: json.RawMessage(`{}`)}
		_, ops, err := w.identities.SignIn(w.ctx, in)
		must(t, err)
		if err := w.records.Commit(w.ctx, ops...); !identity.SignInRaced(err) {
			t.Fatalf("the login %+v does not meet the directory: %v", c, err)
		}
		if i, err := login(w, "c", c.subject, c.address); err != nil || i.ID != created.ID {
			t.Errorf("%+v again: %s, %v, want %s", c, i.ID, err, created.ID)
		}
	}
}

// TestRenamedToASubject has a directory give one of its people a name by which a connection knows somebody else.
func TestRenamedToASubject(t *testing.T) {
	w := newWorld(t)
	_, err := login(w, "c", "subject", "")
	must(t, err)
	u := w.create("ada")
	for _, name := range []string{"userName", "externalId"} {
		_, err := w.directories.PatchUser(w.ctx, w.d, u.ID, w.ops(`[{"op":"replace","path":"`+name+`","value":"Subject"}]`), nil)
		w.refused(err, fault.Taken, identity.Uniqueness)
	}
}

func TestParallel(t *testing.T) {
	w := newWorld(t)
	g := w.group("team")
	const many = 24
	var ids [many]string
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			ids[n] = w.create(fmt.Sprint("u", n)).ID
			for try := 0; ; try++ {
				_, err := w.directories.PatchGroup(w.ctx, w.d, g.ID, w.ops(`[{"op":"add","path":"members","value":[{"value":"`+ids[n]+`"}]}]`), nil)
				if err == nil {
					return
				}
				if !fault.Is(err, fault.Conflict) || try == 50 {
					t.Errorf("add: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	want := slices.Sorted(slices.Values(ids[:]))
	same(t, "members added at once", w.members(g.ID), want)
	var won atomic.Int64
	for range 8 {
		all.Go(func() {
			_, err := w.directories.CreateUser(w.ctx, w.d, w.read(scim.User, `{"schemas":["`+scim.UserURN+`"],"userName":"one","active":true}`))
			if err == nil {
				won.Add(1)
			} else {
				w.refused(err, fault.Taken, identity.Uniqueness)
			}
		})
	}
	all.Wait()
	same(t, "of eight with one userName", won.Load(), 1)
	w.told()
}

// TestRacingDirectories has two directories of an organization provision one address at once: one person comes of it.
func TestRacingDirectories(t *testing.T) {
	w := newWorld(t)
	other := w.directory(w.org, dirsync.DirectoryInput{})
	for round := range 20 {
		var won atomic.Int64
		var all sync.WaitGroup
		for _, d := range []dirsync.Directory{w.d, other} {
			all.Go(func() {
				_, err := w.directories.CreateUser(w.ctx, d, w.read(scim.User, fmt.Sprintf(`{"schemas":["%s"],"userName":"p%d@example.com"}`, scim.UserURN, round)))
				if err == nil {
					won.Add(1)
				} else {
					w.refused(err, fault.Taken, identity.Uniqueness)
				}
			})
		}
		all.Wait()
		same(t, "of two directories", won.Load(), 1)
	}
}

// TestLostAnswers loses every third answer of the database: what is acknowledged is there, and has its events once.
func TestLostAnswers(t *testing.T) {
	w := newWorld(t)
	w.backend.lose.Store(3)
	var ids []string
	for n := range 20 {
		ids = append(ids, w.create(fmt.Sprint("u", n)).ID)
	}
	g := w.group("team")
	for _, userID := range ids {
		w.patchGroup(g.ID, `[{"op":"add","path":"members","value":[{"value":"`+userID+`"}]}]`)
		w.patch(userID, `[{"op":"replace","path":"nickName","value":"x"}]`)
	}
	for _, userID := range ids[:10] {
		must(t, w.directories.DeleteUser(w.ctx, w.d, userID, nil))
	}
	w.backend.lose.Store(0)
	same(t, "members", w.members(g.ID), slices.Sorted(slices.Values(ids[10:])))
	page, err := w.directories.Users(w.ctx, w.d, dirsync.Query{Count: 100})
	if err != nil || page.Total != 10 {
		t.Errorf("%d users, %v", page.Total, err)
	}
	all := w.told()
	count := func(resourceID, event string) (n int) {
		for _, e := range about(all, resourceID) {
			if e == event {
				n++
			}
		}
		return n
	}
	for i, userID := range ids {
		same(t, "creations", count(userID, "IdentityCreated user.created"), 1)
		same(t, "joins", count(userID, "IdentityUpdated group.user_added"), 1)
		if i < 10 {
			same(t, "deletions", count(userID, "IdentityDeleted user.deleted"), 1)
		}
	}
	same(t, "changes of the group", count(g.ID, "GroupUpdated group.updated"), 20)
	if w.backend.lost.Load() < 20 {
		t.Errorf("only %d answers were lost", w.backend.lost.Load())
	}
}

// TestCosts holds how often a request asks the store: a read and a commit for a new user, and the same for one member of a
// group of any size.
func TestCosts(t *testing.T) {
	w := newWorld(t)
	cost := func(fn func()) (reads, commits int64) {
		r, c := w.backend.reads.Load(), w.backend.commits.Load()
		fn()
		return w.backend.reads.Load() - r, w.backend.commits.Load() - c
	}
	if r, c := cost(func() { w.create("first") }); r > 1 || c > 1 {
		t.Errorf("a new user: %d reads, %d commits", r, c)
	}
	var ids []string
	for n := range 300 {
		ids = append(ids, w.create(fmt.Sprint("u", n)).ID)
	}
	small, large := w.group("small"), w.group("large", ids...)
	add := func(groupID string, list ...string) func() {
		var values []string
		for _, userID := range list {
			values = append(values, `{"value":"`+userID+`"}`)
		}
		return func() {
			w.patchGroup(groupID, `[{"op":"add","path":"members","value":[`+strings.Join(values, ",")+`]}]`)
		}
	}
	one := w.create("one").ID
	r1, c1 := cost(add(small.ID, one))
	r2, c2 := cost(add(large.ID, one))
	if r1 != r2 || c1 != c2 || r1 > 4 || c1 != 1 {
		t.Errorf("one member: %d reads and %d commits in a small group, %d and %d in a large one", r1, c1, r2, c2)
	}
	if r, c := cost(add(small.ID, ids[:100]...)); r > 4 || c != 1 {
		t.Errorf("a hundred members: %d reads, %d commits", r, c)
	}
}

func TestLargeGroup(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for n := range 1000 {
		ids = append(ids, w.create(fmt.Sprint("u", n)).ID)
	}
	g := w.group("large", ids...)
	slices.Sort(ids)
	same(t, "members", len(w.members(g.ID)), 1000)
	_, err := w.directories.ReplaceGroup(w.ctx, w.d, g.ID, w.groupBody("large", append(slices.Clone(ids[:400]), "11111111-1111-7111-8111-111111111111")...), nil)
	w.refused(err, fault.Invalid, "invalid_member")
	same(t, "members behind a refusal", len(w.members(g.ID)), 1000)
	_, err = w.directories.ReplaceGroup(w.ctx, w.d, g.ID, w.groupBody("large", ids[300:]...), nil)
	must(t, err)
	same(t, "members", w.members(g.ID), ids[300:])
	again, err := w.directories.ReplaceGroup(w.ctx, w.d, g.ID, w.groupBody("large", ids[300:]...), nil)
	if err != nil || again.Done {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	around := w.group("around", g.ID)
	must(t, w.directories.DeleteGroup(w.ctx, w.d, g.ID, nil))
	_, err = w.directories.Group(w.ctx, w.d, g.ID)
	w.refused(err, fault.NotFound, "not_found")
	must(t, w.directories.EffectiveMembers(w.ctx, w.d, around.ID, func(list []dirsync.Member) error {
		t.Errorf("%d are in a group through one that is gone", len(list))
		return nil
	}))
	w.group("large") // the name is free
	all := w.told()
	u, err := w.directories.User(w.ctx, w.d, ids[500], false)
	if err != nil || u.Resource["groups"] != nil {
		t.Errorf("%v, %v", u.Resource, err)
	}
	list := about(all, ids[500])
	if list[len(list)-1] != "IdentityUpdated group.user_removed" {
		t.Errorf("events of a member: %v", list)
	}
	if n, err := w.records.Count(w.ctx, "scim_members", storeRange); err != nil || n != 0 {
		t.Errorf("%d memberships are left, %v", n, err)
	}
}

// TestLargePeople has members of whom a login said so much that few of them fit into one commit.
func TestLargePeople(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for n := range 6 {
		name := fmt.Sprint("u", n)
		ids = append(ids, w.create(name).ID)
		_, ops, err := w.identities.SignIn(w.ctx, identity.Login{ProjectID: w.org.ProjectID, OrganizationID: w.org.ID, ConnectionID: "c",
			Subject: name, Traits: json.RawMessage(`{"id":"` + strings.Repeat("x", 900<<10) + `"}`)})
		must(t, err)
		must(t, w.records.Commit(w.ctx, ops...))
	}
	g := w.group("team", ids...)
	slices.Sort(ids)
	same(t, "members", w.members(g.ID), ids)
	w.patchGroup(g.ID, `[{"op":"replace","path":"displayName","value":"New"}]`)
	w.told()
	must(t, w.directories.DeleteGroup(w.ctx, w.d, g.ID, nil))
	all := w.told()
	for _, userID := range ids {
		if list := about(all, userID); !slices.Contains(list, "IdentityUpdated user.updated") || list[len(list)-1] != "IdentityUpdated group.user_removed" {
			t.Errorf("events of a member: %v", list)
		}
	}
}

// Polis tells of a group that is gone behind those who left it, also where they are many: its clients forget a group with its members.
func TestPolisTellsOfALargeGroupLast(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for n := range 150 {
		ids = append(ids, w.create(fmt.Sprint("u", n)).ID)
	}
	g := w.group("large", ids...)
	w.told()
	must(t, w.directories.DeleteGroup(w.ctx, w.d, g.ID, nil))
	all := w.told()
	list := about(all, g.ID)
	same(t, "events of the group", list[len(list)-2:], []string{"GroupDeleted ", " group.deleted"})
	left := 0
	for _, e := range all {
		if e.Polis == events.PolisGroupUserRemoved && e.GroupID == g.ID {
			left++
		}
	}
	if last := all[len(all)-1]; left != 150 || last.Polis != events.PolisGroupDeleted {
		t.Errorf("%d left, and then %s", left, last.Polis)
	}
}

// A group that is as it was but for its members, and a person who is but for their groups, are no events of Polis's.
func TestEchoes(t *testing.T) {
	w := newWorld(t)
	a := w.create("a").ID
	g := w.group("team")
	w.patchGroup(g.ID, `[{"op":"add","path":"members","value":[{"value":"`+a+`"}]}]`)
	w.patchGroup(g.ID, `[{"op":"replace","path":"displayName","value":"New"}]`)
	polis := func(resourceID string) (list []string) {
		for _, e := range w.told() {
			if e.ResourceID == resourceID && !e.Echo {
				list = append(list, e.Polis)
			}
		}
		return list
	}
	same(t, "of the group", polis(g.ID), []string{"group.created", "group.updated"})
	same(t, "of the person", polis(a), []string{"user.created", "group.user_added"})
	for _, e := range w.told() {
		if e.ResourceID == g.ID && !strings.Contains(string(e.Data), `"members":[]`) {
			t.Errorf("raw of a group without members, which Polis has: %s", e.Data)
		}
	}
}

func TestAllMembersAreTold(t *testing.T) {
	w := newWorld(t)
	a, b := w.create("a").ID, w.create("b").ID
	g := w.group("team", a)
	before := len(about(w.told(), a))
	w.patchGroup(g.ID, `[{"op":"add","path":"members","value":[{"value":"`+b+`"}]}]`)
	if list := about(w.told(), a); len(list) != before+1 || list[before] != "IdentityUpdated user.updated" {
		t.Errorf("a member of a group that changed is told %v", list[before:])
	}
	quiet := true
	var err error
	w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Quiet: &quiet})
	must(t, err)
	w.patchGroup(g.ID, `[{"op":"remove","path":"members[value eq \"`+b+`\"]"}]`)
	if list := about(w.told(), a); len(list) != before+1 {
		t.Errorf("of a quiet directory %v", list[before:])
	}
}

func TestRequestLog(t *testing.T) {
	w := newWorld(t)
	must(t, w.directories.LogRequests(w.ctx, w.d, dirsync.Request{Method: "GET"}))
	hour := time.Hour
	var err error
	w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{LogFor: &hour})
	must(t, err)
	for n := range 3 {
		must(t, w.directories.LogRequests(w.ctx, w.d, dirsync.Request{Method: "POST", Path: "/Users", Status: 200 + n, Body: "b"}))
	}
	page, err := w.directories.Requests(w.ctx, w.d, false, 10, "")
	if err != nil || len(page.Items) != 3 || page.Items[0].Status != 202 {
		t.Errorf("log %+v, %v", page.Items, err)
	}
	large := dirsync.Request{Method: "POST", Path: "/" + strings.Repeat("\x01", 4<<10), Reason: strings.Repeat("\x01", 2<<10), Body: strings.Repeat(`"`, 32<<10)}
	must(t, w.directories.LogRequests(w.ctx, w.d, slices.Repeat([]dirsync.Request{large}, 120)...))
	w.now.Add(int64(2 * time.Hour))
	page, err = w.directories.Requests(w.ctx, w.d, false, 10, "")
	if err != nil || len(page.Items) != 0 {
		t.Errorf("the log outlives its time: %+v, %v", page.Items, err)
	}
}

func TestRedactBody(t *testing.T) {
	for body, want := range map[string]string{
		`{"userName":"a","password":"hunter2"}`:                                        `{"password":"[redacted]","userName":"a"}`,
		`{"Operations":[{"op":"replace","path":"Password","value":"hunter2"}]}`:        `{"Operations":[{"op":"replace","path":"Password","value":"[redacted]"}]}`,
		`{"Operations":[{"op":"replace","value":{"PASSWORD":"hunter2"}}]}`:             `{"Operations":[{"op":"replace","value":{"PASSWORD":"[redacted]"}}]}`,
		`{"Operations":[{"op":"add","path":"urn:x:User:password","VALUE":"hunter2"}]}`: `{"Operations":[{"VALUE":"[redacted]","op":"add","path":"urn:x:User:password"}]}`,
		`{"password":"hunter2`: `(not JSON)`, ``: ``,
		`{"filter":"title eq \"Secretary\""}`:                                               `{"filter":"title eq \"Secretary\""}`,
		`{"filter":"userName eq \"a\" and password eq \"hunter2\""}`:                        `{"filter":"[redacted]"}`,
		`{"displayName":"password=hunter2"}`:                                                `{"displayName":"[redacted]"}`,
		`{"urn:x:y:User":{"api_key":"hunter2","passwd":"hunter2","a":1}}`:                   `{"urn:x:y:User":{"a":1,"api_key":"[redacted]","passwd":"[redacted]"}}`,
		`{"Operations":[{"data":{"access-token":"hunter2"}},{"data":{"pwd":["hunter2"]}}]}`: `{"Operations":[{"data":{"access-token":"[redacted]"}},{"data":{"pwd":"[redacted]"}}]}`,
	} {
		if got := dirsync.RedactBody([]byte(body)); got != want || strings.Contains(got, "hunter2") {
			t.Errorf("%s is kept as %s", body, got)
		}
	}
}

// TestLogKeepsNoSecretOfAPath has clients put secrets where none belongs.
func TestLogKeepsNoSecretOfAPath(t *testing.T) {
	w := newWorld(t)
	hour := time.Hour
	var err error
	w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{LogFor: &hour})
	must(t, err)
	for path, want := range map[string]string{
		"/Users?count=1&filter=userName%20eq%20%22a%22": "/Users?count=1&filter=userName%20eq%20%22a%22",
		"/Users?filter=pass%77ord+eq+%22hunter2%22":     "/Users?filter=[redacted]",
		"/Users?access_token=hunter2&count=1":           "/Users?access_token=[redacted]&count=1",
		"/Users?passwd=hunter2;x&%zz=hunter2&a=%zz":     "/Users?passwd=[redacted]&[redacted]&a=[redacted]",
		"/Users?password:hunter2":                       "/Users?[redacted]",
	} {
		must(t, w.directories.ClearRequests(w.ctx, w.d))
		must(t, w.directories.LogRequests(w.ctx, w.d, dirsync.Request{Method: "GET", Path: path}))
		page, err := w.directories.Requests(w.ctx, w.d, false, 10, "")
		if err != nil || len(page.Items) != 1 || page.Items[0].Path != want {
			t.Errorf("%s is kept as %+v, %v", path, page.Items, err)
		}
	}
}

func TestSCIMErrorsPass(t *testing.T) {
	w := newWorld(t)
	u := w.create("ada")
	_, err := w.directories.PatchUser(w.ctx, w.d, u.ID, w.ops(`[{"op":"replace","path":"id","value":"x"}]`), nil)
	var refused *scim.Error
	if !errors.As(err, &refused) || refused.Status != 400 {
		t.Errorf("a client's mistake is answered with %v", err)
	}
}
