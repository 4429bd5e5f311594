package graph

import (
	"context"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
)

type projectNode struct {
	r *resolver
	p project.Project
}

func (n *projectNode) ID() graphql.ID          { return graphql.ID(n.p.ID) }
func (n *projectNode) Slug() string            { return n.p.Slug }
func (n *projectNode) Name() string            { return n.p.Name }
func (n *projectNode) Host() *string           { return optional(n.p.Host) }
func (n *projectNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.p.CreatedAt} }
func (n *projectNode) UpdatedAt() graphql.Time { return graphql.Time{Time: n.p.UpdatedAt} }

func (n *projectNode) Organization(ctx context.Context, args struct{ Slug string }) (*organizationNode, error) {
	o, err := n.r.Organizations.BySlug(ctx, n.p.ID, args.Slug)
	return orNull(&organizationNode{n.r, o}, err)
}

func (n *projectNode) Organizations(ctx context.Context, args pageArgs) (*page[*organizationNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[organization.Organization], error) {
			return n.r.Organizations.List(ctx, n.p.ID, limit, after)
		},
		func(o organization.Organization) *organizationNode { return &organizationNode{n.r, o} },
		func(ctx context.Context) (int64, error) { return n.r.Organizations.Count(ctx, n.p.ID) })
}

func (n *projectNode) Applications(ctx context.Context, args pageArgs) (*page[*applicationNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[oauth.Application], error) {
			return n.r.OAuth.ListApplications(ctx, n.p.ID, limit, after)
		},
		func(a oauth.Application) *applicationNode { return &applicationNode{n.r, a} },
		func(ctx context.Context) (int64, error) { return n.r.OAuth.CountApplications(ctx, n.p.ID) })
}

func (r *resolver) Project(ctx context.Context, args struct {
	ID   *graphql.ID
	Slug *string
}) (*projectNode, error) {
	if (args.ID == nil) == (args.Slug == nil) {
		return nil, fault.At("id", "required", "Give either id or slug.")
	}
	if args.ID != nil {
		return orNull(r.loadProject(ctx, string(*args.ID)))
	}
	p, err := r.Services.Projects.BySlug(ctx, *args.Slug)
	return orNull(&projectNode{r, p}, err)
}

func (r *resolver) Projects(ctx context.Context, args pageArgs) (*page[*projectNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[project.Project], error) {
			return r.Services.Projects.List(ctx, limit, after)
		},
		func(p project.Project) *projectNode { return &projectNode{r, p} },
		r.Services.Projects.Count)
}

type projectPayload struct {
	Project *projectNode
	Errors  []userError
}

func (r *resolver) projectPayload(p project.Project, err error) (*projectPayload, error) {
	list, err := userErrors(err, "id")
	if err != nil || len(list) > 0 {
		return &projectPayload{Errors: list}, err
	}
	return &projectPayload{Project: &projectNode{r, p}, Errors: list}, nil
}

func (r *resolver) CreateProject(ctx context.Context, args struct {
	Input struct{ Slug, Name, Host *string }
}) (*projectPayload, error) {
	forget(ctx)
	return r.projectPayload(r.Services.Projects.Create(ctx, project.Input{Slug: args.Input.Slug, Name: args.Input.Name, Host: args.Input.Host}))
}

func (r *resolver) UpdateProject(ctx context.Context, args struct {
	Input struct {
		ID         graphql.ID
		Name, Host *string
	}
}) (*projectPayload, error) {
	forget(ctx)
	return r.projectPayload(r.Services.Projects.Update(ctx, string(args.Input.ID), project.Input{Name: args.Input.Name, Host: args.Input.Host}))
}

func (r *resolver) DeleteProject(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.OAuth.DeleteProject(ctx, string(args.Input.ID)))
}
