package app

import (
	"github.com/go-chi/chi/v5"

	"github.com/portico-sso/portico/adapters/oidc"
	"github.com/portico-sso/portico/adapters/outbound"
	"github.com/portico-sso/portico/api/middleware"
	apioauth "github.com/portico-sso/portico/api/oauth"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
)

// newOIDC makes the relying party of customers' OpenID providers, over a guarded client.
func newOIDC(c Config, o options) federation.OIDC {
	client := outbound.New(outbound.Options{AllowPrivate: c.AllowPrivateNetworks})
	return oidc.New(oidc.Options{Fetch: client, Send: client, Now: o.now})
}

// mountUpstream mounts what OpenID providers need of us. The callbacks take GET alone, not even HEAD: an answer is taken once.
func mountUpstream(r chi.Router, h *apioauth.Handler) {
	for _, path := range []string{sso.OIDCCallbackPath, sso.OIDCSharedCallbackPath, sso.OIDCOwnCallbackPath("{organization}", "{connection}")} {
		r.HandleFunc(path, h.MethodNotAllowed("GET")) // first, as in mountOAuth
		r.Get(path, h.AnswerOIDC)
	}
	open := r.With(middleware.CORS("GET, HEAD, OPTIONS"))
	open.Get(sso.ClientKeysPath, h.ClientKeys)
	open.Options(sso.ClientKeysPath, h.ClientKeys)
}
