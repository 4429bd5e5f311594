package graph

import (
	"context"
	"encoding/json"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/record"
)

type identityNode struct {
	r *resolver
	i identity.Identity
}

func (n *identityNode) ID() graphql.ID          { return graphql.ID(n.i.ID) }
func (n *identityNode) Active() bool            { return n.i.Active }
func (n *identityNode) UserName() *string       { return optional(n.i.UserName) }
func (n *identityNode) ExternalID() *string     { return optional(n.i.ExternalID) }
func (n *identityNode) Addresses() []string     { return list(n.i.Addresses) }
func (n *identityNode) Traits() jsonValue       { return jsonValue{n.i.Traits} }
func (n *identityNode) HasPassword() bool       { return n.i.HasPassword }
func (n *identityNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.i.CreatedAt} }
func (n *identityNode) UpdatedAt() graphql.Time { return graphql.Time{Time: n.i.UpdatedAt} }

func (n *identityNode) MetadataPublic() *jsonValue { return optionalJSON(n.i.MetadataPublic) }
func (n *identityNode) MetadataAdmin() *jsonValue  { return optionalJSON(n.i.MetadataAdmin) }

func (n *identityNode) Email() *string {
	var traits struct {
		Email string `json:"email"`
	}
	if json.Unmarshal(n.i.Traits, &traits) != nil {
		return nil
	}
	return optional(traits.Email)
}

func (n *identityNode) Directory(ctx context.Context) (*directoryNode, error) {
	if n.i.DirectoryID == "" {
		return nil, nil
	}
	return n.r.directory(ctx, n.i.DirectoryID)
}

// Groups are those of the directory that provisions the person.
func (n *identityNode) Groups(ctx context.Context, args groupsArgs) (*scimPage[*scimGroup], error) {
	d, err := n.Directory(ctx)
	if err != nil || d == nil {
		return &scimPage[*scimGroup]{count: counted(0)}, err
	}
	o := object{n.r, d.d, dirsync.Object{ID: n.i.ID}}
	return o.Groups(ctx, args)
}

func (n *identityNode) Organization(ctx context.Context) (*organizationNode, error) {
	return n.r.loadOrganization(ctx, n.i.OrganizationID)
}

func (n *organizationNode) Identities(ctx context.Context, args pageArgs) (*page[*identityNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[identity.Identity], error) {
			return n.r.OAuth.Identities.List(ctx, n.o.ID, limit, after)
		},
		func(i identity.Identity) *identityNode { return &identityNode{n.r, i} },
		func(ctx context.Context) (int64, error) { return n.r.OAuth.Identities.Count(ctx, n.o.ID) })
}

func (n *organizationNode) FindIdentities(ctx context.Context, args struct{ Address, UserName, ExternalID *string }) ([]*identityNode, error) {
	q := identity.Search{Address: text(args.Address), UserName: text(args.UserName), ExternalID: text(args.ExternalID)}
	given := 0
	for _, name := range []string{q.Address, q.UserName, q.ExternalID} {
		if name != "" {
			given++
		}
	}
	if given != 1 {
		return nil, fault.At("address", "required", "Give exactly one of address, userName and externalId.")
	}
	found, err := n.r.OAuth.Identities.Search(ctx, n.o.ID, q)
	nodes := make([]*identityNode, 0, len(found))
	for _, i := range found {
		nodes = append(nodes, &identityNode{n.r, i})
	}
	return nodes, err
}

func (r *resolver) identity(ctx context.Context, identityID string) (*identityNode, error) {
	i, err := r.OAuth.Identities.Get(ctx, identityID)
	return orNull(&identityNode{r, i}, err)
}

func (r *resolver) Identity(ctx context.Context, args onlyID) (*identityNode, error) {
	return r.identity(ctx, string(args.ID))
}

// identityInput is what a caller may choose of a person.
type identityInput struct {
	Traits, MetadataPublic, MetadataAdmin *jsonValue
	UserName, Password                    *string
	Active                                *bool
}

func (in identityInput) input() identity.Input {
	return identity.Input{Traits: in.Traits.raw(), MetadataPublic: in.MetadataPublic.raw(), MetadataAdmin: in.MetadataAdmin.raw(),
		UserName: in.UserName, Active: in.Active, Password: in.Password}
}

type identityPayload struct {
	Identity *identityNode
	Errors   []userError
}

func (r *resolver) identityPayload(subject string, i identity.Identity, err error) (*identityPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &identityPayload{Errors: list}, err
	}
	return &identityPayload{Identity: &identityNode{r, i}, Errors: list}, nil
}

func (r *resolver) CreateIdentity(ctx context.Context, args struct {
	Input struct {
		OrganizationID graphql.ID
		identityInput
	}
}) (*identityPayload, error) {
	forget(ctx)
	i, err := r.OAuth.Identities.Create(ctx, string(args.Input.OrganizationID), args.Input.input())
	return r.identityPayload("organizationId", i, err)
}

func (r *resolver) UpdateIdentity(ctx context.Context, args struct {
	Input struct {
		ID graphql.ID
		identityInput
	}
}) (*identityPayload, error) {
	forget(ctx)
	i, err := r.OAuth.Identities.Update(ctx, string(args.Input.ID), args.Input.input())
	return r.identityPayload("id", i, err)
}

func (r *resolver) DeleteIdentity(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.Directories.DeleteIdentity(ctx, string(args.Input.ID)))
}
