package mysql

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

var planned = store.Schema{
	{Name: "users", Indexes: []store.Index{
		{Name: "by_email", Fields: []string{"tenant", "email"}, Unique: true},
		{Name: "by_status", Fields: []string{"tenant", "status"}},
		{Name: "by_all", Fields: []string{"tenant", "status", "email", "none"}},
	}},
	{Name: "order", Expires: true, Indexes: []store.Index{ // a name that SQL reserves
		{Name: "by_hash", Fields: []string{"hash"}, Unique: true},
		{Name: "by_grant", Fields: []string{"tenant", "grant"}},
	}},
}

var quiet = slog.New(slog.DiscardHandler)

// one is a store over one connection, which tells what it reads.
type one struct {
	*store.Store
	t   testing.TB
	db  *bun.DB
	now time.Time
}

func newOne(t testing.TB, text string, schema store.Schema) *one {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(u)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.pool.MaxConns, c.conn.Params, c.conn.Logger = 1, s.settings(c), driverLog{quiet}
	o := &one{t: t, now: time.Date(2030, 5, 17, 12, 0, 0, 0, time.UTC)}
	if o.db, err = c.pooled(); err != nil {
		t.Fatal(err)
	}
	b := bunstore.New(bunstore.Config{Write: o.db, Read: o.db, Dialect: c.dialect(), Schema: schema})
	if o.Store, err = store.New(b, schema, store.Options{Now: func() time.Time { return o.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	if err := o.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *one) exec(text string) {
	o.t.Helper()
	if _, err := o.db.DB.ExecContext(o.t.Context(), text); err != nil {
		o.t.Fatal(err)
	}
}

func (o *one) commit(ops ...store.Op) {
	o.t.Helper()
	if err := o.Commit(o.t.Context(), ops...); err != nil {
		o.t.Fatal(err)
	}
}

// status is how many rows and index entries the session has read, and how many it has sorted.
func (o *one) status() (read, sorted int) {
	o.t.Helper()
	rows, err := o.db.DB.QueryContext(o.t.Context(), "SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read%' OR Variable_name = 'Sort_rows'")
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			o.t.Fatal(err)
		}
		switch {
		case name == "Sort_rows":
			sorted = n
		case !strings.HasSuffix(name, "_deleted"):
			read += n
		}
	}
	if err := rows.Err(); err != nil {
		o.t.Fatal(err)
	}
	return read, sorted
}

// reads is what a call reads and sorts.
func (o *one) reads(call func()) (read, sorted int) {
	o.t.Helper()
	r0, _ := o.status()
	r1, s1 := o.status()
	call()
	r2, s2 := o.status()
	return r2 - r1 - (r1 - r0), s2 - s1
}

const (
	many = 4000
	page = 20
)

func (o *one) fill() {
	o.t.Helper()
	body := bytes.Repeat([]byte("x"), 500)
	for i := 0; i < many; {
		var ops []store.Op
		for ; len(ops) < store.MaxCommitOps; i++ {
			ops = append(ops, store.Insert("users", store.Doc{ID: userID(i), Body: body, Keys: userKeys(i)}),
				store.Insert("order", store.Doc{ID: userID(i), Body: body, ExpiresAt: o.now.Add(time.Hour), Keys: orderKeys(i)}))
		}
		o.commit(ops...)
	}
	o.exec("ANALYZE TABLE users, `order`")
}

// userID is in another order than the keys.
func userID(i int) string { return fmt.Sprintf("u%05d", i*7919%many) }

func userKeys(i int) map[string]string {
	return map[string]string{"tenant": fmt.Sprint("t", i%2), "status": fmt.Sprint("s", i/2%3), "email": fmt.Sprintf("%05d@example.com", i)}
}

func orderKeys(i int) map[string]string {
	return map[string]string{"hash": fmt.Sprintf("h%05d", i), "tenant": fmt.Sprint("t", i%2), "grant": fmt.Sprint("g", i/2%3)}
}

// TestPlans counts what the server reads for each shape of a range, from places in the middle, among many equal keys: no
// more than the page and what Offset skips, in the order of the index.
func TestPlans(t *testing.T) {
	for _, e := range []engines.Engine{engines.MariaDB, engines.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			o := newOne(t, engines.Fresh(t, e), planned)
			o.fill()
			o.exec("SET optimizer_switch = 'index_condition_pushdown=off'") // entries that it passes over are not counted
			o.ranges()
			o.counts()
			o.lookups()
			o.writes()
		})
	}
}

// ranges walks through all shapes that a Store asks for.
func (o *one) ranges() {
	o.t.Helper()
	const middle = many/2 + 1
	for _, c := range planned {
		at := store.Doc{ID: userID(middle), Keys: userKeys(middle)}
		if c.Expires {
			at.Keys = orderKeys(middle)
		}
		for _, x := range append([]store.Index{{}}, c.Indexes...) {
			for eq := range len(x.Fields) + 1 {
				for n := range 1 << 5 {
					on := func(bit int) bool { return n&(1<<bit) != 0 }
					r := store.Range{Index: x.Name, Desc: on(0), Limit: page}
					place := []string{}
					for _, f := range x.Fields {
						place = append(place, at.Keys[f])
					}
					place = append(place, at.ID)
					r.Eq = place[:eq:eq]
					if on(1) {
						r.After = o.Cursor(c.Name, x.Name, at)
					}
					if on(2) {
						r.From = place[eq]
					}
					if on(3) {
						r.To = place[eq] + "\x7f"
					}
					most, sort := 2*page+20, 0
					if on(4) {
						r.Offset, sort = 500, page
						most += r.Offset + 3*page // of the page once more its ids, from a table in memory, and its rows
					}
					o.page(c.Name, r, most, sort)
				}
			}
		}
	}
}

func (o *one) page(collection string, r store.Range, most, sort int) {
	o.t.Helper()
	var docs []store.Doc
	read, sorted := o.reads(func() {
		var err error
		if docs, err = o.Range(o.t.Context(), collection, r); err != nil {
			o.t.Fatal(err)
		}
	})
	if read > most || sorted > sort {
		o.t.Errorf("range %s %+v reads %d and sorts %d for %d documents", collection, r, read, sorted, len(docs))
	}
}

func (o *one) counts() {
	o.t.Helper()
	for _, c := range []struct {
		collection string
		r          store.Range
	}{
		{"users", store.Range{}},
		{"users", store.Range{From: "u01000", To: "u02000"}},
		{"users", store.Range{Index: "by_status", Eq: []string{"t1"}}},
		{"users", store.Range{Index: "by_status", Eq: []string{"t1"}, From: "s1"}},
		{"users", store.Range{Index: "by_status", Eq: []string{"t1", "s1"}, From: "u01000"}},
		{"users", store.Range{Index: "by_email", Eq: []string{"t1", "00001@example.com"}}},
		{"order", store.Range{}},
		{"order", store.Range{Index: "by_grant", Eq: []string{"t1", "g1"}}},
	} {
		var n int64
		read, sorted := o.reads(func() {
			var err error
			if n, err = o.Count(o.t.Context(), c.collection, c.r); err != nil {
				o.t.Fatal(err)
			}
		})
		if read > int(n)+10 || sorted > 0 {
			o.t.Errorf("count %s %+v reads %d and sorts %d to count %d", c.collection, c.r, read, sorted, n)
		}
	}
}

func (o *one) lookups() {
	o.t.Helper()
	ctx := o.t.Context()
	var ids []string
	for i := range 100 {
		ids = append(ids, userID(i*37))
	}
	for what, c := range map[string]struct {
		most int
		call func() (int, error)
		want int
	}{
		"get": {2, func() (int, error) {
			_, err := o.Get(ctx, "order", userID(7))
			return 1, err
		}, 1},
		"get many": {128 + 10, func() (int, error) {
			docs, err := o.GetMany(ctx, "users", ids)
			return len(docs), err
		}, 100},
		"by a unique key": {3, func() (int, error) {
			docs, err := o.Range(ctx, "users", store.Range{Index: "by_email", Eq: []string{"t1", "00007@example.com"}})
			return len(docs), err
		}, 1},
		"by a unique key that expires": {3, func() (int, error) {
			docs, err := o.Range(ctx, "order", store.Range{Index: "by_hash", Eq: []string{"h00007"}})
			return len(docs), err
		}, 1},
	} {
		if read, _ := o.reads(func() {
			if n, err := c.call(); n != c.want || err != nil {
				o.t.Errorf("%s: %d documents, %v", what, n, err)
			}
		}); read > c.most {
			o.t.Errorf("%s reads %d", what, read)
		}
	}
}

// writes counts what commits read, those too that free an expired holder's key, and a sweep.
func (o *one) writes() {
	o.t.Helper()
	user := store.Doc{ID: userID(7), Version: 1, Keys: userKeys(7)}
	check := func(what string, most int, call func() error) {
		o.t.Helper()
		if read, _ := o.reads(func() {
			if err := call(); err != nil {
				o.t.Errorf("%s: %v", what, err)
			}
		}); read > most {
			o.t.Errorf("%s reads %d", what, read)
		}
	}
	ctx := o.t.Context()
	check("a commit", 12, func() error {
		return o.Commit(ctx, store.Update("users", user), store.Check("users", store.Doc{ID: userID(8), Version: 1}),
			store.Delete("users", store.Doc{ID: userID(9), Version: 1}), store.Insert("users", store.Doc{ID: "new", Keys: map[string]string{"email": "new"}}))
	})
	o.now = o.now.Add(time.Hour)
	check("a commit that frees", 12, func() error {
		return o.Commit(ctx, store.Insert("order", store.Doc{ID: "new", Keys: orderKeys(7)}))
	})
	check("a sweep", 40, func() error {
		n, err := o.Sweep(context.WithoutCancel(ctx), 10)
		if n != 10 {
			o.t.Errorf("a sweep of 10 takes %d", n)
		}
		return err
	})
}
