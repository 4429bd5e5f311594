package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// missing leaves a test out that lacks something of this machine, unless everything is required.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
		t.Fatalf(format+", and PORTICO_TEST_REQUIRE=1", args...)
	}
	t.Skipf(format, args...)
}

// needProgram finds a program that a test needs.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "no %s is installed", name)
	}
	return path
}

// npmInstall installs the npm packages that a folder here locks, once for each state of the folder, and returns where they
// and the folder's files are: below .cache, out of the way of git and of the Go tool. It needs npm and a registry that answers.
func npmInstall(t *testing.T, folder string) string {
	t.Helper()
	npm := needProgram(t, "npm")
	root, err := filepath.Abs("../../.cache/npm")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[file.Name()] = text
		sum.Write([]byte(file.Name() + "\x00" + string(text) + "\x00"))
	}
	installed := filepath.Join(root, folder+"-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(installed); err == nil {
		return installed
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	building, err := os.MkdirTemp(root, folder+"-building-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(building) }()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(building, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir = building
	if out, err := install.CombinedOutput(); err != nil {
		missing(t, "npm ci: %v\n%s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(building, installed); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(installed); there != nil { // nobody else was faster
			t.Fatal(err)
		}
	}
	return installed
}
