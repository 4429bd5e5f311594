// Package storefault holds what a storage adapter must do when its server fails: answer what is true, and recover. It
// complements storetest, which asks for nothing but a server that works.
//
//	func TestFaults(t *testing.T) {
//		storefault.Run(t, storefault.Adapter{
//			Driver: mysql.Driver,
//			Engines: []storefault.Engine{storefault.On(engines.MariaDB), storefault.On(engines.MySQL)},
//			Commit:  "commit",
//			Hasty:   "call_timeout=1s",
//		})
//	}
//
// Its rule for every commit, whatever happens to it: an acknowledged one is there, whole, and stays; one that failed with
// ErrUncertain is there whole or not at all; one that failed with anything else is not there and never will be.
//
// The cases are: two_instances (200 workers over one document that may be used once), cut_commit (a commit whose request or
// answer is lost), network (a proxy that delays, cuts, half-closes and swallows at random), restart (the server stopped and
// started under load) and kill (the server killed under 2,000 commits). Each can be run alone, and Load with another
// disturbance, such as a failover. A server that is slow to start again makes them slow; nothing in them depends on time.
package storefault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store"
)

// Adapter is a storage adapter and what it is tested on.
type Adapter struct {
	Driver  store.Driver
	Engines []Engine
	// Commit is a text, of any case, that the chunk has on the wire that commits several operations, and no chunk before it.
	Commit string
	// Hasty is a parameter of the URL, name=value, with which no call waits for longer than a second or so for an answer.
	Hasty string
	// Repeats says that a commit whose request or answer is lost is sent again, to a server that knows it again, and so may
	// be acknowledged.
	Repeats bool
	// Odds says that the bad network hits one chunk of so many, by default 40. Where a driver makes everybody wait behind each
	// hit, more take too long.
	Odds int
}

// Engine is a kind of server.
type Engine struct {
	Name string
	// Fresh is the URL of a new, empty database on a server that is not to be disturbed.
	Fresh func(testing.TB) string
	// Start runs a server for a test that disturbs it. What it acknowledges is on disk.
	Start func(testing.TB) Server
}

// Server is a running server of a test's own.
type Server interface {
	Fresh(testing.TB) string // the URL of a new, empty database
	Kill() error             // SIGKILL, as a crash would
	Stop() error             // in order
	Restart() error          // on the same data and port, until it answers
}

// On is an engine of the engines package.
func On(e engines.Engine) Engine {
	return Engine{
		Name:  string(e),
		Fresh: func(t testing.TB) string { return engines.Fresh(t, e) },
		Start: func(t testing.TB) Server { return engines.Start(t, e, engines.Options{}) },
	}
}

// Run runs all cases on all engines.
func Run(t *testing.T, a Adapter) {
	t.Helper()
	for _, e := range a.Engines {
		t.Run(e.Name, func(t *testing.T) {
			t.Run("two_instances", func(t *testing.T) { a.TwoInstances(t, e) })
			t.Run("cut_commit", func(t *testing.T) { a.CutCommit(t, e) })
			t.Run("network", func(t *testing.T) { a.Network(t, e) })
			t.Run("restart", func(t *testing.T) { a.Restart(t, e) })
			t.Run("kill", func(t *testing.T) { a.Kill(t, e) })
		})
	}
}

// The collections of these tests.
const (
	accounts = "accounts" // each with an entry for each of its changes
	entries  = "entries"
)

var schema = store.Schema{
	{Name: accounts, Indexes: []store.Index{{Name: "by_name", Fields: []string{"name"}, Unique: true}}},
	{Name: entries, Indexes: []store.Index{{Name: "by_account", Fields: []string{"account", "number"}, Unique: true}}},
}

// open opens a store over a URL and migrates it.
func (a Adapter) open(t testing.TB, text string) *store.Store {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Driver.Open(t.Context(), u, schema, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(b, schema, store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// hasty is the URL with Adapter.Hasty.
func (a Adapter) hasty(t testing.TB, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += a.Hasty
	return u.String()
}

func account(name string, version int64) store.Doc {
	return store.Doc{ID: name, Version: version, Body: fmt.Appendf(nil, "%d", version), Keys: map[string]string{"name": name}}
}

// entry is of the change of an account from a version to the next.
func entry(name string, version int64) store.Doc {
	number := fmt.Sprintf("%06d", version)
	return store.Doc{ID: name + "/" + number, Keys: map[string]string{"account": name, "number": number}}
}

// change is a commit that counts in an account and enters that: both or neither.
func change(name string, version int64) []store.Op {
	return []store.Op{store.Update(accounts, account(name, version)), store.Insert(entries, entry(name, version))}
}

// lostRace says whether a commit was refused because another was there first: perhaps itself, at an earlier try.
func lostRace(err error) bool {
	var taken *store.TakenError
	return errors.Is(err, store.ErrConflict) || errors.As(err, &taken)
}

// failure says whether an error is one of a server that fails.
func failure(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUncertain)
}

// sum holds the rule for an account that stands alone: it is at the version, and has an entry for each change before, and
// no other.
func sum(ctx context.Context, t testing.TB, s *store.Store, name string) (version int64) {
	t.Helper()
	d, err := s.Get(ctx, accounts, name)
	if err != nil {
		t.Fatalf("get the account %s: %v", name, err)
	}
	after := ""
	for n := int64(1); ; {
		page, err := s.Range(ctx, entries, store.Range{Index: "by_account", Eq: []string{name}, After: after})
		if err != nil {
			t.Fatalf("range over the entries of %s: %v", name, err)
		}
		for _, e := range page {
			if e.ID != entry(name, n).ID {
				t.Fatalf("%s lacks the entry %d: the next is %s", name, n, e.ID)
			}
			n++
			after = s.Cursor(entries, "by_account", e)
		}
		if len(page) < store.MaxPage {
			if n != d.Version {
				t.Errorf("%s is at version %d and has %d entries: half a commit is there", name, d.Version, n-1)
			}
			return d.Version
		}
	}
}
