//go:build unix

package e2e

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// custom is the program of examples/custom-adapter in a folder with its database.
type custom struct {
	*testing.T
	dir  string
	keys string // PORTICO_ENCRYPTION_KEYS
}

func (c custom) launch(args ...string) *process {
	c.Helper()
	return launchProgram(c.T, filepath.Join(c.dir, "portico"), c.dir, append(demoKeys(), "PORTICO_DATABASE_URL=log:portico.log", "PORTICO_ENCRYPTION_KEYS="+c.keys), args...)
}

func demoKeys() []string {
	return []string{"PORTICO_ADMIN_KEYS=" + adminKey, "PORTICO_CLIENT_SECRET_VERIFIER=" + sharedKey}
}

// run is a command that must succeed; it gives what that printed.
func (c custom) run(args ...string) (stdout, stderr string) {
	c.Helper()
	p := c.launch(args...)
	if code := p.wait(); code != 0 {
		c.Fatalf("%q: exit code %d\n%s", args, code, p.stderr.String())
	}
	return p.stdout.String(), p.stderr.String()
}

// serve starts the program, which serves until it is stopped.
func (c custom) serve() (*process, *program) {
	c.Helper()
	server := c.launch("serve")
	p := server.serving()
	p.http.CheckRedirect = stay
	return server, p
}

// contents are the lines that a move prints of each collection: "name count digest". What is printed twice must be the same.
func contents(t *testing.T, stderr string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^([a-z_]+) +(\d+ +[0-9a-f]{64})$`).FindAllStringSubmatch(stderr, -1) {
		if before, ok := all[line[1]]; ok && before != line[2] {
			t.Errorf("%s: %s and then %s", line[1], before, line[2])
		}
		all[line[1]] = line[2]
	}
	return all
}

// TestCustomAdapter moves a database in use from SQLite to the engine of examples/custom-adapter, by the commands of
// docs/adapters.md, serves it there through kills and a change of keys, and moves it back.
func TestCustomAdapter(t *testing.T) {
	c := custom{T: t, dir: t.TempDir()}
	server := launch(t, c.dir, demoKeys(), "serve")
	p := server.serving()
	p.http.CheckRedirect = stay
	idp := newIdP(t, "https://idp.example/adapter")
	p.connect(idp, nil)
	signIn := func(p *program) string {
		t.Helper()
		a := p.redeem(p.code(idp, polisClient(nil)), nil)
		token, _ := a.json(t)["access_token"].(string)
		if a.StatusCode != http.StatusOK || token == "" {
			t.Fatalf("sign in: %s %s", a.Status, a.body)
		}
		return token
	}
	known := func(p *program, token string) {
		t.Helper()
		if a := p.userinfo(token); a.StatusCode != http.StatusOK || a.json(t)["email"] != "alice@acme.example" {
			t.Errorf("userinfo: %s %s", a.Status, a.body)
		}
	}
	token := signIn(p)
	keys := string(p.get("/oauth/jwks").body)
	server.stop()

	moved := c.document()
	if _, ok := moved["connections"]; !ok || len(moved) < 8 {
		t.Errorf("moved: %v", moved)
	}
	_, back := c.run("copy", "--from", "log:portico.log", "--to", "sqlite:back.db")
	if got := contents(t, back); !maps.Equal(got, moved) {
		t.Errorf("back in SQLite: %v, want %v", got, moved)
	}
	first := launch(t, c.dir, nil, "export", "--out", "first.jsonl")
	last := launchProgram(t, binary(t), c.dir, []string{"PORTICO_DATABASE_URL=sqlite:back.db", "PORTICO_ENCRYPTION_KEYS=" + c.keys}, "export", "--out", "last.jsonl")
	if first.wait() != 0 || last.wait() != 0 {
		t.Fatal(first.stderr.String(), last.stderr.String())
	}
	for _, name := range []string{"portico.jsonl", "last.jsonl"} {
		if !bytes.Equal(c.read(name), c.read("first.jsonl")) {
			t.Errorf("%s is not what SQLite had at first", name)
		}
	}

	server, p = c.serve()
	known(p, token) // of before the move
	if again := string(p.get("/oauth/jwks").body); again != keys {
		t.Error("the signing keys are others")
	}
	tokens := []string{token}
	for range 5 {
		tokens = append(tokens, signIn(p))
		_ = server.cmd.Process.Kill()
		<-server.done
		server, p = c.serve()
		for _, token := range tokens {
			known(p, token)
		}
	}

	// The next process waits until this one has ended.
	next := c.launch("serve")
	next.find(&next.stderr, `(trying again).*in use by another process`)
	known(p, token)
	server.stop()
	p = next.serving()
	p.http.CheckRedirect = stay
	known(p, signIn(p))
	next.stop()

	old := c.keys
	added, _ := c.run("keys", "make", "--id", "k2")
	c.keys = strings.TrimSpace(added) + "," + old
	if said, _ := c.run("keys", "rotate"); !strings.Contains(said, "sealed anew") {
		t.Errorf("rotate: %s", said)
	}
	if said, _ := c.run("keys", "rotate", "--finish"); !strings.Contains(said, "Everything is sealed with the first key") {
		t.Errorf("rotate: %s", said)
	}
	c.keys = strings.TrimSpace(added)
	server, p = c.serve()
	known(p, token)
	known(p, signIn(p))
	server.stop()
	c.keys = old
	if refused := c.launch("serve"); refused.wait() == 0 || !strings.Contains(refused.stderr.String(), `encryption key "k2", which is not given`) {
		t.Errorf("with the old key alone: %s", refused.stderr.String())
	}
}

func (c custom) read(name string) []byte {
	c.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.Fatal(err)
	}
	return content
}

// document runs the commands of docs/adapters.md up to serve, keeps their keys, and gives what they say that they moved.
func (c *custom) document() map[string]string {
	c.Helper()
	if _, err := exec.LookPath("bash"); err != nil && os.Getenv("PORTICO_TEST_REQUIRE") != "1" {
		c.Skip(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		c.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/adapters.md")
	if err != nil {
		c.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## What comes with it\n")
	_, script, _ := strings.Cut(section, "```sh\n")
	script, _, found := strings.Cut(script, "./portico serve\n```")
	build := "go build -o portico "
	if !found || strings.Count(script, build) != 1 || strings.Count(script, "./portico ") != 6 {
		c.Fatalf("the commands are others:\n%s", script)
	}
	script = strings.Replace(script, build, "go -C '"+root+"' build -o '"+c.dir+"/portico' ", 1) + `echo "keys: $PORTICO_ENCRYPTION_KEYS"` + "\n"
	shell := exec.CommandContext(c.Context(), "bash", "-euo", "pipefail", "-c", script)
	var stdout, stderr bytes.Buffer
	shell.Dir, shell.Stdout, shell.Stderr = c.dir, &stdout, &stderr
	if err := shell.Run(); err != nil {
		c.Fatalf("%v:\n%s%s", err, stdout.String(), stderr.String())
	}
	said := regexp.MustCompile(`(?s)-- the database of PORTICO_DATABASE_URL: 0 steps of structure, 0 of documents\n.*Everything is sealed.*\nkeys: (k1:\S+)\n`).FindStringSubmatch(stdout.String())
	if said == nil {
		c.Fatalf("the commands say:\n%s", stdout.String())
	}
	c.keys = said[1]
	return contents(c.T, stderr.String())
}
