package polis

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/outbound"
)

// status is that of a fault. A metadata URL whose server refused passes that server's status on (§1.1, POST 10),
// save its 500: what was wrong is the URL that we were given.
func status(err error) int {
	var upstream *outbound.StatusError
	if errors.As(err, &upstream) && upstream.Code >= 400 && upstream.Code <= 599 && upstream.Code != http.StatusInternalServerError {
		return upstream.Code
	}
	return middleware.Statuses[fault.From(err).Kind]
}

// fieldNames are the names that this API has for fields of core.
var fieldNames = map[string]string{
	"nameIdFormat":     "identifierFormat",
	"entityIdOverride": "samlAudienceOverride",
}

// message is what the caller reads of a fault.
func message(r *http.Request, f *fault.Error) string {
	if f.Kind == fault.Internal {
		if requestID := middleware.RequestID(r.Context()); requestID != "" {
			return "Something went wrong on our side. Request id: " + requestID
		}
		return "Something went wrong on our side."
	}
	if f.Code == "too_long" { // core leaves it to Field to say which text
		name := f.Field
		if known, ok := fieldNames[name]; ok {
			name = known
		}
		return name + ": " + f.Message
	}
	return f.Message
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, e endpoint, err error) {
	f, code := fault.From(err), status(err)
	if code >= http.StatusInternalServerError {
		h.Logger.LogAttrs(r.Context(), slog.LevelError, "management request failed", slog.String("code", f.Code),
			slog.Int("status", code), slog.Any("error", err))
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	e.write(w, code, message(r, f))
}

// writeError is dialect 1 of §0.4.
func writeError(w http.ResponseWriter, status int, message string) {
	type body struct {
		Message string `json:"message"`
	}
	writeJSON(w, answer{status, map[string]body{"error": {message}}})
}

// writePlainError is dialect 3 of §0.4.
func writePlainError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, message)
}

// writeCodedError is dialect 2 of §0.4.
func writeCodedError(w http.ResponseWriter, status int, message string) {
	type body struct {
		Message string `json:"message"`
		Code    int    `json:"code"`
	}
	writeJSON(w, answer{status, map[string]body{"error": {message, status}}})
}

func writeJSON(w http.ResponseWriter, a answer) {
	if c, ok := a.body.(counted); ok {
		w.Header().Set("X-Total-Count", strconv.FormatInt(c.total, 10))
		a.body = c.body
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(a.body) // the status is out; a broken connection is the client's
}
