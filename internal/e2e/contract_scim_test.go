package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portico-sso/portico/app"
)

const patchSchema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// patch is a body of PATCH.
func patch(operations ...object) object {
	return object{"schemas": []string{patchSchema}, "Operations": operations}
}

// resource reads a SCIM answer.
func (a answer) resource(t *testing.T, status int) object {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s, want %d", a.Status, a.body, status)
	}
	return a.json(t)
}

// listed gives the ids of a ListResponse, in its order.
func (a answer) listed(t *testing.T) []any {
	t.Helper()
	list, _ := a.resource(t, http.StatusOK)["Resources"].([]any)
	ids := []any{}
	for _, r := range list {
		ids = append(ids, r.(object)["id"])
	}
	return ids
}

// isSCIMError checks RFC 7644 §3.12, which Polis's errors fall short of.
func (a answer) isSCIMError(t *testing.T, status int) {
	t.Helper()
	body := a.resource(t, status)
	same(t, "schemas", body["schemas"], []string{"urn:ietf:params:scim:api:messages:2.0:Error"})
	if body["status"] != fmt.Sprint(status) || body["detail"] == "" {
		t.Errorf("%s", a.body)
	}
}

func TestContractSCIM(t *testing.T) {
	p := start(t, func(c *app.Config) { c.GoogleClientID, c.GoogleClientSecret = "1.apps", "GOCSPX-x" })
	for _, kind := range []string{"azure-scim-v2", "okta-scim-v2", "onelogin-scim-v2", "jumpcloud-scim-v2", "generic-scim-v2"} {
		t.Run("§3.2 one code path: "+kind, func(t *testing.T) {
			d := p.newDirectory(object{"type": kind, "tenant": kind})
			id := p.person(d, "ann")
			same(t, "by name", p.scim(d, http.MethodGet, "Users?filter="+url.QueryEscape(`userName eq "ann@acme.example"`), nil).listed(t), []any{id})
		})
	}
	d := p.newDirectory(nil)
	t.Run("§3.1 the bearer, as a word behind another or alone", func(t *testing.T) {
		path := d["scim"].(object)["path"].(string) + "/Users"
		secret := d["scim"].(object)["secret"].(string)
		for _, header := range []string{"Bearer " + secret, secret} {
			if a := p.get(path, "Authorization", header); a.StatusCode != 200 {
				t.Errorf("%.8s…: %s", header, a.Status)
			}
		}
		for _, header := range []string{"", "Bearer", "Bearer " + secret[:len(secret)-1], "Bearer " + secret + "x"} {
			p.get(path, "Authorization", header).isSCIMError(t, 401)
		}
	})
	t.Run("§3.1, not as Polis (§11.1 10): an unknown directory and a deactivated one say what a wrong secret says", func(t *testing.T) {
		off := p.newDirectory(object{"tenant": "off"})
		p.admin(http.MethodPatch, "/api/v1/dsync/"+off["id"].(string), object{"deactivated": true})
		want := p.get(d["scim"].(object)["path"].(string)+"/Users", "Authorization", "Bearer wrong-secret-of-the-test")
		for what, got := range map[string]answer{"deactivated": p.scim(off, http.MethodGet, "Users", nil),
			"unknown": p.get("/api/scim/v2.0/00000000-0000-7000-8000-000000000000/Users", "Authorization", "Bearer wrong-secret-of-the-test")} {
			if got.StatusCode != want.StatusCode || string(got.body) != string(want.body) {
				t.Errorf("%s: %s %s, want %s %s", what, got.Status, got.body, want.Status, want.body)
			}
		}
	})
	t.Run("§3.1, not as Polis (§11.2 24): the media type of RFC 7644, meta, location and ETag", func(t *testing.T) {
		id := p.person(d, "meta")
		a := p.scim(d, http.MethodGet, "Users/"+id, nil)
		meta, _ := a.resource(t, 200)["meta"].(object)
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "application/scim+json") || a.Header.Get("ETag") == "" || meta["resourceType"] != "User" ||
			!strings.HasSuffix(meta["location"].(string), "/Users/"+id) {
			t.Errorf("%v %s", a.Header, a.body)
		}
	})
	for _, path := range []string{"ServiceProviderConfig", "ResourceTypes", "Schemas"} {
		t.Run("§3.1, not as Polis (§11.2 24): "+path+" is there", func(t *testing.T) {
			p.scim(d, http.MethodGet, path, nil).resource(t, 200)
		})
	}
	t.Run("§3.1 names of resources in any case; others are not there", func(t *testing.T) {
		for _, name := range []string{"users", "USERS", "groups"} {
			p.scim(d, http.MethodGet, name, nil).resource(t, 200)
		}
		p.scim(d, http.MethodGet, "Devices", nil).isSCIMError(t, 404)
	})
	t.Run("§3.1 a verb that there is not, not as Polis: 405", func(t *testing.T) {
		p.scim(d, http.MethodDelete, "Users", nil).isSCIMError(t, 405)
		p.scim(d, http.MethodPost, "Groups/x", object{}).isSCIMError(t, 405) // Polis makes one
	})
	t.Run("§3.1 bodies of application/json, too", func(t *testing.T) {
		body := `{"schemas":["` + userSchema + `"],"userName":"json@acme.example"}`
		p.do(p.request(http.MethodPost, d["scim"].(object)["path"].(string)+"/Users", strings.NewReader(body), "Content-Type", "application/json",
			"Authorization", "Bearer "+d["scim"].(object)["secret"].(string))).resource(t, 201)
	})
	t.Run("§3.1, not as Polis: userId, groupId and rawAttributes of a client are nothing", func(t *testing.T) {
		got := p.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": "own@acme.example", "userId": "mine", "rawAttributes": object{"x": 1}}).resource(t, 201)
		team := p.scim(d, http.MethodPost, "Groups", object{"schemas": []string{groupSchema}, "displayName": "Own", "groupId": "mine", "rawAttributes": object{"x": 1}}).resource(t, 201)
		for _, v := range []object{got, team} {
			if v["id"] == "mine" || v["x"] != nil || v["rawAttributes"] != nil {
				t.Errorf("%v", v)
			}
		}
	})
	t.Run("§3.1 raw, not as Polis: what no schema knows is left out unless a URN names it, and so is what is empty", func(t *testing.T) {
		got := p.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": "raw@acme.example", "badge": "7", "phoneNumbers": []any{}, "title": nil,
			"urn:example:1.0:User": object{"badge": "7"}}).resource(t, 201)
		shown := p.admin(http.MethodGet, "/api/v1/dsync/users/"+got["id"].(string)+"?"+tenantQuery, nil).data(t, 200).(object)
		same(t, "raw", shown["raw"], object{"id": got["id"], "schemas": []string{userSchema, "urn:example:1.0:User"}, "userName": "raw@acme.example",
			"urn:example:1.0:User": object{"badge": "7"}})
	})

	t.Run("§3.1 POST /Users gives what was sent with an id, without the password", func(t *testing.T) {
		sent := object{"schemas": []string{userSchema}, "userName": "post@acme.example", "displayName": "Post", "active": true, "password": "never shown 1A"}
		got := p.scim(d, http.MethodPost, "Users", sent).resource(t, 201)
		if got["id"] == "" || got["displayName"] != "Post" || got["password"] != nil {
			t.Errorf("%v", got)
		}
		p.scim(d, http.MethodPost, "Users", sent).isSCIMError(t, 409)
		shown := p.admin(http.MethodGet, "/api/v1/dsync/users/"+got["id"].(string)+"?"+tenantQuery, nil)
		if v := shown.data(t, 200).(object); v["email"] != "post@acme.example" || v["first_name"] != "" || strings.Contains(string(shown.body), "never shown") {
			t.Errorf("%s", shown.body)
		}
	})
	t.Run("§3.1 roles as a text are split at commas", func(t *testing.T) {
		for name, roles := range map[string]any{"text": "admin,staff", "texts": []string{"admin", "staff"}, "objects": []object{{"value": "admin"}, {"value": "staff"}}} {
			got := p.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": name + "@acme.example", "roles": roles}).resource(t, 201)
			v := p.admin(http.MethodGet, "/api/v1/dsync/users/"+got["id"].(string)+"?"+tenantQuery, nil).data(t, 200).(object)
			same(t, name, v["roles"], []string{"admin", "staff"})
		}
	})
	t.Run("§3.1 GET /Users/:id, and 404", func(t *testing.T) {
		id := p.person(d, "gets")
		if got := p.scim(d, http.MethodGet, "Users/"+id, nil).resource(t, 200); got["userName"] != "gets@acme.example" {
			t.Errorf("%v", got)
		}
		p.scim(d, http.MethodGet, "Users/nobody", nil).isSCIMError(t, 404)
	})
	t.Run("§3.1 GET /Users, not as Polis (§11.2 24): totalResults is of all pages", func(t *testing.T) {
		many := p.newDirectory(object{"tenant": "many"})
		for n := range 55 {
			p.person(many, fmt.Sprintf("p%02d", n))
		}
		got := p.scim(many, http.MethodGet, "Users?startIndex=51&count=10", nil).resource(t, 200)
		if got["totalResults"] != 55.0 || got["startIndex"] != 51.0 || got["itemsPerPage"] != 5.0 || len(got["Resources"].([]any)) != 5 {
			t.Errorf("%v %v %v", got["totalResults"], got["startIndex"], got["itemsPerPage"])
		}
		list := p.admin(http.MethodGet, "/api/v1/dsync/users?tenant=many&product="+testProduct+"&pageOffset=50", nil)
		if n := len(list.data(t, 200).([]any)); n != 5 || list.Header.Get("X-Total-Count") != "55" {
			t.Errorf("%d of %s", n, list.Header.Get("X-Total-Count"))
		}
	})
	t.Run("§3.1 filter, not as Polis (§11.2 24): by the attribute it names and by its present value", func(t *testing.T) {
		id := p.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": "upn@acme.example",
			"emails": []object{{"value": "mail@acme.example"}}}).resource(t, 201)["id"].(string)
		by := func(filter string) []any {
			return p.scim(d, http.MethodGet, "Users?filter="+url.QueryEscape(filter), nil).listed(t)
		}
		same(t, "userName", by(`userName eq "upn@acme.example"`), []any{id})
		same(t, "emails", by(`emails.value eq "mail@acme.example"`), []any{id})
		p.scim(d, http.MethodPatch, "Users/"+id, patch(object{"op": "replace", "path": "userName", "value": "new@acme.example"})).resource(t, 200)
		same(t, "new name", by(`userName eq "new@acme.example"`), []any{id})
		same(t, "old name", by(`userName eq "upn@acme.example"`), []any{})
		p.scim(d, http.MethodGet, "Users?filter="+url.QueryEscape("userName"), nil).isSCIMError(t, 400) // Polis: 500
	})
	t.Run("§3.1 PUT /Users/:id replaces", func(t *testing.T) {
		id := p.person(d, "puts")
		p.scim(d, http.MethodPut, "Users/"+id, object{"schemas": []string{userSchema}, "userName": "puts@acme.example", "active": true,
			"name": object{"givenName": "New", "familyName": "Name"}}).resource(t, 200)
		got := p.admin(http.MethodGet, "/api/v1/dsync/users/"+id+"?"+tenantQuery, nil).data(t, 200).(object)
		same(t, "user", []any{got["first_name"], got["last_name"]}, []any{"New", "Name"})
		if got["raw"].(object)["emails"] != nil {
			t.Errorf("raw keeps what was replaced: %v", got["raw"])
		}
	})
	t.Run("§3.1 PATCH /Users/:id", func(t *testing.T) {
		id := p.person(d, "patches")
		for _, c := range []struct {
			what      string
			operation object
			field     string
			want      any
		}{
			{"a path", object{"op": "replace", "path": "name.givenName", "value": "Pat"}, "first_name", "Pat"},
			{"a capital op (§3.2)", object{"op": "Replace", "path": "name.familyName", "value": "Ch"}, "last_name", "Ch"},
			{"no path", object{"op": "replace", "value": object{"name.givenName": "Pit"}}, "first_name", "Pit"},
			{"an object, not as Polis: it reaches first_name", object{"op": "replace", "value": object{"name": object{"givenName": "Obj", "familyName": "Given"}}}, "first_name", "Obj"},
			{"a filtered path", object{"op": "replace", "path": `emails[type eq "work"].value`, "value": "work@acme.example"}, "id", id},
			{"remove", object{"op": "remove", "path": "name.givenName"}, "first_name", ""},
			{"active as a text (§3.2)", object{"op": "Replace", "path": "active", "value": "False"}, "active", false},
		} {
			p.scim(d, http.MethodPatch, "Users/"+id, patch(c.operation)).resource(t, 200)
			got := p.admin(http.MethodGet, "/api/v1/dsync/users/"+id+"?"+tenantQuery, nil).data(t, 200).(object)
			if got[c.field] != c.want {
				t.Errorf("%s: %s is %v, want %v", c.what, c.field, got[c.field], c.want)
			}
		}
		p.scim(d, http.MethodPatch, "Users/"+id, object{"schemas": []string{patchSchema}}).isSCIMError(t, 400) // Polis: 500 (§11.2 24)
	})
	t.Run("§3.1 DELETE /Users/:id, not as Polis (§11.2 24): 204", func(t *testing.T) {
		id := p.person(d, "deletes")
		p.scim(d, http.MethodDelete, "Users/"+id, nil).empty(t, 204)
		p.scim(d, http.MethodDelete, "Users/"+id, nil).isSCIMError(t, 404)
	})

	ann, bob := p.person(d, "ann"), p.person(d, "bob")
	members := func(group string) []any {
		t.Helper()
		return pick(p.read("/api/v1/dsync/groups/"+group+"/members?"+tenantQuery), "user_id")
	}
	t.Run("§3.1 POST /Groups, not as Polis (§11.2 24): with its members", func(t *testing.T) {
		id := p.team(d, "Posted", ann)
		same(t, "members", members(id), []any{ann})
		p.scim(d, http.MethodPost, "Groups", object{"schemas": []string{groupSchema}, "displayName": "Posted"}).isSCIMError(t, 409)
		same(t, "by name", p.scim(d, http.MethodGet, "Groups?filter="+url.QueryEscape(`displayName eq "Posted"`), nil).listed(t), []any{id})
	})
	t.Run("§3.1 PUT /Groups/:id, not as Polis (§11.2 24): the members too", func(t *testing.T) {
		id := p.team(d, "Put", ann)
		p.scim(d, http.MethodPut, "Groups/"+id, object{"schemas": []string{groupSchema}, "displayName": "Put anew", "members": []object{{"value": bob}}})
		same(t, "members", members(id), []any{bob})
		if got := p.admin(http.MethodGet, "/api/v1/dsync/groups/"+id+"?"+tenantQuery, nil).data(t, 200).(object); got["name"] != "Put anew" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§3.1 PATCH /Groups/:id", func(t *testing.T) {
		id := p.team(d, "Patched")
		for _, c := range []struct {
			operation object
			want      []any
		}{
			{object{"op": "add", "path": "members", "value": []object{{"value": ann}}}, []any{ann}},
			{object{"op": "Add", "path": "members", "value": []object{{"value": ann}}}, []any{ann}},
			{object{"op": "replace", "path": "members", "value": []object{{"value": bob}}}, []any{bob}}, // Polis ignores it
			{object{"op": "remove", "path": `members[value eq "` + bob + `"]`}, []any{}},
			{object{"op": "add", "path": "members", "value": []object{{"value": ann}}}, []any{ann}},
			{object{"op": "remove", "path": "members", "value": []object{{"value": ann}}}, []any{}},
		} {
			if a := p.scim(d, http.MethodPatch, "Groups/"+id, patch(c.operation)); a.StatusCode/100 != 2 {
				t.Errorf("%v: %s %s", c.operation, a.Status, a.body)
			}
			same(t, fmt.Sprint(c.operation), members(id), c.want)
		}
		p.scim(d, http.MethodPatch, "Groups/"+id, patch(object{"op": "replace", "value": object{"displayName": "Named anew"}}))
		if got := p.admin(http.MethodGet, "/api/v1/dsync/groups/"+id+"?"+tenantQuery, nil).data(t, 200).(object); got["name"] != "Named anew" {
			t.Errorf("%v", got)
		}
		p.scim(d, http.MethodPatch, "Groups/"+id, patch(object{"op": "swap", "path": "members"})).isSCIMError(t, 400) // Polis ignores it
	})
	t.Run("§3.1 includeMembers: they are there, asked for or not", func(t *testing.T) {
		id := p.team(d, "Shown", ann)
		for _, query := range []string{"", "?includeMembers=true"} {
			list, _ := p.scim(d, http.MethodGet, "Groups/"+id+query, nil).resource(t, 200)["members"].([]any)
			if len(list) != 1 || list[0].(object)["value"] != ann {
				t.Errorf("%q: %v", query, list)
			}
		}
	})
	t.Run("§3.1, not as Polis: a member who is not there is refused", func(t *testing.T) {
		id := p.team(d, "Haunted")
		ghost := []object{{"value": "00000000-0000-7000-8000-000000000000"}}
		p.scim(d, http.MethodPatch, "Groups/"+id, patch(object{"op": "add", "path": "members", "value": ghost})).isSCIMError(t, 400)
		p.scim(d, http.MethodPost, "Groups", object{"schemas": []string{groupSchema}, "displayName": "Ghosts", "members": ghost}).isSCIMError(t, 400)
		same(t, "members", members(id), []any{})
	})
	t.Run("§3.1 DELETE /Groups/:id, not as Polis (§11.2 24): 204, and the memberships go with it", func(t *testing.T) {
		id := p.team(d, "Deleted", ann)
		p.scim(d, http.MethodDelete, "Groups/"+id, nil).empty(t, 204)
		p.scim(d, http.MethodGet, "Groups/"+id, nil).isSCIMError(t, 404)
	})
	t.Run("§3.1, not as Polis: a directory reads and changes nothing of its sibling", func(t *testing.T) {
		sibling := p.newDirectory(nil)
		group := p.team(d, "Mine", ann)
		for _, path := range []string{"Users/" + ann, "Groups/" + group} {
			p.scim(sibling, http.MethodGet, path, nil).isSCIMError(t, 404)
			p.scim(sibling, http.MethodDelete, path, nil).isSCIMError(t, 404)
		}
		if a := p.get(d["scim"].(object)["path"].(string)+"/Users", "Authorization", "Bearer "+sibling["scim"].(object)["secret"].(string)); a.StatusCode != 401 {
			t.Errorf("a sibling's secret: %s", a.Status)
		}
	})
	t.Run("§3.3 Google: authorization", func(t *testing.T) {
		google := p.newDirectory(object{"type": "google"})
		if a := p.get("/api/scim/v2.0/"+google["id"].(string)+"/Users", "Authorization", "Bearer "); a.StatusCode != 401 {
			t.Errorf("SCIM of a Google directory: %s", a.Status) // Polis lets everybody in
		}
		link := google["google_authorization_url"].(string)
		if !strings.HasPrefix(link, p.URL+"/api/scim/oauth/authorize") {
			t.Errorf("%s", link)
		}
		a := p.get(link + "?directoryId=" + google["id"].(string)) // as callers of Polis append it
		at, q := a.location(), a.location().Query()
		scopes := strings.Fields(q.Get("scope"))
		slices.Sort(scopes)
		const scope = "https://www.googleapis.com/auth/admin.directory."
		same(t, "authorize", []any{a.StatusCode, at.Scheme + "://" + at.Host, q.Get("access_type"), q.Get("prompt"), q.Get("redirect_uri"), q.Get("client_id"), scopes},
			[]any{302, "https://accounts.google.com", "offline", "consent", p.URL + "/api/scim/oauth/callback", "1.apps",
				[]string{"email", scope + "group.member.readonly", scope + "group.readonly", scope + "user.readonly", "openid"}}) // the first and the last say who agreed, not as Polis
		if strings.Contains(q.Get("state"), google["id"].(string)) { // §11.1 8
			t.Errorf("state %q", q.Get("state"))
		}
		for _, directoryID := range []string{google["id"].(string), d["id"].(string), "nothing"} { // not as Polis: who knows an id connects nothing
			if a := p.get("/api/scim/oauth/authorize?directoryId=" + directoryID); a.StatusCode != 403 {
				t.Errorf("%s %s", a.Status, a.body)
			}
		}
		if a := p.get("/api/scim/oauth/callback?code=x&state=" + url.QueryEscape(`{"directoryId":"`+google["id"].(string)+`"}`)); a.StatusCode/100 != 4 {
			t.Errorf("a state that anybody can guess: %s", a.Status)
		}
	})
}
