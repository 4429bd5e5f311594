package dirsync_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
)

// model is what a directory should hold: users by id, and groups with their members, users and groups alike.
type model struct {
	users  map[string]*modelUser
	groups map[string]*modelGroup
}

type modelUser struct {
	name, nick string
	active     bool
	version    int64
	events     int
}

type modelGroup struct {
	name    string
	members map[string]bool
	version int64
}

// around reports whether a group is inside of another, or is it.
func (m *model) around(outer, inner string) bool {
	if outer == inner {
		return true
	}
	for member := range m.groups[outer].members {
		if m.groups[member] != nil && m.around(member, inner) {
			return true
		}
	}
	return false
}

func (m *model) userNamed(name string) string {
	for id, u := range m.users {
		if strings.EqualFold(u.name, name) {
			return id
		}
	}
	return ""
}

func (m *model) groupNamed(name string) string {
	for id, g := range m.groups {
		if strings.EqualFold(g.name, name) {
			return id
		}
	}
	return ""
}

func pick[V any](r *rand.Rand, m map[string]V) string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(ids) == 0 || r.IntN(20) == 0 {
		return "00000000-0000-7000-8000-000000000000"
	}
	return ids[r.IntN(len(ids))]
}

// outcome is what a write should answer: "", or the kind of its fault.
func (w *world) outcome(step string, err error, want string) {
	w.t.Helper()
	got := ""
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		got = f.Code
	case err != nil:
		got = err.Error()
	}
	if got != want {
		w.t.Fatalf("%s: answered %q, want %q", step, got, want)
	}
}

// TestModel compares random operations with the model; runModel is shared with the tests of engines.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		runModel(t, newWorld(t), seed, 250)
	}
}

func runModel(t *testing.T, w *world, seed uint64, steps int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	m := &model{users: map[string]*modelUser{}, groups: map[string]*modelGroup{}}
	for n := range steps {
		m.step(w, r, fmt.Sprintf("seed %d, step %d", seed, n))
		if t.Failed() {
			return
		}
	}
	m.compare(w, fmt.Sprintf("seed %d", seed))
	for id, u := range m.users {
		told := 0
		for _, e := range w.told() {
			if e.ResourceID == id && (e.Polis == "user.created" || e.Polis == "user.updated" && strings.HasPrefix(e.Type, "Identity")) {
				told++
			}
		}
		if told < u.events { // those of groups' members come on top
			t.Errorf("seed %d: %d events of %s, want %d", seed, told, u.name, u.events)
		}
		break // one will do: told reads the whole log
	}
}

func (m *model) step(w *world, r *rand.Rand, at string) {
	switch r.IntN(9) {
	case 0, 1:
		m.createUser(w, r, at)
	case 2:
		m.patchUser(w, r, at)
	case 3:
		m.replaceUser(w, r, at)
	case 4:
		if r.IntN(3) == 0 {
			id := pick(r, m.users)
			m.deleted(id)
			known := m.users[id] != nil
			delete(m.users, id)
			w.outcome(at+" delete user", w.directories.DeleteUser(w.ctx, w.d, id, nil), missing(known))
		}
	case 5:
		m.createGroup(w, r, at)
	case 6, 7:
		m.changeMembers(w, r, at)
	case 8:
		if r.IntN(4) == 0 {
			id := pick(r, m.groups)
			m.deleted(id)
			known := m.groups[id] != nil
			delete(m.groups, id)
			w.outcome(at+" delete group", w.directories.DeleteGroup(w.ctx, w.d, id, nil), missing(known))
		}
	}
}

func missing(known bool) string {
	if known {
		return ""
	}
	return "not_found"
}

// deleted takes a member out of all groups, whose versions rise.
func (m *model) deleted(id string) {
	for _, g := range m.groups {
		if g.members[id] {
			delete(g.members, id)
			g.version++
		}
	}
}

func userResource(name, nick string, active bool) scim.Resource {
	r := scim.Resource{"schemas": []any{scim.UserURN}, "userName": name, "active": active}
	if nick != "" {
		r["nickName"] = nick
	}
	return r
}

func (m *model) createUser(w *world, r *rand.Rand, at string) {
	name, active := []string{"n", "N"}[r.IntN(2)]+fmt.Sprint(r.IntN(30)), r.IntN(4) > 0
	c, err := w.directories.CreateUser(w.ctx, w.d, userResource(name, "", active))
	old := m.users[m.userNamed(name)]
	switch {
	case old != nil && old.active:
		w.outcome(at+" create user", err, "uniqueness")
	case old != nil:
		w.outcome(at+" create user again", err, "")
		if old.active != active || old.name != name || old.nick != "" {
			old.version++
			old.events++
		}
		old.name, old.nick, old.active = name, "", active
		same(w.t, at+" taken up", c.Adopted, true)
	default:
		w.outcome(at+" create user", err, "")
		m.users[c.ID] = &modelUser{name: name, active: active, version: 1, events: 1}
	}
}

func (m *model) patchUser(w *world, r *rand.Rand, at string) {
	id, active := pick(r, m.users), r.IntN(2) == 0
	c, err := w.directories.PatchUser(w.ctx, w.d, id, w.ops(fmt.Sprintf(`[{"op":"replace","path":"active","value":%t}]`, active)), nil)
	u := m.users[id]
	w.outcome(at+" patch user", err, missing(u != nil))
	if u == nil {
		return
	}
	same(w.t, at+" changed", c.Done, u.active != active)
	if u.active != active {
		u.active, u.version, u.events = active, u.version+1, u.events+1
	}
	same(w.t, at+" version", c.Version, u.version)
}

func (m *model) replaceUser(w *world, r *rand.Rand, at string) {
	id, name, nick := pick(r, m.users), fmt.Sprint("n", r.IntN(30)), fmt.Sprint(r.IntN(3))
	u := m.users[id]
	match := dirsync.Match(nil)
	if u != nil && r.IntN(3) == 0 {
		match = dirsync.Match{u.version + int64(r.IntN(2))}
	}
	_, err := w.directories.ReplaceUser(w.ctx, w.d, id, userResource(name, nick, true), match)
	other := m.userNamed(name)
	switch {
	case u == nil:
		w.outcome(at+" replace user", err, "not_found")
	case match != nil && match[0] != u.version:
		w.outcome(at+" replace user", err, "version_mismatch")
	case other != "" && other != id:
		w.outcome(at+" replace user", err, "uniqueness")
	default:
		w.outcome(at+" replace user", err, "")
		if u.name != name || u.nick != nick || !u.active {
			u.name, u.nick, u.active, u.version, u.events = name, nick, true, u.version+1, u.events+1
		}
	}
}

func (m *model) createGroup(w *world, r *rand.Rand, at string) {
	name, u := fmt.Sprint("g", r.IntN(12)), pick(r, m.users)
	c, err := w.directories.CreateGroup(w.ctx, w.d, w.groupBody(name, u))
	switch {
	case m.users[u] == nil:
		w.outcome(at+" create group", err, "invalid_member")
	case m.groupNamed(name) != "":
		w.outcome(at+" create group", err, "uniqueness")
	default:
		w.outcome(at+" create group", err, "")
		m.groups[c.ID] = &modelGroup{name: name, members: map[string]bool{u: true}, version: 1}
	}
}

func (m *model) changeMembers(w *world, r *rand.Rand, at string) {
	id, value := pick(r, m.groups), pick(r, m.users)
	if r.IntN(3) == 0 {
		value = pick(r, m.groups)
	}
	kind := r.IntN(3)
	body := []string{`[{"op":"add","path":"members","value":[{"value":"%s"}]}]`, `[{"op":"remove","path":"members[value eq \"%s\"]"}]`,
		`[{"op":"replace","path":"members","value":[{"value":"%s"}]}]`}[kind]
	c, err := w.directories.PatchGroup(w.ctx, w.d, id, w.ops(fmt.Sprintf(body, value)), nil)
	g := m.groups[id]
	known := m.users[value] != nil || m.groups[value] != nil
	after := map[string]bool{}
	if g != nil && kind != 2 {
		for member := range g.members {
			after[member] = true
		}
	}
	if after[value] = true; kind == 1 {
		delete(after, value)
	}
	switch {
	case g == nil:
		w.outcome(at+" members", err, "not_found")
	case kind != 1 && !known:
		w.outcome(at+" members", err, "invalid_member")
	case kind != 1 && !g.members[value] && m.groups[value] != nil && m.around(value, id):
		w.outcome(at+" members", err, "cycle")
	default:
		w.outcome(at+" members", err, "")
		changed := fmt.Sprint(after) != fmt.Sprint(g.members)
		same(w.t, at+" changed", c.Done, changed)
		if g.members = after; changed {
			g.version++
		}
		same(w.t, at+" version", c.Version, g.version)
	}
}

// compare holds everything that is there against the model.
func (m *model) compare(w *world, at string) {
	w.t.Helper()
	people, err := w.directories.Users(w.ctx, w.d, dirsync.Query{Count: 500})
	must(w.t, err)
	same(w.t, at+": users", people.Total, len(m.users))
	for _, o := range people.Items {
		u := m.users[o.ID]
		if u == nil || o.Resource["userName"] != u.name || o.Resource["active"] != u.active || o.Version != u.version {
			w.t.Errorf("%s: user %v at %d, want %+v", at, o.Resource, o.Version, u)
			continue
		}
		i, err := w.identities.Get(w.ctx, o.ID)
		if err != nil || i.Active != u.active || i.UserName != u.name {
			w.t.Errorf("%s: identity %+v, %v, want %+v", at, i, err, u)
		}
		var in []string
		for id, g := range m.groups {
			if g.members[o.ID] {
				in = append(in, id)
			}
		}
		list, _ := o.Resource["groups"].([]any)
		same(w.t, at+": groups of "+u.name, len(list), len(in))
	}
	teams, err := w.directories.Groups(w.ctx, w.d, dirsync.Query{Count: 500})
	must(w.t, err)
	same(w.t, at+": groups", teams.Total, len(m.groups))
	for _, o := range teams.Items {
		g := m.groups[o.ID]
		if g == nil || o.Version != g.version {
			w.t.Errorf("%s: group %v at %d, want %+v", at, o.Resource, o.Version, g)
			continue
		}
		var want []string
		for member := range g.members {
			want = append(want, member)
		}
		slices.Sort(want)
		same(w.t, at+": members of "+g.name, w.members(o.ID), want)
	}
}
