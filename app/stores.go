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
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/migrate"
	"github.com/portico-sso/portico/ports/store/seal"
)

func recordSchema() store.Schema {
	return slices.Concat(project.Collections(), organization.Collections(), identity.Collections(),
		lease.Collections(), events.Collections(), keypair.Collections(), admin.Collections(), sso.Collections(), oauth.Collections(), dirsync.Collections(), google.Collections())
}

func sessionSchema() store.Schema {
	return slices.Concat(sso.SessionCollections(), oauth.SessionCollections(), google.SessionCollections())
}

// openStores opens the databases and sees that they are up to this release.
func openStores(ctx context.Context, lc fx.Lifecycle, c Config, o options) (Records, Sessions, error) {
	all, err := openDatabases(ctx, c, o)
	if err != nil {
		return Records{}, Sessions{}, err
	}
	lc.Append(fx.Hook{OnStop: func(context.Context) error { return closeAll(all) }})
	for _, d := range all {
		if err := o.patiently(ctx, d.variable, func() error { return d.upToDate(ctx, o) }); err != nil {
			return Records{}, Sessions{}, errors.Join(err, closeAll(all))
		}
	}
	return Records{all[0].Store}, Sessions{all[len(all)-1].Store}, nil
}

// openDatabases opens the database, and the one for sessions where that is another.
func openDatabases(ctx context.Context, c Config, o options) ([]database, error) {
	keyring, err := newKeyring(c)
	if err != nil {
		return nil, &startError{err}
	}
	schema := append(recordSchema(), migrate.Collection())
	if c.SessionURL == c.DatabaseURL {
		schema = append(schema, sessionSchema()...)
	}
	records, err := openDatabase(ctx, c, o, "PORTICO_DATABASE_URL", c.DatabaseURL, schema, keyring)
	if err != nil || c.SessionURL == c.DatabaseURL {
		return []database{records}, err
	}
	schema = append(sessionSchema(), migrate.Collection())
	sessions, err := openDatabase(ctx, c, o, "PORTICO_SESSION_URL", c.SessionURL, schema, keyring)
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	return []database{records, sessions}, nil
}

func closeAll(all []database) error {
	var failed error
	for _, d := range all {
		failed = errors.Join(failed, d.Close())
	}
	return failed
}

func openDatabase(ctx context.Context, c Config, o options, variable, address string, schema store.Schema, keyring *seal.Keyring) (database, error) {
	u, err := url.Parse(address)
	if err != nil {
		return database{}, &startError{fmt.Errorf("%s is not a URL", variable)}
	}
	driver, err := driverFor(u.Scheme, o.drivers)
	if err != nil {
		return database{}, &startError{fmt.Errorf("%s: %w", variable, err)}
	}
	backend, err := openBackend(ctx, driver, u, schema, variable, o)
	if err != nil {
		return database{}, &startError{fmt.Errorf("the database of %s cannot be opened: %w", variable, err)}
	}
	s, err := store.New(backend, schema, store.Options{Now: o.now, Sealer: keyring, Fence: migrate.Fence(o.now, migrations)})
	if err != nil {
		return database{}, &startError{errors.Join(err, backend.Close())}
	}
	_, structured := backend.(store.Structured)
	auto := embedded(u.Scheme) || !structured
	if c.AutoMigrate != nil {
		auto = *c.AutoMigrate
	}
	return database{s, variable, auto}, nil
}

const (
	openFirst = 250 * time.Millisecond // pause after the first failure
	openMost  = 5 * time.Second        // longest pause
)

// openBackend opens a database, with patience if it is a server.
func openBackend(ctx context.Context, d store.Driver, u *url.URL, schema store.Schema, variable string, o options) (b store.Backend, err error) {
	open := func() error {
		b, err = d.Open(ctx, u, schema, store.DriverOptions{Logger: o.logger})
		return err
	}
	if embedded(u.Scheme) {
		return b, open()
	}
	return b, o.patiently(ctx, variable, open)
}

// patiently asks a database, again and again while it does not answer: it may be starting as well.
func (o options) patiently(ctx context.Context, variable string, ask func() error) error {
	began := time.Now()
	for pause := openFirst; ; pause = min(2*pause, openMost) {
		err := ask()
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUncertain) {
			return err
		}
		if time.Since(began)+pause > o.openFor {
			return fmt.Errorf("it did not answer for %s; is it running, and is the address right? %w", o.openFor, err)
		}
		o.logger.Warn("the database does not answer; trying again", "variable", variable, "pause", pause.String(), "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
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
	sweepEvery  = time.Minute
	rotateEvery = time.Hour // how often it is asked whether a key is due
	tellEvery   = time.Second
	sweepBatch  = 1000
)

// sweepInBackground removes what has expired. Nothing depends on it: expiry is judged on every read.
func sweepInBackground(lc fx.Lifecycle, logger *slog.Logger, records Records, sessions Sessions) {
	inBackground(lc, sweepEvery, nil, func(ctx context.Context) {
		sweep(ctx, logger, sessions.Store)
		if records.Store != sessions.Store {
			sweep(ctx, logger, records.Store)
		}
	})
}

// rotateInBackground makes new signing keys when their time comes.
func rotateInBackground(lc fx.Lifecycle, logger *slog.Logger, s *Services) {
	inBackground(lc, rotateEvery, nil, func(ctx context.Context) {
		if err := s.Signing.RotateDue(ctx); err != nil {
			logger.WarnContext(ctx, "signing keys not rotated", "error", err)
		}
	})
}

// tellInBackground moves events from the outbox to the log and to webhooks, and does what jobs ask for.
func tellInBackground(lc fx.Lifecycle, logger *slog.Logger, s *Services) {
	lc.Append(fx.Hook{OnStop: s.Events.Close}) // behind what is stopped below
	for _, w := range []struct {
		what string
		now  <-chan struct{}
		work func(context.Context) error
	}{
		{"events not written to the log", s.Events.Waiting(), s.Events.Relay},
		{"events not delivered", s.Events.Due(), s.Events.Dispatch},
		{"jobs not done", s.Leases.Waiting(), s.Leases.Run},
	} {
		inBackground(lc, tellEvery, w.now, func(ctx context.Context) {
			if err := w.work(ctx); err != nil && ctx.Err() == nil {
				logger.WarnContext(ctx, "background work failed", "what", w.what, "error", err)
			}
		})
	}
}

// inBackground does work again and again, and whenever now receives, until the program ends.
func inBackground(lc fx.Lifecycle, every time.Duration, now <-chan struct{}, work func(context.Context)) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				ticker := time.NewTicker(every)
				defer ticker.Stop()
				for {
					select {
					case <-ctx.Done():
						return
					case <-ticker.C:
						work(ctx)
					case <-now:
						work(ctx)
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
