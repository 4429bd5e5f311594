package e2e

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-sso/portico/app"
)

// TestAddressesAreSlowedDown sends more from one address than it may, and then some from another.
func TestAddressesAreSlowedDown(t *testing.T) {
	const limit = 20
	l := newLandWith(t, func(c *app.Config) {
		most := limit
		c.RateLimit, c.TrustedProxies = &most, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	form := with(l.web.asks(nil), l.web.credentials())
	tv := l.newApplication(testProduct, map[string]any{"public": true, "grantTypes": []string{"DEVICE_CODE"}, "redirectUris": []string{}})
	device := with(tv.credentials(), url.Values{"organization": {testTenant}})
	wrong := with(l.web.credentials(), url.Values{"grant_type": {"authorization_code"}, "code": {"ac_guessed"}, "redirect_uri": {callback}})
	robot := l.newApplication(testProduct, map[string]any{"grantTypes": []string{"CLIENT_CREDENTIALS"}, "redirectUris": []string{}})
	right := with(robot.credentials(), url.Values{"grant_type": {"client_credentials"}})
	register := func(from string) answer {
		return l.do(l.request(http.MethodPost, "/api/oauth/register", strings.NewReader("{}"), "X-Forwarded-For", from))
	}
	post := func(path string, form url.Values) func(string) answer {
		return func(from string) answer { return l.post(path, form, "X-Forwarded-For", from) }
	}
	authorize := func(from string) answer {
		return l.get("/api/oauth/authorize?"+l.web.asks(nil).Encode(), "X-Forwarded-For", from)
	}
	for _, c := range []struct {
		name  string
		send  func(from string) answer
		block string // of addresses that is this one's own
		page  bool
	}{
		{"authorize", authorize, "192.0.2.", true},
		{"pushed requests", post("/api/oauth/par", form), "198.51.100.", false},
		{"devices", post("/api/oauth/device_authorization", device), "203.0.113.", false},
		{"registration", register, "192.88.99.", false},
		{"wrong codes", post("/api/oauth/token", wrong), "2001:db8:0:1::", false},
		{"wrong tokens to revoke", post("/api/oauth/revoke", nil), "2001:db8:0:2::", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range limit {
				if a := c.send(c.block + "1"); a.StatusCode == http.StatusTooManyRequests {
					t.Fatalf("%s %s", a.Status, a.body)
				}
			}
			from := c.block + "1"
			if strings.Contains(from, ":") { // all of a /64 is one client's
				from = c.block + "ffff"
			}
			a := c.send(from)
			if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "60" || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s %v", a.Status, a.Header)
			}
			if isPage := strings.HasPrefix(a.Header.Get("Content-Type"), "text/html"); isPage != c.page || !strings.Contains(string(a.body), "Too many requests") ||
				!isPage && a.json(t)["error"] != "temporarily_unavailable" {
				t.Errorf("%s", a.body)
			}
			other := c.block + "2"
			if strings.Contains(other, ":") {
				other = "2001:db8:0:3::1"
			}
			if a := c.send(other); a.StatusCode == http.StatusTooManyRequests {
				t.Errorf("another address: %s", a.Status)
			}
		})
	}
	t.Run("what is right is not counted", func(t *testing.T) {
		for range 3 * limit {
			granted(t, l.post("/api/oauth/token", right, "X-Forwarded-For", "192.0.2.77"))
		}
	})
	t.Run("no limit", func(t *testing.T) {
		p := start(t, func(c *app.Config) { c.RateLimit = new(int) })
		for range 2 * limit {
			if a := p.authorize(polisClient(nil)); a.StatusCode == http.StatusTooManyRequests {
				t.Fatalf("%s", a.Status)
			}
		}
	})
}
