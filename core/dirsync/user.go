package dirsync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// user is a SCIM user: what the client sent. The identity of the same id is what the directory's mapping makes of it. Its
// version is that of the SCIM resource.
type user struct {
	ID          string          `json:"id"`
	DirectoryID string          `json:"directoryId"`
	UserName    string          `json:"userName"`
	DisplayName string          `json:"displayName,omitempty"`
	Resource    json.RawMessage `json:"resource"` // without id, meta, groups and password
	CreatedAt   time.Time       `json:"createdAt"`
	ChangedAt   time.Time       `json:"changedAt"`

	version int64
}

const (
	users      = "scim_users"
	byUserName = "by_user_name"
	byDisplay  = "by_display"
	byCreated  = "by_created"
	byChanged  = "by_changed"
)

var userCollection = store.Collection{Name: users, Sealed: true, Keys: record.Keys(userHead), Indexes: []store.Index{
	{Name: byUserName, Fields: []string{"directory", "user_name"}, Unique: true},
	{Name: byDisplay, Fields: []string{"directory", "display"}},
	{Name: byCreated, Fields: []string{"directory", "created"}},
	{Name: byChanged, Fields: []string{"directory", "changed"}},
}}

func userHead(u user) store.Doc {
	return store.Doc{ID: u.ID, Version: u.version, Keys: map[string]string{"directory": u.DirectoryID, "user_name": key.Fold(u.UserName),
		"display": key.Fold(u.DisplayName), "created": key.Time(u.CreatedAt), "changed": key.Time(u.ChangedAt)}}
}

// encode writes what is known to be JSON.
func encode(v any) json.RawMessage {
	body, err := json.Marshal(v)
	if err != nil {
		panic("dirsync: a value that was read as JSON cannot be written: " + err.Error())
	}
	return body
}

func decode(body json.RawMessage) (scim.Resource, error) {
	var r scim.Resource
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("dirsync: read a resource: %w", err)
	}
	return r, nil
}

// bare is a resource without what the server says of it, and its password.
func bare(r scim.Resource) (out scim.Resource, password *string) {
	out = maps.Clone(r)
	if text, ok := out["password"].(string); ok {
		password = &text
	}
	for _, name := range []string{"id", "meta", "groups", "password"} {
		delete(out, name)
	}
	return out, password
}

func text(r scim.Resource, name string) string {
	s, _ := r[name].(string)
	return s
}

func (u *user) set(r scim.Resource, now time.Time) {
	u.UserName, u.DisplayName, u.Resource, u.ChangedAt = text(r, "userName"), text(r, "displayName"), encode(r), now
}

// whole is the resource with what the server says of it.
func whole(body json.RawMessage, id, kind string, version int64, created, changed time.Time) (Object, error) {
	r, err := decode(body)
	if err != nil {
		return Object{}, err
	}
	const layout = "2006-01-02T15:04:05.000Z"
	r["id"] = id
	r["meta"] = map[string]any{"resourceType": kind, "created": created.UTC().Format(layout), "lastModified": changed.UTC().Format(layout),
		"version": fmt.Sprintf(`W/"%d"`, version)}
	return Object{ID: id, Version: version, Resource: r, Created: created, Modified: changed}, nil
}

func (u user) object() (Object, error) {
	return whole(u.Resource, u.ID, "User", u.version, u.CreatedAt, u.ChangedAt)
}

// groupsShown is what a user shows of the groups of which they are a direct member.
func (s *Service) groupsShown(ctx context.Context, d Directory, userID string) ([]any, error) {
	list, err := s.groupsOf(ctx, d, userID)
	shown := make([]any, len(list))
	for i, g := range list {
		shown[i] = map[string]any{"value": g.ID, "display": g.DisplayName, "type": "direct"}
	}
	return shown, err
}

// in is the user with groups.
func (o Object) in(groups []any) Object {
	if len(groups) > 0 {
		o.Resource["groups"] = groups
	}
	return o
}

func (s *Service) addGroups(ctx context.Context, d Directory, o *Object) error {
	groups, err := s.groupsShown(ctx, d, o.ID)
	*o = o.in(groups)
	return err
}

// userOf reads a user of a directory. Faults: NotFound.
func (s *Service) userOf(ctx context.Context, d Directory, userID string) (user, error) {
	u, err := s.users.Get(ctx, userID)
	if err == nil && u.DirectoryID != d.ID {
		return user{}, fault.New(fault.NotFound, "not_found", "No such user.")
	}
	return u, err
}

// writing is a write of one user under way: what is the same whenever it is tried again.
type writing struct {
	s        *Service
	d        Directory
	now      time.Time
	password *string
	hashed   *identity.Hashed
}

// provision is what the directory says of a user.
func (w *writing) provision(ctx context.Context, userID string, r scim.Resource) (identity.Provision, error) {
	p, err := w.s.mapped(ctx, w.d, userID, r)
	if err != nil {
		return p, err
	}
	p.ID, p.Now, p.ProjectID, p.OrganizationID, p.DirectoryID = userID, w.now, w.d.ProjectID, w.d.OrganizationID, w.d.ID
	p.ScimClient, p.ConnectionID, p.UserName, p.ExternalID = w.d.ClientID, w.d.ConnectionID, text(r, "userName"), text(r, "externalId")
	if w.password != nil && w.hashed == nil {
		h, err := w.s.Identities.Hash(ctx, *w.password)
		if err != nil {
			return p, err
		}
		w.hashed = &h
	}
	p.Password = w.hashed
	if p.Addresses, err = addressesOf(r); err != nil {
		return p, err
	}
	p.Data = polisUser(userID, encode(r))
	return p, nil
}

func addressesOf(r scim.Resource) ([]string, error) {
	list, _ := r["emails"].([]any)
	var out []string
	for _, e := range list {
		m, _ := e.(map[string]any)
		if address, ok := m["value"].(string); ok && address != "" {
			out = append(out, address)
		}
	}
	if len(out) > identity.MaxAddresses {
		return nil, fault.At("emails", "too_many_addresses", "A user has at most 100 email addresses.")
	}
	return out, nil
}

// CreateUser provisions a user: r is as scim.User.Read gives it. A user of the directory with its externalId or userName who
// was deactivated is taken up again, and a person who signed in before where that is safe.
// Faults: Taken uniqueness, Invalid, Invalid mapping_failed.
func (s *Service) CreateUser(ctx context.Context, d Directory, r scim.Resource) (Changed, error) {
	w := &writing{s: s, d: d, now: s.now()}
	r, w.password = bare(r)
	c, err := w.create(ctx, r, false)
	var known *identity.KnownError
	if errors.As(err, &known) {
		return s.createKnown(ctx, w, r, known.IDs)
	}
	return c, err
}

// create creates a user. Where others of the directory have its userName or externalId it fails with *identity.KnownError,
// unless it is to be beside them.
func (w *writing) create(ctx context.Context, r scim.Resource, beside bool) (Changed, error) {
	s, d, newID := w.s, w.d, w.s.IDs.UUID()
	first, err := w.provision(ctx, newID, r)
	if err != nil {
		return Changed{}, err
	}
	var u user
	err = s.once(ctx, func() ([]store.Op, error) {
		i, ops, told, err := w.identified(ctx, first, r, beside)
		if err != nil {
			return nil, err
		}
		u = user{ID: i.ID, DirectoryID: d.ID, CreatedAt: w.now}
		u.set(r, w.now)
		return append(ops, s.users.Insert(u), s.Events.Outbox(d.ProjectID, told...)), nil
	})
	if err != nil {
		return Changed{}, err
	}
	s.woken(d)
	u.version = 1
	o, err := u.object() // nobody puts somebody into a group whom the directory does not have yet
	return Changed{Object: o, Done: true, Adopted: u.ID != newID}, err
}

// identified is identity.Provision. A person who was there before keeps the id: then p, which was of a new one, is made anew.
func (w *writing) identified(ctx context.Context, p identity.Provision, r scim.Resource, beside bool) (i identity.Identity, ops []store.Op, told []events.Event, err error) {
	newID, described := p.ID, p.ID
	for {
		p.ID, p.Beside = newID, beside
		i, ops, told, err = w.s.Identities.Provision(ctx, p)
		if err != nil || i.ID == described {
			return i, ops, told, err
		}
		described = i.ID
		if p, err = w.provision(ctx, described, r); err != nil {
			return i, nil, nil, err
		}
	}
}

// resumes reports whether a creation takes up again a user who is there: one who was deactivated, or one of whom it was never
// said that they are active, and now is. Who says neither twice asks for two users, and not for one to come back.
func resumes(old, r scim.Resource) bool {
	return old["active"] == false || old["active"] == nil && r["active"] == true
}

// createKnown creates a user where others of the directory have its userName or externalId: one who comes back is taken up.
func (s *Service) createKnown(ctx context.Context, w *writing, r scim.Resource, ids []string) (Changed, error) {
	docs, err := s.users.GetMany(ctx, ids)
	if err != nil {
		return Changed{}, err
	}
	var again []user
	for _, u := range docs {
		same := key.Fold(u.UserName) == key.Fold(text(r, "userName"))
		old, err := decode(u.Resource)
		switch {
		case err != nil:
			return Changed{}, err
		case u.DirectoryID != w.d.ID:
		case resumes(old, r) && (same || text(old, "externalId") == text(r, "externalId") && text(r, "externalId") != ""):
			again = append(again, u)
			if same { // whoever has the userName comes first: nobody else can have it
				again = []user{u}
			}
		case same:
			return Changed{}, s.taken(&store.TakenError{Collection: users, Index: byUserName})
		}
		if same && len(again) > 0 {
			break
		}
	}
	if len(again) == 0 {
		return w.create(ctx, r, true) // those of its externalId are active
	}
	c, err := s.changeUser(ctx, w, again[0].ID, nil, func(scim.Resource) (scim.Resource, *string, error) { return r, w.password, nil })
	c.Adopted = true
	return c, err
}

// User reads a user. noGroups leaves its groups out. Faults: NotFound.
func (s *Service) User(ctx context.Context, d Directory, userID string, noGroups bool) (Object, error) {
	u, err := s.userOf(ctx, d, userID)
	switch {
	case err != nil:
		return Object{}, err
	case noGroups:
		return u.object()
	}
	o, err := u.object()
	if err == nil {
		err = s.addGroups(ctx, d, &o)
	}
	return o, err
}

// ReplaceUser makes r the user. Faults: NotFound, Conflict version_mismatch, Taken uniqueness, Invalid.
func (s *Service) ReplaceUser(ctx context.Context, d Directory, userID string, r scim.Resource, m Match) (Changed, error) {
	w := &writing{s: s, d: d, now: s.now()}
	r, password := bare(r)
	return s.changeUser(ctx, w, userID, m, func(scim.Resource) (scim.Resource, *string, error) { return r, password, nil })
}

// PatchUser changes a user by the operations of scim.ReadPatch. Faults: as ReplaceUser, and *scim.Error.
func (s *Service) PatchUser(ctx context.Context, d Directory, userID string, ops []scim.Operation, m Match) (Changed, error) {
	w := &writing{s: s, d: d, now: s.now()}
	left := s.IDs.UUID() // stands for the password that is there, for which the resource has no place
	return s.changeUser(ctx, w, userID, m, func(r scim.Resource) (scim.Resource, *string, error) {
		r["password"] = left
		if _, err := scim.User.Patch(r, ops); err != nil {
			return nil, nil, err
		}
		r, password := bare(r)
		switch {
		case password == nil:
			password = new("") // it was removed
		case *password == left:
			password = nil
		}
		return r, password, nil
	})
}

// changeUser writes a user as alter makes it of the resource that is there, which alter may change.
func (s *Service) changeUser(ctx context.Context, w *writing, userID string, m Match, alter func(scim.Resource) (scim.Resource, *string, error)) (Changed, error) {
	var u user
	var groups []any // read before: what fails behind the commit would say that nothing was done
	var done bool
	err := s.once(ctx, func() (ops []store.Op, err error) {
		done = false
		if u, err = s.userOf(ctx, w.d, userID); err != nil {
			return nil, err
		}
		if groups, err = s.groupsShown(ctx, w.d, userID); err != nil {
			return nil, err
		}
		if !m.met(u.version) {
			return nil, mismatch()
		}
		old, err := decode(u.Resource)
		if err != nil {
			return nil, err
		}
		r, password, err := alter(scim.Clone(old))
		if err != nil {
			return nil, err
		}
		w.password = password
		if password == nil && scim.Equal(old, r) {
			return nil, nil
		}
		i, err := s.Identities.Get(ctx, userID)
		if err != nil {
			return nil, err
		}
		if password != nil && *password == "" && !i.HasPassword && scim.Equal(old, r) { // it has none
			return nil, nil
		}
		p, err := w.provision(ctx, userID, r)
		if err != nil {
			return nil, err
		}
		_, identityOps, told, err := s.Identities.Reprovision(ctx, i, p)
		if err != nil {
			return nil, err
		}
		u.set(r, w.now)
		done = true
		ops = append([]store.Op{s.users.Update(u)}, identityOps...)
		return append(ops, s.Events.Outbox(w.d.ProjectID, told...)), nil
	})
	if err != nil {
		return Changed{}, err
	}
	if done {
		u.version++
		s.woken(w.d)
	}
	o, err := u.object()
	return Changed{Object: o.in(groups), Done: done}, err
}

func (s *Service) woken(d Directory) {
	s.Events.Wake(d.ProjectID)
	s.Leases.Wake()
}

// DeleteUser removes a user and the identity. Faults: NotFound, Conflict version_mismatch.
func (s *Service) DeleteUser(ctx context.Context, d Directory, userID string, m Match) error {
	now := s.now()
	for {
		more := false
		err := s.once(ctx, func() ([]store.Op, error) {
			u, err := s.userOf(ctx, d, userID)
			if err != nil {
				return nil, err
			}
			if !m.met(u.version) {
				return nil, mismatch()
			}
			leaving, left, err := s.leave(ctx, userID, now)
			if more = left; err != nil || more {
				return leaving, err
			}
			i, err := s.Identities.Get(ctx, userID)
			if fault.Is(err, fault.NotFound) { // the organization's people were removed
				return append([]store.Op{s.users.Delete(u)}, leaving...), nil
			}
			if err != nil {
				return nil, err
			}
			ops, told, err := s.Identities.Deprovision(ctx, i, identity.Provision{Now: now, ScimClient: d.ClientID, Data: polisUser(u.ID, u.Resource), Departs: !d.Deleted})
			if err != nil {
				return nil, err
			}
			ops = append([]store.Op{s.users.Delete(u)}, append(ops, leaving...)...)
			return append(ops, s.Events.Outbox(d.ProjectID, told...)), nil
		})
		if err != nil || !more {
			s.woken(d)
			return err
		}
	}
}

// maxLeaving bounds the groups that one commit takes a member out of.
const maxLeaving = 100

// leave is the operations that take a member out of its groups, whose versions rise; left says that there are more groups.
func (s *Service) leave(ctx context.Context, memberID string, now time.Time) (ops []store.Op, left bool, err error) {
	in, err := s.members.Range(ctx, store.Range{Index: byMember, Eq: []string{memberID}, Limit: maxLeaving + 1})
	if err != nil || len(in) == 0 {
		return nil, false, err
	}
	if left = len(in) > maxLeaving; left {
		in = in[:maxLeaving]
	}
	var ids []string
	for _, m := range in {
		ops = append(ops, s.members.Delete(m))
		ids = append(ids, m.GroupID)
	}
	list, err := s.groups.GetMany(ctx, ids)
	for _, g := range list {
		if !g.Deleted { // a job takes that one away
			g.ChangedAt = now
			ops = append(ops, s.groups.Update(g))
		}
	}
	return ops, left, err
}

// person is what Polis shows of a user (contract §3.1), and where it stands in the resource.
type person struct {
	UserName string
	Name     struct{ GivenName, FamilyName string }
	Emails   []struct{ Value string }
	Roles    []struct{ Value string }
	Active   bool
}

func personOf(resource json.RawMessage) (p person) {
	_ = json.Unmarshal(resource, &p) // what does not fit is left out
	return p
}

func (p person) email() string {
	if len(p.Emails) > 0 {
		return p.Emails[0].Value
	}
	return p.UserName
}

func (p person) roles() (list []string) {
	for _, r := range p.Roles {
		if r.Value != "" {
			list = append(list, r.Value)
		}
	}
	return list
}

type shownUser struct {
	ID        string          `json:"id"`
	FirstName string          `json:"first_name"`
	LastName  string          `json:"last_name"`
	Email     string          `json:"email"`
	Active    bool            `json:"active"`
	Roles     []string        `json:"roles,omitempty"`
	Raw       json.RawMessage `json:"raw"`
	Group     *shownGroup     `json:"group,omitempty"`
}

func shown(id string, resource json.RawMessage) shownUser {
	p := personOf(resource)
	return shownUser{ID: id, FirstName: p.Name.GivenName, LastName: p.Name.FamilyName, Email: p.email(), Active: p.Active, Roles: p.roles(), Raw: withID(id, resource)}
}

// withID writes the id into a resource, which is not empty.
func withID(id string, resource json.RawMessage) json.RawMessage {
	head := `{"id":"` + id + `",`
	return append([]byte(head), bytes.TrimPrefix(bytes.TrimSpace(resource), []byte("{"))...)
}

func polisUser(id string, resource json.RawMessage) json.RawMessage {
	return encode(shown(id, resource))
}

// PolisUser is a user as Polis shows it: id, first_name, last_name, email, active, roles and raw.
func (s *Service) PolisUser(o Object) map[string]any {
	r, _ := bare(o.Resource)
	var out map[string]any
	_ = json.Unmarshal(polisUser(o.ID, encode(r)), &out)
	return out
}
