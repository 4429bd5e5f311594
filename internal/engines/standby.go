package engines

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// StartStandby runs a synchronous standby of a PostgreSQL server that [Start] gave, and ends it with the test: from then on
// the primary acknowledges a commit once it is on the standby's disk too. Until Promote the standby takes reads alone.
func StartStandby(t testing.TB, primary *Server) *Server {
	t.Helper()
	s, err := startStandby(t.Context(), primary)
	if s != nil {
		t.Cleanup(func() { s.finish(t) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startStandby(ctx context.Context, primary *Server) (*Server, error) {
	s, err := prepare(ctx, primary.Engine, primary.program, primary.options, false)
	if err != nil {
		return nil, err
	}
	backup := filepath.Join(filepath.Dir(s.program.server), "pg_basebackup")
	source := fmt.Sprintf("host=%s port=%s user=%s password=%s", loopback, primary.port, account, account)
	if err := s.program.runIn(ctx, backup, "--dbname="+source, "--pgdata="+s.home.at(dataName), "--checkpoint=fast",
		"--write-recovery-conf"); err != nil {
		return s, err
	}
	if err := s.Restart(); err != nil {
		return s, err
	}
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := execute(ctx, primary.Engine, primary.URL, statement); err != nil {
			return s, err
		}
	}
	return s, awaitStandby(ctx, primary)
}

// awaitStandby waits until the primary waits for its standby.
func awaitStandby(ctx context.Context, primary *Server) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := openPostgres(primary.URL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for {
		n := 0
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").Scan(&n)
		if err != nil || n > 0 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Promote makes a standby a primary, which no longer waits for a standby, and returns when it takes writes.
func (s *Server) Promote() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return execute(ctx, s.Engine, s.URL, "SELECT pg_promote()") // it waits
}
