package oauth

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/key"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/outbound"
	"github.com/portico-sso/portico/ports/store"
)

// notice is what an application is still to be told: that a session of its has ended (OpenID Connect Back-Channel Logout
// 1.0). It is told at least once, by whichever instance is first.
type notice struct {
	ID            string    `json:"id"` // also the jti, by which the application knows one that it had before
	ApplicationID string    `json:"applicationId"`
	SessionID     string    `json:"sessionId"`
	IdentityID    string    `json:"identityId"`
	Attempts      int       `json:"attempts"`
	DueAt         time.Time `json:"dueAt"`
	ExpiresAt     time.Time `json:"expiresAt"`

	version int64
}

const (
	notices        = "logout_notices"
	noticePage     = 20
	logoutTokenTTL = 2 * time.Minute // §2.4
	maxLogoutReply = 16 << 10        // bytes; what it says does not matter
	logoutEvent    = "http://schemas.openid.net/event/backchannel-logout"
)

// noticeAgain is how long after an attempt that failed comes the next one. The first pause is longer than an attempt may
// take, so that no other instance begins while one is at it.
var noticeAgain = []time.Duration{30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour}

var noticeCollection = store.Collection{Name: notices, Expires: true, Keys: record.Keys(noticeHead),
	Indexes: []store.Index{{Name: "by_due", Fields: []string{"due"}}}}

func noticeHead(n notice) store.Doc {
	return store.Doc{ID: n.ID, Version: n.version, ExpiresAt: n.ExpiresAt, Keys: map[string]string{"due": key.Time(n.DueAt)}}
}

func (s *Service) newNotices() record.Repo[notice] {
	return record.Repo[notice]{
		Store: s.Sessions, Collection: notices, Noun: "logout notice",
		Head: noticeHead, SetVersion: func(n *notice, v int64) { n.version = v },
	}
}

// noticesOf are the inserts of what is to be told of a session's end.
func (s *Service) noticesOf(ctx context.Context, v Session, now time.Time) ([]store.Op, error) {
	var ops []store.Op
	for _, applicationID := range v.Applications {
		app, err := s.cachedApplication(ctx, applicationID)
		if fault.Is(err, fault.NotFound) || err == nil && app.BackchannelLogoutURI == "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		ops = append(ops, s.notices.Insert(notice{ID: id.Hash("logout", v.ID, applicationID), ApplicationID: applicationID,
			SessionID: v.ID, IdentityID: v.IdentityID, DueAt: now, ExpiresAt: now.Add(24 * time.Hour)}))
	}
	return ops, nil
}

// LogoutsWaiting receives when this instance has something to tell.
func (s *Service) LogoutsWaiting() <-chan struct{} { return s.wake }

func (s *Service) wakeSender() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// SendLogouts tells applications what is due. Any number of instances may call it.
func (s *Service) SendLogouts(ctx context.Context) error {
	for {
		due, err := s.notices.Range(ctx, store.Range{Index: "by_due", To: key.Time(s.now().Add(time.Microsecond)), Limit: noticePage})
		if err != nil || len(due) == 0 {
			return err
		}
		var all sync.WaitGroup
		failed := make([]error, len(due))
		for i, n := range due {
			all.Go(func() { failed[i] = s.sendLogout(ctx, n) })
		}
		all.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
	}
}

// sendLogout takes a notice, tells it and removes it. An error is of the store; a conflict means that another instance has
// taken it.
func (s *Service) sendLogout(ctx context.Context, n notice) error {
	last := n.Attempts >= len(noticeAgain)
	if !last {
		n.DueAt = s.now().Add(noticeAgain[n.Attempts])
	} else {
		n.DueAt = n.ExpiresAt
	}
	n.Attempts++
	err := s.Sessions.Commit(ctx, s.notices.Update(n))
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err != nil {
		return record.StoreFault(err)
	}
	n.version++
	if err := s.tell(ctx, n); err != nil {
		level := s.Logger.InfoContext
		if last {
			level = s.Logger.WarnContext
		}
		level(ctx, "application not told of a logout", "application_id", n.ApplicationID, "attempt", n.Attempts, "last", last, "error", err)
		if !last {
			return nil
		}
	}
	err = s.Sessions.Commit(ctx, s.notices.Delete(n))
	if errors.Is(err, store.ErrConflict) { // it took so long that another instance has begun
		return nil
	}
	return record.StoreFault(err)
}

// tell posts the logout token (§2.5). nil says that the application has taken it, or is gone.
func (s *Service) tell(ctx context.Context, n notice) error {
	app, err := s.cachedApplication(ctx, n.ApplicationID)
	if fault.Is(err, fault.NotFound) || err == nil && app.BackchannelLogoutURI == "" {
		return nil
	}
	if err != nil {
		return err
	}
	now := s.now()
	token, err := s.sign(ctx, app.IDTokenAlg, "logout+jwt", map[string]any{
		"iss": s.Issuer, "sub": n.IdentityID, "aud": app.ID, "iat": now.Unix(), "exp": now.Add(logoutTokenTTL).Unix(),
		"jti": n.ID, "sid": n.SessionID, "events": map[string]any{logoutEvent: struct{}{}},
	})
	if err != nil {
		return err
	}
	answer, err := s.Send.Send(ctx, outbound.Request{Method: "POST", URL: app.BackchannelLogoutURI, MaxBytes: maxLogoutReply,
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		Body:   []byte(url.Values{"logout_token": {token}}.Encode())})
	if answer.Status >= 200 && answer.Status <= 299 { // whatever its body
		return nil
	}
	if err == nil {
		err = &outbound.StatusError{Code: answer.Status}
	}
	return err
}
