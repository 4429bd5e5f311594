package oidc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/oidc"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

func TestDiscover(t *testing.T) {
	p := newParty(t, federationtest.Script{NameIss: true})
	want := federation.OpenIDProvider{Issuer: issuer, AuthorizationEndpoint: issuer + "/authorize", TokenEndpoint: issuer + "/token",
		UserinfoEndpoint: issuer + "/userinfo", JWKSURI: issuer + "/jwks", PKCE: true, NamesIssuer: true,
		AuthMethods: []string{"client_secret_basic"}}
	for _, address := range []string{issuer, issuer + "/", issuer + "/.well-known/openid-configuration"} {
		if got, err := p.Discover(t.Context(), address); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	if n := p.op.Served("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("one document was read %d times", n)
	}
	p.op.Change(func(s *federationtest.Script) {
		s.NameIss = false
		s.Discovery = func(doc map[string]any) {
			delete(doc, "code_challenge_methods_supported")
			delete(doc, "token_endpoint_auth_methods_supported")
			delete(doc, "userinfo_endpoint")
		}
	})
	p.clock.move(10 * time.Minute)
	want.PKCE, want.NamesIssuer, want.AuthMethods, want.UserinfoEndpoint = false, false, nil, ""
	if got, err := p.Discover(t.Context(), issuer); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ten minutes later: %+v, %v", got, err)
	}
}

// An issuer may have a path, which the well-known address follows; Auth0 and JumpCloud end theirs with a slash.
func TestDiscoverIssuersWithPathAndSlash(t *testing.T) {
	p := newPartyAt(t, "https://op.example/realms/a", federationtest.Script{})
	for _, address := range []string{"https://op.example/realms/a", "https://op.example/realms/a/", "https://op.example/realms/a/.well-known/openid-configuration?x=y"} {
		if got, err := p.Discover(t.Context(), address); err != nil || got.Issuer != "https://op.example/realms/a" {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	p = newParty(t, federationtest.Script{Discovery: func(doc map[string]any) { doc["issuer"] = issuer + "/" }})
	if got, err := p.Discover(t.Context(), issuer); err != nil || got.Issuer != issuer+"/" {
		t.Errorf("%+v, %v", got, err)
	}
	claims, err := p.redeem() // whose token has no slash
	refused(t, "an issuer is compared to the letter", federation.OIDCIssuer, claims, err)
}

func TestDiscoverRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		want   federation.OIDCCode
		change func(*federationtest.Script)
	}{
		"another issuer":             {federation.OIDCMetadata, endpoint("issuer", "https://accounts.google.com")},
		"an issuer below":            {federation.OIDCMetadata, endpoint("issuer", issuer+"/other")},
		"an issuer of another port":  {federation.OIDCMetadata, endpoint("issuer", "https://op.example:8443")},
		"an issuer with query":       {federation.OIDCMetadata, endpoint("issuer", issuer+"?a=b")},
		"an issuer with placeholder": {federation.OIDCMetadata, endpoint("issuer", issuer+"/{tenantid}/v2.0")},
		"an issuer over http":        {federation.OIDCMetadata, endpoint("issuer", "http://op.example")},
		"no issuer":                  {federation.OIDCMetadata, endpoint("issuer", "")},
		"no token endpoint":          {federation.OIDCMetadata, endpoint("token_endpoint", "")},
		"no authorization endpoint":  {federation.OIDCMetadata, endpoint("authorization_endpoint", "")},
		"no keys":                    {federation.OIDCMetadata, endpoint("jwks_uri", "")},
		"a script to sign in with":   {federation.OIDCMetadata, endpoint("authorization_endpoint", "javascript:alert(1)")},
		"keys over http":             {federation.OIDCMetadata, endpoint("jwks_uri", "http://op.example/jwks")},
		"keys in a file":             {federation.OIDCMetadata, endpoint("jwks_uri", "file:///etc/passwd")},
		"an endpoint with a user":    {federation.OIDCMetadata, endpoint("token_endpoint", "https://a:b@op.example/token")},
		"an endpoint with fragment":  {federation.OIDCMetadata, endpoint("token_endpoint", "https://op.example/token#x")},
		"an endpoint without end":    {federation.OIDCMetadata, endpoint("token_endpoint", "https://op.example/"+strings.Repeat("a", 2048))},
		"userinfo over http":         {federation.OIDCMetadata, endpoint("userinfo_endpoint", "http://op.example/u")},
		"no JSON":                    {federation.OIDCMetadata, at("/.well-known/openid-configuration", 200, "text/html", "<html>")},
		"null":                       {federation.OIDCMetadata, at("/.well-known/openid-configuration", 200, "application/json", "null")},
		"a list":                     {federation.OIDCMetadata, at("/.well-known/openid-configuration", 200, "application/json", "[]")},
		"nothing there":              {federation.OIDCMetadata, at("/.well-known/openid-configuration", 404, "text/html", "")},
		"an outage":                  {federation.OIDCUnreachable, at("/.well-known/openid-configuration", 503, "text/html", "")},
		"too much":                   {federation.OIDCTooLarge, at("/.well-known/openid-configuration", 200, "application/json", strings.Repeat(" ", 256<<10)+"{}")},
	} {
		s := federationtest.Script{}
		c.change(&s)
		_, err := newParty(t, s).Discover(t.Context(), issuer)
		refused(t, name, c.want, federation.Claims{}, err)
	}
	p := newParty(t, federationtest.Script{})
	for _, address := range []string{"", "op.example", "http://op.example", "https://", "https://a:b@op.example", "https://op.example/#x", "ftp://op.example",
		"https://op.example/.well-known/oauth-authorization-server", "https://op.example/.well-known/openid-configuration/a", "://"} {
		_, err := p.Discover(t.Context(), address)
		refused(t, address, federation.OIDCMetadata, federation.Claims{}, err)
	}
	if n := p.op.Served("/.well-known/openid-configuration"); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestReadProvider(t *testing.T) {
	rp := oidc.New(oidc.Options{Now: time.Now})
	doc := map[string]string{"issuer": "https://a.example", "authorization_endpoint": "https://b.example/a", "token_endpoint": "https://c.example/t",
		"jwks_uri": "http://localhost:8080/jwks"}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rp.ReadProvider(text); err != nil || got.TokenEndpoint != "https://c.example/t" || got.PKCE || got.UserinfoEndpoint != "" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, issuer := range []string{"https://a.example?b", "https://a.example/{tenantid}/v2.0", "https://login.microsoftonline.com/{tenantid}", "https://acme.ciamlogin.com/{tenantid}/v2.0"} {
		_, err := rp.ReadProvider([]byte(strings.Replace(string(text), "https://a.example", issuer, 1)))
		refused(t, issuer, federation.OIDCMetadata, federation.Claims{}, err)
	}
	if _, err := rp.ReadProvider([]byte(strings.Replace(string(text), "https://a.example", "https://login.microsoftonline.com/{tenantid}/v2.0", 1))); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "x", "[]", "null", "1", "{}", `{"issuer":"https://a.example"}`, string(text) + "x"} {
		_, err := rp.ReadProvider([]byte(text))
		refused(t, text, federation.OIDCMetadata, federation.Claims{}, err)
	}
}

const (
	tenantA = "11111111-aaaa-4aaa-8aaa-111111111111"
	tenantB = "22222222-bbbb-4bbb-8bbb-222222222222"
)

// microsoft is a double of login.microsoftonline.com that says of itself what issuer says.
func microsoft(t *testing.T, host, issuer string, change func(*federationtest.Script)) *party {
	t.Helper()
	s := federationtest.Script{Key: keyOf(t, "RS256"), User: map[string]any{"sub": "alice-1", "tid": tenantA}}
	base := "https://" + host
	s.Discovery = func(doc map[string]any) { doc["issuer"] = issuer }
	s.IDToken = func(_, c map[string]any) {
		c["iss"] = strings.ReplaceAll(issuer, federation.TenantPlaceholder, fmt.Sprint(c["tid"]))
	}
	if change != nil {
		change(&s)
	}
	p := newPartyAt(t, base, s)
	p.net.hosts[host] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // any tenant's path
		if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
			r.URL.Path = "/.well-known/openid-configuration"
		}
		p.op.ServeHTTP(w, r)
	})
	return p
}

func TestMicrosoftIssuers(t *testing.T) {
	const host = "login.microsoftonline.com"
	for _, c := range []struct {
		host, path, issuer string
		accepted           bool
	}{
		{host, "/" + tenantA + "/v2.0", "https://" + host + "/" + tenantA + "/v2.0", true},
		{host, "/" + strings.ToUpper(tenantA) + "/v2.0", "https://" + host + "/" + tenantA + "/v2.0", true},
		{host, "/acme.example/v2.0", "https://" + host + "/" + tenantA + "/v2.0", true}, // a tenant by its domain
		{host, "/organizations/v2.0", "https://" + host + "/{tenantid}/v2.0", true},
		{host, "/common/v2.0", "https://" + host + "/{tenantid}/v2.0", true},
		{"login.microsoftonline.us", "/common/v2.0", "https://login.microsoftonline.us/{tenantid}/v2.0", true},
		{"acme.b2clogin.com", "/acme.onmicrosoft.com/B2C_1_in/v2.0", "https://acme.b2clogin.com/" + tenantA + "/v2.0/", true},
		{"acme.b2clogin.com", "/tfp/acme.onmicrosoft.com/B2C_1_in/v2.0", "https://acme.b2clogin.com/tfp/" + tenantA + "/b2c_1_in/v2.0/", true},
		{"acme.ciamlogin.com", "/acme.example/v2.0", "https://" + tenantA + ".ciamlogin.com/" + tenantA + "/v2.0", true},

		{host, "/" + tenantA + "/v2.0", "https://" + host + "/" + tenantB + "/v2.0", false},
		{host, "/" + tenantA + "/v2.0", "https://evil.example/" + tenantA + "/v2.0", false},
		{host, "/" + tenantA + "/v2.0", "https://acme.ciamlogin.com/" + tenantA + "/v2.0", false},
		{host, "/acme.example", "https://sts.windows.net/" + tenantA + "/", false}, // version 1
		{host, "/acme.example/v2.0", "https://" + host + "/acme.example/v2.0", false},
		{host, "/common/v2.0", "https://" + host + "/{tenantid}/v1.0", false},
		{host, "/common/v2.0", "http://" + host + "/{tenantid}/v2.0", false},
		{"acme.b2clogin.com", "/common/v2.0", "https://acme.b2clogin.com/{tenantid}/v2.0", false},
		{"acme.b2clogin.com", "/" + tenantA + "/B2C_1_in/v2.0", "https://acme.b2clogin.com/" + tenantB + "/v2.0/", false},
	} {
		p := microsoft(t, c.host, c.issuer, nil)
		got, err := p.Discover(t.Context(), "https://"+c.host+c.path)
		if c.accepted && (err != nil || got.Issuer != c.issuer) {
			t.Errorf("%s%s with %s: %+v, %v", c.host, c.path, c.issuer, got, err)
		}
		if !c.accepted {
			refused(t, c.host+c.path+" with "+c.issuer, federation.OIDCMetadata, federation.Claims{}, err)
		}
	}
}

// Where each tenant is an issuer of its own, the id token's issuer is that of its tid, and its key signs for that tenant.
func TestMicrosoftTenants(t *testing.T) {
	const host = "login.microsoftonline.com"
	const template = "https://" + host + "/{tenantid}/v2.0"
	keyIssuer := func(issuer string) func(*federationtest.Script) {
		return func(s *federationtest.Script) {
			jwk := s.Key.JWK()
			jwk["issuer"] = issuer
			s.Keys = []federationtest.JWK{jwk}
		}
	}
	for _, c := range []struct {
		name   string
		want   federation.OIDCCode // "" is accepted
		change func(*federationtest.Script)
	}{
		{"the tenant's issuer", "", func(*federationtest.Script) {}},
		{"a key that signs for every tenant", "", keyIssuer(template)},
		{"a key that signs for this tenant", "", keyIssuer("https://" + host + "/" + tenantA + "/v2.0")},
		{"a key that signs for another tenant", federation.OIDCIssuer, keyIssuer("https://" + host + "/" + tenantB + "/v2.0")},
		{"the issuer of another tenant than tid", federation.OIDCIssuer, claim("iss", "https://"+host+"/"+tenantB+"/v2.0")},
		{"the placeholder itself", federation.OIDCIssuer, func(s *federationtest.Script) {
			s.IDToken = func(_, c map[string]any) { c["iss"], c["tid"] = template, federation.TenantPlaceholder }
		}},
		{"no tid", federation.OIDCIssuer, func(s *federationtest.Script) {
			s.IDToken = func(_, c map[string]any) { c["iss"] = "https://" + host + "//v2.0"; delete(c, "tid") }
		}},
		{"a tid that is no id", federation.OIDCIssuer, func(s *federationtest.Script) {
			s.IDToken = func(_, c map[string]any) { c["iss"], c["tid"] = "https://"+host+"/a/../b/v2.0", "a/../b" }
		}},
		{"another host", federation.OIDCIssuer, claim("iss", "https://evil.example/"+tenantA+"/v2.0")},
	} {
		p := microsoft(t, host, template, c.change)
		provider, err := p.Discover(t.Context(), "https://"+host+"/organizations/v2.0")
		if err != nil {
			t.Fatal(err)
		}
		q := federationtest.Authorization{ClientID: "portico", RedirectURI: callback, Nonce: "n"}
		claims, err := p.Redeem(t.Context(), federation.Redemption{Provider: provider, Code: p.op.Code(q), RedirectURI: callback, Nonce: "n", Skew: skew,
			Client: federation.OpenIDClient{ID: "portico", Secret: p.op.Script().ClientSecret, Auth: federation.AuthSecretBasic}})
		if c.want != "" {
			refused(t, c.name, c.want, claims, err)
		} else if err != nil || claims.Issuer != "https://"+host+"/"+tenantA+"/v2.0" {
			t.Errorf("%s: %+v, %v", c.name, claims, err)
		}
	}
}

// Google's id tokens may leave the scheme of the issuer out; nobody else's may.
func TestGoogleIssuer(t *testing.T) {
	for iss, accepted := range map[string]bool{"https://accounts.google.com": true, "accounts.google.com": true, "http://accounts.google.com": false} {
		p := newPartyAt(t, "https://accounts.google.com", federationtest.Script{IDToken: func(_, c map[string]any) { c["iss"] = iss }})
		claims, err := p.redeem()
		var e *federation.OIDCError
		if accepted && err != nil || !accepted && (!errors.As(err, &e) || e.Code != federation.OIDCIssuer) {
			t.Errorf("%s: %+v, %v", iss, claims, err)
		}
	}
}
