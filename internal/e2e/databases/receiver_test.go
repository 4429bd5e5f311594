package databases

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// hookEndpoint is one of the receiver's.
type hookEndpoint struct {
	path, format string
	batch        int

	took  map[string]taken // by event id
	tries map[string]int   // by message id
	again int              // events that came although they had been taken
}

// taken is how an event was taken first.
type taken struct {
	at   int    // the how many-th of the endpoint it was
	name string // its type, as the endpoint's format calls it
}

// receiver takes webhooks, and sometimes fails.
type receiver struct {
	*httptest.Server
	endpoints []*hookEndpoint

	mu     sync.Mutex
	failed int // calls
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{endpoints: []*hookEndpoint{{path: "/batches", format: "STANDARD", batch: 10}, {path: "/polis", format: "POLIS"}}}
	mux := http.NewServeMux()
	for _, e := range r.endpoints {
		e.took, e.tries = map[string]taken{}, map[string]int{}
		mux.HandleFunc("POST "+e.path, func(w http.ResponseWriter, q *http.Request) { r.receive(w, q, e) })
	}
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

// failures are the ways in which one call in forty fails, the first time that its events come.
var failures = []func(w http.ResponseWriter, take func()){
	func(w http.ResponseWriter, _ func()) { w.WriteHeader(http.StatusInternalServerError) },
	func(w http.ResponseWriter, _ func()) { w.WriteHeader(http.StatusServiceUnavailable) },
	func(http.ResponseWriter, func()) { panic(http.ErrAbortHandler) },
	func(_ http.ResponseWriter, take func()) { take(); panic(http.ErrAbortHandler) }, // and the sender does not learn of it
}

func (r *receiver) receive(w http.ResponseWriter, q *http.Request, e *hookEndpoint) {
	body, err := io.ReadAll(q.Body)
	if err != nil { // the sender was killed
		return
	}
	message := q.Header.Get("webhook-id")
	events := []happening{{ID: message}}
	if e.batch > 0 {
		err = json.Unmarshal(body, &events)
	} else {
		var polis struct{ Event string }
		err = json.Unmarshal(body, &polis)
		events[0].Type = polis.Event
	}
	if err != nil || len(events) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	take := func() { r.take(e, events) }
	if r.fails(e, message) {
		failures[rand.N(len(failures))](w, take)
		return
	}
	take()
}

// fails decides whether a call fails.
func (r *receiver) fails(e *hookEndpoint, message string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.tries[message]++
	if e.tries[message] > 1 || rand.N(40) > 0 {
		return false
	}
	r.failed++
	return true
}

func (r *receiver) take(e *hookEndpoint, events []happening) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range events {
		if _, known := e.took[h.ID]; known {
			e.again++
			continue
		}
		e.took[h.ID] = taken{len(e.took) + 1, h.Type}
	}
}

// summary tells what the receiver was called for.
func (r *receiver) summary() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	took, again := 0, 0
	for _, e := range r.endpoints {
		took, again = took+len(e.took), again+e.again
	}
	return fmt.Sprintf("Webhooks: %d events were taken, %d of them again; %d calls failed.", took, again, r.failed)
}
