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
// to 50 ms. Everything in fn, reads too, must be done anew each time.
func Retry(ctx context.Context, fn func() error) error {
	most := retryFirst
	for try := 1; ; try++ {
		err := fn()
		if try == retryTimes || !errors.Is(err, ErrConflict) {
			return err
		}
		pause := time.NewTimer(rand.N(most))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
		most = min(2*most, retryMost)
	}
}
