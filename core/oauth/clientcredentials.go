package oauth

import (
	"context"
	"net/url"
	"strings"
)

// clientCredentials gives an application an access token of its own, for no person (RFC 6749 §4.4).
func (s *Service) clientCredentials(ctx context.Context, form url.Values, c Credentials) (TokenResponse, error) {
	app, err := s.authenticate(ctx, c)
	if err != nil {
		return TokenResponse{}, err
	}
	if !app.May(ClientCredentials) {
		return TokenResponse{}, oauthError("unauthorized_client", "The application may not use its own credentials as a grant")
	}
	g := grant{ClientID: app.ID, ApplicationID: app.ID, ProjectID: app.ProjectID, Scope: app.Scopes}
	if g.Scope, err = narrowed(app.Scopes, form.Get("scope")); err != nil {
		return TokenResponse{}, err
	}
	if g.Resources, err = resources(form["resource"], s.resourcesOf(app)); err != nil {
		return TokenResponse{}, err
	}
	i := s.newIssuing()
	if i.confirm, err = s.confirm(ctx, app, c); err != nil {
		return TokenResponse{}, err
	}
	if err := s.issue(ctx, &i, g, app); err != nil {
		return TokenResponse{}, err
	}
	i.response.Scope = strings.Join(g.Scope, " ")
	made := func(ctx context.Context) (bool, error) { return s.kept(ctx, &i) }
	err = s.once(ctx, made, func() error { return s.commit(ctx, s.tokens.Insert(i.token)) })
	return i.response, err
}
