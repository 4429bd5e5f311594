//go:build unix

package bench

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// clientCredentialsLimit is 20 times what Keycloak publishes: 120 client credentials grants a second and vCPU.
const clientCredentialsLimit = 420 * time.Microsecond

// BenchmarkEndpoint is one request at an endpoint of the authorization server. cpu is the processor time of the process;
// p99 is a request's without its commits, whose longest of a hundred is commit-p99; a synced write of 4 KiB to the same disk takes
// sync-p50 and sync-p99 at that hour.
func BenchmarkEndpoint(b *testing.B) {
	p := startProgram(b, "NEVER")
	p.allow(b, "AUTHORIZATION_CODE", "REFRESH_TOKEN", "CLIENT_CREDENTIALS")
	openID, offline, plain := p.application(true), p.application(true), p.application(false)
	offline.query.Set("scope", "openid offline_access")
	for i := range 16 {
		p.signIn(b, plain, known(i))
	}
	credentials := url.Values{"client_id": {p.clientID}, "client_secret": {p.secret}}
	for _, e := range []struct {
		name  string
		limit time.Duration
		next  func(b *testing.B, n int) []func() *http.Request // what n requests begin with, not measured
	}{
		{"token/code", 0, func(b *testing.B, n int) []func() *http.Request { return p.redemptions(b, plain, n) }},
		{"token/code+id-token", 0, func(b *testing.B, n int) []func() *http.Request { return p.redemptions(b, openID, n) }},
		{"token/refresh", 0, func(b *testing.B, n int) []func() *http.Request {
			return p.each(n, func(i int) *http.Request { return p.refresh(b, p.tokens(b, offline, i).RefreshToken) })
		}},
		{"token/client-credentials", clientCredentialsLimit, func(b *testing.B, n int) []func() *http.Request {
			form := with(credentials, "grant_type", "client_credentials")
			return p.each(n, func(int) *http.Request { return post(b, "/api/oauth/token", form) })
		}},
		{"introspect", 0, func(b *testing.B, n int) []func() *http.Request {
			form := with(credentials, "token", p.tokens(b, plain, 0).AccessToken)
			return p.each(n, func(int) *http.Request { return post(b, "/api/oauth/introspect", form) })
		}},
		{"userinfo", 0, func(b *testing.B, n int) []func() *http.Request {
			token := p.tokens(b, plain, 0).AccessToken
			return p.each(n, func(int) *http.Request {
				r := get(b, "/api/oauth/userinfo")
				r.Header.Set("Authorization", "Bearer "+token)
				return r
			})
		}},
	} {
		b.Run(e.name, func(b *testing.B) { p.measureRequests(b, e.limit, e.next) })
	}
}

// measureRequests sends b.N requests, one after the other.
func (p *program) measureRequests(b *testing.B, limit time.Duration, next func(*testing.B, int) []func() *http.Request) {
	b.ReportAllocs()
	b.StopTimer()
	b.ResetTimer()
	var total time.Duration
	var own, committing []time.Duration
	var calls, commits int64
	for done := 0; done < b.N; {
		n := min(batch, b.N-done)
		requests := make([]*http.Request, n)
		for i, begin := range next(b, n) {
			requests[i] = begin()
		}
		readsBefore, commitsBefore := p.reads.Load(), p.commits.Load()
		measured(b, &total, func() {
			for _, r := range requests {
				start, inCommit := time.Now(), p.inCommit.Load()
				w := httptest.NewRecorder()
				p.ServeHTTP(w, r)
				inCommit = p.inCommit.Load() - inCommit
				own, committing = append(own, time.Since(start)-time.Duration(inCommit)), append(committing, time.Duration(inCommit))
				if w.Code != http.StatusOK || bytes.Contains(w.Body.Bytes(), []byte(`"active":false`)) {
					b.Fatalf("%s: %d %s", r.URL.Path, w.Code, w.Body)
				}
			}
		})
		calls, commits = calls+p.reads.Load()-readsBefore, commits+p.commits.Load()-commitsBefore
		done += n
	}
	n := float64(b.N)
	b.ReportMetric(float64(total)/n, "cpu-ns/op")
	if limit > 0 {
		b.ReportMetric(float64(limit), "cpu-limit-ns/op")
	}
	b.ReportMetric(quantile(own, 0.99), "p99-ns/op")
	b.ReportMetric(quantile(committing, 0.99), "commit-p99-ns/op")
	b.ReportMetric(float64(calls+commits)/n, "store-calls")
	b.ReportMetric(float64(commits)/n, "commits")
	syncs := syncTimes(b)
	b.ReportMetric(quantile(syncs, 0.5), "sync-p50-ns/op")
	b.ReportMetric(quantile(syncs, 0.99), "sync-p99-ns/op")
}

func quantile(list []time.Duration, q float64) float64 {
	slices.Sort(list)
	return float64(list[int(q*float64(len(list)-1))])
}

// syncTimes writes 4 KiB a hundred times where the database is, and syncs each.
func syncTimes(tb testing.TB) []time.Duration {
	f, err := os.Create(filepath.Join(tb.TempDir(), "synced"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	list := make([]time.Duration, 100)
	for i := range list {
		start := time.Now()
		if _, err = f.Write(page); err == nil {
			err = f.Sync()
		}
		if err != nil {
			tb.Fatal(err)
		}
		list[i] = time.Since(start)
	}
	return list
}

// each is n requests that need nothing of each other.
func (p *program) each(n int, request func(i int) *http.Request) []func() *http.Request {
	list := make([]func() *http.Request, n)
	for i := range list {
		list[i] = func() *http.Request { return request(i) }
	}
	return list
}

// redemptions are token requests with n fresh codes.
func (p *program) redemptions(b *testing.B, c client, n int) []func() *http.Request {
	return p.each(n, func(i int) *http.Request { return post(b, "/api/oauth/token", p.code(b, c, i)) })
}

// code signs a person in as far as the code, and gives the form that redeems it.
func (p *program) code(b *testing.B, c client, i int) string {
	l := &login{program: p, client: c, person: known(i)}
	l.begin(b)
	l.answer(b)
	return l.redemption(l.receiveCode(b))
}

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

func (p *program) tokens(b *testing.B, c client, i int) tokens {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, post(b, "/api/oauth/token", p.code(b, c, i)))
	var t tokens
	if err := json.Unmarshal(w.Body.Bytes(), &t); err != nil || t.AccessToken == "" {
		b.Fatalf("no token: %d %s", w.Code, w.Body)
	}
	return t
}

func (p *program) refresh(b *testing.B, token string) *http.Request {
	if token == "" {
		b.Fatal("no refresh token")
	}
	return post(b, "/api/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token},
		"client_id": {p.clientID}, "client_secret": {p.secret}}.Encode())
}

// allow gives the application these ways to tokens.
func (p *program) allow(tb testing.TB, grants ...string) {
	p.graphql(tb, `mutation($in: UpdateApplicationInput!) {updateApplication(input: $in) {errors {message}}}`,
		map[string]any{"id": p.clientID, "grantTypes": grants}, nil)
}

func with(form url.Values, name, value string) string {
	return strings.Join([]string{form.Encode(), url.Values{name: {value}}.Encode()}, "&")
}
