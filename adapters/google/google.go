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

	AuthURL, TokenURL, APIURL string
}

const (
	maxTokens = 64 << 10
	maxPage   = 16 << 20 // 500 users with all that people keep in custom fields
	userPage  = 500      // the most that Google gives
	groupPage = 200
)

var scopes = strings.Join([]string{
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
	return directory.Tokens{Access: answer.Access, Refresh: answer.Refresh, Expires: time.Duration(min(answer.Expires, 86400)) * time.Second}, nil
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
		GivenName  string `json:"givenName"`
		FamilyName string `json:"familyName"`
	} `json:"name"`
	Suspended   bool   `json:"suspended"`
	Archived    bool   `json:"archived"`
	OrgUnitPath string `json:"orgUnitPath"`
	Emails      []struct {
		Address string `json:"address"`
		Type    string `json:"type"`
		Primary bool   `json:"primary"`
	} `json:"emails"`
	Phones []struct {
		Value   string `json:"value"`
		Type    string `json:"type"`
		Primary bool   `json:"primary"`
	} `json:"phones"`
	Organizations []struct {
		Title      string `json:"title"`
		Department string `json:"department"`
		CostCenter string `json:"costCenter"`
		Primary    bool   `json:"primary"`
	} `json:"organizations"`
	ExternalIDs []struct {
		Value string `json:"value"`
		Type  string `json:"type"`
	} `json:"externalIds"`
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
		Active: !u.Suspended && !u.Archived, OrgUnit: u.OrgUnitPath}
	for _, e := range u.Emails {
		out.Emails = append(out.Emails, directory.Value{Value: e.Address, Type: e.Type, Primary: e.Primary})
	}
	for _, p := range u.Phones {
		out.Phones = append(out.Phones, directory.Value{Value: p.Value, Type: p.Type, Primary: p.Primary})
	}
	for i, o := range u.Organizations {
		if i == 0 || o.Primary {
			out.Title, out.Department, out.CostCenter = o.Title, o.Department, o.CostCenter
		}
	}
	for _, e := range u.ExternalIDs {
		if e.Type == "organization" { // the employee id of Google's console
			out.Employee = e.Value
		}
	}
	return out
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
