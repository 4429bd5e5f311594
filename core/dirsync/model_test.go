package dirsync_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// model is what the two directories of one organization should hold, and tell. It knows no documents, indexes or commits: it
// goes through everybody each time.
type model struct {
	now    int       // counts operations, and is the time: what one operation changes has one number
	people []*person // of both directories, in the order of creation
	teams  []*team
	asked  map[*team]bool  // whose members are to be told that it changed
	ended  map[string]bool // ids of people whose access was to be ended
	told   []event         // the events that are due
}

// quiet is the directory of the two that tells no members of a change of their group.
const quiet = 1

// said is what a client says of a user.
type said struct {
	userName, externalID, nick string
	active                     string // "true", "false", or "" where it does not say
	emails                     []string
}

type person struct {
	said
	id                  string
	dir                 int
	version, seq, epoch int64
	created, changed    int
}

type team struct {
	id, name, externalID string
	dir                  int
	members              map[string]bool // ids of users and groups
	version, seq         int64
	created, changed     int
}

func newModel() *model { return &model{asked: map[*team]bool{}, ended: map[string]bool{}} }

// The reasons of refusals. Where several hold, any of them may be given.
const (
	notFound      = "not_found"
	mismatch      = "version_mismatch"
	uniqueness    = "uniqueness"
	invalidMember = "invalid_member"
	cycle         = "cycle"
	malformed     = "malformed" // what a client sent, in the language of SCIM
)

func fold(s string) string { return strings.ToLower(s) }

func (m *model) peopleOf(dir int) (list []*person) {
	for _, p := range m.people {
		if p.dir == dir {
			list = append(list, p)
		}
	}
	return list
}

func (m *model) teamsOf(dir int) (list []*team) {
	for _, t := range m.teams {
		if t.dir == dir {
			list = append(list, t)
		}
	}
	return list
}

func (m *model) person(dir int, id string) *person {
	for _, p := range m.people {
		if p.dir == dir && p.id == id {
			return p
		}
	}
	return nil
}

func (m *model) team(dir int, id string) *team {
	for _, t := range m.teams {
		if t.dir == dir && t.id == id {
			return t
		}
	}
	return nil
}

// kind is what an id is of in a directory; "" of nothing.
func (m *model) kind(dir int, id string) string {
	switch {
	case m.person(dir, id) != nil:
		return "User"
	case m.team(dir, id) != nil:
		return "Group"
	}
	return ""
}

// same reports whether two say the same; the order of addresses says nothing.
func (u said) same(o said) bool {
	a, b := slices.Sorted(slices.Values(u.emails)), slices.Sorted(slices.Values(o.emails))
	return slices.Equal(a, b) && u.userName == o.userName && u.externalID == o.externalID && u.nick == o.nick && u.active == o.active
}

// addresses are what a person is found by as an address, folded.
func (u said) addresses() (list []string) {
	for _, a := range append(slices.Clone(u.emails), u.userName) {
		if strings.Contains(a, "@") {
			list = append(list, fold(a))
		}
	}
	return list
}

// clash reports whether the other directory has somebody with one of the addresses.
func (m *model) clash(dir int, s said) bool {
	return slices.ContainsFunc(m.people, func(p *person) bool {
		return p.dir != dir && slices.ContainsFunc(p.addresses(), func(a string) bool { return slices.Contains(s.addresses(), a) })
	})
}

// event is what is compared of an event.
type event struct {
	dir                               int
	id                                string
	seq                               int64
	kind, polis, active, named, group string
}

// tell notes an event of a person; in is the group that it is about.
func (m *model) tell(p *person, kind, polis string, in *team) {
	p.seq++
	e := event{dir: p.dir, id: p.id, seq: p.seq, kind: kind, polis: polis, active: fmt.Sprint(p.active == "true"), named: p.userName}
	if kind == "IdentityDeleted" {
		e.active = ""
	}
	if in != nil {
		e.group = in.name
	}
	m.told = append(m.told, e)
}

func (m *model) tellTeam(t *team, kind, polis string) {
	t.seq++
	m.told = append(m.told, event{dir: t.dir, id: t.id, seq: t.seq, kind: kind, polis: polis, named: t.name})
}

// resumes reports whether a creation takes up a user again: one who was deactivated, or of whom it is the first to say that
// they are active.
func (p *person) resumes(s said) bool {
	return p.active == "false" || p.active == "" && s.active == "true"
}

// creation says who is taken up where a user is created, of whom one is; nobody: it is a new one. And why it is refused.
func (m *model) creation(dir int, s said) (again []*person, reasons []string) {
	for _, p := range m.peopleOf(dir) {
		switch named := fold(p.userName) == fold(s.userName); {
		case named && !p.resumes(s):
			return nil, []string{uniqueness}
		case named: // nobody else can have the name
			again = []*person{p}
		case p.resumes(s) && p.externalID == s.externalID && s.externalID != "" && !m.named(dir, s.userName):
			again = append(again, p)
		}
	}
	if m.clash(dir, s) {
		reasons = []string{uniqueness}
	}
	return again, reasons
}

// named reports whether a user of the directory has a userName.
func (m *model) named(dir int, userName string) bool {
	return slices.ContainsFunc(m.peopleOf(dir), func(p *person) bool { return fold(p.userName) == fold(userName) })
}

func (m *model) add(dir int, id string, s said) *person {
	p := &person{said: s, id: id, dir: dir, version: 1, epoch: 1, created: m.now, changed: m.now}
	m.people = append(m.people, p)
	m.tell(p, "IdentityCreated", "user.created", nil)
	return p
}

// alteration says why a user cannot be changed to what a client says.
func (m *model) alteration(p *person, s said) (reasons []string) {
	if p.same(s) {
		return nil
	}
	for _, o := range m.peopleOf(p.dir) {
		if o != p && fold(o.userName) == fold(s.userName) {
			reasons = append(reasons, uniqueness)
		}
	}
	if m.clash(p.dir, s) {
		reasons = append(reasons, uniqueness)
	}
	return reasons
}

// alter changes a user, and reports whether that is a change.
func (m *model) alter(p *person, s said) bool {
	if p.same(s) {
		return false
	}
	if p.active == "true" && s.active != "true" {
		p.epoch++
		m.ended[p.id] = true
	}
	p.said, p.changed = s, m.now
	p.version++
	m.tell(p, "IdentityUpdated", "user.updated", nil)
	return true
}

// leave takes somebody out of their groups, whose versions rise.
func (m *model) leave(id string) {
	for _, t := range m.teams {
		if t.members[id] {
			delete(t.members, id)
			t.version++
			t.changed = m.now
		}
	}
}

func (m *model) remove(p *person) {
	m.leave(p.id)
	m.tell(p, "IdentityDeleted", "user.deleted", nil)
	m.ended[p.id] = true
	m.people = slices.DeleteFunc(m.people, func(o *person) bool { return o == p })
}

// inside reports whether a group is in another one, at any depth, or is it.
func (m *model) inside(inner, outer *team) bool {
	return inner == outer || slices.ContainsFunc(m.teams, func(t *team) bool { return outer.members[t.id] && m.inside(inner, t) })
}

// direct are the users among a group's members, in the order of creation.
func (m *model) direct(members map[string]bool) (list []*person) {
	for _, p := range m.people {
		if members[p.id] {
			list = append(list, p)
		}
	}
	return list
}

// effective are the ids of the users in a group and in the groups inside of it.
func (m *model) effective(t *team) []string {
	ids := map[string]bool{}
	for _, inner := range m.teams {
		if m.inside(inner, t) {
			for _, p := range m.direct(inner.members) {
				ids[p.id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// groupsOf are the groups of which somebody is a member; effective: also those around these.
func (m *model) groupsOf(id string, effective bool) (list []*team) {
	for _, t := range m.teams {
		if t.members[id] || effective && slices.ContainsFunc(m.teams, func(in *team) bool { return in.members[id] && m.inside(in, t) }) {
			list = append(list, t)
		}
	}
	return list
}

// shaping says why a group cannot come to have a name and members; t is nil for a new one.
func (m *model) shaping(dir int, t *team, name, externalID string, members map[string]bool) (reasons []string) {
	for _, o := range m.teams {
		if o != t && (o.dir == dir && fold(o.name) == fold(name) || o.externalID == externalID && externalID != "") {
			reasons = append(reasons, uniqueness)
		}
	}
	for id := range members {
		in := m.team(dir, id)
		switch {
		case t != nil && t.members[id]:
		case in == nil && m.person(dir, id) == nil:
			reasons = append(reasons, invalidMember)
		case in != nil && t != nil && m.inside(t, in):
			reasons = append(reasons, cycle)
		}
	}
	return reasons
}

func (m *model) addTeam(dir int, id, name, externalID string, members map[string]bool) *team {
	t := &team{id: id, dir: dir, name: name, externalID: externalID, members: members, version: 1, created: m.now, changed: m.now}
	m.teams = append(m.teams, t)
	m.tellTeam(t, "GroupCreated", "group.created")
	for _, p := range m.direct(members) {
		m.tell(p, "", "group.user_added", t) // Polis alone knows it: the specification has GroupCreated for that
	}
	return t
}

// shape changes a group, and reports whether that is a change.
func (m *model) shape(t *team, name, externalID string, members map[string]bool) bool {
	if t.name == name && t.externalID == externalID && maps.Equal(t.members, members) {
		return false
	}
	before := t.members
	t.name, t.externalID, t.members, t.changed = name, externalID, members, m.now
	t.version++
	m.tellTeam(t, "GroupUpdated", "group.updated")
	for _, p := range m.people {
		switch {
		case members[p.id] && !before[p.id]:
			m.tell(p, "IdentityUpdated", "group.user_added", t)
		case before[p.id] && !members[p.id]:
			m.tell(p, "IdentityUpdated", "group.user_removed", t)
		}
	}
	if t.dir != quiet {
		m.asked[t] = true
	}
	return true
}

func (m *model) removeTeam(t *team) {
	m.tellTeam(t, "GroupDeleted", "group.deleted")
	for _, p := range m.direct(t.members) {
		m.tell(p, "IdentityUpdated", "group.user_removed", t)
	}
	m.leave(t.id)
	delete(m.asked, t)
	m.teams = slices.DeleteFunc(m.teams, func(o *team) bool { return o == t })
}

// settle has the members told of the groups that changed.
func (m *model) settle() {
	for t := range m.asked {
		for _, p := range m.direct(t.members) {
			m.tell(p, "IdentityUpdated", "user.updated", nil)
		}
	}
	clear(m.asked)
}
