package oauth

import (
	"testing"

	"github.com/portico-sso/portico/core/sso"
)

func TestRedirectAllowed(t *testing.T) {
	registered := []string{"https://app.example.com/cb", "https://app.example.com/cb?tenant=1", "http://127.0.0.1/cb",
		"http://[::1]:8080/cb", "http://localhost:3000/cb", "com.example.app:/cb"}
	for candidate, want := range map[string]bool{
		"https://app.example.com/cb":                 true,
		"https://app.example.com/cb?tenant=1":        true,
		"http://127.0.0.1/cb":                        true,
		"http://127.0.0.1:51004/cb":                  true,
		"http://[::1]:1/cb":                          true,
		"http://localhost:3000/cb":                   true,
		"com.example.app:/cb":                        true,
		"http://localhost:3001/cb":                   false, // RFC 8252 §8.3: a name may resolve elsewhere
		"https://127.0.0.1:51004/cb":                 false,
		"http://127.0.0.1:51004/other":               false,
		"http://127.0.0.1:51004/cb?x=1":              false,
		"http://127.0.0.1.example.com/cb":            false,
		"http://127.0.0.1@example.com/cb":            false,
		"https://app.example.com/cb/":                false,
		"https://app.example.com/CB":                 false,
		"https://app.example.com/cb?":                false,
		"https://app.example.com/cb?tenant=2":        false,
		"https://app.example.com/cb?x=1":             false,
		"https://app.example.com/cb#":                false,
		"https://app.example.com/cb#x":               false,
		"https://app.example.com/cb/../evil":         false,
		"https://app.example.com:443/cb":             false,
		"https://app.example.com.evil.example/cb":    false,
		"https://app.example.com@evil.example/cb":    false,
		"https://evil.example/https://app.example":   false,
		"https://evil.example\\@app.example.com/cb":  false,
		"http://app.example.com/cb":                  false,
		"//app.example.com/cb":                       false,
		"/cb":                                        false,
		"":                                           false,
		"javascript:alert(1)":                        false,
		"data:text/html,x":                           false,
		"https://app.example.com/cb\r\nX: y":         false,
		"https://app.example.com/cb%0d%0aX:%20y":     false,
		" https://app.example.com/cb":                false,
		"https://app.example.com/cb ":                false,
		"https://app.example.com\u2024evil.com/cb":   false,
		"https://xn--app-example.com/cb":             false,
		"HTTPS://app.example.com/cb":                 false,
		"https://APP.example.com/cb":                 false,
		"https://app.example.com./cb":                false,
		"http://2130706433/cb":                       false,
		"http://[::ffff:127.0.0.1]/cb":               false,
		"https://user:pass@app.example.com/cb":       false,
		"https:app.example.com/cb":                   false,
		"https:///app.example.com/cb":                false,
		"https://app.example.com/cb;x":               false,
		"https://app.example.com/cb%2f..%2fevil":     false,
		"com.example.app://cb":                       false,
		"com.example.app2:/cb":                       false,
		"http://127.0.0.1:51004:80/cb":               false,
		"http://127.0.0.1:51004/cb#x":                false,
		"http://user@127.0.0.1:51004/cb":             false,
		"http://127.0.0.1:51004/%63b":                false,
		"http://127.0.0.1:99999999/cb":               true, // no such port: nobody is there
		"http://[::1%25lo]:8080/cb":                  false,
		"https://app.example.com/cb?tenant=1&evil=1": false,
	} {
		if got := redirectAllowed(registered, candidate); got != want {
			t.Errorf("%q: got %v, want %v", candidate, got, want)
		}
	}
}

func TestConnectionRedirectAllowed(t *testing.T) {
	polis := sso.Connection{Polis: true, RedirectURLs: []string{"https://app.example.com/in/*", "https://*.example.org", neverRedirect}}
	for _, c := range []struct {
		candidate     string
		strict, loose bool
	}{
		{"https://app.example.com/in/", true, true},
		{"https://app.example.com/in/a/b?c=d", true, true},
		{"https://app.example.com/in", false, true},
		{"https://app.example.com/other", false, true},
		{"https://app.example.com/in/../other", false, true},
		{"https://app.example.com/in/%2e%2e/other", false, true},
		{"https://app.example.com/in/..;/other", false, true},
		{"https://app.example.com/in/..;a=b/other", false, true},
		{"https://app.example.com/in/a;b=c/d", true, true},
		{"https://app.example.com/in/..%2fother", false, true},
		{"https://app.example.com/in//evil.example", false, true},
		{"https://app.example.com:8443/in/", false, false},
		{"http://app.example.com/in/", false, false},
		{"https://app.example.com.evil.example/in/", false, false},
		{"https://app.example.com@evil.example/in/", false, false},
		{"https://a.example.org/cb", false, true},
		{"https://a.b.example.org/cb", false, false},
		{"https://example.org/cb", false, false},
		{"https://.example.org/cb", false, false},
		{"https://evilexample.org/cb", false, false},
		{neverRedirect, false, false},
		{neverRedirect + "/x", false, false},
	} {
		if got := connectionRedirectAllowed(polis, c.candidate, false); got != c.strict {
			t.Errorf("%q: got %v, want %v", c.candidate, got, c.strict)
		}
		if got := connectionRedirectAllowed(polis, c.candidate, true); got != c.loose {
			t.Errorf("%q, loose: got %v, want %v", c.candidate, got, c.loose)
		}
		other := polis
		other.Polis = false
		if connectionRedirectAllowed(other, c.candidate, true) {
			t.Errorf("%q: allowed for a connection that was not made over /api/v1/sso", c.candidate)
		}
	}
}

func FuzzRedirectAllowed(f *testing.F) {
	f.Add("https://app.example.com/cb")
	f.Add("http://127.0.0.1:1/cb")
	registered := []string{"https://app.example.com/cb", "http://127.0.0.1/cb"}
	f.Fuzz(func(t *testing.T, candidate string) {
		if redirectAllowed(registered, candidate) && candidate != registered[0] &&
			(len(candidate) < len("http://127.0.0.1/cb") || candidate[:16] != "http://127.0.0.1" || candidate[len(candidate)-3:] != "/cb") {
			t.Errorf("%q is allowed", candidate)
		}
	})
}
