// Package key encodes values as index keys of the storage port: byte strings whose order is the order of the values.
package key

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxPlain is the longest text that Text keeps as it is; the port allows 512 bytes of key.
const maxPlain = 400

// Text keeps a text as its own key. One that is too long for a key keeps its beginning, for the order, and ends in
// its SHA-256, so that two long texts never share a key. Bytes the port refuses are escaped.
func Text(s string) string {
	if len(s) <= maxPlain && utf8.ValidString(s) && !strings.Contains(s, "\x00") {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	head := s[:min(len(s), maxPlain)]
	head = strings.ReplaceAll(strings.ToValidUTF8(head, "\uFFFD"), "\x00", "\uFFFD")
	if len(head) > maxPlain {
		head = strings.ToValidUTF8(head[:maxPlain], "")
	}
	return head + "~" + hex.EncodeToString(sum[:])
}

// Fold is Text without regard to case: for names that two people must not both hold in different spelling.
func Fold(s string) string { return Text(Lower(s)) }

// Lower is a text in one case. Letters outside of ASCII stay outside of it: else whoever has an address at gıthub.com, with
// the dotless i, would be who has it at github.com.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		lower := unicode.ToLower(unicode.ToUpper(r))
		if r >= utf8.RuneSelf && lower < utf8.RuneSelf {
			return r
		}
		return lower
	}, s)
}

// Time is an instant in UTC at fixed width, to the microsecond.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// Number is a number at fixed width; negative ones sort below zero.
func Number(n int64) string { return fmt.Sprintf("%020d", uint64(n)^(1<<63)) }
