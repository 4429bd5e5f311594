package mongofake

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// rank is a type's place in the order of values of different types.
// https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
var rank = map[bson.Type]int{
	bson.TypeMinKey: -1, 0: 5, bson.TypeNull: 5, bson.TypeInt32: 10, bson.TypeInt64: 10, bson.TypeDouble: 10,
	bson.TypeString: 15, bson.TypeEmbeddedDocument: 20, bson.TypeBinary: 30, bson.TypeObjectID: 40, bson.TypeBoolean: 45,
	bson.TypeDateTime: 50, bson.TypeTimestamp: 55, bson.TypeMaxKey: 127,
}

// known refuses documents with values of types that compare has no order for, such as arrays, which indexes and
// conditions see in ways of their own.
func known(d bson.Raw) *Error {
	elements, err := d.Elements()
	if err != nil {
		return fail(badValue, "%v", err)
	}
	for _, e := range elements {
		if err := knownValue(e.Value()); err != nil {
			return err
		}
	}
	return nil
}

func knownValue(v bson.RawValue) *Error {
	if _, ok := rank[v.Type]; !ok {
		return unknown("values of type %s", v.Type)
	}
	if d, ok := v.DocumentOK(); ok {
		return known(d)
	}
	return nil
}

// compare orders two values; strings by their bytes, as the simple collation does.
func compare(a, b bson.RawValue) int {
	if c := cmp.Compare(rank[a.Type], rank[b.Type]); c != 0 {
		return c
	}
	switch a.Type {
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		return compareNumbers(a, b)
	case bson.TypeString:
		return strings.Compare(a.StringValue(), b.StringValue())
	case bson.TypeEmbeddedDocument:
		return compareDocuments(a.Document(), b.Document())
	case bson.TypeBinary: // length, kind, bytes
		kindA, x := a.Binary()
		kindB, y := b.Binary()
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(kindA, kindB), bytes.Compare(x, y))
	case bson.TypeObjectID:
		return bytes.Compare(a.Value, b.Value)
	case bson.TypeBoolean:
		return cmp.Compare(a.Value[0], b.Value[0])
	case bson.TypeDateTime:
		return cmp.Compare(a.DateTime(), b.DateTime())
	case bson.TypeTimestamp:
		return cmp.Compare(binary.LittleEndian.Uint64(a.Value), binary.LittleEndian.Uint64(b.Value))
	default: // of which there is one value
		return 0
	}
}

func compareNumbers(a, b bson.RawValue) int {
	x, ok1 := a.AsInt64OK()
	y, ok2 := b.AsInt64OK()
	if ok1 && ok2 && a.Type != bson.TypeDouble && b.Type != bson.TypeDouble {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(float(a), float(b))
}

func float(v bson.RawValue) float64 {
	if v.Type == bson.TypeDouble {
		return v.Double()
	}
	n, _ := v.AsInt64OK()
	return float64(n)
}

// compareDocuments compares field by field: type, name, value.
func compareDocuments(a, b bson.Raw) int {
	x, _ := a.Elements()
	y, _ := b.Elements()
	for i := range min(len(x), len(y)) {
		v, w := x[i].Value(), y[i].Value()
		if c := cmp.Or(cmp.Compare(rank[v.Type], rank[w.Type]), strings.Compare(x[i].Key(), y[i].Key()), compare(v, w)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// lookup is the value of a path such as k.name; of type 0 where there is none.
func lookup(d bson.Raw, path string) bson.RawValue {
	for {
		name, rest, more := strings.Cut(path, ".")
		v, err := d.LookupErr(name)
		if err != nil || !more {
			return v
		}
		var ok bool
		if d, ok = v.DocumentOK(); !ok {
			return bson.RawValue{}
		}
		path = rest
	}
}

// appendKey appends a text that is the same for values that compare as equal, and no beginning of another's.
func appendKey(b []byte, v bson.RawValue) []byte {
	b = strconv.AppendInt(b, int64(rank[v.Type]), 10)
	content := v.Value
	switch v.Type {
	case 0:
		content = nil
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		f := float(v)
		content = binary.BigEndian.AppendUint64(nil, math.Float64bits(f+0)) // -0 is 0
		if n, ok := v.AsInt64OK(); ok && v.Type != bson.TypeDouble && int64(f) != n {
			content = strconv.AppendInt(nil, n, 10)
		}
	}
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(len(content)), 10)
	b = append(b, ':')
	return append(b, content...)
}
