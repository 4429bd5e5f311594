// Package scim is the language of SCIM 2.0 as pure functions: schemas, reading and checking resources, filters, paths,
// PATCH, sorting and projection (RFC 7643, RFC 7644). It knows no storage and no HTTP.
//
// A resource is what encoding/json makes of it, under the schema's own spelling. User and Group are the resource types.
// Whatever a client sent is answered with an *Error, which says the HTTP status and the scimType.
package scim

import (
	"fmt"
	"slices"
)

// Resource is a SCIM resource: attribute names as the schema spells them, attributes of an extension under its URN.
// A value is a string (also times and binaries), bool, json.Number, map[string]any or []any, never nil; an unassigned
// attribute is absent (RFC 7643 §2.5).
type Resource = map[string]any

// Limits on what a client sends. Whoever reads the request limits its bytes.
const (
	MaxDepth      = 10       // brackets inside brackets, in a body
	MaxValues     = 1000     // values of one multi-valued attribute, other than members
	MaxMembers    = 200_000  // members of a group, in one request
	MaxResource   = 1 << 20  // bytes of a resource, about, without members
	MaxText       = 64 << 10 // bytes of a text
	MaxName       = 1024     // bytes of userName, externalId, displayName and of an address in emails
	MaxAttributes = 200      // attributes in one object, known ones or not
	MaxExtensions = 20       // extensions without a schema, in one resource
	MaxOperations = 1000     // in one PATCH
	MaxWork       = 500_000  // values that a PATCH looks at, each once for an operation and for each comparison of its path
	MaxUnnamed    = 100      // values without a "value" that one remove lists
	MaxFilter     = 8 << 10
	MaxTerms      = 250 // comparisons in one filter
	MaxNesting    = 20  // brackets inside brackets, in a filter
	MaxProjection = 100 // names in attributes, and in excludedAttributes
)

// The scimType of an error, RFC 7644 §3.12 and RFC 9865 §2.1.
const (
	TypeInvalidFilter = "invalidFilter"
	TypeTooMany       = "tooMany"
	TypeUniqueness    = "uniqueness"
	TypeMutability    = "mutability"
	TypeInvalidSyntax = "invalidSyntax"
	TypeInvalidPath   = "invalidPath"
	TypeNoTarget      = "noTarget"
	TypeInvalidValue  = "invalidValue"
	TypeInvalidVers   = "invalidVers"
	TypeSensitive     = "sensitive"
	TypeInvalidCursor = "invalidCursor"
	TypeInvalidCount  = "invalidCount"
)

// Error is an answer to a client's mistake, RFC 7644 §3.12.
type Error struct {
	Status int    // of HTTP
	Type   string // the scimType, or ""
	Detail string // a sentence for a person
}

func (e *Error) Error() string {
	if e.Type == "" {
		return e.Detail
	}
	return e.Type + ": " + e.Detail
}

// refuse makes the error of status 400.
func refuse(scimType, format string, args ...any) *Error {
	return &Error{Status: 400, Type: scimType, Detail: fmt.Sprintf(format, args...)}
}

// Clone copies a resource with all that is in it.
func Clone(r Resource) Resource {
	if r == nil {
		return nil
	}
	return cloneMap(r)
}

func cloneMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for name, value := range m {
		out[name] = cloneValue(value)
	}
	return out
}

func cloneValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return cloneMap(v)
	case []any:
		out := slices.Clone(v)
		for i := range out {
			out[i] = cloneValue(out[i])
		}
		return out
	default:
		return v
	}
}
