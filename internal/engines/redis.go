package engines

import (
	"context"
	"errors"
	"net/url"

	"github.com/redis/go-redis/v9"
)

func createRedis(context.Context, *Server) error { return nil }

func redisArguments(s *Server) []string {
	args := []string{"--bind", loopback, "--port", s.port, "--dir", s.home.inside, "--save", "", "--maxmemory-policy", "noeviction"}
	if s.options.Fast {
		args = append(args, "--appendonly", "no")
	} else {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	return append(args, s.options.Args...)
}

func redisURL(addr string) string { return "redis://" + addr + "/0" }

func openRedis(text string) (*redis.Client, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	u.RawQuery = "" // parameters are the adapter's
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true
	return redis.NewClient(o), nil
}

func pingRedis(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	c, err := openRedis(text)
	if err != nil {
		return err
	}
	return errors.Join(c.Ping(ctx).Err(), c.Close())
}
