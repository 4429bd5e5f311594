package graph

import (
	"context"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/record"
)

func (n *identityNode) Sessions(ctx context.Context, args pageArgs) (*page[*sessionNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[oauth.Session], error) {
			return n.r.OAuth.ListSessions(ctx, n.i.ID, limit, after)
		},
		n.r.sessionNode,
		func(ctx context.Context) (int64, error) { return n.r.OAuth.CountSessions(ctx, n.i.ID) })
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

func (r *resolver) Session(ctx context.Context, args onlyID) (*sessionNode, error) {
	s, err := r.OAuth.Session(ctx, string(args.ID))
	return orNull(r.sessionNode(s), err)
}

func (r *resolver) RevokeSession(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.OAuth.RevokeSession(ctx, string(args.Input.ID)))
}
