package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// fillPage is how many documents are entered into new indexes at once, while others wait.
const fillPage = 500

// newGeneration is a text that no other is like: a count would begin anew where all data was lost.
func newGeneration() string { return rand.Text() }

// prepare brings the record of the schema up to the program's. New indexes are filled before it returns; meanwhile, and from
// then on, programs that do not know them may not write, since they would not keep them. Several may do this at once: each
// enters what is there, and none writes before one has come to the end.
func (b *Backend) prepare(ctx context.Context) error {
	b.preparing.Lock()
	defer b.preparing.Unlock()
	args := []any{nil, newGeneration(), len(b.schema)}
	for _, c := range b.schema {
		args = append(args, c.Name, len(c.Indexes))
		for _, x := range c.Indexes {
			args = append(args, x.Name, described(x))
		}
	}
	answer, err := b.ask(ctx, b.scripts.plan, args)
	if err != nil {
		return err
	}
	switch answer[0] {
	case "unknown":
		return fmt.Errorf("redis: the data has the index %s, which this program does not know and would not keep: "+
			"it is older than the one that made it; run the newer one", answer[1])
	case "differs":
		return fmt.Errorf("redis: the data has the index %s as %q, and this program another of that name: give that a new name", answer[1], answer[2])
	}
	generation := fmt.Sprint(answer[1])
	if names, _ := answer[2].([]any); len(names) > 0 {
		if err := b.fill(ctx, generation, names); err != nil {
			return err
		}
	}
	b.generation.Store(&generation)
	return nil
}

// described is what the record says of an index.
func described(x store.Index) string {
	kind := "plain "
	if x.Unique {
		kind = "unique "
	}
	return kind + strings.Join(x.Fields, ",")
}

// growth is a collection's new indexes.
type growth struct {
	name    string
	indexes []store.Index
}

// fill enters all documents into the indexes of these names, collection/index. Where that cannot be, all are given up.
func (b *Backend) fill(ctx context.Context, generation string, names []any) error {
	var all []growth
	for _, c := range b.schema {
		g := growth{name: c.Name}
		for _, x := range c.Indexes {
			if slices.Contains(names, any(c.Name+"/"+x.Name)) {
				g.indexes = append(g.indexes, x)
			}
		}
		if len(g.indexes) > 0 {
			all = append(all, g)
		}
	}
	for _, g := range all {
		taken, err := b.enter(ctx, generation, g)
		if err != nil {
			return err
		}
		if taken != nil {
			return errors.Join(taken, b.settle(ctx, generation, newGeneration(), all))
		}
	}
	return b.settle(ctx, generation, "", all)
}

// enter enters a collection's documents into its new indexes, in pages. taken says why that cannot be.
func (b *Backend) enter(ctx context.Context, generation string, g growth) (taken, err error) {
	defined := definition(g.name, g.indexes...)
	for low := "-"; ; {
		args := append(append([]any{nil, generation}, defined...), low, fillPage)
		answer, err := b.ask(ctx, b.scripts.fill, args)
		if err != nil {
			return nil, err
		}
		if answer[0] == "taken" {
			return fmt.Errorf("redis: the new index %s of %s is to be unique, but the documents %q and %q have the same keys: "+
				"change one of them with the program of before", answer[1], g.name, answer[2], answer[3]), nil
		}
		last := fmt.Sprint(answer[1])
		if last == "" {
			return nil, nil
		}
		low = "(" + last
	}
}

func (b *Backend) settle(ctx context.Context, generation, fresh string, all []growth) error {
	args, n := []any{nil, generation, fresh, 0}, 0
	for _, g := range all {
		for _, x := range g.indexes {
			args = append(args, g.name, x.Name, described(x))
			n++
		}
	}
	args[3] = n
	_, err := b.ask(ctx, b.scripts.settle, args)
	return err
}

// ask runs a script on the schema. What it does may be done again, so a lost answer is no worse than a lost question.
func (b *Backend) ask(ctx context.Context, s script, args []any) ([]any, error) {
	reply, began, err := b.call(ctx, s, time.Time{}, args)
	if err != nil {
		return nil, refusal(b.failed(ctx, err, began, store.ErrUnavailable))
	}
	answer, _ := reply.([]any)
	if len(answer) == 0 {
		return nil, fmt.Errorf("redis: the schema's record answers %v", reply)
	}
	if answer[0] == "stale" {
		return nil, fmt.Errorf("%w: redis: another program changed the schema at the same time", store.ErrUnavailable)
	}
	return answer, nil
}
