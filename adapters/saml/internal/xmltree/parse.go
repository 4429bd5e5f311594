package xmltree

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kind sorts the reasons for which a document is refused.
type Kind int

// Reasons to refuse a document.
const (
	Malformed Kind = iota // not well-formed XML 1.0 with namespaces, in UTF-8
	TooLarge              // over one of the Limits
	Forbidden             // well-formed perhaps, but holding what Options do not allow
)

// Error is a refusal. It names the place and never quotes the document.
type Error struct {
	Kind   Kind
	Offset int // in bytes
	Detail string
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Detail, e.Offset) }

// Limits bound a document. Every one must be set.
type Limits struct {
	Bytes      int
	Elements   int
	Depth      int
	Attributes int // of one element, namespace declarations among them
	Namespaces int // declarations in scope at one place
}

// Options say what Parse accepts.
type Options struct {
	Limits
	// Strict refuses comments, processing instructions, two attributes ID, Id or id of the same value, and attributes
	// of the xml namespace other than xml:lang and xml:space. Canonicalize needs a tree parsed with it: comments are
	// then no way to split a text, and inclusive canonicalization has neither xml:base nor xml:id to inherit.
	Strict bool
	// Parent, where the document is a decrypted fragment, is the element that will contain it: the namespaces and
	// IDs of its document are known to the fragment.
	Parent *Element
}

// Parse reads a document into a tree and returns its root. Errors are *Error.
func Parse(doc string, o Options) (*Element, error) {
	p := parser{doc: doc, o: o}
	if len(doc) > o.Bytes {
		return nil, p.fail(TooLarge, "the document is too long")
	}
	if err := p.characters(); err != nil {
		return nil, err
	}
	p.inherit()
	if err := p.prolog(); err != nil {
		return nil, err
	}
	root, err := p.root()
	if err != nil {
		return nil, err
	}
	if err := p.misc(); err != nil {
		return nil, err
	}
	if p.pos != len(p.doc) {
		return nil, p.fail(Malformed, "text after the root element")
	}
	return root, nil
}

type parser struct {
	doc   string
	pos   int
	o     Options
	scope []Decl // namespace bindings in effect, innermost last
	ids   map[string]struct{}
	count int // elements so far

	// Slabs that elements, attributes, declarations and children are cut from.
	elements []Element
	attrs    []Attr
	decls    []Decl
	nodes    []Node

	open []frame
	kids []Node // children of the open elements, so far
}

// frame is an open element: where its start tag's name is, and what to cut back to when it ends.
type frame struct {
	element     *Element
	name        string
	scope, kids int
}

func (p *parser) fail(k Kind, detail string) error {
	return &Error{Kind: k, Offset: p.pos, Detail: detail}
}

// characters checks once that the whole document is UTF-8 and holds only what XML 1.0 calls a Char (§2.2).
func (p *parser) characters() error {
	if !utf8.ValidString(p.doc) {
		return p.fail(Malformed, "the document is not UTF-8")
	}
	for i := 0; i < len(p.doc); i++ {
		switch c := p.doc[i]; {
		case c < 0x20 && !isSpace(c):
			p.pos = i
			return p.fail(Malformed, "a character that XML does not allow")
		case c == 0xEF && (p.doc[i:i+3] == "\uFFFE" || p.doc[i:i+3] == "\uFFFF"):
			p.pos = i
			return p.fail(Malformed, "a character that XML does not allow")
		}
	}
	return nil
}

func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD ||
		r >= 0x10000 && r <= 0x10FFFF
}

// inherit takes over namespaces and IDs of the document that a fragment belongs to.
func (p *parser) inherit() {
	if p.o.Parent == nil {
		return
	}
	root := p.o.Parent
	for e := p.o.Parent; e != nil; e = e.Parent {
		for _, d := range e.Decls {
			if _, known := p.lookup(d.Prefix); !known {
				p.scope = append(p.scope, d) // nearer ones are already here, and no two bind one prefix
			}
		}
		root = e
	}
	for e := range root.All() {
		for _, a := range e.Attrs {
			if isID(a) {
				p.addID(a.Value)
			}
		}
	}
}

// lookup returns what a prefix is bound to, the default namespace being "" where nothing declares it.
func (p *parser) lookup(prefix string) (string, bool) {
	for i := len(p.scope) - 1; i >= 0; i-- {
		if p.scope[i].Prefix == prefix {
			return p.scope[i].URI, true
		}
	}
	return "", false
}

func isID(a Attr) bool {
	return a.Space == "" && len(a.Local) == 2 && (a.Local == "ID" || a.Local == "Id" || a.Local == "id")
}

func (p *parser) addID(id string) bool {
	if _, taken := p.ids[id]; taken {
		return false
	}
	if p.ids == nil {
		p.ids = make(map[string]struct{}, 8)
	}
	p.ids[id] = struct{}{}
	return true
}

// prolog reads the byte order mark, the XML declaration and what may stand before the root.
func (p *parser) prolog() error {
	if strings.HasPrefix(p.doc, "\uFEFF") {
		p.pos = len("\uFEFF")
	}
	if p.has("<?xml") && p.pos+5 < len(p.doc) && isSpace(p.doc[p.pos+5]) {
		if err := p.declaration(); err != nil {
			return err
		}
	}
	return p.misc()
}

// declaration reads the XML declaration (§2.8): version 1.0, and no encoding but UTF-8.
func (p *parser) declaration() error {
	p.pos += len("<?xml")
	var step int // what may come next: version, encoding, standalone
	for {
		space := p.skipSpace()
		if p.has("?>") {
			if step == 0 {
				return p.fail(Malformed, "an XML declaration without version")
			}
			p.pos += 2
			return nil
		}
		name := p.scanName()
		value, err := p.attributeValue()
		if err != nil {
			return err
		}
		switch {
		case !space:
			return p.fail(Malformed, "a malformed XML declaration")
		case name == "version" && step == 0 && value == "1.0":
			step = 1
		case name == "encoding" && step == 1 && isUTF8Name(value):
			step = 2
		case name == "standalone" && (step == 1 || step == 2) && (value == "yes" || value == "no"):
			step = 3
		default:
			return p.fail(Malformed, "an XML declaration that is malformed, or neither XML 1.0 nor UTF-8")
		}
	}
}

func isUTF8Name(s string) bool {
	return strings.EqualFold(s, "UTF-8") || strings.EqualFold(s, "UTF8") || strings.EqualFold(s, "US-ASCII")
}

// misc skips white space, comments and processing instructions outside the root.
func (p *parser) misc() error {
	for {
		p.skipSpace()
		switch {
		case p.has("<!--"):
			if err := p.comment(); err != nil {
				return err
			}
		case p.has("<?"):
			if err := p.instruction(); err != nil {
				return err
			}
		case p.has("<!DOCTYPE"):
			return p.fail(Forbidden, "a document type declaration")
		default:
			return nil
		}
	}
}

func (p *parser) comment() error {
	if p.o.Strict {
		return p.fail(Forbidden, "a comment")
	}
	end := strings.Index(p.doc[p.pos+4:], "--")
	if end < 0 || !strings.HasPrefix(p.doc[p.pos+4+end:], "-->") {
		return p.fail(Malformed, "a malformed comment")
	}
	p.pos += 4 + end + 3
	return nil
}

func (p *parser) instruction() error {
	if p.o.Strict {
		return p.fail(Forbidden, "a processing instruction")
	}
	p.pos += 2
	target := p.scanName()
	if target == "" || strings.EqualFold(target, "xml") || strings.Contains(target, ":") {
		return p.fail(Malformed, "a malformed processing instruction")
	}
	end := strings.Index(p.doc[p.pos:], "?>")
	if end < 0 || end > 0 && !isSpace(p.doc[p.pos]) {
		return p.fail(Malformed, "a malformed processing instruction")
	}
	p.pos += end + 2
	return nil
}

// root reads the root element with all that is in it.
func (p *parser) root() (*Element, error) {
	if p.pos >= len(p.doc) || p.doc[p.pos] != '<' {
		return nil, p.fail(Malformed, "no root element")
	}
	root, err := p.startTag()
	for err == nil && len(p.open) > 0 {
		err = p.content()
	}
	return root, err
}

// content reads one piece of what is inside the innermost open element.
func (p *parser) content() error {
	rest := p.doc[p.pos:]
	switch {
	case rest == "":
		return p.fail(Malformed, "the document ends inside an element")
	case rest[0] != '<':
		return p.text()
	case len(rest) < 2:
		return p.fail(Malformed, "the document ends inside a tag")
	case rest[1] == '/':
		return p.endTag()
	case rest[1] == '!' && strings.HasPrefix(rest, "<![CDATA["):
		return p.cdata()
	case rest[1] == '!' && strings.HasPrefix(rest, "<!--"):
		return p.comment()
	case rest[1] == '!' && strings.HasPrefix(rest, "<!DOCTYPE"):
		return p.fail(Forbidden, "a document type declaration")
	case rest[1] == '?':
		return p.instruction()
	}
	_, err := p.startTag()
	return err
}

// startTag reads a start tag, or an empty-element tag, and opens the element.
func (p *parser) startTag() (*Element, error) {
	if p.count++; p.count > p.o.Elements {
		return nil, p.fail(TooLarge, "too many elements")
	}
	if len(p.open) >= p.o.Depth {
		return nil, p.fail(TooLarge, "elements are nested too deep")
	}
	p.pos++
	e := p.newElement()
	f := frame{element: e, name: p.scanName(), scope: len(p.scope), kids: len(p.kids)}
	empty, err := p.tag(e)
	if err != nil {
		return nil, err
	}
	if err := p.resolve(e, f.name); err != nil {
		return nil, err
	}
	if e.Parent = p.o.Parent; len(p.open) > 0 {
		e.Parent = p.open[len(p.open)-1].element
		p.kids = append(p.kids, Node{Element: e})
		f.kids = len(p.kids)
	}
	if empty {
		p.scope = p.scope[:f.scope]
		return e, nil
	}
	p.open = append(p.open, f)
	return e, nil
}

func (p *parser) newElement() *Element {
	if len(p.elements) == cap(p.elements) {
		p.elements = make([]Element, 0, min(max(32, 2*cap(p.elements)), 512))
	}
	p.elements = append(p.elements, Element{})
	return &p.elements[len(p.elements)-1]
}

// reserve starts new slabs for attributes and declarations where the old ones are nearly full: what append would copy
// is in use by other elements anyway.
func (p *parser) reserve() {
	if cap(p.attrs)-len(p.attrs) < 8 {
		p.attrs = make([]Attr, 0, min(max(64, 2*cap(p.attrs)), 512))
	}
	if cap(p.decls)-len(p.decls) < 4 {
		p.decls = make([]Decl, 0, min(max(16, 2*cap(p.decls)), 512))
	}
}

// tag reads the attributes and the end of a start tag.
func (p *parser) tag(e *Element) (empty bool, err error) {
	p.reserve()
	firstAttr, firstDecl := len(p.attrs), len(p.decls)
	for {
		space := p.skipSpace()
		if p.pos >= len(p.doc) {
			return false, p.fail(Malformed, "the document ends inside a tag")
		}
		if c := p.doc[p.pos]; c == '>' || c == '/' {
			p.pos++
			if c == '/' && !p.eat('>') {
				return false, p.fail(Malformed, "a malformed tag")
			}
			e.Attrs = p.attrs[firstAttr:len(p.attrs):len(p.attrs)]
			e.Decls = p.decls[firstDecl:len(p.decls):len(p.decls)]
			return c == '/', nil
		}
		if !space {
			return false, p.fail(Malformed, "a malformed tag")
		}
		if len(p.attrs)-firstAttr+len(p.decls)-firstDecl >= p.o.Attributes {
			return false, p.fail(TooLarge, "too many attributes")
		}
		if err := p.attribute(firstDecl); err != nil {
			return false, err
		}
	}
}

// attribute reads one attribute or namespace declaration.
func (p *parser) attribute(firstDecl int) error {
	prefix, local, ok := splitName(p.scanName())
	if !ok {
		return p.fail(Malformed, "a malformed attribute name")
	}
	value, err := p.attributeValue()
	if err != nil {
		return err
	}
	switch {
	case prefix == "xmlns":
		return p.declare(firstDecl, Decl{local, value})
	case prefix == "" && local == "xmlns":
		return p.declare(firstDecl, Decl{"", value})
	}
	p.attrs = append(p.attrs, Attr{Prefix: prefix, Local: local, Value: value})
	return nil
}

// declare binds a prefix, under the constraints of Namespaces in XML 1.0 §3 and §5. A redundant declaration of the
// prefix xml, which that allows, is refused too.
func (p *parser) declare(firstDecl int, d Decl) error {
	if d.Prefix == "xml" || d.Prefix == "xmlns" || d.URI == NamespaceXML || d.URI == namespaceXMLNS ||
		d.URI == "" && d.Prefix != "" {
		return p.fail(Malformed, "a namespace declaration that is not allowed")
	}
	for _, other := range p.decls[firstDecl:] {
		if other.Prefix == d.Prefix {
			return p.fail(Forbidden, "a namespace prefix declared twice in one element")
		}
	}
	if len(p.scope) >= p.o.Namespaces {
		return p.fail(TooLarge, "too many namespace declarations")
	}
	p.decls = append(p.decls, d)
	p.scope = append(p.scope, d)
	return nil
}

// resolve gives the element and its attributes their namespaces and refuses what is then twice there.
func (p *parser) resolve(e *Element, name string) (err error) {
	var ok bool
	if e.Prefix, e.Local, ok = splitName(name); !ok {
		return p.fail(Malformed, "a malformed element name")
	}
	if e.Space, err = p.namespace(e.Prefix); err != nil {
		return err
	}
	for i := range e.Attrs {
		a := &e.Attrs[i]
		if a.Prefix != "" {
			if a.Space, err = p.namespace(a.Prefix); err != nil {
				return err
			}
		}
		for _, b := range e.Attrs[:i] {
			if a.Local == b.Local && a.Space == b.Space {
				return p.fail(Forbidden, "an attribute that is there twice")
			}
		}
		if p.o.Strict {
			if a.Prefix == "xml" && a.Local != "lang" && a.Local != "space" {
				return p.fail(Forbidden, "an attribute of the xml namespace other than lang and space")
			}
			if isID(*a) && !p.addID(a.Value) {
				return p.fail(Forbidden, "an ID that is there twice")
			}
		}
	}
	return nil
}

func (p *parser) namespace(prefix string) (string, error) {
	if prefix == "xml" {
		return NamespaceXML, nil
	}
	uri, known := p.lookup(prefix)
	if !known && prefix != "" {
		return "", p.fail(Malformed, "an undeclared namespace prefix")
	}
	return uri, nil
}

func (p *parser) endTag() error {
	p.pos += 2
	f := p.open[len(p.open)-1]
	if !p.has(f.name) {
		return p.fail(Malformed, "an end tag that does not match its start tag")
	}
	p.pos += len(f.name)
	p.skipSpace()
	if !p.eat('>') {
		return p.fail(Malformed, "an end tag that does not match its start tag")
	}
	f.element.Children = p.cutNodes(p.kids[f.kids:])
	p.kids = p.kids[:f.kids]
	p.scope = p.scope[:f.scope]
	p.open = p.open[:len(p.open)-1]
	return nil
}

// cutNodes copies the children of a finished element to the slab.
func (p *parser) cutNodes(kids []Node) []Node {
	if cap(p.nodes)-len(p.nodes) < len(kids) {
		p.nodes = make([]Node, 0, max(len(kids), min(max(64, 2*cap(p.nodes)), 1024)))
	}
	first := len(p.nodes)
	p.nodes = append(p.nodes, kids...)
	return p.nodes[first:len(p.nodes):len(p.nodes)]
}

func (p *parser) cdata() error {
	start := p.pos + len("<![CDATA[")
	end := strings.Index(p.doc[start:], "]]>")
	if end < 0 {
		return p.fail(Malformed, "a CDATA section that does not end")
	}
	if end > 0 {
		p.kids = append(p.kids, Node{Text: normalizeLines(p.doc[start : start+end])})
	}
	p.pos = start + end + 3
	return nil
}

func (p *parser) text() error {
	end := strings.IndexByte(p.doc[p.pos:], '<')
	if end < 0 {
		return p.fail(Malformed, "the document ends inside an element")
	}
	raw := p.doc[p.pos : p.pos+end]
	if strings.Contains(raw, "]]>") {
		return p.fail(Malformed, "the characters ]]> in text")
	}
	text := normalizeLines(raw)
	if strings.IndexByte(text, '&') >= 0 {
		var err error
		if text, err = p.expand(text); err != nil {
			return err
		}
	}
	p.kids = append(p.kids, Node{Text: text})
	p.pos += end
	return nil
}

// normalizeLines makes every line end a single line feed (§2.11).
func normalizeLines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// expand replaces the references in s.
func (p *parser) expand(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		name, rest, ended := strings.Cut(s[i+1:], ";")
		r := reference(name)
		switch {
		case !ended || r < 0:
			return "", p.fail(Malformed, "a reference that is malformed, or not to a character or predefined entity")
		case !isChar(r):
			return "", p.fail(Malformed, "a character that XML does not allow")
		}
		b.WriteRune(r)
		s = rest
	}
}

// reference returns the character of a character reference or predefined entity (§4.1, §4.6), or -1.
func reference(name string) rune {
	switch name {
	case "amp":
		return '&'
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	digits, isNumber := strings.CutPrefix(name, "#")
	base := rune(10)
	if hex, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hex, 16
	}
	if !isNumber || digits == "" {
		return -1
	}
	var r rune
	for i := 0; i < len(digits); i++ {
		d := digit(digits[i])
		if d >= base {
			return -1
		}
		if r = r*base + d; r > utf8.MaxRune {
			return utf8.MaxRune + 1 // no Char, however many digits follow
		}
	}
	return r
}

func digit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return 99
}

// attributeValue reads "= value" and normalizes the value: literal white space becomes spaces, white space by
// reference stays what it is (§3.3.3).
func (p *parser) attributeValue() (string, error) {
	p.skipSpace()
	if !p.eat('=') {
		return "", p.fail(Malformed, "an attribute without value")
	}
	p.skipSpace()
	if p.pos >= len(p.doc) || p.doc[p.pos] != '"' && p.doc[p.pos] != '\'' {
		return "", p.fail(Malformed, "an attribute value without quotes")
	}
	quote := p.doc[p.pos]
	p.pos++
	end := strings.IndexByte(p.doc[p.pos:], quote)
	if end < 0 {
		return "", p.fail(Malformed, "the document ends inside a tag")
	}
	raw := p.doc[p.pos : p.pos+end]
	var special, reference bool
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '<':
			return "", p.fail(Malformed, "the character < in an attribute value")
		case '&':
			reference = true
		case '\t', '\n', '\r':
			special = true
		}
	}
	if special {
		raw = attributeSpace.Replace(raw)
	}
	if reference {
		var err error
		if raw, err = p.expand(raw); err != nil {
			return "", err
		}
	}
	p.pos += end + 1
	return raw, nil
}

var attributeSpace = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\t", " ")

func (p *parser) has(prefix string) bool { return strings.HasPrefix(p.doc[p.pos:], prefix) }

func (p *parser) eat(c byte) bool {
	if p.pos >= len(p.doc) || p.doc[p.pos] != c {
		return false
	}
	p.pos++
	return true
}

func (p *parser) skipSpace() bool {
	start := p.pos
	for p.pos < len(p.doc) && isSpace(p.doc[p.pos]) {
		p.pos++
	}
	return p.pos > start
}

// scanName reads the longest run of name characters; splitName says whether it is a name.
func (p *parser) scanName() string {
	start := p.pos
	for p.pos < len(p.doc) {
		if c := p.doc[p.pos]; c < utf8.RuneSelf {
			if nameClass[c] == 0 && c != ':' {
				break
			}
			p.pos++
			continue
		}
		r, n := utf8.DecodeRuneInString(p.doc[p.pos:])
		if !isNameRune(r) {
			break
		}
		p.pos += n
	}
	return p.doc[start:p.pos]
}

// splitName splits a QName (Namespaces in XML 1.0 §4).
func splitName(name string) (prefix, local string, ok bool) {
	i := strings.IndexByte(name, ':')
	if i < 0 {
		return "", name, startsName(name)
	}
	prefix, local = name[:i], name[i+1:]
	return prefix, local, startsName(prefix) && startsName(local) && strings.IndexByte(local, ':') < 0
}

// IsNCName reports whether s is a name without a colon, as an xs:ID is.
func IsNCName(s string) bool {
	p := parser{doc: s}
	return utf8.ValidString(s) && p.scanName() == s && startsName(s) && strings.IndexByte(s, ':') < 0
}

func startsName(s string) bool {
	if s == "" {
		return false
	}
	if s[0] < utf8.RuneSelf {
		return nameClass[s[0]] == 1
	}
	r, _ := utf8.DecodeRuneInString(s)
	return isNameStartRune(r)
}

// nameClass tells of ASCII what may start an NCName (1) and what may only follow (2).
var nameClass = func() (t [utf8.RuneSelf]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = 1, 1
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = 2
	}
	t['_'], t['-'], t['.'] = 1, 2, 2
	return t
}()

// isNameStartRune is NameStartChar of XML 1.0 §2.3 (fifth edition) beyond ASCII.
func isNameStartRune(r rune) bool {
	return r >= 0xC0 && r <= 0x2FF && r != 0xD7 && r != 0xF7 || r >= 0x370 && r <= 0x1FFF && r != 0x37E ||
		r >= 0x200C && r <= 0x200D || r >= 0x2070 && r <= 0x218F || r >= 0x2C00 && r <= 0x2FEF ||
		r >= 0x3001 && r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0 && r <= 0xFFFD ||
		r >= 0x10000 && r <= 0xEFFFF
}

// isNameRune is NameChar of XML 1.0 §2.3 beyond ASCII.
func isNameRune(r rune) bool {
	return isNameStartRune(r) || r == 0xB7 || r >= 0x300 && r <= 0x36F || r >= 0x203F && r <= 0x2040
}
