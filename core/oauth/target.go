package oauth

import (
	"context"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/sso"
)

// target is the client of an authorization request and the connections it may sign in through: at least one,
// unless problem says why there is none.
type target struct {
	application *Application // nil for a Polis-style client
	connections []sso.Connection
	hinted      bool         // the request names the connection itself
	problem     *fault.Error // of an application's request, told at its redirect URI
}

// choose picks the connection, or reports that the person has to.
func (t target) choose(hint string) (sso.Connection, bool) {
	if t.hinted || hint != "" || len(t.connections) == 1 {
		return t.connections[0], true
	}
	var active []sso.Connection
	for _, c := range t.connections {
		if c.Active() {
			active = append(active, c)
		}
	}
	switch len(active) {
	case 0:
		return t.connections[0], true // refused as deactivated
	case 1:
		return active[0], true
	}
	return sso.Connection{}, false
}

// target finds the client and its connections, in the order of the Polis contract §2.1: tenant and product as
// parameters, or written into client_id, access_type, resource or scope; else the client_id is an application or a
// connection.
func (s *Service) target(ctx context.Context, q url.Values) (target, error) {
	clientID := q.Get("client_id")
	if id.IsUUID(clientID) {
		app, err := s.cachedApplication(ctx, clientID)
		if err == nil {
			return s.applicationTarget(ctx, app, q)
		}
		if !fault.Is(err, fault.NotFound) {
			return target{}, err
		}
	}
	if tenant, product, ok := tenantAndProduct(q); ok {
		found, err := s.SSO.CachedByTenant(ctx, tenant, product)
		if err == nil && !mayName(clientID, tenant, product, found) {
			return target{}, generic("client_mismatch")
		}
		return polisTarget(found, err, q.Get("idp_hint"))
	}
	switch clientID {
	case "", "undefined", "null":
		return target{}, fault.New(fault.Forbidden, "client_missing", "You need to specify client_id or tenant & product")
	}
	c, err := s.SSO.CachedByClientID(ctx, clientID)
	return polisTarget([]sso.Connection{c}, err, "")
}

// mayName reports whether a client_id may stand beside a tenant and a product with these connections. Most texts may,
// such as dummy. But one that names a client has to name this one: it becomes the audience of the id token and is believed
// at the token endpoint, so an administrator of one tenant could otherwise sign anybody in as a person of another.
func mayName(clientID, tenant, product string, connections []sso.Connection) bool {
	if t, p, ok := decodeTenant(clientID); ok {
		return t == tenant && p == product
	}
	digest, err := hex.DecodeString(clientID)
	return err != nil || len(digest) != digestBytes ||
		slices.ContainsFunc(connections, func(c sso.Connection) bool { return c.ClientID == clientID })
}

// digestBytes is the length of a RIPEMD-160 digest, which a connection's client id is.
const digestBytes = 20

func polisTarget(found []sso.Connection, err error, hint string) (target, error) {
	if fault.Is(err, fault.NotFound) {
		return target{}, generic("connection_not_found")
	}
	if err != nil {
		return target{}, err
	}
	if hint != "" {
		if found = hinted(found, hint); found == nil {
			return target{}, generic("connection_not_found")
		}
	}
	return target{connections: found, hinted: hint != ""}, nil
}

func hinted(list []sso.Connection, hint string) []sso.Connection {
	for _, c := range list {
		if c.ClientID == hint || c.ID == hint {
			return []sso.Connection{c}
		}
	}
	return nil
}

// tenantAndProduct reads the parameters, or the first place that holds both written as a query string.
func tenantAndProduct(q url.Values) (tenant, product string, ok bool) {
	if q.Get("tenant") != "" && q.Get("product") != "" {
		return q.Get("tenant"), q.Get("product"), true
	}
	places := []string{q.Get("client_id"), q.Get("access_type"), q.Get("resource")}
	for _, text := range append(places, strings.Fields(q.Get("scope"))...) {
		if tenant, product, ok = decodeTenant(text); ok {
			return tenant, product, true
		}
	}
	return "", "", false
}

// decodeTenant reads "tenant=a&product=b".
func decodeTenant(text string) (tenant, product string, ok bool) {
	if !strings.Contains(text, "=") || !strings.Contains(text, "&") {
		return "", "", false
	}
	values, err := url.ParseQuery(text)
	if err != nil || len(values["tenant"]) != 1 || len(values["product"]) != 1 {
		return "", "", false
	}
	tenant, product = values.Get("tenant"), values.Get("product")
	return tenant, product, tenant != "" && product != ""
}

// applicationTarget finds the organization's connections for an application: it names a connection (connection or
// idp_hint), an organization by id or slug (organization or tenant), or is of a project with just one organization.
func (s *Service) applicationTarget(ctx context.Context, app Application, q url.Values) (target, error) {
	t := target{application: &app}
	hint := firstOf(q, "connection", "idp_hint")
	found, err := s.applicationConnections(ctx, app, firstOf(q, "organization", "tenant"), hint)
	switch {
	case fault.Is(err, fault.NotFound):
		t.problem = invalidRequest("The project has no such organization or connection.")
		return t, nil
	case fault.Is(err, fault.Invalid):
		t.problem = fault.From(err)
		return t, nil
	case err != nil:
		return t, err
	}
	t.connections, t.hinted = found, hint != ""
	return t, nil
}

func (s *Service) applicationConnections(ctx context.Context, app Application, organization, hint string) ([]sso.Connection, error) {
	if organization == "" && hint != "" {
		return s.hintedConnection(ctx, app, hint)
	}
	organizationID, err := s.organizationOf(ctx, app, organization)
	if err != nil {
		return nil, err
	}
	found, err := s.SSO.CachedByOrganization(ctx, organizationID)
	if err != nil || hint == "" {
		return found, err
	}
	if found = hinted(found, hint); found == nil {
		return nil, fault.New(fault.NotFound, "not_found", "No such connection.")
	}
	return found, nil
}

func (s *Service) hintedConnection(ctx context.Context, app Application, hint string) ([]sso.Connection, error) {
	find := s.SSO.CachedByClientID
	if id.IsUUID(hint) {
		find = s.SSO.CachedByID
	}
	c, err := find(ctx, hint)
	if err == nil && c.ProjectID != app.ProjectID {
		err = fault.New(fault.NotFound, "not_found", "No such connection.")
	}
	return []sso.Connection{c}, err
}

func (s *Service) organizationOf(ctx context.Context, app Application, name string) (string, error) {
	return s.organizations.Get(app.ProjectID+" "+name, func() (string, error) {
		return s.findOrganization(ctx, app, name)
	})
}

func (s *Service) findOrganization(ctx context.Context, app Application, name string) (string, error) {
	if name == "" {
		page, err := s.Organizations.List(ctx, app.ProjectID, 1, "")
		if err != nil {
			return "", err
		}
		if len(page.Items) != 1 || page.More {
			return "", invalidRequest("Name the organization: add organization=<id or slug> to the request.")
		}
		return page.Items[0].ID, nil
	}
	if id.IsUUID(name) { // first: somebody may have chosen another organization's id as slug
		o, err := s.Organizations.Get(ctx, name)
		if err == nil && o.ProjectID == app.ProjectID || err != nil && !fault.Is(err, fault.NotFound) {
			return o.ID, err
		}
	}
	o, err := s.Organizations.BySlug(ctx, app.ProjectID, name)
	return o.ID, err
}

func (s *Service) cachedApplication(ctx context.Context, applicationID string) (Application, error) {
	return s.cached.Get(applicationID, func() (Application, error) {
		return s.Application(ctx, applicationID)
	})
}

func firstOf(q url.Values, names ...string) string {
	for _, name := range names {
		if v := q.Get(name); v != "" {
			return v
		}
	}
	return ""
}
