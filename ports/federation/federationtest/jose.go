package federationtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// JWK is a JSON Web Key, or a JSON object that is not quite one.
type JWK map[string]any

// SigningKey signs the tokens of an OpenID provider with one algorithm of RFC 7518 §3.1 or RFC 8037 §3.1.
type SigningKey struct {
	ID  string // kid; "" leaves it out of headers and keys
	Alg string
	Key crypto.Signer // nil for HMAC and none
	MAC []byte        // the key of HMAC
}

// NewSigningKey makes a key for an algorithm, under a fresh id.
func NewSigningKey(alg string) (SigningKey, error) {
	k := SigningKey{ID: newID(), Alg: alg}
	var err error
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		k.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k.Key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		k.Key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, k.Key, err = ed25519.GenerateKey(rand.Reader)
	case "HS256", "HS384", "HS512", "none":
	default:
		err = fmt.Errorf("federationtest: unknown algorithm %q", alg)
	}
	return k, err
}

// JWK is the public key as a provider publishes it.
func (k SigningKey) JWK() JWK {
	jwk := JWK{"use": "sig", "alg": k.Alg}
	if k.ID != "" {
		jwk["kid"] = k.ID
	}
	switch public := k.Key.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		size := curveSize(public)
		point, err := public.Bytes()
		if err != nil {
			panic(err) // of a key that we made
		}
		jwk["kty"], jwk["crv"] = "EC", public.Params().Name
		jwk["x"], jwk["y"] = b64(point[1:1+size]), b64(point[1+size:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64(public)
	}
	return jwk
}

// Sign writes a JWS in compact form (RFC 7515 §7.1). The header is what is given: its alg need not be the key's.
func (k SigningKey) Sign(header map[string]any, payload []byte) (string, error) {
	head, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("federationtest: %w", err)
	}
	text := b64(head) + "." + b64(payload)
	signature, err := k.signature([]byte(text))
	return text + "." + b64(signature), err
}

func (k SigningKey) signature(text []byte) ([]byte, error) {
	if k.Alg == "none" {
		return nil, nil
	}
	if k.Alg == "EdDSA" {
		return k.Key.Sign(rand.Reader, text, crypto.Hash(0))
	}
	hash := hashOfAlg(k.Alg)
	if strings.HasPrefix(k.Alg, "HS") {
		mac := hmac.New(hash.New, k.MAC)
		mac.Write(text)
		return mac.Sum(nil), nil
	}
	var opts crypto.SignerOpts = hash
	if strings.HasPrefix(k.Alg, "PS") {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	value, err := k.Key.Sign(rand.Reader, digest(hash, string(text)), opts)
	if err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	if public, isECDSA := k.Key.Public().(*ecdsa.PublicKey); isECDSA {
		return concatenate(value, curveSize(public))
	}
	return value, nil
}

// hashOfAlg is the hash of an algorithm; that of Ed25519 is SHA-512 (RFC 8032 §5.1).
func hashOfAlg(alg string) crypto.Hash {
	switch {
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384
	case strings.HasSuffix(alg, "512") || alg == "EdDSA":
		return crypto.SHA512
	}
	return crypto.SHA256
}

// HalfHash is the at_hash or c_hash of a token or code (OpenID Connect Core §3.1.3.6).
func HalfHash(alg, value string) string {
	sum := digest(hashOfAlg(alg), value)
	return b64(sum[:len(sum)/2])
}

// readAssertion verifies a client assertion (RFC 7523 §3) that is signed with RS256 and returns its claims.
func readAssertion(assertion string, key *rsa.PublicKey) (map[string]any, error) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("federationtest: the assertion has %d parts", len(parts))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest(crypto.SHA256, parts[0]+"."+parts[1]), signature); err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("federationtest: %w", err)
	}
	var claims map[string]any
	return claims, json.Unmarshal(payload, &claims)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
