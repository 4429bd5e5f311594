package oidc

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	fresh      = 10 * time.Minute // how long a document serves without asking
	stale      = 24 * time.Hour   // and how long while the provider does not answer
	floor      = 5 * time.Second  // between two attempts after one that failed, and between two that a token asked for
	maxEntries = 1024
)

// cache keeps what providers publish, by address. Whoever finds a document missing or old reads it, while others wait for
// the same one.
type cache[T any] struct {
	now     func() time.Time
	mu      sync.Mutex
	entries map[string]*entry[T]
}

type entry[T any] struct {
	value  T
	serial uint64    // how often it was read; 0: never
	read   time.Time // when it was
	err    error     // of the last attempt
	tried  time.Time // when an attempt failed, or was asked for by somebody who had seen the document
	used   time.Time
	flight chan struct{} // closed at the end of the attempt under way; nil where there is none
}

func newCache[T any](now func() time.Time) *cache[T] {
	return &cache[T]{now: now, entries: map[string]*entry[T]{}}
}

// get answers with a document and its serial number: from memory where it is fresh, else by load; where that fails, from
// memory as long as it is not older than stale. Whoever did not find what they need in a document gives its number as seen,
// else 0, and it is loaded anew unless that was just done; what they get may be the same one.
func (c *cache[T]) get(ctx context.Context, key string, seen uint64, load func(context.Context) (T, error)) (T, uint64, error) {
	var none T
	c.mu.Lock()
	e := c.entry(key)
	old := e.serial <= seen || c.now().Sub(e.read) >= fresh
	flight := e.flight
	switch {
	case !old || e.usable(c.now()) && flight != nil && seen == 0:
	case flight != nil:
		c.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return none, 0, ctx.Err()
		}
		c.mu.Lock()
	case c.now().Sub(e.tried) >= floor:
		e.flight = make(chan struct{})
		c.mu.Unlock()
		c.load(ctx, e, seen != 0, load)
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if !e.usable(c.now()) {
		return none, 0, e.err
	}
	return e.value, e.serial, nil
}

func (e *entry[T]) usable(now time.Time) bool { return e.serial > 0 && now.Sub(e.read) < stale }

// load makes an attempt in the name of all who wait for it, so it outlives the one who makes it.
func (c *cache[T]) load(ctx context.Context, e *entry[T], asked bool, load func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	var value T
	err := errors.New("oidc: reading what a provider publishes panicked")
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		now := c.now()
		if e.err = err; err == nil {
			e.value, e.read = value, now
			e.serial++
		}
		if err != nil || asked {
			e.tried = now
		}
		close(e.flight)
		e.flight = nil
	}()
	value, err = load(ctx)
}

// entry finds or makes an entry. The one that was not used for the longest time makes room.
func (c *cache[T]) entry(key string) *entry[T] {
	e := c.entries[key]
	if e == nil {
		if len(c.entries) >= maxEntries {
			c.evict()
		}
		e = &entry[T]{}
		c.entries[key] = e
	}
	e.used = c.now()
	return e
}

func (c *cache[T]) evict() {
	var oldest string
	for key, e := range c.entries {
		if oldest == "" || e.used.Before(c.entries[oldest].used) {
			oldest = key
		}
	}
	delete(c.entries, oldest)
}
