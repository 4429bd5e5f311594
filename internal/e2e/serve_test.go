package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/portico-sso/portico/adapters/memory"
	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

var (
	programDir   string // holds the program that binary builds
	programOnce  sync.Once
	programError error
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
		if programDir, programError = os.MkdirTemp("", "portico-e2e-"); programError != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-o", programDir, "github.com/portico-sso/portico/cmd/portico")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			programError = fmt.Errorf("%w: %s", err, out)
		}
	})
	if programError != nil {
		t.Fatal(programError)
	}
	name := "portico"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(programDir, name)
}

// process is the program started as a person starts it.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr syncBuffer
	done           chan struct{} // closed when it has ended
}

// launch starts the program in a folder, with nothing of this process's own settings.
func launch(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	return launchProgram(t, binary(t), dir, env, args...)
}

// launchProgram is launch of another program.
func launchProgram(t *testing.T, program, dir string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), program, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.stdout, &p.stderr
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "PORTICO_LISTEN=127.0.0.1:0"}, env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.done })
	return p
}

// wait gives the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the program does not end:\n%s%s", p.stdout.String(), p.stderr.String())
		return 0
	}
}

// stop ends the program as a service manager does.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM:\n%s", code, p.stderr.String())
	}
}

// find waits until the pattern's first group is printed.
func (p *process) find(buffer *syncBuffer, pattern string) string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if found := expression.FindStringSubmatch(buffer.String()); found != nil {
			return found[1]
		}
		select {
		case <-p.done:
			p.t.Fatalf("the program ended without %q:\n%s%s", pattern, p.stdout.String(), p.stderr.String())
		default:
		}
	}
	p.t.Fatalf("%q is not printed:\n%s%s", pattern, p.stdout.String(), p.stderr.String())
	return ""
}

// serving waits for a serving program and talks to it.
func (p *process) serving() *program {
	p.t.Helper()
	address := p.find(&p.stderr, `msg=serving address=(\S+)`)
	return &program{t: p.t, URL: "http://" + address, logs: &p.stderr, http: &http.Client{Timeout: 20 * time.Second}}
}

func TestServeNeedsNoConfiguration(t *testing.T) {
	dir := t.TempDir()
	first := launch(t, dir, nil, "serve")
	s := first.serving()
	for path, want := range map[string]string{
		"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`, "/api/health": `{"version":"dev"}`,
	} {
		if a := s.get(path); a.StatusCode != http.StatusOK || strings.TrimSpace(string(a.body)) != want {
			t.Errorf("%s: %s %s", path, a.Status, a.body)
		}
	}
	for path, status := range map[string]int{"/demo": 404, "/demo/callback": 404, "/demo/idp/metadata": 404, "/demo/idp/sso": 404, "/assets/": 404} {
		if a := s.get(path); a.StatusCode != status {
			t.Errorf("%s: %s, want %d", path, a.Status, status)
		}
	}
	for path, status := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200, "/.well-known/sp-metadata": 200, "/oauth/jwks": 200,
		"/none": 404, "/api/v1/sso": 401, "/api/oauth/token": 405} {
		if a := s.do(s.request(http.MethodHead, path, nil)); a.StatusCode != status || len(a.body) != 0 {
			t.Errorf("HEAD %s: %s, want %d (RFC 9110 §9.1)", path, a.Status, status)
		}
	}
	key := first.find(&first.stdout, `(?m)^\s*(pk_\S+)$`)
	asked := func(s *program, key string) int {
		return s.get("/api/v1/sso/product?product=none", "Authorization", "Api-Key "+key).StatusCode
	}
	if got := asked(s, key); got != http.StatusOK {
		t.Errorf("the printed key: status %d", got)
	}
	if got := asked(s, key+"x"); got != http.StatusUnauthorized {
		t.Errorf("another key: status %d", got)
	}
	keys := string(s.get("/oauth/jwks").body)
	first.stop()
	for name, secret := range map[string]bool{"portico.db": true, "portico.db.key": true} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || (secret && info.Mode().Perm() != 0o600) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	second := launch(t, dir, nil, "serve")
	s = second.serving()
	if got := asked(s, key); got != http.StatusOK {
		t.Errorf("the key at a second start: status %d", got)
	}
	if again := string(s.get("/oauth/jwks").body); again != keys {
		t.Errorf("the keys changed from %s to %s", keys, again)
	}
	second.stop()
	if strings.Contains(second.stdout.String()+first.stderr.String()+second.stderr.String(), "pk_") {
		t.Error("an admin key is printed at a later start, or logged")
	}
}

// encryptionKey is a new value for PORTICO_ENCRYPTION_KEYS.
func encryptionKey(id string) string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	return id + ":" + base64.StdEncoding.EncodeToString(secret)
}

// failing is a backend whose server can be away.
type failing struct {
	store.Backend
	away *atomic.Bool
}

func (f failing) Ping(ctx context.Context) error {
	if f.away.Load() {
		return store.ErrUnavailable
	}
	return f.Backend.Ping(ctx)
}

func TestReadyzAsksBothStores(t *testing.T) {
	for name, change := range map[string]func(*app.Config){
		"records":  func(c *app.Config) { c.DatabaseURL, c.SessionURL = "failing:", "memory:" },
		"sessions": func(c *app.Config) { c.SessionURL = "failing:" },
	} {
		t.Run(name, func(t *testing.T) {
			var away atomic.Bool
			driver := store.Driver{Schemes: []string{"failing"}, Open: func(ctx context.Context, u *url.URL, s store.Schema, o store.DriverOptions) (store.Backend, error) {
				b, err := memory.Driver.Open(ctx, u, s, o)
				return failing{b, &away}, err
			}}
			p := start(t, func(c *app.Config) {
				change(c)
				c.EncryptionKeys = []seal.Key{{ID: "k1"}}
			}, app.WithDriver(driver))
			for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable, http.StatusOK} {
				away.Store(status != http.StatusOK)
				if a := p.get("/readyz"); a.StatusCode != status {
					t.Errorf("readyz: %s %s, want %d", a.Status, a.body, status)
				}
				if a := p.get("/healthz"); a.StatusCode != http.StatusOK {
					t.Errorf("healthz: %s", a.Status)
				}
			}
		})
	}
}

func TestServeReadsFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := launch(t, dir, []string{
		"PORTICO_ADMIN_KEYS_FILE=" + file("admin", adminKey),
		"PORTICO_DATABASE_URL_FILE=" + file("database", "sqlite:other.db"),
		"PORTICO_ENCRYPTION_KEYS_FILE=" + file("encryption", encryptionKey("k9")),
		"PORTICO_PUBLIC_URL=https://sso.example.com",
	}, "serve")
	s := p.serving()
	if a := s.admin(http.MethodGet, "/api/v1/sso/product?product=none", nil); a.StatusCode != http.StatusOK {
		t.Errorf("the key of the file: %s", a.Status)
	}
	if d := s.get("/.well-known/openid-configuration").json(t); d["issuer"] != "https://sso.example.com" {
		t.Errorf("issuer: %v", d["issuer"])
	}
	p.stop()
	if _, err := os.Stat(filepath.Join(dir, "other.db")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "other.db.key")); err == nil {
		t.Error("a key file was made although keys are given")
	}
}

func TestServeRefusesToStart(t *testing.T) {
	busy, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	used := t.TempDir()
	made := launch(t, used, nil, "serve")
	made.serving()
	made.stop()
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		used    bool // on a database of an earlier start
		prepare func(t *testing.T, dir string)
		env     []string
		want    []string
		leaves  bool // files in a new folder
	}{
		"several wrong values": {
			env: []string{"PORTICO_LISTEN=nonsense", "PORTICO_PUBLIC_URL=sso.example.com", "PORTICO_LOG_LEVEL=loud",
				"PORTICO_ADMIN_KEYS_FILE=/does/not/exist", "PORTICO_ENCRYPTION_KEYS=planted-secret", "PORTICO_TRUSTED_PROXIES=x",
				"PORTICO_SESSION_URL=cassandra://u:planted-secret@db", "PORTICO_DATABASE_ULR=x"},
			want: []string{`PORTICO_LISTEN="nonsense": give host:port`, `PORTICO_PUBLIC_URL="sso.example.com": give`,
				`PORTICO_LOG_LEVEL="loud": give debug`, `PORTICO_ADMIN_KEYS: PORTICO_ADMIN_KEYS_FILE cannot be read`,
				`PORTICO_ENCRYPTION_KEYS: entry 1`, `PORTICO_TRUSTED_PROXIES="x"`, `PORTICO_SESSION_URL: no storage driver for "cassandra"; there are: sqlite`,
				"did you mean PORTICO_DATABASE_URL?"},
		},
		"a taken port": {
			env:  []string{"PORTICO_LISTEN=" + busy.Addr().String()},
			want: []string{"cannot listen on " + busy.Addr().String(), "address already in use", "give another address by PORTICO_LISTEN"},
		},
		"a scheme without a driver": {
			env:  []string{"PORTICO_DATABASE_URL=cassandra://db/portico", "PORTICO_ENCRYPTION_KEYS=" + encryptionKey("k1")},
			want: []string{`PORTICO_DATABASE_URL: no storage driver for "cassandra"; there are: sqlite`},
		},
		"a server's database without keys": {
			env:  []string{"PORTICO_DATABASE_URL=postgres://db/portico"},
			want: []string{"PORTICO_ENCRYPTION_KEYS: must be given for this database", "openssl rand -base64 32"},
		},
		"a folder that is not there": {
			env:  []string{"PORTICO_DATABASE_URL=sqlite:missing/portico.db"},
			want: []string{"the folder missing of the database is not there"},
		},
		"a file that is no database": {
			prepare: write("portico.db", "This is a text file, and no database at all."), leaves: true,
			env:  []string{"PORTICO_ENCRYPTION_KEYS=" + encryptionKey("k1")},
			want: []string{"the database of PORTICO_DATABASE_URL cannot be opened", "not a database"},
		},
		"a lost key file": {
			used: true, prepare: func(t *testing.T, dir string) {
				if err := os.Remove(filepath.Join(dir, "portico.db.key")); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"encryption key portico.db.key is not", "put the file back"},
		},
		"the key file of another database": {
			used: true, prepare: write("portico.db.key", encryptionKey("k1")),
			want: []string{`the encryption key "k1" is not the one that sealed the database`, "PORTICO_ENCRYPTION_KEYS"},
		},
		"a key of another id": {
			used: true, env: []string{"PORTICO_ENCRYPTION_KEYS=" + encryptionKey("k2")},
			want: []string{`sealed with encryption key "k1", which is not given`, "PORTICO_ENCRYPTION_KEYS"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.used {
				if err := os.CopyFS(dir, os.DirFS(used)); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(filepath.Join(dir, "portico.db.key"), 0o600); err != nil { // CopyFS widens it
					t.Fatal(err)
				}
			}
			if c.prepare != nil {
				c.prepare(t, dir)
			}
			p := launch(t, dir, c.env, "serve")
			if code := p.wait(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			said := p.stderr.String()
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in:\n%s", want, said)
				}
			}
			for _, never := range []string{"planted-secret", "goroutine", "fx", "dig", "store:", "seal:", "pk_"} {
				if strings.Contains(said+p.stdout.String(), never) {
					t.Errorf("%q in:\n%s", never, said)
				}
			}
			if left, err := os.ReadDir(dir); !c.used && !c.leaves && (err != nil || len(left) > 0) {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A request whose body is still on its way when the program is told to stop is answered; a new one is not taken.
func TestServeFinishesRequestsInFlight(t *testing.T) {
	p := launch(t, t.TempDir(), nil, "serve")
	s := p.serving()
	address := strings.TrimPrefix(s.URL, "http://")
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	body := "grant_type=authorization_code&code=unknown"
	fmt.Fprintf(connection, "POST /api/oauth/token HTTP/1.1\r\nHost: portico\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	reader := bufio.NewReader(connection)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler reads
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.find(&p.stderr, `msg=(stopping)`)
	if !eventually(func() bool { return !reachable(t.Context(), address) }) {
		t.Error("connections are still taken")
	}
	fmt.Fprint(connection, body)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatalf("the request in flight: %v\n%s", err, p.stderr.String())
	}
	defer response.Body.Close()
	var refused map[string]string
	if err := json.NewDecoder(response.Body).Decode(&refused); err != nil || refused["error"] != "invalid_grant" {
		t.Errorf("%s: %v, %v", response.Status, refused, err)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.stderr.String())
	}
}

func reachable(ctx context.Context, address string) bool {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = connection.Close()
	}
	return err == nil
}

func eventually(f func() bool) bool {
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

func TestSmallCommands(t *testing.T) {
	dir := t.TempDir()
	if p := launch(t, dir, nil, "version"); p.wait() != 0 || p.stdout.String() != "dev\n" {
		t.Errorf("version: %q", p.stdout.String())
	}
	if p := launch(t, dir, nil, "sevre"); p.wait() == 0 || !strings.Contains(p.stderr.String(), "sevre") {
		t.Errorf("a misspelt command: %q", p.stderr.String())
	}
	p := launch(t, dir, nil, "demo", "--check")
	if code := p.wait(); code != 0 {
		t.Fatalf("demo --check: exit code %d: %s", code, p.stderr.String())
	}
	var profile map[string]any
	if err := json.Unmarshal([]byte(p.stdout.String()), &profile); err != nil || profile["email"] != "alice@acme.example" {
		t.Errorf("demo --check: %v, %v", profile, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("demo --check left %v behind, %v", left, err)
	}
}
