package mysql

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{ // user:password@network(address)/database, and more
		"mysql://u:p@db.example/portico":                           "u:p@tcp(db.example:3306)/portico chance",
		"mariadb://u:p@db.example:3307/portico":                    "u:p@tcp(db.example:3307)/portico chance",
		"mysql://u@localhost/portico":                              "u:@tcp(localhost:3306)/portico",
		"mysql://u@127.0.0.1/portico":                              "u:@tcp(127.0.0.1:3306)/portico",
		"mysql://u@[::1]:1/portico":                                "u:@tcp([::1]:1)/portico",
		"mysql://u@[fe80::1]/portico?ssl-mode=preferred":           "u:@tcp([fe80::1]:3306)/portico",
		"mysql://u%40x:p%2F%3A%3F%23@h/a%20b":                      "u@x:p/:?#@tcp(h:3306)/a b chance",
		"mysql://u:p@/portico?socket=/run/mysqld/mysqld.sock":      "u:p@unix(/run/mysqld/mysqld.sock)/portico",
		"mysql://u:p@localhost/portico?socket=%2Fs":                "u:p@unix(/s)/portico",
		"mysql://u:p@h/d?ssl-mode=DISABLED&connect_timeout=3":      "u:p@tcp(h:3306)/d 3s",
		"mysql://u:p@h/d?ssl-mode=required&prepared=false":         "u:p@tcp(h:3306)/d tls unprepared",
		"mysql://u:p@h/d?ssl-mode=verify_identity":                 "u:p@tcp(h:3306)/d tls h",
		"mysql://u:p@h/d?ssl-mode=VERIFY_CA&pool_max_conns=3":      "u:p@tcp(h:3306)/d tls 3 conns",
		"mysql://u:p@h/d?ssl-mode=disabled&call_timeout=1m":        "u:p@tcp(h:3306)/d 1m",
		"mysql://u:p@h/d?ssl-mode=wrong":                           "ssl-mode",
		"mysql://u:p@h/d?sslmode=require":                          `"sslmode"`,
		"mysql://u:p@h/d?tls=true":                                 `"tls"`,
		"mysql://u:p@h/d?multiStatements=true":                     `"multiStatements"`,
		"mysql://u:p@h/d?ssl-mode=required&ssl-mode=disabled":      "twice",
		"mysql://u:p@h/d?pool_max_conns=0":                         "pool_max_conns",
		"mysql://u:p@h/d?prepared=perhaps":                         "prepared",
		"mysql://u:p@h/d?connect_timeout=0":                        "connect_timeout",
		"mysql://u:p@h/d?connect_timeout=5s":                       "connect_timeout",
		"mysql://u:p@h/d?%zz":                                      "malformed",
		"mysql://u:p@h/d#x":                                        "%23",
		"mysql:portico":                                            "mysql://user",
		"mysql://h/d":                                              "mysql://user",
		"mysql://u:p@h":                                            "mysql://user",
		"mysql://u:p@h/":                                           "mysql://user",
		"mysql://u:p@h/a/b":                                        "mysql://user",
		"mysql://u:p@/d":                                           "host",
		"mysql://u:p@h/d?socket=/s":                                "both",
		"mysql://u:p@h/d?ssl-ca=x":                                 "ssl-ca",
		"mysql://u:p@h/d?ssl-mode=required&ssl-ca=x":               "ssl-ca",
		"mysql://u:p@h/d?ssl-mode=verify_ca&ssl-ca=/no/file":       "ssl-ca",
		"mysql://u:p@h/d?ssl-mode=required&ssl-cert=x":             "both ssl-cert and ssl-key",
		"mysql://u:p@h/d?ssl-mode=required&ssl-key=x":              "both ssl-cert and ssl-key",
		"mysql://u:p@h/d?ssl-mode=required&ssl-cert=x&ssl-key=":    "both ssl-cert and ssl-key",
		"mysql://u:p@h/d?ssl-mode=disabled&ssl-cert=x&ssl-key=y":   "disabled",
		"mysql://u:p@h/d?ssl-mode=required&ssl-cert=/x&ssl-key=/y": "ssl-cert",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c, err := parse(u)
		if err != nil {
			if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p%2F") {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
			continue
		}
		if got := show(c); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// show is a config with what differs from the defaults.
func show(c config) string {
	s := c.conn.User + ":" + c.conn.Passwd + "@" + c.conn.Net + "(" + c.conn.Addr + ")/" + c.conn.DBName
	add := func(on bool, text string) {
		if on {
			s += " " + text
		}
	}
	add(c.timeout != 10*time.Second, c.timeout.String())
	add(c.conn.TLS != nil && !c.conn.AllowFallbackToPlaintext, "tls")
	add(c.conn.TLS != nil && c.conn.TLS.ServerName != "", "h")
	add(!c.prepared && c.conn.InterpolateParams, "unprepared")
	add(c.chance, "chance")
	add(c.pool.MaxConns != 16, "3 conns")
	add(c.pool.Patience != 30*time.Second, "1m")
	return s
}

func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := &url.URL{Scheme: "mysql", User: url.UserPassword("u", "planted"), Host: "h", Path: "/d", RawQuery: "ssl-mode=verify_ca&ssl-ca=" + url.QueryEscape(empty)}
	if _, err := parse(u); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "no certificate in PEM") || strings.Contains(err.Error(), "planted") {
		t.Errorf("a file without certificates: %v", err)
	}
}

// TestExamine holds what is refused, and that of what a server does not tell nothing is held against it.
func TestExamine(t *testing.T) {
	c := config{prepared: true}
	for want, s := range map[string]server{
		"max_allowed_packet": {"max_allowed_packet": "4194304"},
		"innodb_page_size":   {"innodb_page_size": "8192", "max_allowed_packet": "16777216"},
		"binlog_format":      {"log_bin": "ON", "binlog_format": "STATEMENT"},
		"primary":            {"read_only": "ON"},
	} {
		if err := s.examine(t.Context(), c, quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, s := range []server{{}, {"log_bin": "OFF", "binlog_format": "STATEMENT"}, {"innodb_page_size": "65536"}, {"max_allowed_packet": "4259840"}} {
		if err := s.examine(t.Context(), c, quiet); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
}

// TestSettings holds which variables a session sets on which server.
func TestSettings(t *testing.T) {
	c, err := parse(&url.URL{Scheme: "mysql", User: url.User("u"), Host: "h", Path: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"8.0.40-Vitess", "8.0.34-PlanetScale"} {
		if p := (server{"version": version}).settings(c); len(p) > 0 {
			t.Errorf("%s is to set %v", version, p)
		}
	}
	maria := server{"version": "10.11.19-MariaDB", "tx_isolation": "REPEATABLE-READ", "wsrep_on": "OFF", "idle_transaction_timeout": "0"}
	mysql := server{"version": "9.7.4", "transaction_isolation": "REPEATABLE-READ"}
	galera := server{"version": "11.8.2-MariaDB", "tx_isolation": "x", "transaction_isolation": "x", "wsrep_on": "ON"}
	for name, want := range map[string][3]string{
		"tx_isolation":             {"'READ-COMMITTED'", "", ""},
		"transaction_isolation":    {"", "'READ-COMMITTED'", "'READ-COMMITTED'"},
		"wsrep_sync_wait":          {"", "", "7"},
		"idle_transaction_timeout": {"30", "", ""},
		"innodb_lock_wait_timeout": {"10", "10", "10"},
		"wait_timeout":             {"360", "60", "60"},
	} {
		for i, s := range []server{maria, mysql, galera} {
			if got := s.settings(c)[name]; got != want[i] {
				t.Errorf("%s of %s: %q, want %q", name, s["version"], got, want[i])
			}
		}
	}
}

// TestParametersAreDocumented holds docs/mysql.md against the parameters that there are.
func TestParametersAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/mysql.md")
	if err != nil {
		t.Fatal(err)
	}
	pool := []string{"call_timeout", "pool_max_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time"}
	var documented []string
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `") {
			for name := range strings.SplitSeq(cells[1], ",") {
				documented = append(documented, strings.Trim(name, " `"))
			}
		}
	}
	want := slices.Sorted(slices.Values(append(pool, parameters...)))
	if got := slices.Sorted(slices.Values(documented)); !slices.Equal(got, want) {
		t.Errorf("docs/mysql.md has the parameters %q, want %q", got, want)
	}
}
