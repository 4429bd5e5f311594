//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portico-sso/portico/ports/store/storetest"
)

const page = "../../docs/adapters.md"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFragments holds the Go of docs/adapters.md: what is a file compiles, and all else stands so in this example.
func TestFragments(t *testing.T) {
	var example strings.Builder
	for _, pattern := range []string{"*.go", "logfile/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, path := range files {
			if path != "docs_test.go" {
				example.WriteString("\n" + read(t, path))
			}
		}
	}
	fragments := regexp.MustCompile("(?s)\n```go\n(.*?)```\n").FindAllStringSubmatch(read(t, page), -1)
	files := 0
	for _, f := range fragments {
		switch {
		case strings.Contains(example.String(), "\n"+f[1]):
		case strings.HasPrefix(f[1], "package "):
			files++
			compile(t, f[1])
		default:
			t.Errorf("this is not in the example:\n%s", f[1])
		}
	}
	if files != 2 || len(fragments) < 12 {
		t.Errorf("%d fragments, of which %d are files of their own", len(fragments), files)
	}
}

// compile builds a file as if it were a package beside this one.
func compile(t *testing.T, text string) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "fragment.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "fragment", "fragment.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{file: []byte(text), file + ".json": overlay} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", file+".json", "./fragment").CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s\nin:\n%s", err, out, text)
	}
}

// TestNames holds that the cases, tests and pages that docs/adapters.md names are there.
func TestNames(t *testing.T) {
	text := read(t, page)
	_, table, _ := strings.Cut(text, "| cases | look at |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var known []string
	for _, c := range storetest.Cases() {
		known = append(known, c.Name)
	}
	named := regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(table, -1)
	for _, n := range named {
		if !slices.Contains(known, n[1]) {
			t.Errorf("there is no case %s", n[1])
		}
	}
	tests := read(t, "logfile/kill_test.go") + read(t, "logfile/logfile_test.go") + read(t, "logfile/internal_test.go")
	for _, n := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(text, -1) {
		named = append(named, n)
		if !strings.Contains(tests, "\nfunc "+n[1]+"(") {
			t.Errorf("there is no test %s", n[1])
		}
	}
	for _, n := range regexp.MustCompile("`((?:internal|adapters|ports)/[a-z/_.]+)`|`(storetest/[a-z_.]+)`").FindAllStringSubmatch(text, -1) {
		named = append(named, n)
		path := n[1]
		if path == "" {
			path = "ports/store/" + n[2]
		}
		if _, err := os.Stat("../../" + path); err != nil {
			t.Error(err)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		named = append(named, link)
		target := filepath.Join(filepath.Dir(page), link[1])
		if link[1] == "" {
			target = page
		}
		if _, err := os.Stat(target); err != nil {
			t.Error(err)
		}
		if link[2] != "" && !slices.Contains(anchors(read(t, target)), link[2]) {
			t.Errorf("%s has no heading #%s", target, link[2])
		}
	}
	if len(named) < 30 {
		t.Errorf("only %d names are found", len(named))
	}
}

// anchors are what headings are linked by.
func anchors(text string) (all []string) {
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		kept := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, strings.ReplaceAll(kept, " ", "-"))
	}
	return all
}
