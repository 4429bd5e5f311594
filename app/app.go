// Package app puts Portico together. It is public, so that another main can embed it or add adapters of its own.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/portico-sso/portico/adapters/argon2"
	"github.com/portico-sso/portico/adapters/jose"
	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/adapters/mongo"
	"github.com/portico-sso/portico/adapters/mysql"
	"github.com/portico-sso/portico/adapters/outbound"
	"github.com/portico-sso/portico/adapters/postgres"
	"github.com/portico-sso/portico/adapters/redis"
	"github.com/portico-sso/portico/adapters/ripemd"
	"github.com/portico-sso/portico/adapters/saml"
	"github.com/portico-sso/portico/adapters/sqlite"
	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/api/rest"
	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/google"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/mapping"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// App is a running Portico without a listener: an http.Handler to mount, and a Close.
type App struct {
	Handler http.Handler
	// FirstAdminKey is the admin key that the first start made, to be shown once; "" at any later start.
	FirstAdminKey string

	services   *Services
	endStreams func()
	fx         *fx.App
}

// EndStreams ends the requests that would go on for ever: call it when the server begins to stop, as by its
// RegisterOnShutdown.
func (a *App) EndStreams() { a.endStreams() }

// Close ends background work and closes the store. Requests in flight must have finished.
func (a *App) Close(ctx context.Context) error { return a.fx.Stop(ctx) }

// Option changes how Portico is put together.
type Option func(*options)

type options struct {
	drivers  []store.Driver
	logger   *slog.Logger
	now      func() time.Time
	kms      []KMS
	googleAt string        // in Google's place, for tests
	openFor  time.Duration // how long a database may not answer at the start
	wrap     func(http.Handler) http.Handler
}

func newOptions(opts []Option) options {
	o := options{drivers: []store.Driver{sqlite.Driver, postgres.Driver, mysql.Driver, mongo.Driver, redis.Driver, memory.Driver}, now: time.Now, openFor: time.Minute}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// WithDriver adds a storage driver.
func WithDriver(d store.Driver) Option {
	return func(o *options) { o.drivers = append(o.drivers, d) }
}

// WithLogger sets where logs go; by default to standard error as text.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithClock sets the clock, for tests.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithHandler wraps the whole handler: for routes of the embedding program beside Portico's.
func WithHandler(wrap func(http.Handler) http.Handler) Option {
	return func(o *options) { o.wrap = wrap }
}

// Records is the store of lasting things; Sessions that of logins, codes and tokens. They may be the same.
type (
	Records  struct{ *store.Store }
	Sessions struct{ *store.Store }
)

// New puts Portico together over the databases of the configuration and starts its background work.
func New(ctx context.Context, c Config, opts ...Option) (*App, error) {
	c = c.withDefaults()
	o := newOptions(opts)
	if o.logger == nil {
		o.logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	}
	o.logger = slog.New(middleware.LogHandler{Handler: o.logger.Handler()})
	a := &App{}
	a.fx = fx.New(
		fx.NopLogger,
		fx.Supply(c, o, fx.Annotate(ctx, fx.As(new(context.Context)))),
		fx.Provide(
			func(o options) *slog.Logger { return o.logger },
			func(o options) id.Source { return id.Source{Now: o.now, Rand: rand.Reader} },
			openStores,
			newMapper,
			newServices,
			newSCIM,
			newREST,
			newHandler,
		),
		fx.Invoke(sweepInBackground, rotateInBackground, logoutsInBackground, googleInBackground, tellInBackground),
		fx.Invoke(func(h http.Handler, s *Services, own *rest.Handler) {
			a.Handler, a.FirstAdminKey, a.services, a.endStreams = h, s.firstAdminKey, s, own.Close
		}),
	)
	if err := a.fx.Err(); err != nil {
		return nil, dig.RootCause(err) // without what fx says about its graph
	}
	if err := a.fx.Start(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// startError is a reason for not starting, in words for the operator.
type startError struct{ err error }

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// Services are the domain, put together.
type Services struct {
	Projects      *project.Service
	Organizations *organization.Service
	Leases        *lease.Service
	Events        *events.Service
	Identities    *identity.Service
	SSO           *sso.Service
	OAuth         *oauth.Service
	Directories   *dirsync.Service
	Google        *google.Service
	Admin         *admin.Service
	Signing       *keypair.Signing

	firstAdminKey string
}

func newServices(ctx context.Context, c Config, o options, ids id.Source, records Records, sessions Sessions, mapper mapping.Mapper) (*Services, error) {
	var (
		samlKey       keypair.Pair
		secret        []byte
		firstAdminKey string
	)
	keys, signing, admins := keypair.NewService(records.Store, ids), keypair.NewSigning(records.Store, ids), admin.NewService(records.Store, ids, c.AdminKeys)
	for _, first := range []struct {
		what string
		make func() error
	}{
		{"the SAML key", func() (err error) { samlKey, err = keys.Ensure(ctx, keypair.SAML); return err }},
		{"the signing keys", func() error { return signing.Start(ctx) }},
		{"the installation's secret", func() (err error) { secret, err = keys.Secret(ctx); return err }},
		{"the admin key", func() (err error) { firstAdminKey, err = admins.Start(ctx); return err }},
	} {
		if err := o.patiently(ctx, "PORTICO_DATABASE_URL", first.make); err != nil {
			return nil, startFault(first.what+" cannot be read or made", err)
		}
	}
	s := &Services{Signing: signing, Admin: admins, firstAdminKey: firstAdminKey, Projects: project.NewService(records.Store, ids), Leases: lease.NewService(records.Store, ids, o.logger)}
	s.Organizations = organization.NewService(records.Store, s.Projects, ids)
	s.Events = events.NewService(events.Options{Records: records.Store, IDs: ids, Leases: s.Leases, Send: newWebhookSender(c), Logger: o.logger, Names: s.slugs,
		URL: c.WebhookURL, Secret: c.WebhookSecret, KeepEvents: c.KeepEvents, KeepDeliveries: c.KeepDeliveries})
	s.Identities = identity.NewService(identity.Options{
		Records: records.Store, IDs: ids, Events: s.Events, Organizations: s.Organizations, Leases: s.Leases, Passwords: argon2.New(),
		Connected: func(ctx context.Context, organizationID string) (bool, error) {
			return s.SSO.Connected(ctx, organizationID)
		},
		EndSessions: func(ctx context.Context, identityID string) error { return s.OAuth.RevokeSessions(ctx, identityID) },
	})
	s.SSO = sso.NewService(sso.Options{
		Records: records.Store, Sessions: sessions.Store, IDs: ids,
		Projects: s.Projects, Organizations: s.Organizations, Identities: s.Identities, Events: s.Events,
		SAML: newSAML(), OIDC: newOIDC(c, o), Fetch: newFetcher(c), Digest: ripemd.Digest, Key: samlKey,
		EntityID: c.SAMLEntityID, PublicURL: c.PublicURL, Logger: o.logger,
	})
	s.OAuth = oauth.NewService(oauth.Options{
		Records: records.Store, Sessions: sessions.Store, IDs: ids,
		Projects: s.Projects, Organizations: s.Organizations, Identities: s.Identities, SSO: s.SSO,
		Keys: signing, JOSE: jose.New(), Fetch: newFetcher(c), Send: newFetcher(c), Secret: secret, Digest: ripemd.Digest, Issuer: c.PublicURL, Logger: o.logger,
		ClientSecretVerifier: string(c.ClientSecretVerifier), PolisRedirectMatch: c.PolisRedirectMatch,
		PolisSubjectPrefix: c.PolisSubjectPrefix, PolisFlattenRaw: c.PolisFlattenRaw,
		Certificates: c.CertificateHeader != "" && len(c.TrustedProxies) > 0,
	})
	s.Directories = dirsync.NewService(dirsync.Options{
		Records: records.Store, IDs: ids, Organizations: s.Organizations, Identities: s.Identities, Events: s.Events, Leases: s.Leases,
		Mapper: mapper,
	})
	s.SSO.Directories = s.Directories.CountDirectories
	s.Google = newGoogle(c, o, ids, records, sessions, secret, s)
	return s, nil
}

// slugs are the names of a project and of an organization; "" of what is gone.
func (s *Services) slugs(ctx context.Context, projectID, organizationID string) (product, tenant string, err error) {
	p, err := s.Projects.Get(ctx, projectID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", "", err
	}
	o, err := s.Organizations.Get(ctx, organizationID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", "", err
	}
	return p.Slug, o.Slug, nil
}

func newSAML() federation.SAML { return saml.New() }

func newFetcher(c Config) *outbound.Client {
	return outbound.New(outbound.Options{AllowPrivate: c.AllowPrivateNetworks})
}

func newWebhookSender(c Config) *outbound.Client {
	return outbound.New(outbound.Options{AllowPrivate: c.AllowPrivateNetworks, Timeout: events.CallTime})
}

// startFault says what failed. The keys are the first that is read of the database, so a wrong encryption key shows
// here, with its cure.
func startFault(what string, err error) error {
	var missing *seal.MissingKeyError
	var wrong *seal.OpenError
	switch {
	case errors.As(err, &missing):
		err = fmt.Errorf("the database is sealed with encryption key %q, which is not given: add it to PORTICO_ENCRYPTION_KEYS, or put back the key file beside the database", missing.ID)
	case errors.As(err, &wrong):
		err = fmt.Errorf("the encryption key %q is not the one that sealed the database: give the right one by PORTICO_ENCRYPTION_KEYS, or put back the key file beside the database", wrong.ID)
	default:
		err = fmt.Errorf("%s: %w", what, err)
	}
	return &startError{err}
}
