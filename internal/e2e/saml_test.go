package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// certificate is what the program tells identity providers of its key.
func (p *program) certificate() []byte {
	p.t.Helper()
	block, _ := pem.Decode(p.get("/.well-known/saml.cer").body)
	if block == nil {
		p.t.Fatal("no certificate")
	}
	return block.Bytes
}

// ofTenant is the authorization request for a tenant's connection.
func ofTenant(tenant string) url.Values {
	return polisClient(url.Values{"client_id": {"tenant=" + tenant + "&product=" + testProduct}})
}

// unasked is the request that an identity provider answers on its own account.
func (p *program) unasked() federationtest.Request {
	return federationtest.Request{ACS: p.URL + "/api/oauth/saml", Issuer: p.URL + "/.well-known/sp-metadata"}
}

// signsIn checks that an answer takes a code to the application.
func signsIn(t *testing.T, a answer) {
	t.Helper()
	if a.StatusCode != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), callback+"?") || a.location().Query().Get("code") == "" {
		t.Errorf("%s to %.200s", a.Status, a.Header.Get("Location"))
	}
}

func TestSAMLResponsesOfManyKinds(t *testing.T) {
	p := start(t, nil)
	certificate := p.certificate()
	idp := newIdP(t, "https://idp.example/rsa")
	p.connect(idp, map[string]any{"tenant": "rsa"})
	elliptic, err := federationtest.NewIdP(federationtest.Options{Now: time.Now, EntityID: "https://idp.example/ec", SSOURL: "https://idp.example/sso", ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	// Its metadata lists another certificate first, as while keys are changed.
	added := `<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` +
		base64.StdEncoding.EncodeToString(idp.Certificate) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
	metadata := strings.Replace(string(elliptic.Metadata()), "<md:KeyDescriptor", added+"<md:KeyDescriptor", 1)
	p.connect(elliptic, map[string]any{"tenant": "ec", "encodedRawMetadata": nil, "rawMetadata": metadata})
	for name, change := range map[string]func(*federationtest.Response){
		"signed assertion": func(r *federationtest.Response) { r.Sign = federationtest.SignAssertion },
		"signed response":  func(r *federationtest.Response) { r.Sign = federationtest.SignResponse },
		"both signed":      func(r *federationtest.Response) { r.Sign = federationtest.SignBoth },
		"encrypted":        func(r *federationtest.Response) { r.Encrypt = &federationtest.Encryption{Certificate: certificate} },
		"encrypted in a signed response": func(r *federationtest.Response) {
			r.Sign, r.Encrypt = federationtest.SignResponse, &federationtest.Encryption{Certificate: certificate}
		},
		"encrypted, CBC, key beside": func(r *federationtest.Response) {
			r.Encrypt = &federationtest.Encryption{Certificate: certificate, Data: federationtest.AES128CBC, KeyBeside: true}
		},
		"persistent name": func(r *federationtest.Response) {
			r.NameID, r.NameIDFormat = "alice-1", federationtest.FormatPersistent
		},
		"clock two minutes ahead":         func(r *federationtest.Response) { r.Now = time.Now().Add(2 * time.Minute) },
		"the session index of a provider": func(r *federationtest.Response) { r.SessionIndex = "s-1" },
	} {
		for tenant, from := range map[string]*federationtest.IdP{"rsa": idp, "ec": elliptic} {
			t.Run(name+", "+tenant, func(t *testing.T) {
				request := p.begin(ofTenant(tenant))
				a := p.acs(p.respond(from, request, change), request.RelayState)
				signsIn(t, a)
				token := p.redeem(a.location().Query().Get("code"), url.Values{"client_id": {"tenant=" + tenant + "&product=" + testProduct}}).json(t)
				info := p.userinfo(token["access_token"].(string)).json(t)
				if info["id"] != "alice-1" || info["email"] != "alice@acme.example" || fmt.Sprint(info["groups"]) != "[eng ops]" {
					t.Errorf("userinfo: %v", info)
				}
			})
		}
	}
	t.Run("at the other path of Ory's", func(t *testing.T) {
		request := p.begin(ofTenant("rsa"))
		form := url.Values{"SAMLResponse": {p.respond(idp, request, nil)}, "RelayState": {request.RelayState}}
		signsIn(t, p.post("/saml/api/oauth/saml", form))
	})
	// It signs with its own key and claims the other's issuer.
	t.Run("signed by another provider", func(t *testing.T) {
		request := p.begin(ofTenant("rsa"))
		a := p.acs(p.respond(elliptic, request, func(r *federationtest.Response) { r.Issuer = idp.EntityID }), request.RelayState)
		if text := refusedBack(t, a, "access_denied"); !strings.Contains(text, "signature") {
			t.Errorf("description: %s", text)
		}
	})
}

// TestSAMLExtremes sends well signed responses that nobody would expect: what they say is a provider's business, and
// never a fault of ours.
func TestSAMLExtremes(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	attribute := func(name, value string) func(*federationtest.Response) {
		pattern := regexp.MustCompile(` ` + name + `="[^"]*"`)
		return func(r *federationtest.Response) {
			r.EditAssertion = func(doc string) string { return pattern.ReplaceAllString(doc, ` `+name+`="`+value+`"`) }
		}
	}
	// In CDATA a character that JSON escapes to six takes one.
	const long = 200_000
	cdata := func(r *federationtest.Response) {
		r.Attributes = append(r.Attributes, federationtest.Attribute{Name: "roles", Values: []string{strings.Repeat("<", long)}})
		r.Edit = func(doc string) string {
			return strings.Replace(doc, strings.Repeat("&lt;", long), "<![CDATA["+strings.Repeat("<", long)+"]]>", 1)
		}
	}
	groups := slices.Repeat([]string{"a group of many"}, 2000)
	for name, c := range map[string]struct {
		change  func(*federationtest.Response)
		refused bool
	}{
		"valid until never":             {attribute("NotOnOrAfter", "9999-12-31T23:59:59.9999999Z"), false},
		"valid until after the end":     {attribute("NotOnOrAfter", "9999-12-31T23:59:59-14:00"), true},
		"valid since ever":              {attribute("NotBefore", "0001-01-01T00:00:00Z"), false},
		"signed in at the end of time":  {attribute("AuthnInstant", "9999-12-31T23:59:59Z"), false},
		"signed in after it":            {attribute("AuthnInstant", "9999-12-31T23:59:59-14:00"), true},
		"signed in before its start":    {attribute("AuthnInstant", "0000-01-01T00:00:00+14:00"), true},
		"attributes that fill a commit": {cdata, true},
		"two thousand groups": {func(r *federationtest.Response) {
			r.Attributes = append(r.Attributes, federationtest.Attribute{Name: "more", Values: groups})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			request := p.begin(polisClient(nil))
			a := p.acs(p.respond(idp, request, c.change), request.RelayState)
			if c.refused {
				refusedBack(t, a, "access_denied")
				return
			}
			signsIn(t, a)
			token, _ := p.redeem(a.location().Query().Get("code"), nil).json(t)["access_token"].(string)
			if info := p.userinfo(token); info.StatusCode != http.StatusOK {
				t.Errorf("userinfo: %s %.200s", info.Status, info.body)
			}
		})
	}
}

// sent is the request of an authorization, whichever binding carries it, its signature verified.
func (p *program) sent(q url.Values, certificate []byte) (federationtest.Request, error) {
	p.t.Helper()
	a := p.get("/api/oauth/authorize?" + q.Encode())
	if a.StatusCode == http.StatusFound {
		return federationtest.ParseRedirect(a.Header.Get("Location"), certificate)
	}
	action := regexp.MustCompile(`<form method="post" action="([^"]*)" data-submit>`).FindSubmatch(a.body)
	if a.StatusCode != http.StatusOK || action == nil {
		p.t.Fatalf("authorize: %s %s", a.Status, a.body)
	}
	form := url.Values{"SAMLRequest": {field(p.t, a.body, "SAMLRequest")}, "RelayState": {field(p.t, a.body, "RelayState")}}
	r := p.request(http.MethodPost, html.UnescapeString(string(action[1])), strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	return federationtest.ParseRequest(r, certificate)
}

// An expired certificate is warned of and taken all the same.
func TestExpiredCertificateOfAProvider(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	const warning = `level=WARN msg="certificate of an identity provider has expired" entity_id=https://idp.example/one`
	if strings.Contains(p.logs.String(), warning) {
		t.Error("a valid certificate is warned of")
	}
	var err error
	idp.Certificate, err = federationtest.SelfSign(idp.Key, "expired", time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	p.connect(idp, nil)
	if !strings.Contains(p.logs.String(), warning) {
		t.Errorf("not warned of: %s", p.logs.String())
	}
	if a := p.redeem(p.code(idp, polisClient(nil)), nil); a.StatusCode != http.StatusOK {
		t.Errorf("the login: %s %s", a.Status, a.body)
	}
}

func TestSAMLRequests(t *testing.T) {
	p := start(t, nil)
	certificate := p.certificate()
	projectID := func() string {
		p.connect(newIdP(t, "https://idp.example/first"), nil)
		return p.projectID(testProduct)
	}()
	for i, c := range []struct {
		wants, postOnly        bool // what the metadata says
		sign, binding          string
		force                  bool
		wantSigned, wantByPost bool
	}{
		{wants: false, sign: "AUTO", binding: "AUTO"},
		{wants: true, sign: "AUTO", binding: "AUTO", wantSigned: true},
		{wants: false, sign: "ALWAYS", binding: "REDIRECT", wantSigned: true},
		{wants: true, sign: "NEVER", binding: "REDIRECT"},
		{wants: false, sign: "ALWAYS", binding: "POST", wantSigned: true, wantByPost: true, force: true},
		{wants: true, sign: "NEVER", binding: "POST", wantByPost: true},
		{wants: true, postOnly: true, sign: "AUTO", binding: "AUTO", wantSigned: true, wantByPost: true},
		{wants: false, postOnly: true, sign: "AUTO", binding: "POST", wantByPost: true},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			idp := newIdP(t, fmt.Sprintf("https://idp.example/%d", i))
			idp.WantSignedRequests, idp.PostOnly = c.wants, c.postOnly
			tenant := fmt.Sprintf("tenant-%d", i)
			o := p.mutate("createOrganization", "CreateOrganizationInput", "organization {id}", map[string]any{"projectId": projectID, "slug": tenant})
			p.mutate("createConnection", "CreateConnectionInput", "connection {id}", map[string]any{
				"organizationId": o["organization"].(map[string]any)["id"], "metadataXml": string(idp.Metadata()), "signRequests": c.sign,
				"binding": c.binding, "forceAuthn": c.force, "redirectUrls": []string{callback},
			})
			expected := certificate
			if !c.wantSigned {
				expected = nil
			}
			request, err := p.sent(ofTenant(tenant), expected)
			if err != nil || request.Signed != c.wantSigned || request.Post != c.wantByPost || request.ForceAuthn != c.force ||
				request.Destination != idp.SSOURL || request.ACS != p.URL+"/api/oauth/saml" {
				t.Errorf("%+v, %v", request, err)
			}
			signsIn(t, p.acs(p.respond(idp, request, nil), request.RelayState))
		})
	}
}

func TestSAMLMetadataByURL(t *testing.T) {
	idp := newIdP(t, "https://idp.example/served")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metadata":
			_, _ = w.Write(idp.Metadata())
		case "/page":
			_, _ = w.Write([]byte("<html><body>Sign in</body></html>"))
		case "/large":
			_, _ = w.Write(bytes.Repeat([]byte(" "), 2<<20))
		case "/away":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	create := func(p *program, address string) answer {
		return p.admin(http.MethodPost, "/api/v1/sso", map[string]any{"tenant": testTenant, "product": testProduct,
			"defaultRedirectUrl": callback, "redirectUrl": []string{callback}, "metadataUrl": address})
	}
	guarded := start(t, nil)
	if a := create(guarded, server.URL+"/metadata"); a.StatusCode != http.StatusBadRequest || !strings.Contains(string(a.body), "private IPs are not allowed") {
		t.Errorf("a loopback address: %s %s", a.Status, a.body)
	}
	refusedPage(t, guarded.get("/api/oauth/authorize?"+polisClient(nil).Encode()), http.StatusForbidden)

	p := start(t, func(c *app.Config) { c.AllowPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for path, said := range map[string]string{"/page": "", "/large": "fetch", "/away": "", "/missing": "fetch"} {
		if a := create(p, server.URL+path); a.StatusCode < 400 || a.StatusCode >= 500 || !strings.Contains(string(a.body), said) {
			t.Errorf("%s: %s %s", path, a.Status, a.body)
		}
	}
	if a := create(p, server.URL+"/metadata"); a.StatusCode != http.StatusOK || a.json(t)["metadataUrl"] != server.URL+"/metadata" {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	request := p.begin(polisClient(nil))
	signsIn(t, p.acs(p.respond(idp, request, nil), request.RelayState))
}

func TestIdPInitiated(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/portal")
	off := map[string]any{"tenant": "first"}
	on := func(tenant string) map[string]any { return map[string]any{"tenant": tenant, "idpInitiated": true} }
	p.connect(idp, off)
	refusedPage(t, p.acs(p.respond(idp, p.unasked(), nil), ""), http.StatusForbidden)
	p.connect(idp, on("second"))
	for _, relayState := range []string{"", "/deep/link", "https://evil.example/"} {
		a := p.acs(p.respond(idp, p.unasked(), nil), relayState)
		signsIn(t, a)
		if q := a.location().Query(); len(q) != 1 || q.Get("code") == "" {
			t.Errorf("RelayState %q comes back as %v", relayState, q)
		}
	}
	// One that answers a request of ours is never taken as unasked: without its RelayState it could be somebody else's.
	request := p.begin(ofTenant("second"))
	refusedPage(t, p.acs(p.respond(idp, request, nil), ""), http.StatusForbidden)
	replayed := p.respond(idp, p.unasked(), nil)
	signsIn(t, p.acs(replayed, ""))
	refusedPage(t, p.acs(replayed, ""), http.StatusForbidden)
	for name, change := range map[string]func(*federationtest.Response){
		"unsigned":                   func(r *federationtest.Response) { r.Sign = federationtest.SignNone },
		"for another service":        func(r *federationtest.Response) { r.Audience = "https://other.example" },
		"refused by the provider":    func(r *federationtest.Response) { r.Status = federationtest.StatusResponder },
		"for another address":        func(r *federationtest.Response) { r.Recipient = "https://other.example/acs" },
		"of an hour ago":             func(r *federationtest.Response) { r.Now = time.Now().Add(-time.Hour) },
		"of an unknown provider":     func(r *federationtest.Response) { r.Issuer = "https://idp.example/unknown" },
		"in answer to a made-up one": func(r *federationtest.Response) { r.InResponseTo = "_made-up" },
	} {
		t.Run(name, func(t *testing.T) {
			refusedPage(t, p.acs(p.respond(idp, p.unasked(), change), ""), http.StatusForbidden)
		})
	}
	p.connect(idp, on("third"))
	if text := refusedPage(t, p.acs(p.respond(idp, p.unasked(), nil), ""), http.StatusForbidden); !strings.Contains(text, "Several connections") {
		t.Errorf("two owners: %s", text)
	}
}

// What the provider refuses is told to the application (RFC 6749 §4.1.2.1), whatever else the answer leaves out.
func TestProviderRefuses(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	const status = "urn:oasis:names:tc:SAML:2.0:status:"
	for name, change := range map[string]func(*federationtest.Response){
		"no authentication context": func(r *federationtest.Response) { r.SubStatus = federationtest.StatusNoAuthnContext },
		"no consent":                func(r *federationtest.Response) { r.SubStatus = federationtest.StatusRequestDenied },
		"of the requester's fault":  func(r *federationtest.Response) { r.Status = status + "Requester" },
		"of a version mismatch":     func(r *federationtest.Response) { r.Status = status + "VersionMismatch" },
		"without InResponseTo":      func(r *federationtest.Response) { r.InResponseTo = "" },
		"without Destination":       func(r *federationtest.Response) { r.EditResponse = without(` Destination="[^"]*"`) },
		"unsigned":                  func(r *federationtest.Response) { r.Sign = federationtest.SignNone },
		"signed":                    func(r *federationtest.Response) { r.Sign = federationtest.SignResponse },
		"with a hostile status": func(r *federationtest.Response) {
			r.Status, r.StatusMessage = "urn:x\"><script>alert(1)</script>", "<b>\r\nSet-Cookie: a=b"
		},
	} {
		t.Run(name, func(t *testing.T) {
			request := p.begin(polisClient(nil))
			a := p.acs(p.respond(idp, request, func(r *federationtest.Response) { r.Status = federationtest.StatusResponder; change(r) }), request.RelayState)
			if text := refusedBack(t, a, "access_denied"); !strings.Contains(text, "refused the sign-in") || strings.Contains(text, "alert") {
				t.Errorf("description: %s", text)
			}
			if a.location().Query().Get("state") != "the-state" || a.Header.Get("Set-Cookie") != "" {
				t.Errorf("back to %s with %v", a.location(), a.Header)
			}
		})
	}
}

func without(pattern string) func(string) string {
	return func(doc string) string { return regexp.MustCompile(pattern).ReplaceAllString(doc, "") }
}

// Whoever mixes up logins gets no code, and the login that was meant can still be finished.
func TestSAMLMixUps(t *testing.T) {
	l := newLand(t)
	shared := newIdP(t, "https://idp.example/shared") // one provider of two tenants
	l.connect(shared, map[string]any{"tenant": "east"})
	l.connect(shared, map[string]any{"tenant": "west"})
	none := func(t *testing.T, a answer) {
		t.Helper()
		if a.StatusCode != http.StatusFound || a.location().Query().Has("code") {
			t.Errorf("%s to %s", a.Status, a.location())
		}
	}
	t.Run("the response of another login", func(t *testing.T) {
		mine, theirs := l.begin(polisClient(nil)), l.begin(polisClient(nil))
		response := l.respond(l.idp, mine, nil)
		a := l.acs(response, theirs.RelayState)
		none(t, a)
		refusedBack(t, a, "access_denied")
		signsIn(t, l.acs(response, mine.RelayState))
	})
	t.Run("the response of another tenant with the same provider", func(t *testing.T) {
		east, west := l.begin(ofTenant("east")), l.begin(ofTenant("west"))
		none(t, l.acs(l.respond(shared, east, nil), west.RelayState))
		none(t, l.acs(l.respond(shared, west, nil), east.RelayState))
		signsIn(t, l.acs(l.respond(shared, west, nil), west.RelayState))
	})
	t.Run("the response of another provider", func(t *testing.T) {
		request := l.begin(polisClient(nil))
		refusedPage(t, l.acs(l.respond(l.otherIdP, request, nil), request.RelayState), http.StatusForbidden)
		signsIn(t, l.acs(l.respond(l.idp, request, nil), request.RelayState))
	})
	t.Run("a login that is finished", func(t *testing.T) {
		request := l.begin(polisClient(nil))
		response := l.respond(l.idp, request, nil)
		signsIn(t, l.acs(response, request.RelayState))
		refusedPage(t, l.acs(response, request.RelayState), http.StatusForbidden)
		refusedPage(t, l.acs(l.respond(l.idp, request, nil), request.RelayState), http.StatusForbidden)
	})
	t.Run("a login that took too long", func(t *testing.T) {
		request := l.begin(polisClient(nil))
		l.clock.advance(5*time.Minute + time.Second)
		text := refusedPage(t, l.acs(l.respond(l.idp, request, nil), request.RelayState), http.StatusForbidden)
		if !strings.Contains(text, "Unable to validate state") {
			t.Error(text)
		}
	})
	t.Run("a connection that was deleted", func(t *testing.T) {
		request := l.begin(ofTenant("globex.example"))
		a := l.admin(http.MethodDelete, "/api/v1/sso?"+url.Values{"clientID": {l.other["clientID"].(string)}, "clientSecret": {l.other["clientSecret"].(string)}}.Encode(), nil)
		if a.StatusCode >= http.StatusMultipleChoices {
			t.Fatalf("delete: %s %s", a.Status, a.body)
		}
		refusedPage(t, l.acs(l.respond(l.otherIdP, request, nil), request.RelayState), http.StatusForbidden)
	})
}

func TestSAMLJunk(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, nil)
	request := p.begin(polisClient(nil))
	b64 := base64.StdEncoding.EncodeToString
	post := func(form url.Values) answer { return p.post("/api/oauth/saml", form) }
	for name, c := range map[string]struct {
		form   url.Values
		status int
	}{
		"nothing":                 {url.Values{}, 400},
		"no response":             {url.Values{"RelayState": {request.RelayState}}, 400},
		"two responses":           {url.Values{"SAMLResponse": {"a", "b"}}, 400},
		"two relay states":        {url.Values{"SAMLResponse": {"a"}, "RelayState": {"a", "b"}}, 400},
		"no base64":               {url.Values{"SAMLResponse": {"!!!"}}, 400},
		"no XML":                  {url.Values{"SAMLResponse": {b64([]byte("hello"))}}, 400},
		"another document":        {url.Values{"SAMLResponse": {b64(idp.Metadata())}}, 400},
		"random bytes":            {url.Values{"SAMLResponse": {b64(bytes.Repeat([]byte{0, 0xff, '<', 0x80}, 1000))}}, 400},
		"XML over the limit":      {url.Values{"SAMLResponse": {b64(bytes.Repeat([]byte("<a/>"), 80<<10))}}, 413},
		"1 MiB of junk":           {url.Values{"SAMLResponse": {strings.Repeat("A", 1<<20)}}, 413},
		"8 MiB of junk":           {url.Values{"junk": {strings.Repeat("A", 8<<20)}}, 413},
		"a RelayState of 100 KiB": {url.Values{"SAMLResponse": {p.respond(idp, request, nil)}, "RelayState": {strings.Repeat("x", 100<<10)}}, 403},
		"an unknown RelayState":   {url.Values{"SAMLResponse": {p.respond(idp, request, nil)}, "RelayState": {"boxyhq_jackson_\x00"}}, 403},
	} {
		t.Run(name, func(t *testing.T) { refusedPage(t, post(c.form), c.status) })
	}
	t.Run("a form in JSON of another shape", func(t *testing.T) {
		r := p.request(http.MethodPost, "/api/oauth/saml", strings.NewReader(`{"SAMLResponse":{"a":1}}`), "Content-Type", "application/json")
		refusedPage(t, p.do(r), http.StatusBadRequest)
	})
	t.Run("the redirect binding", func(t *testing.T) {
		q := url.Values{"SAMLResponse": {p.respond(idp, request, nil)}, "RelayState": {request.RelayState}}.Encode()
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
			a := p.do(p.request(method, "/api/oauth/saml?"+q, nil))
			refusedPage(t, a, http.StatusMethodNotAllowed)
			if a.Header.Get("Allow") != "POST" {
				t.Errorf("%s: Allow %q", method, a.Header.Get("Allow"))
			}
		}
		refusedPage(t, p.post("/api/oauth/saml?"+q, nil), http.StatusBadRequest)
	})
	signsIn(t, p.acs(p.respond(idp, request, nil), request.RelayState)) // nothing of it has used up the login
}

// shown follows an answer to the error page, as the browser does.
func (p *program) shown(a answer) answer {
	p.t.Helper()
	r := p.request(http.MethodGet, a.Header.Get("Location"), nil)
	for _, c := range a.Cookies() {
		r.AddCookie(c)
	}
	return p.do(r)
}

func TestErrorPage(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, map[string]any{"idpInitiated": true})
	request := p.begin(polisClient(nil))
	hostile := `urn:x"><script>alert(1)</script><img src=x onerror=alert(2)>`
	for name, c := range map[string]struct {
		a    answer
		want string
	}{
		"an unknown login":    {p.acs(p.respond(idp, request, nil), "boxyhq_jackson_unknown"), "took longer than five minutes"},
		"an unknown tenant":   {p.get("/api/oauth/authorize?" + ofTenant("none").Encode()), "cannot be used"},
		"a redirect URI":      {p.get("/api/oauth/authorize?" + polisClient(url.Values{"redirect_uri": {"https://evil.example/"}}).Encode()), "not registered"},
		"a junk response":     {p.acs("!!!", ""), "could not be read"},
		"too much":            {p.acs(strings.Repeat("A", 1<<20), ""), "has more than"},
		"a hostile status":    {p.acs(p.respond(idp, p.unasked(), func(r *federationtest.Response) { r.Status = hostile }), ""), "refused the sign-in"},
		"a hostile parameter": {p.get("/api/oauth/authorize?" + url.Values{"<script>alert(1)</script>": {"a", "b"}}.Encode()), "more than once"},
	} {
		t.Run(name, func(t *testing.T) {
			page := p.shown(c.a)
			text := string(page.body)
			if page.StatusCode != http.StatusOK || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") || page.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %v", page.Status, page.Header)
			}
			if !strings.Contains(html.UnescapeString(text), c.want) {
				t.Errorf("no %q in %s", c.want, text)
			}
			if requestID := c.a.Header.Get("X-Request-Id"); len(requestID) != 16 || !strings.Contains(text, requestID) || !strings.Contains(p.logs.String(), "request_id="+requestID) {
				t.Errorf("request id %q in %s", requestID, text)
			}
			for _, never := range []string{"<script", "<img", "alert(", "saml:", "fault", ".go:", "sql", "store:"} {
				if strings.Contains(text, never) {
					t.Errorf("%q in %s", never, text)
				}
			}
		})
	}
	t.Run("the cookie is for the error page alone, and over https alone where that is public", func(t *testing.T) {
		public := start(t, func(c *app.Config) { c.PublicURL = "https://sso.example.com" })
		for program, secure := range map[*program]bool{p: false, public: true} {
			cookie, err := http.ParseSetCookie(program.acs("junk", "").Header.Get("Set-Cookie"))
			if err != nil || cookie.Secure != secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/error" {
				t.Errorf("%v, %v", cookie, err)
			}
		}
	})
	t.Run("a cookie somebody made up", func(t *testing.T) {
		for _, content := range []string{`{"message":"<script>alert(1)</script>","statusCode":400,"hint":"<img src=x>","requestId":"<b>"}`,
			`{"statusCode":99999}`, `{`, `"x"`, strings.Repeat("x", 3000)} {
			a := p.get("/error", "Cookie", "polis_error="+url.QueryEscape(content))
			if a.StatusCode != http.StatusOK || strings.Contains(string(a.body), "<script") || strings.Contains(string(a.body), "<img") {
				t.Errorf("%s: %s %s", content, a.Status, a.body)
			}
		}
	})
}

var (
	inlineScript = regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>\s*[^<\s]|<script>|<style|\sstyle="|\son[a-z]+="|javascript:`)
	loadedFrom   = regexp.MustCompile(`(?i)(?:src|href)="((?:https?:)?//[^"]*)"`)
)

// Every kind of response has the security headers, and no page needs an inline script or anything of another host.
func TestSecurityHeaders(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	idp.PostOnly = true
	p.connect(idp, nil)
	p.connect(newIdP(t, "https://idp.example/two"), map[string]any{"tenant": "both"})
	p.connect(newIdP(t, "https://idp.example/three"), map[string]any{"tenant": "both"})
	chooser := p.get("/api/oauth/authorize?" + ofTenant("both").Encode()).Header.Get("Location")
	for name, a := range map[string]answer{
		"home":           p.get("/", "Accept", "text/html"),
		"not found":      p.get("/none"),
		"form":           p.get("/api/oauth/authorize?" + polisClient(nil).Encode()),
		"redirect":       p.get("/api/oauth/authorize?" + ofTenant("both").Encode()),
		"to the error":   p.acs("junk", ""),
		"error page":     p.shown(p.acs("junk", "")),
		"chooser":        p.get(chooser),
		"settings":       p.get("/.well-known/saml-configuration"),
		"OIDC settings":  p.get("/.well-known/oidc-configuration"),
		"well-known":     p.get("/.well-known"),
		"metadata":       p.get("/.well-known/sp-metadata"),
		"certificate":    p.get("/.well-known/saml.cer"),
		"discovery":      p.get("/.well-known/openid-configuration"),
		"keys":           p.get("/oauth/jwks"),
		"token error":    p.redeem("x", nil),
		"userinfo error": p.userinfo("x"),
		"health":         p.get("/healthz"),
		"API refused":    p.get("/api/v1/sso"),
		"API":            p.admin(http.MethodGet, "/api/v1/sso/product?product="+testProduct, nil),
		"explorer":       p.get("/graphql", "Accept", "text/html"),
		"GraphQL":        p.do(p.request(http.MethodPost, "/graphql", strings.NewReader("{"), "Content-Type", "application/json")),
		"style sheet":    p.get("/assets/portico.css"),
		"script":         p.get("/assets/submit.js"),
		"preflight":      p.do(p.request(http.MethodOptions, "/api/oauth/token", nil)),
		"another verb":   p.do(p.request(http.MethodDelete, "/api/oauth/token", nil)),
	} {
		t.Run(name, func(t *testing.T) {
			h := a.Header
			policy := h.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("no %s in the policy %q", want, policy)
				}
			}
			if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
				t.Errorf("policy %q", policy)
			}
			for header, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN",
				"Strict-Transport-Security": "max-age=31536000; includeSubDomains;"} {
				if h.Get(header) != want {
					t.Errorf("%s: %q", header, h.Get(header))
				}
			}
			if policy := h.Get("Referrer-Policy"); policy != "strict-origin" && policy != "no-referrer" {
				t.Errorf("Referrer-Policy: %q", policy)
			}
			if len(h.Get("X-Request-Id")) != 16 || h.Get("Server") != "" {
				t.Errorf("headers %v", h)
			}
			if !strings.HasPrefix(h.Get("Content-Type"), "text/html") {
				return
			}
			if found := inlineScript.Find(a.body); found != nil {
				t.Errorf("inline: %s", found)
			}
			if found := loadedFrom.FindSubmatch(a.body); found != nil && !strings.HasPrefix(string(found[1]), p.URL) {
				t.Errorf("another host: %s", found[0])
			}
			if !bytes.Contains(a.body, []byte("<!doctype html>")) || !bytes.Contains(a.body, []byte(`<html lang="en">`)) || !bytes.Contains(a.body, []byte("<title>")) {
				t.Errorf("page: %.300s", a.body)
			}
		})
	}
}

// Another implementation reads our metadata.
func TestServiceProviderMetadata(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	p.connect(idp, map[string]any{"acsUrlOverride": "https://acs.example/acs", "samlAudienceOverride": "urn:our:service",
		"identifierFormat": federationtest.FormatPersistent})
	first := func(v any, list string) map[string]any {
		return v.(map[string]any)[list].(map[string]any)["nodes"].([]any)[0].(map[string]any)
	}
	project := p.graphql(`query($slug: String) {project(slug: $slug) {organizations(first: 1) {nodes {connections(first: 1) {nodes {id spMetadataUrl spEntityId acsUrl}}}}}}`,
		map[string]any{"slug": testProduct})["project"]
	own := first(first(project, "organizations"), "connections")
	if own["spEntityId"] != "urn:our:service" || own["acsUrl"] != "https://acs.example/acs" {
		t.Errorf("connection: %v", own)
	}
	certificate := base64.StdEncoding.EncodeToString(p.certificate())
	for name, c := range map[string]struct {
		path, entityID, acs, nameID string
		keys                        []string // uses
	}{
		"service":                {"/.well-known/sp-metadata", p.URL + "/.well-known/sp-metadata", p.URL + "/api/oauth/saml", federationtest.FormatEmail, []string{"signing"}},
		"service, with a key":    {"/.well-known/sp-metadata?encryption=true", p.URL + "/.well-known/sp-metadata", p.URL + "/api/oauth/saml", federationtest.FormatEmail, []string{"signing", "encryption"}},
		"service, overridden":    {"/.well-known/sp-metadata?entityId=urn:x&acsUrl=https://x.example/acs", "urn:x", "https://x.example/acs", federationtest.FormatEmail, []string{"signing"}},
		"service, hostile":       {"/.well-known/sp-metadata?entityId=" + url.QueryEscape(`urn:x"><a/>&`), `urn:x"><a/>&`, p.URL + "/api/oauth/saml", federationtest.FormatEmail, []string{"signing"}},
		"at Polis's other path":  {"/api/well-known/sp-metadata", p.URL + "/.well-known/sp-metadata", p.URL + "/api/oauth/saml", federationtest.FormatEmail, []string{"signing"}},
		"connection":             {own["spMetadataUrl"].(string), "urn:our:service", "https://acs.example/acs", federationtest.FormatPersistent, []string{"signing"}},
		"connection, with a key": {"/.well-known/sp-metadata?encryption=true&connection=" + own["id"].(string), "urn:our:service", "https://acs.example/acs", federationtest.FormatPersistent, []string{"signing", "encryption"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := p.get(c.path)
			var m crewjam.EntityDescriptor
			if err := xml.Unmarshal(a.body, &m); err != nil || a.StatusCode != http.StatusOK || len(m.SPSSODescriptors) != 1 {
				t.Fatalf("%s: %v in %s", a.Status, err, a.body)
			}
			sp := m.SPSSODescriptors[0]
			services := sp.AssertionConsumerServices
			if m.EntityID != c.entityID || len(services) != 1 || services[0].Location != c.acs || services[0].Binding != crewjam.HTTPPostBinding {
				t.Errorf("%s, %v", m.EntityID, services)
			}
			if sp.AuthnRequestsSigned == nil || !*sp.AuthnRequestsSigned || m.ValidUntil.Before(time.Now().AddDate(9, 0, 0)) {
				t.Errorf("signed %v, valid until %v", sp.AuthnRequestsSigned, m.ValidUntil)
			}
			if len(sp.NameIDFormats) != 1 || string(sp.NameIDFormats[0]) != c.nameID {
				t.Errorf("NameID formats %v", sp.NameIDFormats)
			}
			if len(sp.KeyDescriptors) != len(c.keys) {
				t.Fatalf("keys %v", sp.KeyDescriptors)
			}
			for i, k := range sp.KeyDescriptors {
				if data := k.KeyInfo.X509Data.X509Certificates; k.Use != c.keys[i] || len(data) != 1 || strings.Join(strings.Fields(data[0].Data), "") != certificate {
					t.Errorf("key %d: %+v", i, k)
				}
			}
		})
	}
	for path, status := range map[string]int{"connection=unknown": 404, "connection=" + strings.Repeat("x", 3000): 404, "connection=a%00b": 404,
		"acsUrl=javascript:alert(1)": 400, "acsUrl=/relative": 400,
		"entityId=%01": 400, "entityId=%ff": 400, "entityId=a%00b": 400, "entityId=" + strings.Repeat("x", 1025): 400} {
		if a := p.get("/.well-known/sp-metadata?" + path); a.StatusCode != status {
			t.Errorf("%.40s: %s", path, a.Status)
		}
	}
}
