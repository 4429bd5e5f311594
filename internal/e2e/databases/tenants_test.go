package databases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// TestTenantsApart has 32 workers sign in people of three tenants at two instances, all interleaved. The tenants share a
// product or a name, and their people have the same ids. Nobody ever sees anything of another tenant, nobody gets in with
// what another one has, and everything is kept where it belongs.
func TestTenantsApart(t *testing.T) {
	each(t, func(t *testing.T, s setup) {
		env := settings(s.fresh(t))
		w := &world{t: t, all: serve(t, 2, env), tenants: []*tenant{
			newTenant(t, "crm", "acme.example"), newTenant(t, "crm", "globex.example"), newTenant(t, "hr", "acme.example"),
		}}
		w.found()
		var running sync.WaitGroup
		for range 32 {
			running.Go(func() {
				for range number(4, 40) {
					w.visit(t.Context(), w.tenants[rand.N(len(w.tenants))])
				}
			})
		}
		running.Wait()
		w.places(env)
	})
}

// people is how many people each tenant has.
const people = 8

type world struct {
	t       *testing.T
	all     []*instance
	tenants []*tenant
}

func (w *world) any() *instance { return w.all[rand.N(len(w.all))] }

// found makes the tenants' connections, and an application for each product.
func (w *world) found() {
	w.t.Helper()
	ctx, products := w.t.Context(), map[string]client{}
	for _, c := range w.tenants {
		if err := w.any().connect(ctx, c); err != nil {
			w.t.Fatal(err)
		}
		if _, ok := products[c.product]; !ok {
			data, err := w.any().graphql(ctx, `query($slug: String) {project(slug: $slug) {id}}`, map[string]any{"slug": c.product})
			if err != nil {
				w.t.Fatal(err)
			}
			data, err = w.any().graphql(ctx, `mutation($in: CreateApplicationInput!) {it: createApplication(input: $in) {application {id} secret errors {code}}}`,
				map[string]any{"in": map[string]any{"projectId": data["project"].(map[string]any)["id"], "name": c.product, "redirectUris": []string{callback}}})
			if err != nil {
				w.t.Fatal(err)
			}
			made := data["it"].(map[string]any)
			products[c.product] = client{made["application"].(map[string]any)["id"].(string), made["secret"].(string)}
		}
		c.web = products[c.product]
	}
}

// visit signs somebody in and looks around, or tries what must not work.
func (w *world) visit(ctx context.Context, c *tenant) {
	l := &login{tenant: c, web: rand.N(2) == 0, person: fmt.Sprint("person-", rand.N(people))}
	other := w.tenants[rand.N(len(w.tenants))]
	if err := l.begin(ctx, w.any()); err != nil {
		w.t.Errorf("%s: begin: %v", c.mark(), err)
		return
	}
	if other != c && rand.N(4) == 0 { // the other tenant's provider answers
		foreign := *l
		foreign.tenant = other
		if response, err := other.idp.Response(other.idp.Answer(l.request, other.person(l.person))); err != nil {
			w.t.Error(err)
		} else if foreign.response = response; !refused(foreign.finish(ctx, w.any())) {
			w.t.Errorf("the provider of %s signs somebody in at %s", other.mark(), c.mark())
		}
	}
	if err := l.finish(ctx, w.any()); err != nil {
		w.t.Errorf("%s: finish: %v", c.mark(), err)
		return
	}
	if other != c && (!l.web || other.web != c.web) && rand.N(4) == 0 {
		if err := l.redeemAs(ctx, w.any(), other); !refused(err) {
			w.t.Errorf("the client of %s redeems a code of %s: %v", other.mark(), c.mark(), err)
		}
		return // the code is burnt
	}
	if err := errors.Join(l.redeem(ctx, w.any()), l.check(ctx, w.any())); err != nil {
		w.t.Errorf("%s: %v", c.mark(), err)
	}
	w.lookAround(ctx, c)
}

// lookAround lists what the tenant has.
func (w *world) lookAround(ctx context.Context, c *tenant) {
	a, err := w.any().get(ctx, "/api/v1/sso?"+c.encoded(), "Authorization", "Api-Key "+adminKey)
	if err != nil {
		w.t.Errorf("%s: list: %v", c.mark(), err)
		return
	}
	var found []struct{ ClientID, Tenant, Product string }
	if err := json.Unmarshal(a.body, &found); err != nil || len(found) != 1 || found[0].ClientID != c.clientID ||
		found[0].Tenant != c.name || found[0].Product != c.product {
		w.t.Errorf("%s has the connections %v, %v", c.mark(), found, err)
	}
}

// places holds that each document names one tenant in all that it says: by its ids and by what the tenant's provider said.
func (w *world) places(env []string) {
	w.t.Helper()
	all := export(w.t, env)
	type place struct{ ID, ProjectID, OrganizationID, Product, Tenant, ClientID string }
	connections, owners := map[string]place{}, map[string]*tenant{} // by connection
	for _, d := range all["connections"] {
		var p place
		d.read(w.t, &p)
		connections[d.id] = p
		for _, c := range w.tenants {
			if c.clientID == p.ClientID {
				owners[d.id] = c
			}
		}
	}
	if len(connections) != len(w.tenants) || len(owners) != len(w.tenants) {
		w.t.Errorf("%d connections of %d tenants for %d", len(connections), len(owners), len(w.tenants))
	}
	byOrganization := map[string]string{}
	for id, p := range connections {
		byOrganization[p.OrganizationID] = id
	}
	holds := func(what string, d document, connection string, project, organization string) {
		w.t.Helper()
		p, owner := connections[connection], owners[connection]
		if owner == nil || p.ProjectID != project || p.OrganizationID != organization {
			w.t.Errorf("%s %s stands at %s, %s and %s", what, d.id, connection, project, organization)
			return
		}
		for _, c := range w.tenants {
			if strings.Contains(string(d.body), c.mark()) != (c == owner) {
				w.t.Errorf("%s %s of %s: what belongs to %s: %.200s", what, d.id, owner.mark(), c.mark(), d.body)
			}
		}
	}
	persons := map[string]map[string]bool{}
	for _, d := range all["identities"] {
		var i struct {
			ProjectID, OrganizationID string
			Traits                    struct{ ID string }
		}
		d.read(w.t, &i)
		connection := byOrganization[i.OrganizationID]
		holds("identity", d, connection, i.ProjectID, i.OrganizationID)
		if persons[connection] == nil {
			persons[connection] = map[string]bool{}
		}
		if persons[connection][i.Traits.ID] {
			w.t.Errorf("%s of %s is two identities", i.Traits.ID, owners[connection].mark())
		}
		persons[connection][i.Traits.ID] = true
	}
	for _, d := range all["identity_links"] {
		var l struct{ IdentityID, ConnectionID string }
		d.read(w.t, &l)
		for _, i := range all["identities"] {
			if i.id == l.IdentityID && !strings.Contains(string(i.body), connections[l.ConnectionID].OrganizationID) {
				w.t.Errorf("link %s leads from %s to %s", d.id, owners[l.ConnectionID].mark(), i.body)
			}
		}
	}
	for _, collection := range []string{"codes", "access_tokens"} {
		for _, d := range all[collection] {
			var c struct {
				Grant *struct{ ConnectionID, OrganizationID, ProjectID string }
			}
			d.read(w.t, &c)
			if c.Grant != nil {
				holds(collection, d, c.Grant.ConnectionID, c.Grant.ProjectID, c.Grant.OrganizationID)
			}
		}
	}
	w.t.Logf("%d identities, %d tokens of %d tenants", len(all["identities"]), len(all["access_tokens"]), len(w.tenants))
}
