package scim

import (
	"encoding/json"
	"strings"
)

// Match reports whether a resource, with its id and meta, fits. An absent attribute is null. A multi-valued attribute
// compares as its values do, one of them being enough: `emails.type ne "work"` matches where one address is no work
// address.
func (f *Filter) Match(r Resource) bool { return f.Root.match(r) }

func (e *And) match(r map[string]any) bool { return e.Left.match(r) && e.Right.match(r) }

func (e *Or) match(r map[string]any) bool { return e.Left.match(r) || e.Right.match(r) }

func (e *Not) match(r map[string]any) bool { return !e.Of.match(r) }

func (e *ValuePath) match(r map[string]any) bool {
	switch v := e.Path.attribute(r).(type) {
	case map[string]any:
		return e.Of.match(v)
	case []any:
		for _, element := range v {
			if m, ok := element.(map[string]any); ok && e.Of.match(m) {
				return true
			}
		}
	}
	return false
}

func (c *Comparison) match(r map[string]any) bool {
	v := c.Path.attribute(r)
	if c.Path.Sub == "" {
		return c.any(v)
	}
	switch v := v.(type) {
	case map[string]any:
		return c.any(field(v, c.Path.Sub, c.rule))
	case []any:
		for _, element := range v {
			if m, ok := element.(map[string]any); ok && c.any(field(m, c.Path.Sub, c.rule)) {
				return true
			}
		}
		return len(v) == 0 && c.any(nil)
	default:
		return c.any(nil)
	}
}

// attribute finds the value at the path's attribute, or nil.
func (p *Path) attribute(r map[string]any) any {
	if p.URN == "" {
		return field(r, p.Attribute, p.attr)
	}
	extension, _ := field(r, p.URN, p.attr).(map[string]any)
	if p.Attribute == "" {
		if last, ok := p.last(); ok && len(extension) == 0 {
			return last.attribute(r)
		}
		return extension
	}
	return field(extension, p.Attribute, p.attr)
}

// field looks a name up: in the spelling that the schema gives, and where there is no schema without regard to case.
func field(m map[string]any, name string, rule *Attribute) any {
	v, ok := m[name]
	if !ok && (rule == nil || rule.Type == free) {
		return m[keyOf(m, name)]
	}
	return v
}

// keyOf is the spelling under which m has a name; the name itself where m does not have it.
func keyOf(m map[string]any, name string) string {
	if _, ok := m[name]; ok {
		return name
	}
	for key := range m {
		if sameName(key, name) {
			return key
		}
	}
	return name
}

// any compares a value, or each of a list. In an extension without a schema the values may be objects with a "value".
func (c *Comparison) any(v any) bool {
	list, ok := v.([]any)
	if !ok {
		return c.one(v)
	}
	for _, element := range list {
		if c.one(element) {
			return true
		}
	}
	return len(list) == 0 && c.one(nil)
}

func (c *Comparison) one(v any) bool {
	if c.Op == PR {
		return isPresent(v)
	}
	if c.Value == nil {
		return (c.Op == EQ) != isPresent(v)
	}
	switch v := v.(type) {
	case string:
		if text, ok := c.Value.(string); ok {
			return c.string(v, text)
		}
	case bool:
		if b, ok := c.Value.(bool); ok {
			return (c.Op == EQ) == (v == b)
		}
		if text, ok := c.Value.(string); ok && c.rule.Type == free { // `eq "True"`, where no schema says it is a boolean
			if b, ok := boolOf(text); ok && c.Op <= NE {
				return (c.Op == EQ) == (v == b)
			}
		}
	case json.Number:
		if n, ok := c.Value.(json.Number); ok {
			return c.ordered(compareNumbers(v, n))
		}
	case map[string]any:
		if c.rule.Type == free && c.Path.Sub == "" {
			if inner := field(v, "value", c.rule); inner != nil {
				if _, nested := inner.(map[string]any); !nested {
					return c.any(inner)
				}
			}
		}
	}
	return c.Op == NE
}

// isPresent is what pr asks: a value that is not null and not empty.
func isPresent(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	default:
		return true
	}
}

// string compares a text. Times are compared as instants, where the schema has a dateTime or where it says nothing.
func (c *Comparison) string(v, text string) bool {
	if c.isTime && (c.rule.Type == DateTime || c.rule.Type == free) && (c.Op <= NE || c.Op >= GT) {
		if t, ok := parseTime(v); ok {
			return c.ordered(t.Compare(c.time))
		}
	}
	exact := c.rule.CaseExact
	switch c.Op {
	case EQ, NE:
		return (c.Op == EQ) == sameText(v, text, exact)
	case CO, SW, EW:
		if exact {
			return hasText(c.Op, v, text)
		}
		return hasFolded(c.Op, v, c.text)
	default:
		if !exact {
			v = fold(v)
		}
		return c.ordered(strings.Compare(v, c.text))
	}
}

func (c *Comparison) ordered(order int) bool {
	switch c.Op {
	case EQ:
		return order == 0
	case NE:
		return order != 0
	case GT:
		return order > 0
	case GE:
		return order >= 0
	case LT:
		return order < 0
	case LE:
		return order <= 0
	default:
		return false
	}
}
