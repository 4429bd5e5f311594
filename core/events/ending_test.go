package events

import (
	"testing"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/outbound"
)

var ended = Scope{ProjectID: project, OrganizationID: "org", DirectoryID: "dir"}

// ending is a directory with an endpoint of its own, and one of the project's, that ends with events that nobody has been told.
func ending(t *testing.T) (b *bench, s *Service, own Endpoint, there func(string) bool) {
	b = newBench(t)
	s = b.service()
	own, err := s.CreateEndpoint(t.Context(), ended, Input{URL: ptr("https://own.example/")})
	b.must(err)
	b.endpoint(s, Input{})
	b.write(s, user("ann", 1), user("ann", 2), user("bob", 1))
	b.must(s.Records.Commit(t.Context(), s.EndScope(ended)))
	return b, s, own, func(endpointID string) bool {
		t.Helper()
		b.must(s.Leases.Run(t.Context()))
		_, err := s.Endpoint(t.Context(), endpointID)
		if err != nil && !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
}

func TestScopeEndsBehindItsEvents(t *testing.T) {
	b, s, own, there := ending(t)
	if !there(own.ID) {
		t.Fatal("its endpoint went with events in the outbox")
	}
	b.must(s.Relay(t.Context()))
	b.move(time.Second)
	if !there(own.ID) {
		t.Fatal("its endpoint went with events that are pending")
	}
	b.must(s.Deliver(t.Context()))
	b.move(time.Second)
	if there(own.ID) {
		t.Error("its endpoint stays")
	}
	told := 0
	for _, q := range b.taken {
		if q.URL == own.URL {
			told++
		}
	}
	if list, err := s.Endpoints(t.Context(), Scope{ProjectID: project}, 10, ""); told != 3 || err != nil || len(list.Items) != 1 || list.Items[0].DirectoryID != "" {
		t.Errorf("told %d times; left %+v, %v", told, list.Items, err)
	}
	if n := b.count("jobs"); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
}

// What is given up keeps the endpoint, so that it can be sent again; once it is, the endpoint goes.
func TestScopeEndsBehindDeadLetters(t *testing.T) {
	b, s, own, there := ending(t)
	sick := true
	b.answer = func(q outbound.Request) (int, error) {
		if sick && q.URL == own.URL {
			return 500, nil
		}
		return 200, nil
	}
	for range 40 { // both events of ann, one behind the other
		b.tell(s)
		if !there(own.ID) {
			t.Fatal("its endpoint went with deliveries that failed")
		}
		b.move(30 * time.Hour / 2)
	}
	dead, err := s.DeadLetters(t.Context(), own.ID, 10, "")
	if err != nil || len(dead.Items) != 3 {
		t.Fatalf("given up: %+v, %v", dead.Items, err)
	}
	sick = false
	for _, d := range dead.Items {
		_, err := s.Replay(t.Context(), d.ID)
		b.must(err)
	}
	b.tell(s)
	b.move(time.Hour)
	if there(own.ID) {
		t.Error("its endpoint stays")
	}
}

// A deactivated endpoint may be activated again, until its events are no longer kept.
func TestScopeEndsAtDeactivatedEndpoint(t *testing.T) {
	b, s, own, there := ending(t)
	b.must(s.Relay(t.Context()))
	_, err := s.UpdateEndpoint(t.Context(), own.ID, Input{Active: ptr(false)})
	b.must(err)
	for b.tell(s); b.now().Before(own.CreatedAt.Add(DefaultKeepEvents)); b.move(time.Hour) {
		if !there(own.ID) {
			t.Fatalf("its endpoint went at %s with deliveries that wait", b.now())
		}
	}
	b.move(time.Hour)
	if there(own.ID) {
		t.Error("its endpoint stays for ever")
	}
}
