package engines

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Fresh is the URL of a new, empty database on the shared server, removed when the test ends. On Redis it is the shared
// database with ?prefix=…, a name that the adapter puts into every key. Without a shared server it skips or fails, as [URL].
func Fresh(t testing.TB, e Engine) string {
	t.Helper()
	server, name := URL(t, e), randomName()
	fresh := newDatabase(t, e, server, name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := dropDatabase(ctx, e, server, name); err != nil {
			t.Errorf("%s: remove %s: %v", e, name, err)
		}
	})
	return fresh
}

// Fresh is the URL of a new, empty database on a server of the test's own.
func (s *Server) Fresh(t testing.TB) string {
	t.Helper()
	return newDatabase(t, s.Engine, s.URL, randomName())
}

func newDatabase(t testing.TB, e Engine, server, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	u, err := url.Parse(server)
	if err == nil {
		err = createDatabase(ctx, e, server, name)
	}
	if err != nil {
		t.Fatalf("%s: make a database: %v", e, err)
	}
	if e == Redis || e == Valkey {
		q := u.Query()
		q.Set("prefix", name)
		u.RawQuery = q.Encode()
	} else {
		u.Path = "/" + name
	}
	return u.String()
}

func randomName() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return "test_" + hex.EncodeToString(b)
}

func createDatabase(ctx context.Context, e Engine, server, name string) error {
	switch e {
	case Postgres, Postgres18, MariaDB, MySQL:
		return execute(ctx, e, server, "CREATE DATABASE "+name)
	default:
		return nil // the first write makes it
	}
}

func dropDatabase(ctx context.Context, e Engine, server, name string) error {
	switch e {
	case Postgres, Postgres18:
		err := execute(ctx, e, server, "DROP DATABASE "+name+" WITH (FORCE)")
		if err != nil && strings.Contains(err.Error(), "syntax") { // others that speak the protocol
			err = execute(ctx, e, server, "DROP DATABASE "+name)
		}
		return err
	case MariaDB, MySQL:
		return execute(ctx, e, server, "DROP DATABASE "+name)
	case Redis, Valkey:
		return deletePrefix(ctx, server, name)
	default:
		return nil
	}
}

func execute(ctx context.Context, e Engine, server, statement string) error {
	open := openMySQL
	if e == Postgres || e == Postgres18 {
		open = openPostgres
	}
	db, err := open(server)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	if closing := db.Close(); err == nil {
		err = closing
	}
	return err
}

// deletePrefix removes the keys that bear a name.
func deletePrefix(ctx context.Context, server, name string) error {
	c, err := openRedis(server)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	keys := c.Scan(ctx, 0, "*"+name+"*", 1000).Iterator()
	for keys.Next(ctx) {
		if err := c.Unlink(ctx, keys.Val()).Err(); err != nil {
			return fmt.Errorf("unlink: %w", err)
		}
	}
	return keys.Err()
}
