package app

import (
	"log/slog"
	"net/http"
	"testing"
	"time"
)

// TestServerWaitsForNobody holds that a client that neither sends nor reads is cut off at each stage of a request, and one
// that uses the time it has for its body still gets an answer.
func TestServerWaitsForNobody(t *testing.T) {
	s := newServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	for name, limit := range map[string]time.Duration{
		"header": s.ReadHeaderTimeout, "body": s.ReadTimeout, "answer": s.WriteTimeout, "next request": s.IdleTimeout,
	} {
		if limit <= 0 || limit > 5*time.Minute {
			t.Errorf("the %s may take %s", name, limit)
		}
	}
	if longestWork := 30 * time.Second; s.WriteTimeout < s.ReadTimeout+longestWork {
		t.Errorf("%s to answer are not enough for a body that takes %s", s.WriteTimeout, s.ReadTimeout)
	}
}
