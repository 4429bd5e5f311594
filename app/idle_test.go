package app

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTidyWhenIdle holds that the process tidies up once after work that left much, and neither while anything is under
// way nor after a mere look at it, as of a health check.
func TestTidyWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var allocated, tidied atomic.Uint64
		h := tidyWhenIdle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/work":
				allocated.Add(idleLitter)
			case "/slow":
				allocated.Add(idleLitter)
				time.Sleep(time.Minute)
			case "/panic":
				allocated.Add(idleLitter)
				panic(http.ErrAbortHandler)
			}
		}), allocated.Load, func() { tidied.Add(1) })
		ask := func(path string) {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		}
		tidy := func(what string, want uint64) {
			t.Helper()
			time.Sleep(2 * idleAfter)
			synctest.Wait()
			if n := tidied.Load(); n != want {
				t.Errorf("%s: tidied %d times, want %d", what, n, want)
			}
		}
		tidy("after the start", 0)
		ask("/work")
		ask("/work")
		tidy("after work", 1)
		ask("/health")
		tidy("after a look", 1)
		go ask("/slow")
		ask("/work")
		tidy("while a request is under way", 1)
		time.Sleep(time.Minute)
		tidy("after it", 2)
		ask("/panic")
		tidy("after a panic", 3)
	})
}

func TestAllocatedBytes(t *testing.T) {
	before := allocatedBytes()
	litter := make([]byte, 1<<20)
	if after := allocatedBytes(); after < before+uint64(len(litter)) {
		t.Errorf("%d bytes before a MiB is allocated, %d after it", before, after)
	}
}
