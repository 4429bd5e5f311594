package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/ports/store"
)

const endKind = "webhook_scope_end"

// EndScope is the operation for the commit behind which nothing happens any more in a scope: its endpoints, and not those of
// narrower scopes, go once they were told of everything up to it. What is pending, or was given up and may be sent again, keeps
// an endpoint for as long as events are kept, at most. Call Leases.Wake behind the commit.
func (s *Service) EndScope(scope Scope) store.Op { return s.Leases.Ask(endKind, scope.key(), scope) }

// endPage looks which endpoints of a scope that has ended may go: at first each second, and more seldom the longer it takes.
func (s *Service) endPage(ctx context.Context, j lease.Job) (lease.Page, error) {
	var scope Scope
	if err := json.Unmarshal(j.Payload, &scope); err != nil {
		return lease.Page{}, fmt.Errorf("events: read a job: %w", err)
	}
	waited := s.now().Sub(j.AskedAt)
	left, err := s.endSome(ctx, scope, waited >= s.KeepEvents)
	return lease.Page{Done: !left, Later: min(max(waited/10, time.Second), time.Hour)}, err
}

// endSome deletes the endpoints that were told of everything, or all of them, and says whether some are left.
func (s *Service) endSome(ctx context.Context, scope Scope, all bool) (left bool, err error) {
	list, err := s.EndpointsOf(ctx, scope)
	if err != nil || len(list) == 0 {
		return false, err
	}
	if !all {
		if waits, err := s.inOutbox(ctx, scope); err != nil || waits {
			return waits, err
		}
	}
	for _, e := range list {
		if !all {
			owed, err := s.owed(ctx, e.ID)
			if err != nil {
				return false, err
			}
			if owed {
				left = true
				continue
			}
		}
		if err := s.DeleteEndpoint(ctx, e.ID); err != nil && !fault.Is(err, fault.NotFound) {
			return false, err
		}
	}
	return left, nil
}

// inOutbox says whether an event of a scope is not in the log yet. A document that cannot be read may hold one.
func (s *Service) inOutbox(ctx context.Context, scope Scope) (bool, error) {
	for c := s.scan(store.Range{Index: byProject, Eq: []string{scope.ProjectID}}); !c.done; {
		page, unreadable, err := c.next(ctx, relayPage)
		if err != nil || unreadable > 0 {
			return true, s.letters.Fault(err)
		}
		for _, l := range page {
			for _, e := range l.Events {
				if e.within(scope) {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// owed says whether an endpoint has deliveries that are pending or were given up. Of each lane with something pending one is in
// byDue.
func (s *Service) owed(ctx context.Context, endpointID string) (bool, error) {
	for _, index := range []string{byDue, byDead} {
		found, err := s.deliveries.Range(ctx, store.Range{Index: index, Eq: []string{endpointID}, Limit: 1})
		if err != nil || len(found) > 0 {
			return true, err
		}
	}
	return false, nil
}
