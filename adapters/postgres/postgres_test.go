package postgres_test

import (
	"context"
	"log/slog"
	"net/url"
	"testing"

	"github.com/portico-sso/portico/adapters/postgres"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var quiet = store.DriverOptions{Logger: slog.New(slog.DiscardHandler)}

var servers = []engines.Engine{engines.Postgres, engines.Postgres18}

func TestConformance(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) { conformance(t, func(t *testing.T) string { return engines.Fresh(t, e) }) })
	}
}

// TestConformanceUnprepared runs the suite in the modes for poolers that keep no prepared statements.
func TestConformanceUnprepared(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			conformance(t, func(t *testing.T) string {
				return with(t, engines.Fresh(t, engines.Postgres), "default_query_exec_mode", mode)
			})
		})
	}
}

func conformance(t *testing.T, fresh func(*testing.T) string) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) storetest.Open {
		u := fresh(t)
		return func(ctx context.Context, s store.Schema) (store.Backend, error) { return open(ctx, t, u, s) }
	})
}

func open(ctx context.Context, t testing.TB, text string, s store.Schema) (store.Backend, error) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return postgres.Driver.Open(ctx, u, s, quiet)
}

// with is the URL with a parameter more.
func with(t testing.TB, text, name, value string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
