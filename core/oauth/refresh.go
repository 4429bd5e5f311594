package oauth

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// refresh answers a refresh token with an access token and the next refresh token (RFC 6749 §6, RFC 9700 §4.14.2). The
// one before the good one is answered with the good one for refreshGrace, as the client may not have received it; any
// other use of an old one is theft on one side or the other, and ends the family.
func (s *Service) refresh(ctx context.Context, form url.Values, c Credentials) (TokenResponse, error) {
	app, err := s.authenticate(ctx, c)
	if err != nil {
		return TokenResponse{}, err
	}
	if !app.May(RefreshToken) {
		return TokenResponse{}, oauthError("unauthorized_client", "The application may not refresh")
	}
	i := s.newIssuing()
	if i.confirm, err = s.confirm(ctx, app, c); err != nil {
		return TokenResponse{}, err
	}
	made := func(ctx context.Context) (bool, error) { return s.kept(ctx, &i) }
	err = s.once(ctx, made, func() error { return s.tryRefresh(ctx, &i, app, form) })
	return i.response, err
}

func (s *Service) tryRefresh(ctx context.Context, i *issuing, app Application, form url.Values) error {
	f, number, err := s.findFamily(ctx, form.Get("refresh_token"))
	if fault.Is(err, fault.NotFound) || err == nil && f.Grant.ApplicationID != app.ID {
		return invalidRefreshToken()
	}
	if err != nil {
		return err
	}
	now := s.now()
	again := number+1 == f.Number && now.Before(f.RotatedAt.Add(refreshGrace))
	if number != f.Number && !again {
		s.Logger.WarnContext(ctx, "refresh token used again", "application_id", app.ID)
		if err := s.endFamily(ctx, f.ID); err != nil {
			return err
		}
		return invalidRefreshToken()
	}
	if (f.Confirmation != confirmation{}) && f.Confirmation != i.confirm {
		return oauthError("invalid_grant", "The refresh token is bound to another key")
	}
	if err := s.stillGood(ctx, f.Grant); err != nil {
		return err
	}
	if err := s.issueRefreshed(ctx, i, f, app, form); err != nil {
		return err
	}
	return s.keepRefreshed(ctx, i, f, again, now)
}

// issueRefreshed makes the tokens, of a narrower scope or for fewer resources where the request says so.
func (s *Service) issueRefreshed(ctx context.Context, i *issuing, f family, app Application, form url.Values) error {
	g := f.Grant
	g.Nonce = "" // was for the first id token
	g, err := g.narrowedTo(form["resource"])
	if err != nil {
		return err
	}
	if _, err = resources(g.Resources, s.resourcesOf(app)); err != nil { // one may have been withdrawn since
		return err
	}
	if g.Scope, err = narrowed(app.grantedScope(f.Grant.Scope), form.Get("scope")); err != nil {
		return err
	}
	if err := s.issue(ctx, i, g, app); err != nil {
		return err
	}
	i.response.Scope = strings.Join(g.Scope, " ")
	return nil
}

func (s *Service) keepRefreshed(ctx context.Context, i *issuing, f family, again bool, now time.Time) error {
	if !again {
		f.Number++
		f.RotatedAt = now
		f.extend(now)
	}
	i.token.FamilyID = f.ID
	ops := []store.Op{s.tokens.Insert(i.token)}
	if dropped := f.buy(i.token, now); dropped != "" {
		t, err := s.tokens.Get(ctx, dropped)
		if err == nil {
			ops = append(ops, s.tokens.Delete(t))
		} else if !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	i.response.RefreshToken = f.refreshToken(f.Number)
	return s.commit(ctx, append(ops, s.families.Update(f))...)
}

// endFamily ends a family and the access tokens it bought, in one commit.
func (s *Service) endFamily(ctx context.Context, familyID string) error {
	var ended store.Op
	err := s.families.Once(ctx, &ended, func() error {
		f, err := s.families.Get(ctx, familyID)
		if err != nil {
			return err
		}
		ended = s.families.Delete(f)
		ops := []store.Op{ended}
		for _, b := range f.Bought {
			t, err := s.tokens.Get(ctx, b.TokenID)
			if fault.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			ops = append(ops, s.tokens.Delete(t))
		}
		return s.Sessions.Commit(ctx, ops...)
	})
	if err == nil || fault.Is(err, fault.NotFound) {
		return nil
	}
	return record.StoreFault(err)
}

func invalidRefreshToken() error { return oauthError("invalid_grant", "Invalid refresh token") }
