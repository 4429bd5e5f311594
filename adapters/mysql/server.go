package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// server is the variables of a server that matter here, those that it has and tells.
type server map[string]string

// ask reads the server's variables.
func (c config) ask(ctx context.Context) (server, error) {
	k, err := c.connector()
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(k)
	defer func() { _ = db.Close() }()
	run, cancel := context.WithTimeout(ctx, c.pool.Patience)
	defer cancel()
	rows, err := db.QueryContext(run, `SHOW VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'transaction_isolation',
		'tx_isolation', 'max_allowed_packet', 'innodb_page_size', 'innodb_flush_log_at_trx_commit', 'log_bin', 'binlog_format',
		'read_only', 'innodb_read_only', 'wsrep_on', 'idle_transaction_timeout')`)
	if err != nil {
		return nil, c.asked(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	s := server{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		s[strings.ToLower(name)] = value
	}
	if err := rows.Err(); err != nil {
		return nil, c.asked(ctx, err)
	}
	return s, nil
}

func (c config) asked(ctx context.Context, err error) error {
	var e *mysql.MySQLError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &e) && c.cure(e) != "":
		return fmt.Errorf("%s: %w", c.cure(e), err)
	}
	return outcome(err)
}

// cure is what to do where the server does not let us in and waiting does not help.
func (c config) cure(e *mysql.MySQLError) string {
	switch e.Number {
	case 1045, 1698: // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
		return "the server does not let in this user and password: correct them in the URL, or the account at the server"
	case 1044: // ER_DBACCESS_DENIED_ERROR
		return "there is no database " + c.conn.DBName + ", or the user may not use it: make it, or grant what docs/mysql.md lists"
	case 1049: // ER_BAD_DB_ERROR
		return "there is no database " + c.conn.DBName + ": make it, or name another in the URL"
	case 1130: // ER_HOST_NOT_PRIVILEGED
		return "the server lets in nobody from this machine: make an account that may come from here"
	}
	return ""
}

// vitess says that the server is Vitess, as PlanetScale's are: it gives each session the settings it needs, and holds a
// connection of its own for a session that wants others.
func (s server) vitess() bool {
	v := strings.ToLower(s["version"] + " " + s["version_comment"])
	return strings.Contains(v, "vitess") || strings.Contains(v, "planetscale")
}

func (s server) galera() bool { return s["wsrep_on"] == "ON" }

// less says that the server tells a number below what is needed.
func (s server) less(name string, need int) bool {
	n, err := strconv.Atoi(s[name])
	return err == nil && n < need
}

// packet is how large a statement may get: a commit's bytes all in one body, sealed, and its keys once more for each
// unique index.
const packet = store.MaxCommitBytes + 1<<16

// examine refuses a server that cannot keep the port's promises, and warns of one that is set not to.
func (s server) examine(ctx context.Context, c config, logger *slog.Logger) error {
	need := packet
	if !c.prepared {
		need *= 2 // each byte may be escaped
	}
	switch {
	case s["read_only"] == "ON", s["innodb_read_only"] == "ON":
		return fmt.Errorf("%w: it is read-only, as a replica is, which lags behind: give the address of the primary", store.ErrUnavailable)
	case s.less("max_allowed_packet", need):
		return fmt.Errorf("max_allowed_packet is %s and must be at least %d: SET GLOBAL max_allowed_packet = %d, and the same in its configuration",
			s["max_allowed_packet"], need, 4<<22)
	case s.less("innodb_page_size", 16<<10):
		return fmt.Errorf("innodb_page_size is %s, with which indexes are too short: it must be 16384 or more when the server's data folder is made",
			s["innodb_page_size"])
	case s["log_bin"] == "ON" && s["binlog_format"] == "STATEMENT":
		return fmt.Errorf("binlog_format is STATEMENT, with which READ COMMITTED does not go: SET GLOBAL binlog_format = 'ROW', and the same in its configuration")
	}
	if flush := s["innodb_flush_log_at_trx_commit"]; flush != "" && flush != "1" && !s.galera() {
		logger.WarnContext(ctx, "the database may lose acknowledged commits when it crashes", "innodb_flush_log_at_trx_commit", flush)
	}
	return nil
}

// settings are the variables of each session. They make it independent of what the server has for others.
func (s server) settings(c config) map[string]string {
	if s.vitess() {
		return nil
	}
	lockWait := seconds(c.pool.Patience / 3) // the server gives up first, and says why
	isolation := "tx_isolation"
	if _, ok := s["transaction_isolation"]; ok {
		isolation = "transaction_isolation"
	}
	p := map[string]string{
		isolation:                  "'READ-COMMITTED'",
		"sql_mode":                 "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
		"autocommit":               "1",
		"unique_checks":            "1",
		"character_set_client":     "utf8mb4",
		"character_set_connection": "utf8mb4",
		"character_set_results":    "utf8mb4",
		"innodb_lock_wait_timeout": lockWait,
		"lock_wait_timeout":        lockWait,
	}
	_, theirs := s.silence(c.pool)
	p["wait_timeout"] = seconds(theirs)
	if _, ok := s["idle_transaction_timeout"]; ok {
		p["idle_transaction_timeout"] = seconds(c.pool.Patience)
	}
	if s.galera() { // SELECT and BEGIN (1), UPDATE and DELETE (2), INSERT (4) first wait for what other nodes acknowledged
		p["wsrep_sync_wait"] = "7"
	}
	return p
}

// silence is how long we keep a connection that nobody uses, and how long the server keeps one that says nothing: longer, so
// that it is we who close. A machine that vanishes in the middle of a commit holds its locks until the server closes, where
// that has no limit of its own for transactions: MariaDB has, MySQL has not.
func (s server) silence(p bunstore.Pool) (ours, theirs time.Duration) {
	if _, ok := s["idle_transaction_timeout"]; ok || s.vitess() {
		return p.IdleTime, p.IdleTime + time.Minute
	}
	ours = min(p.IdleTime, p.Patience)
	return ours, ours + p.Patience
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int(max(1, d.Round(time.Second).Seconds())))
}
