package events

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/ports/store"
)

const (
	relayLease = 15 * time.Second
	relayPage  = 100     // outbox documents at a time
	maxOps     = 450     // of a commit of the relay
	maxBytes   = 1 << 20 // of the events in it, if it has more than one; what is left of an outbox document is in it too
)

// Waiting receives when this instance has events to relay.
func (s *Service) Waiting() <-chan struct{} { return s.wake }

// Relay moves what is in the outbox into the logs of its projects, and to the endpoints' deliveries. Any number of instances
// may call it; a project is relayed by one at a time. An outbox that is empty costs one look.
func (s *Service) Relay(ctx context.Context) error {
	for {
		moved, err := s.relayAll(ctx)
		if err != nil || moved == 0 {
			return err
		}
	}
}

// relayAll gives every project that has something in the outbox its turn.
func (s *Service) relayAll(ctx context.Context) (moved int, err error) {
	c := s.heads(store.Range{Index: byProject})
	for !c.done {
		first, unreadable, err := c.next(ctx, 1)
		if err != nil {
			return moved, s.letters.Fault(err)
		}
		s.complain(ctx, "", unreadable)
		if len(first) == 0 {
			continue
		}
		projectID := first[0].ProjectID
		n, err := s.relay(ctx, projectID)
		moved += n
		if ctx.Err() != nil {
			return moved, ctx.Err()
		}
		if err != nil && s.maySay("relay "+projectID) {
			s.Logger.ErrorContext(ctx, "events of a project not relayed; trying again", "project_id", projectID, "error", err)
		}
		c = s.heads(store.Range{Index: byProject, From: projectID + "\x01"}) // the next project
	}
	return moved, nil
}

func (s *Service) scan(over store.Range) *scan { return &scan{store: s.Records, over: over} }

// heads is a scan that tells of documents their ids and projects alone.
func (s *Service) heads(over store.Range) *scan {
	return &scan{store: s.Records, over: over, heads: true}
}

func (s *Service) complain(ctx context.Context, projectID string, unreadable int) {
	if unreadable > 0 && s.maySay("unreadable "+projectID) {
		s.Logger.ErrorContext(ctx, "outbox documents cannot be read; they and what must follow them wait", "project_id", projectID, "documents", unreadable)
	}
}

// relay is the relaying of one project.
type relay struct {
	*Service
	projectID string
	held      *lease.Held
}

// errOvertaken says that another instance relays the project.
var errOvertaken = errors.New("events: another instance was faster")

// relay goes over a project's part of the outbox once.
func (s *Service) relay(ctx context.Context, projectID string) (moved int, err error) {
	r := &relay{Service: s, projectID: projectID}
	c := s.scan(store.Range{Index: byProject, Eq: []string{projectID}})
	for !c.done {
		if r.held, err = s.relays.Keep(ctx, "events/"+projectID); err != nil {
			return moved, ignore(err, lease.ErrHeld)
		}
		page, unreadable, err := c.next(ctx, relayPage)
		if err != nil {
			return moved, s.letters.Fault(err)
		}
		s.complain(ctx, projectID, unreadable)
		n, err := r.move(ctx, page)
		moved += n
		if err != nil {
			return moved, ignore(err, errOvertaken)
		}
	}
	return moved, nil
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

// move moves what can be moved of a page of outbox documents. One that the store refuses is told apart and left to the
// operator, so that it stops nobody but its own resources.
func (r *relay) move(ctx context.Context, page []*letter) (moved int, err error) {
	moved, err = r.tryMove(ctx, page)
	if !refused(err) {
		return moved, err
	}
	for _, l := range page {
		n, err := r.tryMove(ctx, []*letter{l})
		if moved += n; refused(err) {
			if err = r.untangle(ctx, l); err == nil {
				n, err = r.tryMove(ctx, []*letter{l})
				moved += n
			}
		}
		switch {
		case refused(err):
			if r.maySay("refused " + l.ID) {
				r.Logger.ErrorContext(ctx, "outbox document cannot be relayed; it and what must follow it wait", "project_id", r.projectID,
					"document", l.ID, "error", err)
			}
		case err != nil:
			return moved, err
		}
	}
	return moved, nil
}

// refused reports whether a commit was refused for what it holds.
func refused(err error) bool {
	var taken *store.TakenError
	return errors.As(err, &taken) || errors.Is(err, store.ErrInvalid)
}

// untangle changes a document whose events have keys that are taken: what is in the log already is dropped, and of two
// events of a resource that have one number the second goes without.
func (r *relay) untangle(ctx context.Context, l *letter) error {
	seen := map[string]bool{}
	kept := l.Events[:0:0]
	for _, e := range l.Events {
		there, err := r.logged(ctx, []string{e.key(), e.ID})
		if err != nil {
			return err
		}
		old, numbered := there[e.key()]
		if _, again := there[e.ID]; again || numbered && old.ID == e.ID {
			r.Logger.ErrorContext(ctx, "event was relayed before and is dropped", "project_id", r.projectID, "event_id", e.ID)
			continue
		}
		if numbered || seen[e.key()] {
			r.Logger.ErrorContext(ctx, "event has the number of another one and is told without", "project_id", r.projectID,
				"event_id", e.ID, "resource", e.ResourceType+"/"+e.ResourceID, "seq", e.Seq)
			e.Seq = 0
		}
		seen[e.key()] = true
		kept = append(kept, e)
	}
	l.Events = kept
	return nil
}

// logged reads entries by their keys, of which there are few.
func (r *relay) logged(ctx context.Context, keys []string) (map[string]entry, error) {
	some, err := r.entriesByKey(ctx, keys)
	found := make(map[string]entry, len(some))
	for _, e := range some {
		found[e.key()] = e
	}
	return found, err
}

// item is an event that is to be moved.
type item struct {
	from  *letter
	event Event
	to    []Endpoint
}

func (r *relay) tryMove(ctx context.Context, page []*letter) (moved int, err error) {
	ready, err := r.ready(ctx, page)
	if err != nil {
		return 0, err
	}
	for i := range ready {
		if err := r.complete(ctx, &ready[i]); err != nil {
			return 0, err
		}
	}
	empty := r.empty(page)
	for len(ready) > 0 || len(empty) > 0 {
		n := chunk(ready)
		if err := r.commit(ctx, ready[:n], empty); err != nil {
			return moved, err
		}
		moved += n + len(empty)
		ready, empty = ready[n:], nil
	}
	return moved, nil
}

// empty are the documents of which everything has gone already.
func (r *relay) empty(page []*letter) (found []*letter) {
	for _, l := range page {
		if len(l.Events) == 0 && len(found) < maxOps/2 {
			found = append(found, l)
		}
	}
	return found
}

// complete finds who is to be told of an event, and by which names.
func (r *relay) complete(ctx context.Context, it *item) error {
	e := &it.event
	if e.Product == "" || e.Tenant == "" && e.OrganizationID != "" {
		n, err := r.names(ctx, e.ProjectID, e.OrganizationID)
		if err != nil {
			return err
		}
		e.Product, e.Tenant = n.product, n.tenant
	}
	var err error
	it.to, err = r.endpointsFor(ctx, *e)
	return err
}

// chunk says how many of the items one commit takes.
func chunk(items []item) (n int) {
	ops, bytes := 2, 0 // the position and the lease
	var last *letter
	for _, it := range items {
		ops += 1 + len(it.to)
		if it.from != last { // counted again where it comes again: a little less fits
			ops++
			last = it.from
		}
		bytes += len(it.event.Data) + len(it.event.PolisData)
		if n > 0 && (ops > maxOps || bytes > maxBytes) {
			return n
		}
		n++
	}
	return n
}

// ready orders the events of a page that may go now: each behind its predecessor of the same resource. Events whose
// predecessor is still in the outbox, on a later page, wait.
func (r *relay) ready(ctx context.Context, page []*letter) ([]item, error) {
	here := map[string]bool{}
	for _, l := range page {
		for _, e := range l.Events {
			here[e.key()] = true
		}
	}
	var ask []string
	for _, l := range page {
		for _, e := range l.Events {
			if e.Seq > 1 && !here[e.keyOf(e.Seq-1)] {
				ask = append(ask, e.keyOf(e.Seq-1))
			}
		}
	}
	waiting, err := r.unrelayed(ctx, ask)
	if err != nil {
		return nil, err
	}
	var list []item
	behind := map[string][]item{} // by the key of the predecessor
	gone := map[string]bool{}
	var add func(it item)
	add = func(it item) {
		list = append(list, it)
		key := it.event.key()
		gone[key] = true
		next := behind[key]
		delete(behind, key)
		for _, it := range next {
			add(it)
		}
	}
	for _, l := range page {
		for _, e := range l.Events {
			before := e.keyOf(e.Seq - 1)
			if e.Seq > 1 && (waiting[before] || here[before] && !gone[before]) {
				behind[before] = append(behind[before], item{from: l, event: e})
				continue
			}
			add(item{from: l, event: e})
		}
	}
	return list, nil
}

// unrelayed says which of the keys are not in the log yet. Events of one resource are committed one behind the other, so the
// predecessor of one that has been read is in the outbox or was relayed: perhaps so long ago that the log has forgotten it.
func (r *relay) unrelayed(ctx context.Context, keys []string) (map[string]bool, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	sought := make(map[string]bool, len(keys))
	for _, k := range keys {
		if !r.moved.has(k) {
			sought[k] = true
		}
	}
	for some := range slices.Chunk(slices.Collect(maps.Keys(sought)), store.MaxPage) {
		there, err := r.Records.GetMany(ctx, entries, some)
		if err != nil {
			return nil, r.entries.Fault(err)
		}
		for _, d := range there {
			delete(sought, d.ID)
		}
	}
	if len(sought) == 0 {
		return nil, nil
	}
	waiting := map[string]bool{}
	for c := r.scan(store.Range{Index: byProject, Eq: []string{r.projectID}}); !c.done; {
		page, unreadable, err := c.next(ctx, relayPage)
		if err != nil {
			return nil, r.letters.Fault(err)
		}
		if unreadable > 0 { // it may be in there
			return sought, nil
		}
		for _, l := range page {
			for _, e := range l.Events {
				if sought[e.key()] {
					waiting[e.key()] = true
				}
			}
		}
	}
	return waiting, nil
}

// moved is which events this instance has moved into logs of late: what comes next of the same resources is not preceded by
// a look. What is in a log once stays there, or is forgotten because it is old.
type moved struct {
	mu   sync.Mutex
	keys map[string]bool
}

// maxMoved bounds the keys, of 43 bytes.
const maxMoved = 10_000

func (m *moved) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[key]
}

func (m *moved) add(items []item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.keys)+len(items) > maxMoved {
		clear(m.keys)
	}
	for _, it := range items {
		if it.event.Seq > 0 {
			delete(m.keys, it.event.keyOf(it.event.Seq-1)) // nobody asks for it any more
			m.keys[it.event.key()] = true
		}
	}
}

// commit moves events: they get the next positions, and deliveries to their endpoints, and are gone from the outbox.
func (r *relay) commit(ctx context.Context, items []item, empty []*letter) error {
	p, err := r.positions.Get(ctx, r.projectID)
	if fault.Is(err, fault.NotFound) {
		p, err = position{ProjectID: r.projectID}, nil
	}
	if err != nil {
		return err
	}
	now, delivered := r.now(), 0
	var ops []store.Op
	left := map[*letter]map[string]bool{} // ids of the events that go
	for _, l := range empty {
		left[l] = nil
	}
	for _, it := range items {
		p.Position++
		it.event.Position = p.Position
		ops = append(ops, r.entries.Insert(entry{Event: it.event, ExpiresAt: now.Add(r.KeepEvents)}))
		for _, endpoint := range it.to {
			ops = append(ops, r.deliveries.Insert(newDelivery(endpoint, it.event, now)))
			delivered++
		}
		if left[it.from] == nil {
			left[it.from] = map[string]bool{}
		}
		left[it.from][it.event.ID] = true
	}
	rest := map[*letter]letter{}
	for l, ids := range left {
		now := *l
		now.Events = without(l.Events, ids)
		rest[l] = now
		if len(now.Events) == 0 {
			ops = append(ops, r.letters.Delete(*l))
		} else {
			ops = append(ops, r.letters.Update(now))
		}
	}
	raise := r.positions.Update(p)
	if p.version == 0 {
		raise = r.positions.Insert(p)
	}
	if len(items) == 0 {
		return ignore(r.held.Commit(ctx, ops...), store.ErrConflict)
	}
	made := func(ctx context.Context) (bool, error) { return r.Records.Made(ctx, raise) }
	err = store.Once(ctx, made, func() error {
		err := r.held.Commit(ctx, append(ops, raise)...)
		if errors.Is(err, store.ErrConflict) || store.Taken(err, positions, "") {
			return errOvertaken // and not tried again as it is
		}
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		err = errOvertaken
	}
	if err != nil {
		return err
	}
	for l, now := range rest {
		*l = now
		l.version++
	}
	r.moved.add(items)
	r.watchers.tell(r.projectID)
	if delivered > 0 {
		ring(r.due)
	}
	return nil
}

func without(list []Event, ids map[string]bool) (kept []Event) {
	for _, e := range list {
		if !ids[e.ID] {
			kept = append(kept, e)
		}
	}
	return kept
}
