package sso

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/federation"
)

// oidcRequest is what a login remembers of its request to an OpenID provider.
type oidcRequest struct {
	Issuer      string `json:"issuer"`
	NamesIssuer bool   `json:"namesIssuer,omitempty"` // its answer must have iss
	RedirectURI string `json:"redirectUri"`
	Nonce       string `json:"nonce"`
	Verifier    string `json:"verifier,omitempty"` // of PKCE
	MaxAge      *int64 `json:"maxAge,omitempty"`
}

// Asked is what an application asks of an OpenID provider.
type Asked struct {
	Scopes    []string // beside those of the connection
	LoginHint string
	Prompt    string
	MaxAge    *int64 // seconds
	ACRValues string
}

// beginOIDC starts a login at an OpenID provider.
func (s *Service) beginOIDC(ctx context.Context, c Connection, b Begin) (federation.Outgoing, error) {
	provider, err := s.provider(ctx, *c.OIDC)
	if err != nil {
		return federation.Outgoing{}, err
	}
	state := relayPrefix + s.IDs.Hex(16)
	q := oidcRequest{Issuer: provider.Issuer, NamesIssuer: provider.NamesIssuer, RedirectURI: s.Callback(c), Nonce: s.IDs.Secret(""),
		MaxAge: b.Asked.MaxAge}
	if c.OIDC.pkce(provider) {
		q.Verifier = s.IDs.Secret("") // 43 characters of RFC 7636 §4.1
	}
	r := loginRequest{ID: id.Hash(state), ConnectionID: c.ID, OIDC: &q, Continue: b.Continue, ExpiresAt: s.now().Add(loginTTL)}
	if err := s.keep(ctx, r, b.With); err != nil {
		return federation.Outgoing{}, err
	}
	return federation.Outgoing{URL: s.OIDC.AuthorizationURL(federation.AuthorizationRequest{
		Provider: provider, ClientID: c.OIDC.ClientID, RedirectURI: q.RedirectURI, Scopes: c.OIDC.scopes(b.Asked.Scopes),
		State: state, Nonce: q.Nonce, Verifier: q.Verifier, Params: params(c, b),
	})}, nil
}

// provider is OpenIDProvider for a login.
func (s *Service) provider(ctx context.Context, o OIDC) (p federation.OpenIDProvider, err error) {
	if len(o.Metadata) > 0 {
		p, err = s.OIDC.ReadProvider(o.Metadata)
	} else {
		p, err = s.OIDC.Discover(ctx, o.DiscoveryURL)
	}
	return p, oidcRefusal(err)
}

// params are the further parameters of a request: those of the connection, and what was asked for this login.
func params(c Connection, b Begin) []federation.Param {
	list := append([]federation.Param{}, c.OIDC.Params...)
	add := func(name, value string) {
		if value != "" {
			list = append(list, federation.Param{Name: name, Value: value}) // of two the later counts
		}
	}
	prompt := strings.Fields(b.Asked.Prompt)
	if (b.ForceAuthn || c.ForceAuthn) && !slices.Contains(prompt, "login") && !slices.Contains(prompt, "none") {
		prompt = append(prompt, "login")
	}
	add("prompt", strings.Join(prompt, " "))
	add("login_hint", b.Asked.LoginHint)
	add("acr_values", b.Asked.ACRValues)
	if b.Asked.MaxAge != nil {
		add("max_age", strconv.FormatInt(*b.Asked.MaxAge, 10))
	}
	return list
}

// ReceiveOIDC takes an OpenID provider's answer, the query q, at one of our callbacks: its whole address. It reads and
// verifies everything, and uses the login up: whatever comes of it, the same state is not taken again. Nothing else is
// stored yet: see Complete. With an error the login is returned as Receive does.
func (s *Service) ReceiveOIDC(ctx context.Context, callback string, q url.Values) (Login, error) {
	state := q.Get("state")
	if state == "" {
		return Login{}, fault.New(fault.Forbidden, "state_missing", "State from original request is missing.")
	}
	request, err := s.requests.Get(ctx, id.Hash(state))
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && request.OIDC == nil:
		return Login{}, unknownState(err)
	case err != nil:
		return Login{}, err
	case request.OIDC.RedirectURI != callback: // another provider's answer (RFC 9700 §4.4)
		return Login{}, generic(fault.Forbidden, "callback_mismatch", nil)
	}
	c, err := s.answering(ctx, request.ConnectionID)
	if err != nil {
		return Login{}, err
	}
	if c.OIDC == nil {
		return Login{}, generic(fault.Forbidden, "connection_not_found", nil)
	}
	if request, err = s.take(ctx, request.ID); err != nil {
		return Login{}, err
	}
	login := Login{Connection: c, Continue: request.Continue, request: &request}
	claims, err := s.redeem(ctx, c, *request.OIDC, q)
	if err != nil {
		return login, oidcRefusal(err)
	}
	return s.describeOIDC(login, claims)
}

// answering reads the connection whose provider answered a login.
func (s *Service) answering(ctx context.Context, connectionID string) (Connection, error) {
	c, err := s.CachedByID(ctx, connectionID)
	switch {
	case fault.Is(err, fault.NotFound):
		return c, generic(fault.Forbidden, "connection_not_found", err)
	case err == nil && !c.Active():
		return c, generic(fault.Forbidden, "connection_deactivated", nil)
	}
	return c, err
}

// take marks a login as answered. Of two answers one takes it.
func (s *Service) take(ctx context.Context, requestID string) (loginRequest, error) {
	mark := s.IDs.Hex(16)
	r, err := s.requests.Change(ctx, requestID, func(r *loginRequest) error {
		if r.Taken != "" {
			return unknownState(nil)
		}
		r.Taken = mark
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return r, unknownState(err)
	}
	return r, err
}

// redeem reads the provider's answer and has it verified.
func (s *Service) redeem(ctx context.Context, c Connection, asked oidcRequest, q url.Values) (federation.Claims, error) {
	if err := checkIssuer(asked, q); err != nil {
		return federation.Claims{}, err
	}
	if code := q.Get("error"); code != "" {
		return federation.Claims{}, &federation.OIDCError{Code: federation.OIDCProvider, Detail: "the authorization endpoint refused",
			Answer: federation.ReadOAuthError(code, q.Get("error_description"))}
	}
	if q.Get("code") == "" {
		return federation.Claims{}, &federation.OIDCError{Code: federation.OIDCMalformed, Detail: "an answer without code"}
	}
	provider, err := s.provider(ctx, *c.OIDC)
	if err != nil {
		return federation.Claims{}, err
	}
	if provider.Issuer != asked.Issuer { // the connection was changed meanwhile: the code is not for this provider
		return federation.Claims{}, &federation.OIDCError{Code: federation.OIDCIssuer, Detail: "the connection has another provider since"}
	}
	return s.OIDC.Redeem(ctx, federation.Redemption{
		Provider: provider, Client: s.openIDClient(*c.OIDC, provider), Code: q.Get("code"), RedirectURI: asked.RedirectURI,
		Verifier: asked.Verifier, Nonce: asked.Nonce, MaxAge: asked.MaxAge, HMAC: c.OIDC.HMAC, Skew: clockSkew,
	})
}

func (s *Service) openIDClient(o OIDC, p federation.OpenIDProvider) federation.OpenIDClient {
	return federation.OpenIDClient{ID: o.ClientID, Secret: o.ClientSecret, Auth: o.authMethod(p),
		Signer: s.Key.Signer, KeyID: s.Key.KeyID, Certificate: s.Key.Certificate,
		AudienceTokenEndpoint: o.AssertionAudience == AudienceTokenEndpoint}
}

// checkIssuer compares iss of the answer, whenever it is there, with who was asked; it must be there where the provider
// announces it (RFC 9207 §2.4).
func checkIssuer(asked oidcRequest, q url.Values) error {
	iss, given := q.Get("iss"), q.Has("iss")
	if !given && !asked.NamesIssuer || iss == asked.Issuer {
		return nil
	}
	// Where each tenant is an issuer of its own, the id token says which one it was.
	before, after, several := strings.Cut(asked.Issuer, federation.TenantPlaceholder)
	if given && several && len(iss) > len(before)+len(after) && strings.HasPrefix(iss, before) && strings.HasSuffix(iss, after) {
		return nil
	}
	return &federation.OIDCError{Code: federation.OIDCIssuer, Detail: "the answer is of another issuer, or does not say of which"}
}

// describeOIDC fills a login with what the provider says of the person.
func (s *Service) describeOIDC(login Login, claims federation.Claims) (Login, error) {
	for _, required := range login.Connection.OIDC.RequiredClaims {
		if !required.meets(claims) {
			return login, fault.New(fault.Forbidden, "claim_required",
				"This account may not sign in here: the identity provider did not name it as one of this organization.")
		}
	}
	login.Profile, login.AuthTime = oidcProfile(claims), claims.AuthTime
	acr, _ := claims.IDToken["acr"].(string)
	login.ACR, login.subject = shortACR(acr), claims.Subject
	if o := login.request.OIDC; strings.Contains(o.Issuer, federation.TenantPlaceholder) {
		login.subject = claims.Issuer + " " + claims.Subject // two tenants may have the same sub for two people
	}
	login.foreign = login.Connection.OIDC.foreign(login.request.OIDC.Issuer)
	if !login.foreign && verifiedEmail(claims) {
		login.address = login.Profile.Email
	}
	login, err := withTraits(login)
	if err == nil {
		login.traits, err = json.Marshal(login.Profile.lasting())
	}
	return login, err
}

// foreign reports whether the provider signs in people of anybody: its issuer is of many tenants, and no claim names ours.
func (o OIDC) foreign(issuer string) bool {
	claim := ""
	switch {
	case strings.Contains(issuer, federation.TenantPlaceholder):
		claim = "tid"
	case issuer == "https://accounts.google.com":
		claim = "hd"
	default:
		return false
	}
	return !slices.ContainsFunc(o.RequiredClaims, func(r RequiredClaim) bool { return r.Name == claim })
}

// verifiedEmail reports whether nothing says that the address is not the person's (OpenID Connect Core §5.1). Providers of one
// organization often say nothing of it.
func verifiedEmail(c federation.Claims) bool {
	for _, claims := range []map[string]any{c.IDToken, c.Userinfo} {
		if v, ok := claims["email_verified"]; ok && v != true && v != "true" {
			return false
		}
	}
	return true
}

func unknownState(cause error) error {
	return fault.Wrap(cause, fault.Forbidden, "login_unknown", "Unable to validate state from the original request.")
}

// oidcRefusal is an answer of an OpenID provider that was not accepted. Its message is plain; the exact reason is the
// cause, which stays within reach of errors.As.
func oidcRefusal(err error) error {
	var refused *federation.OIDCError
	if !errors.As(err, &refused) || fault.Code(err) != "" {
		return err
	}
	kind := fault.Forbidden
	message, known := oidcRefusals[refused.Code]
	switch {
	case refused.Code == federation.OIDCUnreachable, refused.Code == federation.OIDCBusy:
		kind = fault.Unavailable
	case refused.Code == federation.OIDCTooLarge:
		kind = fault.TooLarge
	case refused.Code == federation.OIDCProvider && refused.Answer.Description != "":
		message = refused.Answer.Description
	case !known:
		message = "The identity provider's answer was not accepted."
	}
	return fault.Wrap(err, kind, "oidc_"+string(refused.Code), message)
}

var oidcRefusals = map[federation.OIDCCode]string{
	federation.OIDCMetadata:        "The identity provider's discovery document cannot be used.",
	federation.OIDCUnreachable:     "The identity provider does not answer. Try again in a moment.",
	federation.OIDCBusy:            "The identity provider answers too slowly. Try again in a moment.",
	federation.OIDCForbidden:       "The identity provider has an address that is not allowed.",
	federation.OIDCTooLarge:        "The identity provider's answer is too large.",
	federation.OIDCProvider:        "Authorization failed at the OIDC provider",
	federation.OIDCMalformed:       "The identity provider's answer could not be read.",
	federation.OIDCAlgorithm:       "The id token is signed with an algorithm that is not allowed.",
	federation.OIDCKey:             "The identity provider publishes no key that fits the id token.",
	federation.OIDCSignature:       "Invalid id token signature.",
	federation.OIDCIssuer:          "The answer comes from another identity provider than the one that was asked.",
	federation.OIDCAudience:        "The id token is for another client.",
	federation.OIDCAuthorizedParty: "The id token was issued to another client.",
	federation.OIDCExpired:         "The id token has expired. Start again from the application.",
	federation.OIDCNotYetValid:     "The id token is not valid yet. The identity provider's clock may be wrong.",
	federation.OIDCNonce:           "The id token belongs to another sign-in. Start again from the application.",
	federation.OIDCTokenHash:       "The id token and the access token do not belong together.",
	federation.OIDCSubject:         "The identity provider did not say clearly who signed in.",
	federation.OIDCAuthTime:        "The sign-in at the identity provider is too long ago, or it does not say when it was.",
	federation.OIDCUserinfo:        "The identity provider's userinfo endpoint refused its own token.",
}
