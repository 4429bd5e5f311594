package lease

import (
	"context"
	"encoding/json"
	"time"

	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Job is long work, done in pages. Of several that wait under one name one is done: they must ask for the same.
type Job struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"` // which work, see Jobs.Do
	Name     string          `json:"name"` // on what; one job of a kind and name runs at a time
	Payload  json.RawMessage `json:"payload,omitempty"`
	Progress json.RawMessage `json:"progress,omitempty"` // nil at the first page
	Running  bool            `json:"running,omitempty"`
	Failures int             `json:"failures,omitempty"` // of the present page
	DueAt    time.Time       `json:"dueAt"`
	AskedAt  time.Time       `json:"askedAt"`

	version int64
}

// Page is what one page of work comes to: the operations it asks for, at most 400, are committed together with the
// progress, so that each page is done once, whatever happens in between.
type Page struct {
	Ops      []store.Op
	Progress any    // becomes Job.Progress of the next page
	Done     bool   // there is no next page
	Then     func() // called once the page is committed, where it is not nil
}

// Work does one page of a job, beginning where Job.Progress says. It may be called again for a page whose commit failed.
type Work func(ctx context.Context, j Job) (Page, error)

const jobs = "jobs"

var jobCollection = store.Collection{Name: jobs, Keys: record.Keys(jobHead), Indexes: []store.Index{
	{Name: "by_due", Fields: []string{"due"}},
	{Name: "by_name", Fields: []string{"name", "waiting"}},
	{Name: "by_running", Fields: []string{"running"}, Unique: true},
}}

func jobHead(j Job) store.Doc {
	name := key.Text(j.Kind + "/" + j.Name)
	keys := map[string]string{"due": key.Time(j.DueAt), "name": name, "waiting": "1"}
	if j.Running {
		keys["running"], keys["waiting"] = name, ""
	}
	return store.Doc{ID: j.ID, Version: j.version, Keys: keys}
}

// Ask is the operation that asks for work, for the commit that makes it necessary. Call Wake behind the commit.
func (s *Service) Ask(kind, name string, payload any) store.Op {
	body, err := json.Marshal(payload)
	if err != nil {
		panic("lease: a payload cannot be written as JSON: " + err.Error()) // a type that the caller declared
	}
	now := s.now()
	return s.jobs.Insert(Job{ID: s.ids.UUID(), Kind: kind, Name: name, Payload: body, DueAt: now, AskedAt: now})
}

// Do says how work of a kind is done. Call it before Run.
func (s *Service) Do(kind string, work Work) { s.works[kind] = work }

// Wake says that a commit asked for work, so that it begins at once.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
