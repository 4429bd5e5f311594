package engines

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // "pgx"
	"github.com/redis/go-redis/v9"
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

// PostgreSQL.

func createPostgres(ctx context.Context, s *Server) error {
	password, err := s.home.write("password", account)
	if err != nil {
		return err
	}
	return s.program.runIn(ctx, s.program.create, "--pgdata="+s.home.at(dataName), "--username="+account, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
}

func postgresArguments(s *Server) []string {
	settings := []string{
		"listen_addresses=" + loopback, "port=" + s.port, "unix_socket_directories=", "dynamic_shared_memory_type=mmap",
		"max_connections=300", "shared_buffers=64MB", "max_wal_size=512MB", "logging_collector=off", "jit=off",
	}
	if s.options.Fast {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	args := []string{"-D", s.home.at(dataName)}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return append(args, s.options.Args...)
}

// initdb makes a database of the name postgres.
func postgresURL(addr string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/postgres?sslmode=disable", account, account, addr)
}

func pingPostgres(ctx context.Context, text string) error { return pingSQL(ctx, openPostgres, text) }

func openPostgres(text string) (*sql.DB, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	keep := url.Values{} // the others are the adapter's, and PostgreSQL would refuse them
	for _, name := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey"} {
		if u.Query().Has(name) {
			keep.Set(name, u.Query().Get(name))
		}
	}
	u.RawQuery = keep.Encode()
	return sql.Open("pgx", u.String())
}

// MySQL and MariaDB.

const mysqlSetup = "FLUSH PRIVILEGES;\n" + // MariaDB reads this before it knows of any
	"CREATE USER '" + account + "'@'%' IDENTIFIED BY '" + account + "';\n" +
	"GRANT ALL PRIVILEGES ON *.* TO '" + account + "'@'%' WITH GRANT OPTION;\n" +
	"CREATE DATABASE " + account + ";\n"

func createMySQL(ctx context.Context, s *Server) error {
	setup, err := s.home.write("setup.sql", mysqlSetup)
	if err != nil {
		return err
	}
	return s.program.runIn(ctx, s.program.server, "--no-defaults", "--initialize-insecure", "--datadir="+s.home.at(dataName),
		"--init-file="+setup, "--secure-file-priv=NULL", "--innodb-flush-log-at-trx-commit=0")
}

func createMariaDB(ctx context.Context, s *Server) error {
	setup, err := s.home.write("setup.sql", mysqlSetup)
	if err != nil {
		return err
	}
	return s.program.runIn(ctx, s.program.create, "--no-defaults", "--datadir="+s.home.at(dataName), "--extra-file="+setup,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
}

func mysqlArguments(s *Server) []string {
	args := []string{
		"--no-defaults", "--datadir=" + s.home.at(dataName), "--bind-address=" + loopback, "--port=" + s.port,
		"--socket=" + s.home.at("socket"), "--pid-file=" + s.home.at("pid"), "--skip-name-resolve", "--max-connections=300",
		"--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=1",
	}
	if s.Engine == MySQL {
		args = append(args, "--mysqlx=OFF", "--secure-file-priv=NULL", "--disable-log-bin")
	}
	if s.options.Fast {
		args = append(args, "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF")
	}
	return append(args, s.options.Args...)
}

func mysqlURL(addr string) string {
	return fmt.Sprintf("mysql://%s:%s@%s/%s", account, account, addr, account)
}

func pingMySQL(ctx context.Context, text string) error { return pingSQL(ctx, openMySQL, text) }

func openMySQL(text string) (*sql.DB, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.DBName = "tcp", u.Host, u.User.Username(), u.Path
	if len(u.Path) > 0 {
		c.DBName = u.Path[1:]
	}
	c.Passwd, _ = u.User.Password()
	c.TLSConfig = u.Query().Get("tls")
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func pingSQL(ctx context.Context, open func(string) (*sql.DB, error), text string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	db, err := open(text)
	if err != nil {
		return err
	}
	return errors.Join(db.PingContext(ctx), db.Close())
}

// Redis and Valkey.

func createRedis(context.Context, *Server) error { return nil }

func redisArguments(s *Server) []string {
	args := []string{"--bind", loopback, "--port", s.port, "--dir", s.home.inside, "--save", "", "--maxmemory-policy", "noeviction"}
	if s.options.Fast {
		args = append(args, "--appendonly", "no")
	} else {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	return append(args, s.options.Args...)
}

func redisURL(addr string) string { return "redis://" + addr + "/0" }

func openRedis(text string) (*redis.Client, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	u.RawQuery = "" // parameters are the adapter's
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true
	return redis.NewClient(o), nil
}

func pingRedis(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	c, err := openRedis(text)
	if err != nil {
		return err
	}
	return errors.Join(c.Ping(ctx).Err(), c.Close())
}
