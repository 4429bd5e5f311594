// Package mongo keeps documents in a MongoDB replica set (https://www.mongodb.com), through MongoDB's own driver.
//
// A collection is a collection of documents
//
//	{_id: id, v: version, b: body, e: expiry, k: {<field>: key}, u: {<index>: joined keys}, t: touches}
//
// where e is in Unix milliseconds (the greatest number for never), u leaves out the indexes to which the document is not
// held, and t is written by Check alone. Behind each index stands one over (k.<field>…, _id), and where documents expire
// over e as well, so that counting and skipping read it alone; behind each unique one another, partial, over u.<index>.
// Keys are strings under the simple collation, which compares their bytes (and would compare binary data by its length
// first).
//
// A commit of one operation is one conditional write, which the driver repeats where its answer is lost and the server
// then answers without applying it twice. Several are one transaction on a snapshot. Both wait for a majority, and reads
// come from the primary, out of what a majority has.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/portico-sso/portico/ports/store"
)

// Driver opens mongodb:// and mongodb+srv:// URLs of replica sets. Their parameters are those of MongoDB's connection
// strings; their path names the database, by default portico.
var Driver = store.Driver{Schemes: []string{"mongodb", "mongodb+srv"}, Open: open}

// Backend implements store.Backend and store.Structured.
type Backend struct {
	client   *mongo.Client
	database *mongo.Database
	patience time.Duration // how long one call of the driver may take
	schema   store.Schema
	tables   map[string]*table
	closed   atomic.Bool
}

var (
	_ store.Backend    = (*Backend)(nil)
	_ store.Structured = (*Backend)(nil)
)

// table is one collection.
type table struct {
	store.Collection
	fields []string      // of all indexes: what k holds
	unique []store.Index // what u holds

	majority *mongo.Collection // reads what a majority has; writes
	snapshot *mongo.Collection // reads all of it at one instant
}

func open(ctx context.Context, u *url.URL, schema store.Schema, _ store.DriverOptions) (store.Backend, error) {
	b, err := connect(ctx, u, schema, nil)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// connect opens a backend. Tests listen in by a monitor of their own.
func connect(ctx context.Context, u *url.URL, schema store.Schema, monitor *event.CommandMonitor) (*Backend, error) {
	if err := schema.Validate(); err != nil {
		return nil, err
	}
	o, name, err := clientOptions(u)
	if err != nil {
		return nil, err
	}
	client, err := mongo.Connect(o.SetMonitor(watch(monitor)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	b := &Backend{client: client, database: client.Database(name), patience: *o.Timeout, schema: schema, tables: map[string]*table{}}
	for _, c := range schema {
		b.tables[c.Name] = b.table(c)
	}
	if err := b.suited(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("mongodb: %s: %w", u.Host, err), b.Close())
	}
	return b, nil
}

func (b *Backend) table(c store.Collection) *table {
	t := &table{Collection: c, fields: c.Fields(), majority: b.database.Collection(c.Name)}
	t.snapshot = t.majority.Clone(collectionOptions().SetReadConcern(readconcern.Snapshot()))
	for _, x := range c.Indexes {
		if x.Unique {
			t.unique = append(t.unique, x)
		}
	}
	return t
}

// oldest is the wire version of MongoDB 5.0, which reads snapshots outside of transactions.
const oldest = 13

// suited refuses servers that cannot keep what the port promises.
func (b *Backend) suited(ctx context.Context) error {
	var hello struct {
		SetName        string `bson:"setName"`
		Message        string `bson:"msg"`
		MaxWireVersion int    `bson:"maxWireVersion"`
	}
	step, cancel := b.step(ctx)
	defer cancel()
	err := b.client.Database("admin").RunCommand(step, bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	switch {
	case err != nil:
		err = b.outcome(ctx, err)
		if errors.Is(err, store.ErrUnavailable) {
			err = fmt.Errorf("no primary answers; if the server is new, make it a replica set: run rs.initiate() in mongosh once (%w)", err)
		}
		return err
	case hello.Message == "isdbgrid":
		return fmt.Errorf("%w: this is a router of a sharded cluster; name a replica set", store.ErrInvalid)
	case hello.SetName == "":
		return fmt.Errorf("%w: this is a standalone server, which has no transactions. One server is enough, as a replica set of one: "+
			"start mongod with --replSet rs0 and run rs.initiate() in mongosh once", store.ErrInvalid)
	case hello.MaxWireVersion < oldest:
		return fmt.Errorf("%w: the server is older than MongoDB 5.0", store.ErrInvalid)
	}
	return nil
}

// Ping implements store.Backend.
func (b *Backend) Ping(ctx context.Context) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	step, cancel := b.step(ctx)
	defer cancel()
	return b.outcome(ctx, b.client.Ping(step, nil))
}

// closing is how long Close waits for calls under way.
const closing = 5 * time.Second

// Close implements store.Backend.
func (b *Backend) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	return b.client.Disconnect(ctx)
}

// step is the context of one call of the driver: also one that has much time does not wait for an answer for ever.
func (b *Backend) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.patience)
}

func (b *Backend) usable(ctx context.Context) error {
	if b.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// find is the collection of a call that may be made.
func (b *Backend) find(ctx context.Context, name string) (*table, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	t := b.tables[name]
	if t == nil {
		return nil, fmt.Errorf("%w: no collection %q", store.ErrInvalid, name)
	}
	return t, nil
}
