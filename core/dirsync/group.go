package dirsync

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// group is a SCIM group without its members. Its version is that of the SCIM resource, and rises with each change of members.
type group struct {
	ID             string          `json:"id"`
	OrganizationID string          `json:"organizationId"`
	DirectoryID    string          `json:"directoryId"`
	DisplayName    string          `json:"displayName"`
	ExternalID     string          `json:"externalId,omitempty"`
	Shares         bool            `json:"shares,omitempty"`  // its name may be another group's, too: Google's groups
	Deleted        bool            `json:"deleted,omitempty"` // a job takes its members away
	Resource       json.RawMessage `json:"resource"`          // without id, meta and members
	EventSeq       int64           `json:"eventSeq"`          // of its last event
	CreatedAt      time.Time       `json:"createdAt"`
	ChangedAt      time.Time       `json:"changedAt"`

	version int64
}

const (
	groups     = "scim_groups"
	byName     = "by_name"
	byExternal = "by_external"
)

var groupCollection = store.Collection{Name: groups, Sealed: true, Keys: record.Keys(groupHead), Indexes: []store.Index{
	{Name: byName, Fields: []string{"directory", "name", "holder"}, Unique: true},
	{Name: byExternal, Fields: []string{"organization", "external"}, Unique: true},
	{Name: byCreated, Fields: []string{"directory", "created"}},
	{Name: byChanged, Fields: []string{"directory", "changed"}},
}}

func groupHead(g group) store.Doc {
	keys := map[string]string{"directory": g.DirectoryID, "name": key.Fold(g.DisplayName), "created": key.Time(g.CreatedAt), "changed": key.Time(g.ChangedAt)}
	if g.Shares || g.Deleted {
		keys["holder"] = g.ID
	}
	if g.Deleted { // no listing shows it
		keys["directory"] = "-" + g.DirectoryID
	} else if g.ExternalID != "" {
		keys["organization"], keys["external"] = g.OrganizationID, key.Text(g.ExternalID)
	}
	return store.Doc{ID: g.ID, Version: g.version, Keys: keys}
}

func (g *group) set(r scim.Resource, now time.Time) {
	g.DisplayName, g.ExternalID, g.Resource, g.ChangedAt = text(r, "displayName"), text(r, "externalId"), encode(r), now
}

func (g group) object() (Object, error) {
	return whole(g.Resource, g.ID, "Group", g.version, g.CreatedAt, g.ChangedAt)
}

// shownGroup is what Polis shows of a group.
type shownGroup struct {
	ID   string          `json:"id"`
	Name string          `json:"name"`
	Raw  json.RawMessage `json:"raw"`
}

// shown has no members in raw, as Polis has none there: who is one is told by membership.
func (g group) shown() shownGroup {
	raw := withID(g.ID, g.Resource)
	return shownGroup{g.ID, g.DisplayName, append(raw[:len(raw)-1], `,"members":[]}`...)}
}

// PolisGroup is a group as Polis shows it: id, name and raw.
func (s *Service) PolisGroup(o Object) map[string]any {
	r, _ := bare(o.Resource)
	g := group{ID: o.ID, DisplayName: text(r, "displayName"), Resource: encode(r)}
	var out map[string]any
	_ = json.Unmarshal(encode(g.shown()), &out)
	return out
}

// event is the next event of a group.
func (g *group) event(d Directory, now time.Time, eventType, polis string) events.Event {
	g.EventSeq++
	return events.Event{Type: eventType, Polis: polis, OrganizationID: d.OrganizationID, DirectoryID: d.ID, ResourceType: "group",
		ResourceID: g.ID, Seq: g.EventSeq, Time: now, ScimClient: d.ClientID, Data: encode(g.shown())}
}

// groupOf reads a group of a directory. Faults: NotFound.
func (s *Service) groupOf(ctx context.Context, d Directory, groupID string) (group, error) {
	g, err := s.groups.Get(ctx, groupID)
	if err == nil && (g.DirectoryID != d.ID || g.Deleted) {
		return group{}, fault.New(fault.NotFound, "not_found", "No such group.")
	}
	return g, err
}

// CreateGroup makes a group with its members: r is as scim.Group.Read gives it.
// Faults: Taken uniqueness, Invalid, also of a member that is not in the directory.
func (s *Service) CreateGroup(ctx context.Context, d Directory, r scim.Resource) (Changed, error) {
	r, _ = bare(r)
	list, err := scim.Members(r)
	if err != nil {
		return Changed{}, err
	}
	now := s.now()
	first := group{ID: s.IDs.UUID(), OrganizationID: d.OrganizationID, DirectoryID: d.ID, Shares: d.Type == GoogleAPI, CreatedAt: now}
	first.set(r, now)
	c := s.newChange(d, now, &first, nil)
	return c.run(ctx, scim.MemberChange{Kind: scim.AddMembers, Members: list})
}

// Group reads a group, without its members. Faults: NotFound.
func (s *Service) Group(ctx context.Context, d Directory, groupID string) (Object, error) {
	g, err := s.groupOf(ctx, d, groupID)
	if err != nil {
		return Object{}, err
	}
	return g.object()
}

// ReplaceGroup makes r the group, with its members. Faults: NotFound, Conflict version_mismatch, Taken uniqueness, Invalid.
func (s *Service) ReplaceGroup(ctx context.Context, d Directory, groupID string, r scim.Resource, m Match) (Changed, error) {
	r, _ = bare(r)
	list, err := scim.Members(r)
	if err != nil {
		return Changed{}, err
	}
	c := s.newChange(d, s.now(), &group{ID: groupID, DirectoryID: d.ID}, func(scim.Resource) (scim.Resource, error) { return r, nil })
	c.match = m
	return c.run(ctx, scim.MemberChange{Kind: scim.ReplaceMembers, Members: list})
}

// PatchGroup changes a group by the operations of scim.ReadPatch. Faults: as ReplaceGroup, and *scim.Error.
func (s *Service) PatchGroup(ctx context.Context, d Directory, groupID string, ops []scim.Operation, m Match) (Changed, error) {
	rest, list, err := scim.SplitMembers(ops)
	if err != nil {
		return Changed{}, err
	}
	c := s.newChange(d, s.now(), &group{ID: groupID, DirectoryID: d.ID}, func(r scim.Resource) (scim.Resource, error) {
		if len(rest) == 0 {
			return r, nil
		}
		_, err := scim.Group.Patch(r, rest)
		r, _ = bare(r)
		return r, err
	})
	c.match = m
	return c.run(ctx, list...)
}

// DeleteGroup removes a group. One with many members is gone at once, and a job takes the memberships away.
// Faults: NotFound, Conflict version_mismatch.
func (s *Service) DeleteGroup(ctx context.Context, d Directory, groupID string, m Match) error {
	now := s.now()
	err := s.once(ctx, func() ([]store.Op, error) {
		g, err := s.groupOf(ctx, d, groupID)
		if err != nil {
			return nil, err
		}
		if !m.met(g.version) {
			return nil, mismatch()
		}
		guard, err := s.guard(ctx, d, 0)
		if err != nil {
			return nil, err
		}
		told := []events.Event{g.event(d, now, events.GroupDeleted, events.PolisGroupDeleted)}
		ops, removed, left, err := s.empty(ctx, d, g, now, maxLeaving)
		if errors.Is(err, errTooLarge) {
			left = true
		} else if err != nil {
			return nil, err
		}
		if left {
			told[0].Polis = "" // the job tells it, behind its members' leaving
			g.Deleted, g.ChangedAt = true, now
			return []store.Op{s.groups.Update(g), s.Leases.Ask(jobGroup, g.ID, directoryOf(d)), s.Events.Outbox(d.ProjectID, told...)}, nil
		}
		return append(append([]store.Op{s.groups.Delete(g), guard}, ops...), s.Events.Outbox(d.ProjectID, append(removed, told...)...)), nil
	})
	s.woken(d)
	return err
}

// Groups lists groups, without their members. Faults: TooMany too_many, Invalid invalid_cursor.
func (s *Service) Groups(ctx context.Context, d Directory, q Query) (Page, error) {
	return list(ctx, s, s.groupLister(d), q)
}

// groupsOf reads the groups of which something is a direct member.
func (s *Service) groupsOf(ctx context.Context, d Directory, memberID string) ([]group, error) {
	var all []group
	q := store.Range{Index: byMember, Eq: []string{memberID}}
	for {
		page, err := s.members.List(ctx, q)
		if err != nil || len(page.Items) == 0 {
			return all, err
		}
		ids := make([]string, len(page.Items))
		for i, m := range page.Items {
			ids[i] = m.GroupID
		}
		list, err := s.groups.GetMany(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, g := range list {
			if g.DirectoryID == d.ID && !g.Deleted {
				all = append(all, g)
			}
		}
		if !page.More {
			return all, nil
		}
		q.After = page.Cursors[len(page.Cursors)-1]
	}
}

// GroupsOf reads the groups of which a user, or a group, is a direct member; effective: also those around these, each once.
// Faults: TooMany too_many, where there are more than 10,000.
func (s *Service) GroupsOf(ctx context.Context, d Directory, memberID string, effective bool) ([]Object, error) {
	var all []Object
	seen := map[string]bool{memberID: true}
	for wave := []string{memberID}; len(wave) > 0; {
		var next []string
		for _, id := range wave {
			list, err := s.groupsOf(ctx, d, id)
			if err != nil {
				return nil, err
			}
			for _, g := range list {
				if seen[g.ID] {
					continue
				}
				seen[g.ID] = true
				o, err := g.object()
				if err != nil {
					return nil, err
				}
				all, next = append(all, o), append(next, g.ID)
			}
			if len(all) > maxAround {
				return nil, tooNested()
			}
		}
		if !effective {
			break
		}
		wave = next
	}
	return all, nil
}

// maxAround bounds the groups that are walked through.
const maxAround = 10_000

func tooNested() error {
	return fault.New(fault.TooMany, "too_many", "More than 10,000 groups are nested around or inside this one.")
}
