package sso

import (
	"regexp"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/federation"
)

// Preset is an OpenID provider of which it is known what differs from the others. It fills in settings, and after that means
// nothing but a name.
type Preset string

// The presets.
const (
	PresetEntraID   Preset = "entra_id"
	PresetGoogle    Preset = "google"
	PresetOkta      Preset = "okta"
	PresetAuth0     Preset = "auth0"
	PresetOneLogin  Preset = "onelogin"
	PresetPing      Preset = "ping"
	PresetJumpCloud Preset = "jumpcloud"
	PresetKeycloak  Preset = "keycloak"
)

// presets: what people call it, and how an account of it becomes settings; false says that there is no such account.
var presets = map[Preset]struct {
	name    string
	account string // what the account is, in words
	fill    func(o *OIDC, account string) bool
}{
	PresetEntraID: {"Entra ID", "the directory (tenant) id or a domain of it, or organizations", func(o *OIDC, account string) bool {
		o.DiscoveryURL = "https://login.microsoftonline.com/" + account + "/v2.0"
		o.AssertionAudience = AudienceTokenEndpoint
		return hostName.MatchString(account)
	}},
	PresetGoogle: {"Google", "the Workspace domain whose people may sign in", func(o *OIDC, account string) bool {
		o.DiscoveryURL = "https://accounts.google.com"
		o.Params = []federation.Param{{Name: "hd", Value: account}} // hd only chooses what is shown; the claim decides
		o.RequiredClaims = []RequiredClaim{{Name: "hd", Values: []string{account}}}
		return dotted(account)
	}},
	PresetOkta: {"Okta", "the organization's host, as acme.okta.com, with /oauth2/… for an authorization server of its own", func(o *OIDC, account string) bool {
		host, path, _ := strings.Cut(account, "/")
		o.DiscoveryURL = "https://" + account
		o.AssertionAudience = AudienceTokenEndpoint
		return dotted(host) && (path == "" || strings.HasPrefix(path, "oauth2/"))
	}},
	PresetAuth0: {"Auth0", "the tenant's host, as acme.eu.auth0.com", func(o *OIDC, account string) bool {
		o.DiscoveryURL = "https://" + account + "/"
		return dotted(account)
	}},
	PresetOneLogin: {"OneLogin", "the account's host, as acme.onelogin.com", func(o *OIDC, account string) bool {
		o.DiscoveryURL = "https://" + account + "/oidc/2"
		o.Scopes = []string{"openid", "email", "profile", "groups"}
		return dotted(account)
	}},
	PresetPing: {"PingOne", "the environment id, behind its host where that is not auth.pingone.com", func(o *OIDC, account string) bool {
		host, environment, ok := strings.Cut(account, "/")
		if !ok {
			host, environment = "auth.pingone.com", account
		}
		o.DiscoveryURL = "https://" + host + "/" + environment + "/as"
		return dotted(host) && id.IsUUID(strings.ToLower(environment))
	}},
	PresetJumpCloud: {"JumpCloud", "nothing", func(o *OIDC, account string) bool {
		o.DiscoveryURL = "https://oauth.id.jumpcloud.com/"
		return account == ""
	}},
	PresetKeycloak: {"Keycloak", "the realm's address, as sso.acme.example/realms/acme", func(o *OIDC, account string) bool {
		o.DiscoveryURL = "https://" + account
		return strings.Contains(account, "/realms/")
	}},
}

// hostName is a host, or one label of it; what it cannot hold is what would make another URL of it.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func dotted(host string) bool { return hostName.MatchString(host) && strings.Contains(host, ".") }

// Fill fills in what a preset knows of an account and o leaves open. Faults: Invalid at oidc.preset and oidc.account.
func (o *OIDC) Fill(preset Preset, account string) error {
	p, ok := presets[preset]
	if !ok {
		return fault.At("oidc.preset", "invalid", "There is no such preset.")
	}
	account = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(account), "https://"), "/")
	known := OIDC{}
	if !p.fill(&known, account) {
		return fault.At("oidc.account", "invalid", "The account of "+p.name+" is "+p.account+".")
	}
	o.Preset = preset
	if o.DiscoveryURL == "" && len(o.Metadata) == 0 {
		o.DiscoveryURL = known.DiscoveryURL
	}
	if o.AssertionAudience == "" {
		o.AssertionAudience = known.AssertionAudience
	}
	if o.Scopes == nil {
		o.Scopes = known.Scopes
	}
	if o.Params == nil {
		o.Params = known.Params
	}
	if o.RequiredClaims == nil {
		o.RequiredClaims = known.RequiredClaims
	}
	return nil
}
