package oauth

import (
	"crypto/sha512"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/sso"
)

// grant is what a person's login gives to one client: it travels from the code to the token.
type grant struct {
	ClientID       string      `json:"clientId"`                // as sent at authorize; the connection's own where none was
	ApplicationID  string      `json:"applicationId,omitempty"` // "" for a Polis-style client
	ConnectionID   string      `json:"connectionId"`
	OrganizationID string      `json:"organizationId"`
	ProjectID      string      `json:"projectId"`
	IdentityID     string      `json:"identityId"`
	Epoch          int64       `json:"epoch"`                 // of the identity: a later one ends the grant
	AccessEpoch    int64       `json:"accessEpoch,omitempty"` // and of the connection and its organization
	Scope          []string    `json:"scope,omitempty"`
	Resources      []string    `json:"resources,omitempty"` // that the tokens are for (RFC 8707)
	Nonce          string      `json:"nonce,omitempty"`
	AuthTime       time.Time   `json:"authTime,omitzero"`
	ACR            string      `json:"acr,omitempty"`       // authentication context class, as the identity provider says
	SessionID      string      `json:"sessionId,omitempty"` // "" where the login left none behind
	Profile        sso.Profile `json:"profile"`
	Requested      requested   `json:"requested"`
}

// requested is what userinfo tells a Polis-style client of its own request.
type requested struct {
	ClientID     string   `json:"client_id,omitempty"`
	State        string   `json:"state,omitempty"`
	RedirectURI  string   `json:"redirect_uri,omitempty"`
	Protocol     string   `json:"protocol,omitempty"`
	LoginType    string   `json:"login_type,omitempty"`
	ProviderName string   `json:"providerName"`
	LoginHint    string   `json:"login_hint,omitempty"`
	IsIdPFlow    bool     `json:"isIdPFlow,omitempty"`
	Tenant       string   `json:"tenant"`
	Product      string   `json:"product"`
	IdPHint      string   `json:"idp_hint,omitempty"`
	OIDC         bool     `json:"oidc,omitempty"`
	Nonce        string   `json:"nonce,omitempty"`
	Scope        []string `json:"scope,omitempty"`
}

func (g grant) openID() bool { return slices.Contains(g.Scope, "openid") }

// subject is sub: the identity for applications, so that two identity providers cannot collide; the identity
// provider's own id for Polis-style clients, which know the person by it.
func (g grant) subject() string {
	if g.ApplicationID != "" {
		return g.IdentityID
	}
	return g.Profile.ID
}

func (g grant) idTokenTTL() time.Duration {
	if g.ApplicationID != "" {
		return appTokenTTL
	}
	return polisTokenTTL
}

// prefixed tells a person apart from those of other tenants (Polis contract §2.6). What is too long for a sub (OpenID Connect
// Core §2) is hashed.
func prefixed(c sso.Connection, personID string) string {
	text := c.Tenant + ":" + c.Product + ":" + personID
	if len(text) > 255 {
		sum := sha512.Sum512([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	return text
}

// ofTokens are the claims that say something of a token, or of a sign-in, and not of the person.
var ofTokens = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "auth_time", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash",
	"sid", "events", "cnf", "requested"}

// flattened puts what raw holds beside the other claims, in its place. It says nothing anew, and nothing of the token: an
// identity provider chooses the names.
func flattened(claims map[string]any) map[string]any {
	raw, _ := claims["raw"].(map[string]any)
	delete(claims, "raw")
	for name, value := range raw {
		if _, said := claims[name]; !said && !slices.Contains(ofTokens, name) {
			claims[name] = value
		}
	}
	return claims
}

// profileClaims are what the id token and userinfo say of the person.
func (s *Service) profileClaims(g grant) map[string]any {
	p := g.Profile
	claims := map[string]any{"id": g.subject(), "raw": p.Raw}
	add := func(name, value string) {
		if value != "" {
			claims[name] = value
		}
	}
	add("email", p.Email)
	add("firstName", p.FirstName)
	add("lastName", p.LastName)
	if p.Roles != nil {
		claims["roles"] = p.Roles
	}
	if p.Groups != nil {
		claims["groups"] = p.Groups
	}
	if g.ApplicationID == "" {
		add("idHash", p.IDHash)
		if s.PolisFlattenRaw {
			return flattened(claims)
		}
		return claims
	}
	// The names of OpenID Connect Core §5.1, for client libraries that know no others.
	add("given_name", p.FirstName)
	add("family_name", p.LastName)
	add("name", strings.TrimSpace(p.FirstName+" "+p.LastName))
	add("organization_id", g.OrganizationID)
	add("connection_id", g.ConnectionID)
	return claims
}

// code is an authorization code. Its id is the hash of what the client is given.
type code struct {
	ID          string    `json:"id"`
	Grant       *grant    `json:"grant,omitempty"` // nil once used
	RedirectURI string    `json:"redirectUri,omitempty"`
	Challenge   string    `json:"challenge,omitempty"` // PKCE S256, or ""
	ProofKey    string    `json:"proofKey,omitempty"`  // thumbprint of the key that the redemption has to prove (RFC 9449 §10)
	TokenID     string    `json:"tokenId,omitempty"`   // what the first use bought, for a replay to revoke
	FamilyID    string    `json:"familyId,omitempty"`  // and where it bought more
	ExpiresAt   time.Time `json:"expiresAt"`

	version int64
}

// accessToken is an access token. Its id is the hash of what the client is given.
type accessToken struct {
	ID       string `json:"id"`
	Grant    grant  `json:"grant"`
	FamilyID string `json:"familyId,omitempty"` // of which it was bought

	Confirmation confirmation `json:"cnf,omitzero"`
	ExpiresAt    time.Time    `json:"expiresAt"`

	version int64
}
