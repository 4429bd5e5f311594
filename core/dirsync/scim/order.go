package scim

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Order is how a list is sorted, RFC 7644 §3.4.2.3.
type Order struct {
	Path       Path
	Descending bool

	rule *Attribute
}

// ParseOrder reads the parameter sortBy. An error is 400 invalidPath.
func ParseOrder(t *ResourceType, sortBy string, descending bool) (*Order, error) {
	p, err := t.path(sortBy)
	if err != nil {
		return nil, err
	}
	p = t.asAttribute(p)
	o := &Order{Path: p, Descending: descending, rule: p.sub}
	if o.rule == nil {
		o.rule = p.attr
	}
	if o.rule != nil && o.rule.Type == Complex {
		o.rule = o.rule.child("value")
		o.Path.Sub, o.Path.sub = "value", o.rule
	}
	if o.rule == nil || o.rule.Returned == Never {
		return nil, refuse(TypeInvalidPath, "Nothing can be sorted by %s.", quote(sortBy))
	}
	return o, nil
}

// Compare orders two keys: below zero where a comes first.
func (o *Order) Compare(a, b string) int {
	if o.Descending {
		a, b = b, a
	}
	return strings.Compare(a, b)
}

// Key is the text by which a resource is sorted, in ascending order. It begins with the kind of the value; resources
// without one come last in ascending order and first in descending. Of several values the primary one counts, or else the
// first.
func (o *Order) Key(r Resource) string {
	v := o.Path.attribute(r)
	if list, ok := v.([]any); ok {
		v = chief(list)
	}
	if m, ok := v.(map[string]any); ok {
		sub := o.Path.Sub
		if sub == "" {
			sub = "value" // of an extension without a schema
		}
		v = field(m, sub, o.rule)
	}
	switch v := v.(type) {
	case bool:
		if v {
			return "b1"
		}
		return "b0"
	case json.Number:
		return "n" + numberKey(v)
	case string:
		return o.textKey(v)
	default:
		return "~"
	}
}

func (o *Order) textKey(s string) string {
	if o.rule.Type == DateTime {
		if t, ok := parseTime(s); ok {
			return "t" + t.UTC().Format("2006-01-02T15:04:05.000000000Z")
		}
	}
	if !o.rule.CaseExact {
		s = fold(s)
	}
	return "s" + s
}

// numberKey writes a number so that texts compare as numbers do.
func numberKey(n json.Number) string {
	f, _ := n.Float64()
	bits := math.Float64bits(f + 0) // -0 is 0
	if f < 0 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return fmt.Sprintf("%016x", bits)
}

// chief is the primary value of a list, or the first.
func chief(list []any) any {
	for _, element := range list {
		if isPrimary(element) {
			return element
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return nil
}

func isPrimary(element any) bool {
	m, _ := element.(map[string]any)
	return m["primary"] == true
}
