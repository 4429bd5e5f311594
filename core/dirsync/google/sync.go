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
	"github.com/portico-sso/portico/core/key"
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

// run is one sync of one directory. What it writes it writes through fenced, whose every commit checks the lease.
type run struct {
	*Service
	fenced    *dirsync.Service
	held      *lease.Held
	d         dirsync.Directory
	refreshed bool
	result    Result
	ids       map[string]string // by Google's id: that of the user or group here
	seen      map[string]bool   // users of Google that are to be here
	mailboxes map[string]string // Google's ids of those, by address
	managed   []managed
}

// managed is a user with a manager, whom perhaps only a later page shows.
type managed struct {
	user    string // id here
	manager string // address
	set     string // id here, as it is written now; "" for none
}

// mine is a user or group of the directory.
type mine struct{ id, manager string }

func leaseOf(directoryID string) string { return "google/" + directoryID }

// team is a group of Google with its direct members.
type team struct {
	directory.Group
	members []directory.Member
}

// Sync reads a workspace and makes the directory what it is. Whoever is no longer listed is deleted at the very end, after all
// was read whole. Errors: lease.ErrHeld where another instance does it, or has taken it over, or the directory was disconnected,
// deactivated or deleted meanwhile; those of directory and faults.
func (s *Service) Sync(ctx context.Context, directoryID string) (Result, error) {
	if s.Source == nil {
		return Result{}, errNoClient
	}
	held, err := s.Leases.Acquire(ctx, leaseOf(directoryID), leaseTime)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = held.Release(context.WithoutCancel(ctx)) }() // it ends by itself too
	d, err := s.google(ctx, directoryID)
	if err != nil {
		return Result{}, err
	}
	r := &run{Service: s, held: held, d: d, ids: map[string]string{}, seen: map[string]bool{}, mailboxes: map[string]string{}}
	r.fenced = s.Directories.With(func() ([]store.Op, error) { return []store.Op{held.Check()}, nil })
	if err = r.begin(ctx); err == nil {
		err = r.all(ctx)
		if ctx.Err() != nil {
			return r.result, ctx.Err()
		}
		if r.lost(ctx, err) {
			return r.result, lease.ErrHeld
		}
		err = errors.Join(err, r.note(ctx, err))
	}
	if r.lost(ctx, err) {
		return r.result, lease.ErrHeld
	}
	return r.result, err
}

// lost reports whether something failed while the lease is lost, and so perhaps for that.
func (r *run) lost(ctx context.Context, failed error) bool {
	return failed != nil && errors.Is(r.held.Renew(ctx), lease.ErrHeld)
}

func (r *run) all(ctx context.Context) error {
	if !r.d.Google.Connected() {
		return directory.ErrRevoked
	}
	teams, err := r.readTeams(ctx)
	if err != nil {
		return err
	}
	here, err := r.local(ctx, r.fenced.Users)
	if err != nil {
		return err
	}
	if err := r.syncUsers(ctx, here, r.wanted(teams)); err != nil {
		return err
	}
	if len(r.seen) == 0 && len(here) > 0 {
		return errNobody
	}
	groups, err := r.local(ctx, r.fenced.Groups)
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
		if err := r.keepLease(ctx); err != nil {
			return err
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
	used := r.d.Google.RefreshToken
	t, err := r.Source.Refresh(ctx, used)
	if err != nil {
		return err
	}
	chosen := *r.d.Google // stays as it was when the sync began
	_, err = r.fenced.ChangeGoogle(ctx, r.d.ID, func(g *dirsync.Google) error {
		chosen.AccessToken, chosen.ExpiresAt = t.Access, r.now().Add(t.Expires)
		if t.Refresh != "" {
			chosen.RefreshToken = t.Refresh
		}
		if g.RefreshToken != used { // somebody has connected it anew
			return errRenewed
		}
		g.AccessToken, g.ExpiresAt, g.RefreshToken = chosen.AccessToken, chosen.ExpiresAt, chosen.RefreshToken
		return nil
	})
	if errors.Is(err, errRenewed) {
		err = nil
	}
	r.d.Google = &chosen
	return err
}

var errRenewed = errors.New("google: connected anew meanwhile")

// sameWorkspace remembers whose workspace a directory is that got its tokens from an operator, and refuses another one: its people
// would be taken for all there are.
func (r *run) sameWorkspace(ctx context.Context, customer string) error {
	switch r.d.Google.Customer {
	case customer:
		return nil
	case "":
	default:
		return errWorkspace
	}
	now, err := r.fenced.ChangeGoogle(ctx, r.d.ID, func(g *dirsync.Google) error {
		if g.Customer != "" && g.Customer != customer {
			return errWorkspace
		}
		g.Customer = customer
		return nil
	})
	if err == nil {
		r.d.Google.Customer = now.Google.Customer
	}
	return err
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

// local lists what the directory holds by externalId, which is Google's id.
func (r *run) local(ctx context.Context, list func(context.Context, dirsync.Directory, dirsync.Query) (dirsync.Page, error)) (map[string]mine, error) {
	here := map[string]mine{}
	for cursor := ""; ; {
		page, err := list(ctx, r.d, dirsync.Query{Count: localPage, Cursor: &cursor, NoGroups: true})
		if err != nil {
			return nil, err
		}
		for _, o := range page.Items {
			if external, ok := o.Resource["externalId"].(string); ok {
				extension, _ := o.Resource[enterprise].(map[string]any)
				manager, _ := extension["manager"].(map[string]any)
				value, _ := manager["value"].(string)
				here[external] = mine{o.ID, value}
			}
		}
		if page.Next == "" {
			return here, nil
		}
		cursor = page.Next
	}
}

func (r *run) syncUsers(ctx context.Context, here map[string]mine, wanted map[string]bool) error {
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
				if err := r.syncUser(ctx, u, here[u.ID]); err != nil {
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
	return r.setManagers(ctx)
}

// syncUser writes a user with the manager that is there already.
func (r *run) syncUser(ctx context.Context, u directory.User, there mine) error {
	if err := r.sameWorkspace(ctx, u.Customer); err != nil {
		return err
	}
	r.seen[u.ID] = true
	for _, address := range mailboxOf(u) {
		r.mailboxes[address] = u.ID
	}
	if u.Manager == "" {
		there.manager = ""
	}
	if err := r.put(ctx, "user", u.ID, there.id, userResource(u, there.manager)); err != nil {
		return err
	}
	if id, ok := r.ids[u.ID]; ok && u.Manager != "" {
		r.managed = append(r.managed, managed{user: id, manager: key.Lower(u.Manager), set: there.manager})
	}
	return nil
}

// setManagers corrects the managers, once all users are there who may be one.
func (r *run) setManagers(ctx context.Context) error {
	for _, m := range r.managed {
		want := r.ids[r.mailboxes[m.manager]]
		if want == m.set {
			continue
		}
		change := map[string]any{"op": "remove", "path": enterprise + ":manager"}
		if want != "" {
			change = map[string]any{"op": "replace", "path": enterprise + ":manager", "value": texts("value", want)}
		}
		body, err := json.Marshal(map[string]any{"schemas": []string{scim.PatchURN}, "Operations": []any{change}})
		if err != nil {
			return err
		}
		ops, err := scim.ReadPatch(body)
		if err != nil {
			return err
		}
		if err := r.keepLease(ctx); err != nil {
			return err
		}
		changed, err := r.fenced.PatchUser(ctx, r.d, m.user, ops, nil)
		var language *scim.Error
		if err != nil && !errors.As(err, &language) && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
			return err
		}
		if changed.Done {
			r.result.Written++
		}
	}
	return nil
}

// keepLease holds the lease for half of its time at least.
func (r *run) keepLease(ctx context.Context) error {
	if r.held.Remaining() >= leaseTime/2 {
		return nil
	}
	return r.held.Renew(ctx)
}

// syncGroups makes the groups before their members, which may be groups.
func (r *run) syncGroups(ctx context.Context, here map[string]mine, teams []team) error {
	for _, t := range teams {
		r.result.Groups++
		if existing, ok := here[t.ID]; ok {
			r.ids[t.ID] = existing.id
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
	if err := r.keepLease(ctx); err != nil {
		return err
	}
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
			return r.fenced.CreateUser(ctx, r.d, read)
		}
		return r.fenced.ReplaceUser(ctx, r.d, existing, read, nil)
	}
	read, err := scim.Group.Read(body)
	if err != nil {
		return dirsync.Changed{}, err
	}
	if existing == "" {
		return r.fenced.CreateGroup(ctx, r.d, read)
	}
	return r.fenced.ReplaceGroup(ctx, r.d, existing, read, nil)
}

// deleteGone deletes what Google no longer lists. Everything was read before, and whole.
func (r *run) deleteGone(ctx context.Context, users, groups map[string]mine, teams []team) error {
	listed := map[string]bool{}
	for _, t := range teams {
		listed[t.ID] = true
	}
	for external, mine := range groups {
		if listed[external] {
			continue
		}
		if err := r.remove(ctx, r.fenced.DeleteGroup, mine.id); err != nil {
			return err
		}
	}
	for external, mine := range users {
		if r.seen[external] {
			continue
		}
		if err := r.remove(ctx, r.fenced.DeleteUser, mine.id); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) remove(ctx context.Context, remove func(context.Context, dirsync.Directory, string, dirsync.Match) error, mine string) error {
	if err := r.keepLease(ctx); err != nil {
		return err
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
