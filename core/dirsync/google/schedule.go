package google

import (
	"context"
	"errors"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/lease"
	"github.com/portico-sso/portico/ports/directory"
	"github.com/portico-sso/portico/ports/store"
)

const (
	longest     = 6 * time.Hour // between two tries of a sync that fails
	projectPage = 100
)

// State is how far a directory's sync has come. Faults: NotFound, where none has begun.
func (s *Service) State(ctx context.Context, directoryID string) (State, error) {
	return s.states.Get(ctx, directoryID)
}

// Waiting receives when SyncDue is asked for: a directory was connected, or SyncSoon was called.
func (s *Service) Waiting() <-chan struct{} { return s.wake }

// SyncSoon has the next SyncDue, which it asks for, sync every directory, whatever its time.
func (s *Service) SyncSoon() {
	s.asked.Store(true)
	s.awake()
}

func (s *Service) awake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is asked for already
	}
}

// SyncDue syncs the directories whose time has come. What fails is logged, and tried again later.
func (s *Service) SyncDue(ctx context.Context) error {
	if s.Source == nil {
		return nil
	}
	all := s.asked.Swap(false)
	return s.eachDirectory(ctx, func(d dirsync.Directory) error {
		if d.Type != dirsync.GoogleAPI || !d.Active() || !d.Google.Connected() {
			return nil
		}
		st, err := s.State(ctx, d.ID)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if !all && s.now().Before(st.Next) && st.Asked == d.Google.Asked {
			return nil
		}
		_, err = s.Sync(ctx, d.ID)
		if err != nil && !errors.Is(err, lease.ErrHeld) && ctx.Err() == nil {
			s.Logger.WarnContext(ctx, "google workspace not synced", "directory_id", d.ID, "error", err)
		}
		return ctx.Err()
	})
}

func (s *Service) eachDirectory(ctx context.Context, do func(dirsync.Directory) error) error {
	for after := ""; ; {
		projects, err := s.Projects.List(ctx, projectPage, after)
		if err != nil {
			return err
		}
		for _, p := range projects.Items {
			if err := s.eachOf(ctx, p.ID, do); err != nil {
				return err
			}
		}
		if !projects.More {
			return nil
		}
		after = projects.Cursors[len(projects.Cursors)-1]
	}
}

// eachOf reads the directories of a project before it works on them: what comes meanwhile moves the pages.
func (s *Service) eachOf(ctx context.Context, projectID string, do func(dirsync.Directory) error) error {
	var all []dirsync.Directory
	for {
		page, err := s.Directories.PageProjectDirectories(ctx, projectID, len(all), projectPage)
		if err != nil {
			return err
		}
		all = append(all, page...)
		if len(page) < projectPage {
			break
		}
	}
	for _, d := range all {
		if err := do(d); err != nil {
			return err
		}
	}
	return nil
}

// begin writes that a sync begins, and note how it ended and when the next one is due: nothing, where the lease is lost.
func (r *run) begin(ctx context.Context) error {
	return r.change(ctx, func(st *State) { st.BeganAt, st.Asked = r.now(), askedOf(r.d) })
}

func (r *run) note(ctx context.Context, failed error) error {
	return r.change(ctx, func(st *State) {
		now := r.now()
		st.EndedAt = now
		if failed == nil {
			st.Failures, st.Error, st.SyncedAt, st.Result, st.Next = 0, "", now, r.result, now.Add(r.Every)
			return
		}
		st.Error, st.Next = reason(failed), now.Add(min(time.Minute<<min(st.Failures, 10), longest))
		st.Failures++
	})
}

func (r *run) change(ctx context.Context, alter func(*State)) error {
	var op store.Op
	err := r.states.Once(ctx, &op, func() error {
		st, err := r.State(ctx, r.d.ID)
		switch {
		case fault.Is(err, fault.NotFound):
			st = State{DirectoryID: r.d.ID}
			alter(&st)
			op = r.states.Insert(st)
		case err != nil:
			return err
		default:
			alter(&st)
			op = r.states.Update(st)
		}
		return r.held.Commit(ctx, op)
	})
	return r.states.Fault(err)
}

// reason is what an administrator is told of a failure.
func reason(err error) string {
	for _, known := range []struct {
		err  error
		text string
	}{
		{directory.ErrRevoked, "Google no longer takes the connection. Connect the directory again."},
		{directory.ErrForbidden, "Google does not show what is to be read to the administrator who connected the directory."},
		{directory.ErrBusy, "Google does not answer, or asks for a pause."},
		{directory.ErrNotFound, "A chosen group does not exist in the workspace."},
		{directory.ErrMalformed, "Google's answer could not be read."},
		{errWorkspace, "The tokens are of another Google Workspace. Nothing was read."},
		{errNobody, "Google lists nobody. Nobody was deleted for that."},
	} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	return "The directory could not be written."
}
