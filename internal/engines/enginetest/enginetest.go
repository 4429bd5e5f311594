// Package enginetest runs tests of what stands on the storage port on every engine that can be had.
//
// A test opens its store by [Open], on the memory engine when it runs alone. Another one names it to run it on the others:
//
//	func TestEngines(t *testing.T) { enginetest.Run(t, TestOneHolds, TestFencing) }
//
// They appear as TestEngines/postgres/TestOneHolds and so on.
package enginetest

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/mongo"
	"github.com/portico-sso/portico/adapters/mysql"
	"github.com/portico-sso/portico/adapters/postgres"
	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/mongofake"
	"github.com/portico-sso/portico/ports/store"
)

// engine is a storage engine: its driver, and the URL of a new, empty database for a test.
type engine struct {
	name   string
	driver store.Driver
	fresh  func(testing.TB) string
}

func shared(driver store.Driver, e engines.Engine) engine {
	return engine{string(e), driver, func(t testing.TB) string { return engines.Fresh(t, e) }}
}

var embedded = engine{"sqlite", sqlite.Driver, func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") }}

var all = []engine{
	embedded,
	shared(postgres.Driver, engines.Postgres),
	shared(mysql.Driver, engines.MariaDB),
	shared(redis.Driver, engines.Redis),
	{"mongo", mongo.Driver, freshMongo},
}

// further are servers of the same kinds, for PORTICO_TEST_LONG=1.
var further = []engine{shared(postgres.Driver, engines.Postgres18), shared(mysql.Driver, engines.MySQL), shared(redis.Driver, engines.Valkey)}

// freshMongo is a database on the server that is named, or of a stand-in: MongoDB is not to be had everywhere.
func freshMongo(t testing.TB) string {
	if os.Getenv(engines.Mongo.Variable()) != "" {
		return engines.Fresh(t, engines.Mongo)
	}
	fake, err := mongofake.Start(mongofake.Options{Lifetime: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Stop)
	return fake.URL("portico")
}

var running sync.Map // engine by the name of the test in which it is meant

// Run runs tests on each engine.
func Run(t *testing.T, tests ...func(*testing.T)) {
	t.Helper()
	list := all
	if os.Getenv("PORTICO_TEST_LONG") == "1" {
		list = append(list[:len(list):len(list)], further...)
	}
	for _, e := range list {
		t.Run(e.name, func(t *testing.T) {
			running.Store(t.Name(), e)
			for _, test := range tests {
				name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
				t.Run(name[strings.LastIndex(name, ".")+1:], test)
			}
		})
	}
}

// Open opens a new, empty store: of the engine on which Run runs the test, else in memory. It is closed when the test ends.
func Open(t testing.TB, schema store.Schema) store.Backend {
	t.Helper()
	for name := t.Name(); name != ""; name = name[:max(0, strings.LastIndex(name, "/"))] {
		if e, ok := running.Load(name); ok {
			return e.(engine).open(t, schema)
		}
	}
	return memory.New(schema)
}

// OpenSQLite is Open of the embedded engine, for benchmarks.
func OpenSQLite(t testing.TB, schema store.Schema) store.Backend {
	t.Helper()
	return embedded.open(t, schema)
}

func (e engine) open(t testing.TB, schema store.Schema) store.Backend {
	t.Helper()
	u, err := url.Parse(e.fresh(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.driver.Open(t.Context(), u, schema, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if s, ok := b.(store.Structured); ok {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return b
}
