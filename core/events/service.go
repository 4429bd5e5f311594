package events

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/secret"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
)

// Options are what the service is made of. All are required, save those that say otherwise.
type Options struct {
	Records *store.Store
	IDs     id.Source
	Leases  *lease.Service
	Send    outbound.Sender
	Logger  *slog.Logger
	// Names are the slugs of a project and of an organization, for Polis's payloads; "" of what is gone.
	Names func(ctx context.Context, projectID, organizationID string) (product, tenant string, err error)
	// URL and Secret are of the endpoint of the whole installation, which is told of connections and directories in
	// Polis's format; "" is none.
	URL    string
	Secret secret.Secret
	// KeepEvents is how long an event stays in the log and a dead letter can be sent again, KeepDeliveries how long it is
	// known what became of a delivery. 0 is 30 and 7 days.
	KeepEvents, KeepDeliveries time.Duration
}

// How long things are kept where nobody chose.
const (
	DefaultKeepEvents     = 30 * 24 * time.Hour
	DefaultKeepDeliveries = 7 * 24 * time.Hour
)

// Service keeps events and tells them.
type Service struct {
	Options
	letters    record.Repo[letter]
	entries    record.Repo[entry]
	positions  record.Repo[position]
	endpoints  record.Repo[Endpoint]
	deliveries record.Repo[Delivery]
	healths    record.Repo[health]
	byScope    *cache.Cache[[]Endpoint]
	slugs      *cache.Cache[names]
	relays     *lease.Keeper // of projects
	leases     *lease.Keeper // of endpoints
	wake, due  chan struct{}
	watchers   watchers
	moved      moved
	senders    senders

	mu   sync.Mutex
	said map[string]time.Time
}

// NewService makes the service.
func NewService(o Options) *Service {
	if o.KeepEvents == 0 {
		o.KeepEvents = DefaultKeepEvents
	}
	if o.KeepDeliveries == 0 {
		o.KeepDeliveries = DefaultKeepDeliveries
	}
	s := &Service{Options: o, wake: make(chan struct{}, 1), due: make(chan struct{}, 1),
		byScope: cache.New[[]Endpoint](o.IDs.Now), slugs: cache.NewFor[names](o.IDs.Now, time.Minute),
		relays: o.Leases.Keeper(relayLease), leases: o.Leases.Keeper(senderLease),
		watchers: watchers{all: map[string]map[chan struct{}]struct{}{}}, moved: moved{keys: map[string]bool{}},
		senders: senders{busy: map[string]bool{}, paused: map[string]time.Time{}}, said: map[string]time.Time{}}
	s.letters = record.Repo[letter]{Store: o.Records, Collection: outbox, Noun: "outbox document",
		Head: letterHead, SetVersion: func(l *letter, v int64) { l.version = v }}
	s.entries = record.Repo[entry]{Store: o.Records, Collection: entries, Noun: "event",
		Head: entryHead, SetVersion: func(e *entry, v int64) { e.version = v }}
	s.positions = record.Repo[position]{Store: o.Records, Collection: positions, Noun: "event log",
		Head: positionHead, SetVersion: func(p *position, v int64) { p.version = v }}
	s.endpoints = record.Repo[Endpoint]{Store: o.Records, Collection: endpoints, Noun: "webhook endpoint",
		Head: endpointHead, SetVersion: func(e *Endpoint, v int64) { e.Version = v }}
	s.deliveries = record.Repo[Delivery]{Store: o.Records, Collection: deliveries, Noun: "delivery",
		Head: deliveryHead, SetVersion: func(d *Delivery, v int64) { d.version = v }}
	s.healths = record.Repo[health]{Store: o.Records, Collection: healths, Noun: "health of a webhook endpoint",
		Head: healthHead, SetVersion: func(h *health, v int64) { h.version = v }}
	o.Leases.Do(replayKind, s.replayPageOf)
	o.Leases.Do(endKind, s.endPage)
	return s
}

// Collections declares what this module stores.
func Collections() store.Schema {
	return store.Schema{outboxCollection, entryCollection, positionCollection, endpointCollection, deliveryCollection, {Name: healths}}
}

// Wake says that a commit put events into the outbox of a project, so that they are told at once. Without it they are told
// a second later.
func (s *Service) Wake(string) { ring(s.wake) }

// names are the slugs that payloads for Polis's receivers hold.
type names struct{ product, tenant string }

func (s *Service) names(ctx context.Context, projectID, organizationID string) (names, error) {
	return s.slugs.Get(projectID+"/"+organizationID, func() (n names, err error) {
		n.product, n.tenant, err = s.Names(ctx, projectID, organizationID)
		return n, err
	})
}

const sayAgain = time.Minute

// maySay says whether a complaint is due again: what is found anew each second is not logged each second.
func (s *Service) maySay(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if last, ok := s.said[what]; ok && now.Sub(last) < sayAgain {
		return false
	}
	if len(s.said) > 1000 {
		clear(s.said)
	}
	s.said[what] = now
	return true
}

func (s *Service) now() time.Time { return s.IDs.Now().UTC() }
