package xmltree

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// TestCanonicalExamples are the examples of the two recommendations that a document without DTD can show.
func TestCanonicalExamples(t *testing.T) {
	for _, c := range []struct {
		name, doc, id string
		form          Canonicalization
		want          string
	}{
		// Canonical XML 1.0 §3.3
		{"start and end tags", `<doc>
   <e1   />
   <e2   ></e2>
   <e3   name = "elem3"   id="elem3"   />
   <e5 a:attr="out" b:attr="sorted" attr2="all" attr="I'm"
      xmlns:b="http://www.ietf.org"
      xmlns:a="http://www.w3.org"
      xmlns="http://example.org"/>
   <e6 xmlns="" xmlns:a="http://www.w3.org">
      <e7 xmlns="http://www.ietf.org">
         <e8 xmlns="" xmlns:a="http://www.w3.org">
            <e9 xmlns="" xmlns:a="http://www.ietf.org"/>
         </e8>
      </e7>
   </e6>
</doc>`, "", Canonicalization{}, `<doc>
   <e1></e1>
   <e2></e2>
   <e3 id="elem3" name="elem3"></e3>
   <e5 xmlns="http://example.org" xmlns:a="http://www.w3.org" xmlns:b="http://www.ietf.org" attr="I'm" attr2="all" b:attr="sorted" a:attr="out"></e5>
   <e6 xmlns:a="http://www.w3.org">
      <e7 xmlns="http://www.ietf.org">
         <e8 xmlns="">
            <e9 xmlns:a="http://www.ietf.org"></e9>
         </e8>
      </e7>
   </e6>
</doc>`},
		// Exclusive XML Canonicalization 1.0 §2.2
		{"inclusive subset", `<n0:pdu xmlns:n0="http://a.example" xmlns:n1="http://b.example" xml:lang="fr" xml:space="retain"><n1:elem2 ID="x" xml:lang="en"><n3:stuff xmlns:n3="ftp://example.org"/></n1:elem2></n0:pdu>`,
			"x", Canonicalization{},
			`<n1:elem2 xmlns:n0="http://a.example" xmlns:n1="http://b.example" ID="x" xml:lang="en" xml:space="retain"><n3:stuff xmlns:n3="ftp://example.org"></n3:stuff></n1:elem2>`},
		{"exclusive subset", `<n0:pdu xmlns:n0="http://a.example" xmlns:n1="http://b.example" xml:lang="fr" xml:space="retain"><n1:elem2 ID="x" xml:lang="en"><n3:stuff xmlns:n3="ftp://example.org"/></n1:elem2></n0:pdu>`,
			"x", Canonicalization{Exclusive: true},
			`<n1:elem2 xmlns:n1="http://b.example" ID="x" xml:lang="en"><n3:stuff xmlns:n3="ftp://example.org"></n3:stuff></n1:elem2>`},
		{"prefix list", `<n0:pdu xmlns:n0="http://a.example" xmlns:n1="http://b.example" xmlns="urn:d"><n1:elem2 ID="x" xmlns:n3="urn:3"><n0:a xmlns:n3="urn:4"/></n1:elem2></n0:pdu>`,
			"x", Canonicalization{Exclusive: true, Prefixes: []string{"", "n3", "none"}},
			`<n1:elem2 xmlns="urn:d" xmlns:n1="http://b.example" xmlns:n3="urn:3" ID="x"><n0:a xmlns:n0="http://a.example" xmlns:n3="urn:4"></n0:a></n1:elem2>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := parseStrict(c.doc)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(c.form.Append(nil, withID(e, c.id), nil)); got != c.want {
				t.Errorf("canonical form\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func withID(root *Element, id string) *Element {
	for e := range root.All() {
		if v, _ := e.Attr("ID"); v == id {
			return e
		}
	}
	return nil
}

func TestCanonicalSkips(t *testing.T) {
	e, err := parseStrict(`<a>1<b><c/></b>2<b/></a>`)
	if err != nil {
		t.Fatal(err)
	}
	got := Canonicalization{}.Append([]byte("x"), e, e.Children[1].Element)
	if want := `x<a>12<b></b></a>`; string(got) != want {
		t.Errorf("canonical form %s, want %s", got, want)
	}
}

// TestCanonicalFormIsStable parses what was written and writes it again.
func TestCanonicalFormIsStable(t *testing.T) {
	g := generator{Rand: rand.New(rand.NewPCG(1, 1))}
	for range 300 {
		doc := g.document()
		for _, form := range []Canonicalization{{}, {Exclusive: true}, {Exclusive: true, Prefixes: []string{"", "a"}}} {
			checkStable(t, doc, form)
		}
	}
}

func checkStable(t *testing.T, doc string, form Canonicalization) {
	t.Helper()
	e, err := Parse(doc, Options{Limits: wideLimits, Strict: true})
	if err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	once := string(form.Append(nil, e, nil))
	if e, err = Parse(once, Options{Limits: wideLimits, Strict: true}); err != nil {
		t.Fatalf("the canonical form of %s does not parse: %v", doc, err)
	}
	if twice := string(form.Append(nil, e, nil)); twice != once {
		t.Fatalf("canonical form of %s\n%s\nand of that\n%s", doc, once, twice)
	}
}

var wideLimits = Limits{Bytes: 1 << 20, Elements: 1 << 14, Depth: 64, Attributes: 64, Namespaces: 256}

// TestCanonicalAgainstGoxmldsig compares whole documents and subsets with another implementation.
func TestCanonicalAgainstGoxmldsig(t *testing.T) {
	g := generator{Rand: rand.New(rand.NewPCG(2, 2)), plain: true}
	for range 500 {
		doc := g.document()
		ours, err := Parse(doc, Options{Limits: wideLimits, Strict: true})
		if err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		theirs := etree.NewDocument()
		if err := theirs.ReadFromString(doc); err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		want, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(theirs.Root())
		if err != nil {
			t.Fatal(err)
		}
		if got := (Canonicalization{Exclusive: true}).Append(nil, ours, nil); !bytes.Equal(got, want) {
			t.Fatalf("canonical form of\n%s\n%s\nwant\n%s", doc, got, want)
		}
	}
}

// canonicalForms are what TestCanonicalAgainstXMLSec1 asks for.
var canonicalForms = []struct {
	algorithm, prefixes string
	form                Canonicalization
}{
	{"http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "", Canonicalization{}},
	{"http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments", "", Canonicalization{}},
	{"http://www.w3.org/2006/12/xml-c14n11", "", Canonicalization{}},
	{"http://www.w3.org/2001/10/xml-exc-c14n#", "", Canonicalization{Exclusive: true}},
	{"http://www.w3.org/2001/10/xml-exc-c14n#WithComments", "", Canonicalization{Exclusive: true}},
	{"http://www.w3.org/2001/10/xml-exc-c14n#", "a", Canonicalization{Exclusive: true, Prefixes: []string{"a"}}},
	{"http://www.w3.org/2001/10/xml-exc-c14n#", "#default b c", Canonicalization{Exclusive: true, Prefixes: []string{"", "b", "c"}}},
}

// TestCanonicalAgainstXMLSec1 has xmlsec1, and so libxml2, digest subsets of random documents in every form, and
// compares the digests.
func TestCanonicalAgainstXMLSec1(t *testing.T) {
	program, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
			t.Fatal("xmlsec1 is not installed")
		}
		t.Skip("xmlsec1 is not installed")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "hmac.key")
	if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := generator{Rand: rand.New(rand.NewPCG(3, 3))}
	compared := 0
	for range 40 {
		doc := g.document()
		root, err := Parse(doc, Options{Limits: wideLimits, Strict: true})
		if err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		template, args, subsets := signatureTemplate(root, doc)
		if len(subsets) == 0 {
			continue
		}
		file := filepath.Join(dir, "doc.xml")
		if err := os.WriteFile(file, []byte(template), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(program, append(append([]string{"--sign", "--hmackey", key}, args...), file)...).CombinedOutput()
		if err != nil {
			t.Fatalf("xmlsec1: %v\n%s\n%s", err, out, template)
		}
		digests := digestValue.FindAllSubmatch(out, -1)
		if len(digests) != len(subsets)*len(canonicalForms) {
			t.Fatalf("%d digests for %d subsets", len(digests), len(subsets))
		}
		for i, e := range subsets {
			for j, f := range canonicalForms {
				form := f.form.Append(nil, e, nil)
				sum := sha256.Sum256(form)
				if got := base64.StdEncoding.EncodeToString(sum[:]); got != string(digests[i*len(canonicalForms)+j][1]) {
					t.Fatalf("%s with prefixes %q of %s in\n%s\nis %s\nwhich xmlsec1 digests otherwise", f.algorithm, f.prefixes, e.Local, doc, form)
				}
				compared++
			}
		}
	}
	if compared < 500 {
		t.Errorf("only %d canonical forms were compared", compared)
	}
}

var digestValue = regexp.MustCompile(`<DigestValue>(.*?)</DigestValue>`)

// signatureTemplate wraps a document so that xmlsec1 digests each of its subsets in each form.
func signatureTemplate(root *Element, doc string) (template string, args []string, subsets []*Element) {
	var refs strings.Builder
	for e := range root.All() {
		id, has := e.Attr("ID")
		if !has {
			continue
		}
		subsets = append(subsets, e)
		name := e.Local
		if e.Space != "" {
			name = e.Space + ":" + e.Local
		}
		args = append(args, "--id-attr:ID", name)
		for _, f := range canonicalForms {
			list := ""
			if f.prefixes != "" {
				list = fmt.Sprintf(`<InclusiveNamespaces xmlns="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="%s"/>`, f.prefixes)
			}
			fmt.Fprintf(&refs, `<Reference URI="#%s"><Transforms><Transform Algorithm="%s">%s</Transform></Transforms>`+
				`<DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue></DigestValue></Reference>`,
				id, f.algorithm, list)
		}
	}
	return `<root-of-the-test>` + doc + `<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo>` +
		`<CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>` +
		`<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"/>` + refs.String() +
		`</SignedInfo><SignatureValue/></Signature></root-of-the-test>`, args, subsets
}
