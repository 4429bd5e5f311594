package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	retryTimes = 20
	retryFirst = time.Millisecond
	retryMost  = 50 * time.Millisecond
)

// Retry reruns fn while it answers ErrConflict: 20 times in all, with a random pause before each rerun that grows
// to 50 ms. Everything in fn, reads too, must be done anew each time. It does not rerun what may have been done: see Once.
func Retry(ctx context.Context, fn func() error) error {
	return retry(ctx, func() (bool, error) {
		err := fn()
		return errors.Is(err, ErrConflict), err
	})
}

func retry(ctx context.Context, fn func() (again bool, err error)) error {
	most := retryFirst
	for try := 1; ; try++ {
		again, err := fn()
		if try == retryTimes || !again {
			return err
		}
		if err := sleep(ctx, rand.N(most)); err != nil {
			return err
		}
		most = min(2*most, retryMost)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
