package mongofake

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// batch runs the statements of a write command and makes its reply.
type batch struct {
	*request
	server  *Server
	met     int32
	changed int32
	errors  bson.A
	retried bson.A
}

// each runs every statement. An error of one is noted in the reply, save that in a transaction a conflict is the
// command's error; and there, or where order counts, the others are not run.
func (s *Server) each(r *request, field string, run func(i int, statement bson.Raw) (statements, *Error)) (bson.D, *Error) {
	list, ok := r.command.Lookup(field).ArrayOK()
	values, err := list.Values()
	if !ok || err != nil || len(values) == 0 {
		return nil, fail(16, "Write batch sizes must be between 1 and 100000")
	}
	ordered := true
	if o, ok := r.command.Lookup("ordered").BooleanOK(); ok {
		ordered = o
	}
	b := &batch{request: r, server: s}
	for i, v := range values {
		d, ok := v.DocumentOK()
		if !ok {
			return nil, fail(typeMismatch, "%s needs documents", field)
		}
		failed := b.one(i, d, run)
		if failed == nil {
			continue
		}
		if r.under != nil && (failed.Code == writeConflict || failed.Code == snapshotUnavailable) || failed.Code == maxTimeMSExpired || failed.Code >= interruptedAtShutdown && failed.Code <= interruptedByState {
			return nil, failed
		}
		b.errors = append(b.errors, append(bson.D{{Key: "index", Value: int32(i)}, {Key: "code", Value: failed.Code}, {Key: "errmsg", Value: failed.Message}}, failed.more...))
		if r.under != nil {
			s.abort(r.holds)
			r.under = nil
			break
		}
		if ordered {
			break
		}
	}
	return b.reply(), nil
}

// one runs one statement, or answers from what is noted of it.
func (b *batch) one(i int, d bson.Raw, run func(int, bson.Raw) (statements, *Error)) *Error {
	again := b.holds != nil && b.under == nil
	id := int32(i)
	if first, ok := b.command.Lookup("stmtId").Int32OK(); ok {
		id += first
	}
	if again {
		if noted, ok := b.holds.done[id]; ok {
			b.retried = append(b.retried, id)
			b.met, b.changed = b.met+noted.met, b.changed+noted.changed
			return nil
		}
	}
	did, err := run(i, d)
	if err != nil {
		return err
	}
	b.met, b.changed = b.met+did.met, b.changed+did.changed
	if again && did.met > 0 {
		b.holds.done[id] = did
	}
	return nil
}

func (b *batch) reply() bson.D {
	reply := bson.D{{Key: "n", Value: b.met}}
	if b.name == "update" {
		reply = append(reply, bson.E{Key: "nModified", Value: b.changed})
	}
	if b.errors != nil {
		reply = append(reply, bson.E{Key: "writeErrors", Value: b.errors})
	}
	if b.retried != nil {
		reply = append(reply, bson.E{Key: "retriedStmtIds", Value: b.retried})
	}
	return reply
}

// target is the collection of a write. Outside of a transaction the first insert makes it.
func (s *Server) target(r *request) (*collection, *Error) {
	c, ns, err := r.of(s, r.name)
	if err != nil {
		return nil, err
	}
	if c == nil && r.name == "insert" {
		if r.under != nil {
			return nil, unknown("making a collection in a transaction")
		}
		c = s.makeCollection(ns)
	}
	if c != nil && r.under != nil && r.under.snapshot < c.visible {
		return nil, tooEarly(c)
	}
	return c, nil
}

func (s *Server) insert(r *request) (bson.D, *Error) {
	c, err := s.target(r)
	if err != nil {
		return nil, err
	}
	return s.each(r, "documents", func(_ int, d bson.Raw) (statements, *Error) {
		document, err := insertable(d)
		if err != nil {
			return statements{}, err
		}
		n := &record{}
		if err := s.patient(r, func() *Error { return s.put(c, n, document, r.under) }); err != nil {
			return statements{}, err
		}
		c.records = append(c.records, n)
		return statements{met: 1, changed: 1}, nil
	})
}

// insertable is a document as it is stored: with its _id first.
func insertable(d bson.Raw) (bson.Raw, *Error) {
	elements, err := d.Elements()
	if err != nil {
		return nil, fail(badValue, "%v", err)
	}
	stored := bson.D{}
	for _, e := range elements {
		switch {
		case e.Key() == "_id":
			stored = slices.Insert(stored, 0, bson.E{Key: "_id", Value: e.Value()})
		case strings.HasPrefix(e.Key(), "$"):
			return nil, unknown("fields that begin with $")
		default:
			stored = append(stored, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	if len(stored) == 0 || stored[0].Key != "_id" {
		stored = slices.Insert(stored, 0, bson.E{Key: "_id", Value: bson.NewObjectID()})
	}
	return encoded(stored)
}

// statement is one statement of update or delete.
type statement struct {
	filter filter
	change bson.Raw // of update
	many   bool
}

func (s *Server) parseStatement(c *collection, r *request, d bson.Raw) (statement, *Error) {
	var st statement
	elements, _ := d.Elements()
	limited := false
	for _, e := range elements {
		v := e.Value()
		var err *Error
		switch e.Key() {
		case "q":
			q, ok := v.DocumentOK()
			if !ok {
				return st, fail(typeMismatch, "q is no document")
			}
			st.filter, err = parseFilter(q)
		case "u":
			u, ok := v.DocumentOK()
			if !ok {
				return st, unknown("updates of type %s", v.Type)
			}
			st.change = u
		case "multi":
			st.many, _ = v.BooleanOK()
		case "limit":
			n, ok := v.AsInt64OK()
			if !ok || n != 0 && n != 1 {
				return st, fail(failedToParse, "The limit field in delete objects must be 0 or 1. Got %s", v)
			}
			limited, st.many = true, n == 0
		case "hint":
			err = c.checkHint(v)
		case "collation":
			err = checkCollation(v)
		case "upsert":
			if b, ok := v.BooleanOK(); !ok || b {
				return st, unknown("upsert")
			}
		default:
			return st, fail(40415, "BSON field '%s.%ss.%s' is an unknown field.", r.name, r.name, e.Key())
		}
		if err != nil {
			return st, err
		}
	}
	switch {
	case r.name == "update" && st.change == nil, r.name == "delete" && (!limited || st.change != nil), st.filter == nil && d.Lookup("q").Type == 0:
		return st, fail(40414, "BSON field '%s.%ss' is missing a required field", r.name, r.name)
	case st.many && r.number != nil && r.autocommit == nil:
		return st, fail(invalidOptions, "Cannot use retryable writes with multi=true or limit=0")
	}
	return st, nil
}

func (s *Server) updateCommand(r *request) (bson.D, *Error) {
	return s.change(r, "updates", func(old, u bson.Raw) (bson.Raw, *Error) { return update(old, u) })
}

func (s *Server) deleteCommand(r *request) (bson.D, *Error) {
	return s.change(r, "deletes", func(bson.Raw, bson.Raw) (bson.Raw, *Error) { return nil, nil })
}

// change runs statements that change what they meet. What stays as it was is met and not written.
func (s *Server) change(r *request, field string, changed func(old, u bson.Raw) (bson.Raw, *Error)) (bson.D, *Error) {
	c, err := s.target(r)
	if err != nil {
		return nil, err
	}
	return s.each(r, field, func(_ int, d bson.Raw) (statements, *Error) {
		var did statements
		st, err := s.parseStatement(c, r, d)
		if err != nil || c == nil {
			return did, err
		}
		for _, met := range c.candidates(st.filter) {
			one, err := s.changeOne(r, c, met, st, changed)
			if err != nil {
				return did, err
			}
			did.met, did.changed = did.met+one.met, did.changed+one.changed
			if did.met > 0 && !st.many {
				break
			}
		}
		return did, nil
	})
}

// changeOne changes a record if the statement meets it.
func (s *Server) changeOne(r *request, c *collection, met *record, st statement, changed func(old, u bson.Raw) (bson.Raw, *Error)) (did statements, err *Error) {
	err = s.patient(r, func() *Error {
		did = statements{}
		old := met.seen(r.under.view())
		if old == nil || !st.filter.matches(old) {
			return nil
		}
		next, err := changed(old, st.change)
		if err != nil {
			return err
		}
		if did.met = 1; same(old, next) {
			return nil
		}
		did.changed = 1
		return s.put(c, met, next, r.under)
	})
	return did, err
}

// patient has a write outside of a transaction wait for the transactions that it meets.
func (s *Server) patient(r *request, write func() *Error) *Error {
	for {
		err := write()
		if err == nil || err.Code != writeConflict || r.under != nil {
			return err
		}
		if err := s.wait(r); err != nil {
			return err
		}
	}
}
