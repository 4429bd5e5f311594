// Package identity keeps identities: the persons of an organization, and what links them to identity providers.
package identity

import (
	"context"
	"encoding/json"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Identity is one person of an organization.
type Identity struct {
	ID             string          `json:"id"` // sub for applications
	ProjectID      string          `json:"projectId"`
	OrganizationID string          `json:"organizationId"`
	Active         bool            `json:"active"`
	Epoch          int64           `json:"epoch"` // raised to end all access that was given before
	Traits         json.RawMessage `json:"traits"`
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`

	Version int64 `json:"-"`
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
	collection = "identities"
	links      = "identity_links"
)

// Collections declares what this module stores.
func Collections() store.Schema {
	return store.Schema{
		{Name: collection, Sealed: true, Keys: record.Keys(head), Indexes: []store.Index{
			{Name: "by_organization", Fields: []string{"organization"}},
		}},
		{Name: links, Sealed: true, Keys: record.Keys(linkHead), Indexes: []store.Index{
			{Name: "by_identity", Fields: []string{"identity"}},
		}},
	}
}

func head(i Identity) store.Doc {
	return store.Doc{ID: i.ID, Version: i.Version, Keys: map[string]string{"organization": i.OrganizationID}}
}

func linkHead(l link) store.Doc {
	return store.Doc{ID: l.ID, Version: l.version, Keys: map[string]string{"identity": l.IdentityID}}
}

// Service keeps identities.
type Service struct {
	store *store.Store
	repo  record.Repo[Identity]
	links record.Repo[link]
	ids   id.Source
}

// NewService makes the service over the store of records.
func NewService(records *store.Store, ids id.Source) *Service {
	return &Service{store: records, ids: ids,
		repo: record.Repo[Identity]{
			Store: records, Collection: collection, Noun: "identity",
			Head: head, SetVersion: func(i *Identity, v int64) { i.Version = v },
		},
		links: record.Repo[link]{
			Store: records, Collection: links, Noun: "identity link",
			Head: linkHead, SetVersion: func(l *link, v int64) { l.version = v },
		}}
}

// Login is who signed in: a subject as one connection of one organization names it.
type Login struct {
	ProjectID, OrganizationID, ConnectionID string
	Subject                                 string
	Traits                                  json.RawMessage // JSON object
}

// SignIn finds the identity of a login, or makes it on the first one. The operations it returns belong into the
// commit that completes the login; there are none when nothing changed. Faults: Forbidden for an inactive identity.
// A commit that answers ErrConflict, or says that the link is taken, met the same person's other first login: rerun.
func (s *Service) SignIn(ctx context.Context, in Login) (Identity, []store.Op, error) {
	linkID := id.Hash(in.ConnectionID, in.Subject)
	l, err := s.links.Get(ctx, linkID)
	if fault.Is(err, fault.NotFound) {
		return s.firstSignIn(in, linkID)
	}
	if err != nil {
		return Identity{}, nil, err
	}
	i, err := s.repo.Get(ctx, l.IdentityID)
	if err != nil {
		return Identity{}, nil, err
	}
	if !i.Active || i.OrganizationID != in.OrganizationID {
		return Identity{}, nil, fault.New(fault.Forbidden, "identity_inactive", "This account is deactivated. Ask your administrator.")
	}
	if string(i.Traits) == string(in.Traits) {
		return i, nil, nil
	}
	i.Traits, i.UpdatedAt = in.Traits, s.ids.Now().UTC()
	return i, []store.Op{s.repo.Update(i)}, nil
}

func (s *Service) firstSignIn(in Login, linkID string) (Identity, []store.Op, error) {
	now := s.ids.Now().UTC()
	i := Identity{
		ID: s.ids.UUID(), ProjectID: in.ProjectID, OrganizationID: in.OrganizationID,
		Active: true, Epoch: 1, Traits: in.Traits, CreatedAt: now, UpdatedAt: now,
	}
	l := link{ID: linkID, IdentityID: i.ID, Connection: in.ConnectionID, Subject: in.Subject, CreatedAt: now}
	return i, []store.Op{s.repo.Insert(i), s.links.Insert(l)}, nil
}

// SignInRaced reports whether a commit of SignIn's operations met the same person's other first login.
func SignInRaced(err error) bool { return store.Taken(err, links, "") }

// Get reads an identity.
func (s *Service) Get(ctx context.Context, identityID string) (Identity, error) {
	return s.repo.Get(ctx, identityID)
}

// List reads one page of an organization's identities, newest first.
func (s *Service) List(ctx context.Context, organizationID string, limit int, after string) (record.Page[Identity], error) {
	return s.repo.List(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}, Desc: true, Limit: limit, After: after})
}

// Count counts them.
func (s *Service) Count(ctx context.Context, organizationID string) (int64, error) {
	return s.repo.Count(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}})
}

// SetActive deactivates an identity, which ends all access that was given before, or lets it in again. Faults: NotFound.
func (s *Service) SetActive(ctx context.Context, identityID string, active bool) (Identity, error) {
	return s.repo.Change(ctx, identityID, func(i *Identity) error {
		if i.Active && !active {
			i.Epoch++
		}
		i.Active, i.UpdatedAt = active, s.ids.Now().UTC()
		return nil
	})
}

// DeleteAll removes an organization's identities and their links, in pages. Repeating it completes it.
func (s *Service) DeleteAll(ctx context.Context, organizationID string) error {
	for {
		page, err := s.repo.Range(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}, Limit: 100})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, i := range page {
			if err := s.delete(ctx, i); err != nil {
				return err
			}
		}
	}
}

func (s *Service) delete(ctx context.Context, i Identity) error {
	owned, err := s.links.Range(ctx, store.Range{Index: "by_identity", Eq: []string{i.ID}, Limit: store.MaxCommitOps - 1})
	if err != nil {
		return err
	}
	ops := []store.Op{s.repo.Delete(i)}
	for _, l := range owned {
		ops = append(ops, s.links.Delete(l))
	}
	return s.repo.Fault(s.repo.Once(ctx, &ops[0], func() error { return s.store.Commit(ctx, ops...) }))
}
