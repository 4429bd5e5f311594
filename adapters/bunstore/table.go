package bunstore

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"

	"github.com/portico-sso/portico/ports/store"
)

// table is a collection with its statements.
type table struct {
	backend *Backend
	store.Collection
	fields  []string      // whose values the k_ columns hold
	unique  []store.Index // whose keys the u_ columns hold
	columns []string      // that a Doc is read from

	writes   [5]*statement // by store.OpKind
	most     int           // values that one of them binds
	evictID  *statement    // removes an expired document by its id
	evictKey []*statement  // and by its key of a unique index
	release  *statement    // frees a document's unique keys
	sweep    *statement

	gets   [11]statementCache // by the power of two of how many ids
	ranges sync.Map           // of *statement by shape
}

type statementCache struct {
	once      sync.Once
	statement *statement
}

func newTable(b *Backend, c store.Collection) *table {
	t := &table{backend: b, Collection: c, fields: c.Fields(), columns: []string{"id", "version", "body"}}
	if c.Expires {
		t.columns = append(t.columns, "expires_at")
	}
	for _, f := range t.fields {
		t.columns = append(t.columns, keyColumn(f))
	}
	for _, x := range c.Indexes {
		if x.Unique {
			t.unique = append(t.unique, x)
		}
	}
	t.writing()
	return t
}

// writing makes the texts of the statements of a commit. Their bound values are those of values and guard.
func (t *table) writing() {
	b, name := t.backend, bun.Name(t.Name)
	written := t.columns
	for _, x := range t.unique {
		written = append(written[:len(written):len(written)], uniqueColumn(x.Name))
	}
	t.most = len(written) + 3 // those of an update's guard
	t.writes[store.OpInsert] = b.text().add("INSERT INTO ", name, " (", written, ") VALUES (").bind(len(written)).add(")").statement()

	set := b.text().add("UPDATE ", name, " SET ", bun.Name("version"), " = ", bun.Name("version"), " + 1")
	for _, c := range written[2:] {
		set.add(", ", bun.Name(c), " = ").bind(1)
	}
	t.writes[store.OpUpdate] = t.guarded(set).statement()
	t.writes[store.OpDelete] = t.guarded(b.text().add("DELETE FROM ", name)).statement()
	if b.dialect.Embedded {
		t.writes[store.OpCheck] = t.guarded(b.text().add("SELECT 1 FROM ", name)).statement()
	} else {
		touched := bun.Name("touched")
		t.writes[store.OpCheck] = t.guarded(b.text().add("UPDATE ", name, " SET ", touched, " = ", touched, " + 1")).statement()
	}
	if len(t.unique) > 0 {
		free := b.text().add("UPDATE ", name, " SET ")
		for i, x := range t.unique {
			free.separate(i)
			free.add(bun.Name(uniqueColumn(x.Name)), " = NULL")
		}
		t.release = t.guarded(free).statement()
	}
	if t.Expires {
		id, expires := bun.Name("id"), bun.Name("expires_at")
		for _, x := range t.unique {
			t.evictKey = append(t.evictKey, b.text().add("DELETE FROM ", name, " WHERE ", bun.Name(uniqueColumn(x.Name)), " = ").
				bind(1).add(" AND ", expires, " <= ").bind(1).statement())
		}
		t.evictID = b.text().add("DELETE FROM ", name, " WHERE ", id, " = ").bind(1).add(" AND ", expires, " <= ").bind(1).statement()
		t.sweep = t.sweeping().statement()
	}
}

// sweeping is the statement of a sweep.
func (t *table) sweeping() *text {
	id, name, expires := bun.Name("id"), bun.Name(t.Name), bun.Name("expires_at")
	s := t.backend.text().add("DELETE FROM ", name, " WHERE ", expires, " <= ").bind(1)
	if !t.backend.read.HasFeature(feature.DeleteOrderLimit) { // the outer condition is for what a commit renews meanwhile
		s.add(" AND ", id, " IN (SELECT ", id, " FROM ", name, " WHERE ", expires, " <= ").bind(1)
		return s.add(" ORDER BY ", expires, " LIMIT ").bindLimit().add(")")
	}
	return s.add(" ORDER BY ", expires, " LIMIT ").bindLimit()
}

func (t *table) sweepArgs(now time.Time, limit int) []any {
	if t.backend.read.HasFeature(feature.DeleteOrderLimit) {
		return []any{now.UnixMilli(), limit}
	}
	return []any{now.UnixMilli(), now.UnixMilli(), limit}
}

// guarded ends a statement with the condition that the document stands at a version and lives.
func (t *table) guarded(s *text) *text {
	s.add(" WHERE ", bun.Name("id"), " = ").bind(1).add(" AND ", bun.Name("version"), " = ").bind(1)
	if t.Expires {
		s.add(" AND ", bun.Name("expires_at"), " > ").bind(1)
	}
	return s
}

func (t *table) guard(args []any, d store.Doc, now time.Time) []any {
	args = append(args, d.ID, d.Version)
	if t.Expires {
		args = append(args, now.UnixMilli())
	}
	return args
}

// frees are the statements by which a commit frees what it takes.
func (t *table) frees() []*statement {
	var all []*statement
	if t.Expires {
		all = append(append(all, t.evictID), t.evictKey...)
	}
	if t.release != nil {
		all = append(all, t.release)
	}
	return all
}

// values are what the columns after id and version are set to.
func (t *table) values(args []any, d store.Doc) []any {
	body := d.Body
	if body == nil {
		body = []byte{}
	}
	args = append(args, body)
	if t.Expires {
		args = append(args, milli(d.ExpiresAt))
	}
	for _, f := range t.fields {
		args = append(args, d.Keys[f])
	}
	for _, x := range t.unique {
		args = append(args, uniqueValue(x, d))
	}
	return args
}

// uniqueMost is how long the joined keys may be that a u_ column holds as they are.
const uniqueMost = 255

// uniqueValue is what a u_ column holds: the joined keys, or their SHA-256 behind a byte that no UTF-8 has. It has no
// order, and engines bound what the indexes of a row may take in all.
func uniqueValue(x store.Index, d store.Doc) any {
	key, held := x.Key(d.Keys)
	switch {
	case !held:
		return nil
	case len(key) > uniqueMost:
		sum := sha256.Sum256([]byte(key))
		return append([]byte{0xff}, sum[:]...)
	}
	return []byte(key)
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}
