package oauth

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/sso"
)

// wish is what a request says of the sign-in that it wants (OpenID Connect Core §3.1.2.1, §5.5).
type wish struct {
	silent    bool           // prompt=none: the person is not to be asked anything
	anew      bool           // the person proves anew who they are
	maxAge    *time.Duration // since they did
	subject   string         // who it has to be; "" is anybody
	acr       []string       // of which one it has to be; nil is any
	loginHint string
}

const maxClaims = 4 << 10 // bytes of the claims parameter

// wishOf reads a request. It does not read id_token_hint, which has to be verified.
func wishOf(q url.Values, app *Application) (wish, *fault.Error) {
	w := wish{anew: q.Get("forceAuthn") == "true", loginHint: q.Get("login_hint")}
	if app == nil { // Polis's clients know no more than that
		return w, nil
	}
	prompt := strings.Fields(q.Get("prompt"))
	w.silent = slices.Contains(prompt, "none")
	if w.silent && len(prompt) > 1 {
		return w, invalidRequest("prompt=none stands alone")
	}
	w.anew = w.anew || slices.Contains(prompt, "login") || slices.Contains(prompt, "select_account")
	if text := q.Get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return w, invalidRequest("max_age must be a number of seconds")
		}
		age := time.Duration(seconds) * time.Second
		w.maxAge = &age
	}
	return w, w.claims(q.Get("claims"))
}

// claims reads the claims parameter (OpenID Connect Core §5.5). Whatever we know of a person is in every id token and at
// userinfo, so what remains is which sub and which acr are asked for (§5.5.1.1). Others are passed over, as §5.5.1 has it.
func (w *wish) claims(text string) *fault.Error {
	if text == "" {
		return nil
	}
	type claim struct {
		Essential bool  `json:"essential"`
		Value     any   `json:"value"`
		Values    []any `json:"values"`
	}
	var asked struct {
		IDToken  map[string]*claim `json:"id_token"`
		Userinfo map[string]*claim `json:"userinfo"`
	}
	if len(text) > maxClaims || json.Unmarshal([]byte(text), &asked) != nil {
		return invalidRequest("claims must be a JSON object of at most 4 KiB as OpenID Connect Core §5.5 has it")
	}
	for _, of := range []map[string]*claim{asked.IDToken, asked.Userinfo} {
		sub := of["sub"]
		if sub == nil || sub.Value == nil {
			continue
		}
		subject, ok := sub.Value.(string)
		if !ok || subject == "" || w.subject != "" && w.subject != subject {
			return invalidRequest("claims asks for a sub that nobody can have")
		}
		w.subject = subject
	}
	acr := asked.IDToken["acr"]
	if acr == nil || !acr.Essential {
		return nil
	}
	for _, v := range append([]any{acr.Value}, acr.Values...) {
		if value, ok := v.(string); ok {
			w.acr = append(w.acr, value)
		}
	}
	return nil
}

// met reports whether a session is what the request wants.
func (w wish) met(v Session, now time.Time) bool {
	return !w.anew && (w.maxAge == nil || *w.maxAge > 0 && now.Sub(v.AuthTime) <= *w.maxAge) && w.whoAndHow(v.IdentityID, v.ACR) == nil
}

// authSkew is how far an identity provider's clock may be off.
const authSkew = 3 * time.Minute

// provenWithin refuses a sign-in whose person proved who they are more than maxAge seconds ago: not every identity provider
// asks anew when it is told to. One that does not say when has just been told to, so it was now; an id token of such a
// request has an auth_time (OpenID Connect Core §2).
func provenWithin(maxAge int64, at, now time.Time) (time.Time, *fault.Error) {
	if at.IsZero() {
		return now, nil
	}
	if now.Sub(at) > time.Duration(maxAge)*time.Second+authSkew {
		return at, fault.New(fault.Forbidden, "login_required", "The identity provider did not ask the person to sign in anew")
	}
	return at, nil
}

// whoAndHow refuses a sign-in of somebody else, or of another kind, than was asked for.
func (w wish) whoAndHow(identityID, acr string) *fault.Error {
	switch {
	case w.subject != "" && w.subject != identityID:
		return fault.New(fault.Forbidden, "login_required", "Somebody else signed in than the application asked for")
	case w.acr != nil && !slices.Contains(w.acr, acr): // OpenID Connect Core Error Code unmet_authentication_requirements 1.0
		return fault.New(fault.Forbidden, "unmet_authentication_requirements", "The identity provider did not sign the person in as the application requires")
	}
	return nil
}

// hints reports whether a person may be the one of login_hint. One that is no e-mail address says nothing that we know.
func (w wish) hints(p sso.Profile) bool {
	return !strings.Contains(w.loginHint, "@") || p.Email == "" || strings.EqualFold(w.loginHint, p.Email)
}

// hint is an id token of ours that comes back to say who is meant.
type hint struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	SessionID string `json:"sid"`
}

// readHint verifies an id_token_hint, which may have expired (OpenID Connect Core §3.1.2.1). One that is not ours, or was
// signed with a key that is not published any more, is none.
func (s *Service) readHint(ctx context.Context, token string) (hint, bool) {
	var h hint
	if token == "" {
		return h, false
	}
	set, err := s.KeySet(ctx)
	if err != nil {
		return h, false
	}
	text, err := json.Marshal(set)
	if err != nil {
		return h, false
	}
	keys, err := s.JOSE.ReadKeys(text)
	if err != nil {
		return h, false
	}
	algs := make([]string, 0, len(set.Keys))
	for _, k := range set.Keys {
		algs = append(algs, k.Alg)
	}
	verified, err := s.JOSE.Verify(token, keys, algs)
	if err != nil || verified.Type != idTokenType || json.Unmarshal(verified.Payload, &h) != nil || h.Issuer != s.Issuer || h.Subject == "" {
		return hint{}, false
	}
	return h, true
}

// wishOf reads a request with its id_token_hint. Of one that cannot be verified nobody knows whom it means, so the person
// signs in. What else cannot be read checkRequest refuses.
func (s *Service) wishOf(ctx context.Context, q url.Values, app *Application) wish {
	w, _ := wishOf(q, app)
	token := q.Get("id_token_hint")
	if token == "" || app == nil {
		return w
	}
	h, ok := s.readHint(ctx, token)
	switch {
	case !ok:
		w.anew = true
	case w.subject != "" && w.subject != h.Subject:
		w.anew = true
	default:
		w.subject = h.Subject
	}
	return w
}
