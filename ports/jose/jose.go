// Package jose is how core reads what others have signed: JSON Web Tokens (RFC 7519) and keys (RFC 7517).
package jose

import (
	"crypto"
	"errors"
)

// The outcomes beside success. Errors wrap one of them and say more for the operator.
var (
	ErrMalformed = errors.New("jose: not a signed token or key set of the expected form")
	ErrAlgorithm = errors.New("jose: an algorithm that is not allowed")
	ErrKey       = errors.New("jose: no key that may have signed it, or one that is too weak or too large")
	ErrSignature = errors.New("jose: the signature does not verify")
)

// Algs are the signature algorithms that are taken from others (RFC 7518 §3.1, RFC 8037 §3.1): never none, and no HMAC, whose
// key both sides would have.
var Algs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Limits of what is read, in bytes and numbers.
const (
	MaxToken = 16 << 10
	MaxKeys  = 64 << 10 // of a key set
	MostKeys = 50
)

// Key is a public key.
type Key struct {
	ID         string // kid, or ""
	Thumbprint string // RFC 7638, SHA-256, in base64url
	Public     crypto.PublicKey
	Alg        string // where the key says for which one it is
}

// Token is a token whose signature was verified.
type Token struct {
	Type    string // typ, or ""
	Alg     string
	Key     Key
	Payload []byte
}

// JOSE reads tokens and keys. It holds no state and does no I/O.
type JOSE interface {
	// ReadKeys reads a key set (RFC 7517 §5): keys for signatures that are public, of sizes that are safe. Others are
	// passed over; a private key is ErrMalformed. Errors: ErrMalformed, ErrKey where none is left.
	ReadKeys(set []byte) ([]Key, error)
	// Verify verifies a compact JWS (RFC 7515 §3.1) by one of the keys: that of its kid, where it has one, else each.
	// Errors: ErrMalformed, ErrAlgorithm, ErrKey, ErrSignature.
	Verify(token string, keys []Key, algs []string) (Token, error)
	// VerifyOwn verifies a compact JWS by the public key in its own header, which proves possession and no more
	// (RFC 9449 §4.2). Errors as of Verify.
	VerifyOwn(token string, algs []string) (Token, error)
}
