package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/jose"
	"github.com/portico-sso/portico/ports/store"
)

// confirmation is the key that whoever uses a token has to prove (cnf of RFC 7800 §3.1): of DPoP proofs (RFC 9449 §6.1) or
// of a TLS certificate (RFC 8705 §3.1). The zero one asks for nothing.
type confirmation struct {
	Thumbprint  string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

// DPoPAlgs are the algorithms of DPoP proofs.
var DPoPAlgs = []string{"ES256", "ES384", "EdDSA", "RS256", "PS256"}

const (
	proofAge  = 5 * time.Minute // how old a proof may be, and its nonce
	proofSkew = time.Minute     // how far ahead its clock may be
	nonceStep = time.Minute     // how often the nonce changes
	maxJTI    = 256             // bytes
)

// proof reads the DPoP proof of a request (RFC 9449 §4.3) and says which key it proves; "" where there is none. With an
// access token, the proof has to be for that. Faults: Invalid invalid_dpop_proof or use_dpop_nonce.
func (s *Service) proof(ctx context.Context, c Credentials, accessToken string) (thumbprint string, err error) {
	if len(c.DPoP) == 0 {
		return "", nil
	}
	if len(c.DPoP) > 1 {
		return "", invalidProof("There is more than one DPoP proof")
	}
	token, err := s.JOSE.VerifyOwn(c.DPoP[0], DPoPAlgs)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "invalid_dpop_proof", "The DPoP proof cannot be verified")
	}
	var claims struct {
		ID     string  `json:"jti"`
		Method string  `json:"htm"`
		URL    string  `json:"htu"`
		Issued float64 `json:"iat"`
		Nonce  string  `json:"nonce"`
		Hash   string  `json:"ath"`
	}
	if json.Unmarshal(token.Payload, &claims) != nil {
		return "", invalidProof("The DPoP proof cannot be read")
	}
	age := s.now().Sub(time.Unix(int64(claims.Issued), 0))
	switch {
	case token.Type != "dpop+jwt":
		return "", invalidProof("The DPoP proof has another type than dpop+jwt")
	case claims.ID == "" || len(claims.ID) > maxJTI:
		return "", invalidProof("The DPoP proof has no jti")
	case claims.Method != c.Method || !sameEndpoint(claims.URL, c.URL):
		return "", invalidProof("The DPoP proof is for another request")
	case age > proofAge || age < -proofSkew:
		return "", invalidProof("The DPoP proof is too old, or of the future")
	case accessToken != "" && !id.Equal(claims.Hash, tokenHash(accessToken)):
		return "", invalidProof("The DPoP proof is for another access token")
	case !s.knownNonce(claims.Nonce):
		return "", fault.New(fault.Invalid, "use_dpop_nonce", "Repeat the DPoP proof with the nonce of the DPoP-Nonce header")
	}
	return token.Key.Thumbprint, s.useOnce(ctx, id.Hash("dpop", token.Key.Thumbprint, claims.ID), invalidProof("The DPoP proof was used already"))
}

// useOnce notes that something was used, for as long as it could be used again; taken is the fault when it was before.
func (s *Service) useOnce(ctx context.Context, name string, taken error) error {
	err := s.Sessions.Commit(ctx, store.Insert(used, store.Doc{ID: name, Body: []byte("{}"), ExpiresAt: s.now().Add(2 * proofAge)}))
	if store.Taken(err, used, "") {
		return taken
	}
	return record.StoreFault(err)
}

// tokenHash is ath (RFC 9449 §4.2).
func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sameEndpoint compares htu with where the request went, without query and fragment (RFC 9449 §4.3).
func sameEndpoint(claimed, actual string) bool {
	u, err := url.Parse(claimed)
	if err != nil {
		return false
	}
	v, err := url.Parse(actual)
	return err == nil && strings.EqualFold(u.Scheme, v.Scheme) && strings.EqualFold(hostPort(u), hostPort(v)) && u.EscapedPath() == v.EscapedPath()
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return u.Hostname() + ":" + port
}

// DPoPNonce is the nonce of this minute. Every instance makes the same ones.
func (s *Service) DPoPNonce() string { return s.nonce(s.now().Truncate(nonceStep)) }

func (s *Service) nonce(at time.Time) string {
	mac := hmac.New(sha256.New, s.Secret)
	mac.Write(binary.BigEndian.AppendUint64([]byte("dpop nonce "), uint64(at.Unix())))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

func (s *Service) knownNonce(nonce string) bool {
	at := s.now().Truncate(nonceStep).Add(nonceStep) // an instance whose clock is ahead may have made it
	for age := time.Duration(0); age <= proofAge+nonceStep; age += nonceStep {
		if id.Equal(nonce, s.nonce(at.Add(-age))) {
			return true
		}
	}
	return false
}

// confirm says to which key the tokens of a request are bound.
func (s *Service) confirm(ctx context.Context, app Application, c Credentials) (confirmation, error) {
	thumbprint, err := s.proof(ctx, c, "")
	if err != nil {
		return confirmation{}, err
	}
	if thumbprint == "" && app.RequireDPoP {
		return confirmation{}, invalidProof("The application's tokens are bound to a key: send a DPoP proof")
	}
	cnf := confirmation{Thumbprint: thumbprint}
	if thumbprint == "" && app.byCertificate() {
		cnf.Certificate = certificateThumbprint(c.Certificate)
	}
	return cnf, nil
}

// confirmed checks that whoever uses an access token has the key that it is bound to, and speaks of it as such a token
// (RFC 9449 §7.1).
func (s *Service) confirmed(ctx context.Context, cnf confirmation, scheme, token string, c Credentials) error {
	isDPoP := strings.EqualFold(scheme, "DPoP")
	switch {
	case cnf.Thumbprint != "":
		if !isDPoP {
			return invalidToken()
		}
		thumbprint, err := s.proof(ctx, c, token)
		if err == nil && thumbprint != cnf.Thumbprint {
			err = invalidProof("The DPoP proof is by another key than the token's")
		}
		return err
	case isDPoP:
		return invalidToken()
	case cnf.Certificate != "" && !id.Equal(cnf.Certificate, certificateThumbprint(c.Certificate)):
		return invalidToken()
	}
	return nil
}

// certificateThumbprint is x5t#S256 (RFC 8705 §3.1); "" of none.
func certificateThumbprint(der []byte) string {
	if len(der) == 0 {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func invalidProof(message string) error {
	return fault.New(fault.Invalid, "invalid_dpop_proof", message)
}

// keySet are the public keys of an application: its own, or those at its address, kept for a while.
func (s *Service) keySet(ctx context.Context, app Application) ([]jose.Key, error) {
	text := []byte(app.JWKS)
	if app.JWKSURI != "" {
		fetched, err := s.fetched.Get(app.JWKSURI, func() ([]byte, error) {
			d, err := s.Fetch.Fetch(ctx, app.JWKSURI, jose.MaxKeys)
			return d.Body, err
		})
		if err != nil {
			return nil, err
		}
		text = fetched
	}
	return s.JOSE.ReadKeys(slices.Clone(text))
}
