package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
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
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			conformance(t, func(t *testing.T) string { return engines.Fresh(t, e) })
		})
	}
}

// TestConformanceUnprepared runs the suite as it is for proxies that keep no prepared statements.
func TestConformanceUnprepared(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
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

// TestLeastPrivileges works with what docs/mysql.md says that an account needs, and nothing more.
func TestLeastPrivileges(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			fresh := engines.Fresh(t, e)
			u, err := url.Parse(fresh)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimPrefix(u.Path, "/")
			db := connect(t, fresh)
			for _, statement := range []string{
				"CREATE USER " + name + " IDENTIFIED BY 'a password'",
				"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON " + name + ".* TO " + name,
			} {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP USER "+name) })
			u.User = url.UserPassword(name, "a password")
			for n := range 2 { // the second generation alters the first one's tables
				s := openStore(t, u.String(), generation(n+1))
				d := store.Doc{ID: fmt.Sprint(n), Version: 1, Keys: map[string]string{"tenant": "t", "f0": fmt.Sprint(n)}}
				if err := s.Commit(t.Context(), store.Insert("c0", d), store.Insert("c1", d)); err != nil {
					t.Error(err)
				}
				if err := s.Commit(t.Context(), store.Update("c0", d), store.Delete("c1", d)); err != nil {
					t.Error(err)
				}
			}
			u.User = url.UserPassword(name, "another password")
			if _, err := open(t.Context(), t, u.String(), things); errors.Is(err, store.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "correct them in the URL") || strings.Contains(err.Error(), "another password") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}
