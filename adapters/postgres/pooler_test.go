package postgres_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/portico-sso/portico/internal/engines"
)

// TestPooler runs the suite through a pooler that gives each transaction another connection. Without the parameter that
// such a one needs it says so.
func TestPooler(t *testing.T) {
	server := engines.URL(t, engines.Postgres)
	pooled, err := url.Parse(engines.StartPooler(t, server))
	if err != nil {
		t.Fatal(err)
	}
	through := func(text string) string {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = pooled.Host
		return u.String()
	}
	b, err := open(t.Context(), t, through(server), things)
	if err == nil {
		_ = b.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "default_query_exec_mode=exec") {
		t.Errorf("without the parameter: %v", err)
	}
	conformance(t, func(t *testing.T) string {
		return with(t, through(engines.Fresh(t, engines.Postgres)), "default_query_exec_mode", "exec")
	})
}
