package dirsync

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/ports/mapping"
)

// mapped is what a directory's mapping makes of a user: traits, metadata, and whether the person is active.
func (s *Service) mapped(ctx context.Context, d Directory, userID string, r scim.Resource) (identity.Provision, error) {
	active := r["active"] == true
	if d.Mapping == "" {
		return identity.Provision{Traits: builtIn(r), Active: active}, nil
	}
	with := scim.Clone(r)
	with["id"] = userID
	out, err := s.Mapper.Evaluate(ctx, d.OrganizationID, d.Mapping, map[string]json.RawMessage{"scim": encode(with)})
	var wrong *mapping.Error
	switch {
	case errors.As(err, &wrong) && wrong.Code != mapping.Unavailable:
		return identity.Provision{}, mappingFailed(err, placed(wrong))
	case errors.As(err, &wrong):
		return identity.Provision{}, fault.Wrap(err, fault.Unavailable, "mapping_unavailable", "The directory's mapping cannot be evaluated now. Try again in a moment.")
	case err != nil:
		return identity.Provision{}, fault.Wrap(err, fault.Unavailable, "unavailable", "The request was ended before it was answered.")
	}
	return result(out, active)
}

func mappingFailed(err error, why string) error {
	return fault.Wrap(err, fault.Invalid, "mapping_failed", "The directory's mapping failed at this user: "+why)
}

// result reads what a mapping came to: {identity: {traits, metadata_public, metadata_admin, active}}.
func result(out json.RawMessage, active bool) (identity.Provision, error) {
	var to struct {
		Identity *struct {
			Traits         json.RawMessage `json:"traits"`
			MetadataPublic json.RawMessage `json:"metadata_public"`
			MetadataAdmin  json.RawMessage `json:"metadata_admin"`
			Active         *bool           `json:"active"`
		} `json:"identity"`
	}
	if err := json.Unmarshal(out, &to); err != nil || to.Identity == nil {
		return identity.Provision{}, mappingFailed(err, "it has to come to an object with identity, in which active is a boolean.")
	}
	i := to.Identity
	for _, part := range []*json.RawMessage{&i.Traits, &i.MetadataPublic, &i.MetadataAdmin} {
		if string(*part) == "null" {
			*part = nil
		}
		var object map[string]json.RawMessage
		if *part != nil && json.Unmarshal(*part, &object) != nil {
			return identity.Provision{}, mappingFailed(nil, "traits, metadata_public and metadata_admin have to be objects.")
		}
	}
	if i.Traits == nil {
		i.Traits = json.RawMessage("{}")
	}
	if i.Active != nil {
		active = *i.Active
	}
	return identity.Provision{Traits: i.Traits, MetadataPublic: i.MetadataPublic, MetadataAdmin: i.MetadataAdmin, Active: active}, nil
}

// builtIn is the mapping of a directory without one. Its traits have the names of the profile of a login, so that
// applications see the same of a person, however they came.
func builtIn(r scim.Resource) json.RawMessage {
	p := personOf(encode(r))
	traits := struct {
		ID        string         `json:"id"`
		Email     string         `json:"email,omitempty"`
		FirstName string         `json:"firstName,omitempty"`
		LastName  string         `json:"lastName,omitempty"`
		Roles     []string       `json:"roles,omitempty"`
		Raw       map[string]any `json:"raw"`
	}{ID: text(r, "externalId"), Email: p.email(), FirstName: p.Name.GivenName, LastName: p.Name.FamilyName, Roles: p.roles(), Raw: map[string]any{}}
	if traits.ID == "" {
		traits.ID = p.UserName
	}
	return encode(traits)
}
