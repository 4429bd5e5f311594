package polis

import (
	"net/http"
)

// The legacy path /api/v1/saml/config knows SAML alone and needs no field that says so (§1.1).

func (h *handler) legacyGet(r *http.Request, p params) (answer, error) {
	selectors := params{}
	for _, name := range []string{"clientID", "tenant", "product"} {
		if p.has(name) {
			selectors[name] = p[name]
		}
	}
	found, err := h.find(r.Context(), selectors)
	switch {
	case err != nil:
		return answer{}, err
	case len(found) == 0:
		return answer{http.StatusOK, struct{}{}}, nil
	}
	return answer{http.StatusOK, recordOf(found[0])}, nil
}

func (h *handler) legacyPost(r *http.Request, p params) (answer, error) {
	return h.create(r.Context(), p)
}

func (h *handler) legacyPatch(r *http.Request, p params) (answer, error) {
	_, err := h.updateSAML(r.Context(), p)
	return answer{http.StatusNoContent, nil}, err
}

func (h *handler) legacyDelete(r *http.Request, p params) (answer, error) {
	return answer{http.StatusNoContent, nil}, h.remove(r.Context(), p, "saml")
}
