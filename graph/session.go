package graph

import (
	"context"
	"encoding/json"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/record"
)

type identityNode struct {
	r *resolver
	i identity.Identity
}

func (n *identityNode) ID() graphql.ID          { return graphql.ID(n.i.ID) }
func (n *identityNode) Active() bool            { return n.i.Active }
func (n *identityNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.i.CreatedAt} }
func (n *identityNode) UpdatedAt() graphql.Time { return graphql.Time{Time: n.i.UpdatedAt} }

func (n *identityNode) Email() *string {
	var traits struct {
		Email string `json:"email"`
	}
	if json.Unmarshal(n.i.Traits, &traits) != nil {
		return nil
	}
	return optional(traits.Email)
}

func (n *identityNode) Organization(ctx context.Context) (*organizationNode, error) {
	return n.r.loadOrganization(ctx, n.i.OrganizationID)
}

func (n *identityNode) Sessions(ctx context.Context, args pageArgs) (*page[*sessionNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[oauth.Session], error) {
			return n.r.OAuth.ListSessions(ctx, n.i.ID, limit, after)
		},
		n.r.sessionNode,
		func(ctx context.Context) (int64, error) { return n.r.OAuth.CountSessions(ctx, n.i.ID) })
}

func (n *organizationNode) Identities(ctx context.Context, args pageArgs) (*page[*identityNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[identity.Identity], error) {
			return n.r.OAuth.Identities.List(ctx, n.o.ID, limit, after)
		},
		func(i identity.Identity) *identityNode { return &identityNode{n.r, i} },
		func(ctx context.Context) (int64, error) { return n.r.OAuth.Identities.Count(ctx, n.o.ID) })
}

func (n *organizationNode) Sessions(ctx context.Context, args pageArgs) (*page[*sessionNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[oauth.Session], error) {
			return n.r.OAuth.ListOrganizationSessions(ctx, n.o.ID, limit, after)
		},
		n.r.sessionNode,
		func(ctx context.Context) (int64, error) { return n.r.OAuth.CountOrganizationSessions(ctx, n.o.ID) })
}

type sessionNode struct {
	r *resolver
	s oauth.Session
}

func (r *resolver) sessionNode(s oauth.Session) *sessionNode { return &sessionNode{r, s} }

func (n *sessionNode) ID() graphql.ID                { return graphql.ID(n.s.ID) }
func (n *sessionNode) AuthenticatedAt() graphql.Time { return graphql.Time{Time: n.s.AuthTime} }
func (n *sessionNode) StartedAt() graphql.Time       { return graphql.Time{Time: n.s.StartedAt} }
func (n *sessionNode) SeenAt() graphql.Time          { return graphql.Time{Time: n.s.SeenAt} }
func (n *sessionNode) ExpiresAt() graphql.Time       { return graphql.Time{Time: n.s.ExpiresAt} }

func (n *sessionNode) ApplicationIDs() []graphql.ID {
	ids := make([]graphql.ID, len(n.s.Applications))
	for i, applicationID := range n.s.Applications {
		ids[i] = graphql.ID(applicationID)
	}
	return ids
}

// Identity is null where the person was deleted.
func (n *sessionNode) Identity(ctx context.Context) (*identityNode, error) {
	return n.r.identity(ctx, n.s.IdentityID)
}

func (n *sessionNode) Organization(ctx context.Context) (*organizationNode, error) {
	return n.r.loadOrganization(ctx, n.s.OrganizationID)
}

func (r *resolver) identity(ctx context.Context, identityID string) (*identityNode, error) {
	i, err := r.OAuth.Identities.Get(ctx, identityID)
	return orNull(&identityNode{r, i}, err)
}

func (r *resolver) Identity(ctx context.Context, args onlyID) (*identityNode, error) {
	return r.identity(ctx, string(args.ID))
}

func (r *resolver) Session(ctx context.Context, args onlyID) (*sessionNode, error) {
	s, err := r.OAuth.Session(ctx, string(args.ID))
	return orNull(r.sessionNode(s), err)
}

func (r *resolver) RevokeSession(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.OAuth.RevokeSession(ctx, string(args.Input.ID)))
}

type identityPayload struct {
	Identity *identityNode
	Errors   []userError
}

func (r *resolver) UpdateIdentity(ctx context.Context, args struct {
	Input struct {
		ID     graphql.ID
		Active *bool
	}
}) (*identityPayload, error) {
	forget(ctx)
	i, err := r.OAuth.UpdateIdentity(ctx, string(args.Input.ID), args.Input.Active)
	list, err := userErrors(err, "id")
	if err != nil || len(list) > 0 {
		return &identityPayload{Errors: list}, err
	}
	return &identityPayload{Identity: &identityNode{r, i}, Errors: list}, nil
}
