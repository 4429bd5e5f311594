package events

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
)

// How endpoints are called.
const (
	CallTime     = 20 * time.Second // of one call
	maxAnswer    = 16 << 10         // bytes read of an answer, which does not matter
	senderLease  = time.Minute      // half of it is longer than a call
	parallel     = 8                // resources of an endpoint at a time, where it takes no batches
	maxSenders   = 32               // endpoints at a time on one instance
	duePage      = 100              // deliveries looked at together
	settlePage   = 100              // deliveries settled by one commit
	maxPayload   = 4 << 20          // bytes of events in one batch, if it has more than one
	pauseAfter   = 3                // calls in a row that found nobody, before an endpoint has a rest
	pauseFirst   = 10 * time.Second
	pauseMost    = 5 * time.Minute
	GiveUpAfter  = 5 * 24 * time.Hour // an endpoint that took nothing for so long is deactivated
	givesUpTries = 6                  // and one delivery was tried so often
)

// Again is how long after an attempt that failed comes the next one, a fifth more or less; there are that many. They are three days
// together.
var Again = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 20 * time.Hour, 24 * time.Hour}

// health is how an endpoint has answered lately. Who holds the endpoint's lease writes it.
type health struct {
	EndpointID   string    `json:"endpointId"`
	FailingSince time.Time `json:"failingSince,omitzero"` // nothing was taken since
	Unreached    int       `json:"unreached,omitempty"`   // calls in a row that found nobody
	PausedUntil  time.Time `json:"pausedUntil,omitzero"`

	version int64
}

const healths = "webhook_health"

func healthHead(h health) store.Doc { return store.Doc{ID: h.EndpointID, Version: h.version} }

// FailingSince is since when an endpoint has taken nothing that it was sent; zero where that is not so.
func (s *Service) FailingSince(ctx context.Context, endpointID string) (time.Time, error) {
	h, err := s.health(ctx, endpointID)
	return h.FailingSince, err
}

func (s *Service) health(ctx context.Context, endpointID string) (health, error) {
	h, err := s.healths.Get(ctx, endpointID)
	if fault.Is(err, fault.NotFound) {
		return health{EndpointID: endpointID}, nil
	}
	return h, err
}

// resume ends an endpoint's rest and has its deliveries looked at.
func (s *Service) resume(ctx context.Context, endpointID string) error {
	_, err := s.healths.Change(ctx, endpointID, func(h *health) error {
		h.PausedUntil, h.Unreached, h.FailingSince = time.Time{}, 0, time.Time{}
		return nil
	})
	s.senders.mu.Lock()
	delete(s.senders.paused, endpointID)
	s.senders.mu.Unlock()
	ring(s.due)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// senders are the endpoints that this instance is at.
type senders struct {
	mu     sync.Mutex
	busy   map[string]bool
	paused map[string]time.Time
	next   string // the first endpoint that there was no room for, when it was last looked; "" if there was
	all    sync.WaitGroup
}

// begin says whether the endpoint is free for another worker, and whether there is room for it.
func (w *senders) begin(endpointID string, now time.Time) (free, room bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until, ok := w.paused[endpointID]; ok {
		if now.Before(until) {
			return false, true
		}
		delete(w.paused, endpointID)
	}
	if w.busy[endpointID] {
		return false, true
	}
	if len(w.busy) >= maxSenders {
		w.next = endpointID
		return true, false
	}
	w.busy[endpointID] = true
	return true, true
}

func (w *senders) end(endpointID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, endpointID)
}

// turn is the endpoint whose turn it is, or "" where none waits.
func (w *senders) turn() (endpointID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

// roomy says that none waits any more.
func (w *senders) roomy() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = ""
}

// crowded reports whether some endpoint waits for room.
func (w *senders) crowded() bool { return w.turn() != "" }

// Due receives when this instance has something to deliver.
func (s *Service) Due() <-chan struct{} { return s.due }

// Dispatch begins to deliver what is due, in the background until ctx ends; Close waits for that. Any number of instances may
// call it: an endpoint is served by one at a time. It looks once for each endpoint with something pending.
func (s *Service) Dispatch(ctx context.Context) error {
	_, err := s.dispatch(ctx, func(bool) {})
	return err
}

// Deliver is Dispatch until nothing is due any more that this instance could deliver.
func (s *Service) Deliver(ctx context.Context) error {
	for {
		var mu sync.Mutex
		moved := false
		n, err := s.dispatch(ctx, func(progressed bool) {
			mu.Lock()
			defer mu.Unlock()
			moved = moved || progressed
		})
		s.senders.all.Wait()
		if err != nil || n == 0 || !moved || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Service) dispatch(ctx context.Context, done func(progressed bool)) (begun int, err error) {
	turn := s.senders.turn()
	over := []store.Range{{Index: byDue, From: max(turn, "\x01")}}
	if turn != "" { // and those before it behind all others
		over = append(over, store.Range{Index: byDue, From: "\x01", To: turn})
	}
	for _, r := range over {
		n, room, err := s.dispatchSome(ctx, r, done)
		if begun += n; err != nil || !room {
			return begun, err
		}
	}
	s.senders.roomy()
	return begun, ctx.Err()
}

// dispatchSome is dispatch for some endpoints; room is false where others wait behind them.
func (s *Service) dispatchSome(ctx context.Context, r store.Range, done func(progressed bool)) (begun int, room bool, err error) {
	for r.Limit = 1; ctx.Err() == nil; {
		first, err := s.deliveries.Range(ctx, r)
		if err != nil || len(first) == 0 {
			return begun, true, err
		}
		endpointID, now := first[0].EndpointID, s.now()
		r.From = endpointID + "\x01" // the next endpoint
		if first[0].DueAt.After(now) {
			continue
		}
		free, room := s.senders.begin(endpointID, now)
		if !room {
			return begun, false, nil
		}
		if !free {
			continue
		}
		begun++
		s.senders.all.Go(func() {
			progressed, err := s.serve(ctx, endpointID)
			s.senders.end(endpointID)
			if err != nil && ctx.Err() == nil && s.maySay("deliver "+endpointID) {
				s.Logger.ErrorContext(ctx, "deliveries not made; trying again", "endpoint_id", endpointID, "error", err)
			}
			if progressed {
				ring(s.due) // what came meanwhile found the endpoint busy, or no room
			}
			done(progressed)
		})
	}
	return begun, true, ctx.Err()
}

// sender is the serving of one endpoint, under its lease.
type sender struct {
	*Service
	endpoint Endpoint
	held     *lease.Held
	mu       sync.Mutex
	health   health
	changed  bool // health
	began    time.Time
}

// serve delivers what is due at an endpoint, for as long as no other one waits for its turn.
func (s *Service) serve(ctx context.Context, endpointID string) (progressed bool, err error) {
	for ctx.Err() == nil {
		w := &sender{Service: s, began: s.now()}
		if w.endpoint, err = s.target(ctx, endpointID); err != nil && !fault.Is(err, fault.NotFound) {
			return progressed, err
		}
		gone := err != nil
		if !gone && !w.endpoint.Active {
			return progressed, nil
		}
		if w.health, err = s.health(ctx, endpointID); err != nil {
			return progressed, err
		}
		if w.resting() && !gone {
			s.senders.mu.Lock()
			s.senders.paused[endpointID] = w.health.PausedUntil
			s.senders.mu.Unlock()
			return progressed, nil
		}
		if w.held, err = s.leases.Keep(ctx, "webhooks/"+endpointID); err != nil {
			return progressed, ignore(err, lease.ErrHeld)
		}
		if gone {
			return true, s.discard(ctx, w.held, endpointID)
		}
		limit := duePage
		if w.health.Unreached >= pauseAfter { // behind a rest one goes first
			limit = 1
		} else if w.endpoint.BatchSize > 0 {
			limit = w.endpoint.BatchSize
		}
		due, err := s.deliveries.Range(ctx, store.Range{Index: byDue, Eq: []string{endpointID}, To: key.Time(s.now().Add(time.Microsecond)), Limit: limit})
		if err != nil || len(due) == 0 {
			return progressed, err
		}
		if err = w.round(ctx, due); err != nil {
			return progressed, errors.Join(err, w.saveHealth(ctx))
		}
		if err = w.saveHealth(ctx); err != nil {
			return progressed, err
		}
		progressed = true
		if s.senders.crowded() {
			break
		}
	}
	return progressed, nil
}

// over reports whether it is another endpoint's turn.
func (w *sender) over() bool {
	return w.now().Sub(w.began) > CallTime && w.senders.crowded()
}

// target reads an endpoint that has something to be sent.
func (s *Service) target(ctx context.Context, endpointID string) (Endpoint, error) {
	if endpointID != Installation {
		return s.endpoints.Get(ctx, endpointID)
	}
	e, ok := s.InstallationEndpoint()
	e.Active = ok // an instance that was started without it leaves it to others
	return e, nil
}

// discard removes the deliveries of an endpoint that is no more.
func (s *Service) discard(ctx context.Context, held *lease.Held, endpointID string) error {
	for {
		list, err := s.deliveries.Range(ctx, store.Range{Index: byEndpoint, Eq: []string{endpointID}, Limit: maxOps})
		if err != nil || len(list) == 0 {
			return err
		}
		ops := make([]store.Op, len(list))
		for i, d := range list {
			ops[i] = s.deliveries.Delete(d)
		}
		if err := held.Commit(ctx, ops...); err != nil {
			return s.deliveries.Fault(err)
		}
	}
}

// round delivers some deliveries, each lane in its order. An error is of the store, or of ctx.
func (w *sender) round(ctx context.Context, due []Delivery) error {
	slices.SortFunc(due, func(a, b Delivery) int { return cmp.Compare(a.Position, b.Position) })
	if w.endpoint.BatchSize > 0 {
		return w.together(ctx, due)
	}
	for _, part := range parts(due) {
		if err := w.together(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// parts cuts deliveries where one of them and one before it are to be sent one behind the other though their lanes differ.
func parts(due []Delivery) (all [][]Delivery) {
	begin, lanes, after := 0, map[string]bool{}, map[string]bool{}
	for i, d := range due {
		if lanes[d.After] || after[d.Lane] {
			all = append(all, due[begin:i])
			begin, lanes, after = i, map[string]bool{}, map[string]bool{}
		}
		lanes[d.Lane] = true
		if d.After != "" {
			after[d.After] = true
		}
	}
	return append(all, due[begin:])
}

// together delivers several lanes at a time.
func (w *sender) together(ctx context.Context, due []Delivery) error {
	var order []string
	lanes := map[string][]Delivery{}
	for _, d := range due {
		if lanes[d.Lane] == nil {
			order = append(order, d.Lane)
		}
		lanes[d.Lane] = append(lanes[d.Lane], d)
	}
	if w.endpoint.BatchSize > 0 {
		return w.roundOfBatches(ctx, order, lanes)
	}
	work := make(chan []Delivery)
	failed := make([]error, min(parallel, len(order)))
	var all sync.WaitGroup
	for i := range failed {
		all.Go(func() {
			for lane := range work {
				if failed[i] == nil {
					failed[i] = w.lane(ctx, lane)
				}
			}
		})
	}
	for _, name := range order {
		work <- lanes[name]
	}
	close(work)
	all.Wait()
	return errors.Join(failed...)
}

// lane delivers those of a resource one behind the other, until one fails.
func (w *sender) lane(ctx context.Context, list []Delivery) error {
	for len(list) > 0 {
		ready, err := w.heads(ctx, list)
		if err != nil || len(ready) == 0 {
			return err
		}
		ok, err := w.send(ctx, ready[:1])
		if err != nil || !ok {
			return err
		}
		list = list[1:]
	}
	return nil
}

// heads are as many of a lane's deliveries as stand at its beginning, as they are now. The others are held back.
func (w *sender) heads(ctx context.Context, list []Delivery) ([]Delivery, error) {
	first, err := w.deliveries.Range(ctx, store.Range{Index: byLane, Eq: []string{list[0].Lane}, Limit: len(list)})
	if err != nil || len(first) == 0 {
		return nil, err
	}
	n := 0
	for n < len(first) && first[n].ID == list[n].ID {
		n++
	}
	for _, d := range list[n:] {
		if d.ID == first[0].ID {
			continue
		}
		d.Held = true
		err := w.held.Commit(ctx, w.deliveries.Update(d), w.deliveries.Check(first[0]))
		if err != nil && !errors.Is(err, store.ErrConflict) { // it changed meanwhile, and is looked at again
			return nil, w.deliveries.Fault(err)
		}
	}
	return first[:n], nil
}

// roundOfBatches sends what can go together in arrays, and alone what failed in one.
func (w *sender) roundOfBatches(ctx context.Context, order []string, lanes map[string][]Delivery) error {
	var batch []Delivery
	var alone [][]Delivery
	for _, name := range order {
		ready, err := w.heads(ctx, lanes[name])
		if err != nil {
			return err
		}
		if slices.ContainsFunc(ready, func(d Delivery) bool { return d.Alone }) {
			alone = append(alone, ready)
			continue
		}
		batch = append(batch, ready...)
	}
	slices.SortFunc(batch, func(a, b Delivery) int { return cmp.Compare(a.Position, b.Position) })
	if len(batch) > 0 {
		if _, err := w.send(ctx, batch); err != nil {
			return err
		}
	}
	for _, list := range alone {
		if err := w.lane(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

// outcome is what came of a call.
type outcome struct {
	code int    // 0: there was no answer
	why  string // "": it was taken
	took time.Duration
}

// nobody says that the failure is of the endpoint, whatever it was sent.
func (o outcome) nobody() bool {
	switch o.code {
	case 0, 410, 429, 502, 503, 504:
		return true
	}
	return false
}

// send makes one call for deliveries and settles them. ok is false where they were not taken.
func (w *sender) send(ctx context.Context, list []Delivery) (ok bool, err error) {
	if w.resting() || w.over() || ctx.Err() != nil {
		return false, ctx.Err()
	}
	if w.held.Remaining() < CallTime+senderLease/12 {
		if err := w.held.Renew(ctx); err != nil {
			return false, ignore(err, lease.ErrHeld)
		}
	}
	sent, events, err := w.withEvents(ctx, list)
	if err != nil || len(sent) == 0 {
		return err == nil, err
	}
	o := w.call(ctx, events)
	if ctx.Err() != nil { // nobody knows: another instance sends it again
		return false, ctx.Err()
	}
	w.learn(o)
	for i := range sent {
		w.judge(ctx, &sent[i], o, len(sent) > 1)
	}
	if o.code == 410 {
		w.deactivate(ctx, Gone)
	}
	return o.why == "", w.settle(ctx, sent)
}

// withEvents finds the events of deliveries, as many as a payload may hold. A delivery whose event is gone is given up.
func (w *sender) withEvents(ctx context.Context, list []Delivery) (sent []Delivery, events []Event, err error) {
	keys := make([]string, len(list))
	for i, d := range list {
		keys[i] = d.Key
	}
	found, err := w.entriesByKey(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	byKey := make(map[string]Event, len(found))
	for _, e := range found {
		byKey[e.key()] = e.Event
	}
	bytes := 0
	for _, d := range list {
		e, ok := byKey[d.Key]
		if !ok {
			d.Error = "the event is no longer kept"
			w.bury(&d)
			if err := w.settle(ctx, []Delivery{d}); err != nil {
				return nil, nil, err
			}
			continue
		}
		if bytes += len(e.Data) + len(e.PolisData); len(sent) > 0 && bytes > maxPayload {
			break
		}
		sent, events = append(sent, d), append(events, e)
	}
	return sent, events, nil
}

func (w *sender) call(ctx context.Context, events []Event) outcome {
	began := w.now()
	body := w.endpoint.Payload(events)
	call, cancel := context.WithTimeout(ctx, CallTime)
	defer cancel()
	answer, err := w.Send.Send(call, outbound.Request{Method: "POST", URL: w.endpoint.URL, MaxBytes: maxAnswer, Body: body,
		Header: w.endpoint.headers(messageID(events), began, body)})
	o := outcome{code: answer.Status, took: w.now().Sub(began)}
	switch {
	case o.code >= 200 && o.code <= 299: // whatever its body
	case o.code != 0:
		o.why = "the endpoint answered with another status than 200 to 299"
	case errors.Is(err, outbound.ErrForbidden):
		o.why = "the address is not allowed: it has to be https, in a public network or one of PORTICO_ALLOW_PRIVATE_NETWORKS"
	default:
		o.why = "the endpoint does not answer: no name, no connection, no trusted certificate, or nothing in time"
	}
	return o
}

// judge writes into a delivery what came of the call.
func (w *sender) judge(ctx context.Context, d *Delivery, o outcome, together bool) {
	now := w.now()
	d.Code, d.Error, d.Took, d.TriedAt = o.code, o.why, o.took, now
	d.Attempts++
	switch {
	case o.why == "":
		d.Status, d.ExpiresAt = Delivered, now.Add(w.KeepDeliveries)
	case d.Attempts > len(Again):
		w.bury(d)
		w.Logger.WarnContext(ctx, "event given up at an endpoint", "endpoint_id", d.EndpointID, "project_id", d.ProjectID, "event_id", d.EventID, "position", d.Position, "status", d.Code)
	default:
		d.DueAt = now.Add(w.jitter(Again[d.Attempts-1]))
		d.Alone = d.Alone || together && !o.nobody()
	}
}

// bury makes a dead letter, which is kept as long as its event can be.
func (w *sender) bury(d *Delivery) { d.Status, d.ExpiresAt = Dead, w.now().Add(w.KeepEvents) }

// jitter is a fifth more or less, so that what failed together does not come back together.
func (s *Service) jitter(d time.Duration) time.Duration {
	part := float64(binary.BigEndian.Uint16(s.IDs.Bytes(2))) / (1 << 16)
	return time.Duration(float64(d) * (0.8 + 0.4*part))
}

// settle writes deliveries back, and lets go the next of the lanes of those that are not pending any more.
func (w *sender) settle(ctx context.Context, list []Delivery) error {
	for some := range slices.Chunk(list, settlePage) {
		if err := w.settleSome(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (w *sender) settleSome(ctx context.Context, list []Delivery) error {
	made := w.deliveries.Update(list[0])
	err := w.deliveries.Once(ctx, &made, func() error {
		var ops []store.Op
		named := map[string]bool{}
		for i := range list {
			named[list[i].ID] = true
		}
		for i := range list {
			now, err := w.deliveries.Get(ctx, list[i].ID)
			if err != nil || now.Status != Pending { // gone with its endpoint, or settled
				if err = ignoreMissing(err); err != nil {
					return err
				}
				continue
			}
			list[i].version = now.version // somebody may have asked for another attempt meanwhile
			ops = append(ops, w.deliveries.Update(list[i]))
			if list[i].Status == Pending {
				continue
			}
			next, err := w.deliveries.Range(ctx, store.Range{Index: byLane, Eq: []string{list[i].Lane}, From: deliveryPlace(now.ProjectID, now.Position) + "\x01", Limit: 1})
			if err != nil {
				return err
			}
			if len(next) > 0 && next[0].Held && !named[next[0].ID] {
				next[0].Held, next[0].DueAt = false, w.now()
				ops = append(ops, w.deliveries.Update(next[0]))
			}
		}
		if len(ops) == 0 {
			return nil
		}
		made = ops[0]
		return w.held.Commit(ctx, ops...)
	})
	return w.deliveries.Fault(err)
}

func ignoreMissing(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// learn notes how the endpoint answered.
func (w *sender) learn(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &w.health
	before := *h
	switch {
	case o.why == "":
		h.FailingSince, h.Unreached, h.PausedUntil = time.Time{}, 0, time.Time{}
	default:
		if h.FailingSince.IsZero() {
			h.FailingSince = w.now()
		}
		if h.Unreached++; !o.nobody() {
			h.Unreached = 0 // somebody is there
		}
		if h.Unreached >= pauseAfter {
			h.PausedUntil = w.now().Add(w.jitter(min(pauseMost, pauseFirst<<min(h.Unreached-pauseAfter, 10))))
		}
	}
	w.changed = w.changed || *h != before
}

func (w *sender) resting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now().Before(w.health.PausedUntil)
}

// saveHealth writes down what was learnt, and deactivates an endpoint that has failed for too long.
func (w *sender) saveHealth(ctx context.Context) error {
	if !w.changed {
		return nil
	}
	h := w.health
	if !h.FailingSince.IsZero() && w.now().Sub(h.FailingSince) >= GiveUpAfter && h.Unreached >= givesUpTries {
		w.deactivate(ctx, Failing)
	}
	op := w.healths.Update(h)
	if h.version == 0 {
		op = w.healths.Insert(h)
	}
	err := w.held.Commit(ctx, op)
	if errors.Is(err, store.ErrConflict) || store.Taken(err, healths, "") { // somebody has ended the rest
		return nil
	}
	return w.healths.Fault(err)
}

// deactivate stops an endpoint until somebody activates it again; what is pending waits.
func (w *sender) deactivate(ctx context.Context, why Reason) {
	if w.endpoint.ID == Installation {
		w.Logger.ErrorContext(ctx, "the endpoint of PORTICO_WEBHOOK_URL takes nothing", "reason", string(why))
		return
	}
	_, err := w.endpoints.Change(ctx, w.endpoint.ID, func(e *Endpoint) error {
		e.Active, e.Reason, e.UpdatedAt = false, why, w.now()
		return nil
	})
	w.byScope.Clear()
	w.Logger.ErrorContext(ctx, "webhook endpoint deactivated", "endpoint_id", w.endpoint.ID, "project_id", w.endpoint.ProjectID, "reason", string(why), "error", err)
}

// Close waits for what Dispatch has begun, whose ctx must have ended, and gives back its leases.
func (s *Service) Close(ctx context.Context) error {
	s.senders.all.Wait()
	s.relays.Close(ctx)
	s.leases.Close(ctx)
	return nil
}
