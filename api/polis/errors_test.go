package polis

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/outbound"
)

// TestEveryKindHasAStatus walks the kinds, so that a new one cannot be forgotten here, and both dialects.
func TestEveryKindHasAStatus(t *testing.T) {
	for _, kind := range fault.Kinds {
		t.Run(fmt.Sprint("kind ", kind), func(t *testing.T) {
			want, ok := middleware.Statuses[kind]
			if !ok {
				t.Fatal("the kind has no status")
			}
			err := fmt.Errorf("wrapped: %w", fault.Wrap(errors.New("the hidden cause"), kind, "code", "the message"))
			for name, e := range map[string]endpoint{"json": {write: writeError}, "plain": {write: writePlainError}} {
				h := &handler{Services: Services{Logger: slog.New(slog.DiscardHandler)}}
				w := httptest.NewRecorder()
				h.fail(w, httptest.NewRequest("GET", "/api/v1/sso", nil), e, err)
				body := w.Body.String()
				if w.Code != want || strings.Contains(body, "hidden") {
					t.Errorf("%s: got %d %s, want %d", name, w.Code, body, want)
				}
				if shown := strings.Contains(body, "the message"); shown == (kind == fault.Internal) {
					t.Errorf("%s: the message of kind %d shown: %t", name, kind, shown)
				}
			}
		})
	}
	if len(middleware.Statuses) != len(fault.Kinds) {
		t.Errorf("%d statuses for %d kinds", len(middleware.Statuses), len(fault.Kinds))
	}
}

func TestStatusOfTheMetadataServer(t *testing.T) {
	for _, c := range []struct{ upstream, want int }{{404, 404}, {403, 403}, {503, 503}, {500, 400}, {304, 400}, {999, 400}} {
		err := fault.Wrap(&outbound.StatusError{Code: c.upstream}, fault.Invalid, "metadata_fetch", "Couldn't fetch XML data")
		if got := status(err); got != c.want {
			t.Errorf("upstream %d: status %d, want %d", c.upstream, got, c.want)
		}
	}
}
