package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/core/sso"
	"github.com/portico-sso/portico/internal/demo"
	"github.com/portico-sso/portico/ports/federation/federationtest"
)

const demoIdPPath = "/demo/idp"

type demoCommand struct {
	Check bool `help:"Walk the sign-in without a browser, print the profile as JSON, and end."`
}

// Run serves Portico on a database of its own that is gone afterwards.
func (d demoCommand) Run(ctx context.Context, opts []Option) error {
	c, _, err := LoadConfig(os.Environ(), opts...)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "portico-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c.DatabaseURL = "sqlite:" + filepath.Join(dir, "portico.db")
	c.SessionURL, c.EncryptionKeys = c.DatabaseURL, nil
	listener, err := d.listen(ctx, &c)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if d.Check {
		level = slog.LevelWarn
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	a, err := newDemo(ctx, c, append([]Option{WithLogger(logger)}, opts...)...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if d.Check {
		return check(ctx, os.Stdout, listener, a, logger, c.PublicURL)
	}
	fmt.Printf("\n  Open this to sign in at the test identity provider:\n\n    %s%s\n\n  Admin API: %s/graphql with the admin key %s\n\n",
		c.PublicURL, demo.Path, c.PublicURL, a.FirstAdminKey)
	return serve(ctx, listener, a, logger)
}

// listen takes a loopback port: the configured one where it is free, and any other for a check.
func (d demoCommand) listen(ctx context.Context, c *Config) (net.Listener, error) {
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, err
	}
	if d.Check {
		port = "0"
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on this machine: %w", err)
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	c.PublicURL = "http://localhost:" + port
	c.SAMLEntityID = c.PublicURL + "/.well-known/sp-metadata"
	return listener, err
}

// newDemo is New with the test identity provider, the sample application, and a connection between the two.
func newDemo(ctx context.Context, c Config, opts ...Option) (*App, error) {
	idp, err := federationtest.NewIdP(federationtest.Options{
		EntityID: c.PublicURL + demoIdPPath + "/metadata", SSOURL: c.PublicURL + demoIdPPath + "/sso", Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	var sample http.Handler
	a, err := New(ctx, c, append(opts, WithHandler(func(portico http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", portico)
		mux.HandleFunc(demo.Path, func(w http.ResponseWriter, r *http.Request) { sample.ServeHTTP(w, r) })
		mux.HandleFunc(demo.CallbackPath, func(w http.ResponseWriter, r *http.Request) { sample.ServeHTTP(w, r) })
		mux.Handle(demoIdPPath+"/", http.StripPrefix(demoIdPPath, idp.Handler(federationtest.HandlerOptions{
			User: federationtest.User{ID: "alice-1", Email: "alice@acme.example", FirstName: "Alice", LastName: "Archer",
				Roles: []string{"admin"}, Groups: []string{"Engineering", "On-call"}},
			ACS: []string{c.PublicURL + sso.ACSPath}, SignedIn: true,
		})))
		return mux
	}))...)
	if err != nil {
		return nil, err
	}
	client, err := connectDemo(ctx, a.services, c.PublicURL, string(idp.Metadata()))
	if err != nil {
		return nil, errors.Join(err, a.Close(ctx))
	}
	sample = client.Handler()
	return a, nil
}

// connectDemo sets up what an operator would: a project, an organization, its connection, and the application.
func connectDemo(ctx context.Context, s *Services, issuer, metadata string) (demo.Client, error) {
	client := demo.Client{Issuer: issuer, Organization: "acme"}
	p, err := s.Projects.Create(ctx, project.Input{Slug: ptr("demo"), Name: ptr("Demo")})
	if err != nil {
		return client, err
	}
	o, err := s.Organizations.Create(ctx, p.ID, organization.Input{Slug: &client.Organization, Label: ptr("Acme")})
	if err != nil {
		return client, err
	}
	idp, err := s.SSO.ReadMetadata(ctx, sso.Metadata{XML: metadata})
	if err != nil {
		return client, err
	}
	if _, err = s.SSO.Put(ctx, o.ID, sso.Connection{Name: "Test identity provider", IdentityProvider: idp}, false); err != nil {
		return client, err
	}
	application, secret, err := s.OAuth.CreateApplication(ctx, p.ID, oauth.ApplicationInput{
		Name: ptr("Sample application"), RedirectURIs: &[]string{issuer + demo.CallbackPath},
	})
	client.ClientID, client.ClientSecret = application.ID, secret
	return client, err
}

func ptr[T any](v T) *T { return &v }

// check serves while it walks the sign-in.
func check(ctx context.Context, w io.Writer, listener net.Listener, a *App, logger *slog.Logger, issuer string) error {
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- serve(serving, listener, a, logger) }()
	profile, err := demo.Check(ctx, issuer)
	stop()
	if err = errors.Join(err, <-served); err != nil {
		return fmt.Errorf("the sign-in failed: %w", err)
	}
	_, err = fmt.Fprintln(w, strings.TrimSpace(string(profile)))
	return err
}
