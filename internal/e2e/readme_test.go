package e2e

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestREADME types the commands of the README's first connection, and signs in where it says so.
func TestREADME(t *testing.T) {
	for _, name := range []string{"bash", "curl", "jq", "base64", "tr"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
			t.Fatalf("%s is missing, and PORTICO_TEST_REQUIRE=1", name)
		} else if err != nil {
			t.Skipf("%s is missing", name)
		}
	}
	demo := launch(t, t.TempDir(), nil, "demo")
	address := strings.TrimSuffix(demo.find(&demo.stdout, `(http://localhost:\d+/demo)`), "/demo")
	p := &program{t: t, URL: address, logs: &demo.stderr, http: &http.Client{
		Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	change := strings.NewReplacer("http://localhost:5225", address,
		"export KEY=…", "export KEY="+demo.find(&demo.stdout, `admin key (pk_\S+)`), "CODE=…", "read -r CODE")
	script := readmeCommands(t, "## A first connection", change) + readmeCommands(t, "## A first directory", change)

	shell := &process{t: t, cmd: exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script), done: make(chan struct{})}
	shell.cmd.Dir, shell.cmd.Stdout, shell.cmd.Stderr = t.TempDir(), &shell.stdout, &shell.stderr
	typed, err := shell.cmd.StdinPipe()
	if err == nil {
		err = shell.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = shell.cmd.Wait(); close(shell.done) }()
	code := p.signInAtDemo(shell.find(&shell.stdout, `(?m)^(http://localhost:\d+/api/oauth/authorize\S+)$`))
	if _, err := io.WriteString(typed, code+"\n"); err != nil {
		t.Fatal(err)
	}
	if code := shell.wait(); code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, shell.stdout.String(), shell.stderr.String())
	}
	said := shell.stdout.String()
	for _, want := range []string{`"email":"alice@acme.example"`, `"tenant":"acme.example"`, `"acsUrl":"` + address + `/api/oauth/saml"`, `"secret":"cs_`,
		`"totalResults":1`, `"IdentityCreated"`} {
		if !strings.Contains(said, want) {
			t.Errorf("no %s in:\n%s", want, said)
		}
	}
	if strings.Count(said, `"errors":[]`) != 2 || strings.Contains(said, "null") {
		t.Errorf("the mutations failed:\n%s", said)
	}
	demo.stop()
}

// readmeCommands are the shell blocks of one section, as changed.
func readmeCommands(t *testing.T, section string, change *strings.Replacer) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		script.WriteString(change.Replace(block[1]))
	}
	if script.Len() == 0 || strings.Contains(script.String(), "…") {
		t.Fatalf("placeholders are left, or there is nothing to do:\n%s", script.String())
	}
	return script.String()
}

// signInAtDemo goes where a browser goes from an authorization request, and gives the code that the application gets.
func (p *program) signInAtDemo(authorize string) string {
	p.t.Helper()
	begun := p.get(authorize)
	response := p.get(begun.location().String())
	answered := p.acs(field(p.t, response.body, "SAMLResponse"), field(p.t, response.body, "RelayState"))
	if answered.location().Host != "localhost:3000" || answered.location().Query().Get("code") == "" {
		p.t.Fatalf("%s to %q", answered.Status, answered.Header.Get("Location"))
	}
	return answered.location().Query().Get("code")
}
