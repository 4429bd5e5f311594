package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/portico-sso/portico/ports/federation"
)

// AuthorizationURL implements federation.OIDC.
func (p *RelyingParty) AuthorizationURL(r federation.AuthorizationRequest) string {
	q := url.Values{}
	for _, param := range r.Params {
		q.Set(param.Name, param.Value)
	}
	q.Set("response_type", "code")
	q.Set("client_id", r.ClientID)
	q.Set("redirect_uri", r.RedirectURI)
	q.Set("scope", strings.Join(r.Scopes, " "))
	q.Set("state", r.State)
	q.Set("nonce", r.Nonce)
	if r.Verifier != "" {
		sum := sha256.Sum256([]byte(r.Verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	query := strings.ReplaceAll(q.Encode(), "+", "%20") // some providers take a plus sign for itself
	u, err := url.Parse(r.Provider.AuthorizationEndpoint)
	if err != nil {
		return r.Provider.AuthorizationEndpoint + "?" + query // it was read as a URL when it became an endpoint
	}
	if u.RawQuery != "" { // an endpoint may have parameters of its own (RFC 6749 §3.1)
		query = u.RawQuery + "&" + query
	}
	u.RawQuery = query
	return u.String()
}
