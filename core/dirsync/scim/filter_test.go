package scim

import (
	"errors"
	"strings"
	"testing"
)

// bjensen is the user that the filters of RFC 7644 §3.4.2.2 ask for, with id and meta as the store adds them, and with an
// extension that no schema knows.
const bjensen = `{
 "userName":"bjensen@example.com","externalId":"Ext-1","name":{"familyName":"O'Malley","givenName":"Barbara"},"displayName":"Babs Jensen",
 "title":"Vice President","userType":"Employee","active":true,
 "emails":[{"type":"work","value":"bjensen@example.com","primary":true},{"type":"home","value":"babs@example.org"}],
 "ims":[{"type":"xmpp","value":"someone@foo.com"}],"photos":[{"value":"https://Example.com/A.jpg","type":"photo"}],
 "x509Certificates":[{"value":"MIIDabc="}],
 "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Tour Operations","employeeNumber":"701984","manager":{"value":"M-1"}},
 "urn:acme:scim:2.0:User":{"Badge":"A7","level":12,"ratio":1.5,"remote":true,"since":"2020-05-01T12:00:00+02:00","tags":["red","Blue"],
   "cars":[{"plate":"B-1","value":"bmw"},{"plate":"B-2","value":"vw"}],"desk":{"floor":3}}
}`

func jensen(t testing.TB) Resource {
	r := read(t, User, bjensen)
	r["id"] = "2819c223-7f76-453a-919d-413861904646"
	r["meta"] = map[string]any{
		"resourceType": "User", "created": "2010-01-23T04:56:22Z", "lastModified": "2011-05-13T04:42:34.123Z",
		"version": `W/"a330bc54f0671c9"`, "location": "https://example.com/v2/Users/2819c223",
	}
	r["groups"] = []any{map[string]any{"value": "g-1", "display": "Tour Guides", "type": "direct"}}
	return r
}

func TestFilter(t *testing.T) {
	const acme = "urn:acme:scim:2.0:User:"
	r := jensen(t)
	for filter, want := range map[string]bool{
		// RFC 7644 §3.4.2.2, figure 1
		`userName Eq "bjensen@example.com"`:                          true,
		`name.familyName co "O'Malley"`:                              true,
		`userName sw "J"`:                                            false,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "B"`: true,
		`title pr`: true,
		`meta.lastModified gt "2011-05-13T04:42:34Z"`:                                                       true,
		`meta.lastModified ge "2011-05-13T04:42:34Z"`:                                                       true,
		`meta.lastModified lt "2011-05-13T04:42:34Z"`:                                                       false,
		`meta.lastModified le "2011-05-13T04:42:34Z"`:                                                       false,
		`department eq "tour operations" and manager eq "M-1" and manager.value sw "M"`:                     true,
		`title pr and userType eq "Employee"`:                                                               true,
		`title pr or userType eq "Intern"`:                                                                  true,
		`schemas eq "` + EnterpriseURN + `"`:                                                                true,
		`schemas eq "urn:none"`:                                                                             false,
		`userType eq "Employee" and (emails co "example.com" or emails.value co "example.net")`:             true,
		`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`:         false,
		`userType eq "Employee" and (emails.type eq "work")`:                                                true,
		`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`:                     true,
		`emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]`: true,

		// and binds more than or; not more than both; brackets most
		`title eq "x" and title eq "y" or userName pr`:   true,
		`userName pr or title eq "x" and title eq "y"`:   true,
		`(userName pr or title eq "x") and title eq "y"`: false,
		`not (title eq "x") and userName pr`:             true,
		`NOT(title eq "x")AND(userName PR)`:              true,
		`not (not (title pr))`:                           true,
		`not (emails[type eq "work"] and title pr)`:      false,

		// case: by schema
		`userName eq "BJENSEN@EXAMPLE.COM"`:            true,
		`USERNAME EQ "bjensen@example.com"`:            true,
		`externalId eq "Ext-1"`:                        true,
		`externalId eq "ext-1"`:                        false,
		`externalId sw "ext"`:                          false,
		`externalId co "xt-"`:                          true,
		`id eq "2819C223-7F76-453A-919D-413861904646"`: false,
		`photos.value co "example.com"`:                false,
		`photos.value co "Example.com"`:                true,
		`title eq "VICE president"`:                    true,
		`title ew "PRESIDENT"`:                         true,
		`title co "e p"`:                               true,
		`title sw "vice x"`:                            false,
		`title gt "uzzz"`:                              true,
		`title gt "VICF"`:                              false,
		`title le "vice president"`:                    true,
		`title lt "vice president"`:                    false,
		`title ge "VICE PRESIDENT"`:                    true,
		`displayName eq "babs jensen"`:                 true,

		// null, absence and not equal
		`nickName eq null`:                           true,
		`nickName ne null`:                           false,
		`title eq null`:                              false,
		`title ne null`:                              true,
		`nickName pr`:                                false,
		`nickName ne "x"`:                            true,
		`nickName eq ""`:                             false,
		`nickName lt "x"`:                            false,
		`emails eq null`:                             false,
		`phoneNumbers eq null`:                       true,
		`phoneNumbers.type ne "work"`:                true,
		`phoneNumbers[type ne "work"]`:               false,
		`emails.type ne "work"`:                      true,
		`not (emails.type eq "work")`:                false,
		`emails[not (type eq "work")]`:               true,
		`emails[type eq "work" and primary ne true]`: false,

		// booleans
		`active eq true`:   true,
		`active eq "True"`: true,
		`active ne false`:  true,
		`active eq false`:  false,
		`emails[primary eq true].value co "bjensen"`:   true,
		`emails[primary eq "True" and type eq "home"]`: false,
		`emails.primary eq true`:                       true,

		// one value is enough, but all of a value path is about one
		`emails.value ew ".org"`:                                true,
		`emails.type eq "work" and emails.value ew ".org"`:      true,
		`emails[type eq "work" and value ew ".org"]`:            false,
		`emails[type eq "home" or value ew ".net"]`:             true,
		`emails[type eq "work"].value eq "BJENSEN@example.com"`: true,
		`emails[type eq "home"].value eq "BJENSEN@example.com"`: false,
		`emails[type pr]`: true,
		`emails pr`:       true,
		`ims pr and x509Certificates eq "MIIDabc="`:      true,
		`x509Certificates eq "miidabc="`:                 false,
		`groups.value eq "g-1"`:                          true,
		`groups eq "g-1"`:                                true,
		`groups[display sw "tour" and type eq "direct"]`: true,

		// times are instants
		`meta.lastModified eq "2011-05-13T06:42:34.123+02:00"`: true,
		`meta.created le "2010-01-23T04:56:22.000Z"`:           true,
		`meta.created gt "2010-01-23T04:56:22"`:                false,
		`meta.lastModified sw "2011-05"`:                       true,
		`meta.resourceType eq "User"`:                          true,

		// extensions
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "tour operations"`: true,
		`URN:IETF:params:scim:schemas:extension:enterprise:2.0:user:Manager.Value eq "M-1"`:          true,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "M-1"`:                true,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "m-1"`:                false,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr`:                              true,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division pr`:                     false,
		acme + `badge eq "a7"`:                          true,
		acme + `level gt 11.5`:                          true,
		acme + `level eq 12.0`:                          true,
		acme + `level lt 12`:                            false,
		acme + `level eq "12"`:                          false,
		acme + `level ne "12"`:                          true,
		acme + `ratio le 1.5e0`:                         true,
		acme + `remote eq true`:                         true,
		acme + `remote eq "true"`:                       true,
		acme + `remote ne "true"`:                       false,
		acme + `since eq "2020-05-01T10:00:00Z"`:        true,
		acme + `since lt "2020-05-01T10:30:00Z"`:        true,
		acme + `tags eq "blue"`:                         true,
		acme + `cars eq "VW"`:                           true,
		acme + `cars.plate eq "b-2"`:                    true,
		acme + `cars[plate eq "B-1" and value eq "vw"]`: false,
		acme + `cars[plate eq "B-2" and value eq "vw"]`: true,
		acme + `desk.floor ge 3`:                        true,
		acme + `desk pr`:                                true,
		acme + `none pr`:                                false,
		acme + `none eq null`:                           true,
		`urn:acme:scim:2.0:User pr`:                     true,
		`urn:other:scim:2.0:User pr`:                    false,
		`urn:other:scim:2.0:User:x eq "y"`:              false,
		`urn:acme:1.0:cars[plate eq "b-1"]`:             false,
		`urn:other:1.0:thing ne "y"`:                    true,

		// beyond ASCII
		`displayName ne "\u0042abs J\u00e9nsen"`:       true,
		"  userName\t eq\r\n\"bjensen@example.com\"  ": true,
	} {
		f, err := ParseFilter(User, filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if f.Match(r) != want {
			t.Errorf("%s: got %v", filter, !want)
		}
	}
}

func TestFilterFoldsAsIndexesDo(t *testing.T) {
	r := read(t, User, `{"userName":"ÄRGER@straße.example","title":"ΣΊΣΥΦΟΣ"}`)
	for filter, want := range map[string]bool{
		`userName eq "ärger@STRAßE.example"`: true, `userName sw "är"`: true, `userName co "RAß"`: true, `userName ew "E.EXAMPLE"`: true,
		`userName eq "arger@straße.example"`: false, `title eq "σίσυφος"`: true, `title gt "Ρ"`: true,
	} {
		f, err := ParseFilter(User, filter)
		if err != nil || f.Match(r) != want {
			t.Errorf("%s: not %v: %v", filter, want, err)
		}
	}
}

func TestGroupFilter(t *testing.T) {
	r := read(t, Group, `{"displayName":"Engineers","externalId":"e1","members":[{"value":"u1","type":"User"},{"value":"g1","type":"Group"}]}`)
	for filter, want := range map[string]bool{
		`displayName eq "engineers"`: true, `members.value eq "u1"`: true, `members[value eq "u1" and type eq "Group"]`: false,
		`members eq "g1"`: true, `externalId eq "E1"`: false, `members[type eq "group"]`: true,
	} {
		f, err := ParseFilter(Group, filter)
		if err != nil || f.Match(r) != want {
			t.Errorf("%s: not %v: %v", filter, want, err)
		}
	}
	_, err := ParseFilter(Group, `userName eq "x"`)
	wantError(t, err, TypeInvalidFilter)
}

func badFilters() []string {
	return []string{
		``, ` `, `userName`, `userName eq`, `eq "a"`, `userName = "a"`, `userName eq a`, `userName eq 'a'`, `userName eq "a`, `userName eq "a" and`,
		`and userName pr`, `userName pr and or title pr`, `userName pr title pr`, `userName pr)`, `(userName pr`, `()`, `not userName pr`, `not ()`,
		`userName regex "a"`, `userName eqq "a"`, `userName eq "a" "b"`, `userName eq "\x"`, `userName eq "\ud800"`, `userName eq "\u0000"`,
		"userName eq \"\xff\"", "userName eq \"a\x00\"", "\x00", `userName eq [1]`, `userName eq {"a":1}`, `userName pr "a"`, `userName eq nul`,
		`shoeSize eq 43`, `name.shoe eq "x"`, `emails.shoe pr`, `emails[shoe eq "x"]`, `userName.value eq "x"`, `name.givenName.x eq "y"`, `.userName pr`,
		`userName. pr`, `1name pr`, `urn: pr`, `urn:ietf:params:scim:schemas:core:2.0:User pr`, `urn:ietf:params:scim:schemas:core:2.0:User:shoe pr`,
		`urn:ietf:params:scim:schemas:core:2.0:Group:displayName pr`, `urn:ietf:params:scim:schemas:core:2.0:Group pr`, EnterpriseURN + `:shoe pr`,
		`urn:ietf:params:scim:api:messages:2.0:PatchOp:x pr`, EnterpriseURN + ` eq "x"`,
		`name eq "x"`, `name co "x"`, `addresses eq "x"`, `meta gt "2020-01-01T00:00:00Z"`, `userName eq 5`, `userName eq true`, `userName gt null`,
		`userName co null`, `active eq 1`, `active eq "maybe"`, `active gt true`, `active gt "true"`, `active co "tr"`, `active sw true`,
		`meta.created gt "yesterday"`, `meta.created eq 2020`, `meta.created gt "2020-01-01"`, `x509Certificates gt "a"`,
		`emails[]`, `emails[type eq "work"`, `emails[type eq "work"]]`, `emails[emails[type eq "x"]]`, `emails.value[type eq "x"]`, `userName[value eq "x"]`,
		`emails[type eq "work"].`, `emails[type eq "work"].value`, `emails[type eq "work"].shoe eq "x"`, `emails[type eq "work"] eq "x"`, `schemas[value eq "x"]`,
		`password eq "x"`, `emails[type eq "work"] and`, `urn:acme:1.0:x[a eq 1`, `urn:acme:2.0:User:x gt null`, `urn:acme:2.0:User:x co 5`,
		`urn:acme:2.0:User:x.y.z eq 5`, `userName eq "a";drop table`, `userName eq "a" /* x */`, `userName eq 1e999`,
		strings.Repeat("(", 100_000), strings.Repeat("(", 40) + "userName pr" + strings.Repeat(")", 40), strings.Repeat("not (", 40) + "userName pr" + strings.Repeat(")", 40),
		`userName eq "` + strings.Repeat("a", MaxFilter) + `"`, strings.Repeat("active pr or ", 300) + "active pr",
		`emails[` + strings.Repeat(`(`, 30) + `type pr` + strings.Repeat(`)`, 30) + `]`,
	}
}

func TestBadFilter(t *testing.T) {
	for _, filter := range badFilters() {
		f, err := ParseFilter(User, filter)
		var e *Error
		if f != nil || !errors.As(err, &e) || e.Status != 400 || e.Type != TypeInvalidFilter || e.Detail == "" {
			t.Errorf("%.200s: %v %v", filter, f, err)
		}
	}
}

func TestFilterLimitsAreReachable(t *testing.T) {
	for _, filter := range []string{
		strings.TrimSuffix(strings.Repeat("title pr or ", MaxTerms), " or "),
		strings.Repeat("(", MaxNesting) + "title pr" + strings.Repeat(")", MaxNesting),
	} {
		if _, err := ParseFilter(User, filter); err != nil {
			t.Errorf("%.100s: %v", filter, err)
		}
	}
}

// TestPlan: what a planner learns of a filter.
func TestPlan(t *testing.T) {
	type plan struct {
		anyOf, prefix, from, to string
		single                  bool
	}
	for _, c := range []struct {
		path, filter string
		want         plan
	}{
		{"userName", `userName eq "A"`, plan{anyOf: "A", from: "A", to: "A", single: true}},
		{"userName", `urn:ietf:params:scim:schemas:core:2.0:User:USERNAME eq "A"`, plan{anyOf: "A", from: "A", to: "A", single: true}},
		{"userName", `title pr and (userName eq "A" and active eq true)`, plan{anyOf: "A", from: "A", to: "A"}},
		{"userName", `userName eq "A" or title pr`, plan{}},
		{"userName", `userName eq "A" or userName eq "B"`, plan{anyOf: "A,B"}},
		{"userName", `(userName eq "A" or userName eq "B") and userName eq "B"`, plan{anyOf: "B", from: "B", to: "B"}},
		{"userName", `not (userName eq "A")`, plan{}},
		{"userName", `userName ne "A"`, plan{single: true}},
		{"userName", `userName eq null`, plan{single: true}},
		{"userName", `userName sw "A"`, plan{prefix: "A", single: true}},
		{"userName", `userName sw "A" or userName sw "B"`, plan{}},
		{"userName", `userName sw "A" and userName sw "AB" and title sw "T"`, plan{prefix: "AB"}},
		{"userName", `nickName eq "A"`, plan{single: true}},
		{"emails.value", `emails.value eq "A"`, plan{anyOf: "A", from: "A", to: "A", single: true}},
		{"emails.value", `emails eq "A"`, plan{anyOf: "A", from: "A", to: "A", single: true}},
		{"emails.value", `emails[value eq "A"]`, plan{anyOf: "A", from: "A", to: "A", single: true}},
		{"emails.value", `emails[type eq "work" and value eq "A"]`, plan{anyOf: "A", from: "A", to: "A"}},
		{"emails.value", `emails[type eq "work"].value eq "A"`, plan{anyOf: "A", from: "A", to: "A"}},
		{"emails.value", `emails[type eq "work" or value eq "A"]`, plan{}},
		{"emails.value", `emails[not (value eq "A")]`, plan{}},
		{"emails.value", `ims[value eq "A"]`, plan{single: true}},
		{"meta.lastModified", `meta.lastModified gt "2020-01-01T00:00:00Z"`, plan{from: "2020-01-01T00:00:00Z", single: true}},
		{"meta.lastModified", `meta.lastModified ge "2020-01-01T00:00:00Z" and meta.lastModified lt "2021-01-01T00:00:00Z"`,
			plan{from: "2020-01-01T00:00:00Z", to: "2021-01-01T00:00:00Z"}},
	} {
		f, err := ParseFilter(User, c.filter)
		if err != nil {
			t.Fatal(c.filter, err)
		}
		var got plan
		list, _ := f.AnyOf(c.path)
		got.anyOf = strings.Join(list, ",")
		got.prefix, _ = f.Prefix(c.path)
		got.from, got.to, _ = f.Bounds(c.path)
		got.single = f.Single()
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.filter, got, c.want)
		}
		one, ok := f.Equal(c.path)
		if want := c.want.anyOf; ok != (want != "" && !strings.Contains(want, ",")) || ok && one != want {
			t.Errorf("%s: Equal says %q %v", c.filter, one, ok)
		}
	}
}
