package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// runner runs commits, each within its patience.
type runner struct{ patience time.Duration }

// run is bunstore.Dialect.Run. A single step commits by itself, in one round trip; several run between START TRANSACTION
// and COMMIT. database/sql's transactions are not for this: their COMMIT waits for ever.
func (r runner) run(ctx context.Context, db *sql.DB, steps []bunstore.Step) (rows int64, at int, err error) {
	run, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.patience)
	defer cancel()
	settle := context.AfterFunc(ctx, cancel)
	defer settle()
	conn, err := db.Conn(run)
	if err != nil {
		return 0, -1, err
	}
	t := transaction{conn, steps, settle}
	defer func() { t.end(run, err) }()
	if len(steps) == 1 {
		return t.single(run)
	}
	return t.several(run)
}

// transaction is one commit on its connection.
type transaction struct {
	*sql.Conn
	steps  []bunstore.Step
	settle func() bool // ends the dependence on the caller's context, unless that has ended
}

func (t transaction) single(ctx context.Context) (rows int64, at int, err error) {
	if !t.settle() {
		return 0, 0, context.Canceled
	}
	if rows, err = t.step(ctx, 0); err != nil && !certain(err) {
		at = 1
	}
	return rows, at, err
}

// certain says that an error of what commits by itself is one by which the server refused it, so that it is not made.
func certain(err error) bool {
	var e *mysql.MySQLError
	kind := explain(err).Kind
	return kind == bunstore.Unavailable || errors.As(err, &e) && kind != bunstore.Lost
}

func (t transaction) several(ctx context.Context) (rows int64, at int, err error) {
	if _, err := t.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return 0, -1, err
	}
	for at = range t.steps {
		n, err := t.step(ctx, at)
		if err != nil {
			return 0, at, err
		}
		rows += n
	}
	if !t.settle() {
		return 0, at, context.Canceled
	}
	if ctx.Err() != nil {
		return 0, at, ctx.Err()
	}
	_, err = t.ExecContext(ctx, "COMMIT")
	return rows, len(t.steps), err
}

func (t transaction) step(ctx context.Context, i int) (int64, error) {
	r, err := t.ExecContext(ctx, t.steps[i].Text(), t.steps[i].Args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 && t.steps[i].Must {
		return 0, store.ErrConflict
	}
	return n, err
}

// end gives the connection back to the pool, or drops it where what it holds is in doubt.
func (t transaction) end(ctx context.Context, err error) {
	defer func() { _ = t.Close() }()
	switch kind := explain(err).Kind; {
	case err == nil:
		return
	case errors.Is(err, store.ErrConflict), kind == bunstore.Unique, kind == bunstore.Conflict:
		if len(t.steps) == 1 {
			return
		}
		if _, err := t.ExecContext(ctx, "ROLLBACK"); err == nil {
			return
		}
	}
	_ = t.Raw(func(any) error { return driver.ErrBadConn })
}
