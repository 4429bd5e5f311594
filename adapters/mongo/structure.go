package mongo

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/portico-sso/portico/ports/store"
)

// Names of indexes. That of an order says whether it ends in the expiry, since a collection may come to expire.
func orderName(c store.Collection, x store.Index) string {
	if c.Expires {
		return "living." + x.Name
	}
	return "order." + x.Name
}

func uniqueName(x store.Index) string { return "unique." + x.Name }

const expiryName = "expiry"

// Plan implements store.Structured: each step is a command in MongoDB's extended JSON.
func (b *Backend) Plan(ctx context.Context) ([]string, error) {
	commands, err := b.missing(ctx)
	if err != nil {
		return nil, err
	}
	var steps []string
	for _, c := range commands {
		text, err := bson.MarshalExtJSON(c, false, false)
		if err != nil {
			return nil, err
		}
		steps = append(steps, "db.runCommand("+string(text)+")")
	}
	return steps, nil
}

// looks is how often Migrate looks for what is missing, before it gives up on another instance that makes the same.
const looks = 10

// building is how long the building of one collection's indexes may take.
const building = 12 * time.Hour

// Migrate implements store.Structured.
func (b *Backend) Migrate(ctx context.Context) error {
	for range looks {
		commands, err := b.missing(ctx)
		if err != nil || len(commands) == 0 {
			return err
		}
		for _, c := range commands {
			if err := b.build(ctx, c); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%w: indexes that were made are gone again", store.ErrConflict)
}

// build runs one command of the plan. What another instance does at the same time is no error: Migrate looks again.
func (b *Backend) build(ctx context.Context, command bson.D) error {
	step, cancel := context.WithTimeout(ctx, building)
	defer cancel()
	err := b.database.RunCommand(step, command).Err()
	if hasCode(err, namespaceExists, indexBuildRunning, writeConflict, snapshotUnavailable) {
		return nil
	}
	return b.outcome(ctx, err)
}

// missing are the commands that bring the database up to the schema. They only add.
func (b *Backend) missing(ctx context.Context) ([]bson.D, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	have, err := b.collections(ctx)
	if err != nil {
		return nil, err
	}
	var commands []bson.D
	wait := bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}}
	for _, c := range b.schema {
		var indexes map[string]bson.Raw
		if have[c.Name] {
			if indexes, err = b.indexes(ctx, c.Name); err != nil {
				return nil, err
			}
		} else {
			commands = append(commands, bson.D{{Key: "create", Value: c.Name}, wait})
		}
		wanted, err := lacking(indexes, c)
		if err != nil {
			return nil, err
		}
		if len(wanted) > 0 {
			// A build need not wait for a member that is down.
			commands = append(commands, bson.D{{Key: "createIndexes", Value: c.Name}, {Key: "indexes", Value: wanted},
				{Key: "commitQuorum", Value: "majority"}, wait})
		}
	}
	return commands, nil
}

// collections are the names of those that there are. One of another kind or collation than ours is refused.
func (b *Backend) collections(ctx context.Context) (map[string]bool, error) {
	step, cancel := b.step(ctx)
	defer cancel()
	list, err := b.database.ListCollectionSpecifications(step, bson.D{})
	if err != nil {
		return nil, b.outcome(ctx, err)
	}
	have := make(map[string]bool, len(list))
	for _, c := range list {
		if _, ours := b.tables[c.Name]; !ours {
			continue
		}
		_, err := c.Options.LookupErr("collation")
		if c.Type != "collection" || err == nil {
			return nil, fmt.Errorf("%w: %s is no plain collection, or has a collation of its own; give Portico a database of its own", store.ErrInvalid, c.Name)
		}
		have[c.Name] = true
	}
	return have, nil
}

// indexes are the specifications of a collection's indexes, by name.
func (b *Backend) indexes(ctx context.Context, collection string) (map[string]bson.Raw, error) {
	step, cancel := b.step(ctx)
	defer cancel()
	cursor, err := b.database.Collection(collection).Indexes().List(step)
	if err != nil {
		return nil, b.outcome(ctx, err)
	}
	var list []bson.Raw
	if err := cursor.All(step, &list); err != nil {
		return nil, b.outcome(ctx, err)
	}
	have := make(map[string]bson.Raw, len(list))
	for _, raw := range list {
		name, _ := raw.Lookup("name").StringValueOK()
		have[name] = raw
	}
	return have, nil
}

// index is the specification of one index.
type index struct {
	Name    string `bson:"name"`
	Key     bson.D `bson:"key"`
	Unique  bool   `bson:"unique,omitempty"`
	Partial bson.D `bson:"partialFilterExpression,omitempty"`
}

// lacking are the indexes of a collection that there are not.
func lacking(have map[string]bson.Raw, c store.Collection) ([]index, error) {
	var list []index
	for _, x := range wanted(c) {
		raw, ok := have[x.Name]
		if !ok {
			list = append(list, x)
			continue
		}
		if !x.same(raw) {
			return nil, fmt.Errorf("%w: the index %s of %s is not the one that is asked for; drop it and migrate again", store.ErrInvalid, x.Name, c.Name)
		}
	}
	return list, nil
}

func wanted(c store.Collection) []index {
	var list []index
	for _, x := range c.Indexes {
		order := index{Name: orderName(c, x)}
		for _, f := range x.Fields {
			order.Key = append(order.Key, bson.E{Key: keyPath(f), Value: int32(1)})
		}
		order.Key = append(order.Key, bson.E{Key: "_id", Value: int32(1)})
		if c.Expires {
			order.Key = append(order.Key, bson.E{Key: "e", Value: int32(1)})
		}
		list = append(list, order)
		if x.Unique {
			path := uniquePath(x.Name)
			list = append(list, index{Name: uniqueName(x), Key: bson.D{{Key: path, Value: int32(1)}}, Unique: true,
				Partial: bson.D{{Key: path, Value: bson.D{{Key: "$exists", Value: true}}}}})
		}
	}
	if c.Expires {
		list = append(list, index{Name: expiryName, Key: bson.D{{Key: "e", Value: int32(1)}, {Key: "_id", Value: int32(1)}}})
	}
	return list
}

// same says whether an index that there is is this one.
func (x index) same(raw bson.Raw) bool {
	for _, name := range []string{"sparse", "hidden", "collation", "expireAfterSeconds"} {
		if _, err := raw.LookupErr(name); err == nil {
			return false
		}
	}
	var have index
	return bson.Unmarshal(raw, &have) == nil && have.Unique == x.Unique && equal(have.Key, x.Key) && equal(have.Partial, x.Partial)
}

// equal compares as text, where 1, 1.0 and NumberLong(1) are the same.
func equal(a, b bson.D) bool {
	left, err1 := bson.MarshalExtJSON(bson.D{{Key: "", Value: a}}, false, false)
	right, err2 := bson.MarshalExtJSON(bson.D{{Key: "", Value: b}}, false, false)
	return err1 == nil && err2 == nil && bytes.Equal(left, right)
}
