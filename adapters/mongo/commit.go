package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/portico-sso/portico/ports/store"
)

// Commit implements store.Backend.
//
// The operations run in the same order in all commits, so that of two that meet, one goes on: MongoDB ends a transaction
// that writes what another is writing, instead of having it wait. Deletes come first and inserts last, so that keys are
// free when they are taken. What that order cannot free, an expired holder's key or one that a later update gives up, is
// freed first in a second try, since it is rare.
func (b *Backend) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	for _, op := range ops {
		if b.tables[op.Collection] == nil {
			return fmt.Errorf("%w: no collection %q", store.ErrInvalid, op.Collection)
		}
	}
	c := commit{Backend: b, now: now, ops: slices.Clone(ops)}
	slices.SortFunc(c.ops, func(a, d store.Op) int {
		return cmp.Or(phase(a)-phase(d), cmp.Compare(a.Collection, d.Collection), cmp.Compare(a.Doc.ID, d.Doc.ID))
	})
	var err error
	if len(ops) == 1 {
		err = c.alone(ctx, ops[0])
	} else {
		err = c.together(ctx, false)
	}
	var taken *store.TakenError
	if errors.As(err, &taken) && c.mayFree(taken.Collection) {
		err = c.together(ctx, true)
	}
	return err
}

func phase(op store.Op) int {
	return [...]int{store.OpDelete: 0, store.OpCheck: 1, store.OpUpdate: 1, store.OpInsert: 2}[op.Kind]
}

// commit is one Commit under way.
type commit struct {
	*Backend
	now time.Time
	ops []store.Op
}

// mayFree says whether a key of the collection may be taken by a document that need not hold it.
func (c *commit) mayFree(collection string) bool {
	updates := 0
	for _, op := range c.ops {
		if op.Kind == store.OpUpdate && op.Collection == collection {
			updates++
		}
	}
	return updates > 1 || c.tables[collection].Expires
}

// guard is the condition that a document stands at a version and lives.
func (t *table) guard(d store.Doc, now time.Time) bson.D {
	filter := bson.D{{Key: "_id", Value: d.ID}, {Key: "v", Value: d.Version}}
	if t.Expires {
		filter = append(filter, bson.E{Key: "e", Value: bson.D{{Key: "$gt", Value: now.UnixMilli()}}})
	}
	return filter
}

// touch is what Check writes. Of two transactions that write one document one fails, and to read it would not do that.
var touch = bson.D{{Key: "$inc", Value: bson.D{{Key: "t", Value: int64(1)}}}}

// decisive is the context of a step that decides a commit. Once begun, it is not given up when ctx ends: that would leave
// in doubt what a moment later is known.
func (b *Backend) decisive(ctx context.Context) (context.Context, *attempts, context.CancelFunc) {
	a := &attempts{}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.patience)
	return context.WithValue(ctx, attemptsKey{}, a), a, cancel
}

// alone commits one operation by one write, which is atomic by itself.
func (c *commit) alone(ctx context.Context, op store.Op) error {
	ctx, a, cancel := c.decisive(ctx)
	defer cancel()
	t := c.tables[op.Collection]
	met, err := t.write(ctx, op, c.now)
	if taken := t.taken(err); taken != nil {
		return taken
	}
	if err := c.decided(ctx, a, err); err != nil {
		return err
	}
	if !met {
		return store.ErrConflict
	}
	return nil
}

// write runs one operation and says whether it met its document.
func (t *table) write(ctx context.Context, op store.Op, now time.Time) (bool, error) {
	switch op.Kind {
	case store.OpInsert:
		_, err := t.majority.InsertOne(ctx, t.inserted(op.Doc))
		return err == nil, err
	case store.OpDelete:
		r, err := t.majority.DeleteOne(ctx, t.guard(op.Doc, now))
		return err == nil && r.DeletedCount == 1, err
	case store.OpCheck:
		r, err := t.majority.UpdateOne(ctx, t.guard(op.Doc, now), touch)
		return err == nil && r.MatchedCount == 1, err
	default:
		r, err := t.majority.ReplaceOne(ctx, t.guard(op.Doc, now), t.written(op.Doc, op.Doc.Version+1))
		return err == nil && r.MatchedCount == 1, err
	}
}

// aborting is how long a transaction that failed may take to end, after which the server ends it by itself.
const aborting = 5 * time.Second

// together commits the operations in one transaction.
func (c *commit) together(ctx context.Context, free bool) error {
	s, err := c.client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return c.outcome(ctx, err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), aborting)
		defer cancel()
		s.EndSession(end) // aborts what is not committed
	}()
	if err := s.StartTransaction(options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(durable())); err != nil {
		return c.outcome(ctx, err)
	}
	inside := mongo.NewSessionContext(ctx, s)
	if free {
		if err := c.release(inside); err != nil {
			return err
		}
	}
	for _, run := range c.runs() {
		if err := c.run(inside, run); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	last, a, cancel := c.decisive(ctx)
	defer cancel()
	return c.decided(last, a, s.CommitTransaction(last))
}

// runs are the operations that go into one command each: of one phase and collection.
func (c *commit) runs() [][]store.Op {
	var runs [][]store.Op
	for i, op := range c.ops {
		if i > 0 && phase(c.ops[i-1]) == phase(op) && c.ops[i-1].Collection == op.Collection {
			runs[len(runs)-1] = append(runs[len(runs)-1], op)
		} else {
			runs = append(runs, []store.Op{op})
		}
	}
	return runs
}

// run writes operations of one collection, all of which must meet their documents.
func (c *commit) run(ctx context.Context, ops []store.Op) error {
	t := c.tables[ops[0].Collection]
	models, must := make([]mongo.WriteModel, 0, len(ops)), 0
	for _, op := range ops {
		if op.Kind != store.OpInsert {
			must++
		}
		models = append(models, t.model(op, c.now))
	}
	return c.bulk(ctx, t, models, must)
}

func (t *table) model(op store.Op, now time.Time) mongo.WriteModel {
	switch op.Kind {
	case store.OpInsert:
		return mongo.NewInsertOneModel().SetDocument(t.inserted(op.Doc))
	case store.OpDelete:
		return mongo.NewDeleteOneModel().SetFilter(t.guard(op.Doc, now))
	case store.OpCheck:
		return mongo.NewUpdateOneModel().SetFilter(t.guard(op.Doc, now)).SetUpdate(touch)
	default:
		return mongo.NewReplaceOneModel().SetFilter(t.guard(op.Doc, now)).SetReplacement(t.written(op.Doc, op.Doc.Version+1))
	}
}

// bulk writes inside a transaction; must is how many documents must be met, of those that are not inserted.
func (c *commit) bulk(ctx context.Context, t *table, models []mongo.WriteModel, must int) error {
	r, err := t.majority.BulkWrite(ctx, models)
	if taken := t.taken(err); taken != nil {
		return taken
	}
	if err != nil {
		return c.outcome(ctx, err)
	}
	if r.MatchedCount+r.DeletedCount != int64(must) {
		return store.ErrConflict
	}
	return nil
}

// release takes away what the operations' documents may have: the places and keys of expired documents, and the former
// keys of those that are updated.
func (c *commit) release(ctx context.Context) error {
	for _, run := range c.runs() {
		t := c.tables[run[0].Collection]
		var expired, former []mongo.WriteModel
		for _, op := range run {
			if op.Kind == store.OpInsert || op.Kind == store.OpUpdate {
				expired = append(expired, t.evictions(op, c.now)...)
			}
			if op.Kind == store.OpUpdate && len(t.unique) > 0 {
				former = append(former, mongo.NewUpdateOneModel().SetFilter(t.guard(op.Doc, c.now)).
					SetUpdate(bson.D{{Key: "$unset", Value: bson.D{{Key: "u", Value: ""}}}}))
			}
		}
		if len(expired) > 0 {
			if _, err := t.majority.BulkWrite(ctx, expired); err != nil {
				return c.outcome(ctx, err)
			}
		}
		if len(former) > 0 {
			if err := c.bulk(ctx, t, former, len(former)); err != nil {
				return err
			}
		}
	}
	return nil
}

// evictions remove expired documents that have the place or a key of the operation's.
func (t *table) evictions(op store.Op, now time.Time) []mongo.WriteModel {
	if !t.Expires {
		return nil
	}
	dead := bson.E{Key: "e", Value: bson.D{{Key: "$lte", Value: now.UnixMilli()}}}
	models := []mongo.WriteModel{mongo.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: op.Doc.ID}, dead})}
	for _, x := range t.unique {
		if key, held := x.Key(op.Doc.Keys); held {
			models = append(models, mongo.NewDeleteOneModel().SetHint(uniqueName(x)).SetFilter(bson.D{{Key: uniquePath(x.Name), Value: key}, dead}))
		}
	}
	return models
}

// sweepPage is how many documents one command of a Sweep removes.
const sweepPage = 1000

// Sweep implements store.Backend.
func (b *Backend) Sweep(ctx context.Context, now time.Time, collection string, limit int) (int, error) {
	t, err := b.find(ctx, collection)
	if err != nil || !t.Expires {
		return 0, err
	}
	for total := 0; ; {
		page := min(limit-total, sweepPage)
		found, removed, err := t.sweep(ctx, now, page)
		total += removed
		if err != nil || found < page || total == limit {
			return total, b.outcome(ctx, err)
		}
	}
}

func (t *table) sweep(ctx context.Context, now time.Time, limit int) (found, removed int, err error) {
	dead := bson.E{Key: "e", Value: bson.D{{Key: "$lte", Value: now.UnixMilli()}}}
	o := options.Find().SetHint(expiryName).SetSort(bson.D{{Key: "e", Value: 1}, {Key: "_id", Value: 1}}).
		SetLimit(int64(limit)).SetBatchSize(int32(limit)).SetProjection(bson.D{{Key: "_id", Value: 1}})
	old, err := documents(ctx, t.majority, bson.D{dead}, o)
	if err != nil || len(old) == 0 {
		return 0, 0, err
	}
	ids := make([]string, len(old))
	for i, d := range old {
		ids[i] = d.ID
	}
	r, err := t.majority.DeleteMany(ctx, append(idFilter(ids), dead)) // another commit may have renewed one
	if err != nil {
		return len(old), 0, err
	}
	return len(old), int(r.DeletedCount), nil
}
