package oauth

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
	"github.com/portico-sso/portico/ports/store"
)

// DeviceCode is the grant of applications on devices without a browser (RFC 8628).
const DeviceCode GrantType = "urn:ietf:params:oauth:grant-type:device_code"

// device is a device's request for a person's approval. Its id is the hash of the device code.
type device struct {
	ID            string     `json:"id"`
	UserCode      string     `json:"userCode"` // as the person types it, without the hyphen
	ApplicationID string     `json:"applicationId"`
	Params        url.Values `json:"params"` // of the device's request
	Denied        bool       `json:"denied,omitempty"`
	Grant         *grant     `json:"grant,omitempty"` // once somebody has signed in for it
	Approved      bool       `json:"approved,omitempty"`
	TokenID       string     `json:"tokenId,omitempty"`
	ExpiresAt     time.Time  `json:"expiresAt"`

	version int64
}

const (
	devices        = "device_requests"
	devicePrefix   = "dc_"
	deviceTTL      = 10 * time.Minute
	deviceInterval = 5 * time.Second // between two questions of a device
	userCodeLength = 8
	// userCodeLetters are consonants that are told apart, as RFC 8628 §6.1 has it: 20^8 codes.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

func deviceHead(d device) store.Doc {
	return store.Doc{ID: d.ID, Version: d.version, ExpiresAt: d.ExpiresAt, Keys: map[string]string{"code": d.UserCode}}
}

// DeviceAuthorization is the answer to a device's request (RFC 8628 §3.2).
type DeviceAuthorization struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"` // seconds
	Interval                int64  `json:"interval"`   // seconds
}

// AuthorizeDevice begins the sign-in of a device. The request names the organization as one to Authorize does. Faults as of
// Token.
func (s *Service) AuthorizeDevice(ctx context.Context, form url.Values, c Credentials) (DeviceAuthorization, error) {
	if err := singleValued(form, "resource"); err != nil {
		return DeviceAuthorization{}, err
	}
	app, err := s.authenticate(ctx, c)
	if err != nil {
		return DeviceAuthorization{}, err
	}
	if !app.May(DeviceCode) {
		return DeviceAuthorization{}, oauthError("unauthorized_client", "The application may not sign in people on devices")
	}
	params := url.Values{}
	for _, name := range []string{"scope", "resource", "organization", "tenant", "connection", "idp_hint", "login_hint"} {
		if len(form[name]) > 0 {
			params[name] = form[name]
		}
	}
	if _, err := resources(params["resource"], s.resourcesOf(app)); err != nil {
		return DeviceAuthorization{}, err
	}
	if len(params.Encode()) > maxContinuation/2 {
		return DeviceAuthorization{}, invalidRequest("The request is too long.")
	}
	if t, err := s.applicationTarget(ctx, app, params); err != nil || t.problem != nil {
		if err == nil {
			err = t.problem
		}
		return DeviceAuthorization{}, err
	}
	return s.newDevice(ctx, app, params)
}

func (s *Service) newDevice(ctx context.Context, app Application, params url.Values) (DeviceAuthorization, error) {
	secret := s.IDs.Secret(devicePrefix)
	d := device{ID: id.Hash(secret), ApplicationID: app.ID, Params: params, ExpiresAt: s.now().Add(deviceTTL)}
	err := store.Retry(ctx, func() error {
		d.UserCode = s.userCode()
		insert := s.devices.Insert(d)
		err := s.devices.Once(ctx, &insert, func() error { return s.Sessions.Commit(ctx, insert) })
		if store.Taken(err, devices, "by_code") {
			return store.ErrConflict // another code
		}
		return err
	})
	shown := d.UserCode[:userCodeLength/2] + "-" + d.UserCode[userCodeLength/2:]
	return DeviceAuthorization{
		DeviceCode: secret, UserCode: shown, VerificationURI: s.Issuer + PathDevice,
		VerificationURIComplete: s.Issuer + PathDevice + "?" + url.Values{"user_code": {shown}}.Encode(),
		ExpiresIn:               int64(deviceTTL.Seconds()), Interval: int64(deviceInterval.Seconds()),
	}, s.devices.Fault(err)
}

func (s *Service) userCode() string {
	var b strings.Builder
	for b.Len() < userCodeLength {
		for _, c := range s.IDs.Bytes(userCodeLength) {
			if int(c) < 256/len(userCodeLetters)*len(userCodeLetters) && b.Len() < userCodeLength { // each equally likely
				b.WriteByte(userCodeLetters[int(c)%len(userCodeLetters)])
			}
		}
	}
	return b.String()
}

// DeviceRequest is what a person is shown of a device that waits for them.
type DeviceRequest struct {
	UserCode    string
	Application string
	Choices     []Choice
}

// Device finds the device that shows a code, typed as people type. Faults: NotFound.
func (s *Service) Device(ctx context.Context, userCode string) (DeviceRequest, error) {
	d, t, err := s.waitingDevice(ctx, userCode)
	if err != nil {
		return DeviceRequest{}, err
	}
	r := DeviceRequest{UserCode: d.UserCode, Application: t.application.Name}
	for _, c := range t.connections {
		if c.Active() {
			r.Choices = append(r.Choices, Choice{ConnectionID: c.ID, Hint: c.ID, Title: c.Title()})
		}
	}
	return r, nil
}

func (s *Service) waitingDevice(ctx context.Context, userCode string) (device, target, error) {
	code := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(userCode))
	unknown := fault.New(fault.NotFound, "unknown_user_code", "No device waits with this code. It may be too old: look at the device, and type the code that it shows now.")
	if len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "" {
		return device{}, target{}, unknown
	}
	d, err := s.devices.First(ctx, store.Range{Index: "by_code", Eq: []string{code}})
	if fault.Is(err, fault.NotFound) || err == nil && (d.Denied || d.Grant != nil || d.TokenID != "") {
		return device{}, target{}, unknown
	}
	if err != nil {
		return device{}, target{}, err
	}
	app, err := s.cachedApplication(ctx, d.ApplicationID)
	if err != nil {
		return device{}, target{}, err
	}
	t, err := s.applicationTarget(ctx, app, d.Params)
	if err == nil && t.problem != nil {
		err = unknown
	}
	return d, t, err
}

// ApproveDevice sends the person to their identity provider; with the login, in the same browser, the device is approved.
// hint picks among several connections. Faults: NotFound, and those of Authorize.
func (s *Service) ApproveDevice(ctx context.Context, userCode, hint string, b *Browser) (federation.Outgoing, error) {
	d, t, err := s.waitingDevice(ctx, userCode)
	if err != nil {
		return federation.Outgoing{}, err
	}
	i := slices.IndexFunc(t.connections, func(c sso.Connection) bool { return c.ID == hint && c.Active() })
	if i < 0 {
		return federation.Outgoing{}, generic("connection_not_found")
	}
	q := url.Values{"client_id": {d.ApplicationID}, "scope": d.Params["scope"], "resource": d.Params["resource"], "login_hint": d.Params["login_hint"]}
	next := s.continuation(authorization{params: q, target: t}, t.connections[i])
	next.DeviceID, next.Browser = d.ID, s.marked(b, deviceCookie)
	text, err := json.Marshal(next)
	if err != nil {
		return federation.Outgoing{}, err
	}
	return s.SSO.Begin(ctx, t.connections[i], sso.Begin{Continue: text})
}

// DenyDevice ends a device's request at the person's wish. Faults: NotFound.
func (s *Service) DenyDevice(ctx context.Context, userCode string) error {
	d, _, err := s.waitingDevice(ctx, userCode)
	if err != nil {
		return err
	}
	_, err = s.devices.Change(ctx, d.ID, func(d *device) error {
		d.Denied = d.Grant == nil
		return nil
	})
	return err
}

// approval is the operation by which a login is kept for the device that it is to approve.
func (s *Service) approval(ctx context.Context, deviceID string, g grant) (store.Op, error) {
	d, err := s.devices.Get(ctx, deviceID)
	if err == nil && (d.Denied || d.Grant != nil || d.TokenID != "") {
		err = fault.New(fault.NotFound, "unknown_user_code", "The device waits no more. Start again on the device.")
	}
	d.Grant = &g
	return s.devices.Update(d), err
}

// approveDevice lets a device have what somebody has signed in for.
func (s *Service) approveDevice(ctx context.Context, deviceID string) error {
	_, err := s.devices.Change(ctx, deviceID, func(d *device) error {
		d.Approved = true
		return nil
	})
	return err
}

// deviceToken answers a device that asks whether it is approved (RFC 8628 §3.4).
func (s *Service) deviceToken(ctx context.Context, form url.Values, c Credentials) (TokenResponse, error) {
	app, err := s.authenticate(ctx, c)
	if err != nil {
		return TokenResponse{}, err
	}
	if !app.May(DeviceCode) {
		return TokenResponse{}, oauthError("unauthorized_client", "The application may not sign in people on devices")
	}
	if form.Get("device_code") == "" {
		return TokenResponse{}, invalidRequest("Please specify device_code")
	}
	deviceID := id.Hash(form.Get("device_code"))
	asked := s.now()
	if last, err := s.polled.Get(deviceID, func() (time.Time, error) { return asked, nil }); err == nil && last != asked {
		return TokenResponse{}, oauthError("slow_down", "Ask every 5 seconds")
	}
	r := redemption{codeID: deviceID, issuing: s.newIssuing()}
	if r.confirm, err = s.confirm(ctx, app, c); err != nil {
		return TokenResponse{}, err
	}
	made := func(ctx context.Context) (bool, error) {
		d, err := s.devices.Get(ctx, deviceID)
		return d.TokenID != "" && d.TokenID == r.token.ID, err
	}
	err = s.once(ctx, made, func() error { return s.tryDevice(ctx, &r, app, form) })
	return r.response, err
}

func (s *Service) tryDevice(ctx context.Context, r *redemption, app Application, form url.Values) error {
	d, err := s.devices.Get(ctx, r.codeID)
	switch {
	case fault.Is(err, fault.NotFound):
		return oauthError("expired_token", "The device code is unknown or has expired")
	case err != nil:
		return err
	case d.ApplicationID != app.ID:
		return oauthError("invalid_grant", "The device code was issued to another client")
	case d.TokenID != "":
		return oauthError("invalid_grant", "The device code was used already")
	case d.Denied:
		return oauthError("access_denied", "The person refused")
	case d.Grant == nil || !d.Approved:
		return oauthError("authorization_pending", "The person has not signed in yet")
	}
	if err := s.stillGood(ctx, *d.Grant); err != nil {
		return err
	}
	asked, err := d.Grant.narrowedTo(form["resource"])
	if err != nil {
		return err
	}
	if err := s.issue(ctx, &r.issuing, asked, app); err != nil {
		return err
	}
	r.response.Scope = strings.Join(d.Grant.Scope, " ")
	ops := []store.Op{s.tokens.Insert(r.token)}
	if family := s.familyOf(r, app, *d.Grant); family != nil {
		ops = append(ops, s.families.Insert(*family))
	}
	d.TokenID, d.Grant = r.token.ID, nil
	return s.commit(ctx, append(ops, s.devices.Update(d))...)
}

func (s *Service) newDevices() record.Repo[device] {
	return record.Repo[device]{
		Store: s.Sessions, Collection: devices, Noun: "device", Head: deviceHead,
		SetVersion: func(d *device, v int64) { d.version = v },
	}
}
