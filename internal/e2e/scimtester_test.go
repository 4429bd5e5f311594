package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/portico-sso/portico/internal/pypi"
)

// TestSCIMChecker has scim2-tester, which we did not write, create, read, search, replace, patch and delete every attribute of
// every resource type that discovery announces.
func TestSCIMChecker(t *testing.T) {
	requirements, err := os.ReadFile("checkers/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	python := pypi.Install(t, string(requirements))
	p := start(t, nil)
	made := p.admin("POST", "/api/v1/dsync", map[string]any{"tenant": "acme.example", "product": "crm"}).json(t)
	scim, ok := made["data"].(map[string]any)["scim"].(map[string]any)
	if !ok {
		t.Fatalf("no directory: %v", made)
	}
	check := python("-c", "import scim2_cli; scim2_cli.cli()", "--url", scim["endpoint"].(string), "test")
	check.Env = append(check.Env, "SCIM_CLI_HEADERS=Authorization: Bearer "+scim["secret"].(string))
	out, err := check.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	good, previous := 0, ""
	for _, line := range strings.Split(string(out), "\n") {
		status, _, _ := strings.Cut(line, " ")
		switch {
		case status == "SUCCESS":
			good++
		case status == strings.ToUpper(status) && len(status) > 3:
			previous = line
		case previous != "":
			t.Errorf("%s: %s", previous, line)
			previous = ""
		}
	}
	if good < 100 {
		t.Errorf("%d checks passed, want more than 100:\n%s", good, out)
	}
}
