package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
)

// The tests of this file walk §1.4, §1.5, §1.7 and §3 of the contract with clients of Ory Polis, as those of contract_test.go
// walk the rest.

type object = map[string]any

// data reads {"data": …} of an answer.
func (a answer) data(t *testing.T, status int) any {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s, want %d", a.Status, a.body, status)
	}
	v, ok := a.json(t)["data"]
	if !ok {
		t.Fatalf("no data: %s", a.body)
	}
	return v
}

// coded checks dialect 2 of §0.4.
func (a answer) coded(t *testing.T, status int, message string) {
	t.Helper()
	want := object{"error": object{"message": message, "code": float64(status)}}
	if got := a.json(t); a.StatusCode != status || !reflect.DeepEqual(got, want) {
		t.Errorf("%s %s, want %v", a.Status, a.body, want)
	}
}

// newDirectory makes a directory of the test's tenant and product.
func (p *program) newDirectory(change object) object {
	p.t.Helper()
	body := object{"tenant": testTenant, "product": testProduct}
	for name, value := range change {
		body[name] = value
	}
	time.Sleep(2 * time.Millisecond) // ids of one millisecond have no order
	return p.admin(http.MethodPost, "/api/v1/dsync", body).data(p.t, http.StatusCreated).(object)
}

// read gives the data of a list.
func (p *program) read(path string) []object {
	p.t.Helper()
	list, ok := p.admin(http.MethodGet, path, nil).data(p.t, http.StatusOK).([]any)
	if !ok {
		p.t.Fatalf("GET %s: data is no list", path)
	}
	out := []object{}
	for _, item := range list {
		out = append(out, item.(object))
	}
	return out
}

func pick(list []object, name string) []any {
	out := []any{}
	for _, item := range list {
		out = append(out, item[name])
	}
	return out
}

// same compares values as JSON has them.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g, w) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// scim sends a SCIM request as the client of a directory of §1.4.
func (p *program) scim(d object, method, resource string, body any) answer {
	p.t.Helper()
	scim := d["scim"].(object)
	path, flag, _ := strings.Cut(scim["path"].(string), "/?")
	if flag != "" { // Entra ID puts the resource in front of it (§3.2)
		flag = "?" + flag
		if strings.Contains(resource, "?") {
			flag = "&" + flag[1:]
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	if body == nil {
		text = nil
	}
	return p.do(p.request(method, path+"/"+resource+flag, bytes.NewReader(text), "Content-Type", "application/scim+json",
		"Authorization", "Bearer "+scim["secret"].(string)))
}

const (
	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"
)

// person provisions a user and gives its id.
func (p *program) person(d object, name string) string {
	p.t.Helper()
	time.Sleep(2 * time.Millisecond)
	a := p.scim(d, http.MethodPost, "Users", object{"schemas": []string{userSchema}, "userName": name + "@acme.example", "active": true,
		"name": object{"givenName": strings.ToUpper(name[:1]) + name[1:], "familyName": "Doe"}, "emails": []object{{"value": name + "@acme.example", "primary": true}}})
	if a.StatusCode != http.StatusCreated {
		p.t.Fatalf("POST Users: %s %s", a.Status, a.body)
	}
	return a.json(p.t)["id"].(string)
}

// team provisions a group and gives its id.
func (p *program) team(d object, name string, members ...string) string {
	p.t.Helper()
	list := []object{}
	for _, id := range members {
		list = append(list, object{"value": id})
	}
	time.Sleep(2 * time.Millisecond)
	a := p.scim(d, http.MethodPost, "Groups", object{"schemas": []string{groupSchema}, "displayName": name, "members": list})
	if a.StatusCode != http.StatusCreated {
		p.t.Fatalf("POST Groups: %s %s", a.Status, a.body)
	}
	return a.json(p.t)["id"].(string)
}

const tenantQuery = "tenant=" + testTenant + "&product=" + testProduct

func TestContractDirectories(t *testing.T) {
	p := start(t, nil)
	t.Run("§1.4 the directory object and its defaults", func(t *testing.T) {
		d := p.newDirectory(nil)
		id := d["id"].(string)
		secret := d["scim"].(object)["secret"].(string)
		same(t, "directory", d, object{"id": id, "name": "scim-" + testTenant + "-" + testProduct, "tenant": testTenant, "product": testProduct,
			"type": "generic-scim-v2", "log_webhook_events": false, "deactivated": false, "webhook": object{"endpoint": "", "secret": ""},
			"scim": object{"path": "/api/scim/v2.0/" + id, "secret": secret, "endpoint": p.URL + "/api/scim/v2.0/" + id}})
		if len(id) != 36 || len(secret) < 22 {
			t.Errorf("id %q, secret of %d characters", id, len(secret))
		}
	})
	for kind, speaks := range map[string]string{"azure-scim-v2": "/?aadOptscim062020", "onelogin-scim-v2": "", "okta-scim-v2": "", "jumpcloud-scim-v2": "", "generic-scim-v2": ""} {
		t.Run("§1.4 type "+kind, func(t *testing.T) {
			d := p.newDirectory(object{"type": kind, "name": kind})
			path := "/api/scim/v2.0/" + d["id"].(string) + speaks
			scim := d["scim"].(object)
			if d["type"] != kind || d["name"] != kind || scim["path"] != path || scim["endpoint"] != p.URL+path {
				t.Errorf("%v", d)
			}
		})
	}
	t.Run("§1.4 type google", func(t *testing.T) {
		d := p.newDirectory(object{"type": "google"})
		id := d["id"].(string)
		want := object{"id": id, "name": "scim-" + testTenant + "-" + testProduct, "tenant": testTenant, "product": testProduct, "type": "google",
			"log_webhook_events": false, "deactivated": false, "webhook": object{"endpoint": "", "secret": ""}, "scim": object{"path": "", "secret": ""},
			"google_authorization_url": p.URL + "/api/scim/oauth/authorize", "google_access_token": "", "google_refresh_token": ""}
		same(t, "directory", d, want)
		for _, c := range []struct{ sent, tokens object }{
			{object{"google_access_token": "a", "google_refresh_token": "r"}, object{"google_access_token": "a", "google_refresh_token": "r"}},
			{object{"google_access_token": "b"}, object{"google_access_token": "b", "google_refresh_token": "r"}},
			{object{"google_access_token": "", "google_refresh_token": ""}, object{"google_access_token": "", "google_refresh_token": ""}},
		} {
			maps.Copy(want, c.tokens)
			same(t, fmt.Sprint(c.sent), p.admin(http.MethodPatch, "/api/v1/dsync/"+id, c.sent).data(t, 200), want)
		}
		made := p.newDirectory(object{"type": "google", "google_access_token": "a", "google_refresh_token": "r"})
		same(t, "made with tokens", []any{made["google_access_token"], made["google_refresh_token"]}, []any{"a", "r"})
	})
	t.Run("§1.4 POST ignores what it does not take", func(t *testing.T) {
		d := p.newDirectory(object{"id": "mine", "log_webhook_events": true, "deactivated": true, "google_access_token": "a", "scim": object{"secret": "mine"}})
		if d["id"] == "mine" || d["log_webhook_events"] != false || d["deactivated"] != false || d["google_access_token"] != nil || d["scim"].(object)["secret"] == "mine" {
			t.Errorf("%v", d)
		}
	})
	t.Run("§1.4 POST takes a form, too", func(t *testing.T) {
		a := p.do(p.request(http.MethodPost, "/api/v1/dsync", strings.NewReader("tenant=form&product=crm&type=okta-scim-v2&name=Of+a+form"),
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", "Api-Key "+adminKey))
		if d := a.data(t, http.StatusCreated).(object); d["tenant"] != "form" || d["type"] != "okta-scim-v2" || d["name"] != "Of a form" {
			t.Errorf("%v", d)
		}
	})
	t.Run("§1.4 POST: the webhook is kept only if both are there", func(t *testing.T) {
		for _, c := range []struct{ sent, want object }{
			{object{"webhook_url": "https://hooks.example/x", "webhook_secret": "hush"}, object{"endpoint": "https://hooks.example/x", "secret": "hush"}},
			{object{"webhook_url": "https://hooks.example/x"}, object{"endpoint": "", "secret": ""}},
			{object{"webhook_secret": "hush"}, object{"endpoint": "", "secret": ""}},
		} {
			same(t, fmt.Sprint(c.sent), p.newDirectory(c.sent)["webhook"], c.want)
		}
	})
	t.Run("§1.4 POST: a tenant has several directories", func(t *testing.T) {
		a, b := p.newDirectory(object{"tenant": "twice"}), p.newDirectory(object{"tenant": "twice"})
		same(t, "newest first", pick(p.read("/api/v1/dsync?tenant=twice&product="+testProduct), "id"), []any{b["id"], a["id"]})
	})
	for name, c := range map[string]struct {
		body    object
		message string
	}{
		"no tenant":       {object{"product": "p"}, "Missing required parameters."},
		"no product":      {object{"tenant": "t"}, "Missing required parameters."},
		"unknown type":    {object{"tenant": "t", "product": "p", "type": "ldap"}, "Invalid directory type."},
		"empty type":      {object{"tenant": "t", "product": "p", "type": ""}, "Invalid directory type."},
		"null as type":    {object{"tenant": "t", "product": "p", "type": nil}, "Invalid directory type."},
		"colon":           {object{"tenant": "a:b", "product": "p"}, "tenant cannot contain the character :"},
		"colon of a name": {object{"tenant": "t", "product": "a:b"}, "product cannot contain the character :"},
	} {
		t.Run("§1.4 POST refuses: "+name, func(t *testing.T) {
			p.admin(http.MethodPost, "/api/v1/dsync", c.body).coded(t, 400, c.message)
		})
	}
	t.Run("§1.4 POST refuses a webhook that is no address, and makes nothing", func(t *testing.T) {
		a := p.admin(http.MethodPost, "/api/v1/dsync", object{"tenant": "hooked", "product": testProduct, "webhook_url": "nowhere", "webhook_secret": "hush"})
		if a.StatusCode != 400 || !strings.Contains(string(a.body), "webhook_url") {
			t.Errorf("%s %s", a.Status, a.body)
		}
		same(t, "made", p.read("/api/v1/dsync?tenant=hooked&product="+testProduct), []any{})
	})
	for _, query := range []string{"", "?tenant=t", "?product=p"} {
		t.Run("§1.4 GET needs tenant and product: "+query, func(t *testing.T) {
			p.admin(http.MethodGet, "/api/v1/dsync"+query, nil).refused(t, 400, "Please provide tenant and product")
		})
	}
	t.Run("§1.4 GET of an unknown tenant or product is empty", func(t *testing.T) {
		for _, query := range []string{"tenant=nobody&product=" + testProduct, "tenant=nobody&product=nothing"} {
			same(t, query, p.read("/api/v1/dsync?"+query), []any{})
		}
	})
	d := p.newDirectory(object{"tenant": "one", "product": "shop"})
	one := "/api/v1/dsync/" + d["id"].(string)
	t.Run("§1.4 GET /:id shows the secret again", func(t *testing.T) {
		same(t, "directory", p.admin(http.MethodGet, one, nil).data(t, 200), d)
	})
	t.Run("§0.2 /api/v1/directory-sync is /api/v1/dsync", func(t *testing.T) {
		same(t, "one", p.admin(http.MethodGet, strings.Replace(one, "dsync", "directory-sync", 1), nil).data(t, 200), d)
		same(t, "list", p.read("/api/v1/directory-sync?tenant=one&product=shop"), []any{d})
	})
	for _, method := range []string{http.MethodGet, http.MethodPatch} {
		t.Run("§1.4 "+method+" of an unknown directory", func(t *testing.T) {
			p.admin(method, "/api/v1/dsync/00000000-0000-7000-8000-000000000000", object{}).coded(t, 404, "Directory configuration not found.")
		})
	}
	t.Run("§1.4 PATCH", func(t *testing.T) {
		for _, c := range []struct {
			sent object
			name string
			want any
		}{
			{object{"name": "renamed"}, "name", "renamed"},
			{object{"log_webhook_events": "yes"}, "log_webhook_events", true},
			{object{"log_webhook_events": "false"}, "log_webhook_events", false},
			{object{"deactivated": true}, "deactivated", true},
			{object{"deactivated": "false"}, "deactivated", false},
			{object{"webhook": object{"endpoint": "https://a.example/", "secret": "one"}}, "webhook", object{"endpoint": "https://a.example/", "secret": "one"}},
			{object{"webhook_secret": "two"}, "webhook", object{"endpoint": "https://a.example/", "secret": "two"}},
			{object{"webhook_url": "https://b.example/"}, "webhook", object{"endpoint": "https://b.example/", "secret": "two"}},
			{object{"webhook_url": ""}, "webhook", object{"endpoint": "", "secret": "two"}},
			{object{"webhook_url": "https://c.example/"}, "webhook", object{"endpoint": "https://c.example/", "secret": "two"}},
			{object{"webhook_secret": ""}, "webhook", object{"endpoint": "https://c.example/", "secret": ""}},
			{object{"webhook_url": "https://d.example/"}, "webhook", object{"endpoint": "https://d.example/", "secret": ""}},
			{object{"webhook_secret": "three"}, "webhook", object{"endpoint": "https://d.example/", "secret": "three"}},
			{object{"webhook": object{"endpoint": "", "secret": ""}}, "webhook", object{"endpoint": "", "secret": ""}},
			{object{"tenant": "other", "type": "google", "id": "x"}, "tenant", "one"},
		} {
			got := p.admin(http.MethodPatch, one, c.sent).data(t, 200).(object)
			same(t, fmt.Sprint(c.sent), got[c.name], c.want)
			same(t, "read again", p.admin(http.MethodGet, one, nil).data(t, 200), got)
		}
	})
	t.Run("§1.4 PATCH refuses a half of a webhook that could not be kept", func(t *testing.T) {
		for field, sent := range map[string]object{"webhook_url": {"webhook_url": "nowhere"}, "webhook_secret": {"webhook_secret": strings.Repeat("x", 257)}} {
			if a := p.admin(http.MethodPatch, one, sent); a.StatusCode != 400 || !strings.Contains(string(a.body), field) {
				t.Errorf("%s %s", a.Status, a.body)
			}
		}
		same(t, "webhook", p.admin(http.MethodGet, one, nil).data(t, 200).(object)["webhook"], object{"endpoint": "", "secret": ""})
	})
	t.Run("§1.4 DELETE answers the same for what is not there", func(t *testing.T) {
		gone := p.newDirectory(object{"tenant": "gone"})
		path := "/api/v1/dsync/" + gone["id"].(string)
		for range 2 {
			same(t, "deleted", p.admin(http.MethodDelete, path, nil).data(t, 200), object{})
		}
		p.admin(http.MethodGet, path, nil).coded(t, 404, "Directory configuration not found.")
		same(t, "listed", p.read("/api/v1/dsync?tenant=gone&product="+testProduct), []any{})
		if a := p.scim(gone, http.MethodGet, "Users", nil); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("SCIM of a deleted directory: %s", a.Status)
		}
	})
	t.Run("§1.4 GET /product, paged", func(t *testing.T) {
		var made []any
		for _, tenant := range []string{"a", "b", "c"} {
			made = append([]any{p.newDirectory(object{"tenant": tenant, "product": "paged"})["id"]}, made...)
		}
		a := p.admin(http.MethodGet, "/api/v1/dsync/product?product=paged", nil)
		if v := a.json(t); v["error"] != nil || len(v) != 2 {
			t.Errorf("%s", a.body)
		}
		same(t, "all", pick(p.read("/api/v1/dsync/product?product=paged"), "id"), made)
		same(t, "a page", pick(p.read("/api/v1/dsync/product?product=paged&pageOffset=1&pageLimit=1"), "id"), made[1:2])
		same(t, "aliases", pick(p.read("/api/v1/dsync/product?product=paged&offset=1&limit=5"), "id"), made[1:])
		same(t, "unknown", p.read("/api/v1/dsync/product?product=nothing"), []any{})
		if got := a.Header.Get("X-Total-Count"); got != "3" {
			t.Errorf("X-Total-Count %q", got)
		}
	})
	t.Run("§1.4 GET /product, not as Polis: 400 and no 500 without a product", func(t *testing.T) {
		p.admin(http.MethodGet, "/api/v1/dsync/product", nil).refused(t, 400, "Please provide a product")
	})
	t.Run("§0.4 a method that there is not", func(t *testing.T) {
		a := p.admin(http.MethodPut, one, object{})
		a.refused(t, 405, "Method PUT not allowed.")
		if got := a.Header.Get("Allow"); got != "GET, PATCH, DELETE" {
			t.Errorf("Allow %q", got)
		}
	})
	t.Run("§1.7 stats", func(t *testing.T) {
		p.connect(newIdP(t, "https://idp.example/stats"), object{"product": "counted"})
		p.newDirectory(object{"product": "counted"})
		p.newDirectory(object{"product": "counted"})
		all := p.admin(http.MethodGet, "/api/v1/stats", nil).data(t, 200).(object)
		if all["sso_connections"].(float64) < 1 || all["dsync_connections"].(float64) < 12 || all["identity_federation_apps"] != 0.0 {
			t.Errorf("%v", all)
		}
		for _, c := range []struct{ sent, want object }{
			{object{"products": []string{"counted", "counted", "nothing"}}, object{"sso_connections": 1, "dsync_connections": 2, "identity_federation_apps": 0}},
			{object{"products": []string{"counted", "paged"}, "type": "dsync"}, object{"sso_connections": 0, "dsync_connections": 5, "identity_federation_apps": 0}},
			{object{"products": []string{"counted"}, "type": "sso"}, object{"sso_connections": 1, "dsync_connections": 0, "identity_federation_apps": 0}},
		} {
			same(t, fmt.Sprint(c.sent), p.admin(http.MethodPost, "/api/v1/stats/product", c.sent).data(t, 200), c.want)
		}
		for message, sent := range map[string]object{"Missing products": {}, "Products must be an array": {"products": "counted"},
			"Products must not exceed 50": {"products": slices.Repeat([]string{"x"}, 51)}} {
			p.admin(http.MethodPost, "/api/v1/stats/product", sent).refused(t, 400, message)
		}
	})
}

func TestContractDirectoryReads(t *testing.T) {
	p := start(t, nil)
	d := p.newDirectory(nil)
	other := p.newDirectory(object{"tenant": "other.example"})
	directoryQuery := "directoryId=" + d["id"].(string)
	var users []any
	ids := map[string]string{}
	for _, name := range []string{"ann", "bob", "cid"} {
		ids[name] = p.person(d, name)
		users = append([]any{ids[name]}, users...)
	}
	foreign := p.person(other, "eve")
	inner := p.team(d, "Inner", ids["cid"])
	group := p.team(d, "Outer", ids["ann"], ids["bob"], inner)

	t.Run("§1.5 the user", func(t *testing.T) {
		got := p.admin(http.MethodGet, "/api/v1/dsync/users/"+ids["ann"]+"?"+directoryQuery, nil).data(t, 200).(object)
		raw := got["raw"].(object)
		delete(got, "raw")
		same(t, "user", got, object{"id": ids["ann"], "first_name": "Ann", "last_name": "Doe", "email": "ann@acme.example", "active": true, "directoryId": d["id"]})
		same(t, "raw", raw, object{"id": ids["ann"], "schemas": []string{userSchema}, "userName": "ann@acme.example", "active": true,
			"name": object{"givenName": "Ann", "familyName": "Doe"}, "emails": []object{{"value": "ann@acme.example", "primary": true}}})
	})
	t.Run("§1.5 the group", func(t *testing.T) {
		got := p.admin(http.MethodGet, "/api/v1/dsync/groups/"+group+"?"+directoryQuery, nil).data(t, 200).(object)
		same(t, "group", got, object{"id": group, "name": "Outer", "raw": object{"id": group, "schemas": []string{groupSchema}, "displayName": "Outer", "members": []any{}}})
		same(t, "in the list", p.read("/api/v1/dsync/groups?" + directoryQuery)[0], got)
	})
	for _, scope := range []string{directoryQuery, tenantQuery, tenantQuery + "&" + directoryQuery} {
		t.Run("§1.5 scope "+scope, func(t *testing.T) {
			same(t, "users, newest first", pick(p.read("/api/v1/dsync/users?"+scope), "id"), users)
			same(t, "groups", pick(p.read("/api/v1/dsync/groups?"+scope), "id"), []any{group, inner})
		})
	}
	for _, path := range []string{"users", "users/x", "groups", "groups/x", "groups/x/members", "events", "events/x"} {
		t.Run("§1.5 unknown directory: "+path, func(t *testing.T) {
			p.admin(http.MethodGet, "/api/v1/dsync/"+path+"?directoryId=00000000-0000-7000-8000-000000000000", nil).coded(t, 404, "Directory not found.")
		})
		t.Run("§1.5 not as Polis: 400 and no 500 without a scope: "+path, func(t *testing.T) {
			p.admin(http.MethodGet, "/api/v1/dsync/"+path, nil).coded(t, 400, "Set tenant and product before using store.")
		})
	}
	t.Run("§1.5 a directory of another tenant filters all away", func(t *testing.T) {
		same(t, "users", p.read("/api/v1/dsync/users?"+tenantQuery+"&directoryId="+other["id"].(string)), []any{})
	})
	t.Run("§1.5 another tenant's user and group are not there", func(t *testing.T) {
		p.admin(http.MethodGet, "/api/v1/dsync/users/"+foreign+"?"+tenantQuery, nil).coded(t, 404, "User not found")
		p.admin(http.MethodGet, "/api/v1/dsync/groups/"+group+"?directoryId="+other["id"].(string), nil).coded(t, 404, "Group with id "+group+" not found.")
		same(t, "members", p.read("/api/v1/dsync/groups/"+group+"/members?directoryId="+other["id"].(string)), []any{})
	})
	t.Run("§1.5 lists have an error that is null, and say how many there are", func(t *testing.T) {
		for path, total := range map[string]string{"users": "3", "groups": "2"} {
			a := p.admin(http.MethodGet, "/api/v1/dsync/"+path+"?"+tenantQuery, nil)
			v := a.json(t)
			if e, ok := v["error"]; !ok || e != nil || len(v) != 2 || a.Header.Get("X-Total-Count") != total {
				t.Errorf("%s: %s of %s", path, a.body, a.Header.Get("X-Total-Count"))
			}
		}
	})
	t.Run("§1.5 pages", func(t *testing.T) {
		second := p.newDirectory(nil) // newer, so its users come first
		latest := p.person(second, "dan")
		want := append([]any{latest}, users...)
		for offset := range 5 {
			for limit := 1; limit < 5; limit++ {
				query := fmt.Sprintf("&pageOffset=%d&pageLimit=%d", offset, limit)
				same(t, query, pick(p.read("/api/v1/dsync/users?"+tenantQuery+query), "id"), want[min(offset, 4):min(offset+limit, 4)])
			}
		}
		same(t, "aliases", pick(p.read("/api/v1/dsync/users?"+tenantQuery+"&offset=3&limit=9"), "id"), want[3:])
		p.admin(http.MethodDelete, "/api/v1/dsync/"+second["id"].(string), nil)
	})
	t.Run("§1.5 members are users", func(t *testing.T) {
		direct := []string{ids["ann"], ids["bob"]}
		slices.Sort(direct)
		path := "/api/v1/dsync/groups/" + group + "/members?" + directoryQuery
		same(t, "direct", p.read(path), []object{{"user_id": direct[0]}, {"user_id": direct[1]}})
		same(t, "a page, not as Polis (§11.3 31)", p.read(path+"&pageOffset=1&pageLimit=1"), []object{{"user_id": direct[1]}})
		all := append(direct, ids["cid"])
		slices.Sort(all)
		same(t, "effective: Portico's own", p.read(path+"&effective=true"), []object{{"user_id": all[0]}, {"user_id": all[1]}, {"user_id": all[2]}})
		same(t, "a page of them", p.read(path+"&effective=true&pageOffset=2"), []object{{"user_id": all[2]}})
		same(t, "unknown group", p.read("/api/v1/dsync/groups/nothing/members?"+directoryQuery), []any{})
	})
	t.Run("§11.2 25, not as Polis: whoever is deleted is no member", func(t *testing.T) {
		id := p.person(d, "zoe")
		p.scim(d, http.MethodPatch, "Groups/"+inner, object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
			"Operations": []object{{"op": "add", "path": "members", "value": []object{{"value": id}}}}})
		path := "/api/v1/dsync/groups/" + inner + "/members?" + directoryQuery
		if got := p.read(path); len(got) != 2 {
			t.Errorf("before: %v", got)
		}
		if a := p.scim(d, http.MethodDelete, "Users/"+id, nil); a.StatusCode != http.StatusNoContent {
			t.Errorf("%s %s", a.Status, a.body)
		}
		same(t, "after", p.read(path), []object{{"user_id": ids["cid"]}})
		p.admin(http.MethodGet, "/api/v1/dsync/users/"+id+"?"+directoryQuery, nil).coded(t, 404, "User not found")
	})
	for path, message := range map[string]string{"process-events": "Processing started", "sync-google": "Sync started"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			t.Run("§1.5 "+method+" cron/"+path, func(t *testing.T) {
				a := p.admin(method, "/api/v1/dsync/cron/"+path, nil)
				if got := a.json(t); a.StatusCode != 200 || !reflect.DeepEqual(got, object{"message": message}) {
					t.Errorf("%s %s", a.Status, a.body)
				}
			})
		}
	}
}

// sink is a webhook's receiver.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []object // of an array one for each of it
	raw    [][]byte
	heads  []http.Header
	status int // what it answers
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{status: http.StatusNoContent}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var list []object
		if err == nil && !bytes.HasPrefix(body, []byte("[")) {
			list = make([]object, 1)
			err = json.Unmarshal(body, &list[0])
		} else if err == nil {
			err = json.Unmarshal(body, &list)
		}
		if err != nil {
			t.Errorf("webhook: %v", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bodies, s.raw, s.heads = append(s.bodies, list...), append(s.raw, body), append(s.heads, r.Header)
		w.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

// wait gives what came once there are n, sorted by nothing but arrival.
func (s *sink) wait(t *testing.T, n int) []object {
	t.Helper()
	for range 600 {
		s.mu.Lock()
		got := slices.Clone(s.bodies)
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%d of %d events came", len(s.bodies), n)
	return nil
}

// signed checks both signatures of the call at a place, as receivers of Polis's do: over the JSON as it is read and written anew.
func (s *sink) signed(t *testing.T, call int, secret string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"BoxyHQ-Signature", "Ory-Polis-Signature"} {
		at, sum, _ := strings.Cut(strings.TrimPrefix(s.heads[call].Get(name), "t="), ",s=")
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s", at, s.raw[call])
		if ms, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.UnixMilli(ms)).Abs() > time.Hour || sum != hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("%s: %q", name, s.heads[call].Get(name))
		}
	}
	if got := s.heads[call].Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
}

// TestContractWebhooks is what a webhook of Polis is told of what identity providers do: these events, with this and nothing else.
func TestContractWebhooks(t *testing.T) {
	hook := newSink(t)
	p := start(t, func(c *app.Config) { c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	d := p.newDirectory(object{"webhook_url": hook.URL, "webhook_secret": "hush"})
	ann := p.person(d, "ann")
	user := object{"id": ann, "first_name": "Ann", "last_name": "Doe", "email": "ann@acme.example", "active": true, "raw": object{"id": ann, "schemas": []string{userSchema},
		"userName": "ann@acme.example", "active": true, "name": object{"givenName": "Ann", "familyName": "Doe"}, "emails": []object{{"value": "ann@acme.example", "primary": true}}}}
	group := object{"name": "Devs", "raw": object{"schemas": []string{groupSchema}, "displayName": "Devs", "members": []any{}}}
	inGroup := func() object {
		both := maps.Clone(user)
		both["group"] = group
		return both
	}
	told := 0
	tells := func(what string, want ...any) { // event and data in turn
		t.Helper()
		t.Run("§3.4 "+what, func(t *testing.T) {
			events := hook.wait(t, told+len(want)/2)
			for i := 0; i < len(want); i += 2 {
				same(t, what, events[told], object{"event": want[i], "tenant": testTenant, "product": testProduct, "directory_id": d["id"], "data": want[i+1]})
				hook.signed(t, told, "hush")
				told++
			}
		})
	}
	tells("user.created", "user.created", user)
	p.scim(d, http.MethodPatch, "Users/"+ann, patch(object{"op": "replace", "value": object{"active": false, "roles": "admin, staff", "displayName": "R&D <Ann>\u2028",
		"urn:example:1.0:User:level": json.Number("1.0")}})).resource(t, 200)
	user["active"], user["raw"].(object)["active"] = false, false
	raw := user["raw"].(object)
	raw["displayName"], raw["urn:example:1.0:User"], raw["schemas"] = "R&D <Ann>\u2028", object{"level": 1}, []string{userSchema, "urn:example:1.0:User"}
	user["roles"], user["raw"].(object)["roles"] = []string{"admin", "staff"}, []object{{"value": "admin"}, {"value": "staff"}}
	tells("user.updated", "user.updated", user)
	id := p.team(d, "Devs")
	group["id"], group["raw"].(object)["id"] = id, id
	tells("group.created, with members in raw, which are none", "group.created", group)
	change := func(operation object) {
		t.Helper()
		if a := p.scim(d, http.MethodPatch, "Groups/"+id, patch(operation)); a.StatusCode/100 != 2 {
			t.Fatalf("%s %s", a.Status, a.body)
		}
	}
	change(object{"op": "add", "path": "members", "value": []object{{"value": ann}}})
	tells("group.user_added, and not group.updated", "group.user_added", inGroup())
	change(object{"op": "add", "path": "members", "value": []object{{"value": ann}}})
	change(object{"op": "replace", "path": "displayName", "value": "Developers"})
	group["name"], group["raw"].(object)["displayName"] = "Developers", "Developers"
	tells("group.updated, and nothing of a member who was one, not as Polis", "group.updated", group)
	p.eventually("IdentityUpdated", 3) // the members of a group that changed are told of in Portico's own format
	change(object{"op": "remove", "path": `members[value eq "` + ann + `"]`})
	tells("group.user_removed", "group.user_removed", inGroup())
	change(object{"op": "remove", "path": `members[value eq "` + ann + `"]`})
	change(object{"op": "replace", "path": "members", "value": []object{{"value": ann}}})
	tells("group.user_added of replaced members, not as Polis (§11.2 24)", "group.user_added", inGroup())
	p.scim(d, http.MethodDelete, "Groups/"+id, nil).empty(t, 204)
	tells("group.deleted behind those who leave it, not as Polis (§11.2 25)", "group.user_removed", inGroup(), "group.deleted", group)
	p.scim(d, http.MethodDelete, "Users/"+ann, nil).empty(t, 204)
	tells("user.deleted", "user.deleted", user)
	if list := hook.wait(t, told); len(list) != told {
		t.Errorf("%d events more", len(list)-told)
	}
	t.Run("§3.4 the signature is over what JavaScript makes of the body, as receivers of Polis's check it", func(t *testing.T) {
		node, err := exec.LookPath("node")
		if err != nil {
			if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
				t.Fatal("node is missing, and PORTICO_TEST_REQUIRE=1")
			}
			t.Skip("node is missing")
		}
		for _, body := range hook.raw {
			c := exec.CommandContext(t.Context(), node, "-e", `process.stdout.write(JSON.stringify(JSON.parse(require("fs").readFileSync(0, "utf8"))))`)
			c.Stdin = bytes.NewReader(body)
			if again, err := c.Output(); err != nil || !bytes.Equal(again, body) {
				t.Errorf("%v\n sent %s\nagain %s", err, body, again)
			}
		}
	})
}

// eventually waits until the log of events has n of a type.
func (p *program) eventually(eventType string, n int) {
	p.t.Helper()
	for range 600 {
		a := p.do(p.request(http.MethodGet, "/api/v1/events?project="+testProduct+"&type="+eventType, nil, "Authorization", "Bearer "+adminKey))
		if list, _ := a.json(p.t)["events"].([]any); len(list) >= n {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("there are not %d %s", n, eventType)
}

// TestContractBatches is Polis's batch mode.
func TestContractBatches(t *testing.T) {
	hook := newSink(t)
	p := start(t, func(c *app.Config) {
		c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.PolisWebhookBatch = 25
	})
	d := p.newDirectory(object{"webhook_url": hook.URL, "webhook_secret": "hush"})
	ann := p.person(d, "ann")
	p.team(d, "Devs", ann)
	t.Run("§3.4 batch mode: arrays, in order, and the signature over the array", func(t *testing.T) {
		same(t, "events", pick(hook.wait(t, 3), "event"), []any{"user.created", "group.created", "group.user_added"})
		for i, body := range hook.raw {
			if !bytes.HasPrefix(body, []byte("[{")) {
				t.Errorf("%s", body)
			}
			hook.signed(t, i, "hush")
		}
	})
	t.Run("§1.5 the log of batch mode has arrays", func(t *testing.T) {
		for _, entry := range p.read("/api/v1/dsync/events?" + tenantQuery) {
			if list, _ := entry["payload"].([]any); len(list) != 1 {
				t.Errorf("%v", entry["payload"])
			}
		}
	})
}

func TestContractDirectoryEvents(t *testing.T) {
	hook := newSink(t)
	p := start(t, func(c *app.Config) { c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	d := p.newDirectory(object{"webhook_url": hook.URL, "webhook_secret": "hush"})
	p.person(d, "ann")
	hook.wait(t, 1)
	path := "/api/v1/dsync/events"
	scope := "?directoryId=" + d["id"].(string)
	logged := func(n int) []object {
		t.Helper()
		for range 200 {
			list := p.read(path + scope)
			if len(list) == n && !slices.Contains(pick(list, "delivered"), any(false)) {
				return list
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("the log holds %v", p.read(path+scope))
		return nil
	}
	list := logged(1)
	t.Run("§1.5 the log of the webhook", func(t *testing.T) {
		entry := list[0]
		same(t, "payload", entry["payload"].(object)["event"], "user.created")
		if at, err := time.Parse("2006-01-02T15:04:05.000Z", entry["created_at"].(string)); err != nil || time.Since(at) > time.Hour {
			t.Errorf("created_at %v", entry["created_at"])
		}
		same(t, "entry", entry, object{"id": entry["id"], "created_at": entry["created_at"], "payload": hook.bodies[0], "webhook_endpoint": hook.URL,
			"status_code": 204, "delivered": true})
		same(t, "one", p.admin(http.MethodGet, path+"/"+url.PathEscape(entry["id"].(string))+scope, nil).data(t, 200), entry)
		same(t, "by tenant", p.read(path+"?"+tenantQuery), list)
		same(t, "a page", p.read(path+scope+"&pageOffset=1"), []any{})
	})
	t.Run("§1.5 the log of a webhook that takes nothing", func(t *testing.T) {
		refusing, away := newSink(t), newSink(t)
		refusing.status = http.StatusTeapot
		away.Close()
		for tenant, c := range map[string]struct {
			url  string
			want int
		}{"refusing": {refusing.URL, http.StatusTeapot}, "away": {away.URL, http.StatusInternalServerError}} {
			p.person(p.newDirectory(object{"tenant": tenant, "webhook_url": c.url, "webhook_secret": "hush"}), "ann")
			var list []object
			for range 200 {
				if list = p.read(path + "?tenant=" + tenant + "&product=" + testProduct); len(list) == 1 && list[0]["status_code"] != nil {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			same(t, tenant, []any{pick(list, "status_code"), pick(list, "delivered")}, []any{[]int{c.want}, []bool{false}})
		}
	})
	t.Run("§3.4 nothing is sent or logged of a directory without a webhook", func(t *testing.T) {
		p.person(p.newDirectory(object{"tenant": "untold"}), "ann")
		same(t, "log", p.read(path+"?tenant=untold&product="+testProduct), []any{})
	})
	t.Run("§1.5 an unknown event is null, and so is one of another tenant", func(t *testing.T) {
		other := p.newDirectory(object{"tenant": "other.example", "webhook_url": hook.URL, "webhook_secret": "hush"})
		for _, where := range []string{"/nothing" + scope, "/" + list[0]["id"].(string) + "?directoryId=" + other["id"].(string)} {
			if got := p.admin(http.MethodGet, path+where, nil).data(t, 200); got != nil {
				t.Errorf("%v", got)
			}
		}
	})
	t.Run("§1.5 DELETE empties the log", func(t *testing.T) {
		if got := p.admin(http.MethodDelete, path+scope, nil).data(t, 200); got != nil {
			t.Errorf("%v", got)
		}
		same(t, "log", p.read(path+scope), []any{})
		p.admin(http.MethodDelete, path+"?directoryId=00000000-0000-7000-8000-000000000000", nil).coded(t, 404, "Directory configuration not found.")
		p.admin(http.MethodDelete, path+"?"+tenantQuery, nil).coded(t, 400, "Missing required parameters.")
	})
	t.Run("§8 dsync.created, deactivated, activated and deleted are in the log of events", func(t *testing.T) {
		directoryID := d["id"].(string)
		p.admin(http.MethodPatch, "/api/v1/dsync/"+directoryID, object{"deactivated": true})
		if a := p.scim(d, http.MethodGet, "Users", nil); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("§3.1, not as Polis (§11.1 10): SCIM of a deactivated directory: %s", a.Status)
		}
		p.admin(http.MethodPatch, "/api/v1/dsync/"+directoryID, object{"deactivated": false})
		told := func(want ...any) {
			t.Helper()
			var types []any
			for range 200 {
				a := p.do(p.request(http.MethodGet, "/api/v1/events?project="+testProduct+"&directory="+directoryID+
					"&type=dsync.created,dsync.deactivated,dsync.activated,dsync.deleted", nil, "Authorization", "Bearer "+adminKey))
				found, _ := a.json(t)["events"].([]any)
				types = nil
				for _, e := range found {
					types = append(types, e.(object)["type"])
				}
				if len(types) >= len(want) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			same(t, "events", types, want)
		}
		told("DirectoryCreated", "DirectoryDeactivated", "DirectoryActivated")
		time.Sleep(300 * time.Millisecond) // nothing comes, which cannot be waited for
		same(t, "sent to the directory's webhook", p.read(path+scope), []any{})
		p.admin(http.MethodDelete, "/api/v1/dsync/"+directoryID, nil)
		told("DirectoryCreated", "DirectoryDeactivated", "DirectoryActivated", "DirectoryDeleted")
	})
}
