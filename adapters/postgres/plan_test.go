package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

var planSchema = store.Schema{
	{Name: "users", Indexes: []store.Index{
		{Name: "by_email", Fields: []string{"tenant", "email"}, Unique: true},
		{Name: "by_created", Fields: []string{"tenant", "created"}},
	}},
	{Name: "order", Expires: true, Indexes: []store.Index{ // a name that SQL reserves
		{Name: "by_all", Fields: []string{"group", "by", "limit", "desc"}, Unique: true},
		{Name: "by_group", Fields: []string{"group"}},
	}},
}

// sent is a statement with its values.
type sent struct {
	text string
	args []any
}

// recorder notes what is sent.
type recorder struct {
	mu  sync.Mutex
	all []sent
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	args := d.Args
	if len(args) > 0 {
		if _, ok := args[0].(pgx.QueryResultFormatsByOID); ok { // how database/sql wants its results
			args = args[1:]
		}
	}
	r.note(d.SQL, args)
	return ctx
}

func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		r.note(q.SQL, q.Arguments)
	}
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (r *recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (r *recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (r *recorder) note(text string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, sent{text, args})
}

func (r *recorder) take() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// planner is a store whose statements are recorded, and a connection like the store's to ask for their plans.
type planner struct {
	*testing.T
	*store.Store
	*recorder
	conn *pgx.Conn
	made int // documents
}

func newPlanner(t *testing.T, text string) *planner {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(u)
	if err != nil {
		t.Fatal(err)
	}
	p := &planner{T: t, recorder: &recorder{}}
	if p.conn, err = pgx.ConnectConfig(t.Context(), c.conn.Copy()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.conn.Close(context.Background()) })
	c.conn.Tracer = p.recorder
	b, err := c.open(t.Context(), planSchema, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if p.Store, err = store.New(b, planSchema, store.Options{Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if err := p.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.take()
	return p
}

// plan is how the server runs a statement that it has prepared, line by line.
func (p *planner) plan(s sent) string { return p.explain(s, "COSTS OFF") }

func (p *planner) explain(s sent, options string) string {
	p.Helper()
	values := make([]string, 0, len(s.args))
	for _, a := range s.args {
		switch a := a.(type) {
		case nil:
			values = append(values, "NULL")
		case []byte:
			values = append(values, fmt.Sprintf(`'\x%x'`, a))
		default:
			values = append(values, "'"+strings.ReplaceAll(fmt.Sprint(a), "'", "''")+"'")
		}
	}
	execute := "EXECUTE it"
	if len(values) > 0 {
		execute += "(" + strings.Join(values, ", ") + ")"
	}
	if _, err := p.conn.Exec(p.Context(), "PREPARE it AS "+s.text); err != nil {
		p.Fatalf("%s: %v", s.text, err)
	}
	rows, err := p.conn.Query(p.Context(), "EXPLAIN ("+options+") "+execute, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		p.Fatalf("%s: %v", s.text, err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		p.Fatalf("%s: %v", s.text, err)
	}
	if _, err := p.conn.Exec(p.Context(), "DEALLOCATE it"); err != nil {
		p.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// TestPlans holds that every range and count runs over its index, in its order, from its bounds, and that no write scans.
func TestPlans(t *testing.T) {
	for _, e := range []engines.Engine{engines.Postgres, engines.Postgres18} {
		t.Run(string(e), func(t *testing.T) {
			p := newPlanner(t, engines.Fresh(t, e))
			p.reads()
			p.writes()
			p.fill()
			p.reads()
			p.writes()
			p.pages()
		})
	}
}

// TestPlansUnsteered holds that pages are as cheap where the planner is left to itself, once it has looked at the tables.
func TestPlansUnsteered(t *testing.T) {
	for _, e := range []engines.Engine{engines.Postgres, engines.Postgres18} {
		t.Run(string(e), func(t *testing.T) {
			p := newPlanner(t, engines.Fresh(t, e)+"&default_query_exec_mode=exec")
			p.fill()
			p.pages()
		})
	}
}

// fill makes rows and has the server look at them: most of one collection have expired, and one tenant has most.
func (p *planner) fill() {
	p.Helper()
	for chunk := range slices.Chunk(make([]int, filled), 250) {
		var ops []store.Op
		for range chunk {
			n := p.made
			p.made++
			id := fmt.Sprintf("%05d", n)
			ops = append(ops, store.Insert("users", store.Doc{ID: id, Keys: map[string]string{"tenant": "a", "email": id, "created": id}}),
				store.Insert("order", store.Doc{ID: id, Keys: map[string]string{"group": "a", "by": id}, ExpiresAt: time.Now().Add(time.Duration(n%10-7) * time.Hour)}))
		}
		if err := p.Commit(p.Context(), ops...); err != nil {
			p.Fatal(err)
		}
	}
	if _, err := p.conn.Exec(p.Context(), "ANALYZE"); err != nil {
		p.Fatal(err)
	}
	p.take()
}

const filled = 4000

var buffers = regexp.MustCompile(`Buffers: shared hit=(\d+)`)

// pages holds that what a page costs does not depend on where it is: the server touches few blocks.
func (p *planner) pages() {
	p.Helper()
	middle := store.Doc{ID: "02000", Keys: map[string]string{"tenant": "a", "email": "02000", "created": "02000", "group": "a", "by": "02000"}}
	for what, r := range map[string]store.Range{
		"unique lookup": {Index: "by_email", Eq: []string{"a", "02000"}, Limit: 1},
		"first page":    {Index: "by_created", Eq: []string{"a"}, Limit: 20},
		"middle":        {Index: "by_created", Eq: []string{"a"}, Limit: 20, After: p.Cursor("users", "by_created", middle)},
		"middle, back":  {Index: "by_created", Eq: []string{"a"}, Limit: 20, After: p.Cursor("users", "by_created", middle), Desc: true},
		"from":          {Index: "by_created", Eq: []string{"a"}, Limit: 20, From: "02000"},
		"to, back":      {Index: "by_created", Eq: []string{"a"}, Limit: 20, To: "02000", Desc: true},
		"ids":           {Limit: 20, After: p.Cursor("users", "", middle)},
		"no such":       {Index: "by_created", Eq: []string{"a", "none"}, Limit: 20},
		"one of them":   {Index: "by_created", Eq: []string{"a", "00010"}, Limit: 20},
		"one, back":     {Index: "by_created", Eq: []string{"a", "03990"}, Limit: 20, Desc: true},
		"between":       {Index: "by_created", Eq: []string{"a"}, Limit: 20, From: "00010", To: "00015"},
		"between, back": {Index: "by_created", Eq: []string{"a"}, Limit: 20, From: "03990", To: "03995", Desc: true},
	} {
		if _, err := p.Range(p.Context(), "users", r); err != nil {
			p.Fatal(err)
		}
		got := p.explain(p.take()[0], "ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF")
		n := -1
		if m := buffers.FindStringSubmatch(got); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		if n < 1 || n > 10 {
			p.Errorf("%s touches %d blocks:\n%s", what, n, got)
		}
	}
}

func (p *planner) reads() {
	p.Helper()
	for _, c := range planSchema {
		for _, x := range append([]store.Index{{}}, c.Indexes...) {
			for eq := range len(x.Fields) + 1 {
				for n := range 1 << 6 {
					p.read(c, x, eq, func(bit int) bool { return n&(1<<bit) != 0 })
				}
			}
		}
		for _, ids := range [][]string{{"1"}, {"1", "2", "3"}} {
			if _, err := p.GetMany(p.Context(), c.Name, ids); err != nil {
				p.Fatal(err)
			}
			if got := p.plan(p.take()[0]); !strings.Contains(got, "Scan using "+c.Name+"_pkey") {
				p.Errorf("get %q of %s:\n%s", ids, c.Name, got)
			}
		}
	}
}

func (p *planner) read(c store.Collection, x store.Index, eq int, on func(int) bool) {
	p.Helper()
	r := store.Range{Index: x.Name, Eq: []string{"a", "b", "c", "d"}[:eq]}
	for bit, bound := range map[int]*string{0: &r.From, 1: &r.To} {
		if on(bit) {
			*bound = fmt.Sprint(bit)
		}
	}
	counts, skips := on(5), on(4)
	if counts {
		if on(2) || on(3) || skips {
			return // nothing that a count has
		}
		if _, err := p.Count(p.Context(), c.Name, r); err != nil {
			p.Fatal(err)
		}
	} else {
		r.Desc, r.Limit = on(3), 10
		if skips {
			r.Offset = 5
		}
		if on(2) {
			at := store.Doc{ID: "i", Keys: map[string]string{}}
			for i, f := range x.Fields {
				at.Keys[f] = []string{"a", "b", "c", "d"}[i]
			}
			r.After = p.Cursor(c.Name, x.Name, at)
		}
		if _, err := p.Range(p.Context(), c.Name, r); err != nil {
			p.Fatal(err)
		}
	}
	all := p.take()
	if len(all) == 0 {
		return // the bounds exclude everything
	}
	got := p.plan(all[0])
	index := c.Name + "$" + x.Name
	if x.Name == "" {
		index = c.Name + "_pkey"
	}
	switch {
	case strings.Contains(got, "Seq Scan") || strings.Contains(got, "Bitmap"):
		p.Errorf("%s\nscans:\n%s", all[0].text, got)
	case strings.Contains(got, "Sort") && !skips:
		p.Errorf("%s\nsorts:\n%s", all[0].text, got)
	case !counts && !strings.Contains(strings.ReplaceAll(got, `"`, ""), "using "+index+" on"):
		p.Errorf("%s\ntakes another index than %s:\n%s", all[0].text, index, got)
	case (counts && (x.Name != "" || !c.Expires) || skips && x.Name != "") && !strings.Contains(got, "Index Only Scan"):
		p.Errorf("%s\nreads rows that it need not:\n%s", all[0].text, got)
	case skips && (!strings.Contains(got, "Nested Loop") || !strings.Contains(strings.ReplaceAll(got, `"`, ""), "Index Scan using "+c.Name+"_pkey")):
		p.Errorf("%s\nlacks an index:\n%s", all[0].text, got)
	case filters(got):
		p.Errorf("%s\npasses over rows:\n%s", all[0].text, got)
	}
}

// filters says that a plan reads rows to throw them away, other than those that have expired.
func filters(plan string) bool {
	for line := range strings.Lines(plan) {
		if strings.Contains(line, "Filter:") && !strings.Contains(line, "Filter: (expires_at > ") {
			return true
		}
	}
	return false
}

func (p *planner) writes() {
	p.Helper()
	for _, c := range planSchema {
		keys := map[string]string{}
		for _, f := range c.Fields() {
			keys[f] = "new"
		}
		// The second insert takes what the first has, so that all is tried that frees keys.
		_ = p.Commit(p.Context(), store.Insert(c.Name, store.Doc{ID: "1", Keys: keys}), store.Insert(c.Name, store.Doc{ID: "2", Keys: keys}),
			store.Update(c.Name, store.Doc{ID: "3", Version: 1}), store.Update(c.Name, store.Doc{ID: "4", Version: 1}))
		_ = p.Commit(p.Context(), store.Insert(c.Name, store.Doc{ID: "1", Keys: keys}), store.Insert(c.Name, store.Doc{ID: "2", Keys: keys}))
		for _, op := range []func(string, store.Doc) store.Op{store.Update, store.Delete, store.Check} {
			_ = p.Commit(p.Context(), op(c.Name, store.Doc{ID: "1", Version: 1, Keys: keys}))
		}
	}
	if _, err := p.Sweep(p.Context(), 1); err != nil {
		p.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, s := range p.take() {
		kind, _, _ := strings.Cut(s.text, " ")
		if kind == "BEGIN" || kind == "ROLLBACK" || kind == "COMMIT" {
			continue
		}
		kinds[kind+" "+fmt.Sprint(strings.Contains(s.text, " <= "))] = true
		if got := p.plan(s); strings.Contains(got, "Seq Scan") || strings.Contains(got, "Bitmap") {
			p.Errorf("%s\nscans:\n%s", s.text, got)
		}
	}
	if want := 4; len(kinds) != want { // insert, update, delete, delete of expired
		p.Errorf("tried %v, want %d kinds", kinds, want)
	}
}
