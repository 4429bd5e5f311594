package keypair_test

import (
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// instances are two programs on one store.
func instances(t *testing.T) (*clock, [2]*keypair.Signing) {
	t.Helper()
	c := &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	ring, err := seal.NewKeyring([]seal.Key{{ID: "k"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(memory.New(keypair.Collections()), keypair.Collections(), store.Options{Now: c.Now, Sealer: ring})
	if err != nil {
		t.Fatal(err)
	}
	ids := id.Source{Now: c.Now, Rand: rand.Reader}
	both := [2]*keypair.Signing{keypair.NewSigning(s, ids), keypair.NewSigning(s, ids)}
	var all sync.WaitGroup
	for _, one := range both { // at once
		all.Go(func() {
			if err := one.Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return c, both
}

func active(t *testing.T, s *keypair.Signing, alg keypair.Alg) string {
	t.Helper()
	k, err := s.Active(t.Context(), alg)
	if err != nil {
		t.Fatal(err)
	}
	return k.KeyID
}

func published(t *testing.T, s *keypair.Signing, alg keypair.Alg) []string {
	t.Helper()
	keys, err := s.Published(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range keys {
		if k.Alg == string(alg) {
			ids = append(ids, k.KeyID)
		}
	}
	return ids
}

func TestRotation(t *testing.T) {
	c, both := instances(t)
	for _, alg := range keypair.Algs {
		if active(t, both[0], alg) != active(t, both[1], alg) {
			t.Errorf("%s: two instances have two keys", alg)
		}
	}
	first := active(t, both[0], keypair.ES256)
	if _, err := both[0].Rotate(t.Context(), c.Now().Add(keypair.PublishAhead)); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute + time.Second) // until the other has seen it
	for _, s := range both {
		if keys := published(t, s, keypair.ES256); len(keys) != 2 || keys[0] != first || active(t, s, keypair.ES256) != first {
			t.Errorf("the next key is not published, or signs already: %v", keys)
		}
	}
	c.advance(keypair.PublishAhead)
	second := active(t, both[1], keypair.ES256)
	if keys := published(t, both[1], keypair.ES256); second == first || !slices.Equal(keys, []string{first, second}) {
		t.Errorf("the last key is not kept: %v", keys)
	}
	c.advance(2*time.Hour + time.Minute)
	if keys := published(t, both[1], keypair.ES256); !slices.Equal(keys, []string{second}) {
		t.Errorf("the last key is kept for ever: %v", keys)
	}
	if _, err := both[0].Rotate(t.Context(), c.Now()); err != nil {
		t.Fatal(err)
	}
	if now := active(t, both[0], keypair.ES256); now == second || len(published(t, both[0], keypair.ES256)) != 2 {
		t.Error("a rotation at once does not happen")
	}
}

func TestSchedule(t *testing.T) {
	c, both := instances(t)
	first := active(t, both[0], keypair.RS256)
	round := func() {
		t.Helper()
		var all sync.WaitGroup
		for _, s := range both {
			all.Go(func() {
				if err := s.RotateDue(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		c.advance(2 * time.Minute)
	}
	round()
	if keys := published(t, both[0], keypair.RS256); len(keys) != 1 {
		t.Fatalf("rotated on the first day: %v", keys)
	}
	c.advance(keypair.RotateEvery - keypair.PublishAhead)
	round()
	round()
	if keys := published(t, both[1], keypair.RS256); len(keys) != 2 || active(t, both[1], keypair.RS256) != first {
		t.Fatalf("%v", keys)
	}
	c.advance(keypair.PublishAhead)
	if active(t, both[0], keypair.RS256) == first {
		t.Error("the new key does not sign when its time has come")
	}
}
