package events

import (
	"context"
	"errors"

	"github.com/portico-sso/portico/ports/store"
)

// PageDeliveries reads limit of an endpoint's deliveries of every status, newest event first, behind the first offset ones.
func (s *Service) PageDeliveries(ctx context.Context, endpointID string, offset, limit int) ([]Delivery, error) {
	return s.deliveries.Range(ctx, store.Range{Index: byEndpoint, Eq: []string{endpointID}, Desc: true, Offset: offset, Limit: limit})
}

const forgetPage = 400

// ForgetDeliveries removes an endpoint's deliveries that are over, dead letters too. What is to be sent stays.
func (s *Service) ForgetDeliveries(ctx context.Context, endpointID string) error {
	for after, more := "", true; more; {
		page, err := s.Deliveries(ctx, endpointID, forgetPage, after)
		if err != nil {
			return err
		}
		var ops []store.Op
		for _, d := range page.Items {
			if d.Status != Pending {
				ops = append(ops, s.deliveries.Delete(d))
			}
		}
		if len(ops) > 0 {
			err = s.Records.Commit(ctx, ops...)
		}
		if errors.Is(err, store.ErrConflict) { // one of them is sent again: look anew
			continue
		}
		if err != nil {
			return s.deliveries.Fault(err)
		}
		if more = page.More; more {
			after = page.Cursors[len(page.Cursors)-1]
		}
	}
	return nil
}
