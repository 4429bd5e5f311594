// Package outbound fetches documents from addresses that tenants choose and sends requests there, and to nowhere it must
// not reach.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/portico-sso/portico/ports/outbound"
)

// Options configure a Client.
type Options struct {
	AllowPrivate []netip.Prefix // networks that may be reached although they are not public, by plain http too
	Timeout      time.Duration  // of a whole fetch; 0 is 8 s
	RootCAs      *x509.CertPool // who may sign servers' certificates; nil is the system's
	Resolver     *net.Resolver  // nil is the system's
}

const (
	defaultTimeout = 8 * time.Second
	maxRedirects   = 3
)

// Client is an outbound.Fetcher and an outbound.Sender. The address is judged when a connection is made, after the name was resolved, so
// that a name cannot point somewhere else a moment later; each redirect is judged again. Plain http is for allowed
// networks alone: on the way to a public server anyone could exchange the document.
type Client struct {
	fetch *http.Client
	send  *http.Client // follows no redirects
}

var (
	_ outbound.Fetcher = (*Client)(nil)
	_ outbound.Sender  = (*Client)(nil)
)

// New makes a client.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	t := byScheme{https: transport(o, guard(o.AllowPrivate)), http: transport(o, allowedOnly(o.AllowPrivate))}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		fetch: &http.Client{Timeout: o.Timeout, Transport: t, CheckRedirect: checkRedirect},
		send:  &http.Client{Timeout: o.Timeout, Transport: t, CheckRedirect: stay},
	}
}

type byScheme struct{ https, http http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b byScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return b.https.RoundTrip(r)
	}
	return b.http.RoundTrip(r)
}

// control judges an address before it is dialled, as net.Dialer.Control.
type control func(network, address string, _ syscall.RawConn) error

func transport(o Options, c control) *http.Transport {
	dialer := &net.Dialer{Timeout: o.Timeout, Control: c, Resolver: o.Resolver}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: o.Timeout, ResponseHeaderTimeout: o.Timeout,
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		// no Proxy: a proxy would dial for us, past the guard
	}
}

// guard allows public addresses and the allowed networks.
func guard(allowed []netip.Prefix) control {
	var v4, v6 []netip.Prefix
	for _, p := range allowed {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)).Safe
}

func allowedOnly(allowed []netip.Prefix) control {
	return func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil || !slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(target.Addr()) }) {
			return fmt.Errorf("%w: plain http to %s", outbound.ErrForbidden, address)
		}
		return nil
	}
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", outbound.ErrUnreachable, maxRedirects)
	}
	if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
		return fmt.Errorf("%w: a redirect leaves https", outbound.ErrForbidden)
	}
	return checkURL(r.URL)
}

func checkURL(u *url.URL) error {
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%w: not a plain http or https URL", outbound.ErrForbidden)
	}
	return nil
}

// Fetch implements outbound.Fetcher.
func (c *Client) Fetch(ctx context.Context, address string, maxBytes int64) (outbound.Document, error) {
	a, err := do(ctx, c.fetch, outbound.Request{Method: http.MethodGet, URL: address, MaxBytes: maxBytes})
	if a.Status != 0 && (a.Status < 200 || a.Status > 299) { // whatever its body
		return outbound.Document{}, &outbound.StatusError{Code: a.Status}
	}
	if err != nil {
		return outbound.Document{}, err
	}
	return outbound.Document{Body: a.Body, ContentType: a.ContentType}, nil
}

// Send implements outbound.Sender.
func (c *Client) Send(ctx context.Context, r outbound.Request) (outbound.Answer, error) {
	return do(ctx, c.send, r)
}

// do answers with the status alone where the body cannot be read.
func do(ctx context.Context, client *http.Client, q outbound.Request) (outbound.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return outbound.Answer{}, fmt.Errorf("%w: %w", outbound.ErrForbidden, err)
	}
	if err := checkURL(r.URL); err != nil {
		return outbound.Answer{}, err
	}
	r.Header.Set("User-Agent", "Portico")
	for name, value := range q.Header {
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		return outbound.Answer{}, classify(err)
	}
	defer func() { _ = response.Body.Close() }()
	a := outbound.Answer{Status: response.StatusCode, ContentType: response.Header.Get("Content-Type")}
	body, err := io.ReadAll(io.LimitReader(response.Body, q.MaxBytes+1))
	if err != nil {
		return a, classify(err)
	}
	if int64(len(body)) > q.MaxBytes {
		return a, outbound.ErrTooLarge
	}
	a.Body = body
	return a, nil
}

func classify(err error) error {
	for _, forbidden := range []error{ssrf.ErrProhibitedIP, ssrf.ErrProhibitedNetwork, ssrf.ErrProhibitedPort, ssrf.ErrInvalidHostPort} {
		if errors.Is(err, forbidden) {
			return fmt.Errorf("%w: %w", outbound.ErrForbidden, err)
		}
	}
	if errors.Is(err, outbound.ErrForbidden) {
		return err
	}
	return fmt.Errorf("%w: %w", outbound.ErrUnreachable, err)
}
