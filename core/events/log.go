package events

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// entry is an event in the log.
type entry struct {
	Event
	ExpiresAt time.Time `json:"expiresAt"`

	version int64
}

// position is how far the log of a project goes. Each commit that lengthens the log raises it, so positions have no gaps, and
// whoever has read it finds everything up to it.
type position struct {
	ProjectID string `json:"projectId"`
	Position  int64  `json:"position"`

	version int64
}

const (
	entries        = "event_log"
	positions      = "event_positions"
	byProject      = "by_project"
	byOrganization = "by_organization"
	byDirectory    = "by_directory"
)

var (
	entryCollection = store.Collection{Name: entries, Sealed: true, Expires: true, Keys: record.Keys(entryHead), Indexes: []store.Index{
		{Name: byProject, Fields: []string{"project", "position"}},
		{Name: byOrganization, Fields: []string{"organization", "position"}},
		{Name: byDirectory, Fields: []string{"directory", "position"}},
	}}
	positionCollection = store.Collection{Name: positions}
)

func entryHead(e entry) store.Doc {
	return store.Doc{ID: e.key(), Version: e.version, ExpiresAt: e.ExpiresAt, Keys: map[string]string{
		"project": e.ProjectID, "organization": e.OrganizationID, "directory": e.DirectoryID, "position": key.Number(e.Position)}}
}

func positionHead(p position) store.Doc { return store.Doc{ID: p.ProjectID, Version: p.version} }

// key is the id of the event in the log. It tells the resource and the number, so that one look finds whether an event's
// predecessor is there, and none is there twice.
func (e Event) key() string {
	if e.Seq == 0 {
		return e.ID
	}
	return e.keyOf(e.Seq)
}

// keyOf is the key of another event of the resource.
func (e Event) keyOf(seq int64) string {
	return id.Hash(e.ProjectID, e.ResourceType, e.ResourceID, key.Number(seq))
}

// Query asks for events behind a position.
type Query struct {
	Scope
	After int64    // 0: from the first that is kept
	Types []string // none: all; names of Portico or of Polis
	Limit int      // events to look at: 1 to 500; 0 is 100
}

// Feed is what a query finds, in the order of positions.
type Feed struct {
	Events []Event
	Next   int64 // for Query.After
	More   bool  // there are more behind Next already
}

const (
	feedLimit   = 100
	maxFeed     = 500
	codeExpired = "expired_cursor"
)

// Expired reports whether err says that events behind Query.After are no longer kept.
func Expired(err error) bool { return fault.Code(err) == codeExpired }

// Read reads the log. Faults: Invalid at after, of a position that is not there yet, or whose successors are gone (see
// Expired).
func (s *Service) Read(ctx context.Context, q Query) (Feed, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = feedLimit
	}
	limit = min(limit, maxFeed)
	last, err := s.LastPosition(ctx, q.ProjectID) // first: everything up to it is there now
	if err != nil {
		return Feed{}, err
	}
	if q.After < 0 || q.After > last {
		return Feed{}, fault.At("after", "invalid_cursor", "The log does not go that far. Begin with the position of an event, or with 0.")
	}
	if err := s.checkKept(ctx, q, last); err != nil || q.After == last {
		return Feed{Next: last}, err
	}
	index, value := q.index()
	found, err := s.entries.Range(ctx, store.Range{Index: index, Eq: []string{value},
		From: key.Number(q.After + 1), To: key.Number(last + 1), Limit: limit})
	if err != nil {
		return Feed{}, err
	}
	feed := Feed{Next: last}
	if len(found) == limit {
		feed.Next = found[limit-1].Position
		feed.More = feed.Next < last
	}
	for _, e := range found {
		if e.ProjectID == q.ProjectID && e.within(q.Scope) && e.oneOf(q.Types) {
			feed.Events = append(feed.Events, e.Event)
		}
	}
	return feed, nil
}

// LastPosition is how far the log of a project goes.
func (s *Service) LastPosition(ctx context.Context, projectID string) (int64, error) {
	p, err := s.positions.Get(ctx, projectID)
	if fault.Is(err, fault.NotFound) {
		return 0, nil
	}
	return p.Position, err
}

// checkKept refuses a cursor behind which something is gone: its reader must learn that it has missed events.
func (s *Service) checkKept(ctx context.Context, q Query, last int64) error {
	if q.After == 0 || q.After == last {
		return nil
	}
	first, err := s.entries.Range(ctx, store.Range{Index: byProject, Eq: []string{q.ProjectID}, Limit: 1})
	if err != nil || len(first) > 0 && first[0].Position <= q.After+1 {
		return err
	}
	return fault.At("after", codeExpired, "Events behind this position are no longer kept. Read the resources anew, and go on from the newest event.")
}

// index is the one that serves a scope, whose ids anybody may have made up.
func (s Scope) index() (name, value string) {
	switch {
	case s.DirectoryID != "":
		return byDirectory, key.Text(s.DirectoryID)
	case s.OrganizationID != "":
		return byOrganization, key.Text(s.OrganizationID)
	}
	return byProject, key.Text(s.ProjectID)
}

func (e Event) within(s Scope) bool {
	return e.ProjectID == s.ProjectID && (s.OrganizationID == "" || s.OrganizationID == e.OrganizationID) &&
		(s.DirectoryID == "" || s.DirectoryID == e.DirectoryID)
}

func (e Event) oneOf(types []string) bool {
	return len(types) == 0 || slices.Contains(types, e.Type) || e.Polis != "" && slices.Contains(types, e.Polis)
}

// watchers are told when a log grows.
type watchers struct {
	mu  sync.Mutex
	all map[string]map[chan struct{}]struct{}
}

// Watch receives whenever this instance has lengthened the log of a project, until stop is called. Others may have as well:
// who watches also looks from time to time.
func (s *Service) Watch(projectID string) (grown <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w := &s.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[projectID] == nil {
		w.all[projectID] = map[chan struct{}]struct{}{}
	}
	w.all[projectID][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all[projectID], c)
		if len(w.all[projectID]) == 0 {
			delete(w.all, projectID)
		}
	}
}

func (w *watchers) tell(projectID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all[projectID] {
		ring(c)
	}
}

// ring lets whoever waits on c go on; a channel that has been rung is not rung twice.
func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
