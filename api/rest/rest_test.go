package rest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/api/middleware"
	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

const adminKey = "an admin key of these tests"

type world struct {
	*testing.T
	handler *Handler
	writer  *events.Service // of the instance that writes
	server  *httptest.Server
	store   *store.Store
	project project.Project
	now     time.Time
}

type nobody struct{}

func (nobody) Send(context.Context, outbound.Request) (outbound.Answer, error) {
	return outbound.Answer{}, outbound.ErrUnreachable
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	schema := slices.Concat(project.Collections(), admin.Collections(), lease.Collections(), events.Collections())
	ring, err := seal.NewKeyring([]seal.Key{{ID: "k1"}})
	w.must(err)
	clock := func() time.Time { return w.now }
	w.store, err = store.New(memory.New(schema), schema, store.Options{Now: clock, Sealer: ring})
	w.must(err)
	ids, logger := id.Source{Now: clock, Rand: rand.Reader}, slog.New(slog.DiscardHandler)
	projects := project.NewService(w.store, ids)
	slug := "shop"
	w.project, err = projects.Create(t.Context(), project.Input{Slug: &slug})
	w.must(err)
	told := events.NewService(events.Options{Records: w.store, IDs: ids, Leases: lease.NewService(w.store, ids, logger), Send: nobody{}, Logger: logger,
		Names: func(context.Context, string, string) (string, string, error) { return "shop", "acme", nil }})
	w.handler = New(Services{Projects: projects, Events: told, Admin: admin.NewService(w.store, ids, []string{adminKey}), Logger: logger})
	w.writer = told
	mux := http.NewServeMux()
	mux.HandleFunc(PathEvents, w.handler.Events)
	mux.HandleFunc(PathStream, w.handler.Stream)
	w.server = httptest.NewUnstartedServer(mux)
	w.server.Config.WriteTimeout, w.server.Config.ReadTimeout = time.Second, time.Second // a stream outlives both
	w.server.Start()
	t.Cleanup(func() { w.handler.Close(); w.server.Close() })
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(name string, from, to int64) {
	w.Helper()
	for n := from; n <= to; n++ {
		w.must(w.store.Commit(w.Context(), w.writer.Outbox(w.project.ID, events.Event{Type: events.IdentityUpdated, OrganizationID: "org",
			ResourceType: "identity", ResourceID: name, Seq: n, Data: json.RawMessage(`{"line":"a\nb"}`)})))
	}
	w.must(w.writer.Relay(w.Context()))
}

func (w *world) get(query string, header ...string) (int, map[string]any) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.server.URL+query, nil)
	w.must(err)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	var body map[string]any
	w.must(json.NewDecoder(response.Body).Decode(&body))
	return response.StatusCode, body
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.write("ann", 1, 5)
	var seen []float64
	for after := 0.0; ; {
		status, body := w.get(fmt.Sprintf("%s?project=shop&limit=2&after=%v", PathEvents, after))
		if status != 200 {
			t.Fatalf("%d %v", status, body)
		}
		for _, e := range body["events"].([]any) {
			seen = append(seen, e.(map[string]any)["position"].(float64))
		}
		after = body["next"].(float64)
		if body["more"] == false {
			break
		}
	}
	if !slices.Equal(seen, []float64{1, 2, 3, 4, 5}) {
		t.Errorf("%v", seen)
	}
	if _, body := w.get(PathEvents + "?project=" + w.project.ID + "&organization=other"); len(body["events"].([]any)) != 0 || body["next"] != 5.0 {
		t.Errorf("another organization: %v", body)
	}
	if _, body := w.get(PathEvents + "?project=shop&type=IdentityCreated,user.created"); len(body["events"].([]any)) != 0 {
		t.Errorf("other types: %v", body)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.write("ann", 1, 3)
	w.now = w.now.Add(events.DefaultKeepEvents)
	w.write("ann", 4, 4)
	for _, path := range []string{PathEvents, PathStream} {
		for name, c := range map[string]struct {
			query, key string
			status     int
			code       string
		}{
			"no key":         {"?project=shop", "", 401, "unauthorized"},
			"wrong key":      {"?project=shop", "Bearer nonsense", 401, "unauthorized"},
			"no project":     {"", "Bearer " + adminKey, 400, "required"},
			"other project":  {"?project=none", "Bearer " + adminKey, 404, "not_found"},
			"hostile one":    {"?project=%00%ff", "Bearer " + adminKey, 404, "not_found"},
			"bad limit":      {"?project=shop&limit=0", "Bearer " + adminKey, 400, "invalid"},
			"big limit":      {"?project=shop&limit=501", "Bearer " + adminKey, 400, "invalid"},
			"bad after":      {"?project=shop&after=-1", "Bearer " + adminKey, 400, "invalid_cursor"},
			"huge after":     {"?project=shop&after=99999999999999999999", "Bearer " + adminKey, 400, "invalid_cursor"},
			"of the future":  {"?project=shop&after=5", "Bearer " + adminKey, 400, "invalid_cursor"},
			"expired cursor": {"?project=shop&after=2", "Bearer " + adminKey, 410, "expired_cursor"},
			"unknown":        {"?project=shop&types=IdentityCreated", "Bearer " + adminKey, 400, "unknown_parameter"},
			"type":           {"?project=shop&type=Nothing", "Bearer " + adminKey, 400, "invalid"},
		} {
			if status, body := w.get(path+c.query, "Authorization", c.key); status != c.status || body["code"] != c.code {
				t.Errorf("%s%s: %d %v", path, name, status, body)
			}
		}
	}
	for _, nonsense := range []string{"%00", "%ff", strings.Repeat("a", 5000)} {
		for _, scope := range []string{"organization", "directory"} {
			if status, body := w.get(PathEvents+"?project=shop&"+scope+"="+nonsense, "Authorization", "Bearer "+adminKey); status != 200 || len(body["events"].([]any)) != 0 {
				t.Errorf("%s %.10s: %d %v", scope, nonsense, status, body)
			}
		}
	}
	for _, path := range []string{PathEvents, PathStream} {
		for method, status := range map[string]int{http.MethodPost: 405, http.MethodDelete: 405, http.MethodHead: 200} {
			r, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+path+"?project=shop&after=4", nil)
			w.must(err)
			r.Header.Set("Authorization", "Bearer "+adminKey)
			response, err := http.DefaultClient.Do(r)
			w.must(err)
			_ = response.Body.Close()
			if response.StatusCode != status || status == 405 && response.Header.Get("Allow") != http.MethodGet {
				t.Errorf("%s %s: %s %v", method, path, response.Status, response.Header)
			}
		}
	}
	if len(middleware.Statuses) != len(fault.Kinds) {
		t.Errorf("%d kinds have a status, of %d", len(middleware.Statuses), len(fault.Kinds))
	}
}

// reader reads a stream of server-sent events.
type reader struct {
	*testing.T
	body  io.ReadCloser
	lines *bufio.Scanner
	last  string // Last-Event-ID
}

func (w *world) stream(query, last string) *reader {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.server.URL+PathStream+query, nil)
	w.must(err)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(r)
	w.must(err)
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		w.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	w.Cleanup(func() { _ = response.Body.Close() })
	return &reader{T: w.T, body: response.Body, lines: bufio.NewScanner(response.Body), last: last}
}

// next is the position of the next event; io.EOF says that the stream has ended.
func (r *reader) next() (position int64, err error) {
	var data string
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch name {
		case "id":
			r.last = value
		case "data":
			data += value
		case "":
			if data == "" {
				continue
			}
			var v events.Envelope
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				return 0, err
			}
			if strconv.FormatInt(v.Position, 10) != r.last {
				return 0, errors.New("the id is not the position: " + r.last)
			}
			return v.Position, nil
		}
	}
	return 0, io.EOF
}

func (r *reader) want(from, to int64) {
	r.Helper()
	for want := from; want <= to; want++ {
		if got, err := r.next(); err != nil || got != want {
			r.Fatalf("got %d, %v; want %d", got, err, want)
		}
	}
}

func TestStreamResumes(t *testing.T) {
	w := newWorld(t)
	w.write("ann", 1, 3)
	all := w.stream("?project=shop&after=0", "")
	all.want(1, 3)
	fromNow := w.stream("?project=shop", "")
	w.write("ann", 4, 8)
	all.want(4, 8)
	fromNow.want(4, 5)
	_ = fromNow.body.Close() // the line breaks
	w.write("ann", 9, 250)
	again := w.stream("?project=shop", fromNow.last)
	again.want(6, 250)
	all.want(9, 250)
}

// A stream lives longer than the server lets requests take, and ends when the server is to stop.
func TestStreamOutlivesTimeoutsAndEnds(t *testing.T) {
	w := newWorld(t)
	r := w.stream("?project=shop", "")
	time.Sleep(1500 * time.Millisecond) // more than the server's timeouts
	w.write("ann", 1, 1)
	r.want(1, 1)
	w.handler.Close()
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream goes on: %v", err)
	}
}

// A reader who has far to go is sent it without a pause, and is let go when the server is to stop.
func TestStreamEndsBeforeItHasCaughtUp(t *testing.T) {
	w := newWorld(t)
	const many = 64
	data := json.RawMessage(`"` + strings.Repeat("x", 256<<10) + `"`) // more than what is under way on a line
	for n := range int64(many) {
		w.must(w.store.Commit(w.Context(), w.writer.Outbox(w.project.ID, events.Event{Type: events.IdentityUpdated, ResourceType: "identity", ResourceID: "ann", Seq: n + 1, Data: data})))
	}
	w.must(w.writer.Relay(w.Context()))
	r := w.stream("?project=shop&after=0&limit=1", "")
	r.lines.Buffer(nil, 1<<20)
	r.want(1, 5)
	w.handler.Close()
	for last := int64(5); ; {
		position, err := r.next()
		if err != nil {
			break
		}
		if last++; position != last || position == many {
			t.Fatalf("event %d behind %d, of %d", position, last-1, many)
		}
	}
}

// What another instance wrote is found without being told.
func TestStreamFindsWhatOthersWrote(t *testing.T) {
	w := newWorld(t)
	r := w.stream("?project=shop", "")
	logger := slog.New(slog.DiscardHandler)
	ids := id.Source{Now: func() time.Time { return w.now }, Rand: rand.Reader}
	w.writer = events.NewService(events.Options{Records: w.store, IDs: ids, Leases: lease.NewService(w.store, ids, logger), Send: nobody{},
		Logger: logger, Names: w.writer.Names})
	w.write("ann", 1, 2)
	r.want(1, 2)
}

func TestTooManyStreams(t *testing.T) {
	w := newWorld(t)
	for range maxStreams {
		w.handler.streams <- struct{}{}
	}
	if status, body := w.get(PathStream + "?project=shop"); status != 429 || body["code"] != "too_many_streams" {
		t.Errorf("%d %v", status, body)
	}
}
