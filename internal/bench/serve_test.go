//go:build linux

package bench

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkServeStart is the time from exec of `portico serve` on an existing database to a 200 of /readyz, and what
// the process then keeps in memory when nothing is asked of it.
func BenchmarkServeStart(b *testing.B) {
	dir := b.TempDir()
	binary := filepath.Join(dir, "portico")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, "../../cmd/portico")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	address := freeAddress(b)
	startServe(b, binary, dir, address).stop(b) // makes the database and its keys
	var times []time.Duration
	for b.Loop() {
		s := startServe(b, binary, dir, address)
		times = append(times, s.ready)
		b.StopTimer()
		s.stop(b)
		b.StartTimer()
	}
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(milliseconds(times[len(times)/2]), "median-ms")
	b.ReportMetric(milliseconds(times[len(times)-1]), "most-ms")
	s := startServe(b, binary, dir, address)
	time.Sleep(time.Second)
	b.ReportMetric(s.residentMiB(b), "idle-MiB")
	s.stop(b)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func freeAddress(tb testing.TB) string {
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// served is a running `portico serve`.
type served struct {
	*exec.Cmd
	ready time.Duration
}

func startServe(tb testing.TB, binary, dir, address string) served {
	s := served{Cmd: exec.CommandContext(tb.Context(), binary, "serve")}
	s.Dir, s.Env = dir, append(os.Environ(), "PORTICO_LISTEN="+address)
	start := time.Now()
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		tb.Fatal(err)
	}
	for time.Since(start) < time.Minute {
		if response, err := http.DefaultTransport.RoundTrip(r); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				s.ready = time.Since(start)
				return s
			}
		}
		time.Sleep(time.Millisecond / 2)
	}
	tb.Fatal("not ready within a minute")
	return s
}

func (s served) stop(tb testing.TB) {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		tb.Fatalf("%v (is it stopped gracefully?)", err)
	}
}

// residentMiB reads VmRSS (proc(5)).
func (s served) residentMiB(tb testing.TB) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, text, _ := strings.Cut(string(status), "VmRSS:")
	var kib float64
	if _, err := fmt.Sscan(text, &kib); err != nil {
		tb.Fatal(err)
	}
	return kib / 1024
}
