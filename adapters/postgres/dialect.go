package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/portico-sso/portico/adapters/bunstore"
)

var dialect = bunstore.Dialect{
	Placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
	Types:       bunstore.Types{Key: `text COLLATE "C"`, Unique: "bytea", Body: "bytea", Number: "bigint"},
	Direct:      true,
	Ordered:     true,
	Lock:        lock,
	Explain:     explain,
	Inspect:     inspect,
}

// Codes of PostgreSQL's errors, those that more than explain looks at.
const (
	readOnly           = "25006" // read_only_sql_transaction: the primary of before is one no more
	invalidStatement   = "26000" // invalid_sql_statement_name
	duplicateStatement = "42P05" // duplicate_prepared_statement
)

// explain reads the codes of https://www.postgresql.org/docs/current/errcodes-appendix.html. Of an error without a code
// nobody knows whether the server did what it was asked. pgconn.SafeToRetry does not tell either: to read from a
// connection that was lost after a COMMIT was sent is "conn closed", which it holds to be safe.
func explain(err error) bunstore.Failure {
	var e *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &connect), errors.Is(err, pgx.ErrTxCommitRollback):
		return bunstore.Failure{Kind: bunstore.Unavailable}
	case errors.As(err, &e):
		return explainCode(e)
	case lost(err):
		return bunstore.Failure{Kind: bunstore.Lost}
	}
	return bunstore.Failure{}
}

func explainCode(e *pgconn.PgError) bunstore.Failure {
	if fatal(e) {
		return bunstore.Failure{Kind: bunstore.Lost}
	}
	switch e.Code {
	case "23505": // unique_violation
		return bunstore.Failure{Kind: bunstore.Unique, Name: e.ConstraintName}
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available (of a lock_timeout)
		return bunstore.Failure{Kind: bunstore.Conflict}
	case "40003": // statement_completion_unknown
		return bunstore.Failure{Kind: bunstore.Lost}
	case "57014", // query_canceled: of a statement_timeout
		readOnly, invalidStatement, duplicateStatement:
		return bunstore.Failure{Kind: bunstore.Unavailable}
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "53", "57", "58", "XX": // connection, resources, an operator's hand, the system, the server itself
		return bunstore.Failure{Kind: bunstore.Lost}
	}
	return bunstore.Failure{}
}

// fatal says that the server ends the connection with this error, at whatever point a commit was.
func fatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC" || e.Severity == "FATAL" || e.Severity == "PANIC"
}

func lost(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// lockKey is "portico" as a number.
const lockKey = 0x706f727469636f

// lock takes a lock that ends with the transaction, which pools of connections between us and the server allow.
func lock(ctx context.Context, tx *sql.Tx) (func(), error) {
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey))
	return func() {}, err
}

// inspect reads the catalog (https://www.postgresql.org/docs/current/catalogs.html) of the schema that new tables go to.
func inspect(ctx context.Context, q bunstore.Querier) (bunstore.Structure, error) {
	rows, err := q.QueryContext(ctx, `
		WITH here AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
		SELECT t.relname::text, false, a.attname::text FROM pg_catalog.pg_class t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid
			WHERE t.relnamespace IN (SELECT oid FROM here) AND t.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL SELECT t.relname::text, true, i.relname::text FROM pg_catalog.pg_index x
			JOIN pg_catalog.pg_class t ON t.oid = x.indrelid JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
			WHERE t.relnamespace IN (SELECT oid FROM here) AND x.indisvalid`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	s := bunstore.Structure{}
	for rows.Next() {
		var table, name string
		var index bool
		if err := rows.Scan(&table, &index, &name); err != nil {
			return nil, err
		}
		s.Add(table, name, index)
	}
	return s, rows.Err()
}
