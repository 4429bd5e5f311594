// Package organization keeps organizations: the customers of a project. Ory Polis says tenant.
package organization

import (
	"context"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Organization is one customer of a project.
type Organization struct {
	ID        string `json:"id"`
	ProjectID string `json:"projectId"`
	Slug      string `json:"slug"` // its name in Polis-style client ids: tenant=…
	Label     string `json:"label"`

	Deactivated bool  `json:"deactivated,omitempty"` // nobody signs in
	Epoch       int64 `json:"epoch,omitempty"`       // raised to end all access that was given before

	Settings  Settings  `json:"settings,omitzero"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`

	Version int64 `json:"-"`
}

// Active reports whether the organization's people may sign in.
func (o Organization) Active() bool { return !o.Deactivated }

const collection = "organizations"

// Collections declares what this module stores.
func Collections() store.Schema {
	return store.Schema{{Name: collection, Keys: record.Keys(head), Indexes: []store.Index{
		{Name: "by_slug", Fields: []string{"project", "slug"}, Unique: true},
		{Name: "by_project", Fields: []string{"project"}},
	}}, domainCollection}
}

func head(o Organization) store.Doc {
	return store.Doc{ID: o.ID, Version: o.Version, Keys: map[string]string{"project": o.ProjectID, "slug": key.Text(o.Slug)}}
}

// Service keeps organizations.
type Service struct {
	store    *store.Store
	repo     record.Repo[Organization]
	domains  record.Repo[Domain]
	projects *project.Service
	ids      id.Source
}

// NewService makes the service over the store of records.
func NewService(records *store.Store, projects *project.Service, ids id.Source) *Service {
	return &Service{store: records, projects: projects, ids: ids, domains: domainRepo(records), repo: record.Repo[Organization]{
		Store: records, Collection: collection, Noun: "organization",
		Head: head, SetVersion: func(o *Organization, v int64) { o.Version = v },
	}}
}

// Input is what a caller may choose. In an update a nil field stays as it is.
type Input struct {
	Slug   *string // only at creation; by default the organization's id
	Label  *string
	Active *bool // only in an update; deactivating ends all access that was given before
}

// Create makes an organization of a project. Faults: NotFound of the project, Invalid, Taken at slug.
func (s *Service) Create(ctx context.Context, projectID string, in Input) (Organization, error) {
	now := s.ids.Now().UTC()
	o := Organization{ID: s.ids.UUID(), ProjectID: projectID, CreatedAt: now, UpdatedAt: now}
	o.Slug = o.ID
	if in.Slug != nil {
		o.Slug = *in.Slug
	}
	if err := project.ValidSlug(o.Slug); err != nil {
		return Organization{}, err
	}
	o.Label = o.Slug
	if in.Label != nil {
		o.Label = strings.TrimSpace(*in.Label)
	}
	if err := project.ValidName("label", o.Label); err != nil {
		return Organization{}, err
	}
	insert := s.repo.Insert(o)
	err := s.repo.Once(ctx, &insert, func() error {
		p, err := s.projects.Get(ctx, projectID)
		if err != nil {
			return err
		}
		return s.store.Commit(ctx, s.projects.Check(p), insert)
	})
	if store.Taken(err, collection, "by_slug") {
		return Organization{}, &fault.Error{Kind: fault.Taken, Code: "taken", Field: "slug", Err: err,
			Message: "Another organization of the project has this slug."}
	}
	o.Version = 1
	return o, s.repo.Fault(err)
}

// Get reads an organization by id.
func (s *Service) Get(ctx context.Context, organizationID string) (Organization, error) {
	return s.repo.Get(ctx, organizationID)
}

// BySlug reads an organization of a project by slug.
func (s *Service) BySlug(ctx context.Context, projectID, slug string) (Organization, error) {
	return s.repo.First(ctx, store.Range{Index: "by_slug", Eq: []string{projectID, key.Text(slug)}})
}

// Ensure reads the organization with this slug or makes it.
func (s *Service) Ensure(ctx context.Context, projectID, slug string) (Organization, error) {
	o, err := s.BySlug(ctx, projectID, slug)
	if !fault.Is(err, fault.NotFound) {
		return o, err
	}
	o, err = s.Create(ctx, projectID, Input{Slug: &slug})
	if fault.Is(err, fault.Taken) { // somebody else was faster
		return s.BySlug(ctx, projectID, slug)
	}
	return o, err
}

// List reads one page of a project's organizations, newest first.
func (s *Service) List(ctx context.Context, projectID string, limit int, after string) (record.Page[Organization], error) {
	return s.repo.List(ctx, store.Range{Index: "by_project", Eq: []string{projectID}, Desc: true, Limit: limit, After: after})
}

// Count counts a project's organizations.
func (s *Service) Count(ctx context.Context, projectID string) (int64, error) {
	return s.repo.Count(ctx, store.Range{Index: "by_project", Eq: []string{projectID}})
}

// Update changes an organization. Faults: NotFound, Invalid.
func (s *Service) Update(ctx context.Context, organizationID string, in Input) (Organization, error) {
	return s.repo.Change(ctx, organizationID, func(o *Organization) error {
		if in.Slug != nil && *in.Slug != o.Slug {
			return fault.At("slug", "immutable", "The slug is part of client ids and cannot be changed.")
		}
		if in.Label != nil {
			o.Label = strings.TrimSpace(*in.Label)
		}
		if in.Active != nil {
			if o.Active() && !*in.Active {
				o.Epoch++
			}
			o.Deactivated = !*in.Active
		}
		o.UpdatedAt = s.ids.Now().UTC()
		return project.ValidName("label", o.Label)
	})
}

// Delete removes an organization that empty finds to hold nothing any more. Faults: NotFound, Conflict not_empty.
func (s *Service) Delete(ctx context.Context, organizationID string, empty func() (bool, error)) error {
	return s.repo.RemoveEmpty(ctx, organizationID, func() (bool, error) {
		ok, err := empty()
		if err == nil && ok {
			err = s.removeDomains(ctx, organizationID)
		}
		return ok, err
	}, "The organization still has connections or directories. Delete them first.")
}

// Check guards the commit that adds a child with the organization still being there.
func (s *Service) Check(o Organization) store.Op { return s.repo.Check(o) }
