package oauth

import (
	"context"
	"net/url"
	"time"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/federation"
)

// PathContinue is where a login goes on after its identity provider, in a request of this site: the post to the assertion
// consumer service comes from another site and shows no cookie.
const PathContinue = "/api/oauth/continue"

// finished is a login whose code was issued, on its way back to the application.
type finished struct {
	Out       federation.Outgoing `json:"out"`
	CodeID    string              `json:"code"`
	Browser   string              `json:"browser"` // hash of the cookie of the browser that began it
	ExpiresAt time.Time           `json:"expires"`
}

const (
	sealFinished = "login"
	maxFinished  = 6 << 10 // bytes of the address: a longer one does not pass every proxy, and makes no session
)

// marked gives the browser a cookie by which it is known again when the login comes back, and says what to remember of it.
func (s *Service) marked(b *Browser) string {
	secret := s.IDs.Secret("")
	b.keep(s.cookieName(loginCookie), secret, 2*codeTTL)
	return id.Hash("login", secret)
}

// viaThisSite takes a finished login over PathContinue, where it began in a browser that may have a session.
func (s *Service) viaThisSite(out federation.Outgoing, codeID, browser string) (federation.Outgoing, error) {
	if browser == "" {
		return out, nil
	}
	text, err := s.seal(sealFinished, finished{out, codeID, browser, s.now().Add(codeTTL)})
	if err != nil || len(text) > maxFinished {
		return out, err
	}
	return federation.Outgoing{URL: s.Issuer + PathContinue + "?" + url.Values{"login": {text}}.Encode()}, nil
}

// Continue takes a finished login on to the application. The browser that began it gets a session; in any other the address
// is good for no more than the code in it.
func (s *Service) Continue(ctx context.Context, text string, b *Browser) (federation.Outgoing, error) {
	var f finished
	if err := s.unseal(sealFinished, text, &f); err != nil {
		return federation.Outgoing{}, err
	}
	if !s.now().Before(f.ExpiresAt) {
		return federation.Outgoing{}, unknownRequest(nil)
	}
	shown := b.Cookies[s.cookieName(loginCookie)]
	if shown == "" || !id.Equal(id.Hash("login", shown), f.Browser) {
		return f.Out, nil
	}
	if err := s.startSession(ctx, f.CodeID, b); err != nil {
		return federation.Outgoing{}, err
	}
	b.keep(s.cookieName(loginCookie), "", 0)
	return f.Out, nil
}
