// Package sqlite keeps documents in a SQLite file (https://sqlite.org), in this process, without cgo.
//
// One connection writes and a few read, in WAL mode: readers never wait for the writer nor the writer for them. A
// commit is on disk when it is acknowledged (synchronous=FULL). Several processes may share a file on one machine.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// Driver opens sqlite:path (relative to the working directory) and sqlite:///absolute/path.
var Driver = store.Driver{Schemes: []string{"sqlite"}, Open: open}

const readers = 4

// settings are what tests change.
type settings struct {
	dialect   bunstore.Dialect
	busy      time.Duration // how long one process waits for another's commit
	connector func(dsn string) (driver.Connector, error)
}

var standard = settings{dialect: dialect, busy: 10 * time.Second, connector: sqlite.NewConnector}

func open(ctx context.Context, u *url.URL, schema store.Schema, _ store.DriverOptions) (store.Backend, error) {
	return standard.open(ctx, u, schema)
}

func (s settings) open(ctx context.Context, u *url.URL, schema store.Schema) (store.Backend, error) {
	if err := schema.Validate(); err != nil {
		return nil, err
	}
	path, err := location(u)
	if err != nil {
		return nil, err
	}
	if err := touch(path); err != nil {
		return nil, err
	}
	write, err := s.pool(path, 1, "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-1024)")
	if err != nil {
		return nil, err
	}
	// Readers see the file as memory: a lookup among 100,000 documents then costs 1.3 times one among 1,000, and not 1.5. So
	// they keep little of it themselves.
	read, err := s.pool(path, readers, "query_only(1)", "mmap_size(268435456)", "cache_size(-128)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	b := bunstore.New(bunstore.Config{Write: write, Read: read, Dialect: s.dialect, Schema: schema})
	if _, err := b.Plan(ctx); err != nil { // is it a database at all?
		return nil, errors.Join(fmt.Errorf("sqlite: %s: %w", path, unavailable(err)), b.Close())
	}
	return b, nil
}

// location is the path that a URL names.
func location(u *url.URL) (string, error) {
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("%w: a sqlite URL has a path alone (write ? as %%3F and # as %%23)", store.ErrInvalid)
	}
	if u.Host != "" {
		return "", fmt.Errorf("%w: sqlite://%s names a host; write sqlite:path or sqlite:///absolute/path", store.ErrInvalid, u.Host)
	}
	path := u.Path
	if u.Opaque != "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
	}
	if path == "" || path == ":memory:" || strings.IndexByte(path, 0) >= 0 {
		return "", fmt.Errorf("%w: the sqlite URL names no file (for tests there is memory:)", store.ErrInvalid)
	}
	return path, nil
}

// touch makes the file if it is missing, readable by its owner alone; SQLite gives its side files the same mode.
func touch(path string) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return f.Close()
}

// pool makes a pool of connections on which these pragmas are run.
func (s settings) pool(path string, size int, pragmas ...string) (*bun.DB, error) {
	q := url.Values{
		"_busy_timeout": {strconv.FormatInt(s.busy.Milliseconds(), 10)},
		"_txlock":       {"immediate"},
		"_dqs":          {"0"},
		"_defensive":    {"1"},
		"_pragma":       append(pragmas, "trusted_schema(0)"),
	}
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	connector, err := s.connector(name + "?" + q.Encode())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return bun.NewDB(db, sqlitedialect.New()), nil
}
