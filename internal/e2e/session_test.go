package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// tab is a browser that keeps cookies, on the same land.
func (l *land) tab() *land {
	l.t.Helper()
	other := *l
	other.program = l.program.tab(l.t)
	return &other
}

// cookies are what a browser keeps of Portico, by name.
func (l *land) cookies() map[string]string {
	u, _ := url.Parse(l.URL)
	kept := map[string]string{}
	if l.http.Jar != nil {
		for _, c := range l.http.Jar.Cookies(u) {
			kept[c.Name] = c.Value
		}
	}
	return kept
}

// keep has a browser keep a cookie that it was not given, as an attacker may bring about.
func (l *land) keep(name, value string) {
	u, _ := url.Parse(l.URL)
	l.http.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

func (l *land) sessionName(project string) string { return "portico_session_" + l.projectID(project) }

func (l *land) session() string { return l.cookies()[l.sessionName(testProduct)] }

var offline = url.Values{"scope": {"openid offline_access"}}

// signsIn signs a person in at an application by their identity provider.
func (l *land) signsIn(c client, change url.Values) tokens {
	l.t.Helper()
	return granted(l.t, l.redeem(l.code(l.idp, c.asks(change)), c.credentials()))
}

// silently signs a person in without their identity provider.
func (l *land) silently(c client, change url.Values) tokens {
	l.t.Helper()
	a := l.authorize(c.asks(change))
	code := a.location().Query().Get("code")
	if a.StatusCode != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), callback+"?") || code == "" {
		l.t.Fatalf("%s to %s", a.Status, a.Header.Get("Location"))
	}
	return granted(l.t, l.redeem(code, c.credentials()))
}

func TestSingleSignOn(t *testing.T) {
	l := newLand(t)
	tab := l.tab()
	first := claimsOf(t, tab.signsIn(l.web, nil).ID)
	if first["sid"] == nil || first["acr"] == nil || first["auth_time"] == nil {
		t.Fatalf("%v", first)
	}
	if _, left := tab.cookies()["portico_login"]; left || tab.session() == "" {
		t.Errorf("cookies: %v", tab.cookies())
	}
	l.clock.advance(time.Hour)
	for name, change := range map[string]url.Values{
		"plainly":                   nil,
		"without a question":        {"prompt": {"none"}},
		"of a certain age":          {"max_age": {"4000"}},
		"of a certain kind":         {"acr_values": {"urn:x"}, "claims": {`{"id_token":{"acr":{"essential":true,"values":["urn:x","` + first["acr"].(string) + `"]}}}`}},
		"of a certain kind, if not": {"claims": {`{"id_token":{"acr":{"values":["urn:x"]},"auth_time":{"essential":true},"email":null}}`}},
		"the same person":           {"claims": {`{"id_token":{"sub":{"value":"` + first["sub"].(string) + `"}}}`}},
		"as hinted":                 {"login_hint": {"ALICE@acme.example"}},
		"as hinted by a name":       {"login_hint": {"+1 555 0100"}},
		"through the connection":    {"connection": {first["connection_id"].(string)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := claimsOf(t, tab.silently(l.second, change).ID)
			for _, claim := range []string{"sub", "sid", "auth_time", "acr", "email", "organization_id"} {
				if got[claim] != first[claim] {
					t.Errorf("%s is %v, and was %v", claim, got[claim], first[claim])
				}
			}
			if got["aud"] != l.second.id {
				t.Errorf("aud %v", got["aud"])
			}
		})
	}
	t.Run("as an expired id token hints", func(t *testing.T) {
		hint := tab.silently(l.second, nil).ID
		l.clock.advance(90 * time.Minute)
		tab.silently(l.web, url.Values{"id_token_hint": {hint}, "prompt": {"none"}})
	})
	t.Run("a public application", func(t *testing.T) {
		code := tab.authorize(l.spa.asks(pkce)).location().Query().Get("code")
		granted(t, l.redeem(code, with(l.spa.credentials(), url.Values{"code_verifier": {verifier}})))
	})
}

// TestSessionsDoNotReachFurther has browsers with a session, and without one that counts, send requests that an identity
// provider has to answer.
func TestSessionsDoNotReachFurther(t *testing.T) {
	l := newLand(t)
	tab := l.tab()
	first := tab.signsIn(l.web, nil)
	session, claims := tab.session(), claimsOf(t, first.ID)
	other := l.tab()
	other.idp = l.otherIdP
	foreign := claimsOf(t, other.signsIn(l.web, url.Values{"organization": {"globex.example"}}).ID)
	sessionID, secret, _ := strings.Cut(session, ".")
	keeping := func(name, value string) *land {
		p := l.tab()
		p.keep(name, value)
		return p
	}
	for name, c := range map[string]struct {
		browser *land
		q       url.Values
		silent  string // what prompt=none is told; "" is login_required
	}{
		"no cookie":                              {l.tab(), l.second.asks(nil), ""},
		"another organization":                   {tab, l.second.asks(url.Values{"organization": {"globex.example"}}), ""},
		"another organization's session":         {other, l.second.asks(nil), ""},
		"another project":                        {tab, l.alien.asks(nil), ""},
		"another project's name for the session": {keeping(l.sessionName("hr"), session), l.alien.asks(nil), ""},
		"a wrong secret":                         {keeping(l.sessionName(testProduct), session[:len(session)-4]+"AAAA"), l.second.asks(nil), ""},
		"no secret":                              {keeping(l.sessionName(testProduct), sessionID+"."), l.second.asks(nil), ""},
		"the id alone":                           {keeping(l.sessionName(testProduct), sessionID), l.second.asks(nil), ""},
		"another session's secret":               {keeping(l.sessionName(testProduct), foreign["sid"].(string)+"."+secret), l.second.asks(nil), ""},
		"an unknown session":                     {keeping(l.sessionName(testProduct), "0198c0de-0000-7000-8000-000000000000."+secret), l.second.asks(nil), ""},
		"a session that is no text":              {keeping(l.sessionName(testProduct), "%00."+secret), l.second.asks(nil), ""},
		"prompt=login":                           {tab, l.second.asks(url.Values{"prompt": {"login"}}), "invalid_request"},
		"prompt=select_account":                  {tab, l.second.asks(url.Values{"prompt": {"select_account"}}), "invalid_request"},
		"max_age=0":                              {tab, l.second.asks(url.Values{"max_age": {"0"}}), ""},
		"forceAuthn":                             {tab, l.second.asks(url.Values{"forceAuthn": {"true"}}), ""},
		"somebody else's e-mail address":         {tab, l.second.asks(url.Values{"login_hint": {"bob@acme.example"}}), ""},
		"somebody else's sub":                    {tab, l.second.asks(url.Values{"claims": {`{"userinfo":{"sub":{"value":"` + foreign["sub"].(string) + `"}}}`}}), ""},
		"a kind of sign-in that it was not":      {tab, l.second.asks(url.Values{"claims": {`{"id_token":{"acr":{"essential":true,"value":"urn:x"}}}`}}), ""},
		"an id token that is none":               {tab, l.second.asks(url.Values{"id_token_hint": {"x.y.z"}}), ""},
		"an id token of another signature":       {tab, l.second.asks(url.Values{"id_token_hint": {first.ID[:len(first.ID)-6] + "AAAAAA"}}), ""},
		"a client of the Polis kind":             {tab, polisClient(nil), "none"},
	} {
		t.Run(name, func(t *testing.T) {
			c.browser.authorize(c.q).atProvider(t)
			if c.silent == "none" {
				return
			}
			if c.silent == "" {
				c.silent = "login_required"
			}
			refusedBack(t, c.browser.authorize(with(c.q, url.Values{"prompt": {strings.TrimSpace(c.q.Get("prompt") + " none")}})), c.silent)
		})
	}
	for name, change := range map[string]url.Values{
		"prompt none and more":         {"prompt": {"none login"}},
		"max_age that is no number":    {"max_age": {"-1"}},
		"claims that are no JSON":      {"claims": {"{"}},
		"claims that are a list":       {"claims": {"[]"}},
		"claims of 5 KiB":              {"claims": {`{"x":"` + strings.Repeat("y", 5<<10) + `"}`}},
		"a sub that is a number":       {"claims": {`{"id_token":{"sub":{"value":7}}}`}},
		"two subs":                     {"claims": {`{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}`}},
		"a claim that is not a member": {"claims": {`{"id_token":{"acr":"urn:x"}}`}},
	} {
		t.Run(name, func(t *testing.T) { refusedBack(t, tab.authorize(l.second.asks(change)), "invalid_request") })
	}
	t.Run("by and by", func(t *testing.T) {
		if tab.authorize(l.second.asks(url.Values{"max_age": {"60"}})).atProviderOrNot() {
			t.Error("a session of this moment is too old")
		}
		l.clock.advance(2 * time.Minute)
		if got := tab.authorize(l.second.asks(url.Values{"max_age": {"60"}})).atProvider(t); !got.ForceAuthn {
			t.Error("the identity provider is not told to ask anew")
		}
	})
	if claimsOf(t, tab.silently(l.second, nil).ID)["sid"] != claims["sid"] {
		t.Error("the session was harmed by what it was not for")
	}
}

func (a answer) atProviderOrNot() bool { return a.location().Host == "idp.example" }

// TestWhoSignsInIsWhoWasAsked: an application that asks for one person, or one kind of sign-in, gets no other.
func TestWhoSignsInIsWhoWasAsked(t *testing.T) {
	l := newLand(t)
	alices := l.signsIn(l.web, nil)
	bob := func(r *federationtest.Response) { r.NameID = "bob@acme.example" }
	login := func(q url.Values, change func(*federationtest.Response)) answer {
		request := l.authorize(q).atProvider(t)
		return l.acs(l.respond(l.idp, request, change), request.RelayState)
	}
	ask := l.web.asks(url.Values{"id_token_hint": {alices.ID}})
	if code := login(ask, nil).location().Query().Get("code"); code == "" {
		t.Error("the person who was asked for cannot sign in")
	}
	changed := func(r *federationtest.Response) {
		bob(r)
		for i := range r.Attributes {
			if strings.Contains(r.Attributes[i].Name, "nameidentifier") || r.Attributes[i].Name == "id" {
				r.Attributes[i].Values = []string{"bob-1"}
			}
		}
	}
	refusedBack(t, login(ask, changed), "login_required")
	refusedBack(t, login(l.web.asks(url.Values{"claims": {`{"id_token":{"acr":{"essential":true,"value":"urn:x"}}}`}}), nil), "unmet_authentication_requirements")
}

// finished runs a login in a browser up to the request of Portico's own site.
func (l *land) finished(c client, change url.Values) (address string) {
	l.t.Helper()
	request := l.authorize(c.asks(change)).atProvider(l.t)
	a := l.post("/api/oauth/saml", url.Values{"SAMLResponse": {l.respond(l.idp, request, nil)}, "RelayState": {request.RelayState}})
	if a.location().Path != "/api/oauth/continue" || len(a.Cookies()) != 0 {
		l.t.Fatalf("%s to %s with %v", a.Status, a.Header.Get("Location"), a.Cookies())
	}
	return a.Header.Get("Location")
}

func TestSessionsAreMadeWhereTheLoginBegan(t *testing.T) {
	l := newLand(t)
	goesTo := func(t *testing.T, a answer) string {
		t.Helper()
		code := a.location().Query().Get("code")
		if a.StatusCode != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), callback+"?") || code == "" || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s to %s", a.Status, a.Header.Get("Location"))
		}
		return code
	}
	t.Run("the cookies", func(t *testing.T) {
		tab := l.tab()
		begun := tab.authorize(l.web.asks(nil))
		if c := begun.Cookies(); len(c) != 1 || c[0].Name != "portico_login" || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || c[0].Path != "/" || c[0].MaxAge != 600 || len(c[0].Value) != 43 {
			t.Errorf("%v", c)
		}
		a := tab.get(tab.finished(l.web, nil))
		goesTo(t, a)
		for _, c := range a.Cookies() {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Name != "portico_login" && c.MaxAge != 24*3600 {
				t.Errorf("%v", c)
			}
		}
	})
	t.Run("stolen on the way, in another browser", func(t *testing.T) {
		for name, thief := range map[string]*land{"that began nothing": l.tab(), "that began a login itself": l.tab()} {
			if name == "that began a login itself" {
				thief.authorize(l.web.asks(nil)).atProvider(t)
			}
			code := goesTo(t, thief.get(l.tab().finished(l.web, nil)))
			if thief.session() != "" {
				t.Errorf("%s: it has a session", name)
			}
			if id := claimsOf(t, granted(t, l.redeem(code, l.web.credentials())).ID); id["sid"] != nil {
				t.Errorf("%s: %v", name, id)
			}
		}
	})
	t.Run("again", func(t *testing.T) {
		tab := l.tab()
		began := tab.cookies
		address := tab.finished(l.web, nil)
		cookie := began()["portico_login"]
		goesTo(t, tab.get(address))
		tab.signOut(t)
		tab.keep("portico_login", cookie)
		goesTo(t, tab.get(address))
		if tab.session() != "" {
			t.Error("a login makes two sessions")
		}
	})
	t.Run("after the code was used", func(t *testing.T) {
		tab := l.tab()
		address := tab.finished(l.web, nil)
		granted(t, l.redeem(goesTo(t, l.tab().get(address)), l.web.credentials()))
		goesTo(t, tab.get(address))
		if tab.session() != "" {
			t.Error("a login that was over makes a session")
		}
	})
	t.Run("too late", func(t *testing.T) {
		tab := l.tab()
		address := tab.finished(l.web, nil)
		l.clock.advance(6 * time.Minute)
		refusedPage(t, tab.get(address), http.StatusForbidden)
	})
	t.Run("made up", func(t *testing.T) {
		tab := l.tab()
		address := tab.finished(l.web, nil)
		for _, change := range []string{address[:len(address)-3] + "AAA", l.URL + "/api/oauth/continue", l.URL + "/api/oauth/continue?login=AAAA", l.URL + "/api/oauth/continue?login=%00"} {
			refusedPage(t, tab.get(change), http.StatusForbidden)
		}
		for _, method := range []string{http.MethodPost, http.MethodHead} {
			if a := tab.do(tab.request(method, address, nil)); len(a.Cookies()) > 1 || a.Header.Get("Allow") != "GET" {
				t.Errorf("%s: %s %v", method, a.Status, a.Cookies())
			}
		}
	})
	t.Run("a name that is there twice", func(t *testing.T) {
		tab := l.tab()
		tab.signsIn(l.web, nil)
		own := l.sessionName(testProduct) + "=" + tab.session()
		l.get("/api/oauth/authorize?"+l.second.asks(nil).Encode(), "Cookie", own+"; "+l.sessionName(testProduct)+"=x").atProvider(t)
		if l.get("/api/oauth/authorize?"+l.second.asks(nil).Encode(), "Cookie", own).atProviderOrNot() {
			t.Error("the cookie alone does not count")
		}
	})
	t.Run("a state of 2000 bytes", func(t *testing.T) { // its address would not pass every proxy
		tab := l.tab()
		request := tab.authorize(l.web.asks(url.Values{"state": {strings.Repeat("ä", 1000)}})).atProvider(t)
		goesTo(t, tab.post("/api/oauth/saml", url.Values{"SAMLResponse": {l.respond(l.idp, request, nil)}, "RelayState": {request.RelayState}}))
	})
	t.Run("unasked", func(t *testing.T) {
		tab := l.tab()
		l.setConnection(t, map[string]any{"idpInitiated": true, "sessions": true})
		l.clock.advance(2 * time.Second)
		request := federationtest.Request{ACS: l.URL + "/api/oauth/saml", Issuer: l.URL + "/.well-known/sp-metadata"}
		goesTo(t, tab.post("/api/oauth/saml", url.Values{"SAMLResponse": {l.respond(l.idp, request, nil)}}))
		if len(tab.cookies()) != 0 {
			t.Errorf("%v", tab.cookies())
		}
	})
}

// setConnection changes the first connection over GraphQL.
func (l *land) setConnection(t *testing.T, in map[string]any) {
	t.Helper()
	signed := l.userinfo(l.redeem(l.code(l.idp, l.web.asks(nil)), l.web.credentials()).json(t)["access_token"].(string)).json(t)
	in["id"] = signed["connection_id"]
	l.mutate("updateConnection", "UpdateConnectionInput", "connection {id}", in)
}

func TestPolisClientsHaveSessionsWhereTheirConnectionSaysSo(t *testing.T) {
	l := newLand(t)
	tab := l.tab()
	login := func() answer {
		request := tab.authorize(polisClient(nil)).atProvider(t)
		return tab.post("/api/oauth/saml", url.Values{"SAMLResponse": {l.respond(l.idp, request, nil)}, "RelayState": {request.RelayState}})
	}
	if a := login(); a.location().Query().Get("code") == "" || len(tab.cookies()) != 0 {
		t.Errorf("to %s with %v", a.Header.Get("Location"), tab.cookies())
	}
	l.setConnection(t, map[string]any{"sessions": true})
	l.clock.advance(2 * time.Second)
	if a := tab.get(login().Header.Get("Location")); a.location().Query().Get("code") == "" || tab.session() == "" {
		t.Errorf("to %s with %v", a.Header.Get("Location"), tab.cookies())
	}
	a := tab.authorize(polisClient(nil))
	got := granted(t, l.redeem(a.location().Query().Get("code"), nil))
	if info := l.userinfo(got.Access).json(t); info["id"] != alice.ID || info["email"] != alice.Email {
		t.Errorf("%v", info)
	}
	tab.authorize(polisClient(url.Values{"forceAuthn": {"true"}})).atProvider(t)
	l.setConnection(t, map[string]any{"sessions": false})
	l.clock.advance(2 * time.Second)
	tab.authorize(polisClient(nil)).atProvider(t)
}

// signOut signs the person of a browser out by the page that asks.
func (l *land) signOut(t *testing.T) {
	t.Helper()
	page := l.get(l.get("/api/oauth/logout").Header.Get("Location"))
	if a := l.post("/api/oauth/logout/confirm", formOf(t, page)); a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), "You are signed out") {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	if l.session() != "" {
		t.Fatal("the session is kept")
	}
}

func TestSessionsEnd(t *testing.T) {
	l := newLand(t)
	type world struct {
		*land
		held   tokens // of an application that may come back alone
		plain  tokens // of one that may not
		claims map[string]any
	}
	begin := func(t *testing.T) world {
		t.Helper()
		tab := l.tab()
		w := world{land: tab, held: tab.signsIn(l.web, offline)}
		w.plain, w.claims = tab.silently(l.second, nil), claimsOf(t, w.held.ID)
		return w
	}
	over := func(t *testing.T, w world) {
		t.Helper()
		w.authorize(l.second.asks(nil)).atProvider(t)
		refusedBack(t, w.authorize(l.second.asks(url.Values{"prompt": {"none"}})), "login_required")
	}
	tokensOver := func(t *testing.T, w world) {
		t.Helper()
		refusedBearer(t, l.userinfo(w.plain.Access), "invalid_token")
		refusedBearer(t, l.userinfo(w.held.Access), "invalid_token")
		tokenRefused(t, l.tokenEndpoint(refreshForm(l.web, w.held.Refresh, nil)), 400, "invalid_grant")
		if l.active(l.web, w.held.Access) || l.active(l.web, w.held.Refresh) || l.active(l.second, w.plain.Access) {
			t.Error("a token is active")
		}
	}
	t.Run("unused for eight hours", func(t *testing.T) {
		w := begin(t)
		l.clock.advance(7 * time.Hour)
		w.silently(l.second, nil)
		l.clock.advance(7 * time.Hour)
		w.silently(l.second, nil)
		l.clock.advance(8*time.Hour + time.Minute)
		over(t, w)
		granted(t, l.tokenEndpoint(refreshForm(l.web, w.held.Refresh, nil))) // that was for offline
	})
	t.Run("after a day", func(t *testing.T) {
		w := begin(t)
		for range 3 {
			l.clock.advance(7 * time.Hour)
			w.silently(l.second, nil)
		}
		l.clock.advance(3*time.Hour + time.Minute)
		over(t, w)
	})
	t.Run("the person signs out", func(t *testing.T) {
		w := begin(t)
		code := w.authorize(l.second.asks(nil)).location().Query().Get("code")
		w.signOut(t)
		over(t, w)
		refusedBearer(t, l.userinfo(w.plain.Access), "invalid_token")
		tokenRefused(t, l.redeem(code, l.second.credentials()), 400, "invalid_grant")
		granted(t, l.tokenEndpoint(refreshForm(l.web, w.held.Refresh, nil)))
	})
	t.Run("revoked", func(t *testing.T) {
		w, bystander := begin(t), begin(t)
		code := w.authorize(l.second.asks(nil)).location().Query().Get("code")
		identity := l.graphql(`query($id: ID!) {identity(id: $id) {email active organization {sessions(first: 100) {nodes {id identity {id}}}}
			sessions(first: 100) {totalCount nodes {id authenticatedAt startedAt seenAt expiresAt applicationIds organization {slug}}}}}`,
			map[string]any{"id": w.claims["sub"]})["identity"].(map[string]any)
		shown := 0
		for _, of := range []any{identity["sessions"], identity["organization"].(map[string]any)["sessions"]} {
			for _, node := range of.(map[string]any)["nodes"].([]any) {
				node := node.(map[string]any)
				if node["id"] == w.claims["sid"] {
					shown++
					if ids, ok := node["applicationIds"].([]any); ok && (len(ids) != 2 || ids[0] != l.web.id || ids[1] != l.second.id) {
						t.Errorf("%v", node)
					}
				}
			}
		}
		if shown != 2 || identity["email"] != alice.Email {
			t.Errorf("%v", identity)
		}
		l.mutate("revokeSession", "RevokeSessionInput", "deletedId", map[string]any{"id": w.claims["sid"]})
		over(t, w)
		tokensOver(t, w)
		tokenRefused(t, l.redeem(code, l.second.credentials()), 400, "invalid_grant")
		bystander.silently(l.second, nil)
		granted(t, l.tokenEndpoint(refreshForm(l.web, bystander.held.Refresh, nil)))
		again := l.graphql(`mutation($in: RevokeSessionInput!) {revokeSession(input: $in) {errors {code}}}`,
			map[string]any{"in": map[string]any{"id": w.claims["sid"]}})["revokeSession"].(map[string]any)
		if list := again["errors"].([]any); len(list) != 1 || list[0].(map[string]any)["code"] != "not_found" {
			t.Errorf("%v", again)
		}
	})
	t.Run("the connection is deactivated", func(t *testing.T) {
		w := begin(t)
		l.deactivate(l.record, true)
		l.clock.advance(2 * time.Second)
		tokensOver(t, w)
		if to := w.authorize(l.second.asks(nil)); to.location().Query().Has("code") {
			t.Error("a code by a connection that is deactivated")
		}
		l.deactivate(l.record, false)
		l.clock.advance(2 * time.Second)
	})
	t.Run("the connection asks anew each time", func(t *testing.T) {
		w := begin(t)
		l.setConnection(t, map[string]any{"forceAuthn": true})
		l.clock.advance(2 * time.Second)
		over(t, w)
		l.setConnection(t, map[string]any{"forceAuthn": false})
		l.clock.advance(2 * time.Second)
	})
	t.Run("the person is deactivated", func(t *testing.T) {
		w := begin(t)
		set := func(active bool) {
			l.mutate("updateIdentity", "UpdateIdentityInput", "identity {active}", map[string]any{"id": w.claims["sub"], "active": active})
		}
		set(false)
		over(t, w)
		tokensOver(t, w)
		request := w.authorize(l.web.asks(nil)).atProvider(t)
		refusedBack(t, w.acs(l.respond(l.idp, request, nil), request.RelayState), "access_denied")
		set(true)
		over(t, w)
		tokensOver(t, w)
		w.signsIn(l.web, nil)
	})
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// formOf reads the only form of a page.
func formOf(t *testing.T, page answer) url.Values {
	t.Helper()
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(string(page.body), -1) {
		form.Set(m[1], m[2])
	}
	if page.StatusCode != http.StatusOK || len(form) == 0 {
		t.Fatalf("no form: %s to %s: %s", page.Status, page.Header.Get("Location"), page.body)
	}
	return form
}
