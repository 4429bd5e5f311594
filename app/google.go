package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"go.uber.org/fx"

	adapter "github.com/portico-sso/portico/adapters/google"
	"github.com/portico-sso/portico/adapters/outbound"
	apigoogle "github.com/portico-sso/portico/api/google"
	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/api/pages"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
)

const (
	googleEvery = time.Minute      // how often it is asked which workspaces are due
	googleTime  = 45 * time.Second // of one page of a listing
)

// newGoogle makes what reads Google Workspaces; nothing is read where there is no client for it.
func newGoogle(c Config, o options, ids id.Source, records Records, sessions Sessions, secret []byte, s *Services) *google.Service {
	to := google.Options{
		Records: records.Store, Sessions: sessions.Store, IDs: ids, Projects: s.Projects, Directories: s.Directories, Leases: s.Leases,
		Secret: secret, PublicURL: c.PublicURL, Logger: o.logger,
	}
	if c.GoogleClientID == "" {
		return google.New(to)
	}
	from := adapter.Options{ClientID: c.GoogleClientID, ClientSecret: string(c.GoogleClientSecret),
		Send: outbound.New(outbound.Options{AllowPrivate: c.AllowPrivateNetworks, Timeout: googleTime})}
	if o.googleAt != "" {
		from.AuthURL, from.TokenURL, from.RevokeURL, from.APIURL = o.googleAt+"/auth", o.googleAt+"/token", o.googleAt+"/revoke", o.googleAt
	}
	to.Source = adapter.New(from)
	return google.New(to)
}

// mountGoogle mounts where an administrator connects a workspace. The callback takes GET alone, not even HEAD: it is taken once.
func mountGoogle(r chi.Router, s *google.Service, p *pages.Pages, c Config) {
	refuse := func(err error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { p.Plain(w, r, err) }
	}
	h := &apigoogle.Handler{Google: s, Pages: p}
	tooMany := refuse(fault.New(fault.TooMany, "too_many", "Too many requests come from this address. Wait a minute."))
	r.With(middleware.NewThrottle(*c.RateLimit, clientAddress(c), tooMany).Requests).Get(google.PathAuthorize, h.Authorize)
	r.Get(google.PathCallback, h.Callback)
	r.Head(google.PathCallback, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodGet)
		w.WriteHeader(http.StatusMethodNotAllowed)
	})
}

// googleInBackground reads workspaces: those that were connected at once, all again and again.
func googleInBackground(lc fx.Lifecycle, logger *slog.Logger, s *Services) {
	inBackground(lc, googleEvery, s.Google.Waiting(), func(ctx context.Context) {
		if err := s.Google.SyncDue(ctx); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "google workspaces not synced", "error", err)
		}
	})
}

// googleLink is where an administrator connects a workspace, for Polis's clients; nil where there is nothing to connect by.
func googleLink(s *Services) func(dirsync.Directory) string {
	if s.Google.Source == nil {
		return nil
	}
	return func(d dirsync.Directory) string {
		address, _, _ := s.Google.Link(d, "", 0) // of a directory of this type, for the usual time: it fails for nothing
		return address
	}
}
