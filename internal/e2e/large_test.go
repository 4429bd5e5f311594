package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// probe is the memory engine, which looks at what a watched request keeps whenever that comes back for more.
type probe struct {
	store.Backend
	clock   clock
	idle    atomic.Int64 // when something was last written, Unix nanoseconds
	stands  atomic.Int64 // the time at which the clock stands, Unix nanoseconds; 0 where it goes
	watch   atomic.Bool  // the next requests are watched
	calls   int64        // of the request that is watched
	next    int64        // of them that is looked at
	peak    uint64       // bytes that were alive at most
	slow    time.Duration
	endless bool // the users of a page are there again and again
}

type watched struct{}

const scimUsers = "scim_users"

func (p *probe) driver() store.Driver {
	return store.Driver{Schemes: []string{"probe"}, Open: func(_ context.Context, _ *url.URL, s store.Schema, _ store.DriverOptions) (store.Backend, error) {
		p.Backend = memory.New(s)
		return p, nil
	}}
}

// now is the program's clock: how long a machine with much else to do takes does not count for a request that is watched.
func (p *probe) now() time.Time {
	if at := p.stands.Load(); at != 0 {
		return time.Unix(0, at+p.clock.ahead.Load())
	}
	return p.clock.now()
}

// mark tells requests that are watched from what goes on beside them.
func (p *probe) mark(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.watch.Load() {
			r = r.WithContext(context.WithValue(r.Context(), watched{}, true))
		}
		next.ServeHTTP(w, r)
	})
}

func (p *probe) Range(ctx context.Context, now time.Time, collection string, r store.Range) ([]store.Doc, error) {
	if ctx.Value(watched{}) != nil {
		if p.calls++; p.calls >= p.next { // a collection takes a while
			p.next = p.calls + 1 + p.calls/4
			p.peak = max(p.peak, alive())
		}
		if collection == scimUsers {
			p.clock.advance(p.slow)
			if p.endless {
				r.After = ""
			}
		}
	}
	return p.Backend.Range(ctx, now, collection, r)
}

func (p *probe) Commit(ctx context.Context, now time.Time, ops []store.Op) error {
	p.idle.Store(time.Now().UnixNano())
	return p.Backend.Commit(ctx, now, ops)
}

// alive is how much is reachable, in bytes.
func alive() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// settles waits until what goes on behind requests has nothing left to do.
func (p *probe) settles(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(2 * time.Minute); time.Since(time.Unix(0, p.idle.Load())) < 2500*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the program does not come to rest")
		}
	}
}

// watches watches a request, and looks at what is alive from a call on.
func (p *probe) watches(from int64, request func()) {
	p.calls, p.next, p.peak = 0, from, 0
	p.stands.Store(time.Now().UnixNano())
	p.watch.Store(true)
	request()
	p.watch.Store(false)
	p.stands.Store(0)
}

// takes is how many bytes more than before were alive at most while a request was answered: the least of some tries, for other
// things go on in the process.
func (p *probe) takes(t *testing.T, request func()) (least int64) {
	t.Helper()
	least = 1 << 40
	for range 3 {
		p.settles(t)
		before := alive()
		p.watches(0, request)
		if p.peak == 0 {
			t.Fatal("the request did not come back for more")
		}
		if least = min(least, int64(p.peak)-int64(before)); least < 1<<20 {
			break
		}
	}
	return least
}

// large is a program with a directory of many.
type large struct {
	*program
	probe *probe
	d     object
	ids   []string
	bytes int // of the answer to the last request
}

func newLarge(t *testing.T, users int) *large {
	t.Helper()
	l := &large{probe: &probe{}}
	l.program = start(t, func(c *app.Config) {
		c.DatabaseURL, c.EncryptionKeys = "probe:", []seal.Key{{ID: "k1", Secret: [32]byte{1}}}
	}, app.WithDriver(l.probe.driver()), app.WithClock(l.probe.now), app.WithHandler(l.probe.mark))
	l.http.Timeout = time.Minute
	l.d = l.newDirectory(nil)
	l.mutate("updateDirectory", "UpdateDirectoryInput", "directory {quiet}", object{"id": l.d["id"], "quiet": true})
	for len(l.ids) < users {
		var operations []object
		for n := range min(1000, users-len(l.ids)) {
			name := fmt.Sprint("user", len(l.ids)+n, "@acme.example")
			operations = append(operations, object{"method": "POST", "path": "/Users", "bulkId": fmt.Sprint(n),
				"data": object{"schemas": []string{userSchema}, "userName": name, "title": "Clerk", "emails": []object{{"value": name, "primary": true}}}})
		}
		made := l.scim(l.d, http.MethodPost, "Bulk", object{"schemas": []string{bulkSchema}, "Operations": operations})
		for _, o := range made.resource(t, http.StatusOK)["Operations"].([]any) {
			_, id, _ := strings.Cut(o.(object)["location"].(string), "/Users/")
			l.ids = append(l.ids, id)
		}
	}
	return l
}

func (l *large) of(n int) []object {
	members := make([]object, 0, n)
	for _, id := range l.ids[:n] {
		members = append(members, object{"value": id})
	}
	return members
}

func (l *large) group(n int) object {
	return object{"schemas": []string{groupSchema}, "displayName": fmt.Sprint("of ", n), "members": l.of(n)}
}

// asks sends a request, and throws the answer away as it comes, save its end.
func (l *large) asks(method, resource, body string, status int) (end string) {
	l.t.Helper()
	r := l.request(method, pathOf(l.d)+"/"+resource, strings.NewReader(body), "Content-Type", "application/scim+json", "Authorization", "Bearer "+secretOf(l.d))
	response, err := l.http.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	l.bytes = 0
	for buffer := make([]byte, 16<<10); ; {
		n, err := response.Body.Read(buffer)
		l.bytes += n
		end = (end + string(buffer[:n]))[max(0, len(end)+n-4<<10):]
		if err == io.EOF {
			break
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
	if response.StatusCode != status {
		l.t.Fatalf("%s %s: %s %s", method, resource, response.Status, end)
	}
	return end
}

// TestLargeDirectoriesTakeNoMemory holds that what a request keeps does not grow with the group or directory that it is about:
// it is as much for six times as many, give or take 1 MiB, where all of them would take several.
func TestLargeDirectoriesTakeNoMemory(t *testing.T) {
	few, many := 1_000, 6_000
	l := newLarge(t, few)
	made := l.scim(l.d, http.MethodPost, "Groups", l.group(few)).resource(t, http.StatusCreated)
	group := "Groups/" + made["id"].(string)
	requests := map[string]string{
		"a group": group, "a list of groups": "Groups", "a list of users": "Users?count=100000", "an unindexed filter": "Users?count=10&filter=" + url.QueryEscape(`title eq "Clerk"`),
		"a filter of which nobody is": "Users?filter=" + url.QueryEscape(`title sw "Boss"`), "the last page": "Users?count=10&startIndex=1000000",
	}
	least := map[string]int64{}
	for what, resource := range requests {
		least[what] = l.probe.takes(t, func() { l.asks(http.MethodGet, resource, "", http.StatusOK) })
	}
	put := func(n int) {
		text, err := json.Marshal(object{"schemas": []string{groupSchema}, "displayName": "of many", "members": l.of(n)})
		if err != nil {
			t.Fatal(err)
		}
		if end := l.asks(http.MethodPut, group+"?excludedAttributes=members", string(text), http.StatusOK); !strings.Contains(end, made["id"].(string)) {
			t.Errorf("%s", end)
		}
		list, _ := l.scim(l.d, http.MethodGet, group+"?attributes=members.value", nil).resource(t, http.StatusOK)["members"].([]any)
		there := map[string]bool{}
		for _, m := range list {
			there[m.(object)["value"].(string)] = true
		}
		if len(list) != n || len(there) != n || !there[l.ids[n-1]] {
			t.Errorf("%d members, %d of them different, want %d", len(list), len(there), n)
		}
	}
	grown := newLarge(t, many)
	made = grown.scim(grown.d, http.MethodPost, "Groups", grown.group(few)).resource(t, http.StatusCreated)
	l, group = grown, "Groups/"+made["id"].(string)
	requests["a group"] = group
	put(many)
	put(few / 10)
	put(many)
	for what, resource := range requests {
		took := l.probe.takes(t, func() { l.asks(http.MethodGet, resource, "", http.StatusOK) })
		t.Logf("%s: %d KiB of %d, %d KiB of %d; %d bytes are answered", what, least[what]>>10, few, took>>10, many, l.bytes)
		if took > max(least[what], 0)+1<<20 {
			t.Errorf("%s takes %d KiB where it took %d", what, took>>10, least[what]>>10)
		}
	}
	if got := l.scim(l.d, http.MethodGet, "Users?count=100000", nil).resource(t, http.StatusOK); got["totalResults"] != float64(many) || got["itemsPerPage"] != 1000.0 || len(got["Resources"].([]any)) != 1000 {
		t.Errorf("%v of %v", got["itemsPerPage"], got["totalResults"])
	}
}

// TestListsThatTakeTooLong holds the bounds of a list that no index answers.
func TestListsThatTakeTooLong(t *testing.T) {
	l := newLarge(t, 1100)
	refused := func(what, resource string, calls int64) {
		t.Helper()
		var end string
		l.probe.watches(1<<20, func() { end = l.asks(http.MethodGet, resource, "", http.StatusBadRequest) })
		if !strings.Contains(end, `"scimType":"tooMany"`) || l.probe.calls > calls {
			t.Errorf("%s: after %d calls: %s", what, l.probe.calls, end)
		}
	}
	filter := "Users?filter=" + url.QueryEscape(`title eq "Boss"`)
	l.probe.watches(1<<20, func() { l.asks(http.MethodGet, filter, "", http.StatusOK) })
	l.probe.slow = 6 * time.Second
	refused("a slow filter", filter, 3)
	refused("a slow order", "Users?sortBy=title", 3)
	l.probe.watches(1<<20, func() {
		l.asks(http.MethodGet, "Users?filter="+url.QueryEscape(`userName eq "user7@acme.example"`), "", http.StatusOK)
	})
	l.probe.slow, l.probe.endless = 0, true
	refused("a filter over too many", filter, 400) // pages of 500
}
