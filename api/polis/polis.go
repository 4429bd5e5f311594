// Package polis is the management API that clients of Ory Polis rely on: SSO connections at /api/v1/sso, directories and what
// they provision at /api/v1/dsync, and counts at /api/v1/stats. The numbers in its comments (§1.1) are those of the contract that docs/polis.md describes. Where Polis answers 500 to bad input
// this package answers 400 with the same text.
package polis

import (
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
)

// Services are what the API works with. All are required but WebhookBatch and GoogleLink.
type Services struct {
	Projects      *project.Service
	Organizations *organization.Service
	SSO           *sso.Service
	Directories   *dirsync.Service
	Events        *events.Service
	Admin         *admin.Service
	Logger        *slog.Logger
	Now           func() time.Time
	PublicURL     string
	// WebhookBatch is how many events a directory's webhook is sent at a time, as an array (§3.4); 0: each as an object. It is
	// for webhooks that are made from now on.
	WebhookBatch int
	// SyncGoogle has the directories of Google Workspaces read now, in the background.
	SyncGoogle func()
	// GoogleLink is where an administrator connects a workspace to a directory.
	GoogleLink func(d dirsync.Directory) string
}

// New makes the handler of everything below /api/ that no other handler serves: this API, and the refusal of the rest.
func New(s Services) http.Handler {
	h := &handler{Services: s}
	sso := endpoint{write: writeError, verbs: []verb{
		get(h.list), {method: http.MethodPost, serve: h.post}, {method: http.MethodPatch, serve: h.patch}, {method: http.MethodDelete, serve: h.delete},
	}}
	config := endpoint{write: writePlainError, verbs: []verb{
		get(h.legacyGet), {method: http.MethodPost, serve: h.legacyPost}, {method: http.MethodPatch, serve: h.legacyPatch},
		{method: http.MethodDelete, serve: h.legacyDelete},
	}}
	h.endpoints = map[string]endpoint{
		"/api/v1/sso":                sso,
		"/api/v1/sso/exists":         {write: writeError, verbs: []verb{get(h.exists)}},
		"/api/v1/sso/product":        {write: writeError, verbs: []verb{get(h.byProduct)}},
		"/api/v1/saml/config":        config,
		"/api/v1/saml/config/exists": {write: writePlainError, verbs: []verb{get(h.exists)}},
		"/api/v1/stats":              {write: writeError, verbs: []verb{get(h.stats)}},
		"/api/v1/stats/product":      {write: writeError, verbs: []verb{{method: http.MethodPost, serve: h.productStats}}},
	}
	maps.Copy(h.endpoints, h.directoryEndpoints())
	return h
}

// directoryEndpoints are those of §1.4 and §1.5.
func (h *handler) directoryEndpoints() map[string]endpoint {
	coded := func(verbs ...verb) endpoint { // all but the list of directories refuses in dialect 2
		for i := range verbs {
			verbs[i].write = writeCodedError
		}
		return endpoint{write: writeError, verbs: verbs}
	}
	return map[string]endpoint{
		"/api/v1/dsync": {write: writeError, verbs: []verb{get(h.directoriesOf),
			{method: http.MethodPost, serve: h.createDirectory, write: writeCodedError}}},
		"/api/v1/dsync/product": {write: writeError, verbs: []verb{get(h.directoriesByProduct)}},
		"/api/v1/dsync/{directoryId}": coded(get(h.directory), verb{method: http.MethodPatch, serve: h.updateDirectory},
			verb{method: http.MethodDelete, serve: h.deleteDirectory}),
		"/api/v1/dsync/users":                    coded(get(h.users)),
		"/api/v1/dsync/users/{userId}":           coded(get(h.user)),
		"/api/v1/dsync/groups":                   coded(get(h.groups)),
		"/api/v1/dsync/groups/{groupId}":         coded(get(h.group)),
		"/api/v1/dsync/groups/{groupId}/members": coded(get(h.groupMembers)),
		"/api/v1/dsync/events":                   coded(get(h.log), verb{method: http.MethodDelete, serve: h.clearLog}),
		"/api/v1/dsync/events/{eventId}":         coded(get(h.logEntry)),
		"/api/v1/dsync/cron/process-events":      {write: writeError, verbs: []verb{{method: anyMethod, serve: h.processEvents}}},
		"/api/v1/dsync/cron/sync-google":         {write: writeError, verbs: []verb{{method: anyMethod, serve: h.syncGoogle}}},
	}
}

type handler struct {
	Services
	endpoints map[string]endpoint // by path, in which {name} stands for one segment
}

// endpoint is one path: its verbs in the order of the Allow header, and its dialect of errors (§0.4).
type endpoint struct {
	write func(w http.ResponseWriter, status int, message string)
	verbs []verb
}

// verb is what one method does. write is its own dialect of errors, where it is not the endpoint's.
type verb struct {
	method string
	serve  func(r *http.Request, p params) (answer, error)
	write  func(w http.ResponseWriter, status int, message string)
}

// anyMethod takes all of them.
const anyMethod = "*"

func get(serve func(r *http.Request, p params) (answer, error)) verb {
	return verb{method: http.MethodGet, serve: serve}
}

// answer is a status and what becomes its JSON; nil is no body.
type answer struct {
	status int
	body   any
}

// data is the envelope of one thing and of most lists (§1.4).
func data(v any) answer { return answer{http.StatusOK, map[string]any{"data": v}} }

// listing is that of the rest.
func listing(v any) answer { return answer{http.StatusOK, map[string]any{"data": v, "error": nil}} }

// counted is the body of a page, with how many things there are on all of them: Portico's own header X-Total-Count says it.
type counted struct {
	body  any
	total int64
}

func (a answer) of(total int64) answer {
	a.body = counted{a.body, total}
	return a
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
		if v.method == method || v.method == anyMethod {
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
	e, ok := h.endpointAt(r, path)
	if !ok {
		writeError(w, http.StatusNotFound, "Not found.")
		return
	}
	h.serve(w, r, e)
}

// endpointAt finds the endpoint of a path and tells the request what stands in its variable segments. A path without any wins.
func (h *handler) endpointAt(r *http.Request, path string) (endpoint, bool) {
	if e, ok := h.endpoints[path]; ok && !strings.Contains(path, "{") {
		return e, true
	}
	for pattern, e := range h.endpoints {
		if matches(r, strings.Split(pattern, "/"), strings.Split(path, "/")) {
			return e, true
		}
	}
	return endpoint{}, false
}

func matches(r *http.Request, pattern, path []string) bool {
	if len(pattern) != len(path) {
		return false
	}
	for i, segment := range pattern {
		if variable := strings.HasPrefix(segment, "{"); !variable && segment != path[i] || variable && path[i] == "" {
			return false
		}
	}
	for i, segment := range pattern {
		if strings.HasPrefix(segment, "{") {
			r.SetPathValue(strings.Trim(segment, "{}"), path[i])
		}
	}
	return true
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	v, ok := e.find(r.Method)
	if !ok {
		w.Header().Set("Allow", e.allow())
		e.write(w, http.StatusMethodNotAllowed, "Method "+r.Method+" not allowed.")
		return
	}
	if v.write != nil {
		e.write = v.write
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
	for alias, served := range map[string]string{"/api/v1/connections": "/api/v1/sso", "/api/v1/directory-sync": "/api/v1/dsync"} {
		if rest, ok := strings.CutPrefix(path, alias); ok && (rest == "" || rest[0] == '/') {
			return served + rest
		}
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
