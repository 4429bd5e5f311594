package argon2

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/password"
)

func TestHash(t *testing.T) {
	h := New()
	a, err := h.Hash(t.Context(), "correct horse")
	b, err2 := h.Hash(t.Context(), "correct horse")
	if err != nil || err2 != nil || a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%s, %v and %s, %v", a, err, b, err2)
	}
	for text, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false} {
		if right, err := h.Verify(t.Context(), a, text); right != want || err != nil {
			t.Errorf("%q: %t, %v, want %t", text, right, err, want)
		}
	}
	if right, err := h.Verify(t.Context(), password.Nobody, ""); right || err != nil {
		t.Errorf("nobody's password is right: %t, %v", right, err)
	}
}

// The hash is what the command of the reference implementation (Debian's package argon2) makes of
//
//	echo -n password | argon2 somesalt -id -t 2 -m 16 -p 4 -l 32 -e
const reference = "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo"

func TestOtherHashes(t *testing.T) {
	h := New()
	if right, err := h.Verify(t.Context(), reference, "password"); !right || err != nil {
		t.Errorf("the reference's hash: %t, %v", right, err)
	}
	for _, bad := range []string{
		"x", "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo",
		"$argon2id$v=16$m=64,t=2,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo",
		"$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo",
		"$argon2id$v=19$m=64,t=2,p=1$$",
	} {
		if right, err := h.Verify(t.Context(), bad, "password"); right || err == nil {
			t.Errorf("%q: %t, %v", bad, right, err)
		}
	}
}

func TestBounded(t *testing.T) {
	h := newFor(1)
	var all sync.WaitGroup
	release, inside := make(chan struct{}), make(chan struct{})
	all.Go(func() { _ = h.do(t.Context(), func() { close(inside); <-release }) })
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	for range waiting {
		all.Go(func() {
			if err := h.do(ctx, func() { t.Error("two at work") }); !errors.Is(err, context.Canceled) {
				t.Errorf("one who waited: %v", err)
			}
		})
	}
	for len(h.places) < cap(h.places) {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.Hash(t.Context(), "x"); !errors.Is(err, password.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	close(release)
	all.Wait()
	if _, err := h.Hash(t.Context(), "x"); err != nil {
		t.Errorf("behind them: %v", err)
	}
}
