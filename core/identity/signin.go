package identity

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/store"
)

// Login is who signed in: a subject as one connection of one organization names it.
type Login struct {
	ProjectID, OrganizationID, ConnectionID string
	Subject                                 string
	// Foreign says that the identity provider signs in people of anybody. Its subjects are no names of this organization's
	// people, and its addresses prove nothing.
	Foreign bool
	// Address is the person's, where the identity provider may be believed that it is; else "".
	Address string
	Traits  json.RawMessage // JSON object
}

// SignIn finds the identity of a login, or makes it on the first one. A person whom a directory provisions is known at the
// first login by subject (externalId or userName) or address; so is one whom an administrator made, by an address in a domain
// that is verified for the organization. The operations it returns belong into the commit that completes the login; there are
// none when nothing changed. Call Woken behind it.
//
// Faults: Forbidden for an identity that is inactive, or that a directory has removed (identity_inactive), or where several people fit (identity_ambiguous).
// A commit that answers ErrConflict, or for which SignInRaced says so, met another one of the same person: rerun.
func (s *Service) SignIn(ctx context.Context, in Login) (Identity, []store.Op, error) {
	linkID := id.Hash(in.ConnectionID, in.Subject)
	l, err := s.links.Get(ctx, linkID)
	if fault.Is(err, fault.NotFound) {
		return s.firstSignIn(ctx, in, linkID)
	}
	if err != nil {
		return Identity{}, nil, err
	}
	i, err := s.repo.Get(ctx, l.IdentityID)
	if err != nil {
		return Identity{}, nil, err
	}
	if !i.Active || i.OrganizationID != in.OrganizationID {
		return Identity{}, nil, inactive()
	}
	return s.seen(ctx, i, in)
}

func inactive() error {
	return fault.New(fault.Forbidden, "identity_inactive", "This account is deactivated. Ask your administrator.")
}

// seen writes down what a login says of a known person, where that is new.
func (s *Service) seen(ctx context.Context, i Identity, in Login) (Identity, []store.Op, error) {
	if i.DirectoryID != "" || i.ByAdmin {
		if string(i.Profile) == string(in.Traits) {
			return i, nil, nil
		}
		i.Profile, i.UpdatedAt = in.Traits, s.now()
		return i, []store.Op{s.repo.Update(i)}, nil
	}
	before := i
	i.goBy(in)
	ids := changed(before, i)
	if string(i.Traits) == string(in.Traits) && len(ids) == 0 {
		return i, nil, nil
	}
	renamed, err := s.nameAll(ctx, before, &i, ids)
	if err != nil {
		return Identity{}, nil, err
	}
	i.Traits, i.UpdatedAt = in.Traits, s.now()
	i.EventSeq++
	ops := append([]store.Op{s.repo.Update(i)}, renamed...)
	return i, append(ops, s.tell(i, events.IdentityUpdated)), nil
}

// goBy takes over what a login says of the names of a person whom nobody else describes.
func (i *Identity) goBy(in Login) {
	if in.Address != "" {
		i.Addresses = addresses([]string{in.Address})
	}
	if !in.Foreign {
		i.Subject = in.Subject
	}
}

// nameAll is rename for a person who signs in: where a name has too many holders, the person keeps to the names of before.
func (s *Service) nameAll(ctx context.Context, before Identity, now *Identity, ids []string) ([]store.Op, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	known, err := s.readNames(ctx, ids)
	if err != nil {
		return nil, err
	}
	ops, err := s.rename(before, *now, known)
	if fault.Is(err, fault.Taken) {
		now.Addresses, now.Subject = before.Addresses, before.Subject
		return nil, nil
	}
	return ops, err
}

func (s *Service) firstSignIn(ctx context.Context, in Login, linkID string) (Identity, []store.Op, error) {
	now := s.now()
	l := link{ID: linkID, Connection: in.ConnectionID, Subject: in.Subject, CreatedAt: now}
	known, err := s.expected(ctx, in)
	if err != nil {
		return Identity{}, nil, err
	}
	if known.ID != "" {
		l.IdentityID = known.ID
		return s.link(ctx, known, in, l)
	}
	if err := s.stays(ctx, in); err != nil {
		return Identity{}, nil, err
	}
	i := Identity{
		ID: s.IDs.UUID(), ProjectID: in.ProjectID, OrganizationID: in.OrganizationID, EventSeq: 1,
		Active: true, Epoch: 1, Traits: in.Traits, CreatedAt: now, UpdatedAt: now,
	}
	i.goBy(in)
	renamed, err := s.nameAll(ctx, Identity{}, &i, changed(Identity{}, i))
	if err != nil {
		return Identity{}, nil, err
	}
	l.IdentityID = i.ID
	ops := append([]store.Op{s.repo.Insert(i), s.links.Insert(l)}, renamed...)
	return i, append(ops, s.tell(i, events.IdentityCreated)), nil
}

// link lets a known person in by one more subject. The identity is written, so that whoever removes it meanwhile, and with it
// its links, meets this one.
func (s *Service) link(ctx context.Context, i Identity, in Login, l link) (Identity, []store.Op, error) {
	owned, err := s.links.Count(ctx, store.Range{Index: "by_identity", Eq: []string{i.ID}})
	if err != nil {
		return Identity{}, nil, err
	}
	if owned >= maxLinks {
		return Identity{}, nil, fault.New(fault.Forbidden, "too_many_links", "This account has signed in under too many names. Ask your administrator.")
	}
	i.Profile, i.UpdatedAt = in.Traits, s.now()
	return i, []store.Op{s.repo.Update(i), s.links.Insert(l)}, nil
}

// expected finds the person, known by name, to whom a subject without a link belongs; nobody has no ID.
func (s *Service) expected(ctx context.Context, in Login) (Identity, error) {
	if in.Foreign {
		return Identity{}, nil
	}
	people, err := s.named(ctx, in)
	if err != nil {
		return Identity{}, err
	}
	var fitting []bearer
	for _, i := range people {
		fits, own, err := s.fits(ctx, i, in)
		if err != nil {
			return Identity{}, err
		}
		if fits {
			fitting = append(fitting, bearer{i, own})
		}
	}
	found := owners(fitting)
	if slices.ContainsFunc(found, func(i Identity) bool { return !i.Active }) {
		return Identity{}, inactive()
	}
	switch len(found) {
	case 0:
		return Identity{}, nil
	case 1:
		return found[0], nil
	}
	return Identity{}, fault.New(fault.Forbidden, "identity_ambiguous", "Several accounts could be yours. Ask your administrator.")
}

// named reads the people who go by the subject or address of a login.
func (s *Service) named(ctx context.Context, in Login) ([]Identity, error) {
	ids := []string{nameID(in.OrganizationID, in.Subject)}
	if in.Address != "" {
		ids = append(ids, nameID(in.OrganizationID, in.Address))
	}
	return s.holders(ctx, ids)
}

func (s *Service) holders(ctx context.Context, nameIDs []string) ([]Identity, error) {
	known, err := s.readNames(ctx, nameIDs)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, n := range known {
		for _, h := range n.Holders {
			ids = append(ids, h.IdentityID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return s.repo.GetMany(ctx, distinct(ids))
}

// fits says whether a person who goes by a name of a login is the one who signs in, and whether by a name that is the person's
// own. Of people whom no directory provisions only an inactive one does, by address or subject: whoever was shut out does not
// come back through another connection; and one whom an administrator made, by address.
func (s *Service) fits(ctx context.Context, i Identity, in Login) (fits, own bool, err error) {
	as := i.uses()
	bySubject, byAddress := as[nameID(i.OrganizationID, in.Subject)], use(0)
	if in.Address != "" {
		byAddress = as[nameID(i.OrganizationID, in.Address)]
	}
	address := byAddress&asAddress != 0
	own = i.ExternalID == in.Subject || (bySubject|byAddress)&asUserName != 0
	switch {
	case i.OrganizationID != in.OrganizationID:
	case i.DirectoryID != "":
		return address || own, own, nil
	case !i.Active:
		return address || bySubject&asSubject != 0, own, nil
	case i.ByAdmin && address:
		fits, err = s.Organizations.Verified(ctx, i.OrganizationID, domainOf(in.Address))
		return fits, own, err
	}
	return false, false, nil
}

// tell is the operation that tells an event of a person in the commit that makes it.
func (s *Service) tell(i Identity, eventType string) store.Op {
	active := i.Active
	e := events.Event{Type: eventType, ProjectID: i.ProjectID, OrganizationID: i.OrganizationID, DirectoryID: i.DirectoryID,
		ResourceType: Resource, ResourceID: i.ID, Seq: i.EventSeq, IdentityActive: &active, Data: i.data()}
	if eventType == events.IdentityDeleted {
		e.IdentityActive = nil
	}
	return s.Events.Outbox(i.ProjectID, e)
}

// data is what events say of a person whom no directory describes.
func (i Identity) data() json.RawMessage {
	body, err := json.Marshal(struct {
		ID             string          `json:"id"`
		Active         bool            `json:"active"`
		Traits         json.RawMessage `json:"traits,omitempty"`
		MetadataPublic json.RawMessage `json:"metadata_public,omitempty"`
	}{i.ID, i.Active, i.Traits, i.MetadataPublic})
	if err != nil {
		panic("identity: traits that were read as JSON cannot be written: " + err.Error())
	}
	return body
}

// SignInRaced reports whether a commit of SignIn's operations met another one of the same person or name.
func SignInRaced(err error) bool { return store.Taken(err, links, "") || store.Taken(err, names, "") }

// Woken has the events of a commit told at once.
func (s *Service) Woken(projectID string) { s.Events.Wake(projectID) }
