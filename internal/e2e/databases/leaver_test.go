package databases

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// TestLeaverIsOutAtOnce has people sign in everywhere at two instances, and leave in every way that there is through one of
// them: at the other one the next request is refused, whichever it is, and the applications are told.
func TestLeaverIsOutAtOnce(t *testing.T) {
	some(t, func(s setup) bool { return long || s.sessions != "" }, func(t *testing.T, s setup) {
		c := newCompany(t, serve(t, 2, append(settings(s.fresh(t)), "PORTICO_ALLOW_PRIVATE_NETWORKS=127.0.0.0/8")))
		for n, way := range waysOut {
			t.Run(way.name, func(t *testing.T) {
				here := *c
				here.t, here.at, here.other = t, c.all[n%2], c.all[(n+1)%2]
				here.leaves(fmt.Sprint("person-", n), way)
			})
		}
	})
}

type object = map[string]any

const (
	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	patchSchema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
)

// wayOut is how somebody leaves.
type wayOut struct {
	name string
	out  func(c *company, l *leaver)
	// back is nil for who is gone.
	back func(c *company, l *leaver)
	// local people are no directory's: whoever is deleted comes to be another person by a login.
	local bool
}

// patched is a way out by an operation of PATCH.
func patched(operation object) func(*company, *leaver) {
	return func(c *company, l *leaver) {
		c.scim(http.MethodPatch, l, object{"schemas": []string{patchSchema}, "Operations": []object{operation}}, http.StatusOK)
	}
}

// replaced is a way out by PUT.
func replaced(change object) func(*company, *leaver) {
	return func(c *company, l *leaver) {
		body := c.resource(l)
		delete(body, "active")
		for name, value := range change {
			body[name] = value
		}
		c.scim(http.MethodPut, l, body, http.StatusOK)
	}
}

func identityActive(active bool) func(*company, *leaver) {
	return func(c *company, l *leaver) {
		c.mutate("updateIdentity", "UpdateIdentityInput", "identity {active}", object{"id": l.id, "active": active})
	}
}

func byRESTOf(method string, body object, status int) func(*company, *leaver) {
	return func(c *company, l *leaver) {
		c.want(status, c.at, method, "/api/v1/identities/"+l.id, body, "Bearer "+adminKey)
	}
}

var (
	scimBack    = patched(object{"op": "replace", "path": "active", "value": true})
	deleteBySDL = func(c *company, l *leaver) {
		c.mutate("deleteIdentity", "DeleteIdentityInput", "deletedId", object{"id": l.id})
	}
)

var waysOut = []wayOut{
	{name: "Entra's PATCH", out: patched(object{"op": "Replace", "path": "active", "value": "False"}), back: patched(object{"op": "Replace", "path": "active", "value": "True"})},
	{name: "Okta's PATCH", out: patched(object{"op": "replace", "value": object{"active": false}}), back: patched(object{"op": "replace", "value": object{"active": true}})},
	{name: "PATCH that removes active", out: patched(object{"op": "remove", "path": "active"}), back: scimBack},
	{name: "PUT with active false", out: replaced(object{"active": false}), back: replaced(object{"active": true})},
	{name: "PUT with active False", out: replaced(object{"active": "False"}), back: scimBack},
	{name: "PUT without active", out: replaced(nil), back: scimBack},
	{name: "bulk", out: func(c *company, l *leaver) {
		operation := object{"method": "PATCH", "path": "/Users/" + l.id, "data": object{"schemas": []string{patchSchema},
			"Operations": []object{{"op": "replace", "path": "active", "value": false}}}}
		c.want(http.StatusOK, c.at, http.MethodPost, c.scimPath+"/Bulk", object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"},
			"Operations": []object{operation}}, "Bearer "+c.scimSecret)
	}, back: scimBack},
	{name: "DELETE", out: func(c *company, l *leaver) { c.scim(http.MethodDelete, l, nil, http.StatusNoContent) }},
	{name: "a directory that takes up as inactive who signed in before", out: func(c *company, l *leaver) {
		body := c.resource(l)
		body["active"] = false
		if got := c.want(http.StatusCreated, c.at, http.MethodPost, c.scimPath+"/Users", body, "Bearer "+c.scimSecret)["id"]; got != l.id {
			c.t.Fatalf("provisioned as %v, and was %s", got, l.id)
		}
	}, back: scimBack, local: true},
	{name: "updateIdentity", out: identityActive(false), back: identityActive(true)},
	{name: "updateIdentity of one whom no directory has", out: identityActive(false), back: identityActive(true), local: true},
	{name: "deleteIdentity", out: deleteBySDL},
	{name: "deleteIdentity of one whom no directory has", out: deleteBySDL, local: true},
	{name: "REST's PATCH", out: byRESTOf(http.MethodPatch, object{"active": false}, http.StatusOK), back: byRESTOf(http.MethodPatch, object{"active": true}, http.StatusOK)},
	{name: "REST's DELETE", out: byRESTOf(http.MethodDelete, nil, http.StatusNoContent)},
	{name: "REST's DELETE of one whom no directory has", out: byRESTOf(http.MethodDelete, nil, http.StatusNoContent), local: true},
}

// company is an organization with a SAML and an OpenID connection, a directory and applications.
type company struct {
	t         *testing.T
	all       []*instance
	at, other *instance // where the leaver leaves, and where they try to go on
	tenant    *tenant
	op        *federationtest.OpenIDProvider
	ears      *ears

	saml, openID         string // connections, by id
	scimPath, scimSecret string
	web, jwt, tv         client
}

func newCompany(t *testing.T, all []*instance) *company {
	t.Helper()
	op, stop, err := federationtest.ServeOpenID(time.Now, federationtest.Script{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	c := &company{t: t, all: all, at: all[0], other: all[1], tenant: newTenant(t, "crm", "acme.example"), op: op, ears: listen(t)}
	if err := c.at.connect(t.Context(), c.tenant); err != nil {
		t.Fatal(err)
	}
	found, err := c.at.graphql(t.Context(), `query($slug: String) {project(slug: $slug) {id organizations {nodes {id connections {nodes {id}}}}}}`, object{"slug": c.tenant.product})
	if err != nil {
		t.Fatal(err)
	}
	project := found["project"].(object)["id"]
	of := found["project"].(object)["organizations"].(object)["nodes"].([]any)[0].(object)
	organization := of["id"]
	c.saml = of["connections"].(object)["nodes"].([]any)[0].(object)["id"].(string)
	joined := c.mutate("createConnection", "CreateConnectionInput", "connection {id}", object{"organizationId": organization, "oidc": object{
		"discoveryUrl": op.Issuer(), "clientId": op.Script().ClientID, "clientSecret": op.Script().ClientSecret}})
	c.openID = joined["connection"].(object)["id"].(string)
	made := c.mutate("createDirectory", "CreateDirectoryInput", "directory {clientId} secret", object{"organizationId": organization, "connectionId": c.saml})
	c.scimPath, c.scimSecret = "/scim/"+made["directory"].(object)["clientId"].(string)+"/v2", made["secret"].(string)
	application := func(change object) client {
		in := object{"projectId": project, "name": "App", "redirectUris": []string{callback}, "backchannelLogoutUri": c.ears.url}
		for name, value := range change {
			in[name] = value
		}
		made := c.mutate("createApplication", "CreateApplicationInput", "application {id} secret", in)
		return client{made["application"].(object)["id"].(string), made["secret"].(string)}
	}
	c.web, c.jwt = application(nil), application(object{"tokenFormat": "JWT"})
	c.tv = application(object{"grantTypes": []string{"DEVICE_CODE", "REFRESH_TOKEN"}, "redirectUris": []string{}})
	return c
}

// mutate runs a mutation at the instance where the leaver leaves, which must succeed.
func (c *company) mutate(name, input, fields string, in object) object {
	c.t.Helper()
	data, err := c.at.graphql(c.t.Context(), `mutation($in: `+input+`!) {it: `+name+`(input: $in) {`+fields+` errors {message}}}`, object{"in": in})
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	return data["it"].(object)
}

// want sends JSON and holds that the answer has a status.
func (c *company) want(status int, i *instance, method, path string, body object, authorization string) object {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	kind := "application/json"
	if strings.HasPrefix(path, "/scim/") {
		kind = "application/scim+json"
	}
	a, err := i.send(c.t.Context(), method, path, strings.NewReader(string(text)), "Content-Type", kind, "Authorization", authorization)
	if err != nil || a.StatusCode != status {
		c.t.Fatalf("%s %s: %v, %d %s", method, path, err, a.StatusCode, a.body)
	}
	var v object
	_ = json.Unmarshal(a.body, &v)
	return v
}

func (c *company) scim(method string, l *leaver, body object, status int) {
	c.t.Helper()
	c.want(status, c.at, method, c.scimPath+"/Users/"+l.id, body, "Bearer "+c.scimSecret)
}

func (c *company) resource(l *leaver) object {
	return object{"schemas": []string{userSchema}, "userName": l.user.Email, "externalId": l.user.ID, "active": true, "emails": []object{{"value": l.user.Email, "primary": true}}}
}

// leaver is a person and everything that they have going on.
type leaver struct {
	id   string
	user federationtest.User
	*browser
	web, jwt, polis   tokens
	code, fromSession string // not redeemed yet: of a login, and of a session
	finished          string // where a login goes on that has come back from its provider
	saml, device      federationtest.Request
	openID            federationtest.Authorization
	deviceBrowser     *browser // in which a device is confirmed, and the person is still at the provider
	approved, pending string   // device codes
	sessionID         string
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// browser keeps cookies, whichever instance answers.
type browser struct {
	c       *company
	cookies map[string]string
}

func (c *company) browser() *browser { return &browser{c, map[string]string{}} }

// asks sends what a browser sends, and goes on where an answer leads to Portico's own site.
func (b *browser) asks(i *instance, method, path string, form url.Values) answer {
	b.c.t.Helper()
	for {
		var cookies []string
		for name, value := range b.cookies {
			cookies = append(cookies, name+"="+value)
		}
		a, err := i.send(b.c.t.Context(), method, path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Cookie", strings.Join(cookies, "; "))
		if err != nil {
			b.c.t.Fatalf("%s %s: %v", method, path, err)
		}
		for _, cookie := range a.Cookies() {
			b.cookies[cookie.Name] = cookie.Value
			if cookie.MaxAge < 0 || cookie.Value == "" {
				delete(b.cookies, cookie.Name)
			}
		}
		to := a.location()
		if to.Path != "/api/oauth/continue" {
			return a
		}
		method, path, form = http.MethodGet, to.RequestURI(), nil
	}
}

func (c *company) request(as client, change url.Values) string {
	q := url.Values{"client_id": {as.id}, "redirect_uri": {callback}, "state": {"s"}, "response_type": {"code"}, "scope": {"openid offline_access"},
		"organization": {c.tenant.name}, "connection": {c.saml}}
	for name, values := range change {
		q[name] = values
	}
	return "/api/oauth/authorize?" + q.Encode()
}

// atSAML is what the SAML provider gets.
func (c *company) atSAML(a answer) federationtest.Request {
	c.t.Helper()
	q, err := federationtest.ParseRedirect(a.Header.Get("Location"), nil)
	if err != nil {
		c.t.Fatalf("%d to %q: %v", a.StatusCode, a.Header.Get("Location"), err)
	}
	return q
}

// signed is the form that the SAML provider has the browser post.
func (c *company) signed(q federationtest.Request, l *leaver) url.Values {
	c.t.Helper()
	response, err := c.tenant.idp.Response(c.tenant.idp.Answer(q, l.user))
	if err != nil {
		c.t.Fatal(err)
	}
	return url.Values{"SAMLResponse": {response}, "RelayState": {q.RelayState}}
}

func (c *company) atOpenID(a answer) federationtest.Authorization {
	c.t.Helper()
	asked, err := c.op.ParseAuthorization(a.Header.Get("Location"))
	if err != nil {
		c.t.Fatalf("%d to %q: %v", a.StatusCode, a.Header.Get("Location"), err)
	}
	return asked
}

// back is where the OpenID provider sends the browser.
func (c *company) back(asked federationtest.Authorization, l *leaver) string {
	c.t.Helper()
	c.op.Change(func(s *federationtest.Script) {
		s.User = object{"sub": l.user.ID, "email": l.user.Email, "email_verified": true}
	})
	u, err := url.Parse(c.op.Callback(asked, c.op.Code(asked)))
	if err != nil {
		c.t.Fatal(err)
	}
	return u.RequestURI()
}

func (c *company) codeIn(a answer) string {
	c.t.Helper()
	code := a.location().Query().Get("code")
	if a.StatusCode != http.StatusFound || code == "" {
		c.t.Fatalf("%d to %q: %s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	return code
}

// token asks the token endpoint of an instance.
func (c *company) token(i *instance, as client, form url.Values) (got tokens, a answer) {
	c.t.Helper()
	form.Set("client_id", as.id)
	form.Set("client_secret", as.secret)
	a, err := i.post(c.t.Context(), "/api/oauth/token", form)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = json.Unmarshal(a.body, &got)
	return got, a
}

func (c *company) redeem(i *instance, as client, code string) (tokens, answer) {
	c.t.Helper()
	return c.token(i, as, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}})
}

func (c *company) refresh(i *instance, as client, token string) (tokens, answer) {
	c.t.Helper()
	return c.token(i, as, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (c *company) poll(i *instance, code string) (tokens, answer) {
	c.t.Helper()
	return c.token(i, c.tv, url.Values{"grant_type": {deviceGrant}, "device_code": {code}})
}

// granted are the tokens of an answer.
func (c *company) granted(got tokens, a answer) tokens {
	c.t.Helper()
	if a.StatusCode != http.StatusOK || got.Access == "" {
		c.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return got
}

func (c *company) userinfo(i *instance, token string) answer {
	c.t.Helper()
	a, err := i.get(c.t.Context(), "/api/oauth/userinfo", "Authorization", "Bearer "+token)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// active asks the introspection endpoint.
func (c *company) active(i *instance, as client, token string) bool {
	c.t.Helper()
	a, err := i.post(c.t.Context(), "/api/oauth/introspect", url.Values{"client_id": {as.id}, "client_secret": {as.secret}, "token": {token}})
	var got struct{ Active *bool }
	if err != nil || a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got.Active == nil {
		c.t.Fatalf("introspect: %v, %d %s", err, a.StatusCode, a.body)
	}
	return *got.Active
}

// silently asks by the browser's session alone.
func (l *leaver) silently(i *instance, as client) answer {
	l.c.t.Helper()
	return l.asks(i, http.MethodGet, l.c.request(as, url.Values{"prompt": {"none"}}), nil)
}

// polisClient is the SAML connection's own client, in the manner of Polis.
func (c *company) polisClient() client { return client{c.tenant.encoded(), sharedKey} }

// signsInEverywhere leaves behind everything by which a person could go on.
func (c *company) signsInEverywhere(l *leaver) {
	c.t.Helper()
	i := c.other
	signIn := func(b *browser, as client) string {
		q := c.atSAML(b.asks(i, http.MethodGet, c.request(as, nil), nil))
		return c.codeIn(b.asks(i, http.MethodPost, "/api/oauth/saml", c.signed(q, l)))
	}
	l.web = c.granted(c.redeem(i, c.web, signIn(l.browser, c.web)))
	l.jwt = c.granted(c.redeem(i, c.jwt, c.codeIn(l.silently(i, c.jwt))))
	l.sessionID, _ = claims(l.web.ID)["sid"].(string)
	polis := c.atSAML(c.browser().asks(i, http.MethodGet, "/api/oauth/authorize?"+url.Values{"client_id": {c.tenant.encoded()}, "redirect_uri": {callback},
		"state": {"s"}, "response_type": {"code"}, "idp_hint": {c.tenant.clientID}}.Encode(), nil))
	l.polis = c.granted(c.redeem(i, c.polisClient(), c.codeIn(c.browser().asks(i, http.MethodPost, "/api/oauth/saml", c.signed(polis, l)))))

	l.code, l.fromSession = signIn(c.browser(), c.web), c.codeIn(l.silently(i, c.web))
	q := c.atSAML(l.asks(i, http.MethodGet, c.request(c.web, url.Values{"prompt": {"login"}}), nil))
	a, err := i.post(c.t.Context(), "/api/oauth/saml", c.signed(q, l))
	if err != nil || a.location().Path != "/api/oauth/continue" {
		c.t.Fatalf("%v, %d to %q", err, a.StatusCode, a.Header.Get("Location"))
	}
	l.finished = a.location().RequestURI()
	l.saml = c.atSAML(c.browser().asks(i, http.MethodGet, c.request(c.web, nil), nil))
	l.openID = c.atOpenID(c.browser().asks(i, http.MethodGet, c.request(c.web, url.Values{"connection": {c.openID}}), nil))

	var confirmed federationtest.Request
	b := c.browser()
	l.approved, confirmed = c.device(b)
	if a := b.asks(i, http.MethodPost, "/api/oauth/saml", c.signed(confirmed, l)); a.location().RawQuery != "done=" {
		c.t.Fatalf("a device: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	l.deviceBrowser = c.browser()
	l.pending, l.device = c.device(l.deviceBrowser)
}

// device begins the sign-in of a device, and has a browser confirm it: the person is sent to the SAML provider.
func (c *company) device(b *browser) (code string, q federationtest.Request) {
	c.t.Helper()
	a, err := c.other.post(c.t.Context(), "/api/oauth/device_authorization", url.Values{"client_id": {c.tv.id}, "client_secret": {c.tv.secret},
		"organization": {c.tenant.name}, "scope": {"openid offline_access"}})
	var got struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
	}
	if err != nil || json.Unmarshal(a.body, &got) != nil || got.Device == "" {
		c.t.Fatalf("device: %v, %d %s", err, a.StatusCode, a.body)
	}
	return got.Device, c.atSAML(b.asks(c.other, http.MethodPost, "/device", url.Values{"user_code": {got.User}, "connection": {c.saml}, "action": {"approve"}}))
}

// goesOn holds that all of it is good at an instance, so that whatever it keeps in mind of it, it does by now.
func (c *company) goesOn(i *instance, l *leaver) {
	c.t.Helper()
	for what, of := range map[string]struct {
		as  client
		got *tokens
	}{"web": {c.web, &l.web}, "jwt": {c.jwt, &l.jwt}} {
		*of.got = c.granted(c.refresh(i, of.as, of.got.Refresh))
		if a := c.userinfo(i, of.got.Access); a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), l.id) {
			c.t.Fatalf("%s: userinfo: %d %s", what, a.StatusCode, a.body)
		}
		if !c.active(i, of.as, of.got.Access) || !c.active(i, of.as, of.got.Refresh) {
			c.t.Fatalf("%s: not active", what)
		}
	}
	if a := c.userinfo(i, l.polis.Access); a.StatusCode != http.StatusOK {
		c.t.Fatalf("userinfo of a client of Polis's kind: %d %s", a.StatusCode, a.body)
	}
	c.codeIn(l.silently(i, c.web))
}

// leaves has somebody leave through one instance, and holds that the other lets them in nowhere from the next request on.
func (c *company) leaves(name string, way wayOut) {
	l := &leaver{user: c.tenant.person(name), browser: c.browser()}
	if way.local {
		q := c.atSAML(c.browser().asks(c.at, http.MethodGet, c.request(c.web, nil), nil))
		got := c.granted(c.redeem(c.at, c.web, c.codeIn(c.browser().asks(c.at, http.MethodPost, "/api/oauth/saml", c.signed(q, l)))))
		l.id, _ = claims(got.ID)["sub"].(string)
	} else {
		l.id, _ = c.want(http.StatusCreated, c.at, http.MethodPost, c.scimPath+"/Users", c.resource(l), "Bearer "+c.scimSecret)["id"].(string)
	}
	c.signsInEverywhere(l)
	c.goesOn(c.other, l)
	way.out(c, l)
	comesAnew := way.local && way.back == nil
	c.isOut(l, comesAnew)
	c.ears.hear(c.t, l.id, l.sessionID, c.web.id, c.jwt.id)
	if way.back == nil {
		return
	}
	way.back(c, l)
	c.hasEnded(l)
	anew := c.browser()
	q := c.atSAML(anew.asks(c.other, http.MethodGet, c.request(c.web, nil), nil))
	got := c.granted(c.redeem(c.other, c.web, c.codeIn(anew.asks(c.other, http.MethodPost, "/api/oauth/saml", c.signed(q, l)))))
	if claims(got.ID)["sub"] != l.id || c.userinfo(c.other, got.Access).StatusCode != http.StatusOK {
		c.t.Errorf("who is back signs in as %v, and was %s", claims(got.ID)["sub"], l.id)
	}
}

// isOut tries every way in.
func (c *company) isOut(l *leaver, comesAnew bool) {
	c.t.Helper()
	i := c.other
	c.hasEnded(l)
	for what, code := range map[string]string{"a login": l.code, "a session": l.fromSession} {
		c.refused("the code of "+what, "invalid_grant")(c.redeem(i, c.web, code))
	}
	c.refused("a device that was approved", "invalid_grant")(c.poll(i, l.approved))
	if comesAnew {
		return
	}
	if a := l.asks(i, http.MethodGet, l.finished, nil); a.location().Query().Get("code") != "" {
		c.refused("a login that had come back", "invalid_grant")(c.redeem(i, c.web, c.codeIn(a)))
		c.sessionless(l)
	}
	saml := func(b *browser, q federationtest.Request) answer {
		return b.asks(i, http.MethodPost, "/api/oauth/saml", c.signed(q, l))
	}
	c.denied("a SAML login under way", saml(c.browser(), l.saml))
	c.denied("an OpenID login under way", c.browser().asks(i, http.MethodGet, c.back(l.openID, l), nil))
	c.denied("a SAML login", saml(l.browser, c.atSAML(l.asks(i, http.MethodGet, c.request(c.web, nil), nil))))
	q := c.atOpenID(l.asks(i, http.MethodGet, c.request(c.web, url.Values{"connection": {c.openID}}), nil))
	c.denied("an OpenID login", l.asks(i, http.MethodGet, c.back(q, l), nil))
	if a := saml(l.deviceBrowser, l.device); a.location().Path != "/error" {
		c.t.Errorf("a device that was confirmed: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	c.refused("that device", "authorization_pending")(c.poll(i, l.pending))
	c.sessionless(l)
}

// hasEnded holds that nothing is good that was given before.
func (c *company) hasEnded(l *leaver) {
	c.t.Helper()
	i := c.other
	for what, of := range map[string]struct {
		as  client
		got tokens
	}{"web": {c.web, l.web}, "jwt": {c.jwt, l.jwt}} {
		if a := c.userinfo(i, of.got.Access); a.StatusCode != http.StatusUnauthorized {
			c.t.Errorf("%s: userinfo: %d %s", what, a.StatusCode, a.body)
		}
		if c.active(i, of.as, of.got.Access) {
			c.t.Errorf("%s: the access token is active", what)
		}
		if c.active(i, of.as, of.got.Refresh) {
			c.t.Errorf("%s: the refresh token is active", what)
		}
		c.refused(what+": refresh", "invalid_grant")(c.refresh(i, of.as, of.got.Refresh))
	}
	if a := c.userinfo(i, l.polis.Access); a.StatusCode != http.StatusUnauthorized {
		c.t.Errorf("userinfo of a client of Polis's kind: %d %s", a.StatusCode, a.body)
	}
	c.sessionless(l)
}

func (c *company) sessionless(l *leaver) {
	c.t.Helper()
	for what, as := range map[string]client{"web": c.web, "jwt": c.jwt} {
		if a := l.silently(c.other, as); a.location().Query().Get("error") != "login_required" {
			c.t.Errorf("the browser's session at %s: %d to %q", what, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

// refused holds that the token endpoint gives an error and no token.
func (c *company) refused(what, code string) func(tokens, answer) {
	return func(got tokens, a answer) {
		c.t.Helper()
		var v struct{ Error string }
		_ = json.Unmarshal(a.body, &v)
		if a.StatusCode != http.StatusBadRequest || v.Error != code || got != (tokens{}) {
			c.t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
}

// denied holds that the application is told that the person may not sign in.
func (c *company) denied(what string, a answer) {
	c.t.Helper()
	if q := a.location().Query(); a.StatusCode != http.StatusFound || q.Get("error") != "access_denied" || q.Has("code") {
		c.t.Errorf("%s: %d to %q", what, a.StatusCode, a.Header.Get("Location"))
	}
}

// claims are those of a token, which is not verified.
func claims(token string) (v object) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		body, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(body, &v)
	}
	return v
}

// ears are the back-channel logout endpoints of all applications.
type ears struct {
	url   string
	mu    sync.Mutex
	heard map[string]int // how often, by subject, session and application
}

func listen(t *testing.T) *ears {
	e := &ears{heard: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		v := claims(r.PostFormValue("logout_token"))
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard[fmt.Sprint(v["sub"], " ", v["sid"], " ", v["aud"])]++
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// hear waits until these applications were told that a session has ended.
func (e *ears) hear(t *testing.T, subject, session string, applications ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, application := range applications {
		for {
			e.mu.Lock()
			n := e.heard[fmt.Sprint(subject, " ", session, " ", application)]
			e.mu.Unlock()
			if n == 1 {
				break
			}
			if n > 1 || ctx.Err() != nil {
				t.Fatalf("application %s was told %d times of the end of session %q", application, n, session)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
