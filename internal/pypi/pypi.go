// Package pypi gives tests Python packages that others wrote.
package pypi

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Install installs what requirements lists, in the form of pip, with nothing that it does not list, and returns a command that
// runs Python with it. It is installed once for each list, below .cache. A machine without Python, pip or a registry that
// answers skips the test, or fails it where PORTICO_TEST_REQUIRE=1.
func Install(t *testing.T, requirements string) func(args ...string) *exec.Cmd {
	t.Helper()
	missing := func(format string, args ...any) {
		t.Helper()
		if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
			t.Fatalf(format+", and PORTICO_TEST_REQUIRE=1", args...)
		}
		t.Skipf(format, args...)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		missing("no python3 is installed")
	}
	root, err := filepath.Abs("../../.cache/pip") // of packages two folders below the module's
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(requirements))
	packages := filepath.Join(root, hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(packages); err != nil {
		list, building := filepath.Join(t.TempDir(), "requirements.txt"), packages+"-building"
		if err := os.WriteFile(list, []byte(requirements), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(building); err != nil {
			t.Fatal(err)
		}
		install := exec.CommandContext(t.Context(), python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
			"--no-deps", "--target", building, "-r", list)
		if out, err := install.CombinedOutput(); err != nil {
			missing("pip install: %v\n%s", err, strings.TrimSpace(string(out)))
		}
		if err := os.Rename(building, packages); err != nil {
			t.Fatal(err)
		}
	}
	return func(args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), python, args...)
		c.Env = append(os.Environ(), "PYTHONPATH="+packages, "PYTHONDONTWRITEBYTECODE=1")
		return c
	}
}
