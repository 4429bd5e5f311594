package scim

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/key"
)

// fold is a text without regard to case, as core/key folds it, so that an index and a filter agree on what is equal.
func fold(s string) string {
	if isASCII(s) {
		return lower(s)
	}
	return key.Lower(s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// sameText compares two values of an attribute under its rule of case.
func sameText(a, b string, exact bool) bool {
	if exact || a == b {
		return a == b
	}
	if isASCII(a) && isASCII(b) {
		return sameName(a, b)
	}
	return fold(a) == fold(b)
}

// hasFolded looks for a folded text in another one, without making a copy where both are ASCII.
func hasFolded(op Operator, s, folded string) bool {
	if !isASCII(s) {
		return hasText(op, fold(s), folded)
	}
	last := len(s) - len(folded)
	switch {
	case last < 0:
		return false
	case op == SW:
		return sameName(s[:len(folded)], folded)
	case op == EW:
		return sameName(s[last:], folded)
	}
	for i := range last + 1 {
		if sameName(s[i:i+len(folded)], folded) {
			return true
		}
	}
	return false
}

func hasText(op Operator, s, part string) bool {
	switch op {
	case SW:
		return strings.HasPrefix(s, part)
	case EW:
		return strings.HasSuffix(s, part)
	default:
		return strings.Contains(s, part)
	}
}

// parseTime reads a dateTime (RFC 7643 §2.3.5: an XML Schema dateTime); one without a zone is UTC.
func parseTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02T15:04:05") || s[4] != '-' {
		return time.Time{}, false
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, true
	}
	t, err := time.Parse("2006-01-02T15:04:05.999999999", s)
	return t, err == nil
}
