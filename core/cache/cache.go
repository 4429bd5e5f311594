// Package cache keeps configuration for a moment, so that a burst of logins reads it once.
package cache

import (
	"sync"
	"time"
)

// TTL is how long a value is believed without asking the store again.
const TTL = time.Second

const maxEntries = 10_000

// Cache holds values by key for TTL. The zero value is not usable; make it with New.
type Cache[V any] struct {
	now     func() time.Time
	ttl     time.Duration
	mu      sync.Mutex
	entries map[string]entry[V]
	epoch   uint64 // raised by Clear, so that a load which began before it is not kept
}

type entry[V any] struct {
	value   V
	expires time.Time
}

// New makes an empty cache of configuration.
func New[V any](now func() time.Time) *Cache[V] { return NewFor[V](now, TTL) }

// NewFor makes an empty cache of what others publish, which is believed for longer.
func NewFor[V any](now func() time.Time, ttl time.Duration) *Cache[V] {
	return &Cache[V]{now: now, ttl: ttl, entries: map[string]entry[V]{}}
}

// Get answers from memory or by load. Errors are not kept, so what did not exist is seen as soon as it does.
func (c *Cache[V]) Get(key string, load func() (V, error)) (V, error) {
	now := c.now()
	c.mu.Lock()
	e, ok := c.entries[key]
	epoch := c.epoch
	c.mu.Unlock()
	if ok && now.Before(e.expires) {
		return e.value, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch == c.epoch {
		if len(c.entries) >= maxEntries {
			clear(c.entries)
		}
		c.entries[key] = entry[V]{v, now.Add(c.ttl)}
	}
	return v, nil
}

// Clear forgets everything: call it after each write to what is cached.
func (c *Cache[V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	clear(c.entries)
}
