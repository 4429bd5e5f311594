package databases

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is what the log tells, and how it is explained by what clients wrote.
type story struct {
	*siege
	log       []happening
	of        map[string][]happening // by resource, in the order of the log
	explained map[string]string      // by event: what Polis calls it
	states    map[*record]*state
	lostDone  int // writes whose answer was lost, and that are there
}

// state is what a resource is in the end, if everything that its events tell was done and nothing else.
type state struct {
	mark, email string
	active      bool
	version     int64
	deleted     bool
	in          map[*record]bool // a group's members, a user's groups

	moves map[string][]move // of a user, by group: how its events tell that it joined and left
	tells []happening       // of a user: because one of its groups changed
	last  happening         // the group's last event
}

// move is a user's joining or leaving a group that has this name then.
type move struct {
	name  string
	event happening
}

// audit ends all, and holds what is there against what clients were told.
func (p *siege) audit() {
	t := p.t
	t.Helper()
	found := p.settle()
	s := &story{siege: p, of: map[string][]happening{}, explained: map[string]string{}, states: map[*record]*state{}}
	s.read()
	for _, f := range p.feeds {
		for _, r := range f.all {
			s.states[r] = s.fold(f, r)
		}
		for _, r := range f.all {
			if r.kind == "Groups" {
				s.members(f, r)
			}
		}
		s.toldAll(f)
		s.directory(f)
	}
	for _, h := range s.log {
		if s.explained[h.ID] == "" {
			t.Errorf("no write explains %s", h)
		}
	}
	s.webhooks()
	s.kept(found)
	for _, i := range p.all {
		for n, f := range p.feeds {
			s.bySCIM(i, f, n%2 == 0)
			s.byPolis(i, f)
		}
	}
	writes := 0
	for r := range s.states {
		writes += len(r.writes)
	}
	t.Logf("killed: %s. %d writes acknowledged of %d sent by %d clients; %d answers told to come later, %d that others were faster, %d were lost, and %d of those writes are there. "+
		"%d events of %d users and groups at the positions 1 to %d. %s", p.summary(), p.done.Load(), writes, clientsOfFeed*len(p.feeds), p.laters.Load(), p.races.Load(),
		p.maybes.Load(), s.lostDone, len(s.log), len(s.states), len(s.log), p.hooks.summary())
}

func (h happening) String() string {
	group := ""
	if g := h.Data.Group; g != nil {
		group = " in " + g.Name
	}
	return fmt.Sprintf("event %d (%s %d of %s: %q%s)", h.Position, h.Type, h.Seq, h.ResourceID, h.mark(), group)
}

// mark is what the resource has as title or name.
func (h happening) mark() string {
	if h.ResourceType == "group" {
		return h.Data.Name
	}
	return h.Data.Raw.Title
}

// settle waits until nothing is left to do behind the writes, and gives what is in the database.
func (p *siege) settle() map[string][]document {
	p.t.Helper()
	pause := time.Second
	for until := time.Now().Add(10 * time.Minute); ; time.Sleep(pause) {
		all := export(p.t, p.env)
		pending := 0
		for _, d := range all["webhook_deliveries"] {
			var delivery struct{ Status string }
			if d.read(p.t, &delivery); delivery.Status == "pending" {
				pending++
			}
		}
		if len(all["outbox"])+len(all["jobs"])+pending == 0 {
			return all
		}
		if time.Now().After(until) {
			p.t.Fatalf("left to do: %d documents of the outbox, %d jobs, %d deliveries", len(all["outbox"]), len(all["jobs"]), pending)
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// read reads the log, which is the same from everywhere: positions from 1 without a gap, and so the numbers of each resource.
func (s *story) read() {
	t := s.t
	t.Helper()
	s.log = s.all[0].history(t, s.project, 500)
	s.tail.end()
	rest := s.all[1].history(t, s.project, 97)
	for _, h := range rest {
		if h.Position > s.tail.next {
			s.tail.all = append(s.tail.all, h)
		}
	}
	for whose, other := range map[string][]happening{"the other instance": rest, "who read it as it grew": s.tail.all} {
		if !slices.EqualFunc(s.log, other, func(a, b happening) bool { return a.ID == b.ID && a.Position == b.Position }) {
			t.Errorf("the log of %s is another: %d events and %d", whose, len(s.log), len(other))
		}
	}
	seen := map[string]bool{}
	for n, h := range s.log {
		if h.Position != int64(n+1) {
			t.Errorf("at place %d of the log is %s", n+1, h)
		}
		before := s.of[h.ResourceID]
		if h.Seq != int64(len(before)+1) {
			t.Errorf("behind %d events of its resource comes %s", len(before), h)
		}
		if seen[h.ID] {
			t.Errorf("twice in the log: %s", h)
		}
		seen[h.ID] = true
		s.of[h.ResourceID] = append(before, h)
	}
}

// directory explains the event of a directory that was made.
func (s *story) directory(f *feed) {
	list := s.of[f.id]
	if len(list) != 1 || list[0].Type != "DirectoryCreated" {
		s.t.Errorf("of directory %s: %v", f.clientID, list)
		return
	}
	s.explained[list[0].ID] = "dsync.created"
}

// applied are the writes of a resource that its events tell, in their order.
type applied struct {
	*story
	f    *feed
	r    *record
	open map[string]*write // by mark: those that no event has told
	list []*write
	*state
}

// fold explains the events of a resource by its writes.
func (s *story) fold(f *feed, r *record) *state {
	a := &applied{story: s, f: f, r: r, open: map[string]*write{}, state: &state{in: map[*record]bool{}, moves: map[string][]move{}}}
	for _, w := range r.writes {
		if w.what != deletes {
			a.open[w.mark] = w
		}
	}
	for n, h := range s.of[r.id] {
		switch {
		case a.deleted:
			s.t.Errorf("%s was deleted before %s", r.name, h)
		case h.Directory != f.id || h.ScimClient != f.clientID || h.Project != s.project:
			s.t.Errorf("%s is told of %s by %s", h, h.Directory, h.ScimClient)
		case r.kind == "Users":
			a.user(n, h)
		default:
			a.group(n, h)
		}
	}
	a.missing()
	return a.state
}

// take finds the write that an event tells.
func (a *applied) take(h happening, polis string, what ...string) {
	w := a.open[h.mark()]
	switch {
	case w == nil:
		a.t.Errorf("no write of %s explains %s", a.r.name, h)
		return
	case w.told == undone:
		a.t.Errorf("the client was told that this is not done, by %q: %s", w.answer, h)
	case !slices.Contains(what, w.what):
		a.t.Errorf("a write of %s, to %s, is told as %s", a.r.name, w.what, h)
	}
	if w.told == unanswered {
		a.lostDone++
	}
	delete(a.open, w.mark)
	a.explained[h.ID] = polis
	a.list = append(a.list, w)
	a.mark, a.version = w.mark, a.version+1
	a.last = h
	if w.what != patches {
		a.email = w.mark + "@acme.example"
	}
	a.active = w.active
}

func (a *applied) user(n int, h happening) {
	active := true
	switch {
	case h.Data.Group != nil:
		a.current(h)
		a.moves[h.Data.Group.ID] = append(a.moves[h.Data.Group.ID], move{h.Data.Group.Name, h})
	case h.Type == "IdentityCreated" && n == 0:
		a.take(h, "user.created", creates)
	case h.Type == "IdentityUpdated" && n > 0 && a.open[h.mark()] != nil:
		a.take(h, "user.updated", patches, replaces)
	case h.Type == "IdentityUpdated" && n > 0 && !a.f.quiet:
		a.current(h)
		a.tells = append(a.tells, h)
	case h.Type == "IdentityDeleted" && n > 0:
		a.current(h)
		a.ends(h, "user.deleted")
		active = false
	default:
		a.t.Errorf("no write of %s explains %s", a.r.name, h)
	}
	if (h.IdentityActive != nil) != active || active && *h.IdentityActive != a.active {
		a.t.Errorf("%s is active: %t, and this does not say so: %s", a.r.name, a.active, h)
	}
}

func (a *applied) group(n int, h happening) {
	switch {
	case h.Type == "GroupCreated" && n == 0:
		a.take(h, "group.created", creates)
	case h.Type == "GroupUpdated" && n > 0:
		a.take(h, "group.updated", patches, replaces)
	case h.Type == "GroupDeleted" && n > 0:
		a.current(h)
		a.ends(h, "group.deleted")
	default:
		a.t.Errorf("no write of %s explains %s", a.r.name, h)
	}
}

// current holds that an event that changes nothing of the resource itself tells what the resource is.
func (a *applied) current(h happening) {
	if h.mark() != a.mark {
		a.t.Errorf("%s is %q when this comes: %s", a.r.name, a.mark, h)
	}
}

func (a *applied) ends(h happening, polis string) {
	a.explained[h.ID] = polis
	a.deleted = true
	w := deletion(a.r)
	if w == nil {
		a.t.Errorf("nobody has deleted %s: %s", a.r.name, h)
	} else if w.told == unanswered {
		a.lostDone++
	}
}

// deletion is the write that deleted something, as far as clients know: the one that was acknowledged, or the first.
func deletion(r *record) *write {
	var first *write
	for _, w := range r.writes {
		if w.what != deletes || w.told == undone {
			continue
		}
		if w.told == acknowledged {
			return w
		}
		if first == nil {
			first = w
		}
	}
	return first
}

// missing holds that all is there that was acknowledged, in an order in which it can have been done.
func (a *applied) missing() {
	for _, w := range a.open {
		if w.told == acknowledged {
			a.t.Errorf("%s of %s, %q, was acknowledged and has no event", w.what, a.r.name, w.mark)
		}
	}
	if a.r.gone != a.deleted {
		a.t.Errorf("%s is deleted: %t, and its events tell of that: %t", a.r.name, a.r.gone, a.deleted)
	}
	for n, w := range a.list {
		for _, later := range a.list[n+1:] {
			if later.told == acknowledged && later.ended.Before(w.begun) {
				a.t.Errorf("%s is told behind %s, which began when that was acknowledged", later.mark, w.mark)
			}
		}
	}
}

// turn is a user's joining or leaving a group that a write must have told, unless the user may have been deleted before.
type turn struct {
	user  *record
	name  string
	kind  string // of the event
	polis string
	maybe bool
}

// members holds that users were told of their joining and leaving a group as its writes have it, and finds who is in it.
func (s *story) members(f *feed, group *record) {
	st := s.states[group]
	byMark := map[string]*write{}
	for _, w := range group.writes {
		byMark[w.mark] = w
	}
	var turns []turn
	leave := func(u *record, w *write, name string) {
		if st.in[u] {
			turns = append(turns, turn{u, name, "IdentityUpdated", "group.user_removed", s.mayPrecede(u, w)})
			delete(st.in, u)
		}
	}
	for _, h := range s.of[group.id] {
		w, kind := byMark[h.mark()], "IdentityUpdated"
		switch {
		case h.Type == "GroupDeleted":
			w = deletion(group)
		case h.Type == "GroupCreated": // the event table has nothing beside it: Polis alone does
			kind = "group.user_added"
		}
		if w == nil { // it was complained of
			continue
		}
		for _, u := range w.leaves {
			leave(u, w, h.mark())
		}
		for u := range maps.Clone(st.in) {
			if w.what != patches && !slices.Contains(w.joins, u) {
				leave(u, w, h.mark())
			}
		}
		for _, u := range w.joins {
			if !st.in[u] {
				turns = append(turns, turn{u, h.mark(), kind, "group.user_added", false})
				st.in[u] = true
			}
		}
	}
	for _, u := range f.all {
		if u.kind == "Users" {
			s.took(u, group, turns)
		}
	}
	for u := range st.in {
		if s.states[u].deleted { // took it out of the group
			delete(st.in, u)
			st.version++
		} else if !st.deleted {
			s.states[u].in[group] = true
		}
	}
}

// mayPrecede says whether a user can have been deleted before a write.
func (s *story) mayPrecede(u *record, w *write) bool {
	if !s.states[u].deleted {
		return false
	}
	for _, d := range u.writes {
		if d.what == deletes && d.told != undone {
			return w.told != acknowledged || d.begun.Before(w.ended)
		}
	}
	return false
}

// took explains a user's events of a group by its turns there.
func (s *story) took(u, group *record, turns []turn) {
	moves := s.states[u].moves[group.id]
	for _, want := range turns {
		switch {
		case want.user != u:
		case len(moves) > 0 && moves[0].name == want.name && moves[0].event.Type == want.kind:
			s.explained[moves[0].event.ID] = want.polis
			moves = moves[1:]
		case want.maybe:
			s.states[group].version++
		default:
			s.t.Errorf("%s was not told of %s at %q of %s, but of %v", u.name, want.polis, want.name, group.name, moves)
			return
		}
	}
	for _, m := range moves {
		s.t.Errorf("%s is in no write of %s that explains %s", u.name, group.name, m.event)
	}
}

// echo is said of a user in a group that changed, and that Polis does not tell.
const echo = "echo"

// toldAll holds that the members of a group that changed are told at least once behind its last change, and no more often
// than it changed.
func (s *story) toldAll(f *feed) {
	changes := map[*record]int{}
	for _, r := range f.all {
		if r.kind != "Groups" {
			continue
		}
		updates := 0
		for _, h := range s.of[r.id] {
			if h.Type == "GroupUpdated" {
				updates++
			}
		}
		for _, u := range f.all {
			if s.states[u].moves[r.id] != nil {
				changes[u] += updates
			}
		}
		if st := s.states[r]; !f.quiet && !st.deleted && updates > 0 {
			for u := range st.in {
				if !slices.ContainsFunc(s.states[u].tells, func(h happening) bool { return !h.Time.Before(st.last.Time) }) {
					s.t.Errorf("%s is in %s and was not told of %s", u.name, r.name, st.last)
				}
			}
		}
	}
	for _, u := range f.all {
		tells := s.states[u].tells
		if len(tells) > changes[u] {
			s.t.Errorf("%s was told %d times that one of its groups changed, of %d times", u.name, len(tells), changes[u])
		}
		for _, h := range tells {
			s.explained[h.ID] = echo
		}
	}
}

// webhooks holds that each endpoint took each event that it is to be told, those of a resource in order, and nothing else.
func (s *story) webhooks() {
	for _, e := range s.hooks.endpoints {
		wanted, last := 0, map[string]int{}
		for _, h := range s.log {
			name := h.Type
			others := h.Type == "group.user_added"
			if e.format == "POLIS" {
				name = s.explained[h.ID]
				others = name == echo || strings.HasPrefix(name, "dsync.")
			}
			if others {
				continue
			}
			wanted++
			took, ok := e.took[h.ID]
			switch {
			case !ok:
				s.t.Errorf("%s was not sent %s", e.path, h)
			case took.name != name:
				s.t.Errorf("%s was sent %s as %s, want %s", e.path, h, took.name, name)
			case took.at < last[h.ResourceID]:
				s.t.Errorf("%s was sent too late: %s", e.path, h)
			}
			last[h.ResourceID] = took.at
		}
		if len(e.took) != wanted {
			s.t.Errorf("%s was sent %d events, want %d", e.path, len(e.took), wanted)
		}
	}
}

// kept holds what is in the database against the story.
func (s *story) kept(found map[string][]document) {
	want := map[string][]string{}
	for r, st := range s.states {
		switch {
		case st.deleted || st.version == 0:
		case r.kind == "Users":
			want["scim_users"] = append(want["scim_users"], r.id)
			want["identities"] = append(want["identities"], r.id)
		default:
			want["scim_groups"] = append(want["scim_groups"], r.id)
			for u := range st.in {
				want["scim_members"] = append(want["scim_members"], r.id+"/u/"+u.id)
			}
		}
	}
	if n := len(found["event_log"]); n != len(s.log) {
		s.t.Errorf("%d events are kept, and the log has %d", n, len(s.log))
	}
	for _, collection := range []string{"scim_users", "identities", "scim_groups", "scim_members"} {
		var got []string
		for _, d := range found[collection] {
			got = append(got, d.id)
		}
		ids := want[collection]
		slices.Sort(got)
		slices.Sort(ids)
		if !slices.Equal(got, ids) {
			s.t.Errorf("%s: %d are there, want %d", collection, len(got), len(ids))
		}
	}
}

// shape is how a user or group is seen: what must be the same, however it is read.
func shape(mark, email string, active bool, version int64, others []string) string {
	slices.Sort(others)
	return fmt.Sprintf("%s %s active %t version %d with %s", mark, email, active, version, others)
}

func ids(in map[*record]bool) (list []string) {
	for r := range in {
		list = append(list, r.id)
	}
	return list
}

// bySCIM reads a directory back as its client does.
func (s *story) bySCIM(i *instance, f *feed, byCursor bool) {
	for _, kind := range []string{"Users", "Groups"} {
		got := map[string]string{}
		for _, v := range i.resources(s.t, f, kind, byCursor) {
			var others []string
			for _, o := range append(v.Groups, v.Members...) {
				others = append(others, o.Value)
			}
			email := ""
			if len(v.Emails) == 1 {
				email = v.Emails[0].Value
			}
			if kind == "Users" && v.DisplayName+"@acme.example" != email {
				s.t.Errorf("%s is half %q and half %q", v.ID, v.DisplayName, email)
			}
			mark := v.DisplayName
			if kind == "Users" {
				mark = v.Title
			}
			var version int64
			if _, err := fmt.Sscanf(v.Meta.Version, `W/"%d"`, &version); err != nil || got[v.ID] != "" {
				s.t.Errorf("%s is there, again: %t, of version %s", v.ID, got[v.ID] != "", v.Meta.Version)
			}
			got[v.ID] = shape(mark, email, v.Active, version, others)
		}
		s.same(i, f, kind, "SCIM", got, func(r *record, st *state) string {
			if kind == "Groups" {
				return shape(st.mark, "", false, st.version, ids(st.in))
			}
			return shape(st.mark, st.email, st.active, st.version, ids(st.in))
		})
	}
}

// same holds what is read of a directory against the story.
func (s *story) same(i *instance, f *feed, kind, how string, got map[string]string, want func(*record, *state) string) {
	there := 0
	for _, r := range f.all {
		st := s.states[r]
		if r.kind != kind || st.deleted || st.version == 0 {
			continue
		}
		there++
		if w := want(r, st); got[r.id] != w {
			s.t.Errorf("%s at %s has %s as\n%s, want\n%s", how, i.URL, r.name, got[r.id], w)
		}
	}
	if len(got) != there {
		s.t.Errorf("%s at %s has %d %s of %s, want %d", how, i.URL, len(got), kind, f.clientID, there)
	}
}

// listedResource is a user or group as SCIM shows it.
type listedResource struct {
	ID, Title, DisplayName  string
	Active                  bool
	Emails, Groups, Members []struct{ Value string }
	Meta                    struct{ Version string }
}

// resources lists a directory.
func (i *instance) resources(t *testing.T, f *feed, kind string, byCursor bool) (all []listedResource) {
	t.Helper()
	q := url.Values{"count": {"150"}}
	if byCursor {
		q.Set("cursor", "")
	}
	for {
		a, err := i.get(t.Context(), f.path+kind+"?"+q.Encode(), "Authorization", "Bearer "+sharedKey)
		var page struct {
			TotalResults int
			NextCursor   string
			Resources    []listedResource
		}
		if err != nil || a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &page) != nil {
			t.Fatalf("%s: %v, %s", kind, err, a.body)
		}
		all = append(all, page.Resources...)
		if len(page.Resources) == 0 || len(all) >= page.TotalResults {
			return all
		}
		if q.Set("cursor", page.NextCursor); !byCursor {
			q.Del("cursor")
			q.Set("startIndex", fmt.Sprint(len(all)+1))
		}
	}
}

// byPolis reads a directory back as clients of Polis do.
func (s *story) byPolis(i *instance, f *feed) {
	type shown struct {
		ID, Name, Email string
		Active          bool
		Raw             struct{ Title string }
	}
	users, groups := map[string]string{}, map[string]string{}
	for _, v := range listed[shown](s.t, i, f, "users") {
		users[v.ID] = shape(v.Raw.Title, v.Email, v.Active, 0, nil)
	}
	for _, v := range listed[shown](s.t, i, f, "groups") {
		var members []string
		for _, m := range listed[struct {
			UserID string `json:"user_id"`
		}](s.t, i, f, "groups/"+v.ID+"/members") {
			members = append(members, m.UserID)
		}
		groups[v.ID] = shape(v.Name, "", false, 0, members)
	}
	s.same(i, f, "Users", "Polis's API", users, func(_ *record, st *state) string { return shape(st.mark, st.email, st.active, 0, nil) })
	s.same(i, f, "Groups", "Polis's API", groups, func(_ *record, st *state) string { return shape(st.mark, "", false, 0, ids(st.in)) })
}

// listed reads all pages of one of Polis's listings.
func listed[T any](t *testing.T, i *instance, f *feed, what string) (all []T) {
	t.Helper()
	for {
		q := url.Values{"directoryId": {f.id}, "pageOffset": {fmt.Sprint(len(all))}, "pageLimit": {"50"}}
		a, err := i.get(t.Context(), "/api/v1/dsync/"+what+"?"+q.Encode(), "Authorization", "Api-Key "+adminKey)
		var page struct{ Data []T }
		if err != nil || a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &page) != nil {
			t.Fatalf("%s: %v, %s", what, err, a.body)
		}
		if all = append(all, page.Data...); len(page.Data) < 50 {
			return all
		}
	}
}
