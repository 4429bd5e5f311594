package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/portico-sso/portico/ports/store"
)

// Codes of errors, as MongoDB's error_codes.yml has them.
const (
	namespaceExists     = 48
	maxTimeMSExpired    = 50
	writeConflict       = 112
	snapshotTooOld      = 239
	snapshotUnavailable = 246
	exceededTimeLimit   = 262
	indexBuildRunning   = 273 // IndexBuildAlreadyInProgress
	duplicateKey        = 11000
)

// away are the codes by which a server says that it is not, or no longer, the primary, or is going down.
var away = []int{6, 7, 89, 91, 134, 189, 9001, 10058, 10107, 11600, 11602, 13435, 13436}

// Labels of errors, of the server's and the driver's making.
const (
	networkError      = "NetworkError"
	retryableWrite    = "RetryableWriteError"
	noWritesPerformed = "NoWritesPerformed"
	transient         = "TransientTransactionError"
)

func hasCode(err error, codes ...int) bool {
	var s mongo.ServerError
	if !errors.As(err, &s) {
		return false
	}
	for _, c := range codes {
		if s.HasErrorCode(c) {
			return true
		}
	}
	return false
}

func hasLabel(err error, label string) bool {
	var l mongo.LabeledError
	return errors.As(err, &l) && l.HasErrorLabel(label)
}

// outcome says the driver's error in the port's terms, where surely nothing was applied.
func (b *Backend) outcome(ctx context.Context, err error) error {
	var answered mongo.ServerError
	switch {
	case err == nil:
		return nil
	case b.closed.Load():
		return fmt.Errorf("%w: %w", store.ErrClosed, err)
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &answered), answered.HasErrorLabel(networkError): // no server, or no answer
	case hasCode(err, away...), hasCode(err, maxTimeMSExpired, exceededTimeLimit):
	case hasCode(err, writeConflict):
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case answered.HasErrorLabel(transient) && !hasCode(err, 0):
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case answered.HasErrorLabel(transient): // the driver's own, where it finds no server
	default:
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// decided says the error of a step that decides a commit. The driver repeats such a step, and its last error tells
// nothing of the tries before; a has watched them all.
func (b *Backend) decided(ctx context.Context, a *attempts, err error) error {
	switch {
	case err == nil:
		return nil
	case hasLabel(err, transient) && !hasLabel(err, networkError) && !hasCode(err, 0):
		// To a commit as well: "a transaction failure with no persistent side effects", whatever came before.
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case a.doubtful:
		return fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	return b.outcome(ctx, err)
}

// attempts is what is known of the tries of a step that decides a commit.
type attempts struct {
	doubtful bool // one of them may have been applied
}

type attemptsKey struct{}

func attemptsOf(ctx context.Context) *attempts {
	a, _ := ctx.Value(attemptsKey{}).(*attempts)
	return a
}

// watch tells attempts what becomes of each try. The driver calls it in the goroutine and with the context of the call.
func watch(also *event.CommandMonitor) *event.CommandMonitor {
	m := &event.CommandMonitor{
		Succeeded: func(ctx context.Context, e *event.CommandSucceededEvent) {
			if a := attemptsOf(ctx); a != nil {
				if _, err := e.Reply.LookupErr("writeConcernError"); err == nil { // applied, and may be undone
					a.doubtful = true
				}
			}
			if also != nil && also.Succeeded != nil {
				also.Succeeded(ctx, e)
			}
		},
		Failed: func(ctx context.Context, e *event.CommandFailedEvent) {
			if a := attemptsOf(ctx); a != nil && doubtful(e.Failure) {
				a.doubtful = true
			}
			if also != nil && also.Failed != nil {
				also.Failed(ctx, e)
			}
		},
	}
	if also != nil {
		m.Started = also.Started
	}
	return m
}

// doubtful says of the error of one try whether it may have been applied all the same.
func doubtful(err error) bool {
	var answer interface {
		error
		HasErrorLabel(string) bool
		NotPrimary() bool
	}
	late := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case !errors.As(err, &answer):
		return !late // before it was sent; else it is an answer that is not understood
	case answer.NotPrimary(), answer.HasErrorLabel(noWritesPerformed):
		return false
	}
	return late || answer.HasErrorLabel(networkError) || answer.HasErrorLabel(retryableWrite)
}

// taken is the error of a key that another document holds; nil where err is something else.
func (t *table) taken(err error) error {
	var one mongo.WriteException
	var many mongo.BulkWriteException
	var all []mongo.WriteError
	if errors.As(err, &one) {
		all = one.WriteErrors
	} else if errors.As(err, &many) {
		for _, e := range many.WriteErrors {
			all = append(all, e.WriteError)
		}
	}
	for _, e := range all {
		if e.Code == duplicateKey {
			return &store.TakenError{Collection: t.Name, Index: t.failed(e)}
		}
	}
	return nil
}

// failed is the index that a duplicate key is of. The id's is "".
func (t *table) failed(e mongo.WriteError) string {
	for _, x := range t.unique {
		if _, err := e.Raw.LookupErr("keyPattern", uniquePath(x.Name)); err == nil || strings.Contains(e.Message, " index: "+uniqueName(x)+" dup key") {
			return x.Name
		}
	}
	return ""
}
