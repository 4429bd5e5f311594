package oauth

import (
	"net/url"
	"slices"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/federation"
)

// The response modes: how an answer travels to the application through the browser.
const (
	modeQuery    = "query"
	modeFormPost = "form_post" // OAuth 2.0 Form Post Response Mode
)

// responseModes are those that applications may ask for.
var responseModes = []string{modeQuery, modeFormPost}

// answerTo is where and how the answer to an authorization request goes.
type answerTo struct {
	redirectURI, state, mode string
	// names says that iss tells whose answer it is (RFC 9207 §2). Polis's clients that speak OAuth alone are not told: they
	// know no issuer, and some compare what they are sent with what they do not have.
	names bool
}

func (c continuation) answerTo() answerTo {
	return answerTo{c.RedirectURI, c.State, c.ResponseMode, c.ApplicationID != "" || slices.Contains(c.Scope, "openid")}
}

// answer sends the browser back to the application.
func (s *Service) answer(to answerTo, params url.Values) federation.Outgoing {
	if to.names {
		params.Set("iss", s.Issuer)
	}
	if to.state != "" {
		params.Set("state", to.state)
	}
	if to.mode != modeFormPost {
		return federation.Outgoing{URL: withQuery(to.redirectURI, params)}
	}
	form := []federation.FormField{}
	for _, name := range answered {
		if params.Has(name) {
			form = append(form, federation.FormField{Name: name, Value: params.Get(name)})
		}
	}
	return federation.Outgoing{URL: to.redirectURI, Form: form}
}

// answerError tells the application what went wrong (RFC 6749 §4.1.2.1).
func (s *Service) answerError(to answerTo, e *fault.Error) federation.Outgoing {
	return s.answer(to, url.Values{"error": {e.Code}, "error_description": {e.Message}})
}
