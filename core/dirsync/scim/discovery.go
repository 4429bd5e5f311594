package scim

import "encoding/json"

// Schemas are the schemas as /Schemas lists them (RFC 7643 §7); base is the URL before "/Schemas".
func Schemas(base string) []Resource {
	var out []Resource
	for _, s := range []*Schema{UserSchema, EnterpriseSchema, GroupSchema} {
		out = append(out, Resource{
			"schemas": []any{SchemaURN}, "id": s.ID, "name": s.Name, "description": s.Description,
			"attributes": describe(s.Attributes),
			"meta":       map[string]any{"resourceType": "Schema", "location": base + "/Schemas/" + s.ID},
		})
	}
	return out
}

func describe(list []Attribute) []any {
	out := make([]any, len(list))
	for i := range list {
		a := &list[i]
		m := map[string]any{
			"name": a.Name, "type": a.Type.String(), "description": a.Description,
			"multiValued": a.MultiValued, "required": a.Required, "caseExact": a.CaseExact,
			"mutability": a.Mutability.String(), "returned": a.Returned.String(), "uniqueness": a.Uniqueness.String(),
		}
		if a.Type == Complex {
			m["subAttributes"] = describe(a.Sub)
		}
		if len(a.CanonicalValues) > 0 {
			m["canonicalValues"] = texts(a.CanonicalValues)
		}
		if len(a.ReferenceTypes) > 0 {
			m["referenceTypes"] = texts(a.ReferenceTypes)
		}
		out[i] = m
	}
	return out
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}

// ResourceTypes are the resource types as /ResourceTypes lists them (RFC 7643 §6); base is the URL before
// "/ResourceTypes".
func ResourceTypes(base string) []Resource {
	var out []Resource
	for _, t := range []*ResourceType{User, Group} {
		r := Resource{
			"schemas": []any{ResourceTypeURN}, "id": t.Name, "name": t.Name, "description": t.Description,
			"endpoint": t.Endpoint, "schema": t.Schema.ID,
			"meta": map[string]any{"resourceType": "ResourceType", "location": base + "/ResourceTypes/" + t.Name},
		}
		var extensions []any
		for _, s := range t.Extensions {
			extensions = append(extensions, map[string]any{"schema": s.ID, "required": false})
		}
		if extensions != nil {
			r["schemaExtensions"] = extensions
		}
		out = append(out, r)
	}
	return out
}

// Provider is what a service says of itself, RFC 7643 §5.
type Provider struct {
	Documentation  string // URL of help for people, or ""
	BulkOperations int    // at most in one request; 0 for no bulk
	BulkBytes      int
	MaxResults     int // of a filter
	Sort, ETag     bool
	ChangePassword bool
	Authentication []AuthenticationScheme
	Pages          Pages
}

// AuthenticationScheme is a way to authenticate, RFC 7643 §5.
type AuthenticationScheme struct {
	Type, Name, Description   string // Type is "oauthbearertoken" or another of the RFC
	SpecURI, DocumentationURI string // or ""
	Primary                   bool
}

// Pages is how lists are paged, RFC 9865 §4.
type Pages struct {
	Cursor, Index    bool
	Method           string // "index" or "cursor", where the client does not say
	Default, Max     int    // resources on a page
	CursorForSeconds int    // how long a cursor lives; 0 for any time
}

// Config is the answer of /ServiceProviderConfig; base is the URL before it.
func (p Provider) Config(base string) Resource {
	r := Resource{
		"schemas":        []any{ProviderURN},
		"patch":          map[string]any{"supported": true},
		"bulk":           map[string]any{"supported": p.BulkOperations > 0, "maxOperations": number(p.BulkOperations), "maxPayloadSize": number(p.BulkBytes)},
		"filter":         map[string]any{"supported": true, "maxResults": number(p.MaxResults)},
		"sort":           map[string]any{"supported": p.Sort},
		"etag":           map[string]any{"supported": p.ETag},
		"changePassword": map[string]any{"supported": p.ChangePassword},
		"pagination":     p.Pages.config(),
		"meta":           map[string]any{"resourceType": "ServiceProviderConfig", "location": base + "/ServiceProviderConfig"},
	}
	schemes := []any{}
	for _, s := range p.Authentication {
		scheme := map[string]any{"type": s.Type, "name": s.Name, "description": s.Description, "primary": s.Primary}
		set(scheme, "specUri", s.SpecURI)
		set(scheme, "documentationUri", s.DocumentationURI)
		schemes = append(schemes, scheme)
	}
	r["authenticationSchemes"] = schemes
	set(r, "documentationUri", p.Documentation)
	return r
}

func (p Pages) config() map[string]any {
	m := map[string]any{
		"cursor": p.Cursor, "index": p.Index, "defaultPageSize": number(p.Default), "maxPageSize": number(p.Max),
	}
	set(m, "defaultPaginationMethod", p.Method)
	if p.CursorForSeconds > 0 {
		m["cursorTimeout"] = number(p.CursorForSeconds)
	}
	return m
}

func set(m map[string]any, name, value string) {
	if value != "" {
		m[name] = value
	}
}

func number(n int) json.Number {
	b, _ := json.Marshal(n)
	return json.Number(b)
}
