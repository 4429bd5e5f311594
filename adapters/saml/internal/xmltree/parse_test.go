package xmltree

import (
	"errors"
	"strings"
	"testing"
)

var testLimits = Limits{Bytes: 1 << 16, Elements: 200, Depth: 20, Attributes: 16, Namespaces: 24}

func parseStrict(doc string) (*Element, error) {
	return Parse(doc, Options{Limits: testLimits, Strict: true})
}

func canonical(e *Element) string {
	return string(Canonicalization{Exclusive: true}.Append(nil, e, nil))
}

func TestParseAccepts(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"empty element", `<a/>`, `<a></a>`},
		{"declaration and byte order mark", "\uFEFF<?xml version=\"1.0\" encoding='utf-8' standalone=\"no\" ?>\n<a/>\n", `<a></a>`},
		{"white space in tags", "<a\n b = '1'\t></a\n>", `<a b="1"></a>`},
		{"quotes", `<a b='"' c="'"/>`, `<a b="&quot;" c="'"></a>`},
		{"references", `<a b="&lt;&amp;&gt;&quot;&apos;">&#65;&#x42;&#x1F600;&amp;&lt;&gt;</a>`,
			"<a b=\"&lt;&amp;>&quot;'\">AB\U0001F600&amp;&lt;&gt;</a>"},
		{"leading zeros of a reference", `<a>&#00000000000000000000065;</a>`, `<a>A</a>`},
		{"line ends", "<a>1\r\n2\r3\n4</a>", "<a>1\n2\n3\n4</a>"},
		{"carriage return by reference", "<a b='&#13;'>&#xD;</a>", "<a b=\"&#xD;\">&#xD;</a>"},
		{"attribute white space", "<a b='1\r\n2\t3\n4&#10;5&#9;6'/>", "<a b=\"1 2 3 4&#xA;5&#x9;6\"></a>"},
		{"CDATA", `<a>1<![CDATA[<b>&amp;]]]]><![CDATA[>]]></a>`, `<a>1&lt;b&gt;&amp;amp;]]&gt;</a>`},
		{"empty CDATA", `<a><![CDATA[]]></a>`, `<a></a>`},
		{"namespaces", `<p:a xmlns:p="urn:1"><b xmlns="urn:2" p:c="1" c="2"/></p:a>`,
			`<p:a xmlns:p="urn:1"><b xmlns="urn:2" c="2" p:c="1"></b></p:a>`},
		{"undone default namespace", `<a xmlns="urn:1"><b xmlns=""/></a>`, `<a xmlns="urn:1"><b xmlns=""></b></a>`},
		{"xml attributes", `<a xml:lang="en" xml:space="preserve"/>`, `<a xml:lang="en" xml:space="preserve"></a>`},
		{"names", `<ä-·.1 _="1"/>`, `<ä-·.1 _="1"></ä-·.1>`},
		{"same local name in two namespaces", `<a xmlns:p="urn:1" xmlns:q="urn:2" p:x="1" q:x="2" x="3"/>`,
			`<a xmlns:p="urn:1" xmlns:q="urn:2" x="3" p:x="1" q:x="2"></a>`},
		{"greater-than sign and brackets in text", `<a>> ]] ]></a>`, `<a>&gt; ]] ]&gt;</a>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := parseStrict(c.doc)
			if err != nil {
				t.Fatal(err)
			}
			if got := canonical(e); got != c.want {
				t.Errorf("canonical form %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		kind      Kind
	}{
		{"nothing", ``, Malformed},
		{"white space only", ` `, Malformed},
		{"text", `a`, Malformed},
		{"two roots", `<a/><b/>`, Malformed},
		{"text after the root", `<a/>x`, Malformed},
		{"CDATA outside the root", `<![CDATA[]]><a/>`, Malformed},
		{"reference outside the root", `<a/>&#32;`, Malformed},
		{"unclosed element", `<a><b></b>`, Malformed},
		{"crossed tags", `<a><b></a></b>`, Malformed},
		{"longer end tag", `<a></ab>`, Malformed},
		{"shorter end tag", `<ab></a>`, Malformed},
		{"end tag with another prefix", `<p:a xmlns:p="urn:1" xmlns:q="urn:1"></q:a>`, Malformed},
		{"end tag with attribute", `<a></a b="1">`, Malformed},
		{"end inside a tag", `<a`, Malformed},
		{"end inside a value", `<a b="`, Malformed},
		{"end after a slash", `<a/`, Malformed},
		{"end after a less-than sign", `<a><`, Malformed},
		{"end inside CDATA", `<a><![CDATA[x</a>`, Malformed},
		{"space before the name", `< a/>`, Malformed},
		{"name that starts with a digit", `<1a/>`, Malformed},
		{"name that starts with a hyphen", `<-a/>`, Malformed},
		{"two colons", `<a:b:c xmlns:a="urn:1"/>`, Malformed},
		{"leading colon", `<:a/>`, Malformed},
		{"trailing colon", `<a: xmlns:a="urn:1"/>`, Malformed},
		{"attribute without value", `<a b/>`, Malformed},
		{"attribute without quotes", `<a b=1/>`, Malformed},
		{"attributes without space", `<a b="1"c="2"/>`, Malformed},
		{"less-than sign in a value", `<a b="<"/>`, Malformed},
		{"bare ampersand", `<a>&</a>`, Malformed},
		{"unknown entity", `<a>&nbsp;</a>`, Malformed},
		{"reference without semicolon", `<a>&amp</a>`, Malformed},
		{"empty reference", `<a>&;</a>`, Malformed},
		{"reference without digits", `<a>&#;</a>`, Malformed},
		{"hexadecimal reference without digits", `<a>&#x;</a>`, Malformed},
		{"capital X", `<a>&#X41;</a>`, Malformed},
		{"signed reference", `<a>&#+65;</a>`, Malformed},
		{"reference to NUL", `<a>&#0;</a>`, Malformed},
		{"reference to a control", `<a b="&#8;"/>`, Malformed},
		{"reference to a surrogate", `<a>&#xD800;</a>`, Malformed},
		{"reference to U+FFFE", `<a>&#xFFFE;</a>`, Malformed},
		{"reference past Unicode", `<a>&#x110000;</a>`, Malformed},
		{"reference that overflows", `<a>&#x100000041;</a>`, Malformed},
		{"end of CDATA in text", `<a>]]></a>`, Malformed},
		{"NUL", "<a>\x00</a>", Malformed},
		{"control", "<a>\x1b</a>", Malformed},
		{"U+FFFF", "<a>\uFFFF</a>", Malformed},
		{"not UTF-8", "<a>\xff</a>", Malformed},
		{"overlong UTF-8", "<a>\xc0\xbc</a>", Malformed},
		{"UTF-16", "\xff\xfe<\x00a\x00/\x00>\x00", Malformed},
		{"another encoding", `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, Malformed},
		{"XML 1.1", `<?xml version="1.1"?><a/>`, Malformed},
		{"declaration without version", `<?xml encoding="UTF-8"?><a/>`, Malformed},
		{"declaration after white space", ` <?xml version="1.0"?><a/>`, Forbidden},
		{"undeclared prefix", `<p:a/>`, Malformed},
		{"undeclared prefix of an attribute", `<a p:b="1"/>`, Malformed},
		{"prefix out of scope", `<a><b xmlns:p="urn:1"/><p:c/></a>`, Malformed},
		{"undone prefix", `<a xmlns:p="urn:1"><b xmlns:p=""/></a>`, Malformed},
		{"prefix xml bound again", `<a xmlns:xml="urn:1"/>`, Malformed},
		{"prefix xml bound to what it is", `<a xmlns:xml="http://www.w3.org/XML/1998/namespace"/>`, Malformed},
		{"prefix xmlns bound", `<a xmlns:xmlns="urn:1"/>`, Malformed},
		{"namespace of xml bound", `<a xmlns:p="http://www.w3.org/XML/1998/namespace"/>`, Malformed},
		{"namespace of xmlns bound", `<a xmlns="http://www.w3.org/2000/xmlns/"/>`, Malformed},
		{"element of prefix xmlns", `<xmlns:a/>`, Malformed},
		{"declaration without prefix", `<a xmlns:="urn:1"/>`, Malformed},

		{"document type", `<!DOCTYPE a><a/>`, Forbidden},
		{"document type with entities", `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, Forbidden},
		{"document type inside", `<a><!DOCTYPE a></a>`, Forbidden},
		{"comment", `<a>b<!-- -->c</a>`, Forbidden},
		{"comment before", `<!-- --><a/>`, Forbidden},
		{"comment after", `<a/><!-- -->`, Forbidden},
		{"processing instruction", `<a><?b c?></a>`, Forbidden},
		{"processing instruction before", `<?b?><a/>`, Forbidden},
		{"processing instruction after", `<a/><?b?>`, Forbidden},
		{"duplicate attribute", `<a b="1" b="1"/>`, Forbidden},
		{"duplicate attribute by namespace", `<a xmlns:p="urn:1" xmlns:q="urn:1" p:b="1" q:b="2"/>`, Forbidden},
		{"duplicate namespace declaration", `<a xmlns:p="urn:1" xmlns:p="urn:1"/>`, Forbidden},
		{"duplicate default namespace", `<a xmlns="urn:1" xmlns="urn:2"/>`, Forbidden},
		{"duplicate ID", `<a ID="1"><b ID="1"/></a>`, Forbidden},
		{"duplicate ID of other case", `<a ID="1"><b Id="1"/></a>`, Forbidden},
		{"xml:id", `<a xml:id="b"/>`, Forbidden},
		{"xml:base", `<a xml:base="b"/>`, Forbidden},

		{"bytes", `<a>` + strings.Repeat(" ", 1<<16) + `</a>`, TooLarge},
		{"elements", `<a>` + strings.Repeat("<b/>", 200) + `</a>`, TooLarge},
		{"depth", strings.Repeat("<a>", 21) + strings.Repeat("</a>", 21), TooLarge},
		{"attributes", `<a ` + attributes("", 17) + `/>`, TooLarge},
		{"declarations", `<a ` + attributes("xmlns:", 17) + `/>`, TooLarge},
		{"declarations in scope", `<a ` + attributes("xmlns:", 16) + `><b ` + attributes("xmlns:", 9) + `/></a>`, TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseStrict(c.doc)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a refusal", err)
			}
			if e.Kind != c.kind {
				t.Errorf("kind %v (%v), want %v", e.Kind, err, c.kind)
			}
		})
	}
}

func attributes(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(prefix + string(rune('a'+i)) + `="urn:` + string(rune('a'+i)) + `" `)
	}
	return b.String()
}

func TestParseWithoutStrictSkipsCommentsAndInstructions(t *testing.T) {
	const doc = `<!-- a --><?b c?><a xml:base="x" ID="1">1<!-- 2 -->3<?d?>4<b ID="1"/></a><!-- e -->`
	e, err := Parse(doc, Options{Limits: testLimits})
	if err != nil {
		t.Fatal(err)
	}
	if got := e.AllText(); got != "134" {
		t.Errorf("text %q, want 134", got)
	}
	for _, bad := range []string{`<a><!-- -- --></a>`, `<a><!-- </a>`, `<a><?xml version="1.0"?></a>`, `<a><? b?></a>`, `<a><?b`, `<a><?b:c?></a>`} {
		if _, err := Parse(bad, Options{Limits: testLimits}); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestParseFragmentKnowsItsDocument(t *testing.T) {
	outer, err := parseStrict(`<p:a xmlns:p="urn:1" xmlns="urn:d" ID="1"><b xmlns:q="urn:2" xmlns:p="urn:3"/></p:a>`)
	if err != nil {
		t.Fatal(err)
	}
	parent := outer.Children[0].Element
	o := Options{Limits: testLimits, Strict: true, Parent: parent}
	e, err := Parse(`<p:x q:y="1"><z/></p:x>`, o)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Is("urn:3", "x") || e.Attrs[0].Space != "urn:2" || !e.Children[0].Element.Is("urn:d", "z") || e.Parent != parent {
		t.Errorf("%s: the namespaces of the document are not in effect", canonical(e))
	}
	if got, want := string((Canonicalization{}).Append(nil, e, nil)),
		`<p:x xmlns="urn:d" xmlns:p="urn:3" xmlns:q="urn:2" q:y="1"><z></z></p:x>`; got != want {
		t.Errorf("inclusive canonical form %s\nwant %s", got, want)
	}
	if _, err := Parse(`<x ID="1"/>`, o); err == nil {
		t.Error("an ID of the document was accepted again")
	}
	if _, err := Parse(`<r:x/>`, o); err == nil {
		t.Error("a prefix that nothing declares was accepted")
	}
}

func TestText(t *testing.T) {
	e, err := parseStrict(`<a>1<![CDATA[2]]>3</a>`)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := e.Text(); s != "123" || !ok {
		t.Errorf("Text() = %q, %v", s, ok)
	}
	if e, err = parseStrict(`<a>1<b>2</b>3</a>`); err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Text(); ok || e.AllText() != "123" || e.Blank() {
		t.Error("an element inside text was not seen")
	}
	if e, err = parseStrict(`<a><b/></a>`); err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Text(); ok || !e.Blank() {
		t.Error("an element was taken for text")
	}
}

func TestIsNCName(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "_1": true, "é": true, "a.b-c": true, "": false, "1": false, "a:b": false, "a b": false, "-": false,
		"a\xff": false, "#a": false,
	} {
		if IsNCName(s) != want {
			t.Errorf("IsNCName(%q) = %v", s, !want)
		}
	}
}
