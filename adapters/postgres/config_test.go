package postgres

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

func TestParse(t *testing.T) {
	u, err := url.Parse("postgresql://ann:s%2Fcret@db.example:5433/sso?sslmode=verify-full&sslsni=0&search_path=portico&pool_max_conns=3&call_timeout=2s")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(u)
	if err != nil {
		t.Fatal(err)
	}
	if c.conn.Host != "db.example" || c.conn.Port != 5433 || c.conn.User != "ann" || c.conn.Password != "s/cret" || c.conn.Database != "sso" ||
		c.conn.TLSConfig == nil || c.conn.TLSConfig.InsecureSkipVerify || len(c.conn.Fallbacks) > 0 || c.conn.ConnectTimeout != 10*time.Second {
		t.Errorf("%+v", c.conn.Config)
	}
	if c.pool.MaxConns != 3 || c.pool.Patience != 2*time.Second || c.chance || c.conn.ValidateConnect == nil {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]string{"search_path": "portico", "application_name": "portico", "enable_sort": "off", "jit": "off", "sslmode": "", "pool_max_conns": ""} {
		if got := c.conn.RuntimeParams[name]; got != want {
			t.Errorf("the session's %s is %q, want %q", name, got, want)
		}
	}
	if u.RawQuery == "" || !strings.Contains(u.RawQuery, "pool_max_conns=3") {
		t.Errorf("the URL given was changed: %s", u)
	}
}

// TestParametersAreDocumented holds docs/postgres.md against the parameters that there are.
func TestParametersAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `") {
			for name := range strings.SplitSeq(cells[1], ",") {
				documented = append(documented, strings.Trim(name, " `"))
			}
		}
	}
	pool := []string{"call_timeout", "pool_max_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time"}
	want := slices.Sorted(slices.Values(append(pool, parameters...)))
	if got := slices.Sorted(slices.Values(documented)); !slices.Equal(got, want) {
		t.Errorf("docs/postgres.md has the parameters %q, want %q", got, want)
	}
}

// TestParseEach tries one parameter at a time.
func TestParseEach(t *testing.T) {
	for text, want := range map[string]struct {
		refused string // what the error says
		holds   func(config) bool
	}{
		"postgres://h/d?default_query_exec_mode=exec": {holds: func(c config) bool {
			return len(c.conn.RuntimeParams) == 1 && c.conn.DefaultQueryExecMode == pgx.QueryExecModeExec
		}},
		"postgres:///d?host=a,b&port=1,2": {holds: func(c config) bool {
			return c.conn.Host == "a" && c.conn.Fallbacks[1].Host == "b" && c.conn.Fallbacks[1].Port == 2
		}},
		"postgres:///d?host=/run/postgresql":                    {holds: func(c config) bool { return !c.chance && c.conn.TLSConfig == nil }},
		"postgres://h/d":                                        {holds: func(c config) bool { return c.chance }},
		"postgres://h/d?sslmode=disable":                        {holds: func(c config) bool { return !c.chance && c.conn.TLSConfig == nil }},
		"postgres://h/d?sslmode=require":                        {holds: func(c config) bool { return !c.chance && c.conn.TLSConfig != nil }},
		"postgres://127.0.0.1/d":                                {holds: func(c config) bool { return !c.chance }},
		"postgres://[::1]/d":                                    {holds: func(c config) bool { return !c.chance }},
		"postgres://localhost/d?connect_timeout=3":              {holds: func(c config) bool { return !c.chance && c.conn.ConnectTimeout == 3*time.Second }},
		"postgres://h/d?target_session_attrs=primary":           {holds: func(c config) bool { return c.conn.ValidateConnect != nil }},
		"postgres://h/d?target_session_attrs=any":               {refused: "read-write or primary"},
		"postgres://h/d?target_session_attrs=standby":           {refused: "read-write or primary"},
		"postgres://h/d?target_session_attrs=prefer-standby":    {refused: "read-write or primary"},
		"postgres://h/d?sslmod=require":                         {refused: `unknown parameter "sslmod"`},
		"postgres://h/d?enable_sort=on":                         {refused: `unknown parameter "enable_sort"`},
		"postgres://h/d?service=x":                              {refused: `unknown parameter "service"`},
		"postgres://h/d?options=-csynchronous_commit%3Doff":     {refused: `unknown parameter "options"`},
		"postgres://h/d?sslmode=disable&sslmode=verify-full":    {refused: `"sslmode" twice`},
		"postgres://h/d?sslmode=perhaps":                        {refused: "sslmode is invalid"},
		"postgres://h/d?sslrootcert=/no/such/file":              {refused: "unable to read CA file"},
		"postgres://h/d?pool_max_conns=0":                       {refused: "pool_max_conns"},
		"postgres://h/d?call_timeout=30":                        {refused: "call_timeout"},
		"postgres://h/d?connect_timeout=soon":                   {refused: "connect_timeout"},
		"postgres://h/d?default_query_exec_mode=fast":           {refused: "default_query_exec_mode"},
		"postgres://h/d?x=%zz":                                  {refused: "malformed"},
		"postgres:h/d":                                          {refused: "postgres://user:password@host:port/database"},
		"postgres://ann:hunter2#x@h/d":                          {refused: ""},
		"postgres://ann:hunter2@h/d?sslmode=perhaps":            {refused: "sslmode is invalid"},
		"postgres://h/d?password=hunter2&sslmode=perhaps":       {refused: "sslmode is invalid"},
		"postgres://h/d?sslpassword=hunter2&channel_binding=no": {refused: "channel_binding"},
		"postgres://ann:hunter2@h/d?hunter2=x":                  {refused: "unknown parameter"},
	} {
		u, err := url.Parse(text)
		if err != nil {
			if want.holds != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		c, err := parse(u)
		switch {
		case want.holds != nil && (err != nil || !want.holds(c)):
			t.Errorf("%s: %v, %+v", text, err, c.conn)
		case want.holds == nil && (!errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want.refused)):
			t.Errorf("%s: %v, want %q", text, err, want.refused)
		case err != nil && strings.Contains(err.Error(), "hunter2") && !strings.Contains(text, "?hunter2"):
			t.Errorf("%s: the error tells the password: %v", text, err)
		}
	}
}

// TestExplain holds what is certain after a commit: only what the server itself has refused.
func TestExplain(t *testing.T) {
	code := func(severity, code string) error {
		return &pgconn.PgError{Severity: severity, Code: code, ConstraintName: "users$by_name$u"}
	}
	for _, c := range []struct {
		err  error
		want bunstore.FailureKind
	}{
		{code("ERROR", "23505"), bunstore.Unique},
		{code("ERROR", "40001"), bunstore.Conflict},
		{code("ERROR", "40P01"), bunstore.Conflict},
		{code("ERROR", "55P03"), bunstore.Conflict},
		{code("ERROR", "40003"), bunstore.Lost},
		{code("ERROR", "57014"), bunstore.Unavailable},
		{code("ERROR", "25006"), bunstore.Unavailable},
		{code("ERROR", "26000"), bunstore.Unavailable},
		{code("FATAL", "57P01"), bunstore.Lost},
		{code("ERROR", "57P01"), bunstore.Lost},
		{code("FEHLER", "53100"), bunstore.Lost},
		{code("PANIC", "40001"), bunstore.Lost},
		{code("FATAL", "28P01"), bunstore.Lost},
		{code("ERROR", "42P01"), bunstore.Unknown},
		{code("ERROR", "22021"), bunstore.Unknown},
		{code("ERROR", ""), bunstore.Unknown},
		{pgx.ErrTxCommitRollback, bunstore.Unavailable},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, bunstore.Lost},
		{io.ErrUnexpectedEOF, bunstore.Lost},
		{pgconn.ErrConnClosed, bunstore.Lost},
		{errors.New("other"), bunstore.Unknown},
	} {
		if got := explain(c.err).Kind; got != c.want {
			t.Errorf("%v: kind %d, want %d", c.err, got, c.want)
		}
	}
	if got := explain(code("ERROR", "23505")).Name; got != "users$by_name$u" {
		t.Errorf("the index is %q", got)
	}
}
