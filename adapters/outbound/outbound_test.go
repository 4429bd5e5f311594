package outbound_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/outbound"
	port "github.com/portico-sso/portico/ports/outbound"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// proxied tells that the proxy of the environment was reached. net/http reads that environment once for a process.
var proxied atomic.Bool

func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Store(true) }))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, proxy.URL); err != nil {
			panic(err)
		}
	}
	m.Run()
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func serveTLS(t *testing.T, h http.HandlerFunc) (address string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.URL, roots
}

func portOf(address string) string { return address[strings.LastIndex(address, ":"):] }

// resolver answers every name's A question with an address, in turn, and has no AAAA.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer, asked := make([]byte, 512), 0
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			address := netip.MustParseAddr(addresses[asked%len(addresses)]).As4()
			reply, isA := answer(buffer[:n], address)
			if isA {
				asked++
			}
			_, _ = conn.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answer replies to a DNS query of one question (RFC 1035, 4.1).
func answer(query []byte, address [4]byte) (reply []byte, isA bool) {
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5
	isA = binary.BigEndian.Uint16(query[end-4:]) == 1
	reply = append([]byte{}, query[:end]...)
	copy(reply[2:12], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0})
	if isA {
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		reply = append(reply, address[:]...)
	}
	return reply, isA
}

func TestFetchRefusesPrivateAddresses(t *testing.T) {
	var reached atomic.Bool
	handler := func(http.ResponseWriter, *http.Request) { reached.Store(true) }
	plain := serve(t, handler)
	secure, roots := serveTLS(t, handler)
	c := outbound.New(outbound.Options{Timeout: 20 * time.Second, RootCAs: roots, Resolver: resolver(t, "127.0.0.1")})
	for _, host := range []string{
		"127.0.0.1", "127.8.9.10", "localhost", "LOCALHOST.", "[::1]", "0.0.0.0", "[::]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", // 127.0.0.1 in IPv6
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "[fd00::1]", "[fe80::1]", "[fd00:ec2::254]",
		"192.0.2.1", "198.18.0.1", "240.0.0.1", "255.255.255.255", "[ff02::1]", "[2001:db8::1]",
		"0x7f000001", "127.0.0.1.nip.example", "rebound.example", // names, to a resolver
		"127.1", "2130706433", "0177.0.0.1", // names too, that only some resolvers take
	} {
		refused := func(err error) bool { return errors.Is(err, port.ErrForbidden) }
		_, literal := netip.ParseAddr(host)
		if (strings.Trim(host, "0123456789.") == "" && literal != nil) || (host[0] == '[' && !haveIPv6()) {
			refused = func(err error) bool { return err != nil }
		}
		for _, address := range []string{"http://" + host + portOf(plain) + "/", "https://" + host + portOf(secure) + "/"} {
			if _, err := c.Fetch(t.Context(), address, 100); !refused(err) {
				t.Errorf("%s: %v, want ErrForbidden", address, err)
			}
		}
	}
	if reached.Load() {
		t.Error("a private server was reached")
	}
}

func haveIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	return err == nil && l.Close() == nil
}

// A name that is public when one looks and private when one dials: every dial judges the address it dials.
func TestFetchJudgesTheAddressItDials(t *testing.T) {
	var reached atomic.Bool
	address, roots := serveTLS(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	c := outbound.New(outbound.Options{
		Timeout: time.Second, RootCAs: roots, Resolver: resolver(t, "127.0.0.2", "127.0.0.1"),
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")},
	})
	if _, err := c.Fetch(t.Context(), "https://rebound.example"+portOf(address), 100); !errors.Is(err, port.ErrUnreachable) {
		t.Errorf("the first address: %v, want ErrUnreachable: it is allowed and nobody listens", err)
	}
	if _, err := c.Fetch(t.Context(), "https://rebound.example"+portOf(address), 100); !errors.Is(err, port.ErrForbidden) {
		t.Errorf("the second address: %v, want ErrForbidden", err)
	}
	if reached.Load() {
		t.Error("the private server was reached")
	}
}

func TestFetchPlainHTTPOnlyToAllowedNetworks(t *testing.T) {
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	if _, err := c.Fetch(t.Context(), "http://8.8.8.8/", 100); !errors.Is(err, port.ErrForbidden) {
		t.Errorf("a public address: %v, want ErrForbidden", err)
	}
	if _, err := c.Fetch(t.Context(), serve(t, func(http.ResponseWriter, *http.Request) {}), 100); err != nil {
		t.Errorf("an allowed network: %v", err)
	}
}

func TestFetchRedirects(t *testing.T) {
	var reached atomic.Bool
	inner := serve(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	secure, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		if left, err := strconv.Atoi(r.URL.Path[1:]); err == nil && left > 0 {
			http.Redirect(w, r, "/"+strconv.Itoa(left-1), http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "arrived")
	})
	c := outbound.New(outbound.Options{
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: 20 * time.Second, RootCAs: roots,
	})
	for name, to := range map[string]string{
		"to a private address":       strings.Replace(secure, "127.0.0.1", "127.0.0.2", 1),
		"to the metadata of a cloud": "https://169.254.169.254/latest/meta-data/",
		"from https to http":         inner,
		"to a file":                  "file:///etc/passwd",
		"to a URL with a password":   strings.Replace(secure, "https://", "https://user:pass@", 1),
	} {
		if _, err := c.Fetch(t.Context(), secure+"/?to="+to, 100); !errors.Is(err, port.ErrForbidden) {
			t.Errorf("%s: %v, want ErrForbidden", name, err)
		}
	}
	if reached.Load() {
		t.Error("the redirect was followed")
	}
	if doc, err := c.Fetch(t.Context(), secure+"/3", 100); err != nil || string(doc.Body) != "arrived" {
		t.Errorf("three redirects: %q, %v", doc.Body, err)
	}
	if _, err := c.Fetch(t.Context(), secure+"/4", 100); !errors.Is(err, port.ErrUnreachable) {
		t.Errorf("four redirects: %v, want ErrUnreachable", err)
	}
}

func TestFetchIgnoresProxies(t *testing.T) {
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	if _, err := c.Fetch(t.Context(), "http://10.0.0.1/", 100); !errors.Is(err, port.ErrForbidden) || proxied.Load() {
		t.Errorf("got %v, want ErrForbidden; proxy reached: %t", err, proxied.Load())
	}
}

func TestFetchReadsADocument(t *testing.T) {
	address, roots := serveTLS(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, "12345")
	})
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second, RootCAs: roots})
	doc, err := c.Fetch(t.Context(), address, 5)
	if err != nil || string(doc.Body) != "12345" || doc.ContentType != "text/xml" {
		t.Errorf("got %q %q %v", doc.Body, doc.ContentType, err)
	}
	if _, err := c.Fetch(t.Context(), address, 4); !errors.Is(err, port.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	stranger := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	if _, err := stranger.Fetch(t.Context(), address, 5); !errors.Is(err, port.ErrUnreachable) {
		t.Errorf("an unknown certificate: %v, want ErrUnreachable", err)
	}
}

func TestFetchCountsWhatABombExpandsTo(t *testing.T) {
	const most = 1 << 10
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 1<<20))
		_ = z.Close()
	})
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	if _, err := c.Fetch(t.Context(), address, most); !errors.Is(err, port.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestFetchGivesUpOnSlowServers(t *testing.T) {
	wait := func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	}
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) { wait(r) })
	trickling := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "1")
		_ = http.NewResponseController(w).Flush()
		wait(r)
	})
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: time.Second})
	for _, address := range []string{silent, trickling} {
		began := time.Now()
		if _, err := c.Fetch(t.Context(), address, 5); !errors.Is(err, port.ErrUnreachable) || time.Since(began) > 20*time.Second {
			t.Errorf("got %v after %v, want ErrUnreachable", err, time.Since(began))
		}
	}
}

func TestFetchTellsTheStatus(t *testing.T) {
	gone := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	var status *port.StatusError
	if _, err := c.Fetch(t.Context(), gone, 5); !errors.As(err, &status) || status.Code != http.StatusGone {
		t.Errorf("got %v, want StatusError 410", err)
	}
}

func TestFetchTellsTheStatusOfALongRefusal(t *testing.T) {
	gone := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, "much too long")
	})
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	var status *port.StatusError
	if _, err := c.Fetch(t.Context(), gone, 5); !errors.As(err, &status) || status.Code != http.StatusGone {
		t.Errorf("got %v, want StatusError 410", err)
	}
}

func TestSend(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.Method+" "+r.Header.Get("Authorization")+" "+r.Header.Get("User-Agent")+" "+string(body))
	})
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	a, err := c.Send(t.Context(), port.Request{Method: http.MethodPost, URL: address, Header: map[string]string{"Authorization": "me"},
		Body: []byte("form"), MaxBytes: 20})
	if err != nil || a.Status != http.StatusTeapot || a.ContentType != "application/json" || string(a.Body) != "POST me Portico form" {
		t.Errorf("got %+v %q, %v", a, a.Body, err)
	}
	if a, err := c.Send(t.Context(), port.Request{Method: http.MethodGet, URL: address, MaxBytes: 4}); !errors.Is(err, port.ErrTooLarge) || a.Body != nil {
		t.Errorf("got %+v, %v, want ErrTooLarge", a, err)
	}
	if _, err := outbound.New(outbound.Options{}).Send(t.Context(), port.Request{Method: http.MethodPost, URL: address, MaxBytes: 20}); !errors.Is(err, port.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if _, err := c.Send(t.Context(), port.Request{Method: http.MethodGet, URL: "file:///etc/passwd", MaxBytes: 20}); !errors.Is(err, port.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
}

// What a request carries, a secret or a token, is for the server that was named.
func TestSendFollowsNoRedirect(t *testing.T) {
	var reached atomic.Bool
	other := serve(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, status) })
		c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
		a, err := c.Send(t.Context(), port.Request{Method: http.MethodPost, URL: address, Body: []byte("secret"), MaxBytes: 1000})
		if err != nil || a.Status != status {
			t.Errorf("%d: got %+v, %v", status, a, err)
		}
	}
	if reached.Load() {
		t.Error("the redirect was followed")
	}
}

func TestFetchRefusesOtherURLs(t *testing.T) {
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 20 * time.Second})
	for _, address := range []string{"", "file:///etc/passwd", "gopher://127.0.0.1/", "http://user:pass@127.0.0.1/", "http://", "https:///path", "::", "//127.0.0.1/", "http://127.0.0.1:port/"} {
		if _, err := c.Fetch(t.Context(), address, 5); !errors.Is(err, port.ErrForbidden) {
			t.Errorf("%s: got %v, want ErrForbidden", address, err)
		}
	}
}
