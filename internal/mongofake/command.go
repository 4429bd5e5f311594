package mongofake

import (
	"net"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// request is one command under way.
type request struct {
	name     string
	command  bson.Raw
	database string
	conn     int32

	session    string // "" without one
	number     *int64 // transaction number
	autocommit *bool
	starts     bool
	deadline   time.Time // of maxTimeMS

	level  string          // of the read concern
	at     *bson.Timestamp // of the read concern
	holds  *session
	under  *transaction
	before uint64 // the server's clock when it began

	unsatisfied bool // it waits for more members than there are
}

// handler runs a command and answers its reply's fields. It runs under the server's lock.
type handler struct {
	run       func(*Server, *request) (bson.D, *Error)
	fields    []string // that the command takes, beyond those that all take
	kind      kind
	anyMember bool // a secondary runs it too
}

type kind int

const (
	other      kind = iota
	reads           // takes a read concern, and may be in a transaction
	writes          // takes a write concern, may be retryable and in a transaction
	structural      // takes a write concern
	ending          // takes a write concern, and ends a transaction
)

var handlers map[string]handler

func init() { // apart, since explain asks for others
	hello := handler{run: func(s *Server, r *request) (bson.D, *Error) { return s.hello(r.conn), nil },
		fields: []string{"helloOk", "client", "compression", "saslSupportedMechs", "speculativeAuthenticate", "backpressure", "topologyVersion", "maxAwaitTimeMS", "loadBalanced"}, anyMember: true}
	handlers = map[string]handler{
		"hello": hello, "isMaster": hello, "ismaster": hello,
		"ping": {run: func(*Server, *request) (bson.D, *Error) { return nil, nil }, anyMember: true},
		"buildInfo": {run: func(s *Server, _ *request) (bson.D, *Error) {
			return bson.D{{Key: "version", Value: s.version()}}, nil
		}, anyMember: true},
		"find":    {run: (*Server).findCommand, fields: findFields, kind: reads},
		"getMore": {run: (*Server).getMore, fields: []string{"collection", "batchSize"}, kind: reads},
		"killCursors": {run: (*Server).killCursors, fields: []string{"cursors"}, kind: reads,
			anyMember: true},
		"aggregate":         {run: (*Server).aggregate, fields: []string{"pipeline", "cursor", "hint", "collation", "allowDiskUse"}, kind: reads},
		"explain":           {run: (*Server).explain, fields: []string{"verbosity"}},
		"insert":            {run: (*Server).insert, fields: []string{"documents", "ordered"}, kind: writes},
		"update":            {run: (*Server).updateCommand, fields: []string{"updates", "ordered"}, kind: writes},
		"delete":            {run: (*Server).deleteCommand, fields: []string{"deletes", "ordered"}, kind: writes},
		"create":            {run: (*Server).create, fields: []string{"collation"}, kind: structural},
		"createIndexes":     {run: (*Server).createIndexes, fields: []string{"indexes", "commitQuorum"}, kind: structural},
		"drop":              {run: (*Server).drop, kind: structural},
		"dropDatabase":      {run: (*Server).dropDatabase, kind: structural},
		"listCollections":   {run: (*Server).listCollections, fields: []string{"filter", "nameOnly", "authorizedCollections", "cursor"}},
		"listIndexes":       {run: (*Server).listIndexes, fields: []string{"cursor"}},
		"commitTransaction": {run: (*Server).commitTransaction, kind: ending},
		"abortTransaction":  {run: (*Server).abortTransaction, kind: ending},
		"killSessions":      {run: (*Server).killSessions, anyMember: true},
		"endSessions":       {run: (*Server).endSessions, anyMember: true},
	}
}

// common are the fields that every command takes.
var common = []string{"$db", "$readPreference", "$clusterTime", "lsid", "txnNumber", "autocommit", "startTransaction", "stmtId",
	"readConcern", "writeConcern", "maxTimeMS", "comment"}

// needsPrimary says whether the command runs on the primary alone. Reads name no secondary: drivers send them there only
// when they are told to.
func (r *request) needsPrimary() bool { return !handlers[r.name].anyMember }

// late is the error of a command whose time is over.
func (r *request) late() *Error {
	if !r.deadline.IsZero() && !time.Now().Before(r.deadline) {
		return fail(maxTimeMSExpired, "operation exceeded time limit")
	}
	return nil
}

// answer runs a command. It answers an error only where the connection is to be cut.
func (s *Server) answer(body bson.Raw, c net.Conn, id int32) (bson.Raw, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.conns[c] { // stopped
		return nil, errCut
	}
	r := &request{command: body, conn: id}
	if first, err := body.IndexErr(0); err == nil {
		r.name = first.Key()
	}
	f := s.fault(r.name)
	refused := r.parse(s)
	if f.Delay > 0 {
		refused = s.delay(r, f.Delay, refused)
	}
	if f.Before {
		return nil, errCut
	}
	r.before = s.clock
	var reply bson.D
	switch {
	case refused != nil:
	case f.Code != 0:
		refused = fail(f.Code, "a planted fault")
	default:
		reply, refused = s.run(r)
	}
	if f.After {
		return nil, errCut
	}
	if refused != nil {
		reply = s.refusal(r, refused, f.Labels)
	} else {
		reply = append(reply, bson.E{Key: "ok", Value: 1.0})
		if r.unsatisfied {
			f.WriteConcern = unsatisfiable
		}
		if f.WriteConcern != 0 {
			reply = s.unconfirmed(r, reply, f)
		}
	}
	return bson.Marshal(s.stamped(reply))
}

// delay lets time pass, during which others go on.
func (s *Server) delay(r *request, d time.Duration, refused *Error) *Error {
	if !r.deadline.IsZero() {
		d = min(d, time.Until(r.deadline)+time.Millisecond)
	}
	s.mu.Unlock()
	time.Sleep(d)
	s.mu.Lock()
	if refused == nil {
		refused = r.late()
	}
	return refused
}

func (s *Server) run(r *request) (bson.D, *Error) {
	h := handlers[r.name]
	if err := s.enter(r); err != nil {
		return nil, err
	}
	reply, err := h.run(s, r)
	s.leave(r, err != nil)
	return reply, err
}

func (s *Server) refusal(r *request, err *Error, labels []string) bson.D {
	reply := bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: err.Message}, {Key: "code", Value: err.Code}, {Key: "codeName", Value: err.Name}}
	if labels == nil {
		labels = s.labels(r, err.Code, false, s.clock != r.before)
	}
	if len(labels) > 0 {
		reply = append(reply, bson.E{Key: "errorLabels", Value: labels})
	}
	return append(reply, err.more...)
}

func (s *Server) unconfirmed(r *request, reply bson.D, f Fault) bson.D {
	e := fail(f.WriteConcern, "a planted fault")
	reply = append(reply, bson.E{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: e.Code}, {Key: "codeName", Value: e.Name}, {Key: "errmsg", Value: e.Message}}})
	labels := f.Labels
	if labels == nil {
		labels = s.labels(r, e.Code, true, true)
	}
	if len(labels) > 0 {
		reply = append(reply, bson.E{Key: "errorLabels", Value: labels})
	}
	return reply
}

// stamped is a reply with the times that members of a replica set put into each.
func (s *Server) stamped(reply bson.D) bson.D {
	if s.options.Standalone || s.options.Router {
		return reply
	}
	now := instant(s.clock)
	return append(reply, bson.E{Key: "operationTime", Value: now}, bson.E{Key: "$clusterTime", Value: bson.D{{Key: "clusterTime", Value: now},
		{Key: "signature", Value: bson.D{{Key: "hash", Value: bson.Binary{Data: make([]byte, 20)}}, {Key: "keyId", Value: int64(0)}}}}})
}

// parse reads what all commands have in common, and refuses what the command does not take.
func (r *request) parse(s *Server) *Error {
	h, ok := handlers[r.name]
	if !ok {
		return fail(commandNotFound, "no such command: '%s'", r.name)
	}
	elements, err := r.command.Elements()
	if err != nil {
		return fail(failedToParse, "%v", err)
	}
	for _, e := range elements[1:] {
		if !slices.Contains(common, e.Key()) && !slices.Contains(h.fields, e.Key()) {
			return fail(40415, "BSON field '%s.%s' is an unknown field.", r.name, e.Key())
		}
	}
	r.database, ok = r.command.Lookup("$db").StringValueOK()
	if !ok || r.database == "" {
		return fail(40571, "OP_MSG requests require a $db argument")
	}
	if ms, ok := r.command.Lookup("maxTimeMS").AsInt64OK(); ok && ms > 0 {
		r.deadline = time.Now().Add(time.Duration(ms) * time.Millisecond)
	}
	if err := r.parseSession(s, h); err != nil {
		return err
	}
	if err := r.parseReadConcern(s, h); err != nil {
		return err
	}
	if err := r.parseWriteConcern(h); err != nil {
		return err
	}
	if s.primary || h.anyMember {
		return nil
	}
	if h.kind == reads || h.kind == other {
		return fail(notPrimaryNoRead, "not primary and secondaryOk=false")
	}
	return fail(notWritablePrimary, "not primary")
}

func (r *request) parseSession(s *Server, h handler) *Error {
	if d, ok := r.command.Lookup("lsid").DocumentOK(); ok {
		kind, id, ok := d.Lookup("id").BinaryOK()
		if !ok || kind != bson.TypeBinaryUUID {
			return fail(failedToParse, "lsid.id is no UUID")
		}
		r.session = string(id)
	}
	if n, ok := r.command.Lookup("txnNumber").Int64OK(); ok {
		r.number = &n
	}
	if b, ok := r.command.Lookup("autocommit").BooleanOK(); ok {
		r.autocommit = &b
	}
	starts := r.command.Lookup("startTransaction")
	r.starts = starts.Type != 0
	switch {
	case r.number == nil && r.autocommit != nil:
		return fail(invalidOptions, "'autocommit' field requires a transaction number to also be specified")
	case r.autocommit == nil && r.starts:
		return fail(invalidOptions, "'startTransaction' field requires 'autocommit' field to also be specified")
	case r.autocommit != nil && *r.autocommit:
		return fail(invalidOptions, "Specifying autocommit=true is not allowed.")
	case r.starts && (starts.Type != bson.TypeBoolean || !starts.Boolean()):
		return fail(invalidOptions, "Specifying startTransaction=false is not allowed.")
	case h.kind == ending && r.autocommit == nil:
		return fail(invalidOptions, "%s must be run within a transaction", r.name)
	case h.kind == ending && r.database != "admin":
		return fail(unauthorized, "%s may only be run against the admin database.", r.name)
	case r.number == nil:
		return nil
	case r.session == "":
		return fail(invalidOptions, "Transaction number requires a session ID to also be specified")
	case s.options.Standalone:
		return fail(illegalOperation, "Transaction numbers are only allowed on a replica set member or mongos")
	case r.autocommit == nil && h.kind != writes:
		return fail(50768, "txnNumber may only be provided for multi-document transactions and retryable write commands. autocommit:false was not provided, and %s is not a retryable write command.", r.name)
	case r.autocommit != nil && h.kind != reads && h.kind != writes && h.kind != ending:
		return fail(notInTransaction, "Cannot run '%s' in a multi-document transaction.", r.name)
	case r.autocommit != nil && h.kind == ending && r.starts:
		return fail(notInTransaction, "Cannot run '%s' as the first command of a transaction", r.name)
	}
	return nil
}

func (r *request) parseReadConcern(s *Server, h handler) *Error {
	d, ok := r.command.Lookup("readConcern").DocumentOK()
	if !ok {
		return nil
	}
	elements, _ := d.Elements()
	for _, e := range elements {
		switch e.Key() {
		case "level":
			r.level, _ = e.Value().StringValueOK()
		case "atClusterTime":
			t, i, ok := e.Value().TimestampOK()
			if !ok {
				return fail(typeMismatch, "atClusterTime is no timestamp")
			}
			r.at = &bson.Timestamp{T: t, I: i}
		case "afterClusterTime":
			if t, i, ok := e.Value().TimestampOK(); !ok || commitOf(bson.Timestamp{T: t, I: i}) > s.clock {
				return unknown("an instant that is to come")
			}
		default:
			return unknown("readConcern.%s", e.Key())
		}
	}
	inside := r.autocommit != nil
	switch {
	case inside && !r.starts:
		return fail(invalidOptions, "Only the first command in a transaction may specify a readConcern")
	case !slices.Contains([]string{"", "local", "majority", "snapshot"}, r.level):
		return unknown("the read concern %q", r.level)
	case r.at != nil && r.level != "snapshot":
		return fail(invalidOptions, "readConcern level snapshot is required when specifying atClusterTime")
	case inside:
		return nil
	case h.kind != reads && r.level != "" && r.level != "local":
		return fail(invalidOptions, "Command %s does not support { readConcern: { level: %q } }", r.name, r.level)
	case r.level == "snapshot" && (s.options.WireVersion < MongoDB50 || r.name != "find" && r.name != "aggregate"):
		return fail(invalidOptions, "readConcern level snapshot is only valid in a transaction, or on find, aggregate and distinct from MongoDB 5.0")
	case r.level == "snapshot" && s.options.Standalone:
		return fail(123, "node needs to be a replica set member to use readConcern: snapshot")
	}
	return nil
}

func (r *request) parseWriteConcern(h handler) *Error {
	d, ok := r.command.Lookup("writeConcern").DocumentOK()
	if !ok {
		return nil
	}
	if h.kind != writes && h.kind != structural && h.kind != ending {
		return fail(invalidOptions, "Command %s does not support writeConcern", r.name)
	}
	if r.autocommit != nil && h.kind != ending {
		return fail(invalidOptions, "writeConcern is not allowed within a multi-statement transaction")
	}
	elements, _ := d.Elements()
	for _, e := range elements {
		w, _ := e.Value().StringValueOK()
		n, number := e.Value().AsInt64OK()
		switch {
		case e.Key() == "w" && (w == "majority" || number && n == 1):
		case e.Key() == "w" && number && n > 1:
			r.unsatisfied = true
		case e.Key() == "j" && e.Value().Type == bson.TypeBoolean:
		case e.Key() == "wtimeout" && number:
		default:
			return unknown("the write concern %s", d)
		}
	}
	return nil
}

// view is what the command's reads see.
func (s *Server) view(r *request, c *collection) (view, *Error) {
	switch {
	case r.under != nil:
		if c != nil && r.under.snapshot < c.visible {
			return view{}, tooEarly(c)
		}
		return r.under.view(), nil
	case r.level != "snapshot":
		return latest, nil
	}
	at := s.clock
	if r.at != nil {
		at = commitOf(*r.at)
	}
	if at > s.clock {
		return view{}, unknown("an instant that is to come")
	}
	if c != nil && at < c.visible {
		return view{}, tooEarly(c)
	}
	r.at = &bson.Timestamp{}
	*r.at = instant(at)
	return view{at: at}, nil
}

func tooEarly(c *collection) *Error {
	return fail(snapshotUnavailable, "Unable to read from a snapshot due to pending collection catalog changes to collection '%s'; please retry the operation.", c.namespace)
}

// of is the collection that a command names in a field.
func (r *request) of(s *Server, field string) (*collection, string, *Error) {
	name, ok := r.command.Lookup(field).StringValueOK()
	if !ok || name == "" {
		return nil, "", fail(73, "collection name has invalid type or is empty")
	}
	ns := r.database + "." + name
	c := s.namespaces[ns]
	if c != nil && c.foreign {
		return nil, ns, unknown("the collation of %s", ns)
	}
	return c, ns, nil
}
