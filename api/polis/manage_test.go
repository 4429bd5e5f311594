package polis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

func anotherCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := federationtest.SelfSign(key, "Another", time.Unix(0, 0), time.Unix(1<<32, 0))
	check(t, err)
	return der
}

const noSelector = "Please provide `clientID` or `tenant` and `product`."

func TestGet(t *testing.T) {
	f := newFixture(t)
	first := f.create(object{"name": "first", "tenant": "a", "rawMetadata": idp(t, "https://one.example.com")})
	f.create(object{"name": "second", "tenant": "a", "sortOrder": 5, "rawMetadata": idp(t, "https://two.example.com")})
	f.create(object{"name": "third", "tenant": "a", "sortOrder": 9, "rawMetadata": idp(t, "https://three.example.com")})
	f.create(object{"name": "other", "tenant": "b", "rawMetadata": idp(t, "https://one.example.com")})
	f.create(object{"name": "foreign", "tenant": "a", "product": "else", "rawMetadata": idp(t, "https://one.example.com")})
	clientID, _ := first["clientID"].(string)
	one := url.QueryEscape("https://one.example.com")
	for _, c := range []struct {
		name, query string
		want        []any
	}{
		{"§1.1 GET by entityId, newest first", "entityId=" + one, []any{"foreign", "other", "first"}},
		{"§1.1 GET entityId comes before clientID", "entityId=urn:none&clientID=" + clientID, []any{}},
		{"§1.1 GET by clientID", "clientID=" + clientID, []any{"first"}},
		{"§1.1 GET clientID comes before tenant and product", "tenant=b&product=demo&clientID=" + clientID, []any{"first"}},
		{"§1.1 GET by tenant and product, newest first", "tenant=a&product=demo", []any{"third", "second", "first"}},
		{"§1.1 GET by several tenants, concatenated, duplicates removed", "tenant=b&tenant=a&tenant=b&tenant=&product=demo", []any{"other", "third", "second", "first"}},
		{"§1.1 GET strategy=saml", "tenant=b&product=demo&strategy=saml", []any{"other"}},
		{"§1.1 GET strategy=oidc", "tenant=b&product=demo&strategy=oidc", []any{}},
		{"§1.1 GET another strategy", "tenant=b&product=demo&strategy=x", []any{}},
		{"§1.1 GET sort=true by sortOrder descending, missing is 0", "tenant=a&product=demo&sort=true", []any{"third", "second", "first"}},
		{"§1.1 GET several tenants sorted", "tenant=b&tenant=a&product=demo&sort=true", []any{"third", "second", "other", "first"}},
		{"§1.1 GET sort of another value", "tenant=b&tenant=a&product=demo&sort=1", []any{"other", "third", "second", "first"}},
		{"§1.1 GET unknown clientID", "clientID=none", []any{}},
		{"§1.1 GET unknown tenant", "tenant=none&product=demo", []any{}},
		{"§1.1 GET unknown product", "tenant=a&product=none", []any{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := pick(f.get("/api/v1/sso?"+c.query), "name"); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			want := http.StatusNoContent
			if len(c.want) == 0 {
				want = http.StatusNotFound
			}
			for _, path := range []string{"/api/v1/sso/exists?", "/api/v1/connections/exists?", "/api/v1/saml/config/exists?"} {
				r := f.call(http.MethodGet, path+c.query, nil)
				if r.status != want || want == http.StatusNotFound && r.body != "{}\n" || want == http.StatusNoContent && r.body != "" {
					t.Errorf("§1.1 %s: %d %q, want %d", path, r.status, r.body, want)
				}
			}
		})
	}
	for _, query := range []string{"", "tenant=a", "product=demo", "tenant=&product=demo", "tenant=a&tenant=b", "clientID=&entityId="} {
		t.Run("§1.1 GET no selector: "+query, func(t *testing.T) {
			f.call(http.MethodGet, "/api/v1/sso?"+query, nil).refused(t, http.StatusBadRequest, noSelector)
			f.call(http.MethodGet, "/api/v1/sso/exists?"+query, nil).refused(t, http.StatusBadRequest, noSelector)
		})
	}
	t.Run("§1.1 GET elements have deactivated and friendlyProviderName", func(t *testing.T) {
		got := f.get("/api/v1/sso?clientID=" + clientID)[0]
		friendly, present := got["idpMetadata"].(object)["friendlyProviderName"]
		if got["deactivated"] != false || !present || friendly != nil {
			t.Errorf("record %v", got)
		}
		if got["clientSecret"] != first["clientSecret"] {
			t.Error("clientSecret is not returned")
		}
	})
}

func TestFriendlyProviderName(t *testing.T) {
	f := newFixture(t)
	for host, want := range map[string]any{
		"dev.okta.com": "Okta", "sts.windows.net": "Entra ID", "mocksaml.com": "MockSAML", "app.onelogin.com": "OneLogin",
		"x.keycloak.com": "Keycloak", "sso.jumpcloud.com": "JumpCloud", "accounts.google.com": "Google", "x.auth0.com": "Auth0",
		"auth.pingone.com": "PingOne", "idp.example.org": nil,
	} {
		t.Run(fmt.Sprintf("§1.1 GET friendlyProviderName of %s", host), func(t *testing.T) {
			made := f.create(object{"rawMetadata": idp(t, "https://"+host+"/id")})
			got := f.get("/api/v1/sso?clientID=" + made["clientID"].(string))[0]["idpMetadata"].(object)
			if got["friendlyProviderName"] != want || got["provider"] != host {
				t.Errorf("got %v of %v, want %v", got["friendlyProviderName"], got["provider"], want)
			}
		})
	}
}

// TestManyConnections: Polis stops after fifty without a word (§11.3 27); here nothing is lost.
func TestManyConnections(t *testing.T) {
	f := newFixture(t)
	const n = 53
	var names []any
	for i := range n {
		name := fmt.Sprintf("c%02d", i)
		f.create(object{"name": name, "rawMetadata": idp(t, "urn:"+name)})
		names = append(names, name)
	}
	slices.Reverse(names)
	t.Run("§11.3 27: GET is not capped", func(t *testing.T) {
		if got := pick(f.get("/api/v1/sso?tenant=boxyhq&product=demo"), "name"); !slices.Equal(got, names) {
			t.Errorf("%d connections, want %d", len(got), n)
		}
	})
	for _, c := range []struct {
		name, query string
		from, to    int
	}{
		{"§1.1 GET product: a bare array, §0.6 limit 50 by default, newest first", "", 0, 50},
		{"§0.6 pageOffset and pageLimit", "&pageOffset=2&pageLimit=3", 2, 5},
		{"§0.6 offset and limit", "&offset=2&limit=3", 2, 5},
		{"§0.6 the page* names win", "&pageOffset=1&offset=9&pageLimit=2&limit=9", 1, 3},
		{"§0.6 limit 0 is the maximum", "&limit=0", 0, 50},
		{"§0.6 a larger limit is the maximum", "&limit=51", 0, 50},
		{"§0.6 values that are no numbers are ignored", "&pageOffset=x&offset=1&pageLimit=y&limit=2", 1, 3},
		{"§0.6 a negative offset is none", "&offset=-1&limit=1", 0, 1},
		{"§0.6 the rest", "&offset=50", 50, 53},
		{"§0.6 behind the end", "&offset=60", 53, 53},
		{"§0.6 pageToken has no meaning", "&pageToken=x&limit=1", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := pick(f.get("/api/v1/sso/product?product=demo"+c.query), "name"); !slices.Equal(got, names[c.from:c.to]) {
				t.Errorf("got %v, want %v", got, names[c.from:c.to])
			}
		})
	}
	t.Run("§1.1 GET product: unknown", func(t *testing.T) {
		if got := f.get("/api/v1/sso/product?product=none"); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("§1.1 GET product: missing", func(t *testing.T) {
		f.call(http.MethodGet, "/api/v1/sso/product", nil).refused(t, http.StatusBadRequest, "Please provide a `product`.")
	})
	t.Run("§1.1 DELETE by tenant and product deletes all", func(t *testing.T) {
		f.call(http.MethodDelete, "/api/v1/sso?tenant=boxyhq&product=demo", nil).empty(t, http.StatusNoContent)
		if got := f.get("/api/v1/sso?tenant=boxyhq&product=demo"); len(got) != 0 {
			t.Errorf("%d connections are left", len(got))
		}
	})
}

func TestPatch(t *testing.T) {
	f := newFixture(t)
	made := f.create(object{"name": "N", "label": "L", "description": "D", "identifierFormat": "urn:f", "sortOrder": 3,
		"acsUrlOverride": "https://acs.example.com/", "samlAudienceOverride": "urn:aud"})
	clientID, _ := made["clientID"].(string)
	secret, _ := made["clientSecret"].(string)
	metadata := idp(t, "https://saml.example.com/entityid")
	with := func(change object) object {
		return merge(object{"clientID": clientID, "clientSecret": secret, "isSAML": true}, change)
	}
	const missing = "Please provide clientID/clientSecret or tenant/product/clientSecret"
	for _, c := range []struct {
		name    string
		body    object
		message string
	}{
		{"§1.1 PATCH strategy: neither", object{"clientID": clientID, "clientSecret": secret, "name": "x"}, "Missing SSO connection params"},
		{"§1.1 PATCH needs clientSecret", object{"isSAML": true, "clientID": clientID}, missing},
		{"§1.1 PATCH needs product", object{"isSAML": true, "tenant": "boxyhq", "clientSecret": secret}, missing},
		{"§1.1 PATCH needs tenant", object{"isSAML": true, "product": "demo", "clientSecret": secret}, missing},
		{"§1.1 PATCH needs a tenant that is not empty", object{"isSAML": true, "tenant": "", "product": "demo", "clientSecret": secret}, missing},
		{"§1.1 PATCH wrong secret", with(object{"clientSecret": "wrong"}), "clientSecret mismatch"},
		{"§1.1 PATCH not found: 400 and not 500", with(object{"clientID": "none"}), "No connection found for this clientID or tenant and product."},
		{"§1.1 PATCH not found by tenant and product", object{"isSAML": true, "tenant": "x", "product": "demo", "clientSecret": secret}, "No connection found for this clientID or tenant and product."},
		{"§1.1 PATCH description", with(object{"description": strings.Repeat("x", 101)}), "Description should not exceed 100 characters"},
		{"§1.1 PATCH sortOrder no number", with(object{"sortOrder": "x"}), "The field `sortOrder` must be a number."},
		{"§1.1 PATCH sortOrder negative", with(object{"sortOrder": "-1"}), "The field `sortOrder` must be a number greater than or equal to 0."},
		{"§1.1 PATCH redirectUrl", with(object{"redirectUrl": "no url"}), "redirectUrl is invalid"},
		{"§1.1 PATCH defaultRedirectUrl", with(object{"defaultRedirectUrl": "no url"}), "defaultRedirectUrl is invalid"},
		{"§1.1 PATCH metadata of another provider", with(object{"rawMetadata": idp(t, "urn:other"), "tenant": "boxyhq", "product": "demo"}), "Tenant/Product config mismatch with IdP metadata"},
		{"§1.1 PATCH metadata without tenant and product in the body", with(object{"rawMetadata": metadata}), "Tenant/Product config mismatch with IdP metadata"},
		{"§1.1 PATCH metadata with another tenant in the body", with(object{"rawMetadata": metadata, "tenant": "x", "product": "demo"}), "Tenant/Product config mismatch with IdP metadata"},
		{"§1.1 PATCH metadata without certificate", with(object{"rawMetadata": cut(metadata, "<md:KeyDescriptor", "</md:KeyDescriptor>")}), "Could not find X509Certificate in the IdP metadata."},
		{"§1.1 PATCH metadataUrl", with(object{"metadataUrl": "https://192.168.1.1/"}), "Metadata URL not valid, private IPs are not allowed"},
		{"§1.1 PATCH OIDC of a SAML connection", object{"clientID": clientID, "clientSecret": secret, "isOIDC": true}, "This connection is to a SAML identity provider: send its metadata or isSAML."},
		{"§1.1 PATCH a name that is no text", with(object{"name": 1}), "The field `name` must be a single text."},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.call(http.MethodPatch, "/api/v1/sso", c.body).refused(t, http.StatusBadRequest, c.message)
		})
	}
	read := func() object { return f.get("/api/v1/sso?clientID=" + clientID)[0] }
	t.Run("a refused PATCH changes nothing", func(t *testing.T) {
		got := read()
		if got["name"] != "N" || got["description"] != "D" || got["sortOrder"] != 3.0 || got["deactivated"] != false {
			t.Errorf("record %v", got)
		}
	})
	for _, c := range []struct {
		name   string
		change object
		member string
		want   any
	}{
		{"§1.1 PATCH name", object{"name": "M"}, "name", "M"},
		{"§1.1 PATCH others are kept", object{"name": "M"}, "label", "L"},
		{"§1.1 PATCH name null is kept", object{"name": nil}, "name", "M"},
		{"§1.1 PATCH label", object{"label": "K"}, "label", "K"},
		{"§1.1 PATCH description", object{"description": "E"}, "description", "E"},
		{"§1.1 PATCH description cleared by an empty text", object{"description": ""}, "description", nil},
		{"§1.1 PATCH defaultRedirectUrl", object{"defaultRedirectUrl": "https://n.example.com/"}, "defaultRedirectUrl", "https://n.example.com/"},
		{"§1.1 PATCH defaultRedirectUrl empty is kept", object{"defaultRedirectUrl": ""}, "defaultRedirectUrl", "https://n.example.com/"},
		{"§1.1 PATCH sortOrder", object{"sortOrder": "8"}, "sortOrder", 8.0},
		{"§1.1 PATCH sortOrder cleared", object{"sortOrder": nil}, "sortOrder", nil},
		{"§0.7 PATCH deactivated true", object{"deactivated": true}, "deactivated", true},
		{"§0.7 PATCH deactivated \"false\"", object{"deactivated": "false"}, "deactivated", false},
		{"§0.7 PATCH deactivated anything else", object{"deactivated": "no"}, "deactivated", true},
		{"§0.7 PATCH deactivated false", object{"deactivated": false}, "deactivated", false},
		{"§0.7 PATCH forceAuthn anything", object{"forceAuthn": 1}, "forceAuthn", true},
		{"§0.7 PATCH forceAuthn \"false\"", object{"forceAuthn": "false"}, "forceAuthn", false},
		{"§0.7 PATCH idpInitiated", object{"idpInitiated": "true"}, "idpInitiated", true},
		{"§0.7 PATCH idpInitiated false", object{"idpInitiated": false}, "idpInitiated", nil},
		{"§1.1 PATCH identifierFormat", object{"identifierFormat": "urn:g"}, "identifierFormat", "urn:g"},
		{"§1.1 PATCH acsUrlOverride", object{"acsUrlOverride": "https://b.example.com/"}, "acsUrlOverride", "https://b.example.com/"},
		{"§1.1 PATCH acsUrlOverride cleared", object{"acsUrlOverride": nil}, "acsUrlOverride", nil},
		{"§1.1 PATCH samlAudienceOverride cleared", object{"samlAudienceOverride": ""}, "samlAudienceOverride", nil},
		{"§1.1 PATCH metadata keys that are empty change nothing", object{"rawMetadata": "", "encodedRawMetadata": nil}, "name", "M"},
		{"unknown fields are ignored", object{"unknown": object{}}, "name", "M"},
		{"§1.1 PATCH clientSecret cannot change", object{}, "clientSecret", secret},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.call(http.MethodPatch, "/api/v1/sso", with(c.change)).empty(t, http.StatusNoContent)
			if got := read()[c.member]; got != c.want {
				t.Errorf("%s = %v, want %v", c.member, got, c.want)
			}
		})
	}
	for _, c := range []struct {
		value any
		want  []any
	}{
		{[]string{"https://x.example.com/", "https://y.example.com/"}, []any{"https://x.example.com/", "https://y.example.com/"}},
		{"", []any{"https://x.example.com/", "https://y.example.com/"}},
		{`["https://z.example.com/"]`, []any{"https://z.example.com/"}},
	} {
		t.Run(fmt.Sprintf("§1.1 PATCH redirectUrl %v, replaced when truthy", c.value), func(t *testing.T) {
			f.call(http.MethodPatch, "/api/v1/sso", with(object{"redirectUrl": c.value})).empty(t, http.StatusNoContent)
			if got := read()["redirectUrl"].([]any); !slices.Equal(got, c.want) {
				t.Errorf("redirectUrl = %v, want %v", got, c.want)
			}
		})
	}
	t.Run("§1.1 PATCH x-polis-return-connection: true", func(t *testing.T) {
		got := f.call(http.MethodPatch, "/api/v1/sso", with(object{"name": "R"}), "x-polis-return-connection", "true").object(t, http.StatusOK)
		if got["name"] != "R" || got["clientID"] != clientID || got["deactivated"] != false {
			t.Errorf("record %v", got)
		}
	})
	t.Run("§1.1 PATCH x-polis-return-connection of another value", func(t *testing.T) {
		f.call(http.MethodPatch, "/api/v1/sso", with(nil), "x-polis-return-connection", "1").empty(t, http.StatusNoContent)
	})
	t.Run("§1.1 PATCH as a form", func(t *testing.T) {
		form := url.Values{"clientID": {clientID}, "clientSecret": {secret}, "isSAML": {"1"}, "name": {"from a form"}, "deactivated": {"false"}}
		f.call(http.MethodPatch, "/api/v1/sso", form).empty(t, http.StatusNoContent)
		if got := read(); got["name"] != "from a form" || got["deactivated"] != false {
			t.Errorf("record %v", got)
		}
	})
}

func TestPatchMetadata(t *testing.T) {
	f := newFixture(t)
	const entityID = "https://saml.example.com/entityid"
	made := f.create(nil)
	change := object{"clientID": made["clientID"], "clientSecret": made["clientSecret"], "tenant": "boxyhq", "product": "demo"}
	moved := strings.ReplaceAll(idp(t, entityID), "https://idp.example.com/sso", "https://new.example.com/sso")
	upstream := serve(t, moved)
	read := func() object { return f.get("/api/v1/sso?clientID=" + made["clientID"].(string))[0] }
	address := func() any { return read()["idpMetadata"].(object)["sso"].(object)["postUrl"] }
	t.Run("§1.1 PATCH metadataUrl is fetched and kept", func(t *testing.T) {
		f.call(http.MethodPatch, "/api/v1/sso", merge(change, object{"metadataUrl": upstream})).empty(t, http.StatusNoContent)
		if got := read(); got["metadataUrl"] != upstream || address() != "https://new.example.com/sso" {
			t.Errorf("record %v", got)
		}
	})
	t.Run("§1.1 PATCH without metadata keeps metadataUrl", func(t *testing.T) {
		f.call(http.MethodPatch, "/api/v1/sso", merge(change, object{"isSAML": 1, "name": "x"})).empty(t, http.StatusNoContent)
		if got := read()["metadataUrl"]; got != upstream {
			t.Errorf("metadataUrl = %v", got)
		}
	})
	t.Run("§1.1 PATCH new metadata without metadataUrl clears it", func(t *testing.T) {
		f.call(http.MethodPatch, "/api/v1/sso", merge(change, object{"encodedRawMetadata": b64(idp(t, entityID))})).empty(t, http.StatusNoContent)
		if got := read(); got["metadataUrl"] != nil || address() != "https://idp.example.com/sso" {
			t.Errorf("record %v", got)
		}
	})
	t.Run("§1.1 PATCH by tenant, product and clientSecret", func(t *testing.T) {
		f.call(http.MethodPatch, "/api/v1/sso", object{"tenant": "boxyhq", "product": "demo", "clientSecret": made["clientSecret"], "isSAML": true, "name": "y"}).empty(t, http.StatusNoContent)
		if got := read()["name"]; got != "y" {
			t.Errorf("name = %v", got)
		}
	})
	t.Run("§1.1 PATCH by tenant and product takes the first result, the newest", func(t *testing.T) {
		f.create(object{"rawMetadata": idp(t, "urn:newer")})
		f.call(http.MethodPatch, "/api/v1/sso", object{"tenant": "boxyhq", "product": "demo", "clientSecret": made["clientSecret"], "isSAML": true}).
			refused(t, http.StatusBadRequest, "clientSecret mismatch")
	})
}

func TestDelete(t *testing.T) {
	f := newFixture(t)
	made := f.create(nil)
	clientID, secret := made["clientID"].(string), made["clientSecret"].(string)
	const missing = "Please provide `clientID` and `clientSecret` or `tenant` and `product`."
	left := func(t *testing.T, want int) {
		t.Helper()
		if got := f.get("/api/v1/sso?tenant=boxyhq&product=demo"); len(got) != want {
			t.Errorf("%d connections are left, want %d", len(got), want)
		}
	}
	for _, query := range []string{"", "clientID=" + clientID, "clientSecret=" + secret, "tenant=boxyhq", "product=demo", "clientID=" + clientID + "&clientSecret="} {
		t.Run("§1.1 DELETE without selector: "+query, func(t *testing.T) {
			f.call(http.MethodDelete, "/api/v1/sso?"+query, nil).refused(t, http.StatusBadRequest, missing)
			left(t, 1)
		})
	}
	t.Run("§1.1 DELETE takes query parameters only", func(t *testing.T) {
		f.call(http.MethodDelete, "/api/v1/sso", object{"clientID": clientID, "clientSecret": secret}).refused(t, http.StatusBadRequest, missing)
		left(t, 1)
	})
	t.Run("§1.1 DELETE wrong secret", func(t *testing.T) {
		f.call(http.MethodDelete, "/api/v1/sso?clientSecret=wrong&clientID="+clientID, nil).refused(t, http.StatusBadRequest, "clientSecret mismatch")
		left(t, 1)
	})
	t.Run("§1.1 DELETE unknown clientID", func(t *testing.T) {
		f.call(http.MethodDelete, "/api/v1/sso?clientSecret=wrong&clientID=none", nil).empty(t, http.StatusNoContent)
	})
	t.Run("§1.1 DELETE unknown tenant", func(t *testing.T) {
		f.call(http.MethodDelete, "/api/v1/sso?tenant=none&product=demo", nil).empty(t, http.StatusNoContent)
	})
	for _, strategy := range []string{"oidc", "x"} {
		t.Run("§1.1 DELETE with strategy "+strategy+" deletes no SAML connection", func(t *testing.T) {
			f.call(http.MethodDelete, "/api/v1/sso?tenant=boxyhq&product=demo&strategy="+strategy, nil).empty(t, http.StatusNoContent)
			left(t, 1)
		})
	}
	t.Run("§1.1 DELETE by clientID and clientSecret", func(t *testing.T) {
		f.call(http.MethodDelete, "/api/v1/sso?clientSecret="+secret+"&clientID="+clientID, nil).empty(t, http.StatusNoContent)
		left(t, 0)
	})
	t.Run("§1.1 DELETE by tenant, product and strategy=saml", func(t *testing.T) {
		f.create(nil)
		f.create(object{"rawMetadata": idp(t, "urn:second")})
		f.create(object{"tenant": "another"})
		f.call(http.MethodDelete, "/api/v1/sso?tenant=boxyhq&product=demo&strategy=saml", nil).empty(t, http.StatusNoContent)
		left(t, 0)
		if got := f.get("/api/v1/sso?tenant=another&product=demo"); len(got) != 1 {
			t.Errorf("%d connections of another tenant are left, want 1", len(got))
		}
	})
	t.Run("created again after DELETE the clientSecret is new", func(t *testing.T) {
		again := f.create(nil)
		if again["clientID"] != clientID || again["clientSecret"] == secret {
			t.Errorf("record %v", again)
		}
	})
}

func TestLegacyConfig(t *testing.T) {
	f := newFixture(t)
	const path = "/api/v1/saml/config"
	plain := func(t *testing.T, r reply, status int, body string) {
		t.Helper()
		if r.status != status || r.body != body || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
			t.Errorf("got %d %s %q, want %d text/plain %q", r.status, r.header.Get("Content-Type"), r.body, status, body)
		}
	}
	t.Run("§1.1 legacy GET of nothing is {}", func(t *testing.T) {
		if got := f.call(http.MethodGet, path+"?clientID=none", nil).object(t, http.StatusOK); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
	made := f.call(http.MethodPost, path, connection(t, object{"name": "N"})).object(t, http.StatusOK)
	clientID, secret := made["clientID"].(string), made["clientSecret"].(string)
	t.Run("§1.1 legacy POST makes a SAML connection", func(t *testing.T) {
		if got := f.get("/api/v1/sso?clientID=" + clientID); len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("§1.1 legacy POST: plain-text error, no strategy", func(t *testing.T) {
		plain(t, f.call(http.MethodPost, path, object{}), 400, noMetadata)
	})
	for _, query := range []string{"clientID=" + clientID, "tenant=boxyhq&product=demo"} {
		t.Run("§1.1 legacy GET by "+query, func(t *testing.T) {
			got := f.call(http.MethodGet, path+"?"+query, nil).object(t, http.StatusOK)
			if got["clientID"] != clientID || got["clientSecret"] != secret {
				t.Errorf("got %v", got)
			}
		})
	}
	t.Run("§1.1 legacy GET without selector", func(t *testing.T) {
		plain(t, f.call(http.MethodGet, path, nil), 400, noSelector)
	})
	t.Run("§1.1 legacy exists without selector", func(t *testing.T) {
		plain(t, f.call(http.MethodGet, path+"/exists", nil), 400, noSelector)
	})
	t.Run("§1.1 legacy PATCH", func(t *testing.T) {
		f.call(http.MethodPatch, path, object{"clientID": clientID, "clientSecret": secret, "name": "M"}).empty(t, http.StatusNoContent)
		if got := f.get("/api/v1/sso?clientID=" + clientID)[0]["name"]; got != "M" {
			t.Errorf("name = %v", got)
		}
	})
	t.Run("§1.1 legacy PATCH: plain-text error", func(t *testing.T) {
		plain(t, f.call(http.MethodPatch, path, object{"clientID": clientID, "clientSecret": "wrong"}), 400, "clientSecret mismatch")
	})
	t.Run("§0.4 dialect 3, 405", func(t *testing.T) {
		r := f.call(http.MethodPut, path, nil)
		plain(t, r, 405, "Method PUT not allowed.")
		if got := r.header.Get("Allow"); got != "GET, POST, PATCH, DELETE" {
			t.Errorf("Allow = %q", got)
		}
	})
	t.Run("§1.1 legacy DELETE: plain-text error", func(t *testing.T) {
		plain(t, f.call(http.MethodDelete, path+"?clientID="+clientID, nil), 400, "Please provide `clientID` and `clientSecret` or `tenant` and `product`.")
	})
	t.Run("§1.1 legacy DELETE forces strategy saml", func(t *testing.T) {
		f.call(http.MethodDelete, path+"?tenant=boxyhq&product=demo&strategy=oidc", nil).empty(t, http.StatusNoContent)
		if got := f.get("/api/v1/sso?tenant=boxyhq&product=demo"); len(got) != 0 {
			t.Errorf("%d connections are left", len(got))
		}
	})
}
