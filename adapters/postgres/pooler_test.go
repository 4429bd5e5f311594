package postgres_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-sso/portico/internal/engines"
	"github.com/portico-sso/portico/ports/store/storetest"
)

// TestPooler runs the suite through a pooler that gives each transaction another connection. Without the parameter that
// such a one needs it says so.
func TestPooler(t *testing.T) {
	direct := engines.Fresh(t, engines.Postgres)
	var schemas []string
	for i := range storetest.Cases() {
		schemas = append(schemas, fmt.Sprintf("case_%d", i))
		execute(t, direct, "CREATE SCHEMA "+schemas[i])
	}
	pooled := engines.StartPooler(t, direct, schemas...)
	b, err := open(t.Context(), t, pooled, things)
	if err == nil {
		_ = b.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "default_query_exec_mode=exec") {
		t.Errorf("without the parameter: %v", err)
	}
	n := 0
	conformance(t, func(t *testing.T) string {
		u, err := url.Parse(with(t, pooled, "default_query_exec_mode", "exec"))
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + schemas[n]
		n++
		return u.String()
	})
}
