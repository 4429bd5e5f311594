package polis

import (
	"context"
	"net/http"
	"slices"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	corerecord "github.com/portico-sso/portico/core/record"
)

// scope reads the directories whose users and groups a request is about (§1.5), newest first: those of a tenant and product,
// a single one by directoryId, or, with both, that one if it is the tenant's.
func (h *handler) scope(ctx context.Context, p params) ([]dirsync.Directory, error) {
	var tenant, product, directoryID string
	err := p.texts(map[string]*string{"tenant": &tenant, "product": &product, "directoryId": &directoryID})
	switch {
	case err != nil:
		return nil, err
	case tenant != "" && product != "":
		return h.ofScope(ctx, product, tenant, directoryID)
	case directoryID == "":
		return nil, invalid("Set tenant and product before using store.")
	}
	d, err := h.Directories.Directory(ctx, directoryID)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "not_found", "Directory not found.")
	}
	return []dirsync.Directory{d}, err
}

// ofScope reads the directories of a tenant, or the one of them that is named.
func (h *handler) ofScope(ctx context.Context, product, tenant, directoryID string) ([]dirsync.Directory, error) {
	o, err := h.tenant(ctx, product, tenant)
	if err != nil || o.ID == "" {
		return nil, err
	}
	if directoryID != "" {
		d, err := h.Directories.Directory(ctx, directoryID)
		if fault.Is(err, fault.NotFound) || err == nil && d.OrganizationID != o.ID {
			return nil, nil
		}
		return []dirsync.Directory{d}, err
	}
	return every(func(after string) (corerecord.Page[dirsync.Directory], error) {
		return h.Directories.ListDirectories(ctx, o.ID, 0, after)
	})
}

// kind is what a listing is of: users or groups.
type kind struct {
	list func(context.Context, dirsync.Directory, dirsync.Query) (dirsync.Page, error)
	one  func(context.Context, dirsync.Directory, string) (dirsync.Object, error)
	show func(dirsync.Object, dirsync.Directory) map[string]any
}

func (h *handler) usersKind() kind {
	one := func(ctx context.Context, d dirsync.Directory, userID string) (dirsync.Object, error) {
		return h.Directories.User(ctx, d, userID, true)
	}
	return kind{h.Directories.Users, one, h.showUser}
}

func (h *handler) groupsKind() kind {
	return kind{h.Directories.Groups, h.Directories.Group, h.showGroup}
}

func (h *handler) users(r *http.Request, p params) (answer, error) {
	return h.objects(r, p, h.usersKind())
}

func (h *handler) groups(r *http.Request, p params) (answer, error) {
	return h.objects(r, p, h.groupsKind())
}

// objects serves a listing: the newest directory's objects first, and of each directory the newest first.
func (h *handler) objects(r *http.Request, p params, k kind) (answer, error) {
	directories, err := h.scope(r.Context(), p)
	if err != nil {
		return answer{}, err
	}
	offset, limit := p.page()
	out, total := []map[string]any{}, int64(0)
	for _, d := range directories {
		n, err := k.list(r.Context(), d, dirsync.Query{Start: 1, NoGroups: true})
		if err != nil {
			return answer{}, err
		}
		here := int64(offset) - total // of the page's first place in this directory
		total += n.Total
		if here >= n.Total || len(out) == limit {
			continue
		}
		found, err := newest(r.Context(), d, k, n.Total, int(max(here, 0)), limit-len(out))
		if err != nil {
			return answer{}, err
		}
		for _, o := range found {
			out = append(out, k.show(o, d))
		}
	}
	return listing(out).of(total), nil
}

// newest reads limit of a directory's objects behind the first offset, the newest first: listings have the oldest first.
func newest(ctx context.Context, d dirsync.Directory, k kind, total int64, offset, limit int) ([]dirsync.Object, error) {
	last := int(total) - offset // its place, from 1
	first := max(last-limit+1, 1)
	page, err := k.list(ctx, d, dirsync.Query{Start: first, Count: last - first + 1, NoGroups: true})
	slices.Reverse(page.Items)
	return page.Items, err
}

// showUser is a user with their directory, which Polis shows until the first PUT.
func (h *handler) showUser(o dirsync.Object, d dirsync.Directory) map[string]any {
	shown := h.Directories.PolisUser(o)
	shown["directoryId"] = d.ID
	return shown
}

func (h *handler) showGroup(o dirsync.Object, _ dirsync.Directory) map[string]any {
	return h.Directories.PolisGroup(o)
}

func (h *handler) user(r *http.Request, p params) (answer, error) {
	o, d, err := h.object(r.Context(), p, h.usersKind(), r.PathValue("userId"))
	if fault.Is(err, fault.NotFound) && fault.Code(err) == noObject {
		return answer{}, fault.New(fault.NotFound, noObject, "User not found")
	}
	if err != nil {
		return answer{}, err
	}
	return data(h.showUser(o, d)), nil
}

func (h *handler) group(r *http.Request, p params) (answer, error) {
	groupID := r.PathValue("groupId")
	o, d, err := h.object(r.Context(), p, h.groupsKind(), groupID)
	if fault.Is(err, fault.NotFound) && fault.Code(err) == noObject {
		return answer{}, fault.New(fault.NotFound, noObject, "Group with id "+groupID+" not found.")
	}
	if err != nil {
		return answer{}, err
	}
	return data(h.showGroup(o, d)), nil
}

// noObject is the code of the fault that a scope, which itself is there, has no such user or group.
const noObject = "no_such_object"

// object finds a user or group in the scope of a request.
func (h *handler) object(ctx context.Context, p params, k kind, id string) (dirsync.Object, dirsync.Directory, error) {
	directories, err := h.scope(ctx, p)
	if err != nil {
		return dirsync.Object{}, dirsync.Directory{}, err
	}
	for _, d := range directories {
		o, err := k.one(ctx, d, id)
		if !fault.Is(err, fault.NotFound) {
			return o, d, err
		}
	}
	return dirsync.Object{}, dirsync.Directory{}, fault.New(fault.NotFound, noObject, "Not found.")
}

// member is one user of a group.
type member struct {
	UserID string `json:"user_id"`
}

// groupMembers serves the users of a group: the direct ones, or with effective=true also those of the groups inside of it.
func (h *handler) groupMembers(r *http.Request, p params) (answer, error) {
	o, d, err := h.object(r.Context(), p, h.groupsKind(), r.PathValue("groupId"))
	if fault.Code(err) == noObject {
		return data([]member{}), nil
	}
	if err != nil {
		return answer{}, err
	}
	offset, limit := p.page()
	var ids []string
	var total int64
	if p.on("effective") {
		ids, total, err = h.effective(r.Context(), d, o.ID, offset, limit)
	} else {
		ids, total, err = h.Directories.UserMembers(r.Context(), d, o.ID, offset, limit)
	}
	if err != nil {
		return answer{}, err
	}
	out := make([]member, 0, len(ids))
	for _, userID := range ids {
		out = append(out, member{userID})
	}
	return data(out).of(total), nil
}

// effective reads a page of the users in a group and in the groups inside of it, in the order of their ids.
func (h *handler) effective(ctx context.Context, d dirsync.Directory, groupID string, offset, limit int) (page []string, total int64, err error) {
	var ids []string
	err = h.Directories.EffectiveMembers(ctx, d, groupID, func(list []dirsync.Member) error {
		for _, m := range list {
			ids = append(ids, m.Value)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(ids)
	first := min(offset, len(ids))
	return ids[first:min(first+limit, len(ids))], int64(len(ids)), nil
}
