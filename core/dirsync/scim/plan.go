package scim

// What a planner asks of a filter, to answer it from an index. Paths are the schema's spelling: "id", "userName",
// "externalId", "displayName", "emails.value", "meta.lastModified". Values are as the client wrote them; an attribute whose
// case does not matter is to be looked up folded. What these say holds for every match; Match decides the rest.

// Single reports whether the filter is one comparison, so that what Equal, Prefix or Bounds says is all of it.
func (f *Filter) Single() bool {
	e := f.Root
	if v, ok := e.(*ValuePath); ok {
		e = v.Of
	}
	_, ok := e.(*Comparison)
	return ok
}

// Equal gives the one value that the attribute at path has in every match.
func (f *Filter) Equal(path string) (value string, ok bool) {
	values, ok := f.AnyOf(path)
	if len(values) != 1 {
		return "", false
	}
	return values[0], ok
}

// AnyOf gives the values of which the attribute at path has one in every match: `userName eq "a" or userName eq "b"`.
func (f *Filter) AnyOf(path string) (values []string, ok bool) { return anyOf(f.Root, "", path) }

func anyOf(e Expr, parent, path string) (values []string, ok bool) {
	switch e := e.(type) {
	case *Comparison:
		text, isText := e.Value.(string)
		if e.Op == EQ && isText && under(parent, e.Path) == path {
			return []string{text}, true
		}
	case *ValuePath:
		return anyOf(e.Of, e.Path.String(), path)
	case *And:
		left, inLeft := anyOf(e.Left, parent, path)
		right, inRight := anyOf(e.Right, parent, path)
		if inRight && (!inLeft || len(right) < len(left)) {
			return right, true
		}
		return left, inLeft
	case *Or:
		left, inLeft := anyOf(e.Left, parent, path)
		right, inRight := anyOf(e.Right, parent, path)
		if inLeft && inRight {
			return append(left, right...), true
		}
	}
	return nil, false
}

// under is the path of a comparison inside the value path of parent, or outside of any where parent is "".
func under(parent string, p Path) string {
	if parent == "" {
		return p.String()
	}
	return parent + "." + p.Attribute
}

// Prefix gives a text with which a value of the attribute at path begins in every match.
func (f *Filter) Prefix(path string) (value string, ok bool) {
	walk(f.Root, "", func(parent string, c *Comparison) {
		if text, isText := c.Value.(string); isText && c.Op == SW && len(text) >= len(value) && under(parent, c.Path) == path {
			value, ok = text, true
		}
	})
	return value, ok
}

// Bounds gives values between which, both included, a value of the single-valued attribute at path is in every match;
// "" is no bound.
func (f *Filter) Bounds(path string) (from, to string, ok bool) {
	walk(f.Root, "", func(parent string, c *Comparison) {
		text, isText := c.Value.(string)
		if !isText || under(parent, c.Path) != path {
			return
		}
		switch c.Op {
		case GT, GE:
			from, ok = text, true
		case LT, LE:
			to, ok = text, true
		case EQ:
			from, to, ok = text, text, true
		}
	})
	return from, to, ok
}

// walk calls visit for every comparison that holds in every match.
func walk(e Expr, parent string, visit func(parent string, c *Comparison)) {
	switch e := e.(type) {
	case *Comparison:
		visit(parent, e)
	case *ValuePath:
		walk(e.Of, e.Path.String(), visit)
	case *And:
		walk(e.Left, parent, visit)
		walk(e.Right, parent, visit)
	}
}
