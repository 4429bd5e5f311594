package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

var schema = store.Schema{{Name: "things", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}}}

func file(t *testing.T) *url.URL {
	t.Helper()
	return &url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "test.db")}
}

func (s settings) store(t *testing.T, u *url.URL) *store.Store {
	t.Helper()
	b, err := s.open(t.Context(), u, schema)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(b, schema, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestConformanceOfPools runs the suite as if SQLite were behind a network: through a pool, contexts and touch
// counters, which is how the SQL backend reaches other engines, and with ranges as some of those want them.
func TestConformanceOfPools(t *testing.T) {
	s := standard
	s.dialect.Embedded, s.dialect.Direct, s.dialect.Ordered, s.dialect.Patience = false, true, true, time.Minute
	storetest.Run(t, func(t *testing.T) storetest.Open {
		u := file(t)
		return func(ctx context.Context, schema store.Schema) (store.Backend, error) { return s.open(ctx, u, schema) }
	})
}

// cutting makes connections whose COMMIT goes wrong once: before it is made, or after.
type cutting struct{ before, after atomic.Bool }

var errCut = errors.New("cut")

func (c *cutting) connector(dsn string) (driver.Connector, error) {
	inner, err := standard.connector(dsn)
	return cutConnector{inner, c}, err
}

type cutConnector struct {
	driver.Connector
	*cutting
}

func (c cutConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return cutConn{conn, c.cutting}, err
}

type cutConn struct {
	driver.Conn
	*cutting
}

func (c cutConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return cutTx{tx, c.cutting}, err
}

func (c cutConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if query == "COMMIT" && err == nil {
		return cutStmt{s, c.cutting}, nil
	}
	return s, err
}

type cutTx struct {
	driver.Tx
	*cutting
}

func (t cutTx) Commit() error { return t.around(t.Tx.Commit, t.Tx.Rollback) }

type cutStmt struct {
	driver.Stmt
	*cutting
}

func (s cutStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (r driver.Result, err error) {
	err = s.around(func() error {
		r, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	}, func() error { return nil })
	return r, err
}

func (c *cutting) around(commit, rollback func() error) error {
	if c.before.Swap(false) {
		return errors.Join(errCut, rollback())
	}
	err := commit()
	if c.after.Swap(false) {
		return errCut
	}
	return err
}

// TestCommitCut holds that a commit whose answer is lost is told as uncertain, is made whole or not at all, and
// leaves a store that works.
func TestCommitCut(t *testing.T) {
	for _, embedded := range []bool{true, false} {
		cut := &cutting{}
		s := standard
		s.dialect.Embedded, s.connector = embedded, cut.connector
		st, ctx := s.store(t, file(t)), t.Context()
		for i, made := range []bool{false, true, false, true} {
			cut.before.Store(!made)
			cut.after.Store(made)
			a, b := string(rune('a'+i))+"1", string(rune('a'+i))+"2"
			err := st.Commit(ctx, store.Insert("things", store.Doc{ID: a}), store.Insert("things", store.Doc{ID: b}))
			if !errors.Is(err, store.ErrUncertain) || !errors.Is(err, errCut) {
				t.Errorf("embedded %t: a cut commit answers %v, want ErrUncertain", embedded, err)
			}
			docs, err := st.GetMany(ctx, "things", []string{a, b})
			if want := map[bool]int{true: 2, false: 0}[made]; len(docs) != want || err != nil {
				t.Errorf("embedded %t: a commit that was cut left %d documents, %v, want %d", embedded, len(docs), err, want)
			}
			if err := st.Commit(ctx, store.Insert("things", store.Doc{ID: a + "x"})); err != nil {
				t.Errorf("embedded %t: the commit after a cut one: %v", embedded, err)
			}
		}
	}
}

// TestBusyIsUnavailable has another process hold the file's one write lock for too long.
func TestBusyIsUnavailable(t *testing.T) {
	u := file(t)
	impatient := standard
	impatient.busy = 20 * time.Millisecond
	st := impatient.store(t, u)
	other, err := standard.pool(u.Path, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	tx, err := other.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	insert := store.Insert("things", store.Doc{ID: "1"})
	if err := st.Commit(t.Context(), insert); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit while another process writes: %v, want ErrUnavailable", err)
	}
	if _, err := st.Get(t.Context(), "things", "1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get while another process writes: %v, want ErrNotFound", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(t.Context(), insert); err != nil {
		t.Errorf("commit afterwards: %v", err)
	}
}

func TestLocation(t *testing.T) {
	for text, want := range map[string]string{
		"sqlite:portico.db":        "portico.db",
		"sqlite:data/portico.db":   "data/portico.db",
		"sqlite:./portico.db":      "./portico.db",
		"sqlite:/var/portico.db":   "/var/portico.db",
		"sqlite:///var/portico.db": "/var/portico.db",
		"sqlite:a%20b%3F.db":       "a b?.db",
		"sqlite:///a%20b%23.db":    "/a b#.db",
		"sqlite:":                  "",
		"sqlite://":                "",
		"sqlite://portico.db":      "",
		"sqlite://host/portico.db": "",
		"sqlite:portico.db?mode=x": "",
		"sqlite:portico.db#x":      "",
		"sqlite::memory:":          "",
		"sqlite:%00":               "",
		"sqlite:%zz":               "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		got, err := location(u)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}
