package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
)

// verbs are what a path answers, by method: with a status and a body, or no body where it is nil.
type verbs map[string]func(*http.Request) (int, any, error)

// answer serves one of the methods that a path has.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, methods verbs) {
	if !h.admit(w, r, slices.Sorted(maps.Keys(methods))...) {
		return
	}
	serve := methods[r.Method]
	if serve == nil { // HEAD
		serve = methods[http.MethodGet]
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	status, body, err := serve(r)
	switch {
	case err != nil:
		h.fail(w, r, err)
	case body == nil:
		w.WriteHeader(status)
	default:
		write(w, status, "application/json", body)
	}
}

// admit lets in who bears an admin key and asks by one of some methods; what answers GET answers HEAD (RFC 9110 §9.1). Others
// have their answer.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if err := h.authenticate(r); err != nil {
		h.fail(w, r, err)
		return false
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if slices.Contains(methods, method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	write(w, http.StatusMethodNotAllowed, "application/problem+json", problem{Title: http.StatusText(http.StatusMethodNotAllowed),
		Status: http.StatusMethodNotAllowed, Detail: "This address knows " + strings.Join(methods, ", ") + ".", Code: "method_not_allowed"})
	return false
}

func (h *Handler) authenticate(r *http.Request) error {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		key = ""
	}
	return h.Admin.Authenticate(strings.TrimSpace(key))
}

// parameters are those of a request. One that is not known is refused: a filter with a slip of the pen would let everything through.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	values := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return nil, fault.At(name, "unknown_parameter", fmt.Sprintf("There is no parameter %.40q here: they are %s.", name, strings.Join(known, ", ")))
		}
	}
	return values, nil
}

// number reads a number that is not negative; absent is said for "".
func number(text string, absent int64) (int64, error) {
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
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
	status := middleware.Statuses[f.Kind]
	switch {
	case events.Expired(err):
		status = http.StatusGone
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="portico"`)
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
	if status >= http.StatusInternalServerError {
		h.Logger.ErrorContext(r.Context(), "api request failed", "code", f.Code, "error", err)
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
