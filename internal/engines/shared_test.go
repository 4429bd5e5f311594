package engines

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Two fresh databases on the shared server share nothing, and are gone after their tests.
func TestFresh(t *testing.T) {
	for _, e := range []Engine{Postgres, Postgres18, MariaDB, MySQL} {
		t.Run(string(e), func(t *testing.T) {
			var kept string
			t.Run("use", func(t *testing.T) {
				first, second := &Server{Engine: e, URL: Fresh(t, e)}, &Server{Engine: e, URL: Fresh(t, e)}
				write(t, first, "a")
				write(t, second, "b")
				if n := count(t, first); n != 1 {
					t.Errorf("%d writes in a database that had one", n)
				}
				kept = first.URL
			})
			if kept != "" && kinds[e].ping(t.Context(), kept) == nil {
				t.Error("the database stays")
			}
		})
	}
	for _, e := range []Engine{Redis, Valkey} {
		t.Run(string(e), func(t *testing.T) { freshPrefix(t, e) })
	}
}

func freshPrefix(t *testing.T, e Engine) {
	c, err := openRedis(URL(t, e))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var prefix string
	t.Run("use", func(t *testing.T) {
		u, err := url.Parse(Fresh(t, e))
		if err != nil {
			t.Fatal(err)
		}
		prefix = u.Query().Get("prefix")
		if err := c.Set(t.Context(), "{"+prefix+"}:a", "1", 0).Err(); err != nil {
			t.Fatal(err)
		}
	})
	if n := c.Exists(t.Context(), "{"+prefix+"}:a").Val(); prefix == "" || n != 0 {
		t.Errorf("%d keys of prefix %q stay", n, prefix)
	}
}

// The versions are those that the tests are meant for.
func TestVersions(t *testing.T) {
	for e, want := range map[Engine]string{Postgres: "PostgreSQL", Postgres18: "PostgreSQL 18", MariaDB: "MariaDB"} {
		t.Run(string(e), func(t *testing.T) {
			if got := version(t, openSQL(t, &Server{Engine: e, URL: URL(t, e)})); !strings.Contains(got, want) {
				t.Errorf("%s is %s", e.Variable(), got)
			}
		})
	}
	t.Run(string(MySQL), func(t *testing.T) {
		if got := version(t, openSQL(t, &Server{Engine: MySQL, URL: URL(t, MySQL)})); strings.Contains(got, "MariaDB") {
			t.Errorf("%s is %s", MySQL.Variable(), got)
		}
	})
	t.Run(string(Valkey), func(t *testing.T) {
		c, err := openRedis(URL(t, Valkey))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.Info(t.Context(), "server").Val(); !strings.Contains(got, "valkey_version:9") {
			t.Errorf("%s is %s", Valkey.Variable(), got)
		}
	})
}

func version(t *testing.T, db *sql.DB) (text string) {
	if err := db.QueryRowContext(t.Context(), "SELECT version()").Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// verdict is a test that is skipped or fails.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (v *verdict) Helper()               {}
func (v *verdict) Skipf(string, ...any)  { v.skipped = true }
func (v *verdict) Fatalf(string, ...any) { v.failed = true }

func TestMissingEngineSkipsOrFails(t *testing.T) {
	for _, e := range All {
		t.Setenv(e.Variable(), "")
		for require, fails := range map[string]bool{"": false, "0": false, "1": e != Mongo} {
			t.Setenv("PORTICO_TEST_REQUIRE", require)
			v := &verdict{}
			if got := URL(v, e); got != "" || v.failed != fails || v.skipped == fails && !v.failed {
				t.Errorf("%s with PORTICO_TEST_REQUIRE=%q: failed %v, skipped %v", e, require, v.failed, v.skipped)
			}
		}
		t.Setenv(e.Variable(), "given")
		v := &verdict{}
		if got := URL(v, e); got != "given" || v.failed || v.skipped {
			t.Errorf("%s given: %q", e, got)
		}
	}
}

func TestHalfMadeFolderIsNotUsed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root uses the folder")
	}
	dir := t.TempDir()
	mysqld := filepath.Join(dir, ".cache/engines/sid/usr/sbin/mysqld")
	for path, text := range map[string]string{filepath.Join(dir, "go.mod"): "module x\n", mysqld: "#!/bin/sh\n"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	if p, err := find(MySQL); err == nil {
		t.Errorf("MySQL of a half-made folder is used: %+v", p)
	}
	root, _ := sidRoot()
	if err := os.WriteFile(filepath.Join(root, wholeMark), []byte("other-packages"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := find(MySQL); err == nil {
		t.Errorf("MySQL of a folder for other packages is used: %+v", p)
	}
	if err := os.WriteFile(filepath.Join(root, wholeMark), []byte(sidPackages), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := find(MySQL); err != nil || p.root != root {
		t.Errorf("MySQL of a whole folder is not found: %+v, %v", p, err)
	}
	if err := checkSid(t.Context(), root); err == nil {
		t.Error("a folder without programs that run passes for whole")
	}
}

// Folders of servers whose tests were killed go with the next start; those of running tests stay.
func TestFoldersOfKilledTestsGo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	used, err := newHome("")
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(os.TempDir(), homePrefix+"left")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for _, home := range []string{left, used.path} {
		if err := os.Chtimes(filepath.Join(home, "lock"), old, old); err != nil {
			t.Fatal(err)
		}
	}
	next, err := newHome("")
	if err != nil {
		t.Fatal(err)
	}
	defer next.close()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("a folder that nobody uses: %v", err)
	}
	if _, err := os.Stat(used.path); err != nil {
		t.Errorf("a folder in use: %v", err)
	}
	if err := used.close(); err != nil {
		t.Error(err)
	}
}
