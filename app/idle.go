package app

import (
	"net/http"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	idleAfter  = 500 * time.Millisecond // since the last answer
	idleLitter = 4 << 20                // bytes allocated meanwhile below which it is not worth it
)

// tidyWhenIdle has the process give back what a busy time has left as soon as nothing is asked of it any more: by itself Go
// collects an idle process's garbage after two minutes.
func tidyWhenIdle(h http.Handler, allocated func() uint64, tidy func()) http.Handler {
	var busy atomic.Int64
	var before atomic.Uint64
	timer := time.AfterFunc(idleAfter, func() {
		if n := allocated(); busy.Load() == 0 && n-before.Load() >= idleLitter {
			tidy()
			before.Store(n)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		busy.Add(1)
		defer func() { busy.Add(-1); timer.Reset(idleAfter) }()
		h.ServeHTTP(w, r)
	})
}

// allocatedBytes are those ever allocated on the heap.
func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
