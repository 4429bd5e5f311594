package engines

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"
)

// StartPooler runs PgBouncer (https://www.pgbouncer.org) before a PostgreSQL database until the test ends, and returns the
// database's URL with its address. It gives each transaction any of a few connections, and keeps nothing of a session.
// Schemas of the database are databases behind it, too.
func StartPooler(t testing.TB, database string, schemas ...string) string {
	t.Helper()
	path, ok := look("pgbouncer")
	if !ok {
		missing(t, Postgres, "pgbouncer is not installed")
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHome("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.close() })
	at := fmt.Sprintf("host=%s port=%s user=%s", u.Hostname(), u.Port(), u.User.Username())
	if password, _ := u.User.Password(); password != "" {
		at += " password=" + password
	}
	text := "[databases]\n* = " + at + "\n"
	for _, s := range schemas {
		text += fmt.Sprintf("%s = %s dbname=%s connect_query='SET search_path TO %s'\n", s, at, u.Path[1:], s)
	}
	config, err := h.write("pgbouncer.ini", text+"[pgbouncer]\nlisten_addr="+loopback+"\nlisten_port="+port+"\nunix_socket_dir=\nauth_type=any\n"+
		"pool_mode=transaction\ndefault_pool_size=5\nserver_idle_timeout=1\nmax_client_conn=200\n")
	if err != nil {
		t.Fatal(err)
	}
	command, err := program{}.command(context.Background(), path, config) // ended below, when the test has
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.run(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.end(kill) })
	u.Host = net.JoinHostPort(loopback, port)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for {
		if err = pingPostgres(ctx, u.String()); err == nil {
			return u.String()
		}
		select {
		case <-p.done:
			t.Fatalf("pgbouncer ended:\n%s", h.log)
		case <-ctx.Done():
			t.Fatalf("pgbouncer does not answer: %v\n%s", err, h.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
