// Package directory is how core reads the people and groups of a customer who cannot push them: a directory that is asked
// page by page, with a grant that the customer's administrator gave by OAuth 2.0.
package directory

import (
	"context"
	"errors"
	"time"
)

// The outcomes beside success. Errors wrap one of them and say more for the operator; that of a context stays as it is.
var (
	ErrRevoked   = errors.New("directory: the grant is not, or no longer, good: an administrator has to give it again")
	ErrForbidden = errors.New("directory: the grant does not reach so far")
	ErrBusy      = errors.New("directory: it does not answer, or asks to be asked later")
	ErrMalformed = errors.New("directory: an answer that is not of the expected form")
	ErrNotFound  = errors.New("directory: there is no such thing")
)

// Grant is where an administrator gives a grant, and how it is known again.
type Grant struct {
	Redirect  string // where the administrator comes back to
	State     string
	Challenge string // of PKCE, S256 (RFC 7636)
}

// Tokens are what a grant is used by. Both are secrets.
type Tokens struct {
	Access  string
	Refresh string // "" where the one before stays
	Expires time.Duration
	// Email and Domain are of the administrator who gave the grant and of the customer; "" where it is not said.
	Email, Domain string
}

// User is one person.
type User struct {
	ID           string // never used again for another person
	Customer     string // whose directory this is
	UserName     string // the primary address
	GivenName    string
	FamilyName   string
	FullName     string
	DisplayName  string
	Active       bool
	Archived     bool
	OrgUnit      string // path, such as "/Sales/North"
	Emails       []Value
	Aliases      []string // further addresses of the mailbox
	Phones       []Value
	Messengers   []Value
	Addresses    []Address
	Language     string // tag, such as "de-CH"
	Website      string // of the person
	Title        string
	Kind         string // of employee
	Organization string
	Department   string
	CostCenter   string
	Employee     string // number
	Manager      string // address
	Desk         Desk
}

// Address is a postal address. Country is two letters, or "".
type Address struct {
	Type, Formatted, Street, Locality, Region, PostalCode, Country string
	Primary                                                        bool
}

// Desk is where a person sits.
type Desk struct{ Building, Floor, Section, Code string }

// Value is one of several, with its type: "work", "home" or another, or "".
type Value struct {
	Value, Type string
	Primary     bool
}

// Group is one group, without its members.
type Group struct{ ID, Email, Name string }

// Member is one direct member of a group. Those who are not of the directory are left out.
type Member struct {
	ID    string
	Group bool
}

// Page is one page of a listing; Next is the token of the next one, "" where this is the last.
type Page[T any] struct {
	Items []T
	Next  string
}

// Directory is such a directory. It remembers nothing; an access token is part of each call.
type Directory interface {
	// AuthorizeURL is where the administrator's browser goes.
	AuthorizeURL(g Grant) string
	// Exchange takes what the browser brought back. Errors: ErrRevoked, ErrBusy, ErrMalformed.
	Exchange(ctx context.Context, code, redirect, verifier string) (Tokens, error)
	// Refresh makes an access token. Errors: as Exchange.
	Refresh(ctx context.Context, refreshToken string) (Tokens, error)
	// Revoke gives a grant back, which is then good for nothing. Errors: as Exchange; one that was not good any more is no error.
	Revoke(ctx context.Context, refreshToken string) error
	// Users reads one page of the users of an organizational unit and of those inside of it; "" is all.
	// Errors: all.
	Users(ctx context.Context, access, orgUnit, pageToken string) (Page[User], error)
	// Groups reads one page of the groups.
	Groups(ctx context.Context, access, pageToken string) (Page[Group], error)
	// Group reads a group by id or address.
	Group(ctx context.Context, access, group string) (Group, error)
	// Members reads one page of a group's direct members.
	Members(ctx context.Context, access, groupID, pageToken string) (Page[Member], error)
}
