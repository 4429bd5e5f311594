package dirsync_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
)

func keys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

func ids(list []*team) (out []string) {
	for _, t := range list {
		out = append(out, t.id)
	}
	slices.Sort(out)
	return out
}

// pages reads the answer to a question, in pages of some size by index or by cursor, and compares it: who is in it, and in
// which order.
func pages[T any](s *sequence, r *rand.Rand, dir int, q question, kind *scim.ResourceType, list func(context.Context, dirsync.Directory, dirsync.Query) (dirsync.Page, error),
	want []T, id func(T) string, is func(T, dirsync.Object)) {
	in := dirsync.Query{Count: []int{0, 1, 2, 3, 100}[r.IntN(5)]}
	var err error
	if q.filter != "" {
		in.Filter, err = scim.ParseFilter(kind, q.filter)
		s.fine("filter "+q.filter, err)
	}
	what := fmt.Sprintf("%d: %ss where %s", dir, kind.Name, q.filter)
	if q.order != nil {
		in.Order, err = scim.ParseOrder(kind, q.order.path, q.desc)
		s.fine("order "+q.order.path, err)
		what += fmt.Sprintf(", by %s, descending %t", q.order.path, q.desc)
	}
	if r.IntN(2) == 0 {
		in.Cursor = new(string)
	}
	what += fmt.Sprintf(", %d at a time, by cursor %t", in.Count, in.Cursor != nil)
	s.note("%s", what)
	var got []dirsync.Object
	for in.Start = 1; ; in.Start += in.Count {
		page, err := list(s.ctx, s.both[dir], in)
		s.fine("list", err)
		s.want("total", page.Total, len(want))
		got = append(got, page.Items...)
		switch {
		case len(page.Items) > in.Count:
			panic(differs(fmt.Sprintf("%d items in a page of %d", len(page.Items), in.Count)))
		case in.Count == 0:
			s.want("nothing asked for", len(got), 0)
			return
		case in.Cursor != nil && (page.Next == "") != (len(got) >= len(want)):
			panic(differs(fmt.Sprintf("after %d of %d comes %q", len(got), len(want), page.Next)))
		}
		if len(got) >= len(want) || len(page.Items) == 0 {
			break
		}
		if in.Cursor != nil {
			in.Cursor = &page.Next
		}
	}
	s.compareOrder(q, objectIDs(got), idsOf(want, id), keysOf(s.model, q, want))
	for _, o := range got {
		is(want[slices.IndexFunc(want, func(one T) bool { return id(one) == o.ID })], o)
	}
}

func objectIDs(list []dirsync.Object) (out []string) {
	for _, o := range list {
		out = append(out, o.ID)
	}
	return out
}

func idsOf[T any](list []T, id func(T) string) (out []string) {
	for _, one := range list {
		out = append(out, id(one))
	}
	return out
}

// keysOf is by what a list is sorted; everybody's own place where nobody asked for an order.
func keysOf[T any](m *model, q question, list []T) (out []string) {
	for n, one := range list {
		if q.order == nil {
			out = append(out, step(n))
		} else {
			out = append(out, q.key(m, one))
		}
	}
	return out
}

// compareOrder holds that those are there who should be, and each behind whom they should.
func (s *sequence) compareOrder(q question, got, want, keys []string) {
	s.want("who is in the list", slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)))
	var order []string
	for _, id := range got {
		order = append(order, keys[slices.Index(want, id)])
	}
	s.want("the order", order, keys)
}

// time holds when something was created or changed against the other times.
func (s *sequence) time(what string, n int, at time.Time) {
	if known, ok := s.times[n]; ok {
		s.want(what, at.UTC(), known)
		return
	}
	for m, other := range s.times {
		if (m < n) != other.Before(at) {
			panic(differs(fmt.Sprintf("%s: at %s, which does not go with %s", what, at, other)))
		}
	}
	s.times[n] = at.UTC()
}

// isPerson holds a user, as an answer shows it, against the model.
func (s *sequence) isPerson(p *person, o dirsync.Object) {
	text := func(name string) string {
		if v, ok := o.Resource[name]; ok {
			return fmt.Sprint(v)
		}
		return ""
	}
	var emails, groups, want []string
	list, _ := o.Resource["emails"].([]any)
	for _, e := range list {
		emails = append(emails, e.(map[string]any)["value"].(string))
	}
	list, _ = o.Resource["groups"].([]any)
	for _, g := range list {
		g := g.(map[string]any)
		groups = append(groups, fmt.Sprint(g["value"], g["display"], g["type"]))
	}
	for _, t := range s.model.groupsOf(p.id, false) {
		want = append(want, fmt.Sprint(t.id, t.name, "direct"))
	}
	s.want("user", fmt.Sprintf("%q", []any{o.ID, o.Version, text("id"), text("userName"), text("externalId"), text("nickName"), text("active"), emails}),
		fmt.Sprintf("%q", []any{p.id, p.version, p.id, p.userName, p.externalID, p.nick, p.active, p.emails}))
	s.want("groups of "+p.userName, slices.Sorted(slices.Values(groups)), slices.Sorted(slices.Values(want)))
	s.time("created", p.created, o.Created)
	s.time("changed", p.changed, o.Modified)
}

// isTeam holds a group, as an answer shows it, against the model; and its members.
func (s *sequence) isTeam(t *team, o dirsync.Object) {
	externalID, _ := o.Resource["externalId"].(string)
	s.want("group", fmt.Sprintf("%q", []any{o.ID, o.Version, o.Resource["id"], o.Resource["displayName"], externalID}),
		fmt.Sprintf("%q", []any{t.id, t.version, t.id, t.name, t.externalID}))
	s.time("created", t.created, o.Created)
	s.time("changed", t.changed, o.Modified)
	var got, want []string
	for after := ""; ; {
		page, err := s.directories.Members(s.ctx, s.both[t.dir], t.id, 2, after)
		s.fine("members", err)
		for _, m := range page.Items {
			got = append(got, m.Type+" "+m.Value)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	for id := range t.members {
		want = append(want, s.model.kind(t.dir, id)+" "+id)
	}
	s.want("members of "+t.name, slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)))
}

// everything compares all that is there with the model, as every way in shows it.
func (s *sequence) everything() {
	s.note("everything is compared")
	for dir, d := range s.both {
		r := rand.New(rand.NewPCG(uint64(dir), 3))
		all := question{fits: func(any) bool { return true }}
		pages(s, r, dir, all, scim.User, s.directories.Users, s.model.peopleOf(dir), func(p *person) string { return p.id }, s.isPerson)
		pages(s, r, dir, all, scim.Group, s.directories.Groups, s.model.teamsOf(dir), func(t *team) string { return t.id }, s.isTeam)
		for _, p := range s.model.people {
			o, err := s.directories.User(s.ctx, d, p.id, false)
			if p.dir != dir {
				s.missing(err)
				continue
			}
			s.fine("user", err)
			s.isPerson(p, o)
			s.compareGroups(d, p.id)
		}
		for _, t := range s.model.teams {
			s.compareTeam(dir, t)
		}
	}
	s.comparePeople()
}

func (s *sequence) missing(err error) {
	s.want("of another directory", fault.Is(err, fault.NotFound), true)
}

func (s *sequence) compareTeam(dir int, t *team) {
	d := s.both[dir]
	o, err := s.directories.Group(s.ctx, d, t.id)
	count, errCount := s.directories.CountMembers(s.ctx, d, t.id)
	users, total, errUsers := s.directories.UserMembers(s.ctx, d, t.id, 0, 100)
	s.fine("count members", errCount)
	s.fine("users among members", errUsers)
	var inside []string
	errInside := s.directories.EffectiveMembers(s.ctx, d, t.id, func(list []dirsync.Member) error {
		for _, m := range list {
			inside = append(inside, m.Value)
		}
		return nil
	})
	if t.dir != dir {
		s.missing(err)
		s.missing(errInside)
		s.want("members of another directory's group", fmt.Sprint(count, total, len(users)), "0 0 0")
		return
	}
	s.fine("group", err)
	s.fine("effective members", errInside)
	s.isTeam(t, o)
	direct := idsOf(s.model.direct(t.members), func(p *person) string { return p.id })
	s.want("members by number", fmt.Sprint(count, total), fmt.Sprint(len(t.members), len(direct)))
	s.want("users among members", users, slices.Sorted(slices.Values(direct)))
	slices.Sort(inside)
	s.want("effective members", inside, s.model.effective(t))
	s.compareGroups(d, t.id)
}

// compareGroups compares the groups around somebody.
func (s *sequence) compareGroups(d dirsync.Directory, id string) {
	for _, effective := range []bool{false, true} {
		list, err := s.directories.GroupsOf(s.ctx, d, id, effective)
		s.fine("groups of", err)
		s.want(fmt.Sprintf("groups around %s, effective %t", id, effective), slices.Sorted(slices.Values(objectIDs(list))), ids(s.model.groupsOf(id, effective)))
	}
}

// comparePeople compares the identities behind users, and by which names they are found.
func (s *sequence) comparePeople() {
	byID := map[string]*person{}
	for _, p := range s.model.people {
		byID[p.id] = p
	}
	found, err := s.identities.List(s.ctx, s.org.ID, 500, "")
	s.fine("identities", err)
	s.want("people of the organization", len(found.Items), len(byID))
	for _, i := range found.Items {
		p := byID[i.ID]
		if p == nil {
			panic(differs("an identity of nobody: " + i.ID))
		}
		var emails []string
		for _, a := range p.emails {
			if a != "no address" {
				emails = append(emails, a)
			}
		}
		s.want("identity", fmt.Sprintf("%q", []any{i.DirectoryID, i.OrganizationID, i.UserName, i.ExternalID, i.Addresses, i.Active, i.Provisioned, i.Epoch, i.EventSeq}),
			fmt.Sprintf("%q", []any{s.both[p.dir].ID, s.org.ID, p.userName, p.externalID, emails, p.active == "true", p.active == "true", p.epoch, p.seq}))
	}
	search := func(what string, q identity.Search, is func(*person) bool) {
		found, err := s.identities.Search(s.ctx, s.org.ID, q)
		s.fine("search", err)
		var got, want []string
		for _, i := range found {
			got = append(got, i.ID)
		}
		for _, p := range s.model.people {
			if is(p) {
				want = append(want, p.id)
			}
		}
		s.want(what, slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)))
	}
	for _, name := range userNames {
		search("by userName "+name, identity.Search{UserName: name}, func(p *person) bool { return fold(p.userName) == fold(name) })
	}
	for _, name := range externalIDs {
		search("by externalId "+name, identity.Search{ExternalID: name}, func(p *person) bool { return fold(p.externalID) == fold(name) })
	}
	for _, a := range addresses[:len(addresses)-1] {
		search("by address "+a, identity.Search{Address: a}, func(p *person) bool { return slices.Contains(p.said.addresses(), fold(a)) })
	}
}
