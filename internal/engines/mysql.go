package engines

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	"github.com/go-sql-driver/mysql"
)

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
		"--init-file="+setup, "--secure-file-priv=NULL", "--innodb-flush-log-at-trx-commit=0", ownTemp(s))
}

func createMariaDB(ctx context.Context, s *Server) error {
	setup, err := s.home.write("setup.sql", mysqlSetup)
	if err != nil {
		return err
	}
	return s.program.runIn(ctx, s.program.create, "--no-defaults", "--datadir="+s.home.at(dataName), "--extra-file="+setup,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", ownTemp(s))
}

// ownTemp gives a server a folder of its own for temporary files: one that starts removes those of others in the same.
func ownTemp(s *Server) string { return "--tmpdir=" + s.home.inside }

func mysqlArguments(s *Server) []string {
	args := []string{
		"--no-defaults", "--datadir=" + s.home.at(dataName), "--bind-address=" + loopback, "--port=" + s.port,
		"--socket=" + s.home.at("socket"), "--pid-file=" + s.home.at("pid"), "--skip-name-resolve", "--max-connections=300",
		"--innodb-buffer-pool-size=256M", "--innodb-flush-log-at-trx-commit=1", ownTemp(s),
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
