package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

type deviceCodes struct{ device, user string }

func (l *land) device(c client, change url.Values) deviceCodes {
	l.t.Helper()
	a := l.post("/api/oauth/device_authorization", with(with(c.credentials(), url.Values{"organization": {testTenant}, "scope": {"openid offline_access"}}), change))
	got := a.json(l.t)
	device, _ := got["device_code"].(string)
	user, _ := got["user_code"].(string)
	if a.StatusCode != http.StatusOK || device == "" || len(user) != 9 || got["verification_uri"] != l.URL+"/device" || got["interval"] != 5.0 || got["expires_in"] != 600.0 {
		l.t.Fatalf("%s %s", a.Status, a.body)
	}
	return deviceCodes{device, user}
}

func (l *land) poll(c client, code string) answer {
	l.clock.advance(6 * time.Second)
	return l.tokenEndpoint(with(c.credentials(), url.Values{"grant_type": {deviceGrant}, "device_code": {code}}))
}

// confirm types the code and goes to the identity provider, as a person does.
func (l *land) confirm(user string) federationtest.Request {
	l.t.Helper()
	page := l.get("/device?" + url.Values{"user_code": {strings.ToLower(user)}}.Encode())
	if page.StatusCode != http.StatusOK || !strings.Contains(string(page.body), user) {
		l.t.Fatalf("%s %s", page.Status, page.body)
	}
	begun := l.post("/device", url.Values{"user_code": {field(l.t, page.body, "user_code")}, "connection": {field(l.t, page.body, "connection")}, "action": {"approve"}})
	return begun.atProvider(l.t)
}

// approve confirms a code and signs in, in one browser.
func (l *land) approve(user string) answer {
	l.t.Helper()
	tab := l.tab()
	request := tab.confirm(user)
	a := tab.acs(l.respond(l.idp, request, nil), request.RelayState)
	if len(tab.cookies()) != 0 {
		l.t.Errorf("the browser keeps %v", tab.cookies())
	}
	return a
}

func TestDeviceGrant(t *testing.T) {
	l := newLand(t)
	tv := l.newApplication(testProduct, map[string]any{"public": true, "redirectUris": []string{}, "grantTypes": []string{"DEVICE_CODE", "REFRESH_TOKEN"}})
	codes := l.device(tv, nil)
	tokenRefused(t, l.poll(tv, codes.device), 400, "authorization_pending")
	if a := l.approve(codes.user); a.Header.Get("Location") != l.URL+"/device?done=" {
		t.Fatalf("%s to %s", a.Status, a.Header.Get("Location"))
	}
	got := granted(t, l.poll(tv, codes.device))
	if got.ID == "" || got.Refresh == "" || l.userinfo(got.Access).StatusCode != http.StatusOK {
		t.Errorf("%+v", got)
	}
	granted(t, l.tokenEndpoint(refreshForm(tv, got.Refresh, nil)))
	tokenRefused(t, l.poll(tv, codes.device), 400, "invalid_grant")
	if a := l.get("/device?" + url.Values{"user_code": {codes.user}}.Encode()); a.StatusCode != http.StatusNotFound {
		t.Errorf("a code that was used: %s", a.Status)
	}

	t.Run("slow down", func(t *testing.T) {
		codes := l.device(tv, nil)
		tokenRefused(t, l.poll(tv, codes.device), 400, "authorization_pending")
		ask := with(tv.credentials(), url.Values{"grant_type": {deviceGrant}, "device_code": {codes.device}})
		l.clock.advance(time.Second)
		tokenRefused(t, l.tokenEndpoint(ask), 400, "slow_down")
	})
	t.Run("refused by the person", func(t *testing.T) {
		codes := l.device(tv, nil)
		if a := l.post("/device", url.Values{"user_code": {codes.user}, "action": {"deny"}}); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s", a.Status)
		}
		tokenRefused(t, l.poll(tv, codes.device), 400, "access_denied")
	})
	t.Run("too late", func(t *testing.T) {
		codes := l.device(tv, nil)
		l.clock.advance(11 * time.Minute)
		tokenRefused(t, l.poll(tv, codes.device), 400, "expired_token")
	})
	t.Run("the login of a device approves no other", func(t *testing.T) {
		codes := l.device(tv, nil)
		page := l.get("/device?" + url.Values{"user_code": {codes.user}}.Encode())
		request := l.post("/device", url.Values{"user_code": {codes.user}, "connection": {field(t, page.body, "connection")}, "action": {"approve"}}).atProvider(t)
		l.post("/device", url.Values{"user_code": {codes.user}, "action": {"deny"}})
		if a := l.acs(l.respond(l.idp, request, nil), request.RelayState); a.Header.Get("Location") != "/error" {
			t.Errorf("a refused device is approved: %s", a.Header.Get("Location"))
		}
		tokenRefused(t, l.poll(tv, codes.device), 400, "access_denied")
	})
	for what, c := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"an application that may not": {with(l.web.credentials(), url.Values{"organization": {testTenant}}), 400, "unauthorized_client"},
		"nobody":                      {url.Values{"organization": {testTenant}}, 401, "invalid_client"},
		"an unknown organization":     {with(tv.credentials(), url.Values{"organization": {"none"}}), 400, "invalid_request"},
		"no organization of several":  {tv.credentials(), 400, "invalid_request"},
		"an unknown resource":         {with(tv.credentials(), url.Values{"organization": {testTenant}, "resource": {"https://x"}}), 400, "invalid_target"},
		"10 kB":                       {with(tv.credentials(), url.Values{"organization": {testTenant}, "scope": {strings.Repeat("x", 10_000)}}), 400, "invalid_request"},
	} {
		t.Run(what, func(t *testing.T) {
			tokenRefused(t, l.post("/api/oauth/device_authorization", c.form), c.status, c.code)
		})
	}
}

func TestDevicePage(t *testing.T) {
	l := newLand(t)
	tv := l.newApplication(testProduct, map[string]any{"name": "<b>TV</b>", "grantTypes": []string{"DEVICE_CODE"}, "redirectUris": []string{}})
	codes := l.device(tv, nil)
	if page := l.get("/device?user_code=" + codes.user); strings.Contains(string(page.body), "<b>TV") {
		t.Error("the application's name is not escaped")
	}
	r := l.request(http.MethodPost, "/device", strings.NewReader(url.Values{"user_code": {codes.user}, "action": {"approve"}}.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if a := l.do(r); a.StatusCode != http.StatusForbidden {
		t.Errorf("another site answers for the person: %s", a.Status)
	}
	if a := l.post("/device", url.Values{"user_code": {codes.user}, "action": {"approve"}, "connection": {l.foreign["clientID"].(string)}}); a.StatusCode == http.StatusFound {
		t.Error("a connection of another project is taken")
	}
	last := 0
	for range 30 {
		last = l.get("/device?user_code=BBBB-BBBB").StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the thirtieth guess in a minute: %d", last)
	}
}
