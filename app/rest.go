package app

import (
	"log/slog"

	"github.com/go-chi/chi/v5"

	"github.com/portico-sso/portico/api/rest"
)

func newREST(logger *slog.Logger, s *Services) *rest.Handler {
	return rest.New(rest.Services{Projects: s.Projects, Events: s.Events, Organizations: s.Organizations, Identities: s.Identities,
		Directories: s.Directories, Admin: s.Admin, Logger: logger})
}

func mountREST(r chi.Router, h *rest.Handler) {
	r.HandleFunc(rest.PathEvents, h.Events)
	r.HandleFunc(rest.PathStream, h.Stream)
	r.HandleFunc(rest.PathIdentities, h.People)
	r.HandleFunc(rest.PathIdentity, h.Person)
	r.HandleFunc(rest.PathGroupsOf, h.PersonGroups)
}
