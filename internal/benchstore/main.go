// Program benchstore measures the storage port on every engine: make bench-store runs it over the servers that the tests
// use, one document size, one client, three sizes of a collection. It prints a table and how the cost grows.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/mongo"
	"github.com/portico-sso/portico/adapters/mysql"
	"github.com/portico-sso/portico/adapters/postgres"
	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

var schema = store.Schema{
	{Name: "users", Indexes: []store.Index{
		{Name: "by_email", Fields: []string{"tenant", "email"}, Unique: true},
		{Name: "by_created", Fields: []string{"tenant", "created"}},
	}},
	{Name: "outbox"},
}

const pageSize = 50

func main() {
	sizes := flag.String("sizes", "1000,10000,100000", "documents in the collection")
	only := flag.String("engines", "", "comma list of engines; all that there are when empty")
	each := flag.Duration("each", 400*time.Millisecond, "how long each operation is measured")
	flag.Parse()
	if err := run(*sizes, *only, *each); err != nil {
		fmt.Fprintln(os.Stderr, "benchstore:", err)
		os.Exit(1)
	}
}

func run(sizes, only string, each time.Duration) error {
	dir, err := os.MkdirTemp("", "portico-benchstore-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Printf("%s, %d cores, %s; one client; bodies of %d bytes, pages of %d\n\n", runtime.GOARCH, runtime.NumCPU(), runtime.Version(), len(body), pageSize)
	for _, t := range targets(dir) {
		if only != "" && !slices.Contains(strings.Split(only, ","), t.name) {
			continue
		}
		if t.url == "" {
			fmt.Printf("%s: no server (%s)\n\n", t.name, t.variable)
			continue
		}
		if err := t.measure(sizes, each); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// target is one engine.
type target struct {
	name, url, variable string
	driver              store.Driver
}

func targets(dir string) []target {
	all := []target{{name: "memory", url: "memory:", driver: memory.Driver}, {name: "sqlite", url: "sqlite://" + filepath.Join(dir, "bench.db"), driver: sqlite.Driver}}
	drivers := map[engines.Engine]store.Driver{engines.Postgres: postgres.Driver, engines.Postgres18: postgres.Driver, engines.MariaDB: mysql.Driver,
		engines.MySQL: mysql.Driver, engines.Redis: redis.Driver, engines.Valkey: redis.Driver, engines.Mongo: mongo.Driver}
	for _, e := range engines.All {
		all = append(all, target{name: string(e), url: os.Getenv(e.Variable()), variable: e.Variable(), driver: drivers[e]})
	}
	return all
}

func (t target) measure(sizes string, each time.Duration) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%s\tdocuments\tper second\tp50\tp99\tagainst the fewest\t\n", t.name)
	first := map[string]time.Duration{}
	for text := range strings.SplitSeq(sizes, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n < 10*pageSize {
			return fmt.Errorf("%q is no size of at least %d", text, 10*pageSize)
		}
		if err := t.measureAt(n, each, table, first); err != nil {
			return err
		}
	}
	fmt.Fprintln(table)
	return table.Flush()
}

// measureAt measures with n documents in the collection, in a database of its own where the engine has such, else
// after emptying.
func (t target) measureAt(n int, each time.Duration, table io.Writer, first map[string]time.Duration) error {
	ctx := context.Background()
	s, end, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := fill(ctx, s, n); err != nil {
		return err
	}
	for _, o := range operations(ctx, s, n) {
		took, err := repeat(each, o.run)
		if err != nil {
			return fmt.Errorf("%s at %d: %w", o.name, n, err)
		}
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		growth := ""
		if base, ok := first[o.name]; ok {
			growth = fmt.Sprintf("%.2f", float64(p50)/float64(base))
		} else {
			first[o.name] = p50
		}
		var sum time.Duration
		for _, d := range took {
			sum += d
		}
		fmt.Fprintf(table, "%s\t%d\t%.0f\t%s\t%s\t%s\t\n", o.name, n, float64(len(took))/sum.Seconds(), show(p50), show(p99), growth)
	}
	return nil
}

func show(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond))
}

// repeat runs an operation for so long, at least ten times, after a few that are not counted.
func repeat(each time.Duration, run func(i int) error) ([]time.Duration, error) {
	for i := range 5 {
		if err := run(i); err != nil {
			return nil, err
		}
	}
	var took []time.Duration
	for began := time.Now(); len(took) < 10 || time.Since(began) < each; {
		start := time.Now()
		if err := run(5 + len(took)); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took, nil
}

// open makes an empty store; end removes what was in it.
func (t target) open(ctx context.Context) (*store.Store, func(), error) {
	u, err := url.Parse(t.url)
	if err != nil {
		return nil, nil, err
	}
	b, err := t.driver.Open(ctx, u, schema, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	s, err := store.New(b, schema, store.Options{Now: time.Now})
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	if err := errors.Join(s.Migrate(ctx), clean(ctx, s)); err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, func() { _, _ = clean(ctx, s), s.Close() }, nil
}

func clean(ctx context.Context, s *store.Store) error {
	for _, c := range schema {
		for {
			docs, err := s.Range(ctx, c.Name, store.Range{Limit: store.MaxCommitOps})
			if err != nil || len(docs) == 0 {
				if err != nil {
					return err
				}
				break
			}
			ops := make([]store.Op, len(docs))
			for i, d := range docs {
				ops[i] = store.Delete(c.Name, d)
			}
			if err := s.Commit(ctx, ops...); err != nil {
				return err
			}
		}
	}
	return nil
}

var body = bytes.Repeat([]byte("x"), 1000)

func user(i int) store.Doc {
	return store.Doc{ID: userID(i), Body: body, Keys: map[string]string{
		"tenant": "acme", "email": email(i), "created": fmt.Sprintf("%016d", i)}}
}

func userID(i int) string { return fmt.Sprintf("user-%08d", i) }
func email(i int) string  { return fmt.Sprintf("user%08d@example.com", i) }

func fill(ctx context.Context, s *store.Store, n int) error {
	for i := 0; i < n; i += store.MaxCommitOps {
		var ops []store.Op
		for j := i; j < min(n, i+store.MaxCommitOps); j++ {
			ops = append(ops, store.Insert("users", user(j)))
		}
		if err := s.Commit(ctx, ops...); err != nil {
			return err
		}
	}
	return nil
}

type operation struct {
	name string
	run  func(i int) error
}

func operations(ctx context.Context, s *store.Store, n int) []operation {
	at := func(i int) int { return i * 7919 % n } // all over the collection
	page := func(r store.Range) error {
		r.Index, r.Eq, r.Limit = "by_created", []string{"acme"}, pageSize
		docs, err := s.Range(ctx, "users", r)
		if err == nil && len(docs) != pageSize {
			err = fmt.Errorf("a page of %d", len(docs))
		}
		return err
	}
	middle := user(n / 2)
	versions := map[int]int64{}
	return []operation{
		{"get", func(i int) error { _, err := s.Get(ctx, "users", userID(at(i))); return err }},
		{"unique lookup", func(i int) error {
			docs, err := s.Range(ctx, "users", store.Range{Index: "by_email", Eq: []string{"acme", email(at(i))}, Limit: 1})
			if err == nil && len(docs) != 1 {
				err = errors.New("nobody has the address")
			}
			return err
		}},
		{"first page", func(int) error { return page(store.Range{}) }},
		{"middle by cursor", func(int) error { return page(store.Range{After: s.Cursor("users", "by_created", middle)}) }},
		{"middle by offset", func(int) error { return page(store.Range{Offset: n / 2}) }},
		{"count", func(int) error {
			got, err := s.Count(ctx, "users", store.Range{Index: "by_created", Eq: []string{"acme"}})
			if err == nil && got != int64(n) {
				err = fmt.Errorf("counted %d", got)
			}
			return err
		}},
		{"update and outbox", func(i int) error {
			d := user(at(i))
			d.Version = versions[at(i)] + 1
			versions[at(i)] = d.Version
			return s.Commit(ctx, store.Update("users", d), store.Insert("outbox", store.Doc{ID: fmt.Sprint("event-", i), Body: body[:200]}))
		}},
	}
}
