package app

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/portico-sso/portico/ports/store/seal"
)

// KMS is a key management service, which keeps a key that wraps ours. Any registry.KMSClient of Tink is one, and there
// are those of AWS, Google Cloud and HashiCorp Vault.
type KMS interface {
	Supported(keyURI string) bool
	GetAEAD(keyURI string) (tink.AEAD, error)
}

// WithKMS adds a key management service, whose keys may then wrap those of PORTICO_ENCRYPTION_KEYS: an entry is
// id:key URI#base64 of the wrapped key, bound to its id. portico keys make --kms=URI makes one.
func WithKMS(k KMS) Option { return func(o *options) { o.kms = append(o.kms, k) } }

// keyBytes is the key that an entry of PORTICO_ENCRYPTION_KEYS holds: in base64, or wrapped by a service.
func keyBytes(keyID, encoded string, kms []KMS) (secret [32]byte, err error) {
	uri, encoded, wrapped := cutLast(encoded, "#")
	content, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return secret, errors.New("it is not id:base64; " + makeKey)
	}
	if wrapped {
		aead, err := wrapper(uri, kms)
		if err != nil {
			return secret, err
		}
		if content, err = aead.Decrypt(content, []byte(keyID)); err != nil {
			return secret, fmt.Errorf("the key management service does not unwrap it: %w; is %s the key that wrapped it, and may this process use it?", err, uri)
		}
	}
	if len(content) != len(secret) {
		return secret, errors.New("it is not id:base64 of 32 bytes; " + makeKey)
	}
	return [32]byte(content), nil
}

func wrapper(uri string, kms []KMS) (tink.AEAD, error) {
	i := slices.IndexFunc(kms, func(k KMS) bool { return k.Supported(uri) })
	if i < 0 {
		return nil, fmt.Errorf("no key management service of this program knows %s; build a main that calls app.Main(app.WithKMS(…)) with the one that does", uri)
	}
	aead, err := kms[i].GetAEAD(uri)
	if err != nil {
		return nil, fmt.Errorf("the key management service has no key %s: %w", uri, err)
	}
	return aead, nil
}

// wrap is the entry of PORTICO_ENCRYPTION_KEYS for a key that a service wraps.
func wrap(k seal.Key, uri string, kms []KMS) (string, error) {
	aead, err := wrapper(uri, kms)
	if err != nil {
		return "", err
	}
	wrapped, err := aead.Encrypt(k.Secret[:], []byte(k.ID))
	if err != nil {
		return "", fmt.Errorf("the key management service does not wrap a key by %s: %w", uri, err)
	}
	return k.ID + ":" + uri + "#" + base64.StdEncoding.EncodeToString(wrapped) + "\n", nil
}

// cutLast cuts at the last separator; without one, all of it is behind.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}
