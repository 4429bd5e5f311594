package federation

import (
	"context"
	"crypto"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// OIDC is the relying-party side of OpenID Connect: the authorization code flow (OpenID Connect Core §3.1). It remembers
// for a while what providers publish, their metadata and keys, and nothing of who signs in.
type OIDC interface {
	// Discover reads a provider's metadata from its discovery URL, or from below its issuer, unless it is remembered.
	// What was read up to a day ago serves while the provider does not answer. Errors: *OIDCError.
	Discover(ctx context.Context, address string) (OpenIDProvider, error)

	// ReadProvider reads metadata that was given as JSON (OpenID Connect Discovery §3). Errors: *OIDCError with
	// OIDCMetadata, whose Detail is a sentence for whoever gave it.
	ReadProvider(doc []byte) (OpenIDProvider, error)

	// AuthorizationURL is where the browser goes to sign in (OpenID Connect Core §3.1.2.1).
	AuthorizationURL(r AuthorizationRequest) string

	// Redeem exchanges a code, verifies the id token, and asks the userinfo endpoint where there is one. What it returns
	// is of one person, who signed in for this client and this nonce. Errors: *OIDCError.
	Redeem(ctx context.Context, r Redemption) (Claims, error)
}

// MaxOpenIDMetadata is the largest metadata of an OpenID provider that is read, in bytes of JSON.
const MaxOpenIDMetadata = 256 << 10

// OpenIDProvider is what a provider's metadata says (OpenID Connect Discovery §3, RFC 8414 §2).
type OpenIDProvider struct {
	Issuer                string // holds TenantPlaceholder where each tenant is an issuer of its own
	AuthorizationEndpoint string
	TokenEndpoint         string
	UserinfoEndpoint      string // or ""
	JWKSURI               string
	PKCE                  bool     // announces S256
	AuthMethods           []string // those of token_endpoint_auth_methods_supported that we know; nil where it does not say
	NamesIssuer           bool     // announces iss in its authorization responses (RFC 9207 §3)
}

// TenantPlaceholder stands in the issuer of Microsoft Entra ID's multi-tenant endpoints for the tid of the id token.
const TenantPlaceholder = "{tenantid}"

// AuthorizationRequest is what a request to an OpenID provider says.
type AuthorizationRequest struct {
	Provider    OpenIDProvider
	ClientID    string
	RedirectURI string
	Scopes      []string
	State       string
	Nonce       string
	Verifier    string  // of PKCE with S256 (RFC 7636); "" leaves PKCE out
	Params      []Param // further parameters, which cannot take the place of those above
}

// Param is one parameter of a request.
type Param struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// AuthMethod is how a client authenticates at the token endpoint (OpenID Connect Core §9).
type AuthMethod string

// The methods of authentication.
const (
	AuthSecretBasic   AuthMethod = "client_secret_basic"
	AuthSecretPost    AuthMethod = "client_secret_post"
	AuthPrivateKeyJWT AuthMethod = "private_key_jwt"
	AuthNone          AuthMethod = "none"
)

// OpenIDClient is what we are at a provider.
type OpenIDClient struct {
	ID     string
	Secret string
	Auth   AuthMethod

	// Of private_key_jwt: our RSA key, its JWK thumbprint and its certificate, DER. The assertion is for the issuer, or
	// for the token endpoint where AudienceTokenEndpoint is set.
	Signer                crypto.Signer
	KeyID                 string
	Certificate           []byte
	AudienceTokenEndpoint bool
}

// Redemption is a code, and what the answer for it must fulfil.
type Redemption struct {
	Provider    OpenIDProvider
	Client      OpenIDClient
	Code        string
	RedirectURI string
	Verifier    string // of PKCE, or ""
	Nonce       string
	MaxAge      *int64        // seconds since the person proved who they are; nil asks for none
	HMAC        bool          // tokens are signed with the client's secret (HS256, HS384, HS512), and with nothing else
	Skew        time.Duration // tolerated difference of clocks
}

// Claims are what a provider says of who signed in: claims of the verified id token, and of userinfo for the same subject.
type Claims struct {
	Issuer   string
	Subject  string
	AuthTime time.Time      // zero when not stated
	IDToken  map[string]any // as encoding/json reads an object
	Userinfo map[string]any // nil where there is no userinfo endpoint
}

// OIDCCode names why a provider's answer, or its metadata, was refused. The set is closed: see the constants.
type OIDCCode string

// Why an answer of a provider is refused.
const (
	OIDCMetadata        OIDCCode = "metadata"          // metadata that lacks what a connection needs
	OIDCUnreachable     OIDCCode = "unreachable"       // no answer in time, or one of 429 or 5xx
	OIDCBusy            OIDCCode = "busy"              // too many logins wait for this provider's answers
	OIDCForbidden       OIDCCode = "forbidden_address" // an address that must not be asked
	OIDCTooLarge        OIDCCode = "too_large"         // over a stated limit
	OIDCProvider        OIDCCode = "provider"          // the provider answered an error: OIDCError.Answer
	OIDCMalformed       OIDCCode = "malformed"         // not the expected structure
	OIDCAlgorithm       OIDCCode = "algorithm"         // an algorithm outside the allow-list: none, or HMAC where it is not configured
	OIDCKey             OIDCCode = "key"               // no published key that fits
	OIDCSignature       OIDCCode = "signature"         // the signature does not verify
	OIDCIssuer          OIDCCode = "issuer"            // of another issuer
	OIDCAudience        OIDCCode = "audience"          // for another client
	OIDCAuthorizedParty OIDCCode = "authorized_party"  // azp is another client, or missing among several audiences
	OIDCExpired         OIDCCode = "expired"
	OIDCNotYetValid     OIDCCode = "not_yet_valid"
	OIDCNonce           OIDCCode = "nonce"      // of another login
	OIDCTokenHash       OIDCCode = "token_hash" // at_hash or c_hash is of another token or code
	OIDCSubject         OIDCCode = "subject"    // no subject, or userinfo of another
	OIDCAuthTime        OIDCCode = "auth_time"  // the person proved who they are too long ago, or nobody says when
	OIDCUserinfo        OIDCCode = "userinfo"   // the userinfo endpoint refused the access token
)

// OIDCError is a refusal. Detail is for the operator: it never holds a token, a code, a secret or the value of a claim
// about a person.
type OIDCError struct {
	Code   OIDCCode
	Detail string
	Answer OAuthError // set with OIDCProvider
	Err    error      // the cause, or nil
}

// OAuthError is an error that an authorization server answers (RFC 6749 §4.1.2.1, §5.2).
type OAuthError struct{ Code, Description string }

// Longest parts of an OAuthError that somebody else wrote.
const (
	maxErrorCode        = 64  // bytes
	maxErrorDescription = 256 // characters
)

// ReadOAuthError takes what a provider said into a form that can be passed on: a code that is no word becomes server_error,
// and of the description the printable characters stay.
func ReadOAuthError(code, description string) OAuthError {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	}
	if code == "" || len(code) > maxErrorCode || strings.ContainsFunc(code, odd) {
		code = "server_error"
	}
	shown := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, description))
	return OAuthError{Code: code, Description: string(shown[:min(len(shown), maxErrorDescription)])}
}

func (e *OIDCError) Error() string {
	text := fmt.Sprintf("oidc: %s: %s", e.Code, e.Detail)
	if e.Answer.Code != "" {
		text += " with " + e.Answer.Code
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *OIDCError) Unwrap() error { return e.Err }
