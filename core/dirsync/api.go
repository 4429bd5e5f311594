package dirsync

import (
	"context"
	"time"

	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/record"
)

// This file goes as its methods get their bodies elsewhere.

// Service keeps directories and what they provision.
type Service struct{}

// CreateDirectory makes a directory of an organization, with one secret (none for google).
// Faults: NotFound of the organization, Invalid, Taken at clientId.
func (s *Service) CreateDirectory(ctx context.Context, organizationID string, in DirectoryInput) (Directory, error) {
	panic("soon")
}

// Directory reads a directory by id. Faults: NotFound, also of one that is being deleted.
func (s *Service) Directory(ctx context.Context, directoryID string) (Directory, error) {
	panic("soon")
}

// DirectoryByClientID reads a directory of a project by its client id. Faults: NotFound.
func (s *Service) DirectoryByClientID(ctx context.Context, projectID, clientID string) (Directory, error) {
	panic("soon")
}

// ListDirectories reads one page of an organization's directories, newest first.
func (s *Service) ListDirectories(ctx context.Context, organizationID string, limit int, after string) (record.Page[Directory], error) {
	panic("soon")
}

// CountDirectories counts an organization's directories.
func (s *Service) CountDirectories(ctx context.Context, organizationID string) (int64, error) {
	panic("soon")
}

// PageDirectories reads limit of an organization's directories, newest first, behind the first offset ones.
func (s *Service) PageDirectories(ctx context.Context, organizationID string, offset, limit int) ([]Directory, error) {
	panic("soon")
}

// PageProjectDirectories reads limit of a project's directories, newest first, behind the first offset ones.
func (s *Service) PageProjectDirectories(ctx context.Context, projectID string, offset, limit int) ([]Directory, error) {
	panic("soon")
}

// CountProjectDirectories counts a project's directories; "" those of all projects.
func (s *Service) CountProjectDirectories(ctx context.Context, projectID string) (int64, error) {
	panic("soon")
}

// UpdateDirectory changes a directory. Faults: NotFound, Invalid.
func (s *Service) UpdateDirectory(ctx context.Context, directoryID string, in DirectoryInput) (Directory, error) {
	panic("soon")
}

// AddSecret gives a directory a further secret: chosen, or one that is made where that is "". expires may be zero.
// Faults: NotFound, Invalid, Conflict too_many_secrets where two are live.
func (s *Service) AddSecret(ctx context.Context, directoryID, chosen string, expires time.Time) (Directory, Secret, error) {
	panic("soon")
}

// RotateSecret is AddSecret that has the other secrets end after overlap, and makes room where two are live.
// Faults: NotFound, Invalid.
func (s *Service) RotateSecret(ctx context.Context, directoryID string, overlap time.Duration) (Directory, Secret, error) {
	panic("soon")
}

// RemoveSecret ends a secret at once. Faults: NotFound, also of the secret.
func (s *Service) RemoveSecret(ctx context.Context, directoryID, secretID string) (Directory, error) {
	panic("soon")
}

// DeleteDirectory removes a directory with its users and groups: no request of it is let in from then on, and a job takes
// away what it holds, with an event for each. Faults: NotFound.
func (s *Service) DeleteDirectory(ctx context.Context, directoryID string) error { panic("soon") }

// Authenticate finds the directory that a request is for and checks the secret that it bears. One fault, Unauthenticated
// invalid_token, says that there is no such directory, that it is not active, or that the secret is not its own, and takes
// as long for each; Forbidden scim_disabled comes behind it: the organization has SCIM switched off.
func (s *Service) Authenticate(ctx context.Context, ref Ref, secret string) (Directory, error) {
	panic("soon")
}

// CreateUser provisions a user: r is as scim.User.Read gives it. An inactive user of the directory with its externalId or
// userName is taken up again, and a person who signed in before where that is safe.
// Faults: Taken uniqueness, Invalid, Invalid mapping_failed.
func (s *Service) CreateUser(ctx context.Context, d Directory, r scim.Resource) (Changed, error) {
	panic("soon")
}

// User reads a user. noGroups leaves its groups out. Faults: NotFound.
func (s *Service) User(ctx context.Context, d Directory, userID string, noGroups bool) (Object, error) {
	panic("soon")
}

// Users lists users. Faults: TooMany too_many, Invalid invalid_cursor.
func (s *Service) Users(ctx context.Context, d Directory, q Query) (Page, error) { panic("soon") }

// ReplaceUser makes r the user. Faults: NotFound, Conflict version_mismatch, Taken uniqueness, Invalid.
func (s *Service) ReplaceUser(ctx context.Context, d Directory, userID string, r scim.Resource, m Match) (Changed, error) {
	panic("soon")
}

// PatchUser changes a user by the operations of scim.ReadPatch. Faults: as ReplaceUser, and *scim.Error.
func (s *Service) PatchUser(ctx context.Context, d Directory, userID string, ops []scim.Operation, m Match) (Changed, error) {
	panic("soon")
}

// DeleteUser removes a user and the identity. Faults: NotFound, Conflict version_mismatch.
func (s *Service) DeleteUser(ctx context.Context, d Directory, userID string, m Match) error {
	panic("soon")
}

// CreateGroup makes a group with its members: r is as scim.Group.Read gives it.
// Faults: Taken uniqueness, Invalid, also of a member that is not in the directory.
func (s *Service) CreateGroup(ctx context.Context, d Directory, r scim.Resource) (Changed, error) {
	panic("soon")
}

// Group reads a group, without its members. Faults: NotFound.
func (s *Service) Group(ctx context.Context, d Directory, groupID string) (Object, error) {
	panic("soon")
}

// Groups lists groups, without their members. Faults: TooMany too_many, Invalid invalid_cursor.
func (s *Service) Groups(ctx context.Context, d Directory, q Query) (Page, error) { panic("soon") }

// ReplaceGroup makes r the group, with its members. Faults: NotFound, Conflict version_mismatch, Taken uniqueness, Invalid.
func (s *Service) ReplaceGroup(ctx context.Context, d Directory, groupID string, r scim.Resource, m Match) (Changed, error) {
	panic("soon")
}

// PatchGroup changes a group by the operations of scim.ReadPatch. Faults: as ReplaceGroup, and *scim.Error.
func (s *Service) PatchGroup(ctx context.Context, d Directory, groupID string, ops []scim.Operation, m Match) (Changed, error) {
	panic("soon")
}

// DeleteGroup removes a group. Faults: NotFound, Conflict version_mismatch.
func (s *Service) DeleteGroup(ctx context.Context, d Directory, groupID string, m Match) error {
	panic("soon")
}

// Members reads one page of the direct members of a group: groups first. after is Next of the page before, or "".
// A group that is not there has none. Faults: Invalid invalid_cursor.
func (s *Service) Members(ctx context.Context, d Directory, groupID string, limit int, after string) (MemberPage, error) {
	panic("soon")
}

// CountMembers counts the direct members of a group.
func (s *Service) CountMembers(ctx context.Context, d Directory, groupID string) (int64, error) {
	panic("soon")
}

// UserMembers reads limit of the direct members of a group that are users, by id and behind the first offset ones, and counts
// all of these. A group that is not there has none.
func (s *Service) UserMembers(ctx context.Context, d Directory, groupID string, offset, limit int) (ids []string, total int64, err error) {
	panic("soon")
}

// EffectiveMembers calls each with the users that are in a group or in a group inside of it, each user once, in pages.
// Faults: NotFound; each's error ends it.
func (s *Service) EffectiveMembers(ctx context.Context, d Directory, groupID string, each func([]Member) error) error {
	panic("soon")
}

// GroupsOf reads the groups of which a user, or a group, is a direct member; effective: also those around these, each once.
func (s *Service) GroupsOf(ctx context.Context, d Directory, memberID string, effective bool) ([]Object, error) {
	panic("soon")
}

// LogRequests writes requests into the logs of their directories; it sets ID and, from the directory's LogFor, ExpiresAt.
func (s *Service) LogRequests(ctx context.Context, d Directory, requests ...Request) error {
	panic("soon")
}

// Requests reads one page of a directory's log, newest first.
func (s *Service) Requests(ctx context.Context, d Directory, limit int, after string) (record.Page[Request], error) {
	panic("soon")
}

// ClearRequests empties a directory's log.
func (s *Service) ClearRequests(ctx context.Context, d Directory) error { panic("soon") }

// PolisUser is a user as Polis shows it: id, first_name, last_name, email, active, roles and raw.
func (s *Service) PolisUser(o Object) map[string]any { panic("soon") }

// PolisGroup is a group as Polis shows it: id, name and raw.
func (s *Service) PolisGroup(o Object) map[string]any { panic("soon") }
