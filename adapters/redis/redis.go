// Package redis keeps documents in Redis (https://redis.io) 6.2 or later, or Valkey (https://valkey.io).
//
// Each call is one Lua script, which Redis runs alone: a commit checks everything and then writes everything, a range is read
// whole. All keys begin with {prefix}: and so share a slot of a cluster:
//
//	{portico}:d:<collection>:<id>     a hash for each document: m is its version, expiry and keys, b its body
//	{portico}:i:<collection>:         a sorted set of the ids, and
//	{portico}:i:<collection>:<index>  one of each index: the joined keys and the id, ordered by their bytes
//	{portico}:e:<collection>          a sorted set of the ids that expire, by the millisecond
//	{portico}:schema                  a hash: which indexes are kept, and a generation that changes when one is added
//
// A unique index needs no key of its own: who holds a key is seen in the index.
//
// Redis never expires a key here: expiry is judged by the caller's clock.
package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/ports/store"
)

// Driver opens redis://, rediss:// (TLS) and redis+unix:// (a socket).
var Driver = store.Driver{Schemes: []string{"redis", "rediss", "redis+unix"}, Open: standard.open}

// client is a *goredis.Client or a *goredis.ClusterClient.
type client interface {
	goredis.Scripter
	Close() error
}

// Backend implements store.Backend.
type Backend struct {
	client  client
	scripts *scripts
	keys    []string // see lua/common.lua
	schema  store.Schema
	tables  map[string]*table
	closed  atomic.Bool

	structure atomic.Pointer[structure] // as it was last read
}

var (
	_ store.Backend    = (*Backend)(nil)
	_ store.Structured = (*Backend)(nil)
)

// open connects, and refuses a server that would break the port's rules.
func (s *scripts) open(ctx context.Context, u *url.URL, schema store.Schema, o store.DriverOptions) (store.Backend, error) {
	if err := schema.Validate(); err != nil {
		return nil, err
	}
	settings, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if settings.options.TLSConfig != nil && settings.options.TLSConfig.InsecureSkipVerify {
		o.Logger.WarnContext(ctx, "redis: skip_verify is set: whoever is in between can read and change everything")
	}
	c, err := connect(ctx, settings, o.Logger)
	if err != nil {
		return nil, err
	}
	b := &Backend{client: c, scripts: s, keys: scriptKeys(settings.prefix), schema: schema, tables: map[string]*table{probeTable.Name: probeTable}}
	for _, c := range schema {
		b.tables[c.Name] = newTable(c)
	}
	if _, err = b.reload(ctx); err == nil {
		err = b.probe(ctx, o.Logger)
	}
	if err != nil {
		return nil, errors.Join(refusal(err), b.Close())
	}
	return b, nil
}

func scriptKeys(prefix string) []string {
	root := "{" + prefix + "}:"
	return []string{root + "schema", root + "nothing"}
}

// Ping implements store.Backend. A replica does not answer it.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	_, err := b.read(ctx, b.scripts.get, time.Time{}, []any{nil, "", 0})
	return err
}

// Close implements store.Backend.
func (b *Backend) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.client.Close()
}

func (b *Backend) usable(ctx context.Context) error {
	if b.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

func (b *Backend) table(ctx context.Context, name string) (*table, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	t := b.tables[name]
	if t == nil {
		return nil, fmt.Errorf("%w: no collection %q", store.ErrInvalid, name)
	}
	return t, nil
}

// table is a collection, and how it is told to scripts.
type table struct {
	store.Collection
	fields []string
	bare   []any            // without indexes
	ranged map[string][]any // with one of them
}

func newTable(c store.Collection) *table {
	// Sorted, so that keys are packed alike under a schema that has grown: the scripts compare what is packed.
	t := &table{Collection: c, fields: slices.Sorted(slices.Values(c.Fields())), bare: definition(c.Name)}
	t.ranged = map[string][]any{"": definition(c.Name, store.Index{})}
	for _, x := range c.Indexes {
		t.ranged[x.Name] = definition(c.Name, x)
	}
	return t
}

// definition is what the scripts' function collection reads.
func definition(name string, indexes ...store.Index) []any {
	args := []any{name, len(indexes)}
	for _, x := range indexes {
		args = append(args, x.Name, x.Unique, len(x.Fields))
		for _, f := range x.Fields {
			args = append(args, f)
		}
	}
	return args
}

// probeTable is in no schema: its name is not one that a schema may have.
var probeTable = newTable(store.Collection{Name: "$probe", Expires: true, Indexes: []store.Index{{Name: "by_key", Fields: []string{"key"}, Unique: true}}})

// probe does everything once, so that a right that the user lacks, or a server that only looks like Redis, shows at the start.
// What it writes is expired by its own clock.
func (b *Backend) probe(ctx context.Context, logger *slog.Logger) error {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	name := rand.Text()
	d := store.Doc{ID: name, Body: []byte("{}"), Keys: map[string]string{"key": name}, ExpiresAt: at(2)}
	err := b.Commit(ctx, at(1), []store.Op{store.Insert(probeTable.Name, d)})
	if isOutOfMemory(err) { // what is swept, or ends, may yet make room
		logger.WarnContext(ctx, "redis: the memory that it may use is full: nothing can be written", "error", err)
		return nil
	}
	if err == nil {
		_, err = b.Get(ctx, at(1), probeTable.Name, []string{name})
	}
	for _, offset := range []int{0, 1000} {
		if err == nil {
			_, err = b.Range(ctx, at(2), probeTable.Name, store.Range{Index: "by_key", Offset: offset, Limit: 1})
		}
	}
	if err == nil {
		_, err = b.Count(ctx, at(2), probeTable.Name, store.Range{Index: "by_key", From: "a"})
	}
	if err == nil {
		_, err = b.Sweep(ctx, at(2), probeTable.Name, 1000)
	}
	if err != nil {
		return fmt.Errorf("redis: a first try at reading and writing failed: %w", err)
	}
	return nil
}

// milli is a time as the scripts take it; the zero time, which is never, is 0.
func milli(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}
