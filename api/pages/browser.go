package pages

import (
	"net/http"

	"github.com/portico-sso/portico/core/oauth"
)

// Browser reads the cookies of a request. One that is there twice is none: another host of the domain may have set one of
// the two.
func Browser(r *http.Request) *oauth.Browser {
	b := &oauth.Browser{Cookies: map[string]string{}}
	twice := map[string]bool{}
	for _, c := range r.Cookies() {
		if _, ok := b.Cookies[c.Name]; ok {
			twice[c.Name] = true
		}
		b.Cookies[c.Name] = c.Value
	}
	for name := range twice {
		delete(b.Cookies, name)
	}
	return b
}

// Keep sets the cookies that a browser is to keep.
func (p *Pages) Keep(w http.ResponseWriter, b *oauth.Browser) {
	for _, c := range b.Keep {
		age := int(c.MaxAge.Seconds())
		if age == 0 {
			age = -1
		}
		http.SetCookie(w, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/", MaxAge: age, HttpOnly: true,
			SameSite: http.SameSiteLaxMode, Secure: p.Secure})
	}
}
