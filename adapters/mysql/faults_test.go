package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/mysql"
	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/internal/storefault"
	"github.com/portico-sso/portico/ports/store"
)

func thing(id, body string) store.Doc { return store.Doc{ID: id, Body: []byte(body)} }

func TestFaults(t *testing.T) {
	storefault.Run(t, storefault.Adapter{
		Driver:  mysql.Driver,
		Engines: []storefault.Engine{storefault.On(engines.MariaDB), storefault.On(engines.MySQL)},
		Commit:  "COMMIT",
		Hasty:   "call_timeout=1s&ssl-mode=disabled",
	})
}

// TestFaultsUnprepared loses the texts that go to proxies.
func TestFaultsUnprepared(t *testing.T) {
	a := storefault.Adapter{Driver: mysql.Driver, Commit: "COMMIT", Hasty: "call_timeout=1s&ssl-mode=disabled&prepared=false"}
	a.CutCommit(t, storefault.On(engines.MariaDB))
	a.Network(t, storefault.On(engines.MariaDB))
}

// TestCutBeforeCommit loses connections at each point of a commit before its end: that it is not made is certain.
func TestCutBeforeCommit(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			fresh := engines.Fresh(t, e)
			direct := openStore(t, fresh, things)
			p := engines.NewProxy(t, address(t, fresh))
			s, ctx := openStore(t, with(t, with(t, p.URL(fresh), "call_timeout", "2s"), "ssl-mode", "disabled"), things), t.Context()
			for i, c := range []struct {
				at   string
				fate engines.Fate
			}{
				{"START TRANSACTION", engines.Cut},
				{"START TRANSACTION", engines.CutAnswer},
				{"the body", engines.Cut},
				{"the body", engines.CutAnswer},
				{"the body", engines.Swallow},
			} {
				what := fmt.Sprintf("%d at %q", c.fate, c.at)
				came := p.OnNext(c.at, c.fate)
				a, b := fmt.Sprint(i, "-a"), fmt.Sprint(i, "-b")
				err := s.Commit(ctx, store.Insert("things", thing(a, "the body")), store.Insert("things", thing(b, "the body")))
				select {
				case <-came:
				default:
					t.Fatalf("%s: there was none", what)
				}
				p.Decide(nil)
				if !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%s: %v, want ErrUnavailable", what, err)
				}
				if got := count(t, direct, fmt.Sprint(i, "-")); got != 0 {
					t.Errorf("%s: %d documents are there", what, got)
				}
				if err := s.Commit(ctx, store.Insert("things", thing(fmt.Sprint("after ", i), ""))); err != nil {
					t.Errorf("%s: the commit after: %v", what, err)
				}
			}
		})
	}
}

// count counts the documents whose ids begin so.
func count(t *testing.T, s *store.Store, prefix string) int {
	t.Helper()
	n, err := s.Count(t.Context(), "things", store.Range{Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// TestLost reads and pings while the server is out of reach, and after.
func TestLost(t *testing.T) {
	fresh := engines.Fresh(t, engines.MariaDB)
	p := engines.NewProxy(t, address(t, fresh))
	s, ctx := openStore(t, with(t, with(t, p.URL(fresh), "call_timeout", "2s"), "ssl-mode", "disabled"), things), t.Context()
	calls := func() map[string]error {
		errs := map[string]error{}
		_, errs["get"] = s.GetMany(ctx, "things", []string{"1"})
		_, errs["range"] = s.Range(ctx, "things", store.Range{Index: "by_name"})
		_, errs["count"] = s.Count(ctx, "things", store.Range{})
		_, errs["plan"] = s.Plan(ctx)
		errs["ping"] = s.Ping(ctx)
		return errs
	}
	expect := func(when string, want error) {
		t.Helper()
		for what, err := range calls() {
			if !errors.Is(err, want) {
				t.Errorf("%s: %s: %v, want %v", when, what, err, want)
			}
		}
	}
	expect("at first", nil)
	p.Refuse(true)
	p.Cut()
	expect("cut off", store.ErrUnavailable)
	if err := s.Commit(ctx, store.Insert("things", thing("1", ""))); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a commit while cut off: %v", err)
	}
	p.Refuse(false)
	expect("back", nil)
	p.Decide(func(engines.Chunk) engines.Fate { return engines.Swallow })
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := s.Get(short, "things", "1"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a call that has less time: %v, want DeadlineExceeded", err)
	}
	expect("swallowed", store.ErrUnavailable)
	p.Decide(nil)
	p.Cut()
	expect("back again", nil)
}

// TestLockedRow holds a document's row, as a machine does that vanished in the middle of a commit.
func TestLockedRow(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			fresh := engines.Fresh(t, e)
			s, ctx := openStore(t, with(t, fresh, "call_timeout", "3s"), things), t.Context()
			if err := s.Commit(ctx, store.Insert("things", thing("1", "")), store.Insert("things", thing("2", ""))); err != nil {
				t.Fatal(err)
			}
			db := connect(t, fresh)
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
			if _, err := tx.ExecContext(ctx, "UPDATE things SET touched = 7 WHERE id = '1'"); err != nil {
				t.Fatal(err)
			}
			one := store.Doc{ID: "1", Version: 1}
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			if err := s.Commit(short, store.Check("things", one), store.Delete("things", store.Doc{ID: "2", Version: 1})); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a commit that has less time than the lock takes: %v", err)
			}
			if err := s.Commit(ctx, store.Delete("things", store.Doc{ID: "2", Version: 1}), store.Check("things", one)); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "1205") {
				t.Errorf("a commit that waits: %v, want ErrUnavailable, and why", err)
			}
			if got := count(t, s, ""); got != 2 {
				t.Errorf("%d documents are left of 2", got)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(ctx, store.Delete("things", store.Doc{ID: "2", Version: 1}), store.Check("things", one)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestVanished has a machine vanish in the middle of a commit: the server lets go of its locks, though nobody closes.
func TestVanished(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			fresh, ctx := engines.Fresh(t, e), t.Context()
			s := openStore(t, fresh, things)
			p := engines.NewProxy(t, address(t, fresh))
			other := openStore(t, with(t, with(t, p.URL(fresh), "call_timeout", "1s"), "ssl-mode", "disabled"), things)
			ops := []store.Op{store.Insert("things", thing("1", "")), store.Insert("things", thing("2", ""))}
			came := p.OnNext("COMMIT", engines.Swallow)
			if err := other.Commit(ctx, ops...); !errors.Is(err, store.ErrUncertain) {
				t.Fatalf("the commit that vanishes: %v", err)
			}
			<-came
			err := s.Commit(ctx, ops...)
			for until := time.Now().Add(time.Minute); errors.Is(err, store.ErrUnavailable) && time.Now().Before(until); {
				err = s.Commit(ctx, ops...)
			}
			if err != nil {
				t.Errorf("a minute later its locks are held: %v", err)
			}
		})
	}
}

// TestHurried ends contexts at any moment: where nothing is wrong with the server, it is never uncertain what a commit did.
func TestHurried(t *testing.T) {
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			s := openStore(t, engines.Fresh(t, e), things)
			ended, made := 0, 0
			for i := 0; i < 2000 && (i < 300 || ended < 50 || made < 50); i++ {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(4000))*time.Microsecond)
				a, b := fmt.Sprintf("%d-a", i), fmt.Sprintf("%d-b", i)
				ops := []store.Op{store.Insert("things", thing(a, "")), store.Insert("things", thing(b, ""))}
				if i%3 == 0 {
					ops, b = ops[:1], a
				}
				err := s.Commit(ctx, ops...)
				cancel()
				docs, err2 := s.GetMany(t.Context(), "things", []string{a, b})
				switch {
				case err2 != nil:
					t.Fatal(err2)
				case err == nil && len(docs) == 2:
					made++
				case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrUncertain) && len(docs) == 0:
					ended++
				default:
					t.Errorf("commit %d: %v, and %d documents are there", i, err, len(docs))
				}
			}
			if ended == 0 || made == 0 {
				t.Errorf("%d commits ended early and %d were made: both are to be seen", ended, made)
			}
		})
	}
}

// TestConnectTimeout meets a server that takes connections and says nothing.
func TestConnectTimeout(t *testing.T) {
	fresh := engines.Fresh(t, engines.MariaDB)
	p := engines.NewProxy(t, address(t, fresh))
	p.Decide(func(engines.Chunk) engines.Fate { return engines.Swallow })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := open(ctx, t, with(t, with(t, p.URL(fresh), "connect_timeout", "1"), "call_timeout", "5m"), things); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}
