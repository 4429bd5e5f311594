package oauth

import (
	"net/url"
	"slices"
	"strings"

	"github.com/portico-sso/portico/core/fault"
)

const offlineAccess = "offline_access"

// openIDScopes are the scopes of OpenID Connect (Core §3.1.2.1, §5.4, §11), which every application may ask for; the last
// one only where it may refresh.
var openIDScopes = []string{"openid", "profile", "email", offlineAccess}

// grantedScope is what an application gets of the scope that it asks for. The rest is passed over, as OpenID Connect Core
// §3.1.2.1 has it.
func (a Application) grantedScope(asked []string) []string {
	var granted []string
	for _, s := range asked {
		known := slices.Contains(openIDScopes, s) || slices.Contains(a.Scopes, s)
		if s == offlineAccess {
			known = a.May(RefreshToken)
		}
		if known && !slices.Contains(granted, s) {
			granted = append(granted, s)
		}
	}
	return granted
}

// narrowed is a scope that a request asks for out of a granted one; all of it where it asks for none.
func narrowed(granted []string, asked string) ([]string, error) {
	if asked == "" {
		return granted, nil
	}
	words := strings.Fields(asked)
	for _, s := range words {
		if !slices.Contains(granted, s) {
			return nil, oauthError("invalid_scope", "The scope is not part of what was granted")
		}
	}
	return words, nil
}

// validScope: scope-token of RFC 6749 §3.3.
func validScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// validResource: an absolute URI without fragment (RFC 8707 §2).
func validResource(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.IsAbs() && !strings.Contains(text, "#") && len(text) <= 2048 && (u.Host != "" || u.Opaque != "")
}

// resources are those that a request names for its tokens; every one has to be among the allowed (RFC 8707 §2).
func resources(asked, allowed []string) ([]string, error) {
	for _, r := range asked {
		if !slices.Contains(allowed, r) {
			return nil, invalidTarget()
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(asked))), nil
}

// narrowedTo is the grant for those of its resources that a request names, or for all of them (RFC 8707 §2.2).
func (g grant) narrowedTo(asked []string) (grant, error) {
	if len(asked) == 0 {
		return g, nil
	}
	var err error
	g.Resources, err = resources(asked, g.Resources)
	return g, err
}

// resourcesOf are those that an application may name: its own, and this server, for userinfo.
func (s *Service) resourcesOf(app Application) []string {
	return append(slices.Clone(app.Resources), s.Issuer)
}

func invalidTarget() *fault.Error {
	return oauthError("invalid_target", "The application may not ask for tokens for this resource")
}
