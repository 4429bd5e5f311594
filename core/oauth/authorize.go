package oauth

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/store"
)

// Paths that the service itself refers to, below the public URL.
const (
	PathAuthorize  = "/api/oauth/authorize"
	PathToken      = "/api/oauth/token"
	PathUserinfo   = "/api/oauth/userinfo"
	PathIntrospect = "/api/oauth/introspect"
	PathRevoke     = "/api/oauth/revoke"
	PathRegister   = "/api/oauth/register"
	PathPush       = "/api/oauth/par"
	PathDeviceAuth = "/api/oauth/device_authorization"
	PathDevice     = "/device"
	PathJWKS       = "/oauth/jwks"
	PathChooser    = "/idp/select"
)

// continuation is what a login carries through the identity provider and back.
type continuation struct {
	ClientID      string    `json:"clientId"`
	ApplicationID string    `json:"applicationId,omitempty"`
	RedirectURI   string    `json:"redirectUri"`
	State         string    `json:"state,omitempty"`
	Nonce         string    `json:"nonce,omitempty"`
	Challenge     string    `json:"challenge,omitempty"`
	Scope         []string  `json:"scope,omitempty"`
	Resources     []string  `json:"resources,omitempty"`
	ProofKey      string    `json:"proofKey,omitempty"` // dpop_jkt (RFC 9449 §10)
	ResponseMode  string    `json:"responseMode,omitempty"`
	DeviceID      string    `json:"deviceId,omitempty"` // that the login approves, in place of a code (RFC 8628)
	Browser       string    `json:"browser,omitempty"`  // hash of the cookie of the browser that began
	Subject       string    `json:"subject,omitempty"`  // who it has to be
	ACR           []string  `json:"acr,omitempty"`      // of which one it has to be
	MaxAge        *int64    `json:"maxAge,omitempty"`   // seconds since they proved who they are
	Requested     requested `json:"requested"`
}

// authorization is an authorization request whose redirect URI is trusted.
type authorization struct {
	params  url.Values
	target  target
	to      answerTo
	wish    wish
	used    []store.Op // what uses up the reference that brought it
	browser *Browser
}

// Authorize answers an authorization request (RFC 6749 §4.1.1) with where the browser goes: to the identity provider, to
// the chooser, or back to the application, with an error or, where the browser has a session, with a code. It returns an
// error only where the redirect URI cannot be trusted, for the error page.
func (s *Service) Authorize(ctx context.Context, q url.Values, b *Browser) (federation.Outgoing, error) {
	if err := singleValued(q, "resource"); err != nil {
		return s.refuseTwice(ctx, q, err)
	}
	asked := q
	q, used, err := s.request(ctx, asked)
	if err != nil {
		return federation.Outgoing{}, err
	}
	redirectURI := q.Get("redirect_uri")
	if redirectURI == "" {
		return federation.Outgoing{}, invalidRequest("Please specify a redirect URL.")
	}
	t, err := s.target(ctx, q)
	if err != nil {
		return federation.Outgoing{}, err
	}
	if t.application != nil && !redirectAllowed(t.application.RedirectURIs, redirectURI) {
		return federation.Outgoing{}, redirectRefused()
	}
	to := answerTo{redirectURI, q.Get("state"), t.responseMode(q),
		t.application != nil || slices.Contains(strings.Fields(q.Get("scope")), "openid")}
	if t.problem != nil { // of an application, whose redirect URI is known to be its own
		return s.answerError(to, t.problem), nil
	}
	a := authorization{q, t, to, s.wishOf(ctx, q, t.application), used, b}
	h, err := s.holds(ctx, a)
	if err != nil {
		return federation.Outgoing{}, err
	}
	c, ok := t.choose(q.Get("idp_hint"))
	switch {
	case h != nil:
		c = h.connection
	case !ok && a.wish.silent:
		return s.mustAsk(a), nil
	case !ok:
		return federation.Outgoing{URL: s.chooserURL(asked, t)}, nil
	}
	if t.application == nil && !connectionRedirectAllowed(c, redirectURI, s.PolisRedirectMatch) {
		return federation.Outgoing{}, redirectRefused()
	}
	switch {
	case c.Active():
	case t.application == nil: // Polis shows the page
		return federation.Outgoing{}, generic("connection_deactivated")
	default:
		return s.answerError(to, oauthError("access_denied", "Signing in is switched off for this organization or connection")), nil
	}
	if err := s.checkRequest(q, t.application); err != nil {
		return s.answerError(to, err), nil
	}
	switch {
	case h != nil:
		return s.goOn(ctx, a, *h)
	case a.wish.silent:
		return s.mustAsk(a), nil
	}
	return s.begin(ctx, a, c)
}

// refuseTwice answers a request that has a parameter twice: at the application's redirect URI where both are clear.
func (s *Service) refuseTwice(ctx context.Context, q url.Values, refused error) (federation.Outgoing, error) {
	redirectURI, clientID := q["redirect_uri"], q["client_id"]
	if len(redirectURI) != 1 || len(clientID) != 1 || !id.IsUUID(clientID[0]) || q.Has("request") || q.Has("request_uri") {
		return federation.Outgoing{}, refused
	}
	app, err := s.cachedApplication(ctx, clientID[0])
	if err != nil || !redirectAllowed(app.RedirectURIs, redirectURI[0]) {
		return federation.Outgoing{}, refused
	}
	to := answerTo{redirectURI: redirectURI[0], mode: modeQuery, names: true}
	if len(q["state"]) == 1 {
		to.state = q.Get("state")
	}
	return s.answerError(to, fault.From(refused)), nil
}

// mustAsk answers prompt=none where the person would have to be asked.
func (s *Service) mustAsk(a authorization) federation.Outgoing {
	refused := s.checkRequest(a.params, a.target.application)
	if refused == nil {
		refused = oauthError("login_required", "The person has to sign in at their identity provider")
	}
	return s.answerError(a.to, refused)
}

// responseMode is how the answer travels. Polis's clients have always had it in the query.
func (t target) responseMode(q url.Values) string {
	if mode := q.Get("response_mode"); t.application != nil && slices.Contains(responseModes, mode) {
		return mode
	}
	return modeQuery
}

// maxContinuation is in bytes of JSON. Anybody can begin logins, each of which is kept for minutes.
const maxContinuation = 16 << 10

// begin begins the login in one commit with what uses up the reference that brought the request, where one did.
func (s *Service) begin(ctx context.Context, a authorization, c sso.Connection) (federation.Outgoing, error) {
	q, to := a.params, a.to
	goesOn := s.continuation(a, c)
	if a.target.application != nil || c.Sessions {
		goesOn.Browser = s.marked(a.browser, loginCookie)
	}
	next, err := json.Marshal(goesOn)
	if err != nil {
		return federation.Outgoing{}, err
	}
	if len(next) > maxContinuation {
		return s.answerError(to, invalidRequest("The request is too long.")), nil
	}
	begin := sso.Begin{ForceAuthn: forceAuthn(q, a.target.application), Continue: next, With: a.used}
	if c.OIDC != nil {
		begin.ForceAuthn = q.Get("forceAuthn") == "true" // prompt and max_age are passed on
		var refused *fault.Error
		if begin.Asked, refused = asked(q, a.target.application); refused != nil {
			return s.answerError(to, refused), nil
		}
	}
	out, err := s.SSO.Begin(ctx, c, begin)
	if fault.Is(err, fault.Conflict) {
		return federation.Outgoing{}, requestUsed()
	}
	if err != nil {
		s.Logger.WarnContext(ctx, "login not begun", "connection_id", c.ID, "error", err)
		return s.answerError(to, told(err)), nil
	}
	return out, nil
}

// forceAuthn reports whether the person has to prove anew who they are: as Polis is asked, and for an application as
// OpenID Connect Core §3.1.2.1 has it. How old a session at the identity provider is cannot be seen from here, so any
// max_age asks for a new sign-in.
func forceAuthn(q url.Values, app *Application) bool {
	return q.Get("forceAuthn") == "true" ||
		app != nil && (q.Get("max_age") != "" || slices.Contains(strings.Fields(q.Get("prompt")), "login"))
}

func (s *Service) continuation(a authorization, c sso.Connection) continuation {
	q, t := a.params, a.target
	next := continuation{
		ClientID: q.Get("client_id"), RedirectURI: q.Get("redirect_uri"), State: q.Get("state"), Nonce: q.Get("nonce"),
		Challenge: q.Get("code_challenge"), Scope: strings.Fields(q.Get("scope")),
		ResponseMode: a.to.mode, Subject: a.wish.subject, ACR: a.wish.acr,
	}
	if next.ClientID == "" {
		next.ClientID = c.ClientID
	}
	if t.application != nil {
		next.ApplicationID = t.application.ID
		next.Scope, next.Resources = t.application.grantedScope(next.Scope), q["resource"]
		next.ProofKey = q.Get("dpop_jkt")
	}
	if age := a.wish.maxAge; age != nil {
		seconds := int64(age.Seconds())
		next.MaxAge = &seconds
	}
	next.Requested = requested{
		ClientID: next.ClientID, State: next.State, RedirectURI: next.RedirectURI, Protocol: c.Protocol(),
		LoginType: "sp-initiated", ProviderName: c.Provider(), LoginHint: q.Get("login_hint"),
		Tenant: c.Tenant, Product: c.Product, IdPHint: q.Get("idp_hint"), Nonce: next.Nonce,
		OIDC: slices.Contains(next.Scope, "openid"), Scope: next.Scope,
	}
	return next
}

// singleValued refuses a parameter that is given twice (RFC 6749 §3.1): two readers could pick different ones. Those that
// may be (RFC 8707 §2) are listed.
func singleValued(q url.Values, but ...string) error {
	for name, values := range q {
		if len(values) > 1 && !slices.Contains(but, name) {
			return invalidRequest("The parameter " + printable(name) + " is given more than once.")
		}
	}
	return nil
}

// checkRequest finds what is wrong with a request whose redirect URI is trusted.
func (s *Service) checkRequest(q url.Values, app *Application) *fault.Error {
	responseType := q.Get("response_type")
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	switch {
	case responseType == "" && app != nil: // Polis lets it be left out
		return oauthError("invalid_request", "response_type is missing")
	case responseType != "" && responseType != "code":
		return oauthError("unsupported_response_type", "Only Authorization Code grant is supported")
	case q.Get("state") == "" && (app == nil || challenge == ""):
		return oauthError("invalid_request", "Please specify a state to safeguard against XSRF attacks")
	case challenge == "" && method != "":
		return oauthError("invalid_request", "code_challenge_method without code_challenge")
	case challenge == "" && app != nil && app.Public:
		return oauthError("invalid_request", "A public client must use PKCE: send code_challenge")
	case challenge != "" && !strings.EqualFold(method, "S256"):
		return oauthError("invalid_request", "code_challenge_method must be S256")
	case challenge != "" && !validChallenge(challenge):
		return oauthError("invalid_request", "code_challenge must be the base64url form of a SHA-256")
	}
	for _, name := range []string{"state", "nonce", "scope", "client_id", "login_hint", "dpop_jkt"} {
		switch value := q.Get(name); {
		case len(value) > 2048:
			return oauthError("invalid_request", name+" is longer than 2048 bytes")
		case !utf8.ValidString(value): // would not come back as it was sent
			return oauthError("invalid_request", name+" is not UTF-8")
		}
	}
	if app == nil { // Polis takes any other parameter and does nothing with it
		return nil
	}
	if !app.May(AuthorizationCode) {
		return oauthError("unauthorized_client", "The application may not use authorization codes")
	}
	if _, err := resources(q["resource"], s.resourcesOf(*app)); err != nil {
		return invalidTarget()
	}
	return checkOpenID(q, app)
}

// checkOpenID refuses what an OpenID provider must not pass over in silence (OpenID Connect Core §3.1.2.6).
func checkOpenID(q url.Values, app *Application) *fault.Error {
	mode := q.Get("response_mode")
	switch {
	case mode != "" && !slices.Contains(responseModes, mode):
		return oauthError("invalid_request", "response_mode must be query or form_post")
	}
	_, refused := wishOf(q, app)
	return refused
}

// validChallenge: BASE64URL of 32 bytes, unpadded (RFC 7636 §4.2).
func validChallenge(challenge string) bool {
	if len(challenge) != 43 {
		return false
	}
	for i := range len(challenge) {
		c := challenge[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func (s *Service) chooserURL(q url.Values, t target) string {
	params := url.Values{}
	for name, values := range q {
		params[name] = values
	}
	params.Set("authFlow", "sp-initiated")
	if t.application == nil {
		params.Set("tenant", t.connections[0].Tenant)
		params.Set("product", t.connections[0].Product)
	}
	return s.Issuer + PathChooser + "?" + params.Encode()
}

// Choice is one identity provider that the chooser offers.
type Choice struct {
	ConnectionID string
	Hint         string // value of idp_hint
	Title        string
}

// Choices are the identity providers among which a person has to choose for an authorization request.
// Faults as of Authorize.
func (s *Service) Choices(ctx context.Context, q url.Values) ([]Choice, error) {
	if err := singleValued(q, "resource"); err != nil {
		return nil, err
	}
	q, _, err := s.request(ctx, q)
	if err != nil {
		return nil, err
	}
	t, err := s.target(ctx, q)
	if err == nil && t.problem != nil {
		err = t.problem
	}
	if err != nil {
		return nil, err
	}
	var choices []Choice
	for _, c := range t.connections {
		if c.Active() {
			choices = append(choices, Choice{ConnectionID: c.ID, Hint: c.ClientID, Title: c.Title()})
		}
	}
	return choices, nil
}

// oauthError is an error with a code of RFC 6749 §4.1.2.1 or §5.2.
func oauthError(code, message string) *fault.Error {
	return fault.New(fault.Invalid, code, message)
}

func invalidRequest(message string) *fault.Error { return oauthError("invalid_request", message) }

func requestUsed() error {
	return oauthError("invalid_request_uri", "The request was used already. Start again from the application.")
}

func redirectRefused() error {
	return fault.New(fault.Forbidden, "redirect_uri_mismatch", "Redirect URL is not allowed.")
}

// serverError is what the application is told of a failure of ours; the reason stays in the log.
func serverError(err error) *fault.Error {
	if f := fault.From(err); f.Kind == fault.Unavailable {
		return fault.Wrap(err, fault.Unavailable, "temporarily_unavailable", f.Message)
	}
	return fault.Wrap(err, fault.Internal, "server_error", genericText)
}

const genericText = "Something wrong happened. Please contact your administrator."

// generic is a refusal whose reason is for the log alone: strangers learn nothing of which tenants exist.
func generic(code string) error { return fault.New(fault.Forbidden, code, genericText) }

// printable keeps a client's own text out of the way of terminals and pages, where it could be read as ours.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 32)]
}
