// Package arch holds the rule of who may import whom, as a test.
//
//	cmd ─► app ─┬──────────────┬──────────────┐
//	            ▼              ▼              ▼
//	       api, graph ─────► core          adapters
//	            └───────► ports ◄─────────────┘
package arch

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/portico-sso/portico/"

// A row says what the packages under a folder may import.
type row struct {
	from   string   // the folder, with everything under it; the longest that fits counts
	to     string   // folders of this module that it may import; a package may always import its own unit
	vendor bool     // whether it may import other modules
	never  []string // packages it may not import, with everything under them
}

// The table: who may import whom. A unit is a folder two deep, such as core/sso or adapters/saml.
var table = []row{
	{from: "ports", to: "ports"},
	{from: "core", to: "core ports", never: []string{"net/http", "database/sql", "os", "log"}},
	{from: "adapters", to: "ports", vendor: true, never: fx},
	{from: "adapters/postgres", to: "ports adapters/bunstore", vendor: true, never: fx},
	{from: "adapters/mysql", to: "ports adapters/bunstore", vendor: true, never: fx},
	{from: "adapters/sqlite", to: "ports adapters/bunstore", vendor: true, never: fx},
	{from: "api", to: "api core ports", vendor: true, never: fx},
	{from: "graph", to: "graph core ports", vendor: true, never: fx},
	{from: "web"},
	{from: "app", to: "app internal api graph web core ports adapters", vendor: true},
	{from: "internal", to: "internal app api graph web core ports adapters", vendor: true, never: fx},
	{from: "cmd", to: "cmd app internal", vendor: true, never: fx},
	{from: "examples", to: "examples app", vendor: true, never: fx},
	{from: "examples/custom-adapter/logfile", to: "ports"}, // an adapter of one's own needs no more
}

var fx = []string{"go.uber.org/fx", "go.uber.org/dig"}

// The order inside core: a module imports those of its own line and of the lines above it.
var order = []string{
	"fault key id secret record cache",
	"lease events audit keypair",
	"project organization",
	"identity admin",
	"sso dirsync",
	"oauth onboarding",
}

// Tests may import what they like, save that those of the inner packages do not reach out to the ways in.
var inner, outer = []string{"ports", "core", "adapters"}, []string{"api", "graph", "app", "cmd", "examples"}

func TestDependencyRule(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		seen[strings.Split(path, "/")[0]] = true
		for _, imported := range p.Imports {
			if why := refuse(path, imported); why != "" {
				t.Errorf("%s imports %s: %s", path, imported, why)
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if why := refuseTest(path, imported); why != "" {
				t.Errorf("a test of %s imports %s: %s", path, imported, why)
			}
		}
	}
	if !seen["ports"] || !seen["core"] {
		t.Errorf("the listing of the module is not whole: %v", seen)
	}
}

// refuse says why the table forbids that package path imports another, or "".
func refuse(path, imported string) string {
	rule, ok := rowOf(path)
	local := strings.TrimPrefix(imported, module)
	switch {
	case !ok:
		return "its folder is not in the table"
	case under(imported, rule.never) && imported != "log/slog":
		return fmt.Sprintf("never in %s", rule.from)
	case local != imported:
		return refuseLocal(path, local, rule)
	case !rule.vendor && strings.Contains(strings.Split(imported, "/")[0], "."):
		return fmt.Sprintf("%s imports no other modules", rule.from)
	}
	return ""
}

func refuseLocal(path, imported string, rule row) string {
	if unit(path) == unit(imported) {
		return ""
	}
	if !under(imported, strings.Fields(rule.to)) {
		return fmt.Sprintf("%s may import %s of this module", rule.from, rule.to)
	}
	if !under(path, []string{"core"}) || !under(imported, []string{"core"}) {
		return ""
	}
	from, to := layer(path), layer(imported)
	if from < 0 || to < 0 {
		return "it has no place in the order inside core"
	}
	if to > from {
		return "it stands later in the order inside core"
	}
	return ""
}

func refuseTest(path, imported string) string {
	imported = strings.TrimPrefix(imported, module)
	if under(path, inner) && under(imported, outer) {
		return "tests of the inner packages do not reach out to the ways in"
	}
	return ""
}

func rowOf(path string) (found row, ok bool) {
	for _, r := range table {
		if under(path, []string{r.from}) && len(r.from) > len(found.from) {
			found, ok = r, true
		}
	}
	return found, ok
}

func layer(path string) int {
	return slices.IndexFunc(order, func(line string) bool {
		return slices.Contains(strings.Fields(line), strings.Split(path, "/")[1])
	})
}

func unit(path string) string {
	parts := strings.SplitN(path, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// under reports whether path is one of the folders or inside one.
func under(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

type listed struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
}

func listPackages(t *testing.T) (packages []listed) {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,TestImports,XTestImports", module+"...")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		_, _ = os.ReadDir(p.Dir) // tells go test's cache what this answer rests on
		packages = append(packages, p)
	}
}
