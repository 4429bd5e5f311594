package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

var dialect = bunstore.Dialect{
	Placeholder: func(int) string { return "?" },
	// A bare parameter here is part of what SQLite plans by, so that it would plan anew at each call: half its cost.
	Limit:    func(int) string { return "? + 0" },
	Types:    bunstore.Types{Key: "TEXT", Unique: "BLOB", Body: "BLOB", Number: "INTEGER"},
	Embedded: true,
	Explain:  explain,
	Inspect:  inspect,
}

// explain reads SQLite's result codes (https://sqlite.org/rescode.html).
func explain(err error) bunstore.Failure {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return bunstore.Failure{}
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return bunstore.Failure{Kind: bunstore.Unique, Name: column(e.Error())}
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_IOERR:
		return bunstore.Failure{Kind: bunstore.Lost}
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL:
		return bunstore.Failure{Kind: bunstore.Unavailable}
	}
	return bunstore.Failure{}
}

// column finds the column in "UNIQUE constraint failed: table.column (2067)", behind which more may stand.
func column(message string) string {
	_, rest, _ := strings.Cut(message, "constraint failed: ")
	if i := strings.LastIndex(rest, "failed: "); i >= 0 { // the text of the code may stand before it
		rest = rest[i+len("failed: "):]
	}
	name, _, _ := strings.Cut(rest, " ")
	return name
}

func unavailable(err error) error {
	if k := explain(err).Kind; k == bunstore.Unavailable || k == bunstore.Lost {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// inspect reads the catalog: https://sqlite.org/schematab.html, https://sqlite.org/pragma.html#pragma_table_info.
func inspect(ctx context.Context, q bunstore.Querier) (bunstore.Structure, error) {
	rows, err := q.QueryContext(ctx, `SELECT m.name, 0, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'
		UNION ALL SELECT tbl_name, 1, name FROM sqlite_schema WHERE type = 'index'`)
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
