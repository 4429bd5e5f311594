package mongofake

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// client speaks to a server without a driver.
type client struct {
	*testing.T
	conn net.Conn
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) dial(t *testing.T) client {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return client{t, c}
}

// message makes an OP_MSG of a body.
func opMsgOf(t *testing.T, body bson.D) []byte {
	t.Helper()
	raw, err := bson.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 21, 21+len(raw))
	b = append(b, raw...)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[12:], opMsg)
	return b
}

// send sends a command without waiting for its answer.
func (c client) send(body bson.D) {
	c.Helper()
	if _, err := c.conn.Write(opMsgOf(c.T, withDatabase(body))); err != nil {
		c.Fatal(err)
	}
}

func withDatabase(body bson.D) bson.D {
	for _, e := range body {
		if e.Key == "$db" {
			return body
		}
	}
	return append(body, bson.E{Key: "$db", Value: "test"})
}

func (c client) receive() bson.Raw {
	c.Helper()
	reply, err := c.read()
	if err != nil {
		c.Fatal(err)
	}
	return reply
}

func (c client) read() (bson.Raw, error) {
	var header [16]byte
	if _, err := io.ReadFull(c.conn, header[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.LittleEndian.Uint32(header[:])-16)
	if _, err := io.ReadFull(c.conn, b); err != nil {
		return nil, err
	}
	return b[5:], nil
}

func (c client) run(body bson.D) bson.Raw {
	c.Helper()
	c.send(body)
	return c.receive()
}

// ok runs a command that must not fail in any way.
func (c client) ok(body bson.D) bson.Raw {
	c.Helper()
	reply := c.run(body)
	if code(reply) != 0 {
		c.Fatalf("%v: %s", body, reply)
	}
	return reply
}

// fails runs a command that must fail with a code, of itself or of its first statement.
func (c client) fails(want int32, what string, body bson.D) bson.Raw {
	c.Helper()
	reply := c.run(body)
	if got := code(reply); got != want {
		c.Errorf("%s: code %d, want %d: %s", what, got, want, reply)
	}
	return reply
}

func code(reply bson.Raw) int32 {
	if n, ok := reply.Lookup("code").Int32OK(); ok {
		return n
	}
	n, _ := reply.Lookup("writeErrors", "0", "code").Int32OK()
	return n
}

func labels(reply bson.Raw) []string {
	var all []string
	list, _ := reply.Lookup("errorLabels").ArrayOK()
	values, _ := list.Values()
	for _, v := range values {
		all = append(all, v.StringValue())
	}
	return all
}

func command(pairs ...any) bson.D {
	var d bson.D
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return d
}

func insert(docs ...any) bson.D { return command("insert", "c", "documents", bson.A(docs)) }

func set(id any, x int32) bson.D {
	return command("update", "c", "updates", bson.A{command("q", command("_id", id), "u", command("$set", command("x", x)))})
}

func find(pairs ...any) bson.D { return append(command("find", "c"), command(pairs...)...) }

// xs are the values of x that a find answers.
func (c client) xs(body bson.D) []int32 {
	c.Helper()
	list, _ := c.ok(body).Lookup("cursor", "firstBatch").ArrayOK()
	values, _ := list.Values()
	all := []int32{}
	for _, v := range values {
		x, _ := v.Document().Lookup("x").Int32OK()
		all = append(all, x)
	}
	return all
}

// session numbers transactions.
type sessionOf struct {
	id     bson.Binary
	number int64
}

func newSession() *sessionOf {
	id := bson.NewObjectID()
	return &sessionOf{id: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: append(id[:], 0, 0, 0, 0)}}
}

// write is a retryable write of the next number.
func (s *sessionOf) write(body bson.D) bson.D {
	s.number++
	return s.again(body)
}

func (s *sessionOf) again(body bson.D) bson.D {
	return append(slices.Clone(body), command("lsid", command("id", s.id), "txnNumber", s.number)...)
}

// first begins a transaction.
func (s *sessionOf) first(body bson.D) bson.D {
	s.number++
	return append(s.next(body), command("startTransaction", true, "readConcern", command("level", "snapshot"))...)
}

func (s *sessionOf) next(body bson.D) bson.D {
	return append(s.again(body), command("autocommit", false)...)
}

func (s *sessionOf) commit() bson.D {
	return s.next(command("commitTransaction", 1, "$db", "admin", "writeConcern", command("w", "majority", "j", true)))
}

func (s *sessionOf) abort() bson.D { return s.next(command("abortTransaction", 1, "$db", "admin")) }

// TestWriteConflicts has two transactions write one document, in both orders: the second to write loses, at once.
func TestWriteConflicts(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.ok(insert(command("_id", 1, "x", 0)))
	lost := func(what string, reply bson.Raw) {
		t.Helper()
		if code(reply) != writeConflict || !slices.Equal(labels(reply), []string{"TransientTransactionError"}) || reply.Lookup("ok").Double() != 0 {
			t.Errorf("%s: %s", what, reply)
		}
	}
	a, b := newSession(), newSession()
	c.ok(a.first(set(1, 1)))
	lost("while the other is open", c.run(b.first(set(1, 2))))
	c.ok(a.commit())
	c.fails(noSuchTransaction, "commit of the loser", b.commit())

	c.ok(a.first(find()))
	c.ok(b.first(set(1, 3)))
	c.ok(b.commit())
	lost("behind a commit that its snapshot does not see", c.run(a.next(set(1, 4))))
	if got := c.xs(find()); !slices.Equal(got, []int32{3}) {
		t.Errorf("the document is %v", got)
	}

	c.ok(a.first(set(1, 5))) // what stays as it is, is not written
	c.ok(b.first(command("update", "c", "updates", bson.A{command("q", command("_id", 1), "u", command("$set", command("x", int32(3))))})))
	c.ok(b.commit())
	c.ok(a.abort())
}

func TestUniqueKeysOfTransactions(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.ok(command("createIndexes", "c", "indexes", bson.A{command("name", "u", "key", command("u", 1), "unique", true, "partialFilterExpression", command("u", command("$exists", true)))}))
	a, b := newSession(), newSession()
	c.ok(a.first(insert(command("_id", 1, "u", "k"))))
	c.fails(writeConflict, "a key of an open transaction", b.first(insert(command("_id", 2, "u", "k"))))
	c.ok(a.abort())
	c.ok(b.first(insert(command("_id", 2, "u", "k"))))
	c.ok(a.first(insert(command("_id", 3)))) // no key at all
	c.ok(b.commit())
	c.fails(writeConflict, "a key committed since the snapshot", a.next(insert(command("_id", 1, "u", "k"))))

	dup := c.run(a.first(insert(command("_id", 9), command("_id", 4, "u", "k"))))
	if code(dup) != duplicateKey || dup.Lookup("ok").Double() != 1 || dup.Lookup("n").Int32() != 1 || labels(dup) != nil ||
		dup.Lookup("writeErrors", "0", "index").Int32() != 1 || dup.Lookup("writeErrors", "0", "keyPattern", "u").Int32() != 1 ||
		!strings.Contains(dup.Lookup("writeErrors", "0", "errmsg").StringValue(), "test.c index: u dup key") {
		t.Errorf("a duplicate key in a transaction: %s", dup)
	}
	c.fails(noSuchTransaction, "a commit behind a duplicate key", a.commit())
	c.ok(insert(command("_id", 5), command("_id", 6)))
	c.fails(duplicateKey, "a duplicate key by update", command("update", "c", "updates", bson.A{command("q", command("_id", 5), "u", command("u", "k"))}))
	c.fails(duplicateKey, "an id", insert(command("_id", int64(5))))
	c.ok(command("delete", "c", "deletes", bson.A{command("q", command("u", "k"), "limit", 1, "hint", "u")}))
	c.ok(insert(command("_id", 7, "u", "k")))
}

// TestWritersWait has writes outside of transactions meet one.
func TestWritersWait(t *testing.T) {
	s := start(t, Options{})
	c, other := s.dial(t), s.dial(t)
	c.ok(insert(command("_id", 1, "x", 0)))
	a := newSession()
	for _, end := range []func() bson.D{a.commit, a.abort} {
		c.ok(a.first(set(1, 1)))
		c.ok(a.next(insert(command("_id", 2, "x", 0))))
		c.fails(maxTimeMSExpired, "a write that does not wait for long", append(set(1, 2), command("maxTimeMS", 20)...))
		if got := c.xs(find()); !slices.Equal(got, []int32{0}) {
			t.Errorf("a read sees %v of an open transaction", got)
		}
		other.send(insert(command("_id", 2, "x", 7)))
		time.Sleep(10 * time.Millisecond)
		c.ok(end())
		reply := other.receive()
		if committed := c.xs(find("filter", command("_id", 1)))[0] == 1; committed != (code(reply) == duplicateKey) {
			t.Errorf("the transaction is committed: %t; the insert that waited: %s", committed, reply)
		}
		c.ok(command("drop", "c"))
		c.ok(insert(command("_id", 1, "x", 0)))
	}
}

func TestFinishedTransactions(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.ok(insert(command("_id", 1, "x", 0)))
	a := newSession()
	c.ok(a.first(set(1, 1)))
	c.ok(a.commit())
	c.ok(a.commit())
	c.fails(transactionCommitted, "abort of a committed one", a.abort())
	c.fails(transactionCommitted, "a command of a committed one", a.next(set(1, 2)))
	again := a.next(set(1, 2))
	c.fails(inProgress, "begin a committed one", append(again, bson.E{Key: "startTransaction", Value: true}))
	c.ok(a.first(set(1, 3)))
	c.ok(a.abort())
	if reply := c.fails(noSuchTransaction, "commit of an aborted one", a.commit()); !slices.Equal(labels(reply), []string{"TransientTransactionError"}) {
		t.Errorf("its labels: %v", labels(reply))
	}
	c.fails(noSuchTransaction, "a command of an aborted one", a.next(set(1, 2)))
	c.fails(noSuchTransaction, "a command of one that has not begun", func() bson.D { a.number++; return a.next(set(1, 2)) }())
	c.fails(transactionTooOld, "an older one", func() bson.D { a.number -= 2; return a.next(set(1, 2)) }())
	a.number += 2

	c.ok(a.first(set(1, 4))) // left open by its client, it ends with the next one of the session, or by killSessions
	c.ok(a.first(set(1, 5)))
	c.ok(command("killSessions", bson.A{command("id", a.id)}))
	c.fails(noSuchTransaction, "commit of a killed one", a.commit())
	c.fails(badValue, "a command that fails ends it", a.first(find("filter", command("x", command("$foo", 1)))))
	c.fails(noSuchTransaction, "after a failure", a.next(find()))
	if got := c.xs(find()); !slices.Equal(got, []int32{1}) {
		t.Errorf("the document is %v", got)
	}
}

func TestLifetime(t *testing.T) {
	c := start(t, Options{Lifetime: 30 * time.Millisecond}).dial(t)
	c.ok(insert(command("_id", 1, "x", 0)))
	a := newSession()
	c.ok(a.first(set(1, 1)))
	c.ok(set(1, 2)) // waits for its end
	c.fails(noSuchTransaction, "commit", a.commit())
	if got := c.xs(find()); !slices.Equal(got, []int32{2}) {
		t.Errorf("the document is %v", got)
	}
}

func TestSnapshots(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.ok(insert(command("_id", 1, "x", 0), command("_id", 2, "x", 0)))
	first := c.ok(find("readConcern", command("level", "snapshot")))
	then, i := first.Lookup("cursor", "atClusterTime").Timestamp()
	at := command("level", "snapshot", "atClusterTime", bson.Timestamp{T: then, I: i})
	a := newSession()
	c.ok(a.first(find()))
	c.ok(set(1, 1))
	c.ok(a.next(set(2, 5)))
	for what, want := range map[string]struct {
		body bson.D
		xs   []int32
	}{
		"now":                           {find(), []int32{1, 0}},
		"an instant of before":          {find("readConcern", at), []int32{0, 0}},
		"a transaction sees its writes": {a.next(find()), []int32{0, 5}},
	} {
		if got := c.xs(want.body); !slices.Equal(got, want.xs) {
			t.Errorf("%s: %v, want %v", what, got, want.xs)
		}
	}
	count := command("aggregate", "c", "cursor", bson.D{}, "readConcern", at, "pipeline", bson.A{command("$match", command("x", int32(0))),
		command("$group", command("_id", int32(1), "n", command("$sum", int32(1))))})
	if n := c.ok(count).Lookup("cursor", "firstBatch", "0", "n").Int32(); n != 2 {
		t.Errorf("counted at an instant of before: %d", n)
	}
	c.ok(a.abort())
	c.ok(command("createIndexes", "c", "indexes", bson.A{command("name", "x", "key", command("x", 1))}))
	c.fails(snapshotUnavailable, "an instant of before an index", find("readConcern", at))
}

func TestRetryableWrites(t *testing.T) {
	c := start(t, Options{}).dial(t)
	a := newSession()
	body := insert(command("_id", 1, "x", 0), command("_id", 2, "x", 0))
	first, again := c.ok(a.write(body)), c.ok(a.again(body))
	if first.Lookup("n").Int32() != 2 || again.Lookup("n").Int32() != 2 || again.Lookup("retriedStmtIds", "1").Int32() != 1 {
		t.Errorf("%s, then %s", first, again)
	}
	inc := command("update", "c", "updates", bson.A{command("q", command("_id", 1), "u", command("$inc", command("x", 1)))})
	for range 3 {
		if n := c.ok(a.again(append(inc, bson.E{Key: "stmtId", Value: int32(9)}))).Lookup("n").Int32(); n != 1 {
			t.Errorf("n is %d", n)
		}
	}
	c.ok(a.write(inc))
	if got := c.xs(find("filter", command("_id", 1))); !slices.Equal(got, []int32{2}) {
		t.Errorf("two increments, each sent more than once, make %v", got)
	}
	missing := command("delete", "c", "deletes", bson.A{command("q", command("_id", 3), "limit", 1)})
	c.ok(a.write(missing))
	c.ok(insert(command("_id", 3)))
	if n := c.ok(a.again(missing)).Lookup("n").Int32(); n != 1 { // what did nothing is done again
		t.Errorf("a delete that met nothing at first: n is %d", n)
	}
	c.fails(invalidOptions, "a delete of many", a.write(command("delete", "c", "deletes", bson.A{command("q", bson.D{}, "limit", 0)})))
	a.number--
	c.fails(transactionTooOld, "an older write", a.again(inc))
}

func TestLabelsOfErrors(t *testing.T) {
	for wire, want := range map[int][]string{MongoDB50: {"RetryableWriteError"}, MongoDB60: {"RetryableWriteError", "NoWritesPerformed"}} {
		s := start(t, Options{WireVersion: wire})
		c := s.dial(t)
		c.ok(insert(command("_id", 1)))
		a := newSession()
		c.ok(a.first(set(1, 1)))
		s.StepDown()
		c.fails(notWritablePrimary, "a write on a secondary", set(1, 1))
		c.fails(notPrimaryNoRead, "a read on a secondary", find())
		c.ok(command("ping", 1))
		if reply := c.fails(notWritablePrimary, "a retryable one", a.write(set(1, 1))); !slices.Equal(labels(reply), want) {
			t.Errorf("labels %v, want %v", labels(reply), want)
		}
		a.number--
		if reply := c.fails(notWritablePrimary, "one in a transaction", a.next(set(1, 1))); !slices.Equal(labels(reply), []string{"TransientTransactionError"}) {
			t.Errorf("labels %v", labels(reply))
		}
		if reply := c.fails(notWritablePrimary, "a commit", a.commit()); !slices.Equal(labels(reply), want) {
			t.Errorf("labels %v, want %v", labels(reply), want)
		}
		s.StepUp()
		c.fails(noSuchTransaction, "a transaction of before", a.commit())
		s.Fail(Fault{Commands: []string{"update"}, WriteConcern: 91})
		if reply := c.run(a.write(set(1, 2))); !slices.Equal(labels(reply), []string{"RetryableWriteError"}) || reply.Lookup("writeConcernError", "code").Int32() != 91 {
			t.Errorf("a write that is not confirmed: %s", reply)
		}
		if got := c.xs(find()); !slices.Equal(got, []int32{2}) {
			t.Errorf("it wrote %v", got)
		}
	}
}

func TestQueries(t *testing.T) {
	c := start(t, Options{}).dial(t)
	values := []any{bson.MinKey{}, nil, -1.5, int32(1), int64(2), 2.5, "", "a", "a\x00", "b", "é", "\uffff", "\U00010000", command("a", 1), command("b", 0), command("a", "x"),
		bson.Binary{Data: []byte{9}}, bson.Binary{Data: []byte{0, 0}}, bson.NewObjectID(), false, true, time.Unix(1, 0), time.Unix(2, 0), bson.Timestamp{T: 1, I: 1}, bson.MaxKey{}}
	for i := len(values) - 1; i >= 0; i-- {
		c.ok(insert(command("_id", int32(i), "v", values[i], "x", int32(i))))
	}
	c.ok(command("createIndexes", "c", "indexes", bson.A{command("name", "v", "key", command("v", 1, "_id", 1))}))
	var all []int32
	for i := range values {
		all = append(all, int32(i))
	}
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	for what, q := range map[string]struct {
		body bson.D
		want []int32
	}{
		"natural order":           {find(), reversed},
		"a sort":                  {find("sort", command("v", 1)), all},
		"a hinted index":          {find("hint", "v"), all},
		"a hinted pattern":        {find("hint", command("v", 1, "_id", 1), "sort", command("v", -1)), reversed},
		"numbers of one value":    {find("filter", command("v", int64(1))), []int32{3}},
		"a range within strings":  {find("filter", command("v", command("$gte", "a", "$lt", "b")), "sort", command("v", 1)), []int32{7, 8}},
		"a range within numbers":  {find("filter", command("v", command("$gt", 1)), "sort", command("v", 1)), []int32{4, 5}},
		"several":                 {find("filter", command("_id", command("$in", bson.A{1, 3, "x"})), "sort", command("v", 1)), []int32{1, 3}},
		"null and nothing":        {find("filter", command("none", nil), "sort", command("v", 1), "limit", 2), []int32{0, 1}},
		"what is there":           {find("filter", command("none", command("$exists", true))), []int32{}},
		"a page":                  {find("sort", command("v", 1), "skip", 2, "limit", 2), []int32{2, 3}},
		"from a place to another": {find("hint", "v", "min", command("v", "a", "_id", bson.MinKey{}), "max", command("v", "é", "_id", bson.MinKey{})), []int32{7, 8, 9}},
		"and a condition on it":   {find("hint", "v", "filter", command("_id", command("$gt", 7)), "min", command("v", "a", "_id", bson.MinKey{}), "max", command("v", "é", "_id", bson.MinKey{})), []int32{8, 9}},
	} {
		if got := c.xs(q.body); !slices.Equal(got, q.want) {
			t.Errorf("%s: %v, want %v", what, got, q.want)
		}
	}
}

func TestCursors(t *testing.T) {
	c := start(t, Options{}).dial(t)
	for i := range 5 {
		c.ok(insert(command("_id", int32(i), "x", int32(i), "b", bson.Binary{Data: make([]byte, 5<<20)})))
	}
	reply := c.ok(find("batchSize", 1, "sort", command("_id", 1)))
	id := reply.Lookup("cursor", "id").Int64()
	c.ok(set(int32(2), 7))
	c.ok(command("delete", "c", "deletes", bson.A{command("q", command("_id", 1), "limit", 1)}))
	next := c.ok(command("getMore", id, "collection", "c"))
	list, _ := next.Lookup("cursor", "nextBatch").ArrayOK()
	values, _ := list.Values()
	if len(values) != 3 || values[0].Document().Lookup("x").Int32() != 7 { // of 2, 3 and 4, 15 MiB
		t.Errorf("the second batch has %d documents", len(values))
	}
	c.fails(cursorNotFound, "behind the end", command("getMore", id, "collection", "c"))
	id = c.ok(find("batchSize", 1)).Lookup("cursor", "id").Int64()
	c.fails(unauthorized, "another session", newSession().plain(command("getMore", id, "collection", "c")))
	if n := c.ok(command("killCursors", "c", "cursors", bson.A{id, int64(99)})).Lookup("cursorsKilled", "0").Int64(); n != id {
		t.Errorf("killed %d", n)
	}
	c.fails(cursorNotFound, "a killed one", command("getMore", id, "collection", "c"))
	whole := c.ok(find())
	list, _ = whole.Lookup("cursor", "firstBatch").ArrayOK()
	if values, _ = list.Values(); len(values) != 3 || whole.Lookup("cursor", "id").Int64() == 0 {
		t.Errorf("a batch of %d times 5 MiB", len(values))
	}
	if single := c.ok(find("limit", 2, "batchSize", 2, "singleBatch", true)); single.Lookup("cursor", "id").Int64() != 0 {
		t.Errorf("a single batch leaves a cursor")
	}
}

// plain is a command of the session outside of transactions.
func (s *sessionOf) plain(body bson.D) bson.D {
	return append(body, bson.E{Key: "lsid", Value: command("id", s.id)})
}

// TestRefusals holds that the fake takes nothing that it does not know, nor what MongoDB would not take.
func TestRefusals(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.ok(insert(command("_id", 1, "x", 0)))
	c.ok(command("createIndexes", "c", "indexes", bson.A{command("name", "x", "key", command("x", 1, "_id", 1))}))
	a := newSession()
	update := func(u any, more ...any) bson.D {
		return command("update", "c", "updates", bson.A{append(command("q", command("_id", 1), "u", u), command(more...)...)})
	}
	index := func(pairs ...any) bson.D { return command("createIndexes", "c", "indexes", bson.A{command(pairs...)}) }
	for what, r := range map[string]struct {
		body bson.D
		code int32
	}{
		"a command":                               {command("mapReduce", "c"), commandNotFound},
		"a field of a command":                    {find("tailable", true), 40415},
		"a field of a statement":                  {update(command("$set", command("x", 1)), "sort", bson.D{}), 40415},
		"a delete without its limit":              {command("delete", "c", "deletes", bson.A{command("q", bson.D{})}), 40414},
		"no documents":                            {command("insert", "c", "documents", bson.A{}), 16},
		"an operator that there is not":           {find("filter", command("x", command("$foo", 1))), badValue},
		"an operator that the fake does not know": {find("filter", command("x", command("$regex", "a"))), notImplemented},
		"an operator at the top":                  {find("filter", command("$foo", 1)), badValue},
		"another at the top":                      {find("filter", command("$or", bson.A{})), notImplemented},
		"an array":                                {insert(command("_id", 2, "a", bson.A{1})), notImplemented},
		"a decimal":                               {insert(command("_id", 2, "a", bson.NewDecimal128(1, 2))), notImplemented},
		"a hint of no index":                      {find("hint", "none"), badValue},
		"a hint of no index, of a write":          {update(command("$set", command("x", 1)), "hint", "none"), badValue},
		"min without a hint":                      {find("min", command("x", 1, "_id", 1)), 51173},
		"min of other fields":                     {find("hint", "x", "min", command("x", 1)), 51174},
		"min at max":                              {find("hint", "x", "min", command("x", 1, "_id", 1), "max", command("x", 1, "_id", 1)), 51175},
		"a collation":                             {find("collation", command("locale", "de")), notImplemented},
		"a projection":                            {find("projection", command("x", 1)), notImplemented},
		"a negative limit":                        {find("limit", -1), 51024},
		"an upsert":                               {update(command("x", 1), "upsert", true), notImplemented},
		"a pipeline as an update":                 {update(bson.A{command("$set", command("x", 1))}), notImplemented},
		"an update operator that there is not":    {update(command("$foo", command("x", 1))), failedToParse},
		"an update operator unknown here":         {update(command("$push", command("x", 1))), notImplemented},
		"an update of the id":                     {update(command("$set", command("_id", 2))), immutableField},
		"a replacement of the id":                 {update(command("_id", 2)), immutableField},
		"a replacement with an operator":          {update(command("x", 1, "$set", 1)), 52},
		"an increment of a string":                {command("update", "c", "updates", bson.A{command("q", command("_id", 1), "u", command("$set", command("x", "s"))), command("q", command("_id", 1), "u", command("$inc", command("x", 1)))}), typeMismatch},
		"a pipeline":                              {command("aggregate", "c", "cursor", bson.D{}, "pipeline", bson.A{command("$match", bson.D{})}), notImplemented},
		"a pipeline without a cursor":             {command("aggregate", "c", "pipeline", bson.A{}), failedToParse},
		"a document that is too large":            {update(command("b", bson.Binary{Data: make([]byte, 16<<20)})), tooLarge},
		"a collection that there is":              {command("create", "c"), namespaceExists},
		"a collection's name":                     {command("create", "a$b"), 73},
		"the indexes of no collection":            {command("listIndexes", "none"), namespaceNotFound},
		"an index option":                         {index("name", "y", "key", command("y", 1), "foo", 1), badIndexOption},
		"an index option that is not known here":  {index("name", "y", "key", command("y", 1), "sparse", true), notImplemented},
		"a partial index of what may not be":      {index("name", "y", "key", command("y", 1), "partialFilterExpression", command("y", command("$exists", false))), cannotCreateIndex},
		"an index of a name, of other fields":     {index("name", "x", "key", command("y", 1)), indexKeyConflict},
		"an index of fields, of another name":     {index("name", "y", "key", command("x", 1, "_id", 1)), indexOptionsConflict},
		"a write in no known concern":             {append(set(1, 1), command("writeConcern", command("w", "dc2"))...), notImplemented},
		"a write concern of a read":               {find("writeConcern", command("w", "majority")), invalidOptions},
		"a read concern of a write":               {append(set(1, 1), command("readConcern", command("level", "majority"))...), invalidOptions},
		"a snapshot of a list":                    {command("listCollections", 1, "readConcern", command("level", "snapshot")), invalidOptions},
		"a snapshot of a getMore":                 {command("getMore", int64(1), "collection", "c", "readConcern", command("level", "snapshot")), invalidOptions},
		"a linearizable read":                     {find("readConcern", command("level", "linearizable")), notImplemented},
		"an instant without a snapshot":           {find("readConcern", command("level", "majority", "atClusterTime", bson.Timestamp{T: 1})), invalidOptions},
		"an instant to come":                      {find("readConcern", command("level", "snapshot", "atClusterTime", bson.Timestamp{T: 9})), notImplemented},
		"a number without a session":              {append(set(1, 1), command("txnNumber", int64(1))...), invalidOptions},
		"a number of a read":                      {a.write(find()), 50768},
		"autocommit without a number":             {append(set(1, 1), command("autocommit", false)...), invalidOptions},
		"autocommit":                              {append(a.write(set(1, 1)), command("autocommit", true)...), invalidOptions},
		"a start without autocommit":              {append(a.write(set(1, 1)), command("startTransaction", true)...), invalidOptions},
		"a start that is none":                    {append(a.write(set(1, 1)), command("autocommit", false, "startTransaction", false)...), invalidOptions},
		"a write concern in a transaction":        {append(a.first(set(1, 1)), command("writeConcern", command("w", "majority"))...), invalidOptions},
		"a list in a transaction":                 {a.first(command("listCollections", 1)), notInTransaction},
		"a structure in a transaction":            {a.first(command("create", "other")), notInTransaction},
		"an insert into nothing in a transaction": {a.first(command("insert", "none", "documents", bson.A{command("_id", 1)})), notImplemented},
		"a commit elsewhere":                      {a.next(command("commitTransaction", 1)), unauthorized},
		"a commit outside":                        {command("commitTransaction", 1, "$db", "admin"), invalidOptions},
		"an explanation of what is not asked":     {command("explain", command("update", "c")), notImplemented},
		"a filter of a list":                      {command("listCollections", 1, "filter", command("name", "c")), notImplemented},
	} {
		c.fails(r.code, what, r.body)
	}
	late := func() bson.D {
		a := newSession()
		c.ok(a.first(find()))
		return append(a.next(find()), command("readConcern", command("level", "snapshot"))...)
	}
	c.fails(invalidOptions, "a read concern in the middle of a transaction", late())
	alone := start(t, Options{Standalone: true}).dial(t)
	alone.fails(illegalOperation, "a transaction on a standalone server", a.first(find()))
	alone.fails(123, "a snapshot on a standalone server", find("readConcern", command("level", "snapshot")))
	old := start(t, Options{WireVersion: MongoDB44}).dial(t)
	old.fails(invalidOptions, "a snapshot on an old server", find("readConcern", command("level", "snapshot")))
}

// TestBrokenMessages holds that what is no message ends its connection and nothing else.
func TestBrokenMessages(t *testing.T) {
	s := start(t, Options{})
	ping := opMsgOf(t, withDatabase(command("ping", 1)))
	change := func(at int, b ...byte) []byte { m := slices.Clone(ping); copy(m[at:], b); return m }
	for what, m := range map[string][]byte{
		"a length that is too short": change(0, 15, 0, 0, 0),
		"a negative length":          change(0, 0, 0, 0, 0x80),
		"a huge length":              change(0, 0, 0, 0, 0x7f),
		"another kind":               change(12, 1, 2, 3, 4),
		"an unknown flag":            change(16, 4),
		"an unknown section":         change(20, 2),
		"a document that is longer":  change(21, 0xff),
		"no body":                    change(20, 1),
		"a broken document":          change(25, 0x99),
		"HTTP":                       []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
	} {
		c := s.dial(t)
		if _, err := c.conn.Write(m); err != nil {
			t.Fatal(err)
		}
		_ = c.conn.(*net.TCPConn).CloseWrite()
		if reply, err := c.read(); err == nil {
			t.Errorf("%s: %s", what, reply)
		}
	}
	sum := slices.Clone(ping)
	sum[16] = flagChecksum
	binary.LittleEndian.PutUint32(sum, uint32(len(sum)+4))
	for _, good := range []bool{true, false} {
		c := s.dial(t)
		crc := crc32.Checksum(sum, crc32.MakeTable(crc32.Castagnoli))
		if !good {
			crc++
		}
		if _, err := c.conn.Write(binary.LittleEndian.AppendUint32(slices.Clone(sum), crc)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.read(); (err == nil) != good {
			t.Errorf("a checksum that is right, %t: %v", good, err)
		}
	}
	s.dial(t).ok(command("ping", 1))
}

func TestHello(t *testing.T) {
	for _, o := range []Options{{}, {Standalone: true}, {Router: true}} {
		reply := start(t, o).dial(t).ok(command("hello", 1, "$db", "admin"))
		set, _ := reply.Lookup("setName").StringValueOK()
		msg, _ := reply.Lookup("msg").StringValueOK()
		member := !o.Standalone && !o.Router
		if (set == "rs0") != member || !reply.Lookup("isWritablePrimary").Boolean() || (msg == "isdbgrid") != o.Router || reply.Lookup("maxWireVersion").Int32() != MongoDB80 {
			t.Errorf("%+v: %s", o, reply)
		}
	}
}
