package graph

import (
	"context"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/record"
)

func (n *organizationNode) SCIMEnabled() bool        { return !n.o.Settings.SCIMOff }
func (n *organizationNode) SCIMBaseURL() *string     { return optional(n.o.Settings.SCIMBaseURL) }
func (n *organizationNode) PasswordsBesideSSO() bool { return n.o.Settings.PasswordsBesideSSO }

func (r *resolver) UpdateOrganizationSettings(ctx context.Context, args struct {
	Input struct {
		OrganizationID     graphql.ID
		SCIMEnabled        *bool
		SCIMBaseURL        *string
		PasswordsBesideSSO *bool
	}
}) (*organizationPayload, error) {
	forget(ctx)
	in := args.Input
	o, err := r.Organizations.ChangeSettings(ctx, string(in.OrganizationID), func(s *organization.Settings) {
		if in.SCIMEnabled != nil {
			s.SCIMOff = !*in.SCIMEnabled
		}
		set(&s.SCIMBaseURL, in.SCIMBaseURL)
		set(&s.PasswordsBesideSSO, in.PasswordsBesideSSO)
	})
	return r.organizationPayload("organizationId", o, err)
}

type domainNode struct{ d organization.Domain }

func (n *domainNode) ID() graphql.ID          { return graphql.ID(n.d.ID) }
func (n *domainNode) Name() string            { return n.d.Name }
func (n *domainNode) Verified() bool          { return n.d.Verified }
func (n *domainNode) CreatedAt() graphql.Time { return graphql.Time{Time: n.d.CreatedAt} }

func (n *domainNode) VerifiedAt() *graphql.Time { return optionalTime(n.d.VerifiedAt) }

func (n *organizationNode) Domains(ctx context.Context, args pageArgs) (*page[*domainNode], error) {
	return newPage(args,
		func(limit int, after string) (record.Page[organization.Domain], error) {
			return n.r.Organizations.ListDomains(ctx, n.o.ID, limit, after)
		},
		func(d organization.Domain) *domainNode { return &domainNode{d} },
		func(ctx context.Context) (int64, error) { return n.r.Organizations.CountDomains(ctx, n.o.ID) })
}

type domainPayload struct {
	Domain *domainNode
	Errors []userError
}

func newDomainPayload(subject string, d organization.Domain, err error) (*domainPayload, error) {
	list, err := userErrors(err, subject)
	if err != nil || len(list) > 0 {
		return &domainPayload{Errors: list}, err
	}
	return &domainPayload{Domain: &domainNode{d}, Errors: list}, nil
}

func (r *resolver) AddOrganizationDomain(ctx context.Context, args struct {
	Input struct {
		OrganizationID graphql.ID
		Name           string
	}
}) (*domainPayload, error) {
	forget(ctx)
	d, err := r.Organizations.AddDomain(ctx, string(args.Input.OrganizationID), args.Input.Name)
	return newDomainPayload("organizationId", d, err)
}

func (r *resolver) VerifyOrganizationDomain(ctx context.Context, args struct {
	Input struct {
		ID       graphql.ID
		Verified *bool
	}
}) (*domainPayload, error) {
	forget(ctx)
	d, err := r.Organizations.VerifyDomain(ctx, string(args.Input.ID), args.Input.Verified == nil || *args.Input.Verified)
	return newDomainPayload("id", d, err)
}

func (r *resolver) RemoveOrganizationDomain(ctx context.Context, args struct{ Input onlyID }) (*deletePayload, error) {
	forget(ctx)
	return deletion(args.Input.ID, r.Organizations.RemoveDomain(ctx, string(args.Input.ID)))
}
