package graph

import (
	"context"
	"fmt"
	"math"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/record"
)

// pageArgs are the arguments of a page of a listing (Relay Cursor Connections, forward pagination).
type pageArgs struct {
	First *int32
	After *string
}

func (a pageArgs) read() (limit int, after string, err error) {
	limit = defaultPage
	if a.First != nil {
		limit = int(*a.First)
	}
	if limit < 1 || limit > maxPage {
		return 0, "", fault.At("first", "invalid", fmt.Sprintf("first is 1 to %d.", maxPage))
	}
	if a.After != nil {
		after = *a.After
	}
	return limit, after, nil
}

// page is a page of a listing.
type page[N any] struct {
	Edges    []edge[N]
	PageInfo pageInfo
	count    func(context.Context) (int64, error)
}

type edge[N any] struct {
	Cursor string
	Node   N
}

type pageInfo struct {
	HasNextPage     bool
	HasPreviousPage bool
	StartCursor     *string
	EndCursor       *string
}

// Nodes are the items without their cursors.
func (p *page[N]) Nodes() []N {
	nodes := make([]N, 0, len(p.Edges))
	for _, e := range p.Edges {
		nodes = append(nodes, e.Node)
	}
	return nodes
}

// TotalCount counts the whole listing.
func (p *page[N]) TotalCount(ctx context.Context) (int32, error) {
	n, err := p.count(ctx)
	return int32(min(n, math.MaxInt32)), err // bounded
}

// newPage reads a page by list and dresses each item as its node.
func newPage[T, N any](args pageArgs, list func(limit int, after string) (record.Page[T], error), node func(T) N,
	count func(context.Context) (int64, error),
) (*page[N], error) {
	return newPageOf(args, list, func(items []T) []N {
		nodes := make([]N, len(items))
		for i, item := range items {
			nodes[i] = node(item)
		}
		return nodes
	}, count)
}

// newPageOf is newPage of nodes that know each other.
func newPageOf[T, N any](args pageArgs, list func(limit int, after string) (record.Page[T], error), nodes func([]T) []N,
	count func(context.Context) (int64, error),
) (*page[N], error) {
	limit, after, err := args.read()
	if err != nil {
		return nil, err
	}
	found, err := list(limit, after)
	if err != nil {
		return nil, err
	}
	p := &page[N]{Edges: make([]edge[N], 0, len(found.Items)), count: count,
		PageInfo: pageInfo{HasNextPage: found.More, HasPreviousPage: after != ""}}
	for i, node := range nodes(found.Items) {
		p.Edges = append(p.Edges, edge[N]{Cursor: found.Cursors[i], Node: node})
	}
	if n := len(found.Cursors); n > 0 {
		p.PageInfo.StartCursor, p.PageInfo.EndCursor = &found.Cursors[0], &found.Cursors[n-1]
	}
	return p, nil
}
