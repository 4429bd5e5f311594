// Package mapping is how core has a tenant's snippet turn one JSON document into another, in a place where the snippet can
// harm nobody. A snippet is Jsonnet (https://jsonnet.org/ref/spec.html) that reads its input by std.extVar and imports nothing.
package mapping

import (
	"context"
	"encoding/json"
	"fmt"
)

// Mapper evaluates snippets. It remembers nothing from one evaluation to the next, and any number may be under way. tenant says
// for whom: what one tenant asks leaves room for the others.
type Mapper interface {
	// Evaluate answers with the one JSON value that the snippet comes to, compact. vars are what std.extVar knows, by name.
	// Errors: *Error, or that of ctx once it has ended.
	Evaluate(ctx context.Context, tenant, snippet string, vars map[string]json.RawMessage) (json.RawMessage, error)
	// Check says whether the snippet can be read, without evaluating it: syntax, unknown names, size. Errors as of Evaluate.
	Check(ctx context.Context, tenant, snippet string) error
}

// Limits of one evaluation, in bytes. Those of time and memory are the adapter's.
const (
	MaxSnippet = 64 << 10
	MaxInput   = 1 << 20   // of all variables, names included
	MaxOutput  = 256 << 10 // of what the snippet comes to
	MaxMessage = 512       // of Error.Message
)

// Code says which way an evaluation failed.
type Code string

// The codes. All but Unavailable are the snippet's fault or its input's, and come again when it is evaluated again.
const (
	Syntax      Code = "syntax"      // the snippet cannot be read
	Runtime     Code = "runtime"     // it failed as it ran: its own error, an unknown variable, an import, too deep a recursion
	Input       Code = "input"       // the snippet or its variables are larger than the limits, or a variable is not JSON
	Timeout     Code = "timeout"     // it took longer than an evaluation may
	Memory      Code = "memory"      // it took more memory than an evaluation may
	Output      Code = "output"      // what it came to is too large, or is not one JSON document
	Unavailable Code = "unavailable" // it was not evaluated: too many wait, or the mapper is closed or broken. Try again later
)

// Error is why there is no value. Line and Column count from 1, in the snippet; both are 0 where no place is known.
type Error struct {
	Code         Code
	Line, Column int
	Message      string // for whoever wrote the snippet; at most MaxMessage bytes
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("mapping: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("mapping: %s at %d:%d: %s", e.Code, e.Line, e.Column, e.Message)
}
