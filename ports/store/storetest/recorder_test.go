package storetest_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

// recorder is a storetest.T that notes failures instead of failing.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// record runs a case as testing does, in a goroutine that it may leave, and answers its failures.
func record(ctx context.Context, c storetest.Case, open storetest.Open) []string {
	r := &recorder{ctx: ctx}
	var done sync.WaitGroup
	done.Go(func() { c.Run(r, open) })
	done.Wait()
	for _, f := range r.cleanups {
		f()
	}
	return r.failures
}

// opener opens a memory backend, or what make makes of it.
func opener(plant func(store.Backend, store.Schema) store.Backend) storetest.Open {
	var b *memory.Backend
	return func(_ context.Context, s store.Schema) (store.Backend, error) {
		if b == nil {
			b = memory.New(s)
		} else {
			b = b.Reopen(s)
		}
		return plant(b, s), nil
	}
}

// TestNoFault shows that the recorder does not itself make cases fail.
func TestNoFault(t *testing.T) {
	for _, c := range storetest.Cases() {
		if failures := record(t.Context(), c, opener(func(b store.Backend, _ store.Schema) store.Backend { return b })); len(failures) > 0 {
			t.Errorf("%s fails on a backend without a fault: %q", c.Name, failures)
		}
	}
}

// TestPlantedFaults plants each fault in the memory backend and demands that the case named with it fails.
func TestPlantedFaults(t *testing.T) {
	cases := map[string]storetest.Case{}
	for _, c := range storetest.Cases() {
		cases[c.Name] = c
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			c, ok := cases[f.caught]
			if !ok {
				t.Fatalf("there is no case %q", f.caught)
			}
			failures := record(t.Context(), c, opener(f.plant))
			if len(failures) == 0 {
				t.Fatalf("case %s does not notice", f.caught)
			}
			t.Logf("%s: %.200s", f.caught, failures[0])
		})
	}
}
