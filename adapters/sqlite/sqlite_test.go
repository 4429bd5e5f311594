package sqlite_test

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var quiet = store.DriverOptions{Logger: slog.New(slog.DiscardHandler)}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		u := &url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "data?#%.db")}
		return func(ctx context.Context, s store.Schema) (store.Backend, error) {
			return sqlite.Driver.Open(ctx, u, s, quiet)
		}
	})
}
