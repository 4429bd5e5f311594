package identity

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/ports/store"
)

// name is one name by which people of an organization go, without regard to case, and who they are: an address, a user name,
// an external id or a connection's subject. Whoever takes or gives up a name writes its document, so two who would be one person meet there.
type name struct {
	ID      string   `json:"id"` // hash of organization and folded name
	Holders []holder `json:"holders"`
	// ExpiresAt is when a name that nobody goes by any more is forgotten. Were it at once, its versions would begin anew, and
	// who read it before would put back who had it then.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`

	version int64
}

// holder is one who goes by a name.
type holder struct {
	IdentityID  string `json:"identityId"`
	DirectoryID string `json:"directoryId,omitempty"`
	As          use    `json:"as"`
}

// use says as what somebody goes by a name: several may be true.
type use uint8

const (
	asAddress use = 1 << iota
	asUserName
	asExternalID
	asSubject
)

const (
	names = "identity_names"
	// maxHolders bounds the document of a name that a directory gives to everybody.
	maxHolders = 100
	// forgotten is how long a name is kept that nobody goes by: longer than any request takes.
	forgotten = time.Hour
)

func nameHead(n name) store.Doc {
	return store.Doc{ID: n.ID, Version: n.version, ExpiresAt: n.ExpiresAt}
}

func nameID(organizationID, text string) string { return id.Hash(organizationID, key.Fold(text)) }

// uses are the names of an identity by the ids of their documents.
func (i Identity) uses() map[string]use {
	all := make(map[string]use, len(i.Addresses)+3)
	add := func(text string, as use) {
		if text != "" {
			all[nameID(i.OrganizationID, text)] |= as
		}
	}
	for _, address := range i.Addresses {
		add(address, asAddress)
	}
	as := asUserName
	if isAddress(i.UserName) {
		as |= asAddress
	}
	add(i.UserName, as)
	add(i.ExternalID, asExternalID)
	add(i.Subject, asSubject)
	return all
}

func isAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@")
}

func domainOf(address string) string {
	_, domain, _ := strings.Cut(address, "@")
	return domain
}

// readNames reads the documents of names that there are.
func (s *Service) readNames(ctx context.Context, ids []string) (map[string]name, error) {
	list, err := s.names.GetMany(ctx, distinct(ids))
	found := make(map[string]name, len(list))
	for _, n := range list {
		found[n.ID] = n
	}
	return found, err
}

// rename is the operations that have an identity go by the names of now rather than those of before, of which one may be
// nobody. Names that both go by are left alone; known holds the documents of the others. Faults: Taken uniqueness.
func (s *Service) rename(before, now Identity, known map[string]name) ([]store.Op, error) {
	uses := now.uses()
	var ops []store.Op
	for _, nameID := range changed(before, now) {
		n, there := known[nameID]
		n.ID = nameID
		n.Holders = slices.DeleteFunc(slices.Clone(n.Holders), func(h holder) bool { return h.IdentityID == before.ID || h.IdentityID == now.ID })
		if as := uses[nameID]; as != 0 {
			if len(n.Holders) >= maxHolders {
				return nil, fault.New(fault.Taken, Uniqueness, "Too many people of the organization have the same address, user name or external id.")
			}
			n.Holders = append(n.Holders, holder{now.ID, now.DirectoryID, as})
		}
		if n.ExpiresAt = (time.Time{}); len(n.Holders) == 0 {
			n.ExpiresAt = s.now().Add(forgotten)
		}
		switch {
		case there:
			ops = append(ops, s.names.Update(n))
		case len(n.Holders) > 0:
			ops = append(ops, s.names.Insert(n))
		}
	}
	return ops, nil
}

// changed are the ids of the names that one of two states of an identity goes by otherwise than the other.
func changed(before, now Identity) []string {
	old, new := before.uses(), now.uses()
	moved := before.ID != now.ID || before.DirectoryID != now.DirectoryID
	var ids []string
	for nameID, as := range new {
		if moved || old[nameID] != as {
			ids = append(ids, nameID)
		}
	}
	for nameID := range old {
		if _, kept := new[nameID]; !kept {
			ids = append(ids, nameID)
		}
	}
	slices.Sort(ids)
	return ids
}

// bearer is one who goes by a name, which may be the person's own: a user name or external id, and no address among others,
// which people may give themselves at some identity providers.
type bearer struct {
	Identity
	own bool
}

// owners leaves out whoever goes by a name that is somebody's own in the same directory.
func owners(all []bearer) (left []Identity) {
	owned := map[string]bool{} // by directory
	for _, b := range all {
		owned[b.DirectoryID] = owned[b.DirectoryID] || b.own && b.DirectoryID != ""
	}
	for _, b := range all {
		if b.own || !owned[b.DirectoryID] {
			left = append(left, b.Identity)
		}
	}
	return left
}
