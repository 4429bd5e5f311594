package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/portico-sso/portico/ports/store"
)

// settings are what a URL says.
type settings struct {
	options goredis.Options
	prefix  string // of all keys
	tls     files
}

// files are the PEM files of TLS.
type files struct{ ca, cert, key string }

const (
	defaultPrefix = "portico"
	maxPrefix     = 64
	defaultWait   = 3 * time.Second
)

// parameters are those of a URL's query, and how each is taken.
var parameters = map[string]func(*settings, string) error{
	"db":                 number(func(s *settings) *int { return &s.options.DB }, 0),
	"prefix":             (*settings).setPrefix,
	"pool_size":          number(func(s *settings) *int { return &s.options.PoolSize }, 1),
	"min_idle_conns":     number(func(s *settings) *int { return &s.options.MinIdleConns }, 0),
	"pool_timeout":       duration(func(s *settings) *time.Duration { return &s.options.PoolTimeout }),
	"dial_timeout":       duration(func(s *settings) *time.Duration { return &s.options.DialTimeout }),
	"read_timeout":       duration(func(s *settings) *time.Duration { return &s.options.ReadTimeout }),
	"write_timeout":      duration(func(s *settings) *time.Duration { return &s.options.WriteTimeout }),
	"conn_max_idle_time": duration(func(s *settings) *time.Duration { return &s.options.ConnMaxIdleTime }),
	"conn_max_lifetime":  duration(func(s *settings) *time.Duration { return &s.options.ConnMaxLifetime }),
	"ca_file":            file(func(s *settings) *string { return &s.tls.ca }),
	"cert_file":          file(func(s *settings) *string { return &s.tls.cert }),
	"key_file":           file(func(s *settings) *string { return &s.tls.key }),
	"server_name":        setServerName,
	"skip_verify":        setSkipVerify,
}

var errNeedsTLS = errors.New("needs rediss://")

// parseURL reads redis://user:password@host:port/db?…, rediss:// likewise, and redis+unix://user:password@/path?db=….
func parseURL(u *url.URL) (settings, error) {
	s := settings{prefix: defaultPrefix, options: goredis.Options{
		DialTimeout: defaultWait, ReadTimeout: defaultWait, WriteTimeout: defaultWait,
		Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1, // a commit is sent once; who asks again is for the caller to say
		PipelinePoolSize:         -1, // there are no pipelines
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}}
	err := s.address(u)
	if err == nil {
		err = s.query(u)
	}
	if err == nil {
		err = s.readFiles()
	}
	if s.options.TLSConfig != nil {
		s.options.Dialer = dialTLS(s.options)
	}
	if err != nil {
		return s, fmt.Errorf("%w: the URL of Redis: %w", store.ErrInvalid, err)
	}
	return s, nil
}

func (s *settings) address(u *url.URL) error {
	if u.Opaque != "" || u.Fragment != "" {
		return fmt.Errorf("write %s://host:port/db", u.Scheme)
	}
	if u.User != nil {
		s.options.Username = u.User.Username()
		s.options.Password, _ = u.User.Password()
		if s.options.Username != "" && s.options.Password == "" {
			return errors.New("a user without a password; a password alone is written :password@")
		}
	}
	if u.Scheme == "redis+unix" {
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return errors.New("write redis+unix:///path/to/socket?db=0")
		}
		s.options.Network, s.options.Addr = "unix", u.Path
		return nil
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "6379"
	}
	s.options.Network, s.options.Addr = "tcp", net.JoinHostPort(host, port)
	if u.Scheme == "rediss" {
		s.options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		return parameters["db"](s, db)
	}
	return nil
}

func (s *settings) query(u *url.URL) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("its parameters cannot be read")
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		take, known := parameters[name]
		switch {
		case !known:
			return fmt.Errorf("there is no parameter %s; there are: %s", name, strings.Join(slices.Sorted(maps.Keys(parameters)), ", "))
		case len(q[name]) > 1:
			return fmt.Errorf("the parameter %s is given twice", name)
		}
		if err := take(s, q.Get(name)); err != nil {
			return fmt.Errorf("the parameter %s: %w", name, err)
		}
	}
	return nil
}

func number(field func(*settings) *int, least int) func(*settings, string) error {
	return func(s *settings, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > 1<<16 {
			return fmt.Errorf("give a number from %d to %d", least, 1<<16)
		}
		*field(s) = n
		return nil
	}
}

func duration(field func(*settings) *time.Duration) func(*settings, string) error {
	return func(s *settings, text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return errors.New("give a duration such as 500ms, 3s or 10m")
		}
		*field(s) = d
		return nil
	}
}

func file(field func(*settings) *string) func(*settings, string) error {
	return func(s *settings, text string) error {
		if s.options.TLSConfig == nil {
			return errNeedsTLS
		}
		*field(s) = filepath.Clean(text)
		return nil
	}
}

// setPrefix takes a name that has no part in the syntax of hash tags, of patterns of keys, or of our keys.
func (s *settings) setPrefix(text string) error {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.", r)
	}
	if text == "" || len(text) > maxPrefix || strings.ContainsFunc(text, odd) {
		return fmt.Errorf("give at most %d letters, digits, -, _ and .", maxPrefix)
	}
	s.prefix = text
	return nil
}

func setServerName(s *settings, text string) error {
	if s.options.TLSConfig == nil {
		return errNeedsTLS
	}
	s.options.TLSConfig.ServerName = text
	return nil
}

func setSkipVerify(s *settings, text string) error {
	if s.options.TLSConfig == nil {
		return errNeedsTLS
	}
	skip, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("give true or false")
	}
	s.options.TLSConfig.InsecureSkipVerify = skip
	return nil
}

func (s *settings) readFiles() error {
	if (s.tls.cert == "") != (s.tls.key == "") {
		return errors.New("cert_file and key_file belong together")
	}
	if s.tls.ca != "" {
		text, err := os.ReadFile(s.tls.ca)
		if err != nil {
			return fmt.Errorf("ca_file: %w", err)
		}
		s.options.TLSConfig.RootCAs = x509.NewCertPool()
		if !s.options.TLSConfig.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("ca_file: there is no certificate in %s", s.tls.ca)
		}
	}
	if s.tls.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.tls.cert, s.tls.key)
		if err != nil {
			return fmt.Errorf("cert_file, key_file: %w", err)
		}
		s.options.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return nil
}
