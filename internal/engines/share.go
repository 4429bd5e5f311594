package engines

import (
	"context"
	"errors"
	"os"
	"sync"
)

// Shared are the servers that all tests of a run use.
type Shared struct {
	Variables []string // NAME=value, for the environment of the tests

	mu    sync.Mutex
	stops []func() error
}

// Share makes a server available for each engine that it can, and says what becomes of each: one that the environment
// names is used as it is; else docker compose starts it where a docker engine runs; else it is started from this machine's
// programs, after installing them on Debian as root. Engines that cannot be had are left out. Stop them even after an error.
func Share(ctx context.Context, say Say) (*Shared, error) {
	s := &Shared{}
	wanted := s.unnamed(say)
	if len(wanted) > 0 && dockerRuns(ctx) {
		wanted = s.compose(ctx, say, wanted)
	}
	if len(wanted) > 0 {
		if err := Install(ctx, say, wanted); err != nil {
			say("%v", err) // what is missing for that reason is told below
		}
		s.startAll(ctx, say, wanted)
	}
	return s, ctx.Err()
}

// unnamed are the engines that the environment does not name.
func (s *Shared) unnamed(say Say) (wanted []Engine) {
	for _, e := range All {
		if os.Getenv(e.Variable()) == "" {
			wanted = append(wanted, e)
		} else {
			say("%s: the server of %s", e, e.Variable())
		}
	}
	return wanted
}

func (s *Shared) startAll(ctx context.Context, say Say, wanted []Engine) {
	var starting sync.WaitGroup
	for _, e := range wanted {
		starting.Go(func() {
			if err := s.startOne(ctx, say, e); err != nil {
				say("%s: not there: %v", e, err)
			}
		})
	}
	starting.Wait()
}

func (s *Shared) startOne(ctx context.Context, say Say, e Engine) error {
	p, err := find(e)
	if err != nil {
		return err
	}
	done := saying(say, "%s: starting %s", e, p.server)
	defer done()
	server, err := start(ctx, e, p, Options{Fast: true})
	if err != nil {
		return err
	}
	s.add(e, server.URL, server.close)
	return nil
}

func (s *Shared) add(e Engine, url string, stop func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Variables = append(s.Variables, e.Variable()+"="+url)
	s.stops = append(s.stops, stop)
}

// Stop ends the servers and removes their data.
func (s *Shared) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(s.stops))
	var stopping sync.WaitGroup
	for i, stop := range s.stops {
		stopping.Go(func() { errs[i] = stop() })
	}
	stopping.Wait()
	s.stops = nil
	return errors.Join(errs...)
}
