package google

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/ports/directory"
	"github.com/portico-sso/portico/ports/store"
)

// login is an administrator who is at Google. Its id is the hash of the state; the browser is known by a cookie.
type login struct {
	ID             string    `json:"id"`
	DirectoryID    string    `json:"directoryId"`
	OrganizationID string    `json:"organizationId"`
	Browser        string    `json:"browser"` // hash
	Verifier       string    `json:"verifier"`
	Links          int64     `json:"links"`            // of the link
	Domain         string    `json:"domain,omitempty"` // of the link
	ExpiresAt      time.Time `json:"expiresAt"`

	version int64
}

const loginTime = 15 * time.Minute

var (
	errState     = fault.New(fault.Invalid, "invalid_state", "This answer of Google is not one that is waited for. Open the link to connect the directory again.")
	errBrowser   = fault.New(fault.Forbidden, "another_browser", "Google was asked from another browser. Open the link to connect the directory again, in this one.")
	errWorkspace = fault.New(fault.Forbidden, "another_workspace", "This directory belongs to another Google Workspace. Make a directory of its own for this one, or have it disconnected and its workspace forgotten.")
	errLink      = fault.New(fault.Forbidden, "invalid_link", "This link is not good, or not any more. Ask for a new one.")
	errNotGoogle = fault.New(fault.Invalid, "not_google", "Directory is not a Google Directory")
	errNoClient  = fault.New(fault.NotFound, "not_configured", "Google Workspace is not set up here: PORTICO_GOOGLE_CLIENT_ID is not given.")
	errGone      = fault.New(fault.NotFound, "not_found", "Directory configuration not found.")
)

// Authorize begins to connect the directory that a link is for: where the browser goes, and the cookie by which it is known
// again, which is that of the request where there is one. Faults: Forbidden invalid_link, NotFound, Invalid not_google.
func (s *Service) Authorize(ctx context.Context, token, directoryID, browser string) (url, keep string, err error) {
	if s.Source == nil {
		return "", "", errNoClient
	}
	k, err := s.readLink(token)
	if err != nil || directoryID != "" && directoryID != k.DirectoryID {
		return "", "", errLink
	}
	d, err := s.google(ctx, k.DirectoryID)
	if err != nil {
		return "", "", err
	}
	if linksOf(d) != k.Links {
		return "", "", errLink
	}
	if len(browser) != len(s.IDs.Hex(16)) {
		browser = s.IDs.Hex(16)
	}
	state, verifier := s.IDs.Hex(32), s.IDs.Hex(32)
	l := login{ID: id.Hash(state), DirectoryID: d.ID, OrganizationID: d.OrganizationID, Browser: id.Hash(browser), Verifier: verifier,
		Links: k.Links, Domain: k.Domain, ExpiresAt: s.now().Add(loginTime)}
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
	if s.Source == nil {
		return errNoClient
	}
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
	if l.Domain != "" && l.Domain != tokens.Domain {
		return fault.New(fault.Forbidden, "another_domain", "The link is for the Google Workspace of "+l.Domain+". Open it again and choose an account of that one.")
	}
	return s.connect(ctx, d, l.Links, tokens)
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

// connect keeps the tokens, once they have shown whose workspace it is. Of those who came by one link the first one does.
func (s *Service) connect(ctx context.Context, d dirsync.Directory, links int64, t directory.Tokens) error {
	page, err := s.Source.Users(ctx, t.Access, "", "")
	if err == nil && (len(page.Items) == 0 || page.Items[0].Customer == "") {
		err = directory.ErrForbidden // the administrator is one of them
	}
	if err != nil {
		return upstream(err)
	}
	customer, now := page.Items[0].Customer, s.now()
	_, err = s.Directories.ChangeGoogle(ctx, d.ID, func(g *dirsync.Google) error {
		switch {
		case g.Links != links:
			return errLink
		case g.Customer != "" && g.Customer != customer:
			return errWorkspace
		}
		g.AccessToken, g.RefreshToken, g.ExpiresAt = t.Access, t.Refresh, now.Add(t.Expires)
		g.Customer, g.Domain, g.ConnectedBy, g.ConnectedAt = customer, t.Domain, t.Email, now
		g.Links++
		g.Asked++
		return nil
	})
	if err == nil {
		s.awake()
	}
	return err
}

// Choose has the groups and organizational units read that are given; nil leaves them as they are, none is all. The next sync begins
// at once. Faults: NotFound, Invalid.
func (s *Service) Choose(ctx context.Context, directoryID string, groups, orgUnits *[]string) (dirsync.Directory, error) {
	d, err := s.Directories.ChangeGoogle(ctx, directoryID, func(g *dirsync.Google) error {
		if groups != nil {
			g.Groups = slices.Clone(*groups)
		}
		if orgUnits != nil {
			g.OrgUnits = slices.Clone(*orgUnits)
		}
		g.Asked++
		return nil
	})
	s.awake()
	return d, err
}

// SyncNow has a directory read as soon as possible, whatever its time. Faults: NotFound, Invalid, Conflict not_connected.
func (s *Service) SyncNow(ctx context.Context, directoryID string) (dirsync.Directory, error) {
	d, err := s.Directories.ChangeGoogle(ctx, directoryID, func(g *dirsync.Google) error {
		if !g.Connected() {
			return fault.New(fault.Conflict, "not_connected", "No workspace is connected to the directory.")
		}
		g.Asked++
		return nil
	})
	s.awake()
	return d, err
}

// Disconnect ends the connection, also at Google; the people stay as they are. A workspace that is forgotten may be followed by
// another one, whose people then take their place. Links from before are void. Faults: NotFound, Invalid.
func (s *Service) Disconnect(ctx context.Context, directoryID string, forget bool) (dirsync.Directory, error) {
	var before dirsync.Google
	stopping := s.Directories.With(func() ([]store.Op, error) { return s.stop(ctx, directoryID) })
	d, err := stopping.ChangeGoogle(ctx, directoryID, func(g *dirsync.Google) error {
		before = *g
		g.AccessToken, g.RefreshToken, g.ExpiresAt, g.ConnectedBy, g.ConnectedAt = "", "", time.Time{}, "", time.Time{}
		g.Links++
		if forget {
			g.Customer, g.Domain = "", ""
		}
		return nil
	})
	if err == nil {
		s.Forget(ctx, dirsync.Directory{ID: d.ID, Google: &before})
	}
	return d, err
}

// stop is the operation behind which a sync that is under way writes nothing.
func (s *Service) stop(ctx context.Context, directoryID string) ([]store.Op, error) {
	op, err := s.Leases.End(ctx, leaseOf(directoryID))
	return []store.Op{op}, err
}

// Stop implements dirsync.Reader.
func (s *Service) Stop(ctx context.Context, d dirsync.Directory) ([]store.Op, error) {
	ops, err := s.stop(ctx, d.ID)
	if err != nil || !d.Deleted {
		return ops, err
	}
	st, err := s.states.Get(ctx, d.ID)
	if fault.Is(err, fault.NotFound) {
		return ops, nil
	}
	return append(ops, s.states.Delete(st)), err
}

const revokeTime = 10 * time.Second

// Forget implements dirsync.Reader: it gives the grant back. Google takes away with one grant all that the same account gave, so
// it keeps one where another directory reads the same workspace.
func (s *Service) Forget(ctx context.Context, d dirsync.Directory) {
	if s.Source == nil || !d.Google.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
	defer cancel()
	err := s.eachDirectory(ctx, func(other dirsync.Directory) error {
		if other.ID != d.ID && other.Google.Connected() && (other.Google.Customer == d.Google.Customer || other.Google.Customer == "" || d.Google.Customer == "") {
			return errShared
		}
		return nil
	})
	if err == nil {
		err = s.Source.Revoke(ctx, d.Google.RefreshToken)
	}
	if err != nil {
		s.Logger.WarnContext(ctx, "grant not given back to google", "directory_id", d.ID, "error", err)
	}
}

var errShared = errors.New("google: another directory reads the same workspace")

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
