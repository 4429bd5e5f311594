package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/portico-sso/portico/ports/store"
)

var concurrency = []named{
	{name: "increments", run: increments},
	{name: "one_winner_single_use", run: oneWinnerSingleUse},
	{name: "one_winner_unique", run: oneWinnerUnique},
	{name: "one_winner_id", run: oneWinnerID},
	{name: "write_skew", run: writeSkew},
	{name: "parallel_commits", run: parallelCommits},
	{name: "whole_commits", run: wholeCommits},
}

// lost says whether a commit lost a race: it may be told so either as a conflict or as a key that is taken.
func lost(err error) bool {
	var taken *store.TakenError
	return errors.Is(err, store.ErrConflict) || errors.As(err, &taken)
}

// increments counts in one document from many sides: none is lost, and none is told to have failed that did not.
func increments(e *env) {
	const workers, each = 8, 10
	e.insert(people, store.Doc{ID: "n", Body: []byte("0")})
	var acknowledged atomic.Int64
	errs := together(workers, func(int) error {
		for done, tries := 0, 0; done < each; {
			if tries++; tries > 10_000 {
				return errors.New("no end of conflicts")
			}
			d, err := e.Get(e.ctx, people, "n")
			if err != nil {
				return err
			}
			n, _ := strconv.Atoi(string(d.Body))
			d.Body = strconv.AppendInt(nil, int64(n)+1, 10)
			switch err := e.Commit(e.ctx, store.Update(people, d)); {
			case err == nil:
				acknowledged.Add(1)
				done++
			case !errors.Is(err, store.ErrConflict):
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		e.Errorf("increments: %v", err)
	}
	d, err := e.Get(e.ctx, people, "n")
	if err != nil || string(d.Body) != fmt.Sprint(workers*each) || d.Version != workers*each+1 || acknowledged.Load() != workers*each {
		e.Errorf("%d increments acknowledged, %d made: %s at version %d, %v", acknowledged.Load(), workers*each, d.Body, d.Version, err)
	}
}

// oneWinner says that one call alone succeeded and the others lost.
func (e *env) oneWinner(errs []error) {
	e.Helper()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !lost(err):
			e.Errorf("a loser is told %v", err)
		}
	}
	if won != 1 {
		e.Errorf("%d of %d won, want 1", won, len(errs))
	}
}

func oneWinnerSingleUse(e *env) {
	e.insert(people, person("code", "t", "code"))
	e.oneWinner(together(50, func(i int) error {
		return e.Commit(e.ctx, store.Update(people, at(person("code", "t", "used"), 1)), store.Insert(wide, store.Doc{ID: fmt.Sprint(i)}))
	}))
	e.holds(people, at(person("code", "t", "used"), 2))
	e.counts(wide, store.Range{}, 1)
}

func oneWinnerUnique(e *env) {
	e.oneWinner(together(50, func(i int) error {
		id := fmt.Sprintf("p%02d", i)
		return e.Commit(e.ctx, store.Insert(wide, store.Doc{ID: id}), store.Insert(people, person(id, "t", "name")))
	}))
	e.counts(people, store.Range{Index: "by_name", Eq: []string{"t", "name"}}, 1)
	e.counts(wide, store.Range{}, 1)
}

func oneWinnerID(e *env) {
	e.oneWinner(together(50, func(i int) error {
		return e.Commit(e.ctx, store.Insert(people, person("id", "t", fmt.Sprint(i))))
	}))
	e.counts(people, store.Range{}, 1)
	e.counts(people, store.Range{Index: "by_name"}, 1)
}

// writeSkew has two commits each check what the other updates: the rule that at least one stays on call must hold.
func writeSkew(e *env) {
	const rounds = 60
	for round := range rounds {
		a, b := fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)
		e.insert(people, ranked(a, "on"), ranked(b, "on"))
		errs := together(2, func(i int) error {
			mine, other := a, b
			if i == 1 {
				mine, other = b, a
			}
			return e.Commit(e.ctx, store.Check(people, at(ranked(other, "on"), 1)), store.Update(people, at(ranked(mine, "off"), 1)))
		})
		if errs[0] == nil && errs[1] == nil {
			e.Fatalf("round %d: both commits checked what the other updated, and both succeeded", round)
		}
		for _, err := range errs {
			if err != nil && !errors.Is(err, store.ErrConflict) {
				e.Errorf("round %d: %v", round, err)
			}
		}
	}
	if n, err := e.Count(e.ctx, people, store.Range{Index: "by_rank", Eq: []string{"t", "off"}}); n == 0 || err != nil {
		e.Errorf("no commit of %d rounds succeeded: %v", rounds, err)
	}
}

// parallelCommits writes different documents from many sides: nothing is in the way of any.
func parallelCommits(e *env) {
	const workers, each = 16, 8
	errs := together(workers, func(w int) error {
		for i := range each {
			d := person(fmt.Sprintf("w%02d-%d", w, i), "t", fmt.Sprintf("%d/%d", w, i))
			if err := e.Commit(e.ctx, store.Insert(people, d), store.Insert(vault, store.Doc{ID: d.ID})); err != nil {
				return err
			}
			if _, err := e.Get(e.ctx, vault, d.ID); err != nil { // what is acknowledged is seen
				return fmt.Errorf("get after commit: %w", err)
			}
			if docs, err := e.Range(e.ctx, people, store.Range{Index: "by_name", Eq: []string{"t", d.Keys["name"]}}); err != nil || len(docs) != 1 {
				return fmt.Errorf("range after commit: %d documents, %w", len(docs), err)
			}
			if err := e.Commit(e.ctx, store.Update(people, at(d, 1))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		e.Errorf("commits of different documents: %v", err)
	}
	e.counts(people, store.Range{}, workers*each)
	e.counts(vault, store.Range{Index: "by_name"}, workers*each)
}

// wholeCommits moves a pair of documents together while others read them with one call: they never see half.
func wholeCommits(e *env) {
	e.insert(people, ranked("a", "0"), ranked("b", "0"))
	const moves = 40
	var moved atomic.Bool
	errs := together(3, func(i int) error {
		if i == 0 {
			defer moved.Store(true)
			for v := range int64(moves) {
				rank := fmt.Sprint(v + 1)
				if err := e.Commit(e.ctx, store.Update(people, at(ranked("a", rank), v+1)), store.Update(people, at(ranked("b", rank), v+1))); err != nil {
					return err
				}
			}
			return nil
		}
		for !moved.Load() {
			docs, err := e.Range(e.ctx, people, store.Range{Index: "by_rank", Eq: []string{"t"}})
			if err != nil {
				return err
			}
			if len(docs) != 2 || docs[0].Version != docs[1].Version {
				return fmt.Errorf("a range sees half a commit: %v", docs)
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		e.Errorf("%v", err)
	}
	e.holds(people, at(ranked("a", fmt.Sprint(moves)), moves+1))
}
