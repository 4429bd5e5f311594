package events

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// stringified writes JSON as JSON.stringify(JSON.parse(body)) does (ECMA-262 §25.5). Receivers of Polis's webhooks check the
// signature over that and not over the body that came: another way to write the same would be a wrong signature to them. As with
// Polis, numbers beyond 2^53 lose what JavaScript has no place for.
func stringified(body []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	out := make([]byte, 0, len(body))
	out, err := appendValue(out, d)
	if err != nil {
		panic("events: what was written as JSON cannot be read: " + err.Error())
	}
	return out
}

func appendValue(out []byte, d *json.Decoder) ([]byte, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return appendObject(out, d)
		}
		return appendList(out, d)
	case string:
		return appendText(out, v), nil
	case json.Number:
		return appendNumber(out, v), nil
	case bool:
		return strconv.AppendBool(out, v), nil
	default:
		return append(out, "null"...), nil
	}
}

func appendList(out []byte, d *json.Decoder) (_ []byte, err error) {
	out = append(out, '[')
	for n := 0; d.More(); n++ {
		if n > 0 {
			out = append(out, ',')
		}
		if out, err = appendValue(out, d); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return append(out, ']'), err
}

// member is one of an object's, written. index is its name as a number, where it is one of those that JavaScript has first.
type member struct {
	index   int64
	written []byte
}

const noIndex = math.MaxInt64

func appendObject(out []byte, d *json.Decoder) ([]byte, error) {
	var members []member
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		written, err := appendValue(append(appendText(nil, name), ':'), d)
		if err != nil {
			return nil, err
		}
		members = append(members, member{indexOf(name), written})
	}
	slices.SortStableFunc(members, func(a, b member) int { return cmp.Compare(a.index, b.index) })
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, m.written...)
	}
	_, err := d.Token()
	return append(out, '}'), err
}

// indexOf reads an array index (ECMA-262 §6.1.7): 0 to 2^32-2, written plainly.
func indexOf(name string) int64 {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil || n == math.MaxUint32 || strconv.FormatUint(n, 10) != name {
		return noIndex
	}
	return int64(n)
}

func appendNumber(out []byte, n json.Number) []byte {
	v, err := n.Float64()
	if err != nil && math.IsInf(v, 0) {
		return append(out, "null"...)
	}
	if v == 0 { // -0, too
		return append(out, '0')
	}
	text, _ := json.Marshal(v) // which writes numbers as JavaScript does
	return append(out, text...)
}

func appendText(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r >= ' ':
			out = utf8.AppendRune(out, r)
		default:
			if i := strings.IndexByte("\b\f\n\r\t", byte(r)); i >= 0 {
				out = append(out, '\\', "bfnrt"[i])
				continue
			}
			out = append(out, `\u00`...)
			out = append(out, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		}
	}
	return append(out, '"')
}
