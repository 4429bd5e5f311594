package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/ports/directory"
	"github.com/portico-sso/portico/ports/store"
)

const (
	leaseTime = 5 * time.Minute
	attempts  = 6 // of one request, with 1, 2, 4, 8 and 16 s between them
	localPage = 500
	soon      = time.Minute // before an access token ends, another one is made
)

var errNobody = errors.New("google: no user at all is shown; nobody is deleted for that")

// run is one sync of one directory.
type run struct {
	*Service
	held      *lease.Held
	d         dirsync.Directory
	refreshed bool
	result    Result
	ids       map[string]string // by Google's id: that of the user or group here
	seen      map[string]bool   // users of Google that are to be here
}

// team is a group of Google with its direct members.
type team struct {
	directory.Group
	members []directory.Member
}

// Sync reads a workspace and makes the directory what it is. Whoever is no longer listed is deleted at the very end, after all
// was read whole. Errors: lease.ErrHeld where another instance does it, those of directory and faults.
func (s *Service) Sync(ctx context.Context, directoryID string) (Result, error) {
	held, err := s.Leases.Acquire(ctx, "google/"+directoryID, leaseTime)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = held.Release(context.WithoutCancel(ctx)) }() // it ends by itself too
	d, err := s.google(ctx, directoryID)
	if err != nil {
		return Result{}, err
	}
	r := &run{Service: s, held: held, d: d, ids: map[string]string{}, seen: map[string]bool{}}
	err = r.all(ctx)
	if ctx.Err() != nil {
		return r.result, ctx.Err()
	}
	return r.result, errors.Join(err, s.note(ctx, directoryID, r.result, err))
}

func (r *run) all(ctx context.Context) error {
	if r.d.Google == nil || r.d.Google.RefreshToken == "" {
		return directory.ErrRevoked
	}
	teams, err := r.readTeams(ctx)
	if err != nil {
		return err
	}
	here, err := r.local(ctx, r.Directories.Users)
	if err != nil {
		return err
	}
	if err := r.syncUsers(ctx, here, r.wanted(teams)); err != nil {
		return err
	}
	if len(r.seen) == 0 && len(here) > 0 {
		return errNobody
	}
	groups, err := r.local(ctx, r.Directories.Groups)
	if err != nil {
		return err
	}
	if err := r.syncGroups(ctx, groups, teams); err != nil {
		return err
	}
	return r.deleteGone(ctx, here, groups, teams)
}

// ask sends one request, again after a while where Google is busy, and with a new access token where that is over.
func (r *run) ask(ctx context.Context, request func(access string) error) error {
	for attempt := 0; ; attempt++ {
		if r.held.Remaining() < leaseTime/2 {
			if err := r.held.Renew(ctx); err != nil {
				return err
			}
		}
		err := r.authorized(ctx, request)
		if !errors.Is(err, directory.ErrBusy) || attempt == attempts-1 {
			return err
		}
		pause := time.Second << attempt
		if err := r.Wait(ctx, pause+rand.N(pause/4)); err != nil { //nolint:forbidigo // jitter
			return err
		}
	}
}

func (r *run) authorized(ctx context.Context, request func(access string) error) error {
	if r.d.Google.AccessToken == "" || r.d.Google.ExpiresAt.Before(r.now().Add(soon)) {
		if err := r.refresh(ctx); err != nil {
			return err
		}
	}
	err := request(r.d.Google.AccessToken)
	if !errors.Is(err, directory.ErrRevoked) || r.refreshed {
		return err
	}
	if err := r.refresh(ctx); err != nil {
		return err
	}
	r.refreshed = true // a second one that is refused is not for its age
	err = request(r.d.Google.AccessToken)
	if err == nil {
		r.refreshed = false
	}
	return err
}

func (r *run) refresh(ctx context.Context) error {
	t, err := r.Source.Refresh(ctx, r.d.Google.RefreshToken)
	if err != nil {
		return err
	}
	return r.keep(ctx, &r.d, t)
}

// each calls do with the items of every page.
func each[T any](ctx context.Context, r *run, read func(access, token string) (directory.Page[T], error), do func([]T) error) error {
	for token := ""; ; {
		var page directory.Page[T]
		err := r.ask(ctx, func(access string) (err error) {
			page, err = read(access, token)
			return err
		})
		if err != nil {
			return err
		}
		if err := do(page.Items); err != nil {
			return err
		}
		if page.Next == "" {
			return nil
		}
		if page.Next == token {
			return fmt.Errorf("%w: a page that is its own next one", directory.ErrMalformed)
		}
		token = page.Next
	}
}

// readTeams reads all groups, or those that were chosen and the groups inside of them, with their members.
func (r *run) readTeams(ctx context.Context) (teams []team, err error) {
	var found []directory.Group
	known := map[string]bool{}
	add := func(g directory.Group) {
		if !known[g.ID] {
			known[g.ID] = true
			found = append(found, g)
		}
	}
	chosen := r.d.Google.Groups
	for _, key := range chosen {
		g, err := r.readGroup(ctx, key)
		if err != nil { // also one that is gone: whether its members are to go is for the administrator to say
			return nil, fmt.Errorf("the chosen group %.100q: %w", key, err)
		}
		add(g)
	}
	if len(chosen) == 0 {
		err := each(ctx, r, func(access, token string) (directory.Page[directory.Group], error) {
			return r.Source.Groups(ctx, access, token)
		},
			func(page []directory.Group) error {
				for _, g := range page {
					add(g)
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	for i := 0; i < len(found); i++ { // it grows by the groups inside
		t := team{Group: found[i]}
		err := each(ctx, r, func(access, token string) (directory.Page[directory.Member], error) {
			return r.Source.Members(ctx, access, t.ID, token)
		}, func(page []directory.Member) error {
			t.members = append(t.members, page...)
			return nil
		})
		if errors.Is(err, directory.ErrNotFound) && len(chosen) == 0 {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, err
		}
		for _, m := range t.members {
			if !m.Group || len(chosen) == 0 || known[m.ID] {
				continue
			}
			g, err := r.readGroup(ctx, m.ID)
			if err != nil {
				return nil, err
			}
			add(g)
		}
		teams = append(teams, t)
	}
	return teams, nil
}

func (r *run) readGroup(ctx context.Context, key string) (g directory.Group, err error) {
	err = r.ask(ctx, func(access string) (err error) {
		g, err = r.Source.Group(ctx, access, key)
		return err
	})
	return g, err
}

// wanted are the members of the chosen groups; nil is everybody.
func (r *run) wanted(teams []team) map[string]bool {
	if len(r.d.Google.Groups) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, t := range teams {
		for _, m := range t.members {
			if !m.Group {
				wanted[m.ID] = true
			}
		}
	}
	return wanted
}

// local lists what the directory holds: ids by externalId, which is Google's id.
func (r *run) local(ctx context.Context, list func(context.Context, dirsync.Directory, dirsync.Query) (dirsync.Page, error)) (map[string]string, error) {
	here := map[string]string{}
	for cursor := ""; ; {
		page, err := list(ctx, r.d, dirsync.Query{Count: localPage, Cursor: &cursor, NoGroups: true})
		if err != nil {
			return nil, err
		}
		for _, o := range page.Items {
			if external, ok := o.Resource["externalId"].(string); ok {
				here[external] = o.ID
			}
		}
		if page.Next == "" {
			return here, nil
		}
		cursor = page.Next
	}
}

func (r *run) syncUsers(ctx context.Context, here map[string]string, wanted map[string]bool) error {
	units := r.d.Google.OrgUnits
	if len(units) == 0 {
		units = []string{""}
	}
	for _, unit := range units {
		err := each(ctx, r, func(access, token string) (directory.Page[directory.User], error) {
			return r.Source.Users(ctx, access, unit, token)
		}, func(page []directory.User) error {
			for _, u := range page {
				if r.seen[u.ID] || wanted != nil && !wanted[u.ID] {
					continue
				}
				r.seen[u.ID] = true
				if err := r.put(ctx, "user", u.ID, here[u.ID], userResource(u)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.result.Users = len(r.seen)
	return nil
}

// syncGroups makes the groups before their members, which may be groups.
func (r *run) syncGroups(ctx context.Context, here map[string]string, teams []team) error {
	for _, t := range teams {
		r.result.Groups++
		if existing, ok := here[t.ID]; ok {
			r.ids[t.ID] = existing
		} else if err := r.put(ctx, "group", t.ID, "", groupResource(t.Group, nil)); err != nil {
			return err
		}
	}
	for _, t := range teams {
		mine, ok := r.ids[t.ID]
		if !ok {
			continue
		}
		if err := r.put(ctx, "group", t.ID, mine, groupResource(t.Group, r.members(t))); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) members(t team) []any {
	members := []any{}
	for _, m := range t.members {
		if value, ok := r.ids[m.ID]; ok {
			kind := "User"
			if m.Group {
				kind = "Group"
			}
			members = append(members, map[string]any{"value": value, "type": kind})
		}
	}
	return members
}

// put creates a user or group, or replaces the one that has an id here. What cannot be taken is counted and told, and stays as it is.
func (r *run) put(ctx context.Context, kind, external, existing string, resource map[string]any) error {
	changed, err := r.write(ctx, kind, existing, resource)
	var language *scim.Error
	switch {
	case err == nil:
		r.ids[external] = changed.ID
		if changed.Done || existing == "" {
			r.result.Written++
		}
	case errors.As(err, &language), fault.Is(err, fault.Taken), fault.Is(err, fault.Invalid):
		r.result.Refused++
		if existing != "" {
			r.ids[external] = existing
		}
		r.Logger.WarnContext(ctx, "not taken over from google", "kind", kind, "google_id", external, "directory_id", r.d.ID, "error", err)
	case fault.Is(err, fault.NotFound) && existing != "": // deleted meanwhile
		return r.put(ctx, kind, external, "", resource)
	default:
		return err
	}
	return nil
}

func (r *run) write(ctx context.Context, kind, existing string, resource map[string]any) (dirsync.Changed, error) {
	body, err := json.Marshal(resource)
	if err != nil {
		return dirsync.Changed{}, err
	}
	if kind == "user" {
		read, err := scim.User.Read(body)
		if err != nil {
			return dirsync.Changed{}, err
		}
		if existing == "" {
			return r.Directories.CreateUser(ctx, r.d, read)
		}
		return r.Directories.ReplaceUser(ctx, r.d, existing, read, nil)
	}
	read, err := scim.Group.Read(body)
	if err != nil {
		return dirsync.Changed{}, err
	}
	if existing == "" {
		return r.Directories.CreateGroup(ctx, r.d, read)
	}
	return r.Directories.ReplaceGroup(ctx, r.d, existing, read, nil)
}

// deleteGone deletes what Google no longer lists. Everything was read before, and whole.
func (r *run) deleteGone(ctx context.Context, users, groups map[string]string, teams []team) error {
	listed := map[string]bool{}
	for _, t := range teams {
		listed[t.ID] = true
	}
	for external, mine := range groups {
		if listed[external] {
			continue
		}
		if err := r.remove(ctx, r.Directories.DeleteGroup, mine); err != nil {
			return err
		}
	}
	for external, mine := range users {
		if r.seen[external] {
			continue
		}
		if err := r.remove(ctx, r.Directories.DeleteUser, mine); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) remove(ctx context.Context, remove func(context.Context, dirsync.Directory, string, dirsync.Match) error, mine string) error {
	if r.held.Remaining() < leaseTime/2 {
		if err := r.held.Renew(ctx); err != nil {
			return err
		}
	}
	err := remove(ctx, r.d, mine, nil)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil {
		r.result.Deleted++
	}
	return err
}

func taken(err error) bool {
	var t *store.TakenError
	return errors.As(err, &t)
}
