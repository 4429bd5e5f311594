// Package google is where an administrator connects a Google Workspace to a directory. The paths and the last words are Polis's.
package google

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/portico-sso/portico/api/pages"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/oauth"
)

// Handler serves google.PathAuthorize and google.PathCallback.
type Handler struct {
	Google *google.Service
	Pages  *pages.Pages
}

const cookieTime = 15 * time.Minute

// cookie knows again the browser that was sent to Google. Over https no other host can set one of such a name.
func (h *Handler) cookie() string {
	if h.Pages.Secure {
		return "__Host-portico_google"
	}
	return "portico_google"
}

// Authorize serves GET /api/scim/oauth/authorize?link=…. Polis's clients append ?directoryId= to the address that they are given,
// whatever it holds already.
func (h *Handler) Authorize(w http.ResponseWriter, r *http.Request) {
	b := pages.Browser(r)
	q := r.URL.Query()
	link, appended, _ := strings.Cut(q.Get(google.LinkParameter), "?")
	directoryID := q.Get("directoryId")
	if id, ok := strings.CutPrefix(appended, "directoryId="); ok {
		directoryID = id
	}
	url, keep, err := h.Google.Authorize(r.Context(), link, directoryID, b.Cookies[h.cookie()])
	if err != nil {
		h.Pages.Plain(w, r, err)
		return
	}
	b.Keep = append(b.Keep, oauth.Cookie{Name: h.cookie(), Value: keep, MaxAge: cookieTime})
	h.Pages.Keep(w, b)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", url)
	w.WriteHeader(http.StatusFound)
}

// Callback serves GET /api/scim/oauth/callback, where Google sends the browser back.
func (h *Handler) Callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if err := h.Google.Finish(r.Context(), q.Get("state"), q.Get("code"), q.Get("error"), pages.Browser(r).Cookies[h.cookie()]); err != nil {
		h.Pages.Plain(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "Authorized done successfully. You may close this window.")
}
