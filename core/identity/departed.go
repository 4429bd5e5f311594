package identity

import (
	"context"
	"time"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/store"
)

// departed notes a name, or a subject of a connection, of a person whom the directory removed. An identity provider may let
// them in for a while yet: they do not come back as a new person.
type departed struct {
	ID        string    `json:"id"` // of the name or the link
	ExpiresAt time.Time `json:"expiresAt"`

	version int64
}

const (
	departures = "identity_departures"
	// departedFor is how long somebody who left is not taken for a new person. A directory that provisions them again lets
	// them in at once.
	departedFor = 90 * 24 * time.Hour
	// maxDeparted bounds the notes of one person, and so the operations that remove one.
	maxDeparted = 80
)

func departedHead(d departed) store.Doc {
	return store.Doc{ID: d.ID, Version: d.version, ExpiresAt: d.ExpiresAt}
}

// depart notes the names and subjects of a person whom these operations remove.
func (s *Service) depart(ctx context.Context, removal []store.Op, now time.Time) ([]store.Op, error) {
	var ids []string
	for _, op := range removal {
		if (op.Collection == names || op.Collection == links) && len(ids) < maxDeparted {
			ids = append(ids, op.Doc.ID)
		}
	}
	list, err := s.departed.GetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	before := make(map[string]departed, len(list))
	for _, d := range list {
		before[d.ID] = d
	}
	var ops []store.Op
	for _, noted := range ids {
		d, again := before[noted]
		d.ID, d.ExpiresAt = noted, now.Add(departedFor)
		if again {
			ops = append(ops, s.departed.Update(d))
		} else {
			ops = append(ops, s.departed.Insert(d))
		}
	}
	return ops, nil
}

// stays refuses the first login of somebody who has left. Faults: Forbidden identity_inactive.
func (s *Service) stays(ctx context.Context, in Login) error {
	ids := []string{id.Hash(in.ConnectionID, in.Subject)}
	if !in.Foreign {
		ids = append(ids, nameID(in.OrganizationID, in.Subject))
	}
	if in.Address != "" {
		ids = append(ids, nameID(in.OrganizationID, in.Address))
	}
	list, err := s.departed.GetMany(ctx, distinct(ids))
	if err == nil && len(list) > 0 {
		err = inactive()
	}
	return err
}
