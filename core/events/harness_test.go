package events

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/internal/engines/enginetest"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

const project = "0190b7a4-0000-7000-8000-000000000001"

// bench is one database and one receiver, with a clock that tests move.
type bench struct {
	*testing.T
	store   *store.Store
	backend store.Backend
	clock   atomic.Int64
	fail    atomic.Pointer[func() (before, after error)] // of a commit
	*receiver
}

// receiver is what endpoints are: it keeps what it took.
type receiver struct {
	mu     sync.Mutex
	answer func(r outbound.Request) (int, error) // nil takes everything
	calls  []outbound.Request
	taken  []outbound.Request
}

func (r *receiver) Send(_ context.Context, q outbound.Request) (outbound.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, q)
	code := 200
	if r.answer != nil {
		var err error
		if code, err = r.answer(q); err != nil {
			return outbound.Answer{}, err
		}
	}
	if code/100 == 2 {
		r.taken = append(r.taken, q)
	}
	return outbound.Answer{Status: code}, nil
}

type faulty struct {
	store.Backend
	bench *bench
}

func (f faulty) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	if fail := f.bench.fail.Load(); fail != nil {
		before, after := (*fail)()
		if before != nil {
			return before
		}
		return errors.Join(f.Backend.Commit(ctx, now, ops), after)
	}
	return f.Backend.Commit(ctx, now, ops)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, receiver: &receiver{}}
	b.clock.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	schema := append(Collections(), lease.Collections()...)
	keys, err := seal.NewKeyring([]seal.Key{{ID: "k1"}})
	if err != nil {
		t.Fatal(err)
	}
	b.backend = enginetest.Open(t, schema)
	if b.store, err = store.New(faulty{b.backend, b}, schema, store.Options{Now: b.now, Sealer: keys}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) now() time.Time       { return time.UnixMilli(b.clock.Load()) }
func (b *bench) move(d time.Duration) { b.clock.Add(d.Milliseconds()) }
func (b *bench) ids() id.Source       { return id.Source{Now: b.now, Rand: rand.Reader} }

// service is one instance.
func (b *bench) service(change ...func(*Options)) *Service {
	logger := slog.New(slog.DiscardHandler)
	o := Options{Records: b.store, IDs: b.ids(), Leases: lease.NewService(b.store, b.ids(), logger), Send: b.receiver, Logger: logger,
		Names: func(_ context.Context, projectID, organizationID string) (string, string, error) {
			return "product of " + projectID, "tenant of " + organizationID, nil
		}}
	for _, c := range change {
		c(&o)
	}
	return NewService(o)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// user is an event of a person.
func user(name string, seq int64) Event {
	kind, polis := IdentityUpdated, PolisUserUpdated
	if seq == 1 {
		kind, polis = IdentityCreated, PolisUserCreated
	}
	return Event{Type: kind, Polis: polis, OrganizationID: "org", DirectoryID: "dir", ResourceType: "identity", ResourceID: name, Seq: seq,
		Data: json.RawMessage(fmt.Sprintf(`{"id":%q,"seq":%d}`, name, seq))}
}

func (b *bench) write(s *Service, list ...Event) {
	b.Helper()
	b.must(s.Records.Commit(b.Context(), s.Outbox(project, list...)))
}

func (b *bench) endpoint(s *Service, in Input) Endpoint {
	b.Helper()
	if in.URL == nil {
		in.URL = ptr("https://receiver.example/hook")
	}
	e, err := s.CreateEndpoint(b.Context(), Scope{ProjectID: project}, in)
	b.must(err)
	return e
}

func ptr[T any](v T) *T { return &v }

// feed reads the whole log and holds that it has no gap.
func (b *bench) feed(s *Service) (all []Event) {
	b.Helper()
	for after := int64(0); ; {
		f, err := s.Read(b.Context(), Query{Scope: Scope{ProjectID: project}, After: after, Limit: 7})
		b.must(err)
		for _, e := range f.Events {
			if want := int64(len(all) + 1); e.Position != want {
				b.Fatalf("position %d where %d should be", e.Position, want)
			}
			all = append(all, e)
		}
		if !f.More {
			return all
		}
		after = f.Next
	}
}

// ordered holds that each resource's events come one behind the other, from 1 to want.
func (b *bench) ordered(list []Event, want map[string]int64) {
	b.Helper()
	last := map[string]int64{}
	for _, e := range list {
		if e.Seq != last[e.ResourceID]+1 {
			b.Fatalf("event %d of %s behind %d", e.Seq, e.ResourceID, last[e.ResourceID])
		}
		last[e.ResourceID] = e.Seq
	}
	for name, n := range want {
		if last[name] != n {
			b.Errorf("%s has %d events, want %d", name, last[name], n)
		}
	}
}

// got are the events of the payloads that the receiver took, in their order, from the standard format.
func (b *bench) got() (list []Event) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.taken {
		list = append(list, eventsIn(b.T, q)...)
	}
	return list
}

func eventsIn(t *testing.T, q outbound.Request) (list []Event) {
	t.Helper()
	var many []Envelope
	if q.Body[0] != '[' {
		many = make([]Envelope, 1)
		if err := json.Unmarshal(q.Body, &many[0]); err != nil {
			t.Fatal(err)
		}
	} else if err := json.Unmarshal(q.Body, &many); err != nil {
		t.Fatal(err)
	}
	for _, v := range many {
		list = append(list, Event{ID: v.ID, ResourceID: v.ResourceID, Seq: v.Seq, Position: v.Position, Type: v.Type})
	}
	return list
}

func (b *bench) count(collection string) int64 {
	b.Helper()
	n, err := b.store.Count(b.Context(), collection, store.Range{})
	b.must(err)
	return n
}
