package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"
)

// idToken writes an id token (OpenID Connect Core §2): RS256, or what the application asks for.
func (s *Service) idToken(ctx context.Context, g grant, app Application, now time.Time) (string, error) {
	claims := s.profileClaims(g)
	claims["iss"], claims["sub"], claims["aud"] = s.Issuer, g.subject(), g.ClientID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(g.idTokenTTL()).Unix()
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	if !g.AuthTime.IsZero() {
		claims["auth_time"] = g.AuthTime.Unix()
	}
	if g.ACR != "" && g.ApplicationID != "" {
		claims["acr"] = g.ACR
	}
	if g.SessionID != "" {
		claims["sid"] = g.SessionID
	}
	return s.sign(ctx, app.IDTokenAlg, idTokenType, claims)
}

const idTokenType = "JWT"

// sign makes a JWS in compact form (RFC 7515 §3.1).
func (s *Service) sign(ctx context.Context, alg Alg, typ string, claims map[string]any) (string, error) {
	key, err := s.Keys.Active(ctx, alg)
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]string{"alg": string(alg), "typ": typ, "kid": key.KeyID})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(header) + "." + b64(payload)
	signature, err := key.Sign(s.IDs, []byte(text))
	return text + "." + b64(signature), err
}
