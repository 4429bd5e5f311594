package oauth

import (
	"context"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
)

// Credentials are what a client presents of itself at the token endpoint (RFC 6749 §2.3.1).
type Credentials struct {
	ClientID, Secret string
	// AsSent are the same two before form-decoding, from a client that does not encode what it puts into Basic.
	AsSent *Credentials

	Twice       bool     // the secret came in the header and in the body
	Assertion   string   // client_assertion (RFC 7523 §2.2)
	Certificate []byte   // of the TLS client, in DER, as a trusted proxy forwarded it
	DPoP        []string // DPoP headers (RFC 9449 §4.1)
	Method, URL string   // of the request, as the client sees it, without query
}

// authenticate finds the application that a request presents itself as, and has it prove that. A public one cannot: what
// it presents beside must be proof enough (a code with PKCE, a refresh token). Faults: Unauthenticated invalid_client.
func (s *Service) authenticate(ctx context.Context, creds Credentials) (Application, error) {
	if creds.ClientID == "" && creds.Assertion != "" {
		creds.ClientID = assertedClient(creds.Assertion)
	}
	if creds.ClientID == "" {
		return Application{}, invalidClient("Please specify client_id")
	}
	if !id.IsUUID(creds.ClientID) {
		return Application{}, invalidClient("Unknown client")
	}
	app, err := s.cachedApplication(ctx, creds.ClientID)
	if fault.Is(err, fault.NotFound) {
		return Application{}, invalidClient("Unknown client")
	}
	if err != nil {
		return Application{}, err
	}
	return app, s.prove(ctx, app, creds)
}

// prove holds what a client presents against what the application has.
func (s *Service) prove(ctx context.Context, app Application, creds Credentials) error {
	switch {
	case creds.Twice || creds.Secret != "" && creds.Assertion != "":
		return invalidRequest("The client presents itself in more than one way") // RFC 6749 §2.3
	case app.AuthMethod != "" && creds.Secret != "":
		return invalidClient("The application has no client_secret")
	case app.AuthMethod == PrivateKeyJWT:
		return s.proveByAssertion(ctx, app, creds)
	case app.byCertificate():
		return s.proveByCertificate(ctx, app, creds)
	case creds.Assertion != "":
		return invalidClient("The application does not present itself by a client_assertion")
	case app.Public && creds.Secret != "":
		return invalidClient("A public client has no client_secret")
	case app.Public:
		return nil
	}
	if !creds.matches(func(c Credentials) bool { return c.Secret != "" && s.secretOf(app, c.Secret) }) {
		return invalidClient("Invalid client_secret")
	}
	return nil
}

func (s *Service) secretOf(app Application, secret string) bool {
	hash := id.Hash(secret)
	return id.Equal(hash, app.SecretHash) || id.Equal(hash, app.OldSecret.Hash) && s.now().Before(app.OldSecret.ExpiresAt)
}

func (s *Service) authenticateApplication(ctx context.Context, g grant, creds Credentials, _ bool) error {
	app, err := s.cachedApplication(ctx, g.ApplicationID)
	if fault.Is(err, fault.NotFound) {
		return invalidClient("Unknown client")
	}
	if err != nil {
		return err
	}
	if creds.ClientID == "" && creds.Assertion != "" {
		creds.ClientID = assertedClient(creds.Assertion)
	}
	switch {
	case creds.ClientID == "":
		return invalidClient("Please specify client_id")
	case creds.ClientID != app.ID:
		return oauthError("invalid_grant", "The code was issued to another client")
	}
	return s.prove(ctx, app, creds)
}

// authenticatePolis follows the Polis contract §2.6. PKCE alone is proof; the client_id, where there is one, must
// still be a name of the connection or the one that was sent at authorize.
func (s *Service) authenticatePolis(ctx context.Context, g grant, creds Credentials, pkce bool) error {
	connection, err := s.SSO.CachedByID(ctx, g.ConnectionID)
	if fault.Is(err, fault.NotFound) {
		return invalidClient("Unknown client")
	}
	if err != nil {
		return err
	}
	encoded := func(c Credentials) bool {
		tenant, product, ok := decodeTenant(c.ClientID)
		return ok && tenant == connection.Tenant && product == connection.Product
	}
	shared := func(c Credentials) bool { return encoded(c) || c.ClientID == "dummy" }
	named := func(c Credentials) bool {
		return shared(c) || c.ClientID == connection.ClientID || c.ClientID == g.ClientID
	}
	if pkce {
		if creds.ClientID != "" && !creds.matches(named) {
			return invalidClient("Invalid client_id")
		}
		return nil
	}
	if creds.ClientID == "" || creds.Secret == "" {
		return invalidClient("Please specify client_secret or code_verifier")
	}
	if !creds.matches(named) {
		return invalidClient("Invalid client_id")
	}
	proven := creds.matches(func(c Credentials) bool {
		return named(c) && id.Equal(c.Secret, connection.ClientSecret) ||
			shared(c) && id.Equal(c.Secret, s.ClientSecretVerifier)
	})
	if !proven {
		return invalidClient("Invalid client_secret")
	}
	return nil
}

// matches tries the credentials decoded and, where that differs, as sent.
func (c Credentials) matches(test func(Credentials) bool) bool {
	return test(c) || c.AsSent != nil && test(*c.AsSent)
}

func invalidClient(message string) error {
	return fault.New(fault.Unauthenticated, "invalid_client", message)
}
