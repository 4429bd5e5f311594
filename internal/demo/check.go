package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Check walks the whole sign-in as a browser would, without one. The error names the step that failed.
func Check(ctx context.Context, issuer string) (profile []byte, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	b := &browser{client: &http.Client{Jar: jar, Timeout: 15 * time.Second}}
	answer, err := b.get(ctx, issuer+Path)
	if err != nil {
		return nil, fmt.Errorf("open the application, and from there the identity provider: %w", err)
	}
	done, err := b.submit(ctx, answer)
	if err != nil {
		return nil, fmt.Errorf("carry the response back to Portico, and the code to the application: %w", err)
	}
	if done.url.Path != CallbackPath {
		return nil, fmt.Errorf("return to the application: the browser ended at %s", done.url.Path)
	}
	var result Result
	if err := json.Unmarshal(done.body, &result); err != nil {
		return nil, fmt.Errorf("read the profile: %w", err)
	}
	return json.MarshalIndent(result.Profile, "", "  ")
}

type browser struct{ client *http.Client }

type loaded struct {
	url  *url.URL
	body []byte
}

func (b *browser) get(ctx context.Context, address string) (loaded, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return loaded{}, err
	}
	return b.do(r)
}

var (
	formTag  = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	inputTag = regexp.MustCompile(`<input[^>]* name="([^"]*)"[^>]* value="([^"]*)"`)
)

// submit posts the only form of a page.
func (b *browser) submit(ctx context.Context, p loaded) (loaded, error) {
	form := formTag.FindSubmatch(p.body)
	if form == nil {
		return loaded{}, fmt.Errorf("no form at %s", p.url.Path)
	}
	action, err := p.url.Parse(html.UnescapeString(string(form[1])))
	if err != nil {
		return loaded{}, err
	}
	fields := url.Values{}
	for _, input := range inputTag.FindAllSubmatch(p.body, -1) {
		fields.Set(html.UnescapeString(string(input[1])), html.UnescapeString(string(input[2])))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		return loaded{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

func (b *browser) do(r *http.Request) (loaded, error) {
	r.Header.Set("Accept", "text/html, application/json") // the application shows programs its profile as JSON
	response, err := b.client.Do(r)
	if err != nil {
		return loaded{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return loaded{}, err
	}
	if response.StatusCode != http.StatusOK || response.Request.URL.Path == "/error" {
		return loaded{}, errors.New(response.Status + ": " + strings.TrimSpace(string(body)))
	}
	return loaded{response.Request.URL, body}, nil
}
