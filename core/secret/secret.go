// Package secret has strings that do not show themselves: not in logs, not in JSON, not in %v.
package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Redacted stands where a secret would.
const Redacted = "[redacted]"

// Secret is a string to keep quiet. string(s) is its value; every other way shows Redacted, or "" where it is empty,
// so that a reader still sees whether it was set.
type Secret string

// List is several secrets. A []string may be assigned to it.
type List []string

func (s Secret) shown() string {
	if s == "" {
		return ""
	}
	return Redacted
}

func (l List) shown() []string {
	shown := make([]string, len(l))
	for i, s := range l {
		shown[i] = Secret(s).shown()
	}
	return shown
}

// Format implements fmt.Formatter: no verb and no flag shows the value.
func (s Secret) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), s.shown())
}

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.shown()) }

// MarshalText implements encoding.TextMarshaler, and so JSON. The key of a map has no such say: never use one there.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown()), nil }

// Format implements fmt.Formatter.
func (l List) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), l.shown())
}

// LogValue implements slog.LogValuer.
func (l List) LogValue() slog.Value { return slog.AnyValue(l.shown()) }

// MarshalJSON implements json.Marshaler.
func (l List) MarshalJSON() ([]byte, error) { return json.Marshal(l.shown()) }
