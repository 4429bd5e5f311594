package databases

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/id"
)

// load is people who sign in and an administrator who makes organizations, again and again, while something is done to what
// they need. It notes what each was told.
type load struct {
	t       *testing.T
	all     []*instance
	tenant  *tenant
	project string

	running  sync.WaitGroup
	stopping atomic.Bool
	commits  atomic.Int64 // that were acknowledged
	laters   atomic.Int64 // answers that told to come later
	maybes   atomic.Int64 // and those after which nobody knows

	mu            sync.Mutex
	logins        []*noted
	organizations map[string]bool // by slug: whether it was acknowledged
}

// noted is a login and what was told of it.
type noted struct {
	login
	begun, finished, redeemed bool // it was acknowledged
	finishing, redeeming      bool // it may be done: an answer was lost
}

const loaders = 8

// startLoad puts load on instances until finish. What it needs is made at the first of them.
func startLoad(t *testing.T, all ...*instance) *load {
	t.Helper()
	l := &load{t: t, all: all, tenant: newTenant(t, "crm", "acme.example"), organizations: map[string]bool{}}
	err := all[0].connect(t.Context(), l.tenant)
	if err == nil {
		l.project, err = all[0].create(t.Context(), "Project", map[string]any{"slug": "loaded"})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.finish)
	for worker := range loaders {
		l.running.Go(func() {
			for n := 0; !l.stopping.Load(); n++ {
				l.signIn(fmt.Sprintf("person-%d-%d", worker, n), worker+n)
				if n%4 == 0 {
					l.organize(fmt.Sprintf("organization-%d-%d", worker, n), worker+n)
				}
			}
		})
	}
	return l
}

// finish ends the load.
func (l *load) finish() {
	l.stopping.Store(true)
	l.running.Wait()
}

// await returns when so many commits were acknowledged.
func (l *load) await(commits int64) {
	l.t.Helper()
	for until := time.Now().Add(10 * time.Minute); l.commits.Load() < commits; time.Sleep(time.Millisecond) {
		if time.Now().After(until) || l.t.Failed() {
			l.t.Fatalf("%d of %d commits", l.commits.Load(), commits)
		}
	}
}

// try calls until the answer is neither to come later nor lost, or the load ends. unknown learns of lost answers.
func (l *load) try(step int, unknown *bool, call func(context.Context, *instance) error) error {
	for ; ; step++ {
		err := call(l.t.Context(), l.all[step%len(l.all)])
		switch {
		case err == nil:
			l.commits.Add(1)
			return nil
		case errors.Is(err, errLater):
			l.laters.Add(1)
		case errors.Is(err, errMaybe):
			l.maybes.Add(1)
			*unknown = true
		default:
			return err
		}
		if l.stopping.Load() {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// signIn is one login. What is refused although nothing else has used it up is a wrong answer.
func (l *load) signIn(person string, step int) {
	n := &noted{login: login{tenant: l.tenant, person: person}}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.logins = append(l.logins, n)
	}()
	var whatever bool
	for _, s := range []struct {
		what    string
		done    *bool
		unknown *bool
		call    func(context.Context, *instance) error
	}{
		{"begin", &n.begun, &whatever, n.begin},
		{"finish", &n.finished, &n.finishing, n.login.finish},
		{"redeem", &n.redeemed, &n.redeeming, n.redeem},
	} {
		err := l.try(step, s.unknown, s.call)
		if err == nil {
			*s.done = true
			continue
		}
		if !errors.Is(err, errLater) && !errors.Is(err, errMaybe) && (!refused(err) || !*s.unknown) {
			l.t.Errorf("%s of %s: %v", s.what, person, err)
		}
		return
	}
}

// organize makes an organization.
func (l *load) organize(slug string, step int) {
	unknown := false
	err := l.try(step, &unknown, func(ctx context.Context, i *instance) error {
		_, err := i.create(ctx, "Organization", map[string]any{"projectId": l.project, "slug": slug})
		return err
	})
	if err != nil && !errors.Is(err, errLater) && !errors.Is(err, errMaybe) && (!refused(err) || !unknown) {
		l.t.Errorf("organization %s: %v", slug, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.organizations[slug] = err == nil
}

// recovered waits until a person can sign in at each of the instances, and says how long that took at most.
func (l *load) recovered(all ...*instance) time.Duration {
	l.t.Helper()
	began := time.Now()
	for _, i := range all {
		for n := 0; ; n++ {
			_, err := signIn(l.t.Context(), l.tenant, fmt.Sprintf("visitor-%d-%d", began.UnixNano(), n), i)
			if err == nil {
				break
			}
			if !errors.Is(err, errLater) && !errors.Is(err, errMaybe) || time.Since(began) > patience {
				l.t.Fatalf("after %s: %v", time.Since(began), err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return time.Since(began).Round(time.Millisecond)
}

// audit ends the load and holds what is there against what was told: no commit is half there, and none is missing that was
// acknowledged.
func (l *load) audit(env []string) {
	t := l.t
	t.Helper()
	l.finish()
	w := newWitness(t, env)
	for slug, acknowledged := range l.organizations {
		if n := w.organizations[slug]; n > 1 || acknowledged && n == 0 {
			t.Errorf("organization %s is there %d times, acknowledged: %t", slug, n, acknowledged)
		}
	}
	for _, n := range l.logins {
		w.holds(t, n)
	}
	w.people(t)
	for _, n := range l.logins {
		if n.redeemed {
			if err := insist(t.Context(), func() error { return n.check(t.Context(), l.all[0]) }); err != nil {
				t.Errorf("the token of %s: %v", n.person, err)
			}
		}
	}
	t.Logf("%d commits acknowledged, of %d logins and %d organizations; %d answers told to come later, %d were lost",
		l.commits.Load(), len(l.logins), len(l.organizations), l.laters.Load(), l.maybes.Load())
}

// witness is what is in the databases, found again by what clients know.
type witness struct {
	organizations map[string]int      // by slug
	requests      map[string]bool     // by id: logins under way
	replays       map[string]bool     // by id: responses that were used
	codes         map[string]code     // by id
	tokens        map[string]grant    // by id
	granted       map[string]int      // by person: codes and tokens
	identities    map[string]string   // by id: the person
	links         map[string][]string // by identity: ids
}

// code and grant are what core/oauth keeps, as far as it matters here.
type code struct {
	Grant   *grant `json:"grant"`
	TokenID string `json:"tokenId"`
}

type grant struct {
	IdentityID string                     `json:"identityId"`
	Profile    struct{ ID, Email string } `json:"profile"`
}

func newWitness(t *testing.T, env []string) *witness {
	t.Helper()
	w := &witness{organizations: map[string]int{}, requests: map[string]bool{}, replays: map[string]bool{}, codes: map[string]code{},
		tokens: map[string]grant{}, granted: map[string]int{}, identities: map[string]string{}, links: map[string][]string{}}
	all := export(t, env)
	for _, d := range all["organizations"] {
		var o struct{ Slug string }
		d.read(t, &o)
		w.organizations[o.Slug]++
	}
	for _, d := range all["login_requests"] {
		w.requests[d.id] = true
	}
	for _, d := range all["replays"] {
		w.replays[d.id] = true
	}
	for _, d := range all["codes"] {
		var c code
		d.read(t, &c)
		w.codes[d.id] = c
		if c.Grant != nil {
			w.granted[c.Grant.Profile.ID]++
		}
	}
	for _, d := range all["access_tokens"] {
		var a struct{ Grant grant }
		d.read(t, &a)
		w.tokens[d.id] = a.Grant
		w.granted[a.Grant.Profile.ID]++
	}
	for _, d := range all["identities"] {
		var i struct{ Traits struct{ ID string } }
		d.read(t, &i)
		w.identities[d.id] = i.Traits.ID
	}
	for _, d := range all["identity_links"] {
		var l struct{ IdentityID string }
		d.read(t, &l)
		w.links[l.IdentityID] = append(w.links[l.IdentityID], d.id)
	}
	return w
}

// holds holds what is there of a login against what was told of it.
func (w *witness) holds(t *testing.T, n *noted) {
	t.Helper()
	if !n.begun {
		return
	}
	open := w.requests[id.Hash(n.request.RelayState)]
	used := w.replays[id.Hash(n.tenant.idp.EntityID, n.assertionID)]
	issued := w.granted[n.person]
	wrong := func(what string) {
		t.Errorf("%s: %s. There are its request: %t, its response's mark: %t, codes and tokens of the person: %d. Acknowledged are its end: %t and its redemption: %t, perhaps done: %t and %t",
			n.person, what, open, used, issued, n.finished, n.redeemed, n.finishing, n.redeeming)
	}
	revoked := n.redeeming && !n.redeemed // used once by a lost try, and replayed by the next
	switch {
	case open == used:
		wrong("its end is half there")
	case issued > 1 || (issued == 1) != used && !revoked:
		wrong("what it issued does not go with its end")
	case n.finished && !used:
		wrong("its end was acknowledged and is missing")
	case !n.finished && !n.finishing && used:
		wrong("it has ended by itself")
	}
	if !n.finished {
		return
	}
	c, there := w.codes[id.Hash(n.code)]
	token := id.Hash(n.token)
	_, kept := w.tokens[token]
	switch {
	case !there:
		wrong("its code is missing")
	case (c.Grant == nil) != (c.TokenID != ""):
		wrong("its code is half used")
	case n.redeemed && (c.TokenID != token || !kept):
		wrong("its token was acknowledged and is missing")
	case !n.redeemed && !n.redeeming && c.Grant == nil:
		wrong("its code is used by nobody")
	case c.TokenID != "" && !revoked && w.tokens[c.TokenID].Profile.ID != n.person:
		wrong("its code is used and its token is missing")
	}
}

// people holds that each person is one identity with its link, and each grant one of an identity that is there.
func (w *witness) people(t *testing.T) {
	t.Helper()
	seen := map[string]bool{}
	for i, person := range w.identities {
		if seen[person] || len(w.links[i]) != 1 {
			t.Errorf("%s: there twice: %t; links of the identity %s: %v", person, seen[person], i, w.links[i])
		}
		seen[person] = true
	}
	if len(w.links) != len(w.identities) {
		t.Errorf("%d identities have links, of %d", len(w.links), len(w.identities))
	}
	for _, g := range w.tokens {
		if w.identities[g.IdentityID] != g.Profile.ID {
			t.Errorf("a token of %s names the identity of %q", g.Profile.ID, w.identities[g.IdentityID])
		}
	}
}
