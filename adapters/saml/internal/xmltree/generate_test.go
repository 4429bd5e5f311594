package xmltree

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator writes random documents that use namespaces in every way that canonicalization has a rule for. Elements
// named s1, s2, … have the attributes ID="s1" and so on, and are what is canonicalized.
type generator struct {
	*rand.Rand
	b     strings.Builder
	scope []map[string]string
	ids   int
	// plain leaves out what other implementations are known to get wrong before they canonicalize: literal line
	// breaks in attribute values and carriage returns, which encoding/xml does not normalize, and xmlns="", which
	// goxmldsig writes where there is nothing to undo, and more than one attribute, which it sorts wrongly by
	// namespace.
	plain bool
}

var (
	generatedPrefixes = []string{"", "a", "b", "c", "B"}
	// No ampersand: libxml2 writes one in a namespace name as &#38;.
	generatedURIs   = []string{"urn:1", "urn:2", "urn:3", "http://example.com/?a=1"}
	generatedTexts  = []string{"x", " ", "\n\t", "&amp;", "&lt;&gt;", "<![CDATA[<&>]]>", "é", "\U0001F600", "&#13;", "\"'", "a]]b"}
	roughTexts      = []string{"\r", "\r\n", "1\r\n2\r3"}
	generatedValues = []string{"", "x", "&quot;", "'", "&#9;&#10;&#13;", "&amp;&lt;>", "é", " a  b "}
	roughValues     = []string{"\t", "1\n2", "1\r\n2\r3"}
)

func (g *generator) document() string {
	g.b.Reset()
	g.ids = 0
	g.scope = []map[string]string{{"": ""}}
	g.element(0)
	return g.b.String()
}

func (g *generator) element(depth int) {
	outer := g.scope[len(g.scope)-1]
	scope := make(map[string]string, len(outer)+2)
	for p, uri := range outer {
		scope[p] = uri
	}
	decls := g.declarations(scope)
	prefix := g.prefix(scope)
	name := fmt.Sprintf("e%d", g.IntN(3))
	attrs := g.attributes(scope)
	if g.IntN(3) == 0 {
		g.ids++
		name = fmt.Sprintf("s%d", g.ids)
		attrs = append(attrs, fmt.Sprintf(`ID="%s"`, name))
	}
	if prefix != "" {
		name = prefix + ":" + name
	}
	all := append(decls, attrs...)
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	g.b.WriteString("<" + name)
	for _, a := range all {
		g.b.WriteString(" " + a)
	}
	g.b.WriteString(">")
	g.scope = append(g.scope, scope)
	for n := g.IntN(5 - min(depth, 4)); n > 0; n-- {
		g.text()
		g.element(depth + 1)
	}
	g.text()
	g.scope = g.scope[:len(g.scope)-1]
	g.b.WriteString("</" + name + ">")
}

func (g *generator) declarations(scope map[string]string) (decls []string) {
	for _, p := range generatedPrefixes {
		if g.IntN(4) != 0 {
			continue
		}
		uri := generatedURIs[g.IntN(len(generatedURIs))]
		name := "xmlns:" + p
		if p == "" {
			name = "xmlns"
			if !g.plain && g.IntN(2) == 0 {
				uri = ""
			}
		}
		scope[p] = uri
		decls = append(decls, name+`="`+uri+`"`)
	}
	return decls
}

func (g *generator) prefix(scope map[string]string) string {
	p := generatedPrefixes[g.IntN(len(generatedPrefixes))]
	if _, bound := scope[p]; !bound {
		return ""
	}
	return p
}

func (g *generator) attributes(scope map[string]string) (attrs []string) {
	taken := map[string]bool{}
	for n := g.IntN(4); n > 0; n-- {
		if g.plain && len(attrs) == 1 {
			break
		}
		prefix, local := g.prefix(scope), string(rune('m'+g.IntN(3)))
		uri := ""
		if prefix != "" {
			uri = scope[prefix]
		}
		if taken[uri+" "+local] {
			continue
		}
		taken[uri+" "+local] = true
		if prefix != "" {
			local = prefix + ":" + local
		}
		attrs = append(attrs, local+`="`+g.pick(generatedValues, roughValues)+`"`)
	}
	if !g.plain && g.IntN(6) == 0 {
		attrs = append(attrs, fmt.Sprintf(`xml:lang="l%d"`, g.IntN(3)))
	}
	if !g.plain && g.IntN(8) == 0 {
		attrs = append(attrs, `xml:space="preserve"`)
	}
	return attrs
}

func (g *generator) text() {
	for n := g.IntN(3); n > 0; n-- {
		g.b.WriteString(g.pick(generatedTexts, roughTexts))
	}
}

func (g *generator) pick(usual, rough []string) string {
	if n := g.IntN(len(usual) + len(rough)); !g.plain && n >= len(usual) {
		return rough[n-len(usual)]
	}
	return usual[g.IntN(len(usual))]
}
