package sso

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/federation"
)

// Profile is who signed in, as the application sees it. Its JSON names are those of Polis.
type Profile struct {
	ID        string         `json:"id"` // the person's id at the identity provider
	IDHash    string         `json:"idHash,omitempty"`
	Email     string         `json:"email,omitempty"`
	FirstName string         `json:"firstName,omitempty"`
	LastName  string         `json:"lastName,omitempty"`
	Roles     []string       `json:"roles,omitempty"`
	Groups    []string       `json:"groups,omitempty"`
	Raw       map[string]any `json:"raw"` // every attribute, a string or a list of strings; or every claim
}

const (
	claims            = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	claimNameID       = claims + "nameidentifier"
	claimEmail        = claims + "emailaddress"
	formatEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	formatTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	noIDAndNoEmail    = "The identity provider sent neither an id nor an email address. Its administrator has to map one."
	maxProfileSubject = 1024
	maxProfile        = 1 << 20 // bytes of JSON: a commit of 4 MiB holds it twice, in the identity and in the code
)

// The attribute names under which identity providers send what a profile holds, in order of preference. The last
// ones are those of the LDAP schema (RFC 4519, RFC 4524), which Shibboleth and its kin send.
var (
	idNames        = []string{"id", claimNameID}
	emailNames     = []string{"email", claimEmail, "urn:oid:0.9.2342.19200300.100.1.3"}
	firstNameNames = []string{"firstName", claims + "givenname", "urn:oid:2.5.4.42"}
	lastNameNames  = []string{"lastName", claims + "surname", "urn:oid:2.5.4.4"}
	roleNames      = []string{"roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"}
	groupNames     = []string{"groups", "http://schemas.xmlsoap.org/claims/Group"}
)

// profile reads an assertion as a person.
func (s *Service) profile(a federation.Assertion) (Profile, error) {
	values := map[string][]string{}
	for _, attribute := range a.Attributes {
		values[attribute.Name] = append(values[attribute.Name], attribute.Values...)
	}
	if a.NameID.Value != "" {
		values[claimNameID] = []string{a.NameID.Value}
		if a.NameID.Format == formatEmail {
			values[claimEmail] = []string{a.NameID.Value}
		}
	}
	p := Profile{
		ID:        first(values, idNames),
		Email:     first(values, emailNames),
		FirstName: first(values, firstNameNames),
		LastName:  first(values, lastNameNames),
		Roles:     all(values, roleNames),
		Groups:    all(values, groupNames),
		Raw:       make(map[string]any, len(values)),
	}
	for name, list := range values {
		switch len(list) {
		case 0:
			p.Raw[name] = []string{} // not null
		case 1:
			p.Raw[name] = list[0]
		default:
			p.Raw[name] = list
		}
	}
	if p.ID == "" && p.Email != "" {
		p.ID = emailID(p.Email)
	}
	if p.ID == "" || len(p.ID) > maxProfileSubject {
		return Profile{}, fault.New(fault.Forbidden, "no_subject", noIDAndNoEmail)
	}
	p.IDHash = s.Digest(p.ID)
	return p, nil
}

// oidcProfile reads the claims of an OpenID provider as a person (Polis contract §2.5): those of the id token, else those of
// userinfo; raw is the first overlaid by the second.
func oidcProfile(c federation.Claims) Profile {
	text := func(name string) string {
		if s, ok := c.IDToken[name].(string); ok {
			return s
		}
		s, _ := c.Userinfo[name].(string)
		return s
	}
	list := func(name string) []string {
		if v, ok := c.IDToken[name]; ok && v != nil {
			return values(v)
		}
		return values(c.Userinfo[name])
	}
	p := Profile{ID: c.Subject, Email: text("email"), FirstName: text("given_name"), LastName: text("family_name"),
		Roles: list("roles"), Groups: list("groups"), Raw: map[string]any{}}
	maps.Copy(p.Raw, c.IDToken)
	maps.Copy(p.Raw, c.Userinfo)
	return p
}

// passing are the claims of an id token that are of one login, and not of the person.
var passing = []string{"iat", "exp", "nbf", "auth_time", "nonce", "at_hash", "c_hash", "s_hash", "jti", "sid"}

// lasting is the profile as an identity keeps it: a login that brings nothing new leaves it as it is.
func (p Profile) lasting() Profile {
	p.Raw = maps.Clone(p.Raw)
	for _, claim := range passing {
		delete(p.Raw, claim)
	}
	return p
}

// subject is what an identity is linked to. A transient NameID is another one at each login, so it links nobody.
func subject(p Profile, a federation.Assertion) (string, error) {
	if a.NameID.Format != formatTransient || p.ID != a.NameID.Value {
		return p.ID, nil
	}
	if p.Email != "" {
		return emailID(p.Email), nil
	}
	return "", fault.New(fault.Forbidden, "no_subject", noIDAndNoEmail)
}

func emailID(email string) string {
	sum := sha256.Sum256([]byte(email))
	return hex.EncodeToString(sum[:])
}

func first(values map[string][]string, names []string) string {
	for _, name := range names {
		for _, v := range values[name] {
			if v = strings.TrimSpace(v); v != "" {
				return v
			}
		}
	}
	return ""
}

func all(values map[string][]string, names []string) []string {
	for _, name := range names {
		if list := values[name]; len(list) > 0 {
			return list
		}
	}
	return nil
}
