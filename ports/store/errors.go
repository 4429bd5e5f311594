package store

import "errors"

// The outcomes of a call. Adapters wrap the engine's own error: errors.Is finds the outcome.
var (
	ErrNotFound    = errors.New("store: not found")
	ErrConflict    = errors.New("store: a document changed meanwhile")
	ErrUnavailable = errors.New("store: the engine does not answer; nothing was applied")
	ErrUncertain   = errors.New("store: the connection was lost while committing; it may be applied")
	ErrClosed      = errors.New("store: closed")
	ErrInvalid     = errors.New("store: invalid call")
)

// TakenError says that a Commit met an id (Index is "") or a unique key that another live document holds.
type TakenError struct{ Collection, Index string }

func (e *TakenError) Error() string {
	if e.Index == "" {
		return "store: an id in " + e.Collection + " is taken"
	}
	return "store: " + e.Index + " in " + e.Collection + " is taken"
}

// Taken reports whether err says that this index of this collection is taken.
func Taken(err error, collection, index string) bool {
	var t *TakenError
	return errors.As(err, &t) && t.Collection == collection && t.Index == index
}
