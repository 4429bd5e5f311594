package xmltree

import (
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzParse holds that what is accepted has a canonical form that means the same, and that encoding/xml, which is
// laxer, reads the same elements and text from that form and the same elements from the document.
func FuzzParse(f *testing.F) {
	for _, doc := range []string{
		`<a/>`, "\uFEFF<?xml version=\"1.0\"?>\n<a b='&#9;'>&amp;<![CDATA[<]]></a>", `<p:a xmlns:p="urn:1" p:b="1"/>`,
		`<a xmlns="urn:1"><b xmlns=""/></a>`, `<!DOCTYPE a><a/>`, `<a><!-- --></a>`, `<a><?b?></a>`, "<a>\r\n</a>",
	} {
		f.Add(doc)
	}
	g := generator{Rand: rand.New(rand.NewPCG(4, 4))}
	for range 20 {
		f.Add(g.document())
	}
	f.Fuzz(func(t *testing.T, doc string) {
		e, err := parseStrict(doc)
		if err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Detail == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		form := canonical(e)
		checkStable(t, doc, Canonicalization{Exclusive: true})
		checkStable(t, doc, Canonicalization{})
		names, text := readStandard(t, form)
		if ours := elementNames(e); ours != names || e.AllText() != text {
			t.Fatalf("%q reads as %s %q, encoding/xml reads %s %q", doc, ours, e.AllText(), names, text)
		}
		// encoding/xml does not normalize the white space of attribute values, and so of namespace names.
		if direct, _ := readStandard(t, doc); attributeSpace.Replace(direct) != attributeSpace.Replace(names) {
			t.Fatalf("%q reads as %s, its canonical form as %s", doc, direct, names)
		}
	})
}

func elementNames(root *Element) string {
	var b strings.Builder
	for e := range root.All() {
		b.WriteString("{" + e.Space + "}" + e.Local)
	}
	return b.String()
}

func readStandard(t *testing.T, doc string) (names, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var n, c strings.Builder
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n.String(), c.String()
		}
		if err != nil {
			t.Fatalf("encoding/xml refuses %q: %v", doc, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			n.WriteString("{" + token.Name.Space + "}" + token.Name.Local)
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth > 0 {
				c.Write(token)
			}
		}
	}
}
