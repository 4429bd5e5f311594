// Package project keeps projects: one application and its settings, the outermost scope. Ory Polis says product.
package project

import (
	"context"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Project is one application and its settings.
type Project struct {
	ID        string    `json:"id"`
	Slug      string    `json:"slug"` // its name in Polis-style client ids: product=…
	Name      string    `json:"name"`
	Host      string    `json:"host,omitempty"` // a host name at which SCIM clients find it; "" for none
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`

	Version int64 `json:"-"`
}

const collection = "projects"

// Collections declares what this module stores.
func Collections() store.Schema {
	return store.Schema{{Name: collection, Keys: record.Keys(head), Indexes: []store.Index{
		{Name: "by_slug", Fields: []string{"slug"}, Unique: true},
		{Name: "by_host", Fields: []string{"host"}, Unique: true},
	}}}
}

func head(p Project) store.Doc {
	return store.Doc{ID: p.ID, Version: p.Version, Keys: map[string]string{"slug": key.Text(p.Slug), "host": p.Host}}
}

// Service keeps projects.
type Service struct {
	store *store.Store
	repo  record.Repo[Project]
	hosts *cache.Cache[Project]
	ids   id.Source
}

// NewService makes the service over the store of records.
func NewService(records *store.Store, ids id.Source) *Service {
	return &Service{store: records, ids: ids, hosts: cache.New[Project](ids.Now), repo: record.Repo[Project]{
		Store: records, Collection: collection, Noun: "project",
		Head: head, SetVersion: func(p *Project, v int64) { p.Version = v },
	}}
}

// Input is what a caller may choose. In an update a nil field stays as it is.
type Input struct {
	Slug *string // only at creation; by default the project's id
	Name *string
	Host *string // "" removes it
}

// Create makes a project. Faults: Invalid, Taken at slug or host.
func (s *Service) Create(ctx context.Context, in Input) (Project, error) {
	now := s.ids.Now().UTC()
	p := Project{ID: s.ids.UUID(), CreatedAt: now, UpdatedAt: now}
	p.Slug = p.ID
	if in.Slug != nil {
		p.Slug = *in.Slug
	}
	if err := ValidSlug(p.Slug); err != nil {
		return Project{}, err
	}
	p.Name = p.Slug
	if in.Name != nil {
		p.Name = strings.TrimSpace(*in.Name)
	}
	if err := ValidName("name", p.Name); err != nil {
		return Project{}, err
	}
	if err := p.setHost(in.Host); err != nil {
		return Project{}, err
	}
	insert := s.repo.Insert(p)
	err := s.repo.Once(ctx, &insert, func() error { return s.store.Commit(ctx, insert) })
	p.Version = 1
	return p, s.taken(err)
}

// taken says which name another project has.
func (s *Service) taken(err error) error {
	for index, field := range map[string]string{"by_slug": "slug", "by_host": "host"} {
		if store.Taken(err, collection, index) {
			return &fault.Error{Kind: fault.Taken, Code: "taken", Message: "Another project has this " + field + ".", Field: field, Err: err}
		}
	}
	return s.repo.Fault(err)
}

// setHost takes a host name as DNS has it (RFC 1123 §2.1), without a port.
func (p *Project) setHost(host *string) error {
	if host == nil {
		return nil
	}
	p.Host = strings.ToLower(*host)
	if p.Host != "" && (len(p.Host) > 253 || !hostName.MatchString(p.Host)) {
		return fault.At("host", "invalid", "Give a host name alone, such as crm.example.com.")
	}
	return nil
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// Get reads a project by id.
func (s *Service) Get(ctx context.Context, projectID string) (Project, error) {
	return s.repo.Get(ctx, projectID)
}

// BySlug reads a project by slug.
func (s *Service) BySlug(ctx context.Context, slug string) (Project, error) {
	return s.repo.First(ctx, store.Range{Index: "by_slug", Eq: []string{key.Text(slug)}})
}

// At reads the project whose host name that is. The oldest project is at home at any other. Faults: NotFound where there is none.
func (s *Service) At(ctx context.Context, host string) (Project, error) {
	if host, _, err := net.SplitHostPort(host); err == nil {
		return s.At(ctx, host)
	}
	host = strings.ToLower(host)
	return s.hosts.Get(host, func() (Project, error) {
		if host != "" && len(host) <= 253 {
			p, err := s.repo.First(ctx, store.Range{Index: "by_host", Eq: []string{key.Text(host)}})
			if !fault.Is(err, fault.NotFound) {
				return p, err
			}
		}
		return s.repo.First(ctx, store.Range{})
	})
}

// Ensure reads the project with this slug or makes it.
func (s *Service) Ensure(ctx context.Context, slug string) (Project, error) {
	p, err := s.BySlug(ctx, slug)
	if !fault.Is(err, fault.NotFound) {
		return p, err
	}
	p, err = s.Create(ctx, Input{Slug: &slug})
	if fault.Is(err, fault.Taken) { // somebody else was faster
		return s.BySlug(ctx, slug)
	}
	return p, err
}

// List reads one page of projects, newest first.
func (s *Service) List(ctx context.Context, limit int, after string) (record.Page[Project], error) {
	return s.repo.List(ctx, store.Range{Desc: true, Limit: limit, After: after})
}

// Count counts all projects.
func (s *Service) Count(ctx context.Context) (int64, error) {
	return s.repo.Count(ctx, store.Range{})
}

// Update changes a project. Faults: NotFound, Invalid, Taken at host.
func (s *Service) Update(ctx context.Context, projectID string, in Input) (Project, error) {
	p, err := s.repo.Change(ctx, projectID, func(p *Project) error {
		if in.Slug != nil && *in.Slug != p.Slug {
			return fault.At("slug", "immutable", "The slug is part of client ids and cannot be changed.")
		}
		if in.Name != nil {
			p.Name = strings.TrimSpace(*in.Name)
		}
		if err := p.setHost(in.Host); err != nil {
			return err
		}
		p.UpdatedAt = s.ids.Now().UTC()
		return ValidName("name", p.Name)
	})
	s.hosts.Clear()
	return p, s.taken(err)
}

// Delete removes a project that empty finds to hold nothing any more. Faults: NotFound, Conflict not_empty.
func (s *Service) Delete(ctx context.Context, projectID string, empty func() (bool, error)) error {
	defer s.hosts.Clear()
	return s.repo.RemoveEmpty(ctx, projectID, empty, "The project still has organizations or applications. Delete them first.")
}

// Check guards the commit that adds a child with the project still being there.
func (s *Service) Check(p Project) store.Op { return s.repo.Check(p) }

// ValidSlug refuses slugs that could not stand in a client id. Polis joins ids with ':'.
func ValidSlug(slug string) error {
	switch {
	case strings.TrimSpace(slug) == "":
		return fault.At("slug", "required", "Give a slug.")
	case len(slug) > 256:
		return fault.At("slug", "too_long", "A slug has at most 256 bytes.")
	case strings.ContainsRune(slug, ':'):
		return fault.At("slug", "invalid", "A slug cannot contain the character :")
	case strings.ContainsFunc(slug, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return fault.At("slug", "invalid", "A slug cannot contain control characters.")
	}
	return nil
}

// ValidName refuses empty and overlong names of things people read.
func ValidName(field, name string) error {
	switch {
	case name == "":
		return fault.At(field, "required", "Give a name.")
	case len(name) > 512:
		return fault.At(field, "too_long", "A name has at most 512 bytes.")
	}
	return nil
}
