package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"github.com/graph-gophers/graphql-go"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
)

// object is a SCIM user or group.
type object struct {
	r *resolver
	d dirsync.Directory
	o dirsync.Object
}

func (n *object) ID() graphql.ID          { return graphql.ID(n.o.ID) }
func (n *object) ExternalID() *string     { return optional(n.text("externalId")) }
func (n *object) Version() int32          { return int32(min(n.o.Version, math.MaxInt32)) } // bounded
func (n *object) CreatedAt() graphql.Time { return graphql.Time{Time: n.o.Created} }
func (n *object) UpdatedAt() graphql.Time { return graphql.Time{Time: n.o.Modified} }

func (n *object) text(name string) string {
	s, _ := n.o.Resource[name].(string)
	return s
}

func (n *object) Resource() (jsonValue, error) {
	raw, err := json.Marshal(n.o.Resource)
	return jsonValue{raw}, err
}

type groupsArgs struct {
	pageArgs
	Effective *bool
}

// Groups are those around this object, by id.
func (n *object) Groups(ctx context.Context, args groupsArgs) (*scimPage[*scimGroup], error) {
	limit, after, err := args.read()
	if err != nil {
		return nil, err
	}
	found, err := n.r.Directories.GroupsOf(ctx, n.d, n.o.ID, args.Effective != nil && *args.Effective)
	if err != nil {
		return nil, err
	}
	w := window{limit: limit, after: after}
	byID := map[string]dirsync.Object{}
	for _, o := range found {
		w.add(o.ID)
		byID[o.ID] = o
	}
	return windowPage(w, func(ids []string) (nodes []*scimGroup) {
		for _, id := range ids {
			nodes = append(nodes, &scimGroup{object{n.r, n.d, byID[id]}})
		}
		return nodes
	}), nil
}

type scimUser struct {
	object
	identities batch[identity.Identity]
}

func (n *scimUser) UserName() string     { return n.text("userName") }
func (n *scimUser) DisplayName() *string { return optional(n.text("displayName")) }

func (n *scimUser) Active() bool {
	active, _ := n.o.Resource["active"].(bool)
	return active
}

// Email is the primary address, else the first.
func (n *scimUser) Email() *string {
	var first string
	emails, _ := n.o.Resource["emails"].([]any)
	for _, item := range emails {
		email, _ := item.(map[string]any)
		value, _ := email["value"].(string)
		if email["primary"] == true {
			return optional(value)
		}
		first = cmp.Or(first, value)
	}
	return optional(first)
}

func (n *scimUser) Identity() (*identityNode, error) {
	i, ok, err := n.identities(n.o.ID)
	if err != nil || !ok {
		return nil, err
	}
	return &identityNode{n.r, i}, nil
}

type scimGroup struct{ object }

func (n *scimGroup) DisplayName() string { return n.text("displayName") }

// scimPage is a page of a listing whose items have no cursors of their own.
type scimPage[N any] struct {
	Nodes    []N
	PageInfo pageInfo
	count    func(context.Context) (int64, error)
}

// TotalCount counts the whole listing.
func (p *scimPage[N]) TotalCount(ctx context.Context) (int32, error) {
	n, err := p.count(ctx)
	return int32(min(n, math.MaxInt32)), err // bounded
}

func counted(n int64) func(context.Context) (int64, error) {
	return func(context.Context) (int64, error) { return n, nil }
}

// filterArgs are the arguments of a page of users or groups.
type filterArgs struct {
	pageArgs
	Filter *string
}

// query reads them. What is wrong with a filter is the caller's to put right.
func (a filterArgs) query(t *scim.ResourceType) (dirsync.Query, error) {
	limit, after, err := a.read()
	q := dirsync.Query{Count: limit, Cursor: &after, NoGroups: true}
	if err == nil && text(a.Filter) != "" {
		q.Filter, err = scim.ParseFilter(t, *a.Filter)
	}
	return q, scimFault(err)
}

// scimFault names the argument that a mistake in SCIM's language, or a fault of a list, is about.
func scimFault(err error) error {
	var wrong *scim.Error
	if errors.As(err, &wrong) {
		return fault.At("filter", "invalid_filter", wrong.Detail)
	}
	return err
}

func objects[N any](q dirsync.Query, found dirsync.Page, err error, nodes []N) (*scimPage[N], error) {
	if err != nil {
		return nil, scimFault(err)
	}
	return &scimPage[N]{Nodes: nodes, count: counted(found.Total),
		PageInfo: pageInfo{HasNextPage: found.Next != "", HasPreviousPage: *q.Cursor != "", EndCursor: optional(found.Next)}}, nil
}

// users are the nodes of some users. Their identities are read at once.
func (n *directoryNode) users(ctx context.Context, list ...dirsync.Object) []*scimUser {
	identities := newBatch(func() ([]identity.Identity, error) {
		ids := make([]string, len(list))
		for i, o := range list {
			ids[i] = o.ID
		}
		return n.r.OAuth.Identities.GetMany(ctx, ids)
	}, func(i identity.Identity) string { return i.ID })
	nodes := make([]*scimUser, len(list))
	for i, o := range list {
		nodes[i] = &scimUser{object{n.r, n.d, o}, identities}
	}
	return nodes
}

func (n *directoryNode) groups(list ...dirsync.Object) []*scimGroup {
	nodes := make([]*scimGroup, len(list))
	for i, o := range list {
		nodes[i] = &scimGroup{object{n.r, n.d, o}}
	}
	return nodes
}

func (n *directoryNode) Users(ctx context.Context, args filterArgs) (*scimPage[*scimUser], error) {
	q, err := args.query(scim.User)
	if err != nil {
		return nil, err
	}
	found, err := n.r.Directories.Users(ctx, n.d, q)
	return objects(q, found, err, n.users(ctx, found.Items...))
}

func (n *directoryNode) Groups(ctx context.Context, args filterArgs) (*scimPage[*scimGroup], error) {
	q, err := args.query(scim.Group)
	if err != nil {
		return nil, err
	}
	found, err := n.r.Directories.Groups(ctx, n.d, q)
	return objects(q, found, err, n.groups(found.Items...))
}

func (n *directoryNode) User(ctx context.Context, args onlyID) (*scimUser, error) {
	o, err := n.r.Directories.User(ctx, n.d, string(args.ID), true)
	return orNull(n.users(ctx, o)[0], err)
}

func (n *directoryNode) Group(ctx context.Context, args onlyID) (*scimGroup, error) {
	o, err := n.r.Directories.Group(ctx, n.d, string(args.ID))
	return orNull(n.groups(o)[0], err)
}

// memberNode is a member of a group. What the members of a page are is read at once.
type memberNode struct {
	m      dirsync.Member
	users  batch[*scimUser]
	groups batch[*scimGroup]
}

func (n *memberNode) ID() graphql.ID   { return graphql.ID(n.m.Value) }
func (n *memberNode) Display() *string { return optional(n.m.Display) }

func (n *memberNode) User() (*scimUser, error) {
	u, _, err := n.users(n.m.Value)
	return u, err
}

func (n *memberNode) Group() (*scimGroup, error) {
	g, _, err := n.groups(n.m.Value)
	return g, err
}

// members are the nodes of some members.
func (n *directoryNode) members(ctx context.Context, list ...dirsync.Member) []*memberNode {
	ids := map[string][]string{} // by type
	for _, m := range list {
		ids[m.Type] = append(ids[m.Type], m.Value)
	}
	users := newBatch(func() ([]*scimUser, error) {
		found, err := n.r.Directories.UsersByID(ctx, n.d, ids[scim.User.Name])
		return n.users(ctx, found...), err
	}, func(u *scimUser) string { return u.o.ID })
	groups := newBatch(func() ([]*scimGroup, error) {
		found, err := n.r.Directories.GroupsByID(ctx, n.d, ids[scim.Group.Name])
		return n.groups(found...), err
	}, func(g *scimGroup) string { return g.o.ID })
	nodes := make([]*memberNode, len(list))
	for i, m := range list {
		nodes[i] = &memberNode{m, users, groups}
	}
	return nodes
}

func (n *scimGroup) Members(ctx context.Context, args pageArgs) (*scimPage[*memberNode], error) {
	limit, after, err := args.read()
	if err != nil {
		return nil, err
	}
	found, err := n.r.Directories.Members(ctx, n.d, n.o.ID, limit, after)
	if err != nil {
		return nil, err
	}
	d := &directoryNode{n.r, n.d}
	return &scimPage[*memberNode]{Nodes: d.members(ctx, found.Items...),
		PageInfo: pageInfo{HasNextPage: found.Next != "", HasPreviousPage: after != "", EndCursor: optional(found.Next)},
		count:    func(ctx context.Context) (int64, error) { return n.r.Directories.CountMembers(ctx, n.d, n.o.ID) }}, nil
}

func (n *scimGroup) EffectiveMembers(ctx context.Context, args pageArgs) (*scimPage[*memberNode], error) {
	limit, after, err := args.read()
	if err != nil {
		return nil, err
	}
	w := window{limit: limit, after: after}
	err = n.r.Directories.EffectiveMembers(ctx, n.d, n.o.ID, func(list []dirsync.Member) error {
		for _, m := range list {
			w.add(m.Value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return windowPage(w, func(ids []string) []*memberNode {
		list := make([]dirsync.Member, len(ids))
		for i, id := range ids {
			list[i] = dirsync.Member{Value: id, Type: scim.User.Name}
		}
		d := &directoryNode{n.r, n.d}
		return d.members(ctx, list...)
	}), nil
}

// window keeps the first ids behind another, of ids that come in any order: a page whose cursor stays valid whatever is added
// or deleted.
type window struct {
	limit int
	after string
	ids   []string // in order, at most limit and one more
	total int64
}

func (w *window) add(id string) {
	w.total++
	if id <= w.after || len(w.ids) > w.limit && id > w.ids[w.limit] {
		return
	}
	at, _ := slices.BinarySearch(w.ids, id)
	w.ids = slices.Insert(w.ids, at, id)
	w.ids = w.ids[:min(len(w.ids), w.limit+1)]
}

func windowPage[N any](w window, nodes func(ids []string) []N) *scimPage[N] {
	ids := w.ids[:min(len(w.ids), w.limit)]
	p := &scimPage[N]{Nodes: nodes(ids), count: counted(w.total),
		PageInfo: pageInfo{HasNextPage: len(w.ids) > w.limit, HasPreviousPage: w.after != ""}}
	if len(ids) > 0 {
		p.PageInfo.StartCursor, p.PageInfo.EndCursor = &ids[0], &ids[len(ids)-1]
	}
	return p
}
