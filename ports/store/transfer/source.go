package transfer

import (
	"context"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
)

// Source is where documents come from.
type Source struct {
	Stores []*store.Store // with collections of different names
	Report func(store.Progress)
}

const page = 200

// place is where reading goes on: behind a document of a collection. The zero place is the beginning.
type place struct{ collection, id string }

// each hands over the line of every document behind a place, by collection in the order of the schemas and then by id.
func (s Source) each(ctx context.Context, from place, do func(line) error) error {
	begun := from == place{}
	for _, st := range s.Stores {
		for _, c := range st.Schema() {
			if c.Name == migrate.Collection().Name {
				continue
			}
			after := ""
			if c.Name == from.collection {
				begun, after = true, st.Cursor(c.Name, "", store.Doc{ID: from.id})
			}
			if !begun {
				continue
			}
			if err := s.collection(ctx, st, c.Name, after, do); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s Source) collection(ctx context.Context, st *store.Store, name, after string, do func(line) error) error {
	progress := store.Progress{Step: name}
	var err error
	if progress.Total, err = st.Count(ctx, name, store.Range{}); err != nil {
		return err
	}
	for {
		docs, err := st.Range(ctx, name, store.Range{After: after, Limit: page})
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := do(lineOf(name, d)); err != nil {
				return err
			}
		}
		progress.Done += int64(len(docs))
		if s.Report != nil && len(docs) > 0 {
			s.Report(progress)
		}
		if len(docs) < page {
			return nil
		}
		after = st.Cursor(name, "", docs[len(docs)-1])
	}
}

// Contents counts and digests every collection.
func (s Source) Contents(ctx context.Context) (map[string]Content, error) {
	all := contents{}
	for _, st := range s.Stores {
		for _, c := range st.Schema() {
			if c.Name != migrate.Collection().Name {
				all.of(c.Name)
			}
		}
	}
	err := s.each(ctx, place{}, func(l line) error { return all.of(l.Collection).add(l) })
	return all.Contents(), err
}
