package oidc

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-sso/portico/ports/federation"
)

// signed is what a verified JWT holds.
type signed struct {
	alg    string
	issuer string // of the key, see key.issuer
	claims object
}

// hmacAlgorithms are those of a client's secret, with the least bytes that it must have (RFC 7518 §3.2).
var hmacAlgorithms = map[jose.SignatureAlgorithm]int{jose.HS256: 32, jose.HS384: 48, jose.HS512: 64}

// verify checks the signature of a JWT of the provider: with the keys that it publishes, or with the client's secret where
// the connection says so, and never with anything that the token itself brings or names.
func (p *RelyingParty) verify(ctx context.Context, r federation.Redemption, token string) (signed, error) {
	allowed := algorithms
	if r.HMAC {
		allowed = []jose.SignatureAlgorithm{}
		for alg, least := range hmacAlgorithms {
			if len(r.Client.Secret) >= least {
				allowed = append(allowed, alg)
			}
		}
	}
	if len(allowed) == 0 {
		return signed{}, refuse(federation.OIDCAlgorithm, "the client's secret is too short to sign with")
	}
	jws, err := jose.ParseSignedCompact(token, allowed)
	var unexpected *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &unexpected):
		return signed{}, refuse(federation.OIDCAlgorithm, "a token is signed with an algorithm that is not allowed")
	case err != nil && strings.Count(token, ".") == 4:
		return signed{}, refuse(federation.OIDCMalformed, "a token is encrypted, which is not supported")
	case err != nil:
		return signed{}, refuse(federation.OIDCMalformed, "a token is no signed JWT")
	}
	header := jws.Signatures[0].Protected
	if err := checkHeader(header); err != nil {
		return signed{}, err
	}
	s := signed{alg: header.Algorithm}
	var payload []byte
	if r.HMAC {
		if payload, err = jws.Verify([]byte(r.Client.Secret)); err != nil {
			return signed{}, refuse(federation.OIDCSignature, "the signature of a token does not verify with the client's secret")
		}
	} else {
		var k key
		if payload, k, err = p.verifyPublished(ctx, r.Provider.JWKSURI, jws); err != nil {
			return signed{}, err
		}
		s.issuer = k.issuer
	}
	if s.claims, err = readObject(payload); err != nil || !utf8.Valid(payload) {
		return signed{}, refuse(federation.OIDCMalformed, "a token does not hold a JSON object")
	}
	return s, nil
}

// checkHeader refuses tokens of another kind (RFC 8725 §3.11) and what a header declares critical, of which we know nothing.
func checkHeader(h jose.Header) error {
	typ, _ := h.ExtraHeaders[jose.HeaderType].(string)
	if _, given := h.ExtraHeaders[jose.HeaderType]; given && !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "application/jwt") {
		return refuse(federation.OIDCMalformed, "a token of another type than JWT")
	}
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, given := h.ExtraHeaders[name]; given {
			return refuse(federation.OIDCMalformed, "a token whose header has "+string(name))
		}
	}
	return nil
}

// verifyPublished tries the keys that fit. A key that is not there may have been published meanwhile.
func (p *RelyingParty) verifyPublished(ctx context.Context, address string, jws *jose.JSONWebSignature) ([]byte, key, error) {
	refused := refuse(federation.OIDCKey, "the provider publishes no key that fits a token")
	var seen uint64
	for range 2 {
		keys, serial, err := p.keySet(ctx, address, seen)
		if err != nil {
			return nil, key{}, err
		}
		if serial == seen {
			break // nothing newer
		}
		header := jws.Signatures[0].Protected
		for _, k := range keys {
			if !k.fits(header.KeyID, header.Algorithm) {
				continue
			}
			if payload, err := jws.Verify(k.public); err == nil {
				return payload, k, nil
			}
			refused = refuse(federation.OIDCSignature, "the signature of a token does not verify")
		}
		seen = serial
	}
	return nil, key{}, refused
}
