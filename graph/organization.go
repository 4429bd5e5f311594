package graph

import (
	"context"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/sso"
)

type organizationNode struct {
	r *resolver
	o organization.Organization
}

func (n *organizationNode) ID() graphql.ID          { return graphql.ID(n.o.ID) }
func (n *organizationNode) Slug() string            { return n.o.Slug }
func (n *organizationNode) Label() string           { return n.o.Label }
func (n *organizationNode) Active() bool            { return n.o.Active() }
func (n *organizationNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.o.CreatedAt} }
func (n *organizationNode) UpdatedAt() graphql.Time { return graphql.Time{Time: n.o.UpdatedAt} }

func (n *organizationNode) Project(ctx context.Context) (*projectNode, error) {
	return n.r.loadProject(ctx, n.o.ProjectID)
}

func (n *organizationNode) Connections(ctx context.Context, args pageArgs) (*page[*connectionNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[sso.Connection], error) {
			return n.r.SSO.List(ctx, n.o.ID, limit, after)
		},
		func(c sso.Connection) *connectionNode { return &connectionNode{n.r, c} },
		func(ctx context.Context) (int64, error) { return n.r.SSO.Count(ctx, n.o.ID) })
}

func (r *resolver) Organization(ctx context.Context, args onlyID) (*organizationNode, error) {
	return orNull(r.loadOrganization(ctx, string(args.ID)))
}

type organizationPayload struct {
	Organization *organizationNode
	Errors       []userError
}

func (r *resolver) organizationPayload(subject string, o organization.Organization, err error) (*organizationPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &organizationPayload{Errors: list}, err
	}
	return &organizationPayload{Organization: &organizationNode{r, o}, Errors: list}, nil
}

func (r *resolver) CreateOrganization(ctx context.Context, args struct {
	Input struct {
		ProjectID   graphql.ID
		Slug, Label *string
	}
}) (*organizationPayload, error) {
	forget(ctx)
	in := args.Input
	o, err := r.Organizations.Create(ctx, string(in.ProjectID), organization.Input{Slug: in.Slug, Label: in.Label})
	return r.organizationPayload("projectId", o, err)
}

func (r *resolver) UpdateOrganization(ctx context.Context, args struct {
	Input struct {
		ID     graphql.ID
		Label  *string
		Active *bool
	}
}) (*organizationPayload, error) {
	forget(ctx)
	o, err := r.SSO.UpdateOrganization(ctx, string(args.Input.ID), organization.Input{Label: args.Input.Label, Active: args.Input.Active})
	return r.organizationPayload("id", o, err)
}

func (r *resolver) DeleteOrganization(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.SSO.DeleteOrganization(ctx, string(args.Input.ID)))
}
