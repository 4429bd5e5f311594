package engines

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// What a server acknowledged is there after a kill; after the test nothing of the server is.
func TestServers(t *testing.T) {
	for _, e := range []Engine{Postgres, Postgres18, MariaDB, MySQL, Redis, Valkey} {
		t.Run(string(e), func(t *testing.T) {
			var s *Server
			t.Run("lifecycle", func(t *testing.T) {
				s = Start(t, e, Options{})
				lifecycle(t, s)
			})
			if s == nil {
				return
			}
			if c, err := net.Dial("tcp", s.Addr); err == nil {
				c.Close()
				t.Errorf("%s still listens", s.Addr)
			}
			if _, err := os.Stat(s.home.path); !os.IsNotExist(err) {
				t.Errorf("its folder: %v", err)
			}
		})
	}
}

func lifecycle(t *testing.T, s *Server) {
	write(t, s, "a")
	for _, end := range []func() error{s.Kill, s.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := s.kind.ping(t.Context(), s.URL); err == nil {
			t.Fatal("it answers after its end")
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		write(t, s, "a")
	}
	if n := count(t, s); n != 3 {
		t.Errorf("%d of 3 writes are there", n)
	}
	pauses(t, s)
	if err := errors.Join(s.Pause(), s.Stop(), s.Restart()); err != nil {
		t.Errorf("stop while paused: %v", err)
	}
	if err := s.kind.ping(t.Context(), s.Fresh(t)); err != nil {
		t.Errorf("the fresh database: %v", err)
	}
}

func pauses(t *testing.T, s *Server) {
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.kind.ping(ctx, s.URL); err == nil {
		t.Error("a paused server answers")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := s.kind.ping(t.Context(), s.URL); err != nil {
		t.Errorf("a resumed server: %v", err)
	}
}

func write(t *testing.T, s *Server, value string) {
	t.Helper()
	if s.Engine == Redis || s.Engine == Valkey {
		c, err := openRedis(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.RPush(t.Context(), "written", value).Err(); err != nil {
			t.Fatal(err)
		}
		return
	}
	db := openSQL(t, s)
	for _, statement := range []string{"CREATE TABLE IF NOT EXISTS written (v VARCHAR(20))", "INSERT INTO written VALUES ('" + value + "')"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func count(t *testing.T, s *Server) (n int) {
	t.Helper()
	if s.Engine == Redis || s.Engine == Valkey {
		c, err := openRedis(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return int(c.LLen(t.Context(), "written").Val())
	}
	if err := openSQL(t, s).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM written").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func openSQL(t *testing.T, s *Server) *sql.DB {
	t.Helper()
	open := openMySQL
	if s.Engine == Postgres || s.Engine == Postgres18 {
		open = openPostgres
	}
	db, err := open(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
