package oauth

import (
	"context"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/federation"
)

// Where people sign out (OpenID Connect RP-Initiated Logout 1.0). An application may post to the first from its own site, so
// that one trusts no cookie; the second is asked by this site.
const (
	PathLogout        = "/api/oauth/logout"
	PathLogoutConfirm = "/api/oauth/logout/confirm"
)

// logoutRequest is a logout that was read and found good.
type logoutRequest struct {
	Application string    `json:"application,omitempty"` // its name
	ProjectID   string    `json:"projectId,omitempty"`   // "" is every project
	Subject     string    `json:"subject,omitempty"`     // who the id token says is meant; "" is not said
	ReturnTo    string    `json:"returnTo,omitempty"`
	ExpiresAt   time.Time `json:"expires"`
}

const (
	sealLogout = "logout"
	logoutTTL  = 10 * time.Minute
)

// Logout reads a request that a person be signed out (§2), and says where the browser goes on. Faults: Invalid, for the error
// page: nobody is sent to an address that is not the application's own.
func (s *Service) Logout(ctx context.Context, q url.Values) (federation.Outgoing, error) {
	if err := singleValued(q); err != nil {
		return federation.Outgoing{}, err
	}
	request, err := s.readLogout(ctx, q)
	if err != nil {
		return federation.Outgoing{}, err
	}
	text, err := s.seal(sealLogout, request)
	return federation.Outgoing{URL: s.Issuer + PathLogoutConfirm + "?" + url.Values{"logout": {text}}.Encode()}, err
}

func (s *Service) readLogout(ctx context.Context, q url.Values) (logoutRequest, error) {
	request := logoutRequest{ExpiresAt: s.now().Add(logoutTTL)}
	clientID := q.Get("client_id")
	if h, ok := s.readHint(ctx, q.Get("id_token_hint")); ok {
		if clientID != "" && clientID != h.Audience {
			return request, invalidRequest("The id_token_hint is another client's")
		}
		clientID, request.Subject = h.Audience, h.Subject
	}
	returnTo, state := q.Get("post_logout_redirect_uri"), q.Get("state")
	app, err := s.applicationNamed(ctx, clientID)
	switch {
	case fault.Is(err, fault.NotFound) && returnTo == "":
		request.Subject = "" // an id token of no application: its sub is what an identity provider said
		return request, nil
	case fault.Is(err, fault.NotFound):
		return request, logoutRedirectRefused()
	case err != nil:
		return request, err
	case returnTo != "" && !slices.Contains(app.PostLogoutRedirectURIs, returnTo):
		return request, logoutRedirectRefused()
	case len(state) > 2048:
		return request, invalidRequest("state is longer than 2048 bytes")
	}
	request.Application, request.ProjectID, request.ReturnTo = app.Name, app.ProjectID, returnTo
	if returnTo != "" && state != "" {
		request.ReturnTo = withQuery(returnTo, url.Values{"state": {state}})
	}
	return request, nil
}

func (s *Service) applicationNamed(ctx context.Context, clientID string) (Application, error) {
	if !id.IsUUID(clientID) {
		return Application{}, fault.New(fault.NotFound, "not_found", noApplication)
	}
	return s.cachedApplication(ctx, clientID)
}

func logoutRedirectRefused() error {
	return fault.New(fault.Forbidden, "logout_uri_mismatch", "The address to return to after signing out is not registered.")
}

// SignOut is how a logout goes on: at URL; or on a page, which asks the person first where Token is set.
type SignOut struct {
	URL         string
	Application string // that asks for it, where it is known
	Request     string // what Confirm was given, for the form
	Token       string // proves that the form is from a page that this browser was shown
}

// AskLogout goes on with a logout in the browser. The person is asked, unless the application has shown by an id token of
// theirs that it may sign them out (§2, §6).
func (s *Service) AskLogout(ctx context.Context, text string, b *Browser) (SignOut, error) {
	request, found, err := s.openLogout(ctx, text, b)
	if err != nil {
		return SignOut{}, err
	}
	other := func(v Session) bool { return v.IdentityID != request.Subject }
	if len(found) > 0 && (request.Subject == "" || slices.ContainsFunc(found, other)) {
		return SignOut{Application: request.Application, Request: text, Token: s.logoutToken(text, found)}, nil
	}
	return s.signOut(ctx, request, found, b)
}

// ConfirmLogout signs the person out who said so on the page of AskLogout.
func (s *Service) ConfirmLogout(ctx context.Context, text, token string, b *Browser) (SignOut, error) {
	request, found, err := s.openLogout(ctx, text, b)
	if err != nil {
		return SignOut{}, err
	}
	if len(found) > 0 && !id.Equal(token, s.logoutToken(text, found)) {
		return SignOut{}, fault.New(fault.Forbidden, "logout_unconfirmed", "This was not confirmed here. Try again.")
	}
	return s.signOut(ctx, request, found, b)
}

// openLogout reads a logout, and finds the sessions of the browser that it is about.
func (s *Service) openLogout(ctx context.Context, text string, b *Browser) (logoutRequest, []Session, error) {
	var request logoutRequest
	if err := s.unseal(sealLogout, text, &request); err != nil {
		return request, nil, err
	}
	if !s.now().Before(request.ExpiresAt) {
		return request, nil, unknownRequest(nil)
	}
	projects := []string{request.ProjectID}
	if request.ProjectID == "" {
		projects = nil
		for name := range b.Cookies {
			if projectID, ok := strings.CutPrefix(name, s.cookieName(sessionCookie)); ok && id.IsUUID(projectID) && len(projects) < maxBrowserSessions {
				projects = append(projects, projectID)
			}
		}
		slices.Sort(projects)
	}
	var found []Session
	for _, projectID := range projects {
		v, err := s.browserSession(ctx, projectID, b)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return request, nil, err
		}
		found = append(found, v)
	}
	return request, found, nil
}

const maxBrowserSessions = 20

func (s *Service) signOut(ctx context.Context, request logoutRequest, found []Session, b *Browser) (SignOut, error) {
	for _, v := range found {
		if err := s.endSession(ctx, v.ID, false); err != nil && !fault.Is(err, fault.NotFound) {
			return SignOut{}, err
		}
		b.keep(s.cookieName(sessionCookie+v.ProjectID), "", 0)
	}
	return SignOut{URL: request.ReturnTo, Application: request.Application}, nil
}

// logoutToken binds a confirmation to the request and to the sessions of the browser that was asked.
func (s *Service) logoutToken(text string, found []Session) string {
	parts := []string{"confirm logout", text}
	for _, v := range found {
		parts = append(parts, v.ID, v.SecretHash)
	}
	return base64.RawURLEncoding.EncodeToString(s.mac(parts...))
}
