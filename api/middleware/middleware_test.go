package middleware_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/api/middleware"
)

func TestClientIP(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want         string
	}{
		{"direct", "192.0.2.1:5", nil, trusted, "192.0.2.1"},
		{"spoofed by a stranger", "192.0.2.1:5", []string{"1.1.1.1"}, trusted, "192.0.2.1"},
		{"no proxies configured", "10.0.0.1:5", []string{"1.1.1.1"}, nil, "10.0.0.1"},
		{"one proxy", "10.0.0.1:5", []string{"1.1.1.1"}, trusted, "1.1.1.1"},
		{"spoofed before the proxy", "10.0.0.1:5", []string{"9.9.9.9, 1.1.1.1"}, trusted, "1.1.1.1"},
		{"two proxies, two headers", "10.0.0.1:5", []string{"9.9.9.9, 1.1.1.1", "10.0.0.2"}, trusted, "1.1.1.1"},
		{"only proxies", "10.0.0.1:5", []string{"10.0.0.3"}, trusted, "10.0.0.3"},
		{"garbage", "10.0.0.1:5", []string{"<script>"}, trusted, "10.0.0.1"},
		{"IPv6", "[::1]:5", []string{"2001:db8::7"}, trusted, "2001:db8::7"},
		{"mapped", "[::ffff:10.0.0.1]:5", []string{"1.1.1.1"}, trusted, "1.1.1.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		for _, value := range c.forwarded {
			r.Header.Add("X-Forwarded-For", value)
		}
		if got := middleware.ClientIP(r, c.trusted); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRecoverTellsNothing(t *testing.T) {
	var logs bytes.Buffer
	logger := slog.New(middleware.LogHandler{Handler: slog.NewTextHandler(&logs, nil)})
	h := middleware.WithRequestID(middleware.Log(logger, nil, time.Now)(middleware.Recover(logger)(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the inside") }))))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x?code=planted", nil))
	requestID := w.Header().Get("X-Request-Id")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "inside") || !strings.Contains(w.Body.String(), requestID) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	text := logs.String()
	if !strings.Contains(text, "the inside") || !strings.Contains(text, "request_id="+requestID) || !strings.Contains(text, "status=500") ||
		strings.Contains(text, "planted") {
		t.Errorf("log: %s", text)
	}
}
