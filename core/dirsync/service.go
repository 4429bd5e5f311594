package dirsync

import (
	"context"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/mapping"
	"github.com/portico-sso/portico/ports/store"
)

// Options are what the service is made of. All are required.
type Options struct {
	Records       *store.Store
	IDs           id.Source
	Organizations *organization.Service
	Identities    *identity.Service
	Events        *events.Service
	Leases        *lease.Service
	Mapper        mapping.Mapper
	// Reader is who reads directories of type google; nil where nobody does.
	Reader Reader
}

// Service keeps directories and what they provision.
type Service struct {
	Options
	directories   record.Repo[Directory]
	users         record.Repo[user]
	groups        record.Repo[group]
	members       record.Repo[membership]
	nesting       record.Repo[nesting]
	requests      record.Repo[Request]
	cached        *cache.Cache[Directory]
	organizations *cache.Cache[organization.Organization]
	more          func() ([]store.Op, error) // see With
}

// Reader reads directories whose clients push nothing.
type Reader interface {
	// Stop is the operations that end the reading of a directory, for the commit that deactivates or deletes it: what is read
	// under a lease writes nothing behind it. Of a deleted one they remove what the reader keeps.
	Stop(ctx context.Context, d Directory) ([]store.Op, error)
	// Forget gives back what a directory was read by, once it is removed. What fails is logged.
	Forget(ctx context.Context, d Directory)
}

// With is the service with further operations in each commit, such as the check of a lease. more is called for each try.
func (s *Service) With(more func() ([]store.Op, error)) *Service {
	with := *s
	with.more = more
	return &with
}

// Collections declares what this module stores.
func Collections() store.Schema {
	return store.Schema{directoryCollection, userCollection, groupCollection, memberCollection, {Name: nestings}, requestCollection}
}

// NewService makes the service, and says how the jobs are done that it asks for.
func NewService(o Options) *Service {
	s := &Service{Options: o, cached: cache.New[Directory](o.IDs.Now), organizations: cache.New[organization.Organization](o.IDs.Now)}
	s.directories = record.Repo[Directory]{Store: o.Records, Collection: directories, Noun: "directory",
		Head: directoryHead, SetVersion: func(d *Directory, v int64) { d.Version = v }}
	s.users = record.Repo[user]{Store: o.Records, Collection: users, Noun: "user",
		Head: userHead, SetVersion: func(u *user, v int64) { u.version = v }}
	s.groups = record.Repo[group]{Store: o.Records, Collection: groups, Noun: "group",
		Head: groupHead, SetVersion: func(g *group, v int64) { g.version = v }}
	s.members = record.Repo[membership]{Store: o.Records, Collection: members, Noun: "member",
		Head: memberHead, SetVersion: func(m *membership, v int64) { m.version = v }}
	s.nesting = record.Repo[nesting]{Store: o.Records, Collection: nestings, Noun: "guard of nested groups",
		Head:       func(n nesting) store.Doc { return store.Doc{ID: n.ID, Version: n.version} },
		SetVersion: func(n *nesting, v int64) { n.version = v }}
	s.requests = record.Repo[Request]{Store: o.Records, Collection: requests, Noun: "request",
		Head: requestHead, SetVersion: func(*Request, int64) {}}
	o.Leases.Do(jobMembers, s.tellMembers)
	o.Leases.Do(jobGroup, s.removeGroup)
	o.Leases.Do(jobDirectory, s.removeDirectory)
	return s
}

// once is record.Plan for what is provisioned.
func (s *Service) once(ctx context.Context, plan func() ([]store.Op, error)) error {
	whole := func() ([]store.Op, error) {
		ops, err := plan()
		if err != nil || len(ops) == 0 || s.more == nil {
			return ops, err
		}
		more, err := s.more()
		return append(ops, more...), err
	}
	return s.taken(record.Plan(ctx, s.Records, whole, func(err error) bool {
		return identity.Raced(err) || lease.Raced(err) || store.Taken(err, members, "") || store.Taken(err, nestings, "")
	}))
}

// taken says of a commit which name somebody else has.
func (s *Service) taken(err error) error {
	for _, t := range []struct{ collection, index, message string }{
		{users, byUserName, "The directory has a user with this userName."},
		{groups, byName, "The directory has a group with this displayName."},
		{groups, byExternal, "The organization has a group with this externalId."},
	} {
		if store.Taken(err, t.collection, t.index) {
			return &fault.Error{Kind: fault.Taken, Code: identity.Uniqueness, Message: t.message, Err: err}
		}
	}
	return record.StoreFault(err)
}

func mismatch() error {
	return fault.New(fault.Conflict, "version_mismatch", "The resource has another version. Read it again.")
}

func (m Match) met(version int64) bool {
	for _, v := range m {
		if v == version {
			return true
		}
	}
	return len(m) == 0
}

func (s *Service) now() time.Time { return s.IDs.Now().UTC() }
