package mongo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/mongofake"
	"github.com/portico-sso/portico/ports/store"
)

var schema = store.Schema{
	{Name: "users", Indexes: []store.Index{
		{Name: "by_email", Fields: []string{"tenant", "email"}, Unique: true},
		{Name: "by_all", Fields: []string{"tenant", "team", "rank", "created"}},
	}},
	{Name: "codes", Expires: true, Indexes: []store.Index{
		{Name: "by_hash", Fields: []string{"hash"}, Unique: true},
		{Name: "by_grant", Fields: []string{"tenant", "grant"}},
	}},
}

var noon = time.Date(2030, 5, 17, 12, 0, 0, 0, time.UTC)

func fakeURL(t *testing.T, o mongofake.Options) string {
	t.Helper()
	s, err := mongofake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s.URL("test")
}

// log is what a backend sends.
type log struct {
	mu       sync.Mutex
	commands []bson.Raw
}

func (l *log) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.commands = append(l.commands, slices.Clone(e.Command))
	}}
}

func (l *log) take() []bson.Raw {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.commands
	l.commands = nil
	return all
}

func openBackend(t *testing.T, address string, s store.Schema) (*Backend, *log) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var l log
	b, err := connect(t.Context(), u, s, l.monitor())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, &l
}

func fill(t *testing.T, b *Backend) {
	t.Helper()
	for _, c := range schema {
		for i := range 20 {
			d := store.Doc{ID: fmt.Sprintf("%02d", i), Keys: map[string]string{}}
			for n, f := range c.Fields() {
				d.Keys[f] = fmt.Sprint(i % (n + 2))
			}
			d.Keys["email"], d.Keys["hash"] = d.ID, d.ID
			if err := b.Commit(t.Context(), noon, []store.Op{store.Insert(c.Name, d)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPlans(t *testing.T) { testPlans(t, fakeURL(t, mongofake.Options{})) }

// TestPlansOfServer asks the server that TEST_MONGO_URL names.
func TestPlansOfServer(t *testing.T) { testPlans(t, engines.Fresh(t, engines.Mongo)) }

// testPlans holds, by what the server explains, that no range, page or count reads a collection whole or sorts it, that
// offsets and counts are answered from the index alone, and that each uses its own index.
func testPlans(t *testing.T, address string) {
	b, l := openBackend(t, address, schema)
	fill(t, b)
	for _, c := range schema {
		for _, x := range append([]store.Index{{}}, c.Indexes...) {
			for eq := range len(x.Fields) + 1 {
				for n := range 1 << 6 {
					on := func(bit int) bool { return n&(1<<bit) != 0 }
					r := store.Range{Index: x.Name, Desc: on(2), Limit: 5}
					for range eq {
						r.Eq = append(r.Eq, "1")
					}
					if on(0) {
						r.From = "0"
					}
					if on(1) {
						r.To = "2"
					}
					if on(3) {
						r.Offset = 1
					}
					if on(4) {
						r.After = cursor(c, x)
					}
					count := on(5)
					if count && (on(2) || on(3) || on(4)) || on(4) && (on(0) && !on(2) || on(1) && on(2)) {
						continue // what a Store does not ask for
					}
					l.take()
					var err error
					if count {
						r.Limit = 0
						_, err = b.Count(t.Context(), noon, c.Name, r)
					} else {
						_, err = b.Range(t.Context(), noon, c.Name, r)
					}
					if err != nil {
						t.Fatalf("%s %+v: %v", c.Name, r, err)
					}
					plans := explain(t, b, l.take())
					first := plans[0]
					fetches := x.Name == "" && c.Expires || !count && r.Offset == 0 || r.After != "" && c.Expires
					bounds := eq
					if on(0) || on(1) {
						bounds++
					}
					if r.After != "" {
						bounds = len(x.Fields) + 1
					}
					switch {
					case slices.ContainsFunc(plans, plan.whole):
						t.Errorf("%s %+v reads the collection whole or sorts it: %v", c.Name, r, plans)
					case !slices.Contains(first.indexes, b.tables[c.Name].hint(x)):
						t.Errorf("%s %+v uses other indexes: %v", c.Name, r, plans)
					case !fetches && slices.Contains(first.stages, "FETCH"):
						t.Errorf("%s %+v fetches what it skips or counts: %v", c.Name, r, plans)
					case first.bounded >= 0 && first.bounded < bounds:
						t.Errorf("%s %+v enters the index by %d fields, want %d", c.Name, r, first.bounded, bounds)
					}
				}
			}
		}
	}
}

func cursor(c store.Collection, x store.Index) string {
	d := store.Doc{ID: "05", Keys: map[string]string{}}
	for _, f := range x.Fields {
		d.Keys[f] = "1"
	}
	s, err := store.New(&Backend{}, store.Schema{c}, store.Options{Now: time.Now})
	if err != nil {
		panic(err)
	}
	return s.Cursor(c.Name, x.Name, d)
}

// plan is what a server explains of one query.
type plan struct {
	stages, indexes []string
	bounded         int // fields by which the index is entered, as the fake says; -1 elsewhere
}

func (p plan) whole() bool {
	return slices.Contains(p.stages, "COLLSCAN") || slices.Contains(p.stages, "SORT")
}

// explain asks for the plans of the queries among commands.
func explain(t *testing.T, b *Backend, commands []bson.Raw) []plan {
	t.Helper()
	var plans []plan
	for _, c := range commands {
		var query bson.D
		elements, _ := c.Elements()
		for _, e := range elements {
			switch e.Key() {
			case "lsid", "$db", "$clusterTime", "$readPreference", "readConcern", "maxTimeMS", "txnNumber":
			default:
				query = append(query, bson.E{Key: e.Key(), Value: e.Value()})
			}
		}
		raw, err := b.database.RunCommand(t.Context(), bson.D{{Key: "explain", Value: query}, {Key: "verbosity", Value: "queryPlanner"}}).Raw()
		if err != nil {
			t.Fatalf("explain %s: %v", c, err)
		}
		p := plan{bounded: -1}
		p.read(raw, false)
		if len(p.stages) == 0 {
			t.Fatalf("explain %s: no plan in %s", c, raw)
		}
		plans = append(plans, p)
	}
	return plans
}

// read finds stages and indexes wherever they are under a winningPlan: that differs between releases.
func (p *plan) read(d bson.Raw, winning bool) {
	elements, _ := d.Elements()
	for _, e := range elements {
		text, _ := e.Value().StringValueOK()
		switch {
		case e.Key() == "rejectedPlans" || e.Key() == "slotBasedPlan":
			continue
		case winning && e.Key() == "stage":
			p.stages = append(p.stages, text)
		case winning && e.Key() == "indexName":
			p.indexes = append(p.indexes, text)
		case winning && e.Key() == "bounded":
			p.bounded = int(e.Value().Int32())
		}
		if inner, ok := e.Value().DocumentOK(); ok {
			p.read(inner, winning || e.Key() == "winningPlan")
		}
		if list, ok := e.Value().ArrayOK(); ok {
			p.read(bson.Raw(list), winning)
		}
	}
}

// TestConcerns holds that every command asks for what the guarantees need.
func TestConcerns(t *testing.T) {
	b, l := openBackend(t, fakeURL(t, mongofake.Options{}), schema)
	ctx, doc := t.Context(), store.Doc{ID: "1", Keys: map[string]string{"hash": "1"}}
	l.take()
	at := func(version int64) store.Doc { d := doc; d.Version = version; return d }
	commit := func(ops ...store.Op) {
		t.Helper()
		if err := b.Commit(ctx, noon, ops); err != nil {
			t.Fatal(err)
		}
	}
	commit(store.Insert("codes", doc))
	commit(store.Update("codes", at(1)))
	commit(store.Check("codes", at(2)))
	commit(store.Delete("codes", at(2)))
	commit(store.Insert("codes", doc), store.Insert("users", doc))
	commit(store.Update("codes", at(1)), store.Check("users", at(1)))
	expired := store.Doc{ID: "2", Keys: map[string]string{"hash": "2"}, ExpiresAt: noon.Add(-time.Hour)}
	commit(store.Insert("codes", expired))
	commit(store.Insert("codes", expired)) // over the expired one
	for _, read := range []func() error{
		func() error { _, err := b.Get(ctx, noon, "codes", []string{"1"}); return err },
		func() error { _, err := b.Range(ctx, noon, "codes", store.Range{Limit: 5}); return err },
		func() error { _, err := b.Range(ctx, noon, "users", store.Range{Limit: 5, Offset: 1}); return err },
		func() error { _, err := b.Count(ctx, noon, "codes", store.Range{}); return err },
		func() error { _, err := b.Sweep(ctx, noon, "codes", 10); return err },
		func() error { return b.Ping(ctx) },
	} {
		if err := read(); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, c := range l.take() {
		first, _ := c.IndexErr(0)
		name := first.Key()
		has := func(path ...string) bool { _, err := c.LookupErr(path...); return err == nil }
		level, _ := c.Lookup("readConcern", "level").StringValueOK()
		w, _ := c.Lookup("writeConcern", "w").StringValueOK()
		j, _ := c.Lookup("writeConcern", "j").BooleanOK()
		durable := w == "majority" && j
		starts, inside := has("startTransaction"), has("autocommit")
		wants := true
		switch {
		case name == "commitTransaction" || name == "abortTransaction":
			wants = durable
		case inside:
			wants = starts == (level == "snapshot") && !has("writeConcern")
		case name == "find" || name == "aggregate":
			wants = level == "snapshot" || level == "majority" && (!has("limit") || has("projection")) // a page is of one instant
		case name == "delete" && strings.Contains(c.String(), `"limit": {"$numberInt":"0"}`):
			wants = durable
		case name != "ping":
			wants = durable && has("txnNumber")
		}
		if !wants || !has("maxTimeMS") && name != "find" { // of a find, the driver waits alone
			t.Errorf("%s", c)
		}
		seen[name]++
	}
	for _, name := range []string{"insert", "update", "delete", "commitTransaction", "find", "aggregate", "ping"} {
		if seen[name] == 0 {
			t.Errorf("no %s is seen", name)
		}
	}
}

func TestClientOptions(t *testing.T) {
	for text, want := range map[string]string{
		"mongodb://localhost":           "portico",
		"mongodb://localhost/":          "portico",
		"mongodb://localhost:27017/sso": "sso",
		"mongodb://u:p%40ss@a.example:27017,b.example:27018/sso?tls=true":                                                   "sso",
		"mongodb://localhost/sso?w=majority&journal=true&retryWrites=true&readPreference=primary&readConcernLevel=majority": "sso",
		"mongodb://localhost/sso?directConnection=true&authSource=admin&maxPoolSize=7&appName=x":                            "sso",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		o, name, err := clientOptions(u)
		if err != nil || name != want {
			t.Errorf("%s: database %q, %v, want %q", text, name, err, want)
			continue
		}
		if *o.Timeout != defaultTimeout || *o.ServerSelectionTimeout != defaultSelection || o.ReadConcern.Level != "majority" ||
			o.WriteConcern.W != writeconcern.WCMajority || !*o.WriteConcern.Journal || !*o.RetryWrites || !*o.RetryReads {
			t.Errorf("%s: options %+v", text, o)
		}
	}
	u, _ := url.Parse("mongodb://localhost/?timeoutMS=1500&serverSelectionTimeoutMS=700")
	if o, _, err := clientOptions(u); err != nil || *o.Timeout != 1500*time.Millisecond || *o.ServerSelectionTimeout != 700*time.Millisecond {
		t.Errorf("options of a URL: %+v, %v", o, err)
	}
	for _, text := range []string{
		"mongodb://u:s3cret@localhost/?w=1",
		"mongodb://u:s3cret@localhost/?w=0",
		"mongodb://u:s3cret@localhost/?w=three",
		"mongodb://u:s3cret@localhost/?journal=false",
		"mongodb://u:s3cret@localhost/?retryWrites=false",
		"mongodb://u:s3cret@localhost/?readPreference=secondaryPreferred",
		"mongodb://u:s3cret@localhost/?readConcernLevel=local",
		"mongodb://u:s3cret@localhost/?loadBalanced=true",
		"mongodb://u:s3cret@localhost/?timeoutMS=soon",
		"mongodb://u:s3cret@localhost/?replicaSet=a&directConnection=maybe",
		"mongodb://u:s3cret@localhost/admin",
		"mongodb://u:s3cret@localhost/local",
		"mongodb://u:s3cret@localhost/a.b",
		"mongodb://u:s3cret@localhost/a/b",
		"mongodb://u:s3cret@localhost/a%24b",
		"mongodb://u:s3cret@localhost/" + strings.Repeat("a", 64),
		"mongodb://u:s3cret@/",
		"mongodb:",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = clientOptions(u)
		if !errors.Is(err, store.ErrInvalid) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want ErrInvalid and no password", text, err)
		}
	}
}

// TestOpenRefuses holds that what cannot keep the port's promises is refused with the cure.
func TestOpenRefuses(t *testing.T) {
	stepped, err := mongofake.Start(mongofake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stepped.Stop)
	stepped.StepDown()
	for what, c := range map[string]struct {
		url, says string
		want      error
	}{
		"a standalone server": {fakeURL(t, mongofake.Options{Standalone: true}), "rs.initiate()", store.ErrInvalid},
		"a router":            {fakeURL(t, mongofake.Options{Router: true}), "replica set", store.ErrInvalid},
		"an old server":       {fakeURL(t, mongofake.Options{WireVersion: mongofake.MongoDB44}), "5.0", store.ErrInvalid},
		"a secondary":         {stepped.URL("test"), "no primary", store.ErrUnavailable},
		"another set":         {fakeURL(t, mongofake.Options{}) + "?replicaSet=other", "no primary", store.ErrUnavailable},
		"nobody":              {"mongodb://127.0.0.1:1/test", "no primary", store.ErrUnavailable},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			q.Set("serverSelectionTimeoutMS", "300")
			u.RawQuery = q.Encode()
			if _, err := open(t.Context(), u, schema, store.DriverOptions{}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %v that says %q", err, c.want, c.says)
			}
		})
	}
	u, _ := url.Parse(fakeURL(t, mongofake.Options{WireVersion: mongofake.MongoDB50}))
	b, err := open(t.Context(), u, schema, store.DriverOptions{})
	if err != nil {
		t.Fatalf("the oldest server: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := open(t.Context(), u, store.Schema{{}}, store.DriverOptions{}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a bad schema: %v", err)
	}
}

// TestMigrateAtOnce has several instances migrate one database, with documents in it, and holds that opening makes nothing.
func TestMigrateAtOnce(t *testing.T) {
	address := fakeURL(t, mongofake.Options{})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var all []*Backend
	for range 6 {
		b, err := connect(ctx, u, schema, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		all = append(all, b)
	}
	plan, err := all[0].Plan(ctx)
	if err != nil || len(plan) != 2*len(schema) || !strings.HasPrefix(plan[0], `db.runCommand({"create":"users"`) || !strings.Contains(plan[3], `"unique.by_hash"`) {
		t.Errorf("the plan of an empty database: %q, %v", plan, err)
	}
	var migrating sync.WaitGroup
	for _, b := range all {
		migrating.Go(func() {
			if err := b.Migrate(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	migrating.Wait()
	for _, b := range all {
		if plan, err := b.Plan(ctx); len(plan) > 0 || err != nil {
			t.Errorf("left to do: %q, %v", plan, err)
		}
	}
	fill(t, all[0])
	wider := slices.Clone(schema)
	wider[0].Indexes = append(slices.Clone(wider[0].Indexes), store.Index{Name: "by_rank", Fields: []string{"rank"}, Unique: true})
	b, _ := openBackend(t, address, wider)
	if n, err := b.Count(ctx, noon, "users", store.Range{Index: "by_rank", Eq: []string{"1"}}); n == 0 || err != nil {
		t.Errorf("a new index over old documents finds %d, %v", n, err)
	}
}

// TestComesToExpire has a collection whose documents now may expire: those that there are do not.
func TestComesToExpire(t *testing.T) {
	address, ctx := fakeURL(t, mongofake.Options{}), t.Context()
	index := []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}
	before, _ := openBackend(t, address, store.Schema{{Name: "things", Indexes: index}})
	old := store.Doc{ID: "old", Keys: map[string]string{"name": "n"}}
	if err := before.Commit(ctx, noon, []store.Op{store.Insert("things", old)}); err != nil {
		t.Fatal(err)
	}
	after, _ := openBackend(t, address, store.Schema{{Name: "things", Indexes: index, Expires: true}})
	docs, err := after.Range(ctx, noon, "things", store.Range{Index: "by_name", Limit: 5})
	n, err2 := after.Count(ctx, noon, "things", store.Range{Index: "by_name"})
	swept, err3 := after.Sweep(ctx, noon, "things", 5)
	if len(docs) != 1 || !docs[0].ExpiresAt.IsZero() || n != 1 || swept != 0 || err != nil || err2 != nil || err3 != nil {
		t.Errorf("%v, %d counted, %d swept, %v, %v, %v", docs, n, swept, err, err2, err3)
	}
	taken := &store.TakenError{}
	if err := after.Commit(ctx, noon, []store.Op{store.Insert("things", store.Doc{ID: "x", Keys: old.Keys})}); !errors.As(err, &taken) {
		t.Errorf("a key of before: %v", err)
	}
}

// TestForeignStructure has the database hold what is not of this adapter's making.
func TestForeignStructure(t *testing.T) {
	index := func(d bson.D) bson.D {
		return bson.D{{Key: "createIndexes", Value: "users"}, {Key: "indexes", Value: bson.A{d}}}
	}
	key := bson.E{Key: "key", Value: bson.D{{Key: "k.tenant", Value: 1}, {Key: "k.email", Value: 1}, {Key: "_id", Value: 1}}}
	for what, c := range map[string]struct {
		command bson.D
		refused bool
	}{
		"another collection":                    {bson.D{{Key: "create", Value: "others"}}, false},
		"the collection":                        {bson.D{{Key: "create", Value: "users"}}, false},
		"the collection with a collation":       {bson.D{{Key: "create", Value: "users"}, {Key: "collation", Value: bson.D{{Key: "locale", Value: "de"}}}}, true},
		"the same index":                        {index(bson.D{{Key: "name", Value: "order.by_email"}, key}), false},
		"another index":                         {index(bson.D{{Key: "name", Value: "mine"}, {Key: "key", Value: bson.D{{Key: "b", Value: 1}}}}), false},
		"an index of the name, of other fields": {index(bson.D{{Key: "name", Value: "order.by_email"}, {Key: "key", Value: bson.D{{Key: "k.email", Value: 1}}}}), true},
		"an index of the name that is unique":   {index(bson.D{{Key: "name", Value: "order.by_email"}, key, {Key: "unique", Value: true}}), true},
		"a unique index that is not partial":    {index(bson.D{{Key: "name", Value: "unique.by_email"}, {Key: "key", Value: bson.D{{Key: "u.by_email", Value: 1}}}, {Key: "unique", Value: true}}), true},
	} {
		u, err := url.Parse(fakeURL(t, mongofake.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		b, err := connect(t.Context(), u, schema, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		if err := b.database.RunCommand(t.Context(), c.command).Err(); err != nil {
			t.Fatal(err)
		}
		if err := b.Migrate(t.Context()); errors.Is(err, store.ErrInvalid) != c.refused || !c.refused && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestMigrateMeetsDuplicates has documents that a new unique index does not let be.
func TestMigrateMeetsDuplicates(t *testing.T) {
	address, ctx := fakeURL(t, mongofake.Options{}), t.Context()
	b, _ := openBackend(t, address, store.Schema{{Name: "users"}})
	for _, id := range []string{"1", "2"} { // as a release might have left them that lost its index
		if _, err := b.database.Collection("users").InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "u", Value: bson.D{{Key: "by_email", Value: "x"}}}}); err != nil {
			t.Fatal(err)
		}
	}
	u, _ := url.Parse(address)
	again, err := connect(ctx, u, schema, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if err := again.Migrate(ctx); err == nil || !strings.Contains(err.Error(), "E11000") {
		t.Errorf("migrate: %v", err)
	}
}

// TestClosed holds that a backend that is closed while calls are under way answers no more, and that Close ends.
func TestClosed(t *testing.T) {
	b, _ := openBackend(t, fakeURL(t, mongofake.Options{}), schema)
	var working sync.WaitGroup
	for i := range 8 {
		working.Go(func() {
			for n := 0; ; n++ {
				d := store.Doc{ID: fmt.Sprint(i, "-", n)}
				err := b.Commit(context.Background(), noon, []store.Op{store.Insert("users", d), store.Insert("codes", d)})
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, store.ErrUncertain) {
					t.Errorf("a commit: %v", err)
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	working.Wait()
}
