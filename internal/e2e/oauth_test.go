package e2e

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// clock is a clock that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// client is an application that was made over the admin API.
type client struct{ id, secret string }

// land is a program with tenants and clients that must not get into each other's way.
type land struct {
	*program
	clock                   *clock
	idp                     *federationtest.IdP // of acme.example, a tenant of crm
	record                  map[string]any      // its connection
	otherIdP                *federationtest.IdP // of globex.example, another tenant of crm
	other                   map[string]any
	foreignIdP              *federationtest.IdP // of acme.example, a tenant of hr
	foreign                 map[string]any
	web, second, spa, alien client // of crm: confidential twice, and public; of hr
}

func newLand(t *testing.T) *land { return newLandWith(t, nil) }

func newLandWith(t *testing.T, change func(*app.Config)) *land {
	t.Helper()
	l := &land{clock: &clock{}}
	l.program = start(t, change, app.WithClock(l.clock.now))
	l.idp, l.otherIdP, l.foreignIdP = newIdP(t, "https://idp.example/acme"), newIdP(t, "https://idp.example/globex"), newIdP(t, "https://idp.example/hr")
	for _, idp := range []*federationtest.IdP{l.idp, l.otherIdP, l.foreignIdP} {
		idp.Now = l.clock.now
	}
	l.record = l.connect(l.idp, nil)
	l.other = l.connect(l.otherIdP, map[string]any{"tenant": "globex.example"})
	l.foreign = l.connect(l.foreignIdP, map[string]any{"product": "hr"})
	l.web = l.newApplication(testProduct, nil)
	l.second = l.newApplication(testProduct, nil)
	l.spa = l.newApplication(testProduct, map[string]any{"public": true})
	l.alien = l.newApplication("hr", nil)
	return l
}

func (p *program) projectID(slug string) string {
	p.t.Helper()
	found, _ := p.graphql(`query($slug: String) {project(slug: $slug) {id}}`, map[string]any{"slug": slug})["project"].(map[string]any)
	projectID, _ := found["id"].(string)
	if projectID == "" {
		p.t.Fatalf("no project %s", slug)
	}
	return projectID
}

func (p *program) newApplication(project string, change map[string]any) client {
	p.t.Helper()
	in := map[string]any{"projectId": p.projectID(project), "name": "App", "redirectUris": []string{callback}}
	maps.Copy(in, change)
	created := p.mutate("createApplication", "CreateApplicationInput", "application {id} secret", in)
	secret, _ := created["secret"].(string)
	return client{created["application"].(map[string]any)["id"].(string), secret}
}

// mutate runs a mutation that must succeed.
func (p *program) mutate(name, input, fields string, in map[string]any) map[string]any {
	p.t.Helper()
	payload, _ := p.graphql(`mutation($in: `+input+`!) {`+name+`(input: $in) {`+fields+` errors {message}}}`, map[string]any{"in": in})[name].(map[string]any)
	if wrong, _ := payload["errors"].([]any); len(wrong) > 0 {
		p.t.Fatalf("%s: %v", name, wrong)
	}
	return payload
}

// asks is the application's authorization request.
func (c client) asks(change url.Values) url.Values {
	return with(polisClient(url.Values{"client_id": {c.id}, "organization": {testTenant}, "scope": {"openid"}}), change)
}

// with changes values; an empty list removes one.
func with(values, change url.Values) url.Values {
	values = maps.Clone(values)
	for name, list := range change {
		if len(list) == 0 {
			values.Del(name)
		} else {
			values[name] = list
		}
	}
	return values
}

func (c client) credentials() url.Values {
	v := url.Values{"client_id": {c.id}, "client_secret": {c.secret}}
	if c.secret == "" {
		v["client_secret"] = nil
	}
	return v
}

var pkce = url.Values{"code_challenge": {challenge()}, "code_challenge_method": {"S256"}}

// refusedPage checks an answer that leads to the error page, and gives what the page will say.
func refusedPage(t *testing.T, a answer, status int) (message string) {
	t.Helper()
	if a.StatusCode != http.StatusFound || a.Header.Get("Location") != "/error" {
		t.Fatalf("%s to %q, want the error page: %s", a.Status, a.Header.Get("Location"), a.body)
	}
	var shown struct {
		Message    string `json:"message"`
		StatusCode int    `json:"statusCode"`
		RequestID  string `json:"requestId"`
	}
	for _, c := range a.Cookies() {
		if c.Name == "polis_error" {
			text, err := url.QueryUnescape(c.Value)
			if err == nil {
				err = json.Unmarshal([]byte(text), &shown)
			}
			if err != nil || !c.HttpOnly {
				t.Errorf("cookie %v: %v", c, err)
			}
		}
	}
	if shown.StatusCode != status || shown.Message == "" || shown.RequestID != a.Header.Get("X-Request-Id") {
		t.Errorf("the page says %+v, want %d", shown, status)
	}
	return shown.Message
}

// refusedBack checks an answer that takes an OAuth error to the application.
func refusedBack(t *testing.T, a answer, code string) (description string) {
	t.Helper()
	back := a.location()
	q := back.Query()
	if a.StatusCode != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), callback+"?") {
		t.Fatalf("%s to %.100s, want the application: %.200s", a.Status, a.Header.Get("Location"), a.body)
	}
	if q.Get("error") != code || q.Get("error_description") == "" || q.Has("code") {
		t.Errorf("back with %s, want %s", back.RawQuery, code)
	}
	return q.Get("error_description")
}

func TestAuthorizeRefuses(t *testing.T) {
	l := newLand(t)
	long, angles := strings.Repeat("x", 3000), strings.Repeat("<", 2048) // each becomes six bytes in JSON
	web, polis, spa := l.web.asks(nil), polisClient(nil), l.spa.asks(pkce)
	clientID := func(record map[string]any) []string { return []string{record["clientID"].(string)} }
	for name, c := range map[string]struct {
		q    url.Values
		page int    // status that the error page tells, or
		back string // error that the application gets
	}{
		"no redirect URI":                       {with(web, url.Values{"redirect_uri": nil}), 400, ""},
		"redirect URI of another path":          {with(web, url.Values{"redirect_uri": {callback + "/more"}}), 403, ""},
		"redirect URI with a query":             {with(web, url.Values{"redirect_uri": {callback + "?a=b"}}), 403, ""},
		"redirect URI with dot segments":        {with(web, url.Values{"redirect_uri": {"https://app.example/x/../callback"}}), 403, ""},
		"redirect URI with encoded separators":  {with(web, url.Values{"redirect_uri": {"https://app.example%2Fcallback"}}), 403, ""},
		"redirect URI with another case":        {with(web, url.Values{"redirect_uri": {"https://app.example/CALLBACK"}}), 403, ""},
		"redirect URI with a port":              {with(web, url.Values{"redirect_uri": {"https://app.example:8080/callback"}}), 403, ""},
		"redirect URI with another scheme":      {with(web, url.Values{"redirect_uri": {"http://app.example/callback"}}), 403, ""},
		"redirect URI with white space":         {with(web, url.Values{"redirect_uri": {callback + " "}}), 403, ""},
		"redirect URI with a line break":        {with(web, url.Values{"redirect_uri": {callback + "\r\nSet-Cookie: a=b"}}), 403, ""},
		"redirect URI of 3000 bytes":            {with(web, url.Values{"redirect_uri": {callback + long}}), 403, ""},
		"tenant's redirect URI elsewhere":       {with(polis, url.Values{"redirect_uri": {"http://evil.example/callback"}}), 403, ""},
		"tenant's redirect URI of another path": {with(polis, url.Values{"redirect_uri": {"https://app.example/other"}}), 403, ""},
		"the redirect URI Polis never uses":     {with(polis, url.Values{"redirect_uri": {"http://_boxyhq_redirect_not_in_use"}}), 403, ""},

		"no client":                 {with(web, url.Values{"client_id": nil}), 403, ""},
		"unknown client":            {with(web, url.Values{"client_id": {"unknown"}}), 403, ""},
		"unknown application":       {with(web, url.Values{"client_id": {"0198c0de-0000-7000-8000-000000000000"}}), 403, ""},
		"client of 3000 bytes":      {with(web, url.Values{"client_id": {long}}), 403, ""},
		"client with a NUL":         {with(web, url.Values{"client_id": {"a\x00b"}}), 403, ""},
		"client that is not UTF-8":  {with(web, url.Values{"client_id": {"\xff\xfe"}}), 403, ""},
		"unknown tenant":            {with(polis, url.Values{"client_id": {"tenant=none&product=crm"}}), 403, ""},
		"tenant of 3000 bytes":      {with(polis, url.Values{"client_id": {"tenant=" + long + "&product=crm"}}), 403, ""},
		"tenant with a NUL":         {with(polis, url.Values{"client_id": {"tenant=a%00b&product=crm"}}), 403, ""},
		"two tenants in one client": {with(polis, url.Values{"client_id": {"tenant=acme.example&product=crm&tenant=globex.example"}}), 403, ""},
		"another tenant's client":   {with(polis, url.Values{"tenant": {"globex.example"}, "product": {testProduct}}), 403, ""},
		"another product's client":  {with(polis, url.Values{"tenant": {testTenant}, "product": {"hr"}}), 403, ""},
		"another tenant's connection": {with(polis, url.Values{"client_id": clientID(l.record), "tenant": {"globex.example"},
			"product": {testProduct}}), 403, ""},
		"another tenant in the scope": {with(polis, url.Values{"client_id": clientID(l.record),
			"scope": {"openid tenant=globex.example&product=crm"}}), 403, ""},
		"another tenant's idp_hint":  {with(polis, url.Values{"idp_hint": clientID(l.other)}), 403, ""},
		"another product's idp_hint": {with(polis, url.Values{"idp_hint": clientID(l.foreign)}), 403, ""},

		"response type id_token":         {with(web, url.Values{"response_type": {"id_token"}}), 0, "unsupported_response_type"},
		"response type code token":       {with(web, url.Values{"response_type": {"code token"}}), 0, "unsupported_response_type"},
		"response type code id_token":    {with(polis, url.Values{"response_type": {"code id_token"}}), 0, "unsupported_response_type"},
		"response type CODE":             {with(polis, url.Values{"response_type": {"CODE"}}), 0, "unsupported_response_type"},
		"tenant with two response types": {with(polis, url.Values{"response_type": {"code", "token"}}), 400, ""},
		"tenant without state":           {with(polis, url.Values{"state": nil}), 0, "invalid_request"},
		"state of 3000 bytes":            {with(web, url.Values{"state": {long}}), 0, "invalid_request"},
		"state that is not UTF-8":        {with(web, url.Values{"state": {"a\xff"}}), 0, "invalid_request"},
		"nonce that is not UTF-8":        {with(polis, url.Values{"nonce": {"\xc3"}}), 0, "invalid_request"},
		"nonce of 3000 bytes":            {with(web, url.Values{"nonce": {long}}), 0, "invalid_request"},
		"scope of 3000 bytes":            {with(web, url.Values{"scope": {long}}), 0, "invalid_request"},
		"much of everything":             {with(web, url.Values{"state": {angles}, "nonce": {angles}, "scope": {angles}, "login_hint": {angles}}), 0, "invalid_request"},
		"PKCE with an unknown method":    {with(polis, with(pkce, url.Values{"code_challenge_method": {"S512"}})), 0, "invalid_request"},
		"PKCE method alone":              {with(web, url.Values{"code_challenge_method": {"S256"}}), 0, "invalid_request"},
		"PKCE with a short challenge":    {with(spa, url.Values{"code_challenge": {"abc"}}), 0, "invalid_request"},
		"PKCE with a padded challenge":   {with(spa, url.Values{"code_challenge": {challenge() + "="}}), 0, "invalid_request"},
		"request object":                 {with(web, url.Values{"request": {"e30.e30."}}), 400, ""},
		"request object by reference":    {with(web, url.Values{"request_uri": {"https://evil.example/r"}}), 400, ""},
		"response mode":                  {with(web, url.Values{"response_mode": {"fragment"}}), 0, "invalid_request"},
		"no interaction allowed":         {with(web, url.Values{"prompt": {"none"}}), 0, "login_required"},
		"another project's application":  {l.alien.asks(url.Values{"organization": nil, "idp_hint": clientID(l.record)}), 0, "invalid_request"},
		"another project's connection":   {with(web, url.Values{"organization": nil, "connection": clientID(l.foreign)}), 0, "invalid_request"},
		"another organization's hint":    {with(web, url.Values{"idp_hint": clientID(l.other)}), 0, "invalid_request"},
		"unknown organization":           {with(web, url.Values{"organization": {"none"}}), 0, "invalid_request"},
		"organization of 3000 bytes":     {with(web, url.Values{"organization": {long}}), 0, "invalid_request"},
		"organization with a NUL":        {with(web, url.Values{"organization": {"a\x00b"}}), 0, "invalid_request"},
		"hint of 3000 bytes":             {with(web, url.Values{"organization": nil, "idp_hint": {long}}), 0, "invalid_request"},
		"no organization of several":     {with(web, url.Values{"organization": nil}), 0, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			for method, a := range map[string]answer{
				"GET":  l.get("/api/oauth/authorize?" + c.q.Encode()),
				"POST": l.post("/api/oauth/authorize", c.q),
			} {
				if a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: Cache-Control %q", method, a.Header.Get("Cache-Control"))
				}
				if c.page != 0 {
					refusedPage(t, a, c.page)
					continue
				}
				refusedBack(t, a, c.back)
				if state := a.location().Query().Get("state"); state != c.q.Get("state") {
					t.Errorf("%s: state %q", method, state)
				}
			}
		})
	}
}

// The same project's organizations are reached by their ids, another's are not.
// A native application registers a loopback address without a port, and listens on whichever is free (RFC 8252 §7.3).
func TestLoopbackAddressesTakeAnyPort(t *testing.T) {
	l := newLand(t)
	native := l.newApplication(testProduct, map[string]any{"public": true, "redirectUris": []string{"http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost:3000/cb", "https://app.example/cb"}})
	for uri, allowed := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:49152/cb": true, "http://[::1]:49152/cb": true, "http://localhost:3000/cb": true, "https://app.example/cb": true,
		"http://127.0.0.1:49152/": false, "http://127.0.0.1:49152/cb?x": false, "https://127.0.0.1:49152/cb": false, "http://127.0.0.2:49152/cb": false,
		"http://127.0.0.1.evil.example:49152/cb": false, "http://127.0.0.1:49152@evil.example/cb": false, "https://app.example:8443/cb": false,
	} {
		t.Run(uri, func(t *testing.T) {
			l := *l.program
			l.t = t
			ask := with(native.asks(pkce), url.Values{"redirect_uri": {uri}})
			if !allowed {
				refusedPage(t, l.authorize(ask), http.StatusForbidden)
				return
			}
			request := l.authorize(ask).atProvider(t)
			back := l.acs(l.respond(newIdP(t, "https://idp.example/acme"), request, nil), request.RelayState)
			code := back.location().Query().Get("code")
			if !strings.HasPrefix(back.Header.Get("Location"), uri+"?") || code == "" {
				t.Fatalf("%s to %q", back.Status, back.Header.Get("Location"))
			}
			redeem := with(native.credentials(), url.Values{"redirect_uri": {uri}, "code_verifier": {verifier}})
			if a := l.redeem(code, redeem); a.StatusCode != http.StatusOK {
				t.Errorf("%s %s", a.Status, a.body)
			}
		})
	}
}

func TestApplicationNamesAnOrganization(t *testing.T) {
	l := newLand(t)
	organizationID := func(connection string) string {
		data := l.graphql(`query($id: ID!) {connection(id: $id) {organization {id}}}`, map[string]any{"id": connection})
		return data["connection"].(map[string]any)["organization"].(map[string]any)["id"].(string)
	}
	connectionID := func(c client, idp *federationtest.IdP) string {
		code := l.code(idp, c.asks(nil))
		info := l.userinfo(l.redeem(code, c.credentials()).json(t)["access_token"].(string)).json(t)
		return info["connection_id"].(string)
	}
	own, foreign := connectionID(l.web, l.idp), connectionID(l.alien, l.foreignIdP)
	for name, change := range map[string]url.Values{
		"organization by id":           {"organization": {organizationID(own)}},
		"organization by slug":         {"organization": {testTenant}},
		"organization as tenant":       {"organization": nil, "tenant": {testTenant}},
		"connection by id":             {"organization": nil, "connection": {own}},
		"connection as idp_hint":       {"organization": nil, "idp_hint": {l.record["clientID"].(string)}},
		"connection and organization":  {"connection": {own}},
		"PKCE in place of state":       with(pkce, url.Values{"state": nil}),
		"a method of lower case":       with(pkce, url.Values{"code_challenge_method": {"s256"}}),
		"unknown parameters":           {"display": {"popup"}, "x": {"y"}},
		"the response mode of a code":  {"response_mode": {"query"}},
		"a prompt that SAML has to do": {"prompt": {"consent"}},
	} {
		t.Run(name, func(t *testing.T) {
			if request := l.begin(l.web.asks(change)); request.Issuer == "" || request.ForceAuthn {
				t.Errorf("request: %+v", request)
			}
		})
	}
	for name, change := range map[string]url.Values{
		"organization by id":                 {"organization": {organizationID(foreign)}},
		"connection by id":                   {"organization": nil, "connection": {foreign}},
		"connection of another organization": {"connection": {foreign}},
	} {
		t.Run("another project's "+name, func(t *testing.T) {
			refusedBack(t, l.get("/api/oauth/authorize?"+l.web.asks(change).Encode()), "invalid_request")
		})
	}
	for _, change := range []url.Values{{"prompt": {"login"}}, {"max_age": {"0"}}, {"forceAuthn": {"true"}}} {
		if !l.begin(l.web.asks(change)).ForceAuthn {
			t.Errorf("%v does not ask for a new sign-in", change)
		}
	}
	t.Run("an id that is another organization's slug", func(t *testing.T) {
		organization := organizationID(own)
		l.connect(newIdP(t, "https://idp.example/squatter"), map[string]any{"tenant": organization})
		l.clock.advance(2 * time.Second) // past what is cached
		l.code(l.idp, l.web.asks(url.Values{"organization": {organization}}))
	})
}

// way is one way of signing in: what is asked, and what redeems the code rightly.
type way struct {
	ask, redeem url.Values
}

func (l *land) ways() map[string]way {
	proof := url.Values{"code_verifier": {verifier}}
	return map[string]way{
		"tenant":              {polisClient(nil), nil},
		"tenant with PKCE":    {polisClient(pkce), with(proof, url.Values{"client_secret": {sharedKey}})},
		"connection":          {polisClient(url.Values{"client_id": {l.record["clientID"].(string)}}), l.own()},
		"application":         {l.web.asks(nil), l.web.credentials()},
		"application w. PKCE": {l.web.asks(pkce), with(l.web.credentials(), proof)},
		"public":              {l.spa.asks(pkce), url.Values{"client_id": {l.spa.id}, "client_secret": nil, "code_verifier": {verifier}}},
	}
}

// own is the credentials of the connection as its own client.
func (l *land) own() url.Values {
	return url.Values{"client_id": {l.record["clientID"].(string)}, "client_secret": {l.record["clientSecret"].(string)}}
}

// refusedToken checks an error of the token endpoint (RFC 6749 §5.2).
func tokenRefused(t *testing.T, a answer, status int, code string) {
	t.Helper()
	body := a.json(t)
	if a.StatusCode != status || body["error"] != code || body["error_description"] == "" {
		t.Errorf("%s %.200s, want %d %s", a.Status, a.body, status, code)
	}
	if body["access_token"] != nil || body["id_token"] != nil {
		t.Error("tokens were given")
	}
	h := a.Header
	if h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v", h)
	}
	if challenged := strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic "); challenged != (status == http.StatusUnauthorized) {
		t.Errorf("WWW-Authenticate: %q", h.Get("WWW-Authenticate"))
	}
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func TestTokenRefuses(t *testing.T) {
	l := newLand(t)
	ways := l.ways()
	for name, w := range ways { // the control: done rightly, each works once
		a := l.redeem(l.code(l.idp, w.ask), w.redeem)
		if a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Pragma") != "no-cache" {
			t.Fatalf("%s: %s %s %v", name, a.Status, a.body, a.Header)
		}
	}
	set := func(name string, values ...string) url.Values { return url.Values{name: values} }
	tenantClient := func(tenant, product string) url.Values {
		return set("client_id", "tenant="+tenant+"&product="+product)
	}
	for name, c := range map[string]struct {
		way    string
		change url.Values // of the right redemption
		basic  string     // Authorization
		status int
		code   string
		kept   bool // the code was not tried, so that it can still be redeemed
	}{
		// The wrong client.
		"application's code by another one":        {"application", l.second.credentials(), "", 400, "invalid_grant", false},
		"application's code by another project's":  {"application", l.alien.credentials(), "", 400, "invalid_grant", false},
		"application's code by a public one":       {"application w. PKCE", with(l.spa.credentials(), set("code_verifier", verifier)), "", 400, "invalid_grant", false},
		"public's code by a confidential one":      {"public", l.web.credentials(), "", 400, "invalid_grant", false},
		"application's code by its tenant":         {"application", with(tenantClient(testTenant, testProduct), set("client_secret", sharedKey)), "", 400, "invalid_grant", false},
		"application's code by its connection":     {"application", l.own(), "", 400, "invalid_grant", false},
		"tenant's code by an application":          {"tenant", l.web.credentials(), "", 401, "invalid_client", false},
		"tenant's code by another tenant":          {"tenant", tenantClient("globex.example", testProduct), "", 401, "invalid_client", false},
		"tenant's code by another product":         {"tenant", tenantClient(testTenant, "hr"), "", 401, "invalid_client", false},
		"tenant's code by another's connection":    {"tenant", url.Values{"client_id": {l.other["clientID"].(string)}, "client_secret": {l.other["clientSecret"].(string)}}, "", 401, "invalid_client", false},
		"tenant's PKCE code by another tenant":     {"tenant with PKCE", tenantClient("globex.example", testProduct), "", 401, "invalid_client", false},
		"tenant's PKCE code by an application":     {"tenant with PKCE", l.web.credentials(), "", 401, "invalid_client", false},
		"connection's code with the shared secret": {"connection", set("client_secret", sharedKey), "", 401, "invalid_client", false},
		"connection's code with another's secret":  {"connection", set("client_secret", l.other["clientSecret"].(string)), "", 401, "invalid_client", false},

		// The wrong proof.
		"application without a secret":      {"application", set("client_secret"), "", 401, "invalid_client", false},
		"application with an empty secret":  {"application", set("client_secret", ""), "", 401, "invalid_client", false},
		"application with a wrong secret":   {"application", set("client_secret", "wrong"), "", 401, "invalid_client", false},
		"application with another's secret": {"application", set("client_secret", l.second.secret), "", 401, "invalid_client", false},
		"application with PKCE alone":       {"application w. PKCE", set("client_secret"), "", 401, "invalid_client", false},
		"application without client_id":     {"application", set("client_id"), "", 401, "invalid_client", false},
		"nobody":                            {"application", url.Values{"client_id": nil, "client_secret": nil}, "", 401, "invalid_client", false},
		"public with another's secret":      {"public", set("client_secret", l.web.secret), "", 401, "invalid_client", false},
		"tenant without a secret":           {"tenant", set("client_secret"), "", 401, "invalid_client", false},
		"tenant with an empty secret":       {"tenant", set("client_secret", ""), "", 401, "invalid_client", false},
		"tenant with a wrong secret":        {"tenant", set("client_secret", "dummy"), "", 401, "invalid_client", false},
		"tenant without client_id":          {"tenant", set("client_id"), "", 401, "invalid_client", false},
		"a wrong secret by Basic":           {"application", url.Values{"client_id": nil, "client_secret": nil}, basic(l.web.id, "wrong"), 401, "invalid_client", false},
		"Basic that is not base64":          {"application", nil, "Basic !!!", 401, "invalid_client", true},
		"Basic without a colon":             {"application", nil, "Basic " + base64.StdEncoding.EncodeToString([]byte("abc")), 401, "invalid_client", true},
		"two ways that disagree":            {"application", nil, basic(l.second.id, l.second.secret), 400, "invalid_request", true},
		"two ways with two secrets":         {"application", set("client_secret", "wrong"), basic(l.web.id, l.web.secret), 400, "invalid_request", true},

		// PKCE.
		"a wrong verifier":                   {"public", set("code_verifier", strings.Repeat("w", 43)), "", 400, "invalid_grant", false},
		"no verifier":                        {"public", set("code_verifier"), "", 400, "invalid_grant", false},
		"no verifier, and the right secret":  {"application w. PKCE", set("code_verifier"), "", 400, "invalid_grant", false},
		"no verifier, and the shared secret": {"tenant with PKCE", set("code_verifier"), "", 400, "invalid_grant", false},
		"the challenge as verifier":          {"public", set("code_verifier", challenge()), "", 400, "invalid_grant", false},
		"a verifier of 1000 characters":      {"public", set("code_verifier", strings.Repeat("w", 1000)), "", 400, "invalid_grant", false},
		"a verifier without a challenge":     {"application", set("code_verifier", verifier), "", 400, "invalid_grant", false},

		// The wrong request.
		"no redirect URI":            {"application", set("redirect_uri"), "", 400, "invalid_grant", false},
		"another redirect URI":       {"application", set("redirect_uri", callback+"/"), "", 400, "invalid_grant", false},
		"tenant: no redirect URI":    {"tenant", set("redirect_uri"), "", 400, "invalid_grant", false},
		"no code":                    {"application", set("code"), "", 400, "invalid_request", true},
		"unknown code":               {"application", set("code", "ac_unknown"), "", 400, "invalid_grant", true},
		"a code of 3000 bytes":       {"application", set("code", strings.Repeat("x", 3000)), "", 400, "invalid_grant", true},
		"a code with a NUL":          {"application", set("code", "a\x00b"), "", 400, "invalid_grant", true},
		"two codes":                  {"application", set("code", "a", "b"), "", 400, "invalid_request", true},
		"two secrets":                {"application", set("client_secret", l.web.secret, "x"), "", 400, "invalid_request", true},
		"two grant types":            {"application", set("grant_type", "authorization_code", "password"), "", 400, "invalid_request", true},
		"grant type password":        {"application", set("grant_type", "password"), "", 400, "unsupported_grant_type", true},
		"grant type of the client":   {"application", set("grant_type", "client_credentials"), "", 400, "unauthorized_client", true},
		"grant type refresh":         {"application", set("grant_type", "refresh_token"), "", 400, "invalid_grant", true},
		"grant type in another case": {"application", set("grant_type", "Authorization_Code"), "", 400, "unsupported_grant_type", true},
	} {
		t.Run(name, func(t *testing.T) {
			w, ok := ways[c.way]
			if !ok {
				t.Fatal(c.way)
			}
			code := l.code(l.idp, w.ask)
			form := with(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback},
				"client_id": {"tenant=" + testTenant + "&product=" + testProduct}, "client_secret": {sharedKey}}, w.redeem)
			var header []string
			if c.basic != "" {
				header = []string{"Authorization", c.basic}
			}
			tokenRefused(t, l.post("/api/oauth/token", with(form, c.change), header...), c.status, c.code)
			again := l.redeem(code, w.redeem)
			if c.kept {
				if again.StatusCode != http.StatusOK {
					t.Errorf("the right redemption afterwards: %s %s", again.Status, again.body)
				}
				return
			}
			tokenRefused(t, again, http.StatusBadRequest, "invalid_grant")
		})
	}
}

func TestTokenReadsBodies(t *testing.T) {
	l := newLand(t)
	send := func(contentType, body string) answer {
		return l.do(l.request(http.MethodPost, "/api/oauth/token", strings.NewReader(body), "Content-Type", contentType))
	}
	for name, c := range map[string]struct {
		contentType, body string
		status            int
	}{
		"a text":                 {"text/plain", "code=x", 400},
		"multipart":              {"multipart/form-data; boundary=x", "--x--", 400},
		"XML":                    {"application/xml", "<a/>", 400},
		"a form that is none":    {"application/x-www-form-urlencoded", "code=%zz", 400},
		"an empty form":          {"application/x-www-form-urlencoded", "", 400},
		"JSON that is none":      {"application/json", "{", 400},
		"a JSON list":            {"application/json", `["code"]`, 400},
		"a JSON text":            {"application/json", `"code"`, 400},
		"JSON null":              {"application/json", `null`, 400},
		"two JSON values":        {"application/json", `{"code":"a"}{"code":"b"}`, 400},
		"a list in JSON":         {"application/json", `{"code":["a"]}`, 400},
		"an object in JSON":      {"application/json", `{"code":{"a":"b"}}`, 400},
		"a number without bound": {"application/json", `{"code":1e999}`, 400},
		"JSON of great depth":    {"application/json", `{"code":` + strings.Repeat("[", 20000), 400},
		"a form of 1 MiB":        {"application/x-www-form-urlencoded", "code=" + strings.Repeat("x", 1<<20), 413},
		"JSON of 1 MiB":          {"application/json", `{"code":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
	} {
		t.Run(name, func(t *testing.T) {
			tokenRefused(t, send(c.contentType, c.body), c.status, "invalid_request")
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		a := l.do(l.request(method, "/api/oauth/token?code=x", nil))
		if a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST" || a.json(t)["error"] != "invalid_request" {
			t.Errorf("%s: %s %s", method, a.Status, a.body)
		}
	}
	// What stands in the address counts for nothing: addresses end up in logs.
	code := l.code(l.idp, l.web.asks(nil))
	query := with(l.web.credentials(), url.Values{"code": {code}, "redirect_uri": {callback}}).Encode()
	tokenRefused(t, l.post("/api/oauth/token?"+query, nil), http.StatusBadRequest, "invalid_request")
	text, err := json.Marshal(map[string]any{"grant_type": "authorization_code", "code": code, "redirect_uri": callback,
		"client_id": l.web.id, "client_secret": l.web.secret, "unused": nil, "number": 1})
	if err != nil {
		t.Fatal(err)
	}
	if a := send("application/json; charset=utf-8", string(text)); a.StatusCode != http.StatusOK {
		t.Errorf("JSON: %s %s", a.Status, a.body)
	}
	// client_secret_basic, alone and beside the client_id that many libraries send with it.
	for _, form := range []url.Values{{"client_id": nil, "client_secret": nil}, {"client_id": {l.web.id}, "client_secret": nil}} {
		form = with(url.Values{"grant_type": {"authorization_code"}, "code": {l.code(l.idp, l.web.asks(nil))}, "redirect_uri": {callback}}, form)
		if a := l.post("/api/oauth/token", form, "Authorization", basic(l.web.id, l.web.secret)); a.StatusCode != http.StatusOK {
			t.Errorf("Basic with %v: %s %s", form, a.Status, a.body)
		}
	}
}

func TestReplayEndsWhatTheCodeBought(t *testing.T) {
	l := newLand(t)
	for name, w := range l.ways() {
		t.Run(name, func(t *testing.T) {
			code := l.code(l.idp, w.ask)
			token := l.redeem(code, w.redeem).json(t)["access_token"].(string)
			if a := l.userinfo(token); a.StatusCode != http.StatusOK {
				t.Fatalf("userinfo: %s", a.Status)
			}
			tokenRefused(t, l.redeem(code, w.redeem), http.StatusBadRequest, "invalid_grant")
			if a := l.userinfo(token); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("userinfo after a replay: %s", a.Status)
			}
		})
	}
}

func TestCodesAndTokensExpire(t *testing.T) {
	l := newLand(t)
	for name, c := range map[string]struct {
		way   string
		lasts time.Duration
	}{"tenant": {"tenant", 5 * time.Minute}, "application": {"application", time.Hour}} {
		t.Run(name, func(t *testing.T) {
			w := l.ways()[c.way]
			code := l.code(l.idp, w.ask)
			l.clock.advance(5*time.Minute + time.Second)
			tokenRefused(t, l.redeem(code, w.redeem), http.StatusBadRequest, "invalid_grant")

			code = l.code(l.idp, w.ask)
			l.clock.advance(4 * time.Minute)
			token := l.redeem(code, w.redeem).json(t)
			if token["expires_in"] != c.lasts.Seconds() {
				t.Errorf("expires_in %v", token["expires_in"])
			}
			l.clock.advance(c.lasts - time.Minute)
			if a := l.userinfo(token["access_token"].(string)); a.StatusCode != http.StatusOK {
				t.Errorf("a minute before its end: %s", a.Status)
			}
			l.clock.advance(time.Minute + time.Second)
			refusedBearer(t, l.userinfo(token["access_token"].(string)), "invalid_token")
			// A replay is still known for one while what the code bought could live.
			tokenRefused(t, l.redeem(code, w.redeem), http.StatusBadRequest, "invalid_grant")
		})
	}
}

// refusedBearer checks an error of a protected resource (RFC 6750 §3).
func refusedBearer(t *testing.T, a answer, code string) {
	t.Helper()
	want := `Bearer realm="portico"`
	if code != "" {
		want += `, error="` + code + `"`
	}
	got := a.Header.Get("WWW-Authenticate")
	if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got, want) || (code == "" && got != want) {
		t.Errorf("%s, WWW-Authenticate %q, want %q", a.Status, got, want)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.json(t)["message"] == nil || a.json(t)["email"] != nil {
		t.Errorf("%v %s", a.Header, a.body)
	}
}

func TestUserinfoRefuses(t *testing.T) {
	l := newLand(t)
	token := l.redeem(l.code(l.idp, l.web.asks(nil)), l.web.credentials()).json(t)["access_token"].(string)
	code := l.code(l.idp, l.web.asks(nil))
	for name, c := range map[string]struct{ authorization, code string }{
		"nothing":                {"", ""},
		"no token":               {"Bearer", ""},
		"an empty token":         {"Bearer  ", ""},
		"a token without scheme": {token, ""},
		"an unknown token":       {"Bearer at_unknown", "invalid_token"},
		"a cut token":            {"Bearer " + token[:len(token)-1], "invalid_token"},
		"a longer token":         {"Bearer " + token + "x", "invalid_token"},
		"two tokens":             {"Bearer " + token + " " + token, "invalid_token"},
		"a token in quotes":      {`Bearer "` + token + `"`, "invalid_token"},
		"a code":                 {"Bearer " + code, "invalid_token"},
		"an admin key":           {"Bearer " + adminKey, "invalid_token"},
		"a client's secret":      {"Bearer " + l.web.secret, "invalid_token"},
		"a token of 3000 bytes":  {"Bearer " + strings.Repeat("x", 3000), "invalid_token"},
		"a token of odd bytes":   {"Bearer \xff\xfe", "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			refusedBearer(t, l.get("/api/oauth/userinfo", "Authorization", c.authorization), c.code)
		})
	}
	refusedBearer(t, l.get("/api/oauth/userinfo?access_token="+token), "")
	refusedBearer(t, l.post("/api/oauth/userinfo", url.Values{"access_token": {token}}), "")
	if a := l.do(l.request(http.MethodPost, "/api/oauth/userinfo", nil, "Authorization", "bearer "+token)); a.StatusCode != http.StatusOK {
		t.Errorf("POST with a lower-case scheme: %s", a.Status)
	}
	if a := l.do(l.request(http.MethodDelete, "/api/oauth/userinfo", nil)); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") == "" {
		t.Errorf("DELETE: %s", a.Status)
	}
}

// deactivate switches a connection off or on.
func (p *program) deactivate(record map[string]any, off bool) {
	p.t.Helper()
	a := p.admin(http.MethodPatch, "/api/v1/sso", map[string]any{"clientID": record["clientID"], "clientSecret": record["clientSecret"],
		"isSAML": true, "deactivated": off})
	if a.StatusCode >= http.StatusMultipleChoices {
		p.t.Fatalf("deactivate: %s %s", a.Status, a.body)
	}
}

// What is switched off or deleted on the way gives nothing any more.
func TestAccessEnds(t *testing.T) {
	l := newLand(t)
	t.Run("a deactivated connection", func(t *testing.T) {
		request := l.begin(l.web.asks(nil))
		code, tenantCode := l.code(l.idp, l.web.asks(nil)), l.code(l.idp, polisClient(nil))
		l.deactivate(l.record, true)
		tokenRefused(t, l.redeem(code, l.web.credentials()), http.StatusBadRequest, "invalid_grant")
		tokenRefused(t, l.redeem(tenantCode, nil), http.StatusBadRequest, "invalid_grant")
		refusedPage(t, l.authorize(polisClient(nil)), http.StatusForbidden)
		refusedBack(t, l.authorize(l.web.asks(nil)), "access_denied")
		refusedPage(t, l.acs(l.respond(l.idp, request, nil), request.RelayState), http.StatusForbidden)
		l.deactivate(l.record, false)
		l.begin(l.web.asks(nil))
	})
	t.Run("a redirect URI that was withdrawn", func(t *testing.T) {
		request := l.begin(l.second.asks(nil))
		l.mutate("updateApplication", "UpdateApplicationInput", "", map[string]any{"id": l.second.id, "redirectUris": []string{"https://new.example/"}})
		refusedPage(t, l.acs(l.respond(l.idp, request, nil), request.RelayState), http.StatusForbidden)
	})
	t.Run("a secret that was changed", func(t *testing.T) {
		code := l.code(l.idp, l.web.asks(nil))
		rotated := l.mutate("rotateApplicationSecret", "RotateApplicationSecretInput", "secret", map[string]any{"id": l.web.id})
		tokenRefused(t, l.redeem(code, l.web.credentials()), http.StatusUnauthorized, "invalid_client")
		l.web.secret = rotated["secret"].(string)
		if a := l.redeem(l.code(l.idp, l.web.asks(nil)), l.web.credentials()); a.StatusCode != http.StatusOK {
			t.Errorf("the new secret: %s", a.Status)
		}
	})
	t.Run("a deleted application", func(t *testing.T) {
		doomed := l.newApplication(testProduct, nil)
		code, request := l.code(l.idp, doomed.asks(nil)), l.begin(doomed.asks(nil))
		l.mutate("deleteApplication", "DeleteApplicationInput", "deletedId", map[string]any{"id": doomed.id})
		tokenRefused(t, l.redeem(code, doomed.credentials()), http.StatusUnauthorized, "invalid_client")
		refusedPage(t, l.acs(l.respond(l.idp, request, nil), request.RelayState), http.StatusNotFound)
		refusedPage(t, l.get("/api/oauth/authorize?"+doomed.asks(nil).Encode()), http.StatusForbidden)
	})
	t.Run("a deleted connection", func(t *testing.T) {
		doomed := newIdP(t, "https://idp.example/doomed")
		record := l.connect(doomed, map[string]any{"tenant": "doomed"})
		code := l.code(doomed, l.web.asks(url.Values{"organization": {"doomed"}}))
		l.admin(http.MethodDelete, "/api/v1/sso?"+url.Values{"clientID": {record["clientID"].(string)}, "clientSecret": {record["clientSecret"].(string)}}.Encode(), nil)
		tokenRefused(t, l.redeem(code, l.web.credentials()), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("a deleted connection and organization", func(t *testing.T) {
		asks := l.web.asks(url.Values{"organization": {"globex.example"}})
		tenant := polisClient(url.Values{"client_id": {"tenant=globex.example&product=crm"}})
		token := l.redeem(l.code(l.otherIdP, asks), l.web.credentials()).json(t)["access_token"].(string)
		code, tenantCode := l.code(l.otherIdP, asks), l.code(l.otherIdP, tenant)
		data := l.graphql(`query($id: ID!) {project(id: $id) {organizations(first: 10) {nodes {id slug connections(first: 5) {nodes {id}}}}}}`,
			map[string]any{"id": l.projectID(testProduct)})
		for _, o := range data["project"].(map[string]any)["organizations"].(map[string]any)["nodes"].([]any) {
			o := o.(map[string]any)
			if o["slug"] != "globex.example" {
				continue
			}
			for _, c := range o["connections"].(map[string]any)["nodes"].([]any) {
				l.mutate("deleteConnection", "DeleteConnectionInput", "deletedId", map[string]any{"id": c.(map[string]any)["id"]})
			}
			l.mutate("deleteOrganization", "DeleteOrganizationInput", "deletedId", map[string]any{"id": o["id"]})
		}
		refusedBearer(t, l.userinfo(token), "invalid_token")
		tokenRefused(t, l.redeem(code, l.web.credentials()), http.StatusBadRequest, "invalid_grant")
		tokenRefused(t, l.redeem(tenantCode, tenant), http.StatusUnauthorized, "invalid_client")
	})
}

var chooserLink = regexp.MustCompile(`<a class="button" href="([^"]*)">([^<]*)</a>`)

func TestChooser(t *testing.T) {
	l := newLand(t)
	second, third := newIdP(t, "https://idp.example/second"), newIdP(t, "https://idp.example/third")
	l.connect(second, map[string]any{"label": `Head <office> & "friends"`, "sortOrder": 10})
	off := l.connect(third, map[string]any{"name": "Switched off"})
	l.deactivate(off, true)
	idps := []*federationtest.IdP{second, l.idp} // as sorted
	for name, w := range l.ways() {
		if name == "connection" { // names its own
			continue
		}
		t.Run(name, func(t *testing.T) {
			a := l.get("/api/oauth/authorize?" + w.ask.Encode())
			chooser := a.location()
			if a.StatusCode != http.StatusFound || chooser.Path != "/idp/select" || chooser.Query().Get("authFlow") != "sp-initiated" {
				t.Fatalf("%s to %s", a.Status, chooser)
			}
			shown := l.get(chooser.String())
			if shown.StatusCode != http.StatusOK || shown.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("the chooser: %s", shown.Status)
			}
			links := chooserLink.FindAllSubmatch(shown.body, -1)
			if len(links) != len(idps) || html.UnescapeString(string(links[0][2])) != `Head <office> & "friends"` {
				t.Fatalf("choices: %s", shown.body)
			}
			for i, idp := range idps {
				chosen := l.get(html.UnescapeString(string(links[i][1])))
				if chosen.StatusCode != http.StatusTemporaryRedirect || chosen.location().Path != "/api/oauth/authorize" {
					t.Fatalf("choice %d: %s to %s", i, chosen.Status, chosen.location())
				}
				request := l.begin(chosen.location().Query())
				back := l.acs(l.respond(idp, request, nil), request.RelayState)
				if state := back.location().Query().Get("state"); state != "the-state" {
					t.Errorf("choice %d: state %q", i, state)
				}
				if a := l.redeem(back.location().Query().Get("code"), w.redeem); a.StatusCode != http.StatusOK {
					t.Errorf("choice %d: %s %s", i, a.Status, a.body)
				}
			}
		})
	}
	hint := off["clientID"].(string)
	refusedPage(t, l.get("/api/oauth/authorize?"+polisClient(url.Values{"idp_hint": {hint}}).Encode()), http.StatusForbidden)
	for name, path := range map[string]string{
		"no flow":      "/idp/select",
		"another flow": "/idp/select?authFlow=idp-initiated",
		"hostile flow": "/idp/select?authFlow=%3Cscript%3E",
	} {
		if a := l.get(path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", name, a.Status)
		}
	}
	refusedPage(t, l.get("/idp/select?authFlow=sp-initiated&client_id=unknown"), http.StatusForbidden)
	refusedPage(t, l.get("/idp/select?authFlow=sp-initiated&client_id=a&client_id=b"), http.StatusBadRequest)
}

func TestCORS(t *testing.T) {
	p := start(t, nil)
	for path, methods := range map[string]string{
		"/api/oauth/token": "POST", "/api/oauth/userinfo": "GET, POST", "/oauth/jwks": "GET, HEAD", "/.well-known/openid-configuration": "GET, HEAD",
	} {
		a := p.do(p.request(http.MethodOptions, path, nil, "Origin", "https://spa.example",
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, content-type"))
		h := a.Header
		if a.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" ||
			h.Get("Access-Control-Allow-Methods") != methods+", OPTIONS" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%s: %s %v", path, a.Status, h)
		}
		if h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s trusts cookies", path)
		}
		if a := p.get(path, "Origin", "https://spa.example"); a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("GET %s: %v", path, a.Header)
		}
	}
	for _, path := range []string{"/api/oauth/authorize", "/api/oauth/saml", "/graphql", "/api/v1/sso", "/error"} {
		a := p.do(p.request(http.MethodOptions, path, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"))
		if a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is open to every page", path)
		}
	}
}

func TestKeySetShowsPublicKeysAlone(t *testing.T) {
	p := start(t, nil)
	keys, _ := p.get("/oauth/jwks").json(t)["keys"].([]any)
	for _, k := range keys {
		k := k.(map[string]any)
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if k[private] != nil {
				t.Errorf("the key set shows %s of %v", private, k["kid"])
			}
		}
		if k["kid"] == "" || k["use"] != "sig" || k["alg"] == nil {
			t.Errorf("key: %v", k)
		}
	}
	if len(keys) != 4 {
		t.Errorf("%d keys", len(keys))
	}
}
