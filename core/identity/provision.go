package identity

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/store"
)

// Uniqueness is the code of the fault that a person, or a name, is somebody else's already.
const Uniqueness = "uniqueness"

// Provision is what a directory says of a person.
type Provision struct {
	ID                                     string // of a new identity, chosen by the caller: a commit that is tried again keeps to it
	Now                                    time.Time
	ProjectID, OrganizationID, DirectoryID string
	ScimClient                             string // client id of the directory
	ConnectionID                           string // whose subjects are UserName or ExternalID; "" for none
	UserName, ExternalID                   string
	Addresses                              []string
	Traits, MetadataPublic, MetadataAdmin  json.RawMessage
	Active                                 bool
	Password                               *Hashed         // nil leaves it as it is
	Data                                   json.RawMessage // of the event
	// Beside makes a person although others of the directory have the same user name or external id.
	Beside bool
	// Departs, of Deprovision, says that the person left, and does not come back by a login.
	Departs bool
}

// KnownError says that people of the directory have the user name or external id of a person to be provisioned.
type KnownError struct{ IDs []string }

func (e *KnownError) Error() string { return "identity: the directory has people of this name" }

// Provision makes the identity of a person whom a directory provisions. One who signed in before is the same where that is
// safe: by the same connection and subject, or by an address in a domain that is verified for the organization. The
// operations, of which the first is known by the identity's id, and the events belong into one commit.
//
// Errors: *KnownError unless Beside is set; fault Taken uniqueness where the person is there already and the link is not safe. A commit for which Raced says so is
// to be made anew, from Provision on.
func (s *Service) Provision(ctx context.Context, p Provision) (Identity, []store.Op, []events.Event, error) {
	now := Identity{ID: p.ID, ProjectID: p.ProjectID, OrganizationID: p.OrganizationID, Epoch: 1, CreatedAt: p.Now}
	p.describe(&now)
	now.Active, now.Provisioned = p.Active, p.Active
	known, err := s.readNames(ctx, changed(Identity{}, now))
	if err != nil {
		return Identity{}, nil, nil, err
	}
	if ids := ofDirectory(now, known); len(ids) > 0 && !p.Beside {
		return Identity{}, nil, nil, &KnownError{ids}
	}
	old, err := s.before(ctx, p, now, known)
	if err != nil {
		return Identity{}, nil, nil, err
	}
	if old.ID != "" {
		return s.adopt(ctx, p, old)
	}
	return s.provisioned(ctx, p, Identity{}, now.next(), known, s.repo.Insert, events.IdentityCreated, events.PolisUserCreated)
}

// ofDirectory are the people of the directory who have the user name or external id of a person to be provisioned.
func ofDirectory(now Identity, known map[string]name) []string {
	return sharing(now, known, func(h holder, as use) bool { return h.DirectoryID == now.DirectoryID && h.As&as != 0 })
}

// subjects are the people whom a connection knows by the user name or external id of a person to be provisioned.
func subjects(now Identity, known map[string]name) []string {
	return sharing(now, known, func(h holder, _ use) bool { return h.As&asSubject != 0 })
}

// sharing are the holders, for which is says so, of the user name or external id of a person to be provisioned.
func sharing(now Identity, known map[string]name, is func(h holder, as use) bool) (ids []string) {
	for _, part := range []struct {
		text string
		as   use
	}{{now.UserName, asUserName}, {now.ExternalID, asExternalID}} {
		if part.text == "" {
			continue
		}
		for _, h := range known[nameID(now.OrganizationID, part.text)].Holders {
			if is(h, part.as) {
				ids = append(ids, h.IdentityID)
			}
		}
	}
	return distinct(ids)
}

// Raced reports whether a commit met another one of the same person or name: it is to be made anew.
func Raced(err error) bool {
	return errors.Is(err, store.ErrConflict) || SignInRaced(err) || store.Taken(err, passwords, "")
}

// next is the identity with the number of its next event.
func (i Identity) next() Identity {
	i.EventSeq++
	return i
}

func (p Provision) describe(i *Identity) {
	i.DirectoryID, i.UserName, i.ExternalID = p.DirectoryID, p.UserName, p.ExternalID
	i.Addresses, i.Subject = addresses(p.Addresses), ""
	i.Traits, i.MetadataPublic, i.MetadataAdmin = p.Traits, p.MetadataPublic, p.MetadataAdmin
	i.UpdatedAt = p.Now
}

// MaxAddresses bounds the addresses by which one person is found.
const MaxAddresses = 100

// addresses leaves what is an address, each once.
func addresses(list []string) []string {
	var out []string
	for _, a := range list {
		if isAddress(a) && !slices.Contains(out, a) && len(out) < MaxAddresses {
			out = append(out, a)
		}
	}
	return out
}

// before finds who p was before it was provisioned; nobody has no ID. now is how p would be made.
func (s *Service) before(ctx context.Context, p Provision, now Identity, known map[string]name) (Identity, error) {
	candidates := map[string]bool{} // by id, whether the link is safe
	if err := s.byNames(ctx, now, known, candidates); err != nil {
		return Identity{}, err
	}
	for _, identityID := range subjects(now, known) {
		if _, found := candidates[identityID]; !found {
			candidates[identityID] = false // unless it is by the directory's connection
		}
	}
	if err := s.bySubject(ctx, p, candidates); err != nil {
		return Identity{}, err
	}
	for identityID, safe := range candidates {
		if !safe || len(candidates) > 1 {
			break
		}
		old, err := s.repo.Get(ctx, identityID)
		if err == nil && old.DirectoryID == "" && old.OrganizationID == p.OrganizationID {
			return old, nil
		}
		if err != nil && !fault.Is(err, fault.NotFound) {
			return Identity{}, err
		}
	}
	if len(candidates) > 0 {
		return Identity{}, fault.New(fault.Taken, Uniqueness, "The organization has a person with this address, userName or externalId already, and it is not certain that both are the same. "+
			"Have an administrator verify the address's domain for the organization, name the connection in the directory, or delete that person.")
	}
	return Identity{}, nil
}

// byNames adds those who go by an address of a person to be provisioned. Faults: Taken, where a directory provisions them.
func (s *Service) byNames(ctx context.Context, now Identity, known map[string]name, candidates map[string]bool) error {
	verified := map[string]bool{}
	for _, address := range append(slices.Clone(now.Addresses), now.UserName) {
		if !isAddress(address) {
			continue
		}
		for _, h := range known[nameID(now.OrganizationID, address)].Holders {
			switch {
			case h.As&asAddress == 0 || h.DirectoryID == now.DirectoryID:
				continue
			case h.DirectoryID != "":
				return fault.New(fault.Taken, Uniqueness, "Another directory of the organization provisions a person with this address.")
			}
			domain := domainOf(address)
			if _, asked := verified[domain]; !asked {
				ok, err := s.Organizations.Verified(ctx, now.OrganizationID, domain)
				if err != nil {
					return err
				}
				verified[domain] = ok
			}
			candidates[h.IdentityID] = candidates[h.IdentityID] || verified[domain]
		}
	}
	return nil
}

// bySubject adds those who signed in through the directory's connection under a name of a person to be provisioned.
func (s *Service) bySubject(ctx context.Context, p Provision, candidates map[string]bool) error {
	if p.ConnectionID == "" {
		return nil
	}
	var ids []string
	for _, subject := range []string{p.ExternalID, p.UserName} {
		if linkID := id.Hash(p.ConnectionID, subject); subject != "" && !slices.Contains(ids, linkID) {
			ids = append(ids, linkID)
		}
	}
	found, err := s.links.GetMany(ctx, ids)
	if err != nil || len(found) == 0 {
		return err
	}
	people := make([]string, len(found))
	for i, l := range found {
		people[i] = l.IdentityID
	}
	list, err := s.repo.GetMany(ctx, people)
	for _, i := range list {
		switch {
		case i.OrganizationID != p.OrganizationID:
		case i.DirectoryID == "":
			candidates[i.ID] = true
		case i.DirectoryID != p.DirectoryID: // two directories say that they have this person
			candidates[i.ID] = false
		}
	}
	return err
}

// adopt makes a person who signed in before one whom a directory provisions.
func (s *Service) adopt(ctx context.Context, p Provision, old Identity) (Identity, []store.Op, []events.Event, error) {
	now := old.next()
	if len(now.Profile) == 0 && !old.ByAdmin {
		now.Profile = old.Traits
	}
	p.describe(&now)
	now.ByAdmin = false
	now.setActive(p.Active)
	now.Provisioned = p.Active
	known, err := s.readNames(ctx, changed(old, now))
	if err != nil {
		return Identity{}, nil, nil, err
	}
	return s.provisioned(ctx, p, old, now, known, s.repo.Update, events.IdentityUpdated, events.PolisUserCreated)
}

// setActive ends all access where it deactivates.
func (i *Identity) setActive(active bool) {
	if i.Active && !active {
		i.Epoch++
	}
	i.Active = active
}

// Reprovision changes an identity, as it was read, to what its directory says now. As Provision.
func (s *Service) Reprovision(ctx context.Context, i Identity, p Provision) (Identity, []store.Op, []events.Event, error) {
	now := i.next()
	p.describe(&now)
	if p.Active != i.Provisioned {
		now.setActive(p.Active)
	}
	now.Provisioned = p.Active
	var known map[string]name
	if ids := changed(i, now); len(ids) > 0 {
		var err error
		if known, err = s.readNames(ctx, ids); err != nil {
			return Identity{}, nil, nil, err
		}
		if err = s.free(i, now, known); err != nil {
			return Identity{}, nil, nil, err
		}
	}
	return s.provisioned(ctx, p, i, now, known, s.repo.Update, events.IdentityUpdated, events.PolisUserUpdated)
}

// free refuses a name, new to a provisioned person, by which somebody else goes: an address of one who is not of the directory,
// or a user name or external id by which a connection knows somebody.
func (s *Service) free(before, now Identity, known map[string]name) error {
	old := before.uses()
	for nameID, as := range now.uses() {
		as &^= old[nameID]
		for _, h := range known[nameID].Holders {
			address := as&h.As&asAddress != 0 && h.DirectoryID != now.DirectoryID
			subject := as&(asUserName|asExternalID) != 0 && h.As&asSubject != 0
			if h.IdentityID != now.ID && (address || subject) {
				return fault.New(fault.Taken, Uniqueness, "The organization has another person with this address, userName or externalId.")
			}
		}
	}
	return nil
}

// provisioned makes the operations on an identity, its password and its names, and the event.
func (s *Service) provisioned(ctx context.Context, p Provision, before, now Identity, known map[string]name,
	write func(Identity) store.Op, eventType, polis string) (Identity, []store.Op, []events.Event, error) {
	kept, err := s.keep(ctx, p.Password, &now)
	if err != nil {
		return Identity{}, nil, nil, err
	}
	renamed, err := s.rename(before, now, known)
	if err != nil {
		return Identity{}, nil, nil, err
	}
	ops := slices.Concat([]store.Op{write(now)}, kept, renamed, s.endings(before, now))
	active := now.Active
	return now, ops, []events.Event{p.event(now, eventType, polis, &active)}, nil
}

func (p Provision) event(i Identity, eventType, polis string, active *bool) events.Event {
	return events.Event{Type: eventType, Polis: polis, ProjectID: i.ProjectID, OrganizationID: i.OrganizationID, DirectoryID: i.DirectoryID,
		ResourceType: Resource, ResourceID: i.ID, Seq: i.EventSeq, Time: p.Now, ScimClient: p.ScimClient, IdentityActive: active, Data: p.Data}
}

// Resource is the resource type of the events of identities.
const Resource = "identity"

// Deprovision removes an identity, as it was read, with all that belongs to it: whatever was given to the person refuses from
// then on. Of p it takes Now, ScimClient, Data and Departs.
func (s *Service) Deprovision(ctx context.Context, i Identity, p Provision) ([]store.Op, []events.Event, error) {
	ops, err := s.removal(ctx, i)
	if err != nil {
		return nil, nil, err
	}
	if p.Departs {
		noted, err := s.depart(ctx, ops, p.Now)
		if err != nil {
			return nil, nil, err
		}
		ops = append(ops, noted...)
	}
	return ops, []events.Event{p.event(i.next(), events.IdentityDeleted, polisOf(i, events.PolisUserDeleted), nil)}, nil
}

// polisOf is the name of an event for Polis, which knows only people whom a directory provisions.
func polisOf(i Identity, name string) string {
	if i.DirectoryID == "" {
		return ""
	}
	return name
}

// removal is the operations that remove an identity; the first is on itself.
func (s *Service) removal(ctx context.Context, i Identity) ([]store.Op, error) {
	ops := []store.Op{s.repo.Delete(i), s.ending(i.ID)}
	owned, err := s.links.Range(ctx, store.Range{Index: "by_identity", Eq: []string{i.ID}, Limit: maxLinks + 1})
	if err != nil {
		return nil, err
	}
	for _, l := range owned {
		ops = append(ops, s.links.Delete(l))
	}
	known, err := s.readNames(ctx, changed(i, Identity{}))
	if err != nil {
		return nil, err
	}
	renamed, err := s.rename(i, Identity{}, known)
	if err != nil {
		return nil, err
	}
	ops = append(ops, renamed...)
	if i.HasPassword {
		p, err := s.passwords.Get(ctx, i.ID)
		if err == nil {
			ops = append(ops, s.passwords.Delete(p))
		} else if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	return ops, nil
}

// maxLinks bounds the subjects of one person, and so the operations that remove one.
const maxLinks = 100

// Touch gives an identity the number of its next event and changes nothing else: its membership changed. e says what
// happened; the resource, number and activity are set here.
func (s *Service) Touch(i Identity, e events.Event) (store.Op, events.Event) {
	now := i.next()
	active := now.Active
	e.Type, e.ResourceType, e.ResourceID, e.Seq, e.IdentityActive = events.IdentityUpdated, Resource, now.ID, now.EventSeq, &active
	e.ProjectID, e.OrganizationID, e.DirectoryID = now.ProjectID, now.OrganizationID, now.DirectoryID
	return s.repo.Update(now), e
}
