package mysql

import (
	"context"
	"database/sql/driver"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// prepared is how many statements the server keeps for all, and how many it was asked to.
func (o *one) prepared() (kept, made int) {
	o.t.Helper()
	for name, into := range map[string]*int{"Prepared_stmt_count": &kept, "Com_stmt_prepare": &made} {
		var ignored string
		if err := o.db.DB.QueryRowContext(o.t.Context(), "SHOW STATUS LIKE '"+name+"'").Scan(&ignored, into); err != nil {
			o.t.Fatal(err)
		}
	}
	return kept, made
}

// TestStatementsAreKept holds that a text is prepared once, and that the server keeps no more than most of them.
func TestStatementsAreKept(t *testing.T) {
	for _, e := range []engines.Engine{engines.MariaDB, engines.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			o := newOne(t, engines.Start(t, e, engines.Options{Fast: true}).URL, store.Schema{{Name: "things"}})
			ask := func(n int) {
				t.Helper()
				var got int
				if err := o.db.DB.QueryRowContext(t.Context(), fmt.Sprintf("SELECT ? + %d", n), 1).Scan(&got); err != nil || got != n+1 {
					t.Fatalf("%d: %d, %v", n, got, err)
				}
			}
			for range 3 {
				ask(0)
			}
			if kept, made := o.prepared(); kept != 1 || made != 1 {
				t.Errorf("after three times one text, %d statements are kept and %d were made", kept, made)
			}
			for n := range 2 * most {
				ask(n)
				ask(0) // used again and again, so that it stays
			}
			if kept, made := o.prepared(); kept != most || made != 2*most {
				t.Errorf("after %d texts, %d statements are kept and %d were made", 2*most, kept, made)
			}
		})
	}
}

// forgetful is a connection on which statements are lost, as behind a proxy that has another at hand.
type forgetful struct {
	driverConn
	number uint16
	made   int
}

func (f *forgetful) PrepareContext(context.Context, string) (driver.Stmt, error) {
	f.made++
	return &lostStatement{f: f}, nil
}

type lostStatement struct {
	driver.Stmt
	f *forgetful
}

func (s *lostStatement) Close() error { return nil }

func (s *lostStatement) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	return nil, &mysql.MySQLError{Number: s.f.number}
}

func TestLostStatementsAreMadeAnew(t *testing.T) {
	for number, want := range map[uint16]int{erUnknownStatement: 3, erNeedReprepare: 3, 1062: 1} {
		f := &forgetful{number: number}
		c := &conn{driverConn: f, keeps: true, kept: map[string]*statement{}}
		for range 3 {
			if _, err := c.ExecContext(t.Context(), "text", make([]driver.NamedValue, 1)); err == nil {
				t.Fatal("no error")
			}
		}
		if f.made != want {
			t.Errorf("after error %d a statement is made %d times of 3, want %d", number, f.made, want)
		}
	}
}
