// Package events keeps what happened and tells it: an outbox, into which each change writes its events in its own commit, a
// log with gap-free positions, and webhooks.
package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Event is something that happened to a resource. Its data may hold what is personal and no secret.
type Event struct {
	ID             string    `json:"id"`             // made by Outbox where it is ""
	Type           string    `json:"type,omitempty"` // "IdentityCreated"; "" where Polis alone knows such an event
	Polis          string    `json:"polis,omitempty"`
	ProjectID      string    `json:"projectId"`
	OrganizationID string    `json:"organizationId,omitempty"`
	DirectoryID    string    `json:"directoryId,omitempty"`
	ResourceType   string    `json:"resourceType,omitempty"` // "identity", "group", "connection", "directory"
	ResourceID     string    `json:"resourceId,omitempty"`
	Seq            int64     `json:"seq,omitempty"` // the resource's how many-th event: the first is 1; 0: it keeps no order
	Time           time.Time `json:"time"`          // set by Outbox where it is zero
	ScimClient     string    `json:"scimClient,omitempty"`
	IdentityActive *bool     `json:"identityActive,omitempty"`
	GroupID        string    `json:"groupId,omitempty"` // of the group in Data, where an identity's membership changed
	// Echo says that the resource is as the last event of it told, of which Polis does not speak: the members of a group changed,
	// or the groups of a person.
	Echo bool            `json:"echo,omitempty"`
	Data json.RawMessage `json:"data,omitempty"` // of the standard format, and of Polis's where PolisData is nil
	// PolisData may hold a client secret, where Polis sends one (contract §8). Nobody else sees it.
	PolisData json.RawMessage `json:"polisData,omitempty"`

	Product string `json:"product,omitempty"` // the project's slug and the organization's; the relay finds those that are ""
	Tenant  string `json:"tenant,omitempty"`

	Position int64 `json:"position,omitempty"` // in the log of its project, from 1; 0 while it is in the outbox
}

// The types of events.
const (
	IdentityCreated       = "IdentityCreated"
	IdentityUpdated       = "IdentityUpdated"
	IdentityDeleted       = "IdentityDeleted"
	GroupCreated          = "GroupCreated"
	GroupUpdated          = "GroupUpdated"
	GroupDeleted          = "GroupDeleted"
	ConnectionCreated     = "ConnectionCreated"
	ConnectionActivated   = "ConnectionActivated"
	ConnectionDeactivated = "ConnectionDeactivated"
	ConnectionDeleted     = "ConnectionDeleted"
	DirectoryCreated      = "DirectoryCreated"
	DirectoryActivated    = "DirectoryActivated"
	DirectoryDeactivated  = "DirectoryDeactivated"
	DirectoryDeleted      = "DirectoryDeleted"
)

// Types are all of them.
var Types = []string{IdentityCreated, IdentityUpdated, IdentityDeleted, GroupCreated, GroupUpdated, GroupDeleted,
	ConnectionCreated, ConnectionActivated, ConnectionDeactivated, ConnectionDeleted,
	DirectoryCreated, DirectoryActivated, DirectoryDeactivated, DirectoryDeleted}

// The names that Polis has for events (contract §3.4, §8).
const (
	PolisUserCreated          = "user.created"
	PolisUserUpdated          = "user.updated"
	PolisUserDeleted          = "user.deleted"
	PolisGroupCreated         = "group.created"
	PolisGroupUpdated         = "group.updated"
	PolisGroupDeleted         = "group.deleted"
	PolisGroupUserAdded       = "group.user_added"
	PolisGroupUserRemoved     = "group.user_removed"
	PolisSSOCreated           = "sso.created"
	PolisSSOActivated         = "sso.activated"
	PolisSSODeactivated       = "sso.deactivated"
	PolisSSODeleted           = "sso.deleted"
	PolisDirectoryCreated     = "dsync.created"
	PolisDirectoryActivated   = "dsync.activated"
	PolisDirectoryDeactivated = "dsync.deactivated"
	PolisDirectoryDeleted     = "dsync.deleted"
)

// PolisTypes are all names that Polis has.
var PolisTypes = []string{PolisUserCreated, PolisUserUpdated, PolisUserDeleted, PolisGroupCreated, PolisGroupUpdated, PolisGroupDeleted,
	PolisGroupUserAdded, PolisGroupUserRemoved, PolisSSOCreated, PolisSSOActivated, PolisSSODeactivated, PolisSSODeleted,
	PolisDirectoryCreated, PolisDirectoryActivated, PolisDirectoryDeactivated, PolisDirectoryDeleted}

// ValidTypes refuses names of events that neither Portico nor Polis has. Faults: Invalid at field.
func ValidTypes(field string, names []string) error {
	for _, name := range names {
		if !slices.Contains(Types, name) && !slices.Contains(PolisTypes, name) {
			return fault.At(field, "invalid", fmt.Sprintf("There is no type of event %.40q. Name those of %s, or of Polis's names for them.", name, strings.Join(Types, ", ")))
		}
	}
	return nil
}

// letter is what one commit puts into the outbox: all its events.
type letter struct {
	ID        string  `json:"id"`
	ProjectID string  `json:"projectId"`
	Events    []Event `json:"events"`

	version int64
}

const outbox = "outbox"

var outboxCollection = store.Collection{Name: outbox, Sealed: true, Keys: record.Keys(letterHead),
	Indexes: []store.Index{{Name: "by_project", Fields: []string{"project"}}}}

func letterHead(l letter) store.Doc {
	return store.Doc{ID: l.ID, Version: l.version, Keys: map[string]string{"project": l.ProjectID}}
}

// Outbox is the operation that tells events of one project, for the commit that makes the change: with it they are there,
// or neither is; at most 400 events and 2 MiB. Make it once for a commit that is tried again. Call Wake behind the commit.
func (s *Service) Outbox(projectID string, list ...Event) store.Op {
	l := letter{ID: s.IDs.UUID(), ProjectID: projectID, Events: make([]Event, len(list))}
	for i, e := range list {
		if e.ProjectID == "" {
			e.ProjectID = projectID
		}
		if e.ProjectID != projectID {
			panic(fmt.Sprintf("events: an event of project %s in the outbox of %s", e.ProjectID, projectID)) // tenants would cross
		}
		if e.ID == "" {
			e.ID = s.IDs.UUID()
		}
		if e.Time.IsZero() {
			e.Time = s.now()
		}
		l.Events[i] = e
	}
	return s.letters.Insert(l)
}
