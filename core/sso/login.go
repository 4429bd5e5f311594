package sso

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/store"
)

const (
	// relayPrefix marks the logins that began here. Identity providers see it, so it is the one Polis uses.
	relayPrefix = "boxyhq_jackson_"
	// loginTTL is how long a person may take at the identity provider.
	loginTTL = 5 * time.Minute
	// clockSkew is how far an identity provider's clock may be off.
	clockSkew = 3 * time.Minute
	// maxOwners bounds how many connections an IdP-initiated response is tried with.
	maxOwners = 20
)

// loginRequest is a login that is under way at an identity provider. Its id is the hash of the relay state.
type loginRequest struct {
	ID           string          `json:"id"`
	ConnectionID string          `json:"connectionId"`
	RequestID    string          `json:"requestId,omitempty"` // of the AuthnRequest
	OIDC         *oidcRequest    `json:"oidc,omitempty"`      // nil for SAML
	Taken        string          `json:"taken,omitempty"`     // by whom an OpenID provider's answer was taken
	Continue     json.RawMessage `json:"continue"`
	ExpiresAt    time.Time       `json:"expiresAt"`

	version int64
}

func loginRequestDoc(r loginRequest) store.Doc {
	return store.Doc{ID: r.ID, Version: r.version, ExpiresAt: r.ExpiresAt}
}

// Begin is how a login is to begin.
type Begin struct {
	ForceAuthn bool            // the person proves anew who they are
	Asked      Asked           // of an OpenID provider; SAML knows nothing of it
	Continue   json.RawMessage // given back with the login, a JSON value
	With       []store.Op      // what goes into the same commit, in the store of sessions
}

// Begin starts a login through a connection and says where the browser goes. Faults: Forbidden for a deactivated
// connection or a provider whose metadata cannot be used, Conflict where With does not apply, Unavailable.
func (s *Service) Begin(ctx context.Context, c Connection, b Begin) (federation.Outgoing, error) {
	if !c.Active() {
		return federation.Outgoing{}, generic(fault.Forbidden, "connection_deactivated", nil)
	}
	if c.OIDC != nil {
		return s.beginOIDC(ctx, c, b)
	}
	relayState := relayPrefix + s.IDs.Hex(16)
	r := loginRequest{ID: id.Hash(relayState), ConnectionID: c.ID, RequestID: "_" + s.IDs.Hex(20),
		Continue: b.Continue, ExpiresAt: s.now().Add(loginTTL)}
	out, err := s.SAML.WriteRequest(s.authnRequest(c, b, r, relayState))
	if err != nil {
		return out, err
	}
	return out, s.keep(ctx, r, b.With)
}

func (s *Service) keep(ctx context.Context, r loginRequest, with []store.Op) error {
	insert := s.requests.Insert(r)
	ops := append(slices.Clone(with), insert)
	return record.StoreFault(s.requests.Once(ctx, &insert, func() error { return s.Sessions.Commit(ctx, ops...) }))
}

func (s *Service) authnRequest(c Connection, b Begin, r loginRequest, relayState string) federation.AuthnRequest {
	idp := c.IdentityProvider
	request := federation.AuthnRequest{
		ID: r.RequestID, Issuer: s.Audience(c), ACS: s.ACS(c)[0], NameIDFormat: c.NameIDFormat,
		ForceAuthn: b.ForceAuthn || c.ForceAuthn, IssueInstant: s.now(), RelayState: relayState,
		Binding: federation.BindingRedirect, Destination: idp.SSORedirectURL,
	}
	if c.Binding == federation.BindingPost || idp.SSORedirectURL == "" {
		request.Binding, request.Destination = federation.BindingPost, idp.SSOPostURL
	}
	if request.NameIDFormat == "" {
		request.NameIDFormat = DefaultNameIDFormat
	}
	if c.SignRequests == SignAlways || c.SignRequests == SignAuto && idp.WantAuthnRequestsSigned {
		request.Signer, request.Certificate = s.Key.Signer, s.Key.Certificate
	}
	return request
}

// Login is a login that an identity provider answered.
type Login struct {
	Connection Connection
	Profile    Profile
	Continue   json.RawMessage // as Begin was given it; nil for an IdP-initiated login
	AuthTime   time.Time       // when the person proved who they are; zero when the provider does not say
	ACR        string          // how, as an authentication context class; "" when the provider does not say

	request   *loginRequest // nil for an IdP-initiated login
	subject   string
	address   string               // the person's, where it is believed; else ""
	foreign   bool                 // the provider signs in people of anybody
	traits    json.RawMessage      // the profile
	assertion federation.Assertion // of SAML
}

// Receive reads and verifies an identity provider's response. Nothing is stored yet: see Complete.
//
// With an error the login is still returned as far as it is known: where Continue is set, the login that began here
// was found and its connection is the one that answered, so the application may be told.
func (s *Service) Receive(ctx context.Context, samlResponse, relayState string) (Login, error) {
	response, err := s.SAML.ReadResponse(samlResponse)
	if err != nil {
		return Login{}, refusal(err)
	}
	if strings.HasPrefix(relayState, relayPrefix) {
		return s.receiveAnswer(ctx, response, relayState)
	}
	return s.receiveUnasked(ctx, response)
}

// receiveAnswer takes the response to a request of ours.
func (s *Service) receiveAnswer(ctx context.Context, response federation.Response, relayState string) (Login, error) {
	request, err := s.requests.Get(ctx, id.Hash(relayState))
	if fault.Is(err, fault.NotFound) || err == nil && request.OIDC != nil {
		return Login{}, unknownLogin(err)
	}
	if err != nil {
		return Login{}, err
	}
	c, err := s.answering(ctx, request.ConnectionID)
	if err != nil {
		return Login{}, err
	}
	if c.OIDC != nil {
		return Login{}, generic(fault.Forbidden, "connection_not_found", nil)
	}
	if issuer := response.Unverified().Issuer; issuer != "" && issuer != c.IdentityProvider.EntityID {
		return Login{}, generic(fault.Forbidden, "issuer_mismatch", nil)
	}
	login := Login{Connection: c, Continue: request.Continue, request: &request}
	login.assertion, err = response.Verify(s.expect(c, request.RequestID))
	if err != nil {
		return login, refusal(err)
	}
	return s.describe(login)
}

// receiveUnasked takes an IdP-initiated response: it must verify for exactly one connection that allows those.
func (s *Service) receiveUnasked(ctx context.Context, response federation.Response) (Login, error) {
	owners, err := s.owners(ctx, response.Unverified().Issuer)
	if err != nil {
		return Login{}, err
	}
	var login Login
	var refused error
	found := 0
	for _, c := range owners {
		a, err := response.Verify(s.expect(c, ""))
		if err == nil { // only now is the organization worth a look
			c, err = one(s.placed(ctx, []Connection{c}, nil))
		}
		if err == nil && !c.Active() {
			err = generic(fault.Forbidden, "connection_deactivated", nil)
		}
		if err != nil {
			refused = err
			continue
		}
		login, found = Login{Connection: c, assertion: a}, found+1
	}
	switch {
	case found > 1:
		return Login{}, fault.New(fault.Forbidden, "ambiguous_connection",
			"Several connections could own this sign-in. Start it from the application instead.")
	case found == 0:
		return Login{}, refusal(refused)
	}
	return s.describe(login)
}

// owners are the connections that may own an unasked response of this issuer: at least one.
func (s *Service) owners(ctx context.Context, issuer string) ([]Connection, error) {
	if issuer == "" {
		return nil, generic(fault.Forbidden, "issuer_missing", nil)
	}
	known, err := s.cachedByEntityID(ctx, issuer)
	if fault.Is(err, fault.NotFound) {
		return nil, generic(fault.Forbidden, "connection_not_found", nil)
	}
	if err != nil {
		return nil, err
	}
	var allowed []Connection
	for _, c := range known {
		if c.IdPInitiated && c.Active() {
			allowed = append(allowed, c)
		}
	}
	switch {
	case len(allowed) == 0:
		return nil, generic(fault.Forbidden, "idp_initiated_disabled", nil)
	case len(allowed) > maxOwners:
		return nil, fault.New(fault.Forbidden, "ambiguous_connection",
			"Several connections could own this sign-in. Start it from the application instead.")
	}
	return allowed, nil
}

func (s *Service) expect(c Connection, requestID string) federation.Expect {
	return federation.Expect{
		Issuer: c.IdentityProvider.EntityID, Certificates: c.IdentityProvider.Certificates,
		Audience: s.Audience(c), ACS: s.ACS(c), RequestID: requestID,
		Now: s.now(), Skew: clockSkew, Decryption: s.keys,
	}
}

func (s *Service) describe(login Login) (Login, error) {
	var err error
	if login.Profile, err = s.profile(login.assertion); err != nil {
		return login, err
	}
	login.address = login.Profile.Email // the connection is the organization's, and so is what it says
	login.AuthTime, login.ACR = login.assertion.AuthnInstant, shortACR(login.assertion.AuthnContext)
	if login.subject, err = subject(login.Profile, login.assertion); err != nil {
		return login, err
	}
	return withTraits(login)
}

// maxACR is in bytes.
const maxACR = 512

func shortACR(acr string) string {
	if len(acr) > maxACR {
		return ""
	}
	return acr
}

// withTraits writes down the profile.
func withTraits(login Login) (Login, error) {
	var err error
	if login.traits, err = json.Marshal(login.Profile); err == nil && len(login.traits) > maxProfile {
		err = fault.New(fault.TooLarge, "profile_too_large",
			"The identity provider sent too many or too long attributes. Its administrator has to map fewer.")
	}
	return login, err
}

// Complete ends a login: in one commit it uses up the login request, remembers the assertion, makes or refreshes the
// person's identity, and adds what issue returns for the store of sessions: an insert under an id that nobody else
// chooses, by which the login is known to be complete. Of parallel posts of one response one completes; the others get
// Forbidden. issue may be called more than once and keeps to its id; its error is the answer, and nothing is done.
func (s *Service) Complete(ctx context.Context, login Login, issue func(identity.Identity) (store.Op, error)) error {
	var issued store.Op
	made := func(ctx context.Context) (bool, error) { return s.Sessions.Made(ctx, issued) }
	return store.Once(ctx, made, func() error {
		person, records, err := s.Identities.SignIn(ctx, identity.Login{
			ProjectID: login.Connection.ProjectID, OrganizationID: login.Connection.OrganizationID,
			ConnectionID: login.Connection.ID, Subject: login.subject, Traits: login.traits,
			Foreign: login.foreign, Address: login.address,
		})
		if err != nil {
			return err
		}
		op, err := issue(person)
		if err != nil { // perhaps for what an earlier commit has made, whose answer was lost: issued is still of that
			return err
		}
		issued = op
		err = store.CommitBoth(ctx, s.Records, records, s.Sessions, append(s.use(login), issued))
		if err == nil && len(records) > 0 {
			s.Identities.Woken(person.ProjectID)
		}
		return s.completed(ctx, &login, err)
	})
}

// use is what makes a response single-use: the login request goes, the assertion's id stays until it has expired. An id
// token needs no such note: its nonce is that of the login request.
func (s *Service) use(login Login) []store.Op {
	if login.Connection.OIDC != nil {
		return []store.Op{s.requests.Delete(*login.request)}
	}
	seen := store.Insert(replays, store.Doc{
		ID:        id.Hash(login.Connection.IdentityProvider.EntityID, login.assertion.ID),
		Body:      []byte("{}"),
		ExpiresAt: login.assertion.ExpiresAt,
	})
	if login.request == nil {
		return []store.Op{seen}
	}
	return []store.Op{s.requests.Delete(*login.request), seen}
}

// completed reads the outcome of the commit: a replay, a race worth another try, or what it is.
func (s *Service) completed(ctx context.Context, login *Login, err error) error {
	switch {
	case store.Taken(err, replays, ""):
		return fault.Wrap(err, fault.Forbidden, "replayed", "This sign-in was used already. Start again from the application.")
	case identity.SignInRaced(err):
		return store.ErrConflict
	case errors.Is(err, store.ErrConflict) && login.request != nil:
		anew, gone := s.requests.Get(ctx, login.request.ID)
		if fault.Is(gone, fault.NotFound) {
			return unknownLogin(err)
		}
		if gone == nil { // it was sealed anew
			login.request = &anew
		}
	}
	if err == nil || errors.Is(err, store.ErrConflict) {
		return err
	}
	return record.StoreFault(err)
}

// generic is a refusal whose reason is for the operator's log alone; the text is the one Polis shows.
func generic(kind fault.Kind, code string, cause error) error {
	return &fault.Error{Kind: kind, Code: code, Err: cause,
		Message: "Something wrong happened. Please contact your administrator."}
}

func unknownLogin(cause error) error {
	return fault.Wrap(cause, fault.Forbidden, "login_unknown", "Unable to validate state from the origin request.")
}

// refusal is a response that was not accepted. Its message is plain; the exact reason is the cause.
func refusal(err error) error {
	var refused *federation.Error
	if !errors.As(err, &refused) {
		return err
	}
	kind := fault.Forbidden
	message, known := refusals[refused.Code]
	switch {
	case refused.Code == federation.CodeTooLarge:
		kind = fault.TooLarge
	case refused.Code == federation.CodeMalformed:
		kind = fault.Invalid
	case refused.Code == federation.CodeStatus:
		message = "The identity provider refused the sign-in. " + statusText(refused.Status)
	case !known:
		message = "The identity provider's response was not accepted."
	}
	return fault.Wrap(err, kind, "saml_"+string(refused.Code), message)
}

var refusals = map[federation.Code]string{
	federation.CodeMalformed:    "The identity provider's response could not be read.",
	federation.CodeTooLarge:     "The identity provider's response is too large.",
	federation.CodeForbiddenXML: "The identity provider's response holds XML that is not allowed.",
	federation.CodeUnsigned:     "Invalid assertion signature. The response or its assertion must be signed.",
	federation.CodeSignature:    "Invalid assertion signature. The connection may hold an outdated certificate.",
	federation.CodeAlgorithm:    "The response is signed or encrypted with an algorithm that is not allowed, such as SHA-1.",
	federation.CodeDecryption:   "The encrypted assertion cannot be used. The identity provider may hold an outdated certificate of ours.",
	federation.CodeAssertion:    "The response must hold exactly one complete assertion.",
	federation.CodeIssuer:       "The response comes from another identity provider than the one that was asked.",
	federation.CodeAudience:     "Invalid audience. The identity provider must name this service's entity ID.",
	federation.CodeRecipient:    "The response is addressed to another service.",
	federation.CodeDestination:  "The response is addressed to another service.",
	federation.CodeInResponseTo: "Invalid InResponseTo. Start again from the application.",
	federation.CodeExpired:      "Assertion is expired. Start again from the application.",
	federation.CodeNotYetValid:  "The assertion is not valid yet. The identity provider's clock may be wrong.",
}

// statusText names the status as Polis does. Anybody can post an unsigned refusal and have it shown to a person, so a
// code that is no plain URI is not repeated.
func statusText(status federation.Status) string {
	code := status.SubCode
	if code == "" {
		code = status.Code
	}
	if len(code) > 200 || strings.ContainsFunc(code, notOfURI) {
		code = "unknown"
	}
	return "Invalid Status Code (" + code + ")."
}

func notOfURI(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(":/.-_#", r)
}
