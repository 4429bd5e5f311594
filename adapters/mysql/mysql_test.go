package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"testing"

	"github.com/portico-sso/portico/adapters/mysql"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var quiet = store.DriverOptions{Logger: slog.New(slog.DiscardHandler)}

var servers = []engines.Engine{engines.MariaDB, engines.MySQL}

func TestConformance(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) { conformance(t, func(t *testing.T) string { return engines.Fresh(t, e) }) })
	}
}

// TestConformanceUnprepared runs the suite as it is for proxies that keep no prepared statements.
func TestConformanceUnprepared(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			conformance(t, func(t *testing.T) string { return with(t, engines.Fresh(t, e), "prepared", "false") })
		})
	}
}

func conformance(t *testing.T, fresh func(*testing.T) string) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) storetest.Open { return opener(t, fresh(t)) })
}

func opener(t *testing.T, u string) storetest.Open {
	return func(ctx context.Context, s store.Schema) (store.Backend, error) { return open(ctx, t, u, s) }
}

func open(ctx context.Context, t testing.TB, text string, s store.Schema) (store.Backend, error) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return mysql.Driver.Open(ctx, u, s, quiet)
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

// address is the host and port of a URL.
func address(t testing.TB, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// connect opens a database as another program would.
func connect(t testing.TB, text string) *sql.DB {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)%s", u.User.Username(), password, u.Host, u.Path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
