package events

import (
	"context"
	"log/slog"
	"time"

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

// Service keeps events and tells them.
type Service struct {
	Options
	letters record.Repo[letter]
	wake    chan struct{}
}

// NewService makes the service.
func NewService(o Options) *Service {
	s := &Service{Options: o, wake: make(chan struct{}, 1)}
	s.letters = record.Repo[letter]{Store: o.Records, Collection: outbox, Noun: "outbox document",
		Head: letterHead, SetVersion: func(l *letter, v int64) { l.version = v }}
	return s
}

// Collections declares what this module stores.
func Collections() store.Schema { return store.Schema{outboxCollection} }

// Wake says that a commit put events into the outbox of a project, so that they are told at once. Without it they are told
// a second later.
func (s *Service) Wake(projectID string) {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) now() time.Time { return s.IDs.Now().UTC() }
