// Package demo is a sample application beside Portico: an ordinary OAuth client that knows nothing but the
// protocol, and shows who signed in.
package demo

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

//go:embed profile.html
var files embed.FS

var page = template.Must(template.ParseFS(files, "profile.html"))

// Client is what the sample application knows of Portico.
type Client struct {
	Issuer       string // Portico's public URL
	ClientID     string
	ClientSecret string
	Organization string // whose people sign in
}

// Paths of the sample application.
const (
	Path         = "/demo"
	CallbackPath = "/demo/callback"
	cookieName   = "portico_demo"
)

// pending is what the application remembers of a sign-in under way, in the browser.
type pending struct{ State, Nonce, Verifier string }

// Result is what a sign-in brought.
type Result struct {
	Profile map[string]any `json:"profile"`
	IDToken map[string]any `json:"idToken"`
}

// Handler serves the sample application.
func (c Client) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, c.begin)
	mux.HandleFunc("GET "+CallbackPath, c.callback)
	return mux
}

// begin sends the browser to Portico.
func (c Client) begin(w http.ResponseWriter, r *http.Request) {
	p := pending{State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text()}
	text, _ := json.Marshal(p)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: base64.RawURLEncoding.EncodeToString(text), Path: Path,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode, MaxAge: 600})
	challenge := sha256.Sum256([]byte(p.Verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {c.Issuer + CallbackPath},
		"scope": {"openid email profile"}, "state": {p.State}, "nonce": {p.Nonce}, "organization": {c.Organization},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if r.URL.Query().Has("ask") { // even somebody whom the identity provider knows already
		q.Set("prompt", "login")
	}
	http.Redirect(w, r, c.Issuer+"/api/oauth/authorize?"+q.Encode(), http.StatusFound)
}

// callback takes the code, exchanges it and shows who came.
func (c Client) callback(w http.ResponseWriter, r *http.Request) {
	result, err := c.finish(r)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		c.answerJSON(w, result, err)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	data := map[string]any{"Again": Path + "?ask"}
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		data["Error"] = err.Error()
	} else {
		data["Profile"], data["IDToken"], data["Person"] = pretty(result.Profile), pretty(result.IDToken), result.Profile
	}
	_ = page.Execute(w, data)
}

func (c Client) answerJSON(w http.ResponseWriter, result Result, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
		return
	}
	_ = json.NewEncoder(w).Encode(result)
}

func (c Client) finish(r *http.Request) (Result, error) {
	q := r.URL.Query()
	p, err := readPending(r)
	switch {
	case err != nil:
		return Result{}, err
	case q.Get("error") != "":
		return Result{}, fmt.Errorf("the sign-in failed: %s: %s", q.Get("error"), q.Get("error_description"))
	case q.Get("state") != p.State:
		return Result{}, errors.New("the state is not the one this browser was given")
	}
	tokens, err := c.exchange(r.Context(), q.Get("code"), p.Verifier)
	if err != nil {
		return Result{}, err
	}
	var result Result
	if result.IDToken, err = decode(tokens.IDToken); err != nil {
		return Result{}, err
	}
	if result.IDToken["nonce"] != p.Nonce || result.IDToken["aud"] != c.ClientID || result.IDToken["iss"] != c.Issuer {
		return Result{}, errors.New("the id token is not for this sign-in")
	}
	result.Profile, err = c.userinfo(r.Context(), tokens.AccessToken)
	return result, err
}

func readPending(r *http.Request) (pending, error) {
	var p pending
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return p, errors.New("this browser began no sign-in")
	}
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(text, &p) != nil || p.State == "" {
		return p, errors.New("the sign-in of this browser cannot be read")
	}
	return p, nil
}

type tokenResponse struct {
	AccessToken string `json:"access_token"`
	IDToken     string `json:"id_token"`
}

var client = &http.Client{Timeout: 10 * time.Second}

func (c Client) exchange(ctx context.Context, code, verifier string) (tokenResponse, error) {
	var tokens tokenResponse
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Issuer + CallbackPath},
		"code_verifier": {verifier}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Issuer+"/api/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return tokens, err
	}
	r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return tokens, call(r, &tokens)
}

func (c Client) userinfo(ctx context.Context, token string) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Issuer+"/api/oauth/userinfo", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	var profile map[string]any
	return profile, call(r, &profile)
}

func call(r *http.Request, into any) error {
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", r.URL.Path, response.Status, body)
	}
	return json.Unmarshal(body, into)
}

// decode reads an id token's claims. It came from the token endpoint itself, so its signature need not be checked
// (OpenID Connect Core §3.1.3.7, point 6); a client that gets it any other way must.
func decode(idToken string) (map[string]any, error) {
	parts := strings.Split(idToken, ".")
	if len(parts) != 3 {
		return nil, errors.New("the id token is no JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	return claims, json.Unmarshal(text, &claims)
}

func pretty(v any) string {
	text, _ := json.MarshalIndent(v, "", "  ")
	return string(text)
}
