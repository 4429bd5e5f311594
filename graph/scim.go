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
	return windowPage(w, func(id string) *scimGroup { return &scimGroup{object{n.r, n.d, byID[id]}} }), nil
}

type scimUser struct{ object }

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

func (n *scimUser) Identity(ctx context.Context) (*identityNode, error) {
	return n.r.identity(ctx, n.o.ID)
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

func objects[N any](q dirsync.Query, list func(dirsync.Query) (dirsync.Page, error), node func(dirsync.Object) N) (*scimPage[N], error) {
	found, err := list(q)
	if err != nil {
		return nil, scimFault(err)
	}
	p := &scimPage[N]{Nodes: make([]N, 0, len(found.Items)), count: counted(found.Total),
		PageInfo: pageInfo{HasNextPage: found.Next != "", HasPreviousPage: *q.Cursor != "", EndCursor: optional(found.Next)}}
	for _, o := range found.Items {
		p.Nodes = append(p.Nodes, node(o))
	}
	return p, nil
}

func (n *directoryNode) user(o dirsync.Object) *scimUser   { return &scimUser{object{n.r, n.d, o}} }
func (n *directoryNode) group(o dirsync.Object) *scimGroup { return &scimGroup{object{n.r, n.d, o}} }

func (n *directoryNode) Users(ctx context.Context, args filterArgs) (*scimPage[*scimUser], error) {
	q, err := args.query(scim.User)
	if err != nil {
		return nil, err
	}
	return objects(q, func(q dirsync.Query) (dirsync.Page, error) { return n.r.Directories.Users(ctx, n.d, q) }, n.user)
}

func (n *directoryNode) Groups(ctx context.Context, args filterArgs) (*scimPage[*scimGroup], error) {
	q, err := args.query(scim.Group)
	if err != nil {
		return nil, err
	}
	return objects(q, func(q dirsync.Query) (dirsync.Page, error) { return n.r.Directories.Groups(ctx, n.d, q) }, n.group)
}

func (n *directoryNode) User(ctx context.Context, args onlyID) (*scimUser, error) {
	o, err := n.r.Directories.User(ctx, n.d, string(args.ID), true)
	return orNull(n.user(o), err)
}

func (n *directoryNode) Group(ctx context.Context, args onlyID) (*scimGroup, error) {
	o, err := n.r.Directories.Group(ctx, n.d, string(args.ID))
	return orNull(n.group(o), err)
}

type memberNode struct {
	d *directoryNode
	m dirsync.Member
}

func (n *memberNode) ID() graphql.ID   { return graphql.ID(n.m.Value) }
func (n *memberNode) Display() *string { return optional(n.m.Display) }

func (n *memberNode) User(ctx context.Context) (*scimUser, error) {
	if n.m.Type == scim.Group.Name {
		return nil, nil
	}
	return n.d.User(ctx, onlyID{graphql.ID(n.m.Value)})
}

func (n *memberNode) Group(ctx context.Context) (*scimGroup, error) {
	if n.m.Type != scim.Group.Name {
		return nil, nil
	}
	return n.d.Group(ctx, onlyID{graphql.ID(n.m.Value)})
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
	p := &scimPage[*memberNode]{Nodes: make([]*memberNode, 0, len(found.Items)),
		PageInfo: pageInfo{HasNextPage: found.Next != "", HasPreviousPage: after != "", EndCursor: optional(found.Next)},
		count:    func(ctx context.Context) (int64, error) { return n.r.Directories.CountMembers(ctx, n.d, n.o.ID) }}
	for _, m := range found.Items {
		p.Nodes = append(p.Nodes, &memberNode{&directoryNode{n.r, n.d}, m})
	}
	return p, nil
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
	return windowPage(w, func(id string) *memberNode {
		return &memberNode{&directoryNode{n.r, n.d}, dirsync.Member{Value: id, Type: scim.User.Name}}
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

func windowPage[N any](w window, node func(id string) N) *scimPage[N] {
	ids := w.ids[:min(len(w.ids), w.limit)]
	p := &scimPage[N]{Nodes: make([]N, 0, len(ids)), PageInfo: pageInfo{HasNextPage: len(w.ids) > w.limit, HasPreviousPage: w.after != ""}, count: counted(w.total)}
	for _, id := range ids {
		p.Nodes = append(p.Nodes, node(id))
	}
	if len(ids) > 0 {
		p.PageInfo.StartCursor, p.PageInfo.EndCursor = &ids[0], &ids[len(ids)-1]
	}
	return p
}
