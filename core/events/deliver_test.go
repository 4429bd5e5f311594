package events

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
)

// tell relays and delivers.
func (b *bench) tell(s *Service) {
	b.Helper()
	b.must(s.Relay(b.Context()))
	b.must(s.Deliver(b.Context()))
}

func (b *bench) statuses(s *Service, endpointID string) (found map[Status]int) {
	b.Helper()
	list, err := s.deliveries.Range(b.Context(), store.Range{Index: byEndpoint, Eq: []string{endpointID}})
	b.must(err)
	found = map[Status]int{}
	for _, d := range list {
		found[d.Status]++
	}
	return found
}

func TestDeliver(t *testing.T) {
	b := newBench(t)
	s := b.service()
	e := b.endpoint(s, Input{})
	for i := range int64(20) {
		b.write(s, user("ann", i+1), user("bob", i+1))
	}
	b.tell(s)
	list := b.got()
	b.ordered(list, map[string]int64{"ann": 20, "bob": 20})
	if got := b.statuses(s, e.ID); got[Delivered] != 40 || len(got) != 1 {
		t.Errorf("%v", got)
	}
	page, err := s.Deliveries(t.Context(), e.ID, 1, "")
	if d := page.Items[0]; err != nil || d.Position != 40 || d.Code != 200 || d.Attempts != 1 || d.TriedAt.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
	b.move(DefaultKeepDeliveries)
	if n, err := s.CountDeliveries(t.Context(), e.ID); n != 0 || err != nil {
		t.Errorf("%d are kept for ever, %v", n, err)
	}
}

// What fails holds back its own resource and nobody else, until it is taken.
func TestFailureHoldsBackItsResource(t *testing.T) {
	for name, batch := range map[string]int{"one by one": 0, "in batches": 10} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.service()
			b.endpoint(s, Input{BatchSize: &batch})
			sick := true
			b.answer = func(q outbound.Request) (int, error) {
				if sick && strings.Contains(string(q.Body), `"ann"`) {
					return 422, nil
				}
				return 204, nil
			}
			for i := range int64(5) {
				b.write(s, user("ann", i+1), user("bob", i+1), user(fmt.Sprint("other ", i), 1))
			}
			b.tell(s)
			b.move(time.Minute) // what had been in a batch with it
			b.must(s.Deliver(t.Context()))
			b.ordered(b.got(), map[string]int64{"ann": 0, "bob": 5, "other 4": 1})
			sick = false
			b.write(s, user("ann", 6))
			b.tell(s)
			b.move(time.Hour)
			b.must(s.Deliver(t.Context()))
			b.ordered(b.got(), map[string]int64{"ann": 6, "bob": 5})
		})
	}
}

// What is told of a membership is sent between what makes the group and what removes it, though it is an event of the person, and
// a directory's receiver of Polis's events has many persons under way at a time.
func TestMembershipsAreToldWithinTheirGroup(t *testing.T) {
	b := newBench(t)
	s := b.service()
	b.endpoint(s, Input{Format: ptr(Polis)})
	group := func(seq int64, eventType, polis string) Event {
		return Event{Type: eventType, Polis: polis, ResourceType: "group", ResourceID: "devs", Seq: seq, Data: json.RawMessage(`{"id":"devs"}`)}
	}
	member := func(n int, seq int64, polis string) Event {
		e := user(fmt.Sprint("u", n), seq)
		e.Polis, e.GroupID = polis, "devs"
		return e
	}
	var people, join, leave []Event
	for n := range 20 {
		people = append(people, user(fmt.Sprint("u", n), 1))
		join = append(join, member(n, 2, PolisGroupUserAdded))
		leave = append(leave, member(n, 3, PolisGroupUserRemoved))
	}
	b.write(s, people...)
	b.move(time.Second) // ids of one millisecond have no order
	b.write(s, append([]Event{group(1, GroupCreated, PolisGroupCreated)}, join...)...)
	b.move(time.Second)
	b.write(s, append(leave, group(2, GroupDeleted, PolisGroupDeleted))...)
	b.tell(s)
	at := map[string][]int{}
	for i, q := range b.taken {
		var body polisBody
		b.must(json.Unmarshal(q.Body, &body))
		at[body.Event] = append(at[body.Event], i)
	}
	joined, left := at[PolisGroupUserAdded], at[PolisGroupUserRemoved]
	if len(joined) != 20 || len(left) != 20 || at[PolisGroupCreated][0] > joined[0] || at[PolisGroupDeleted][0] < left[19] {
		t.Errorf("%v", at)
	}
}

// Polis knows no event of a resource that is as it was: standard endpoints alone are told.
func TestEchoesAreNotPolis(t *testing.T) {
	b := newBench(t)
	s := b.service()
	polis, standard := b.endpoint(s, Input{Format: ptr(Polis)}), b.endpoint(s, Input{})
	echo := user("ann", 2)
	echo.Echo = true
	b.write(s, user("ann", 1), echo, user("ann", 3))
	b.tell(s)
	for e, want := range map[string]int{polis.ID: 2, standard.ID: 3} {
		if got := b.statuses(s, e); got[Delivered] != want {
			t.Errorf("%v, want %d", got, want)
		}
	}
}

func TestBatches(t *testing.T) {
	b := newBench(t)
	s := b.service()
	b.endpoint(s, Input{BatchSize: ptr(25)})
	for i := range int64(30) {
		b.write(s, user("ann", i+1), user("bob", i+1))
	}
	b.tell(s)
	b.ordered(b.got(), map[string]int64{"ann": 30, "bob": 30})
	if len(b.calls) != 3 {
		t.Errorf("%d calls for 60 events in batches of 25", len(b.calls))
	}
}

// Each pause is as documented, a fifth more or less; then the delivery is a dead letter, and what waited behind it goes.
func TestBackOffAndDeadLetter(t *testing.T) {
	b := newBench(t)
	said := &logs{}
	s := b.service(func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(said, nil)) })
	e := b.endpoint(s, Input{})
	sick := true
	b.answer = func(outbound.Request) (int, error) {
		if sick {
			return 500, nil
		}
		return 200, nil
	}
	b.write(s, user("ann", 1))
	b.tell(s)
	b.write(s, user("ann", 2))
	b.tell(s)
	for i, pause := range Again {
		if len(b.calls) != i+1 {
			t.Fatalf("%d calls before pause %d", len(b.calls), i)
		}
		b.move(pause*4/5 - time.Millisecond)
		b.must(s.Deliver(t.Context()))
		if len(b.calls) != i+1 {
			t.Fatalf("too early behind pause %d", i)
		}
		if i == len(Again)-1 {
			sick = false
			b.answer = func(q outbound.Request) (int, error) {
				if strings.Contains(string(q.Body), `"seq":1`) {
					return 500, nil
				}
				return 200, nil
			}
		}
		b.move(pause*2/5 + 2*time.Millisecond)
		b.must(s.Deliver(t.Context()))
	}
	if got := b.statuses(s, e.ID); got[Dead] != 1 || got[Delivered] != 1 {
		t.Fatalf("%v", got)
	}
	if !strings.Contains(said.text.String(), "event given up") {
		t.Error("nobody is told of a dead letter")
	}
	dead, err := s.DeadLetters(t.Context(), e.ID, 10, "")
	b.must(err)
	if len(dead.Items) != 1 || dead.Items[0].Attempts != len(Again)+1 || dead.Items[0].Code != 500 {
		t.Fatalf("%+v", dead.Items)
	}
	b.answer = nil
	if _, err := s.Replay(t.Context(), dead.Items[0].ID); err != nil {
		t.Fatal(err)
	}
	b.must(s.Deliver(t.Context()))
	if got := b.statuses(s, e.ID); got[Delivered] != 2 {
		t.Errorf("replayed: %v", got)
	}
	b.move(DefaultKeepEvents)
	if _, err := s.Replay(t.Context(), dead.Items[0].ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("one that is long over: %v", err)
	}
}

// Instances on one database deliver each event once where every answer is good, whoever of them relays.
func TestInstancesDeliverOnce(t *testing.T) {
	b := newBench(t)
	first := b.service()
	ends := []Endpoint{b.endpoint(first, Input{}), b.endpoint(first, Input{BatchSize: ptr(7)})}
	const people, each = 10, 20
	var all sync.WaitGroup
	for i := range 3 {
		s := b.service()
		all.Go(func() {
			for n := range int64(each) {
				for p := range people {
					if p%3 == i {
						b.write(s, user(fmt.Sprint("person ", p), n+1))
					}
				}
				_ = s.Relay(t.Context())
				_ = s.Dispatch(t.Context())
			}
			_ = s.Close(t.Context())
		})
	}
	all.Wait()
	b.tell(first)
	got := map[string]int{}
	for _, e := range b.got() {
		got[e.ID]++
	}
	if len(got) != people*each {
		t.Errorf("%d events, want %d", len(got), people*each)
	}
	for id, n := range got {
		if n != len(ends) {
			t.Errorf("%s was delivered %d times to %d endpoints", id, n, len(ends))
		}
	}
}

// Receiver and database fail at random: nothing is lost, and each resource's first deliveries are in order.
func TestDeliveryUnderFailures(t *testing.T) {
	for name, batch := range map[string]int{"one by one": 0, "in batches": 6} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			writer := b.service()
			b.endpoint(writer, Input{BatchSize: &batch})
			b.answer = func(outbound.Request) (int, error) {
				switch rand.N(8) {
				case 0:
					return 500, nil
				case 1:
					return 503, nil
				case 2:
					return 0, outbound.ErrUnreachable
				}
				return 200, nil
			}
			const people, each = 6, 12
			for n := range int64(each) {
				for p := range people {
					b.write(writer, user(fmt.Sprint("person ", p), n+1))
				}
			}
			fail := func() (before, after error) {
				switch rand.N(15) {
				case 0:
					return store.ErrUnavailable, nil
				case 1:
					return nil, store.ErrUncertain
				}
				return nil, nil
			}
			b.fail.Store(&fail)
			services := []*Service{b.service(), b.service()}
			for range 300 {
				for _, s := range services {
					_ = s.Relay(t.Context())
					_ = s.Deliver(t.Context())
				}
				b.move(time.Minute)
			}
			seen := map[string]int64{}
			for _, e := range b.got() {
				if e.Seq > seen[e.ResourceID]+1 {
					t.Fatalf("event %d of %s behind %d", e.Seq, e.ResourceID, seen[e.ResourceID])
				}
				seen[e.ResourceID] = max(seen[e.ResourceID], e.Seq) // again is allowed, early is not
			}
			for p := range people {
				if name := fmt.Sprint("person ", p); seen[name] != each {
					t.Errorf("%s: %d of %d", name, seen[name], each)
				}
			}
		})
	}
}

// An instance dies behind a call and before it has written that down: the event is sent again by another.
func TestKilledWhileDelivering(t *testing.T) {
	b := newBench(t)
	dead, alive := b.service(), b.service()
	b.endpoint(dead, Input{})
	b.write(dead, user("ann", 1), user("ann", 2))
	b.must(dead.Relay(t.Context()))
	ctx, die := context.WithCancel(t.Context())
	b.answer = func(outbound.Request) (int, error) { die(); return 200, nil }
	_ = dead.Deliver(ctx)
	b.answer = nil
	b.must(alive.Deliver(t.Context()))
	if len(b.calls) != 1 {
		t.Fatalf("another instance delivers while the lease runs: %d calls", len(b.calls))
	}
	b.move(senderLease)
	b.must(alive.Deliver(t.Context()))
	list := b.got()
	if len(list) != 3 || list[0].ID != list[1].ID || list[2].Seq != 2 {
		t.Errorf("%+v", list)
	}
}

// An endpoint that nobody answers at has a rest, is asked by one delivery, and gets the rest when that one is taken.
func TestRest(t *testing.T) {
	b := newBench(t)
	s := b.service()
	e := b.endpoint(s, Input{})
	down := true
	b.answer = func(outbound.Request) (int, error) {
		if down {
			return 0, outbound.ErrUnreachable
		}
		return 200, nil
	}
	for i := range 200 {
		b.write(s, user(fmt.Sprint("person ", i), 1))
	}
	b.tell(s)
	if n := len(b.calls); n < pauseAfter || n > pauseAfter+parallel {
		t.Fatalf("%d calls to an endpoint that is down", n)
	}
	before := len(b.calls)
	b.move(pauseFirst * 2)
	b.must(s.Deliver(t.Context()))
	if n := len(b.calls) - before; n > 2 {
		t.Errorf("%d calls behind a rest", n)
	}
	if since, err := s.FailingSince(t.Context(), e.ID); err != nil || since.IsZero() {
		t.Errorf("failing since %v, %v", since, err)
	}
	down = false
	b.move(pauseMost * 2)
	b.must(s.Deliver(t.Context()))
	if n := len(b.got()); n != 200 {
		t.Errorf("%d events", n)
	}
	if since, err := s.FailingSince(t.Context(), e.ID); err != nil || !since.IsZero() {
		t.Errorf("failing since %v, %v", since, err)
	}
}

func TestGoneAndFailingForDays(t *testing.T) {
	for reason, code := range map[Reason]int{Gone: 410, Failing: 503} {
		t.Run(string(reason), func(t *testing.T) {
			b := newBench(t)
			s := b.service()
			e := b.endpoint(s, Input{})
			b.answer = func(outbound.Request) (int, error) { return code, nil }
			b.write(s, user("ann", 1))
			b.tell(s)
			for range int(GiveUpAfter / (4 * time.Hour)) {
				b.move(4 * time.Hour)
				b.write(s, user("bob "+b.now().String(), 1))
				b.tell(s)
			}
			b.move(4 * time.Hour)
			b.tell(s)
			e, err := s.Endpoint(t.Context(), e.ID)
			b.must(err)
			if e.Active || e.Reason != reason {
				t.Fatalf("active %t, %q", e.Active, e.Reason)
			}
			calls := len(b.calls)
			b.write(s, user("carl", 1)) // not for an endpoint that is not active
			b.move(24 * time.Hour)
			b.tell(s)
			if len(b.calls) != calls {
				t.Error("an inactive endpoint is called")
			}
			waiting := b.statuses(s, e.ID)[Pending]
			if waiting == 0 {
				t.Fatal("nothing waits")
			}
			b.answer, b.taken = nil, nil
			_, err = s.UpdateEndpoint(t.Context(), e.ID, Input{Active: ptr(true)})
			b.must(err)
			b.must(s.Deliver(t.Context()))
			if n := len(b.got()); n != waiting {
				t.Errorf("%d events when it is activated, %d waited", n, waiting)
			}
		})
	}
}

func TestReplayRange(t *testing.T) {
	b := newBench(t)
	s := b.service()
	for i := range int64(250) { // before the endpoint was there
		b.write(s, user("ann", i+1))
	}
	b.tell(s)
	e := b.endpoint(s, Input{})
	b.write(s, user("ann", 251))
	b.tell(s)
	b.taken = nil
	b.must(s.ReplayRange(t.Context(), e.ID, "", 11, 251, false))
	b.must(s.Leases.Run(t.Context()))
	b.must(s.Deliver(t.Context()))
	list := b.got()
	if len(list) != 241 {
		t.Fatalf("%d events", len(list))
	}
	for i, v := range list {
		if v.Position != int64(11+i) {
			t.Fatalf("position %d at %d", v.Position, i)
		}
	}
	b.taken = nil
	b.must(s.ReplayRange(t.Context(), e.ID, "", 1, 251, true))
	b.must(s.Leases.Run(t.Context()))
	b.must(s.Deliver(t.Context()))
	if len(b.taken) != 0 {
		t.Errorf("%d calls, and there are no dead letters", len(b.taken))
	}
	if err := s.ReplayRange(t.Context(), e.ID, "", 5, 4, false); !fault.Is(err, fault.Invalid) {
		t.Errorf("a range that ends before it begins: %v", err)
	}
	if err := s.ReplayRange(t.Context(), "none", "", 1, 4, false); !fault.Is(err, fault.NotFound) {
		t.Errorf("no endpoint: %v", err)
	}
}

func TestScopesOfEndpoints(t *testing.T) {
	b := newBench(t)
	s := b.service(func(o *Options) { o.URL, o.Secret = "https://all.example/", "s" })
	for name, c := range map[string]struct {
		scope Scope
		in    Input
	}{
		"project":            {Scope{ProjectID: project}, Input{}},
		"organization":       {Scope{ProjectID: project, OrganizationID: "org"}, Input{}},
		"directory":          {Scope{ProjectID: project, OrganizationID: "org", DirectoryID: "dir"}, Input{Format: ptr(Polis)}},
		"types":              {Scope{ProjectID: project}, Input{Types: ptr([]string{IdentityUpdated})}},
		"other-project":      {Scope{ProjectID: "another"}, Input{}},
		"other-organization": {Scope{ProjectID: project, OrganizationID: "another"}, Input{}},
		"crossed":            {Scope{ProjectID: "another", OrganizationID: "org"}, Input{}}, // ids of another tenant are worth nothing
		"crossed-directory":  {Scope{ProjectID: "another", DirectoryID: "dir"}, Input{}},
		"mixed":              {Scope{ProjectID: project, OrganizationID: "org 2", DirectoryID: "dir"}, Input{}},
		"inactive":           {Scope{ProjectID: project}, Input{Active: ptr(false)}},
		"polis":              {Scope{ProjectID: project}, Input{Format: ptr(Polis)}},
	} {
		c.in.URL = ptr("https://" + name + ".example/")
		if _, err := s.CreateEndpoint(t.Context(), c.scope, c.in); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := user("eve", 1)
	elsewhere.OrganizationID, elsewhere.DirectoryID = "org 2", "dir 2"
	b.write(s, user("ann", 1), user("ann", 2), elsewhere, Event{Type: "IdentityUpdated", ResourceID: "silent", Seq: 1},
		Event{Type: ConnectionCreated, Polis: PolisSSOCreated, OrganizationID: "org", ResourceID: "c", Seq: 1, Data: []byte(`{}`)})
	b.tell(s)
	got := map[string]int{}
	for _, q := range b.taken {
		got[strings.TrimSuffix(strings.TrimPrefix(q.URL, "https://"), ".example/")]++
	}
	want := map[string]int{"project": 5, "organization": 3, "directory": 2, "types": 2, "polis": 3, "all": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestDeletedEndpoint(t *testing.T) {
	b := newBench(t)
	s := b.service()
	e := b.endpoint(s, Input{})
	b.answer = func(outbound.Request) (int, error) { return 500, nil }
	for i := range int64(5) {
		b.write(s, user("ann", i+1), user("bob", i+1))
	}
	b.tell(s)
	b.must(s.DeleteEndpoint(t.Context(), e.ID))
	b.move(time.Hour)
	b.must(s.Deliver(t.Context()))
	if n := b.count(deliveries); n != 0 {
		t.Errorf("%d deliveries of an endpoint that is gone", n)
	}
	if n := b.count(healths); n != 0 {
		t.Errorf("%d healths of an endpoint that is gone", n)
	}
	if _, err := s.Endpoint(t.Context(), e.ID); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

func TestEndpointInput(t *testing.T) {
	b := newBench(t)
	s := b.service()
	for name, c := range map[string]struct {
		field string
		in    Input
	}{
		"no url":        {"url", Input{}},
		"no scheme":     {"url", Input{URL: ptr("receiver.example")}},
		"file":          {"url", Input{URL: ptr("file:///etc/passwd")}},
		"user":          {"url", Input{URL: ptr("https://a:b@receiver.example/")}},
		"fragment":      {"url", Input{URL: ptr("https://receiver.example/#x")}},
		"long":          {"url", Input{URL: ptr("https://receiver.example/" + strings.Repeat("x", maxURL))}},
		"format":        {"format", Input{URL: ptr("https://r.example"), Format: ptr(Format("xml"))}},
		"type":          {"types", Input{URL: ptr("https://r.example"), Types: ptr([]string{"Nothing"})}},
		"batch":         {"batchSize", Input{URL: ptr("https://r.example"), BatchSize: ptr(-1)}},
		"big batch":     {"batchSize", Input{URL: ptr("https://r.example"), BatchSize: ptr(MaxBatch + 1)}},
		"no secret":     {"secret", Input{URL: ptr("https://r.example"), Secret: ptr("")}},
		"lines":         {"secret", Input{URL: ptr("https://r.example"), Secret: ptr("a\nb")}},
		"not base64":    {"secret", Input{URL: ptr("https://r.example"), Secret: ptr("whsec_?")}},
		"a description": {"description", Input{URL: ptr("https://r.example"), Description: ptr(strings.Repeat("x", 513))}},
	} {
		if _, err := s.CreateEndpoint(t.Context(), Scope{ProjectID: project}, c.in); !fault.Is(err, fault.Invalid) || fault.From(err).Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range maxEndpoints {
		b.endpoint(s, Input{})
	}
	if _, err := s.CreateEndpoint(t.Context(), Scope{ProjectID: project}, Input{URL: ptr("https://r.example")}); fault.Code(err) != "too_many" {
		t.Errorf("one too many: %v", err)
	}
}

// TestManyEndpointsTakeTurns has more endpoints than are served at a time, each with more than two turns' worth: none has a third
// turn before each has had one.
func TestManyEndpointsTakeTurns(t *testing.T) {
	b := newBench(t)
	s := b.service()
	const many = maxSenders + 8
	for i := range many {
		scope := []Scope{{ProjectID: project}, {ProjectID: project, OrganizationID: "org"}, {ProjectID: project, DirectoryID: "dir"}}[i%3]
		_, err := s.CreateEndpoint(t.Context(), scope, Input{URL: ptr(fmt.Sprintf("https://receiver.example/%d", i))})
		b.must(err)
	}
	const each = 2*duePage + 10
	for i := range each {
		b.write(s, user(fmt.Sprint("u", i), 1))
	}
	b.tell(s)
	calls := map[string]int{}
	for n, q := range b.calls {
		if calls[q.URL]++; len(calls) < many && calls[q.URL] > 2*duePage {
			t.Fatalf("%s has a third turn with call %d, while only %d endpoints have had one", q.URL, n, len(calls))
		}
	}
	for url, n := range calls {
		if n != each {
			t.Errorf("%s is called %d times", url, n)
		}
	}
	if len(calls) != many {
		t.Errorf("%d endpoints are called, of %d", len(calls), many)
	}
}
