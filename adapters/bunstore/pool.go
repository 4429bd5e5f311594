package bunstore

import (
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/portico-sso/portico/ports/store"
)

// Pool is how many connections a pool holds and for how long, and how long a call may take.
type Pool struct {
	MaxConns           int
	Lifetime, IdleTime time.Duration
	Patience           time.Duration // of Dialect
}

// TakePool takes out of a URL's parameters those of the pool: pool_max_conns (16), pool_max_conn_lifetime (30m),
// pool_max_conn_idle_time (5m) and call_timeout (30s).
func TakePool(q url.Values) (Pool, error) {
	p := Pool{MaxConns: 16, Lifetime: 30 * time.Minute, IdleTime: 5 * time.Minute, Patience: 30 * time.Second}
	if text := take(q, "pool_max_conns"); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return p, fmt.Errorf("%w: pool_max_conns=%s: give a number of connections", store.ErrInvalid, text)
		}
		p.MaxConns = int(n)
	}
	for name, into := range map[string]*time.Duration{
		"pool_max_conn_lifetime": &p.Lifetime, "pool_max_conn_idle_time": &p.IdleTime, "call_timeout": &p.Patience,
	} {
		if text := take(q, name); text != "" {
			d, err := time.ParseDuration(text)
			if err != nil || d <= 0 {
				return p, fmt.Errorf("%w: %s=%s: give a duration such as 30s or 5m", store.ErrInvalid, name, text)
			}
			*into = d
		}
	}
	return p, nil
}

func take(q url.Values, name string) string {
	text := q.Get(name)
	q.Del(name)
	return text
}

// Apply sets up a pool.
func (p Pool) Apply(db *sql.DB) {
	db.SetMaxOpenConns(p.MaxConns)
	db.SetMaxIdleConns(p.MaxConns)
	db.SetConnMaxLifetime(p.Lifetime)
	db.SetConnMaxIdleTime(p.IdleTime)
}
