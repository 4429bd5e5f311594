package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestMappingsOfTheDocumentation provisions people through each mapping of docs/mapping.md: one of whom everything is known, and
// one of whom next to nothing is.
func TestMappingsOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	ann := object{"schemas": []string{userSchema, enterprise}, "userName": "Ann@acme.example", "externalId": "x1", "active": true, "title": "Engineer",
		"displayName": "Ann Lee", "name": object{"givenName": "Ann", "familyName": "Lee"}, enterprise: object{"department": "R&D", "employeeNumber": "7"},
		"emails": []object{{"value": "ann@acme.example", "type": "work", "primary": true}}}
	bob := object{"schemas": []string{userSchema}, "userName": "bob@acme.example"}
	wants := []struct{ ann, bob object }{
		{object{"email": "ann@acme.example", "name": object{"first": "Ann", "last": "Lee"}}, object{"email": "bob@acme.example"}},
		{object{"email": "ann@acme.example", "display": "Ann Lee"}, object{"email": "bob@acme.example", "display": ""}},
		{object{"email": "ann@acme.example", "name": "Ann Lee"}, object{"email": "bob@acme.example", "name": "bob@acme.example"}},
		{object{"email": "Ann@acme.example", "name": "Ann Lee"}, object{"email": "bob@acme.example", "name": ""}},
	}
	snippets := regexp.MustCompile("(?s)```jsonnet\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(snippets) != len(wants) {
		t.Fatalf("%d mappings were found", len(snippets))
	}
	p := start(t, nil)
	var d object
	for n, want := range wants {
		d = p.newDirectory(object{"tenant": fmt.Sprintf("acme%d.example", n)})
		p.mutate("updateDirectory", "UpdateDirectoryInput", "directory { id }", object{"id": d["id"], "mapping": snippets[n][1]})
		for _, c := range []struct{ user, identity object }{{ann, object{"active": true, "traits": want.ann}}, {bob, object{"active": false, "traits": want.bob}}} {
			made := p.scim(d, http.MethodPost, "Users", c.user).resource(t, http.StatusCreated)
			same(t, snippets[n][1], p.graphql(`query($id: ID!) { identity(id: $id) { active traits } }`, object{"id": made["id"]})["identity"], c.identity)
		}
	}
	guest := p.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": "guest@elsewhere.example"})
	if detail, _ := guest.json(t)["detail"].(string); guest.StatusCode != http.StatusBadRequest || !strings.Contains(detail, "line ") || !strings.Contains(detail, "a guest") {
		t.Errorf("%s %s", guest.Status, guest.body)
	}
}
