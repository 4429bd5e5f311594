// Package google reads Google Workspace: the Directory API of its Admin SDK
// (https://developers.google.com/workspace/admin/directory/reference/rest/v1), with a grant by Google's OAuth 2.0 for web server
// applications (https://developers.google.com/identity/protocols/oauth2/web-server).
package google

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-sso/portico/ports/directory"
	"github.com/portico-sso/portico/ports/outbound"
)

// Options configure a Client. The addresses are Google's where they are "".
type Options struct {
	ClientID, ClientSecret string
	Send                   outbound.Sender

	AuthURL, TokenURL, RevokeURL, APIURL string
}

const (
	maxTokens = 64 << 10
	maxPage   = 16 << 20 // 500 users with all that people keep in custom fields
	userPage  = 500      // the most that Google gives
	groupPage = 200
)

// openid and email say who gives the grant, and of which workspace.
var scopes = strings.Join([]string{
	"openid", "email",
	"https://www.googleapis.com/auth/admin.directory.user.readonly",
	"https://www.googleapis.com/auth/admin.directory.group.readonly",
	"https://www.googleapis.com/auth/admin.directory.group.member.readonly",
}, " ")

// Client is a directory.Directory.
type Client struct{ o Options }

var _ directory.Directory = (*Client)(nil)

// New makes a client.
func New(o Options) *Client {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.AuthURL, "https://accounts.google.com/o/oauth2/v2/auth")
	set(&o.TokenURL, "https://oauth2.googleapis.com/token")
	set(&o.RevokeURL, "https://oauth2.googleapis.com/revoke")
	set(&o.APIURL, "https://admin.googleapis.com")
	return &Client{o}
}

// AuthorizeURL implements directory.Directory. Google gives a refresh token where access is offline and consent is asked for.
func (c *Client) AuthorizeURL(g directory.Grant) string {
	return c.o.AuthURL + "?" + url.Values{
		"response_type": {"code"}, "client_id": {c.o.ClientID}, "redirect_uri": {g.Redirect}, "scope": {scopes}, "state": {g.State},
		"access_type": {"offline"}, "prompt": {"consent"}, "code_challenge": {g.Challenge}, "code_challenge_method": {"S256"},
	}.Encode()
}

// Exchange implements directory.Directory.
func (c *Client) Exchange(ctx context.Context, code, redirect, verifier string) (directory.Tokens, error) {
	return c.tokens(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}})
}

// Refresh implements directory.Directory.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (directory.Tokens, error) {
	return c.tokens(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

func (c *Client) tokens(ctx context.Context, form url.Values) (directory.Tokens, error) {
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.o.ClientID) + ":" + url.QueryEscape(c.o.ClientSecret))) // RFC 6749 §2.3.1
	a, err := c.send(ctx, outbound.Request{Method: "POST", URL: c.o.TokenURL, Body: []byte(form.Encode()), MaxBytes: maxTokens, Header: map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic " + basic, "Accept": "application/json"}})
	if err != nil {
		return directory.Tokens{}, err
	}
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires int64  `json:"expires_in"`
		IDToken string `json:"id_token"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(a.Body, &answer); err != nil {
		return directory.Tokens{}, fmt.Errorf("%w: tokens: %w", directory.ErrMalformed, err)
	}
	switch {
	case answer.Error != "" || a.Status != 200: // invalid_grant, invalid_client and the like (RFC 6749 §5.2)
		return directory.Tokens{}, fmt.Errorf("%w: the token endpoint answered %d %.100q", directory.ErrRevoked, a.Status, answer.Error)
	case answer.Access == "" || answer.Expires <= 0:
		return directory.Tokens{}, fmt.Errorf("%w: no token", directory.ErrMalformed)
	}
	who := c.whose(answer.IDToken)
	return directory.Tokens{Access: answer.Access, Refresh: answer.Refresh, Expires: time.Duration(min(answer.Expires, 86400)) * time.Second,
		Email: who.Email, Domain: strings.ToLower(who.Domain)}, nil
}

// claims are of an ID token (https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload).
type claims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Email    string `json:"email"`
	Domain   string `json:"hd"`
}

// whose reads an ID token. It came from the token endpoint itself, so TLS stands for its signature (OpenID Connect Core §3.1.3.7).
// Of one that is not for us nothing is believed.
func (c *Client) whose(idToken string) (who claims) {
	parts := strings.Split(idToken, ".")
	if len(parts) != 3 {
		return claims{}
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(body, &who) != nil || who.Audience != c.o.ClientID ||
		who.Issuer != "https://accounts.google.com" && who.Issuer != "accounts.google.com" {
		return claims{}
	}
	return who
}

// Revoke implements directory.Directory (https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke).
func (c *Client) Revoke(ctx context.Context, refreshToken string) error {
	a, err := c.send(ctx, outbound.Request{Method: "POST", URL: c.o.RevokeURL, Body: []byte(url.Values{"token": {refreshToken}}.Encode()), MaxBytes: maxTokens,
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}})
	if err != nil || a.Status == 200 {
		return err
	}
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(a.Body, &answer) // the status says enough
	if answer.Error == "invalid_token" {
		return nil
	}
	return fmt.Errorf("%w: the revocation endpoint answered %d %.100q", directory.ErrMalformed, a.Status, answer.Error)
}

// send has an answer that is not about load.
func (c *Client) send(ctx context.Context, r outbound.Request) (outbound.Answer, error) {
	a, err := c.o.Send.Send(ctx, r)
	switch {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case errors.Is(err, outbound.ErrTooLarge):
		return a, fmt.Errorf("%w: %w", directory.ErrMalformed, err)
	case err != nil:
		return a, fmt.Errorf("%w: %w", directory.ErrBusy, err)
	case a.Status == 429 || a.Status >= 500:
		return a, fmt.Errorf("%w: it answered %d", directory.ErrBusy, a.Status)
	}
	return a, nil
}

// get reads one document of the API.
func (c *Client) get(ctx context.Context, access, path string, q url.Values, out any) error {
	a, err := c.send(ctx, outbound.Request{Method: "GET", URL: c.o.APIURL + "/admin/directory/v1/" + path + "?" + q.Encode(), MaxBytes: maxPage,
		Header: map[string]string{"Authorization": "Bearer " + access, "Accept": "application/json"}})
	if err != nil {
		return err
	}
	if a.Status != 200 {
		return refusal(a)
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("%w: %s: %w", directory.ErrMalformed, strings.SplitN(path, "/", 2)[0], err)
	}
	return nil
}

// refusal reads an error of Google's APIs. A quota that is used up is 403 too.
func refusal(a outbound.Answer) error {
	var body struct {
		Error struct {
			Message string
			Errors  []struct{ Reason string }
		}
	}
	_ = json.Unmarshal(a.Body, &body) // the status says enough
	kind := directory.ErrMalformed
	switch a.Status {
	case 401:
		kind = directory.ErrRevoked
	case 403:
		kind = directory.ErrForbidden
		for _, e := range body.Error.Errors {
			switch e.Reason {
			case "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded":
				kind = directory.ErrBusy
			}
		}
	case 404:
		kind = directory.ErrNotFound
	}
	return fmt.Errorf("%w: it answered %d: %.200q", kind, a.Status, body.Error.Message)
}

func page(most int, token string, more ...string) url.Values {
	q := url.Values{"maxResults": {strconv.Itoa(most)}}
	if token != "" {
		q.Set("pageToken", token)
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q
}

type user struct {
	ID           string `json:"id"`
	CustomerID   string `json:"customerId"`
	PrimaryEmail string `json:"primaryEmail"`
	Name         struct {
		GivenName   string `json:"givenName"`
		FamilyName  string `json:"familyName"`
		FullName    string `json:"fullName"`
		DisplayName string `json:"displayName"`
	} `json:"name"`
	Suspended   bool     `json:"suspended"`
	Archived    bool     `json:"archived"`
	OrgUnitPath string   `json:"orgUnitPath"`
	Aliases     []string `json:"aliases"`
	Emails      []struct {
		Address string `json:"address"`
		typed
	} `json:"emails"`
	Phones []struct {
		Value string `json:"value"`
		typed
	} `json:"phones"`
	IMs []struct {
		IM       string `json:"im"`
		Protocol string `json:"protocol"`
		Primary  bool   `json:"primary"`
	} `json:"ims"`
	Addresses []struct {
		typed
		Formatted     string `json:"formatted"`
		POBox         string `json:"poBox"`
		Extended      string `json:"extendedAddress"`
		StreetAddress string `json:"streetAddress"`
		Locality      string `json:"locality"`
		Region        string `json:"region"`
		PostalCode    string `json:"postalCode"`
		Country       string `json:"country"`
		CountryCode   string `json:"countryCode"`
	} `json:"addresses"`
	Organizations []struct {
		Name        string `json:"name"`
		Title       string `json:"title"`
		Description string `json:"description"`
		Department  string `json:"department"`
		CostCenter  string `json:"costCenter"`
		Primary     bool   `json:"primary"`
	} `json:"organizations"`
	ExternalIDs []typedValue `json:"externalIds"`
	Relations   []typedValue `json:"relations"`
	Websites    []typedValue `json:"websites"`
	Languages   []struct {
		Code       string `json:"languageCode"`
		Preference string `json:"preference"`
	} `json:"languages"`
	Locations []struct {
		Type     string `json:"type"`
		Building string `json:"buildingId"`
		Floor    string `json:"floorName"`
		Section  string `json:"floorSection"`
		Desk     string `json:"deskCode"`
	} `json:"locations"`
}

// typed is what Google says of each of several values.
type typed struct {
	Type       string `json:"type"`
	CustomType string `json:"customType"`
	Primary    bool   `json:"primary"`
}

type typedValue struct {
	Value string `json:"value"`
	typed
}

func (t typed) name() string {
	if t.Type == "custom" {
		return t.CustomType
	}
	return t.Type
}

// Users implements directory.Directory. A query for an organizational unit finds those inside of it too
// (https://developers.google.com/workspace/admin/directory/v1/guides/search-users).
func (c *Client) Users(ctx context.Context, access, orgUnit, pageToken string) (directory.Page[directory.User], error) {
	q := page(userPage, pageToken, "customer", "my_customer", "projection", "full", "orderBy", "email")
	if orgUnit != "" {
		q.Set("query", "orgUnitPath='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(orgUnit)+"'")
	}
	var body struct {
		Users []user `json:"users"`
		Next  string `json:"nextPageToken"`
		Kind  string `json:"kind"`
	}
	if err := c.get(ctx, access, "users", q, &body); err != nil {
		return directory.Page[directory.User]{}, err
	}
	if body.Kind != "admin#directory#users" {
		return directory.Page[directory.User]{}, fmt.Errorf("%w: not users", directory.ErrMalformed)
	}
	out := directory.Page[directory.User]{Next: body.Next}
	for _, u := range body.Users {
		if u.ID == "" || u.PrimaryEmail == "" {
			return directory.Page[directory.User]{}, fmt.Errorf("%w: a user without id or address", directory.ErrMalformed)
		}
		out.Items = append(out.Items, u.plain())
	}
	return out, nil
}

func (u user) plain() directory.User {
	out := directory.User{ID: u.ID, Customer: u.CustomerID, UserName: u.PrimaryEmail, GivenName: u.Name.GivenName, FamilyName: u.Name.FamilyName,
		FullName: u.Name.FullName, DisplayName: u.Name.DisplayName, Active: !u.Suspended && !u.Archived, Archived: u.Archived, OrgUnit: u.OrgUnitPath, Aliases: u.Aliases}
	for _, e := range u.Emails {
		out.Emails = append(out.Emails, directory.Value{Value: e.Address, Type: e.name(), Primary: e.Primary})
	}
	for _, p := range u.Phones {
		out.Phones = append(out.Phones, directory.Value{Value: p.Value, Type: phoneType(p.name()), Primary: p.Primary})
	}
	for _, m := range u.IMs {
		kind := m.Protocol
		if kind == "jabber" {
			kind = "xmpp"
		}
		out.Messengers = append(out.Messengers, directory.Value{Value: m.IM, Type: kind, Primary: m.Primary})
	}
	for _, a := range u.Addresses {
		out.Addresses = append(out.Addresses, directory.Address{Type: a.name(), Formatted: a.Formatted, Street: lines(a.StreetAddress, a.Extended, a.POBox),
			Locality: a.Locality, Region: a.Region, PostalCode: a.PostalCode, Country: country(a.CountryCode, a.Country), Primary: a.Primary})
	}
	for i, o := range u.Organizations {
		if i == 0 || o.Primary {
			out.Organization, out.Title, out.Kind, out.Department, out.CostCenter = o.Name, o.Title, o.Description, o.Department, o.CostCenter
		}
	}
	out.Employee = first(u.ExternalIDs, "organization") // the employee id of Google's console
	out.Manager = first(u.Relations, "manager")
	out.Website = first(u.Websites, "profile", "home_page", "work")
	for i, l := range u.Languages {
		if i == 0 || l.Preference == "preferred" {
			out.Language = l.Code
		}
	}
	for i, l := range u.Locations {
		if i == 0 || l.Type == "desk" {
			out.Desk = directory.Desk{Building: l.Building, Floor: l.Floor, Section: l.Section, Code: l.Desk}
		}
	}
	return out
}

// first is the first value of the first type that has one.
func first(list []typedValue, types ...string) string {
	for _, kind := range types {
		for _, v := range list {
			if v.Type == kind && v.Value != "" {
				return v.Value
			}
		}
	}
	return ""
}

// phoneType is SCIM's name for Google's, where SCIM has one (RFC 7643 §4.1.2).
func phoneType(kind string) string {
	switch kind {
	case "home_fax", "work_fax", "other_fax":
		return "fax"
	case "work_mobile":
		return "mobile"
	case "work_pager":
		return "pager"
	}
	return kind
}

func lines(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "\n")
}

// country is a code of two letters, or "".
func country(codes ...string) string {
	for _, c := range codes {
		if len(c) == 2 {
			return strings.ToUpper(c)
		}
	}
	return ""
}

type group struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
	Kind  string `json:"kind"`
}

func (g group) plain() (directory.Group, error) {
	if g.ID == "" || g.Email == "" {
		return directory.Group{}, fmt.Errorf("%w: a group without id or address", directory.ErrMalformed)
	}
	return directory.Group{ID: g.ID, Email: g.Email, Name: g.Name}, nil
}

// Groups implements directory.Directory.
func (c *Client) Groups(ctx context.Context, access, pageToken string) (out directory.Page[directory.Group], err error) {
	var body struct {
		Groups []group `json:"groups"`
		Next   string  `json:"nextPageToken"`
		Kind   string  `json:"kind"`
	}
	if err := c.get(ctx, access, "groups", page(groupPage, pageToken, "customer", "my_customer"), &body); err != nil {
		return out, err
	}
	if body.Kind != "admin#directory#groups" {
		return out, fmt.Errorf("%w: not groups", directory.ErrMalformed)
	}
	for _, g := range body.Groups {
		plain, err := g.plain()
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, plain)
	}
	out.Next = body.Next
	return out, nil
}

// Group implements directory.Directory.
func (c *Client) Group(ctx context.Context, access, key string) (directory.Group, error) {
	var body group
	if err := c.get(ctx, access, "groups/"+url.PathEscape(key), url.Values{}, &body); err != nil {
		return directory.Group{}, err
	}
	return body.plain()
}

// Members implements directory.Directory. A member of type CUSTOMER (everybody) or EXTERNAL has no id of this directory.
func (c *Client) Members(ctx context.Context, access, groupID, pageToken string) (out directory.Page[directory.Member], err error) {
	var body struct {
		Members []struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		} `json:"members"`
		Next string `json:"nextPageToken"`
		Kind string `json:"kind"`
	}
	if err := c.get(ctx, access, "groups/"+url.PathEscape(groupID)+"/members", page(groupPage, pageToken), &body); err != nil {
		return out, err
	}
	if body.Kind != "admin#directory#members" {
		return out, fmt.Errorf("%w: not members", directory.ErrMalformed)
	}
	for _, m := range body.Members {
		if (m.Type == "USER" || m.Type == "GROUP") && m.ID != "" {
			out.Items = append(out.Items, directory.Member{ID: m.ID, Group: m.Type == "GROUP"})
		}
	}
	out.Next = body.Next
	return out, nil
}
