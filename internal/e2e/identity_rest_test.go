package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// people sends a request to the REST API of people.
func (p *program) people(method, path, body string) answer {
	p.t.Helper()
	return p.do(p.request(method, "/api/v1/identities"+path, strings.NewReader(body), "Content-Type", "application/json", "Authorization", "Bearer "+adminKey))
}

// problem checks an error of RFC 9457.
func (a answer) problem(t *testing.T, status int, code, field string) {
	t.Helper()
	v := a.json(t)
	if f, _ := v["field"].(string); a.StatusCode != status || v["status"] != float64(status) || v["code"] != code || f != field || v["detail"] == "" ||
		a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %v %s, want %d %s at %q", a.Status, a.Header, a.body, status, code, field)
	}
}

func TestPeopleOverREST(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	organization := p.graphql(`query($id: ID!) { directory(id: $id) { organization { id } } }`, object{"id": d["id"]})["directory"].(object)["organization"].(object)["id"].(string)
	at := "?organization=" + organization

	made := p.people(http.MethodPost, "", fmt.Sprintf(`{"organization": %q, "userName": "ann", "password": "correct horse battery", "traits": {"email": "ann@acme.example", "n": 1}, "metadataPublic": {"tier": "gold"}}`, organization))
	ann := made.resource(t, http.StatusCreated)
	id := ann["id"].(string)
	same(t, "created", []any{ann["active"], ann["userName"], ann["addresses"], ann["traits"], ann["metadataPublic"], ann["hasPassword"], ann["organization"], ann["directory"]},
		[]any{true, "ann", []string{"ann@acme.example"}, object{"email": "ann@acme.example", "n": 1}, object{"tier": "gold"}, true, organization, nil})
	if strings.Contains(string(made.body), "horse") {
		t.Errorf("the password is shown: %s", made.body)
	}
	same(t, "read", p.people(http.MethodGet, "/"+id, "").resource(t, 200), ann)

	changed := p.people(http.MethodPatch, "/"+id, `{"active": false, "metadataAdmin": {"x": 1}, "traits": null}`).resource(t, 200)
	same(t, "changed", []any{changed["active"], changed["metadataAdmin"], changed["traits"], changed["userName"]}, []any{false, object{"x": 1}, ann["traits"], "ann"})

	again := p.people(http.MethodPatch, "/"+id, `{"active": false, "metadataAdmin": { "x" : 1 }, "userName": "ann"}`).resource(t, 200)
	same(t, "changed to what it is", again, changed)
	bob := p.person(d, "bob")
	var told []string // until bob was made
	for try := 0; len(told) == 0 || told[len(told)-1] != "IdentityCreated "+bob; try++ {
		if try == 300 {
			t.Fatalf("bob is never told of: %v", told)
		}
		time.Sleep(100 * time.Millisecond)
		told = nil
		for _, e := range p.get("/api/v1/events?type=IdentityCreated,IdentityUpdated&project="+testProduct, "Authorization", "Bearer "+adminKey).resource(t, 200)["events"].([]any) {
			told = append(told, e.(object)["type"].(string)+" "+e.(object)["resourceId"].(string))
		}
	}
	same(t, "each change is told once", told, []string{"IdentityCreated " + id, "IdentityUpdated " + id, "IdentityCreated " + bob})

	for query, want := range map[string][]any{
		"&address=ANN@acme.example": {id}, "&userName=Ann": {id}, "&address=bob@acme.example": {bob}, "&userName=nobody": {}, "&externalId=x": {},
	} {
		list, _ := p.people(http.MethodGet, at+query, "").resource(t, 200)["identities"].([]any)
		got := []any{}
		for _, i := range list {
			got = append(got, i.(object)["id"])
		}
		same(t, query, got, want)
	}
	time.Sleep(2 * time.Millisecond)
	eve := p.person(d, "eve")
	var got []any
	for after := ""; ; {
		page := p.people(http.MethodGet, at+"&limit=2&after="+after, "").resource(t, 200)
		for _, i := range page["identities"].([]any) {
			got = append(got, i.(object)["id"])
		}
		next, more := page["next"].(string)
		if !more {
			break
		}
		after = next
	}
	same(t, "newest first, each once", got, []any{eve, bob, id})

	p.people(http.MethodGet, "", "").problem(t, 400, "required", "organization")
	p.people(http.MethodGet, "?organization=acme.example", "").problem(t, 404, "not_found", "organization")
	p.people(http.MethodGet, at+"&user_name=ann", "").problem(t, 400, "unknown_parameter", "user_name")
	p.people(http.MethodGet, at+"&limit=0", "").problem(t, 400, "invalid", "limit")
	p.people(http.MethodGet, at+"&limit=101", "").problem(t, 400, "invalid", "limit")
	p.people(http.MethodGet, at+"&after=junk", "").problem(t, 400, "invalid_cursor", "after")
	p.people(http.MethodGet, at+"&address=a@b.example&userName=c", "").problem(t, 400, "ambiguous", "address")
	for _, nonsense := range []string{"%00", "%ff", strings.Repeat("a", 5000)} {
		p.people(http.MethodGet, "?organization="+nonsense, "").problem(t, 404, "not_found", "organization")
	}
	p.people(http.MethodPost, "", `{}`).problem(t, 400, "required", "organization")
	p.people(http.MethodPost, "", `{"organization": "nobody"}`).problem(t, 404, "not_found", "organization")
	p.people(http.MethodPost, "", fmt.Sprintf(`{"organization": %q, "userName": "ANN"}`, organization)).problem(t, 409, "uniqueness", "")
	for _, body := range []string{``, `[]`, `{"traits": {}} {}`, `{"unknown": 1}`, `{"active": "yes"}`} {
		p.people(http.MethodPatch, "/"+id, body).problem(t, 400, "bad_request", "")
	}
	p.people(http.MethodPatch, "/"+id, `{"organization": "other"}`).problem(t, 400, "immutable", "organization")
	p.people(http.MethodPatch, "/"+id, `{"userName": " ann"}`).problem(t, 400, "invalid", "userName")
	p.people(http.MethodPatch, "/"+id, `{"traits": [1]}`).problem(t, 400, "invalid", "traits")
	p.people(http.MethodPatch, "/"+id, `{"traits": {"x": "`+strings.Repeat("x", 1<<20)+`"}}`).problem(t, 413, "too_large", "")
	p.people(http.MethodPatch, "/"+bob, `{"userName": "rob"}`).problem(t, 400, "provisioned", "userName")
	p.people(http.MethodPut, "/"+id, `{}`).problem(t, 405, "method_not_allowed", "")
	p.do(p.request(http.MethodPatch, "/api/v1/identities/"+id, strings.NewReader(`{}`), "Content-Type", "text/plain", "Authorization", "Bearer "+adminKey)).
		problem(t, 400, "unsupported_media_type", "")
	for _, authorization := range []string{"", "Bearer wrong", "Api-Key " + adminKey} {
		p.get("/api/v1/identities"+at, "Authorization", authorization).problem(t, 401, "unauthorized", "")
	}

	if head := p.people(http.MethodHead, "/"+id, ""); head.StatusCode != 200 || len(head.body) > 0 {
		t.Errorf("HEAD: %s %s", head.Status, head.body)
	}

	for _, gone := range []string{id, bob} {
		p.people(http.MethodDelete, "/"+gone, "").empty(t, 204)
		p.people(http.MethodGet, "/"+gone, "").problem(t, 404, "not_found", "")
		p.people(http.MethodDelete, "/"+gone, "").problem(t, 404, "not_found", "")
	}
	p.scim(d, http.MethodGet, "Users/"+bob, nil).isSCIMError(t, 404)
}

func TestGroupsOfPeopleOverREST(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	ann := p.person(d, "ann")
	group := func(name, member string) string {
		return p.scim(d, http.MethodPost, "Groups", object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": name,
			"externalId": "x-" + name, "members": []object{{"value": member}}}).resource(t, http.StatusCreated)["id"].(string)
	}
	inner := group("Inner", ann)
	time.Sleep(2 * time.Millisecond) // ids have the order of their times
	outer := group("Outer", inner)
	ids := func(query string) (got []string, next any) {
		page := p.people(http.MethodGet, "/"+ann+"/groups"+query, "").resource(t, 200)
		for _, g := range page["groups"].([]any) {
			got = append(got, g.(object)["id"].(string))
		}
		return got, page["next"]
	}
	for query, want := range map[string][]string{"": {inner}, "?effective=false": {inner}, "?effective=true": {inner, outer},
		"?effective=true&limit=1": {inner}, "?effective=true&limit=1&after=" + inner: {outer}, "?effective=true&after=" + outer: nil} {
		got, next := ids(query)
		same(t, query, got, want)
		same(t, query+" goes on", next != nil, query == "?effective=true&limit=1")
	}
	shown := p.people(http.MethodGet, "/"+ann+"/groups", "").resource(t, 200)["groups"]
	same(t, "shown", shown, []object{{"id": inner, "displayName": "Inner", "externalId": "x-Inner"}})
	made := p.people(http.MethodPost, "", fmt.Sprintf(`{"organization": %q}`, p.people(http.MethodGet, "/"+ann, "").resource(t, 200)["organization"]))
	same(t, "of nobody's directory", p.people(http.MethodGet, "/"+made.resource(t, 201)["id"].(string)+"/groups", "").resource(t, 200), object{"groups": []any{}})
	p.people(http.MethodGet, "/nobody/groups", "").problem(t, 404, "not_found", "")
	p.people(http.MethodGet, "/"+ann+"/groups?effective=yes", "").problem(t, 400, "invalid", "effective")
	p.people(http.MethodGet, "/"+ann+"/groups?limit=0", "").problem(t, 400, "invalid", "limit")
	p.people(http.MethodPost, "/"+ann+"/groups", "{}").problem(t, 405, "method_not_allowed", "")
	p.get("/api/v1/identities/"+ann+"/groups", "Authorization", "Bearer wrong").problem(t, 401, "unauthorized", "")
}
