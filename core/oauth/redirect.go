package oauth

import (
	"net/url"
	"slices"
	"strings"

	"github.com/portico-sso/portico/core/sso"
)

// neverRedirect is what Polis's own setup stores where a connection has no redirect URL.
const neverRedirect = "http://_boxyhq_redirect_not_in_use"

// redirectAllowed says whether an application may be answered at candidate: exact match (RFC 9700 §2.1), with any
// port for loopback addresses (RFC 8252 §7.3).
func redirectAllowed(registered []string, candidate string) bool {
	u, err := url.Parse(candidate)
	if err != nil || !wellFormed(candidate, u) {
		return false
	}
	for _, r := range registered {
		if r == candidate || sameLoopback(r, u) {
			return true
		}
	}
	return false
}

// connectionRedirectAllowed is redirectAllowed for a connection that is its own client. One made over /api/v1/sso may
// list https://host/path/*, and where loose is on it follows Polis: scheme, host and port alone are compared.
func connectionRedirectAllowed(c sso.Connection, candidate string, loose bool) bool {
	if redirectAllowed(c.RedirectURLs, candidate) {
		return !strings.HasPrefix(candidate, neverRedirect)
	}
	u, err := url.Parse(candidate)
	if !c.Polis || err != nil || !wellFormed(candidate, u) {
		return false
	}
	for name := range u.Query() {
		if slices.Contains(answered, name) { // the application could read it in place of ours
			return false
		}
	}
	for _, r := range c.RedirectURLs {
		if strings.HasPrefix(r, neverRedirect) {
			continue
		}
		if below(r, candidate, u) || loose && sameOrigin(r, u) {
			return true
		}
	}
	return false
}

// answered are the parameters of answers.
var answered = []string{"code", "error", "error_description", "state", "iss"}

// wellFormed refuses what browsers and servers are known to read differently than we do: fragments, user names,
// backslashes, control characters and white space, and schemes that a browser would run.
func wellFormed(text string, u *url.URL) bool {
	if u.Scheme == "" || strings.ContainsRune(text, '#') || u.User != nil || len(text) > 2048 {
		return false
	}
	for _, r := range text {
		if r <= ' ' || r == '\\' || r >= 0x7f {
			return false
		}
	}
	switch u.Scheme {
	case "http", "https":
		return u.Host != "" && u.Hostname() != ""
	case "javascript", "data", "vbscript", "file", "blob", "about", "filesystem":
		return false
	}
	return u.Host != "" || u.Path != "" || u.Opaque != ""
}

func sameLoopback(registered string, candidate *url.URL) bool {
	r, err := url.Parse(registered)
	if err != nil || r.Scheme != "http" || candidate.Scheme != "http" {
		return false
	}
	host := r.Hostname()
	return (host == "127.0.0.1" || host == "::1") && candidate.Hostname() == host &&
		r.EscapedPath() == candidate.EscapedPath() && r.RawQuery == candidate.RawQuery
}

// below reports whether registered is a "…/*" entry and candidate lies below it. Dot segments and encoded separators
// in what the * stands for are refused: a server may resolve them to somewhere else.
func below(registered, candidate string, u *url.URL) bool {
	prefix, wildcard := strings.CutSuffix(registered, "*")
	base, err := url.Parse(prefix)
	if !wildcard || err != nil || !strings.HasSuffix(prefix, "/") || base.Host == "" || strings.Contains(base.Host, "*") {
		return false
	}
	if !strings.HasPrefix(candidate, prefix) || u.Host != base.Host {
		return false
	}
	path := strings.ToLower(u.EscapedPath())
	for _, trick := range []string{"%2e", "%2f", "%5c", "%25", "//"} {
		if strings.Contains(path, trick) {
			return false
		}
	}
	for _, segment := range strings.Split(path, "/") {
		segment, _, _ = strings.Cut(segment, ";") // some servers take "..;" for ".."
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// sameOrigin is Polis's rule: scheme, host and port; a listed host *.example.com takes exactly one more label.
func sameOrigin(registered string, candidate *url.URL) bool {
	r, err := url.Parse(registered)
	if err != nil || r.Scheme != candidate.Scheme || r.Port() != candidate.Port() || r.Hostname() == "" {
		return false
	}
	if domain, wildcard := strings.CutPrefix(r.Hostname(), "*."); wildcard {
		label, rest, ok := strings.Cut(candidate.Hostname(), ".")
		return ok && label != "" && strings.EqualFold(rest, domain) && strings.Contains(domain, ".")
	}
	return strings.EqualFold(r.Hostname(), candidate.Hostname())
}

// withQuery adds parameters to a redirect URI and keeps those it has.
func withQuery(redirectURI string, add url.Values) string {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return redirectURI // was parsed before it was allowed
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += add.Encode()
	return u.String()
}
