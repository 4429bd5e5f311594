package databases

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
)

// TestProvisionedApart has 32 clients provision three organizations of two projects at two instances, all interleaved, and try
// everything with what belongs to others. Client ids, people, addresses and groups have the same names everywhere. No answer is a
// failure or shows anything of another directory, what is there at the end is what each client was told, at the place that its
// token says, and what was refused has left nothing.
func TestProvisionedApart(t *testing.T) {
	some(t, func(s setup) bool { return s.sessions == "" && (s.records == "" || s.records == engines.Postgres) }, func(t *testing.T, s setup) {
		env := settings(s.fresh(t))
		p := newProvisioning(t, serve(t, 2, env))
		requests, began := int64(number(3000, 100_000)), time.Now()
		var running sync.WaitGroup
		for n := range 32 {
			w := newWriter(p, n)
			running.Go(func() {
				for p.sent.Load() < requests && !t.Failed() {
					w.write()
				}
			})
		}
		running.Wait()
		took := time.Since(began)
		t.Logf("%d requests of 32 clients in %s, %d a second: %s", p.sent.Load(), took.Round(time.Second), int(float64(p.sent.Load())/took.Seconds()), p.answered())
		if !t.Failed() {
			p.places(env)
		}
	})
}

// provisioning is directories that are written to.
type provisioning struct {
	t           *testing.T
	all         []*instance
	directories []*scimClient
	projects    map[string]string // ids by slug
	sent        atomic.Int64
	mu          sync.Mutex
	statuses    map[int]int
}

// scimClient is a directory, and what its clients know of it.
type scimClient struct {
	project, tenant, client string
	projectID, orgID, id    string
	secret, mark            string
	sibling                 bool // its addresses have another domain than those of the other directory of the organization
	quiet                   bool
	writers                 []*writer

	mu   sync.Mutex
	ids  map[string]bool // of all users and groups that it ever had
	logs map[string]int  // requests that were let in, as the log has them
}

// thief stands in what is sent to where it does not belong.
const thief = "thief-was-here"

const markURN = "urn:example:mark"

func newProvisioning(t *testing.T, all []*instance) *provisioning {
	t.Helper()
	p := &provisioning{t: t, all: all, projects: map[string]string{}, statuses: map[int]int{}}
	organizations := map[string]string{}
	for n, d := range []*scimClient{
		{project: "crm", tenant: "acme.example", client: "okta"}, {project: "crm", tenant: "acme.example", client: "entra", sibling: true},
		{project: "crm", tenant: "globex.example", client: "ping"}, {project: "crm", tenant: "globex.example", client: "workday", sibling: true},
		{project: "hr", tenant: "acme.example", client: "okta"}, {project: "hr", tenant: "acme.example", client: "entra", sibling: true},
	} {
		if p.projects[d.project] == "" {
			p.projects[d.project] = p.make("Project", object{"slug": d.project, "host": d.project + ".example"})
		}
		d.projectID = p.projects[d.project]
		if organizations[d.project+d.tenant] == "" {
			organizations[d.project+d.tenant] = p.make("Organization", object{"projectId": d.projectID, "slug": d.tenant})
		}
		d.orgID, d.quiet = organizations[d.project+d.tenant], n%2 == 0
		d.mark = fmt.Sprintf("mark-of-%s-%s-%s", d.project, d.tenant, d.client)
		d.ids, d.logs = map[string]bool{}, map[string]int{}
		data, err := all[0].graphql(t.Context(), `mutation($in: CreateDirectoryInput!) {it: createDirectory(input: $in) {directory {id} secret errors {message}}}`,
			object{"in": object{"organizationId": d.orgID, "clientId": d.client, "quiet": d.quiet, "logFor": 86400}})
		if err != nil {
			t.Fatal(err)
		}
		made := data["it"].(object)
		d.id, d.secret = made["directory"].(object)["id"].(string), made["secret"].(string)
		d.ids[d.id] = true
		p.directories = append(p.directories, d)
	}
	return p
}

func (p *provisioning) make(name string, in object) string {
	p.t.Helper()
	id, err := p.all[0].create(p.t.Context(), name, in)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// scimAddress is where a directory is asked: a path and, of one of the three, the host that names the project.
type scimAddress struct{ base, host string }

func (d *scimClient) addresses() []scimAddress {
	return []scimAddress{{"/scim/" + d.client + "/v2", d.project + ".example"}, {"/projects/" + d.project + "/scim/" + d.client + "/v2", ""},
		{"/api/scim/v2.0/" + d.id, ""}}
}

// answered says how often which status was answered.
func (p *provisioning) answered() string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(p.statuses)) {
		parts = append(parts, fmt.Sprintf("%d times %d", p.statuses[status], status))
	}
	return strings.Join(parts, ", ")
}

// reply is an answer of SCIM.
type reply struct {
	status int
	body   []byte
}

func (r reply) read(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(r.body, into); err != nil {
		t.Errorf("%d %s: %v", r.status, r.body, err)
	}
}

// resource is as much of a resource as matters here, of users and groups.
type resource struct {
	ID          string `json:"id"`
	UserName    string `json:"userName"`
	DisplayName string `json:"displayName"`
	ExternalID  string `json:"externalId"`
	Title       string `json:"title"`
	Active      bool   `json:"active"`
	Emails      []struct{ Value string }
	Mark        struct{ Of string } `json:"urn:example:mark"`
	Members     []struct{ Value, Type string }
	Groups      []struct{ Value string }
	Meta        struct{ Version, Location string }
}

// send sends a request to an address with a token, and holds that the answer is one of those, and shows nothing that is of
// others than reader.
func (p *provisioning) send(reader *scimClient, at scimAddress, token, method, path string, body any, statuses ...int) (reply, bool) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			p.t.Error(err)
			return reply{}, false
		}
		in = strings.NewReader(string(text))
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.all[rand.N(len(p.all))].URL+at.base+path, in)
	if err != nil {
		p.t.Error(err)
		return reply{}, false
	}
	r.Host = at.host
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := sharedClient.Do(r)
	if err != nil {
		p.t.Errorf("%s %s%s: %v", method, at.base, path, err)
		return reply{}, false
	}
	defer func() { _ = response.Body.Close() }()
	a := reply{status: response.StatusCode}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		p.t.Errorf("%s %s%s: %v", method, at.base, path, err)
		return reply{}, false
	}
	p.sent.Add(1)
	p.mu.Lock()
	p.statuses[a.status]++
	p.mu.Unlock()
	if !slices.Contains(statuses, a.status) {
		p.t.Errorf("%s %s%s of %s: %d, want one of %v: %s", method, at.base, path, reader.mark, a.status, statuses, a.body)
		return a, false
	}
	for _, d := range p.directories {
		if d != reader && (strings.Contains(string(a.body), d.mark) || strings.Contains(string(a.body), thief)) {
			p.t.Errorf("%s %s%s shows %s: %s", method, at.base, path, reader.mark, a.body)
		}
	}
	return a, true
}

// user and team are what a writer was told of those that it made.
type user struct {
	id, userName, externalID, email, version string
	active                                   bool
}

type team struct {
	id, name, externalID string
	members              map[string]bool // also of those who were deleted meanwhile
}

// writer is one client of a directory. It alone changes what it made; its groups have members of all writers.
type writer struct {
	*provisioning
	d      *scimClient
	number int // among the writers of the directory
	users  []*user
	teams  []*team
}

func newWriter(p *provisioning, n int) *writer {
	d := p.directories[n%len(p.directories)]
	w := &writer{provisioning: p, d: d, number: len(d.writers)}
	d.writers = append(d.writers, w)
	return w
}

// ask sends a request of a directory's own, which its log will have.
func (p *provisioning) ask(d *scimClient, at scimAddress, method, path string, body any, statuses ...int) (reply, bool) {
	a, ok := p.send(d, at, d.secret, method, path, body, statuses...)
	if a.status != 0 {
		d.mu.Lock()
		d.logs[fmt.Sprint(method, " ", path, " ", a.status)]++
		d.mu.Unlock()
	}
	return a, ok
}

// do sends a request of the writer's own, to one of the addresses of its directory.
func (w *writer) do(method, path string, body any, statuses ...int) (reply, bool) {
	return w.ask(w.d, w.d.addresses()[rand.N(3)], method, path, body, statuses...)
}

// write sends a random request, or several that belong together.
func (w *writer) write() {
	switch n := rand.N(20); {
	case n < 4:
		w.createUser()
	case n < 8:
		w.changeUser()
	case n < 9:
		w.deleteUser()
	case n < 11:
		w.createTeam()
	case n < 14:
		w.changeTeam()
	case n < 15:
		w.deleteTeam()
	case n < 16:
		w.bulk()
	case n < 17:
		w.look()
	default:
		w.trespass()
	}
}

// names are how many users, and how many groups, a writer may have.
const names = 12

func (w *writer) someUser() *user {
	if len(w.users) == 0 {
		return nil
	}
	return w.users[rand.N(len(w.users))]
}

func (w *writer) someTeam() *team {
	if len(w.teams) == 0 {
		return nil
	}
	return w.teams[rand.N(len(w.teams))]
}

// anybody is the id of a user of the directory, who may be deleted meanwhile, and whether it is one who is not.
func (w *writer) anybody() (id string, sure bool) {
	if u := w.someUser(); u != nil && rand.N(2) == 0 {
		return u.id, true
	}
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	for id := range w.d.ids { // in no order
		if id != w.d.id {
			return id, false
		}
	}
	return "", false
}

// email is an address of the directory's domain, or seldom of the sibling's, which may be taken.
func (w *writer) email(n int) string {
	sibling := w.d.sibling
	if rand.N(10) == 0 {
		sibling = !sibling
	}
	return fmt.Sprintf("user-%d-%d@%s.example", w.number, n, map[bool]string{false: "first", true: "second"}[sibling])
}

// describe makes what is said of a user: names that other directories have as well.
func (w *writer) describe() *user {
	n := rand.N(names)
	u := &user{userName: fmt.Sprintf("user-%d-%d", w.number, n), email: w.email(n), active: rand.N(4) > 0}
	if rand.N(2) == 0 {
		u.externalID = fmt.Sprintf("ext-%d-%d", w.number, rand.N(names))
	}
	return u
}

func (u *user) body(mark string) object {
	body := object{"schemas": []string{userSchema}, "userName": u.userName, "title": mark, "active": u.active, "emails": []object{{"value": u.email}}}
	if u.externalID != "" {
		body["externalId"] = u.externalID
	}
	return body
}

// known is who of the writer's users is taken up where one is created; taken says that it is refused.
func (w *writer) known(n *user) (again []*user, taken bool) {
	for _, u := range w.users {
		if u.userName == n.userName {
			return []*user{u}, u.active
		}
		if !u.active && n.externalID != "" && u.externalID == n.externalID {
			again = append(again, u)
		}
	}
	for _, u := range w.users {
		if u.userName == n.userName {
			return []*user{u}, u.active
		}
	}
	return again, false
}

func (w *writer) createUser() {
	u := w.describe()
	again, taken := w.known(u)
	statuses := []int{http.StatusCreated, http.StatusConflict}
	if taken {
		statuses = statuses[1:]
	}
	a, ok := w.do(http.MethodPost, "/Users", u.body(w.d.mark), statuses...)
	if !ok || a.status == http.StatusConflict {
		return
	}
	w.created(u, a, again)
}

// created notes a user who was made or taken up.
func (w *writer) created(u *user, a reply, again []*user) {
	var made resource
	a.read(w.t, &made)
	u.id, u.version = made.ID, made.Meta.Version
	i := slices.IndexFunc(again, func(k *user) bool { return k.id == u.id })
	switch {
	case len(again) > 0 && i < 0:
		w.t.Errorf("%s of %s is %s, and was somebody else", u.userName, w.d.mark, u.id)
	case i >= 0:
		*again[i] = *u
	default:
		w.users = append(w.users, u)
		w.d.made(u.id)
	}
}

func (d *scimClient) made(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids[id] = true
}

func (w *writer) changeUser() {
	u := w.someUser()
	if u == nil {
		return
	}
	var a reply
	var ok bool
	next := *u
	switch rand.N(3) {
	case 0:
		said := w.describe()
		said.id = u.id
		next = *said
		a, ok = w.do(http.MethodPut, "/Users/"+u.id, next.body(w.d.mark), http.StatusOK, http.StatusConflict)
	case 1:
		next.active = rand.N(3) > 0
		a, ok = w.do(http.MethodPatch, "/Users/"+u.id, changes(object{"op": "replace", "path": "active", "value": next.active}), http.StatusOK)
	default:
		next.email = w.email(rand.N(names))
		a, ok = w.do(http.MethodPatch, "/Users/"+u.id, changes(object{"op": "replace", "path": "emails", "value": []object{{"value": next.email}}}),
			http.StatusOK, http.StatusConflict)
	}
	if ok && a.status == http.StatusOK {
		var now resource
		a.read(w.t, &now)
		next.version = now.Meta.Version
		*u = next
	}
}

func changes(operations ...object) object {
	return object{"schemas": []string{patchSchema}, "Operations": operations}
}

func (w *writer) deleteUser() {
	if u := w.someUser(); u != nil {
		if _, ok := w.do(http.MethodDelete, "/Users/"+u.id, nil, http.StatusNoContent); ok {
			w.users = slices.DeleteFunc(w.users, func(o *user) bool { return o == u })
		}
	}
}

// someMembers are a few ids, and the statuses that a request to have them as members may get.
func (w *writer) someMembers(ok int) (members []object, ids map[string]bool, statuses []int) {
	ids, statuses = map[string]bool{}, []int{ok, http.StatusConflict}
	for range rand.N(4) {
		id, sure := w.anybody()
		if id == "" || ids[id] || slices.ContainsFunc(w.teams, func(t *team) bool { return t.id == id }) {
			continue
		}
		members, ids[id] = append(members, object{"value": id}), true
		if !sure {
			statuses = []int{ok, http.StatusConflict, http.StatusBadRequest} // they were deleted, or are a group around this one
		}
	}
	return members, ids, statuses
}

func (t *team) body(mark string, members []object) object {
	body := object{"schemas": []string{groupSchema, markURN}, "displayName": t.name, markURN: object{"of": mark}, "members": members}
	if t.externalID != "" {
		body["externalId"] = t.externalID
	}
	return body
}

const groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"

func (w *writer) nameTeam() *team {
	n := rand.N(names)
	t := &team{name: fmt.Sprintf("Team %d-%d", w.number, n), members: map[string]bool{}}
	if rand.N(3) == 0 {
		t.externalID = fmt.Sprintf("team-%d-%d", w.number, n)
	}
	return t
}

func (w *writer) createTeam() {
	t := w.nameTeam()
	members, ids, statuses := w.someMembers(http.StatusCreated)
	if slices.ContainsFunc(w.teams, func(o *team) bool { return o.name == t.name }) {
		statuses = statuses[1:]
	}
	a, ok := w.do(http.MethodPost, "/Groups", t.body(w.d.mark, members), statuses...)
	if !ok || a.status != http.StatusCreated {
		return
	}
	var made resource
	a.read(w.t, &made)
	t.id, t.members = made.ID, ids
	w.teams = append(w.teams, t)
	w.d.made(t.id)
}

func (w *writer) changeTeam() {
	t := w.someTeam()
	if t == nil {
		return
	}
	if rand.N(4) == 0 {
		named := w.nameTeam()
		members, ids, statuses := w.someMembers(http.StatusOK)
		if a, ok := w.do(http.MethodPut, "/Groups/"+t.id, named.body(w.d.mark, members), statuses...); ok && a.status == http.StatusOK {
			t.name, t.externalID, t.members = named.name, named.externalID, ids
		}
		return
	}
	members, ids, statuses := w.someMembers(http.StatusNoContent)
	statuses = append(statuses, http.StatusOK) // which shows a group that is small
	operations := []object{}
	if len(members) > 0 {
		operations = append(operations, object{"op": "add", "path": "members", "value": members})
	}
	leaving := ""
	for id := range t.members {
		if !ids[id] && rand.N(3) == 0 {
			leaving = id
			operations = append(operations, object{"op": "remove", "path": `members[value eq "` + id + `"]`})
			break
		}
	}
	if len(operations) == 0 {
		return
	}
	if a, ok := w.do(http.MethodPatch, "/Groups/"+t.id, changes(operations...), statuses...); ok && a.status < http.StatusMultipleChoices {
		maps.Copy(t.members, ids)
		delete(t.members, leaving)
	}
}

func (w *writer) deleteTeam() {
	if t := w.someTeam(); t != nil {
		if a, ok := w.do(http.MethodDelete, "/Groups/"+t.id, nil, http.StatusNoContent, http.StatusConflict); ok && a.status == http.StatusNoContent {
			w.teams = slices.DeleteFunc(w.teams, func(o *team) bool { return o == t })
		}
	}
}

// bulk makes a user, tries to change somebody of another directory and to have them in a group, and deletes one of its own.
func (w *writer) bulk() {
	other := w.others()
	foreign := other.anyID()
	u := w.describe()
	again, taken := w.known(u)
	operations := []object{
		{"method": "POST", "path": "/Users", "bulkId": "u", "data": u.body(w.d.mark)},
		{"method": "PATCH", "path": "/Users/" + foreign, "data": changes(object{"op": "replace", "path": "title", "value": thief})},
		{"method": "DELETE", "path": "/Groups/" + foreign},
		{"method": "POST", "path": "/Groups", "bulkId": "g", "data": (&team{name: thief}).body(thief, []object{{"value": foreign}})},
	}
	want := []string{"", "404", "404", "400"}
	gone := w.someUser()
	if gone != nil && !slices.Contains(again, gone) {
		operations, want = append(operations, object{"method": "DELETE", "path": "/Users/" + gone.id}), append(want, "204")
	} else {
		gone = nil
	}
	a, ok := w.do(http.MethodPost, "/Bulk", object{"schemas": []string{bulkSchema}, "Operations": operations}, http.StatusOK)
	if !ok {
		return
	}
	var done struct {
		Operations []struct{ Status, Location, Version string }
	}
	a.read(w.t, &done)
	if len(done.Operations) != len(want) {
		w.t.Errorf("bulk: %s", a.body)
		return
	}
	for n, o := range done.Operations {
		if want[n] != "" && o.Status != want[n] {
			w.t.Errorf("bulk of %s, operation %d: %s", w.d.mark, n, a.body)
		}
	}
	switch first := done.Operations[0]; {
	case first.Status == "201" && !taken:
		_, id, _ := strings.Cut(first.Location, "/Users/")
		text, _ := json.Marshal(object{"id": id, "meta": object{"version": first.Version}})
		w.created(u, reply{body: text}, again)
	case first.Status != "409":
		w.t.Errorf("bulk of %s: %s", w.d.mark, a.body)
	}
	if gone != nil {
		w.users = slices.DeleteFunc(w.users, func(o *user) bool { return o == gone })
	}
}

const bulkSchema = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

// look finds the writer's own user by names that all directories have.
func (w *writer) look() {
	u := w.someUser()
	if u == nil {
		return
	}
	for _, filter := range []string{`userName eq "` + u.userName + `"`, `emails.value eq "` + u.email + `" and userName eq "` + u.userName + `"`} {
		w.finds("Users", filter, u.id)
	}
}

// finds holds that a filter finds these, and nobody else.
func (w *writer) finds(kind, filter string, ids ...string) {
	a, ok := w.do(http.MethodGet, "/"+kind+"?filter="+url.QueryEscape(filter), nil, http.StatusOK)
	if !ok {
		return
	}
	var list struct {
		TotalResults int
		Resources    []resource
	}
	a.read(w.t, &list)
	var got []string
	for _, r := range list.Resources {
		got = append(got, r.ID)
	}
	if list.TotalResults != len(ids) || !slices.Equal(got, ids) {
		w.t.Errorf("%s where %s of %s: %d, %v, want %v", kind, filter, w.d.mark, list.TotalResults, got, ids)
	}
}

// others is another directory.
func (w *writer) others() *scimClient {
	for {
		if d := w.directories[rand.N(len(w.directories))]; d != w.d {
			return d
		}
	}
}

// anyID is the id of somebody, or something, that the directory has or had.
func (d *scimClient) anyID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.ids {
		return id
	}
	return ""
}

// trespass tries what must not work: others' records with the own token, the own token at others' addresses, and theirs here.
func (w *writer) trespass() {
	other := w.others()
	foreign := other.anyID()
	stolen := (&user{userName: thief, email: thief + "@first.example", active: true}).body(thief)
	switch rand.N(8) {
	case 0:
		kind := []string{"/Users/", "/Groups/"}[rand.N(2)]
		method := []string{http.MethodGet, http.MethodDelete, http.MethodPatch}[rand.N(3)]
		var body any
		if method == http.MethodPatch {
			body = changes(object{"op": "replace", "path": "displayName", "value": thief})
		}
		w.do(method, kind+foreign, body, http.StatusNotFound)
	case 1:
		w.do(http.MethodPut, "/Users/"+foreign, stolen, http.StatusNotFound)
	case 2:
		w.do(http.MethodPut, "/Groups/"+foreign, (&team{name: thief}).body(thief, nil), http.StatusNotFound)
	case 3:
		w.do(http.MethodPost, "/Groups", (&team{name: thief}).body(thief, []object{{"value": foreign}}), http.StatusBadRequest)
	case 4:
		if t := w.someTeam(); t != nil {
			w.do(http.MethodPatch, "/Groups/"+t.id, changes(object{"op": "replace", "path": "displayName", "value": thief},
				object{"op": "add", "path": "members", "value": []object{{"value": foreign}}}), http.StatusBadRequest)
		}
	case 5:
		w.finds("Users", `id eq "`+foreign+`" or groups.value eq "`+foreign+`"`)
		w.finds("Groups", `id eq "`+foreign+`" or members.value eq "`+foreign+`"`)
	case 6: // the own token elsewhere
		w.send(w.d, other.addresses()[rand.N(3)], w.d.secret, http.MethodPost, "/Users", stolen, http.StatusUnauthorized)
		w.send(w.d, other.addresses()[rand.N(3)], w.d.secret, http.MethodDelete, "/Users/"+foreign, nil, http.StatusUnauthorized)
	default: // a token of somebody else, here
		w.send(w.d, w.d.addresses()[rand.N(3)], other.secret, http.MethodPost, "/Users", stolen, http.StatusUnauthorized)
		if u := w.someUser(); u != nil {
			w.send(w.d, w.d.addresses()[rand.N(3)], other.secret, http.MethodDelete, "/Users/"+u.id, nil, http.StatusUnauthorized)
		}
	}
}
