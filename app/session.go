package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
	"go.uber.org/fx"

	apioauth "github.com/portico-sso/portico/api/oauth"
	"github.com/portico-sso/portico/core/oauth"
)

// mountSession mounts what trusts a browser's cookies. What changes something there is refused to forms of other sites; the
// end of a login takes GET alone, not even HEAD: it is taken once.
func mountSession(r chi.Router, h *apioauth.Handler, public *url.URL) {
	r.HandleFunc(oauth.PathContinue, h.MethodNotAllowed("GET")) // first, as in mountOAuth
	r.Get(oauth.PathContinue, h.Continue)
	r.HandleFunc(oauth.PathLogout, h.MethodNotAllowed("GET, POST"))
	r.Get(oauth.PathLogout, h.Logout)
	r.Post(oauth.PathLogout, h.Logout)
	r.HandleFunc(oauth.PathLogoutConfirm, h.MethodNotAllowed("GET, POST"))
	own := r.With(ownSite(public))
	own.Get(oauth.PathLogoutConfirm, h.AskLogout)
	own.Post(oauth.PathLogoutConfirm, h.ConfirmLogout)
}

// ownSite refuses what a page of another origin sends, safe methods aside.
func ownSite(public *url.URL) func(http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	_ = protection.AddTrustedOrigin(public.Scheme + "://" + public.Host) // behind a proxy the Host header may be another
	return protection.Handler
}

// logoutsEvery is how often it is asked whether an application is to be told of a logout, beside at once by the instance
// where somebody signed out.
const logoutsEvery = 15 * time.Second

// logoutsInBackground tells applications of logouts.
func logoutsInBackground(lc fx.Lifecycle, logger *slog.Logger, s *Services) {
	inBackground(lc, logoutsEvery, s.OAuth.LogoutsWaiting(), func(ctx context.Context) {
		if err := s.OAuth.SendLogouts(ctx); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "logouts not told", "error", err)
		}
	})
}
