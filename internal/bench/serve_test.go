//go:build linux

package bench

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The limits that the table shows beside the figures.
const (
	readyLimit = 80 // milliseconds
	idleLimit  = 40 // MiB
)

// BenchmarkServe measures `portico serve` as a process of its own, on an existing database.
func BenchmarkServe(b *testing.B) {
	dir := b.TempDir()
	binary := filepath.Join(dir, "portico")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", binary, "../../cmd/portico")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	address := freeAddress(b)
	start := func(b *testing.B) served { return startServe(b, binary, dir, address) }
	start(b).stop(b) // makes the database and its keys
	b.Run("start", func(b *testing.B) { measureStart(b, start) })
	p := &program{Handler: proxyTo(address)}
	s := start(b)
	p.configure(b, "NEVER")
	s.stop(b)
	b.Run("login", func(b *testing.B) { measureServed(b, p, start) })
}

// measureStart takes the time from exec to a 200 of /readyz, and what the process then keeps in memory when nothing is
// asked of it.
func measureStart(b *testing.B, start func(*testing.B) served) {
	var times []time.Duration
	for b.Loop() {
		s := start(b)
		times = append(times, s.ready)
		b.StopTimer()
		s.stop(b)
		b.StartTimer()
	}
	b.StopTimer()
	slices.Sort(times)
	b.ReportMetric(milliseconds(times[len(times)/2]), "median-ms")
	b.ReportMetric(milliseconds(times[len(times)-1]), "most-ms")
	b.ReportMetric(readyLimit, "ms-limit")
	s := start(b)
	s.reportIdle(b)
	s.stop(b)
}

// measureServed has 16 persons at once sign in over HTTP. None may fail. server-cpu is the processor time of the server
// alone: sockets and logs are in it, the persons and their identity provider are not.
func measureServed(b *testing.B, p *program, start func(*testing.B) served) {
	s := start(b)
	signInTogether(b, p, 16) // their first
	before := s.processorTime(b)
	b.ResetTimer()
	signInTogether(b, p, b.N)
	b.StopTimer()
	b.ReportMetric(float64(s.processorTime(b)-before)/float64(b.N), "server-cpu-ns/op")
	s.reportIdle(b)
	s.stop(b)
}

var transport = &http.Transport{MaxIdleConnsPerHost: 16}

// proxyTo is the server at an address as a handler.
func proxyTo(address string) http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.Transport = transport
	return proxy
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
	s.Dir = dir
	s.Env = append(os.Environ(), "PORTICO_LISTEN="+address, "PORTICO_PUBLIC_URL="+publicURL, "PORTICO_ADMIN_KEYS="+adminKey, "PORTICO_RATE_LIMIT=0")
	start := time.Now()
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		tb.Fatal(err)
	}
	for time.Since(start) < time.Minute {
		if response, err := transport.RoundTrip(r); err == nil {
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
	transport.CloseIdleConnections()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		tb.Fatalf("%v (is it stopped gracefully?)", err)
	}
}

// reportIdle reports what the process keeps in memory a second after the last request (VmRSS of proc(5)), and what of it is
// its own (RssAnon): the rest are pages of the program and the database, which the system's cache has anyway.
func (s served) reportIdle(b *testing.B) {
	time.Sleep(time.Second)
	status := s.proc(b, "status")
	for field, unit := range map[string]string{"VmRSS:": "idle-MiB", "RssAnon:": "own-MiB"} {
		_, text, _ := strings.Cut(status, field)
		var kib float64
		if _, err := fmt.Sscan(text, &kib); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(kib/1024, unit)
	}
	b.ReportMetric(idleLimit, "MiB-limit")
}

// processorTime is what the process has used, of user and kernel: utime and stime of proc(5), in hundredths of a second.
func (s served) processorTime(tb testing.TB) time.Duration {
	stat := s.proc(tb, "stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // from the third on
	var user, kernel int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &kernel); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(user+kernel) * time.Second / 100
}

func (s served) proc(tb testing.TB, file string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.Process.Pid, file))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
