package oauth

import (
	"strings"
	"time"
)

// Cookie is a cookie for a browser to keep: HttpOnly, SameSite=Lax, of the whole origin. MaxAge 0 takes it away.
type Cookie struct {
	Name, Value string
	MaxAge      time.Duration
}

// Browser is what a request shows of the browser that it comes from, and what that is to keep.
type Browser struct {
	Cookies map[string]string // by name; none that is there twice
	Keep    []Cookie
}

func (b *Browser) keep(name, value string, maxAge time.Duration) {
	b.Keep = append(b.Keep, Cookie{name, value, maxAge})
}

const (
	loginCookie   = "portico_login"    // knows again the browser that began a login
	deviceCookie  = "portico_device"   // and the one in which a device's code was confirmed
	sessionCookie = "portico_session_" // and the project's id
)

// cookieName: over https no other host of the same domain can set a cookie of such a name (RFC 6265bis §4.1.3.2).
func (s *Service) cookieName(name string) string {
	if strings.HasPrefix(s.Issuer, "https://") {
		return "__Host-" + name
	}
	return name
}
