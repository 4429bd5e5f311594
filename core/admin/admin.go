// Package admin knows who may use the admin API: the keys of the configuration and the one made at the first start.
package admin

import (
	"context"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
	"github.com/portico-sso/portico/core/record"
	"github.com/portico-sso/portico/ports/store"
)

type key struct {
	ID        string    `json:"id"`
	Hash      string    `json:"hash"`
	CreatedAt time.Time `json:"createdAt"`

	version int64
}

const (
	collection = "admin_keys"
	firstKey   = "first" // the id of the key that is made at the first start
)

// Collections declares what this module stores.
func Collections() store.Schema { return store.Schema{{Name: collection}} }

// Service authenticates administrators.
type Service struct {
	store *store.Store
	repo  record.Repo[key]
	ids   id.Source
	given []string // hashes of the configured keys
	first string   // hash of the key made at the first start, or ""
}

// NewService makes the service; keys are those of the configuration.
func NewService(records *store.Store, ids id.Source, keys []string) *Service {
	s := &Service{store: records, ids: ids, repo: record.Repo[key]{
		Store: records, Collection: collection, Noun: "admin key",
		Head:       func(k key) store.Doc { return store.Doc{ID: k.ID, Version: k.version} },
		SetVersion: func(k *key, v int64) { k.version = v },
	}}
	for _, k := range keys {
		s.given = append(s.given, id.Hash(k))
	}
	return s
}

// Start reads the key that the first start made. On the very first start it makes one and returns it, for printing
// once: only its hash is kept.
func (s *Service) Start(ctx context.Context) (made string, err error) {
	k, err := s.repo.Get(ctx, firstKey)
	if fault.Is(err, fault.NotFound) {
		made = s.ids.Secret("pk_")
		k = key{ID: firstKey, Hash: id.Hash(made), CreatedAt: s.ids.Now().UTC()}
		insert := s.repo.Insert(k)
		err = s.repo.Once(ctx, &insert, func() error { return s.store.Commit(ctx, insert) })
		if err == nil || store.Taken(err, collection, "") {
			k, err = s.repo.Get(ctx, firstKey)
		}
		if k.Hash != id.Hash(made) { // another instance was faster, and prints its own
			made = ""
		}
	}
	if err != nil {
		return "", s.repo.Fault(err)
	}
	s.first = k.Hash
	return made, nil
}

// Authenticate refuses a key that is not one of ours: Unauthenticated. Every key is compared, in constant time.
func (s *Service) Authenticate(presented string) error {
	hash, found := id.Hash(presented), id.Equal(id.Hash(presented), s.first)
	for _, given := range s.given {
		if id.Equal(hash, given) {
			found = true
		}
	}
	if presented == "" || !found {
		return fault.New(fault.Unauthenticated, "unauthorized", "Give a valid admin key: Authorization: Bearer <key>.")
	}
	return nil
}
