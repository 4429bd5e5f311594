package bunstore

import (
	"context"
	"database/sql"
	"time"
)

// Dialect is what differs between SQL engines beyond what bun's own dialect knows.
type Dialect struct {
	// Placeholder is the text of the n-th bound value of a statement, from 1.
	Placeholder func(n int) string
	// Limit is the same where it stands behind LIMIT or OFFSET; nil is Placeholder.
	Limit func(n int) string
	// Types are the column types.
	Types Types
	// Ordered says that the planner takes an index for the order that it gives, if for nothing else: a range is always ordered
	// by a column that it bounds, and that is said to be at least and at most its value where it has but one. An equal
	// column would be none to order by, and any index with the rest in order would do.
	Ordered bool
	// Embedded says that the engine runs in this process and runs one writing transaction at a time. Then all commits
	// share one connection, a Check only reads, and a context is judged before a call and while it waits for its turn,
	// not while a statement runs, which would cost a watching goroutine. Elsewhere a Check writes a hidden counter:
	// reading a row at READ COMMITTED guards nothing.
	Embedded bool
	// Steered says that the planner must be told: a range names its index (FORCE INDEX), and a cursor's comparison of
	// rows, (a, b) > (x, y), is spelled out, as it would not be sought. So it is with MySQL, where otherwise a page
	// from the middle of 100,000 documents reads half of them.
	Steered bool
	// Direct says that the driver prepares and keeps statements by itself: it is given their texts.
	Direct bool
	// Patience is how long a call may take before it is given up as if its connection were lost; 0 is no limit. It is
	// not for engines that are Embedded.
	Patience time.Duration
	// Run runs steps in one transaction on a connection of the pool and says how many rows they changed. Of an error it
	// says at which step it was, len(steps) if it was in committing, -1 before the first; where a step that must meet a
	// row met none it answers store.ErrConflict. From the moment it commits it does not heed the context. nil runs them
	// one by one through database/sql.
	Run func(ctx context.Context, db *sql.DB, steps []Step) (rows int64, at int, err error)
	// Lock keeps others from migrating until the transaction has ended and unlock is called; nil where transactions of
	// themselves do.
	Lock func(ctx context.Context, tx *sql.Tx) (unlock func(), err error)
	// TableWise says that a change of structure commits by itself, and that it is made table by table: one statement
	// makes a table with its indexes, or alters it. What another instance has made meanwhile fails as Exists.
	TableWise bool
	// Explain says what an engine's error means.
	Explain func(err error) Failure
	// Inspect reads which tables, columns and indexes there are.
	Inspect func(ctx context.Context, q Querier) (Structure, error)
}

// Types are the column types of an engine.
type Types struct {
	Key    string // text of at most 512 bytes that compares as bytes
	Unique string // bytes, at most 255; not text, since NUL is among them
	Body   string // bytes
	Number string // 64 bits
	Table  string // what stands behind the columns of a new table; "" but where the dialect is TableWise
}

// FailureKind is what an engine's error means.
type FailureKind uint8

// The kinds of failure.
const (
	Unknown     FailureKind = iota
	Unique                  // a unique index is violated
	Exists                  // what a change of structure would make is there
	Conflict                // concurrent transactions met; another try may succeed
	Unavailable             // the engine refused; surely nothing was applied, not even by a commit under way
	Lost                    // the answer was lost: a commit under way may be applied
)

// Failure is what an engine's error means.
type Failure struct {
	Kind FailureKind
	Name string // of Unique: the column or the index, whichever the engine tells
}
