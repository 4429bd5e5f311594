package polis_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	noMetadata = "Please provide rawMetadata or encodedRawMetadata or metadataUrl"
	badFetch   = "Couldn't fetch XML data"
)

func TestPostRefuses(t *testing.T) {
	f := newFixture(t)
	status := http.StatusOK
	body := "<none/>"
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer upstream.Close()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	urls := make([]string, 101)
	for i := range urls {
		urls[i] = fmt.Sprintf("https://app.example.com/%d", i)
	}
	good := idp(t, "https://saml.example.com/entityid")
	oidc := object{"rawMetadata": nil, "oidcClientId": "id", "oidcClientSecret": "secret"}
	issuer := object{"issuer": "https://op.example.com", "authorization_endpoint": "https://op.example.com/a",
		"token_endpoint": "https://op.example.com/t", "userinfo_endpoint": "https://op.example.com/u", "jwks_uri": "https://op.example.com/j"}
	for _, c := range []struct {
		name    string
		change  object
		message string
	}{
		{"§1.1 strategy: neither", object{"rawMetadata": nil}, "Missing SSO connection params"},
		{"§1.1 POST 1: SAML by isSAML alone, whatever its value", object{"rawMetadata": nil, "isSAML": false}, noMetadata},
		{"§1.1 POST 1: SAML by an empty rawMetadata", object{"rawMetadata": ""}, noMetadata},
		{"§1.1 POST 1: SAML by encodedRawMetadata null", object{"rawMetadata": nil, "encodedRawMetadata": ""}, noMetadata},
		{"§1.1 POST 1: SAML by metadataUrl", object{"rawMetadata": nil, "metadataUrl": ""}, noMetadata},
		{"§1.1 POST both strategies: SAML wins", object{"rawMetadata": "", "isOIDC": true}, noMetadata},
		{"§1.1 POST 1: OIDC by isOIDC without clientId", object{"rawMetadata": nil, "isOIDC": true}, "Please provide the clientId from OpenID Provider"},
		{"§1.1 POST 1: OIDC without clientSecret", object{"rawMetadata": nil, "oidcDiscoveryUrl": "https://op.example.com", "oidcClientId": "id"}, "Please provide the clientSecret from OpenID Provider"},
		{"§1.1 POST 1: OIDC without discoveryUrl", merge(oidc, object{"oidcMetadata": ""}), "Please provide the discoveryUrl or issuer metadata for the OpenID Provider"},
		{"§1.1 POST 1: OIDC metadata without issuer", merge(oidc, object{"oidcMetadata": merge(issuer, object{"issuer": ""})}), `"issuer" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC metadata without authorization_endpoint", merge(oidc, object{"oidcMetadata": merge(issuer, object{"authorization_endpoint": ""})}), `"authorization_endpoint" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC metadata without token_endpoint", merge(oidc, object{"oidcMetadata": merge(issuer, object{"token_endpoint": ""})}), `"token_endpoint" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC metadata without userinfo_endpoint", merge(oidc, object{"oidcMetadata": merge(issuer, object{"userinfo_endpoint": ""})}), `"userinfo_endpoint" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC metadata without jwks_uri", merge(oidc, object{"oidcMetadata": merge(issuer, object{"jwks_uri": ""})}), `"jwks_uri" missing in the metadata for the OpenID Provider`},
		{"§1.1 POST 1: OIDC metadata that is no JSON", merge(oidc, object{"oidcMetadata": "{"}), "Could not parse OIDC Provider metadata, expected a valid JSON string"},
		{"§1.1 POST 2: OIDC without defaultRedirectUrl", merge(oidc, object{"oidcMetadata": issuer, "defaultRedirectUrl": ""}), "Please provide a defaultRedirectUrl"},
		{"§1.1 POST 3: OIDC without redirectUrl", merge(oidc, object{"oidcDiscoveryUrl": "https://op.example.com", "redirectUrl": ""}), "Please provide redirectUrl"},
		{"§1.1 POST 8: OIDC, tenant with a colon", merge(oidc, object{"oidcDiscoveryUrl": "https://op.example.com", "tenant": "a:b"}), "tenant cannot contain the character :"},
		{"§1.1 POST 9: OIDC, sortOrder no number", merge(oidc, object{"oidcDiscoveryUrl": "https://op.example.com", "sortOrder": "x"}), "The field `sortOrder` must be a number."},
		{"OIDC discovery URL not HTTPS", merge(oidc, object{"oidcDiscoveryUrl": "http://op.example.com"}), "The discovery URL is not valid: give an https URL, or one of localhost."},
		{"OIDC discovery URL no URL", merge(oidc, object{"oidcDiscoveryUrl": "op"}), "The discovery URL is not valid: give an https URL, or one of localhost."},
		{"OIDC metadata with an endpoint that is no URL", merge(oidc, object{"oidcMetadata": merge(issuer, object{"token_endpoint": "t"})}), "In the metadata of the OpenID provider token_endpoint is no https URL."},
		{"OIDC client id that is no text", merge(oidc, object{"oidcDiscoveryUrl": "https://op.example.com", "oidcClientId": 1}), "The field `oidcClientId` must be a single text."},

		{"§1.1 POST 2: defaultRedirectUrl", object{"defaultRedirectUrl": nil}, "Please provide a defaultRedirectUrl"},
		{"§1.1 POST 2 comes after 1", object{"defaultRedirectUrl": nil, "rawMetadata": ""}, noMetadata},
		{"§1.1 POST 3: redirectUrl", object{"redirectUrl": nil}, "Please provide redirectUrl"},
		{"§1.1 POST 3: redirectUrl empty", object{"redirectUrl": "", "tenant": ""}, "Please provide redirectUrl"},
		{"§1.1 POST 4: tenant", object{"tenant": nil, "product": nil}, "Please provide tenant"},
		{"§1.1 POST 4: tenant of white space", object{"tenant": " "}, "Please provide tenant"},
		{"§1.1 POST 5: product", object{"product": "", "description": strings.Repeat("x", 101)}, "Please provide product"},
		{"§1.1 POST 6: description", object{"description": strings.Repeat("é", 101), "redirectUrl": urls}, "Description should not exceed 100 characters"},
		{"§1.1 POST 7: more than 100 URLs", object{"redirectUrl": urls, "defaultRedirectUrl": "no url"}, "Exceeded maximum number of allowed redirect urls"},
		{"§1.1 POST 7: redirectUrl unparsable", object{"redirectUrl": []string{"https://a.example.com", "no url"}, "defaultRedirectUrl": "no url"}, "redirectUrl is invalid"},
		{"§1.1 POST 7: redirectUrl a text that is no JSON list", object{"redirectUrl": "[https://a.example.com]"}, "redirectUrl is invalid"},
		{"§1.1 POST 7: redirectUrl a list of other things", object{"redirectUrl": []any{1}}, "redirectUrl is invalid"},
		{"§1.1 POST 7: redirectUrl an object", object{"redirectUrl": object{}}, "redirectUrl is invalid"},
		{"§1.1 POST 7: redirectUrl that a browser would run", object{"redirectUrl": "javascript:alert(1)"}, "redirectUrl is invalid"},
		{"§1.1 POST 7: redirectUrl with a fragment (RFC 6749 §3.1.2)", object{"redirectUrl": "https://a.example.com/#x"}, "redirectUrl is invalid"},
		{"§1.1 POST 7: defaultRedirectUrl unparsable", object{"defaultRedirectUrl": "no url", "tenant": "a:b"}, "defaultRedirectUrl is invalid"},
		{"§1.1 POST 8: tenant with a colon", object{"tenant": "a:b", "product": "a:b"}, "tenant cannot contain the character :"},
		{"§1.1 POST 8: product with a colon", object{"product": "a:b", "sortOrder": "x"}, "product cannot contain the character :"},
		{"tenant with a control character", object{"tenant": "a\nb"}, "tenant cannot contain control characters"},
		{"product too long", object{"product": strings.Repeat("p", 257)}, "product has at most 256 bytes"},
		{"§1.1 POST 9: sortOrder no number", object{"sortOrder": "x", "rawMetadata": "<none/>"}, "The field `sortOrder` must be a number."},
		{"§1.1 POST 9: sortOrder true", object{"sortOrder": true}, "The field `sortOrder` must be a number."},
		{"§1.1 POST 9: sortOrder NaN", object{"sortOrder": "NaN"}, "The field `sortOrder` must be a number."},
		{"§1.1 POST 9: sortOrder infinite", object{"sortOrder": "Infinity"}, "The field `sortOrder` must be a number."},
		{"§1.1 POST 9: sortOrder beyond exact numbers", object{"sortOrder": 1e300}, "The field `sortOrder` must be a number."},
		{"§1.1 POST 9: sortOrder negative", object{"sortOrder": -1}, "The field `sortOrder` must be a number greater than or equal to 0."},
		{"§1.1 POST 10: metadata URL not HTTPS", object{"metadataUrl": "http://saml.example.com/metadata"}, "Metadata URL not valid, allowed ones are localhost/HTTPS URLs"},
		{"§1.1 POST 10: metadata URL of another scheme", object{"metadataUrl": "file:///etc/passwd"}, "Metadata URL not valid, allowed ones are localhost/HTTPS URLs"},
		{"§1.1 POST 10: metadata URL no URL", object{"metadataUrl": "no url"}, "Metadata URL not valid, allowed ones are localhost/HTTPS URLs"},
		{"§1.1 POST 10: metadata URL private IPv4", object{"metadataUrl": "https://10.0.0.1/metadata"}, "Metadata URL not valid, private IPs are not allowed"},
		{"§1.1 POST 10: metadata URL unique-local IPv6", object{"metadataUrl": "https://[fd00::1]/metadata"}, "Metadata URL not valid, private IPs are not allowed"},
		{"§11.1 7: metadata URL link-local", object{"metadataUrl": "https://169.254.169.254/metadata"}, "Metadata URL not valid, private IPs are not allowed"},
		{"§1.1 POST 10: nobody answers", object{"metadataUrl": dead.URL}, badFetch},
		{"§1.1 POST 10: metadataUrl wins over both", object{"metadataUrl": upstream.URL, "encodedRawMetadata": b64(good)}, "Please provide a metadata with IDPSSODescriptor"},
		{"§1.1 POST 11: no XML, 400 and not 500", object{"rawMetadata": "junk"}, ""},
		{"§1.1 POST 11: broken XML, 400 and not 500", object{"rawMetadata": good[:len(good)/2]}, ""},
		{"§1.1 POST 11: DOCTYPE", object{"rawMetadata": `<!DOCTYPE a [<!ENTITY b "c">]>` + good}, ""},
		{"§1.1 POST 11: not base64", object{"encodedRawMetadata": "***"}, "The encoded metadata is not base64."},
		{"§1.1 POST 11: no certificate, 400 and not 500", object{"rawMetadata": cut(good, "<md:KeyDescriptor", "</md:KeyDescriptor>")}, "Could not find X509Certificate in the IdP metadata."},
		{"§1.1 POST 11: no IDPSSODescriptor", object{"rawMetadata": strings.ReplaceAll(good, "IDPSSODescriptor", "SPSSODescriptor")}, "Please provide a metadata with IDPSSODescriptor"},
		{"§1.1 POST 11: no entityID", object{"rawMetadata": strings.Replace(good, "https://saml.example.com/entityid", "", 1)}, "Couldn't parse EntityID from SAML metadata"},
		{"§1.1 POST 11: no POST or REDIRECT binding", object{"rawMetadata": regexp.MustCompile(`bindings:HTTP-(POST|Redirect)`).ReplaceAllString(good, "bindings:SOAP")}, "Couldn't find SAML bindings for POST/REDIRECT"},
		{"§1.1 POST 11: SSO URL neither http nor https", object{"rawMetadata": strings.ReplaceAll(good, "https://idp.example.com/sso", "javascript:alert(1)")}, "SSO URL not valid, allowed ones are localhost/HTTP/HTTPS URLs"},
		{"a name that is too long", object{"name": strings.Repeat("n", 513)}, "name: This text is too long."},
		{"an identifierFormat that is too long", object{"identifierFormat": strings.Repeat("n", 513)}, "identifierFormat: This text is too long."},
		{"an acsUrlOverride that is no URL", object{"acsUrlOverride": "acs"}, "The ACS address must be an absolute http or https URL."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := f.call(http.MethodPost, "/api/v1/sso", connection(t, c.change))
			if c.message == "" { // the parser's own words
				message, _ := r.object(t, http.StatusBadRequest)["error"].(object)["message"].(string)
				if message == "" {
					t.Error("no message")
				}
				return
			}
			r.refused(t, http.StatusBadRequest, c.message)
		})
	}
	for _, c := range []struct{ upstream, want int }{{404, 404}, {503, 503}, {500, 400}} {
		t.Run(fmt.Sprintf("§1.1 POST 10: upstream answers %d", c.upstream), func(t *testing.T) {
			status = c.upstream
			f.call(http.MethodPost, "/api/v1/sso", connection(t, object{"metadataUrl": upstream.URL})).refused(t, c.want, badFetch)
		})
	}
	t.Run("§1.1 POST 10: 1 MB cap", func(t *testing.T) {
		status, body = http.StatusOK, strings.Repeat(" ", 1<<20+1)
		f.call(http.MethodPost, "/api/v1/sso", connection(t, object{"metadataUrl": upstream.URL})).refused(t, http.StatusBadRequest, badFetch)
	})
	t.Run("a refused body leaves nothing behind", func(t *testing.T) {
		if n, err := f.services.Projects.Count(t.Context()); err != nil || n != 0 {
			t.Errorf("%d projects, %v", n, err)
		}
	})
}

func TestPostAnswersTheRecord(t *testing.T) {
	f := newFixture(t)
	certificate := sharedIdP(t).Certificate
	sum := sha1.Sum(certificate)
	t.Run("§1.1 vector of clientID", func(t *testing.T) {
		made := f.create(object{"tenant": "api-boxyhq", "product": "api-saml-jackson"})
		if made["clientID"] != "8d5862f4017db0485b6c079ad3b1ef5003d443e2" {
			t.Errorf("clientID = %v", made["clientID"])
		}
	})
	t.Run("§1.1 POST members of a record with nothing optional", func(t *testing.T) {
		made := f.create(nil)
		want := []string{"clientID", "clientSecret", "defaultRedirectUrl", "forceAuthn", "idpMetadata", "product", "redirectUrl", "sortOrder", "tenant"}
		if got := members(made); !slices.Equal(got, want) {
			t.Errorf("members %v, want %v", got, want)
		}
		if made["sortOrder"] != nil || made["forceAuthn"] != false || made["tenant"] != "boxyhq" || made["product"] != "demo" {
			t.Errorf("record %v", made)
		}
		if !regexp.MustCompile(`^[0-9a-f]{48}$`).MatchString(made["clientSecret"].(string)) {
			t.Errorf("clientSecret %v is not 48 hexadecimal characters", made["clientSecret"])
		}
	})
	t.Run("§1.1 POST members of a full record", func(t *testing.T) {
		made := f.create(object{"tenant": "full", "name": "N", "label": "L", "description": strings.Repeat("é", 100), "sortOrder": "7.9",
			"forceAuthn": "true", "identifierFormat": "urn:f", "acsUrlOverride": "https://acs.example.com/acs",
			"samlAudienceOverride": "urn:aud", "idpInitiated": true, "unknownField": object{"a": 1}})
		want := []string{"acsUrlOverride", "clientID", "clientSecret", "defaultRedirectUrl", "description", "forceAuthn", "identifierFormat",
			"idpInitiated", "idpMetadata", "label", "name", "product", "redirectUrl", "samlAudienceOverride", "sortOrder", "tenant"}
		if got := members(made); !slices.Equal(got, want) {
			t.Errorf("members %v, want %v", got, want)
		}
		for name, value := range map[string]any{"name": "N", "label": "L", "sortOrder": 7.0, "forceAuthn": true, "identifierFormat": "urn:f",
			"acsUrlOverride": "https://acs.example.com/acs", "samlAudienceOverride": "urn:aud", "idpInitiated": true} {
			if made[name] != value {
				t.Errorf("%s = %v, want %v", name, made[name], value)
			}
		}
	})
	t.Run("§1.1 POST idpMetadata", func(t *testing.T) {
		made, _ := f.create(nil)["idpMetadata"].(object)
		want := []string{"entityID", "loginType", "provider", "publicKey", "slo", "sso", "thumbprint", "validTo"}
		if got := members(made); !slices.Equal(got, want) {
			t.Errorf("members %v, want %v: friendlyProviderName is not in the answer of POST", got, want)
		}
		for name, value := range map[string]any{"entityID": "https://saml.example.com/entityid", "loginType": "idp", "provider": "saml.example.com",
			"publicKey": base64.StdEncoding.EncodeToString(certificate), "thumbprint": hex.EncodeToString(sum[:]),
			"validTo": "Jul  1 21:46:38 2036 GMT"} {
			if made[name] != value {
				t.Errorf("%s = %v, want %v", name, made[name], value)
			}
		}
		bindings, _ := made["sso"].(object)
		if bindings["postUrl"] != "https://idp.example.com/sso" || bindings["redirectUrl"] != "https://idp.example.com/sso" {
			t.Errorf("sso = %v", bindings)
		}
		if slo, ok := made["slo"].(object); !ok || len(slo) != 0 {
			t.Errorf("slo = %v, want {}", made["slo"])
		}
	})
	t.Run("§1.1 POST several signing certificates are joined by commas", func(t *testing.T) {
		metadata := idp(t, "https://two.example.com")
		key := metadata[strings.Index(metadata, "<md:KeyDescriptor") : strings.Index(metadata, "</md:KeyDescriptor>")+len("</md:KeyDescriptor>")]
		second := anotherCertificate(t)
		metadata = strings.Replace(metadata, key, key+strings.Replace(key, base64.StdEncoding.EncodeToString(certificate),
			base64.StdEncoding.EncodeToString(second), 1), 1)
		made, _ := f.create(object{"rawMetadata": metadata})["idpMetadata"].(object)
		for name, want := range map[string]int{"publicKey": 1, "thumbprint": 1, "validTo": 1} {
			if got := strings.Count(made[name].(string), ","); got != want {
				t.Errorf("%s = %v: %d commas, want %d", name, made[name], got, want)
			}
		}
	})
	for _, c := range []struct {
		name, entityID, provider string
	}{
		{"the host of the entity ID", "https://www.acme.example.com/x", "acme.example.com"},
		{"else of the SSO URL", "urn:acme", "idp.example.com"},
	} {
		t.Run("§1.1 provider: "+c.name, func(t *testing.T) {
			made := f.create(object{"rawMetadata": idp(t, c.entityID)})
			if got := made["idpMetadata"].(object)["provider"]; got != c.provider {
				t.Errorf("provider = %v, want %s", got, c.provider)
			}
		})
	}
}

func TestPostForms(t *testing.T) {
	f := newFixture(t)
	metadata := idp(t, "https://saml.example.com/entityid")
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(metadata)) }))
	defer upstream.Close()
	form := func(change url.Values) url.Values {
		v := url.Values{"tenant": {"t"}, "product": {"p"}, "defaultRedirectUrl": {"https://a.example.com/"},
			"redirectUrl": {"https://a.example.com/"}, "encodedRawMetadata": {b64(metadata)}}
		for name, values := range change {
			v[name] = values
		}
		return v
	}
	for _, c := range []struct {
		name string
		body any
		want []any
	}{
		{"§1.1 redirectUrl a list", connection(t, object{"redirectUrl": []string{"https://a.example.com/", "https://b.example.com/"}}), []any{"https://a.example.com/", "https://b.example.com/"}},
		{"§1.1 redirectUrl a single text", connection(t, object{"redirectUrl": "https://a.example.com/"}), []any{"https://a.example.com/"}},
		{"§1.1 redirectUrl a text that holds a JSON list", connection(t, object{"redirectUrl": `["https://a.example.com/","https://b.example.com/"]`}), []any{"https://a.example.com/", "https://b.example.com/"}},
		{"§1.1 redirectUrl an empty list", connection(t, object{"redirectUrl": []string{}}), []any{}},
		{"§1.1 redirectUrl with wildcards and a scheme of its own", connection(t, object{"redirectUrl": []string{"https://a.example.com/*", "https://*.example.com", "https://*.example.com/cb", "com.example.app:/cb", "myapp://callback", "http://localhost:*"}}), nil},
		{"§1.1 redirectUrl for clients of other kinds", connection(t, object{"redirectUrl": []string{"com.example.app:/cb", "myapp://callback", "http://127.0.0.1:8080/cb", "http://[::1]/cb", "http://_boxyhq_redirect_not_in_use"}}),
			[]any{"com.example.app:/cb", "myapp://callback", "http://127.0.0.1:8080/cb", "http://[::1]/cb", "http://_boxyhq_redirect_not_in_use"}},
		{"§0.1 form, single redirectUrl", form(nil), []any{"https://a.example.com/"}},
		{"§0.1 form, repeated redirectUrl", form(url.Values{"redirectUrl": {"https://a.example.com/", "https://b.example.com/"}}), []any{"https://a.example.com/", "https://b.example.com/"}},
		{"§0.1 form, redirectUrl a JSON list", form(url.Values{"redirectUrl": {`["https://a.example.com/*","https://*.example.com"]`}}), []any{"https://a.example.com/*", "https://*.example.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := f.call(http.MethodPost, "/api/v1/sso", c.body)
			if c.want == nil { // one entry of the list is no URL
				r.refused(t, http.StatusBadRequest, "redirectUrl is invalid")
				return
			}
			if got := r.object(t, http.StatusOK)["redirectUrl"].([]any); !slices.Equal(got, c.want) {
				t.Errorf("redirectUrl = %v, want %v", got, c.want)
			}
		})
	}
	t.Run("§1.1 encodedRawMetadata wins over rawMetadata", func(t *testing.T) {
		made := f.create(object{"encodedRawMetadata": b64(idp(t, "urn:encoded")), "rawMetadata": idp(t, "urn:raw")})
		if got := made["idpMetadata"].(object)["entityID"]; got != "urn:encoded" {
			t.Errorf("entityID = %v", got)
		}
	})
	t.Run("§1.1 metadataUrl is fetched, wins and is kept", func(t *testing.T) {
		made := f.create(object{"metadataUrl": upstream.URL + "/m", "encodedRawMetadata": b64(idp(t, "urn:encoded"))})
		if made["idpMetadata"].(object)["entityID"] != "https://saml.example.com/entityid" || made["metadataUrl"] != upstream.URL+"/m" {
			t.Errorf("record %v", made)
		}
	})
	for _, c := range []struct {
		value, want any
	}{{true, true}, {"true", true}, {false, false}, {"false", false}, {"yes", false}} {
		t.Run(fmt.Sprintf("§1.1 POST forceAuthn %#v", c.value), func(t *testing.T) {
			if got := f.create(object{"forceAuthn": c.value})["forceAuthn"]; got != c.want {
				t.Errorf("forceAuthn = %v, want %v", got, c.want)
			}
		})
	}
	for _, c := range []struct {
		value, want any
	}{{true, true}, {"true", true}, {false, nil}, {"false", nil}, {"yes", nil}, {"", nil}, {nil, nil}, {0, nil}} {
		t.Run(fmt.Sprintf("POST idpInitiated %#v, shown when true", c.value), func(t *testing.T) {
			if got := f.create(object{"idpInitiated": c.value})["idpInitiated"]; got != c.want {
				t.Errorf("idpInitiated = %v, want %v", got, c.want)
			}
		})
	}
	for _, c := range []struct{ value, want any }{{nil, nil}, {"", nil}, {0, 0.0}, {"3", 3.0}, {4.7, 4.0}} {
		t.Run(fmt.Sprintf("§1.1 POST 9: sortOrder %#v", c.value), func(t *testing.T) {
			body := connection(t, nil)
			body["sortOrder"] = c.value
			if got := f.call(http.MethodPost, "/api/v1/sso", body).object(t, http.StatusOK)["sortOrder"]; got != c.want {
				t.Errorf("sortOrder = %v, want %v", got, c.want)
			}
		})
	}
}

func TestPostAgain(t *testing.T) {
	f := newFixture(t)
	first := f.create(object{"name": "first", "description": "d", "forceAuthn": true, "idpInitiated": true})
	clientID, secret := first["clientID"].(string), first["clientSecret"].(string)
	f.call(http.MethodPatch, "/api/v1/sso", object{"clientID": clientID, "clientSecret": secret, "isSAML": true, "deactivated": true}).empty(t, http.StatusNoContent)
	again := f.create(object{"name": "second", "redirectUrl": "https://b.example.com/"})
	t.Run("§1.1 POST again: the same clientID and clientSecret", func(t *testing.T) {
		if again["clientID"] != clientID || again["clientSecret"] != secret {
			t.Errorf("%v %v, want %v %v", again["clientID"], again["clientSecret"], clientID, secret)
		}
	})
	t.Run("§1.1 POST again: full replacement", func(t *testing.T) {
		if again["name"] != "second" || again["description"] != nil || again["forceAuthn"] != false || again["idpInitiated"] != nil || again["deactivated"] != nil {
			t.Errorf("record %v", again)
		}
		list := f.get("/api/v1/sso?tenant=boxyhq&product=demo")
		if len(list) != 1 || list[0]["name"] != "second" || list[0]["deactivated"] != false {
			t.Errorf("list %v", list)
		}
	})
	t.Run("§1.1 POST 12 and §11.4 40: tenants may share an entity id", func(t *testing.T) {
		other := f.create(object{"tenant": "other"})
		if other["clientID"] == clientID || other["clientSecret"] == secret {
			t.Errorf("record %v", other)
		}
		if got := f.get("/api/v1/sso?entityId=" + url.QueryEscape("https://saml.example.com/entityid")); len(got) != 2 {
			t.Errorf("%d connections, want 2", len(got))
		}
	})
	t.Run("an unknown product and tenant are made once", func(t *testing.T) {
		n, err := f.services.Projects.Count(t.Context())
		if err != nil || n != 1 {
			t.Errorf("%d projects, %v; want 1", n, err)
		}
	})
}

func merge(a, b object) object {
	o := object{}
	for name, value := range a {
		o[name] = value
	}
	for name, value := range b {
		o[name] = value
	}
	return o
}

// cut removes what stands from one text to the end of another.
func cut(s, from, to string) string {
	return s[:strings.Index(s, from)] + s[strings.Index(s, to)+len(to):]
}

// TestPostInParallel: a deployment script may run twice at once. All answers are the one connection.
func TestPostInParallel(t *testing.T) {
	f := newFixture(t)
	answers := make([]reply, 20)
	body := connection(t, nil)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = f.call(http.MethodPost, "/api/v1/sso", body) })
	}
	all.Wait()
	for _, r := range answers {
		if r.status != http.StatusOK || r.body != answers[0].body {
			t.Errorf("%d %s, want the same record as %s", r.status, r.body, answers[0].body)
		}
	}
	if list := f.get("/api/v1/sso?tenant=boxyhq&product=demo"); len(list) != 1 {
		t.Errorf("%d connections, want 1", len(list))
	}
}
