package graph_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/portico-sso/portico/core/sso"
)

// provider publishes metadata of an OpenID provider below an issuer.
func (w *world) provider(address, issuer string) {
	w.t.Helper()
	text, err := json.Marshal(object{"issuer": issuer, "authorization_endpoint": "https://op.example.com/a", "token_endpoint": "https://op.example.com/t",
		"jwks_uri": "https://op.example.com/j"})
	must(w.t, err)
	w.fetch.documents[address+"/.well-known/openid-configuration"] = string(text)
}

const oidcSelection = `connection { id clientId protocol title provider entityId ssoUrls { post } certificates { subject } wantsSignedRequests signRequests
	binding idpInitiated spEntityId acsUrl spMetadataUrl forceAuthn oidc { preset callbackUrl discoveryUrl metadata clientId confidential clientAuth
	assertionAudience pkce hmac scopes parameters { name value } requiredClaims { name values } } } clientSecret`

func TestCreateOIDCConnection(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	w.provider("https://op.example.com", "https://op.example.com")
	p := w.mutate("createConnection", "CreateConnectionInput", oidcSelection, object{"organizationId": organizationID,
		"oidc": object{"discoveryUrl": "https://op.example.com", "clientId": "c", "clientSecret": "planted-secret"}})
	id := at(t, p, "connection", "id").(string)
	equal(t, "what is of SAML", []any{at(t, p, "connection", "entityId"), at(t, p, "connection", "ssoUrls"), at(t, p, "connection", "certificates"),
		at(t, p, "connection", "wantsSignedRequests"), at(t, p, "connection", "signRequests"), at(t, p, "connection", "binding"), at(t, p, "connection", "idpInitiated"),
		at(t, p, "connection", "spEntityId"), at(t, p, "connection", "acsUrl"), at(t, p, "connection", "spMetadataUrl")},
		[]any{nil, nil, []any{}, nil, nil, nil, nil, nil, nil, nil})
	equal(t, "the connection", []any{at(t, p, "connection", "protocol"), at(t, p, "connection", "title"), at(t, p, "connection", "provider")},
		[]any{"OIDC", "op.example.com", "op.example.com"})
	equal(t, "its provider", at(t, p, "connection", "oidc"), object{"preset": nil, "discoveryUrl": "https://op.example.com", "metadata": nil, "clientId": "c",
		"confidential": true, "clientAuth": "AUTO", "assertionAudience": "ISSUER", "pkce": "AUTO", "hmac": false, "scopes": []string{"openid", "email", "profile"},
		"parameters": []any{}, "requiredClaims": []any{}, "callbackUrl": publicURL + "/self-service/methods/oidc/organization/" + organizationID + "/callback/" + id})
	text, err := json.Marshal(w.run(`query($id: ID!) { connection(id: $id) { oidc { clientId metadata discoveryUrl } } }`, object{"id": id}))
	if must(t, err); strings.Contains(string(text), "planted-secret") || strings.Contains(w.log.String(), "planted-secret") {
		t.Error("the client secret is shown")
	}

	p = w.mutate("createConnection", "CreateConnectionInput", oidcSelection, object{"organizationId": organizationID, "label": "All of it", "forceAuthn": true,
		"oidc": object{"metadata": w.fetch.documents["https://op.example.com/.well-known/openid-configuration"], "clientId": "d", "clientAuth": "PRIVATE_KEY_JWT", "pkce": "FORCE",
			"assertionAudience": "TOKEN_ENDPOINT", "hmac": true, "clientSecret": strings.Repeat("s", 32), "scopes": []string{"openid", "x"},
			"parameters": []object{{"name": "a", "value": "b"}}, "requiredClaims": []object{{"name": "hd", "values": []string{"v", "w"}}}}})
	equal(t, "all settings", at(t, p, "connection", "oidc"), object{"preset": nil, "discoveryUrl": nil, "clientId": "d", "confidential": true, "clientAuth": "PRIVATE_KEY_JWT",
		"metadata":          w.fetch.documents["https://op.example.com/.well-known/openid-configuration"],
		"assertionAudience": "TOKEN_ENDPOINT", "pkce": "FORCE", "hmac": true, "scopes": []string{"openid", "x"}, "parameters": []object{{"name": "a", "value": "b"}},
		"requiredClaims": []object{{"name": "hd", "values": []string{"v", "w"}}}, "callbackUrl": publicURL + "/self-service/methods/oidc/callback"})
	equal(t, "forceAuthn", []any{at(t, p, "connection", "forceAuthn"), at(t, p, "connection", "title")}, []any{true, "All of it"})
}

// The same client id may be given by two providers; the same provider and client id are one connection.
func TestOIDCConnectionsOfOneOrganization(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	seen := map[any]bool{}
	for _, address := range []string{"https://a.example.com", "https://b.example.com"} {
		w.provider(address, address)
		p := w.mutate("createConnection", "CreateConnectionInput", "connection { clientId }", object{"organizationId": organizationID,
			"oidc": object{"discoveryUrl": address, "clientId": "portico", "clientSecret": "s"}})
		seen[at(t, p, "connection", "clientId")] = true
	}
	if len(seen) != 2 {
		t.Errorf("two connections are the clients %v", seen)
	}
	_, wrong := w.try("createConnection", "CreateConnectionInput", "__typename", object{"organizationId": organizationID,
		"oidc": object{"discoveryUrl": "https://a.example.com/.well-known/openid-configuration", "clientId": "portico", "clientSecret": "s"}})
	equal(t, "the same provider again", []any{wrong["code"], wrong["path"]}, []any{"taken", []string{"input", "oidc", "discoveryUrl"}})
}

func TestOIDCPresets(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	const tenant = "11111111-aaaa-4aaa-8aaa-111111111111"
	for _, c := range []struct {
		preset, account, address, issuer, title string
		more                                    object
	}{
		{"ENTRA_ID", tenant, "https://login.microsoftonline.com/" + tenant + "/v2.0", "", "Entra ID", object{"assertionAudience": "TOKEN_ENDPOINT"}},
		{"ENTRA_ID", "acme.example", "https://login.microsoftonline.com/acme.example/v2.0", "https://login.microsoftonline.com/" + tenant + "/v2.0", "Entra ID", object{"assertionAudience": "TOKEN_ENDPOINT"}},
		{"GOOGLE", "acme.example", "https://accounts.google.com", "", "Google", object{"parameters": []object{{"name": "hd", "value": "acme.example"}},
			"requiredClaims": []object{{"name": "hd", "values": []string{"acme.example"}}}}},
		{"OKTA", "acme.okta.com", "https://acme.okta.com", "", "Okta", object{"assertionAudience": "TOKEN_ENDPOINT"}},
		{"OKTA", "https://acme.okta.com/oauth2/default/", "https://acme.okta.com/oauth2/default", "", "Okta", object{"assertionAudience": "TOKEN_ENDPOINT"}},
		{"AUTH0", "acme.eu.auth0.com", "https://acme.eu.auth0.com", "https://acme.eu.auth0.com/", "Auth0", nil},
		{"ONELOGIN", "acme.onelogin.com", "https://acme.onelogin.com/oidc/2", "", "OneLogin", object{"scopes": []string{"openid", "email", "profile", "groups"}}},
		{"PING", tenant, "https://auth.pingone.com/" + tenant + "/as", "", "PingOne", nil},
		{"PING", "auth.pingone.eu/" + tenant, "https://auth.pingone.eu/" + tenant + "/as", "", "PingOne", nil},
		{"JUMPCLOUD", "", "https://oauth.id.jumpcloud.com", "https://oauth.id.jumpcloud.com/", "JumpCloud", nil},
		{"KEYCLOAK", "sso.acme.example/realms/acme", "https://sso.acme.example/realms/acme", "", "Keycloak", nil},
	} {
		if c.issuer == "" {
			c.issuer = c.address
		}
		w.provider(c.address, c.issuer)
		p := w.mutate("createConnection", "CreateConnectionInput", oidcSelection, object{"organizationId": organizationID,
			"oidc": object{"preset": c.preset, "account": c.account, "clientId": "c", "clientSecret": "s"}})
		want := object{"preset": c.preset, "assertionAudience": "ISSUER", "scopes": []string{"openid", "email", "profile"}, "parameters": []any{}, "requiredClaims": []any{}}
		for name, value := range c.more {
			want[name] = value
		}
		for name, value := range want {
			equal(t, c.preset+" "+c.account+" "+name, at(t, p, "connection", "oidc", name), value)
		}
		equal(t, c.preset+" title", at(t, p, "connection", "title"), c.title)
		if got := at(t, p, "connection", "oidc", "discoveryUrl").(string); strings.TrimSuffix(got, "/") != c.address {
			t.Errorf("%s %s is read from %s", c.preset, c.account, got)
		}
	}
	t.Run("what is given takes the place of what is known", func(t *testing.T) {
		p := w.mutate("createConnection", "CreateConnectionInput", oidcSelection, object{"organizationId": organizationID,
			"oidc": object{"preset": "GOOGLE", "account": "acme.example", "clientId": "other", "clientSecret": "s", "parameters": []object{}, "requiredClaims": []object{{"name": "hd", "values": []string{"x"}}}}})
		equal(t, "parameters", at(t, p, "connection", "oidc", "parameters"), []any{})
		equal(t, "claims", at(t, p, "connection", "oidc", "requiredClaims"), []object{{"name": "hd", "values": []string{"x"}}})
	})
	t.Run("the tenants of a multi-tenant endpoint have to be named", func(t *testing.T) {
		w.provider("https://login.microsoftonline.com/organizations/v2.0", "https://login.microsoftonline.com/{tenantid}/v2.0")
		in := object{"preset": "ENTRA_ID", "account": "organizations", "clientId": "c", "clientSecret": "s"}
		_, wrong := w.try("createConnection", "CreateConnectionInput", "__typename", object{"organizationId": organizationID, "oidc": in})
		equal(t, "nobody named", []any{wrong["code"], wrong["path"]}, []any{"required", []string{"input", "oidc", "requiredClaims"}})
		in["requiredClaims"] = []object{{"name": "tid", "values": []string{tenant}}}
		p := w.mutate("createConnection", "CreateConnectionInput", "connection { id }", object{"organizationId": organizationID, "oidc": in})
		_, wrong = w.try("updateConnection", "UpdateConnectionInput", "__typename", object{"id": at(t, p, "connection", "id"), "oidc": object{"requiredClaims": []object{}}})
		equal(t, "nobody named any more", []any{wrong["code"], wrong["path"]}, []any{"required", []string{"input", "oidc", "requiredClaims"}})
	})
	for preset, accounts := range map[string][]string{
		"ENTRA_ID": {"", "a/b", "../common", "a b", "common?x", "a@b"}, "GOOGLE": {"", "acme", "a.example/x", "a.example, b.example"}, "OKTA": {"", "acme", "acme.okta.com/x", "acme.okta.com:443"},
		"AUTH0": {"", "acme", "acme.auth0.com/x", "a@acme.auth0.com"}, "ONELOGIN": {"", "acme", "acme.onelogin.com/x"}, "PING": {"", "a/b/c", "auth.pingone.com/"}, "JUMPCLOUD": {"x"},
		"KEYCLOAK": {"", "sso.acme.example", "sso.acme.example/realms"},
	} {
		for _, account := range accounts {
			_, wrong := w.try("createConnection", "CreateConnectionInput", "__typename", object{"organizationId": organizationID,
				"oidc": object{"preset": preset, "account": account, "clientId": "c", "clientSecret": "s"}})
			equal(t, preset+" of "+account, []any{wrong["code"], wrong["path"]}, []any{"invalid", []string{"input", "oidc", "account"}})
		}
	}
}

func TestOIDCUserErrors(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	w.provider("https://op.example.com", "https://op.example.com")
	w.provider("https://evil.example.com", "https://op.example.com")
	w.fetch.documents["https://broken.example.com/.well-known/openid-configuration"] = "{}"
	good := object{"discoveryUrl": "https://op.example.com", "clientId": "c", "clientSecret": "s"}
	p := w.mutate("createConnection", "CreateConnectionInput", "connection { id }", object{"organizationId": organizationID, "oidc": good})
	connectionID := at(t, p, "connection", "id")
	xml := metadata("urn:idp", certificate(t, "one", w.now.AddDate(1, 0, 0)))
	samlID := at(t, w.mutate("createConnection", "CreateConnectionInput", "connection { id }", object{"organizationId": organizationID, "metadataXml": xml}), "connection", "id")
	long := make([]object, 21)
	for i := range long {
		long[i] = object{"name": fmt.Sprint("p", i), "value": ""}
	}
	for _, c := range []struct {
		change object
		code   string
		path   string
	}{
		{object{"discoveryUrl": nil}, "required", "discoveryUrl"},
		{object{"discoveryUrl": ""}, "required", "discoveryUrl"},
		{object{"discoveryUrl": "http://op.example.com"}, "invalid", "discoveryUrl"},
		{object{"discoveryUrl": "https://nobody.example.com"}, "oidc_unreachable", "discoveryUrl"},
		{object{"discoveryUrl": "https://evil.example.com"}, "oidc_metadata", "discoveryUrl"},
		{object{"discoveryUrl": "https://broken.example.com"}, "oidc_metadata", "discoveryUrl"},
		{object{"discoveryUrl": nil, "metadata": "{}"}, "oidc_metadata", "metadata"},
		{object{"discoveryUrl": nil, "metadata": "x"}, "metadata_malformed", "metadata"},
		{object{"metadata": "{}"}, "ambiguous", "metadata"},
		{object{"clientId": ""}, "required", "clientId"},
		{object{"clientId": strings.Repeat("c", 1025)}, "required", "clientId"},
		{object{"clientSecret": "", "clientAuth": "CLIENT_SECRET_BASIC"}, "required", "clientSecret"},
		{object{"clientSecret": strings.Repeat("s", 4097)}, "too_long", "clientSecret"},
		{object{"clientAuth": "NONE", "pkce": "NEVER"}, "invalid", "pkce"},
		{object{"hmac": true}, "weak_secret", "hmac"},
		{object{"scopes": []string{"a b"}}, "invalid", "scopes"},
		{object{"scopes": []string{""}}, "invalid", "scopes"},
		{object{"parameters": []object{{"name": "", "value": "x"}}}, "invalid", "params"},
		{object{"parameters": []object{{"name": "state", "value": "x"}}}, "reserved", "params"},
		{object{"parameters": []object{{"name": "redirect_uri", "value": "https://evil.example"}}}, "reserved", "params"},
		{object{"parameters": []object{{"name": "a", "value": "x"}, {"name": "a", "value": "y"}}}, "taken", "params"},
		{object{"parameters": long}, "too_many", "params"},
		{object{"requiredClaims": []object{{"name": "", "values": []string{"x"}}}}, "invalid", "requiredClaims"},
		{object{"requiredClaims": []object{{"name": "hd", "values": []string{}}}}, "invalid", "requiredClaims"},
	} {
		in := object{}
		for name, value := range good {
			in[name] = value
		}
		for name, value := range c.change {
			if in[name] = value; value == nil {
				delete(in, name)
			}
		}
		if c.path == "params" {
			c.path = "parameters"
		}
		_, wrong := w.try("createConnection", "CreateConnectionInput", "__typename", object{"organizationId": organizationID, "oidc": in})
		equal(t, fmt.Sprint(c.change), []any{wrong["code"], wrong["path"]}, []any{c.code, []string{"input", "oidc", c.path}})
		if wrong["message"] == "" {
			t.Errorf("%v has no message", c.change)
		}
	}
	for _, c := range []struct {
		field string
		input object
		code  string
		path  []string
	}{
		{"createConnection", object{"organizationId": organizationID, "oidc": good}, "taken", []string{"input", "oidc", "discoveryUrl"}},
		{"createConnection", object{"organizationId": organizationID, "oidc": good, "metadataXml": xml}, "ambiguous", []string{"input", "metadataXml"}},
		{"createConnection", object{"organizationId": organizationID, "oidc": good, "binding": "POST"}, "invalid", []string{"input", "binding"}},
		{"createConnection", object{"organizationId": organizationID, "oidc": good, "idpInitiated": true}, "invalid", []string{"input", "idpInitiated"}},
		{"createConnection", object{"organizationId": "none", "oidc": good}, "not_found", []string{"input", "organizationId"}},
		{"updateConnection", object{"id": connectionID, "oidc": object{"discoveryUrl": "https://broken.example.com"}}, "oidc_metadata", []string{"input", "oidc", "discoveryUrl"}},
		{"updateConnection", object{"id": connectionID, "oidc": object{"clientAuth": "NONE", "pkce": "NEVER"}}, "invalid", []string{"input", "oidc", "pkce"}},
		{"updateConnection", object{"id": connectionID, "metadataXml": xml}, "immutable", []string{"input", "metadataXml"}},
		{"updateConnection", object{"id": connectionID, "nameIdFormat": "x"}, "invalid", []string{"input", "nameIdFormat"}},
		{"updateConnection", object{"id": samlID, "oidc": object{"pkce": "FORCE"}}, "immutable", []string{"input", "oidc"}},
		{"refreshConnectionMetadata", object{"id": connectionID}, "no_metadata_url", []string{"input", "id"}},
	} {
		_, wrong := w.try(c.field, strings.ToUpper(c.field[:1])+c.field[1:]+"Input", "__typename", c.input)
		equal(t, fmt.Sprint(c.field, " ", c.input), []any{wrong["code"], wrong["path"]}, []any{c.code, c.path})
	}
}

func TestUpdateOIDCConnection(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	for _, address := range []string{"https://op.example.com", "https://other.example.com"} {
		w.provider(address, address)
	}
	p := w.mutate("createConnection", "CreateConnectionInput", "connection { id }", object{"organizationId": organizationID,
		"oidc": object{"discoveryUrl": "https://op.example.com", "clientId": "c", "clientSecret": "s", "scopes": []string{"openid", "a"}}})
	id := at(t, p, "connection", "id").(string)
	update := func(in object) object {
		t.Helper()
		return w.mutate("updateConnection", "UpdateConnectionInput", "connection { label oidc { discoveryUrl metadata pkce scopes clientAuth callbackUrl } }", object{"id": id, "oidc": in})
	}
	p = update(object{"clientSecret": "new", "pkce": "FORCE", "clientAuth": "CLIENT_SECRET_POST"})
	equal(t, "some settings", at(t, p, "connection", "oidc"), object{"discoveryUrl": "https://op.example.com", "metadata": nil, "pkce": "FORCE", "scopes": []string{"openid", "a"},
		"clientAuth": "CLIENT_SECRET_POST", "callbackUrl": publicURL + "/self-service/methods/oidc/callback"})
	c, err := w.sso.Get(t.Context(), id)
	if must(t, err); c.OIDC.ClientSecret != "new" || c.OIDC.AuthMethod != "client_secret_post" {
		t.Errorf("%+v", c.OIDC)
	}
	doc := w.fetch.documents["https://op.example.com/.well-known/openid-configuration"]
	p = update(object{"metadata": doc, "clientAuth": "AUTO", "pkce": "AUTO"})
	equal(t, "metadata in place of discovery", []any{at(t, p, "connection", "oidc", "discoveryUrl"), at(t, p, "connection", "oidc", "metadata"), at(t, p, "connection", "oidc", "clientAuth")}, []any{nil, doc, "AUTO"})
	p = update(object{"discoveryUrl": "https://op.example.com/"})
	equal(t, "and back", at(t, p, "connection", "oidc", "metadata"), nil)
	_, wrong := w.try("updateConnection", "UpdateConnectionInput", "__typename", object{"id": id, "oidc": object{"discoveryUrl": "https://other.example.com"}})
	equal(t, "another provider", []any{wrong["code"], wrong["path"]}, []any{"immutable", []string{"input", "oidc", "discoveryUrl"}})
	delete(w.fetch.documents, "https://op.example.com/.well-known/openid-configuration")
	w.now = w.now.AddDate(0, 0, 2)
	update(object{"clientSecret": "newer"}) // which needs nobody's answer
	if c, err = w.sso.Get(t.Context(), id); err != nil || c.OIDC.ClientSecret != "newer" || c.Protocol() != "oidc" {
		t.Errorf("%+v, %v", c, err)
	}
	if sso.Validate(c) != nil {
		t.Error("what is kept is not valid")
	}
}
