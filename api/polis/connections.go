package polis

import (
	"context"
	"net/http"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/sso"
)

// Fields by which a body says which protocol it is about; their values do not matter (§1.1).
var (
	samlFields = []string{"rawMetadata", "encodedRawMetadata", "metadataUrl", "isSAML"}
	oidcFields = []string{"oidcDiscoveryUrl", "oidcMetadata", "isOIDC"}
)

var errStrategy = invalid("Missing SSO connection params")

func invalid(message string) *fault.Error { return fault.New(fault.Invalid, "invalid", message) }

// list serves GET /api/v1/sso.
func (h *handler) list(r *http.Request, p params) (answer, error) {
	found, err := h.find(r.Context(), p)
	if err != nil {
		return answer{}, err
	}
	if p.text("sort") == "true" {
		sso.SortForChooser(found)
	}
	return answer{http.StatusOK, listedAll(found)}, nil
}

// exists serves GET /api/v1/sso/exists and its legacy path.
func (h *handler) exists(r *http.Request, p params) (answer, error) {
	found, err := h.find(r.Context(), p)
	switch {
	case err != nil:
		return answer{}, err
	case len(found) == 0:
		return answer{http.StatusNotFound, struct{}{}}, nil
	}
	return answer{http.StatusNoContent, nil}, nil
}

// byProduct serves GET /api/v1/sso/product.
func (h *handler) byProduct(r *http.Request, p params) (answer, error) {
	product := p.text("product")
	if product == "" {
		return answer{}, invalid("Please provide a `product`.")
	}
	project, err := h.Projects.BySlug(r.Context(), product)
	if fault.Is(err, fault.NotFound) {
		return answer{http.StatusOK, []record{}}, nil
	}
	if err != nil {
		return answer{}, err
	}
	offset, limit := p.page()
	found, err := h.SSO.PageByProject(r.Context(), project.ID, offset, limit)
	return answer{http.StatusOK, listedAll(found)}, err
}

// post serves POST /api/v1/sso. Where a body names both protocols, SAML wins.
func (h *handler) post(r *http.Request, p params) (answer, error) {
	switch {
	case p.has(samlFields...):
		return h.create(r.Context(), p)
	case p.has(oidcFields...):
		return h.createOIDC(r.Context(), p)
	}
	return answer{}, errStrategy
}

func (h *handler) create(ctx context.Context, p params) (answer, error) {
	in, err := readInput(p)
	if err != nil {
		return answer{}, err
	}
	if err := in.check(samlParams); err != nil {
		return answer{}, err
	}
	if in.connection.IdentityProvider, err = h.SSO.ReadMetadata(ctx, in.metadata); err != nil {
		return answer{}, err
	}
	return h.put(ctx, in)
}

// put makes the connection, and its tenant and product where they are new.
func (h *handler) put(ctx context.Context, in input) (answer, error) {
	if err := sso.Validate(in.connection); err != nil { // before anything is made
		return answer{}, err
	}
	project, err := h.Projects.Ensure(ctx, in.product)
	if err != nil {
		return answer{}, err
	}
	organization, err := h.Organizations.Ensure(ctx, project.ID, in.tenant)
	if err != nil {
		return answer{}, err
	}
	c, err := h.SSO.Put(ctx, organization.ID, in.connection, true)
	return answer{http.StatusOK, recordOf(c)}, err
}

// patch serves PATCH /api/v1/sso.
func (h *handler) patch(r *http.Request, p params) (answer, error) {
	var c sso.Connection
	var err error
	switch {
	case p.has(samlFields...):
		c, err = h.updateSAML(r.Context(), p)
	case p.has(oidcFields...):
		c, err = h.updateOIDC(r.Context(), p)
	default:
		err = errStrategy
	}
	if err == nil && r.Header.Get("X-Polis-Return-Connection") == "true" {
		return answer{http.StatusOK, listed(c)}, nil
	}
	return answer{http.StatusNoContent, nil}, err
}

// delete serves DELETE /api/v1/sso.
func (h *handler) delete(r *http.Request, p params) (answer, error) {
	return answer{http.StatusNoContent, nil}, h.remove(r.Context(), p, p.text("strategy"))
}

func (h *handler) remove(ctx context.Context, p params, strategy string) error {
	var clientID, clientSecret, tenant, product string
	err := p.texts(map[string]*string{"clientID": &clientID, "clientSecret": &clientSecret, "tenant": &tenant, "product": &product})
	switch {
	case err != nil:
		return err
	case clientID != "" && clientSecret != "":
		return h.removeOne(ctx, clientID, clientSecret)
	case tenant != "" && product != "":
		found, err := h.ofTenant(ctx, product, tenant)
		if err != nil {
			return err
		}
		return h.removeAll(ctx, ofStrategy(found, strategy))
	}
	return invalid("Please provide `clientID` and `clientSecret` or `tenant` and `product`.")
}

func (h *handler) removeOne(ctx context.Context, clientID, clientSecret string) error {
	c, err := h.SSO.ByClientID(ctx, clientID)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case !id.Equal(c.ClientSecret, clientSecret):
		return errSecret
	}
	return h.removeAll(ctx, []sso.Connection{c})
}

func (h *handler) removeAll(ctx context.Context, connections []sso.Connection) error {
	for _, c := range connections {
		if err := h.SSO.Delete(ctx, c.ID); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}
