package sso

import (
	"context"
	"crypto"
	"crypto/rsa"
	"log/slog"
	"slices"
	"sort"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
)

// Options are what the service is made of. All are required.
type Options struct {
	Records, Sessions *store.Store // may be the same
	IDs               id.Source
	Projects          *project.Service
	Organizations     *organization.Service
	Identities        *identity.Service
	Events            *events.Service
	SAML              federation.SAML
	OIDC              federation.OIDC
	Fetch             outbound.Fetcher
	Digest            func(string) string // lower-case hex RIPEMD-160, by which Polis names connections
	Key               keypair.Pair        // signs requests and client assertions, decrypts SAML assertions
	EntityID          string              // of the service provider, where a connection has none of its own
	PublicURL         string
	Logger            *slog.Logger
}

// Service keeps connections and runs logins through them.
type Service struct {
	Options
	// Directories counts the directories of an organization, which is not deleted before they are; nil where there are none.
	Directories func(ctx context.Context, organizationID string) (int64, error)

	repo     record.Repo[Connection]
	requests record.Repo[loginRequest]
	cached   *cache.Cache[[]Connection]
	keys     []crypto.Decrypter
}

// NewService makes the service.
func NewService(o Options) *Service {
	s := &Service{Options: o, cached: cache.New[[]Connection](o.IDs.Now),
		repo: record.Repo[Connection]{
			Store: o.Records, Collection: connections, Noun: "connection",
			Head: connectionDoc, SetVersion: func(c *Connection, v int64) { c.Version = v },
		},
		requests: record.Repo[loginRequest]{
			Store: o.Sessions, Collection: loginRequests, Noun: "login request",
			Head: loginRequestDoc, SetVersion: func(r *loginRequest, v int64) { r.version = v },
		},
	}
	if k, ok := o.Key.Signer.(*rsa.PrivateKey); ok {
		s.keys = []crypto.Decrypter{k}
	}
	return s
}

// The addresses at which assertions are consumed. The second is where Ory Network has it.
const (
	ACSPath      = "/api/oauth/saml"
	ACSPathAlias = "/saml/api/oauth/saml"
)

// ACS are the addresses to which a connection's responses may be sent; the first is asked for.
func (s *Service) ACS(c Connection) []string {
	if c.ACSOverride != "" {
		return []string{c.ACSOverride}
	}
	return []string{s.PublicURL + ACSPath, s.PublicURL + ACSPathAlias}
}

// Audience is the entity ID under which the connection's identity provider knows us.
func (s *Service) Audience(c Connection) string {
	if c.EntityIDOverride != "" {
		return c.EntityIDOverride
	}
	return s.EntityID
}

// Get reads a connection by id.
func (s *Service) Get(ctx context.Context, connectionID string) (Connection, error) {
	return s.repo.Get(ctx, connectionID)
}

// ByClientID reads a connection by its Polis-style client id.
func (s *Service) ByClientID(ctx context.Context, clientID string) (Connection, error) {
	return s.repo.First(ctx, store.Range{Index: byClient, Eq: []string{key.Text(clientID)}})
}

// List reads one page of an organization's connections, newest first.
func (s *Service) List(ctx context.Context, organizationID string, limit int, after string) (record.Page[Connection], error) {
	return s.repo.List(ctx, newestFirst(byOrganization, organizationID, limit, after))
}

// PageByProject reads limit of a project's connections, newest first, behind the first offset ones.
func (s *Service) PageByProject(ctx context.Context, projectID string, offset, limit int) ([]Connection, error) {
	q := newestFirst(byProject, projectID, limit, "")
	q.Offset = offset
	return s.repo.Range(ctx, q)
}

// ListByEntityID reads one page of the connections to an identity provider, newest first.
func (s *Service) ListByEntityID(ctx context.Context, entityID string, limit int, after string) (record.Page[Connection], error) {
	return s.repo.List(ctx, newestFirst(byEntity, key.Text(entityID), limit, after))
}

// Count counts an organization's connections.
func (s *Service) Count(ctx context.Context, organizationID string) (int64, error) {
	return s.repo.Count(ctx, store.Range{Index: byOrganization, Eq: []string{organizationID}})
}

func newestFirst(index, value string, limit int, after string) store.Range {
	return store.Range{Index: index, Eq: []string{value}, Desc: true, Limit: limit, After: after}
}

// CachedByID is Get for the login path: at most cache.TTL old.
func (s *Service) CachedByID(ctx context.Context, connectionID string) (Connection, error) {
	return one(s.cached.Get("id "+connectionID, func() ([]Connection, error) {
		c, err := s.Get(ctx, connectionID)
		return s.placed(ctx, []Connection{c}, err)
	}))
}

// CachedByClientID is ByClientID for the login path: at most cache.TTL old.
func (s *Service) CachedByClientID(ctx context.Context, clientID string) (Connection, error) {
	return one(s.cached.Get("client "+clientID, func() ([]Connection, error) {
		c, err := s.ByClientID(ctx, clientID)
		return s.placed(ctx, []Connection{c}, err)
	}))
}

// CachedByTenant finds the connections of a tenant of a product, in the chooser's order: at most cache.TTL old.
// A NotFound fault says that there are none, whatever the reason.
func (s *Service) CachedByTenant(ctx context.Context, tenant, product string) ([]Connection, error) {
	return s.cached.Get("tenant "+tenant+"\x00"+product, func() ([]Connection, error) {
		found, err := s.choices(ctx, store.Range{Index: byTenant, Eq: []string{key.Text(product), key.Text(tenant)}, Desc: true})
		return s.placed(ctx, found, err)
	})
}

// CachedByOrganization finds the connections of an organization, in the chooser's order: at most cache.TTL old.
// A NotFound fault says that there are none.
func (s *Service) CachedByOrganization(ctx context.Context, organizationID string) ([]Connection, error) {
	return s.cached.Get("organization "+organizationID, func() ([]Connection, error) {
		found, err := s.choices(ctx, newestFirst(byOrganization, organizationID, 0, ""))
		return s.placed(ctx, found, err)
	})
}

// cachedByEntityID finds the connections to an identity provider: at most cache.TTL old, for anybody can ask by a response
// that names the provider, and it may be that of a thousand tenants, whose organizations are not looked at. A NotFound fault
// says that there are none.
func (s *Service) cachedByEntityID(ctx context.Context, entityID string) ([]Connection, error) {
	return s.cached.Get("entity "+entityID, func() ([]Connection, error) {
		return s.choices(ctx, newestFirst(byEntity, key.Text(entityID), 0, ""))
	})
}

// placed adds to connections what their organizations say.
func (s *Service) placed(ctx context.Context, list []Connection, err error) ([]Connection, error) {
	if err != nil {
		return nil, err
	}
	var o organization.Organization
	for i := range list {
		c := &list[i]
		if c.OrganizationID != o.ID {
			if o, err = s.Organizations.Get(ctx, c.OrganizationID); err != nil {
				return nil, err
			}
		}
		c.organizationOff, c.organizationEpoch = !o.Active(), o.Epoch
	}
	return list, nil
}

func (s *Service) choices(ctx context.Context, q store.Range) ([]Connection, error) {
	found, err := s.repo.Range(ctx, q)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "not_found", "The organization has no connection.")
	}
	SortForChooser(found)
	return found, err
}

// SortForChooser orders connections by descending SortOrder (none is 0) and leaves equals as they are.
func SortForChooser(list []Connection) {
	order := func(c Connection) int64 {
		if c.SortOrder == nil {
			return 0
		}
		return *c.SortOrder
	}
	sort.SliceStable(list, func(i, j int) bool { return order(list[i]) > order(list[j]) })
}

func one(list []Connection, err error) (Connection, error) {
	if err != nil {
		return Connection{}, err
	}
	return list[0], nil
}

// UpdateOrganization changes an organization. Deactivating it ends all access that its people were given before.
// Faults: NotFound, Invalid.
func (s *Service) UpdateOrganization(ctx context.Context, organizationID string, in organization.Input) (organization.Organization, error) {
	defer s.cached.Clear()
	return s.Organizations.Update(ctx, organizationID, in)
}

// DeleteOrganization removes an organization without connections and directories, and its identities with it.
// Faults: NotFound, Conflict not_empty.
func (s *Service) DeleteOrganization(ctx context.Context, organizationID string) error {
	return s.Organizations.Delete(ctx, organizationID, func() (bool, error) {
		n, err := s.Count(ctx, organizationID)
		if err == nil && n == 0 && s.Directories != nil {
			n, err = s.Directories(ctx, organizationID)
		}
		if err != nil || n > 0 {
			return false, err
		}
		return true, s.Identities.DeleteAll(ctx, organizationID)
	})
}

// Connected reports whether people of an organization may sign in through a connection: at most cache.TTL old.
func (s *Service) Connected(ctx context.Context, organizationID string) (bool, error) {
	list, err := s.CachedByOrganization(ctx, organizationID)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return slices.ContainsFunc(list, Connection.Active), err
}

func (s *Service) now() time.Time { return s.IDs.Now().UTC() }
