package oauth

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/ports/store"
)

// Session is a person's being signed in at this server, in one browser and for one project. Its id is the sid of id tokens
// (OpenID Connect Back-Channel Logout 1.0 §2.1).
type Session struct {
	ID             string    `json:"id"`
	SecretHash     string    `json:"secretHash"` // of what the browser keeps
	ProjectID      string    `json:"projectId"`
	OrganizationID string    `json:"organizationId"`
	ConnectionID   string    `json:"connectionId"`
	IdentityID     string    `json:"identityId"`
	Epoch          int64     `json:"epoch"`                 // of the identity: a later one ends the session
	AccessEpoch    int64     `json:"accessEpoch,omitempty"` // and of the connection and its organization
	AuthTime       time.Time `json:"authTime"`
	ACR            string    `json:"acr,omitempty"`
	Applications   []string  `json:"applications,omitempty"` // that the person was signed in to, by id
	StartedAt      time.Time `json:"startedAt"`
	SeenAt         time.Time `json:"seenAt"` // to seenStep
	ExpiresAt      time.Time `json:"expiresAt"`

	version int64
}

// endedSession says that a session was ended before its time, for as long as it has left tokens behind.
type endedSession struct {
	ID        string    `json:"id"`
	All       bool      `json:"all,omitempty"` // offline access too
	ExpiresAt time.Time `json:"expiresAt"`

	version int64
}

// How long a session lives.
const (
	sessionMost = 24 * time.Hour
	sessionIdle = 8 * time.Hour
	seenStep    = 5 * time.Minute // how exactly it is known when a session was used

	maxSessionApplications = 200
)

const (
	sessions = "sessions"
	ended    = "ended_sessions"
)

func sessionHead(v Session) store.Doc {
	return store.Doc{ID: v.ID, Version: v.version, ExpiresAt: v.ExpiresAt,
		Keys: map[string]string{"identity": v.IdentityID, "organization": v.OrganizationID}}
}

var sessionCollections = store.Schema{
	{Name: sessions, Expires: true, Sealed: true, Keys: record.Keys(sessionHead), Indexes: []store.Index{
		{Name: "by_identity", Fields: []string{"identity"}},
		{Name: "by_organization", Fields: []string{"organization"}},
	}},
	{Name: ended, Expires: true},
	noticeCollection,
}

func (s *Service) newSessions() (record.Repo[Session], record.Repo[endedSession]) {
	return record.Repo[Session]{
			Store: s.Sessions, Collection: sessions, Noun: "session",
			Head: sessionHead, SetVersion: func(v *Session, n int64) { v.version = n },
		}, record.Repo[endedSession]{
			Store: s.Sessions, Collection: ended, Noun: "ended session",
			Head: func(e endedSession) store.Doc {
				return store.Doc{ID: e.ID, Version: e.version, ExpiresAt: e.ExpiresAt}
			},
			SetVersion: func(e *endedSession, n int64) { e.version = n },
		}
}

// seen notes that the session is used for an application, and reports whether that has to be written.
func (v *Session) seen(applicationID string, now time.Time) bool {
	changed := now.Sub(v.SeenAt) >= seenStep
	if changed {
		v.SeenAt = now
		v.ExpiresAt = now.Add(sessionIdle)
		if most := v.StartedAt.Add(sessionMost); v.ExpiresAt.After(most) {
			v.ExpiresAt = most
		}
	}
	if applicationID != "" && !slices.Contains(v.Applications, applicationID) && len(v.Applications) < maxSessionApplications {
		v.Applications = append(v.Applications, applicationID)
		changed = true
	}
	return changed
}

// startSession makes the session of a login in the browser that began it, and has the code know of it, in one commit. A
// code that was used, or that has a session, makes none: whoever has the address of the login cannot come back with it.
func (s *Service) startSession(ctx context.Context, codeID string, b *Browser) error {
	fresh, secret := s.IDs.UUID(), s.IDs.Secret("ss_")
	var made Session
	var op store.Op
	err := s.sessions.Once(ctx, &op, func() error {
		c, err := s.codes.Get(ctx, codeID)
		if fault.Is(err, fault.NotFound) || err == nil && (c.Grant == nil || c.Grant.SessionID != "") {
			made = Session{}
			return nil
		}
		if err != nil {
			return err
		}
		if made, op, err = s.sessionOf(ctx, *c.Grant, fresh, id.Hash(secret), b); err != nil {
			return err
		}
		c.Grant.SessionID = made.ID
		return s.Sessions.Commit(ctx, op, s.codes.Update(c))
	})
	if err != nil {
		return s.sessions.Fault(err)
	}
	if made.ID != "" {
		b.keep(s.cookieName(sessionCookie+made.ProjectID), made.ID+"."+secret, sessionMost)
	}
	return nil
}

// sessionOf is the session that a login makes, or the one of the same person in this browser, under a new secret.
func (s *Service) sessionOf(ctx context.Context, g grant, fresh, secretHash string, b *Browser) (Session, store.Op, error) {
	now := s.now()
	v := Session{ID: fresh, ProjectID: g.ProjectID, OrganizationID: g.OrganizationID, ConnectionID: g.ConnectionID, IdentityID: g.IdentityID}
	old, err := s.browserSession(ctx, g.ProjectID, b)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return v, store.Op{}, err
	}
	goesOn := err == nil && old.IdentityID == g.IdentityID && old.ConnectionID == g.ConnectionID && old.Epoch == g.Epoch && old.AccessEpoch == g.AccessEpoch
	if goesOn {
		v = old
	}
	v.SecretHash, v.Epoch, v.AccessEpoch, v.ACR, v.StartedAt, v.SeenAt = secretHash, g.Epoch, g.AccessEpoch, g.ACR, now, time.Time{}
	if v.AuthTime = g.AuthTime; v.AuthTime.IsZero() || v.AuthTime.After(now) {
		v.AuthTime = now
	}
	v.seen(g.ApplicationID, now)
	if goesOn {
		return v, s.sessions.Update(v), nil
	}
	return v, s.sessions.Insert(v), nil
}

// browserSession is the session of a project that a browser shows. Faults: NotFound.
func (s *Service) browserSession(ctx context.Context, projectID string, b *Browser) (Session, error) {
	none := fault.New(fault.NotFound, "not_found", "No such session.")
	sessionID, secret, ok := strings.Cut(b.Cookies[s.cookieName(sessionCookie+projectID)], ".")
	if !ok || !id.IsUUID(sessionID) {
		return Session{}, none
	}
	v, err := s.sessions.Get(ctx, sessionID)
	if err != nil {
		return v, err
	}
	if v.ProjectID != projectID || !id.Equal(v.SecretHash, id.Hash(secret)) {
		return Session{}, none
	}
	return v, nil
}

// held is a session by which a request can be answered without its identity provider.
type held struct {
	session    Session
	connection sso.Connection
	person     identity.Identity
}

// holds finds the session by which a request can be answered; nil where the person has to sign in. It has to be of the
// request's own project and organization, through a connection that the request allows.
func (s *Service) holds(ctx context.Context, a authorization) (*held, error) {
	t := a.target
	v, err := s.browserSession(ctx, t.projectID(), a.browser)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(t.connections, func(c sso.Connection) bool {
		return c.ID == v.ConnectionID && c.Active() && c.AccessEpoch() == v.AccessEpoch && !c.ForceAuthn && (t.application != nil || c.Sessions)
	})
	if at < 0 || !a.wish.met(v, s.now()) {
		return nil, nil
	}
	person, err := s.Identities.Get(ctx, v.IdentityID)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !person.Active || person.Epoch != v.Epoch || person.OrganizationID != t.connections[at].OrganizationID {
		return nil, nil
	}
	h := &held{v, t.connections[at], person}
	profile, err := h.profile()
	if err != nil || !a.wish.hints(profile) {
		return nil, err
	}
	return h, nil
}

func (h held) profile() (sso.Profile, error) {
	var p sso.Profile
	return p, json.Unmarshal(h.person.Seen(), &p)
}

// projectID is the project whose sessions count. A target has a connection or a problem.
func (t target) projectID() string {
	if t.application != nil {
		return t.application.ProjectID
	}
	return t.connections[0].ProjectID
}

// ListSessions reads one page of the sessions of an identity, newest first.
func (s *Service) ListSessions(ctx context.Context, identityID string, limit int, after string) (record.Page[Session], error) {
	return s.sessions.List(ctx, store.Range{Index: "by_identity", Eq: []string{identityID}, Desc: true, Limit: limit, After: after})
}

// CountSessions counts them.
func (s *Service) CountSessions(ctx context.Context, identityID string) (int64, error) {
	return s.sessions.Count(ctx, store.Range{Index: "by_identity", Eq: []string{identityID}})
}

// ListOrganizationSessions reads one page of the sessions in an organization, newest first.
func (s *Service) ListOrganizationSessions(ctx context.Context, organizationID string, limit int, after string) (record.Page[Session], error) {
	return s.sessions.List(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}, Desc: true, Limit: limit, After: after})
}

// CountOrganizationSessions counts them.
func (s *Service) CountOrganizationSessions(ctx context.Context, organizationID string) (int64, error) {
	return s.sessions.Count(ctx, store.Range{Index: "by_organization", Eq: []string{organizationID}})
}

// Session reads a session. Faults: NotFound.
func (s *Service) Session(ctx context.Context, sessionID string) (Session, error) {
	return s.sessions.Get(ctx, sessionID)
}

// RevokeSession ends a session and every token that it led to, offline access too, and tells its applications.
// Faults: NotFound.
func (s *Service) RevokeSession(ctx context.Context, sessionID string) error {
	return s.endSession(ctx, sessionID, true)
}

// RevokeSessions is RevokeSession for all of an identity.
func (s *Service) RevokeSessions(ctx context.Context, identityID string) error {
	for {
		page, err := s.sessions.Range(ctx, store.Range{Index: "by_identity", Eq: []string{identityID}, Limit: 100})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, v := range page {
			if err := s.endSession(ctx, v.ID, true); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
	}
}

// endSession ends a session, in one commit with what is to be told to its applications. Offline access outlives a person's
// own signing out (OpenID Connect Back-Channel Logout 1.0 §2.7); all ends that too.
func (s *Service) endSession(ctx context.Context, sessionID string, all bool) error {
	var op store.Op
	err := s.sessions.Once(ctx, &op, func() error {
		v, err := s.sessions.Get(ctx, sessionID)
		if err != nil {
			return err
		}
		now := s.now()
		op = s.ended.Insert(endedSession{ID: v.ID, All: all, ExpiresAt: now.Add(2 * appTokenTTL)})
		if all {
			op = s.ended.Insert(endedSession{ID: v.ID, All: all, ExpiresAt: now.Add(refreshMost)})
		}
		notices, err := s.noticesOf(ctx, v, now)
		if err != nil {
			return err
		}
		return s.Sessions.Commit(ctx, append(notices, op, s.sessions.Delete(v))...)
	})
	if err == nil {
		s.wakeSender()
	}
	return s.sessions.Fault(err)
}

// sessionGoesOn refuses a grant whose session was ended. NotFound says so.
func (s *Service) sessionGoesOn(ctx context.Context, g grant) error {
	if g.SessionID == "" {
		return nil
	}
	e, err := s.ended.Get(ctx, g.SessionID)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && !e.All && slices.Contains(g.Scope, offlineAccess):
		return nil
	case err == nil:
		return accessEnded("The session has ended")
	}
	return err
}
