package identity_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/organization"
)

// provision is what a directory says of a person, committed.
func (w *world) provision(t *testing.T, p identity.Provision) (identity.Identity, error) {
	t.Helper()
	p.ProjectID, p.OrganizationID, p.Traits, p.Data = w.org.ProjectID, w.org.ID, json.RawMessage("{}"), json.RawMessage("{}")
	i, ops, told, err := w.people.Provision(t.Context(), p)
	if err == nil {
		err = w.records.Commit(t.Context(), append(ops, w.events.Outbox(w.org.ProjectID, told...))...)
	}
	return i, err
}

func (w *world) verify(t *testing.T, domain string) {
	t.Helper()
	d, err := w.organizations.AddDomain(t.Context(), w.org.ID, domain)
	must(t, err)
	_, err = w.organizations.VerifyDomain(t.Context(), d.ID, true)
	must(t, err)
}

// TestLookalikes holds that who has an address or subject that case rules of some language take for another one's is not them.
func TestLookalikes(t *testing.T) {
	for _, address := range []string{"alice@gıthub.com", "alice@gİthub.com", "alıce@github.com", "alice@git\u212aub.com", "ſalice@github.com",
		"alice@github.com.", "alice@github.com ", " alice@github.com", "alice+x@github.com", "аlice@github.com"} {
		w := newWorld(t)
		w.verify(t, "github.com")
		alice, err := w.provision(t, identity.Provision{ID: "alice", DirectoryID: "d", UserName: "salice@github.com", ExternalID: "alice",
			Addresses: []string{"alice@github.com", "salice@github.com", "alice@gitkub.com"}, Active: true})
		must(t, err)
		admins, err := w.people.Create(t.Context(), w.org.ID, identity.Input{Traits: json.RawMessage(`{"email":"admin@github.com"}`)})
		must(t, err)
		for _, subject := range []string{"new", address} {
			if i, err := w.login(t, "c", subject, address); err != nil || i.ID == alice.ID || i.ID == admins.ID {
				t.Errorf("%q as %q signs in as %+v, %v", address, subject, i, err)
			}
		}
	}
}

func TestPasswordsOfDeactivatedOrganization(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.people.Create(ctx, w.org.ID, identity.Input{UserName: ptr("ada"), Password: ptr("correct horse")})
	must(t, err)
	_, err = w.organizations.ChangeSettings(ctx, w.org.ID, func(s *organization.Settings) { s.PasswordsBesideSSO = true })
	must(t, err)
	_, err = w.organizations.Update(ctx, w.org.ID, organization.Input{Active: ptr(false)})
	must(t, err)
	_, err = w.people.CheckPassword(ctx, w.org.ID, "ada", "correct horse")
	refused(t, err, fault.Forbidden, "organization_inactive")
}

// TestAddressOfAnother has somebody of a directory give themselves an address that is the user name of somebody else there: that is
// who signs in by it. Of another directory it stays open who is who.
func TestAddressOfAnother(t *testing.T) {
	w := newWorld(t)
	hashed, err := w.people.Hash(t.Context(), "of the chief")
	must(t, err)
	chief, err := w.provision(t, identity.Provision{ID: "chief", DirectoryID: "d", UserName: "chief@example.com", ExternalID: "1", Active: true, Password: &hashed})
	must(t, err)
	hashed, err = w.people.Hash(t.Context(), "of the clerk")
	must(t, err)
	clerk, err := w.provision(t, identity.Provision{ID: "clerk", DirectoryID: "d", UserName: "clerk@example.com", ExternalID: "2", Active: true, Password: &hashed,
		Addresses: []string{"clerk@example.com", "chief@example.com"}})
	must(t, err)
	signed, err := w.people.CheckPassword(t.Context(), w.org.ID, "chief@example.com", "of the chief")
	if err != nil || signed.ID != chief.ID {
		t.Errorf("by password: %s, %v", signed.ID, err)
	}
	_, err = w.people.CheckPassword(t.Context(), w.org.ID, "chief@example.com", "of the clerk")
	refused(t, err, fault.Unauthenticated, "wrong_password")
	for _, active := range []bool{true, false} {
		_, err = w.people.SetActive(t.Context(), clerk.ID, active)
		must(t, err)
		if i, err := w.login(t, "c", fmt.Sprint("opaque of the chief", active), "chief@example.com"); err != nil || i.ID != chief.ID {
			t.Errorf("the clerk is active: %t: %s, %v", active, i.ID, err)
		}
	}
	_, err = w.provision(t, identity.Provision{ID: "other", DirectoryID: "other", UserName: "other", ExternalID: "subject of the chief", Active: true})
	must(t, err)
	_, err = w.login(t, "c", "subject of the chief", "chief@example.com")
	refused(t, err, fault.Forbidden, "identity_ambiguous")
	_, err = w.people.SetActive(t.Context(), chief.ID, false)
	must(t, err)
	_, err = w.login(t, "c", "another subject of the chief", "chief@example.com")
	refused(t, err, fault.Forbidden, "identity_inactive")
}
