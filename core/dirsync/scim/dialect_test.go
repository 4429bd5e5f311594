package scim

import "testing"

// exchange is what a provider sends about one user or group: how it makes one, and what it asks of it then. Groups are
// patched as the store does it: the members apart.
type exchange struct {
	t       *ResourceType
	create  string
	filter  string // by which the provider looks for what it made
	patches []step
}

// step is one PATCH: its operations, what they change among the members, and what is there afterwards, each as path and
// value; "" is nothing.
type step struct {
	operations string
	members    string
	after      map[string]string
}

func (x exchange) run(t *testing.T) {
	t.Helper()
	r := read(t, x.t, x.create)
	if x.t == Group {
		if _, err := Members(r); err != nil {
			t.Fatal(err)
		}
	}
	f, err := ParseFilter(x.t, x.filter)
	if err != nil || !f.Match(r) {
		t.Errorf("%s does not find %s: %v", x.filter, show(r), err)
	}
	for _, s := range x.patches {
		s.run(t, x.t, r)
	}
}

func (s step) run(t *testing.T, kind *ResourceType, r Resource) {
	t.Helper()
	ops, err := ReadPatch([]byte(`{"schemas":["` + PatchURN + `"],"Operations":` + s.operations + `}`))
	if err != nil {
		t.Fatalf("%s: %v", s.operations, err)
	}
	got := ""
	if kind == Group {
		var members []MemberChange
		if ops, members, err = SplitMembers(ops); err != nil {
			t.Fatalf("%s: %v", s.operations, err)
		}
		for _, m := range members {
			got += showChange(m)
		}
	}
	if got != s.members {
		t.Errorf("%s: members %q, want %q", s.operations, got, s.members)
	}
	changed, err := kind.Patch(r, ops)
	if err != nil || changed == (len(s.after) == 0) {
		t.Fatalf("%s: changed %v, %v", s.operations, changed, err)
	}
	for path, want := range s.after {
		text := ""
		o, err := ParseOrder(kind, path, false)
		if err != nil {
			t.Fatal(err)
		}
		if v := o.Key(r); v != "~" {
			text = v[1:]
		}
		if text != want {
			t.Errorf("%s: %s is %q, want %q", s.operations, path, text, want)
		}
	}
	if changed, err := kind.Patch(r, ops); err != nil || changed {
		t.Errorf("%s: sent again, it changes something: %v", s.operations, err)
	}
}

// What Entra ID's documentation shows, in its old form and with aadOptscim062020.
func TestDialectEntra(t *testing.T) {
	const ent = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","` + ent + `"],"externalId":"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
			"userName":"Test_User_ab6490ee","active":"True","emails":[{"primary":true,"type":"work","value":"Test_User@testuser.com"}],
			"meta":{"resourceType":"User"},"name":{"formatted":"givenName familyName","familyName":"familyName","givenName":"givenName"},"roles":[]}`,
		filter: `userName eq "test_user_AB6490EE"`,
		patches: []step{
			{operations: `[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"updated@microsoft.com"},{"op":"Replace","path":"name.familyName","value":"updated"}]`,
				after: map[string]string{"emails": "updated@microsoft.com", "name.familyName": "updated"}},
			{operations: `[{"op":"Replace","path":"userName","value":"5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com"}]`,
				after: map[string]string{"userName": "5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com"}},
			{operations: `[{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"1"},{"op":"Add","path":"addresses[type eq \"work\"].country","value":"DE"}]`,
				after: map[string]string{"phoneNumbers.value": "1", "addresses.country": "de"}},
			{operations: `[{"op":"Add","path":"` + ent + `:manager","value":"26118915"},{"op":"Add","path":"` + ent + `:department","value":"Sales"}]`,
				after: map[string]string{ent + ":manager": "26118915", ent + ":department": "sales"}},
			{operations: `[{"op":"Add","path":"roles[primary eq \"True\"].value","value":"admin"},{"op":"Add","path":"roles[primary eq \"True\"].display","value":"Admin"}]`,
				after: map[string]string{"roles": "admin", "roles.display": "admin"}},
			{operations: `[{"op":"replace","value":{"displayName":"Bjfe","name.givenName":"Kkom","name.familyName":"Unua","` + ent + `:employeeNumber":"Aklq"}}]`,
				after: map[string]string{"displayName": "bjfe", "name.givenName": "kkom", "name.familyName": "unua", ent + ":employeeNumber": "aklq"}},
			{operations: `[{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:Contoso:2.0:User:badge","value":"7"}]`,
				after: map[string]string{"urn:ietf:params:scim:schemas:extension:Contoso:2.0:User:badge": "7"}},
			{operations: `[{"op":"Remove","path":"` + ent + `:manager"},{"op":"Remove","path":"phoneNumbers[type eq \"mobile\"].value"}]`,
				after: map[string]string{ent + ":manager": "", "phoneNumbers.value": ""}},
			{operations: `[{"op":"Replace","path":"active","value":"False"}]`, after: map[string]string{"active": "0"}},
			{operations: `[{"op":"Replace","path":"active","value":false}]`},
			{operations: `[{"op":"replace","path":"active","value":true}]`, after: map[string]string{"active": "1"}},
		}}.run)
	t.Run("groups", exchange{
		t: Group,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
			"externalId":"8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159","displayName":"displayName","meta":{"resourceType":"Group"}}`,
		filter: `displayName eq "displayname"`,
		patches: []step{
			{operations: `[{"op":"Replace","path":"displayName","value":"1879db59"}]`, after: map[string]string{"displayName": "1879db59"}},
			{operations: `[{"op":"Add","path":"members","value":[{"$ref":null,"value":"f648f8d5ea4e4cd38e9c"}]}]`, members: "+ f648f8d5ea4e4cd38e9c//"},
			{operations: `[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"f648f8d5ea4e4cd38e9c"}]}]`, members: "- f648f8d5ea4e4cd38e9c//"},
			{operations: `[{"op":"remove","path":"members[value eq \"7f4bc1a3-285e-48ae-8202-5accb43efb0e\"]"}]`, members: "- 7f4bc1a3-285e-48ae-8202-5accb43efb0e//"},
		}}.run)
}

// Entra ID without aadOptscim062020, as "Known issues and resolutions with SCIM 2.0 protocol compliance" and the tutorial show
// it: a list where there is one value, and the manager without a URN, of whom it asks before.
func TestDialectEntraOldForm(t *testing.T) {
	exchange{
		t: User,
		create: `{"schemas":["` + UserURN + `","` + EnterpriseURN + `"],"userName":"babs","externalId":"jyoung","active":true,
			"` + EnterpriseURN + `":{"manager":{"value":"2819c223"}}}`,
		filter: `externalId eq "jyoung" and manager eq "2819c223"`,
		patches: []step{
			{operations: `[{"op":"Add","path":"nickName","value":[{"value":"Babs"}]}]`, after: map[string]string{"nickName": "babs"}},
			{operations: `[{"op":"Replace","path":"active","value":[{"value":"False"}]}]`, after: map[string]string{"active": "0"}},
			{operations: `[{"op":"Add","path":"manager","value":[{"$ref":"http://example.com/scim/Users/54d382a4","value":"54d382a4"}]}]`,
				after: map[string]string{EnterpriseURN + ":manager": "54d382a4", "manager.$ref": "http://example.com/scim/Users/54d382a4"}},
			{operations: `[{"op":"Replace","path":"emails[type eq \"work\"].value","value":[{"value":"b@example.com"}]}]`, after: map[string]string{"emails": "b@example.com"}},
			{operations: `[{"op":"Remove","path":"manager"}]`, after: map[string]string{EnterpriseURN + ":manager": ""}},
		}}.run(t)
	for _, several := range []string{`["Babs"]`, `[{"value":"Babs"},{"value":"B"}]`, `[{"value":"Babs","type":"work"}]`, `[{"display":"Babs"}]`, `[]`, `{"value":"Babs"}`} {
		_, err := patch(read(t, User, `{"userName":"a"}`), User, `[{"op":"Add","path":"nickName","value":`+several+`}]`)
		wantError(t, err, TypeInvalidValue)
	}
}

// Okta: PATCH of active alone, and a group's name sent with its id; the rest goes by PUT.
func TestDialectOkta(t *testing.T) {
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"test.user@okta.local","name":{"givenName":"Test","familyName":"User"},
			"emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}],"displayName":"Test User","locale":"en-US",
			"externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}`,
		filter: `userName eq "test.user@okta.local"`,
		patches: []step{
			{operations: `[{"op":"replace","value":{"active":false}}]`, after: map[string]string{"active": "0"}},
			{operations: `[{"op":"replace","value":{"active":true}}]`, after: map[string]string{"active": "1"}},
			{operations: `[{"op":"replace","value":{"password":"7ElliptiC"}}]`, after: map[string]string{"active": "1"}},
		}}.run)
	put := read(t, User, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"23a35c27-23d3-4c03-b4c5-6443c09e7173","userName":"new.name@okta.local",
		"name":{"givenName":"Another","middleName":"","familyName":"User"},"emails":[{"primary":true,"value":"test.user@okta.local","type":"work","display":"test.user@okta.local"}],
		"active":true,"groups":[],"meta":{"resourceType":"User"}}`)
	if put["id"] != nil || put["meta"] != nil || put["userName"] != "new.name@okta.local" {
		t.Errorf("a PUT became %s", show(put))
	}
	t.Run("groups", exchange{
		t:      Group,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[{"value":"b1c794f24f4c","display":"test.user@okta.local"}]}`,
		filter: `displayName eq "Test SCIMv2"`,
		patches: []step{
			{operations: `[{"op":"replace","value":{"id":"abf4dd94-a4c0-4f67-89c9-76b03340cb9b","displayName":"Test SCIMv0"}}]`, after: map[string]string{"displayName": "test scimv0"}},
			{operations: `[{"op":"add","path":"members","value":[{"value":"c1","display":"c1@okta.local"}]}]`, members: "+ c1//c1@okta.local"},
			{operations: `[{"op":"remove","path":"members[value eq \"c1\"]"}]`, members: "- c1//"},
			{operations: `[{"op":"replace","path":"members","value":[{"value":"c1","display":"c1@okta.local"},{"value":"c2"}]}]`, members: "= c1//c1@okta.local c2//"},
			{operations: `[{"op":"replace","value":{"id":"abf4dd94-a4c0-4f67-89c9-76b03340cb9b","members":[{"value":"c1"}]}}]`, members: "= c1//"},
		}}.run)
}

// OneLogin: every attribute in a value-less replace, and members as a list.
func TestDialectOneLogin(t *testing.T) {
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"jane@example.com",
			"name":{"givenName":"Jane","familyName":"Doe"},"emails":[{"value":"jane@example.com","type":"work","primary":true}],"active":true,"externalId":"102938",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"IT"}}`,
		filter: `userName eq "jane@example.com"`,
		patches: []step{
			{operations: `[{"op":"replace","value":{"active":false}}]`, after: map[string]string{"active": "0"}},
			{operations: `[{"op":"replace","value":{"name":{"givenName":"Janet"},"active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"HR"}}}]`,
				after: map[string]string{"name.givenName": "janet", "name.familyName": "doe", EnterpriseURN + ":department": "hr"}},
		}}.run)
	t.Run("groups", exchange{
		t: Group, create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Admins"}`, filter: `displayName eq "Admins"`,
		patches: []step{
			{operations: `[{"op":"replace","path":"members","value":[{"value":"u1"},{"value":"u2"}]}]`, members: "= u1// u2//"},
			{operations: `[{"op":"add","value":{"members":[{"value":"u3"}]}}]`, members: "+ u3//"},
		}}.run)
}

// JumpCloud: PUT for users, the members of groups in the form of Entra ID.
func TestDialectJumpCloud(t *testing.T) {
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"jc@example.com","externalId":"5f1",
			"displayName":"J C","name":{"formatted":"J C","familyName":"C","givenName":"J"},"emails":[{"type":"work","value":"jc@example.com","primary":true}],
			"phoneNumbers":[{"type":"work","value":"1"},{"type":"mobile","value":"2"}],"addresses":[{"type":"work","country":"US","streetAddress":"","locality":"","region":"","postalCode":""}],
			"active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"","costCenter":"7","manager":{"value":""}}}`,
		filter:  `userName eq "jc@example.com"`,
		patches: []step{{operations: `[{"op":"replace","path":"active","value":false}]`, after: map[string]string{"active": "0", "addresses.country": "us"}}},
	}.run)
	t.Run("groups", exchange{
		t: Group, create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G","externalId":"5f2","members":[]}`, filter: `externalId eq "5f2"`,
		patches: []step{
			{operations: `[{"op":"add","path":"members","value":[{"value":"u1"}]}]`, members: "+ u1//"},
			{operations: `[{"op":"remove","path":"members","value":[{"value":"u1"}]}]`, members: "- u1//"},
			{operations: `[{"op":"replace","path":"displayName","value":"H"}]`, after: map[string]string{"displayName": "h"}},
		}}.run)
}

// Google's automated provisioning: work address, suspension by PATCH.
func TestDialectGoogle(t *testing.T) {
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"liz@example.com","externalId":"1076",
			"name":{"familyName":"Smith","givenName":"Liz"},"emails":[{"value":"liz@example.com","type":"work","primary":true}],"active":true,
			"organizations":[{"title":"SRE"}],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"m@example.com","displayName":"M"}}}`,
		filter: `userName eq "liz@example.com"`,
		patches: []step{
			{operations: `[{"op":"replace","path":"active","value":false}]`, after: map[string]string{"active": "0"}},
			{operations: `[{"op":"replace","path":"emails[type eq \"work\"]","value":{"value":"l@example.com","type":"work","primary":true}}]`, after: map[string]string{"emails": "l@example.com"}},
		}}.run)
}

// PingOne and PingFederate: the whole changed user by PATCH or PUT, filters on externalId.
func TestDialectPing(t *testing.T) {
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ping","externalId":"p-1","name":{"givenName":"P","familyName":"Ing"},
			"emails":[{"value":"p@example.com","primary":true,"type":"work"}],"active":true,"population":{"id":"x"}}`,
		filter: `userName eq "ping" and externalId eq "p-1"`,
		patches: []step{
			{operations: `[{"op":"replace","path":"name","value":{"givenName":"Pi","familyName":"Ng"}},{"op":"replace","path":"emails","value":[{"value":"n@example.com","primary":true,"type":"work"}]}]`,
				after: map[string]string{"name.givenName": "pi", "name.familyName": "ng", "emails": "n@example.com"}},
			{operations: `[{"op":"replace","value":{"userName":"pong","active":false}}]`, after: map[string]string{"userName": "pong", "active": "0"}},
		}}.run)
}

// Rippling: POST, PATCH of what changed, PATCH of active.
func TestDialectRippling(t *testing.T) {
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"r@example.com","title":"Engineer",
			"name":{"givenName":"R","familyName":"I"},"emails":[{"value":"r@example.com","type":"work","primary":true}],"phoneNumbers":[{"value":"1","type":"mobile"}],"active":true,
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R&D","employeeNumber":"9","manager":{"value":"m"}}}`,
		filter: `emails.value eq "R@example.com"`,
		patches: []step{
			{operations: `[{"op":"replace","path":"title","value":"Lead"},{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value","value":"n"}]`,
				after: map[string]string{"title": "lead", EnterpriseURN + ":manager": "n"}},
			{operations: `[{"op":"replace","value":{"active":"False"}}]`, after: map[string]string{"active": "0"}},
		}}.run)
}

// Workday: worker data in the enterprise extension, termination by active.
func TestDialectWorkday(t *testing.T) {
	t.Run("users", exchange{
		t: User,
		create: `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","urn:ietf:params:scim:schemas:extension:workday:2.0:User"],
			"userName":"wd21008","externalId":"21008","active":true,"name":{"formatted":"W D","givenName":"W","familyName":"D"},"userType":"Employee","preferredLanguage":"en-US",
			"timezone":"America/Los_Angeles","emails":[{"value":"wd@example.com","type":"work","primary":true}],
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"21008","costCenter":"4130","organization":"O","manager":{"value":"20000"}},
			"urn:ietf:params:scim:schemas:extension:workday:2.0:User":{"hireDate":"2020-05-01T00:00:00Z","workerType":"Regular"}}`,
		filter: `urn:ietf:params:scim:schemas:extension:workday:2.0:User:hireDate ge "2020-01-01T00:00:00Z" and urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "21008"`,
		patches: []step{
			{operations: `[{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:workday:2.0:User:workerType","value":"Fixed"}]`,
				after: map[string]string{"urn:ietf:params:scim:schemas:extension:workday:2.0:User:workerType": "fixed"}},
			{operations: `[{"op":"replace","path":"active","value":false},{"op":"remove","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager"}]`,
				after: map[string]string{"active": "0", EnterpriseURN + ":manager": ""}},
		}}.run)
}
