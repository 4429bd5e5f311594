// Package databases proves on every database what whole programs promise of it: several instances are one, what a client
// was told is so, whatever is killed meanwhile, and when the database is away they say so and come back by themselves.
//
// Numbers are small by default. PORTICO_TEST_LONG=1 has them as large as the promises are.
package databases

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	programDir   string // holds the program that binary builds
	programOnce  sync.Once
	errProgram   error
	long         = os.Getenv("PORTICO_TEST_LONG") == "1"
	sharedClient = &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 300},
	}
)

const (
	adminKey  = "an-admin-key-for-the-tests-of-databases"
	sharedKey = "shared-secret-of-tenant-and-product-clients"
	publicURL = "http://sso.example" // of all instances
)

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// binary builds the program once, as a release is built.
func binary(t *testing.T) string {
	t.Helper()
	programOnce.Do(func() {
		if programDir, errProgram = os.MkdirTemp("", "portico-databases-"); errProgram != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-o", programDir, "github.com/portico-sso/portico/cmd/portico")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			errProgram = fmt.Errorf("%w: %s", err, out)
		}
	})
	if errProgram != nil {
		t.Fatal(errProgram)
	}
	name := "portico"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(programDir, name)
}

// output is what a process prints; of very much, the beginning and the end.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const muchOutput = 64 << 20 // an export is whole

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() > muchOutput {
		o.b.Truncate(muchOutput / 2)
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is the program, started as an operator starts it.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	done           chan struct{} // closed when it has ended
}

// launch starts the program in a folder with these settings and nothing of this process's own.
func launch(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary(t), args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.stdout, &p.stderr
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "PORTICO_LISTEN=127.0.0.1:0"}, env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			log := p.stderr.String()
			t.Logf("the end of what portico %s printed:\n%s", strings.Join(args, " "), log[max(0, len(log)-4<<10):])
		}
	})
	return p
}

// kill ends the program with SIGKILL and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// wait gives the exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(2 * time.Minute):
		t.Fatalf("the program does not end:\n%s%s", p.stdout.String(), p.stderr.String())
		return 0
	}
}

// find waits until the program logs what the pattern's first group matches.
func (p *process) find(t *testing.T, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	for until := time.Now().Add(2 * time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if found := expression.FindStringSubmatch(p.stderr.String()); found != nil {
			return found[1]
		}
		select {
		case <-p.done:
			t.Fatalf("the program ended without %q:\n%s%s", pattern, p.stdout.String(), p.stderr.String())
		default:
		}
	}
	t.Fatalf("%q is not printed:\n%s", pattern, p.stderr.String())
	return ""
}

// run runs a command of the program, which must succeed, and gives what it printed.
func run(t *testing.T, env []string, args ...string) (stdout, stderr string) {
	t.Helper()
	p := launch(t, t.TempDir(), env, args...)
	if code := p.wait(t); code != 0 {
		t.Fatalf("portico %s: exit code %d:\n%s%s", strings.Join(args, " "), code, p.stdout.String(), p.stderr.String())
	}
	return p.stdout.String(), p.stderr.String()
}

// settings are the environment of an instance on these databases.
func settings(databaseURL, sessionURL string) []string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	env := []string{
		"PORTICO_DATABASE_URL=" + databaseURL, "PORTICO_AUTO_MIGRATE=true", "PORTICO_PUBLIC_URL=" + publicURL,
		"PORTICO_ADMIN_KEYS=" + adminKey, "PORTICO_CLIENT_SECRET_VERIFIER=" + sharedKey,
		"PORTICO_ENCRYPTION_KEYS=k1:" + base64.StdEncoding.EncodeToString(secret),
	}
	if sessionURL != "" {
		env = append(env, "PORTICO_SESSION_URL="+sessionURL)
	}
	return env
}

// instance is a serving program, which may be killed and started again at the same address.
type instance struct {
	t   *testing.T
	env []string
	dir string
	URL string

	mu      sync.Mutex
	process *process
}

// serve starts instances, all at once.
func serve(t *testing.T, n int, env []string) []*instance {
	t.Helper()
	all := make([]*instance, n)
	for i := range all {
		all[i] = begin(t, env)
	}
	for _, i := range all {
		i.serving()
	}
	return all
}

// begin starts an instance and does not wait for it.
func begin(t *testing.T, env []string) *instance {
	t.Helper()
	dir := t.TempDir()
	return &instance{t: t, env: env, dir: dir, process: launch(t, dir, env, "serve")}
}

// serving waits until the instance serves.
func (i *instance) serving() {
	i.t.Helper()
	i.URL = "http://" + i.process.find(i.t, `msg=serving address=(\S+)`)
}

// kill ends the instance with SIGKILL.
func (i *instance) kill() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.process.kill()
}

// restart starts the instance again where it was.
func (i *instance) restart() {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.process = launch(i.t, i.dir, append(i.env, "PORTICO_LISTEN="+strings.TrimPrefix(i.URL, "http://")), "serve")
	i.process.find(i.t, `msg=(serving)`)
}

func (i *instance) log() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process.stderr.String()
}

// What an instance may answer at any time, when its database or it itself is away.
var (
	errLater = errors.New("told to come later, and nothing was done")
	errMaybe = errors.New("nobody knows whether it was done")
)

// refusal is any other answer than the one that was asked for.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %.300s", r.status, r.text) }

func refused(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status < 500
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) location() *url.URL {
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		return &url.URL{}
	}
	return u
}

func (a answer) refusal() error {
	text := string(a.body)
	if cookie := a.Header.Get("Set-Cookie"); a.StatusCode == http.StatusFound {
		text = a.Header.Get("Location") + " " + cookie
	}
	return &refusal{a.StatusCode, text}
}

// send sends a request. Errors: errLater, errMaybe; a 503 that lacks Retry-After is a refusal.
func (i *instance) send(ctx context.Context, method, path string, body io.Reader, header ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, i.URL+path, body)
	if err != nil {
		return answer{}, err
	}
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	response, err := sharedClient.Do(r)
	if err != nil {
		return answer{}, lost(err)
	}
	defer func() { _ = response.Body.Close() }()
	a := answer{Response: response}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return answer{}, lost(err)
	}
	return a, a.later()
}

// lost sorts the errors of a connection: where there was none, nothing was sent.
func lost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	return fmt.Errorf("%w: %w", errMaybe, err)
}

// later tells what is told of a database that is away: a status, or an error at the application (RFC 6749 §4.1.2.1).
func (a answer) later() error {
	back := a.location().Query()
	told := string(a.body)
	switch {
	case a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") == "":
		return a.refusal()
	case a.StatusCode == http.StatusServiceUnavailable:
	case back.Get("error") == "temporarily_unavailable":
		told = back.Get("error_description")
	default:
		return nil
	}
	if strings.Contains(told, "may have been done") {
		return fmt.Errorf("%w: %s", errMaybe, a.Status)
	}
	return fmt.Errorf("%w: %s", errLater, a.Status)
}

func (i *instance) get(ctx context.Context, path string, header ...string) (answer, error) {
	return i.send(ctx, http.MethodGet, path, nil, header...)
}

func (i *instance) post(ctx context.Context, path string, form url.Values, header ...string) (answer, error) {
	header = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)
	return i.send(ctx, http.MethodPost, path, strings.NewReader(form.Encode()), header...)
}

// graphql runs an operation and gives its data. A payload's error is a refusal.
func (i *instance) graphql(ctx context.Context, query string, variables map[string]any) (map[string]any, error) {
	text, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return nil, err
	}
	a, err := i.send(ctx, http.MethodPost, "/graphql", bytes.NewReader(text), "Content-Type", "application/json", "Authorization", "Bearer "+adminKey)
	if err != nil {
		return nil, err
	}
	var v struct {
		Data   map[string]any
		Errors []any
	}
	if err := json.Unmarshal(a.body, &v); err != nil || len(v.Errors) > 0 {
		return nil, a.refusal()
	}
	for _, payload := range v.Data {
		fields, _ := payload.(map[string]any)
		if wrong, _ := fields["errors"].([]any); len(wrong) > 0 {
			return nil, &refusal{http.StatusOK, fmt.Sprint(wrong)}
		}
	}
	return v.Data, nil
}

// create makes something over GraphQL and gives its id.
func (i *instance) create(ctx context.Context, name string, in map[string]any) (string, error) {
	field := strings.ToLower(name)
	data, err := i.graphql(ctx, fmt.Sprintf(`mutation($in: Create%sInput!) {it: create%s(input: $in) {%s {id} errors {code message}}}`, name, name, field),
		map[string]any{"in": in})
	if err != nil {
		return "", err
	}
	made, _ := data["it"].(map[string]any)[field].(map[string]any)
	id, _ := made["id"].(string)
	return id, nil
}

// ready waits until an instance is ready, and says how long that took.
func (i *instance) ready(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		a, err := i.get(t.Context(), "/readyz")
		if err == nil && a.StatusCode == http.StatusOK {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("not ready after %s: %v", patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// patience is how long anything may take, on a machine that does much else.
const patience = 2 * time.Minute
