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

// measureLogins signs a person in b.N times. limit is the rsa-ratio that may be reached, which the table shows beside.
func measureLogins(b *testing.B, p *program, c client, limit float64) {
	b.ReportAllocs()
	b.StopTimer()
	b.ResetTimer()
	var total time.Duration
	var ratios []float64
	reads, commits := p.reads.Load(), p.commits.Load()
	for done := 0; done < b.N; {
		logins := make([]*login, min(batch, b.N-done))
		for i := range logins {
			logins[i] = &login{program: p, client: c, person: person(0)}
		}
		var used, unit time.Duration
		measured(b, &used, func() {
			for _, l := range logins {
				l.begin(b)
			}
		})
		for _, l := range logins {
			l.answer(b)
		}
		measured(b, &used, func() {
			for _, l := range logins {
				l.finish(b)
			}
		})
		start := processorTime(b)
		signatures(b, 2*len(logins))
		unit = processorTime(b) - start
		ratios = append(ratios, 2*float64(used)/float64(unit))
		total += used
		done += len(logins)
	}
	slices.Sort(ratios)
	n := float64(b.N)
	b.ReportMetric(ratios[len(ratios)/2], "rsa-ratio")
	b.ReportMetric(limit, "rsa-ratio-limit")
	b.ReportMetric(float64(total)/n, "cpu-ns/op")
	b.ReportMetric(float64(p.reads.Load()-reads+p.commits.Load()-commits)/n, "store-calls")
	b.ReportMetric(float64(p.commits.Load()-commits)/n, "commits")
}

// BenchmarkLogin is the sign-in of a person who signed in before: authorize, assertion consumer service, token and
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
		p.signIn(b, p.application(v.openID), person(0))
		b.Run(v.name+"/application", func(b *testing.B) { measureLogins(b, p, p.application(v.openID), v.limit) })
		b.Run(v.name+"/polis", func(b *testing.B) { measureLogins(b, p, p.polis(v.openID), v.limit) })
	}
}

// BenchmarkLoginConcurrent is 16 persons signing in at once, the identity provider's work included. None may fail.
func BenchmarkLoginConcurrent(b *testing.B) {
	p := startProgram(b, "NEVER")
	idpKey()
	b.ReportAllocs()
	b.ResetTimer()
	signInTogether(b, p, b.N)
}
