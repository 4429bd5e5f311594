package identity

import (
	"context"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/ports/password"
	"github.com/portico-sso/portico/ports/store"
)

// secret is the password of the identity whose id it has. It is in no answer, event or export of people.
type secret struct {
	ID        string    `json:"id"`
	Hash      string    `json:"hash"` // in PHC form
	ChangedAt time.Time `json:"changedAt"`

	version int64
}

const passwords = "identity_passwords"

// maxPassword is in bytes; hashing takes longer for more.
const maxPassword = 1024

// Hashed is a password as it is kept; of "" there is none any more.
type Hashed struct {
	hash string
	at   time.Time
}

// Hash makes a password ready to be kept. It takes long, so do it once, outside of what is tried again. Faults: Invalid at
// password; Unavailable where too many wait.
func (s *Service) Hash(ctx context.Context, text string) (Hashed, error) {
	if text == "" {
		return Hashed{at: s.now()}, nil
	}
	if len(text) > maxPassword {
		return Hashed{}, fault.At("password", "password_too_long", "A password has at most 1024 bytes.")
	}
	hash, err := s.Passwords.Hash(ctx, text)
	return Hashed{hash, s.now()}, busy(err)
}

func busy(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.Unavailable, "busy", "Too many passwords are being checked. Try again in a moment.")
}

// keep gives an identity a password, or takes it away; nil leaves it.
func (s *Service) keep(ctx context.Context, h *Hashed, i *Identity) (ops []store.Op, err error) {
	if h == nil || h.hash == "" && !i.HasPassword {
		return nil, nil
	}
	old, err := s.passwords.Get(ctx, i.ID)
	there := err == nil
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	i.HasPassword = h.hash != ""
	now := secret{ID: i.ID, Hash: h.hash, ChangedAt: h.at, version: old.version}
	switch {
	case i.HasPassword && there:
		return []store.Op{s.passwords.Update(now)}, nil
	case i.HasPassword:
		return []store.Op{s.passwords.Insert(now)}, nil
	case there:
		return []store.Op{s.passwords.Delete(old)}, nil
	}
	return nil, nil
}

// CheckPassword finds the person of an organization who goes by an address or user name and has this password. One fault,
// Unauthenticated wrong_password, says that there is no such person, no password or another one, and takes as long for each.
// Faults: Forbidden organization_inactive, passwords_off while the organization signs in through a connection, and
// identity_inactive; Unavailable busy.
func (s *Service) CheckPassword(ctx context.Context, organizationID, login, text string) (Identity, error) {
	if err := s.passwordsOn(ctx, organizationID); err != nil {
		return Identity{}, err
	}
	i, kept, err := s.withPassword(ctx, organizationID, login)
	if err != nil {
		return Identity{}, err
	}
	var right bool
	if len(text) <= maxPassword {
		right, err = s.Passwords.Verify(ctx, kept.Hash, text)
	}
	switch {
	case err != nil:
		return Identity{}, busy(err)
	case !right || i.ID == "":
		return Identity{}, fault.New(fault.Unauthenticated, "wrong_password", "The address or the password is wrong.")
	case !i.Active:
		return Identity{}, inactive()
	}
	return i, nil
}

// passwordsOn refuses while the organization is deactivated or, unless its setting says otherwise, has an active connection.
func (s *Service) passwordsOn(ctx context.Context, organizationID string) error {
	o, err := s.Organizations.Get(ctx, organizationID)
	if err == nil && !o.Active() {
		err = fault.New(fault.Forbidden, "organization_inactive", "This organization is deactivated. Ask your administrator.")
	}
	if err != nil || o.Settings.PasswordsBesideSSO {
		return err
	}
	connected, err := s.Connected(ctx, organizationID)
	if err == nil && connected {
		err = fault.New(fault.Forbidden, "passwords_off", "This organization signs in through its identity provider.")
	}
	return err
}

// withPassword finds the one person who goes by an address or user name and has a password; else nobody, and a hash that no
// password fits, so that looking takes as long.
func (s *Service) withPassword(ctx context.Context, organizationID, login string) (Identity, secret, error) {
	nobody := secret{Hash: password.Nobody}
	people, err := s.holders(ctx, []string{nameID(organizationID, login)})
	if err != nil {
		return Identity{}, nobody, err
	}
	var fitting []bearer
	for _, i := range people {
		if as := i.uses()[nameID(organizationID, login)]; i.HasPassword && as&(asAddress|asUserName) != 0 {
			fitting = append(fitting, bearer{i, as&asUserName != 0})
		}
	}
	found := owners(fitting)
	if len(found) != 1 {
		return Identity{}, nobody, nil
	}
	kept, err := s.passwords.Get(ctx, found[0].ID)
	if fault.Is(err, fault.NotFound) {
		return Identity{}, nobody, nil
	}
	return found[0], kept, err
}

// SetPassword gives a person a password, or takes it away where text is "". Faults: NotFound, Invalid, Unavailable busy.
func (s *Service) SetPassword(ctx context.Context, identityID, text string) error {
	h, err := s.Hash(ctx, text)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, identityID, func(i *Identity) ([]store.Op, error) { return s.keep(ctx, &h, i) })
	return err
}
