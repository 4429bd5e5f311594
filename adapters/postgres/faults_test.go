package postgres_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
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

// TestFaultsUnprepared cuts connections whose answers pgx reads in another way: of a lost one it says that nothing was sent.
func TestFaultsUnprepared(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			a := storefault.Adapter{Driver: postgres.Driver, Commit: "COMMIT\x00", Hasty: "call_timeout=1s&default_query_exec_mode=" + mode}
			a.CutCommit(t, storefault.On(engines.Postgres))
		})
	}
}

// TestFailover kills a primary whose synchronous standby is then promoted: nothing that was acknowledged is lost, and work
// goes on over the same store.
func TestFailover(t *testing.T) {
	primary := engines.Start(t, engines.Postgres, engines.Options{})
	standby := engines.StartStandby(t, primary)
	u, err := url.Parse(primary.Fresh(t))
	if err != nil {
		t.Fatal(err)
	}
	_, other, _ := strings.Cut(standby.Addr, ":")
	u.RawQuery = "sslmode=disable&host=127.0.0.1,127.0.0.1&port=" + u.Port() + "," + other
	u.Host = ""
	a := storefault.Adapter{Driver: postgres.Driver}
	a.Load(t, u.String(), func(l *storefault.Load) {
		l.Changes(500)
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
		l.Failures(1)
		if err := standby.Promote(); err != nil {
			t.Fatal(err)
		}
		l.Everyone()
	})
}
