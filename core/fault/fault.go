// Package fault is the one error type of core. Each way in maps its kinds to its own protocol in one table.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure it is: who can do something about it, and what.
type Kind uint8

// The kinds. Internal is the zero value: an error nobody classified is ours.
const (
	Internal        Kind = iota // our own failure; shown as a fixed text and a request id
	Invalid                     // the input is wrong; Field says where
	Unauthenticated             // no credentials, or wrong ones
	Forbidden                   // known, and not allowed
	NotFound                    // no such thing, or not visible to the caller
	Conflict                    // the thing changed meanwhile, or is still needed
	Taken                       // the name or id is in use
	TooLarge                    // over a stated limit
	TooMany                     // too often, or too many
	Unavailable                 // a part that is needed does not answer; try again
)

// Kinds lists every kind, for the tests that walk a mapping table.
var Kinds = []Kind{Internal, Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Taken, TooLarge, TooMany, Unavailable}

// Error is a failure with a public face. Message is shown to the caller and says what to do next; Err is for logs.
type Error struct {
	Kind    Kind
	Code    string // stable and machine-readable, snake_case; RFC 6749's error codes in the oauth module
	Message string
	Field   string // path of the input field at fault, dots between names; or ""
	Err     error  // the cause, never shown
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return e.Code + ": " + e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// At makes an Invalid error that names the input field.
func At(field, code, message string) *Error {
	return &Error{Kind: Invalid, Code: code, Message: message, Field: field}
}

// Wrap makes an error of a kind with its cause.
func Wrap(err error, kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message, Err: err}
}

// From finds the *Error in err; an unclassified one becomes Internal with err as its cause.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Code: "internal", Message: "Something went wrong on our side.", Err: err}
}

// Is reports whether err is a *Error of that kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// Code is the code of err, or "" where it is no *Error.
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
