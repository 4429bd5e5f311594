package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// structure is what the record of the schema said when it was last read: which indexes there are. Every program that writes
// keeps all of them, also those that only a newer or an older one declares, as a SQL server would. A write that goes by an
// older record is refused by the scripts.
type structure struct {
	generation string // "" where nothing is recorded
	shapes     map[string]shape
}

// shape is a collection's part of the structure.
type shape struct {
	whole     []any // the collection with all indexes, as a commit tells it to the script
	documents int64
	state     map[string]string // of each index that the schema declares: filled, filling, or "" where there is none
}

// lacking are the indexes that the schema declares and the record has not.
func (s shape) lacking(c store.Collection) []store.Index {
	return slices.DeleteFunc(slices.Clone(c.Indexes), func(x store.Index) bool { return s.state[x.Name] != "" })
}

// unfilled are the indexes that do not hold all documents, or may not come to do.
func (s shape) unfilled(c store.Collection) []store.Index {
	return slices.DeleteFunc(slices.Clone(c.Indexes), func(x store.Index) bool {
		return s.state[x.Name] == "filled" || s.state[x.Name] == "" && s.documents == 0
	})
}

// reload reads the record.
func (b *Backend) reload(ctx context.Context) (*structure, error) {
	args := make([]any, 1, 1+len(b.schema))
	for _, c := range b.schema {
		args = append(args, c.Name)
	}
	answer, err := b.ask(ctx, b.scripts.structure, args)
	if err != nil {
		return nil, err
	}
	var record, counts []any
	if len(answer) == 2 {
		record, _ = answer[0].([]any)
		counts, _ = answer[1].([]any)
	}
	if len(counts) != len(b.schema) {
		return nil, fmt.Errorf("redis: the record of the schema answers %v", answer)
	}
	fields := map[string]string{}
	for i := 0; i+1 < len(record); i += 2 {
		fields[fmt.Sprint(record[i])] = fmt.Sprint(record[i+1])
	}
	st := &structure{generation: fields["generation"], shapes: map[string]shape{
		probeTable.Name: {whole: definition(probeTable.Name, probeTable.Indexes...)},
	}}
	for i, c := range b.schema {
		s, err := readShape(c, fields)
		if err != nil {
			return nil, err
		}
		s.documents, _ = counts[i].(int64)
		st.shapes[c.Name] = s
	}
	b.structure.Store(st)
	return st, nil
}

// readShape finds the indexes of a collection in the record.
func readShape(c store.Collection, fields map[string]string) (shape, error) {
	s := shape{state: map[string]string{}}
	all := slices.Clone(c.Indexes)
	for name, text := range fields {
		index, ours := strings.CutPrefix(name, c.Name+"/")
		if !ours {
			continue
		}
		state, recorded, _ := strings.Cut(text, " ")
		x, declared := c.Find(index)
		switch {
		case !declared: // not unique for us: who does not know it cannot be told that it is taken
			all = append(all, store.Index{Name: index, Fields: strings.Split(recorded, ",")})
		case recorded != strings.Join(x.Fields, ","):
			return s, fmt.Errorf("redis: the data has the index %s of %s over %s, and this program one of that name over %s: "+
				"give it another name", index, c.Name, recorded, strings.Join(x.Fields, ","))
		default:
			s.state[index] = state
		}
	}
	s.whole = definition(c.Name, all...)
	return s, nil
}

// writable is the structure, if it has all indexes of these collections. Those of a collection without documents need nothing
// but to be recorded, which is done here: so it is where all is new, and where all data was lost.
func (b *Backend) writable(ctx context.Context, collections []string) (*structure, error) {
	st := b.structure.Load()
	if b.behind(st, collections) == "" {
		return st, nil
	}
	st, err := b.reload(ctx)
	if err != nil {
		return nil, err
	}
	var empty []growth
	for _, g := range b.lacking(st) {
		if st.shapes[g.Name].documents == 0 {
			empty = append(empty, g)
		}
	}
	if len(empty) > 0 {
		if err := b.grow(ctx, empty); err != nil {
			return nil, err
		}
		if st, err = b.reload(ctx); err != nil {
			return nil, err
		}
	}
	if name := b.behind(st, collections); name != "" {
		return nil, notMigrated(name)
	}
	return st, nil
}

// behind is one of these collections that lacks an index, or "".
func (b *Backend) behind(st *structure, collections []string) string {
	for _, name := range collections {
		if c := b.tables[name].Collection; name != probeTable.Name && len(st.shapes[name].lacking(c)) > 0 {
			return name
		}
	}
	return ""
}

func notMigrated(collection string) error {
	return fmt.Errorf("%w: redis: there are documents of %s that are not in all its indexes: run portico migrate", store.ErrUnavailable, collection)
}

// readable says why an index cannot be read, if it does not hold all documents.
func (b *Backend) readable(ctx context.Context, collection, index string) error {
	if index == "" || collection == probeTable.Name || b.structure.Load().shapes[collection].state[index] == "filled" {
		return nil
	}
	st, err := b.reload(ctx)
	if err != nil {
		return err
	}
	if s := st.shapes[collection]; s.documents > 0 && s.state[index] != "filled" {
		return notMigrated(collection)
	}
	return nil
}

// growth is a collection with some of its indexes alone.
type growth = store.Collection

// lacking are the indexes that the record has not, by collection.
func (b *Backend) lacking(st *structure) []growth {
	return b.growths(func(c store.Collection) []store.Index { return st.shapes[c.Name].lacking(c) })
}

// unfilled are those that do not hold all documents.
func (b *Backend) unfilled(st *structure) []growth {
	return b.growths(func(c store.Collection) []store.Index { return st.shapes[c.Name].unfilled(c) })
}

func (b *Backend) growths(of func(store.Collection) []store.Index) []growth {
	var all []growth
	for _, c := range b.schema {
		if indexes := of(c); len(indexes) > 0 {
			all = append(all, growth{Name: c.Name, Indexes: indexes})
		}
	}
	return all
}

// Plan implements store.Structured.
func (b *Backend) Plan(ctx context.Context) ([]string, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	st, err := b.reload(ctx)
	if err != nil {
		return nil, err
	}
	var steps []string
	for _, g := range b.unfilled(st) {
		for _, x := range g.Indexes {
			steps = append(steps, fmt.Sprintf("enter the %d documents of %s into its index %s (%s)",
				st.shapes[g.Name].documents, g.Name, x.Name, strings.Join(x.Fields, ", ")))
		}
	}
	return steps, nil
}

// Migrate implements store.Structured. New indexes are recorded first, so that whatever is written meanwhile is entered into
// them by who writes it; then what is there is entered, in pages. Several programs may do that at once, and one that is cut off
// leaves indexes that are not yet read.
func (b *Backend) Migrate(ctx context.Context) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	st, err := b.reload(ctx)
	if err != nil {
		return err
	}
	if lacking := b.lacking(st); len(lacking) > 0 {
		if err := b.grow(ctx, lacking); err != nil {
			return err
		}
		if st, err = b.reload(ctx); err != nil {
			return err
		}
	}
	for _, g := range b.unfilled(st) {
		if err := b.fill(ctx, g); err != nil {
			return err
		}
	}
	_, err = b.reload(ctx)
	return err
}

// grow records indexes. The new generation is a text that no other is like: a count would begin anew where all data was lost.
func (b *Backend) grow(ctx context.Context, all []growth) error {
	args := []any{nil, rand.Text()}
	for _, g := range all {
		for _, x := range g.Indexes {
			args = append(args, g.Name, x.Name, strings.Join(x.Fields, ","))
		}
	}
	_, err := b.ask(ctx, b.scripts.grow, args)
	return err
}

// fillPage is how many documents are entered into new indexes at once, while others wait.
const fillPage = 500

// fill enters all documents of a collection into these indexes.
func (b *Backend) fill(ctx context.Context, g growth) error {
	defined := definition(g.Name, g.Indexes...)
	for low := "-"; ; {
		args := append(append(make([]any, 1, 32), defined...), low, fillPage)
		for _, x := range g.Indexes {
			args = append(args, "filled "+strings.Join(x.Fields, ","))
		}
		answer, err := b.ask(ctx, b.scripts.fill, args)
		if err != nil {
			return err
		}
		last := fmt.Sprint(answer[0])
		if last == "" {
			return nil
		}
		low = "(" + last
	}
}

// ask runs a script about the structure. What it does may be done again, so a lost answer is no worse than a lost question.
func (b *Backend) ask(ctx context.Context, s script, args []any) ([]any, error) {
	reply, began, err := b.call(ctx, s, time.Time{}, args)
	if err != nil {
		return nil, b.failed(ctx, err, began, store.ErrUnavailable)
	}
	answer, _ := reply.([]any)
	if len(answer) == 0 {
		return nil, fmt.Errorf("redis: the record of the schema answers %v", reply)
	}
	return answer, nil
}
