package scim

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Member is a member of a group. Type is "User", "Group", or "" where the client did not say.
type Member struct{ Value, Type, Display string }

// MemberKind says what a MemberChange does.
type MemberKind uint8

// What a change of members does.
const (
	AddMembers     MemberKind = iota // Members join
	RemoveMembers                    // Members leave, or where Filter is set those that it matches
	ReplaceMembers                   // Members are the members from now on
	ClearMembers                     // nobody is left
)

// MemberChange is one change of the members of a group. No member is in Members twice.
type MemberChange struct {
	Kind    MemberKind
	Members []Member
	Filter  *Filter // over "value", "type", "display" and "$ref" of a member
}

// Match reports whether the filter of a removal matches a member. Its Type and Display have to be known.
func (c MemberChange) Match(m Member) bool {
	r := Resource{"value": m.Value}
	set(r, "type", m.Type)
	set(r, "display", m.Display)
	return c.Filter != nil && c.Filter.Match(r)
}

var memberAttribute = GroupSchema.names["members"]

// Members takes the members out of a group that Read made; r has none afterwards. A member without an id is 400
// invalidValue.
func Members(r Resource) ([]Member, error) {
	list, _ := r["members"].([]any)
	delete(r, "members")
	out, err := toMembers(list)
	if err != nil {
		return nil, err.in("members")
	}
	return out, nil
}

func toMembers(list []any) ([]Member, *Error) {
	out := make([]Member, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, element := range list {
		m, _ := element.(map[string]any)
		value, _ := m["value"].(string)
		if value == "" {
			return nil, wrong("[%d].value: the id of a user or group is wanted.", i)
		}
		if seen[value] {
			continue
		}
		seen[value] = true
		one := Member{Value: value}
		one.Type, _ = m["type"].(string)
		one.Display, _ = m["display"].(string)
		out = append(out, one)
	}
	return out, nil
}

// SplitMembers parts the PATCH of a group into what concerns its members, in order, and the rest, which Patch applies to
// the group without its members. So a change costs what it changes, however large the group is.
//
// Members join by add, leave by remove with a filter or with a list of values (Entra ID), and are all of them replaced by
// replace or taken out by remove alone. What a member is cannot change: that is 400 mutability. An add or remove of no
// members is no change at all.
func SplitMembers(ops []Operation) (rest []Operation, members []MemberChange, err error) {
	for i := range ops {
		s := splitter{op: lower(ops[i].Op)}
		left, err := s.split(ops[i])
		if err != nil {
			return nil, nil, err.inOperation(i)
		}
		if left {
			rest = append(rest, Operation{Op: ops[i].Op, Path: ops[i].Path, Value: s.rest(ops[i].Value)})
		}
		members = append(members, s.changes...)
	}
	return rest, members, nil
}

type splitter struct {
	op      string
	changes []MemberChange
	others  strings.Builder // the value of a value-less operation without its members
	parted  bool            // whether others stands for the value
}

func (s *splitter) rest(value json.RawMessage) json.RawMessage {
	if s.parted {
		return json.RawMessage("{" + s.others.String() + "}")
	}
	return value
}

// split takes what concerns members out of an operation, and reports whether something is left of it.
func (s *splitter) split(op Operation) (left bool, err *Error) {
	if op.Path == "" || sameName(op.Path, GroupURN) {
		if _, err := operationName(op.Op); err != nil || s.op == opRemove {
			return true, nil
		}
		return s.splitValue(op.Value)
	}
	p, err := Group.patchPath(op.Path)
	if err != nil || p.URN != "" || p.Attribute != "members" {
		return true, nil // Patch says what is wrong
	}
	return false, s.change(&p, op.Value)
}

// splitValue parts an object by its names.
func (s *splitter) splitValue(value json.RawMessage) (left bool, err *Error) {
	d := &decoder{text: string(value)}
	if d.next() != '{' {
		return true, nil
	}
	err = d.members(func(name string) *Error {
		raw, err := d.raw()
		if err != nil {
			return err
		}
		if sameName(name, GroupURN) && raw[0] == '{' {
			s.parted = true
			_, err = s.splitValue(raw)
			return err
		}
		if p, err := Group.patchPath(name); err == nil && p.URN == "" && p.Attribute == "members" {
			s.parted = true
			return s.change(&p, raw)
		}
		if s.others.Len() > 0 {
			s.others.WriteByte(',')
		}
		text, _ := json.Marshal(name)
		s.others.Write(text)
		s.others.WriteByte(':')
		s.others.Write(raw)
		return nil
	})
	return !s.parted || s.others.Len() > 0, err
}

// change reads what one path does to members.
func (s *splitter) change(p *Path, raw json.RawMessage) *Error {
	if _, err := operationName(s.op); err != nil {
		return err
	}
	var value any
	if raw != nil {
		var err *Error
		if value, err = decode(raw); err != nil {
			return err
		}
	}
	all := s.op == opRemove && p.Filter == nil && value == nil
	if p.Sub != "" && (p.Sub != "value" || all) || s.op != opRemove && p.Filter != nil {
		return refuse(TypeMutability, "A member cannot change, only join or leave.")
	}
	c := MemberChange{Kind: map[string]MemberKind{opAdd: AddMembers, opRemove: RemoveMembers, opReplace: ReplaceMembers}[s.op]}
	switch {
	case s.op == opRemove && p.Filter != nil:
		c.chosen(p.Filter)
	case raw == nil && s.op != opRemove || value == nil && s.op == opAdd:
		return refuse(TypeInvalidValue, "The operation needs a value.")
	default:
		if err := c.listed(value); err != nil {
			return err.in("members")
		}
	}
	if c.Kind != ClearMembers && c.Filter == nil && len(c.Members) == 0 {
		return nil
	}
	s.changes = append(s.changes, c)
	return nil
}

// listed reads the members that an operation names.
func (c *MemberChange) listed(value any) *Error {
	if value == nil || c.Kind == ReplaceMembers && isEmptyList(value) {
		c.Kind = ClearMembers
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) > MaxMembers {
		return wrong("there are more than %d values.", MaxMembers)
	}
	for i := range list {
		one, err := memberAttribute.readOne(list[i])
		if err != nil {
			return err.in(fmt.Sprintf("[%d]", i))
		}
		list[i] = one
	}
	var err *Error
	c.Members, err = toMembers(list)
	return err
}

// chosen keeps a filter, or the members it names where it names them alone.
func (c *MemberChange) chosen(e Expr) {
	ids := map[string]bool{}
	if !named(e, ids, &c.Members) {
		c.Members, c.Filter = nil, &Filter{Root: e}
	}
}

// named collects the ids of a filter that consists of `value eq` and or alone.
func named(e Expr, seen map[string]bool, out *[]Member) bool {
	switch e := e.(type) {
	case *Or:
		return named(e.Left, seen, out) && named(e.Right, seen, out)
	case *Comparison:
		id, ok := e.Value.(string)
		if e.Op != EQ || e.Path.Attribute != "value" || !ok || id == "" {
			return false
		}
		if !seen[id] {
			seen[id] = true
			*out = append(*out, Member{Value: id})
		}
		return true
	default:
		return false
	}
}
