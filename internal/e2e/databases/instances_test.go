package databases

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTwoInstances starts two instances at once on an empty database; from then on they are one.
func TestTwoInstances(t *testing.T) {
	each(t, func(t *testing.T, s setup) {
		twoAsOne(t, serve(t, 2, settings(s.fresh(t))))
	})
}

// twoAsOne holds that instances which were started at once on an empty database are one.
func twoAsOne(t *testing.T, all []*instance) {
	t.Run("keys are made once", func(t *testing.T) { keysAreMadeOnce(t, all) })
	c := newTenant(t, "crm", "acme.example")
	if err := all[0].connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Run("a login goes from one to the other", func(t *testing.T) {
		for n := range all {
			if _, err := signIn(t.Context(), c, fmt.Sprint("wanderer-", n), append(all[n:], all[:n]...)...); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("one code has one winner", func(t *testing.T) { oneCode(t, all, c) })
	t.Run("one response has one winner", func(t *testing.T) { oneResponse(t, all, c) })
	t.Run("a name has one winner", func(t *testing.T) { oneName(t, all, c) })
	t.Run("one person is made once", func(t *testing.T) { onePerson(t, all, c) })
}

func keysAreMadeOnce(t *testing.T, all []*instance) {
	shown := 0
	same := map[string]string{}
	for n, i := range all {
		if strings.Contains(i.process.stdout.String(), "Your admin key") {
			shown++
		}
		for _, path := range []string{"/oauth/jwks", "/.well-known/saml.cer"} {
			a, err := i.get(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if n > 0 && same[path] != string(a.body) {
				t.Errorf("%s of instance %d is another", path, n)
			}
			same[path] = string(a.body)
		}
	}
	if shown != 1 {
		t.Errorf("%d instances show the first admin key, want one", shown)
	}
}

const workers = 200

// race has workers call at once, spread over the instances: one wins, and the others are refused.
func race(t *testing.T, n int, all []*instance, call func(ctx context.Context, worker int, i *instance) error) (winner int) {
	t.Helper()
	var won, last atomic.Int64
	gate := make(chan struct{})
	var running sync.WaitGroup
	for worker := range n {
		running.Go(func() {
			<-gate
			err := call(t.Context(), worker, all[worker%len(all)])
			switch {
			case err == nil:
				won.Add(1)
				last.Store(int64(worker))
			case !refused(err):
				t.Errorf("a loser is told: %v", err)
			}
		})
	}
	close(gate)
	running.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of %d won, want one", won.Load(), n)
	}
	return int(last.Load())
}

func oneCode(t *testing.T, all []*instance, c *tenant) {
	one := login{tenant: c, person: "coveted"}
	if err := errors.Join(one.begin(t.Context(), all[0]), one.finish(t.Context(), all[1])); err != nil {
		t.Fatal(err)
	}
	tries := make([]login, workers)
	winner := race(t, workers, all, func(ctx context.Context, worker int, i *instance) error {
		tries[worker] = one
		return tries[worker].redeem(ctx, i)
	})
	// The others replayed the code, so that what the winner bought has ended, at each instance (RFC 6749 §4.1.2).
	for _, i := range all {
		if err := tries[winner].check(t.Context(), i); !refused(err) {
			t.Errorf("the token of a code that was replayed: %v", err)
		}
	}
}

func oneResponse(t *testing.T, all []*instance, c *tenant) {
	one := login{tenant: c, person: "twice"}
	if err := one.begin(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	tries := make([]login, 50)
	winner := race(t, len(tries), all, func(ctx context.Context, worker int, i *instance) error {
		tries[worker] = one
		return tries[worker].finish(ctx, i)
	})
	if err := errors.Join(tries[winner].redeem(t.Context(), all[0]), tries[winner].check(t.Context(), all[1])); err != nil {
		t.Errorf("the code of the winner: %v", err)
	}
}

func oneName(t *testing.T, all []*instance, c *tenant) {
	ctx := t.Context()
	race(t, 50, all, func(ctx context.Context, _ int, i *instance) error {
		_, err := i.create(ctx, "Project", map[string]any{"slug": "coveted"})
		return err
	})
	project, err := all[0].create(ctx, "Project", map[string]any{"slug": "names"})
	if err != nil {
		t.Fatal(err)
	}
	race(t, 50, all, func(ctx context.Context, _ int, i *instance) error {
		_, err := i.create(ctx, "Organization", map[string]any{"projectId": project, "slug": "coveted"})
		return err
	})
	organization, err := all[1].create(ctx, "Organization", map[string]any{"projectId": project, "slug": "clients"})
	if err != nil {
		t.Fatal(err)
	}
	race(t, 50, all, func(ctx context.Context, _ int, i *instance) error { // its client id follows from what all send
		_, err := i.graphql(ctx, `mutation($in: CreateConnectionInput!) {it: createConnection(input: $in) {connection {id} errors {code}}}`,
			map[string]any{"in": map[string]any{"organizationId": organization, "metadataXml": string(c.idp.Metadata())}})
		return err
	})
	for n, i := range all {
		data, err := i.graphql(ctx, `query($p: ID!, $o: ID!) {projects {totalCount} project(id: $p) {organizations {totalCount}} organization(id: $o) {connections {totalCount}}}`,
			map[string]any{"p": project, "o": organization})
		if got, want := fmt.Sprint(data), "map[organization:map[connections:map[totalCount:1]] project:map[organizations:map[totalCount:2]] projects:map[totalCount:3]]"; err != nil || got != want {
			t.Errorf("instance %d has %s, %v", n, got, err)
		}
	}
}

// onePerson has one person sign in for the first time many times at once.
func onePerson(t *testing.T, all []*instance, c *tenant) {
	var running sync.WaitGroup
	for n := range 16 {
		running.Go(func() {
			if _, err := signIn(t.Context(), c, "everywhere", append(all[n%2:], all[:n%2]...)...); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	people := 0
	for _, d := range export(t, all[0].env)["identities"] {
		if strings.Contains(string(d.body), `"everywhere@acme.example"`) {
			people++
		}
	}
	if people != 1 {
		t.Errorf("one person is %d", people)
	}
}

// TestMigrateTwice migrates an empty database by two processes at once; then it is up to the release.
func TestMigrateTwice(t *testing.T) {
	each(t, func(t *testing.T, s setup) {
		env := append(settings(s.fresh(t)), "PORTICO_AUTO_MIGRATE=false")
		if refused := launch(t, t.TempDir(), env, "serve"); refused.wait(t) == 0 || !strings.Contains(refused.stderr.String(), "portico migrate") {
			t.Errorf("serve before: %s", refused.stderr.String())
		}
		var both []*process
		for range 3 {
			both = append(both, launch(t, t.TempDir(), env, "migrate"))
		}
		for _, p := range both {
			if code := p.wait(t); code != 0 {
				t.Errorf("exit code %d: %s", code, p.stderr.String())
			}
		}
		if plan, _ := run(t, env, "migrate", "--print"); strings.Count(plan, ": 0 steps of structure, 0 of documents\n") != 1+strings.Count(strings.Join(env, "\n"), "PORTICO_SESSION_URL") {
			t.Errorf("left to do:\n%s", plan)
		}
		serve(t, 1, env)
	})
}
