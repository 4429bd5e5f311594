package mongo

import (
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/portico-sso/portico/ports/store"
)

// never is the e of a document that does not expire. It is always written, so that a collection may come to expire.
const never = math.MaxInt64

// Paths of fields, as filters and indexes name them.
func keyPath(field string) string    { return "k." + field }
func uniquePath(index string) string { return "u." + index }

// written is the document as it is stored at a version, without its id.
func (t *table) written(d store.Doc, version int64) bson.D {
	keys := make(bson.D, 0, len(t.fields))
	for _, f := range t.fields {
		keys = append(keys, bson.E{Key: f, Value: d.Keys[f]})
	}
	stored := bson.D{{Key: "v", Value: version}, {Key: "b", Value: bson.Binary{Data: d.Body}}, {Key: "e", Value: milli(d.ExpiresAt)}, {Key: "k", Value: keys}}
	var held bson.D
	for _, x := range t.unique {
		if key, ok := x.Key(d.Keys); ok {
			held = append(held, bson.E{Key: x.Name, Value: key})
		}
	}
	if held != nil {
		stored = append(stored, bson.E{Key: "u", Value: held})
	}
	return stored
}

// inserted is the document as it is first stored.
func (t *table) inserted(d store.Doc) bson.D {
	return append(bson.D{{Key: "_id", Value: d.ID}}, t.written(d, 1)...)
}

// document is what is read of one.
type document struct {
	ID      string            `bson:"_id"`
	Version int64             `bson:"v"`
	Body    []byte            `bson:"b"`
	Expires int64             `bson:"e"`
	Keys    map[string]string `bson:"k"`
}

func (d *document) live(now time.Time) bool { return d.Expires > now.UnixMilli() }

// doc is the port's form of what was read. Keys of fields that the schema lacks are those of a newer release.
func (t *table) doc(d *document) store.Doc {
	out := store.Doc{ID: d.ID, Version: d.Version, Body: d.Body, Keys: make(map[string]string, len(t.fields))}
	for _, f := range t.fields {
		if k := d.Keys[f]; k != "" {
			out.Keys[f] = k
		}
	}
	if d.Expires != never {
		out.ExpiresAt = time.UnixMilli(d.Expires).UTC()
	}
	return out
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}
