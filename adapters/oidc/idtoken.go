package oidc

import (
	"context"
	"crypto"
	_ "crypto/sha256" // of the hashes below
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portico-sso/portico/ports/federation"
)

// maxSubject is in bytes. The specification has 255 ASCII characters; some providers take more.
const maxSubject = 1024

// verifyIDToken verifies the id token of a token response (Core §3.1.3.7, §3.1.3.8) and returns its claims.
func (p *RelyingParty) verifyIDToken(ctx context.Context, r federation.Redemption, t tokens) (object, error) {
	token, err := p.verify(ctx, r, t.id)
	if err != nil {
		return nil, err
	}
	c := token.claims
	if err := checkIssuer(r.Provider.Issuer, token); err != nil {
		return nil, err
	}
	if err := checkAudience(r.Client.ID, c); err != nil {
		return nil, err
	}
	if err := p.checkTimes(r, c); err != nil {
		return nil, err
	}
	if nonce, _ := c.text("nonce"); !equal(nonce, r.Nonce) {
		return nil, refuse(federation.OIDCNonce, "the id token has another nonce than this login")
	}
	for claim, value := range map[string]string{"at_hash": t.access, "c_hash": r.Code} {
		if err := checkHash(c, claim, token.alg, value); err != nil {
			return nil, err
		}
	}
	if subject, _ := c.text("sub"); !validSubject(subject) {
		return nil, refuse(federation.OIDCSubject, "the id token has no usable sub")
	}
	return c, nil
}

// Google's id tokens may name the issuer without its scheme.
const (
	googleIssuer = "https://accounts.google.com"
	googleAlias  = "accounts.google.com"
)

// checkIssuer compares iss. Where each tenant is an issuer of its own, iss is that of the tenant in tid, and the key must
// be one that signs for it.
func checkIssuer(expected string, token signed) error {
	iss, _ := token.claims.text("iss")
	refused := refuse(federation.OIDCIssuer, "the id token is of another issuer")
	if !strings.Contains(expected, federation.TenantPlaceholder) {
		if iss == expected || expected == googleIssuer && iss == googleAlias {
			return nil
		}
		return refused
	}
	tenant, _ := token.claims.text("tid")
	fill := func(template string) string {
		return strings.ReplaceAll(template, federation.TenantPlaceholder, tenant)
	}
	if !guid.MatchString(tenant) || iss != fill(expected) || token.issuer != "" && iss != fill(token.issuer) {
		return refused
	}
	return nil
}

// checkAudience: the token is for this client. Where it is for others, too, it says that this one asked for it (Core
// §3.1.3.7, 3 to 5).
func checkAudience(clientID string, c object) error {
	audience, ok := c.texts("aud")
	if single, isText := c.text("aud"); isText {
		audience, ok = []string{single}, true
	}
	if !ok || !slices.Contains(audience, clientID) {
		return refuse(federation.OIDCAudience, "the id token is for another client")
	}
	azp, given := c["azp"]
	if given && azp != clientID || !given && slices.ContainsFunc(audience, func(a string) bool { return a != clientID }) {
		return refuse(federation.OIDCAuthorizedParty, "the id token was issued to another client")
	}
	return nil
}

func (p *RelyingParty) checkTimes(r federation.Redemption, c object) error {
	now := p.Now()
	expires, hasExpiry, err := c.instant("exp")
	if err != nil {
		return err
	}
	issued, hasIssued, err := c.instant("iat")
	if err != nil {
		return err
	}
	begins, _, err := c.instant("nbf")
	if err != nil {
		return err
	}
	proven, hasProven, err := c.instant("auth_time")
	if err != nil {
		return err
	}
	switch {
	case !hasExpiry || !hasIssued:
		return refuse(federation.OIDCMalformed, "the id token lacks exp or iat")
	case !now.Before(expires.Add(r.Skew)):
		return refuse(federation.OIDCExpired, "the id token has expired")
	case issued.After(now.Add(r.Skew)), begins.After(now.Add(r.Skew)):
		return refuse(federation.OIDCNotYetValid, "the id token is of the future")
	case r.MaxAge != nil && (!hasProven || now.Sub(proven)-r.Skew > time.Duration(*r.MaxAge)*time.Second):
		return refuse(federation.OIDCAuthTime, "the person proved who they are too long ago, or the id token does not say when")
	}
	return nil
}

// checkHash compares at_hash or c_hash, where there is one, with what it is the hash of (Core §3.1.3.6, §3.3.2.11): a token
// or code that somebody exchanged would not fit.
func checkHash(c object, claim, alg, value string) error {
	given, present := c[claim]
	if !present {
		return nil
	}
	hash := crypto.SHA256
	switch {
	case strings.HasSuffix(alg, "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(alg, "512"), alg == "EdDSA": // Ed25519 is made of SHA-512
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(value))
	sum := h.Sum(nil)
	text, _ := given.(string)
	if !equal(text, base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])) {
		return refuse(federation.OIDCTokenHash, claim+" is of something else than what came with the id token")
	}
	return nil
}

func validSubject(s string) bool {
	return s != "" && len(s) <= maxSubject && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError })
}

// equal compares secrets. An empty one equals nothing.
func equal(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
