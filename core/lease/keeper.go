package lease

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Keeper holds leases by name for as long as they are asked for, and for a while after: who has work of one kind again and
// again does not pay for a lease each time.
type Keeper struct {
	service *Service
	ttl     time.Duration
	mu      sync.Mutex
	held    map[string]*Held
}

// Keeper makes one for leases of a time. Close it in the end.
func (s *Service) Keeper(ttl time.Duration) *Keeper {
	return &Keeper{service: s, ttl: ttl, held: map[string]*Held{}}
}

// Keep gives the lease of a name, held for at least half of its time from now on. Errors: ErrHeld, faults of the store.
func (k *Keeper) Keep(ctx context.Context, name string) (*Held, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.held[name]
	if h != nil {
		if h.Remaining() > k.ttl/2 {
			return h, nil
		}
		err := h.Renew(ctx)
		if err == nil {
			return h, nil
		}
		delete(k.held, name)
		if !errors.Is(err, ErrHeld) {
			return nil, err
		}
	}
	for old, h := range k.held {
		if h.Remaining() <= 0 {
			delete(k.held, old)
		}
	}
	h, err := k.service.Acquire(ctx, name, k.ttl)
	if err != nil {
		return nil, err
	}
	k.held[name] = h
	return h, nil
}

// Close releases what is held, so that another instance need not wait. What cannot be released ends by itself.
func (k *Keeper) Close(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, h := range k.held {
		if h.Remaining() > 0 {
			_ = h.Release(ctx)
		}
		delete(k.held, name)
	}
}
