package databases

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/mongofake"
)

// setup is where an installation keeps things.
type setup struct {
	name              string
	records, sessions engines.Engine // "" is SQLite, and no other place for sessions
}

// The setups that are promised. The last is the one to advise of where logins are many: sessions on Redis beside PostgreSQL.
var setups = []setup{
	{name: "sqlite"},
	{name: "postgres", records: engines.Postgres},
	{name: "mariadb", records: engines.MariaDB},
	{name: "mysql", records: engines.MySQL},
	{name: "redis", records: engines.Redis},
	{name: "mongo", records: engines.Mongo},
	{name: "redis beside postgres", records: engines.Postgres, sessions: engines.Redis},
}

// others are further servers of the same kinds, for long runs.
var others = []setup{
	{name: "postgres18", records: engines.Postgres18},
	{name: "valkey", records: engines.Valkey},
}

// each runs a test on every setup.
func each(t *testing.T, test func(*testing.T, setup)) {
	some(t, func(setup) bool { return true }, test)
}

// eachServer is each without SQLite, which has no server.
func eachServer(t *testing.T, test func(*testing.T, setup)) {
	some(t, func(s setup) bool { return s.records != "" }, test)
}

func some(t *testing.T, wanted func(setup) bool, test func(*testing.T, setup)) {
	all := setups
	if long {
		all = append(all[:len(all):len(all)], others...)
	}
	for _, s := range all {
		if wanted(s) {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				test(t, s)
			})
		}
	}
}

// fresh are the URLs of new, empty databases on the servers that all tests share.
func (s setup) fresh(t *testing.T) (records, sessions string) {
	t.Helper()
	if s.records == "" {
		return "sqlite:" + filepath.Join(t.TempDir(), "portico.db"), ""
	}
	if s.records == engines.Mongo && os.Getenv(engines.Mongo.Variable()) == "" {
		return fakeMongo(t), ""
	}
	if s.sessions != "" {
		sessions = engines.Fresh(t, s.sessions)
	}
	return engines.Fresh(t, s.records), sessions
}

// fakeMongo stands in for a MongoDB server, which is not to be had everywhere.
func fakeMongo(t *testing.T) string {
	t.Helper()
	t.Logf("%s is not set: against a fake MongoDB", engines.Mongo.Variable())
	return startFakeMongo(t).URL("portico")
}

func startFakeMongo(t *testing.T) *mongofake.Server {
	t.Helper()
	s, err := mongofake.Start(mongofake.Options{Lifetime: 10 * time.Second}) // as docs/mongo.md advises
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// server is one of a test's own, on which what is acknowledged survives a kill.
type server struct {
	name, url           string
	kill, stop, restart func() error
}

// own starts the servers of a setup: of the records, and of sessions where they are elsewhere. MongoDB is always the fake.
func (s setup) own(t *testing.T) []server {
	t.Helper()
	if s.records == engines.Mongo {
		fake := startFakeMongo(t)
		end := func() error { fake.Stop(); return nil }
		return []server{{"mongo", fake.URL("portico"), end, end, fake.Resume}}
	}
	var all []server
	for _, e := range []engines.Engine{s.records, s.sessions} {
		if e != "" {
			one := engines.Start(t, e, engines.Options{})
			all = append(all, server{string(e), one.URL, one.Kill, one.Stop, one.Restart})
		}
	}
	return all
}

// alone is a setup on servers of a test's own; SQLite has none.
func (s setup) alone(t *testing.T) (servers []server, records, sessions string) {
	t.Helper()
	if s.records == "" {
		records, sessions = s.fresh(t)
		return nil, records, sessions
	}
	servers = s.own(t)
	if len(servers) > 1 {
		sessions = servers[1].url
	}
	return servers, servers[0].url, sessions
}
