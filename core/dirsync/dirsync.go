// Package dirsync keeps directories and what they provision: SCIM users, groups and memberships (RFC 7643, RFC 7644). It is
// the only writer of those; people are core/identity's.
//
// Every call on users and groups names its Directory, as Authenticate or Directory gave it: nothing of another one is found.
// Mistakes of a client in the language of SCIM are *scim.Error; everything else is a *fault.Error, of which SCIM knows
//
//	NotFound                          404
//	Taken      uniqueness             409 uniqueness
//	Conflict   version_mismatch       412: Match does not have the version
//	Conflict                          409: it changed again and again meanwhile; try again
//	TooMany    too_many               400 tooMany: a list that would take too long; Field is "filter" or "sortBy"
//	Invalid                           400 invalidValue
//	Invalid    invalid_cursor         400 invalidCursor (RFC 9865 §2.4); Field is "cursor"
//	Invalid    mapping_failed         400 invalidValue: the directory's mapping failed on this user
//	Unavailable                       503
//
// A write answers ErrUncertain's fault (Unavailable, uncertain) only where the database could not be asked whether it was made.
package dirsync

import (
	"time"

	"github.com/portico-sso/portico/core/dirsync/scim"
)

// Object is a user or a group as it is stored.
type Object struct {
	ID      string
	Version int64 // its ETag is W/"version"
	// Resource is complete but for addresses: it has schemas, id and meta (resourceType, created, lastModified, version), of
	// a user also groups (value, display, type direct), and not meta.location and $ref. A group's members are not in it:
	// see Members. It is the caller's own.
	Resource scim.Resource
	Created  time.Time
	Modified time.Time
}

// Match is what If-Match demands: one of the versions. None demands nothing.
type Match []int64

// Query is what a list is asked for.
type Query struct {
	Filter *scim.Filter // nil: all
	Order  *scim.Order  // nil: in the order of creation
	Start  int          // 1 for the first; of the pages by index. Less than 1 is 1
	Count  int          // how many at most; 0 for totalResults alone
	// Cursor is that of the page before, "" for the first; nil asks for pages by index.
	Cursor *string
	// NoGroups leaves out what a user's groups take to be read, for an answer that does not show them.
	NoGroups bool
}

// Page is one page of a list.
type Page struct {
	Items []Object
	Total int64  // of all pages
	Start int    // index of the first; of pages by index
	Next  string // cursor of the next page; "" where this is the last, and for pages by index
}

// Member is one member of a group.
type Member struct {
	Value   string // id of a user or a group
	Type    string // "User" or "Group"
	Display string // as the client sent it, or ""
}

// MemberPage is one page of members.
type MemberPage struct {
	Items []Member
	Next  string // where the next page begins; "" where this is the last
}

// Changed is what a write made of a user or group.
type Changed struct {
	Object
	// Done is false where the request asked for what already was: then nothing was written and no event made.
	Done bool
	// Adopted says that a create took up an inactive user of the directory, or a person who had signed in before.
	Adopted bool
}

// Request is one request in a directory's log.
type Request struct {
	ID          string    `json:"id"`
	ProjectID   string    `json:"projectId"`
	DirectoryID string    `json:"directoryId"`
	Method      string    `json:"method"`
	Path        string    `json:"path"` // with the query, below the directory's address
	Status      int       `json:"status"`
	Reason      string    `json:"reason,omitempty"` // of a refusal
	Body        string    `json:"body,omitempty"`   // redacted: see RedactBody
	At          time.Time `json:"at"`
	ExpiresAt   time.Time `json:"expiresAt"`
}
