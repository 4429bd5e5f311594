package oauth

import (
	"context"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
)

// Userinfo answers with the claims about the person an access token stands for (OpenID Connect Core §5.3).
// Faults: Unauthenticated with code invalid_token, or missing_token where none is given.
func (s *Service) Userinfo(ctx context.Context, authorization string) (map[string]any, error) {
	secret := bearer(authorization)
	if secret == "" {
		return nil, fault.New(fault.Unauthenticated, "missing_token", "Unauthorized")
	}
	t, err := s.tokens.Get(ctx, id.Hash(secret))
	if fault.Is(err, fault.NotFound) {
		return nil, invalidToken()
	}
	if err != nil {
		return nil, err
	}
	g := t.Grant
	person, err := s.Identities.Get(ctx, g.IdentityID)
	if fault.Is(err, fault.NotFound) || err == nil && (!person.Active || person.Epoch != g.Epoch) {
		return nil, invalidToken()
	}
	if err != nil {
		return nil, err
	}
	claims := g.profileClaims()
	claims["requested"] = g.Requested
	if g.openID() || g.ApplicationID != "" {
		claims["sub"] = g.subject()
	}
	return claims, nil
}

func invalidToken() error { return fault.New(fault.Unauthenticated, "invalid_token", "Invalid token") }
