package polis_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/portico-sso/portico/adapters/ripemd"
)

// provider is metadata of an OpenID provider, whole.
func provider(change object) object {
	return merge(object{"issuer": "https://www.op.example.com/realm", "authorization_endpoint": "https://op.example.com/a", "token_endpoint": "https://op.example.com/t",
		"userinfo_endpoint": "https://op.example.com/u", "jwks_uri": "https://op.example.com/j", "extra": object{"n": 12345678901234567.0}}, change)
}

// oidcConnection is a complete body of POST for an OpenID provider.
func oidcConnection(t *testing.T, change object) object {
	t.Helper()
	return connection(t, merge(object{"rawMetadata": nil, "oidcDiscoveryUrl": "https://www.op.example.com/.well-known/openid-configuration",
		"oidcClientId": "the client", "oidcClientSecret": "the secret"}, change))
}

func TestPostOIDC(t *testing.T) {
	f := newFixture(t)
	made := f.call(http.MethodPost, "/api/v1/sso", oidcConnection(t, object{"name": "N", "forceAuthn": true, "identifierFormat": "x"})).object(t, 200)
	t.Run("§1.1 record", func(t *testing.T) {
		want := []string{"clientID", "clientSecret", "defaultRedirectUrl", "name", "oidcProvider", "product", "redirectUrl", "sortOrder", "tenant"}
		if got := members(made); !slices.Equal(got, want) || made["sortOrder"] != nil {
			t.Errorf("%v, want %v", got, want)
		}
		if want := (object{"clientId": "the client", "clientSecret": "the secret", "discoveryUrl": "https://www.op.example.com/.well-known/openid-configuration",
			"provider": "op.example.com"}); !reflect.DeepEqual(made["oidcProvider"], want) {
			t.Errorf("%v, want %v", made["oidcProvider"], want)
		}
	})
	t.Run("§1.1 clientID is the digest of tenant, product and the provider's client id", func(t *testing.T) {
		if want := ripemd.Digest("boxyhq:demo:the client"); made["clientID"] != want || len(made["clientSecret"].(string)) != 48 {
			t.Errorf("%v, want %s", made["clientID"], want)
		}
	})
	t.Run("§1.1 the same triple again replaces the record and keeps clientSecret", func(t *testing.T) {
		again := f.call(http.MethodPost, "/api/v1/sso", oidcConnection(t, object{"oidcClientSecret": "another", "oidcDiscoveryUrl": "https://other.example.com"})).object(t, 200)
		if again["clientID"] != made["clientID"] || again["clientSecret"] != made["clientSecret"] || again["name"] != nil ||
			again["oidcProvider"].(object)["clientSecret"] != "another" || again["oidcProvider"].(object)["provider"] != "other.example.com" {
			t.Errorf("%v", again)
		}
	})
	for name, given := range map[string]any{"an object": provider(nil),
		"a JSON string": `{"issuer":"https://www.op.example.com/realm","authorization_endpoint":"https://op.example.com/a","token_endpoint":"https://op.example.com/t","userinfo_endpoint":"https://op.example.com/u","jwks_uri":"https://op.example.com/j","extra":{"n":12345678901234567}}`} {
		t.Run("§1.1 metadata: "+name, func(t *testing.T) {
			made := f.call(http.MethodPost, "/api/v1/sso", oidcConnection(t, object{"oidcDiscoveryUrl": nil, "oidcMetadata": given, "oidcClientId": name})).object(t, 200)
			recorded, _ := made["oidcProvider"].(object)
			if !reflect.DeepEqual(recorded["metadata"], provider(nil)) || recorded["discoveryUrl"] != nil || recorded["provider"] != "op.example.com" {
				t.Errorf("%v", recorded)
			}
		})
	}
	t.Run("§1.1 a discovery URL wins over metadata", func(t *testing.T) {
		made := f.call(http.MethodPost, "/api/v1/sso", oidcConnection(t, object{"oidcMetadata": "no JSON", "oidcClientId": "both"})).object(t, 200)
		if made["oidcProvider"].(object)["metadata"] != nil {
			t.Errorf("%v", made)
		}
	})
	t.Run("nothing is fetched before the first login", func(t *testing.T) {
		asked := false
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
		defer server.Close()
		f.call(http.MethodPost, "/api/v1/sso", oidcConnection(t, object{"oidcDiscoveryUrl": server.URL, "oidcClientId": "local"})).object(t, 200)
		if asked {
			t.Error("the provider was asked")
		}
	})
	t.Run("§1.1 GET adds deactivated and friendlyProviderName", func(t *testing.T) {
		f.call(http.MethodPost, "/api/v1/sso", oidcConnection(t, object{"oidcDiscoveryUrl": "https://acme.okta.com", "oidcClientId": "friendly", "tenant": "okta"})).object(t, 200)
		listed := f.get("/api/v1/sso?tenant=okta&product=demo")[0]
		if recorded := listed["oidcProvider"].(object); listed["deactivated"] != false || recorded["friendlyProviderName"] != "Okta" || recorded["clientSecret"] != "the secret" {
			t.Errorf("%v", listed)
		}
		unknown := f.get("/api/v1/sso?clientID=" + made["clientID"].(string))[0]["oidcProvider"].(object)
		if name, there := unknown["friendlyProviderName"]; !there || name != nil {
			t.Errorf("%v", unknown)
		}
	})
	t.Run("§1.1 strategy", func(t *testing.T) {
		f.create(object{"tenant": "okta", "name": "saml"})
		for strategy, want := range map[string]int{"oidc": 1, "saml": 1, "x": 0} {
			if got := f.get("/api/v1/sso?tenant=okta&product=demo&strategy=" + strategy); len(got) != want {
				t.Errorf("%s: %v", strategy, got)
			}
		}
		f.call(http.MethodDelete, "/api/v1/sso?tenant=okta&product=demo&strategy=oidc", nil).empty(t, 204)
		if got := pick(f.get("/api/v1/sso?tenant=okta&product=demo"), "name"); !reflect.DeepEqual(got, []any{"saml"}) {
			t.Errorf("%v", got)
		}
	})
}

func TestPatchOIDC(t *testing.T) {
	f := newFixture(t)
	made := f.call(http.MethodPost, "/api/v1/sso", oidcConnection(t, object{"description": "D"})).object(t, 200)
	clientID, secret := made["clientID"].(string), made["clientSecret"].(string)
	with := func(change object) object {
		return merge(object{"clientID": clientID, "clientSecret": secret, "isOIDC": true}, change)
	}
	read := func() object { return f.get("/api/v1/sso?clientID=" + clientID)[0] }
	recorded := func() object { return read()["oidcProvider"].(object) }
	const incomplete = `"issuer" missing in the metadata for the OpenID Provider`
	const mismatch = "Tenant/Product config mismatch with OIDC Provider metadata"
	for _, c := range []struct {
		name    string
		body    object
		message string
	}{
		{"§1.1 PATCH without secret", object{"clientID": clientID, "isOIDC": true}, "Please provide clientID/clientSecret or tenant/product/clientSecret"},
		{"§1.1 PATCH wrong secret", with(object{"clientSecret": "x"}), "clientSecret mismatch"},
		{"§1.1 PATCH another client id", with(object{"oidcClientId": "another", "tenant": "boxyhq", "product": "demo"}), mismatch},
		{"§1.1 PATCH the client id without tenant and product in the body", with(object{"oidcClientId": "the client"}), mismatch},
		{"§1.1 PATCH the client id with another tenant in the body", with(object{"oidcClientId": "the client", "tenant": "x", "product": "demo"}), mismatch},
		{"§1.1 PATCH description", with(object{"description": string(make([]byte, 101))}), "Description should not exceed 100 characters"},
		{"PATCH metadata where none is stored, and not all of it", with(object{"oidcMetadata": object{"jwks_uri": "https://op.example.com/k"}}), incomplete},
		{"PATCH metadata that is no JSON", with(object{"oidcMetadata": "x"}), "Could not parse OIDC Provider metadata, expected a valid JSON string"},
		{"PATCH a discovery URL that is none", with(object{"oidcDiscoveryUrl": "http://op.example.com"}), "The discovery URL is not valid: give an https URL, or one of localhost."},
		{"PATCH SAML of an OIDC connection", object{"clientID": clientID, "clientSecret": secret, "isSAML": true}, "This connection is to an OpenID Provider: send oidcDiscoveryUrl, oidcMetadata or isOIDC."},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := read()
			f.call(http.MethodPatch, "/api/v1/sso", c.body).refused(t, http.StatusBadRequest, c.message)
			if after := read(); !reflect.DeepEqual(after, before) {
				t.Errorf("a refused PATCH changed %v to %v", before, after)
			}
		})
	}
	patch := func(change object) { f.call(http.MethodPatch, "/api/v1/sso", with(change)).empty(t, 204) }
	t.Run("§1.1 PATCH oidcClientSecret", func(t *testing.T) {
		patch(object{"oidcClientSecret": "new", "oidcClientId": "the client", "tenant": "boxyhq", "product": "demo"})
		if got := recorded(); got["clientSecret"] != "new" || got["discoveryUrl"] == nil || read()["description"] != "D" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 PATCH oidcMetadata drops discoveryUrl", func(t *testing.T) {
		patch(object{"oidcMetadata": provider(nil)})
		if got := recorded(); !reflect.DeepEqual(got["metadata"], provider(nil)) || got["discoveryUrl"] != nil {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 PATCH oidcMetadata is merged over what is stored", func(t *testing.T) {
		patch(object{"oidcMetadata": `{"jwks_uri":"https://op.example.com/new","issuer":"https://new.example.com"}`})
		want := provider(object{"jwks_uri": "https://op.example.com/new", "issuer": "https://new.example.com"})
		if got := recorded(); !reflect.DeepEqual(got["metadata"], want) || got["provider"] != "new.example.com" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 PATCH oidcDiscoveryUrl drops metadata", func(t *testing.T) {
		patch(object{"oidcDiscoveryUrl": "https://third.example.com", "oidcMetadata": provider(nil)})
		if got := recorded(); got["metadata"] != nil || got["discoveryUrl"] != "https://third.example.com" || got["provider"] != "third.example.com" {
			t.Errorf("%v", got)
		}
	})
	t.Run("§1.1 PATCH deactivated, name, and the record in return", func(t *testing.T) {
		r := f.call(http.MethodPatch, "/api/v1/sso", with(object{"deactivated": "true", "name": "new", "description": "", "sortOrder": 3, "forceAuthn": true}), "X-Polis-Return-Connection", "true").object(t, 200)
		if r["deactivated"] != true || r["name"] != "new" || r["description"] != nil || r["sortOrder"] != 3.0 || r["forceAuthn"] != nil {
			t.Errorf("%v", r)
		}
	})
}
