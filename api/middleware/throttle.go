package middleware

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/httprate"
)

// Throttle bounds what one address may ask in a minute. Each instance counts for itself.
type Throttle struct {
	limit   int
	limiter *httprate.RateLimiter
	address httprate.KeyFunc
	refuse  http.HandlerFunc
}

// NewThrottle makes one; refuse answers what is too much, with the status. A limit of 0 is none.
func NewThrottle(perMinute int, address httprate.KeyFunc, refuse http.HandlerFunc) *Throttle {
	silent := httprate.WithResponseHeaders(httprate.ResponseHeaders{})
	return &Throttle{perMinute, httprate.NewRateLimiter(perMinute, time.Minute, silent), address, refuse}
}

// Requests counts every request.
func (t *Throttle) Requests(next http.Handler) http.Handler {
	return t.counting(next, func(w http.ResponseWriter, r *http.Request, address string) {
		if t.limiter.OnLimit(w, r, address) {
			t.tooMany(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Refusals counts the requests that are refused, by a status of 400 to 499: whoever sends good ones sends as many as they like.
func (t *Throttle) Refusals(next http.Handler) http.Handler {
	return t.counting(next, func(w http.ResponseWriter, r *http.Request, address string) {
		if _, rate, err := t.limiter.Status(address); err == nil && rate >= float64(t.limit) {
			t.tooMany(w, r)
			return
		}
		recorder := &statusRecorder{ResponseWriter: w}
		next.ServeHTTP(recorder, r)
		if status := recorder.status(); status >= http.StatusBadRequest && status < http.StatusInternalServerError {
			_ = t.limiter.OnLimit(w, r, address)
		}
	})
}

func (t *Throttle) counting(next http.Handler, serve func(http.ResponseWriter, *http.Request, string)) http.Handler {
	if t.limit == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, err := t.address(r)
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		serve(w, r, address)
	})
}

func (t *Throttle) tooMany(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", strconv.Itoa(int(time.Minute.Seconds())))
	t.refuse(w, r)
}

// Address is the key of a Throttle: the client's address, and of IPv6 its /64, for one client has all of that.
func Address(clientIP func(*http.Request) string) httprate.KeyFunc {
	return func(r *http.Request) (string, error) { return httprate.CanonicalizeIP(clientIP(r)), nil }
}
