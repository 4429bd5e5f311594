package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

func recordSchema() store.Schema {
	return slices.Concat(project.Collections(), organization.Collections(), identity.Collections(),
		keypair.Collections(), admin.Collections(), sso.Collections(), oauth.Collections())
}

func sessionSchema() store.Schema {
	return slices.Concat(sso.SessionCollections(), oauth.SessionCollections())
}

// openStores opens the database, and the one for sessions where that is another.
func openStores(ctx context.Context, lc fx.Lifecycle, c Config, o options) (Records, Sessions, error) {
	keyring, err := newKeyring(c)
	if err != nil {
		return Records{}, Sessions{}, &startError{err}
	}
	schema := recordSchema()
	if c.SessionURL == c.DatabaseURL {
		schema = append(schema, sessionSchema()...)
	}
	records, err := openStore(ctx, lc, c.DatabaseURL, "PORTICO_DATABASE_URL", schema, keyring, o)
	if err != nil || c.SessionURL == c.DatabaseURL {
		return Records{records}, Sessions{records}, err
	}
	sessions, err := openStore(ctx, lc, c.SessionURL, "PORTICO_SESSION_URL", sessionSchema(), keyring, o)
	return Records{records}, Sessions{sessions}, err
}

func openStore(ctx context.Context, lc fx.Lifecycle, address, variable string, schema store.Schema, keyring *seal.Keyring, o options) (*store.Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, &startError{fmt.Errorf("%s is not a URL", variable)}
	}
	driver, err := driverFor(u.Scheme, o.drivers)
	if err != nil {
		return nil, &startError{fmt.Errorf("%s: %w", variable, err)}
	}
	backend, err := driver.Open(ctx, u, schema, store.DriverOptions{Logger: o.logger})
	if err != nil {
		return nil, &startError{fmt.Errorf("the database of %s cannot be opened: %w", variable, err)}
	}
	s, err := store.New(backend, schema, store.Options{Now: o.now, Sealer: keyring})
	if err != nil {
		return nil, &startError{errors.Join(err, backend.Close())}
	}
	if err := s.Migrate(ctx); err != nil {
		return nil, &startError{errors.Join(fmt.Errorf("the database of %s cannot be brought up to date: %w", variable, err), s.Close())}
	}
	lc.Append(fx.Hook{OnStop: func(context.Context) error { return s.Close() }})
	return s, nil
}

// driverFor picks the driver of a URL's scheme. Two drivers for one scheme are refused rather than one hidden.
func driverFor(scheme string, drivers []store.Driver) (store.Driver, error) {
	var found []store.Driver
	var known []string
	for _, d := range drivers {
		known = append(known, d.Schemes...)
		if slices.Contains(d.Schemes, scheme) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return store.Driver{}, fmt.Errorf("no storage driver for %q; there are: %s", scheme, strings.Join(known, ", "))
	case 1:
		return found[0], nil
	}
	return store.Driver{}, fmt.Errorf("%d storage drivers claim %q", len(found), scheme)
}

const (
	sweepEvery = time.Minute
	sweepBatch = 1000
)

// sweepInBackground removes what has expired. Nothing depends on it: expiry is judged on every read.
func sweepInBackground(lc fx.Lifecycle, logger *slog.Logger, records Records, sessions Sessions) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				ticker := time.NewTicker(sweepEvery)
				defer ticker.Stop()
				for {
					select {
					case <-ctx.Done():
						return
					case <-ticker.C:
						sweep(ctx, logger, sessions.Store)
						if records.Store != sessions.Store {
							sweep(ctx, logger, records.Store)
						}
					}
				}
			}()
			return nil
		},
		OnStop: func(context.Context) error { stop(); <-done; return nil },
	})
}

func sweep(ctx context.Context, logger *slog.Logger, s *store.Store) {
	for ctx.Err() == nil {
		n, err := s.Sweep(ctx, sweepBatch)
		if err != nil {
			logger.WarnContext(ctx, "expired documents not swept", "error", err)
		}
		if err != nil || n < sweepBatch {
			return
		}
	}
}
