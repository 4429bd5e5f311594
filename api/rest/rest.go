// Package rest is the REST API beside GraphQL: the events of a project, which stream, and people.
package rest

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/project"
)

// The paths of the handlers.
const (
	PathEvents = "/api/v1/events"
	PathStream = "/api/v1/events/stream"
)

// Services are what the API works with. All are required.
type Services struct {
	Projects    *project.Service
	Events      *events.Service
	Identities  *identity.Service
	Directories *dirsync.Service
	Admin       *admin.Service
	Logger      *slog.Logger
}

// Handler serves the API. Close ends its streams, so that a server may stop.
type Handler struct {
	Services
	streams chan struct{} // one for each that is open
	closed  chan struct{}
	once    sync.Once
}

// New makes the handler.
func New(s Services) *Handler {
	return &Handler{Services: s, streams: make(chan struct{}, maxStreams), closed: make(chan struct{})}
}

// Close ends all streams, and new ones at once. Their readers come back to another instance.
func (h *Handler) Close() { h.once.Do(func() { close(h.closed) }) }

func (h *Handler) authenticate(r *http.Request) error {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		key = ""
	}
	return h.Admin.Authenticate(strings.TrimSpace(key))
}

// Events serves GET /api/v1/events.
func (h *Handler) Events(w http.ResponseWriter, r *http.Request) {
	q, err := h.query(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if q.After < 0 {
		q.After = 0
	}
	feed, err := h.Services.Events.Read(r.Context(), q)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	list := make([]events.Envelope, len(feed.Events))
	for i, e := range feed.Events {
		list[i] = e.Envelope()
	}
	write(w, http.StatusOK, "application/json", struct {
		Events []events.Envelope `json:"events"`
		Next   int64             `json:"next"`
		More   bool              `json:"more"`
	}{list, feed.Next, feed.More})
}

// query reads who asks and for what. After is -1 where the request does not say.
func (h *Handler) query(r *http.Request) (q events.Query, err error) {
	if err := h.authenticate(r); err != nil {
		return q, err
	}
	values := r.URL.Query()
	name := values.Get("project")
	if name == "" {
		return q, fault.At("project", "required", "Give the id or the slug of a project.")
	}
	p, err := h.Projects.Get(r.Context(), name)
	if fault.Is(err, fault.NotFound) {
		p, err = h.Projects.BySlug(r.Context(), name)
	}
	if err != nil {
		return q, err
	}
	q.Scope = events.Scope{ProjectID: p.ID, OrganizationID: values.Get("organization"), DirectoryID: values.Get("directory")}
	for _, list := range values["type"] {
		q.Types = append(q.Types, strings.Split(list, ",")...)
	}
	if err := events.ValidTypes("type", q.Types); err != nil {
		return q, err
	}
	limit, err := number(values.Get("limit"), 0)
	if err != nil || limit > 500 || limit == 0 && values.Get("limit") != "" {
		return q, fault.At("limit", "invalid", "limit is 1 to 500.")
	}
	q.Limit = int(limit)
	if q.After, err = number(values.Get("after"), -1); err != nil {
		return q, fault.At("after", "invalid_cursor", "after is the position of an event, or 0.")
	}
	return q, nil
}

// number reads a number that is not negative; absent is said for "".
func number(text string, absent int64) (int64, error) {
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// statuses maps every kind of fault to a status.
var statuses = map[fault.Kind]int{
	fault.Internal:        http.StatusInternalServerError,
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Taken:           http.StatusConflict,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.TooMany:         http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
}

// problem is an error (RFC 9457).
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Field     string `json:"field,omitempty"`
	RequestID string `json:"requestId,omitempty"`
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := statuses[f.Kind]
	switch {
	case events.Expired(err):
		status = http.StatusGone
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="portico"`)
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
	if status >= http.StatusInternalServerError {
		h.Logger.ErrorContext(r.Context(), "events request failed", "code", f.Code, "error", err)
	}
	write(w, status, "application/problem+json", problem{Title: http.StatusText(status), Status: status, Detail: f.Message, Code: f.Code,
		Field: f.Field, RequestID: middleware.RequestID(r.Context())})
}

func write(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	_ = out.Encode(body) // the status is out; a broken connection is the client's
}
