package dirsync_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/ports/store"
)

var (
	long   = os.Getenv("PORTICO_TEST_LONG") == "1"
	replay = flag.Int64("dirsync.sequence", -1, "compare this random sequence alone with the model")
)

const perWorld = 25 // sequences of one database

// number of a short run and of a long one.
func number(short, whole int) int {
	if long {
		return whole
	}
	return short
}

// TestModel compares random operations with the model, each sequence of them on two directories of a new organization.
func TestModel(t *testing.T) {
	c := &comparison{open: newWorld}
	if *replay >= 0 {
		c.compare(t, uint64(*replay), newPlace(newWorld(t)))
		return
	}
	c.run(t, number(1000, 100_000), runtime.GOMAXPROCS(0))
}

// comparison is many sequences compared with the model.
type comparison struct {
	open                                    func(testing.TB) *world
	operations, refused, same, events, asks atomic.Int64
}

// run compares sequences, in several worlds at a time where open makes new ones.
func (c *comparison) run(t *testing.T, sequences, parallel int) {
	t.Helper()
	began := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range parallel {
		all.Go(func() {
			for first := next.Add(perWorld) - perWorld; first < int64(sequences) && !t.Failed(); first = next.Add(perWorld) - perWorld {
				w := newPlace(c.open(t))
				for seed := first; seed < min(first+perWorld, int64(sequences)) && !t.Failed(); seed++ {
					c.compare(t, uint64(seed), w)
				}
				w.nothingLeft()
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	t.Logf("%d sequences of %d operations, %d of them refused and %d without a change, with %d events and %d lists in %s: %d operations a second",
		sequences, c.operations.Load(), c.refused.Load(), c.same.Load(), c.events.Load(), c.asks.Load(), took.Round(time.Second/10),
		int(float64(c.operations.Load())/took.Seconds()))
	if least := c.operations.Load() / 50; !t.Failed() && min(c.refused.Load(), c.same.Load(), c.events.Load(), c.asks.Load()) < least {
		t.Error("the sequences do not reach what they should")
	}
}

// compare plays one sequence; of one that fails it tells the shortest that does.
func (c *comparison) compare(t testing.TB, seed uint64, w *place) {
	r := rand.New(rand.NewPCG(seed, 1))
	steps := make([]uint64, 5+r.IntN(26))
	for i := range steps {
		steps[i] = r.Uint64()
	}
	if s := c.play(w, steps); s.failed == "" {
		return
	}
	last := &sequence{}
	shortest(steps, func(some []uint64) bool {
		s := c.play(newPlace(c.open(t)), some)
		if s.failed != "" {
			last = s
		}
		return s.failed != ""
	})
	t.Errorf("sequence %d (go test -run TestModel ./core/dirsync -dirsync.sequence %d), the shortest that fails:\n%s\n%s", seed, seed, strings.Join(last.log, "\n"), last.failed)
}

// shortest leaves out what can be left out of steps that fail.
func shortest(steps []uint64, fails func([]uint64) bool) {
	if !fails(steps) {
		return
	}
	for n := len(steps) / 2; n > 0; n /= 2 {
		for i := 0; i+n <= len(steps); {
			if fewer := slices.Delete(slices.Clone(steps), i, i+n); fails(fewer) {
				steps = fewer
			} else {
				i += n
			}
		}
	}
}

// place is where sequences are played, one behind the other.
type place struct {
	*world
	position int64 // up to which the log was read
}

func newPlace(w *world) *place {
	w.t.Helper()
	must(w.t, w.events.Relay(w.ctx))
	position, err := w.events.LastPosition(w.ctx, w.org.ProjectID)
	must(w.t, err)
	return &place{w, position}
}

// sequence is operations on two directories of an organization, and what they should come to.
type sequence struct {
	*place
	*comparison
	model  *model
	org    organization.Organization
	both   [2]dirsync.Directory
	times  map[int]time.Time // of the model's, as far as answers told them
	told   []events.Event
	log    []string
	failed string
}

// differs ends a sequence.
type differs string

func (s *sequence) want(what string, got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		panic(differs(fmt.Sprintf("%s:\n  is     %v\n  should %v", what, got, want)))
	}
}

func (s *sequence) fine(what string, err error) { s.want(what, err, nil) }

func (s *sequence) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

// play runs a sequence in an organization of its own, and ends with the removal of both directories.
func (c *comparison) play(w *place, steps []uint64) (s *sequence) {
	s = &sequence{place: w, comparison: c, model: newModel(), times: map[int]time.Time{}}
	defer func() {
		switch d := recover().(type) {
		case nil:
		case differs:
			s.failed = string(d)
		default:
			panic(d)
		}
	}()
	s.begin()
	for _, seed := range steps {
		r := rand.New(rand.NewPCG(seed, 2))
		s.model.now++
		c.operations.Add(1)
		s.step(r)
		s.events("events")
		if r.IntN(3) == 0 {
			s.settle()
		}
	}
	s.settle()
	s.everything()
	s.end()
	return s
}

func (s *sequence) begin() {
	var err error
	s.org, err = s.organizations.Create(s.ctx, s.world.org.ProjectID, organization.Input{})
	s.fine("organization", err)
	for dir := range s.both {
		silent := dir == quiet
		s.both[dir], err = s.directories.CreateDirectory(s.ctx, s.org.ID, dirsync.DirectoryInput{Quiet: &silent})
		s.fine("directory", err)
		s.model.told = append(s.model.told, event{dir: dir, id: s.both[dir].ID, seq: 1, kind: "DirectoryCreated", polis: "dsync.created", named: s.both[dir].Label})
	}
	s.events("events of the directories")
}

// events compares what is told since the last time.
func (s *sequence) events(what string) {
	s.fine("relay", s.world.events.Relay(s.ctx))
	var got []event
	for {
		feed, err := s.world.events.Read(s.ctx, events.Query{Scope: events.Scope{ProjectID: s.org.ProjectID}, After: s.position, Limit: 500})
		s.fine("read events", err)
		for n, e := range feed.Events {
			s.want("position", e.Position, s.position+int64(n)+1)
			got = append(got, s.event(e))
		}
		s.told = append(s.told, feed.Events...)
		if s.position = feed.Next; !feed.More {
			break
		}
	}
	s.comparison.events.Add(int64(len(got)))
	s.want(what, lines(got), lines(s.model.told))
	s.model.told = nil
}

// event is what the model knows of an event.
func (s *sequence) event(e events.Event) event {
	dir := slices.IndexFunc(s.both[:], func(d dirsync.Directory) bool { return d.ID == e.DirectoryID })
	if dir < 0 || e.ScimClient != s.both[dir].ClientID || e.OrganizationID != s.org.ID || e.ProjectID != s.org.ProjectID {
		panic(differs(fmt.Sprintf("an event stands at another place: %+v", e)))
	}
	var data struct {
		ID, Name string
		Raw      struct{ ID, UserName string }
		Group    struct{ Name string }
	}
	s.fine("data", json.Unmarshal(e.Data, &data))
	s.want("id in the data of "+e.Type, data.ID, e.ResourceID)
	active := ""
	if e.IdentityActive != nil {
		active = fmt.Sprint(*e.IdentityActive)
	}
	return event{dir, e.ResourceID, e.Seq, e.Type, e.Polis, active, data.Name + data.Raw.UserName, data.Group.Name}
}

// lines are things as sorted lines.
func lines[T any](list []T) string {
	var out []string
	for _, one := range list {
		out = append(out, fmt.Sprintf("\n    %+v", one))
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

// settle does what operations asked to be done behind them.
func (s *sequence) settle() {
	s.note("then what was asked for is done")
	s.model.settle()
	s.now.Add(int64(3 * time.Second)) // what waits for more of its kind has waited
	s.fine("jobs", s.jobs.Run(s.ctx))
	s.events("events of jobs")
	for id := range s.model.ended {
		if _, ended := s.ended.Load(id); !ended {
			panic(differs("the sessions of " + id + " go on"))
		}
	}
	for _, p := range s.model.people {
		if _, ended := s.ended.Load(p.id); ended != s.model.ended[p.id] {
			panic(differs("the sessions of " + p.userName + " were ended"))
		}
	}
}

// end removes both directories: each of their users and groups has its event, the groups first.
func (s *sequence) end() {
	for dir, d := range s.both {
		s.model.now++
		s.note("delete directory %d", dir)
		s.fine("delete directory", s.directories.DeleteDirectory(s.ctx, d.ID))
		s.model.told = append(s.model.told, event{dir: dir, id: d.ID, seq: 2, kind: "DirectoryDeleted", polis: "dsync.deleted", named: d.Label})
		for _, t := range s.model.teamsOf(dir) {
			s.model.removeTeam(t)
		}
		for _, p := range s.model.peopleOf(dir) {
			s.model.remove(p)
		}
		s.settle()
	}
	for dir, d := range s.both {
		feed, err := s.world.events.Read(s.ctx, events.Query{Scope: events.Scope{ProjectID: s.org.ProjectID, DirectoryID: d.ID}, Limit: 500})
		s.fine("read events of one directory", err)
		var want []int64
		for _, e := range s.told {
			if e.DirectoryID == d.ID && len(want) < 500 {
				want = append(want, e.Position)
			}
		}
		var got []int64
		for _, e := range feed.Events {
			got = append(got, e.Position)
		}
		s.want(fmt.Sprintf("the feed of directory %d", dir), got, want)
	}
	people, err := s.identities.Count(s.ctx, s.org.ID)
	s.fine("count", err)
	s.want("people who are left", people, 0)
}

// nothingLeft holds that of directories that are gone nothing is kept.
func (w *world) nothingLeft() {
	w.t.Helper()
	w.now.Add(int64(2 * time.Hour)) // names that nobody goes by are kept for a while
	for _, collection := range []string{"scim_users", "scim_groups", "scim_members", "group_nesting", "identities", "identity_names", "identity_links", "jobs", "outbox"} {
		docs, err := w.records.Range(w.ctx, collection, store.Range{Limit: 10})
		if err != nil || len(docs) > 0 && !w.t.Failed() {
			w.t.Errorf("%s: %d documents are left, %v", collection, len(docs), err)
		}
	}
}

var (
	userNames   = []string{"n0", "N0", "n1", "N1", "n2", "n3", "n4", "n5", "n6", "n7", "é", "É", "a0@x.example", "A6@x.example"}
	externalIDs = []string{"e0", "E0", "e1", "e2"}
	nicks       = []string{"", "", "b", "B", "bc"}
	addresses   = []string{"a0@x.example", "A0@x.example", "a1@x.example", "a2@x.example", "a3@x.example", "a4@x.example", "a5@x.example", "no address"}
	teamNames   = []string{"g0", "G0", "g1", "g2", "g3", "g4", "g5", "é", "É"}
)

const nobody = "00000000-0000-7000-8000-000000000000"

func some(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// someone is the id of a user or group: of the directory, else of the other one, or of nobody.
func (s *sequence) someone(r *rand.Rand, dir int) string {
	var list []string
	for _, p := range s.model.people {
		if p.dir == dir || r.IntN(30) == 0 {
			list = append(list, p.id)
		}
	}
	for _, t := range s.model.teams {
		if t.dir == dir || r.IntN(30) == 0 {
			list = append(list, t.id)
		}
	}
	if len(list) == 0 || r.IntN(40) == 0 {
		return some(r, []string{nobody, "nobody"})
	}
	return some(r, list)
}

// known is the id of one of a list, seldom of the other directory's, or of nobody.
func known[T any](s *sequence, r *rand.Rand, dir int, of func(int) []T, id func(T) string) string {
	if r.IntN(30) == 0 {
		dir = 1 - dir
	}
	list := of(dir)
	if len(list) == 0 || r.IntN(40) == 0 {
		return some(r, []string{nobody, "nobody"})
	}
	return id(list[r.IntN(len(list))])
}

func (s *sequence) user(r *rand.Rand, dir int) string {
	return known(s, r, dir, s.model.peopleOf, func(p *person) string { return p.id })
}

func (s *sequence) group(r *rand.Rand, dir int) string {
	return known(s, r, dir, s.model.teamsOf, func(t *team) string { return t.id })
}

// step is one random operation.
func (s *sequence) step(r *rand.Rand) {
	dir := 0
	if r.IntN(4) == 0 {
		dir = 1
	}
	n := r.IntN(20)
	switch few := r.IntN(4); { // what there is little of is made first
	case len(s.model.peopleOf(dir)) < 3 && few > 1:
		n = 0
	case n >= 13 && n < 18 && len(s.model.teamsOf(dir)) < 2 && few > 0:
		n = 10
	}
	switch {
	case n < 4:
		s.createUser(r, dir)
	case n < 6:
		s.replaceUser(r, dir)
	case n < 9:
		s.patchUser(r, dir)
	case n < 10:
		s.deleteUser(r, dir)
	case n < 13:
		s.createGroup(r, dir)
	case n < 14:
		s.replaceGroup(r, dir)
	case n < 17:
		s.patchGroup(r, dir)
	case n < 18:
		s.deleteGroup(r, dir)
	default:
		s.list(r, dir)
	}
}

// outcome holds what an operation answered against why it should be refused, and reports whether it was not.
func (s *sequence) outcome(err error, reasons []string) bool {
	got := ""
	var f *fault.Error
	var wrong *scim.Error
	switch {
	case errors.As(err, &wrong):
		got = malformed
	case errors.As(err, &f):
		got = f.Code
	case err != nil:
		got = err.Error()
	}
	if got == "" && len(reasons) == 0 {
		return true
	}
	if !slices.Contains(reasons, got) {
		panic(differs(fmt.Sprintf("answered %q, should be one of %q", got, reasons)))
	}
	s.refused.Add(1)
	return false
}

// match is what If-Match asks for, and whether it is met.
func match(r *rand.Rand, version int64) (m dirsync.Match, met bool) {
	switch r.IntN(8) {
	case 0:
		return dirsync.Match{version + 7, version}, true
	case 1:
		return dirsync.Match{version + 1}, false
	}
	return nil, true
}

// unless are the reasons for which a change of what is there is refused before it is looked at.
func unless(there, met bool, reasons []string) []string {
	switch {
	case !there:
		return []string{notFound, malformed}
	case !met:
		return append(reasons, mismatch)
	}
	return reasons
}

// describe makes what a client says of a user.
func describe(r *rand.Rand) said {
	u := said{userName: some(r, userNames), nick: some(r, nicks), active: some(r, []string{"true", "true", "true", "false", ""})}
	if r.IntN(2) == 0 {
		u.externalID = some(r, externalIDs)
	}
	for _, i := range r.Perm(len(addresses))[:[]int{0, 0, 1, 1, 2}[r.IntN(5)]] {
		u.emails = append(u.emails, addresses[i])
	}
	return u.tidied()
}

// tidied has each address once, whatever its case.
func (u said) tidied() said {
	var kept []string
	for _, a := range u.emails {
		if !slices.ContainsFunc(kept, func(k string) bool { return fold(k) == fold(a) }) {
			kept = append(kept, a)
		}
	}
	u.emails = kept
	return u
}

// body is it as a client writes it.
func (u said) body() string {
	body := map[string]any{"schemas": []string{scim.UserURN}, "userName": u.userName}
	for name, v := range map[string]string{"externalId": u.externalID, "nickName": u.nick} {
		if v != "" {
			body[name] = v
		}
	}
	if u.active != "" {
		body["active"] = u.active == "true"
	}
	if len(u.emails) > 0 {
		body["emails"] = values(u.emails)
	}
	return written(body)
}

func values(list []string) []map[string]string {
	out := []map[string]string{}
	for _, v := range list {
		out = append(out, map[string]string{"value": v})
	}
	return out
}

func written(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (s *sequence) resource(t *scim.ResourceType, body string) scim.Resource {
	r, err := t.Read([]byte(body))
	s.fine("read "+body, err)
	return r
}

func readPatch(ops []map[string]any) ([]scim.Operation, error) {
	return scim.ReadPatch([]byte(written(map[string]any{"schemas": []string{scim.PatchURN}, "Operations": ops})))
}

func (s *sequence) createUser(r *rand.Rand, dir int) {
	u := describe(r)
	s.note("%d: create user %s", dir, u.body())
	again, reasons := s.model.creation(dir, u)
	c, err := s.directories.CreateUser(s.ctx, s.both[dir], s.resource(scim.User, u.body()))
	if !s.outcome(err, reasons) {
		return
	}
	s.note("   is %s", c.ID)
	if len(again) == 0 {
		s.want("taken up", c.Adopted, false)
		s.changed(s.model.add(dir, c.ID, u), c, true)
		return
	}
	i := slices.IndexFunc(again, func(p *person) bool { return p.id == c.ID })
	if s.want("taken up", c.Adopted, true); i < 0 {
		panic(differs("somebody else was taken up"))
	}
	s.changed(again[i], c, s.model.alter(again[i], u))
}

// changed holds the answer to a write of a user against the model.
func (s *sequence) changed(p *person, c dirsync.Changed, done bool) {
	s.want("done", c.Done, done)
	if !done {
		s.same.Add(1)
	}
	s.isPerson(p, c.Object)
}

func (s *sequence) replaceUser(r *rand.Rand, dir int) {
	id, u := s.user(r, dir), describe(r)
	p := s.model.person(dir, id)
	if p != nil && r.IntN(3) == 0 { // some of it is as it was
		u.userName, u.externalID = p.userName, p.externalID
	}
	s.changeUser(r, dir, id, "replace by "+u.body(), u, nil, func(m dirsync.Match) (dirsync.Changed, error) {
		return s.directories.ReplaceUser(s.ctx, s.both[dir], id, s.resource(scim.User, u.body()), m)
	})
}

// changeUser has a user changed to what a client says, which is refused for some reasons whoever they are.
func (s *sequence) changeUser(r *rand.Rand, dir int, id, what string, u said, reasons []string, change func(dirsync.Match) (dirsync.Changed, error)) {
	p := s.model.person(dir, id)
	m, met := dirsync.Match(nil), true
	if p != nil {
		m, met = match(r, p.version)
		if len(reasons) == 0 {
			reasons = s.model.alteration(p, u)
		}
	}
	s.note("%d: user %s, if version %v: %s", dir, id, m, what)
	c, err := change(m)
	if s.outcome(err, unless(p != nil, met, reasons)) {
		s.changed(p, c, s.model.alter(p, u))
	}
}

func (s *sequence) patchUser(r *rand.Rand, dir int) {
	id := s.user(r, dir)
	var u said
	if p := s.model.person(dir, id); p != nil {
		u = p.said
		u.emails = slices.Clone(u.emails)
	}
	var ops []map[string]any
	var reasons []string
	for range 1 + r.IntN(3) {
		op, refused := u.patch(r)
		if ops = append(ops, op); refused {
			reasons = append(reasons, malformed)
		}
	}
	s.changeUser(r, dir, id, "patch "+written(ops), u, reasons, func(m dirsync.Match) (dirsync.Changed, error) {
		list, err := readPatch(ops)
		if err != nil {
			return dirsync.Changed{}, err
		}
		return s.directories.PatchUser(s.ctx, s.both[dir], id, list, m)
	})
}

// patch is an operation of a PATCH, which it does to u. core/dirsync/scim has a model of all that a PATCH can say.
func (u *said) patch(r *rand.Rand) (op map[string]any, refused bool) {
	set := func(path string, target *string, v string) (map[string]any, bool) {
		if *target = v; v == "" {
			return map[string]any{"op": "remove", "path": path}, false
		}
		return map[string]any{"op": some(r, []string{"replace", "Add"}), "path": path, "value": v}, false
	}
	switch r.IntN(11) {
	case 0, 1, 7, 8, 9:
		u.active = some(r, []string{"true", "false"})
		return map[string]any{"op": "replace", "value": map[string]any{"active": some(r, []string{u.active, strings.ToUpper(u.active[:1]) + u.active[1:]})}}, false
	case 2:
		return set("userName", &u.userName, some(r, userNames))
	case 3:
		return set("externalId", &u.externalID, some(r, append([]string{""}, externalIDs...)))
	case 4:
		return set("nickName", &u.nick, some(r, nicks))
	case 5:
		a := some(r, addresses)
		if !slices.ContainsFunc(u.emails, func(e string) bool { return fold(e) == fold(a) }) {
			u.emails = append(u.emails, a)
		}
		return map[string]any{"op": "add", "path": "emails", "value": values([]string{a})}, false
	case 6:
		a := some(r, addresses)
		u.emails = slices.DeleteFunc(u.emails, func(e string) bool { return fold(e) == fold(a) })
		return map[string]any{"op": "remove", "path": `emails[value eq "` + a + `"]`}, false
	default:
		return []map[string]any{{"op": "remove", "path": "userName"}, {"op": "replace", "path": "shoeSize", "value": 1},
			{"op": "increase", "path": "nickName", "value": "x"}, {"op": "replace", "path": "id", "value": "x"}}[r.IntN(4)], true
	}
}

func (s *sequence) deleteUser(r *rand.Rand, dir int) {
	id := s.user(r, dir)
	p := s.model.person(dir, id)
	m, met := dirsync.Match(nil), true
	if p != nil {
		m, met = match(r, p.version)
	}
	s.note("%d: delete user %s, if version %v", dir, id, m)
	if s.outcome(s.directories.DeleteUser(s.ctx, s.both[dir], id, m), unless(p != nil, met, nil)) {
		s.model.remove(p)
	}
}

// teamBody is a group as a client writes it.
func teamBody(name, externalID string, members []string) string {
	body := map[string]any{"schemas": []string{scim.GroupURN}, "displayName": name}
	if externalID != "" {
		body["externalId"] = externalID
	}
	if len(members) > 0 {
		body["members"] = values(members)
	}
	return written(body)
}

func set(list []string) map[string]bool {
	all := map[string]bool{}
	for _, v := range list {
		all[v] = true
	}
	return all
}

// shape makes what a client says of a group; some may stand twice among the members.
func (s *sequence) shape(r *rand.Rand, dir int) (name, externalID string, members []string) {
	name = some(r, teamNames)
	if r.IntN(4) == 0 {
		externalID = some(r, externalIDs)
	}
	for range r.IntN(4) {
		members = append(members, s.someone(r, dir))
	}
	return name, externalID, members
}

func (s *sequence) createGroup(r *rand.Rand, dir int) {
	name, externalID, members := s.shape(r, dir)
	body := teamBody(name, externalID, members)
	s.note("%d: create group %s", dir, body)
	reasons := s.model.shaping(dir, nil, name, externalID, set(members))
	c, err := s.directories.CreateGroup(s.ctx, s.both[dir], s.resource(scim.Group, body))
	if s.outcome(err, reasons) {
		s.note("   is %s", c.ID)
		s.want("done", c.Done, true)
		s.isTeam(s.model.addTeam(dir, c.ID, name, externalID, set(members)), c.Object)
	}
}

func (s *sequence) replaceGroup(r *rand.Rand, dir int) {
	id := s.group(r, dir)
	name, externalID, members := s.shape(r, dir)
	if t := s.model.team(dir, id); t != nil && r.IntN(3) > 0 {
		name, externalID = t.name, t.externalID
		if r.IntN(2) == 0 {
			members = keys(t.members)
		}
	}
	body := teamBody(name, externalID, members)
	s.changeGroup(r, dir, id, "replace by "+body, name, externalID, set(members), nil, func(m dirsync.Match) (dirsync.Changed, error) {
		return s.directories.ReplaceGroup(s.ctx, s.both[dir], id, s.resource(scim.Group, body), m)
	})
}

func (s *sequence) changeGroup(r *rand.Rand, dir int, id, what, name, externalID string, members map[string]bool, reasons []string,
	change func(dirsync.Match) (dirsync.Changed, error)) {
	t := s.model.team(dir, id)
	m, met := dirsync.Match(nil), true
	if t != nil {
		m, met = match(r, t.version)
		reasons = append(reasons, s.model.shaping(dir, t, name, externalID, members)...)
	}
	s.note("%d: group %s, if version %v: %s", dir, id, m, what)
	c, err := change(m)
	if !s.outcome(err, unless(t != nil, met, reasons)) {
		return
	}
	done := s.model.shape(t, name, externalID, members)
	if s.want("done", c.Done, done); !done {
		s.same.Add(1)
	}
	s.isTeam(t, c.Object)
}

func (s *sequence) patchGroup(r *rand.Rand, dir int) {
	id := s.group(r, dir)
	name, externalID, members := "g0", "", map[string]bool{}
	if t := s.model.team(dir, id); t != nil {
		name, externalID, members = t.name, t.externalID, maps.Clone(t.members)
	}
	var ops []map[string]any
	var reasons []string
	for range 1 + r.IntN(3) {
		op, refused := s.patchOfGroup(r, dir, &name, &externalID, members)
		if ops = append(ops, op); refused {
			reasons = append(reasons, malformed)
		}
	}
	s.changeGroup(r, dir, id, "patch "+written(ops), name, externalID, members, reasons, func(m dirsync.Match) (dirsync.Changed, error) {
		list, err := readPatch(ops)
		if err != nil {
			return dirsync.Changed{}, err
		}
		return s.directories.PatchGroup(s.ctx, s.both[dir], id, list, m)
	})
}

// patchOfGroup is an operation of a PATCH of a group, which it does to these.
func (s *sequence) patchOfGroup(r *rand.Rand, dir int, name, externalID *string, members map[string]bool) (op map[string]any, refused bool) {
	list := []string{s.someone(r, dir)}
	if r.IntN(3) == 0 {
		list = append(list, s.someone(r, dir))
	}
	if present := keys(members); len(present) > 0 && r.IntN(2) == 0 {
		list[0] = some(r, present)
	}
	join := func() {
		for _, id := range list {
			members[id] = true
		}
	}
	leave := func(leaves func(string) bool) {
		maps.DeleteFunc(members, func(id string, _ bool) bool { return leaves(id) })
	}
	switch r.IntN(16) {
	case 0, 1, 2, 11, 12, 13, 14:
		join()
		return map[string]any{"op": "add", "path": "members", "value": values(list)}, false
	case 3:
		leave(func(id string) bool { return slices.Contains(list, id) })
		return map[string]any{"op": "remove", "path": "members", "value": values(list)}, false
	case 4, 5:
		leave(func(id string) bool { return id == list[0] })
		return map[string]any{"op": "Remove", "path": `members[value eq "` + list[0] + `"]`}, false
	case 6:
		kind := some(r, []string{"User", "Group"})
		leave(func(id string) bool { return s.model.kind(dir, id) == kind })
		return map[string]any{"op": "remove", "path": `members[type eq "` + kind + `"]`}, false
	case 7:
		clear(members)
		join()
		return map[string]any{"op": "replace", "path": "members", "value": values(list)}, false
	case 8:
		clear(members)
		return map[string]any{"op": "remove", "path": "members"}, false
	case 9:
		*name = some(r, teamNames)
		join()
		return map[string]any{"op": "add", "value": map[string]any{"displayName": *name, "members": values(list)}}, false
	case 10:
		if *externalID = some(r, append([]string{""}, externalIDs...)); *externalID == "" {
			return map[string]any{"op": "remove", "path": "externalId"}, false
		}
		return map[string]any{"op": "replace", "path": "externalId", "value": *externalID}, false
	default:
		return []map[string]any{{"op": "remove", "path": "displayName"}, {"op": "replace", "path": "shoeSize", "value": 1},
			{"op": "add", "path": "members", "value": []any{map[string]any{"display": "x"}}}, {"op": "replace", "path": "members[value eq \"x\"].display", "value": "x"}}[r.IntN(4)], true
	}
}

func (s *sequence) deleteGroup(r *rand.Rand, dir int) {
	id := s.group(r, dir)
	t := s.model.team(dir, id)
	m, met := dirsync.Match(nil), true
	if t != nil {
		m, met = match(r, t.version)
	}
	s.note("%d: delete group %s, if version %v", dir, id, m)
	if s.outcome(s.directories.DeleteGroup(s.ctx, s.both[dir], id, m), unless(t != nil, met, nil)) {
		s.model.removeTeam(t)
	}
}

// list asks a question of users or groups, and reads the answer in pages.
func (s *sequence) list(r *rand.Rand, dir int) {
	s.asks.Add(1)
	if r.IntN(2) == 0 {
		q := s.ask(r, userAttributes)
		found := answer(s.model, q, s.model.peopleOf(dir))
		pages(s, r, dir, q, scim.User, s.directories.Users, found, func(p *person) string { return p.id }, s.isPerson)
		return
	}
	q := s.ask(r, teamAttributes)
	found := answer(s.model, q, s.model.teamsOf(dir))
	pages(s, r, dir, q, scim.Group, s.directories.Groups, found, func(t *team) string { return t.id }, s.isTeam)
}
