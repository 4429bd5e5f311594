package polis

import (
	"net/http"

	"github.com/portico-sso/portico/core/fault"
)

// maxProducts is how many products can be counted at once (§1.7).
const maxProducts = 50

// counts are how many there are of what a client of Polis knows. There is no identity federation.
type counts struct {
	SSO        int64 `json:"sso_connections"`
	Directory  int64 `json:"dsync_connections"`
	Federation int64 `json:"identity_federation_apps"`
}

// stats serves GET /api/v1/stats.
func (h *handler) stats(r *http.Request, _ params) (answer, error) {
	var c counts
	err := h.count(r, "", "", &c)
	return data(c), err
}

// count adds what a project has of a type, "" for all types; the project "" stands for all.
func (h *handler) count(r *http.Request, projectID, only string, c *counts) error {
	if only == "" || only == "sso" {
		n, err := h.SSO.CountByProject(r.Context(), projectID)
		if err != nil {
			return err
		}
		c.SSO += n
	}
	if only == "" || only == "dsync" {
		n, err := h.Directories.CountProjectDirectories(r.Context(), projectID)
		if err != nil {
			return err
		}
		c.Directory += n
	}
	return nil
}

// productStats serves POST /api/v1/stats/product: a product that is named twice counts once.
func (h *handler) productStats(r *http.Request, p params) (answer, error) {
	if p["products"] == nil || p["products"] == "" {
		return answer{}, invalid("Missing products")
	}
	products, isList := p["products"].([]any)
	switch {
	case !isList:
		return answer{}, invalid("Products must be an array")
	case len(products) > maxProducts:
		return answer{}, invalid("Products must not exceed 50")
	}
	var c counts
	seen := map[string]bool{}
	for _, product := range products {
		slug, _ := product.(string)
		if slug == "" || seen[slug] {
			continue
		}
		seen[slug] = true
		owner, err := h.Projects.BySlug(r.Context(), slug)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err == nil {
			err = h.count(r, owner.ID, p.text("type"), &c)
		}
		if err != nil {
			return answer{}, err
		}
	}
	return data(c), nil
}
