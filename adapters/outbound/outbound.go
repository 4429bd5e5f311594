// Package outbound fetches documents from addresses that tenants choose, and from nowhere it must not reach.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"code.dny.dev/ssrf"

	"github.com/portico-sso/portico/ports/outbound"
)

// Options configure a Client.
type Options struct {
	AllowPrivate []netip.Prefix // networks that may be reached although they are not public
	Timeout      time.Duration  // of a whole fetch; 0 is 8 s
}

const (
	defaultTimeout = 8 * time.Second
	maxRedirects   = 3
)

// Client is an outbound.Fetcher. The address is judged when a connection is made, after the name was resolved, so
// that a name cannot point somewhere else a moment later; each redirect is judged again.
type Client struct{ http *http.Client }

var _ outbound.Fetcher = (*Client)(nil)

// New makes a client.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	var v4, v6 []netip.Prefix
	for _, p := range o.AllowPrivate {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	guard := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	dialer := &net.Dialer{Timeout: o.Timeout, Control: guard.Safe}
	return &Client{http: &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: o.Timeout, ResponseHeaderTimeout: o.Timeout,
			MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true, ForceAttemptHTTP2: true,
			// no Proxy: a proxy would dial for us, past the guard
		},
		CheckRedirect: checkRedirect,
	}}
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
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return outbound.Document{}, fmt.Errorf("%w: %w", outbound.ErrForbidden, err)
	}
	if err := checkURL(r.URL); err != nil {
		return outbound.Document{}, err
	}
	r.Header.Set("User-Agent", "Portico")
	response, err := c.http.Do(r)
	if err != nil {
		return outbound.Document{}, classify(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return outbound.Document{}, &outbound.StatusError{Code: response.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBytes+1))
	if err != nil {
		return outbound.Document{}, classify(err)
	}
	if int64(len(body)) > maxBytes {
		return outbound.Document{}, outbound.ErrTooLarge
	}
	return outbound.Document{Body: body, ContentType: response.Header.Get("Content-Type")}, nil
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
