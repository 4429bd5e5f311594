package bunstore

import "context"

// Dialect is what differs between SQL engines beyond what bun's own dialect knows.
type Dialect struct {
	// Placeholder is the text of the n-th bound value of a statement, from 1.
	Placeholder func(n int) string
	// Limit is the same where it stands behind LIMIT or OFFSET; nil is Placeholder.
	Limit func(n int) string
	// Types are the column types.
	Types Types
	// Embedded says that the engine runs in this process and runs one writing transaction at a time. Then all commits
	// share one connection, a Check only reads, and a context is judged before a call and while it waits for its turn,
	// not while a statement runs, which would cost a watching goroutine. Elsewhere a Check writes a hidden counter:
	// reading a row at READ COMMITTED guards nothing.
	Embedded bool
	// Explain says what an engine's error means.
	Explain func(err error) Failure
	// Inspect reads which tables, columns and indexes there are.
	Inspect func(ctx context.Context, q Querier) (Structure, error)
}

// Types are the column types of an engine.
type Types struct {
	Key    string // text of at most 512 bytes that compares as bytes
	Unique string // bytes, at most four keys and three separators; not text, since the separator is NUL
	Body   string // bytes
	Number string // 64 bits
}

// FailureKind is what an engine's error means.
type FailureKind uint8

// The kinds of failure.
const (
	Unknown     FailureKind = iota
	Unique                  // a unique index is violated
	Conflict                // concurrent transactions met; another try may succeed
	Unavailable             // the engine refused; surely nothing was applied
	Lost                    // the answer was lost: a commit under way may be applied
)

// Failure is what an engine's error means.
type Failure struct {
	Kind FailureKind
	Name string // of Unique: the column or the index, whichever the engine tells
}
