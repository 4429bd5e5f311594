package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/store"
)

// FinishSAML takes an identity provider's response to the assertion consumer service and sends the browser back to
// the application with a code, or with an OAuth error where the login that failed is known to be the application's.
// It returns an error, for the error page, where no application can be told.
func (s *Service) FinishSAML(ctx context.Context, samlResponse, relayState string) (federation.Outgoing, error) {
	login, err := s.SSO.Receive(ctx, samlResponse, relayState)
	return s.finish(ctx, login, err)
}

// finish ends a login that an identity provider answered; err says that its answer was not accepted.
func (s *Service) finish(ctx context.Context, login sso.Login, err error) (federation.Outgoing, error) {
	var next continuation
	if login.Continue != nil {
		if err := json.Unmarshal(login.Continue, &next); err != nil {
			return federation.Outgoing{}, err
		}
	}
	if err != nil {
		return s.failed(ctx, login, next, err)
	}
	if login.Continue == nil {
		if next, err = unasked(login.Connection); err != nil {
			return federation.Outgoing{}, err
		}
	}
	if err := s.stillAllowed(ctx, login.Connection, next); err != nil {
		return federation.Outgoing{}, err
	}
	return s.issueCode(ctx, login, next)
}

// failed answers a login that was not accepted: at the application where it is known, else on the error page.
func (s *Service) failed(ctx context.Context, login sso.Login, next continuation, err error) (federation.Outgoing, error) {
	f := fault.From(err)
	s.Logger.WarnContext(ctx, "login refused", "connection_id", login.Connection.ID, "code", f.Code, "error", err)
	if login.Continue == nil || next.DeviceID != "" || s.stillAllowed(ctx, login.Connection, next) != nil {
		return federation.Outgoing{}, err
	}
	return s.answerError(next.answerTo(), told(err)), nil
}

// unasked is the continuation of an IdP-initiated login: the connection's own client at its default address.
func unasked(c sso.Connection) (continuation, error) {
	if c.DefaultRedirectURL == "" {
		return continuation{}, fault.New(fault.Forbidden, "no_default_redirect",
			"The connection names no address to return to. Start the sign-in from the application instead.")
	}
	return continuation{ClientID: c.ClientID, RedirectURI: c.DefaultRedirectURL, Requested: requested{
		IsIdPFlow: true, Tenant: c.Tenant, Product: c.Product, ProviderName: c.Provider(),
	}}, nil
}

// stillAllowed asks again whether the redirect URI is the client's: it may have been withdrawn meanwhile.
func (s *Service) stillAllowed(ctx context.Context, c sso.Connection, next continuation) error {
	switch {
	case next.Requested.IsIdPFlow:
		return nil
	case next.DeviceID != "":
		_, err := s.cachedApplication(ctx, next.ApplicationID)
		return err
	case next.ApplicationID != "":
		app, err := s.cachedApplication(ctx, next.ApplicationID)
		if err != nil {
			return err
		}
		if !redirectAllowed(app.RedirectURIs, next.RedirectURI) {
			return redirectRefused()
		}
	case !connectionRedirectAllowed(c, next.RedirectURI, s.PolisRedirectMatch):
		return redirectRefused()
	}
	return nil
}

func (s *Service) issueCode(ctx context.Context, login sso.Login, next continuation) (federation.Outgoing, error) {
	secret := s.IDs.Secret(codePrefix)
	err := s.SSO.Complete(ctx, login, func(person identity.Identity) (store.Op, error) {
		if refused := (wish{subject: next.Subject, acr: next.ACR}).whoAndHow(person.ID, login.ACR); refused != nil {
			return store.Op{}, refused
		}
		g := s.grantOf(next, login.Connection, person, login.Profile)
		g.AuthTime, g.ACR = login.AuthTime, login.ACR
		if next.MaxAge != nil {
			var refused *fault.Error
			if g.AuthTime, refused = provenWithin(*next.MaxAge, login.AuthTime, s.now()); refused != nil {
				return store.Op{}, refused
			}
		}
		if next.DeviceID != "" {
			return s.approval(ctx, next.DeviceID, g)
		}
		return s.codes.Insert(s.newCode(secret, next, g)), nil
	})
	switch code := fault.Code(err); {
	case err == nil:
	case code == "identity_inactive":
		return s.failed(ctx, login, next, err)
	case code == "login_required" || code == "unmet_authentication_requirements":
		return s.answerError(next.answerTo(), fault.From(err)), nil
	default:
		return federation.Outgoing{}, record.StoreFault(err)
	}
	if next.DeviceID != "" {
		return s.viaThisSite(finished{Out: federation.Outgoing{URL: s.Issuer + PathDevice + "?done="}, DeviceID: next.DeviceID, Browser: next.Browser})
	}
	return s.viaThisSite(finished{Out: s.answer(next.answerTo(), url.Values{"code": {secret}}), CodeID: id.Hash(secret), Browser: next.Browser})
}

func (s *Service) newCode(secret string, next continuation, g grant) code {
	return code{ID: id.Hash(secret), RedirectURI: next.RedirectURI, Challenge: next.Challenge, ProofKey: next.ProofKey,
		ExpiresAt: s.now().Add(codeTTL), Grant: &g}
}

// grantOf is what a request gets of a person who signed in through a connection.
func (s *Service) grantOf(c continuation, connection sso.Connection, person identity.Identity, profile sso.Profile) grant {
	if c.ApplicationID == "" && s.PolisSubjectPrefix {
		profile.ID = prefixed(connection, profile.ID)
	}
	return grant{
		ClientID: c.ClientID, ApplicationID: c.ApplicationID,
		ConnectionID: connection.ID, OrganizationID: connection.OrganizationID, ProjectID: connection.ProjectID,
		IdentityID: person.ID, Epoch: person.Epoch, AccessEpoch: connection.AccessEpoch(), Scope: c.Scope, Resources: c.Resources, Nonce: c.Nonce,
		Profile: profile, Requested: c.Requested,
	}
}

// goOn answers an authorization request by a session of the browser: with a code, and without the identity provider.
func (s *Service) goOn(ctx context.Context, a authorization, h held) (federation.Outgoing, error) {
	profile, err := h.profile()
	if err != nil {
		return federation.Outgoing{}, err
	}
	next := s.continuation(a, h.connection)
	g := s.grantOf(next, h.connection, h.person, profile)
	g.AuthTime, g.ACR, g.SessionID = h.session.AuthTime, h.session.ACR, h.session.ID
	secret := s.IDs.Secret(codePrefix)
	insert := s.codes.Insert(s.newCode(secret, next, g))
	v := h.session
	err = s.codes.Once(ctx, &insert, func() error {
		ops := append([]store.Op{insert}, a.used...)
		if v.seen(g.ApplicationID, s.now()) {
			ops = append(ops, s.sessions.Update(v))
		}
		err := s.Sessions.Commit(ctx, ops...)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		anew, gone := s.sessions.Get(ctx, v.ID) // another tab was faster, or the session has ended, or the request was used
		if gone != nil {
			return gone
		}
		v = anew
		return err
	})
	if fault.Is(err, fault.NotFound) {
		return s.answerError(a.to, oauthError("login_required", "The session has ended")), nil
	}
	if errors.Is(err, store.ErrConflict) && len(a.used) > 0 {
		return federation.Outgoing{}, requestUsed()
	}
	if err != nil {
		return federation.Outgoing{}, s.codes.Fault(err)
	}
	return s.answer(a.to, url.Values{"code": {secret}}), nil
}
