package scim

import (
	"fmt"
	"strings"
	"testing"
)

// TestSplitMembers: what of a group's PATCH concerns members, and what is left.
func TestSplitMembers(t *testing.T) {
	for name, c := range map[string]struct{ operations, rest, members string }{
		"add":                         {`[{"op":"add","path":"members","value":[{"value":"a","type":"user","display":"A"},{"value":"b"}]}]`, ``, `+ a/User/A b//`},
		"add one":                     {`[{"op":"Add","path":"MEMBERS","value":{"value":"a","$ref":null}}]`, ``, `+ a//`},
		"add texts":                   {`[{"op":"add","path":"members","value":["a","b","a"]}]`, ``, `+ a// b//`},
		"add by sub-attribute":        {`[{"op":"add","path":"members.value","value":"a"}]`, ``, `+ a//`},
		"add nobody":                  {`[{"op":"add","path":"members","value":[]}]`, ``, ``},
		"qualified":                   {`[{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:Group:members","value":["a"]}]`, ``, `+ a//`},
		"remove by filter":            {`[{"op":"remove","path":"members[value eq \"a\"]"}]`, ``, `- a//`},
		"remove by filter, with sub":  {`[{"op":"remove","path":"members[value eq \"a\"].value"}]`, ``, `- a//`},
		"remove by several":           {`[{"op":"remove","path":"members[value eq \"a\" or (value eq \"b\" or value eq \"a\")]"}]`, ``, `- a// b//`},
		"remove by type":              {`[{"op":"remove","path":"members[type eq \"User\"]"}]`, ``, `- ?`},
		"remove by both":              {`[{"op":"remove","path":"members[value eq \"a\" and type eq \"User\"]"}]`, ``, `- ?`},
		"remove by list":              {`[{"op":"Remove","path":"members","value":[{"value":"a"},{"value":"b"}]}]`, ``, `- a// b//`},
		"remove by empty list":        {`[{"op":"remove","path":"members","value":[]}]`, ``, ``},
		"remove all":                  {`[{"op":"remove","path":"members"}]`, ``, `0`},
		"remove all by null":          {`[{"op":"remove","path":"members","value":null}]`, ``, `0`},
		"replace":                     {`[{"op":"replace","path":"members","value":[{"value":"a"}]}]`, ``, `= a//`},
		"replace by nobody":           {`[{"op":"replace","path":"members","value":[]}]`, ``, `0`},
		"replace by null":             {`[{"op":"replace","path":"members","value":null}]`, ``, `0`},
		"others":                      {`[{"op":"replace","path":"displayName","value":"x"},{"op":"remove","path":"externalId"}]`, `replace displayName "x"; remove externalId `, ``},
		"in order":                    {`[{"op":"add","path":"members","value":"a"},{"op":"replace","path":"displayName","value":"x"},{"op":"remove","path":"members[value eq \"a\"]"}]`, `replace displayName "x"`, `+ a//; - a//`},
		"without a path":              {`[{"op":"replace","value":{"displayName":"x","members":[{"value":"a"}],"externalId":"e"}}]`, `replace  {"displayName":"x","externalId":"e"}`, `= a//`},
		"without a path, alone":       {`[{"op":"add","value":{"Members":[{"value":"a"}]}}]`, ``, `+ a//`},
		"without a path, none":        {`[{"op":"add","value":{"displayName":"x"}}]`, `add  {"displayName":"x"}`, ``},
		"under the schema":            {`[{"op":"add","value":{"externalId":"e","urn:ietf:params:scim:schemas:core:2.0:Group":{"members":["a"],"displayName":"x"}}}]`, `add  {"externalId":"e","displayName":"x"}`, `+ a//`},
		"the schema as path":          {`[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:Group","value":{"members":["a"]}}]`, ``, `= a//`},
		"qualified, without a path":   {`[{"op":"replace","value":{"urn:ietf:params:scim:schemas:core:2.0:Group:members":["a"]}}]`, ``, `= a//`},
		"nobody, without a path":      {`[{"op":"replace","value":{"members":[]}}]`, ``, `0`},
		"a mistake elsewhere is left": {`[{"op":"replace","path":"shoe","value":"x"},{"op":"remove"},{"op":"add","value":"x"}]`, `replace shoe "x"; remove  ; add  "x"`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			ops, err := ReadPatch([]byte(`{"Operations":` + c.operations + `}`))
			if err != nil {
				t.Fatal(err)
			}
			rest, members, err := SplitMembers(ops)
			if err != nil {
				t.Fatal(err)
			}
			var left, changes []string
			for _, op := range rest {
				left = append(left, op.Op+" "+op.Path+" "+string(op.Value))
			}
			for _, m := range members {
				changes = append(changes, showChange(m))
			}
			if got := strings.Join(left, "; "); got != c.rest {
				t.Errorf("left: %s, want %s", got, c.rest)
			}
			if got := strings.Join(changes, "; "); got != c.members {
				t.Errorf("members: %s, want %s", got, c.members)
			}
		})
	}
}

func showChange(c MemberChange) string {
	s := map[MemberKind]string{AddMembers: "+", RemoveMembers: "-", ReplaceMembers: "=", ClearMembers: "0"}[c.Kind]
	if c.Filter != nil {
		s += " ?"
	}
	for _, m := range c.Members {
		s += fmt.Sprintf(" %s/%s/%s", m.Value, m.Type, m.Display)
	}
	return s
}

func TestSplitMembersRefuses(t *testing.T) {
	for operation, scimType := range map[string]string{
		`{"op":"add","path":"members","value":5}`:                                               TypeInvalidValue,
		`{"op":"add","path":"members","value":[5]}`:                                             TypeInvalidValue,
		`{"op":"add","path":"members","value":[{"display":"A"}]}`:                               TypeInvalidValue,
		`{"op":"add","path":"members","value":[{"value":""}]}`:                                  TypeInvalidValue,
		`{"op":"add","path":"members","value":[{"value":"a","type":"Robot"}]}`:                  TypeInvalidValue,
		`{"op":"add","path":"members","value":[null]}`:                                          TypeInvalidValue,
		`{"op":"add","path":"members","value":[{"value":"` + strings.Repeat("a", 2000) + `"}]}`: TypeInvalidValue,
		`{"op":"add","path":"members","value":null}`:                                            TypeInvalidValue,
		`{"op":"add","path":"members"}`:                                                         TypeInvalidValue,
		`{"op":"replace","path":"members"}`:                                                     TypeInvalidValue,
		`{"op":"remove","path":"members","value":[{"display":"A"}]}`:                            TypeInvalidValue,
		`{"op":"replace","value":{"members":7}}`:                                                TypeInvalidValue,
		`{"op":"replace","path":"members[value eq \"a\"].value","value":"b"}`:                   TypeMutability,
		`{"op":"replace","path":"members[value eq \"a\"].display","value":"b"}`:                 TypeMutability,
		`{"op":"add","path":"members[value eq \"a\"]","value":{"value":"b"}}`:                   TypeMutability,
		`{"op":"remove","path":"members.type"}`:                                                 TypeMutability,
		`{"op":"remove","path":"members[value eq \"a\"].display"}`:                              TypeMutability,
		`{"op":"remove","path":"members.value"}`:                                                TypeMutability,
	} {
		ops, err := ReadPatch([]byte(`{"Operations":[` + operation + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		rest, members, err := SplitMembers(ops)
		if wantError(t, err, scimType); rest != nil || members != nil {
			t.Errorf("%s: %v %v", operation, rest, members)
		}
	}
	// A broken path is left for Patch, which refuses it.
	ops, _ := ReadPatch([]byte(`{"Operations":[{"op":"remove","path":"members[value eq \"a\""},{"op":"remove","path":"members[shoe eq 1]"}]}`))
	rest, members, err := SplitMembers(ops)
	if err != nil || len(rest) != 2 || members != nil {
		t.Fatal(rest, members, err)
	}
	_, err = Group.Patch(read(t, Group, `{"displayName":"g"}`), rest)
	wantError(t, err, TypeInvalidPath)
}

func TestMemberChangeMatch(t *testing.T) {
	match := func(filter string, m Member) bool {
		_, members, err := SplitMembers([]Operation{{Op: "remove", Path: "members[" + filter + "]"}})
		if err != nil || len(members) != 1 {
			t.Fatal(filter, members, err)
		}
		return members[0].Match(m)
	}
	for filter, want := range map[string]bool{
		`type eq "user"`: true, `type ne "Group"`: true, `value sw "a" and type pr`: true, `not (value eq "a")`: false, `display co "LIC"`: true,
		`display pr and type eq "Group"`: false,
	} {
		if match(filter, Member{"a", "User", "Alice"}) != want {
			t.Errorf("%s: not %v", filter, want)
		}
	}
	if (MemberChange{Kind: RemoveMembers}).Match(Member{Value: "a"}) {
		t.Error("a change without a filter matches")
	}
}

func TestSplitManyMembers(t *testing.T) {
	var b strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&b, `,{"value":"u%d"}`, i)
	}
	ops, err := ReadPatch([]byte(`{"Operations":[{"op":"add","path":"members","value":[` + b.String()[1:] + `]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, members, err := SplitMembers(ops)
	if err != nil || len(members) != 1 || len(members[0].Members) != 50_000 {
		t.Error(len(members), err)
	}
}
