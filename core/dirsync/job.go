package dirsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/ports/store"
)

// The work that is done behind a request; the name of a job is the id of the group or directory.
const (
	jobMembers   = "dirsync.members"   // tells all members of a group that changed
	jobGroup     = "dirsync.group"     // takes the members of a deleted group away, and then the group
	jobDirectory = "dirsync.directory" // takes away what a deleted directory holds, and then the directory
)

// tellAfter is how long the telling of all members waits for further changes of their group: providers send them one at a
// time, and each would tell everybody.
const tellAfter = 2 * time.Second

// directoryOf is what a job has to know of a directory.
func directoryOf(d Directory) Directory {
	return Directory{ID: d.ID, ProjectID: d.ProjectID, OrganizationID: d.OrganizationID, ClientID: d.ClientID}
}

func readJob(j lease.Job) (d Directory, after string, err error) {
	if err = json.Unmarshal(j.Payload, &d); err == nil && len(j.Progress) > 0 {
		err = json.Unmarshal(j.Progress, &after)
	}
	if err != nil {
		err = fmt.Errorf("dirsync: read a job: %w", err)
	}
	return d, after, err
}

// tellMembers tells, of each user in a group that changed, that their identity is updated.
func (s *Service) tellMembers(ctx context.Context, j lease.Job) (lease.Page, error) {
	d, after, err := readJob(j)
	if err != nil {
		return lease.Page{}, err
	}
	if _, err := s.groupOf(ctx, d, j.Name); fault.Is(err, fault.NotFound) {
		return lease.Page{Done: true}, nil
	} else if err != nil {
		return lease.Page{}, err
	}
	for limit := maxLeaving; ; limit /= 2 {
		page, err := s.tellPage(ctx, d, j.Name, after, limit)
		if limit == 1 || !errors.Is(err, errTooLarge) {
			return page, err
		}
	}
}

func (s *Service) tellPage(ctx context.Context, d Directory, groupID, after string, limit int) (lease.Page, error) {
	now := s.now()
	list, err := s.members.List(ctx, store.Range{Prefix: groupID + "/", Limit: limit, After: after})
	if err != nil || len(list.Items) == 0 {
		return lease.Page{Done: true}, err
	}
	out := lease.Page{Done: !list.More, Progress: list.Cursors[len(list.Cursors)-1]}
	ops, told, err := s.touchAll(ctx, d, list.Items, events.PolisUserUpdated, nil, now)
	if err == nil && tooLarge(ops, told) && limit > 1 {
		err = errTooLarge
	}
	if err == nil && len(told) > 0 {
		out.Ops, out.Then = append(ops, s.Events.Outbox(d.ProjectID, told...)), func() { s.Events.Wake(d.ProjectID) }
	}
	return out, err
}

// tooLarge reports whether members and their events are too many bytes for one commit.
func tooLarge(ops []store.Op, told []events.Event) bool {
	size := 0
	for _, op := range ops {
		size += len(op.Doc.Body)
	}
	for _, e := range told {
		size += len(e.Data)
	}
	return size > maxData
}

// touchAll tells of the users among some members.
func (s *Service) touchAll(ctx context.Context, d Directory, list []membership, polis string, g *group, now time.Time) (ops []store.Op, told []events.Event, err error) {
	var ids []string
	for _, m := range list {
		if !m.nested() {
			ids = append(ids, m.Member)
		}
	}
	if len(ids) == 0 {
		return nil, nil, nil
	}
	identities, err := s.identitiesOf(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	people, err := s.users.GetMany(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	for _, u := range people {
		if i, ok := identities[u.ID]; ok {
			op, e := s.touch(d, i, u, polis, g, now)
			ops, told = append(ops, op), append(told, e)
		}
	}
	return ops, told, nil
}

// empty is the operations that take a group's first members away, and it out of the groups around it, and the events of
// those who leave; left says that there is more.
func (s *Service) empty(ctx context.Context, d Directory, g group, now time.Time, limit int) (ops []store.Op, told []events.Event, left bool, err error) {
	inside, err := s.members.Range(ctx, store.Range{Prefix: g.ID + "/", Limit: limit + 1})
	if err != nil {
		return nil, nil, false, err
	}
	if left = len(inside) > limit; left {
		inside = inside[:limit]
	}
	for _, m := range inside {
		ops = append(ops, s.members.Delete(m))
	}
	touched, told, err := s.touchAll(ctx, d, inside, events.PolisGroupUserRemoved, &g, now)
	if ops = append(ops, touched...); err == nil && tooLarge(ops, told) && limit > 1 {
		err = errTooLarge
	}
	if err != nil || left {
		return ops, told, left, err
	}
	around, left, err := s.leave(ctx, g.ID, now)
	return append(ops, around...), told, left, err
}

// removeGroup takes the members of a deleted group away, and then the group.
func (s *Service) removeGroup(ctx context.Context, j lease.Job) (lease.Page, error) {
	d, _, err := readJob(lease.Job{Payload: j.Payload})
	if err != nil {
		return lease.Page{}, err
	}
	g, err := s.groups.Get(ctx, j.Name)
	if fault.Is(err, fault.NotFound) || err == nil && !g.Deleted {
		return lease.Page{Done: true}, nil
	}
	if err != nil {
		return lease.Page{}, err
	}
	now := s.now()
	for limit := maxLeaving; ; limit /= 2 {
		ops, told, left, err := s.empty(ctx, d, g, now, limit)
		if errors.Is(err, errTooLarge) && limit > 1 {
			continue
		}
		if err != nil {
			return lease.Page{}, err
		}
		if !left {
			ops = append(ops, s.groups.Delete(g))
			told = append(told, g.event(d, now, "", events.PolisGroupDeleted)) // Polis's clients may forget a group, and then are told nothing of it
		}
		if len(told) > 0 {
			ops = append(ops, s.Events.Outbox(d.ProjectID, told...))
		}
		return lease.Page{Ops: ops, Done: !left, Then: func() { s.Events.Wake(d.ProjectID) }}, nil
	}
}

// removed is how far a deleted directory is taken away: how often nothing of it was found.
type removed struct{ Looks int }

// removeDirectory takes away what a deleted directory holds, and then the directory. It looks twice: a request that was let in
// just before may have written meanwhile.
func (s *Service) removeDirectory(ctx context.Context, j lease.Job) (lease.Page, error) {
	var before removed
	if len(j.Progress) > 0 {
		if err := json.Unmarshal(j.Progress, &before); err != nil {
			return lease.Page{}, fmt.Errorf("dirsync: read a job: %w", err)
		}
	}
	d, err := s.directories.Get(ctx, j.Name)
	if fault.Is(err, fault.NotFound) {
		return lease.Page{Done: true}, nil
	}
	if err != nil {
		return lease.Page{}, err
	}
	found, err := s.removeSome(ctx, d)
	switch {
	case err != nil:
		return lease.Page{}, err
	case found:
		return lease.Page{Progress: removed{}}, nil
	case before.Looks == 0:
		return lease.Page{Progress: removed{Looks: 1}}, nil
	}
	ops := []store.Op{s.directories.Delete(d), s.Events.EndScope(events.Scope{ProjectID: d.ProjectID, OrganizationID: d.OrganizationID, DirectoryID: d.ID})}
	if guard, err := s.nesting.Get(ctx, d.ID); err == nil {
		ops = append(ops, s.nesting.Delete(guard))
	} else if !fault.Is(err, fault.NotFound) {
		return lease.Page{}, err
	}
	return lease.Page{Ops: ops, Done: true, Then: func() {
		s.Leases.Wake()
		if d.Type == GoogleAPI && s.Reader != nil {
			s.Reader.Forget(ctx, d)
		}
	}}, nil
}

// removeSome removes some of what a directory holds, and reports whether there was anything.
func (s *Service) removeSome(ctx context.Context, d Directory) (found bool, err error) {
	const some = 20
	inside := store.Range{Index: byCreated, Eq: []string{d.ID}, Limit: some}
	list, err := s.groups.Range(ctx, inside)
	if err != nil {
		return false, err
	}
	for _, g := range list {
		if err := s.DeleteGroup(ctx, d, g.ID, nil); err != nil && !fault.Is(err, fault.NotFound) {
			return false, err
		}
	}
	people, err := s.users.Range(ctx, inside)
	if err != nil {
		return false, err
	}
	for _, u := range people {
		if err := s.DeleteUser(ctx, d, u.ID, nil); err != nil && !fault.Is(err, fault.NotFound) {
			return false, err
		}
	}
	emptied, err := s.clearRequests(ctx, d, some*5)
	return len(list)+len(people) > 0 || !emptied, err
}
