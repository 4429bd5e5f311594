// Package storetest is the conformance suite of the storage port. An adapter that passes it, whole, is as good as
// any other: there are no capability flags and nothing to skip.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Open {
//			u := freshDatabase(t)
//			return func(ctx context.Context, s store.Schema) (store.Backend, error) {
//				return mine.Driver.Open(ctx, u, s, store.DriverOptions{Logger: slog.New(slog.DiscardHandler)})
//			}
//		})
//	}
//
// The suite has its own clock, which it hands the backend with every call.
package storetest

import (
	"context"
	"testing"

	"github.com/portico-sso/portico/ports/store"
)

// T is the part of *testing.T that the cases use.
type T interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Open opens a backend over one set of documents: none at the first call, and at a call after Close what was there.
type Open func(ctx context.Context, s store.Schema) (store.Backend, error)

// Case is one case of the suite.
type Case struct {
	Name string
	Run  func(t T, open Open)
}

// Run runs every case, each over a fresh set of documents.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, fresh(t)) })
	}
}

// Cases lists the cases of the suite.
func Cases() []Case {
	var all []Case
	for _, group := range [][]named{documents, uniqueness, ranges, paging, expiry, concurrency, lifecycle, random} {
		for _, c := range group {
			all = append(all, Case{c.name, func(t T, open Open) {
				t.Helper()
				c.run(start(t, open, c.older))
			}})
		}
	}
	return all
}

type named struct {
	name  string
	run   func(*env)
	older store.Schema // opened instead of the suite's, to begin with
}
