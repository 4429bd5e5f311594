package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
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
		t.Run(string(e), func(t *testing.T) { conformance(t, schemas(t, e)) })
	}
}

// TestConformanceSimple runs the suite with statements of one text each, without bound values.
func TestConformanceSimple(t *testing.T) {
	fresh := schemas(t, engines.Postgres)
	conformance(t, func(t *testing.T) string { return with(t, fresh(t), "default_query_exec_mode", "simple_protocol") })
}

// schemas gives each case a schema of one database: another database takes the server much longer.
func schemas(t *testing.T, e engines.Engine) func(*testing.T) string {
	t.Helper()
	text, n := engines.Fresh(t, e), 0
	return func(t *testing.T) string {
		n++
		name := fmt.Sprintf("case_%d", n)
		execute(t, text, "CREATE SCHEMA "+name)
		return with(t, text, "search_path", name)
	}
}

func conformance(t *testing.T, fresh func(*testing.T) string) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) storetest.Open {
		u := fresh(t)
		return func(ctx context.Context, s store.Schema) (store.Backend, error) { return open(ctx, t, u, s) }
	})
}

// TestCollation runs cases of strange keys in a database that orders and compares text by a language's rules.
func TestCollation(t *testing.T) {
	text := engines.Fresh(t, engines.Postgres)
	name := database(t, text)
	execute(t, engines.URL(t, engines.Postgres), "DROP DATABASE "+name,
		"CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8' LOCALE_PROVIDER icu ICU_LOCALE 'de-u-ks-level1'")
	ran := 0
	for _, c := range storetest.Cases() {
		if !strings.Contains(c.Name, "hostile") && c.Name != "unique_bytes" && c.Name != "random_1" {
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			schema := fmt.Sprintf("case_%d", ran)
			execute(t, text, "CREATE SCHEMA "+schema)
			c.Run(t, func(ctx context.Context, s store.Schema) (store.Backend, error) {
				return open(ctx, t, with(t, text, "search_path", schema), s)
			})
		})
	}
	if ran < 4 {
		t.Errorf("%d cases ran", ran)
	}
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
