package bunstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"
)

// writer runs writing transactions.
type writer interface {
	// prepare makes a statement ready, before begin: a pool that is used up by transactions prepares nothing more.
	prepare(ctx context.Context, s *statement) error
	begin(ctx context.Context) (transaction, error)
	// alone runs fn on a connection for itself.
	alone(ctx context.Context, fn func(*sql.Conn) error) error
	close() error
}

// transaction is one writing transaction. It ends with commit or rollback.
type transaction interface {
	exec(s Step) (rows int64, err error)
	settle() error // from here on the context does not end it
	commit() error
	rollback()
}

// pool is the writer of engines behind a network.
type pool struct {
	db       *sql.DB
	patience time.Duration // 0: no limit
}

type poolTx struct {
	*sql.Tx
	ctx    context.Context
	stop   func() bool // ends ctx's dependence on the caller's context, and says whether that is still alive
	cancel context.CancelFunc
}

func (p pool) prepare(ctx context.Context, s *statement) error { return s.prepare(ctx, p.db) }

func (p pool) begin(ctx context.Context) (transaction, error) {
	run, cancel := limited(context.WithoutCancel(ctx), p.patience)
	stop := context.AfterFunc(ctx, cancel)
	tx, err := p.db.BeginTx(run, nil)
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	return poolTx{tx, run, stop, cancel}, nil
}

// limited is a context that ends after so long, 0 being never.
func limited(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

func (p pool) alone(ctx context.Context, fn func(*sql.Conn) error) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return fn(conn)
}

func (p pool) close() error { return p.db.Close() }

func (t poolTx) exec(s Step) (int64, error) {
	var r sql.Result
	var err error
	if s.statement.direct {
		r, err = t.ExecContext(t.ctx, s.Text(), s.Args...)
	} else {
		r, err = t.StmtContext(t.ctx, s.statement.prepared.Load()).ExecContext(t.ctx, s.Args...)
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t poolTx) settle() error {
	if !t.stop() {
		return context.Canceled
	}
	return t.ctx.Err()
}

func (t poolTx) commit() error {
	defer t.cancel()
	return t.Commit()
}

func (t poolTx) rollback() {
	defer t.cancel()
	t.stop()
	_ = t.Rollback()
}

// serial is the writer of an embedded engine: one connection, with its statements, for one transaction at a time.
// A sql.Tx would start a goroutine and look up each statement anew, which takes a quarter of a commit's processor
// time (measured with SQLite).
type serial struct {
	db   *sql.DB
	turn chan struct{} // whoever put its one token has the rest
	conn *sql.Conn     // nil until the first transaction, and after a failure that leaves its state in doubt
	own  map[string]*sql.Stmt
}

func newSerial(db *sql.DB) *serial { return &serial{db: db, turn: make(chan struct{}, 1)} }

func (s *serial) prepare(context.Context, *statement) error { return nil }

func (s *serial) begin(ctx context.Context) (transaction, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t := serialTx{s, context.WithoutCancel(ctx)}
	if err := t.start(); err != nil {
		s.drop()
		<-s.turn
		return nil, err
	}
	if ctx.Err() != nil { // another process's commit may have taken its time
		t.rollback()
		return nil, ctx.Err()
	}
	return t, nil
}

func (s *serial) alone(ctx context.Context, fn func(*sql.Conn) error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	s.drop()
	return pool{db: s.db}.alone(ctx, fn)
}

func (s *serial) close() error {
	s.turn <- struct{}{} // a commit under way ends first
	defer func() { <-s.turn }()
	s.drop()
	return s.db.Close()
}

// drop gives the connection up, and with it whatever transaction it may still have.
func (s *serial) drop() {
	for _, stmt := range s.own {
		_ = stmt.Close()
	}
	if s.conn != nil {
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = s.conn.Close()
	}
	s.conn, s.own = nil, nil
}

type serialTx struct {
	*serial
	ctx context.Context
}

func (t serialTx) start() error {
	if t.conn == nil {
		conn, err := t.db.Conn(t.ctx)
		if err != nil {
			return err
		}
		t.conn, t.own = conn, map[string]*sql.Stmt{}
	}
	return t.run("BEGIN IMMEDIATE")
}

func (t serialTx) stmt(text string) (*sql.Stmt, error) {
	if p := t.own[text]; p != nil {
		return p, nil
	}
	p, err := t.conn.PrepareContext(t.ctx, text)
	if err == nil {
		t.own[text] = p
	}
	return p, err
}

func (t serialTx) run(text string) error {
	p, err := t.stmt(text)
	if err != nil {
		return err
	}
	_, err = p.ExecContext(t.ctx)
	return err
}

func (t serialTx) exec(s Step) (int64, error) {
	p, err := t.stmt(s.Text())
	if err != nil {
		return 0, err
	}
	if s.reads {
		return found(p.QueryRowContext(t.ctx, s.Args...))
	}
	r, err := p.ExecContext(t.ctx, s.Args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// found counts the row that a query asks for.
func found(row *sql.Row) (int64, error) {
	var one int64
	err := row.Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return one, err
}

func (t serialTx) settle() error { return nil }

func (t serialTx) commit() error {
	err := t.run("COMMIT")
	if err != nil {
		t.drop()
	}
	<-t.turn
	return err
}

func (t serialTx) rollback() {
	if t.run("ROLLBACK") != nil {
		t.drop()
	}
	<-t.turn
}
