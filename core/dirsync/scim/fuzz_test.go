package scim

import (
	"encoding/json"
	"errors"
	"testing"
)

// clear4xx checks that an error is an answer to a client.
func clear4xx(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.Type == "" || e.Detail == "" || len(e.Detail) > 1000 {
		t.Fatalf("no clear answer: %#v", err)
	}
}

// FuzzFilter: a filter is refused clearly, or it can be asked and planned with, and is the negation of its negation.
func FuzzFilter(f *testing.F) {
	for _, s := range badFilters() {
		if len(s) < 500 {
			f.Add(s)
		}
	}
	f.Add(`userName sw "a" and not (emails[type eq "work" and value co "@x"] or title pr) or urn:acme:1.0:x.y ge 5`)
	f.Add(`meta.lastModified gt "2011-05-13T04:42:34Z" and active eq "True" or nickName eq null`)
	r := jensen(f)
	f.Fuzz(func(t *testing.T, s string) {
		filter, err := ParseFilter(User, s)
		if err != nil {
			clear4xx(t, err)
			return
		}
		got := filter.Match(r)
		for _, path := range []string{"id", "userName", "emails.value", "meta.lastModified"} {
			filter.Equal(path)
			filter.Prefix(path)
			filter.Bounds(path)
		}
		if values, ok := filter.AnyOf("userName"); ok && got {
			found := false
			for _, v := range values {
				found = found || fold(v) == fold(r["userName"].(string))
			}
			if !found {
				t.Fatalf("%q matches, but AnyOf says %q", s, values)
			}
		}
		if not, err := ParseFilter(User, "not ("+s+")"); err == nil && not.Match(r) == got {
			t.Fatalf("%q and its negation are both %v", s, got)
		}
	})
}

// FuzzRead: a body is refused clearly, or what is read can be read again and stays the same.
func FuzzRead(f *testing.F) {
	for _, c := range badBodies() {
		if len(c[0]) < 500 {
			f.Add(c[0])
		}
	}
	f.Add(alice)
	f.Add(bjensen)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := User.Read([]byte(body))
		if err != nil {
			clear4xx(t, err)
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("%q is no JSON", body)
		}
		again, err := User.Read([]byte(show(r)))
		if err != nil || !Equal(r, again) {
			t.Fatalf("%s\nis read again as\n%s\n%v", show(r), show(again), err)
		}
	})
}

// FuzzPatch: a PATCH is refused clearly and changes nothing, or what it makes is a resource that Read takes, and "changed"
// is the truth.
func FuzzPatch(f *testing.F) {
	for body := range badPatches() {
		if len(body) < 500 {
			f.Add(body)
		}
	}
	f.Add(`{"Operations":[{"op":"add","path":"emails[type eq \"work\" and primary eq true].value","value":"x"},{"op":"replace","value":{"name.givenName":"g","urn:a:b:c":{"d":[1]}}}]}`)
	f.Add(`{"Operations":[{"op":"remove","path":"urn:acme:scim:2.0:User:cars[plate eq \"B-1\"].value"},{"op":"add","path":"urn:acme:scim:2.0:User:tags","value":["x"]}]}`)
	user, group := read(f, User, bjensen), read(f, Group, `{"displayName":"g","members":[{"value":"a","type":"User"},{"value":"b"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		ops, err := ReadPatch([]byte(body))
		if err != nil {
			clear4xx(t, err)
			return
		}
		for kind, start := range map[*ResourceType]Resource{User: user, Group: group} {
			r := Clone(start)
			changed, err := kind.Patch(r, ops)
			if changed == Equal(r, start) {
				t.Fatalf("%s: changed is %v", body, changed)
			}
			if err != nil {
				clear4xx(t, err)
				continue
			}
			again, err := kind.Read([]byte(show(r)))
			if err != nil || !Equal(r, again) {
				t.Fatalf("%s\nmakes\n%s\nwhich is read as\n%s\n%v", body, show(r), show(again), err)
			}
		}
		if _, _, err := SplitMembers(ops); err != nil {
			clear4xx(t, err)
		}
	})
}
