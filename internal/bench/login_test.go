//go:build unix

package bench

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/cache"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

// processorTime is what this process has used, of user and kernel.
func processorTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// signatures makes n RSA-2048 signatures, the measure of everything here.
func signatures(tb testing.TB, n int) {
	digest := sha256.Sum256([]byte("the measure"))
	for range n {
		if _, err := idpKey().Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			tb.Fatal(err)
		}
	}
}

// batch is how many logins are measured at once. Between begin and finish the identity provider works, which is not
// Portico's cost: its processor time is left out, and its garbage is gone before the measuring goes on. A batch is
// large enough for the collector to run several times in what is measured.
const batch = 100

// measured adds the processor time that f takes to total.
func measured(b *testing.B, total *time.Duration, f func()) {
	runtime.GC()
	b.StartTimer()
	start := processorTime(b)
	f()
	*total += processorTime(b) - start
	b.StopTimer()
}

// scenario is the sign-in to measure.
type scenario struct {
	client
	person func(i int) federationtest.User // of the i-th login
	pause  time.Duration                   // before it begins and before its answer, for which the clock must stand
	limit  float64                         // the rsa-ratio that may be reached, shown beside; 0 where there is none
}

// measureLogins signs in b.N times.
func measureLogins(b *testing.B, p *program, s scenario) {
	b.ReportAllocs()
	b.StopTimer()
	b.ResetTimer()
	var total time.Duration
	var ratios []float64
	reads, commits := p.reads.Load(), p.commits.Load()
	for done := 0; done < b.N; {
		logins := make([]*login, min(batch, b.N-done))
		for i := range logins {
			logins[i] = &login{program: p, client: s.client, person: s.person(done + i)}
		}
		used, unit := measureBatch(b, logins, s.pause)
		ratios = append(ratios, float64(used)/float64(unit))
		total += used
		done += len(logins)
	}
	slices.Sort(ratios)
	n := float64(b.N)
	b.ReportMetric(ratios[len(ratios)/2], "rsa-ratio")
	if s.limit > 0 {
		b.ReportMetric(s.limit, "rsa-ratio-limit")
	}
	b.ReportMetric(float64(total)/n, "cpu-ns/op")
	b.ReportMetric(float64(p.reads.Load()-reads+p.commits.Load()-commits)/n, "store-calls")
	b.ReportMetric(float64(p.commits.Load()-commits)/n, "commits")
}

// measureBatch takes the processor time of some logins, and that of as many signatures.
func measureBatch(b *testing.B, logins []*login, pause time.Duration) (used, unit time.Duration) {
	measured(b, &used, func() {
		for _, l := range logins {
			l.skip(pause)
			l.begin(b)
		}
	})
	for _, l := range logins {
		l.answer(b)
	}
	measured(b, &used, func() {
		for _, l := range logins {
			l.skip(pause)
			l.finish(b)
		}
	})
	start := processorTime(b)
	signatures(b, 2*len(logins))
	return used, (processorTime(b) - start) / 2
}

// known is one of the 16 persons who have signed in before.
func known(i int) federationtest.User { return person(i % 16) }

// BenchmarkLogin is the sign-in of persons who signed in before: authorize, assertion consumer service, token and
// userinfo. rsa-ratio is its processor time in RSA-2048 signatures, one of which each id token and signed request takes.
func BenchmarkLogin(b *testing.B) {
	for _, v := range []struct {
		name, sign string
		openID     bool
		limit      float64
	}{
		{"plain", "NEVER", false, 2.5},
		{"id-token", "NEVER", true, 3.5},
		{"signed-request", "ALWAYS", false, 3.5},
		{"id-token+signed-request", "ALWAYS", true, 4.5},
	} {
		p := startProgram(b, v.sign)
		for i := range 16 {
			p.signIn(b, p.application(v.openID), known(i))
		}
		s := scenario{client: p.application(v.openID), person: known, limit: v.limit}
		b.Run(v.name+"/application", func(b *testing.B) { measureLogins(b, p, s) })
		s.client = p.polis(v.openID)
		b.Run(v.name+"/polis", func(b *testing.B) { measureLogins(b, p, s) })
	}
}

// BenchmarkLoginRare is what the limits do not speak of: a plain sign-in with no configuration in the caches, and the
// first one of each person.
func BenchmarkLoginRare(b *testing.B) {
	p := startProgram(b, "NEVER")
	c := p.application(false)
	first := 0
	b.Run("first", func(b *testing.B) {
		measureLogins(b, p, scenario{client: c, person: func(int) federationtest.User {
			first++
			return person(first)
		}})
	})
	for i := range 16 {
		p.signIn(b, c, known(i))
	}
	p.stopClock()
	b.Run("alone", func(b *testing.B) { measureLogins(b, p, scenario{client: c, person: known, pause: cache.TTL}) })
}

// BenchmarkLoginConcurrent is 16 persons signing in at once, the identity provider's work included. None may fail.
func BenchmarkLoginConcurrent(b *testing.B) {
	p := startProgram(b, "NEVER")
	idpKey()
	b.ReportAllocs()
	b.ResetTimer()
	signInTogether(b, p, b.N)
}
