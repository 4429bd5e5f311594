package graph

import (
	"context"
	"sync"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/organization"
	"github.com/portico-sso/portico/core/project"
)

// loaders remember what a request has read, so that a page of connections reads their one organization once.
type loaders struct {
	projects      memo[project.Project]
	organizations memo[organization.Organization]
	directories   memo[dirsync.Directory]
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
	l.directories.forget()
}

// batch gives one of the things that the items of a page lead to, by its id: all are read at once, when the first is asked for.
type batch[T any] func(id string) (found T, ok bool, err error)

func newBatch[T any](read func() ([]T, error), idOf func(T) string) batch[T] {
	all := sync.OnceValues(func() (map[string]T, error) {
		list, err := read()
		byID := make(map[string]T, len(list))
		for _, v := range list {
			byID[idOf(v)] = v
		}
		return byID, err
	})
	return func(id string) (T, bool, error) {
		byID, err := all()
		found, ok := byID[id]
		return found, ok, err
	}
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
