package e2e

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A client library that others wrote signs in, with nothing told to it but the issuer and the client: it finds the
// endpoints by discovery, and verifies the id token with the published keys.
func TestThirdPartyClient(t *testing.T) {
	p := start(t, nil)
	idp := newIdP(t, "https://idp.example/one")
	record := p.connect(idp, nil)
	rs256, es256 := p.newApplication(testProduct, nil), p.newApplication(testProduct, map[string]any{"idTokenAlg": "ES256"})
	public := p.newApplication(testProduct, map[string]any{"public": true, "idTokenAlg": "ES256"})
	organization := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("organization", testTenant)}
	ctx := oidc.ClientContext(t.Context(), p.http)
	provider, err := oidc.NewProvider(ctx, p.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		client
		asks    []oauth2.AuthCodeOption
		pkce    bool
		style   oauth2.AuthStyle
		alg     string
		subject string // "" where it is the identity's
	}{
		"application":                     {rs256, organization, false, oauth2.AuthStyleAutoDetect, "RS256", ""},
		"application, secret in the body": {rs256, organization, true, oauth2.AuthStyleInParams, "RS256", ""},
		"application, ES256 and PKCE":     {es256, organization, true, oauth2.AuthStyleInHeader, "ES256", ""},
		"public application":              {public, organization, true, oauth2.AuthStyleInParams, "ES256", ""},
		"public application, Basic":       {public, organization, true, oauth2.AuthStyleInHeader, "ES256", ""},
		"tenant and product":              {client{"tenant=" + testTenant + "&product=" + testProduct, sharedKey}, nil, false, oauth2.AuthStyleAutoDetect, "RS256", "alice-1"},
		"tenant and product, body":        {client{"tenant=" + testTenant + "&product=" + testProduct, sharedKey}, nil, true, oauth2.AuthStyleInParams, "RS256", "alice-1"},
		"connection":                      {client{record["clientID"].(string), record["clientSecret"].(string)}, nil, false, oauth2.AuthStyleAutoDetect, "RS256", "alice-1"},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := provider.Endpoint()
			endpoint.AuthStyle = c.style
			config := oauth2.Config{ClientID: c.id, ClientSecret: c.secret, Endpoint: endpoint, RedirectURL: callback,
				Scopes: []string{oidc.ScopeOpenID, "email", "profile"}}
			asks := append([]oauth2.AuthCodeOption{oidc.Nonce("the-nonce")}, c.asks...)
			var proof []oauth2.AuthCodeOption
			if c.pkce {
				secret := oauth2.GenerateVerifier()
				asks, proof = append(asks, oauth2.S256ChallengeOption(secret)), []oauth2.AuthCodeOption{oauth2.VerifierOption(secret)}
			}
			address, err := url.Parse(config.AuthCodeURL("the-state", asks...))
			if err != nil || !strings.HasPrefix(address.String(), p.URL+"/") {
				t.Fatalf("%s: %v", address, err)
			}
			token, err := config.Exchange(ctx, p.code(idp, address.Query()), proof...)
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := token.Extra("id_token").(string)
			idToken, err := provider.Verifier(&oidc.Config{ClientID: c.id}).Verify(ctx, raw)
			if err != nil {
				t.Fatal(err)
			}
			var claims struct {
				Email  string   `json:"email"`
				Groups []string `json:"groups"`
			}
			if err := idToken.Claims(&claims); err != nil || claims.Email != "alice@acme.example" || len(claims.Groups) != 2 {
				t.Errorf("claims: %+v, %v", claims, err)
			}
			if idToken.Nonce != "the-nonce" || c.subject != "" && idToken.Subject != c.subject || c.subject == "" && len(idToken.Subject) != 36 {
				t.Errorf("id token: %+v", idToken)
			}
			if _, err := provider.Verifier(&oidc.Config{ClientID: c.id, SupportedSigningAlgs: []string{c.alg}}).Verify(ctx, raw); err != nil {
				t.Errorf("not signed with %s: %v", c.alg, err)
			}
			if _, err := provider.Verifier(&oidc.Config{ClientID: "another"}).Verify(ctx, raw); err == nil {
				t.Error("the id token is for everyone")
			}
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
			if err != nil || info.Subject != idToken.Subject || info.Email != claims.Email {
				t.Errorf("userinfo: %+v, %v", info, err)
			}
			if token.Expiry.IsZero() || token.RefreshToken != "" {
				t.Errorf("expiry %v", token.Expiry)
			}
		})
	}
	t.Run("a refusal", func(t *testing.T) {
		config := oauth2.Config{ClientID: rs256.id, ClientSecret: "wrong", Endpoint: provider.Endpoint(), RedirectURL: callback}
		_, err := config.Exchange(ctx, p.code(idp, rs256.asks(nil)))
		var refused *oauth2.RetrieveError
		if !errors.As(err, &refused) || refused.Response.StatusCode < http.StatusBadRequest || refused.ErrorCode == "" || refused.ErrorDescription == "" {
			t.Errorf("%v", err)
		}
	})
}
