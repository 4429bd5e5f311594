package oauth

import (
	"context"

	"github.com/portico-sso/portico/core/keypair"
	"github.com/portico-sso/portico/ports/jose"
)

// Metadata is the discovery document (OpenID Connect Discovery §3, RFC 8414 §2): it announces exactly what works.
type Metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []Alg    `json:"id_token_signing_alg_values_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	IntrospectionMethods  []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAlgs     []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	RevocationMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAlgs        []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	BackchannelLogout     bool     `json:"backchannel_logout_supported"`
	BackchannelSession    bool     `json:"backchannel_logout_session_supported"`
	PushEndpoint          string   `json:"pushed_authorization_request_endpoint"`
	ObjectAlgs            []string `json:"request_object_signing_alg_values_supported"`
	NamesIssuer           bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
	TokenAuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	DPoPAlgs              []string `json:"dpop_signing_alg_values_supported"`
	BoundToCertificates   bool     `json:"tls_client_certificate_bound_access_tokens"`
	Scopes                []string `json:"scopes_supported"`
	Claims                []string `json:"claims_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"` // would be true where it is left out
}

// Discovery describes this server.
func (s *Service) Discovery() Metadata {
	return Metadata{
		Issuer:                s.Issuer,
		AuthorizationEndpoint: s.Issuer + PathAuthorize,
		TokenEndpoint:         s.Issuer + PathToken,
		UserinfoEndpoint:      s.Issuer + PathUserinfo,
		JWKSURI:               s.Issuer + PathJWKS,
		ResponseTypes:         []string{"code"},
		ResponseModes:         responseModes,
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           keypair.Algs,
		GrantTypes:            []string{"authorization_code", "refresh_token", "client_credentials", string(DeviceCode)},
		ChallengeMethods:      []string{"S256"},
		TokenAuthMethods:      append(s.confidentialMethods(), "none"),
		RegistrationEndpoint:  s.Issuer + PathRegister,
		DeviceEndpoint:        s.Issuer + PathDeviceAuth,
		EndSessionEndpoint:    s.Issuer + PathLogout,
		BackchannelLogout:     true,
		BackchannelSession:    true,
		ClaimsParameter:       true,
		PushEndpoint:          s.Issuer + PathPush,
		ObjectAlgs:            jose.Algs,
		NamesIssuer:           true,
		RequestParameter:      true,
		TokenAuthAlgs:         jose.Algs,
		DPoPAlgs:              DPoPAlgs,
		BoundToCertificates:   s.Certificates,
		IntrospectionEndpoint: s.Issuer + PathIntrospect,
		IntrospectionMethods:  s.confidentialMethods(),
		IntrospectionAlgs:     jose.Algs,
		RevocationAlgs:        jose.Algs,
		RevocationEndpoint:    s.Issuer + PathRevoke,
		RevocationMethods:     append(s.confidentialMethods(), "none"),
		Scopes:                openIDScopes,
		Claims: []string{"iss", "sub", "aud", "iat", "exp", "nonce", "auth_time", "acr", "sid", "id", "email", "firstName", "lastName",
			"given_name", "family_name", "name", "roles", "groups", "idHash", "organization_id", "connection_id", "raw"},
	}
}

// confidentialMethods are the ways in which a client can prove who it is.
func (s *Service) confidentialMethods() []string {
	methods := []string{"client_secret_basic", "client_secret_post", string(PrivateKeyJWT)}
	if s.Certificates {
		methods = append(methods, string(TLSClient), string(SelfSignedTLS))
	}
	return methods
}

// KeySet is the public signing keys (RFC 7517 §5).
type KeySet struct {
	Keys []keypair.JWK `json:"keys"`
}

// KeySet are the keys with which tokens are, will be and were signed.
func (s *Service) KeySet(ctx context.Context) (KeySet, error) {
	keys, err := s.Keys.Published(ctx)
	return KeySet{Keys: keys}, err
}
