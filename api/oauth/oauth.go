// Package oauth is the way in of the OAuth 2.0 and OpenID Connect protocols.
package oauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-sso/portico/api/pages"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/oauth"
)

// Limits of a request's body in bytes. A SAML response of the largest size is a third larger in base64, and again
// where the browser escapes it.
const (
	maxForm     = 64 << 10
	maxResponse = 1 << 20
)

// Handler serves the endpoints.
type Handler struct {
	OAuth  *oauth.Service
	Pages  *pages.Pages
	Logger *slog.Logger
	// Certificate is the certificate of the TLS client that a request comes from, in DER; nil answers none.
	Certificate func(*http.Request) []byte
}

// Authorize serves GET and POST /api/oauth/authorize.
func (h *Handler) Authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		var err error
		if q, err = readForm(w, r, maxForm); err != nil {
			h.Pages.Error(w, r, err)
			return
		}
	} else if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		h.Pages.Error(w, r, fault.New(fault.Invalid, "invalid_request", "The query of the request cannot be read."))
		return
	}
	b := pages.Browser(r)
	out, err := h.OAuth.Authorize(r.Context(), q, b)
	h.goes(w, r, b, out, err)
}

// ConsumeSAML serves POST /api/oauth/saml, the assertion consumer service.
func (h *Handler) ConsumeSAML(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r, maxResponse)
	if err == nil && (len(form["SAMLResponse"]) != 1 || len(form["RelayState"]) > 1) {
		err = fault.New(fault.Invalid, "saml_malformed", "The request must hold one SAMLResponse.")
	}
	if err != nil {
		h.Pages.Error(w, r, err)
		return
	}
	out, err := h.OAuth.FinishSAML(r.Context(), form.Get("SAMLResponse"), form.Get("RelayState"))
	if err != nil {
		h.Pages.Error(w, r, err)
		return
	}
	h.Pages.Go(w, r, out)
}

// MethodNotAllowed answers a verb that a browser endpoint does not have.
func (h *Handler) MethodNotAllowed(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		h.Pages.Error(w, r, methodNotAllowed(r))
	}
}

func methodNotAllowed(r *http.Request) error {
	return fault.New(fault.Invalid, "method_not_allowed", "Method "+safeMethod(r.Method)+" not allowed.")
}

func safeMethod(method string) string {
	if len(method) > 16 {
		return "?"
	}
	return method
}

// Token serves POST /api/oauth/token.
func (h *Handler) Token(w http.ResponseWriter, r *http.Request) {
	h.client(w, r, func(form url.Values, c oauth.Credentials) (any, error) { return h.OAuth.Token(r.Context(), form, c) })
}

// Introspect serves POST /api/oauth/introspect (RFC 7662).
func (h *Handler) Introspect(w http.ResponseWriter, r *http.Request) {
	h.client(w, r, func(form url.Values, c oauth.Credentials) (any, error) {
		return h.OAuth.Introspect(r.Context(), form, c)
	})
}

// Revoke serves POST /api/oauth/revoke (RFC 7009).
func (h *Handler) Revoke(w http.ResponseWriter, r *http.Request) {
	h.client(w, r, func(form url.Values, c oauth.Credentials) (any, error) {
		return struct{}{}, h.OAuth.Revoke(r.Context(), form, c)
	})
}

// Register serves POST /api/oauth/register (RFC 7591).
func (h *Handler) Register(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeJSON(w, http.StatusMethodNotAllowed, tokenError{"invalid_request", "Method " + safeMethod(r.Method) + " not allowed."})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	var registered oauth.Registration
	if err != nil {
		err = fault.Wrap(err, fault.TooLarge, "too_large", "The metadata has more than 64 KiB.")
	} else {
		registered, err = h.OAuth.Register(r.Context(), r.Header.Get("Authorization"), body)
	}
	switch {
	case fault.Is(err, fault.Unauthenticated):
		w.Header().Set("WWW-Authenticate", `Bearer realm="portico", error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, tokenError{"invalid_token", "Register with an initial access token."})
	case err != nil:
		h.tokenFault(w, r, err)
	default:
		writeJSON(w, http.StatusCreated, registered)
	}
}

// AuthorizeDevice serves POST /api/oauth/device_authorization (RFC 8628).
func (h *Handler) AuthorizeDevice(w http.ResponseWriter, r *http.Request) {
	h.client(w, r, func(form url.Values, c oauth.Credentials) (any, error) {
		return h.OAuth.AuthorizeDevice(r.Context(), form, c)
	})
}

// Push serves POST /api/oauth/par (RFC 9126).
func (h *Handler) Push(w http.ResponseWriter, r *http.Request) {
	h.client(w, r, func(form url.Values, c oauth.Credentials) (any, error) {
		pushed, err := h.OAuth.Push(r.Context(), form, c)
		return created{pushed}, err
	})
}

// created is an answer with status 201.
type created struct{ any }

// client answers a request that a client makes itself, not a browser, with JSON.
func (h *Handler) client(w http.ResponseWriter, r *http.Request, answer func(url.Values, oauth.Credentials) (any, error)) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeJSON(w, http.StatusMethodNotAllowed, tokenError{"invalid_request", "Method " + safeMethod(r.Method) + " not allowed."})
		return
	}
	form, err := readForm(w, r, maxForm)
	if err != nil {
		h.tokenFault(w, r, err)
		return
	}
	credentials, err := readCredentials(r.Header.Get("Authorization"), form)
	if err != nil {
		h.tokenFault(w, r, err)
		return
	}
	response, err := answer(form, h.sender(credentials, r))
	if err != nil {
		h.tokenFault(w, r, err)
		return
	}
	h.setNonce(w, r)
	if made, ok := response.(created); ok {
		writeJSON(w, http.StatusCreated, made.any)
		return
	}
	writeJSON(w, http.StatusOK, response)
}

// sender adds to the credentials what else a request shows of whom it comes from.
func (h *Handler) sender(c oauth.Credentials, r *http.Request) oauth.Credentials {
	c.DPoP, c.Method, c.URL = r.Header.Values("DPoP"), r.Method, h.OAuth.Issuer+r.URL.EscapedPath()
	if h.Certificate != nil {
		c.Certificate = h.Certificate(r)
	}
	return c
}

// setNonce tells a client that sends DPoP proofs the nonce for its next one (RFC 9449 §8.2).
func (h *Handler) setNonce(w http.ResponseWriter, r *http.Request) {
	if len(r.Header.Values("DPoP")) > 0 {
		w.Header().Set("DPoP-Nonce", h.OAuth.DPoPNonce())
	}
}

// tokenError is an error of the token endpoint (RFC 6749 §5.2).
type tokenError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// tokenErrors maps the kinds of faults to RFC 6749 §5.2. An empty code takes the fault's own, which the oauth module
// chooses among the RFC's.
var tokenErrors = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.Internal:        {http.StatusInternalServerError, "server_error"},
	fault.Invalid:         {http.StatusBadRequest, ""},
	fault.Unauthenticated: {http.StatusUnauthorized, ""},
	fault.Forbidden:       {http.StatusBadRequest, "invalid_grant"},
	fault.NotFound:        {http.StatusBadRequest, "invalid_grant"},
	fault.Conflict:        {http.StatusBadRequest, "invalid_grant"},
	fault.Taken:           {http.StatusBadRequest, "invalid_grant"},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, "invalid_request"},
	fault.TooMany:         {http.StatusTooManyRequests, "temporarily_unavailable"},
	fault.Unavailable:     {http.StatusServiceUnavailable, "temporarily_unavailable"},
}

func (h *Handler) tokenFault(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	answer := tokenErrors[f.Kind]
	if answer.code == "" {
		answer.code = f.Code
	}
	h.log(r, answer.status, f)
	h.setNonce(w, r)
	if answer.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="portico"`) // RFC 6749 §5.2
	}
	if answer.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, answer.status, tokenError{answer.code, f.Message})
}

// TooMany answers a client whose address sends too much.
func (h *Handler) TooMany(w http.ResponseWriter, r *http.Request) { h.tokenFault(w, r, tooMany()) }

// TooManyByBrowser answers a browser whose address does.
func (h *Handler) TooManyByBrowser(w http.ResponseWriter, r *http.Request) {
	h.Pages.Error(w, r, tooMany())
}

func tooMany() error {
	return fault.New(fault.TooMany, "too_many", "Too many requests come from this address. Wait a minute.")
}

func (h *Handler) log(r *http.Request, status int, f *fault.Error) {
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	h.Logger.Log(r.Context(), level, "oauth request refused", "status", status, "code", f.Code, "error", f)
}

// Userinfo serves GET and POST /api/oauth/userinfo. The token comes in the Authorization header and nowhere else, for
// addresses end up in logs.
func (h *Handler) Userinfo(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"message": "Method " + safeMethod(r.Method) + " not allowed."})
		return
	}
	h.setNonce(w, r)
	claims, err := h.OAuth.Userinfo(r.Context(), r.Header.Get("Authorization"), h.sender(oauth.Credentials{}, r))
	if err != nil {
		h.userinfoFault(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, claims)
}

// userinfoFault answers as RFC 6750 §3 says; message is what Polis clients read.
func (h *Handler) userinfoFault(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := pages.Status(f.Kind)
	h.log(r, status, f)
	body := map[string]string{"message": f.Message}
	algs := fmt.Sprintf(", algs=%q", strings.Join(oauth.DPoPAlgs, " "))
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	isDPoP := strings.EqualFold(scheme, "DPoP")
	switch {
	case f.Code == "missing_token": // no error code where no token was tried
		w.Header().Set("WWW-Authenticate", `Bearer realm="portico"`)
		w.Header().Add("WWW-Authenticate", `DPoP realm="portico"`+algs)
	case f.Kind == fault.Unauthenticated && !isDPoP:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="portico", error=%q, error_description=%q`, f.Code, f.Message))
		body["error"], body["error_description"] = f.Code, f.Message
	case f.Kind == fault.Unauthenticated, f.Code == "invalid_dpop_proof", f.Code == "use_dpop_nonce": // RFC 9449 §7.1
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`DPoP realm="portico", error=%q, error_description=%q`, f.Code, f.Message)+algs)
		body["error"], body["error_description"] = f.Code, f.Message
	case f.Kind == fault.Unavailable:
		w.Header().Set("Retry-After", "1")
		body["error"] = "temporarily_unavailable"
	default:
		body["error"] = "server_error"
	}
	writeJSON(w, status, body)
}

// Discovery serves GET /.well-known/openid-configuration.
func (h *Handler) Discovery(w http.ResponseWriter, _ *http.Request) {
	writePretty(w, h.OAuth.Discovery())
}

// Keys serves GET /oauth/jwks.
func (h *Handler) Keys(w http.ResponseWriter, r *http.Request) {
	keys, err := h.OAuth.KeySet(r.Context())
	if err != nil {
		h.tokenFault(w, r, err)
		return
	}
	writePretty(w, keys)
}

// readForm reads a body as application/x-www-form-urlencoded or as a JSON object of texts, numbers and booleans.
func readForm(w http.ResponseWriter, r *http.Request, limit int64) (url.Values, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fault.Wrap(err, fault.TooLarge, "too_large", fmt.Sprintf("The request has more than %d bytes.", limit))
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "invalid_request", "The request could not be read.")
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch mediaType {
	case "application/x-www-form-urlencoded", "":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "invalid_request", "The form cannot be read.")
		}
		return form, nil
	case "application/json":
		return readJSONForm(body)
	}
	return nil, fault.New(fault.Invalid, "invalid_request", "Send application/x-www-form-urlencoded or application/json.")
}

func readJSONForm(body []byte) (url.Values, error) {
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid_request", "The JSON cannot be read.")
	}
	form := url.Values{}
	for name, value := range fields {
		switch v := value.(type) {
		case nil:
		case string:
			form.Set(name, v)
		case bool, float64:
			form.Set(name, fmt.Sprint(v))
		default:
			return nil, fault.At(name, "invalid_request", "The fields of the JSON are texts.")
		}
	}
	return form, nil
}

// readCredentials reads what the client presents of itself. HTTP Basic counts where the body has none, and must not
// disagree with it (RFC 6749 §2.3: one method per request).
func readCredentials(authorization string, form url.Values) (oauth.Credentials, error) {
	fromBody := oauth.Credentials{ClientID: form.Get("client_id"), Secret: form.Get("client_secret"), Assertion: form.Get("client_assertion")}
	if kind := form.Get("client_assertion_type"); fromBody.Assertion != "" && kind != oauth.AssertionType {
		return fromBody, fault.New(fault.Unauthenticated, "invalid_client", "There is no such client_assertion_type.")
	}
	scheme, value, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return fromBody, nil
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	clientID, secret, ok := strings.Cut(string(text), ":")
	if err != nil || !ok {
		return fromBody, fault.New(fault.Unauthenticated, "invalid_client", "The Authorization header cannot be read.")
	}
	c := oauth.Credentials{ClientID: clientID, Secret: secret, Twice: fromBody.Secret != ""}
	if plainID, err := url.QueryUnescape(clientID); err == nil {
		if plainSecret, err := url.QueryUnescape(secret); err == nil && (plainID != clientID || plainSecret != secret) {
			asSent := c
			c = oauth.Credentials{ClientID: plainID, Secret: plainSecret, Twice: c.Twice, AsSent: &asSent}
		}
	}
	if fromBody.Assertion != "" || disagrees(fromBody.ClientID, c.ClientID, clientID) || disagrees(fromBody.Secret, c.Secret, secret) {
		return fromBody, fault.New(fault.Invalid, "invalid_request", "The client presents itself in two ways that disagree.")
	}
	return c, nil
}

func disagrees(body, decoded, asSent string) bool {
	return body != "" && body != decoded && body != asSent
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749 §5.1
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func writePretty(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v)
}
