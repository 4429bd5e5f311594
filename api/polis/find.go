package polis

import (
	"context"

	"github.com/portico-sso/portico/core/fault"
	corerecord "github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/sso"
)

// find reads the connections that the selectors of GET name (§1.1), newest first; the first selector that is there
// counts.
func (h *handler) find(ctx context.Context, p params) ([]sso.Connection, error) {
	var entityID, clientID, tenant, product, strategy string
	single := map[string]*string{"entityId": &entityID, "clientID": &clientID, "product": &product, "strategy": &strategy}
	tenants, repeated := p.list("tenant")
	if !repeated {
		single["tenant"] = &tenant
	}
	err := p.texts(single)
	switch {
	case err != nil:
		return nil, err
	case entityID != "":
		return every(func(after string) (corerecord.Page[sso.Connection], error) {
			return h.SSO.ListByEntityID(ctx, entityID, 0, after)
		})
	case clientID != "":
		c, err := h.SSO.ByClientID(ctx, clientID)
		return noneOr([]sso.Connection{c}, err)
	case repeated && product != "":
		return h.ofTenants(ctx, product, tenants)
	case tenant != "" && product != "":
		found, err := h.ofTenant(ctx, product, tenant)
		return ofStrategy(found, strategy), err
	}
	return nil, invalid("Please provide `clientID` or `tenant` and `product`.")
}

// ofTenants joins the connections of several tenants; a tenant that is named twice counts once.
func (h *handler) ofTenants(ctx context.Context, product string, tenants []string) ([]sso.Connection, error) {
	var found []sso.Connection
	seen := map[string]bool{"": true}
	for _, tenant := range tenants {
		if seen[tenant] {
			continue
		}
		seen[tenant] = true
		connections, err := h.ofTenant(ctx, product, tenant)
		if err != nil {
			return nil, err
		}
		found = append(found, connections...)
	}
	return found, nil
}

// ofTenant reads all connections of one tenant of a product; an unknown one has none.
func (h *handler) ofTenant(ctx context.Context, product, tenant string) ([]sso.Connection, error) {
	project, err := h.Projects.BySlug(ctx, product)
	if err != nil {
		return noneOr(nil, err)
	}
	organization, err := h.Organizations.BySlug(ctx, project.ID, tenant)
	if err != nil {
		return noneOr(nil, err)
	}
	return every(func(after string) (corerecord.Page[sso.Connection], error) {
		return h.SSO.List(ctx, organization.ID, 0, after)
	})
}

// every reads a listing to its end: Polis stops silently after fifty, which loses connections (§11.3, 27).
func every[T any](next func(after string) (corerecord.Page[T], error)) ([]T, error) {
	var found []T
	for after := ""; ; {
		page, err := next(after)
		if err != nil {
			return nil, err
		}
		found = append(found, page.Items...)
		if !page.More {
			return found, nil
		}
		after = page.Cursors[len(page.Cursors)-1]
	}
}

func noneOr(found []sso.Connection, err error) ([]sso.Connection, error) {
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return found, err
}

// ofStrategy keeps the connections of a protocol; "" keeps all.
func ofStrategy(found []sso.Connection, strategy string) []sso.Connection {
	if strategy == "" {
		return found
	}
	var kept []sso.Connection
	for _, c := range found {
		if c.Protocol() == strategy {
			kept = append(kept, c)
		}
	}
	return kept
}
