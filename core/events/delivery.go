package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Status is what has become of a delivery.
type Status string

// The statuses of deliveries.
const (
	Pending   Status = "pending" // it is to be sent, perhaps again
	Delivered Status = "delivered"
	Dead      Status = "dead" // given up; it can be replayed
)

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	ID         string        `json:"id"`
	EndpointID string        `json:"endpointId"`
	ProjectID  string        `json:"projectId"`
	EventID    string        `json:"eventId"`
	EventType  string        `json:"eventType"`
	Position   int64         `json:"position"`
	Status     Status        `json:"status"`
	Held       bool          `json:"held,omitempty"` // an earlier one of its resource has to go first
	Attempts   int           `json:"attempts,omitempty"`
	Alone      bool          `json:"alone,omitempty"` // it failed in a batch, and perhaps for it
	DueAt      time.Time     `json:"dueAt"`
	Code       int           `json:"code,omitempty"`  // the last answer's status; 0: there was none
	Error      string        `json:"error,omitempty"` // why the last attempt failed, in words of ours
	Took       time.Duration `json:"took,omitempty"`  // the last attempt, in nanoseconds
	CreatedAt  time.Time     `json:"createdAt"`
	TriedAt    time.Time     `json:"triedAt,omitzero"`
	ExpiresAt  time.Time     `json:"expiresAt,omitzero"` // of one that is not pending

	Key  string `json:"key"`  // of the event in the log
	Lane string `json:"lane"` // what is delivered one behind the other: the resource's events to the endpoint
	// After is a lane whose earlier events are sent first, if they are due as well: of a membership that of the group.
	After string `json:"after,omitempty"`

	version int64
}

const (
	deliveries = "webhook_deliveries"
	byDue      = "by_due"
	byLane     = "by_lane"
	byEndpoint = "by_endpoint"
	byDead     = "by_dead"
)

// A pending delivery is in byLane; in byDue is it while no earlier one of its lane is known to be pending. So each lane with
// something pending has at least one in byDue.
var deliveryCollection = store.Collection{Name: deliveries, Expires: true, Keys: record.Keys(deliveryHead), Indexes: []store.Index{
	{Name: byDue, Fields: []string{"queue", "due"}},
	{Name: byLane, Fields: []string{"lane", "position"}},
	{Name: byEndpoint, Fields: []string{"endpoint", "position"}},
	{Name: byDead, Fields: []string{"dead", "position"}},
}}

func deliveryHead(d Delivery) store.Doc {
	keys := map[string]string{"endpoint": d.EndpointID, "position": deliveryPlace(d.ProjectID, d.Position)}
	switch {
	case d.Status == Pending && d.Held:
		keys["lane"] = d.Lane
	case d.Status == Pending:
		keys["lane"], keys["queue"], keys["due"] = d.Lane, d.EndpointID, key.Time(d.DueAt)
	case d.Status == Dead:
		keys["dead"] = d.EndpointID
	}
	return store.Doc{ID: d.ID, Version: d.version, ExpiresAt: d.ExpiresAt, Keys: keys}
}

// deliveryPlace orders an endpoint's deliveries. The endpoint of the installation has those of all projects.
func deliveryPlace(projectID string, position int64) string {
	return key.Number(position) + "/" + projectID
}

func deliveryID(endpointID string, e Event) string {
	return endpointID + "/" + deliveryPlace(e.ProjectID, e.Position)
}

func newDelivery(to Endpoint, e Event, now time.Time) Delivery {
	d := Delivery{ID: deliveryID(to.ID, e), EndpointID: to.ID, ProjectID: e.ProjectID, EventID: e.ID, EventType: e.Type, Position: e.Position,
		Status: Pending, DueAt: now, CreatedAt: now, Key: e.key(), Lane: id.Hash(to.ID, e.ID)}
	if to.Format == Polis || e.Type == "" {
		d.EventType = e.Polis
	}
	if e.ResourceID != "" {
		d.Lane = lane(to, e.ResourceType, e.ResourceID)
	}
	if e.GroupID != "" {
		d.After = lane(to, "group", e.GroupID)
	}
	return d
}

func lane(to Endpoint, resourceType, resourceID string) string {
	return id.Hash(to.ID, resourceType, resourceID)
}

// Delivery reads a delivery.
func (s *Service) Delivery(ctx context.Context, deliveryID string) (Delivery, error) {
	return s.deliveries.Get(ctx, deliveryID)
}

// Deliveries reads one page of an endpoint's deliveries of every status, newest event first.
func (s *Service) Deliveries(ctx context.Context, endpointID string, limit int, after string) (record.Page[Delivery], error) {
	return s.deliveries.List(ctx, store.Range{Index: byEndpoint, Eq: []string{endpointID}, Desc: true, Limit: limit, After: after})
}

// CountDeliveries counts them.
func (s *Service) CountDeliveries(ctx context.Context, endpointID string) (int64, error) {
	return s.deliveries.Count(ctx, store.Range{Index: byEndpoint, Eq: []string{endpointID}})
}

// DeadLetters reads one page of an endpoint's deliveries that were given up, oldest event first.
func (s *Service) DeadLetters(ctx context.Context, endpointID string, limit int, after string) (record.Page[Delivery], error) {
	return s.deliveries.List(ctx, store.Range{Index: byDead, Eq: []string{endpointID}, Limit: limit, After: after})
}

// CountDeadLetters counts them.
func (s *Service) CountDeadLetters(ctx context.Context, endpointID string) (int64, error) {
	return s.deliveries.Count(ctx, store.Range{Index: byDead, Eq: []string{endpointID}})
}

// EventsOf reads the events of deliveries, in their order; those that are no longer kept are left out.
func (s *Service) EventsOf(ctx context.Context, list ...Delivery) ([]Event, error) {
	keys := make([]string, len(list))
	for i, d := range list {
		keys[i] = d.Key
	}
	found, err := s.entriesByKey(ctx, keys)
	events := make([]Event, len(found))
	for i, e := range found {
		events[i] = e.Event
	}
	return events, err
}

func (s *Service) entriesByKey(ctx context.Context, keys []string) ([]entry, error) {
	docs, err := s.Records.GetMany(ctx, entries, keys)
	if err != nil {
		return nil, s.entries.Fault(err)
	}
	found := make([]entry, len(docs))
	for i, d := range docs {
		if err := json.Unmarshal(d.Body, &found[i]); err != nil {
			return nil, fmt.Errorf("events: read event %s: %w", d.ID, err)
		}
	}
	return found, nil
}

// Replay sends the event of a delivery again, or now if it waits for its next attempt; as if for the first time.
// Faults: NotFound, Conflict where an earlier event of the resource has to go first.
func (s *Service) Replay(ctx context.Context, deliveryID string) (Delivery, error) {
	d, err := s.deliveries.Get(ctx, deliveryID)
	if err != nil {
		return d, err
	}
	kept, err := s.EventsOf(ctx, d)
	if err != nil {
		return d, err
	}
	if len(kept) == 0 {
		return d, fault.New(fault.NotFound, "event_expired", "The event is no longer kept.")
	}
	d, err = s.deliveries.Change(ctx, deliveryID, func(d *Delivery) error {
		if d.Status == Pending && d.Held {
			return fault.New(fault.Conflict, "held", "An earlier event of the same resource has to be delivered or given up first.")
		}
		d.again(s.now())
		return nil
	})
	if err == nil {
		err = s.resume(ctx, d.EndpointID)
	}
	return d, err
}

// again makes a delivery as if nothing had been tried.
func (d *Delivery) again(now time.Time) {
	d.Status, d.Held, d.Attempts, d.Alone, d.DueAt, d.ExpiresAt = Pending, false, 0, false, now, time.Time{}
}

// replay is the job of ReplayRange.
type replay struct {
	EndpointID string `json:"endpointId"`
	ProjectID  string `json:"projectId"`
	From       int64  `json:"from"`
	To         int64  `json:"to"`
	DeadOnly   bool   `json:"deadOnly"`
}

const (
	replayKind = "webhook_replay"
	replayPage = 100
)

// ReplayRange sends an endpoint the events of its project from one position to another again, both included, as far as they
// are kept and it wants them; deadOnly those alone that were given up. The endpoint of the installation has many projects, so
// projectID names the one; for any other it is that of the endpoint, or "". A job does it. Faults: NotFound, Invalid.
func (s *Service) ReplayRange(ctx context.Context, endpointID, projectID string, from, to int64, deadOnly bool) error {
	e, err := s.replayTo(ctx, endpointID, projectID)
	if err != nil {
		return err
	}
	if e.ProjectID == "" || projectID != "" && projectID != e.ProjectID {
		return fault.At("projectId", "invalid", "Name the project whose positions these are: that of the endpoint, or one of the installation.")
	}
	if from < 1 || to < from {
		return fault.At("to", "invalid", "A range begins at 1 or later and does not end before it begins.")
	}
	ask := s.Leases.Ask(replayKind, fmt.Sprintf("%s/%s/%d-%d/%t", endpointID, e.ProjectID, from, to, deadOnly), replay{endpointID, e.ProjectID, from, to, deadOnly})
	err = s.deliveries.Once(ctx, &ask, func() error { return s.Records.Commit(ctx, ask) })
	s.Leases.Wake()
	return s.deliveries.Fault(err)
}

// replayTo reads an endpoint to which something is sent again: that of the installation as one of the project.
func (s *Service) replayTo(ctx context.Context, endpointID, projectID string) (Endpoint, error) {
	e, err := s.target(ctx, endpointID)
	if err == nil && e.ID == Installation {
		if !e.Active {
			return Endpoint{}, fault.New(fault.NotFound, "not_found", "PORTICO_WEBHOOK_URL is not given.")
		}
		e.ProjectID = projectID
	}
	return e, err
}

// replayPageOf does a page of ReplayRange; progress is the position at which it begins.
func (s *Service) replayPageOf(ctx context.Context, j lease.Job) (lease.Page, error) {
	var what replay
	if err := json.Unmarshal(j.Payload, &what); err != nil {
		return lease.Page{}, err
	}
	from := what.From
	if j.Progress != nil {
		if err := json.Unmarshal(j.Progress, &from); err != nil {
			return lease.Page{}, err
		}
	}
	endpoint, err := s.replayTo(ctx, what.EndpointID, what.ProjectID)
	if fault.Is(err, fault.NotFound) {
		return lease.Page{Done: true}, nil
	}
	if err != nil {
		return lease.Page{}, err
	}
	index, value := endpoint.index()
	found, err := s.entries.Range(ctx, store.Range{Index: index, Eq: []string{value}, From: key.Number(from), To: key.Number(what.To + 1), Limit: replayPage})
	if err != nil {
		return lease.Page{}, err
	}
	p := lease.Page{Done: len(found) < replayPage}
	if p.Done {
		p.Then = func() { _ = s.resume(context.WithoutCancel(ctx), endpoint.ID) } // else the endpoint's pause ends by itself
	} else {
		p.Progress = found[len(found)-1].Position + 1
	}
	p.Ops, err = s.replayOps(ctx, endpoint, found, what.DeadOnly)
	return p, err
}

func (s *Service) replayOps(ctx context.Context, endpoint Endpoint, found []entry, deadOnly bool) (ops []store.Op, err error) {
	endpoint.Active = true // what is for one that is not waits
	now := s.now()
	for _, e := range found {
		if !endpoint.wants(e.Event) {
			continue
		}
		d, err := s.deliveries.Get(ctx, deliveryID(endpoint.ID, e.Event))
		switch {
		case fault.Is(err, fault.NotFound):
			if !deadOnly {
				ops = append(ops, s.deliveries.Insert(newDelivery(endpoint, e.Event, now)))
			}
		case err != nil:
			return nil, err
		case d.Status == Dead || d.Status == Delivered && !deadOnly:
			d.again(now)
			ops = append(ops, s.deliveries.Update(d))
		}
	}
	return ops, nil
}
