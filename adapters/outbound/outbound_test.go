package outbound_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/outbound"
	port "github.com/portico-sso/portico/ports/outbound"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestFetchRefusesPrivateAddresses(t *testing.T) {
	reached := false
	address := serve(t, func(http.ResponseWriter, *http.Request) { reached = true })
	_, hostPort, _ := strings.Cut(address, "://")
	_, port5, _ := strings.Cut(hostPort, ":")
	c := outbound.New(outbound.Options{Timeout: time.Second})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "0x7f000001",
		"10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]",
	} {
		if _, err := c.Fetch(t.Context(), "http://"+host+":"+port5+"/", 100); err == nil {
			t.Errorf("%s: fetched", host)
		} else if strings.Contains("127.0.0.1 localhost 10.0.0.1 169.254.169.254", host) && !errors.Is(err, port.ErrForbidden) {
			t.Errorf("%s: %v, want ErrForbidden", host, err)
		}
	}
	if reached {
		t.Error("a private server was reached")
	}
}

func TestFetchRefusesRedirectToPrivate(t *testing.T) {
	reached := false
	inner := serve(t, func(http.ResponseWriter, *http.Request) { reached = true })
	outer := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(inner, "127.0.0.1", "127.0.0.2", 1), http.StatusFound)
	})
	c := outbound.New(outbound.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: time.Second})
	if _, err := c.Fetch(t.Context(), outer, 100); !errors.Is(err, port.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if reached {
		t.Error("the redirect was followed")
	}
}

func TestFetchLimits(t *testing.T) {
	c := outbound.New(outbound.Options{AllowPrivate: loopback, Timeout: 200 * time.Millisecond})
	ok := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte("12345"))
	})
	doc, err := c.Fetch(t.Context(), ok, 5)
	if err != nil || string(doc.Body) != "12345" || doc.ContentType != "text/xml" {
		t.Errorf("got %q %q %v", doc.Body, doc.ContentType, err)
	}
	if _, err := c.Fetch(t.Context(), ok, 4); !errors.Is(err, port.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	})
	if _, err := c.Fetch(t.Context(), slow, 5); !errors.Is(err, port.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	gone := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	var status *port.StatusError
	if _, err := c.Fetch(t.Context(), gone, 5); !errors.As(err, &status) || status.Code != http.StatusGone {
		t.Errorf("got %v, want StatusError 410", err)
	}
	var loop string
	loop = serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, loop, http.StatusFound) })
	if _, err := c.Fetch(t.Context(), loop, 5); !errors.Is(err, port.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	for _, address := range []string{"file:///etc/passwd", "gopher://127.0.0.1/", "http://user:pass@127.0.0.1/", "http://", "::"} {
		if _, err := c.Fetch(t.Context(), address, 5); !errors.Is(err, port.ErrForbidden) {
			t.Errorf("%s: got %v, want ErrForbidden", address, err)
		}
	}
}
