package sso

import (
	"reflect"
	"testing"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/federation"
)

func attribute(name string, values ...string) federation.Attribute {
	return federation.Attribute{Name: name, Values: values}
}

func TestProfile(t *testing.T) {
	s := &Service{Options: Options{Digest: func(s string) string { return "digest of " + s }}}
	for _, c := range []struct {
		name string
		in   federation.Assertion
		want Profile
	}{
		{"plain names win", federation.Assertion{
			NameID: federation.NameID{Value: "n-1", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
			Attributes: []federation.Attribute{attribute("id", "i-1"), attribute("email", "a@b.example"), attribute(claimEmail, "other@b.example"),
				attribute("firstName", "A"), attribute("lastName", "B"), attribute("roles", "x"), attribute("groups", "g", "h")},
		}, Profile{ID: "i-1", IDHash: "digest of i-1", Email: "a@b.example", FirstName: "A", LastName: "B", Roles: []string{"x"},
			Groups: []string{"g", "h"}}},
		{"claim URIs", federation.Assertion{
			NameID: federation.NameID{Value: "a@b.example", Format: formatEmail},
			Attributes: []federation.Attribute{attribute(claims+"givenname", "A"), attribute(claims+"surname", "B"),
				attribute("http://schemas.microsoft.com/ws/2008/06/identity/claims/role", "x", "y"), attribute("http://schemas.xmlsoap.org/claims/Group", "g")},
		}, Profile{ID: "a@b.example", IDHash: "digest of a@b.example", Email: "a@b.example", FirstName: "A", LastName: "B",
			Roles: []string{"x", "y"}, Groups: []string{"g"}}},
		{"LDAP names", federation.Assertion{
			NameID: federation.NameID{Value: "n-1"},
			Attributes: []federation.Attribute{attribute("urn:oid:0.9.2342.19200300.100.1.3", "a@b.example"),
				attribute("urn:oid:2.5.4.42", "A"), attribute("urn:oid:2.5.4.4", "B")},
		}, Profile{ID: "n-1", IDHash: "digest of n-1", Email: "a@b.example", FirstName: "A", LastName: "B"}},
		{"an email alone", federation.Assertion{Attributes: []federation.Attribute{attribute("email", "a@b.example")}},
			Profile{ID: emailID("a@b.example"), IDHash: "digest of " + emailID("a@b.example"), Email: "a@b.example"}},
		{"an attribute does not stand in for the NameID", federation.Assertion{
			NameID:     federation.NameID{Value: "n-1"},
			Attributes: []federation.Attribute{attribute(claimNameID, "admin")},
		}, Profile{ID: "n-1", IDHash: "digest of n-1"}},
	} {
		got, err := s.profile(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(got.Raw) == 0 {
			t.Errorf("%s: raw is empty", c.name)
		}
		got.Raw = nil
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	if _, err := s.profile(federation.Assertion{Attributes: []federation.Attribute{attribute("x", "y")}}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("nobody: got %v", err)
	}
}

func TestRawHoldsTextsAndLists(t *testing.T) {
	s := &Service{Options: Options{Digest: func(s string) string { return s }}}
	p, err := s.profile(federation.Assertion{NameID: federation.NameID{Value: "n", Format: formatEmail},
		Attributes: []federation.Attribute{attribute("one", "1"), attribute("two", "1", "2"), attribute("split", "1"), attribute("split", "2"), attribute("none")}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"one": "1", "two": []string{"1", "2"}, "split": []string{"1", "2"}, "none": []string{}, claimNameID: "n", claimEmail: "n"}
	if !reflect.DeepEqual(p.Raw, want) {
		t.Errorf("got %#v", p.Raw)
	}
}

func TestTransientNameIDLinksNobody(t *testing.T) {
	a := federation.Assertion{NameID: federation.NameID{Value: "t-1", Format: formatTransient}}
	if _, err := subject(Profile{ID: "t-1"}, a); !fault.Is(err, fault.Forbidden) {
		t.Errorf("linked by a transient NameID: %v", err)
	}
	if got, err := subject(Profile{ID: "t-1", Email: "a@b.example"}, a); err != nil || got != emailID("a@b.example") {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := subject(Profile{ID: "i-1"}, a); err != nil || got != "i-1" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestFriendlyProvider(t *testing.T) {
	for host, want := range map[string]string{"dev-1.okta.com": "Okta", "sts.windows.net": "Entra ID", "idp.example": ""} {
		if got := FriendlyProvider(host); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

func TestOIDCProfile(t *testing.T) {
	c := federation.Claims{Subject: "s",
		IDToken: map[string]any{"sub": "s", "email": "token@b.example", "given_name": nil, "family_name": 7.0, "roles": []any{}, "groups": nil, "nonce": "n", "exp": 1.0},
		Userinfo: map[string]any{"sub": "s", "email": "info@b.example", "given_name": "A", "family_name": "B", "roles": []any{"of userinfo"},
			"groups": []any{"g", 1.0, "h"}, "x": map[string]any{"y": true}}}
	p := oidcProfile(c)
	want := Profile{ID: "s", Email: "token@b.example", FirstName: "A", LastName: "B", Roles: []string{}, Groups: []string{"g", "h"},
		Raw: map[string]any{"sub": "s", "email": "info@b.example", "given_name": "A", "family_name": "B", "roles": []any{"of userinfo"},
			"groups": []any{"g", 1.0, "h"}, "x": map[string]any{"y": true}, "nonce": "n", "exp": 1.0}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
	lasting := p.lasting()
	if _, kept := lasting.Raw["nonce"]; kept || len(lasting.Raw) != len(p.Raw)-2 || p.Raw["nonce"] != "n" {
		t.Errorf("%+v of %+v", lasting, p)
	}
	if none := oidcProfile(federation.Claims{Subject: "s"}); none.Roles != nil || none.Groups != nil || none.Email != "" || none.Raw == nil {
		t.Errorf("%+v", none)
	}
}

func TestRequiredClaims(t *testing.T) {
	c := federation.Claims{IDToken: map[string]any{"hd": "a.example", "n": 7.0, "b": true, "l": []any{"x", "y", 1.0}, "null": nil},
		Userinfo: map[string]any{"hd": "b.example", "only": "u", "null": "u"}}
	for _, r := range []struct {
		name, value string
		meets       bool
	}{
		{"hd", "a.example", true}, {"hd", "b.example", false}, {"hd", "A.example", false}, {"n", "7", true}, {"b", "true", true}, {"b", "1", false},
		{"l", "y", true}, {"l", "1", false}, {"only", "u", true}, {"null", "u", false}, {"none", "", false},
	} {
		if got := (RequiredClaim{r.name, []string{"other", r.value}}).meets(c); got != r.meets {
			t.Errorf("%s=%s: %t", r.name, r.value, got)
		}
	}
}

func TestOIDCSettings(t *testing.T) {
	announced := func(methods ...string) federation.OpenIDProvider {
		return federation.OpenIDProvider{AuthMethods: methods}
	}
	for _, c := range []struct {
		o    OIDC
		p    federation.OpenIDProvider
		want federation.AuthMethod
	}{
		{OIDC{ClientSecret: "s"}, announced(), "client_secret_basic"},
		{OIDC{ClientSecret: "s"}, announced("client_secret_post", "client_secret_basic"), "client_secret_basic"},
		{OIDC{ClientSecret: "s"}, announced("client_secret_post", "private_key_jwt"), "client_secret_post"},
		{OIDC{ClientSecret: "s"}, announced("private_key_jwt"), "client_secret_basic"},
		{OIDC{}, announced("client_secret_basic"), "none"},
		{OIDC{AuthMethod: "private_key_jwt"}, announced("client_secret_basic"), "private_key_jwt"},
	} {
		if got := c.o.authMethod(c.p); got != c.want {
			t.Errorf("%+v at %+v: %s, want %s", c.o, c.p, got, c.want)
		}
	}
	for _, c := range []struct {
		pkce      PKCE
		secret    string
		announces bool
		want      bool
	}{{PKCEAuto, "s", true, true}, {PKCEAuto, "s", false, false}, {PKCEAuto, "", false, true}, {PKCEForce, "s", false, true}, {PKCENever, "s", true, false}} {
		if got := (OIDC{PKCE: c.pkce, ClientSecret: c.secret}).pkce(federation.OpenIDProvider{PKCE: c.announces}); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestOIDCScopes(t *testing.T) {
	for _, c := range []struct{ own, asked, want []string }{
		{nil, nil, []string{"openid", "email", "profile"}},
		{[]string{"profile", "groups"}, nil, []string{"profile", "groups", "openid"}},
		{[]string{}, nil, []string{"openid"}},
		{nil, []string{"profile", "x", "tenant=a&product=b"}, []string{"profile", "x", "openid", "email"}},
		{[]string{"a"}, []string{"b", "a"}, []string{"b", "a", "openid"}},
	} {
		if got := (OIDC{Scopes: c.own}).scopes(c.asked); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v of %v: %v, want %v", c.asked, c.own, got, c.want)
		}
	}
}
