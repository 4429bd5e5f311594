package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/portico-sso/portico/adapters/bunstore"
)

func numbered(n uint16, message string) error {
	return fmt.Errorf("wrapped: %w", &mysql.MySQLError{Number: n, Message: message})
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bunstore.Failure
	}{
		{nil, bunstore.Failure{}},
		{errors.New("else"), bunstore.Failure{}},
		{context.Canceled, bunstore.Failure{}},
		{context.DeadlineExceeded, bunstore.Failure{}}, // which is a net.Error as well
		{numbered(1064, "You have an error in your SQL syntax"), bunstore.Failure{}},
		{numbered(1213, "Deadlock found when trying to get lock; try restarting transaction"), bunstore.Failure{Kind: bunstore.Conflict}},
		{numbered(1020, "Record has changed since last read in table 't'"), bunstore.Failure{Kind: bunstore.Conflict}},
		{numbered(3101, "Plugin instructed the server to rollback the current transaction."), bunstore.Failure{Kind: bunstore.Conflict}},
		{numbered(1180, `Got error 149 "Lock deadlock; Retry transaction" during COMMIT`), bunstore.Failure{Kind: bunstore.Conflict}},
		{numbered(1180, `Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT`), bunstore.Failure{Kind: bunstore.Conflict}},
		{numbered(1180, `Fehler 149 "Lock deadlock" beim COMMIT`), bunstore.Failure{Kind: bunstore.Conflict}},
		{numbered(1180, `Got error 6 "No such device or address" during COMMIT`), bunstore.Failure{Kind: bunstore.Lost}},
		{numbered(1205, "Lock wait timeout exceeded; try restarting transaction"), bunstore.Failure{Kind: bunstore.Unavailable}},
		{numbered(1047, "WSREP has not yet prepared node for application use"), bunstore.Failure{Kind: bunstore.Unavailable}},
		{connectError{numbered(1040, "Too many connections")}, bunstore.Failure{Kind: bunstore.Unavailable}},
		{fmt.Errorf("wrapped: %w", connectError{errors.New("whatever")}), bunstore.Failure{Kind: bunstore.Unavailable}},
		{numbered(1290, "The MySQL server is running with the --read-only option"), bunstore.Failure{Kind: bunstore.Unavailable}},
		{numbered(3100, "Error on observer while running replication hook 'before_commit'."), bunstore.Failure{Kind: bunstore.Unavailable}},
		{numbered(1053, "Server shutdown in progress"), bunstore.Failure{Kind: bunstore.Lost}},
		{numbered(1317, "Query execution was interrupted"), bunstore.Failure{Kind: bunstore.Lost}},
		{numbered(1061, "Duplicate key name 'x'"), bunstore.Failure{Kind: bunstore.Exists}},
		{numbered(1062, "Duplicate entry 'a' for key 'users$by_mail$u'"), bunstore.Failure{Kind: bunstore.Unique, Name: "users$by_mail$u"}},
		{numbered(1062, "Duplicate entry 'a' for key 'users.PRIMARY'"), bunstore.Failure{Kind: bunstore.Unique, Name: "users.PRIMARY"}},
		{numbered(1062, "Duplicate entry 'x' for key 'users$by_id$u' or '' for key 'users$by_mail$u'"), bunstore.Failure{Kind: bunstore.Unique, Name: "users$by_mail$u"}},
		{numbered(1062, "'a' は索引 'users$by_mail$u' で重複しています。"), bunstore.Failure{Kind: bunstore.Unique, Name: "users$by_mail$u"}},
		{numbered(1062, "Zvojený klíč 'a' (číslo klíče 'users$by_mail$u')"), bunstore.Failure{Kind: bunstore.Unique, Name: "users$by_mail$u"}},
		{numbered(1062, "no quotation marks"), bunstore.Failure{Kind: bunstore.Unique}},
		{mysql.ErrInvalidConn, bunstore.Failure{Kind: bunstore.Lost}},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), bunstore.Failure{Kind: bunstore.Lost}},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, bunstore.Failure{Kind: bunstore.Lost}},
		{sql.ErrConnDone, bunstore.Failure{Kind: bunstore.Lost}},
		{driver.ErrBadConn, bunstore.Failure{Kind: bunstore.Unavailable}},
	} {
		if got := explain(c.err); got != c.want {
			t.Errorf("%v means %+v, want %+v", c.err, got, c.want)
		}
	}
}

// TestCertain holds of what commits by itself when it surely did not.
func TestCertain(t *testing.T) {
	for err, want := range map[error]bool{
		numbered(1062, ""):       true,
		numbered(1213, ""):       true,
		numbered(1406, ""):       true, // whatever the server refuses
		numbered(1205, ""):       true,
		numbered(1053, ""):       false,
		numbered(1180, ""):       false,
		driver.ErrBadConn:        true,
		mysql.ErrInvalidConn:     false,
		context.DeadlineExceeded: false,
		errors.New("else"):       false,
	} {
		if got := certain(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}
