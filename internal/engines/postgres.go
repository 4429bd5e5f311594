package engines

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	_ "github.com/jackc/pgx/v5/stdlib" // "pgx"
)

func createPostgres(ctx context.Context, s *Server) error {
	password, err := s.home.write("password", account)
	if err != nil {
		return err
	}
	return s.program.runIn(ctx, s.program.create, "--pgdata="+s.home.at(dataName), "--username="+account, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
}

func postgresArguments(s *Server) []string {
	settings := []string{
		"listen_addresses=" + loopback, "port=" + s.port, "unix_socket_directories=", "dynamic_shared_memory_type=mmap",
		"max_connections=300", "shared_buffers=64MB", "max_wal_size=512MB", "logging_collector=off", "jit=off",
	}
	if s.options.Fast {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	args := []string{"-D", s.home.at(dataName)}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return append(args, s.options.Args...)
}

// initdb makes a database of the name postgres.
func postgresURL(addr string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/postgres?sslmode=disable", account, account, addr)
}

func pingPostgres(ctx context.Context, text string) error { return pingSQL(ctx, openPostgres, text) }

func openPostgres(text string) (*sql.DB, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	keep := url.Values{} // the others are the adapter's, and PostgreSQL would refuse them
	for _, name := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey"} {
		if u.Query().Has(name) {
			keep.Set(name, u.Query().Get(name))
		}
	}
	u.RawQuery = keep.Encode()
	return sql.Open("pgx", u.String())
}
