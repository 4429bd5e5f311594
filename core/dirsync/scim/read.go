package scim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Read parses a resource as a client sends it to create or to replace one (RFC 7644 §3.3, §3.5.1).
//
// Strict: JSON with no name twice, the type of every attribute, required attributes, at most one primary value of each
// attribute (RFC 7643 §2.4), time zones that exist, the limits above. Every mistake is a 400 whose detail names the
// attribute.
//
// Tolerant: names in any case; "True" and "False" for booleans; one value where a list is wanted; a text for a complex
// attribute with a "value" (`"manager": "26118915"`, `"roles": "admin"`), and of roles several between commas; names that are paths, `"name.givenName"` and
// `"urn:…:User:department"`; the core schema's attributes under its URN.
//
// Left out: attributes that no schema knows, as providers send what others understand, unless a URN qualifies them, which
// makes them a custom extension; attributes that are read-only (RFC 7644 §3.5.1: "SHALL be ignored"); null, [] and {},
// which all say that an attribute is unassigned (RFC 7643 §2.5); values that are there twice. `schemas` becomes what the
// resource has.
func (t *ResourceType) Read(body []byte) (Resource, error) {
	value, err := decode(body)
	if err != nil {
		return nil, err
	}
	sent, ok := value.(object)
	if !ok {
		return nil, refuse(TypeInvalidSyntax, "The body has to be a JSON object.")
	}
	e := editor{t: t, r: make(Resource, len(sent)+1)}
	if err := e.read(sent); err != nil {
		return nil, err
	}
	return e.r, nil
}

// read puts what a client sent into an empty resource: first the plain attributes, then those whose name is a path.
func (e *editor) read(sent object) *Error {
	var paths object
	for _, m := range sent {
		a := find(e.t.names, m.name)
		switch {
		case a == nil:
			if isURN(m.name) || strings.IndexByte(m.name, '.') > 0 {
				paths = append(paths, m)
			}
		case a.Name == "schemas":
			if err := e.t.checkSchemas(m.value); err != nil {
				return err
			}
		case a.Mutability != ReadOnly:
			value, err := a.read(m.value)
			if err != nil {
				return err.in(a.Name)
			}
			if value != nil {
				e.r[a.Name] = value
			}
		}
	}
	for _, m := range paths {
		p, err := e.t.patchPath(m.name)
		if err != nil || p.isReadOnly() {
			continue // read-only, or an attribute that no schema knows
		}
		if err := e.putNamed(opAdd, p, m, true); err != nil {
			return err
		}
	}
	return e.finish(TypeInvalidValue)
}

// in names the attribute that an error is about, from the inside to the outside.
func (e *Error) in(name string) *Error {
	if !strings.HasPrefix(e.Detail, "[") && !strings.HasPrefix(e.Detail, ".") {
		name += ": "
	}
	e.Detail = name + e.Detail
	return e
}

// wrong is an error of the value of an attribute, which in completes.
func wrong(format string, args ...any) *Error { return refuse(TypeInvalidValue, format, args...) }

// checkSchemas wants the core schema in a list of schemas; others may be there, known or not.
func (t *ResourceType) checkSchemas(value any) *Error {
	list, _ := value.([]any)
	if one, ok := value.(string); ok {
		list = []any{one}
	}
	if len(list) == 0 && value != nil {
		if list, ok := value.([]any); !ok || len(list) > 0 {
			return wrong("schemas: a list of URNs is wanted.")
		}
		return nil
	}
	found := value == nil
	for _, urn := range list {
		s, ok := urn.(string)
		if !ok {
			return wrong("schemas: a list of URNs is wanted.")
		}
		found = found || sameName(s, t.Schema.ID)
	}
	if !found {
		return wrong("schemas: %s is wanted among them.", t.Schema.ID)
	}
	return nil
}

// read checks the value of an attribute and gives it in its own form: a list where there can be several. nil is
// unassigned.
func (a *Attribute) read(value any) (any, *Error) {
	if !a.MultiValued {
		return a.readOne(value)
	}
	list, err := a.readList(value)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list, nil
}

func (a *Attribute) readOne(value any) (any, *Error) {
	if value == nil {
		return nil, nil
	}
	switch a.Type {
	case Complex:
		return a.readComplex(value)
	case Boolean:
		return readBoolean(value)
	case Integer, Decimal:
		if n, ok := value.(json.Number); ok {
			return n, nil
		}
		return nil, wrong("a number is wanted.")
	case free:
		return plain(value)
	default:
		return a.readText(value)
	}
}

func readBoolean(value any) (any, *Error) {
	if text, ok := value.(string); ok {
		if b, ok := boolOf(text); ok {
			return b, nil
		}
	}
	if b, ok := value.(bool); ok {
		return b, nil
	}
	return nil, wrong("true or false is wanted.")
}

func (a *Attribute) readText(value any) (any, *Error) {
	s, ok := value.(string)
	limit := a.limit
	if limit == 0 {
		limit = MaxText
	}
	switch {
	case !ok:
		return nil, wrong("a text is wanted.")
	case len(s) > limit:
		return nil, wrong("the text has more than %d bytes.", limit)
	case a.Required && strings.TrimSpace(s) == "":
		return nil, wrong("a text that is not empty is wanted.")
	case s == "":
		return value, nil
	case a.check != nil && !a.check(s):
		return nil, wrong("%s is not in the IANA time zone database, which has names such as Europe/Berlin.", quote(s))
	case a.Type == DateTime:
		if _, ok := parseTime(s); !ok {
			return nil, wrong("a dateTime is wanted, such as 2026-01-31T12:00:00Z.")
		}
	case a.only:
		return a.readCanonical(s)
	}
	return value, nil
}

func (a *Attribute) readCanonical(s string) (any, *Error) {
	i := slices.IndexFunc(a.CanonicalValues, func(v string) bool { return sameName(v, s) })
	if i < 0 {
		return nil, wrong("one of %s is wanted.", strings.Join(a.CanonicalValues, ", "))
	}
	return a.CanonicalValues[i], nil
}

// readComplex reads an object, leaving out what no schema knows. A text stands for its "value".
func (a *Attribute) readComplex(value any) (any, *Error) {
	var sent object
	switch v := value.(type) {
	case object:
		sent = v
	case string:
		if a.subs["value"] == nil {
			return nil, wrong("an object is wanted.")
		}
		if v == "" {
			return nil, nil
		}
		sent = object{{"value", v}}
	default:
		return nil, wrong("an object is wanted.")
	}
	out := make(map[string]any, len(sent))
	for _, m := range sent {
		s := find(a.subs, m.name)
		if s == nil || s.Mutability == ReadOnly && a.Mutability != ReadOnly {
			continue
		}
		inner, err := s.read(m.value)
		if err != nil {
			return nil, err.in("." + s.Name)
		}
		if inner != nil {
			out[s.Name] = inner
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// maxValues is how many values a multi-valued attribute may have.
func (a *Attribute) maxValues() int {
	if a.Name == "members" {
		return MaxMembers
	}
	return MaxValues
}

// readList reads several values, or one that stands alone, of which at most one is primary.
func (a *Attribute) readList(value any) ([]any, *Error) {
	list, err := a.readElements(value)
	if err != nil {
		return nil, err
	}
	return list, onePrimary(list)
}

// readElements reads several values, or one that stands alone. It is nil where there is none.
func (a *Attribute) readElements(value any) ([]any, *Error) {
	if value == nil {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if text, ok := value.(string); ok && a.Name == "roles" {
		list = roles(text)
	}
	if len(list) > a.maxValues() {
		return nil, wrong("there are more than %d values.", a.maxValues())
	}
	out := make([]any, 0, len(list))
	for i := range list {
		one, err := a.readOne(list[i])
		if err != nil {
			return nil, err.in(fmt.Sprintf("[%d]", i))
		}
		if one != nil {
			out = append(out, one)
		}
	}
	return unique(out), nil
}

// roles reads those that a text holds, as Polis does.
func roles(text string) (list []any) {
	for role := range strings.SplitSeq(text, ",") {
		list = append(list, strings.TrimSpace(role))
	}
	return list
}

// onePrimary refuses a list with two primary values.
func onePrimary(list []any) *Error {
	found := false
	for _, element := range list {
		if isPrimary(element) {
			if found {
				return wrong("at most one value may be primary.")
			}
			found = true
		}
	}
	return nil
}

// unique leaves out values that are there twice.
func unique(list []any) []any {
	if len(list) <= 6 {
		out := list[:0]
		for _, element := range list {
			if !slices.ContainsFunc(out, func(other any) bool { return sameValue(element, other) }) {
				out = append(out, element)
			}
		}
		return out
	}
	seen := make(map[string]bool, len(list))
	var key []byte
	return slices.DeleteFunc(list, func(element any) bool {
		key = canonical(key[:0], element)
		twice := seen[string(key)]
		if !twice {
			seen[string(key)] = true
		}
		return twice
	})
}

// plain is a value without a schema in the form of a resource: no null, nothing empty.
func plain(value any) (any, *Error) {
	switch v := value.(type) {
	case object:
		out := make(map[string]any, len(v))
		for _, m := range v {
			inner, err := plain(m.value)
			if err != nil {
				return nil, err.in("." + quote(m.name))
			}
			if inner != nil {
				out[m.name] = inner
			}
		}
		if len(out) == 0 {
			return nil, nil
		}
		return out, nil
	case []any:
		if len(v) > MaxValues {
			return nil, wrong("there are more than %d values.", MaxValues)
		}
		out := make([]any, 0, len(v))
		for i := range v {
			inner, err := plain(v[i])
			if err != nil {
				return nil, err.in(fmt.Sprintf("[%d]", i))
			}
			if inner != nil {
				out = append(out, inner)
			}
		}
		if len(out) == 0 {
			return nil, nil
		}
		return out, nil
	case string:
		if len(v) > MaxText {
			return nil, wrong("the text has more than %d bytes.", MaxText)
		}
		return v, nil
	default:
		return v, nil
	}
}
