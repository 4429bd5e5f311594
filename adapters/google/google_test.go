package google_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-sso/portico/adapters/google"
	"github.com/portico-sso/portico/ports/directory"
	"github.com/portico-sso/portico/ports/outbound"
)

// sender answers every request alike, and keeps the last one.
type sender struct {
	answer outbound.Answer
	err    error
	last   outbound.Request
}

func (s *sender) Send(_ context.Context, r outbound.Request) (outbound.Answer, error) {
	s.last = r
	return s.answer, s.err
}

const users = `{"kind":"admin#directory#users","users":[{"id":"1","primaryEmail":"a@b.example"}]}`

func TestOutcomes(t *testing.T) {
	reason := func(r string) string {
		return `{"error":{"code":403,"message":"no","errors":[{"domain":"usageLimits","reason":"` + r + `"}]}}`
	}
	for _, c := range []struct {
		status int
		body   string
		err    error
		want   error
	}{
		{200, users, nil, nil},
		{200, `{"kind":"admin#directory#users"}`, nil, nil}, // nobody
		{200, `{}`, nil, directory.ErrMalformed},
		{200, `{"kind":"admin#directory#groups","groups":[]}`, nil, directory.ErrMalformed},
		{200, `<html>`, nil, directory.ErrMalformed},
		{200, users[:40], nil, directory.ErrMalformed},
		{200, strings.Replace(users, `"1"`, `""`, 1), nil, directory.ErrMalformed},
		{200, strings.Replace(users, `"a@b.example"`, `7`, 1), nil, directory.ErrMalformed},
		{204, ``, nil, directory.ErrMalformed},
		{302, ``, nil, directory.ErrMalformed},
		{400, reason("invalid"), nil, directory.ErrMalformed},
		{401, reason("authError"), nil, directory.ErrRevoked},
		{403, reason("forbidden"), nil, directory.ErrForbidden},
		{403, `not JSON`, nil, directory.ErrForbidden},
		{403, reason("rateLimitExceeded"), nil, directory.ErrBusy},
		{403, reason("userRateLimitExceeded"), nil, directory.ErrBusy},
		{403, reason("quotaExceeded"), nil, directory.ErrBusy},
		{404, reason("notFound"), nil, directory.ErrNotFound},
		{429, ``, nil, directory.ErrBusy},
		{500, ``, nil, directory.ErrBusy},
		{503, `<html>`, nil, directory.ErrBusy},
		{0, ``, outbound.ErrUnreachable, directory.ErrBusy},
		{200, ``, outbound.ErrTooLarge, directory.ErrMalformed},
	} {
		s := &sender{answer: outbound.Answer{Status: c.status, Body: []byte(c.body)}, err: c.err}
		_, err := google.New(google.Options{Send: s}).Users(t.Context(), "access", "", "")
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%d %s %v: %v, want %v", c.status, c.body, c.err, err, c.want)
		}
	}
}

func TestTokenOutcomes(t *testing.T) {
	for body, want := range map[string]error{
		`{"access_token":"a","expires_in":3599,"token_type":"Bearer"}`: nil,
		`{"access_token":"a"}`: directory.ErrMalformed,
		`{"expires_in":3599}`:  directory.ErrMalformed,
		`a=b`:                  directory.ErrMalformed,
		`{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`: directory.ErrRevoked,
	} {
		s := &sender{answer: outbound.Answer{Status: 200, Body: []byte(body)}}
		_, err := google.New(google.Options{Send: s, ClientID: "i d", ClientSecret: "s:x"}).Refresh(t.Context(), "r")
		if !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s:x") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := google.New(google.Options{Send: &sender{err: outbound.ErrUnreachable}}).Refresh(stopped, "r"); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}

// TestAddresses holds that what is asked for is Google's, and that values stay values.
func TestAddresses(t *testing.T) {
	s := &sender{answer: outbound.Answer{Status: 200, Body: []byte(users)}}
	c := google.New(google.Options{Send: s, ClientID: "id"})
	if _, err := c.Users(t.Context(), "access", `/A's\ & b`, "p=1&q"); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.last.URL)
	if err != nil || u.Host != "admin.googleapis.com" || u.Path != "/admin/directory/v1/users" || s.last.Header["Authorization"] != "Bearer access" {
		t.Errorf("%v %v", s.last, err)
	}
	if q := u.Query(); q.Get("query") != `orgUnitPath='/A\'s\\ & b'` || q.Get("pageToken") != "p=1&q" || q.Get("customer") != "my_customer" || q.Get("maxResults") != "500" {
		t.Errorf("query %v", q)
	}
	_, _ = c.Group(t.Context(), "access", "../users?x=/#y")
	if u, err = url.Parse(s.last.URL); err != nil || u.EscapedPath() != "/admin/directory/v1/groups/..%2Fusers%3Fx=%2F%23y" {
		t.Errorf("%s %v", s.last.URL, err)
	}
	u, err = url.Parse(c.AuthorizeURL(directory.Grant{Redirect: "https://sso.example.com/cb", State: "s&t", Challenge: "c"}))
	if q := u.Query(); err != nil || u.Host != "accounts.google.com" || q.Get("state") != "s&t" || q.Get("access_type") != "offline" || q.Get("prompt") != "consent" ||
		q.Get("redirect_uri") != "https://sso.example.com/cb" || q.Get("code_challenge") != "c" || q.Get("client_id") != "id" {
		t.Errorf("%v %v", u, err)
	}
}

// TestWho believes an ID token that is for this client, and no other one.
func TestWho(t *testing.T) {
	token := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	const ours = `{"iss":"https://accounts.google.com","aud":"id","email":"root@acme.example","hd":"Acme.Example"}`
	for idToken, want := range map[string]string{
		token(ours): "root@acme.example acme.example",
		token(`{"iss":"accounts.google.com","aud":"id","email":"a@gmail.example"}`):   "a@gmail.example ",
		token(strings.Replace(ours, `"aud":"id"`, `"aud":"another"`, 1)):              " ",
		token(strings.Replace(ours, "https://accounts.google.com", "https://x.y", 1)): " ",
		token("{"): " ", token(ours) + ".x": " ", "e30.?.c2ln": " ", "": " ",
	} {
		s := &sender{answer: outbound.Answer{Status: 200, Body: []byte(`{"access_token":"a","expires_in":3599,"id_token":"` + idToken + `"}`)}}
		got, err := google.New(google.Options{Send: s, ClientID: "id"}).Exchange(t.Context(), "c", "r", "v")
		if err != nil || got.Email+" "+got.Domain != want {
			t.Errorf("%s: %+v, %v", idToken, got, err)
		}
	}
}

func TestRevoke(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   error
	}{{200, "{}", nil}, {400, `{"error":"invalid_token"}`, nil}, {400, `{"error":"invalid_request"}`, directory.ErrMalformed}, {503, "", directory.ErrBusy}} {
		s := &sender{answer: outbound.Answer{Status: c.status, Body: []byte(c.body)}}
		err := google.New(google.Options{Send: s}).Revoke(t.Context(), "1//a&b")
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || s.last.URL != "https://oauth2.googleapis.com/revoke" || string(s.last.Body) != "token=1%2F%2Fa%26b" {
			t.Errorf("%d %s: %v, sent %s to %s", c.status, c.body, err, s.last.Body, s.last.URL)
		}
	}
}
