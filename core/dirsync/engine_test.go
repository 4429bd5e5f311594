package dirsync_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portico-sso/portico/adapters/mongo"
	"github.com/portico-sso/portico/adapters/mysql"
	"github.com/portico-sso/portico/adapters/postgres"
	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/mongofake"
	"github.com/portico-sso/portico/ports/store"
)

func open(t testing.TB, d store.Driver, u *url.URL) store.Backend {
	t.Helper()
	b, err := d.Open(t.Context(), u, schema(), store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = b.Close() })
	if s, ok := b.(store.Structured); ok {
		must(t, s.Migrate(t.Context()))
	}
	return b
}

func openSQLite(t testing.TB) store.Backend {
	return open(t, sqlite.Driver, &url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "test.db")})
}

// TestEngines compares random operations with the model on real engines, and on MongoDB's fake where no server is named.
func TestEngines(t *testing.T) {
	for name, on := range map[string]func(*testing.T) store.Backend{
		"sqlite": func(t *testing.T) store.Backend { return openSQLite(t) },
		"postgres": func(t *testing.T) store.Backend {
			return openURL(t, postgres.Driver, engines.Fresh(t, engines.Postgres))
		},
		"mariadb": func(t *testing.T) store.Backend { return openURL(t, mysql.Driver, engines.Fresh(t, engines.MariaDB)) },
		"redis":   func(t *testing.T) store.Backend { return openURL(t, redis.Driver, engines.Fresh(t, engines.Redis)) },
		"mongo":   func(t *testing.T) store.Backend { return openURL(t, mongo.Driver, mongoURL(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := on(t)
			c := &comparison{open: func(t testing.TB) *world { return worldOver(t, b) }}
			c.run(t, number(20, 500), 1)
		})
	}
}

func openURL(t testing.TB, d store.Driver, address string) store.Backend {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return open(t, d, u)
}

func mongoURL(t *testing.T) string {
	t.Helper()
	if os.Getenv(engines.Mongo.Variable()) != "" {
		return engines.Fresh(t, engines.Mongo)
	}
	fake, err := mongofake.Start(mongofake.Options{})
	must(t, err)
	t.Cleanup(fake.Stop)
	return fake.URL("portico")
}

// BenchmarkSQLite is what requests cost on SQLite, with the built-in mapping.
func BenchmarkSQLite(b *testing.B) {
	w := &world{}
	b.Run("create", func(b *testing.B) {
		w = benchWorld(b)
		for n := 0; b.Loop(); n++ {
			w.create(fmt.Sprint("u", n))
		}
	})
	for _, size := range []int{10, 10_000} {
		w = benchWorld(b)
		var ids []string
		for n := range size {
			ids = append(ids, w.create(fmt.Sprint("u", n)).ID)
		}
		g := w.group("team", ids...)
		one := w.create("one").ID
		b.Run(fmt.Sprintf("one member of %d", size), func(b *testing.B) {
			for b.Loop() {
				w.patchGroup(g.ID, `[{"op":"add","path":"members","value":[{"value":"`+one+`"}]}]`)
				w.patchGroup(g.ID, `[{"op":"remove","path":"members[value eq \"`+one+`\"]"}]`)
			}
		})
		b.Run(fmt.Sprintf("deactivate of %d", size), func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				w.patch(one, fmt.Sprintf(`[{"op":"replace","path":"active","value":%t}]`, n%2 == 1))
			}
		})
	}
	b.Run("100 members", func(b *testing.B) {
		var values []string
		for n := range 100 {
			values = append(values, `{"value":"`+w.create(fmt.Sprint("m", n)).ID+`"}`)
		}
		g := w.group("hundred")
		add := `[{"op":"add","path":"members","value":[` + strings.Join(values, ",") + `]}]`
		for b.Loop() {
			w.patchGroup(g.ID, add)
			b.StopTimer()
			_, err := w.directories.ReplaceGroup(w.ctx, w.d, g.ID, w.groupBody("hundred"), nil)
			must(b, err)
			b.StartTimer()
		}
	})
}

func benchWorld(b *testing.B) *world {
	w := worldOver(b, openSQLite(b))
	quiet := true
	var err error
	w.d, err = w.directories.UpdateDirectory(w.ctx, w.d.ID, dirsync.DirectoryInput{Quiet: &quiet})
	must(b, err)
	return w
}
