// Package mongofake is a MongoDB server for tests, where none can be installed: it speaks MongoDB's wire protocol over TCP
// with any driver and keeps documents in memory. It does what adapters/mongo asks of a replica set of one, as MongoDB's
// manual, driver specifications and own tests describe it:
//
//   - documents in several versions; transactions on a snapshot, ended by the first conflict with another one; a write
//     outside of them waits for those it meets; reads that ask for no snapshot see commits in the middle
//   - unique and partial indexes, also between transactions that have not ended
//   - sessions; retryable writes, answered from what is noted of them when they come again
//   - cursors, with batches of 16 MiB
//   - error codes and labels, and which errors end a transaction
//   - plans, as explain tells them, by the manual's rules for covered queries and sorts
//
// What it does not know it refuses, as MongoDB refuses what it does not know (or with NotImplemented where MongoDB does
// know it), so that it hides no mistake. It keeps every version for ever and is not made to be fast.
package mongofake

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Wire versions of MongoDB releases.
const (
	MongoDB44 = 9
	MongoDB50 = 13
	MongoDB60 = 17
	MongoDB80 = 25
)

// Options are what differs between servers.
type Options struct {
	Standalone  bool          // no member of a replica set
	Router      bool          // of a sharded cluster, as far as hello tells
	WireVersion int           // by default MongoDB80
	Lifetime    time.Duration // of a transaction; by default a minute
	// Rewrite, where it is set, changes commands before they run: a mistake of a client, planted.
	Rewrite func(command bson.D) bson.D
}

// Server is a running server.
type Server struct {
	options Options
	started time.Time
	address string

	mu       sync.Mutex // of all below
	changed  *sync.Cond // a transaction or a session's command has ended, or the server stops
	listener net.Listener
	conns    map[net.Conn]bool
	running  sync.WaitGroup
	primary  bool
	faults   []*Fault

	clock      uint64 // of the last commit
	namespaces map[string]*collection
	sessions   map[string]*session
	cursors    map[int64]*cursor
	lastCursor int64
	lastConn   int32
}

// Start starts a server on a free port of the loopback.
func Start(o Options) (*Server, error) {
	if o.WireVersion == 0 {
		o.WireVersion = MongoDB80
	}
	if o.Lifetime == 0 {
		o.Lifetime = time.Minute
	}
	s := &Server{options: o, started: time.Now(), address: "127.0.0.1:0", primary: true,
		namespaces: map[string]*collection{}, sessions: map[string]*session{}, cursors: map[int64]*cursor{}}
	s.changed = sync.NewCond(&s.mu)
	return s, s.Resume()
}

// URL is the server's, with a database.
func (s *Server) URL(database string) string { return "mongodb://" + s.address + "/" + database }

// Resume begins to listen, at the same address as before: after Stop, with all that was committed.
func (s *Server) Resume() error {
	l, err := net.Listen("tcp", s.address) //nolint:noctx // binding the loopback does not wait
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener, s.address, s.conns = l, l.Addr().String(), map[net.Conn]bool{}
	s.running.Go(func() { s.accept(l) })
	return nil
}

// Stop ends all connections and transactions, as a crash does. Commits stay.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.conns {
		_ = c.Close()
	}
	s.listener, s.conns, s.cursors = nil, nil, map[int64]*cursor{}
	s.endAll()
	s.mu.Unlock()
	s.running.Wait()
}

// StepDown makes the server a secondary, which refuses to write and to read; transactions end.
func (s *Server) StepDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary = false
	s.endAll()
}

// StepUp makes it the primary again.
func (s *Server) StepUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary = true
}

func (s *Server) endAll() {
	for _, session := range s.sessions {
		s.abort(session)
	}
	s.changed.Broadcast()
}

func (s *Server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.conns == nil {
			_ = c.Close()
		} else {
			s.conns[c] = true
			s.lastConn++
			id := s.lastConn
			s.running.Go(func() { s.serve(c, id) })
		}
		s.mu.Unlock()
	}
}

func (s *Server) serve(c net.Conn, id int32) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	for {
		m, err := readMessage(c)
		if err != nil {
			return
		}
		if s.options.Rewrite != nil {
			m.body = rewritten(m.body, s.options.Rewrite)
		}
		reply, err := s.answer(m.body, c, id)
		if err != nil {
			return // the connection is cut
		}
		if m.quiet {
			continue
		}
		if err := m.answer(c, reply); err != nil {
			return
		}
	}
}

func rewritten(body bson.Raw, rewrite func(bson.D) bson.D) bson.Raw {
	var d bson.D
	if bson.Unmarshal(body, &d) != nil {
		return body
	}
	raw, err := bson.Marshal(rewrite(d))
	if err != nil {
		return body
	}
	return raw
}

// Fault is something that goes wrong at the next commands of these names.
type Fault struct {
	Commands []string
	Times    int // how often; 0 is once
	Skip     int // let so many pass first

	Before, After bool          // cut the connection before or after the command has run
	Code          int32         // refuse it with this error, before it runs
	Labels        []string      // of that error, or of WriteConcern; nil: those the server would give
	WriteConcern  int32         // run it and answer that waiting for its replication failed with this code
	Delay         time.Duration // run it, or what else, so much later
}

// Fail makes commands fail.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Times = max(f.Times, 1)
	s.faults = append(s.faults, &f)
}

// Heal makes commands fail no longer.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault is what goes wrong at a command; nothing by default.
func (s *Server) fault(command string) Fault {
	for _, f := range s.faults {
		switch {
		case f.Times == 0 || !slices.Contains(f.Commands, command):
		case f.Skip > 0:
			f.Skip--
		default:
			f.Times--
			return *f
		}
	}
	return Fault{}
}

var errCut = errors.New("the connection is cut")

// hello tells who the server is.
func (s *Server) hello(conn int32) bson.D {
	reply := bson.D{{Key: "helloOk", Value: true}, {Key: "isWritablePrimary", Value: s.primary}, {Key: "ismaster", Value: s.primary},
		{Key: "maxBsonObjectSize", Value: int32(maxDocument)}, {Key: "maxMessageSizeBytes", Value: int32(maxMessage)}, {Key: "maxWriteBatchSize", Value: int32(100_000)},
		{Key: "localTime", Value: time.Now()}, {Key: "logicalSessionTimeoutMinutes", Value: int32(30)}, {Key: "connectionId", Value: conn},
		{Key: "minWireVersion", Value: int32(0)}, {Key: "maxWireVersion", Value: int32(s.options.WireVersion)}, {Key: "readOnly", Value: false}}
	switch {
	case s.options.Router:
		reply = append(reply, bson.E{Key: "msg", Value: "isdbgrid"})
	case !s.options.Standalone:
		reply = append(reply, bson.E{Key: "setName", Value: "rs0"}, bson.E{Key: "setVersion", Value: int32(1)}, bson.E{Key: "secondary", Value: !s.primary},
			bson.E{Key: "hosts", Value: bson.A{s.address}}, bson.E{Key: "me", Value: s.address})
		if s.primary {
			reply = append(reply, bson.E{Key: "primary", Value: s.address})
		}
	}
	return reply
}

// version is the release that the wire version stands for.
func (s *Server) version() string {
	return strconv.Itoa((s.options.WireVersion-MongoDB50)/4+5) + ".0.0"
}

// Error is a command's error.
type Error struct {
	Code    int32
	Name    string
	Message string
	more    bson.D // further fields
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d): %s", e.Name, e.Code, e.Message) }

// fail makes an error of a code.
func fail(code int32, format string, args ...any) *Error {
	name := codeNames[code]
	if name == "" {
		name = fmt.Sprintf("Location%d", code)
	}
	return &Error{Code: code, Name: name, Message: fmt.Sprintf(format, args...)}
}

// unknown refuses what MongoDB knows and this server does not.
func unknown(format string, args ...any) *Error {
	return fail(notImplemented, "the fake does not know "+format, args...)
}

// Codes of errors, as MongoDB's error_codes.yml has them.
const (
	badValue              = 2
	failedToParse         = 9
	unauthorized          = 13
	typeMismatch          = 14
	illegalOperation      = 20
	namespaceNotFound     = 26
	cursorNotFound        = 43
	namespaceExists       = 48
	maxTimeMSExpired      = 50
	commandNotFound       = 59
	immutableField        = 66
	cannotCreateIndex     = 67
	invalidOptions        = 72
	indexOptionsConflict  = 85
	indexKeyConflict      = 86
	unsatisfiable         = 100
	writeConflict         = 112
	inProgress            = 117
	badIndexOption        = 197
	historyIncomplete     = 217
	transactionTooOld     = 225
	notImplemented        = 238
	snapshotUnavailable   = 246
	noSuchTransaction     = 251
	transactionCommitted  = 256
	notInTransaction      = 263
	notWritablePrimary    = 10107
	tooLarge              = 10334
	duplicateKey          = 11000
	interruptedAtShutdown = 11600
	interrupted           = 11601
	interruptedByState    = 11602
	notPrimaryNoRead      = 13435
)

var codeNames = map[int32]string{
	badValue: "BadValue", failedToParse: "FailedToParse", unauthorized: "Unauthorized", typeMismatch: "TypeMismatch",
	illegalOperation: "IllegalOperation", namespaceNotFound: "NamespaceNotFound", cursorNotFound: "CursorNotFound",
	namespaceExists: "NamespaceExists", maxTimeMSExpired: "MaxTimeMSExpired", commandNotFound: "CommandNotFound",
	immutableField: "ImmutableField", cannotCreateIndex: "CannotCreateIndex", invalidOptions: "InvalidOptions",
	indexOptionsConflict: "IndexOptionsConflict", indexKeyConflict: "IndexKeySpecsConflict", writeConflict: "WriteConflict",
	inProgress: "ConflictingOperationInProgress", badIndexOption: "InvalidIndexSpecificationOption",
	historyIncomplete: "IncompleteTransactionHistory", transactionTooOld: "TransactionTooOld", notImplemented: "NotImplemented",
	snapshotUnavailable: "SnapshotUnavailable", noSuchTransaction: "NoSuchTransaction", transactionCommitted: "TransactionCommitted",
	notInTransaction: "OperationNotSupportedInTransaction", notWritablePrimary: "NotWritablePrimary", tooLarge: "BSONObjectTooLarge",
	duplicateKey: "DuplicateKey", notPrimaryNoRead: "NotPrimaryNoSecondaryOk",
	unsatisfiable: "UnsatisfiableWriteConcern", interrupted: "Interrupted", interruptedByState: "InterruptedDueToReplStateChange",
	interruptedAtShutdown: "InterruptedAtShutdown", 24: "LockTimeout", 64: "WriteConcernTimeout", 79: "UnknownReplWriteConcern",
	91: "ShutdownInProgress", 189: "PrimarySteppedDown", 262: "ExceededTimeLimit",
}
