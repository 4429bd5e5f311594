package mongofake

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// filter is a list of conditions that must all hold.
type filter []condition

// condition is one operator on one path.
type condition struct {
	path, operator string
	value          bson.RawValue
	values         []bson.RawValue // of $in
}

func parseFilter(d bson.Raw) (filter, *Error) {
	elements, err := d.Elements()
	if err != nil {
		return nil, fail(failedToParse, "filter: %v", err)
	}
	var f filter
	for _, e := range elements {
		switch e.Key() {
		case "$and", "$or", "$nor", "$expr", "$where", "$text", "$jsonSchema", "$comment":
			return nil, unknown("%s", e.Key())
		}
		if strings.HasPrefix(e.Key(), "$") {
			return nil, fail(badValue, "unknown top level operator: %s", e.Key())
		}
		conditions, bad := parseConditions(e.Key(), e.Value())
		if bad != nil {
			return nil, bad
		}
		f = append(f, conditions...)
	}
	return f, nil
}

func parseConditions(path string, v bson.RawValue) (filter, *Error) {
	d, ok := v.DocumentOK()
	elements, _ := d.Elements()
	if !ok || len(elements) == 0 || !strings.HasPrefix(elements[0].Key(), "$") {
		return filter{{path: path, operator: "$eq", value: v}}, knownValue(v)
	}
	var f filter
	for _, e := range elements {
		c := condition{path: path, operator: e.Key(), value: e.Value()}
		if err := c.check(); err != nil {
			return nil, err
		}
		f = append(f, c)
	}
	return f, nil
}

func (c *condition) check() *Error {
	switch c.operator {
	case "$eq", "$ne":
		return knownValue(c.value)
	case "$gt", "$gte", "$lt", "$lte":
		if r := rank[c.value.Type]; r == rank[bson.TypeNull] || r == rank[bson.TypeMinKey] || r == rank[bson.TypeMaxKey] {
			return unknown("%s of %s", c.operator, c.value.Type)
		}
		return knownValue(c.value)
	case "$in":
		list, ok := c.value.ArrayOK()
		if !ok {
			return fail(badValue, "$in needs an array")
		}
		var err error
		if c.values, err = list.Values(); err != nil {
			return fail(badValue, "%v", err)
		}
		for _, v := range c.values {
			if err := knownValue(v); err != nil {
				return err
			}
		}
		return nil
	case "$exists":
		if _, ok := c.value.BooleanOK(); !ok {
			return unknown("$exists of %s", c.value.Type)
		}
		return nil
	case "$nin", "$not", "$type", "$regex", "$mod", "$size", "$all", "$elemMatch":
		return unknown("%s", c.operator)
	}
	return fail(badValue, "unknown operator: %s", c.operator)
}

func (f filter) matches(d bson.Raw) bool {
	for _, c := range f {
		if !c.holds(lookup(d, c.path)) {
			return false
		}
	}
	return true
}

func (c condition) holds(v bson.RawValue) bool {
	switch c.operator {
	case "$eq":
		return compare(v, c.value) == 0
	case "$ne":
		return compare(v, c.value) != 0
	case "$exists":
		return c.value.Boolean() == (v.Type != 0)
	case "$in":
		for _, w := range c.values {
			if compare(v, w) == 0 {
				return true
			}
		}
		return false
	}
	if rank[v.Type] != rank[c.value.Type] { // ranges stay within a type
		return false
	}
	n := compare(v, c.value)
	switch c.operator {
	case "$gt":
		return n > 0
	case "$gte":
		return n >= 0
	case "$lt":
		return n < 0
	default:
		return n <= 0
	}
}

// equals says whether the condition asks for one value, which is not null.
func (c condition) equals() bool {
	return c.operator == "$eq" && c.value.Type != bson.TypeNull
}

// update makes a new document of an old one: a replacement, or by operators.
func update(old, u bson.Raw) (bson.Raw, *Error) {
	elements, err := u.Elements()
	if err != nil {
		return nil, fail(failedToParse, "update: %v", err)
	}
	if len(elements) == 0 || !strings.HasPrefix(elements[0].Key(), "$") {
		return replace(old, elements)
	}
	var d bson.D
	if err := bson.Unmarshal(old, &d); err != nil {
		return nil, fail(badValue, "%v", err)
	}
	for _, e := range elements {
		fields, ok := e.Value().DocumentOK()
		list, _ := fields.Elements()
		if !ok {
			return nil, fail(failedToParse, "modifiers operate on fields but we found type %s instead", e.Value().Type)
		}
		for _, f := range list {
			var bad *Error
			if d, bad = modify(d, e.Key(), f.Key(), f.Value()); bad != nil {
				return nil, bad
			}
		}
	}
	return encoded(d)
}

func replace(old bson.Raw, elements []bson.RawElement) (bson.Raw, *Error) {
	id := old.Lookup("_id")
	d := bson.D{{Key: "_id", Value: id}}
	for _, e := range elements {
		switch {
		case strings.HasPrefix(e.Key(), "$"):
			return nil, fail(52, "The dollar ($) prefixed field '%s' is not allowed in the context of an update's replacement document", e.Key())
		case e.Key() != "_id":
			d = append(d, bson.E{Key: e.Key(), Value: e.Value()})
		case compare(e.Value(), id) != 0:
			return nil, fail(immutableField, "After applying the update, the (immutable) field '_id' was found to have been altered")
		}
	}
	return encoded(d)
}

func modify(d bson.D, operator, path string, v bson.RawValue) (bson.D, *Error) {
	switch operator {
	case "$set", "$inc", "$unset":
	case "$setOnInsert", "$min", "$max", "$mul", "$rename", "$currentDate", "$push", "$pull", "$addToSet", "$pop", "$bit":
		return nil, unknown("%s", operator)
	default:
		return nil, fail(failedToParse, "Unknown modifier: %s. Expected a valid update modifier or pipeline-style update specified as an array", operator)
	}
	if path == "_id" {
		return nil, fail(immutableField, "Performing an update on the path '_id' would modify the immutable field '_id'")
	}
	if strings.Contains(path, ".") || strings.HasPrefix(path, "$") {
		return nil, unknown("updates of the path %s", path)
	}
	at := -1
	for i, e := range d {
		if e.Key == path {
			at = i
		}
	}
	if operator == "$unset" {
		if at >= 0 {
			d = append(d[:at], d[at+1:]...)
		}
		return d, nil
	}
	if at < 0 {
		d, at = append(d, bson.E{Key: path}), len(d)
	}
	if operator == "$set" {
		d[at].Value = v
		return d, nil
	}
	return d, increment(&d[at], v)
}

// increment adds as MongoDB does: a 32-bit sum that is too great becomes one of 64 bits, and the type with more wins.
func increment(e *bson.E, v bson.RawValue) *Error {
	by, ok := v.AsInt64OK()
	if !ok || v.Type == bson.TypeDouble {
		return unknown("$inc by %s", v.Type)
	}
	long := v.Type == bson.TypeInt64
	switch n := e.Value.(type) {
	case nil:
	case int32:
		by += int64(n)
	case int64:
		long, by = true, by+n
	default:
		return fail(typeMismatch, "Cannot apply $inc to a value of non-numeric type")
	}
	if e.Value = by; !long && by == int64(int32(by)) {
		e.Value = int32(by)
	}
	return nil
}

// encoded is a document that may be stored.
func encoded(d bson.D) (bson.Raw, *Error) {
	raw, err := bson.Marshal(d)
	if err != nil {
		return nil, fail(badValue, "%v", err)
	}
	if len(raw) > maxDocument {
		return nil, fail(tooLarge, "BSONObj size: %d is invalid. Size must be between 0 and %d", len(raw), maxDocument)
	}
	return raw, known(raw)
}
