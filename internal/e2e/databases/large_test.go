package databases

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/internal/engines"
)

// TestLargeGroup has a program of its own hold a group of many, on SQLite and PostgreSQL, and tells how much memory it takes
// (VmRSS of /proc) while it is asked. PORTICO_TEST_MEMBERS says how many members there are.
func TestLargeGroup(t *testing.T) {
	members := number(1_000, 100_000)
	if n, err := strconv.Atoi(os.Getenv("PORTICO_TEST_MEMBERS")); err == nil {
		members = n
	}
	some(t, func(s setup) bool { return s.sessions == "" && (s.records == "" || s.records == engines.Postgres) }, func(t *testing.T, s setup) {
		i := serve(t, 1, settings(s.fresh(t)))[0]
		g := &largeGroup{t: t, i: i}
		g.found(members)
		group := g.asks(http.MethodPost, "Groups?excludedAttributes=members", g.body(1), http.StatusCreated)
		path := "Groups/" + group["id"].(string)
		g.watched("PUT of all members", http.MethodPut, path+"?excludedAttributes=members", g.body(members), http.StatusOK, "")
		read := g.watched("the group", http.MethodGet, path, nil, http.StatusOK, `"$ref"`)
		g.watched("PUT of all members again", http.MethodPut, path+"?excludedAttributes=members", g.body(members), http.StatusOK, "")
		list := g.watched("a list of users", http.MethodGet, "Users?count=100000", nil, http.StatusOK, `"userName"`)
		filter := g.watched("a filter that no index answers", http.MethodGet, "Users?count=10&filter="+url.QueryEscape(`title eq "Clerk"`), nil, 0, `"userName"`)
		if read.found != members || list.found != min(members, 1000) || filter.status == http.StatusOK && filter.found != min(members, 10) {
			t.Errorf("%d members, %d users and %d who fit", read.found, list.found, filter.found)
		}
		if grown := read.most - read.before; grown > 32<<10 {
			t.Errorf("reading the group takes %d KiB", grown)
		}
	})
}

type largeGroup struct {
	t            *testing.T
	i            *instance
	path, secret string
	ids          []string
}

// seen is what was seen of a request. Memory is in KiB.
type seen struct {
	status, found int
	before, most  int
}

// found makes a directory and its people.
func (g *largeGroup) found(people int) {
	g.t.Helper()
	project, err := g.i.create(g.t.Context(), "Project", object{"slug": "crm"})
	if err != nil {
		g.t.Fatal(err)
	}
	organization, err := g.i.create(g.t.Context(), "Organization", object{"projectId": project, "slug": "acme.example"})
	if err != nil {
		g.t.Fatal(err)
	}
	data, err := g.i.graphql(g.t.Context(), `mutation($in: CreateDirectoryInput!) {it: createDirectory(input: $in) {directory {clientId} secret errors {message}}}`,
		object{"in": object{"organizationId": organization, "quiet": true, "logFor": 0}})
	if err != nil {
		g.t.Fatal(err)
	}
	made := data["it"].(object)
	g.path, g.secret = "/scim/"+made["directory"].(object)["clientId"].(string)+"/v2/", made["secret"].(string)
	for len(g.ids) < people {
		var operations []object
		for n := range min(500, people-len(g.ids)) {
			name := fmt.Sprint("user", len(g.ids)+n, "@acme.example")
			operations = append(operations, object{"method": "POST", "path": "/Users", "bulkId": fmt.Sprint(n), "data": object{"schemas": []string{userSchema},
				"userName": name, "title": "Clerk", "active": true, "emails": []object{{"value": name, "primary": true}}}})
		}
		answer := g.asks(http.MethodPost, "Bulk", object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": operations}, http.StatusOK)
		for _, o := range answer["Operations"].([]any) {
			_, id, _ := strings.Cut(o.(object)["location"].(string), "/Users/")
			g.ids = append(g.ids, id)
		}
	}
}

func (g *largeGroup) body(members int) object {
	list := make([]object, 0, members)
	for _, id := range g.ids[:members] {
		list = append(list, object{"value": id})
	}
	return object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Everybody", "members": list}
}

func (g *largeGroup) open(method, resource string, body object) *http.Response {
	g.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.i.URL+g.path+resource, strings.NewReader(string(text)))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Authorization", "Bearer "+g.secret)
	response, err := (&http.Client{Timeout: 10 * time.Minute}).Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	return response
}

func (g *largeGroup) asks(method, resource string, body object, status int) (v object) {
	g.t.Helper()
	response := g.open(method, resource, body)
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil || response.StatusCode != status {
		g.t.Fatalf("%s %s: %v, %s %.300v", method, resource, err, response.Status, v)
	}
	return v
}

// watched sends a request, reads the answer slowly and counts a text in it, and looks at the program's memory meanwhile.
func (g *largeGroup) watched(what, method, resource string, body object, status int, count string) (s seen) {
	g.t.Helper()
	time.Sleep(2 * time.Second) // until it has tidied up
	s.before = g.resident()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				s.most = max(s.most, g.resident())
			}
		}
	}()
	began := time.Now()
	response := g.open(method, resource, body)
	size := 0
	in := bufio.NewReaderSize(response.Body, 64<<10)
	for {
		part, err := in.ReadSlice(',')
		size += len(part)
		if count != "" && strings.Contains(string(part), count) {
			s.found++
		}
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			g.t.Fatal(err)
		}
	}
	_ = response.Body.Close()
	took := time.Since(began)
	close(stop)
	<-done
	if s.status = response.StatusCode; status != 0 && s.status != status {
		g.t.Fatalf("%s: %s", what, response.Status)
	}
	g.t.Logf("%s: %d in %s, %d KiB answered; resident %.0f MiB before, %.0f MiB at most", what, s.status, took.Round(time.Millisecond), size>>10,
		float64(s.before)/1024, float64(max(s.most, s.before))/1024)
	return s
}

// resident is the program's resident memory in KiB; 0 where there is no /proc.
func (g *largeGroup) resident() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.i.process.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.Atoi(number)
	return n
}
