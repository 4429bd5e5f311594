package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/portico-sso/portico/adapters/bunstore"
	"github.com/portico-sso/portico/ports/store"
)

// parameters are those of a URL, beside those of bunstore.TakePool. The names that begin with ssl are MySQL's
// (https://dev.mysql.com/doc/refman/en/connecting-using-uri-or-key-value-pairs.html).
var parameters = []string{"ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket", "connect_timeout", "prepared"}

// config is what a URL says.
type config struct {
	conn     *mysql.Config
	pool     bunstore.Pool
	timeout  time.Duration // of making a connection
	prepared bool
	chance   bool // whether there is TLS is up to the server, or to whoever is between
}

// parse reads a URL. Its errors show no password.
func parse(u *url.URL) (config, error) {
	c := config{conn: mysql.NewConfig(), prepared: true}
	q, err := c.take(u)
	if err != nil {
		return c, err
	}
	c.conn.User = u.User.Username()
	c.conn.Passwd, _ = u.User.Password()
	c.conn.DBName = strings.TrimPrefix(u.Path, "/")
	if c.conn.User == "" || c.conn.DBName == "" || strings.Contains(c.conn.DBName, "/") {
		return c, fmt.Errorf("%w: write the URL as mysql://user:password@host:port/database", store.ErrInvalid)
	}
	c.conn.ClientFoundRows = true // an update counts the row that it meets, changed or not
	c.conn.ConnectionAttributes = "program_name:portico"
	if err := c.address(u, q.Get("socket")); err != nil {
		return c, err
	}
	if c.timeout, err = connectTimeout(q.Get("connect_timeout")); err != nil {
		return c, err
	}
	if text := q.Get("prepared"); text != "" {
		if c.prepared, err = strconv.ParseBool(text); err != nil {
			return c, fmt.Errorf("%w: prepared=%s: give true or false", store.ErrInvalid, text)
		}
	}
	c.conn.InterpolateParams = !c.prepared
	return c, c.secure(q)
}

// take reads the parameters and takes those of the pool.
func (c *config) take(u *url.URL) (url.Values, error) {
	if u.Opaque != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: write the URL as mysql://user:password@host:port/database (and # in it as %%23)", store.ErrInvalid)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w: the parameters of the mysql URL are malformed", store.ErrInvalid)
	}
	if c.pool, err = bunstore.TakePool(q); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case !slices.Contains(parameters, name):
			return nil, fmt.Errorf("%w: the mysql URL has an unknown parameter %q; there are %s, and those of the pool",
				store.ErrInvalid, name, strings.Join(parameters, ", "))
		case len(q[name]) > 1:
			return nil, fmt.Errorf("%w: the mysql URL has %q twice", store.ErrInvalid, name)
		}
	}
	return q, nil
}

func (c *config) address(u *url.URL, socket string) error {
	host, port := u.Hostname(), u.Port()
	switch {
	case socket != "" && (host != "" && host != "localhost" || port != ""):
		return fmt.Errorf("%w: the mysql URL has both a host and a socket", store.ErrInvalid)
	case socket != "":
		c.conn.Net, c.conn.Addr = "unix", socket
		return nil
	case host == "":
		return fmt.Errorf("%w: the mysql URL names no host", store.ErrInvalid)
	case port == "":
		port = "3306"
	}
	c.conn.Net, c.conn.Addr = "tcp", net.JoinHostPort(host, port)
	return nil
}

func connectTimeout(text string) (time.Duration, error) {
	if text == "" {
		return 10 * time.Second, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%w: connect_timeout=%s: give a number of seconds", store.ErrInvalid, text)
	}
	return time.Duration(n) * time.Second, nil
}

// secure sets TLS up as ssl-mode and its like say.
func (c *config) secure(q url.Values) error {
	mode := strings.ToLower(q.Get("ssl-mode"))
	verifies := mode == "verify_ca" || mode == "verify_identity"
	switch {
	case q.Get("ssl-ca") != "" && !verifies:
		return fmt.Errorf("%w: ssl-ca is used by ssl-mode=verify_identity and verify_ca alone", store.ErrInvalid)
	case mode == "disabled" && (q.Has("ssl-cert") || q.Has("ssl-key")):
		return fmt.Errorf("%w: ssl-cert and ssl-key go with TLS alone, and ssl-mode is disabled", store.ErrInvalid)
	case (q.Get("ssl-cert") == "") != (q.Get("ssl-key") == ""):
		return fmt.Errorf("%w: give both ssl-cert and ssl-key, or neither", store.ErrInvalid)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	switch mode {
	case "disabled":
		return nil
	case "", "preferred":
		if c.conn.Net == "unix" {
			return nil
		}
		c.chance = mode == "" && !loopback(c.conn.Addr)
		c.conn.AllowFallbackToPlaintext, t.InsecureSkipVerify = true, true
		// The driver notes a server without TLS in the configuration, which all connections share unless each is to change it.
		if err := c.conn.Apply(mysql.BeforeConnect(func(context.Context, *mysql.Config) error { return nil })); err != nil {
			return err
		}
	case "required":
		t.InsecureSkipVerify = true
	case "verify_ca":
		t.InsecureSkipVerify = true
		t.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, t.RootCAs) }
	case "verify_identity":
		t.ServerName = host(c.conn.Addr)
	default:
		return fmt.Errorf("%w: ssl-mode=%s: give disabled, preferred, required, verify_ca or verify_identity", store.ErrInvalid, mode)
	}
	c.conn.TLS = t
	return certificates(t, q)
}

func certificates(t *tls.Config, q url.Values) error {
	if file := q.Get("ssl-ca"); file != "" {
		text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
		if err != nil {
			return fmt.Errorf("%w: ssl-ca: %w", store.ErrInvalid, err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%w: ssl-ca: %s holds no certificate in PEM", store.ErrInvalid, file)
		}
	}
	if file := q.Get("ssl-cert"); file != "" {
		pair, err := tls.LoadX509KeyPair(file, q.Get("ssl-key"))
		if err != nil {
			return fmt.Errorf("%w: ssl-cert and ssl-key: %w", store.ErrInvalid, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// verifyChain verifies a server's certificate but not its name. There is one: TLS sees to that.
func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := s.PeerCertificates[0].Verify(o); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

func host(address string) string {
	h, _, _ := net.SplitHostPort(address)
	return h
}

func loopback(address string) bool {
	ip, err := netip.ParseAddr(host(address))
	return host(address) == "localhost" || err == nil && ip.IsLoopback()
}
