package app

import (
	"context"
	"log/slog"
	_ "time/tzdata" // the names of time zones that users may have, on images that lack them

	"go.uber.org/fx"

	"github.com/portico-sso/portico/api/scim"
)

// newSCIM makes the way in of SCIM, which writes the last requests of its log when the program stops.
func newSCIM(lc fx.Lifecycle, c Config, o options, logger *slog.Logger, s *Services) *scim.Handler {
	h := scim.New(scim.Options{Directories: s.Directories, Projects: s.Projects, PublicURL: c.PublicURL, Now: o.now, Logger: logger})
	lc.Append(fx.Hook{OnStop: func(context.Context) error { h.Close(); return nil }})
	return h
}
