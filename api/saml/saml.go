// Package saml serves what identity providers need to know of us: metadata, certificate and settings.
package saml

import (
	"net/http"
	"net/url"

	"github.com/portico-sso/portico/api/pages"
	"github.com/portico-sso/portico/core/sso"
)

// Handler serves the endpoints.
type Handler struct {
	SSO   *sso.Service
	Pages *pages.Pages
}

// Metadata serves GET /.well-known/sp-metadata?encryption=true&entityId=&acsUrl=&connection=.
func (h *Handler) Metadata(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	text, err := h.SSO.ServiceProviderMetadata(r.Context(), sso.MetadataRequest{
		ConnectionID: q.Get("connection"), EntityID: q.Get("entityId"), ACS: q.Get("acsUrl"),
		Encryption: q.Get("encryption") == "true",
	})
	if err != nil {
		h.Pages.Plain(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = w.Write(text)
}

// Certificate serves GET /.well-known/saml.cer.
func (h *Handler) Certificate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-x509-ca-cert")
	_, _ = w.Write(h.SSO.CertificatePEM())
}

// Settings serves GET /.well-known/saml-configuration?entityId=, the same for a person to copy from.
func (h *Handler) Settings(w http.ResponseWriter, r *http.Request) {
	settings := pages.SAMLSettings{
		ACS: h.SSO.ACS(sso.Connection{})[0], EntityID: h.SSO.EntityID,
		MetadataURL: h.SSO.PublicURL + "/.well-known/sp-metadata",
	}
	if entityID := r.URL.Query().Get("entityId"); entityID != "" {
		settings.EntityID = entityID
		settings.MetadataURL += "?" + url.Values{"entityId": {entityID}}.Encode()
	}
	h.Pages.SAMLSettings(w, r, settings)
}
