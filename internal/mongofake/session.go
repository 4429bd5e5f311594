package mongofake

import (
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// session is a client's logical session, with what is known of its greatest transaction number.
// https://www.mongodb.com/docs/manual/reference/server-sessions/
type session struct {
	busy   bool // a command with a transaction number runs
	number int64
	state  state
	under  *transaction         // of a transaction in progress
	done   map[int32]statements // of a retryable write: what it did, by statement
}

// statements is what a statement of a write command did.
type statements struct{ met, changed int32 }

type state int

const (
	none state = iota
	retryable
	running
	committed
	aborted
)

// abort ends a session's transaction, if one is in progress.
func (s *Server) abort(o *session) {
	if o.state == running {
		s.rollback(o.under)
		o.state, o.under = aborted, nil
	}
}

// enter takes the session of a command with a transaction number, which no other command has meanwhile, and says the
// command's transaction or what is known of its retryable write.
func (s *Server) enter(r *request) *Error {
	if r.number == nil {
		return nil
	}
	o := s.sessions[r.session]
	if o == nil {
		o = &session{number: -1}
		s.sessions[r.session] = o
	}
	for o.busy {
		if err := s.wait(r); err != nil {
			return err
		}
	}
	n := *r.number
	if n < o.number {
		return fail(transactionTooOld, "Cannot start transaction %d on session %x because a newer transaction %d has already started on this session.", n, r.session, o.number)
	}
	var err *Error
	switch {
	case r.autocommit == nil:
		err = s.enterRetryable(o, n)
	case r.starts:
		err = s.begin(o, n)
	default:
		err = o.goOn(r, n)
	}
	if err != nil {
		return err
	}
	o.busy = true
	r.holds, r.under = o, o.under
	return nil
}

func (s *Server) enterRetryable(o *session, n int64) *Error {
	if n == o.number {
		if o.state != retryable {
			return fail(historyIncomplete, "the number is that of a transaction")
		}
		return nil
	}
	s.abort(o)
	*o = session{number: n, state: retryable, done: map[int32]statements{}}
	return nil
}

func (s *Server) begin(o *session, n int64) *Error {
	if n == o.number {
		return fail(inProgress, "a transaction with the same number has begun already")
	}
	s.abort(o)
	t := &transaction{snapshot: s.clock}
	*o = session{number: n, state: running, under: t}
	t.ends = time.AfterFunc(s.options.Lifetime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if o.under == t && !o.busy {
			s.abort(o)
		}
	})
	return nil
}

// goOn is a further command of a transaction.
func (o *session) goOn(r *request, n int64) *Error {
	switch {
	case n == o.number && o.state == running:
		return nil
	case n == o.number && o.state == committed && r.name == "commitTransaction":
		return nil
	case n == o.number && o.state == committed:
		return fail(transactionCommitted, "Transaction with { txnNumber: %d } has been committed.", n)
	}
	return fail(noSuchTransaction, "Given transaction number %d does not match any in-progress transactions.", n)
}

// leave gives the session back. A command that fails ends its transaction.
func (s *Server) leave(r *request, failed bool) {
	if r.holds == nil {
		return
	}
	if failed && r.under != nil {
		s.abort(r.holds)
	}
	r.holds.busy = false
	s.changed.Broadcast()
}

// wait waits until something has ended, or the command's time is over.
func (s *Server) wait(r *request) *Error {
	listener := s.listener
	if !r.deadline.IsZero() {
		t := time.AfterFunc(time.Until(r.deadline), s.changed.Broadcast)
		defer t.Stop()
	}
	s.changed.Wait()
	switch {
	case s.listener != listener:
		return fail(interruptedAtShutdown, "interrupted at shutdown")
	case !s.primary && r.needsPrimary():
		return fail(interruptedByState, "operation was interrupted")
	}
	return r.late()
}

func (s *Server) commitTransaction(r *request) (bson.D, *Error) {
	if r.under != nil {
		s.commit(r.under)
		r.holds.state, r.holds.under, r.under = committed, nil, nil
	}
	return nil, nil
}

func (s *Server) abortTransaction(r *request) (bson.D, *Error) {
	s.abort(r.holds)
	r.under = nil
	return nil, nil
}

// endSessions forgets sessions. A transaction goes on until its time is over.
func (s *Server) endSessions(r *request) (bson.D, *Error) {
	_, ok := r.command.Lookup("endSessions").ArrayOK()
	if !ok {
		return nil, fail(typeMismatch, "endSessions needs an array")
	}
	return nil, nil
}

// killSessions ends the transactions of sessions, when what runs in them has ended.
func (s *Server) killSessions(r *request) (bson.D, *Error) {
	list, ok := r.command.Lookup("killSessions").ArrayOK()
	values, err := list.Values()
	if !ok || err != nil {
		return nil, fail(typeMismatch, "killSessions needs an array")
	}
	for _, v := range values {
		d, _ := v.DocumentOK()
		_, id, ok := d.Lookup("id").BinaryOK()
		if !ok {
			return nil, fail(failedToParse, "a session has an id")
		}
		o := s.sessions[string(id)]
		for o != nil && o.busy {
			if err := s.wait(r); err != nil {
				return nil, err
			}
		}
		if o != nil {
			s.abort(o)
		}
	}
	return nil, nil
}

// labels are those of an error, as the driver specifications and the server's own rules have them.
func (s *Server) labels(r *request, code int32, concern bool, wrote bool) []string {
	ends := r.name == "commitTransaction" || r.name == "abortTransaction"
	transient := slices.Contains([]int32{writeConflict, 24, 239, snapshotUnavailable, 267}, code)
	if ends {
		transient = transient || code == noSuchTransaction && !concern
	} else {
		transient = transient || code == noSuchTransaction || slices.Contains(retriable, code)
	}
	switch {
	case r.number == nil || code == 0:
	case r.autocommit != nil && transient && !concern:
		return []string{"TransientTransactionError"}
	case (r.autocommit == nil || ends) && slices.Contains(retriable, code):
		if !wrote && s.options.WireVersion >= MongoDB60 {
			return []string{"RetryableWriteError", "NoWritesPerformed"}
		}
		return []string{"RetryableWriteError"}
	}
	return nil
}

// retriable are the codes of the category RetriableError.
var retriable = []int32{6, 7, 89, 91, 134, 189, 262, 9001, notWritablePrimary, interruptedAtShutdown, interruptedByState, notPrimaryNoRead, 13436}
