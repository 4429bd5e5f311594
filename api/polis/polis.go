// Package polis is the management API that clients of Ory Polis rely on: SSO connections at /api/v1/sso. The numbers
// in its comments (§1.1) are those of the contract that docs/polis.md describes. Where Polis answers 500 to bad input
// this package answers 400 with the same text.
package polis

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
)

// Services are what the API works with. All are required.
type Services struct {
	Projects      *project.Service
	Organizations *organization.Service
	SSO           *sso.Service
	Admin         *admin.Service
	Logger        *slog.Logger
}

// New makes the handler of everything below /api/ that no other handler serves: this API, and the refusal of the rest.
func New(s Services) http.Handler {
	h := &handler{Services: s}
	sso := endpoint{write: writeError, verbs: []verb{
		{http.MethodGet, h.list}, {http.MethodPost, h.post}, {http.MethodPatch, h.patch}, {http.MethodDelete, h.delete},
	}}
	config := endpoint{write: writePlainError, verbs: []verb{
		{http.MethodGet, h.legacyGet}, {http.MethodPost, h.legacyPost}, {http.MethodPatch, h.legacyPatch}, {http.MethodDelete, h.legacyDelete},
	}}
	h.endpoints = map[string]endpoint{
		"/api/v1/sso":                sso,
		"/api/v1/sso/exists":         {write: writeError, verbs: []verb{{http.MethodGet, h.exists}}},
		"/api/v1/sso/product":        {write: writeError, verbs: []verb{{http.MethodGet, h.byProduct}}},
		"/api/v1/saml/config":        config,
		"/api/v1/saml/config/exists": {write: writePlainError, verbs: []verb{{http.MethodGet, h.exists}}},
	}
	return h
}

type handler struct {
	Services
	endpoints map[string]endpoint
}

// endpoint is one path: its verbs in the order of the Allow header, and its dialect of errors (§0.4).
type endpoint struct {
	write func(w http.ResponseWriter, status int, message string)
	verbs []verb
}

type verb struct {
	method string
	serve  func(r *http.Request, p params) (answer, error)
}

// answer is a status and what becomes its JSON; nil is no body.
type answer struct {
	status int
	body   any
}

func (e endpoint) allow() string {
	var methods []string
	for _, v := range e.verbs {
		methods = append(methods, v.method)
	}
	return strings.Join(methods, ", ")
}

func (e endpoint) find(method string) (verb, bool) {
	for _, v := range e.verbs {
		if v.method == method {
			return v, true
		}
	}
	return verb{}, false
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // answers hold client secrets
	path := canonical(r.URL.Path)
	if !h.admitted(path, r.Header.Get("Authorization")) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="portico"`) // RFC 9110 §11.6.1
		writeError(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	e, ok := h.endpoints[path]
	if !ok {
		writeError(w, http.StatusNotFound, "Not found.")
		return
	}
	h.serve(w, r, e)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	v, ok := e.find(r.Method)
	if !ok {
		w.Header().Set("Allow", e.allow())
		e.write(w, http.StatusMethodNotAllowed, "Method "+r.Method+" not allowed.")
		return
	}
	p, err := readParams(w, r)
	if err != nil {
		h.fail(w, r, e, err)
		return
	}
	a, err := v.serve(r, p)
	if err != nil {
		h.fail(w, r, e, err)
		return
	}
	writeJSON(w, a)
}

// canonical gives the path that serves an alias (§0.2).
func canonical(path string) string {
	if rest, ok := strings.CutPrefix(path, "/api/v1/connections"); ok && (rest == "" || rest[0] == '/') {
		return "/api/v1/sso" + rest
	}
	return path
}

// The gate (§0.3): some paths are open, some take an API key, and everything else below /api/ is refused.
var (
	openPaths = []string{"/api/health", "/api/hello", "/api/branding", "/api/error"}
	openTrees = []string{"/api/auth", "/api/federated-saml", "/api/identity-federation", "/api/logout", "/api/oauth",
		"/api/scim/v2.0", "/api/scim/oauth", "/api/well-known", "/api/setup"}
	keyTrees = []string{"/api/v1", "/api/internals"}
)

func (h *handler) admitted(path, authorization string) bool {
	for _, open := range openPaths {
		if path == open {
			return true
		}
	}
	if within(openTrees, path) {
		return true
	}
	return within(keyTrees, path) && h.Admin.Authenticate(secondWord(authorization)) == nil
}

func within(trees []string, path string) bool {
	for _, tree := range trees {
		if path == tree || strings.HasPrefix(path, tree+"/") {
			return true
		}
	}
	return false
}

// secondWord is where the API key stands; the scheme in front of it may be any word (§0.3).
func secondWord(authorization string) string {
	_, rest, _ := strings.Cut(authorization, " ")
	word, _, _ := strings.Cut(rest, " ")
	return word
}
