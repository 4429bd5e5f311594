// Package xmltree is the XML that SAML needs and no more: one strict parser that builds one tree, and the
// canonicalizations of XML signatures over that same tree. What a signature covers and what the program reads are
// then the same nodes, which is what signature-wrapping attacks need to be untrue.
//
// It knows no DTD: a DOCTYPE is refused, and with it every entity but the five predefined ones.
package xmltree

import (
	"iter"
	"strings"
)

// NamespaceXML is the namespace of the prefix xml, which needs no declaration.
const NamespaceXML = "http://www.w3.org/XML/1998/namespace"

const namespaceXMLNS = "http://www.w3.org/2000/xmlns/"

// Element is an element with its names resolved. Prefixes are kept, since canonical XML writes them.
type Element struct {
	Prefix, Local, Space string
	Attrs                []Attr // in document order, namespace declarations left out
	Decls                []Decl // namespace declarations of this element
	Children             []Node
	Parent               *Element
}

// Attr is an attribute with its value normalized (XML 1.0 §3.3.3).
type Attr struct{ Prefix, Local, Space, Value string }

// Decl binds a prefix, "" for the default namespace, to a namespace.
type Decl struct{ Prefix, URI string }

// Node is a child: an element, or character data where Element is nil.
type Node struct {
	Element *Element
	Text    string
}

// Is reports whether e has this expanded name.
func (e *Element) Is(space, local string) bool { return e.Local == local && e.Space == space }

// Attr returns the value of the attribute of that name in no namespace.
func (e *Element) Attr(local string) (string, bool) {
	for i := range e.Attrs {
		if a := &e.Attrs[i]; a.Local == local && a.Space == "" {
			return a.Value, true
		}
	}
	return "", false
}

// Elements yields the child elements.
func (e *Element) Elements() iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		for i := range e.Children {
			if c := e.Children[i].Element; c != nil && !yield(c) {
				return
			}
		}
	}
}

// All yields e and every element below it, in document order.
func (e *Element) All() iter.Seq[*Element] {
	return func(yield func(*Element) bool) { e.walk(yield) }
}

func (e *Element) walk(yield func(*Element) bool) bool {
	if !yield(e) {
		return false
	}
	for i := range e.Children {
		if c := e.Children[i].Element; c != nil && !c.walk(yield) {
			return false
		}
	}
	return true
}

// Text returns the character data directly inside e, and whether e holds nothing else.
func (e *Element) Text() (string, bool) {
	switch len(e.Children) {
	case 0:
		return "", true
	case 1:
		return e.Children[0].Text, e.Children[0].Element == nil
	}
	var b strings.Builder
	for _, c := range e.Children {
		if c.Element != nil {
			return "", false
		}
		b.WriteString(c.Text)
	}
	return b.String(), true
}

// AllText returns the character data inside e and its descendants, in document order.
func (e *Element) AllText() string {
	if s, ok := e.Text(); ok {
		return s
	}
	var b strings.Builder
	e.appendText(&b)
	return b.String()
}

func (e *Element) appendText(b *strings.Builder) {
	for i := range e.Children {
		if c := &e.Children[i]; c.Element != nil {
			c.Element.appendText(b)
		} else {
			b.WriteString(c.Text)
		}
	}
}

// Blank reports whether all character data directly inside e is white space.
func (e *Element) Blank() bool {
	for i := range e.Children {
		if e.Children[i].Element == nil && Trim(e.Children[i].Text) != "" {
			return false
		}
	}
	return true
}

// Namespace returns what the prefix is bound to at e.
func (e *Element) Namespace(prefix string) (string, bool) {
	if prefix == "xml" {
		return NamespaceXML, true
	}
	for ; e != nil; e = e.Parent {
		for _, d := range e.Decls {
			if d.Prefix == prefix {
				return d.URI, true
			}
		}
	}
	return "", prefix == ""
}

// Trim removes white space as XML knows it from both ends.
func Trim(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
