package project_test

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/project"
	"github.com/portico-sso/portico/ports/store"
)

func newService(t *testing.T) *project.Service {
	t.Helper()
	records, err := store.New(memory.New(project.Collections()), project.Collections(), store.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64 // projects, each a second younger than the one before: ids tell which is the oldest
	later := func() time.Time { return time.Unix(1_700_000_000+made.Add(1), 0) }
	return project.NewService(records, id.Source{Now: later, Rand: rand.Reader})
}

func TestAt(t *testing.T) {
	s, ctx := newService(t), context.Background()
	if _, err := s.At(ctx, "crm.example.com"); !fault.Is(err, fault.NotFound) {
		t.Fatalf("no project at all: %v", err)
	}
	create := func(slug, host string) project.Project {
		p, err := s.Create(ctx, project.Input{Slug: &slug, Host: &host})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	oldest, crm := create("shop", ""), create("crm", "CRM.example.com")
	for host, want := range map[string]project.Project{
		"crm.example.com": crm, "CRM.Example.Com:443": crm, "other.example.com": oldest, "": oldest, "[::1]:80": oldest, "\x00": oldest,
	} {
		if p, err := s.At(ctx, host); err != nil || p.ID != want.ID {
			t.Errorf("%q: %s, %v; want %s", host, p.Slug, err, want.Slug)
		}
	}
	none := ""
	if _, err := s.Update(ctx, crm.ID, project.Input{Host: &none}); err != nil {
		t.Fatal(err)
	}
	if p, err := s.At(ctx, "crm.example.com"); err != nil || p.ID != oldest.ID {
		t.Errorf("a host name that was given back: %s, %v", p.Slug, err)
	}
}

func TestHostIsRefused(t *testing.T) {
	s, ctx := newService(t), context.Background()
	name, slug := "crm.example.com", "other"
	if _, err := s.Create(ctx, project.Input{Host: &name}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(ctx, project.Input{Slug: &slug, Host: &name}); fault.From(err).Field != "host" || !fault.Is(err, fault.Taken) {
		t.Errorf("another's: %v", err)
	}
	for _, bad := range []string{"https://crm.example.com", "crm.example.com:443", "crm..example.com", "-crm", "crm_", "a b", "crm.example.com/"} {
		if _, err := s.Create(ctx, project.Input{Host: &bad}); fault.From(err).Field != "host" || !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
