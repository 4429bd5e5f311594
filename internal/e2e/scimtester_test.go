package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/portico-sso/portico/internal/pypi"
)

// checked is a directory that a checker of others gets, and what runs the checkers.
func checked(t *testing.T) (python func(args ...string) *exec.Cmd, endpoint, secret string) {
	t.Helper()
	requirements, err := os.ReadFile("checkers/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	python = pypi.Install(t, string(requirements))
	d := start(t, nil).newDirectory(nil)
	return python, d["scim"].(object)["endpoint"].(string), secretOf(d)
}

// TestSCIMChecker has scim2-tester, which we did not write, create, read, search, replace, patch and delete every attribute of
// every resource type that discovery announces.
func TestSCIMChecker(t *testing.T) {
	python, endpoint, secret := checked(t)
	check := python("-c", "import scim2_cli; scim2_cli.cli()", "--url", endpoint, "test")
	check.Env = append(check.Env, "SCIM_CLI_HEADERS=Authorization: Bearer "+secret)
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

// TestSCIMProbe has scim-sanity, another one, do so in its strict mode. In one thing it wants what we refuse: a member who is
// nobody of the directory.
func TestSCIMProbe(t *testing.T) {
	python, endpoint, secret := checked(t)
	probe := python("-c", "from scim_sanity.cli import main; main()", "probe", endpoint, "--token", secret, "--i-accept-side-effects", "--json-output")
	out, _ := probe.Output() // its exit code says that there is a failure, which is to be ours
	var report struct {
		Results []struct{ Name, Status, Message string }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	good := 0
	for _, r := range report.Results {
		switch {
		case r.Status == "pass":
			good++
		case r.Status != "skip" && r.Name != "PATCH /Groups/{id} add member":
			t.Errorf("%s: %s: %s", r.Status, r.Name, r.Message)
		}
	}
	if good < 27 {
		t.Errorf("%d checks passed, want 27:\n%s", good, out)
	}
}
