package scim

import (
	"encoding/json"
	"testing"
)

// A row of the attribute tables of the specification: a name, what it may hold, and how it behaves.
type row struct {
	table, name, kind string // kind: id, string, required, object, bool, zone, password, array, addresses, groups, members
}

var rows = []row{
	{"User", "id", "id"},
	{"User", "externalId", "string"},
	{"User", "userName", "required"},
	{"User", "name", "object"},
	{"User", "displayName", "string"},
	{"User", "nickName", "string"},
	{"User", "profileUrl", "string"},
	{"User", "title", "string"},
	{"User", "userType", "string"},
	{"User", "preferredLanguage", "string"},
	{"User", "locale", "string"},
	{"User", "timeZone", "zone"},
	{"User", "active", "bool"},
	{"User", "password", "password"},
	{"User", "emails", "array"},
	{"User", "phoneNumbers", "array"},
	{"User", "ims", "array"},
	{"User", "photos", "array"},
	{"User", "addresses", "addresses"},
	{"User", "groups", "groups"},
	{"User", "entitlements", "array"},
	{"User", "roles", "array"},
	{"User", "x509Certificates", "array"},
	{"Group", "id", "id"},
	{"Group", "externalId", "string"},
	{"Group", "displayName", "required"},
	{"Group", "members", "members"},
}

// TestAttributeRows walks every row of both attribute tables.
func TestAttributeRows(t *testing.T) {
	for _, row := range rows {
		t.Run(row.table+"/"+row.name, func(t *testing.T) {
			x := rowTest{T: t, t: User, row: row, base: map[string]any{"userName": "alice"}}
			if row.table == "Group" {
				x.t, x.base = Group, map[string]any{"displayName": "Engineers"}
			}
			a, ok := x.t.Attribute(row.name)
			if !ok {
				t.Fatal("no such attribute")
			}
			x.attribute, x.name = a, a.Name
			map[string]func(){
				"id": x.readOnly, "groups": x.readOnly, "string": x.text, "required": x.required, "object": x.object, "bool": x.boolean,
				"zone": x.zone, "password": x.password, "array": x.array, "addresses": x.addresses, "members": x.members,
			}[row.kind]()
		})
	}
}

type rowTest struct {
	*testing.T
	t         *ResourceType
	row       row
	base      map[string]any
	attribute *Attribute
	name      string
}

// try reads a resource with the attribute, under the table's own spelling.
func (x *rowTest) try(v any) (Resource, error) {
	body := map[string]any{}
	for name, value := range x.base {
		body[name] = value
	}
	body[x.row.name] = v
	b, _ := json.Marshal(body)
	return x.t.Read(b)
}

// keeps checks that a value is read, stored under the schema's spelling, found by a filter and patched.
func (x *rowTest) keeps(sent any, want string) {
	x.Helper()
	r, err := x.try(sent)
	if err != nil || show(r[x.name]) != want {
		x.Fatalf("%v became %s, want %s: %v", sent, show(r[x.name]), want, err)
	}
	if f, err := ParseFilter(x.t, x.row.name+" pr"); err != nil || !f.Match(r) {
		x.Errorf("pr does not match: %v", err)
	}
	p := Resource{}
	for name, value := range x.base {
		p[name] = value
	}
	op := Operation{Op: "replace", Path: x.row.name, Value: []byte(show(sent))}
	if changed, err := x.t.Patch(p, []Operation{op}); err != nil || !changed || show(p[x.name]) != want {
		x.Errorf("a PATCH made %s of it, want %s: %v", show(p[x.name]), want, err)
	}
	if changed, err := x.t.Patch(p, []Operation{op}); err != nil || changed {
		x.Errorf("asking for what already is changed something: %v", err)
	}
	if x.attribute.Required {
		return
	}
	if changed, err := x.t.Patch(p, []Operation{{Op: "remove", Path: x.row.name}}); err != nil || !changed || p[x.name] != nil {
		x.Errorf("a remove left %s: %v", show(p[x.name]), err)
	}
}

func (x *rowTest) refuses(list ...any) {
	x.Helper()
	for _, v := range list {
		_, err := x.try(v)
		wantError(x.T, err, TypeInvalidValue)
	}
}

// readOnly: ignored in a body, refused as the target of a PATCH.
func (x *rowTest) readOnly() {
	sent := any("11111111-1111-7111-8111-111111111111")
	if x.row.kind == "groups" {
		sent = []any{map[string]any{"value": "g1", "display": "Admins", "type": "direct"}}
	}
	r, err := x.try(sent)
	if err != nil || r[x.name] != nil {
		x.Errorf("a client set it to %s: %v", show(r[x.name]), err)
	}
	for _, op := range []string{"add", "replace", "remove"} {
		_, err := x.t.Patch(r, []Operation{{Op: op, Path: x.row.name, Value: []byte(show(sent))}})
		wantError(x.T, err, TypeMutability)
	}
	r[x.name] = value(x, show(sent)) // as the store adds it to what it shows
	f, err := ParseFilter(x.t, x.row.name+` eq "`+map[string]string{"id": "11111111-1111-7111-8111-111111111111", "groups": "g1"}[x.row.kind]+`"`)
	if err != nil || !f.Match(r) {
		x.Errorf("a filter does not find it: %v", err)
	}
}

func (x *rowTest) text() {
	x.keeps("Some Text", `"Some Text"`)
	x.refuses(1, true, map[string]any{}, []any{"a"})
}

func (x *rowTest) required() {
	x.keeps("Some Name", `"Some Name"`)
	x.refuses(nil, "", "  ", 1)
	_, err := x.t.Read([]byte(`{}`))
	wantError(x.T, err, TypeInvalidValue)
	r, _ := x.try("Some Name")
	_, err = x.t.Patch(r, []Operation{{Op: "remove", Path: x.row.name}})
	wantError(x.T, err, TypeMutability)
}

func (x *rowTest) object() {
	all := `{"familyName":"c","formatted":"a","givenName":"b","honorificPrefix":"e","honorificSuffix":"f","middleName":"d"}`
	x.keeps(json.RawMessage(all), all)
	x.refuses("Alice", 1, []any{map[string]any{"givenName": "a"}}, map[string]any{"givenName": 1})
	for _, sub := range []string{"formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix"} {
		r, _ := x.try(map[string]any{sub: "v"})
		if show(r["name"]) != `{"`+sub+`":"v"}` {
			x.Errorf("%s became %s", sub, show(r["name"]))
		}
		if f, err := ParseFilter(x.t, "name."+sub+` eq "V"`); err != nil || !f.Match(r) {
			x.Errorf("a filter does not find %s: %v", sub, err)
		}
	}
}

func (x *rowTest) zone() {
	for _, name := range []string{"Europe/Berlin", "America/Los_Angeles", "UTC", "Asia/Kolkata"} {
		x.keeps(name, `"`+name+`"`)
	}
	x.refuses("Europe/Atlantis", "Local", "../../etc/passwd", "/etc/localtime", "+02:00", 2)
	r, _ := x.try("UTC")
	_, err := x.t.Patch(r, []Operation{{Op: "replace", Path: "timezone", Value: []byte(`"Mars/Olympus"`)}})
	wantError(x.T, err, TypeInvalidValue)
}

func (x *rowTest) boolean() {
	x.keeps(true, "true")
	x.keeps(false, "false")
	x.keeps("True", "true")
	x.keeps("False", "false")
	x.refuses("yes", "", 1, []any{true})
}

// password: written, never shown, and not to be guessed through a filter.
func (x *rowTest) password() {
	r, err := x.try("t1meMa$heen")
	if err != nil || r["password"] != "t1meMa$heen" {
		x.Fatal(r, err)
	}
	for _, asked := range [][]string{nil, {"password"}, {"userName", "password"}} {
		p, err := ParseProjection(x.t, asked, nil)
		if err != nil || p.Apply(r)["password"] != nil {
			x.Errorf("attributes=%v shows the password", asked)
		}
	}
	for _, f := range []string{`password sw "t"`, `password pr`, `not (password eq "t1meMa$heen")`} {
		_, err := ParseFilter(x.t, f)
		wantError(x.T, err, TypeInvalidFilter)
	}
	_, err = ParseOrder(x.t, "password", false)
	wantError(x.T, err, TypeInvalidPath)
	changed, err := patch(r, x.t, `[{"op":"replace","path":"password","value":"another"}]`)
	if err != nil || !changed || r["password"] != "another" {
		x.Errorf("a PATCH does not set it: %v", err)
	}
	x.refuses(1, map[string]any{})
}

// array: value, display, primary and type, at most one of them primary.
func (x *rowTest) array() {
	both := `[{"display":"d","primary":true,"type":"work","value":"v"},{"primary":false,"value":"w"}]`
	x.keeps(json.RawMessage(both), both)
	x.keeps("v", `[{"value":"v"}]`)
	x.keeps(map[string]any{"value": "v"}, `[{"value":"v"}]`)
	x.refuses(json.RawMessage(`[{"value":"v","primary":true},{"value":"w","primary":true}]`),
		json.RawMessage(`[{"value":"v","primary":"True"},{"value":"w","primary":true}]`),
		1, []any{1}, []any{[]any{}}, []any{map[string]any{"value": 1}}, []any{map[string]any{"primary": "maybe"}})
	r, _ := x.try(json.RawMessage(both))
	changed, err := patch(r, x.t, `[{"op":"add","path":"`+x.name+`","value":{"value":"x","primary":true}}]`)
	want := `[{"display":"d","primary":false,"type":"work","value":"v"},{"primary":false,"value":"w"},{"primary":true,"value":"x"}]`
	if err != nil || !changed || show(r[x.name]) != want {
		x.Errorf("after another primary one: %s, %v", show(r[x.name]), err)
	}
	for _, sub := range []string{"value", "display", "primary", "type"} {
		if _, ok := x.t.Attribute(x.name + "." + sub); !ok {
			x.Errorf("no sub-attribute %s", sub)
		}
	}
}

func (x *rowTest) addresses() {
	all := `[{"country":"DE","formatted":"a","locality":"c","postalCode":"e","region":"d","streetAddress":"b","type":"work"}]`
	x.keeps(json.RawMessage(all), all)
	x.refuses("Street 1", 1, []any{"Street 1"}, []any{map[string]any{"country": 1}})
	for _, sub := range []string{"formatted", "streetAddress", "locality", "region", "postalCode", "country", "type"} {
		r, _ := x.try([]any{map[string]any{sub: "v"}})
		if f, err := ParseFilter(x.t, "addresses["+sub+` eq "V"]`); err != nil || !f.Match(r) {
			x.Errorf("a filter does not find %s: %v", sub, err)
		}
	}
}

func (x *rowTest) members() {
	all := `[{"display":"Alice","type":"User","value":"u1"},{"type":"Group","value":"g1"}]`
	x.keeps(json.RawMessage(all), all)
	x.keeps(json.RawMessage(`[{"value":"u1","type":"user","$ref":null}]`), `[{"type":"User","value":"u1"}]`)
	x.refuses(1, []any{1}, []any{map[string]any{"value": "u1", "type": "Robot"}})
	r, _ := x.try(json.RawMessage(all))
	list, err := Members(r)
	if err != nil || len(list) != 2 || list[0] != (Member{"u1", "User", "Alice"}) || list[1] != (Member{"g1", "Group", ""}) || r["members"] != nil {
		x.Errorf("got %v %v", list, err)
	}
	r, _ = x.try([]any{map[string]any{"display": "nobody"}})
	_, err = Members(r)
	wantError(x.T, err, TypeInvalidValue)
}
