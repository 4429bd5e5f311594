package mongofake

import (
	"runtime"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

var findFields = []string{"filter", "sort", "projection", "hint", "skip", "limit", "batchSize", "singleBatch", "min", "max", "collation", "allowDiskUse"}

// query is a find, or the first stages of an aggregate.
type query struct {
	collection *collection // nil where there is none
	namespace  string
	filter     filter
	sort       []order
	ids        bool // only _id is asked for
	counts     bool // only how many there are is asked for
	hint       *index
	min, max   []bson.RawValue // of the hinted index's fields
	skip       int64
	limit      int64
}

// order is one field of a sort.
type order struct {
	path string
	desc bool
}

func (s *Server) parseFind(r *request) (*query, *Error) {
	c, ns, err := r.of(s, "find")
	if err != nil {
		return nil, err
	}
	q := &query{collection: c, namespace: ns}
	elements, _ := r.command.Elements()
	for _, e := range elements {
		if err := q.option(e.Key(), e.Value()); err != nil {
			return nil, err
		}
	}
	return q, q.parseEnds(r.command)
}

// option reads one field of a find.
func (q *query) option(name string, v bson.RawValue) (err *Error) {
	d, isDocument := v.DocumentOK()
	switch name {
	case "filter", "sort", "projection":
		if !isDocument {
			return fail(typeMismatch, "%s is no document", name)
		}
	}
	switch name {
	case "filter":
		q.filter, err = parseFilter(d)
	case "sort":
		q.sort, err = parseSort(d)
	case "projection":
		elements, _ := d.Elements()
		if n, ok := d.Lookup("_id").AsInt64OK(); len(elements) != 1 || !ok || n != 1 {
			return unknown("the projection %s", d)
		}
		q.ids = true
	case "hint":
		if q.collection != nil {
			q.hint, err = q.collection.findHint(v)
		}
	case "skip":
		q.skip, err = natural(v)
	case "limit":
		q.limit, err = natural(v)
	case "collation":
		err = checkCollation(v)
	}
	return err
}

func natural(v bson.RawValue) (int64, *Error) {
	n, ok := v.AsInt64OK()
	if !ok || n < 0 {
		return 0, fail(51024, "a number that is not negative is needed, not %s", v)
	}
	return n, nil
}

func parseSort(d bson.Raw) ([]order, *Error) {
	var list []order
	elements, _ := d.Elements()
	for _, e := range elements {
		n, ok := e.Value().AsInt64OK()
		if !ok || n != 1 && n != -1 {
			return nil, fail(badValue, "Illegal key in $sort specification: %s", e)
		}
		list = append(list, order{e.Key(), n < 0})
	}
	return list, nil
}

// parseEnds reads min and max, which name all fields of the hinted index in order, and must leave something between them.
func (q *query) parseEnds(command bson.Raw) *Error {
	for name, into := range map[string]*[]bson.RawValue{"min": &q.min, "max": &q.max} {
		d, ok := command.Lookup(name).DocumentOK()
		if !ok {
			continue
		}
		if command.Lookup("hint").Type == 0 {
			return fail(51173, "When using min()/max() a hint of which index to use must be provided")
		}
		if q.hint == nil {
			continue
		}
		elements, _ := d.Elements()
		for i, e := range elements {
			if i >= len(q.hint.paths) || e.Key() != q.hint.paths[i] {
				return fail(51174, "The index chosen is not compatible with min/max")
			}
			if err := knownValue(e.Value()); err != nil {
				return err
			}
			*into = append(*into, e.Value())
		}
		if len(elements) != len(q.hint.paths) {
			return fail(51174, "The index chosen is not compatible with min/max")
		}
	}
	if q.min != nil && q.max != nil && slices.CompareFunc(q.min, q.max, compare) >= 0 {
		return fail(51175, "The value provided for min() does not come before the value provided for max() in the hinted index")
	}
	return nil
}

// findHint is the index of a name or a key pattern.
func (c *collection) findHint(v bson.RawValue) (*index, *Error) {
	name, _ := v.StringValueOK()
	d, isPattern := v.DocumentOK()
	elements, _ := d.Elements()
	var found []*index
	for _, x := range c.indexes {
		paths := make([]string, len(elements))
		for i, e := range elements {
			paths[i] = e.Key()
		}
		if x.name == name || isPattern && slices.Equal(x.paths, paths) {
			found = append(found, x)
		}
	}
	if len(found) == 0 {
		return nil, fail(badValue, "error processing query: hint provided does not correspond to an existing index")
	}
	return found[0], nil
}

func (c *collection) checkHint(v bson.RawValue) *Error {
	if c == nil {
		return nil
	}
	_, err := c.findHint(v)
	return err
}

func checkCollation(v bson.RawValue) *Error {
	d, _ := v.DocumentOK()
	elements, _ := d.Elements()
	if locale, _ := d.Lookup("locale").StringValueOK(); len(elements) != 1 || locale != "simple" {
		return unknown("the collation %s", v)
	}
	return nil
}

// hit is a record that a query has found, and what it was then.
type hit struct {
	record   *record
	document bson.Raw
}

// run finds what a query asks for. Without a snapshot, commits show up while it runs: between two documents others have
// their turn.
func (s *Server) find(q *query, v view) []hit {
	if q.collection == nil {
		return nil
	}
	var hits []hit
	for i, r := range q.collection.candidates(q.filter) {
		if v == latest && i > 0 {
			s.mu.Unlock()
			if i == 1 {
				time.Sleep(10 * time.Microsecond) // for those who wait
			}
			runtime.Gosched()
			s.mu.Lock()
		}
		if d := r.seen(v); d != nil && q.within(d) && q.filter.matches(d) {
			hits = append(hits, hit{r, d})
		}
	}
	if by := q.ordered(); by != nil {
		slices.SortStableFunc(hits, func(a, b hit) int { return byOrder(by, a.document, b.document) })
	}
	hits = hits[min(q.skip, int64(len(hits))):]
	if q.limit > 0 {
		hits = hits[:min(q.limit, int64(len(hits)))]
	}
	return hits
}

// within says whether the document is in the hinted index, and between min and max.
func (q *query) within(d bson.Raw) bool {
	if q.hint == nil {
		return true
	}
	if !q.hint.partial.matches(d) {
		return false
	}
	if q.min == nil && q.max == nil {
		return true
	}
	key := make([]bson.RawValue, 0, len(q.hint.paths))
	for _, p := range q.hint.paths {
		key = append(key, lookup(d, p))
	}
	return (q.min == nil || slices.CompareFunc(key, q.min, compare) >= 0) && (q.max == nil || slices.CompareFunc(key, q.max, compare) < 0)
}

// ordered is the order of a query's answer: that of its sort, else that of the hinted index.
func (q *query) ordered() []order {
	if q.sort != nil || q.hint == nil {
		return q.sort
	}
	var by []order
	for _, p := range q.hint.paths {
		by = append(by, order{path: p})
	}
	return by
}

func byOrder(by []order, a, b bson.Raw) int {
	for _, o := range by {
		c := compare(lookup(a, o.path), lookup(b, o.path))
		if o.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func (s *Server) findCommand(r *request) (bson.D, *Error) {
	q, err := s.parseFind(r)
	if err != nil {
		return nil, err
	}
	v, err := s.view(r, q.collection)
	if err != nil {
		return nil, err
	}
	size := int64(101)
	if n := r.command.Lookup("batchSize"); n.Type != 0 {
		if size, err = natural(n); err != nil {
			return nil, err
		}
	}
	c := &cursor{query: q, view: v, hits: s.find(q, v), session: r.session, number: r.number}
	single, _ := r.command.Lookup("singleBatch").BooleanOK()
	return s.first(r, c, size, single), nil
}

// cursor is a query whose answer goes on.
type cursor struct {
	query   *query
	view    view
	hits    []hit
	session string
	number  *int64
}

// batch is the next part of the answer: at most so many documents, and of 16 MiB. Without a snapshot, documents behind the
// first part are as they are now.
func (c *cursor) batch(size int64, first bool) bson.A {
	list, bytes := bson.A{}, 0
	for len(c.hits) > 0 && int64(len(list)) < size {
		d := c.hits[0].document
		if c.view == latest && !first {
			d = c.hits[0].record.seen(latest)
		}
		if d != nil && c.query.filter.matches(d) {
			if c.query.ids {
				d, _ = bson.Marshal(bson.D{{Key: "_id", Value: d.Lookup("_id")}})
			}
			if bytes += len(d); bytes > maxDocument && len(list) > 0 {
				break
			}
			list = append(list, d)
		}
		c.hits = c.hits[1:]
	}
	return list
}

func (s *Server) first(r *request, c *cursor, size int64, single bool) bson.D {
	list := c.batch(size, true)
	id := int64(0)
	if len(c.hits) > 0 && !single {
		s.lastCursor++
		id = s.lastCursor
		s.cursors[id] = c
	}
	reply := bson.D{{Key: "firstBatch", Value: list}, {Key: "id", Value: id}, {Key: "ns", Value: c.query.namespace}}
	if r.level == "snapshot" && r.under == nil {
		reply = append(reply, bson.E{Key: "atClusterTime", Value: *r.at})
	}
	return bson.D{{Key: "cursor", Value: reply}}
}

func (s *Server) getMore(r *request) (bson.D, *Error) {
	id, ok := r.command.Lookup("getMore").Int64OK()
	c := s.cursors[id]
	switch {
	case !ok || c == nil:
		return nil, fail(cursorNotFound, "cursor id %d not found", id)
	case c.session != r.session:
		return nil, fail(unauthorized, "cursor id %d was created in another session", id)
	case (c.number == nil) != (r.number == nil) || c.number != nil && *c.number != *r.number:
		return nil, fail(50740, "cursor id %d was created in another transaction", id)
	}
	size := int64(1 << 40)
	if n, ok := r.command.Lookup("batchSize").AsInt64OK(); ok && n > 0 {
		size = n
	}
	list := c.batch(size, false)
	if len(c.hits) == 0 {
		delete(s.cursors, id)
		id = 0
	}
	return bson.D{{Key: "cursor", Value: bson.D{{Key: "nextBatch", Value: list}, {Key: "id", Value: id}, {Key: "ns", Value: c.query.namespace}}}}, nil
}

func (s *Server) killCursors(r *request) (bson.D, *Error) {
	list, ok := r.command.Lookup("cursors").ArrayOK()
	values, err := list.Values()
	if !ok || err != nil {
		return nil, fail(typeMismatch, "killCursors needs an array")
	}
	killed, missing := bson.A{}, bson.A{}
	for _, v := range values {
		id, _ := v.Int64OK()
		if _, ok := s.cursors[id]; ok {
			delete(s.cursors, id)
			killed = append(killed, id)
		} else {
			missing = append(missing, id)
		}
	}
	return bson.D{{Key: "cursorsKilled", Value: killed}, {Key: "cursorsNotFound", Value: missing}, {Key: "cursorsAlive", Value: bson.A{}}, {Key: "cursorsUnknown", Value: bson.A{}}}, nil
}

// aggregate knows what counts documents: $match, then $group with one $sum of 1.
func (s *Server) aggregate(r *request) (bson.D, *Error) {
	q, err := s.parseCount(r)
	if err != nil {
		return nil, err
	}
	v, err := s.view(r, q.collection)
	if err != nil {
		return nil, err
	}
	list := bson.A{}
	if n := len(s.find(q, v)); n > 0 {
		list = bson.A{bson.D{{Key: "_id", Value: int32(1)}, {Key: "n", Value: int32(n)}}}
	}
	reply := bson.D{{Key: "firstBatch", Value: list}, {Key: "id", Value: int64(0)}, {Key: "ns", Value: q.namespace}}
	if r.level == "snapshot" && r.under == nil {
		reply = append(reply, bson.E{Key: "atClusterTime", Value: *r.at})
	}
	return bson.D{{Key: "cursor", Value: reply}}, nil
}

func (s *Server) parseCount(r *request) (*query, *Error) {
	c, ns, err := r.of(s, "aggregate")
	if err != nil {
		return nil, err
	}
	q := &query{collection: c, namespace: ns, counts: true}
	list, _ := r.command.Lookup("pipeline").ArrayOK()
	stages, _ := list.Values()
	if r.command.Lookup("cursor").Type == 0 && r.name == "aggregate" {
		return nil, fail(failedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
	}
	if len(stages) != 2 {
		return nil, unknown("this pipeline")
	}
	match, ok1 := stages[0].DocumentOK()
	group, ok2 := stages[1].DocumentOK()
	condition, ok3 := match.Lookup("$match").DocumentOK()
	want, _ := bson.Marshal(bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: int32(1)}, {Key: "n", Value: bson.D{{Key: "$sum", Value: int32(1)}}}}}})
	if !ok1 || !ok2 || !ok3 || !same(group, want) {
		return nil, unknown("this pipeline")
	}
	if q.filter, err = parseFilter(condition); err != nil {
		return nil, err
	}
	for _, name := range []string{"hint", "collation"} {
		if v := r.command.Lookup(name); v.Type != 0 {
			if err := q.option(name, v); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

// explain tells the plan of a find or of what counts.
func (s *Server) explain(r *request) (bson.D, *Error) {
	command, ok := r.command.Lookup("explain").DocumentOK()
	if !ok {
		return nil, fail(typeMismatch, "explain needs a document")
	}
	first, _ := command.IndexErr(0)
	inner := &request{name: "explain", command: command, database: r.database}
	var q *query
	var err *Error
	switch first.Key() {
	case "find":
		q, err = s.parseFind(inner)
	case "aggregate":
		q, err = s.parseCount(inner)
	default:
		return nil, unknown("explain of %s", first.Key())
	}
	if err != nil {
		return nil, err
	}
	return bson.D{{Key: "queryPlanner", Value: bson.D{{Key: "namespace", Value: q.namespace}, {Key: "winningPlan", Value: q.plan()}}}}, nil
}

// plan tells, stage by stage, whether an index is used, whether documents are fetched, and whether they are sorted.
func (q *query) plan() bson.D {
	x := q.hint
	if x == nil {
		x = q.choose()
	}
	if x == nil {
		stage := bson.D{{Key: "stage", Value: "COLLSCAN"}}
		if q.sort != nil {
			stage = bson.D{{Key: "stage", Value: "SORT"}, {Key: "inputStage", Value: stage}}
		}
		return stage
	}
	stage := bson.D{{Key: "stage", Value: "IXSCAN"}, {Key: "indexName", Value: x.name}, {Key: "bounded", Value: q.bounded(x)}}
	if !q.covered(x) {
		stage = bson.D{{Key: "stage", Value: "FETCH"}, {Key: "inputStage", Value: stage}}
	}
	if !q.sorted(x) {
		stage = bson.D{{Key: "stage", Value: "SORT"}, {Key: "inputStage", Value: stage}}
	}
	if q.limit > 0 {
		stage = bson.D{{Key: "stage", Value: "LIMIT"}, {Key: "inputStage", Value: stage}}
	}
	return stage
}

// choose is an index whose first field has a condition.
func (q *query) choose() *index {
	if q.collection == nil {
		return nil
	}
	for _, x := range q.collection.indexes {
		if x.partial == nil && slices.ContainsFunc(q.filter, func(c condition) bool { return c.path == x.paths[0] && c.operator != "$ne" && c.operator != "$exists" }) {
			return x
		}
	}
	return nil
}

// bounded is how many of an index's fields say where in it to look: those that are equal to something, and one more.
func (q *query) bounded(x *index) int32 {
	if q.min != nil || q.max != nil {
		return int32(len(x.paths))
	}
	equal := q.equal(x)
	if equal < len(x.paths) && slices.ContainsFunc(q.filter, func(c condition) bool { return c.path == x.paths[equal] }) {
		equal++
	}
	return int32(equal)
}

// equal is how many of an index's first fields are equal to something.
func (q *query) equal(x *index) int {
	n := 0
	for n < len(x.paths) && slices.ContainsFunc(q.filter, func(c condition) bool { return c.path == x.paths[n] && c.equals() }) {
		n++
	}
	return n
}

// covered says whether the index alone answers: it has all fields that are asked of and answered, and no condition asks
// for null. With min and max, conditions are judged on fetched documents.
// https://www.mongodb.com/docs/manual/core/query-optimization/#covered-query
func (q *query) covered(x *index) bool {
	if !q.counts && !(q.ids && slices.Contains(x.paths, "_id")) || (q.min != nil || q.max != nil) && len(q.filter) > 0 {
		return false
	}
	return !slices.ContainsFunc(q.filter, func(c condition) bool {
		return !slices.Contains(x.paths, c.path) || c.operator == "$exists" || c.operator == "$eq" && !c.equals()
	})
}

// sorted says whether the index has the answer in order: the sort's fields are the index's behind those that are equal to
// something, all of them in one direction. With min and max no field is known to be equal.
// https://www.mongodb.com/docs/manual/tutorial/sort-results-with-indexes/
func (q *query) sorted(x *index) bool {
	equal := 0
	if q.min == nil && q.max == nil {
		equal = q.equal(x)
	}
	fixed, rest := x.paths[:equal], x.paths[equal:]
	at := 0
	for _, o := range q.sort {
		if o.desc != q.sort[0].desc {
			return false
		}
		switch {
		case slices.Contains(fixed, o.path):
		case at < len(rest) && rest[at] == o.path:
			at++
		default:
			return false
		}
	}
	return true
}
