package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha1" // of x5t, a name for a certificate
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"

	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/outbound"
)

// tokens are what a code buys.
type tokens struct{ access, id string }

// exchange sends the token request (Core §3.1.3.1).
func (p *RelyingParty) exchange(ctx context.Context, r federation.Redemption) (tokens, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {r.Code}, "redirect_uri": {r.RedirectURI}}
	if r.Verifier != "" {
		form.Set("code_verifier", r.Verifier)
	}
	header := map[string]string{"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
	if err := p.authenticate(r, form, header); err != nil {
		return tokens{}, err
	}
	a, err := p.Send.Send(ctx, outbound.Request{Method: http.MethodPost, URL: r.Provider.TokenEndpoint, Header: header,
		Body: []byte(form.Encode()), MaxBytes: maxTokens})
	if err != nil {
		return tokens{}, failed("token endpoint", err)
	}
	return readTokens(a)
}

// authenticate says to the token endpoint who we are (Core §9).
func (p *RelyingParty) authenticate(r federation.Redemption, form url.Values, header map[string]string) error {
	c := r.Client
	switch c.Auth {
	case federation.AuthSecretBasic: // form-encoded first (RFC 6749 §2.3.1)
		header["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID)+":"+url.QueryEscape(c.Secret)))
		return nil
	case federation.AuthSecretPost:
		form.Set("client_secret", c.Secret)
	case federation.AuthPrivateKeyJWT:
		assertion, err := p.assertion(r)
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case federation.AuthNone:
	}
	form.Set("client_id", c.ID)
	return nil
}

// assertionTTL is how long an assertion of ours is valid. Providers' clocks differ.
const assertionTTL = 5 * time.Minute

// assertion signs who we are (RFC 7523 §3). It has one audience, and goes to no endpoint but that of the provider it is
// for: with another it could be carried to a provider that somebody else pretended to be.
func (p *RelyingParty) assertion(r federation.Redemption) (string, error) {
	c, now := r.Client, p.Now()
	audience := r.Provider.Issuer
	if c.AudienceTokenEndpoint {
		audience = r.Provider.TokenEndpoint
	}
	claims, err := json.Marshal(map[string]any{"iss": c.ID, "sub": c.ID, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionTTL).Unix()})
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", c.KeyID)
	if c.Certificate != nil { // by which Microsoft finds the key
		s1, s256 := sha1.Sum(c.Certificate), sha256.Sum256(c.Certificate)
		options = options.WithHeader("x5t", base64.RawURLEncoding.EncodeToString(s1[:])).
			WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(s256[:]))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: cryptosigner.Opaque(c.Signer)}, options)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// readTokens reads the answer of the token endpoint (RFC 6749 §5.1, §5.2).
func readTokens(a outbound.Answer) (tokens, error) {
	if outage(a.Status) {
		return tokens{}, failed("token endpoint", &outbound.StatusError{Code: a.Status})
	}
	members, err := readObject(a.Body)
	if err != nil {
		members = object{}
	}
	if code, ok := members.text("error"); ok && members["id_token"] == nil {
		description, _ := members.text("error_description")
		return tokens{}, &federation.OIDCError{Code: federation.OIDCProvider, Detail: "the token endpoint refused the code",
			Answer: federation.ReadOAuthError(code, description)}
	}
	var t tokens
	t.access, _ = members.text("access_token")
	t.id, _ = members.text("id_token")
	kind, _ := members.text("token_type")
	switch {
	case a.Status != http.StatusOK || t.access == "" || !strings.EqualFold(kind, "Bearer"):
		return tokens{}, refuse(federation.OIDCMalformed, "the token endpoint's answer holds no access token")
	case t.id == "":
		return tokens{}, refuse(federation.OIDCMalformed, "the token endpoint's answer holds no id token")
	}
	return t, nil
}
