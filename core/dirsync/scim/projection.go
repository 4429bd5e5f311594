package scim

import (
	"slices"
	"strings"
)

// Projection says which attributes an answer shows, RFC 7644 §3.9 and RFC 7643 §2.2 ("returned"). The zero value shows
// what is shown by default.
type Projection struct {
	only, without []Path
	chosen        bool // whether the client named what to show
}

// ParseProjection reads the parameters attributes and excludedAttributes, a name each. Names of attributes that there are
// not choose nothing, so that one request can ask users and groups. Where both parameters are given, the second takes
// away from the first.
func ParseProjection(t *ResourceType, attributes, excluded []string) (Projection, error) {
	if max(len(attributes), len(excluded)) > MaxProjection {
		return Projection{}, refuse(TypeInvalidValue, "More than %d attributes are named.", MaxProjection)
	}
	only, chosen := t.paths(attributes)
	without, _ := t.paths(excluded)
	return Projection{only: only, without: without, chosen: chosen}, nil
}

// paths reads names, and reports whether there were any.
func (t *ResourceType) paths(list []string) (out []Path, some bool) {
	for _, name := range list {
		name = strings.TrimSpace(name)
		some = some || name != ""
		if head, rest, filtered := strings.Cut(name, "["); filtered { // `emails[type eq "work"]`, of which all values are shown
			_, sub, _ := strings.Cut(rest, "]")
			name = head + sub
		}
		if p, err := t.path(name); err == nil {
			out = append(out, p)
		}
	}
	return out, some
}

// Wants reports whether the answer shows an attribute of the core schema, or a part of it: whether "members" or "groups"
// need to be read at all.
func (p Projection) Wants(attribute string) bool {
	wanted := !p.chosen
	for _, path := range p.only {
		wanted = wanted || path.URN == "" && (path.Attribute == attribute || path.Attribute == "")
	}
	for _, path := range p.without {
		if path.URN == "" && path.Attribute == attribute && path.Sub == "" {
			return false
		}
	}
	return wanted
}

// Apply gives the resource as the answer shows it. r stays as it is, and the two share what is in them. `id` and `schemas`
// are always shown, a password never.
func (p Projection) Apply(r Resource) Resource {
	out := make(Resource, len(r))
	if p.chosen {
		for _, path := range p.only {
			path.show(out, r)
		}
	} else {
		for name, value := range r {
			out[name] = value
		}
	}
	for _, path := range p.without {
		path.hide(out)
	}
	for i := range common {
		if a := &common[i]; a.Returned == Always && r[a.Name] != nil {
			out[a.Name] = r[a.Name]
		}
	}
	delete(out, "password")
	return out
}

// show copies what a path names from r to out.
func (p *Path) show(out, r Resource) {
	switch {
	case p.URN == "" && p.Attribute == "": // the core schema: all that stands under no URN
		for name, value := range r {
			if !isURN(name) {
				out[name] = value
			}
		}
	case p.URN == "":
		p.showIn(out, r)
	default:
		urn := keyOf(r, p.URN)
		from, ok := r[urn].(map[string]any)
		if !ok {
			if last, ok := p.last(); ok {
				last.show(out, r)
			}
			return
		}
		if p.Attribute == "" {
			out[urn] = from
			return
		}
		to, ok := out[urn].(map[string]any)
		if !ok {
			to = map[string]any{}
		}
		if p.showIn(to, from); len(to) > 0 {
			out[urn] = to
		}
	}
}

func (p *Path) showIn(out, r map[string]any) {
	name := keyOf(r, p.Attribute)
	value, ok := r[name]
	if !ok {
		return
	}
	if p.Sub != "" {
		value = merge(out[name], part(value, p.Sub))
	}
	if value != nil {
		out[name] = value
	}
}

// part is a value with one sub-attribute alone, or nil where it has none. A list keeps its length, for merge.
func part(value any, sub string) any {
	switch v := value.(type) {
	case map[string]any:
		name := keyOf(v, sub)
		if inner, ok := v[name]; ok {
			return map[string]any{name: inner}
		}
		return nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = part(v[i], sub)
			if out[i] == nil {
				out[i] = map[string]any{}
			}
		}
		return out
	default:
		return nil
	}
}

// merge unites two parts of one value.
func merge(a, b any) any {
	switch b := b.(type) {
	case map[string]any:
		m, _ := a.(map[string]any)
		out := make(map[string]any, len(m)+len(b))
		for name, value := range m {
			out[name] = value
		}
		for name, value := range b {
			out[name] = value
		}
		return out
	case []any:
		list, ok := a.([]any)
		if !ok || len(list) != len(b) {
			return b
		}
		out := make([]any, len(b))
		for i := range b {
			out[i] = merge(list[i], b[i])
		}
		return out
	default:
		return a
	}
}

// hide takes what a path names out of out, which shares its values with others.
func (p *Path) hide(out Resource) {
	in := out
	if p.URN != "" {
		urn := keyOf(out, p.URN)
		extension, ok := out[urn].(map[string]any)
		if !ok {
			if last, ok := p.last(); ok {
				last.hide(out)
			}
			return
		}
		if p.Attribute == "" {
			delete(out, urn)
			return
		}
		in = without(extension, "")
		out[urn] = in
	}
	name := keyOf(in, p.Attribute)
	if p.Sub == "" {
		delete(in, name)
		return
	}
	switch v := in[name].(type) {
	case map[string]any:
		in[name] = without(v, p.Sub)
	case []any:
		list := slices.Clone(v)
		for i := range list {
			if m, ok := list[i].(map[string]any); ok {
				list[i] = without(m, p.Sub)
			}
		}
		in[name] = list
	}
}

// without is a copy of m that lacks a name.
func without(m map[string]any, name string) map[string]any {
	out := make(map[string]any, len(m))
	for key, value := range m {
		if name == "" || !sameName(key, name) {
			out[key] = value
		}
	}
	return out
}
