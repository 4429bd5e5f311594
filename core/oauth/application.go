// Package oauth is the OAuth 2.0 authorization server and OpenID provider in front of the identity providers.
package oauth

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

// Application is an OAuth client of a project. Its id is its client_id.
type Application struct {
	ID           string    `json:"id"`
	ProjectID    string    `json:"projectId"`
	Name         string    `json:"name"`
	Public       bool      `json:"public,omitempty"` // holds no secret and must use PKCE (RFC 6749 §2.1)
	SecretHash   string    `json:"secretHash,omitempty"`
	RedirectURIs []string  `json:"redirectUris"`
	IDTokenAlg   Alg       `json:"idTokenAlg"`
	CreatedAt    time.Time `json:"createdAt"`
	UpdatedAt    time.Time `json:"updatedAt"`

	Version int64 `json:"-"`
}

// Alg is the JWS algorithm of id tokens (RFC 7518 §3.1).
type Alg string

// The algorithms of id tokens.
const (
	RS256 Alg = "RS256"
	ES256 Alg = "ES256"
)

const (
	applications  = "applications"
	maxRedirects  = 100
	secretPrefix  = "cs_"
	codePrefix    = "ac_"
	tokenPrefix   = "at_"
	noApplication = "No such application."
)

// ApplicationInput is what a caller may choose. In an update a nil field stays as it is.
type ApplicationInput struct {
	Name         *string
	Public       *bool // only at creation
	RedirectURIs *[]string
	IDTokenAlg   *Alg
}

// CreateApplication makes an application. The secret of a confidential one is returned here and never again.
// Faults: NotFound of the project, Invalid.
func (s *Service) CreateApplication(ctx context.Context, projectID string, in ApplicationInput) (Application, string, error) {
	now := s.now()
	a := Application{ID: s.IDs.UUID(), ProjectID: projectID, IDTokenAlg: RS256, CreatedAt: now, UpdatedAt: now,
		Public: in.Public != nil && *in.Public}
	if err := a.apply(in); err != nil {
		return Application{}, "", err
	}
	var secret string
	if !a.Public {
		secret = s.IDs.Secret(secretPrefix)
		a.SecretHash = id.Hash(secret)
	}
	insert := s.applications.Insert(a)
	err := s.applications.Once(ctx, &insert, func() error {
		p, err := s.Projects.Get(ctx, projectID)
		if err != nil {
			return err
		}
		return s.Records.Commit(ctx, s.Projects.Check(p), insert)
	})
	a.Version = 1
	return a, secret, s.applications.Fault(err)
}

// Application reads an application.
func (s *Service) Application(ctx context.Context, applicationID string) (Application, error) {
	return s.applications.Get(ctx, applicationID)
}

// ListApplications reads one page of a project's applications, newest first.
func (s *Service) ListApplications(ctx context.Context, projectID string, limit int, after string) (record.Page[Application], error) {
	return s.applications.List(ctx, store.Range{Index: "by_project", Eq: []string{projectID}, Desc: true, Limit: limit, After: after})
}

// CountApplications counts a project's applications.
func (s *Service) CountApplications(ctx context.Context, projectID string) (int64, error) {
	return s.applications.Count(ctx, store.Range{Index: "by_project", Eq: []string{projectID}})
}

// UpdateApplication changes an application. Faults: NotFound, Invalid.
func (s *Service) UpdateApplication(ctx context.Context, applicationID string, in ApplicationInput) (Application, error) {
	return s.changeApplication(ctx, applicationID, func(a *Application) error {
		if in.Public != nil && *in.Public != a.Public {
			return fault.At("public", "immutable", "Make a new application to change its type.")
		}
		return a.apply(in)
	})
}

// RotateSecret gives a confidential application a new secret, which is returned once; the old one ends at once.
// Faults: NotFound, Invalid for a public application.
func (s *Service) RotateSecret(ctx context.Context, applicationID string) (Application, string, error) {
	secret := s.IDs.Secret(secretPrefix)
	a, err := s.changeApplication(ctx, applicationID, func(a *Application) error {
		if a.Public {
			return fault.At("id", "public_client", "A public application has no secret.")
		}
		a.SecretHash = id.Hash(secret)
		return nil
	})
	return a, secret, err
}

func (s *Service) changeApplication(ctx context.Context, applicationID string, change func(*Application) error) (Application, error) {
	defer s.cached.Clear()
	return s.applications.Change(ctx, applicationID, func(a *Application) error {
		a.UpdatedAt = s.now()
		return change(a)
	})
}

// DeleteApplication removes an application. Faults: NotFound.
func (s *Service) DeleteApplication(ctx context.Context, applicationID string) error {
	defer s.cached.Clear()
	return s.applications.Remove(ctx, applicationID, nil)
}

// DeleteProject removes a project without organizations and applications. Faults: NotFound, Conflict not_empty.
func (s *Service) DeleteProject(ctx context.Context, projectID string) error {
	return s.Projects.Delete(ctx, projectID, func() (bool, error) {
		organizations, err := s.Organizations.Count(ctx, projectID)
		if err != nil {
			return false, err
		}
		clients, err := s.CountApplications(ctx, projectID)
		return organizations == 0 && clients == 0, err
	})
}

func (a *Application) apply(in ApplicationInput) error {
	if in.Name != nil {
		a.Name = strings.TrimSpace(*in.Name)
	}
	if err := project.ValidName("name", a.Name); err != nil {
		return err
	}
	if in.RedirectURIs != nil {
		a.RedirectURIs = *in.RedirectURIs
	}
	if err := validRedirectURIs(a.RedirectURIs); err != nil {
		return err
	}
	if in.IDTokenAlg != nil {
		a.IDTokenAlg = *in.IDTokenAlg
	}
	if a.IDTokenAlg != RS256 && a.IDTokenAlg != ES256 {
		return fault.At("idTokenAlg", "invalid", "Id tokens are signed with RS256 or ES256.")
	}
	return nil
}

func validRedirectURIs(uris []string) error {
	if len(uris) == 0 {
		return fault.At("redirectUris", "required", "Give at least one redirect URI.")
	}
	if len(uris) > maxRedirects {
		return fault.At("redirectUris", "too_many", "An application has at most 100 redirect URIs.")
	}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil || !wellFormed(text, u) || strings.Contains(text, "*") {
			return fault.At("redirectUris", "invalid", "A redirect URI is an absolute URL without fragment, user or wildcard: "+text)
		}
	}
	return nil
}
