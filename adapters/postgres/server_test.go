package postgres_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // "pgx", to do to the database what the adapter does not

	"github.com/portico-sso/portico/adapters/postgres"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

var things = store.Schema{{Name: "things", Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}}}

// opened is a migrated store over a database.
func opened(t testing.TB, text string, s store.Schema) *store.Store {
	t.Helper()
	b, err := open(t.Context(), t, text, s)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.New(b, s, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// execute runs statements on a database.
func execute(t testing.TB, text string, statements ...string) {
	t.Helper()
	db, err := sql.Open("pgx", text)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		if _, err := db.ExecContext(context.Background(), s); err != nil { // also when the test ends
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func thing(id string) store.Op {
	return store.Insert("things", store.Doc{ID: id, Keys: map[string]string{"name": id}})
}

func TestOpenRefuses(t *testing.T) {
	server := engines.URL(t, engines.Postgres)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	readOnly := engines.Fresh(t, engines.Postgres)
	execute(t, readOnly, "ALTER DATABASE "+database(t, readOnly)+" SET default_transaction_read_only = on")
	latin := engines.Fresh(t, engines.Postgres)
	execute(t, server, "DROP DATABASE "+database(t, latin), "CREATE DATABASE "+database(t, latin)+" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	for what, c := range map[string]struct {
		url  string
		want error
		says string
	}{
		"nobody listens":          {"postgres://127.0.0.1:1/x?sslmode=disable", store.ErrUnavailable, "127.0.0.1:1"},
		"nobody answers":          {"postgres://" + l.Addr().String() + "/x?sslmode=disable&connect_timeout=1", store.ErrUnavailable, l.Addr().String()},
		"no such database":        {strings.Replace(server, "/postgres?", "/no_such?", 1), nil, "there is no database no_such: make it"},
		"a wrong password":        {strings.Replace(server, "portico:portico@", "portico:other@", 1), nil, "correct them in the URL"},
		"a read-only database":    {readOnly, store.ErrUnavailable, "read only"},
		"another encoding":        {latin, nil, "CREATE DATABASE … ENCODING 'UTF8'"},
		"a server without TLS":    {with(t, server, "sslmode", "require"), store.ErrUnavailable, "TLS"},
		"an unknown parameter":    {with(t, server, "sslmod", "require"), store.ErrInvalid, "sslmod"},
		"a search path to naught": {with(t, server, "search_path", "no_such"), nil, ""},
	} {
		b, err := open(t.Context(), t, c.url, things)
		if err == nil && c.says == "" {
			err = b.(store.Structured).Migrate(t.Context())
			_ = b.Close()
			if err == nil {
				t.Errorf("%s: migrated", what)
			}
			continue
		}
		if err == nil {
			_ = b.Close()
			t.Errorf("%s: opened", what)
		} else if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := open(t.Context(), t, server, store.Schema{{}}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a bad schema: %v", err)
	}
}

func database(t testing.TB, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// TestNoLongerPrimary has a server refuse writes, as a primary does that has become a standby: connections to it are
// dropped, and when one that writes is found again, work goes on.
func TestNoLongerPrimary(t *testing.T) {
	server := engines.Start(t, engines.Postgres, engines.Options{Fast: true})
	s := opened(t, server.URL, things)
	set := func(on string) {
		execute(t, server.URL, "ALTER SYSTEM SET default_transaction_read_only = "+on, "SELECT pg_reload_conf()")
	}
	set("on")
	var err error
	for i := 0; err == nil; i++ { // sessions reload when they get to it
		err = s.Commit(t.Context(), thing(fmt.Sprint(i)))
	}
	for range 3 {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("commit to what only reads: %v, want ErrUnavailable", err)
		}
		if _, err := s.Get(t.Context(), "things", "0"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("get from what may lag behind: %v, want ErrUnavailable", err)
		}
		err = s.Commit(t.Context(), thing("during"), thing("then"))
	}
	set("off")
	for err = store.ErrUnavailable; errors.Is(err, store.ErrUnavailable); {
		err = s.Commit(t.Context(), thing("after"))
	}
	if err != nil {
		t.Errorf("commit afterwards: %v", err)
	}
}

// TestMigrateTogether has many instances migrate at once, from nothing and from an older structure, under commits.
func TestMigrateTogether(t *testing.T) {
	var older, newer store.Schema
	for i := range 6 {
		c := store.Collection{Name: fmt.Sprintf("c%d", i), Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}}}}
		older = append(older, c)
		c.Indexes = append(c.Indexes[:1:1], store.Index{Name: "by_mail", Fields: []string{"mail", "name"}, Unique: true})
		newer = append(newer, c)
	}
	for _, e := range servers {
		u := engines.Fresh(t, e)
		migrate := func(s store.Schema) {
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					b, err := open(t.Context(), t, u, s)
					if err != nil {
						t.Error(err)
						return
					}
					defer func() { _ = b.Close() }()
					if err := b.(store.Structured).Migrate(t.Context()); err != nil {
						t.Errorf("migrate: %v", err)
					}
				})
			}
			all.Wait()
		}
		migrate(older)
		s := opened(t, u, older)
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					id := fmt.Sprintf("%d/%d", w, i)
					err := s.Commit(t.Context(), store.Insert("c5", store.Doc{ID: id}), store.Insert("c0", store.Doc{ID: id}))
					if err != nil && !errors.Is(err, store.ErrConflict) {
						t.Errorf("commit while others migrate: %v", err)
					}
				}
			})
		}
		migrate(newer)
		stop()
		all.Wait()
		now := opened(t, u, newer)
		if err := now.Commit(t.Context(), store.Insert("c3", store.Doc{ID: "x", Keys: map[string]string{"mail": "m", "name": "n"}})); err != nil {
			t.Error(err)
		}
		if err := s.Commit(t.Context(), store.Insert("c3", store.Doc{ID: "y", Keys: map[string]string{"name": "n"}})); err != nil {
			t.Errorf("an older instance commits: %v", err)
		}
	}
}

// TestAbandoned loses a COMMIT on the way while the connection seems to stay. The server gives up what we have given up,
// with its locks, so that others can go on.
func TestAbandoned(t *testing.T) {
	text := engines.Fresh(t, engines.Postgres)
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p := engines.NewProxy(t, u.Host)
	direct, s := opened(t, text, things), opened(t, with(t, p.URL(text), "call_timeout", "500ms"), things)
	if err := direct.Commit(t.Context(), thing("a"), thing("b")); err != nil {
		t.Fatal(err)
	}
	update := func(id string) store.Op { return store.Update("things", store.Doc{ID: id, Version: 1}) }
	p.OnNext("COMMIT\x00", engines.Swallow)
	if err := s.Commit(t.Context(), update("a"), update("b")); !errors.Is(err, store.ErrUncertain) {
		t.Fatalf("a lost COMMIT: %v", err)
	}
	if err := direct.Commit(t.Context(), update("a")); err != nil {
		t.Errorf("the next commit: %v", err)
	}
}

// TestTimeouts holds that a server that hangs is told as unavailable, and that it is used again when it goes on.
func TestTimeouts(t *testing.T) {
	server := engines.Start(t, engines.Postgres, engines.Options{})
	s := opened(t, with(t, server.URL, "call_timeout", "300ms"), things)
	if err := s.Commit(t.Context(), thing("a")); err != nil {
		t.Fatal(err)
	}
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "things", "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Count(t.Context(), "things", store.Range{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("count: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if err := s.Commit(t.Context(), thing("b")); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUncertain) {
		t.Errorf("commit: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "things", "a"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get with a deadline: %v", err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	err := store.ErrUnavailable
	for errors.Is(err, store.ErrUnavailable) {
		_, err = s.Get(t.Context(), "things", "a")
	}
	if err != nil {
		t.Errorf("get afterwards: %v", err)
	}
}

// TestAborted has requests end while the server answers them: few cost a connection, and what is slow is cancelled.
func TestAborted(t *testing.T) {
	text := engines.Fresh(t, engines.Postgres)
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p := engines.NewProxy(t, u.Host)
	s := opened(t, with(t, p.URL(text), "pool_max_conns", "1"), things)
	db, err := sql.Open("pgx", text)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	sessions := func() (pid, sleeping int) {
		err := db.QueryRowContext(t.Context(), `SELECT coalesce(max(pid), 0), count(*) FILTER (WHERE wait_event = 'PgSleep')
			FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'portico'`).Scan(&pid, &sleeping)
		if err != nil {
			t.Fatal(err)
		}
		return pid, sleeping
	}
	if err := s.Commit(t.Context(), thing("a")); err != nil {
		t.Fatal(err)
	}
	const times = 20
	seen := map[int]bool{}
	for i := range times {
		if err := s.Commit(t.Context(), thing(fmt.Sprint(i)), store.Check("things", store.Doc{ID: "a", Version: 1})); err != nil { // all is prepared now
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "things", "a"); err != nil {
			t.Fatal(err)
		}
		p.Delay(10 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if i%2 > 0 {
			_, err = s.Get(ctx, "things", "a")
		} else if err = s.Commit(ctx, thing(fmt.Sprint("not ", i)), store.Check("things", store.Doc{ID: "a", Version: 1})); err == nil {
			t.Error("a commit whose context ended long before it commits")
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("call %d: %v", i, err)
		}
		cancel()
		p.Delay(0)
		pid, _ := sessions()
		seen[pid] = true
	}
	if len(seen) > times/2 {
		t.Errorf("%d aborted calls cost %d connections", times, len(seen)-1)
	}
	if n, err := s.Count(t.Context(), "things", store.Range{}); n != times+1 || err != nil {
		t.Errorf("%d things, %v", n, err)
	}
	execute(t, text, "ALTER TABLE things RENAME TO other", "CREATE VIEW things AS SELECT o.* FROM other o, pg_sleep(600)")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "things", "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow get: %v", err)
	}
	for sleeping := 1; sleeping > 0; {
		_, sleeping = sessions()
	}
}

// TestWidest writes entries of the greatest size, of bytes that do not compress.
func TestWidest(t *testing.T) {
	c := store.Collection{Name: "widest", Expires: true, Indexes: []store.Index{{Name: "by_all", Fields: []string{"a", "b", "c", "d"}, Unique: true}}}
	for _, e := range servers {
		s := opened(t, engines.Fresh(t, e), store.Schema{c})
		var docs []store.Doc
		for range 3 {
			d := store.Doc{ID: noise(), Keys: map[string]string{}, Body: bytes.Repeat([]byte(noise()), 100), ExpiresAt: time.Now().Add(time.Hour)}
			for _, f := range c.Fields() {
				d.Keys[f] = noise()
			}
			if err := s.Commit(t.Context(), store.Insert("widest", d)); err != nil {
				t.Fatalf("%s: %v", e, err)
			}
			docs = append(docs, d)
		}
		again := docs[1]
		again.ID = "x"
		if err := s.Commit(t.Context(), store.Insert("widest", again)); !store.Taken(err, "widest", "by_all") {
			t.Errorf("%s: the same keys again: %v", e, err)
		}
		if n, err := s.Count(t.Context(), "widest", store.Range{Index: "by_all", From: "!"}); n != 3 || err != nil {
			t.Errorf("%s: %d, %v", e, n, err)
		}
	}
}

// noise is a random key of the greatest length.
func noise() string {
	b := make([]byte, store.MaxKeyBytes)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)[:store.MaxKeyBytes]
}

// TestLeastPrivilege holds that a role needs no more than its own schema.
func TestLeastPrivilege(t *testing.T) {
	text := engines.Fresh(t, engines.Postgres)
	role := "role_" + database(t, text)
	execute(t, text, "CREATE ROLE "+role+" LOGIN PASSWORD 'p'", "CREATE SCHEMA own AUTHORIZATION "+role, "CREATE TABLE public.things (id int)")
	t.Cleanup(func() { execute(t, text, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	u, err := url.Parse(with(t, text, "search_path", "own"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "p")
	s := opened(t, u.String(), things)
	if err := s.Commit(t.Context(), thing("a")); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestTLS reaches a server whose certificate is checked.
func TestTLS(t *testing.T) {
	dir := certificates(t)
	server := engines.Start(t, engines.Postgres, engines.Options{Fast: true, Args: []string{
		"-c", "ssl=on", "-c", "ssl_cert_file=" + filepath.Join(dir, "server.crt"), "-c", "ssl_key_file=" + filepath.Join(dir, "server.key")}})
	other := certificates(t)
	ca, wrong := filepath.Join(dir, "server.crt"), filepath.Join(other, "server.crt")
	for query, want := range map[string]error{
		"sslmode=verify-full&sslrootcert=" + ca: nil,
		"sslmode=verify-ca&sslrootcert=" + ca:   nil,
		"sslmode=require":                       nil,
		"sslmode=disable":                       nil,
		"sslmode=prefer":                        nil,
		"":                                      nil,
		"sslmode=verify-full&sslrootcert=" + wrong:                                           store.ErrUnavailable,
		"sslmode=verify-ca&sslrootcert=" + wrong:                                             store.ErrUnavailable,
		"sslmode=require&sslrootcert=" + wrong:                                               store.ErrUnavailable,
		"sslmode=verify-full":                                                                store.ErrUnavailable,
		"sslmode=require&channel_binding=require":                                            nil,
		"sslmode=disable&channel_binding=require":                                            store.ErrUnavailable,
		"sslmode=verify-full&sslrootcert=" + ca + "&require_auth=" + url.QueryEscape("none"): store.ErrUnavailable,
	} {
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = query
		b, err := open(t.Context(), t, u.String(), things)
		if err == nil {
			_ = b.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", query, err, want)
		}
	}
}

// certificates makes a key and a certificate for 127.0.0.1 that signs itself, for a server that runs as nobody.
func certificates(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "portico-tls-") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"server.crt": {Type: "CERTIFICATE", Bytes: cert}, "server.key": {Type: "PRIVATE KEY", Bytes: private}} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			nobody, err := user.Lookup("nobody")
			if err != nil {
				t.Fatal(err)
			}
			uid, _ := strconv.Atoi(nobody.Uid)
			if err := os.Chown(path, uid, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestWarnings holds that an operator is told of what is set in a way that loses data or lets others listen.
func TestWarnings(t *testing.T) {
	u := engines.Fresh(t, engines.Postgres)
	execute(t, u, "ALTER DATABASE "+database(t, u)+" SET synchronous_commit = off")
	var log bytes.Buffer
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	b, err := postgres.Driver.Open(t.Context(), parsed, things, store.DriverOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "synchronous_commit=off") {
		t.Errorf("the log says %q", log.String())
	}
}
