package graph

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/federation"
)

type oidcNode struct {
	c   *connectionNode
	set sso.OIDC
}

// OIDC is null for SAML.
func (n *connectionNode) OIDC() *oidcNode {
	if n.c.OIDC == nil {
		return nil
	}
	return &oidcNode{n, *n.c.OIDC}
}

func (n *oidcNode) Preset() *string {
	return optional(strings.ToUpper(string(n.set.Preset)))
}
func (n *oidcNode) CallbackURL() string   { return n.c.r.SSO.Callback(n.c.c) }
func (n *oidcNode) DiscoveryURL() *string { return optional(n.set.DiscoveryURL) }
func (n *oidcNode) Metadata() *string     { return optional(string(n.set.Metadata)) }
func (n *oidcNode) ClientID() string      { return n.set.ClientID }
func (n *oidcNode) Confidential() bool    { return n.set.ClientSecret != "" }
func (n *oidcNode) AssertionAudience() string {
	return strings.ToUpper(string(n.set.AssertionAudience))
}
func (n *oidcNode) PKCE() string                        { return strings.ToUpper(string(n.set.PKCE)) }
func (n *oidcNode) HMAC() bool                          { return n.set.HMAC }
func (n *oidcNode) Parameters() []federation.Param      { return list(n.set.Params) }
func (n *oidcNode) RequiredClaims() []sso.RequiredClaim { return list(n.set.RequiredClaims) }

func (n *oidcNode) ClientAuth() string {
	if n.set.AuthMethod == "" {
		return automatic
	}
	return strings.ToUpper(string(n.set.AuthMethod))
}

func (n *oidcNode) Scopes() []string {
	if n.set.Scopes == nil {
		return sso.DefaultScopes
	}
	return n.set.Scopes
}

// oidcSettings is what can be chosen about an OpenID provider, now and later.
type oidcSettings struct {
	DiscoveryURL, Metadata, ClientSecret *string
	ClientAuth, AssertionAudience, PKCE  *string
	HMAC                                 *bool
	Scopes                               *[]string
	Parameters                           *[]federation.Param
	RequiredClaims                       *[]sso.RequiredClaim
}

type createOIDCInput struct {
	Preset, Account *string
	ClientID        string
	oidcSettings
}

// settings are those of a new connection.
func (in createOIDCInput) settings() (*sso.OIDC, error) {
	o := sso.OIDC{ClientID: in.ClientID}
	if err := in.apply(&o); err != nil {
		return nil, err
	}
	if in.Preset == nil {
		return &o, nil
	}
	return &o, o.Fill(sso.Preset(strings.ToLower(*in.Preset)), text(in.Account))
}

// apply changes what was given. A discovery URL takes the place of metadata, and the other way round.
func (in oidcSettings) apply(o *sso.OIDC) error {
	switch {
	case in.DiscoveryURL != nil && in.Metadata != nil:
		return fault.At("oidc.metadata", "ambiguous", "Give the provider's discovery URL or its metadata.")
	case in.DiscoveryURL != nil:
		o.DiscoveryURL, o.Metadata = *in.DiscoveryURL, nil
	case in.Metadata != nil:
		if !json.Valid([]byte(*in.Metadata)) {
			return fault.At("oidc.metadata", "metadata_malformed", "The metadata is not JSON.")
		}
		o.DiscoveryURL, o.Metadata = "", json.RawMessage(*in.Metadata)
	}
	set(&o.ClientSecret, in.ClientSecret)
	set(&o.HMAC, in.HMAC)
	set(&o.Scopes, in.Scopes)
	set(&o.Params, in.Parameters)
	set(&o.RequiredClaims, in.RequiredClaims)
	if in.ClientAuth != nil {
		o.AuthMethod = federation.AuthMethod(strings.ToLower(*in.ClientAuth))
		if *in.ClientAuth == automatic {
			o.AuthMethod = ""
		}
	}
	if in.AssertionAudience != nil {
		o.AssertionAudience = sso.AssertionAudience(strings.ToLower(*in.AssertionAudience))
	}
	if in.PKCE != nil {
		o.PKCE = sso.PKCE(strings.ToLower(*in.PKCE))
	}
	return nil
}

// checkOIDC asks the provider whether changed settings can work. A new secret needs no asking: the provider may be away.
func (r *resolver) checkOIDC(ctx context.Context, id string, in *oidcSettings) error {
	if in == nil || in.DiscoveryURL == nil && in.Metadata == nil && in.RequiredClaims == nil {
		return nil
	}
	c, err := r.SSO.Get(ctx, id)
	if err != nil || c.OIDC == nil {
		return err
	}
	if err := in.apply(c.OIDC); err != nil {
		return err
	}
	return r.SSO.CheckOIDC(ctx, c)
}
