package mongo

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/portico-sso/portico/ports/store"
)

// query is a range as MongoDB is asked for it.
type query struct {
	hint     string // name of the index
	filter   bson.D
	sort     bson.D
	min, max bson.D // bounds of the index, in place of those of the filter: from min to before max
	none     bool   // the bounds exclude everything
}

// query says a range by conditions, or, behind a cursor, by the two ends of it in the index: a place among several
// fields is no condition that an index is entered at.
func (t *table) query(r store.Range, now time.Time) (query, error) {
	x, _ := t.Find(r.Index)
	paths := make([]string, 0, len(x.Fields)+1)
	for _, f := range x.Fields {
		paths = append(paths, keyPath(f))
	}
	paths = append(paths, "_id")
	q := query{hint: t.hint(x), filter: bson.D{}}
	direction := 1
	if r.Desc {
		direction = -1
	}
	for _, p := range paths { // all of them: with ends in the index, MongoDB sees no equalities
		q.sort = append(q.sort, bson.E{Key: p, Value: direction})
	}
	if r.After == "" {
		q.filter = conditions(r, paths)
	} else {
		keys, id, err := store.ParseCursor(t.Name, x, r.After)
		if err != nil {
			return q, err
		}
		q.ends(r, paths, append(keys, id))
		if t.Expires && r.Index != "" {
			q.min, q.max = append(q.min, bson.E{Key: "e", Value: bson.MinKey{}}), append(q.max, bson.E{Key: "e", Value: bson.MinKey{}})
		}
	}
	if t.Expires {
		q.filter = append(q.filter, bson.E{Key: "e", Value: bson.D{{Key: "$gt", Value: now.UnixMilli()}}})
	}
	return q, nil
}

func (t *table) hint(x store.Index) string {
	if x.Name == "" {
		return "_id_"
	}
	return orderName(t.Collection, x)
}

func conditions(r store.Range, paths []string) bson.D {
	filter := make(bson.D, 0, len(paths)+1)
	for i, v := range r.Eq {
		filter = append(filter, bson.E{Key: paths[i], Value: v})
	}
	var bounds bson.D
	if r.From != "" {
		bounds = append(bounds, bson.E{Key: "$gte", Value: r.From})
	}
	if r.To != "" {
		bounds = append(bounds, bson.E{Key: "$lt", Value: r.To})
	}
	if bounds != nil {
		filter = append(filter, bson.E{Key: paths[len(r.Eq)], Value: bounds})
	}
	return filter
}

// ends are those of a range behind a place. The Store has seen to it that the place is no further than the range's own
// beginning, and where it is ascending, that it is before the end.
func (q *query) ends(r store.Range, paths, place []string) {
	next := len(r.Eq) // the field that From and To bound
	if r.Desc {
		q.none = place[next] < r.From || next == len(paths)-1 && place[next] == r.From
	}
	for i, p := range paths {
		low, high := any(bson.MinKey{}), any(bson.MaxKey{})
		switch {
		case i < next:
			low, high = r.Eq[i], r.Eq[i]
		case i == next && r.From != "":
			low = r.From
		}
		switch {
		case i == next && r.To != "":
			high = r.To
		case i > next && r.To != "":
			high = bson.MinKey{}
		}
		if r.Desc {
			high = place[i]
		} else if low = place[i]; i == len(paths)-1 {
			low = place[i] + "\x00" // the least id behind it
		}
		q.min, q.max = append(q.min, bson.E{Key: p, Value: low}), append(q.max, bson.E{Key: p, Value: high})
	}
}
