package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	lookTimes = 10
	lookFirst = 50 * time.Millisecond
	lookMost  = 800 * time.Millisecond
	lookFor   = 5 * time.Second
)

// Once is Retry for a commit that must not be made twice though its answer may be lost (ErrUncertain): then made looks
// whether it is there (see Store.Made), for up to 5 seconds while the engine does not answer, and fn runs again only if
// it is not. The lost commit may still arrive behind that look. So fn must choose the same ids each time, as a second
// commit then fails, and made is asked again whatever fn fails with. Once answers ErrUncertain where nobody can be asked.
func Once(ctx context.Context, made func(context.Context) (bool, error), fn func() error) error {
	lost := false
	return retry(ctx, func() (again bool, err error) {
		err = fn()
		lost = lost || errors.Is(err, ErrUncertain)
		if err == nil || !lost {
			return errors.Is(err, ErrConflict), err
		}
		there, unseen := look(ctx, made)
		switch {
		case unseen != nil:
			return false, unseen
		case there:
			return false, nil
		}
		return errors.Is(err, ErrConflict) || errors.Is(err, ErrUncertain) || errors.Is(err, ErrUnavailable), err
	})
}

// look asks made until the engine answers.
func look(ctx context.Context, made func(context.Context) (bool, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	pause := lookFirst
	for try := 1; ; try++ {
		there, err := made(ctx)
		silent := errors.Is(err, ErrUnavailable) || ctx.Err() != nil
		switch {
		case err == nil || !silent:
			return there, err
		case try == lookTimes || sleep(ctx, pause) != nil:
			return false, fmt.Errorf("%w: %w", ErrUncertain, err)
		}
		pause = min(2*pause, lookMost)
	}
}

// Made reports whether the commit was made of which op is one operation: an Insert under an id that nobody else chooses,
// an Update or a Delete. It answers ErrConflict where another update took the place of one, and ErrUncertain where others
// came since, behind it or before.
func (s *Store) Made(ctx context.Context, op Op) (bool, error) {
	d, err := s.Get(ctx, op.Collection, op.Doc.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return op.Kind == OpDelete, nil
	case err != nil:
		return false, err
	case op.Kind != OpUpdate:
		return op.Kind == OpInsert, nil
	case d.Version == op.Doc.Version:
		return false, nil
	case d.Version != op.Doc.Version+1:
		return false, ErrUncertain
	case !bytes.Equal(d.Body, op.Doc.Body):
		return false, ErrConflict
	}
	return true, nil
}
