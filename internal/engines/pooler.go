package engines

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"
)

// StartPooler runs PgBouncer (https://www.pgbouncer.org) before a PostgreSQL server until the test ends, and returns the
// server's URL with its address. It gives each transaction any of a few connections, and keeps nothing of a session.
func StartPooler(t testing.TB, server string) string {
	t.Helper()
	path, ok := look("pgbouncer")
	if !ok {
		missing(t, Postgres, "pgbouncer is not installed")
	}
	u, err := url.Parse(server)
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
	login := "user=" + u.User.Username()
	if password, _ := u.User.Password(); password != "" {
		login += " password=" + password
	}
	config, err := h.write("pgbouncer.ini", fmt.Sprintf("[databases]\n* = host=%s port=%s %s\n[pgbouncer]\nlisten_addr=%s\nlisten_port=%s\n"+
		"unix_socket_dir=\nauth_type=any\npool_mode=transaction\ndefault_pool_size=5\nmax_client_conn=200\n",
		u.Hostname(), u.Port(), login, loopback, port))
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
