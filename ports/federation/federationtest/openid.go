package federationtest

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"time"
)

// OpenIDProvider is an OpenID provider for tests. It checks what an ordinary provider checks of its clients, and answers
// what its script says. Serve it over HTTP at its issuer; it is safe for concurrent use.
type OpenIDProvider struct {
	issuer string
	now    func() time.Time

	mu       sync.Mutex
	script   Script
	codes    map[string]Authorization
	tokens   map[string]Authorization // by access token
	served   map[string]int           // requests, by path
	requests []TokenRequest
}

// Script is what an OpenIDProvider knows and how it behaves. The functions may be nil; each changes what would have
// been answered.
type Script struct {
	ClientID, ClientSecret string
	Auth                   string         // client_secret_basic by default; client_secret_post, private_key_jwt, none
	ClientKey              *rsa.PublicKey // of private_key_jwt

	User     map[string]any // claims of the id token beside those of the protocol; sub among them
	Userinfo map[string]any // claims of userinfo; those of User where nil
	Key      SigningKey     // signs; an ES256 key by default
	Keys     []JWK          // what is published; that of Key where nil
	AuthTime time.Time      // auth_time; left out where zero
	AtHash   bool           // the id token has at_hash
	NameIss  bool           // iss in authorization responses, and announced (RFC 9207)

	Discovery    func(doc map[string]any)
	IDToken      func(header, claims map[string]any)
	Token        func(answer map[string]any)
	SignUserinfo func(header, claims map[string]any) // userinfo is a JWT
	Intercept    func(w http.ResponseWriter, r *http.Request) (answered bool)
}

// Authorization is what an authorization request says.
type Authorization struct {
	ClientID, RedirectURI, State, Nonce, Scope, Challenge string
	Params                                                url.Values // all of them
}

// TokenRequest is a request that the token endpoint got.
type TokenRequest struct {
	Authorization string // the header
	Form          url.Values
	Assertion     map[string]any // claims of a verified client assertion
}

// ServeOpenID starts a provider on a free port of loopback, over plain HTTP. Stop it with the function it returns.
func ServeOpenID(now func() time.Time, s Script) (*OpenIDProvider, func(), error) {
	server := httptest.NewUnstartedServer(nil)
	p, err := NewOpenID("http://"+server.Listener.Addr().String(), now, s)
	if err != nil {
		server.Close()
		return nil, nil, err
	}
	server.Config.Handler = p
	server.Start()
	return p, server.Close, nil
}

// NewOpenID makes a provider that is served at its issuer.
func NewOpenID(issuer string, now func() time.Time, s Script) (*OpenIDProvider, error) {
	if s.Key.Alg == "" {
		var err error
		if s.Key, err = NewSigningKey("ES256"); err != nil {
			return nil, err
		}
	}
	set(&s.ClientID, "portico")
	set(&s.ClientSecret, "the-secret-of-a-client-at-its-provider")
	set(&s.Auth, "client_secret_basic")
	if s.User == nil {
		s.User = map[string]any{"sub": "alice-1"}
	}
	return &OpenIDProvider{issuer: issuer, now: now, script: s, codes: map[string]Authorization{}, tokens: map[string]Authorization{},
		served: map[string]int{}}, nil
}

// Issuer is the provider's issuer.
func (p *OpenIDProvider) Issuer() string { return p.issuer }

// Change changes the script.
func (p *OpenIDProvider) Change(change func(*Script)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.script)
}

// Script returns the script as it is.
func (p *OpenIDProvider) Script() Script {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.script
}

// Served counts the requests to a path.
func (p *OpenIDProvider) Served(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served[path]
}

// TokenRequests are the requests to the token endpoint, in order.
func (p *OpenIDProvider) TokenRequests() []TokenRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// ParseAuthorization reads the URL to which a browser is sent to sign in.
func (p *OpenIDProvider) ParseAuthorization(location string) (Authorization, error) {
	u, err := url.Parse(location)
	if err != nil {
		return Authorization{}, fmt.Errorf("federationtest: %w", err)
	}
	q := u.Query()
	a := Authorization{ClientID: q.Get("client_id"), RedirectURI: q.Get("redirect_uri"), State: q.Get("state"), Nonce: q.Get("nonce"),
		Scope: q.Get("scope"), Challenge: q.Get("code_challenge"), Params: q}
	for name, values := range q {
		if len(values) > 1 {
			return a, fmt.Errorf("federationtest: %s is given twice", name)
		}
	}
	switch s := p.Script(); {
	case u.Scheme+"://"+u.Host+u.Path != p.issuer+"/authorize":
		return a, fmt.Errorf("federationtest: %s is not the authorization endpoint", u.Host+u.Path)
	case a.ClientID != s.ClientID || a.RedirectURI == "" || q.Get("response_type") != "code":
		return a, errors.New("federationtest: not a request that this provider can answer")
	case a.Challenge != "" && q.Get("code_challenge_method") != "S256":
		return a, errors.New("federationtest: a challenge of another method than S256")
	}
	return a, nil
}

// Code signs the user in: it returns a code for the request.
func (p *OpenIDProvider) Code(a Authorization) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := newID()
	p.codes[code] = a
	return code
}

// Callback is the address to which the browser goes back with a code.
func (p *OpenIDProvider) Callback(a Authorization, code string) string {
	q := url.Values{"code": {code}, "state": {a.State}}
	if p.Script().NameIss {
		q.Set("iss", p.issuer)
	}
	return a.RedirectURI + "?" + q.Encode()
}

// ServeHTTP implements http.Handler: discovery, authorize (which signs the user in without asking), token, userinfo, jwks.
func (p *OpenIDProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.served[r.URL.Path]++
	intercept := p.script.Intercept
	p.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		reply(w, http.StatusOK, p.discovery())
	case "/jwks":
		reply(w, http.StatusOK, map[string]any{"keys": p.published()})
	case "/authorize":
		a, err := p.ParseAuthorization(p.issuer + r.URL.RequestURI())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, p.Callback(a, p.Code(a)), http.StatusFound)
	case "/token":
		p.serveToken(w, r)
	case "/userinfo":
		p.serveUserinfo(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (p *OpenIDProvider) discovery() map[string]any {
	s := p.Script()
	doc := map[string]any{
		"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token",
		"userinfo_endpoint": p.issuer + "/userinfo", "jwks_uri": p.issuer + "/jwks",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{s.Key.Alg}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{s.Auth},
	}
	if s.NameIss {
		doc["authorization_response_iss_parameter_supported"] = true
	}
	if s.Discovery != nil {
		s.Discovery(doc)
	}
	return doc
}

func (p *OpenIDProvider) published() []JWK {
	s := p.Script()
	if s.Keys != nil {
		return s.Keys
	}
	return []JWK{s.Key.JWK()}
}

func (p *OpenIDProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	assertion, err := p.authenticate(r)
	p.mu.Lock()
	p.requests = append(p.requests, TokenRequest{r.Header.Get("Authorization"), r.PostForm, assertion})
	code := r.PostForm.Get("code")
	a, known := p.codes[code]
	delete(p.codes, code)
	p.mu.Unlock()
	switch challenge := sha256.Sum256([]byte(r.PostForm.Get("code_verifier"))); {
	case err != nil:
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": err.Error()})
		return
	case !known, r.PostForm.Get("grant_type") != "authorization_code", r.PostForm.Get("redirect_uri") != a.RedirectURI,
		a.Challenge != "" && a.Challenge != b64(challenge[:]), a.Challenge == "" && r.PostForm.Has("code_verifier"):
		reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "This code cannot be redeemed so."})
		return
	}
	answer, err := p.grant(a)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, http.StatusOK, answer)
}

// authenticate checks the client in the one way that it is registered for.
func (p *OpenIDProvider) authenticate(r *http.Request) (assertion map[string]any, err error) {
	s, form := p.Script(), r.PostForm
	id, secret, basic := r.BasicAuth()
	refused := errors.New("not the client, or not in the way that it is registered for")
	switch s.Auth {
	case "client_secret_basic":
		plainID, err1 := url.QueryUnescape(id)
		plainSecret, err2 := url.QueryUnescape(secret)
		if !basic || err1 != nil || err2 != nil || plainID != s.ClientID || plainSecret != s.ClientSecret || form.Has("client_secret") {
			return nil, refused
		}
	case "client_secret_post":
		if basic || form.Get("client_id") != s.ClientID || form.Get("client_secret") != s.ClientSecret {
			return nil, refused
		}
	case "none":
		if basic || form.Get("client_id") != s.ClientID || form.Has("client_secret") || form.Has("client_assertion") {
			return nil, refused
		}
	case "private_key_jwt":
		if basic || form.Has("client_secret") || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return nil, refused
		}
		claims, err := readAssertion(form.Get("client_assertion"), s.ClientKey)
		if err != nil || claims["iss"] != s.ClientID || claims["sub"] != s.ClientID || claims["jti"] == nil ||
			claims["aud"] != p.issuer && claims["aud"] != p.issuer+"/token" {
			return claims, refused
		}
		if exp, _ := claims["exp"].(float64); exp <= float64(p.now().Unix()) || exp > float64(p.now().Add(10*time.Minute).Unix()) {
			return claims, refused
		}
		return claims, nil
	}
	return nil, nil
}

// grant makes a successful answer of the token endpoint.
func (p *OpenIDProvider) grant(a Authorization) (map[string]any, error) {
	s := p.Script()
	access := newID()
	p.mu.Lock()
	p.tokens[access] = a
	p.mu.Unlock()
	now := p.now().Unix()
	claims := maps.Clone(s.User)
	for name, value := range map[string]any{"iss": p.issuer, "aud": s.ClientID, "iat": now, "exp": now + 300, "nonce": a.Nonce} {
		if _, given := claims[name]; !given {
			claims[name] = value
		}
	}
	if !s.AuthTime.IsZero() {
		claims["auth_time"] = s.AuthTime.Unix()
	}
	if s.AtHash {
		claims["at_hash"] = HalfHash(s.Key.Alg, access)
	}
	idToken, err := s.sign(claims, s.IDToken)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": idToken}
	if s.Token != nil {
		s.Token(answer)
	}
	return answer, nil
}

func (s Script) sign(claims map[string]any, edit func(header, claims map[string]any)) (string, error) {
	header := map[string]any{"alg": s.Key.Alg, "typ": "JWT"}
	if s.Key.ID != "" {
		header["kid"] = s.Key.ID
	}
	if edit != nil {
		edit(header, claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("federationtest: %w", err)
	}
	return s.Key.Sign(header, payload)
}

func (p *OpenIDProvider) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	s := p.Script()
	p.mu.Lock()
	_, known := p.tokens[bearerToken(r)]
	p.mu.Unlock()
	if !known {
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	claims := maps.Clone(s.Userinfo)
	if s.Userinfo == nil {
		claims = maps.Clone(s.User)
	}
	if s.SignUserinfo == nil {
		reply(w, http.StatusOK, claims)
		return
	}
	claims["iss"], claims["aud"] = p.issuer, s.ClientID
	token, err := s.sign(claims, s.SignUserinfo)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = w.Write([]byte(token))
}

func bearerToken(r *http.Request) string {
	const scheme = "Bearer "
	if h := r.Header.Get("Authorization"); len(h) > len(scheme) && h[:len(scheme)] == scheme {
		return h[len(scheme):]
	}
	return ""
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
