package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
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
	unknownCommit     = "UnknownTransactionCommitResult"
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

// errMet says that a transaction met another's write and was ended. It says nothing of guards: the other may come to
// nothing.
var errMet = fmt.Errorf("%w: another transaction is writing", store.ErrConflict)

// outcome says the driver's error in the port's terms, where surely nothing was applied.
func (b *Backend) outcome(ctx context.Context, err error) error {
	var answer mongo.ServerError
	switch {
	case err == nil:
		return nil
	case b.closed.Load():
		return fmt.Errorf("%w: %w", store.ErrClosed, err)
	case ctx.Err() != nil:
		return ctx.Err()
	case mongo.IsTimeout(err) && ending(ctx):
		<-ctx.Done()
		return ctx.Err()
	case !errors.As(err, &answer), answer.HasErrorLabel(networkError): // no server, or no answer
	case hasCode(err, away...), hasCode(err, maxTimeMSExpired, exceededTimeLimit):
	case hasCode(err, writeConflict), answer.HasErrorLabel(transient) && !hasCode(err, 0):
		return fmt.Errorf("%w: %w", errMet, err)
	case answer.HasErrorLabel(transient): // the driver's own, where it finds no server
	default:
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// ending says whether a context is at its end: the server, which is told how much time there is, may give up first.
func ending(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && time.Until(end) < 50*time.Millisecond
}

// decided says the error of a step that decides a commit. The driver repeats such a step, and its last error tells
// nothing of the tries before; a has watched them all.
func (b *Backend) decided(ctx context.Context, a attempts, err error) error {
	switch {
	case err == nil:
		return nil
	case hasLabel(err, transient) && !hasLabel(err, networkError) && !hasCode(err, 0):
		// To a commit as well: "a transaction failure with no persistent side effects", whatever came before.
		return fmt.Errorf("%w: %w", errMet, err)
	case a.doubtful:
		return fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	return b.outcome(ctx, err)
}

// attempts is what is known of the tries of calls that run under a context.
type attempts struct {
	sent     bool // one of them reached a server, or may have
	answered bool // one of them was answered
	doubtful bool // one of them may have been applied without an answer that says so
}

type attemptsKey struct{}

func (a *attempts) watched(ctx context.Context) context.Context {
	return context.WithValue(ctx, attemptsKey{}, a)
}

// decisive is the context of a step that decides a commit. Once begun, it is not given up when ctx ends: that would leave
// in doubt what a moment later is known.
func (a *attempts) decisive(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.watched(context.WithoutCancel(ctx)), patience)
}

func (a *attempts) succeeded(reply bson.Raw) {
	_, err := reply.LookupErr("writeConcernError")
	a.sent, a.answered = true, true
	a.doubtful = a.doubtful || err == nil // applied, and may be undone
}

func (a *attempts) failed(err error) {
	var answer answered
	if !errors.As(err, &answer) {
		if !late(err) { // else it was not sent
			a.sent, a.doubtful = true, true
		}
		return
	}
	a.sent = true
	a.answered = a.answered || !answer.HasErrorLabel(networkError)
	if !answer.NotPrimary() && !answer.HasErrorLabel(noWritesPerformed) {
		a.doubtful = a.doubtful || late(err) || answer.HasErrorLabel(networkError) || answer.HasErrorLabel(retryableWrite)
	}
}

// answered is the driver's error where it has sent something.
type answered interface {
	error
	HasErrorLabel(string) bool
	NotPrimary() bool
}

func late(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// watch tells attempts what becomes of each try. The driver calls it in the goroutine and with the context of the call.
func watch(also *event.CommandMonitor) *event.CommandMonitor {
	m := event.CommandMonitor{}
	if also != nil {
		m = *also
	}
	succeeded, failed := m.Succeeded, m.Failed
	m.Succeeded = func(ctx context.Context, e *event.CommandSucceededEvent) {
		if a, ok := ctx.Value(attemptsKey{}).(*attempts); ok {
			a.succeeded(e.Reply)
		}
		if succeeded != nil {
			succeeded(ctx, e)
		}
	}
	m.Failed = func(ctx context.Context, e *event.CommandFailedEvent) {
		if a, ok := ctx.Value(attemptsKey{}).(*attempts); ok {
			a.failed(e.Failure)
		}
		if failed != nil {
			failed(ctx, e)
		}
	}
	return &m
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
