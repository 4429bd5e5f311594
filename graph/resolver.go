package graph

import (
	"context"
	"time"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
)

// resolver is the root of queries and mutations. Its methods are in the file of their module.
type resolver struct{ Services }

// orNull answers null where there is no such thing.
func orNull[N any](node *N, err error) (*N, error) {
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return node, nil
}

// onlyID is the input of mutations that need no more.
type onlyID struct{ ID graphql.ID }

// deletePayload is what deleting answers with.
type deletePayload struct {
	DeletedID *graphql.ID
	Errors    []userError
}

func deletion(id graphql.ID, err error) (*deletePayload, error) {
	list, err := userErrors(err, "id")
	if err != nil {
		return nil, err
	}
	p := &deletePayload{Errors: list}
	if len(list) == 0 {
		p.DeletedID = &id
	}
	return p, nil
}

func (r *resolver) loadProject(ctx context.Context, id string) (*projectNode, error) {
	p, err := loadersOf(ctx).projects.get(id, func() (project.Project, error) { return r.Services.Projects.Get(ctx, id) })
	return &projectNode{r, p}, err
}

func (r *resolver) loadOrganization(ctx context.Context, id string) (*organizationNode, error) {
	o, err := loadersOf(ctx).organizations.get(id, func() (organization.Organization, error) { return r.Services.Organizations.Get(ctx, id) })
	return &organizationNode{r, o}, err
}

// optional is null for "".
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// optionalTime is null for the zero time.
func optionalTime(t time.Time) *graphql.Time {
	if t.IsZero() {
		return nil
	}
	return &graphql.Time{Time: t}
}

// list is never null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
