// Package pages shows people what they need to see during a sign-in: the chooser, the form that carries a request to
// an identity provider, and the error page.
package pages

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/ports/federation"
)

//go:embed assets templates
var files embed.FS

var templates = template.Must(template.ParseFS(files, "templates/*.html"))

// Chooser is what the chooser needs of core.
type Chooser interface {
	Choices(ctx context.Context, q url.Values) ([]oauth.Choice, error)
}

// Pages shows pages.
type Pages struct {
	Chooser Chooser
	Logger  *slog.Logger
	Base    string // path part of the public URL, without a slash at its end
	Secure  bool   // the public URL is https

	JSONErrors bool // browsers are sent to /api/error instead of /error, as Polis can be told to
}

// Assets serves the style sheet, the script and the icon.
func Assets() http.Handler {
	sub, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the directory is embedded
	}
	server := http.FileServerFS(sub)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") { // no list of what there is
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=3600")
		server.ServeHTTP(w, r)
	})
}

// Go sends the browser where a login goes on: a redirect, or a form that posts itself.
func (p *Pages) Go(w http.ResponseWriter, r *http.Request, out federation.Outgoing) {
	w.Header().Set("Cache-Control", "no-store")
	if out.Form == nil {
		w.Header().Set("Location", out.URL)
		w.WriteHeader(http.StatusFound)
		return
	}
	// The form is posted by a script file of ours, so that no inline script is needed. form-action is left open: it
	// would also bind where the identity provider redirects to from there.
	w.Header().Set("Content-Security-Policy", middleware.PagePolicy+"; script-src 'self'")
	p.render(w, r, http.StatusOK, "form.html", out)
}

// IdPSelect serves GET /idp/select, the chooser (Polis contract §2.3). A choice comes back as the same URL with
// idp_hint, which goes on to authorize.
func (p *Pages) IdPSelect(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("authFlow") != "sp-initiated" {
		p.NotFound(w, r)
		return
	}
	params := url.Values{}
	for name, values := range q {
		switch name {
		case "authFlow", "idFedAppId", "fedType":
		default:
			params[name] = values
		}
	}
	if q.Get("idp_hint") != "" {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", p.Base+oauth.PathAuthorize+"?"+params.Encode())
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	choices, err := p.Chooser.Choices(r.Context(), params)
	if err != nil {
		p.Error(w, r, err)
		return
	}
	type button struct{ Title, URL string }
	var buttons []button
	for _, c := range choices {
		q.Set("idp_hint", c.Hint)
		buttons = append(buttons, button{c.Title, p.Base + oauth.PathChooser + "?" + q.Encode()})
	}
	w.Header().Set("Cache-Control", "no-store")
	p.render(w, r, http.StatusOK, "chooser.html", map[string]any{"Choices": buttons})
}

// problem is the content of the error cookie; message and statusCode are as Polis has them.
type problem struct {
	Message    string `json:"message"`
	StatusCode int    `json:"statusCode"`
	RequestID  string `json:"requestId,omitempty"`
	Hint       string `json:"hint,omitempty"`
}

const errorCookie = "polis_error"

// Error sends the browser to the error page (Polis contract §0.5): the message travels in a cookie, so that no
// address can be made up that shows a text of somebody else's choice. What passes is told in its place, with Retry-After:
// a browser that loads it again sends the same request, which is still good.
func (p *Pages) Error(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := Status(f.Kind)
	if f.Code == "method_not_allowed" {
		status = http.StatusMethodNotAllowed
	}
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	p.Logger.Log(r.Context(), level, "error page", "code", f.Code, "status", status, "error", err)
	told := problem{f.Message, status, middleware.RequestID(r.Context()), hint(f)}
	w.Header().Set("Cache-Control", "no-store")
	if f.Kind == fault.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	if passes := f.Kind == fault.Unavailable || f.Kind == fault.TooMany; passes && p.JSONErrors {
		writeProblem(w, told)
		return
	} else if passes {
		p.render(w, r, status, "error.html", told)
		return
	}
	shown := p.Base + "/error"
	if p.JSONErrors {
		shown = p.Base + "/api/error"
	}
	text, _ := json.Marshal(told)
	http.SetCookie(w, &http.Cookie{Name: errorCookie, Value: strings.ReplaceAll(url.QueryEscape(string(text)), "+", "%20"),
		Path: shown, HttpOnly: true, Secure: p.Secure, SameSite: http.SameSiteLaxMode, MaxAge: 300})
	w.Header().Set("Location", shown)
	w.WriteHeader(http.StatusFound)
}

// ErrorPage serves GET /error.
func (p *Pages) ErrorPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	problem, ok := readProblem(r)
	if !ok {
		problem.Message = ""
	}
	p.render(w, r, http.StatusOK, "error.html", problem)
}

func readProblem(r *http.Request) (problem, bool) {
	var found problem
	cookie, err := r.Cookie(errorCookie)
	if err != nil {
		return found, false
	}
	text, err := url.QueryUnescape(cookie.Value)
	if err != nil || json.Unmarshal([]byte(text), &found) != nil || found.StatusCode < 400 || found.StatusCode > 599 {
		return problem{}, false
	}
	return found, true
}

// ErrorJSON serves GET /api/error, the same for programs.
func (p *Pages) ErrorJSON(w http.ResponseWriter, r *http.Request) {
	found, _ := readProblem(r)
	writeProblem(w, found)
}

// writeProblem answers with a problem, or with the zero one where there is none.
func writeProblem(w http.ResponseWriter, found problem) {
	status, text := found.StatusCode, "client_error"
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status >= http.StatusInternalServerError {
		text = "server_error"
	}
	body := map[string]any{"message": found.Message, "statusText": text}
	if found.StatusCode != 0 {
		body["statusCode"] = found.StatusCode
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// NotFound serves what nothing else does.
func (p *Pages) NotFound(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusNotFound, "notfound.html", nil)
}

// Home serves GET /.
func (p *Pages) Home(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusOK, "home.html", nil)
}

// render shows one of the templates with its data.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var page bytes.Buffer
	err := templates.ExecuteTemplate(&page, name, map[string]any{"Base": p.Base, "Data": data})
	if err != nil {
		p.Logger.ErrorContext(r.Context(), "page not rendered", "page", name, "error", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// Status is the HTTP status of a fault's kind.
func Status(kind fault.Kind) int {
	switch kind {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict, fault.Taken:
		return http.StatusConflict
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.TooMany:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Internal:
	}
	return http.StatusInternalServerError
}

// hint says in plain words what a message leaves out. Whether a tenant exists is not told.
func hint(f *fault.Error) string {
	switch f.Code {
	case "connection_not_found", "connection_deactivated", "idp_initiated_disabled":
		return "The sign-in names a single sign-on connection that cannot be used: it does not exist, is switched off, or does not allow this way in. Start from the application's own sign-in page, or ask its administrator."
	case "issuer_mismatch", "issuer_missing":
		return "The answer came from another identity provider than the one that was asked. Start again from the application."
	case "login_unknown", "state_missing", "callback_mismatch":
		return "This sign-in took longer than five minutes, was used already, or began somewhere else. Start again from the application."
	case "other_browser":
		return "Start again on the device, and confirm the code that it shows then in the browser in which you sign in. If you did not confirm a code yourself, somebody else may have wanted to sign in as you: tell your administrator."
	case "logout_uri_mismatch":
		return "The application asked to return to an address that is not registered for signing out. Its developer has to register the exact address."
	case "redirect_uri_mismatch":
		return "The application asked to return to an address that is not registered for it. Its developer has to register the exact address."
	}
	switch f.Kind {
	case fault.Unavailable, fault.TooMany:
		return "This is a passing fault. Wait a moment and try again."
	case fault.Invalid:
		return "The application or the identity provider sent a request that cannot be used. Its administrator has to look at it."
	case fault.Internal:
		return "The reason is in the log of this service, under the request id below."
	}
	return "Start again from the application. If it fails again, give its administrator the request id below."
}

// SAMLSettings are what an identity provider's administrator copies.
type SAMLSettings struct{ ACS, EntityID, MetadataURL string }

// SAMLSettings shows them.
func (p *Pages) SAMLSettings(w http.ResponseWriter, r *http.Request, s SAMLSettings) {
	p.render(w, r, http.StatusOK, "saml.html", s)
}

// OIDCSettings shows what the administrator of an OpenID Connect identity provider copies.
func (p *Pages) OIDCSettings(redirectURI string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { p.render(w, r, http.StatusOK, "oidc.html", redirectURI) }
}

// SignOut is what a person who signs out is told, or asked where Token is set.
type SignOut struct{ Application, Request, Token string }

// Path is where the form goes.
func (SignOut) Path() string { return oauth.PathLogoutConfirm }

// SignOut shows it.
func (p *Pages) SignOut(w http.ResponseWriter, r *http.Request, s SignOut) {
	p.render(w, r, http.StatusOK, "logout.html", s)
}

// WellKnown serves GET /.well-known, links to everything public that others are configured with.
func (p *Pages) WellKnown(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusOK, "wellknown.html", nil)
}

// Plain answers an error as text, where programs read and no sign-in is under way.
func (p *Pages) Plain(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	p.Logger.WarnContext(r.Context(), "request refused", "code", f.Code, "error", err)
	if f.Kind == fault.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, f.Message, Status(f.Kind))
}
