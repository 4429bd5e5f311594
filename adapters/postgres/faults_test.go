package postgres_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/portico-sso/portico/adapters/postgres"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/storefault"
)

func TestFaults(t *testing.T) {
	commit := sha256.Sum256([]byte("COMMIT")) // by which pgx names the statement
	storefault.Run(t, storefault.Adapter{
		Driver:  postgres.Driver,
		Engines: []storefault.Engine{storefault.On(engines.Postgres), storefault.On(engines.Postgres18)},
		Commit:  hex.EncodeToString(commit[:24]),
		Hasty:   "call_timeout=1s",
	})
}
