package dirsync

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/mapping"
	"github.com/portico-sso/portico/ports/store"
)

var clientID = regexp.MustCompile(`^[A-Za-z0-9_.~-]+$`)

// CreateDirectory makes a directory of an organization, with one secret (none for google).
// Faults: NotFound of the organization, Invalid, Taken at clientId.
func (s *Service) CreateDirectory(ctx context.Context, organizationID string, in DirectoryInput) (Directory, error) {
	now := s.now()
	d := Directory{ID: s.IDs.UUID(), OrganizationID: organizationID, Type: Generic, CreatedAt: now, EventSeq: 1}
	d.ClientID = d.ID
	if in.ClientID != nil {
		d.ClientID = *in.ClientID
	}
	if len(d.ClientID) > maxClientID || !clientID.MatchString(d.ClientID) || strings.Trim(d.ClientID, ".") == "" {
		return Directory{}, fault.At("clientId", "invalid", "A client id has up to 100 letters, digits and any of - _ . ~")
	}
	if in.Type != nil {
		d.Type = *in.Type
	}
	if !d.Type.known() {
		return Directory{}, fault.At("type", "invalid", "Invalid directory type.")
	}
	if err := d.speaks(); err != nil && in.Secret != nil {
		return Directory{}, err
	}
	if d.Type != GoogleAPI {
		secret, err := s.newSecret(in.Secret, time.Time{})
		if err != nil {
			return Directory{}, err
		}
		d.Secrets = []Secret{secret}
	}
	if err := s.describe(ctx, &d, in); err != nil {
		return Directory{}, err
	}
	err := s.once(ctx, func() ([]store.Op, error) {
		o, err := s.Organizations.Get(ctx, organizationID)
		if err != nil {
			return nil, err
		}
		if d.ProjectID = o.ProjectID; d.Label == "" {
			d.Label = "scim-" + o.Slug
		}
		return []store.Op{s.directories.Insert(d), s.Organizations.Check(o), s.tellOf(d, events.DirectoryCreated, events.PolisDirectoryCreated)}, nil
	})
	if store.Taken(err, directories, byClient) {
		return Directory{}, &fault.Error{Kind: fault.Taken, Code: "taken", Field: "clientId", Err: err, Message: "Another directory of the project has this client id."}
	}
	d.Version = 1
	s.cached.Clear()
	s.Events.Wake(d.ProjectID)
	return d, err
}

func (t Type) known() bool {
	for _, known := range Types {
		if known.Type == t {
			return true
		}
	}
	return false
}

func (s *Service) newSecret(chosen *string, expires time.Time) (Secret, error) {
	secret := Secret{ID: s.IDs.UUID(), CreatedAt: s.now(), ExpiresAt: expires}
	if chosen == nil || *chosen == "" {
		secret.Value = s.IDs.Secret("ds_")
		return secret, nil
	}
	secret.Value = *chosen
	if len(*chosen) < minChosen || len(*chosen) > maxChosen || strings.ContainsFunc(*chosen, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Secret{}, fault.At("secret", "invalid", "A secret has 16 to 512 visible ASCII characters.")
	}
	return secret, nil
}

// describe takes over what a caller chose, and checks it.
func (s *Service) describe(ctx context.Context, d *Directory, in DirectoryInput) error {
	if in.Label != nil {
		d.Label = strings.TrimSpace(*in.Label)
		if err := project.ValidName("label", d.Label); err != nil {
			return err
		}
	}
	if in.Mapping != nil {
		if err := s.checkMapping(ctx, d.OrganizationID, *in.Mapping); err != nil {
			return err
		}
		d.Mapping = *in.Mapping
	}
	if in.Active != nil {
		d.Deactivated = !*in.Active
	}
	if in.ConnectionID != nil {
		d.ConnectionID = *in.ConnectionID
	}
	if in.Quiet != nil {
		d.Quiet = *in.Quiet
	}
	if in.LogFor != nil {
		if *in.LogFor < 0 || *in.LogFor > maxLogFor {
			return fault.At("logFor", "invalid", "Requests are kept for up to 365 days.")
		}
		d.LogFor = int64(*in.LogFor / time.Second)
	}
	if in.LogWebhooks != nil {
		d.LogWebhooks = *in.LogWebhooks
	}
	if in.Webhook != nil {
		d.Webhook = *in.Webhook
	}
	if in.Google != nil {
		g := d.google()
		in.Google.give(&g)
		d.Google = &g
	}
	d.UpdatedAt = s.now()
	return nil
}

func (s *Service) checkMapping(ctx context.Context, organizationID, snippet string) error {
	if snippet == "" {
		return nil
	}
	err := s.Mapper.Check(ctx, organizationID, snippet)
	var wrong *mapping.Error
	if errors.As(err, &wrong) && wrong.Code != mapping.Unavailable {
		return &fault.Error{Kind: fault.Invalid, Code: "mapping_" + string(wrong.Code), Field: "mapping", Err: err, Message: placed(wrong)}
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "mapping_unavailable", "The mapping cannot be checked now. Try again in a moment.")
	}
	return nil
}

func placed(e *mapping.Error) string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// tellOf is the operation that tells an event of a directory.
func (s *Service) tellOf(d Directory, eventType, polis string) store.Op {
	return s.Events.Outbox(d.ProjectID, events.Event{Type: eventType, Polis: polis, OrganizationID: d.OrganizationID, DirectoryID: d.ID,
		ResourceType: "directory", ResourceID: d.ID, Seq: d.EventSeq, ScimClient: d.ClientID,
		Data: encode(map[string]any{"id": d.ID, "name": d.Label, "type": d.Type, "deactivated": d.Deactivated})})
}

// Directory reads a directory by id. Faults: NotFound, also of one that is being deleted.
func (s *Service) Directory(ctx context.Context, directoryID string) (Directory, error) {
	d, err := s.directories.Get(ctx, directoryID)
	if err == nil && d.Deleted {
		return Directory{}, fault.New(fault.NotFound, "not_found", "No such directory.")
	}
	return d, err
}

// DirectoryByClientID reads a directory of a project by its client id. Faults: NotFound.
func (s *Service) DirectoryByClientID(ctx context.Context, projectID, clientID string) (Directory, error) {
	return s.directories.First(ctx, store.Range{Index: byClient, Eq: []string{key.Text(projectID), key.Text(clientID)}})
}

// ListDirectories reads one page of an organization's directories, newest first.
func (s *Service) ListDirectories(ctx context.Context, organizationID string, limit int, after string) (record.Page[Directory], error) {
	return s.directories.List(ctx, store.Range{Index: byOrganization, Eq: []string{organizationID}, Desc: true, Limit: limit, After: after})
}

// CountDirectories counts an organization's directories.
func (s *Service) CountDirectories(ctx context.Context, organizationID string) (int64, error) {
	return s.directories.Count(ctx, store.Range{Index: byOrganization, Eq: []string{organizationID}})
}

// PageDirectories reads limit of an organization's directories, newest first, behind the first offset ones.
func (s *Service) PageDirectories(ctx context.Context, organizationID string, offset, limit int) ([]Directory, error) {
	return s.directories.Range(ctx, store.Range{Index: byOrganization, Eq: []string{organizationID}, Desc: true, Offset: offset, Limit: limit})
}

// PageProjectDirectories reads limit of a project's directories, newest first, behind the first offset ones.
func (s *Service) PageProjectDirectories(ctx context.Context, projectID string, offset, limit int) ([]Directory, error) {
	return s.directories.Range(ctx, store.Range{Index: byProject, Eq: []string{projectID}, Desc: true, Offset: offset, Limit: limit})
}

// change alters a directory that is not being deleted, and tells it where it was activated or deactivated.
func (s *Service) change(ctx context.Context, directoryID string, alter func(*Directory) error) (Directory, error) {
	var d Directory
	now := s.now()
	err := s.once(ctx, func() (ops []store.Op, err error) {
		if d, err = s.Directory(ctx, directoryID); err != nil {
			return nil, err
		}
		before := d.Active()
		if err := alter(&d); err != nil {
			return nil, err
		}
		d.UpdatedAt = now
		tell, polis := events.DirectoryActivated, events.PolisDirectoryActivated
		if !d.Active() {
			tell, polis = events.DirectoryDeactivated, events.PolisDirectoryDeactivated
		}
		if d.Deleted {
			tell, polis = events.DirectoryDeleted, events.PolisDirectoryDeleted
			ops = append(ops, s.Leases.Ask(jobDirectory, d.ID, nil))
		}
		if (before && !d.Active() || d.Deleted) && d.Type == GoogleAPI && s.Reader != nil {
			stop, err := s.Reader.Stop(ctx, d)
			if err != nil {
				return nil, err
			}
			ops = append(ops, stop...)
		}
		if before != d.Active() || d.Deleted {
			d.EventSeq++
			ops = append(ops, s.tellOf(d, tell, polis))
		}
		return append([]store.Op{s.directories.Update(d)}, ops...), nil
	})
	s.cached.Clear()
	d.Version++
	s.Events.Wake(d.ProjectID)
	s.Leases.Wake()
	return d, err
}

// UpdateDirectory changes a directory. Faults: NotFound, Invalid.
func (s *Service) UpdateDirectory(ctx context.Context, directoryID string, in DirectoryInput) (Directory, error) {
	return s.change(ctx, directoryID, func(d *Directory) error {
		if in.ClientID != nil && *in.ClientID != d.ClientID {
			return fault.At("clientId", "immutable", "The client id is part of addresses and cannot be changed.")
		}
		if in.Type != nil && *in.Type != d.Type {
			return fault.At("type", "immutable", "The type cannot be changed.")
		}
		return s.describe(ctx, d, in)
	})
}

func (d Directory) google() Google {
	if d.Google == nil {
		return Google{}
	}
	return *d.Google
}

const (
	maxChoices = 100
	maxChoice  = 512
)

// ChangeGoogle alters how a directory of type google is read, as it is when it is written. Faults: NotFound, Invalid, those of
// alter.
func (s *Service) ChangeGoogle(ctx context.Context, directoryID string, alter func(*Google) error) (Directory, error) {
	return s.change(ctx, directoryID, func(d *Directory) error {
		if d.Type != GoogleAPI {
			return fault.New(fault.Invalid, "not_google", "Directory is not a Google Directory")
		}
		g := d.google()
		if err := alter(&g); err != nil {
			return err
		}
		d.Google = &g
		if err := validChoice("groups", g.Groups, func(string) bool { return true }); err != nil {
			return err
		}
		return validChoice("orgUnits", g.OrgUnits, func(path string) bool { return strings.HasPrefix(path, "/") })
	})
}

func validChoice(field string, list []string, ok func(string) bool) error {
	if len(list) > maxChoices {
		return fault.At(field, "too_many", "At most 100 can be chosen.")
	}
	for _, text := range list {
		if text == "" || len(text) > maxChoice || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || !ok(text) {
			return fault.At(field, "invalid", "A group is named by its address or id, an organizational unit by its path, such as /Sales: up to 512 bytes.")
		}
	}
	return nil
}

// speaks refuses a secret of a directory that no client speaks to.
func (d Directory) speaks() error {
	if d.Type == GoogleAPI {
		return fault.At("secret", "invalid", "A Google Workspace is read and sends nothing: it has no secret.")
	}
	return nil
}

// AddSecret gives a directory a further secret: chosen, or one that is made where that is "". expires may be zero.
// Faults: NotFound, Invalid, Conflict too_many_secrets where two are live.
func (s *Service) AddSecret(ctx context.Context, directoryID, chosen string, expires time.Time) (Directory, Secret, error) {
	secret, err := s.newSecret(&chosen, expires)
	if err == nil && !secret.Live(s.now()) {
		err = fault.At("expiresAt", "invalid", "The secret would have ended before it began.")
	}
	if err != nil {
		return Directory{}, Secret{}, err
	}
	d, err := s.change(ctx, directoryID, func(d *Directory) error {
		if err := d.speaks(); err != nil {
			return err
		}
		d.Secrets = slices.DeleteFunc(slices.Clone(d.Secrets), func(old Secret) bool { return !old.Live(s.now()) })
		if len(d.Secrets) >= maxSecrets {
			return fault.New(fault.Conflict, "too_many_secrets", "Two secrets are live. Remove one first, or rotate.")
		}
		d.Secrets = append(d.Secrets, secret)
		return nil
	})
	return d, secret, err
}

// RotateSecret is AddSecret that has the other secrets end after overlap, and makes room where two are live.
// Faults: NotFound, Invalid.
func (s *Service) RotateSecret(ctx context.Context, directoryID string, overlap time.Duration) (Directory, Secret, error) {
	if overlap < 0 || overlap > maxLogFor {
		return Directory{}, Secret{}, fault.At("overlap", "invalid", "Secrets overlap for up to 365 days.")
	}
	secret, err := s.newSecret(nil, time.Time{})
	if err != nil {
		return Directory{}, Secret{}, err
	}
	end := s.now().Add(overlap)
	d, err := s.change(ctx, directoryID, func(d *Directory) error {
		if err := d.speaks(); err != nil {
			return err
		}
		live := slices.DeleteFunc(slices.Clone(d.Secrets), func(old Secret) bool { return !old.Live(s.now()) })
		if len(live) >= maxSecrets {
			live = live[len(live)-1:]
		}
		for i := range live {
			if live[i].ExpiresAt.IsZero() || end.Before(live[i].ExpiresAt) {
				live[i].ExpiresAt = end
			}
		}
		d.Secrets = append(live, secret)
		return nil
	})
	return d, secret, err
}

// RemoveSecret ends a secret at once. Faults: NotFound, also of the secret.
func (s *Service) RemoveSecret(ctx context.Context, directoryID, secretID string) (Directory, error) {
	return s.change(ctx, directoryID, func(d *Directory) error {
		left := slices.DeleteFunc(slices.Clone(d.Secrets), func(old Secret) bool { return old.ID == secretID })
		if len(left) == len(d.Secrets) {
			return &fault.Error{Kind: fault.NotFound, Code: "not_found", Message: "The directory has no such secret.", Field: "secretId"}
		}
		d.Secrets = left
		return nil
	})
}

// DeleteDirectory removes a directory with its users and groups: no request of it is let in from then on, and a job takes
// away what it holds, with an event for each. Faults: NotFound.
func (s *Service) DeleteDirectory(ctx context.Context, directoryID string) error {
	_, err := s.change(ctx, directoryID, func(d *Directory) error {
		d.Deleted = true
		return nil
	})
	return err
}

// Authenticate finds the directory that a request is for and checks the secret that it bears. One fault, Unauthenticated
// invalid_token, says that there is no such directory, that it is not active, or that the secret is not its own, and takes
// as long for each; Forbidden scim_disabled comes behind it: the organization has SCIM switched off. What it knows of the
// directory is at most cache.TTL old.
func (s *Service) Authenticate(ctx context.Context, ref Ref, secret string) (Directory, error) {
	d, err := s.cached.Get(ref.ID+"\x00"+ref.ProjectID+"\x00"+ref.ClientID, func() (Directory, error) {
		d, err := s.find(ctx, ref)
		if fault.Is(err, fault.NotFound) { // kept as well: else the second request tells which ones there are
			return Directory{}, nil
		}
		return d, err
	})
	if err != nil {
		return Directory{}, err
	}
	now, right := s.now(), false
	for i := range maxSecrets { // as many comparisons for every directory
		value, live := unknown, false
		if i < len(d.Secrets) {
			value, live = d.Secrets[i].Value, d.Secrets[i].Live(now)
		}
		same := id.Equal(value, secret)
		right = right || same && live
	}
	if !right || d.ID == "" || !d.Active() || d.Type == GoogleAPI {
		return Directory{}, fault.New(fault.Unauthenticated, "invalid_token",
			"Unauthorized: no active directory has this address and this secret.")
	}
	o, err := s.organizations.Get(d.OrganizationID, func() (organization.Organization, error) { return s.Organizations.Get(ctx, d.OrganizationID) })
	if err != nil {
		return Directory{}, err
	}
	if o.Settings.SCIMOff {
		return Directory{}, fault.New(fault.Forbidden, "scim_disabled", "The organization has SCIM switched off.")
	}
	d.BaseURL = o.Settings.SCIMBaseURL
	return d, nil
}

// find reads the directory that an address names.
func (s *Service) find(ctx context.Context, ref Ref) (Directory, error) {
	switch {
	case ref.ID != "":
		return s.Directory(ctx, ref.ID)
	case ref.ProjectID == "" || ref.ClientID == "":
		return Directory{}, fault.New(fault.NotFound, "not_found", "No such directory.")
	}
	return s.DirectoryByClientID(ctx, ref.ProjectID, ref.ClientID)
}

// DeleteIdentity removes a person for an administrator: one whom a directory provisions leaves it, too. Faults: NotFound.
func (s *Service) DeleteIdentity(ctx context.Context, identityID string) error {
	i, err := s.Identities.Get(ctx, identityID)
	if err != nil {
		return err
	}
	if i.DirectoryID == "" {
		return s.Identities.Delete(ctx, identityID)
	}
	d, err := s.directories.Get(ctx, i.DirectoryID)
	if err != nil {
		return err
	}
	return s.DeleteUser(ctx, d, identityID, nil)
}
