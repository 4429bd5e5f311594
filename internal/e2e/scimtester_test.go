package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pipInstall installs the Python packages that a folder here lists, once for each state of the list, and returns where they
// are: below .cache. It needs Python's pip and a registry that answers.
func pipInstall(t *testing.T, folder string) string {
	t.Helper()
	python := needProgram(t, "python3")
	list := filepath.Join(folder, "requirements.txt")
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	root, err := filepath.Abs("../../.cache/pip")
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(root, folder+"-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(installed); err == nil {
		return installed
	}
	building := installed + "-building"
	if err := os.RemoveAll(building); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
		"--no-deps", "--target", building, "-r", list)
	if out, err := install.CombinedOutput(); err != nil {
		missing(t, "pip install: %v\n%s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(building, installed); err != nil {
		t.Fatal(err)
	}
	return installed
}

// TestSCIMChecker has scim2-tester, which we did not write, create, read, search, replace, patch and delete every attribute of
// every resource type that discovery announces.
func TestSCIMChecker(t *testing.T) {
	packages := pipInstall(t, "checkers")
	p := start(t, nil)
	made := p.admin("POST", "/api/v1/dsync", map[string]any{"tenant": "acme.example", "product": "crm"}).json(t)
	scim, ok := made["data"].(map[string]any)["scim"].(map[string]any)
	if !ok {
		t.Fatalf("no directory: %v", made)
	}
	check := exec.CommandContext(t.Context(), needProgram(t, "python3"), "-c", "import scim2_cli; scim2_cli.cli()", "--url", scim["endpoint"].(string), "test")
	check.Env = append(os.Environ(), "PYTHONPATH="+packages, "PYTHONDONTWRITEBYTECODE=1", "SCIM_CLI_HEADERS=Authorization: Bearer "+scim["secret"].(string))
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
