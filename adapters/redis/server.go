package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/portico-sso/portico/ports/store"
)

// silent is the client library's logger: what it prints is in the errors that it answers, too.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { goredis.SetLogger(silent{}) })

// tlsConn shows its socket, so that the client's pool can see whether the server has closed it. It looks for nothing there
// that TLS may hold back: with RESP2 a server sends nothing unasked.
type tlsConn struct {
	*tls.Conn
	socket syscall.Conn
}

func (c tlsConn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }

func dialTLS(o goredis.Options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	config := o.TLSConfig
	o.TLSConfig = nil
	dial := goredis.NewDialer(&o)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(c, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		socket, ok := c.(syscall.Conn)
		if !ok {
			return secure, nil
		}
		return tlsConn{secure, socket}, nil
	}
}

// connect makes a client of a server that keeps the port's rules. On a cluster it is one that follows our slot.
func connect(ctx context.Context, s settings, logger *slog.Logger) (client, error) {
	silence()
	single := goredis.NewClient(&s.options)
	info, err := inspect(ctx, single)
	if err == nil && info["cluster_enabled"] == "1" {
		return connectCluster(ctx, single, s, logger)
	}
	if err == nil {
		err = admit(ctx, single, info, logger)
	}
	if err != nil {
		return nil, errors.Join(err, single.Close())
	}
	return single, nil
}

// clusterReload is how old the client's map of the cluster may be: that a node is dead is seen in it alone.
const clusterReload = 2 * time.Second

func connectCluster(ctx context.Context, seed *goredis.Client, s settings, logger *slog.Logger) (client, error) {
	if err := seed.Close(); err != nil {
		return nil, err
	}
	o := s.options
	if o.DB != 0 {
		return nil, fmt.Errorf("%w: redis: a cluster has the database 0 alone; write another prefix instead of another db", store.ErrInvalid)
	}
	c := goredis.NewClusterClient(&goredis.ClusterOptions{
		Addrs: []string{o.Addr}, Dialer: o.Dialer, Username: o.Username, Password: o.Password, Protocol: o.Protocol, TLSConfig: o.TLSConfig,
		MaxRedirects: -1, MaxRetries: o.MaxRetries, DialerRetries: o.DialerRetries, ContextTimeoutEnabled: true, DisableRoutingPolicies: true,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolSize: o.PoolSize, MinIdleConns: o.MinIdleConns, PoolTimeout: o.PoolTimeout, PipelinePoolSize: o.PipelinePoolSize,
		ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime, ClusterStateReloadInterval: clusterReload,
		DisableIdentity: true, MaintNotificationsConfig: o.MaintNotificationsConfig,
	})
	node, err := c.MasterForKey(ctx, "{"+s.prefix+"}")
	if err != nil {
		return nil, errors.Join(unreached(err), c.Close())
	}
	info, err := inspect(ctx, node)
	if err == nil {
		err = admit(ctx, node, info, logger)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// inspect asks a server about itself: https://redis.io/docs/latest/commands/info.
func inspect(ctx context.Context, c *goredis.Client) (map[string]string, error) {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return nil, unreached(err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// unreached says an error of the first call to a server.
func unreached(err error) error {
	return refusal(fmt.Errorf("%w: %w", store.ErrUnavailable, err))
}

// refusal makes a fault to be corrected of an error that says that the server does not let us in.
func refusal(err error) error {
	var answer goredis.Error
	if !errors.As(err, &answer) {
		return err
	}
	switch code(answer) {
	case "NOAUTH":
		return fmt.Errorf("redis: the server wants a password: write it into the URL, redis://user:password@host: %w", answer)
	case "WRONGPASS":
		return fmt.Errorf("redis: the server knows no such user and password: correct those of the URL: %w", answer)
	case "NOPERM":
		return fmt.Errorf("redis: the user lacks a right: give it what docs/redis.md lists: %w", answer)
	case "ERR":
		if !strings.Contains(answer.Error(), "max number of clients") { // which passes
			return fmt.Errorf("redis: the server refuses: %w", answer)
		}
	}
	return err
}

// admit refuses a server that would break the port's rules, each time with the cure, and warns of one that may lose data.
func admit(ctx context.Context, c *goredis.Client, info map[string]string, logger *slog.Logger) error {
	if _, valkey := info["valkey_version"]; !valkey && !atLeast(info["redis_version"], 6, 2) {
		return fmt.Errorf("redis: the server is of version %q: use Redis 6.2 or later, or Valkey", info["redis_version"])
	}
	if info["role"] == "slave" {
		return errors.New("redis: the server is a replica, which takes no writes and may answer what is old: write the primary's address, " +
			"or one that follows the primary")
	}
	if info["redis_mode"] == "sentinel" {
		return errors.New("redis: the server is a Sentinel, which holds no data: write the primary's address, or one that follows the primary")
	}
	switch policy := info["maxmemory_policy"]; policy {
	case "noeviction":
	case "":
		logger.WarnContext(ctx, "redis: the server does not tell its maxmemory-policy: it must be noeviction, or documents are lost without notice")
	default:
		return fmt.Errorf("redis: with maxmemory-policy %s the server removes documents when its memory is full: "+
			"set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf or the parameters of the service)", policy)
	}
	warnOfLoss(ctx, c, info, logger)
	return nil
}

func warnOfLoss(ctx context.Context, c *goredis.Client, info map[string]string, logger *slog.Logger) {
	if info["aof_enabled"] != "1" {
		logger.WarnContext(ctx, "redis: the server keeps no append-only file: a crash loses what was written since its last snapshot; "+
			"set appendonly yes and appendfsync always")
		return
	}
	switch values, err := c.ConfigGet(ctx, "appendfsync").Result(); {
	case err != nil:
		logger.WarnContext(ctx, "redis: appendfsync cannot be read: unless it is always, a crash loses what was written last", "error", err)
	case values["appendfsync"] != "always":
		logger.WarnContext(ctx, "redis: a crash loses what was written last; set appendfsync always", "appendfsync", values["appendfsync"])
	}
}

// atLeast compares the first two numbers of a version.
func atLeast(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(second)
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}
