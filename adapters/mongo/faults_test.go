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
	return s.URL("test_"+rand.Text()) + "?serverSelectionTimeoutMS=5000"
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

// The cases run side by side: each has a fake of its own, and most of their time the driver waits.
func TestFaults(t *testing.T) {
	e := storefault.Engine{Fresh: func(t testing.TB) string { return newServer(t).Fresh(t) }, Start: newServer}
	for name, run := range map[string]func(*testing.T, storefault.Engine){
		"two_instances": faults.TwoInstances, "cut_commit": faults.CutCommit, "network": faults.Network,
		"restart": faults.Restart, "kill": faults.Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, e)
		})
	}
}

func TestFaultsOfServer(t *testing.T) {
	engines.URL(t, engines.Mongo)
	e := storefault.On(engines.Mongo)
	t.Run("two_instances", func(t *testing.T) { faults.TwoInstances(t, e) })
	t.Run("cut_commit", func(t *testing.T) { faults.CutCommit(t, e) })
	t.Run("network", func(t *testing.T) { faults.Network(t, e) })
}
