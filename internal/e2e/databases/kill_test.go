package databases

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Numbers of a short run and of a long one.
func number(short, whole int) int {
	if long {
		return whole
	}
	return short
}

// TestInstancesKilled kills instances with SIGKILL at random moments, during 2,000 commits in a long run: no commit is half
// there, and none is missing that was acknowledged.
func TestInstancesKilled(t *testing.T) {
	each(t, func(t *testing.T, s setup) {
		env := settings(s.fresh(t))
		all := serve(t, 2, env)
		l := startLoad(t, all...)
		commits, kills := int64(number(300, 2000)), number(4, 20)
		for n := range kills {
			l.await(commits * int64(n) / int64(kills))
			time.Sleep(rand.N(50 * time.Millisecond))
			i := all[rand.N(len(all))]
			i.kill()
			i.restart()
		}
		l.await(commits)
		l.audit(env)
	})
}

// TestServersKilled restarts the database servers under load, and kills them with SIGKILL, during 2,000 commits in a long
// run: no answer is wrong, people sign in again without a restart of Portico, no commit is half there, and none is missing
// that was acknowledged.
func TestServersKilled(t *testing.T) {
	eachServer(t, func(t *testing.T, s setup) {
		servers, records, sessions := s.alone(t)
		env := settings(records, sessions)
		all := serve(t, 2, env)
		l := startLoad(t, all...)
		commits, times := int64(number(300, 2000)), number(4, 16)
		for n := range times {
			l.await(commits * int64(n) / int64(times))
			server := servers[n/2%len(servers)]
			how, end := "stopped", server.stop
			if n%2 == 0 {
				how, end = "killed", server.kill
			}
			time.Sleep(rand.N(50 * time.Millisecond))
			began := time.Now()
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if err := server.restart(); err != nil {
				t.Fatal(err)
			}
			away := time.Since(began).Round(time.Millisecond)
			t.Logf("%s was %s, and was away for %s; people signed in at each instance after %s more", server.name, how, away, l.recovered(all...))
		}
		l.await(commits)
		l.audit(env)
	})
}
