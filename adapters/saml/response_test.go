package saml

import (
	"testing"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

func TestVerifyReturnsWhatTheAssertionSays(t *testing.T) {
	r := ordinary()
	r.AssertionID = "_assertion"
	a := accept(t, must[string](t)(testIdP().Response(r)), expected(testIdP()))
	if a.ID != "_assertion" || a.Issuer != testIdP().EntityID || a.SessionIndex != "_assertion" || a.Encrypted {
		t.Errorf("assertion %+v", a)
	}
	if want := (federation.NameID{Value: "ada@example.com", Format: federationtest.FormatEmail}); a.NameID != want {
		t.Errorf("NameID %+v, want %+v", a.NameID, want)
	}
	if len(a.Attributes) != 2 || a.Attributes[1].FriendlyName != "Groups" || len(a.Attributes[1].Values) != 2 ||
		a.Attributes[1].Values[1] != "admins & owners" {
		t.Errorf("attributes %+v", a.Attributes)
	}
	if want := testNow.Add(6 * 60e9); !a.ExpiresAt.Equal(want) {
		t.Errorf("expires at %v, want %v", a.ExpiresAt, want)
	}
}
