package scim

import (
	"context"
	"net/http"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
)

// kind is a resource type with what can be done to its resources.
type kind struct {
	*scim.ResourceType
	limit   int64 // bytes of a body
	create  func(context.Context, dirsync.Directory, scim.Resource) (dirsync.Changed, error)
	get     func(context.Context, dirsync.Directory, string, scim.Projection) (dirsync.Object, error)
	list    func(context.Context, dirsync.Directory, dirsync.Query) (dirsync.Page, error)
	replace func(context.Context, dirsync.Directory, string, scim.Resource, dirsync.Match) (dirsync.Changed, error)
	patch   func(context.Context, dirsync.Directory, string, []scim.Operation, dirsync.Match) (dirsync.Changed, error)
	remove  func(context.Context, dirsync.Directory, string, dirsync.Match) error
	// large reports whether a PATCH is answered with 204 unless the client asks for attributes (RFC 7644 §3.5.2), as a group of
	// 100,000 is not sent for each member that joins. nil is never.
	large func(context.Context, dirsync.Directory, string) (bool, error)
}

func (h *Handler) users() kind {
	return kind{ResourceType: scim.User, limit: maxUser,
		create: h.Directories.CreateUser, list: h.Directories.Users, replace: h.Directories.ReplaceUser,
		patch: h.Directories.PatchUser, remove: h.Directories.DeleteUser,
		get: func(ctx context.Context, d dirsync.Directory, id string, p scim.Projection) (dirsync.Object, error) {
			return h.Directories.User(ctx, d, id, !p.Wants("groups"))
		},
	}
}

func (h *Handler) groups() kind {
	return kind{ResourceType: scim.Group, limit: maxGroup,
		create: h.Directories.CreateGroup, list: h.Directories.Groups, replace: h.Directories.ReplaceGroup,
		patch: h.Directories.PatchGroup, remove: h.Directories.DeleteGroup,
		get: func(ctx context.Context, d dirsync.Directory, id string, _ scim.Projection) (dirsync.Object, error) {
			return h.Directories.Group(ctx, d, id)
		},
		large: func(ctx context.Context, d dirsync.Directory, id string) (bool, error) {
			if d.Type == dirsync.Azure { // Entra ID documents 204 for all groups
				return true, nil
			}
			page, err := h.Directories.Members(ctx, d, id, maxShown, "")
			return page.Next != "", err
		},
	}
}

// maxShown is how many members a group has at most that a PATCH is answered with: as many are read to know that it has more.
const maxShown = 20

// serveKind serves /Users and /Groups.
func (h *Handler) serveKind(c *call, w http.ResponseWriter, k kind, rest []string) (answer, error) {
	switch {
	case len(rest) > 1:
		return answer{}, notFound()
	case len(rest) == 1 && rest[0] == ".search":
		return h.only(c, w, maxUser, http.MethodPost, func(c *call) (answer, error) { return h.search(c, k) })
	case len(rest) == 1:
		return h.serveOne(c, w, k, rest[0])
	}
	if err := c.read(w, k.limit); err != nil {
		return answer{}, err
	}
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		return h.list(c, k)
	case http.MethodPost:
		return h.create(c, k)
	}
	return answer{}, notAllowed(w, "GET, POST")
}

func (h *Handler) serveOne(c *call, w http.ResponseWriter, k kind, id string) (answer, error) {
	if err := c.read(w, k.limit); err != nil {
		return answer{}, err
	}
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		return h.get(c, k, id)
	case http.MethodPut:
		return h.replace(c, k, id)
	case http.MethodPatch:
		return h.patch(c, k, id)
	case http.MethodDelete:
		return h.remove(c, k, id)
	}
	return answer{}, notAllowed(w, "GET, PUT, PATCH, DELETE")
}

// projection reads the parameters attributes and excludedAttributes.
func (c *call) projection(k kind) (scim.Projection, error) {
	q := c.URL.Query()
	return scim.ParseProjection(k.ResourceType, names(q["attributes"]), names(q["excludedAttributes"]))
}

func (h *Handler) get(c *call, k kind, id string) (answer, error) {
	p, err := c.projection(k)
	if err != nil {
		return answer{}, err
	}
	o, err := k.get(c.Context(), c.directory, id, p)
	if err != nil {
		return answer{}, err
	}
	if match, any := versions(c.Header.Values("If-None-Match")); any || match.has(o.Version) {
		return answer{status: http.StatusNotModified, version: o.Version}, nil
	}
	return answer{status: http.StatusOK, one: &shown{k, o, p}, version: o.Version, location: c.location(k, id)}, nil
}

func (h *Handler) create(c *call, k kind) (answer, error) {
	return h.put(c, k, http.StatusCreated, func(r scim.Resource) (dirsync.Changed, error) { return k.create(c.Context(), c.directory, r) })
}

func (h *Handler) replace(c *call, k kind, id string) (answer, error) {
	return h.put(c, k, http.StatusOK, func(r scim.Resource) (dirsync.Changed, error) {
		return k.replace(c.Context(), c.directory, id, r, c.ifMatch())
	})
}

// put reads a whole resource and answers with what write made of it.
func (h *Handler) put(c *call, k kind, status int, write func(scim.Resource) (dirsync.Changed, error)) (answer, error) {
	p, err := c.projection(k)
	if err != nil {
		return answer{}, err
	}
	r, err := k.Read(c.body)
	if err != nil {
		return answer{}, err
	}
	made, err := write(r)
	if err != nil {
		return answer{}, err
	}
	return answer{status: status, one: &shown{k, made.Object, p}, version: made.Version, location: c.location(k, made.ID)}, nil
}

func (h *Handler) patch(c *call, k kind, id string) (answer, error) {
	p, err := c.projection(k)
	if err != nil {
		return answer{}, err
	}
	ops, err := scim.ReadPatch(c.body)
	if err != nil {
		return answer{}, err
	}
	made, err := k.patch(c.Context(), c.directory, id, ops, c.ifMatch())
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, one: &shown{k, made.Object, p}, version: made.Version, location: c.location(k, id)}
	if q := c.URL.Query(); k.large != nil && !q.Has("attributes") && !q.Has("excludedAttributes") {
		large, err := k.large(c.Context(), c.directory, id)
		if err != nil || large { // an error would say that nothing was done
			a.status, a.one = http.StatusNoContent, nil
		}
	}
	return a, nil
}

func (h *Handler) remove(c *call, k kind, id string) (answer, error) {
	if err := k.remove(c.Context(), c.directory, id, c.ifMatch()); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// location is the address of a resource.
func (c *call) location(k kind, id string) string { return c.base + k.Endpoint + "/" + id }
