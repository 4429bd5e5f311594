package databases

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
)

// outage is a way in which a database is away.
type outage struct {
	name  string
	begin func(*engines.Proxy)
}

var outages = []outage{
	{"refuses", func(p *engines.Proxy) { p.Refuse(true); p.Cut() }},
	{"is silent", func(p *engines.Proxy) { p.Decide(func(engines.Chunk) engines.Fate { return engines.Swallow }) }},
}

// TestDatabaseAway takes the database away while instances serve: whatever needs it is told to come later, readyz is red and
// healthz green; when it is back people sign in without a restart, and what they had begun goes on.
func TestDatabaseAway(t *testing.T) {
	eachServer(t, func(t *testing.T, s setup) {
		records, sessions := s.fresh(t)
		lines := map[string]*engines.Proxy{"records": engines.NewProxy(t, address(t, records))}
		records = hasty(t, lines["records"].URL(records))
		if sessions != "" {
			lines["sessions"] = engines.NewProxy(t, address(t, sessions))
			sessions = hasty(t, lines["sessions"].URL(sessions))
		}
		env := settings(records, sessions)
		all := serve(t, 2, env)
		c := newTenant(t, "crm", "acme.example")
		if err := all[0].connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for what, line := range lines {
			for _, o := range outages {
				t.Run(what+" "+o.name, func(t *testing.T) { o.hits(t, all, c, what, line, sessions != "") })
			}
		}
		audit(t, env)
	})
}

// hits takes one of the databases away.
func (o outage) hits(t *testing.T, all []*instance, c *tenant, what string, line *engines.Proxy, split bool) {
	ctx, name := t.Context(), strings.ReplaceAll(what+" "+o.name, " ", "-")
	begun, finished := &login{tenant: c, person: "begun-" + name}, &login{tenant: c, person: "finished-" + name}
	redeemed, err := signIn(ctx, c, "redeemed-"+name, all[0])
	if err = errors.Join(err, begun.begin(ctx, all[0]), finished.begin(ctx, all[1]), finished.finish(ctx, all[0])); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // until nothing is cached any more
	o.begin(line)
	slug := func(i *instance) string { return "away-" + name + "-" + strings.TrimPrefix(i.URL, "http://127.0.0.1:") }
	needed := func(which string) bool { return which == "" || which == what || !split }
	var undone sync.Map // by instance: whether its mutation was told to come later
	calls := []struct {
		what  string
		needs string // "" is both
		reads bool   // and so it is never in doubt whether something was done
		call  func(*instance) error
	}{
		{"authorize", "", false, func(i *instance) error { return (&login{tenant: c, person: "new"}).begin(ctx, i) }},
		{"the assertion consumer", "", false, func(i *instance) error { l := *begun; return l.finish(ctx, i) }},
		{"token", "", false, func(i *instance) error { l := *finished; return l.redeem(ctx, i) }},
		{"userinfo", "", true, func(i *instance) error { return redeemed.check(ctx, i) }},
		{"a mutation", "records", false, func(i *instance) error {
			_, err := i.create(ctx, "Project", map[string]any{"slug": slug(i)})
			undone.Store(i, errors.Is(err, errLater))
			return err
		}},
		{"a query", "records", true, func(i *instance) error { _, err := i.graphql(ctx, `{project(slug: "none") {id}}`, nil); return err }},
		{"making a connection", "records", false, func(i *instance) error { again := *c; return i.connect(ctx, &again) }},
		{"listing connections", "records", true, func(i *instance) error {
			a, err := i.get(ctx, "/api/v1/sso?"+c.encoded(), "Authorization", "Api-Key "+adminKey)
			if err == nil && a.StatusCode != http.StatusOK {
				err = a.refusal()
			}
			return err
		}},
	}
	var running sync.WaitGroup
	for n, i := range all {
		for _, call := range calls {
			running.Go(func() {
				err := call.call(i)
				told := errors.Is(err, errLater) || !call.reads && errors.Is(err, errMaybe)
				if needed(call.needs) != told || !told && err != nil {
					t.Errorf("%s at instance %d: %v", call.what, n, err)
				}
			})
		}
		if _, err := i.get(ctx, "/readyz"); !errors.Is(err, errLater) {
			t.Errorf("readyz of instance %d: %v", n, err)
		}
		for _, path := range []string{"/healthz", "/oauth/jwks", "/.well-known/openid-configuration"} {
			if a, err := i.get(ctx, path); err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("%s of instance %d: %v", path, n, err)
			}
		}
	}
	running.Wait()
	line.Refuse(false)
	line.Decide(nil)
	line.Cut()
	began := time.Now()
	for n, i := range all {
		if err := insist(ctx, func() error { _, err := signIn(ctx, c, fmt.Sprintf("back-%s-%d", name, n), i); return err }); err != nil {
			t.Errorf("back again, at instance %d: %v", n, err)
		}
		i.ready(t)
	}
	for n, i := range all { // what was told to come later was not done
		later, _ := undone.Load(i)
		if _, err := i.create(ctx, "Project", map[string]any{"slug": slug(i)}); later == true && err != nil {
			t.Errorf("the mutation at instance %d anew: %v", n, err)
		}
	}
	t.Logf("people signed in at each instance %s after the database was back", time.Since(began).Round(time.Millisecond))
	if err := errors.Join(begun.finish(ctx, all[1]), begun.redeem(ctx, all[0]), begun.check(ctx, all[1]), finished.redeem(ctx, all[1]),
		finished.check(ctx, all[0]), redeemed.check(ctx, all[1])); err != nil {
		t.Errorf("what had begun before: %v", err)
	}
}

// audit holds that nothing is half there.
func audit(t *testing.T, env []string) {
	t.Helper()
	newWitness(t, env).people(t)
}

// TestBadNetwork puts load on instances whose connections to the databases are delayed, cut and half-closed at random, in the
// middle of requests and between them, commits too: no answer is wrong, nobody is signed in twice.
func TestBadNetwork(t *testing.T) {
	eachServer(t, func(t *testing.T, s setup) {
		records, sessions := s.fresh(t)
		bad := func(text string) string { // also while the instances start
			p := engines.NewProxy(t, address(t, text))
			p.Delay(time.Millisecond)
			p.Decide(fate)
			return hasty(t, p.URL(text))
		}
		env := settings(records, sessions)
		good := serve(t, 1, env)
		over := append(append([]string{}, env...), "PORTICO_DATABASE_URL="+bad(records))
		if sessions != "" {
			over = append(over, "PORTICO_SESSION_URL="+bad(sessions))
		}
		l := startLoad(t, append(good, serve(t, 2, over)...)...)
		l.await(int64(number(300, 2000)))
		l.audit(env)
	})
}

// fate has one in a hundred requests of a client treated badly.
func fate(c engines.Chunk) engines.Fate {
	if !c.FromClient || rand.N(100) > 0 {
		return engines.Pass
	}
	if bytes.Contains(bytes.ToLower(c.Data), []byte("commit")) || rand.N(2) == 0 {
		return engines.CutAnswer
	}
	return []engines.Fate{engines.Cut, engines.HalfClose, engines.Swallow}[rand.N(3)]
}

// hasty has an instance give a silent server up soon.
func hasty(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	switch {
	case strings.HasPrefix(u.Scheme, "redis"):
		q.Set("read_timeout", "1s")
	case u.Scheme == "mongodb":
		q.Set("timeoutMS", "1000")
	default:
		q.Set("call_timeout", "1s")
	}
	u.RawQuery = q.Encode()
	return u.String()
}
