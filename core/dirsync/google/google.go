// Package google has the people and groups of a Google Workspace in a directory: an administrator of the customer connects it by
// OAuth 2.0, and from then on it is read again and again. What is read is written as SCIM would, through core/dirsync.
package google

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/directory"
	"github.com/portico-sso/portico/ports/store"
)

// The paths of the endpoints, those of Polis.
const (
	PathAuthorize = "/api/scim/oauth/authorize" // with LinkParameter, and directoryId as Polis's callers append it
	PathCallback  = "/api/scim/oauth/callback"
	LinkParameter = "link"
)

// Options are what the service works with.
type Options struct {
	Records, Sessions *store.Store
	IDs               id.Source
	Projects          *project.Service
	Directories       *dirsync.Service
	Leases            *lease.Service
	Source            directory.Directory // nil where there is no client for it: then nothing can be connected, and nothing is read
	Secret            []byte              // of the installation: signs links
	PublicURL         string
	Every             time.Duration // between the end of one sync and the next; 0 is half an hour
	Logger            *slog.Logger
	Wait              func(ctx context.Context, d time.Duration) error // nil is the clock's
}

// Service connects and reads workspaces.
type Service struct {
	Options
	logins record.Repo[login]
	states record.Repo[State]
	wake   chan struct{}
	asked  atomic.Bool // the next SyncDue syncs every directory
}

// State is how far the sync of a directory has come. Who holds the lease of the directory writes it.
type State struct {
	DirectoryID string    `json:"directoryId"`
	Next        time.Time `json:"next"`               // not before, unless somebody asks for it
	Asked       int64     `json:"asked,omitempty"`    // dirsync.Google.Asked, when the last one began
	Failures    int       `json:"failures,omitempty"` // since the last one that was whole
	Error       string    `json:"error,omitempty"`    // of the last one, for the administrator; "" where it was whole
	BeganAt     time.Time `json:"beganAt,omitzero"`   // the last one
	EndedAt     time.Time `json:"endedAt,omitzero"`   // the last one that has ended
	SyncedAt    time.Time `json:"syncedAt,omitzero"`  // end of the last one that was whole
	Result      Result    `json:"result"`             // of that

	version int64
}

// Result counts what a sync saw and did.
type Result struct {
	Users   int `json:"users"`
	Groups  int `json:"groups"`
	Written int `json:"written"` // created or changed
	Deleted int `json:"deleted"`
	Refused int `json:"refused"` // users and groups that could not be taken, such as a person whom another directory provisions
}

const (
	states = "google_syncs"
	logins = "google_logins"
)

// Collections declares what this module stores among the records, SessionCollections what among the sessions.
func Collections() store.Schema { return store.Schema{{Name: states}} }

// SessionCollections declares the logins at Google that are under way.
func SessionCollections() store.Schema {
	return store.Schema{{Name: logins, Expires: true, Sealed: true}}
}

// New makes the service, which is the Reader of its directories.
func New(o Options) *Service {
	if o.Every == 0 {
		o.Every = 30 * time.Minute
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	s := &Service{Options: o, wake: make(chan struct{}, 1),
		logins: record.Repo[login]{
			Store: o.Sessions, Collection: logins, Noun: "login",
			Head:       func(l login) store.Doc { return store.Doc{ID: l.ID, Version: l.version, ExpiresAt: l.ExpiresAt} },
			SetVersion: func(l *login, v int64) { l.version = v },
		},
		states: record.Repo[State]{
			Store: o.Records, Collection: states, Noun: "sync",
			Head:       func(s State) store.Doc { return store.Doc{ID: s.DirectoryID, Version: s.version} },
			SetVersion: func(s *State, v int64) { s.version = v },
		},
	}
	o.Directories.Reader = s
	return s
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *Service) now() time.Time { return s.IDs.Now().UTC() }
