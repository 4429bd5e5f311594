package arch

import "testing"

// The checker is worth what it catches: each of these imports is judged as the design says.
func TestPlantedImports(t *testing.T) {
	const bun, chi, uberfx = "github.com/uptrace/bun", "github.com/go-chi/chi/v5", "go.uber.org/fx"
	for _, c := range []struct {
		path, imported string
		refused        bool
	}{
		{"ports/store", "log/slog", false},
		{"ports/store/storetest", module + "ports/store", false},
		{"ports/store", chi, true},
		{"ports/store", module + "core/id", true},
		{"ports/store", module + "adapters/memory", true},

		{"core/sso", "crypto/x509", false},
		{"core/sso", "log/slog", false},
		{"core/sso", module + "ports/federation", false},
		{"core/sso", "net/http", true},
		{"core/sso", "net/http/httputil", true},
		{"core/sso", "net/url", false},
		{"core/sso", "database/sql/driver", true},
		{"core/sso", "os", true},
		{"core/sso", "os/exec", true},
		{"core/sso", "log", true},
		{"core/sso", chi, true},
		{"core/sso", module + "adapters/saml", true},
		{"core/sso", module + "api/saml", true},

		{"core/oauth", module + "core/sso", false},
		{"core/sso", module + "core/oauth", true},
		{"core/organization", module + "core/project", false},
		{"core/organization", module + "core/identity", true},
		{"core/dirsync", module + "core/dirsync/scim", false},
		{"core/sso", module + "core/dirsync/scim", false},
		{"core/identity", module + "core/dirsync/scim", true},
		{"core/id", module + "core/events", true},
		{"core/misc", module + "core/id", true},
		{"core/oauth", module + "core/misc", true},

		{"adapters/saml", "github.com/crewjam/saml", false},
		{"adapters/saml", module + "ports/federation", false},
		{"adapters/saml", module + "adapters/saml/xmlcheck", false},
		{"adapters/saml", module + "core/sso", true},
		{"adapters/saml", module + "adapters/outbound", true},
		{"adapters/saml", uberfx, true},
		{"adapters/sqlite", module + "adapters/bunstore", false},
		{"adapters/sqlite", module + "adapters/postgres", true},
		{"adapters/mongo", module + "adapters/bunstore", true},
		{"adapters/bunstore", bun, false},
		{"adapters/bunstore", module + "adapters/sqlite", true},

		{"api/oauth", module + "core/oauth", false},
		{"api/oauth", module + "api/middleware", false},
		{"api/oauth", module + "adapters/memory", true},
		{"api/oauth", module + "app", true},
		{"api/oauth", uberfx, true},
		{"graph", module + "core/project", false},
		{"graph", module + "api/middleware", true},
		{"graph", module + "adapters/memory", true},

		{"app", uberfx, false},
		{"app", module + "adapters/sqlite", false},
		{"app/demo", module + "app", false},
		{"cmd/portico", module + "app", false},
		{"cmd/portico", module + "adapters/sqlite", true},
		{"cmd/portico", uberfx, true},
		{"examples/embed", module + "app", false},
		{"examples/embed", module + "core/sso", true},
		{"examples/embed", module + "ports/store", true},
		{"examples/custom-adapter", module + "examples/custom-adapter/logfile", false},
		{"examples/custom-adapter/logfile", module + "ports/store", false},
		{"examples/custom-adapter/logfile", module + "adapters/memory", true},
		{"examples/custom-adapter/logfile", bun, true},
		{"util", "fmt", true},
	} {
		if why := refuse(c.path, c.imported); (why != "") != c.refused {
			t.Errorf("%s imports %s: refused %t, want %t (%s)", c.path, c.imported, why != "", c.refused, why)
		}
	}
}

func TestPlantedTestImports(t *testing.T) {
	if why := refuseTest("core/sso", module+"adapters/memory"); why != "" {
		t.Errorf("a test over the memory backend is refused: %s", why)
	}
	if refuseTest("core/sso", module+"app") == "" {
		t.Error("a test of core may import app")
	}
}
