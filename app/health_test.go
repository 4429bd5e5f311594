package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	ready := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		answer(w, ready, map[string]string{"status": "as it says"})
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	_, port, _ := strings.Cut(addr, ":")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")

	// Settings that would not load are not looked at.
	others := []string{"PORTICO_DATABASE_URL=nonsense:", "PORTICO_ENCRYPTION_KEYS_FILE=/nowhere"}
	for _, listen := range []string{addr, ":" + port, "0.0.0.0:" + port} {
		if err := health(t.Context(), append(others, "PORTICO_LISTEN="+listen)); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
	ready = http.StatusServiceUnavailable
	if err := health(t.Context(), []string{"PORTICO_LISTEN=" + addr}); err == nil || !strings.Contains(err.Error(), "503") ||
		!strings.Contains(err.Error(), "as it says") {
		t.Errorf("not ready: %v", err)
	}
	server.Close()
	if err := health(t.Context(), []string{"PORTICO_LISTEN=" + addr}); err == nil {
		t.Error("healthy without a server")
	}
	if err := health(t.Context(), []string{"PORTICO_LISTEN=nonsense"}); err == nil || !strings.Contains(err.Error(), "PORTICO_LISTEN") {
		t.Errorf("a wrong address: %v", err)
	}
}

func TestReach(t *testing.T) {
	for listen, want := range map[string]string{
		":5225": "127.0.0.1:5225", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.1.2.3:1": "10.1.2.3:1",
		"[fe80::1]:1": "[fe80::1]:1", "localhost:1": "localhost:1",
	} {
		if got := reach(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}
