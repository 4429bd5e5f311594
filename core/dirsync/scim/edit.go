package scim

import (
	"maps"
	"slices"
	"strings"
)

// An editor changes a resource.
type editor struct {
	t    *ResourceType
	r    Resource
	work int // see MaxWork
}

// count counts the work on a value, so that a small PATCH of a long list does not keep a processor busy for long.
func (e *editor) count(p *Path, current any) *Error {
	if list, ok := current.([]any); ok {
		e.work += len(list) * (1 + p.terms)
	}
	if e.work > MaxWork {
		return refuse(TypeTooMany, "The operations look at too many values. Send fewer of them.")
	}
	return nil
}

// finish checks the whole after the last change. scimType is that of a required attribute that is missing.
func (e *editor) finish(scimType string) *Error {
	for i := range e.t.Schema.Attributes {
		if a := &e.t.Schema.Attributes[i]; a.Required && e.r[a.Name] == nil {
			return refuse(scimType, "%s: the attribute is required.", a.Name)
		}
	}
	custom, bytes := 0, 0
	for name, value := range e.r {
		if name != "members" {
			bytes += size(value)
		}
		if !isURN(name) {
			continue
		}
		m, _ := value.(map[string]any)
		if len(m) == 0 {
			delete(e.r, name)
		} else if e.t.extension(name) == nil {
			custom++
		}
		if len(m) > MaxAttributes {
			return refuse(TypeInvalidValue, "%s has more than %d attributes.", quote(name), MaxAttributes)
		}
	}
	switch {
	case custom > MaxExtensions:
		return refuse(TypeInvalidValue, "There are more than %d extensions.", MaxExtensions)
	case bytes > MaxResource:
		return refuse(TypeInvalidValue, "The resource has more than %d bytes.", MaxResource)
	}
	e.setSchemas()
	return nil
}

// size is about how many bytes of JSON a value is.
func size(value any) int {
	switch v := value.(type) {
	case string:
		return len(v) + 3
	case map[string]any:
		n := 2
		for name, inner := range v {
			n += len(name) + 4 + size(inner)
		}
		return n
	case []any:
		n := 2
		for _, inner := range v {
			n += size(inner)
		}
		return n
	default:
		return 6
	}
}

// setSchemas names the core schema and the extensions that the resource has, in a fixed order.
func (e *editor) setSchemas() {
	list := []any{e.t.Schema.ID}
	var urns []string
	for name := range e.r {
		if isURN(name) {
			urns = append(urns, name)
		}
	}
	slices.Sort(urns)
	e.r["schemas"] = append(list, texts(urns)...)
}

// whole decides what a path means whose URN no schema has: the extension as a whole, or one attribute of it. The resource
// decides where it has either; else an object is an extension, and under a name of a body it always is.
func (e *editor) whole(p Path, name string, value any, named bool) Path {
	if p.URN == "" || e.t.extension(p.URN) != nil || p.Filter != nil {
		return p
	}
	_, isObject := value.(object)
	_, isExtension := e.r[keyOf(e.r, name)]
	_, isIn := e.r[keyOf(e.r, p.URN)]
	last, _ := p.last()
	switch {
	case isExtension || isObject && (named || p.Attribute != "" && p.Sub == "" && !isIn):
		return Path{URN: name}
	case p.Attribute == "" && last.Attribute != "" && !isObject && (value != nil || e.r[keyOf(e.r, last.URN)] != nil):
		return last
	default:
		return p
	}
}

// putAll puts every attribute of an object: into the core schema where urn is "", where its names may be paths, or into
// an extension. Where lenient, what no schema knows and what is read-only is left out.
func (e *editor) putAll(op, urn string, value any, lenient bool) *Error {
	if value == nil && urn != "" {
		delete(e.r, keyOf(e.r, urn))
		return nil
	}
	sent, ok := value.(object)
	if !ok {
		return refuse(TypeInvalidValue, "%s", strings.TrimPrefix(urn+": an object with attributes is wanted.", ": "))
	}
	if urn != "" && e.t.extension(urn) == nil {
		return e.putFree(op, urn, sent)
	}
	readOnly, written := "", false
	for _, m := range sent {
		if urn != "" && strings.EqualFold(m.name, "schemas") { // some clients write an extension as if it were a resource
			continue
		}
		if urn != "" {
			m.name = urn + ":" + m.name
		}
		p, err := e.t.patchPath(m.name)
		switch {
		case err != nil && lenient:
			continue // an attribute that no schema knows
		case err != nil:
			return err
		case p.isReadOnly():
			if e.says(&p, m.value) || lenient || p.Attribute == "id" && e.r["id"] == nil {
				continue
			}
			if readOnly = m.name; p.Attribute != "id" {
				continue
			}
			return isReadOnly(readOnly)
		}
		if err := e.putNamed(op, p, m, lenient); err != nil {
			return err
		}
		written = true
	}
	if readOnly != "" && !written {
		return isReadOnly(readOnly)
	}
	return nil
}

// putFree puts every attribute of an object into an extension without a schema. Its names are names, not paths.
func (e *editor) putFree(op, urn string, sent object) *Error {
	for _, m := range sent {
		if err := e.put(op, &Path{URN: urn, Attribute: m.name, attr: anything}, m.value); err != nil {
			return err
		}
	}
	return nil
}

// putNamed puts what stands under a name that is a path.
func (e *editor) putNamed(op string, p Path, m member, lenient bool) *Error {
	p = e.whole(p, m.name, m.value, true)
	if p.Attribute == "" {
		return e.putAll(op, p.URN, m.value, lenient)
	}
	return e.put(op, &p, m.value)
}

func (p *Path) isReadOnly() bool {
	return p.attr != nil && p.attr.Mutability == ReadOnly || p.sub != nil && p.sub.Mutability == ReadOnly
}

func isReadOnly(name string) *Error {
	return refuse(TypeMutability, "%s: the attribute is read-only.", quote(name))
}

// says reports whether a read-only attribute has a value already.
func (e *editor) says(p *Path, value any) bool {
	rule, current := p.attr, p.attribute(e.r)
	if p.sub != nil {
		m, _ := current.(map[string]any)
		rule, current = p.sub, m[p.Sub]
	}
	sent, err := rule.read(value)
	if err != nil || p.Filter != nil {
		return false
	}
	return sent == nil && !isPresent(current) || sameValue(sent, current)
}

// put adds or replaces one attribute.
func (e *editor) put(op string, p *Path, value any) *Error {
	switch {
	case p.Attribute == "":
		return e.putAll(op, p.URN, value, false)
	case p.attr.Name == "schemas":
		return e.t.checkSchemas(value)
	case p.isReadOnly():
		if e.says(p, value) {
			return nil
		}
		return isReadOnly(p.String())
	}
	in, key := e.place(p)
	if err := e.count(p, in[key]); err != nil {
		return err
	}
	next, err := p.next(op, in[key], value)
	if err != nil {
		if err.Type == TypeInvalidValue {
			return err.in(p.where())
		}
		return err
	}
	return p.store(in, key, next)
}

// where is the path as an error names it.
func (p *Path) where() string {
	if p.Filter != nil {
		q := *p
		q.Sub = ""
		return q.String()
	}
	return p.String()
}

// place is the object in which a path's attribute stands, and its key there.
func (e *editor) place(p *Path) (in map[string]any, key string) {
	in = e.r
	if p.URN != "" {
		urn := keyOf(e.r, p.URN)
		extension, ok := e.r[urn].(map[string]any)
		if !ok {
			extension = map[string]any{}
			e.r[urn] = extension
		}
		in = extension
	}
	if p.attr.Type == free {
		return in, keyOf(in, p.Attribute)
	}
	return in, p.Attribute
}

// store keeps the new value of an attribute, or none where it is empty.
func (p *Path) store(in map[string]any, key string, value any) *Error {
	if value != nil && (isPresent(value) || value == "") {
		in[key] = value
		return nil
	}
	if p.attr.Required {
		return refuse(TypeInvalidValue, "%s: the attribute is required.", p.Attribute)
	}
	delete(in, key)
	return nil
}

// alone takes a value out of the list in which Entra ID sends what there is one of: `[{"value": "Babs"}]` for a nickName,
// `[{"$ref": "…", "value": "2819c223"}]` for a manager.
func (p *Path) alone(value any) any {
	a := p.attr
	if p.sub != nil {
		a = p.sub
	}
	list, _ := value.([]any)
	if a == nil || a.MultiValued || a.Type == free || len(list) != 1 { // nil: an extension as a whole
		return value
	}
	one, ok := list[0].(object)
	switch {
	case !ok:
		return value
	case a.Type == Complex:
		return one
	case len(one) == 1 && sameName(one[0].name, "value"):
		return one[0].value
	default:
		return value
	}
}

// next is the value of an attribute after an add or a replace. It may change current.
func (p *Path) next(op string, current, value any) (any, *Error) {
	a := p.attr
	list, isList := current.([]any)
	if !isList && current != nil && (a.MultiValued || p.Filter != nil) {
		list = []any{current}
	}
	_, sentList := value.([]any)
	switch many := a.MultiValued || a.Type == free && isList; {
	case p.Filter != nil:
		return p.putChosen(op, list, value)
	case many && p.Sub != "":
		return p.putEach(list, value)
	case op == opAdd && (many || a.Type == free && sentList):
		if !isList && current != nil {
			list = []any{current}
		}
		return a.add(list, value)
	case p.Sub != "":
		m, ok := current.(map[string]any)
		if !ok && current != nil {
			return nil, wrong("it has no sub-attributes.")
		}
		return p.putSub(m, value)
	case (a.Type == Complex || a.Type == free) && !many:
		return a.putComplex(current, value)
	default:
		return a.read(value)
	}
}

// putSub sets one sub-attribute of m, which may be nil.
func (p *Path) putSub(m map[string]any, value any) (any, *Error) {
	if m == nil {
		m = map[string]any{}
	}
	return m, p.sub.setIn(m, p.Sub, value)
}

// setIn sets or, with null, removes the attribute in an object. What is immutable can be set once.
func (a *Attribute) setIn(m map[string]any, name string, value any) *Error {
	next, err := a.read(value)
	if err != nil {
		return err
	}
	if a.Type == free {
		name = keyOf(m, name)
	}
	if a.Mutability == Immutable && m[name] != nil && !sameValue(m[name], next) {
		return refuse(TypeMutability, "%s: the attribute cannot change.", quote(name))
	}
	if next == nil {
		delete(m, name)
	} else {
		m[name] = next
	}
	return nil
}

// putComplex merges an object into a complex attribute. Anything else replaces it.
func (a *Attribute) putComplex(current, value any) (any, *Error) {
	m, _ := current.(map[string]any)
	sent, ok := value.(object)
	if !ok || m == nil && a.Type == free {
		return a.readOne(value)
	}
	return a.mergeObject(m, sent)
}

// mergeObject sets in m, which may be nil, what an object says.
func (a *Attribute) mergeObject(m map[string]any, sent object) (any, *Error) {
	if m == nil {
		m = make(map[string]any, len(sent))
	}
	known := false
	for _, s := range sent {
		sub := a.child(s.name)
		if sub == nil {
			continue
		}
		known = true
		name := s.name
		if sub.Type != free {
			name = sub.Name
		}
		if sub.Mutability == ReadOnly {
			continue
		}
		if err := sub.setIn(m, name, s.value); err != nil {
			return nil, err.in("." + name)
		}
	}
	if !known && len(sent) > 0 {
		return nil, wrong("the object has no attribute that the schema knows.")
	}
	return m, nil
}

// add adds values to a list, where they are not there yet.
func (a *Attribute) add(list []any, value any) (any, *Error) {
	added, err := a.readList(value)
	if err != nil {
		return nil, err
	}
	if value != nil && len(added) == 0 && !isEmptyList(value) {
		return nil, wrong("the value has no attribute that the schema knows.")
	}
	at := finder{a: a, list: list}
	for _, element := range added {
		i := at.find(element)
		if i < 0 {
			list = append(list, element)
			i = len(list) - 1
			at.add(list, i)
		} else if to, ok := list[i].(map[string]any); ok && a.Type == Complex {
			a.update(to, element)
		}
		if isPrimary(element) {
			prefer(list, i)
		}
	}
	if len(list) > a.maxValues() {
		return nil, wrong("there are more than %d values.", a.maxValues())
	}
	if a.Type == Complex {
		list = unique(list)
	}
	return list, nil
}

func isEmptyList(value any) bool {
	list, ok := value.([]any)
	return ok && len(list) == 0
}

// update takes over what an added value says beyond the value that was there. What names a value stays as it is spelled,
// and so does what is immutable.
func (a *Attribute) update(to map[string]any, element any) {
	from, _ := element.(map[string]any)
	for name, value := range from {
		if _, ok := to[name]; !ok || name != "value" && name != "type" && a.subs[name].Mutability != Immutable {
			to[name] = value
		}
	}
}

// prefer makes the values other than the one at keep not primary.
func prefer(list []any, keep int) {
	for i, element := range list {
		if m, ok := element.(map[string]any); ok && i != keep && m["primary"] == true {
			m["primary"] = false
		}
	}
}

// A finder finds what an added value means in a list: an element that says as much already; else one with its "value" and
// its type; else one with its "value" where either has no type.
type finder struct {
	a     *Attribute
	list  []any
	byKey map[string][]int // made for long lists
}

const longList = 16

func (f *finder) find(element any) int {
	if len(f.list) <= longList {
		return f.best(element, nil)
	}
	if f.byKey == nil {
		f.byKey = make(map[string][]int, len(f.list))
		for i := range f.list {
			k := f.key(f.list[i])
			f.byKey[k] = append(f.byKey[k], i)
		}
	}
	near := f.byKey[f.key(element)]
	if near == nil {
		return -1
	}
	return f.best(element, near)
}

// best looks among the elements at some places, or among all where near is nil.
func (f *finder) best(element any, near []int) int {
	best, at := 0, -1
	look := func(i int) {
		if how := f.likeness(f.list[i], element); how > best {
			best, at = how, i
		}
	}
	for _, i := range near {
		look(i)
	}
	if near == nil {
		for i := range f.list {
			look(i)
		}
	}
	return at
}

// add tells the finder of an element that joined the list.
func (f *finder) add(list []any, i int) {
	f.list = list
	if f.byKey != nil {
		k := f.key(list[i])
		f.byKey[k] = append(f.byKey[k], i)
	}
}

// key is shared by all that have a likeness.
func (f *finder) key(element any) string {
	if k := f.a.valueOf(element); k != "" {
		return k
	}
	return string(canonical(nil, element))
}

// likeness of an element to an added value: 0 is another value, 3 the most.
func (f *finder) likeness(element, added any) int {
	x, okX := element.(map[string]any)
	y, okY := added.(map[string]any)
	switch {
	case !okX || !okY || f.a.Type != Complex || x["value"] == nil || y["value"] == nil:
		if sameValue(element, added) {
			return 3
		}
		return 0
	case !f.a.sameSub("value", x, y):
		return 0
	case f.a.says(x, y):
		return 3
	case f.a.sameSub("type", x, y):
		return 2
	case x["type"] == nil || y["type"] == nil:
		return 1
	default:
		return 0
	}
}

// says reports whether an element says all that a value does.
func (a *Attribute) says(element, value map[string]any) bool {
	for name, v := range value {
		if (name == "value" || name == "type") && !a.sameSub(name, element, value) || name != "value" && name != "type" && !sameValue(element[name], v) {
			return false
		}
	}
	return true
}

// sameSub compares a sub-attribute of two values under its rule of case.
func (a *Attribute) sameSub(name string, x, y map[string]any) bool {
	v, okV := x[name].(string)
	w, okW := y[name].(string)
	if okV && okW {
		return sameText(v, w, a.subs[name].CaseExact)
	}
	return sameValue(x[name], y[name])
}

// putEach sets a sub-attribute of every value, or of a new one where there is none.
func (p *Path) putEach(list []any, value any) (any, *Error) {
	if len(list) == 0 {
		list = []any{map[string]any{}}
	}
	for i := range list {
		m, ok := list[i].(map[string]any)
		if !ok {
			return nil, wrong("its values have no sub-attributes.")
		}
		if err := p.sub.setIn(m, p.Sub, value); err != nil {
			return nil, err
		}
	}
	return p.tidy(list, value == nil && p.Sub == "value")
}

// putChosen changes the values that the path's filter matches.
func (p *Path) putChosen(op string, list []any, value any) (any, *Error) {
	chosen := p.choose(list)
	created := len(chosen) == 0
	if created {
		if value == nil {
			return list, nil
		}
		seed, err := p.seed(op)
		if err != nil {
			return nil, err
		}
		list = append(list, seed)
		chosen = []int{len(list) - 1}
		op = opAdd
	}
	if len(list) > p.attr.maxValues() {
		return nil, wrong("there are more than %d values.", p.attr.maxValues())
	}
	one, err := single(value)
	if err != nil {
		return nil, err
	}
	for _, i := range chosen {
		m, _ := list[i].(map[string]any)
		was := !created && isPrimary(m)
		if list[i], err = p.putOne(op, m, one); err != nil {
			return nil, err
		}
		if isPrimary(list[i]) && !was {
			if len(chosen) > 1 {
				return nil, wrong("at most one value may be primary.")
			}
			prefer(list, i)
		}
	}
	return p.tidy(list, value == nil && p.Sub == "value")
}

// putOne changes one value of a list: a sub-attribute of it, or it. nil takes it out.
func (p *Path) putOne(op string, m map[string]any, value any) (any, *Error) {
	if p.Sub != "" {
		return p.putSub(m, value)
	}
	sent, isObject := value.(object)
	if op == opAdd && isObject {
		return p.attr.mergeObject(m, sent)
	}
	next, err := p.attr.readOne(value)
	if err != nil {
		return nil, err
	}
	n, ok := next.(map[string]any)
	if next != nil && !ok {
		return nil, wrong("an object is wanted.")
	}
	if value != nil && n == nil {
		return nil, wrong("the value has no attribute that the schema knows.")
	}
	if op == opAdd {
		maps.Copy(m, n)
		return m, nil
	}
	for name, sub := range p.attr.subs {
		if sub.Mutability == Immutable && n != nil && m[name] != nil && !sameValue(m[name], n[name]) {
			return nil, refuse(TypeMutability, "%s: the attribute cannot change.", quote(name))
		}
	}
	if n == nil {
		return nil, nil
	}
	return n, nil
}

// single takes the one value out of a list of one.
func single(value any) (any, *Error) {
	list, ok := value.([]any)
	if !ok {
		return value, nil
	}
	if len(list) != 1 {
		return nil, wrong("one value is wanted, as the path chooses which one to change.")
	}
	return list[0], nil
}

// choose gives the places of the values that the path's filter matches.
func (p *Path) choose(list []any) []int {
	var out []int
	for i, element := range list {
		if m, ok := element.(map[string]any); ok && p.Filter.match(m) {
			out = append(out, i)
		}
	}
	return out
}

// seed is the value that a filter describes which matches none.
func (p *Path) seed(op string) (map[string]any, *Error) {
	m := map[string]any{}
	if !describes(p.Filter, m) || op == opReplace && (p.Sub == "" || m["value"] != nil) {
		return nil, refuse(TypeNoTarget, "No value of %s matches the filter.", p.where())
	}
	return m, nil
}

// describes collects in m what a filter says that consists of eq and and alone.
func describes(e Expr, m map[string]any) bool {
	switch e := e.(type) {
	case *And:
		return describes(e.Left, m) && describes(e.Right, m)
	case *Comparison:
		if e.Op != EQ || e.Value == nil || m[e.Path.Attribute] != nil || e.rule.Mutability == ReadOnly || e.Path.Sub != "" {
			return false
		}
		value, err := e.rule.read(e.Value)
		m[e.Path.Attribute] = value
		return err == nil
	default:
		return false
	}
}

// tidy takes out values that are empty, or, where the "value" was removed, that have nothing left but what goes with it.
func (p *Path) tidy(list []any, valueRemoved bool) (any, *Error) {
	list = slices.DeleteFunc(list, func(element any) bool {
		m, ok := element.(map[string]any)
		return element == nil || ok && (len(m) == 0 || valueRemoved && p.attr.isShell(m))
	})
	if p.attr.Type != free {
		list = unique(list)
	}
	return list, onePrimary(list)
}

// isShell reports whether an element of emails and the like lacks its value.
func (a *Attribute) isShell(m map[string]any) bool {
	if a.subs["value"] == nil || m["value"] != nil {
		return false
	}
	for name := range m {
		if name != "type" && name != "primary" && name != "display" && name != "$ref" {
			return false
		}
	}
	return true
}

// remove takes away what a path names, or, of a list, the values that are given.
func (e *editor) remove(p *Path, value any) *Error {
	switch {
	case p.URN == "" && p.Attribute == "":
		return refuse(TypeNoTarget, "A remove needs the path of an attribute.")
	case p.Attribute == "":
		delete(e.r, keyOf(e.r, p.URN))
		return nil
	case p.isReadOnly():
		return isReadOnly(p.String())
	case p.attr.Required && p.Sub == "" && p.Filter == nil:
		return refuse(TypeMutability, "%s: the attribute is required.", p.Attribute)
	}
	in, key := e.place(p)
	if err := e.count(p, in[key]); err != nil {
		return err
	}
	next, err := p.rest(in[key], value)
	if err != nil {
		if err.Type == TypeInvalidValue {
			return err.in(p.where())
		}
		return err
	}
	return p.store(in, key, next)
}

// rest is what a remove leaves of an attribute. It may change current.
func (p *Path) rest(current, value any) (any, *Error) {
	list, isList := current.([]any)
	switch {
	case (p.Filter != nil || p.Sub != "") && current == nil, p.Filter != nil && !isList:
		return current, nil
	case p.Filter != nil && p.Sub == "":
		return slices.DeleteFunc(list, func(element any) bool {
			m, ok := element.(map[string]any)
			return ok && p.Filter.match(m)
		}), nil
	case p.Filter != nil:
		return p.dropSub(list, p.choose(list))
	case p.Sub != "" && isList:
		return p.dropSub(list, nil)
	case p.Sub != "":
		m, _ := current.(map[string]any)
		if m == nil {
			return current, nil
		}
		delete(m, keyOf(m, p.Sub))
		return m, nil
	case (isList || p.attr.MultiValued) && value != nil:
		return p.attr.subtract(list, value)
	default:
		return nil, nil
	}
}

// dropSub removes a sub-attribute from the values at some places, or from all where chosen is nil and there is no filter.
func (p *Path) dropSub(list []any, chosen []int) (any, *Error) {
	for i := range list {
		m, ok := list[i].(map[string]any)
		if !ok || p.Filter != nil && !slices.Contains(chosen, i) {
			continue
		}
		name := keyOf(m, p.Sub)
		if p.sub.Mutability == Immutable && m[name] != nil {
			return nil, refuse(TypeMutability, "%s: the attribute cannot change.", quote(name))
		}
		delete(m, name)
	}
	return p.tidy(list, p.Sub == "value")
}

// subtract takes given values out of a list.
func (a *Attribute) subtract(list []any, value any) (any, *Error) {
	if sent, ok := value.([]any); !ok {
		value = []any{value}
	} else if len(sent) == 0 {
		return list, nil
	}
	gone, err := a.readElements(value)
	if err != nil {
		return nil, err
	}
	if len(gone) == 0 {
		return nil, wrong("the value has no attribute that the schema knows.")
	}
	byValue := make(map[string][]any, len(gone)) // by the folded "value"; under "" those without
	for _, g := range gone {
		k := a.valueOf(g)
		byValue[k] = append(byValue[k], g)
	}
	if len(byValue[""]) > MaxUnnamed {
		return nil, wrong("more than %d values without a \"value\" are to be removed.", MaxUnnamed)
	}
	return slices.DeleteFunc(list, func(element any) bool {
		covers := func(g any) bool { return a.covers(g, element) }
		return slices.ContainsFunc(byValue[a.valueOf(element)], covers) || slices.ContainsFunc(byValue[""], covers)
	}), nil
}

// valueOf is the folded "value" of an element, or the element itself where it is a text; "" where there is none.
func (a *Attribute) valueOf(element any) string {
	if m, ok := element.(map[string]any); ok && a.Type == Complex {
		element = m["value"]
	}
	text, _ := element.(string)
	return fold(text)
}

// covers reports whether an element is what a given value means: the one of its "value", and its type where it has one, or
// else the one with all that it says.
func (a *Attribute) covers(given, element any) bool {
	g, okG := given.(map[string]any)
	m, okM := element.(map[string]any)
	if !okG || !okM || a.Type != Complex {
		return sameValue(given, element)
	}
	for name := range g {
		if g["value"] != nil && name != "value" && name != "type" {
			continue
		}
		if !a.sameSub(name, g, m) {
			return false
		}
	}
	return true
}
