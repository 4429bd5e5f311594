package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"
)

// idToken writes an id token (OpenID Connect Core §2): RS256, or what the application asks for.
func (s *Service) idToken(g grant, app Application, now time.Time) (string, error) {
	claims := g.profileClaims()
	claims["iss"], claims["sub"], claims["aud"] = s.Issuer, g.subject(), g.ClientID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(g.idTokenTTL()).Unix()
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	if !g.AuthTime.IsZero() {
		claims["auth_time"] = g.AuthTime.Unix()
	}
	return s.sign(app.IDTokenAlg, "JWT", claims)
}

// sign makes a JWS in compact form (RFC 7515 §3.1).
func (s *Service) sign(alg Alg, typ string, claims map[string]any) (string, error) {
	signer, keyID := s.signer(alg)
	header, err := json.Marshal(map[string]string{"alg": string(alg), "typ": typ, "kid": keyID})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(text))
	signature, err := signer.Sign(s.IDs.Rand, sum[:], crypto.SHA256)
	if err == nil && alg == ES256 {
		signature, err = joseSignature(signature, signer.Public())
	}
	if err != nil {
		return "", fmt.Errorf("oauth: sign an id token: %w", err)
	}
	return text + "." + b64(signature), nil
}

// joseSignature turns an ASN.1 ECDSA signature into r||s at fixed width (RFC 7518 §3.4).
func joseSignature(der []byte, public crypto.PublicKey) ([]byte, error) {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("not an ECDSA key: %T", public)
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	rs.R.FillBytes(out[:size])
	rs.S.FillBytes(out[size:])
	return out, nil
}
