package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	return c.insist(ctx)
}

// Between two tries of a commit that met another's passes a random time up to one that doubles each time.
const (
	firstPause = 2 * time.Millisecond
	mostPause  = 50 * time.Millisecond
)

// insist tries again where another transaction is in the way, as other engines wait for a lock: whether a guard fails shows
// when the other has ended. One whose client was lost stays for a minute by MongoDB's default.
func (c *commit) insist(ctx context.Context) error {
	end := time.NewTimer(c.patience)
	defer end.Stop()
	for most := firstPause; ; most = min(2*most, mostPause) {
		err := c.try(ctx)
		if !errors.Is(err, errMet) {
			return err
		}
		pause := time.NewTimer(rand.N(most))
		select {
		case <-pause.C:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-end.C:
			err = fmt.Errorf("%w: %v", store.ErrUnavailable, err) //nolint:errorlint // it is no conflict any more
		}
		pause.Stop()
		return err
	}
}

func (c *commit) try(ctx context.Context) error {
	var err error
	if len(c.ops) == 1 {
		err = c.alone(ctx, c.ops[0])
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

// alone commits one operation by one write, which is atomic by itself.
func (c *commit) alone(ctx context.Context, op store.Op) error {
	var a attempts
	step, cancel := a.decisive(ctx, c.patience)
	defer cancel()
	t := c.tables[op.Collection]
	met, err := t.write(step, op, c.now)
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

// tries is how often the end of a transaction is asked for: by itself, the driver waits for an answer that does not come.
const tries = 3

// together commits the operations in one transaction.
func (c *commit) together(ctx context.Context, free bool) (err error) {
	s, err := c.client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return c.outcome(ctx, err)
	}
	var a attempts
	defer func() {
		// A transaction that met another's is ended by the server.
		c.end(ctx, s, err == nil || errors.Is(err, errMet) || !a.sent)
	}()
	if err := s.StartTransaction(options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(durable())); err != nil {
		return c.outcome(ctx, err)
	}
	inside := a.watched(mongo.NewSessionContext(ctx, s))
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
	return c.finish(ctx, s)
}

// finish commits the transaction. To ask for it again is no second commit.
func (c *commit) finish(ctx context.Context, s *mongo.Session) (err error) {
	var a attempts
	for range tries {
		step, cancel := a.decisive(ctx, c.patience/tries)
		err = s.CommitTransaction(step)
		cancel()
		if !hasLabel(err, unknownCommit) && !mongo.IsTimeout(err) {
			break
		}
	}
	return c.decided(ctx, a, err)
}

// end ends a session. A transaction that may still be open would stand in the way of others until the server gives it up,
// which takes a minute: where to abort it is not answered, it is ended in the background.
func (b *Backend) end(ctx context.Context, s *mongo.Session, ended bool) {
	var a attempts
	step, cancel := a.decisive(ctx, aborting)
	defer cancel()
	id := s.ID()
	s.EndSession(step)
	if !ended && !a.answered {
		go b.kill(id)
	}
}

const (
	aborting  = time.Second      // how long one try to end a transaction may take
	killing   = 30 * time.Second // how long it is tried
	killPause = 250 * time.Millisecond
)

// kill ends what goes on in a session, by a command that every user may run for their own ones.
func (b *Backend) kill(session bson.Raw) {
	for range killing / (aborting + killPause) {
		var a attempts
		step, cancel := a.decisive(context.Background(), aborting)
		_ = b.client.Database("admin").RunCommand(step, bson.D{{Key: "killSessions", Value: bson.A{session}}}).Err()
		cancel()
		if a.answered || b.closed.Load() {
			return
		}
		time.Sleep(killPause)
	}
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
	step, cancel := c.step(ctx)
	defer cancel()
	r, err := t.majority.BulkWrite(step, models)
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
			if err := c.evict(ctx, t, expired); err != nil {
				return err
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

func (c *commit) evict(ctx context.Context, t *table, expired []mongo.WriteModel) error {
	step, cancel := c.step(ctx)
	defer cancel()
	_, err := t.majority.BulkWrite(step, expired)
	return c.outcome(ctx, err)
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
		found, removed, err := b.sweep(ctx, t, now, page)
		total += removed
		if err != nil || found < page || total == limit {
			return total, b.outcome(ctx, err)
		}
	}
}

func (b *Backend) sweep(ctx context.Context, t *table, now time.Time, limit int) (found, removed int, err error) {
	ctx, cancel := b.step(ctx)
	defer cancel()
	dead := bson.E{Key: "e", Value: bson.D{{Key: "$lte", Value: now.UnixMilli()}}}
	o := options.Find().SetHint(expiryName).SetSort(bson.D{{Key: "e", Value: 1}, {Key: "_id", Value: 1}}).
		SetLimit(int64(limit)).SetBatchSize(int32(limit)).SetProjection(bson.D{{Key: "_id", Value: 1}})
	old, err := documents(ctx, t.majority, bson.D{dead}, o)
	if err != nil || len(old) == 0 {
		return 0, 0, err
	}
	r, err := t.majority.DeleteMany(ctx, append(idFilter(idsOf(old)), dead)) // another commit may have renewed one
	if err != nil {
		return len(old), 0, err
	}
	return len(old), int(r.DeletedCount), nil
}
