package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/store"
)

func TestRelay(t *testing.T) {
	b := newBench(t)
	s := b.service()
	b.write(s, user("ann", 1), user("bob", 1))
	b.write(s, user("ann", 2), Event{Type: ConnectionCreated, Polis: PolisSSOCreated, Data: json.RawMessage(`{}`)})
	b.must(s.Relay(t.Context()))
	list := b.feed(s)
	if len(list) != 4 {
		t.Fatalf("%d events", len(list))
	}
	list = slices.DeleteFunc(list, func(e Event) bool { return e.Type == ConnectionCreated })
	b.ordered(list, map[string]int64{"ann": 2, "bob": 1})
	if e := list[0]; e.ID == "" || e.Time.IsZero() || e.ProjectID != project || e.Product != "product of "+project || e.Tenant != "tenant of org" {
		t.Errorf("event %+v", e)
	}
	if n := b.count(outbox); n != 0 {
		t.Errorf("%d documents are left in the outbox", n)
	}
}

// The order of outbox ids says nothing: an event waits for its predecessor of the same resource, and nobody else does.
func TestOutOfOrder(t *testing.T) {
	b := newBench(t)
	s := b.service()
	letters := make([]letter, 3*relayPage)
	for i := range letters { // the last first
		letters[i] = letter{ID: fmt.Sprintf("%06d", len(letters)-i), ProjectID: project, Events: []Event{user("ann", int64(i+1))}}
		letters[i].Events[0].ID, letters[i].Events[0].ProjectID = fmt.Sprint("ann ", i), project
		b.must(b.store.Commit(t.Context(), s.letters.Insert(letters[i])))
	}
	b.write(s, user("bob", 1))
	b.must(s.Relay(t.Context()))
	b.ordered(b.feed(s), map[string]int64{"ann": int64(len(letters)), "bob": 1})
}

// An event may wait for one of another document while the rest of its own goes.
func TestPartOfADocumentWaits(t *testing.T) {
	b := newBench(t)
	s := b.service()
	b.write(s, user("ann", 1), user("bob", 1))
	b.must(s.Relay(t.Context()))
	second := s.Outbox(project, user("ann", 2))
	second.Doc.ID = strings.Repeat("f", 36) // behind everything, as one whose commit took long
	var l letter
	b.must(json.Unmarshal(second.Doc.Body, &l))
	l.ID = second.Doc.ID
	b.must(b.store.Commit(t.Context(), s.letters.Insert(l)))
	for i := range relayPage {
		b.write(s, user("ann", int64(3+i)), user(fmt.Sprint("other ", i), 1))
	}
	b.must(s.Relay(t.Context()))
	b.ordered(b.feed(s), map[string]int64{"ann": relayPage + 2, "bob": 1, "other 0": 1})
}

// What the log has forgotten is not waited for.
func TestPredecessorLongGone(t *testing.T) {
	b := newBench(t)
	s := b.service()
	b.write(s, user("ann", 1))
	b.must(s.Relay(t.Context()))
	b.move(DefaultKeepEvents + time.Hour)
	b.write(s, user("ann", 2))
	b.must(s.Relay(t.Context()))
	f, err := s.Read(t.Context(), Query{Scope: Scope{ProjectID: project}})
	if err != nil || len(f.Events) != 1 || f.Events[0].Position != 2 {
		t.Errorf("%+v, %v", f, err)
	}
	b.write(s, user("ann", 3))
	b.must(s.Relay(t.Context()))
	if _, err := s.Read(t.Context(), Query{Scope: Scope{ProjectID: project}, After: 1}); err != nil {
		t.Errorf("behind the last that is gone: %v", err)
	}
	b.move(DefaultKeepEvents + time.Hour)
	if _, err := s.Read(t.Context(), Query{Scope: Scope{ProjectID: project}, After: 1}); !Expired(err) {
		t.Errorf("a cursor whose successors are gone: %v", err)
	}
	if _, err := s.Read(t.Context(), Query{Scope: Scope{ProjectID: project}, After: 4}); !fault.Is(err, fault.Invalid) || Expired(err) {
		t.Errorf("a cursor of the future: %v", err)
	}
	if f, err := s.Read(t.Context(), Query{Scope: Scope{ProjectID: project}, After: 3}); err != nil || f.Next != 3 {
		t.Errorf("at the end: %+v, %v", f, err)
	}
}

// Instances relay at once while writers write and commits fail in every way: each event is in the log once, in order.
func TestInstancesUnderFailures(t *testing.T) {
	b := newBench(t)
	const people, each = 12, 25
	writing, stop := context.WithCancel(t.Context())
	var writers, relays sync.WaitGroup
	fail := func() (before, after error) {
		switch rand.N(20) {
		case 0:
			return store.ErrUnavailable, nil
		case 1:
			return store.ErrUncertain, nil
		case 2:
			return nil, store.ErrUncertain
		}
		return nil, nil
	}
	b.fail.Store(&fail)
	for p := range people {
		s := b.service()
		writers.Go(func() {
			for n := range each {
				op := s.Outbox(project, user(fmt.Sprint("person ", p), int64(n+1)))
				for {
					err := s.letters.Once(t.Context(), &op, func() error { return b.store.Commit(t.Context(), op) })
					if err == nil {
						break
					}
				}
			}
		})
	}
	for range 3 {
		s := b.service()
		relays.Go(func() {
			for writing.Err() == nil || b.count(outbox) > 0 {
				_ = s.Relay(t.Context())
				b.move(5 * time.Second) // leases pass on
			}
		})
	}
	writers.Wait()
	stop()
	relays.Wait()
	b.fail.Store(nil)
	list := b.feed(b.service())
	if len(list) != people*each {
		t.Errorf("%d events, want %d", len(list), people*each)
	}
	b.ordered(list, map[string]int64{"person 0": each, "person 11": each})
}

// An instance that dies between two commits of a page loses nothing.
func TestKilledInTheMiddle(t *testing.T) {
	b := newBench(t)
	dead, alive := b.service(), b.service()
	var many []Event
	for i := range 400 {
		many = append(many, user(fmt.Sprint("person ", i), 1))
	}
	b.write(dead, many...)
	b.write(dead, many2(many)...)
	commits := 0
	fail := func() (before, after error) {
		if commits++; commits > 2 { // its lease, and the first chunk
			return store.ErrUnavailable, nil
		}
		return nil, nil
	}
	b.fail.Store(&fail)
	_ = dead.Relay(t.Context())
	b.fail.Store(nil)
	if n := len(b.feed(alive)); n == 0 || n == 800 {
		t.Fatalf("%d events are in the log: it did not die in the middle", n)
	}
	b.move(relayLease)
	b.must(alive.Relay(t.Context()))
	list := b.feed(alive)
	b.ordered(list, map[string]int64{"person 0": 2, "person 399": 2})
	if len(list) != 800 {
		t.Errorf("%d events", len(list))
	}
}

func many2(first []Event) (second []Event) {
	for _, e := range first {
		second = append(second, user(e.ResourceID, e.Seq+1))
	}
	return second
}

// logs collects log lines.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// A document that cannot be read, and events that a faulty writer numbered alike, stop nobody else, and are told of.
func TestPoison(t *testing.T) {
	b := newBench(t)
	said := &logs{}
	s := b.service(func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(said, nil)) })
	b.must(b.store.Commit(t.Context(), store.Insert(outbox, store.Doc{ID: "000", Body: []byte(`{"id":"000","pro`), Keys: map[string]string{"project": project}})))
	b.write(s, user("ann", 1))
	twice := user("ann", 1)
	twice.ID = "the other"
	b.write(s, twice, user("bob", 1))
	b.write(s, user("carl", 5)) // those before were relayed before the upgrade, or are in what cannot be read: they wait
	b.must(s.Relay(t.Context()))
	list := b.feed(s)
	if len(list) != 3 {
		t.Errorf("%d events", len(list))
	}
	if n := b.count(outbox); n != 2 {
		t.Errorf("%d documents are left in the outbox", n)
	}
	for _, want := range []string{"cannot be read", "has the number of another one"} {
		if !strings.Contains(said.text.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, said.text.String())
		}
	}
	d, err := b.store.Get(t.Context(), outbox, "000")
	b.must(err)
	b.must(b.store.Commit(t.Context(), store.Delete(outbox, d)))
	b.must(s.Relay(t.Context()))
	if n := len(b.feed(s)); n != 4 {
		t.Errorf("%d events once the operator has removed it", n)
	}
}

// A document whose key is not there, in front of the others, is passed by.
func TestUnopenedDocument(t *testing.T) {
	b := newBench(t)
	s := b.service()
	b.write(s, user("ann", 1))
	b.write(s, user("bob", 1))
	backend, err := store.New(b.backend, Collections(), store.Options{Now: b.now, Sealer: plain{}})
	b.must(err)
	b.must(backend.Commit(t.Context(), store.Insert(outbox, store.Doc{ID: "000", Body: []byte(`{}`), Keys: map[string]string{"project": project}})))
	b.must(s.Relay(t.Context()))
	b.ordered(b.feed(s), map[string]int64{"ann": 1, "bob": 1})
	if n := b.count(outbox); n != 1 {
		t.Errorf("%d documents are left", n)
	}
}

func TestFeedScopesAndTypes(t *testing.T) {
	b := newBench(t)
	s := b.service()
	other := user("eve", 1)
	other.OrganizationID, other.DirectoryID = "other org", "other dir"
	b.write(s, user("ann", 1), other, user("ann", 2))
	b.must(s.Records.Commit(t.Context(), s.Outbox("another project", Event{Type: IdentityCreated, OrganizationID: "org", DirectoryID: "dir", ResourceID: "x", Seq: 1})))
	b.must(s.Relay(t.Context()))
	for name, c := range map[string]struct {
		q    Query
		want string
		next int64
	}{
		"project":      {Query{Scope: Scope{ProjectID: project}}, "[1 2 3]", 3},
		"a page":       {Query{Scope: Scope{ProjectID: project}, Limit: 2}, "[1 2]", 2},
		"organization": {Query{Scope: Scope{ProjectID: project, OrganizationID: "org"}}, "[1 3]", 3},
		"behind":       {Query{Scope: Scope{ProjectID: project, OrganizationID: "other org"}, After: 2}, "[]", 3},
		"directory":    {Query{Scope: Scope{ProjectID: project, DirectoryID: "other dir"}}, "[2]", 3},
		"type":         {Query{Scope: Scope{ProjectID: project}, Types: []string{IdentityUpdated}}, "[3]", 3},
		"Polis's type": {Query{Scope: Scope{ProjectID: project}, Types: []string{PolisUserCreated}}, "[1 2]", 3},
		"no project":   {Query{Scope: Scope{ProjectID: "none"}}, "[]", 0},
	} {
		f, err := s.Read(t.Context(), c.q)
		at := []int64{}
		for _, e := range f.Events {
			at = append(at, e.Position)
		}
		if err != nil || fmt.Sprint(at) != c.want || f.Next != c.next {
			t.Errorf("%s: %v, next %d, %v", name, at, f.Next, err)
		}
	}
}

func TestWatch(t *testing.T) {
	b := newBench(t)
	s := b.service()
	grown, stop := s.Watch(project)
	b.write(s, user("ann", 1))
	b.must(s.Relay(t.Context()))
	select {
	case <-grown:
	default:
		t.Error("nobody was told")
	}
	stop()
	if len(s.watchers.all) != 0 {
		t.Error("the watcher is kept")
	}
}

// Outbox refuses to mix tenants.
func TestOutboxOfAnotherProject(t *testing.T) {
	s := newBench(t).service() // first: it may skip the test
	defer func() {
		if recover() == nil {
			t.Error("an event of another project is taken")
		}
	}()
	s.Outbox(project, Event{ProjectID: "another"})
}

// plain seals nothing: what it wrote no key opens.
type plain struct{}

func (plain) Seal(_, p []byte) ([]byte, error) { return p, nil }
func (plain) Open(_, p []byte) ([]byte, error) { return nil, errors.New("never asked") }
func (plain) Stale([]byte) bool                { return false }
