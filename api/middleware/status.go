package middleware

import (
	"net/http"

	"github.com/portico-sso/portico/core/fault"
)

// Statuses maps every kind of fault to the status of HTTP that says the same (RFC 9110 §15.5, §15.6), for the APIs whose protocol
// has no other rules.
var Statuses = map[fault.Kind]int{
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
