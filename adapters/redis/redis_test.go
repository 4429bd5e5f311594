package redis_test

import (
	"context"
	"log/slog"
	"net/url"
	"testing"

	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var quiet = store.DriverOptions{Logger: slog.New(slog.DiscardHandler)}

func TestConformance(t *testing.T) {
	for _, e := range []engines.Engine{engines.Redis, engines.Valkey} {
		t.Run(string(e), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Open {
				u, err := url.Parse(engines.Fresh(t, e))
				if err != nil {
					t.Fatal(err)
				}
				return func(ctx context.Context, s store.Schema) (store.Backend, error) {
					return redis.Driver.Open(ctx, u, s, quiet)
				}
			})
		})
	}
}
