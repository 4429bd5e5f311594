package oauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/portico-sso/portico/core/fault"
)

// seal writes v for a browser to carry: it can neither read nor change it, nor use it for another purpose
// (AES-256-GCM under a key of its own, made from the installation's secret).
func (s *Service) seal(purpose string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	aead, err := s.aead(purpose)
	if err != nil {
		return "", err
	}
	nonce := s.IDs.Bytes(aead.NonceSize())
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, text, nil)), nil
}

// unseal reads what seal wrote. Faults: Forbidden login_unknown.
func (s *Service) unseal(purpose, text string, v any) error {
	aead, err := s.aead(purpose)
	if err != nil {
		return err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < aead.NonceSize() {
		return unknownRequest(err)
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], nil)
	if err != nil {
		return unknownRequest(err)
	}
	return json.Unmarshal(plain, v)
}

func (s *Service) aead(purpose string) (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.mac("seal", purpose))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// mac is an HMAC-SHA256 of texts, which every instance can make and nobody else.
func (s *Service) mac(texts ...string) []byte {
	mac := hmac.New(sha256.New, s.Secret)
	for _, t := range texts {
		mac.Write([]byte(t))
		mac.Write([]byte{0})
	}
	return mac.Sum(nil)
}

func unknownRequest(cause error) error {
	return fault.Wrap(cause, fault.Forbidden, "login_unknown", "This address is too old, or was not made here.")
}
