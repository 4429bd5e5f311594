package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
	"github.com/portico-sso/portico/ports/store/seal"
	"github.com/portico-sso/portico/ports/store/transfer"
)

var schema = store.Schema{
	{Name: "people", Sealed: true, Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}},
	{Name: "codes", Expires: true, Indexes: []store.Index{{Name: "by_owner", Fields: []string{"owner"}}}},
	migrate.Collection(),
}

var start = time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)

// open makes an empty store over a backend, each with a key of its own.
func open(t *testing.T, b store.Backend) *store.Store {
	t.Helper()
	ring, err := seal.NewKeyring([]seal.Key{{ID: "k", Secret: [32]byte{byte(len(t.Name()))}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(b, schema, store.Options{Now: func() time.Time { return start }, Sealer: ring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := migrate.Run(t.Context(), migrate.Options{Store: s, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	return s
}

func inMemory(t *testing.T) *store.Store {
	t.Helper()
	return open(t, memory.New(schema))
}

func onDisk(t *testing.T) *store.Store {
	t.Helper()
	u := &url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "test.db")}
	b, err := sqlite.Driver.Open(t.Context(), u, schema, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, b)
}

// hostile are documents that a careless format would change.
func hostile() map[string][]store.Doc {
	people := []store.Doc{
		{ID: "plain", Body: []byte(`{"a":1}`), Keys: map[string]string{"name": "ann"}},
		{ID: "no body", Keys: map[string]string{"name": "bob"}},
		{ID: "no keys", Body: []byte(`null`)},
		{ID: "spaces", Body: []byte(" {\"a\": 1}\n"), Keys: map[string]string{"name": "\x01\n\"\\\u2028<&>"}},
		{ID: "binary", Body: []byte{0, 0xff, 0xfe, '\n'}, Keys: map[string]string{"name": "\U0010ffff"}},
		{ID: "twice", Body: []byte(`{"a":1,"a":2,"b":1e400}`), Keys: map[string]string{"name": "é"}},
		{ID: "e\u0301\n\"", Body: []byte(`"\u003c<"`), Keys: map[string]string{"name": strings.Repeat("x", store.MaxKeyBytes)}},
	}
	for i := range 500 {
		people = append(people, store.Doc{ID: fmt.Sprintf("p%04d", i), Body: fmt.Appendf(nil, `{"n":%d}`, i), Keys: map[string]string{"name": fmt.Sprint(i)}})
	}
	codes := []store.Doc{
		{ID: "c1", Body: []byte(`{}`), Keys: map[string]string{"owner": "ann"}, ExpiresAt: start.Add(time.Hour)},
		{ID: "c2", Body: []byte(`{}`), ExpiresAt: start.Add(time.Millisecond)},
		{ID: "c3", Body: []byte(`{}`)},
		{ID: "gone", Body: []byte(`{}`), ExpiresAt: start},
		{ID: "big", Body: bytes.Repeat([]byte("x"), 400<<10)},
	}
	return map[string][]store.Doc{"people": people, "codes": codes}
}

func fill(t *testing.T, s *store.Store) {
	t.Helper()
	for name, docs := range hostile() {
		for _, d := range docs {
			if err := s.Commit(t.Context(), store.Insert(name, d)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// holds checks that a store has exactly the hostile documents, and finds them by their keys.
func holds(t *testing.T, s *store.Store) {
	t.Helper()
	for name, docs := range hostile() {
		n := 0
		for _, d := range docs {
			have, err := s.Get(t.Context(), name, d.ID)
			if !d.ExpiresAt.IsZero() && !d.ExpiresAt.After(start) {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s %q came along", name, d.ID)
				}
				continue
			}
			n++
			maps.DeleteFunc(have.Keys, func(_, v string) bool { return v == "" })
			if err != nil || !bytes.Equal(have.Body, d.Body) || !maps.Equal(have.Keys, d.Keys) || !have.ExpiresAt.Equal(d.ExpiresAt) {
				t.Errorf("%s %q: %v, want %v, %v", name, d.ID, have, d, err)
			}
			if key := d.Keys["name"]; key != "" {
				if found, err := s.Range(t.Context(), name, store.Range{Index: "by_name", Eq: []string{key}}); err != nil || len(found) != 1 {
					t.Errorf("%s %q is not in its index: %v", name, d.ID, err)
				}
			}
		}
		if count, err := s.Count(t.Context(), name, store.Range{}); err != nil || count != int64(n) {
			t.Errorf("%s: %d documents, want %d: %v", name, count, n, err)
		}
	}
}

func export(t *testing.T, from *store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	e := transfer.Export{Source: transfer.Source{Stores: []*store.Store{from}}}
	if _, err := e.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func take(ctx context.Context, text []byte, to *store.Store) (map[string]transfer.Content, error) {
	return transfer.Import(ctx, bytes.NewReader(text), 0, transfer.Target{Stores: []*store.Store{to}}, nil)
}

func TestRoundTrip(t *testing.T) {
	from := onDisk(t)
	fill(t, from)
	text := export(t, from)
	contents, err := transfer.Source{Stores: []*store.Store{from}}.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := inMemory(t)
	for range 2 { // again changes nothing
		have, err := take(t.Context(), text, to)
		if err != nil || !maps.Equal(have, contents) {
			t.Fatalf("import: %v, %v, want %v", err, have, contents)
		}
		holds(t, to)
	}
	back := onDisk(t)
	copied, err := transfer.Copy(t.Context(), transfer.Source{Stores: []*store.Store{to}}, transfer.Target{Stores: []*store.Store{back}})
	if err != nil || !maps.Equal(copied, contents) {
		t.Fatalf("copy: %v, %v", err, copied)
	}
	holds(t, back)
	if again := export(t, back); !bytes.Equal(again, text) {
		t.Error("the same documents export as other lines")
	}
}

// failing ends writing after so many bytes, as a full disk does.
type failing struct {
	bytes.Buffer
	left int
}

func (f *failing) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("disk full")
	}
	return n, nil
}

func TestExportGoesOn(t *testing.T) {
	from := inMemory(t)
	fill(t, from)
	want := export(t, from)
	for _, cut := range []int{0, 1, 40, 47, 100, 5000, len(want) - 5000, len(want) - 20, len(want) - 1} {
		f := &failing{left: cut}
		first := transfer.Export{Source: transfer.Source{Stores: []*store.Store{from}}}
		if _, err := first.Write(t.Context(), f); err == nil {
			t.Fatalf("cut at %d: no error", cut)
		}
		second := transfer.Export{Source: transfer.Source{Stores: []*store.Store{from}}}
		whole, err := second.Resume(bytes.NewReader(f.Bytes()))
		if err != nil || whole > int64(cut) {
			t.Fatalf("cut at %d: %d bytes are whole, %v", cut, whole, err)
		}
		f.Truncate(int(whole))
		if _, err := second.Write(t.Context(), &f.Buffer); err != nil || !bytes.Equal(f.Bytes(), want) {
			t.Errorf("cut at %d: the export differs, %v", cut, err)
		}
	}
	done := transfer.Export{}
	if _, err := done.Resume(bytes.NewReader(want)); err == nil {
		t.Error("an export that is whole is gone on with")
	}
}

func TestImportGoesOn(t *testing.T) {
	from := inMemory(t)
	fill(t, from)
	text := export(t, from)
	to := onDisk(t)
	for _, cut := range []int{10, 100, 9000, len(text) / 2, len(text) - 10} {
		if _, err := take(t.Context(), text[:cut], to); err == nil {
			t.Fatalf("cut at %d: no error", cut)
		}
	}
	if _, err := take(t.Context(), text, to); err != nil {
		t.Fatal(err)
	}
	holds(t, to)
}

func TestImportRefuses(t *testing.T) {
	from := inMemory(t)
	fill(t, from)
	text := string(export(t, from))
	with := func(d store.Doc) *store.Store {
		s := inMemory(t)
		if err := s.Commit(t.Context(), store.Insert("people", d)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for what, c := range map[string]struct {
		text string
		to   *store.Store
		want string
	}{
		"nothing":              {"", nil, "line 1"},
		"something else":       {"hello\n", nil, "not an export"},
		"other JSON":           {"{}\n", nil, "not an export"},
		"a newer format":       {strings.Replace(text, `"format":1`, `"format":2`, 1), nil, "format 2"},
		"a newer release":      {strings.Replace(text, `"migration":0`, `"migration":7`, 1), nil, "migration 7"},
		"an unknown kind":      {strings.Replace(text, `"c":"codes"`, `"c":"cods"`, 1), nil, `no collection "cods"`},
		"an unknown field":     {strings.Replace(text, `"c":"codes"`, `"z":"codes"`, 1), nil, "unknown field"},
		"half a line":          {strings.Replace(text, `"c":"codes"`, "\n", 1), nil, "line"},
		"a changed body":       {strings.Replace(text, `{"n":77}`, `{"n":78}`, 1), nil, "people has"},
		"a changed id":         {strings.Replace(text, `"p0077"`, `"p9999"`, 1), nil, "people has"},
		"a line less":          {strings.Replace(text, `{"c":"people","id":"p0077","k":{"name":"77"},"b":{"n":77}}`+"\n", "", 1), nil, "people has 506"},
		"a key twice":          {strings.Replace(text, `"k":{"name":"77"}`, `"k":{"name":"78"}`, 1), nil, "keys of one of these"},
		"an id that is no id":  {strings.Replace(text, `"id":"plain"`, `"id":"\u0000"`, 1), nil, "NUL"},
		"a long line":          {text[:50] + strings.Repeat("x", 9<<20), nil, "line"},
		"an id that is taken":  {text, with(store.Doc{ID: "plain", Body: []byte("other")}), "differs"},
		"a key that is taken":  {text, with(store.Doc{ID: "other", Keys: map[string]string{"name": "ann"}}), "keys of one of these"},
		"documents of its own": {text, with(store.Doc{ID: "other"}), "people has 508"},
	} {
		if c.to == nil {
			c.to = inMemory(t)
		}
		if _, err := take(t.Context(), []byte(c.text), c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"portico":"export","format":1,"migration":0}` + "\n" + `{"c":"people","id":"a","k":{"name":"b"},"b":{}}` + "\n" + `{"end":{"people":{"count":1,"digest":""}}}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		to := inMemory(t)
		if _, err := take(t.Context(), text, to); err == nil {
			if _, err := take(t.Context(), export(t, to), inMemory(t)); err != nil {
				t.Errorf("what was taken in does not go out and in again: %v", err)
			}
		}
	})
}
