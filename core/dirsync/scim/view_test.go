package scim

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestProjection(t *testing.T) {
	const acme = "urn:acme:2.0:User"
	r := read(t, User, `{"userName":"a","password":"secret","title":"t","name":{"givenName":"g","familyName":"f"},
		"emails":[{"value":"v","type":"work"},{"value":"w"}],`+enterpriseText+`:{"department":"d","manager":{"value":"m","$ref":"r"}},"`+acme+`":{"Badge":7,"desk":{"floor":3}}}`)
	r["id"] = "1"
	r["meta"] = map[string]any{"version": "v1", "resourceType": "User"}
	before := show(r)
	for _, c := range []struct{ attributes, excluded, want string }{
		{``, ``, `emails id meta name schemas title ` + acme + ` ` + EnterpriseURN + ` userName`},
		{`userName`, ``, `id schemas userName`},
		{`USERNAME, title`, ``, `id schemas title userName`},
		{`password`, ``, `id schemas`},
		{`shoeSize`, ``, `id schemas`},
		{`shoeSize,userName.x`, ``, `id schemas`},
		{` `, ``, `emails id meta name schemas title ` + acme + ` ` + EnterpriseURN + ` userName`},
		{`urn:ietf:params:scim:schemas:core:2.0:User:title`, ``, `id schemas title`},
		{`urn:ietf:params:scim:schemas:core:2.0:User`, ``, `emails id meta name schemas title userName`},
		{`name.givenName`, ``, `id name={"givenName":"g"} schemas`},
		{`name.givenName,name.familyName`, ``, `id name={"familyName":"f","givenName":"g"} schemas`},
		{`name.givenName,name`, ``, `id name={"familyName":"f","givenName":"g"} schemas`},
		{`emails.value`, ``, `emails=[{"value":"v"},{"value":"w"}] id schemas`},
		{`emails.value,emails.type`, ``, `emails=[{"type":"work","value":"v"},{"value":"w"}] id schemas`},
		{`name.middleName`, ``, `id schemas`},
		{`emails[type eq "work"]`, ``, `emails=[{"type":"work","value":"v"},{"value":"w"}] id schemas`},
		{`emails[type eq "work"].value`, ``, `emails=[{"value":"v"},{"value":"w"}] id schemas`},
		{`department,manager.value`, ``, `id schemas ` + EnterpriseURN + `={"department":"d","manager":{"value":"m"}}`},
		{``, `name,emails,title,meta,` + acme + `,manager`, `id schemas userName ` + EnterpriseURN + `={"department":"d"}`},
		{EnterpriseURN, ``, `id schemas ` + EnterpriseURN + `={"department":"d","manager":{"$ref":"r","value":"m"}}`},
		{EnterpriseURN + `:department`, ``, `id schemas ` + EnterpriseURN + `={"department":"d"}`},
		{EnterpriseURN + `:manager.value,` + EnterpriseURN + `:department`, ``, `id schemas ` + EnterpriseURN + `={"department":"d","manager":{"value":"m"}}`},
		{EnterpriseURN + `:division`, ``, `id schemas`},
		{acme + `:badge`, ``, `id schemas ` + acme + `={"Badge":7}`},
		{acme + `:desk.floor`, ``, `id schemas ` + acme + `={"desk":{"floor":3}}`},
		{``, `title,emails,meta`, `id name schemas ` + acme + ` ` + EnterpriseURN + ` userName`},
		{``, `id,schemas,title,emails,meta,name,` + acme + `,` + EnterpriseURN, `id schemas userName`},
		{``, `name.givenName,emails.type,title,meta,` + acme + `,` + EnterpriseURN + `:manager`,
			`emails=[{"value":"v"},{"value":"w"}] id name={"familyName":"f"} schemas ` + EnterpriseURN + `={"department":"d"} userName`},
		{``, `title.x,shoe,userName,emails,name,meta,` + EnterpriseURN + `:manager.$ref,urn:ACME:2.0:user:BADGE`,
			`id schemas title ` + acme + `={"desk":{"floor":3}} ` + EnterpriseURN + `={"department":"d","manager":{"value":"m"}}`},
		{`urn:other:1.0:n`, ``, `id schemas`},
		{``, `urn:other:1.0:n,userName,emails,name,meta,` + EnterpriseURN, `id schemas title ` + acme},
		{`name,title`, `name.familyName,title`, `id name={"givenName":"g"} schemas`},
	} {
		split := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, ",")
		}
		p, err := ParseProjection(User, split(c.attributes), split(c.excluded))
		if err != nil {
			t.Fatal(err)
		}
		got := p.Apply(r)
		if got["password"] != nil {
			t.Errorf("%s: the password is shown", c.attributes)
		}
		for want := range strings.FieldsSeq(c.want) {
			name, value, exact := strings.Cut(want, "=")
			if got[name] == nil || exact && show(got[name]) != value {
				t.Errorf("attributes %q without %q: %s is %s, want %s", c.attributes, c.excluded, name, show(got[name]), value)
			}
		}
		if len(got) != len(strings.Fields(c.want)) {
			t.Errorf("attributes %q without %q: got %s, want %s", c.attributes, c.excluded, show(got), c.want)
		}
		if show(r) != before {
			t.Fatalf("attributes %q without %q changed the resource", c.attributes, c.excluded)
		}
	}
	_, err := ParseProjection(User, make([]string, MaxProjection+1), nil)
	wantError(t, err, TypeInvalidValue)
}

func TestProjectionWants(t *testing.T) {
	for _, c := range []struct {
		attributes, excluded []string
		want                 bool
	}{
		{nil, nil, true}, {[]string{"members"}, nil, true}, {[]string{"MEMBERS.value"}, nil, true}, {[]string{"displayName"}, nil, false}, {[]string{"shoe"}, nil, false},
		{[]string{GroupURN}, nil, true}, {[]string{GroupURN + ":members"}, nil, true}, {nil, []string{"members"}, false}, {nil, []string{"members.display"}, true},
		{nil, []string{"displayName"}, true}, {[]string{"members"}, []string{"members"}, false}, {[]string{""}, nil, true},
	} {
		p, err := ParseProjection(Group, c.attributes, c.excluded)
		if err != nil || p.Wants("members") != c.want {
			t.Errorf("%v without %v: not %v, %v", c.attributes, c.excluded, c.want, err)
		}
	}
	if !(Projection{}).Wants("members") {
		t.Error("the zero value hides members")
	}
}

func TestOrder(t *testing.T) {
	var list []Resource
	for _, body := range []string{
		`{"userName":"b","title":"Z","active":true,"emails":[{"value":"z"},{"value":"a","primary":true}],"name":{"familyName":"x"},"urn:x:1.0:n":10}`,
		`{"userName":"A","title":"a","active":false,"emails":[{"value":"B"},{"value":"a"}],"urn:x:1.0:n":-2.5}`,
		`{"userName":"c","externalId":"B","name":{"familyName":"Y"},"urn:x:1.0:n":9,"urn:x:1.0:cars":[{"value":"q"}]}`,
		`{"userName":"d","externalId":"a","title":"é","urn:x:1.0:n":-30}`,
	} {
		r := read(t, User, body)
		r["meta"] = map[string]any{"lastModified": []string{"2020-01-01T00:00:00Z", "2020-01-01T01:00:00+02:00", "2019-12-31T22:59:59.5Z", "2020-01-01T00:00:00.000001Z"}[len(list)]}
		list = append(list, r)
	}
	for _, c := range []struct{ by, up, down string }{
		{"userName", "Abcd", "dcbA"},
		{"USERNAME", "Abcd", "dcbA"},
		{"title", "Abdc", "cdbA"}, // nothing comes last, and first when descending
		{"externalId", "cdbA", "bAdc"},
		{"active", "Abcd", "cdbA"},
		{"emails", "bAcd", "cdAb"},
		{"emails.value", "bAcd", "cdAb"},
		{"name.familyName", "bcAd", "Adcb"},
		{"meta.lastModified", "cAbd", "dbAc"},
		{"urn:x:1.0:n", "dAcb", "bcAd"},
		{"urn:x:1.0:cars", "cbAd", "bAdc"},
		{EnterpriseURN + ":manager", "bAcd", "bAcd"},
	} {
		for _, descending := range []bool{false, true} {
			order, err := ParseOrder(User, c.by, descending)
			if err != nil {
				t.Fatal(c.by, err)
			}
			sorted := slices.Clone(list)
			slices.SortStableFunc(sorted, func(a, b Resource) int { return order.Compare(order.Key(a), order.Key(b)) })
			got := ""
			for _, r := range sorted {
				got += r["userName"].(string)
			}
			if want := map[bool]string{false: c.up, true: c.down}[descending]; got != want {
				t.Errorf("by %s, descending %v: %s, want %s", c.by, descending, got, want)
			}
		}
	}
	for _, by := range []string{"", "shoe", "name", "addresses", "password", "meta", "userName.x", EnterpriseURN, "emails[type eq \"work\"]"} {
		_, err := ParseOrder(User, by, false)
		wantError(t, err, TypeInvalidPath)
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{}`, `{}`, true}, {`{"a":"x"}`, `{"a":"X"}`, false}, {`{"a":"x"}`, `{"b":"x"}`, false}, {`{"a":"x"}`, `{"a":"x","b":"y"}`, false},
		{`{"a":[1,2,2]}`, `{"a":[2,1,2]}`, true}, {`{"a":[1,2,2]}`, `{"a":[1,1,2]}`, false}, {`{"a":[1,2]}`, `{"a":[1]}`, false},
		{`{"a":[{"x":1,"y":["p","q"]},{"x":2}]}`, `{"a":[{"x":2.0},{"y":["q","p"],"x":1e0}]}`, true},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, false}, {`{"a":1e2}`, `{"a":100}`, true}, {`{"a":[1,1e6]}`, `{"a":[1000000,1]}`, true},
		{`{"a":1}`, `{"a":"1"}`, false}, {`{"a":true}`, `{"a":"true"}`, false}, {`{"a":{"b":1}}`, `{"a":[{"b":1}]}`, false}, {`{"a":["x"]}`, `{"a":"x"}`, false},
		{`{"a":[0,"b"]}`, `{"a":["b",-0.0]}`, true}, {`{"a":[true,false]}`, `{"a":[false,true]}`, true}, {`{"a":["a,b"]}`, `{"a":["a","b"]}`, false},
	} {
		a, b := value(t, c.a), value(t, c.b)
		x, _ := a.(map[string]any)
		y, _ := b.(map[string]any)
		if Equal(x, y) != c.want || Equal(y, x) != c.want || !Equal(x, Clone(x)) {
			t.Errorf("%s and %s: not %v", c.a, c.b, c.want)
		}
	}
	if Clone(nil) != nil {
		t.Error("a clone of nothing is something")
	}
}

// TestDiscovery: what RFC 7643 §5 to §8 asks of the three endpoints.
func TestDiscovery(t *testing.T) {
	const base = "https://portico.example/scim/acme/v2"
	schemas := map[any]Resource{}
	for _, s := range Schemas(base) {
		schemas[s["id"]] = s
		if s["meta"].(map[string]any)["location"] != base+"/Schemas/"+s["id"].(string) || show(s["schemas"]) != `["`+SchemaURN+`"]` {
			t.Errorf("%s", show(s))
		}
	}
	attribute := func(list any, name string) map[string]any {
		for _, a := range list.([]any) {
			if a := a.(map[string]any); a["name"] == name {
				return a
			}
		}
		t.Fatalf("no attribute %s", name)
		return nil
	}
	user := schemas[UserURN]["attributes"]
	for _, c := range []struct{ name, want string }{
		{"userName", `{"caseExact":false,"multiValued":false,"mutability":"readWrite","required":true,"returned":"default","type":"string","uniqueness":"server"}`},
		{"password", `{"caseExact":true,"multiValued":false,"mutability":"writeOnly","required":false,"returned":"never","type":"string","uniqueness":"none"}`},
		{"active", `{"caseExact":false,"multiValued":false,"mutability":"readWrite","required":false,"returned":"default","type":"boolean","uniqueness":"none"}`},
		{"profileUrl", `{"caseExact":true,"multiValued":false,"mutability":"readWrite","referenceTypes":["external"],"required":false,"returned":"default","type":"reference","uniqueness":"none"}`},
	} {
		a := without(attribute(user, c.name), "description")
		delete(a, "name")
		if show(a) != c.want {
			t.Errorf("%s: %s", c.name, show(a))
		}
	}
	if a := attribute(attribute(user, "emails")["subAttributes"], "type"); show(a["canonicalValues"]) != `["work","home","other"]` {
		t.Error(show(a))
	}
	if a := attribute(schemas[GroupURN]["attributes"], "displayName"); a["uniqueness"] != "server" || a["required"] != true {
		t.Error(show(a))
	}
	if a := attribute(user, "groups"); a["mutability"] != "readOnly" || len(a["subAttributes"].([]any)) != 4 {
		t.Error(show(a))
	}
	if a := attribute(attribute(schemas[GroupURN]["attributes"], "members")["subAttributes"], "value"); a["mutability"] != "immutable" {
		t.Error(show(a))
	}
	if a := attribute(attribute(schemas[EnterpriseURN]["attributes"], "manager")["subAttributes"], "displayName"); a["mutability"] != "readOnly" {
		t.Error(show(a))
	}
	// Every description is there, and every row of the tables but the common ones.
	for _, s := range []*Schema{UserSchema, EnterpriseSchema, GroupSchema} {
		for _, a := range s.Attributes {
			if a.Description == "" {
				t.Errorf("%s has no description", a.Name)
			}
		}
	}
	for _, row := range rows {
		urn, name := map[string]string{"User": UserURN, "Group": GroupURN}[row.table], row.name
		if name == "id" || name == "externalId" {
			continue
		}
		if name == "timeZone" {
			name = "timezone"
		}
		attribute(schemas[urn]["attributes"], name)
	}

	types := ResourceTypes(base)
	if len(types) != 2 || types[0]["endpoint"] != "/Users" || types[1]["schema"] != GroupURN || types[1]["schemaExtensions"] != nil ||
		show(types[0]["schemaExtensions"]) != `[{"required":false,"schema":"`+EnterpriseURN+`"}]` {
		t.Error(show(types))
	}

	config := Provider{
		Documentation: "https://docs.example", BulkOperations: 1000, BulkBytes: 1 << 20, MaxResults: 200, Sort: true, ETag: true, ChangePassword: true,
		Authentication: []AuthenticationScheme{{Type: "oauthbearertoken", Name: "Bearer", Description: "A secret.", SpecURI: "https://www.rfc-editor.org/rfc/rfc6750", Primary: true}},
		Pages:          Pages{Cursor: true, Index: true, Method: "index", Default: 100, Max: 1000, CursorForSeconds: 3600},
	}.Config(base)
	b, _ := json.Marshal(config)
	for _, want := range []string{
		`"authenticationSchemes":[{"description":"A secret.","name":"Bearer","primary":true,"specUri":"https://www.rfc-editor.org/rfc/rfc6750","type":"oauthbearertoken"}]`,
		`"bulk":{"maxOperations":1000,"maxPayloadSize":1048576,"supported":true}`, `"filter":{"maxResults":200,"supported":true}`, `"patch":{"supported":true}`,
		`"sort":{"supported":true}`, `"etag":{"supported":true}`, `"changePassword":{"supported":true}`, `"documentationUri":"https://docs.example"`,
		`"pagination":{"cursor":true,"cursorTimeout":3600,"defaultPageSize":100,"defaultPaginationMethod":"index","index":true,"maxPageSize":1000}`,
		`"schemas":["` + ProviderURN + `"]`, `"location":"` + base + `/ServiceProviderConfig"`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s\nlacks %s", b, want)
		}
	}
	if bare := (Provider{}).Config(base); show(bare["bulk"]) != `{"maxOperations":0,"maxPayloadSize":0,"supported":false}` || show(bare["authenticationSchemes"]) != `[]` {
		t.Error(show(bare))
	}
}
