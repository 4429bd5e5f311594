package oauth

import (
	"net/http"
	"net/url"

	"github.com/portico-sso/portico/api/pages"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/ports/federation"
)

// goes sends a browser on with what it is to keep, or to the error page.
func (h *Handler) goes(w http.ResponseWriter, r *http.Request, b *oauth.Browser, out federation.Outgoing, err error) {
	if err != nil {
		h.Pages.Error(w, r, err)
		return
	}
	h.Pages.Keep(w, b)
	h.Pages.Go(w, r, out)
}

// Continue serves GET /api/oauth/continue: a finished login, in a request of this site.
func (h *Handler) Continue(w http.ResponseWriter, r *http.Request) {
	b := pages.Browser(r)
	out, err := h.OAuth.Continue(r.Context(), r.URL.Query().Get("login"), b)
	h.goes(w, r, b, out, err)
}

// Logout serves GET and POST /api/oauth/logout (OpenID Connect RP-Initiated Logout 1.0 §2). It looks at no cookie: a form of
// an application's own site may be posted here.
func (h *Handler) Logout(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		err = fault.New(fault.Invalid, "invalid_request", "The query of the request cannot be read.")
	}
	if r.Method == http.MethodPost {
		q, err = readForm(w, r, maxForm)
	}
	var out federation.Outgoing
	if err == nil {
		out, err = h.OAuth.Logout(r.Context(), q)
	}
	if err != nil {
		h.Pages.Error(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", out.URL)
	w.WriteHeader(http.StatusSeeOther) // a form that was posted is not posted again
}

// AskLogout serves GET /api/oauth/logout/confirm.
func (h *Handler) AskLogout(w http.ResponseWriter, r *http.Request) {
	b := pages.Browser(r)
	out, err := h.OAuth.AskLogout(r.Context(), r.URL.Query().Get("logout"), b)
	h.signOut(w, r, b, out, err)
}

// ConfirmLogout serves POST of the same, the form that AskLogout shows.
func (h *Handler) ConfirmLogout(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r, maxForm)
	var out oauth.SignOut
	b := pages.Browser(r)
	if err == nil {
		out, err = h.OAuth.ConfirmLogout(r.Context(), form.Get("logout"), form.Get("token"), b)
	}
	h.signOut(w, r, b, out, err)
}

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request, b *oauth.Browser, out oauth.SignOut, err error) {
	if err != nil {
		h.Pages.Error(w, r, err)
		return
	}
	h.Pages.Keep(w, b)
	w.Header().Set("Cache-Control", "no-store")
	if out.Token == "" && out.URL != "" {
		w.Header().Set("Location", out.URL)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	h.Pages.SignOut(w, r, pages.SignOut{Application: out.Application, Request: out.Request, Token: out.Token})
}
