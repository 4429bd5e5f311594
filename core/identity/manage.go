package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Input is what an administrator may choose of a person. In an update a nil field stays as it is.
type Input struct {
	Traits         json.RawMessage // a JSON object; its "email", where that is a string, is the person's address
	MetadataPublic json.RawMessage // a JSON object
	MetadataAdmin  json.RawMessage // a JSON object
	UserName       *string         // of one whom no directory provisions
	Active         *bool           // true by default
	Password       *string         // "" takes it away
}

// maxTraits bounds each of an administrator's documents, in bytes.
const maxTraits = 256 << 10

func (in Input) valid() error {
	for field, document := range map[string]json.RawMessage{"traits": in.Traits, "metadataPublic": in.MetadataPublic, "metadataAdmin": in.MetadataAdmin} {
		var object map[string]json.RawMessage
		switch {
		case document == nil:
		case len(document) > maxTraits:
			return fault.At(field, "too_long", "This has at most 256 KiB.")
		case json.Unmarshal(document, &object) != nil || object == nil:
			return fault.At(field, "invalid", "Give a JSON object.")
		}
	}
	switch name := in.UserName; {
	case name == nil:
	case len(*name) > maxUserName:
		return fault.At("userName", "too_long", "A user name has at most 1024 bytes.")
	case strings.TrimSpace(*name) != *name:
		return fault.At("userName", "invalid", "A user name neither begins nor ends with a space.")
	}
	return nil
}

const maxUserName = 1024

// address is the email of traits, as a list.
func address(traits json.RawMessage) []string {
	var t struct{ Email any }
	if json.Unmarshal(traits, &t) != nil {
		return nil
	}
	email, _ := t.Email.(string)
	return addresses([]string{email})
}

// compact is a document as the database keeps it, so that it can be told whether it is another one.
func compact(document json.RawMessage) json.RawMessage {
	var out bytes.Buffer
	if json.Compact(&out, document) != nil { // it was read before
		return document
	}
	return out.Bytes()
}

func (in Input) describe(i *Identity) error {
	if in.Traits != nil {
		i.Traits = compact(in.Traits)
		if i.ByAdmin {
			i.Addresses = address(in.Traits)
		}
	}
	if in.MetadataPublic != nil {
		i.MetadataPublic = compact(in.MetadataPublic)
	}
	if in.MetadataAdmin != nil {
		i.MetadataAdmin = compact(in.MetadataAdmin)
	}
	if in.UserName != nil && *in.UserName != i.UserName {
		if i.DirectoryID != "" {
			return fault.At("userName", "provisioned", "The user name is the directory's.")
		}
		i.UserName = *in.UserName
	}
	if in.Active != nil {
		i.setActive(*in.Active)
	}
	return nil
}

// Create makes a person of an organization. Faults: NotFound of the organization, Invalid, Taken uniqueness at traits or
// userName where somebody of the organization has this address or user name, Unavailable busy.
func (s *Service) Create(ctx context.Context, organizationID string, in Input) (Identity, error) {
	if in.Traits == nil {
		in.Traits = json.RawMessage("{}")
	}
	if err := in.valid(); err != nil {
		return Identity{}, err
	}
	h, err := s.hashed(ctx, in.Password)
	if err != nil {
		return Identity{}, err
	}
	now := s.now()
	first := Identity{ID: s.IDs.UUID(), OrganizationID: organizationID, ByAdmin: true, Active: true, Epoch: 1, EventSeq: 1, CreatedAt: now, UpdatedAt: now}
	if err := in.describe(&first); err != nil {
		return Identity{}, err
	}
	made := first
	err = s.once(ctx, func() ([]store.Op, error) {
		o, err := s.Organizations.Get(ctx, organizationID)
		if err != nil {
			return nil, err
		}
		made = first
		made.ProjectID = o.ProjectID
		ops, err := s.renamed(ctx, Identity{}, made)
		if err != nil {
			return nil, err
		}
		kept, err := s.keep(ctx, h, &made)
		ops = slices.Concat([]store.Op{s.repo.Insert(made), s.Organizations.Check(o), s.tell(made, events.IdentityCreated)}, ops, kept)
		return ops, err
	})
	made.Version = 1
	s.Woken(made.ProjectID)
	return made, err
}

// hashed is Hash of a password that may not be given.
func (s *Service) hashed(ctx context.Context, text *string) (*Hashed, error) {
	if text == nil {
		return nil, nil
	}
	h, err := s.Hash(ctx, *text)
	return &h, err
}

// renamed is rename of an administrator's doing: addresses and user names that somebody has are refused.
func (s *Service) renamed(ctx context.Context, before, now Identity) ([]store.Op, error) {
	ids := changed(before, now)
	if len(ids) == 0 {
		return nil, nil
	}
	known, err := s.readNames(ctx, ids)
	if err != nil {
		return nil, err
	}
	old := before.uses()
	for nameID, as := range now.uses() {
		for _, h := range known[nameID].Holders {
			if h.IdentityID != now.ID && h.As&as&(asAddress|asUserName) != 0 && as&^old[nameID] != 0 {
				return nil, fault.New(fault.Taken, Uniqueness, "Somebody of the organization has this address or user name.")
			}
		}
	}
	return s.rename(before, now, known)
}

// Update changes a person. What a directory provisions it says anew with its next change, traits and metadata; the rest stays. What
// is asked for and already is makes neither a version nor an event.
// Faults: NotFound, Invalid, Taken uniqueness, Unavailable busy.
func (s *Service) Update(ctx context.Context, identityID string, in Input) (Identity, error) {
	if err := in.valid(); err != nil {
		return Identity{}, err
	}
	h, err := s.hashed(ctx, in.Password)
	if err != nil {
		return Identity{}, err
	}
	return s.change(ctx, identityID, func(i *Identity) ([]store.Op, error) {
		before := *i
		if err := in.describe(i); err != nil {
			return nil, err
		}
		ops, err := s.renamed(ctx, before, *i)
		if err != nil {
			return nil, err
		}
		kept, err := s.keep(ctx, h, i)
		return slices.Concat(ops, kept, s.endings(before, *i)), err
	})
}

// SetActive deactivates an identity, which ends all access that was given before, or lets it in again. Faults: NotFound.
func (s *Service) SetActive(ctx context.Context, identityID string, active bool) (Identity, error) {
	return s.Update(ctx, identityID, Input{Active: &active})
}

// change alters an identity as fn does, which answers with what else belongs into the commit, and tells it. Where fn alters
// nothing there is nothing to tell.
func (s *Service) change(ctx context.Context, identityID string, fn func(*Identity) ([]store.Op, error)) (Identity, error) {
	var i Identity
	changed, now := false, s.now()
	err := s.once(ctx, func() ([]store.Op, error) {
		before, err := s.repo.Get(ctx, identityID)
		if err != nil {
			return nil, err
		}
		i = before
		ops, err := fn(&i)
		if changed = len(ops) > 0 || !reflect.DeepEqual(i, before); err != nil || !changed {
			return nil, err
		}
		i.UpdatedAt = now
		i.EventSeq++
		return append([]store.Op{s.repo.Update(i), s.tell(i, events.IdentityUpdated)}, ops...), nil
	})
	if changed {
		i.Version++
	}
	s.left(i.ProjectID)
	return i, err
}

// Delete removes a person whom no directory provisions. Faults: NotFound, Conflict provisioned.
func (s *Service) Delete(ctx context.Context, identityID string) error {
	var i Identity
	err := s.once(ctx, func() (ops []store.Op, err error) {
		if i, err = s.repo.Get(ctx, identityID); err != nil {
			return nil, err
		}
		if i.DirectoryID != "" {
			return nil, fault.New(fault.Conflict, "provisioned", "A directory provisions this person. Remove them there.")
		}
		return s.deletion(ctx, i)
	})
	s.left(i.ProjectID)
	return err
}

func (s *Service) deletion(ctx context.Context, i Identity) ([]store.Op, error) {
	ops, err := s.removal(ctx, i)
	return append(ops, s.tell(i.next(), events.IdentityDeleted)), err
}

// DeleteAll removes an organization's identities with all that belongs to them. Repeating it completes it.
func (s *Service) DeleteAll(ctx context.Context, organizationID string) error {
	for {
		page, err := s.repo.Range(ctx, store.Range{Index: byOrganization, Eq: []string{organizationID}, Limit: 100})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, i := range page {
			err := s.once(ctx, func() ([]store.Op, error) {
				anew, err := s.repo.Get(ctx, i.ID)
				if err != nil {
					return nil, err
				}
				return s.deletion(ctx, anew)
			})
			if err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		s.left(page[0].ProjectID)
	}
}

// Search says by which name people are looked for, without regard to case; one of them is set.
type Search struct{ Address, UserName, ExternalID string }

// Search finds people of an organization by a name. Addresses are those alone that are believed.
func (s *Service) Search(ctx context.Context, organizationID string, q Search) ([]Identity, error) {
	text, as := q.Address, asAddress
	switch {
	case q.UserName != "":
		text, as = q.UserName, asUserName
	case q.ExternalID != "":
		text, as = q.ExternalID, asExternalID
	}
	if text == "" {
		return nil, nil
	}
	people, err := s.holders(ctx, []string{nameID(organizationID, text)})
	return slices.DeleteFunc(people, func(i Identity) bool { return i.uses()[nameID(organizationID, text)]&as == 0 }), err
}

// Named are the ids of the people of a directory who go by a name: an address, user name or external id.
func (s *Service) Named(ctx context.Context, organizationID, directoryID, text string) (ids []string, err error) {
	known, err := s.readNames(ctx, []string{nameID(organizationID, text)})
	for _, n := range known {
		for _, h := range n.Holders {
			if h.DirectoryID == directoryID {
				ids = append(ids, h.IdentityID)
			}
		}
	}
	return distinct(ids), err
}

// IsAddress reports whether people are found by a text as their address.
func IsAddress(text string) bool { return isAddress(text) }

// once is record.Plan for what names or gives a password to people.
func (s *Service) once(ctx context.Context, plan func() ([]store.Op, error)) error {
	return s.repo.Fault(record.Plan(ctx, s.Records, plan, func(err error) bool {
		return store.Taken(err, names, "") || store.Taken(err, passwords, "")
	}))
}

func distinct(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
