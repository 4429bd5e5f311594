// Package outbound is how core reaches other people's servers: through one guarded, limited client.
package outbound

import (
	"context"
	"errors"
	"fmt"
)

// Document is what a fetch brought.
type Document struct {
	Body        []byte
	ContentType string
}

// Fetcher reads a document from a URL that a tenant chose.
type Fetcher interface {
	// Fetch reads at most maxBytes. Errors: ErrForbidden, ErrTooLarge, ErrUnreachable, *StatusError.
	Fetch(ctx context.Context, url string, maxBytes int64) (Document, error)
}

// Request is a request to an API of which a tenant chose the address.
type Request struct {
	Method   string // GET or POST
	URL      string
	Header   map[string]string
	Body     []byte
	MaxBytes int64 // of the answer's body
}

// Answer is what a server answered, whatever the status.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// Sender sends requests that may carry credentials: it follows no redirect.
type Sender interface {
	// Send answers with any status. Errors: ErrForbidden, ErrTooLarge, ErrUnreachable.
	Send(ctx context.Context, r Request) (Answer, error)
}

// The outcomes of a fetch beside success and *StatusError.
var (
	ErrForbidden   = errors.New("outbound: the address is not allowed")
	ErrTooLarge    = errors.New("outbound: the document is too large")
	ErrUnreachable = errors.New("outbound: the server does not answer")
)

// StatusError is an answer other than 2xx.
type StatusError struct{ Code int }

func (e *StatusError) Error() string { return fmt.Sprintf("outbound: the server answered %d", e.Code) }
