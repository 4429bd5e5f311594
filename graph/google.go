package graph

import (
	"context"
	"time"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/fault"
)

type googleNode struct {
	g       dirsync.Google
	st      google.State
	active  bool
	changed time.Time // when somebody asked for it, if somebody did
}

// Google is how a directory is read, and how far that has come.
func (n *directoryNode) Google(ctx context.Context) (*googleNode, error) {
	if n.d.Type != dirsync.GoogleAPI {
		return nil, nil
	}
	st, err := n.r.Services.Google.State(ctx, n.d.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	node := &googleNode{st: st, active: n.d.Active(), changed: n.d.UpdatedAt}
	if n.d.Google != nil {
		node.g = *n.d.Google
	}
	return node, nil
}

func (n *googleNode) Connected() bool            { return n.g.Connected() }
func (n *googleNode) CustomerID() *string        { return optional(n.g.Customer) }
func (n *googleNode) Domain() *string            { return optional(n.g.Domain) }
func (n *googleNode) ConnectedBy() *string       { return optional(n.g.ConnectedBy) }
func (n *googleNode) ConnectedAt() *graphql.Time { return optionalTime(n.g.ConnectedAt) }
func (n *googleNode) Groups() []string           { return list(n.g.Groups) }
func (n *googleNode) OrgUnits() []string         { return list(n.g.OrgUnits) }
func (n *googleNode) BeganAt() *graphql.Time     { return optionalTime(n.st.BeganAt) }
func (n *googleNode) EndedAt() *graphql.Time     { return optionalTime(n.st.EndedAt) }
func (n *googleNode) SyncedAt() *graphql.Time    { return optionalTime(n.st.SyncedAt) }
func (n *googleNode) Error() *string             { return optional(n.st.Error) }
func (n *googleNode) Failures() int32            { return int32(n.st.Failures) }

// NextAt is the past where a sync is due already.
func (n *googleNode) NextAt() *graphql.Time {
	switch {
	case !n.active || !n.g.Connected():
		return nil
	case n.st.Asked != n.g.Asked:
		return optionalTime(n.changed)
	}
	return optionalTime(n.st.Next)
}

type googleResult struct{ Users, Groups, Written, Deleted, Refused int32 }

func (n *googleNode) Result() *googleResult {
	if n.st.SyncedAt.IsZero() {
		return nil
	}
	r := n.st.Result
	return &googleResult{int32(r.Users), int32(r.Groups), int32(r.Written), int32(r.Deleted), int32(r.Refused)}
}

type googleLinkPayload struct {
	URL       *string
	ExpiresAt *graphql.Time
	Errors    []userError
}

func (r *resolver) CreateGoogleConnectLink(ctx context.Context, args struct {
	Input struct {
		DirectoryID      graphql.ID
		Domain           *string
		ExpiresInSeconds *int32
	}
}) (*googleLinkPayload, error) {
	forget(ctx)
	d, err := r.Directories.Directory(ctx, string(args.Input.DirectoryID))
	var in time.Duration
	if seconds := args.Input.ExpiresInSeconds; seconds != nil && err == nil {
		if in = time.Duration(*seconds) * time.Second; in <= 0 {
			err = fault.At("expiresInSeconds", "invalid", "A link is good for a second or more.")
		}
	}
	var address string
	var expires time.Time
	if err == nil {
		address, expires, err = r.Services.Google.Link(d, text(args.Input.Domain), in)
	}
	list, err := userErrors(err, "directoryId")
	if err != nil {
		return nil, err
	}
	return &googleLinkPayload{URL: optional(address), ExpiresAt: optionalTime(expires), Errors: list}, nil
}

func (r *resolver) UpdateGoogleWorkspace(ctx context.Context, args struct {
	Input struct {
		DirectoryID      graphql.ID
		Groups, OrgUnits *[]string
	}
}) (*directoryPayload, error) {
	forget(ctx)
	d, err := r.Services.Google.Choose(ctx, string(args.Input.DirectoryID), args.Input.Groups, args.Input.OrgUnits)
	return r.directoryPayload("directoryId", d, dirsync.Secret{}, err)
}

func (r *resolver) SyncGoogleWorkspace(ctx context.Context, args struct {
	Input struct{ DirectoryID graphql.ID }
}) (*directoryPayload, error) {
	forget(ctx)
	d, err := r.Services.Google.SyncNow(ctx, string(args.Input.DirectoryID))
	return r.directoryPayload("directoryId", d, dirsync.Secret{}, err)
}

func (r *resolver) DisconnectGoogleWorkspace(ctx context.Context, args struct {
	Input struct {
		DirectoryID     graphql.ID
		ForgetWorkspace *bool
	}
}) (*directoryPayload, error) {
	forget(ctx)
	d, err := r.Services.Google.Disconnect(ctx, string(args.Input.DirectoryID), args.Input.ForgetWorkspace != nil && *args.Input.ForgetWorkspace)
	return r.directoryPayload("directoryId", d, dirsync.Secret{}, err)
}
