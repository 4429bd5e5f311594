package oauth

import (
	"net/http"
	"net/url"

	"github.com/portico-sso/portico/core/fault"
)

// AnswerOIDC serves GET of every callback of OpenID providers. Which one it was is part of what is checked, so its whole
// address goes on.
func (h *Handler) AnswerOIDC(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		h.Pages.Error(w, r, fault.New(fault.Invalid, "invalid_request", "The query of the request cannot be read."))
		return
	}
	out, err := h.OAuth.FinishOIDC(r.Context(), h.OAuth.Issuer+r.URL.Path, q)
	if err != nil {
		h.Pages.Error(w, r, err)
		return
	}
	h.Pages.Go(w, r, out)
}

// ClientKeys serves GET /oauth/client-jwks: the keys with which this service authenticates at OpenID providers.
func (h *Handler) ClientKeys(w http.ResponseWriter, _ *http.Request) {
	writePretty(w, map[string]any{"keys": h.OAuth.SSO.ClientKeys()})
}
