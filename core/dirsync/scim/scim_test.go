package scim

import (
	"encoding/json"
	"errors"
	"testing"
)

// alice has every attribute of the tables.
const alice = `{
 "schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
 "externalId":"ext-1","userName":"Alice@Example.com",
 "name":{"formatted":"Dr. Alice B. Cooper III","familyName":"Cooper","givenName":"Alice","middleName":"B.","honorificPrefix":"Dr.","honorificSuffix":"III"},
 "displayName":"Alice Cooper","nickName":"Ali","profileUrl":"https://people.example.com/alice","title":"Engineer","userType":"Employee",
 "preferredLanguage":"en-US, de;q=0.5","locale":"en-US","timezone":"Europe/Berlin","active":true,"password":"t1meMa$heen",
 "emails":[{"value":"alice@example.com","display":"Work","type":"work","primary":true},{"value":"alice@home.example","type":"home"}],
 "phoneNumbers":[{"value":"tel:+49-30-1234","type":"work","display":"+49 30 1234","primary":true}],
 "ims":[{"value":"alice-im","type":"xmpp"}],
 "photos":[{"value":"https://photos.example.com/a.jpg","type":"photo"}],
 "addresses":[{"formatted":"Street 1\n10115 Berlin","streetAddress":"Street 1","locality":"Berlin","region":"BE","postalCode":"10115","country":"DE","type":"work"}],
 "entitlements":[{"value":"vpn"}],"roles":[{"value":"admin","primary":true}],
 "x509Certificates":[{"value":"MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjELMAkGA1UEBhMCVVMx"}],
 "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"701984","costCenter":"4130","organization":"Studios",
  "division":"Theme Park","department":"Tours","manager":{"value":"26118915-6090-4610-87e4-49d8ca9f808d","$ref":"../Users/26118915-6090-4610-87e4-49d8ca9f808d"}}
}`

// read reads a resource that has no mistake.
func read(t testing.TB, kind *ResourceType, body string) Resource {
	t.Helper()
	r, err := kind.Read([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return r
}

// patch applies operations, given as the list alone.
func patch(r Resource, kind *ResourceType, operations string) (bool, error) {
	ops, err := ReadPatch([]byte(`{"schemas":["` + PatchURN + `"],"Operations":` + operations + `}`))
	if err != nil {
		return false, err
	}
	return kind.Patch(r, ops)
}

// value parses JSON as a resource holds it.
func value(t testing.TB, text string) any {
	t.Helper()
	v, err := decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := plain(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func show(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// wantError checks status and scimType, and that there is something to read.
func wantError(t testing.TB, err error, scimType string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.Type != scimType || len(e.Detail) < 10 || len(e.Detail) > 600 {
		t.Errorf("got %#v, want 400 %s", err, scimType)
	}
}
