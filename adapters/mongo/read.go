package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/portico-sso/portico/ports/store"
)

// Get implements store.Backend.
func (b *Backend) Get(ctx context.Context, now time.Time, collection string, ids []string) ([]store.Doc, error) {
	t, err := b.find(ctx, collection)
	if err != nil {
		return nil, err
	}
	step, cancel := b.step(ctx)
	defer cancel()
	found, err := documents(step, t.majority, idFilter(ids), options.Find().SetBatchSize(int32(len(ids))))
	if err != nil {
		return nil, b.outcome(ctx, err)
	}
	return t.docs(slices.DeleteFunc(found, func(d document) bool { return !d.live(now) })), nil
}

func idFilter(ids []string) bson.D {
	if len(ids) == 1 {
		return bson.D{{Key: "_id", Value: ids[0]}}
	}
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}
}

// Range implements store.Backend.
func (b *Backend) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	t, err := b.find(ctx, collection)
	if err != nil {
		return nil, err
	}
	q, err := t.query(r, now)
	if err != nil || q.none {
		return nil, err
	}
	var found []document
	err = b.settled(ctx, func(ctx context.Context) (err error) {
		if r.Offset > 0 {
			found, err = b.skipped(ctx, t, q, r)
		} else {
			found, err = documents(ctx, t.snapshot, q.filter, q.page(r))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return t.docs(found), nil
}

// page are the options of a query for one page.
func (q query) page(r store.Range) *options.FindOptionsBuilder {
	o := options.Find().SetHint(q.hint).SetSort(q.sort).SetLimit(int64(r.Limit)).SetBatchSize(int32(r.Limit))
	if q.min != nil {
		o.SetMin(q.min).SetMax(q.max)
	}
	if r.Offset > 0 {
		o.SetSkip(int64(r.Offset))
	}
	return o
}

// skipped reads a page with an offset: its ids in the index, where documents are skipped without being read, then the
// documents, all at one instant.
func (b *Backend) skipped(ctx context.Context, t *table, q query, r store.Range) ([]document, error) {
	s, err := b.client.StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		return nil, err
	}
	defer s.EndSession(ctx)
	ctx = mongo.NewSessionContext(ctx, s)
	page, err := documents(ctx, t.majority, q.filter, atOnce(q.page(r), r.Limit).SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, err
	}
	place := make(map[string]int, len(page))
	for i, d := range page {
		place[d.ID] = i
	}
	for left := idsOf(page); len(left) > 0; {
		found, err := documents(ctx, t.majority, idFilter(left), atOnce(options.Find(), len(left)))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%w: the index has an entry of a document that is not there", store.ErrUnavailable)
		}
		for _, d := range found {
			page[place[d.ID]] = d
		}
		left = slices.DeleteFunc(left, func(id string) bool { return page[place[id]].Version > 0 })
	}
	return page, nil
}

// atOnce has a query answer with one message, and with fewer documents where they are more than 16 MiB: the driver would
// ask for the others with a read concern, which a server need not take there.
func atOnce(o *options.FindOptionsBuilder, limit int) *options.FindOptionsBuilder {
	return o.SetLimit(-int64(limit)).SetBatchSize(int32(limit))
}

func idsOf(found []document) []string {
	ids := make([]string, len(found))
	for i, d := range found {
		ids[i] = d.ID
	}
	return ids
}

// Count implements store.Backend.
func (b *Backend) Count(ctx context.Context, now time.Time, collection string, r store.Range) (n int64, err error) {
	t, err := b.find(ctx, collection)
	if err != nil {
		return 0, err
	}
	q, err := t.query(r, now)
	if err != nil {
		return 0, err
	}
	err = b.settled(ctx, func(ctx context.Context) (err error) {
		n, err = t.snapshot.CountDocuments(ctx, q.filter, options.Count().SetHint(q.hint))
		return err
	})
	return n, err
}

// settled repeats a read of a snapshot that the server has not or no longer: it answers so where another instance has
// just made an index.
func (b *Backend) settled(ctx context.Context, read func(context.Context) error) error {
	err := store.Retry(ctx, func() error {
		step, cancel := b.step(ctx)
		defer cancel()
		err := read(step)
		if hasCode(err, snapshotUnavailable, snapshotTooOld) {
			return fmt.Errorf("%w: %w", store.ErrConflict, err)
		}
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %v", store.ErrUnavailable, err) //nolint:errorlint // to a reader it is no conflict
	}
	return b.outcome(ctx, err)
}

func documents(ctx context.Context, c *mongo.Collection, filter bson.D, o *options.FindOptionsBuilder) ([]document, error) {
	cursor, err := c.Find(ctx, filter, o)
	if err != nil {
		return nil, err
	}
	var found []document
	err = cursor.All(ctx, &found)
	return found, err
}

func (t *table) docs(found []document) []store.Doc {
	docs := make([]store.Doc, 0, len(found))
	for i := range found {
		docs = append(docs, t.doc(&found[i]))
	}
	return docs
}
