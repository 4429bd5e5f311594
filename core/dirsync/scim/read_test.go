package scim

import (
	"fmt"
	"strings"
	"testing"
)

const enterpriseText = `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`

// TestReadTolerates: what clients send that the RFC does not give them, and what becomes of it.
func TestReadTolerates(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want string // without schemas
	}{
		"names in any case":          {`{"USERNAME":"a","Name":{"GIVENNAME":"g"}}`, `{"name":{"givenName":"g"},"userName":"a"}`},
		"booleans as text":           {`{"userName":"a","active":"True","emails":[{"value":"v","primary":"false"}]}`, `{"active":true,"emails":[{"primary":false,"value":"v"}],"userName":"a"}`},
		"manager as text":            {`{"userName":"a",` + enterpriseText + `:{"manager":"m"}}`, `{` + enterpriseText + `:{"manager":{"value":"m"}},"userName":"a"}`},
		"no manager":                 {`{"userName":"a",` + enterpriseText + `:{"manager":""}}`, `{"userName":"a"}`},
		"roles as text":              {`{"userName":"a","roles":"admin"}`, `{"roles":[{"value":"admin"}],"userName":"a"}`},
		"roles as texts":             {`{"userName":"a","roles":["x","y"]}`, `{"roles":[{"value":"x"},{"value":"y"}],"userName":"a"}`},
		"one email alone":            {`{"userName":"a","emails":{"value":"v"}}`, `{"emails":[{"value":"v"}],"userName":"a"}`},
		"dotted names":               {`{"userName":"a","name.givenName":"g","name":{"familyName":"f"}}`, `{"name":{"familyName":"f","givenName":"g"},"userName":"a"}`},
		"qualified names":            {`{"userName":"a","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department":"d"}`, `{` + enterpriseText + `:{"department":"d"},"userName":"a"}`},
		"a filtered name":            {`{"userName":"a","emails[type eq \"work\"].value":"v"}`, `{"emails":[{"type":"work","value":"v"}],"userName":"a"}`},
		"the core schema's URN":      {`{"urn:ietf:params:scim:schemas:core:2.0:User":{"userName":"a"},"urn:ietf:params:scim:schemas:core:2.0:user:title":"t"}`, `{"title":"t","userName":"a"}`},
		"the core URN, read-only":    {`{"urn:ietf:params:scim:schemas:core:2.0:User":{"userName":"a","id":"i","groups":[{"value":"g"}]}}`, `{"userName":"a"}`},
		"null and empty":             {`{"userName":"a","title":null,"emails":[],"name":{},"roles":[null],"urn:acme:2.0:User":{"x":null}}`, `{"userName":"a"}`},
		"read-only":                  {`{"userName":"a","id":"i","meta":{"version":"v"},"groups":[{"value":"g"}],` + enterpriseText + `:{"manager":{"displayName":"M","value":"m"}}}`, `{` + enterpriseText + `:{"manager":{"value":"m"}},"userName":"a"}`},
		"unknown":                    {`{"userName":"a","shoeSize":43,"a.b":1,"name":{"maiden":"m"},"emails":[{"value":"v","verified":true}],"urn:ietf:params:scim:schemas:core:2.0:Group":{"displayName":"g"}}`, `{"emails":[{"value":"v"}],"userName":"a"}`},
		"twice the same value":       {`{"userName":"a","emails":[{"value":"v","type":"x"},{"type":"x","value":"v"}]}`, `{"emails":[{"type":"x","value":"v"}],"userName":"a"}`},
		"a custom extension":         {`{"userName":"a","urn:Acme:scim:2.0:User":{"badge":7,"Tags":["a",{"b":false}],"n":1.50}}`, `{"urn:Acme:scim:2.0:User":{"Tags":["a",{"b":false}],"badge":7,"n":1.50},"userName":"a"}`},
		"a custom attribute":         {`{"userName":"a","urn:acme:2.0:User:badge":"7","urn:other:ext":{"a":1}}`, `{"urn:acme:2.0:User":{"badge":"7"},"urn:other:ext":{"a":1},"userName":"a"}`},
		"escapes":                    {`{"userName":"\u0041\ud83d\ude00\n\/\"ü"}`, "{\"userName\":\"A😀\\n/\\\"ü\"}"},
		"white space":                {" \t\r\n{ \"userName\" : \"a\" , \"emails\" : [ { \"value\" : \"v\" } , \"w\" ] } \n", `{"emails":[{"value":"v"},{"value":"w"}],"userName":"a"}`},
		"the schemas Entra ID sends": {`{"userName":"a","schemas":["http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User","URN:ietf:params:scim:schemas:core:2.0:user"]}`, `{"userName":"a"}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, User, c.body)
			delete(r, "schemas")
			if got := show(r); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestSchemasFollowTheResource(t *testing.T) {
	r := read(t, User, `{"userName":"a","schemas":["`+UserURN+`","urn:never:sent"],"urn:acme:2.0:User":{"a":1},`+enterpriseText+`:{"division":"d"}}`)
	if got, want := show(r["schemas"]), `["`+UserURN+`","urn:acme:2.0:User","`+EnterpriseURN+`"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if changed, err := patch(r, User, `[{"op":"remove","path":"urn:acme:2.0:User"},{"op":"remove","path":"`+EnterpriseURN+`:division"}]`); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if got := show(r); got != `{"schemas":["`+UserURN+`"],"userName":"a"}` {
		t.Errorf("got %s", got)
	}
}

// badBodies are refused by Read with 400 and a scimType.
func badBodies() map[string][2]string {
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ","+format, i)
		}
		return b.String()
	}
	return map[string][2]string{
		"empty":                    {``, TypeInvalidSyntax},
		"not JSON":                 {`userName=a`, TypeInvalidSyntax},
		"a list":                   {`[{"userName":"a"}]`, TypeInvalidSyntax},
		"null":                     {`null`, TypeInvalidSyntax},
		"cut off":                  {`{"userName":"a"`, TypeInvalidSyntax},
		"two objects":              {`{"userName":"a"}{}`, TypeInvalidSyntax},
		"NUL behind":               {"{\"userName\":\"a\"}\x00", TypeInvalidSyntax},
		"a comma too many":         {`{"userName":"a",}`, TypeInvalidSyntax},
		"a comma too few":          {`{"userName":"a" "title":"b"}`, TypeInvalidSyntax},
		"a comment":                {`{"userName":"a"/**/}`, TypeInvalidSyntax},
		"single quotes":            {`{'userName':'a'}`, TypeInvalidSyntax},
		"twice":                    {`{"userName":"a","userName":"b"}`, TypeInvalidSyntax},
		"twice in other case":      {`{"userName":"a","USERname":"b"}`, TypeInvalidSyntax},
		"twice inside":             {`{"userName":"a","name":{"givenName":"x","givenname":"y"}}`, TypeInvalidSyntax},
		"a control character":      {"{\"userName\":\"a\nb\"}", TypeInvalidSyntax},
		"U+0000":                   {`{"userName":"a\u0000b"}`, TypeInvalidSyntax},
		"half a pair":              {`{"userName":"\ud83d"}`, TypeInvalidSyntax},
		"the wrong half":           {`{"userName":"\ude00\ud83d"}`, TypeInvalidSyntax},
		"half a pair, then a text": {`{"userName":"\ud83d\u0041"}`, TypeInvalidSyntax},
		"an unknown escape":        {`{"userName":"\x41"}`, TypeInvalidSyntax},
		"a short escape":           {`{"userName":"\u41"}`, TypeInvalidSyntax},
		"broken UTF-8":             {"{\"userName\":\"\xff\"}", TypeInvalidSyntax},
		"broken UTF-8, escaped":    {"{\"userName\":\"\\n\xc3\"}", TypeInvalidSyntax},
		"a number with a plus":     {`{"userName":"a","urn:x:y":{"n":+1}}`, TypeInvalidSyntax},
		"a number with a zero":     {`{"userName":"a","urn:x:y":{"n":01}}`, TypeInvalidSyntax},
		"a number without end":     {`{"userName":"a","urn:x:y":{"n":1.}}`, TypeInvalidSyntax},
		"a huge number":            {`{"userName":"a","urn:x:y":{"n":1e999}}`, TypeInvalidSyntax},
		"a long number":            {`{"userName":"a","urn:x:y":{"n":` + strings.Repeat("1", 100) + `}}`, TypeInvalidSyntax},
		"NaN":                      {`{"userName":"a","urn:x:y":{"n":NaN}}`, TypeInvalidSyntax},
		"deep":                     {`{"userName":"a","urn:x:y":` + strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 51), TypeInvalidSyntax},
		"very deep":                {strings.Repeat(`[`, 100_000), TypeInvalidSyntax},
		"many attributes":          {`{"userName":"a"` + numbered(300, `"x%d":1`) + `}`, TypeInvalidSyntax},
		"no user name":             {`{"displayName":"a"}`, TypeInvalidValue},
		"another schema":           {`{"userName":"a","schemas":["` + GroupURN + `"]}`, TypeInvalidValue},
		"schemas of numbers":       {`{"userName":"a","schemas":[1]}`, TypeInvalidValue},
		"schemas as a number":      {`{"userName":"a","schemas":1}`, TypeInvalidValue},
		"a long user name":         {`{"userName":"` + strings.Repeat("a", MaxName+1) + `"}`, TypeInvalidValue},
		"a long title":             {`{"userName":"a","title":"` + strings.Repeat("a", MaxText+1) + `"}`, TypeInvalidValue},
		"a long custom text":       {`{"userName":"a","urn:x:y":{"t":"` + strings.Repeat("a", MaxText+1) + `"}}`, TypeInvalidValue},
		"many emails":              {`{"userName":"a","emails":[` + many(MaxValues+1, `"v"`) + `]}`, TypeInvalidValue},
		"many custom values":       {`{"userName":"a","urn:x:y":{"t":[` + many(MaxValues+1, `1`) + `]}}`, TypeInvalidValue},
		"many extensions":          {`{"userName":"a"` + numbered(MaxExtensions+1, `"urn:x%d:y":{"a":1}`) + `}`, TypeInvalidValue},
		"much":                     {`{"userName":"a"` + numbered(18, `"urn:x%d:y":{"a":"`+strings.Repeat("a", 60_000)+`"}`) + `}`, TypeInvalidValue},
		"an extension as a text":   {`{"userName":"a",` + enterpriseText + `:"x"}`, TypeInvalidValue},
		"a department as a list":   {`{"userName":"a",` + enterpriseText + `:{"department":["x"]}}`, TypeInvalidValue},
		"a manager as a list":      {`{"userName":"a",` + enterpriseText + `:{"manager":[{"value":"x"}]}}`, TypeInvalidValue},
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range badBodies() {
		t.Run(name, func(t *testing.T) {
			r, err := User.Read([]byte(c[0]))
			if wantError(t, err, c[1]); r != nil {
				t.Error("it gave a resource")
			}
		})
	}
}

func TestReadSaysWhere(t *testing.T) {
	for body, want := range map[string]string{
		`{"userName":1}`: "userName: a text is wanted.",
		`{"userName":"a","emails":["a",{"value":1}]}`:            "emails[1].value: a text is wanted.",
		`{"userName":"a","name":{"givenname":[]}}`:               "name.givenName: a text is wanted.",
		`{"userName":"a","emails.value":1}`:                      "emails.value: a text is wanted.",
		`{"userName":"a",` + enterpriseText + `:{"division":1}}`: EnterpriseURN + ":division: a text is wanted.",
	} {
		_, err := User.Read([]byte(body))
		if e, ok := err.(*Error); !ok || e.Detail != want { //nolint:errorlint // the type itself is the contract
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

// TestReadKeepsAll: what can be written comes back, and a clone shares nothing.
func TestReadKeepsAll(t *testing.T) {
	r := read(t, User, alice)
	if again := read(t, User, show(r)); !Equal(r, again) {
		t.Errorf("read again, it is %s", show(again))
	}
	if len(r) != 23 || len(r[EnterpriseURN].(map[string]any)) != 6 {
		t.Errorf("it has %d attributes: %s", len(r), show(r))
	}
	c := Clone(r)
	c["emails"].([]any)[0].(map[string]any)["value"] = "changed"
	c["name"].(map[string]any)["givenName"] = "changed"
	if !Equal(r, read(t, User, alice)) {
		t.Error("a clone shares what it has")
	}
}

func TestReadLargeGroup(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"displayName":"all","members":[{"value":"u0","type":"User"}`)
	for i := range 100_000 {
		fmt.Fprintf(&b, `,{"value":"u%d","type":"User"}`, i)
	}
	r := read(t, Group, b.String()+`]}`)
	list, err := Members(r)
	if err != nil || len(list) != 100_000 || list[99_999].Value != "u99999" {
		t.Errorf("%d members, %v", len(list), err)
	}
}
