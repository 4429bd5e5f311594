package organization

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Domain is a domain of an organization's addresses. What is verified tells that whoever has an address there is one of its
// people; subdomains are domains of their own.
type Domain struct {
	ID             string    `json:"id"` // hash of organization and name
	ProjectID      string    `json:"projectId"`
	OrganizationID string    `json:"organizationId"`
	Name           string    `json:"name"` // in lower case
	Verified       bool      `json:"verified"`
	VerifiedAt     time.Time `json:"verifiedAt,omitzero"`
	CreatedAt      time.Time `json:"createdAt"`

	Version int64 `json:"-"`
}

const domains = "organization_domains"

var domainCollection = store.Collection{Name: domains, Keys: record.Keys(domainHead), Indexes: []store.Index{
	{Name: "by_organization", Fields: []string{"organization"}},
	{Name: "by_verified", Fields: []string{"project", "verified"}, Unique: true},
}}

func domainHead(d Domain) store.Doc {
	keys := map[string]string{"organization": d.OrganizationID}
	if d.Verified { // one organization of a project has it
		keys["project"], keys["verified"] = d.ProjectID, d.Name
	}
	return store.Doc{ID: d.ID, Version: d.Version, Keys: keys}
}

func domainRepo(records *store.Store) record.Repo[Domain] {
	return record.Repo[Domain]{Store: records, Collection: domains, Noun: "domain",
		Head: domainHead, SetVersion: func(d *Domain, v int64) { d.Version = v }}
}

var domainName = regexp.MustCompile(`^[\pL\pN]([\pL\pN-]{0,61}[\pL\pN])?(\.[\pL\pN]([\pL\pN-]{0,61}[\pL\pN])?)+$`)

// AddDomain gives an organization a domain, which is not verified. Faults: NotFound of the organization, Invalid at name, Taken.
func (s *Service) AddDomain(ctx context.Context, organizationID, name string) (Domain, error) {
	name = key.Lower(strings.TrimSpace(name))
	if len(name) > 253 || !domainName.MatchString(name) {
		return Domain{}, fault.At("name", "invalid", "Give a domain such as example.com.")
	}
	d := Domain{ID: id.Hash(organizationID, name), OrganizationID: organizationID, Name: name, CreatedAt: s.ids.Now().UTC()}
	insert := s.domains.Insert(d)
	err := s.domains.Once(ctx, &insert, func() error {
		o, err := s.Get(ctx, organizationID)
		if err != nil {
			return err
		}
		d.ProjectID = o.ProjectID
		insert = s.domains.Insert(d)
		return s.store.Commit(ctx, s.repo.Check(o), insert)
	})
	if store.Taken(err, domains, "") {
		return Domain{}, &fault.Error{Kind: fault.Taken, Code: "taken", Field: "name", Err: err, Message: "The organization has this domain."}
	}
	d.Version = 1
	return d, s.domains.Fault(err)
}

// VerifyDomain says of a domain that it is the organization's, or that it is not certain. Faults: NotFound, Taken where
// another organization of the project has it verified.
func (s *Service) VerifyDomain(ctx context.Context, domainID string, verified bool) (Domain, error) {
	d, err := s.domains.Change(ctx, domainID, func(d *Domain) error {
		d.Verified, d.VerifiedAt = verified, time.Time{}
		if verified {
			d.VerifiedAt = s.ids.Now().UTC()
		}
		return nil
	})
	if store.Taken(err, domains, "by_verified") {
		return Domain{}, &fault.Error{Kind: fault.Taken, Code: "taken", Field: "name", Err: err, Message: "Another organization of the project has this domain verified."}
	}
	return d, err
}

// RemoveDomain takes a domain away. Faults: NotFound.
func (s *Service) RemoveDomain(ctx context.Context, domainID string) error {
	return s.domains.Remove(ctx, domainID, nil)
}

// Domain reads a domain. Faults: NotFound.
func (s *Service) Domain(ctx context.Context, domainID string) (Domain, error) {
	return s.domains.Get(ctx, domainID)
}

// ListDomains reads one page of an organization's domains, in no order that means anything.
func (s *Service) ListDomains(ctx context.Context, organizationID string, limit int, after string) (record.Page[Domain], error) {
	return s.domains.List(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}, Limit: limit, After: after})
}

// CountDomains counts an organization's domains.
func (s *Service) CountDomains(ctx context.Context, organizationID string) (int64, error) {
	return s.domains.Count(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}})
}

// Verified reports whether the domain of an address is verified for an organization.
func (s *Service) Verified(ctx context.Context, organizationID, domain string) (bool, error) {
	d, err := s.domains.Get(ctx, id.Hash(organizationID, key.Lower(domain)))
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && d.Verified, err
}

// removeDomains empties an organization of its domains.
func (s *Service) removeDomains(ctx context.Context, organizationID string) error {
	for {
		page, err := s.domains.Range(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}, Limit: 100})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, d := range page {
			if err := s.domains.Remove(ctx, d.ID, nil); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
	}
}
