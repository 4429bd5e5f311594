// Package ripemd names things as Ory Polis does, by RIPEMD-160, so that client ids stay valid when a customer moves.
package ripemd

import (
	"encoding/hex"

	"golang.org/x/crypto/ripemd160" //nolint:staticcheck // a name that clients already hold; nothing relies on its strength
)

// Digest is the RIPEMD-160 of the UTF-8 text, in lower-case hexadecimal: 40 characters.
func Digest(text string) string {
	h := ripemd160.New()
	_, _ = h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}
