package oauth

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/jose"
	"github.com/portico-sso/portico/ports/store"
)

// pushedRequest is an authorization request that an application has sent ahead (RFC 9126). Its id is the hash of the
// reference by which the browser brings it.
type pushedRequest struct {
	ID        string     `json:"id"`
	ClientID  string     `json:"clientId"`
	Params    url.Values `json:"params"`
	ExpiresAt time.Time  `json:"expiresAt"`

	version int64
}

const (
	pushedRequests = "pushed_requests"
	pushedPrefix   = "urn:ietf:params:oauth:request_uri:"
	pushedTTL      = 5 * time.Minute // a person may have to choose an identity provider meanwhile
)

// Pushed is the answer to a pushed authorization request (RFC 9126 §2.2).
type Pushed struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}

// Push keeps an authorization request for the browser to bring by reference. Faults as of Token, and those with which
// Authorize would refuse the request.
func (s *Service) Push(ctx context.Context, form url.Values, c Credentials) (Pushed, error) {
	if err := singleValued(form, "resource"); err != nil {
		return Pushed{}, err
	}
	app, err := s.authenticate(ctx, c)
	if err != nil {
		return Pushed{}, err
	}
	if form.Has("request_uri") {
		return Pushed{}, invalidRequest("A pushed request holds its parameters itself")
	}
	params := maps.Clone(form)
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		params.Del(name)
	}
	params.Set("client_id", app.ID)
	if params, err = s.unpack(ctx, app, params); err != nil {
		return Pushed{}, err
	}
	thumbprint, err := s.proof(ctx, c, "")
	if err != nil {
		return Pushed{}, err
	}
	switch named := params.Get("dpop_jkt"); { // RFC 9449 §10.1
	case thumbprint != "" && named != "" && named != thumbprint:
		return Pushed{}, invalidProof("The DPoP proof is by another key than that of dpop_jkt")
	case thumbprint != "":
		params.Set("dpop_jkt", thumbprint)
	}
	if err := s.checkPushed(ctx, app, params); err != nil {
		return Pushed{}, err
	}
	secret := s.IDs.Secret("")
	insert := s.pushed.Insert(pushedRequest{ID: id.Hash(secret), ClientID: app.ID, Params: params, ExpiresAt: s.now().Add(pushedTTL)})
	err = s.pushed.Once(ctx, &insert, func() error { return s.Sessions.Commit(ctx, insert) })
	return Pushed{pushedPrefix + secret, int64(pushedTTL.Seconds())}, s.pushed.Fault(err)
}

// checkPushed refuses early what Authorize would refuse later.
func (s *Service) checkPushed(ctx context.Context, app Application, params url.Values) error {
	text, err := json.Marshal(params)
	switch {
	case err != nil:
		return err
	case len(text) > maxContinuation:
		return invalidRequest("The request is too long.")
	case !redirectAllowed(app.RedirectURIs, params.Get("redirect_uri")):
		return invalidRequest("The redirect_uri is not one of the application's")
	}
	t, err := s.target(ctx, params)
	if err == nil && t.problem != nil {
		err = t.problem
	}
	if err != nil {
		return err
	}
	if refused := s.checkRequest(params, &app); refused != nil {
		return refused
	}
	return nil
}

// request is what an authorization request asks: its own parameters, those it refers to (RFC 9126 §4), or those of a signed
// object (RFC 9101 §5). used is the operation that uses up a reference, where there is one.
func (s *Service) request(ctx context.Context, q url.Values) (params url.Values, used []store.Op, err error) {
	reference, signed := q.Get("request_uri"), q.Get("request")
	if reference == "" && signed == "" || !id.IsUUID(q.Get("client_id")) {
		return q, nil, s.mustPush(ctx, q)
	}
	app, err := s.cachedApplication(ctx, q.Get("client_id"))
	if fault.Is(err, fault.NotFound) {
		return nil, nil, generic("connection_not_found")
	}
	if err != nil {
		return nil, nil, err
	}
	if reference == "" {
		if app.RequirePushed {
			return nil, nil, invalidRequest("The application has to push its requests first")
		}
		params, err = s.unpack(ctx, app, q)
		return params, nil, err
	}
	secret, ours := strings.CutPrefix(reference, pushedPrefix)
	if !ours || signed != "" {
		return nil, nil, oauthError("request_uri_not_supported", "Push the request first: only what is pushed can be referred to")
	}
	p, err := s.pushed.Get(ctx, id.Hash(secret))
	if fault.Is(err, fault.NotFound) || err == nil && p.ClientID != app.ID {
		return nil, nil, oauthError("invalid_request_uri", "The request was used already, or is too old. Start again from the application.")
	}
	if err != nil {
		return nil, nil, err
	}
	if hint := q.Get("idp_hint"); hint != "" && p.Params.Get("idp_hint") == "" {
		p.Params.Set("idp_hint", hint) // that of the chooser
	}
	return p.Params, []store.Op{s.pushed.Delete(p)}, nil
}

// mustPush refuses a plain request of an application that has to push its requests.
func (s *Service) mustPush(ctx context.Context, q url.Values) error {
	if !id.IsUUID(q.Get("client_id")) {
		return nil
	}
	app, err := s.cachedApplication(ctx, q.Get("client_id"))
	if fault.Is(err, fault.NotFound) {
		return nil // it may be of the Polis kind; whoever looks for it says so
	}
	if err == nil && app.RequirePushed {
		return invalidRequest("The application has to push its requests first")
	}
	return err
}

// unpack reads the parameters of a signed request object; a request without one stays as it is. What stands beside the
// object is not believed (RFC 9101 §6.3).
func (s *Service) unpack(ctx context.Context, app Application, q url.Values) (url.Values, error) {
	object := q.Get("request")
	if object == "" {
		return q, nil
	}
	keys, err := s.keySet(ctx, app)
	if err != nil {
		return nil, invalidObject("The application has no keys by which it can be verified")
	}
	token, err := s.JOSE.Verify(object, keys, jose.Algs)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid_request_object", "The request object cannot be verified")
	}
	if !ofType(token, "oauth-authz-req+jwt") {
		return nil, invalidObject("The request object has the type of another token")
	}
	var claims map[string]json.RawMessage
	if json.Unmarshal(token.Payload, &claims) != nil {
		return nil, invalidObject("The request object cannot be read")
	}
	if err := s.checkObject(app, claims); err != nil {
		return nil, err
	}
	params := url.Values{}
	for name, value := range claims {
		if slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "jti", "request", "request_uri"}, name) {
			continue
		}
		for _, v := range texts(value) {
			params.Add(name, v)
		}
	}
	if hint := q.Get("idp_hint"); hint != "" && params.Get("idp_hint") == "" {
		params.Set("idp_hint", hint)
	}
	return params, singleValued(params, "resource")
}

// checkObject checks who wrote a request object, for whom and when (RFC 9101 §4, §6.3).
func (s *Service) checkObject(app Application, claims map[string]json.RawMessage) error {
	text := func(name string) string { return strings.Join(texts(claims[name]), " ") }
	seconds := func(name string) (time.Time, bool) {
		n, err := strconv.ParseFloat(string(claims[name]), 64)
		return time.Unix(int64(n), 0), err == nil
	}
	expires, ends := seconds("exp")
	begins, _ := seconds("nbf")
	switch {
	case text("client_id") != app.ID || text("iss") != app.ID:
		return invalidObject("The request object is of another client")
	case !s.isUs(claims["aud"], s.Issuer):
		return invalidObject("The request object is for another server")
	case !ends || !s.now().Before(expires) || expires.Sub(s.now()) > time.Hour:
		return invalidObject("The request object has expired, or lasts for more than an hour")
	case begins.After(s.now().Add(proofSkew)):
		return invalidObject("The request object is not valid yet")
	}
	return nil
}

// texts are a claim's values as parameters: a text, a number or a boolean, a list of texts, or JSON as it is.
func texts(value json.RawMessage) []string {
	var one string
	var list []string
	switch {
	case len(value) == 0:
		return nil
	case json.Unmarshal(value, &one) == nil:
		return []string{one}
	case json.Unmarshal(value, &list) == nil:
		return list
	}
	return []string{string(value)}
}

func invalidObject(message string) error { return oauthError("invalid_request_object", message) }

func (s *Service) newPushed() record.Repo[pushedRequest] {
	return record.Repo[pushedRequest]{
		Store: s.Sessions, Collection: pushedRequests, Noun: "pushed request",
		Head: func(p pushedRequest) store.Doc {
			return store.Doc{ID: p.ID, Version: p.version, ExpiresAt: p.ExpiresAt}
		},
		SetVersion: func(p *pushedRequest, v int64) { p.version = v },
	}
}
