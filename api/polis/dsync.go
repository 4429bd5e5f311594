package polis

import (
	"context"
	"net/http"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/organization"
)

var (
	errNoDirectory = fault.New(fault.NotFound, "not_found", "Directory configuration not found.")
	errScope       = invalid("Please provide tenant and product")
)

// directoriesOf serves GET /api/v1/dsync.
func (h *handler) directoriesOf(r *http.Request, p params) (answer, error) {
	var tenant, product string
	if err := p.texts(map[string]*string{"tenant": &tenant, "product": &product}); err != nil {
		return answer{}, err
	}
	if tenant == "" || product == "" {
		return answer{}, errScope
	}
	o, err := h.tenant(r.Context(), product, tenant)
	if err != nil || o.ID == "" {
		return data([]directory{}), err
	}
	offset, limit := p.page()
	found, err := h.Directories.PageDirectories(r.Context(), o.ID, offset, limit)
	if err != nil {
		return answer{}, err
	}
	total, err := h.Directories.CountDirectories(r.Context(), o.ID)
	if err != nil {
		return answer{}, err
	}
	list, err := h.shown(r.Context(), found)
	return data(list).of(total), err
}

// directoriesByProduct serves GET /api/v1/dsync/product.
func (h *handler) directoriesByProduct(r *http.Request, p params) (answer, error) {
	product := p.text("product")
	if product == "" {
		return answer{}, invalid("Please provide a product")
	}
	owner, err := h.Projects.BySlug(r.Context(), product)
	if fault.Is(err, fault.NotFound) {
		return listing([]directory{}), nil
	}
	if err != nil {
		return answer{}, err
	}
	offset, limit := p.page()
	found, err := h.Directories.PageProjectDirectories(r.Context(), owner.ID, offset, limit)
	if err != nil {
		return answer{}, err
	}
	total, err := h.Directories.CountProjectDirectories(r.Context(), owner.ID)
	if err != nil {
		return answer{}, err
	}
	list, err := h.shown(r.Context(), found)
	return listing(list).of(total), err
}

// directory serves GET /api/v1/dsync/{directoryId}.
func (h *handler) directory(r *http.Request, _ params) (answer, error) {
	d, err := h.Directories.Directory(r.Context(), r.PathValue("directoryId"))
	return h.showDirectory(r.Context(), http.StatusOK, d, err)
}

// showDirectory answers with one directory.
func (h *handler) showDirectory(ctx context.Context, status int, d dirsync.Directory, err error) (answer, error) {
	if fault.Is(err, fault.NotFound) {
		return answer{}, errNoDirectory
	}
	if err != nil {
		return answer{}, err
	}
	list, err := h.shown(ctx, []dirsync.Directory{d})
	if err != nil {
		return answer{}, err
	}
	a := data(list[0])
	a.status = status
	return a, nil
}

// createDirectory serves POST /api/v1/dsync. Several directories of one tenant are allowed.
func (h *handler) createDirectory(r *http.Request, p params) (answer, error) {
	in, err := readDirectory(p)
	if err != nil {
		return answer{}, err
	}
	hook, err := webhook{}.changed(p)
	if err == nil {
		if !hook.complete() {
			hook = webhook{} // POST keeps no half of one (§1.4)
		}
		err = h.check(hook) // before anything is made
	}
	if err != nil {
		return answer{}, err
	}
	owner, err := h.Projects.Ensure(r.Context(), in.product)
	if err != nil {
		return answer{}, err
	}
	o, err := h.Organizations.Ensure(r.Context(), owner.ID, in.tenant)
	if err != nil {
		return answer{}, err
	}
	d, err := h.Directories.CreateDirectory(r.Context(), o.ID, in.DirectoryInput)
	if err != nil {
		return answer{}, err
	}
	if err := h.setWebhook(r.Context(), d, hook); err != nil {
		_ = h.Directories.DeleteDirectory(context.WithoutCancel(r.Context()), d.ID) // the caller asks for it again
		return answer{}, err
	}
	return h.showDirectory(r.Context(), http.StatusCreated, d, nil)
}

// directoryInput is a body of POST.
type directoryInput struct {
	dirsync.DirectoryInput
	tenant, product string
}

func readDirectory(p params) (directoryInput, error) {
	var in directoryInput
	var name, kind string
	tokens, err := p.googleTokens()
	if err == nil {
		err = p.texts(map[string]*string{"tenant": &in.tenant, "product": &in.product, "name": &name, "type": &kind})
	}
	switch {
	case err != nil:
		return in, err
	case in.tenant == "" || in.product == "":
		return in, invalid("Missing required parameters.")
	case !p.has("type"):
		kind = string(dirsync.Generic)
	}
	if !known(dirsync.Type(kind)) {
		return in, invalid("Invalid directory type.")
	}
	for field, slug := range map[string]string{"tenant": in.tenant, "product": in.product} {
		if err := validSlug(field, slug); err != nil {
			return in, err
		}
	}
	if name == "" {
		name = "scim-" + in.tenant + "-" + in.product
	}
	chosen := dirsync.Type(kind)
	in.Label, in.Type = &name, &chosen
	if chosen == dirsync.GoogleAPI {
		in.Google = tokens
	}
	return in, nil
}

func known(kind dirsync.Type) bool {
	for _, t := range dirsync.Types {
		if t.Type == kind {
			return true
		}
	}
	return false
}

// updateDirectory serves PATCH /api/v1/dsync/{directoryId}. Fields that it does not know are left alone.
func (h *handler) updateDirectory(r *http.Request, p params) (answer, error) {
	d, err := h.Directories.Directory(r.Context(), r.PathValue("directoryId"))
	if err != nil {
		return h.showDirectory(r.Context(), 0, d, err)
	}
	in, err := readDirectoryChange(p, d)
	if err != nil {
		return answer{}, err
	}
	if p.has("webhook", "webhook_url", "webhook_secret") {
		if in.Webhook, err = h.changeWebhook(r.Context(), d, p); err != nil {
			return answer{}, err
		}
	}
	if in != (dirsync.DirectoryInput{}) {
		d, err = h.Directories.UpdateDirectory(r.Context(), d.ID, in)
	}
	return h.showDirectory(r.Context(), http.StatusOK, d, err)
}

func readDirectoryChange(p params, d dirsync.Directory) (dirsync.DirectoryInput, error) {
	var in dirsync.DirectoryInput
	var name string
	tokens, err := p.googleTokens()
	if err == nil {
		err = p.texts(map[string]*string{"name": &name})
	}
	if err != nil {
		return in, err
	}
	if name != "" {
		in.Label = &name
	}
	if p["log_webhook_events"] != nil {
		logs := p.flag("log_webhook_events")
		in.LogWebhooks = &logs
	}
	if p["deactivated"] != nil {
		active := !p.flag("deactivated")
		in.Active = &active
	}
	if d.Type == dirsync.GoogleAPI {
		in.Google = tokens
	}
	return in, nil
}

// googleTokens are those of a body, or nil where it has none.
func (p params) googleTokens() (*dirsync.GoogleTokens, error) {
	var access, refresh string
	err := p.texts(map[string]*string{"google_access_token": &access, "google_refresh_token": &refresh})
	var tokens dirsync.GoogleTokens
	if p.has("google_access_token") {
		tokens.Access = &access
	}
	if p.has("google_refresh_token") {
		tokens.Refresh = &refresh
	}
	if tokens == (dirsync.GoogleTokens{}) {
		return nil, err
	}
	return &tokens, err
}

// deleteDirectory serves DELETE /api/v1/dsync/{directoryId}, which answers the same for one that is not there.
func (h *handler) deleteDirectory(r *http.Request, _ params) (answer, error) {
	err := h.Directories.DeleteDirectory(r.Context(), r.PathValue("directoryId"))
	if fault.Is(err, fault.NotFound) {
		err = nil
	}
	return data(struct{}{}), err
}

// tenant finds the organization of a tenant of a product; one that is not known has no ID.
func (h *handler) tenant(ctx context.Context, product, tenant string) (organization.Organization, error) {
	owner, err := h.Projects.BySlug(ctx, product)
	var o organization.Organization
	if err == nil {
		o, err = h.Organizations.BySlug(ctx, owner.ID, tenant)
	}
	if fault.Is(err, fault.NotFound) {
		return organization.Organization{}, nil
	}
	return o, err
}
