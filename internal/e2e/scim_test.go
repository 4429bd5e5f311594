package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
)

const bulkSchema = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

// address sends a request with a body as it is, to an address that is not below a directory's own.
func (p *program) address(method, path, body string, header ...string) answer {
	p.t.Helper()
	return p.do(p.request(method, path, strings.NewReader(body), append([]string{"Content-Type", "application/scim+json"}, header...)...))
}

func secretOf(d object) string { return d["scim"].(object)["secret"].(string) }
func pathOf(d object) string   { return d["scim"].(object)["path"].(string) }

// clientIDOf is the directory's client id, which Polis's API does not show.
func (p *program) clientIDOf(d object) string {
	p.t.Helper()
	found := p.graphql(`query($id: ID!) {directory(id: $id) {clientId}}`, object{"id": d["id"]})
	return found["directory"].(map[string]any)["clientId"].(string)
}

func TestSCIMAddresses(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	id := p.person(d, "ann")
	client, bearer := p.clientIDOf(d), "Bearer "+secretOf(d)
	for _, base := range []string{pathOf(d), "/scim/" + client + "/v2", "/projects/" + testProduct + "/scim/" + client + "/v2",
		"/projects/" + p.projectID(testProduct) + "/scim/" + client + "/v2"} {
		r := p.address(http.MethodGet, base+"/Users/"+id, "", "Authorization", bearer)
		meta, _ := r.resource(t, http.StatusOK)["meta"].(object)
		if want := p.URL + base + "/Users/" + id; meta["location"] != want {
			t.Errorf("%s: location %v, want %s", base, meta["location"], want)
		}
		if got := r.Header.Get("Content-Type"); got != "application/scim+json" {
			t.Errorf("%s: %s", base, got)
		}
	}
	// An organization's directories may be seen elsewhere.
	found := p.graphql(`query($id: ID!) {directory(id: $id) {organization {id}}}`, object{"id": d["id"]})
	p.mutate("updateOrganizationSettings", "UpdateOrganizationSettingsInput", "organization {id}",
		object{"organizationId": found["directory"].(object)["organization"].(object)["id"], "scimBaseUrl": "https://scim.acme.example"})
	time.Sleep(1100 * time.Millisecond) // settings are believed for a second
	if a := p.scim(d, http.MethodGet, "Users/"+id, nil); !strings.Contains(string(a.body), `"https://scim.acme.example`+pathOf(d)+"/Users/"+id+`"`) {
		t.Errorf("%s", a.body)
	}
	// The project goes by host name where one has it, else it is the oldest. Addresses are at that host then.
	p.graphql(`mutation {createProject(input: {slug: "hr", host: "hr.example"}) {errors {message}}}`, nil)
	at := func(d object, client, host string) answer {
		r := p.request(http.MethodGet, "/scim/"+client+"/v2/ResourceTypes/User", nil, "Authorization", "Bearer "+secretOf(d))
		r.Host = host
		return p.do(r)
	}
	at(d, client, "hr.example").isSCIMError(t, http.StatusUnauthorized)
	theirs := p.newDirectory(object{"product": "hr", "tenant": "globex.example"})
	at(theirs, p.clientIDOf(theirs), "other.example").isSCIMError(t, http.StatusUnauthorized)
	for _, host := range []string{"hr.example", "hr.example:8443"} {
		meta, _ := at(theirs, p.clientIDOf(theirs), host).resource(t, http.StatusOK)["meta"].(object)
		if want := "http://" + host + "/scim/" + p.clientIDOf(theirs) + "/v2/ResourceTypes/User"; meta["location"] != want {
			t.Errorf("at %s: %v, want %s", host, meta["location"], want)
		}
	}
}

// TestSCIMTellsStrangersNothing compares what the wrong get: it does not depend on what there is.
func TestSCIMTellsStrangersNothing(t *testing.T) {
	p := start(t, nil)
	d, other, off := p.newDirectory(nil), p.newDirectory(object{"tenant": "globex.example"}), p.newDirectory(nil)
	id, client := p.person(d, "ann"), p.clientIDOf(d)
	p.admin(http.MethodPatch, "/api/v1/dsync/"+off["id"].(string), object{"deactivated": true})
	wrong := map[string][]string{
		"nothing": nil, "another directory's secret": {"Authorization", "Bearer " + secretOf(other)}, "a wrong secret": {"Authorization", "Bearer ds_wrong"},
		"an empty secret": {"Authorization", "Bearer "}, "another scheme": {"Authorization", "Basic " + secretOf(d)}, "an admin key": {"Authorization", "Bearer " + adminKey},
	}
	for name, header := range wrong {
		for _, path := range []string{pathOf(d) + "/Users", pathOf(d) + "/Users/" + id, pathOf(d) + "/ServiceProviderConfig", pathOf(d) + "/nothing", "/scim/" + client + "/v2/Users",
			"/scim/unknown/v2/Users", "/projects/unknown/scim/" + client + "/v2/Users", "/api/scim/v2.0/unknown/Users", "/api/scim/v2.0/01a2133a-3822-7bfb-a280-c29f090d058a/Users"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
				a := p.address(method, path, "{}", header...)
				if a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" || strings.Contains(string(a.body), "not active") {
					t.Errorf("%s, %s %s: %s %s", name, method, path, a.Status, a.body)
				}
				same(t, name+" at "+path, string(a.body), string(p.address(http.MethodGet, "/scim/unknown/v2/Users", "").body))
			}
		}
	}
	p.address(http.MethodGet, pathOf(off)+"/Users", "", "Authorization", "Bearer "+secretOf(off)).isSCIMError(t, http.StatusUnauthorized)
	if got := p.scim(d, http.MethodGet, "Users", nil).listed(t); len(got) != 1 {
		t.Errorf("%v", got)
	}
	// Another directory's people are not there.
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		body := object{"schemas": []string{userSchema}, "userName": "mallory@acme.example"}
		if method == http.MethodPatch {
			body = patch(object{"op": "replace", "path": "active", "value": false})
		}
		p.scim(other, method, "Users/"+id, body).isSCIMError(t, http.StatusNotFound)
	}
	p.scim(other, http.MethodPost, "Groups", object{"schemas": []string{groupSchema}, "displayName": "Thieves", "members": []object{{"value": id}}}).isSCIMError(t, http.StatusBadRequest)
}

// TestSCIMRefuses is what bad input gets: never a 5xx, and nothing is written.
func TestSCIMRefuses(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	id := p.person(d, "ann")
	group := p.team(d, "Staff", id)
	user := func(more string) string {
		return `{"schemas":["` + userSchema + `"],"userName":"eve@acme.example"` + more + `}`
	}
	change := func(op string) string { return `{"schemas":["` + patchSchema + `"],"Operations":[` + op + `]}` }
	filter := func(text string) string { return "Users?filter=" + url.QueryEscape(text) }
	for name, c := range map[string]struct {
		method, resource, body string
		status                 int
		scimType               string
	}{
		"malformed":                  {"POST", "Users", `{"userName":`, 400, "invalidSyntax"},
		"nothing":                    {"POST", "Users", ``, 400, "invalidSyntax"},
		"a list":                     {"POST", "Users", `[]`, 400, "invalidSyntax"},
		"two bodies":                 {"POST", "Users", user("") + user(""), 400, "invalidSyntax"},
		"a name twice":               {"POST", "Users", user(`,"username":"bob"`), 400, "invalidSyntax"},
		"half a surrogate":           {"POST", "Users", user(`,"title":"\ud800"`), 400, "invalidSyntax"},
		"deep":                       {"POST", "Users", user(`,"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), 400, "invalidSyntax"},
		"a number for a name":        {"POST", "Users", `{"schemas":["` + userSchema + `"],"userName":1}`, 400, "invalidValue"},
		"no name":                    {"POST", "Users", `{"schemas":["` + userSchema + `"],"active":true}`, 400, "invalidValue"},
		"two primaries":              {"POST", "Users", user(`,"emails":[{"value":"a@b.c","primary":true},{"value":"d@b.c","primary":true}]`), 400, "invalidValue"},
		"no time zone":               {"POST", "Users", user(`,"timezone":"Mars/Olympus"`), 400, "invalidValue"},
		"a taken name":               {"POST", "Users", `{"schemas":["` + userSchema + `"],"userName":"ANN@acme.example"}`, 409, "uniqueness"},
		"a taken group":              {"POST", "Groups", `{"schemas":["` + groupSchema + `"],"displayName":"STAFF"}`, 409, "uniqueness"},
		"too large":                  {"POST", "Users", user(`,"title":"` + strings.Repeat("x", 1<<20) + `"`), 413, ""},
		"a member that is not there": {"POST", "Groups", `{"schemas":["` + groupSchema + `"],"displayName":"G","members":[{"value":"nobody"}]}`, 400, "invalidValue"},
		"a group in itself":          {"PATCH", "Groups/" + group, change(`{"op":"add","path":"members","value":[{"value":"` + group + `"}]}`), 400, "invalidValue"},
		"an unknown operation":       {"PATCH", "Users/" + id, change(`{"op":"increment","path":"title"}`), 400, "invalidSyntax"},
		"an unknown path":            {"PATCH", "Users/" + id, change(`{"op":"replace","path":"shoeSize","value":1}`), 400, "invalidPath"},
		"a bad path":                 {"PATCH", "Users/" + id, change(`{"op":"replace","path":"emails[type eq","value":1}`), 400, ""},
		"the id":                     {"PATCH", "Users/" + id, change(`{"op":"replace","path":"id","value":"x"}`), 400, "mutability"},
		"nothing there to remove":    {"PATCH", "Users/" + id, change(`{"op":"remove"}`), 400, "noTarget"},
		"half of it right":           {"PATCH", "Users/" + id, change(`{"op":"replace","path":"title","value":"x"},{"op":"replace","path":"nickName","value":[1]}`), 400, "invalidValue"},
		"no operations":              {"PATCH", "Users/" + id, `{"schemas":["` + patchSchema + `"]}`, 400, ""},
		"too many operations":        {"PATCH", "Users/" + id, change(strings.Repeat(`{"op":"remove","path":"title"},`, 1001) + `{"op":"remove","path":"title"}`), 400, ""},
		"somebody else":              {"PATCH", "Users/nobody", change(`{"op":"remove","path":"title"}`), 404, ""},
		"an id that is none":         {"GET", "Users/" + strings.Repeat("x", 3000), ``, 404, ""},
		"a filter of nothing":        {"GET", filter("and"), ``, 400, "invalidFilter"},
		"an unknown attribute":       {"GET", filter(`shoeSize eq 1`), ``, 400, "invalidFilter"},
		"a deep filter":              {"GET", filter(strings.Repeat("(", 1000) + `userName pr` + strings.Repeat(")", 1000)), ``, 400, "invalidFilter"},
		"a long filter":              {"GET", filter(`userName eq "` + strings.Repeat("x", 9000) + `"`), ``, 400, "invalidFilter"},
		"a filter by password":       {"GET", filter(`password sw "a"`), ``, 400, "invalidFilter"},
		"a hostile text":             {"GET", filter(`userName eq "\u0000"`), ``, 400, "invalidFilter"},
		"an unknown order":           {"GET", "Users?sortBy=shoeSize", ``, 400, ""},
		"a sideways order":           {"GET", "Users?sortBy=userName&sortOrder=sideways", ``, 400, "invalidValue"},
		"a count that is none":       {"GET", "Users?count=many", ``, 400, "invalidCount"},
		"a page of nobody":           {"GET", "Users?cursor=&count=0", ``, 400, "invalidCount"},
		"a start that is none":       {"GET", "Users?startIndex=last", ``, 400, "invalidValue"},
		"a cursor that is none":      {"GET", "Users?cursor=" + strings.Repeat("z", 40), ``, 400, "invalidCursor"},
		"a query that is none":       {"GET", "Users?filter=%zz", ``, 400, "invalidSyntax"},
		"an unknown projection":      {"GET", "Users?attributes=" + strings.Repeat("a,", 200), ``, 400, ""},
		"me":                         {"GET", "Me", ``, 501, ""},
		"somewhere":                  {"GET", "Robots", ``, 404, ""},
		"a verb":                     {"PATCH", "Users", ``, 405, ""},
		"a search that is none":      {"POST", "Users/.search", `{"filter":"userName pr"}`, 400, "invalidSyntax"},
		"bulk that is none":          {"POST", "Bulk", `{"Operations":[]}`, 400, "invalidSyntax"},
		"bulk of nothing":            {"POST", "Bulk", `{"schemas":["` + bulkSchema + `"]}`, 400, "invalidSyntax"},
		"bulk of too many":           {"POST", "Bulk", `{"schemas":["` + bulkSchema + `"],"Operations":[` + strings.Repeat(`{},`, 1000) + `{}]}`, 413, ""},
		"bulk with an id twice":      {"POST", "Bulk", `{"schemas":["` + bulkSchema + `"],"Operations":[{"bulkId":"a"},{"bulkId":"a"}]}`, 400, "invalidValue"},
		"schemas cannot be filtered": {"GET", "Schemas?filter=" + url.QueryEscape(`id pr`), ``, 403, ""},
		"nor can resource types":     {"GET", "ResourceTypes?filter=" + url.QueryEscape(`id pr`), ``, 403, ""},
		"nor can the provider":       {"GET", "ServiceProviderConfig?filter=" + url.QueryEscape(`patch pr`), ``, 403, ""},
		"a schema that is not there": {"GET", "Schemas/urn:x", ``, 404, ""},
		"bytes that are no text":     {"POST", "Users", "{\"userName\":\"\xff\xfe\"}", 400, "invalidSyntax"},
	} {
		t.Run(name, func(t *testing.T) {
			a := p.address(c.method, pathOf(d)+"/"+c.resource, c.body, "Authorization", "Bearer "+secretOf(d))
			a.isSCIMError(t, c.status)
			if got, _ := a.json(t)["scimType"].(string); c.scimType != "" && got != c.scimType {
				t.Errorf("scimType %q, want %q: %s", got, c.scimType, a.body)
			}
		})
	}
	if got := p.scim(d, http.MethodGet, "Users", nil).listed(t); len(got) != 1 {
		t.Errorf("users %v", got)
	}
	if a := p.scim(d, http.MethodGet, "Users/"+id, nil); a.Header.Get("ETag") != `W/"1"` || strings.Contains(string(a.body), "title") {
		t.Errorf("%s %s", a.Header.Get("ETag"), a.body)
	}
	if a := p.scim(d, http.MethodGet, "Groups", nil); len(a.listed(t)) != 1 || !strings.Contains(string(a.body), id) {
		t.Errorf("%s", a.body)
	}
}

func TestSCIMVersions(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	id := p.person(d, "ann")
	bearer := []string{"Authorization", "Bearer " + secretOf(d)}
	send := func(method, body string, header ...string) answer {
		return p.address(method, pathOf(d)+"/Users/"+id, body, append(bearer, header...)...)
	}
	title := func(text string) string {
		return `{"schemas":["` + patchSchema + `"],"Operations":[{"op":"replace","path":"title","value":"` + text + `"}]}`
	}
	if a := send(http.MethodGet, "", "If-None-Match", `W/"1"`); a.StatusCode != http.StatusNotModified || len(a.body) > 0 {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if a := send(http.MethodPatch, title("Boss"), "If-Match", `W/"1"`); a.StatusCode != http.StatusOK || a.Header.Get("ETag") != `W/"2"` {
		t.Errorf("%s %s", a.Status, a.Header.Get("ETag"))
	}
	for _, stale := range []string{`W/"1"`, `"1"`, `"of another"`} {
		send(http.MethodPatch, title("Other"), "If-Match", stale).isSCIMError(t, http.StatusPreconditionFailed)
		send(http.MethodDelete, "", "If-Match", stale).isSCIMError(t, http.StatusPreconditionFailed)
	}
	if a := send(http.MethodPatch, title("Boss"), "If-Match", "*"); a.StatusCode != http.StatusOK || a.Header.Get("ETag") != `W/"2"` {
		t.Errorf("what already is: %s %s", a.Status, a.Header.Get("ETag"))
	}
	if a := send(http.MethodGet, "", "If-None-Match", `W/"1"`); a.StatusCode != http.StatusOK {
		t.Errorf("%s", a.Status)
	}
}

func TestSCIMBulk(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	post := func(path, bulkID string, data object) object {
		return object{"method": "POST", "path": path, "bulkId": bulkID, "data": data}
	}
	run := func(failOn int, operations ...object) []object {
		t.Helper()
		a := p.scim(d, http.MethodPost, "Bulk", object{"schemas": []string{bulkSchema}, "failOnErrors": failOn, "Operations": operations})
		list := []object{}
		for _, o := range a.resource(t, http.StatusOK)["Operations"].([]any) {
			list = append(list, o.(object))
		}
		return list
	}
	person := func(name string) object {
		return object{"schemas": []string{userSchema}, "userName": name, "active": true}
	}
	group := func(name, member string) object {
		return object{"schemas": []string{groupSchema}, "displayName": name, "members": []object{{"value": member}}}
	}
	// A group may stand before the person it refers to.
	made := run(0, post("/Groups", "g", group("Staff", "bulkId:u")), post("/Users", "u", person("ann")))
	same(t, "statuses", pick(made, "status"), []string{"201", "201"})
	same(t, "order", pick(made, "bulkId"), []string{"g", "u"})
	user := strings.TrimPrefix(made[1]["location"].(string), p.URL+pathOf(d))
	staff := strings.TrimPrefix(made[0]["location"].(string), p.URL+pathOf(d))
	if a := p.scim(d, http.MethodGet, strings.TrimPrefix(staff, "/"), nil); !strings.Contains(string(a.body), strings.TrimPrefix(user, "/Users/")) {
		t.Errorf("%s", a.body)
	}
	// Two that refer to each other.
	same(t, "in a circle", pick(run(0, post("/Groups", "a", group("A", "bulkId:b")), post("/Groups", "b", group("B", "bulkId:a"))), "status"), []string{"409", "409"})
	// It ends after so many errors.
	same(t, "stopped", pick(run(2, post("/Users", "1", person("ann")), post("/Users", "2", person("bob")), post("/Users", "3", person("bob")), post("/Users", "4", person("cid"))), "status"),
		[]string{"409", "201", "409"})
	changed := run(0, object{"method": "PATCH", "path": user, "version": `W/"7"`, "data": patch(object{"op": "replace", "path": "title", "value": "x"})},
		object{"method": "patch", "path": user, "data": patch(object{"op": "replace", "path": "title", "value": "x"})},
		object{"method": "DELETE", "path": staff}, object{"method": "GET", "path": user}, object{"method": "POST", "path": "/Bulk", "bulkId": "z", "data": object{}},
		object{"method": "POST", "path": "/Users", "data": person("dan")}, object{"method": "DELETE", "path": "https://other.example/Users/1"},
		object{"method": "DELETE", "path": strings.TrimPrefix(user, "/")})
	same(t, "of all kinds", pick(changed, "status"), []string{"412", "200", "204", "400", "400", "400", "400", "204"})
	same(t, "where", []string{changed[0]["location"].(string), changed[7]["location"].(string), fmt.Sprint(changed[6]["location"])},
		[]string{p.URL + pathOf(d) + user, p.URL + pathOf(d) + user, "<nil>"})
}

// TestSCIMLargeGroup reads and changes a group of many pages.
func TestSCIMLargeGroup(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	const n = 1201
	operations := make([]object, 0, n)
	for i := range n {
		operations = append(operations, object{"method": "POST", "path": "/Users", "bulkId": fmt.Sprint(i),
			"data": object{"schemas": []string{userSchema}, "userName": fmt.Sprintf("user%d", i)}})
	}
	ids := []string{}
	for len(operations) > 0 {
		some := operations[:min(1000, len(operations))]
		operations = operations[len(some):]
		for _, o := range p.scim(d, http.MethodPost, "Bulk", object{"schemas": []string{bulkSchema}, "Operations": some}).resource(t, http.StatusOK)["Operations"].([]any) {
			_, id, _ := strings.Cut(o.(object)["location"].(string), "/Users/")
			ids = append(ids, id)
		}
	}
	group := "Groups/" + p.team(d, "Everybody", ids[1:]...)
	members := func(query string) []any {
		t.Helper()
		list, _ := p.scim(d, http.MethodGet, group+query, nil).resource(t, http.StatusOK)["members"].([]any)
		return list
	}
	if got := members(""); len(got) != n-1 {
		t.Fatalf("%d members, want %d", len(got), n-1)
	}
	if a := p.scim(d, http.MethodPatch, group, patch(object{"op": "add", "path": "members", "value": []object{{"value": ids[0]}}})); a.StatusCode != http.StatusNoContent || len(a.body) > 0 {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if got := members("?attributes=members.value"); len(got) != n || len(got[0].(object)) != 1 {
		t.Errorf("%d members, the first %v", len(got), got[0])
	}
	if got := members("?excludedAttributes=members"); len(got) != 0 {
		t.Errorf("%d members that nobody asked for", len(got))
	}
	if a := p.scim(d, http.MethodPatch, group+"?attributes=members", patch(object{"op": "remove", "path": `members[value eq "` + ids[0] + `"]`})); len(a.resource(t, http.StatusOK)["members"].([]any)) != n-1 {
		t.Errorf("%s", a.Status)
	}
}

func TestSCIMSearch(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	ann, bob := p.person(d, "ann"), p.person(d, "bob")
	staff := p.team(d, "Staff", ann)
	search := func(path string, change object) []any {
		t.Helper()
		body := object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}}
		for name, value := range change {
			body[name] = value
		}
		return p.scim(d, http.MethodPost, path, body).listed(t)
	}
	same(t, "users", search("Users/.search", object{"filter": `userName sw "b"`, "attributes": []string{"userName"}}), []string{bob})
	same(t, "sorted", search("Users/.search", object{"sortBy": "userName", "sortOrder": "descending"}), []string{bob, ann})
	same(t, "all kinds", search(".search", nil), []string{ann, bob, staff})
	same(t, "all kinds, from the third", search(".search", object{"startIndex": 3}), []string{staff})
	same(t, "all kinds, the second page", search(".search", object{"startIndex": 2, "count": 1}), []string{bob})
	same(t, "what one kind has", search(".search", object{"filter": `members.value eq "` + ann + `"`}), []string{staff})
	same(t, "by kind", search(".search", object{"filter": `meta.resourceType eq "Group"`}), []string{staff})
	p.scim(d, http.MethodPost, ".search", object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}, "filter": "shoeSize eq 1"}).isSCIMError(t, http.StatusBadRequest)
}

// TestLeaverIsOutAtOnce deactivates a person over SCIM who is signed in everywhere, with sessions in the database and elsewhere.
func TestLeaverIsOutAtOnce(t *testing.T) {
	for name, change := range map[string]func(*app.Config){
		"one database": nil, "sessions elsewhere": func(c *app.Config) { c.SessionURL = "memory:///sessions" },
	} {
		for leaves, leave := range map[string]func(p *program, d object, id string){
			"deactivated": func(p *program, d object, id string) {
				p.scim(d, http.MethodPatch, "Users/"+id, patch(object{"op": "Replace", "path": "active", "value": "False"})).resource(p.t, http.StatusOK)
			},
			"replaced": func(p *program, d object, id string) {
				p.scim(d, http.MethodPut, "Users/"+id, object{"schemas": []string{userSchema}, "userName": "alice@acme.example", "externalId": alice.ID, "active": false}).resource(p.t, http.StatusOK)
			},
			"deleted": func(p *program, d object, id string) {
				if a := p.scim(d, http.MethodDelete, "Users/"+id, nil); a.StatusCode != http.StatusNoContent {
					p.t.Fatalf("%s %s", a.Status, a.body)
				}
			},
		} {
			t.Run(name+", "+leaves, func(t *testing.T) {
				l := newLandWith(t, change)
				d := l.newDirectory(nil)
				id := l.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": "alice@acme.example", "externalId": alice.ID, "active": true}).
					resource(t, http.StatusCreated)["id"].(string)
				given := l.gainAccess(l.web, l.second)
				if sub := l.userinfo(given.held.Access).json(t)["sub"]; sub != id {
					t.Fatalf("signed in as %v, and is provisioned as %s", sub, id)
				}
				leave(l.program, d, id)
				l.tokensEnded(t, l.web, given.held, "invalid_grant")
				l.tokensEnded(t, l.second, given.plain, "invalid_grant")
				tokenRefused(t, l.redeem(given.code, l.second.credentials()), http.StatusBadRequest, "invalid_grant")
				if a := given.browser.authorize(l.second.asks(url.Values{"prompt": {"none"}})); a.location().Query().Get("error") != "login_required" {
					t.Errorf("a session: to %s", a.Header.Get("Location"))
				}
				if a := l.acs(l.respond(l.idp, given.login, nil), given.login.RelayState); a.location().Query().Get("error") != "access_denied" {
					t.Errorf("a login under way: %s to %s", a.Status, a.Header.Get("Location"))
				}
				if leaves != "deleted" {
					return
				}
				again := l.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": "alice@acme.example", "active": true}).
					resource(t, http.StatusCreated)["id"]
				if sub := l.userinfo(l.signsIn(l.web, nil).Access).json(t)["sub"]; sub != again || again == id {
					t.Errorf("provisioned again as %v, before as %s, and signed in as %v", again, id, sub)
				}
			})
		}
	}
}
