// Package store is the storage port. Core modules use Store; adapters implement Backend.
//
// Data is documents in declared collections. A query is one contiguous range of one declared index, so every
// engine answers it in O(log n + page). A write is a Commit of conditional operations, all or none.
package store

import (
	"context"
	"log/slog"
	"net/url"
	"time"
)

// Limits of the port. Every engine honours them, so no engine's own limit is ever met first.
const (
	MaxCommitOps   = 500     // operations in one Commit
	MaxCommitBytes = 4 << 20 // bytes of bodies and keys in one Commit
	MaxKeyBytes    = 512     // bytes of one key or id
	MaxIndexFields = 4       // fields of one index
	MaxPage        = 1000    // documents of one page
)

// Index orders a collection by Fields and then by id. Keys compare as bytes. A document is in the index always;
// an absent key is "". A Unique index lets no two live documents hold the same keys, but a document whose keys of
// that index are all empty is not held to it.
type Index struct {
	Name   string
	Fields []string
	Unique bool
}

// Collection declares one kind of document. Names, of indexes and fields too, are lower-case letters, digits and
// underscores, begin with a letter and have at most 30 bytes.
type Collection struct {
	Name    string
	Indexes []Index
	Expires bool // documents may carry ExpiresAt
	Sealed  bool // bodies are encrypted at rest
	// Keys tells the keys of a document from its id and body, for a migration that fills a new index over old
	// documents. Backends do not call it.
	Keys func(Doc) (map[string]string, error)
}

// Schema is every collection of a program.
type Schema []Collection

// Doc is one document.
type Doc struct {
	ID        string
	Version   int64             // 1 at insert, one more at each update
	Body      []byte            // JSON; encrypted at rest where the collection is Sealed
	Keys      map[string]string // value of each index field; absent is ""
	ExpiresAt time.Time         // zero: never. Invisible from that instant on, swept later; millisecond precision
}

// OpKind says what an Op does.
type OpKind uint8

// The operations of a Commit.
const (
	OpInsert OpKind = iota + 1
	OpUpdate
	OpDelete
	OpCheck
)

// Op is one conditional operation of a Commit. Make it with Insert, Update, Delete or Check.
type Op struct {
	Kind       OpKind
	Collection string
	Doc        Doc
}

// Insert adds d, guarded by its id being free. d.Version is ignored: the document starts at 1.
func Insert(collection string, d Doc) Op { return Op{OpInsert, collection, d} }

// Update replaces the document d.ID, guarded by its version being d.Version. The new version is d.Version+1.
func Update(collection string, d Doc) Op { return Op{OpUpdate, collection, d} }

// Delete removes the document d.ID, guarded by its version being d.Version.
func Delete(collection string, d Doc) Op { return Op{OpDelete, collection, d} }

// Check changes nothing and fails the Commit unless the document d.ID stands at d.Version. Two concurrent commits
// that each check what the other updates never both succeed.
func Check(collection string, d Doc) Op { return Op{OpCheck, collection, d} }

// Range is one contiguous range of one index.
type Range struct {
	Index  string   // name of the index; "" is the order of ids
	Eq     []string // exact values of the index's first fields
	Prefix string   // the next field begins with this; behind the last field comes the id
	From   string   // and is at least this
	To     string   // and is less than this; "" is no bound
	Desc   bool     // from the end to the beginning
	After  string   // cursor: begin behind this place (see Cursor)
	Offset int      // skip this many documents
	Limit  int      // at most this many documents; 0 is MaxPage
}

// Backend is what an adapter implements: seven methods. The Store in front of it has checked names, limits and
// shapes before a call, and hands every call the instant by which expiry is judged, in whole milliseconds. What a
// call is given it neither changes nor keeps, and what it answers is the caller's. Keys of a Doc that are "" may
// be left out.
type Backend interface {
	// Get returns the live documents with these ids, in any order; a missing one is left out.
	Get(ctx context.Context, now time.Time, collection string, ids []string) ([]Doc, error)
	// Range returns the live documents of the range in the order of its index. The Store has set Limit and said
	// Prefix by From and To (which may be a byte or two longer than a key for it). ParseCursor reads After; where
	// it is set, From is not set (with Desc, To).
	Range(ctx context.Context, now time.Time, collection string, r Range) ([]Doc, error)
	// Count counts the live documents of the range; Prefix, Desc, Offset, Limit and After are not set.
	Count(ctx context.Context, now time.Time, collection string, r Range) (int64, error)
	// Commit applies all operations or none. An expired document holds neither its id nor a unique key, and guards
	// fail on it as on a missing one. A Commit names a document at most once, so its operations have no order:
	// guards are judged on the state before it and unique keys on the state after it, where one document may take
	// what another frees. A document written with an expiry that has passed must be free to take its keys as well.
	// Errors: ErrConflict, *TakenError, ErrUnavailable, ErrUncertain; where several apply, any of them.
	Commit(ctx context.Context, now time.Time, ops []Op) error
	// Sweep removes up to limit documents of the collection that expired at or before now and says how many.
	Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error)
	// Ping asks the engine whether it answers.
	Ping(ctx context.Context) error
	// Close releases the engine; every later call answers ErrClosed.
	Close() error
}

// Structured is implemented as well by a backend whose engine needs tables, indexes and the like before it can work.
// Opening makes none of them. An index that Migrate makes orders the documents that are there by the keys they hold; a
// unique one need not hold them to their keys until they are written anew.
type Structured interface {
	// Plan lists the steps to the schema's structure, each as an operator would run or read it; none when it is
	// there. Steps only add.
	Plan(ctx context.Context) ([]string, error)
	// Migrate takes those steps. Repeating it does nothing; several instances may run it at once.
	Migrate(ctx context.Context) error
}

// DriverOptions are what every driver is given when it opens.
type DriverOptions struct {
	Logger *slog.Logger // never nil
}

// Driver opens backends for the URL schemes it names.
type Driver struct {
	Schemes []string
	Open    func(ctx context.Context, u *url.URL, schema Schema, o DriverOptions) (Backend, error)
}

// Progress is what long work over documents tells of itself.
type Progress struct {
	Step        string
	Done, Total int64 // documents; Total is 0 where it is not known
}
