package federationtest

import (
	"encoding/base64"
	"encoding/xml"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func testIdP(t *testing.T) *IdP {
	t.Helper()
	p, err := NewIdP(Options{ECDSA: true, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const testRequest = `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" AssertionConsumerServiceURL="https://sp.example.com/acs" ` +
	`ForceAuthn="true" ID="_q" Version="2.0"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">https://sp.example.com</saml:Issuer></samlp:AuthnRequest>`

// TestHandlerSignsIn walks from the request of a service provider to the form that answers it.
func TestHandlerSignsIn(t *testing.T) {
	p := testIdP(t)
	server := httptest.NewServer(http.StripPrefix("/idp", p.Handler(HandlerOptions{
		User: User{ID: "1", Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace", Roles: []string{"admin"}, Groups: []string{"staff", "board"}},
		ACS:  []string{"https://sp.example.com/acs"},
	})))
	defer server.Close()

	page := fetch(t, server, "sso", url.Values{"SAMLRequest": {encoded(testRequest)}, "RelayState": {"state <&"}})
	fields := inputs(page)
	if fields.Get("id") != "_q" || fields.Get("relayState") != "state <&" || fields.Get("email") != "ada@example.com" {
		t.Fatalf("sign-in page has %v", fields)
	}
	page = fetch(t, server, "login", fields)
	if !strings.Contains(page, `action="https://sp.example.com/acs"`) || inputs(page).Get("RelayState") != "state <&" {
		t.Fatalf("answer %s", page)
	}
	doc := decode(t, inputs(page).Get("SAMLResponse"))
	for _, want := range []string{`InResponseTo="_q"`, `Recipient="https://sp.example.com/acs"`, `>ada@example.com</saml:NameID>`,
		`Name="firstName"`, `>Lovelace<`, `>admin<`, `>board<`, `<saml:Audience>https://sp.example.com</saml:Audience>`, `<ds:SignatureValue>`} {
		if !strings.Contains(doc, want) {
			t.Errorf("no %s in %s", want, doc)
		}
	}
	if script := fetch(t, server, "post.js", nil); !strings.Contains(script, "submit()") {
		t.Errorf("script %q", script)
	}
	if metadata := fetch(t, server, "metadata", nil); metadata != string(p.Metadata()) {
		t.Errorf("metadata %s", metadata)
	}
}

// TestHandlerAnswersOnlyItsServiceProviders sends what it must not answer.
func TestHandlerAnswersOnlyItsServiceProviders(t *testing.T) {
	h := testIdP(t).Handler(HandlerOptions{ACS: []string{"https://other.example.com/acs"}})
	for path, form := range map[string]url.Values{
		"/sso":   {"SAMLRequest": {encoded(testRequest)}},
		"/login": {"acs": {"https://sp.example.com/acs"}},
	} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusBadRequest {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

// fetch posts the form, or gets where there is none, and holds that the page needs no inline script.
func fetch(t *testing.T, server *httptest.Server, path string, form url.Values) string {
	t.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	r := httptest.NewRequest(method, "/idp/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(w, r)
	page := w.Body.String()
	if w.Code != http.StatusOK {
		t.Fatalf("%s answers %d: %s", path, w.Code, page)
	}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		csp := w.Header().Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || strings.Contains(page, "<script>") {
			t.Errorf("%s has policy %q and page %s", path, csp, page)
		}
	}
	return page
}

var input = regexp.MustCompile(`<input[^>]* name="([^"]*)" value="([^"]*)"`)

func inputs(page string) url.Values {
	fields := url.Values{}
	for _, m := range input.FindAllStringSubmatch(page, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	return fields
}

func encoded(doc string) string { return base64.StdEncoding.EncodeToString([]byte(doc)) }

func decode(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseRequestRefuses(t *testing.T) {
	for name, location := range map[string]string{
		"nothing":      "https://idp.example.com/sso",
		"not base64":   "https://idp.example.com/sso?SAMLRequest=*",
		"not deflated": "https://idp.example.com/sso?SAMLRequest=" + url.QueryEscape(encoded(testRequest)),
		"no URL":       "://",
	} {
		if q, err := ParseRedirect(location, nil); err == nil {
			t.Errorf("%s: read as %+v", name, q)
		}
	}
	for name, doc := range map[string]string{
		"not XML": "hello", "another message": "<a/>", "no Issuer": strings.Replace(testRequest, "https://sp.example.com<", "<", 1),
		"SAML 1.1": strings.Replace(testRequest, "2.0\"", "1.1\"", 1),
	} {
		form := url.Values{"SAMLRequest": {encoded(doc)}}
		r := httptest.NewRequest(http.MethodPost, "/sso", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if q, err := ParseRequest(r, nil); err == nil {
			t.Errorf("%s: read as %+v", name, q)
		}
	}
}

// TestResponseFields holds that every field reaches the document, which stays well-formed whatever they hold.
func TestResponseFields(t *testing.T) {
	const rough = "<&>\"'\r\n\t"
	r := Response{
		ACS: rough, Audience: rough, InResponseTo: rough, ID: "_r", AssertionID: "_a", Issuer: rough, NameID: rough, NameIDFormat: rough,
		SessionIndex: rough, SessionEnd: testNow, SubStatus: rough, StatusMessage: rough,
		Attributes: []Attribute{{Name: rough, FriendlyName: rough, NameFormat: rough, Values: []string{rough, ""}}},
	}
	doc, err := testIdP(t).ResponseXML(r)
	if err != nil {
		t.Fatal(err)
	}
	var x struct {
		Destination string `xml:",attr"`
		Assertion   struct {
			NameID    string   `xml:"Subject>NameID"`
			Audiences []string `xml:"Conditions>AudienceRestriction>Audience"`
			Values    []string `xml:"AttributeStatement>Attribute>AttributeValue"`
		}
	}
	if err := xml.Unmarshal([]byte(doc), &x); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	if x.Destination != rough || x.Assertion.NameID != rough || len(x.Assertion.Audiences) != 1 || x.Assertion.Audiences[0] != rough ||
		len(x.Assertion.Values) != 2 || x.Assertion.Values[0] != rough {
		t.Errorf("read as %+v", x)
	}
}

func TestErrors(t *testing.T) {
	if _, err := NewIdP(Options{}); err == nil {
		t.Error("a provider without clock was made")
	}
	p := testIdP(t)
	for name, r := range map[string]Response{
		"digest":      {DigestMethod: "urn:x"},
		"signature":   {SignatureMethod: "urn:x"},
		"cipher":      {Encrypt: &Encryption{Data: "urn:x"}},
		"certificate": {Encrypt: &Encryption{}},
		"ECDSA":       {Encrypt: &Encryption{Certificate: p.Certificate}},
	} {
		if _, err := p.Response(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
