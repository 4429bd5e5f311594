package scim

import (
	"strings"
	"sync"
	"time"
)

// The URNs of RFC 7643 §8.7 and RFC 7644 §8.2.
const (
	UserURN         = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupURN        = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseURN   = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	SchemaURN       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	ResourceTypeURN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	ProviderURN     = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"

	ListURN   = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	SearchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
	PatchURN  = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	BulkURN   = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	BulkedURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
	ErrorURN  = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// Type is the type of an attribute, RFC 7643 §2.3. The zero value is "string".
type Type uint8

// The types.
const (
	String Type = iota
	Boolean
	Decimal
	Integer
	DateTime
	Reference
	Binary
	Complex
	free // whatever JSON holds: in an extension without a schema
)

// Mutability says who may change an attribute, RFC 7643 §2.2. The zero value is "readWrite".
type Mutability uint8

// The mutabilities.
const (
	ReadWrite Mutability = iota
	ReadOnly
	Immutable
	WriteOnly
)

// Returned says when an attribute is part of an answer, RFC 7643 §2.2. The zero value is "default".
type Returned uint8

// When an attribute is returned.
const (
	Default Returned = iota
	Always
	Never
	Request
)

// UniqueIn says among whom a value is unique, RFC 7643 §2.2. The zero value is "none".
type UniqueIn uint8

// The uniquenesses.
const (
	Nowhere UniqueIn = iota
	Server
	Global
)

func (t Type) String() string {
	return [...]string{"string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex", "any"}[t]
}

func (m Mutability) String() string {
	return [...]string{"readWrite", "readOnly", "immutable", "writeOnly"}[m]
}

func (r Returned) String() string { return [...]string{"default", "always", "never", "request"}[r] }

func (u UniqueIn) String() string { return [...]string{"none", "server", "global"}[u] }

// Attribute is one attribute of a schema with its characteristics, RFC 7643 §2.2 and §7.
type Attribute struct {
	Name, Description               string
	Type                            Type
	MultiValued, Required           bool
	CaseExact                       bool
	Mutability                      Mutability
	Returned                        Returned
	Uniqueness                      UniqueIn
	CanonicalValues, ReferenceTypes []string
	Sub                             []Attribute // of a complex one

	limit int               // bytes of a value; 0 for MaxText
	only  bool              // whether values other than the canonical ones are refused
	check func(string) bool // whether a text is a value; nil for any
	subs  map[string]*Attribute
}

// Schema is a set of attributes under a URN, RFC 7643 §7.
type Schema struct {
	ID, Name, Description string
	Attributes            []Attribute

	names map[string]*Attribute
}

// ResourceType is a kind of resource: its endpoint, its schema and the extensions it knows, RFC 7643 §6.
type ResourceType struct {
	Name, Endpoint, Description string
	Schema                      *Schema
	Extensions                  []*Schema // none is required

	names map[string]*Attribute // of the schema, with the attributes of every resource
}

// Attribute finds an attribute by its path without regard to case: "userName", "name.givenName",
// "urn:…:enterprise:2.0:User:department".
func (t *ResourceType) Attribute(path string) (*Attribute, bool) {
	p, err := t.path(path)
	if err != nil || p.attr == nil || p.attr.Type == free {
		return nil, false
	}
	if p.sub != nil {
		return p.sub, true
	}
	return p.attr, true
}

func newSchema(s Schema) *Schema {
	s.names = index(s.Attributes)
	return &s
}

func newResourceType(t ResourceType) *ResourceType {
	t.names = index(common)
	for name, a := range t.Schema.names {
		t.names[name] = a
	}
	return &t
}

// index makes the tables of names: each name as it is spelled, and in lower case.
func index(list []Attribute) map[string]*Attribute {
	names := make(map[string]*Attribute, 2*len(list))
	for i := range list {
		a := &list[i]
		names[a.Name], names[lower(a.Name)] = a, a
		if a.Type == Complex {
			a.subs = index(a.Sub)
		}
	}
	return names
}

// find looks a name up without regard to case (RFC 7643 §2.1).
func find(names map[string]*Attribute, name string) *Attribute {
	if a, ok := names[name]; ok {
		return a
	}
	return names[lower(name)]
}

// child is the sub-attribute of a name, or nil.
func (a *Attribute) child(name string) *Attribute {
	if a.Type == free {
		return anything
	}
	return find(a.subs, name)
}

// anything is the attribute of which no schema says anything; RFC 7643 §2.2 gives the defaults.
var anything = &Attribute{Type: free}

// extension is the schema of an extension the type knows, or nil.
func (t *ResourceType) extension(urn string) *Schema {
	for _, s := range t.Extensions {
		if sameName(s.ID, urn) {
			return s
		}
	}
	return nil
}

// lower is s with ASCII letters in lower case: names and URNs know no others.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lowerByte(b[i])
			}
			return string(b)
		}
	}
	return s
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// sameName compares two names without regard to the case of ASCII letters.
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

// isURN reports whether a name is that of a schema, or qualified by one.
func isURN(name string) bool { return len(name) > 4 && sameName(name[:4], "urn:") }

// zones remembers the names of time zones that there are, so that the database is read once for each.
var zones sync.Map

// isTimeZone reports whether the IANA database that the program has knows the name. "Local" is Go's own, not IANA's.
func isTimeZone(name string) bool {
	if _, ok := zones.Load(name); ok {
		return true
	}
	if name == "" || name == "Local" || strings.HasPrefix(name, "/") {
		return false
	}
	if _, err := time.LoadLocation(name); err != nil {
		return false
	}
	zones.Store(name, nil)
	return true
}
