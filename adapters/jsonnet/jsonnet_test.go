package jsonnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/mapping"
)

type vars = map[string]json.RawMessage

func newPool(t testing.TB, o Options) *Pool {
	t.Helper()
	p := New(o)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// patient is for what is not about time: it shall not fail on a machine that has other work.
var patient = Options{Workers: 2, Timeout: 30 * time.Second, Wait: 2 * time.Minute}

const endless = "local f(n) = if n == 0 then 1 else f(n - 1) + f(n - 1); f(60)"

func mustEvaluate(t *testing.T, p *Pool, snippet string, v vars) string {
	t.Helper()
	got, err := p.Evaluate(t.Context(), "t", snippet, v)
	if err != nil {
		t.Fatalf("%s: %v", snippet, err)
	}
	return string(got)
}

func wantCode(t *testing.T, err error, code mapping.Code) *mapping.Error {
	t.Helper()
	var e *mapping.Error
	if !errors.As(err, &e) || e.Code != code || e.Message == "" || len(e.Message) > mapping.MaxMessage {
		t.Fatalf("got %v, want a *mapping.Error with the code %s", err, code)
	}
	return e
}

func TestEvaluate(t *testing.T) {
	p := newPool(t, patient)
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for _, c := range []struct {
		snippet string
		vars    vars
		want    string
	}{
		{`1`, nil, `1`},
		{`"text <&> \u00e9 \u2028"`, nil, `"text <&> é \u2028"`},
		{`null`, nil, `null`},
		{`[0.1, 1e21, 1.5, -0.25, 9007199254740991]`, nil, `[0.1,1e+21,1.5,-0.25,9007199254740991]`},
		{`{ b: 1, a:: 2, c: $.a }`, nil, `{"b":1,"c":2}`},
		{`std.extVar('scim')`, vars{"scim": json.RawMessage(` { "a" : [ 1, {"b": null} ], "ü": "\u0000\"" } `)}, `{"a":[1,{"b":null}],"ü":"\u0000\""}`},
		{`std.extVar('a') + std.extVar("b c'\"\\")`, vars{"a": json.RawMessage(`1`), `b c'"\`: json.RawMessage(`2`)}, `3`},
		{`std.extVar('n')`, vars{"n": json.RawMessage(`12345678901234567890`)}, `12345678901234567000`},
		{`std.length(std.extVar('deep'))`, vars{"deep": json.RawMessage(deep)}, `1`},
		{`std.objectHas(std.extVar('a'), 'self')`, vars{"a": json.RawMessage(`{"self":1,"local x = 1; x":2}`)}, `true`},
		{`std.extVar('a')`, vars{"a": json.RawMessage(`"local x = 1; x"`)}, `"local x = 1; x"`},
		{`std.trace('said', 1)`, nil, `1`},
		{"# a remark\nlocal x = 1; // another\nx /* and one */", nil, `1`},
	} {
		if got := mustEvaluate(t, p, c.snippet, c.vars); got != c.want {
			t.Errorf("%s: got %s, want %s", c.snippet, got, c.want)
		}
	}
}

// TestMappings holds the snippets of docs/mapping.md's kind, as they are written for other products too.
func TestMappings(t *testing.T) {
	p := newPool(t, patient)
	const person = `{
		"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"userName": "ada@acme.example", "externalId": "00u1", "active": true,
		"name": {"givenName": "Ada", "familyName": "Lovelace"},
		"emails": [{"value": "home@acme.example", "type": "home"}, {"value": "ada@acme.example", "type": "work", "primary": true}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "42", "department": "Engines"}}`
	for _, c := range []struct{ name, snippet, variable, input, want string }{
		{"of a directory", `local scim = std.extVar('scim');
local primary = [e.value for e in scim.emails if std.get(e, 'primary', false)];
{
  identity: {
    traits: {
      email: if std.length(primary) > 0 then primary[0] else scim.userName,
      name: { first: scim.name.givenName, last: scim.name.familyName },
      [if 'phoneNumbers' in scim then 'phone']: scim.phoneNumbers[0].value,
    },
    metadata_public: { department: scim['urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'].department },
    metadata_admin: { external: std.get(scim, 'externalId') },
    active: scim.active,
  },
}`, "scim", person,
			`{"identity":{"active":true,"metadata_admin":{"external":"00u1"},"metadata_public":{"department":"Engines"},"traits":{"email":"ada@acme.example","name":{"first":"Ada","last":"Lovelace"}}}}`},
		{"of claims", `local claims = { email_verified: false } + std.extVar('claims');
{
  identity: {
    traits: {
      [if 'email' in claims && claims.email_verified then 'email' else null]: claims.email,
      subject: claims.sub,
      groups: if std.objectHas(claims.raw_claims, 'groups') then std.sort(claims.raw_claims.groups) else [],
    },
    verified_addresses: std.prune([if 'email' in claims && claims.email_verified then { via: 'email', value: claims.email }]),
  },
}`, "claims", `{"sub":"s1","email":"ada@acme.example","email_verified":true,"raw_claims":{"groups":["b","a"]}}`,
			`{"identity":{"traits":{"email":"ada@acme.example","groups":["a","b"],"subject":"s1"},"verified_addresses":[{"value":"ada@acme.example","via":"email"}]}}`},
		{"of claims that lack what it asks for", `local claims = std.extVar('claims');
{ identity: { traits: { [if 'email' in claims && std.get(claims, 'email_verified', false) then 'email' else null]: claims.email } } }`,
			"claims", `{"sub":"s1","email":"ada@acme.example"}`, `{"identity":{"traits":{}}}`},
		{"that refuses", `local claims = std.extVar('claims');
if std.endsWith(claims.email, '@acme.example') then { identity: {} } else error 'cancel'`, "claims", `{"email":"ada@acme.example"}`, `{"identity":{}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := p.Check(t.Context(), "t", c.snippet); err != nil {
				t.Error(err)
			}
			if got := mustEvaluate(t, p, c.snippet, vars{c.variable: json.RawMessage(c.input)}); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestErrorsHaveAPlace(t *testing.T) {
	p := newPool(t, patient)
	for _, c := range []struct {
		snippet string
		code    mapping.Code
		at      string
		says    string
	}{
		{"{\n  a: 1,\n  b 2 }", mapping.Syntax, "3:5", "b"},
		{"local a = 1;\nlocal b = 2;\n  c", mapping.Syntax, "3:3", "Unknown variable: c"},
		{"local a = 1; local a = 2; a", mapping.Runtime, "", ""}, // legal: the second one hides the first
		{"{ a: 1, a: 2 }", mapping.Syntax, "1:9", "a"},
		{"{\n a: '\\q' }", mapping.Syntax, "2:5", "Unknown escape sequence"},
		{"error 'cancel'", mapping.Runtime, "1:1", "cancel"},
		{"local s = std.extVar('scim');\n{ a: s.b.c }", mapping.Runtime, "2:6", "b"},
		{"{\n  a: std.parseInt('x') }", mapping.Runtime, "2:6", "x"},
		{"{\n\n  a: { b: [1, 2, 'x' * 3] } }", mapping.Runtime, "3:18", "number"},
		{"local f(x) =\n  assert x > 1 : 'small';\n  x;\nf(1)", mapping.Runtime, "2:3", "small"},
		{"std.foldl(function(a, b)\n  a + b.c, [1], 0)", mapping.Runtime, "2:7", "indexable"},
	} {
		_, err := p.Evaluate(t.Context(), "t", c.snippet, vars{"scim": json.RawMessage(`{}`)})
		if c.at == "" {
			if err != nil {
				t.Errorf("%s: %v", c.snippet, err)
			}
			continue
		}
		e := wantCode(t, err, c.code)
		if at := fmt.Sprintf("%d:%d", e.Line, e.Column); at != c.at || !strings.Contains(e.Message, c.says) || strings.Contains(e.Message, snippetName+":") {
			t.Errorf("%s: got %s %q, want %s once and %q", c.snippet, at, e.Message, c.at, c.says)
		}
	}
}

func TestInputIsLimited(t *testing.T) {
	p := newPool(t, patient)
	long := "1 " + strings.Repeat(" ", mapping.MaxSnippet-2)
	if got := mustEvaluate(t, p, long, nil); got != "1" {
		t.Errorf("the longest snippet: %s", got)
	}
	_, err := p.Evaluate(t.Context(), "t", long+" ", nil)
	wantCode(t, err, mapping.Input)
	wantCode(t, p.Check(t.Context(), "t", long+" "), mapping.Input)
	_, err = p.Evaluate(t.Context(), "t", "'\xff'", nil)
	wantCode(t, err, mapping.Syntax)

	large := json.RawMessage(`"` + strings.Repeat("<", mapping.MaxInput-3) + `"`)
	if got := mustEvaluate(t, p, "std.length(std.extVar('x'))", vars{"x": large}); got != fmt.Sprint(mapping.MaxInput-3) {
		t.Errorf("the largest input: %s", got)
	}
	for name, v := range map[string]vars{
		"too large":            {"xy": large},
		"too large in sum":     {"x": large, "": json.RawMessage(`1`)},
		"not JSON":             {"x": json.RawMessage(`local a = 1; a`)},
		"nothing":              {"x": nil},
		"two values":           {"x": json.RawMessage(`1 2`)},
		"nested out of bounds": {"x": json.RawMessage(strings.Repeat("[", 20000) + strings.Repeat("]", 20000))},
		"a name not in UTF-8":  {"\xff": json.RawMessage(`1`)},
	} {
		if _, err := p.Evaluate(t.Context(), "t", "1", v); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantCode(t, err, mapping.Input)
		}
	}
}

func TestOutputIsLimited(t *testing.T) {
	p := newPool(t, patient)
	most := fmt.Sprintf("std.extVar('x') + %q", strings.Repeat("b", 10))
	v := vars{"x": json.RawMessage(`"` + strings.Repeat("a", mapping.MaxOutput-13) + `"`)}
	if got := mustEvaluate(t, p, most, v); len(got) < mapping.MaxOutput-2 {
		t.Errorf("%d bytes", len(got))
	}
	v["x"] = json.RawMessage(`"` + strings.Repeat("a", mapping.MaxOutput-11) + `"`)
	_, err := p.Evaluate(t.Context(), "t", most, v)
	wantCode(t, err, mapping.Output)
}

func TestCheck(t *testing.T) {
	p := newPool(t, patient)
	for _, snippet := range []string{"1", "std.extVar('unknown').x", endless, "error 'not run'", "function(x) x"} {
		if err := p.Check(t.Context(), "t", snippet); err != nil {
			t.Errorf("%s: %v", snippet, err)
		}
	}
	for snippet, at := range map[string]string{"{ a: }": "1:6", "\n x": "2:2", "[import 'x']": "1:2", "": "1:1"} {
		e := wantCode(t, p.Check(t.Context(), "t", snippet), mapping.Syntax)
		if got := fmt.Sprintf("%d:%d", e.Line, e.Column); got != at {
			t.Errorf("%s: at %s, want %s", snippet, got, at)
		}
	}
	wantCode(t, p.Check(t.Context(), "t", strings.Repeat("(", 60000)), mapping.Syntax)
}

// TestNothingIsRemembered evaluates one after the other in one process.
func TestNothingIsRemembered(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Timeout: 30 * time.Second})
	mustEvaluate(t, p, "std.extVar('scim')", vars{"scim": json.RawMessage(`"first"`)})
	if got := mustEvaluate(t, p, "std.extVar('scim')", vars{"scim": json.RawMessage(`"second"`)}); got != `"second"` {
		t.Errorf("got %s", got)
	}
	_, err := p.Evaluate(t.Context(), "t", "std.extVar('scim')", nil)
	wantCode(t, err, mapping.Runtime)
	if n := len(p.alive); n != 1 {
		t.Errorf("%d processes", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	p := newPool(t, patient)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				v, want := vars{"n": json.RawMessage(fmt.Sprint(i))}, fmt.Sprint(i*1000+j)
				got, err := p.Evaluate(t.Context(), "t", fmt.Sprintf("std.extVar('n') * 1000 + %d", j), v)
				if err != nil || string(got) != want {
					t.Errorf("got %s, %v; want %s", got, err, want)
				}
			}
		})
	}
	all.Wait()
	if n := len(p.alive); n > 2 {
		t.Errorf("%d processes, want at most 2", n)
	}
	if len(p.lines) != 0 || p.waiting != 0 || len(p.free) != 0 {
		t.Errorf("left over: %d lines, %d waiting, %d at work", len(p.lines), p.waiting, len(p.free))
	}
}

// TestOneTenantLeavesRoom has a tenant whose mappings run into their limit each time, more of them than may wait.
func TestOneTenantLeavesRoom(t *testing.T) {
	p := newPool(t, Options{Workers: 2, Timeout: time.Minute, Wait: time.Minute, Waiting: 6})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	errs := make(chan error, 20)
	for i := range cap(errs) {
		all.Go(func() {
			_, err := p.Evaluate(ctx, "slow", fmt.Sprintf("%s + %d", endless, i), nil)
			errs <- err
		})
	}
	for range cap(errs) - 5 { // one is at work, and four wait
		wantCode(t, <-errs, mapping.Unavailable)
	}
	for range 20 {
		mustEvaluate(t, p, "1", nil)
	}
	stop()
	all.Wait()
}

func TestWaitingIsBounded(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Timeout: time.Minute, Wait: 50 * time.Millisecond, Waiting: 1})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _, _ = p.Evaluate(ctx, "t", endless, nil) })
	for len(p.free) == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := p.Evaluate(t.Context(), "t", "1", nil)
	if e := wantCode(t, err, mapping.Unavailable); !strings.Contains(e.Message, "50ms") {
		t.Errorf("after the wait: %s", e.Message)
	}
	stop()
	all.Wait()
	if got := mustEvaluate(t, p, "1", nil); got != "1" {
		t.Errorf("after it: %s", got)
	}
}

func TestWaitersAreCounted(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Timeout: time.Minute, Wait: time.Minute, Waiting: 3})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	errs := make(chan error, 10)
	all.Go(func() { _, _ = p.Evaluate(ctx, "t", endless, nil) })
	for len(p.free) == 0 {
		time.Sleep(time.Millisecond)
	}
	for i := range 10 {
		all.Go(func() { _, err := p.Evaluate(ctx, fmt.Sprint(i), "1", nil); errs <- err })
	}
	for range 6 { // as many as do not find room among 3 who wait and 1 for each process
		wantCode(t, <-errs, mapping.Unavailable)
	}
	stop()
	all.Wait()
	for range 4 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("one who waits: %v, want that of its context", err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	p := newPool(t, patient)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := p.Evaluate(ctx, "t", endless, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("under way: %v, want that of its context", err)
	}
	if _, err := p.Evaluate(ctx, "t", "1", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before: %v, want that of its context", err)
	}
	if got := mustEvaluate(t, p, "1", nil); got != "1" {
		t.Errorf("after it: %s", got)
	}
}

func TestTimeout(t *testing.T) {
	p := newPool(t, Options{Timeout: 100 * time.Millisecond})
	_, err := p.Evaluate(t.Context(), "t", endless, nil)
	if e := wantCode(t, err, mapping.Timeout); !strings.Contains(e.Message, "100ms") {
		t.Errorf("got %s", e.Message)
	}
}

func TestClose(t *testing.T) {
	p := New(patient)
	mustEvaluate(t, p, "1", nil)
	errs := make(chan error)
	go func() { _, err := p.Evaluate(t.Context(), "t", endless, nil); errs <- err }()
	for len(p.free) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	wantCode(t, <-errs, mapping.Unavailable)
	_, err := p.Evaluate(t.Context(), "t", "1", nil)
	wantCode(t, err, mapping.Unavailable)
	if err := p.Close(); err != nil {
		t.Errorf("again: %v", err)
	}
	if len(p.alive) != 0 {
		t.Errorf("%d processes are left", len(p.alive))
	}
}

func TestWorkerIsReplaced(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Timeout: 30 * time.Second})
	current := func() *process {
		mustEvaluate(t, p, "1", nil)
		return p.idle[0]
	}
	first := current()
	if current() != first {
		t.Fatal("a worker is used once")
	}
	for name, change := range map[string]func(w *process){
		"after many evaluations": func(w *process) { w.asked = mostAsked - 1 },
		"after much work":        func(w *process) { w.busy = mostBusy },
	} {
		w := current()
		change(w)
		mustEvaluate(t, p, "1", nil)
		if current() == w {
			t.Errorf("%s: it is not replaced", name)
		}
	}
	w := current()
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.ended
	if current() == w {
		t.Error("a worker that was killed while idle is used")
	}
	w = current()
	mustEvaluate(t, p, "std.length(std.makeArray(500000, function(i) 'x' + i)) + std.foldl(function(a, b) a + 1, std.range(1, 500000), 0)", nil)
	if current() == w {
		t.Error("a worker that holds much memory is kept")
	}
	if n := len(p.alive); n != 1 {
		t.Errorf("%d processes are alive, want 1", n)
	}
}

func TestWorkerIsEndedFromOutside(t *testing.T) {
	p := newPool(t, patient)
	errs := make(chan error)
	go func() { _, err := p.Evaluate(t.Context(), "t", endless, nil); errs <- err }()
	var w *process
	for w == nil {
		time.Sleep(time.Millisecond)
		p.mu.Lock()
		for w = range p.alive {
		}
		p.mu.Unlock()
	}
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-errs, mapping.Unavailable)
	if got := mustEvaluate(t, p, "1", nil); got != "1" {
		t.Errorf("after it: %s", got)
	}
}

const common = `local scim = std.extVar('scim');
{ identity: {
  traits: { email: scim.userName, name: { first: scim.name.givenName, last: scim.name.familyName } },
  metadata_public: { mails: std.length(scim.emails) }, active: scim.active } }`

var person = vars{"scim": json.RawMessage(`{"userName":"ada@acme.example","active":true,
	"name":{"givenName":"Ada","familyName":"Lovelace"},"emails":[{"value":"ada@acme.example","primary":true}]}`)}

func BenchmarkEvaluateWarm(b *testing.B) {
	p := newPool(b, patient)
	for b.Loop() {
		if _, err := p.Evaluate(b.Context(), "t", common, person); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEvaluateCold starts a process for each evaluation.
func BenchmarkEvaluateCold(b *testing.B) {
	for b.Loop() {
		p := New(patient)
		if _, err := p.Evaluate(b.Context(), "t", common, person); err != nil {
			b.Fatal(err)
		}
		_ = p.Close()
	}
}
