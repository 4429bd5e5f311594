// Package outbound is how core reaches other people's servers: through one guarded, limited fetch.
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

// The outcomes of a fetch beside success and *StatusError.
var (
	ErrForbidden   = errors.New("outbound: the address is not allowed")
	ErrTooLarge    = errors.New("outbound: the document is too large")
	ErrUnreachable = errors.New("outbound: the server does not answer")
)

// StatusError is an answer other than 2xx.
type StatusError struct{ Code int }

func (e *StatusError) Error() string { return fmt.Sprintf("outbound: the server answered %d", e.Code) }
