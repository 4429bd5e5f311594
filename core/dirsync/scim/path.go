package scim

import "strings"

// Path names an attribute, in the schema's spelling where there is a schema. RFC 7644 §3.5.2 gives the grammar.
type Path struct {
	URN       string // of the extension; "" for the core schema
	Attribute string // "" for all that stands under the URN
	Sub       string // sub-attribute, or ""
	Filter    Expr   // which values, in the path of a PATCH; nil for all of them

	attr, sub *Attribute
	terms     int // comparisons in Filter
}

// String is the path as a client writes it, without its filter: "emails.value", "urn:…:User:department".
func (p Path) String() string {
	s := p.Attribute
	if p.Sub != "" {
		s += "." + p.Sub
	}
	switch {
	case p.URN == "":
		return s
	case s == "":
		return p.URN
	default:
		return p.URN + ":" + s
	}
}

// isCustom reports whether a URN may be that of an extension without a schema: it is one (RFC 8141: urn:namespace:name),
// and does not belong to RFC 7643 or 7644 itself.
func isCustom(urn string) bool {
	if len(urn) > maxURN || strings.Count(urn, ":") < 2 || strings.HasSuffix(urn, ":") || strings.Contains(urn, "::") {
		return false
	}
	for i := range len(urn) {
		if urn[i] <= ' ' || urn[i] > '~' {
			return false
		}
	}
	for _, other := range []string{UserURN, GroupURN, EnterpriseURN, SchemaURN, ResourceTypeURN, ProviderURN} {
		if sameName(urn, other) {
			return false
		}
	}
	return !strings.HasPrefix(lower(urn), "urn:ietf:params:scim:api:")
}

const maxURN = 256

// path reads a path without a filter: [URN ":"] attribute ["." sub-attribute]. A name that the core schema does not have may be
// that of an extension: Entra ID documents `manager` so. The detail of an error names the path.
func (t *ResourceType) path(s string) (Path, *Error) {
	urn, name := t.split(s)
	p := Path{URN: urn}
	if name == "" {
		if urn == "" && !sameName(s, t.Schema.ID) || urn != "" && t.extension(urn) == nil && !isCustom(urn) {
			return p, unknown(s)
		}
		return p, nil
	}
	attribute, sub, dotted := strings.Cut(name, ".")
	if !isAttributeName(attribute) || dotted && !isAttributeName(sub) {
		return p, unknown(s)
	}
	p.Attribute, p.Sub = attribute, sub
	switch schema := t.extension(urn); {
	case urn == "":
		p.URN, p.attr = t.named(attribute)
	case schema != nil:
		p.attr = find(schema.names, attribute)
	case isCustom(urn):
		p.attr = anything
	}
	return p, p.resolve(s)
}

// named finds an attribute by its name alone, in the core schema or else in an extension, whose URN it gives. No two
// extensions of a type have a name in common.
func (t *ResourceType) named(attribute string) (urn string, a *Attribute) {
	if a = find(t.names, attribute); a != nil {
		return "", a
	}
	for _, schema := range t.Extensions {
		if a = find(schema.names, attribute); a != nil {
			return schema.ID, a
		}
	}
	return "", nil
}

// resolve finds the sub-attribute and takes the schema's spelling.
func (p *Path) resolve(s string) *Error {
	if p.attr == nil {
		return unknown(s)
	}
	if p.Sub != "" {
		if p.sub = p.attr.child(p.Sub); p.sub == nil {
			return unknown(s)
		}
	}
	if p.attr.Type != free {
		p.Attribute = p.attr.Name
		if p.sub != nil {
			p.Sub = p.sub.Name
		}
	}
	return nil
}

func unknown(s string) *Error {
	return refuse(TypeInvalidPath, "There is no attribute %s.", quote(s))
}

// split parts a path into URN and name. The URN of the core schema becomes "". Of a URN that no schema has, the name is
// what follows the last colon, unless all of it looks like a schema's: it ends in a version, or in a version and a type,
// as RFC 7643 §10.2.1 registers them.
func (t *ResourceType) split(s string) (urn, name string) {
	if !isURN(s) {
		return "", s
	}
	if rest, ok := cutURN(s, t.Schema.ID); ok {
		return "", rest
	}
	for _, schema := range t.Extensions {
		if rest, ok := cutURN(s, schema.ID); ok {
			return schema.ID, rest
		}
	}
	i := strings.LastIndexByte(s, ':')
	urn, name = s[:i], s[i+1:]
	attribute, sub, dotted := strings.Cut(name, ".")
	if strings.Count(urn, ":") < 2 || !isAttributeName(attribute) || dotted && !isAttributeName(sub) || isVersion(urn[strings.LastIndexByte(urn, ':')+1:]) {
		return s, ""
	}
	return urn, name
}

// last is the other reading of a path that split took for a schema: an attribute behind the last colon.
func (p *Path) last() (Path, bool) {
	i := strings.LastIndexByte(p.URN, ':')
	if p.Attribute != "" || i < 0 || !isCustom(p.URN[:i]) || !isAttributeName(p.URN[i+1:]) {
		return Path{}, false
	}
	return Path{URN: p.URN[:i], Attribute: p.URN[i+1:], attr: anything}, true
}

// asAttribute takes the other reading of a path where nothing but an attribute makes sense.
func (t *ResourceType) asAttribute(p Path) Path {
	if last, ok := p.last(); ok && t.extension(p.URN) == nil {
		return last
	}
	return p
}

func cutURN(s, urn string) (rest string, ok bool) {
	if len(s) < len(urn) || !sameName(s[:len(urn)], urn) {
		return "", false
	}
	if len(s) == len(urn) {
		return "", true
	}
	return s[len(urn)+1:], s[len(urn)] == ':' && len(s) > len(urn)+1
}

func isVersion(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == ""
}

// isAttributeName checks the rule ATTRNAME of RFC 7643 §2.1; "$ref" is the one name that begins with a dollar sign.
func isAttributeName(s string) bool {
	if s == "" || !isLetter(s[0]) && s[0] != '$' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !isLetter(c) && (c < '0' || '9' < c) && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) > 1 || s[0] != '$'
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// patchPath reads the path of a PATCH operation: attrPath / valuePath [subAttr].
func (t *ResourceType) patchPath(s string) (Path, *Error) {
	if len(s) > MaxFilter {
		return Path{}, refuse(TypeInvalidPath, "The path is longer than %d bytes.", MaxFilter)
	}
	head, rest, filtered := strings.Cut(s, "[")
	p, err := t.path(head)
	if err != nil || !filtered {
		return p, err
	}
	p = t.asAttribute(p)
	if p.Attribute == "" || p.Sub != "" || p.attr.Type != free && (!p.attr.MultiValued || p.attr.Type != Complex) {
		return p, refuse(TypeInvalidPath, "%s has no values to choose from, so the path may not have a filter.", quote(head))
	}
	f := &parser{text: rest, attr: p.attr, nesting: 1}
	if p.Filter, err = f.or(); err == nil && !f.take(']') {
		err = f.wrong("a ] is wanted")
	}
	if err != nil {
		err.Type = TypeInvalidPath
		return p, err
	}
	p.terms = f.terms
	return p, p.behind(s, rest[f.pos:])
}

// behind reads what follows the filter of a path.
func (p *Path) behind(s, rest string) *Error {
	if rest == "" {
		return nil
	}
	if rest[0] != '.' || !isAttributeName(rest[1:]) {
		return refuse(TypeInvalidPath, "The path %s goes on after its filter with something else than a sub-attribute.", quote(s))
	}
	p.Sub = rest[1:]
	return p.resolve(s)
}
