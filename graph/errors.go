package graph

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	graphqlerrors "github.com/graph-gophers/graphql-go/errors"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/portico-sso/portico/core/fault"
)

// place says where a fault of a mutation is shown.
type place uint8

const (
	topLevel  place = iota + 1 // among the response's errors
	inPayload                  // among the payload's errors: the caller can put it right
)

// places is the one table of where each kind of fault goes.
var places = map[fault.Kind]place{
	fault.Internal:        topLevel,
	fault.Invalid:         inPayload,
	fault.Unauthenticated: topLevel,
	fault.Forbidden:       topLevel,
	fault.NotFound:        inPayload,
	fault.Conflict:        inPayload,
	fault.Taken:           inPayload,
	fault.TooLarge:        inPayload,
	fault.TooMany:         topLevel,
	fault.Unavailable:     topLevel,
}

// userError is what the caller can put right.
type userError struct {
	Message string
	Code    string
	Path    *[]string
}

// userErrors sorts the outcome of a mutation: what the caller can put right comes back as a list for the payload, and
// anything else as an error. subject is the input field that names what a NotFound without a field did not find.
func userErrors(err error, subject string) ([]userError, error) {
	if err == nil {
		return []userError{}, nil
	}
	f := fault.From(err)
	if places[f.Kind] != inPayload {
		return nil, err
	}
	field := f.Field
	if field == "" && f.Kind == fault.NotFound {
		field = subject
	}
	e := userError{Message: f.Message, Code: f.Code}
	if field != "" {
		path := append([]string{"input"}, strings.Split(field, ".")...)
		e.Path = &path
	}
	return []userError{e}, nil
}

// response is a GraphQL response (GraphQL specification, section 7.1).
type response struct {
	Errors []responseError `json:"errors,omitempty"`
	Data   any             `json:"data,omitempty"`
}

type responseError struct {
	Message    string     `json:"message"`
	Locations  any        `json:"locations,omitempty"`
	Path       any        `json:"path,omitempty"`
	Extensions extensions `json:"extensions"`
}

type extensions struct {
	Code      string `json:"code"`
	RequestID string `json:"requestId,omitempty"`
}

// requestErrors are the response's errors where nothing was executed.
func (h *Handler) requestErrors(ctx context.Context, requestID string, err error) []responseError {
	var list gqlerror.List
	var one *gqlerror.Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one) && !isFault(err):
		list = gqlerror.List{one}
	default:
		return []responseError{h.shown(ctx, requestID, err)}
	}
	out := make([]responseError, 0, min(len(list), maxErrors))
	for _, e := range list[:min(len(list), maxErrors)] {
		shown := responseError{Message: e.Message, Extensions: extensions{Code: "invalid_document", RequestID: requestID}}
		if len(e.Locations) > 0 {
			shown.Locations = e.Locations
		}
		if len(e.Path) > 0 {
			shown.Path = e.Path
		}
		out = append(out, shown)
	}
	return out
}

// maxErrors is how many errors are told at once.
const maxErrors = 20

func isFault(err error) bool {
	var f *fault.Error
	return errors.As(err, &f)
}

// fieldErrors are the response's errors where fields could not be resolved.
func (h *Handler) fieldErrors(ctx context.Context, requestID string, list []*graphqlerrors.QueryError) []responseError {
	out := make([]responseError, 0, min(len(list), maxErrors))
	for _, e := range list[:min(len(list), maxErrors)] {
		shown := h.shown(ctx, requestID, causeOf(ctx, e))
		if len(e.Path) > 0 {
			shown.Path = e.Path
		}
		out = append(out, shown)
	}
	return out
}

// causeOf is what stands behind an error of the engine: a resolver's, a panic's, the end of the request's time, a rule of
// its own validation, or an argument that passed validation and still fits nowhere, such as a number beyond 32 bits.
func causeOf(ctx context.Context, e *graphqlerrors.QueryError) error {
	switch {
	case e.ResolverError != nil:
		return e.ResolverError
	case e.Err != nil && isFault(e.Err):
		return e.Err
	case ctx.Err() != nil:
		return fault.Wrap(ctx.Err(), fault.Unavailable, "timeout", "The request took too long and was ended: what it changes may have been done.")
	case e.Rule == overlapRule:
		return fault.Wrap(e, fault.TooLarge, "too_many_repeats", "The document names the same fields over and over. Name each once.")
	case e.Rule != "":
		return fault.Wrap(e, fault.Invalid, "invalid_document", e.Message)
	case len(e.Path) == 0:
		return fault.Wrap(e, fault.Invalid, "invalid_argument", "An argument or a variable does not fit its type.")
	}
	return e
}

// unavailable reports whether a part that is needed did not answer.
func unavailable(ctx context.Context, list []*graphqlerrors.QueryError) bool {
	return slices.ContainsFunc(list, func(e *graphqlerrors.QueryError) bool { return fault.Is(causeOf(ctx, e), fault.Unavailable) })
}

// nothing reports whether every field of an answer is null, or there is none.
func nothing(data []byte) bool {
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil && len(data) > 0 {
		return false
	}
	for _, value := range fields {
		if value != nil {
			return false
		}
	}
	return true
}

// overlapRule is the engine's name for having compared too many pairs of fields of one name (maxOverlaps).
const overlapRule = "OverlapValidationLimitExceeded"

// shown is an error as the caller sees it. What is ours to put right is logged, and shows a fixed text.
func (h *Handler) shown(ctx context.Context, requestID string, err error) responseError {
	f := fault.From(err)
	if f.Kind == fault.Internal {
		h.logger.ErrorContext(ctx, "graphql request failed", "error", err)
		f = fault.From(errors.New(""))
	}
	return responseError{Message: f.Message, Extensions: extensions{Code: f.Code, RequestID: requestID}}
}

// panics makes the error of a resolver that panicked. The panic itself is logged by logPanic.
type panics struct{}

// MakePanicError implements graphqlerrors.PanicHandler.
func (panics) MakePanicError(context.Context, any) *graphqlerrors.QueryError {
	err := fault.From(errPanic)
	return &graphqlerrors.QueryError{Message: err.Message, Err: err}
}

var errPanic = errors.New("graph: a panic, logged with its stack")
