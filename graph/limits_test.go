package graph_test

import (
	"fmt"
	"strings"
	"testing"
)

func nested(open, inner, end string, times int) string {
	return strings.Repeat(open, times) + inner + strings.Repeat(end, times)
}

func numbered(times int, format string) string {
	var b strings.Builder
	for i := range times {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// bombs is a chain of fragments each of which spreads the next one twice: 2^n fields.
func bombs(n int) string {
	var b strings.Builder
	b.WriteString("{ project(slug: \"x\") { ...f0 } }")
	for i := range n {
		fmt.Fprintf(&b, " fragment f%d on Project { ...f%d ...f%d }", i, i+1, i+1)
	}
	fmt.Fprintf(&b, " fragment f%d on Project { id }", n)
	return b.String()
}

// TestLimits sends hostile documents. Each is refused with its code, and soon.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.project("x")
	for name, c := range map[string]struct {
		query     string
		variables object
		code      string
	}{
		"deep nesting":            {"{ project(slug: \"x\") " + nested("{ organizations { nodes { project ", "{ id }", "} } }", 4) + "}", nil, "too_deep"},
		"very deep nesting":       {nested("{ a ", "", "}", 1500), nil, "too_deep"},
		"deep inline fragments":   {"{ project(slug: \"x\") { " + nested("... { ", "id", "}", 1500) + "} }", nil, "too_deep"},
		"deep by fragments":       {"{ project(slug: \"x\") { ...a } } fragment a on Project { organizations { nodes { project { ...b } } } } fragment b on Project { organizations { nodes { project { ...c } } } } fragment c on Project { organizations { nodes { project { ...d } } } } fragment d on Project { organizations { nodes { id } } }", nil, "too_deep"},
		"deep list literal":       {"{ project(slug: " + nested("[", "1", "]", 1500) + ") { id } }", nil, "too_deep"},
		"too many tokens":         {"{ project(slug: \"x\") { " + strings.Repeat("id ", 6000) + "} }", nil, "too_many_tokens"},
		"a megabyte of braces":    {strings.Repeat("{", 1<<20-200), nil, "invalid_document"},
		"a megabyte of aliases":   {"{" + strings.Repeat("a:a ", 1<<18-100) + "}", nil, "too_many_tokens"},
		"alias flood":             {"{ " + numbered(31, "a%d: project(slug: \"x\") { id } ") + "}", nil, "too_many_aliases"},
		"aliases in fragments":    {"{ project(slug: \"x\") { ...f } } fragment f on Project { " + numbered(31, "a%d: id ") + "}", nil, "too_many_aliases"},
		"fragment spread bomb":    {bombs(40), nil, "too_costly"},
		"fragment bomb, long":     {bombs(150), nil, "too_costly"},
		"fragment cycle":          {"{ project(slug: \"x\") { ...a } } fragment a on Project { ...b } fragment b on Project { ...a }", nil, "fragment_cycle"},
		"fragment in itself":      {"{ project(slug: \"x\") { ...a } } fragment a on Project { organizations { nodes { project { ...a } } } }", nil, "fragment_cycle"},
		"unused fragment cycle":   {"{ project(slug: \"x\") { id } } fragment a on Project { ...a }", nil, "fragment_cycle"},
		"huge lists":              {"{ projects(first: 100) { nodes { organizations(first: 100) { nodes { id } } } } }", nil, "too_costly"},
		"huge lists by variables": {"query($n: Int) { projects(first: $n) { nodes { organizations(first: $n) { nodes { id } } } } }", object{"n": 100}, "too_costly"},
		"huge lists by default":   {"query($n: Int = 100) { projects(first: $n) { nodes { organizations(first: $n) { nodes { id } } } } }", nil, "too_costly"},
		"huge lists by fragments": {"query($n: Int = 100) { projects(first: $n) { ...p } } fragment p on ProjectConnection { nodes { organizations(first: $n) { nodes { id } } } }", nil, "too_costly"},
		"lists without first":     {"{ projects { edges { node { organizations { edges { node { connections { edges { node { id } } } } } } } } } }", nil, "too_costly"},
		"another operation's":     {"query a { projects(first: 1) { nodes { id } } } query b { projects(first: 100) { nodes { organizations(first: 100) { nodes { id } } } } }", nil, "too_costly"},
		"beyond every number":     {"{ projects(first: 99999999999999999999999) { nodes { organizations(first: 99999999999999999999999) { nodes { id } } } } }", nil, "too_costly"},
		"many scans":              {`{ directory(id: "x") { ` + numbered(25, `a%d: users(first: 1, filter: "title co \"x\"") { totalCount } `) + "} }", nil, "too_costly"},
		"many whole groups":       {`{ directory(id: "x") { groups(first: 25) { nodes { effectiveMembers(first: 1) { nodes { id } } } } } }`, nil, "too_costly"},
		"many walks":              {`{ directory(id: "x") { users(first: 100) { nodes { groups(first: 15, effective: true) { nodes { id } } } } } }`, nil, "too_costly"},
		"many counts":             {"{ projects(first: 50) { nodes { organizations(first: 10) { totalCount nodes { directories(first: 1) { totalCount } } } } } }", nil, "too_costly"},
		"directive overload":      {"{ project(slug: \"x\") { id " + strings.Repeat("@include(if: true) ", 31) + "} }", nil, "too_many_directives"},
		"directives on fragments": {"{ project(slug: \"x\") { " + strings.Repeat("... @skip(if: false) { id } ", 31) + "} }", nil, "too_many_directives"},
		"many variables":          {"query(" + numbered(51, "$v%d: ID ") + ") { project(id: $v0) { id } }", nil, "too_many_variables"},
		"deep variables":          {"query($in: CreateProjectInput!) { __typename }", object{"in": deepValue(500)}, "too_deep"},
		"introspection squared":   {"{ __schema { types { fields { type { fields { name } } } } } }", nil, "too_deep"},
		"introspection by parts":  {"{ __schema { types { ...t } } } fragment t on __Type { possibleTypes { fields { name } } }", nil, "too_deep"},
		"introspection, deep":     {"{ __schema { types " + nested("{ ofType ", "{ name }", "}", 20) + "} }", nil, "too_deep"},
		"introspection, wide":     {"{ __schema { types { " + strings.Repeat("fields { name } ", 300) + "} } }", nil, "too_costly"},
	} {
		a := w.send(c.query, c.variables)
		if len(a.Errors) != 1 || a.Errors[0].Extensions.Code != c.code || a.Errors[0].Message == "" || a.Data != nil {
			t.Errorf("%s: %+v %v", name, a.Errors, a.Data)
		}
	}
}

func deepValue(n int) any {
	var v any = "x"
	for range n {
		v = []any{v}
	}
	return v
}

// TestCostlyToValidate sends documents within the limits that are as hard to validate as such may be: each is answered,
// with no more errors than a person would read.
func TestCostlyToValidate(t *testing.T) {
	w := newWorld(t)
	w.project("x")
	for name, query := range map[string]string{
		"one field many times":        "{ project(slug: \"x\") { " + strings.Repeat("id ", 2400) + "} }",
		"one object many times":       "{ project(slug: \"x\") { " + strings.Repeat("organizations { nodes { id } } ", 200) + "} }",
		"fragments spread everywhere": "{ project(slug: \"x\") { " + numbered(220, "...f%d ") + "} } " + numbered(220, "fragment f%d on Project { id } "),
		"conflicts":                   "{ project(slug: \"x\") { " + strings.Repeat("a: id a: name ", 15) + strings.Repeat("id ", 1000) + "} }",
		"unknown fields":              "{ " + numbered(2400, "f%d ") + "}",
		"a long string":               "{ project(slug: \"" + strings.Repeat("x", 1<<19) + "\") { id } }",
		"comments":                    strings.Repeat("#\n", 1<<18) + "{ project(slug: \"x\") { id } }",
		"many errors":                 "{ project(slug: \"x\") { " + strings.Repeat("id(a: 1) ", 400) + "} }",
	} {
		a := w.send(query, nil)
		if len(a.Errors) > 20 {
			t.Errorf("%s: %d errors", name, len(a.Errors))
		}
	}
}

// TestWithinLimits sends what people send.
func TestWithinLimits(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("x")
	w.organization(projectID, "o")
	for name, query := range map[string]string{
		"introspection":    introspection,
		"a large page":     "{ projects(first: 100) { edges { cursor node { id slug name createdAt updatedAt } } pageInfo { hasNextPage endCursor } totalCount } }",
		"pages in pages":   "{ projects(first: 10) { nodes { organizations(first: 10) { nodes { id connections(first: 5) { totalCount } } } } } }",
		"a deep path":      "{ project(slug: \"x\") { organizations(first: 3) { edges { node { connections(first: 3) { edges { node { certificates { subject } } } } } } } } }",
		"fragments":        "{ a: project(slug: \"x\") { ...p } b: project(slug: \"y\") { ...p } } fragment p on Project { id ...q } fragment q on Project { name }",
		"skip and include": "query($no: Boolean = false) { project(slug: \"x\") { id @include(if: $no) name @skip(if: $no) } }",
	} {
		if a := w.send(query, nil); len(a.Errors) > 0 || a.Data == nil {
			t.Errorf("%s: %+v", name, a.Errors)
		}
	}
}

// introspection is what GraphiQL and code generators ask.
const introspection = `query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name }
  types { ...FullType } directives { name description locations args { ...InputValue } } } }
fragment FullType on __Type { kind name description
  fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
  inputFields { ...InputValue } interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }`
