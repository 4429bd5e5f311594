package e2e

import (
	"crypto/sha512"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// The settings of Polis that change what its clients are told (contract §5).

func TestPolisJSONErrorPage(t *testing.T) {
	p := start(t, func(c *app.Config) { c.PolisJSONErrorPage = true })
	a := p.get("/api/oauth/authorize")
	cookies := a.Cookies()
	if a.StatusCode != http.StatusFound || a.Header.Get("Location") != "/api/error" || len(cookies) != 1 || cookies[0].Name != "polis_error" || cookies[0].Path != "/api/error" {
		t.Fatalf("%s %v", a.Status, a.Header)
	}
	shown := p.get("/api/error", "Cookie", cookies[0].Name+"="+cookies[0].Value)
	if body := shown.json(t); shown.StatusCode != http.StatusBadRequest || body["message"] != "Please specify a redirect URL." || body["statusText"] != "client_error" {
		t.Errorf("%s %s", shown.Status, shown.body)
	}
}

// polisClaims are those of the id token and of userinfo of a client of the Polis kind.
func (p *program) polisClaims(t *testing.T, idp *federationtest.IdP, change func(*federationtest.Response)) (idToken, userinfo map[string]any) {
	t.Helper()
	request := p.begin(polisClient(url.Values{"scope": {"openid"}, "nonce": {"the-nonce"}}))
	back := p.acs(p.respond(idp, request, change), request.RelayState)
	got := granted(t, p.redeem(back.location().Query().Get("code"), nil))
	return claimsOf(t, got.ID), p.userinfo(got.Access).json(t)
}

func TestPolisSubjectPrefix(t *testing.T) {
	p := start(t, func(c *app.Config) { c.PolisSubjectPrefix = true })
	idp := newIdP(t, "https://idp.example/prefix")
	p.connect(idp, nil)
	long := strings.Repeat("x", 250)
	sum := sha512.Sum512([]byte(testTenant + ":" + testProduct + ":" + long))
	for subject, want := range map[string]string{"alice-1": testTenant + ":" + testProduct + ":alice-1", long: hex.EncodeToString(sum[:])} {
		idToken, userinfo := p.polisClaims(t, idp, asSubject(subject))
		for what, claims := range map[string]map[string]any{"id token": idToken, "userinfo": userinfo} {
			if claims["sub"] != want || claims["id"] != want {
				t.Errorf("%s: sub %v, id %v, want %s", what, claims["sub"], claims["id"], want)
			}
		}
	}
	web := p.newApplication(testProduct, nil)
	if claims := claimsOf(t, granted(t, p.redeem(p.code(idp, web.asks(nil)), web.credentials())).ID); len(claims["sub"].(string)) != 36 {
		t.Errorf("an application is told of %v", claims["sub"])
	}
}

func TestPolisFlattenRawClaims(t *testing.T) {
	p := start(t, func(c *app.Config) { c.PolisFlattenRaw = true })
	idp := newIdP(t, "https://idp.example/flat")
	p.connect(idp, nil)
	idToken, userinfo := p.polisClaims(t, idp, func(r *federationtest.Response) {
		for name, value := range map[string]string{"department": "R&D", "aud": "evil", "iss": "https://evil.example", "nonce": "evil", "sid": "evil", "requested": "evil", "raw": "evil"} {
			r.Attributes = append(r.Attributes, federationtest.Attribute{Name: name, Values: []string{value}})
		}
	})
	for what, claims := range map[string]map[string]any{"id token": idToken, "userinfo": userinfo} {
		if claims["department"] != "R&D" || claims["email"] != alice.Email || claims["raw"] != "evil" && claims["raw"] != nil {
			t.Errorf("%s: %v", what, claims)
		}
		for name, value := range claims {
			if value == "evil" && name != "raw" || value == "https://evil.example" {
				t.Errorf("%s: the identity provider chose %s", what, name)
			}
		}
	}
	if idToken["aud"] != encodedClient || idToken["iss"] != p.URL || idToken["nonce"] != "the-nonce" || idToken["sub"] != "alice-1" {
		t.Errorf("%v", idToken)
	}
	web := p.newApplication(testProduct, nil)
	if claims := claimsOf(t, granted(t, p.redeem(p.code(idp, web.asks(nil)), web.credentials())).ID); claims["raw"] == nil {
		t.Errorf("an application's id token: %v", claims)
	}
}
