package storefault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// pause is how long a worker waits before it tries again what failed.
const pause = 5 * time.Millisecond

// makeChange makes a change, once, however often it must try, and holds every answer against the rule. Each try has its own
// context, and tell learns of each failure.
func makeChange(ctx context.Context, s *store.Store, name string, version int64, try func(context.Context) (context.Context, context.CancelFunc), tell func(error)) error {
	maybe := false // an earlier try may have made it
	for {
		each, cancel := try(ctx)
		err := s.Commit(each, change(name, version)...)
		ended := each.Err()
		cancel()
		switch {
		case err == nil:
			return nil
		case lostRace(err) && maybe:
			return made(ctx, s, name, version)
		case lostRace(err):
			return fmt.Errorf("change %d of %s: %w, though no try before may have made it", version, name, err)
		case ctx.Err() != nil:
			return fmt.Errorf("change %d of %s: no end of failures, the last: %w", version, name, err)
		case failure(err):
			maybe = maybe || errors.Is(err, store.ErrUncertain)
		case ended == nil || !errors.Is(err, ended):
			return fmt.Errorf("change %d of %s: %w", version, name, err)
		}
		tell(err)
		time.Sleep(pause)
	}
}

// made says whether a change is there that lost a race against itself.
func made(ctx context.Context, s *store.Store, name string, version int64) error {
	for {
		d, err := s.Get(ctx, accounts, name)
		var n int64
		if err == nil {
			n, err = s.Count(ctx, entries, store.Range{Index: "by_account", Eq: []string{name, entry(name, version).Keys["number"]}})
		}
		switch {
		case err == nil && d.Version == version+1 && n == 1:
			return nil
		case err == nil:
			return fmt.Errorf("change %d of %s is refused, as if it were made, but the account is at version %d and has %d such entries", version, name, d.Version, n)
		case ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable):
			return fmt.Errorf("read back change %d of %s: %w", version, name, err)
		}
		time.Sleep(pause)
	}
}

// patient is a try that takes as long as it takes.
func patient(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }

// read reads an account that nobody changes meanwhile, and that is at the version.
func read(ctx context.Context, s *store.Store, name string, version int64) error {
	d, err := s.Get(ctx, accounts, name)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return nil
	case err != nil:
		return fmt.Errorf("get %s: %w", name, err)
	case d.Version != version:
		return fmt.Errorf("get %s: version %d, and %d was acknowledged", name, d.Version, version)
	}
	page, err := s.Range(ctx, entries, store.Range{Index: "by_account", Eq: []string{name}, Desc: true, Limit: 1})
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return nil
	case err != nil:
		return fmt.Errorf("range over the entries of %s: %w", name, err)
	case version > 1 && (len(page) != 1 || page[0].ID != entry(name, version-1).ID):
		return fmt.Errorf("range over the entries of %s: %v is the last, and %d was acknowledged", name, page, version-1)
	}
	return nil
}
