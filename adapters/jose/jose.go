// Package jose implements the port of the same name over go-jose.
package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/portico-sso/portico/ports/jose"
)

// JOSE implements jose.JOSE.
type JOSE struct{}

var _ jose.JOSE = JOSE{}

// New makes it.
func New() JOSE { return JOSE{} }

// Sizes of RSA keys, in bits: below is breakable, above costs whoever verifies.
const (
	minRSA = 2048
	maxRSA = 8192
)

// ReadKeys implements jose.JOSE.
func (JOSE) ReadKeys(set []byte) ([]jose.Key, error) {
	if len(set) > jose.MaxKeys {
		return nil, fmt.Errorf("%w: a key set of more than %d bytes", jose.ErrMalformed, jose.MaxKeys)
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &raw); err != nil {
		return nil, fmt.Errorf("%w: %w", jose.ErrMalformed, err)
	}
	if len(raw.Keys) > jose.MostKeys {
		return nil, fmt.Errorf("%w: more than %d keys", jose.ErrMalformed, jose.MostKeys)
	}
	var keys []jose.Key
	for _, text := range raw.Keys {
		var k gojose.JSONWebKey
		if k.UnmarshalJSON(text) != nil {
			continue // of a kind that is not known
		}
		if !k.IsPublic() {
			return nil, fmt.Errorf("%w: the key set holds a secret key", jose.ErrMalformed)
		}
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		if key, err := key(k); err == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: the key set has no public key for signatures", jose.ErrKey)
	}
	return keys, nil
}

// key checks and converts a public key.
func key(k gojose.JSONWebKey) (jose.Key, error) {
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		if n := public.N.BitLen(); n < minRSA || n > maxRSA || public.E < 3 || public.E&1 == 0 {
			return jose.Key{}, fmt.Errorf("%w: an RSA key of %d bits", jose.ErrKey, n)
		}
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() && public.Curve != elliptic.P384() && public.Curve != elliptic.P521() {
			return jose.Key{}, fmt.Errorf("%w: a curve that is not taken", jose.ErrKey)
		}
	case ed25519.PublicKey:
	default:
		return jose.Key{}, fmt.Errorf("%w: %T", jose.ErrKey, k.Key)
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return jose.Key{}, fmt.Errorf("%w: %w", jose.ErrKey, err)
	}
	return jose.Key{ID: k.KeyID, Thumbprint: base64.RawURLEncoding.EncodeToString(sum), Public: k.Key, Alg: k.Algorithm}, nil
}

// Verify implements jose.JOSE.
func (JOSE) Verify(token string, keys []jose.Key, algs []string) (jose.Token, error) {
	parsed, header, err := parse(token, algs)
	if err != nil {
		return jose.Token{}, err
	}
	tried := false
	for _, k := range keys {
		if header.KeyID != "" && k.ID != "" && k.ID != header.KeyID || k.Alg != "" && k.Alg != header.Algorithm {
			continue
		}
		tried = true
		if payload, err := parsed.Verify(k.Public); err == nil {
			return jose.Token{Type: typ(header), Alg: header.Algorithm, Key: k, Payload: payload}, nil
		}
	}
	if !tried {
		return jose.Token{}, jose.ErrKey
	}
	return jose.Token{}, jose.ErrSignature
}

// VerifyOwn implements jose.JOSE.
func (JOSE) VerifyOwn(token string, algs []string) (jose.Token, error) {
	parsed, header, err := parse(token, algs)
	if err != nil {
		return jose.Token{}, err
	}
	if header.JSONWebKey == nil || !header.JSONWebKey.IsPublic() {
		return jose.Token{}, fmt.Errorf("%w: no public key in the header", jose.ErrMalformed)
	}
	k, err := key(*header.JSONWebKey)
	if err != nil {
		return jose.Token{}, err
	}
	payload, err := parsed.Verify(k.Public)
	if err != nil {
		return jose.Token{}, jose.ErrSignature
	}
	return jose.Token{Type: typ(header), Alg: header.Algorithm, Key: k, Payload: payload}, nil
}

// parse reads a compact JWS whose algorithm is among those of the port and of the caller.
func parse(token string, algs []string) (*gojose.JSONWebSignature, gojose.Header, error) {
	var none gojose.Header
	if len(token) > jose.MaxToken || strings.Count(token, ".") != 2 || strings.HasPrefix(token, "{") {
		return nil, none, fmt.Errorf("%w: not in compact form", jose.ErrMalformed)
	}
	var allowed []gojose.SignatureAlgorithm
	for _, a := range algs {
		if slices.Contains(jose.Algs, a) {
			allowed = append(allowed, gojose.SignatureAlgorithm(a))
		}
	}
	parsed, err := gojose.ParseSignedCompact(token, allowed)
	if err != nil {
		if named(token, allowed) {
			return nil, none, fmt.Errorf("%w: %w", jose.ErrMalformed, err)
		}
		return nil, none, fmt.Errorf("%w: %w", jose.ErrAlgorithm, err)
	}
	return parsed, parsed.Signatures[0].Protected, nil
}

// named reports whether a token's header names an allowed algorithm, so that it was something else that did not parse.
func named(token string, allowed []gojose.SignatureAlgorithm) bool {
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		Alg gojose.SignatureAlgorithm `json:"alg"`
	}
	return err != nil || json.Unmarshal(text, &header) != nil || slices.Contains(allowed, header.Alg)
}

func typ(h gojose.Header) string {
	t, _ := h.ExtraHeaders[gojose.HeaderType].(string)
	return t
}
