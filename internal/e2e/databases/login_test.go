package databases

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/portico-sso/portico/ports/federation/federationtest"
)

const callback = "https://app.example/callback"

// tenant is a customer of a product, with an identity provider.
type tenant struct {
	product, name string
	idp           *federationtest.IdP
	clientID      string // of its connection
	web           client // an application of the product, where it has one
}

// client is an application.
type client struct{ id, secret string }

// mark is a text that only what belongs to the tenant holds.
func (c *tenant) mark() string { return "mark of " + c.name + " at " + c.product }

var (
	anIdP     *federationtest.IdP
	anIdPOnce sync.Once
)

// newTenant makes a tenant's identity provider; all have one key.
func newTenant(t *testing.T, product, name string) *tenant {
	t.Helper()
	var err error
	anIdPOnce.Do(func() {
		anIdP, err = federationtest.NewIdP(federationtest.Options{Now: time.Now, ECDSA: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	idp, err := federationtest.NewIdP(federationtest.Options{Now: time.Now, Key: anIdP.Key,
		EntityID: "https://" + name + ".idp.example/" + product, SSOURL: "https://idp.example/sso"})
	if err != nil {
		t.Fatal(err)
	}
	return &tenant{product: product, name: name, idp: idp}
}

// connect makes the tenant's connection, in the manner of Polis.
func (i *instance) connect(ctx context.Context, c *tenant) error {
	form := url.Values{"tenant": {c.name}, "product": {c.product}, "defaultRedirectUrl": {callback}, "redirectUrl": {callback},
		"encodedRawMetadata": {base64.StdEncoding.EncodeToString(c.idp.Metadata())}}
	a, err := i.post(ctx, "/api/v1/sso", form, "Authorization", "Api-Key "+adminKey)
	if err != nil {
		return err
	}
	var made struct {
		ClientID string `json:"clientID"`
	}
	if a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &made) != nil {
		return a.refusal()
	}
	c.clientID = made.ClientID
	return nil
}

func (c *tenant) encoded() string {
	return url.Values{"tenant": {c.name}, "product": {c.product}}.Encode()
}

// person is somebody of a tenant.
func (c *tenant) person(id string) federationtest.User {
	return federationtest.User{ID: id, Email: id + "@" + c.name, FirstName: "Ann", LastName: c.mark()}
}

// login is one sign-in, step by step, each at any instance.
type login struct {
	tenant  *tenant
	web     bool // the client is the application of the product, else the tenant itself in the manner of Polis
	person  string
	request federationtest.Request
	// The identity provider's answer.
	assertionID, response string
	code, token           string
}

// begin asks for the login; the browser is sent to the identity provider.
func (l *login) begin(ctx context.Context, i *instance) error {
	q := url.Values{"client_id": {l.tenant.encoded()}, "redirect_uri": {callback}, "state": {"state of " + l.person},
		"response_type": {"code"}, "scope": {"openid"}}
	if l.web {
		q.Set("client_id", l.tenant.web.id)
		q.Set("organization", l.tenant.name)
	}
	a, err := i.get(ctx, "/api/oauth/authorize?"+q.Encode())
	if err != nil {
		return err
	}
	if a.StatusCode != http.StatusFound || a.location().Host != "idp.example" {
		return a.refusal()
	}
	if l.request, err = federationtest.ParseRedirect(a.Header.Get("Location"), nil); err != nil {
		return err
	}
	answer := l.tenant.idp.Answer(l.request, l.tenant.person(l.person))
	l.assertionID = "_assertion-of-" + l.person + "-" + l.request.ID
	answer.AssertionID = l.assertionID
	l.response, err = l.tenant.idp.Response(answer)
	return err
}

// finish posts the identity provider's answer; the application gets a code.
func (l *login) finish(ctx context.Context, i *instance) error {
	a, err := i.post(ctx, "/api/oauth/saml", url.Values{"SAMLResponse": {l.response}, "RelayState": {l.request.RelayState}})
	if err != nil {
		return err
	}
	if to := a.location(); to.Path == "/api/oauth/continue" { // an application's: the browser goes on there, and has no cookies
		if a, err = i.get(ctx, to.RequestURI()); err != nil {
			return err
		}
	}
	back := a.location().Query()
	if a.StatusCode != http.StatusFound || back.Get("code") == "" {
		return a.refusal()
	}
	if back.Get("state") != "state of "+l.person {
		return fmt.Errorf("%s comes back with %q", l.person, back.Get("state"))
	}
	l.code = back.Get("code")
	return nil
}

// redeem changes the code for a token.
func (l *login) redeem(ctx context.Context, i *instance) error { return l.redeemAs(ctx, i, l.tenant) }

// redeemAs has another tenant's client try it.
func (l *login) redeemAs(ctx context.Context, i *instance, c *tenant) error {
	as := client{c.encoded(), sharedKey}
	if l.web {
		as = c.web
	}
	a, err := i.post(ctx, "/api/oauth/token", url.Values{"grant_type": {"authorization_code"}, "code": {l.code}, "redirect_uri": {callback},
		"client_id": {as.id}, "client_secret": {as.secret}})
	if err != nil {
		return err
	}
	var got struct {
		Token   string `json:"access_token"`
		IDToken string `json:"id_token"`
	}
	if a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &got) != nil || got.Token == "" {
		return a.refusal()
	}
	l.token = got.Token
	return nil
}

// check asks whose the token is.
func (l *login) check(ctx context.Context, i *instance) error {
	a, err := i.get(ctx, "/api/oauth/userinfo", "Authorization", "Bearer "+l.token)
	if err != nil {
		return err
	}
	if a.StatusCode != http.StatusOK {
		return a.refusal()
	}
	var got struct {
		ID, Email, LastName string
		Requested           struct{ Tenant, Product string }
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		return err
	}
	want := l.tenant.person(l.person)
	if !l.web && got.ID != want.ID || got.Email != want.Email || got.LastName != want.LastName ||
		got.Requested.Tenant != l.tenant.name || got.Requested.Product != l.tenant.product {
		return fmt.Errorf("the token of %s of %s is told to be of %s", l.person, l.tenant.name, a.body)
	}
	return nil
}

// signIn runs a login to its end, each step at the next instance.
func signIn(ctx context.Context, c *tenant, person string, at ...*instance) (*login, error) {
	l := &login{tenant: c, person: person}
	for n, step := range []func(context.Context, *instance) error{l.begin, l.finish, l.redeem, l.check} {
		if err := step(ctx, at[n%len(at)]); err != nil {
			return l, fmt.Errorf("step %d of the sign-in of %s: %w", n+1, person, err)
		}
	}
	return l, nil
}

// insist repeats a call while it is told to come later.
func insist(ctx context.Context, call func() error) error {
	for {
		err := call()
		if !errors.Is(err, errLater) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
