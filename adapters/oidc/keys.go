package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-sso/portico/ports/federation"
)

// maxKeys bounds the keys of a set, and so what a token without a key id is tried with. Microsoft publishes a dozen.
const maxKeys = 100

// Sizes of RSA keys in bits.
const (
	minRSA = 2048
	maxRSA = 8192
)

// keySet is the keys that a provider publishes, less those of which no signature could be believed.
type keySet []key

// key is one public key.
type key struct {
	id     string
	alg    string // the only one that it is for, or ""
	issuer string // for which it signs, where Microsoft says so; or ""
	public crypto.PublicKey
}

// keySet reads the keys at an address, see cache.get.
func (p *RelyingParty) keySet(ctx context.Context, address string, seen uint64) (keySet, uint64, error) {
	keys, serial, err := p.keys.get(ctx, address, seen, func(ctx context.Context) (keySet, error) {
		doc, err := p.Fetch.Fetch(ctx, address, maxKeySet)
		if err != nil {
			e := failed("key set", err)
			if e.Code == federation.OIDCMetadata {
				e.Code = federation.OIDCKey
			}
			return nil, e
		}
		return readKeySet(doc.Body)
	})
	return keys, serial, typed("key set", err)
}

// readKeySet reads a JWK Set (RFC 7517 §5). Keys that cannot be used are passed over, as the RFC says: providers publish
// keys of kinds and for uses that are not ours.
func readKeySet(doc []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(doc, &set); err != nil || set.Keys == nil {
		return nil, refuse(federation.OIDCKey, "the provider's keys are no JWK set")
	}
	if len(set.Keys) > maxKeys {
		return nil, refuse(federation.OIDCTooLarge, "the provider publishes more than 100 keys")
	}
	keys := keySet{}
	for _, text := range set.Keys {
		if k, ok := readKey(text); ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// published is what counts of a JWK. Certificates are left out: what they would add is nobody's to believe here, and one
// that Go does not read would take its key with it.
type published struct {
	KeyType string `json:"kty"`
	Curve   string `json:"crv,omitempty"`
	N       string `json:"n,omitempty"`
	E       string `json:"e,omitempty"`
	X       string `json:"x,omitempty"`
	Y       string `json:"y,omitempty"`
}

// readKey reads a public key for signatures.
func readKey(text []byte) (key, bool) {
	members, err := readObject(text)
	if err != nil {
		return key{}, false
	}
	_, private := members["d"]
	use, hasUse := members["use"]
	_, hasOps := members["key_ops"]
	ops, _ := members.texts("key_ops")
	if private || hasUse && use != "sig" || hasOps && !slices.Contains(ops, "verify") {
		return key{}, false
	}
	member := func(name string) string {
		s, _ := members.text(name)
		return s
	}
	bare, err := json.Marshal(published{member("kty"), member("crv"), member("n"), member("e"), member("x"), member("y")})
	if err != nil {
		return key{}, false
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(bare); err != nil || !usable(jwk.Key) {
		return key{}, false
	}
	return key{id: member("kid"), alg: member("alg"), issuer: member("issuer"), public: jwk.Key}, true
}

// usable reports whether a key is a public one of a kind and size that is believed.
func usable(public any) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return bits >= minRSA && bits <= maxRSA && k.E >= 3 && k.E&1 == 1 && k.E <= 1<<31-1
	case *ecdsa.PublicKey, ed25519.PublicKey: // go-jose has P-256, P-384 and P-521, and points on them
		return true
	}
	return false
}

// algorithms are those of published keys (RFC 7518 §3.1, RFC 8037 §3.1).
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// fits reports whether a key may have made a signature: the algorithm is of its kind, and not another than it is for.
func (k key) fits(id, alg string) bool {
	if id != "" && k.id != id || k.alg != "" && k.alg != alg {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[public.Params().BitSize]
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
}
