// Package scim is the way in of SCIM 2.0 (RFC 7643, RFC 7644): users and groups of one directory, at three addresses that
// mean the same.
package scim

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/project"
)

// Limits of a request, as /ServiceProviderConfig and the refusals state them.
const (
	maxUser           = 1 << 20 // bytes of a body
	maxGroup          = 16 << 20
	maxBulk           = 4 << 20
	maxBulkOperations = 1000
	maxPage           = 1000 // resources of one page
	defaultPage       = 100
)

// Options are what the handler works with. All are required.
type Options struct {
	Directories *dirsync.Service
	Projects    *project.Service
	PublicURL   string // without a slash at its end
	Now         func() time.Time
	Logger      *slog.Logger
}

// Handler serves SCIM.
type Handler struct {
	Options
	kinds    []kind
	projects *cache.Cache[project.Project]
	requests *requestLog
}

// New makes the handler. Close it when no request is served any more.
func New(o Options) *Handler {
	h := &Handler{Options: o, projects: cache.New[project.Project](o.Now), requests: &requestLog{Options: o, waiting: map[string]*waiting{}}}
	h.kinds = []kind{h.users(), h.groups()}
	return h
}

// Close writes down the requests that are not in the log yet.
func (h *Handler) Close() { h.requests.write() }

// Mount serves /scim/{client id}/v2, in the project by host name, /projects/{project}/scim/{client id}/v2, where the project
// is an id or a slug, and Polis's /api/scim/v2.0/{directory id}.
func (h *Handler) Mount(r chi.Router) {
	for prefix, find := range map[string]finder{
		"/scim/{client}/v2": func(r *http.Request) (dirsync.Ref, string, error) {
			p, err := h.Projects.At(r.Context(), r.Host)
			return dirsync.Ref{ProjectID: p.ID, ClientID: segment(r, chi.URLParam(r, "client"))}, h.seenAt(p, r.Host), err
		},
		"/projects/{project}/scim/{client}/v2": func(r *http.Request) (dirsync.Ref, string, error) {
			p, err := h.project(r.Context(), segment(r, chi.URLParam(r, "project")))
			return dirsync.Ref{ProjectID: p.ID, ClientID: segment(r, chi.URLParam(r, "client"))}, h.PublicURL, err
		},
		"/api/scim/v2.0/{directory}": func(r *http.Request) (dirsync.Ref, string, error) {
			return dirsync.Ref{ID: segment(r, chi.URLParam(r, "directory"))}, h.PublicURL, nil
		},
	} {
		serve := h.entry(find)
		r.HandleFunc(prefix, serve)
		r.HandleFunc(prefix+"/*", serve)
	}
}

// finder finds out which directory a request is for, and the address of the installation as its client sees it.
type finder func(*http.Request) (ref dirsync.Ref, installation string, err error)

// seenAt is the address of the installation at the host of a project, where the request came by that one.
func (h *Handler) seenAt(p project.Project, host string) string {
	name := host
	if without, _, err := net.SplitHostPort(host); err == nil {
		name = without
	}
	u, err := url.Parse(h.PublicURL)
	if err != nil || p.Host == "" || !strings.EqualFold(name, p.Host) {
		return h.PublicURL
	}
	u.Host = host
	return u.String()
}

// project reads a project by id or slug.
func (h *Handler) project(ctx context.Context, name string) (project.Project, error) {
	return h.projects.Get(name, func() (project.Project, error) {
		p, err := h.Projects.Get(ctx, name)
		if fault.Is(err, fault.NotFound) {
			return h.Projects.BySlug(ctx, name)
		}
		return p, err
	})
}

// call is one request of a directory that was let in.
type call struct {
	*http.Request
	directory dirsync.Directory
	base      string   // the address of the directory, for locations
	path      []string // behind it
	body      []byte
}

// entry finds the directory and lets its client in.
func (h *Handler) entry(find finder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ref, installation, err := find(r)
		if fault.Is(err, fault.NotFound) { // no such project: as if there were no such directory
			ref, err = dirsync.Ref{}, nil
		}
		c := &call{Request: r}
		if err == nil {
			c.directory, err = h.Directories.Authenticate(r.Context(), ref, bearer(r))
		}
		rest := strings.Trim(chi.URLParam(r, "*"), "/")
		before := strings.TrimSuffix(strings.TrimRight(cmp.Or(r.URL.RawPath, r.URL.Path), "/"), rest)
		c.base = cmp.Or(c.directory.BaseURL, installation) + strings.TrimRight(before, "/")
		if rest != "" {
			c.path = strings.Split(rest, "/")
			for i := range c.path {
				c.path[i] = segment(r, c.path[i])
			}
		}
		var a answer
		if err == nil {
			a, err = h.serve(c, w)
		}
		if err != nil {
			a = h.refusal(r, err)
		}
		h.send(w, c, a)
		if c.directory.ID != "" {
			h.requests.add(c, a)
		}
	}
}

// segment is one of the path as it is meant: the router takes it as it is escaped, where it is so beyond need. Many escape the
// colons of a schema's URN.
func segment(r *http.Request, s string) string {
	if r.URL.RawPath == "" {
		return s
	}
	plain, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return plain
}

// bearer is the secret that a request shows: as a bearer token (RFC 6750 §2.1), or as the whole value of Authorization.
func bearer(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, found := strings.Cut(strings.TrimSpace(values[0]), " ")
	if !found {
		return scheme
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// serve reads the body and finds the endpoint, RFC 7644 §3.2.
func (h *Handler) serve(c *call, w http.ResponseWriter) (answer, error) {
	if len(c.path) == 0 {
		return answer{}, &scim.Error{Status: http.StatusNotImplemented,
			Detail: "Lists go by resource type: GET Users or Groups. POST .search finds both."}
	}
	name, rest := c.path[0], c.path[1:]
	for _, k := range h.kinds {
		if strings.EqualFold(name, strings.TrimPrefix(k.Endpoint, "/")) {
			return h.serveKind(c, w, k, rest)
		}
	}
	switch {
	case strings.EqualFold(name, "Bulk") && len(rest) == 0:
		return h.only(c, w, maxBulk, http.MethodPost, h.bulk)
	case name == ".search" && len(rest) == 0:
		return h.only(c, w, maxUser, http.MethodPost, h.searchAll)
	case strings.EqualFold(name, "Me"):
		return answer{}, &scim.Error{Status: http.StatusNotImplemented, Detail: "The client of a directory is nobody of its users."}
	}
	return h.serveDiscovery(c, w, name, rest)
}

// only serves one method.
func (h *Handler) only(c *call, w http.ResponseWriter, limit int64, method string, serve func(*call) (answer, error)) (answer, error) {
	if c.Method != method && (method != http.MethodGet || c.Method != http.MethodHead) {
		return answer{}, notAllowed(w, method)
	}
	if err := c.read(w, limit); err != nil {
		return answer{}, err
	}
	return serve(c)
}

func notAllowed(w http.ResponseWriter, allow string) error {
	w.Header().Set("Allow", allow)
	return &scim.Error{Status: http.StatusMethodNotAllowed, Detail: "This address knows " + allow + "."}
}

// read reads the body of a request that has one.
func (c *call) read(w http.ResponseWriter, limit int64) error {
	if c.Method == http.MethodGet || c.Method == http.MethodHead || c.Method == http.MethodDelete {
		return nil
	}
	var err error
	c.body, err = io.ReadAll(http.MaxBytesReader(w, c.Body, limit))
	if err != nil {
		return bodyError(err, limit)
	}
	return nil
}

func notFound() error {
	return fault.New(fault.NotFound, "not_found", "There is nothing at this address.")
}
