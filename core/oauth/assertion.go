package oauth

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/jose"
)

// AuthMethod is how an application proves who it is at the token endpoint (OpenID Connect Core §9, RFC 8705 §2).
type AuthMethod string

// The methods beside a secret, which is "" here.
const (
	PrivateKeyJWT AuthMethod = "private_key_jwt"
	TLSClient     AuthMethod = "tls_client_auth"             // a certificate of an authority that the proxy trusts
	SelfSignedTLS AuthMethod = "self_signed_tls_client_auth" // a certificate whose key is among the application's
)

// AssertionType is the one client_assertion_type (RFC 7523 §2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const maxAssertionAge = 10 * time.Minute // until its end

// assertionClaims are what a client asserts of itself (RFC 7523 §3).
type assertionClaims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	ID        string          `json:"jti"`
	ExpiresAt float64         `json:"exp"`
	NotBefore float64         `json:"nbf"`
}

// assertedClient is who an assertion that is not verified yet claims to come from.
func assertedClient(assertion string) string {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || len(assertion) > jose.MaxToken {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims assertionClaims
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// proveByAssertion verifies what an application asserts of itself, once.
func (s *Service) proveByAssertion(ctx context.Context, app Application, c Credentials) error {
	if c.Assertion == "" {
		return invalidClient("The application presents itself by a client_assertion")
	}
	keys, err := s.keySet(ctx, app)
	if err != nil {
		s.Logger.WarnContext(ctx, "keys of an application cannot be read", "application_id", app.ID, "error", err)
		return fault.Wrap(err, fault.Unauthenticated, "invalid_client", "The application's keys cannot be read")
	}
	token, err := s.JOSE.Verify(c.Assertion, keys, jose.Algs)
	if err != nil {
		return fault.Wrap(err, fault.Unauthenticated, "invalid_client", "The client_assertion cannot be verified")
	}
	if !ofType(token, "client-authentication+jwt") {
		return invalidClient("The client_assertion has the type of another token")
	}
	var claims assertionClaims
	if json.Unmarshal(token.Payload, &claims) != nil {
		return invalidClient("The client_assertion cannot be read")
	}
	now := s.now()
	left := time.Unix(int64(claims.ExpiresAt), 0).Sub(now)
	switch {
	case claims.Issuer != app.ID || claims.Subject != app.ID:
		return invalidClient("The client_assertion is of another client")
	case !s.isUs(claims.Audience, c.URL):
		return invalidClient("The client_assertion is for another server")
	case left <= 0 || left > maxAssertionAge:
		return invalidClient("The client_assertion has expired, or lasts for more than 10 minutes")
	case time.Unix(int64(claims.NotBefore), 0).After(now.Add(proofSkew)):
		return invalidClient("The client_assertion is not valid yet")
	case claims.ID == "" || len(claims.ID) > maxJTI:
		return invalidClient("The client_assertion has no jti")
	}
	return s.useOnce(ctx, id.Hash("assertion", app.ID, claims.ID), invalidClient("The client_assertion was used already"))
}

// ofType reports whether a token is of no type, of that of any JWT, or of the one it should be: else it was signed for
// another purpose (RFC 8725 §3.11).
func ofType(t jose.Token, want string) bool {
	return t.Type == "" || strings.EqualFold(t.Type, "JWT") || strings.EqualFold(strings.TrimPrefix(strings.ToLower(t.Type), "application/"), want)
}

// isUs reports whether an audience, one or a list, is this server: its issuer, its token endpoint, or where the request
// went.
func (s *Service) isUs(audience json.RawMessage, endpoint string) bool {
	var list []string
	if json.Unmarshal(audience, &list) != nil {
		list = make([]string, 1)
		if json.Unmarshal(audience, &list[0]) != nil {
			return false
		}
	}
	return slices.ContainsFunc(list, func(a string) bool {
		return a == s.Issuer || a == s.Issuer+PathToken || a == endpoint
	})
}

// byCertificate reports whether the application presents itself by TLS.
func (a Application) byCertificate() bool {
	return a.AuthMethod == TLSClient || a.AuthMethod == SelfSignedTLS
}

// proveByCertificate holds the certificate of the TLS connection, which a proxy has verified and forwarded, against what
// the application says of it (RFC 8705 §2).
func (s *Service) proveByCertificate(ctx context.Context, app Application, c Credentials) error {
	certificate, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return invalidClient("The application presents itself by a TLS client certificate")
	}
	if app.AuthMethod == TLSClient {
		if certificate.Subject.String() == app.TLSSubject || slices.Contains(certificate.DNSNames, app.TLSSubject) {
			return nil
		}
		return invalidClient("The certificate is of another subject")
	}
	keys, err := s.keySet(ctx, app)
	if err != nil {
		return fault.Wrap(err, fault.Unauthenticated, "invalid_client", "The application's keys cannot be read")
	}
	public, ok := certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !slices.ContainsFunc(keys, func(k jose.Key) bool { return public.Equal(k.Public) }) {
		return invalidClient("The certificate's key is not one of the application's")
	}
	return nil
}

// applyAuth takes over how the application proves who it is.
func (a *Application) applyAuth(in ApplicationInput, keys jose.JOSE) error {
	if in.AuthMethod != nil {
		a.AuthMethod = *in.AuthMethod
	}
	if in.JWKS != nil {
		a.JWKS = *in.JWKS
	}
	if in.JWKSURI != nil {
		a.JWKSURI = *in.JWKSURI
	}
	if in.TLSSubject != nil {
		a.TLSSubject = *in.TLSSubject
	}
	if in.RequireDPoP != nil {
		a.RequireDPoP = *in.RequireDPoP
	}
	switch a.AuthMethod {
	case "":
	case TLSClient:
		if a.TLSSubject == "" || len(a.TLSSubject) > 1024 {
			return fault.At("tlsSubject", "required", "Give the certificate's subject, as RFC 4514 writes it, or one of its DNS names.")
		}
	case PrivateKeyJWT, SelfSignedTLS:
		if a.JWKS == "" && a.JWKSURI == "" {
			return fault.At("jwks", "required", "Give the application's public keys, or where they are.")
		}
	default:
		return fault.At("authMethod", "invalid", "There is no such method.")
	}
	if a.Public && a.AuthMethod != "" {
		return fault.At("authMethod", "public_client", "A public application has nothing to prove itself by.")
	}
	return a.checkKeys(keys)
}

func (a *Application) checkKeys(keys jose.JOSE) error {
	if a.JWKS != "" && a.JWKSURI != "" {
		return fault.At("jwksUri", "twice", "Give the keys themselves or where they are, not both.")
	}
	if a.JWKSURI != "" && !validResource(a.JWKSURI) {
		return fault.At("jwksUri", "invalid", "The address of the keys is an absolute URL.")
	}
	if a.JWKS == "" {
		return nil
	}
	_, err := keys.ReadKeys([]byte(a.JWKS))
	switch {
	case errors.Is(err, jose.ErrKey):
		return fault.At("jwks", "no_key", "The key set has no public key for signatures: RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519.")
	case err != nil:
		return fault.At("jwks", "invalid", "The keys are not a JSON Web Key Set of public keys.")
	}
	return nil
}
