// Package mysql keeps documents in MySQL (https://www.mysql.com), MariaDB (https://mariadb.org), a Galera cluster, or what
// speaks MySQL's protocol and SQL.
//
// Tables are InnoDB's. Keys are VARBINARY, which compares and orders as bytes: of text, even binary collations pad, and
// others fold. An index of four keys of 512 bytes, the id and the expiry has 2,568 of the 3,072 bytes that InnoDB allows
// with pages of 16 KiB and ROW_FORMAT=DYNAMIC. What a URL may say is in docs/mysql.md.
package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/go-sql-driver/mysql"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// Driver opens mysql://user:password@host:port/database?parameters, and the same with mariadb.
var Driver = store.Driver{Schemes: []string{"mysql", "mariadb"}, Open: open}

func open(ctx context.Context, u *url.URL, schema store.Schema, o store.DriverOptions) (store.Backend, error) {
	if err := schema.Validate(); err != nil {
		return nil, err
	}
	c, err := parse(u)
	if err != nil {
		return nil, err
	}
	return c.open(ctx, schema, o.Logger)
}

func (c config) open(ctx context.Context, schema store.Schema, logger *slog.Logger) (*bunstore.Backend, error) {
	if c.chance {
		logger.WarnContext(ctx, "the database's URL has no ssl-mode, so that neither encryption nor the server is verified: "+
			"give ssl-mode=verify_identity, or ssl-mode=disabled on a network of your own", "address", c.conn.Addr)
	}
	c.conn.Logger = driverLog{logger}
	s, err := c.ask(ctx)
	if err == nil {
		err = s.examine(ctx, c, logger)
	}
	if err != nil {
		return nil, fmt.Errorf("mysql: %s: %w", c.conn.Addr, err)
	}
	c.conn.Params = s.settings(c)
	c.pool.IdleTime, _ = s.silence(c.pool)
	db, err := c.pooled()
	if err != nil {
		return nil, err
	}
	return bunstore.New(bunstore.Config{Write: db, Read: db, Dialect: c.dialect(), Schema: schema}), nil
}

// pooled makes a pool of connections.
func (c config) pooled() (*bun.DB, error) {
	k, err := c.connector()
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(k)
	c.pool.Apply(db)
	return bun.NewDB(db, quoting{mysqldialect.New()}), nil
}

func (c config) connector() (driver.Connector, error) {
	inner, err := mysql.NewConnector(c.conn)
	if err != nil {
		return nil, fmt.Errorf("%w: the mysql URL: %w", store.ErrInvalid, err)
	}
	return connector{inner, c.timeout, c.prepared}, nil
}

// quoting is bun's dialect, which is asked for quotation marks alone: it need not ask the server for its version, which
// it would do without a context.
type quoting struct{ *mysqldialect.Dialect }

// Init implements schema.Dialect.
func (quoting) Init(*sql.DB) {}

// driverLog is where the driver tells of connections that break, of which each call that meets one tells as well.
type driverLog struct{ *slog.Logger }

// Print implements mysql.Logger.
func (l driverLog) Print(v ...any) { l.Debug("database connection", "detail", fmt.Sprint(v...)) }

// outcome says an error of opening in the port's terms.
func outcome(err error) error {
	switch explain(err).Kind {
	case bunstore.Unavailable, bunstore.Lost:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}
