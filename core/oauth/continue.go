package oauth

import (
	"context"
	"net/url"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/federation"
)

// PathContinue is where a login goes on after its identity provider, in a request of this site: the post to the assertion
// consumer service comes from another site and shows no cookie.
const PathContinue = "/api/oauth/continue"

// finished is a login whose code was issued, on its way back to the application; or one that is to approve a device.
type finished struct {
	Out       federation.Outgoing `json:"out"`
	CodeID    string              `json:"code,omitempty"`
	DeviceID  string              `json:"device,omitempty"`
	Browser   string              `json:"browser"` // hash of the cookie of the browser that began it
	ExpiresAt time.Time           `json:"expires"`
}

const (
	sealFinished = "login"
	maxFinished  = 6 << 10 // bytes of the address: a longer one does not pass every proxy, and makes no session
)

// marked gives the browser a cookie by which it is known again when the login comes back, and says what to remember of it.
func (s *Service) marked(b *Browser, cookie string) string {
	secret := s.IDs.Secret("")
	b.keep(s.cookieName(cookie), secret, 2*codeTTL)
	return id.Hash("login", secret)
}

// viaThisSite takes a finished login over PathContinue, where it began in a browser that has to be known again.
func (s *Service) viaThisSite(f finished) (federation.Outgoing, error) {
	if f.Browser == "" {
		return f.Out, nil
	}
	f.ExpiresAt = s.now().Add(codeTTL)
	text, err := s.seal(sealFinished, f)
	if err != nil || len(text) > maxFinished {
		return f.Out, err
	}
	return federation.Outgoing{URL: s.Issuer + PathContinue + "?" + url.Values{"login": {text}}.Encode()}, nil
}

// Continue takes a finished login on to the application. The browser that began it gets a session; in any other the address
// is good for no more than the code in it. A device is approved by the browser in which its code was confirmed and by no
// other: else whoever has the device could send somebody to their identity provider who was asked nothing (RFC 8628 §5.4).
func (s *Service) Continue(ctx context.Context, text string, b *Browser) (federation.Outgoing, error) {
	var f finished
	if err := s.unseal(sealFinished, text, &f); err != nil {
		return federation.Outgoing{}, err
	}
	if !s.now().Before(f.ExpiresAt) {
		return federation.Outgoing{}, unknownRequest(nil)
	}
	cookie := loginCookie
	if f.DeviceID != "" {
		cookie = deviceCookie
	}
	shown := b.Cookies[s.cookieName(cookie)]
	known := shown != "" && id.Equal(id.Hash("login", shown), f.Browser)
	var err error
	switch {
	case f.DeviceID != "" && !known:
		return federation.Outgoing{}, fault.New(fault.Forbidden, "other_browser",
			"The code of the device was confirmed in another browser than this one, so the device was not signed in.")
	case f.DeviceID != "":
		err = s.approveDevice(ctx, f.DeviceID)
	case !known:
		return f.Out, nil
	default:
		err = s.startSession(ctx, f.CodeID, b)
	}
	if err != nil {
		return federation.Outgoing{}, err
	}
	b.keep(s.cookieName(cookie), "", 0)
	return f.Out, nil
}
