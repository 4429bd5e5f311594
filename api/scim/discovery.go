package scim

import (
	"net/http"
	"strings"

	"github.com/portico-sso/portico/core/dirsync/scim"
)

// serveDiscovery serves what the service provider says of itself, RFC 7644 §4. None of it can be filtered.
func (h *Handler) serveDiscovery(c *call, w http.ResponseWriter, name string, rest []string) (answer, error) {
	var list []scim.Resource
	var config scim.Resource
	switch {
	case strings.EqualFold(name, "ServiceProviderConfig") && len(rest) == 0:
		config = h.provider().Config(c.base)
	case len(rest) > 1:
		return answer{}, notFound()
	case strings.EqualFold(name, "Schemas"):
		list = scim.Schemas(c.base)
	case strings.EqualFold(name, "ResourceTypes"):
		list = scim.ResourceTypes(c.base)
	default:
		return answer{}, notFound()
	}
	return h.only(c, w, 0, http.MethodGet, func(c *call) (answer, error) {
		switch {
		case c.URL.Query().Has("filter"):
			return answer{}, &scim.Error{Status: http.StatusForbidden, Detail: "This cannot be filtered (RFC 7644 §4)."}
		case config != nil:
			return answer{status: http.StatusOK, value: config}, nil
		case len(rest) == 0:
			return answer{status: http.StatusOK, value: map[string]any{"schemas": []string{scim.ListURN}, "totalResults": len(list),
				"itemsPerPage": len(list), "startIndex": 1, "Resources": list}}, nil
		}
		for _, r := range list {
			if id, _ := r["id"].(string); strings.EqualFold(id, rest[0]) {
				return answer{status: http.StatusOK, value: r}, nil
			}
		}
		return answer{}, notFound()
	})
}

func (h *Handler) provider() scim.Provider {
	return scim.Provider{
		Documentation:  h.PublicURL + "/.well-known",
		BulkOperations: maxBulkOperations, BulkBytes: maxBulk, MaxResults: maxPage,
		Sort: true, ETag: true, ChangePassword: true,
		Authentication: []scim.AuthenticationScheme{{Type: "oauthbearertoken", Name: "Bearer token", Primary: true,
			Description: "A secret of the directory, as a bearer token", SpecURI: "https://www.rfc-editor.org/info/rfc6750"}},
		Pages: scim.Pages{Cursor: true, Index: true, Method: "index", Default: defaultPage, Max: maxPage},
	}
}
