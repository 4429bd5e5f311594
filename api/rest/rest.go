// Package rest is the REST API beside GraphQL: the events of a project, which stream, and people.
package rest

import (
	"log/slog"
	"sync"

	"github.com/portico-sso/portico/core/admin"
	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/identity"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
)

// The paths of the handlers.
const (
	PathEvents = "/api/v1/events"
	PathStream = "/api/v1/events/stream"
)

// Services are what the API works with. All are required.
type Services struct {
	Projects      *project.Service
	Events        *events.Service
	Organizations *organization.Service
	Identities    *identity.Service
	Directories   *dirsync.Service
	Admin         *admin.Service
	Logger        *slog.Logger
}

// Handler serves the API. Close ends its streams, so that a server may stop.
type Handler struct {
	Services
	streams chan struct{} // one for each that is open
	closed  chan struct{}
	once    sync.Once
}

// New makes the handler.
func New(s Services) *Handler {
	return &Handler{Services: s, streams: make(chan struct{}, maxStreams), closed: make(chan struct{})}
}

// Close ends all streams, and new ones at once. Their readers come back to another instance.
func (h *Handler) Close() { h.once.Do(func() { close(h.closed) }) }
