package oauth

import (
	"log/slog"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/jose"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
)

// codeTTL is how long an authorization code is good: as long as Polis's.
const codeTTL = 5 * time.Minute

// Options are what the service is made of. All are required but those of certificates and of Polis.
type Options struct {
	Records, Sessions *store.Store // may be the same
	IDs               id.Source
	Projects          *project.Service
	Organizations     *organization.Service
	Identities        *identity.Service
	SSO               *sso.Service
	Keys              *keypair.Signing
	Digest            func(string) string // as in sso.Options
	Issuer            string              // the public URL
	JOSE              jose.JOSE
	Fetch             outbound.Fetcher
	Send              outbound.Sender
	Secret            []byte // of this installation: what every instance can make and nobody else
	Logger            *slog.Logger

	// Certificates says that a proxy forwards the certificates of TLS clients.
	Certificates bool
	// ClientSecretVerifier is the shared secret of clients that name a tenant and a product; "" allows none.
	ClientSecretVerifier string
	// PolisRedirectMatch compares scheme, host and port alone for connections made over /api/v1/sso.
	PolisRedirectMatch bool
	// PolisSubjectPrefix makes tenant:product:id of the id of a person that a client of the Polis kind is told.
	PolisSubjectPrefix bool
	// PolisFlattenRaw puts what raw holds beside the other claims, for those clients, in its place.
	PolisFlattenRaw bool
}

// Service is the authorization server.
type Service struct {
	Options
	applications  record.Repo[Application]
	codes         record.Repo[code]
	tokens        record.Repo[accessToken]
	families      record.Repo[family]
	initial       record.Repo[initialToken]
	pushed        record.Repo[pushedRequest]
	devices       record.Repo[device]
	polled        *cache.Cache[time.Time] // when devices have asked
	sessions      record.Repo[Session]
	ended         record.Repo[endedSession]
	notices       record.Repo[notice]
	wake          chan struct{}        // of SendLogouts
	fetched       *cache.Cache[[]byte] // key sets of applications, by address
	cached        *cache.Cache[Application]
	organizations *cache.Cache[string] // ids, by project and the name that a request has for it
}

const (
	codes    = "codes"
	tokens   = "access_tokens"
	families = "token_families"
	used     = "used_proofs"
)

// Collections declares what this module keeps in the store of records.
func Collections() store.Schema {
	return store.Schema{{Name: applications, Keys: record.Keys(applicationHead), Indexes: []store.Index{
		{Name: "by_project", Fields: []string{"project"}},
	}}, {Name: initialTokens, Expires: true}}
}

func applicationHead(a Application) store.Doc {
	return store.Doc{ID: a.ID, Version: a.Version, Keys: map[string]string{"project": a.ProjectID}}
}

// SessionCollections declares what this module keeps in the store of sessions.
func SessionCollections() store.Schema {
	return append(store.Schema{
		{Name: codes, Expires: true, Sealed: true},
		{Name: tokens, Expires: true, Sealed: true},
		{Name: families, Expires: true, Sealed: true},
		{Name: used, Expires: true},
		{Name: pushedRequests, Expires: true, Sealed: true},
		{Name: devices, Expires: true, Sealed: true, Keys: record.Keys(deviceHead), Indexes: []store.Index{
			{Name: "by_code", Fields: []string{"code"}, Unique: true},
		}},
	}, sessionCollections...)
}

// NewService makes the service.
func NewService(o Options) *Service {
	s := &Service{Options: o, cached: cache.New[Application](o.IDs.Now), fetched: cache.NewFor[[]byte](o.IDs.Now, time.Minute), organizations: cache.New[string](o.IDs.Now),
		applications: record.Repo[Application]{
			Store: o.Records, Collection: applications, Noun: "application",
			Head: applicationHead, SetVersion: func(a *Application, v int64) { a.Version = v },
		},
		codes: record.Repo[code]{
			Store: o.Sessions, Collection: codes, Noun: "authorization code",
			Head:       func(c code) store.Doc { return store.Doc{ID: c.ID, Version: c.version, ExpiresAt: c.ExpiresAt} },
			SetVersion: func(c *code, v int64) { c.version = v },
		},
		tokens: record.Repo[accessToken]{
			Store: o.Sessions, Collection: tokens, Noun: "access token",
			Head: func(t accessToken) store.Doc {
				return store.Doc{ID: t.ID, Version: t.version, ExpiresAt: t.ExpiresAt}
			},
			SetVersion: func(t *accessToken, v int64) { t.version = v },
		},
		families: record.Repo[family]{
			Store: o.Sessions, Collection: families, Noun: "refresh token",
			Head:       func(f family) store.Doc { return store.Doc{ID: f.ID, Version: f.version, ExpiresAt: f.ExpiresAt} },
			SetVersion: func(f *family, v int64) { f.version = v },
		},
	}
	s.initial, s.pushed, s.devices = s.newInitialTokens(), s.newPushed(), s.newDevices()
	s.polled = cache.NewFor[time.Time](o.IDs.Now, deviceInterval)
	s.sessions, s.ended = s.newSessions()
	s.notices, s.wake = s.newNotices(), make(chan struct{}, 1)
	return s
}

func (s *Service) now() time.Time { return s.IDs.Now().UTC() }
