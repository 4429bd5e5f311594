package identity_test

import (
	"encoding/json"
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
