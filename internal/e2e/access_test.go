package e2e

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// access is everything that one sign-in has left behind.
type access struct {
	browser            *land
	held, plain, jwt   tokens // of an application that may come back alone, of one that may not, and of one with JWTs
	jwtClient, forHeld client
	code               string                 // not redeemed yet
	login              federationtest.Request // under way at the identity provider
}

func (l *land) gainAccess(forHeld, jwtClient client) access {
	l.t.Helper()
	tab := l.tab()
	a := access{browser: tab, forHeld: forHeld, jwtClient: jwtClient, held: tab.signsIn(forHeld, offline)}
	a.plain, a.jwt = tab.silently(l.second, nil), tab.silently(jwtClient, offline)
	a.code = tab.authorize(l.second.asks(nil)).location().Query().Get("code")
	a.login = l.begin(l.second.asks(nil))
	return a
}

// tokensEnded checks that none of an application's tokens is good for anything.
func (l *land) tokensEnded(t *testing.T, c client, got tokens, wanted string) {
	t.Helper()
	refusedBearer(t, l.userinfo(got.Access), "invalid_token")
	if l.active(l.second, got.Access) {
		t.Error("an access token is active")
	}
	if got.Refresh == "" {
		return
	}
	status := http.StatusBadRequest
	if wanted == "invalid_client" {
		status = http.StatusUnauthorized
	}
	tokenRefused(t, l.tokenEndpoint(refreshForm(c, got.Refresh, nil)), status, wanted)
}

// TestDeactivationEndsAccess deactivates, and activates again: what was given before stays ended.
func TestDeactivationEndsAccess(t *testing.T) {
	l := newLand(t)
	jwt := l.newApplication(testProduct, map[string]any{"tokenFormat": "JWT", "grantTypes": []string{"AUTHORIZATION_CODE", "REFRESH_TOKEN"}})
	info := l.userinfo(l.signsIn(l.web, nil).Access).json(t)
	organization := func(active bool) {
		got := l.mutate("updateOrganization", "UpdateOrganizationInput", "organization {active}", map[string]any{"id": info["organization_id"], "active": active})
		if got["organization"].(map[string]any)["active"] != active {
			t.Errorf("%v", got)
		}
	}
	connection := func(active bool) {
		l.mutate("updateConnection", "UpdateConnectionInput", "connection {active}", map[string]any{"id": info["connection_id"], "active": active})
	}
	identity := func(active bool) {
		l.mutate("updateIdentity", "UpdateIdentityInput", "identity {active}", map[string]any{"id": info["sub"], "active": active})
	}
	for name, set := range map[string]func(bool){
		"organization": organization, "connection": connection, "identity": identity,
		"connection, over Polis's API":      func(active bool) { l.deactivate(l.record, !active) },
		"organization, and other instances": func(active bool) { organization(active); l.clock.advance(2 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			given := l.gainAccess(l.web, jwt)
			ended := func() {
				t.Helper()
				l.tokensEnded(t, l.web, given.held, "invalid_grant")
				l.tokensEnded(t, l.second, given.plain, "invalid_grant")
				l.tokensEnded(t, jwt, given.jwt, "invalid_grant")
			}
			set(false)
			ended()
			if name != "identity" {
				refusedBack(t, given.browser.authorize(l.second.asks(url.Values{"prompt": {"none"}})), "access_denied")
				refusedPage(t, given.browser.authorize(polisClient(nil)), http.StatusForbidden)
				refusedPage(t, l.acs(l.respond(l.idp, given.login, nil), given.login.RelayState), http.StatusForbidden)
			}
			set(true)
			ended()
			tokenRefused(t, l.redeem(given.code, l.second.credentials()), http.StatusBadRequest, "invalid_grant")
			refusedBack(t, given.browser.authorize(l.second.asks(url.Values{"prompt": {"none"}})), "login_required")
			anew := given.browser.signsIn(l.web, offline)
			granted(t, l.tokenEndpoint(refreshForm(l.web, anew.Refresh, nil)))
		})
	}
	t.Run("a deactivated organization that its provider signs in to unasked", func(t *testing.T) {
		l.setConnection(t, map[string]any{"idpInitiated": true})
		l.clock.advance(2 * time.Second)
		unasked := federationtest.Request{ACS: l.URL + "/api/oauth/saml", Issuer: l.URL + "/.well-known/sp-metadata"}
		organization(false)
		refusedPage(t, l.acs(l.respond(l.idp, unasked, nil), ""), http.StatusForbidden)
		organization(true)
		if a := l.acs(l.respond(l.idp, unasked, nil), ""); a.location().Query().Get("code") == "" {
			t.Errorf("%s to %s", a.Status, a.Header.Get("Location"))
		}
	})
}

// TestDeletedApplicationsHaveNoAccess deletes applications that have tokens.
func TestDeletedApplicationsHaveNoAccess(t *testing.T) {
	l := newLand(t)
	held := l.newApplication(testProduct, nil)
	jwt := l.newApplication(testProduct, map[string]any{"tokenFormat": "JWT"})
	robot := l.newApplication(testProduct, map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}})
	given := l.gainAccess(held, jwt)
	own := granted(t, l.tokenEndpoint(with(robot.credentials(), url.Values{"grant_type": {"client_credentials"}})))
	for _, c := range []client{held, jwt, robot} {
		l.mutate("deleteApplication", "DeleteApplicationInput", "deletedId", map[string]any{"id": c.id})
	}
	l.tokensEnded(t, held, given.held, "invalid_client")
	l.tokensEnded(t, jwt, given.jwt, "invalid_client")
	l.tokensEnded(t, robot, own, "invalid_client")
	if !l.active(l.second, given.plain.Access) {
		t.Error("another application's token has ended")
	}
}
