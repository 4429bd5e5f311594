// Package id makes identifiers and secrets from an injected source of time and randomness.
package id

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"time"
)

// Source makes identifiers and secrets. It is safe for concurrent use where Rand is.
type Source struct {
	Now  func() time.Time
	Rand io.Reader // crypto/rand.Reader outside of tests
}

// UUID is a version 7 UUID (RFC 9562 §5.7): identifiers sort by the time they were made.
func (s Source) UUID() string {
	var b [16]byte
	s.fill(b[6:])
	ms := uint64(s.Now().UnixMilli()) // a clock before 1970 only shuffles the order
	binary.BigEndian.PutUint16(b[0:2], uint16(ms>>32))
	binary.BigEndian.PutUint32(b[2:6], uint32(ms))
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

// Secret is 256 random bits behind a prefix such as "at_", by which scanners find a leaked one.
func (s Source) Secret(prefix string) string {
	var b [32]byte
	s.fill(b[:])
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Hex is n random bytes in hexadecimal.
func (s Source) Hex(n int) string { return hex.EncodeToString(s.Bytes(n)) }

// Bytes is n random bytes.
func (s Source) Bytes(n int) []byte {
	b := make([]byte, n)
	s.fill(b)
	return b
}

func (s Source) fill(b []byte) {
	if _, err := io.ReadFull(s.Rand, b); err != nil {
		panic("id: no randomness: " + err.Error()) // going on would hand out guessable secrets
	}
}

// Hash is the name under which a secret is stored: its SHA-256. Secrets have 256 bits, so no salt is needed.
func Hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Equal compares two secrets in constant time. An empty one equals nothing, so a missing secret never matches.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return a != "" && b != "" && subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// IsUUID reports whether s has the canonical text form of a UUID.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
