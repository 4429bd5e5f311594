package bunstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // an engine to look at plans with

	"github.com/portico-sso/portico/ports/store"
)

var testSchema = store.Schema{
	{Name: "users", Indexes: []store.Index{
		{Name: "by_email", Fields: []string{"tenant", "email"}, Unique: true},
		{Name: "by_created", Fields: []string{"tenant", "created"}},
	}},
	{Name: "order", Expires: true, Indexes: []store.Index{ // a name that SQL reserves
		{Name: "by_all", Fields: []string{"group", "by", "limit", "desc"}, Unique: true},
		{Name: "by_group", Fields: []string{"group"}},
	}},
	{Name: "bare"},
}

var testDialect = Dialect{
	Placeholder: func(int) string { return "?" },
	Types:       Types{Key: "TEXT", Unique: "BLOB", Body: "BLOB", Number: "INTEGER"},
	Explain:     func(error) Failure { return Failure{} },
	Inspect: func(ctx context.Context, q Querier) (Structure, error) {
		rows, err := q.QueryContext(ctx, `SELECT m.name, 0, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'
			UNION ALL SELECT tbl_name, 1, name FROM sqlite_schema WHERE type = 'index'`)
		if err != nil {
			return nil, err
		}
		defer func() { _ = rows.Close() }()
		s := Structure{}
		for rows.Next() {
			var table, name string
			var index bool
			if err := rows.Scan(&table, &index, &name); err != nil {
				return nil, err
			}
			s.Add(table, name, index)
		}
		return s, rows.Err()
	},
}

func testDB(t *testing.T) *bun.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return bun.NewDB(db, sqlitedialect.New())
}

// TestPlans holds that no statement of a range or a write scans a table or sorts what an index has in order.
func TestPlans(t *testing.T) {
	db := testDB(t)
	b := New(Config{Write: db, Read: db, Dialect: testDialect, Schema: testSchema})
	if err := b.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	plan := func(text string) string {
		rows, err := db.DB.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		defer func() { _ = rows.Close() }()
		var lines []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "; ")
	}
	for _, c := range testSchema {
		table := b.tables[c.Name]
		for _, x := range append([]store.Index{{}}, c.Indexes...) {
			for n := range 1 << 6 {
				for eq := range len(x.Fields) + 1 {
					on := func(bit int) bool { return n&(1<<bit) != 0 }
					sh := shape{index: x.Name, eq: uint8(eq), from: on(0), to: on(1), after: on(2), desc: on(3), skip: on(4), count: on(5)}
					if sh.count && (sh.after || sh.desc || sh.skip) || sh.after && (sh.from && !sh.desc || sh.to && sh.desc) {
						continue // what a Store does not ask for
					}
					text := table.ranged(sh).text
					got := plan(text)
					bounded := eq > 0 || sh.from || sh.to || sh.after
					switch {
					case bounded && strings.Contains(strings.ReplaceAll(got, "SCAN page", ""), "SCAN"):
						t.Errorf("%s\n\tscans: %s", text, got)
					case strings.Contains(got, "TEMP B-TREE") && !sh.skip:
						t.Errorf("%s\n\tsorts: %s", text, got)
					case strings.Contains(got, "AUTOMATIC") || sh.skip && !strings.Contains(got, "SEARCH "+c.Name+" USING INDEX sqlite_autoindex_"+c.Name+"_1 (id=?)"):
						t.Errorf("%s\n\tlacks an index: %s", text, got)
					case x.Name != "" && !sh.count && !strings.Contains(got, orderIndex(c.Name, x.Name)) && eq < len(x.Fields):
						t.Errorf("%s\n\ttakes another index: %s", text, got)
					case x.Name != "" && (sh.skip || sh.count) && bounded && !strings.Contains(got, "COVERING INDEX"):
						t.Errorf("%s\n\treads rows that it skips: %s", text, got)
					}
				}
			}
		}
		statements := append(slices.Clone(table.writes[1:]), table.frees()...)
		if table.sweep != nil {
			statements = append(statements, table.sweep)
		}
		for _, s := range statements {
			if got := plan(s.text); strings.Contains(strings.ReplaceAll(got, "SCAN old", ""), "SCAN") {
				t.Errorf("%s\n\tscans: %s", s.text, got)
			}
		}
	}
}

func TestMigrate(t *testing.T) {
	db, ctx := testDB(t), t.Context()
	older := store.Schema{{Name: "users", Indexes: testSchema[0].Indexes[:1]}}
	for i, s := range []store.Schema{older, testSchema, older} {
		b := New(Config{Write: db, Read: db, Dialect: testDialect, Schema: s})
		steps, err := b.Plan(ctx)
		if err != nil || (len(steps) == 0) != (i == 2) {
			t.Fatalf("step %d: %q, %v", i, steps, err)
		}
		if err := b.Migrate(ctx); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if steps, err = b.Plan(ctx); len(steps) != 0 || err != nil {
			t.Fatalf("step %d again: %q, %v, want nothing", i, steps, err)
		}
	}
	newest := New(Config{Write: db, Read: db, Dialect: testDialect, Schema: testSchema})
	if steps, err := newest.Plan(ctx); len(steps) != 0 || err != nil {
		t.Errorf("an older program took away what a newer one needs: %q, %v", steps, err)
	}
	for _, statement := range plan(db.QueryGen(), testDialect, Structure{}, testSchema) {
		if !strings.Contains(statement, `"users`) && !strings.Contains(statement, `"order`) && !strings.Contains(statement, `"bare`) {
			t.Errorf("a name is not quoted: %s", statement)
		}
	}
}

func TestFailedIndex(t *testing.T) {
	c := store.Collection{Name: "users", Indexes: []store.Index{{Name: "id"}, {Name: "by_mail"}, {Name: "mail"}}}
	for name, want := range map[string]string{
		"users.u_by_mail":       "by_mail", // SQLite
		"users$by_mail$u":       "by_mail", // PostgreSQL
		"users.users$by_mail$u": "by_mail", // MySQL
		"users$mail$u":          "mail",
		"users.u_mail":          "mail",
		"users.id":              "",
		"users_pkey":            "",
		"users.PRIMARY":         "",
		"users$id$u":            "id",
	} {
		if got := failedIndex(c, name); got != want {
			t.Errorf("%s names the index %q, want %q", name, got, want)
		}
	}
}

// TestTurns holds that a commit waits for its turn no longer than its context lets it.
func TestTurns(t *testing.T) {
	s := newSerial(testDB(t).DB)
	first, err := s.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second transaction: %v, want DeadlineExceeded", err)
	}
	first.rollback()
	second, err := s.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.commit(); err != nil {
		t.Error(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if _, err := s.begin(t.Context()); err == nil {
		t.Error("a closed writer begins")
	}
}

func TestPlaceholdersAreNumbered(t *testing.T) {
	d := testDialect
	d.Placeholder = func(n int) string { return fmt.Sprintf("$%d", n) }
	db := testDB(t)
	table := New(Config{Write: db, Read: db, Dialect: d, Schema: testSchema}).tables["users"]
	want := `UPDATE "users" SET "version" = "version" + 1, "body" = $1, "k_tenant" = $2, "k_email" = $3, "k_created" = $4, "u_by_email" = $5 WHERE "id" = $6 AND "version" = $7`
	if got := table.writes[store.OpUpdate].text; got != want {
		t.Errorf("update is\n%s, want\n%s", got, want)
	}
}

// TestPanicFreesTheWriter holds that what goes wrong in one transaction does not stop all later ones.
func TestPanicFreesTheWriter(t *testing.T) {
	d := testDialect
	d.Embedded = true
	db := testDB(t)
	b := New(Config{Write: db, Read: db, Dialect: d, Schema: testSchema})
	func() {
		defer func() { _ = recover() }()
		_ = b.transact(t.Context(), func(transaction) error { panic("a mistake") })
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.transact(ctx, func(transaction) error { return nil }); err != nil {
		t.Errorf("the next transaction: %v", err)
	}
}

// TestOneOrder holds that two commits meet the documents that are there in one order, whatever they do to them, so that
// they do not wait for each other in a circle.
func TestOneOrder(t *testing.T) {
	d := testDialect
	var met []string
	d.Run = func(_ context.Context, _ *sql.DB, steps []Step) (int64, int, error) {
		met = nil
		for _, s := range steps {
			met = append(met, fmt.Sprintf("%s %v", strings.Fields(s.Text())[0], s.Args[len(s.Args)-2])) // the id, of a guard
		}
		return 1, 0, nil
	}
	db := testDB(t)
	b := New(Config{Write: db, Read: db, Dialect: d, Schema: testSchema})
	doc := func(id string) store.Doc { return store.Doc{ID: id, Version: 1} }
	for want, ops := range map[string][]store.Op{
		"[UPDATE a DELETE b UPDATE c]": {store.Update("users", doc("c")), store.Check("users", doc("a")), store.Delete("users", doc("b"))},
		"[DELETE a UPDATE b UPDATE c]": {store.Check("users", doc("c")), store.Delete("users", doc("a")), store.Update("users", doc("b"))},
	} {
		if err := b.Commit(t.Context(), time.Now(), ops); err != nil || fmt.Sprint(met) != want {
			t.Errorf("%v, %v, want %s", met, err, want)
		}
	}
}

// TestSteered holds what MySQL is told: which index, and the place of a cursor spelled out, with a value for each "?".
func TestSteered(t *testing.T) {
	d := testDialect
	d.Steered = true
	db := testDB(t)
	b := New(Config{Write: db, Read: db, Dialect: d, Schema: testSchema})
	table := b.tables["users"]
	st, err := store.New(b, testSchema, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	cursor := func(index string) string {
		return st.Cursor("users", index, store.Doc{ID: "i", Keys: map[string]string{"tenant": "t", "created": "c"}})
	}
	for want, r := range map[string]store.Range{
		` FROM "users" FORCE INDEX ("users$by_created") WHERE ("k_tenant" > ? OR "k_tenant" = ? AND ("k_created" > ? OR "k_created" = ? AND "id" > ?))`: {
			Index: "by_created", After: cursor("by_created")},
		` FROM "users" FORCE INDEX ("users$by_created") WHERE "k_tenant" = ? AND ("k_created" < ? OR "k_created" = ? AND "id" < ?)`: {
			Index: "by_created", Eq: []string{"t"}, After: cursor("by_created"), Desc: true},
		` FROM "users" FORCE INDEX ("users$by_created") WHERE "k_tenant" = ? AND "k_created" = ? AND "id" > ?`: {
			Index: "by_created", Eq: []string{"t", "c"}, After: cursor("by_created")},
		` FROM "users" FORCE INDEX ("PRIMARY") WHERE "id" > ?`: {After: cursor("")},
	} {
		text := table.ranged(shapeOf(r, false)).text
		got, _, _ := strings.Cut(text[strings.Index(text, " FROM"):], " ORDER")
		args, err := table.bounds(r, time.Now(), 0)
		if got != want || err != nil || len(args) != strings.Count(want, "?") {
			t.Errorf("%d values, %v, in\n%s, want\n%s", len(args), err, got, want)
		}
	}
	if got, want := table.ranged(shape{count: true}).text, `SELECT COUNT(*) FROM "users"`; got != want {
		t.Errorf("a count of all is\n%s, want\n%s", got, want)
	}
}

// TestTableWise holds that each table takes one statement, of which those of another instance may have been faster.
func TestTableWise(t *testing.T) {
	d := testDialect
	d.TableWise, d.Types.Table = true, " ENGINE=x"
	gen := testDB(t).QueryGen()
	have := Structure{}
	have.Add("users", "id", false)
	have.Add("users", "k_tenant", false)
	have.Add("users", "users$by_created", true)
	have.Add("bare", "id", false)
	have.Add("bare", "version", false)
	have.Add("bare", "body", false)
	have.Add("bare", "touched", false)
	want := []string{
		`ALTER TABLE "users" ADD COLUMN "version" INTEGER NOT NULL, ADD COLUMN "body" BLOB NOT NULL, ADD COLUMN "touched" INTEGER NOT NULL DEFAULT 0, ` +
			`ADD COLUMN "k_email" TEXT NOT NULL DEFAULT '', ADD COLUMN "k_created" TEXT NOT NULL DEFAULT '', ADD COLUMN "u_by_email" BLOB, ` +
			`ADD INDEX "users$by_email" ("k_tenant", "k_email", "id"), ADD UNIQUE INDEX "users$by_email$u" ("u_by_email")`,
		`CREATE TABLE IF NOT EXISTS "order" ("id" TEXT NOT NULL PRIMARY KEY, "version" INTEGER NOT NULL, "body" BLOB NOT NULL, ` +
			`"expires_at" INTEGER NOT NULL DEFAULT 9223372036854775807, "touched" INTEGER NOT NULL DEFAULT 0, "k_group" TEXT NOT NULL DEFAULT '', ` +
			`"k_by" TEXT NOT NULL DEFAULT '', "k_limit" TEXT NOT NULL DEFAULT '', "k_desc" TEXT NOT NULL DEFAULT '', "u_by_all" BLOB, ` +
			`INDEX "order$by_all" ("k_group", "k_by", "k_limit", "k_desc", "id", "expires_at"), UNIQUE INDEX "order$by_all$u" ("u_by_all"), ` +
			`INDEX "order$by_group" ("k_group", "id", "expires_at"), INDEX "order$$expires" ("expires_at")) ENGINE=x`,
	}
	if got := plan(gen, d, have, testSchema); !slices.Equal(got, want) {
		t.Errorf("the plan is\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestUniqueValue holds that long keys are hashed whole, and as nothing that short ones could be.
func TestUniqueValue(t *testing.T) {
	x := store.Index{Fields: []string{"a", "b"}}
	seen := map[string]bool{}
	for _, n := range []int{0, 1, uniqueMost - 2, uniqueMost - 1, uniqueMost, store.MaxKeyBytes} {
		for _, b := range []string{"", "b", "c"} {
			v, _ := uniqueValue(x, store.Doc{Keys: map[string]string{"a": strings.Repeat("a", n), "b": b}}).([]byte)
			if seen[string(v)] || len(v) > uniqueMost || len(v) > 0 && (v[0] == 0xff) != (n+1+len(b) > uniqueMost) {
				t.Errorf("of %d bytes and %q: %q", n, b, v)
			}
			seen[string(v)] = true
		}
	}
}

func TestOrdered(t *testing.T) {
	d := testDialect
	d.Ordered = true
	db := testDB(t)
	b := New(Config{Write: db, Read: db, Dialect: d, Schema: testSchema})
	table := b.tables["users"]
	st, err := store.New(b, testSchema, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	cursor := st.Cursor("users", "by_created", store.Doc{ID: "i", Keys: map[string]string{"tenant": "t", "created": "c"}})
	for want, r := range map[string]store.Range{
		`WHERE "k_tenant" >= ? AND "k_tenant" <= ? [t t]`:                                                     {Eq: []string{"t"}},
		`WHERE "k_tenant" = ? AND "k_created" >= ? AND "k_created" <= ? [t c c]`:                              {Eq: []string{"t", "c"}},
		`WHERE "k_tenant" = ? AND "k_created" >= ? AND "k_created" < ? [t 1 2]`:                               {Eq: []string{"t"}, From: "1", To: "2"},
		`WHERE "k_tenant" = ? AND ("k_created", "id") >= (?, ?) AND ("k_created", "id") < (?, ?) [t c 1 c 2]`: {Eq: []string{"t", "c"}, From: "1", To: "2"},
		`WHERE ("k_tenant", "k_created", "id") > (?, ?, ?) AND "k_tenant" <= ? [t c i t]`:                     {Eq: []string{"t"}, After: cursor},
		`WHERE "k_tenant" = ? AND ("k_created", "id") > (?, ?) AND "k_created" < ? [t c i d]`:                 {Eq: []string{"t"}, To: "d", After: cursor},
		`WHERE "k_tenant" = ? AND "k_created" >= ? AND ("k_created", "id") < (?, ?) [t b c i]`:                {Eq: []string{"t"}, From: "b", After: cursor, Desc: true},
		`WHERE "k_tenant" = ? AND "k_created" >= ? AND ("k_created", "id") < (?, ?) [t c c i]`:                {Eq: []string{"t", "c"}, After: cursor, Desc: true},
		`WHERE ("k_tenant", "k_created", "id") < (?, ?, ?) [t c i]`:                                           {After: cursor, Desc: true},
		`WHERE "k_tenant" >= ? [t]`: {From: "t"},
	} {
		r.Index = "by_created"
		text := table.ranged(shapeOf(r, false)).text
		got, order, _ := strings.Cut(text[strings.Index(text, "WHERE"):], " ORDER BY ")
		args, err := table.bounds(r, time.Now(), 0)
		behind := 2 - strings.Count(got, `" = ?`) // commas between what is ordered by, and before nothing else
		if got += " " + fmt.Sprint(args); got != want || err != nil || strings.Count(order, ",") != behind {
			t.Errorf("%v:\n%s, want\n%s\nordered by %s", err, got, want, order)
		}
	}
}

func TestTakePool(t *testing.T) {
	for text, want := range map[string]*Pool{
		"x=y": {16, 30 * time.Minute, 5 * time.Minute, 30 * time.Second},
		"pool_max_conns=3&pool_max_conn_lifetime=1h&pool_max_conn_idle_time=10s&call_timeout=250ms&x=y": {3, time.Hour, 10 * time.Second, 250 * time.Millisecond},
		"pool_max_conns=0&x=y": nil, "pool_max_conns=-1&x=y": nil, "pool_max_conns=many&x=y": nil,
		"call_timeout=30&x=y": nil, "call_timeout=0s&x=y": nil, "pool_max_conn_lifetime=-1s&x=y": nil,
	} {
		q, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := TakePool(q)
		if want == nil {
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s: %+v, %v", text, got, err)
			}
		} else if got != *want || err != nil || q.Encode() != "x=y" {
			t.Errorf("%s: %+v, %v, and %s is left", text, got, err, q.Encode())
		}
	}
}
