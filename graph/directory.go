package graph

import (
	"context"
	"math"
	"net/url"
	"time"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/record"
)

type directoryNode struct {
	r *resolver
	d dirsync.Directory
}

// directoryTypes are the names that the schema has for types.
var directoryTypes = map[dirsync.Type]string{
	dirsync.Azure: "ENTRA_ID", dirsync.Okta: "OKTA", dirsync.OneLogin: "ONELOGIN", dirsync.JumpCloud: "JUMPCLOUD", dirsync.GoogleAPI: "GOOGLE",
	dirsync.Ping: "PING", dirsync.Rippling: "RIPPLING", dirsync.Workday: "WORKDAY", dirsync.Generic: "GENERIC",
}

func (n *directoryNode) ID() graphql.ID          { return graphql.ID(n.d.ID) }
func (n *directoryNode) ClientID() string        { return n.d.ClientID }
func (n *directoryNode) Label() string           { return n.d.Label }
func (n *directoryNode) Type() string            { return directoryTypes[n.d.Type] }
func (n *directoryNode) Active() bool            { return n.d.Active() }
func (n *directoryNode) Mapping() *string        { return optional(n.d.Mapping) }
func (n *directoryNode) Quiet() bool             { return n.d.Quiet }
func (n *directoryNode) LogFor() int32           { return int32(min(n.d.LogFor, math.MaxInt32)) } // bounded
func (n *directoryNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.d.CreatedAt} }
func (n *directoryNode) UpdatedAt() graphql.Time { return graphql.Time{Time: n.d.UpdatedAt} }

func (n *directoryNode) ConnectionID() *graphql.ID {
	if n.d.ConnectionID == "" {
		return nil
	}
	id := graphql.ID(n.d.ConnectionID)
	return &id
}

// SCIMURL names the project, so that it holds at every host.
func (n *directoryNode) SCIMURL(ctx context.Context) (*string, error) {
	if n.d.Type == dirsync.GoogleAPI {
		return nil, nil
	}
	o, err := n.r.loadOrganization(ctx, n.d.OrganizationID)
	if err != nil {
		return nil, err
	}
	base := o.o.Settings.SCIMBaseURL
	if base == "" {
		base = n.r.PublicURL
	}
	address := base + "/projects/" + url.PathEscape(n.d.ProjectID) + "/scim/" + url.PathEscape(n.d.ClientID) + "/v2"
	return &address, nil
}

type directoryCredential struct {
	ID        graphql.ID
	CreatedAt graphql.Time
	ExpiresAt *graphql.Time
}

// Credentials are the secrets that are live, without their values.
func (n *directoryNode) Credentials() []directoryCredential {
	out := []directoryCredential{}
	for _, s := range n.d.Secrets {
		if s.Live(n.r.SSO.IDs.Now()) {
			out = append(out, directoryCredential{graphql.ID(s.ID), graphql.Time{Time: s.CreatedAt}, optionalTime(s.ExpiresAt)})
		}
	}
	return out
}

func (n *directoryNode) Organization(ctx context.Context) (*organizationNode, error) {
	return n.r.loadOrganization(ctx, n.d.OrganizationID)
}

type requestNode struct{ q dirsync.Request }

func (n *requestNode) ID() graphql.ID          { return graphql.ID(n.q.ID) }
func (n *requestNode) Method() string          { return n.q.Method }
func (n *requestNode) Path() string            { return n.q.Path }
func (n *requestNode) Status() int32           { return int32(n.q.Status) } // of HTTP
func (n *requestNode) Reason() *string         { return optional(n.q.Reason) }
func (n *requestNode) Body() *string           { return optional(n.q.Body) }
func (n *requestNode) At() graphql.Time        { return graphql.Time{Time: n.q.At} }
func (n *requestNode) ExpiresAt() graphql.Time { return graphql.Time{Time: n.q.ExpiresAt} }

func (n *directoryNode) Requests(ctx context.Context, args struct {
	pageArgs
	Refused *bool
}) (*page[*requestNode], error) {
	return newPage(args.pageArgs,
		func(limit int, after string) (record.Page[dirsync.Request], error) {
			return n.r.Directories.Requests(ctx, n.d, args.Refused != nil && *args.Refused, limit, after)
		},
		func(q dirsync.Request) *requestNode { return &requestNode{q} }, nil)
}

func (n *organizationNode) Directories(ctx context.Context, args pageArgs) (*page[*directoryNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[dirsync.Directory], error) {
			return n.r.Services.Directories.ListDirectories(ctx, n.o.ID, limit, after)
		},
		func(d dirsync.Directory) *directoryNode { return &directoryNode{n.r, d} },
		func(ctx context.Context) (int64, error) {
			return n.r.Services.Directories.CountDirectories(ctx, n.o.ID)
		})
}

func (r *resolver) directory(ctx context.Context, id string) (*directoryNode, error) {
	d, err := loadersOf(ctx).directories.get(id, func() (dirsync.Directory, error) { return r.Directories.Directory(ctx, id) })
	return orNull(&directoryNode{r, d}, err)
}

func (r *resolver) Directory(ctx context.Context, args onlyID) (*directoryNode, error) {
	return r.directory(ctx, string(args.ID))
}

// directoryInput is what a caller may choose of a directory at any time.
type directoryInput struct {
	Label, Mapping *string
	Active, Quiet  *bool
	ConnectionID   *graphql.ID
	LogFor         *int32
}

func (in directoryInput) input() dirsync.DirectoryInput {
	out := dirsync.DirectoryInput{Label: in.Label, Mapping: in.Mapping, Active: in.Active, Quiet: in.Quiet}
	if in.ConnectionID != nil {
		id := string(*in.ConnectionID)
		out.ConnectionID = &id
	}
	if in.LogFor != nil {
		d := time.Duration(*in.LogFor) * time.Second
		out.LogFor = &d
	}
	return out
}

// directoryPayload serves the mutations that show a secret and those that do not.
type directoryPayload struct {
	Directory *directoryNode
	SecretID  *graphql.ID
	Secret    *string
	Errors    []userError
}

func (r *resolver) directoryPayload(subject string, d dirsync.Directory, made dirsync.Secret, err error) (*directoryPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &directoryPayload{Errors: list}, err
	}
	p := &directoryPayload{Directory: &directoryNode{r, d}, Secret: optional(made.Value), Errors: list}
	if made.ID != "" {
		id := graphql.ID(made.ID)
		p.SecretID = &id
	}
	return p, nil
}

func (r *resolver) CreateDirectory(ctx context.Context, args struct {
	Input struct {
		OrganizationID         graphql.ID
		ClientID, Type, Secret *string
		directoryInput
	}
}) (*directoryPayload, error) {
	forget(ctx)
	in := args.Input.input()
	in.ClientID, in.Secret = args.Input.ClientID, args.Input.Secret
	for kind, name := range directoryTypes {
		if args.Input.Type != nil && name == *args.Input.Type {
			in.Type = &kind
		}
	}
	if err := r.checkConnection(ctx, string(args.Input.OrganizationID), in.ConnectionID); err != nil {
		return r.directoryPayload("organizationId", dirsync.Directory{}, dirsync.Secret{}, err)
	}
	d, err := r.Directories.CreateDirectory(ctx, string(args.Input.OrganizationID), in)
	return r.directoryPayload("organizationId", d, d.Secret(r.SSO.IDs.Now()), err)
}

// checkConnection refuses a connection of another organization: no link of its people could ever be of this one's.
func (r *resolver) checkConnection(ctx context.Context, organizationID string, connectionID *string) error {
	if text(connectionID) == "" {
		return nil
	}
	c, err := r.SSO.Get(ctx, *connectionID)
	return inside("connectionId", "No such connection of the organization.", err, err == nil && c.OrganizationID == organizationID)
}

func (r *resolver) UpdateDirectory(ctx context.Context, args struct {
	Input struct {
		ID graphql.ID
		directoryInput
	}
}) (*directoryPayload, error) {
	forget(ctx)
	in := args.Input.input()
	if text(in.ConnectionID) != "" {
		d, err := r.Directories.Directory(ctx, string(args.Input.ID))
		if err == nil {
			err = r.checkConnection(ctx, d.OrganizationID, in.ConnectionID)
		}
		if err != nil {
			return r.directoryPayload("id", dirsync.Directory{}, dirsync.Secret{}, err)
		}
	}
	d, err := r.Directories.UpdateDirectory(ctx, string(args.Input.ID), in)
	return r.directoryPayload("id", d, dirsync.Secret{}, err)
}

func (r *resolver) AddDirectorySecret(ctx context.Context, args struct {
	Input struct {
		DirectoryID graphql.ID
		Secret      *string
		ExpiresAt   *graphql.Time
	}
}) (*directoryPayload, error) {
	forget(ctx)
	var expires time.Time
	if args.Input.ExpiresAt != nil {
		expires = args.Input.ExpiresAt.Time
	}
	d, made, err := r.Directories.AddSecret(ctx, string(args.Input.DirectoryID), text(args.Input.Secret), expires)
	return r.directoryPayload("directoryId", d, made, err)
}

func (r *resolver) RotateDirectorySecret(ctx context.Context, args struct {
	Input struct {
		DirectoryID graphql.ID
		Overlap     *int32
	}
}) (*directoryPayload, error) {
	forget(ctx)
	var overlap time.Duration
	if args.Input.Overlap != nil {
		overlap = time.Duration(*args.Input.Overlap) * time.Second
	}
	if overlap < 0 {
		return r.directoryPayload("", dirsync.Directory{}, dirsync.Secret{}, fault.At("overlap", "invalid", "The overlap is a number of seconds, 0 or more."))
	}
	d, made, err := r.Directories.RotateSecret(ctx, string(args.Input.DirectoryID), overlap)
	return r.directoryPayload("directoryId", d, made, err)
}

func (r *resolver) RemoveDirectorySecret(ctx context.Context, args struct {
	Input struct{ DirectoryID, SecretID graphql.ID }
}) (*directoryPayload, error) {
	forget(ctx)
	d, err := r.Directories.RemoveSecret(ctx, string(args.Input.DirectoryID), string(args.Input.SecretID))
	return r.directoryPayload("directoryId", d, dirsync.Secret{}, err)
}

func (r *resolver) ClearDirectoryRequests(ctx context.Context, args struct {
	Input struct{ DirectoryID graphql.ID }
}) (*directoryPayload, error) {
	forget(ctx)
	d, err := r.Directories.Directory(ctx, string(args.Input.DirectoryID))
	if err == nil {
		err = r.Directories.ClearRequests(ctx, d)
	}
	return r.directoryPayload("directoryId", d, dirsync.Secret{}, err)
}

func (r *resolver) DeleteDirectory(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.Directories.DeleteDirectory(ctx, string(args.Input.ID)))
}
