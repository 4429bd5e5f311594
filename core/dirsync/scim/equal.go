package scim

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Equal reports whether two resources say the same, so that nothing is to be written. The order of several values does not
// matter (RFC 7643 §2.4), nor does how a number is spelled. Texts are compared to the letter, also where a filter would
// not.
func Equal(a, b Resource) bool { return sameMap(a, b) }

func sameMap(a, b map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		other, ok := b[name]
		if !ok || !sameValue(value, other) {
			return false
		}
	}
	return true
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && sameMap(a, b)
	case []any:
		b, ok := b.([]any)
		return ok && sameList(a, b)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && compareNumbers(a, b) == 0
	default:
		return a == b
	}
}

// compareNumbers compares whole numbers exactly and others as float64.
func compareNumbers(a, b json.Number) int {
	x, errX := a.Int64()
	y, errY := b.Int64()
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	f, _ := a.Float64() // the decoder made sure
	g, _ := b.Float64()
	return cmp.Compare(f, g)
}

// sameList compares in order first, which is the common case, and then as sets with repetition.
func sameList(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	same := 0
	for same < len(a) && sameValue(a[same], b[same]) {
		same++
	}
	if same == len(a) {
		return true
	}
	count := make(map[string]int, len(a)-same)
	for _, value := range a[same:] {
		count[string(canonical(nil, value))]++
	}
	for _, value := range b[same:] {
		key := string(canonical(nil, value))
		if count[key] == 0 {
			return false
		}
		count[key]--
	}
	return true
}

// canonical appends a text that two values share where sameValue finds them the same.
func canonical(out []byte, value any) []byte {
	switch v := value.(type) {
	case map[string]any:
		out = append(out, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(strconv.AppendQuote(out, name), ':')
			out = append(canonical(out, v[name]), ',')
		}
		return append(out, '}')
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = string(canonical(nil, v[i]))
		}
		slices.Sort(parts)
		out = append(out, '[')
		for _, part := range parts {
			out = append(append(out, part...), ',')
		}
		return append(out, ']')
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return strconv.AppendInt(out, n, 10)
		}
		f, _ := v.Float64()
		return strconv.AppendFloat(out, f+0, 'f', -1, 64)
	case string:
		return strconv.AppendQuote(out, v)
	case bool:
		return strconv.AppendBool(out, v)
	default:
		return append(out, "null"...)
	}
}
