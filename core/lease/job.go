package lease

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portico-sso/portico/core/fault"
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
	Progress any           // becomes Job.Progress of the next page
	Done     bool          // there is no next page
	Later    time.Duration // how long the next page has to wait: for what others do meanwhile
	Then     func()        // called once the page is committed, where it is not nil
}

// Work does one page of a job, beginning where Job.Progress says. It may be called again for a page whose commit failed.
type Work func(ctx context.Context, j Job) (Page, error)

const (
	jobs      = "jobs"
	byRunning = "by_running"
	waiting   = "1" // in the index by_name
)

var jobCollection = store.Collection{Name: jobs, Keys: record.Keys(jobHead), Indexes: []store.Index{
	{Name: "by_due", Fields: []string{"due"}},
	{Name: "by_name", Fields: []string{"name", "waiting"}},
	{Name: byRunning, Fields: []string{"running"}, Unique: true},
}}

func jobName(j Job) string { return key.Text(j.Kind + "/" + j.Name) }

func jobHead(j Job) store.Doc {
	keys := map[string]string{"due": key.Time(j.DueAt), "name": jobName(j), "waiting": waiting}
	if j.Running {
		keys["running"], keys["waiting"] = jobName(j), ""
	}
	return store.Doc{ID: j.ID, Version: j.version, Keys: keys}
}

// Ask is the operation that asks for work, for the commit that makes it necessary. Call Wake behind the commit.
func (s *Service) Ask(kind, name string, payload any) store.Op {
	return s.AskLater(0, kind, name, payload)
}

// AskLater is Ask for work that waits for so long, so that what is asked for under its name meanwhile is done by it, too.
func (s *Service) AskLater(wait time.Duration, kind, name string, payload any) store.Op {
	body, err := json.Marshal(payload)
	if err != nil {
		panic("lease: a payload cannot be written as JSON: " + err.Error()) // a type that the caller declared
	}
	now := s.now()
	return s.jobs.Insert(Job{ID: s.ids.UUID(), Kind: kind, Name: name, Payload: body, DueAt: now.Add(wait), AskedAt: now})
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

// Waiting receives when this instance was asked for work.
func (s *Service) Waiting() <-chan struct{} { return s.wake }

const (
	jobHold   = time.Minute // how long a page may take before another instance takes the job over
	jobTurn   = 20          // pages of a job before others have their turn
	jobPage   = 50
	coalesce  = 400 // waiting jobs that one takes along
	jobWorker = 4   // jobs at a time on one instance
)

// jobAgain is how long after a failure a page is tried again; the last holds for all that follow.
var jobAgain = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour}

// Run does the work that is due, and what becomes due meanwhile. Any number of instances may call it.
func (s *Service) Run(ctx context.Context) error {
	for {
		progressed, err := s.runDue(ctx)
		if err != nil || !progressed {
			return err
		}
	}
}

// runDue gives each job that is due a turn and says whether one came further.
func (s *Service) runDue(ctx context.Context) (progressed bool, err error) {
	for after := ""; ; {
		due, err := s.jobs.List(ctx, store.Range{Index: "by_due", To: key.Time(s.now().Add(time.Microsecond)), After: after, Limit: jobPage})
		if err != nil {
			return progressed, err
		}
		turns := make(chan Job)
		var all sync.WaitGroup
		var moved atomic.Bool
		for range min(jobWorker, len(due.Items)) {
			all.Go(func() {
				for j := range turns {
					if s.turn(ctx, j) {
						moved.Store(true)
					}
				}
			})
		}
		for _, j := range due.Items {
			turns <- j
		}
		close(turns)
		all.Wait()
		progressed = progressed || moved.Load()
		if !due.More || ctx.Err() != nil {
			return progressed, ctx.Err()
		}
		after = due.Cursors[len(due.Cursors)-1]
	}
}

// turn does some pages of a job, unless another instance is at it or one of the same name runs.
func (s *Service) turn(ctx context.Context, j Job) (progressed bool) {
	if s.works[j.Kind] == nil { // a newer instance knows it
		s.logger.WarnContext(ctx, "job of an unknown kind left alone", "kind", j.Kind, "job_id", j.ID)
		return false
	}
	if ok, err := s.claim(ctx, &j); err != nil || !ok {
		s.warn(ctx, "job not begun", j, err)
		return false
	}
	for n := 1; ; n++ {
		over, err := s.page(ctx, &j, n == jobTurn)
		switch {
		case err == nil && over:
			return true
		case err == nil:
			continue
		case !errors.Is(err, errLost):
			s.warn(ctx, "page of a job failed", j, err)
			s.postpone(ctx, j)
		}
		return n > 1
	}
}

// errLost says that another instance has taken a job over.
var errLost = errors.New("lease: the job is another instance's now")

// claim takes a job for jobHold, with those along that wait under its name. It answers false where somebody else has it, or
// has one of the same name.
func (s *Service) claim(ctx context.Context, j *Job) (bool, error) {
	ops := []store.Op{{}}
	if !j.Running {
		same, err := s.jobs.Range(ctx, store.Range{Index: "by_name", Eq: []string{jobName(*j), waiting}, Limit: coalesce})
		if err != nil {
			return false, err
		}
		for _, other := range same {
			if other.ID != j.ID {
				ops = append(ops, s.jobs.Delete(other))
			}
		}
	}
	j.Running, j.DueAt = true, s.now().Add(jobHold)
	ops[0] = s.jobs.Update(*j)
	err := s.store.Commit(ctx, ops...)
	if errors.Is(err, store.ErrConflict) || store.Taken(err, jobs, byRunning) {
		return false, nil
	}
	if err != nil { // also where it may have been done: then it is resumed when its time is over
		return false, record.StoreFault(err)
	}
	j.version++
	return true, nil
}

// page does one page. Where it is the last of a turn, the job is free for whoever comes next; over says that it was.
func (s *Service) page(ctx context.Context, j *Job, last bool) (over bool, err error) {
	var (
		op  store.Op
		p   Page
		now = *j
		try = 0
	)
	err = s.jobs.Once(ctx, &op, func() error {
		if try++; try > 1 {
			if stored, err := s.jobs.Get(ctx, j.ID); fault.Is(err, fault.NotFound) || err == nil && stored.version != j.version {
				return errLost
			} else if err != nil {
				return err
			}
		}
		var err error
		if p, err = s.works[j.Kind](ctx, *j); err != nil {
			return err
		}
		now, over = *j, true
		if op = s.jobs.Delete(now); !p.Done {
			if now.Progress, err = json.Marshal(p.Progress); err != nil {
				return err
			}
			now.Failures, now.DueAt = 0, s.now().Add(p.Later)
			if over = last || p.Later > 0; !over {
				now.DueAt = now.DueAt.Add(jobHold)
			}
			op = s.jobs.Update(now)
		}
		return s.store.Commit(ctx, append(slices.Clone(p.Ops), op)...)
	})
	if err != nil {
		return false, err
	}
	*j = now
	j.version++
	if p.Then != nil {
		p.Then()
	}
	return over, nil
}

// postpone has the page tried again later.
func (s *Service) postpone(ctx context.Context, j Job) {
	j.DueAt = s.now().Add(jobAgain[min(j.Failures, len(jobAgain)-1)])
	j.Failures++
	if err := s.store.Commit(context.WithoutCancel(ctx), s.jobs.Update(j)); err != nil && !errors.Is(err, store.ErrConflict) {
		s.warn(ctx, "job not postponed", j, err) // it is due again when its time is over
	}
}

func (s *Service) warn(ctx context.Context, message string, j Job, err error) {
	if err == nil {
		return
	}
	s.logger.WarnContext(ctx, message, "kind", j.Kind, "name", j.Name, "job_id", j.ID, "failures", j.Failures, "error", err) //nolint:sloglint // the callers' messages are constant
}
