package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// runner runs commits, each within its patience.
type runner struct{ patience time.Duration }

// run is bunstore.Dialect.Run. It sends at once what need not wait for an answer:
//
//	one step               the step, which commits by itself
//	several, none a guard  BEGIN, the steps, COMMIT
//	otherwise              BEGIN, all steps up to the last guard; where they met their rows, the other steps, COMMIT
//
// After a step that fails the server skips what was sent behind it, COMMIT too.
func (r runner) run(ctx context.Context, db *sql.DB, steps []bunstore.Step) (rows int64, at int, err error) {
	conn, err := r.connect(ctx, db)
	if err != nil {
		return 0, -1, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.Raw(func(c any) error {
		t := transaction{Conn: c.(*stdlib.Conn).Conn(), steps: steps}
		at, err = t.run(ctx, r.patience)
		rows = t.rows
		if !t.idle() {
			return driver.ErrBadConn // the pool drops it
		}
		return nil
	})
	return rows, at, err
}

func (r runner) connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	return db.Conn(ctx)
}

// transaction is one commit on its connection.
type transaction struct {
	*pgx.Conn
	steps []bunstore.Step
	rows  int64 // changed so far
}

// run answers at which step an error was. What commits does not heed ctx: it would leave nobody knowing.
func (t *transaction) run(ctx context.Context, patience time.Duration) (at int, err error) {
	run, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	settle := context.AfterFunc(ctx, cancel)
	defer settle()
	before, guards, after := "BEGIN ISOLATION LEVEL READ COMMITTED", t.guards(), "COMMIT"
	switch {
	case len(t.steps) == 1:
		before, guards, after = "", 0, ""
	case guards > 0:
		if at, err := t.send(run, before, 0, guards, ""); err != nil {
			return at, err
		}
		before = ""
	}
	if !settle() {
		return -1, context.Canceled
	}
	if run.Err() != nil {
		return -1, run.Err()
	}
	at, err = t.send(run, before, guards, len(t.steps), after)
	if err != nil && !refused(err) {
		at = len(t.steps)
	}
	return at, err
}

// guards counts the steps up to the last that must meet a row.
func (t *transaction) guards() int {
	n := len(t.steps)
	for n > 0 && !t.steps[n-1].Must {
		n--
	}
	return n
}

// refused says that an error of what commits tells that it is not made.
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.Is(err, store.ErrConflict) || errors.As(err, &e) && explain(e).Kind != bunstore.Lost
}

// send sends some of the steps, between the texts before and after unless they are "", and reads all answers.
func (t *transaction) send(ctx context.Context, before string, from, to int, after string) (at int, err error) {
	var batch pgx.Batch
	if before != "" {
		batch.Queue(before)
	}
	for _, s := range t.steps[from:to] {
		batch.Queue(s.Text(), s.Args...)
	}
	if after != "" {
		batch.Queue(after)
	}
	results := t.SendBatch(ctx, &batch)
	at, err = t.answers(results, before != "", from, to, after != "")
	if closed := results.Close(); err == nil && after == "" { // an acknowledged COMMIT is made, whatever comes behind it
		at, err = from, closed
	}
	return at, err
}

func (t *transaction) answers(results pgx.BatchResults, begins bool, from, to int, commits bool) (at int, err error) {
	if begins {
		if _, err := results.Exec(); err != nil {
			return from, err
		}
	}
	missed := false
	for at := from; at < to; at++ {
		tag, err := results.Exec()
		if err != nil && missed { // what failed may have relied on what was missed
			return at, store.ErrConflict
		}
		if err != nil {
			return at, err
		}
		missed = missed || tag.RowsAffected() == 0 && t.steps[at].Must
		t.rows += tag.RowsAffected()
	}
	if missed {
		return to, store.ErrConflict
	}
	if commits {
		if tag, err := results.Exec(); err != nil {
			return to, err
		} else if tag.String() != "COMMIT" {
			return to, pgx.ErrTxCommitRollback
		}
	}
	return to, nil
}

// idle ends a transaction that is still open and says whether the connection can go on.
func (t *transaction) idle() bool {
	if t.IsClosed() || t.PgConn().TxStatus() == 'I' {
		return !t.IsClosed()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := t.Exec(ctx, "ROLLBACK")
	return err == nil
}
