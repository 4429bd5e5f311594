package databases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestProvisioningKilled has SCIM clients write through two instances while these, and the database's server, are killed with
// SIGKILL at random moments and started again: every write that was acknowledged is there with exactly its events, and one
// without an answer is wholly there or not at all; the log has no gap, and tells each resource in order; and so do webhooks.
// PORTICO_TEST_WRITES is how many writes are to be acknowledged on each database; a long run has 5,000.
func TestProvisioningKilled(t *testing.T) {
	some(t, provisioned, func(t *testing.T, s setup) {
		servers, records, sessions := s.alone(t)
		env := append(settings(records, sessions), "PORTICO_ALLOW_PRIVATE_NETWORKS=127.0.0.0/8")
		p := startProvisioning(t, env, serve(t, 2, env))
		p.strike(writesOf(t, s), servers)
		p.finish()
		p.audit()
	})
}

// provisioned picks where a short run provisions: embedded, and on the server that is advised.
func provisioned(s setup) bool { return long || s.name == "sqlite" || s.name == "postgres" }

// writesOf is how many writes a setup has to acknowledge.
func writesOf(t *testing.T, s setup) int64 {
	t.Helper()
	if text := os.Getenv("PORTICO_TEST_WRITES"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			t.Fatalf("PORTICO_TEST_WRITES is %q, and not a number of writes", text)
		}
		return n
	}
	if s.records == "" {
		return int64(number(300, 5000))
	}
	return int64(number(700, 5000))
}

// told is what the client was told of a write.
type told int

const (
	unanswered   told = iota // nothing, or that nobody knows: it may be there
	acknowledged             // it is there
	undone                   // it is not
)

// write is one request of a client. Its mark, which no other has, is then the title of the user or the name of the group: what
// is found tells which writes were done, and in which order.
type write struct {
	mark         string
	what         string // one of the constants below
	begun, ended time.Time
	told         told
	answer       string // of one that was not acknowledged

	active bool      // what a user is to be
	joins  []*record // users that are to be in a group
	leaves []*record // and out of it
}

// The writes. What creates or replaces a group leaves nobody in it but who joins.
const (
	creates  = "create"
	patches  = "patch"
	replaces = "replace"
	deletes  = "delete"
)

// record is a user or a group as clients know it.
type record struct {
	kind string // "Users" or "Groups"
	name string // userName or externalId, by which it is found again when nobody knows whether it was made

	mu     sync.Mutex // of what follows, while there are clients
	id     string
	gone   bool
	writes []*write
}

func (r *record) note(w *write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, w)
}

// SCIM's names.
const (
	userURN  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN = "urn:ietf:params:scim:schemas:core:2.0:Group"
	patchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

// feed is a directory and those who write to it.
type feed struct {
	id, clientID, path string
	quiet              bool      // a group's change is told for those whose membership changed alone
	people, groups     []*record // that all of its clients write

	mu  sync.Mutex
	all []*record
}

func (f *feed) add(kind, name string) *record {
	r := &record{kind: kind, name: name}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, r)
	return r
}

// siege is the whole: two directories, their clients, a reader of the log and a receiver of webhooks.
type siege struct {
	t       *testing.T
	env     []string
	all     []*instance
	project string
	feeds   []*feed
	hooks   *receiver
	tail    *tail

	running  sync.WaitGroup
	stopping atomic.Bool
	done     atomic.Int64 // writes that were acknowledged
	laters   atomic.Int64 // told to come later
	maybes   atomic.Int64 // answers that were lost
	races    atomic.Int64 // told that others were faster, time and again
	struck   map[string]int
}

const clientsOfFeed = 4

func startProvisioning(t *testing.T, env []string, all []*instance) *siege {
	t.Helper()
	p := &siege{t: t, env: env, all: all, hooks: newReceiver(t), struck: map[string]int{}}
	ctx := t.Context()
	project, err := all[0].create(ctx, "Project", map[string]any{"slug": "crm"})
	if err != nil {
		t.Fatal(err)
	}
	p.project = project
	organization, err := all[0].create(ctx, "Organization", map[string]any{"projectId": project, "slug": "acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, hook := range p.hooks.endpoints {
		_, err := all[1].graphql(ctx, `mutation($in: CreateWebhookEndpointInput!) {it: createWebhookEndpoint(input: $in) {errors {code message}}}`,
			map[string]any{"in": map[string]any{"projectId": project, "url": p.hooks.URL + hook.path, "format": hook.format, "batchSize": hook.batch}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, quiet := range []bool{true, false} {
		f := &feed{clientID: fmt.Sprintf("quiet-%t", quiet), quiet: quiet}
		f.id, err = all[0].create(ctx, "Directory", map[string]any{"organizationId": organization, "clientId": f.clientID, "secret": sharedKey, "quiet": quiet})
		if err != nil {
			t.Fatal(err)
		}
		f.path = "/projects/crm/scim/" + f.clientID + "/v2/"
		p.feeds = append(p.feeds, f)
	}
	time.Sleep(1100 * time.Millisecond) // until the other instance, too, knows the endpoints
	p.tail = p.follow()
	t.Cleanup(func() { p.finish(); p.tail.end() })
	for _, f := range p.feeds {
		p.share(f)
		for n := range clientsOfFeed {
			c := p.client(f, fmt.Sprint(f.clientID, "-", n))
			p.running.Go(func() {
				for !p.stopping.Load() && !t.Failed() {
					c.step()
				}
			})
		}
	}
	return p
}

// share makes what all clients of a directory write.
func (p *siege) share(f *feed) {
	p.t.Helper()
	c := p.client(f, f.clientID+"-shared")
	for range 4 {
		c.newUser()
	}
	for range 2 {
		c.newGroup()
	}
	if len(c.people) != 4 || len(c.groups) != 2 {
		p.t.Fatal("what clients share cannot be made")
	}
	f.people, f.groups = c.people, c.groups
}

// finish ends the writing.
func (p *siege) finish() {
	p.stopping.Store(true)
	p.running.Wait()
}

// await returns when so many writes were acknowledged.
func (p *siege) await(writes int64) {
	p.t.Helper()
	for until := time.Now().Add(10 * time.Minute); p.done.Load() < writes; time.Sleep(time.Millisecond) {
		if time.Now().After(until) || p.t.Failed() {
			p.t.Fatalf("%d of %d writes", p.done.Load(), writes)
		}
	}
}

// strike kills instances and servers, again and again, until so many writes were acknowledged.
func (p *siege) strike(writes int64, servers []server) {
	p.t.Helper()
	blows := min(max(writes/80, 6), 40)
	for n := range blows {
		p.await(writes * n / blows)
		time.Sleep(rand.N(50 * time.Millisecond))
		killed := []*instance{p.all[rand.N(len(p.all))]}
		var server *server
		switch {
		case len(servers) > 0 && n%3 == 1:
			server = &servers[int(n/3)%len(servers)]
			if n%6 == 1 { // the server alone
				killed = nil
			}
		case n%3 == 2:
			killed = p.all
		}
		p.blow(killed, server)
	}
	p.await(writes)
}

// blow kills instances and perhaps a server at once, and starts them again.
func (p *siege) blow(killed []*instance, server *server) {
	p.t.Helper()
	var all sync.WaitGroup
	for _, i := range killed {
		all.Go(i.kill)
		p.struck["instances"]++
	}
	if server != nil {
		if err := server.kill(); err != nil {
			p.t.Fatal(err)
		}
		p.struck[server.name]++
	}
	all.Wait()
	if server != nil {
		if err := server.restart(); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, i := range killed {
		i.restart()
	}
}

// any is any of the instances.
func (p *siege) any() *instance { return p.all[rand.N(len(p.all))] }

// feeder writes one thing after the other: to what is its own, and to what all of its directory's clients share.
type feeder struct {
	*siege
	*feed
	name           string
	marks          int
	people, groups []*record // its own that are there
}

func (p *siege) client(f *feed, name string) *feeder {
	return &feeder{siege: p, feed: f, name: name}
}

// step does one write that makes sense.
func (c *feeder) step() {
	switch n := rand.N(100); {
	case len(c.people) < 3 || n < 20 && len(c.people) < 12:
		c.newUser()
	case len(c.groups) < 1 || n < 28 && len(c.groups) < 4:
		c.newGroup()
	case n < 52:
		c.patchUser(oneOf(c.people, c.feed.people))
	case n < 62:
		c.replaceUser(oneOf(c.people, c.feed.people))
	case n < 84:
		c.patchGroup(oneOf(c.groups, c.feed.groups))
	case n < 90:
		c.replaceGroup(oneOf(c.groups, c.feed.groups))
	case n < 97:
		c.people = c.remove(c.people)
	default:
		c.groups = c.remove(c.groups)
	}
}

func oneOf(lists ...[]*record) *record {
	all := slices.Concat(lists...)
	return all[rand.N(len(all))]
}

// some picks up to three of the users that the client may name: its own, which nobody else deletes, and those of all.
func (c *feeder) some() []*record {
	all := slices.Concat(c.people, c.feed.people)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:rand.N(4)]
}

// plan is a write about to be sent: it gives the request for a mark.
type plan func(w *write) (method, path string, body any)

func (c *feeder) newUser() {
	r := c.add("Users", fmt.Sprintf("%s-user-%d", c.name, c.marks))
	if c.make(r, func(w *write) (string, string, any) {
		w.active = true
		return http.MethodPost, "Users", userBody(r, w)
	}) {
		c.people = append(c.people, r)
	}
}

func (c *feeder) newGroup() {
	r, joins := c.add("Groups", fmt.Sprintf("%s-group-%d", c.name, c.marks)), c.some()
	if c.make(r, func(w *write) (string, string, any) {
		w.joins = joins
		return http.MethodPost, "Groups", groupBody(r, w)
	}) {
		c.groups = append(c.groups, r)
	}
}

func userBody(r *record, w *write) any {
	return map[string]any{"schemas": []string{userURN}, "userName": r.name, "title": w.mark, "displayName": w.mark, "active": w.active,
		"emails": []any{map[string]any{"value": w.mark + "@acme.example", "primary": true}}}
}

func groupBody(r *record, w *write) any {
	return map[string]any{"schemas": []string{groupURN}, "externalId": r.name, "displayName": w.mark, "members": values(w.joins)}
}

func values(list []*record) []any {
	all := []any{}
	for _, r := range list {
		all = append(all, map[string]any{"value": r.id})
	}
	return all
}

func patchBody(operations ...map[string]any) any {
	return map[string]any{"schemas": []string{patchURN}, "Operations": operations}
}

func (c *feeder) patchUser(r *record) {
	active := rand.N(2) == 0
	c.send(r, patches, false, func(w *write) (string, string, any) {
		w.active = active
		return http.MethodPatch, "Users/" + r.id, patchBody(map[string]any{"op": "replace", "path": "active", "value": active},
			map[string]any{"op": "replace", "path": "title", "value": w.mark})
	})
}

func (c *feeder) replaceUser(r *record) {
	active := rand.N(2) == 0
	c.send(r, replaces, false, func(w *write) (string, string, any) {
		w.active = active
		return http.MethodPut, "Users/" + r.id, userBody(r, w)
	})
}

// patchGroup has some users join a group, or leave it.
func (c *feeder) patchGroup(r *record) {
	list, leave := c.some(), rand.N(2) == 0
	c.send(r, patches, false, func(w *write) (string, string, any) {
		operations := []map[string]any{{"op": "replace", "path": "displayName", "value": w.mark}}
		switch {
		case leave:
			w.leaves = list
			for _, u := range list {
				operations = append(operations, map[string]any{"op": "remove", "path": fmt.Sprintf("members[value eq %q]", u.id)})
			}
		case len(list) > 0:
			w.joins = list
			operations = append(operations, map[string]any{"op": "add", "path": "members", "value": values(list)})
		}
		return http.MethodPatch, "Groups/" + r.id, patchBody(operations...)
	})
}

func (c *feeder) replaceGroup(r *record) {
	joins := c.some()
	c.send(r, replaces, false, func(w *write) (string, string, any) {
		w.joins = joins
		return http.MethodPut, "Groups/" + r.id, groupBody(r, w)
	})
}

// remove deletes one of the client's own, and gives those that are left.
func (c *feeder) remove(own []*record) []*record {
	n := rand.N(len(own))
	r := own[n]
	a, unsure := c.send(r, deletes, true, func(*write) (string, string, any) { return http.MethodDelete, r.kind + "/" + r.id, nil })
	switch {
	case a.Response == nil:
		return own
	case a.StatusCode != http.StatusNoContent && (a.StatusCode != http.StatusNotFound || !unsure):
		c.t.Errorf("%s is deleted: %v", r.name, a.refusal())
	}
	r.gone = true
	return slices.Delete(own, n, n+1)
}

// make creates something, and says whether it is there: it is found again where an answer was lost.
func (c *feeder) make(r *record, request plan) bool {
	a, unsure := c.send(r, creates, true, request)
	var made struct{ ID string }
	switch {
	case a.Response == nil:
		return false
	case a.StatusCode == http.StatusCreated && json.Unmarshal(a.body, &made) == nil && made.ID != "":
		r.id = made.ID
	case a.StatusCode == http.StatusConflict && unsure:
		r.id = c.find(r)
	default:
		c.t.Errorf("%s is made: %v", r.name, a.refusal())
	}
	return r.id != ""
}

// find gives the id of what a client knows by name.
func (c *feeder) find(r *record) string {
	attribute := map[string]string{"Users": "userName", "Groups": "externalId"}[r.kind]
	var list struct{ Resources []struct{ ID string } }
	err := c.until(func(ctx context.Context) error {
		a, err := c.call(ctx, http.MethodGet, r.kind+"?filter="+url.QueryEscape(fmt.Sprintf("%s eq %q", attribute, r.name)), nil)
		if err == nil && (a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &list) != nil) {
			err = a.refusal()
		}
		return err
	})
	if err != nil || len(list.Resources) != 1 {
		c.t.Errorf("%s is there %d times: %v", r.name, len(list.Resources), err)
		return ""
	}
	return list.Resources[0].ID
}

// until calls until there is an answer.
func (p *siege) until(call func(context.Context) error) error {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := call(p.t.Context())
		if !errors.Is(err, errLater) && !errors.Is(err, errMaybe) || time.Since(began) > patience || p.t.Context().Err() != nil {
			return err
		}
	}
}

func (c *feeder) call(ctx context.Context, method, path string, body any) (answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	return c.any().send(ctx, method, c.path+path, bytes.NewReader(text), "Content-Type", "application/scim+json", "Authorization", "Bearer "+sharedKey)
}

// send sends a write until it is answered, each time as a write of its own, and notes what it was told. One whose answer was
// lost is left alone as often as not, unless insist: then there is no answer. unsure says that one was lost.
func (c *feeder) send(r *record, what string, insist bool, request plan) (a answer, unsure bool) {
	for began := time.Now(); time.Since(began) < patience && c.t.Context().Err() == nil; time.Sleep(10 * time.Millisecond) {
		c.marks++
		w := &write{mark: fmt.Sprintf("%s-%d", c.name, c.marks), what: what, begun: time.Now()}
		method, path, body := request(w)
		r.note(w)
		a, err := c.call(c.t.Context(), method, path, body)
		w.ended = time.Now()
		if a.Response != nil {
			w.answer = a.Header.Get("X-Request-Id") + " "
		}
		if w.answer += string(a.body); err != nil {
			w.answer = err.Error() + " " + w.answer
		}
		switch {
		case errors.Is(err, errLater):
			w.told = undone
			c.laters.Add(1)
		case errors.Is(err, errMaybe):
			unsure = true
			c.maybes.Add(1)
			if !insist && rand.N(2) == 0 {
				return answer{}, true
			}
		case err != nil:
			c.t.Errorf("%s of %s: %v", what, r.name, err)
			return answer{}, unsure
		case a.StatusCode == http.StatusConflict && !strings.Contains(string(a.body), "uniqueness"):
			w.told = undone
			c.races.Add(1)
		case a.StatusCode/100 == 2:
			w.told = acknowledged
			c.done.Add(1)
			return a, unsure
		default:
			w.told = undone
			if !insist {
				c.t.Errorf("%s of %s: %v", what, r.name, a.refusal())
			}
			return a, unsure
		}
	}
	c.t.Errorf("%s of %s: no answer for %s", what, r.name, patience)
	return answer{}, unsure
}

// happening is an event as the log tells it and webhooks do.
type happening struct {
	ID, Type                             string
	Position, Seq                        int64
	Time                                 time.Time
	Project, Directory                   string
	ResourceType, ResourceID, ScimClient string
	IdentityActive                       *bool
	Data                                 struct {
		ID, Name string // of a group
		Raw      struct{ Title string }
		Group    *struct{ ID, Name string }
	}
}

// page reads a part of the log.
func (i *instance) page(ctx context.Context, project string, after int64, limit int) (list []happening, next int64, more bool, err error) {
	q := url.Values{"project": {project}, "after": {fmt.Sprint(after)}, "limit": {fmt.Sprint(limit)}}
	a, err := i.get(ctx, "/api/v1/events?"+q.Encode(), "Authorization", "Bearer "+adminKey)
	var page struct {
		Events []happening
		Next   int64
		More   bool
	}
	if err == nil && (a.StatusCode != http.StatusOK || json.Unmarshal(a.body, &page) != nil) {
		err = a.refusal()
	}
	return page.Events, page.Next, page.More, err
}

// history reads the whole log.
func (i *instance) history(t *testing.T, project string, limit int) (all []happening) {
	t.Helper()
	for after, more := int64(0), true; more; {
		var list []happening
		var err error
		if list, after, more, err = i.page(t.Context(), project, after, limit); err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

// tail is what a reader of the log sees that goes on behind where it was, at any instance, while it grows.
type tail struct {
	all  []happening
	next int64
	stop context.CancelFunc
	over sync.WaitGroup
}

func (p *siege) follow() *tail {
	ctx, stop := context.WithCancel(p.t.Context())
	l := &tail{stop: stop}
	l.over.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			list, next, _, err := p.any().page(ctx, p.project, l.next, 1+rand.N(50))
			switch {
			case err == nil:
				l.all, l.next = append(l.all, list...), next
			case !errors.Is(err, errLater) && !errors.Is(err, errMaybe):
				p.t.Errorf("the log behind %d: %v", l.next, err)
				return
			}
		}
	})
	return l
}

func (l *tail) end() {
	l.stop()
	l.over.Wait()
}

// summary tells what was done to whom.
func (p *siege) summary() string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(p.struck)) {
		text = append(text, fmt.Sprintf("%s %d times", name, p.struck[name]))
	}
	return strings.Join(text, ", ")
}
