package mongo_test

import (
	"crypto/rand"
	"testing"

	"github.com/portico-sso/portico/adapters/mongo"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/mongofake"
	"github.com/portico-sso/portico/internal/storefault"
)

// faults runs cases on the fake, and on the server that TEST_MONGO_URL names as far as they leave it alone. Behind each lost
// connection the driver has all calls wait for half a second.
var faults = storefault.Adapter{
	Driver: mongo.Driver, Commit: "commitTransaction", Repeats: true, Odds: 120,
	Hasty: "timeoutMS=1500&connectTimeoutMS=1000",
}

// server is the fake as a server that tests disturb.
type server struct{ *mongofake.Server }

func (s server) Fresh(testing.TB) string {
	return s.URL("test_"+rand.Text()) + "?serverSelectionTimeoutMS=500"
}

func (s server) Kill() error    { s.Server.Stop(); return nil }
func (s server) Stop() error    { s.Server.Stop(); return nil }
func (s server) Restart() error { return s.Resume() }

func newServer(t testing.TB) storefault.Server {
	t.Helper()
	s, err := mongofake.Start(mongofake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return server{s}
}

func TestFaults(t *testing.T) {
	a := faults
	a.Engines = []storefault.Engine{{
		Name:  "fake",
		Fresh: func(t testing.TB) string { return newServer(t).Fresh(t) },
		Start: newServer,
	}}
	storefault.Run(t, a)
}

func TestFaultsOfServer(t *testing.T) {
	engines.URL(t, engines.Mongo)
	e := storefault.On(engines.Mongo)
	t.Run("two_instances", func(t *testing.T) { faults.TwoInstances(t, e) })
	t.Run("cut_commit", func(t *testing.T) { faults.CutCommit(t, e) })
	t.Run("network", func(t *testing.T) { faults.Network(t, e) })
}
