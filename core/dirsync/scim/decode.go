package scim

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// object is a JSON object as it was sent, in order. No two names differ in case alone.
type object []member

type member struct {
	name  string
	value any // nil, bool, string, json.Number, []any or object
}

// A decoder reads JSON (RFC 8259) strictly: no name twice, no broken UTF-8, no half surrogate pair, no U+0000, numbers
// that a float64 can hold, MaxDepth. encoding/json takes the last of two equal names, and is three times slower here.
type decoder struct {
	text  string
	pos   int
	depth int
}

// decode reads a whole text. Its strings are parts of that text.
func decode(body []byte) (any, *Error) {
	d := &decoder{text: string(body)}
	value, err := d.value()
	if err != nil {
		return nil, err
	}
	return value, d.end()
}

// end is an error where there is more than white space left.
func (d *decoder) end() *Error {
	if d.next() != 0 || d.pos < len(d.text) {
		return d.wrong("the end is wanted")
	}
	return nil
}

func (d *decoder) wrong(what string) *Error {
	return refuse(TypeInvalidSyntax, "The JSON is wrong at byte %d: %s.", d.pos, what)
}

// next skips white space and gives the byte behind it, 0 at the end.
func (d *decoder) next() byte {
	for d.pos < len(d.text) {
		switch c := d.text[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) value() (any, *Error) {
	switch c := d.next(); {
	case c == '{':
		return d.object()
	case c == '[':
		return d.array()
	case c == '"':
		return boxed(d.string())
	case c == '-' || '0' <= c && c <= '9':
		return boxed(d.number())
	default:
		return d.word()
	}
}

func boxed[T any](value T, err *Error) (any, *Error) {
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (d *decoder) word() (any, *Error) {
	rest := d.text[d.pos:]
	switch {
	case strings.HasPrefix(rest, "true"):
		d.pos += 4
		return true, nil
	case strings.HasPrefix(rest, "false"):
		d.pos += 5
		return false, nil
	case strings.HasPrefix(rest, "null"):
		d.pos += 4
		return nil, nil
	default:
		return nil, d.wrong("a value is wanted")
	}
}

// open and shut guard the depth.
func (d *decoder) open() *Error {
	d.depth++
	if d.depth > MaxDepth {
		return d.wrong("more than " + strconv.Itoa(MaxDepth) + " brackets inside each other")
	}
	d.pos++
	return nil
}

func (d *decoder) shut() {
	d.depth--
	d.pos++
}

func (d *decoder) object() (any, *Error) {
	out := make(object, 0, 4)
	err := d.members(func(name string) *Error {
		value, err := d.value()
		out = append(out, member{name, value})
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// members reads an object, calling each before every value, which it has to read.
func (d *decoder) members(each func(name string) *Error) *Error {
	if err := d.open(); err != nil {
		return err
	}
	var seen names
	for first := true; d.next() != '}'; first = false {
		if !first {
			if d.next() != ',' {
				return d.wrong("a comma or } is wanted")
			}
			d.pos++
		}
		if d.next() != '"' {
			return d.wrong("a name is wanted")
		}
		name, err := d.string()
		if err != nil {
			return err
		}
		if err := seen.add(name); err != nil {
			return err
		}
		if d.next() != ':' {
			return d.wrong("a colon is wanted")
		}
		d.pos++
		if err := each(name); err != nil {
			return err
		}
	}
	d.shut()
	return nil
}

// elements reads an array, calling each before every value, which it has to read.
func (d *decoder) elements(each func() *Error) *Error {
	if err := d.open(); err != nil {
		return err
	}
	for first := true; d.next() != ']'; first = false {
		if !first {
			if d.next() != ',' {
				return d.wrong("a comma or ] is wanted")
			}
			d.pos++
		}
		if err := each(); err != nil {
			return err
		}
	}
	d.shut()
	return nil
}

func (d *decoder) array() (any, *Error) {
	var out []any
	err := d.elements(func() *Error {
		value, err := d.value()
		out = append(out, value)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// raw reads a value and gives its text.
func (d *decoder) raw() (json.RawMessage, *Error) {
	d.next()
	start := d.pos
	if _, err := d.value(); err != nil {
		return nil, err
	}
	return json.RawMessage(d.text[start:d.pos]), nil
}

func (d *decoder) number() (json.Number, *Error) {
	start := d.pos
	if d.text[d.pos] == '-' {
		d.pos++
	}
	whole := d.digits()
	ok := whole == 1 || whole > 1 && d.text[d.pos-whole] != '0'
	if ok && d.at('.') {
		d.pos++
		ok = d.digits() > 0
	}
	if ok && (d.at('e') || d.at('E')) {
		d.pos++
		if d.at('+') || d.at('-') {
			d.pos++
		}
		ok = d.digits() > 0
	}
	text := d.text[start:d.pos]
	if _, err := strconv.ParseFloat(text, 64); !ok || err != nil || len(text) > 64 {
		return "", d.wrong("this is no number, or too large a one")
	}
	return json.Number(text), nil
}

func (d *decoder) at(c byte) bool { return d.pos < len(d.text) && d.text[d.pos] == c }

func (d *decoder) digits() int {
	start := d.pos
	for d.pos < len(d.text) && '0' <= d.text[d.pos] && d.text[d.pos] <= '9' {
		d.pos++
	}
	return d.pos - start
}

// string reads a string from its quotation mark on.
func (d *decoder) string() (string, *Error) {
	d.pos++
	start, ascii := d.pos, true
	for d.pos < len(d.text) {
		switch c := d.text[d.pos]; {
		case c == '"':
			s := d.text[start:d.pos]
			if !ascii && !utf8.ValidString(s) {
				return "", d.wrong("broken UTF-8")
			}
			d.pos++
			return s, nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return "", d.wrong("a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
		d.pos++
	}
	return "", d.wrong("a string has no end")
}

// escaped reads the rest of a string that has an escape.
func (d *decoder) escaped(start int) (string, *Error) {
	out := []byte(d.text[start:d.pos])
	for d.pos < len(d.text) {
		c := d.text[d.pos]
		d.pos++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", d.wrong("broken UTF-8")
			}
			return string(out), nil
		case c < ' ':
			return "", d.wrong("a control character in a string")
		case c == '\\':
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return "", d.wrong("a string has no end")
}

// escape reads what follows a backslash.
func (d *decoder) escape() (rune, *Error) {
	if d.pos >= len(d.text) {
		return 0, d.wrong("a string has no end")
	}
	c := d.text[d.pos]
	d.pos++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, d.wrong("an unknown escape")
	}
	r := d.hex()
	if utf16.IsSurrogate(r) && strings.HasPrefix(d.text[d.pos:], `\u`) {
		d.pos += 2
		r = utf16.DecodeRune(r, d.hex())
		if r == utf8.RuneError {
			r = -1
		}
	}
	if r <= 0 || utf16.IsSurrogate(r) {
		return 0, d.wrong("an escape for no character, or for U+0000")
	}
	return r, nil
}

// hex reads four hexadecimal digits, -1 where there are none.
func (d *decoder) hex() rune {
	if d.pos+4 > len(d.text) {
		return -1
	}
	n, err := strconv.ParseUint(d.text[d.pos:d.pos+4], 16, 16)
	if err != nil {
		return -1
	}
	d.pos += 4
	return rune(n)
}

// names finds a name that an object has twice.
type names struct {
	few  [12]string
	n    int
	many map[string]bool
}

func (s *names) add(name string) *Error {
	twice := false
	if s.n < len(s.few) {
		for _, other := range s.few[:s.n] {
			twice = twice || sameName(other, name)
		}
		s.few[s.n] = name
	} else {
		if s.many == nil {
			s.many = make(map[string]bool, 2*s.n)
			for _, other := range s.few {
				s.many[lower(other)] = true
			}
		}
		twice = s.many[lower(name)]
		s.many[lower(name)] = true
	}
	s.n++
	switch {
	case twice:
		return refuse(TypeInvalidSyntax, "The attribute %s is there twice in one object.", quote(name))
	case s.n > MaxAttributes:
		return refuse(TypeInvalidSyntax, "An object has more than %d attributes.", MaxAttributes)
	}
	return nil
}

// quote shows what a client sent, shortened.
func quote(s string) string {
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return strconv.Quote(s)
}
