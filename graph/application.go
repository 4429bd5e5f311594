package graph

import (
	"context"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/oauth"
)

type applicationNode struct {
	r *resolver
	a oauth.Application
}

func (n *applicationNode) ID() graphql.ID          { return graphql.ID(n.a.ID) }
func (n *applicationNode) Name() string            { return n.a.Name }
func (n *applicationNode) Public() bool            { return n.a.Public }
func (n *applicationNode) RedirectURIs() []string  { return list(n.a.RedirectURIs) }
func (n *applicationNode) IDTokenAlg() string      { return string(n.a.IDTokenAlg) }
func (n *applicationNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.a.CreatedAt} }
func (n *applicationNode) UpdatedAt() graphql.Time { return graphql.Time{Time: n.a.UpdatedAt} }

func (n *applicationNode) Project(ctx context.Context) (*projectNode, error) {
	return n.r.loadProject(ctx, n.a.ProjectID)
}

func (r *resolver) Application(ctx context.Context, args onlyID) (*applicationNode, error) {
	a, err := r.OAuth.Application(ctx, string(args.ID))
	return orNull(&applicationNode{r, a}, err)
}

// applicationPayload serves the mutations that show a secret and those that do not.
type applicationPayload struct {
	Application *applicationNode
	Secret      *string
	Errors      []userError
}

func (r *resolver) applicationPayload(subject string, a oauth.Application, secret string, err error) (*applicationPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &applicationPayload{Errors: list}, err
	}
	return &applicationPayload{Application: &applicationNode{r, a}, Secret: optional(secret), Errors: list}, nil
}

func (r *resolver) CreateApplication(ctx context.Context, args struct {
	Input struct {
		ProjectID    graphql.ID
		Name         string
		Public       *bool
		RedirectURIs []string
		IDTokenAlg   *string
	}
}) (*applicationPayload, error) {
	forget(ctx)
	in := args.Input
	a, secret, err := r.OAuth.CreateApplication(ctx, string(in.ProjectID), oauth.ApplicationInput{
		Name: &in.Name, Public: in.Public, RedirectURIs: &in.RedirectURIs, IDTokenAlg: alg(in.IDTokenAlg),
	})
	return r.applicationPayload("projectId", a, secret, err)
}

func (r *resolver) UpdateApplication(ctx context.Context, args struct {
	Input struct {
		ID           graphql.ID
		Name         *string
		RedirectURIs *[]string
		IDTokenAlg   *string
	}
}) (*applicationPayload, error) {
	forget(ctx)
	in := args.Input
	a, err := r.OAuth.UpdateApplication(ctx, string(in.ID), oauth.ApplicationInput{
		Name: in.Name, RedirectURIs: in.RedirectURIs, IDTokenAlg: alg(in.IDTokenAlg),
	})
	return r.applicationPayload("id", a, "", err)
}

func (r *resolver) RotateApplicationSecret(ctx context.Context, args struct{ Input onlyID }) (*applicationPayload, error) {
	forget(ctx)
	a, secret, err := r.OAuth.RotateSecret(ctx, string(args.Input.ID))
	return r.applicationPayload("id", a, secret, err)
}

func (r *resolver) DeleteApplication(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.OAuth.DeleteApplication(ctx, string(args.Input.ID)))
}

func alg(name *string) *oauth.Alg { return (*oauth.Alg)(name) }
