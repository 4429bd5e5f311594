package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"

	"github.com/portico-sso/portico/api/middleware"
	apioauth "github.com/portico-sso/portico/api/oauth"
	"github.com/portico-sso/portico/api/pages"
	"github.com/portico-sso/portico/api/polis"
	"github.com/portico-sso/portico/api/rest"
	apisaml "github.com/portico-sso/portico/api/saml"
	apiscim "github.com/portico-sso/portico/api/scim"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/graph"
)

// newHandler mounts every way in.
func newHandler(c Config, o options, logger *slog.Logger, s *Services, own *rest.Handler, directories *apiscim.Handler, records Records, sessions Sessions) (http.Handler, error) {
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return nil, err
	}
	shown := &pages.Pages{Chooser: s.OAuth, Logger: logger, Base: public.Path, Secure: public.Scheme == "https", JSONErrors: c.PolisJSONErrorPage}
	admin, err := graph.New(graph.Services{Events: s.Events, Projects: s.Projects, Organizations: s.Organizations, SSO: s.SSO, OAuth: s.OAuth,
		Directories: s.Directories, Google: s.Google, Admin: s.Admin, Logger: logger, PublicURL: c.PublicURL})
	if err != nil {
		return nil, err
	}
	ofPolis := polis.New(polis.Services{SyncGoogle: s.Google.SyncSoon, GoogleLink: googleLink(s), Projects: s.Projects, Organizations: s.Organizations, SSO: s.SSO, Directories: s.Directories,
		Events: s.Events, Admin: s.Admin, Logger: logger, Now: o.now, PublicURL: c.PublicURL, WebhookBatch: c.PolisWebhookBatch})

	r := chi.NewRouter()
	r.Use(middleware.WithRequestID, middleware.Log(logger, c.TrustedProxies, o.now), middleware.Recover(logger), middleware.Headers,
		chimiddleware.GetHead) // what answers GET answers HEAD (RFC 9110 §9.1)
	r.NotFound(shown.NotFound)
	mountHealth(r, records, sessions)
	mountPages(r, shown, c.PublicURL)
	mountOAuth(r, &apioauth.Handler{OAuth: s.OAuth, Pages: shown, Logger: logger,
		Certificate: middleware.ClientCertificate(c.CertificateHeader, c.TrustedProxies)}, c, public)
	mountDevice(r, shown, s.OAuth, c, public)
	mountSAML(r, &apisaml.Handler{SSO: s.SSO, Pages: shown})
	directories.Mount(r)
	mountGoogle(r, s.Google, shown, c)
	r.Handle("/graphql", admin)
	r.Handle("/graphql/*", admin)
	mountREST(r, own)
	r.Handle("/api/*", ofPolis) // whatever is not open needs an API key
	var h http.Handler = r
	if o.wrap != nil {
		h = o.wrap(h)
	}
	return h, nil
}

func mountPages(r chi.Router, p *pages.Pages, publicURL string) {
	r.Get("/", p.Home)
	r.Get("/error", p.ErrorPage)
	r.HandleFunc("/api/error", func(w http.ResponseWriter, _ *http.Request) { // first, as in mountOAuth
		answer(w, http.StatusServiceUnavailable, map[string]string{})
	})
	r.Get("/api/error", p.ErrorJSON)
	r.Get(oauth.PathChooser, p.IdPSelect)
	for _, prefix := range wellKnown {
		r.Get(prefix, p.WellKnown)
		r.Get(prefix+"/oidc-configuration", p.OIDCSettings(publicURL+sso.OIDCCallbackPath))
	}
	r.Handle("/assets/*", http.StripPrefix("/assets", pages.Assets()))
}

func mountOAuth(r chi.Router, h *apioauth.Handler, c Config, public *url.URL) {
	// Whoever keeps something here, or guesses, is slowed down: a login under way takes up to 16 KiB for five minutes.
	browsers := middleware.NewThrottle(*c.RateLimit, clientAddress(c), h.TooManyByBrowser)
	clients := middleware.NewThrottle(*c.RateLimit, clientAddress(c), h.TooMany)
	guesses := middleware.NewThrottle(*c.RateLimit, clientAddress(c), h.TooMany)
	r.HandleFunc(oauth.PathAuthorize, h.MethodNotAllowed("GET, POST")) // first: it takes every verb not named after it
	r.With(browsers.Requests).Get(oauth.PathAuthorize, h.Authorize)
	r.With(browsers.Requests).Post(oauth.PathAuthorize, h.Authorize)
	for _, path := range []string{sso.ACSPath, sso.ACSPathAlias} {
		r.HandleFunc(path, h.MethodNotAllowed("POST"))
		r.Post(path, h.ConsumeSAML)
	}
	mountUpstream(r, h)
	mountSession(r, h, public)
	post := middleware.CORS("POST, OPTIONS")
	r.With(post, guesses.Refusals).HandleFunc(oauth.PathToken, h.Token)
	r.With(guesses.Refusals).HandleFunc(oauth.PathIntrospect, h.Introspect)
	r.With(post, guesses.Refusals).HandleFunc(oauth.PathRevoke, h.Revoke)
	r.With(post, clients.Requests).HandleFunc(oauth.PathRegister, h.Register)
	r.With(post, clients.Requests).HandleFunc(oauth.PathPush, h.Push)
	r.With(post, clients.Requests).HandleFunc(oauth.PathDeviceAuth, h.AuthorizeDevice)
	r.With(middleware.CORS("GET, POST, OPTIONS")).HandleFunc(oauth.PathUserinfo, h.Userinfo)
	const metadata = "/.well-known/oauth-authorization-server" // before the issuer's path (RFC 8414 §3)
	open := r.With(middleware.CORS("GET, HEAD, OPTIONS"))
	for path, serve := range map[string]http.HandlerFunc{
		oauth.PathJWKS: h.Keys, "/api" + oauth.PathJWKS: h.Keys,
		"/.well-known/openid-configuration": h.Discovery, "/api/well-known/openid-configuration": h.Discovery,
		metadata: h.Discovery, metadata + public.Path: h.Discovery,
	} {
		open.Get(path, serve)
		open.Options(path, serve)
	}
}

// wellKnown is where pages for people stand: for Polis the second is what the first is rewritten to.
var wellKnown = []string{"/.well-known", "/well-known"}

// clientAddress tells clients apart that are to be slowed down.
func clientAddress(c Config) func(*http.Request) (string, error) {
	return middleware.Address(func(r *http.Request) string { return middleware.ClientIP(r, c.TrustedProxies) })
}

// codesPerMinute is how many codes of devices one address may try in a minute.
const codesPerMinute = 20

// mountDevice serves the page where a person types a device's code. Guessing is slowed down, and other sites cannot answer in
// the person's place.
func mountDevice(r chi.Router, p *pages.Pages, d pages.Devices, c Config, public *url.URL) {
	slow := middleware.NewThrottle(codesPerMinute, clientAddress(c), p.TooMany).Requests
	page := slow(p.Device(d))
	r.Get(oauth.PathDevice, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("user_code") == "" {
			p.Device(d)(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
	r.Method(http.MethodPost, oauth.PathDevice, ownSite(public)(slow(p.DecideDevice(d))))
}

func mountSAML(r chi.Router, h *apisaml.Handler) {
	for _, prefix := range []string{"/.well-known", "/api/well-known"} {
		r.Get(prefix+"/sp-metadata", h.Metadata)
		r.Get(prefix+"/saml.cer", h.Certificate)
	}
	for _, prefix := range wellKnown {
		r.Get(prefix+"/saml-configuration", h.Settings)
	}
}

// mountHealth: healthz says that the process answers, readyz that its stores do.
func mountHealth(r chi.Router, records Records, sessions Sessions) {
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		err := records.Ping(ctx)
		if err == nil && sessions.Store != records.Store {
			err = sessions.Ping(ctx)
		}
		if err != nil {
			w.Header().Set("Retry-After", "1")
			answer(w, http.StatusServiceUnavailable, map[string]string{"status": "the database does not answer"})
			return
		}
		answer(w, http.StatusOK, map[string]string{"status": "ready"})
	})
	r.HandleFunc("/api/health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusServiceUnavailable, map[string]string{})
	})
	r.Get("/api/health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"version": Version})
	})
	// A place to point a webhook at while trying things out.
	r.HandleFunc("/api/hello", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"name": "Jules Winnfield"})
	})
}

func answer(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
