package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// connector makes connections within a time, the server's greeting and TLS included, which the driver does not count. If it
// keeps, each prepares a text with bound values once and keeps the statement: database/sql would need to be told of each
// text before, and would keep any number, of which a server allows 16,382 in all (max_prepared_stmt_count).
type connector struct {
	driver.Connector
	timeout time.Duration
	keeps   bool
}

// Connect implements driver.Connector.
func (k connector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	inner, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, connectError{err}
	}
	c, ok := inner.(driverConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("mysql: a connection is a %T", inner), inner.Close())
	}
	return &conn{driverConn: c, keeps: k.keeps, kept: map[string]*statement{}}, nil
}

// connectError says that no connection was made.
type connectError struct{ error }

func (e connectError) Unwrap() error { return e.error }

// driverConn is what the driver's connections can do.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// conn is a connection with the statements that it keeps.
type conn struct {
	driverConn
	keeps bool
	kept  map[string]*statement
	uses  uint64
}

// Ping implements driver.Pinger. A Galera node that has lost its cluster answers the protocol's ping and nothing else.
func (c *conn) Ping(ctx context.Context) error {
	_, err := c.driverConn.ExecContext(ctx, "SELECT 1", nil)
	return err
}

type statement struct {
	driver.Stmt
	last uint64 // the connection's uses when it was used last
}

// most is how many statements a connection keeps. Those of a sign-in are some thirty.
const most = 100

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 || !c.keeps {
		return c.driverConn.ExecContext(ctx, text, args)
	}
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	r, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return r, c.used(text, err)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 || !c.keeps {
		return c.driverConn.QueryContext(ctx, text, args)
	}
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	r, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err := c.used(text, err); err != nil {
		return nil, err
	}
	return r, nil
}

// statement is the one kept for the text, or a new one. It takes the place of the one that was used least recently.
func (c *conn) statement(ctx context.Context, text string) (*statement, error) {
	c.uses++
	s := c.kept[text]
	if s == nil {
		if len(c.kept) >= most {
			c.forget(c.oldest())
		}
		p, err := c.PrepareContext(ctx, text)
		if err != nil {
			return nil, err
		}
		s = &statement{Stmt: p}
		c.kept[text] = s
	}
	s.last = c.uses
	return s, nil
}

func (c *conn) oldest() string {
	oldest, last := "", c.uses
	for text, s := range c.kept {
		if s.last < last {
			oldest, last = text, s.last
		}
	}
	return oldest
}

func (c *conn) forget(text string) {
	_ = c.kept[text].Close()
	delete(c.kept, text)
}

// used passes an error on and forgets a statement that the server no longer has or cannot run any more.
func (c *conn) used(text string, err error) error {
	var e *mysql.MySQLError
	if errors.As(err, &e) && (e.Number == erUnknownStatement || e.Number == erNeedReprepare) {
		c.forget(text)
	}
	return err
}
