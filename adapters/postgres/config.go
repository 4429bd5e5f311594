package postgres

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// parameters are those of a URL that are passed on as they are, beside those of bunstore.TakePool. They are libpq's
// (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS), two that become settings of the
// session, and default_query_exec_mode, which is pgx's.
var parameters = []string{
	"host", "port", "user", "password", "passfile", "dbname", "connect_timeout", "target_session_attrs",
	"sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslsni", "sslnegotiation", "channel_binding", "require_auth",
	"application_name", "search_path", "default_query_exec_mode",
}

// planning has the server plan each statement once for a connection, by its indexes alone. Every statement here is one
// range of one index; left to itself the planner plans pages anew at each call, or guesses that a LIMIT it does not know
// is a tenth of the table and sorts that. It must not compile what it costs highly because it was told not to do it.
var planning = map[string]string{
	"plan_cache_mode": "force_generic_plan", "jit": "off",
	"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "enable_incremental_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
}

// When a context ends, the server is given time to answer all the same, then it is asked to stop, then the connection is
// closed. To close it at once would let whoever aborts requests have us connect anew for each.
const (
	answerWithin = 100 * time.Millisecond
	cancelWithin = time.Second
)

// config is what a URL says.
type config struct {
	conn   *pgx.ConnConfig
	pool   bunstore.Pool
	chance bool // see chance
}

// parse reads a URL. Its errors show no password.
func parse(u *url.URL) (config, error) {
	var c config
	if u.Opaque != "" || u.Fragment != "" {
		return c, fmt.Errorf("%w: write the URL as postgres://user:password@host:port/database (and # in it as %%23)", store.ErrInvalid)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("%w: the parameters of the postgres URL are malformed", store.ErrInvalid)
	}
	if c.pool, err = bunstore.TakePool(q); err != nil {
		return c, err
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case !slices.Contains(parameters, name):
			return c, fmt.Errorf("%w: the postgres URL has an unknown parameter %q", store.ErrInvalid, name)
		case len(q[name]) > 1:
			return c, fmt.Errorf("%w: the postgres URL has %q twice", store.ErrInvalid, name)
		}
	}
	switch target := q.Get("target_session_attrs"); target {
	case "":
		q.Set("target_session_attrs", "read-write")
	case "read-write", "primary":
	default: // what is read must be what was acknowledged last
		return c, fmt.Errorf("%w: target_session_attrs=%s: give read-write or primary", store.ErrInvalid, target)
	}
	for name, value := range map[string]string{"connect_timeout": "10", "application_name": "portico"} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	whole := *u
	whole.RawQuery = q.Encode()
	if c.conn, err = pgx.ParseConfig(whole.String()); err != nil {
		return c, fmt.Errorf("%w: the postgres URL: %s", store.ErrInvalid, err.Error()) // which hides the password; its fields do not
	}
	if c.conn.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement { // else there may be a pooler, which refuses these
		maps.Copy(c.conn.RuntimeParams, planning)
		// What we have given up, the server should too, and with it the locks.
		c.conn.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(c.pool.Patience.Milliseconds(), 10)
	}
	c.conn.BuildContextWatcherHandler = func(p *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: p, CancelRequestDelay: answerWithin, DeadlineDelay: cancelWithin}
	}
	c.chance = chance(c.conn)
	return c, nil
}

// stays says whether a connection outlives an error. Where writing is refused the primary of before is one no more, and
// a new connection finds the one that is now.
func stays(e *pgconn.PgError) bool { return !fatal(e) && e.Code != readOnly }

// chance says that a host other than this machine is reached with TLS or without it, whichever works: sslmode=prefer,
// the default, or allow. Then whoever is between may choose.
func chance(c *pgx.ConnConfig) bool {
	with, without := map[string]bool{}, map[string]bool{}
	note := func(host string, tls bool) {
		if tls {
			with[host] = true
		} else {
			without[host] = true
		}
	}
	note(c.Host, c.TLSConfig != nil)
	for _, f := range c.Fallbacks {
		note(f.Host, f.TLSConfig != nil)
	}
	for host := range with {
		if without[host] && !local(host) {
			return true
		}
	}
	return false
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || err == nil && ip.IsLoopback()
}
