package scim

import "strings"

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

// Attribute is one attribute of a schema with its characteristics, RFC 7643 §2.2 and §7.
type Attribute struct {
	Name, Description              string
	Type                           Type
	MultiValued, Required          bool
	CaseExact                      bool
	Mutability                     Mutability
	Returned                       Returned
	Uniqueness                     UniqueIn
	CanonicalValues, ReferenceType []string
	Sub                            []Attribute

	limit int               // bytes of a value; 0 for MaxText
	only  bool              // whether other values than the canonical ones are refused
	check func(string) bool // whether a value is one; nil for any
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

	names map[string]*Attribute // with the attributes of every resource
}

// Attribute finds an attribute of the resource type by its path without regard to case: "userName", "name.givenName",
// "urn:…:enterprise:2.0:User:department".
func (t *ResourceType) Attribute(path string) (*Attribute, bool) {
	p, err := parsePath(t, path)
	if err != nil || p.attr == nil || p.Filter != nil {
		return nil, false
	}
	if p.sub != nil {
		return p.sub, true
	}
	return p.attr, p.Sub == ""
}

// index makes the tables of names, once for each schema.
func index(list []Attribute) map[string]*Attribute {
	names := make(map[string]*Attribute, 2*len(list))
	for i := range list {
		a := &list[i]
		names[a.Name], names[strings.ToLower(a.Name)] = a, a
		if a.Type == Complex {
			a.subs = index(a.Sub)
		}
	}
	return names
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

// find looks a name up without regard to case.
func find(names map[string]*Attribute, name string) *Attribute {
	if a, ok := names[name]; ok {
		return a
	}
	return names[strings.ToLower(name)]
}

// extension finds the schema of a known extension.
func (t *ResourceType) extension(urn string) *Schema {
	for _, s := range t.Extensions {
		if strings.EqualFold(s.ID, urn) {
			return s
		}
	}
	return nil
}
