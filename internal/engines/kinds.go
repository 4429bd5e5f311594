package engines

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"time"
)

// kind is how a family of engines is run and asked.
type kind struct {
	create    func(context.Context, *Server) error // makes the data folder
	arguments func(*Server) []string
	url       func(addr string) string // of the database that create or the server's first start makes
	ping      func(context.Context, string) error
	stop      func(*os.Process) error // asks for an end in order
	discard   func(*os.Process) error // the quickest end that leaves no process or memory behind
}

var (
	postgresKind = kind{create: createPostgres, arguments: postgresArguments, url: postgresURL, ping: pingPostgres,
		stop: interrupt, discard: quit}
	mysqlKind = kind{create: createMySQL, arguments: mysqlArguments, url: mysqlURL, ping: pingMySQL,
		stop: terminate, discard: kill}
	mariaKind = kind{create: createMariaDB, arguments: mysqlArguments, url: mysqlURL, ping: pingMySQL,
		stop: terminate, discard: kill}
	redisKind = kind{create: createRedis, arguments: redisArguments, url: redisURL, ping: pingRedis,
		stop: terminate, discard: kill}
)

var kinds = map[Engine]kind{
	Postgres: postgresKind, Postgres18: postgresKind, MariaDB: mariaKind, MySQL: mysqlKind, Redis: redisKind, Valkey: redisKind,
}

// Name, password and database of every server started here.
const account = "portico"

// pingTimeout bounds one try to reach a server.
const pingTimeout = 5 * time.Second

func pingSQL(ctx context.Context, open func(string) (*sql.DB, error), text string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	db, err := open(text)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "SELECT 1") // a node that joins a cluster lets clients in before it takes statements
	return errors.Join(err, db.Close())
}
