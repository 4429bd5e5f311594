package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestSCIMLocations compares the addresses of a resource in the body and in the headers of every answer that has it (RFC 7643
// §3.1: meta.location is Content-Location; RFC 7644 §3.3 to §3.5: Location).
func TestSCIMLocations(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	user := object{"schemas": []string{userSchema}, "userName": "ann@acme.example", "active": true}
	made := p.scim(d, http.MethodPost, "Users", user)
	where := "Users/" + made.resource(t, http.StatusCreated)["id"].(string)
	title := patch(object{"op": "replace", "path": "title", "value": "Boss"})
	for name, a := range map[string]answer{
		"POST": made, "GET": p.scim(d, http.MethodGet, where, nil), "PUT": p.scim(d, http.MethodPut, where, user), "PATCH": p.scim(d, http.MethodPatch, where, title),
		"GET with a slash": p.scim(d, http.MethodGet, where+"/", nil), "GET with slashes": p.scim(d, http.MethodGet, where+"//", nil),
		"GET, escaped": p.scim(d, http.MethodGet, strings.Replace(where, "s/", "%73/", 1), nil),
	} {
		want := p.URL + pathOf(d) + "/" + where
		meta, _ := a.json(t)["meta"].(object)
		if meta["location"] != want || a.Header.Get("Location") != want || a.Header.Get("Content-Location") != want || a.Header.Get("ETag") != meta["version"] {
			t.Errorf("%s: %s %v, %s", name, a.Status, a.Header, a.body)
		}
	}
}

// TestSCIMDiscoveryByName reads each part of discovery as clients write its address: escaped, and in any case.
func TestSCIMDiscoveryByName(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	for _, schema := range []string{userSchema, groupSchema, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"} {
		for _, name := range []string{schema, strings.ReplaceAll(schema, ":", "%3A"), url.QueryEscape(schema), strings.ToUpper(schema)} {
			r := p.scim(d, http.MethodGet, "Schemas/"+name, nil).resource(t, http.StatusOK)
			if meta, _ := r["meta"].(object); r["id"] != schema || meta["location"] != p.URL+pathOf(d)+"/Schemas/"+schema {
				t.Errorf("%s: %v at %v", name, r["id"], r["meta"])
			}
		}
	}
	for _, name := range []string{"User", "Group", "user"} {
		if r := p.scim(d, http.MethodGet, "ResourceTypes/"+name, nil).resource(t, http.StatusOK); !strings.EqualFold(r["id"].(string), name) {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// TestSCIMMediaTypes: RFC 7644 §3.8.
func TestSCIMMediaTypes(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	for accept, want := range map[string]string{
		"": "application/scim+json", "*/*": "application/scim+json", "application/scim+json": "application/scim+json", "application/json": "application/json",
		"application/json, text/plain, */*": "application/scim+json", "application/scim+json, application/json;q=0.9": "application/scim+json",
		"Application/JSON; charset=utf-8": "application/json", "text/html": "application/scim+json",
	} {
		for _, path := range []string{"/Users", "/Users/nobody", "/Schemas"} {
			a := p.address(http.MethodGet, pathOf(d)+path, "", "Authorization", "Bearer "+secretOf(d), "Accept", accept)
			if got := a.Header.Get("Content-Type"); got != want {
				t.Errorf("%s to who accepts %q: %s, want %s", path, accept, got, want)
			}
		}
	}
	one := p.newDirectory(object{"type": "onelogin-scim-v2", "tenant": "globex.example"})
	for accept, want := range map[string]string{"": "application/json", "*/*": "application/json", "application/scim+json": "application/scim+json"} {
		a := p.address(http.MethodGet, pathOf(one)+"/Users", "", "Authorization", "Bearer "+secretOf(one), "Accept", accept)
		if got := a.Header.Get("Content-Type"); got != want {
			t.Errorf("OneLogin, which accepts %q: %s, want %s", accept, got, want)
		}
	}
	for _, sent := range []string{"application/scim+json", "application/json", "application/json; charset=utf-8", "application/scim+json;charset=UTF-8"} {
		a := p.address(http.MethodPost, pathOf(d)+"/Users", `{"schemas":["`+userSchema+`"],"userName":"`+url.PathEscape(sent)+`"}`,
			"Authorization", "Bearer "+secretOf(d), "Content-Type", sent)
		if a.StatusCode != http.StatusCreated {
			t.Errorf("%s: %s %s", sent, a.Status, a.body)
		}
	}
}

// TestSCIMPatchOfGroups: a group is the answer, unless it is a large one, or the client is Entra ID, which documents 204.
func TestSCIMPatchOfGroups(t *testing.T) {
	p := start(t, nil)
	for kind, want := range map[string]int{"generic-scim-v2": http.StatusOK, "okta-scim-v2": http.StatusOK, "azure-scim-v2": http.StatusNoContent} {
		d := p.newDirectory(object{"type": kind, "tenant": kind + ".example"})
		ann, bob := p.person(d, "ann"), p.person(d, "bob")
		a := p.scim(d, http.MethodPatch, "Groups/"+p.team(d, "Staff", ann), patch(object{"op": "add", "path": "members", "value": []object{{"value": bob}}}))
		if a.StatusCode != want || (want == http.StatusOK) != (strings.Contains(string(a.body), ann) && strings.Contains(string(a.body), bob)) {
			t.Errorf("%s: %s %s", kind, a.Status, a.body)
		}
		if a.Header.Get("ETag") != `W/"2"` {
			t.Errorf("%s: %v", kind, a.Header)
		}
	}
}

// TestSCIMCreatedTwice: who is provisioned twice is refused, whatever is said of active, and who was deactivated comes back.
func TestSCIMCreatedTwice(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	create := func(name string, more object) answer {
		t.Helper()
		body := object{"schemas": []string{userSchema}, "userName": name, "externalId": "x-" + name}
		for name, value := range more {
			body[name] = value
		}
		return p.scim(d, http.MethodPost, "Users", body)
	}
	yes, no, unsaid := object{"active": true}, object{"active": false}, object{}
	for name, c := range map[string]struct {
		first, second object
		back          bool
	}{
		"nothing twice": {unsaid, unsaid, false}, "nothing, and false": {unsaid, no, false}, "nothing, and true": {unsaid, yes, true},
		"true twice": {yes, yes, false}, "true, and nothing": {yes, unsaid, false}, "true, and false": {yes, no, false},
		"false, and true": {no, yes, true}, "false, and nothing": {no, unsaid, true},
	} {
		first := create(name, c.first).resource(t, http.StatusCreated)["id"]
		second := create(name, c.second)
		if !c.back {
			second.isSCIMError(t, http.StatusConflict)
			if got := second.json(t)["scimType"]; got != "uniqueness" {
				t.Errorf("%s: %v", name, got)
			}
			continue
		}
		if got := second.resource(t, http.StatusCreated)["id"]; got != first {
			t.Errorf("%s: %v came back as %v", name, first, got)
		}
	}
	if got := p.scim(d, http.MethodGet, "Users", nil).listed(t); len(got) != 8 {
		t.Errorf("%d users", len(got))
	}
	// The externalId alone says who comes back, too, but not of one who never was active.
	left := create("left", yes).resource(t, http.StatusCreated)["id"].(string)
	p.scim(d, http.MethodPatch, "Users/"+left, patch(object{"op": "replace", "path": "active", "value": false})).resource(t, http.StatusOK)
	if got := create("renamed", object{"externalId": "x-left", "active": true}).resource(t, http.StatusCreated)["id"]; got != left {
		t.Errorf("%v came back as %v", left, got)
	}
	never := create("never", unsaid).resource(t, http.StatusCreated)["id"]
	if got := create("another", object{"externalId": "x-never"}).resource(t, http.StatusCreated)["id"]; got == never {
		t.Errorf("%v is two people", got)
	}
}
