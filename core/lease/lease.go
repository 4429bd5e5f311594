// Package lease says who may do what nobody else does meanwhile, and does long work in pages.
//
// A lease is a document that names its holder and the time until which it is his. Its version is the fencing token: each
// commit of the holder checks it, so that one who was stopped for too long, and lost the lease without noticing, writes
// nothing any more.
package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// ErrHeld says that somebody else holds the lease.
var ErrHeld = errors.New("lease: somebody else holds it")

// lease stays when it is over: a version that began anew would let an earlier holder in again.
type lease struct {
	Name   string    `json:"name"`
	Holder string    `json:"holder"` // an id of this acquisition; "" where nobody holds it
	Until  time.Time `json:"until"`

	version int64
}

const leases = "leases"

// Collections declares what this module stores.
func Collections() store.Schema { return store.Schema{{Name: leases}, jobCollection} }

// Service gives out leases and keeps jobs.
type Service struct {
	store  *store.Store
	ids    id.Source
	logger *slog.Logger
	repo   record.Repo[lease]
	jobs   record.Repo[Job]
	works  map[string]Work
	wake   chan struct{}
}

// NewService makes the service over the store of records.
func NewService(records *store.Store, ids id.Source, logger *slog.Logger) *Service {
	return &Service{store: records, ids: ids, logger: logger, works: map[string]Work{}, wake: make(chan struct{}, 1),
		repo: record.Repo[lease]{
			Store: records, Collection: leases, Noun: "lease",
			Head:       func(l lease) store.Doc { return store.Doc{ID: l.Name, Version: l.version} },
			SetVersion: func(l *lease, v int64) { l.version = v },
		},
		jobs: record.Repo[Job]{
			Store: records, Collection: jobs, Noun: "job",
			Head: jobHead, SetVersion: func(j *Job, v int64) { j.version = v },
		},
	}
}

// Acquire takes the lease of a name, which the caller chooses and of which there are few, for a time. Errors: ErrHeld,
// faults of the store.
func (s *Service) Acquire(ctx context.Context, name string, ttl time.Duration) (*Held, error) {
	h := &Held{service: s, holder: s.ids.UUID(), ttl: ttl}
	h.lease = lease{Name: name, Holder: h.holder}
	var op store.Op
	err := s.repo.Once(ctx, &op, func() error {
		old, err := s.repo.Get(ctx, name)
		now := s.now()
		h.lease.Until = now.Add(ttl)
		switch {
		case fault.Is(err, fault.NotFound):
			h.lease.version = 0
			op = s.repo.Insert(h.lease)
		case err != nil:
			return err
		case old.Holder != "" && now.Before(old.Until):
			return ErrHeld
		default:
			h.lease.version = old.version
			op = s.repo.Update(h.lease)
		}
		return s.store.Commit(ctx, op)
	})
	h.lease.version++
	switch {
	case store.Taken(err, leases, ""), errors.Is(err, store.ErrConflict):
		return nil, ErrHeld
	case err != nil && !errors.Is(err, ErrHeld):
		err = s.repo.Fault(err)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// End is the operation that ends a lease, whoever has it, for the commit behind which the holder is to write nothing. Where
// Raced says so of the commit's outcome, somebody took the lease meanwhile: ask for the operation anew.
func (s *Service) End(ctx context.Context, name string) (store.Op, error) {
	old, err := s.repo.Get(ctx, name)
	if fault.Is(err, fault.NotFound) { // whoever is about to make it is refused by this one
		return s.repo.Insert(lease{Name: name}), nil
	}
	old.Holder, old.Until = "", time.Time{}
	return s.repo.Update(old), err
}

// Raced reports whether a commit was refused for a lease that was taken meanwhile.
func Raced(err error) bool { return store.Taken(err, leases, "") }

func (s *Service) now() time.Time { return s.ids.Now().UTC() }

// Held is a lease that the caller holds. It may be used concurrently.
type Held struct {
	service *Service
	holder  string
	ttl     time.Duration
	mu      sync.RWMutex // written by what changes the version
	lease   lease
}

// Check guards a commit with the lease being held still. A Renew that comes between makes the commit a conflict; Commit
// sees to that.
func (h *Held) Check() store.Op {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.service.repo.Check(h.lease)
}

// Commit commits to the store of records what the holder writes, and nothing where the lease is lost: store.ErrConflict.
func (h *Held) Commit(ctx context.Context, ops ...store.Op) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]store.Op, 0, len(ops)+1)
	return h.service.store.Commit(ctx, append(append(all, ops...), h.service.repo.Check(h.lease))...)
}

// Remaining is for how long the lease is held without another Renew; not above 0 where it is over.
func (h *Held) Remaining() time.Duration {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.lease.Until.Sub(h.service.now())
}

// Renew holds the lease for its whole time from now on. Errors: ErrHeld, where it is lost; faults of the store.
func (h *Held) Renew(ctx context.Context) error { return h.change(ctx, h.holder, h.ttl) }

// Release lets others have the lease. One that is lost already stays so.
func (h *Held) Release(ctx context.Context) error {
	err := h.change(ctx, "", 0)
	if errors.Is(err, ErrHeld) {
		return nil
	}
	return err
}

func (h *Held) change(ctx context.Context, holder string, ttl time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := h.lease
	next.Holder, next.Until = holder, h.service.now().Add(ttl)
	op := h.service.repo.Update(next)
	err := h.service.repo.Once(ctx, &op, func() error {
		err := h.service.store.Commit(ctx, op)
		if errors.Is(err, store.ErrConflict) { // nobody but us writes a lease that is ours
			return ErrHeld
		}
		return err
	})
	if errors.Is(err, ErrHeld) {
		h.lease.Until = time.Time{}
		return err
	}
	if err != nil {
		return h.service.repo.Fault(err)
	}
	next.version++
	h.lease = next
	return nil
}
