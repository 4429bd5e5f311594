package databases

import (
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
)

// TestGalera runs two instances on a cluster of three, each through a node of its own. They are one; and when a node is killed
// under load, nothing that was acknowledged is lost, people go on signing in through the other instance, and the one whose
// node is gone serves again when it is started on another.
func TestGalera(t *testing.T) {
	cluster := engines.StartGalera(t, 3, engines.Options{})
	env := settings(cluster[0].URL, "")
	through := func(node int) []string {
		return append(append([]string{}, env...), "PORTICO_DATABASE_URL="+cluster[node].URL)
	}
	all := []*instance{begin(t, through(0)), begin(t, through(1))}
	for _, i := range all {
		i.serving()
	}
	twoAsOne(t, all)

	l := startLoad(t, all...)
	commits := int64(number(300, 2000))
	l.await(commits / 3)
	if err := cluster[1].Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("a node was killed; people signed in at the instance of another node after %s", l.recovered(all[0]))
	all[1].kill()
	all[1].env = through(2)
	began := time.Now()
	all[1].restart()
	t.Logf("the instance of the killed node was started on another; people signed in there after %s", time.Since(began).Round(time.Millisecond)+l.recovered(all[1]))
	l.await(commits * 2 / 3)
	began = time.Now()
	if err := cluster[1].Restart(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the node joined again in %s; people signed in at each instance after %s more", time.Since(began).Round(time.Millisecond), l.recovered(all...))
	l.await(commits)
	l.audit(through(1)) // which was away
}

// TestStandbyPromoted runs two instances on PostgreSQL with a synchronous standby, by one URL that names both. When the primary
// is killed under load and the standby promoted, nothing that was acknowledged is lost, and people sign in again without a
// restart of Portico.
func TestStandbyPromoted(t *testing.T) {
	primary := engines.Start(t, engines.Postgres, engines.Options{})
	standby := engines.StartStandby(t, primary)
	env := settings(both(t, primary, standby), "")
	all := serve(t, 2, env)
	l := startLoad(t, all...)
	commits := int64(number(300, 2000))
	l.await(commits / 2)
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the primary was killed and the standby promoted in %s; people signed in at each instance after %s more",
		time.Since(began).Round(time.Millisecond), l.recovered(all...))
	l.await(commits)
	l.audit(env)
}

// both is a URL of two servers, as libpq takes it.
func both(t *testing.T, servers ...*engines.Server) string {
	t.Helper()
	u, err := url.Parse(servers[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	var hosts, ports []string
	for _, s := range servers {
		host, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	q := u.Query()
	q.Set("host", strings.Join(hosts, ","))
	q.Set("port", strings.Join(ports, ","))
	u.Host, u.RawQuery = "", q.Encode()
	return u.String()
}
