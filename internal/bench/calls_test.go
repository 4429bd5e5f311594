package bench

import (
	"testing"
	"time"

	"github.com/portico-sso/portico/core/cache"
)

// TestLoginStoreCalls holds what a sign-in asks of the store: 10 calls at most, of which 3 are commits, where
// configuration is cached. It is believed for cache.TTL, so a person who comes alone, and takes longer than that at the
// identity provider, costs more than one in a crowd.
func TestLoginStoreCalls(t *testing.T) {
	for name, c := range map[string]struct {
		client              func(*program) client
		first, alone, crowd int64
	}{
		"application": {func(p *program) client { return p.application(true) }, 14, 15, 10},
		"polis":       {func(p *program) client { return p.polis(true) }, 11, 12, 10},
	} {
		p := startProgram(t, "NEVER")
		p.stopClock()
		client := c.client(p)
		expect := func(what string, pause time.Duration, want int64) {
			t.Helper()
			if calls, commits := p.cost(t, client, pause); calls != want || commits != 3 {
				t.Errorf("%s, %s: %d store calls, %d of them commits; want %d and 3", name, what, calls, commits, want)
			}
		}
		expect("first login", cache.TTL, c.first)
		expect("alone", cache.TTL, c.alone)
		p.signIn(t, client, person(0)) // fills the caches
		expect("in a crowd", 0, c.crowd)
	}
}

// cost counts the store calls of a login that waits before it begins and before its answer.
func (p *program) cost(t *testing.T, c client, pause time.Duration) (calls, commits int64) {
	t.Helper()
	reads, commits := p.reads.Load(), p.commits.Load()
	l := &login{program: p, client: c, person: person(0)}
	p.skip(pause)
	l.begin(t)
	l.answer(t)
	p.skip(pause)
	l.finish(t)
	commits = p.commits.Load() - commits
	return p.reads.Load() - reads + commits, commits
}

func TestConcurrentLoginsNeverFail(t *testing.T) {
	signInTogether(t, startProgram(t, "NEVER"), 48)
}
