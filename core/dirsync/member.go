package dirsync

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// membership is a user's or group's being a direct member of a group. Its id begins with the group's and the kind, so the
// order of ids lists the members of a group, groups first.
type membership struct {
	ID          string `json:"id"`
	DirectoryID string `json:"directoryId"`
	GroupID     string `json:"groupId"`
	Member      string `json:"member"`
	Display     string `json:"display,omitempty"` // as the client sent it

	version int64
}

// nesting is the guard of a directory's nested groups: a commit that makes a group a member of a group writes it, so that of
// two that would close a cycle together one sees the other's, and so does one that deletes the group meanwhile.
type nesting struct {
	ID    string `json:"id"` // of the directory
	Edges int64  `json:"edges"`

	version int64
}

const (
	members  = "scim_members"
	nestings = "group_nesting"
	byMember = "by_member"

	ofGroup, ofUser = "g", "u"
)

var memberCollection = store.Collection{Name: members, Sealed: true, Keys: record.Keys(memberHead), Indexes: []store.Index{
	{Name: byMember, Fields: []string{"member"}},
}}

// guard is the operation by which a commit meets those that nest groups in the directory meanwhile: with edges it is one of
// them, and without it met all that it read of them, if it is asked for before. Deletions need it: to be nested does not change
// a group, and where it is nested is not known from it.
func (s *Service) guard(ctx context.Context, d Directory, edges int64) (store.Op, error) {
	n, err := s.nesting.Get(ctx, d.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return s.nesting.Insert(nesting{ID: d.ID, Edges: edges}), nil
	case err != nil || edges == 0:
		return s.nesting.Check(n), err
	}
	n.Edges += edges
	return s.nesting.Update(n), nil
}

func memberHead(m membership) store.Doc {
	return store.Doc{ID: m.ID, Version: m.version, Keys: map[string]string{"member": m.Member}}
}

func memberID(groupID, kind, member string) string { return groupID + "/" + kind + "/" + member }

func (m membership) nested() bool { return strings.HasPrefix(m.ID[len(m.GroupID):], "/"+ofGroup+"/") }

func (m membership) shown() Member {
	if m.nested() {
		return Member{m.Member, "Group", m.Display}
	}
	return Member{m.Member, "User", m.Display}
}

// Members reads one page of the direct members of a group: groups first. after is Next of the page before, or "".
// A group that is not there has none. Faults: Invalid invalid_cursor.
func (s *Service) Members(ctx context.Context, d Directory, groupID string, limit int, after string) (MemberPage, error) {
	if _, err := s.groupOf(ctx, d, groupID); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return MemberPage{}, err
	}
	page, err := s.members.List(ctx, store.Range{Prefix: groupID + "/", Limit: limit, After: after})
	if err != nil {
		if fault.Code(err) == "invalid_cursor" {
			err = badCursor()
		}
		return MemberPage{}, err
	}
	var out MemberPage
	for _, m := range page.Items {
		out.Items = append(out.Items, m.shown())
	}
	if page.More {
		out.Next = page.Cursors[len(page.Cursors)-1]
	}
	return out, nil
}

// CountMembers counts the direct members of a group.
func (s *Service) CountMembers(ctx context.Context, d Directory, groupID string) (int64, error) {
	if _, err := s.groupOf(ctx, d, groupID); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return 0, err
	}
	return s.members.Count(ctx, store.Range{Prefix: groupID + "/"})
}

// EffectiveMembers calls each with the users that are in a group or in a group inside of it, each user once, in pages.
// Faults: NotFound; TooMany too_many, of more than 10,000 nested groups; each's error ends it.
func (s *Service) EffectiveMembers(ctx context.Context, d Directory, groupID string, each func([]Member) error) error {
	seen, told := map[string]bool{groupID: true}, map[string]bool{}
	for wave := []string{groupID}; len(wave) > 0; {
		current := wave[0]
		wave = wave[1:]
		_, err := s.groupOf(ctx, d, current)
		if fault.Is(err, fault.NotFound) && current != groupID { // a job takes its memberships away
			continue
		}
		if err != nil {
			return err
		}
		err = s.eachMember(ctx, current, func(page []membership) error {
			var list []Member
			for _, m := range page {
				switch {
				case m.nested() && !seen[m.Member]:
					seen[m.Member] = true
					wave = append(wave, m.Member)
				case !m.nested() && !told[m.Member]:
					told[m.Member] = true
					list = append(list, m.shown())
				}
			}
			if len(seen) > maxAround {
				return tooNested()
			}
			if len(list) == 0 {
				return nil
			}
			return each(list)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachMember calls fn with the members of a group, in pages.
func (s *Service) eachMember(ctx context.Context, groupID string, fn func([]membership) error) error {
	q := store.Range{Prefix: groupID + "/"}
	for {
		page, err := s.members.List(ctx, q)
		if err != nil || len(page.Items) == 0 {
			return err
		}
		if err := fn(page.Items); err != nil || !page.More {
			return err
		}
		q.After = page.Cursors[len(page.Cursors)-1]
	}
}

// groupChange is a create, replace or patch of one group under way.
type groupChange struct {
	s     *Service
	d     Directory
	now   time.Time
	first *group // of a create: the group; else its id
	alter func(scim.Resource) (scim.Resource, error)
	match Match

	// What members are to be: wanted says of some that they are in or, nil, out; others stay where keep says so, save those
	// that a filter matches.
	wanted  map[string]*scim.Member
	order   []string
	keep    bool
	filters []scim.MemberChange

	done  bool
	group group
}

func (s *Service) newChange(d Directory, now time.Time, first *group, alter func(scim.Resource) (scim.Resource, error)) *groupChange {
	return &groupChange{s: s, d: d, now: now, first: first, alter: alter, wanted: map[string]*scim.Member{}, keep: true}
}

// want adds one change of the members to those before it.
func (c *groupChange) want(ctx context.Context, change scim.MemberChange) error {
	if change.Kind == scim.ReplaceMembers || change.Kind == scim.ClearMembers {
		c.wanted, c.order, c.filters, c.keep = map[string]*scim.Member{}, nil, nil, false
	}
	for i := range change.Members {
		m := &change.Members[i]
		if _, again := c.wanted[m.Value]; !again {
			c.order = append(c.order, m.Value)
		}
		if change.Kind == scim.RemoveMembers {
			m = nil
		}
		c.wanted[change.Members[i].Value] = m
	}
	if change.Kind != scim.RemoveMembers || change.Filter == nil {
		return nil
	}
	c.filters = append(c.filters, change)
	joining := c.joining()
	kinds, err := c.kinds(ctx, joining) // what a client says of it, or does not, is not asked
	if err != nil {
		return err
	}
	for _, value := range joining {
		m := *c.wanted[value]
		m.Type = kinds[value]
		if change.Match(m) {
			c.wanted[value] = nil
		}
	}
	return nil
}

// joining are those who are to be in.
func (c *groupChange) joining() (values []string) {
	for _, value := range c.order {
		if c.wanted[value] != nil {
			values = append(values, value)
		}
	}
	return values
}

// kinds says of the users and groups of the directory among some values which of both they are.
func (c *groupChange) kinds(ctx context.Context, values []string) (map[string]string, error) {
	kinds := make(map[string]string, len(values))
	for chunk := range slices.Chunk(values, store.MaxPage) {
		people, groups, err := c.s.resolve(ctx, c.d, chunk)
		if err != nil {
			return nil, err
		}
		for value := range people {
			kinds[value] = "User"
		}
		for value := range groups {
			kinds[value] = "Group"
		}
	}
	return kinds, nil
}

// leaving adds to what is wanted the present members that are to leave. Read behind the group, they are who is in it at the
// version that the first commit meets.
func (c *groupChange) leaving(ctx context.Context) error {
	if c.alter == nil || c.keep && len(c.filters) == 0 {
		return nil
	}
	return c.s.eachMember(ctx, c.first.ID, func(page []membership) error {
		for _, m := range page {
			if _, said := c.wanted[m.Member]; said {
				continue
			}
			shown := scim.Member(m.shown())
			if !c.keep || slices.ContainsFunc(c.filters, func(f scim.MemberChange) bool { return f.Match(shown) }) {
				c.wanted[m.Member] = nil
				c.order = append(c.order, m.Member)
			}
		}
		return nil
	})
}

const (
	// maxChanged bounds the members that one commit changes: two operations each, beside the group, guard, job and events.
	maxChanged = 200
	// maxData bounds the members and their events in one commit, in bytes, where they are several: what a login says of one
	// person may be a mebibyte.
	maxData = 1 << 20
)

// errTooLarge says that the events of a commit are too large together.
var errTooLarge = errors.New("dirsync: too much for one commit")

// run applies the change, with those of members: in one commit, or where the members are too many, in pages that each are
// complete in themselves, the group first; to repeat it completes it.
func (c *groupChange) run(ctx context.Context, members ...scim.MemberChange) (Changed, error) {
	for _, change := range members {
		if err := c.want(ctx, change); err != nil {
			return Changed{}, err
		}
	}
	step := maxChanged
	for begin := true; begin || len(c.order) > 0; {
		n, done := 0, false
		err := c.s.once(ctx, func() (ops []store.Op, err error) {
			ops, n, err = c.page(ctx, step, begin)
			done = len(ops) > 0 || done && err != nil
			return ops, err
		})
		if errors.Is(err, errTooLarge) && n > 1 {
			step = n / 2
			continue
		}
		if err != nil {
			return Changed{}, err
		}
		c.done = c.done || done
		c.order, begin = c.order[n:], false
	}
	if c.done {
		c.s.woken(c.d)
	}
	o, err := c.group.object()
	return Changed{Object: o, Done: c.done}, err
}

// resolveAll refuses a change too large for one commit, before anything of it is done, whose members are not all there.
func (c *groupChange) resolveAll(ctx context.Context) error {
	joining := c.joining()
	kinds, err := c.kinds(ctx, joining)
	if err != nil {
		return err
	}
	for _, value := range joining {
		if kinds[value] == "" {
			return noMember(value)
		}
	}
	return nil
}

func noMember(value string) error {
	if len(value) > 100 {
		value = value[:100] + "…"
	}
	return fault.At("members", "invalid_member", "The directory has no user or group "+value+".")
}

// resolve reads the users and groups of a directory that have one of some ids.
func (s *Service) resolve(ctx context.Context, d Directory, values []string) (map[string]user, map[string]group, error) {
	people, nested := map[string]user{}, map[string]group{}
	list, err := s.users.GetMany(ctx, wellFormed(values))
	if err != nil {
		return nil, nil, err
	}
	for _, u := range list {
		if u.DirectoryID == d.ID {
			people[u.ID] = u
		}
	}
	rest := slices.DeleteFunc(wellFormed(values), func(v string) bool { _, ok := people[v]; return ok })
	if len(rest) == 0 {
		return people, nested, nil
	}
	inside, err := s.groups.GetMany(ctx, rest)
	for _, g := range inside {
		if g.DirectoryID == d.ID && !g.Deleted {
			nested[g.ID] = g
		}
	}
	return people, nested, err
}

func wellFormed(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !id.IsUUID(v) })
}

// page makes the commit that has the next members in or out, as is wanted, at most limit of them and n in fact, and with begin
// what else the change says.
func (c *groupChange) page(ctx context.Context, limit int, begin bool) (ops []store.Op, n int, err error) {
	create := begin && c.alter == nil
	g, changed, err := c.subject(ctx, begin)
	if err == nil && begin {
		err = c.leaving(ctx)
	}
	if err == nil && begin && len(c.order) > maxChanged {
		err = c.resolveAll(ctx)
	}
	if err != nil {
		return nil, 0, err
	}
	values := c.order[:min(limit, len(c.order))]
	ops, err = c.commit(ctx, g, values, create, changed)
	return ops, len(values), err
}

// commit is the operations of page on a group as it is to be.
func (c *groupChange) commit(ctx context.Context, g group, values []string, create, changed bool) ([]store.Op, error) {
	m := &memberPage{groupChange: c, g: &g, create: create}
	if err := m.plan(ctx, values); err != nil {
		return nil, err
	}
	c.group = g
	if !create && !changed && len(m.ops) == 0 {
		return nil, nil
	}
	g.ChangedAt = c.now
	var write store.Op
	var told events.Event
	if create {
		told = g.event(c.d, c.now, events.GroupCreated, events.PolisGroupCreated)
		write = c.s.groups.Insert(g)
	} else {
		told = g.event(c.d, c.now, events.GroupUpdated, events.PolisGroupUpdated)
		write = c.s.groups.Update(g)
		if !c.d.Quiet {
			m.ops = append(m.ops, c.s.Leases.AskLater(tellAfter, jobMembers, g.ID, directoryOf(c.d)))
		}
	}
	told.Echo = !create && !changed
	c.group = g
	c.group.version++
	ops := append([]store.Op{write}, m.ops...)
	return append(ops, c.s.Events.Outbox(c.d.ProjectID, append([]events.Event{told}, m.told...)...)), nil
}

// subject is the group as it is to be, and whether that is another than it is, its members aside.
func (c *groupChange) subject(ctx context.Context, begin bool) (g group, changed bool, err error) {
	if begin && c.alter == nil {
		return *c.first, true, nil
	}
	if g, err = c.s.groupOf(ctx, c.d, c.first.ID); err != nil || !begin {
		return g, false, err
	}
	if !c.match.met(g.version) {
		return g, false, mismatch()
	}
	old, err := decode(g.Resource)
	if err != nil {
		return g, false, err
	}
	r, err := c.alter(scim.Clone(old))
	if err != nil || scim.Equal(old, r) {
		return g, false, err
	}
	g.set(r, c.now)
	return g, true, nil
}

// memberPage is the part of one commit that concerns members.
type memberPage struct {
	*groupChange
	g      *group
	create bool

	ops  []store.Op
	told []events.Event
}

func (m *memberPage) plan(ctx context.Context, values []string) error {
	if len(values) == 0 {
		return nil
	}
	present, err := m.present(ctx, values)
	if err != nil {
		return err
	}
	var concerned []string
	for _, value := range values {
		if _, in := present[value]; in != (m.wanted[value] != nil) {
			concerned = append(concerned, value)
		}
	}
	if len(concerned) == 0 {
		return nil
	}
	identities, err := m.s.identitiesOf(ctx, wellFormed(concerned))
	if err != nil {
		return err
	}
	people, inside, err := m.s.resolve(ctx, m.d, concerned)
	if err != nil {
		return err
	}
	if err := m.nest(ctx, concerned, inside); err != nil {
		return err
	}
	for _, value := range concerned {
		if err := m.one(value, present, people, inside, identities); err != nil {
			return err
		}
	}
	if tooLarge(m.ops, m.told) && len(values) > 1 {
		return errTooLarge
	}
	return nil
}

// present reads which of some values are members.
func (m *memberPage) present(ctx context.Context, values []string) (map[string]membership, error) {
	found := map[string]membership{}
	ids := make([]string, 0, 2*len(values))
	for _, value := range wellFormed(values) {
		ids = append(ids, memberID(m.g.ID, ofUser, value), memberID(m.g.ID, ofGroup, value))
	}
	if m.create || len(ids) == 0 {
		return found, nil
	}
	list, err := m.s.members.GetMany(ctx, ids)
	for _, one := range list {
		found[one.Member] = one
	}
	return found, err
}

// one has one value join or leave.
func (m *memberPage) one(value string, present map[string]membership, people map[string]user, inside map[string]group, identities map[string]identity.Identity) error {
	old, in := present[value]
	wanted := m.wanted[value]
	u, isUser := people[value]
	sub, isGroup := inside[value]
	switch {
	case in: // leaves; what is no user or group any more does so, too
		m.ops = append(m.ops, m.s.members.Delete(old))
	case isUser:
		m.ops = append(m.ops, m.s.members.Insert(membership{memberID(m.g.ID, ofUser, value), m.d.ID, m.g.ID, value, wanted.Display, 0}))
	case isGroup:
		m.ops = append(m.ops, m.s.members.Insert(membership{memberID(m.g.ID, ofGroup, value), m.d.ID, m.g.ID, value, wanted.Display, 0}), m.s.groups.Check(sub))
	default:
		return noMember(value)
	}
	i, known := identities[value]
	if !isUser || !known {
		if isUser && !in { // deleted meanwhile
			return noMember(value)
		}
		return nil
	}
	polis := events.PolisGroupUserAdded
	if in {
		polis = events.PolisGroupUserRemoved
	}
	op, e := m.s.touch(m.d, i, u, polis, m.g, m.now)
	if m.create { // of a new group the event table has GroupCreated alone
		e.Type = ""
	}
	m.ops, m.told = append(m.ops, op), append(m.told, e)
	return nil
}

// touch tells of a user whose membership changed; of group nil, of whom nothing did.
func (s *Service) touch(d Directory, i identity.Identity, u user, polis string, g *group, now time.Time) (store.Op, events.Event) {
	data := shown(u.ID, u.Resource)
	e := events.Event{Polis: polis, ScimClient: d.ClientID, Time: now, Echo: g == nil}
	if g != nil {
		in := g.shown()
		data.Group, e.GroupID = &in, g.ID
	}
	e.Data = encode(data)
	return s.Identities.Touch(i, e)
}

// identitiesOf reads the identities of users, before the users are read: whoever changes a user in between has changed the
// identity, so that what is told of it by Touch is not committed.
func (s *Service) identitiesOf(ctx context.Context, ids []string) (map[string]identity.Identity, error) {
	found := make(map[string]identity.Identity, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	list, err := s.Identities.GetMany(ctx, ids)
	for _, i := range list {
		found[i.ID] = i
	}
	return found, err
}

// nest refuses groups inside of themselves, and has others who nest or delete groups in the directory meanwhile meet this commit.
func (m *memberPage) nest(ctx context.Context, values []string, inside map[string]group) error {
	joining := map[string]bool{}
	for _, value := range values {
		if m.wanted[value] != nil && inside[value].ID != "" {
			joining[value] = true
		}
	}
	if len(joining) == 0 {
		return nil
	}
	guard, err := m.s.guard(ctx, m.d, int64(len(joining)))
	if err != nil {
		return err
	}
	if m.ops = append(m.ops, guard); m.create { // nobody knows a new group yet
		return nil
	}
	around := map[string]bool{m.g.ID: true}
	for wave := []string{m.g.ID}; len(wave) > 0; wave = wave[1:] {
		if joining[wave[0]] {
			return fault.At("members", "cycle", "A group cannot be inside of itself.")
		}
		list, err := m.s.groupsOf(ctx, m.d, wave[0])
		if err != nil {
			return err
		}
		for _, g := range list {
			if !around[g.ID] {
				around[g.ID] = true
				wave = append(wave, g.ID)
			}
		}
		if len(around) > maxAround {
			return tooNested()
		}
	}
	return nil
}
