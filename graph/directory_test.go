package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
)

// newDirectory makes a directory and gives it as core has it, and the secret.
func (w *world) newDirectory(organizationID string, change object) (dirsync.Directory, string) {
	w.t.Helper()
	in := object{"organizationId": organizationID}
	for name, value := range change {
		in[name] = value
	}
	p := w.mutate("createDirectory", "CreateDirectoryInput", "directory { id } secret", in)
	d, err := w.dirsync.Directory(w.t.Context(), at(w.t, p, "directory", "id").(string))
	must(w.t, err)
	secret, _ := p["secret"].(string)
	return d, secret
}

func (w *world) user(d dirsync.Directory, name string) string {
	w.t.Helper()
	u, err := w.dirsync.CreateUser(w.t.Context(), d, scim.Resource{"schemas": []any{scim.UserURN}, "userName": name, "active": true,
		"displayName": strings.ToUpper(name), "emails": []any{object{"value": "second@example.com"}, object{"value": name + "@example.com", "primary": true}}})
	must(w.t, err)
	return u.ID
}

func (w *world) group(d dirsync.Directory, name string, members ...string) string {
	w.t.Helper()
	var list []any
	for _, id := range members {
		list = append(list, object{"value": id})
	}
	g, err := w.dirsync.CreateGroup(w.t.Context(), d, scim.Resource{"schemas": []any{scim.GroupURN}, "displayName": name, "members": list})
	must(w.t, err)
	return g.ID
}

func TestDirectories(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	organizationID := w.organization(projectID, "acme")
	const fields = "id clientId label type active scimUrl mapping connectionId quiet logFor organization { slug } credentials { id expiresAt }"
	p := w.mutate("createDirectory", "CreateDirectoryInput", "directory { "+fields+" } secret", object{"organizationId": organizationID,
		"clientId": "acme-entra", "label": "Entra", "type": "ENTRA_ID", "secret": "a-secret-of-the-customer", "quiet": true, "logFor": 3600})
	made := p["directory"].(object)
	id := made["id"].(string)
	equal(t, "created", made, object{"id": id, "clientId": "acme-entra", "label": "Entra", "type": "ENTRA_ID", "active": true, "mapping": nil, "connectionId": nil,
		"scimUrl": publicURL + "/projects/" + projectID + "/scim/acme-entra/v2", "quiet": true, "logFor": 3600, "organization": object{"slug": "acme"},
		"credentials": []object{{"id": at(t, made, "credentials", 0, "id"), "expiresAt": nil}}})
	equal(t, "secret", p["secret"], "a-secret-of-the-customer")

	p = w.mutate("updateDirectory", "UpdateDirectoryInput", "directory { label active logFor quiet }", object{"id": id, "label": "Entra ID", "active": false, "logFor": 0})
	equal(t, "updated", p["directory"], object{"label": "Entra ID", "active": false, "logFor": 0, "quiet": true})

	for code, in := range map[string]object{
		"taken":   {"organizationId": organizationID, "clientId": "acme-entra"},
		"invalid": {"organizationId": organizationID, "secret": "short"},
	} {
		_, wrong := w.try("createDirectory", "CreateDirectoryInput", "secret", in)
		equal(t, "refused", wrong["code"], code)
	}
	_, wrong := w.try("createDirectory", "CreateDirectoryInput", "secret", object{"organizationId": "nobody"})
	equal(t, "no organization", []any{wrong["code"], wrong["path"]}, []any{"not_found", []string{"input", "organizationId"}})
	_, wrong = w.try("updateDirectory", "UpdateDirectoryInput", "directory { id }", object{"id": id, "logFor": -1})
	equal(t, "no length of time", wrong["path"], []string{"input", "logFor"})

	google, secret := w.newDirectory(organizationID, object{"type": "GOOGLE"})
	equal(t, "google", w.run(`query($id: ID!) { directory(id: $id) { scimUrl credentials { id } type } }`, object{"id": google.ID}),
		object{"directory": object{"scimUrl": nil, "credentials": []any{}, "type": "GOOGLE"}})
	if secret != "" {
		t.Errorf("a secret of a directory without SCIM: %q", secret)
	}
	for mutation, in := range map[string]object{"createDirectory": {"organizationId": organizationID, "type": "GOOGLE", "secret": "a-secret-of-the-customer"},
		"addDirectorySecret": {"directoryId": google.ID}, "rotateDirectorySecret": {"directoryId": google.ID}} {
		_, wrong = w.try(mutation, strings.ToUpper(mutation[:1])+mutation[1:]+"Input", "secret", in)
		equal(t, mutation, wrong["path"], []string{"input", "secret"})
	}
	equal(t, "listed", w.run(`query($id: ID!) { organization(id: $id) { directories { nodes { id } totalCount } } }`, object{"id": organizationID}),
		object{"organization": object{"directories": object{"nodes": []object{{"id": google.ID}, {"id": id}}, "totalCount": 2}}})

	w.mutate("deleteDirectory", "DeleteDirectoryInput", "deletedId", object{"id": id})
	equal(t, "gone", w.run(`query($id: ID!) { directory(id: $id) { id } }`, object{"id": id}), object{"directory": nil})
	_, wrong = w.try("deleteDirectory", "DeleteDirectoryInput", "deletedId", object{"id": id})
	equal(t, "deleted twice", wrong["code"], "not_found")
}

// TestDirectoryTypes makes a directory of each type of core.
func TestDirectoryTypes(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	data := w.run(`{ __type(name: "DirectoryType") { enumValues { name } } }`, nil)
	values := at(t, data, "__type", "enumValues").([]any)
	if len(values) != len(dirsync.Types) {
		t.Fatalf("%d types in the schema, %d in core", len(values), len(dirsync.Types))
	}
	seen := map[dirsync.Type]bool{}
	for _, v := range values {
		d, _ := w.newDirectory(organizationID, object{"type": at(t, v, "name")})
		seen[d.Type] = true
		equal(t, "type", at(t, w.run(`query($id: ID!) { directory(id: $id) { type } }`, object{"id": d.ID}), "directory", "type"), at(t, v, "name"))
	}
	if len(seen) != len(values) {
		t.Errorf("two names mean one type: %v", seen)
	}
}

func TestDirectorySecrets(t *testing.T) {
	w := newWorld(t)
	d, first := w.newDirectory(w.organization(w.project("shop"), "acme"), nil)
	let := func(secret string) bool {
		_, err := w.dirsync.Authenticate(t.Context(), dirsync.Ref{ID: d.ID}, secret)
		return err == nil
	}
	const selection = "directory { credentials { id expiresAt } } secretId secret"
	p := w.mutate("addDirectorySecret", "AddDirectorySecretInput", selection, object{"directoryId": d.ID, "expiresAt": w.now.Add(time.Hour).Format(time.RFC3339)})
	second := p["secret"].(string)
	if !let(first) || !let(second) || first == second || len(at(t, p, "directory", "credentials").([]any)) != 2 {
		t.Errorf("added: %v", p)
	}
	_, wrong := w.try("addDirectorySecret", "AddDirectorySecretInput", "secret", object{"directoryId": d.ID})
	equal(t, "a third", wrong["code"], "too_many_secrets")
	_, wrong = w.try("removeDirectorySecret", "RemoveDirectorySecretInput", "directory { id }", object{"directoryId": d.ID, "secretId": "nothing"})
	equal(t, "removed what is not there", []any{wrong["code"], wrong["path"]}, []any{"not_found", []string{"input", "secretId"}})
	w.mutate("removeDirectorySecret", "RemoveDirectorySecretInput", "directory { id }", object{"directoryId": d.ID, "secretId": p["secretId"]})
	if !let(first) || let(second) {
		t.Error("the removed secret lets in, or the other does not")
	}
	p = w.mutate("rotateDirectorySecret", "RotateDirectorySecretInput", selection, object{"directoryId": d.ID, "overlap": 60})
	third := p["secret"].(string)
	if !let(first) || !let(third) {
		t.Error("both are to be taken for a minute")
	}
	w.now = w.now.Add(2 * time.Minute)
	if let(first) || !let(third) {
		t.Error("only the new one is to be taken after that")
	}
	p = w.mutate("rotateDirectorySecret", "RotateDirectorySecretInput", selection, object{"directoryId": d.ID})
	if let(third) || !let(p["secret"].(string)) || len(at(t, p, "directory", "credentials").([]any)) != 1 {
		t.Errorf("rotated at once: %v", p)
	}
	_, wrong = w.try("rotateDirectorySecret", "RotateDirectorySecretInput", "secret", object{"directoryId": d.ID, "overlap": -1})
	equal(t, "overlap", wrong["path"], []string{"input", "overlap"})
}

// TestInstantsAndNumbers: what does not fit says where it stands and what is wanted.
func TestInstantsAndNumbers(t *testing.T) {
	w := newWorld(t)
	d, _ := w.newDirectory(w.organization(w.project("shop"), "acme"), nil)
	const mutation = `mutation($in: AddDirectorySecretInput!) { addDirectorySecret(input: $in) { errors { code } } }`
	const at, overlap = `mutation($at: Time) { addDirectorySecret(input: {directoryId: "x", expiresAt: $at}) { errors { code } } }`,
		`mutation($n: Int) { rotateDirectorySecret(input: {directoryId: "x", overlap: $n}) { errors { code } } }`
	for _, c := range []struct {
		query     string
		variables object
		code      string
		wants     []string
	}{
		{mutation, object{"in": object{"directoryId": d.ID, "expiresAt": "tomorrow"}}, "invalid_variable", []string{"$in.expiresAt", "RFC 3339"}},
		{mutation, object{"in": object{"directoryId": d.ID, "expiresAt": 5}}, "invalid_variable", []string{"$in.expiresAt", "RFC 3339"}},
		{at, object{"at": "2027-01-01"}, "invalid_variable", []string{"$at", "RFC 3339"}},
		{overlap, object{"n": 1 << 40}, "invalid_variable", []string{"$n", "32 bits"}},
		{`mutation { addDirectorySecret(input: {directoryId: "x", expiresAt: "soon"}) { errors { code } } }`, nil, "invalid_document", []string{`"soon"`, "RFC 3339"}},
		{`mutation { addDirectorySecret(input: {directoryId: "x", expiresAt: 5}) { errors { code } } }`, nil, "invalid_document", []string{"RFC 3339"}},
	} {
		a := w.send(c.query, c.variables)
		if len(a.Errors) != 1 || a.Errors[0].Extensions.Code != c.code || a.Data != nil {
			t.Errorf("%v: %+v %v", c.variables, a.Errors, a.Data)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(a.Errors[0].Message, want) {
				t.Errorf("%v: %q has no %q", c.variables, a.Errors[0].Message, want)
			}
		}
	}
	for _, variables := range []object{{"at": "2027-01-01T00:00:00+02:00"}, {"at": nil}, {}} {
		if a := w.send(at, variables); len(a.Errors) != 0 {
			t.Errorf("%v: %+v", variables, a.Errors)
		}
	}
}

func TestProvisioned(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	d, _ := w.newDirectory(organizationID, nil)
	foreign, _ := w.newDirectory(organizationID, nil)
	var users []string
	for _, name := range []string{"ann", "bob", "cid", "dan", "eve"} {
		users = append(users, w.user(d, name))
	}
	inner := w.group(d, "Inner", users[1], users[2])
	outer := w.group(d, "Outer", users[0], users[1], inner)

	equal(t, "user", w.run(`query($d: ID!, $u: ID!) { directory(id: $d) { user(id: $u) { id userName displayName email active version externalId identity { id email directory { id } } } } }`,
		object{"d": d.ID, "u": users[0]}), object{"directory": object{"user": object{"id": users[0], "userName": "ann", "displayName": "ANN", "email": "ann@example.com",
		"active": true, "version": 1, "externalId": nil, "identity": object{"id": users[0], "email": "second@example.com", "directory": object{"id": d.ID}}}}})
	resource := at(t, w.run(`query($d: ID!, $u: ID!) { directory(id: $d) { user(id: $u) { resource } } }`, object{"d": d.ID, "u": users[0]}), "directory", "user", "resource")
	equal(t, "resource", []any{at(t, resource, "userName"), at(t, resource, "emails", 1, "primary")}, []any{"ann", true})
	equal(t, "of another directory", w.run(`query($d: ID!, $u: ID!, $g: ID!) { directory(id: $d) { user(id: $u) { id } group(id: $g) { id } } }`,
		object{"d": foreign.ID, "u": users[0], "g": inner}), object{"directory": object{"user": nil, "group": nil}})

	const list = `query($d: ID!, $first: Int, $after: String, $filter: String) { directory(id: $d) {
		users(first: $first, after: $after, filter: $filter) { nodes { id } totalCount pageInfo { hasNextPage hasPreviousPage endCursor } } } }`
	var got []string
	var after any
	for range 5 {
		page := at(t, w.run(list, object{"d": d.ID, "first": 2, "after": after}), "directory", "users")
		equal(t, "total", at(t, page, "totalCount"), 5)
		equal(t, "previous", at(t, page, "pageInfo", "hasPreviousPage"), after != nil)
		for _, n := range at(t, page, "nodes").([]any) {
			got = append(got, at(t, n, "id").(string))
		}
		if at(t, page, "pageInfo", "hasNextPage") == false {
			break
		}
		after = at(t, page, "pageInfo", "endCursor")
	}
	equal(t, "oldest first, each once", got, users)
	for filter, want := range map[string][]string{
		`userName eq "ANN"`: {users[0]}, `emails.value eq "bob@example.com"`: {users[1]}, `userName sw "c" or displayName eq "DAN"`: {users[2], users[3]},
		`active eq false`: {}, ``: users,
	} {
		page := at(t, w.run(list, object{"d": d.ID, "filter": filter}), "directory", "users")
		var got []string
		for _, n := range at(t, page, "nodes").([]any) {
			got = append(got, at(t, n, "id").(string))
		}
		if !slices.Equal(got, want) || at(t, page, "totalCount") != float64(len(want)) {
			t.Errorf("%s: %v, want %v", filter, page, want)
		}
	}
	for code, variables := range map[string]object{
		"invalid_filter": {"d": d.ID, "filter": "userName is ann"}, "invalid": {"d": d.ID, "first": 101}, "invalid_cursor": {"d": d.ID, "after": "junk"},
	} {
		if a := w.send(list, variables); len(a.Errors) != 1 || a.Errors[0].Extensions.Code != code {
			t.Errorf("%s: %+v", code, a.Errors)
		}
	}
	equal(t, "groups by filter", w.run(`query($d: ID!) { directory(id: $d) { groups(filter: "displayName eq \"outer\"") { nodes { id displayName } totalCount } } }`, object{"d": d.ID}),
		object{"directory": object{"groups": object{"nodes": []object{{"id": outer, "displayName": "Outer"}}, "totalCount": 1}}})

	equal(t, "groups of a user", w.run(`query($d: ID!, $u: ID!) { directory(id: $d) { user(id: $u) { groups { nodes { id } totalCount } all: groups(effective: true) { nodes { id } } } } }`,
		object{"d": d.ID, "u": users[2]}), object{"directory": object{"user": object{"groups": object{"nodes": []object{{"id": inner}}, "totalCount": 1},
		"all": object{"nodes": sorted(inner, outer)}}}})
	equal(t, "groups around a group", w.run(`query($d: ID!, $g: ID!) { directory(id: $d) { group(id: $g) { groups { nodes { id } } } } }`, object{"d": d.ID, "g": inner}),
		object{"directory": object{"group": object{"groups": object{"nodes": []object{{"id": outer}}}}}})

	for field, want := range map[string][]object{
		"members":          append([]object{{"id": inner}}, sorted(users[0], users[1])...),
		"effectiveMembers": sorted(users[0], users[1], users[2]),
	} {
		var got []any
		var after any
		for range 5 {
			page := at(t, w.run(fmt.Sprintf(`query($d: ID!, $g: ID!, $after: String) { directory(id: $d) { group(id: $g) {
				%s(first: 1, after: $after) { nodes { id } totalCount pageInfo { hasNextPage endCursor } } } } }`, field),
				object{"d": d.ID, "g": outer, "after": after}), "directory", "group", field)
			equal(t, field+" in all", at(t, page, "totalCount"), 3)
			got = append(got, at(t, page, "nodes").([]any)...)
			if at(t, page, "pageInfo", "hasNextPage") == false {
				break
			}
			after = at(t, page, "pageInfo", "endCursor")
		}
		equal(t, field, got, want)
	}
	equal(t, "members are users or groups", w.run(`query($d: ID!, $g: ID!) { directory(id: $d) { group(id: $g) { members(first: 1) { nodes { user { id } group { displayName } } } } } }`,
		object{"d": d.ID, "g": outer}), object{"directory": object{"group": object{"members": object{"nodes": []object{{"user": nil, "group": object{"displayName": "Inner"}}}}}}})
}

// TestPagesAreReadAtOnce holds that what the items of a page lead to takes as many reads for many as for one.
func TestPagesAreReadAtOnce(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	organizationID := w.organization(projectID, "acme")
	d, _ := w.newDirectory(organizationID, nil)
	endpoint := at(t, w.mutate("createWebhookEndpoint", "CreateWebhookEndpointInput", "endpoint { id }",
		object{"projectId": projectID, "url": "https://r.example/hook"}), "endpoint", "id")
	var members []string
	for i := range 10 {
		members = append(members, w.user(d, fmt.Sprintf("user%d", i)), w.group(d, fmt.Sprintf("Group %d", i)))
	}
	group := w.group(d, "All", members...)
	w.tell()
	variables := object{"d": d.ID, "g": group, "o": organizationID, "e": endpoint}
	for name, query := range map[string]string{
		"identities of users": `query($d: ID!, $n: Int) { directory(id: $d) { users(first: $n) { nodes { identity { id } } } } }`,
		"members of a group": `query($d: ID!, $g: ID!, $n: Int) { directory(id: $d) { group(id: $g) { members(first: $n) {
			nodes { user { userName identity { id } } group { displayName } } } } } }`,
		"effective members": `query($d: ID!, $g: ID!, $n: Int) { directory(id: $d) { group(id: $g) { effectiveMembers(first: $n) {
			nodes { user { userName identity { id } } } } } } }`,
		"directories of people": `query($o: ID!, $n: Int) { organization(id: $o) { identities(first: $n) { nodes { directory { id organization { id } } } } } }`,
		"events of deliveries":  `query($e: ID!, $n: Int) { webhookEndpoint(id: $e) { deliveries(first: $n) { nodes { event { id } } } } }`,
	} {
		reads := func(n int) int64 {
			variables["n"] = n
			before := w.backend.reads.Load()
			if text := fmt.Sprint(w.run(query, variables)); strings.Contains(text, "identity:<nil>") || strings.Contains(text, "event:<nil>") || strings.Contains(text, "directory:<nil>") {
				t.Errorf("%s: %s", name, text)
			}
			return w.backend.reads.Load() - before
		}
		if one, many := reads(1), reads(20); many > one+2 { // a page of one member is of one type
			t.Errorf("%s: %d reads for one, %d for a page", name, one, many)
		}
	}
}

func TestGroupsOfPeople(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	d, _ := w.newDirectory(organizationID, nil)
	ann := w.user(d, "ann")
	inner := w.group(d, "Inner", ann)
	outer := w.group(d, "Outer", inner)
	const query = `query($id: ID!, $effective: Boolean) { identity(id: $id) { groups(effective: $effective) { nodes { id } totalCount pageInfo { hasNextPage } } } }`
	for effective, want := range map[any][]object{nil: {{"id": inner}}, false: {{"id": inner}}, true: sorted(inner, outer)} {
		equal(t, fmt.Sprint("effective ", effective), at(t, w.run(query, object{"id": ann, "effective": effective}), "identity", "groups"),
			object{"nodes": want, "totalCount": len(want), "pageInfo": object{"hasNextPage": false}})
	}
	made := w.mutate("createIdentity", "CreateIdentityInput", "identity { id }", object{"organizationId": organizationID})
	equal(t, "of nobody's directory", at(t, w.run(query, object{"id": at(t, made, "identity", "id")}), "identity", "groups", "totalCount"), 0)
}

// TestConnectionOfDirectory: the connection whose people a directory takes over is of its own organization.
func TestConnectionOfDirectory(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	acme, rival := w.organization(projectID, "acme"), w.organization(projectID, "rival")
	own, foreign := w.connectionOf(acme).ID, w.connectionOf(rival).ID
	d, _ := w.newDirectory(acme, object{"connectionId": own})
	equal(t, "its own", d.ConnectionID, own)
	for _, id := range []string{foreign, "nothing"} {
		_, wrong := w.try("createDirectory", "CreateDirectoryInput", "secret", object{"organizationId": acme, "connectionId": id})
		equal(t, "created", []any{wrong["code"], wrong["path"]}, []any{"not_found", []string{"input", "connectionId"}})
		_, wrong = w.try("updateDirectory", "UpdateDirectoryInput", "directory { id }", object{"id": d.ID, "connectionId": id})
		equal(t, "updated", []any{wrong["code"], wrong["path"]}, []any{"not_found", []string{"input", "connectionId"}})
	}
	_, wrong := w.try("updateDirectory", "UpdateDirectoryInput", "directory { id }", object{"id": "nothing", "connectionId": own})
	equal(t, "no directory", wrong["path"], []string{"input", "id"})
	p := w.mutate("updateDirectory", "UpdateDirectoryInput", "directory { connectionId }", object{"id": d.ID, "connectionId": ""})
	equal(t, "cleared", at(t, p, "directory", "connectionId"), nil)
}

// sorted are ids as nodes, in their order.
func sorted(ids ...string) []object {
	slices.Sort(ids)
	var out []object
	for _, id := range ids {
		out = append(out, object{"id": id})
	}
	return out
}

func TestDirectoryRequests(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	d, _ := w.newDirectory(organizationID, object{"logFor": 60})
	other, _ := w.newDirectory(organizationID, object{"logFor": 60})
	for n, path := range []string{"/Users", "/Groups"} {
		must(t, w.dirsync.LogRequests(t.Context(), d, dirsync.Request{Method: "POST", Path: path, Status: 400 + n, Reason: "why", Body: "{}", At: w.now.Add(time.Duration(n) * time.Second)}))
	}
	const query = `query($d: ID!, $after: String) { directory(id: $d) { requests(first: 1, after: $after) { nodes { method path status reason body } pageInfo { hasNextPage endCursor } } } }`
	page := at(t, w.run(query, object{"d": d.ID}), "directory", "requests")
	equal(t, "newest", at(t, page, "nodes"), []object{{"method": "POST", "path": "/Groups", "status": 401, "reason": "why", "body": "{}"}})
	page = at(t, w.run(query, object{"d": d.ID, "after": at(t, page, "pageInfo", "endCursor")}), "directory", "requests")
	equal(t, "next", []any{at(t, page, "nodes", 0, "path"), at(t, page, "pageInfo", "hasNextPage")}, []any{"/Users", false})
	equal(t, "of another", at(t, w.run(query, object{"d": other.ID}), "directory", "requests", "nodes"), []any{})
	must(t, w.dirsync.LogRequests(t.Context(), d, dirsync.Request{Method: "GET", Path: "/Users", Status: 200, At: w.now.Add(time.Minute)}))
	const refused = `query($d: ID!, $refused: Boolean, $after: String) { directory(id: $d) { requests(refused: $refused, first: 1, after: $after) {
		nodes { status } pageInfo { hasNextPage endCursor } } } }`
	page = at(t, w.run(refused, object{"d": d.ID, "refused": true}), "directory", "requests")
	equal(t, "the newest refusal", []any{at(t, page, "nodes", 0, "status"), at(t, page, "pageInfo", "hasNextPage")}, []any{401, true})
	page = at(t, w.run(refused, object{"d": d.ID, "refused": true, "after": at(t, page, "pageInfo", "endCursor")}), "directory", "requests")
	equal(t, "the next refusal", []any{at(t, page, "nodes", 0, "status"), at(t, page, "pageInfo", "hasNextPage")}, []any{400, false})
	equal(t, "all", at(t, w.run(refused, object{"d": d.ID, "refused": false}), "directory", "requests", "nodes", 0, "status"), 200)
	equal(t, "refusals of another", at(t, w.run(refused, object{"d": other.ID, "refused": true}), "directory", "requests", "nodes"), []any{})
	w.mutate("clearDirectoryRequests", "ClearDirectoryRequestsInput", "directory { id }", object{"directoryId": d.ID})
	equal(t, "cleared", at(t, w.run(query, object{"d": d.ID}), "directory", "requests", "nodes"), []any{})
}

func TestSettingsAndDomains(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	id := w.organization(projectID, "acme")
	rival := w.organization(projectID, "rival")
	const settings = "scimEnabled scimBaseUrl passwordsBesideSso"
	equal(t, "at first", w.run(`query($id: ID!) { organization(id: $id) { `+settings+` domains { totalCount } } }`, object{"id": id}),
		object{"organization": object{"scimEnabled": true, "scimBaseUrl": nil, "passwordsBesideSso": false, "domains": object{"totalCount": 0}}})
	d, secret := w.newDirectory(id, object{"clientId": "c"})
	p := w.mutate("updateOrganizationSettings", "UpdateOrganizationSettingsInput", "organization { "+settings+" }",
		object{"organizationId": id, "scimEnabled": false, "scimBaseUrl": "https://scim.example.com/x/", "passwordsBesideSso": true})
	equal(t, "changed", p["organization"], object{"scimEnabled": false, "scimBaseUrl": "https://scim.example.com/x", "passwordsBesideSso": true})
	if _, err := w.dirsync.Authenticate(t.Context(), dirsync.Ref{ID: d.ID}, secret); err == nil {
		t.Error("SCIM is switched off, and a directory let in")
	}
	equal(t, "the directory's address", w.run(`query($id: ID!) { directory(id: $id) { scimUrl } }`, object{"id": d.ID}),
		object{"directory": object{"scimUrl": "https://scim.example.com/x/projects/" + projectID + "/scim/c/v2"}})
	p = w.mutate("updateOrganizationSettings", "UpdateOrganizationSettingsInput", "organization { "+settings+" }", object{"organizationId": id, "scimBaseUrl": "", "scimEnabled": nil})
	equal(t, "cleared, and left", p["organization"], object{"scimEnabled": false, "scimBaseUrl": nil, "passwordsBesideSso": true})
	_, wrong := w.try("updateOrganizationSettings", "UpdateOrganizationSettingsInput", "organization { id }", object{"organizationId": id, "scimBaseUrl": "ftp://x"})
	equal(t, "no address", wrong["path"], []string{"input", "scimBaseUrl"})

	p = w.mutate("addOrganizationDomain", "AddOrganizationDomainInput", "domain { id name verified verifiedAt }", object{"organizationId": id, "name": " Acme.Example "})
	domainID := at(t, p, "domain", "id")
	equal(t, "added", p["domain"], object{"id": domainID, "name": "acme.example", "verified": false, "verifiedAt": nil})
	_, wrong = w.try("addOrganizationDomain", "AddOrganizationDomainInput", "domain { id }", object{"organizationId": id, "name": "no domain"})
	equal(t, "no domain", wrong["path"], []string{"input", "name"})
	p = w.mutate("verifyOrganizationDomain", "VerifyOrganizationDomainInput", "domain { verified }", object{"id": domainID})
	equal(t, "verified", p["domain"], object{"verified": true})
	theirs := at(t, w.mutate("addOrganizationDomain", "AddOrganizationDomainInput", "domain { id }", object{"organizationId": rival, "name": "acme.example"}), "domain", "id")
	_, wrong = w.try("verifyOrganizationDomain", "VerifyOrganizationDomainInput", "domain { id }", object{"id": theirs})
	equal(t, "somebody else's", wrong["code"], "taken")
	equal(t, "listed", w.run(`query($id: ID!) { organization(id: $id) { domains { nodes { name verified } totalCount } } }`, object{"id": id}),
		object{"organization": object{"domains": object{"nodes": []object{{"name": "acme.example", "verified": true}}, "totalCount": 1}}})
	p = w.mutate("verifyOrganizationDomain", "VerifyOrganizationDomainInput", "domain { verified verifiedAt }", object{"id": domainID, "verified": false})
	equal(t, "no longer", p["domain"], object{"verified": false, "verifiedAt": nil})
	w.mutate("verifyOrganizationDomain", "VerifyOrganizationDomainInput", "domain { id }", object{"id": theirs})
	w.mutate("removeOrganizationDomain", "RemoveOrganizationDomainInput", "deletedId", object{"id": domainID})
	_, wrong = w.try("removeOrganizationDomain", "RemoveOrganizationDomainInput", "deletedId", object{"id": domainID})
	equal(t, "removed twice", wrong["code"], "not_found")
}

func TestIdentities(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	id, other := w.organization(projectID, "acme"), w.organization(projectID, "other")
	const fields = "id active email userName externalId addresses traits metadataPublic metadataAdmin hasPassword directory { id } organization { slug }"
	p := w.mutate("createIdentity", "CreateIdentityInput", "identity { "+fields+" }", object{"organizationId": id, "userName": "ann", "password": "correct horse battery",
		"traits": object{"email": "Ann@Example.com", "age": 40, "tags": []any{"x", nil}}, "metadataPublic": object{"tier": "gold"}})
	personID := at(t, p, "identity", "id").(string)
	equal(t, "created", p["identity"], object{"id": personID, "active": true, "email": "Ann@Example.com", "userName": "ann", "externalId": nil,
		"addresses": []string{"Ann@Example.com"}, "traits": object{"email": "Ann@Example.com", "age": 40, "tags": []any{"x", nil}},
		"metadataPublic": object{"tier": "gold"}, "metadataAdmin": nil, "hasPassword": true, "directory": nil, "organization": object{"slug": "acme"}})
	equal(t, "a literal of the document", at(t, w.run(`mutation($o: ID!) { createIdentity(input: {organizationId: $o, traits: {email: "lit@example.com", n: 1, deep: {a: [true]}}}) { identity { traits } } }`,
		object{"o": id}), "createIdentity", "identity", "traits"), object{"email": "lit@example.com", "n": 1, "deep": object{"a": []any{true}}})

	p = w.mutate("updateIdentity", "UpdateIdentityInput", "identity { active traits metadataPublic hasPassword }",
		object{"id": personID, "metadataAdmin": object{"note": 1}, "active": false, "password": "", "traits": nil})
	equal(t, "updated", p["identity"], object{"active": false, "traits": object{"email": "Ann@Example.com", "age": 40, "tags": []any{"x", nil}},
		"metadataPublic": object{"tier": "gold"}, "hasPassword": false})
	for _, field := range []string{"traits", "metadataPublic", "metadataAdmin"} {
		_, wrong := w.try("updateIdentity", "UpdateIdentityInput", "identity { id }", object{"id": personID, field: []any{1}})
		equal(t, field+" that is no object", wrong["path"], []string{"input", field})
	}
	_, wrong := w.try("createIdentity", "CreateIdentityInput", "identity { id }", object{"organizationId": id, "userName": "ANN"})
	equal(t, "the same name", wrong["code"], "uniqueness")
	_, wrong = w.try("createIdentity", "CreateIdentityInput", "identity { id }", object{"organizationId": "nobody"})
	equal(t, "no organization", wrong["path"], []string{"input", "organizationId"})
	w.mutate("createIdentity", "CreateIdentityInput", "identity { id }", object{"organizationId": other, "userName": "ann"})

	d, _ := w.newDirectory(id, nil)
	u, err := w.dirsync.CreateUser(t.Context(), d, scim.Resource{"schemas": []any{scim.UserURN}, "userName": "bob", "externalId": "e-7", "active": true,
		"emails": []any{object{"value": "bob@example.com"}}})
	must(t, err)
	const find = `query($o: ID!, $address: String, $userName: String, $externalId: String) { organization(id: $o) {
		findIdentities(address: $address, userName: $userName, externalId: $externalId) { id } } }`
	for _, c := range []struct {
		by   object
		want []object
	}{
		{object{"address": "ANN@example.com"}, []object{{"id": personID}}}, {object{"userName": "Ann"}, []object{{"id": personID}}},
		{object{"externalId": "e-7"}, []object{{"id": u.ID}}}, {object{"address": "bob@example.com"}, []object{{"id": u.ID}}},
		{object{"userName": "e-7"}, []object{}}, {object{"address": "nobody@example.com"}, []object{}},
	} {
		c.by["o"] = id
		equal(t, fmt.Sprint(c.by), at(t, w.run(find, c.by), "organization", "findIdentities"), c.want)
	}
	for _, by := range []object{{"o": id}, {"o": id, "address": "a@example.com", "userName": "b"}} {
		if a := w.send(find, by); len(a.Errors) != 1 || a.Errors[0].Extensions.Code != "required" {
			t.Errorf("%v: %+v", by, a.Errors)
		}
	}
	_, wrong = w.try("updateIdentity", "UpdateIdentityInput", "identity { id }", object{"id": u.ID, "userName": "rob"})
	equal(t, "the directory's name", wrong["code"], "provisioned")

	for _, gone := range []string{personID, u.ID} {
		w.mutate("deleteIdentity", "DeleteIdentityInput", "deletedId", object{"id": gone})
		equal(t, "gone", w.run(`query($id: ID!) { identity(id: $id) { id } }`, object{"id": gone}), object{"identity": nil})
	}
	equal(t, "out of the directory, too", w.run(`query($d: ID!) { directory(id: $d) { users { totalCount } } }`, object{"d": d.ID}),
		object{"directory": object{"users": object{"totalCount": 0}}})
}
