package polis

import (
	"context"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
)

// directory is a directory as Polis shows it (§1.4). Members that Polis leaves undefined are absent.
type directory struct {
	ID               string  `json:"id"`
	Name             string  `json:"name"`
	Tenant           string  `json:"tenant"`
	Product          string  `json:"product"`
	Type             string  `json:"type"`
	LogWebhookEvents bool    `json:"log_webhook_events"`
	SCIM             scim    `json:"scim"`
	Webhook          webhook `json:"webhook"`
	Deactivated      bool    `json:"deactivated"`

	*google
}

// google is what a directory of Google's has besides. The tokens are "" before somebody has agreed there.
type google struct {
	AuthorizationURL string `json:"google_authorization_url"`
	AccessToken      string `json:"google_access_token"`
	RefreshToken     string `json:"google_refresh_token"`
}

// scim is empty but for endpoint, which is absent, where the directory speaks no SCIM.
type scim struct {
	Path     string `json:"path"`
	Secret   string `json:"secret"`
	Endpoint string `json:"endpoint,omitempty"`
}

const (
	scimPath   = "/api/scim/v2.0/"
	googlePath = "/api/scim/oauth/authorize"
	// entraFlag has Entra ID send requests as RFC 7644 has them. It puts "Users" in front of it.
	entraFlag = "/?aadOptscim062020"
)

// shown dresses directories, each with the names of its tenant and product and with its webhook.
func (h *handler) shown(ctx context.Context, found []dirsync.Directory) ([]directory, error) {
	list := make([]directory, 0, len(found))
	names := names{h: h, products: map[string]string{}, tenants: map[string]string{}}
	for _, d := range found {
		product, tenant, err := names.of(ctx, d)
		if fault.Is(err, fault.NotFound) { // deleted meanwhile, and the directory with it
			continue
		}
		if err != nil {
			return nil, err
		}
		hook, err := h.webhookOf(ctx, d)
		if err != nil {
			return nil, err
		}
		list = append(list, h.directoryOf(d, tenant, product, hook))
	}
	return list, nil
}

func (h *handler) directoryOf(d dirsync.Directory, tenant, product string, hook webhook) directory {
	out := directory{ID: d.ID, Name: d.Label, Tenant: tenant, Product: product, Type: string(d.Type), LogWebhookEvents: d.LogWebhooks,
		Webhook: hook, Deactivated: d.Deactivated}
	if d.Type == dirsync.GoogleAPI {
		out.google = &google{AuthorizationURL: h.PublicURL + googlePath}
		if h.GoogleLink != nil { // callers append ?directoryId=, which it takes
			out.AuthorizationURL = h.GoogleLink(d)
		}
		if d.Google != nil {
			out.AccessToken, out.RefreshToken = d.Google.AccessToken, d.Google.RefreshToken
		}
		return out
	}
	path := scimPath + d.ID
	if d.Type == dirsync.Azure {
		path += entraFlag
	}
	out.SCIM = scim{Path: path, Secret: d.Secret(h.Now()).Value, Endpoint: h.PublicURL + path}
	return out
}

// names remembers the slugs of projects and organizations.
type names struct {
	h                 *handler
	products, tenants map[string]string
}

func (n names) of(ctx context.Context, d dirsync.Directory) (product, tenant string, err error) {
	product, err = remembered(n.products, d.ProjectID, func() (string, error) {
		p, err := n.h.Projects.Get(ctx, d.ProjectID)
		return p.Slug, err
	})
	if err != nil {
		return "", "", err
	}
	tenant, err = remembered(n.tenants, d.OrganizationID, func() (string, error) {
		o, err := n.h.Organizations.Get(ctx, d.OrganizationID)
		return o.Slug, err
	})
	return product, tenant, err
}

func remembered(known map[string]string, id string, read func() (string, error)) (string, error) {
	if text, ok := known[id]; ok {
		return text, nil
	}
	text, err := read()
	if err == nil {
		known[id] = text
	}
	return text, err
}
