package mongo_test

import (
	"context"
	"flag"
	"log/slog"
	"net/url"
	"os"
	"testing"

	"github.com/portico-sso/portico/adapters/mongo"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/mongofake"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var quiet = store.DriverOptions{Logger: slog.New(slog.DiscardHandler)}

// TestMain has more tests run side by side than there are processors, as most of their time the driver waits.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func fake(t *testing.T, o mongofake.Options) *mongofake.Server {
	t.Helper()
	s, err := mongofake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func opener(t *testing.T, address string) storetest.Open {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, s store.Schema) (store.Backend, error) {
		return mongo.Driver.Open(ctx, u, s, quiet)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open { return opener(t, fake(t, mongofake.Options{}).URL("test")) })
}

// TestConformanceOfServer runs the suite against the server that TEST_MONGO_URL names.
func TestConformanceOfServer(t *testing.T) {
	engines.URL(t, engines.Mongo)
	storetest.Run(t, func(t *testing.T) storetest.Open { return opener(t, engines.Fresh(t, engines.Mongo)) })
}
