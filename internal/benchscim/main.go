//go:build unix

// Program benchscim measures SCIM on SQLite and Postgres, with three sizes of a directory: make bench-scim. It is the whole
// program in process, through its HTTP handler. cpu is the processor time of this process, which is Portico but for the few
// microseconds that make the requests; the database's own is not in it where that is another process. It runs from a quiet process
// to a quiet process: what requests leave to be done behind them, such as moving their events to the log, is theirs, and nothing
// of what came before is.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/store/seal"
)

const (
	adminKey  = "an-admin-key-for-the-benchmarks-of-portico"
	publicURL = "https://sso.example.com"
	repeats   = 200 // of an operation, at most
	patchURN  = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	userURN   = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN  = "urn:ietf:params:scim:schemas:core:2.0:Group"
)

func main() {
	sizes := flag.String("sizes", "1000,10000,100000", "users in the directory")
	only := flag.String("engines", "sqlite,postgres", "comma list of engines")
	flag.Parse()
	if err := run(*sizes, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "benchscim:", err)
		os.Exit(1)
	}
}

func run(sizes string, engines []string) error {
	dir, err := os.MkdirTemp("", "portico-benchscim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Printf("%s, %d cores, %s\n\n", runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	urls := map[string]string{"sqlite": "sqlite://" + filepath.ToSlash(filepath.Join(dir, "portico.db")), "postgres": os.Getenv("TEST_POSTGRES_URL")}
	for _, engine := range engines {
		if urls[engine] == "" {
			fmt.Printf("%s: no server (TEST_POSTGRES_URL)\n\n", engine)
			continue
		}
		if err := measureEngine(engine, urls[engine], sizes); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
	}
	return nil
}

// measureEngine grows one directory from size to size and measures it at each.
func measureEngine(engine, url, sizes string) error {
	c := app.Config{PublicURL: publicURL, DatabaseURL: url, AdminKeys: []string{adminKey}, AutoMigrate: new(true),
		EncryptionKeys: []seal.Key{{ID: "k1", Secret: sha256.Sum256([]byte("bench"))}}}
	a, err := app.New(context.Background(), c, app.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	defer func() { _ = a.Close(context.Background()) }()
	d := &directory{handler: a.Handler, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight), first: map[string]float64{}, cursors: map[int]string{}}
	if err := d.create(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%s\tusers\tcpu\tp50\tp99\tcpu against the fewest\t\n", engine)
	for _, text := range strings.Split(sizes, ",") {
		size, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if err := d.measureSize(size); err != nil {
			return err
		}
	}
	fmt.Fprintln(d.out)
	return d.out.Flush()
}

// directory is the directory that is measured.
type directory struct {
	handler http.Handler
	path    string
	secret  string
	users   []string // ids
	first   map[string]float64
	cursors map[int]string // of the tenth page, by size
	out     *tabwriter.Writer
	size    int
	groups  int
}

func (d *directory) create() error {
	var made struct {
		Data struct {
			ID   string
			Scim struct{ Path, Secret string }
		}
	}
	body, err := d.send(http.MethodPost, "/api/v1/dsync", "Api-Key "+adminKey, map[string]any{"tenant": "acme.example", "product": "crm"})
	if err != nil {
		return err
	}
	if err = json.Unmarshal(body, &made); err != nil {
		return err
	}
	d.path, d.secret = made.Data.Scim.Path, made.Data.Scim.Secret
	// A change of a group is told for the members who joined or left: telling all of its members is a job behind the request, whose
	// work would be measured with whatever comes next.
	_, err = d.send(http.MethodPost, "/graphql", "Bearer "+adminKey, map[string]any{"variables": map[string]any{"id": made.Data.ID},
		"query": `mutation($id: ID!) {updateDirectory(input: {id: $id, quiet: true}) {errors {message}}}`})
	return err
}

func (d *directory) send(method, path, authorization string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r := httptest.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/scim+json")
	if !strings.HasPrefix(path, d.path) || d.path == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	if w.Code >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return io.ReadAll(w.Body)
}

// scim sends a request to the directory and gives the id of what it answers.
func (d *directory) scim(method, path string, body any) (string, error) {
	text, err := d.send(method, d.path+path, "Bearer "+d.secret, body)
	if err != nil || len(text) == 0 || method == http.MethodGet {
		return "", err
	}
	var made struct{ ID string }
	return made.ID, json.Unmarshal(text, &made)
}

func user(i int) map[string]any {
	name := fmt.Sprintf("user%07d", i)
	return map[string]any{"schemas": []string{userURN}, "userName": name + "@acme.example", "externalId": "ext-" + name, "active": true,
		"displayName": "Alice " + name, "name": map[string]any{"givenName": "Alice", "familyName": name},
		"emails": []any{map[string]any{"value": name + "@acme.example", "type": "work", "primary": true}}}
}

func patch(op, path string, value any) map[string]any {
	o := map[string]any{"op": op, "path": path}
	if value != nil {
		o["value"] = value
	}
	return map[string]any{"schemas": []string{patchURN}, "Operations": []any{o}}
}

func members(ids []string) []any {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = map[string]any{"value": id}
	}
	return list
}

// measureSize adds users until there are size, and measures everything.
func (d *directory) measureSize(size int) error {
	d.size = size
	for next := time.Now(); len(d.users) < size-repeats; {
		if time.Now().After(next) {
			fmt.Fprintf(os.Stderr, "\r%d of %d users", len(d.users), size)
			next = time.Now().Add(time.Second)
		}
		if err := d.add(); err != nil {
			return err
		}
	}
	fmt.Fprint(os.Stderr, "\r")
	middle := func(i int) string { return d.users[(len(d.users)/2+i*7)%len(d.users)] }
	for _, m := range []struct {
		name string
		n    int
		do   func(i int) error
	}{
		{"create", repeats, func(int) error { return d.add() }},
		{"get", repeats, func(i int) error { return d.get("/Users/" + middle(i)) }},
		{"filter by userName", repeats, func(i int) error {
			return d.get(fmt.Sprintf("/Users?filter=userName%%20eq%%20%%22user%07d@acme.example%%22", (size/2+i*7)%size))
		}},
		{"PATCH active", repeats, func(i int) error {
			_, err := d.scim(http.MethodPatch, "/Users/"+middle(i/2), patch("replace", "active", i%2 == 1))
			return err
		}},
		{"list, first page", 20, func(int) error { return d.get("/Users?count=100") }},
		{"list, last page by index", 20, func(int) error { return d.get(fmt.Sprintf("/Users?count=100&startIndex=%d", size-99)) }},
		{"list, 10th page by cursor", 20, d.pageByCursor},
	} {
		if err := d.measure(m.name, m.n, m.do); err != nil {
			return err
		}
	}
	return d.measureGroups()
}

func (d *directory) add() error {
	id, err := d.scim(http.MethodPost, "/Users", user(len(d.users)))
	d.users = append(d.users, id)
	return err
}

func (d *directory) get(path string) error {
	_, err := d.scim(http.MethodGet, path, nil)
	return err
}

// pageByCursor reads one page far behind the first, whose cursor is found once.
func (d *directory) pageByCursor(int) error {
	if d.cursors[d.size] == "" {
		cursor := ""
		for range 9 {
			text, err := d.send(http.MethodGet, d.path+"/Users?count=100&cursor="+cursor, "Bearer "+d.secret, nil)
			if err != nil {
				return err
			}
			var page struct{ NextCursor string }
			if err := json.Unmarshal(text, &page); err != nil {
				return err
			}
			cursor = page.NextCursor
		}
		d.cursors[d.size] = cursor
	}
	return d.get("/Users?count=100&cursor=" + d.cursors[d.size])
}

// group makes a group with the first n users.
func (d *directory) group(n int) (string, error) {
	d.groups++
	return d.scim(http.MethodPost, "/Groups?excludedAttributes=members", map[string]any{"schemas": []string{groupURN},
		"displayName": fmt.Sprintf("Group %d", d.groups), "members": members(d.users[:n])})
}

func (d *directory) measureGroups() error {
	last := d.users[len(d.users)-100:]
	var big string
	for _, n := range []int{10, 1000, 100_000} {
		if n > len(d.users)-100 && n > 10 {
			if n > d.size {
				break
			}
			n = len(d.users) - 100
		}
		id, err := d.group(n)
		if err != nil {
			return err
		}
		big = id
		add := func(i int) error {
			_, err := d.scim(http.MethodPatch, "/Groups/"+id, patch("add", "members", members(last[i:i+1])))
			return err
		}
		remove := func(i int) error {
			_, err := d.scim(http.MethodPatch, "/Groups/"+id, patch("remove", `members[value eq "`+last[i]+`"]`, nil))
			return err
		}
		if err = d.measure(fmt.Sprintf("add one of %d members", n), 50, add); err != nil {
			return err
		}
		if err = d.measure(fmt.Sprintf("remove one of %d members", n), 50, remove); err != nil {
			return err
		}
		hundred := func(int) error {
			_, err := d.scim(http.MethodPatch, "/Groups/"+id, patch("add", "members", members(last)))
			return err
		}
		if err = d.measure(fmt.Sprintf("add 100 to %d members", n), 1, hundred); err != nil {
			return err
		}
	}
	if err := d.measureDeletes(big); err != nil {
		return err
	}
	return nil
}

// measureDeletes deletes a user who is in 50 groups, and the group with the most members.
func (d *directory) measureDeletes(big string) error {
	leaver := d.users[len(d.users)-1]
	for range 50 {
		d.groups++
		if _, err := d.scim(http.MethodPost, "/Groups", map[string]any{"schemas": []string{groupURN}, "displayName": fmt.Sprintf("Group %d", d.groups),
			"members": members([]string{leaver})}); err != nil {
			return err
		}
	}
	err := d.measure("delete a user in 50 groups", 1, func(int) error {
		_, err := d.scim(http.MethodDelete, "/Users/"+leaver, nil)
		return err
	})
	d.users = d.users[:len(d.users)-1]
	if err != nil {
		return err
	}
	return d.measure("delete the big group", 1, func(int) error {
		_, err := d.scim(http.MethodDelete, "/Groups/"+big, nil)
		return err
	})
}

// measure does something n times and writes a line.
func (d *directory) measure(name string, n int, do func(i int) error) error {
	settle()
	runtime.GC()
	times := make([]time.Duration, n)
	before := processorTime()
	for i := range times {
		start := time.Now()
		if err := do(i); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		times[i] = time.Since(start)
	}
	settle()
	cpu := milliseconds(processorTime()-before) / float64(n)
	slices.Sort(times)
	growth := ""
	if first, ok := d.first[name]; ok {
		growth = fmt.Sprintf("%.2f", cpu/first)
	} else {
		d.first[name] = cpu
	}
	fmt.Fprintf(d.out, "%s\t%d\t%.3f ms\t%.3f ms\t%.3f ms\t%s\t\n", name, d.size, cpu,
		milliseconds(times[n/2]), milliseconds(times[(n-1)*99/100]), growth)
	return d.out.Flush()
}

// settle waits until the process has next to nothing to do.
func settle() {
	const watched, little = 100 * time.Millisecond, 2 * time.Millisecond
	for idle := 0; idle < 2; {
		before := processorTime()
		time.Sleep(watched)
		if idle++; processorTime()-before > little {
			idle = 0
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// processorTime is what this process has used, of user and kernel.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
