package scim

import (
	"encoding/json"
	"strings"
	"time"
)

// Operator of a comparison, RFC 7644 §3.4.2.2.
type Operator uint8

// The operators.
const (
	EQ Operator = iota
	NE
	CO
	SW
	EW
	GT
	GE
	LT
	LE
	PR // has a value
)

var operators = [...]string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}

func (o Operator) String() string { return operators[o] }

// Expr is a part of a filter: *And, *Or, *Not, *Comparison or *ValuePath.
type Expr interface{ match(r map[string]any) bool }

// The parts of a filter.
type (
	// And matches where both do.
	And struct{ Left, Right Expr }

	// Or matches where one does.
	Or struct{ Left, Right Expr }

	// Not matches where the other does not.
	Not struct{ Of Expr }

	// Comparison matches where a value of the attribute compares so. Path has the sub-attribute "value" where a complex
	// attribute was named alone.
	Comparison struct {
		Path  Path
		Op    Operator
		Value any // string, json.Number, bool or nil, as the client wrote it

		rule   *Attribute // of what is compared
		text   string     // folded where case does not matter
		time   time.Time
		isTime bool
	}

	// ValuePath matches where one value of a multi-valued attribute matches all of it.
	ValuePath struct {
		Path Path
		Of   Expr // over the sub-attributes of a value
	}
)

// Filter is a parsed filter of a list.
type Filter struct {
	Root Expr
	Text string // as the client wrote it; "" for one that was not read by itself
}

// ParseFilter reads a filter (RFC 7644 §3.4.2.2) on resources of a type. Operators and names have no case. Beyond the
// grammar it takes `emails[type eq "work"].value eq "x"`, which Entra ID sends, and "True" for a boolean. An error is 400
// invalidFilter.
//
// Attributes that are never returned cannot be asked for either. Any attribute of an extension that has no schema can.
func ParseFilter(t *ResourceType, s string) (*Filter, error) {
	if len(s) > MaxFilter {
		return nil, refuse(TypeInvalidFilter, "The filter is longer than %d bytes.", MaxFilter)
	}
	p := &parser{text: s, kind: t}
	root, err := p.or()
	if err == nil && p.next() != 0 {
		err = p.wrong("and, or, or the end is wanted")
	}
	if err != nil {
		return nil, err
	}
	return &Filter{Root: root, Text: s}, nil
}

// A parser reads a filter on resources of a kind, or, inside a value path, on values of attr.
type parser struct {
	text    string
	pos     int
	kind    *ResourceType
	attr    *Attribute
	nesting int
	terms   int
}

func (p *parser) wrong(what string) *Error {
	return refuse(TypeInvalidFilter, "The filter is wrong at byte %d: %s.", p.pos, what)
}

// next skips blanks and gives the byte behind them, 0 at the end.
func (p *parser) next() byte {
	for p.pos < len(p.text) {
		if c := p.text[p.pos]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return max(c, 1)
		}
		p.pos++
	}
	return 0
}

func (p *parser) take(c byte) bool {
	if p.next() != c {
		return false
	}
	p.pos++
	return true
}

// word takes a word if it comes next and ends there.
func (p *parser) word(w string) bool {
	p.next()
	end := p.pos + len(w)
	if end > len(p.text) || !sameName(p.text[p.pos:end], w) || end < len(p.text) && isPathByte(p.text[end]) {
		return false
	}
	p.pos = end
	return true
}

func isPathByte(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || strings.IndexByte("-_.:$/%#~+@", c) >= 0
}

func (p *parser) or() (Expr, *Error) {
	left, err := p.and()
	for err == nil && p.word("or") {
		var right Expr
		right, err = p.and()
		left = &Or{left, right}
	}
	return left, err
}

func (p *parser) and() (Expr, *Error) {
	left, err := p.factor()
	for err == nil && p.word("and") {
		var right Expr
		right, err = p.factor()
		left = &And{left, right}
	}
	return left, err
}

func (p *parser) factor() (Expr, *Error) {
	start := p.pos
	if p.word("not") {
		if p.next() == '(' {
			of, err := p.group()
			return &Not{of}, err
		}
		p.pos = start
	}
	if p.next() == '(' {
		return p.group()
	}
	return p.term()
}

// group reads what stands in round brackets.
func (p *parser) group() (Expr, *Error) {
	p.pos++
	if p.nesting++; p.nesting > MaxNesting {
		return nil, p.wrong("too many brackets inside each other")
	}
	of, err := p.or()
	p.nesting--
	if err == nil && !p.take(')') {
		err = p.wrong("a ) is wanted")
	}
	return of, err
}

// term reads a comparison or a value path.
func (p *parser) term() (Expr, *Error) {
	if p.terms++; p.terms > MaxTerms {
		return nil, p.wrong("too many comparisons")
	}
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.text) && p.text[p.pos] == '[' {
		if p.attr == nil {
			path = p.kind.asAttribute(path)
		}
		return p.valuePath(path)
	}
	return p.comparison(path)
}

func (p *parser) path() (Path, *Error) {
	p.next()
	start := p.pos
	for p.pos < len(p.text) && isPathByte(p.text[p.pos]) {
		p.pos++
	}
	s := p.text[start:p.pos]
	if s == "" {
		return Path{}, p.wrong("the name of an attribute is wanted")
	}
	var path Path
	var err *Error
	if p.attr == nil {
		path, err = p.kind.path(s)
	} else {
		path = Path{Attribute: s, attr: p.attr.child(s)}
		err = path.resolve(s)
	}
	if err == nil && path.Attribute == "" && path.URN == "" {
		err = unknown(s)
	}
	if err == nil && path.attr != nil && path.attr.Returned == Never {
		err = refuse("", "The attribute %s cannot be asked for.", quote(s))
	}
	if err != nil {
		err.Type = TypeInvalidFilter
	}
	return path, err
}

// valuePath reads `[filter]` behind an attribute, and `.sub op value` behind that.
func (p *parser) valuePath(path Path) (Expr, *Error) {
	if p.attr != nil || path.Sub != "" || path.Attribute == "" || path.attr.Type != Complex && path.attr.Type != free {
		return nil, p.wrong("this attribute has no values to choose from")
	}
	p.pos++
	p.attr = path.attr
	p.nesting++
	of, err := p.or()
	if err == nil && !p.take(']') {
		err = p.wrong("a ] is wanted")
	}
	if err == nil && p.pos < len(p.text) && p.text[p.pos] == '.' {
		p.pos++
		var last Expr
		last, err = p.term()
		of = &And{of, last}
	}
	p.nesting--
	p.attr = nil
	return &ValuePath{path, of}, err
}

func (p *parser) comparison(path Path) (Expr, *Error) {
	for op, name := range operators {
		if p.word(name) {
			if Operator(op) != PR && p.attr == nil {
				path = p.kind.asAttribute(path)
			}
			c := &Comparison{Path: path, Op: Operator(op)}
			var err *Error
			if c.Op != PR {
				c.Value, err = p.value()
			}
			if err == nil && !c.compile() {
				err = refuse(TypeInvalidFilter, "%s cannot be compared so: %s.", quote(path.String()), c.wants())
			}
			return c, err
		}
	}
	return nil, p.wrong("an operator is wanted: " + strings.Join(operators[:], ", "))
}

// value reads the right side of a comparison, which is JSON.
func (p *parser) value() (any, *Error) {
	switch {
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	case p.word("null"):
		return nil, nil
	}
	c := p.next()
	d := &decoder{text: p.text, pos: p.pos}
	if c != '"' && c != '-' && (c < '0' || '9' < c) {
		return nil, p.wrong("a value is wanted: a text in quotation marks, a number, true, false or null")
	}
	value, err := d.value()
	if err != nil {
		return nil, refuse(TypeInvalidFilter, "The filter is wrong: %s", err.Detail)
	}
	p.pos = d.pos
	return value, nil
}

// compile readies a comparison, and reports whether it is one: the operator and the value fit the attribute.
func (c *Comparison) compile() bool {
	c.rule = c.Path.sub
	if c.rule == nil {
		c.rule = c.Path.attr
	}
	if c.rule == nil { // an extension as a whole
		return c.Op == PR
	}
	if c.Op == PR {
		return true
	}
	if c.Value == nil {
		return c.Op == EQ || c.Op == NE
	}
	if c.rule.Type == Complex {
		value := c.rule.child("value")
		if value == nil {
			return false
		}
		c.rule, c.Path.Sub, c.Path.sub = value, value.Name, value
	}
	return c.fits()
}

// fits checks the type of the value and keeps it in the form that is compared.
func (c *Comparison) fits() bool {
	kind := c.rule.Type
	switch v := c.Value.(type) {
	case bool:
		return (kind == Boolean || kind == free) && c.Op <= NE
	case json.Number:
		return (kind == Integer || kind == Decimal || kind == free) && (c.Op <= NE || c.Op >= GT)
	case string:
		if b, ok := boolOf(v); ok && kind == Boolean {
			c.Value = b
			return c.Op <= NE
		}
		c.text = v
		if !c.rule.CaseExact {
			c.text = fold(v)
		}
		c.time, c.isTime = parseTime(v)
		switch kind {
		case Boolean, Integer, Decimal:
			return false
		case DateTime:
			return c.isTime || c.Op == CO || c.Op == SW || c.Op == EW
		case Binary:
			return c.Op < GT
		default:
			return true
		}
	default:
		return false
	}
}

// wants says what would fit.
func (c *Comparison) wants() string {
	switch {
	case c.rule == nil:
		return "ask with pr whether the extension is there"
	case c.Value == nil:
		return "null goes with eq and ne"
	case c.rule.Type == Complex:
		return "name one of its sub-attributes"
	case c.rule.Type == Boolean:
		return "it is a boolean, which goes with eq, ne and pr"
	case c.rule.Type == Binary:
		return "it is binary, which has no order"
	case c.rule.Type == DateTime:
		return `it is a dateTime, such as "2026-01-31T12:00:00Z"`
	default:
		return "it is a " + c.rule.Type.String()
	}
}

// boolOf reads a boolean that was sent as a string, as Entra ID does.
func boolOf(s string) (value, ok bool) {
	switch {
	case sameName(s, "true"):
		return true, true
	case sameName(s, "false"):
		return false, true
	default:
		return false, false
	}
}
