package redis

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/ports/store"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]settings{
		"redis://cache":                       {options: goredis.Options{Network: "tcp", Addr: "cache:6379"}},
		"redis://":                            {options: goredis.Options{Network: "tcp", Addr: "localhost:6379"}},
		"redis://:pw@cache:7000/3":            {options: goredis.Options{Network: "tcp", Addr: "cache:7000", Password: "pw", DB: 3}},
		"redis://sso:p%40ss@[::1]:7000/?db=4": {options: goredis.Options{Network: "tcp", Addr: "[::1]:7000", Username: "sso", Password: "p@ss", DB: 4}},
		"redis+unix:///run/redis.sock?db=2":   {options: goredis.Options{Network: "unix", Addr: "/run/redis.sock", DB: 2}},
		"redis+unix://:pw@/run/redis.sock":    {options: goredis.Options{Network: "unix", Addr: "/run/redis.sock", Password: "pw"}},
		"redis://cache?prefix=sso-2.test_A":   {options: goredis.Options{Network: "tcp", Addr: "cache:6379"}, prefix: "sso-2.test_A"},
		"redis://cache?pool_size=7&dial_timeout=1s&read_timeout=2m&write_timeout=4ms&pool_timeout=5s&min_idle_conns=2&conn_max_idle_time=6m&conn_max_lifetime=7h": {
			options: goredis.Options{Network: "tcp", Addr: "cache:6379", PoolSize: 7, DialTimeout: time.Second, ReadTimeout: 2 * time.Minute,
				WriteTimeout: 4 * time.Millisecond, PoolTimeout: 5 * time.Second, MinIdleConns: 2, ConnMaxIdleTime: 6 * time.Minute, ConnMaxLifetime: 7 * time.Hour},
		},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseURL(u)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		o, w := got.options, &want.options
		if o.MaxRetries != -1 || o.DialerRetries != 1 || !o.ContextTimeoutEnabled {
			t.Errorf("%s: commits may be sent twice, or outlive their context: %+v", text, o)
		}
		for field, value := range map[*time.Duration]time.Duration{&w.DialTimeout: defaultWait, &w.ReadTimeout: defaultWait, &w.WriteTimeout: defaultWait} {
			if *field == 0 {
				*field = value
			}
		}
		if want.prefix == "" {
			want.prefix = defaultPrefix
		}
		w.MaxRetries, w.DialerRetries, w.ContextTimeoutEnabled, w.Protocol = -1, 1, true, 2
		w.DisableIdentity, w.PipelinePoolSize, w.MaintNotificationsConfig = true, -1, o.MaintNotificationsConfig
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"redis:cache":                  "redis://host:port/db",
		"redis://cache#x":              "redis://host:port/db",
		"redis://cache/one":            "number",
		"redis://cache/1/2":            "number",
		"redis://cache/-1":             "number",
		"redis://cache?db=x":           "number",
		"redis://cache?db=1&db=2":      "twice",
		"redis://sso@cache":            "password",
		"redis://cache?max_retries=3":  "no parameter max_retries; there are: ca_file",
		"redis://cache?Prefix=a":       "no parameter Prefix",
		"redis://cache?prefix=":        "letters",
		"redis://cache?prefix=%7Ba%7D": "letters",
		"redis://cache?prefix=a:b":     "letters",
		"redis://cache?prefix=*":       "letters",
		"redis://cache?prefix=" + strings.Repeat("a", maxPrefix+1): "letters",
		"redis://cache?pool_size=0":                                "number from 1",
		"redis://cache?pool_size=-1":                               "number from 1",
		"redis://cache?pool_size=70000":                            "65536",
		"redis://cache?read_timeout=3":                             "3s",
		"redis://cache?read_timeout=0s":                            "3s",
		"redis://cache?read_timeout=-1s":                           "3s",
		"redis://cache?ca_file=/ca.pem":                            "rediss://",
		"redis://cache?skip_verify=true":                           "rediss://",
		"redis://cache?server_name=a":                              "rediss://",
		"redis+unix:///sock?ca_file=/ca.pem":                       "rediss://",
		"rediss://cache?skip_verify=maybe":                         "true or false",
		"rediss://cache?cert_file=/a":                              "belong together",
		"rediss://cache?key_file=/a":                               "belong together",
		"rediss://cache?ca_file=/does/not/exist":                   "ca_file",
		"rediss://cache?ca_file=/dev/null":                         "no certificate",
		"rediss://cache?cert_file=/no&key_file=/no":                "cert_file, key_file",
		"redis+unix://host/sock":                                   "redis+unix:///path",
		"redis+unix:":                                              "redis+unix:///path",
		"redis://cache?%zz":                                        "cannot be read",
		"redis://cache?a;b":                                        "cannot be read",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		u.User = planted(u.User)
		if s, err := parseURL(u); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %+v, %v, want an error with %q", text, s, err, want)
		}
	}
}

// TestParametersAreDocumented holds that the page for operators has each parameter, and no other.
func TestParametersAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cell, -1) {
			if strings.HasPrefix(line, "| `") {
				documented[name[1]] = true
			}
		}
	}
	for name := range parameters {
		if !documented[name] {
			t.Errorf("the parameter %s is not in docs/redis.md", name)
		}
		delete(documented, name)
	}
	if len(documented) > 0 {
		t.Errorf("docs/redis.md has parameters that there are not: %v", documented)
	}
}

// planted plants a password that no error may repeat.
func planted(u *url.Userinfo) *url.Userinfo {
	if u != nil {
		return u
	}
	return url.UserPassword("sso", "planted")
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"6.2.0": true, "6.2.14": true, "7.0.15": true, "8.2.1": true, "10.0.0": true, "6.10": true,
		"6.0.16": false, "5.0.3": false, "2.8": false, "": false, "7": false, "unstable": false,
	} {
		if got := atLeast(version, 6, 2); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
	logger := slog.New(slog.DiscardHandler)
	nobody := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	defer nobody.Close()
	for _, c := range []struct {
		info map[string]string
		want string
	}{
		{map[string]string{"redis_version": "6.0.16", "role": "master", "maxmemory_policy": "noeviction"}, "6.2"},
		{map[string]string{"redis_version": "7.2.4", "role": "slave", "maxmemory_policy": "noeviction"}, "replica"},
		{map[string]string{"redis_version": "7.2.4", "redis_mode": "sentinel"}, "Sentinel"},
		{map[string]string{"redis_version": "7.2.4", "role": "master", "maxmemory_policy": "allkeys-lfu"}, "noeviction"},
		{map[string]string{"redis_version": "7.2.4", "role": "master", "maxmemory_policy": "noeviction"}, ""},
		{map[string]string{"redis_version": "7.2.4", "role": "master"}, ""}, // a service that does not tell
		{map[string]string{"valkey_version": "9.1.2", "role": "master", "maxmemory_policy": "noeviction"}, ""},
	} {
		err := admit(context.Background(), nobody, c.info, logger)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.info, err, c.want)
		}
	}
}

// refusedBy is an error as a server sends it.
type refusedBy string

func (r refusedBy) Error() string { return string(r) }
func (refusedBy) RedisError()     {}

// TestOutcomes reads errors of servers, of which some are hard to come by.
func TestOutcomes(t *testing.T) {
	b := &Backend{}
	for text, want := range map[string]error{
		"LOADING Redis is loading the dataset in memory":                                   store.ErrUnavailable,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": store.ErrUnavailable,
		"READONLY You can't write against a read only replica.":                            store.ErrUnavailable,
		"MOVED 3999 127.0.0.1:6381":                                                        store.ErrUnavailable,
		"CLUSTERDOWN Hash slot not served":                                                 store.ErrUnavailable,
		"TRYAGAIN Multiple keys request during rehashing of slot":                          store.ErrUnavailable,
		"NOAUTH Authentication required.":                                                  store.ErrUnavailable,
		"WRONGTYPE Operation against a key holding the wrong kind of value":                nil,
		"ERR unknown command":                                                              nil,
	} {
		err := b.failed(t.Context(), refusedBy(text), true, store.ErrUncertain)
		if errors.Is(err, store.ErrUncertain) || errors.Is(err, store.ErrUnavailable) != (want != nil) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for what, c := range map[string]struct{ err, want error }{
		"the answer was lost":          {io.EOF, store.ErrUncertain},
		"the connection was reset":     {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, store.ErrUncertain},
		"the answer did not come":      {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, store.ErrUncertain},
		"the end could not be sent":    {&net.OpError{Op: "write", Err: syscall.EPIPE}, store.ErrUnavailable},
		"the end was not sent in time": {&net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}, store.ErrUnavailable},
	} {
		if err := b.failed(t.Context(), c.err, true, store.ErrUncertain); !errors.Is(err, c.want) || errors.Is(err, store.ErrUncertain) != errors.Is(c.want, store.ErrUncertain) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	// What was not sent, whatever the reason.
	if err := b.failed(t.Context(), refusedBy("ERR max number of clients reached"), false, store.ErrUncertain); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("no connection to be had: %v", err)
	}
}

// forgetful is a client of a server that does not know a script, and is gone before it can be sent the text.
type forgetful struct{ client }

func (forgetful) EvalSha(ctx context.Context, _ string, _ []string, args ...any) *goredis.Cmd {
	_, _ = args[0].(*sending).MarshalBinary()
	answer := goredis.NewCmd(ctx)
	answer.SetErr(refusedBy("NOSCRIPT No matching script. Please use EVAL."))
	return answer
}

func (forgetful) Eval(ctx context.Context, _ string, _ []string, _ ...any) *goredis.Cmd {
	answer := goredis.NewCmd(ctx)
	answer.SetErr(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	return answer
}

func TestForgottenAndGone(t *testing.T) {
	b := &Backend{client: forgetful{}}
	_, began, err := b.call(t.Context(), standard.get, time.Time{}, []any{nil})
	if err == nil || began {
		t.Errorf("%v, began %t: nothing of the call was run", err, began)
	}
}
