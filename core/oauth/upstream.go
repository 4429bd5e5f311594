package oauth

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
)

// FinishOIDC takes an OpenID provider's answer, the query q, at the callback with that whole address. It answers as
// FinishSAML does.
func (s *Service) FinishOIDC(ctx context.Context, callback string, q url.Values) (federation.Outgoing, error) {
	if err := singleValued(q); err != nil {
		return federation.Outgoing{}, err
	}
	login, err := s.SSO.ReceiveOIDC(ctx, callback, q)
	return s.finish(ctx, login, err)
}

// asked is what goes on to an OpenID provider of an authorization request (OpenID Connect Core §3.1.2.1). Scopes do from
// Polis's clients alone (contract §2.2): those of an application are ours.
func asked(q url.Values, app *Application) (sso.Asked, *fault.Error) {
	a := sso.Asked{LoginHint: q.Get("login_hint"), ACRValues: q.Get("acr_values"), Prompt: q.Get("prompt")}
	if app == nil {
		a.Scopes = strings.Fields(q.Get("scope"))
	}
	if text := q.Get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return a, invalidRequest("max_age must be a number of seconds")
		}
		age := int64(seconds)
		a.MaxAge = &age
	}
	for name, value := range map[string]string{"prompt": a.Prompt, "acr_values": a.ACRValues} {
		if len(value) > 1024 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return a, invalidRequest(name + " cannot be passed on")
		}
	}
	return a, nil
}

// told is what an application is told of a login that failed at its provider: the provider's own error; its outage; or that
// its answer was not accepted, for which Polis's clients know server_error where a SAML response means access_denied.
func told(err error) *fault.Error {
	f := fault.From(err)
	var refused *federation.OIDCError
	switch {
	case f.Kind == fault.Internal, f.Kind == fault.Unavailable:
		return serverError(err)
	case errors.As(err, &refused) && refused.Code == federation.OIDCProvider:
		return fault.Wrap(err, fault.Forbidden, refused.Answer.Code, f.Message)
	case refused != nil:
		return fault.Wrap(err, fault.Forbidden, "server_error", f.Message)
	}
	return fault.Wrap(err, fault.Forbidden, "access_denied", f.Message)
}
