package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/portico-sso/portico/adapters/bunstore"
)

func (c config) dialect() bunstore.Dialect {
	return bunstore.Dialect{
		Placeholder: func(int) string { return "?" },
		Types: bunstore.Types{
			Key: "VARBINARY(512)", Unique: "VARBINARY(255)", Body: "MEDIUMBLOB", Number: "BIGINT",
			Table: " ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
		},
		Steered:   true,
		Direct:    true,
		Patience:  c.pool.Patience,
		Run:       runner{c.pool.Patience}.run,
		TableWise: true,
		Explain:   explain,
		Inspect:   inspect,
	}
}

// Errors that more than explain knows: https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html.
const (
	erUnknownStatement = 1243 // a proxy gave us another connection than that on which it was prepared
	erNeedReprepare    = 1615
)

// explain reads the numbers of MySQL, MariaDB and Galera, and the driver's errors.
func explain(err error) bunstore.Failure {
	var e *mysql.MySQLError
	var unconnected connectError
	switch {
	case err == nil:
	case errors.As(err, &unconnected), errors.Is(err, driver.ErrBadConn): // nothing was sent
		return bunstore.Failure{Kind: bunstore.Unavailable}
	case errors.As(err, &e):
		return explainNumber(e)
	case lost(err):
		return bunstore.Failure{Kind: bunstore.Lost}
	}
	return bunstore.Failure{}
}

func explainNumber(e *mysql.MySQLError) bunstore.Failure {
	kind := bunstore.Unknown
	switch e.Number {
	case 1062, 1586: // ER_DUP_ENTRY, ER_DUP_ENTRY_WITH_KEY_NAME
		return bunstore.Failure{Kind: bunstore.Unique, Name: key(e.Message)}
	case 1050, 1060, 1061: // a table, column or index exists
		kind = bunstore.Exists
	case 1213, // deadlock; of Galera also that another node was faster, at COMMIT
		1020,            // MariaDB: the row changed since the snapshot
		1412,            // the table's definition changed
		erNeedReprepare, // and the statement must be prepared anew
		3101:            // group replication: another member was faster
		kind = bunstore.Conflict
	case 1180: // an error in committing
		kind = bunstore.Lost
		if strings.Contains(e.Message, " 149 ") { // HA_ERR_LOCK_DEADLOCK, in whatever language
			kind = bunstore.Conflict
		}
	case 1205, // a lock was not to be had in time: whoever has it is stuck, so that another try would be, too
		1047,                                     // Galera: the node is not part of the cluster
		1203, 1226, 1461, 1637, 3168, 3169, 4031, // too much or too long for the server
		1044, 1045, // it lets us in no more
		1290, 1792, 1836, // it is read-only: the primary of before is one no more
		1021, 1037, 1038, 1041, 1114, 1197, 1206, // it is full
		erUnknownStatement, 1153, 3100: // a statement or its packet; a hook of group replication
		kind = bunstore.Unavailable
	case 1053, 1152, 1184, 1317, 1927, 1969, 3024, // the server, the connection or the query ended, or its time
		1158, 1159, 1160, 1161, 2006, 2013, // the network
		1026, 1030, 1105: // storage; whatever (of Vitess: what is behind it)
		kind = bunstore.Lost
	}
	return bunstore.Failure{Kind: kind}
}

// key is the name of the key in "Duplicate entry 'x' for key 'users$by_name$u'", which MySQL puts behind the table's
// ('users.users$by_name$u'). It is the last that is quoted, in whatever language: the entry may hold any text.
func key(message string) string {
	parts := strings.Split(message, "'")
	if len(parts) < 3 {
		return ""
	}
	return parts[len(parts)-2]
}

func lost(err error) bool {
	var network net.Error
	for _, e := range []error{
		mysql.ErrInvalidConn, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul, mysql.ErrBusyBuffer,
		io.EOF, io.ErrUnexpectedEOF, io.ErrShortWrite, net.ErrClosed, sql.ErrConnDone,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded)
}

// inspect reads the catalog: https://dev.mysql.com/doc/refman/en/information-schema.html.
func inspect(ctx context.Context, q bunstore.Querier) (bunstore.Structure, error) {
	rows, err := q.QueryContext(ctx, `SELECT table_name, 0, column_name FROM information_schema.columns WHERE table_schema = DATABASE()
		UNION ALL SELECT table_name, 1, index_name FROM information_schema.statistics WHERE table_schema = DATABASE()`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	s := bunstore.Structure{}
	for rows.Next() {
		var table, name string
		var index bool
		if err := rows.Scan(&table, &index, &name); err != nil {
			return nil, err
		}
		s.Add(table, name, index)
	}
	return s, rows.Err()
}
