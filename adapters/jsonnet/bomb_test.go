package jsonnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/mapping"
)

// bomb is a snippet that would harm the service, were it evaluated there.
type bomb struct {
	name    string
	snippet string
	codes   string // one of these; several where it depends on the machine which limit is met first
	at      string // line:column, where there is a place
	says    string // in the message
}

const anyLimit = "timeout memory runtime"

func bombs(t *testing.T) []bomb {
	file := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(file, []byte(`"a secret"`), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(func() {
		server.Close()
		if asked.Load() > 0 {
			t.Error("a snippet reached a server")
		}
	})
	n := func(s string, times int) string { return strings.Repeat(s, times) }
	return []bomb{
		{"endless recursion", "local f(n) = 1 + f(n + 1);\nf(0)", "runtime", "1:18", "max stack frames"},
		{"endless mutual recursion", "local f(n) = g(n), g(n) = 1 + f(n);\nf(0)", "runtime", "", "max stack frames"},
		{"tailstrict loop", "local f(n) = f(n + 1) tailstrict; f(0)", anyLimit, "", ""},
		{"tailstrict loop of two", "local f(n) = g(n) tailstrict, g(n) = f(n) tailstrict; f(0)", anyLimit, "", ""},
		{"exponential recursion", "local f(n) = if n == 0 then 1 else f(n - 1) + f(n - 1); f(60)", "timeout", "", ""},
		{"deep parentheses", n("(", 60000) + "1", "syntax runtime memory timeout", "", ""},
		{"deep brackets", n("[", 32000) + n("]", 32000), "runtime output memory timeout syntax", "", ""},
		{"deep braces", n("{a:", 16000) + "1" + n("}", 16000), "runtime output memory timeout syntax", "", ""},
		{"deep unary operators", n("!", 60000) + "true", anyLimit, "", ""},
		{"deep functions", n("function(x=1) ", 4000) + "1", anyLimit, "", ""},
		{"deep locals", n("local a = ", 4000) + "1" + n("; a", 4000), anyLimit, "", ""},
		{"std.range", "std.length(std.range(1, 2e9))", "memory runtime timeout", "", ""},
		{"std.range evaluated", "std.foldl(function(a, b) a + b, std.range(1, 1e9), 0)", "memory runtime timeout", "", ""},
		{"std.makeArray", "std.makeArray(1e9, function(i) i)", "memory runtime timeout", "", ""},
		{"std.makeArray of arrays", "local f(n) = if n == 0 then [] else std.makeArray(1000, function(i) f(n - 1)); f(6)", anyLimit, "", ""},
		{"doubling arrays", "local f(a, n) = if n == 0 then a else f(a + a, n - 1); std.length(f([1], 60))", anyLimit, "", ""},
		{"doubling strings", "local f(s, n) = if n == 0 then s else f(s + s, n - 1); f('aaaaaaaa', 60)", anyLimit, "", ""},
		{"std.repeat", "std.repeat('abcdefgh', 1e9)", anyLimit, "", ""},
		{"std.join", "std.join('aaaaaaaaaaaaaaaa', std.makeArray(1e8, function(i) 'b'))", anyLimit, "", ""},
		{"std.format with a huge width", "std.format('%999999999d', 1)", anyLimit, "", ""},
		{"std.format with a huge precision", "'%.999999999f' % 1.5", anyLimit, "", ""},
		{"std.strReplace", "local f(s, n) = if n == 0 then s else f(std.strReplace(s, 'a', 'aaaaaaaaaaaaaaaa'), n - 1); std.length(f('a', 20))", anyLimit, "", ""},
		{"std.split", "std.length(std.split(std.repeat('a,', 1e8), ','))", anyLimit, "", ""},
		{"std.base64", "local f(s, n) = if n == 0 then s else f(std.base64(s), n - 1); std.length(f('aaaaaaaaaa', 90))", anyLimit, "", ""},
		{"std.sort", "std.sort(std.makeArray(1e8, function(i) -i))", anyLimit, "", ""},
		{"std.set operations", "local a = std.range(1, 1e7); std.length(std.setUnion(a, a))", anyLimit, "", ""},
		{"import of a file", "{\n  a: import '" + file + "' }", "syntax", "2:6", noImports},
		{"import of a relative file", "import '../../../../../../../../etc/passwd'", "syntax", "1:1", noImports},
		{"importstr of a file", "importstr '/etc/passwd'", "syntax", "1:1", noImports},
		{"importbin of a file", "[1, importbin '/etc/passwd']", "syntax", "1:5", noImports},
		{"importstr of the environment", "importstr '/proc/self/environ'", "syntax", "1:1", noImports},
		{"import over http", "import '" + server.URL + "'", "syntax", "1:1", noImports},
		{"import that is never evaluated", "if true then 1 else import 'x'", "syntax", "1:21", noImports},
		{"native function", "std.native('exec')('id')", "runtime", "1:1", ""},
		{"unknown external variable", "{ a: 1,\n b: std.extVar('PATH') }", "runtime", "2:5", "PATH"},
		{"unknown name", "{ a: os.getenv('PATH') }", "syntax", "1:6", "os"},
		{"std.manifestJsonEx", "std.length(std.manifestJsonEx(std.range(1, 1e7), std.repeat(' ', 1e6)))", anyLimit, "", ""},
		{"std.manifestYamlDoc", "local f(n) = if n == 0 then 1 else { a: f(n - 1), b: f(n - 1) }; std.length(std.manifestYamlDoc(f(40)))", anyLimit, "", ""},
		{"std.manifestTomlEx", "local f(n) = if n == 0 then 1 else { a: f(n - 1), b: f(n - 1) }; std.length(std.manifestTomlEx(f(40), '  '))", anyLimit, "", ""},
		{"std.manifestXmlJsonml", "local f(n) = if n == 0 then ['a'] else ['a', f(n - 1), f(n - 1)]; std.length(std.manifestXmlJsonml(f(60)))", anyLimit, "", ""},
		{"std.toString of itself", "local s = { a: std.toString(self) }; s", "runtime timeout memory", "", ""},
		{"std.parseJson of deep nesting", "std.parseJson(std.repeat('[', 1e5))", "runtime", "1:1", ""},
		{"std.parseJson of much", "std.length(std.parseJson('[' + std.repeat('{},', 1e8) + '1]'))", anyLimit, "", ""},
		{"std.parseYaml of deep nesting", "std.parseYaml(std.repeat('[', 1e5) + std.repeat(']', 1e5))", anyLimit, "", ""},
		{"std.parseYaml of aliases", `std.length(std.toString(std.parseYaml("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n` +
			`d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n")))`, anyLimit, "", ""},
		{"object that holds itself", "local o = { a: o }; o", "runtime output memory timeout", "", ""},
		{"object that is its own field", "{ a: self }", "runtime output memory timeout", "", ""},
		{"field that is itself", "{ a: self.a }", "runtime timeout memory", "", ""},
		{"object that asserts itself", "local o = { assert o.a == 1, a: o.b, b: o.a }; o", "runtime timeout memory", "", ""},
		{"deep object merges", "std.foldl(function(a, b) a + { ['x' + b]+: { y+: a } }, std.range(1, 10000), {})", anyLimit + " output", "", ""},
		{"std.mergePatch", "local f(n) = if n == 0 then {} else std.mergePatch({ a: f(n - 1) }, { b: f(n - 1) }); f(60)", anyLimit, "", ""},
		{"comprehension explosion", "[[a, b, c, d, e] for a in std.range(1, 1000) for b in std.range(1, 1000) for c in std.range(1, 1000) for d in std.range(1, 1000) for e in std.range(1, 1000)]", anyLimit, "", ""},
		{"object comprehension explosion", "{ ['' + a + b]: a for a in std.range(1, 100000) for b in std.range(1, 100000) }", anyLimit, "", ""},
		{"output of many bytes", "std.repeat('a', 300000)", "output", "", "bytes"},
		{"output of many elements", "std.range(1, 200000)", "output", "", "bytes"},
		{"std.trace flood", "std.foldl(function(a, b) std.trace(std.repeat('x', 1000), a), std.range(1, 1e9), 0)", anyLimit, "", ""},
		{"error with a huge message", "error std.repeat('ü', 100000)", "runtime", "1:1", "ü"},
		{"error with a huge object", "error std.toString(std.range(1, 300000))", "runtime", "1:1", ""},
		{"assert with a huge message", "assert false : std.repeat('x', 100000); 1", "runtime", "1:1", "x"},
		{"function as the result", "function(x) x", "runtime", "", ""},
		{"function in the result", "{ a: function(x) x }", "runtime", "", ""},
		{"number that is none", "{ a: 1 / 0 }", "runtime", "1:6", ""},
		{"huge number", "{ a: std.pow(10, 1000) }", "runtime", "1:6", ""},
		{"std.thisFile", "std.extVar(std.thisFile)", "runtime", "", ""},
		{"half a string", "{ a: 'x", "syntax", "1:6", ""},
		{"nothing", "", "syntax", "1:1", ""},
	}
}

// TestBombs has every bomb go off beside evaluations of somebody else's, which all succeed.
func TestBombs(t *testing.T) {
	all := bombs(t)
	p := newPool(t, Options{Workers: 2, Timeout: 2 * time.Second, Wait: time.Minute})
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			ended := make(chan error)
			go func() {
				_, err := p.Evaluate(t.Context(), "t", b.snippet, nil)
				ended <- err
			}()
			for i := 0; ; i++ {
				good(t, p, i)
				select {
				case err := <-ended:
					b.check(t, err)
					return
				default:
				}
			}
		})
	}
}

func good(t *testing.T, p *Pool, i int) {
	t.Helper()
	vars := map[string]json.RawMessage{"scim": json.RawMessage(fmt.Sprintf(`{"userName":"user%d"}`, i))}
	got, err := p.Evaluate(t.Context(), "t", "{ name: std.extVar('scim').userName }", vars)
	if err != nil || string(got) != fmt.Sprintf(`{"name":"user%d"}`, i) {
		t.Fatalf("an evaluation beside it: %s, %v", got, err)
	}
}

func (b bomb) check(t *testing.T, err error) {
	t.Helper()
	var e *mapping.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *mapping.Error", err)
	}
	t.Log(e)
	if e.Code == mapping.Timeout { // contained as well: on a busy machine any of them may come to that first
		return
	}
	if !strings.Contains(" "+b.codes+" ", " "+string(e.Code)+" ") {
		t.Errorf("code %s, want one of %s", e.Code, b.codes)
	}
	if at := fmt.Sprintf("%d:%d", e.Line, e.Column); b.at != "" && at != b.at {
		t.Errorf("at %s, want %s", at, b.at)
	}
	if !strings.Contains(e.Message, b.says) || e.Message == "" || len(e.Message) > mapping.MaxMessage {
		t.Errorf("the message is %q (%d bytes), want %q in it", e.Message, len(e.Message), b.says)
	}
}
