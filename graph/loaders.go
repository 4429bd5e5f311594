package graph

import (
	"context"
	"sync"

	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
)

// loaders remember what a request has read, so that a page of connections reads their one organization once.
type loaders struct {
	projects      memo[project.Project]
	organizations memo[organization.Organization]
}

type loadersKey struct{}

func withLoaders(ctx context.Context) context.Context {
	return context.WithValue(ctx, loadersKey{}, &loaders{})
}

func loadersOf(ctx context.Context) *loaders {
	return ctx.Value(loadersKey{}).(*loaders)
}

// forget is called before each mutation: what it answers with must not be older than itself.
func forget(ctx context.Context) {
	l := loadersOf(ctx)
	l.projects.forget()
	l.organizations.forget()
}

// memo remembers values by id. Whoever asks for an id that is being read waits for it.
type memo[T any] struct {
	mu      sync.Mutex
	entries map[string]func() (T, error)
}

func (m *memo[T]) get(id string, read func() (T, error)) (T, error) {
	m.mu.Lock()
	if m.entries == nil {
		m.entries = map[string]func() (T, error){}
	}
	entry, ok := m.entries[id]
	if !ok {
		entry = sync.OnceValues(read)
		m.entries[id] = entry
	}
	m.mu.Unlock()
	return entry()
}

func (m *memo[T]) forget() {
	m.mu.Lock()
	m.entries = nil
	m.mu.Unlock()
}
