package databases

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
)

// places reads everything back in every way that there is, and holds it against what the writers were told.
func (p *provisioning) places(env []string) {
	p.t.Helper()
	began := time.Now()
	for _, d := range p.directories {
		p.bySCIM(d)
		p.byPolis(d)
		p.byGraphQL(d)
	}
	p.people()
	p.events()
	for _, d := range p.directories {
		p.requests(d)
	}
	p.export(env)
	p.t.Logf("everything was read back in %s", time.Since(began).Round(time.Second))
}

// same holds that two lists have the same in some order.
func (p *provisioning) same(what string, got, want []string) {
	p.t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	for n := range max(len(got), len(want)) {
		if n >= len(got) || n >= len(want) || got[n] != want[n] {
			p.t.Errorf("%s: %d, want %d; the first that differs: %.300q, want %.300q", what, len(got), len(want),
				got[min(n, len(got)):min(n+1, len(got))], want[min(n, len(want)):min(n+1, len(want))])
			return
		}
	}
}

// held is what a directory should have.
type held struct {
	users map[string]*user
	teams map[string]*team // with the members that are left
}

func (d *scimClient) held() held {
	h := held{map[string]*user{}, map[string]*team{}}
	for _, w := range d.writers {
		for _, u := range w.users {
			h.users[u.id] = u
		}
		for _, t := range w.teams {
			h.teams[t.id] = t
		}
	}
	for _, t := range h.teams {
		maps.DeleteFunc(t.members, func(id string, _ bool) bool { return h.users[id] == nil && h.teams[id] == nil })
	}
	return h
}

// lines are the users and groups of a directory as lines.
func (h held) lines(d *scimClient) (users, teams []string) {
	for _, u := range h.users {
		users = append(users, fmt.Sprint(u.id, " ", u.userName, " ", u.externalID, " ", u.active, " [{", u.email, "}] ", d.mark))
	}
	for _, t := range h.teams {
		teams = append(teams, fmt.Sprint(t.id, " ", t.name, " ", t.externalID, " ", d.mark))
	}
	return users, teams
}

func (r resource) user() string {
	return fmt.Sprint(r.ID, " ", r.UserName, " ", r.ExternalID, " ", r.Active, " ", r.Emails, " ", r.Title)
}

func (r resource) team() string {
	return fmt.Sprint(r.ID, " ", r.DisplayName, " ", r.ExternalID, " ", r.Mark.Of)
}

// bySCIM reads a directory at each of its addresses, and asks for what is of others.
func (p *provisioning) bySCIM(d *scimClient) {
	h := d.held()
	wantUsers, wantTeams := h.lines(d)
	for _, at := range d.addresses() {
		var users, teams, members, wantMembers, groups, wantGroups []string
		for _, r := range p.list(d, at, "Users") {
			users = append(users, r.user())
			for _, g := range r.Groups {
				groups = append(groups, r.ID+" in "+g.Value)
			}
			if u := h.users[r.ID]; u != nil && (r.Meta.Version != u.version || r.Meta.Location != at.shown()+"/Users/"+r.ID) {
				p.t.Errorf("%s of %s: %+v, want version %s", r.ID, d.mark, r.Meta, u.version)
			}
		}
		for _, r := range p.list(d, at, "Groups") {
			teams = append(teams, r.team())
			for _, m := range r.Members {
				members = append(members, m.Type+" "+m.Value+" in "+r.ID)
			}
		}
		for _, t := range h.teams {
			for id := range t.members {
				if h.users[id] != nil {
					wantGroups, wantMembers = append(wantGroups, id+" in "+t.id), append(wantMembers, "User "+id+" in "+t.id)
				} else {
					wantMembers = append(wantMembers, "Group "+id+" in "+t.id)
				}
			}
		}
		what := " of " + d.mark + " at " + at.base
		p.same("users"+what, users, slices.Clone(wantUsers))
		p.same("groups"+what, teams, slices.Clone(wantTeams))
		p.same("members"+what, members, wantMembers)
		p.same("groups of users"+what, groups, wantGroups)
		for range 20 {
			for _, other := range p.directories {
				if other != d {
					p.ask(d, at, http.MethodGet, []string{"/Users/", "/Groups/"}[rand.N(2)]+other.anyID(), nil, http.StatusNotFound)
				}
			}
		}
	}
}

// shown is the address in answers: at the host of the project where it was asked there.
func (at scimAddress) shown() string {
	if at.host != "" {
		return "http://" + at.host + at.base
	}
	return publicURL + at.base
}

// list reads all of one kind at an address, by cursor.
func (p *provisioning) list(d *scimClient, at scimAddress, kind string) (all []resource) {
	for cursor, more := "", true; more; {
		a, ok := p.ask(d, at, http.MethodGet, "/"+kind+"?count=150&cursor="+url.QueryEscape(cursor), nil, http.StatusOK)
		if !ok {
			return all
		}
		var page struct {
			TotalResults int
			NextCursor   string
			Resources    []resource
		}
		a.read(p.t, &page)
		all = append(all, page.Resources...)
		if cursor, more = page.NextCursor, page.NextCursor != ""; !more && page.TotalResults != len(all) {
			p.t.Errorf("%s of %s at %s: %d, and there are said to be %d", kind, d.mark, at.base, len(all), page.TotalResults)
		}
	}
	return all
}

// read reads something as an administrator.
func (p *provisioning) read(path string, into any) {
	p.t.Helper()
	a, err := p.all[rand.N(len(p.all))].get(p.t.Context(), path, "Authorization", "Bearer "+adminKey)
	if err != nil || a.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %v, %s", path, err, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		p.t.Fatalf("%s: %v: %s", path, err, a.body)
	}
}

// byPolis reads a directory by /api/v1/dsync: by its id, by its tenant, and by both; and by the tenant of others.
func (p *provisioning) byPolis(d *scimClient) {
	h := d.held()
	wantUsers, wantTeams := h.lines(d)
	tenant := url.Values{"tenant": {d.tenant}, "product": {d.project}}.Encode()
	for _, q := range []string{"directoryId=" + d.id, tenant, tenant + "&directoryId=" + d.id} {
		p.same("users by "+q, p.dsync(d, "users", q, resource.user), slices.Clone(wantUsers))
		p.same("groups by "+q, p.dsync(d, "groups", q, resource.team), slices.Clone(wantTeams))
	}
	for _, other := range p.directories {
		if other.orgID != d.orgID {
			q := url.Values{"tenant": {other.tenant}, "product": {other.project}, "directoryId": {d.id}}.Encode()
			p.same("users by "+q, p.dsync(d, "users", q, resource.user), nil)
		}
	}
	for id, t := range h.teams {
		var got, want []string
		var page struct {
			Data []struct {
				UserID string `json:"user_id"`
			}
		}
		p.read("/api/v1/dsync/groups/"+id+"/members?directoryId="+d.id, &page)
		for _, m := range page.Data {
			got = append(got, m.UserID)
		}
		for member := range t.members {
			if h.users[member] != nil {
				want = append(want, member)
			}
		}
		p.same("members of "+id+" by Polis", got, want)
	}
}

// dsync reads the users or groups of a scope that are of one directory.
func (p *provisioning) dsync(d *scimClient, kind, q string, line func(resource) string) (lines []string) {
	for offset := 0; ; offset += 50 {
		var page struct {
			Data []struct {
				DirectoryID string // of users alone
				Raw         resource
			}
		}
		p.read(fmt.Sprintf("/api/v1/dsync/%s?%s&pageLimit=50&pageOffset=%d", kind, q, offset), &page)
		for _, one := range page.Data {
			text := line(one.Raw)
			owner := slices.IndexFunc(p.directories, func(o *scimClient) bool { return strings.HasSuffix(text, " "+o.mark) })
			if owner < 0 || p.directories[owner].orgID != d.orgID || one.DirectoryID != "" && one.DirectoryID != p.directories[owner].id {
				p.t.Errorf("%s by %s: %s of %s", kind, q, text, one.DirectoryID)
			} else if p.directories[owner] == d {
				lines = append(lines, text)
			}
		}
		if len(page.Data) < 50 {
			return lines
		}
	}
}

// pages reads a list of GraphQL to its end: in the query it is called it, and takes $after.
func (p *provisioning) pages(query string, variables object, each func(node object)) (total int) {
	p.t.Helper()
	for after := any(nil); ; {
		variables["after"] = after
		data, err := p.all[rand.N(len(p.all))].graphql(p.t.Context(), query, variables)
		if err != nil {
			p.t.Fatalf("%s: %v", query, err)
		}
		for data["it"] == nil { // it is inside of something
			for _, inside := range data {
				data, _ = inside.(object)
			}
		}
		list := data["it"].(object)
		for _, node := range list["nodes"].([]any) {
			each(node.(object))
		}
		count, _ := list["totalCount"].(float64)
		if total = int(count); list["pageInfo"].(object)["hasNextPage"] != true {
			return total
		}
		after = list["pageInfo"].(object)["endCursor"]
	}
}

const paged = ` pageInfo {hasNextPage endCursor}}`

// as reads JSON that was read already as something else.
func as[T any](p *provisioning, v any) (to T) {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &to)
	}
	if err != nil {
		p.t.Error(err)
	}
	return to
}

func (p *provisioning) byGraphQL(d *scimClient) {
	h := d.held()
	wantUsers, wantTeams := h.lines(d)
	var users, teams []string
	total := p.pages(`query($id: ID!, $after: String) {directory(id: $id) {it: users(first: 100, after: $after) {totalCount nodes {id resource
		identity {id userName externalId active addresses directory {id} organization {id}}}`+paged+`}}`, object{"id": d.id}, func(node object) {
		r := as[resource](p, node["resource"])
		r.ID = node["id"].(string)
		users = append(users, r.user())
		if u := h.users[r.ID]; u != nil {
			var external any
			if u.externalID != "" {
				external = u.externalID
			}
			want := object{"id": u.id, "userName": u.userName, "externalId": external, "active": u.active, "addresses": []string{u.email},
				"directory": object{"id": d.id}, "organization": object{"id": d.orgID}}
			p.same("identity", []string{fmt.Sprint(node["identity"])}, []string{fmt.Sprint(want)})
		}
	})
	p.same("users of "+d.mark+" by GraphQL", users, wantUsers)
	groups := p.pages(`query($id: ID!, $after: String) {directory(id: $id) {it: groups(first: 10, after: $after) {totalCount nodes {id resource
		members(first: 60) {nodes {id user {id} group {id}}}}`+paged+`}}`, object{"id": d.id}, func(node object) {
		r := as[resource](p, node["resource"])
		r.ID = node["id"].(string)
		teams = append(teams, r.team())
		var got, want []string
		for _, m := range node["members"].(object)["nodes"].([]any) {
			m := m.(object)
			if got = append(got, m["id"].(string)); (m["user"] == nil) == (m["group"] == nil) {
				p.t.Errorf("a member of %s: %v", r.ID, m)
			}
		}
		if t := h.teams[r.ID]; t != nil {
			want = slices.Collect(maps.Keys(t.members))
		}
		p.same("members of "+r.ID+" by GraphQL", got, want)
	})
	p.same("groups of "+d.mark+" by GraphQL", teams, wantTeams)
	if total != len(h.users) || groups != len(h.teams) {
		p.t.Errorf("%s: GraphQL counts %d users and %d groups, want %d and %d", d.mark, total, groups, len(h.users), len(h.teams))
	}
	for _, other := range p.directories {
		if other != d {
			data, err := p.all[0].graphql(p.t.Context(), `query($id: ID!, $one: ID!) {directory(id: $id) {user(id: $one) {id} group(id: $one) {id}}}`,
				object{"id": d.id, "one": other.anyID()})
			if want := (object{"user": nil, "group": nil}); err != nil || fmt.Sprint(data["directory"]) != fmt.Sprint(want) {
				p.t.Errorf("%v, %v", data, err)
			}
		}
	}
}

// people compares the identities of each organization, how many there are, and who is found by a name that all have.
func (p *provisioning) people() {
	byOrg := map[string]map[string]*user{}
	for _, d := range p.directories {
		if byOrg[d.orgID] == nil {
			byOrg[d.orgID] = map[string]*user{}
		}
		maps.Copy(byOrg[d.orgID], d.held().users)
	}
	for orgID, users := range byOrg {
		var got []string
		total := p.pages(`query($id: ID!, $after: String) {organization(id: $id) {it: identities(first: 100, after: $after) {totalCount nodes {id}`+paged+`}}`,
			object{"id": orgID}, func(node object) { got = append(got, node["id"].(string)) })
		p.same("identities", got, slices.Collect(maps.Keys(users)))
		if directories := p.pages(`query($id: ID!, $after: String) {organization(id: $id) {it: directories(first: 100, after: $after) {totalCount nodes {id}`+paged+`}}`,
			object{"id": orgID}, func(object) {}); total != len(users) || directories != 2 {
			p.t.Errorf("%d identities and %d directories are counted", total, directories)
		}
		for n := range names {
			for field, name := range map[string]string{"userName": fmt.Sprintf("USER-0-%d", n), "externalId": fmt.Sprintf("ext-0-%d", n), "address": fmt.Sprintf("user-0-%d@first.example", n)} {
				data, err := p.all[0].graphql(p.t.Context(), `query($id: ID!, $name: String!) {organization(id: $id) {findIdentities(`+field+`: $name) {id}}}`,
					object{"id": orgID, "name": name})
				if err != nil {
					p.t.Fatal(err)
				}
				var got, want []string
				for _, i := range data["organization"].(object)["findIdentities"].([]any) {
					got = append(got, i.(object)["id"].(string))
				}
				for _, u := range users {
					if is := map[string]string{"userName": u.userName, "externalId": u.externalID, "address": u.email}[field]; strings.EqualFold(is, name) {
						want = append(want, u.id)
					}
				}
				p.same("people by "+field+" "+name, got, want)
			}
		}
	}
}

// happened is an event as the API shows it.
type happened struct {
	Type, Project, Organization, Directory, ResourceType, ResourceID, ScimClient string
	Position, Seq                                                                int64
	Data                                                                         json.RawMessage
}

func (p *provisioning) feed(project, scope string, each func(happened)) (n int64) {
	for after := int64(0); ; {
		var page struct {
			Events []happened
			Next   int64
			More   bool
		}
		p.read(fmt.Sprintf("/api/v1/events?project=%s&limit=500&after=%d%s", project, after, scope), &page)
		for _, e := range page.Events {
			each(e)
		}
		n += int64(len(page.Events))
		if after = page.Next; !page.More {
			return n
		}
	}
}

// quiesce waits until nothing more is told for a while: members are told of a group some seconds behind.
func (p *provisioning) quiesce() {
	positions := map[string]int64{}
	for still := 0; still < 5; still++ {
		for slug := range p.projects {
			var page struct{ Next int64 }
			for page.Next = -1; page.Next != positions[slug]; {
				if page.Next > positions[slug] {
					positions[slug], still = page.Next, 0
				}
				p.read(fmt.Sprintf("/api/v1/events?project=%s&limit=500&after=%d", slug, positions[slug]), &page)
			}
		}
		time.Sleep(time.Second)
	}
}

// events compares what is told of each directory: who, where, in order, and of nobody who was not made.
func (p *provisioning) events() {
	byID, resources := map[string]*scimClient{}, map[string]held{}
	for _, d := range p.directories {
		byID[d.id], resources[d.id] = d, d.held()
	}
	p.quiesce()
	for slug, projectID := range p.projects {
		last, of := int64(0), map[string]int64{}
		seq, ends, updates := map[string]int64{}, map[string]bool{}, map[string]int{}
		p.feed(slug, "", func(e happened) {
			last++
			of[e.Directory]++
			of[e.Organization]++
			d := byID[e.Directory]
			if d == nil || e.Position != last || e.Project != projectID || d.projectID != projectID || e.Organization != d.orgID || e.ScimClient != d.client ||
				!d.ids[e.ResourceID] || ends[e.ResourceID] {
				p.t.Errorf("an event in the wrong place, or of nobody: %+v", e)
				return
			}
			if seq[e.ResourceID]++; e.Seq != seq[e.ResourceID] || (e.Seq == 1) != strings.HasSuffix(e.Type, "Created") {
				p.t.Errorf("an event out of order, want the %d.: %+v", seq[e.ResourceID], e)
			}
			ends[e.ResourceID] = strings.HasSuffix(e.Type, "Deleted")
			if e.Type == "IdentityUpdated" && !strings.Contains(string(e.Data), `"group":`) {
				updates[e.ResourceID]++
			}
			p.shows("an event", e.Data, d)
		})
		for _, d := range p.directories {
			if d.projectID != projectID {
				continue
			}
			for id := range d.ids {
				h := resources[d.id]
				if there := h.users[id] != nil || h.teams[id] != nil || id == d.id; seq[id] == 0 || there == ends[id] {
					p.t.Errorf("%s of %s: there %t, %d events, of which the last says that it is gone: %t", id, d.mark, there, seq[id], ends[id])
				}
			}
			for id, u := range resources[d.id].users {
				if u.version != fmt.Sprintf(`W/"%d"`, updates[id]+1) && d.quiet {
					p.t.Errorf("%s of %s: %d updates are told, and it has version %s", id, d.mark, updates[id], u.version)
				}
			}
			for _, scope := range []string{"directory=" + d.id, "organization=" + d.orgID, "organization=" + d.orgID + "&directory=" + d.id} {
				key := strings.TrimPrefix(strings.TrimPrefix(scope, "directory="), "organization=")
				if strings.Contains(key, "&") {
					key = d.id
				}
				if n := p.feed(slug, "&"+scope, func(e happened) {
					if e.Organization != d.orgID || strings.Contains(scope, "directory") && e.Directory != d.id {
						p.t.Errorf("by %s: %+v", scope, e)
					}
				}); n != of[key] {
					p.t.Errorf("by %s are %d events, of %d", scope, n, of[key])
				}
			}
			for other := range p.projects {
				if other != slug && p.feed(other, "&directory="+d.id, func(happened) {})+p.feed(other, "&organization="+d.orgID, func(happened) {}) != 0 {
					p.t.Errorf("%s tells events of %s", other, d.mark)
				}
			}
		}
		p.t.Logf("%d events of %s", last, slug)
	}
}

// shows holds that a text has the mark of no other directory, and nothing that was sent to where it does not belong.
func (p *provisioning) shows(what string, text []byte, d *scimClient) {
	for _, other := range p.directories {
		if other != d && strings.Contains(string(text), other.mark) || strings.Contains(string(text), thief) {
			p.t.Errorf("%s of %s: %.500s", what, d.mark, text)
			return
		}
	}
}

// requests compares the log of a directory with what was asked. When very many wait to be written the newest are not.
func (p *provisioning) requests(d *scimClient) {
	logged := map[string]int{}
	n := 0
	p.pages(`query($id: ID!, $after: String) {directory(id: $id) {it: requests(first: 100, after: $after) {nodes {method path status}`+paged+`}}`, object{"id": d.id}, func(node object) {
		logged[fmt.Sprint(node["method"], " ", node["path"], " ", node["status"])]++
		n++
	})
	all := 0
	for line, times := range d.logs {
		all += times
		logged[line] -= times
	}
	for line, more := range logged {
		if more > 0 {
			p.t.Errorf("the log of %s has %d times too often %s", d.mark, more, line)
		}
	}
	if p.t.Logf("%s: %d of %d requests are in the log", d.mark, n, all); n < min(all, 100) {
		p.t.Errorf("%s: hardly a request is in the log", d.mark)
	}
}

// export goes through everything that the database holds. Whatever says of what it is names one directory, and its organization
// and project, and has no other's mark; users, groups, memberships, identities and names are those that the writers know.
func (p *provisioning) export(env []string) {
	file := filepath.Join(p.t.TempDir(), "all.jsonl")
	run(p.t, env, "export", "--out", file)
	f, err := os.Open(file)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got, counts := map[string][]string{}, map[string]int{}
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var d struct {
			Collection string          `json:"c"`
			ID         string          `json:"id"`
			Body       json.RawMessage `json:"b"`
		}
		if err := json.Unmarshal(line, &d); err != nil {
			p.t.Fatalf("%v: %.300s", err, line)
		}
		if counts[d.Collection]++; d.Collection != "" {
			p.place(d.Collection, d.ID, d.Body, got)
		}
	}
	want := map[string][]string{}
	for _, d := range p.directories {
		h := d.held()
		for _, u := range h.users {
			want["scim_users"] = append(want["scim_users"], d.id+" "+u.id)
			want["identities"] = append(want["identities"], d.id+" "+u.id)
			uses := map[string]int{}
			uses[u.email] |= 1
			uses[u.userName] |= 2
			if u.externalID != "" {
				uses[u.externalID] |= 4
			}
			for name, as := range uses {
				want["identity_names"] = append(want["identity_names"], fmt.Sprint(id.Hash(d.orgID, key.Fold(name)), " ", d.id, " ", u.id, " ", as))
			}
		}
		for _, t := range h.teams {
			want["scim_groups"] = append(want["scim_groups"], d.id+" "+t.id)
			for member := range t.members {
				want["scim_members"] = append(want["scim_members"], d.id+" "+t.id+" "+member)
			}
		}
	}
	for _, collection := range []string{"scim_users", "scim_groups", "scim_members", "identities", "identity_names"} {
		p.same("documents of "+collection, got[collection], want[collection])
	}
	if counts["jobs"]+counts["outbox"] != 0 {
		p.t.Errorf("%d jobs and %d documents of events are left", counts["jobs"], counts["outbox"])
	}
	p.t.Logf("documents: %v", counts)
}

// place holds a document against the directory that it names, and notes which one that is.
func (p *provisioning) place(collection, docID string, body json.RawMessage, got map[string][]string) {
	var d struct {
		DirectoryID, OrganizationID, ProjectID, GroupID, Member string
		Holders                                                 []struct {
			IdentityID, DirectoryID string
			As                      int
		}
	}
	if json.Unmarshal(body, &d) != nil {
		return // a list or a text
	}
	switch owner := slices.IndexFunc(p.directories, func(o *scimClient) bool { return o.id == d.DirectoryID }); {
	case d.DirectoryID != "" && owner < 0:
		p.t.Errorf("%s %s is of a directory that is not there: %s", collection, docID, d.DirectoryID)
	case owner >= 0:
		o := p.directories[owner]
		if d.OrganizationID != "" && d.OrganizationID != o.orgID || d.ProjectID != "" && d.ProjectID != o.projectID {
			p.t.Errorf("%s %s of %s stands at %s in %s", collection, docID, o.mark, d.OrganizationID, d.ProjectID)
		}
		if collection != "scim_requests" { // which have what was refused
			p.shows(collection+" "+docID, body, o)
		}
	case strings.Contains(string(body), thief):
		p.t.Errorf("%s %s: %.500s", collection, docID, body)
	}
	switch collection {
	case "scim_users", "scim_groups", "identities":
		got[collection] = append(got[collection], d.DirectoryID+" "+docID)
	case "scim_members":
		got[collection] = append(got[collection], d.DirectoryID+" "+d.GroupID+" "+d.Member)
	case "identity_names":
		for _, h := range d.Holders {
			got[collection] = append(got[collection], fmt.Sprint(docID, " ", h.DirectoryID, " ", h.IdentityID, " ", h.As))
		}
	}
}
