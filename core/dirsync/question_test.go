package dirsync_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A question is a list that is asked for: a filter, as text and as what it says of a user or group, and an order.
type question struct {
	filter string // "" for none
	fits   func(one any) bool
	order  *attribute // nil for none
	desc   bool
}

// attribute is what a filter or an order asks of.
type attribute struct {
	path    string
	exact   bool // case counts
	ops     []string
	of      func(m *model, one any) []string
	literal func(s *sequence, r *rand.Rand) (text, value string) // what is compared with it, as a client writes it and for the model
}

var (
	allOps  = []string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}
	equal   = []string{"eq"}
	ordered = []string{"gt", "ge", "lt", "le", "eq"}
)

// one is a literal out of a list.
func oneOf(list []string) func(*sequence, *rand.Rand) (string, string) {
	return func(_ *sequence, r *rand.Rand) (string, string) {
		v := list[r.IntN(len(list))]
		return fmt.Sprintf("%q", v), v
	}
}

// anyID is the id of somebody, of either directory.
func anyID(s *sequence, r *rand.Rand) (string, string) {
	id := s.someone(r, r.IntN(2))
	return fmt.Sprintf("%q", id), id
}

func ofPerson(of func(p *person) string) func(*model, any) []string {
	return func(_ *model, one any) []string {
		if v := of(one.(*person)); v != "" {
			return []string{v}
		}
		return nil
	}
}

func ofTeam(of func(t *team) string) func(*model, any) []string {
	return func(_ *model, one any) []string {
		if v := of(one.(*team)); v != "" {
			return []string{v}
		}
		return nil
	}
}

func step(n int) string { return fmt.Sprintf("%06d", n) }

// moment is a time at which somebody was created or changed.
func moment(s *sequence, r *rand.Rand) (text, value string) {
	if len(s.times) == 0 {
		return `"2026-01-01T00:00:00Z"`, step(0)
	}
	known := make([]int, 0, len(s.times))
	for n := range s.times {
		known = append(known, n)
	}
	slices.Sort(known)
	n := known[r.IntN(len(known))]
	return `"` + s.times[n].Format("2006-01-02T15:04:05.000Z") + `"`, step(n)
}

var userAttributes = []attribute{
	{"id", true, equal, ofPerson(func(p *person) string { return p.id }), anyID},
	{"userName", false, allOps, ofPerson(func(p *person) string { return p.userName }), oneOf(userNames)},
	{"externalId", true, allOps, ofPerson(func(p *person) string { return p.externalID }), oneOf(externalIDs)},
	{"nickName", false, allOps, ofPerson(func(p *person) string { return p.nick }), oneOf(nicks)},
	{"active", true, []string{"eq", "ne", "pr"}, ofPerson(func(p *person) string { return p.active }), func(_ *sequence, r *rand.Rand) (string, string) {
		v := fmt.Sprint(r.IntN(2) == 0)
		return v, v
	}},
	{"emails.value", false, allOps, func(_ *model, one any) []string { return one.(*person).emails }, oneOf(addresses)},
	{"groups.value", true, []string{"eq", "ne", "pr"}, func(m *model, one any) []string { return ids(m.groupsOf(one.(*person).id, false)) }, anyID},
	{"meta.created", true, ordered, ofPerson(func(p *person) string { return step(p.created) }), moment},
	{"meta.lastModified", true, ordered, ofPerson(func(p *person) string { return step(p.changed) }), moment},
}

var teamAttributes = []attribute{
	{"id", true, equal, ofTeam(func(t *team) string { return t.id }), anyID},
	{"displayName", false, allOps, ofTeam(func(t *team) string { return t.name }), oneOf(teamNames)},
	{"externalId", true, allOps, ofTeam(func(t *team) string { return t.externalID }), oneOf(externalIDs)},
	{"members.value", true, []string{"eq", "eq", "ne", "pr"}, func(_ *model, one any) []string { return keys(one.(*team).members) }, anyID},
	{"members.type", false, []string{"eq", "ne"}, func(m *model, one any) (types []string) {
		for id := range one.(*team).members {
			types = append(types, m.kind(one.(*team).dir, id))
		}
		return types
	}, oneOf([]string{"User", "Group"})},
	{"meta.created", true, ordered, ofTeam(func(t *team) string { return step(t.created) }), moment},
	{"meta.lastModified", true, ordered, ofTeam(func(t *team) string { return step(t.changed) }), moment},
}

// holds is a comparison: of several values one is enough, and where there is none, none is equal.
func holds(op string, values []string, v string, exact bool) bool {
	if len(values) == 0 {
		return op == "ne"
	}
	return slices.ContainsFunc(values, func(is string) bool {
		if !exact {
			is, v = fold(is), fold(v)
		}
		switch op {
		case "eq":
			return is == v
		case "ne":
			return is != v
		case "co":
			return strings.Contains(is, v)
		case "sw":
			return strings.HasPrefix(is, v)
		case "ew":
			return strings.HasSuffix(is, v)
		case "gt":
			return is > v
		case "ge":
			return is >= v
		case "lt":
			return is < v
		case "le":
			return is <= v
		}
		return true // pr
	})
}

// filter makes a filter and what it says.
func (s *sequence) filter(r *rand.Rand, attributes []attribute, depth int) (text string, fits func(any) bool) {
	if depth == 0 || r.IntN(3) == 0 {
		a := attributes[r.IntN(len(attributes))]
		op := a.ops[r.IntN(len(a.ops))]
		literal, value := a.literal(s, r)
		text = a.path + " " + op + " " + literal
		if name, sub, multiple := strings.Cut(a.path, "."); multiple && name != "meta" && op != "ne" && r.IntN(3) == 0 {
			text = name + "[" + sub + " " + op + " " + literal + "]"
		}
		if op == "pr" {
			text = a.path + " pr"
		}
		return text, func(one any) bool { return holds(op, a.of(s.model, one), value, a.exact) }
	}
	left, l := s.filter(r, attributes, depth-1)
	switch r.IntN(3) {
	case 0:
		return "not (" + left + ")", func(one any) bool { return !l(one) }
	case 1:
		right, x := s.filter(r, attributes, depth-1)
		return "(" + left + ") or (" + right + ")", func(one any) bool { return l(one) || x(one) }
	default:
		right, x := s.filter(r, attributes, depth-1)
		return "(" + left + ") and (" + right + ")", func(one any) bool { return l(one) && x(one) }
	}
}

// ask makes a question.
func (s *sequence) ask(r *rand.Rand, attributes []attribute) question {
	q := question{fits: func(any) bool { return true }}
	if r.IntN(5) > 0 {
		q.filter, q.fits = s.filter(r, attributes, 2)
	}
	if r.IntN(2) == 0 {
		a := attributes[r.IntN(len(attributes))]
		if !strings.HasPrefix(a.path, "members") && !strings.HasPrefix(a.path, "groups") { // which are not in a list's resources
			q.order, q.desc = &a, r.IntN(2) == 0
		}
	}
	return q
}

// key is by what a question sorts: who has no value comes last.
func (q question) key(m *model, one any) string {
	values := q.order.of(m, one)
	switch {
	case len(values) == 0:
		return "~"
	case q.order.exact:
		return "s" + values[0]
	}
	return "s" + fold(values[0])
}

// answer is those of a list whom a question is about, in its order; of those who are equal in it, any may come first.
func answer[T any](m *model, q question, all []T) (found []T) {
	for _, one := range all {
		if q.fits(one) {
			found = append(found, one)
		}
	}
	if q.order != nil {
		slices.SortStableFunc(found, func(a, b T) int {
			if q.desc {
				a, b = b, a
			}
			return cmp.Compare(q.key(m, a), q.key(m, b))
		})
	}
	return found
}
