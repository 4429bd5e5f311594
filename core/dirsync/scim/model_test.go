package scim

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var sequences = flag.Int("scim.sequences", 100_000, "how many random sequences are compared with the model")

// The model: a user as flat texts and lists of flat texts. It knows no JSON, no paths and no schema, and is slow.
type model struct {
	one  map[string]string              // by path
	many map[string][]map[string]string // emails, roles
}

var (
	modelTexts = []string{"title", "nickName", "name.givenName", "name.familyName", EnterpriseURN + ":department"}
	modelLists = []string{"emails", "roles"}
	modelSubs  = []string{"value", "type", "display", "primary"}
	words      = []string{"a", "A", "b", "bc", "Bcd"}
	types      = []string{"work", "Work", "home"}
)

func (m model) clone() model {
	out := model{maps.Clone(m.one), map[string][]map[string]string{}}
	for name, list := range m.many {
		for _, e := range list {
			out.many[name] = append(out.many[name], maps.Clone(e))
		}
	}
	return out
}

func (m model) String() string {
	var parts []string
	for path, v := range m.one {
		parts = append(parts, path+"="+v)
	}
	for name, list := range m.many {
		var elements []string
		for _, e := range list {
			elements = append(elements, fmt.Sprint(e))
		}
		slices.Sort(elements)
		if len(list) > 0 {
			parts = append(parts, name+"="+strings.Join(elements, "|"))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ; ")
}

// flat makes a model of a resource.
func flat(r Resource) model {
	m := model{map[string]string{}, map[string][]map[string]string{}}
	var walk func(prefix string, v map[string]any)
	walk = func(prefix string, v map[string]any) {
		for name, value := range v {
			switch value := value.(type) {
			case map[string]any:
				separator := "."
				if isURN(name) {
					separator = ":"
				}
				walk(prefix+name+separator, value)
			case []any:
				for _, e := range value {
					f := map[string]string{}
					if em, ok := e.(map[string]any); ok {
						for k, x := range em {
							f[k] = fmt.Sprint(x)
						}
						m.many[name] = append(m.many[name], f)
					}
				}
			default:
				m.one[prefix+name] = fmt.Sprint(value)
			}
		}
	}
	walk("", r)
	return m
}

// A choice is a filter over a list: as text, and as a function on the model.
type choice struct {
	text  string
	match func(map[string]string) bool
	seed  map[string]string // what it describes; nil where it describes nothing that could be made
}

func same(a, b string) bool { return strings.EqualFold(a, b) }

func randomChoice(g *rand.Rand, depth int) choice {
	switch n := g.IntN(8); {
	case depth > 0 && n == 0:
		a, b := randomChoice(g, depth-1), randomChoice(g, depth-1)
		var seed map[string]string
		if a.seed != nil && b.seed != nil {
			seed = maps.Clone(a.seed)
			maps.Copy(seed, b.seed)
			if len(seed) < len(a.seed)+len(b.seed) {
				seed = nil // it asks for one thing twice
			}
		}
		return choice{"(" + a.text + ") and (" + b.text + ")", func(e map[string]string) bool { return a.match(e) && b.match(e) }, seed}
	case depth > 0 && n == 1:
		a, b := randomChoice(g, depth-1), randomChoice(g, depth-1)
		return choice{a.text + " or " + b.text, func(e map[string]string) bool { return a.match(e) || b.match(e) }, nil}
	case depth > 0 && n == 2:
		a := randomChoice(g, depth-1)
		return choice{"not (" + a.text + ")", func(e map[string]string) bool { return !a.match(e) }, nil}
	case n == 3:
		return choice{"primary eq true", func(e map[string]string) bool { return e["primary"] == "true" }, map[string]string{"primary": "true"}}
	case n == 4:
		w := words[g.IntN(len(words))]
		return choice{`value co "` + w + `"`, func(e map[string]string) bool {
			return strings.Contains(strings.ToLower(e["value"]), strings.ToLower(w))
		}, nil}
	case n == 5:
		w := words[g.IntN(len(words))]
		return choice{`value EQ "` + w + `"`, func(e map[string]string) bool { return same(e["value"], w) }, map[string]string{"value": w}}
	case n == 6:
		return choice{`display pr`, func(e map[string]string) bool { return e["display"] != "" }, nil}
	default:
		w := types[g.IntN(len(types))]
		return choice{`Type eq "` + w + `"`, func(e map[string]string) bool { return same(e["type"], w) }, map[string]string{"type": w}}
	}
}

// randomElement is an element of a list; at least one of its sub-attributes is set.
func randomElement(g *rand.Rand) map[string]string {
	e := map[string]string{}
	for len(e) == 0 {
		if g.IntN(6) > 0 {
			e["value"] = words[g.IntN(len(words))]
		}
		if g.IntN(2) > 0 {
			e["type"] = types[g.IntN(len(types))]
		}
		if g.IntN(4) == 0 {
			e["display"] = words[g.IntN(len(words))]
		}
		if g.IntN(3) == 0 {
			e["primary"] = []string{"true", "false"}[g.IntN(2)]
		}
	}
	return e
}

// sent is an element as a client writes it.
func sent(e map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range e {
		out[k] = v
		if k == "primary" && v == "true" {
			out[k] = true
		}
	}
	return out
}

var errModel = errors.New("refused")

// randomChange is an operation and what the model makes of it.
func randomChange(g *rand.Rand) (Operation, func(m model) error) {
	op := []string{"add", "replace", "remove"}[g.IntN(3)]
	if g.IntN(3) == 0 {
		return randomText(g, op)
	}
	name := modelLists[g.IntN(len(modelLists))]
	switch g.IntN(4) {
	case 0:
		return changeList(g, op, name)
	case 1:
		return changeEach(g, op, name)
	default:
		return changeChosen(g, op, name)
	}
}

func operation(op, path string, v any) Operation {
	o := Operation{Op: op, Path: path}
	if op != "remove" || v != nil {
		o.Value, _ = json.Marshal(v)
	}
	return o
}

func randomText(g *rand.Rand, op string) (Operation, func(m model) error) {
	path, w := modelTexts[g.IntN(len(modelTexts))], words[g.IntN(len(words))]
	if op == "remove" {
		return operation(op, path, nil), func(m model) error { delete(m.one, path); return nil }
	}
	o := operation(op, path, w)
	if g.IntN(2) == 0 {
		o = operation(op, "", map[string]string{path: w})
	}
	return o, func(m model) error { m.one[path] = w; return nil }
}

func primaries(list []map[string]string) (n int) {
	for _, e := range list {
		if e["primary"] == "true" {
			n++
		}
	}
	return n
}

func withoutTwins(list []map[string]string) []map[string]string {
	var out []map[string]string
	for _, e := range list {
		if !slices.ContainsFunc(out, func(o map[string]string) bool { return maps.Equal(o, e) }) {
			out = append(out, e)
		}
	}
	return out
}

func unset(list []map[string]string, keep int) {
	for i, e := range list {
		if i != keep && e["primary"] == "true" {
			e["primary"] = "false"
		}
	}
}

// like says how much an element is what is added.
func like(e, added map[string]string) int {
	if e["value"] == "" || added["value"] == "" {
		if maps.Equal(e, added) {
			return 3
		}
		return 0
	}
	if !same(e["value"], added["value"]) {
		return 0
	}
	all := true
	for k, v := range added {
		all = all && (e[k] == v || (k == "value" || k == "type") && same(e[k], v))
	}
	switch {
	case all:
		return 3
	case same(e["type"], added["type"]):
		return 2
	case e["type"] == "" || added["type"] == "":
		return 1
	}
	return 0
}

func changeList(g *rand.Rand, op, name string) (Operation, func(m model) error) {
	elements := []map[string]string{randomElement(g)}
	if g.IntN(2) == 0 {
		elements = append(elements, randomElement(g))
	}
	var value any
	list := []any{}
	for _, e := range elements {
		list = append(list, sent(e))
	}
	value = list
	if len(list) == 1 && g.IntN(2) == 0 {
		value = list[0]
	}
	if op == "remove" && g.IntN(2) == 0 {
		return operation(op, name, nil), func(m model) error { m.many[name] = nil; return nil }
	}
	return operation(op, name, value), func(m model) error {
		if op != "remove" && primaries(withoutTwins(elements)) > 1 {
			return errModel
		}
		switch op {
		case "replace":
			m.many[name] = withoutTwins(elements)
		case "remove":
			m.many[name] = slices.DeleteFunc(m.many[name], func(e map[string]string) bool {
				return slices.ContainsFunc(elements, func(gone map[string]string) bool { return meant(gone, e) })
			})
		case "add":
			for _, e := range withoutTwins(elements) {
				addTo(m, name, e)
			}
			m.many[name] = withoutTwins(m.many[name])
		}
		return nil
	}
}

func meant(gone, e map[string]string) bool {
	if gone["value"] != "" {
		return same(gone["value"], e["value"]) && (gone["type"] == "" || same(gone["type"], e["type"]))
	}
	for k, v := range gone {
		if !same(v, e[k]) || e[k] == "" {
			return false
		}
	}
	return true
}

func addTo(m model, name string, added map[string]string) {
	best, at := 0, -1
	for i, e := range m.many[name] {
		if n := like(e, added); n > best {
			best, at = n, i
		}
	}
	if at < 0 {
		m.many[name] = append(m.many[name], maps.Clone(added))
		at = len(m.many[name]) - 1
	} else {
		e := m.many[name][at]
		for k, v := range added {
			if e[k] == "" || k == "display" || k == "primary" {
				e[k] = v
			}
		}
	}
	if added["primary"] == "true" {
		unset(m.many[name], at)
	}
}

// settle takes out what is empty or twice, and refuses two primary ones.
func settle(m model, name string, lostValue bool) error {
	m.many[name] = withoutTwins(slices.DeleteFunc(m.many[name], func(e map[string]string) bool {
		return len(e) == 0 || lostValue && e["value"] == ""
	}))
	if primaries(m.many[name]) > 1 {
		return errModel
	}
	return nil
}

func randomSub(g *rand.Rand) (sub, value string) {
	sub = modelSubs[g.IntN(len(modelSubs))]
	switch sub {
	case "type":
		return sub, types[g.IntN(len(types))]
	case "primary":
		return sub, []string{"true", "false"}[g.IntN(2)]
	default:
		return sub, words[g.IntN(len(words))]
	}
}

func changeEach(g *rand.Rand, op, name string) (Operation, func(m model) error) {
	sub, v := randomSub(g)
	if op == "remove" {
		return operation(op, name+"."+sub, nil), func(m model) error {
			for _, e := range m.many[name] {
				delete(e, sub)
			}
			if len(m.many[name]) == 0 {
				return nil
			}
			return settle(m, name, sub == "value")
		}
	}
	return operation(op, name+"."+sub, sent(map[string]string{sub: v})[sub]), func(m model) error {
		if len(m.many[name]) == 0 {
			m.many[name] = []map[string]string{{}}
		}
		for _, e := range m.many[name] {
			e[sub] = v
		}
		return settle(m, name, false)
	}
}

func changeChosen(g *rand.Rand, op, name string) (Operation, func(m model) error) {
	c := randomChoice(g, 2)
	var sub, v string
	e := randomElement(g)
	if g.IntN(3) > 0 {
		sub, v = randomSub(g)
		e = map[string]string{sub: v}
	}
	path := name + "[" + c.text + "]"
	var value any = sent(e)
	if sub != "" {
		path += "." + sub
		value = sent(e)[sub]
	}
	if op == "remove" {
		return operation(op, path, nil), func(m model) error { return removeChosen(m, name, c, sub) }
	}
	return operation(op, path, value), func(m model) error { return putChosen(m, op, name, c, sub, e) }
}

func removeChosen(m model, name string, c choice, sub string) error {
	if len(m.many[name]) == 0 {
		return nil
	}
	if sub == "" {
		m.many[name] = slices.DeleteFunc(m.many[name], c.match)
		return nil
	}
	for _, e := range m.many[name] {
		if c.match(e) {
			delete(e, sub)
		}
	}
	return settle(m, name, sub == "value")
}

func putChosen(m model, op, name string, c choice, sub string, put map[string]string) error {
	var chosen []int
	for i, e := range m.many[name] {
		if c.match(e) {
			chosen = append(chosen, i)
		}
	}
	created := len(chosen) == 0
	if created {
		if c.seed == nil || op == "replace" && (sub == "" || c.seed["value"] != "") {
			return errModel
		}
		m.many[name] = append(m.many[name], maps.Clone(c.seed))
		chosen = []int{len(m.many[name]) - 1}
	}
	for _, i := range chosen {
		if sub == "" && op == "replace" {
			m.many[name][i] = map[string]string{}
		}
		maps.Copy(m.many[name][i], put)
	}
	if primary := m.many[name][chosen[0]]["primary"] == "true"; put["primary"] == "true" || created && primary {
		if len(chosen) > 1 {
			return errModel
		}
		unset(m.many[name], chosen[0])
	}
	return settle(m, name, false)
}

// tally is what came of sequences.
type tally struct{ refused, unchanged, changes, matches atomic.Int64 }

// TestPatchAgainstModel compares random sequences of requests with the model: what comes of them, whether they are
// refused, that a refusal changes nothing, and that "changed" is the truth. Random filters are compared on the way.
func TestPatchAgainstModel(t *testing.T) {
	count := *sequences
	if testing.Short() {
		count /= 10
	}
	var n tally
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1) - 1; seed < int64(count) && !t.Failed(); seed = next.Add(1) - 1 {
				n.compare(t, uint64(seed))
			}
		})
	}
	all.Wait()
	t.Logf("%d sequences from seed 0: %d changed something, %d nothing, %d were refused; %d filters matched",
		count, n.changes.Load(), n.unchanged.Load(), n.refused.Load(), n.matches.Load())
	if least := min(n.refused.Load(), n.unchanged.Load(), n.changes.Load(), n.matches.Load()); !t.Failed() && least < int64(count)/20 {
		t.Error("the sequences do not reach what they should")
	}
}

// compare compares one sequence.
func (n *tally) compare(t *testing.T, seed uint64) {
	g := rand.New(rand.NewPCG(seed, 7643))
	r := Resource{"userName": "u", "schemas": []any{UserURN}}
	m := flat(r)
	for range 5 {
		var ops []Operation
		next, want := m.clone(), error(nil)
		for range 1 + g.IntN(3) {
			op, apply := randomChange(g)
			if ops = append(ops, op); want == nil {
				want = apply(next)
			}
		}
		before := m.String()
		changed, err := User.Patch(r, ops)
		if want == nil {
			m = next
		}
		if (err != nil) != (want != nil) || flat(r).String() != m.String() || changed != (m.String() != before) {
			t.Errorf("seed %d\nbefore  %s\n%s\nmodel   %s (%v)\nengine  %s (%v, changed %v)", seed, before, show(ops), m, want, flat(r), err, changed)
			return
		}
		c := randomChoice(g, 3)
		name := modelLists[g.IntN(2)]
		f, err := ParseFilter(User, name+"["+c.text+"]")
		if got := err == nil && f.Match(r); err != nil || got != slices.ContainsFunc(m.many[name], c.match) {
			t.Errorf("seed %d: %s[%s] on %s: %v %v", seed, name, c.text, m, got, err)
			return
		} else if got {
			n.matches.Add(1)
		}
		switch {
		case want != nil:
			n.refused.Add(1)
		case changed:
			n.changes.Add(1)
		default:
			n.unchanged.Add(1)
		}
	}
}

// TestFilterAgainstModel compares random filters over single values with a naive evaluation.
func TestFilterAgainstModel(t *testing.T) {
	for seed := range uint64(100_000) {
		g := rand.New(rand.NewPCG(seed, 7644))
		r := Resource{"userName": words[g.IntN(len(words))]}
		for _, name := range []string{"title", "externalId"} {
			if g.IntN(3) > 0 {
				r[name] = words[g.IntN(len(words))]
			}
		}
		text, want := randomFilter(g, r, 4)
		f, err := ParseFilter(User, text)
		if err != nil || f.Match(r) != want {
			t.Fatalf("seed %d: %s on %s: not %v, %v", seed, text, show(r), want, err)
		}
	}
}

// randomFilter gives a filter and what it says of r. It writes no brackets where the rules of precedence need none.
func randomFilter(g *rand.Rand, r Resource, depth int) (text string, value bool) {
	if depth == 0 || g.IntN(3) == 0 {
		return randomComparison(g, r)
	}
	a, x := randomFilter(g, r, depth-1)
	switch g.IntN(4) {
	case 0:
		return "not (" + a + ")", !x
	case 1:
		b, y := randomFilter(g, r, depth-1)
		return a + " or " + b, x || y
	case 2:
		b, y := randomFilter(g, r, depth-1)
		return "(" + a + ") AND ( " + b + " )", x && y
	default: // and binds first
		b, y := randomComparison(g, r)
		c, z := randomComparison(g, r)
		return a + " or " + b + " and " + c, x || y && z
	}
}

func randomComparison(g *rand.Rand, r Resource) (text string, value bool) {
	name := []string{"userName", "title", "externalId"}[g.IntN(3)]
	op := operators[g.IntN(len(operators))]
	v, ok := r[name].(string)
	if op == "pr" {
		return name + " pr", ok
	}
	w := words[g.IntN(len(words))]
	text = fmt.Sprintf("%s %s %q", name, op, w)
	if !ok {
		return text, op == "ne"
	}
	if name != "externalId" {
		v, w = strings.ToLower(v), strings.ToLower(w)
	}
	return text, map[string]bool{
		"eq": v == w, "ne": v != w, "co": strings.Contains(v, w), "sw": strings.HasPrefix(v, w), "ew": strings.HasSuffix(v, w),
		"gt": v > w, "ge": v >= w, "lt": v < w, "le": v <= w,
	}[op]
}
