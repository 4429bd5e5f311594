package graph_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/sso"
)

// certificate makes a self-signed certificate, DER.
func certificate(t *testing.T, name string, notAfter time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: notAfter.AddDate(-1, 0, 0), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return der
}

// metadata writes an identity provider's metadata.
func metadata(entityID string, certificates ...[]byte) string {
	var keys strings.Builder
	for _, der := range certificates {
		fmt.Fprintf(&keys, `<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>`+
			`<ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`, base64.StdEncoding.EncodeToString(der))
	}
	return `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + entityID + `">` +
		`<md:IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + keys.String() +
		`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/>` +
		`</md:IDPSSODescriptor></md:EntityDescriptor>`
}

const allOfConnection = `connection { id clientId name label description title sortOrder active provider entityId
	ssoUrls { redirect post } certificates { subject notAfter expired fingerprint } wantsSignedRequests metadataUrl nameIdFormat
	forceAuthn signRequests binding idpInitiated acsUrlOverride entityIdOverride redirectUrls defaultRedirectUrl
	spEntityId acsUrl spMetadataUrl organization { slug } project { slug } }`

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func TestConnections(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	old, current := certificate(t, "old", w.now.AddDate(0, -1, 0)), certificate(t, "current", w.now.AddDate(1, 0, 0))
	xml := metadata("https://www.idp.example.com/entity", old, current)

	p := w.mutate("createConnection", "CreateConnectionInput", allOfConnection+" clientSecret",
		object{"organizationId": organizationID, "metadataXml": xml})
	id := at(t, p, "connection", "id").(string)
	if secret, _ := p["clientSecret"].(string); len(secret) < 32 {
		t.Errorf("client secret %q", secret)
	}
	want := object{"id": id, "clientId": at(t, p, "connection", "clientId"), "name": "", "label": "", "description": "",
		"title": "idp.example.com", "sortOrder": nil, "active": true, "provider": "idp.example.com",
		"entityId": "https://www.idp.example.com/entity", "ssoUrls": object{"redirect": "https://idp.example.com/sso", "post": nil},
		"certificates": []object{
			{"subject": "CN=old", "notAfter": "2026-02-01T12:00:00Z", "expired": true, "fingerprint": fingerprint(old)},
			{"subject": "CN=current", "notAfter": "2027-03-01T12:00:00Z", "expired": false, "fingerprint": fingerprint(current)}},
		"wantsSignedRequests": true, "metadataUrl": nil, "nameIdFormat": nil, "forceAuthn": false, "signRequests": "AUTO",
		"binding": "AUTO", "idpInitiated": false, "acsUrlOverride": nil, "entityIdOverride": nil, "redirectUrls": []string{},
		"defaultRedirectUrl": nil, "spEntityId": "https://saml.example.com", "acsUrl": publicURL + "/api/oauth/saml",
		"spMetadataUrl": publicURL + "/.well-known/sp-metadata?connection=" + id,
		"organization":  object{"slug": "acme"}, "project": object{"slug": "shop"}}
	equal(t, "created", p["connection"], want)

	settings := object{"id": id, "name": "acme-idp", "label": "Acme staff", "description": "d", "sortOrder": -3, "active": false,
		"nameIdFormat": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", "forceAuthn": true, "signRequests": "NEVER",
		"binding": "REDIRECT", "idpInitiated": true, "acsUrlOverride": "https://acs.example.com/acs", "entityIdOverride": "urn:us",
		"redirectUrls": []string{"https://app.example.com/a"}, "defaultRedirectUrl": "https://app.example.com/"}
	p = w.mutate("updateConnection", "UpdateConnectionInput", allOfConnection, settings)
	for field, value := range settings {
		want[field] = value
	}
	want["title"], want["spEntityId"], want["acsUrl"] = "Acme staff", "urn:us", "https://acs.example.com/acs"
	equal(t, "every setting", p["connection"], want)

	p = w.mutate("updateConnection", "UpdateConnectionInput", allOfConnection, object{"id": id, "label": "", "binding": "AUTO",
		"signRequests": "ALWAYS", "active": true, "acsUrlOverride": "", "redirectUrls": []string{}, "name": nil})
	for field, value := range (object{"label": "", "title": "acme-idp", "binding": "AUTO", "signRequests": "ALWAYS", "active": true,
		"acsUrlOverride": nil, "acsUrl": publicURL + "/api/oauth/saml", "redirectUrls": []string{}}) {
		want[field] = value
	}
	equal(t, "some cleared, the rest as it was", p["connection"], want)
	equal(t, "read", w.run(`query($id: ID!) { connection(id: $id) { label } }`, object{"id": id}), object{"connection": object{"label": ""}})
	equal(t, "listed", w.run(`query($id: ID!) { organization(id: $id) { connections { nodes { id } totalCount } } }`, object{"id": organizationID}),
		object{"organization": object{"connections": object{"nodes": []object{{"id": id}}, "totalCount": 1}}})

	_, wrong := w.try("deleteOrganization", "DeleteOrganizationInput", "deletedId", object{"id": organizationID})
	equal(t, "organization not empty", wrong["code"], "not_empty")
	w.mutate("deleteConnection", "DeleteConnectionInput", "deletedId", object{"id": id})
	equal(t, "gone", w.run(`query($id: ID!) { connection(id: $id) { id } }`, object{"id": id}), object{"connection": nil})
	w.mutate("deleteOrganization", "DeleteOrganizationInput", "deletedId", object{"id": organizationID})
}

// TestMetadataForms makes connections from each form of metadata, and changes where the metadata comes from.
func TestMetadataForms(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	der, next := certificate(t, "one", w.now.AddDate(1, 0, 0)), certificate(t, "two", w.now.AddDate(1, 0, 0))
	const address = "https://idp.example.com/metadata"
	xml := metadata("urn:idp", der)
	w.fetch.documents[address] = xml
	const fields = "connection { id entityId metadataUrl certificates { subject } }"
	for form, value := range map[string]string{"metadataXml": xml, "metadataBase64": base64.StdEncoding.EncodeToString([]byte(xml)), "metadataUrl": address} {
		p := w.mutate("createConnection", "CreateConnectionInput", fields,
			object{"organizationId": w.organization(projectID, form), form: value})
		equal(t, form, at(t, p, "connection", "entityId"), "urn:idp")
		id := at(t, p, "connection", "id")

		if form != "metadataUrl" {
			_, wrong := w.try("refreshConnectionMetadata", "RefreshConnectionMetadataInput", fields, object{"id": id})
			equal(t, "nothing to refresh", []any{wrong["code"], wrong["path"]}, []any{"no_metadata_url", []string{"input", "id"}})
			continue
		}
		equal(t, "address kept", at(t, p, "connection", "metadataUrl"), address)
		w.fetch.documents[address] = metadata("urn:idp", der, next)
		p = w.mutate("refreshConnectionMetadata", "RefreshConnectionMetadataInput", fields, object{"id": id})
		equal(t, "refreshed", at(t, p, "connection", "certificates"), []object{{"subject": "CN=one"}, {"subject": "CN=two"}})

		w.fetch.documents[address] = metadata("urn:somebody-else", der)
		_, wrong := w.try("refreshConnectionMetadata", "RefreshConnectionMetadataInput", fields, object{"id": id})
		equal(t, "another provider", []any{wrong["code"], wrong["path"]}, []any{"immutable", []string{"input", "id"}})
		delete(w.fetch.documents, address)
		_, wrong = w.try("refreshConnectionMetadata", "RefreshConnectionMetadataInput", fields, object{"id": id})
		equal(t, "unreachable", wrong["code"], "metadata_fetch")

		p = w.mutate("updateConnection", "UpdateConnectionInput", fields, object{"id": id, "metadataXml": metadata("urn:idp", next)})
		equal(t, "text in place of the address", []any{at(t, p, "connection", "metadataUrl"), at(t, p, "connection", "certificates")},
			[]any{nil, []object{{"subject": "CN=two"}}})
	}
}

// TestUserErrors walks what callers get wrong, with the code and the path they are told.
func TestUserErrors(t *testing.T) {
	w := newWorld(t)
	projectID := w.project("shop")
	organizationID := w.organization(projectID, "acme")
	applicationID := w.application(projectID, "Web")
	xml := metadata("urn:idp", certificate(t, "one", w.now.AddDate(1, 0, 0)))
	p := w.mutate("createConnection", "CreateConnectionInput", "connection { id }", object{"organizationId": organizationID, "metadataXml": xml})
	connectionID := at(t, p, "connection", "id")
	const none = "0190a8a0-0000-7000-8000-000000000000"

	for _, c := range []struct {
		field string
		input object
		code  string
		path  string
	}{
		{"createProject", object{"slug": "shop"}, "taken", "slug"},
		{"createProject", object{"slug": "a:b"}, "invalid", "slug"},
		{"createProject", object{"slug": " "}, "required", "slug"},
		{"createProject", object{"slug": strings.Repeat("x", 300)}, "too_long", "slug"},
		{"createProject", object{"name": ""}, "required", "name"},
		{"updateProject", object{"id": none, "name": "x"}, "not_found", "id"},
		{"updateProject", object{"id": projectID, "name": strings.Repeat("x", 600)}, "too_long", "name"},
		{"deleteProject", object{"id": none}, "not_found", "id"},
		{"deleteProject", object{"id": ""}, "not_found", "id"},
		{"deleteProject", object{"id": "\x00"}, "not_found", "id"},
		{"createOrganization", object{"projectId": none}, "not_found", "projectId"},
		{"createOrganization", object{"projectId": projectID, "slug": "acme"}, "taken", "slug"},
		{"updateOrganization", object{"id": organizationID, "label": " "}, "required", "label"},
		{"updateOrganization", object{"id": none}, "not_found", "id"},
		{"deleteOrganization", object{"id": none}, "not_found", "id"},
		{"createApplication", object{"projectId": none, "name": "x", "redirectUris": []string{"https://a.example.com/"}}, "not_found", "projectId"},
		{"createApplication", object{"projectId": projectID, "name": "", "redirectUris": []string{"https://a.example.com/"}}, "required", "name"},
		{"createApplication", object{"projectId": projectID, "name": "x", "redirectUris": []string{}}, "required", "redirectUris"},
		{"createApplication", object{"projectId": projectID, "name": "x", "redirectUris": []string{"https://a.example.com/*"}}, "invalid", "redirectUris"},
		{"updateApplication", object{"id": applicationID, "redirectUris": []string{"javascript:alert(1)"}}, "invalid", "redirectUris"},
		{"updateApplication", object{"id": none}, "not_found", "id"},
		{"rotateApplicationSecret", object{"id": none}, "not_found", "id"},
		{"deleteApplication", object{"id": none}, "not_found", "id"},
		{"createConnection", object{"organizationId": none, "metadataXml": xml}, "not_found", "organizationId"},
		{"createConnection", object{"organizationId": organizationID, "metadataXml": xml}, "taken", "metadataXml"},
		{"createConnection", object{"organizationId": organizationID}, "required", "metadataXml"},
		{"createConnection", object{"organizationId": organizationID, "metadataXml": "<x/>"}, "metadata_metadata", "metadataXml"},
		{"createConnection", object{"organizationId": organizationID, "metadataXml": "<!DOCTYPE x><x/>"}, "metadata_forbidden_xml", "metadataXml"},
		{"createConnection", object{"organizationId": organizationID, "metadataBase64": "%%"}, "metadata_malformed", "metadataBase64"},
		{"createConnection", object{"organizationId": organizationID, "metadataUrl": "http://idp.example.com/"}, "metadata_url", "metadataUrl"},
		{"createConnection", object{"organizationId": organizationID, "metadataUrl": "https://nobody.example.com/"}, "metadata_fetch", "metadataUrl"},
		{"createConnection", object{"organizationId": organizationID, "metadataXml": xml, "metadataUrl": "https://a.example.com/"}, "ambiguous", "metadataUrl"},
		{"updateConnection", object{"id": none, "name": "x"}, "not_found", "id"},
		{"updateConnection", object{"id": connectionID, "binding": "POST"}, "invalid", "binding"},
		{"updateConnection", object{"id": connectionID, "acsUrlOverride": "/acs"}, "invalid", "acsUrlOverride"},
		{"updateConnection", object{"id": connectionID, "redirectUrls": []string{"nonsense"}}, "invalid", "redirectUrls"},
		{"updateConnection", object{"id": connectionID, "defaultRedirectUrl": "data:text/html,x"}, "invalid", "defaultRedirectUrl"},
		{"updateConnection", object{"id": connectionID, "description": strings.Repeat("x", 500)}, "too_long", "description"},
		{"updateConnection", object{"id": connectionID, "metadataXml": strings.Replace(xml, "urn:idp", "urn:other", 1)}, "immutable", "metadataXml"},
		{"refreshConnectionMetadata", object{"id": none}, "not_found", "id"},
		{"deleteConnection", object{"id": none}, "not_found", "id"},
	} {
		inputType := strings.ToUpper(c.field[:1]) + c.field[1:] + "Input"
		_, wrong := w.try(c.field, inputType, "__typename", c.input)
		if wrong == nil {
			t.Errorf("%s %v is accepted", c.field, c.input)
			continue
		}
		equal(t, fmt.Sprint(c.field, " ", c.input), []any{wrong["code"], wrong["path"]}, []any{c.code, []string{"input", c.path}})
		if wrong["message"] == "" {
			t.Errorf("%s %v has no message", c.field, c.input)
		}
	}
}

// TestSortOrderBeyond32Bits reads an order that was given over another API: that field alone fails.
func TestSortOrderBeyond32Bits(t *testing.T) {
	w := newWorld(t)
	organizationID := w.organization(w.project("shop"), "acme")
	idp, err := w.sso.ReadMetadata(t.Context(), sso.Metadata{XML: metadata("urn:idp", certificate(t, "c", w.now.AddDate(1, 0, 0)))})
	must(t, err)
	order := int64(1) << 40
	c, err := w.sso.Put(t.Context(), organizationID, sso.Connection{IdentityProvider: idp, SortOrder: &order}, false)
	must(t, err)
	a := w.send(`query($id: ID!) { connection(id: $id) { id sortOrder } }`, object{"id": c.ID})
	equal(t, "the rest", a.Data, object{"connection": object{"id": c.ID, "sortOrder": nil}})
	if len(a.Errors) != 1 || a.Errors[0].Extensions.Code != "out_of_range" {
		t.Errorf("%+v", a.Errors)
	}
}
