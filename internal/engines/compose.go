package engines

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// composeFile describes a service of each engine's name, without durability, on ports that docker chooses.
//
//go:embed compose.yml
var composeFile string

// inCompose are the ports inside of the containers and the URLs of their servers.
var inCompose = map[Engine]struct {
	port string
	url  func(addr string) string
}{
	Postgres: {"5432", postgresURL}, Postgres18: {"5432", postgresURL}, MariaDB: {"3306", mysqlURL}, MySQL: {"3306", mysqlURL},
	Redis: {"6379", redisURL}, Valkey: {"6379", redisURL}, Mongo: {"27017", mongoURL},
}

// The one member of the replica set bears a name that only containers know.
func mongoURL(addr string) string {
	return "mongodb://" + addr + "/" + account + "?directConnection=true"
}

// dockerRuns says whether a docker engine with compose answers.
func dockerRuns(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return run(ctx, dieWithUs, "docker", "info") == nil && run(ctx, dieWithUs, "docker", "compose", "version") == nil
}

// compose starts the engines by docker compose and returns those that it could not start.
func (s *Shared) compose(ctx context.Context, say Say, wanted []Engine) (rest []Engine) {
	project := fmt.Sprintf("portico-test-%d", os.Getpid())
	s.mu.Lock()
	s.stops = append(s.stops, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := docker(ctx, project, "down", "--volumes", "--timeout", "1")
		return err
	})
	s.mu.Unlock()
	for _, e := range wanted {
		if err := s.composeOne(ctx, say, project, e); err != nil {
			say("%s: not by docker compose: %v", e, err)
			rest = append(rest, e)
		}
	}
	return rest
}

func (s *Shared) composeOne(ctx context.Context, say Say, project string, e Engine) error {
	done := saying(say, "%s: starting it by docker compose", e)
	defer done()
	if _, err := docker(ctx, project, "up", "--detach", "--wait", string(e)); err != nil {
		return err
	}
	addr, err := docker(ctx, project, "port", string(e), inCompose[e].port)
	if err != nil {
		return err
	}
	s.add(e, inCompose[e].url(addr), func() error { return nil })
	return nil
}

// docker runs docker compose on the file and returns what it answers.
func docker(ctx context.Context, project string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "docker", append([]string{"compose", "--project-name", project, "--file", "-"}, args...)...)
	c.Stdin = strings.NewReader(composeFile)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return "", errors.Join(err, errors.New(strings.TrimSpace(errs.String())))
	}
	return strings.TrimSpace(out.String()), nil
}
