// Package identity keeps identities: the persons of an organization, their names, links and passwords. It is the only place
// where one person becomes one identity.
package identity

import (
	"context"
	"encoding/json"
	"time"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/password"
	"github.com/portico-sso/portico/ports/store"
)

// Identity is one person of an organization.
type Identity struct {
	ID             string `json:"id"` // sub for applications, and the id of a SCIM user
	ProjectID      string `json:"projectId"`
	OrganizationID string `json:"organizationId"`
	DirectoryID    string `json:"directoryId,omitempty"` // that provisions it; "" for none
	ByAdmin        bool   `json:"byAdmin,omitempty"`     // an administrator made it, and no login

	// The names by which the person is found: see name. Addresses holds those alone that are believed.
	UserName   string   `json:"userName,omitempty"`
	ExternalID string   `json:"externalId,omitempty"`
	Addresses  []string `json:"addresses,omitempty"`
	// Subject is under which a connection knows a person whom nobody but a login made; "" where it signs in people of anybody.
	Subject string `json:"subject,omitempty"`

	Active bool  `json:"active"`
	Epoch  int64 `json:"epoch"` // raised to end all access that was given before
	// Provisioned is active as the directory last said: what an administrator decided stands until that changes.
	Provisioned bool `json:"provisioned,omitempty"`

	Traits json.RawMessage `json:"traits"` // a JSON object: what the last login, the directory or an administrator said
	// Profile is what the last login said, where Traits are the directory's: applications see it.
	Profile        json.RawMessage `json:"profile,omitempty"`
	MetadataPublic json.RawMessage `json:"metadataPublic,omitempty"`
	MetadataAdmin  json.RawMessage `json:"metadataAdmin,omitempty"`
	HasPassword    bool            `json:"hasPassword,omitempty"`
	EventSeq       int64           `json:"eventSeq,omitempty"` // of the last event
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`

	Version int64 `json:"-"`
}

// Seen is what applications see of the person.
func (i Identity) Seen() json.RawMessage {
	if len(i.Profile) > 0 {
		return i.Profile
	}
	return i.Traits
}

// link ties an identity to one subject of one connection.
type link struct {
	ID         string    `json:"id"` // hash of connection and subject
	IdentityID string    `json:"identityId"`
	Connection string    `json:"connectionId"`
	Subject    string    `json:"subject"`
	CreatedAt  time.Time `json:"createdAt"`

	version int64
}

const (
	collection     = "identities"
	links          = "identity_links"
	byOrganization = "by_organization"
)

// Collections declares what this module stores.
func Collections() store.Schema {
	return store.Schema{
		{Name: collection, Sealed: true, Keys: record.Keys(head), Indexes: []store.Index{
			{Name: byOrganization, Fields: []string{"organization"}},
		}},
		{Name: links, Sealed: true, Keys: record.Keys(linkHead), Indexes: []store.Index{
			{Name: "by_identity", Fields: []string{"identity"}},
		}},
		{Name: names, Sealed: true, Expires: true},
		{Name: passwords, Sealed: true},
		{Name: departures, Expires: true},
	}
}

func head(i Identity) store.Doc {
	return store.Doc{ID: i.ID, Version: i.Version, Keys: map[string]string{"organization": i.OrganizationID}}
}

func linkHead(l link) store.Doc {
	return store.Doc{ID: l.ID, Version: l.version, Keys: map[string]string{"identity": l.IdentityID}}
}

// Options are what the service is made of. All are required.
type Options struct {
	Records       *store.Store
	IDs           id.Source
	Events        *events.Service
	Organizations *organization.Service
	Leases        *lease.Service
	Passwords     password.Hasher
	// Connected reports whether an organization has an active connection: people sign in through it then, and not by a
	// password.
	Connected func(ctx context.Context, organizationID string) (bool, error)
	// EndSessions ends what a person who was deactivated or removed has going on. They are refused before that.
	EndSessions func(ctx context.Context, identityID string) error
}

// Service keeps identities.
type Service struct {
	Options
	repo      record.Repo[Identity]
	links     record.Repo[link]
	names     record.Repo[name]
	passwords record.Repo[secret]
	departed  record.Repo[departed]
}

// NewService makes the service, and says how the job is done that it asks for.
func NewService(o Options) *Service {
	o.Leases.Do(jobSessions, func(ctx context.Context, j lease.Job) (lease.Page, error) {
		return lease.Page{Done: true}, o.EndSessions(ctx, j.Name)
	})
	return &Service{Options: o,
		repo: record.Repo[Identity]{
			Store: o.Records, Collection: collection, Noun: "identity",
			Head: head, SetVersion: func(i *Identity, v int64) { i.Version = v },
		},
		links: record.Repo[link]{
			Store: o.Records, Collection: links, Noun: "identity link",
			Head: linkHead, SetVersion: func(l *link, v int64) { l.version = v },
		},
		names: record.Repo[name]{
			Store: o.Records, Collection: names, Noun: "name of an identity",
			Head: nameHead, SetVersion: func(n *name, v int64) { n.version = v },
		},
		departed: record.Repo[departed]{
			Store: o.Records, Collection: departures, Noun: "note of who left",
			Head: departedHead, SetVersion: func(d *departed, v int64) { d.version = v },
		},
		passwords: record.Repo[secret]{
			Store: o.Records, Collection: passwords, Noun: "password",
			Head:       func(p secret) store.Doc { return store.Doc{ID: p.ID, Version: p.version} },
			SetVersion: func(p *secret, v int64) { p.version = v },
		}}
}

const jobSessions = "identity.sessions"

// ending is the operation that has the sessions ended of a person who is shut out in the same commit. Call left behind it.
func (s *Service) ending(identityID string) store.Op {
	return s.Leases.Ask(jobSessions, identityID, nil)
}

// endings is ending where a change shuts out.
func (s *Service) endings(before, now Identity) []store.Op {
	if before.Active && !now.Active {
		return []store.Op{s.ending(now.ID)}
	}
	return nil
}

// left is Woken behind a commit that may have shut out somebody.
func (s *Service) left(projectID string) {
	s.Woken(projectID)
	s.Leases.Wake()
}

// Get reads an identity.
func (s *Service) Get(ctx context.Context, identityID string) (Identity, error) {
	return s.repo.Get(ctx, identityID)
}

// GetMany reads the identities that are there of at most store.MaxPage.
func (s *Service) GetMany(ctx context.Context, ids []string) ([]Identity, error) {
	return s.repo.GetMany(ctx, ids)
}

// List reads one page of an organization's identities, newest first.
func (s *Service) List(ctx context.Context, organizationID string, limit int, after string) (record.Page[Identity], error) {
	return s.repo.List(ctx, store.Range{Index: byOrganization, Eq: []string{key.Text(organizationID)}, Desc: true, Limit: limit, After: after})
}

// Count counts them.
func (s *Service) Count(ctx context.Context, organizationID string) (int64, error) {
	return s.repo.Count(ctx, store.Range{Index: byOrganization, Eq: []string{key.Text(organizationID)}})
}

func (s *Service) now() time.Time { return s.IDs.Now().UTC() }
