// Package engines gives tests real database servers.
//
// A shared server, one for all tests of a run, is named by a variable. `make test` sets these variables by running the
// tests under the program in internal/engines/with, which finds, installs or starts what it can and stops it after:
//
//	go run ./internal/engines/with -- go test ./adapters/...
//
// A test asks for a fresh, empty database on the shared server. Where there is none the test skips, or fails if
// PORTICO_TEST_REQUIRE=1:
//
//	url := engines.Fresh(t, engines.Postgres) // postgres://portico:portico@127.0.0.1:41234/test_5f2a…?sslmode=disable
//
// A test that kills or restarts its server owns one, with data that survives the kill. It is gone when the test ends:
//
//	s := engines.Start(t, engines.MariaDB, engines.Options{})
//	s.Kill()    // SIGKILL
//	s.Restart() // the same data and port
//
// A [Proxy] stands between client and server and delays, cuts, half-closes or swallows at a chosen moment.
package engines

import (
	"os"
	"testing"
)

// Engine is a kind of database server.
type Engine string

// The engines that tests know. What speaks an engine's protocol may stand behind its variable.
const (
	Postgres   Engine = "postgres"   // TEST_POSTGRES_URL: PostgreSQL of the machine, of Debian stable or of docker compose
	Postgres18 Engine = "postgres18" // TEST_POSTGRES18_URL: PostgreSQL 18
	MariaDB    Engine = "mariadb"    // TEST_MYSQL_URL: MariaDB 10.11 or later
	MySQL      Engine = "mysql"      // TEST_MYSQL8_URL: MySQL 8 or later
	Redis      Engine = "redis"      // TEST_REDIS_URL: Redis 6.2 or later
	Valkey     Engine = "valkey"     // TEST_VALKEY_URL: Valkey 9
	Mongo      Engine = "mongo"      // TEST_MONGO_URL: a MongoDB replica set; never installed here
)

// All are the engines in the order in which they are started.
var All = []Engine{Postgres, MariaDB, Redis, Postgres18, MySQL, Valkey, Mongo}

var variables = map[Engine]string{
	Postgres: "TEST_POSTGRES_URL", Postgres18: "TEST_POSTGRES18_URL", MariaDB: "TEST_MYSQL_URL", MySQL: "TEST_MYSQL8_URL",
	Redis: "TEST_REDIS_URL", Valkey: "TEST_VALKEY_URL", Mongo: "TEST_MONGO_URL",
}

// Variable is the environment variable with the URL of the shared server.
func (e Engine) Variable() string { return variables[e] }

// URL is the shared server's URL. Without one it skips the test, or fails it where PORTICO_TEST_REQUIRE=1; MongoDB, which
// Debian does not have, always skips.
func URL(t testing.TB, e Engine) string {
	t.Helper()
	url := os.Getenv(e.Variable())
	if url == "" {
		missing(t, e, e.Variable()+" is not set: run `go run ./internal/engines/with -- go test …`, or make test")
	}
	return url
}

// missing skips the test, or fails it where no test may skip.
func missing(t testing.TB, e Engine, why string) {
	t.Helper()
	if os.Getenv("PORTICO_TEST_REQUIRE") == "1" && e != Mongo {
		t.Fatalf("%s: %s", e, why)
	}
	t.Skipf("%s: %s", e, why)
}
