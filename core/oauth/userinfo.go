package oauth

import (
	"context"
	"slices"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
)

// Userinfo answers with the claims about the person an access token stands for (OpenID Connect Core §5.3).
// Faults: Unauthenticated with code invalid_token, or missing_token where none is given; Invalid invalid_dpop_proof and
// use_dpop_nonce of a token that is bound to a key.
func (s *Service) Userinfo(ctx context.Context, authorization string, c Credentials) (map[string]any, error) {
	scheme, secret := presentedToken(authorization)
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
	if err := s.confirmed(ctx, t.Confirmation, scheme, secret, c); err != nil {
		return nil, err
	}
	g := t.Grant
	if g.IdentityID == "" || len(g.Resources) > 0 && !slices.Contains(g.Resources, s.Issuer) {
		return nil, invalidToken() // an application's own, for nobody; or for other resources than this one (RFC 8707 §2)
	}
	if err := s.mayStillSignIn(ctx, g); fault.Is(err, fault.NotFound) {
		return nil, invalidToken()
	} else if err != nil {
		return nil, err
	}
	claims := s.profileClaims(g)
	claims["requested"] = g.Requested
	if g.openID() || g.ApplicationID != "" {
		claims["sub"] = g.subject()
	}
	return claims, nil
}

// mayStillSignIn looks at the application, the person, the connection and the session of a grant: one that is gone,
// deactivated, of a later epoch or ended is a NotFound fault.
func (s *Service) mayStillSignIn(ctx context.Context, g grant) error {
	if g.ApplicationID != "" {
		_, err := s.cachedApplication(ctx, g.ApplicationID)
		if fault.Is(err, fault.NotFound) {
			return accessEnded("The application is deleted")
		}
		if err != nil || g.IdentityID == "" {
			return err
		}
	}
	person, err := s.Identities.Get(ctx, g.IdentityID)
	if fault.Is(err, fault.NotFound) || err == nil && (!person.Active || person.Epoch != g.Epoch) {
		return accessEnded("The account is deactivated")
	}
	if err != nil {
		return err
	}
	connection, err := s.SSO.CachedByID(ctx, g.ConnectionID)
	if fault.Is(err, fault.NotFound) || err == nil && (!connection.Active() || connection.AccessEpoch() != g.AccessEpoch) {
		return accessEnded("The connection is deactivated")
	}
	if err != nil {
		return err
	}
	return s.sessionGoesOn(ctx, g)
}

func accessEnded(message string) error { return fault.New(fault.NotFound, "access_ended", message) }

func invalidToken() error { return fault.New(fault.Unauthenticated, "invalid_token", "Invalid token") }
