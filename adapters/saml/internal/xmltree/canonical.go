package xmltree

import "slices"

// Canonicalization is a way to write an element as octets: Canonical XML 1.0 and 1.1, or, where Exclusive,
// Exclusive XML Canonicalization 1.0. The variants with and without comments are the same for a tree without any,
// and 1.0 and 1.1 differ only in xml:base and xml:id, which Options.Strict refuses.
type Canonicalization struct {
	Exclusive bool
	// Prefixes is the InclusiveNamespaces PrefixList of an exclusive canonicalization, "" standing for #default.
	Prefixes []string
}

// Append writes the canonical form of the document subset that is e with all below it, less the element skip (nil
// for none), to dst. The tree must have been parsed with Options.Strict.
func (m Canonicalization) Append(dst []byte, e, skip *Element) []byte {
	w := writer{Canonicalization: m, out: dst, skip: skip}
	w.element(e, true)
	return w.out
}

type writer struct {
	Canonicalization
	out      []byte
	skip     *Element
	rendered []Decl // namespace declarations in effect in the output, innermost last
	attrs    []Attr // of the element at hand, sorted
}

func (w *writer) element(e *Element, apex bool) {
	first := len(w.rendered)
	switch {
	case !w.Exclusive && apex:
		w.renderAll(e)
	case !w.Exclusive:
		for _, d := range e.Decls {
			w.render(d)
		}
	default:
		w.renderUsed(e, apex)
	}
	w.out = append(w.out, '<')
	w.name(e.Prefix, e.Local)
	w.declarations(w.rendered[first:])
	w.attributes(e, apex)
	w.out = append(w.out, '>')
	for i := range e.Children {
		if c := &e.Children[i]; c.Element == nil {
			w.out = AppendText(w.out, c.Text)
		} else if c.Element != w.skip {
			w.element(c.Element, false)
		}
	}
	w.out = append(w.out, '<', '/')
	w.name(e.Prefix, e.Local)
	w.out = append(w.out, '>')
	w.rendered = w.rendered[:first]
}

// render declares a namespace unless the output already has it in effect. An empty default namespace is written only
// to undo another.
func (w *writer) render(d Decl) {
	for i := len(w.rendered) - 1; i >= 0; i-- {
		if w.rendered[i].Prefix == d.Prefix {
			if w.rendered[i].URI != d.URI {
				w.rendered = append(w.rendered, d)
			}
			return
		}
	}
	if d.URI != "" {
		w.rendered = append(w.rendered, d)
	}
}

// renderAll declares every namespace in scope at e, as inclusive canonicalization does for the outermost element.
func (w *writer) renderAll(e *Element) {
	var seen []string
	for a := e; a != nil; a = a.Parent {
		for _, d := range a.Decls {
			if !slices.Contains(seen, d.Prefix) {
				seen = append(seen, d.Prefix)
				w.render(d)
			}
		}
	}
}

// renderUsed declares the namespaces that e and its attributes visibly use, and those of the prefix list (Exclusive
// XML Canonicalization 1.0 §3).
func (w *writer) renderUsed(e *Element, apex bool) {
	if e.Prefix != "xml" {
		w.render(Decl{e.Prefix, e.Space})
	}
	for i := range e.Attrs {
		if a := &e.Attrs[i]; a.Prefix != "" && a.Prefix != "xml" {
			w.render(Decl{a.Prefix, a.Space})
		}
	}
	if len(w.Prefixes) == 0 {
		return
	}
	if !apex {
		for _, d := range e.Decls {
			if slices.Contains(w.Prefixes, d.Prefix) {
				w.render(d)
			}
		}
		return
	}
	for _, prefix := range w.Prefixes {
		if uri, known := e.Namespace(prefix); known && prefix != "xml" {
			w.render(Decl{prefix, uri})
		}
	}
}

func (w *writer) declarations(decls []Decl) {
	insertionSort(decls, func(a, b *Decl) bool { return a.Prefix < b.Prefix })
	for _, d := range decls {
		w.out = append(w.out, " xmlns"...)
		if d.Prefix != "" {
			w.out = append(w.out, ':')
			w.out = append(w.out, d.Prefix...)
		}
		w.value(d.URI)
	}
}

func (w *writer) attributes(e *Element, apex bool) {
	w.attrs = append(w.attrs[:0], e.Attrs...)
	if apex && !w.Exclusive {
		w.inheritXML(e)
	}
	insertionSort(w.attrs, func(a, b *Attr) bool {
		return a.Space < b.Space || a.Space == b.Space && a.Local < b.Local
	})
	for i := range w.attrs {
		a := &w.attrs[i]
		w.out = append(w.out, ' ')
		w.name(a.Prefix, a.Local)
		w.value(a.Value)
	}
}

// inheritXML adds xml:lang and xml:space of the ancestors that are outside the output (Canonical XML 1.0 §2.4).
func (w *writer) inheritXML(e *Element) {
	for a := e.Parent; a != nil; a = a.Parent {
		for _, attr := range a.Attrs {
			if attr.Space == NamespaceXML && !slices.ContainsFunc(w.attrs, func(b Attr) bool {
				return b.Space == NamespaceXML && b.Local == attr.Local
			}) {
				w.attrs = append(w.attrs, attr)
			}
		}
	}
}

func (w *writer) name(prefix, local string) {
	if prefix != "" {
		w.out = append(w.out, prefix...)
		w.out = append(w.out, ':')
	}
	w.out = append(w.out, local...)
}

func (w *writer) value(s string) {
	w.out = append(w.out, '=', '"')
	w.out = AppendAttr(w.out, s)
	w.out = append(w.out, '"')
}

// insertionSort sorts the handful of attributes that an element has; Limits.Attributes bounds it.
func insertionSort[T any](s []T, less func(a, b *T) bool) {
	for i := 1; i < len(s); i++ {
		for j := i; j > 0 && less(&s[j], &s[j-1]); j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

// AppendText writes character data as canonical XML does (Canonical XML 1.0 §2.3).
func AppendText(dst []byte, s string) []byte { return appendEscaped(dst, s, &textEscapes) }

// AppendAttr writes an attribute value as canonical XML does, without the quotes.
func AppendAttr(dst []byte, s string) []byte { return appendEscaped(dst, s, &attrEscapes) }

var (
	textEscapes = [256]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '\r': "&#xD;"}
	attrEscapes = [256]string{'&': "&amp;", '<': "&lt;", '"': "&quot;", '\t': "&#x9;", '\n': "&#xA;", '\r': "&#xD;"}
)

func appendEscaped(dst []byte, s string, escapes *[256]string) []byte {
	from := 0
	for i := 0; i < len(s); i++ {
		if e := escapes[s[i]]; e != "" {
			dst = append(dst, s[from:i]...)
			dst = append(dst, e...)
			from = i + 1
		}
	}
	return append(dst, s[from:]...)
}
