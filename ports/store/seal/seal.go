// Package seal encrypts bodies at rest with AES-256-GCM (NIST SP 800-38D) under keys that have ids, so that keys
// can be rotated: the first key of a keyring seals, any of them opens.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"sync/atomic"
)

// A sealed body is: the format's number 1, the length of the key's id (one byte), the id, the nonce (12 bytes), the
// ciphertext with its tag (16 bytes). Nonces are random: one key may seal 2^32 bodies (SP 800-38D, 8.3).
const format = 1

// ErrFormat says that bytes were not sealed by this package: the collection held plain bodies, or they are damaged.
var ErrFormat = errors.New("seal: not a sealed body")

// MissingKeyError says that the keyring lacks the key that sealed a body.
type MissingKeyError struct{ ID string }

func (e *MissingKeyError) Error() string {
	return fmt.Sprintf("seal: the body was sealed with key %q, which is not configured", e.ID)
}

// OpenError says that a body does not open with the key it names: the secret is another one, or the body was
// altered or moved to another document.
type OpenError struct{ ID string }

func (e *OpenError) Error() string {
	return fmt.Sprintf("seal: the body does not open with key %q: its secret is another one, or the body was altered", e.ID)
}

// Key is a secret with the name it is found by.
type Key struct {
	ID     string // 1 to 255 bytes; stored in the clear in each body it seals
	Secret [32]byte
}

// Keyring seals and opens bodies; it is a store.Sealer. It may be used concurrently.
type Keyring struct {
	ring   atomic.Pointer[ring]
	reload func() ([]Key, error)
}

type ring struct {
	header []byte // of what the first key seals
	first  cipher.AEAD
	byID   map[string]cipher.AEAD
}

// NewKeyring makes a keyring: the first key seals, any opens.
func NewKeyring(keys []Key) (*Keyring, error) {
	r, err := newRing(keys)
	if err != nil {
		return nil, err
	}
	k := &Keyring{}
	k.ring.Store(r)
	return k, nil
}

// OnMissing has the keys read anew when a body was sealed with one that the keyring lacks: another process has rotated
// them. Set it before the keyring is used.
func (k *Keyring) OnMissing(reload func() ([]Key, error)) { k.reload = reload }

func newRing(keys []Key) (*ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("seal: a keyring needs a key")
	}
	r := &ring{byID: make(map[string]cipher.AEAD, len(keys))}
	for _, k := range keys {
		if k.ID == "" || len(k.ID) > 255 {
			return nil, errors.New("seal: a key id has 1 to 255 bytes")
		}
		if r.byID[k.ID] != nil {
			return nil, fmt.Errorf("seal: key %q is given twice", k.ID)
		}
		block, err := aes.NewCipher(k.Secret[:])
		if err != nil {
			return nil, err
		}
		if r.byID[k.ID], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	r.first = r.byID[keys[0].ID]
	r.header = append([]byte{format, byte(len(keys[0].ID))}, keys[0].ID...)
	return r, nil
}

// Seal encrypts plain under the first key, bound to aad.
func (k *Keyring) Seal(aad, plain []byte) ([]byte, error) {
	r := k.ring.Load()
	sealed := make([]byte, len(r.header), len(r.header)+len(plain)+r.first.Overhead())
	copy(sealed, r.header)
	return r.first.Seal(sealed, nil, plain, aad), nil
}

// Stale reports whether a body was sealed with another key than the first.
func (k *Keyring) Stale(sealed []byte) bool { return !bytes.HasPrefix(sealed, k.ring.Load().header) }

// Open decrypts what Seal made with the same aad. Errors: ErrFormat, *MissingKeyError, *OpenError.
func (k *Keyring) Open(aad, sealed []byte) ([]byte, error) {
	id, rest, err := split(sealed)
	if err != nil {
		return nil, err
	}
	key, err := k.key(string(id))
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(nil, nil, rest, aad)
	if err != nil {
		return nil, &OpenError{ID: string(id)}
	}
	return plain, nil
}

func (k *Keyring) key(id string) (cipher.AEAD, error) {
	if key := k.ring.Load().byID[id]; key != nil {
		return key, nil
	}
	missing := &MissingKeyError{ID: id}
	if k.reload == nil {
		return nil, missing
	}
	keys, err := k.reload()
	if err != nil {
		return nil, fmt.Errorf("%w, and the keys cannot be read anew: %w", missing, err)
	}
	r, err := newRing(keys)
	if err != nil {
		return nil, fmt.Errorf("%w, and the keys cannot be used: %w", missing, err)
	}
	if r.byID[id] == nil {
		return nil, missing
	}
	k.ring.Store(r)
	return r.byID[id], nil
}

// KeyID says which key sealed a body.
func KeyID(sealed []byte) (string, error) {
	id, _, err := split(sealed)
	return string(id), err
}

func split(sealed []byte) (id, rest []byte, err error) {
	if len(sealed) < 2 || sealed[0] != format || sealed[1] == 0 || len(sealed) < 2+int(sealed[1]) {
		return nil, nil, ErrFormat
	}
	n := 2 + int(sealed[1])
	return sealed[2:n], sealed[n:], nil
}
