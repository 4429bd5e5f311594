package google

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/directory"
)

// login is an administrator who is at Google. Its id is the hash of the state; the browser is known by a cookie.
type login struct {
	ID             string    `json:"id"`
	DirectoryID    string    `json:"directoryId"`
	OrganizationID string    `json:"organizationId"`
	Browser        string    `json:"browser"` // hash
	Verifier       string    `json:"verifier"`
	ExpiresAt      time.Time `json:"expiresAt"`

	version int64
}

const loginTime = 15 * time.Minute

var (
	errState     = fault.New(fault.Invalid, "invalid_state", "This answer of Google is not one that is waited for. Open the link to connect the directory again.")
	errBrowser   = fault.New(fault.Forbidden, "another_browser", "Google was asked from another browser. Open the link to connect the directory again, in this one.")
	errWorkspace = fault.New(fault.Forbidden, "another_workspace", "This directory is connected to another Google Workspace. Make a directory of its own for this one.")
	errNotGoogle = fault.New(fault.Invalid, "not_google", "Directory is not a Google Directory")
	errGone      = fault.New(fault.NotFound, "not_found", "Directory configuration not found.")
)

// Authorize begins to connect a directory: where the browser goes, and the cookie by which it is known again, which is that of
// the request where there is one. Faults: NotFound, Invalid not_google.
func (s *Service) Authorize(ctx context.Context, directoryID, browser string) (url, keep string, err error) {
	d, err := s.google(ctx, directoryID)
	if err != nil {
		return "", "", err
	}
	if len(browser) != len(s.IDs.Hex(16)) {
		browser = s.IDs.Hex(16)
	}
	state, verifier := s.IDs.Hex(32), s.IDs.Hex(32)
	l := login{ID: id.Hash(state), DirectoryID: d.ID, OrganizationID: d.OrganizationID, Browser: id.Hash(browser), Verifier: verifier, ExpiresAt: s.now().Add(loginTime)}
	op := s.logins.Insert(l)
	if err := s.logins.Once(ctx, &op, func() error { return s.Sessions.Commit(ctx, op) }); err != nil {
		return "", "", s.logins.Fault(err)
	}
	sum := sha256.Sum256([]byte(verifier))
	return s.Source.AuthorizeURL(directory.Grant{Redirect: s.PublicURL + PathCallback, State: state, Challenge: base64.RawURLEncoding.EncodeToString(sum[:])}), browser, nil
}

func (s *Service) google(ctx context.Context, directoryID string) (dirsync.Directory, error) {
	d, err := s.Directories.Directory(ctx, directoryID)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && !d.Active():
		return d, errGone
	case err != nil:
		return d, err
	case d.Type != dirsync.GoogleAPI:
		return d, errNotGoogle
	}
	return d, nil
}

// Finish takes what the browser brought back from Google: it is taken once, in the browser that was sent there, for the directory
// that it was sent for. Faults: Invalid, Forbidden, NotFound, Unavailable.
func (s *Service) Finish(ctx context.Context, state, code, refused, browser string) error {
	l, err := s.take(ctx, state, browser)
	if err != nil {
		return err
	}
	if refused != "" || code == "" {
		return fault.New(fault.Forbidden, "access_denied", "Google was not allowed to show the directory, so it is not connected.")
	}
	d, err := s.google(ctx, l.DirectoryID)
	if err != nil {
		return err
	}
	if d.OrganizationID != l.OrganizationID {
		return errState
	}
	tokens, err := s.Source.Exchange(ctx, code, s.PublicURL+PathCallback, l.Verifier)
	if err == nil && tokens.Refresh == "" {
		err = directory.ErrMalformed
	}
	if err != nil {
		return upstream(err)
	}
	return s.connect(ctx, d, tokens)
}

func (s *Service) take(ctx context.Context, state, browser string) (login, error) {
	l, err := s.logins.Get(ctx, id.Hash(state))
	switch {
	case state == "" || fault.Is(err, fault.NotFound):
		return l, errState
	case err != nil:
		return l, err
	case browser == "" || !id.Equal(id.Hash(browser), l.Browser):
		return l, errBrowser
	}
	// An answer that was lost may have taken it: then it is gone, and the browser begins anew.
	err = s.logins.Fault(s.Sessions.Commit(ctx, s.logins.Delete(l)))
	if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		err = errState
	}
	return l, err
}

// connect keeps the tokens, once they have shown whose workspace it is.
func (s *Service) connect(ctx context.Context, d dirsync.Directory, t directory.Tokens) error {
	page, err := s.Source.Users(ctx, t.Access, "", "")
	if err == nil && len(page.Items) == 0 {
		err = directory.ErrForbidden // the administrator is one of them
	}
	if err != nil {
		return upstream(err)
	}
	customer := page.Items[0].Customer
	if _, err := s.change(ctx, d.ID, func(st *State) error {
		if st.Customer != "" && st.Customer != customer {
			return errWorkspace
		}
		st.Customer, st.Next, st.Failures, st.Error = customer, s.now(), 0, ""
		return nil
	}); err != nil {
		return err
	}
	if err := s.keep(ctx, &d, t); err != nil {
		return err
	}
	s.awake()
	return nil
}

// keep writes tokens into the directory, which seals them.
func (s *Service) keep(ctx context.Context, d *dirsync.Directory, t directory.Tokens) error {
	var g dirsync.Google
	if d.Google != nil {
		g = *d.Google
	}
	g.AccessToken, g.ExpiresAt = t.Access, s.now().Add(t.Expires)
	if t.Refresh != "" {
		g.RefreshToken = t.Refresh
	}
	now, err := s.Directories.UpdateDirectory(ctx, d.ID, dirsync.DirectoryInput{Google: &g})
	if err == nil {
		*d = now
	}
	return err
}

// upstream is a failure of Google for the administrator in the browser.
func upstream(err error) error {
	switch {
	case errors.Is(err, directory.ErrForbidden):
		return fault.Wrap(err, fault.Forbidden, "not_administrator", "Google does not show its users to this account. Connect the directory as an administrator of the workspace.")
	case errors.Is(err, directory.ErrRevoked):
		return fault.Wrap(err, fault.Forbidden, "access_denied", "Google does not take this answer any more. Open the link to connect the directory again.")
	}
	return fault.Wrap(err, fault.Unavailable, "google_unavailable", "Google does not answer as it should. Try again in a moment.")
}

// change writes the state of a directory, which may be its first.
func (s *Service) change(ctx context.Context, directoryID string, fn func(*State) error) (State, error) {
	for {
		st, err := s.states.Change(ctx, directoryID, fn)
		if !fault.Is(err, fault.NotFound) {
			return st, err
		}
		first := State{DirectoryID: directoryID}
		if err := fn(&first); err != nil {
			return first, err
		}
		op := s.states.Insert(first)
		err = s.states.Once(ctx, &op, func() error { return s.Records.Commit(ctx, op) })
		if fault.Is(s.states.Fault(err), fault.Conflict) || taken(err) {
			continue // somebody else wrote the first
		}
		first.version = 1
		return first, s.states.Fault(err)
	}
}
