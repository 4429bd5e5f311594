package mysql_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// openStore opens a migrated store over a database, with the clock of the wall.
func openStore(t testing.TB, text string, s store.Schema) *store.Store {
	t.Helper()
	b, err := open(t.Context(), t, text, s)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(b, s, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// widest is a collection with 14 fields in four indexes, two of them unique.
func widest() store.Collection {
	c := store.Collection{Name: "widest", Expires: true}
	for i, n := range []int{4, 4, 4, 2} {
		x := store.Index{Name: fmt.Sprintf("by_%d", i), Unique: i < 2}
		for j := range n {
			x.Fields = append(x.Fields, fmt.Sprintf("f%d_%d", i, j))
		}
		c.Indexes = append(c.Indexes, x)
	}
	return c
}

// writeWidest writes documents with the longest keys there: InnoDB bounds what an index entry, a row in its page and a
// change in the undo log may have.
func writeWidest(t *testing.T, fresh string) {
	t.Helper()
	c := widest()
	doc := func(id, letter string) store.Doc {
		d := store.Doc{ID: id + strings.Repeat("i", store.MaxKeyBytes-1), Keys: map[string]string{}}
		for _, f := range c.Fields() {
			d.Keys[f] = strings.Repeat(letter, store.MaxKeyBytes-len(id)) + id
		}
		return d
	}
	s, ctx := openStore(t, fresh, store.Schema{c}), t.Context()
	a, b := doc("1", "a"), doc("2", "b")
	a.Body = bytes.Repeat([]byte{0xff}, 9000)
	if err := s.Commit(ctx, store.Insert("widest", a), store.Insert("widest", b)); err != nil {
		t.Fatalf("insert: %v", err)
	}
	for i := range int64(4) {
		d := doc("1", string(rune('c'+i)))
		d.Version, d.Body = i+1, a.Body
		if err := s.Commit(ctx, store.Update("widest", d)); err != nil {
			t.Fatalf("update %d: %v", i, err)
		}
	}
	if err := s.Commit(ctx, store.Insert("widest", doc("3", "b"))); err != nil {
		t.Errorf("another: %v", err)
	}
	if err := s.Commit(ctx, store.Delete("widest", store.Doc{ID: a.ID, Version: 5})); err != nil {
		t.Errorf("delete: %v", err)
	}
	if n, err := s.Count(ctx, "widest", store.Range{Index: "by_1"}); n != 2 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
}

func TestWidest(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) { writeWidest(t, engines.Fresh(t, e)) })
	}
}

// TestLongBounds asks for beginnings of the length of a key, whose ends are a byte longer than any key.
func TestLongBounds(t *testing.T) {
	schema := store.Schema{{Name: "things", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}}}}}
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			s, ctx := openStore(t, engines.Fresh(t, e), schema), t.Context()
			names := []string{
				strings.Repeat("k", store.MaxKeyBytes-1) + "\x7f", strings.Repeat("k", store.MaxKeyBytes-2) + "\u07ff",
				strings.Repeat("k", store.MaxKeyBytes-3) + "\uffff", strings.Repeat("k", store.MaxKeyBytes-1), strings.Repeat("k", store.MaxKeyBytes),
			}
			var ops []store.Op
			for i, name := range names {
				ops = append(ops, store.Insert("things", store.Doc{ID: fmt.Sprint(i), Keys: map[string]string{"name": name}}))
			}
			if err := s.Commit(ctx, ops...); err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				r := store.Range{Index: "by_name", Prefix: name}
				docs, err := s.Range(ctx, "things", r)
				n, err2 := s.Count(ctx, "things", r)
				want := 1
				if len(name) < store.MaxKeyBytes {
					want = 3
				}
				if len(docs) != want || docs[0].ID != fmt.Sprint(i) || n != int64(want) || err != nil || err2 != nil {
					t.Errorf("%d bytes: %d documents, counted %d, %v, %v", len(name), len(docs), n, err, err2)
				}
			}
		})
	}
}
