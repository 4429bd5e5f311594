package dirsync

import (
	"context"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/store"
)

// CountProjectDirectories counts a project's directories; "" those of all projects, with those that are being removed.
func (s *Service) CountProjectDirectories(ctx context.Context, projectID string) (int64, error) {
	if projectID == "" {
		return s.directories.Count(ctx, store.Range{})
	}
	return s.directories.Count(ctx, store.Range{Index: byProject, Eq: []string{projectID}})
}

// UserMembers reads limit of the direct members of a group that are users, by id and behind the first offset ones, and counts
// all of these. A group that is not there has none.
func (s *Service) UserMembers(ctx context.Context, d Directory, groupID string, offset, limit int) (ids []string, total int64, err error) {
	if _, err := s.groupOf(ctx, d, groupID); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return nil, 0, err
	}
	users := store.Range{Prefix: memberID(groupID, ofUser, ""), Offset: offset, Limit: limit}
	found, err := s.members.Range(ctx, users)
	if err != nil {
		return nil, 0, err
	}
	for _, m := range found {
		ids = append(ids, m.Member)
	}
	total, err = s.members.Count(ctx, store.Range{Prefix: users.Prefix})
	return ids, total, err
}

// UsersByID reads the users of a directory that have one of some ids, without their groups: of at most store.MaxPage.
func (s *Service) UsersByID(ctx context.Context, d Directory, ids []string) ([]Object, error) {
	found, err := s.users.GetMany(ctx, wellFormed(ids))
	return objectsIn(found, err, func(u user) bool { return u.DirectoryID == d.ID }, user.object)
}

// GroupsByID reads the groups of a directory that have one of some ids: of at most store.MaxPage.
func (s *Service) GroupsByID(ctx context.Context, d Directory, ids []string) ([]Object, error) {
	found, err := s.groups.GetMany(ctx, wellFormed(ids))
	return objectsIn(found, err, func(g group) bool { return g.DirectoryID == d.ID && !g.Deleted }, group.object)
}

func objectsIn[T any](found []T, err error, mine func(T) bool, object func(T) (Object, error)) ([]Object, error) {
	if err != nil {
		return nil, err
	}
	var list []Object
	for _, v := range found {
		if !mine(v) {
			continue
		}
		o, err := object(v)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}
