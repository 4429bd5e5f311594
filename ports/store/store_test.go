package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

var schema = store.Schema{
	{Name: "plain", Indexes: []store.Index{{Name: "by_name", Fields: []string{"tenant", "name"}, Unique: true}, {Name: "by_age", Fields: []string{"tenant", "age"}}}},
	{Name: "brief", Expires: true},
	{Name: "vault", Sealed: true},
}

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func ring(t testing.TB, id string, secret byte) *seal.Keyring {
	t.Helper()
	r, err := seal.NewKeyring([]seal.Key{{ID: id, Secret: [32]byte{secret}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t testing.TB, b store.Backend) *store.Store {
	t.Helper()
	s, err := store.New(b, schema, store.Options{Now: func() time.Time { return noon }, Sealer: ring(t, "k", 1)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewRefuses(t *testing.T) {
	index := func(name string, fields ...string) store.Schema {
		return store.Schema{{Name: "c", Indexes: []store.Index{{Name: name, Fields: fields}}}}
	}
	for what, s := range map[string]store.Schema{
		"no name":                  {{}},
		"upper case":               {{Name: "Users"}},
		"a dash":                   {{Name: "a-b"}},
		"a digit first":            {{Name: "1a"}},
		"an underscore first":      {{Name: "_a"}},
		"a quote":                  {{Name: `a"b`}},
		"a long name":              {{Name: strings.Repeat("a", 31)}},
		"a collection twice":       {{Name: "a"}, {Name: "a"}},
		"an index without a name":  index("", "f"),
		"an index's name":          index("by name", "f"),
		"an index without fields":  index("i"),
		"five fields":              index("i", "a", "b", "c", "d", "e"),
		"a field's name":           index("i", "a.b"),
		"a field twice":            index("i", "a", "b", "a"),
		"an index twice":           {{Name: "c", Indexes: []store.Index{{Name: "i", Fields: []string{"a"}}, {Name: "i", Fields: []string{"b"}}}}},
		"sealed without a sealer":  {{Name: "c", Sealed: true}},
		"sealed without a sealer2": {{Name: "b"}, {Name: "c", Sealed: true}},
	} {
		if _, err := store.New(memory.New(nil), s, store.Options{Now: time.Now}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	if _, err := store.New(memory.New(nil), nil, store.Options{}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no clock: %v", err)
	}
	if _, err := store.New(nil, nil, store.Options{Now: time.Now}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no backend: %v", err)
	}
	if _, err := store.New(memory.New(nil), index("i", "a", "b", "c", "d"), store.Options{Now: time.Now}); err != nil {
		t.Errorf("a good schema: %v", err)
	}
}

// badKeys are refused as ids and as keys.
var badKeys = map[string]string{
	"NUL":       "a\x00b",
	"not UTF-8": "a\xff",
	"surrogate": "\xed\xa0\x80",
	"too long":  strings.Repeat("k", store.MaxKeyBytes+1),
	"cut":       strings.Repeat("é", 10)[:19],
}

func TestReadsRefuse(t *testing.T) {
	s, ctx := open(t, memory.New(schema)), t.Context()
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	_, err := s.Get(ctx, "no", "1")
	refused("get of no collection", err)
	_, err = s.GetMany(ctx, "no", []string{"1"})
	refused("get many of no collection", err)
	_, err = s.Range(ctx, "no", store.Range{})
	refused("range of no collection", err)
	_, err = s.Count(ctx, "no", store.Range{})
	refused("count of no collection", err)
	for what, k := range badKeys {
		_, err = s.Get(ctx, "plain", k)
		refused("get: "+what, err)
		_, err = s.GetMany(ctx, "plain", []string{"1", k})
		refused("get many: "+what, err)
		for _, r := range []store.Range{{Eq: []string{k}}, {Prefix: k}, {From: k}, {To: k}} {
			r.Index = "by_name"
			_, err = s.Range(ctx, "plain", r)
			refused("range: "+what, err)
			_, err = s.Count(ctx, "plain", r)
			refused("count: "+what, err)
		}
	}
	_, err = s.Get(ctx, "plain", "")
	refused("empty id", err)
	_, err = s.GetMany(ctx, "plain", make([]string, store.MaxPage+1))
	refused("too many ids", err)
	for what, r := range map[string]store.Range{
		"no index":        {Index: "by_no"},
		"too many values": {Index: "by_name", Eq: []string{"a", "b", "c"}},
		"values of ids":   {Eq: []string{"a"}},
		"offset":          {Offset: -1},
		"limit":           {Limit: -1},
		"a large page":    {Limit: store.MaxPage + 1},
		"no cursor":       {After: "?"},
	} {
		_, err = s.Range(ctx, "plain", r)
		refused(what, err)
	}
	for _, r := range []store.Range{{Limit: 1}, {Offset: 1}, {After: s.Cursor("plain", "", store.Doc{ID: "1"})}} {
		_, err = s.Count(ctx, "plain", r)
		refused("count of a page", err)
	}
	_, err = s.Sweep(ctx, 0)
	refused("sweep of none", err)
}

func TestCommitRefuses(t *testing.T) {
	b := memory.New(schema)
	s, ctx := open(t, b), t.Context()
	doc := store.Doc{ID: "1", Version: 1}
	for what, ops := range map[string][]store.Op{
		"no collection":        {store.Insert("no", doc)},
		"no kind":              {{Collection: "plain", Doc: doc}},
		"no id":                {store.Insert("plain", store.Doc{})},
		"a foreign key":        {store.Insert("plain", store.Doc{ID: "1", Keys: map[string]string{"nope": ""}})},
		"expiry":               {store.Insert("plain", store.Doc{ID: "1", ExpiresAt: noon})},
		"expiry before 1970":   {store.Insert("brief", store.Doc{ID: "1", ExpiresAt: time.Unix(-1, 0)})},
		"expiry after 9999":    {store.Insert("brief", store.Doc{ID: "1", ExpiresAt: noon.AddDate(9000, 0, 0)})},
		"update of version 0":  {store.Update("plain", store.Doc{ID: "1"})},
		"delete of version 0":  {store.Delete("plain", store.Doc{ID: "1"})},
		"check of version 0":   {store.Check("plain", store.Doc{ID: "1"})},
		"a negative version":   {store.Update("plain", store.Doc{ID: "1", Version: -1})},
		"a document twice":     {store.Check("plain", doc), store.Update("plain", doc)},
		"twice among many":     append(many(20), store.Insert("plain", store.Doc{ID: "id-07"})),
		"too many operations":  many(store.MaxCommitOps + 1),
		"too large a body":     {store.Insert("plain", store.Doc{ID: "1", Body: make([]byte, store.MaxCommitBytes)})},
		"too large a sealed":   {store.Insert("vault", store.Doc{ID: "1", Body: make([]byte, store.MaxCommitBytes)})},
		"too large in all":     {store.Insert("plain", store.Doc{ID: "1", Body: make([]byte, store.MaxCommitBytes/2)}), store.Insert("vault", store.Doc{ID: "2", Body: make([]byte, store.MaxCommitBytes/2)})},
		"a good one and a bad": {store.Insert("plain", store.Doc{ID: "1"}), store.Insert("plain", store.Doc{})},
	} {
		if err := s.Commit(ctx, ops...); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	for what, k := range badKeys {
		for _, d := range []store.Doc{{ID: k}, {ID: "1", Keys: map[string]string{"name": k}}} {
			if err := s.Commit(ctx, store.Insert("plain", d)); !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", what, err)
			}
		}
	}
	if docs, err := s.Range(ctx, "plain", store.Range{}); len(docs) != 0 || err != nil {
		t.Errorf("a refused commit wrote %v, %v", docs, err)
	}
	// One document of two collections is no document twice, and 500 is not too many.
	if err := s.Commit(ctx, store.Insert("plain", doc), store.Insert("vault", doc)); err != nil {
		t.Error(err)
	}
	if err := s.Commit(ctx, many(store.MaxCommitOps)...); err != nil {
		t.Error(err)
	}
}

func many(n int) []store.Op {
	var ops []store.Op
	for i := range n {
		ops = append(ops, store.Insert("plain", store.Doc{ID: fmt.Sprintf("id-%02d", i)}))
	}
	return ops
}

func TestCommitLeavesItsArgumentsAlone(t *testing.T) {
	s := open(t, memory.New(schema))
	d := store.Doc{ID: "1", Version: 7, Body: []byte("secret"), Keys: map[string]string{}}
	ops := []store.Op{store.Insert("vault", d)}
	if err := s.Commit(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
	if ops[0].Doc.Version != 7 || string(ops[0].Doc.Body) != "secret" {
		t.Errorf("the operation became %+v", ops[0])
	}
}

func TestSealing(t *testing.T) {
	b := memory.New(schema)
	s, ctx := open(t, b), t.Context()
	for _, id := range []string{"1", "2"} {
		if err := s.Commit(ctx, store.Insert("vault", store.Doc{ID: id, Body: []byte("secret " + id)})); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := b.Get(ctx, noon, "vault", []string{"1", "2"})
	if err != nil || len(raw) != 2 || bytes.Contains(raw[0].Body, []byte("secret")) {
		t.Fatalf("stored as %v, %v", raw, err)
	}
	// A body that was moved to another document does not open there.
	moved := raw[0]
	moved.Body = raw[1].Body
	if err := b.Commit(ctx, noon, []store.Op{store.Update("vault", moved)}); err != nil {
		t.Fatal(err)
	}
	var bad *seal.OpenError
	if _, err := s.Get(ctx, "vault", moved.ID); !errors.As(err, &bad) {
		t.Errorf("a moved body: %v", err)
	}
	if _, err := s.Range(ctx, "vault", store.Range{}); !errors.As(err, &bad) {
		t.Errorf("a range with a moved body: %v", err)
	}
	other, err := store.New(b, schema, store.Options{Now: time.Now, Sealer: ring(t, "other", 1)})
	if err != nil {
		t.Fatal(err)
	}
	var missing *seal.MissingKeyError
	if _, err := other.GetMany(ctx, "vault", []string{"2"}); !errors.As(err, &missing) || missing.ID != "k" {
		t.Errorf("without the key: %v", err)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	calls := 0
	err := store.Retry(t.Context(), func() error {
		if calls++; calls < 3 {
			return fmt.Errorf("wrapped: %w", store.ErrConflict)
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("two conflicts: %v after %d calls", err, calls)
	}
	for _, final := range []error{store.ErrUncertain, store.ErrUnavailable, &store.TakenError{}, context.Canceled} {
		calls = 0
		if err := store.Retry(t.Context(), func() error { calls++; return final }); !errors.Is(err, final) || calls != 1 {
			t.Errorf("%v: %v after %d calls, want one", final, err, calls)
		}
	}
	calls = 0
	if err := store.Retry(t.Context(), func() error { calls++; return store.ErrConflict }); !errors.Is(err, store.ErrConflict) || calls != 20 {
		t.Errorf("no end of conflicts: %v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	if err := store.Retry(ctx, func() error { calls++; cancel(); return store.ErrConflict }); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("cancelled: %v after %d calls", err, calls)
	}
}

func TestCommitBoth(t *testing.T) {
	ctx := t.Context()
	one := open(t, memory.New(schema))
	bad := []store.Op{store.Update("plain", store.Doc{ID: "none", Version: 1})}
	if err := store.CommitBoth(ctx, one, many(2), one, bad); !errors.Is(err, store.ErrConflict) {
		t.Errorf("one store: %v", err)
	}
	if n, _ := one.Count(ctx, "plain", store.Range{}); n != 0 {
		t.Errorf("one store: %d documents of a commit that failed", n)
	}
	records, sessions := open(t, memory.New(schema)), open(t, memory.New(schema))
	if err := store.CommitBoth(ctx, records, bad, sessions, many(2)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("two stores: %v", err)
	}
	if n, _ := sessions.Count(ctx, "plain", store.Range{}); n != 0 {
		t.Error("two stores: the sessions went before the records")
	}
	if err := store.CommitBoth(ctx, records, many(1), sessions, many(2)); err != nil {
		t.Error(err)
	}
	r, _ := records.Count(ctx, "plain", store.Range{})
	n, _ := sessions.Count(ctx, "plain", store.Range{})
	if r != 1 || n != 2 {
		t.Errorf("two stores: %d records and %d sessions, want 1 and 2", r, n)
	}
}

// asked notes what ranges a backend is asked for.
type asked struct {
	store.Backend
	r []store.Range
}

func (a *asked) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	a.r = append(a.r, r)
	return a.Backend.Range(ctx, now, collection, r)
}

// TestRangeBecomesBounds holds what backends are promised: no prefix, one bound of each side, a limit.
func TestRangeBecomesBounds(t *testing.T) {
	cursor := open(t, memory.New(schema)).Cursor("plain", "by_name", store.Doc{ID: "1", Keys: map[string]string{"tenant": "t", "name": "m"}})
	for _, c := range []struct{ given, want store.Range }{
		{store.Range{}, store.Range{}},
		{store.Range{Prefix: "ab"}, store.Range{From: "ab", To: "ac"}},
		{store.Range{Prefix: "ab", From: "abc", To: "b"}, store.Range{From: "abc", To: "ac"}},
		{store.Range{Prefix: "b", From: "a", To: "bb"}, store.Range{From: "b", To: "bb"}},
		{store.Range{Prefix: "a\u007f"}, store.Range{From: "a\u007f", To: "a\u0080"}},
		{store.Range{Prefix: "a\ud7ff"}, store.Range{From: "a\ud7ff", To: "a\ue000"}},
		{store.Range{Prefix: "a\U0010ffff\U0010ffff"}, store.Range{From: "a\U0010ffff\U0010ffff", To: "b"}},
		{store.Range{Prefix: "\U0010ffff"}, store.Range{From: "\U0010ffff"}},
		{store.Range{From: "a", After: cursor}, store.Range{After: cursor}},
		{store.Range{From: "m", After: cursor}, store.Range{After: cursor}},
		{store.Range{From: "n", After: cursor}, store.Range{From: "n"}},
		{store.Range{From: "a", To: "z", After: cursor, Desc: true}, store.Range{From: "a", After: cursor, Desc: true}},
		{store.Range{To: "m", After: cursor, Desc: true}, store.Range{To: "m", Desc: true}},
		{store.Range{Prefix: "m", After: cursor}, store.Range{To: "n", After: cursor}},
	} {
		for _, limit := range []int{0, 7} {
			a := &asked{Backend: memory.New(schema)}
			given, want := c.given, c.want
			given.Index, given.Eq, given.Limit = "by_name", []string{"t"}, limit
			want.Index, want.Eq, want.Limit = given.Index, given.Eq, limit
			if limit == 0 {
				want.Limit = store.MaxPage
			}
			if _, err := open(t, a).Range(t.Context(), "plain", given); err != nil || len(a.r) != 1 || fmt.Sprint(a.r[0]) != fmt.Sprint(want) {
				t.Errorf("%+v becomes %+v, %v, want %+v", given, a.r, err, want)
			}
		}
	}
	// What bounds exclude is not asked for.
	for _, r := range []store.Range{{From: "b", To: "a"}, {Prefix: "a", From: "b"}, {To: "m", After: cursor}} {
		a := &asked{Backend: memory.New(schema)}
		r.Index, r.Eq = "by_name", []string{"t"}
		if docs, err := open(t, a).Range(t.Context(), "plain", r); len(docs) != 0 || err != nil || len(a.r) != 0 {
			t.Errorf("%+v: %v, %v, and the backend was asked %d times", r, docs, err, len(a.r))
		}
	}
}

func TestSweepVisitsEveryCollection(t *testing.T) {
	broken := errors.New("broken")
	two := store.Schema{{Name: "a", Expires: true}, {Name: "b", Expires: true}, {Name: "c"}}
	b := &sweeper{Backend: memory.New(two), fail: map[string]error{"a": broken}}
	s, err := store.New(b, two, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(t.Context(), 5); n != 3 || !errors.Is(err, broken) || !slices.Equal(b.seen, []string{"a", "b"}) {
		t.Errorf("sweep: %d, %v, of %v", n, err, b.seen)
	}
}

type sweeper struct {
	store.Backend
	fail map[string]error
	seen []string
}

func (s *sweeper) Sweep(_ context.Context, _ time.Time, collection string, _ int) (int, error) {
	s.seen = append(s.seen, collection)
	if err := s.fail[collection]; err != nil {
		return 0, err
	}
	return 3, nil
}

func TestTaken(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", &store.TakenError{Collection: "plain", Index: "by_name"})
	if !store.Taken(err, "plain", "by_name") || store.Taken(err, "plain", "") || store.Taken(err, "brief", "by_name") || store.Taken(nil, "plain", "") {
		t.Error("Taken confuses errors")
	}
}

func FuzzCursor(f *testing.F) {
	s := open(f, memory.New(schema))
	x := schema[0].Indexes[0]
	f.Add(s.Cursor("plain", "by_name", store.Doc{ID: "1", Keys: map[string]string{"tenant": "t", "name": "é"}}))
	f.Add("")
	f.Add("AAAAAAAA")
	f.Add(strings.Repeat("A", 4000))
	f.Fuzz(func(t *testing.T, after string) {
		keys, id, err := store.ParseCursor("plain", x, after)
		if err != nil {
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%q: %v", after, err)
			}
		} else if again := s.Cursor("plain", "by_name", store.Doc{ID: id, Keys: map[string]string{"tenant": keys[0], "name": keys[1]}}); again != after {
			t.Errorf("%q is read as %q, %q, whose cursor is %q", after, keys, id, again)
		}
		if _, err := s.Range(t.Context(), "plain", store.Range{Index: "by_name", After: after}); err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("range after %q: %v", after, err)
		}
	})
}

func FuzzCursorOfKeys(f *testing.F) {
	s := open(f, memory.New(schema))
	f.Add("t", "n", "1")
	f.Add("", "", "x")
	f.Add("a\x00b", "", "1")
	f.Add("a", "\xff", "1")
	f.Fuzz(func(t *testing.T, tenant, name, id string) {
		d := store.Doc{ID: id, Keys: map[string]string{"tenant": tenant, "name": name}}
		writable := s.Commit(t.Context(), store.Check("plain", store.Doc{ID: id, Version: 1}))
		_, asked := s.Range(t.Context(), "plain", store.Range{Index: "by_name", Eq: []string{tenant, name}})
		good := !errors.Is(writable, store.ErrInvalid) && asked == nil
		keys, gotID, err := store.ParseCursor("plain", schema[0].Indexes[0], s.Cursor("plain", "by_name", d))
		if good != (err == nil) || good && (gotID != id || !slices.Equal(keys, []string{tenant, name})) {
			t.Errorf("the cursor of %q, %q, %q is read as %q, %q, %v", tenant, name, id, keys, gotID, err)
		}
	})
}
