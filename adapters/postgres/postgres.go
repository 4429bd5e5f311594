// Package postgres keeps documents in PostgreSQL (https://www.postgresql.org), or in what speaks its protocol and SQL.
//
// Reads and commits go to the primary. A commit is one READ COMMITTED transaction in at most two round trips. What a
// URL may say is in docs/postgres.md.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// Driver opens postgres://user:password@host:port/database?parameters, and the same with postgresql.
var Driver = store.Driver{Schemes: []string{"postgres", "postgresql"}, Open: open}

func open(ctx context.Context, u *url.URL, schema store.Schema, o store.DriverOptions) (store.Backend, error) {
	c, err := parse(u)
	if err != nil {
		return nil, err
	}
	return c.open(ctx, schema, o.Logger)
}

func (c config) open(ctx context.Context, schema store.Schema, logger *slog.Logger) (store.Backend, error) {
	if err := schema.Validate(); err != nil {
		return nil, err
	}
	if c.chance {
		logger.WarnContext(ctx, "the database may be reached without encryption, and its server is not verified: "+
			"give its URL sslmode=verify-full, or sslmode=disable on a network of your own", "host", c.conn.Host)
	}
	c.conn.OnPgError = func(_ *pgconn.PgConn, e *pgconn.PgError) bool {
		if e.Code == invalidStatement || e.Code == duplicateStatement {
			logger.WarnContext(ctx, pooled, "code", e.Code)
		}
		return stays(e)
	}
	pool := stdlib.OpenDB(*c.conn)
	c.pool.Apply(pool)
	d := dialect
	d.Patience, d.Run = c.pool.Patience, runner{c.pool.Patience}.run
	db := bun.NewDB(pool, pgdialect.New())
	b := bunstore.New(bunstore.Config{Write: db, Read: db, Dialect: d, Schema: schema})
	if err := c.examine(ctx, pool, logger); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: %w", err), b.Close())
	}
	return b, nil
}

// pooled is the cure where a pooler gives each transaction another connection.
const pooled = "between here and the database is a pooler that keeps no sessions: give its URL default_query_exec_mode=exec"

// examine refuses a server that cannot keep the port's promises, and warns of one that is set not to.
func (c config) examine(ctx context.Context, pool *sql.DB, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, c.pool.Patience)
	defer cancel()
	var encoding, commit, fsync string
	err := pool.QueryRowContext(ctx, `SELECT current_setting('server_encoding'), coalesce(current_setting('synchronous_commit', true), ''),
		coalesce(current_setting('fsync', true), '')`).Scan(&encoding, &commit, &fsync)
	switch {
	case err != nil:
		return c.outcome(err)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s; make one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	case commit == "off" || fsync == "off":
		logger.WarnContext(ctx, "the database may lose acknowledged commits when it crashes", "synchronous_commit", commit, "fsync", fsync)
	}
	return nil
}

// outcome says an error of opening in the port's terms.
func (c config) outcome(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		if cure := c.cure(e); cure != "" {
			return fmt.Errorf("%s: %w", cure, err)
		}
	}
	switch explain(err).Kind {
	case bunstore.Unavailable, bunstore.Lost:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// cure is what to do where the server does not let us in and waiting does not help.
func (c config) cure(e *pgconn.PgError) string {
	switch {
	case e.Code == "28P01", e.Code == "28000": // invalid_password, invalid_authorization_specification
		return "the server does not let in this user and password: correct them in the URL, or the role or pg_hba.conf at the server"
	case e.Code == "3D000": // invalid_catalog_name
		return "there is no database " + c.conn.Database + ": make it, or name another in the URL"
	case strings.Contains(e.Message, "unsupported startup parameter"): // as PgBouncer says
		return pooled
	}
	return ""
}
