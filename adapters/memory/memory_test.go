package memory_test

import (
	"context"
	"testing"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Open {
		var b *memory.Backend
		return func(_ context.Context, s store.Schema) (store.Backend, error) {
			if b == nil {
				b = memory.New(s)
			} else {
				b = b.Reopen(s)
			}
			return b, nil
		}
	})
}
