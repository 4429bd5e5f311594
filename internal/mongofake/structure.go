package mongofake

import (
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func (s *Server) makeCollection(namespace string) *collection {
	database, name, _ := strings.Cut(namespace, ".")
	c := &collection{namespace: namespace, database: database, name: name}
	s.clock++
	c.visible = s.clock
	c.indexes = []*index{{name: "_id_", paths: []string{"_id"}, unique: true, entries: map[string][]*record{},
		spec: bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}}}}
	s.namespaces[namespace] = c
	return c
}

func (s *Server) create(r *request) (bson.D, *Error) {
	ns, err := r.named("create")
	if err != nil {
		return nil, err
	}
	if s.namespaces[ns] != nil {
		return nil, fail(namespaceExists, "Collection %s already exists.", ns)
	}
	collation := r.command.Lookup("collation")
	c := s.makeCollection(ns)
	if collation.Type != 0 && checkCollation(collation) != nil {
		c.foreign, c.options = true, bson.D{{Key: "collation", Value: collation}}
	}
	return nil, nil
}

// named is the namespace that a command names, whatever there is.
func (r *request) named(field string) (string, *Error) {
	name, ok := r.command.Lookup(field).StringValueOK()
	if !ok || name == "" || strings.ContainsAny(name, "$\x00") || strings.HasPrefix(name, "system.") {
		return "", fail(73, "Invalid collection name: %q", name)
	}
	return r.database + "." + name, nil
}

func (s *Server) createIndexes(r *request) (bson.D, *Error) {
	c, ns, err := r.of(s, "createIndexes")
	if err != nil {
		return nil, err
	}
	list, _ := r.command.Lookup("indexes").ArrayOK()
	values, _ := list.Values()
	if len(values) == 0 {
		return nil, fail(badValue, "Must specify at least one index to create")
	}
	made := c == nil
	var fresh []*index
	for _, v := range values {
		d, _ := v.DocumentOK()
		x, err := parseIndex(d)
		if err != nil {
			return nil, err
		}
		there, err := c.conflicting(x)
		if err != nil {
			return nil, err
		}
		if !there {
			fresh = append(fresh, x)
		}
	}
	if made {
		c = s.makeCollection(ns)
	}
	before := len(c.indexes)
	for _, x := range fresh {
		if err := x.build(c); err != nil {
			return nil, err
		}
	}
	if len(fresh) > 0 {
		c.indexes = append(c.indexes, fresh...)
		s.clock++
		c.visible = s.clock
	}
	reply := bson.D{{Key: "numIndexesBefore", Value: int32(before)}, {Key: "numIndexesAfter", Value: int32(len(c.indexes))}, {Key: "createdCollectionAutomatically", Value: made}}
	if len(fresh) == 0 {
		reply = append(reply, bson.E{Key: "note", Value: "all indexes already exist"})
	}
	return reply, nil
}

func parseIndex(d bson.Raw) (*index, *Error) {
	x := &index{entries: map[string][]*record{}, spec: bson.D{{Key: "v", Value: int32(2)}}}
	elements, _ := d.Elements()
	for _, e := range elements {
		v := e.Value()
		var err *Error
		switch e.Key() {
		case "name":
			x.name, _ = v.StringValueOK()
		case "key":
			err = x.parseKey(v)
		case "unique":
			x.unique, _ = v.BooleanOK()
		case "partialFilterExpression":
			err = x.parsePartial(v)
		case "v":
			continue
		case "collation", "sparse", "hidden", "expireAfterSeconds", "background", "weights", "wildcardProjection":
			err = unknown("indexes with %s", e.Key())
		default:
			err = fail(badIndexOption, "The field '%s' is not valid for an index specification. Specification: %s", e.Key(), d)
		}
		if err != nil {
			return nil, err
		}
		x.spec = append(x.spec, bson.E{Key: e.Key(), Value: v})
	}
	if x.name == "" || x.name == "*" || len(x.paths) == 0 {
		return nil, fail(failedToParse, "Error in specification %s: name and key are needed", d)
	}
	return x, nil
}

func (x *index) parseKey(v bson.RawValue) *Error {
	d, _ := v.DocumentOK()
	elements, _ := d.Elements()
	for _, e := range elements {
		if n, ok := e.Value().AsInt64OK(); !ok || n != 1 {
			return unknown("indexes with %s", e)
		}
		if e.Key() == "" || strings.HasPrefix(e.Key(), "$") || slices.Contains(x.paths, e.Key()) {
			return fail(cannotCreateIndex, "Error in specification: the key %s", e.Key())
		}
		x.paths = append(x.paths, e.Key())
	}
	return nil
}

// parsePartial takes the conditions that a partial index may have.
// https://www.mongodb.com/docs/manual/core/index-partial/
func (x *index) parsePartial(v bson.RawValue) (err *Error) {
	d, ok := v.DocumentOK()
	if !ok {
		return fail(typeMismatch, "partialFilterExpression is no document")
	}
	if x.partial, err = parseFilter(d); err != nil {
		return err
	}
	for _, c := range x.partial {
		if c.operator == "$ne" || c.operator == "$in" || c.operator == "$exists" && !c.value.Boolean() {
			return fail(cannotCreateIndex, "Expression not supported in partial index: %s", d)
		}
	}
	return nil
}

// conflicting says whether the index is there already; another of its name or of its fields is an error.
func (c *collection) conflicting(x *index) (bool, *Error) {
	if c == nil {
		return false, nil
	}
	want, _ := bson.Marshal(x.spec)
	for _, there := range c.indexes {
		have, _ := bson.Marshal(there.spec)
		switch {
		case same(have, want):
			return true, nil
		case there.name == x.name:
			return false, fail(indexKeyConflict, "An existing index has the same name as the requested index. When index names are not specified, they are auto generated and can cause conflicts. Please refer to our documentation. Requested index: %s, existing index: %s", bson.Raw(want), bson.Raw(have))
		case slices.Equal(there.paths, x.paths) && there.unique == x.unique && (there.partial == nil) == (x.partial == nil):
			return false, fail(indexOptionsConflict, "Index already exists with a different name: %s", there.name)
		}
	}
	return false, nil
}

// build fills an index with the documents that there are.
func (x *index) build(c *collection) *Error {
	for _, r := range c.records {
		for _, v := range r.versions {
			x.add(r, v.document)
		}
		if d := r.seen(latest); d != nil {
			if err := x.free(c, r, d, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) drop(r *request) (bson.D, *Error) {
	ns, err := r.named("drop")
	if err != nil {
		return nil, err
	}
	if s.namespaces[ns] == nil && s.options.WireVersion < 21 { // from MongoDB 7.0 on there need be none
		return nil, fail(namespaceNotFound, "ns not found")
	}
	delete(s.namespaces, ns)
	return nil, nil
}

func (s *Server) dropDatabase(r *request) (bson.D, *Error) {
	for ns, c := range s.namespaces {
		if c.database == r.database {
			delete(s.namespaces, ns)
		}
	}
	return nil, nil
}

func (s *Server) listCollections(r *request) (bson.D, *Error) {
	if f, ok := r.command.Lookup("filter").DocumentOK(); ok {
		if elements, _ := f.Elements(); len(elements) > 0 {
			return nil, unknown("a filter of listCollections")
		}
	}
	list := bson.A{}
	for _, c := range s.namespaces {
		if c.database == r.database {
			options := c.options
			if options == nil {
				options = bson.D{}
			}
			list = append(list, bson.D{{Key: "name", Value: c.name}, {Key: "type", Value: "collection"}, {Key: "options", Value: options},
				{Key: "info", Value: bson.D{{Key: "readOnly", Value: false}}}, {Key: "idIndex", Value: c.indexes[0].spec}})
		}
	}
	return whole(r.database+".$cmd.listCollections", list), nil
}

func (s *Server) listIndexes(r *request) (bson.D, *Error) {
	c, ns, err := r.of(s, "listIndexes")
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fail(namespaceNotFound, "ns does not exist: %s", ns)
	}
	list := bson.A{}
	for _, x := range c.indexes {
		list = append(list, x.spec)
	}
	return whole(ns, list), nil
}

// whole is a cursor that has ended with its first batch.
func whole(ns string, list bson.A) bson.D {
	return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: ns}, {Key: "firstBatch", Value: list}}}}
}
